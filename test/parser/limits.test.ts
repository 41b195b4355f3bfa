import { describe, expect, test } from 'vitest';
import { factsOf } from '../../src/parser/facts.ts';
import { parse } from '../../src/parser/parse.ts';
import { print } from '../../src/parser/print.ts';
import { split } from '../../src/parser/split.ts';
import { script } from './fortyKinds.ts';

// A megabyte of malice in each case. The bound, in processor time, is far above what linear
// work takes and far below what quadratic work takes.

const megabyte = 1_000_000;
const fill = (piece: string, before = '', after = '') =>
  before + piece.repeat(Math.floor((megabyte - before.length - after.length) / piece.length)) + after;

const malice: Record<string, string> = {
  'open brackets': fill('('),
  'closed brackets': fill(')'),
  'open comments': fill('/*'),
  'line comments': fill('--\n'),
  quotes: fill("'"),
  'quotes after a verb': fill("''", "BACKUP TO '"),
  'double quotes': fill('"'),
  'dollar signs': fill('$'),
  'dollar tags that never close': fill('$a$ '),
  'different dollar tags': Array.from({ length: 90_000 }, (_, n) => `$t${n}$`).join(' '),
  backslashes: fill('\\', "BACKUP TO E'"),
  escapes: fill('\\x41', "BACKUP TO E'", "'"),
  digits: fill('9'),
  'digits as a duration': fill('9', 'UPSERT SCHEDULE x (timeout: ', 's)'),
  'digits as a duration in quotes': fill('9', "UPSERT SCHEDULE x (timeout: '", "')"),
  'units of durations': fill('1d', 'UPSERT SCHEDULE x (timeout: ', ')'),
  clocks: fill('1:11', 'SET cron.x = '),
  dates: fill('2027-01-01', 'SET cron.x = '),
  semicolons: fill(';'),
  'one word': fill('a'),
  'one word of ours': fill('a', 'UPSERT '),
  'a long name': fill('a', 'DROP SCHEDULE '),
  'a long quoted name': fill('""', 'DROP SCHEDULE "', '"'),
  'a long key': fill('a', 'UPSERT SCHEDULE s (', ': 1)'),
  'many names': fill('a,', 'DROP SCHEDULE ', 'a'),
  'many keys': fill('a:1,', 'UPSERT SCHEDULE s (', ')'),
  'many different keys': `UPSERT SCHEDULE s (params: {${Array.from({ length: 90_000 }, (_, n) => `k${n}: 1`).join(',')}})`,
  'many mistakes': Array.from({ length: 60_000 }, (_, n) => `${n === 0 ? 'UPSERT SCHEDULE s (' : ''}sched${n}: 1`).join(','),
  'nested objects': fill('{a:', 'UPSERT SCHEDULE s (params: '),
  'nested lists': fill('[', 'UPSERT SCHEDULE s (params: '),
  'nested lists of cadences': fill('[', 'UPSERT SCHEDULE s (sched: '),
  'nested calls': fill('env(', 'UPSERT SCHEDULE s (params: '),
  'nested brackets of a phrase': fill('(', 'UPSERT SCHEDULE s (sched: every '),
  'a long phrase': fill('every ', 'UPSERT SCHEDULE s (sched: ', ')'),
  'a long bare cron': fill('* ', 'UPSERT SCHEDULE s (sched: ', ')'),
  'a condition of brackets': fill('(', 'LIST RUNS WHERE '),
  'a condition of words': fill('x or ', 'LIST RUNS WHERE ', 'x'),
  'arguments of a call': fill('a,', 'CALL f(', 'a)'),
  'brackets of a call': fill('(', 'CALL f('),
  parameters: Array.from({ length: 60_000 }, (_, n) => `${n === 0 ? 'UPSERT PROCEDURE p(' : ''}p${n} INT`)
    .join(',')
    .concat(') AS { SELECT 1 }'),
  'the type of a parameter': fill('(', 'UPSERT PROCEDURE p(a STRUCT'),
  'an endless block': fill('SELECT 1;', 'UPSERT PROCEDURE p() AS BEGIN '),
  'an endless block of blanks': fill(' ', 'UPSERT PROCEDURE p() AS BEGIN SELECT 1 END', 'x'),
  'a long block': fill('SELECT 1;', 'UPSERT PROCEDURE p() AS BEGIN ', ' END'),
  'a body of braces': fill('{', 'UPSERT PROCEDURE p() AS '),
  'a body of doubled quotes': fill("''", "UPSERT PROCEDURE p() AS 'SELECT ", "'"),
  'a body of many statements in quotes': fill("SELECT '''';", "UPSERT PROCEDURE p() AS '", "'"),
  blanks: fill(' '),
  'blanks in the middle': fill(' ', 'LIST', 'RUNS'),
  'unicode blanks': fill('\u2003'),
  'byte order marks': fill('\ufeff'),
  'half surrogates': fill('\ud800'),
  'NUL characters': fill('\0'),
  'sound statements': script(20_000).text.slice(0, megabyte),
  'a long text of DuckDB': fill("(1, 'x'), ", 'INSERT INTO t VALUES ', "(2, 'y')"),
  'files in a list': fill("'a',", 'FROM '),
  'commas after FROM': fill(',', 'FROM a'),
  WITH: fill('WITH '),
  EXPLAIN: fill('EXPLAIN '),
};

describe('a megabyte', () => {
  test.each(Object.entries(malice))('of %s neither hangs nor overflows', (_, text) => {
    const before = process.cpuUsage();
    const parsed = parse(text);
    if (parsed.statement !== undefined) print(parsed.statement);
    split(text);
    factsOf(text);
    const { user } = process.cpuUsage(before);
    expect(user / 1000).toBeLessThan(4000);
    for (const { message, hint } of parsed.diagnostics ?? []) expect(message.length + (hint?.length ?? 0)).toBeLessThan(1000);
  });
});

describe('limits', () => {
  const codes = (text: string) => parse(text).diagnostics?.map((diagnostic) => diagnostic.code);

  test('values nest 64 deep, and no deeper', () => {
    const nested = (depth: number) => `UPSERT SCHEDULE s (params: {a: ${'['.repeat(depth)}${']'.repeat(depth)}})`;
    expect(codes(nested(60))).toBeUndefined();
    expect(codes(nested(70))).toEqual(['too_large']);
  });

  test('names have 255 characters, and no more', () => {
    expect(codes(`DROP SCHEDULE ${'x'.repeat(255)}`)).toBeUndefined();
    expect(codes(`DROP SCHEDULE ${'x'.repeat(1000)}`)).toEqual(['invalid_name']);
    expect(codes(`DROP SCHEDULE "${'x'.repeat(1000)}"`)).toEqual(['invalid_name']);
    expect(codes(`UPSERT SCHEDULE s (params: { ${'x'.repeat(1000)}: 1 })`)).toEqual(['invalid_name']);
    expect(codes(`SELECT 1 AS ${'x'.repeat(1000)}`)).toBeUndefined();
  });

  test('at most twenty mistakes are told', () => {
    const text = `UPSERT SCHEDULE s (${Array.from({ length: 50 }, (_, n) => `zzz${n}: 1`).join(', ')})`;
    expect(codes(text)).toHaveLength(20);
  });

  test('NUL characters and half surrogates are refused wherever they stand, for DuckDB would not see them as written', () => {
    for (const text of ['SELECT 1\0; DROP TABLE t', "SELECT 'a\0'", 'LIST\0RUNS', "SELECT '\ud800'", "BACKUP TO 'a\udc00b'"]) {
      expect(codes(text)).toEqual(['invalid_encoding']);
    }
    expect(codes("SELECT '😀'")).toBeUndefined();
  });

  test('a byte order mark and the blanks of DuckDB stand where blanks may stand', () => {
    for (const text of ['\ufeffLIST RUNS', 'LIST\u00a0RUNS', 'LIST\u3000RUNS\u2060;', 'LIST\u200bRUNS'])
      expect(codes(text)).toBeUndefined();
    expect(codes('LIST\u000bRUNS')).toEqual(['syntax_error']);
  });
});
