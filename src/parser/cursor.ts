// The parser's place in one statement: the next token, the words it could have been, and the one maker of "expected .., found ..".
// Mistakes that leave the shape intact (an unknown key, a wrong type) are collected, so that one look shows them all; a mistake
// in the shape itself is thrown, and caught again by `parse`.

import { Diagnostic, type DiagnosticCode, type Span } from '../core/diagnostic.ts';
import type { Name, Sql } from './ast.ts';
import { type Token, type TokenKind, tokenAt } from './lexer.ts';
import { suggest } from './suggest.ts';
import { decode } from './text.ts';

const longestName = 255;
const mostMistakes = 20;

export class Cursor {
  readonly text: string;
  readonly mistakes: Diagnostic[] = [];
  /** The next token. */
  token: Token;
  /** Where the last token taken ended. */
  end = 0;
  #ahead: Token | undefined;

  constructor(text: string) {
    this.text = text;
    this.token = tokenAt(text, 0);
  }

  /** Takes the next token. */
  take(): Token {
    const taken = this.token;
    this.end = taken.end;
    this.token = this.#ahead ?? tokenAt(this.text, taken.end);
    this.#ahead = undefined;
    return taken;
  }

  /** The token after the next one. */
  get after(): Token {
    this.#ahead ??= tokenAt(this.text, this.token.end);
    return this.#ahead;
  }

  /** Goes on at an offset, past a body that was read as a whole. */
  jump(to: number): void {
    this.end = to;
    this.token = tokenAt(this.text, to);
    this.#ahead = undefined;
  }

  /** Nothing but a `;` may follow; `alternatives` are what could have stood here as well. */
  finish(...alternatives: readonly string[]): void {
    if (this.is('end') && !this.token.unterminated) return;
    const semicolon = this.isSymbol(';') ? this.token : undefined;
    if (semicolon === undefined || this.after.unterminated) {
      throw this.expected([...alternatives, 'the end of the statement']);
    }
    if (this.after.kind === 'end' || this.isSymbol(';', this.after)) return;
    throw new Diagnostic('syntax_error', 'a second statement follows', {
      span: { start: this.after.start, end: this.after.end },
      hint: 'give one statement at a time',
    });
  }

  raw(token: Token = this.token): string {
    return this.text.slice(token.start, token.end);
  }

  /** The next token as a keyword in capitals; '' if it is not a plain word. */
  keyword(token: Token = this.token): string {
    return token.kind === 'word' && token.end - token.start <= 32 ? this.raw(token).toUpperCase() : '';
  }

  is(kind: TokenKind): boolean {
    return this.token.kind === kind;
  }

  isSymbol(symbol: string, token: Token = this.token): boolean {
    return token.kind === 'symbol' && this.raw(token) === symbol;
  }

  /** Takes the keyword if it comes next. */
  accept(keyword: string): boolean {
    if (this.keyword() !== keyword) return false;
    this.take();
    return true;
  }

  acceptSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false;
    this.take();
    return true;
  }

  expect(...keywords: readonly [string, ...string[]]): string {
    const found = this.keyword();
    if (!keywords.includes(found)) throw this.expected(keywords);
    this.take();
    return found;
  }

  expectSymbol(symbol: string, hint?: string): Token {
    if (!this.isSymbol(symbol)) throw this.expected([`'${symbol}'`], hint);
    return this.take();
  }

  /** `expected NEXT or IN, found 'NXT'`. Without a better hint it names the keyword (those are the words in capitals) that may be meant. */
  expected(what: readonly string[], hint?: string): Diagnostic {
    const unterminated = this.unterminated();
    if (unterminated !== undefined) return unterminated;
    const found = this.keyword();
    const keywords = what.filter((word) => /^[A-Z ]+$/.test(word));
    const meant = found === '' ? undefined : suggest(found, keywords);
    return new Diagnostic('syntax_error', `expected ${either(what)}, found ${this.found()}`, {
      span: spanOf(this.token),
      hint: hint ?? (meant === undefined ? undefined : `did you mean ${meant}?`),
    });
  }

  /** A Diagnostic if the next token is a quote or comment that is never closed. */
  unterminated(): Diagnostic | undefined {
    const { kind, start, end, unterminated } = this.token;
    if (!unterminated) return undefined;
    const what = unterminatedWords[kind] ?? 'string';
    const close = kind === 'dollarString' ? this.text.slice(start, this.text.indexOf('$', start + 1) + 1) : (closers[kind] ?? "'");
    return new Diagnostic('unterminated', `this ${what} is never closed`, { span: { start, end }, hint: `close it with ${close}` });
  }

  /** The Diagnostic of a bracket that nothing closes. */
  neverClosed(open: Token): Diagnostic {
    const opening = this.raw(open);
    const closing = opening === '(' ? ')' : opening === '[' ? ']' : '}';
    return new Diagnostic('unterminated', `this '${opening}' is never closed`, { span: spanOf(open), hint: `close it with '${closing}'` });
  }

  found(): string {
    if (this.token.kind === 'end') return 'the end of the statement';
    return quote(this.raw());
  }

  /** Collects a mistake that does not stop the reading, unless there are too many to read. */
  mistake(code: DiagnosticCode, message: string, span: Span, hint?: string): void {
    this.collect(new Diagnostic(code, message, { span: spanOf(span), hint }));
  }

  collect(diagnostic: Diagnostic): void {
    if (this.mistakes.length + 1 >= mostMistakes) throw diagnostic;
    this.mistakes.push(diagnostic);
  }

  spanFrom(start: number): Span {
    return { start, end: this.end };
  }

  /** A plain or "quoted" name. */
  name(what: string): Name {
    const { token } = this;
    if (token.unterminated || (token.kind !== 'word' && token.kind !== 'quotedName')) {
      const wanted =
        token.kind === 'string' ? `names stand plain or in double quotes: "${short(decode(this.text, token).text)}"` : undefined;
      throw this.expected([what], wanted);
    }
    this.take();
    const text = decode(this.text, token).text;
    const name: Name = { text, quoted: token.kind === 'quotedName', span: spanOf(token) };
    checkName(this, name);
    if (this.isSymbol('.')) {
      throw new Diagnostic('invalid_name', `expected ${what}, found a dotted one`, {
        span: { start: token.start, end: this.after.end },
        hint: `names of Cuckoo stand alone, without a schema; one that holds a dot is written in double quotes`,
      });
    }
    return name;
  }

  names(what: string): Name[] {
    const names = [this.name(what)];
    while (this.acceptSymbol(',')) names.push(this.name(what));
    return names;
  }

  /** Raw SQL up to one of the stops at the same depth of brackets, or to the end; undefined if there is none. */
  sqlUntil(stops: (token: Token) => boolean): Sql | undefined {
    const start = this.token.start;
    let end = start;
    const opened: Token[] = [];
    for (;;) {
      const { token } = this;
      if (token.kind === 'end') {
        if (token.unterminated) throw this.expected(['an expression']);
        const open = opened.at(-1);
        if (open !== undefined) throw this.neverClosed(open);
        break;
      }
      if (token.unterminated) throw this.expected(['an expression']);
      const symbol = token.kind === 'symbol' ? this.text[token.start] : undefined;
      const open = opened.at(-1);
      if (open === undefined && (symbol === ';' || symbol === ')' || symbol === ']' || symbol === '}' || stops(token))) break;
      if (symbol === '(' || symbol === '[' || symbol === '{') opened.push(token);
      else if (symbol === ')' || symbol === ']' || symbol === '}') opened.pop();
      else if (symbol === ';' && open !== undefined) throw this.neverClosed(open);
      this.take();
      end = token.end;
    }
    if (end === start) return undefined;
    return { text: this.text.slice(start, end), span: { start, end } };
  }

  expectSql(what: string, stops: (token: Token) => boolean): Sql {
    const sql = this.sqlUntil(stops);
    if (sql === undefined) throw this.expected([what]);
    return sql;
  }
}

export function checkName(cursor: Cursor, name: Name): void {
  if (name.text === '') cursor.mistake('invalid_name', 'a name is empty', name.span, 'give it at least one character');
  else if (name.text.length > longestName) {
    const { length } = name.text;
    cursor.mistake(
      'invalid_name',
      `a name of ${length} characters is too long`,
      name.span,
      `the longest name has ${longestName} characters`,
    );
  }
}

const unterminatedWords: Partial<Record<TokenKind, string>> = { end: 'comment', quotedName: 'double quote', dollarString: 'dollar quote' };
const closers: Partial<Record<TokenKind, string>> = { end: '*/', quotedName: '"' };

export function spanOf({ start, end }: Span): Span {
  return { start, end };
}

/** `a`, `a or b`, `a, b or c` */
export function either(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** What was found, short enough to read, in quotes if it has none of its own. */
export function quote(text: string): string {
  const shown = short(text);
  return /^['"$]/.test(shown) ? shown : `'${shown}'`;
}

export function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
