// The scheduler's side of the process that runs commands. Starting a program copies the page tables of whoever starts it: with a
// database of 1.2 GB in memory that took 77 ms, in which nothing else happened. So a small process starts them all, begins with the
// first command and ends with the database; and what commands write, however much, is read there.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Diagnostic } from '../../../core/diagnostic.ts';
import type { CommandOrder, CommandReport, Enforcement, Environment, News, Order, OutputLine } from './messages.ts';

export interface RunnerParts {
  readonly environment: Environment;
  readonly enforcement: Enforcement;
}

export interface CommandWatch {
  readonly signal: AbortSignal;
  onLines(dropped: number, lines: readonly OutputLine[]): void;
}

interface Waiting {
  /** Of the command's processes; none where something else is waited for. */
  readonly mark: string | undefined;
  readonly onLines: CommandWatch['onLines'];
  readonly resolve: (report: CommandReport) => void;
  readonly reject: (error: unknown) => void;
}

export class Runner {
  readonly #parts: RunnerParts;
  readonly #waiting = new Map<number, Waiting>();
  #process: RunnerProcess | undefined;
  #newestId = 0;
  #isClosed = false;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  /** Answers when nothing of the command goes on any more. Aborted, it ends it. */
  async run(command: CommandOrder, { signal, onLines }: CommandWatch): Promise<CommandReport> {
    const runner = this.#begun();
    this.#newestId += 1;
    const id = this.#newestId;
    const onAbort = (): void => runner.tell({ kind: 'end', id });
    try {
      return await new Promise<CommandReport>((resolve, reject) => {
        this.#waiting.set(id, { mark: command.mark, onLines, resolve, reject });
        runner.keepAlive(true);
        runner.tell({ kind: 'start', id, command });
        signal.addEventListener('abort', onAbort);
        if (signal.aborted) onAbort();
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) runner.keepAlive(false);
    }
  }

  /** What still runs is ended. Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#process?.end();
  }

  #begun(): RunnerProcess {
    if (this.#isClosed) throw new Diagnostic('closed', 'the database is closed');
    this.#process ??= new RunnerProcess(this.#parts, {
      onNews: (news) => this.#hear(news),
      onEnd: (reason) => this.#lose(reason),
    });
    return this.#process;
  }

  #hear(news: News): void {
    const waiting = this.#waiting.get(news.id);
    switch (news.kind) {
      case 'lines':
        waiting?.onLines(news.dropped, news.lines);
        return;
      case 'ended':
      case 'swept':
        waiting?.resolve(news.kind === 'ended' ? news.report : noReport);
        return;
      default:
        news satisfies never;
    }
  }

  /** Somebody has ended the process: another one ends what it has left, and then the commands have failed. */
  #lose(reason: string): void {
    this.#process = undefined;
    const lost = [...this.#waiting.values()];
    this.#waiting.clear();
    const error = new Diagnostic('run_failed', `the process that runs commands has ended (${reason})`, {
      hint: 'its commands were ended too',
    });
    const marks = lost.flatMap(({ mark }) => mark ?? []);
    void this.#sweep(marks).finally(() => {
      for (const { reject } of lost) reject(error);
    });
  }

  async #sweep(marks: readonly string[]): Promise<void> {
    if (this.#isClosed || marks.length === 0) return;
    const runner = this.#begun();
    this.#newestId += 1;
    const id = this.#newestId;
    await new Promise<CommandReport>((resolve, reject) => {
      this.#waiting.set(id, { mark: undefined, onLines: () => undefined, resolve, reject });
      runner.tell({ kind: 'sweep', id, marks });
    }).catch(() => undefined);
    this.#waiting.delete(id);
  }
}

const noReport: CommandReport = {
  refusal: null,
  exitCode: null,
  signal: null,
  cpuMs: null,
  peakMemoryBytes: null,
  memoryExceeded: null,
  lastLine: null,
  lastErrorLines: [],
  notes: [],
};

/** Its source in a checkout, where a loader reads it; compiled else. */
const isSource = import.meta.url.endsWith('.ts');
const path = fileURLToPath(new URL(isSource ? './runnerMain.ts' : './runnerMain.js', import.meta.url));
const mostSaid = 4_000;

class RunnerProcess {
  readonly #child: ChildProcess;
  #said = '';

  constructor(
    { environment, enforcement }: RunnerParts,
    { onNews, onEnd }: { readonly onNews: (news: News) => void; readonly onEnd: (reason: string) => void },
  ) {
    this.#child = fork(path, [], {
      // Ctrl-C in a terminal is not for it: the scheduler says when commands end.
      detached: true,
      execArgv: isSource ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href] : [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-mostSaid);
    });
    this.#child.on('message', (news: News) => onNews(news));
    // It could not be started, and so it has no end.
    this.#child.on('error', (error) => {
      if (this.#child.pid === undefined) onEnd(error.message);
    });
    this.#child.on('exit', (code, signal) =>
      onEnd([signal ?? `exit code ${code}`, this.#said.trim()].filter((text) => text !== '').join(': ')),
    );
    this.keepAlive(false);
    this.tell({ kind: 'begin', environment, enforcement });
  }

  tell(order: Order): void {
    // Where it is gone, its end is told.
    if (this.#child.connected) this.#child.send(order, () => undefined);
  }

  /** Whether this process waits for it. */
  keepAlive(isWanted: boolean): void {
    const pipe = this.#child.stderr as { ref?(): void; unref?(): void } | null;
    if (isWanted) {
      this.#child.ref();
      this.#child.channel?.ref();
      pipe?.ref?.();
    } else {
      this.#child.unref();
      this.#child.channel?.unref();
      pipe?.unref?.();
    }
  }

  async end(): Promise<void> {
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.keepAlive(true);
    if (this.#child.connected) this.#child.disconnect();
    await exited;
  }
}
