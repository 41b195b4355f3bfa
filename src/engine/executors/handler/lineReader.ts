// Cuts what a stream brings into lines, whatever the chunks: the last one without an end is a line, too, and one without end is cut.

import { StringDecoder } from 'node:string_decoder';
import { lineText, mostLineCharacters } from '../logger.ts';

export class LineReader {
  readonly #write: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  bytes(chunk: Uint8Array): void {
    this.text(this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)));
  }

  text(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#write(lineText(line.endsWith('\r') ? line.slice(0, -1) : line));
    while (this.#rest.length > mostLineCharacters) {
      this.#write(lineText(this.#rest.slice(0, mostLineCharacters)));
      this.#rest = this.#rest.slice(mostLineCharacters);
    }
  }

  /** What has no end of its own. */
  end(): void {
    this.text(this.#decoder.end());
    if (this.#rest !== '') this.#write(lineText(this.#rest));
    this.#rest = '';
  }
}
