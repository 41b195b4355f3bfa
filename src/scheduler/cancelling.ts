// Runs that are closed by others than their own end: cancelled, replaced, dropped with their schedule. Meanwhile the run's own
// work may end too, or a worker may take it. The fence lets one of the two close it, and each run is counted and told once: what
// is closed here, or is on its way to be, is known until its work has ended.

import type { Calls } from './calls.ts';
import type { Clock } from './clock.ts';
import type { Ends } from './ends.ts';
import { refusedClosing } from './opening.ts';
import type { Ledger } from './ports.ts';
import type { Closing, OpenRun } from './run.ts';
import type { SchedulerState } from './state.ts';
import { Step } from './step.ts';
import type { StepMaker } from './stepMaker.ts';

export interface CancellingParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly steps: StepMaker;
  readonly ends: Ends;
  /** false: memory does not have it among what waits. */
  removeWaiting(run: OpenRun): boolean;
  dispatch(): void;
}

const mostRemembered = 10_000;

export class Cancelling {
  readonly #parts: CancellingParts;
  /** Closed, which memory learns of later: what opened them waits for its answer, or a worker has them. */
  readonly #closed = new Set<string>();
  /** The same, on its way. */
  readonly #closing = new Set<string>();

  constructor(parts: CancellingParts) {
    this.#parts = parts;
  }

  /** false: it is not open any more. What runs is asked to end, and closes soon. */
  async cancel(runId: string, reason: string): Promise<boolean> {
    if (this.#interrupt(runId, reason)) return true;
    const { calls, ledger } = this.#parts;
    const fate = await calls.once('fate', (signal) => ledger.fate(runId, signal));
    return fate.kind === 'open' && this.cancelOpen(fate.run, reason);
  }

  async cancelOpen(run: OpenRun, reason: string): Promise<boolean> {
    // A worker may have taken it while the ledger answered.
    if (this.#interrupt(run.runId, reason)) return true;
    const { state, clock, dispatch } = this.#parts;
    const step = new Step();
    this.close(step, refusedClosing(run, 'cancelled', reason, clock.now(), state.roster.countersOf(run)));
    return this.onItsWay(step, async () => {
      if (!(await state.writer.write(step.writes))) return false;
      step.confirm();
      dispatch();
      return true;
    });
  }

  /** Found open although its schedule is gone: it was opened while the drop looked for such. */
  cancelDropped(run: OpenRun): void {
    this.cancelOpen(run, 'dropped').catch(() => {
      // The next start finds it.
    });
  }

  /** Puts into a step that a run is closed which has not ended by itself. */
  close(step: Step, closing: Closing, { givesTokens = true }: { readonly givesTokens?: boolean } = {}): void {
    step.close(closing);
    if (givesTokens) this.#parts.steps.giveTokens(step, closing);
    step.afterwards(() => this.#closedBeside(closing));
  }

  /** A step that closes runs beside their own work: one of them may end in the meantime, and must not be counted twice. */
  async onItsWay<T>(step: Step, writeAndConfirm: () => Promise<T>): Promise<T> {
    for (const runId of step.closing) this.#closing.add(runId);
    try {
      return await writeAndConfirm();
    } finally {
      for (const runId of step.closing) this.#closing.delete(runId);
    }
  }

  /** Whoever closes it here has said so, or will when it is known to be written. */
  knows(runId: string): boolean {
    return this.#closed.has(runId) || this.#closing.has(runId);
  }

  /** Its work has ended, or will never begin. false: it was not closed here. */
  forget(runId: string): boolean {
    return this.#closed.delete(runId);
  }

  #interrupt(runId: string, reason: string): boolean {
    const atWork = this.#parts.state.running.get(runId);
    atWork?.abort({ kind: 'cancelled', reason });
    return atWork !== undefined;
  }

  #closedBeside(closing: Closing): void {
    const { state, ends, removeWaiting } = this.#parts;
    const { run } = closing;
    state.roster.count(run, -1);
    const atWork = state.running.get(run.runId);
    if (atWork !== undefined) {
      // A worker took it in the meantime: the fence holds back what it does.
      this.#closed.add(run.runId);
      atWork.abort({ kind: 'cancelled', reason: closing.reason ?? 'cancelled' });
    } else if (!removeWaiting(run)) {
      // Memory does not have it, or not yet: what opened it may still wait for its answer.
      this.#closed.add(run.runId);
      if (this.#closed.size > mostRemembered) this.#forgetOldest();
    }
    ends.tell(closing);
  }

  #forgetOldest(): void {
    for (const oldest of this.#closed) {
      this.#closed.delete(oldest);
      return;
    }
  }
}
