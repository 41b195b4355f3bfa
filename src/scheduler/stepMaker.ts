// What a decision comes to, put into a step: a run is opened, a fire is refused, an end gives tokens to followers and calls actions.
// Each writes what must be durable, and leaves for afterwards what is true in memory only then.

import type { Instant } from '../core/instant.ts';
import type { Events } from './events.ts';
import { calledRun, openedRun, undelivered } from './opening.ts';
import type { Token } from './ports.ts';
import type { Armed, Roster } from './roster.ts';
import type { Closing, OpenRun, Trigger } from './run.ts';
import type { Action } from './schedule.ts';
import { settleSkip } from './settle.ts';
import type { Step } from './step.ts';

export interface StepMakerParts {
  readonly roster: Roster;
  readonly events: Events;
  newRunId(at: Instant): string;
  childrenOf(scheduleId: number): readonly number[];
  /** It is durable, and may start. */
  opened(run: OpenRun): void;
  given(token: Token): void;
  ended(closing: Closing): void;
}

/** What becomes a run of its schedule. */
export interface Fire {
  readonly trigger: Trigger;
  readonly scheduledAt: Instant;
  readonly now: Instant;
  /** Which one it is, where it counts. */
  readonly fire?: number;
  readonly parentRunId?: string;
  readonly rootRunId?: string;
}

/** What followers and actions are told of an end. */
type End = Pick<Closing, 'run' | 'finishedAt' | 'state' | 'reason'>;

export class StepMaker {
  readonly #parts: StepMakerParts;

  constructor(parts: StepMakerParts) {
    this.#parts = parts;
  }

  newRun({ definition }: Armed, { now, ...rest }: Fire): OpenRun {
    return openedRun(definition, { ...rest, runId: this.#parts.newRunId(now), openedAt: now });
  }

  open(step: Step, run: OpenRun): void {
    const { roster, events, opened } = this.#parts;
    step.write({ kind: 'open', run });
    step.opened += 1;
    step.afterwards(() => {
      roster.count(run, 1);
      opened(run);
      events.emit('run:opened', run);
    });
  }

  /** A fire that does not run leaves a row, and its followers hear of it. */
  refuse(step: Step, armed: Armed, closing: Closing, { givesTokens = true }: { readonly givesTokens?: boolean } = {}): void {
    step.write({ kind: 'skip', closing });
    step.skipped += 1;
    const { actions, givesToken } = settleSkip(armed.definition, closing.run);
    if (givesToken && givesTokens) this.giveTokens(step, closing);
    this.act(step, actions, closing);
    step.afterwards(() => this.#parts.ended(closing));
  }

  /** One row for each edge to a child: durable before anybody acts on it. */
  giveTokens(step: Step, { run, state, finishedAt }: Omit<End, 'reason'>): void {
    const { childrenOf, newRunId, given } = this.#parts;
    const { scheduleId } = run;
    if (scheduleId === null || run.alone || run.trigger === 'backfill') return;
    for (const childId of childrenOf(scheduleId)) {
      const token: Token = {
        tokenId: newRunId(finishedAt),
        childId,
        parentId: scheduleId,
        runId: run.runId,
        rootRunId: run.rootRunId,
        state,
        scheduledAt: run.scheduledAt,
      };
      step.write({ kind: 'token', token });
      step.afterwards(() => given(token));
    }
  }

  /** Actions of a run that has ended. */
  act(step: Step, actions: readonly Action[], { run, finishedAt, state, reason }: End): void {
    for (const action of actions) {
      if (action.kind !== 'call') {
        const line = undelivered(action);
        step.write({ kind: 'log', line: { runId: run.runId, loggedAt: finishedAt, stream: 'scheduler', level: 'warn', line } });
        continue;
      }
      const called = calledRun(run, action.procedure, { runId: this.#parts.newRunId(finishedAt), openedAt: finishedAt, state, reason });
      this.open(step, called);
    }
  }
}
