// Closes runs that have ended, and settles what follows: a retry, tokens for followers, actions, a schedule that disables itself.
// A run that has closed itself in its own transaction is settled afterwards; its mark says that it has not been done. All others
// are closed here, in one unit with all that follows.

import type { Instant } from '../core/instant.ts';
import type { Calls } from './calls.ts';
import type { Cancelling } from './cancelling.ts';
import type { Ends } from './ends.ts';
import type { Events } from './events.ts';
import { nextAttempt } from './opening.ts';
import { isBare, succeededOutcome, withoutDetails } from './outcome.ts';
import type { BegunRun, ClosedRun, Execution, Ports, Work } from './ports.ts';
import type { Armed } from './roster.ts';
import { type Closing, isFailure, type OpenRun, type Outcome } from './run.ts';
import { type Settled, settle } from './settle.ts';
import type { SchedulerState } from './state.ts';
import { Step } from './step.ts';
import type { StepMaker } from './stepMaker.ts';

/** A run that was begun. */
export interface Attempt {
  readonly run: OpenRun;
  readonly startedAt: Instant;
  readonly waitedFor: string | null;
}

/** How it ended. */
interface Ending extends Attempt {
  readonly outcome: Outcome;
  readonly finishedAt: Instant;
  /** Its process died while it ran. */
  readonly crashed: boolean;
}

export interface CloserParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly ports: Pick<Ports, 'clock' | 'ledger' | 'random' | 'newRunId'>;
  readonly events: Events;
  readonly steps: StepMaker;
  readonly cancelling: Cancelling;
  readonly ends: Ends;
  childrenOf(scheduleId: number): readonly number[];
  /** The next attempt is open, durably. */
  enqueue(run: OpenRun): void;
  /** A schedule has disabled itself, durably. */
  disabled(armed: Armed): void;
}

export class Closer {
  readonly #parts: CloserParts;
  /** By schedule: failures on their way to be closed. */
  readonly #failing = new Map<number, Promise<void>>();
  /** Fenced, and open all the same. */
  readonly #leftOpen = new Set<string>();

  constructor(parts: CloserParts) {
    this.#parts = parts;
  }

  async close(attempt: Attempt, { outcome, closed, opened = [] }: Execution): Promise<void> {
    const { state, ports, events, enqueue } = this.#parts;
    const { run } = attempt;
    const ending: Ending = { ...attempt, outcome, finishedAt: ports.clock.now(), crashed: false };
    switch (closed) {
      case 'removed':
      case 'marked': {
        const closing = closingOf(ending, this.#settled(ending));
        this.#done(closing);
        for (const action of opened) {
          enqueue(action);
          events.emit('run:opened', action);
        }
        if (closed === 'marked') await this.settleMark(closing);
        return;
      }
      case 'fenced':
        return this.findClosed(run);
      case 'no': {
        // Rolled back, and nothing of it lies outside: it stays open, as if it had not begun.
        const untouched = outcome.state === 'interrupted' && outcome.guarantee !== 'at_least_once';
        if (untouched && state.mode === 'stopping') return;
        return this.#closeInTurn(ending);
      }
      default:
        return closed satisfies never;
    }
  }

  /** An open run whose process died while it ran. */
  closeInterrupted({ run, startedAt }: BegunRun): Promise<void> {
    const reason = 'process died while running';
    const error = { code: 'interrupted', message: reason, detail: null };
    const outcome: Outcome = { ...succeededOutcome, state: 'interrupted', reason, error, guarantee: null };
    const finishedAt = this.#parts.ports.clock.now();
    return this.#closeInTurn({ run, startedAt, waitedFor: null, outcome, finishedAt, crashed: true });
  }

  /** Failures of one schedule that end together are counted one after another, each knowing of the one before it. */
  #closeInTurn(ending: Ending): Promise<void> {
    const close = (): Promise<void> => this.#closeNow(ending);
    const { scheduleId } = ending.run;
    if (scheduleId === null || !isFailure(ending.outcome.state)) return close();
    const closing = (this.#failing.get(scheduleId) ?? Promise.resolve()).then(close, close).finally(() => {
      if (this.#failing.get(scheduleId) === closing) this.#failing.delete(scheduleId);
    });
    this.#failing.set(scheduleId, closing);
    return closing;
  }

  /** One unit: the closing row, and all that follows from it. */
  async #closeNow(ending: Ending): Promise<void> {
    const { state, steps } = this.#parts;
    const { run, outcome } = ending;
    const settled = this.#settled(ending);
    const closing = closingOf(ending, settled);
    const step = new Step();
    step.close(closing);
    if (settled.retryAt !== undefined) this.#retry(step, ending, settled.retryAt);
    if (settled.givesToken) steps.giveTokens(step, closing);
    steps.act(step, settled.actions, closing);
    if (settled.final) steps.act(step, outcome.actions ?? [], closing);
    if (settled.disable !== undefined) this.#disable(step, ending, settled.disable);
    let written: boolean;
    try {
      written = await state.writer.write(step.writes);
    } catch (error) {
      if (isBare(outcome)) throw error;
      // What it answered cannot be kept: better a run without its result than one that never ends.
      return this.#closeNow({ ...ending, outcome: withoutDetails(outcome, error) });
    }
    if (!written) return this.findClosed(run);
    this.#done(closing);
    step.confirm();
  }

  #retry(step: Step, { run, finishedAt, crashed }: Ending, notBefore: Instant): void {
    const { state, ports, enqueue } = this.#parts;
    const next = nextAttempt(run, { runId: ports.newRunId(finishedAt), openedAt: finishedAt, notBefore });
    step.write({ kind: 'open', run: next });
    step.afterwards(() => {
      // Alone again: what has killed the process once may do so once more.
      if (crashed) state.suspects?.add(run);
      enqueue(next);
    });
  }

  #disable(step: Step, { run, finishedAt }: Ending, reason: string): void {
    const { state, events, disabled } = this.#parts;
    const armed = state.roster.get(run.scheduleId);
    if (armed === undefined || !armed.definition.enabled) return;
    step.write({ kind: 'disable', scheduleId: armed.definition.scheduleId, at: finishedAt, reason });
    step.afterwards(() => {
      events.emit('schedule:disabled', { schedule: run.schedule, reason });
      disabled(armed);
    });
  }

  /** Somebody else closed it: what the ledger says is what happened. */
  async findClosed(run: OpenRun): Promise<void> {
    const { state, calls, ports, cancelling } = this.#parts;
    if (cancelling.knows(run.runId)) return;
    const fate = await calls.untilAnswered('fate', (signal) => ports.ledger.fate(run.runId, signal));
    switch (fate.kind) {
      case 'closed':
        this.#done({ ...fate.closing, outcome: null, counters: state.roster.countersOf(run), waitedFor: null });
        if (fate.marked) await this.settleMark(fate.closing);
        return;
      case 'open':
        // It is open after all: what fenced it rolled back itself.
        this.#leftOpen.add(run.runId);
        return;
      case 'unknown':
        state.roster.count(run, -1);
        return;
      default:
        return fate satisfies never;
    }
  }

  /** Whether it has ended and is open all the same. Asked once. */
  leftOpen(runId: string): boolean {
    return this.#leftOpen.delete(runId);
  }

  /** In memory, after the closing row is durable. */
  #done(closing: Closing): void {
    const { state, ends } = this.#parts;
    const { run } = closing;
    const armed = state.roster.get(run.scheduleId);
    if (closing.final) state.roster.count(run, -1);
    if (armed !== undefined) {
      const { consecutiveFailures, lastSuccessAt } = closing.counters;
      armed.counters = { ...armed.counters, consecutiveFailures, lastSuccessAt };
    }
    ends.tell(closing);
  }

  /** What follows a run that closed itself; the mark says that it has not been done. */
  async settleMark(closed: ClosedRun): Promise<void> {
    const { state, steps } = this.#parts;
    const { run, finishedAt, reason } = closed;
    const outcome: Outcome = { ...succeededOutcome, state: closed.state, reason };
    const settled = this.#settled({ run, outcome, finishedAt, crashed: false });
    const step = new Step();
    step.write({ kind: 'settle', runId: run.runId });
    if (settled.givesToken) steps.giveTokens(step, closed);
    steps.act(step, settled.actions, closed);
    if (await state.writer.write(step.writes)) step.confirm();
  }

  /** What a run must know that closes itself. */
  ifSucceeded(run: OpenRun): ReturnType<Work['closing']> {
    const { ports, childrenOf } = this.#parts;
    const settled = this.#settled({ run, outcome: succeededOutcome, finishedAt: ports.clock.now(), crashed: false });
    const followed = settled.givesToken && run.scheduleId !== null && childrenOf(run.scheduleId).length > 0;
    return { counters: settled.counters, marks: followed || settled.actions.length > 0 };
  }

  #settled(ending: Pick<Ending, 'run' | 'outcome' | 'finishedAt' | 'crashed'>): Settled {
    const { state, ports } = this.#parts;
    return settle({
      ...ending,
      definition: state.roster.get(ending.run.scheduleId)?.definition,
      settings: state.known,
      counters: state.roster.countersOf(ending.run),
      random: ports.random(),
    });
  }
}

function closingOf({ run, startedAt, waitedFor, outcome, finishedAt }: Ending, { reason, final, counters }: Settled): Closing {
  return { run, startedAt, finishedAt, waitedFor, state: outcome.state, reason, final, outcome, counters };
}
