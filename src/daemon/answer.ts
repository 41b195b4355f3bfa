// The rows of an answer as sentences, for the modes that people read; programs get the rows themselves.
//
//   daily_backup: created; next run Sat 21 Nov 02:00 CET (in 7h 12m); at 02:00 every day, Europe/Berlin
//   daily_backup: succeeded in 12 ms; 3 rows changed

import type { Instant } from '../core/instant.ts';
import type { Column, Row } from '../engine/result.ts';
import { TimestampTz, type Value } from '../engine/value.ts';
import { type FinishedRun, nameOf } from '../scheduler/run.ts';
import { folded, oneLine, truncated, widthOf } from './render/terminalText.ts';

/** Of a result's JSON. */
const shownResult = 160;

export interface SentenceOptions {
  readonly now: Instant;
  /** Where the next run is told. */
  readonly zone: string;
}

/** Of a definition: `name, outcome, changed, next_run, in_words, warnings`, or the first two of them. */
export function sentence(columns: readonly Column[], row: Row, { now, zone }: SentenceOptions): string {
  const cell = (name: string): Value => cellOf(columns, row, name);
  const changed = listed(cell('changed'));
  const nextRun = nextRunOf(columns, row);
  const inWords = cell('in_words');
  const parts = [`${text(cell('name'))}: ${text(cell('outcome'))}${changed.length === 0 ? '' : ` (${changed.join(', ')})`}`];
  if (nextRun !== undefined) parts.push(`next run ${localTime(nextRun, { now, zone })} (${fromNow(nextRun - now)})`);
  if (typeof inWords === 'string' && inWords !== '') parts.push(inWords);
  return parts.join('; ');
}

/** Of a run that has ended. Without an id it was a dry run. */
export function runSentence(columns: readonly Column[], row: Row): string {
  const cell = (name: string): Value => cellOf(columns, row, name);
  const [duration, changed] = [cell('duration_ms'), cell('rows_changed')];
  const told = endSentence({
    // RUN PIPELINE has no schedule.
    name: text(cell('schedule') ?? cell('pipeline')),
    state: text(cell('state')),
    reason: cell('reason') === null ? null : text(cell('reason')),
    durationMs: duration === null ? null : Number(duration),
    rowsChanged: changed === null ? null : Number(changed),
    result: cell('result') === null ? null : text(cell('result')),
  });
  return cell('run_id') === null ? `${told}; a dry run: rolled back` : told;
}

/** The same of one whose end has just been heard of. */
export function finishedSentence(run: FinishedRun): string {
  return endSentence({ ...run, name: nameOf(run), result: run.result === null ? null : JSON.stringify(run.result) });
}

interface RunEnd {
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly durationMs: number | null;
  readonly rowsChanged: number | null;
  readonly result: string | null;
}

function endSentence({ name, state, reason, durationMs, rowsChanged, result }: RunEnd): string {
  // What ran is told in whole milliseconds: the clock of history has no finer ones.
  const took = state === 'succeeded' && durationMs !== null ? ` in ${timeText(Math.max(1, Math.round(durationMs)), 0)}` : '';
  const parts = [`${name}: ${state.replaceAll('_', ' ')}${took}`];
  if (reason !== null) parts.push(reason);
  if (rowsChanged !== null && (result === null || rowsChanged > 0))
    parts.push(`${rowsChanged} ${rowsChanged === 1 ? 'row' : 'rows'} changed`);
  if (result !== null) parts.push(truncated(`result ${result}`, shownResult));
  return parts.join('; ');
}

/** Whether it ended so that a person should look into it; the id to look with, where it left a run. */
export function failedRun(columns: readonly Column[], row: Row): { readonly runId: string | undefined } | undefined {
  const state = cellOf(columns, row, 'state');
  const runId = cellOf(columns, row, 'run_id');
  if (state === 'succeeded' || state === 'skipped' || state === 'pending') return undefined;
  return { runId: runId === null ? undefined : text(runId) };
}

/** The run that waits or has only begun, which can be followed. */
export function openRun(columns: readonly Column[], row: Row): string | undefined {
  return cellOf(columns, row, 'state') === 'pending' ? runIdOf(columns, row) : undefined;
}

export function runIdOf(columns: readonly Column[], row: Row): string {
  return text(cellOf(columns, row, 'run_id'));
}

/** What happened when: `at, what, detail`. The day stands above its lines; a detail is told in full. */
export function story(rows: readonly Row[], { zone, width }: { readonly zone: string; readonly width: number | undefined }): string {
  const longest = rows.reduce((most, [, what]) => Math.max(most, text(what ?? null).length), 0);
  const indent = ' '.repeat(clockWidth + longest + 4);
  let told = '';
  let today = '';
  for (const [at = null, what = null, detail = null] of rows) {
    const [day = ''] = at instanceof TimestampTz ? at.toStringIn(zone).split(' ') : [];
    if (day !== today) told += `${day} (${zone})\n`;
    today = day;
    const lead = `${at instanceof TimestampTz ? clockText(at, zone) : ''}  ${text(what).padEnd(longest)}  `;
    told += `${lead}${folded(oneLine(text(detail)), { columns: width, taken: lead.length, indent })}`.trimEnd();
    told += '\n';
  }
  return told;
}

/** `02:00:00.000` */
const clockWidth = 12;

/**
 * Lines of a run: `logged_at, step, stream, level, line`. Each has one line, however long, so that it can be copied.
 *
 *   02:00:00.123  stdout  page 7 of 10
 *   02:00:01.000  cuckoo  succeeded in 1.2 s
 */
export function logLines(rows: readonly Row[], { zone, color, width }: LogOptions): string {
  let told = '';
  for (const [at = null, step = null, stream = null, level = null, line = null] of rows) {
    const who = stream === 'scheduler' ? 'cuckoo' : stream === 'log' ? level : stream;
    const isBad = level === 'error' || stream === 'stderr';
    const lead = `${at instanceof TimestampTz ? clockText(at, zone) : ''}  `;
    const label = `${step === null ? '' : `${oneLine(text(step))}  `}${oneLine(text(who ?? null)).padEnd(longestStream)}`;
    const safe = oneLine(text(line).replaceAll('\t', '    ')).trimEnd();
    const taken = widthOf(`${lead}${label}  `);
    // What Cuckoo says itself is words.
    const said = stream === 'scheduler' ? folded(safe, { columns: width, taken, indent: ' '.repeat(taken) }) : safe;
    told += color
      ? `\x1b[2m${lead}\x1b[22m${isBad ? `\x1b[31m${label}\x1b[39m` : `\x1b[2m${label}\x1b[22m`}  ${said}\n`
      : `${lead}${label}  ${said}\n`;
  }
  return told;
}

interface LogOptions {
  readonly zone: string;
  readonly color: boolean;
  readonly width: number | undefined;
}

/** `stdout`, `stderr`, `cuckoo` */
const longestStream = 6;

/** `02:00:00.000` */
function clockText(at: TimestampTz, zone: string): string {
  const [, clock = ''] = at.toStringIn(zone).split(' ');
  const [seconds = '', fraction = ''] = clock.replace(/[+-][\d:]+$/, '').split('.');
  return `${seconds}.${fraction.slice(0, 3).padEnd(3, '0')}`;
}

export function nextRunOf(columns: readonly Column[], row: Row): Instant | undefined {
  const value = cellOf(columns, row, 'next_run');
  return value instanceof TimestampTz && value.isFinite ? value.epochMs : undefined;
}

/** The warnings that stand in the row. */
export function warningsOf(columns: readonly Column[], row: Row): readonly string[] {
  return listed(cellOf(columns, row, 'warnings'));
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

/** `1.2 ms`, `340 ms`, `2.41 s`, `3m 05s` */
export function timeText(ms: number, digits = 1): string {
  if (ms < 10) return `${ms.toFixed(digits)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, '0')}s`;
}

function cellOf(columns: readonly Column[], row: Row, name: string): Value {
  return row[columns.findIndex((column) => column.name === name)] ?? null;
}

/** A list, or text with commas between. */
function listed(value: Value): string[] {
  if (Array.isArray(value)) return value.filter((item) => item !== null).map((item) => String(item));
  return typeof value === 'string' && value !== '' ? [value] : [];
}

function text(value: Value): string {
  return value === null ? '' : String(value);
}
