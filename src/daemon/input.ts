// What a person or a script wrote, cut into what is run: SQL statements (the parser's splitter says where they end) and
// commands of the shell, which begin with `.` or `\` where a statement could begin and end with their line. Text may arrive in
// chunks of any size; a statement is handed out as soon as it is complete.

import { type Open, Splitter } from '../parser/split.ts';

export interface Piece {
  readonly kind: 'statement' | 'command';
  readonly text: string;
  /** Where it begins in the whole input, both from 1; a column is a Unicode character. */
  readonly line: number;
  readonly column: number;
  /** A statement that ends with its `;`, or a whole line. */
  readonly terminated: boolean;
}

export class InputReader {
  readonly #splitter = new Splitter();
  /** The end of the text so far, as long as its line is not complete. */
  #tail = '';
  /** Lines from the one on which the next statement may begin. */
  #lines: Line[] = [];
  #nextLine: Line = { number: 1, start: 0, text: '' };

  #counted = { line: 0, offset: 0, column: 1 };

  push(text: string): Piece[] {
    const pieces: Piece[] = [];
    const whole = this.#tail + text;
    let at = 0;
    for (let end = whole.indexOf('\n', at); end !== -1; end = whole.indexOf('\n', at)) {
      this.#takeLine(whole.slice(at, end + 1), pieces);
      at = end + 1;
    }
    this.#tail = whole.slice(at);
    return pieces;
  }

  /** No more comes: the rest is the last statement, with its `;` or without. */
  finish(): Piece[] {
    const pieces: Piece[] = [];
    if (this.#tail !== '') this.#takeLine(this.#tail, pieces);
    this.#tail = '';
    for (const slice of this.#splitter.finish().statements) pieces.push(this.#statement(slice));
    return pieces;
  }

  /** What the lines so far break off in; undefined where the next one may begin a statement. */
  get open(): Open | undefined {
    return this.#splitter.open;
  }

  #takeLine(text: string, pieces: Piece[]): void {
    const line = { ...this.#nextLine, text };
    this.#nextLine = { number: line.number + 1, start: line.start + text.length, text: '' };
    const command = /^[^\S\n]*([.\\][A-Za-z?!].*?)\s*$/.exec(text);
    if (command?.[1] !== undefined && this.#splitter.open === undefined) {
      const column = text.indexOf(command[1]) + 1;
      pieces.push({ kind: 'command', text: command[1], line: line.number, column, terminated: true });
      // The splitter counts offsets: blanks stand in for what it must not read.
      this.#splitter.push(`${' '.repeat(text.length - 1)}\n`);
      return;
    }
    this.#lines.push(line);
    const slices = this.#splitter.push(text);
    for (const slice of slices) pieces.push(this.#statement(slice));
    const last = slices.at(-1);
    if (last !== undefined) this.#lines = this.#lines.filter(({ start, text }) => start + text.length > last.end);
  }

  #statement(slice: { readonly text: string; readonly start: number; readonly terminated: boolean }): Piece {
    let line = this.#lines[0] ?? this.#nextLine;
    for (const candidate of this.#lines) {
      if (candidate.start > slice.start) break;
      line = candidate;
    }
    // A dump may be one line of a million statements: columns are counted on from the last one.
    if (this.#counted.line !== line.number) this.#counted = { line: line.number, offset: line.start, column: 1 };
    const { offset } = this.#counted;
    const column = this.#counted.column + [...line.text.slice(offset - line.start, slice.start - line.start)].length;
    this.#counted = { line: line.number, offset: slice.start, column };
    return { kind: 'statement', text: slice.text, line: line.number, column, terminated: slice.terminated };
  }
}

interface Line {
  readonly number: number;
  readonly start: number;
  readonly text: string;
}

/** All pieces of a text that is there as a whole. */
export function readPieces(text: string): Piece[] {
  const reader = new InputReader();
  return [...reader.push(text), ...reader.finish()];
}
