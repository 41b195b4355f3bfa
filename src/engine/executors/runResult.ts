// The value of a run, as its row keeps it: the first rows of the last statement, or what a handler answered, as JSON of a bounded size.

import type { JsonValue } from '../../core/jsonValue.ts';
import { type Column, uniqueNames } from '../result.ts';
import { jsonOf, type Value } from '../value.ts';
import { mostResultCharacters, type RunResult } from './answer.ts';
import type { Keeps } from './firstRows.ts';

export { jsonResult } from './answer.ts';

/** Of a statement's rows, what the value of its run needs. */
export function keepsOf(mostRows: number): Keeps {
  return { rows: mostRows, characters: mostResultCharacters };
}

export interface AnsweredRows {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
  /** Behind them is one that is too large. */
  readonly isCut?: boolean;
}

/** As many of the first rows as fit, and at most `mostRows`. */
export function rowsResult({ columns, rows, isCut = false }: AnsweredRows, mostRows: number): RunResult {
  const names = uniqueNames(columns.map((column) => column.name));
  const kept: JsonValue[] = [];
  let characters = 0;
  for (const row of rows.slice(0, mostRows)) {
    const object = Object.fromEntries(columns.map((column, at) => [names[at] ?? column.name, jsonOf(row[at] ?? null, column.type)]));
    characters += JSON.stringify(object).length;
    if (characters > mostResultCharacters) return cutResult(kept);
    kept.push(object);
  }
  if (isCut && kept.length < mostRows) return cutResult(kept);
  return { result: kept.length === 0 ? null : kept };
}

function cutResult(kept: readonly JsonValue[]): RunResult {
  const what = kept.length === 0 ? 'none of its rows is kept, the first' : `${kept.length} of its rows are kept, the next`;
  return {
    result: kept.length === 0 ? null : kept,
    note: `result: ${what} would make it larger than ${mostResultCharacters} characters`,
  };
}
