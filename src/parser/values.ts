// Values and the one object syntax `( key: value, .. )`. What a value means is plain from its first token, but under a key that
// takes a phrase, where `every 30m` runs on to the `,` `)` `]` `}` of its own depth.

import { Diagnostic, type Span } from '../core/diagnostic.ts';
import { likelyDuration } from '../core/duration.ts';
import { sizesAreWritten, sizeUnits } from '../core/size.ts';
import type { CallValue, Entry, InstantValue, ListValue, Name, NumberValue, ObjectValue, PhraseValue, StringValue, Value } from './ast.ts';
import { type Cursor, checkName, quote, short, spanOf } from './cursor.ts';
import { freePlace, keyIn, legalKeys, type Place, type Shape, valueFunctions } from './keys.ts';
import type { Token } from './lexer.ts';
import { checkShape, describeShape, readDuration } from './shape.ts';
import { suggest } from './suggest.ts';
import { decode } from './text.ts';

const deepest = 64;

/** `( key: value, .. )`, the body of every definition. */
export function readDefinition(cursor: Cursor, place: Place): ObjectValue {
  return readEntries(cursor, place, '(', ')', 0);
}

/** `{ key: value, .. }` */
export function readObject(cursor: Cursor, place: Place): ObjectValue {
  return readEntries(cursor, place, '{', '}', 0);
}

/** A value where no key says what it should be, as after `SET cron.x =`. */
export function readFreeValue(cursor: Cursor): Value {
  return readValue(cursor, { kind: 'any' }, 0);
}

function readEntries(cursor: Cursor, place: Place, opening: string, closing: string, depth: number): ObjectValue {
  const open = cursor.expectSymbol(opening);
  const entries: Entry[] = [];
  const seen = new Map<string, Name>();
  while (!cursor.isSymbol(closing)) {
    const entry = readEntry(cursor, place, closing, open, depth);
    const field = entry.field.toLowerCase();
    const earlier = seen.get(field);
    if (earlier !== undefined) {
      const also = earlier.text.toLowerCase() === entry.key.text.toLowerCase() ? '' : ` (as ${quote(earlier.text)})`;
      cursor.mistake('duplicate_key', `the key ${quote(entry.key.text)} stands here twice${also}`, entry.key.span, 'each key stands once');
    }
    seen.set(field, entry.key);
    entries.push(entry);
    if (cursor.isSymbol(closing)) break;
    readComma(cursor, closing, open);
  }
  cursor.take();
  return { kind: 'object', entries, span: cursor.spanFrom(open.start) };
}

function readEntry(cursor: Cursor, place: Place, closing: string, open: Token, depth: number): Entry {
  const key = readKey(cursor, closing, open);
  const known = place.keys === undefined ? undefined : keyIn(place, key.text);
  if (!cursor.isSymbol(':')) {
    const near = known === undefined && place.keys !== undefined ? suggest(key.text, legalKeys(place)) : undefined;
    const written = near ?? short(key.text);
    const hint =
      cursor.isSymbol('=') || cursor.isSymbol('=>') || cursor.isSymbol(':=')
        ? `keys take a colon: ${written}: ..`
        : `write ${written}: and its value`;
    throw cursor.expected([`':' after ${quote(key.text)}`], hint);
  }
  cursor.take();
  if (place.keys !== undefined && known === undefined) {
    const near = suggest(key.text, legalKeys(place));
    const legal = `${place.name} takes ${[...place.keys.keys()].join(', ')}`;
    cursor.mistake(
      'unknown_key',
      `${place.name} has no key ${quote(key.text)}`,
      key.span,
      near === undefined ? legal : `did you mean '${near}'?`,
    );
  }
  const shape = known?.shape ?? { kind: 'any' };
  const value = readValue(cursor, shape, depth + 1);
  if (value.kind === 'number' && cursor.is('word') && !cursor.isSymbol(':', cursor.after)) {
    const text = `${value.text} ${cursor.raw()}`;
    throw cursor.expected(["','", `'${closing}'`], text.length > 40 ? undefined : `several words stand in quotes: '${text}'`);
  }
  checkShape(cursor, value, shape, known?.field ?? key.text);
  return { key, field: known?.field ?? key.text, value, span: { start: key.span.start, end: value.span.end } };
}

function readKey(cursor: Cursor, closing: string, open: Token): Name {
  const { token } = cursor;
  if (token.unterminated) throw cursor.expected(['a key']);
  if (token.kind === 'word' || token.kind === 'quotedName' || token.kind === 'string') {
    cursor.take();
    const key = { text: decode(cursor.text, token).text, quoted: token.kind !== 'word', span: spanOf(token) };
    checkName(cursor, key);
    return key;
  }
  if (token.kind === 'end') throw neverClosed(cursor, open);
  throw cursor.expected(['a key', `'${closing}'`], cursor.isSymbol(',') ? 'one comma between two keys is enough' : undefined);
}

/** The comma between two items, or the Diagnostic that says which comma is missing. */
function readComma(cursor: Cursor, closing: string, open: Token): void {
  if (cursor.acceptSymbol(',')) return;
  if (cursor.is('end') && !cursor.token.unterminated) throw neverClosed(cursor, open);
  if (cursor.is('word') && cursor.isSymbol(':', cursor.after)) throw missingComma(cursor, cursor.token);
  const stuck = cursor.is('symbol') && cursor.token.start === cursor.end;
  throw cursor.expected(["','", `'${closing}'`], stuck ? 'text that is not a plain word stands in quotes' : undefined);
}

function neverClosed(cursor: Cursor, open: Token): Diagnostic {
  return cursor.unterminated() ?? cursor.neverClosed(open);
}

function missingComma(cursor: Cursor, word: Token): Diagnostic {
  const text = cursor.raw(word);
  return new Diagnostic('syntax_error', `missing comma before ${quote(text)}`, { span: spanOf(word), hint: `write , ${short(text)}: ..` });
}

function readValue(cursor: Cursor, shape: Shape, depth: number): Value {
  if (depth > deepest) {
    throw new Diagnostic('too_large', `values are nested more than ${deepest} deep`, {
      span: spanOf(cursor.token),
      hint: 'keep deeper data in a table and read it with sql(..)',
    });
  }
  if (takesPhrase(shape) && !cursor.isSymbol('[') && !cursor.isSymbol('{')) return readPhrase(cursor, shape);
  const { token } = cursor;
  switch (token.kind) {
    case 'string':
    case 'quotedName':
    case 'escapeString':
    case 'dollarString':
      return readString(cursor, 'a value');
    case 'number':
      return readNumber(cursor, false);
    case 'duration': {
      cursor.take();
      return { kind: 'duration', ms: durationMs(cursor, token), text: cursor.raw(token), span: spanOf(token) };
    }
    case 'size':
      return readSize(cursor);
    case 'clock':
      return readClock(cursor);
    case 'instant':
      return readInstant(cursor);
    case 'alias':
      cursor.take();
      return { kind: 'word', text: cursor.raw(token), parts: [cursor.raw(token)], span: spanOf(token) };
    case 'word':
      return readWord(cursor, depth);
    case 'malformedNumber':
      throw malformed(cursor, shape);
    case 'symbol':
      if (cursor.isSymbol('[')) return readList(cursor, itemShape(shape), depth);
      if (cursor.isSymbol('{')) return readEntries(cursor, objectPlace(shape), '{', '}', depth);
      if ((cursor.isSymbol('-') || cursor.isSymbol('+')) && cursor.after.start === token.end && cursor.after.kind === 'number') {
        return readNumber(cursor, true);
      }
      if (cursor.isSymbol('(')) throw cursor.expected(['a value'], 'objects inside a definition are written { key: value }');
      throw cursor.expected(['a value'], describeShape(shape));
    case 'parameter':
      throw cursor.expected(['a value'], 'a definition holds constants; parameters belong into its SQL texts');
    case 'end':
      throw cursor.expected(['a value'], describeShape(shape));
    default:
      return token.kind satisfies never;
  }
}

/** `5min`, `1.5h`, `512XB`: a number with letters that make nothing of it. */
function malformed(cursor: Cursor, shape: Shape): Diagnostic {
  const { start, end } = cursor.token;
  // The lexer stops at the point; a person reads on to the unit.
  const [written = ''] = /^\d+(?:\.\d+)?\w*/.exec(cursor.text.slice(start, start + 64)) ?? [];
  const text = written.length > end - start ? written : cursor.raw();
  const span = { start, end: start + text.length };
  if (shape.kind === 'size') {
    return new Diagnostic('syntax_error', `${quote(text)} is not a size`, {
      span,
      hint: sizesAreWritten,
    });
  }
  const what = shape.kind === 'duration' ? 'not a duration' : 'neither a number nor a duration nor an instant';
  return new Diagnostic('syntax_error', `${quote(text)} is ${what}`, {
    span,
    hint: likelyDuration(text) ?? 'durations are written 30s, 1h30m, 2d; text stands in quotes',
  });
}

export function takesPhrase(shape: Shape): boolean {
  return shape.kind === 'cadence' || shape.kind === 'phrase' || (shape.kind === 'instant' && shape.phrase);
}

export function itemShape(shape: Shape): Shape {
  if (shape.kind === 'list') return shape.of;
  if (shape.kind === 'cadence') return shape;
  if (shape.kind === 'oneOf') return shape.shapes.map(itemShape).find((item) => item.kind !== 'any') ?? { kind: 'any' };
  return { kind: 'any' };
}

export function objectPlace(shape: Shape): Place {
  if (shape.kind === 'object') return shape.place;
  if (shape.kind === 'list') return objectPlace(shape.of);
  if (shape.kind === 'oneOf') return shape.shapes.map(objectPlace).find((place) => place !== freePlace) ?? freePlace;
  return freePlace;
}

/** A string in any of its forms; double quotes are strings here. */
export function readString(cursor: Cursor, what: string): StringValue {
  const { token } = cursor;
  const style = stringStyle(token);
  if (style === undefined || token.unterminated) {
    const isPlain = token.kind !== 'symbol' && token.kind !== 'end' && token.kind !== 'parameter' && !token.unterminated;
    const hint = isPlain ? `put it in quotes: '${short(cursor.raw())}'` : undefined;
    throw cursor.expected([what], hint);
  }
  cursor.take();
  const decoded = decode(cursor.text, token);
  if (decoded.text.includes('\0')) {
    cursor.mistake('invalid_encoding', 'a string holds a NUL character', spanOf(token), 'text in DuckDB has no NUL characters');
  }
  return { kind: 'string', text: decoded.text, style, offsets: decoded.offsets, span: spanOf(token) };
}

export function isString(token: Token): boolean {
  return stringStyle(token) !== undefined;
}

function stringStyle(token: Token): StringValue['style'] | undefined {
  if (token.kind === 'string') return 'single';
  if (token.kind === 'quotedName') return 'double';
  if (token.kind === 'escapeString') return 'escape';
  return token.kind === 'dollarString' ? 'dollar' : undefined;
}

function readNumber(cursor: Cursor, signed: boolean): NumberValue {
  const { start } = cursor.token;
  if (signed) cursor.take();
  cursor.take();
  const text = cursor.text.slice(start, cursor.end);
  return { kind: 'number', value: Number(text.replaceAll('_', '')), text, span: cursor.spanFrom(start) };
}

/** A whole number of at least one, as in NEXT n. */
export function readCount(cursor: Cursor, what: string): NumberValue {
  if (!cursor.is('number')) throw cursor.expected([what], `write a whole number, such as ${what.replace(/^a .*/, '5')}`);
  const count = readNumber(cursor, false);
  if (!Number.isSafeInteger(count.value) || count.value < 1) {
    cursor.mistake('invalid_value', `${quote(count.text)} is not ${what}`, count.span, 'write a whole number of at least 1');
  }
  return count;
}

function durationMs(cursor: Cursor, token: Token): number {
  try {
    return readDuration(cursor.raw(token));
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    cursor.collect(error.movedBy((offset) => token.start + offset));
    return 0;
  }
}

function readSize(cursor: Cursor): Value {
  const token = cursor.take();
  const text = cursor.raw(token);
  const unit = text.replace(/^[\d.]+/, '');
  const bytes = Math.round(Number(text.slice(0, -unit.length)) * (sizeUnits[unit.toLowerCase()] ?? 1));
  return { kind: 'size', bytes, text, span: spanOf(token) };
}

function readClock(cursor: Cursor): Value {
  const token = cursor.take();
  const text = cursor.raw(token);
  const [hour = 0, minute = 0, second = 0] = text.split(':').map(Number);
  if (hour > 23 || minute > 59 || second > 59) {
    cursor.mistake('invalid_value', `${quote(text)} is not a time of day`, spanOf(token), 'times run from 00:00 to 23:59:59');
  }
  return { kind: 'clock', hour, minute, second, text, span: spanOf(token) };
}

const instantParts =
  /^(\d{4})-(\d{1,2})-(\d{1,2})(?:(?:T| +)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)? *(Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?$/i;

export function readInstant(cursor: Cursor): InstantValue {
  const token = cursor.take();
  const value = instantOf(cursor.raw(token), spanOf(token));
  if (value === undefined) throw new Diagnostic('internal', 'the lexer and the reader of instants disagree', { span: spanOf(token) });
  if (!isInstant(value)) {
    cursor.mistake('invalid_value', `${quote(value.text)} is not a date or an instant`, value.span, 'write 2027-09-20T02:00:00Z');
  }
  return value;
}

/** Whether its fields are in range. */
export function isInstant(value: InstantValue): boolean {
  return isDate(value) && value.hour <= 23 && value.minute <= 59 && value.second <= 59 && Math.abs(value.offsetMinutes ?? 0) <= 18 * 60;
}

/** undefined where the text has not the form of one. */
export function instantOf(text: string, span: Span): InstantValue | undefined {
  const parts = instantParts.exec(text);
  if (parts === null) return undefined;
  const [, year = '', month = '', day = '', hour, minute, second, fraction = '', zone] = parts;
  return {
    kind: 'instant',
    year: Number(year),
    month: Number(month),
    day: Number(day),
    hour: Number(hour ?? 0),
    minute: Number(minute ?? 0),
    second: Number(second ?? 0),
    millisecond: Number(fraction.padEnd(3, '0').slice(0, 3)),
    offsetMinutes: zone === undefined ? undefined : zoneMinutes(zone),
    dateOnly: hour === undefined,
    text,
    span,
  };
}

function zoneMinutes(zone: string): number {
  if (/^[ZU]/i.test(zone)) return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', ''));
  return zone.startsWith('-') ? -minutes : minutes;
}

function isDate({ year, month, day }: InstantValue): boolean {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
  return year >= 1 && days !== undefined && day >= 1 && day <= days;
}

function readWord(cursor: Cursor, depth: number): Value {
  const first = cursor.take();
  const text = cursor.raw(first);
  if (cursor.isSymbol('(')) return readCall(cursor, first, depth);
  const constant = text.toLowerCase();
  if (!cursor.isSymbol('.')) {
    if (constant === 'true' || constant === 'false') return { kind: 'boolean', value: constant === 'true', span: spanOf(first) };
    if (constant === 'null') return { kind: 'null', span: spanOf(first) };
  }
  const parts = [text];
  while (cursor.isSymbol('.')) {
    cursor.take();
    if (!cursor.is('word')) throw cursor.expected(['a word after the dot'], 'a name that is not a plain word stands in quotes as a whole');
    parts.push(cursor.raw(cursor.take()));
  }
  return { kind: 'word', text: parts.join('.'), parts, span: cursor.spanFrom(first.start) };
}

function readCall(cursor: Cursor, word: Token, depth: number): CallValue {
  const written = cursor.raw(word);
  const name = written.toLowerCase();
  if (!valueFunctions.includes(name)) {
    const near = suggest(name, valueFunctions);
    const hint =
      near === undefined ? `there are ${valueFunctions.join(', ')}; an expression goes into sql('..')` : `did you mean ${near}(..)?`;
    cursor.mistake('unknown_function', `there is no function ${quote(written)} here`, spanOf(word), hint);
  }
  const open = cursor.take();
  const items = readItems(cursor, open, ')', { kind: 'any' }, depth);
  return { kind: 'call', name, arguments: items, span: cursor.spanFrom(word.start) };
}

function readList(cursor: Cursor, of: Shape, depth: number): ListValue {
  const open = cursor.take();
  return { kind: 'list', items: readItems(cursor, open, ']', of, depth), span: cursor.spanFrom(open.start) };
}

function readItems(cursor: Cursor, open: Token, closing: string, shape: Shape, depth: number): Value[] {
  const items: Value[] = [];
  while (!cursor.isSymbol(closing)) {
    if (cursor.is('end') && !cursor.token.unterminated) throw neverClosed(cursor, open);
    items.push(readValue(cursor, shape, depth + 1));
    if (cursor.isSymbol(closing)) break;
    readComma(cursor, closing, open);
  }
  cursor.take();
  return items;
}

/** One plain value if it stands alone, else all tokens to the end of this depth. */
function readPhrase(cursor: Cursor, shape: Shape): Value {
  const first = cursor.token;
  if (first.unterminated || first.kind === 'end') throw cursor.expected(['a value'], describeShape(shape));
  if (endsPhrase(cursor, cursor.after) || (first.kind === 'word' && cursor.isSymbol('(', cursor.after))) {
    return readValue(cursor, { kind: 'any' }, 0);
  }
  const offsets: [number, number][] = [];
  const pieces: string[] = [];
  let length = 0;
  let depth = 0;
  let last: Token | undefined;
  for (let { token } = cursor; depth > 0 || !endsPhrase(cursor, token); token = cursor.token) {
    if (token.unterminated) throw cursor.expected(['a phrase']);
    if (token.kind === 'end' || cursor.isSymbol(';')) break;
    if (token.kind === 'word' && cursor.isSymbol(':', cursor.after)) {
      throw last === undefined ? cursor.expected(['a value'], describeShape(shape)) : missingComma(cursor, token);
    }
    if (cursor.isSymbol('(') || cursor.isSymbol('[') || cursor.isSymbol('{')) depth += 1;
    if (cursor.isSymbol(')') || cursor.isSymbol(']') || cursor.isSymbol('}')) depth -= 1;
    if (last !== undefined && last.end < token.start) {
      pieces.push(' ');
      length += 1;
    }
    offsets.push([length, token.start]);
    pieces.push(cursor.raw(token));
    length += token.end - token.start;
    last = cursor.take();
  }
  if (last === undefined) throw cursor.expected(['a value'], describeShape(shape));
  const phrase: PhraseValue = { kind: 'phrase', text: pieces.join(''), offsets, span: cursor.spanFrom(first.start) };
  if (shape.kind !== 'phrase' && isBareCron(phrase.text)) throw bareCron(cursor, first.start);
  return phrase;
}

function endsPhrase(cursor: Cursor, token: Token): boolean {
  if (token.kind === 'end') return true;
  if (token.kind !== 'symbol') return false;
  const symbol = cursor.raw(token);
  return symbol === ',' || symbol === ')' || symbol === ']' || symbol === '}' || symbol === ';';
}

/** No phrase begins with a star, a question mark or a number and then goes on in the manner of a cron. */
export function isBareCron(text: string): boolean {
  return /^(?:[*?]|\d+\s*[-/*]|\d+\s+[\d*?])/.test(text) && !/^\d+-\d+-\d+/.test(text);
}

/** `0 2 * * *` without quotes, from the next token on. */
export function bareCron(cursor: Cursor, start = cursor.token.start): Diagnostic {
  const [written = ''] =
    /^[^\s,)\]}]+(?:,[^\s,)\]}]+)*(?:[ \t]+[^\s,)\]};]+(?:,[^\s,)\]};]+)*){0,6}/.exec(cursor.text.slice(start, start + 200)) ?? [];
  return new Diagnostic('wrong_type', 'a cron is written in quotes', {
    span: { start, end: start + written.length },
    hint: `write '${written}'`,
  });
}
