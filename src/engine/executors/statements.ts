// Running SQL with bound values, statement by statement: the shared heart of CALL, of procedures and of `sql:`. Each statement
// is prepared after the one before it ran, so that a body may create what it then uses; only the values that a statement names
// are bound to it, because DuckDB refuses the others.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { CallArgument, OffsetMap, Sql } from '../../parser/ast.ts';
import { parametersOf } from '../../parser/facts.ts';
import { suggest } from '../../parser/suggest.ts';
import { toOffset } from '../../parser/text.ts';
import { callOf } from '../calls.ts';
import { deleteJobRunDetails } from '../jobHistory.ts';
import { jobStatementOf } from '../jobStatement.ts';
import type { Column } from '../result.ts';
import { type BodyStatement, type Procedure, runParameters } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import { type Connection, Typed } from '../store/duckdb/connection.ts';
import type { Sql as LedgerSql } from '../store/duckdb/sql.ts';
import type { Value } from '../value.ts';
import { firstRows, type Keeps } from './firstRows.ts';

export interface StatementsResult {
  readonly columns: readonly Column[];
  /** The rows of the last statement, as many as are kept. */
  readonly rows: readonly (readonly Value[])[];
  /** One that should be kept was too large. */
  readonly isCut: boolean;
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
  readonly sql: LedgerSql;
  /** Which procedures are being called, outermost first. */
  readonly calls: readonly string[];
  /** How many rows of the last statement are answered; without it, all. */
  readonly keeps?: Keeps;
}

/** Every statement is carried out to its end, and rows that nobody will see are computed and dropped. */
const noRows: Keeps = { rows: 0, characters: 0 };

const deepestCall = 32;

/** Runs `statements` of `what` (for messages: `procedure purge`). */
export async function runStatements(
  what: string,
  text: string,
  statements: readonly BodyStatement[],
  bindings: Bindings,
  scope: CallScope,
): Promise<StatementsResult> {
  let last: Answer = { columns: [], rows: [], isCut: false, rowsChanged: 0 };
  const rowsChanged: number[] = [];
  for (const [index, statement] of statements.entries()) {
    try {
      const isLast = index === statements.length - 1;
      last = await runStatement(statement.text, bindings, isLast ? scope : { ...scope, keeps: noRows });
      rowsChanged.push(last.rowsChanged);
    } catch (error) {
      throw placed(error, what, text, statement, index, statements.length);
    }
  }
  return { ...last, rowsChanged };
}

type Answer = Omit<StatementsResult, 'rowsChanged'> & { readonly rowsChanged: number };

async function runStatement(text: string, bindings: Bindings, scope: CallScope): Promise<Answer> {
  const call = callOf(text);
  const stored = call === undefined ? undefined : await scope.catalogue.routine(call.name.text);
  if (call !== undefined && stored?.routine.kind === 'procedure') {
    const values = await bindArguments(stored.routine, call.arguments, bindings, scope.connection);
    const answer = await callProcedure(stored.routine, values, scope);
    return { ...answer, rowsChanged: answer.rowsChanged.reduce((sum, count) => sum + count, 0) };
  }
  const job = jobStatementOf(text, scope.sql.database);
  if (job?.kind === 'delete') {
    return {
      columns: [],
      rows: [],
      isCut: false,
      rowsChanged: await deleteJobRunDetails(job, used(text, bindings), scope.connection, scope.sql),
    };
  }
  const { connection, keeps } = scope;
  const values = used(text, bindings);
  return keeps === undefined ? { ...(await connection.table(text, values)), isCut: false } : firstRows(connection, text, values, keeps);
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
    const error = new Diagnostic('too_large', `procedures call each other more than ${deepestCall} deep: ${circle(scope.calls, name)}`, {
      hint: 'a body has no condition that could end the circle: take one of the calls out',
    });
    tooDeep.add(error);
    throw error;
  }
  return runStatements(`procedure ${name}`, body.text, body.statements, bindings, { ...scope, calls: [...scope.calls, name] });
}

/** Errors that say themselves where they come from: thirty-two places more would say nothing. */
const tooDeep = new WeakSet<Diagnostic>();

/** `a -> b -> a`: from a procedure to where it comes back to itself. */
function circle(calls: readonly string[], last: string): string {
  const from = calls.lastIndexOf(last);
  return from < 0 ? `${calls.slice(0, 5).join(' -> ')} ..` : [...calls.slice(from), last].join(' -> ');
}

/** What stands for a parameter: text to evaluate, and where a person wrote it. */
export interface Expression {
  readonly text: string;
  readonly written?: { readonly span: Span; readonly offsets: OffsetMap };
}

/** The values of a call's arguments, each of its parameter's type: evaluated by DuckDB, in this transaction. */
export async function bindArguments(
  procedure: Procedure,
  given: readonly CallArgument[],
  outer: Bindings,
  connection: Connection,
): Promise<Bindings> {
  const { parameters } = procedure;
  const expressions = new Map<string, Expression>();
  let values = 0;
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
    const numbered = withNumbers(argument.expression, values);
    values += numbered.count;
    expressions.set(parameter.name, numbered.expression);
  }
  return evaluate(procedure, expressions, outer, connection);
}

/** `?` is the next of the session's values: numbered, because each expression is moved into a statement of its own. */
function withNumbers({ text, span }: Sql, before: number): { readonly expression: Expression; readonly count: number } {
  const offsets: [number, number][] = [[0, span.start]];
  let numbered = '';
  let from = 0;
  let count = 0;
  for (const { kind, span: place } of parametersOf(text)) {
    if (kind !== 'next') continue;
    count += 1;
    numbered += `${text.slice(from, place.start)}$${before + count}`;
    from = place.end;
    offsets.push([numbered.length, span.start + from]);
  }
  return { expression: { text: numbered + text.slice(from), written: { span, offsets } }, count };
}

/** `expressions` by parameter name; the rest take their defaults. */
export async function evaluate(
  procedure: Procedure,
  expressions: ReadonlyMap<string, Expression>,
  outer: Bindings,
  connection: Connection,
): Promise<Bindings> {
  const bindings = new Map(outer);
  if (procedure.parameters.length === 0) return bindings;
  const pieces: Piece[] = [];
  let sql = 'SELECT ';
  for (const parameter of procedure.parameters) {
    const given = expressions.get(parameter.name);
    const text = given?.text ?? parameter.default;
    if (text === undefined) {
      throw new Diagnostic('missing_key', `procedure ${procedure.name} needs the argument ${parameter.name} ${parameter.type}`, {
        hint: `write ${parameter.name} => ..`,
      });
    }
    const start = sql.length + (pieces.length === 0 ? 0 : 2);
    sql += `${pieces.length === 0 ? '' : ', '}${castStart}${text}\n) AS ${parameter.type})`;
    pieces.push({ parameter: parameter.name, start, end: sql.length, given, text });
  }
  const answer = await connection.table(sql, used(sql, outer)).catch((error: unknown) => {
    throw error instanceof Diagnostic ? atArgument(error, pieces) : error;
  });
  for (const [index, parameter] of procedure.parameters.entries()) {
    const type = answer.columns[index]?.type ?? { kind: 'NULL' };
    bindings.set(parameter.name.toLowerCase(), new Typed({ value: answer.rows[0]?.[index] ?? null, type }));
  }
  return bindings;
}

const castStart = 'CAST((';

/** Where the value of a parameter stands in the SELECT that evaluates them all. */
interface Piece {
  readonly parameter: string;
  readonly start: number;
  readonly end: number;
  /** undefined: its default. */
  readonly given: Expression | undefined;
  readonly text: string;
}

/** The mistake where a person made it: in the argument, or in the default of which parameter. */
function atArgument(error: Diagnostic, pieces: readonly Piece[]): Diagnostic {
  const { span } = error;
  const only = pieces.length === 1 ? pieces[0] : undefined;
  const piece = span === undefined ? only : pieces.find(({ start, end }) => span.start >= start && span.start < end);
  const about = (place: string): Diagnostic => new Diagnostic(error.code, `${place}: ${error.message}`, { hint: error.hint, cause: error });
  if (piece === undefined) return span === undefined ? error : about('in the arguments');
  const { parameter, given, text, start } = piece;
  if (given === undefined) return about(`in the default of ${parameter}`);
  if (given.written === undefined) return about(`parameter ${parameter}`);
  const { written } = given;
  const inside = (span?.start ?? start) - start - castStart.length;
  if (span === undefined || inside < 0 || inside > text.length) {
    // What follows the argument is ours, so that a hint about it would speak of what nobody wrote.
    const hint = error.code === 'syntax_error' ? 'something is missing at its end' : error.hint;
    return new Diagnostic(error.code, error.message, { span: written.span, hint, cause: error });
  }
  const end = Math.min(inside + span.end - span.start, text.length);
  return error.at({ start: toOffset(written, inside), end: toOffset(written, end) });
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
  if (!(error instanceof Diagnostic) || tooDeep.has(error)) return error;
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
