// A run's life, as plain data:
//
//   open -> (waits for its turn, for its retry's time) -> running -> closed
//
// A closed run is in one of six states and never leaves it. A retry is another run: the next attempt's open row, which names
// the attempt before it.

import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import type { Priority } from './schedule.ts';

export const closedStates = ['succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'interrupted'] as const;
export type ClosedState = (typeof closedStates)[number];

export type Trigger = 'cron' | 'interval' | 'once' | 'manual' | 'after' | 'event' | 'backfill' | 'catchup' | 'file' | 'api';

export interface OpenRun {
  readonly runId: string;
  readonly scheduleId: number;
  readonly schedule: string;
  readonly exe: string;
  readonly call: string;
  readonly trigger: Trigger;
  /** Nominal: what the run is for. */
  readonly scheduledAt: Instant;
  readonly openedAt: Instant;
  /** A retry waits for it. */
  readonly notBefore: Instant | null;
  readonly attempt: number;
  readonly queue: string;
  readonly priority: Priority;
  /** What WITH replaced; the rest comes from the schedule when the run starts. */
  readonly params: Readonly<Record<string, JsonValue>>;
  readonly scheduleVersion: number;
  readonly rootRunId: string;
  readonly parentRunId: string | null;
  readonly retryOf: string | null;
}

/** What executors answer: they return, they do not throw past this line. */
export interface Outcome {
  readonly state: Exclude<ClosedState, 'skipped' | 'interrupted'>;
  readonly reason: string | null;
  readonly result: JsonValue;
  readonly rowsChanged: number | null;
  readonly error: RunError | null;
  readonly guarantee: 'exactly_once' | 'at_least_once' | null;
  readonly conflicts: number;
}

export interface RunError {
  readonly code: string;
  readonly message: string;
  readonly detail: JsonValue;
}

/** What a schedule has come to, as its newest closed run knew it. */
export interface Counters {
  readonly consecutiveFailures: number;
  /** Fires of the clock that were opened: `max_runs` counts them. */
  readonly openedFires: number;
  readonly lastSuccessAt: Instant | null;
}

export const noCounters: Counters = { consecutiveFailures: 0, openedFires: 0, lastSuccessAt: null };

/** Whether the state stands for work that went wrong and may be tried again. */
export function isFailure(state: ClosedState): boolean {
  switch (state) {
    case 'failed':
    case 'timed_out':
    case 'interrupted':
      return true;
    case 'succeeded':
    case 'cancelled':
    case 'skipped':
      return false;
    default:
      return state satisfies never;
  }
}

/** The counters after a run closed; only final closes of the clock's, a parent's or a catch-up's runs count. */
export function countersAfter(before: Counters, state: ClosedState, final: boolean, scheduledAt: Instant): Counters {
  if (!final) return before;
  if (state === 'succeeded')
    return { ...before, consecutiveFailures: 0, lastSuccessAt: Math.max(scheduledAt, before.lastSuccessAt ?? scheduledAt) };
  return isFailure(state) ? { ...before, consecutiveFailures: before.consecutiveFailures + 1 } : before;
}
