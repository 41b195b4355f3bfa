// Which tables a statement reads and writes, without running it. DuckDB's own plan knows best: `json_serialize_plan` binds the
// statement and names its tables, through views, macros and subqueries, and answers a mistake as data, so that it neither
// executes anything nor aborts the transaction it is asked in (measured with 1.5.6). What does not bind yet, because a table is
// made by an earlier statement of the same body, is read by a PostgreSQL parser, as far as that is certain. What is left is
// unknown: an entry without a table, never a guess.
//
// Names are tables: views are resolved, functions that read files and temporary tables are left out. A table of the main
// schema stands bare, others as `schema.table`, those of an attached database as `database.schema.table`.

import { type Token, tokenAt } from '../parser/lexer.ts';
import { decode } from '../parser/text.ts';
import { opensItself } from './guard.ts';
import { literal } from './store/duckdb/literal.ts';

export interface LineageEntry {
  /** null: something that cannot be known. */
  readonly table: string | null;
  readonly access: 'reads' | 'writes';
}

export interface LineageConnection {
  all<Row extends object>(sql: string): Promise<Row[]>;
}

/** A parameter that is bound when the statement runs; its type, where known, decides between overloaded functions. */
export interface LineageParameter {
  readonly name: string;
  readonly type?: string;
}

/** The tables of statements that run one after another; each entry once, in the order of their names. */
export async function lineageOf(
  statements: readonly string[],
  connection: LineageConnection,
  parameters: readonly LineageParameter[] = [],
): Promise<LineageEntry[]> {
  // Ours is the first with our ledger: a file called cron.duckdb is attached under another name beside an empty main database.
  const [main] = await connection.all<{ name: string }>(`
    SELECT database_name AS name FROM duckdb_databases() d
    WHERE NOT internal
    ORDER BY database_oid NOT IN (SELECT database_oid FROM duckdb_schemas() WHERE schema_name = 'cuckoo_ledger') ASC NULLS LAST,
      database_oid ASC NULLS LAST
    LIMIT 1`);
  const tables = new Tables(main?.name ?? '');
  for (const statement of statements) {
    const text = withoutParameters(statement, parameters);
    if (text === undefined) continue;
    // Binding opens the files that a statement names, and whoever closes the open database's file drops the lock on it.
    if (opensItself(text)) tables.unknown(text);
    else await readStatement(text, connection, tables);
  }
  return tables.entries();
}

/** Each entry once, in the order of their names. */
export function merged(entries: readonly LineageEntry[]): LineageEntry[] {
  const once = new Map(entries.map((entry) => [`${entry.access} ${entry.table?.toLowerCase() ?? ''}`, entry]));
  return [...once.values()].sort((a, b) => compare(a.table ?? '', b.table ?? '') || compare(a.access, b.access));
}

async function readStatement(text: string, connection: LineageConnection, tables: Tables): Promise<void> {
  const explained = afterExplain(text);
  if (explained === 'nothing runs') return;
  const statement = explained ?? text;
  const plan = await planOf(statement, connection);
  if (plan !== undefined) {
    tables.readPlan(plan);
    return;
  }
  // A COPY whose file is not there yet does not bind; its table does.
  const copied = copyTarget(statement);
  const target = copied === undefined ? undefined : await planOf(`TRUNCATE ${copied}`, connection);
  if (target !== undefined) {
    tables.readPlan(target);
    return;
  }
  const parsed = await parsedTables(statement);
  if (parsed === undefined) tables.unknown(statement);
  else tables.readParsed(parsed);
}

async function planOf(text: string, connection: LineageConnection): Promise<readonly PlanNode[] | undefined> {
  // The function takes a constant, not a parameter; and no text for DuckDB holds a NUL.
  if (text.includes('\0')) return undefined;
  const [row] = await connection.all<{ plan: string }>(
    `SELECT json_serialize_plan(${literal(text)}, skip_null := true, skip_empty := true, skip_default := true)::VARCHAR AS plan`,
  );
  const answer = JSON.parse(row?.plan ?? '{"error":true}') as { error: boolean; plans?: readonly PlanNode[] };
  return answer.error ? undefined : answer.plans;
}

/** What we read of a plan. */
interface PlanNode {
  readonly type: string;
  readonly children?: readonly PlanNode[];
  readonly function_data?: PlanInfo;
  readonly table_info?: PlanInfo;
  readonly info?: PlanInfo;
  readonly column_indexes?: readonly { readonly index?: number }[];
}

interface PlanInfo {
  readonly type?: string;
  readonly catalog?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly name?: string;
  readonly cascade?: boolean;
  readonly alter_table_type?: string;
}

interface TableName {
  readonly catalog: string;
  readonly schema: string;
  readonly table: string;
}

/** What was found so far. */
class Tables {
  readonly #database: string;
  readonly #found: LineageEntry[] = [];
  /** Temporary tables that an earlier statement makes: they are no business of others. */
  readonly #temporary = new Set<string>();

  constructor(database: string) {
    this.#database = database;
  }

  entries(): LineageEntry[] {
    return merged(this.#found);
  }

  unknown(statement: string): void {
    this.#add(null, 'reads');
    if (!/^(?:SELECT|FROM|VALUES|TABLE|PIVOT|UNPIVOT|SUMMARIZE|DESCRIBE|SHOW)$/.test(word(statement, tokenAt(statement, 0)))) {
      this.#add(null, 'writes');
    }
  }

  readPlan(plan: readonly PlanNode[]): void {
    for (const node of plan) this.#operator(node);
  }

  #operator(node: PlanNode): void {
    let children = node.children ?? [];
    switch (node.type) {
      case 'LOGICAL_GET': {
        const name = tableName(node.function_data);
        if (name !== undefined) this.#table(name, 'reads');
        return;
      }
      case 'LOGICAL_INSERT':
        this.#table(tableName(node.table_info), 'writes');
        break;
      case 'LOGICAL_UPDATE':
      case 'LOGICAL_DELETE':
      case 'LOGICAL_MERGE_INTO': {
        const target = tableName(node.table_info);
        this.#table(target, 'writes');
        if (target !== undefined) children = withoutScanOf(target, children);
        break;
      }
      case 'LOGICAL_CREATE_TABLE': {
        const target = tableName(node.info);
        if (target?.catalog === 'temp') this.#temporary.add(target.table.toLowerCase());
        this.#table(target, 'writes');
        break;
      }
      case 'LOGICAL_CREATE_INDEX':
        this.#table(tableName(node.info), 'writes');
        return;
      case 'LOGICAL_DROP':
        if (node.info?.type === 'TABLE_ENTRY') this.#table(namedTable(node.info), 'writes');
        // What goes with a schema is decided when it goes.
        else if (node.info?.type === 'SCHEMA_ENTRY' && node.info.cascade === true) this.#add(null, 'writes');
        return;
      case 'LOGICAL_ALTER':
        if (node.info?.alter_table_type !== undefined) this.#table(namedTable(node.info), 'writes');
        return;
      case 'LOGICAL_COPY_DATABASE':
        this.#add(null, 'reads');
        this.#add(null, 'writes');
        return;
      case 'LOGICAL_VACUUM':
        return;
      default:
        break;
    }
    this.readPlan(children);
  }

  readParsed(parsed: readonly ParsedTable[]): void {
    for (const { name, access, temporary } of parsed) {
      if (temporary) this.#temporary.add(name.toLowerCase());
      if (!this.#temporary.has(name.toLowerCase())) this.#add(name, access);
    }
  }

  #table(name: TableName | undefined, access: LineageEntry['access']): void {
    if (name === undefined) {
      this.#add(null, access);
      return;
    }
    const { catalog, schema, table } = name;
    if (catalog === 'temp') return;
    if (catalog !== this.#database) this.#add(`${catalog}.${schema}.${table}`, access);
    else if (schema !== 'main') this.#add(`${schema}.${table}`, access);
    else if (!this.#temporary.has(table.toLowerCase())) this.#add(table, access);
  }

  #add(table: string | null, access: LineageEntry['access']): void {
    this.#found.push({ table, access });
  }
}

/** UPDATE, DELETE and MERGE scan their target for the rows' ids: one such scan is theirs and no reading. */
function withoutScanOf(target: TableName, plan: readonly PlanNode[]): readonly PlanNode[] {
  let found = false;
  const visit = (nodes: readonly PlanNode[]): readonly PlanNode[] =>
    nodes.flatMap((node) => {
      if (found) return [node];
      found = node.type === 'LOGICAL_GET' && scansRowIds(node) && sameTable(tableName(node.function_data), target);
      return found ? [] : [node.children === undefined ? node : { ...node, children: visit(node.children) }];
    });
  return visit(plan);
}

function scansRowIds(node: PlanNode): boolean {
  return node.column_indexes?.some(({ index }) => index !== undefined && index > 2 ** 62) ?? false;
}

function tableName({ catalog, schema, table }: PlanInfo = {}): TableName | undefined {
  return catalog === undefined || schema === undefined || table === undefined ? undefined : { catalog, schema, table };
}

function namedTable(info: PlanInfo): TableName | undefined {
  return info.name === undefined ? undefined : tableName({ ...info, table: info.name });
}

function sameTable(a: TableName | undefined, b: TableName): boolean {
  return a?.catalog === b.catalog && a.schema === b.schema && a.table === b.table;
}

/**
 * The statement with values in place of its parameters, for planning alone: a plan with parameters of unknown type is an
 * internal error of DuckDB. undefined if it holds no statement.
 */
export function withoutParameters(statement: string, parameters: readonly LineageParameter[]): string | undefined {
  const types = new Map(parameters.map(({ name, type }) => [name.toLowerCase(), type]));
  let text = '';
  let from = 0;
  let empty = true;
  for (let token = tokenAt(statement, 0); token.kind !== 'end'; token = tokenAt(statement, token.end)) {
    empty = false;
    if (token.kind !== 'parameter') continue;
    const type = types.get(statement.slice(token.start + 1, token.end).toLowerCase());
    text += statement.slice(from, token.start) + (type === undefined ? '(NULL)' : `(CAST(NULL AS ${type}))`);
    from = token.end;
  }
  return empty ? undefined : text + statement.slice(from);
}

/** What EXPLAIN ANALYZE runs; undefined for any other statement. */
function afterExplain(text: string): string | 'nothing runs' | undefined {
  let token = tokenAt(text, 0);
  if (word(text, token) !== 'EXPLAIN') return undefined;
  token = tokenAt(text, token.end);
  let analyzes = word(text, token) === 'ANALYZE';
  if (analyzes) token = tokenAt(text, token.end);
  if (text[token.start] === '(') {
    for (; token.kind !== 'end' && text[token.start] !== ')'; token = tokenAt(text, token.end))
      analyzes ||= word(text, token) === 'ANALYZE';
    token = tokenAt(text, token.end);
  }
  return analyzes ? text.slice(token.start) : 'nothing runs';
}

/** `t` of COPY t FROM .. and COPY t (a, b) FROM ..: the name as it was written. */
function copyTarget(text: string): string | undefined {
  const first = tokenAt(text, 0);
  if (word(text, first) !== 'COPY') return undefined;
  const name = tokenAt(text, first.end);
  let end = name.start;
  let depth = 0;
  for (let token = name; token.kind !== 'end'; token = tokenAt(text, token.end)) {
    const symbol = token.kind === 'symbol' ? text[token.start] : undefined;
    if (symbol === '(') depth += 1;
    else if (symbol === ')') depth -= 1;
    else if (depth === 0 && word(text, token) === 'FROM') return end > name.start ? text.slice(name.start, end) : undefined;
    else if (depth === 0 && (symbol === '.' || token.kind === 'word' || token.kind === 'quotedName')) end = token.end;
    else if (depth === 0) return undefined;
  }
  return undefined;
}

function word(text: string, token: Token): string {
  return token.kind === 'word' && token.end - token.start < 32 ? text.slice(token.start, token.end).toUpperCase() : '';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

// The second source.

interface ParsedTable {
  readonly name: string;
  readonly access: LineageEntry['access'];
  readonly temporary: boolean;
}

/** What is read of the parser's answer: its own types promise more than it keeps. */
interface ParsedStatement {
  readonly type?: string;
  readonly keyword?: string;
  readonly temporary?: string | null;
  readonly with?: readonly { readonly name: { readonly value: string }; readonly recursive?: boolean; readonly stmt?: unknown }[] | null;
  readonly table?: readonly { readonly table?: string }[] | null;
}

/** undefined where the parser fails, or understands less than all of it. */
async function parsedTables(text: string): Promise<ParsedTable[] | undefined> {
  if (text.length > 100_000) return undefined;
  const { default: module } = await import('node-sql-parser/build/postgresql.js');
  let tableList: readonly string[];
  let statement: ParsedStatement;
  try {
    const parsed = new module.Parser().parse(text, { database: 'Postgresql' });
    const asts = (Array.isArray(parsed.ast) ? parsed.ast : [parsed.ast]) as unknown as readonly ParsedStatement[];
    const [only] = asts;
    if (only === undefined || asts.length > 1) return undefined;
    statement = only;
    tableList = parsed.tableList;
  } catch {
    return undefined;
  }
  const known = ['select', 'insert', 'update', 'delete', 'truncate', 'drop', 'create'];
  if (!known.includes(statement.type ?? '')) return undefined;
  if ((statement.type === 'create' || statement.type === 'drop') && statement.keyword !== 'table') return undefined;
  const commons = new Set<string>();
  for (const common of statement.with ?? []) {
    // `WITH a AS (SELECT * FROM a)` reads a table a, which the list does not tell apart.
    if (common.recursive !== true && mentions(common.stmt, common.name.value)) return undefined;
    commons.add(common.name.value.toLowerCase());
  }
  if (withs(statement) > (statement.with?.length ?? 0)) return undefined;
  const names = writtenNames(text);
  const tables: ParsedTable[] = [];
  for (const entry of tableList) {
    const [action = '', qualifier = '', table = ''] = entry.split('::');
    // FROM 'file.csv' is no table.
    if (!names.has(table.toLowerCase())) continue;
    if (qualifier === 'null' && commons.has(table.toLowerCase())) {
      if (action !== 'select') return undefined;
      continue;
    }
    const target = action !== 'select' && (statement.type !== 'update' || statement.table?.[0]?.table === table);
    tables.push({
      name: qualifier === 'null' || qualifier === 'main' ? table : `${qualifier}.${table}`,
      access: target ? 'writes' : 'reads',
      temporary: statement.type === 'create' && target && statement.temporary !== null && statement.temporary !== undefined,
    });
  }
  return tables.length === 0 && statement.type !== 'select' ? undefined : tables;
}

/** How many common table expressions stand anywhere in the statement. */
function withs(node: unknown): number {
  if (node === null || typeof node !== 'object') return 0;
  let count = 0;
  for (const [key, value] of Object.entries(node)) {
    if (key === 'with' && Array.isArray(value)) count += value.length;
    count += withs(value);
  }
  return count;
}

/** Whether a table of this bare name is read anywhere in it. */
function mentions(node: unknown, table: string): boolean {
  if (node === null || typeof node !== 'object') return false;
  if (
    'db' in node &&
    'table' in node &&
    node.db === null &&
    typeof node.table === 'string' &&
    node.table.toLowerCase() === table.toLowerCase()
  ) {
    return true;
  }
  return Object.values(node).some((value) => mentions(value, table));
}

function writtenNames(text: string): Set<string> {
  const names = new Set<string>();
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    if (token.kind === 'word' || token.kind === 'quotedName') names.add(decode(text, token).text.toLowerCase());
  }
  return names;
}
