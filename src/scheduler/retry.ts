// When a failed attempt is tried again. Pure: the random part is an argument.

import type { Instant } from '../core/instant.ts';
import type { RetryPolicy } from './schedule.ts';

export interface RetryDefaults {
  readonly maxRetries: number;
  readonly delayMs: number;
}

/**
 * The instant before which the next attempt does not start, or undefined when no attempt is left. `attempt` is the one that
 * failed, counted from 1; `random` lies in [0, 1) and spreads the delay over 0.9 to 1.1 of itself.
 */
export function retryAt(policy: RetryPolicy, defaults: RetryDefaults, attempt: number, now: Instant, random: number): Instant | undefined {
  if (attempt > (policy.maxRetries ?? defaults.maxRetries)) return undefined;
  const spread = policy.jitter ? 0.9 + random * 0.2 : 1;
  return now + Math.round(delayMs(policy, defaults, attempt) * spread);
}

function delayMs(policy: RetryPolicy, defaults: RetryDefaults, attempt: number): number {
  const { delaysMs } = policy;
  // A list says exactly what is meant: its last item repeats, and no ceiling applies.
  if (delaysMs !== undefined && delaysMs.length > 0) return delaysMs[Math.min(attempt, delaysMs.length) - 1] ?? 0;
  const base = policy.delayMs ?? defaults.delayMs;
  switch (policy.backoff) {
    case 'exponential':
      return Math.min(base * 2 ** (attempt - 1), policy.maxDelayMs);
    case 'linear':
      return Math.min(base * attempt, policy.maxDelayMs);
    case 'fixed':
      return Math.min(base, policy.maxDelayMs);
    default:
      return policy.backoff satisfies never;
  }
}
