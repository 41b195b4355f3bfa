// The value of a run, as its row keeps it: the first rows of the last statement, or what a handler answered, as JSON of a bounded size.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import { type Column, uniqueNames } from '../result.ts';
import { jsonOf, type Value } from '../value.ts';

/** A row of history is read again and again: what is larger belongs into a table. */
export const mostResultCharacters = 1_000_000;

export interface RunResult {
  readonly result: JsonValue;
  /** What was left out. */
  readonly note?: string;
}

/** As many of the first rows as fit, and at most `mostRows`. */
export function rowsResult(columns: readonly Column[], rows: readonly (readonly Value[])[], mostRows: number): RunResult {
  const names = uniqueNames(columns.map((column) => column.name));
  const kept: JsonValue[] = [];
  let characters = 0;
  for (const row of rows.slice(0, mostRows)) {
    const object = Object.fromEntries(columns.map((column, at) => [names[at] ?? column.name, jsonOf(row[at] ?? null, column.type)]));
    characters += JSON.stringify(object).length;
    if (characters > mostResultCharacters) {
      const note = `result: ${kept.length} of ${rows.length} rows are kept, the next would make it larger than ${mostResultCharacters} characters`;
      return { result: kept.length === 0 ? null : kept, note };
    }
    kept.push(object);
  }
  return { result: kept.length === 0 ? null : kept };
}

/** What a handler answered, as JSON. Refuses what is none. */
export function jsonResult(answered: unknown): RunResult {
  if (answered === undefined || answered === null) return { result: null };
  let text: string | undefined;
  try {
    text = JSON.stringify(answered, (_, value: unknown) => (typeof value === 'bigint' ? numberOf(value) : value));
  } catch (error) {
    throw new Diagnostic('wrong_type', `what it answered is no JSON: ${error instanceof Error ? error.message : String(error)}`, {
      hint: 'answer plain data: objects, lists, texts, numbers',
      cause: error,
    });
  }
  if (text === undefined) throw new Diagnostic('wrong_type', `what it answered is no JSON: a ${typeof answered}`);
  if (text.length > mostResultCharacters) {
    return { result: null, note: `result: ${text.length} characters were answered, and at most ${mostResultCharacters} are kept: none` };
  }
  return { result: JSON.parse(text) as JsonValue };
}

/** More digits than a double holds stay text. */
function numberOf(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}
