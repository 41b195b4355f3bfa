// JSON with places: JSON.parse forgets where a value stood and keeps the last of two equal keys, and whoever mends a job file needs
// the line and the column of what is wrong in it. Strict, as the format is; a mistake says what was probably meant.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';

export type JsonNode =
  | { readonly kind: 'object'; readonly entries: readonly JsonEntry[]; readonly span: Span }
  | { readonly kind: 'list'; readonly items: readonly JsonNode[]; readonly span: Span }
  | { readonly kind: 'string'; readonly text: string; readonly span: Span }
  /** As it is written: digits that a double would lose stay. */
  | { readonly kind: 'number'; readonly text: string; readonly span: Span }
  | { readonly kind: 'boolean'; readonly value: boolean; readonly span: Span }
  | { readonly kind: 'null'; readonly span: Span };

export type JsonObjectNode = Extract<JsonNode, { kind: 'object' }>;
export type JsonStringNode = Extract<JsonNode, { kind: 'string' }>;

export interface JsonEntry {
  readonly key: JsonStringNode;
  readonly value: JsonNode;
}

/** The value that is the whole text. Throws a Diagnostic with its place. */
export function readJson(text: string): JsonNode {
  const reader = new Reader(text);
  const node = reader.value(0);
  reader.end();
  return node;
}

/** Where the character `index` of a string's text stands in the file, past escapes. */
export function placeInString(fileText: string, { text, span }: JsonStringNode, index: number): number {
  let at = span.start + 1;
  for (let read = 0; read < Math.min(index, text.length); read++) at += fileText[at] !== '\\' ? 1 : fileText[at + 1] === 'u' ? 6 : 2;
  return Math.min(at, span.end - 1);
}

const deepest = 64;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#skip();
  }

  value(depth: number): JsonNode {
    if (depth > deepest) throw this.#mistake('too_large', `values are nested more than ${deepest} deep`);
    const start = this.#at;
    const character = this.#text[start];
    if (character === '{') return this.#object(depth);
    if (character === '[') return this.#list(depth);
    if (character === '"') return this.#string();
    const number = match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y, this.#text, start);
    if (number !== undefined) {
      const span = this.#take(number.length);
      return { kind: 'number', text: number, span };
    }
    const word = match(/[A-Za-z_]\w*/y, this.#text, start);
    if (word === 'true' || word === 'false') return { kind: 'boolean', value: word === 'true', span: this.#take(word.length) };
    if (word === 'null') return { kind: 'null', span: this.#take(word.length) };
    if (word !== undefined) {
      const folded = word.toLowerCase();
      const isConstant = folded === 'true' || folded === 'false' || folded === 'null';
      throw this.#mistake(
        'syntax_error',
        `expected a value, found ${word}`,
        isConstant ? `write ${folded}` : `write "${word}"`,
        word.length,
      );
    }
    throw this.#unexpected('a value');
  }

  end(): void {
    if (this.#at < this.#text.length)
      throw this.#unexpected('the end of the file', 'a file holds one value; several jobs stand in a list [ .. ]');
  }

  #object(depth: number): JsonObjectNode {
    const start = this.#at;
    const entries: JsonEntry[] = [];
    const seen = new Set<string>();
    this.#take(1);
    if (this.#accept('}')) return { kind: 'object', entries, span: { start, end: this.#end } };
    for (;;) {
      if (this.#text[this.#at] !== '"') {
        throw this.#unexpected(
          'a key in double quotes',
          this.#text[this.#at] === '}' ? 'no comma stands behind the last entry' : undefined,
        );
      }
      const key = this.#string();
      if (seen.has(key.text)) {
        throw new Diagnostic('duplicate_key', `the key ${quoted(key.text)} stands here twice`, {
          span: key.span,
          hint: 'each key stands once',
        });
      }
      seen.add(key.text);
      if (!this.#accept(':')) throw this.#unexpected(`':' after ${quoted(key.text)}`);
      entries.push({ key, value: this.value(depth + 1) });
      if (this.#accept('}')) return { kind: 'object', entries, span: { start, end: this.#end } };
      if (!this.#accept(','))
        throw this.#unexpected("',' or '}'", this.#text[this.#at] === '"' ? 'a comma is missing before this key' : undefined);
    }
  }

  #list(depth: number): JsonNode {
    const start = this.#at;
    const items: JsonNode[] = [];
    this.#take(1);
    if (this.#accept(']')) return { kind: 'list', items, span: { start, end: this.#end } };
    for (;;) {
      if (this.#text[this.#at] === ']') throw this.#unexpected('a value', 'no comma stands behind the last item');
      items.push(this.value(depth + 1));
      if (this.#accept(']')) return { kind: 'list', items, span: { start, end: this.#end } };
      if (!this.#accept(',')) throw this.#unexpected("',' or ']'");
    }
  }

  #string(): JsonStringNode {
    const start = this.#at;
    let at = start + 1;
    const pieces: string[] = [];
    for (let from = at; ; ) {
      const code = this.#text.charCodeAt(at);
      if (Number.isNaN(code) || code === 0x0a || code === 0x0d) {
        const span = { start, end: start + 1 };
        throw new Diagnostic('unterminated', 'this string is never closed', {
          span,
          hint: 'close it with " in its line; a line break in it is \\n',
        });
      }
      if (code === 0x22) {
        pieces.push(this.#text.slice(from, at));
        break;
      }
      if (code < 0x20) {
        this.#at = at;
        throw this.#mistake('syntax_error', 'a control character stands in a string', code === 0x09 ? 'write \\t' : 'escape it: \\u0000');
      }
      if (code !== 0x5c) {
        at += 1;
        continue;
      }
      const escaped = match(/\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y, this.#text, at);
      if (escaped === undefined) {
        this.#at = at;
        throw this.#mistake('syntax_error', `${this.#text.slice(at, at + 2)} is no escape of JSON`, 'a backslash is written \\\\', 2);
      }
      pieces.push(this.#text.slice(from, at), escapes[escaped[1] ?? ''] ?? String.fromCharCode(Number.parseInt(escaped.slice(2), 16)));
      at += escaped.length;
      from = at;
    }
    return { kind: 'string', text: pieces.join(''), span: this.#take(at + 1 - start) };
  }

  /** The end of what was taken last. */
  #end = 0;

  #take(length: number): Span {
    const span = { start: this.#at, end: this.#at + length };
    this.#at = span.end;
    this.#end = span.end;
    this.#skip();
    return span;
  }

  #accept(symbol: string): boolean {
    if (this.#text[this.#at] !== symbol) return false;
    this.#take(1);
    return true;
  }

  #skip(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at += 1;
  }

  #unexpected(wanted: string, hint?: string): Diagnostic {
    const character = this.#text[this.#at];
    if (character === undefined) {
      // Where the file breaks off nothing stands that could be shown.
      const end = this.#text.length;
      return new Diagnostic('unterminated', `the file ends where ${wanted} is expected`, { span: { start: end, end }, hint });
    }
    const next = this.#text.slice(this.#at, this.#at + 2);
    const own = next === '//' || next === '/*' || character === '#' ? 'JSON has no comments: use "description"' : undefined;
    const quote = character === "'" ? 'JSON has double quotes' : undefined;
    return this.#mistake('syntax_error', `expected ${wanted}, found ${character}`, own ?? quote ?? hint);
  }

  #mistake(code: 'syntax_error' | 'too_large', message: string, hint?: string, length = 1): Diagnostic {
    return new Diagnostic(code, message, { span: { start: this.#at, end: this.#at + length }, hint });
  }
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 39)}…` : text);
}
