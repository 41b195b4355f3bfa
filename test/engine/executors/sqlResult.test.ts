// The value of a SQL run: the first rows of its last statement, whatever that answers.

import { describe, expect } from 'vitest';
import { type Row, type TestDatabase, test } from '../../support/database.ts';

const mebibyte = 1024 * 1024;

/** Runs `sql` as a schedule does; answers its row. */
async function runOf(db: TestDatabase, sql: string, more = ''): Promise<Row> {
  await db.run(`UPSERT SCHEDULE s ( sql: $cuckoo$ ${sql} $cuckoo$, max_retries: 0${more} )`);
  await db.rows('RUN SCHEDULE s');
  const [run] = await db.rows('FROM cron.runs ORDER BY run_id DESC LIMIT 1');
  return run ?? {};
}

const resultOf = (run: Row): unknown => JSON.parse(String(run['result']));

/** How much the most memory that this process ever had grows meanwhile. */
async function growthOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.resourceUsage().maxRSS;
  await work();
  return (process.resourceUsage().maxRSS - before) * 1024;
}

describe('the value of a SQL run', () => {
  test('is bounded: fifty million rows, before the last statement or in it, take no memory', async ({ db }) => {
    let run: Row = {};
    const growth = await growthOf(async () => {
      run = await runOf(db, 'SELECT * FROM range(50_000_000); SELECT i, -i AS minus FROM range(50_000_000) t(i)');
    });
    expect(run).toMatchObject({ state: 'succeeded', rows_by_statement: [0n, 0n] });
    expect(resultOf(run)).toEqual(Array.from({ length: 100 }, (_, i) => ({ i, minus: 0 - i })));
    // As a result they are 400 MB and 800 MB of DuckDB's, and far more as values of JavaScript.
    expect(growth).toBeLessThan(150 * mebibyte);
  });

  test('is bounded: a value of 100 MB stays where it is, and a note says so', async ({ db }) => {
    const none = 'result: none of its rows is kept, the first would make it larger than 1000000 characters';
    const large = {
      text: "SELECT repeat('x', 100_000_000) AS value",
      bytes: "SELECT repeat('x', 100_000_000)::BLOB AS value",
      list: 'SELECT list(i) AS value FROM range(10_000_000) t(i)',
      list_of_texts: "SELECT list('0123456789') AS value FROM range(1_000_000)",
      array: "SELECT ('[' || rtrim(repeat('1,', 50_000), ',') || ']')::INTEGER[50000] AS value FROM range(20)",
      map: 'SELECT map(list(i), list(i)) AS value FROM range(1_000_000) t(i)',
      struct: "SELECT {a: 1, b: {c: repeat('é', 50_000_000)}} AS value",
    };
    for (const [kind, sql] of Object.entries(large)) {
      const run = await runOf(db, sql);
      expect(run['state'], kind).toBe('succeeded');
      const kept = kind === 'array' ? 'result: 9 of its rows are kept, the next would make it larger than 1000000 characters' : none;
      expect(run['notes'], kind).toEqual([kept]);
    }
    const some = await runOf(db, "SELECT i, CASE WHEN i = 2 THEN repeat('x', 10_000_000) ELSE 'small' END AS t FROM range(5) t(i)");
    expect(resultOf(some)).toEqual([0, 1].map((i) => ({ i, t: 'small' })));
    expect(some['notes']).toEqual(['result: 2 of its rows are kept, the next would make it larger than 1000000 characters']);
  });

  test('is as many rows as cron.result_rows says', async ({ db }) => {
    await db.run('SET cron.result_rows = 3');
    expect(resultOf(await runOf(db, 'SELECT i FROM range(10) t(i)'))).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }]);
    await db.run('SET cron.result_rows = 0');
    expect(await runOf(db, 'SELECT i FROM range(10) t(i)')).toMatchObject({ state: 'succeeded', result: null });
    await db.run('SET cron.result_rows = 5000');
    expect(resultOf(await runOf(db, 'SELECT i FROM range(10_000) t(i)'))).toHaveLength(5000);
  });

  test('has the order, the names and the types of the query', async ({ db }) => {
    expect(resultOf(await runOf(db, 'SELECT i FROM range(300_000) t(i) ORDER BY i % 1000, i DESC'))).toEqual(
      Array.from({ length: 100 }, (_, at) => ({ i: 299_000 - 1000 * at })),
    );
    const types = `SELECT 1.50::DECIMAL(9, 2) AS money, DATE '2026-11-20' AS day, NULL AS nothing, [1, NULL] AS list, {a: 'b'} AS nested,
      MAP {'k': 1} AS map, '{"j": 1}'::JSON AS json, 3000000000 AS big`;
    expect(resultOf(await runOf(db, types))).toEqual([
      {
        money: 1.5,
        day: '2026-11-20',
        nothing: null,
        list: [1, null],
        nested: { a: 'b' },
        map: { k: 1 },
        json: { j: 1 },
        big: 3_000_000_000,
      },
    ]);
  });

  test.for([
    ['FROM range(3) t(i)', [{ i: 0 }, { i: 1 }, { i: 2 }]],
    ['VALUES (1), (2)', [{ col0: 1 }, { col0: 2 }]],
    ['(SELECT 1 AS i)', [{ i: 1 }]],
    ['WITH w AS (SELECT 7 AS i) SELECT * FROM w', [{ i: 7 }]],
    ['SELECT 1 AS i UNION ALL SELECT 2', [{ i: 1 }, { i: 2 }]],
    ['SELECT 1 AS i -- with a comment behind', [{ i: 1 }]],
    ['TABLE t', [{ i: 5 }]],
    ['INSERT INTO t VALUES (1), (2) RETURNING i', [{ i: 1 }, { i: 2 }]],
    ['WITH w AS (SELECT 3 AS i) INSERT INTO t FROM w RETURNING i + 1 AS j', [{ j: 4 }]],
    ['UPDATE t SET i = 6 RETURNING i', [{ i: 6 }]],
    ["SELECT 'x' AS name UNION ALL (FROM (DESCRIBE t) SELECT column_name)", [{ name: 'x' }, { name: 'i' }]],
    ['PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)', [{ 1: 2 }]],
    ['CREATE TABLE other(i INTEGER)', null],
  ] as const)('is there for every kind of statement: %s', async ([sql, value], { db }) => {
    await db.run('CREATE TABLE t(i INTEGER)', 'INSERT INTO t VALUES (5)');
    const run = await runOf(db, sql);
    expect(run).toMatchObject({ state: 'succeeded' });
    expect(value === null ? run['result'] : resultOf(run)).toEqual(value);
  });

  test('comes of a statement that is carried out to its end: what fails in a row that nobody keeps fails the run', async ({ db }) => {
    const late = "SELECT CASE WHEN i = 2_999_999 THEN error('row ' || i) END FROM range(3_000_000) t(i)";
    await db.run('CREATE TABLE t(i INTEGER)', 'CREATE SEQUENCE numbers');
    for (const sql of [`INSERT INTO t VALUES (1); ${late}`, `INSERT INTO t VALUES (1); ${late}; SELECT 1`]) {
      const run = await runOf(db, sql);
      expect(run).toMatchObject({ state: 'failed', error_message: expect.stringMatching(/^in schedule s, statement 2.*row 2999999$/s) });
    }
    expect(await db.rows('FROM t')).toEqual([]);
    await runOf(db, "SELECT nextval('numbers') FROM range(10_000); SELECT nextval('numbers') FROM range(10_000)");
    expect(await db.rows("SELECT currval('numbers')::INTEGER AS n")).toEqual([{ n: 20_000 }]);
  });

  test('a mistake is told once, at its place, as it was written', async ({ db }) => {
    const run = await runOf(db, 'SELECT 1;\n  SELECT nope FROM range(3)');
    expect(run).toMatchObject({ state: 'failed', error_code: 'undefined_column' });
    expect(run['error_message']).toMatch(/^in schedule s, statement 2, line 2 of its body, column 10: .*nope/);
    expect(String(run['error_message'])).not.toContain('QUALIFY');
  });

  test('a question that decides reads its first value only', async ({ db }) => {
    const growth = await growthOf(async () => {
      const run = await runOf(db, 'SELECT 1 AS i', ", when: 'SELECT i = 0 FROM range(50_000_000) t(i)'");
      expect(run).toMatchObject({ state: 'succeeded', result: '[{"i":1}]' });
    });
    expect(growth).toBeLessThan(150 * mebibyte);
  });
});

test('CALL answers all rows of the procedure’s last statement', async ({ db }) => {
  await db.run('UPSERT PROCEDURE many() AS BEGIN SELECT 1; SELECT i FROM range(5000) t(i); END');
  expect(await db.rows('CALL many()')).toHaveLength(5000);
});
