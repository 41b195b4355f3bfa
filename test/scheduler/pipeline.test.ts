import { describe, expect, test } from 'vitest';
import { Progression, pastKey, pastOf, type StepRun, stepRetryAt } from '../../src/scheduler/pipeline.ts';

const step = (name: string, ...after: string[]) => ({ name, after });
const diamond = [step('a'), step('b', 'a'), step('c', 'a'), step('d', 'c', 'b')];

describe('the steps of a pipeline', () => {
  test('begin once each, when all that they wait for have ended', () => {
    const progression = new Progression(diamond);
    expect(progression.begin()).toEqual(['a']);
    expect(progression.begin()).toEqual([]);
    progression.ended('a', 'continue');
    expect(progression.begin()).toEqual(['b', 'c']);
    progression.ended('c', 'continue');
    expect(progression.begin()).toEqual([]);
    progression.ended('b', 'continue');
    expect(progression.begin()).toEqual(['d']);
    progression.ended('d', 'continue');
    expect([progression.begin(), progression.endedCount, progression.verdict, progression.notBegun]).toEqual([[], 4, 'continue', []]);
  });

  test('do not begin behind one that has ended the pipeline, and those beside it may still fail it', () => {
    const progression = new Progression([...diamond, step('beside')]);
    expect(progression.begin()).toEqual(['a', 'beside']);
    progression.ended('a', 'skip');
    expect([progression.begin(), progression.verdict, progression.notBegun]).toEqual([[], 'skip', ['b', 'c', 'd']]);
    progression.ended('beside', 'abort');
    expect(progression.verdict).toBe('abort');
    const other = new Progression([step('x'), step('y')]);
    other.begin();
    other.ended('x', 'abort');
    other.ended('y', 'skip');
    expect(other.verdict).toBe('abort');
  });

  test('a step that fails is tried again after a second, two, four, as often as it says', () => {
    const policy = { maxRetries: 3, backoff: 'exponential', maxDelayMs: 3_600_000, jitter: false } as const;
    expect([1, 2, 3, 4].map((failures) => stepRetryAt(policy, failures, 0, 0.5))).toEqual([1000, 2000, 4000, undefined]);
    expect(stepRetryAt({ ...policy, maxRetries: 0 }, 1, 0, 0.5)).toBeUndefined();
  });
});

describe('what was done before', () => {
  const row = (more: Partial<StepRun>): StepRun => ({
    runId: 'now',
    step: 'a',
    item: null,
    kind: 'sql',
    state: 'succeeded',
    reason: null,
    attempt: 1,
    startedAt: 1,
    finishedAt: 2,
    rowsChanged: null,
    result: null,
    errorMessage: null,
    verdict: 'continue',
    ...more,
  });
  const past = (...rows: Partial<StepRun>[]) => pastOf(rows.map(row), 'now').get(pastKey('A', null));

  test('is done in whichever attempt it succeeded, or was skipped by its condition', () => {
    expect(past({})?.end?.state).toBe('succeeded');
    expect(past({ runId: 'before' })?.end?.state).toBe('succeeded');
    expect(past({ runId: 'before', state: 'skipped' })?.end?.state).toBe('skipped');
    expect(past({ runId: 'before', state: 'skipped', startedAt: null, verdict: null })?.end).toBeUndefined();
    expect(pastOf([row({ item: 3 })], 'now').get(pastKey('a', 3))?.end?.state).toBe('succeeded');
    expect(past({ item: 3 })).toBeUndefined();
  });

  test('a failure is final for the run in which it was given up, and counts for its tries; the next attempt begins anew', () => {
    expect(past({ state: 'failed', verdict: 'continue' })).toMatchObject({ end: { state: 'failed' }, attempts: 1, failures: 1 });
    expect(past({ state: 'failed', verdict: null }, { state: 'timed_out', attempt: 2, verdict: null })).toEqual({
      end: undefined,
      attempts: 2,
      failures: 2,
    });
    expect(past({ runId: 'before', state: 'failed', verdict: 'continue' })).toEqual({ end: undefined, attempts: 0, failures: 0 });
    expect(past({ state: 'interrupted', verdict: null }, { state: 'cancelled', attempt: 2, verdict: null })).toEqual({
      end: undefined,
      attempts: 2,
      failures: 0,
    });
  });
});
