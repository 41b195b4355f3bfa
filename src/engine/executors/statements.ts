// Running SQL with bound values, statement by statement: the shared heart of CALL, of procedures and of `sql:`. Each statement
// is prepared after the one before it ran, so that a body may create what it then uses; only the values that a statement names
// are bound to it, because DuckDB refuses the others.

import { Diagnostic } from '../../core/diagnostic.ts';
import { parametersOf } from '../../parser/facts.ts';
import { suggest } from '../../parser/suggest.ts';
import { callOf } from '../calls.ts';
import { deleteJobRunDetails } from '../jobHistory.ts';
import { jobStatementOf } from '../jobStatement.ts';
import type { Column } from '../result.ts';
import { type BodyStatement, type Procedure, runParameters } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { type Connection, Typed } from '../store/duckdb/connection.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import type { Value } from '../value.ts';

export interface StatementsResult {
  readonly columns: readonly Column[];
  /** The rows of the last statement. */
  readonly rows: readonly (readonly Value[])[];
  /** For each statement in turn. */
  readonly rowsChanged: readonly number[];
}

/** Values by the names under which a body knows them, folded. */
export type Bindings = ReadonlyMap<string, Typed>;

/** In a bare CALL, what every run has is NULL. */
export const noRun: Bindings = new Map(
  runParameters.map((name) => {
    const kind = name.endsWith('_at') ? 'TIMESTAMPTZ' : name === 'attempt' ? 'BIGINT' : 'VARCHAR';
    return [name, new Typed({ value: null, type: { kind } })];
  }),
);

export interface CallScope {
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly sql: Sql;
  /** Which procedures are being called, outermost first. */
  readonly calls: readonly string[];
}

const deepestCall = 32;

/** Runs `statements` of `what` (for messages: `procedure purge`). */
export async function runStatements(
  what: string,
  text: string,
  statements: readonly BodyStatement[],
  bindings: Bindings,
  scope: CallScope,
): Promise<StatementsResult> {
  let last: { columns: readonly Column[]; rows: readonly (readonly Value[])[] } = { columns: [], rows: [] };
  const rowsChanged: number[] = [];
  for (const [index, statement] of statements.entries()) {
    try {
      const answer = await runStatement(statement.text, bindings, scope);
      last = answer;
      rowsChanged.push(answer.rowsChanged);
    } catch (error) {
      throw placed(error, what, text, statement, index, statements.length);
    }
  }
  return { ...last, rowsChanged };
}

async function runStatement(
  text: string,
  bindings: Bindings,
  scope: CallScope,
): Promise<{ columns: readonly Column[]; rows: readonly (readonly Value[])[]; rowsChanged: number }> {
  const call = callOf(text);
  const stored = call === undefined ? undefined : await scope.catalogue.routine(call.name.text);
  if (call !== undefined && stored?.routine.kind === 'procedure') {
    const values = await bindArguments(stored.routine, call.arguments, bindings, scope.connection);
    const answer = await callProcedure(stored.routine, values, scope);
    return { ...answer, rowsChanged: answer.rowsChanged.reduce((sum, count) => sum + count, 0) };
  }
  const job = jobStatementOf(text, scope.sql.database);
  if (job?.kind === 'delete') {
    return { columns: [], rows: [], rowsChanged: await deleteJobRunDetails(job, used(text, bindings), scope.connection, scope.sql) };
  }
  return scope.connection.table(text, used(text, bindings));
}

/** Runs a procedure in SQL inside the transaction that is open. */
export async function callProcedure(procedure: Procedure, bindings: Bindings, scope: CallScope): Promise<StatementsResult> {
  const { body, name } = procedure;
  if (body.language !== 'sql') {
    throw new Diagnostic('unsupported', `procedure ${name} is a ${body.language} procedure and has no rows to answer`, {
      hint: 'run it by a schedule: UPSERT SCHEDULE .. ( exe: procedure, call: name ), RUN SCHEDULE ..',
    });
  }
  if (scope.calls.length >= deepestCall) {
    throw new Diagnostic(
      'too_large',
      `procedures call each other more than ${deepestCall} deep: ${scope.calls.slice(0, 5).join(' -> ')} ..`,
    );
  }
  return runStatements(`procedure ${name}`, body.text, body.statements, bindings, { ...scope, calls: [...scope.calls, name] });
}

/** The values of a call's arguments, each of its parameter's type: evaluated by DuckDB, in this transaction. */
export async function bindArguments(
  procedure: Procedure,
  given: readonly {
    readonly name: { readonly text: string; readonly span: { start: number; end: number } } | undefined;
    readonly expression: { readonly text: string; readonly span: { start: number; end: number } };
  }[],
  outer: Bindings,
  connection: Connection,
): Promise<Bindings> {
  const { parameters } = procedure;
  const expressions = new Map<string, string>();
  for (const [index, argument] of given.entries()) {
    const parameter =
      argument.name === undefined
        ? parameters[index]
        : parameters.find((known) => known.name.toLowerCase() === argument.name?.text.toLowerCase());
    if (parameter === undefined) {
      const legal = parameters.map((known) => `${known.name} ${known.type}`).join(', ') || 'none';
      const near =
        argument.name === undefined
          ? undefined
          : suggest(
              argument.name.text,
              parameters.map((known) => known.name),
            );
      const message =
        argument.name === undefined
          ? `procedure ${procedure.name} takes ${parameters.length} argument${parameters.length === 1 ? '' : 's'}, got ${given.length}`
          : `procedure ${procedure.name} has no parameter ${argument.name.text}`;
      throw new Diagnostic('undefined_parameter', message, {
        span: argument.name?.span ?? argument.expression.span,
        hint: `${near === undefined ? '' : `did you mean ${near}? `}its parameters: ${legal}`,
      });
    }
    if (expressions.has(parameter.name)) {
      throw new Diagnostic('duplicate_key', `argument ${parameter.name} is given twice`, {
        span: argument.name?.span ?? argument.expression.span,
      });
    }
    expressions.set(parameter.name, argument.expression.text);
  }
  return evaluate(procedure, expressions, outer, connection);
}

/** `expressions` by parameter name; the rest take their defaults. */
export async function evaluate(
  procedure: Procedure,
  expressions: ReadonlyMap<string, string>,
  outer: Bindings,
  connection: Connection,
): Promise<Bindings> {
  const columns: string[] = [];
  for (const parameter of procedure.parameters) {
    const expression = expressions.get(parameter.name) ?? parameter.default;
    if (expression === undefined) {
      throw new Diagnostic('missing_key', `procedure ${procedure.name} needs the argument ${parameter.name} ${parameter.type}`, {
        hint: `write ${parameter.name} => ..`,
      });
    }
    columns.push(`CAST((${expression}\n) AS ${parameter.type})`);
  }
  const bindings = new Map(outer);
  if (columns.length === 0) return bindings;
  const sql = `SELECT ${columns.join(', ')}`;
  const { columns: typed, rows } = await connection.table(sql, used(sql, outer));
  for (const [index, parameter] of procedure.parameters.entries()) {
    const type = typed[index]?.type ?? { kind: 'NULL' };
    bindings.set(parameter.name.toLowerCase(), new Typed({ value: rows[0]?.[index] ?? null, type }));
  }
  return bindings;
}

/** Of all bindings those that `text` names: DuckDB refuses values that nothing asks for. */
export function used(text: string, bindings: Bindings): Record<string, Typed> {
  const values: Record<string, Typed> = {};
  for (const { name } of parametersOf(text)) {
    const value = bindings.get(name.toLowerCase());
    if (value !== undefined) values[name] = value;
  }
  return values;
}

/** The same mistake, with the statement's number and, where it is known, its place in the body. */
function placed(error: unknown, what: string, text: string, statement: BodyStatement, index: number, count: number): unknown {
  if (!(error instanceof Diagnostic)) return error;
  const places = [what];
  if (count > 1) places.push(`statement ${index + 1}`);
  if (error.span !== undefined) {
    const at = statement.start + error.span.start;
    const before = text.slice(0, at);
    const line = before.split('\n').length;
    if (text.includes('\n')) places.push(`line ${line} of its body`);
    places.push(`column ${at - before.lastIndexOf('\n')}`);
  }
  return new Diagnostic(error.code, `in ${places.join(', ')}: ${error.message}`, { hint: error.hint, cause: error });
}
