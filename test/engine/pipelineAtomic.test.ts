import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';
import { define, failed, stepRows, workTables } from '../support/pipelines.ts';

const atomic = ', atomic: true';

describe('an atomic pipeline', () => {
  test('is one transaction with its closing row and those of its steps', async ({ db }) => {
    await db.run(
      'CREATE TABLE t (id BIGINT, tx BIGINT)',
      "CREATE TABLE items AS SELECT 'mine' AS name",
      'UPSERT PROCEDURE add(id BIGINT) AS BEGIN INSERT INTO t VALUES ($id, txid_current()); END',
    );
    await define(
      db,
      `{ name: find, query: 'SELECT i AS id FROM range(3) t(i)', as: items }, { name: add, for_each: items, call: add, args: { id: item.id } },
       { name: first, sql: 'INSERT INTO t SELECT $id + 10, txid_current() FROM items', args: { id: items.id } },
       { name: beside, sql: 'SELECT name FROM items', after: [] }, { name: each, for_each: items, query: 'SELECT $id * 2 AS d', args: { id: item.id }, as: twice, after: [find] },
       { name: check, expect: 'SELECT count(*) = 6 AND count(DISTINCT tx) = 1 FROM t', after: [first, beside, each] }, { name: no, sql: 'SELECT 1', if: 'SELECT false' },
       { name: last, sql: 'SELECT sum(d) AS d FROM twice' }`,
      atomic,
    );
    await db.run('UPSERT SCHEDULE p ( exe: pipeline, call: p )');
    expect(await db.rows('RUN SCHEDULE p')).toMatchObject([{ state: 'succeeded', reason: null, rows_changed: 6n, result: '[{"d":6}]' }]);
    expect(await db.rows('SELECT guarantee, guarantee_reason FROM cron.runs')).toEqual([
      { guarantee: 'exactly_once', guarantee_reason: null },
    ]);
    expect((await stepRows(db, 'step, item, state')).map((row) => `${row['step']} ${row['item']} ${row['state']}`)).toEqual([
      'find null succeeded',
      ...[0, 1, 2].map((item) => `add ${item} succeeded`),
      'add null succeeded',
      'first null succeeded',
      'beside null succeeded',
      ...[0, 1, 2].map((item) => `each ${item} succeeded`),
      'each null succeeded',
      'check null succeeded',
      'no null skipped',
      'last null succeeded',
    ]);
    expect(await stepRows(db, "result, step = 'beside' AS own")).toContainEqual({ result: '[{"name":"mine"}]', own: true });
    expect(await workTables(db)).toEqual([]);
  });

  test('leaves nothing where a step fails but the rows that say so', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    await define(
      db,
      `{ name: a, sql: 'INSERT INTO t VALUES (1)' }, { name: b, expect: 'FROM t', message: 'must be empty' }, { name: c, sql: 'INSERT INTO t VALUES (2)' }`,
      atomic,
    );
    const reason = 'step b: must be empty: 1 row offends';
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(reason));
    expect(await db.rows('FROM t')).toEqual([]);
    expect(await stepRows(db)).toEqual([
      { step: 'a', item: null, state: 'cancelled', reason: 'rolled back: step b ended the pipeline' },
      { step: 'b', item: null, state: 'failed', reason: 'must be empty: 1 row offends' },
      { step: 'c', item: null, state: 'skipped', reason: 'not begun: step b ended the pipeline' },
    ]);
    expect(await db.rows('SELECT error_message, error_detail FROM cron.runs')).toEqual([
      { error_message: reason, error_detail: '{"step":"b","rows":[{"i":1}]}' },
    ]);
    await define(db, `{ name: a, sql: 'INSERT INTO t VALUES (1); SELECT 1 WHERE false', on_empty: skip('nothing') }`, atomic);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'skipped', reason: 'nothing' }]);
    await define(db, `{ name: a, sql: 'INSERT INTO t VALUES (1)' }, { name: b, sql: 'SELECT 1', if: 'SELECT nope' }`, atomic);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(expect.stringMatching(/^step b: in its condition \(if\): .*nope/)));
    expect(await db.rows('FROM t')).toEqual([]);
  });

  test('ends at a timeout of its own or of a step, and nothing of it stays', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    const slow = `{ name: a, sql: 'INSERT INTO t VALUES (1)' }, { name: b, sql: 'SELECT sum(a.i * b.i) FROM range(100000000) a(i), range(100000000) b(i)'`;
    await define(db, `${slow} }`, `${atomic}, timeout: 1s`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'timed_out', reason: 'it ran longer than its timeout of 1s' }]);
    expect((await stepRows(db)).map((row) => row['state'])).toEqual(['cancelled', 'cancelled']);
    await define(db, `${slow}, timeout: 1s }`, atomic);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed('step b: it ran longer than its timeout of 1s'));
    expect((await stepRows(db)).map((row) => row['state'])).toEqual(['cancelled', 'timed_out']);
    expect(await db.rows('FROM t')).toEqual([]);
  });

  test('begins anew where somebody else wrote the same rows first', async ({ db }) => {
    await db.run('CREATE TABLE t AS SELECT 0 AS n');
    await define(
      db,
      `{ name: a, query: 'SELECT 1 AS one', as: x }, { name: b, for_each: x, sql: 'UPDATE t SET n = n + $o', args: { o: item.one } }`,
      atomic,
    );
    await db.run(...Array.from({ length: 5 }, (_, i) => `UPSERT SCHEDULE s${i} ( exe: pipeline, call: p, max_retries: 0 )`));
    await db.engine.scheduler.start();
    expect(await db.rows('RUN SCHEDULE s0, s1, s2, s3, s4 AWAIT')).toMatchObject(Array(5).fill({ state: 'succeeded', reason: null }));
    expect(await db.rows('FROM t')).toEqual([{ n: 5 }]);
    expect(await db.rows('SELECT count(*) AS n FROM cron.step_runs')).toEqual([{ n: 15n }]);
  });
});

describe('RUN PIPELINE .. DRY RUN', () => {
  test('does all of it, tells what came of it, and takes it back', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    await define(
      db,
      `{ name: a, sql: 'INSERT INTO t VALUES ($n); SELECT count(*) AS n FROM t', as: x, retry: 2 times }, { name: b, for_each: x, sql: 'INSERT INTO t VALUES (2)', parallel: 4 }`,
      ', params: { n: 1 }',
    );
    expect(await db.rows('RUN PIPELINE p WITH ( n: 5 ) DRY RUN')).toEqual([
      {
        run_id: null,
        pipeline: 'p',
        state: 'succeeded',
        reason: null,
        duration_ms: 0,
        rows_changed: 2n,
        result: '{"items":1,"succeeded":1,"failed":0}',
      },
    ]);
    expect(await db.rows('FROM t')).toEqual([]);
    expect(await db.rows('LIST RUNS')).toEqual([]);
    expect(await db.rows('FROM cron.step_runs')).toEqual([]);
    expect(await workTables(db)).toEqual([]);
    await define(db, `{ name: a, sql: 'INSERT INTO t VALUES (1)' }, { name: b, sql: 'SELECT error(''boom'')', on_fail: continue }`);
    expect(await db.rows('RUN PIPELINE p DRY RUN')).toMatchObject(failed(expect.stringMatching(/^step b: .*boom/)));
    await db.run('UPSERT SCHEDULE p ( exe: pipeline, call: p )');
    expect(await db.rows('RUN SCHEDULE p DRY RUN')).toMatchObject([{ run_id: null, state: 'failed' }]);
    expect(await db.rows('FROM t')).toEqual([]);
  });

  test('refuses what it cannot take back, naming the step, before anything is done', async ({ db }) => {
    const file = join(db.folder, 'file');
    await db.run("UPSERT PROCEDURE hi() LANGUAGE command AS ['true']");
    const refusals = [
      ["command: 'true'", 'step b is of kind command: a dry run cannot take it back'],
      ["handler: './x.mjs'", 'step b is of kind handler: a dry run cannot take it back'],
      ['emit: e', 'step b is of kind emit: a dry run cannot take it back'],
      ['call: hi', 'step b calls hi, a command procedure: a dry run cannot take it back'],
      [`sql: 'COPY (SELECT 1) TO ''${file}'''`, 'a dry run cannot take back what it does: it writes a file'],
    ];
    for (const [work, reason] of refusals) {
      await define(db, `{ name: a, sql: 'SELECT 1' }, { name: b, ${work} }`);
      expect(await db.rows('RUN PIPELINE p DRY RUN'), work).toMatchObject(failed(reason));
    }
    expect(existsSync(file)).toBe(false);
  });
});
