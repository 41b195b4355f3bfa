// What one schedule missed while no scheduler ran: looking backward from the newest missed fire, which of them are caught up,
// and what is told of the others. The cost follows the limits, never the number of instants: one by one as long as they are
// chosen or counted, and past that in leaps over whole blocks of one kind, about four hundred for a year.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { CompiledTiming, Fire } from './cadence/cadence.ts';
import { extended, type GrowingStretch, mostCounted, notABusinessDay, type Stretch } from './stretch.ts';

export interface MissedTime {
  /** Due instants, from the newest missed one back to `after`, exclusive. */
  readonly newest: Instant;
  readonly after: Instant;
  /** A nominal time not after it is no fire. */
  readonly effectiveFrom: Instant;
  /** How many to catch up at most, of those whose nominal time is `oldest` or later. */
  readonly limit: number;
  readonly oldest: Instant;
}

export interface Missed {
  /** Nominal instants to catch up, the newest first. */
  readonly caughtUp: readonly Instant[];
  readonly missed: Stretch | undefined;
  /** By the calendar. */
  readonly refused: Stretch | undefined;
  /** The earliest nominal time that was met. */
  readonly earliest: Instant;
  /** How many instants it took. */
  readonly looks: number;
}

export const whenMissed = 'missed: no scheduler ran';

/** `ran`: whether an instant has a run already and is passed over; undefined: nobody knows. */
export function missedIn(timing: CompiledTiming, time: MissedTime, ran: (fire: Fire) => boolean | undefined): Missed {
  const { newest, after, effectiveFrom, limit, oldest } = time;
  const caughtUp: Instant[] = [];
  let missed: GrowingStretch | undefined;
  let refused: GrowingStretch | undefined;
  let earliest = Number.POSITIVE_INFINITY;
  let looks = 0;
  let passedOver = 0;
  for (let due = newest; due > after; due = previousBefore(timing, due)) {
    looks += 1;
    const fire = timing.fireAt(due);
    const { nominal } = fire;
    earliest = Math.min(earliest, nominal);
    const isPassedOver = nominal <= effectiveFrom || ran(fire);
    if (isPassedOver === undefined || (isPassedOver && passedOver === mostCounted)) {
      // Nobody knows what lies behind, or asking might never end: that is told of, and not opened.
      const first = firstAfter(timing, after, effectiveFrom);
      if (first.due <= due) missed = { ...extended(extended(missed, whenMissed, nominal), whenMissed, first.nominal), fires: null };
      break;
    }
    if (isPassedOver) {
      passedOver += 1;
    } else if (!fire.refused && caughtUp.length < limit && nominal >= oldest) {
      caughtUp.push(nominal);
    } else {
      const stretch = fire.refused ? extended(refused, notABusinessDay, nominal) : extended(missed, whenMissed, nominal);
      if (fire.refused) refused = stretch;
      else missed = stretch;
      if (stretch.fires === null) {
        looks += 4;
        due = firstLikeIt(timing, fire, after);
        const first = firstAfter(timing, due - 1, effectiveFrom);
        if (first.due <= fire.due) extended(stretch, stretch.reason, first.nominal);
        earliest = Math.min(earliest, timing.fireAt(due).nominal);
      }
    }
  }
  return { caughtUp, missed, refused, earliest, looks };
}

/** Whether what one schedule missed is what another of the same timing did. */
export function missedTheSame(time: MissedTime, other: MissedTime, { earliest }: Missed): boolean {
  const { newest, after, limit, oldest } = other;
  if (time.newest !== newest || time.after !== after || time.limit !== limit || time.oldest !== oldest) return false;
  return Math.max(time.effectiveFrom, other.effectiveFrom) < earliest;
}

/** Shorter than any day, so that a block of it has at most one midnight inside. */
const blockMs = 20 * 3_600_000;

/**
 * The first due instant of the block that ends with this fire, without a change between: a calendar refuses whole days, so when
 * both ends are refused, or neither is, everything between is so too; else the midnight between is searched for.
 */
function firstLikeIt(timing: CompiledTiming, fire: Fire, after: Instant): Instant {
  const isLikeIt = (instant: Instant): boolean => timing.fireAt(timing.nextMs(instant)).refused === fire.refused;
  let outside = Math.max(after, fire.due - blockMs);
  if (isLikeIt(outside)) return timing.nextMs(outside);
  let inside = fire.due - 1;
  while (inside - outside > 1) {
    const middle = Math.floor((inside + outside) / 2);
    if (isLikeIt(middle)) inside = middle;
    else outside = middle;
  }
  return timing.nextMs(inside);
}

/** The first fire due after `after` whose nominal time lies after `effectiveFrom`: jitter may shift it by many fires. */
function firstAfter(timing: CompiledTiming, after: Instant, effectiveFrom: Instant): Fire {
  const fire = timing.fireAt(timing.nextMs(after));
  if (fire.nominal > effectiveFrom) return fire;
  const later = timing.nextMs(effectiveFrom + fire.due - fire.nominal);
  return later < Number.POSITIVE_INFINITY ? timing.fireAt(later) : fire;
}

/** A timing that does not move on would hold up all others. */
export function previousBefore(timing: CompiledTiming, before: Instant): number {
  const previous = timing.previousMs(before);
  if (!(previous < before)) throw new Diagnostic('out_of_range', `the timing answers ${previous} for what is due before ${before}`);
  return previous;
}
