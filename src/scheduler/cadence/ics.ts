// The free days of an iCalendar text (RFC 5545): every day that an event touches.
//
// Taken: VEVENT with DTSTART, DTEND or DURATION, all-day or timed (UTC, TZID or floating, read in the calendar's zone);
// RRULE yearly, monthly, weekly and daily with INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS; RDATE, EXDATE,
// RECURRENCE-ID; STATUS:CANCELLED leaves an event out. Not taken, and said so by an error: BYWEEKNO, BYYEARDAY, rules by the
// hour and finer. Passed over: everything that is no event, and TRANSP, which public holidays mostly carry as TRANSPARENT.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { CivilDay, Horizon, NamedDay } from './calendar.ts';
import { civilDayOf, dateOf, dayMs, dayNumber, monthLength, monthOf, packedDate, weekdayOf, yearOf } from './civil.ts';
import { validateZone, zoneNamed } from './zone.ts';

interface Property {
  readonly name: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly value: string;
  readonly line: number;
}

interface Event {
  readonly uid: string;
  readonly summary: string | undefined;
  readonly start: CivilDay;
  readonly lengthDays: number;
  readonly rule: Rule | undefined;
  readonly extra: readonly CivilDay[];
  readonly excluded: readonly CivilDay[];
  readonly replaces: CivilDay | undefined;
}

/** Throws a Diagnostic that names the line. */
export function parseIcs(text: string, options: { readonly zone: string; readonly horizon: Horizon }): NamedDay[] {
  if (!/^\uFEFF?\s*BEGIN:VCALENDAR\s/i.test(text)) {
    throw new Diagnostic('invalid_value', 'this is not an iCalendar text: it does not begin with BEGIN:VCALENDAR', {
      hint: 'an .ics file is what calendar programs export',
    });
  }
  const properties = propertiesOf(text);
  const events = eventsOf(properties, options.zone);
  const replaced = new Set(events.filter((event) => event.replaces !== undefined).map((event) => `${event.uid} ${event.replaces}`));
  const days: NamedDay[] = [];
  for (const event of events) {
    const starts = event.replaces === undefined ? occurrencesOf(event, options.horizon.to) : [event.start];
    for (const start of starts) {
      if (event.replaces === undefined && (event.excluded.includes(start) || replaced.has(`${event.uid} ${start}`))) continue;
      for (let day = start; day < start + event.lengthDays; day++) {
        if (day >= options.horizon.from && day <= options.horizon.to) days.push({ day, name: event.summary });
      }
    }
  }
  return days;
}

/** Long lines are folded: one that begins with a space belongs to the one before. */
function propertiesOf(text: string): Property[] {
  const properties: Property[] = [];
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1;
    let content = lines[index] ?? '';
    while (/^[ \t]/.test(lines[index + 1] ?? '')) content += (lines[++index] ?? '').slice(1);
    if (content.trim() === '') continue;
    const colon = colonOf(content);
    if (colon < 0) throw wrong(line, `'${content.slice(0, 40)}' has no ':'`);
    const [name = '', ...parameters] = splitOutsideQuotes(content.slice(0, colon));
    properties.push({
      name: name.toUpperCase(),
      parameters: new Map(
        parameters.map((parameter) => {
          const equals = parameter.indexOf('=');
          return [parameter.slice(0, equals).toUpperCase(), parameter.slice(equals + 1).replace(/^"|"$/g, '')];
        }),
      ),
      value: content.slice(colon + 1),
      line,
    });
  }
  return properties;
}

function colonOf(content: string): number {
  let quoted = false;
  for (let index = 0; index < content.length; index++) {
    if (content[index] === '"') quoted = !quoted;
    else if (content[index] === ':' && !quoted) return index;
  }
  return -1;
}

function splitOutsideQuotes(text: string): string[] {
  return text.match(/(?:[^;"]|"[^"]*")+/g) ?? [];
}

function eventsOf(properties: readonly Property[], zone: string): Event[] {
  const events: Event[] = [];
  let inside: Property[] | undefined;
  let nested = 0;
  for (const property of properties) {
    const value = property.value.trim().toUpperCase();
    if (property.name === 'BEGIN' && inside === undefined) {
      if (value === 'VEVENT') inside = [property];
    } else if (property.name === 'BEGIN') nested++;
    else if (property.name === 'END' && nested > 0) nested--;
    else if (property.name === 'END' && value === 'VEVENT' && inside !== undefined) {
      const event = eventOf(inside, zone);
      if (event !== undefined) events.push(event);
      inside = undefined;
    } else if (nested === 0) inside?.push(property);
  }
  if (inside !== undefined) throw wrong(inside[0]?.line ?? 1, 'the event that begins here does not end');
  return events;
}

function eventOf(properties: readonly Property[], zone: string): Event | undefined {
  const find = (name: string) => properties.find((property) => property.name === name);
  if (find('STATUS')?.value.trim().toUpperCase() === 'CANCELLED') return undefined;
  const startProperty = find('DTSTART');
  if (startProperty === undefined) throw wrong(properties[0]?.line ?? 1, 'the event that begins here has no DTSTART');
  const start = momentOf(startProperty, startProperty.value, zone);
  const days = (name: string) =>
    properties
      .filter((property) => property.name === name)
      .flatMap((property) =>
        property.value.split(',').map((value) => dayOfMoment(momentOf(property, value.split('/')[0] ?? '', zone), zone)),
      );
  const summary = find('SUMMARY')?.value.replace(/\\n/gi, ' ').replace(/\\(.)/g, '$1').trim();
  const ruleProperty = find('RRULE');
  const first = dayOfMoment(start, zone);
  return {
    uid: find('UID')?.value ?? '',
    summary: summary === '' ? undefined : summary,
    start: first,
    lengthDays: lengthOf(start, first, find('DTEND'), find('DURATION'), zone),
    rule: ruleProperty === undefined ? undefined : ruleOf(ruleProperty, zone),
    extra: days('RDATE'),
    excluded: days('EXDATE'),
    replaces: days('RECURRENCE-ID')[0],
  };
}

type IcsMoment = { readonly day: CivilDay } | { readonly instant: Instant };

function momentOf(property: Property, written: string, zone: string): IcsMoment {
  const match = /^(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?$/.exec(written.trim());
  const [year, month, date] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3])];
  if (match === null || month < 1 || month > 12 || date < 1 || date > monthLength(year, month)) {
    throw wrong(property.line, `'${written.trim()}' is not a date of ${property.name}`);
  }
  const day = dayNumber(year, month, date);
  if (match[4] === undefined) return { day };
  const civilMs = day * dayMs + Number(match[4]) * 3_600_000 + Number(match[5]) * 60_000 + Number(match[6]) * 1000;
  if (match[7] !== undefined) return { instant: civilMs };
  const named = property.parameters.get('TZID');
  return { instant: zoneNamed(named === undefined ? zone : zoneOf(named, property.line)).instantOf(civilMs) };
}

/** Some programs write `/example.com/Europe/Berlin`; the place stands at the end. */
function zoneOf(tzid: string, line: number): string {
  for (const candidate of [tzid, tzid.split('/').slice(-2).join('/'), tzid.split('/').slice(-3).join('/')]) {
    try {
      return validateZone(candidate);
    } catch {
      // The next spelling may be one that is known.
    }
  }
  throw new Diagnostic('unknown_zone', `line ${line}: there is no time zone '${tzid}'`, {
    hint: 'TZID takes an IANA name, such as Europe/Berlin',
  });
}

function dayOfMoment(moment: IcsMoment, zone: string): CivilDay {
  return 'day' in moment ? moment.day : civilDayOf(zoneNamed(zone).civilAt(moment.instant));
}

/** How many days an event touches; its end is not part of it. */
function lengthOf(start: IcsMoment, first: CivilDay, end: Property | undefined, duration: Property | undefined, zone: string): number {
  if (end !== undefined) {
    const moment = momentOf(end, end.value, zone);
    const last = 'day' in moment ? moment.day - 1 : dayOfMoment({ instant: moment.instant - 1 }, zone);
    return Math.max(1, last - first + 1);
  }
  if (duration === undefined) return 1;
  const match = /^\+?P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/i.exec(duration.value.trim());
  if (match === null) throw wrong(duration.line, `'${duration.value.trim()}' is not a DURATION`);
  const [weeks, days, hours, minutes, seconds] = [1, 2, 3, 4, 5].map((group) => Number(match[group] ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const ms = (weeks * 7 + days) * dayMs + hours * 3_600_000 + minutes * 60_000 + seconds * 1000;
  if ('day' in start) return Math.max(1, Math.ceil(ms / dayMs));
  return Math.max(1, dayOfMoment({ instant: start.instant + Math.max(ms, 1) - 1 }, zone) - first + 1);
}

// Recurrence

interface Rule {
  readonly frequency: 'YEARLY' | 'MONTHLY' | 'WEEKLY' | 'DAILY';
  readonly interval: number;
  readonly count: number;
  readonly until: CivilDay;
  readonly months: readonly number[];
  readonly dates: readonly number[];
  /** Weekday and which of its period: 2 the second, -1 the last, 0 every one. */
  readonly weekdays: readonly (readonly [weekday: number, which: number])[];
  readonly positions: readonly number[];
  readonly weekStart: number;
}

const weekdayCodes = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];

function ruleOf(property: Property, zone: string): Rule {
  const parts = new Map(
    property.value
      .trim()
      .toUpperCase()
      .split(';')
      .filter(Boolean)
      .map((part) => part.split('=') as [string, string]),
  );
  const known = ['FREQ', 'INTERVAL', 'COUNT', 'UNTIL', 'BYMONTH', 'BYMONTHDAY', 'BYDAY', 'BYSETPOS', 'WKST'];
  for (const name of parts.keys()) if (!known.includes(name)) throw unsupported(property.line, `${name}=${parts.get(name)}`);
  const frequency = parts.get('FREQ') ?? '';
  if (frequency !== 'YEARLY' && frequency !== 'MONTHLY' && frequency !== 'WEEKLY' && frequency !== 'DAILY') {
    throw unsupported(property.line, `FREQ=${frequency}`);
  }
  const numbers = (name: string) => (parts.get(name) ?? '').split(',').filter(Boolean).map(Number);
  const until = parts.get('UNTIL');
  const interval = Number(parts.get('INTERVAL') ?? 1);
  const count = Number(parts.get('COUNT') ?? Number.POSITIVE_INFINITY);
  const rule: Rule = {
    frequency,
    interval,
    count,
    until: until === undefined ? Number.POSITIVE_INFINITY : dayOfMoment(momentOf(property, until, zone), zone),
    months: numbers('BYMONTH'),
    dates: numbers('BYMONTHDAY'),
    weekdays: (parts.get('BYDAY') ?? '')
      .split(',')
      .filter(Boolean)
      .map((word) => {
        const match = /^([+-]?\d+)?(SU|MO|TU|WE|TH|FR|SA)$/.exec(word);
        if (match === null) throw wrong(property.line, `'${word}' is not a day of BYDAY`);
        return [weekdayCodes.indexOf(match[2] ?? ''), Number(match[1] ?? 0)] as const;
      }),
    positions: numbers('BYSETPOS'),
    weekStart: Math.max(0, weekdayCodes.indexOf(parts.get('WKST') ?? 'MO')),
  };
  if (!(interval >= 1 && count >= 1) || [...rule.months, ...rule.dates, ...rule.positions].some((value) => !Number.isInteger(value))) {
    throw wrong(property.line, `'${property.value.trim()}' is not a rule`);
  }
  return rule;
}

/** The days on which an event begins, up to `to`; counted from its start, because COUNT is. */
function occurrencesOf(event: Event, to: CivilDay): CivilDay[] {
  const days = new Set<CivilDay>([event.start, ...event.extra]);
  const { rule, start } = event;
  if (rule !== undefined) {
    let counted = 0;
    const end = Math.min(to, rule.until);
    for (let period = periodStart(rule, start); period <= end && counted < rule.count; period = followingPeriod(rule, period)) {
      for (const day of periodDays(rule, period, start)) {
        if (day < start || day > end || counted >= rule.count) continue;
        counted++;
        days.add(day);
      }
    }
  }
  return [...days];
}

function periodStart(rule: Rule, day: CivilDay): CivilDay {
  const packed = packedDate(day);
  switch (rule.frequency) {
    case 'YEARLY':
      return dayNumber(yearOf(packed), 1, 1);
    case 'MONTHLY':
      return dayNumber(yearOf(packed), monthOf(packed), 1);
    case 'WEEKLY':
      return day - ((weekdayOf(day) - rule.weekStart + 7) % 7);
    case 'DAILY':
      return day;
    default:
      return rule.frequency satisfies never;
  }
}

function followingPeriod(rule: Rule, period: CivilDay): CivilDay {
  const packed = packedDate(period);
  switch (rule.frequency) {
    case 'YEARLY':
      return dayNumber(yearOf(packed) + rule.interval, 1, 1);
    case 'MONTHLY': {
      const months = yearOf(packed) * 12 + monthOf(packed) - 1 + rule.interval;
      return dayNumber(Math.floor(months / 12), (months % 12) + 1, 1);
    }
    case 'WEEKLY':
      return period + 7 * rule.interval;
    case 'DAILY':
      return period + rule.interval;
    default:
      return rule.frequency satisfies never;
  }
}

function periodDays(rule: Rule, period: CivilDay, start: CivilDay): CivilDay[] {
  const packed = packedDate(period);
  const lengths = {
    DAILY: 1,
    WEEKLY: 7,
    MONTHLY: monthLength(yearOf(packed), monthOf(packed)),
    YEARLY: 365 + (monthLength(yearOf(packed), 2) - 28),
  };
  const days: CivilDay[] = [];
  for (let day = period; day < period + lengths[rule.frequency]; day++) if (fits(rule, day, start, lengths)) days.push(day);
  if (rule.positions.length === 0) return days;
  return days.filter((_day, index) => rule.positions.some((position) => (position > 0 ? position - 1 : days.length + position) === index));
}

function fits(rule: Rule, day: CivilDay, start: CivilDay, lengths: Readonly<Record<Rule['frequency'], number>>): boolean {
  const packed = packedDate(day);
  const started = packedDate(start);
  const { frequency } = rule;
  const byDay = rule.weekdays.length > 0;
  const byDate = rule.dates.length > 0;
  if (rule.months.length > 0) {
    if (!rule.months.includes(monthOf(packed))) return false;
  } else if (frequency === 'YEARLY' && !byDay && !byDate && monthOf(packed) !== monthOf(started)) return false;
  if (byDate) {
    const fromEnd = dateOf(packed) - monthLength(yearOf(packed), monthOf(packed)) - 1;
    if (!rule.dates.includes(dateOf(packed)) && !rule.dates.includes(fromEnd)) return false;
  } else if ((frequency === 'YEARLY' || frequency === 'MONTHLY') && !byDay && dateOf(packed) !== dateOf(started)) return false;
  if (byDay) {
    // `2MO` counts within the month, unless a yearly rule names no month: then within the year.
    const inYear = frequency === 'YEARLY' && rule.months.length === 0;
    const index = inYear ? day - dayNumber(yearOf(packed), 1, 1) : dateOf(packed) - 1;
    const length = inYear ? lengths.YEARLY : monthLength(yearOf(packed), monthOf(packed));
    const nth = Math.floor(index / 7) + 1;
    const fromEnd = -Math.floor((length - 1 - index) / 7) - 1;
    return rule.weekdays.some(([weekday, which]) => weekday === weekdayOf(day) && (which === 0 || which === nth || which === fromEnd));
  }
  return frequency !== 'WEEKLY' || weekdayOf(day) === weekdayOf(start);
}

function wrong(line: number, message: string): Diagnostic {
  return new Diagnostic('invalid_value', `line ${line}: ${message}`, { hint: 'the text must be an iCalendar export (RFC 5545)' });
}

function unsupported(line: number, what: string): Diagnostic {
  return new Diagnostic('unsupported', `line ${line}: the rule part ${what} is not understood`, {
    hint: 'understood: FREQ=YEARLY, MONTHLY, WEEKLY, DAILY with INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS; or list the days in `holidays`',
  });
}
