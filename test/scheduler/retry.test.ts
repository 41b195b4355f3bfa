import { describe, expect, test } from 'vitest';
import { retryAt } from '../../src/scheduler/retry.ts';
import type { RetryPolicy } from '../../src/scheduler/schedule.ts';

const defaults = { maxRetries: 3, delayMs: 60_000 };
const plain: RetryPolicy = { backoff: 'exponential', maxDelayMs: 3_600_000, jitter: false };
const delays = (policy: RetryPolicy, random = 0.5): (number | undefined)[] =>
  [1, 2, 3, 4, 5].map((attempt) => retryAt(policy, defaults, attempt, 0, random));

describe('the delay before the next attempt', () => {
  test('doubles, and after the last retry there is none', () => {
    expect(delays(plain)).toEqual([60_000, 120_000, 240_000, undefined, undefined]);
  });

  test('grows by itself when linear, and stays when fixed', () => {
    expect(delays({ ...plain, backoff: 'linear', delayMs: 1000, maxRetries: 4 })).toEqual([1000, 2000, 3000, 4000, undefined]);
    expect(delays({ ...plain, backoff: 'fixed', delayMs: 1000, maxRetries: 2 })).toEqual([1000, 1000, undefined, undefined, undefined]);
  });

  test('stops growing at its ceiling', () => {
    expect(delays({ ...plain, maxDelayMs: 90_000 })).toEqual([60_000, 90_000, 90_000, undefined, undefined]);
  });

  test('follows a list, whose last item repeats and is not capped', () => {
    expect(delays({ ...plain, delaysMs: [1000, 7_200_000], maxRetries: 4 })).toEqual([1000, 7_200_000, 7_200_000, 7_200_000, undefined]);
  });

  test('is spread over 0.9 to 1.1 of itself', () => {
    const jittered = { ...plain, jitter: true };
    expect(delays(jittered, 0)[0]).toBe(54_000);
    expect(delays(jittered, 0.999_999)[0]).toBe(66_000);
  });

  test('with no retries there is never one', () => {
    expect(delays({ ...plain, maxRetries: 0 })).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });
});
