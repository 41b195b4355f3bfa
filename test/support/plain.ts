// The values that the scheduler deals in, at their plainest: a test names what it is about, and nothing else.

import { parseCadence, type Timing } from '../../src/scheduler/cadence/cadence.ts';
import type { QueueDefinition, SchedulerSettings, Tick, Token } from '../../src/scheduler/ports.ts';
import { type Closing, noCounters, type OpenRun } from '../../src/scheduler/run.ts';
import type { Definition, Policy } from '../../src/scheduler/schedule.ts';

export const plainSettings: SchedulerSettings = {
  workers: 4,
  checkIntervalMs: 30_000,
  lateWithinMs: 60_000,
  maxRetries: 3,
  retryDelayMs: 60_000,
  catchup: 'latest',
  onFail: [],
  budget: { cpu: null, memoryBytes: null },
  alerts: { failures: 0, backlog: 0, slowness: 0, busyMs: 0 },
};

export const plainPolicy: Policy = {
  overlap: 'skip',
  overlapLimit: 100,
  catchupLimit: 100,
  catchupWithinMs: 86_400_000,
  after: [],
  afterState: 'success',
  queue: 'default',
  priority: 'normal',
  retry: { backoff: 'exponential', maxDelayMs: 3_600_000, jitter: false },
  disableAfterFailures: 0,
  onCrash: 'retry',
  onComplete: [],
  onFail: [],
  onSkip: [],
};

/** No clock, unless it is given one. */
export function plainDefinition(changed: Partial<Omit<Definition, 'policy'>> = {}, policy: Partial<Policy> = {}): Definition {
  return {
    scheduleId: 1,
    name: 'one',
    version: 1,
    enabled: true,
    effectiveFrom: 0,
    exe: 'sql',
    call: 'SELECT 1',
    timing: undefined,
    ...changed,
    policy: { ...plainPolicy, ...policy },
  };
}

/** In UTC. */
export function plainTiming(sched: string, jitterKey = 'one'): Timing {
  return {
    cadences: [parseCadence(sched, { zone: 'UTC' })],
    zone: 'UTC',
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'skip',
    jitterMs: 0,
    jitterKey,
  };
}

export function plainQueue(name: string, changed: Partial<QueueDefinition> = {}): QueueDefinition {
  return { name, weight: 1, concurrency: null, rate: null, paused: false, ...changed };
}

/** Due at 0 and opened when it was due, unless it is said otherwise. */
export function plainRun(runId: string, changed: Partial<OpenRun> = {}): OpenRun {
  return {
    runId,
    scheduleId: 1,
    schedule: 'one',
    exe: 'sql',
    call: 'SELECT 1',
    trigger: 'cron',
    scheduledAt: 0,
    openedAt: changed.scheduledAt ?? 0,
    notBefore: null,
    attempt: 1,
    queue: 'default',
    priority: 'normal',
    params: {},
    scheduleVersion: 1,
    rootRunId: runId,
    parentRunId: null,
    retryOf: null,
    group: null,
    fire: null,
    alone: false,
    ...changed,
  };
}

/** It took 10 ms, and began as soon as it was opened. */
export function plainClosing(run: OpenRun, changed: Partial<Closing> = {}): Closing {
  return {
    run,
    startedAt: run.openedAt,
    finishedAt: run.openedAt + 10,
    state: 'succeeded',
    reason: null,
    final: true,
    outcome: null,
    counters: noCounters,
    waitedFor: null,
    ...changed,
  };
}

export function plainToken(tokenId: string, changed: Partial<Token> = {}): Token {
  return { tokenId, childId: 2, parentId: 1, runId: 'a', rootRunId: 'a', state: 'succeeded', scheduledAt: 0, ...changed };
}

export function plainTick(seq: number, watermark: number, changed: Partial<Tick> = {}): Tick {
  return { seq, watermark, partly: null, gap: null, replayUntil: null, ...changed };
}
