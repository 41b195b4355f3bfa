import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cutInLines, folded, widthOf } from '../../../src/daemon/render/terminalText.ts';

describe('a folded text', () => {
  test('has lines that end between words, and an indent from the second on', () => {
    expect(folded('one two three four', { columns: 9, indent: '  ' })).toBe('one two\n  three\n  four');
    expect(folded('one two three four', { columns: 20, taken: 12, indent: '  ' })).toBe('one two\n  three four');
    expect(folded('漢字 漢字 漢字', { columns: 9, indent: '' })).toBe('漢字 漢字\n漢字');
  });

  test('keeps its own lines and blanks, and a word that is too long', () => {
    expect(folded('a\n  b', { columns: 80, indent: '> ' })).toBe('a\n>   b');
    expect(folded('an 01a1f87e-3749-7004 id', { columns: 6, indent: '' })).toBe('an\n01a1f87e-3749-7004\nid');
  });

  test('is not folded where there is no terminal', () => {
    const long = 'word '.repeat(100);
    expect(folded(long, { columns: undefined, indent: '' })).toBe(long);
  });

  test('loses no word, and no line is longer than a terminal that has room for each word', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z🦆漢]{1,12}$/u)), fc.integer({ min: 30, max: 60 }), (words, columns) => {
        const lines = folded(words.join(' '), { columns, indent: '   ' }).split('\n');
        expect(lines.flatMap((line) => line.trim().split(' ')).filter((word) => word !== '')).toEqual(words);
        for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(columns);
      }),
    );
  });
});

test('a text that is cut in lines has all its characters, and no line that is too long', () => {
  expect(cutInLines('abcdef gh', 4)).toEqual(['abcd', 'ef', 'gh']);
  expect(cutInLines('漢字漢字', 5)).toEqual(['漢字', '漢字']);
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 8, max: 40 }), (text, width) => {
      const lines = cutInLines(text.replaceAll('\n', ' '), width);
      expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(/[ \n]/g, ''));
      for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(width);
    }),
  );
});
