// Who hears that a run has ended, once that is durable: whoever waits for it, the alerts, every listener.

import type { Alarm } from './alarm.ts';
import type { Calls } from './calls.ts';
import type { Events } from './events.ts';
import { leftOpen } from './outcome.ts';
import type { Ledger } from './ports.ts';
import { type Closing, type FinishedRun, noCounters } from './run.ts';
import type { SchedulerState } from './state.ts';

export interface EndsParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly ledger: Ledger;
  readonly events: Events;
  readonly alarm: Alarm;
}

export class Ends {
  readonly #parts: EndsParts;
  readonly #waiters = new Map<string, ((finished: FinishedRun) => void)[]>();

  constructor(parts: EndsParts) {
    this.#parts = parts;
  }

  tell(closing: Closing): void {
    const { state, events, alarm } = this.#parts;
    const { run } = closing;
    const finished = finishedRun(closing);
    if (closing.final) state.suspects?.clear(run);
    alarm.closed(closing);
    const waiters = this.#waiters.get(run.runId) ?? [];
    this.#waiters.delete(run.runId);
    for (const resolve of waiters) resolve(finished);
    events.emit('run:finished', finished);
  }

  /** Ask before it is opened. */
  of(runId: string): Promise<FinishedRun> {
    return new Promise((resolve) => {
      this.#waiters.set(runId, [...(this.#waiters.get(runId) ?? []), resolve]);
    });
  }

  /** The drop of a schedule closes what waits, and nobody here does: whoever waits for one of those hears what the ledger says. */
  lookForDropped(): void {
    const { state, calls, ledger } = this.#parts;
    for (const runId of this.#waiters.keys()) {
      if (state.running.has(runId)) continue;
      calls
        .untilAnswered('fate', (signal) => ledger.fate(runId, signal))
        .then((fate) => {
          if (fate.kind === 'closed') this.tell({ ...fate.closing, outcome: null, counters: noCounters, waitedFor: null });
        })
        .catch(() => {
          // The scheduler stops, and tells them itself.
        });
    }
  }

  /** The scheduler leaves first. */
  leave(): void {
    for (const [runId, waiters] of this.#waiters) for (const resolve of waiters) resolve(leftOpen(runId));
    this.#waiters.clear();
  }
}

function finishedRun({ run, startedAt, finishedAt, state, reason, final, outcome }: Closing): FinishedRun {
  return {
    runId: run.runId,
    scheduleId: run.scheduleId,
    schedule: run.schedule,
    exe: run.exe,
    call: run.call,
    trigger: run.trigger,
    scheduledAt: run.scheduledAt,
    attempt: run.attempt,
    state,
    reason,
    final,
    result: outcome?.result ?? null,
    rowsChanged: outcome?.rowsChanged ?? null,
    durationMs: startedAt === null ? null : finishedAt - startedAt,
  };
}
