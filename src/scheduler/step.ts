// A step of the scheduler: what is written together, and what is true in memory once that is durable and not before.

import type { Write } from './ports.ts';
import type { Closing } from './run.ts';

export class Step {
  readonly writes: Write[] = [];
  opened = 0;
  skipped = 0;
  readonly #after: (() => void)[] = [];
  readonly #closing = new Set<string>();

  write(write: Write): void {
    this.writes.push(write);
  }

  close(closing: Closing): void {
    this.#closing.add(closing.run.runId);
    this.write({ kind: 'close', closing });
  }

  /** What it closes, while it is on its way. */
  get closing(): Iterable<string> {
    return this.#closing;
  }

  closes(runId: string): boolean {
    return this.#closing.has(runId);
  }

  afterwards(effect: () => void): void {
    this.#after.push(effect);
  }

  confirm(): void {
    for (const effect of this.#after.splice(0)) effect();
  }
}
