// How many requests each token may send: a bucket that fills by and by, and is emptied by one for each request.

import type { Clock } from '../../scheduler/clock.ts';

export interface Rate {
  readonly perSecond: number;
  /** So many at once, after a pause. */
  readonly burst: number;
}

export class RateLimit {
  readonly #rate: Rate;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** undefined: it may go on. Else in how many seconds it may come again. */
  take(name: string): number | undefined {
    const { perSecond, burst } = this.#rate;
    const now = this.#clock.monotonicMs();
    const bucket = this.#buckets.get(name) ?? { left: burst, at: now };
    this.#buckets.set(name, bucket);
    bucket.left = Math.min(burst, bucket.left + ((now - bucket.at) * perSecond) / 1000);
    bucket.at = now;
    if (bucket.left < 1) return Math.max(1, Math.ceil((1 - bucket.left) / perSecond));
    bucket.left -= 1;
    return undefined;
  }
}
