// What steps keep under a name (`as: items`) for the steps behind them: tables of the schema `cuckoo_work`, named by the first
// attempt of their run, so that a retry finds them again; those of an atomic pipeline are temporary. A step sees them by their own
// names, as temporary views of its connection. Temporary names win over all others, measured with 1.5.6: also over `main.items`,
// so that only `database.main.items` reaches a user's table then. Rows never come here: a result may have ten million.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { nameKey } from '../../../core/name.ts';
import { factsOf } from '../../../parser/facts.ts';
import { tokenAt } from '../../../parser/lexer.ts';
import { suggest } from '../../../parser/suggest.ts';
import { type Column, uniqueNames } from '../../result.ts';
import type { PipelineStep } from '../../routine.ts';
import { type Connection, Typed } from '../../store/duckdb/connection.ts';
import { identifier, literal } from '../../store/duckdb/literal.ts';
import type { SqlType, Value } from '../../value.ts';

/** A result that a pipeline knows. */
export interface KnownResult {
  readonly name: string;
  readonly step: string;
  /** The rows of all items of a for_each, which are told apart by a column that nobody sees. */
  readonly ofItems: boolean;
}

export function resultsOf(steps: readonly PipelineStep[]): KnownResult[] {
  return steps.flatMap((step) => (step.as === undefined ? [] : [{ name: step.as, step: step.name, ofItems: step.forEach !== undefined }]));
}

export interface Place {
  /** The table of a result, as SQL writes it. */
  table(result: string): string;
}

export function durablePlace(database: string, firstRunId: string): Place {
  return { table: (result) => `${identifier(database)}.cuckoo_work.${identifier(`${firstRunId}_${nameKey(result)}`)}` };
}

export const temporaryPlace: Place = {
  table: (result) => `temp.main.${identifier(`cuckoo_work_${nameKey(result)}`)}`,
};

/** Where the values of parameters are kept that were asked of the database; no result can be called so. */
export const parametersTable = '$params';

/** Which item a row is of. */
const itemColumn = 'cuckoo_item';

/** In the order of items, and of each as it was found. */
const ordered = ({ ofItems }: KnownResult): string => (ofItems ? `ORDER BY ${itemColumn} ASC NULLS LAST, rowid ASC` : 'ORDER BY rowid ASC');

/**
 * Makes results known by their names on a connection. One that is not there, because its step failed or did not run, answers
 * nothing but why: a table of the user's that is called so is not meant.
 */
export function viewsText(results: readonly KnownResult[], place: Place, missing: ReadonlyMap<string, string>): string {
  return results
    .map((result) => {
      const why = missing.get(nameKey(result.name));
      const name = `temp.main.${identifier(result.name)}`;
      if (why !== undefined) {
        const error = `error(${literal(why)})`;
        return `CREATE OR REPLACE TEMP VIEW ${name} AS SELECT ${error} AS ${identifier(result.name)} WHERE ${error} IS NULL`;
      }
      const rows = result.ofItems
        ? `SELECT * EXCLUDE (${itemColumn}) FROM ${place.table(result.name)} ${ordered(result)}`
        : `SELECT * FROM ${place.table(result.name)}`;
      return `CREATE OR REPLACE TEMP VIEW ${name} AS ${rows}`;
    })
    .join('; ');
}

/** Those whose names stand anywhere in these texts: more than are meant, and never fewer. */
export function namedIn(texts: readonly string[], results: readonly KnownResult[]): readonly KnownResult[] {
  if (results.length === 0) return results;
  const all = nameKey(texts.join('\n'));
  return results.filter(({ name }) => all.includes(nameKey(name)));
}

/** Where the rows of a statement go. */
export interface Target {
  readonly table: string;
  /** Of a for_each. */
  readonly item: number | null;
  /** Another item has made it. */
  readonly isThere: boolean;
}

/** The statement that keeps what `text` answers; undefined where DuckDB takes it for no query. */
export function keepingText(
  text: string,
  { table, item, isThere }: Target,
): { readonly text: string; readonly before: number } | undefined {
  const first = tokenAt(text, 0);
  const word = text.slice(first.start, first.end).toUpperCase();
  const isQuery = queries.includes(word) && factsOf(text).acts.length === 0;
  if (!isQuery && !descriptions.includes(word)) return undefined;
  const into = isThere ? `INSERT INTO ${table}` : `CREATE OR REPLACE ${temporary(table)}TABLE ${table} AS`;
  const before = item !== null ? `${into} SELECT ${item}::BIGINT AS ${itemColumn}, * FROM (` : isQuery ? `${into} ` : `${into} FROM (`;
  return { text: `${before}${text}${before.endsWith('(') ? '\n)' : ''}`, before: before.length };
}

const queries = ['SELECT', 'WITH', 'FROM', 'VALUES', 'TABLE', 'PIVOT', 'UNPIVOT', '('];
/** Only in brackets. */
const descriptions = ['DESCRIBE', 'SHOW', 'SUMMARIZE'];

const temporary = (table: string): string => (table.startsWith('temp.') ? 'TEMP ' : '');

/** The same of rows that are here already: those of an INSERT .. RETURNING, of a handler. */
export async function keepRows(
  connection: Connection,
  columns: readonly Column[],
  rows: readonly (readonly Value[])[],
  { table, item, isThere }: Target,
): Promise<void> {
  const unique = uniqueNames(columns.map(({ name }) => nameKey(name)));
  const names = columns.map(({ name }, at) => (unique[at] === nameKey(name) ? name : unique[at]));
  const values: Record<string, Typed> = {};
  const lists = columns.map((column, at) => {
    values[`column_${at}`] = new Typed({ value: rows.map((row) => row[at] ?? null), type: { kind: 'LIST', item: column.type } });
    return `unnest($column_${at}) AS ${identifier(names[at] ?? column.name)}`;
  });
  const all = [...(item === null ? [] : [`${item}::BIGINT AS ${itemColumn}`]), ...lists];
  const into = isThere ? `INSERT INTO ${table}` : `CREATE OR REPLACE ${temporary(table)}TABLE ${table} AS`;
  await connection.run(`${into} SELECT ${all.join(', ')}`, values);
}

/** Some of the values that a result holds, by the paths that were asked for: `id`, or `address.city`. */
export interface Portion {
  readonly types: readonly SqlType[];
  /** For each row the values in the order of the paths. */
  readonly rows: readonly (readonly Typed[])[];
}

export async function readPortion(
  connection: Connection,
  result: KnownResult,
  paths: readonly (readonly string[])[],
  { place, from, most }: { readonly place: Place; readonly from: number; readonly most: number },
): Promise<Portion> {
  const table = place.table(result.name);
  await mustHaveColumns(connection, result, paths, table);
  const wanted = paths.map((path, at) => `kept.${path.map(identifier).join('.')} AS value_${at}`);
  const { columns, rows } = await connection.table(
    `SELECT ${[...wanted, 'NULL AS nothing'].join(', ')} FROM ${table} AS kept ${ordered(result)} LIMIT ${most} OFFSET ${from}`,
  );
  const types = paths.map((_, at): SqlType => columns[at]?.type ?? { kind: 'NULL' });
  return { types, rows: rows.map((row) => types.map((type, at) => new Typed({ value: row[at] ?? null, type }))) };
}

async function mustHaveColumns(
  connection: Connection,
  result: KnownResult,
  paths: readonly (readonly string[])[],
  table: string,
): Promise<void> {
  if (paths.length === 0) return;
  const { columns } = await connection.table(`SELECT * FROM ${table} LIMIT 0`);
  const known = columns.map(({ name }) => name).filter((name) => name !== itemColumn);
  for (const [column = ''] of paths) {
    if (known.some((name) => nameKey(name) === nameKey(column))) continue;
    const near = suggest(column, known);
    throw new Diagnostic('undefined_column', `result ${result.name} has no column ${column}`, {
      hint: `${near === undefined ? '' : `did you mean ${near}? `}its columns: ${known.join(', ')}`,
    });
  }
}

export async function countIn(table: string, connection: Connection): Promise<number> {
  const [row] = await connection.all<{ count: number }>(`SELECT count(*)::DOUBLE AS count FROM ${table}`);
  return row?.count ?? 0;
}

/** Those of its first attempt's tables that are there, by their results' folded names. */
export async function presentResults(connection: Connection, database: string, firstRunId: string): Promise<ReadonlySet<string>> {
  const rows = await connection.all<{ name: string }>(
    `SELECT table_name AS name FROM duckdb_tables()
     WHERE database_name = $database AND schema_name = 'cuckoo_work' AND starts_with(table_name, $prefix)`,
    { database, prefix: `${firstRunId}_` },
  );
  return new Set(rows.map(({ name }) => name.slice(firstRunId.length + 1)));
}
