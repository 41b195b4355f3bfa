// A daemon beside what its clients ask of it: 500 of them, each on a connection of its own and asking again as soon as it is answered
// (after a 429 when it was told to), mixed reads and runs by hand; and 500 schedules that fire every second all the while, twenty-five
// every fifty milliseconds, each a module in a thread. The daemon is the real command in a process of its own, the clients are in
// another (measureDaemon.mjs). Whatever is measured counts only if every fire is there once, every run that was accepted has ended once,
// and nobody got anything but an answer or a 429.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DuckDBInstance } from '@duckdb/node-api';
import { systemClock } from '../src/scheduler/clock.ts';
import { type Asked, type Figure, holds, median, quantile } from './report.ts';

const clients = 500;
const beating = 500;
/** In a second; a second later the same ones follow. */
const moments = 20;
/** Of the daemon: a run in a thread is mostly waiting for its durable start. */
const workers = 32;
/** Threads are made, code is compiled. */
const warmUpMs = 5000;
const drainedWithinMs = 120_000;
const byHand = 10;
const tokens = 5;

export async function run({ full, args }: Asked): Promise<Figure[]> {
  const seconds = Number(args[0] ?? (full ? 60 : 20));
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  try {
    return await measured(folder, seconds);
  } finally {
    if (process.env['KEEP_BENCH'] === undefined) rmSync(folder, { recursive: true, force: true });
    else console.log(`kept: ${folder}`);
  }
}

async function measured(folder: string, seconds: number): Promise<Figure[]> {
  define(folder);
  const names = Array.from({ length: tokens }, (_, at) => cuckoo(folder, 'token', 'create', `client${at}`, '--role', 'operator').trim());
  const daemon = await Daemon.start(folder);
  const admin = readFileSync(join(folder, 'state/cuckoo/token'), 'utf8').trim();
  try {
    await ask(daemon.url, admin, 'ENABLE SCHEDULE ALL');
    await systemClock.sleep(warmUpMs);
    const memory = daemon.watchMemory();
    const cpuBefore = daemon.cpuMs();
    const began = Date.now();
    const load = await clientsOf(daemon.url, names, seconds);
    const ended = Date.now();
    const cpuMs = daemon.cpuMs() - cpuBefore;
    const rss = memory.stop();
    await ask(daemon.url, admin, 'DISABLE SCHEDULE ALL');
    const open = "SELECT count(*) AS count FROM cron.runs WHERE state IN ('pending', 'running')";
    const patience = performance.now() + drainedWithinMs;
    for (let waiting = Number.POSITIVE_INFINITY; waiting > 0; await systemClock.sleep(200)) {
      waiting = Number((await ask(daemon.url, admin, open))['count']);
      if (performance.now() > patience) throw new Error(`the daemon does not keep up: ${waiting} runs still wait`);
    }
    await daemon.stop();
    holds('errors other than 429', load.errors.join('; '), '');
    const runs = await historyOf(folder);
    mustBeWhole(runs, load.accepted);
    const late = runs.filter((each) => each.isBeat && each.scheduledAt >= began && each.scheduledAt < ended).map(({ lagMs }) => lagMs);
    return figuresOf({ load, late, rss, cpuMs, seconds: (ended - began) / 1000 });
  } finally {
    daemon.kill();
  }
}

interface Load {
  readonly answered: Readonly<Record<string, { readonly count: number; readonly p50: number; readonly p99: number }>>;
  readonly refused: number;
  /** By status, or by what became of the connection. */
  readonly errors: readonly string[];
  /** Ids of runs. */
  readonly accepted: readonly string[];
}

interface Measured {
  readonly load: Load;
  readonly late: readonly number[];
  readonly rss: readonly Sample[];
  readonly cpuMs: number;
  readonly seconds: number;
}

function figuresOf({ load, late, rss, cpuMs, seconds }: Measured): Figure[] {
  const counts = Object.values(load.answered).map(({ count }) => count);
  const answered = counts.reduce((sum, count) => sum + count, 0);
  const group = `${clients} clients beside ${beating} schedules every second`;
  // What was there when half of the time had passed, against the end: the first half is what warming up takes.
  const half = rss.slice(Math.floor(rss.length / 2));
  const quarter = Math.max(1, Math.floor(half.length / 4));
  const grown = median(half.slice(-quarter).map(({ mb }) => mb)).value - median(half.slice(0, quarter).map(({ mb }) => mb)).value;
  return [
    { group, what: 'a fire is late, p50', value: quantile(late, 0.5), unit: 'ms' },
    { group, what: 'a fire is late, p99', value: quantile(late, 0.99), unit: 'ms', budget: { atMost: 50 } },
    { group, what: 'fires in the window', value: late.length, unit: '', note: 'each once, none missing' },
    { group, what: 'requests answered', value: answered / seconds, unit: '/s' },
    { group, what: 'requests refused with 429', value: load.refused / seconds, unit: '/s' },
    { group, what: 'runs by hand', value: load.accepted.length / seconds, unit: '/s', note: 'each ended once' },
    ...Object.entries(load.answered).flatMap(([name, { p50, p99 }]): Figure[] => [
      { group, what: `${name}, p50`, value: p50, unit: 'ms' },
      { group, what: `${name}, p99`, value: p99, unit: 'ms' },
    ]),
    { group, what: "the daemon's processor", value: (cpuMs / seconds / 1000) * 100, unit: '%' },
    { group, what: 'memory of the daemon', value: rss.at(-1)?.mb ?? Number.NaN, unit: 'MB' },
    {
      group,
      what: 'memory grown over the second half',
      value: grown,
      unit: 'MB',
      budget: { atMost: 16 + (seconds / 2) * 0.2 },
      note: 'flat: of 500 rows a second of history, what DuckDB has not yet written to the file stays in memory',
    },
  ];
}

// ---- The daemon ----

const bin = join(import.meta.dirname, '../bin/cuckoo.cjs');

function environmentOf(folder: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    NODE_OPTIONS: process.env['DAEMON_NODE_OPTIONS'] ?? '',
    NO_COLOR: '1',
    HOME: folder,
    XDG_STATE_HOME: join(folder, 'state'),
  };
}

function cuckoo(folder: string, ...args: readonly string[]): string {
  return execFileSync(process.execPath, [bin, ...args], {
    cwd: folder,
    env: environmentOf(folder),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function define(folder: string): void {
  writeFileSync(join(folder, 'nothing.mjs'), 'export default async () => null;\n');
  const task = "handler: './nothing.mjs', max_retries: 0, overlap: allow";
  const beats = Array.from(
    { length: beating },
    (_, at) => `UPSERT SCHEDULE beat_${at} ( sched: every 1s from '${momentOf(at)}', enabled: false, ${task} );`,
  );
  const others = Array.from({ length: byHand }, (_, at) => `UPSERT SCHEDULE hand_${at} ( ${task} );`);
  writeFileSync(join(folder, 'define.sql'), ['BEGIN;', ...beats, ...others, 'COMMIT;'].join('\n'));
  cuckoo(folder, 'my.duckdb', '-f', 'define.sql');
}

function momentOf(beat: number): string {
  return new Date(Date.UTC(2001, 0, 1) + ((beat % moments) * 1000) / moments).toISOString();
}

interface Sample {
  readonly atMs: number;
  readonly mb: number;
}

class Daemon {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  static async start(folder: string): Promise<Daemon> {
    const log = join(folder, 'daemon.log');
    const file = openSync(log, 'w');
    const child = spawn(
      process.execPath,
      [
        '--report-on-fatalerror',
        `--report-directory=${folder}`,
        bin,
        'daemon',
        'my.duckdb',
        '--listen',
        '127.0.0.1:0',
        '--workers',
        String(workers),
      ],
      {
        cwd: folder,
        env: environmentOf(folder),
        stdio: ['ignore', file, file],
      },
    );
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the daemon does not start: ${readFileSync(log, 'utf8')}`);
      const found = /"url":"(http:[^"]+)"/.exec(readFileSync(log, 'utf8'));
      if (found?.[1] !== undefined) return new Daemon(child, found[1]);
      await systemClock.sleep(50);
    }
  }

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
    this.#exited = once(child, 'exit').then(([code, signal]) => {
      if (code !== 0) console.log(`the daemon has ended with ${code ?? signal}`);
      return code;
    });
  }

  watchMemory(): { stop(): Sample[] } {
    const samples: Sample[] = [];
    const timer = setInterval(() => samples.push({ atMs: performance.now(), mb: this.#rssMb() }), 250);
    return {
      stop: () => {
        clearInterval(timer);
        return samples;
      },
    };
  }

  /** Of all its threads, and none of its children. */
  cpuMs(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    holds('the exit code of the daemon', await this.#exited, 0);
  }

  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
  }

  #rssMb(): number {
    const [, kb] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')) ?? [];
    return Number(kb) / 1024;
  }
}

// ---- The clients ----

/** One statement; its first row. */
async function ask(url: string, token: string, sql: string): Promise<Record<string, unknown>> {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const answer = await fetch(`${url}/api/v1/sql`, { method: 'POST', headers, body: JSON.stringify({ sql }) });
  const { rows, ...more } = (await answer.json()) as { rows?: readonly (Record<string, unknown> | readonly unknown[])[] };
  if (!answer.ok) throw new Error(`${sql}: ${JSON.stringify(more)}`);
  const [row] = rows ?? [];
  return Array.isArray(row) ? { count: row[0] } : ((row ?? {}) as Record<string, unknown>);
}

async function clientsOf(url: string, names: readonly string[], seconds: number): Promise<Load> {
  const script = join(import.meta.dirname, 'measureDaemon.mjs');
  const asked = JSON.stringify({ url, tokens: names, clients, seconds, beating, byHand });
  const child = spawn(process.execPath, [script, asked], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  let last = '{}';
  for await (const line of createInterface({ input: child.stdout })) last = line;
  return JSON.parse(last) as Load;
}

// ---- What became of it ----

interface Run {
  readonly runId: string;
  readonly schedule: string;
  readonly isBeat: boolean;
  readonly state: string;
  readonly scheduledAt: number;
  readonly lagMs: number;
}

async function historyOf(folder: string): Promise<Run[]> {
  const instance = await DuckDBInstance.create(join(folder, 'my.duckdb'), { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  try {
    const reader = await connection.runAndReadAll(
      'SELECT run_id, schedule, state, epoch_ms(scheduled_at)::DOUBLE AS scheduled_at, lag_ms::DOUBLE AS lag_ms FROM cron.runs',
    );
    return reader.getRowObjects().map((row) => ({
      runId: String(row['run_id']),
      schedule: String(row['schedule']),
      isBeat: String(row['schedule']).startsWith('beat_'),
      state: String(row['state']),
      scheduledAt: Number(row['scheduled_at']),
      lagMs: Number(row['lag_ms']),
    }));
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

function mustBeWhole(runs: readonly Run[], accepted: readonly string[]): void {
  const beats = runs.filter(({ isBeat }) => isBeat);
  const instants = beats.map(({ scheduledAt }) => scheduledAt);
  const fires = new Set(beats.map(({ schedule, scheduledAt }) => `${schedule} ${scheduledAt}`));
  // All moments from the first to the last, each of which has as many fires.
  const [first, last] = [quantile(instants, 0), quantile(instants, 1)];
  holds('fires', fires.size, (beating / moments) * (((last - first) * moments) / 1000 + 1));
  holds('fires that are there twice', beats.length - fires.size, 0);
  const hand = runs.filter(({ isBeat }) => !isBeat);
  holds('runs by hand', hand.length, accepted.length);
  const ended = new Map(hand.map(({ runId, state }) => [runId, state]));
  holds('accepted runs that are not there', accepted.filter((id) => !ended.has(id)).length, 0);
  holds('runs that did not succeed', runs.filter(({ state }) => state !== 'succeeded').length, 0);
}
