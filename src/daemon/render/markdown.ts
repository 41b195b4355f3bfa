// markdown: a table as GitHub reads it. Columns are as wide as the first rows need; a later row may be wider, which changes
// nothing for a reader of Markdown, and lets rows be written as they come.

import type { Result } from '../../engine/result.ts';
import { formatValue, isNumeric } from '../../engine/value.ts';
import type { RenderOptions, Sink } from './sink.ts';
import { manyLines, oneLine, widthOf } from './terminalText.ts';

export async function renderMarkdown(result: Result, sink: Sink, { zone = 'UTC' }: RenderOptions): Promise<void> {
  const { columns } = result;
  const names = columns.map((column) => cell(column.name));
  let widths: readonly number[] | undefined;
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((text, at) => {
      const space = ' '.repeat(Math.max(0, (widths?.[at] ?? 0) - widthOf(text)));
      return isNumeric(columns[at]?.type ?? { kind: 'VARCHAR' }) ? space + text : text + space;
    });
    return `| ${padded.join(' | ')} |\n`;
  };
  const header = (texts: readonly (readonly string[])[]): string => {
    widths = names.map((name, at) => texts.reduce((width, row) => Math.max(width, widthOf(row[at] ?? '')), Math.max(3, widthOf(name))));
    const rules = columns.map(({ type }, at) => {
      const dashes = '-'.repeat((widths?.[at] ?? 3) + 1);
      return isNumeric(type) ? `${dashes}:` : `${dashes}-`;
    });
    return `${line(names)}|${rules.join('|')}|\n`;
  };
  for await (const rows of result.chunks()) {
    const texts = rows.map((row) => columns.map(({ type }, at) => cell(formatValue(row[at] ?? null, type, { zone }))));
    await sink.write((widths === undefined ? header(texts) : '') + texts.map(line).join(''));
  }
  if (widths === undefined) await sink.write(header([]));
}

/** What Markdown would read as something else is escaped; a line break is the one that tables know. */
function cell(text: string): string {
  const lines = manyLines(text).split('\n');
  return lines.map((line) => oneLine(line.replace(/[\\|<`]/g, '\\$&'))).join('<br>');
}
