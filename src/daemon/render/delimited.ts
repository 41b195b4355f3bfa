// csv and tsv: RFC 4180's quoting with either separator. NULL is an empty field and the empty text is `""`, so the two stay apart.
// Rows are written as they come.

import type { Result } from '../../engine/result.ts';
import { formatValue } from '../../engine/value.ts';
import type { RenderOptions, Sink } from './sink.ts';

export async function renderDelimited(
  result: Result,
  sink: Sink,
  { separator, zone = 'UTC' }: RenderOptions & { readonly separator: ',' | '\t' },
): Promise<void> {
  const { columns } = result;
  const special = separator === ',' ? /^$|[",\r\n]/ : /^$|["\t\r\n]/;
  const field = (text: string): string => (special.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  await sink.write(`${columns.map((column) => field(column.name)).join(separator)}\n`);
  for await (const rows of result.chunks()) {
    let text = '';
    for (const row of rows) {
      for (const [at, { type }] of columns.entries()) {
        const value = row[at] ?? null;
        if (at > 0) text += separator;
        if (value !== null) text += field(formatValue(value, type, { zone }));
      }
      text += '\n';
    }
    await sink.write(text);
  }
}
