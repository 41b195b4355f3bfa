// Queries that never end, beside schedules that must go on. On a real clock, because it is the machine that they take; how late the
// others are is measured in bench/hostile.ts.

import { availableParallelism } from 'node:os';
import { expect } from 'vitest';
import { systemClock } from '../../src/scheduler/clock.ts';
import type { FinishedRun } from '../../src/scheduler/run.ts';
import { type TestDatabase, test } from '../support/database.ts';

const endless = 'SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)';

/** So many runs of endless queries are at work in the database. */
async function begin(db: TestDatabase, count: number): Promise<void> {
  const { scheduler, admission } = db.engine;
  for (let number = 0; number < count; number += 1) await db.run(`UPSERT SCHEDULE endless_${number} ( sql: '${endless}' )`);
  const started = new Promise<void>((resolve) => {
    let left = count;
    scheduler.events.on('run:started', () => {
      left -= 1;
      if (left === 0) resolve();
    });
  });
  for (let number = 0; number < count; number += 1) void db.engine.runByHand(`endless_${number}`, {});
  await started;
  while (admission.active('run') < count) await systemClock.yieldTurn();
}

/** The next runs that end. */
function finished(db: TestDatabase, count: number): Promise<FinishedRun[]> {
  const runs: FinishedRun[] = [];
  return new Promise((resolve) => {
    const stop = db.engine.scheduler.events.on('run:finished', (run) => {
      runs.push(run);
      if (runs.length < count) return;
      stop();
      resolve(runs);
    });
  });
}

test('with twice as many endless queries as there are cores, other schedules open and run, and LIST RUNS answers', async ({ db }) => {
  await db.reopen({ clock: systemClock, graceMs: 0 });
  const queries = 2 * availableParallelism();
  await db.run(`SET cron.workers = ${queries + 2}`, 'CREATE TABLE t(n INTEGER)');
  await db.engine.scheduler.start();
  await begin(db, queries);
  await db.run(
    "UPSERT SCHEDULE one ( sched: every 1s, overlap: queue, sql: 'INSERT INTO t VALUES (1)' )",
    "UPSERT SCHEDULE two ( sched: every 1s, overlap: queue, sql: 'INSERT INTO t VALUES (2)' )",
  );
  const others = await finished(db, 6);
  expect(others.map((run) => run.state)).toEqual(others.map(() => 'succeeded'));
  expect(new Set(others.map((run) => run.schedule))).toEqual(new Set(['one', 'two']));
  const runs = await db.rows("SELECT state, count(*)::INTEGER AS count FROM cron.runs WHERE schedule LIKE 'endless%' GROUP BY ALL");
  expect(runs).toEqual([{ state: 'running', count: queries }]);
  expect((await db.rows('LIST RUNS')).length).toBeGreaterThanOrEqual(queries + 6);
});

test('in the pool of four threads that a library finds, one heavy statement runs at once, and functions of the host beside it', async ({
  db,
}) => {
  await db.reopen({ clock: systemClock, graceMs: 0, poolSize: 4 });
  expect(db.engine.warnings).toEqual([expect.stringContaining('The pool has 4 threads, so 1 heavy statement runs at once')]);
  await db.run('SET cron.workers = 3', 'CREATE TABLE t(n INTEGER)');
  db.engine.worker.executors.add('nothing', { execute: async () => 7 });
  await db.engine.scheduler.start();
  await begin(db, 1);
  await db.run(
    "UPSERT SCHEDULE waits ( sched: every 1s, sql: 'INSERT INTO t VALUES (1)', overlap: queue )",
    'UPSERT SCHEDULE called ( sched: every 1s, exe: nothing, call: x, overlap: queue )',
    'UPSERT PROCEDURE puts() AS BEGIN INSERT INTO t VALUES (2); END',
    'UPSERT SCHEDULE too ( sched: every 1s, call: puts, overlap: queue )',
  );
  const others = await finished(db, 3);
  expect(others).toMatchObject([1, 2, 3].map(() => ({ schedule: 'called', state: 'succeeded', result: 7 })));
  const waits = "SELECT count(*) > 0 AS waits, count_if(state <> 'pending') AS taken FROM cron.runs WHERE schedule = 'waits'";
  expect(await db.rows(waits)).toEqual([{ waits: true, taken: 0n }]);
  const [{ run_id: id } = {}] = await db.rows("SELECT run_id FROM cron.runs WHERE schedule = 'waits' LIMIT 1");
  expect(await db.rows(`EXPLAIN RUN '${String(id)}'`)).toContainEqual(
    expect.objectContaining({ what: 'waits', detail: expect.stringContaining('for database threads: 1 of 1 busy') }),
  );
  // One worker has the endless query; of the others one may have begun `too`, which was not known to be SQL then.
  expect(await db.rows('SELECT total, active >= 1 AS active, idle >= 1 AS idle FROM cron.workers')).toEqual([
    { total: 3n, active: true, idle: true },
  ]);
  await db.run("CANCEL RUNS WHERE schedule LIKE 'endless%'");
  const freed = await finished(db, 4);
  expect(freed.map(({ schedule }) => schedule)).toContain('waits');
});
