// What the number of schedules costs: 10,000, 100,000 and a million of no-op handlers, measured alike, so that what grows shows as a
// curve. Each measurement is a process of its own (measureScale.mjs) on a file that another one has made (scaleFile.ts).
//
// Plain: the start, memory, idleness, one definition changed and 10,000 due at once at every size, and one second after the other
// with 1,000 due and restarts after 100,000 missed fires at one size each. --full: all at every size, in longer windows.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Benchmark, type Figure, holds, median, quantile } from './report.ts';
import { dueAtOnce, duePerSecond, makeFile, missing, times } from './scaleFile.ts';

interface Started {
  readonly startMs: number;
  readonly startCpuMs: number;
  readonly emptyMB: number;
  readonly peakMB: number;
  readonly restingMB: number;
  readonly idleShare: number;
  readonly armed: number;
  readonly changedMs: readonly number[];
  readonly changedCpuMs: readonly number[];
}

interface Instant {
  readonly openedMs: number;
  readonly closedMs: number;
  readonly cpuMs: number;
  readonly ticks: number;
  readonly runs: number;
  readonly doubled: number;
}

interface Rate {
  readonly late: readonly number[];
  readonly loopDelayMs: number;
  readonly loopDelayMostMs: number;
  readonly cpuMs: number;
  readonly bytesPerRun: number;
  readonly doubled: number;
}

interface Missed {
  readonly loadMs: number;
  readonly decidedMs: number;
  readonly endedMs: number;
  readonly cpuMs: number;
  readonly opened: number;
  readonly skipped: number;
  readonly missed: number;
}

/** What stays of a size for the curve. */
interface Point {
  readonly schedules: number;
  readonly startMs: number;
  readonly restingMB: number;
  readonly emptyMB: number;
  readonly instantMs: number;
}

const sizes = [10_000, 100_000, 1_000_000];
const missedSeconds = 1000;
/** Of `catchup: all`, by its default limit. */
const caughtUpOfEach = 100;

export const run: Benchmark = async ({ full, args }) => {
  const wanted = args.map(Number).filter((size) => size > 0);
  const figures: Figure[] = [];
  const points: Point[] = [];
  for (const schedules of wanted.length > 0 ? wanted : sizes) {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
    try {
      const path = join(folder, 'my.duckdb');
      const began = performance.now();
      await makeFile(path, schedules);
      console.log(`${named(schedules)} made in ${((performance.now() - began) / 1000).toFixed(0)} s, ${megabytes(path)} MB`);
      const start = startOf(path, schedules, full);
      const instant = instantOf(path, schedules);
      points.push({ schedules, ...start.point, instantMs: instant.closedMs });
      figures.push(...start.figures, ...instant.figures);
      if (full || schedules === 1_000_000) figures.push(...rateOf(path, schedules, full ? 120 : 15));
      if (full || schedules === 100_000) {
        for (const policy of ['none', 'latest', 'all'] as const) figures.push(...missedOf(path, schedules, policy));
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return points.length < 2 ? figures : [...figures, ...growth(points)];
};

function startOf(
  path: string,
  schedules: number,
  full: boolean,
): { readonly point: Omit<Point, 'schedules' | 'instantMs'>; readonly figures: Figure[] } {
  const rounds = full ? 5 : 3;
  const starts: Started[] = [];
  for (let round = 1; round <= rounds; round++) {
    const isLast = round === rounds;
    // Idle for longer than `check_interval`, the longest sleep, so that the wheel turns in it.
    const window = isLast
      ? { settleMs: 2000, idleMs: full ? 60_000 : schedules >= 1_000_000 ? 32_000 : 5_000, changes: full ? 100 : 30 }
      : { settleMs: 1000, idleMs: 100, changes: 0 };
    const start = child<Started>('start', path, { at: times.made, ...window });
    holds(`${named(schedules)}: schedules armed`, start.armed >= schedules, true);
    starts.push(start);
  }
  const last = starts.at(-1);
  if (last === undefined) throw new Error('no start was measured');
  const isMillion = schedules >= 1_000_000;
  const of = (pick: (start: Started) => number) => median(starts.map(pick));
  const group = `${named(schedules)}`;
  const figures: Figure[] = [
    {
      group,
      what: `${group}: load and arm`,
      ...of(({ startMs }) => startMs / 1000),
      unit: 's',
      ...(isMillion && { budget: { atMost: 10 } }),
    },
    { group, what: `${group}: CPU of load and arm`, ...of(({ startCpuMs }) => startCpuMs / 1000), unit: 's' },
    {
      group,
      what: `${group}: RSS after the start`,
      ...of(({ restingMB }) => restingMB),
      unit: 'MB',
      ...(isMillion && { budget: { atMost: 600 } }),
    },
    { group, what: `${group}: RSS at its highest, while they are read`, ...of(({ peakMB }) => peakMB), unit: 'MB' },
    { group, what: `${group}: idle, of a core`, value: last.idleShare * 100, unit: '%', budget: { atMost: 1 } },
    {
      group,
      what: `${group}: one definition changed`,
      ...median(last.changedMs),
      unit: 'ms',
      ...(isMillion && { budget: { atMost: 10 } }),
    },
    { group, what: `${group}: CPU of one definition changed`, ...median(last.changedCpuMs), unit: 'ms' },
  ];
  const point = {
    startMs: of(({ startMs }) => startMs).value,
    restingMB: of(({ restingMB }) => restingMB).value,
    emptyMB: of(({ emptyMB }) => emptyMB).value,
  };
  return { point, figures };
}

function instantOf(path: string, schedules: number): { readonly closedMs: number; readonly figures: Figure[] } {
  const group = named(schedules);
  const { openedMs, closedMs, cpuMs, ticks, runs, doubled } = child<Instant>('instant', path, {
    at: times.made,
    due: times.instant,
    expected: dueAtOnce,
  });
  holds(`${group}: runs of one instant`, runs, dueAtOnce);
  holds(`${group}: runs of one instant that are there twice`, doubled, 0);
  return {
    closedMs,
    figures: [
      { group, what: `${group}: 10,000 due at once, opened`, value: openedMs, unit: 'ms' },
      { group, what: `${group}: 10,000 due at once, transactions that opened them`, value: ticks, unit: '' },
      { group, what: `${group}: 10,000 due at once, all closed`, value: closedMs, unit: 'ms' },
      { group, what: `${group}: 10,000 due at once, CPU of one`, value: (cpuMs / dueAtOnce) * 1000, unit: 'us' },
    ],
  };
}

function rateOf(path: string, schedules: number, seconds: number): Figure[] {
  const group = named(schedules);
  const expected = duePerSecond * seconds;
  const { late, loopDelayMs, loopDelayMostMs, cpuMs, bytesPerRun, doubled } = child<Rate>('rate', path, {
    at: times.instant,
    due: times.rate,
    expected,
  });
  holds(`${group}: runs at 1,000 a second`, late.length, expected);
  holds(`${group}: runs at 1,000 a second that are there twice`, doubled, 0);
  const what = `${group}: 1,000 due a second for ${seconds} s`;
  return [
    ...[0.5, 0.99, 0.999].map((share) => ({ group, what: `${what}, late p${share * 100}`, value: quantile(late, share), unit: 'ms' })),
    { group, what: `${what}, event loop delay p99`, value: loopDelayMs, unit: 'ms' },
    { group, what: `${what}, event loop delay, most`, value: loopDelayMostMs, unit: 'ms' },
    { group, what: `${what}, CPU of a run`, value: (cpuMs / expected) * 1000, unit: 'us' },
    { group, what: `${what}, the file grows by, of a run`, value: bytesPerRun, unit: 'bytes' },
  ];
}

function missedOf(path: string, schedules: number, policy: 'none' | 'latest' | 'all'): Figure[] {
  const group = named(schedules);
  const perSchedule = { none: 0, latest: 1, all: caughtUpOfEach }[policy];
  const expected = perSchedule * missing;
  // The first instant of the hour is due, and so is the one at which the clock stands.
  const downMs = (missedSeconds - 1) * 1000;
  const { decidedMs, endedMs, cpuMs, opened, missed } = child<Missed>('missed', path, {
    at: new Date(Date.parse(times.missed[policy]) - 60_000).toISOString(),
    due: times.missed[policy],
    downMs,
    expected,
  });
  holds(`${group}: fires caught up by catchup ${policy}`, opened, expected);
  holds(`${group}: fires missed for good by catchup ${policy}`, missed, missing * missedSeconds - expected);
  const what = `${group}: 100,000 fires missed, catchup ${policy}`;
  return [
    { group, what: `${what}, decided`, value: decidedMs, unit: 'ms' },
    ...(expected === 0 ? [] : [{ group, what: `${what}, ${expected.toLocaleString('en-US')} runs closed`, value: endedMs, unit: 'ms' }]),
    { group, what: `${what}, CPU with the load`, value: cpuMs, unit: 'ms' },
  ];
}

/** How what is measured grows with the number of schedules: 1 is in proportion, 0 not at all. */
function growth(points: readonly Point[]): Figure[] {
  const group = 'growth';
  const slope = (what: string, of: (point: Point) => number): Figure => {
    const logs = points.map((point) => [Math.log10(point.schedules), Math.log10(of(point))] as const);
    const [meanX, meanY] = [0, 1].map((at) => logs.reduce((sum, pair) => sum + (pair[at] ?? 0), 0) / logs.length) as [number, number];
    const rise = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
    const run = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
    return {
      group,
      what: `log-log slope of ${what}, ${points.map(({ schedules }) => named(schedules)).join(', ')}`,
      value: rise / run,
      unit: '',
    };
  };
  return [
    slope('load and arm', ({ startMs }) => startMs),
    slope('RSS above an open file', ({ restingMB, emptyMB }) => Math.max(restingMB - emptyMB, 1)),
    slope('10,000 due at once', ({ instantMs }) => instantMs),
  ];
}

function child<Answer>(what: string, path: string, options: object): Answer {
  const output = execFileSync(process.execPath, [join(import.meta.dirname, 'measureScale.mjs'), what, path, JSON.stringify(options)], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    // As the command sets it.
    env: { ...process.env, NODE_OPTIONS: '', UV_THREADPOOL_SIZE: '24' },
  });
  const answer = JSON.parse(output) as Answer;
  console.log(`${what}: ${output.trim().slice(0, 300)}`);
  return answer;
}

const named = (schedules: number): string => (schedules >= 1_000_000 ? `${schedules / 1_000_000} M` : `${schedules / 1000} k`);
const megabytes = (path: string): number => Math.round(statSync(path).size / 1e6);
