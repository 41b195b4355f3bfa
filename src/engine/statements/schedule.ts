// UPSERT, CREATE, ALTER, DROP, ENABLE, DISABLE, DESCRIBE and EXPLAIN of schedules.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatInstant } from '../../core/instant.ts';
import type {
  AlterStatement,
  DefineStatement,
  DescribeStatement,
  DropStatement,
  EnableStatement,
  ExplainCronStatement,
  ExplainScheduleStatement,
  Name,
  ObjectValue,
} from '../../parser/ast.ts';
import { describe, type Fire, formatLocal, next, note, parseCadence, type Timing, validateZone } from '../../scheduler/cadence/cadence.ts';
import { timingKeys } from '../../scheduler/schedule.ts';
import { inside } from '../bind/fields.ts';
import { type BoundSchedule, bindSchedule, inWords } from '../bind/schedule.ts';
import { lineageOfSchedule, sharedWriters } from '../definedLineage.ts';
import { nextRun } from '../nextRun.ts';
import type { Result, Warning } from '../result.ts';
import { shownParameters } from '../routine.ts';
import type { StoredSchedule } from '../store/duckdb/catalogue.ts';
import { tellUnwatched } from '../unwatched.ts';
import { answer, bindContext, instant, outcome, type StatementContext, text, texts, timestamp } from './context.ts';
import { alreadyExists, canonical, changedKeys, definitionText, doesNotExist, overlay, stillUsed, storedDefinition } from './definition.ts';
import { description, propertiesOf } from './description.ts';

const definitionColumns = [text('name'), text('outcome'), texts('changed'), instant('next_run'), text('in_words'), texts('warnings')];

export async function defineSchedule(statement: DefineStatement, context: StatementContext): Promise<Result> {
  const existing = await context.catalogue.schedule(statement.name.text);
  if (existing !== undefined && statement.verb === 'create') {
    if (!statement.ifNotExists) throw alreadyExists('schedule', statement.name);
    return answer({
      tag: 'CREATE SCHEDULE',
      columns: definitionColumns,
      rows: [await definitionRow(existing, 'unchanged', [], [], context)],
    });
  }
  let { definition } = statement;
  if (statement.like !== undefined) {
    const other = await findSchedule(statement.like, context);
    definition = overlay(storedDefinition(other.definition, context), definition);
  }
  const tag = statement.verb === 'create' ? 'CREATE SCHEDULE' : 'UPSERT SCHEDULE';
  return putDefinition(statement.name, definition, existing, tag, context);
}

export async function alterSchedule(statement: AlterStatement, context: StatementContext): Promise<Result> {
  const existing = await findSchedule(statement.name, context);
  const definition = overlay(storedDefinition(existing.definition, context), statement.changes);
  // null resets a key, and `enabled` is true by default.
  const resets = statement.changes.entries.some((entry) => entry.field === 'enabled' && entry.value.kind === 'null');
  return putDefinition(
    { ...statement.name, text: existing.name },
    definition,
    existing,
    'ALTER SCHEDULE',
    context,
    resets ? true : undefined,
  );
}

async function putDefinition(
  name: Name,
  definition: ObjectValue,
  existing: StoredSchedule | undefined,
  tag: string,
  context: StatementContext,
  enabledElse = existing?.enabled ?? true,
): Promise<Result> {
  const bound = await bindSchedule(name, definition, await bindContext(context));
  const entries = canonical(definition, ['enabled']);
  const before = existing === undefined ? undefined : storedDefinition(existing.definition, context);
  const enabled = bound.enabled ?? enabledElse;
  const changed = before === undefined ? [] : changedKeys(before, entries);
  if (existing !== undefined && existing.name !== name.text) changed.unshift('name');
  if (existing !== undefined && enabled !== existing.enabled) changed.push('enabled');
  // It has moved to another file, and is the same schedule.
  if (existing !== undefined && context.source !== null && context.source !== existing.source) changed.push('source');
  const lineage = await lineageOfSchedule(bound.schedule, context);
  const shared = enabled ? await sharedWriters(bound, lineage, context) : [];
  const warnings = [...bound.warnings, ...shared];
  if (existing !== undefined && changed.length === 0) {
    return answer({ tag, columns: definitionColumns, rows: [await definitionRow(existing, 'unchanged', [], warnings, context)], warnings });
  }
  const counts = existing === undefined || changed.some((key) => timingKeys.has(key)) || (enabled && !existing.enabled);
  const stored: StoredSchedule = {
    scheduleId: existing?.scheduleId ?? context.nextScheduleId(),
    name: name.text,
    version: (existing?.version ?? 0) + 1,
    enabled,
    // Only a changed timing key counts from now: re-applying a definition at 02:00:00.003 must not lose the 02:00 run.
    effectiveFrom: counts ? context.now : existing.effectiveFrom,
    schedule: bound.schedule,
    definition: definitionText('schedule', name, entries),
    source: context.source ?? existing?.source ?? null,
  };
  const columns = { sched: bound.schedText ?? null, params: shownParameters(bound.schedule.params), source: stored.source };
  await context.defining(async () => {
    if (existing !== undefined && (counts || (existing.enabled && !enabled))) await tellUnwatched(existing, context);
    await context.catalogue.putSchedule(stored, columns, existing === undefined ? ['created'] : changed, context.now, context.actor);
    // What was dropped has taken its lineage along.
    if (existing !== undefined || lineage.length > 0) await context.catalogue.putLineage(stored.name, 'schedule', lineage);
    if (counts) context.countsFromNow(stored.scheduleId);
  });
  const row = await definitionRow(stored, existing === undefined ? 'created' : 'updated', changed, warnings, context, bound);
  return answer({ tag, columns: definitionColumns, rows: [row], warnings });
}

async function definitionRow(
  stored: StoredSchedule,
  what: 'created' | 'updated' | 'unchanged',
  changed: readonly string[],
  warnings: readonly Warning[],
  context: StatementContext,
  bound?: BoundSchedule,
) {
  const timing = bound === undefined ? await context.catalogue.timing(stored.schedule) : bound.timing;
  const at = stored.enabled && timing !== undefined ? nextRun(timing, context.now, stored.effectiveFrom) : undefined;
  return [
    stored.name,
    what,
    changed,
    timestamp(at),
    bound?.inWords ?? inWords(stored.schedule, timing),
    warnings.map((warning) => warning.message),
  ];
}

export async function dropSchedules(statement: DropStatement, context: StatementContext): Promise<Result> {
  const found: StoredSchedule[] = [];
  for (const name of statement.names) {
    const stored = await context.catalogue.schedule(name.text);
    if (stored === undefined) {
      if (statement.ifExists) continue;
      throw doesNotExist('schedule', name.text, name.span, await context.catalogue.scheduleNames());
    }
    if (!found.some((other) => other.scheduleId === stored.scheduleId)) found.push(stored);
  }
  const going = new Set(found.map((stored) => stored.name));
  for (const [index, stored] of found.entries()) {
    const users = (await context.catalogue.usersOf('schedule', stored.name)).filter((user) => !going.has(user));
    if (users.length > 0) throw stillUsed('schedule', stored.name, users, statement.names[index]?.span ?? statement.span);
  }
  await context.defining(async () => {
    for (const stored of found) {
      await tellUnwatched(stored, context);
      await context.catalogue.dropSchedule(stored, context.now, context.actor);
      context.cancelsWaitingOf(stored.scheduleId);
    }
  });
  return outcome(
    'DROP SCHEDULE',
    statement.names.map((name) => [
      name.text,
      going.has(found.find((stored) => same(stored.name, name.text))?.name ?? '') ? 'dropped' : 'absent',
    ]),
  );
}

export async function enableSchedules(statement: EnableStatement, context: StatementContext): Promise<Result> {
  const found = statement.all
    ? await context.catalogue.schedules()
    : await Promise.all(statement.names.map((name) => findSchedule(name, context)));
  const rows: [string, string][] = [];
  await context.defining(async () => {
    for (const stored of found) {
      if (stored.enabled === statement.enabled) rows.push([stored.name, 'unchanged']);
      else {
        if (!statement.enabled) await tellUnwatched(stored, context);
        await context.catalogue.enableSchedule(stored, statement.enabled, context.now, context.actor);
        if (statement.enabled) context.countsFromNow(stored.scheduleId);
        rows.push([stored.name, statement.enabled ? 'enabled' : 'disabled']);
      }
    }
  });
  return outcome(`${statement.verb.toUpperCase()} SCHEDULE`, rows);
}

export async function showCreateSchedule(name: Name, context: StatementContext): Promise<string> {
  const stored = await findSchedule(name, context);
  if (stored.enabled) return stored.definition;
  // Left out, `enabled` keeps its present value; in a new file that would be true.
  const entries = storedDefinition(stored.definition, context);
  const span = entries.span;
  const disabled = {
    key: { text: 'enabled', quoted: false, span },
    field: 'enabled',
    value: { kind: 'boolean', value: false, span },
    span,
  } as const;
  return definitionText('schedule', { text: stored.name, quoted: false, span }, { ...entries, entries: [...entries.entries, disabled] });
}

export async function describeSchedule(statement: DescribeStatement, context: StatementContext): Promise<Result> {
  const stored = await findSchedule(statement.name, context);
  const timing = await context.catalogue.timing(stored.schedule);
  const [row] = await context.connection.all(`SELECT * FROM ${context.sql.cron}.schedules WHERE name = $name`, { name: stored.name });
  return description([...(await propertiesOf(row ?? {}, context)), ['in_words', inWords(stored.schedule, timing)]]);
}

const explainColumns = [instant('scheduled_at'), text('local_time'), text('utc'), text('note')];
const mostFires = 10_000;

export async function explainSchedule(statement: ExplainScheduleStatement, context: StatementContext): Promise<Result> {
  const stored = await findSchedule(statement.name, context);
  const timing = await context.catalogue.timing(stored.schedule);
  const warnings: Warning[] = [];
  if (!stored.enabled)
    warnings.push({ message: `${stored.name} is disabled: these fires would be its next`, hint: `ENABLE SCHEDULE ${stored.name};` });
  const rows = timing === undefined ? [] : fires(timing, context.now, stored.effectiveFrom, fireCount(statement.next));
  return answer({ tag: 'EXPLAIN', columns: explainColumns, rows, warnings, notes: [inWords(stored.schedule, timing)] });
}

export async function explainCron(statement: ExplainCronStatement, context: StatementContext): Promise<Result> {
  const { expression } = statement;
  const zone =
    statement.zone === undefined
      ? (await context.catalogue.settings()).text('timezone')
      : inside(statement.zone, () => validateZone(statement.zone?.text ?? ''));
  const cadence = inside(expression, () => parseCadence(expression.text, { zone }));
  const timing: Timing = {
    cadences: [cadence],
    zone,
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'run',
    jitterMs: 0,
    jitterKey: '',
  };
  return answer({
    tag: 'EXPLAIN',
    columns: explainColumns,
    rows: fires(timing, context.now, 0, fireCount(statement.next)),
    notes: [describe([cadence], zone)],
  });
}

function fireCount(count: ExplainScheduleStatement['next']): number {
  if (count === undefined) return 5;
  if (!Number.isInteger(count.value) || count.value < 1 || count.value > mostFires) {
    throw new Diagnostic('invalid_value', `NEXT takes a whole number from 1 to ${mostFires}`, { span: count.span });
  }
  return count.value;
}

/** `count` fires that run; what a calendar refuses in between is shown too, and not counted. */
function fires(timing: Timing, now: number, effectiveFrom: number, count: number) {
  const rows = [];
  let left = count;
  let at = Math.max(now, effectiveFrom);
  for (let fire = next(timing, at); fire !== undefined && left > 0 && rows.length < mostFires; fire = next(timing, at)) {
    at = fire.due;
    if (fire.nominal <= effectiveFrom) continue;
    rows.push([timestamp(fire.nominal), formatLocal(fire.nominal, timing.zone), formatInstant(fire.nominal), noted(timing, fire)]);
    if (!fire.refused) left -= 1;
  }
  return rows;
}

/** The note of a fire, and when jitter lets it start. */
function noted(timing: Timing, fire: Fire): string {
  const words = note(timing, fire);
  if (timing.jitterMs === 0 || fire.refused) return words;
  const start = `starts at ${formatLocal(fire.due, timing.zone).slice(11, 19)} (jitter)`;
  return words === '' ? start : `${words}; ${start}`;
}

export async function findSchedule(name: Name, context: StatementContext): Promise<StoredSchedule> {
  const stored = await context.catalogue.schedule(name.text);
  if (stored === undefined) throw doesNotExist('schedule', name.text, name.span, await context.catalogue.scheduleNames());
  return stored;
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** Binds every schedule that names no zone anew, in the zone that `cron.timezone` says now; answers their names. */
export async function rebindZone(context: StatementContext): Promise<string[]> {
  const moved: string[] = [];
  for (const stored of await context.catalogue.schedules()) {
    const definition = storedDefinition(stored.definition, context);
    if (stored.schedule.timing === undefined || definition.entries.some((entry) => entry.field === 'timezone')) continue;
    const name = { text: stored.name, quoted: true, span: definition.span };
    const bound = await bindSchedule(name, definition, await bindContext(context));
    const version = { ...stored, version: stored.version + 1, effectiveFrom: context.now, schedule: bound.schedule };
    const columns = { sched: bound.schedText ?? null, params: shownParameters(bound.schedule.params), source: stored.source };
    await tellUnwatched(stored, context);
    await context.catalogue.putSchedule(version, columns, ['timezone'], context.now, context.actor);
    context.countsFromNow(stored.scheduleId);
    moved.push(stored.name);
  }
  return moved;
}
