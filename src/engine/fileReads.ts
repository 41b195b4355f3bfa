// What a statement opens as a file beside what facts.ts finds by the words alone: texts that stand where a table would, anywhere
// in a FROM, and paths that are computed. (DuckDB takes neither subqueries nor columns as arguments of these functions, so what a
// path is made of are constants, parameters, variables and, in a macro, the macro's own parameters.) Nothing is decided here.

import type { Span } from '../core/diagnostic.ts';
import type { FileMention } from '../parser/facts.ts';
import { type Token, tokenAt } from '../parser/lexer.ts';
import { decode } from '../parser/text.ts';

export interface FileReads {
  /** Texts and names in the place of a table, whether or not they are files. */
  readonly mentions: readonly FileMention[];
  readonly computed: readonly Computed[];
}

/** An argument that must be evaluated before it is known what it opens. */
export interface Computed {
  /** A path or a list of them; a query as text; a query as DuckDB serializes it. */
  readonly kind: 'path' | 'query' | 'serialized';
  /** The function, or `copy`, in lower case. */
  readonly by: string;
  /** The expression, with its parameters under names of their own. */
  readonly expression: string;
  /** By the name in `expression`: the name or the number (from 1) under which the statement's values hold it. */
  readonly parameters: ReadonlyMap<string, string | number>;
  /** Nothing is to be computed: the text itself. */
  readonly constant: string | undefined;
  /** What the path ends with in any case: `.csv` of `day || '.csv'`. */
  readonly ending: string | undefined;
  /** Opened later, by whoever uses what this statement defines: then with other values. */
  readonly later: 'view' | 'macro' | 'prepared' | undefined;
  readonly span: Span;
}

/** Whether `fileReadsOf` could find something computed: a microsecond. */
export function mayCompute(text: string): boolean {
  return readingWords.test(text);
}

/** Whether it could find anything. */
export function mayReadFiles(text: string): boolean {
  return mayCompute(text) || (fileNames.test(text) && relationWords.test(text));
}

const readingWords =
  /read_|_scan|scan_|parquet_|sniff_|st_read|\bquery(?:_table)?\b|json_execute_serialized|json_serialize_plan|\bcopy\b|\binstall\b/i;

/** In the place of a table DuckDB takes for a file what ends like one (`E'\x2ecsv'` might). */
const fileNames =
  /\.\s*["']?(?:csv|tsv|txt|parquet|json|jsonl|ndjson|geojson|xlsx|avro|arrows?|feather|ipc|shp|gpkg|fgb|vortex|duckdb|db|ddb|sqlite3?|gz|zst)\b|\be'/i;
const relationWords = /\b(?:from|join|using|table|summarize|describe|show|pivot|unpivot)\b/i;

const pathFunctions =
  /^(?:read_(?:blob|text|csv|csv_auto|json|json_auto|json_objects|json_objects_auto|ndjson|ndjson_auto|ndjson_objects|parquet|xlsx|duckdb|avro)|parquet_(?:scan|metadata|schema|file_metadata|kv_metadata|full_metadata|bloom_probe)|sniff_csv|sqlite_scan|arrow_scan|iceberg_scan|delta_scan|st_read|query_table)$/;

const queryFunctions: Readonly<Record<string, Computed['kind']>> = {
  query: 'query',
  json_serialize_plan: 'query',
  json_execute_serialized_sql: 'serialized',
};

export function fileReadsOf(text: string): FileReads {
  const mentions: FileMention[] = [];
  const computed: Computed[] = [];
  let unnamed = 0;
  for (const tokens of statementsOf(text)) {
    const scan = new Scan(text, tokens, unnamed);
    unnamed = scan.unnamed;
    mentions.push(...scan.mentions);
    computed.push(...scan.computed);
  }
  return { mentions, computed };
}

function statementsOf(text: string): Token[][] {
  const statements: Token[][] = [[]];
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    if (token.kind === 'symbol' && text[token.start] === ';') statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements;
}

/** Begin a list of tables. */
const relationStarts = new Set(['FROM', 'JOIN', 'USING', 'TABLE', 'SUMMARIZE', 'DESCRIBE', 'SHOW', 'PIVOT', 'UNPIVOT', 'ONLY', 'INSTALL']);

/** End one. */
const relationEnds = new Set(
  'SELECT VALUES WHERE GROUP ORDER HAVING QUALIFY WINDOW LIMIT OFFSET SET RETURNING UNION EXCEPT INTERSECT WHEN BY'.split(' '),
);

class Scan {
  readonly mentions: FileMention[] = [];
  readonly computed: Computed[] = [];
  /** How many `?` there were so far. */
  unnamed: number;
  readonly #text: string;
  readonly #tokens: readonly Token[];
  /** For each token that is a `?`, its number. */
  readonly #numbers = new Map<Token, number>();
  readonly #later: Computed['later'];

  constructor(text: string, tokens: readonly Token[], unnamed: number) {
    this.#text = text;
    this.#tokens = tokens;
    this.unnamed = unnamed;
    for (const token of tokens) {
      if (token.kind !== 'parameter' || token.end - token.start > 1) continue;
      this.unnamed += 1;
      this.#numbers.set(token, this.unnamed);
    }
    this.#later = this.#readLater();
    this.#readRelations();
    this.#readCalls();
    this.#readCopy();
  }

  #readLater(): Computed['later'] {
    const words = this.#tokens.slice(0, 8).map((_, index) => this.#keyword(index));
    if (words.includes('PREPARE')) return 'prepared';
    if (words[0] !== 'CREATE') return undefined;
    if (words.includes('MACRO') || words.includes('FUNCTION')) return 'macro';
    return words.includes('VIEW') ? 'view' : undefined;
  }

  /** A clause at a time, each bracket with one of its own: `FROM a, 'b.csv' WHERE x IN ('c')` names one file. */
  #readRelations(): void {
    const clauses: ('tables' | 'condition' | 'other')[] = ['other'];
    for (let index = 0; index < this.#tokens.length; index += 1) {
      const symbol = this.#symbol(index);
      const keyword = this.#keyword(index);
      const clause = clauses.at(-1);
      const change = (next: 'tables' | 'condition' | 'other'): void => {
        clauses[clauses.length - 1] = next;
      };
      if (symbol === '(') clauses.push(clause === 'tables' && this.#standsBeforeTable(index) ? 'tables' : 'other');
      else if (symbol === ')') {
        if (clauses.length > 1) clauses.pop();
      } else if (relationStarts.has(keyword)) change('tables');
      // JOIN b ON .., 'c.csv'
      else if (keyword === 'ON' && clause === 'tables') change('condition');
      else if (symbol === ',' && clause === 'condition') change('tables');
      else if (relationEnds.has(keyword)) change('other');
      else if (clause === 'tables' && this.#standsBeforeTable(index)) index = this.#readTable(index);
    }
  }

  #standsBeforeTable(index: number): boolean {
    const before = this.#symbol(index - 1);
    return before === ',' || before === '(' || relationStarts.has(this.#keyword(index - 1)) || this.#keyword(index - 1) === 'LATERAL';
  }

  /** Answers where its name ends. */
  #readTable(first: number): number {
    const token = this.#tokens[first];
    if (token === undefined) return first;
    const parts: string[] = [];
    let last = first;
    for (let index = first; ; index += 2) {
      const part = this.#tokens[index];
      if (part === undefined || !(isName(part) || isText(part))) break;
      parts.push(decode(this.#text, part).text);
      last = index;
      if (this.#symbol(index + 1) !== '.') break;
    }
    // A plain word is a table, a name with a bracket a function.
    const isFile = parts.length > 1 || (parts.length === 1 && token.kind !== 'word');
    if (isFile && this.#symbol(last + 1) !== '(') {
      const span = { start: token.start, end: this.#tokens[last]?.end ?? token.end };
      this.mentions.push({ path: parts.join('.'), by: 'from', span });
    }
    return last;
  }

  #readCalls(): void {
    for (const [index, token] of this.#tokens.entries()) {
      if (!isName(token) || this.#symbol(index + 1) !== '(') continue;
      const by = decode(this.#text, token).text.toLowerCase();
      const kind = queryFunctions[by] ?? (pathFunctions.test(by) ? 'path' : undefined);
      if (kind === undefined) continue;
      for (const [from, to] of this.#argumentsFrom(index + 2)) {
        if (kind === 'path' && this.#isConstant(from, to)) this.#addConstants(from, to, by);
        else this.#add(kind, by, from, to);
      }
    }
  }

  /** COPY t FROM $file, COPY t TO ('out_' || day || '.csv'). */
  #readCopy(): void {
    const first = this.#tokens.findIndex((_, index) => this.#keyword(index) === 'COPY');
    if (first < 0 || first > 12) return;
    let depth = 0;
    for (let index = first + 1; index < this.#tokens.length; index += 1) {
      const symbol = this.#symbol(index);
      if (symbol === '(') depth += 1;
      else if (symbol === ')') depth -= 1;
      if (depth !== 0 || (this.#keyword(index) !== 'FROM' && this.#keyword(index) !== 'TO')) continue;
      if (this.#tokens[index + 1]?.kind === 'parameter') this.#add('path', 'copy', index + 1, index + 2);
      else if (this.#symbol(index + 1) === '(') {
        const [argument] = this.#argumentsFrom(index + 2);
        if (argument !== undefined) this.#add('path', 'copy', ...argument);
      }
      return;
    }
  }

  /** The arguments without a name, each from its first token to behind its last. */
  #argumentsFrom(first: number): [number, number][] {
    const found: [number, number][] = [];
    let from = first;
    let depth = 0;
    let isNamed = false;
    const end = (at: number): void => {
      if (!isNamed && at > from) found.push([from, at]);
      from = at + 1;
      isNamed = false;
    };
    for (let index = first; index < this.#tokens.length; index += 1) {
      const symbol = this.#symbol(index);
      if (symbol === '(' || symbol === '[' || symbol === '{') depth += 1;
      else if (symbol === ')' || symbol === ']' || symbol === '}') depth -= 1;
      if (depth < 0) {
        end(index);
        return found;
      }
      if (depth === 0 && symbol === ',') end(index);
      const isName = index === from + 1 && (symbol === '=' || symbol === ':=' || symbol === '=>' || symbol === ':');
      if (isName && this.#tokens[from]?.kind === 'word') isNamed = true;
    }
    end(this.#tokens.length);
    return found;
  }

  #isConstant(from: number, to: number): boolean {
    return this.#tokens.slice(from, to).every((token, offset) => {
      return isText(token) || token.kind === 'number' || ['[', ']', ','].includes(this.#symbol(from + offset));
    });
  }

  #addConstants(from: number, to: number, by: string): void {
    for (const token of this.#tokens.slice(from, to)) {
      if (isText(token)) this.mentions.push({ path: decode(this.#text, token).text, by, span: { start: token.start, end: token.end } });
    }
  }

  #add(kind: Computed['kind'], by: string, from: number, to: number): void {
    const first = this.#tokens[from];
    const last = this.#tokens[to - 1];
    if (first === undefined || last === undefined) return;
    const parameters = new Map<string, string | number>();
    let expression = '';
    let at = first.start;
    for (const token of this.#tokens.slice(from, to)) {
      if (token.kind !== 'parameter') continue;
      const name = this.#text.slice(token.start + 1, token.end);
      const number = this.#numbers.get(token) ?? (/^\d+$/.test(name) ? Number(name) : undefined);
      const shown = number === undefined ? name : `value_${number}`;
      parameters.set(shown, number ?? name);
      expression += `${this.#text.slice(at, token.start)}$${shown}`;
      at = token.end;
    }
    expression += this.#text.slice(at, last.end);
    const before = this.#symbol(to - 2);
    const ending =
      isText(last) && (before === '||' || before === '|') && this.#isFlat(from, to) ? decode(this.#text, last).text : undefined;
    this.computed.push({
      kind,
      by,
      expression,
      parameters,
      constant: first === last && isText(first) ? decode(this.#text, first).text : undefined,
      ending,
      later: this.#later,
      span: { start: first.start, end: last.end },
    });
  }

  /** No operator that binds less than `||` stands around: the text at the end is the end of the whole. */
  #isFlat(from: number, to: number): boolean {
    let depth = 0;
    for (let index = from; index < to; index += 1) {
      const symbol = this.#symbol(index);
      if (symbol === '(' || symbol === '[' || symbol === '{') depth += 1;
      else if (symbol === ')' || symbol === ']' || symbol === '}') depth -= 1;
      else if (depth === 0 && symbol !== '' && '=<>!~^&?,:'.includes(symbol[0] ?? '') && symbol !== '::') return false;
      else if (depth === 0 && /^(?:CASE|OR|AND|NOT|IS|LIKE|ILIKE|GLOB|SIMILAR|BETWEEN|LAMBDA|IN|COLLATE)$/.test(this.#keyword(index)))
        return false;
    }
    return true;
  }

  #keyword(index: number): string {
    const token = this.#tokens[index];
    return token?.kind === 'word' && token.end - token.start <= 32 ? this.#text.slice(token.start, token.end).toUpperCase() : '';
  }

  #symbol(index: number): string {
    const token = this.#tokens[index];
    return token?.kind === 'symbol' ? this.#text.slice(token.start, token.end) : '';
  }
}

function isName(token: Token): boolean {
  return token.kind === 'word' || token.kind === 'quotedName';
}

function isText(token: Token): boolean {
  return token.kind === 'string' || token.kind === 'escapeString' || token.kind === 'dollarString';
}
