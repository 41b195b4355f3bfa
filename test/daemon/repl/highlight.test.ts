import { describe, expect, it } from 'vitest';
import { highlight } from '../../../src/daemon/repl/highlight.ts';
import { layout } from '../../../src/daemon/repl/layout.ts';

/** What is coloured, with a letter for how: k keyword, s string, c comment. */
function coloured(text: string): string[] {
  const letters: Record<string, string> = { '\x1b[1;34m': 'k', '\x1b[32m': 's', '\x1b[2m': 'c' };
  return highlight(text).map((style) => `${letters[style.escape]}:${text.slice(style.start, style.end).trim()}`);
}

describe('colours', () => {
  it('tell keywords, strings and comments apart', () => {
    expect(coloured("SELECT 'a', x -- why\nFROM t /* b */ WHERE y = $$z$$")).toEqual([
      'k:SELECT',
      "s:'a'",
      'c:-- why',
      'k:FROM',
      'c:/* b */',
      'k:WHERE',
      's:$$z$$',
    ]);
  });

  it('go on to the end in what is not closed yet', () => {
    expect(coloured("upsert 'abc")).toEqual(['k:upsert', "s:'abc"]);
    expect(coloured('/* abc\n def')).toEqual(['c:/* abc\n def']);
  });

  it('take a command of the shell as a whole', () => {
    expect(coloured('.mode csv')).toEqual(['k:.mode']);
  });

  it('leave long texts alone', () => {
    expect(highlight(`SELECT ${'x'.repeat(30_000)}`)).toEqual([]);
  });
});

describe('a row that breaks inside a colour', () => {
  it('ends it and begins it again, and nothing but the text has width', () => {
    const text = "x 'abcdef' y";
    const placed = layout({ text, cursor: text.length, columns: 8, prompt: () => '> ', styles: highlight(text) });
    expect(placed.rows.map((row) => row.text)).toEqual(["> x \x1b[32m'abc\x1b[0m", "\x1b[32mdef'\x1b[0m y"]);
    expect(placed.rows.map((row) => row.width)).toEqual([8, 6]);
  });
});
