// UPSERT, CREATE, ALTER, DROP, DESCRIBE and SHOW CREATE of procedures, and CALL.

import { Diagnostic } from '../../core/diagnostic.ts';
import type {
  AlterStatement,
  CallStatement,
  DefineProcedureStatement,
  DefineStatement,
  DescribeStatement,
  DropStatement,
  Entry,
  Name,
} from '../../parser/ast.ts';
import { parametersOf } from '../../parser/facts.ts';
import { print } from '../../parser/print.ts';
import type { ParameterValue } from '../../scheduler/schedule.ts';
import { textOf } from '../bind/fields.ts';
import { bindProcedure } from '../bind/procedure.ts';
import { lineageOfProcedure, lineageOfSchedule } from '../definedLineage.ts';
import { type Bindings, bindArguments, callProcedure, noRun } from '../executors/statements.ts';
import { Result } from '../result.ts';
import type { Procedure, Routine } from '../routine.ts';
import type { StoredRoutine } from '../store/duckdb/catalogue.ts';
import { answer, bindContext, outcome, type StatementContext, text, texts } from './context.ts';
import { alreadyExists, doesNotExist, overlay, stillUsed } from './definition.ts';
import { description, propertiesOf } from './description.ts';
import { defineSchedule } from './schedule.ts';

const columns = [text('name'), text('outcome'), texts('changed'), texts('warnings')];

export async function defineProcedure(statement: DefineProcedureStatement, context: StatementContext, tag?: string): Promise<Result> {
  const existing = await context.catalogue.routine(statement.name.text);
  const used = tag ?? `${statement.verb.toUpperCase()} PROCEDURE`;
  if (existing !== undefined) {
    if (existing.routine.kind !== 'procedure') throw otherKind(existing, 'procedure', statement.name);
    if (statement.verb === 'create') {
      if (!statement.ifNotExists) throw alreadyExists('procedure', statement.name);
      return answer({ tag: used, columns, rows: [[existing.name, 'unchanged', [], []]] });
    }
  }
  const { procedure, legacySchedules } = await bindProcedure(statement, await bindContext(context));
  const definition = print({ ...statement, verb: 'upsert', ifNotExists: false });
  const before = existing?.routine.kind === 'procedure' ? existing.routine : undefined;
  const changed = before === undefined ? [] : changedParts(before, procedure);
  const warnings = (await context.catalogue.hidesDuckDb(procedure.name))
    ? [{ message: `${procedure.name} hides DuckDB's own ${procedure.name}`, hint: 'CALL reaches the procedure; rename it to reach both' }]
    : [];
  if (existing !== undefined && changed.length === 0 && existing.definition === definition && legacySchedules.length === 0) {
    return answer({ tag: used, columns, rows: [[existing.name, 'unchanged', [], warnings.map((warning) => warning.message)]], warnings });
  }
  if (before !== undefined) await checkUsers(before, procedure, statement.name, context);
  const stored: StoredRoutine = { name: procedure.name, version: (existing?.version ?? 0) + 1, routine: procedure, definition };
  const lineage = await lineageOfProcedure(procedure, context);
  const notes: string[] = [];
  await context.defining(async () => {
    await context.catalogue.putRoutine(stored, context.now);
    await context.catalogue.putLineage(stored.name, 'procedure', lineage);
    // What the schedules that call it read and write has changed with it.
    for (const user of await context.catalogue.usersOf('routine', stored.name)) {
      const schedule = (await context.catalogue.schedule(user))?.schedule;
      if (schedule !== undefined) await context.catalogue.putLineage(user, 'schedule', await lineageOfSchedule(schedule, context));
    }
    for (const entry of legacySchedules) notes.push(...(await applyLegacy(entry, procedure, context)));
  });
  const what = existing === undefined ? 'created' : changed.length === 0 && legacySchedules.length === 0 ? 'unchanged' : 'updated';
  return answer({
    tag: used,
    columns,
    rows: [[procedure.name, what, changed, warnings.map((warning) => warning.message)]],
    warnings,
    notes,
  });
}

function changedParts(before: Procedure, after: Procedure): string[] {
  const parts: (keyof Procedure)[] = ['name', 'parameters', 'atomic', 'timeoutMs', 'description', 'tags', 'body'];
  return parts
    .filter((part) => JSON.stringify(before[part]) !== JSON.stringify(after[part]))
    .map((part) => (part === 'timeoutMs' ? 'timeout' : part));
}

/** A change that would break the parameters of a schedule or of a pipeline's step is refused, naming it. */
async function checkUsers(before: Procedure, after: Procedure, name: Name, context: StatementContext): Promise<void> {
  for (const user of await context.catalogue.usersOf('routine', before.name)) {
    const schedule = (await context.catalogue.schedule(user))?.schedule;
    if (schedule === undefined) continue;
    const runsByItself = schedule.timing !== undefined || schedule.after.length > 0;
    checkUser(`schedule ${user}`, Object.keys(schedule.params), runsByItself, after, name);
    await checkUserTypes(`schedule ${user}`, schedule.params, after, name, context);
  }
  for (const { name: user, routine } of await context.catalogue.routines()) {
    if (routine.kind !== 'pipeline') continue;
    for (const step of routine.steps) {
      if (step.work.kind !== 'call' || step.work.routine.toLowerCase() !== before.name.toLowerCase()) continue;
      const place = `step ${step.name} of pipeline ${user}`;
      checkUser(place, Object.keys(step.args), true, after, name);
      if (!routine.atomic || after.body.language === 'sql') continue;
      throw new Diagnostic('in_use', `${place} is atomic and calls it, so it stays in SQL`, {
        span: name.span,
        hint: 'change the pipeline first',
      });
    }
  }
}

/** Literals that were good for the old type must be good for the new one. */
async function checkUserTypes(
  user: string,
  params: Readonly<Record<string, ParameterValue>>,
  after: Procedure,
  name: Name,
  context: StatementContext,
): Promise<void> {
  for (const [given, value] of Object.entries(params)) {
    const parameter = after.parameters.find((known) => known.name.toLowerCase() === given.toLowerCase());
    if (parameter === undefined || value.kind !== 'literal' || value.value === null) continue;
    if (await context.catalogue.castable(value.value, parameter.type)) continue;
    throw new Diagnostic('in_use', `${user} gives ${given} ${JSON.stringify(value.value)}, which is no ${parameter.type}`, {
      span: name.span,
      hint: 'change that first, or keep the type',
    });
  }
}

/** `mustHaveAll`: nobody is there to give a parameter that has neither a value nor a default. */
function checkUser(user: string, given: readonly string[], mustHaveAll: boolean, after: Procedure, name: Name): void {
  const has = (list: readonly string[], wanted: string): boolean => list.some((known) => known.toLowerCase() === wanted.toLowerCase());
  const names = after.parameters.map((parameter) => parameter.name);
  const lost = given.find((parameter) => !has(names, parameter));
  const missing = after.parameters.find((parameter) => mustHaveAll && parameter.default === undefined && !has(given, parameter.name));
  if (lost === undefined && missing === undefined) return;
  const why = lost !== undefined ? `gives it the parameter ${lost}` : `does not give it the parameter ${missing?.name}`;
  throw new Diagnostic('in_use', `${user} ${why}`, {
    span: name.span,
    hint: lost !== undefined ? `keep ${lost}, or change that first` : `give ${missing?.name} a DEFAULT, or change that first`,
  });
}

/** `<{ sched: '@daily' }>` makes a schedule of the procedure's name that calls it; a schedule's name is pointed at it; a list does both. */
async function applyLegacy(entry: Entry, procedure: Procedure, context: StatementContext): Promise<string[]> {
  const items = entry.value.kind === 'list' ? entry.value.items : [entry.value];
  const span = entry.value.span;
  const name = (value: string): Name => ({ text: value, quoted: true, span });
  const word = (value: string) => ({ kind: 'string', text: value, style: 'single', offsets: [], span }) as const;
  const field = (key: string, value: ReturnType<typeof word>): Entry => ({ key: name(key), field: key, value, span });
  const notes: string[] = [];
  const define = async (statement: DefineStatement): Promise<void> => {
    const [row] = await (await defineSchedule(statement, context)).toObjects();
    notes.push(`schedule ${String(row?.['name'])}: ${String(row?.['outcome'])}, calls ${procedure.name} ${String(row?.['in_words'])}`);
  };
  const cadences: string[] = [];
  for (const item of items) {
    const value = textOf(item, 'sched');
    const known = await context.catalogue.schedule(value);
    if (known === undefined) {
      cadences.push(value);
      continue;
    }
    const definition = { kind: 'object', entries: [field('exe', word('procedure')), field('call', word(procedure.name))], span } as const;
    const stored = context.parse(known.definition);
    if (stored.kind !== 'define') continue;
    await define({ ...stored, definition: overlay(stored.definition, definition) });
  }
  if (cadences.length === 0) return notes;
  const list = { kind: 'list', items: cadences.map(word), span } as const;
  const sched = {
    key: name('sched'),
    field: 'sched',
    value: list.items.length === 1 && list.items[0] !== undefined ? list.items[0] : list,
    span,
  };
  const definition = {
    kind: 'object',
    entries: [sched, field('exe', word('procedure')), field('call', word(procedure.name))],
    span,
  } as const;
  await define({
    kind: 'define',
    verb: 'upsert',
    noun: 'schedule',
    ifNotExists: false,
    name: name(procedure.name),
    like: undefined,
    definition,
    span,
  });
  return notes;
}

/** ALTER PROCEDURE name SET ( .. ) changes its options. */
export async function alterProcedure(statement: AlterStatement, context: StatementContext): Promise<Result> {
  const stored = await findRoutine(statement.name, 'procedure', context);
  const parsed = context.parse(stored.definition);
  if (parsed.kind !== 'defineProcedure') throw new Diagnostic('internal', 'a stored procedure is not a procedure');
  const options = parsed.options === undefined ? statement.changes : overlay(parsed.options, statement.changes);
  const kept = { ...options, entries: options.entries.filter((entry) => entry.value.kind !== 'null') };
  return defineProcedure(
    { ...parsed, options: kept.entries.length === 0 ? undefined : kept, legacy: undefined },
    context,
    'ALTER PROCEDURE',
  );
}

export async function dropRoutines(statement: DropStatement, kind: Routine['kind'], context: StatementContext): Promise<Result> {
  const rows: [string, string][] = [];
  const found: StoredRoutine[] = [];
  for (const name of statement.names) {
    const stored = await context.catalogue.routine(name.text);
    if (stored === undefined || stored.routine.kind !== kind) {
      if (!statement.ifExists) throw await missing(name, kind, context);
      rows.push([name.text, 'absent']);
      continue;
    }
    const users = await context.catalogue.callersOf(stored.name);
    if (users.length > 0) throw stillUsed(kind, stored.name, users, name.span);
    found.push(stored);
    rows.push([stored.name, 'dropped']);
  }
  await context.defining(async () => {
    for (const stored of found) await context.catalogue.dropRoutine(stored.name, kind);
  });
  return outcome(`DROP ${kind.toUpperCase()}`, rows);
}

export async function describeRoutine(statement: DescribeStatement, kind: Routine['kind'], context: StatementContext): Promise<Result> {
  const stored = await findRoutine(statement.name, kind, context);
  const [row] = await context.connection.all(`SELECT * FROM ${context.sql.cron}.${kind}s WHERE name = $name`, { name: stored.name });
  const users = await context.catalogue.usersOf('routine', stored.name);
  return description([...(await propertiesOf(row ?? {}, context)), ['used_by', users.join(', ') || 'no schedule']]);
}

export async function findRoutine(name: Name, kind: Routine['kind'], context: StatementContext): Promise<StoredRoutine> {
  const stored = await context.catalogue.routine(name.text);
  if (stored === undefined) throw await missing(name, kind, context);
  if (stored.routine.kind !== kind) throw otherKind(stored, kind, name);
  return stored;
}

async function missing(name: Name, kind: Routine['kind'], context: StatementContext): Promise<Diagnostic> {
  const known = (await context.catalogue.routines()).filter((stored) => stored.routine.kind === kind).map((stored) => stored.name);
  return doesNotExist(kind, name.text, name.span, known);
}

export function otherKind(stored: StoredRoutine, kind: Routine['kind'], name: Name): Diagnostic {
  return new Diagnostic('duplicate_object', `${stored.name} is a ${stored.routine.kind}, not a ${kind}`, {
    span: name.span,
    hint: 'procedures and pipelines share one namespace',
  });
}

/** CALL of a procedure of ours: in the session's transaction, or in one of its own; no run is written. */
export async function call(
  statement: CallStatement,
  stored: StoredRoutine,
  context: StatementContext,
  parameters: Bindings,
): Promise<Result> {
  const { routine } = stored;
  if (routine.kind === 'pipeline') {
    throw new Diagnostic('unsupported', `${stored.name} is a pipeline`, {
      span: statement.name.span,
      hint: `write RUN PIPELINE ${stored.name};`,
    });
  }
  mustAskFor(parameters, statement);
  const perform = async () => {
    // A default may name what every run has, too.
    const bindings = await bindArguments(routine, statement.arguments, new Map([...noRun, ...parameters]), context.connection);
    return callProcedure(routine, bindings, { connection: context.connection, catalogue: context.catalogue, sql: context.sql, calls: [] });
  };
  const result = routine.atomic ? await context.inTransaction(perform) : await perform();
  const rowsChanged = result.rowsChanged.reduce((sum, count) => sum + count, 0);
  return Result.fromRows({ tag: 'CALL', columns: result.columns, rows: result.rows, rowsChanged });
}

/** A value that no argument names would be lost without a word. */
function mustAskFor(values: Bindings, { arguments: given, span }: CallStatement): void {
  const uses = given.flatMap(({ expression }) => parametersOf(expression.text));
  const numbers = uses.filter(({ kind }) => kind === 'next').map((_, index) => String(index + 1));
  const asked = new Set([...numbers, ...uses.map(({ name }) => name.toLowerCase())]);
  const surplus = [...values.keys()].find((name) => !asked.has(name));
  if (surplus === undefined) return;
  throw new Diagnostic('usage', `no argument asks for the value ${/^\d+$/.test(surplus) ? `number ${surplus}` : surplus}`, {
    span,
    hint: 'arguments name their values: CALL name(?), CALL name($value)',
  });
}
