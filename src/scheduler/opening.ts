// How a definition becomes an open run: by its clock, after its parents, by hand, to make up for the past.

import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import type { Timing } from './cadence/cadence.ts';
import type { ClosedState, Closing, Counters, OpenRun, RunGroup, Trigger } from './run.ts';
import type { Action, Definition } from './schedule.ts';

export interface Opening {
  readonly runId: string;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant;
  readonly openedAt: Instant;
  readonly params?: Readonly<Record<string, JsonValue>>;
  readonly parentRunId?: string | null;
  /** Its own id where nothing came before it. */
  readonly rootRunId?: string;
  readonly fire?: number | null;
  readonly alone?: boolean;
  /** Without it: what the schedule's `overlap` says. */
  readonly group?: RunGroup | null;
}

export function openedRun(definition: Definition, opening: Opening): OpenRun {
  const { policy } = definition;
  return {
    runId: opening.runId,
    scheduleId: definition.scheduleId,
    schedule: definition.name,
    exe: definition.exe,
    call: definition.call,
    trigger: opening.trigger,
    scheduledAt: opening.scheduledAt,
    openedAt: opening.openedAt,
    notBefore: null,
    attempt: 1,
    queue: policy.queue,
    priority: policy.priority,
    params: opening.params ?? {},
    scheduleVersion: definition.version,
    rootRunId: opening.rootRunId ?? opening.runId,
    parentRunId: opening.parentRunId ?? null,
    retryOf: null,
    group: opening.group === undefined ? groupOf(definition, opening.trigger) : opening.group,
    fire: opening.fire ?? null,
    alone: opening.alone ?? false,
  };
}

/** The next attempt of a run. */
export function nextAttempt(run: OpenRun, attempt: { runId: string; openedAt: Instant; notBefore: Instant | null }): OpenRun {
  return { ...run, ...attempt, attempt: run.attempt + 1, retryOf: run.runId };
}

/** What an action calls: work of no schedule, which is told how the run ended. */
export function calledRun(
  run: OpenRun,
  procedure: string,
  {
    runId,
    openedAt,
    state,
    reason,
  }: { readonly runId: string; readonly openedAt: Instant; readonly state: ClosedState; readonly reason: string | null },
): OpenRun {
  return {
    ...run,
    runId,
    scheduleId: null,
    exe: 'procedure',
    call: procedure,
    trigger: 'event',
    openedAt,
    notBefore: null,
    attempt: 1,
    params: { state, reason },
    parentRunId: run.runId,
    retryOf: null,
    group: null,
    fire: null,
    alone: true,
  };
}

/** Why an action that is no call comes to nothing. */
export function undelivered(action: Exclude<Action, { kind: 'call' }>): string {
  const what = action.kind === 'emit' ? `event ${action.name}` : `a message to ${action.channel}`;
  return `not delivered: ${what}; there is no ${action.kind === 'emit' ? 'event bus' : 'channel'} yet`;
}

/** What closes without having begun. */
export function refusedClosing(run: OpenRun, state: ClosedState, reason: string, at: Instant, counters: Counters): Closing {
  return { run, startedAt: null, finishedAt: at, state, reason, final: true, outcome: null, counters, waitedFor: null };
}

/** Runs by hand run beside everything; those of the clock one at a time, unless they may overlap. */
function groupOf(definition: Definition, trigger: Trigger): RunGroup | null {
  if (isAside(trigger) || definition.policy.overlap === 'allow') return null;
  return { key: `schedule:${definition.scheduleId}`, limit: 1 };
}

/** Overlap and `max_runs` leave them out of account. */
export function isAside(trigger: Trigger): boolean {
  return trigger === 'manual' || trigger === 'backfill' || trigger === 'api';
}

/** What the clock's fires are called. */
export function triggerOf(timing: Timing | undefined): Trigger {
  switch (timing?.cadences.find((cadence) => cadence.kind !== 'reboot')?.kind) {
    case 'interval':
      return 'interval';
    case 'once':
      return 'once';
    default:
      return 'cron';
  }
}

/** The clock was ahead when it was opened: its wait counts from now. */
export function inThisTime(run: OpenRun, now: Instant): OpenRun {
  if (run.openedAt <= now || run.notBefore === null) return run;
  return { ...run, notBefore: now + (run.notBefore - run.openedAt) };
}
