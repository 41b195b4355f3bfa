// Where results go: standard output, or the file of .output and .once. A writer waits while a reader is slow, so a large
// result costs no memory; a reader that has gone away (`| head`) ends the program quietly and not with an error.

import { createWriteStream, statSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Diagnostic } from '../core/diagnostic.ts';

/** Nobody reads what is written any more. */
export class OutputClosed extends Error {
  constructor() {
    super('nobody reads the output any more');
    this.name = 'OutputClosed';
  }
}

export class Output {
  readonly #stream: Writable;
  readonly #name: string;
  #error: Error | undefined;
  #told = false;

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.#name = name;
    stream.on('error', (error) => {
      this.#error ??= error;
    });
  }

  /** The columns of the terminal; undefined where there is none. */
  get columns(): number | undefined {
    const { columns, isTTY } = this.#stream as { readonly columns?: number; readonly isTTY?: boolean };
    return isTTY === true ? (columns ?? 80) : undefined;
  }

  async write(chunk: string | Uint8Array): Promise<void> {
    this.#check();
    if (chunk.length === 0 || this.#stream.write(chunk)) return;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        this.#stream.off('drain', settle);
        this.#stream.off('close', settle);
        this.#stream.off('error', settle);
        resolve();
      };
      this.#stream.on('drain', settle);
      this.#stream.on('close', settle);
      this.#stream.on('error', settle);
    });
    this.#check();
  }

  /** Resolves when everything has been handed to the system. An error that a write has met already is not met again. */
  async flush(): Promise<void> {
    if (this.#told) return;
    this.#check();
    await new Promise<void>((resolve) => {
      this.#stream.write('', () => resolve());
    });
    this.#check();
  }

  async end(): Promise<void> {
    const told = this.#told;
    // A stream that has failed is closed already, and says so only once.
    if (!this.#stream.closed) {
      await new Promise<void>((resolve) => {
        this.#stream.once('close', resolve);
        this.#stream.end();
      });
    }
    if (!told) this.#check();
  }

  #check(): void {
    if (this.#error === undefined) return;
    this.#told = true;
    const { code } = this.#error as NodeJS.ErrnoException;
    if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') throw new OutputClosed();
    throw new Diagnostic(code === 'ENOSPC' ? 'disk_full' : 'io_error', `cannot write to ${this.#name}: ${this.#error.message}`, {
      hint: 'what was written so far may be incomplete',
      cause: this.#error,
    });
  }
}

/** A file that is written anew. */
export async function openOutput(path: string, databasePath: string): Promise<Output> {
  refuseDatabase(path, databasePath);
  const stream = createWriteStream(path);
  const output = new Output(stream, path);
  await new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', (error) => {
      reject(
        new Diagnostic('io_error', `cannot write to ${path}: ${error.message}`, {
          hint: 'name a file in a folder that exists',
          cause: error,
        }),
      );
    });
  });
  return output;
}

/** Opening and closing the database's own file would drop the lock that DuckDB holds on it, and a second writer could enter. */
export function refuseDatabase(path: string, databasePath: string): void {
  const file = statSync(path, { throwIfNoEntry: false });
  const database = statSync(databasePath, { throwIfNoEntry: false });
  if (file === undefined || database === undefined || file.ino !== database.ino || file.dev !== database.dev) return;
  throw new Diagnostic('forbidden', `${path} is the open database itself`, { hint: "for a copy of it use BACKUP TO 'path.duckdb'" });
}
