// Log lines on their way out: a message for each would cost more than the line. The first of a while goes at once, what follows
// quickly goes together, and a loop that never lets a timer run sends by itself.

import type { Clock, Timer } from '../../../../scheduler/clock.ts';
import type { TaskLine } from '../../executor.ts';

const everyMs = 20;
const mostLines = 200;
const mostCharacters = 128_000;

export interface LineWire {
  sendLines(lines: readonly TaskLine[]): void;
}

export class LineBatches {
  readonly #wire: LineWire;
  readonly #clock: Clock;
  #waiting: TaskLine[] = [];
  #characters = 0;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(wire: LineWire, clock: Clock) {
    this.#wire = wire;
    this.#clock = clock;
  }

  add(line: TaskLine): void {
    this.#waiting.push(line);
    this.#characters += line.text.length;
    const full = this.#waiting.length >= mostLines || this.#characters >= mostCharacters;
    if (full || this.#clock.monotonicMs() - this.#sentAtMs >= everyMs) this.flush();
    else this.#timer ??= this.#clock.after(everyMs, () => this.flush(), { keepsProcessAlive: false });
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const lines = this.#waiting;
    this.#waiting = [];
    this.#characters = 0;
    this.#wire.sendLines(lines);
    this.#sentAtMs = this.#clock.monotonicMs();
  }

  close(): void {
    this.#timer?.cancel();
  }
}
