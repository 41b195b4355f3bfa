// How far a handler is, as often as it says so and no more often than anybody looks: the newest counts.

import type { Clock, Timer } from '../../../../scheduler/clock.ts';
import type { FromGuest } from '../messages.ts';

const everyMs = 50;

type Report = Extract<FromGuest, { readonly kind: 'progress' }>;

export interface ProgressWire {
  send(report: Report): void;
}

export class ProgressReports {
  readonly #wire: ProgressWire;
  readonly #clock: Clock;
  #newest: Report | undefined;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(wire: ProgressWire, clock: Clock) {
    this.#wire = wire;
    this.#clock = clock;
  }

  report(fraction: unknown, message: unknown): void {
    this.#newest = {
      kind: 'progress',
      fraction: typeof fraction === 'number' && Number.isFinite(fraction) ? fraction : null,
      message: message === null || message === undefined ? null : String(message),
    };
    if (this.#clock.monotonicMs() - this.#sentAtMs >= everyMs) this.flush();
    else this.#timer ??= this.#clock.after(everyMs, () => this.flush(), { keepsProcessAlive: false });
  }

  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#newest === undefined) return;
    this.#wire.send(this.#newest);
    this.#newest = undefined;
    this.#sentAtMs = this.#clock.monotonicMs();
  }

  close(): void {
    this.#timer?.cancel();
  }
}
