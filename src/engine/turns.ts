// How long DuckDB keeps this thread from its timers. Cadence functions are called on the one thread that the scheduler lives on,
// a chunk of rows at a time, and with two or more DuckDB threads calling, up to 1,000 chunks run before the event loop turns:
// 183 s were measured on a busy machine. From its instant to its first statement a fire needs some turns, so what counts is how
// long the last ten took together: one chunk a turn delays nobody, however long the statement takes.
//
// A call of DuckDB's cannot wait (it answers or fails), so a statement that would hold the clock up ends with an error, and only
// where there is a clock to hold up: while a scheduler runs in this process.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Clock } from '../scheduler/clock.ts';

export interface TurnsParts {
  readonly clock: Clock;
  /** Whether anybody waits for this thread's timers. */
  isNeeded(): boolean;
}

/** Of the mistake that ends what takes too long. */
export const heldUpCode = 'too_busy';

const mostMs = 250;
const turnsOfAFire = 10;
/** So long without a call, and the loop has turned as often as a fire needs. */
const restMs = 10;
/** A power of two. */
const stepsBetweenLooks = 64;

export class Turns {
  readonly #parts: TurnsParts;
  /** Of the last turns in which something was computed; without the present one. */
  #lengthsMs: number[] = [];
  #beforeMs = 0;
  /** undefined: the loop has come round since. */
  #startedMs: number | undefined;
  #endedMs = Number.NEGATIVE_INFINITY;
  #isWatched = false;
  #steps = 0;

  constructor(parts: TurnsParts) {
    this.#parts = parts;
  }

  /** Before a chunk is computed; throws where the scheduler has waited long enough. */
  enter(): void {
    this.#isWatched = this.#parts.isNeeded();
    if (!this.#isWatched) return;
    if (this.#startedMs === undefined) this.#begin(this.#parts.clock.monotonicMs());
    this.#look();
  }

  /** For each row and each fire: one chunk alone may hold millions of fires. */
  step(): void {
    if (!this.#isWatched) return;
    this.#steps = (this.#steps + 1) & (stepsBetweenLooks - 1);
    if (this.#steps === 0) this.#look();
  }

  #begin(nowMs: number): void {
    if (nowMs - this.#endedMs >= restMs) this.#lengthsMs = [];
    else if (this.#lengthsMs.length >= turnsOfAFire) this.#lengthsMs.shift();
    this.#beforeMs = this.#lengthsMs.reduce((sum, length) => sum + length, 0);
    this.#startedMs = nowMs;
    void this.#parts.clock.yieldTurn().then(() => {
      this.#endedMs = this.#parts.clock.monotonicMs();
      this.#lengthsMs.push(this.#endedMs - nowMs);
      this.#startedMs = undefined;
    });
  }

  #look(): void {
    const heldMs = this.#beforeMs + this.#parts.clock.monotonicMs() - (this.#startedMs ?? Number.POSITIVE_INFINITY);
    if (heldMs <= mostMs) return;
    throw new Diagnostic(heldUpCode, `computing cadences would hold up the scheduler of this process for more than ${mostMs} ms`, {
      hint: "ask for fewer rows or fewer different cadences at once, or ask where no scheduler runs: cuckoo -c '..', a shell with --no-scheduler",
    });
  }
}
