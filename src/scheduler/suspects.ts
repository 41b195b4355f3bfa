// After an unclean end: what was open then may have killed the process, so it runs alone, one at a time, each after a durable
// start. A death while it runs is then its own; and what kills a process mostly does so at once, so that after a while others may
// begin beside it.

import type { Instant } from '../core/instant.ts';
import type { OpenRun } from './run.ts';

/** For so long a suspect keeps all others from starting. */
export const aloneMs = 5_000;

/** Why others wait meanwhile. */
export const whileAlone = 'what was open at a crash runs alone';

export class Suspects {
  #before: Instant;
  readonly #chains = new Set<string>();
  #atWork: { readonly runId: string; aloneUntilMs: number } | undefined;

  /** What was opened before this start. */
  constructor(before: Instant) {
    this.#before = before;
  }

  get none(): boolean {
    return this.#chains.size === 0;
  }

  get oneIsAtWork(): boolean {
    return this.#atWork !== undefined;
  }

  has(run: OpenRun): boolean {
    return this.#chains.has(chainOf(run));
  }

  /** As it is read from the ledger. Opened after now: in a time that the clock has left. */
  look(run: OpenRun, now: Instant): void {
    if (run.openedAt < this.#before || run.openedAt > now) this.add(run);
  }

  add(run: OpenRun): void {
    this.#chains.add(chainOf(run));
  }

  /** Its fire is closed for good. */
  clear(run: OpenRun): void {
    this.#chains.delete(chainOf(run));
  }

  clockWentBack(now: Instant): void {
    this.#before = Math.min(this.#before, now);
  }

  /** Alone until its start is durable, and a while longer. */
  began(run: OpenRun): void {
    this.#atWork = { runId: run.runId, aloneUntilMs: Number.POSITIVE_INFINITY };
  }

  /** By a clock that nobody sets. */
  startIsDurable(monotonicMs: number): void {
    if (this.#atWork !== undefined) this.#atWork.aloneUntilMs = monotonicMs + aloneMs;
  }

  ended(run: OpenRun): void {
    if (this.#atWork?.runId === run.runId) this.#atWork = undefined;
  }

  isAlone(monotonicMs: number): boolean {
    return this.#atWork !== undefined && monotonicMs < this.#atWork.aloneUntilMs;
  }
}

/** The same for all attempts of a fire. What follows a run has its root too, and is another schedule's. */
const chainOf = ({ scheduleId, rootRunId, runId }: OpenRun): string => (scheduleId === null ? runId : `${scheduleId} ${rootRunId}`);
