// A schedule as the scheduler sees it: plain data, bound once at definition and stored with it. Nothing after bind doubts it.

import type { DurationMs } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import type { JsonObject, JsonValue } from '../core/jsonValue.ts';
import type { Timing } from './cadence/cadence.ts';

export interface Schedule {
  readonly name: string;
  readonly target: Target;
  readonly params: Readonly<Record<string, ParameterValue>>;
  readonly config: JsonObject;
  /** Absent: runs by hand, after others, on events. */
  readonly timing?: ScheduleTiming;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly owner?: string;
  readonly maxRuns?: number;
  readonly overlap: Overlap;
  readonly overlapLimit: number;
  /** Absent, here and below: the setting of that name, read when it is used. */
  readonly catchup?: Catchup;
  readonly catchupLimit: number;
  readonly catchupWithinMs: DurationMs;
  readonly when?: string;
  readonly after: readonly string[];
  readonly afterState: AfterState;
  readonly queue: string;
  readonly priority: Priority;
  /** null: no limit. */
  readonly timeoutMs?: DurationMs | null;
  readonly retry: RetryPolicy;
  readonly disableAfterFailures: number;
  readonly onCrash: 'retry' | 'fail';
  readonly resources?: JsonObject;
  readonly isolation: 'none' | 'thread' | 'process';
  readonly onComplete: readonly Action[];
  readonly onFail: readonly Action[];
  readonly onSkip: readonly Action[];
  readonly keep: Readonly<Partial<Record<'succeeded' | 'failed' | 'skipped', DurationMs>>>;
}

/** What decisions need of a schedule, and nothing that only its work needs. */
export type Policy = Pick<
  Schedule,
  | 'maxRuns'
  | 'overlap'
  | 'overlapLimit'
  | 'catchup'
  | 'catchupLimit'
  | 'catchupWithinMs'
  | 'after'
  | 'afterState'
  | 'queue'
  | 'priority'
  | 'retry'
  | 'disableAfterFailures'
  | 'onCrash'
  | 'onComplete'
  | 'onFail'
  | 'onSkip'
  | 'timeoutMs'
  | 'resources'
>;

/** A schedule as the loop holds it. */
export interface Definition {
  readonly scheduleId: number;
  readonly name: string;
  readonly version: number;
  readonly enabled: boolean;
  readonly effectiveFrom: Instant;
  readonly exe: string;
  readonly call: string;
  /** With its calendar's days; a schedule that follows others may have one without cadences, for its window and calendar. */
  readonly timing: Timing | undefined;
  readonly policy: Policy;
}

/** The timing without its calendar's days, which are a version of the calendar and change without the schedule. */
export type ScheduleTiming = Omit<Timing, 'calendar'> & { readonly calendarName?: string };

export interface Target {
  /** procedure, pipeline, sql, command, handler, or a registered executor's name. */
  readonly exe: string;
  /** A name or a text; a command may be a list. */
  readonly call: string | readonly string[];
}

export type ParameterValue =
  | { readonly kind: 'literal'; readonly value: JsonValue }
  /** Read when used, never stored or shown. */
  | { readonly kind: 'env'; readonly name: string }
  /** Evaluated when the run starts. */
  | { readonly kind: 'sql'; readonly text: string };

export type Overlap = 'skip' | 'queue' | 'allow' | 'replace';
export type Catchup = 'none' | 'latest' | 'all';
export type AfterState = 'success' | 'failure' | 'any';

export const priorities = ['critical', 'high', 'normal', 'low', 'background'] as const;
export type Priority = (typeof priorities)[number];

export interface RetryPolicy {
  readonly maxRetries?: number;
  readonly delayMs?: DurationMs;
  readonly backoff: 'exponential' | 'linear' | 'fixed';
  readonly maxDelayMs: DurationMs;
  readonly jitter: boolean;
  readonly delaysMs?: readonly DurationMs[];
}

export type Action =
  | { readonly kind: 'emit'; readonly name: string }
  | { readonly kind: 'notify'; readonly channel: string }
  | { readonly kind: 'call'; readonly procedure: string };

/** The keys whose change moves `effective_from`: they say when, everything else says what and how. */
export const timingKeys: ReadonlySet<string> = new Set([
  'sched',
  'run_at',
  'timezone',
  'calendar',
  'on_holiday',
  'starts',
  'ends',
  'jitter',
  'dst_gap',
  'dst_overlap',
]);
