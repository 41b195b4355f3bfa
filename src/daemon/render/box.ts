// duckbox and box: tables drawn with lines. duckbox is DuckDB's own look and made for looking: types under the names, the first and
// the last rows of a long result, long texts and middle columns cut to the width of the terminal, and a footer that says what is
// missing. It keeps only the rows that it shows. box shows every row in full, and so must see all of them before the first line.
// In both a result's prominent columns stand first; where not all columns fit, duckbox shows only these.

import type { Column, Result, Row } from '../../engine/result.ts';
import { formatValue, isNumeric, type SqlType, typeName, type Value } from '../../engine/value.ts';
import type { RenderOptions, Sink } from './sink.ts';
import { cutInLines, manyLines, oneLine, truncated, widthOf } from './terminalText.ts';

/** More rows than this are shown by their first and last half. */
const shownRows = 40;
/** A column is not made narrower than this as long as whole columns can be left out instead: of a run's id 19 characters are left. */
const narrowColumn = 20;
/** But texts behind prominent names and ids, of which there are more to show. */
const narrowText = 14;
/** From so many rows on, their number is told although all are shown. */
const countedRows = 10;
/** Of a text with many lines, where several rows are shown. */
const shownLines = 20;

export async function renderDuckbox(result: Result, sink: Sink, options: RenderOptions): Promise<void> {
  const { first, last, count } = await firstAndLast(result);
  const hiddenRows = count - first.length - last.length;
  const shown = [...first, ...last];
  const isEmpty = (at: number): boolean => count > 0 && shown.every((row) => (row[at] ?? null) === null);
  const order = columnOrder(result, sink.columns === undefined ? undefined : isEmpty);
  const columns = order.map(({ column }) => column);
  const inLines = columns.length <= 2;
  // DESCRIBE is asked in order to read all of it: on a terminal a long value goes on in the next line.
  const isDescription = result.form === 'properties';
  const lineLimit = count <= 2 || isDescription ? Number.POSITIVE_INFINITY : shownLines;
  const longestName = shown.reduce((width, [name]) => Math.max(width, widthOf(String(name))), 'property'.length);
  const foldAt = isDescription && sink.columns !== undefined ? Math.max(narrowColumn, sink.columns - longestName - 7) : undefined;
  const cellsOf = (row: Row): Cell[] =>
    order.map(({ column, at }) => cellOf(row[at] ?? null, column, { ...options, inLines, lineLimit, foldAt }));
  const upper = first.map(cellsOf);
  const lower = last.map(cellsOf);
  const heads = columns.map((column): Cell => ({ lines: [oneLine(column.name)], align: 'center', look: 'name' }));
  const types = columns.map((column): Cell => ({ lines: [oneLine(shortTypeName(column.type))], align: 'center', look: 'faint' }));

  const all = [heads, types, ...upper, ...lower];
  const natural = columns.map((_, at) => Math.max(...all.map((row) => cellWidth(row[at]))));
  // Of an instant and of an id the beginning says enough, of a text it seldom does.
  const wishes = columns.map(({ name, type }, at) => {
    const isBrief = type.kind === 'TIMESTAMPTZ' || name === 'run_id';
    return { least: at === 0 || isBrief ? narrowColumn : narrowText, isBrief };
  });
  const prominent = columns.filter(({ name }) => result.prominent.includes(name)).length;
  const layout = prominent === 0 ? layOut(natural, sink.columns) : layOutFirst(natural, wishes, prominent, sink.columns);
  const footer = footerOf({ rows: count, hiddenRows, columns: columns.length, shownColumns: layout.places.length, cut: layout.cut });
  const widths = wideEnough(layout.widths, footer);

  const frame = new Frame(widths, sink.color === true);
  const pick = (cells: readonly Cell[]): Cell[] => {
    const picked = layout.places.map((place) => cells[place] ?? gap);
    if (layout.cut !== undefined) picked.splice(layout.cut, 0, cells === types ? gap : { ...gap, lines: ['…'] });
    return picked;
  };
  let text = frame.rule('┌', '┬', '┐') + frame.row(pick(heads)) + frame.row(pick(types)) + frame.rule('├', '┼', '┤');
  if (count === 0) text = frame.rule('┌', '┬', '┐') + frame.row(pick(heads)) + frame.row(pick(types));
  for (const cells of upper) text += frame.row(pick(cells));
  if (hiddenRows > 0) text += frame.row(widths.map(() => ({ ...gap, lines: ['·', '·', '·'] })));
  for (const cells of lower) text += frame.row(pick(cells));
  await sink.write(text + (footer.length === 0 ? frame.rule('└', '┴', '┘') : frame.footer(footer)));
}

export async function renderBox(result: Result, sink: Sink, options: RenderOptions): Promise<void> {
  const order = columnOrder(result);
  const heads = order.map(({ column }): Cell => ({ lines: [oneLine(column.name)], align: 'center', look: 'name' }));
  const widths = heads.map(cellWidth);
  const rows: Cell[][] = [];
  for await (const chunk of result.chunks()) {
    for (const row of chunk) {
      const cells = order.map(({ column, at }) =>
        cellOf(row[at] ?? null, column, { ...options, inLines: true, lineLimit: Number.POSITIVE_INFINITY }),
      );
      for (const [at, cell] of cells.entries()) widths[at] = Math.max(widths[at] ?? 0, cellWidth(cell));
      rows.push(cells);
    }
  }
  const frame = new Frame(widths, sink.color === true);
  let text = frame.rule('┌', '┬', '┐') + frame.row(heads);
  if (rows.length > 0) text += frame.rule('├', '┼', '┤');
  for (const row of rows) {
    text += frame.row(row);
    if (text.length > 65_536) {
      await sink.write(text);
      text = '';
    }
  }
  await sink.write(text + frame.rule('└', '┴', '┘'));
}

interface Cell {
  readonly lines: readonly string[];
  readonly align: 'left' | 'right' | 'center';
  readonly look: 'plain' | 'faint' | 'name';
}

const gap: Cell = { lines: [''], align: 'center', look: 'faint' };

interface CellOptions extends RenderOptions {
  /** Whether the lines of a text stand on lines of their own, or `\n` between them. */
  readonly inLines: boolean;
  readonly lineLimit: number;
  /** Longer lines go on in the next one, instead of being cut. */
  readonly foldAt?: number | undefined;
}

/** Prominent columns first, then the others as they come. Where there may be no room for all, those that say nothing give way. */
function columnOrder(
  { columns, prominent }: Result,
  isEmpty: (at: number) => boolean = () => false,
): { readonly column: Column; readonly at: number }[] {
  const rank = new Map(prominent.map((name, at) => [name, at]));
  const placed = columns.map((column, at) => {
    const place = rank.get(column.name);
    return { column, at, rank: place === undefined ? 2 * rank.size : isEmpty(at) ? rank.size + place : place };
  });
  return placed.sort((left, right) => left.rank - right.rank);
}

function cellOf(value: Value, { type }: Column, { inLines, lineLimit, foldAt, zone = 'UTC' }: CellOptions): Cell {
  const text = formatValue(value, type, { zone });
  const align = isNumeric(type) ? 'right' : 'left';
  const look = value === null ? 'faint' : 'plain';
  if (!inLines) return { lines: [oneLine(text)], align, look };
  // The break at the end of the last line, which EXPLAIN has, would be an empty line.
  const all = manyLines(text).replace(/\n$/, '').split('\n');
  const lines = all.length > lineLimit ? [...all.slice(0, lineLimit), '…'] : all;
  const safe = lines.map((line) => oneLine(line.replaceAll('\t', '    ')));
  return { lines: foldAt === undefined ? safe : safe.flatMap((line) => cutInLines(line, foldAt)), align, look };
}

function cellWidth(cell: Cell | undefined): number {
  return cell === undefined ? 0 : cell.lines.reduce((width, line) => Math.max(width, widthOf(line)), 0);
}

/** The rows that are shown, and how many there are: the whole result is read, but not kept. */
async function firstAndLast(result: Result): Promise<{ first: Row[]; last: Row[]; count: number }> {
  const half = shownRows / 2;
  const first: Row[] = [];
  let last: Row[] = [];
  let count = 0;
  for await (const rows of result.chunks()) {
    count += rows.length;
    const rest = rows.slice(0, Math.max(0, shownRows - first.length));
    first.push(...rest);
    last = [...last, ...rows.slice(rest.length)].slice(-half);
  }
  if (count <= shownRows) return { first, last: [], count };
  return { first: first.slice(0, half), last: [...first.slice(half), ...last].slice(-half), count };
}

interface Layout {
  /** Which columns are shown. */
  readonly places: readonly number[];
  /** Where among them the `…` stands for those that are not. */
  readonly cut: number | undefined;
  /** Of what is drawn, the `…` included. */
  readonly widths: readonly number[];
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + 3, 1);
}

interface Wish {
  readonly least: number;
  readonly isBrief: boolean;
}

/** All columns if they fit, else of the first `most` as many as fit at their least widths; what room is left widens texts that are cut, then the others. */
function layOutFirst(natural: readonly number[], wishes: readonly Wish[], most: number, terminal: number | undefined): Layout {
  const places = natural.map((_, at) => at);
  if (terminal === undefined || total(natural) <= terminal) return { places, cut: undefined, widths: natural };
  let count = most;
  const widthsAt = (texts: number, brief: number): number[] => {
    const shown = natural.slice(0, count).map((width, at) => {
      const { least, isBrief } = wishes[at] ?? { least: narrowColumn, isBrief: false };
      return Math.min(width, Math.max(least, isBrief ? brief : texts));
    });
    return count < natural.length ? [...shown, 1] : shown;
  };
  const fits = (texts: number, brief: number): boolean => total(widthsAt(texts, brief)) <= terminal;
  while (count > 1 && !fits(0, 0)) count--;
  let texts = 0;
  while (texts < terminal && fits(texts + 1, 0)) texts++;
  let brief = 0;
  while (brief < terminal && fits(texts, brief + 1)) brief++;
  const widths = widthsAt(texts, brief);
  if (count === 1) widths[0] = Math.max(1, Math.min(widths[0] ?? 1, terminal - (widths.length === 1 ? 4 : 8)));
  return { places: places.slice(0, count), cut: count < natural.length ? count : undefined, widths };
}

/** Fits columns of the natural widths into a terminal: first long texts get shorter, then columns in the middle go. */
function layOut(natural: readonly number[], terminal: number | undefined): Layout {
  const places = natural.map((_, at) => at);
  if (terminal === undefined || total(natural) <= terminal) return { places, cut: undefined, widths: natural };
  const capped = (cap: number): number[] => natural.map((width) => Math.min(width, cap));
  if (total(capped(narrowColumn)) <= terminal) {
    let cap = narrowColumn;
    while (total(capped(cap + 1)) <= terminal) cap++;
    return { places, cut: undefined, widths: capped(cap) };
  }
  const widths = capped(narrowColumn);
  if (widths.length === 1) return { places, cut: undefined, widths: capped(Math.max(1, terminal - 4)) };
  // From both ends towards the middle, as long as the next one fits beside the `…`.
  let room = terminal - total([1]);
  let left = 0;
  let right = widths.length;
  for (let fromLeft = true; left < right; fromLeft = !fromLeft) {
    const next = widths[fromLeft ? left : right - 1] ?? 0;
    if (next + 3 > room && left > 0) break;
    room -= next + 3;
    if (fromLeft) left++;
    else right--;
  }
  const kept = places.filter((place) => place < left || place >= right);
  const keptWidths = (cap: number): number[] => kept.map((place) => Math.min(natural[place] ?? 0, cap));
  // What room is left shows more of long texts.
  let cap = narrowColumn;
  while (cap < terminal && total([...keptWidths(cap + 1), 1]) <= terminal) cap++;
  const drawn = keptWidths(cap);
  // In a very narrow terminal even the first column alone is too wide.
  if (kept.length === 1) drawn[0] = Math.max(1, Math.min(drawn[0] ?? 1, terminal - 8));
  drawn.splice(left, 0, 1);
  return { places: kept, cut: left, widths: drawn };
}

interface Missing {
  readonly rows: number;
  readonly hiddenRows: number;
  readonly columns: number;
  readonly shownColumns: number;
  readonly cut: number | undefined;
}

/** What there is and what of it is shown; nothing where everybody sees that. */
function footerOf({ rows, hiddenRows, columns, shownColumns, cut }: Missing): string[] {
  if (rows > 0 && rows < countedRows && hiddenRows === 0 && cut === undefined) return [];
  const rowText = `${rows} ${rows === 1 ? 'row' : 'rows'}${hiddenRows === 0 ? '' : ` (${rows - hiddenRows} shown)`}`;
  const columnText = `${columns} ${columns === 1 ? 'column' : 'columns'}${cut === undefined ? '' : ` (${shownColumns} shown)`}`;
  return rows === 0 ? [rowText] : [rowText, columnText];
}

/** The footer must fit, if not on one line then on two. */
function wideEnough(widths: readonly number[], footer: readonly string[]): number[] {
  const needed = Math.max(0, ...footer.map((text) => text.length));
  const inside = widths.reduce((sum, width) => sum + width + 3, -3);
  const wider = [...widths];
  if (wider.length > 0 && inside < needed) wider[wider.length - 1] = (wider[wider.length - 1] ?? 0) + needed - inside;
  return wider;
}

/** DuckDB's words for types in tables: `int32`, `varchar[]`; but `timestamptz`, for its own name makes every such column wide. */
function shortTypeName(type: SqlType): string {
  switch (type.kind) {
    case 'TINYINT':
      return 'int8';
    case 'SMALLINT':
      return 'int16';
    case 'INTEGER':
      return 'int32';
    case 'BIGINT':
      return 'int64';
    case 'HUGEINT':
      return 'int128';
    case 'UTINYINT':
      return 'uint8';
    case 'USMALLINT':
      return 'uint16';
    case 'UINTEGER':
      return 'uint32';
    case 'UBIGINT':
      return 'uint64';
    case 'UHUGEINT':
      return 'uint128';
    case 'TIMESTAMPTZ':
      return 'timestamptz';
    case 'LIST':
      return `${shortTypeName(type.item)}[]`;
    case 'ARRAY':
      return `${shortTypeName(type.item)}[${type.length}]`;
    case 'ENUM':
      return 'enum';
    case 'NULL':
      return 'null';
    default:
      return typeName(type).toLowerCase();
  }
}

class Frame {
  readonly #widths: readonly number[];
  readonly #color: boolean;

  constructor(widths: readonly number[], color: boolean) {
    this.#widths = widths;
    this.#color = color;
  }

  rule(left: string, middle: string, right: string): string {
    return `${left}${this.#widths.map((width) => '─'.repeat(width + 2)).join(middle)}${right}\n`;
  }

  /** As many lines as the tallest cell has. */
  row(cells: readonly Cell[]): string {
    const height = Math.max(1, ...cells.map((cell) => cell.lines.length));
    let text = '';
    for (let line = 0; line < height; line++) {
      const parts = this.#widths.map((width, at) => {
        const cell = cells[at] ?? gap;
        return ` ${this.#painted(aligned(truncated(cell.lines[line] ?? '', width), width, cell.align), cell.look)} `;
      });
      text += `│${parts.join('│')}│\n`;
    }
    return text;
  }

  /** Closes the table with texts below it: at both ends of one line, or each on its own. */
  footer(texts: readonly string[]): string {
    const inside = this.#widths.reduce((sum, width) => sum + width + 3, -3);
    const besides = texts.length > 1 && texts.reduce((sum, text) => sum + text.length + 2, -2) <= inside;
    const [first = '', second = ''] = texts;
    const lines = besides
      ? [first + ' '.repeat(inside - first.length - second.length) + second]
      : texts.map((text) => aligned(text, inside, 'center'));
    const rule = this.rule('├', '┴', '┤');
    return `${rule}${lines.map((line) => `│ ${line} │\n`).join('')}└${'─'.repeat(inside + 2)}┘\n`;
  }

  #painted(text: string, look: Cell['look']): string {
    if (!this.#color || look === 'plain') return text;
    return look === 'name' ? `\x1b[1m${text}\x1b[22m` : `\x1b[2m${text}\x1b[22m`;
  }
}

function aligned(text: string, width: number, align: Cell['align']): string {
  const space = Math.max(0, width - widthOf(text));
  const before = align === 'left' ? 0 : align === 'right' ? space : Math.floor(space / 2);
  return ' '.repeat(before) + text + ' '.repeat(space - before);
}
