// Which instants a stretch of the past holds for a schedule: the nominal ones, as its clock would have had them. Jitter and the
// calendar's moves shift when a fire is due, not what it is for; but fires that a calendar moves onto one instant are one fire,
// so moved ones are found the way the clock finds them, by their due instants.

import { type Instant, lastInstant } from '../core/instant.ts';
import { type CompiledTiming, compile, type Timing } from './cadence/cadence.ts';
import type { Clock } from './clock.ts';

export interface Period {
  /** Inclusive. */
  readonly from: Instant;
  /** Exclusive. */
  readonly to: Instant;
  /** Not more than so many are looked for. */
  readonly most: number;
}

/** Oldest first, without those that the calendar refuses. Takes its time in turns: a stretch may be long. */
export async function instantsIn(timing: Timing, { from, to, most }: Period, clock: Clock): Promise<Instant[]> {
  const compiled = compile({ ...timing, jitterMs: 0 });
  const isMoved = timing.calendar !== undefined && (timing.onHoliday === 'next' || timing.onHoliday === 'previous');
  const first = isMoved && timing.onHoliday === 'previous' ? firstDue(compiled, from) : from;
  const last = isMoved && timing.onHoliday === 'next' ? lastDue(compiled, to) : to - 1;
  const found: Instant[] = [];
  let looks = 0;
  for (let due = compiled.nextMs(first - 1); due <= last && found.length < most; due = compiled.nextMs(due)) {
    const { nominal, refused } = compiled.fireAt(due);
    if (!refused && nominal >= from && nominal < to) found.push(nominal);
    looks += 1;
    if (looks % looksInATurn === 0) await clock.yieldTurn();
  }
  return isMoved ? found.sort((one, other) => one - other) : found;
}

const looksInATurn = 1000;

const dayMs = 86_400_000;

/** A move goes by whole days: of two fires that lie so far apart, the later one is not due on an earlier day. */
const apartMs = 2 * dayMs;

/** Nothing of before `to` is due after it. */
function lastDue(compiled: CompiledTiming, to: Instant): Instant {
  let due = compiled.nextMs(to + apartMs - 1);
  while (due <= lastInstant && compiled.fireAt(due).nominal < to + apartMs) due = compiled.nextMs(due + dayMs);
  return Math.min(due + apartMs, lastInstant);
}

/** Nothing of `from` and later is due before it. */
function firstDue(compiled: CompiledTiming, from: Instant): Instant {
  let due = compiled.previousMs(from - apartMs + 1);
  while (due >= 0 && compiled.fireAt(due).nominal > from - apartMs) due = compiled.previousMs(due - dayMs);
  return Math.max(due - apartMs, 0);
}
