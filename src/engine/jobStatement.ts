// The statements that pg_cron's users know and DuckDB cannot carry out by itself, found and taken apart by their words: calls of
// cron.schedule and its kin, DELETE FROM cron.job_run_details and UPDATE cron.job.

import { Diagnostic } from '../core/diagnostic.ts';
import { type Facts, factsOf } from '../parser/facts.ts';
import { type Token, tokenAt } from '../parser/lexer.ts';

export interface JobStatement {
  readonly kind: 'functions' | 'delete' | 'update';
  readonly text: string;
  /** Where the verb begins and where the table's name ends. */
  readonly verb: number;
  readonly rest: number;
}

/** undefined for what is DuckDB's alone, such as a table of another database that is called so. */
export function jobStatementOf(text: string, database: string): JobStatement | undefined {
  if (!/cron/i.test(text)) return undefined;
  const facts = factsOf(text);
  for (const act of facts.acts) {
    if (act.kind !== 'write' || act.target.at(-2)?.toLowerCase() !== 'cron') continue;
    if ((act.target.at(-3) ?? database).toLowerCase() !== database.toLowerCase()) continue;
    const table = act.target.at(-1)?.toLowerCase();
    const place = { text, verb: act.span.start, rest: act.span.end };
    if (table === 'job_run_details' && act.verb === 'delete') return { kind: 'delete', ...place };
    if (table === 'job' && act.verb === 'update') return { kind: 'update', ...place };
  }
  return callsJobFunction(facts) ? { kind: 'functions', text, verb: 0, rest: 0 } : undefined;
}

const functions = ['schedule', 'unschedule', 'alter_job', 'schedule_in_database'];

function callsJobFunction(facts: Facts): boolean {
  return facts.names.has('cron') && functions.some((name) => facts.functions.has(name));
}

/** The WITH in front, the name under which the table is known, and what follows. */
export function partsOf({ text, verb, rest }: JobStatement, table: string): { before: string; alias: string; rest: string } {
  const before = text.slice(0, verb);
  const first = tokenAt(text, 0);
  const span = { start: verb, end: rest };
  if (first.start < verb && word(text, first) !== 'WITH') {
    throw new Diagnostic('unsupported', `${word(text, first)} of a write to cron.${table} is not supported`, {
      span,
      hint: 'write it alone',
    });
  }
  if (clause(text.slice(rest), 'RETURNING') !== undefined) {
    throw new Diagnostic('unsupported', `RETURNING of cron.${table} is not supported`, { span, hint: 'SELECT the rows first' });
  }
  let token = tokenAt(text, rest);
  if (word(text, token) === 'AS') token = tokenAt(text, token.end);
  const named = (token.kind === 'word' && !clauses.has(word(text, token))) || token.kind === 'quotedName';
  if (!named) return { before, alias: table, rest: text.slice(rest).replace(/;\s*$/, '') };
  return { before, alias: text.slice(token.start, token.end), rest: text.slice(token.end).replace(/;\s*$/, '') };
}

const clauses = new Set(['SET', 'FROM', 'USING', 'WHERE', 'RETURNING']);

/** What stands between a word of the outermost level and the next one. */
export function clause(text: string, keyword: string): string | undefined {
  let start: number | undefined;
  let before = '';
  for (const token of outerTokens(text)) {
    const found = word(text, token);
    // `IS DISTINCT FROM` begins no clause.
    if (clauses.has(found) && !(found === 'FROM' && before === 'DISTINCT')) {
      if (start !== undefined) return text.slice(start, token.start);
      if (found === keyword) start = token.end;
    }
    before = found;
  }
  return start === undefined ? undefined : text.slice(start);
}

export function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  let from = 0;
  for (const token of outerTokens(text)) {
    if (token.kind !== 'symbol' || text[token.start] !== ',') continue;
    pieces.push(text.slice(from, token.start));
    from = token.end;
  }
  return [...pieces, text.slice(from)];
}

function* outerTokens(text: string): Generator<Token> {
  let depth = 0;
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    const symbol = token.kind === 'symbol' ? text.slice(token.start, token.end) : '';
    if (symbol === '(' || symbol === '[' || symbol === '{') depth += 1;
    else if (symbol === ')' || symbol === ']' || symbol === '}') depth -= 1;
    else if (depth === 0) yield token;
  }
}

function word(text: string, token: Token): string {
  return token.kind === 'word' ? text.slice(token.start, token.end).toUpperCase() : '';
}
