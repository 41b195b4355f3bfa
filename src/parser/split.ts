// Where statements end. One reader for all: the shell asks after each line whether a statement is complete, a script comes in
// chunks of any size, a body is cut into its statements. A `;` ends a statement unless it stands in a string, a quoted name, a
// comment, a dollar quote, or, after UPSERT | CREATE PROCEDURE, in a body `BEGIN .. END` or `{ .. }`.
//
// Statements are byte for byte what was written: `text.slice(start, end)`, without the `;` and without the blank space and
// comments around them. A token that touches the end of what has arrived so far waits for more, since `BEG` may become BEGIN.

import type { Span } from '../core/diagnostic.ts';
import { settledBlank, type Token, tokenAt } from './lexer.ts';

export interface Slice {
  readonly text: string;
  /** Offsets in all that was read so far. */
  readonly start: number;
  readonly end: number;
  /** A `;` followed. */
  readonly terminated: boolean;
}

export type OpenConstruct = 'string' | 'quoted name' | 'dollar quote' | 'comment' | 'BEGIN block' | 'braces' | 'statement';

/** What the text breaks off in, and where that begins; a bare `statement` only lacks its `;`. */
export interface Open {
  readonly construct: OpenConstruct;
  readonly span: Span;
}

export interface Split {
  readonly statements: readonly Slice[];
  readonly open: Open | undefined;
}

/** All statements of a text; the last one may lack its `;`, and `open` says in what it breaks off. */
export function split(text: string): Split {
  const splitter = new Splitter();
  const complete = splitter.push(text);
  const { statements, open } = splitter.finish();
  return { statements: [...complete, ...statements], open };
}

/** The same for text that arrives in pieces: each call costs about the length of the new piece. */
export class Splitter {
  #buffer = '';
  /** The offset of the buffer's first character in all that was read. */
  #base = 0;
  /** Where the next token is looked for, in the buffer. */
  #at = 0;
  #statement: OpenStatement | undefined;
  /** No token can end before this text arrives: a long string is not read again with every line. */
  #awaited = '';
  #edge = '';
  /** The unterminated token that the whole text ended in; its offset is that in all that was read. */
  #broken: Token | undefined;

  /** Takes the next piece and answers the statements that it completed. */
  push(piece: string): Slice[] {
    this.#buffer += piece;
    const edge = this.#edge + piece;
    this.#edge = edge.slice(-Math.max(this.#awaited.length, 1));
    if (!edge.includes(this.#awaited)) return [];
    return this.#read(false);
  }

  /** No more comes: what is left is the last statement, complete or not. The splitter is then as new. */
  finish(): Split {
    this.#awaited = '';
    const statements = this.#read(true);
    const open = this.open;
    if (this.#statement !== undefined) statements.push(this.#slice(this.#statement, false));
    this.#statement = undefined;
    this.#broken = undefined;
    return { statements, open };
  }

  /** What the text breaks off in; undefined after a complete statement. */
  get open(): Open | undefined {
    const end = this.#base + this.#buffer.length;
    const next = tokenAt(this.#buffer, this.#at);
    const broken = this.#broken ?? (next.unterminated ? { ...next, start: this.#base + next.start } : undefined);
    if (broken !== undefined) return { construct: unterminatedKind(broken), span: { start: broken.start, end } };
    const statement = this.#statement;
    if (statement?.body !== undefined) {
      const construct = statement.body.kind === 'block' ? 'BEGIN block' : 'braces';
      return { construct, span: { start: statement.body.start, end } };
    }
    if (statement === undefined && next.kind === 'end') return undefined;
    return { construct: 'statement', span: { start: statement?.start ?? this.#base + next.start, end } };
  }

  #read(final: boolean): Slice[] {
    const slices: Slice[] = [];
    for (;;) {
      const token = tokenAt(this.#buffer, this.#at);
      // A token at the very edge may go on in the next piece; only a `;` cannot.
      if (!final && token.end === this.#buffer.length && !isSemicolon(this.#buffer, token)) {
        this.#awaited = token.unterminated ? terminator(this.#buffer, token) : '';
        this.#edge = this.#buffer.slice(-Math.max(this.#awaited.length, 1));
        if (token.kind === 'end' && !token.unterminated) this.#at = settledBlank(this.#buffer, this.#at);
        break;
      }
      this.#awaited = '';
      this.#at = token.end;
      if (token.unterminated) this.#broken = { ...token, start: token.start + this.#base };
      else if (token.kind === 'end') break;
      if (this.#statement?.body === undefined && isSemicolon(this.#buffer, token)) {
        if (this.#statement !== undefined) slices.push(this.#slice(this.#statement, true));
        this.#statement = undefined;
        continue;
      }
      this.#statement ??= newStatement(token.start, this.#base);
      advance(this.#statement, this.#buffer, token, this.#base);
      if (token.kind === 'end') break;
    }
    this.#forget();
    return slices;
  }

  #slice(statement: OpenStatement, terminated: boolean): Slice {
    const { start, end } = statement;
    const text = statement.text + this.#buffer.slice(statement.from, end - this.#base);
    return { text: text.slice(0, end - start), start, end, terminated };
  }

  /** Drops what was read; the text of the open statement goes on in the statement itself. */
  #forget(): void {
    const statement = this.#statement;
    if (statement !== undefined) {
      statement.text += this.#buffer.slice(statement.from, this.#at);
      statement.from = 0;
    }
    this.#buffer = this.#buffer.slice(this.#at);
    this.#base += this.#at;
    this.#at = 0;
  }
}

interface OpenStatement {
  /** Offsets in all that was read. */
  readonly start: number;
  end: number;
  /** What of it has left the buffer, and where the rest begins in the buffer. */
  text: string;
  from: number;
  /** How far the words `UPSERT PROCEDURE` or `CREATE [OR REPLACE] PROCEDURE` were met. */
  head: 'start' | 'create' | 'create or' | 'upsert' | 'procedure' | 'other';
  /** In the head of a procedure: round brackets, whether the name was met, whether the last word was AS. */
  depth: number;
  hasName: boolean;
  afterAs: boolean;
  body: Body | undefined;
}

interface Body {
  readonly kind: 'block' | 'braces';
  readonly start: number;
  depth: number;
  atStatementStart: boolean;
}

function newStatement(from: number, base: number): OpenStatement {
  return { start: base + from, end: base + from, text: '', from, head: 'start', depth: 0, hasName: false, afterAs: false, body: undefined };
}

function advance(statement: OpenStatement, text: string, token: Token, base: number): void {
  statement.end = base + token.end;
  if (statement.head === 'other') return;
  if (statement.head !== 'procedure') {
    statement.head = token.kind === 'word' ? nextHead(statement.head, text.slice(token.start, token.end).toUpperCase()) : 'other';
    return;
  }
  if (statement.body === undefined) readHead(statement, text, token, base);
  else if (readBody(statement.body, text, token)) statement.body = undefined;
}

function nextHead(head: OpenStatement['head'], word: string): OpenStatement['head'] {
  if (head === 'start') return word === 'UPSERT' ? 'upsert' : word === 'CREATE' ? 'create' : 'other';
  if (head === 'create' && word === 'OR') return 'create or';
  if (head === 'create or') return word === 'REPLACE' ? 'upsert' : 'other';
  return word === 'PROCEDURE' ? 'procedure' : 'other';
}

function readHead(statement: OpenStatement, text: string, token: Token, base: number): void {
  const afterAs = statement.afterAs;
  statement.afterAs = false;
  if (token.kind === 'symbol') {
    const symbol = text[token.start];
    if (symbol === '(') statement.depth += 1;
    else if (symbol === ')') {
      statement.depth = Math.max(0, statement.depth - 1);
      statement.hasName = true;
    } else if (symbol === '{') statement.body = { kind: 'braces', start: base + token.start, depth: 1, atStatementStart: false };
    return;
  }
  if (token.kind === 'quotedName') statement.hasName = true;
  if (token.kind !== 'word' || statement.depth > 0) return;
  // A procedure may be called `begin`: only after a name does AS introduce a body.
  const word = token.end - token.start > 6 ? '' : text.slice(token.start, token.end).toUpperCase();
  if (word === 'AS' && !afterAs) statement.afterAs = true;
  else if (word === 'BEGIN' && afterAs && statement.hasName) {
    statement.body = { kind: 'block', start: base + token.start, depth: 0, atStatementStart: true };
  } else if (word !== 'IF' && word !== 'NOT' && word !== 'EXISTS') statement.hasName = true;
}

/** True with the token that ends the body. */
function readBody(body: Body, text: string, token: Token): boolean {
  if (body.kind === 'braces') {
    if (token.kind !== 'symbol') return false;
    const symbol = text[token.start];
    if (symbol === '{') body.depth += 1;
    else if (symbol === '}') body.depth -= 1;
    return body.depth === 0;
  }
  const ends =
    body.atStatementStart && token.kind === 'word' && token.end - token.start === 3 && /^end$/i.test(text.slice(token.start, token.end));
  body.atStatementStart = isSemicolon(text, token);
  return ends;
}

/** Where the END or `}` of a body stands that begins at `from`, and where its inside begins; undefined if it is never closed. */
export function bodyEnd(text: string, from: number): { readonly inside: Span; readonly end: number } | undefined {
  const first = tokenAt(text, from);
  const kind = first.kind === 'symbol' ? 'braces' : 'block';
  const body: Body = { kind, start: first.start, depth: 1, atStatementStart: true };
  for (let token = tokenAt(text, first.end); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    if (readBody(body, text, token)) return { inside: { start: first.end, end: token.start }, end: token.end };
  }
  return undefined;
}

function isSemicolon(text: string, token: Token): boolean {
  return token.kind === 'symbol' && text.charCodeAt(token.start) === 0x3b;
}

function unterminatedKind(token: Token): OpenConstruct {
  if (token.kind === 'end') return 'comment';
  if (token.kind === 'quotedName') return 'quoted name';
  return token.kind === 'dollarString' ? 'dollar quote' : 'string';
}

function terminator(text: string, token: Token): string {
  if (token.kind === 'end') return '*/';
  if (token.kind === 'quotedName') return '"';
  if (token.kind === 'dollarString') return text.slice(token.start, text.indexOf('$', token.start + 1) + 1);
  return "'";
}
