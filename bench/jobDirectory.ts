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

export async function run(args: readonly string[]): Promise<void> {
  const count = Number(args[0] ?? 10_000);
  const kind = args[1] ?? 'command';
  const beating = Number(args[2] ?? 50);
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  const directory = join(folder, 'jobs');
  mkdirSync(directory);
  try {
    const engine = await openEngine(join(folder, 'my.duckdb'), { zone: 'UTC', poolSize: 16 });
    const session = await engine.session({ actor: 'bench', admin: true });
    for (let at = 0; at < beating; at++) await session.execute(`UPSERT SCHEDULE beat${at} ( sched: every 1s, sql: 'SELECT 1' )`);
    await engine.scheduler.start();
    const late = lateness(engine);
    let jobs = await start(engine, directory);
    await systemClock.sleep(5000);
    console.log(`before            ${late.take()}`);
    const began = performance.now();
    const cpu = process.cpuUsage();
    // Not in one go, which would itself make the others late.
    for (let at = 0; at < count; at++) await writeFile(join(directory, `job${at}.json`), jobOf(at, kind));
    console.log(`${count} files written in ${seconds(performance.now() - began)}`);
    const isThere = (path: string): boolean => jobs.sources().some((source) => source.path === path);
    await until(() => jobs.sources().length > 0);
    console.log(`the first are scheduled after ${seconds(performance.now() - began)}`);
    await until(() => jobs.sources().length > count / 2);
    const changed = performance.now();
    writeFileSync(join(directory, 'urgent.json'), jobOf(count, kind));
    await until(() => isThere('urgent.json'));
    console.log(`one more waits    ${seconds(performance.now() - changed)}`);
    await until(() => jobs.sources().length === count + 1);
    const took = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    console.log(
      `all are scheduled after ${seconds(took)}: ${(took / count).toFixed(1)} ms each, of CPU ${((user + system) / 1000 / count).toFixed(1)} ms`,
    );
    console.log(`meanwhile         ${late.take()}`);
    const again = performance.now();
    writeFileSync(join(directory, 'urgent.json'), jobOf(count, 'sql'));
    await until(() =>
      jobs.sources().some(({ path, readAt }) => path === 'urgent.json' && readAt > Date.now() - (performance.now() - again)),
    );
    console.log(`a change of one   ${seconds(performance.now() - again)}`);
    await jobs.close();
    late.take();
    const restarted = performance.now();
    jobs = await start(engine, directory);
    await jobs.reload();
    console.log(`a start, unchanged ${seconds(performance.now() - restarted)}, ${late.take()}`);
    const { rss, heapUsed } = process.memoryUsage();
    console.log(`memory ${Math.round(rss / 1e6)} MB, of it heap ${Math.round(heapUsed / 1e6)} MB`);
    await jobs.close();
    await session.close();
    await engine.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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

function lateness(engine: Engine): { take(): string } {
  let delays: number[] = [];
  engine.scheduler.events.on('run:started', ({ run, startedAt }) => {
    delays.push(startedAt - run.scheduledAt);
  });
  return {
    take() {
      const sorted = delays.sort((a, b) => a - b);
      delays = [];
      const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
      return `lateness of ${sorted.length} runs: median ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms`;
    },
  };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await systemClock.sleep(20);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
