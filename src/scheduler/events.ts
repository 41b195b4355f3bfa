// What the scheduler tells as it happens, in one typed table. Listeners are told in turn and may not fail it: what one throws is
// its own affair.

import type { Instant } from '../core/instant.ts';
import type { Alert, Tick } from './ports.ts';
import type { FinishedRun, OpenRun } from './run.ts';

export interface SchedulerEvents {
  /** It has read the ledger and begins to tick. */
  'scheduler:started': { readonly schedules: number };
  /** Nothing is opened until it resumes; `held`: in this process only. */
  'scheduler:paused': { readonly held: boolean };
  'scheduler:resumed': Record<never, never>;
  'scheduler:stopped': Record<never, never>;
  /** After the commit that says so. */
  'tick:done': { readonly tick: Tick; readonly opened: number; readonly skipped: number; readonly lagMs: number };
  /** A fire became a run, after the commit that says so. */
  'run:opened': OpenRun;
  /** A worker took it. */
  'run:started': { readonly run: OpenRun; readonly startedAt: Instant };
  /** What its executor has told last: the first at once, then at most every 100 ms, and the last before it ends. */
  'run:progress': { readonly run: OpenRun; readonly fraction: number | null; readonly message: string | null };
  /** It is closed, after the commit that says so; a fire that was refused too. */
  'run:finished': FinishedRun;
  /** A transaction with definitions or settings has ended, here or in vain. */
  'definitions:changed': Record<never, never>;
  /** A definition that cannot be read; it fails alone. */
  'schedule:unreadable': { readonly schedule: string; readonly message: string };
  /** It has disabled itself after too many failures. */
  'schedule:disabled': { readonly schedule: string; readonly reason: string };
  /** The clock stands behind what is handled already. */
  'clock:behind': { readonly now: Instant; readonly watermark: Instant };
  /** The clock is believed: behind for ten minutes, or right again. */
  'clock:believed': { readonly now: Instant; readonly watermark: Instant };
  /** A call of the ledger failed; it is tried again. */
  'ledger:trouble': { readonly during: string; readonly message: string };
  'ledger:recovered': Record<never, never>;
  /** Too little room on the disk: nothing is opened until there is more. */
  'storage:low': { readonly freeBytes: number; readonly neededBytes: number };
  'storage:enough': Record<never, never>;
  'alert:raised': Alert;
  'alert:cleared': Alert;
}

export type SchedulerEvent = keyof SchedulerEvents;

export class Events {
  readonly #listeners = new Map<SchedulerEvent, Set<(detail: never) => void>>();

  /** Answers how to stop listening. */
  on<Name extends SchedulerEvent>(name: Name, listener: (detail: SchedulerEvents[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit<Name extends SchedulerEvent>(name: Name, detail: SchedulerEvents[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (detail: SchedulerEvents[Name]) => void)(detail);
      } catch {
        // A listener that fails has failed alone.
      }
    }
  }
}
