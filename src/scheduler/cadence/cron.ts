// A cron expression, read and compiled: every field is a bit mask or a short list of numbers, so that a stored schedule is
// loaded without parsing and evaluated without allocation.
//
// The dialect is the Open Cron Pattern Specification 1.4 plus `n/step` and pg_cron's `$`. cron-parser turns the standard
// pieces into values. This file stands around it: it finds the fields and their places, checks each piece (cron-parser takes
// `MON5` for 15, `*#1`, `H` and steps beyond the range), and reads what cron-parser does not know: W, LW, +, #L, several
// special pieces in one list, values named twice, the year.

import { createRequire } from 'node:module';
import type * as CronParser from 'cron-parser';
import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { CronDays, MonthlyDays } from './pattern.ts';

/** Bits 0..29 and 30..59 of a minute or second field; thirty bits stay small integers in every engine. */
export type SixtyBits = readonly [low: number, high: number];

/** Years `from`, `from + step`, .. up to `to`. */
export type YearSpan = readonly [from: number, to: number, step: number];

export interface CronCadence {
  readonly kind: 'cron';
  readonly version: 1;
  /** Canonical text in the standard dialect: parsing it gives this value again. */
  readonly text: string;
  readonly seconds: SixtyBits;
  readonly minutes: SixtyBits;
  /** Bits 0..23. */
  readonly hours: number;
  /** Bits 1..31; bit 0 is `L`, the last day of the month. */
  readonly days: number;
  /** `nW`, the weekday nearest to day n, in bits 1..31; bit 0 is `LW`. */
  readonly nearestWeekdays: number;
  /** Bits 1..12. */
  readonly months: number;
  /** Bits 0 (Sunday) .. 6. */
  readonly weekdays: number;
  /** `1#2`, `MON#L`: [weekday, which], `which` 1..5 or 0 for the last. */
  readonly nthWeekdays: readonly (readonly [weekday: number, which: number])[];
  /** Absent: every year. */
  readonly years?: readonly YearSpan[];
  /** Which of the two day fields decide: `either` and `both` only where both are restricted. */
  readonly dayRule: 'every' | 'day' | 'weekday' | 'either' | 'both';
  /** The minute or hour field begins with `*`: it follows real time through clock changes. */
  readonly realTime: boolean;
}

type FieldName = 'second' | 'minute' | 'hour' | 'day of month' | 'month' | 'weekday' | 'year';

interface FieldKind {
  readonly name: FieldName;
  readonly low: number;
  readonly high: number;
  readonly legal: string;
  readonly names?: readonly string[];
}

const kinds = {
  second: { name: 'second', low: 0, high: 59, legal: '0-59' },
  minute: { name: 'minute', low: 0, high: 59, legal: '0-59' },
  hour: { name: 'hour', low: 0, high: 23, legal: '0-23' },
  day: { name: 'day of month', low: 1, high: 31, legal: '1-31, L (last day), LW, 15W' },
  month: {
    name: 'month',
    low: 1,
    high: 12,
    legal: '1-12 or JAN-DEC',
    names: ['', 'JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'],
  },
  weekday: {
    name: 'weekday',
    low: 0,
    high: 7,
    legal: '0-7 (0 and 7 are Sunday) or SUN-SAT, 1#1, FRIL',
    names: ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'],
  },
  year: { name: 'year', low: 1, high: 9999, legal: '1-9999' },
} as const satisfies Record<string, FieldKind>;

/** A field or one piece of its list, with its place in the text that was given. */
interface Piece {
  readonly text: string;
  readonly start: number;
}

const aliases: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

/** Throws a Diagnostic whose span lies in `text`. */
export function parseAlias(text: string): CronCadence {
  const trimmed = text.trim();
  const alias = trimmed.toLowerCase();
  const expression = aliases[alias];
  if (expression !== undefined) return { ...parseCron(expression, 'standard'), text: alias };
  const every = /^@every\s+(.+)$/i.exec(trimmed);
  const start = text.length - text.trimStart().length;
  throw new Diagnostic('invalid_cadence', `'${trimmed}' is not an alias`, {
    span: { start, end: start + trimmed.length },
    hint: every === null ? `aliases: ${Object.keys(aliases).join(' ')} @reboot` : `did you mean \`every ${every[1]}\`?`,
  });
}

/** Throws a Diagnostic whose span lies in `text`. */
export function parseCron(text: string, dialect: 'standard' | 'pg_cron'): CronCadence {
  const fields = [...text.matchAll(/\S+/g)].map((match): Piece => ({ text: match[0].toUpperCase(), start: match.index }));
  if (fields.length < 5 || fields.length > 7) throw wrongCount(text, fields);
  const noSecond: Piece = { text: '0', start: 0 };
  const [second, minute, hour, day, month, weekdayField, year] = (fields.length === 5 ? [noSecond, ...fields] : fields) as [
    Piece,
    Piece,
    Piece,
    Piece,
    Piece,
    Piece,
    Piece | undefined,
  ];
  const plus = weekdayField.text.startsWith('+');
  const weekday = plus ? { text: weekdayField.text.slice(1), start: weekdayField.start + 1 } : weekdayField;
  if (weekday.text === '') throw wrong(weekdayField, "a '+' stands alone", 'write the weekday behind it: 1-7 * +MON');
  const both = plus || (dialect === 'pg_cron' && isRestricted(day) && isRestricted(weekday) && (isStarred(day) || isStarred(weekday)));

  const days = readDays(day);
  const weekdays = readWeekdays(weekday);
  const standard = [
    checked(second, kinds.second),
    checked(minute, kinds.minute),
    checked(hour, kinds.hour),
    days.standard,
    checked(month, kinds.month),
    weekdays.standard,
  ] as const;
  const values = valuesOf(standard);
  const years = year === undefined || year.text === '*' || year.text === '?' ? undefined : readYears(year);

  const cadence: CronCadence = {
    kind: 'cron',
    version: 1,
    text: [...fields.slice(0, fields.length === 5 ? 4 : 5), { text: `${both ? '+' : ''}${weekday.text}` }, ...fields.slice(6)]
      .map((field) => field.text.replaceAll('$', 'L'))
      .join(' '),
    seconds: sixtyBits(values[0]),
    minutes: sixtyBits(values[1]),
    hours: bitsOf(values[2]),
    days: days.standard === '' ? days.bits : days.bits | bitsOf(values[3]),
    nearestWeekdays: days.nearestWeekdays,
    months: bitsOf(values[4]),
    weekdays: weekdays.standard === '' ? 0 : sundayOnce(bitsOf(values[5])),
    nthWeekdays: weekdays.nthWeekdays,
    ...(years === undefined ? {} : { years }),
    dayRule: dayRuleOf(isRestricted(day), isRestricted(weekday), both),
    realTime: isStarred(minute) || isStarred(hour),
  };
  refuseNever(cadence, fields, text);
  return cadence;
}

function dayRuleOf(day: boolean, weekday: boolean, both: boolean): CronCadence['dayRule'] {
  if (day && weekday) return both ? 'both' : 'either';
  if (day) return 'day';
  return weekday ? 'weekday' : 'every';
}

/** Neither exactly `*` nor `?`. */
function isRestricted(field: Piece): boolean {
  return field.text !== '*' && field.text !== '?';
}

function isStarred(field: Piece): boolean {
  return field.text.startsWith('*') || field.text.startsWith('?');
}

// The pieces of a list

function piecesOf(field: Piece): Piece[] {
  const pieces: Piece[] = [];
  let start = field.start;
  for (const text of field.text.split(',')) {
    if (text === '')
      throw wrong(field, `the ${field.text === ',' ? 'list' : `list '${field.text}'`} has an empty place`, 'remove the extra comma');
    pieces.push({ text, start });
    start += text.length + 1;
  }
  return pieces;
}

/** The field as it may be given to cron-parser: every piece is a value, a range or `*`, each with or without a step. */
function checked(field: Piece, kind: FieldKind): string {
  for (const piece of piecesOf(field)) checkPiece(piece, kind);
  return field.text;
}

const pieceForm = /^(?:([*?])|([0-9A-Z]+)(?:-([0-9A-Z]+))?)(?:\/([0-9]+))?$/;

function checkPiece(piece: Piece, kind: FieldKind): void {
  const match = pieceForm.exec(piece.text);
  if (match === null) throw unreadable(piece, kind);
  const [, , first, last, step] = match;
  const from = first === undefined ? kind.low : valueIn({ text: first, start: piece.start }, kind, piece);
  if (last !== undefined) {
    const to = valueIn({ text: last, start: piece.start + (first?.length ?? 0) + 1 }, kind, piece);
    if (from > to) throw wrong(piece, `the range ${piece.text} runs backwards`, backwards(first ?? '', last, kind));
  }
  if (step !== undefined) {
    const steps = Number(step);
    const place = { text: step, start: piece.start + piece.text.length - step.length };
    const longest = kind.high;
    if (steps < 1 || steps > longest) {
      throw wrong(place, `step ${step} is outside 1-${longest} for the ${kind.name}`, stepIntent(piece, steps, kind));
    }
  }
}

function valueIn(word: Piece, kind: FieldKind, piece: Piece): number {
  if (/^[0-9]+$/.test(word.text)) {
    const value = Number(word.text);
    if (value >= kind.low && value <= kind.high) return value;
    throw wrong(word, `${kind.name} ${word.text} is outside ${kind.low}-${kind.high}`, valueIntent(value, kind));
  }
  const index = kind.names?.indexOf(word.text) ?? -1;
  if (index >= 0 && word.text !== '') return index;
  throw unreadable(word.text === piece.text ? piece : word, kind);
}

function unreadable(piece: Piece, kind: FieldKind): Diagnostic {
  return wrong(piece, `'${piece.text}' is not a ${kind.name}`, intentOf(piece.text, kind));
}

function intentOf(text: string, kind: FieldKind): string {
  const legal = `legal: ${kind.legal}, lists a,b, ranges a-b, steps */n`;
  const name = kind.names?.find((known) => known !== '' && text.startsWith(known));
  if (name !== undefined && /^[A-Z]+$/.test(text)) return `did you mean ${name}?`;
  if (/^H(?:\b|\(|\/)/.test(text)) return `H is Jenkins' own; pick a value, or spread schedules with jitter. ${legal}`;
  if (/^-\d/.test(text)) return `values are not negative. ${legal}`;
  if (/[LW$]/.test(text) && kind.name !== 'day of month' && kind.name !== 'weekday') {
    return `L and W belong to the day of month and the weekday. ${legal}`;
  }
  if (/^[A-Z]{3}/.test(text)) {
    if (kind.name !== 'weekday' && kinds.weekday.names.some((known) => known === text.slice(0, 3)))
      return `weekdays stand in the last field of five. ${legal}`;
    if (kind.name !== 'month' && kinds.month.names.some((known) => known === text.slice(0, 3)))
      return `months stand in the fourth field of five. ${legal}`;
  }
  return legal;
}

function valueIntent(value: number, kind: FieldKind): string {
  if (kind.name === 'hour' && value === 24) return 'midnight is hour 0';
  if ((kind.name === 'minute' || kind.name === 'second') && value === 60)
    return `the full ${kind.name === 'minute' ? 'hour' : 'minute'} is 0`;
  if (kind.name === 'hour' && value <= 59) return `legal: ${kind.legal}; the minute stands first, then the hour`;
  if (kind.name === 'month' && value === 0) return 'months count from 1';
  if (kind.name === 'day of month' && value === 0) return 'days count from 1; the last day is L';
  return `legal: ${kind.legal}`;
}

function stepIntent(piece: Piece, step: number, kind: FieldKind): string {
  if (step === 0) return `a step counts from 1: */5`;
  const unit =
    kind.name === 'second'
      ? 's'
      : kind.name === 'minute'
        ? 'm'
        : kind.name === 'hour'
          ? 'h'
          : kind.name === 'day of month'
            ? 'd'
            : undefined;
  const plain = `a step beyond the range would match '${piece.text.startsWith('*') || piece.text.startsWith('?') ? kind.low : piece.text.split(/[-/]/)[0]}' alone`;
  return unit === undefined ? plain : `${plain}; for a fixed distance write \`every ${step}${unit}\``;
}

function backwards(first: string, last: string, kind: FieldKind): string {
  if (kind.name === 'weekday' && (last === 'SUN' || last === '0')) return `Sunday at the end is 7: ${first}-7`;
  return `ranges rise; write ${first}-${kind.high},${kind.low}-${last}`;
}

// What cron-parser does not know

function readDays(field: Piece): { standard: string; bits: number; nearestWeekdays: number } {
  const standard: string[] = [];
  let bits = 0;
  let nearestWeekdays = 0;
  for (const piece of piecesOf(field)) {
    const nearest = /^([0-9]+)W$/.exec(piece.text);
    if (piece.text === 'L' || piece.text === '$') bits |= 1;
    else if (piece.text === 'LW') nearestWeekdays |= 1;
    else if (nearest !== null) nearestWeekdays |= 1 << valueIn({ text: nearest[1] ?? '', start: piece.start }, kinds.day, piece);
    else if (/^L-\d+$/.test(piece.text))
      throw wrong(piece, `'${piece.text}' is not in this dialect`, 'days before the last vary; L is the last day, LW the last weekday');
    else if (/W/.test(piece.text))
      throw wrong(piece, `'${piece.text}' is not a day of month`, 'W belongs to one day, as in 15W or LW; it takes no range and no step');
    else {
      checkPiece(piece, kinds.day);
      standard.push(piece.text);
    }
  }
  return { standard: standard.join(','), bits, nearestWeekdays };
}

function readWeekdays(field: Piece): { standard: string; nthWeekdays: CronCadence['nthWeekdays'] } {
  const standard: string[] = [];
  const nthWeekdays: (readonly [number, number])[] = [];
  for (const piece of piecesOf(field)) {
    const nth = /^([0-9A-Z]+)#([0-9A-Z]+)$/.exec(piece.text);
    const last = nth === null ? /^([0-9]+|[A-Z]{3})L$/.exec(piece.text) : null;
    if (piece.text === 'L')
      throw wrong(piece, "a weekday 'L' alone is unclear", 'write 6 for Saturday, or FRIL for the last Friday of the month');
    if (nth !== null) {
      const [, word = '', which = ''] = nth;
      const weekday = valueIn({ text: word, start: piece.start }, kinds.weekday, piece) % 7;
      if (which !== 'L' && !/^[1-5]$/.test(which)) {
        throw wrong(
          { text: which, start: piece.start + word.length + 1 },
          `'#${which}' is outside #1-#5`,
          `legal: ${word}#1 to ${word}#5, or ${word}#L for the last`,
        );
      }
      nthWeekdays.push([weekday, which === 'L' ? 0 : Number(which)]);
    } else if (last !== null) {
      nthWeekdays.push([valueIn({ text: last[1] ?? '', start: piece.start }, kinds.weekday, piece) % 7, 0]);
    } else if (/#/.test(piece.text)) {
      throw wrong(piece, `'${piece.text}' is not a weekday`, '# belongs to one weekday, as in 1#1 or MON#L');
    } else {
      checkPiece(piece, kinds.weekday);
      standard.push(piece.text);
    }
  }
  return { standard: standard.join(','), nthWeekdays };
}

function readYears(field: Piece): YearSpan[] {
  return piecesOf(field).map((piece): YearSpan => {
    checkPiece(piece, kinds.year);
    const [, star, first = '', last, step] = pieceForm.exec(piece.text) ?? [];
    const steps = step === undefined ? 1 : Number(step);
    // `*/n` are the years divisible by n, which is what counting from the year 0 gives.
    if (star !== undefined) return [steps, 9999, steps];
    const to = last === undefined ? (step === undefined ? Number(first) : 9999) : Number(last);
    return [Number(first), to, steps];
  });
}

// Values

type Standard = readonly [second: string, minute: string, hour: string, day: string, month: string, weekday: string];
type Values = readonly [number[], number[], number[], number[], number[], number[]];

/** Every piece is known to be legal here, so what cron-parser still refuses is a value named twice or a date like 31 2. */
function valuesOf(standard: Standard): Values {
  const all = standard.map((field) => (field === '' ? '*' : field));
  try {
    return fieldsOf(all);
  } catch {
    return all.map((field, index) => [
      ...new Set(field.split(',').flatMap((piece) => fieldsOf(all.map((_other, at) => (at === index ? piece : '*')))[index] ?? [])),
    ]) as unknown as Values;
  }
}

const require = createRequire(import.meta.url);

function fieldsOf(fields: readonly string[]): Values {
  // Not imported: with the library of dates that it brings along it costs 15 ms of every start, and most starts read no cron.
  const { CronExpressionParser } = require('cron-parser') as typeof CronParser;
  const { second, minute, hour, dayOfMonth, month, dayOfWeek } = CronExpressionParser.parse(fields.join(' ')).fields;
  return [second, minute, hour, dayOfMonth, month, dayOfWeek].map((field) => [...field.values].map(Number)) as unknown as Values;
}

function bitsOf(values: readonly number[]): number {
  return values.reduce((bits, value) => bits | (1 << value), 0);
}

function sixtyBits(values: readonly number[]): SixtyBits {
  return [bitsOf(values.filter((value) => value < 30)), bitsOf(values.filter((value) => value >= 30).map((value) => value - 30))];
}

/** 7 is Sunday, which is 0. */
function sundayOnce(bits: number): number {
  return (bits | (bits >>> 7)) & 127;
}

// What is wrong as a whole

function wrong(piece: Piece, message: string, hint: string): Diagnostic {
  return new Diagnostic('invalid_cadence', message, { span: { start: piece.start, end: piece.start + piece.text.length }, hint });
}

function wrongCount(text: string, fields: readonly Piece[]): Diagnostic {
  const start = fields[0]?.start ?? 0;
  const extra = fields[7];
  const span: Span = extra === undefined ? { start, end: text.trimEnd().length } : { start: extra.start, end: text.trimEnd().length };
  const order = 'a cron has 5 fields (minute hour day month weekday), 6 with seconds first, 7 with a year last';
  const hint = fields.length === 4 ? `${order}; did you mean '${text.trim()} *'?` : order;
  return new Diagnostic('invalid_cadence', `'${text.trim()}' has ${fields.length} field${fields.length === 1 ? '' : 's'}`, { span, hint });
}

/** 31 February. A year that is past is another matter: it was possible once, and is accepted. */
function refuseNever(cadence: CronCadence, fields: readonly Piece[], text: string): void {
  // Only a day of the month can be missing from a month, and only `both` can ask for days that never meet.
  if (cadence.dayRule === 'every' || cadence.dayRule === 'weekday' ? cadence.years === undefined : false) return;
  if (new MonthlyDays(new CronDays(cadence)).atOrAfter(firstDay) !== Number.POSITIVE_INFINITY) return;
  const day = fields[fields.length === 5 ? 2 : 3];
  const last = fields.at(-1);
  const span =
    day === undefined || last === undefined ? { start: 0, end: text.length } : { start: day.start, end: last.start + last.text.length };
  throw new Diagnostic('never_fires', `'${text.trim()}' can never fire: no date is '${text.slice(span.start, span.end)}'`, {
    span,
    hint: 'the last day of every month is L: 0 0 L * *',
  });
}

/** 0001-01-01. */
const firstDay = -719_162;
