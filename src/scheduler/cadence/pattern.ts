// Readings of a wall clock that match a cadence, found by arithmetic on bit masks. A pattern knows no zone: which instants
// its readings stand for is decided in evaluator.ts. Nothing here allocates after construction.

import { type CalendarDays, isFree } from './calendar.ts';
import { civilDayOf, dateOf, dayMs, dayNumber, monthLength, monthOf, packedDate, weekdayOf, yearOf } from './civil.ts';
import type { CronCadence, SixtyBits, YearSpan } from './cron.ts';
import type { WordsCadence } from './words.ts';

/** Civil milliseconds (a reading of the clock, as if it stood in UTC); none: an infinity, in the direction searched. */
export class CivilPattern {
  private readonly days: Days;
  private readonly times: Times;

  constructor(days: Days, times: Times) {
    this.days = days;
    this.times = times;
  }

  atOrAfter(civilMs: number): number {
    const day = civilDayOf(civilMs);
    const start = this.days.atOrAfter(day);
    if (start > day) return start * dayMs + this.times.firstMs;
    const time = this.times.atOrAfter(civilMs - day * dayMs);
    if (time >= 0) return day * dayMs + time;
    return this.days.atOrAfter(day + 1) * dayMs + this.times.firstMs;
  }

  atOrBefore(civilMs: number): number {
    const day = civilDayOf(civilMs);
    const start = this.days.atOrBefore(day);
    if (start < day) return start * dayMs + this.times.lastMs;
    const time = this.times.atOrBefore(civilMs - day * dayMs);
    if (time >= 0) return day * dayMs + time;
    return this.days.atOrBefore(day - 1) * dayMs + this.times.lastMs;
  }

  matches(civilMs: number): boolean {
    const day = civilDayOf(civilMs);
    return this.times.matches(civilMs - day * dayMs) && this.days.matches(day);
  }
}

export interface Times {
  readonly firstMs: number;
  readonly lastMs: number;
  /** Milliseconds of the day; -1: none left in it. */
  atOrAfter(ms: number): number;
  atOrBefore(ms: number): number;
  matches(ms: number): boolean;
}

export interface Days {
  /** Infinity: none. */
  atOrAfter(day: number): number;
  /** -Infinity: none. */
  atOrBefore(day: number): number;
  matches(day: number): boolean;
}

/** The hour, minute and second fields of a cron. */
export class ClockTimes implements Times {
  readonly firstMs: number;
  readonly lastMs: number;
  private readonly hours: number;
  private readonly minutesLow: number;
  private readonly minutesHigh: number;
  private readonly secondsLow: number;
  private readonly secondsHigh: number;
  private readonly firstMinute: number;
  private readonly firstSecond: number;
  private readonly lastMinute: number;
  private readonly lastSecond: number;

  constructor(hours: number, minutes: SixtyBits, seconds: SixtyBits) {
    this.hours = hours;
    [this.minutesLow, this.minutesHigh] = minutes;
    [this.secondsLow, this.secondsHigh] = seconds;
    this.firstMinute = bitAtOrAfter(minutes[0], minutes[1], 0);
    this.firstSecond = bitAtOrAfter(seconds[0], seconds[1], 0);
    this.lastMinute = bitAtOrBefore(minutes[0], minutes[1], 59);
    this.lastSecond = bitAtOrBefore(seconds[0], seconds[1], 59);
    this.firstMs = (lowestBit(hours) * 3600 + this.firstMinute * 60 + this.firstSecond) * 1000;
    this.lastMs = ((31 - Math.clz32(hours)) * 3600 + this.lastMinute * 60 + this.lastSecond) * 1000;
  }

  atOrAfter(ms: number): number {
    const time = ((ms + 999) / 1000) | 0;
    const hour = (time / 3600) | 0;
    if (hour > 23) return -1;
    if ((this.hours >>> hour) & 1) {
      const minute = ((time - hour * 3600) / 60) | 0;
      if (hasBit(this.minutesLow, this.minutesHigh, minute)) {
        const second = bitAtOrAfter(this.secondsLow, this.secondsHigh, time - hour * 3600 - minute * 60);
        if (second >= 0) return (hour * 3600 + minute * 60 + second) * 1000;
      }
      const later = bitAtOrAfter(this.minutesLow, this.minutesHigh, minute + 1);
      if (later >= 0) return (hour * 3600 + later * 60 + this.firstSecond) * 1000;
    }
    const rest = this.hours & (-1 << (hour + 1));
    if (rest === 0) return -1;
    return (lowestBit(rest) * 3600 + this.firstMinute * 60 + this.firstSecond) * 1000;
  }

  atOrBefore(ms: number): number {
    const time = (ms / 1000) | 0;
    const hour = (time / 3600) | 0;
    if ((this.hours >>> hour) & 1) {
      const minute = ((time - hour * 3600) / 60) | 0;
      if (hasBit(this.minutesLow, this.minutesHigh, minute)) {
        const second = bitAtOrBefore(this.secondsLow, this.secondsHigh, time - hour * 3600 - minute * 60);
        if (second >= 0) return (hour * 3600 + minute * 60 + second) * 1000;
      }
      const earlier = minute === 0 ? -1 : bitAtOrBefore(this.minutesLow, this.minutesHigh, minute - 1);
      if (earlier >= 0) return (hour * 3600 + earlier * 60 + this.lastSecond) * 1000;
    }
    const rest = this.hours & ((1 << hour) - 1);
    if (rest === 0) return -1;
    return ((31 - Math.clz32(rest)) * 3600 + this.lastMinute * 60 + this.lastSecond) * 1000;
  }

  matches(ms: number): boolean {
    if (ms % 1000 !== 0) return false;
    const time = ms / 1000;
    const hour = (time / 3600) | 0;
    const minute = ((time / 60) | 0) % 60;
    return (
      ((this.hours >>> hour) & 1) === 1 &&
      hasBit(this.minutesLow, this.minutesHigh, minute) &&
      hasBit(this.secondsLow, this.secondsHigh, time % 60)
    );
  }
}

/** One time of the day: calendar words, intervals of whole days, one reading. */
export class OneTime implements Times {
  readonly firstMs: number;
  readonly lastMs: number;

  constructor(ms: number) {
    this.firstMs = ms;
    this.lastMs = ms;
  }

  atOrAfter(ms: number): number {
    return ms <= this.firstMs ? this.firstMs : -1;
  }

  atOrBefore(ms: number): number {
    return ms >= this.firstMs ? this.firstMs : -1;
  }

  matches(ms: number): boolean {
    return ms === this.firstMs;
  }
}

/** A rule that can say for a month which of its days match, as bits 1..31. */
export interface MonthRule {
  /** Bits 1..12. */
  readonly months: number;
  readonly years: readonly YearSpan[] | undefined;
  monthDays(firstDay: number, length: number): number;
}

/** How far a search goes without a match: the calendar repeats itself after 400 years. */
const searchedYears = 401;

export class MonthlyDays implements Days {
  private readonly rule: MonthRule;
  private readonly months: number;

  constructor(rule: MonthRule) {
    this.rule = rule;
    this.months = rule.months;
  }

  atOrAfter(day: number): number {
    const packed = packedDate(day);
    let year = yearOf(packed);
    let month = monthOf(packed);
    let from = dateOf(packed);
    let firstDay = day - from + 1;
    const { rule, months } = this;
    const lastYear = year + searchedYears;
    let counted = false;
    for (;;) {
      if (rule.years !== undefined && !counted) {
        const allowed = yearAtOrAfter(rule.years, year);
        if (allowed > year) {
          if (allowed === Number.POSITIVE_INFINITY) return allowed;
          year = allowed;
          month = 1;
          from = 1;
          firstDay = dayNumber(year, 1, 1);
        }
        counted = true;
      }
      const length = monthLength(year, month);
      if ((months >>> month) & 1) {
        const left = rule.monthDays(firstDay, length) & (-1 << from);
        if (left !== 0) return firstDay + lowestBit(left) - 1;
      }
      firstDay += length;
      from = 1;
      if (month < 12) month++;
      else {
        month = 1;
        year++;
        counted = false;
        if (year > lastYear && rule.years === undefined) return Number.POSITIVE_INFINITY;
      }
    }
  }

  atOrBefore(day: number): number {
    const packed = packedDate(day);
    let year = yearOf(packed);
    let month = monthOf(packed);
    let upTo = dateOf(packed);
    let firstDay = day - upTo + 1;
    const { rule, months } = this;
    const firstYear = year - searchedYears;
    let counted = false;
    for (;;) {
      if (rule.years !== undefined && !counted) {
        const allowed = yearAtOrBefore(rule.years, year);
        if (allowed < year) {
          if (allowed === Number.NEGATIVE_INFINITY) return allowed;
          year = allowed;
          month = 12;
          upTo = 31;
          firstDay = dayNumber(year, 12, 1);
        }
        counted = true;
      }
      if ((months >>> month) & 1) {
        const left = rule.monthDays(firstDay, monthLength(year, month)) & bitsUpTo(upTo);
        if (left !== 0) return firstDay + 31 - Math.clz32(left) - 1;
      }
      upTo = 31;
      if (month > 1) month--;
      else {
        month = 12;
        year--;
        counted = false;
        if (year < 1 || (year < firstYear && rule.years === undefined)) return Number.NEGATIVE_INFINITY;
      }
      firstDay -= monthLength(year, month);
    }
  }

  matches(day: number): boolean {
    const packed = packedDate(day);
    const month = monthOf(packed);
    if (((this.months >>> month) & 1) === 0) return false;
    const year = yearOf(packed);
    if (this.rule.years !== undefined && yearAtOrAfter(this.rule.years, year) !== year) return false;
    const date = dateOf(packed);
    return ((this.rule.monthDays(day - date + 1, monthLength(year, month)) >>> date) & 1) === 1;
  }
}

/** The day fields of a cron. */
export class CronDays implements MonthRule {
  readonly months: number;
  readonly years: readonly YearSpan[] | undefined;
  private readonly days: number;
  private readonly nearestWeekdays: number;
  private readonly weekdays: number;
  private readonly nthWeekdays: readonly (readonly [weekday: number, which: number])[];
  private readonly dayRule: CronCadence['dayRule'];

  constructor(cadence: CronCadence) {
    this.months = cadence.months;
    this.years = cadence.years;
    this.days = cadence.days;
    this.nearestWeekdays = cadence.nearestWeekdays;
    this.weekdays = cadence.weekdays;
    this.nthWeekdays = cadence.nthWeekdays;
    this.dayRule = cadence.dayRule;
  }

  monthDays(firstDay: number, length: number): number {
    switch (this.dayRule) {
      case 'every':
        return bitsUpTo(length);
      case 'day':
        return this.byDate(firstDay, length);
      case 'weekday':
        return this.byWeekday(firstDay, length);
      case 'either':
        return this.byDate(firstDay, length) | this.byWeekday(firstDay, length);
      case 'both':
        return this.byDate(firstDay, length) & this.byWeekday(firstDay, length);
      default:
        return this.dayRule satisfies never;
    }
  }

  private byDate(firstDay: number, length: number): number {
    let bits = this.days & bitsUpTo(length);
    if (this.days & 1) bits |= 1 << length;
    if (this.nearestWeekdays !== 0) {
      if (this.nearestWeekdays & 1) bits |= 1 << nearestWeekday(firstDay, length, length);
      for (let left = this.nearestWeekdays & bitsUpTo(length); left !== 0; left &= left - 1) {
        bits |= 1 << nearestWeekday(firstDay, length, lowestBit(left));
      }
    }
    return bits;
  }

  private byWeekday(firstDay: number, length: number): number {
    const first = weekdayOf(firstDay);
    let bits = this.weekdays === 0 ? 0 : weekly(this.weekdays, first);
    for (let index = 0; index < this.nthWeekdays.length; index++) {
      const pair = this.nthWeekdays[index];
      if (pair !== undefined) bits |= nthWeekday(pair[0], pair[1], first, length);
    }
    return bits & bitsUpTo(length);
  }
}

const twelveMonths = 0b1_1111_1111_1110;
const quarterStarts = (1 << 1) | (1 << 4) | (1 << 7) | (1 << 10);
const quarterEnds = (1 << 3) | (1 << 6) | (1 << 9) | (1 << 12);

/** Calendar words: which of a month's days, counted from its start or from its end. */
export class WordsDays implements MonthRule {
  readonly months: number;
  readonly years: undefined;
  private readonly day: WordsCadence['day'];
  private readonly calendar: CalendarDays;

  constructor(cadence: WordsCadence, calendar: CalendarDays) {
    this.day = cadence.day;
    this.calendar = calendar;
    const last = cadence.day.kind !== 'business days' && cadence.day.which === 0;
    if (cadence.period === 'month') this.months = twelveMonths;
    else if (cadence.period === 'quarter') this.months = last ? quarterEnds : quarterStarts;
    else this.months = last ? 1 << 12 : 1 << 1;
  }

  monthDays(firstDay: number, length: number): number {
    switch (this.day.kind) {
      case 'business days':
        return this.businessDays(firstDay, length);
      case 'day':
        return 1 << (this.day.which === 0 ? length : this.day.which);
      case 'business day':
        return pick(this.businessDays(firstDay, length), this.day.which);
      case 'weekday':
        return nthWeekday(this.day.weekday, this.day.which, weekdayOf(firstDay), length);
      default:
        return this.day satisfies never;
    }
  }

  private businessDays(firstDay: number, length: number): number {
    let bits = 0;
    for (let date = 1; date <= length; date++) if (!isFree(this.calendar, firstDay + date - 1)) bits |= 1 << date;
    return bits;
  }
}

/** Every n days from an anchor, on the calendar. */
export class SteppedDays implements Days {
  private readonly anchorDay: number;
  private readonly step: number;
  /** Nothing before the anchor. */
  private readonly bounded: boolean;

  constructor(anchorDay: number, step: number, bounded: boolean) {
    this.anchorDay = anchorDay;
    this.step = step;
    this.bounded = bounded;
  }

  atOrAfter(day: number): number {
    const steps = Math.ceil((day - this.anchorDay) / this.step);
    return this.anchorDay + (this.bounded && steps < 0 ? 0 : steps) * this.step;
  }

  atOrBefore(day: number): number {
    const steps = Math.floor((day - this.anchorDay) / this.step);
    return this.bounded && steps < 0 ? Number.NEGATIVE_INFINITY : this.anchorDay + steps * this.step;
  }

  matches(day: number): boolean {
    return (day - this.anchorDay) % this.step === 0 && !(this.bounded && day < this.anchorDay);
  }
}

/** One day: a reading of the clock that is meant once. */
export class OneDay implements Days {
  private readonly day: number;

  constructor(day: number) {
    this.day = day;
  }

  atOrAfter(day: number): number {
    return day <= this.day ? this.day : Number.POSITIVE_INFINITY;
  }

  atOrBefore(day: number): number {
    return day >= this.day ? this.day : Number.NEGATIVE_INFINITY;
  }

  matches(day: number): boolean {
    return day === this.day;
  }
}

function hasBit(low: number, high: number, bit: number): boolean {
  return ((bit < 30 ? low >>> bit : high >>> (bit - 30)) & 1) === 1;
}

/** The lowest of sixty bits that is `from` or higher; -1: none. */
function bitAtOrAfter(low: number, high: number, from: number): number {
  if (from < 30) {
    const left = low & (-1 << from);
    if (left !== 0) return lowestBit(left);
    return high === 0 ? -1 : 30 + lowestBit(high);
  }
  const left = high & (-1 << (from - 30));
  return left === 0 ? -1 : 30 + lowestBit(left);
}

function bitAtOrBefore(low: number, high: number, upTo: number): number {
  if (upTo >= 30) {
    const left = high & ((2 << (upTo - 30)) - 1);
    if (left !== 0) return 61 - Math.clz32(left);
    return low === 0 ? -1 : 31 - Math.clz32(low);
  }
  const left = low & ((2 << upTo) - 1);
  return left === 0 ? -1 : 31 - Math.clz32(left);
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/** Bits 1..last. */
function bitsUpTo(last: number): number {
  return (-2 >>> (31 - last)) & -2;
}

/** Days 1..31 of a month that begins on weekday `first`, for a mask of weekdays. */
function weekly(weekdays: number, first: number): number {
  const week = ((weekdays >>> first) | (weekdays << (7 - first))) & 127;
  return (week << 1) | (week << 8) | (week << 15) | (week << 22) | (week << 29);
}

function nthWeekday(weekday: number, which: number, first: number, length: number): number {
  const date = 1 + ((weekday - first + 7) % 7);
  if (which !== 0) return date + 7 * (which - 1) <= length ? 1 << (date + 7 * (which - 1)) : 0;
  return 1 << (date + 28 <= length ? date + 28 : date + 21);
}

/** The weekday nearest to a date, never in another month. */
function nearestWeekday(firstDay: number, length: number, date: number): number {
  const weekday = weekdayOf(firstDay + date - 1);
  if (weekday === 6) return date > 1 ? date - 1 : date + 2;
  if (weekday === 0) return date < length ? date + 1 : date - 2;
  return date;
}

/** The nth bit from below, or the highest. */
function pick(bits: number, which: number): number {
  if (bits === 0) return 0;
  if (which === 0) return 1 << (31 - Math.clz32(bits));
  let left = bits;
  for (let skipped = 1; skipped < which; skipped++) left &= left - 1;
  return left & -left;
}

function yearAtOrAfter(spans: readonly YearSpan[], year: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (const [from, to, step] of spans) {
    const candidate = year <= from ? from : from + Math.ceil((year - from) / step) * step;
    if (candidate <= to && candidate < best) best = candidate;
  }
  return best;
}

function yearAtOrBefore(spans: readonly YearSpan[], year: number): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const [from, to, step] of spans) {
    const candidate = from + Math.floor((Math.min(year, to) - from) / step) * step;
    if (candidate >= from && candidate > best) best = candidate;
  }
  return best;
}
