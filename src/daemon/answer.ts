// The answer of a definition (`name, outcome, changed, next_run, in_words, warnings`) as a sentence, for the modes that people
// read: `daily_backup: created; next run Sat 21 Nov 02:00 CET (in 7h 12m); at 02:00 every day, Europe/Berlin`. The modes that
// programs read get the row itself.

import type { Instant } from '../core/instant.ts';
import type { Column, Row } from '../engine/result.ts';
import { TimestampTz, type Value } from '../engine/value.ts';

/** Whether these are the columns of a definition's answer. */
export function isAnswer(columns: readonly Column[]): boolean {
  return columns[0]?.name === 'name' && columns[1]?.name === 'outcome';
}

export interface SentenceOptions {
  readonly now: Instant;
  /** Where the next run is told. */
  readonly zone: string;
}

export function sentence(columns: readonly Column[], row: Row, { now, zone }: SentenceOptions): string {
  const cell = (name: string): Value => row[columns.findIndex((column) => column.name === name)] ?? null;
  const changed = listed(cell('changed'));
  const nextRun = nextRunOf(columns, row);
  const inWords = cell('in_words');
  const parts = [`${text(cell('name'))}: ${text(cell('outcome'))}${changed.length === 0 ? '' : ` (${changed.join(', ')})`}`];
  if (nextRun !== undefined) parts.push(`next run ${localTime(nextRun, { now, zone })} (${fromNow(nextRun - now)})`);
  if (typeof inWords === 'string' && inWords !== '') parts.push(inWords);
  return parts.join('; ');
}

export function nextRunOf(columns: readonly Column[], row: Row): Instant | undefined {
  const value = row[columns.findIndex((column) => column.name === 'next_run')];
  return value instanceof TimestampTz && value.isFinite ? value.epochMs : undefined;
}

/** The warnings that stand in the row. */
export function warningsOf(columns: readonly Column[], row: Row): readonly string[] {
  return listed(row[columns.findIndex((column) => column.name === 'warnings')] ?? null);
}

/** `Sat 21 Nov 02:00 CET`: seconds where there are some, the year where it is another one. */
export function localTime(instant: Instant, { now, zone }: SentenceOptions): string {
  const parts = partsIn(instant, zone, 'en-GB');
  const seconds = parts.second === '00' ? '' : `:${parts.second}`;
  const year = parts.year === partsIn(now, zone, 'en-GB').year ? '' : ` ${parts.year}`;
  // Only some locales know a zone's own short name: `CET` is British, `EST` American, and where both fail `GMT+9` is right too.
  const american = partsIn(instant, zone, 'en-US').timeZoneName ?? '';
  const name = /^(?:GMT|UTC)[+-]/.test(parts.timeZoneName ?? '') && !/^(?:GMT|UTC)[+-]/.test(american) ? american : parts.timeZoneName;
  return `${parts.weekday} ${parts.day} ${parts.month}${year} ${parts.hour}:${parts.minute}${seconds} ${name}`;
}

function partsIn(instant: Instant, timeZone: string, locale: string): Partial<Record<Intl.DateTimeFormatPartTypes, string>> {
  const format = new Intl.DateTimeFormat(locale, {
    timeZone,
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short',
  });
  return Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
}

/** `in 7h 12m`: the two largest units. */
export function fromNow(ms: number): string {
  if (ms < 1000) return 'now';
  const seconds = Math.round(ms / 1000);
  const units: readonly (readonly [string, number])[] = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  let rest = seconds;
  const parts: string[] = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return `in ${parts.join(' ')}`;
}

/** A list, or text with commas between. */
function listed(value: Value): string[] {
  if (Array.isArray(value)) return value.filter((item) => item !== null).map((item) => String(item));
  return typeof value === 'string' && value !== '' ? [value] : [];
}

function text(value: Value): string {
  return value === null ? '' : String(value);
}
