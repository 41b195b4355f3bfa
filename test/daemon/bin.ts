// The real command in a child process, and a folder for its files.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const bin = join(import.meta.dirname, '../../bin/cuckoo.cjs');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'cuckoo-shell-'));
  readonly #children = new Set<ChildProcessWithoutNullStreams>();

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  start(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Running {
    return this.#spawn(process.execPath, [bin, ...words], environment);
  }

  /** A line for /bin/sh in which `"$CUCKOO"` is the command. */
  async runShell(line: string): Promise<Ended> {
    const running = this.#spawn('/bin/sh', ['-c', line.replaceAll('"$CUCKOO"', '"$NODE" "$BIN"')], { NODE: process.execPath, BIN: bin });
    running.child.stdin.end();
    return running.ended;
  }

  /** Runs to the end, with `input` on standard input; without one there is none. */
  async run(words: readonly string[], input = '', environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const running = this.start(words, environment);
    running.child.stdin.on('error', () => {});
    running.child.stdin.end(input);
    return running.ended;
  }

  #spawn(command: string, words: readonly string[], environment: Readonly<Record<string, string>>): Running {
    const { PATH } = process.env;
    const child = spawn(command, [...words], { cwd: this.folder, env: { PATH, TZ: 'UTC', HOME: this.folder, ...environment } });
    this.#children.add(child);
    return new Running(child);
  }

  clean(): void {
    for (const child of this.#children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  #watchers: (() => void)[] = [];

  constructor(child: ChildProcessWithoutNullStreams) {
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      for (const watcher of [...this.#watchers]) watcher();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      for (const watcher of [...this.#watchers]) watcher();
    });
    this.ended = new Promise((resolve) => {
      child.on('close', (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }));
    });
  }

  /** Resolves when the text has come out; rejects when the process ends without it. */
  async says(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!this.stdout.includes(text) && !this.stderr.includes(text)) return;
        this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
        resolve();
      };
      this.#watchers.push(look);
      look();
      void this.ended.then(({ code }) =>
        reject(new Error(`ended with ${code} and without ${JSON.stringify(text)}: ${this.stdout}${this.stderr}`)),
      );
    });
  }
}
