import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { type DiagnosticOptions, renderDiagnostic } from '../../../src/daemon/render/diagnostic.ts';
import { drawing } from './rendering.ts';

const text = "UPSERT SCHEDULE nightly (\n\tsched: '0 25 * * *', -- 漢字\n\tsql: $$ x $$\n);";

/** The place is what stands in `marked`. */
function shown(marked: string, options: Partial<DiagnosticOptions> = {}, source = text): string {
  const start = source.indexOf(marked);
  const diagnostic = new Diagnostic('invalid_cadence', 'hour must be 0-23, got 25', {
    span: { start, end: start + marked.length },
    hint: 'as in 0 2 * * *',
  });
  return renderDiagnostic(diagnostic, { piece: { text: source, line: 1, column: 1 }, color: false, ...options });
}

describe('an error', () => {
  test('shows its line with a caret under the place, behind tabs', () => {
    expect(shown('25')).toBe(
      drawing(`
        error[invalid_cadence] hour must be 0-23, got 25
         2 │     sched: '0 25 * * *', -- 漢字
           │               ^^
        hint: as in 0 2 * * *
      `),
    );
  });

  test('of a file names file, line and column, counted from where the statement began', () => {
    expect(shown('25', { name: 'jobs.sql', piece: { text, line: 98, column: 12 } })).toBe(
      drawing(`
        error[invalid_cadence] hour must be 0-23, got 25
          jobs.sql:99:12
         99 │     sched: '0 25 * * *', -- 漢字
            │               ^^
        hint: as in 0 2 * * *
      `),
    );
    expect(shown('SCHEDULE', { name: 'jobs.sql', piece: { text, line: 98, column: 12 } })).toContain('jobs.sql:98:19\n');
  });

  test('without a place in a file names where the statement began', () => {
    const lines = renderDiagnostic(new Diagnostic('closed', 'the database is closed'), {
      piece: { text, line: 7, column: 3 },
      name: 'jobs.sql',
      color: false,
    });
    expect(lines).toBe('error[closed] the database is closed\n  jobs.sql:7:3\n');
  });

  test('marks wide characters as wide', () => {
    expect(shown('漢字')).toContain(" 2 │     sched: '0 25 * * *', -- 漢字\n   │                             ^^^^\n");
  });

  test('counts a character outside the first plane as one column', () => {
    expect(shown('oops', { name: 'x.sql' }, "SELECT '🦆', oops")).toContain('x.sql:1:13\n');
  });

  test('of several lines marks each, and leaves out the middle of many', () => {
    expect(shown("(\n\tsched: '0 25 * * *', -- 漢字\n\tsql: $$ x $$\n);")).toBe(
      drawing(`
        error[invalid_cadence] hour must be 0-23, got 25
         1 │ UPSERT SCHEDULE nightly (
           │                         ^
         2 │     sched: '0 25 * * *', -- 漢字
           │     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           ┆
         4 │ );
           │ ^^
        hint: as in 0 2 * * *
      `),
    );
  });

  test('at the end of the text has its caret behind the last character', () => {
    const diagnostic = new Diagnostic('syntax_error', 'expected a name', { span: { start: 14, end: 14 } });
    expect(renderDiagnostic(diagnostic, { piece: { text: 'DROP SCHEDULE ', line: 1, column: 1 }, color: false })).toBe(
      'error[syntax_error] expected a name\n 1 │ DROP SCHEDULE \n   │               ^\n',
    );
  });

  test('in a long line shows what is around the place', () => {
    const long = `SELECT ${"'漢字', ".repeat(100)}oops${', 1'.repeat(100)}`;
    const [, line = '', caret = ''] = shown('oops', { columns: 60 }, long).split('\n');
    expect(line).toMatch(/^ 1 │ ….*oops, 1.*…$/);
    // Each Chinese character is one place in the string and two on the screen.
    const before = line.slice(0, line.indexOf('oops'));
    expect(caret.indexOf('^')).toBe(before.length + (before.match(/[漢字]/g) ?? []).length);
  });

  test('folds its words to the terminal', () => {
    const diagnostic = new Diagnostic('invalid_value', 'a message that is longer than its line', {
      hint: 'what to do about it, in a few words',
    });
    expect(renderDiagnostic(diagnostic, { color: false, columns: 40 })).toBe(
      drawing(`
        error[invalid_value] a message that is
          longer than its line
        hint: what to do about it, in a few
              words
      `),
    );
    expect(renderDiagnostic(diagnostic, { color: false }).split('\n')).toHaveLength(3);
  });

  test('shows every other mistake of the statement at its place, and a hint only once', () => {
    const mistake = (marked: string, hint: string) => {
      const start = text.indexOf(marked);
      return new Diagnostic('unknown_key', `no key ${marked}`, { span: { start, end: start + marked.length }, hint });
    };
    const all = Diagnostic.all([mistake('sched', 'keys: a, b'), mistake('sql', 'keys: a, b'), mistake('x', 'c')]);
    expect(renderDiagnostic(all, { piece: { text, line: 1, column: 1 }, name: 'jobs.sql', color: false })).toBe(
      drawing(`
        error[unknown_key] no key sched
          jobs.sql:2:2
         2 │     sched: '0 25 * * *', -- 漢字
           │     ^^^^^
        hint: keys: a, b
        error[unknown_key] no key sql
          jobs.sql:3:2
         3 │     sql: $$ x $$
           │     ^^^
        error[unknown_key] no key x
          jobs.sql:3:10
         3 │     sql: $$ x $$
           │             ^
        hint: c
      `),
    );
    const many = Array.from({ length: 12 }, (_, at) => new Diagnostic('unknown_key', `no key ${at}`));
    const [first = mistake('x', ''), ...more] = many;
    expect(renderDiagnostic(Diagnostic.all([first, ...more]), { color: false })).toMatch(/no key 9\nand 2 more mistakes\n$/);
  });

  test('lets nothing of the text or the message command the terminal', () => {
    const rendered = shown('bad', { name: 'a\x1b[2J.sql' }, "SELECT '\x1b]0;x\x07' bad \u202e");
    expect(rendered.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(renderDiagnostic(new Diagnostic('internal', 'x\x1b[2J\ny'), { color: false })).toBe('error[internal] x\\u001b[2J\n  y\n');
  });

  test('is coloured only where that is wanted', () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what colours are made of.
    expect(shown('25', { color: true }).replace(/\x1b\[[\d;]*m/g, '')).toBe(shown('25'));
    expect(shown('25', { color: true })).toContain('\x1b[1;31m^^\x1b[0m'.replace('^^', '              ^^'));
  });

  test('is drawn for any text and any span', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.integer({ min: -5, max: 250 }),
        fc.integer({ min: -5, max: 250 }),
        (source, start, end) => {
          const rendered = renderDiagnostic(new Diagnostic('syntax_error', 'no', { span: { start, end } }), {
            piece: { text: source, line: 1, column: 1 },
            color: false,
            columns: 40,
          });
          expect(rendered).toMatch(/\^/);
          expect(rendered.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
        },
      ),
      { numRuns: 500 },
    );
  });
});
