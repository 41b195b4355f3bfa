// A cadence in words that a person can check, and what is remarkable about one fire.
//
// Written here and not taken from a library, because the words must say what is done: the usual ones read `30 3 1-7 * 1` as
// "and", where every cron fires on either.

import type { Cadence } from './cadence.ts';
import { weekdayNames, whyFree } from './calendar.ts';
import { civilDayOf, dayMs, formatTimeOfDay } from './civil.ts';
import type { CronCadence, SixtyBits, YearSpan } from './cron.ts';
import type { IntervalCadence } from './interval.ts';
import { momentText } from './once.ts';
import type { Fire, Timing } from './timing.ts';
import type { WordsCadence } from './words.ts';
import { formatLocal, zoneNamed } from './zone.ts';

/** "at 02:00 every day (Europe/Berlin)"; several cadences: "..; and ..". */
export function describe(cadences: readonly Cadence[], zone: string): string {
  const phrases = cadences.map((cadence) => phraseOf(cadence, zone));
  // An interval in real time and an instant with an offset mean the same everywhere, but whoever reads the answer reads it
  // on some clock; the zone is always named.
  return `${phrases.join('; and ')} (${zone})`;
}

function phraseOf(cadence: Cadence, zone: string): string {
  switch (cadence.kind) {
    case 'cron':
      return cronPhrase(cadence);
    case 'interval':
      return intervalPhrase(cadence);
    case 'once':
      return cadence.civilMs === undefined
        ? `once, at ${formatLocal(cadence.at, zone)}`
        : `once, at ${momentText({ civilMs: cadence.civilMs })}`;
    case 'words':
      return wordsPhrase(cadence);
    case 'reboot':
      return 'at each start of the scheduler';
    default:
      return cadence satisfies never;
  }
}

// Cron

function cronPhrase(cadence: CronCadence): string {
  const time = timePhrase(cadence);
  const days = dayPhrase(cadence);
  const months = monthPhrase(cadence);
  const years = cadence.years === undefined ? '' : `${months === '' ? '' : ','} in ${yearPhrase(cadence.years)}`;
  const daily = /^at \d/.test(time) ? ' every day' : '';
  return `${time}${days === '' && months === '' ? daily : `${days === '' ? daily : ` ${days}`}${months}`}${years}`;
}

function timePhrase(cadence: CronCadence): string {
  const seconds = sixty(cadence.seconds);
  const minutes = sixty(cadence.minutes);
  const hours = bits(cadence.hours, 0, 23);
  const onlySecond = seconds.length === 1 ? seconds[0] : undefined;
  // A handful of times is named one by one; anything richer field by field.
  if (onlySecond !== undefined && minutes.length * hours.length <= 6) {
    const times = hours.flatMap((hour) => minutes.map((minute) => formatTimeOfDay((hour * 3600 + minute * 60 + onlySecond) * 1000)));
    return `at ${listed(times)}`;
  }
  const hourPart = hours.length === 24 ? '' : ` ${hourPhrase(hours)}`;
  if (onlySecond !== 0) {
    const secondPart = everyNth(seconds, 60, 'second') ?? `at ${numbered('second', seconds)}`;
    if (minutes.length === 60) return `${secondPart}${onlySecond === undefined ? '' : ' of every minute'}${hourPart}`;
    return `${secondPart} of ${everyNth(minutes, 60, 'minute') ?? numbered('minute', minutes)}${hourPart || ' of every hour'}`;
  }
  if (minutes.length === 60) return `every minute${hourPart}`;
  const [onlyMinute] = minutes;
  if (minutes.length === 1 && onlyMinute !== undefined) {
    const stepped = everyNth(hours, 24, 'hour');
    if (stepped !== undefined) return onlyMinute === 0 ? `${stepped}, on the hour` : `${stepped}, at minute ${onlyMinute}`;
  }
  const minutePart = everyNth(minutes, 60, 'minute') ?? `at ${numbered('minute', minutes)}`;
  return `${minutePart}${hourPart === '' ? (minutePart.startsWith('at ') ? ' of every hour' : '') : hourPart}`;
}

/** "every 15 minutes" where the values are 0, 15, 30, 45: even steps that meet again at the full hour. */
function everyNth(values: readonly number[], size: number, unit: string): string | undefined {
  if (values.length === size) return `every ${unit}`;
  const [first, second] = values;
  if (first !== 0 || second === undefined) return undefined;
  if (size % second !== 0 || values.length !== size / second || values.some((value, index) => value !== index * second)) return undefined;
  return `every ${second} ${unit}s`;
}

function hourPhrase(hours: readonly number[]): string {
  const stepped = everyNth(hours, 24, 'hour');
  if (stepped !== undefined) return `of ${stepped}`;
  const [first, last] = [hours[0] ?? 0, hours.at(-1) ?? 0];
  if (hours.length > 2 && last - first === hours.length - 1)
    return `between ${clock(first)} and ${formatTimeOfDay((last * 3600 + 59 * 60) * 1000)}`;
  return hours.length === 1
    ? `between ${clock(first)} and ${formatTimeOfDay((first * 3600 + 59 * 60) * 1000)}`
    : `of the hours ${valuesPhrase(hours)}`;
}

function dayPhrase(cadence: CronCadence): string {
  const date = datePhrase(cadence);
  const weekday = weekdayPhrase(cadence);
  switch (cadence.dayRule) {
    case 'every':
      return '';
    case 'day':
      return date;
    case 'weekday':
      return weekday;
    case 'either':
      return `${date} or ${weekday}`;
    case 'both': {
      // "every Monday that is one of days 1 to 7" says both at once.
      if (bits(cadence.days, 1, 31).length === 31) return weekday;
      return `${weekday.replace(/^on every /, 'on each ').replace(/^from /, 'on each day from ')} that falls ${date}`;
    }
    default:
      return cadence.dayRule satisfies never;
  }
}

export function datePhrase(cadence: CronCadence): string {
  const plain = bits(cadence.days, 1, 31);
  const parts: string[] = [];
  if (plain.length === 31) parts.push('every day');
  else if (plain.length > 0) {
    const text = steppedPhrase(plain, 1, 31) ?? valuesPhrase(plain);
    parts.push(plain.length === 1 ? `day ${text}` : text.startsWith('every') ? text : `days ${text}`);
  }
  if (cadence.days & 1) parts.push('the last day');
  for (const day of bits(cadence.nearestWeekdays, 1, 31)) parts.push(`the weekday nearest to day ${day}`);
  if (cadence.nearestWeekdays & 1) parts.push('the last weekday (Monday to Friday)');
  const text = listed(parts);
  if (text === 'every day') return 'on any day of the month';
  return `${text.startsWith('every') ? '' : 'on '}${text} of the month`;
}

/** "every 3 days from day 1" for values like 1, 4, 7, ..: what a step of 3 makes of the days of a month. */
function steppedPhrase(values: readonly number[], low: number, high: number): string | undefined {
  const [first, second] = values;
  if (first === undefined || second === undefined || values.length < 4) return undefined;
  const step = second - first;
  const even = values.every((value, index) => value === first + index * step);
  if (!even || step < 2 || (values.at(-1) ?? 0) + step <= high) return undefined;
  return first === low ? `every ${step} days from day ${first}` : `every ${step} days from day ${first} on`;
}

const ordinalWords = ['last', 'first', 'second', 'third', 'fourth', 'fifth'] as const;

export function weekdayPhrase(cadence: CronCadence): string {
  const days = bits(cadence.weekdays, 0, 6);
  const parts: string[] = [];
  if (days.length === 7) parts.push('every day of the week');
  else if (days.length > 0) parts.push(weekdaysPhrase(days));
  for (const [weekday, which] of cadence.nthWeekdays) parts.push(`the ${ordinalWords[which]} ${weekdayNames[weekday]} of the month`);
  const text = listed(parts);
  return text.startsWith('from') ? text : `on ${text}`;
}

function weekdaysPhrase(days: readonly number[]): string {
  // A week reads from Monday to Sunday.
  const week = days.map((day) => (day === 0 ? 7 : day)).sort((left, right) => left - right);
  const name = (day: number) => weekdayNames[day % 7] ?? '';
  const [first, last] = [week[0] ?? 0, week.at(-1) ?? 0];
  if (week.length > 2 && last - first === week.length - 1) return `from ${name(first)} to ${name(last)}`;
  return `every ${listed(week.map(name))}`;
}

const monthNames = [
  '',
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

function monthPhrase(cadence: CronCadence): string {
  const months = bits(cadence.months, 1, 12);
  if (months.length === 12) return '';
  const [first, last] = [months[0] ?? 0, months.at(-1) ?? 0];
  const range = months.length > 2 && last - first === months.length - 1;
  return ` in ${range ? `${monthNames[first]} to ${monthNames[last]}` : listed(months.map((month) => monthNames[month] ?? ''))}`;
}

function yearPhrase(years: readonly YearSpan[]): string {
  return listed(
    years.map(([from, to, step]) => {
      if (from === step && to === 9999) return `years divisible by ${step}`;
      const steps = step === 1 ? '' : ` in steps of ${step}`;
      if (from === to) return String(from);
      return to === 9999 ? `${from} and later${steps}` : `${from} to ${to}${steps}`;
    }),
  );
}

// Intervals and words

function intervalPhrase(cadence: IntervalCadence): string {
  const length = lengthPhrase(cadence.everyMs, cadence.calendarDays);
  if (cadence.anchor !== undefined) return `every ${length}, counted from ${momentText(cadence.anchor)}`;
  if (!cadence.calendarDays) return `every ${length}`;
  return `every ${length} at 00:00${cadence.everyMs % (7 * dayMs) === 0 ? ', on Mondays' : ''}`;
}

function lengthPhrase(ms: number, calendarDays: boolean): string {
  const units: readonly (readonly [string, number])[] = calendarDays
    ? [[ms % (7 * dayMs) === 0 ? 'week' : 'day', ms % (7 * dayMs) === 0 ? 7 * dayMs : dayMs]]
    : [
        ['hour', 3_600_000],
        ['minute', 60_000],
        ['second', 1000],
        ['millisecond', 1],
      ];
  const parts: string[] = [];
  let rest = ms;
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}${count === 1 ? '' : 's'}`);
  }
  return parts.length === 1 && parts[0]?.startsWith('1 ') ? parts[0].slice(2) : listed(parts);
}

function wordsPhrase(cadence: WordsCadence): string {
  const time = formatTimeOfDay(cadence.secondOfDay * 1000);
  const period = `of ${cadence.period === 'year' ? 'the year' : cadence.period === 'month' ? 'the month' : 'the quarter'}`;
  const { day } = cadence;
  switch (day.kind) {
    case 'business days':
      return `at ${time} on every business day`;
    case 'day':
      return `at ${time} on the ${ordinalWords[day.which]} day ${period}`;
    case 'business day':
      return `at ${time} on the ${ordinalWords[day.which]} business day ${period}`;
    case 'weekday':
      return `at ${time} on the ${ordinalWords[day.which]} ${weekdayNames[day.weekday]} ${period}`;
    default:
      return day satisfies never;
  }
}

// Numbers in words

function bits(mask: number, low: number, high: number): number[] {
  const values: number[] = [];
  for (let value = low; value <= high; value++) if ((mask >>> value) & 1) values.push(value);
  return values;
}

function sixty([low, high]: SixtyBits): number[] {
  return [...bits(low, 0, 29), ...bits(high, 0, 29).map((value) => value + 30)];
}

function numbered(unit: string, values: readonly number[]): string {
  return `${unit}${values.length === 1 ? '' : 's'} ${valuesPhrase(values)}`;
}

/** "1 to 5, 8 and 10": runs of three and more as ranges. */
function valuesPhrase(values: readonly number[]): string {
  const parts: string[] = [];
  for (let index = 0; index < values.length; ) {
    let end = index;
    while (values[end + 1] === (values[end] ?? 0) + 1) end++;
    if (end - index >= 2) {
      parts.push(`${values[index]} to ${values[end]}`);
      index = end + 1;
    } else parts.push(String(values[index++]));
  }
  return listed(parts);
}

function listed(parts: readonly string[]): string {
  if (parts.length < 2) return parts[0] ?? '';
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function clock(hour: number): string {
  return formatTimeOfDay(hour * 3_600_000);
}

// One fire

/** "clocks go forward", "clocks go back", "moved from ..", "refused: ..": empty where there is nothing to say. */
export function note(timing: Timing, fire: Fire): string {
  const zone = zoneNamed(timing.zone);
  const notes: string[] = [];
  zone.seek(fire.nominal);
  // The day of the change is the day somebody looks at twice: the fire that a gap moved, or the one that came or might come twice.
  const { from, until, offset, before, beyond } = zone;
  if (offset > before && fire.nominal < from + offset - before) {
    notes.push(`clocks go forward: ${formatTimeOfDay(clockOf(from + before))} becomes ${formatTimeOfDay(clockOf(from + offset))}`);
  } else if (offset < before && fire.nominal < from + before - offset) {
    notes.push(`clocks go back: the second ${formatTimeOfDay(clockOf(fire.nominal + offset))}`);
  } else if (offset > beyond && fire.nominal >= until - (offset - beyond)) {
    notes.push(`clocks go back: the first ${formatTimeOfDay(clockOf(fire.nominal + offset))}`);
  }
  const { calendar } = timing;
  if (calendar !== undefined) {
    const day = civilDayOf(zone.civilAt(fire.nominal));
    const why = whyFree(calendar, day);
    if (why !== undefined && fire.refused) notes.push(`skipped: ${why}`);
    else if (why !== undefined && (timing.onHoliday === 'next' || timing.onHoliday === 'previous')) notes.push(`moved from ${why}`);
  }
  return notes.join('; ');
}

function clockOf(civilMs: number): number {
  return civilMs - civilDayOf(civilMs) * dayMs;
}
