// How far a run is, as its executor tells it. What it tells may come a thousand times a second: others hear of it now and then,
// of the first at once, and always of the newest before the run ends.

import type { Clock, Timer } from './clock.ts';

export interface Progress {
  /** 0..1; null: nobody can tell. */
  readonly fraction: number | null;
  readonly message: string | null;
}

/** Others hear of one run at most so often. */
const intervalMs = 100;
const longestMessage = 500;

export class ProgressOf {
  readonly #clock: Clock;
  readonly #tell: (progress: Progress) => void;
  #newest: Progress | null = null;
  #isUntold = false;
  /** While it runs, nobody is told. */
  #timer: Timer | undefined;
  #hasEnded = false;

  constructor(clock: Clock, tell: (progress: Progress) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** null: nothing was told so far. */
  get newest(): Progress | null {
    return this.#newest;
  }

  /** What comes after the end is not heard. */
  told(fraction: number | null, message: string | null): void {
    if (this.#hasEnded) return;
    this.#newest = { fraction: fractionOf(fraction), message: message === null ? null : cut(message) };
    this.#isUntold = true;
    if (this.#timer === undefined) this.#tellNewest();
  }

  /** The run has ended. Safe to call twice. */
  end(): void {
    this.#hasEnded = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#tellIfUntold();
  }

  #tellNewest(): void {
    if (!this.#tellIfUntold()) return;
    this.#timer = this.#clock.after(
      intervalMs,
      () => {
        this.#timer = undefined;
        this.#tellNewest();
      },
      { keepsProcessAlive: false },
    );
  }

  #tellIfUntold(): boolean {
    if (this.#newest === null || !this.#isUntold) return false;
    this.#isUntold = false;
    this.#tell(this.#newest);
    return true;
  }
}

function fractionOf(fraction: number | null): number | null {
  return fraction === null || Number.isNaN(fraction) ? null : Math.min(Math.max(fraction, 0), 1);
}

/** By characters, so that none is cut in two. */
function cut(message: string): string {
  if (message.length <= longestMessage) return message;
  return [...message.slice(0, 2 * longestMessage)].slice(0, longestMessage).join('');
}
