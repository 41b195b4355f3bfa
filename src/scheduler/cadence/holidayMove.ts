// `on_holiday: next | previous`: a fire on a free day moves to the nearest business day in that direction, at the same time
// of its clock. Fires that come to lie on one instant are one fire, and its identity is the nominal instant nearest to it.
//
// Moves turn the order of instants round (a Saturday's 09:00 comes due after a Sunday's 08:00 that was moved with it), so
// this walks business days, and for each the free days that lean on it.

import { type Instant, lastInstant } from '../../core/instant.ts';
import { businessDayFrom, type CalendarDays, isFree } from './calendar.ts';
import { civilDayOf, dayMs } from './civil.ts';
import type { Evaluator } from './evaluator.ts';
import type { Zone } from './zone.ts';

export class MovedEvaluator implements Evaluator {
  private readonly inner: Evaluator;
  private readonly zone: Zone;
  private readonly calendar: CalendarDays;
  /** 1: to the next business day, -1: to the one before. */
  private readonly direction: 1 | -1;

  constructor(inner: Evaluator, zone: Zone, calendar: CalendarDays, direction: 1 | -1) {
    this.inner = inner;
    this.zone = zone;
    this.calendar = calendar;
    this.direction = direction;
  }

  nextMs(after: Instant): number {
    const found = this.nextDue(Math.max(after, -1));
    return found <= lastInstant ? found : Number.POSITIVE_INFINITY;
  }

  previousMs(before: Instant): number {
    const found = this.previousDue(before);
    // Moved out of 1 January 1970.
    return found >= 0 ? found : Number.NEGATIVE_INFINITY;
  }

  matchesMs(due: Instant): boolean {
    return due >= 0 && due <= lastInstant && !Number.isNaN(this.nominalOf(due));
  }

  private nextDue(after: Instant): number {
    // One business day earlier than needed: a reading moved into a gap before midnight comes due after it.
    let business = businessDayFrom(this.calendar, this.dayOf(after) - 1, -1);
    if (Number.isNaN(business)) business = businessDayFrom(this.calendar, this.dayOf(after) - 1, 1);
    while (!Number.isNaN(business)) {
      const following = businessDayFrom(this.calendar, business + 1, 1);
      const found = this.firstOf(business, after);
      if (found !== Number.POSITIVE_INFINITY) {
        return Number.isNaN(following) ? found : Math.min(found, this.firstOf(following, after));
      }
      const nominal = this.inner.nextMs(this.zone.startOf(this.lastLeaning(business) + 1) - 1);
      if (nominal === Number.POSITIVE_INFINITY) return nominal;
      const target = businessDayFrom(this.calendar, this.dayOf(nominal), this.direction);
      // A nominal that finds no business day within ten years comes due nowhere; whatever follows it starts afresh.
      business = Number.isNaN(target) || target <= business ? following : target;
    }
    return Number.POSITIVE_INFINITY;
  }

  private previousDue(before: Instant): number {
    let business = businessDayFrom(this.calendar, this.dayOf(before) + 1, 1);
    if (Number.isNaN(business)) business = businessDayFrom(this.calendar, this.dayOf(before) + 1, -1);
    while (!Number.isNaN(business)) {
      const preceding = businessDayFrom(this.calendar, business - 1, -1);
      const found = this.lastOf(business, before);
      if (found !== Number.NEGATIVE_INFINITY) {
        return Number.isNaN(preceding) ? found : Math.max(found, this.lastOf(preceding, before));
      }
      const nominal = this.inner.previousMs(this.zone.startOf(this.firstLeaning(business)));
      if (nominal === Number.NEGATIVE_INFINITY) return nominal;
      const target = businessDayFrom(this.calendar, this.dayOf(nominal), this.direction);
      business = Number.isNaN(target) || target >= business ? preceding : target;
    }
    return Number.NEGATIVE_INFINITY;
  }

  /** The nominal instant nearest to a due one; NaN where nothing is due. */
  nominalOf(due: Instant): Instant {
    if (this.inner.matchesMs(due) && this.dueOf(due) === due) return due;
    let best = Number.NaN;
    // The day before, too: see nextMs.
    for (const business of [this.dayOf(due), businessDayFrom(this.calendar, this.dayOf(due) - 1, -1)]) {
      if (Number.isNaN(business) || isFree(this.calendar, business)) continue;
      for (let day = this.firstLeaning(business); day <= this.lastLeaning(business); day++) {
        for (let at = this.firstPlausible(day, business, due - 1); at < this.zone.startOf(day + 1); at = this.inner.nextMs(at)) {
          const moved = this.dueOf(at);
          if (moved === due && !(Math.abs(at - due) >= Math.abs(best - due))) best = at;
          if (moved >= due && this.isQuiet(day) && this.isQuiet(business)) break;
        }
      }
    }
    return best;
  }

  private dueOf(nominal: Instant): number {
    const civil = this.zone.civilAt(nominal);
    const day = civilDayOf(civil);
    const target = businessDayFrom(this.calendar, day, this.direction);
    return target === day ? nominal : this.zone.instantOf(target * dayMs + civil - day * dayMs);
  }

  /** The first due instant after `after` among those that come due on a business day. */
  private firstOf(business: number, after: Instant): number {
    let best = Number.POSITIVE_INFINITY;
    for (let day = this.firstLeaning(business); day <= this.lastLeaning(business); day++) {
      const end = this.zone.startOf(day + 1);
      for (let at = this.firstPlausible(day, business, after); at < end; at = this.inner.nextMs(at)) {
        const due = this.dueOf(at);
        if (due > after && due < best) best = due;
        // Without a clock change near, later readings come due later.
        if (due > after && this.isQuiet(day) && this.isQuiet(business)) break;
      }
    }
    return best;
  }

  private lastOf(business: number, before: Instant): number {
    let best = Number.NEGATIVE_INFINITY;
    for (let day = this.firstLeaning(business); day <= this.lastLeaning(business); day++) {
      const start = this.zone.startOf(day);
      for (let at = this.lastPlausible(day, business, before); at >= start; at = this.inner.previousMs(at)) {
        const due = this.dueOf(at);
        if (due < before && due > best) best = due;
        if (due < before && this.isQuiet(day) && this.isQuiet(business)) break;
      }
    }
    return best;
  }

  /** The day's first nominal instant that can come due after `after`; without a clock change near, the rest is not looked at. */
  private firstPlausible(day: number, business: number, after: Instant): number {
    const start = this.zone.startOf(day);
    const passed = after - this.zone.startOf(business);
    const skips = passed >= 0 && this.isQuiet(day) && this.isQuiet(business);
    return this.inner.nextMs(skips ? start + passed : start - 1);
  }

  private lastPlausible(day: number, business: number, before: Instant): number {
    const end = this.zone.startOf(day + 1);
    const left = this.zone.startOf(business + 1) - before;
    const skips = left > 0 && this.isQuiet(day) && this.isQuiet(business);
    return this.inner.previousMs(skips ? end - left : end);
  }

  private firstLeaning(business: number): number {
    let day = business;
    if (this.direction === 1) while (business - day < leaningLimit && isFree(this.calendar, day - 1)) day--;
    return day;
  }

  private lastLeaning(business: number): number {
    let day = business;
    if (this.direction === -1) while (day - business < leaningLimit && isFree(this.calendar, day + 1)) day++;
    return day;
  }

  /** No clock change within a day of this one. */
  private isQuiet(day: number): boolean {
    const noon = day * dayMs + dayMs / 2;
    this.zone.seek(noon);
    return this.zone.from <= noon - 2.5 * dayMs && this.zone.until >= noon + 2.5 * dayMs;
  }

  private dayOf(instant: Instant): number {
    return civilDayOf(this.zone.civilAt(instant));
  }
}

/** Ten years: the reach of a move. */
const leaningLimit = 3653;
