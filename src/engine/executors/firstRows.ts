// A statement that is carried out to its end, and of whose rows only the first are kept: a body may end with a query of a billion
// rows, and the row of its run has room for a hundred.
//
// A query is put into another that computes all of its rows, in their order, and hands out the first. Measured with
// `SELECT * FROM range(50000000)`: 90 ms and no memory, where all rows as a result take 200 ms and 400 MB of DuckDB's memory. To
// stop reading would be wrong, because an error in the last row fails the statement; and to read all as a stream (1 s) would not
// do, because DuckDB does not tell why a stream has failed.

import { Diagnostic } from '../../core/diagnostic.ts';
import { factsOf } from '../../parser/facts.ts';
import { tokenAt } from '../../parser/lexer.ts';
import type { Column } from '../result.ts';
import type { Connection, Parameters } from '../store/duckdb/connection.ts';
import type { Value } from '../value.ts';

export interface Keeps {
  readonly rows: number;
  /** Of JSON: where the next row would need more, it and all behind it are left out. */
  readonly characters: number;
}

export interface FirstRows {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
  readonly rowsChanged: number;
  /** Rows are left out because they are too large. */
  readonly isCut: boolean;
}

export async function firstRows(connection: Connection, text: string, values: Parameters, keeps: Keeps): Promise<FirstRows> {
  if (!isQuery(text)) return connection.first(text, values, keeps);
  try {
    // That no row is kept DuckDB would see, and compute none.
    return await connection.first(`FROM (${text}\n) QUALIFY row_number() OVER () <= ${Math.max(keeps.rows, 1)}`, values, keeps);
  } catch (error) {
    if (!hasNotBegun(error, connection)) throw error;
    // As a person wrote it, so that the mistake is told at its place.
    return connection.first(text, values, keeps);
  }
}

/** The first value of a question; undefined where it answers no row. */
export async function firstValue(connection: Connection, question: string, values: Parameters): Promise<Value | undefined> {
  return (await firstRows(connection, question, values, oneValue)).rows[0]?.[0];
}

/** What decides something is a boolean, or is told in a message. */
const oneValue: Keeps = { rows: 1, characters: 100_000 };

function isQuery(text: string): boolean {
  const first = tokenAt(text, 0);
  return queries.includes(text.slice(first.start, first.end).toUpperCase()) && factsOf(text).acts.length === 0;
}

const queries = ['SELECT', 'WITH', 'FROM', 'VALUES', 'TABLE', '('];

/** Where DuckDB could not read or bind it, which leaves a transaction as it is; what fails at work aborts it. */
function hasNotBegun(error: unknown, connection: Connection): boolean {
  if (!(error instanceof Diagnostic) || error.code === 'cancelled') return false;
  return connection.transaction === 'open' || (connection.transaction === 'none' && error.code === 'syntax_error');
}
