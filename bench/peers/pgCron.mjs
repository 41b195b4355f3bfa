// pg_cron 1.4 knows minutes, and its worker is the server. So it is measured on the boundary of a minute: that many jobs are due at once, and
// when each began and ended is read from the history that it keeps.

import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, withClient } from './servers.mjs';

const minute = 60_000;

export function untilMinute() {
  return minute - (Date.now() % minute);
}

/** Registers the jobs before the next boundary, which must be ten seconds off, and waits until all of them have run. */
export function oneMinute(server, { count }) {
  return withClient(server, async (client) => {
    const boundary = Math.ceil(Date.now() / minute) * minute;
    await client.query('TRUNCATE cron.job_run_details');
    await client.query("SELECT count(cron.schedule('j' || i, '* * * * *', 'SELECT 1')) FROM generate_series(1, $1::int) numbers(i)", [
      count,
    ]);
    if (Date.now() > boundary - 500) {
      await unschedule(client);
      return { incorrect: 'registering took longer than the minute' };
    }
    await sleep(boundary - Date.now() - 100);
    const cpuBefore = cpuSeconds([server.pid]);
    const ended = async () =>
      Number((await client.query("SELECT count(*) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')")).rows[0].count);
    let all = 0;
    while (all < count && Date.now() < boundary + minute - 2000) {
      await sleep(250);
      all = await ended();
    }
    const cpu = cpuSeconds([server.pid]) - cpuBefore;
    await unschedule(client);
    const { rows } = await client.query(
      `SELECT jobid, status, extract(epoch FROM start_time) * 1000 AS began, extract(epoch FROM end_time) * 1000 AS ended FROM cron.job_run_details`,
    );
    const size = await client.query("SELECT pg_total_relation_size('cron.job_run_details') AS bytes");
    const distinct = new Set(rows.map(({ jobid }) => jobid)).size;
    const failed = rows.filter(({ status }) => status !== 'succeeded').length;
    if (rows.length !== count || distinct !== count || failed > 0) {
      return { incorrect: `${rows.length} runs of ${distinct} jobs instead of ${count}, ${failed} not succeeded` };
    }
    const delays = Float64Array.from(rows, ({ began }) => Number(began) - boundary).sort();
    const first = Math.min(...rows.map((row) => Number(row.began)));
    const last = Math.max(...rows.map((row) => Number(row.ended)));
    const at = (share) => delays[Math.max(0, Math.ceil(count * share) - 1)];
    return {
      rate: (count / (last - first)) * 1000,
      cpuUs: (cpu / count) * 1e6,
      p50: at(0.5),
      p99: at(0.99),
      most: at(1),
      bytesEach: Number(size.rows[0].bytes) / count,
    };
  });
}

/** So many jobs, none of them due soon, in one statement; then what doing nothing costs. */
export function register(server, { count, idleSeconds, pattern }) {
  return withClient(server, async (client) => {
    const before = cpuSeconds([server.pid]);
    const began = performance.now();
    await client.query("SELECT count(cron.schedule('j' || i, $2, 'SELECT 1')) FROM generate_series(1, $1::int) numbers(i)", [
      count,
      pattern,
    ]);
    const took = performance.now() - began;
    const cpu = cpuSeconds([server.pid]) - before;
    const { rows } = await client.query('SELECT count(*) FROM cron.job');
    if (Number(rows[0].count) !== count) return { incorrect: `${rows[0].count} of ${count} are registered` };
    await sleep(2000);
    const idle = [];
    for (let part = 0; part < 4; part++) {
      const from = performance.now();
      const cpuFrom = cpuSeconds([server.pid]);
      await sleep((idleSeconds / 4) * 1000);
      idle.push(((cpuSeconds([server.pid]) - cpuFrom) / (performance.now() - from)) * 1e5);
    }
    await unschedule(client);
    return { rate: (count / took) * 1000, cpuUs: (cpu / count) * 1e6, idle };
  });
}

function unschedule(client) {
  return client.query('SELECT count(cron.unschedule(jobid)) FROM cron.job');
}
