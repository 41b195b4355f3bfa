// What a handler has answered, as rows: a list of objects is a table, an object one row, anything else one row with one column.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import type { Outcome } from '../../../scheduler/run.ts';
import type { Column } from '../../result.ts';
import type { SqlType, Value } from '../../value.ts';

export interface AnsweredRows {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
}

export function answeredRows({ result, notes = [] }: Pick<Outcome, 'result' | 'notes'>): AnsweredRows {
  const lost = result === null ? notes.find((note) => note.startsWith('result:')) : undefined;
  if (lost !== undefined) {
    throw new Diagnostic('too_large', `what it answered cannot be kept: ${lost}`, {
      hint: 'let it write into a table, by services.database, and let the next step read that',
    });
  }
  const items = result === null ? [] : Array.isArray(result) ? (result as readonly JsonValue[]) : [result];
  const names = new Map<string, string>();
  for (const item of items)
    for (const name of Object.keys(rowOf(item))) names.set(name.toLowerCase(), names.get(name.toLowerCase()) ?? name);
  // Nothing is a table too, of which a for_each has no items.
  if (names.size === 0) names.set('value', 'value');
  const columns = [...names.values()].map((name): Column => ({ name, type: typeOf(items.map((item) => cellOf(item, name))) }));
  return { columns, rows: items.map((item) => columns.map(({ name, type }) => sqlValue(cellOf(item, name), type))) };
}

function rowOf(item: JsonValue): { readonly [name: string]: JsonValue } {
  return item !== null && typeof item === 'object' && !Array.isArray(item)
    ? (item as { readonly [name: string]: JsonValue })
    : { value: item };
}

function cellOf(item: JsonValue, name: string): JsonValue {
  const row = rowOf(item);
  const key = Object.hasOwn(row, name) ? name : Object.keys(row).find((known) => known.toLowerCase() === name.toLowerCase());
  return key === undefined ? null : (row[key] ?? null);
}

/** What all of them are; where they are unlike each other, or nested, JSON. */
function typeOf(cells: readonly JsonValue[]): SqlType {
  const kinds = new Set(cells.filter((cell) => cell !== null).map(kindOf));
  const [only] = kinds;
  if (only === undefined) return { kind: 'VARCHAR' };
  if (kinds.size === 1) return { kind: only };
  return [...kinds].every((kind) => kind === 'BIGINT' || kind === 'DOUBLE') ? { kind: 'DOUBLE' } : { kind: 'JSON' };
}

function kindOf(cell: JsonValue): 'BIGINT' | 'DOUBLE' | 'BOOLEAN' | 'VARCHAR' | 'JSON' {
  if (typeof cell === 'number') return Number.isSafeInteger(cell) ? 'BIGINT' : 'DOUBLE';
  if (typeof cell === 'boolean') return 'BOOLEAN';
  return typeof cell === 'string' ? 'VARCHAR' : 'JSON';
}

function sqlValue(cell: JsonValue, type: SqlType): Value {
  if (cell === null) return null;
  if (type.kind === 'JSON') return JSON.stringify(cell);
  if (type.kind === 'BIGINT') return BigInt(Number(cell));
  return cell as string | number | boolean;
}
