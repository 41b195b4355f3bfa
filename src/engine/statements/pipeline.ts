// UPSERT, CREATE, ALTER and EXPLAIN of pipelines. What they share with procedures (DROP, DESCRIBE, SHOW CREATE) is in routine.ts.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import { nameKey } from '../../core/name.ts';
import type { AlterStatement, DefineStatement, ExplainPipelineStatement, Name, ObjectValue, Value } from '../../parser/ast.ts';
import { bindPipeline } from '../bind/pipeline.ts';
import { lineageOfProcedure } from '../definedLineage.ts';
import { type LineageEntry, lineageOf } from '../lineage.ts';
import type { Result, Warning } from '../result.ts';
import { callText, type Pipeline, type PipelineStep, runParameters, type StepReaction, shownParameters } from '../routine.ts';
import type { StoredRoutine } from '../store/duckdb/catalogue.ts';
import { answer, bindContext, type StatementContext, text, texts } from './context.ts';
import { alreadyExists, canonical, changedKeys, definitionText, overlay, storedDefinition } from './definition.ts';
import { drawGraph } from './pipelineDrawing.ts';
import { findRoutine, otherKind } from './routine.ts';
import { storedDefinitionAt } from './storedDefinition.ts';

const columns = [text('name'), text('outcome'), texts('changed'), texts('warnings')];

export async function definePipeline(statement: DefineStatement, context: StatementContext): Promise<Result> {
  const existing = await context.catalogue.routine(statement.name.text);
  const tag = `${statement.verb.toUpperCase()} PIPELINE`;
  if (existing !== undefined && existing.routine.kind !== 'pipeline') throw otherKind(existing, 'pipeline', statement.name);
  if (existing !== undefined && statement.verb === 'create') {
    if (!statement.ifNotExists) throw alreadyExists('pipeline', statement.name);
    return answer({ tag, columns, rows: [[existing.name, 'unchanged', [], []]] });
  }
  return putDefinition(statement.name, statement.definition, existing, tag, context);
}

export async function alterPipeline(statement: AlterStatement, context: StatementContext): Promise<Result> {
  const existing = await findRoutine(statement.name, 'pipeline', context);
  const definition = overlay(storedDefinitionAt(existing.definition, statement.name.span, context), statement.changes);
  return putDefinition({ ...statement.name, text: existing.name }, definition, existing, 'ALTER PIPELINE', context);
}

async function putDefinition(
  name: Name,
  definition: ObjectValue,
  existing: StoredRoutine | undefined,
  tag: string,
  context: StatementContext,
): Promise<Result> {
  const { pipeline, warnings } = await bindPipeline(name, definition, await bindContext(context));
  const told = [...warnings, ...(await hiddenTables(pipeline, context))];
  const entries = canonicalSteps(canonical(definition));
  const changed = existing === undefined ? [] : changedKeys(storedDefinition(existing.definition, context), entries);
  if (existing !== undefined && existing.name !== name.text) changed.unshift('name');
  const messages = told.map((warning) => warning.message);
  if (existing !== undefined && changed.length === 0) {
    return answer({ tag, columns, rows: [[existing.name, 'unchanged', [], messages]], warnings: told });
  }
  if (existing !== undefined) await checkUsers(pipeline, name, context);
  const version = (existing?.version ?? 0) + 1;
  const stored: StoredRoutine = { name: name.text, version, routine: pipeline, definition: definitionText('pipeline', name, entries) };
  const lineage = await lineageOfPipeline(pipeline, context);
  await context.defining(async () => {
    await context.catalogue.putRoutine(stored, context.now);
    await context.catalogue.putLineage(stored.name, 'pipeline', lineage);
  });
  const what = existing === undefined ? 'created' : 'updated';
  return answer({ tag, columns, rows: [[stored.name, what, changed, messages]], warnings: told });
}

/** Steps under the names of their keys, without those that say "the default": `action` is `sql`. */
function canonicalSteps(definition: ObjectValue): ObjectValue {
  const value = (given: Value): Value => (given.kind === 'object' ? canonical(given) : given);
  const entries = definition.entries.map((entry) =>
    entry.field === 'steps' && entry.value.kind === 'list'
      ? { ...entry, value: { ...entry.value, items: entry.value.items.map(value) } }
      : entry,
  );
  return { ...definition, entries };
}

/** A result wins over a table of its name. */
async function hiddenTables(pipeline: Pipeline, context: StatementContext): Promise<Warning[]> {
  const results = pipeline.steps.flatMap((step) => (step.as === undefined ? [] : [step.as]));
  if (results.length === 0) return [];
  const rows = await context.connection.all<{ name: string }>(
    `SELECT table_name AS name FROM duckdb_tables() WHERE database_name = $database AND schema_name = 'main'
     UNION SELECT view_name FROM duckdb_views() WHERE database_name = $database AND schema_name = 'main' AND NOT internal`,
    { database: context.database },
  );
  const tables = new Set(rows.map((row) => nameKey(row.name)));
  return results
    .filter((result) => tables.has(nameKey(result)))
    .map((result) => ({
      message: `as: ${result} hides the table ${result} from the steps that follow`,
      hint: `choose another name, or write ${context.database}.main.${result} where the table is meant`,
    }));
}

/** A change that would break a schedule is refused, naming the schedule. */
async function checkUsers(pipeline: Pipeline, name: Name, context: StatementContext): Promise<void> {
  const has = (names: readonly string[], wanted: string): boolean => names.some((known) => nameKey(known) === nameKey(wanted));
  for (const user of await context.catalogue.usersOf('routine', pipeline.name)) {
    const schedule = (await context.catalogue.schedule(user))?.schedule;
    if (schedule === undefined) continue;
    const lost = Object.keys(schedule.params).find((parameter) => !has(Object.keys(pipeline.params), parameter));
    if (lost !== undefined) {
      throw new Diagnostic('in_use', `schedule ${user} gives it the parameter ${lost}`, {
        span: name.span,
        hint: `keep ${lost}, or change the schedule first`,
      });
    }
    const step = callText(schedule.target.call).slice(pipeline.name.length + 1);
    const steps = pipeline.steps.map((known) => known.name);
    if (step === '' || has(steps, step)) continue;
    throw new Diagnostic('in_use', `schedule ${user} runs its step ${step}`, {
      span: name.span,
      hint: `keep ${step}, or change the schedule first`,
    });
  }
}

/** The tables of its SQL and of the procedures it calls, without the results it keeps. */
async function lineageOfPipeline(pipeline: Pipeline, context: StatementContext): Promise<LineageEntry[]> {
  const found = new Map<string, LineageEntry>();
  const results = new Set(pipeline.steps.flatMap((step) => (step.as === undefined ? [] : [nameKey(step.as)])));
  for (const step of pipeline.steps) {
    for (const entry of await lineageOfStep(step, pipeline, context)) {
      if (entry.table === null || !results.has(nameKey(entry.table))) found.set(`${entry.table} ${entry.access}`, entry);
    }
  }
  return [...found.values()];
}

async function lineageOfStep(step: PipelineStep, pipeline: Pipeline, context: StatementContext): Promise<LineageEntry[]> {
  const { work } = step;
  switch (work.kind) {
    case 'query':
    case 'sql':
    case 'expect': {
      const names = [...Object.keys(pipeline.params), ...Object.keys(step.args), ...runParameters];
      return lineageOf(
        work.statements.map((statement) => statement.text),
        context.connection,
        names.map((name) => ({ name })),
      );
    }
    case 'call': {
      const routine = (await context.catalogue.routine(work.routine))?.routine;
      return routine?.kind === 'procedure' ? lineageOfProcedure(routine, context) : [];
    }
    case 'command':
    case 'handler':
    case 'emit':
      return [];
    default:
      return work satisfies never;
  }
}

/** The graph: drawn, a row for each step in the order in which they can run; or as a text for Mermaid. */
export async function explainPipeline(statement: ExplainPipelineStatement, context: StatementContext): Promise<Result> {
  const { routine } = await findRoutine(statement.name, 'pipeline', context);
  if (routine.kind !== 'pipeline') throw new Diagnostic('internal', 'a stored pipeline is not a pipeline');
  if (statement.mermaid) return answer({ tag: 'EXPLAIN', columns: [text('mermaid')], rows: [[mermaid(routine)]], form: 'text' });
  const steps = inOrder(routine.steps);
  const drawn = drawGraph(steps);
  return answer({
    tag: 'EXPLAIN',
    columns: [text('graph'), text('step'), text('kind'), text('after'), text('does')],
    rows: steps.map((step, at) => [drawn[at] ?? '', step.name, step.work.kind, step.after.join(', '), doesOf(step)]),
    prominent: ['graph', 'step', 'does'],
  });
}

/** Each step after those it waits for; of steps that could run at once, the one written first. */
function inOrder(steps: readonly PipelineStep[]): PipelineStep[] {
  const waiting = [...steps];
  const done: PipelineStep[] = [];
  while (waiting.length > 0) {
    const next = waiting.findIndex((step) => step.after.every((parent) => done.some((other) => other.name === parent)));
    done.push(...waiting.splice(Math.max(0, next), 1));
  }
  return done;
}

function doesOf(step: PipelineStep): string {
  const { work, forEach, parallel, retry, timeoutMs } = step;
  const items = forEach === undefined ? '' : `for each of ${forEach}${parallel > 1 ? `, ${parallel} at a time` : ''}: `;
  const notes = [
    step.if === undefined ? '' : `if ${brief(step.if)}`,
    step.as === undefined ? '' : `kept as ${step.as}`,
    timeoutMs === undefined || timeoutMs === null ? '' : `at most ${formatDuration(timeoutMs)}`,
    (retry.maxRetries ?? 0) === 0 ? '' : `tried again ${retry.maxRetries === 1 ? 'once' : `${retry.maxRetries} times`}`,
    reactionText('empty', step.onEmpty, 'continue'),
    reactionText('a failure', step.onFail, 'abort'),
  ].filter((note) => note !== '');
  const given = Object.entries(shownParameters(step.args)).map(
    ([name, value]) => `${name} => ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const withArguments = given.length === 0 ? '' : ` with ${given.join(', ')}`;
  const what = work.kind === 'call' ? `${work.routine}(${given.join(', ')})` : `${brief(subjectOf(work))}${withArguments}`;
  return `${items}${what}${notes.map((note) => `; ${note}`).join('')}`;
}

function subjectOf(work: Exclude<PipelineStep['work'], { kind: 'call' }>): string {
  switch (work.kind) {
    case 'query':
    case 'sql':
    case 'expect':
      return work.text;
    case 'command':
      return typeof work.command === 'string' ? work.command : work.command.join(' ');
    case 'handler':
      return work.path;
    case 'emit':
      return work.event;
    default:
      return work satisfies never;
  }
}

function reactionText(when: string, { kind, message, actions }: StepReaction, usual: StepReaction['kind']): string {
  const chosen = kind === usual && message === undefined ? [] : [message === undefined ? kind : `${kind} '${message}'`];
  const followed = actions.map((action) =>
    action.kind === 'call' ? `call ${action.procedure}` : action.kind === 'emit' ? `emit ${action.name}` : `notify ${action.channel}`,
  );
  const all = [...chosen, ...followed];
  return all.length === 0 ? '' : `on ${when} ${all.join(', ')}`;
}

const longestText = 60;

/** One line of a text, cut where it gets long. */
function brief(given: string): string {
  const line = given.replace(/\s+/g, ' ').trim();
  return line.length <= longestText ? line : `${line.slice(0, longestText - 2)}..`;
}

/** Nodes have numbers, because a step's name may be any text. */
function mermaid({ steps }: Pipeline): string {
  const node = (name: string): string => `s${steps.findIndex((step) => step.name === name) + 1}`;
  const lines = steps.map((step) => {
    const kind = step.forEach === undefined ? step.work.kind : `${step.work.kind} for each of ${step.forEach}`;
    return `  ${node(step.name)}["${label(step.name)}<br/>${label(kind)}"]`;
  });
  const edges = steps.flatMap((step) => step.after.map((parent) => `  ${node(parent)} --> ${node(step.name)}`));
  return ['flowchart TD', ...lines, ...edges].join('\n');
}

function label(given: string): string {
  return given.replace(/[&"<>#]/g, (character) => `#${character.charCodeAt(0)};`).replace(/\s+/g, ' ');
}
