// Values are bound, never pasted into text: whatever is in them, they come through as they are, or are refused with their place.

import { describe, expect } from 'vitest';
import { type TestDatabase, test } from '../../support/database.ts';

const odd = {
  quotes: `it's "quoted" '' "" \`and\` $$dollars$$ $tag$x$tag$`,
  newlines: 'a\nb\r\nc\td\u2028e\u0085f',
  dollars: `$1 $name $ \${x} $$`,
  semicolons: '; DROP TABLE t; -- nothing /* at */ all',
  backslashes: 'C:\\temp\\new \\u0041 \\0 \\\\',
  percent: '%s %d 100% ?, ?1',
  emoji: '👩‍👩‍👧 🇯🇵 e\u0301 \u{10FFFF}',
  controls: '\u0001\u0007\u001b[31m\u007f\uFEFF mark',
  rtl: 'שלום \u202eevil',
  empty: '',
} as const;

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** What the newest run has answered, and how it ended. */
async function newest(db: TestDatabase) {
  const [run] = await db.rows('SELECT state, result, params, error_message, error_code FROM cron.runs ORDER BY run_id DESC LIMIT 1');
  return run ?? {};
}

async function answer(db: TestDatabase): Promise<unknown> {
  const { state, result, error_message } = await newest(db);
  return state === 'succeeded' ? (JSON.parse(String(result)) as unknown[])[0] : error_message;
}

describe('a parameter of a SQL run comes through as it is', () => {
  test.for(Object.entries(odd))('from params: %s', async ([, text], { db }) => {
    await db.run(
      `UPSERT SCHEDULE s ( sql: 'SELECT $a AS a, $b AS b, $c.d AS d', params: { a: ${quoted(text)}, b: [${quoted(text)}], c: { d: ${quoted(text)} } } )`,
    );
    await db.rows('RUN SCHEDULE s');
    expect(await answer(db)).toEqual({ a: text, b: [text], d: text });
  });

  test.for(Object.entries(odd))('from WITH: %s', async ([, text], { db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT $a AS a', params: { a: 1 } )");
    await db.rows(`RUN SCHEDULE s WITH ( a: ${quoted(text)} )`);
    expect(await answer(db)).toEqual({ a: text });
    expect(JSON.parse(String((await newest(db))['params']))).toEqual({ a: text });
  });

  test.for(Object.entries(odd))('from the values of a session, for a call: %s', async ([, text], { db }) => {
    await db.run("UPSERT PROCEDURE p(a VARCHAR, b VARCHAR DEFAULT 'x') AS BEGIN SELECT $a AS a, $b AS b; END");
    expect(await db.rows('CALL p($text, b => $text)', { text })).toEqual([{ a: text, b: text }]);
  });

  test.for(Object.entries(odd))('into a procedure, and what that calls: %s', async ([, text], { db }) => {
    await db.run(
      'CREATE TABLE t(a VARCHAR)',
      'UPSERT PROCEDURE puts(a VARCHAR) AS BEGIN INSERT INTO t VALUES ($a); SELECT $a AS a; END',
      'UPSERT PROCEDURE p(a VARCHAR) AS BEGIN CALL puts($a); END',
      `UPSERT SCHEDULE s ( call: p, params: { a: ${quoted(text)} } )`,
    );
    await db.rows('RUN SCHEDULE s');
    expect(await answer(db)).toEqual({ a: text });
    expect(await db.rows('FROM t')).toEqual([{ a: text }]);
  });

  test.for(Object.entries(odd))('from the environment, from sql(..), and in a condition: %s', async ([, text], { db }) => {
    await db.reopen({ environment: { TEXT: text } });
    await db.run('CREATE TABLE texts(a VARCHAR)');
    await db.rows('INSERT INTO texts VALUES ($a)', { a: text });
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT $a = $b AS same, $b AS b', params: { a: env('TEXT'), b: sql('SELECT a FROM texts') }, when: 'SELECT $a = (SELECT a FROM texts)' )",
    );
    await db.rows('RUN SCHEDULE s');
    expect(await answer(db)).toEqual({ same: true, b: text });
  });

  test('under a name that needs quotes nowhere, and beside statements that hold its text', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT $a AS a, ''$a'' AS text, \"$a\" FROM (SELECT 7 AS \"$a\") -- $nothing', params: { a: 'x' } )",
    );
    await db.rows('RUN SCHEDULE s');
    expect(await answer(db)).toEqual({ a: 'x', text: '$a', $a: 7 });
  });
});

describe('what UTF-8 or C has no text for', () => {
  test('NUL comes through a value, and is refused in a statement', async ({ db }) => {
    const text = 'a\0b';
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT $a AS a, length($a) AS length', params: { a: 1 }, max_retries: 0 )");
    expect(await db.engine.runByHand('s', { a: text })).toMatchObject({ state: 'succeeded', result: [{ a: text, length: 3 }] });
    expect(await db.rows('SELECT $a AS a', { a: text })).toEqual([{ a: text }]);
    expect(await db.mistake(`RUN SCHEDULE s WITH ( a: '${text}' )`)).toMatchObject({ code: 'invalid_encoding' });
  });

  test.for([
    ['first', 'a\uD83D', 'U+D83D at 1'],
    ['second', '\uDE00b', 'U+DE00 at 0'],
  ] as const)('the %s half of a pair is refused with its place, and never changed without a word', async ([, text, place], { db }) => {
    await db.run(
      'CREATE TABLE t(a VARCHAR)',
      "UPSERT SCHEDULE s ( sql: 'INSERT INTO t VALUES ($a::VARCHAR)', params: { a: 1 }, max_retries: 0 )",
      'UPSERT PROCEDURE p(a VARCHAR) AS BEGIN INSERT INTO t VALUES ($a); END',
      "UPSERT SCHEDULE c ( call: p, params: { a: 'x' }, max_retries: 0 )",
    );
    for (const [schedule, value] of [
      ['s', text],
      ['s', [text]],
      ['s', { k: text }],
      ['c', text],
    ] as const) {
      const run = await db.engine.runByHand(schedule, { a: value });
      expect(run).toMatchObject({
        state: 'failed',
        reason: expect.stringContaining(`$a: a text holds half of a surrogate pair (${place})`),
      });
      expect(await newest(db)).toMatchObject({ error_code: 'invalid_encoding' });
    }
    await expect(db.rows('SELECT $a AS a', { a: text })).rejects.toMatchObject({ code: 'invalid_encoding' });
    await expect(db.rows('SELECT ? AS a', [text])).rejects.toMatchObject({ code: 'invalid_encoding' });
    expect(await db.rows('FROM t')).toEqual([]);
  });
});
