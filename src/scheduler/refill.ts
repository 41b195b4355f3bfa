// Reads what waits in the table, the most urgent first, into a backlog that has run low. Read as the ledger tells of it at one
// moment, while runs begin and end: what came meanwhile, the backlog sorts out itself.

import type { Instant } from '../core/instant.ts';
import type { Calls } from './calls.ts';
import type { Clock } from './clock.ts';
import { inThisTime } from './opening.ts';
import type { Ledger } from './ports.ts';
import { type Backlog, rereadMs } from './queue.ts';
import type { OpenRun } from './run.ts';
import type { SchedulerState } from './state.ts';

export interface RefillParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly clock: Clock;
  readonly ledger: Ledger;
  cancelDropped(run: OpenRun): void;
}

export class Refill {
  readonly #parts: RefillParts;
  #reading: Promise<void> | undefined;
  #readMs = Number.NEGATIVE_INFINITY;
  /** Retries that wait in the table for their time may be none of memory's. */
  #hasUnknownSleepers = false;

  constructor(parts: RefillParts) {
    this.#parts = parts;
  }

  /** Whoever comes while it is read waits for the same. */
  read(backlog: Backlog): Promise<void> {
    this.#reading ??= this.#read(backlog).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** When nothing is on its way into the backlog that is there now. */
  async rest(): Promise<void> {
    await this.#reading;
  }

  expectSleepers(hasSome: boolean): void {
    this.#hasUnknownSleepers = hasSome;
  }

  /** Not all of them were there when it was read last. */
  get looksForSleepers(): boolean {
    return this.#hasUnknownSleepers && this.#parts.clock.monotonicMs() - this.#readMs > rereadMs;
  }

  async #read(backlog: Backlog): Promise<void> {
    const { state, calls, clock, ledger, cancelDropped } = this.#parts;
    const mark = backlog.beginRefill();
    const now = state.hostNow ?? clock.now();
    const { limit, perGroup } = mark;
    const ask = (asOf: Instant): Promise<readonly OpenRun[]> =>
      calls.untilAnswered('waiting', (signal) => ledger.waiting({ now: asOf, limit, perGroup }, signal));
    let rows = await ask(now);
    const isComplete = rows.length < limit;
    if (isComplete && this.#hasUnknownSleepers) {
      // Those that may start come first: so many sleepers could stand before them that nothing would be done.
      const all = await ask(Number.MAX_SAFE_INTEGER);
      this.#hasUnknownSleepers = all.length >= limit;
      const known = new Set(rows.map((run) => run.runId));
      rows = [...rows, ...all.filter((run) => !known.has(run.runId))];
    }
    this.#readMs = clock.monotonicMs();
    for (const run of rows) state.suspects?.look(run, now);
    for (const run of rows) if (this.#isDropped(run)) cancelDropped(run);
    const kept = rows.filter((run) => !this.#isDropped(run));
    backlog.refill(
      mark,
      kept.map((run) => inThisTime(run, now)),
      isComplete,
    );
  }

  /** Right after a load: of a schedule that is not there any more. */
  #isDropped({ scheduleId }: OpenRun): boolean {
    const { mode, roster, unreadable } = this.#parts.state;
    return mode === 'starting' && scheduleId !== null && roster.get(scheduleId) === undefined && !unreadable.has(scheduleId);
  }
}
