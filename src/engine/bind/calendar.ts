// From UPSERT CALENDAR to the days that are free. Days come from four places; what a query, a file and a country answer is read
// while the definition is bound, and kept apart by its source, so that applying the definition again can say which one changed.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { ObjectValue, Value } from '../../parser/ast.ts';
import { type CalendarDays, calendarOf, type NamedDay, parseDay, parseWeekday, plainWeek } from '../../scheduler/cadence/calendar.ts';
import { formatDay } from '../../scheduler/cadence/civil.ts';
import type { Warning } from '../result.ts';
import type { HolidaySources } from '../store/duckdb/catalogue.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { Fields, inside, textOf, wrongType } from './fields.ts';
import { mostHolidays, readCountry, readIcs, readQuery, type SourceContext } from './holidaySources.ts';

export interface CalendarContext {
  readonly now: Instant;
  /** `cron.timezone`: in it stand the times of an .ics file that name no zone. */
  readonly defaultZone: string;
  /** What this connection sees, `holidays_from` sees. */
  readonly connection: Connection;
}

export interface BoundCalendar {
  readonly days: CalendarDays;
  readonly sources: HolidaySources;
  readonly warnings: readonly Warning[];
}

export async function bindCalendar(definition: ObjectValue, context: CalendarContext): Promise<BoundCalendar> {
  const fields = new Fields(definition);
  const warnings: Warning[] = [];
  const weekend = bindWeekend(fields, warnings);
  const listed = bindHolidays(fields, warnings);
  const sources = await readSources(fields, { ...context, warnings });
  const days = calendarOf(weekend, [...listed, ...Object.values(sources).flat()]);
  if (days.holidays.length > mostHolidays) {
    throw new Diagnostic('too_large', `a calendar holds at most ${mostHolidays} holidays, and this one has ${days.holidays.length}`, {
      span: firstSource(fields),
      hint: 'leave out days that are long past, and weekends: weekend: [sat, sun] says those',
    });
  }
  return { days, sources, warnings };
}

/** Those that answer other days than before; the same days in another order are the same. */
export function changedSources(before: HolidaySources, now: HolidaySources): (keyof HolidaySources)[] {
  return (['holidays_from', 'ics', 'country'] as const).filter((source) => daysKey(now[source]) !== daysKey(before[source]));
}

function daysKey(days: readonly NamedDay[] | undefined): string {
  return JSON.stringify(days?.map(({ day, name }) => `${formatDay(day)} ${name ?? ''}`).sort());
}

function firstSource(fields: Fields): Span {
  const field = ['holidays_from', 'ics', 'country', 'holidays'].find((name) => fields.has(name));
  return field === undefined ? fields.span : fields.keySpan(field);
}

/** Saturday and Sunday, unless the definition says otherwise; `[]` leaves no day of the week free. */
function bindWeekend(fields: Fields, warnings: Warning[]): readonly number[] {
  if (!fields.has('weekend')) return plainWeek.weekend;
  const days = fields.items('weekend').map((item) => inside(item, () => parseWeekday(textOf(item, 'weekend'))));
  if (new Set(days).size === 7) {
    warnings.push({
      message: 'every day of the week is free: schedules on this calendar never run, but with on_holiday: run',
      hint: 'weekend names the days on which nobody works',
    });
  }
  return days;
}

function bindHolidays(fields: Fields, warnings: Warning[]): NamedDay[] {
  const days = fields.items('holidays').map(bindHoliday);
  const seen = new Set<number>();
  for (const { day } of days) {
    if (seen.has(day)) warnings.push({ message: `${formatDay(day)} stands in 'holidays' twice`, hint: 'once is enough' });
    seen.add(day);
  }
  return days;
}

/** `'2027-01-01'`, `2027-01-01`, `{ day: '2027-01-01', name: 'New Year' }`. */
function bindHoliday(value: Value): NamedDay {
  if (value.kind !== 'object') return { day: bindDay(value) };
  const fields = new Fields(value);
  const day = fields.get('day');
  if (day === undefined) {
    throw new Diagnostic('missing_key', "a holiday needs its 'day'", {
      span: value.span,
      hint: "write { day: '2027-01-01', name: 'New Year' }",
    });
  }
  const name = fields.text('name');
  return { day: bindDay(day), ...(name === undefined || name.trim() === '' ? {} : { name: name.trim() }) };
}

function bindDay(value: Value): number {
  if (value.kind === 'instant' && !value.dateOnly) {
    throw new Diagnostic('wrong_type', `a holiday is a whole day, and ${value.text} has a time`, {
      span: value.span,
      hint: `write '${value.text.slice(0, 10)}'`,
    });
  }
  if (value.kind !== 'instant' && value.kind !== 'string') throw wrongType('holidays', value, "a day such as '2027-01-01'");
  // The parser takes 2027-1-1 for an instant; a day has two digits for each part.
  const text = value.kind === 'instant' ? value.text.replace(/-(\d)(?=-|$)/g, '-0$1') : value.text;
  return inside(value, () => parseDay(text));
}

async function readSources(fields: Fields, context: SourceContext): Promise<HolidaySources> {
  const query = fields.get('holidays_from');
  const ics = fields.get('ics');
  const country = fields.get('country');
  return {
    ...(query === undefined ? {} : { holidays_from: await readQuery(query, context) }),
    ...(ics === undefined ? {} : { ics: await readIcs(ics, context) }),
    ...(country === undefined ? {} : { country: await readCountry(country, context) }),
  };
}
