// Pipelines of a size that nobody writes by hand, and what is missing when they run.

import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';
import { define, failed, stepRows, workTables } from '../support/pipelines.ts';

describe('a pipeline', () => {
  test('does ten thousand items, each once and with a row of its own', async ({ db }) => {
    await db.run('CREATE TABLE done (id BIGINT)');
    await define(
      db,
      `{ name: find, query: 'SELECT i AS id FROM range(10000) t(i)', as: items },
       { name: each, for_each: items, parallel: 4, sql: 'INSERT INTO done VALUES ($id)', args: { id: item.id } }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', rows_changed: 10_000n }]);
    expect(await db.rows('SELECT count(*) AS n, count(DISTINCT id) AS d FROM done')).toEqual([{ n: 10_000n, d: 10_000n }]);
    const rows =
      "SELECT count(*) AS n, count(DISTINCT item) AS d, max(attempt) AS a FROM cron.step_runs WHERE state = 'succeeded' AND item IS NOT NULL";
    expect(await db.rows(rows)).toEqual([{ n: 10_000n, d: 10_000n, a: 1n }]);
    expect(await workTables(db)).toEqual([]);
  });

  test('does a thousand items at once, of which those fail that fail', async ({ db }) => {
    await db.run('CREATE TABLE done (id BIGINT)');
    await define(
      db,
      `{ name: find, query: 'SELECT i AS id FROM range(1500) t(i)', as: items },
       { name: each, for_each: items, parallel: 1000, sql: 'INSERT INTO done SELECT CASE WHEN $id % 500 = 7 THEN error(''no'') ELSE $id END RETURNING id', args: { id: item.id }, as: good, on_fail: continue },
       { name: count, sql: 'SELECT count(*) AS n, count(DISTINCT id) AS d FROM good' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', result: '[{"n":1497,"d":1497}]' }]);
    expect(await db.rows('SELECT count(*) AS n, count(DISTINCT id) AS d FROM done')).toEqual([{ n: 1497n, d: 1497n }]);
    const rows = await db.rows(
      "SELECT item FROM cron.step_runs WHERE step = 'each' AND state = 'failed' AND item IS NOT NULL ORDER BY item",
    );
    expect(rows).toEqual([{ item: 7n }, { item: 507n }, { item: 1007n }]);
  });

  test('runs three hundred steps side by side, and as many one after the other', async ({ db }) => {
    await db.run('CREATE TABLE done (i INTEGER)');
    const step = (name: string, more: string): string => `{ name: ${name}, sql: 'INSERT INTO done VALUES (1)'${more} }`;
    const beside = Array.from({ length: 300 }, (_, i) => step(`a${i}`, ', after: []'));
    const behind = Array.from({ length: 300 }, (_, i) => step(`b${i}`, ''));
    await define(db, [...beside, ...behind].join(', '));
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', rows_changed: 600n }]);
    expect(await stepRows(db, 'count(DISTINCT step) AS n')).toEqual([{ n: 600n }]);
  });

  test('whose items change their own connection gives each item one of its own', async ({ db }) => {
    await define(
      db,
      `{ name: find, query: 'SELECT i AS id FROM range(40) t(i)', as: items },
       { name: each, for_each: items, sql: 'CREATE TEMP TABLE mine AS SELECT $id AS id; SET VARIABLE seen = coalesce(getvariable(''seen''), 0) + 1; SELECT error(''shared'') FROM mine WHERE getvariable(''seen'') > 1', args: { id: item.id } }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', reason: null }]);
  });

  test('whose procedure or executor is gone fails at that step, and says what is missing', async ({ db }) => {
    await db.run('UPSERT PROCEDURE gone() AS BEGIN SELECT 1; END');
    await define(db, "{ name: a, sql: 'SELECT 1' }, { name: b, call: gone }");
    const native = await db.engine.database.connect();
    await native.run("DELETE FROM my.cuckoo_ledger.routine WHERE name = 'gone'");
    await native.close();
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed('step b: procedure gone does not exist'));
    await define(db, "{ name: a, handler: './nowhere.mjs' }");
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(expect.stringMatching(/^step a: .*nowhere\.mjs/)));
  });
});
