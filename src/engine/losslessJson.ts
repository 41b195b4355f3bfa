// JSON.parse rounds 12345678901234567890 and forgets the first of two equal keys. A JSON column must not: numbers that a double
// cannot say become strings with all their digits, and text that an object cannot hold stays text.

import type { JsonValue } from '../core/jsonValue.ts';

/** The text as plain values; the text itself where they could not say the same. */
export function losslessJson(text: string): JsonValue {
  const reader = new Reader(text);
  const value = reader.value(0);
  return value === undefined || !reader.atEnd() ? text : value;
}

/** True where a double, printed, says the same number. */
export function survivesDouble(text: string): boolean {
  return significant(String(Number(text))) === significant(text);
}

/** Deeper than anything that is written by hand, and far from the end of the stack. */
const deepest = 1000;

/** Answers undefined at the first thing that is not to be read. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    return this.#take(/\s*/y) !== undefined && this.#at === this.#text.length;
  }

  value(depth: number): JsonValue | undefined {
    if (depth > deepest) return undefined;
    const start = this.#take(/\s*(?:[[{]|(?=["\-\dtfn]))/y)?.trim();
    if (start === '[') return this.#array(depth);
    if (start === '{') return this.#object(depth);
    if (start === undefined) return undefined;
    const string = this.#take(stringToken);
    if (string !== undefined) return parsed(string);
    const number = this.#take(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    if (number !== undefined) return survivesDouble(number) ? Number(number) : number;
    const word = this.#take(/true|false|null/y);
    return word === undefined ? undefined : word === 'null' ? null : word === 'true';
  }

  #array(depth: number): JsonValue | undefined {
    const items: JsonValue[] = [];
    if (this.#take(/\s*\]/y) !== undefined) return items;
    for (;;) {
      const item = this.value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
      if (this.#take(/\s*\]/y) !== undefined) return items;
      if (this.#take(/\s*,/y) === undefined) return undefined;
    }
  }

  #object(depth: number): JsonValue | undefined {
    const fields: { [name: string]: JsonValue } = {};
    if (this.#take(/\s*\}/y) !== undefined) return fields;
    for (;;) {
      this.#take(/\s*/y);
      const token = this.#take(stringToken);
      const name = token === undefined ? undefined : parsed(token);
      if (typeof name !== 'string' || Object.hasOwn(fields, name) || this.#take(/\s*:/y) === undefined) return undefined;
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      Object.defineProperty(fields, name, { value, enumerable: true, configurable: true, writable: true });
      if (this.#take(/\s*\}/y) !== undefined) return fields;
      if (this.#take(/\s*,/y) === undefined) return undefined;
    }
  }

  #take(token: RegExp): string | undefined {
    token.lastIndex = this.#at;
    const match = token.exec(this.#text);
    if (match === null) return undefined;
    this.#at = token.lastIndex;
    return match[0];
  }
}

const stringToken = /"(?:[^"\\]|\\.)*"/sy;

function parsed(token: string): string | undefined {
  try {
    return JSON.parse(token) as string;
  } catch {
    return undefined;
  }
}

/** A number's digits and the power of ten of the last one, without zeros at either end. */
function significant(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace(/^[+-]/, '').split('.');
  const sign = mantissa.startsWith('-') ? '-' : '';
  const digits = (whole + fraction).replace(/^0+/, '');
  const kept = digits.replace(/0+$/, '');
  return kept === '' ? `${sign}0` : `${sign}${kept}e${Number(exponent) - fraction.length + digits.length - kept.length}`;
}
