// What is done beside the runs, while the scheduler runs and has nothing due: history that nobody keeps and results that nobody will
// read are forgotten, calendars are read again, and DuckDB's log is written into the file before it grows so far that some COMMIT
// has to do it (60-95 ms, for which all others wait).

import type { Clock, Timer } from '../scheduler/clock.ts';
import type { Scheduler } from '../scheduler/loop.ts';
import type { Storage } from '../scheduler/ports.ts';
import type { CalendarReading } from './calendarReading.ts';
import type { Retention } from './retention.ts';
import type { WorkTables } from './workTables.ts';

export interface HousekeepingParts {
  readonly scheduler: Scheduler;
  readonly retention: Retention;
  readonly calendars: CalendarReading;
  readonly workTables: WorkTables;
  readonly clock: Clock;
  storage(): Promise<Storage | undefined>;
  checkpoint(): Promise<void>;
}

const sweepEveryMs = 600_000;
/** Old rows were left over. */
const sweepAgainMs = 5_000;
/** Those that fail are tried as often. */
const readEveryMs = 600_000;
const lookEveryMs = 30_000;
/** Less is not worth a checkpoint; DuckDB makes its own at 64 MB. */
const worthBytes = 8_000_000;
/** With something due sooner, it waits. */
const idleMs = 500;

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #stop = new AbortController();
  readonly #timers = new Set<Timer>();
  #atWork: Promise<unknown> = Promise.resolve();

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    this.#every(sweepEveryMs, async () => {
      await this.#parts.workTables.sweep();
      const { more } = await this.#parts.retention.sweep(this.#stop.signal);
      return more ? sweepAgainMs : sweepEveryMs;
    });
    this.#every(readEveryMs, async () => {
      await this.#parts.calendars.round(this.#stop.signal);
      return readEveryMs;
    });
    this.#every(lookEveryMs, async () => {
      await this.#checkpointWhenIdle();
      return lookEveryMs;
    });
  }

  /** A scheduler has begun: calendars may not have been read for long. */
  readCalendars(): void {
    this.#atWork = this.#atWork.then(() => this.#parts.calendars.round(this.#stop.signal)).catch(() => undefined);
  }

  /** What is at work ends after its present transaction. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#timers) timer.cancel();
    await this.#atWork;
  }

  /** `work` answers when it wants to be done again. What fails is tried again in its time. */
  #every(firstMs: number, work: () => Promise<number>): void {
    const timer = this.#parts.clock.after(
      firstMs,
      () => {
        this.#timers.delete(timer);
        const done = this.#atWork.then(work).catch(() => firstMs);
        this.#atWork = done.then((againMs) => {
          if (!this.#stop.signal.aborted) this.#every(againMs, work);
        });
      },
      { keepsProcessAlive: false },
    );
    this.#timers.add(timer);
  }

  async #checkpointWhenIdle(): Promise<void> {
    const { scheduler, clock, storage, checkpoint } = this.#parts;
    const isIdle = [...scheduler.allRunning()].length === 0 && scheduler.nextDue - clock.now() > idleMs && !scheduler.storageLow;
    if (!isIdle || ((await storage())?.walBytes ?? 0) < worthBytes) return;
    await checkpoint();
  }
}
