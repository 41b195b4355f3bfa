// Cuckoo, through its library. Runs are made due by BACKFILL while their queue is paused, and counted when the scheduler tells that they
// have ended, which it does after the commit. It is always durable, and always keeps its history.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { open as openDatabase } from '../../../dist/index.js';

const beginning = Date.parse('2020-01-01T00:00:00Z');

export async function open({ folder, kind = 'noop', workers, fresh = true }) {
  const path = join(folder, 'cuckoo.duckdb');
  let tell = () => {};
  const handlers = {
    noop: ({ runId, scheduledAt }) => {
      tell(runId, scheduledAt.getTime());
      return null;
    },
  };
  let resumes = false;
  if (fresh) await prepare(path, { kind, workers });
  const running = await openDatabase(path, { handlers, scheduler: true });
  const run = async (text) => (await running.sql(text)).toArray();
  let succeeded = 0;
  if (kind === 'sql') running.on('run:started', (detail) => tell(detail.run.runId, detail.run.scheduledAt));
  running.on('run:finished', ({ state }) => {
    if (state === 'succeeded') succeeded++;
  });
  let from = beginning;
  const defineOnce = async (count, instant) => {
    for (let id = 0; id < count; id++) await run(`UPSERT SCHEDULE once_${id} ( sched: at '${iso(instant)}', handler: 'noop' )`);
  };

  return {
    async enqueue(count, concurrency) {
      await run('PAUSE QUEUE bench');
      await run(`SET cron.workers = ${concurrency}`);
      for (let left = count; left > 0; left -= 50_000) {
        const to = from + Math.min(left, 50_000) * 1000;
        await run(`BACKFILL SCHEDULE burn FROM '${iso(from)}' TO '${iso(to)}' PARALLEL ${concurrency}`);
        from = to;
      }
      resumes = true;
    },
    async work({ started, concurrency }) {
      tell = started;
      succeeded = 0;
      if (resumes) await run('RESUME QUEUE bench');
      else if (concurrency !== undefined) await run(`SET cron.workers = ${concurrency}`);
    },
    completed: () => succeeded,
    async kept() {
      const [[count]] = await run("SELECT count(DISTINCT run_id)::INTEGER FROM cron.runs WHERE state = 'succeeded' AND schedule = 'burn'");
      return count;
    },
    async bytes() {
      await run('CHECKPOINT');
      return statSync(path).size;
    },
    async rest() {
      tell = () => {};
    },
    async clear() {},
    /** How long `later` will take on this machine, from a part of it that is taken back. */
    async laterMs(count) {
      const some = Math.min(count, 100);
      const began = performance.now();
      await run('BEGIN');
      await defineOnce(some, Date.now() + 86_400_000);
      await run('ROLLBACK');
      return ((performance.now() - began) / some) * count;
    },
    async later(count, instant) {
      await run('BEGIN');
      await defineOnce(count, instant);
      await run('COMMIT');
    },
    async register(count, { together, pattern }) {
      if (together) await run('BEGIN');
      for (let id = 0; id < count; id++) await run(`UPSERT SCHEDULE s${id} ( sched: '${pattern}', handler: 'noop', timezone: 'UTC' )`);
      if (together) await run('COMMIT');
    },
    async registered() {
      const [[count]] = await run("SELECT count(*)::INTEGER FROM cron.schedules WHERE name LIKE 's%'");
      return count;
    },
    everySecond: () => run("UPSERT SCHEDULE second ( sched: every 1s, handler: 'noop', catchup: all, overlap: queue )"),
    close: () => running.close(),
  };
}

async function prepare(path, { kind, workers }) {
  const db = await openDatabase(path);
  const sql = async (text) => (await db.sql(text)).toArray();
  if (workers !== undefined) await sql(`SET cron.workers = ${workers}`);
  await sql('UPSERT QUEUE bench ( concurrency: 1000 )');
  const body = kind === 'sql' ? "sql: 'SELECT 1'" : "handler: 'noop'";
  // Each second of years that are over, and of one that is far: it can be backfilled, and does not fire by itself.
  const past = "sched: '* * * * * * 2020-2025,2099', timezone: 'UTC'";
  await sql(`UPSERT SCHEDULE burn ( ${past}, ${body}, overlap: allow, queue: bench )`);
  await db.close();
}

function iso(instant) {
  return new Date(instant).toISOString();
}
