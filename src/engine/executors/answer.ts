// What work has answered, as JSON of a bounded size: the value of a run. It imports almost nothing, because it also runs inside of
// the threads and processes of handlers, so that an answer of 100 MB is never sent to the process that schedules.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';

/** A row of history is read again and again: what is larger belongs into a table. */
export const mostResultCharacters = 1_000_000;

export interface RunResult {
  readonly result: JsonValue;
  /** What was left out. */
  readonly note?: string;
}

/** What a handler answered, as JSON. Refuses what is none. */
export function jsonResult(answered: unknown): RunResult {
  if (answered === undefined || answered === null) return { result: null };
  const text = jsonText(answered);
  if (text.length > mostResultCharacters) {
    return { result: null, note: `result: ${text.length} characters were answered, and at most ${mostResultCharacters} are kept: none` };
  }
  return { result: JSON.parse(text) as JsonValue };
}

function jsonText(answered: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(answered, (_, value: unknown) => plain(value));
  } catch (error) {
    throw new Diagnostic('wrong_type', `what it answered is no JSON: ${error instanceof Error ? error.message : String(error)}`, {
      hint: 'answer plain data: objects, lists, texts, numbers',
      cause: error,
    });
  }
  if (text === undefined) {
    throw new Diagnostic('wrong_type', `what it answered is no JSON: a ${typeof answered}`, {
      hint: 'answer plain data: objects, lists, texts, numbers',
    });
  }
  return text;
}

/** What JSON would lose without a word, or refuse: an integer of any size, a map, a set, an error, bytes. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return numberOf(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Map) {
    const keys = [...value.keys()];
    return keys.every((key) => typeof key === 'string' || typeof key === 'number') ? Object.fromEntries(value) : [...value];
  }
  if (value instanceof Set) return [...value];
  if (value instanceof Error) return { ...value, name: value.name, message: value.message };
  return value;
}

/** More digits than a double holds stay text. */
function numberOf(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}
