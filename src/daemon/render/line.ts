// line: each column of a row on a line of its own, `name = value`, and an empty line between rows. The mode for wide rows and
// long texts: nothing is cut, and the lines of a text stay lines.

import type { Result } from '../../engine/result.ts';
import { formatValue } from '../../engine/value.ts';
import type { RenderOptions, Sink } from './sink.ts';
import { manyLines, oneLine, widthOf } from './terminalText.ts';

export async function renderLine(result: Result, sink: Sink, { zone = 'UTC' }: RenderOptions): Promise<void> {
  const names = result.columns.map((column) => oneLine(column.name));
  const width = Math.max(0, ...names.map(widthOf));
  const labels = names.map((name) => `${' '.repeat(width - widthOf(name))}${name} = `);
  const indent = `\n${' '.repeat(width + 3)}`;
  let first = true;
  for await (const rows of result.chunks()) {
    let text = '';
    for (const row of rows) {
      if (!first) text += '\n';
      first = false;
      for (const [at, { type }] of result.columns.entries()) {
        const value = manyLines(formatValue(row[at] ?? null, type, { zone }));
        text += `${labels[at] ?? ''}${value.replaceAll('\n', indent)}\n`;
      }
    }
    await sink.write(text);
  }
}
