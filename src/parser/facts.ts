// What can be known of DuckDB's statements from their words alone, without DuckDB: whether one ends a transaction, changes a
// setting, attaches, writes where, reads which file. The session's guard decides on these facts; they are about the words that
// stand there, so a name behind a view or an expression is not seen.

import type { Span } from '../core/diagnostic.ts';
import { type Token, tokenAt } from './lexer.ts';
import { decode } from './text.ts';

export interface Facts {
  /** What the statements do, in their order; also behind EXPLAIN ANALYZE, PREPARE .. AS and a WITH. */
  readonly acts: readonly Act[];
  /** Text that names a file: `read_blob('f')`, `FROM 'f'`, `COPY .. TO 'f'`, `ATTACH 'f'`. */
  readonly files: readonly FileMention[];
  /** Every name that stands there, plain or quoted, in lower case. */
  readonly names: ReadonlySet<string>;
  /** Those that stand before an opening bracket. */
  readonly functions: ReadonlySet<string>;
  readonly parameters: readonly ParameterUse[];
}

export type Act =
  | { readonly kind: 'transaction'; readonly control: 'begin' | 'commit' | 'rollback'; readonly span: Span }
  | { readonly kind: 'attach'; readonly path: string | undefined; readonly alias: string | undefined; readonly span: Span }
  | { readonly kind: 'detach'; readonly name: string; readonly span: Span }
  | { readonly kind: 'use'; readonly target: QualifiedName; readonly span: Span }
  | SettingAct
  /** COPY .. TO 'path' and EXPORT DATABASE 'path'. */
  | { readonly kind: 'copyTo'; readonly path: string | undefined; readonly span: Span }
  | ObjectAct
  | { readonly kind: 'write'; readonly verb: WriteVerb; readonly target: QualifiedName; readonly span: Span };

/** SET, RESET and PRAGMA: `name` in lower case; `value` if one literal or word was given. SET VARIABLE is no setting. */
export interface SettingAct {
  readonly kind: 'setting';
  readonly verb: 'set' | 'reset' | 'pragma';
  readonly scope: 'global' | 'session' | 'local' | undefined;
  readonly name: string;
  readonly value: string | undefined;
  readonly span: Span;
}

/** CREATE, ALTER, DROP and COMMENT ON: `what` in lower case (`table`, `schema`, `macro` also for FUNCTION). */
export interface ObjectAct {
  readonly kind: 'object';
  readonly verb: 'create' | 'alter' | 'drop' | 'comment';
  readonly what: string;
  readonly temporary: boolean;
  readonly target: QualifiedName;
  readonly span: Span;
}

export type WriteVerb = 'insert' | 'update' | 'delete' | 'merge' | 'truncate' | 'copy';

/** The parts of a dotted name, as written. */
export type QualifiedName = readonly string[];

export interface FileMention {
  readonly path: string;
  /** The function in lower case, or `from`, `join`, `copy`, `attach`, `import`, `export`. */
  readonly by: string;
  readonly span: Span;
}

/** `$name`, `$1` or `?`. */
export interface ParameterUse {
  /** Without its `$`; `''` for `?`. */
  readonly name: string;
  readonly kind: 'named' | 'numbered' | 'next';
  readonly span: Span;
}

export function factsOf(text: string): Facts {
  const scan: Scan = { acts: [], files: [], names: new Set(), functions: new Set(), parameters: [] };
  for (const tokens of statementsOf(text)) {
    const words = new Words(text, tokens);
    readWords(words, scan);
    readAct(words, scan);
  }
  return scan;
}

/** The parameters of a SQL text; `$tag$` is a quote, and what stands in quotes or comments is no parameter. */
export function parametersOf(text: string): ParameterUse[] {
  const uses: ParameterUse[] = [];
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    if (token.kind === 'parameter') uses.push(parameterUse(text, token));
  }
  return uses;
}

interface Scan {
  readonly acts: Act[];
  readonly files: FileMention[];
  readonly names: Set<string>;
  readonly functions: Set<string>;
  readonly parameters: ParameterUse[];
}

/** The tokens of each statement: in DuckDB's own SQL every `;` among the tokens ends one. */
function statementsOf(text: string): Token[][] {
  const statements: Token[][] = [];
  let tokens: Token[] = [];
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    if (token.kind !== 'symbol' || text[token.start] !== ';') tokens.push(token);
    else if (tokens.length > 0) {
      statements.push(tokens);
      tokens = [];
    }
  }
  if (tokens.length > 0) statements.push(tokens);
  return statements;
}

function parameterUse(text: string, token: Token): ParameterUse {
  const name = text.slice(token.start + 1, token.end);
  const kind = name === '' ? 'next' : /^\d/.test(name) ? 'numbered' : 'named';
  return { name, kind, span: { start: token.start, end: token.end } };
}

/** One statement's tokens, read from the front. */
class Words {
  readonly text: string;
  readonly tokens: readonly Token[];
  at = 0;

  constructor(text: string, tokens: readonly Token[]) {
    this.text = text;
    this.tokens = tokens;
  }

  get token(): Token | undefined {
    return this.tokens[this.at];
  }

  keyword(index = this.at): string {
    const token = this.tokens[index];
    return token?.kind === 'word' && token.end - token.start <= 32 ? this.text.slice(token.start, token.end).toUpperCase() : '';
  }

  symbol(index = this.at): string {
    const token = this.tokens[index];
    return token?.kind === 'symbol' ? this.text.slice(token.start, token.end) : '';
  }

  string(index = this.at): string | undefined {
    const token = this.tokens[index];
    return token !== undefined && isText(token) ? decode(this.text, token).text : undefined;
  }

  /** Passes the keywords if all of them follow. */
  skip(...keywords: readonly string[]): boolean {
    if (!keywords.every((keyword, offset) => this.keyword(this.at + offset) === keyword)) return false;
    this.at += keywords.length;
    return true;
  }

  skipAny(...keywords: readonly string[]): string | undefined {
    const found = this.keyword();
    if (!keywords.includes(found)) return undefined;
    this.at += 1;
    return found;
  }

  /** Past a bracket and all that it holds. */
  skipBrackets(): void {
    let depth = 0;
    do {
      const symbol = this.symbol();
      if (symbol === '(' || symbol === '[' || symbol === '{') depth += 1;
      else if (symbol === ')' || symbol === ']' || symbol === '}') depth -= 1;
      this.at += 1;
    } while (depth > 0 && this.at < this.tokens.length);
  }

  /** A dotted name, which may also stand in single quotes; no parts if none follows. */
  qualifiedName(): QualifiedName {
    const parts: string[] = [];
    do {
      const { token } = this;
      if (token === undefined || (token.kind !== 'word' && token.kind !== 'quotedName' && !isText(token))) break;
      parts.push(decode(this.text, token).text);
      this.at += 1;
    } while (this.symbol() === '.' && this.at++ >= 0);
    return parts;
  }

  spanFrom(first: number): Span {
    const start = this.tokens[first]?.start ?? 0;
    return { start, end: this.tokens[Math.min(Math.max(first, this.at - 1), this.tokens.length - 1)]?.end ?? start };
  }
}

function isText(token: Token): boolean {
  return token.kind === 'string' || token.kind === 'escapeString' || token.kind === 'dollarString';
}

const fileFunctions =
  /^(?:read_(?:blob|text|csv|csv_auto|json|json_auto|json_objects|json_objects_auto|ndjson|ndjson_auto|ndjson_objects|parquet|xlsx|duckdb)|parquet_(?:scan|metadata|schema|file_metadata|kv_metadata|bloom_probe)|glob|sniff_csv|sqlite_scan|arrow_scan|iceberg_scan|delta_scan|st_read)$/;

/** Names, functions, parameters and files, wherever they stand. */
function readWords(words: Words, scan: Scan): void {
  const { text, tokens } = words;
  // The file functions whose brackets are open, each with the depth at which it closes.
  const open: { readonly by: string; readonly depth: number }[] = [];
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    if (token.kind === 'parameter') scan.parameters.push(parameterUse(text, token));
    else if (token.kind === 'word' || token.kind === 'quotedName') {
      const name = decode(text, token).text.toLowerCase();
      scan.names.add(name);
      if (words.symbol(index + 1) === '(') {
        scan.functions.add(name);
        if (fileFunctions.test(name)) open.push({ by: name, depth });
      }
      if (token.kind === 'quotedName') addBareFile(words, index, scan);
    } else if (token.kind === 'symbol') {
      const symbol = words.symbol(index);
      if (symbol === '(') depth += 1;
      else if (symbol === ')') {
        depth -= 1;
        while (open.length > 0 && (open.at(-1)?.depth ?? 0) >= depth) open.pop();
      }
    } else if (isText(token)) {
      const by = open.at(-1)?.by;
      if (by === undefined) addBareFile(words, index, scan);
      else scan.files.push({ path: decode(text, token).text, by, span: { start: token.start, end: token.end } });
    }
  }
}

/** `FROM 'file'`, `JOIN 'file'`, `FROM t, 'file'`; DuckDB also opens `FROM "file.csv"`. */
function addBareFile(words: Words, index: number, scan: Scan): void {
  const token = words.tokens[index];
  if (token === undefined || words.symbol(index + 1) === '.') return;
  const by = relationKeyword(words, index);
  if (by !== undefined) scan.files.push({ path: decode(words.text, token).text, by, span: { start: token.start, end: token.end } });
}

/** The FROM or JOIN in whose list of names the token stands, looking back over a few names and commas. */
function relationKeyword(words: Words, index: number): string | undefined {
  if (words.symbol(index - 1) !== ',' && words.keyword(index - 1) !== 'FROM' && words.keyword(index - 1) !== 'JOIN') return undefined;
  for (let at = index - 1; at >= Math.max(0, index - 30); at--) {
    const keyword = words.keyword(at);
    if (keyword === 'FROM' || keyword === 'JOIN') return keyword.toLowerCase();
    const token = words.tokens[at];
    const isListed = token?.kind === 'word' || token?.kind === 'quotedName' || (token !== undefined && isText(token));
    if (!isListed && words.symbol(at) !== ',' && words.symbol(at) !== '.') return undefined;
    if (relationEnds.has(keyword)) return undefined;
  }
  return undefined;
}

const relationEnds: ReadonlySet<string> = new Set([
  'SELECT',
  'VALUES',
  'WHERE',
  'ON',
  'USING',
  'SET',
  'BY',
  'HAVING',
  'LIMIT',
  'RETURNING',
  'IN',
]);

function readAct(words: Words, scan: Scan): void {
  if (!skipPrefixes(words)) return;
  const first = words.at;
  const verb = words.keyword();
  words.at += 1;
  const act = actOf(words, verb, first, scan);
  if (act !== undefined) scan.acts.push(act);
}

/** Past EXPLAIN ANALYZE, PREPARE name AS, and the WITH in front of a statement that writes; false for a mere EXPLAIN, which does nothing. */
function skipPrefixes(words: Words): boolean {
  for (;;) {
    if (words.skip('EXPLAIN')) {
      let analyzes = words.skip('ANALYZE');
      const from = words.at;
      if (words.symbol() === '(') words.skipBrackets();
      for (let at = from; at < words.at; at++) analyzes ||= words.keyword(at) === 'ANALYZE';
      if (!analyzes) return false;
    } else if (words.keyword() === 'PREPARE') {
      while (words.at < words.tokens.length && words.keyword() !== 'AS') words.at += 1;
      words.at += 1;
    } else if (words.keyword() === 'WITH') {
      const verbs = ['SELECT', 'FROM', 'VALUES', 'INSERT', 'UPDATE', 'DELETE', 'MERGE'];
      words.at += 1;
      while (words.at < words.tokens.length && !verbs.includes(words.keyword())) {
        if (words.symbol() === '(') words.skipBrackets();
        else words.at += 1;
      }
    } else return true;
  }
}

function actOf(words: Words, verb: string, first: number, scan: Scan): Act | undefined {
  switch (verb) {
    case 'BEGIN':
      return { kind: 'transaction', control: 'begin', span: words.spanFrom(first) };
    case 'START':
      if (!words.skip('TRANSACTION')) return undefined;
      return { kind: 'transaction', control: 'begin', span: words.spanFrom(first) };
    case 'COMMIT':
    case 'END':
      return { kind: 'transaction', control: 'commit', span: words.spanFrom(first) };
    case 'ROLLBACK':
    case 'ABORT':
      return { kind: 'transaction', control: 'rollback', span: words.spanFrom(first) };
    case 'ATTACH':
      return attach(words, first, scan);
    case 'DETACH': {
      words.skip('DATABASE');
      words.skip('IF', 'EXISTS');
      const [name = ''] = words.qualifiedName();
      return { kind: 'detach', name, span: words.spanFrom(first) };
    }
    case 'USE': {
      const target = words.qualifiedName();
      return { kind: 'use', target, span: words.spanFrom(first) };
    }
    case 'SET':
    case 'RESET':
      return setting(words, verb === 'SET' ? 'set' : 'reset', first);
    case 'PRAGMA':
      return setting(words, 'pragma', first);
    case 'COPY':
      return copy(words, first, scan);
    case 'EXPORT':
    case 'IMPORT':
      return transfer(words, verb, first, scan);
    case 'CREATE':
      return create(words, first);
    case 'ALTER':
    case 'DROP':
      return object(words, verb === 'ALTER' ? 'alter' : 'drop', first, false);
    case 'COMMENT':
      words.skip('ON');
      return object(words, 'comment', first, false);
    default:
      return write(words, verb, first);
  }
}

function attach(words: Words, first: number, scan: Scan): Act {
  words.skip('OR', 'REPLACE');
  words.skip('DATABASE');
  words.skip('IF', 'NOT', 'EXISTS');
  const { token } = words;
  const path = words.string() ?? (token?.kind === 'quotedName' ? decode(words.text, token).text : undefined);
  if (path !== undefined && token !== undefined) scan.files.push({ path, by: 'attach', span: { start: token.start, end: token.end } });
  while (words.at < words.tokens.length && words.keyword() !== 'AS' && words.symbol() !== '(') words.at += 1;
  const alias = words.skip('AS') ? words.qualifiedName()[0] : undefined;
  return { kind: 'attach', path, alias, span: words.spanFrom(first) };
}

function setting(words: Words, verb: SettingAct['verb'], first: number): SettingAct | undefined {
  if (words.keyword() === 'VARIABLE') return undefined;
  const scope = words.skipAny('GLOBAL', 'SESSION', 'LOCAL')?.toLowerCase() as SettingAct['scope'];
  const timeZone = words.skip('TIME', 'ZONE');
  const name = timeZone ? 'timezone' : words.qualifiedName().join('.').toLowerCase();
  if (words.symbol() === '=' || words.symbol() === '(') words.at += 1;
  else words.skip('TO');
  const given = words.token;
  const value = given === undefined || given.kind === 'symbol' ? undefined : decode(words.text, given).text;
  return { kind: 'setting', verb, scope, name, value, span: words.spanFrom(first) };
}

function copy(words: Words, first: number, scan: Scan): Act | undefined {
  if (words.skip('FROM', 'DATABASE')) {
    words.qualifiedName();
    words.skip('TO');
    return { kind: 'write', verb: 'copy', target: words.qualifiedName(), span: words.spanFrom(first) };
  }
  const target = words.symbol() === '(' ? [] : words.qualifiedName();
  if (words.symbol() === '(') words.skipBrackets();
  const direction = words.skipAny('TO', 'FROM');
  const path = words.string();
  const { token } = words;
  if (path !== undefined && token !== undefined && direction === 'TO') {
    scan.files.push({ path, by: 'copy', span: { start: token.start, end: token.end } });
  }
  words.at += 1;
  if (direction === 'TO') return { kind: 'copyTo', path, span: words.spanFrom(first) };
  return { kind: 'write', verb: 'copy', target, span: words.spanFrom(first) };
}

/** EXPORT DATABASE [name TO] 'path' and IMPORT DATABASE 'path'. */
function transfer(words: Words, verb: 'EXPORT' | 'IMPORT', first: number, scan: Scan): Act | undefined {
  words.skip('DATABASE');
  while (words.at < words.tokens.length && words.string() === undefined) words.at += 1;
  const path = words.string();
  const { token } = words;
  if (path !== undefined && token !== undefined) {
    scan.files.push({ path, by: verb.toLowerCase(), span: { start: token.start, end: token.end } });
  }
  words.at += 1;
  return verb === 'EXPORT' ? { kind: 'copyTo', path, span: words.spanFrom(first) } : undefined;
}

function create(words: Words, first: number): ObjectAct {
  words.skip('OR', 'REPLACE');
  const temporary = words.skipAny('TEMP', 'TEMPORARY', 'LOCAL') !== undefined;
  words.skipAny('TEMP', 'TEMPORARY', 'PERSISTENT', 'UNIQUE', 'RECURSIVE', 'GLOBAL', 'UNLOGGED');
  return object(words, 'create', first, temporary);
}

function object(words: Words, verb: ObjectAct['verb'], first: number, temporary: boolean): ObjectAct {
  const kind = words.keyword();
  words.at += 1;
  if (kind === 'MATERIALIZED' || kind === 'MACRO' || kind === 'FUNCTION') words.skipAny('VIEW', 'TABLE');
  words.skip('IF', 'NOT', 'EXISTS');
  words.skip('IF', 'EXISTS');
  const target = words.qualifiedName();
  const what = kind === 'FUNCTION' ? 'macro' : kind.toLowerCase();
  return { kind: 'object', verb, what, temporary, target, span: words.spanFrom(first) };
}

function write(words: Words, verb: string, first: number): Act | undefined {
  switch (verb) {
    case 'INSERT':
      if (words.skip('OR')) words.at += 1;
      words.skip('INTO');
      break;
    case 'MERGE':
      words.skip('INTO');
      break;
    case 'DELETE':
      words.skip('FROM');
      break;
    case 'TRUNCATE':
      words.skip('TABLE');
      break;
    case 'UPDATE':
      break;
    default:
      return undefined;
  }
  const target = words.qualifiedName();
  return { kind: 'write', verb: verb.toLowerCase() as WriteVerb, target, span: words.spanFrom(first) };
}
