// `on_holiday: next | previous`: a fire on a free day moves to the nearest business day in that direction, at the same time
// of its clock. Fires that come to lie on one instant are one fire, and its identity is the nominal instant nearest to it.
//
// Moves turn the order of instants round (a Saturday's 09:00 comes due after a Sunday's 08:00 that was moved with it), so
// this walks business days, and for each the free days that lean on it. Within a day a move is an addition, and what it adds
// changes only where a clock does: a business day has a few shifts, each asks the inner evaluator one question, and the
// first answer wins. No fire is looked at besides, on any day; an earlier form compared all fires of the days around a clock
// change, and a cadence of every second took 100 ms for a step.

import { type Instant, lastInstant } from '../../core/instant.ts';
import { businessDayFrom, type CalendarDays, isFree } from './calendar.ts';
import { civilDayOf, dayMs } from './civil.ts';
import type { Evaluator } from './evaluator.ts';
import type { Zone } from './zone.ts';

/** 1: to the next business day, -1: to the one before. */
type Direction = 1 | -1;

export class MovedEvaluator implements Evaluator {
  private readonly inner: Evaluator;
  private readonly zone: Zone;
  private readonly calendar: CalendarDays;
  private readonly direction: Direction;
  private readonly shifts: Shifts;

  constructor(inner: Evaluator, zone: Zone, calendar: CalendarDays, direction: Direction) {
    this.inner = inner;
    this.zone = zone;
    this.calendar = calendar;
    this.direction = direction;
    this.shifts = new Shifts(zone, calendar, direction);
  }

  nextMs(after: Instant): number {
    if (after >= lastInstant) return Number.POSITIVE_INFINITY;
    const found = this.nextDue(Math.max(Math.floor(after), -1));
    return found <= lastInstant ? found : Number.POSITIVE_INFINITY;
  }

  previousMs(before: Instant): number {
    if (before <= 0) return Number.NEGATIVE_INFINITY;
    const found = this.previousDue(Math.min(Math.ceil(before), lastInstant + 1));
    // Moved out of 1 January 1970.
    return found >= 0 ? found : Number.NEGATIVE_INFINITY;
  }

  matchesMs(due: Instant): boolean {
    return due >= 0 && due <= lastInstant && !Number.isNaN(this.nominalOf(due));
  }

  private nextDue(after: Instant): number {
    const { calendar, direction, inner, shifts } = this;
    const earliest = this.earliestDay(after);
    let business = businessDayFrom(calendar, earliest, 1);
    if (Number.isNaN(business)) business = businessDayFrom(calendar, earliest, -1);
    while (!Number.isNaN(business)) {
      const following = businessDayFrom(calendar, business + 1, 1);
      const found = this.firstOf(business, after);
      if (found !== Number.POSITIVE_INFINITY) {
        return following <= this.latestDay(found) ? Math.min(found, this.firstOf(following, after)) : found;
      }
      const nominal = inner.nextMs(firstShowing(this.zone, shifts.lastDay + 1) - 1);
      if (nominal === Number.POSITIVE_INFINITY) return nominal;
      const target = businessDayFrom(calendar, this.earliestDay(nominal), direction);
      // A nominal that finds no business day within ten years comes due nowhere; whatever follows it starts afresh.
      business = target > business ? target : following;
    }
    return Number.POSITIVE_INFINITY;
  }

  private previousDue(before: Instant): number {
    const { calendar, direction, inner, shifts } = this;
    const latest = this.latestDay(before - 1);
    let business = businessDayFrom(calendar, latest, -1);
    if (Number.isNaN(business)) business = businessDayFrom(calendar, latest, 1);
    while (!Number.isNaN(business)) {
      const preceding = businessDayFrom(calendar, business - 1, -1);
      const found = this.lastOf(business, before);
      if (found !== Number.NEGATIVE_INFINITY) {
        return preceding >= this.earliestDay(found) ? Math.max(found, this.lastOf(preceding, before)) : found;
      }
      const nominal = inner.previousMs(lastShowing(this.zone, shifts.firstDay - 1));
      if (nominal === Number.NEGATIVE_INFINITY) return nominal;
      const target = businessDayFrom(calendar, this.latestDay(nominal), direction);
      business = target < business ? target : preceding;
    }
    return Number.NEGATIVE_INFINITY;
  }

  /** The nominal instant nearest to a due one; NaN where nothing is due. */
  nominalOf(due: Instant): Instant {
    const day = civilDayOf(this.zone.civilAt(due));
    if (!isFree(this.calendar, day) && this.inner.matchesMs(due)) return due;
    const nearest = this.nearestOf(day, due, Number.NaN);
    const earliest = this.earliestDay(due);
    return earliest === day ? nearest : this.nearestOf(earliest, due, nearest);
  }

  /** The first due instant after `after` among those of a business day and of the free days that lean on it. */
  private firstOf(business: number, after: Instant): number {
    const { inner, shifts } = this;
    let best = Number.POSITIVE_INFINITY;
    // The last answer; shifts follow one another, so it stands for all of them that it lies behind.
    let nominal = Number.NEGATIVE_INFINITY;
    shifts.enter(business);
    while (shifts.advance()) {
      const { from, until, byMs } = shifts;
      if (until + byMs <= after || from + byMs >= best) continue;
      const least = Math.max(from, after + 1 - byMs);
      if (nominal < least) nominal = inner.nextMs(least - 1);
      if (nominal < until && nominal + byMs < best) best = nominal + byMs;
    }
    return best;
  }

  private lastOf(business: number, before: Instant): number {
    const { inner, shifts } = this;
    let best = Number.NEGATIVE_INFINITY;
    shifts.enter(business);
    while (shifts.advance()) {
      const { from, until, byMs } = shifts;
      if (from + byMs >= before || until + byMs <= best) continue;
      const nominal = inner.previousMs(Math.min(until, before - byMs));
      if (nominal >= from && nominal + byMs > best) best = nominal + byMs;
    }
    return best;
  }

  private nearestOf(business: number, due: Instant, known: Instant): Instant {
    if (isFree(this.calendar, business)) return known;
    const { inner, shifts } = this;
    let best = known;
    shifts.enter(business);
    while (shifts.advance()) {
      const nominal = due - shifts.byMs;
      // Written so that anything is nearer than NaN.
      const nearer = !(Math.abs(nominal - due) >= Math.abs(best - due));
      if (nominal >= shifts.from && nominal < shifts.until && nearer && inner.matchesMs(nominal)) best = nominal;
    }
    return best;
  }

  /**
   * The earliest day whose readings come due at an instant or later: mostly the day that clocks show. Yesterday's readings
   * in a gap come due after it, and where clocks go back over midnight yesterday comes again.
   */
  private earliestDay(instant: Instant): number {
    this.zone.seek(instant);
    const { from, until, offset, before, beyond } = this.zone;
    const reading = instant + (instant < from + offset - before ? before : offset);
    return civilDayOf(Math.min(reading, until + beyond));
  }

  /** The latest day whose readings come due at an instant or before. */
  private latestDay(instant: Instant): number {
    this.zone.seek(instant);
    const { from, offset, before } = this.zone;
    return civilDayOf(Math.max(instant + offset, from + before - 1));
  }
}

/**
 * Where the fires of a business day come from: the nominal instants [from, until) come due `byMs` later. `enter` names the
 * business day, each `advance` finds one shift, in the order of nominal instants. Like a zone's segment it is fields and not
 * an object, because the hot path allocates nothing; and it is found anew for each question, because that costs less than
 * a microsecond, and a million schedules need not remember anything.
 */
class Shifts {
  from = 0;
  until = 0;
  byMs = 0;
  /** The business day and the free days that lean on it. */
  firstDay = 0;
  lastDay = 0;

  private readonly zone: Zone;
  private readonly calendar: CalendarDays;
  private readonly direction: Direction;
  private business = 0;
  private end = 0;

  constructor(zone: Zone, calendar: CalendarDays, direction: Direction) {
    this.zone = zone;
    this.calendar = calendar;
    this.direction = direction;
  }

  enter(business: number): void {
    const { calendar, direction, zone } = this;
    let edge = business;
    while (Math.abs(business - edge) < leaningLimit && isFree(calendar, edge - direction)) edge -= direction;
    this.business = business;
    this.firstDay = Math.min(business, edge);
    this.lastDay = Math.max(business, edge);
    this.until = firstShowing(zone, this.firstDay);
    this.end = lastShowing(zone, this.lastDay);
  }

  advance(): boolean {
    const { business, end, firstDay, lastDay, zone } = this;
    for (let at = this.until; at < end; at = this.until) {
      zone.seek(at);
      const civil = at + zone.offset;
      const day = civilDayOf(civil);
      this.from = at;
      this.until = Math.min(zone.until, (day + 1) * dayMs - zone.offset);
      // Where clocks go back over midnight, a minute of another day may stand between two parts of a day.
      if (day < firstDay || day > lastDay) continue;
      this.byMs = 0;
      if (day !== business) {
        const reading = civil + (business - day) * dayMs;
        this.byMs = zone.instantOf(reading) - at;
        // The zone now stands where the reading lies; readings up to the end of its gap or of its segment move alike.
        const afterGap = zone.from + zone.offset;
        const alike = (reading < afterGap ? afterGap : zone.until + zone.offset) - reading;
        if (at + alike < this.until) this.until = at + alike;
      }
      return true;
    }
    return false;
  }
}

/** Ten years: the reach of a move. */
const leaningLimit = 3653;

/** The first instant at which clocks show a day or a later one. */
function firstShowing(zone: Zone, day: number): Instant {
  const reading = day * dayMs;
  zone.instantOf(reading);
  // The zone now stands where the reading lies; where it lies in a gap, clocks leave it out at the segment's beginning.
  return Math.max(zone.from, reading - zone.offset);
}

/** The first instant from which on clocks show neither a day nor an earlier one. */
function lastShowing(zone: Zone, day: number): Instant {
  const reading = (day + 1) * dayMs;
  const start = firstShowing(zone, day + 1);
  return reading >= zone.until + zone.beyond ? reading - zone.beyond : start;
}
