import { describe, expect, test } from 'vitest';
import { type ClosedState, closedStates, noCounters, type OpenRun, type Trigger } from '../../src/scheduler/run.ts';
import type { Action, Definition, Policy } from '../../src/scheduler/schedule.ts';
import { type Settled, type SettleInput, settle, settleSkip } from '../../src/scheduler/settle.ts';
import { plainDefinition, plainPolicy, plainRun } from '../support/plain.ts';

const action = (name: string): Action => ({ kind: 'emit', name });

const actions = { onComplete: [action('complete')], onFail: [action('fail')], onSkip: [action('skip')] };

const defined = (changes: Partial<Policy> = {}, enabled = true): Definition => plainDefinition({ enabled }, { ...actions, ...changes });

const run = plainRun('r', { scheduledAt: 1_000_000 });

interface Closed extends Partial<Omit<SettleInput, 'run' | 'outcome'>> {
  readonly run?: Partial<OpenRun>;
  readonly reason?: string | null;
}

function ended(state: ClosedState, closed: Closed = {}): Settled {
  const { run: changes, reason = 'why', ...rest } = closed;
  return settle({
    run: { ...run, ...changes },
    outcome: { state, reason },
    definition: defined(),
    settings: { maxRetries: 3, retryDelayMs: 60_000, onFail: [action('system')] },
    counters: noCounters,
    finishedAt: 2_000_000,
    random: 0.5,
    crashed: false,
    ...rest,
  });
}

const onLast = { run: { attempt: 4 } };

describe('a failed attempt', () => {
  for (const state of ['failed', 'timed_out', 'interrupted'] as const) {
    test(`that ${state} is tried again within max_retries, and its reason says when`, () => {
      expect(ended(state)).toEqual({
        final: false,
        retryAt: 2_060_000,
        reason: 'why; retry in 1m',
        counters: noCounters,
        disable: undefined,
        actions: [],
        givesToken: false,
      });
      expect(ended(state, { run: { attempt: 3 } })).toMatchObject({ retryAt: 2_240_000, reason: 'why; retry in 4m' });
      expect(ended(state, onLast)).toMatchObject({ final: true, retryAt: undefined, reason: 'why' });
      expect(ended(state, { definition: defined({ retry: { ...plainPolicy.retry, maxRetries: 0 } }) })).toMatchObject({ final: true });
    });
  }

  test('says its delay in whole seconds, and never less than one', () => {
    const delayed = (ms: number) =>
      ended('failed', { reason: null, definition: defined({ retry: { ...plainPolicy.retry, delaysMs: [ms] } }) });
    expect(delayed(10)).toMatchObject({ retryAt: 2_000_010, reason: 'retry in 1s' });
    expect(delayed(61_400)).toMatchObject({ retryAt: 2_061_400, reason: 'retry in 1m1s' });
  });

  test('is tried again however the run came to be, and also where its schedule is disabled by now', () => {
    for (const trigger of ['manual', 'backfill', 'after', 'catchup', 'api'] as Trigger[]) {
      expect(ended('failed', { run: { trigger } })).toMatchObject({ final: false });
    }
    expect(ended('failed', { definition: defined({}, false) })).toMatchObject({ final: false });
  });

  test('of a dropped schedule, or of an action, is the last', () => {
    expect(ended('failed', { definition: undefined })).toMatchObject({ final: true, reason: 'why' });
    expect(ended('failed', { run: { scheduleId: null }, definition: undefined })).toMatchObject({ final: true, reason: 'why' });
  });

  test('that was interrupted or crashed is tried again as on_crash says', () => {
    const definition = defined({ onCrash: 'fail' });
    expect(ended('interrupted', { definition })).toMatchObject({ final: true, actions: [action('fail')] });
    expect(ended('failed', { definition, crashed: true })).toMatchObject({ final: true });
    expect(ended('failed', { definition })).toMatchObject({ final: false });
    expect(ended('interrupted', { crashed: true, reason: 'process died while running' })).toMatchObject({
      final: false,
      reason: 'process died while running; retry in 1m',
    });
  });

  test('is the only one that is tried again', () => {
    const again = closedStates.filter((state) => !ended(state).final);
    expect(again).toEqual(['failed', 'timed_out', 'interrupted']);
  });
});

describe('what a schedule has come to', () => {
  const before = { consecutiveFailures: 2, openedFires: 7, lastSuccessAt: 900_000 };

  test('is one failure more after the last attempt, and none after a success', () => {
    expect(ended('failed', { counters: before }).counters).toEqual(before);
    expect(ended('failed', { counters: before, ...onLast }).counters).toEqual({ ...before, consecutiveFailures: 3 });
    expect(ended('succeeded', { counters: before }).counters).toEqual({ consecutiveFailures: 0, openedFires: 7, lastSuccessAt: 1_000_000 });
    for (const state of ['cancelled', 'skipped'] as const) expect(ended(state, { counters: before }).counters).toEqual(before);
  });

  test('never moves back: neither the last success nor the count of fires', () => {
    const late = ended('succeeded', { counters: before, run: { scheduledAt: 500_000, fire: 3 } });
    expect(late.counters).toEqual({ consecutiveFailures: 0, openedFires: 7, lastSuccessAt: 900_000 });
    expect(ended('skipped', { counters: before, run: { fire: 8 } }).counters.openedFires).toBe(8);
  });

  test('counts runs by hand like those of the clock', () => {
    const byHand = { counters: before, run: { trigger: 'manual', attempt: 4 } } as const;
    expect(ended('failed', byHand).counters.consecutiveFailures).toBe(3);
    expect(ended('succeeded', byHand).counters).toMatchObject({ consecutiveFailures: 0, lastSuccessAt: 1_000_000 });
  });

  test('is left alone by a backfill, but for a newer success', () => {
    const backfill = { counters: before, run: { trigger: 'backfill', attempt: 4 } } as const;
    expect(ended('failed', backfill).counters).toEqual(before);
    expect(ended('succeeded', backfill).counters).toEqual({ ...before, lastSuccessAt: 1_000_000 });
    const older = { ...backfill, run: { ...backfill.run, scheduledAt: 100_000 } };
    expect(ended('succeeded', older).counters).toEqual(before);
  });

  test('is nothing for an action, which belongs to no schedule', () => {
    expect(ended('succeeded', { run: { scheduleId: null }, definition: undefined }).counters).toEqual(noCounters);
  });
});

describe('a schedule disables itself', () => {
  const definition = defined({ disableAfterFailures: 3 });
  const failures = (consecutiveFailures: number) => ({ definition, counters: { ...noCounters, consecutiveFailures } });

  test('after so many runs that failed for good, and says how many', () => {
    expect(ended('failed', { ...failures(2), ...onLast }).disable).toBe('3 failures in a row');
    // Somebody has enabled it again: it has as many tries as before.
    expect(ended('timed_out', { ...failures(4), ...onLast }).disable).toBeUndefined();
    expect(ended('timed_out', { ...failures(5), ...onLast }).disable).toBe('6 failures in a row');
    const once = defined({ disableAfterFailures: 1 });
    expect(ended('failed', { definition: once, ...onLast }).disable).toBe('1 failure');
    expect(ended('failed', { definition: once, ...onLast }).reason).toMatch(/; the schedule is disabled after 1 failure$/);
  });

  test('not sooner, not by an attempt that is tried again, not twice, and not by what is no failure', () => {
    expect(ended('failed', { ...failures(1), ...onLast }).disable).toBeUndefined();
    expect(ended('failed', failures(2)).disable).toBeUndefined();
    expect(ended('cancelled', failures(5)).disable).toBeUndefined();
    expect(ended('failed', { ...failures(2), ...onLast, definition: { ...definition, enabled: false } }).disable).toBeUndefined();
    expect(ended('failed', { ...failures(5), run: { attempt: 4, trigger: 'backfill' } }).disable).toBeUndefined();
    expect(ended('failed', { ...failures(99), ...onLast, definition: defined() }).disable).toBeUndefined();
  });
});

describe('actions', () => {
  test('are those of the schedule for how its run ended', () => {
    const names = Object.fromEntries(closedStates.map((state) => [state, ended(state, onLast).actions]));
    expect(names).toEqual({
      succeeded: [action('complete')],
      failed: [action('fail')],
      timed_out: [action('fail')],
      interrupted: [action('fail')],
      skipped: [action('skip')],
      cancelled: [],
    });
  });

  test("are the system's where a failure has none of its own, or its schedule is gone", () => {
    expect(ended('failed', { ...onLast, definition: defined({ onFail: [] }) }).actions).toEqual([action('system')]);
    expect(ended('failed', { ...onLast, definition: undefined }).actions).toEqual([action('system')]);
    expect(ended('succeeded', { definition: defined({ onComplete: [] }) }).actions).toEqual([]);
  });

  test('call no actions when they end themselves', () => {
    for (const state of closedStates) expect(ended(state, { run: { scheduleId: null }, definition: undefined }).actions).toEqual([]);
  });
});

describe('followers hear', () => {
  test('of every run that is closed for good, skipped and cancelled ones too', () => {
    for (const state of closedStates) expect(ended(state, onLast).givesToken).toBe(true);
    expect(ended('succeeded', { run: { trigger: 'manual' } }).givesToken).toBe(true);
  });

  test('nothing of an attempt that is tried again, of a backfill, of a run ALONE, of an action', () => {
    expect(ended('failed').givesToken).toBe(false);
    expect(ended('succeeded', { run: { trigger: 'backfill' } }).givesToken).toBe(false);
    expect(ended('succeeded', { run: { alone: true } }).givesToken).toBe(false);
    expect(ended('succeeded', { run: { scheduleId: null } }).givesToken).toBe(false);
  });

  test('of fires that were refused before there was a run', () => {
    expect(settleSkip(defined(), { trigger: 'cron' })).toEqual({ actions: [action('skip')], givesToken: true });
    expect(settleSkip(defined(), { trigger: 'backfill' })).toEqual({ actions: [action('skip')], givesToken: false });
    expect(settleSkip(defined(), { trigger: 'manual', alone: true })).toEqual({ actions: [action('skip')], givesToken: false });
    expect(settleSkip(undefined, { trigger: 'cron' })).toEqual({ actions: [], givesToken: false });
  });
});
