// Ten thousand job files appear at once, beside fifty schedules that fire every second: how long until all are scheduled, how late the
// others are meanwhile, how long a change of one file waits, and what a start with all of them unchanged costs. The arguments: how many,
// what they are (command, sql), and how many others there are.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JobDirectory, startJobDirectory } from '../src/daemon/watcher/jobDirectory.ts';
import { type Engine, openEngine } from '../src/engine/engine.ts';
import { systemClock } from '../src/scheduler/clock.ts';
import { type Asked, type Figure, holds, quantile } from './report.ts';

export async function run({ full, args }: Asked): Promise<Figure[]> {
  const count = Number(args[0] ?? (full ? 10_000 : 2000));
  const kind = args[1] ?? 'command';
  const beating = Number(args[2] ?? 50);
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  try {
    return await measured(folder, { count, kind, beating });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measured(
  folder: string,
  { count, kind, beating }: { readonly count: number; readonly kind: string; readonly beating: number },
): Promise<Figure[]> {
  const directory = join(folder, 'jobs');
  mkdirSync(directory);
  const engine = await openEngine(join(folder, 'my.duckdb'), { zone: 'UTC', poolSize: 16 });
  const session = await engine.session({ actor: 'bench', admin: true });
  const numberOf = async (sql: string): Promise<number> => Number((await (await session.execute(sql)).toArray())[0]?.[0]);
  for (let at = 0; at < beating; at++) await session.execute(`UPSERT SCHEDULE beat${at} ( sched: every 1s, sql: 'SELECT 1' )`);
  await engine.scheduler.start();
  const late = lateness(engine);
  let jobs = await start(engine, directory);
  await systemClock.sleep(3000);
  late.take();
  const usual = processorMs();
  await systemClock.sleep(beforeMs);
  const usualShare = usual() / beforeMs;
  const before = late.take();
  const began = performance.now();
  const used = processorMs();
  // Not in one go, which would itself make the others late.
  for (let at = 0; at < count; at++) await writeFile(join(directory, `job${at}.json`), jobOf(at, kind));
  const isThere = (path: string): boolean => jobs.sources().some((source) => source.path === path);
  await until(() => jobs.sources().length > count / 2);
  const changed = performance.now();
  writeFileSync(join(directory, 'urgent.json'), jobOf(count, kind));
  await until(() => isThere('urgent.json'));
  const waited = performance.now() - changed;
  await until(() => jobs.sources().length === count + 1);
  const took = performance.now() - began;
  const usedMs = used() - usualShare * took;
  const meanwhile = late.take();
  holds('files that are loaded', jobs.sources().filter(({ state }) => state === 'loaded').length, count + 1);
  holds('scheduled', await numberOf("SELECT count(*) FROM cron.schedules WHERE source LIKE '%.json' AND next_run IS NOT NULL"), count + 1);
  const again = performance.now();
  writeFileSync(join(directory, 'urgent.json'), jobOf(count, 'sql'));
  const isReadAgain = ({ path, readAt }: { readonly path: string; readonly readAt: number }): boolean =>
    path === 'urgent.json' && readAt > Date.now() - (performance.now() - again);
  await until(() => jobs.sources().some(isReadAgain));
  const changeMs = performance.now() - again;
  await jobs.close();
  const restarted = performance.now();
  jobs = await start(engine, directory);
  await jobs.reload();
  const restartMs = performance.now() - restarted;
  const { rss } = process.memoryUsage();
  await jobs.close();
  await session.execute('DISABLE SCHEDULE ALL');
  await until(() => [...engine.scheduler.allRunning()].length === 0);
  const doubled = "SELECT count(*) - count(DISTINCT (schedule, scheduled_at)) FROM cron.runs WHERE schedule LIKE 'beat%'";
  holds('fires that are there twice', await numberOf(doubled), 0);
  await session.close();
  await engine.close();
  const group = `${count} job files appear at once`;
  const others = `${beating} schedules beside them, each every second`;
  return [
    { group, what: 'each, until it is scheduled', value: took / count, unit: 'ms' },
    { group, what: 'each, of processor time', value: usedMs / count, unit: 'ms', note: 'beyond what the others take' },
    { group, what: 'one more, in the middle of it', value: waited / 1000, unit: 's', note: 'behind the transaction at work' },
    { group, what: 'a change of one, when all are there', value: changeMs / 1000, unit: 's', budget: { atMost: 2 } },
    { group, what: 'a start with all of them unchanged', value: restartMs / 1000, unit: 's' },
    { group, what: 'memory of the process', value: rss / 1e6, unit: 'MB' },
    { group: others, what: 'late before, p99', value: quantile(before, 0.99), unit: 'ms' },
    { group: others, what: 'late meanwhile, p50', value: quantile(meanwhile, 0.5), unit: 'ms' },
    { group: others, what: 'late meanwhile, p99', value: quantile(meanwhile, 0.99), unit: 'ms', budget: { atMost: 50 } },
  ];
}

const beforeMs = 5000;

/** Answers how much has been used since. */
function processorMs(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}

function start(engine: Engine, directory: string): Promise<JobDirectory> {
  const quiet = (): void => {};
  const logger = { info: quiet, warn: quiet, error: (_: object, message: string) => console.error(message) };
  return startJobDirectory({ engine, directory, logger, clock: systemClock });
}

function jobOf(at: number, kind: string): string {
  const task = kind === 'sql' ? { type: 'sql', sql: 'SELECT 1' } : { type: 'execute_command', command: `echo ${at}` };
  return JSON.stringify({ job_id: `job${at}`, description: 'one of many', schedule: `${at % 60} ${at % 24} * * *`, task }, undefined, 2);
}

function lateness(engine: Engine): { take(): readonly number[] } {
  let delays: number[] = [];
  engine.scheduler.events.on('run:started', ({ run, startedAt }) => {
    if (run.schedule.startsWith('beat')) delays.push(startedAt - run.scheduledAt);
  });
  return {
    take() {
      const taken = delays;
      delays = [];
      return taken;
    },
  };
}

async function until(holdsNow: () => boolean): Promise<void> {
  while (!holdsNow()) await systemClock.sleep(20);
}
