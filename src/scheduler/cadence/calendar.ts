// A calendar is a plain value: which weekdays are free, and which civil days besides. Reading files and running queries
// is the engine's; here stands what those days mean.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import { civilDayOf, dayNumber, formatDay, monthLength, packedDate, weekdayOf, yearOf } from './civil.ts';

/** Days since 1970-01-01, as the zone's calendar counts them. */
export type CivilDay = number;

export interface CalendarDays {
  /** 0 (Sunday) .. 6. */
  readonly weekend: readonly number[];
  /** Sorted, each once. */
  readonly holidays: readonly CivilDay[];
  /** What a holiday is called, where the source says so. */
  readonly names?: Readonly<Record<CivilDay, string>>;
}

/** What calendar words mean without a calendar: Saturday and Sunday are free, nothing else. */
export const plainWeek: CalendarDays = { weekend: [0, 6], holidays: [] };

export function isFree(calendar: CalendarDays, day: CivilDay): boolean {
  if (calendar.weekend.includes(weekdayOf(day))) return true;
  const { holidays } = calendar;
  let low = 0;
  let high = holidays.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((holidays[middle] ?? 0) < day) low = middle + 1;
    else high = middle;
  }
  return holidays[low] === day;
}

/** How far `next`, `previous` and calendar words look for a business day. */
const tenYearsDays = 3653;

/** The first business day at or after (step 1) or before (step -1) a day; NaN: none within ten years. */
export function businessDayFrom(calendar: CalendarDays, day: CivilDay, step: 1 | -1): number {
  for (let moved = 0; moved <= tenYearsDays; moved++) if (!isFree(calendar, day + moved * step)) return day + moved * step;
  return Number.NaN;
}

/** "Sunday" or "holiday Christmas Day"; undefined on a business day. */
export function whyFree(calendar: CalendarDays, day: CivilDay): string | undefined {
  if (!isFree(calendar, day)) return undefined;
  const name = calendar.names?.[day];
  if (name !== undefined) return `holiday ${name}`;
  return calendar.holidays.includes(day) ? `holiday ${formatDay(day)}` : (weekdayNames[weekdayOf(day)] ?? 'weekend');
}

export const weekdayNames = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;

/** The days that recurring holidays are spelled out for: fires look ten years ahead for a business day, and history behind. */
export interface Horizon {
  readonly from: CivilDay;
  readonly to: CivilDay;
}

/** Whole years, so that a calendar that is read twice in one year is the same calendar. */
export function horizonOf(now: Instant): Horizon {
  const year = yearOf(packedDate(civilDayOf(now)));
  return { from: dayNumber(year - 2, 1, 1), to: dayNumber(year + 12, 12, 31) };
}

export interface NamedDay {
  readonly day: CivilDay;
  readonly name?: string | undefined;
}

/** One calendar of days from several sources, in any order and with repetitions. */
export function calendarOf(weekend: readonly number[], days: readonly NamedDay[]): CalendarDays {
  const names: Record<CivilDay, string> = {};
  for (const { day, name } of days) if (name !== undefined && names[day] === undefined) names[day] = name;
  const holidays = [...new Set(days.map(({ day }) => day))].sort((left, right) => left - right);
  const sortedWeekend = [...new Set(weekend)].sort((left, right) => left - right);
  return Object.keys(names).length === 0 ? { weekend: sortedWeekend, holidays } : { weekend: sortedWeekend, holidays, names };
}

/** `'2027-01-01'`; throws a Diagnostic whose span lies in `text`. */
export function parseDay(text: string): CivilDay {
  const match = /^\s*(\d{4})-(\d\d)-(\d\d)\s*$/.exec(text);
  const [year, month, date] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3])];
  if (match === null || year < 1 || month < 1 || month > 12 || date < 1 || date > monthLength(year, month)) {
    throw new Diagnostic('invalid_value', `'${text}' is not a day`, {
      span: { start: 0, end: text.length },
      hint: "write days as '2027-01-01'",
    });
  }
  return dayNumber(year, month, date);
}

/** `sat`, `Saturday`, 6; throws a Diagnostic whose span lies in `text`. */
export function parseWeekday(text: string): number {
  const word = text.trim().toLowerCase();
  const index = weekdayNames.findIndex((name) => name.toLowerCase() === word || name.slice(0, 3).toLowerCase() === word);
  if (index >= 0) return index;
  if (/^[0-7]$/.test(word)) return Number(word) % 7;
  throw new Diagnostic('invalid_value', `'${text}' is not a day of the week`, {
    span: { start: 0, end: text.length },
    hint: 'write sun, mon, tue, wed, thu, fri or sat',
  });
}
