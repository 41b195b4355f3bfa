// Does a value fit its key? Said here, while the place is still exact, in words that show the mend.

import { Diagnostic } from '../core/diagnostic.ts';
import { type DurationMs, parseDuration } from '../core/duration.ts';
import type { StringValue, Value } from './ast.ts';
import { type Cursor, either, quote, short } from './cursor.ts';
import { type Shape, valueFunctions } from './keys.ts';
import { suggest } from './suggest.ts';
import { toOffset } from './text.ts';

/** Collects a mistake if the value does not fit. `null` fits everywhere: it stands for the default. */
export function checkShape(cursor: Cursor, value: Value, shape: Shape, key: string): void {
  if (value.kind === 'null') return;
  // An unknown function has been named already.
  if (value.kind === 'call' && !valueFunctions.includes(value.name)) return;
  const mistake = mismatch(value, shape, key);
  if (mistake !== undefined) cursor.collect(mistake);
}

function mismatch(value: Value, shape: Shape, key: string): Diagnostic | undefined {
  switch (shape.kind) {
    case 'any':
      return undefined;
    case 'cadence':
      if (value.kind === 'list') return firstOf(value.items.map((item) => mismatch(item, shape, key)));
      if (value.kind === 'string' || value.kind === 'phrase' || value.kind === 'word' || value.kind === 'instant') return undefined;
      if (value.kind === 'duration') return wrongType(value, shape, key, `write every ${short(value.text)}`);
      return wrongType(value, shape, key);
    case 'phrase':
      if (value.kind === 'string' || value.kind === 'phrase') return undefined;
      if (value.kind === 'number' && key === 'retry') return wrongType(value, shape, key, `write ${short(value.text)} times`);
      return wrongType(value, shape, key);
    case 'instant':
      if (value.kind === 'string' || value.kind === 'instant' || (shape.phrase && value.kind === 'phrase')) return undefined;
      return wrongType(value, shape, key);
    case 'duration':
      return notDuration(value, shape, key);
    case 'number':
      return notNumber(value, shape, key);
    case 'size':
      if (value.kind === 'size') return undefined;
      if (value.kind === 'number') return wrongType(value, shape, key, `give it a unit: ${short(value.text)}MB`);
      return wrongType(value, shape, key);
    case 'boolean':
      if (value.kind === 'boolean') return undefined;
      return wrongType(value, shape, key, booleanHint(value));
    case 'choice':
      return notChoice(value, shape, key);
    case 'name':
      if (value.kind === 'string' && value.text !== '') return undefined;
      if (value.kind === 'word' && (shape.dotted || value.parts.length === 1)) return undefined;
      return wrongType(value, shape, key);
    case 'text':
      if (value.kind === 'string') return undefined;
      if (value.kind === 'word' || value.kind === 'number') return wrongType(value, shape, key, `put it in quotes: '${short(value.text)}'`);
      return wrongType(value, shape, key);
    case 'list':
      if (value.kind === 'list') return firstOf(value.items.map((item) => mismatch(item, shape.of, key)));
      if (shape.single) return mismatch(value, shape.of, key);
      return wrongType(value, shape, key);
    case 'object':
      if (value.kind === 'object') return undefined;
      return wrongType(value, shape, key);
    case 'action':
      return notAction(value, shape, key);
    case 'oneOf':
      return notOneOf(value, shape, key);
    default:
      return shape satisfies never;
  }
}

function notDuration(value: Value, shape: Shape & { kind: 'duration' }, key: string): Diagnostic | undefined {
  switch (value.kind) {
    case 'duration':
      return undefined;
    case 'word':
      if (value.text.toLowerCase() === 'none')
        return shape.none ? undefined : wrongType(value, shape, key, `${key} needs a length, such as 60s`);
      return wrongType(value, shape, key);
    case 'number':
      return wrongType(value, shape, key, `give it a unit: ${key}: ${short(value.text)}s`);
    case 'string':
      if (shape.none && value.text.toLowerCase() === 'none') return undefined;
      return insideString(value, readDuration);
    default:
      return wrongType(value, shape, key);
  }
}

/** A duration of a length that a person writes: a message that repeats it stays readable. */
export function readDuration(text: string): DurationMs {
  if (text.length <= longestDuration) return parseDuration(text);
  const span = { start: 0, end: text.length };
  throw new Diagnostic('invalid_value', `${quote(text)} is not a duration`, { span, hint: 'write 30s, 1h30m, 2d' });
}

const longestDuration = 100;

/** The Diagnostic that reading a string's text throws, at its place in the statement. */
function insideString(value: StringValue, read: (text: string) => unknown): Diagnostic | undefined {
  try {
    read(value.text);
    return undefined;
  } catch (error) {
    if (error instanceof Diagnostic) return error.movedBy((index) => toOffset(value, index));
    throw error;
  }
}

function notNumber(value: Value, shape: Shape & { kind: 'number' }, key: string): Diagnostic | undefined {
  if (value.kind !== 'number') {
    const hint = value.kind === 'string' && /^-?\d+$/.test(value.text) ? `write it without quotes: ${short(value.text)}` : undefined;
    return wrongType(value, shape, key, hint);
  }
  if (shape.whole && !Number.isSafeInteger(value.value)) return wrongType(value, shape, key);
  if (value.value >= shape.least && value.value <= shape.most) return undefined;
  return new Diagnostic('invalid_value', `${key} cannot be ${quote(value.text)}`, {
    span: value.span,
    hint: `it takes ${describeShape(shape)}`,
  });
}

function notChoice(value: Value, shape: Shape & { kind: 'choice' }, key: string): Diagnostic | undefined {
  if (value.kind !== 'word' && value.kind !== 'string') return wrongType(value, shape, key);
  const word = value.text.toLowerCase();
  if (shape.words.includes(word)) return undefined;
  const near = suggest(word, shape.words);
  const legal = `it takes ${either(shape.words)}`;
  return new Diagnostic('invalid_value', `${key} cannot be ${quote(value.text)}`, {
    span: value.span,
    hint: near === undefined ? legal : `did you mean ${near}? ${legal}`,
  });
}

function notAction(value: Value, shape: Shape & { kind: 'action' }, key: string): Diagnostic | undefined {
  const bare = value.kind === 'word' || value.kind === 'string' ? value.text.toLowerCase() : undefined;
  const name = value.kind === 'call' ? value.name : bare;
  if (name === undefined) return wrongType(value, shape, key);
  if (value.kind === 'call' ? shape.functions.includes(name) : shape.bare.includes(name)) return undefined;
  const near = suggest(name, shape.functions);
  const hint = near === undefined ? `it takes ${describeShape(shape)}` : `did you mean ${near}('..')?`;
  return new Diagnostic('invalid_value', `${key} cannot be ${quote(name)}`, { span: value.span, hint });
}

/** The nearest complaint: that of the shape which takes such a kind of value at all, else one that names them all. */
function notOneOf(value: Value, shape: Shape & { kind: 'oneOf' }, key: string): Diagnostic | undefined {
  const complaints: Diagnostic[] = [];
  for (const option of shape.shapes) {
    const complaint = mismatch(value, option, key);
    if (complaint === undefined) return undefined;
    complaints.push(complaint);
  }
  return complaints.find(({ code }) => code !== 'wrong_type') ?? wrongType(value, shape, key);
}

function firstOf(mistakes: readonly (Diagnostic | undefined)[]): Diagnostic | undefined {
  return mistakes.find((mistake) => mistake !== undefined);
}

function wrongType(value: Value, shape: Shape, key: string, hint?: string): Diagnostic {
  const span = value.span;
  return new Diagnostic('wrong_type', `${key} takes ${describeShape(shape)}, not ${describeValue(value)}`, { span, hint });
}

function booleanHint(value: Value): string | undefined {
  if (value.kind !== 'string' && value.kind !== 'word') return undefined;
  const word = value.text.toLowerCase();
  if (['true', 'on', 'yes'].includes(word)) return 'write true, without quotes';
  return ['false', 'off', 'no'].includes(word) ? 'write false, without quotes' : undefined;
}

function describeValue(value: Value): string {
  switch (value.kind) {
    case 'string':
      return `the text ${quote(value.text)}`;
    case 'word':
      return `the word ${quote(value.text)}`;
    case 'phrase':
      return `the words ${quote(value.text)}`;
    case 'number':
      return `the number ${quote(value.text)}`;
    case 'duration':
      return `the duration ${short(value.text)}`;
    case 'size':
      return `the size ${short(value.text)}`;
    case 'clock':
      return `the time ${value.text}`;
    case 'instant':
      return `the instant ${short(value.text)}`;
    case 'boolean':
      return String(value.value);
    case 'null':
      return 'null';
    case 'list':
      return 'a list';
    case 'object':
      return 'an object';
    case 'call':
      return `${value.name}(..)`;
    default:
      return value satisfies never;
  }
}

/** "a duration such as 60s": what may stand in a place. */
export function describeShape(shape: Shape): string {
  switch (shape.kind) {
    case 'any':
      return 'a value';
    case 'cadence':
      return "a cadence, such as '0 2 * * *' or every 30m";
    case 'phrase':
      return `a phrase such as ${shape.example}`;
    case 'instant':
      return 'an instant, such as 2027-09-20T02:00:00Z';
    case 'duration':
      return shape.none ? 'a duration such as 60s, or none' : 'a duration such as 60s';
    case 'number': {
      const number = shape.whole ? 'a whole number' : 'a number';
      return shape.most === Number.MAX_SAFE_INTEGER
        ? `${number} of at least ${shape.least}`
        : `${number} from ${shape.least} to ${shape.most}`;
    }
    case 'size':
      return 'a size such as 512MB';
    case 'boolean':
      return 'true or false';
    case 'choice':
      return either(shape.words);
    case 'name':
      return shape.dotted ? 'a name, plain or dotted' : 'a name';
    case 'text':
      return `text in quotes, such as ${shape.example}`;
    case 'list':
      return shape.single ? `${describeShape(shape.of)}, or a list of these` : `a list [..] of ${describeShape(shape.of)}`;
    case 'object':
      return 'an object { key: value }';
    case 'action':
      return either([...shape.bare, ...shape.functions.map((name) => `${name}('..')`)]);
    case 'oneOf':
      return either(shape.shapes.map(describeShape));
    default:
      return shape satisfies never;
  }
}
