// How much room the disk must have. A checkpoint writes what is in the write-ahead log into the file beside it, and one that
// finds no room stops the whole database; so nothing is opened below twice the log, which is what the log and the file need
// together when it has grown to what it is now once more, and never below what a log may grow to before its next checkpoint.

import type { Events } from './events.ts';
import type { Ports } from './ports.ts';

const leastBytes = 64 * 1024 * 1024;

/** With less than this free, nothing is opened. */
export function neededBytes(walBytes: number): number {
  return Math.max(leastBytes, 2 * walBytes);
}

const checkMs = 5_000;

/** Looks now and then whether there is room. */
export class StorageWatch {
  readonly #ports: Pick<Ports, 'clock' | 'storage'>;
  readonly #events: Events;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #isLow = false;

  constructor(ports: Pick<Ports, 'clock' | 'storage'>, events: Events) {
    this.#ports = ports;
    this.#events = events;
  }

  get isLow(): boolean {
    return this.#isLow;
  }

  /** When to look again, at the latest. */
  get againMs(): number {
    return this.#isLow ? checkMs : Number.POSITIVE_INFINITY;
  }

  begin(): void {
    this.#checkedMs = Number.NEGATIVE_INFINITY;
    this.#isLow = false;
  }

  async heed(): Promise<void> {
    const { clock } = this.#ports;
    if (clock.monotonicMs() - this.#checkedMs < checkMs) return;
    const found = await this.#ports.storage().catch(() => undefined);
    const needed = neededBytes(found?.walBytes ?? 0);
    const low = found !== undefined && found.freeBytes < needed;
    if (low && !this.#isLow) this.#events.emit('storage:low', { freeBytes: found.freeBytes, neededBytes: needed });
    if (!low && this.#isLow) this.#events.emit('storage:enough', {});
    this.#checkedMs = clock.monotonicMs();
    this.#isLow = low;
  }
}
