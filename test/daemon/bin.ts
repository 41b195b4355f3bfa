// The real command in a child process, on pipes or on a terminal, and a folder for its files.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Screen } from './repl/screen.ts';

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

  /** On a terminal of its own, which `script` of util-linux makes: the shell begins. */
  sit(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Seat {
    const command = [process.execPath, bin, ...words].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    const line = `stty cols ${seatColumns} rows ${seatRows}; exec ${command}`;
    return new Seat(
      this.#spawn('script', ['-qfec', line, '/dev/null'], { TERM: 'xterm', SHELL: '/bin/sh', NO_COLOR: '1', ...environment }),
    );
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

const seatColumns = 100;
const seatRows = 40;

/** Somebody at the shell. */
export class Seat {
  readonly screen = new Screen(seatColumns, seatRows);
  readonly #running: Running;

  constructor(running: Running) {
    this.#running = running;
    running.child.stdin.on('error', () => {});
    running.child.stdout.on('data', (text: string) => this.screen.write(text));
  }

  /** How the command ended. */
  async ended(): Promise<number | null> {
    return (await this.#running.ended).code;
  }

  /** Presses keys, and waits until the screen shows what is expected. */
  async type(keys: string, shown: RegExp): Promise<void> {
    this.#running.child.stdin.write(keys);
    await this.shows(shown);
  }

  async shows(shown: RegExp): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!shown.test(this.screen.text)) return;
        this.screen.off('written', look);
        resolve();
      };
      this.screen.on('written', look);
      look();
      const tooLate = (why: string) => () => reject(new Error(`${why} without ${shown}:\n${this.screen.text}`));
      setTimeout(tooLate('30 seconds passed'), 30_000).unref();
      void this.#running.ended.then(tooLate('it ended'));
    });
  }
}
