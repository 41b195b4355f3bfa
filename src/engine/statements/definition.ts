// What all definitions have in common: a canonical text that is the one source of truth, read back and laid over by ALTER and
// LIKE, and compared key by key to say what changed.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { parseDuration } from '../../core/duration.ts';
import type { DefineStatement, Entry, Name, Noun, ObjectValue, Value } from '../../parser/ast.ts';
import { keyIn, places } from '../../parser/keys.ts';
import { print } from '../../parser/print.ts';
import { suggest } from '../../parser/suggest.ts';
import type { StatementContext } from './context.ts';

export type DefinedNoun = DefineStatement['noun'];

/** Keys under their own name, each once, without those that say "the default", and without `omit`. */
export function canonical(definition: ObjectValue, omit: readonly string[] = []): ObjectValue {
  return {
    ...definition,
    entries: definition.entries
      .filter((entry) => entry.value.kind !== 'null' && !omit.includes(entry.field))
      .map((entry) => ({ ...entry, key: { ...entry.key, text: entry.field, quoted: false } })),
  };
}

export function definitionText(noun: DefinedNoun, name: Name, definition: ObjectValue): string {
  return print({ kind: 'define', verb: 'upsert', noun, ifNotExists: false, name, like: undefined, definition, span: definition.span });
}

/** `base` with the entries of `over` in the place of its own: whole keys are replaced. */
export function overlay(base: ObjectValue, over: ObjectValue): ObjectValue {
  const replaced = new Set(over.entries.map((entry) => entry.field));
  const rivals = targetKeys.some((field) => replaced.has(field)) ? new Set<string>(targetKeys) : replaced;
  return { ...over, entries: [...base.entries.filter((entry) => !replaced.has(entry.field) && !rivals.has(entry.field)), ...over.entries] };
}

/** Together they say what is called: naming one anew drops the others. */
const targetKeys = ['exe', 'call', 'sql', 'command', 'handler'];

/** The keys whose value means something else, in the order of the newer definition. */
export function changedKeys(before: ObjectValue, after: ObjectValue): string[] {
  const old = meanings(before);
  const young = meanings(after);
  const changed = [...young].filter(([field, value]) => old.get(field) !== value).map(([field]) => field);
  return [...changed, ...[...old.keys()].filter((field) => !young.has(field))];
}

function meanings(definition: ObjectValue): Map<string, string> {
  return new Map(definition.entries.map((entry: Entry) => [entry.field, meaning(entry.value, isDuration(entry.field))]));
}

/** Keys that take a length of time, by itself or in a list. */
function isDuration(field: string): boolean {
  const shape = keyIn(places.schedule, field)?.shape;
  return shape?.kind === 'duration' || (shape?.kind === 'list' && shape.of.kind === 'duration');
}

/** Equal for values that mean the same, however they were quoted or spelled. */
function meaning(value: Value, duration = false): string {
  switch (value.kind) {
    case 'string':
    case 'word':
    case 'phrase':
      return duration && value.text.toLowerCase() !== 'none' ? `${parseDuration(value.text)} ms` : JSON.stringify(value.text);
    case 'duration':
      return `${value.ms} ms`;
    case 'size':
      return `${value.bytes} bytes`;
    case 'number':
    case 'clock':
    case 'instant':
      return value.text;
    case 'boolean':
      return String(value.value);
    case 'null':
      return 'null';
    case 'list':
      return `[${value.items.map((item) => meaning(item, duration)).join()}]`;
    case 'object':
      return `{${value.entries.map((entry) => `${JSON.stringify(entry.key.text)}:${meaning(entry.value)}`).join()}}`;
    case 'call':
      return `${value.name}(${value.arguments.map((argument) => meaning(argument)).join()})`;
    default:
      return value satisfies never;
  }
}

/** The entries of a definition that the catalogue holds. */
export function storedDefinition(text: string, context: Pick<StatementContext, 'parse'>): ObjectValue {
  const statement = context.parse(text);
  if (statement.kind !== 'define')
    throw new Diagnostic('internal', 'a stored definition is not a definition', { hint: text.slice(0, 200) });
  return statement.definition;
}

export function alreadyExists(noun: Noun, name: Name): Diagnostic {
  return new Diagnostic('duplicate_object', `${noun} ${name.text} exists already`, {
    span: name.span,
    hint: `UPSERT ${noun.toUpperCase()} changes it; CREATE ${noun.toUpperCase()} IF NOT EXISTS leaves it as it is`,
  });
}

export function doesNotExist(noun: string, name: string, span: Span | undefined, known: readonly string[]): Diagnostic {
  const near = suggest(name, known);
  const list = known.length === 0 ? `there are no ${noun}s yet` : `LIST ${noun.toUpperCase()}S shows what there is`;
  return new Diagnostic('undefined_object', `${noun} ${name} does not exist`, {
    span,
    hint: near === undefined ? list : `did you mean ${near}? ${list}`,
  });
}

export function stillUsed(noun: string, name: string, users: readonly string[], span: Span): Diagnostic {
  const shown = users.slice(0, 10).join(', ') + (users.length > 10 ? `, and ${users.length - 10} more` : '');
  return new Diagnostic('in_use', `${noun} ${name} is used by ${shown}`, {
    span,
    hint: `drop or change ${users.length === 1 ? users[0] : 'them'} first`,
  });
}
