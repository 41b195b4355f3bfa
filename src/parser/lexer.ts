// Tokens on demand, straight from the text: a statement that is not ours is recognised by its first word, and the rest of it is
// never looked at. The lexer never fails: what is unterminated becomes a token flagged so, what it does not know a symbol.
// The rules for words, quotes, dollar quotes and white space are DuckDB's own (measured: it takes thirteen Unicode blanks for
// white space, but not the vertical tab); only numbers, durations and instants (`1h30m`, `18:00`) are ours.

export type TokenKind =
  | 'word'
  | 'quotedName'
  | 'string'
  | 'escapeString'
  | 'dollarString'
  | 'number'
  | 'duration'
  | 'size'
  | 'clock'
  | 'instant'
  | 'malformedNumber'
  | 'alias'
  | 'parameter'
  | 'symbol'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** A quote that is never closed; on the `end` token a comment that is not, which then begins at `start`. */
  readonly unterminated: boolean;
}

/** The first token at or after `from`, past white space and comments. */
export function tokenAt(text: string, from: number): Token {
  const start = skipBlank(text, from);
  if (start < 0) return { kind: 'end', start: -1 - start, end: text.length, unterminated: true };
  if (start >= text.length) return { kind: 'end', start: text.length, end: text.length, unterminated: false };
  const code = text.charCodeAt(start);
  if (code === singleQuote) return quoted('string', text, start, start + 1, singleQuote);
  if (code === doubleQuote) return quoted('quotedName', text, start, start + 1, doubleQuote);
  if (isWordStart(code)) {
    if ((code === 0x45 || code === 0x65) && text.charCodeAt(start + 1) === singleQuote) return escapeString(text, start);
    return { kind: 'word', start, end: wordEnd(text, start + 1), unterminated: false };
  }
  if (isDigit(code) || (code === dot && isDigit(text.charCodeAt(start + 1)))) return number(text, start);
  if (code === dollar) return dollarToken(text, start);
  if (code === at && isWordStart(text.charCodeAt(start + 1))) {
    return { kind: 'alias', start, end: wordEnd(text, start + 2), unterminated: false };
  }
  if (code === question) return { kind: 'parameter', start, end: start + 1, unterminated: false };
  return { kind: 'symbol', start, end: start + symbolLength(text, start, code), unterminated: false };
}

/**
 * Past white space and comments. Inside a block comment that is never closed the answer is negative: -1 minus the offset at
 * which the comment begins.
 */
export function skipBlank(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) at += 1;
    else if (code === minus && text.charCodeAt(at + 1) === minus) at = lineEnd(text, at + 2);
    else if (code === slash && text.charCodeAt(at + 1) === star) {
      const end = commentEnd(text, at);
      if (end < 0) return -1 - at;
      at = end;
    } else return at;
  }
}

/** The text without white space at both ends, by the lexer's idea of white space. */
export function trimSpace(text: string): { readonly text: string; readonly lead: number } {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return { text: text.slice(start, end), lead: start };
}

/** How much of the blank at `from` is certain when more text may follow: a line comment at the very end may go on. */
export function settledBlank(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    if (isSpace(text.charCodeAt(at))) at += 1;
    else if (text.charCodeAt(at) === minus) {
      const end = lineEnd(text, at + 2);
      if (end === text.length) return at;
      at = end;
    } else at = commentEnd(text, at);
  }
  return at;
}

/** DuckDB's white space: five of ASCII, and the Unicode blanks that it turns into spaces, the byte order mark among them. */
export function isSpace(code: number): boolean {
  if (code < 0x80) return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09 || code === 0x0c;
  if (code < 0x2000) return code === 0xa0;
  return code <= 0x200b || code === 0x202f || code === 0x205f || code === 0x2060 || code === 0x3000 || code === 0xfeff;
}

function isWordStart(code: number): boolean {
  if (code >= 0x80) return !isSpace(code);
  // Past the end of the text the code is NaN, and no comparison holds.
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function wordEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (!isWordStart(code) && !isDigit(code) && code !== dollar) break;
    at += 1;
  }
  return at;
}

function lineEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === 0x0a || code === 0x0d) break;
    at += 1;
  }
  return at;
}

function commentEnd(text: string, start: number): number {
  let depth = 1;
  let at = start + 2;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === star && text.charCodeAt(at + 1) === slash) {
      at += 2;
      depth -= 1;
      if (depth === 0) return at;
    } else if (code === slash && text.charCodeAt(at + 1) === star) {
      at += 2;
      depth += 1;
    } else at += 1;
  }
  return -1;
}

function quoted(kind: TokenKind, text: string, start: number, from: number, quote: number): Token {
  const mark = String.fromCharCode(quote);
  let at = from;
  for (;;) {
    at = text.indexOf(mark, at);
    if (at < 0) return { kind, start, end: text.length, unterminated: true };
    if (text.charCodeAt(at + 1) !== quote) return { kind, start, end: at + 1, unterminated: false };
    at += 2;
  }
}

function escapeString(text: string, start: number): Token {
  let at = start + 2;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === backslash) at += 2;
    else if (code !== singleQuote) at += 1;
    else if (text.charCodeAt(at + 1) === singleQuote) at += 2;
    else return { kind: 'escapeString', start, end: at + 1, unterminated: false };
  }
  return { kind: 'escapeString', start, end: text.length, unterminated: true };
}

/** `$$`, `$tag$`, or a parameter: `$1`, `$name`. A tag holds no further `$`, which tells `$a$` from `$a`. */
function dollarToken(text: string, start: number): Token {
  const next = text.charCodeAt(start + 1);
  if (isDigit(next)) {
    let end = start + 2;
    while (isDigit(text.charCodeAt(end))) end += 1;
    return { kind: 'parameter', start, end, unterminated: false };
  }
  let end = start + 1;
  if (isWordStart(next)) {
    end += 1;
    while (end < text.length && (isWordStart(text.charCodeAt(end)) || isDigit(text.charCodeAt(end)))) end += 1;
  }
  if (text.charCodeAt(end) === dollar) {
    const tag = text.slice(start, end + 1);
    const close = text.indexOf(tag, end + 1);
    if (close < 0) return { kind: 'dollarString', start, end: text.length, unterminated: true };
    return { kind: 'dollarString', start, end: close + tag.length, unterminated: false };
  }
  return { kind: end > start + 1 ? 'parameter' : 'symbol', start, end, unterminated: false };
}

// One expression for each shape, tried from the longest; whatever letters or digits stick to a number make it malformed.
const numberShapes: readonly (readonly [TokenKind, RegExp])[] = [
  ['instant', /\d{4}-\d{1,2}-\d{1,2}(?:[Tt]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}(?::?\d{2})?)?)?/y],
  ['clock', /\d{1,2}:\d{2}(?::\d{2})?(?!\d)/y],
  ['duration', /(?:\d+(?:ms|[ywdhms]))+/iy],
  ['size', /\d+(?:\.\d+)?(?:[kmgt]i?b|b)/iy],
  ['number', /(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?/iy],
];

function number(text: string, start: number): Token {
  for (const [kind, shape] of numberShapes) {
    shape.lastIndex = start;
    if (!shape.test(text)) continue;
    const end = shape.lastIndex;
    const next = text.charCodeAt(end);
    // For DuckDB the letters of `30m$$` begin a name, and a name goes on with `$`.
    const goesOn = isWordStart(next) || isDigit(next) || (next === dollar && !isDigit(text.charCodeAt(end - 1)));
    if (!goesOn) return { kind, start, end, unterminated: false };
  }
  return { kind: 'malformedNumber', start, end: wordEnd(text, start + 1), unterminated: false };
}

function symbolLength(text: string, start: number, code: number): number {
  const next = text.charCodeAt(start + 1);
  if (code === colon && (next === colon || next === equals)) return 2;
  if (code === equals && next === greater) return 2;
  return 1;
}

const doubleQuote = 0x22;
const dollar = 0x24;
const singleQuote = 0x27;
const star = 0x2a;
const minus = 0x2d;
const dot = 0x2e;
const slash = 0x2f;
const colon = 0x3a;
const equals = 0x3d;
const greater = 0x3e;
const question = 0x3f;
const at = 0x40;
const backslash = 0x5c;
