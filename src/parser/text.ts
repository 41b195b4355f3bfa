// From quoted text to the text that is meant, and back: each decoded string keeps an offset map, so that a mistake in the
// middle of a cadence points at its place in the statement, past doubled quotes and escapes.

import type { Span } from '../core/diagnostic.ts';
import type { OffsetMap } from './ast.ts';
import type { Token } from './lexer.ts';

export interface Decoded {
  readonly text: string;
  readonly offsets: OffsetMap;
}

/** Where the character `index` of a decoded text stands in the statement. */
export function toOffset(value: { readonly offsets: OffsetMap; readonly span: Span }, index: number): number {
  const { offsets } = value;
  let low = 0;
  let high = offsets.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((offsets[middle]?.[0] ?? 0) <= index) low = middle;
    else high = middle - 1;
  }
  const step = offsets[low];
  if (step === undefined) return value.span.start;
  return Math.min(step[1] + (index - step[0]), value.span.end);
}

/** The text of a string token or a quoted name, without its quotes; what is unterminated reaches to the end. */
export function decode(text: string, token: Token): Decoded {
  switch (token.kind) {
    case 'string':
      return undouble(text, token, "'");
    case 'quotedName':
      return undouble(text, token, '"');
    case 'escapeString':
      return unescapeString(text, token);
    case 'dollarString': {
      const tag = text.indexOf('$', token.start + 1) + 1 - token.start;
      const end = token.unterminated ? token.end : token.end - tag;
      return { text: text.slice(token.start + tag, end), offsets: [[0, token.start + tag]] };
    }
    default:
      return { text: text.slice(token.start, token.end), offsets: [[0, token.start]] };
  }
}

function undouble(text: string, token: Token, quote: string): Decoded {
  const end = token.unterminated ? token.end : token.end - 1;
  const offsets: [number, number][] = [[0, token.start + 1]];
  const pieces: string[] = [];
  let length = 0;
  let from = token.start + 1;
  for (let at = text.indexOf(quote, from); at >= 0 && at < end; at = text.indexOf(quote, from)) {
    pieces.push(text.slice(from, at + 1));
    length += at + 1 - from;
    from = at + 2;
    offsets.push([length, from]);
  }
  pieces.push(text.slice(from, end));
  return { text: pieces.join(''), offsets };
}

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
const special = /''|\\(?:[0-7]{1,3}|x[0-9a-f]{1,2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[\s\S])?/giu;

function unescapeString(text: string, token: Token): Decoded {
  const start = token.start + 2;
  const raw = text.slice(start, token.unterminated ? token.end : token.end - 1);
  const offsets: [number, number][] = [[0, start]];
  const pieces: string[] = [];
  let length = 0;
  let from = 0;
  for (const match of raw.matchAll(special)) {
    const plain = raw.slice(from, match.index);
    const meant = escapeMeaning(match[0]);
    pieces.push(plain, meant);
    length += plain.length + meant.length;
    from = match.index + match[0].length;
    offsets.push([length, start + from]);
  }
  pieces.push(raw.slice(from));
  return { text: pieces.join(''), offsets };
}

function escapeMeaning(written: string): string {
  if (written === "''") return "'";
  const body = written.slice(1);
  if (/^[0-7]+$/.test(body)) return String.fromCharCode(Number.parseInt(body, 8) & 0xff);
  if (/^[xuU][0-9a-fA-F]+$/.test(body)) {
    const code = Number.parseInt(body.slice(1), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  }
  return escapes[body] ?? body;
}
