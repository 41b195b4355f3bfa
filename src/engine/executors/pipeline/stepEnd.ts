// How a step of a pipeline, or an item of one, has ended.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Instant } from '../../../core/instant.ts';
import type { JsonObject, JsonValue } from '../../../core/jsonValue.ts';
import type { Past, StepRun, Verdict } from '../../../scheduler/pipeline.ts';
import type { ClosedState, Outcome, RunError } from '../../../scheduler/run.ts';
import type { PipelineStep } from '../../routine.ts';
import type { Value } from '../../value.ts';
import { stopReason } from '../deadline.ts';
import { failedOutcome } from '../outcome.ts';
import type { Item } from './job.ts';
import type { KnownResult } from './results.ts';
import { type Found, Unexpected } from './sqlStep.ts';

export interface StepEnd {
  /** null: it is tried again, or was ended with its run. */
  readonly verdict: Verdict | null;
  readonly state: ClosedState;
  readonly reason: string | null;
  readonly error: RunError | null;
  readonly result: JsonValue;
  readonly rowsChanged: number | null;
}

export const nothingFound = { reason: null, error: null, result: null, rowsChanged: null } as const;

export function endOf({ state, reason, error, result, rowsChanged }: Outcome, verdict: Verdict | null): StepEnd {
  return { verdict, state, reason, error, result, rowsChanged };
}

/** One try of a step, or of an item of it: where a row belongs. */
export interface Unit {
  readonly step: PipelineStep;
  readonly item: Item | null;
  readonly attempt: number;
  readonly startedAt: Instant;
}

/** `kind`: that of the row that closes a for_each is not the kind of its work. */
export function rowOf(
  { step, item, attempt, startedAt }: Unit,
  end: StepEnd,
  { runId, finishedAt, kind = step.work.kind }: { readonly runId: string; readonly finishedAt: Instant; readonly kind?: string },
): StepRun {
  return {
    runId,
    step: step.name,
    item: item?.index ?? null,
    kind,
    state: end.state,
    reason: end.reason,
    attempt,
    startedAt,
    finishedAt,
    rowsChanged: end.rowsChanged,
    result: end.result ?? end.error?.detail ?? null,
    errorMessage: end.error?.message ?? null,
    verdict: end.verdict,
  };
}

/** What has become of the pipeline that this step has ended. */
export function decidedBy(step: PipelineStep, { verdict, reason, state, error }: StepEnd): Pick<Outcome, 'state' | 'reason' | 'error'> {
  if (verdict === 'skip') return { state: 'skipped', reason: reason ?? `step ${step.name} ended it`, error: null };
  const message = `step ${step.name}: ${reason ?? state}`;
  return {
    state: 'failed',
    reason: message,
    error: { code: error?.code ?? 'run_failed', message, detail: { step: step.name, ...objectIn(error?.detail ?? null) } },
  };
}

export function objectIn(value: JsonValue): JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : {};
}

/** What an `if` has answered, where that is not true. */
export function refusedBy(value: Value | undefined): StepEnd {
  const answer = value === undefined ? 'without a row' : value === null ? 'NULL' : String(value);
  return { ...nothingFound, verdict: 'continue', state: 'skipped', reason: `if: the condition was ${answer}` };
}

/** Why a result is not there, for steps that name it. */
export function missingBecause(as: string, step: PipelineStep, { state }: Pick<StepEnd, 'state'>): string {
  if (state === 'succeeded') return `result ${as} of step ${step.name} is not kept any more: a new run begins with the first step`;
  const became = state === 'skipped' ? 'was skipped' : state === 'timed_out' ? 'timed out' : 'failed';
  return `there is no result ${as}, because step ${step.name} ${became}`;
}

export function foreignTo(result: KnownResult): string {
  return `result ${result.name} is what step ${result.step} keeps, and this step runs alone`;
}

/** undefined: it has not ended before. */
export function endBefore({ end }: Past): StepEnd | undefined {
  if (end === undefined || end.verdict === null) return undefined;
  const { verdict, state, reason, result } = end;
  const error = state === 'failed' || state === 'timed_out' ? { code: 'run_failed', message: reason ?? state, detail: null } : null;
  // What it changed was counted then.
  return { verdict, state, reason, error, result, rowsChanged: null };
}

/** What became of work that failed by itself, or was ended by `signal`. */
export function failedBy(error: unknown, signal: AbortSignal): Outcome {
  return failedOutcome(error, {
    stopped: signal.aborted ? stopReason(signal) : undefined,
    timeoutMs: null,
    conflicts: 0,
    guarantee: null,
  });
}

/** One try of a step, from its first statement to the row that says how it ended. */
export class Try {
  readonly #step: PipelineStep;
  #found: Found | undefined;
  #sample: JsonValue | undefined;
  /** It found nothing, and that fails it. */
  failsEmpty = false;

  constructor(step: PipelineStep) {
    this.#step = step;
  }

  /** Fails where nothing was found and something should have been. */
  found(found: Found): void {
    this.#found = found;
    const { kind, message } = this.#step.onEmpty;
    if (!this.isEmpty || kind !== 'abort') return;
    this.failsEmpty = true;
    throw new Diagnostic('run_failed', message ?? 'no rows');
  }

  /** Of a step that answers rows; whether a for_each has items is asked before. */
  get isEmpty(): boolean {
    const { work, forEach } = this.#step;
    const answers = work.kind !== 'expect' && work.kind !== 'emit' && work.kind !== 'command';
    return answers && forEach === undefined && this.#found?.rows === 0;
  }

  /** Remembers the rows that an expectation did not expect. */
  async watch<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Unexpected) this.#sample = error.sample;
      throw error;
    }
  }

  succeeded(outcome: Outcome): StepEnd {
    const { kind, message } = this.#step.onEmpty;
    if (!this.isEmpty) return endOf(outcome, 'continue');
    return { ...endOf(outcome, kind), reason: message ?? (kind === 'skip' ? 'no rows' : null) };
  }

  /** With the rows that were not expected. */
  failed(outcome: Outcome): Outcome {
    if (this.#sample === undefined || outcome.error === null) return outcome;
    return { ...outcome, error: { ...outcome.error, detail: { rows: this.#sample } } };
  }
}
