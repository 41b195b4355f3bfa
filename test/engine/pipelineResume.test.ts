import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { noCounters } from '../../src/scheduler/run.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { define, stepRows, workTables } from '../support/pipelines.ts';

/** What step a found is handed on to step b, which fails until there is a table `wanted`. */
const steps = `{ name: a, sql: 'INSERT INTO log VALUES (''a''); SELECT 41 AS n', as: found },
  { name: b, sql: 'INSERT INTO log SELECT ''b '' || (n + 1) FROM found, wanted' }`;

async function prepare(db: TestDatabase, schedule = 'max_retries: 0'): Promise<void> {
  await db.run('CREATE TABLE log (line VARCHAR)');
  await define(db, steps);
  await db.run(`UPSERT SCHEDULE p ( exe: pipeline, call: p, ${schedule} )`);
}
const mend = 'CREATE TABLE wanted AS SELECT 1 AS one';
const log = async (db: TestDatabase): Promise<unknown[]> => (await db.rows('FROM log')).map(({ line }) => line);
const later = async (db: TestDatabase, time: string) => {
  db.clock.set(time);
  return (await db.engine.scheduler.tick(db.clock.now())).finished;
};

describe('the next attempt of a pipeline', () => {
  test('goes on behind what is committed, and finds again what was kept', async ({ db }) => {
    await prepare(db, 'max_retries: 1, retry_delay: 10s, retry_jitter: false');
    const [first] = await db.rows('RUN SCHEDULE p');
    expect(first).toMatchObject({ state: 'failed', reason: expect.stringMatching(/^step b: .*wanted.*retry in 10s$/) });
    expect(await workTables(db)).toEqual([{ table_name: `${first?.['run_id']}_found` }]);
    await db.run(mend);
    expect(await later(db, '2026-11-20T12:00:11Z')).toMatchObject([{ state: 'succeeded', attempt: 2, result: null }]);
    expect(await log(db)).toEqual(['a', 'b 42']);
    expect(await stepRows(db, 'step, state')).toEqual([{ step: 'b', state: 'succeeded' }]);
    expect(await db.rows('SELECT notes FROM cron.runs WHERE attempt = 2')).toEqual([{ notes: ['resumed: 1 of 2 steps were done before'] }]);
    expect(await workTables(db)).toEqual([]);
  });

  test('by hand does the same, of a run that belongs to a schedule and of one that does not', async ({ db }) => {
    await prepare(db);
    const [[bySchedule], [byName]] = [await db.rows('RUN SCHEDULE p'), await db.rows('RUN PIPELINE p')];
    expect([bySchedule?.['state'], byName?.['state']]).toEqual(['failed', 'failed']);
    expect(await workTables(db)).toHaveLength(2);
    await db.run(mend);
    expect(await db.rows(`RETRY RUN '${bySchedule?.['run_id']}'`)).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows(`RETRY DEAD LETTER '${byName?.['run_id']}'`)).toMatchObject([{ schedule: 'p', state: 'succeeded' }]);
    expect(await log(db)).toEqual(['a', 'a', 'b 42', 'b 42']);
    expect(await workTables(db)).toEqual([]);
    expect(await db.rows('LIST DEAD LETTERS')).toEqual([]);
    expect(await db.rows('SELECT schedule, call, attempt, state FROM cron.runs WHERE schedule IS NULL ORDER BY attempt')).toEqual([
      { schedule: null, call: 'p', attempt: 1n, state: 'failed' },
      { schedule: null, call: 'p', attempt: 2n, state: 'succeeded' },
    ]);
    expect(await db.mistake(`RETRY RUN '${byName?.['run_id']}'`)).toMatchObject({ hint: 'RUN PIPELINE p; runs it again' });
  });

  test('does no item twice', async ({ db }) => {
    await db.run('CREATE TABLE done (id BIGINT)', 'CREATE TABLE bad AS SELECT 3 AS id');
    await define(
      db,
      `{ name: find, query: 'SELECT i AS id, random() AS r FROM range(6) t(i)', as: items },
       { name: each, for_each: items, sql: 'INSERT INTO done SELECT CASE WHEN $id IN (FROM bad) THEN error(''bad'') ELSE $id END RETURNING id', args: { id: item.id }, as: kept },
       { name: last, sql: 'SELECT list(id) AS ids FROM kept' }`,
    );
    const [run] = await db.rows('RUN PIPELINE p');
    expect(run).toMatchObject({ state: 'failed' });
    expect(await db.rows('SELECT count(*) AS n FROM done')).toEqual([{ n: 3n }]);
    await db.run('DELETE FROM bad');
    expect(await db.rows(`RETRY RUN '${run?.['run_id']}'`)).toMatchObject([{ state: 'succeeded', result: '[{"ids":[0,1,2,3,4,5]}]' }]);
    expect(await db.rows('SELECT id FROM done ORDER BY id')).toEqual([0n, 1n, 2n, 3n, 4n, 5n].map((id) => ({ id })));
    expect((await stepRows(db, 'step, item, state')).map((row) => [row['step'], row['item']])).toEqual([
      ['each', 3n],
      ['each', 4n],
      ['each', 5n],
      ['each', null],
      ['last', null],
    ]);
  });

  test('asks no parameter anew, and no condition that was decided', async ({ db }) => {
    await db.run('CREATE TABLE t AS SELECT 1 AS i');
    await define(
      db,
      `{ name: a, sql: 'SELECT 1', if: 'SELECT $n > 1' }, { name: b, sql: 'SELECT $n AS n, typeof($n) AS t FROM wanted' }`,
      ", params: { n: sql('SELECT max(i)::UTINYINT FROM t') }",
    );
    const [run] = await db.rows('RUN PIPELINE p');
    await db.run(mend, 'INSERT INTO t VALUES (2)');
    expect(await db.rows(`RETRY RUN '${run?.['run_id']}'`)).toMatchObject([{ result: '[{"n":1,"t":"UTINYINT"}]' }]);
    expect(await stepRows(db, 'step')).toEqual([{ step: 'b' }]);
    expect(await workTables(db)).toEqual([]);
  });

  test('knows steps by their names: what is done is done, whatever has become of its text', async ({ db }) => {
    await prepare(db);
    const [run] = await db.rows('RUN PIPELINE p');
    await define(
      db,
      `{ name: before, sql: 'INSERT INTO log VALUES (''before'')' }, { name: A, sql: 'INSERT INTO log VALUES (''other'')', as: found },
       { name: b, sql: 'INSERT INTO log SELECT ''b '' || n FROM found' }`,
    );
    expect(await db.rows(`RETRY RUN '${run?.['run_id']}'`)).toMatchObject([{ state: 'succeeded' }]);
    expect(await log(db)).toEqual(['a', 'before', 'b 41']);
  });

  test('tries again what had failed, also where the pipeline had gone on', async ({ db }) => {
    await db.run('CREATE TABLE log (line VARCHAR)');
    await define(
      db,
      `{ name: a, sql: 'INSERT INTO log SELECT ''a'' FROM wanted', on_fail: continue }, { name: b, sql: 'INSERT INTO log VALUES (''b'')' }, { name: c, sql: 'FROM wanted' }`,
    );
    const [run] = await db.rows('RUN PIPELINE p');
    await db.run(mend);
    expect(await db.rows(`RETRY RUN '${run?.['run_id']}'`)).toMatchObject([{ state: 'succeeded' }]);
    expect(await log(db)).toEqual(['b', 'a']);
  });
});

describe('a pipeline that was interrupted', () => {
  test('goes on at the next start, as the same run, behind what is committed', async ({ db }) => {
    const file = join(db.folder, 'begun');
    await db.run('CREATE TABLE log (line VARCHAR)');
    const slow = `SELECT sum(a.i * b.i) FROM range(100000000) a(i), range(CASE WHEN (SELECT count(*) FROM mended) = 0 THEN 100000000 ELSE 1 END) b(i)`;
    await db.run('CREATE TABLE mended (i INTEGER)');
    await define(
      db,
      `{ name: a, sql: 'INSERT INTO log VALUES (''a''); SELECT 41 AS n', as: found },
       { name: each, for_each: found, sql: 'INSERT INTO log VALUES (''item '' || $n)', args: { n: item.n } },
       { name: b, sql: 'INSERT INTO log VALUES (''b''); COPY (SELECT 1) TO ''${file}''; ${slow}', on_fail: continue },
       { name: c, sql: 'INSERT INTO log SELECT ''c '' || n FROM found' }`,
    );
    await db.run('UPSERT SCHEDULE p ( exe: pipeline, call: p )');
    await db.engine.scheduler.start();
    await db.run('RUN SCHEDULE p');
    await expect.poll(() => existsSync(file), { timeout: 10_000, interval: 20 }).toBe(true);
    const [open] = await db.rows('SELECT run_id FROM cron.runs');
    await db.engine.scheduler.stop({ graceMs: 0 });
    // Its file was outside of the database: that attempt is over, and says so.
    expect(await db.rows('SELECT run_id, state, attempt FROM cron.runs ORDER BY attempt')).toMatchObject([
      { run_id: open?.['run_id'], state: 'interrupted', attempt: 1n },
      { state: 'pending', attempt: 2n },
    ]);
    await db.run('INSERT INTO mended VALUES (1)');
    await db.reopen();
    db.clock.set('2026-11-20T12:10:00Z');
    const finished = (await db.engine.scheduler.tick(db.clock.now())).finished;
    expect(finished).toMatchObject([{ state: 'succeeded', attempt: 2 }]);
    expect(await log(db)).toEqual(['a', 'item 41', 'b', 'c 41']);
    expect(await workTables(db)).toEqual([]);
  });

  test('leaves its run open where all of it can be rolled back', async ({ db }) => {
    await db.run('CREATE TABLE log (line VARCHAR)', 'CREATE TABLE mended (i INTEGER)');
    const slow = `SELECT sum(a.i * b.i) FROM range(100000000) a(i), range(CASE WHEN (SELECT count(*) FROM mended) = 0 THEN 100000000 ELSE 1 END) b(i)`;
    await define(db, `{ name: a, sql: 'INSERT INTO log VALUES (''a'')' }, { name: b, sql: 'INSERT INTO log VALUES (''b''); ${slow}' }`);
    await db.run('UPSERT SCHEDULE p ( exe: pipeline, call: p )');
    await db.engine.scheduler.start();
    const [run] = await db.rows('RUN SCHEDULE p');
    await expect.poll(() => stepRows(db, 'step').then((rows) => rows.length), { timeout: 10_000, interval: 20 }).toBe(1);
    await db.engine.scheduler.stop({ graceMs: 0 });
    expect(await db.rows('SELECT run_id, state FROM cron.runs')).toEqual([{ run_id: run?.['run_id'], state: 'pending' }]);
    expect(await stepRows(db, 'step, state')).toEqual([{ step: 'a', state: 'succeeded' }]);
    await db.run('INSERT INTO mended VALUES (1)');
    await db.reopen();
    expect((await db.engine.scheduler.tick(db.clock.now())).finished).toMatchObject([{ runId: run?.['run_id'], state: 'succeeded' }]);
    expect(await log(db)).toEqual(['a', 'b']);
  });
});

test('a run that is begun twice does no step twice, and one that somebody has closed does none', async ({ db }) => {
  await db.run('CREATE TABLE log (line VARCHAR)');
  await define(
    db,
    `{ name: find, query: 'SELECT i AS id FROM range(4) t(i)', as: items },
     { name: each, for_each: items, sql: 'INSERT INTO log VALUES ($id)', args: { id: item.id } }, { name: cmd, command: 'echo ran' }`,
  );
  await db.run('UPSERT SCHEDULE p ( sched: every 1m, exe: pipeline, call: p, queue: low )', 'PAUSE QUEUE low');
  db.clock.set('2026-11-20T12:01:00Z');
  await db.engine.scheduler.tick(db.clock.now());
  const [{ run_id: runId } = {}] = await db.rows('SELECT run_id FROM cron.runs');
  const fate = await db.engine.worker.fate(String(runId));
  if (fate.kind !== 'open') return expect.unreachable('it waits in a paused queue');
  const work = {
    run: fate.run,
    startedAt: db.clock.now(),
    waitedFor: null,
    counters: noCounters,
    closing: () => ({ counters: noCounters, marks: false }),
    begin: async () => {},
    progress: () => {},
  };
  const { signal } = new AbortController();
  const both = await Promise.all([db.engine.worker.execute(work, signal), db.engine.worker.execute(work, signal)]);
  expect(both.map(({ closed }) => closed).sort()).toEqual(['fenced', 'removed']);
  expect((await db.engine.worker.execute(work, signal)).closed).toBe('fenced');
  expect((await log(db)).sort()).toEqual(['0', '1', '2', '3']);
  expect(await db.rows('SELECT step, item, count(*) AS n FROM cron.step_runs GROUP BY ALL HAVING n > 1')).toEqual([]);
  expect(await db.rows('SELECT line FROM cron.run_logs')).toEqual([{ line: 'ran' }]);
});

describe('what a failed pipeline has kept', () => {
  test('stays until its dead letter is dropped', async ({ db }) => {
    await prepare(db);
    const [run] = await db.rows('RUN SCHEDULE p');
    expect(await db.engine.workTables.sweep()).toBe(0);
    await db.run(`DROP DEAD LETTER '${run?.['run_id']}'`);
    expect(await db.engine.workTables.sweep()).toBe(1);
    await db.run(mend);
    expect(await db.rows(`RETRY RUN '${run?.['run_id']}'`)).toMatchObject([
      {
        state: 'failed',
        reason: expect.stringContaining('result found of step a is not kept any more: a new run begins with the first step'),
      },
    ]);
    expect(await log(db)).toEqual(['a']);
  });

  test('stays for seven days at most, and as long as an attempt of it is open', async ({ db }) => {
    await prepare(db, 'max_retries: 2, retry_delay: 30d, retry_max_delay: 60d, retry_jitter: false, retry_backoff: fixed');
    await db.run('RUN SCHEDULE p');
    db.clock.set('2026-12-10T12:00:00Z');
    expect(await db.engine.workTables.sweep()).toBe(0);
    await later(db, '2026-12-21T12:00:00Z');
    await later(db, '2027-01-21T12:00:00Z');
    expect(await db.rows('SELECT state, final FROM cron.runs ORDER BY attempt')).toMatchObject([
      {},
      { final: false },
      { state: 'failed', final: true },
    ]);
    db.clock.set('2027-01-28T11:59:00Z');
    expect(await db.engine.workTables.sweep()).toBe(0);
    db.clock.set('2027-01-28T12:00:01Z');
    expect(await db.engine.workTables.sweep()).toBe(1);
  });

  test('and nobody knows any more is found when a scheduler starts', async ({ db }) => {
    await prepare(db);
    await db.run('RUN SCHEDULE p');
    await db.engine.database
      .connect()
      .then((native) =>
        native
          .run(
            'CREATE TABLE my.cuckoo_work."01a1f87e-3749-7004-8000-000000000000_x" AS SELECT 1 AS i; CREATE TABLE my.cuckoo_work.mine AS SELECT 1 AS i',
          )
          .then(() => native.close()),
      );
    await db.engine.scheduler.start();
    const kept = [{ table_name: expect.stringMatching(/_found$/) }, { table_name: 'mine' }];
    await expect.poll(() => workTables(db), { timeout: 10_000, interval: 20 }).toEqual(expect.arrayContaining(kept));
    await expect.poll(async () => (await workTables(db)).length, { timeout: 10_000, interval: 20 }).toBe(2);
  });
});
