// The definitions of docs/time.md, done the slow way: list the days, list their times, ask the zone for each what
// instant it is, sort. Nothing here is shared with src/, neither code nor method: days come from Date, offsets from
// formatToParts, fields are sets. It knows every form, options included, and serves the daily proof and the long one.

const dayMs = 86_400_000;

export interface OracleTiming {
  readonly expressions: readonly string[];
  readonly zone: string;
  readonly dstGap: 'default' | 'run' | 'skip';
  readonly dstOverlap: 'default' | 'first' | 'second' | 'both';
  readonly starts?: number;
  readonly ends?: number;
  readonly calendar?: { readonly weekend: readonly number[]; readonly holidays: readonly string[] };
  readonly onHoliday: 'run' | 'skip' | 'next' | 'previous';
}

/** Due instant, its nominal one, and whether the calendar refuses it. */
export interface OracleFire {
  readonly due: number;
  readonly nominal: number;
  readonly refused: boolean;
}

const lastInstant = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Distances looked at, one after the other: near fires are found near, and a leap day is looked for far away. */
const reaches = [2 * 3_600_000, 2 * dayMs, 40 * dayMs, 400 * dayMs, 1500 * dayMs, 4000 * dayMs, 15_000 * dayMs];

/** The first fire due after an instant; undefined: none within forty years. */
export function oracleNext(timing: OracleTiming, after: number): OracleFire | undefined {
  let from = after + 1;
  for (const reach of reaches) {
    const to = Math.min(after + reach, lastInstant);
    if (to < from) return undefined;
    const fires = duesBetween(timing, from, to, 'first');
    if (fires.length > 0) return fires[0];
    from = to + 1;
  }
  return undefined;
}

export function oraclePrevious(timing: OracleTiming, before: number): OracleFire | undefined {
  let to = before - 1;
  for (const reach of reaches) {
    const from = Math.max(before - reach, 0);
    if (to < from) return undefined;
    const fires = duesBetween(timing, from, to, 'last');
    if (fires.length > 0) return fires.at(-1);
    to = from - 1;
  }
  return undefined;
}

export function oracleMatches(timing: OracleTiming, instant: number): boolean {
  return duesBetween(timing, instant, instant, 'first').length > 0;
}

/** Every fire due in [from, to], in order; what is to be moved is listed far around, so a window keeps this short. */
export function oracleBetween(timing: OracleTiming, from: number, to: number): OracleFire[] {
  return duesBetween(timing, from, to, 'all');
}

/** Which end of a row of fires is wanted: the rest of a long row may be left out. */
type End = 'first' | 'last';

/** The fires due in [from, to], in order. */
function duesBetween(timing: OracleTiming, from: number, to: number, end: End | 'all'): OracleFire[] {
  const { calendar, onHoliday, zone } = timing;
  // A move reaches over the longest row of free days that the proofs make.
  const margin = moves(timing) ? 20 * dayMs : 0;
  const nominals = nominalsBetween(timing, from - margin, to + margin, moves(timing) ? 'all' : end);
  if (calendar === undefined || onHoliday === 'run') return nominals.map((nominal) => ({ due: nominal, nominal, refused: false }));
  const free = (date: string) => calendar.weekend.includes(new Date(`${date}T00:00:00Z`).getUTCDay()) || calendar.holidays.includes(date);
  const dateOf = (instant: number) => new Date(instant + offsetAt(zone, instant)).toISOString().slice(0, 10);
  if (onHoliday === 'skip') return nominals.map((nominal) => ({ due: nominal, nominal, refused: free(dateOf(nominal)) }));

  const fires = new Map<number, number>();
  for (const nominal of nominals) {
    const date = dateOf(nominal);
    let due = nominal;
    if (free(date)) {
      let moved = Date.parse(`${date}T00:00:00Z`);
      const time = nominal + offsetAt(zone, nominal) - moved;
      do moved += onHoliday === 'next' ? dayMs : -dayMs;
      while (free(new Date(moved).toISOString().slice(0, 10)));
      due = instantsOf(zone, moved + time, 'run', 'first')[0]!;
    }
    const known = fires.get(due);
    if (known === undefined || Math.abs(nominal - due) < Math.abs(known - due)) fires.set(due, nominal);
  }
  return [...fires]
    .map(([due, nominal]) => ({ due, nominal, refused: false }))
    .filter(({ due }) => due >= from && due <= to)
    .sort((left, right) => left.due - right.due);
}

function moves(timing: OracleTiming): boolean {
  return timing.calendar !== undefined && (timing.onHoliday === 'next' || timing.onHoliday === 'previous');
}

/** The union of the cadences' instants in [from, to] within the window, each once. */
function nominalsBetween(timing: OracleTiming, from: number, to: number, end: End | 'all'): number[] {
  const low = Math.max(from, timing.starts ?? 0, 0);
  const high = Math.min(to, (timing.ends ?? lastInstant + 1) - 1, lastInstant);
  if (high < low) return [];
  const found = new Set<number>();
  for (const expression of timing.expressions)
    for (const instant of instantsBetween(expression, timing, low, high, end)) found.add(instant);
  return [...found].sort((left, right) => left - right);
}

function instantsBetween(expression: string, timing: OracleTiming, low: number, high: number, end: End | 'all'): number[] {
  const every = /^every (\d+)([smhdw])(?: from '([^']+)')?$/.exec(expression);
  if (every !== null) {
    const count = Number(every[1]);
    if (every[2] === 'd' || every[2] === 'w') {
      const anchor = Date.parse(`${(every[3] ?? '2001-01-01 00:00').replace(' ', 'T')}Z`);
      const anchorDay = Math.floor(anchor / dayMs);
      const step = every[2] === 'w' ? count * 7 : count;
      const days = (day: number) => (day - anchorDay) % step === 0 && (every[3] === undefined || day >= anchorDay);
      return fixedInstants(timing, days, () => [anchor - anchorDay * dayMs], low, high, end, false);
    }
    const size = count * { s: 1000, m: 60_000, h: 3_600_000 }[every[2] as 's' | 'm' | 'h'];
    const anchor = instantsOf(timing.zone, Date.parse(`${(every[3] ?? '2001-01-01 00:00').replace(' ', 'T')}Z`), 'run', 'first')[0]!;
    const instants: number[] = [];
    const start = every[3] === undefined ? low : Math.max(low, anchor);
    const last = anchor + Math.floor((high - anchor) / size) * size;
    for (let at = anchor + Math.ceil((start - anchor) / size) * size; at <= high; at += size) {
      instants.push(at);
      if (end !== 'all' && at < last) at = last - size;
    }
    return instants;
  }
  const once = /^at '([^']+)'$/.exec(expression);
  if (once !== null) {
    const civil = Date.parse(`${once[1]!.replace(' ', 'T')}Z`);
    return fixedInstants(
      timing,
      (day) => day === Math.floor(civil / dayMs),
      () => [civil % dayMs],
      low,
      high,
      end,
      false,
    );
  }
  const words = /^(.*) at (\d\d):(\d\d)(?::(\d\d))?$/.exec(expression);
  if (words !== null) {
    const time = (Number(words[2]) * 3600 + Number(words[3]) * 60 + Number(words[4] ?? 0)) * 1000;
    return fixedInstants(
      timing,
      (day) => wordsMatch(words[1]!, day, timing),
      () => [time],
      low,
      high,
      end,
      false,
    );
  }
  const cron = readCron(expression);
  const times = (first: number, last: number) => cronTimes(cron, first, last);
  return fixedInstants(timing, (day) => cronDayMatches(cron, day), times, low, high, end, cron.realTime);
}

/** Days that match, times of the day that match, and what the zone makes of each pair. */
function fixedInstants(
  timing: OracleTiming,
  matches: (day: number) => boolean,
  times: (firstMs: number, lastMs: number) => number[],
  low: number,
  high: number,
  end: End | 'all',
  realTime: boolean,
): number[] {
  const gap = timing.dstGap === 'default' ? (realTime ? 'skip' : 'run') : timing.dstGap;
  const overlap = timing.dstOverlap === 'default' ? (realTime ? 'both' : 'first') : timing.dstOverlap;
  const offsets = segmentsAround(timing.zone, low, high).map((segment) => segment.offset);
  const firstCivil = low + Math.min(...offsets);
  const lastCivil = high + Math.max(...offsets);
  const found: number[] = [];
  const firstDay = Math.floor(firstCivil / dayMs);
  const lastDay = Math.floor(lastCivil / dayMs);
  let foundOn: number | undefined;
  for (let index = 0; index <= lastDay - firstDay; index++) {
    const day = end === 'last' ? lastDay - index : firstDay + index;
    // Clock changes disturb the order of readings by a day at most.
    if (end !== 'all' && foundOn !== undefined && Math.abs(day - foundOn) > 3) break;
    if (!matches(day)) continue;
    for (const time of times(firstCivil - day * dayMs, lastCivil - day * dayMs)) {
      for (const instant of instantsOf(timing.zone, day * dayMs + time, gap, overlap)) {
        if (instant < low || instant > high) continue;
        foundOn ??= day;
        found.push(instant);
      }
    }
  }
  return found;
}

// Cron

interface OracleCron {
  readonly seconds: ReadonlySet<number>;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly dayField: string;
  readonly months: ReadonlySet<number>;
  readonly weekdayField: string;
  readonly yearField: string;
  readonly realTime: boolean;
}

const crons = new Map<string, OracleCron>();

function readCron(expression: string): OracleCron {
  const known = crons.get(expression);
  if (known !== undefined) return known;
  if (crons.size > 10_000) crons.clear();
  const fields = expression.toUpperCase().split(' ');
  if (fields.length === 5) fields.unshift('0');
  const cron: OracleCron = {
    seconds: plainSet(fields[0]!, 0, 59),
    minutes: plainSet(fields[1]!, 0, 59),
    hours: plainSet(fields[2]!, 0, 23),
    dayField: fields[3]!,
    months: plainSet(fields[4]!, 1, 12, monthNames),
    weekdayField: fields[5]!,
    yearField: fields[6] ?? '*',
    realTime: /^[*?]/.test(fields[1]!) || /^[*?]/.test(fields[2]!),
  };
  crons.set(expression, cron);
  return cron;
}

const monthNames = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const weekdayNames = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

function plainSet(field: string, low: number, high: number, names: readonly string[] = []): Set<number> {
  const values = new Set<number>();
  const number = (word: string) => (names.includes(word) ? names.indexOf(word) + (names === monthNames ? 1 : 0) : Number(word));
  for (const piece of field.split(',')) {
    const [range = '', step] = piece.split('/');
    const [first = '', last] = range.split('-');
    const star = range === '*' || range === '?';
    const from = star ? low : number(first);
    const to = star || (step !== undefined && last === undefined) ? high : number(last ?? first);
    for (let value = from; value <= to; value += Number(step ?? 1)) values.add(value);
  }
  return values;
}

const sets = new Map<string, Set<number>>();

function rememberedSet(piece: string, low: number, high: number, names?: readonly string[]): Set<number> {
  const key = `${high} ${piece}`;
  const known = sets.get(key);
  if (known !== undefined) return known;
  if (sets.size > 10_000) sets.clear();
  const values = plainSet(piece, low, high, names);
  sets.set(key, values);
  return values;
}

function cronTimes(cron: OracleCron, firstMs: number, lastMs: number): number[] {
  const times: number[] = [];
  for (const hour of cron.hours) {
    if ((hour + 1) * 3_600_000 <= firstMs || hour * 3_600_000 > lastMs) continue;
    for (const minute of cron.minutes) {
      const start = hour * 3_600_000 + minute * 60_000;
      if (start + 60_000 <= firstMs || start > lastMs) continue;
      for (const second of cron.seconds) times.push(start + second * 1000);
    }
  }
  return times;
}

function cronDayMatches(cron: OracleCron, day: number): boolean {
  const date = new Date(day * dayMs);
  const year = date.getUTCFullYear();
  const month = date.getUTCMonth() + 1;
  if (!cron.months.has(month) || !yearMatches(cron.yearField, year)) return false;
  const plus = cron.weekdayField.startsWith('+');
  const weekdayField = plus ? cron.weekdayField.slice(1) : cron.weekdayField;
  const byDay = () => cron.dayField.split(',').some((piece) => dayPieceMatches(piece, date));
  const byWeekday = () => weekdayField.split(',').some((piece) => weekdayPieceMatches(piece, date));
  const dayFree = cron.dayField === '*' || cron.dayField === '?';
  const weekdayFree = weekdayField === '*' || weekdayField === '?';
  if (plus) return byDay() && byWeekday();
  if (dayFree && weekdayFree) return true;
  if (dayFree) return byWeekday();
  if (weekdayFree) return byDay();
  return byDay() || byWeekday();
}

function lastOfMonth(date: Date): number {
  return new Date(Date.UTC(2000 + (date.getUTCFullYear() % 400), date.getUTCMonth() + 1, 0)).getUTCDate();
}

function dayPieceMatches(piece: string, date: Date): boolean {
  const today = date.getUTCDate();
  const last = lastOfMonth(date);
  if (piece === 'L' || piece === '$') return today === last;
  const nearest = /^(L|\d+)W$/.exec(piece);
  if (nearest !== null) {
    const target = nearest[1] === 'L' ? last : Number(nearest[1]);
    if (target > last) return false;
    // Of the month's weekdays, the one nearest to the target; a Saturday is nearest to its Friday, a Sunday to its Monday.
    const weekday = (day: number) => new Date(date.getTime() + (day - today) * dayMs).getUTCDay();
    const workdays = Array.from({ length: last }, (_, index) => index + 1).filter((day) => weekday(day) % 6 !== 0);
    const best = workdays.reduce((left, right) => (Math.abs(right - target) < Math.abs(left - target) ? right : left));
    return today === best;
  }
  return rememberedSet(piece, 1, 31).has(today);
}

function weekdayPieceMatches(piece: string, date: Date): boolean {
  const weekday = date.getUTCDay();
  const nth = /^(.+)#([1-5L])$/.exec(piece) ?? /^(\d|[A-Z]{3})(L)$/.exec(piece);
  if (nth !== null) {
    const wanted = weekdayNames.includes(nth[1]!) ? weekdayNames.indexOf(nth[1]!) : Number(nth[1]) % 7;
    if (weekday !== wanted) return false;
    if (nth[2] === 'L') return date.getUTCDate() + 7 > lastOfMonth(date);
    return Math.ceil(date.getUTCDate() / 7) === Number(nth[2]);
  }
  const values = rememberedSet(piece, 0, 7, weekdayNames);
  return values.has(weekday) || (weekday === 0 && values.has(7));
}

function yearMatches(field: string, year: number): boolean {
  if (field === '*') return true;
  return field.split(',').some((piece) => {
    const divisor = /^[*?]\/(\d+)$/.exec(piece);
    if (divisor !== null) return year % Number(divisor[1]) === 0;
    if (piece === '*' || piece === '?') return true;
    const [range = '', step] = piece.split('/');
    const [first, last] = range.split('-').map(Number) as [number, number | undefined];
    const to = last ?? (step === undefined ? first : 9999);
    return year >= first && year <= to && (year - first) % Number(step ?? 1) === 0;
  });
}

// Calendar words

function wordsMatch(words: string, day: number, timing: OracleTiming): boolean {
  const calendar = timing.calendar ?? { weekend: [0, 6], holidays: [] };
  const business = (date: Date) =>
    !calendar.weekend.includes(date.getUTCDay()) && !calendar.holidays.includes(date.toISOString().slice(0, 10));
  const date = new Date(day * dayMs);
  if (words === 'business days') return business(date);
  const edge = /^(month|quarter|year) (start|end)$/.exec(words);
  const [, ordinal, noun, period] =
    edge !== null ? ['', edge[2] === 'start' ? 'first' : 'last', 'day', edge[1]] : /^(\w+) (.+) of (month|quarter|year)$/.exec(words)!;
  const year = date.getUTCFullYear();
  const month = date.getUTCMonth();
  const [firstMonth, months] = { month: [month, 1], quarter: [month - (month % 3), 3], year: [0, 12] }[period as 'month'] as [
    number,
    number,
  ];
  const weekday = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'].indexOf(noun!);
  if (weekday >= 0 && weekday !== date.getUTCDay()) return false;
  const days: Date[] = [];
  for (let at = Date.UTC(year, firstMonth, 1); at < Date.UTC(year, firstMonth + months, 1); at += dayMs) {
    const candidate = new Date(at);
    if (noun === 'day' || (noun === 'business day' && business(candidate)) || weekday === candidate.getUTCDay()) days.push(candidate);
  }
  const index = ['first', 'second', 'third', 'fourth', 'fifth'].indexOf(ordinal!);
  return (ordinal === 'last' ? days.at(-1) : days[index])?.getTime() === date.getTime();
}

// Zones

interface Segment {
  readonly from: number;
  readonly until: number;
  readonly offset: number;
  readonly before: number;
}

/** What instants a reading of the zone's clock is: by the definition of the gap and of the overlap. */
function instantsOf(zone: string, civil: number, gap: 'run' | 'skip', overlap: 'first' | 'second' | 'both'): number[] {
  const segments = segmentsAround(zone, civil - 2 * dayMs, civil + 2 * dayMs);
  const exact: number[] = [];
  for (const segment of segments) {
    const at = civil - segment.offset;
    if (at >= segment.from && at < segment.until) exact.push(at);
  }
  if (exact.length === 1 || (exact.length > 1 && overlap === 'both')) return exact;
  if (exact.length > 1) return overlap === 'first' ? [exact[0]!] : [exact.at(-1)!];
  if (gap === 'skip') return [];
  const after = segments.find((segment) => civil >= segment.from + segment.before && civil < segment.from + segment.offset);
  return after === undefined ? [] : [civil - after.before];
}

let lastAsked: { zone: string; from: number; to: number; segments: Segment[] } | undefined;

function segmentsAround(zone: string, from: number, to: number): Segment[] {
  if (lastAsked !== undefined && lastAsked.zone === zone && from >= lastAsked.from && to <= lastAsked.to) {
    return lastAsked.segments;
  }
  const wideFrom = from - 4 * dayMs;
  const wideTo = to + 4 * dayMs;
  const changes: Change[] = [];
  for (let year = new Date(wideFrom).getUTCFullYear(); year <= new Date(wideTo).getUTCFullYear(); year++)
    changes.push(...changesOf(zone, year));
  const inside = changes.filter((change) => change.at > wideFrom && change.at <= wideTo);
  const first = offsetAt(zone, wideFrom);
  const segments: Segment[] = [];
  let start = Number.NEGATIVE_INFINITY;
  let before = first;
  let offset = first;
  for (const change of inside) {
    segments.push({ from: start, until: change.at, offset, before });
    start = change.at;
    before = change.before;
    offset = change.after;
  }
  segments.push({ from: start, until: Number.POSITIVE_INFINITY, offset, before });
  lastAsked = { zone, from: wideFrom + dayMs, to: wideTo - dayMs, segments };
  return segments;
}

interface Change {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

const changesByYear = new Map<string, Change[]>();

/** Every change in a year: every third day is asked, and where two differ the instant is bisected. No zone changed twice in a week. */
export function changesOf(zone: string, year: number): Change[] {
  const key = `${zone} ${year}`;
  const known = changesByYear.get(key);
  if (known !== undefined) return known;
  const changes: Change[] = [];
  const end = Date.UTC(year + 1, 0, 1);
  let before = askedOffset(zone, Date.UTC(year, 0, 1));
  for (let day = Date.UTC(year, 0, 1); day < end; day += 3 * dayMs) {
    let low = day;
    let high = Math.min(day + 3 * dayMs, end);
    const after = askedOffset(zone, high);
    if (after === before) continue;
    while (high - low > 1000) {
      const middle = low + Math.floor((high - low) / 2000) * 1000;
      if (askedOffset(zone, middle) === before) low = middle;
      else high = middle;
    }
    changes.push({ at: high, before, after });
    before = after;
  }
  changesByYear.set(key, changes);
  return changes;
}

function offsetAt(zone: string, instant: number): number {
  const year = new Date(instant).getUTCFullYear();
  const changes = changesOf(zone, year);
  let offset: number | undefined;
  for (const change of changes) if (change.at <= instant) offset = change.after;
  return offset ?? changes[0]?.before ?? yearOffset(zone, year);
}

const yearOffsets = new Map<string, number>();

function yearOffset(zone: string, year: number): number {
  const key = `${zone} ${year}`;
  let offset = yearOffsets.get(key);
  if (offset === undefined) {
    offset = askedOffset(zone, Date.UTC(year, 5, 1));
    yearOffsets.set(key, offset);
  }
  return offset;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function askedOffset(zone: string, instant: number): number {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    formats.set(zone, format);
  }
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(instant)) part[type] = Number(value);
  return (
    Date.UTC(part['year']!, part['month']! - 1, part['day']!, part['hour']!, part['minute']!, part['second']!) -
    Math.floor(instant / 1000) * 1000
  );
}
