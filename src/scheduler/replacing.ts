// overlap: replace. What waits is closed at once, by the step that opens the new run; what runs is asked to end, and the new run
// waits until it has.

import type { Instant } from '../core/instant.ts';
import type { Calls } from './calls.ts';
import type { Cancelling } from './cancelling.ts';
import type { Clock } from './clock.ts';
import { isAside, refusedClosing } from './opening.ts';
import type { Ledger } from './ports.ts';
import type { Armed } from './roster.ts';
import type { OpenRun } from './run.ts';
import type { SchedulerState } from './state.ts';
import { Step } from './step.ts';
import type { StepMaker } from './stepMaker.ts';

export interface ReplacingParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly steps: StepMaker;
  readonly cancelling: Cancelling;
  cancel(runId: string, reason: string): Promise<boolean>;
}

export class Replacing {
  readonly #parts: ReplacingParts;

  constructor(parts: ReplacingParts) {
    this.#parts = parts;
  }

  /** `opening`: of the same step, which are refused. `patiently`: nobody would come again if the ledger does not answer. */
  async replace(
    step: Step,
    armed: Armed,
    { opening = [], now, patiently = false }: { readonly opening?: OpenRun[]; readonly now: Instant; readonly patiently?: boolean },
  ): Promise<void> {
    const { state, calls, ledger, steps, cancelling } = this.#parts;
    const { scheduleId } = armed.definition;
    for (const run of opening.splice(0)) steps.refuse(step, armed, refusedClosing(run, 'cancelled', 'replaced', now, armed.counters));
    const ask = (signal: AbortSignal): Promise<readonly OpenRun[]> => ledger.openRunsOf(scheduleId, signal);
    const open = patiently ? await calls.untilAnswered('open runs', ask) : await calls.once('open runs', ask);
    for (const run of open) {
      if (isAside(run.trigger)) continue;
      if (state.running.has(run.runId)) {
        step.afterwards(() => this.#end(run));
        continue;
      }
      if (step.closes(run.runId)) continue;
      cancelling.close(step, refusedClosing(run, 'cancelled', 'replaced', now, armed.counters));
    }
  }

  /** It may have failed by itself in this very moment: then the next attempt, which would run beside the new one, ends too. */
  #end(run: OpenRun): void {
    const { state, cancel } = this.#parts;
    const atWork = state.running.get(run.runId);
    atWork?.abort({ kind: 'cancelled', reason: 'replaced' });
    const end = async (): Promise<void> => {
      await atWork?.ended;
      for (const next of await this.#openRunsOf(run.scheduleId ?? 0)) {
        if (next.rootRunId === run.rootRunId && next.attempt > run.attempt) await cancel(next.runId, 'replaced');
      }
    };
    end().catch(() => {
      // The scheduler stops; what is open then runs after the next start.
    });
  }

  /** At a start: what was asked to end, and died with its process before it did. */
  async closeReplaced(): Promise<void> {
    for (const armed of this.#parts.state.roster.whose(({ policy }) => policy.overlap === 'replace')) {
      if (armed.live + armed.catchup > 1) await this.#closeAllButNewest(armed);
    }
  }

  async #closeAllButNewest({ definition, counters }: Armed): Promise<void> {
    const { state, clock, cancelling } = this.#parts;
    const inFlight = (await this.#openRunsOf(definition.scheduleId)).filter((run) => !isAside(run.trigger));
    const newest = Math.max(...inFlight.map((run) => (run.trigger === 'catchup' ? 0 : (run.fire ?? 0))));
    for (const run of inFlight) {
      if (run.fire === null || run.fire >= newest) continue;
      const step = new Step();
      cancelling.close(step, refusedClosing(run, 'cancelled', 'replaced', clock.now(), counters));
      if (await state.writer.write(step.writes)) step.confirm();
    }
  }

  #openRunsOf(scheduleId: number): Promise<readonly OpenRun[]> {
    const { calls, ledger } = this.#parts;
    return calls.untilAnswered('open runs', (signal) => ledger.openRunsOf(scheduleId, signal));
  }
}
