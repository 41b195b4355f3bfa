// A clock moved by hand, so that days pass in milliseconds and the same play always ends the same way. It has two times, as the
// world has: the monotonic one, which timers follow and which only grows, and what a clock on the wall shows, which may jump.
//
// Between two timers everything that can go on goes on. Counting promise ticks cannot tell when that is: a longer chain needs
// more of them. One turn of the event loop can, because Node empties its microtasks before it takes the next turn; it costs 1 us.

import type { Instant } from '../../core/instant.ts';
import { type Clock, systemClock, type Timer } from '../clock.ts';

export interface VirtualClockOptions {
  /** What the wall shows at the start, when the monotonic time is 0. */
  readonly startAt: Instant;
  /** Returns when nothing goes on any more without time passing. The default is right where all work is promises; a real
   * database beside the virtual clock needs one that waits for its calls. */
  readonly settle?: () => Promise<void>;
}

export class VirtualClock implements Clock {
  readonly #settle: () => Promise<void>;
  readonly #timers = new TimerHeap();
  #monotonicMs = 0;
  #offsetMs: number;
  #sequence = 0;
  #turns = 0;

  constructor({ startAt, settle }: VirtualClockOptions) {
    this.#offsetMs = startAt;
    this.#settle = settle ?? systemClock.yieldTurn;
  }

  /** Lets time pass. Timers fire one by one, each at its own time, those of one time in the order in which they were set. */
  async advance(ms: number): Promise<void> {
    await this.runUntil(() => false, { withinMs: ms });
  }

  /** Lets time pass until something holds, asked whenever nothing goes on any more. false: it did not come to hold in that time. */
  async runUntil(holds: () => boolean, { withinMs }: { readonly withinMs: number }): Promise<boolean> {
    const end = this.#monotonicMs + withinMs;
    for (;;) {
      await this.#quiet();
      if (holds()) return true;
      const timer = this.#timers.first;
      if (timer === undefined || timer.dueMs > end) break;
      this.#timers.removeFirst();
      this.#monotonicMs = Math.max(this.#monotonicMs, timer.dueMs);
      const { callback } = timer;
      timer.callback = undefined;
      callback?.();
    }
    this.#monotonicMs = Math.max(this.#monotonicMs, end);
    return false;
  }

  /** The clock on the wall is set, forwards or backwards; no time passes and no timer notices. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  /** The monotonic time at which the next timer fires; Infinity: none is set. */
  get nextTimerMs(): number {
    return this.#timers.first?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  now(): Instant {
    return Math.floor(this.#monotonicMs + this.#offsetMs);
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(ms: number, callback: () => void): Timer {
    this.#sequence += 1;
    const timer: VirtualTimer = { dueMs: this.#monotonicMs + Math.max(ms, 0), sequence: this.#sequence, callback };
    this.#timers.add(timer);
    return {
      cancel: () => {
        timer.callback = undefined;
      },
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Takes no time, and needs nobody who moves the clock. */
  async yieldTurn(): Promise<void> {
    this.#turns += 1;
    await this.#settle();
    this.#turns -= 1;
  }

  async #quiet(): Promise<void> {
    do {
      await this.#settle();
    } while (this.#turns > 0);
  }
}

interface VirtualTimer {
  readonly dueMs: number;
  readonly sequence: number;
  /** undefined: cancelled, or fired. */
  callback: (() => void) | undefined;
}

/** A binary heap by time, then by the order of setting. Cancelled timers leave when they come to the top. */
class TimerHeap {
  readonly #timers: VirtualTimer[] = [];

  get first(): VirtualTimer | undefined {
    for (;;) {
      const timer = this.#timers[0];
      if (timer === undefined || timer.callback !== undefined) return timer;
      this.removeFirst();
    }
  }

  add(timer: VirtualTimer): void {
    const timers = this.#timers;
    let index = timers.length;
    timers.push(timer);
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = timers[parentIndex];
      if (parent === undefined || before(parent, timer)) break;
      timers[index] = parent;
      index = parentIndex;
    }
    timers[index] = timer;
  }

  removeFirst(): void {
    const timers = this.#timers;
    const last = timers.pop();
    if (last === undefined || timers.length === 0) return;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = timers[childIndex];
      if (child === undefined) break;
      const right = timers[childIndex + 1];
      if (right !== undefined && before(right, child)) {
        child = right;
        childIndex += 1;
      }
      if (before(last, child)) break;
      timers[index] = child;
      index = childIndex;
    }
    timers[index] = last;
  }
}

const before = (one: VirtualTimer, other: VirtualTimer): boolean =>
  one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.sequence < other.sequence);
