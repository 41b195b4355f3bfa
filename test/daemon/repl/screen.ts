// A terminal that tests can read: it understands the sequences that the editor writes, as xterm does (a full row leaves the
// cursor hanging until the next character), and throws at any other, so that a new one is taught here first.

import { PassThrough, Writable } from 'node:stream';
import stringWidth from 'string-width';

export class Screen extends Writable {
  columns: number;
  rows: number;
  readonly isTTY = true;
  #lines: string[][] = [[]];
  /** The line at the top of the window. */
  #top = 0;
  #row = 0;
  #column = 0;
  #hanging = false;
  #segmenter = new Intl.Segmenter();
  raw = '';

  constructor(columns = 80, rows = 24) {
    super({ decodeStrings: false });
    this.columns = columns;
    this.rows = rows;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.#take(String(chunk));
    done();
    this.emit('written');
  }

  /** All lines, the scrollback too, without the empty ones at the end. */
  get text(): string {
    return this.#lines
      .map((line) => line.join('').trimEnd())
      .join('\n')
      .trimEnd();
  }

  /** What is in the window. */
  get window(): string {
    return this.#lines
      .slice(this.#top, this.#top + this.rows)
      .map((line) => line.join('').trimEnd())
      .join('\n')
      .trimEnd();
  }

  /** Where the cursor stands: the line in `text` and the column, from 0. */
  get cursor(): { line: number; column: number } {
    return { line: this.#top + this.#row, column: this.#column };
  }

  resize(columns: number, rows = this.rows): void {
    // As most terminals do: rows too long for the new width are broken.
    const lines: string[][] = [];
    let cursor = { line: 0, column: this.#column };
    for (const [index, line] of this.#lines.entries()) {
      const first = lines.length;
      const kept = line.join('').trimEnd() === '' ? [] : line;
      for (let at = 0; at === 0 || at < kept.length; at += columns) lines.push(kept.slice(at, at + columns));
      if (index === this.#top + this.#row) {
        cursor = { line: first + Math.floor(this.#column / columns), column: this.#column % columns };
      }
    }
    this.columns = columns;
    this.rows = rows;
    this.#lines = lines;
    while (this.#lines.length <= cursor.line) this.#lines.push([]);
    this.#top = Math.max(cursor.line - rows + 1, 0);
    this.#row = cursor.line - this.#top;
    this.#column = cursor.column;
    this.#hanging = false;
    this.emit('resize');
  }

  #take(chunk: string): void {
    this.raw += chunk;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal reads.
    for (const [token] of chunk.matchAll(/\x1b\[[?]?[0-9;]*[A-Za-z]|[\x00-\x1f]|[^\x00-\x1f]+/g)) {
      if (token === '\r') this.#column = 0;
      else if (token === '\n') {
        // As every terminal's driver does on output, in raw mode too.
        this.#column = 0;
        this.#lineFeed();
      } else if (token === '\x07') continue;
      else if (token.startsWith('\x1b[')) this.#sequence(token.slice(2));
      else if (token < ' ') throw new Error(`the screen was sent ${JSON.stringify(token)}`);
      else for (const { segment } of this.#segmenter.segment(token)) this.#put(segment);
      if (token < ' ' || token.startsWith('\x1b')) this.#hanging = this.#hanging && /m$|\?/.test(token);
    }
  }

  #sequence(body: string): void {
    const letter = body.at(-1);
    const count = Number.parseInt(body, 10) || 1;
    if (body.startsWith('?') || letter === 'm') return;
    if (letter === 'A') this.#row = Math.max(this.#row - count, 0);
    else if (letter === 'B') this.#row = Math.min(this.#row + count, this.rows - 1);
    else if (letter === 'C') this.#column = Math.min(this.#column + count, this.columns - 1);
    else if (letter === 'J' && body === '2J') this.#clear();
    else if (letter === 'J') {
      this.#line().splice(this.#column);
      this.#lines.splice(this.#top + this.#row + 1);
    } else if (letter === 'K' && body === '2K') this.#line().splice(0);
    else if (letter === 'K') this.#line().splice(this.#column);
    else if (letter === 'H') {
      this.#row = 0;
      this.#column = 0;
    } else throw new Error(`the screen does not know ${JSON.stringify(body)}`);
  }

  #clear(): void {
    this.#lines.splice(this.#top);
  }

  #line(): string[] {
    const index = this.#top + this.#row;
    while (this.#lines.length <= index) this.#lines.push([]);
    return this.#lines[index]!;
  }

  #lineFeed(): void {
    if (this.#row === this.rows - 1) this.#top++;
    else this.#row++;
    this.#line();
  }

  #put(character: string): void {
    const width = stringWidth(character);
    if (this.#hanging || this.#column + width > this.columns) {
      this.#column = 0;
      this.#lineFeed();
      this.#hanging = false;
    }
    const line = this.#line();
    while (line.length < this.#column) line.push(' ');
    line[this.#column] = character;
    for (let filler = 1; filler < width; filler++) line[this.#column + filler] = '';
    this.#column += width;
    if (this.#column >= this.columns) {
      this.#column = this.columns - 1;
      this.#hanging = true;
    }
  }
}

/** A keyboard that remembers which mode it was put into. */
export class Keys extends PassThrough {
  readonly isTTY = true;
  isRaw = false;

  setRawMode(raw: boolean): this {
    this.isRaw = raw;
    return this;
  }
}
