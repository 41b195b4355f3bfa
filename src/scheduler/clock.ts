// The only place where real time enters: `Date.now`, timers and the monotonic clock live here and nowhere else, so that
// everything above can be played on a virtual clock.

import type { Instant } from '../core/instant.ts';

export interface Timer {
  /** Safe to call twice, and after it fired. */
  cancel(): void;
}

export interface Clock {
  now(): Instant;
  /** Milliseconds that never go back; their origin means nothing. */
  monotonicMs(): number;
  after(ms: number, callback: () => void, options?: { readonly keepsProcessAlive?: boolean }): Timer;
  sleep(ms: number): Promise<void>;
  /** Lets timers and I/O run before going on. */
  yieldTurn(): Promise<void>;
}

/** setTimeout takes 31 bits; a longer wait would fire at once. */
const longestTimerMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(ms, callback, options = {}) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), longestTimerMs));
    if (options.keepsProcessAlive === false) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(ms, 0), longestTimerMs))),
  yieldTurn: () => new Promise((resolve) => setImmediate(resolve)),
};
