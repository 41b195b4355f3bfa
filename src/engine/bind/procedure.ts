// From UPSERT PROCEDURE to a Procedure. The body's statements are looked at one by one, so that what cannot run inside a
// run's transaction is refused here, with its place, and not at 2 a.m.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { DefineProcedureStatement, Entry, ObjectValue, Parameter, Sql, SqlBody } from '../../parser/ast.ts';
import { parametersOf } from '../../parser/facts.ts';
import { toOffset } from '../../parser/text.ts';
import { guardBody } from '../guard.ts';
import { type Procedure, type ProcedureBody, type ProcedureParameter, runParameters } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { refuseRunNames } from './arguments.ts';
import { bindBody, checkSyntax } from './body.ts';
import { commandWord } from './command.ts';
import { Fields, textOf } from './fields.ts';
import type { BindContext } from './schedule.ts';

export interface BoundProcedure {
  readonly procedure: Procedure;
  /** The older prefix `<{ sched: .. }>`: a cadence makes a schedule of the procedure's name, a schedule's name is pointed at it. */
  readonly legacySchedules: readonly Entry[];
}

export async function bindProcedure(statement: DefineProcedureStatement, context: BindContext): Promise<BoundProcedure> {
  const parameters = await bindProcedureParameters(statement.parameters, context);
  const options = statement.options === undefined ? undefined : new Fields(statement.options);
  const timeoutMs = options?.timeout();
  const description = options?.text('description');
  const legacy = statement.legacy === undefined ? { tags: [], schedules: [] } : readLegacy(statement.legacy);
  const body = bindProcedureBody(statement, parameters);
  if (statement.body.kind === 'sqlBody') {
    const { body: written } = statement;
    await checkSyntax(written.text, (index) => toOffset(written, index), context.catalogue);
  }
  const atomic = options?.boolean('atomic') ?? body.language === 'sql';
  if (atomic && body.language !== 'sql') {
    throw new Diagnostic('invalid_value', `a procedure in ${body.language} cannot be atomic`, {
      span: options?.get('atomic')?.span,
      hint: 'its effects lie outside the database; leave atomic out',
    });
  }
  return {
    procedure: {
      kind: 'procedure',
      name: statement.name.text,
      parameters,
      atomic,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(description === undefined ? {} : { description }),
      tags: legacy.tags,
      body,
    },
    legacySchedules: legacy.schedules,
  };
}

async function bindProcedureParameters(parameters: readonly Parameter[], context: BindContext): Promise<ProcedureParameter[]> {
  refuseRunNames(parameters.map((parameter) => parameter.name));
  const seen = new Set<string>();
  const bound: ProcedureParameter[] = [];
  for (const parameter of parameters) {
    const key = parameter.name.text.toLowerCase();
    if (seen.has(key)) {
      throw new Diagnostic('duplicate_key', `parameter ${parameter.name.text} stands twice`, { span: parameter.name.span });
    }
    seen.add(key);
    if (!(await context.catalogue.typeExists(parameter.type.text))) {
      throw new Diagnostic('wrong_type', `parameter ${parameter.name.text} has the unknown type ${parameter.type.text}`, {
        span: parameter.type.span,
        hint: 'any type of DuckDB: INTEGER, DATE, VARCHAR, DECIMAL(10,2), VARCHAR[], ..',
      });
    }
    const { default: fallback } = parameter;
    if (fallback !== undefined) await checkDefault(parameter, fallback, context.catalogue);
    bound.push({
      name: parameter.name.text,
      type: parameter.type.text,
      ...(fallback === undefined ? {} : { default: fallback.text }),
    });
  }
  return bound;
}

/** It is evaluated at each call, as SQL that runs by itself: of it all is known that can be known without running it. */
async function checkDefault({ name, type }: Parameter, { text, span }: Sql, catalogue: Catalogue): Promise<void> {
  const before = 'SELECT ';
  const refused = guardBody(before + text);
  if (refused !== undefined) throw refused.movedBy((index) => span.start + Math.max(index - before.length, 0));
  const unknown = parametersOf(text).find(({ name: used }) => !runParameters.some((known) => known === used.toLowerCase()));
  if (unknown !== undefined) {
    throw new Diagnostic('undefined_parameter', `a default cannot use ${text.slice(unknown.span.start, unknown.span.end)}`, {
      span: { start: span.start + unknown.span.start, end: span.start + unknown.span.end },
      hint: `it knows what every run has: ${runParameters.map((known) => `$${known}`).join(', ')}`,
    });
  }
  const problem = await catalogue.defaultProblem(text, type.text);
  if (problem === 'does not fit') {
    throw new Diagnostic('wrong_type', `the default of ${name.text} is no ${type.text}: ${text}`, { span });
  }
  if (problem === undefined) return;
  throw problem.span === undefined ? problem.at(span) : problem.movedBy((index) => Math.min(span.start + Math.max(index, 0), span.end));
}

function bindProcedureBody(statement: DefineProcedureStatement, parameters: readonly ProcedureParameter[]): ProcedureBody {
  const { body } = statement;
  switch (body.kind) {
    case 'sqlBody':
      return bindSqlBody(body, parameters);
    case 'commandBody': {
      const { command } = body;
      if (command.kind === 'string') return { language: 'command', command: command.text };
      if (command.items.length === 0) throw new Diagnostic('invalid_value', 'the command is empty', { span: command.span });
      const names = parameters.map((parameter) => parameter.name);
      return { language: 'command', command: command.items.map((item) => commandWord(item, names)) };
    }
    case 'handlerBody':
      return { language: 'javascript', path: body.path.text };
    default:
      return body satisfies never;
  }
}

function bindSqlBody(body: SqlBody, parameters: readonly ProcedureParameter[]): ProcedureBody {
  if (body.statements.length === 0) {
    throw new Diagnostic('invalid_value', 'the body is empty', {
      span: body.span,
      hint: 'write at least one statement between BEGIN and END',
    });
  }
  const names = parameters.map((parameter) => parameter.name);
  const statements = bindBody(body.text, { parameters: names, toOffset: (index) => toOffset(body, index) });
  return { language: 'sql', text: body.text, statements };
}

function readLegacy(object: ObjectValue): { tags: string[]; schedules: Entry[] } {
  const tags: string[] = [];
  const schedules: Entry[] = [];
  for (const entry of object.entries) {
    const field = entry.key.text.toLowerCase();
    if (field === 'kind') tags.push(textOf(entry.value, 'kind'));
    else if (field === 'sched' || field === 'schedule' || field === 'cron') schedules.push(entry);
    else {
      throw new Diagnostic('unknown_key', `unknown key '${entry.key.text}' in <{ .. }>`, {
        span: entry.key.span,
        hint: 'legal: kind, sched',
      });
    }
  }
  return { tags, schedules };
}
