// Which steps of a pipeline may begin, and what the end of one means for the others. Pure: whoever carries the steps out asks, and
// tells what has ended.
//
// A step may begin when all that it waits for have ended and none of them has ended the pipeline: also behind one that its `if` has
// skipped, and behind one that failed with `on_fail: continue`. When a step ends the pipeline, what is at work beside it is let end,
// and nothing else begins.

import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import { retryAt } from './retry.ts';
import { type ClosedState, isFailure } from './run.ts';
import type { RetryPolicy } from './schedule.ts';

/** `skip` ends the pipeline as skipped, `abort` as failed, `continue` goes on. */
export type Verdict = 'continue' | 'skip' | 'abort';

/** What was tried of a step, or of one of its items, as history keeps it. */
export interface StepRun {
  readonly runId: string;
  readonly step: string;
  /** Of a for_each, from 0; null: the step itself. */
  readonly item: number | null;
  readonly kind: string;
  readonly state: ClosedState;
  readonly reason: string | null;
  readonly attempt: number;
  /** null: it was not begun, because the pipeline had ended. */
  readonly startedAt: Instant | null;
  readonly finishedAt: Instant;
  readonly rowsChanged: number | null;
  readonly result: JsonValue;
  readonly errorMessage: string | null;
  /** What it meant; null: it was tried again, or the run ended under it. */
  readonly verdict: Verdict | null;
}

export interface GraphStep {
  readonly name: string;
  readonly after: readonly string[];
}

/** How far a pipeline has come. */
export class Progression {
  readonly #steps: readonly GraphStep[];
  readonly #begun = new Set<string>();
  readonly #ended = new Set<string>();
  /** How many each still waits for. */
  readonly #waitsFor = new Map<string, number>();
  readonly #followers = new Map<string, string[]>();
  #ready: string[] = [];
  #verdict: Verdict = 'continue';

  constructor(steps: readonly GraphStep[]) {
    this.#steps = steps;
    for (const { name, after } of steps) {
      this.#waitsFor.set(name, after.length);
      for (const parent of after) this.#followers.set(parent, [...(this.#followers.get(parent) ?? []), name]);
      if (after.length === 0) this.#ready.push(name);
    }
  }

  /** Those that may begin now, in the order written, each once. */
  begin(): readonly string[] {
    if (this.#verdict !== 'continue') return [];
    const ready = this.#ready;
    this.#ready = [];
    for (const name of ready) this.#begun.add(name);
    return ready;
  }

  ended(name: string, verdict: Verdict): void {
    this.#begun.add(name);
    this.#ended.add(name);
    // A failure is told even where another step has ended the pipeline as skipped.
    if (verdict === 'abort' || this.#verdict === 'continue') this.#verdict = verdict;
    for (const follower of this.#followers.get(name) ?? []) {
      const left = (this.#waitsFor.get(follower) ?? 0) - 1;
      this.#waitsFor.set(follower, left);
      if (left === 0) this.#ready.push(follower);
    }
  }

  /** What has become of the pipeline so far. */
  get verdict(): Verdict {
    return this.#verdict;
  }

  get endedCount(): number {
    return this.#ended.size;
  }

  /** In the order written. */
  get notBegun(): readonly string[] {
    return this.#steps.map((step) => step.name).filter((name) => !this.#begun.has(name));
  }
}

/** What is known of a step, or of an item, from before this start. */
export interface Past {
  /** It needs no other try. */
  readonly end: Pick<StepRun, 'state' | 'reason' | 'verdict' | 'result' | 'rowsChanged'> | undefined;
  /** In this run. */
  readonly attempts: number;
  readonly failures: number;
}

export const noPast: Past = { end: undefined, attempts: 0, failures: 0 };

/**
 * The past of each step and item, by `pastKey`, from the rows of all attempts of the run. What succeeded is done, in whichever
 * attempt, and so is what its `if` has skipped. A failure is final for the attempt in which it was: the next one tries it again.
 */
export function pastOf(rows: readonly StepRun[], runId: string): ReadonlyMap<string, Past> {
  const past = new Map<string, Past>();
  for (const row of rows) {
    const key = pastKey(row.step, row.item);
    const known = past.get(key) ?? noPast;
    const isOwn = row.runId === runId;
    const isDone = row.state === 'succeeded' || (row.state === 'skipped' && row.startedAt !== null);
    const isFinal = isOwn ? isDone || row.verdict !== null : isDone && row.verdict === 'continue';
    const wasBegun = isOwn && row.startedAt !== null;
    past.set(key, {
      end: isFinal && row.startedAt !== null ? row : known.end,
      attempts: wasBegun ? Math.max(known.attempts, row.attempt) : known.attempts,
      failures: wasBegun && isFailure(row.state) && row.state !== 'interrupted' ? known.failures + 1 : known.failures,
    });
  }
  return past;
}

export function pastKey(step: string, item: number | null): string {
  return `${item ?? ''}.${step.toLowerCase()}`;
}

/** A step holds its run's worker while it waits, so that it waits a second where a run would wait a minute. */
const retryDefaults = { maxRetries: 0, delayMs: 1000 };

/** When a step that has failed so often is tried again; undefined: no more. */
export function stepRetryAt(policy: RetryPolicy, failures: number, now: Instant, random: number): Instant | undefined {
  return retryAt(policy, retryDefaults, failures, now, random);
}
