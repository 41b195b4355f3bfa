// What follows when an attempt has ended: another attempt, or the end for good, with what its schedule comes to, what is called
// and who hears of it. Pure: the loop asks before a run closes itself, to know whether anything will follow, and after.

import { formatDuration } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import type { SchedulerSettings } from './ports.ts';
import { retryAt } from './retry.ts';
import { type ClosedState, type Counters, countersAfter, isFailure, type OpenRun, type Outcome, type Trigger } from './run.ts';
import type { Action, Definition } from './schedule.ts';

export interface SettleInput {
  readonly run: OpenRun;
  readonly outcome: Pick<Outcome, 'state' | 'reason'>;
  /** undefined: dropped, unreadable, or the run belongs to no schedule. */
  readonly definition: Definition | undefined;
  readonly settings: Pick<SchedulerSettings, 'maxRetries' | 'retryDelayMs' | 'onFail'>;
  /** Before this run. */
  readonly counters: Counters;
  readonly finishedAt: Instant;
  /** In [0, 1): spreads the delay of a retry. */
  readonly random: number;
  /** Its process died while it ran. */
  readonly crashed: boolean;
}

export interface Settled {
  /** No other attempt follows. */
  readonly final: boolean;
  readonly retryAt: Instant | undefined;
  readonly reason: string | null;
  readonly counters: Counters;
  /** Why its schedule disables itself. */
  readonly disable: string | undefined;
  readonly actions: readonly Action[];
  /** To those that follow its schedule. */
  readonly givesToken: boolean;
}

export function settle(input: SettleInput): Settled {
  const { run, outcome, definition, finishedAt } = input;
  const again = isTriedAgain(input) ? nextAttemptAt(input) : undefined;
  const final = again === undefined;
  const counters = countersWith(run, input.counters, outcome.state, final);
  const disable = final && isFailure(outcome.state) ? disableReason(run, definition, counters) : undefined;
  return {
    final,
    retryAt: again,
    reason: final ? withDisable(outcome.reason, disable) : withRetry(outcome.reason, again - finishedAt),
    counters,
    disable,
    actions: final && run.scheduleId !== null ? actionsOf(outcome.state, definition, input.settings) : [],
    givesToken: final && givesToken(run),
  };
}

/** The same for a fire that was refused before there was a run. */
export function settleSkip(
  definition: Definition | undefined,
  refused: { readonly trigger: Trigger; readonly alone?: boolean },
): Pick<Settled, 'actions' | 'givesToken'> {
  return {
    actions: definition?.policy.onSkip ?? [],
    givesToken: givesToken({ scheduleId: definition?.scheduleId ?? null, trigger: refused.trigger, alone: refused.alone ?? false }),
  };
}

/** Runs by hand and backfills like all others; an action, or what has no definition any more, never. */
function isTriedAgain({ run, outcome, definition, crashed }: SettleInput): boolean {
  if (run.scheduleId === null || definition === undefined || !isFailure(outcome.state)) return false;
  return crashed || outcome.state === 'interrupted' ? definition.policy.onCrash === 'retry' : true;
}

function nextAttemptAt({ run, definition, settings, finishedAt, random }: SettleInput): Instant | undefined {
  if (definition === undefined) return undefined;
  const defaults = { maxRetries: settings.maxRetries, delayMs: settings.retryDelayMs };
  return retryAt(definition.policy.retry, defaults, run.attempt, finishedAt, random);
}

/** In whole seconds: nobody reads more of a delay that is spread at random. */
function withRetry(reason: string | null, delayMs: number): string {
  const retry = `retry in ${formatDuration(Math.max(1000, Math.round(delayMs / 1000) * 1000))}`;
  return reason === null ? retry : `${reason}; ${retry}`;
}

/** The last row for a while should say why none follows. */
function withDisable(reason: string | null, disable: string | undefined): string | null {
  if (disable === undefined) return reason;
  const end = `the schedule is disabled after ${disable}`;
  return reason === null ? end : `${reason}; ${end}`;
}

/**
 * Runs by hand count like those of the clock: a success by hand is the end of a row of failures. A backfill works on the past, in
 * no order: it neither makes nor ends a row of failures, and its success moves the last one forward or not at all.
 */
function countersWith(run: OpenRun, before: Counters, state: ClosedState, final: boolean): Counters {
  if (run.scheduleId === null) return before;
  const after = countersAfter(before, state, final, run.scheduledAt);
  return {
    consecutiveFailures: run.trigger === 'backfill' ? before.consecutiveFailures : after.consecutiveFailures,
    openedFires: Math.max(after.openedFires, run.fire ?? 0),
    lastSuccessAt: after.lastSuccessAt,
  };
}

function disableReason(run: OpenRun, definition: Definition | undefined, { consecutiveFailures }: Counters): string | undefined {
  if (definition === undefined || !definition.enabled || run.trigger === 'backfill') return undefined;
  const limit = definition.policy.disableAfterFailures;
  // Enabled again, it has as many tries as before.
  if (limit === 0 || consecutiveFailures === 0 || consecutiveFailures % limit !== 0) return undefined;
  return consecutiveFailures === 1 ? '1 failure' : `${consecutiveFailures} failures in a row`;
}

/** A failure is told to the system's own actions where its schedule has none, or is not there any more. */
function actionsOf(state: ClosedState, definition: Definition | undefined, settings: SettleInput['settings']): readonly Action[] {
  switch (state) {
    case 'succeeded':
      return definition?.policy.onComplete ?? [];
    case 'failed':
    case 'timed_out':
    case 'interrupted': {
      const own = definition?.policy.onFail ?? [];
      return own.length > 0 ? own : settings.onFail;
    }
    case 'skipped':
      return definition?.policy.onSkip ?? [];
    case 'cancelled':
      return [];
    default:
      return state satisfies never;
  }
}

function givesToken({ scheduleId, trigger, alone }: Pick<OpenRun, 'scheduleId' | 'trigger' | 'alone'>): boolean {
  return scheduleId !== null && trigger !== 'backfill' && !alone;
}
