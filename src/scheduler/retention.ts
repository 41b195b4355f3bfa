// What history may be forgotten: how long a closed run is kept, how much of the ledger's own rows, in how large bites, and whether
// the clock is to be believed that makes it old. Pure; engine/retention.ts carries it out.

import type { ClosedState } from './run.ts';
import type { Schedule } from './schedule.ts';

/** Under which word of `keep` a run falls. `failed` stands for whatever was opened and came to nothing, attempts before a retry too. */
export const keptAs: Readonly<Record<ClosedState, keyof Schedule['keep']>> = {
  succeeded: 'succeeded',
  failed: 'failed',
  timed_out: 'failed',
  interrupted: 'failed',
  cancelled: 'failed',
  skipped: 'skipped',
};

const dayMs = 86_400_000;

/**
 * Rows of one transaction. Measured beside a session that commits all the time, on a million rows of history: 2,000, 10,000 and
 * 50,000 at a time take 5, 7 and 14 ms and their COMMIT 0.7, 1 and 1.6 ms, and the session's commits are no slower than without.
 */
export const rowsAtOnce = 10_000;

export const kept = {
  /** A run, whatever `keep` says: a clock that is set back must find what has run already. */
  runMs: dayMs,
  /** The newest ticks, and those of the last day. */
  ticks: 1000,
  tickMs: dayMs,
  boots: 100,
  /** After it has ended. */
  alertMs: 90 * dayMs,
  /** The durable start of a run that is closed. */
  startedMs: dayMs,
} as const;

const jumpMs = dayMs;
const doubtMs = 3_600_000;

/**
 * A clock that is a year ahead would make all of history old at once, and what is deleted does not come back when it is set
 * right. So time that went by more than a day faster than this process lived is doubted for an hour: a long sleep or a long stop
 * looks the same, and only puts the sweeping off.
 */
export class ClockTrust {
  #seen: { readonly at: number; readonly monotonicMs: number } | undefined;
  #doubtedUntilMs = Number.NEGATIVE_INFINITY;

  /** `lastSeenAt`: the newest instant that the ledger tells of. */
  believes(now: number, monotonicMs: number, lastSeenAt: number): boolean {
    const expected = this.#seen === undefined ? lastSeenAt : this.#seen.at + monotonicMs - this.#seen.monotonicMs;
    if (now - expected > jumpMs) this.#doubtedUntilMs = monotonicMs + doubtMs;
    this.#seen = { at: now, monotonicMs };
    return monotonicMs >= this.#doubtedUntilMs;
  }
}
