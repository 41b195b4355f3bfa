// Pipes for what commands write. Node gives sockets to what it starts, and a socket cannot be opened by its name: a script that
// writes to /dev/stderr, or a server that logs to /dev/stdout, would fail here and nowhere else. So named pipes are made, many at
// once because it takes a program, opened at both ends, and their names taken away at once.

import { spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
// biome-ignore lint/style/noRestrictedImports: nothing goes over a network: it is how Node reads a pipe without keeping a thread.
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** Two are needed for each command. */
const madeAtOnce = 16;

export class Pipes {
  readonly #stock: Pipe[] = [];
  #making: Promise<void> | undefined;
  #isOver = false;

  /** undefined: there are none to be had here. */
  async take(): Promise<Pipe | undefined> {
    while (this.#stock.length === 0 && !this.#isOver) {
      this.#making ??= this.#make().finally(() => {
        this.#making = undefined;
      });
      await this.#making;
    }
    return this.#stock.pop();
  }

  async #make(): Promise<void> {
    let folder: string | undefined;
    try {
      folder = mkdtempSync(join(tmpdir(), 'cuckoo-pipes-'));
      const within = folder;
      const names = Array.from({ length: madeAtOnce }, (_, at) => join(within, String(at)));
      await makeNamed(names);
      for (const name of names) this.#stock.push(opened(name));
    } catch {
      this.#isOver = true;
    } finally {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** What was written into it, as it comes; it ends when nobody holds the other end open any more. */
export function reading(pipe: Pipe): Readable {
  return new Socket({ fd: pipe.read, readable: true, writable: false });
}

export function closePipe({ read, write }: Pipe): void {
  closeSync(read);
  closeSync(write);
}

function opened(name: string): Pipe {
  // Without waiting for the other end; and so the other end need not wait for this one.
  const read = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
  return { read, write: openSync(name, constants.O_WRONLY) };
}

function makeNamed(names: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('mkfifo', ['-m', '600', ...names], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`mkfifo: exit code ${code}`))));
  });
}
