// A host that keeps its own clock: once a second it has Cuckoo open what has fallen due, and run it. Ctrl-C ends it.
//   node examples/host.mjs [FILE]

import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'cuckoo-sql';

const db = await open(process.argv[2] ?? ':memory:');
await db.sql('CREATE TABLE IF NOT EXISTS beats (beat TIMESTAMPTZ)');
await db.sql("UPSERT SCHEDULE heartbeat ( sched: every 2s, sql: 'INSERT INTO beats SELECT $scheduled_at' )");

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

while (!stop.signal.aborted) {
  const { finished } = await db.tick();
  for (const { schedule, scheduledAt, state, reason } of finished) {
    process.stdout.write(`${new Date(scheduledAt).toISOString()} ${schedule}: ${state}${reason === null ? '' : `, ${reason}`}\n`);
  }
  await sleep(1000, undefined, { signal: stop.signal }).catch(() => 'stopped');
}
await db.close();
