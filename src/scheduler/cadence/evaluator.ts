// Instants from cadences: the one place where readings of a clock become instants, and so where clock changes are decided.
//
// A zone's time is a row of segments with a constant offset. Within one, an instant is a reading minus the offset. At its
// edges stand the two things that can happen to a clock: readings that never were (a gap) fire as if the offset before had
// gone on, or not at all; readings that came twice (an overlap) fire the first time, the second, or both. A cron that
// follows real time is the pair (gap: skip, overlap: both); every fixed time is (gap: run, overlap: first).

import { type Instant, lastInstant } from '../../core/instant.ts';
import type { Cadence } from './cadence.ts';
import { type CalendarDays, plainWeek } from './calendar.ts';
import { civilDayOf, dayMs, dayNumber } from './civil.ts';
import { CivilPattern, ClockTimes, CronDays, MonthlyDays, OneDay, OneTime, SteppedDays, WordsDays } from './pattern.ts';
import { type Zone, zoneNamed } from './zone.ts';

/** Infinity and -Infinity mean none. Arguments are whole milliseconds; nothing fires before 1970 or after 9999. */
export interface Evaluator {
  nextMs(after: Instant): number;
  previousMs(before: Instant): number;
  matchesMs(instant: Instant): boolean;
}

export type Overlap = 'first' | 'second' | 'both';

export interface ClockChangeRule {
  readonly dstGap: 'default' | 'run' | 'skip';
  readonly dstOverlap: 'default' | Overlap;
}

/** Past this distance a search leaves the segments between alone; two days are more than any offset or change of one. */
const farMs = 3 * dayMs;

/** Readings of a zone's clock. */
export class CivilEvaluator implements Evaluator {
  readonly pattern: CivilPattern;
  private readonly zone: Zone;
  private readonly runsInGap: boolean;
  private readonly skipsFirst: boolean;
  private readonly skipsSecond: boolean;

  constructor(pattern: CivilPattern, zone: Zone, options: { readonly gap: 'run' | 'skip'; readonly overlap: Overlap }) {
    this.pattern = pattern;
    this.zone = zone;
    this.runsInGap = options.gap === 'run';
    this.skipsFirst = options.overlap === 'second';
    this.skipsSecond = options.overlap === 'first';
  }

  nextMs(after: Instant): number {
    const { pattern, zone } = this;
    let start = after < 0 ? 0 : Math.floor(after) + 1;
    while (start <= lastInstant) {
      zone.seek(start);
      const { from, until, offset, before, beyond } = zone;
      let first = start;
      let best = Number.POSITIVE_INFINITY;
      if (offset !== before && from > start - farMs) {
        if (offset < before) {
          if (this.skipsSecond) first = Math.max(start, from + before - offset);
        } else if (this.runsInGap && start < from + offset - before) {
          const shifted = pattern.atOrAfter(start + before) - before;
          if (shifted < from + offset - before) best = shifted;
        }
      }
      const overlapMs = offset > beyond ? offset - beyond : 0;
      const end = this.skipsFirst ? until - overlapMs : until;
      const found = pattern.atOrAfter(first + offset) - offset;
      if (found < end && found < best) best = found;
      if (best !== Number.POSITIVE_INFINITY) return best <= lastInstant ? best : Number.POSITIVE_INFINITY;
      // Readings that come twice may still match the second time, if the search began inside them.
      const repeated = overlapMs > 0 && first > until - overlapMs;
      if (repeated || found <= until + farMs) start = until;
      else start = found - 2 * dayMs;
    }
    return Number.POSITIVE_INFINITY;
  }

  previousMs(before: Instant): number {
    const { pattern, zone } = this;
    let start = before > lastInstant ? lastInstant : Math.ceil(before) - 1;
    while (start >= 0) {
      zone.seek(start);
      const { from, until, offset, before: offsetBefore, beyond } = zone;
      let first = from;
      let best = Number.NEGATIVE_INFINITY;
      if (offset < offsetBefore) {
        if (this.skipsSecond) first = from + offsetBefore - offset;
      } else if (offset > offsetBefore && this.runsInGap) {
        const shifted = pattern.atOrBefore(Math.min(start, from + offset - offsetBefore - 1) + offsetBefore) - offsetBefore;
        if (shifted >= from) best = shifted;
      }
      const last = this.skipsFirst && offset > beyond ? Math.min(start, until - (offset - beyond) - 1) : start;
      const found = pattern.atOrBefore(last + offset) - offset;
      if (found >= first && found > best) best = found;
      if (best !== Number.NEGATIVE_INFINITY) return best >= 0 ? best : Number.NEGATIVE_INFINITY;
      const repeated = offset < offsetBefore && last < from + offsetBefore - offset;
      if (repeated || found >= from - farMs) start = from - 1;
      else start = found + 2 * dayMs;
    }
    return Number.NEGATIVE_INFINITY;
  }

  matchesMs(instant: Instant): boolean {
    if (instant < 0 || instant > lastInstant) return false;
    const { pattern, zone } = this;
    zone.seek(instant);
    const { from, until, offset, before, beyond } = zone;
    if (pattern.matches(instant + offset)) {
      const second = offset < before && instant < from + before - offset;
      const first = offset > beyond && instant >= until - (offset - beyond);
      if (!(second && this.skipsSecond) && !(first && this.skipsFirst)) return true;
    }
    return this.runsInGap && offset > before && instant < from + offset - before && pattern.matches(instant + before);
  }
}

/** Steps of a fixed length: no clock is read. */
class SteppedEvaluator implements Evaluator {
  private readonly anchor: Instant;
  private readonly everyMs: number;
  private readonly earliest: Instant;

  constructor(anchor: Instant, everyMs: number, bounded: boolean) {
    this.anchor = anchor;
    this.everyMs = everyMs;
    this.earliest = bounded ? Math.max(anchor, 0) : 0;
  }

  nextMs(after: Instant): number {
    const start = Math.max(Math.floor(after) + 1, this.earliest);
    const found = this.anchor + Math.ceil((start - this.anchor) / this.everyMs) * this.everyMs;
    return found <= lastInstant ? found : Number.POSITIVE_INFINITY;
  }

  previousMs(before: Instant): number {
    const start = Math.min(Math.ceil(before) - 1, lastInstant);
    const found = this.anchor + Math.floor((start - this.anchor) / this.everyMs) * this.everyMs;
    return found >= this.earliest ? found : Number.NEGATIVE_INFINITY;
  }

  matchesMs(instant: Instant): boolean {
    return instant >= this.earliest && instant <= lastInstant && (instant - this.anchor) % this.everyMs === 0;
  }
}

class InstantEvaluator implements Evaluator {
  private readonly instant: Instant;

  constructor(instant: Instant) {
    this.instant = instant;
  }

  nextMs(after: Instant): number {
    return after < this.instant ? this.instant : Number.POSITIVE_INFINITY;
  }

  previousMs(before: Instant): number {
    return before > this.instant ? this.instant : Number.NEGATIVE_INFINITY;
  }

  matchesMs(instant: Instant): boolean {
    return instant === this.instant;
  }
}

/** `@reboot`: no instant of the clock. */
const never: Evaluator = {
  nextMs: () => Number.POSITIVE_INFINITY,
  previousMs: () => Number.NEGATIVE_INFINITY,
  matchesMs: () => false,
};

/** A list of cadences: each instant once. */
export class UnionEvaluator implements Evaluator {
  private readonly parts: readonly Evaluator[];

  constructor(parts: readonly Evaluator[]) {
    this.parts = parts;
  }

  nextMs(after: Instant): number {
    let best = Number.POSITIVE_INFINITY;
    for (const part of this.parts) {
      const found = part.nextMs(after);
      if (found < best) best = found;
    }
    return best;
  }

  previousMs(before: Instant): number {
    let best = Number.NEGATIVE_INFINITY;
    for (const part of this.parts) {
      const found = part.previousMs(before);
      if (found > best) best = found;
    }
    return best;
  }

  matchesMs(instant: Instant): boolean {
    return this.parts.some((part) => part.matchesMs(instant));
  }
}

/** The window [starts, ends). */
export class WindowEvaluator implements Evaluator {
  private readonly inner: Evaluator;
  private readonly starts: Instant;
  private readonly ends: Instant;

  constructor(inner: Evaluator, starts: Instant | undefined, ends: Instant | undefined) {
    this.inner = inner;
    this.starts = starts ?? Number.NEGATIVE_INFINITY;
    this.ends = ends ?? Number.POSITIVE_INFINITY;
  }

  nextMs(after: Instant): number {
    const found = this.inner.nextMs(after < this.starts ? this.starts - 1 : after);
    return found < this.ends ? found : Number.POSITIVE_INFINITY;
  }

  previousMs(before: Instant): number {
    const found = this.inner.previousMs(before > this.ends ? this.ends : before);
    return found >= this.starts ? found : Number.NEGATIVE_INFINITY;
  }

  matchesMs(instant: Instant): boolean {
    return instant >= this.starts && instant < this.ends && this.inner.matchesMs(instant);
  }
}

/** An interval's anchor where no `from` is given: a Monday, so that weeks begin on Mondays. */
const defaultAnchorMs = dayNumber(2001, 1, 1) * dayMs;

/** The readings of a cadence that has readings; undefined for what is made of instants. */
export function patternOf(cadence: Cadence, zone: Zone, calendar: CalendarDays | undefined): CivilPattern | undefined {
  switch (cadence.kind) {
    case 'cron':
      return new CivilPattern(new MonthlyDays(new CronDays(cadence)), new ClockTimes(cadence.hours, cadence.minutes, cadence.seconds));
    case 'words':
      return new CivilPattern(new MonthlyDays(new WordsDays(cadence, calendar ?? plainWeek)), new OneTime(cadence.secondOfDay * 1000));
    case 'interval': {
      if (!cadence.calendarDays) return undefined;
      const civil = anchorReading(cadence.anchor, zone);
      const day = civilDayOf(civil);
      return new CivilPattern(
        new SteppedDays(day, cadence.everyMs / dayMs, cadence.anchor !== undefined),
        new OneTime(civil - day * dayMs),
      );
    }
    case 'once': {
      if (cadence.civilMs === undefined) return undefined;
      const day = civilDayOf(cadence.civilMs);
      return new CivilPattern(new OneDay(day), new OneTime(cadence.civilMs - day * dayMs));
    }
    case 'reboot':
      return undefined;
    default:
      return cadence satisfies never;
  }
}

function anchorReading(anchor: { instant: Instant } | { civilMs: number } | undefined, zone: Zone): number {
  if (anchor === undefined) return defaultAnchorMs;
  return 'civilMs' in anchor ? anchor.civilMs : zone.civilAt(anchor.instant);
}

/** What a cadence does at clock changes unless `dst_gap` and `dst_overlap` say otherwise. */
export function clockChangesOf(cadence: Cadence, rule: ClockChangeRule): { gap: 'run' | 'skip'; overlap: Overlap } {
  const realTime = cadence.kind === 'cron' && cadence.realTime;
  return {
    gap: rule.dstGap === 'default' ? (realTime ? 'skip' : 'run') : rule.dstGap,
    overlap: rule.dstOverlap === 'default' ? (realTime ? 'both' : 'first') : rule.dstOverlap,
  };
}

export function evaluatorOf(
  cadence: Cadence,
  options: { readonly zone: string; readonly rule: ClockChangeRule; readonly calendar: CalendarDays | undefined },
): Evaluator {
  const zone = zoneNamed(options.zone);
  const pattern = patternOf(cadence, zone, options.calendar);
  if (pattern !== undefined) return new CivilEvaluator(pattern, zone, clockChangesOf(cadence, options.rule));
  if (cadence.kind === 'once') return new InstantEvaluator(cadence.at);
  if (cadence.kind === 'interval') {
    const { anchor } = cadence;
    const instant = anchor !== undefined && 'instant' in anchor ? anchor.instant : zone.instantOf(anchorReading(anchor, zone));
    return new SteppedEvaluator(instant, cadence.everyMs, anchor !== undefined);
  }
  return never;
}
