// UPSERT, CREATE, ALTER, DROP, DESCRIBE and SHOW CREATE of calendars.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { formatInstant, type Instant } from '../../core/instant.ts';
import { nameKey } from '../../core/name.ts';
import type { AlterStatement, DefineStatement, DescribeStatement, DropStatement, Name, ObjectValue } from '../../parser/ast.ts';
import { type CalendarDays, weekdayNames } from '../../scheduler/cadence/calendar.ts';
import { civilDayOf, formatDay } from '../../scheduler/cadence/civil.ts';
import { noBusinessDay } from '../../scheduler/cadence/warnings.ts';
import { zoneNamed } from '../../scheduler/cadence/zone.ts';
import { bindCalendar, changedSources } from '../bind/calendar.ts';
import { Fields } from '../bind/fields.ts';
import type { Result, Warning } from '../result.ts';
import type { Catalogue, HolidaySources, StoredCalendar } from '../store/duckdb/catalogue.ts';
import { answer, outcome, type StatementContext, text, texts } from './context.ts';
import { alreadyExists, canonical, changedKeys, definitionText, doesNotExist, overlay, stillUsed, storedDefinition } from './definition.ts';
import { description } from './description.ts';
import { storedDefinitionAt } from './storedDefinition.ts';

const columns = [text('name'), text('outcome'), texts('changed'), texts('warnings')];

export async function defineCalendar(statement: DefineStatement, context: StatementContext): Promise<Result> {
  const existing = await context.catalogue.calendar(statement.name.text);
  const tag = `${statement.verb.toUpperCase()} CALENDAR`;
  if (existing !== undefined && statement.verb === 'create') {
    if (!statement.ifNotExists) throw alreadyExists('calendar', statement.name);
    return answer({ tag, columns, rows: [[existing.name, 'unchanged', [], []]] });
  }
  return putDefinition(statement.name, statement.definition, existing, tag, context);
}

export async function alterCalendar(statement: AlterStatement, context: StatementContext): Promise<Result> {
  const existing = await findCalendar(statement.name, context);
  const definition = overlay(storedDefinitionAt(existing.definition, statement.name.span, context), statement.changes);
  return putDefinition({ ...statement.name, text: existing.name }, definition, existing, 'ALTER CALENDAR', context);
}

/** Applying a definition reads its query, its file and its country anew: what they answer is part of the calendar. */
async function putDefinition(
  name: Name,
  definition: ObjectValue,
  existing: StoredCalendar | undefined,
  tag: string,
  context: StatementContext,
): Promise<Result> {
  const defaultZone = (await context.catalogue.settings()).text('timezone');
  const { days, sources, warnings } = await bindCalendar(definition, { now: context.now, defaultZone, connection: context.connection });
  const entries = canonical(definition);
  const changed = existing === undefined ? [] : changesOf(existing, name, entries, sources, context);
  if (existing !== undefined && changed.length === 0) {
    const reading = await context.catalogue.calendarReading(existing.name);
    if (reading?.failing != null) await context.catalogue.calendarWasRead(existing.name, context.now);
    return definitionAnswer(tag, existing.name, 'unchanged', [], warnings);
  }
  if (existing !== undefined) await checkUsers({ name: name.text, span: name.span, days, now: context.now, catalogue: context.catalogue });
  const version = (existing?.version ?? 0) + 1;
  const stored: StoredCalendar = { name: name.text, version, days, sources, definition: definitionText('calendar', name, entries) };
  await context.defining(() => context.catalogue.putCalendar(stored, context.now));
  return definitionAnswer(tag, stored.name, existing === undefined ? 'created' : 'updated', changed, warnings);
}

function definitionAnswer(tag: string, name: string, what: string, changed: readonly string[], warnings: readonly Warning[]): Result {
  return answer({ tag, columns, rows: [[name, what, changed, warnings.map((warning) => warning.message)]], warnings });
}

/** The keys that were written differently, and those whose source answers other days than before. */
function changesOf(
  existing: StoredCalendar,
  name: Name,
  entries: ObjectValue,
  sources: HolidaySources,
  context: StatementContext,
): string[] {
  const changed = new Set(existing.name === name.text ? [] : ['name']);
  for (const key of changedKeys(storedDefinition(existing.definition, context), entries)) changed.add(key);
  for (const source of changedSources(existing.sources, sources)) changed.add(source);
  return [...changed];
}

/** A schedule that moves to the next business day must still find one. */
export async function checkUsers(calendar: {
  readonly name: string;
  readonly span?: Span;
  readonly days: CalendarDays;
  readonly now: Instant;
  readonly catalogue: Catalogue;
}): Promise<void> {
  const { name, span, days, now, catalogue } = calendar;
  for (const user of await catalogue.usersOf('calendar', name)) {
    const timing = (await catalogue.schedule(user))?.schedule.timing;
    const idle = timing === undefined ? undefined : noBusinessDay({ ...timing, calendar: days }, now);
    if (idle === undefined) continue;
    throw new Diagnostic(idle.code, `calendar ${name} would stop schedule ${user}: ${idle.message}`, { span, hint: idle.hint });
  }
}

export async function dropCalendars(statement: DropStatement, context: StatementContext): Promise<Result> {
  const going = new Map<string, StoredCalendar>();
  for (const name of statement.names) {
    const stored = await context.catalogue.calendar(name.text);
    if (stored === undefined) {
      if (statement.ifExists) continue;
      throw await missing(name, context);
    }
    const users = await context.catalogue.usersOf('calendar', stored.name);
    if (users.length > 0) throw stillUsed('calendar', stored.name, users, name.span);
    going.set(nameKey(stored.name), stored);
  }
  await context.defining(async () => {
    for (const stored of going.values()) await context.catalogue.dropCalendar(stored.name);
  });
  return outcome(
    'DROP CALENDAR',
    statement.names.map((name) => [name.text, going.has(nameKey(name.text)) ? 'dropped' : 'absent']),
  );
}

export async function showCreateCalendar(name: Name, context: StatementContext): Promise<string> {
  return (await findCalendar(name, context)).definition;
}

const daysShown = 5;

export async function describeCalendar(statement: DescribeStatement, context: StatementContext): Promise<Result> {
  const stored = await findCalendar(statement.name, context);
  const { weekend, holidays, names } = stored.days;
  const zone = zoneNamed((await context.catalogue.settings()).text('timezone'));
  const today = civilDayOf(zone.civilAt(context.now));
  const shown = (day: number): string => [formatDay(day), ...(names?.[day] === undefined ? [] : [names[day]])].join(' ');
  const coming = holidays.filter((day) => day >= today).slice(0, daysShown);
  const fields = new Fields(storedDefinition(stored.definition, context));
  const written = ['holidays_from', 'ics', 'country', 'description', 'tags'].filter((field) => fields.has(field));
  const users = await context.catalogue.usersOf('calendar', stored.name);
  const reading = await context.catalogue.calendarReading(stored.name);
  const restDays = mondayFirst(weekend).map((day) => weekdayNames[day]);
  return description([
    ['name', stored.name],
    ['weekend', restDays.join(', ') || 'no day'],
    ['holidays', String(holidays.length)],
    ['next_holidays', coming.map(shown).join(', ') || 'none'],
    ...written.map((field) => [field, fields.texts(field).join(', ')] as const),
    ...(reading === undefined ? [] : [['read_at', formatInstant(reading.readAt)] as const]),
    ...(reading?.failing == null ? [] : [['failing', reading.failing.problem] as const]),
    ['version', String(stored.version)],
    ['used_by', users.join(', ') || 'no schedule'],
  ]);
}

function mondayFirst(weekdays: readonly number[]): number[] {
  return [...weekdays].sort((left, right) => ((left + 6) % 7) - ((right + 6) % 7));
}

async function findCalendar(name: Name, context: StatementContext): Promise<StoredCalendar> {
  const stored = await context.catalogue.calendar(name.text);
  if (stored === undefined) throw await missing(name, context);
  return stored;
}

async function missing(name: Name, context: StatementContext): Promise<Diagnostic> {
  return doesNotExist('calendar', name.text, name.span, await context.catalogue.calendarNames());
}
