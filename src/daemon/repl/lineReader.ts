// The reader for terminals that cannot move their cursor (TERM=dumb: an editor's shell buffer, a serial line). Same promises as
// the editor, without its comfort: the terminal itself edits a line and hands it over whole.

import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Entered } from './editor.ts';

interface LineReaderOptions {
  readonly input: Readable;
  readonly output: Writable;
  readonly prompt: (text: string, line: number) => string;
  readonly isComplete: (text: string) => boolean;
  /** Before each prompt: nothing is being typed now, and other lines may be written. */
  readonly onPrompt?: () => void;
}

export class LineReader {
  readonly #options: LineReaderOptions;
  #interface: Interface | undefined;
  #answer: ((entered: Entered) => void) | undefined;
  #waiting: string[] = [];
  #lines: string[] = [];
  #ended = false;

  constructor(options: LineReaderOptions) {
    this.#options = options;
  }

  open(): void {
    this.#interface ??= createInterface({ input: this.#options.input, terminal: false })
      .on('line', (line) => this.#take(line))
      .on('close', () => this.end());
  }

  close(): void {
    this.#interface?.close();
  }

  read(): Promise<Entered> {
    if (this.#ended && this.#waiting.length === 0) return Promise.resolve({ kind: 'end' });
    this.#lines = [];
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#ask();
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const line of waiting) this.#take(line);
      if (this.#ended) this.end();
    });
  }

  end(): void {
    this.#ended = true;
    this.#settle({ kind: 'end' });
  }

  /** Ctrl-C, which comes as a signal here: throws away what was typed so far. */
  abandon(): void {
    this.#settle({ kind: 'abandoned', text: this.#lines.join('\n') });
  }

  #take(line: string): void {
    if (this.#answer === undefined) {
      this.#waiting.push(line);
      return;
    }
    this.#lines.push(line);
    const text = this.#lines.join('\n');
    if (text.trim() === '' || this.#options.isComplete(text)) this.#settle({ kind: 'text', text });
    else this.#ask();
  }

  #ask(): void {
    this.#options.onPrompt?.();
    const text = this.#lines.join('\n');
    this.#options.output.write(this.#options.prompt(`${text}\n`, this.#lines.length));
  }

  #settle(entered: Entered): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    this.#answer = undefined;
    if (entered.kind !== 'text') this.#options.output.write('\n');
    answer(entered);
  }
}
