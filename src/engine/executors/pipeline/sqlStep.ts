// The SQL of one step, or of one item of it, inside a transaction that is open: what it changes, what it found, and what it keeps
// for the steps behind it.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import type { Column } from '../../result.ts';
import type { BodyStatement, PipelineStep, Procedure } from '../../routine.ts';
import { Catalogue } from '../../store/duckdb/catalogue.ts';
import type { Connection } from '../../store/duckdb/connection.ts';
import { literal } from '../../store/duckdb/literal.ts';
import type { Sql } from '../../store/duckdb/sql.ts';
import type { Value } from '../../value.ts';
import { firstValue } from '../firstRows.ts';
import { type AnsweredRows, keepsOf, rowsResult } from '../runResult.ts';
import { type Bindings, runStatements, used } from '../statements.ts';
import { type Effects, effectsByItself, effectsOf, withCalled } from '../transaction.ts';
import { countIn, keepingText, keepRows, type Target } from './results.ts';

/** What a step does where it is SQL. */
export interface SqlBody {
  /** For messages: `step low`, `procedure reorder`. */
  readonly what: string;
  readonly text: string;
  readonly statements: readonly BodyStatement[];
  /** Where it is a procedure. */
  readonly procedure: Procedure | undefined;
}

/** undefined: it works outside of the database. */
export function sqlBodyOf({ name, work }: PipelineStep, procedure: Procedure | undefined): SqlBody | undefined {
  switch (work.kind) {
    case 'query':
    case 'sql':
    case 'expect':
      return { what: `step ${name}`, text: work.text, statements: work.statements, procedure: undefined };
    case 'call':
      if (procedure?.body.language !== 'sql') return undefined;
      return { what: `procedure ${procedure.name}`, text: procedure.body.text, statements: procedure.body.statements, procedure };
    case 'command':
    case 'handler':
    case 'emit':
      return undefined;
    default:
      return work satisfies never;
  }
}

export async function effectsOfBody({ statements, procedure }: SqlBody, connection: Connection, sql: Sql): Promise<Effects> {
  if (procedure?.atomic === false) return effectsByItself;
  return effectsOf(await withCalled(statements, new Catalogue(connection, sql)), connection, sql.database);
}

export interface Found {
  /** How many rows it answered. */
  readonly rows: number;
  readonly result: JsonValue;
  readonly rowsChanged: number;
  readonly notes: readonly string[];
}

export interface SqlParts {
  readonly connection: Connection;
  readonly sql: Sql;
  readonly resultRows: number;
}

/** `bindings` are all that its statements may name. */
export async function performBody(
  step: PipelineStep,
  body: SqlBody,
  bindings: Bindings,
  target: Target | undefined,
  parts: SqlParts,
): Promise<Found> {
  if (step.work.kind === 'expect') return performExpectation(step, body, bindings, parts);
  const { connection, sql, resultRows } = parts;
  const scope = {
    connection,
    catalogue: new Catalogue(connection, sql),
    sql,
    calls: body.procedure === undefined ? [] : [body.procedure.name],
  };
  const last = body.statements.at(-1);
  const keeping = target === undefined || last === undefined ? undefined : keepingText(last.text, target);
  if (target === undefined || last === undefined || keeping === undefined) {
    // Whether there are rows at all is asked of a step even where none of them is shown.
    const keeps = target === undefined ? { keeps: keepsOf(Math.max(resultRows, 1)) } : {};
    const answer = await runStatements(body.what, body.text, body.statements, bindings, { ...scope, ...keeps });
    const { columns, rows, isCut, rowsChanged } = answer;
    if (target !== undefined && columns.length === 0) {
      throw new Diagnostic(
        'invalid_value',
        `there is nothing to keep as ${step.as}: ${body.what} ends with a statement that answers no rows`,
        {
          hint: 'INSERT .. RETURNING answers what it has written',
        },
      );
    }
    if (target !== undefined) await keepRows(connection, columns, rows, target);
    return found(answer, rows.length + (isCut ? 1 : 0), sum(rowsChanged), resultRows);
  }
  // The last statement keeps its rows itself: they stay where they are, however many they may be.
  const statements = [...body.statements.slice(0, -1), { text: keeping.text, start: last.start - keeping.before }];
  const { rowsChanged } = await runStatements(body.what, body.text, statements, bindings, scope);
  const kept = target.isThere ? (rowsChanged.at(-1) ?? 0) : await countIn(target.table, connection);
  const own = target.item === null ? '' : ` WHERE cuckoo_item = ${target.item}`;
  const first = await connection.table(
    `SELECT ${target.item === null ? '*' : '* EXCLUDE (cuckoo_item)'} FROM ${target.table}${own} ORDER BY rowid ASC LIMIT ${resultRows}`,
  );
  return found(first, kept, sum(rowsChanged.slice(0, -1)), resultRows);
}

function found(answer: AnsweredRows, count: number, rowsChanged: number, resultRows: number): Found {
  const { result, note } = rowsResult(answer, resultRows);
  return { rows: count, result, rowsChanged, notes: note === undefined ? [] : [note] };
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

/** Rows that must not be, of which a sample is kept. */
export class Unexpected extends Diagnostic {
  readonly sample: JsonValue;

  constructor(message: string, sample: JsonValue) {
    super('run_failed', message);
    this.sample = sample;
  }
}

const mostOffenders = 10;
const offenders = 'temp.main.cuckoo_offenders';

/** One boolean must be true; otherwise any row is an offender. */
async function performExpectation(step: PipelineStep, body: SqlBody, bindings: Bindings, { connection, sql }: SqlParts): Promise<Found> {
  const scope = { connection, catalogue: new Catalogue(connection, sql), sql, calls: [] };
  const [only] = body.statements;
  const keeping = only === undefined ? undefined : keepingText(only.text, { table: offenders, item: null, isThere: false });
  let columns: readonly Column[];
  let rows: readonly (readonly Value[])[];
  let count: number;
  if (only === undefined || keeping === undefined) {
    const answer = await runStatements(body.what, body.text, body.statements, bindings, scope);
    ({ columns, rows } = answer);
    count = rows.length;
  } else {
    const statement = { text: keeping.text, start: only.start - keeping.before };
    await runStatements(body.what, body.text, [statement], bindings, scope);
    count = await countIn(offenders, connection);
    ({ columns, rows } = await connection.table(`SELECT * FROM ${offenders} ORDER BY rowid ASC LIMIT ${mostOffenders}`));
    await connection.run(`DROP TABLE ${offenders}`);
  }
  const isOneBoolean = columns.length === 1 && columns[0]?.type.kind === 'BOOLEAN' && count === 1;
  const value = rows[0]?.[0] ?? null;
  if (isOneBoolean ? value === true : count === 0) return { rows: count, result: null, rowsChanged: 0, notes: [] };
  const sample = rowsResult({ columns, rows }, mostOffenders).result;
  const saw = isOneBoolean ? `it was ${value === null ? 'NULL' : String(value)}` : count === 1 ? '1 row offends' : `${count} rows offend`;
  const message = step.message ?? 'the expectation does not hold';
  throw new Unexpected(step.message !== undefined && isOneBoolean ? message : `${message}: ${saw}`, sample);
}

/** The first value of an `if`; undefined where it answers no row. A question changes nothing. */
export async function askCondition(
  connection: Connection,
  condition: string,
  bindings: Bindings,
  zone: string,
): Promise<Value | undefined> {
  await connection.send(`SET TimeZone = ${literal(zone)}; BEGIN`, 'open');
  try {
    return await firstValue(connection, condition, used(condition, bindings));
  } finally {
    await connection.rollback();
  }
}
