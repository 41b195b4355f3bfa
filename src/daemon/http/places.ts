// So many at once, the others in a line that is short in time, by what those before them took. Whoever would wait for longer is told at
// once when to come again, which is later the more are sent away: five hundred who all came again after a second would be another load
// on top of the one that there is.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Clock } from '../../scheduler/clock.ts';
import { Refusal } from './problem.ts';

export interface PlacesOptions {
  readonly most: number;
  readonly clock: Clock;
  /** 0: whoever finds no place is sent away. */
  readonly longestWaitMs: number;
}

export class Places {
  readonly #options: PlacesOptions;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  /** How long each takes, the last ones most. */
  #eachMs = 0;
  /** Of this second. */
  #counted = { sinceMs: Number.NEGATIVE_INFINITY, served: 0, refused: 0 };
  #retryAfterSeconds = 1;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#options.most) this.#taken += 1;
    else await this.#wait();
    const { clock } = this.#options;
    const beganMs = clock.monotonicMs();
    try {
      return await work();
    } finally {
      this.#eachMs += (clock.monotonicMs() - beganMs - this.#eachMs) * newShare;
      this.#count().served += 1;
      const next = this.#waiting.shift();
      // Whoever waits longest has this place.
      if (next === undefined) this.#taken -= 1;
      else next();
    }
  }

  #wait(): Promise<void> {
    const { most, longestWaitMs } = this.#options;
    const waitMs = ((this.#waiting.length + 1) * this.#eachMs) / most;
    if (longestWaitMs <= 0 || waitMs > longestWaitMs || this.#waiting.length >= mostWaiting) throw this.#refusal();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #refusal(): Refusal {
    this.#count().refused += 1;
    const seconds = this.#retryAfterSeconds;
    return new Refusal(new Diagnostic('too_busy', 'too much is asked at once', { hint: `ask again in ${seconds} s` }), {
      headers: { 'Retry-After': String(seconds) },
    });
  }

  #count(): { served: number; refused: number } {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#counted.sinceMs >= 1000) {
      const { served, refused } = this.#counted;
      // As many as were sent away find a place by then, if it goes on as it did.
      this.#retryAfterSeconds = Math.min(Math.max(Math.ceil(refused / Math.max(served, 1)), 1), longestAwaySeconds);
      this.#counted = { sinceMs: nowMs, served: 0, refused: 0 };
    }
    return this.#counted;
  }
}

/** Before it is known how long they take, thousands may come. */
const mostWaiting = 1000;
const newShare = 0.2;
const longestAwaySeconds = 10;
