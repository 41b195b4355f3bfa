// A run's life, as plain data:
//
//   open -> (waits for its turn, for its retry's time) -> running -> closed
//
// A closed run is in one of six states and never leaves it. A retry is another run: the next attempt's open row, which names
// the attempt before it.

import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import type { Action, Priority } from './schedule.ts';

export const closedStates = ['succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'interrupted'] as const;
export type ClosedState = (typeof closedStates)[number];

export type Trigger = 'cron' | 'interval' | 'once' | 'manual' | 'after' | 'event' | 'backfill' | 'catchup' | 'file' | 'api';

export interface OpenRun {
  readonly runId: string;
  /** null: work that belongs to no schedule's history, such as an action. */
  readonly scheduleId: number | null;
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
  /** Of one group at most `limit` run at once; null runs beside everything. */
  readonly group: RunGroup | null;
  /** Which fire of its schedule it is, counted for `max_runs`; null where it does not count. */
  readonly fire: number | null;
  /** Its followers stay. */
  readonly alone: boolean;
}

/** `schedule:<id>` with limit 1 where a schedule does not allow overlap; `backfill:<id>` with its PARALLEL n. */
export interface RunGroup {
  readonly key: string;
  readonly limit: number;
}

/** What executors answer: they return, they do not throw past this line. */
export interface Outcome {
  /** skipped: `when` refused it; interrupted: the scheduler is leaving, and effects outside may have happened. */
  readonly state: ClosedState;
  readonly reason: string | null;
  readonly result: JsonValue;
  readonly rowsChanged: number | null;
  readonly error: RunError | null;
  readonly guarantee: 'exactly_once' | 'at_least_once' | null;
  /** Why it is no better. */
  readonly guaranteeReason?: string | null;
  readonly conflicts: number;
  /** Of each statement of its SQL, in turn. */
  readonly rowsByStatement?: readonly number[] | null;
  /** Of a process of its own; absent where nobody measured it. */
  readonly cpuMs?: number | null;
  readonly peakMemoryBytes?: number | null;
  /** What should be known of how it was run: a limit that could not be enforced, a result that was cut. */
  readonly notes?: readonly string[];
  /** What its own definition calls at this end, if no other attempt follows: a pipeline's `on_fail`. */
  readonly actions?: readonly Action[];
}

export interface RunError {
  readonly code: string;
  readonly message: string;
  readonly detail: JsonValue;
}

/** A run's end, as history keeps it. */
export interface Closing {
  readonly run: OpenRun;
  readonly startedAt: Instant | null;
  readonly finishedAt: Instant;
  readonly state: ClosedState;
  readonly reason: string | null;
  /** No retry follows. */
  readonly final: boolean;
  readonly outcome: Omit<Outcome, 'state' | 'reason'> | null;
  /** What its schedule has come to with it. */
  readonly counters: Counters;
  /** Why it did not start at once, in words: `workers: 4 of 4 busy`. */
  readonly waitedFor: string | null;
  /** A stretch of refused fires is one row. */
  readonly stretch?: { readonly fires: number | null; readonly firstScheduledAt: Instant };
}

/** What others hear of a run that has ended, an attempt that will be retried included. */
export interface FinishedRun {
  readonly runId: string;
  /** null: work that belongs to no schedule's history. */
  readonly scheduleId: number | null;
  /** Of an action, the schedule that called it; empty where there is none. */
  readonly schedule: string;
  readonly exe: string;
  readonly call: string;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant;
  readonly attempt: number;
  readonly state: ClosedState;
  readonly reason: string | null;
  readonly final: boolean;
  readonly result: JsonValue;
  readonly rowsChanged: number | null;
  /** NULL where nothing was begun. */
  readonly durationMs: number | null;
}

/** The name by which people know a run: `load`, or of an action `load -> tell`. */
export function nameOf({ scheduleId, schedule, call }: Pick<FinishedRun, 'scheduleId' | 'schedule' | 'call'>): string {
  if (scheduleId !== null) return schedule;
  return schedule === '' ? call : `${schedule} -> ${call}`;
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

/** The counters after a run closed, of which only final closes count. What a backfill leaves alone, `settle` says. */
export function countersAfter(before: Counters, state: ClosedState, final: boolean, scheduledAt: Instant): Counters {
  if (!final) return before;
  if (state === 'succeeded')
    return { ...before, consecutiveFailures: 0, lastSuccessAt: Math.max(scheduledAt, before.lastSuccessAt ?? scheduledAt) };
  return isFailure(state) ? { ...before, consecutiveFailures: before.consecutiveFailures + 1 } : before;
}
