// pg-boss. `tuned` takes 100 jobs at once, asks every half second (the least it allows), and asks again at once after a full batch, with as
// many workers as the concurrency. A job is complete when its row says so; the rows stay until they are archived.

import PgBoss from 'pg-boss';
import { lastingPool } from './postgres.mjs';

export async function open({ server, tuned = false, kind = 'noop', fresh = true }) {
  const pool = lastingPool(server);
  if (fresh) await pool.query('DROP SCHEMA IF EXISTS pgboss CASCADE');
  const own = await begin(server, tuned);
  if (fresh) await own.createQueue('bench');
  const [{ partition_name: table = 'job' } = {}] = (await pool.query("SELECT partition_name FROM pgboss.queue WHERE name = 'bench'")).rows;
  let worker;
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
      // One of its own, because to stop it is the only way to wait for the end of its workers.
      const boss = await begin(server, tuned);
      worker = boss;
      const add = async () => {
        let id;
        const handler = async (jobs) => {
          for (const { data } of jobs) started(data.id, data.nominal);
          if (kind === 'sql') for (const _ of jobs) await boss.getDb().executeSql('SELECT 1', []);
          if (tuned && jobs.length === options.batchSize) boss.notifyWorker(id);
        };
        id = await boss.work('bench', options, handler);
      };
      await Promise.all(Array.from({ length: concurrency }, add));
    },
    completed: async () => (await count()) - before,
    kept: () => count(),
    async rest() {
      await worker?.stop({ graceful: true, wait: true, timeout: 10_000 });
      worker = undefined;
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

async function begin({ port }, tuned) {
  const options = { host: '127.0.0.1', port, user: 'postgres', password: '', database: 'postgres', max: 40 };
  const boss = new PgBoss({ ...options, ...(tuned ? { cronMonitorIntervalSeconds: 1, cronWorkerIntervalSeconds: 1 } : {}) });
  boss.on('error', () => {});
  await boss.start();
  return boss;
}
