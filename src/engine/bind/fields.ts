// Reading the entries of a definition as typed values. The parser has settled which keys exist and what shape each may have;
// what is left is to take the text out of its many spellings and to doubt what only meaning can decide. `null` and an absent
// key are the same: the default.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { type DurationMs, parseDuration } from '../../core/duration.ts';
import type { JsonObject, JsonValue } from '../../core/jsonValue.ts';
import type { Entry, Name, ObjectValue, Value } from '../../parser/ast.ts';
import { suggest } from '../../parser/suggest.ts';
import { toOffset } from '../../parser/text.ts';
import { environmentKey, environmentReference } from '../environment.ts';

export class Fields {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly span: Span;

  constructor(object: ObjectValue) {
    this.#entries = new Map(object.entries.map((entry) => [entry.field, entry]));
    this.span = object.span;
  }

  /** The value under `field`, unless it is absent or null. */
  get(field: string): Value | undefined {
    const value = this.#entries.get(field)?.value;
    return value?.kind === 'null' ? undefined : value;
  }

  has(field: string): boolean {
    return this.get(field) !== undefined;
  }

  keySpan(field: string): Span {
    return this.#entries.get(field)?.key.span ?? this.span;
  }

  text(field: string): string | undefined {
    const value = this.get(field);
    return value === undefined ? undefined : textOf(value, field);
  }

  /** One of `legal`, in any case and quoting. */
  word<Word extends string>(field: string, legal: readonly Word[]): Word | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    const text = textOf(value, field).toLowerCase();
    const found = legal.find((word) => word === text);
    if (found === undefined) throw unknownWord(field, text, legal, value.span);
    return found;
  }

  boolean(field: string): boolean | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    if (value.kind === 'boolean') return value.value;
    throw wrongType(field, value, 'true or false');
  }

  integer(field: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    if (value.kind !== 'number' || !Number.isSafeInteger(value.value)) throw wrongType(field, value, 'a whole number');
    if (value.value < least || value.value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
      throw new Diagnostic('invalid_value', `'${field}' must be ${range}, got ${value.text}`, { span: value.span });
    }
    return value.value;
  }

  duration(field: string): DurationMs | undefined {
    const value = this.get(field);
    return value === undefined ? undefined : durationOf(value, field);
  }

  /** null for `none`. */
  durationOrNone(field: string): DurationMs | null | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    if ((value.kind === 'word' || value.kind === 'string') && value.text.toLowerCase() === 'none') return null;
    return durationOf(value, field);
  }

  /** null for `none`: no limit. */
  timeout(): DurationMs | null | undefined {
    const ms = this.durationOrNone('timeout');
    if (ms !== 0) return ms;
    throw new Diagnostic('invalid_value', "'timeout' of 0 would end every run before it begins", {
      span: this.get('timeout')?.span,
      hint: 'timeout: none sets no limit',
    });
  }

  /** A list, or one item that stands for a list of one. */
  items(field: string): readonly Value[] {
    const value = this.get(field);
    if (value === undefined) return [];
    return value.kind === 'list' ? value.items : [value];
  }

  texts(field: string): readonly string[] {
    return this.items(field).map((item) => textOf(item, field));
  }

  names(field: string): readonly Name[] {
    return this.items(field).map((item) => ({ text: textOf(item, field), quoted: item.kind === 'string', span: item.span }));
  }

  object(field: string): ObjectValue | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    if (value.kind !== 'object') throw wrongType(field, value, 'an object { key: value }');
    return value;
  }
}

/** The text of a value where quotes make no difference. */
export function textOf(value: Value, field: string): string {
  switch (value.kind) {
    case 'string':
    case 'word':
    case 'phrase':
    case 'number':
    case 'duration':
    case 'instant':
    case 'clock':
    case 'size':
      return value.text;
    case 'boolean':
      return String(value.value);
    case 'null':
    case 'list':
    case 'object':
    case 'call':
      throw wrongType(field, value, 'a text');
    default:
      return value satisfies never;
  }
}

export function durationOf(value: Value, field: string): DurationMs {
  if (value.kind === 'duration') return value.ms;
  if (value.kind === 'number') {
    throw new Diagnostic('invalid_value', `'${field}' needs a unit of time`, { span: value.span, hint: `write ${value.text}s` });
  }
  if (value.kind !== 'string' && value.kind !== 'phrase') throw wrongType(field, value, 'a duration such as 30s or 1h30m');
  return inside(value, () => parseDuration(value.text));
}

/** Runs `read`, which looks at the text of `value`; a Diagnostic about a place in that text moves into the statement. */
export function inside<T>(value: Value, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    if ((value.kind === 'string' || value.kind === 'phrase') && error.span !== undefined && value.offsets.length > 0) {
      throw error.movedBy((index) => toOffset(value, index));
    }
    throw value.kind === 'word' && error.span !== undefined ? error.movedBy((index) => value.span.start + index) : error.at(value.span);
  }
}

/** What JSON can say of a free object's value (`params`, `config`, `resources`). */
export function jsonOf(value: Value): JsonValue {
  switch (value.kind) {
    case 'string':
    case 'word':
    case 'phrase':
    case 'instant':
    case 'clock':
      return value.text;
    case 'number':
      if (!Number.isFinite(value.value)) {
        throw new Diagnostic('out_of_range', `the number ${value.text} is out of range`, {
          span: value.span,
          hint: `numbers reach to 1.797e308; as text it stands in quotes: '${value.text}'`,
        });
      }
      // More digits than a double holds stay text, so that nothing is rounded.
      return String(value.value) === value.text || !/\d{16}/.test(value.text.replace('.', '')) ? value.value : value.text;
    case 'boolean':
      return value.value;
    case 'null':
      return null;
    case 'size':
      return value.bytes;
    case 'duration':
      return value.text;
    case 'list':
      return value.items.map(jsonOf);
    case 'object':
      return objectOf(value);
    case 'call': {
      const [argument] = value.arguments;
      if (value.name === 'env' && value.arguments.length === 1 && argument?.kind === 'string') return environmentReference(argument.text);
      throw new Diagnostic('wrong_type', `${value.name}(..) cannot stand here`, {
        span: value.span,
        hint:
          value.name === 'env'
            ? "write env('NAME'), with one name in quotes"
            : "legal here: a value, or env('NAME'); sql('..') stands directly under a parameter's name: params: { key: sql('..') }",
      });
    }
    default:
      return value satisfies never;
  }
}

export function objectOf(value: ObjectValue): JsonObject {
  const reserved = value.entries.find((entry) => entry.key.text === environmentKey);
  if (reserved !== undefined) {
    throw new Diagnostic('invalid_name', `a key cannot be called '${environmentKey}'`, {
      span: reserved.key.span,
      hint: "write env('NAME') for what the environment holds",
    });
  }
  return Object.fromEntries(value.entries.map((entry) => [entry.key.text, jsonOf(entry.value)]));
}

export function unknownWord(field: string, text: string, legal: readonly string[], span: Span): Diagnostic {
  const near = suggest(text, legal);
  return new Diagnostic('invalid_value', `'${field}' cannot be '${text}'`, {
    span,
    hint: `${near === undefined ? '' : `did you mean ${near}? `}legal: ${legal.join(', ')}`,
  });
}

export function wrongType(field: string, value: Value, expected: string): Diagnostic {
  const got =
    value.kind === 'object'
      ? 'an object'
      : value.kind === 'null'
        ? 'null'
        : value.kind === 'call'
          ? `${value.name}(..)`
          : `a ${value.kind}`;
  return new Diagnostic('wrong_type', `'${field}' takes ${expected}, got ${got}`, { span: value.span });
}
