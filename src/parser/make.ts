// Nodes made by hand, for definitions that come from the catalogue and are printed again. They stand nowhere in a text, so their
// spans are empty; the printer quotes whatever would not read back as what it is.

import type { Span } from '../core/diagnostic.ts';
import { formatDuration } from '../core/duration.ts';
import type {
  BooleanValue,
  CallValue,
  DurationValue,
  Entry,
  ListValue,
  Name,
  NullValue,
  NumberValue,
  ObjectValue,
  PhraseValue,
  StringValue,
  Value,
  WordValue,
} from './ast.ts';
import { tokenAt } from './lexer.ts';

export const nowhere: Span = { start: 0, end: 0 };

/** In double quotes unless it is a plain word. */
export function nameOf(text: string): Name {
  return { text, quoted: !isPlainWord(text), span: nowhere };
}

/** Text over several lines, or with quotes in it, is dollar-quoted, as a person would write it. */
export function stringValue(text: string, style: StringValue['style'] = /['\n]/.test(text) ? 'dollar' : 'single'): StringValue {
  return { kind: 'string', text, style, offsets: [], span: nowhere };
}

export function numberValue(value: number): NumberValue {
  return { kind: 'number', value, text: String(value), span: nowhere };
}

export function booleanValue(value: boolean): BooleanValue {
  return { kind: 'boolean', value, span: nowhere };
}

export function nullValue(): NullValue {
  return { kind: 'null', span: nowhere };
}

export function durationValue(ms: number): DurationValue {
  return { kind: 'duration', ms, text: formatDuration(ms), span: nowhere };
}

export function wordValue(text: string): WordValue {
  return { kind: 'word', text, parts: text.split('.'), span: nowhere };
}

export function phraseValue(text: string): PhraseValue {
  return { kind: 'phrase', text, offsets: [], span: nowhere };
}

export function listValue(items: readonly Value[]): ListValue {
  return { kind: 'list', items, span: nowhere };
}

export function objectValue(entries: readonly Entry[]): ObjectValue {
  return { kind: 'object', entries, span: nowhere };
}

export function entryOf(key: string, value: Value): Entry {
  return { key: nameOf(key), field: key, value, span: nowhere };
}

export function callValue(name: string, items: readonly Value[]): CallValue {
  return { kind: 'call', name, arguments: items, span: nowhere };
}

export function isPlainWord(text: string): boolean {
  const token = tokenAt(text, 0);
  return token.kind === 'word' && token.start === 0 && token.end === text.length;
}
