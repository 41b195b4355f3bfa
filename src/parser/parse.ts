// One statement's text in, a Statement or Diagnostics out. Our own words first, everything else passes to DuckDB untouched: the
// first words decide (docs/language.md), and of what is not ours nothing more is read. Never throws, never hangs.

import { Diagnostic } from '../core/diagnostic.ts';
import type { PassThroughStatement, Statement } from './ast.ts';
import { Cursor } from './cursor.ts';
import { type Token, tokenAt } from './lexer.ts';
import { nounOf, readAlter, readCreate, readDrop, readEnable, readPause, readUpsert } from './statements/define.ts';
import { readDescribe, readExplain, readList, readShowCreate, relationOf } from './statements/inspect.ts';
import { readCall } from './statements/procedure.ts';
import { readBackfill, readCancel, readRetry, readRun, readRunId, readSimulate } from './statements/run.ts';
import { readBackup, readReset, readSet } from './statements/settings.ts';
import { isString } from './values.ts';

export type Parsed =
  | { readonly statement: Statement; readonly diagnostics?: undefined }
  /** At least one, in the order of their places. */
  | { readonly statement?: undefined; readonly diagnostics: readonly [Diagnostic, ...Diagnostic[]] };

/** Reads one statement; a `;` at its end is allowed. */
export function parse(text: string): Parsed {
  const broken = unreadable(text);
  if (broken !== undefined) return { diagnostics: [broken] };
  const cursor = new Cursor(text);
  const isCall = cursor.keyword() === 'CALL';
  try {
    const read = dispatch(cursor);
    const statement = read?.(cursor) ?? passThrough(text);
    return cursor.mistakes.length === 0 ? { statement } : wrong(cursor.mistakes);
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    // DuckDB explains its own CALL better than we can: without a procedure of ours there is nothing to say about it.
    if (isCall) return { statement: passThrough(text) };
    return wrong([...cursor.mistakes, error]);
  }
}

function wrong(mistakes: readonly Diagnostic[]): Parsed {
  const [first, ...more] = [...mistakes].sort((a, b) => (a.span?.start ?? 0) - (b.span?.start ?? 0));
  return { diagnostics: [first ?? new Diagnostic('internal', 'a statement was refused without a reason'), ...more] };
}

type Reader = (cursor: Cursor) => Statement | undefined;

/** The reader of a statement that is ours by its first words; undefined if it is DuckDB's. */
function dispatch(cursor: Cursor): Reader | undefined {
  const second = cursor.after;
  const next = cursor.keyword(second);
  switch (cursor.keyword()) {
    case 'UPSERT':
      return readUpsert;
    case 'LIST':
      return readList;
    case 'RUN':
      return readRun;
    case 'BACKFILL':
      return readBackfill;
    case 'SIMULATE':
      return readSimulate;
    case 'CANCEL':
      return readCancel;
    case 'RETRY':
      return readRetry;
    case 'TAIL':
      return (at) => readRunId(at, 'tailRun');
    case 'ENABLE':
      return (at) => readEnable(at, 'enable');
    case 'DISABLE':
      return (at) => readEnable(at, 'disable');
    case 'PAUSE':
      return (at) => readPause(at, 'pause');
    case 'RESUME':
      return (at) => readPause(at, 'resume');
    case 'BACKUP':
      return readBackup;
    case 'CREATE':
      return isOurCreate(cursor, second) ? readCreate : undefined;
    case 'ALTER':
      return nounOf(next) === undefined ? undefined : readAlter;
    case 'DROP':
      return nounOf(next) === undefined && !isDeadLetter(cursor, second) ? undefined : readDrop;
    case 'SHOW':
      return dispatchShow(cursor, second);
    case 'DESCRIBE':
    case 'DESC':
      return isDescribed(cursor, second) ? readDescribe : undefined;
    case 'EXPLAIN':
      return isExplained(cursor, second) ? readExplain : undefined;
    case 'SET':
      return isCronSetting(cursor, second) ? readSet : undefined;
    case 'RESET':
      return isCronSetting(cursor, second) ? readReset : undefined;
    case 'CALL':
      return readCall;
    default:
      return undefined;
  }
}

function isOurCreate(cursor: Cursor, second: Token): boolean {
  if (cursor.keyword(second) !== 'OR') return nounOf(cursor.keyword(second)) !== undefined;
  const replace = tokenAt(cursor.text, second.end);
  return cursor.keyword(replace) === 'REPLACE' && nounOf(cursor.keyword(tokenAt(cursor.text, replace.end))) !== undefined;
}

function isDeadLetter(cursor: Cursor, second: Token): boolean {
  return cursor.keyword(second) === 'DEAD' && /^LETTERS?$/.test(cursor.keyword(tokenAt(cursor.text, second.end)));
}

/** `SHOW schedule` describes a table in DuckDB, which takes nothing after the name. */
function dispatchShow(cursor: Cursor, second: Token): Reader | undefined {
  const third = tokenAt(cursor.text, second.end);
  const word = cursor.keyword(second);
  if (word === 'CREATE') return nounOf(cursor.keyword(third)) === undefined ? undefined : readShowCreate;
  if (cursor.isSymbol('.', third)) return undefined;
  if (relationOf(word, cursor.keyword(third)) !== undefined) return readList;
  return nounOf(word) !== undefined && isName(third) ? readShowCreate : undefined;
}

/** `DESCRIBE schedule` and `DESCRIBE schedule.t` describe tables. */
function isDescribed(cursor: Cursor, second: Token): boolean {
  const word = cursor.keyword(second);
  return (nounOf(word) !== undefined || word === 'RUN') && isName(tokenAt(cursor.text, second.end));
}

function isExplained(cursor: Cursor, second: Token): boolean {
  const word = cursor.keyword(second);
  const third = tokenAt(cursor.text, second.end);
  if (word === 'CRON') return isName(third) || third.kind === 'number' || cursor.isSymbol('*', third);
  return (nounOf(word) !== undefined || word === 'RUN') && isName(third);
}

function isName(token: Token): boolean {
  return token.kind === 'word' || isString(token);
}

function isCronSetting(cursor: Cursor, second: Token): boolean {
  const scoped = /^(GLOBAL|SESSION|LOCAL)$/.test(cursor.keyword(second));
  const name = scoped ? tokenAt(cursor.text, second.end) : second;
  const isCron = cursor.keyword(name) === 'CRON' || /^"cron"$/i.test(cursor.raw(name));
  return isCron && cursor.isSymbol('.', tokenAt(cursor.text, name.end));
}

function passThrough(text: string): PassThroughStatement {
  const firstWords: string[] = [];
  let token = tokenAt(text, 0);
  const { start } = token;
  while (token.kind === 'word' && firstWords.length < 4) {
    firstWords.push(text.slice(token.start, token.end).toUpperCase());
    token = tokenAt(text, token.end);
  }
  return { kind: 'passThrough', text, firstWords, mentionsCron: /cron|cuckoo/i.test(text), span: { start, end: text.length } };
}

/** What DuckDB would cut short or change on the way: it reads up to a NUL, and half a surrogate pair has no UTF-8. */
function unreadable(text: string): Diagnostic | undefined {
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    const span = { start: nul, end: nul + 1 };
    return new Diagnostic('invalid_encoding', 'the statement holds a NUL character', {
      span,
      hint: 'remove it: DuckDB would stop reading there',
    });
  }
  const half = text.search(/\p{Surrogate}/u);
  if (half >= 0) {
    const span = { start: half, end: half + 1 };
    return new Diagnostic('invalid_encoding', 'the statement holds half of a surrogate pair', {
      span,
      hint: 'it is not valid Unicode text',
    });
  }
  const first = tokenAt(text, 0);
  if (first.kind === 'end' && first.unterminated) {
    const span = { start: first.start, end: first.end };
    return new Diagnostic('unterminated', 'this comment is never closed', { span, hint: 'close it with */' });
  }
  return undefined;
}
