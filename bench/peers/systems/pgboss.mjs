// pg-boss. `tuned` takes 100 jobs at once, asks every half second (the least it allows), and asks again at once after a full batch, with as
// many workers as the concurrency. A job is complete when its row says so; the rows stay until they are archived.

import PgBoss from 'pg-boss';
import { lastingPool } from './postgres.mjs';

export async function open({ server, tuned = false, kind = 'noop', fresh = true }) {
  const pool = lastingPool(server);
  if (fresh) await pool.query('DROP SCHEMA IF EXISTS pgboss CASCADE');
  const own = await boss(server, tuned);
  if (fresh) await own.createQueue('bench');
  const [{ partition_name: table = 'job' } = {}] = (await pool.query("SELECT partition_name FROM pgboss.queue WHERE name = 'bench'")).rows;
  let workers = [];
  let before = 0;

  const count = async () => Number((await pool.query(`SELECT count(*) FROM pgboss.${table} WHERE state = 'completed'`)).rows[0].count);
  const insert = async (amount, options) => {
    for (let from = 0; from < amount; from += 1000) {
      const jobs = Array.from({ length: Math.min(1000, amount - from) }, (_, at) => ({
        name: 'bench',
        data: { id: from + at },
        ...options,
      }));
      await own.insert(jobs);
    }
    await pool.query(`ANALYZE pgboss.${table}`);
  };

  return {
    enqueue: (amount) => insert(amount),
    async work({ concurrency, started }) {
      before = await count();
      const options = tuned ? { batchSize: 100, pollingIntervalSeconds: 0.5 } : { batchSize: 1, pollingIntervalSeconds: 2 };
      const add = async () => {
        let id;
        const handler = async (jobs) => {
          for (const { data } of jobs) started(data.id, data.nominal);
          if (kind === 'sql') for (const _ of jobs) await own.getDb().executeSql('SELECT 1', []);
          if (tuned && jobs.length === options.batchSize) own.notifyWorker(id);
        };
        id = await own.work('bench', options, handler);
        return id;
      };
      workers = await Promise.all(Array.from({ length: concurrency }, add));
    },
    completed: async () => (await count()) - before,
    kept: () => count(),
    async rest() {
      for (const id of workers.splice(0)) await own.offWork({ id });
    },
    async clear() {
      await pool.query(`TRUNCATE pgboss.${table}`);
    },
    async bytes() {
      return Number((await pool.query(`SELECT pg_total_relation_size('pgboss.${table}') AS bytes`)).rows[0].bytes);
    },
    later: (amount, instant) => insert(amount, { startAfter: new Date(instant) }),
    /** A schedule is one row of a queue, so each needs a queue, which is a table of its own. */
    async register(amount, { pattern }) {
      for (let at = 0; at < amount; at++) {
        await own.createQueue(`q${at}`);
        await own.schedule(`q${at}`, pattern);
      }
    },
    registered: async () => Number((await pool.query('SELECT count(*) FROM pgboss.schedule')).rows[0].count),
    async everySecond() {
      const first = Math.ceil(Date.now() / 1000) * 1000;
      const instants = Array.from({ length: 60 }, (_, at) => first + at * 1000);
      await own.insert(
        instants.map((nominal) => ({ name: 'bench', data: { id: `n${nominal}`, nominal }, startAfter: new Date(nominal).toISOString() })),
      );
    },
    async close() {
      await this.rest();
      await own.stop({ graceful: false, wait: false }).catch(() => {});
      await pool.end().catch(() => {});
    },
  };
}

async function boss({ port }, tuned) {
  const options = { host: '127.0.0.1', port, user: 'postgres', password: '', database: 'postgres', max: 40 };
  const own = new PgBoss({ ...options, ...(tuned ? { cronMonitorIntervalSeconds: 1, cronWorkerIntervalSeconds: 1 } : {}) });
  own.on('error', () => {});
  await own.start();
  return own;
}
