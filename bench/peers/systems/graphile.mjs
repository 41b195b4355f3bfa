// graphile-worker. It deletes a job when it is done, so a job is complete when its row is gone. `batched` is the preset of its own
// performance test, scaled to the concurrency that is asked for.

import { Logger, makeWorkerUtils, parseCronItems, run } from 'graphile-worker';
import { lastingPool } from './postgres.mjs';

const logger = new Logger(() => () => {});

export async function open({ server, batched = false, kind = 'noop', fresh = true }) {
  const pool = lastingPool(server);
  if (fresh) await pool.query('DROP SCHEMA IF EXISTS graphile_worker CASCADE');
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  let runner;
  let ownPool;
  let due = 0;

  const start = async ({ concurrency, started, items = [] }) => {
    ownPool = lastingPool(server, concurrency + 2);
    runner = await run({
      pgPool: ownPool,
      logger,
      noHandleSignals: true,
      concurrency,
      parsedCronItems: items,
      preset: {
        worker: {
          concurrentJobs: concurrency,
          maxPoolSize: concurrency + 1,
          pollInterval: 2000,
          ...(batched
            ? { localQueue: { size: 500, refetchDelay: { durationMs: 10 } }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
            : {}),
        },
      },
      taskList: {
        noop: async ({ id, nominal }) => {
          started(id, nominal);
        },
        sql: async ({ id }, { query }) => {
          started(id);
          await query('SELECT 1');
        },
      },
    });
  };

  return {
    async enqueue(count) {
      due = count;
      const text = 'SELECT count(graphile_worker.add_job($1, json_build_object($2::text, i))) FROM generate_series(1, $3::int) numbers(i)';
      await pool.query(text, [kind, 'id', count]);
      await pool.query('ANALYZE graphile_worker._private_jobs');
    },
    work: (asked) => start(asked),
    async completed() {
      return due - Number((await pool.query('SELECT count(*) FROM graphile_worker._private_jobs')).rows[0].count);
    },
    kept: async () => undefined,
    async rest() {
      await runner?.stop().catch(() => {});
      runner = undefined;
      await ownPool?.end().catch(() => {});
      ownPool = undefined;
    },
    async clear() {
      await pool.query('DELETE FROM graphile_worker._private_jobs');
    },
    async later(count, instant) {
      due = count;
      const text = `SELECT count(graphile_worker.add_job('noop', json_build_object('id', i), run_at => $1)) FROM generate_series(1, $2::int) numbers(i)`;
      await pool.query(text, [new Date(instant), count]);
    },
    async register(count, { pattern }) {
      const items = Array.from({ length: count }, (_, at) => ({ task: 'noop', identifier: `s${at}`, match: pattern }));
      await start({ concurrency: 1, started: () => {}, items: parseCronItems(items) });
      await untilRegistered(pool, count);
    },
    registered: async () => Number((await pool.query('SELECT count(*) FROM graphile_worker._private_known_crontabs')).rows[0].count),
    /** Its crons know minutes; for seconds a user adds jobs of one instant each. */
    async everySecond() {
      const first = Math.ceil(Date.now() / 1000) * 1000;
      for (let at = 0; at < 60; at++) {
        const nominal = first + at * 1000;
        await utils.addJob('noop', { id: `n${nominal}`, nominal }, { runAt: new Date(nominal) });
      }
    },
    async close() {
      await this.rest();
      await pool.end().catch(() => {});
    },
  };
}

async function untilRegistered(pool, count) {
  for (;;) {
    const { rows } = await pool.query('SELECT count(*) FROM graphile_worker._private_known_crontabs');
    if (Number(rows[0].count) >= count) return;
  }
}
