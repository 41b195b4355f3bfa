// json: one array of objects. jsonlines: an object on each line. Rows are written as they come; docs/results.md tells which
// numbers become strings so that nobody rounds them.

import { type Result, uniqueNames } from '../../engine/result.ts';
import { jsonOf } from '../../engine/value.ts';
import type { Sink } from './sink.ts';

export async function renderJson(result: Result, sink: Sink, { lines }: { readonly lines: boolean }): Promise<void> {
  const { columns } = result;
  const keys = uniqueNames(columns.map((column) => column.name)).map((name) => `${jsonText(name)}:`);
  let before = lines ? '' : '[';
  for await (const rows of result.chunks()) {
    let text = '';
    for (const row of rows) {
      const fields = columns.map(({ type }, at) => (keys[at] ?? '') + jsonText(jsonOf(row[at] ?? null, type)));
      text += `${before}{${fields.join(',')}}`;
      if (lines) text += '\n';
      else before = ',\n';
    }
    await sink.write(text);
  }
  if (!lines) await sink.write(before === '[' ? '[]\n' : ']\n');
}

/** JSON may be looked at in a terminal: what JSON.stringify leaves raw is escaped too, which means the same. */
function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
