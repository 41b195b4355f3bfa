// Draws frames over one another at the bottom of what the terminal shows. It knows only relative moves, because nobody
// tells a program at which line of the screen it stands; everything it believes about the screen is in `#shown`, and how many rows
// over that are its own too in `#above`.

import type { Writable } from 'node:stream';

export interface Terminal extends Writable {
  readonly columns?: number;
  readonly rows?: number;
}

export interface FrameRow {
  readonly text: string;
  readonly width: number;
}

export interface Frame {
  readonly rows: readonly FrameRow[];
  readonly cursorRow: number;
  readonly cursorColumn: number;
  /** Rows under the text (a menu, a status): always in view, gone with the next frame. */
  readonly footer: readonly FrameRow[];
}

/** Rows that are written over the frame and stay there. */
export interface Above {
  readonly rows: readonly FrameRow[];
  /** How many of the rows that stand there already, counted from the frame upwards, they take the place of. */
  readonly replacing: number;
}

const nothing: Frame = { rows: [], cursorRow: 0, cursorColumn: 0, footer: [] };

export class Painter {
  readonly #terminal: Terminal;
  /** The rows on the screen, the footer among them, and where the cursor stands in them. */
  #shown: Frame = nothing;
  /** The first row of the frame that is in view, where the frame is higher than the terminal. */
  #top = 0;
  /** So many rows right over the frame were written here and are in view for certain, however high the frame was since. */
  #above = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  get columns(): number {
    return Math.max(this.#terminal.columns ?? 80, 2);
  }

  get height(): number {
    return Math.max(this.#terminal.rows ?? 24, 2);
  }

  paint(frame: Frame): void {
    this.#show(this.#inView(frame));
  }

  /** Whether the last `rows` of those over the frame can be written anew. */
  canReplace(rows: number): boolean {
    return rows <= this.#above;
  }

  /** Writes over the frame, which moves down, and paints it anew. */
  paintBelow({ rows, replacing }: Above, frame: Frame): void {
    const next = this.#inView(frame);
    const texts = [...rows, ...next.rows].map((row) => row.text);
    const cursor = `${vertical(next.cursorRow - next.rows.length + 1)}\r${right(next.cursorColumn)}`;
    this.#terminal.write(`\x1b[?25l${vertical(-this.#shown.cursorRow - replacing)}\r\x1b[J${texts.join('\r\n')}${cursor}\x1b[?25h`);
    this.#above += rows.length - replacing;
    this.#remember(next);
  }

  /** Leaves the whole frame behind, in the scrollback too, with the cursor on a fresh line under it. */
  finish(frame: Frame): void {
    this.#show({ rows: frame.rows, cursorRow: frame.rows.length - 1, cursorColumn: 0, footer: [] });
    this.#terminal.write('\r\n');
    this.forget();
  }

  /** Something else has written: the next frame begins where the cursor stands now. */
  forget(): void {
    this.#shown = nothing;
    this.#top = 0;
    this.#above = 0;
  }

  clearScreen(): void {
    this.#terminal.write('\x1b[H\x1b[2J');
    this.forget();
  }

  /** The terminal has broken the rows anew: goes back to the first of them, as far as its new width tells where that is. */
  resized(): void {
    const { rows, cursorRow, cursorColumn } = this.#shown;
    let above = Math.floor(cursorColumn / this.columns);
    for (const row of rows.slice(0, cursorRow)) above += Math.max(1, Math.ceil(row.width / this.columns));
    this.#terminal.write(`${up(Math.min(above, this.height - 1))}\r\x1b[J`);
    this.forget();
  }

  #inView(frame: Frame): Frame {
    const height = Math.max(this.height - frame.footer.length, 1);
    const last = Math.max(frame.rows.length - height, 0);
    this.#top = Math.min(Math.max(this.#top, frame.cursorRow - height + 1, 0), frame.cursorRow, last);
    return {
      rows: [...frame.rows.slice(this.#top, this.#top + height), ...frame.footer],
      cursorRow: frame.cursorRow - this.#top,
      cursorColumn: frame.cursorColumn,
      footer: [],
    };
  }

  #show(next: Frame): void {
    const before = this.#shown;
    let same = 0;
    while (same < before.rows.length && same < next.rows.length && before.rows[same]?.text === next.rows[same]?.text) same++;
    let output = '';
    let row = before.cursorRow;
    if (same < before.rows.length || same < next.rows.length) {
      // A full row leaves the cursor hanging behind its last column, where erasing would take that column's character
      // away; so the rest is erased first, from the start of a row, and then written.
      const added = same > 0 && same === before.rows.length;
      output += added ? `${vertical(same - 1 - row)}\r\n` : `${vertical(same - row)}\r`;
      const rest = next.rows.slice(same);
      output += `\x1b[J${rest.map((line) => line.text).join('\r\n')}`;
      row = same + Math.max(rest.length - 1, 0);
    }
    output += `${vertical(next.cursorRow - row)}\r${right(next.cursorColumn)}`;
    this.#terminal.write(`\x1b[?25l${output}\x1b[?25h`);
    this.#remember(next);
  }

  #remember(shown: Frame): void {
    this.#shown = shown;
    this.#above = Math.min(this.#above, Math.max(this.height - shown.rows.length, 0));
  }
}

function up(rows: number): string {
  return rows > 0 ? `\x1b[${rows}A` : '';
}

function down(rows: number): string {
  return rows > 0 ? `\x1b[${rows}B` : '';
}

function vertical(rows: number): string {
  return rows < 0 ? up(-rows) : down(rows);
}

function right(columns: number): string {
  return columns > 0 ? `\x1b[${columns}C` : '';
}
