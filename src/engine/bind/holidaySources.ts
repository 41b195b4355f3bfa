// Where a calendar's days come from, beside its own list: a query, an iCalendar file, a country. Each answers days, or a
// Diagnostic at the key that names it; what is left out on the way is a warning.

import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { Value } from '../../parser/ast.ts';
import { factsOf, parametersOf } from '../../parser/facts.ts';
import { horizonOf, type NamedDay } from '../../scheduler/cadence/calendar.ts';
import { countryHolidays } from '../../scheduler/cadence/country.ts';
import { parseIcs } from '../../scheduler/cadence/ics.ts';
import type { Warning } from '../result.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { typeName } from '../type.ts';
import { DateValue } from '../value.ts';
import { bindStatements } from './body.ts';
import { inside, textOf } from './fields.ts';

/** Every fire of a schedule looks into them. */
export const mostHolidays = 20_000;

export interface SourceContext {
  readonly now: Instant;
  readonly defaultZone: string;
  readonly connection: Connection;
  readonly warnings: Warning[];
}

/** `SELECT day FROM holidays`, or with each day's name beside it. */
export async function readQuery(value: Value, context: SourceContext): Promise<NamedDay[]> {
  const field = 'holidays_from';
  const text = textOf(value, field);
  refuseWrites(value, text);
  const [statement] = bindStatements(text, value, { onlyOne: true, parameters: [] });
  if (statement === undefined) return [];
  const unreadable = await context.connection.native.syntaxError(statement.text);
  if (unreadable !== undefined) {
    inside(value, () => {
      throw unreadable.movedBy((at) => at + statement.start);
    });
  }
  // As a subquery nothing but a query is understood, so reading a calendar writes nothing.
  const before = 'SELECT * FROM (\n';
  const answer = await context.connection
    .table(`${before}${statement.text}\n) AS holidays LIMIT ${mostHolidays + 1}`)
    .catch((error: unknown) => {
      if (!(error instanceof Diagnostic)) throw error;
      const moved = error.movedBy((at) => Math.max(0, Math.min(at - before.length, statement.text.length)) + statement.start);
      throw inside(value, () => {
        throw moved.span === undefined ? moved.at({ start: 0, end: text.length }) : moved;
      });
    });
  const [day, name, third] = answer.columns;
  const wanted = 'write SELECT day FROM .., or SELECT day, name FROM ..; day::DATE turns text or a timestamp into a day';
  if (day === undefined || third !== undefined) {
    const count = answer.columns.length;
    throw new Diagnostic('wrong_type', `'${field}' answers ${count} columns, and takes a day and perhaps its name`, {
      span: value.span,
      hint: wanted,
    });
  }
  if (day.type.kind !== 'DATE') {
    throw new Diagnostic('wrong_type', `the first column of '${field}', ${day.name}, is ${typeName(day.type)} and not DATE`, {
      span: value.span,
      hint: wanted,
    });
  }
  if (name !== undefined && name.type.kind !== 'VARCHAR') {
    throw new Diagnostic('wrong_type', `the second column of '${field}', ${name.name}, is ${typeName(name.type)}, and a name is VARCHAR`, {
      span: value.span,
      hint: 'leave it out, or write it as name::VARCHAR',
    });
  }
  if (answer.rows.length > mostHolidays) {
    throw new Diagnostic('too_large', `'${field}' answers more than ${mostHolidays} rows`, {
      span: value.span,
      hint: 'leave out days that are long past, and weekends: weekend: [sat, sun] says those',
    });
  }
  return readRows(answer.rows, context);
}

function refuseWrites(value: Value, text: string): void {
  const [act] = factsOf(text).acts;
  const [parameter] = parametersOf(text);
  const span = act?.span ?? parameter?.span;
  if (span === undefined) return;
  const mistake =
    act === undefined
      ? new Diagnostic('undefined_parameter', `${text.slice(span.start, span.end)} has no value here`, {
          span,
          hint: 'a calendar is read without a run, so its query knows no parameters',
        })
      : new Diagnostic('forbidden', "'holidays_from' reads days and changes nothing", {
          span,
          hint: 'write one query: SELECT day FROM holidays',
        });
  inside(value, () => {
    throw mistake;
  });
}

function readRows(rows: readonly (readonly unknown[])[], { warnings }: SourceContext): NamedDay[] {
  const days: NamedDay[] = [];
  let without = 0;
  for (const [day, name] of rows) {
    // The years 1 to 9999, which is also where instants end.
    if (day instanceof DateValue && day.isFinite && day.year >= 1 && day.year <= 9999) {
      days.push({ day: day.days, ...(typeof name === 'string' && name.trim() !== '' ? { name: name.trim() } : {}) });
    } else without += 1;
  }
  if (without > 0) {
    const what = without === 1 ? '1 row holds no day and is' : `${without} rows hold no day and are`;
    warnings.push({ message: `holidays_from: ${what} left out`, hint: 'a day is a date of the years 1 to 9999, not NULL' });
  }
  if (rows.length === 0) {
    warnings.push({ message: 'holidays_from: the query answers no day', hint: 'fill its table and apply the calendar again' });
  }
  return days;
}

const longestIcsBytes = 10_000_000;

/** The path counts from where the process was started. */
export async function readIcs(value: Value, context: SourceContext): Promise<NamedDay[]> {
  const written = textNotEmpty(value, 'ics', "name an .ics file: 'closures.ics'");
  const path = resolve(written);
  const content = await readText(path, written, value, context.connection);
  try {
    const days = parseIcs(content, { zone: context.defaultZone, horizon: horizonOf(context.now) });
    if (days.length === 0) context.warnings.push({ message: `ics: ${written} has no event in these years`, hint: 'is it the right file?' });
    return days;
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    throw new Diagnostic(error.code, `${written}: ${error.message}`, { span: value.span, hint: error.hint, cause: error });
  }
}

async function readText(path: string, written: string, value: Value, connection: Connection): Promise<string> {
  const { span } = value;
  try {
    const found = await stat(path, { bigint: true });
    if (found.isDirectory()) throw new Diagnostic('file_not_found', `'${written}' is a folder`, { span, hint: 'name an .ics file in it' });
    if (!found.isFile()) throw new Diagnostic('file_not_found', `'${written}' is not a plain file`, { span, hint: 'name an .ics file' });
    if (found.size > longestIcsBytes) {
      throw new Diagnostic('too_large', `'${written}' is larger than ${longestIcsBytes / 1e6} MB`, { span, hint: 'is it an .ics file?' });
    }
    // Closing a descriptor of an open database would drop DuckDB's lock on it.
    for (const open of await openFiles(connection)) {
      const other = await stat(open, { bigint: true }).catch(() => undefined);
      if (other?.dev === found.dev && other?.ino === found.ino) {
        throw new Diagnostic('forbidden', `'${written}' is an open database`, { span, hint: 'name an .ics file' });
      }
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    throw error instanceof Diagnostic ? error : unreadable(error, path, written, span);
  }
}

function unreadable(error: unknown, path: string, written: string, span: Span): Diagnostic {
  switch (error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new Diagnostic('file_not_found', `there is no file '${written}'`, {
        span,
        hint: path === written ? 'check the path' : `a relative path counts from ${process.cwd()}`,
        cause: error,
      });
    case 'EACCES':
      return new Diagnostic('forbidden', `'${written}' cannot be read: no permission`, {
        span,
        hint: 'change its permissions',
        cause: error,
      });
    default:
      return new Diagnostic('io_error', `'${written}' cannot be read: ${String(error)}`, { span, cause: error });
  }
}

async function openFiles(connection: Connection): Promise<string[]> {
  const rows = await connection.all<{ path: string }>('SELECT path FROM duckdb_databases() WHERE path IS NOT NULL AND NOT internal');
  return rows.flatMap(({ path }) => [path, `${path}.wal`]);
}

/** `JP`, `DE-BY`: its public holidays. */
export async function readCountry(value: Value, { now }: SourceContext): Promise<NamedDay[]> {
  const code = textNotEmpty(value, 'country', "name a country: 'JP', 'DE-BY'");
  try {
    return await countryHolidays(code, horizonOf(now));
  } catch (error) {
    return inside(value, () => {
      throw error;
    });
  }
}

function textNotEmpty(value: Value, field: string, hint: string): string {
  const text = textOf(value, field);
  if (text.trim() === '') throw new Diagnostic('invalid_value', `'${field}' is empty`, { span: value.span, hint });
  return text;
}
