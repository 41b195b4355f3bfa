// Where each character of the buffer stands on a terminal of so many columns. Pure: text in, rows out. The editor paints
// the rows and moves the cursor by them; nobody else counts columns, so a wide character is counted in one place.

import stringWidth from 'string-width';
import { characters } from './buffer.ts';

export interface Row {
  /** What is printed, colours included; never wider than the terminal. */
  readonly text: string;
  readonly width: number;
  /** The offset of its first character in the buffer, and the column where that stands. */
  readonly start: number;
  readonly indent: number;
  /** The offset behind its last character. */
  readonly end: number;
}

export interface Layout {
  readonly rows: readonly Row[];
  readonly cursorRow: number;
  readonly cursorColumn: number;
}

export interface LayoutRequest {
  readonly text: string;
  readonly cursor: number;
  readonly columns: number;
  /** What stands in front of a line of the buffer, with its colours; the first line is 0. */
  readonly prompt: (line: number) => string;
  /** The colours of the text: an escape sequence in front of [start, end), sorted, not overlapping. */
  readonly styles?: readonly Style[];
}

export interface Style {
  readonly start: number;
  readonly end: number;
  readonly escape: string;
}

const reset = '\x1b[0m';

export function layout({ text, cursor, columns, prompt, styles = [] }: LayoutRequest): Layout {
  const rows: Row[] = [];
  let cursorRow = 0;
  let cursorColumn = 0;
  let offset = 0;
  let style = 0;
  const lines = text.split('\n');
  for (const [number, line] of lines.entries()) {
    let printed = prompt(number);
    let width = visibleWidth(printed);
    let indent = width;
    let start = offset;
    let colour = '';
    const paint = (wanted: string): void => {
      if (wanted === colour) return;
      printed += (colour === '' ? '' : reset) + wanted;
      colour = wanted;
    };
    const close = (): void => {
      paint('');
      rows.push({ text: printed, width, start, indent, end: offset });
      printed = '';
      width = 0;
      indent = 0;
      start = offset;
    };
    for (const character of characters(line)) {
      const shown = visible(character, width);
      const size = shown.length === 1 && shown <= '~' ? 1 : visibleWidth(shown);
      if (width + size > columns) close();
      if (offset === cursor || (offset < cursor && cursor < offset + character.length)) {
        cursorRow = rows.length;
        cursorColumn = width;
      }
      while (style < styles.length && (styles[style]?.end ?? 0) <= offset) style++;
      const active = styles[style];
      paint(active !== undefined && active.start <= offset ? active.escape : '');
      printed += shown;
      width += size;
      offset += character.length;
    }
    // Behind a full row the cursor has no column left: it stands on a row of its own.
    if (offset === cursor) {
      if (width >= columns) close();
      cursorRow = rows.length;
      cursorColumn = width;
    }
    close();
    offset++;
  }
  return { rows, cursorRow, cursorColumn };
}

/** The offset in the buffer that stands at `column` of a row, or nearest to it. */
export function offsetAt(row: Row, text: string, column: number): number {
  let at = row.indent;
  let offset = row.start;
  for (const character of characters(text.slice(row.start, row.end))) {
    const size = visibleWidth(visible(character, at));
    if (at + size > column) break;
    at += size;
    offset += character.length;
  }
  return offset;
}

/** The width of a text on the terminal, escape sequences not counted. */
export function visibleWidth(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text);
}

/** As much of a text as fits, cut at a whole character; for texts without escape sequences. */
export function truncate(text: string, columns: number): string {
  if (visibleWidth(text) <= columns) return text;
  let kept = '';
  let width = 0;
  for (const character of characters(text)) {
    const size = visibleWidth(character);
    if (width + size > columns - 1) break;
    kept += character;
    width += size;
  }
  return `${kept}…`;
}

// A pasted control character must not move the terminal's cursor: it is shown as ^X, a tab as blanks.
function visible(character: string, column: number): string {
  if (character === '\t') return ' '.repeat(4 - (column % 4));
  const code = character.charCodeAt(0);
  if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`;
  if (code === 0x7f) return '^?';
  if (code >= 0x80 && code < 0xa0) return `<${code.toString(16)}>`;
  return character;
}
