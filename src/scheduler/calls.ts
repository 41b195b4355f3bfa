// How the scheduler calls its ledger: with a time limit, because a call that hangs must not stop the others, and with patience,
// because most troubles end by themselves. Trouble is told once, and once that it is over.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Clock } from './clock.ts';
import type { Events } from './events.ts';

/** Longer than any call of a healthy ledger, shorter than anybody's patience. */
const limitMs = 15_000;

const firstPauseMs = 50;
const longestPauseMs = 5_000;

export class Calls {
  readonly #clock: Clock;
  readonly #events: Events;
  #troubled = false;
  #stopped = false;
  readonly #waking = new Set<() => void>();

  constructor(clock: Clock, events: Events) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Calls of the ledger fail at present. */
  get troubled(): boolean {
    return this.#troubled;
  }

  /** One try. The call is aborted at its limit and waited for: it may have had its effect. */
  async once<T>(what: string, call: (signal: AbortSignal) => Promise<T>, withinMs = limitMs): Promise<T> {
    const controller = new AbortController();
    const timer = this.#clock.after(withinMs, () =>
      controller.abort(new Diagnostic('timed_out', `the ledger did not answer within ${withinMs / 1000} s (${what})`)),
    );
    try {
      const answer = await call(controller.signal);
      if (this.#troubled) {
        this.#troubled = false;
        this.#events.emit('ledger:recovered', {});
      }
      return answer;
    } catch (error) {
      if (!this.#troubled) {
        this.#troubled = true;
        this.#events.emit('ledger:trouble', { during: what, message: error instanceof Error ? error.message : String(error) });
      }
      throw error;
    } finally {
      timer.cancel();
    }
  }

  /** Until it answers: for reads without which nothing goes on. Throws only when the scheduler stops. */
  async untilAnswered<T>(what: string, call: (signal: AbortSignal) => Promise<T>, withinMs = limitMs): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.once(what, call, withinMs);
      } catch (error) {
        if (this.#stopped) throw error;
        await this.pause(tries);
        if (this.#stopped) throw error;
      }
    }
  }

  /** Lets all go on that can. */
  yieldTurn(): Promise<void> {
    return this.#clock.yieldTurn();
  }

  /** Longer each time; ends at once when the scheduler stops. */
  async pause(tries: number): Promise<void> {
    if (this.#stopped) return;
    const ms = Math.min(firstPauseMs * 2 ** (tries - 1), longestPauseMs);
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waking.delete(wake);
        timer.cancel();
        resolve();
      };
      const timer = this.#clock.after(ms, wake);
      this.#waking.add(wake);
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const wake of [...this.#waking]) wake();
  }

  resume(): void {
    this.#stopped = false;
  }
}
