// What to do about the time that has passed: pure decisions for one schedule, from (timing, watermark, now, what is in flight).
// An instant is a candidate when its nominal time is after the definition's effective_from and its due time lies in
// (watermark, now]. Handled within `lateWithinMs` it is late and runs; older, it is missed and `catchup` decides, looking
// backward from now, so that the cost follows the limit and never the number of instants.

import type { Instant } from '../core/instant.ts';
import type { CompiledTiming } from './cadence/cadence.ts';
import type { Trigger } from './run.ts';
import type { Catchup, Overlap } from './schedule.ts';

export interface PlanInput {
  readonly timing: CompiledTiming;
  readonly trigger: Trigger;
  readonly effectiveFrom: Instant;
  readonly watermark: Instant;
  readonly now: Instant;
  readonly lateWithinMs: number;
  readonly catchup: Catchup;
  readonly catchupLimit: number;
  readonly catchupWithinMs: number;
  readonly overlap: Overlap;
  readonly overlapLimit: number;
  /** Runs opened by the clock and not closed for good; opened catch-up runs do not count. */
  readonly inFlight: number;
  /** Fires that `max_runs` still allows; Infinity without it. */
  readonly firesLeft: number;
}

export type Decision =
  | { readonly kind: 'open'; readonly scheduledAt: Instant; readonly trigger: Trigger }
  | {
      readonly kind: 'skip';
      readonly reason: string;
      /** The newest of the stretch. */
      readonly scheduledAt: Instant;
      readonly firstScheduledAt: Instant;
      /** How many, null above 10,000. */
      readonly fires: number | null;
    };

/** A stretch longer than this is not counted. */
export const mostCounted = 10_000;

export function plan(input: PlanInput): Decision[] {
  const { timing, now, watermark, effectiveFrom } = input;
  const lateFrom = Math.max(watermark, now - input.lateWithinMs - 1);
  const opens: Decision[] = [];
  const stretches = new Stretches();
  let left = input.firesLeft;

  for (const scheduledAt of caughtUp(input, lateFrom, stretches)) {
    if (left <= 0) break;
    left -= 1;
    opens.push({ kind: 'open', scheduledAt, trigger: 'catchup' });
  }

  let inFlight = input.inFlight;
  for (let due = timing.nextMs(lateFrom); due <= now; due = timing.nextMs(due)) {
    const fire = timing.fireAt(due);
    if (fire.nominal <= effectiveFrom) continue;
    if (fire.refused) {
      stretches.add('calendar: not a business day', fire.nominal);
      continue;
    }
    if (left <= 0) break;
    const refusal = overlapRefusal(input, inFlight);
    if (refusal !== undefined) {
      stretches.add(refusal, fire.nominal);
      continue;
    }
    left -= 1;
    inFlight += 1;
    opens.push({ kind: 'open', scheduledAt: fire.nominal, trigger: input.trigger });
  }
  return [...opens, ...stretches.decisions()];
}

/** The missed fires to open, in nominal order; what is refused goes into `stretches`. */
function caughtUp(input: PlanInput, lateFrom: Instant, stretches: Stretches): Instant[] {
  const { timing, watermark, effectiveFrom, now } = input;
  const chosen: Instant[] = [];
  const limit = input.catchup === 'none' ? 0 : input.catchup === 'latest' ? 1 : input.catchupLimit;
  const oldest = input.catchup === 'all' ? now - input.catchupWithinMs : Number.NEGATIVE_INFINITY;
  let counted = 0;
  for (let due = timing.previousMs(lateFrom + 1); due > watermark; due = timing.previousMs(due)) {
    const fire = timing.fireAt(due);
    if (fire.nominal <= effectiveFrom) break;
    if (fire.refused) continue;
    if (chosen.length < limit && fire.nominal >= oldest) {
      chosen.push(fire.nominal);
      continue;
    }
    counted += 1;
    if (counted > mostCounted) {
      // Only the first of the stretch is still wanted: one look from its beginning instead of a walk through all of it.
      const first = timing.nextMs(Math.max(watermark, effectiveFrom));
      stretches.endless(missed, timing.fireAt(first).nominal);
      break;
    }
    stretches.add(missed, fire.nominal);
  }
  return chosen.reverse();
}

const missed = 'missed: no scheduler ran';

function overlapRefusal(input: PlanInput, inFlight: number): string | undefined {
  switch (input.overlap) {
    case 'skip':
      return inFlight > 0 ? 'overlap: the run before it has not finished' : undefined;
    case 'queue':
      // One runs, `overlapLimit` wait.
      return inFlight > input.overlapLimit ? `overlap: ${input.overlapLimit} runs wait already` : undefined;
    case 'allow':
    case 'replace':
      return undefined;
    default:
      return input.overlap satisfies never;
  }
}

/** Instants refused for one reason in one tick are one row. */
class Stretches {
  readonly #stretches = new Map<string, { newest: Instant; first: Instant; fires: number; endless: boolean }>();

  add(reason: string, nominal: Instant): void {
    const stretch = this.#stretches.get(reason);
    if (stretch === undefined) {
      this.#stretches.set(reason, { newest: nominal, first: nominal, fires: 1, endless: false });
      return;
    }
    stretch.newest = Math.max(stretch.newest, nominal);
    stretch.first = Math.min(stretch.first, nominal);
    stretch.fires += 1;
  }

  endless(reason: string, first: Instant): void {
    this.add(reason, first);
    const stretch = this.#stretches.get(reason);
    if (stretch !== undefined) stretch.endless = true;
  }

  decisions(): Decision[] {
    return [...this.#stretches].map(([reason, stretch]) => ({
      kind: 'skip',
      reason,
      scheduledAt: stretch.newest,
      firstScheduledAt: stretch.first,
      fires: stretch.endless ? null : stretch.fires,
    }));
  }
}
