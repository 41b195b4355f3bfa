// How long the runs of a schedule usually take. Only who asks about a run that has been at work for a while causes a look into
// history, which is the caller's to make now and then; where all runs are short, there is none.

import type { Clock } from './clock.ts';

/** The median duration of each schedule's newest successes; without those that have too few of them. */
export type ReadUsualTimes = (scheduleIds: readonly number[], signal: AbortSignal) => Promise<ReadonlyMap<number, number>>;

/** Half of what makes a run slow at all: time to look before it is. */
const atWorkLongMs = 5000;

const freshMs = 10 * 60_000;

/** Schedules whose runs are long; the oldest answers are forgotten. */
const mostKept = 10_000;

const mostReadAtOnce = 1000;

export class UsualTimes {
  readonly #read: ReadUsualTimes;
  readonly #clock: Clock;
  /** In the order in which they were read. */
  readonly #known = new Map<number, { readonly ms: number | null; readonly readAtMs: number }>();
  readonly #wanted = new Set<number>();

  constructor(read: ReadUsualTimes, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
  }

  /** Of a run that has been at work for `atWorkMs`; null where nobody knows, or not yet. */
  of(scheduleId: number | null, atWorkMs: number): number | null {
    if (scheduleId === null || atWorkMs < atWorkLongMs) return null;
    const known = this.#known.get(scheduleId);
    if (known === undefined || this.#clock.monotonicMs() - known.readAtMs > freshMs) this.#wanted.add(scheduleId);
    return known?.ms ?? null;
  }

  /** Reads what was asked for and is not known, or no longer fresh; else it asks for nothing. What fails is asked for again. */
  async refresh(signal: AbortSignal): Promise<void> {
    if (this.#wanted.size === 0) return;
    const ids = [...this.#wanted].slice(0, mostReadAtOnce);
    for (const id of ids) this.#wanted.delete(id);
    const medians = await this.#read(ids, signal);
    const readAtMs = this.#clock.monotonicMs();
    for (const id of ids) {
      this.#known.delete(id);
      this.#known.set(id, { ms: medians.get(id) ?? null, readAtMs });
    }
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostKept) break;
      this.#known.delete(oldest);
    }
  }
}
