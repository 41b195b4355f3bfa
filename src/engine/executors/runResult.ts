// The value of a run, as its row keeps it: the first rows of the last statement, or what a handler answered, as JSON of a bounded size.

import type { JsonValue } from '../../core/jsonValue.ts';
import { type Column, uniqueNames } from '../result.ts';
import { jsonOf, type Value } from '../value.ts';
import { mostResultCharacters, type RunResult } from './answer.ts';

export { jsonResult } from './answer.ts';

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
