import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine } from '../../src/engine/engine.ts';
import { type LineageConnection, type LineageParameter, lineageOf } from '../../src/engine/lineage.ts';
import { test } from '../support/database.ts';

let instance: DuckDBInstance;
let run: (sql: string) => Promise<unknown>;
let connection: LineageConnection;

beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:');
  const client = await instance.connect();
  run = (sql) => client.run(sql);
  connection = { all: async <Row extends object>(sql: string) => (await client.runAndReadAll(sql)).getRowObjects() as Row[] };
  await run(`
    CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER, day DATE);
    CREATE TABLE stock (id INTEGER, amount INTEGER);
    CREATE SCHEMA audit;
    CREATE TABLE audit.entry (id INTEGER);
    CREATE VIEW audit.low AS SELECT o.id FROM orders o JOIN stock USING (id);
    CREATE MACRO newest(x) AS (SELECT max(id) FROM stock WHERE id = x);
    CREATE MACRO entries(x) AS TABLE SELECT * FROM audit.entry WHERE id = x;
    CREATE TEMP TABLE scratch (id INTEGER);
    ATTACH ':memory:' AS other;
    CREATE TABLE other.main.far (id INTEGER);
    CREATE SCHEMA other.deep;
    CREATE TABLE other.deep.sea (id INTEGER);
  `);
});

afterAll(() => instance.closeSync());

/** `orders+` is written, `orders` read, `?` unknown. */
async function tables(statements: string | readonly string[], parameters: readonly LineageParameter[] = []): Promise<string> {
  const list = typeof statements === 'string' ? [statements] : statements;
  const entries = await lineageOf(list, connection, parameters);
  return entries.map(({ table, access }) => `${table ?? '?'}${access === 'writes' ? '+' : ''}`).join(' ');
}

describe('a statement that binds is read from its plan', () => {
  it.each([
    ['SELECT * FROM orders', 'orders'],
    ['FROM orders', 'orders'],
    ['SELECT 1', ''],
    ['SELECT (SELECT max(id) FROM stock) FROM orders WHERE EXISTS (FROM audit.entry)', 'audit.entry orders stock'],
    ['WITH c AS (SELECT * FROM orders) SELECT * FROM c, stock', 'orders stock'],
    ['WITH orders AS (SELECT 1 AS id) SELECT * FROM orders', ''],
    ['WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 3) SELECT * FROM c, stock', 'stock'],
    ['SELECT * FROM audit.low', 'orders stock'],
    ['SELECT newest(1)', 'stock'],
    ['FROM entries(1)', 'audit.entry'],
    ["FROM query('FROM stock')", 'stock'],
    ['INSERT INTO orders SELECT id, amount, NULL FROM stock', 'orders+ stock'],
    ['INSERT INTO orders FROM orders RETURNING id', 'orders orders+'],
    ['INSERT OR REPLACE INTO orders VALUES (1, 2, NULL)', 'orders+'],
    ['INSERT INTO orders VALUES (1, 2, NULL) ON CONFLICT DO NOTHING', 'orders+'],
    ['UPDATE orders SET amount = 1 WHERE id IN (SELECT id FROM stock)', 'orders+ stock'],
    ['UPDATE orders SET amount = s.amount FROM stock s WHERE s.id = orders.id', 'orders+ stock'],
    ['UPDATE orders SET amount = (SELECT max(amount) FROM orders)', 'orders orders+'],
    ['DELETE FROM orders USING stock WHERE orders.id = stock.id', 'orders+ stock'],
    ['DELETE FROM orders WHERE id < (SELECT max(id) FROM orders)', 'orders orders+'],
    ['TRUNCATE stock', 'stock+'],
    ['MERGE INTO orders USING stock USING (id) WHEN MATCHED THEN DELETE', 'orders+ stock'],
    ['CREATE TABLE fresh AS SELECT * FROM stock', 'fresh+ stock'],
    ['CREATE OR REPLACE TABLE stock AS SELECT * FROM stock', 'stock stock+'],
    ['CREATE TABLE fresh (i INTEGER)', 'fresh+'],
    ['CREATE INDEX by_amount ON stock (amount)', 'stock+'],
    ['ALTER TABLE stock ADD COLUMN note VARCHAR', 'stock+'],
    ['DROP TABLE stock', 'stock+'],
    ['DROP SCHEMA audit CASCADE', '?+'],
    ["COPY orders TO '/tmp/never-written.csv'", 'orders'],
    ["COPY (SELECT * FROM audit.low) TO '/tmp/never-written.csv'", 'orders stock'],
    ["COPY audit.entry FROM 'not-there-yet.csv'", 'audit.entry+'],
    ["COPY stock (id, amount) FROM 'not-there-yet.csv'", 'stock+'],
    ['SET VARIABLE x = (SELECT max(id) FROM stock)', 'stock'],
    ['CREATE VIEW v AS SELECT * FROM orders', ''],
    ['VACUUM orders', ''],
    ['CHECKPOINT', ''],
    ['FROM range(3)', ''],
    ['EXPLAIN INSERT INTO orders SELECT * FROM orders', ''],
    ['EXPLAIN ANALYZE INSERT INTO audit.entry SELECT id FROM stock', 'audit.entry+ stock'],
    ['EXPLAIN (ANALYZE, FORMAT json) DELETE FROM stock', 'stock+'],
    ['/* nothing */', ''],
  ])('%s', async (sql, expected) => {
    expect(await tables(sql)).toBe(expected);
  });

  it('names tables of attached databases in full, whatever USE says', async () => {
    expect(await tables('INSERT INTO other.deep.sea SELECT id FROM other.far')).toBe('other.deep.sea+ other.main.far');
    await run('USE other');
    expect(await tables('INSERT INTO far SELECT id FROM memory.stock')).toBe('other.main.far+ stock');
    await run('USE memory');
  });

  it('leaves temporary tables out, and those that the body makes itself', async () => {
    expect(await tables('INSERT INTO scratch SELECT id FROM stock')).toBe('stock');
    expect(await tables(['CREATE TEMP TABLE fresh AS FROM stock', 'INSERT INTO orders SELECT id, amount, NULL FROM fresh'])).toBe(
      'orders+ stock',
    );
    expect(await tables(['CREATE TEMP TABLE orders AS FROM stock', 'INSERT INTO audit.entry SELECT id FROM orders'])).toBe(
      'audit.entry+ stock',
    );
  });
});

describe('parameters', () => {
  it('of known and unknown type do not hinder the plan', async () => {
    expect(await tables('INSERT INTO orders VALUES ($id, $amount, $day)')).toBe('orders+');
    expect(await tables('DELETE FROM orders WHERE day < $day - $keep::INTEGER')).toBe('orders+');
    expect(await tables('SELECT $1, ? FROM stock LIMIT $n')).toBe('stock');
    expect(
      await tables("DELETE FROM orders WHERE day < date_trunc('day', $scheduled_at)", [{ name: 'scheduled_at', type: 'TIMESTAMPTZ' }]),
    ).toBe('orders+');
    expect(await tables("INSERT INTO audit.entry SELECT id FROM stock WHERE '$no' <> 'parameter'")).toBe('audit.entry+ stock');
  });
});

describe('a statement that does not bind yet is read as PostgreSQL, as far as that is certain', () => {
  it.each([
    ['INSERT INTO later SELECT * FROM orders, soon', 'later+ orders soon'],
    ["INSERT INTO audit.later SELECT id FROM read_csv('missing.csv')", 'audit.later+'],
    ['UPDATE later SET x = s.x FROM soon s WHERE s.id = later.id', 'later+ soon'],
    ['DELETE FROM later WHERE id > $id', 'later+'],
    ['WITH c AS (SELECT * FROM soon) SELECT * FROM c', 'soon'],
    ['WITH RECURSIVE c AS (SELECT x FROM soon UNION ALL SELECT x FROM c) SELECT * FROM c', 'soon'],
    ['CREATE TABLE made AS SELECT * FROM soon', 'made+ soon'],
    ["SELECT * FROM 'missing.csv' JOIN soon ON true", 'soon'],
    ['DROP TABLE later', 'later+'],
  ])('%s', async (sql, expected) => {
    expect(await tables(sql)).toBe(expected);
  });

  it('follows a body that makes its own tables', async () => {
    const body = ['CREATE TABLE stage AS SELECT * FROM stock', 'INSERT INTO orders SELECT id, amount, NULL FROM stage', 'DROP TABLE stage'];
    expect(await tables(body)).toBe('orders+ stage stage+ stock');
    expect(await tables(['CREATE TEMP TABLE stage AS SELECT * FROM soon', 'INSERT INTO later SELECT * FROM stage'])).toBe('later+ soon');
  });
});

describe('what cannot be known is said to be unknown', () => {
  it.each([
    ['PIVOT orders ON day USING sum(amount)', '?'],
    ['SELECT * EXCLUDE (x) FROM soon', '?'],
    ['INSERT INTO later BY NAME SELECT 1 AS x', '? ?+'],
    ['WITH soon AS (SELECT * FROM soon) SELECT * FROM soon', '? ?+'],
    ['WITH Soon AS (SELECT * FROM (SELECT * FROM soon) x) SELECT * FROM soon', '? ?+'],
    ['SELECT * FROM later WHERE x IN (WITH k AS (SELECT * FROM soon) SELECT * FROM k)', '?'],
    ['CALL restock(1)', '? ?+'],
    ['EXECUTE prepared_before', '? ?+'],
    ['this is no SQL', '? ?+'],
    ['SELECT \0', '?'],
  ])('%j', async (sql, expected) => {
    expect(await tables(sql)).toBe(expected);
  });
});

it('neither executes anything nor aborts the transaction it is asked in', async () => {
  await run('BEGIN');
  await run('INSERT INTO stock VALUES (77, 1)');
  await tables([
    'DELETE FROM stock',
    'SELECT * FROM nowhere',
    "SELECT * FROM read_csv('missing.csv')",
    'no SQL',
    "SELECT 'x'::INTEGER",
    'COMMIT',
    'ROLLBACK',
  ]);
  expect(await connection.all('SELECT * FROM stock')).toEqual([{ id: 77, amount: 1 }]);
  await run('ROLLBACK');
  expect(await connection.all('SELECT * FROM stock')).toEqual([]);
});

describe('definitions', () => {
  test('a CALL reads and writes what its procedure does', async ({ db }) => {
    await db.run(
      'CREATE TABLE orders (id INTEGER)',
      'CREATE TABLE stock (id INTEGER)',
      'UPSERT PROCEDURE fill(day TIMESTAMPTZ) AS BEGIN INSERT INTO stock SELECT id FROM orders; END',
      'UPSERT PROCEDURE both() AS BEGIN CALL fill($scheduled_at); TRUNCATE orders; END',
      "SELECT cron.schedule('j', '@daily', 'CALL both()')",
    );
    const found = await db.rows("SELECT table_name, access FROM cron.lineage WHERE object = 'j' ORDER BY ALL");
    expect(found.map((row) => Object.values(row).join(' '))).toEqual(['orders reads', 'orders writes', 'stock writes']);
  });

  test('a file called cron.duckdb has tables like any other', async ({ db }) => {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-lineage-'));
    const engine = await openEngine(join(folder, 'cron.duckdb'), { clock: db.clock, zone: 'UTC' });
    const session = await engine.session({ actor: 'tester', admin: true });
    await session.execute('CREATE TABLE stock (id INTEGER)');
    await session.execute("UPSERT SCHEDULE j ( sched: '@daily', sql: 'INSERT INTO stock VALUES (1)' )");
    expect(await (await session.execute('SELECT table_name, access FROM cron.lineage')).toArray()).toEqual([['stock', 'writes']]);
    await session.close();
    await engine.close();
    rmSync(folder, { recursive: true });
  });
});
