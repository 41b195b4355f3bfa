// What /metrics answers. Counters and histograms follow the scheduler's events as they happen; gauges are read when somebody asks, and
// what has to be queried for them is read at most every five seconds, however many ask.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Engine } from '../../engine/engine.ts';
import type { Clock } from '../../scheduler/clock.ts';
import { closedStates, type FinishedRun, type OpenRun } from '../../scheduler/run.ts';
import type { ObservedAnswer } from '../http/app.ts';
import { cuckooVersion, duckdbVersion } from '../version.ts';
import { JobNames } from './jobNames.ts';
import { Reader, type Readings } from './readings.ts';
import { makeSeries, type Series } from './series.ts';

export interface Metrics {
  /** In Prometheus' text format. */
  readonly text: () => Promise<string>;
  readonly contentType: string;
  readonly observed: (answer: ObservedAnswer) => void;
  /** Listens no more. Safe to call twice. */
  close(): Promise<void>;
}

export interface MetricsOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  /** Jobs with series of their own. */
  readonly mostJobs?: number;
}

const defaultMostJobs = 1000;
const keptMs = 5_000;
const delayResolutionMs = 20;

/** Before the scheduler starts: what it finds that was missed is counted. */
export function createMetrics({ engine, clock, mostJobs = defaultMostJobs }: MetricsOptions): Metrics {
  const { scheduler } = engine;
  const { events } = scheduler;
  const series = makeSeries();
  const reader = new Reader(engine, clock);
  const names = new JobNames(mostJobs);
  const delays = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delays.enable();
  series.buildInfo.set({ version: cuckooVersion, duckdb: duckdbVersion, node: process.versions.node }, 1);
  series.processStart.set(Math.floor((clock.now() - process.uptime() * 1000) / 1000));
  for (const reason of skipReasons) series.skips.inc({ reason }, 0);

  const heedNames = (): void => {
    for (const job of names.refresh(scheduler.known())) {
      for (const status of closedStates) series.executions.remove({ job, status });
    }
  };
  const forget = (): void => {
    names.forget();
    reader.forgetJobs();
  };
  const stops = [
    events.on('scheduler:started', forget),
    events.on('definitions:changed', forget),
    events.on('schedule:disabled', forget),
    events.on('run:started', ({ run, startedAt }) => countStart(series, run, startedAt)),
    events.on('run:finished', (run) => {
      heedNames();
      countEnd(series, run, names);
    }),
    events.on('ledger:trouble', () => series.ledgerTroubles.inc()),
  ];

  let kept: { readonly atMs: number; readonly readings: Promise<Readings> } | undefined;
  const readings = (): Promise<Readings> => {
    const atMs = clock.monotonicMs();
    if (kept === undefined || atMs - kept.atMs >= keptMs) kept = { atMs, readings: reader.read() };
    return kept.readings;
  };
  let telling: Promise<string> | undefined;
  const tell = async (): Promise<string> => {
    const read = await readings();
    heedNames();
    tellScheduler(series, engine);
    tellJobs(series, engine, mostJobs);
    tellReadings(series, read);
    tellProcess(series, delays);
    return series.registry.metrics();
  };

  return {
    contentType: series.registry.contentType,
    text: () => {
      telling ??= tell().finally(() => {
        telling = undefined;
      });
      return telling;
    },
    observed: (answer) => countAnswer(series, answer),
    close: async () => {
      for (const stop of stops.splice(0)) stop();
      delays.disable();
      await reader.close();
    },
  };
}

// ---- As it happens ----

function countStart({ scheduleLag, retries }: Series, run: OpenRun, startedAt: number): void {
  if (run.retryOf !== null) retries.inc();
  // What is caught up with, filled in or asked for is not late.
  const isTimed = run.trigger === 'cron' || run.trigger === 'interval' || run.trigger === 'once';
  if (isTimed && run.attempt === 1) scheduleLag.observe(Math.max(0, startedAt - run.scheduledAt) / 1000);
}

function countEnd({ executions, executionDuration, skips, misfires }: Series, run: FinishedRun, names: JobNames): void {
  const { state, reason, durationMs } = run;
  if (state === 'skipped') {
    const why = skipReasonOf(reason);
    skips.inc({ reason: why });
    if (why === 'missed') misfires.inc();
    return;
  }
  // An action has the name of the schedule that called it, and is none of its runs.
  executions.inc({ job: names.labelOf(run.scheduleId === null ? '' : run.schedule), status: state });
  if (durationMs !== null) executionDuration.observe(durationMs / 1000);
}

/** The words before the colon of a reason. */
const skipReasons = ['overlap', 'missed', 'calendar', 'after', 'superseded', 'when', 'other'] as const;

function skipReasonOf(reason: string | null): (typeof skipReasons)[number] {
  const word = reason?.split(':', 1)[0];
  return skipReasons.find((known) => known === word) ?? 'other';
}

const methods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

function countAnswer({ httpRequests, httpDuration }: Series, { method, route, status, durationMs }: ObservedAnswer): void {
  const known = methods.includes(method) ? method : 'other';
  httpRequests.inc({ method: known, route, status });
  httpDuration.observe({ method: known, route }, durationMs / 1000);
}

// ---- When somebody asks ----

const modes = ['off', 'starting', 'running', 'paused', 'held', 'stopping'] as const;

function tellScheduler(series: Series, { scheduler }: Engine): void {
  const { mode } = scheduler;
  series.schedulerUp.set(mode === 'running' && !scheduler.storageLow && !scheduler.clockBehind ? 1 : 0);
  for (const one of modes) series.schedulerMode.set({ mode: one }, one === mode ? 1 : 0);
  series.loopLag.set(scheduler.lagMs / 1000);
  series.ledgerTroubled.set(scheduler.troubled ? 1 : 0);
  series.storageLow.set(scheduler.storageLow ? 1 : 0);
  series.clockBehind.set(scheduler.clockBehind ? 1 : 0);
  series.running.set([...scheduler.allRunning()].length);
  const { queues, active } = scheduler.counts();
  series.queueDepth.reset();
  for (const [queue, { pending, active: atWork, scheduled }] of queues) {
    series.queueDepth.set({ queue, state: 'pending' }, pending);
    series.queueDepth.set({ queue, state: 'active' }, atWork);
    series.queueDepth.set({ queue, state: 'scheduled' }, scheduled);
  }
  series.workers.reset();
  // null: it has not read its ledger.
  const { workers } = scheduler;
  if (workers === null) return;
  series.workers.set({ state: 'active' }, active);
  series.workers.set({ state: 'idle' }, Math.max(0, workers - active));
}

function tellJobs(series: Series, { scheduler }: Engine, mostJobs: number): void {
  const { nextFire, lastSuccess, consecutiveFailures, jobsWithoutSeries } = series;
  for (const gauge of [nextFire, lastSuccess, consecutiveFailures]) gauge.reset();
  jobsWithoutSeries.set(Math.max(0, scheduler.schedules - mostJobs));
  let told = 0;
  for (const { name: job, nextDue, counters } of scheduler.known()) {
    if (told === mostJobs) break;
    told += 1;
    if (Number.isFinite(nextDue)) nextFire.set({ job }, nextDue / 1000);
    if (counters.lastSuccessAt !== null) lastSuccess.set({ job }, counters.lastSuccessAt / 1000);
    consecutiveFailures.set({ job }, counters.consecutiveFailures);
  }
  series.jobs.set({ state: 'unreadable' }, scheduler.unreadable.length);
}

const rules = ['failures', 'backlog', 'slow', 'busy'] as const;
const sourceStates = ['loaded', 'error', 'absent'] as const;

/** What could not be read is left out: an old value looks like a true one. */
function tellReadings(series: Series, { jobs, memory, alerts, sources, disk }: Readings): void {
  for (const [part, reading] of Object.entries({ jobs, memory, alerts, sources, disk }))
    series.partRead.set({ part }, reading === undefined ? 0 : 1);
  for (const state of ['enabled', 'disabled'] as const) {
    if (jobs === undefined) series.jobs.remove({ state });
    else series.jobs.set({ state }, jobs[state]);
  }
  series.alerts.reset();
  if (alerts !== undefined) for (const rule of rules) series.alerts.set({ rule }, alerts.get(rule) ?? 0);
  series.sources.reset();
  if (sources !== undefined) for (const state of sourceStates) series.sources.set({ state }, sources.get(state) ?? 0);
  setOrRemove(series.duckdbMemory, memory?.usedBytes);
  setOrRemove(series.duckdbSpill, memory?.spilledBytes);
  const sizes = disk === 'none' ? undefined : disk;
  setOrRemove(series.fileBytes, sizes?.fileBytes);
  setOrRemove(series.walBytes, sizes?.walBytes);
  setOrRemove(series.diskFree, sizes?.freeBytes);
}

function setOrRemove(gauge: Series['fileBytes'], value: number | undefined): void {
  if (value === undefined) gauge.remove();
  else gauge.set(value);
}

function tellProcess(series: Series, delays: ReturnType<typeof monitorEventLoopDelay>): void {
  for (const percentile of [50, 99, 100]) {
    const seconds = delays.percentile(percentile) / 1e9 - delayResolutionMs / 1000;
    series.eventLoopDelay.set({ quantile: String(percentile / 100) }, Math.max(0, seconds));
  }
  delays.reset();
  const { user, system } = process.cpuUsage();
  series.processCpu.reset();
  series.processCpu.inc((user + system) / 1e6);
  series.residentMemory.set(process.memoryUsage.rss());
}
