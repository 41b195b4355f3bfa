// Short SQL runs that wait at the same moment share a transaction. `now()` is when a transaction began, so it tells who did.

import { expect } from 'vitest';
import { Connection } from '../../../src/engine/store/duckdb/connection.ts';
import type { FinishedRun } from '../../../src/scheduler/run.ts';
import { type TestDatabase, test } from '../../support/database.ts';

const names = Array.from({ length: 12 }, (_, at) => `s${at}`);

/** Twelve schedules that note down when their transaction began; the body of one may be another. Each has run once, and was short. */
async function twelve(db: TestDatabase, bodyOf: Readonly<Record<string, string>> = {}): Promise<void> {
  await db.run('SET cron.workers = 16', 'CREATE TABLE noted(name VARCHAR, began TIMESTAMPTZ)', 'CREATE TABLE switch AS SELECT 0 AS size');
  for (const name of names) {
    const body = bodyOf[name] ?? `INSERT INTO noted VALUES ('${name}', now())`;
    await db.run(`UPSERT SCHEDULE ${name} ( sql: $cuckoo$ ${body} $cuckoo$, max_retries: 0 )`);
  }
  for (const name of names) expect((await db.engine.runByHand(name, {})).state).toBe('succeeded');
  await db.run('DELETE FROM noted');
}

/** All at once. */
function runAll(db: TestDatabase): Promise<FinishedRun[]> {
  return Promise.all(names.map((name) => db.engine.runByHand(name, {})));
}

const statesOf = (runs: readonly FinishedRun[]): string[] => runs.map(({ schedule, state }) => `${schedule} ${state}`);
const allSucceeded = names.map((name) => `${name} succeeded`);

async function notedBy(db: TestDatabase): Promise<unknown[]> {
  return (await db.rows('SELECT name FROM noted ORDER BY name')).map(({ name }) => name);
}

const sorted = (values: readonly string[]): string[] => [...values].sort();

test('short runs that wait at the same moment commit together, each with its own row', async ({ db }) => {
  await twelve(db);
  expect(statesOf(await runAll(db))).toEqual(allSucceeded);
  expect(await notedBy(db)).toEqual(sorted(names));
  const [transactions] = await db.rows('SELECT count(DISTINCT began) AS count FROM noted');
  expect(Number(transactions?.['count'])).toBeLessThan(names.length);
  const rows = await db.rows(
    `SELECT schedule, state, rows_changed, guarantee, attempt FROM cron.runs
     QUALIFY row_number() OVER (PARTITION BY schedule ORDER BY run_id DESC) = 1`,
  );
  expect(rows).toHaveLength(names.length);
  for (const row of rows) expect(row).toMatchObject({ state: 'succeeded', rows_changed: 1n, guarantee: 'exactly_once', attempt: 1n });
});

test('what follows a run follows it as if it had been alone', async ({ db }) => {
  await twelve(db);
  await db.run("UPSERT SCHEDULE behind ( after: s3, sql: 'SELECT $parent_run_id' )");
  await db.engine.scheduler.start();
  const behind = new Promise<FinishedRun>((resolve) => {
    db.engine.scheduler.events.on('run:finished', (run) => {
      if (run.schedule === 'behind') resolve(run);
    });
  });
  const runs = await runAll(db);
  const { state, result } = await behind;
  expect({ state, result }).toEqual({ state: 'succeeded', result: [{ $parent_run_id: runs[3]?.runId }] });
});

test('what fails among them fails alone, and nothing is done twice', async ({ db }) => {
  const failing = "INSERT INTO noted SELECT 's5', CASE WHEN size > 0 THEN error('not today') ELSE now() END FROM switch";
  await twelve(db, { s5: failing });
  await db.run('UPDATE switch SET size = 1');
  const runs = await runAll(db);
  expect(statesOf(runs)).toEqual(names.map((name) => `${name} ${name === 's5' ? 'failed' : 'succeeded'}`));
  expect(runs[5]?.reason).toMatch(/not today/);
  expect(await notedBy(db)).toEqual(sorted(names.filter((name) => name !== 's5')));
});

test('one that takes long all at once does not keep the others waiting, and can be cancelled', async ({ db }) => {
  const long = 'SELECT sum(a.i * b.i) FROM range((SELECT size FROM switch)) a(i), range((SELECT size FROM switch)) b(i)';
  await twelve(db, { s5: long });
  await db.run('UPDATE switch SET size = 10_000_000');
  const runs = names.map((name) => db.engine.runByHand(name, {}));
  const others = await Promise.all(runs.filter((_, at) => at !== 5));
  expect(statesOf(others)).toEqual(allSucceeded.filter((state) => !state.startsWith('s5 ')));
  expect(await notedBy(db)).toEqual(sorted(names.filter((name) => name !== 's5')));
  await db.run('CANCEL RUNS WHERE true');
  expect((await runs[5])?.state).toBe('cancelled');
});

test('one that somebody else has closed meanwhile leaves nothing behind, and takes nobody with it', async ({ db }) => {
  await twelve(db);
  const other = new Connection(await db.engine.database.connect());
  let gone = '';
  db.engine.scheduler.events.on('run:started', ({ run }) => {
    if (run.schedule !== 's5') return;
    gone = run.runId;
    void other.send(`DELETE FROM cuckoo_ledger.open_run WHERE run_id = '${run.runId}'`, 'none');
  });
  const runs = names.map((name) => db.engine.runByHand(name, {}));
  const others = await Promise.all(runs.filter((_, at) => at !== 5));
  expect(statesOf(others)).toEqual(allSucceeded.filter((state) => !state.startsWith('s5 ')));
  await other.close();
  runs[5]?.catch(() => undefined);
  expect(await notedBy(db)).toEqual(sorted(names.filter((name) => name !== 's5')));
  expect(await db.rows(`FROM cron.runs WHERE run_id = '${gone}'`)).toEqual([]);
});

test('what makes objects, changes settings or has a short time limit runs by itself', async ({ db }) => {
  const apart = {
    s0: "CREATE OR REPLACE TEMP TABLE mine AS SELECT 1; INSERT INTO noted VALUES ('s0', now())",
    s1: "SET VARIABLE x = 1; INSERT INTO noted VALUES ('s1', now())",
    s2: "INSERT INTO noted SELECT 's2', now() WHERE getvariable('x') IS NULL",
  };
  await twelve(db, apart);
  await db.run("ALTER SCHEDULE s3 SET ( timeout: '2s' )");
  await db.engine.runByHand('s3', {});
  await db.run('DELETE FROM noted');
  expect(statesOf(await runAll(db))).toEqual(allSucceeded);
  const shared = await db.rows('SELECT name FROM noted QUALIFY count(*) OVER (PARTITION BY began) > 1');
  expect(shared.length).toBeGreaterThan(1);
  for (const { name } of shared) expect(['s0', 's1', 's2', 's3']).not.toContain(name);
});
