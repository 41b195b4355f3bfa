// A handler's side of a run: loads the module, gives the handler its context, and says how it ended. It runs inside of a thread
// (thread.ts) or of a process of its own (process.ts), and imports almost nothing: what stands here is paid by every new thread.

import { setMaxListeners } from 'node:events';
import type { JsonValue } from '../../../../core/jsonValue.ts';
import { type Clock, systemClock } from '../../../../scheduler/clock.ts';
import { jsonResult } from '../../answer.ts';
import type { Http, TaskLine } from '../../executor.ts';
import { openHttp } from '../../http.ts';
import { loggerOf } from '../../logger.ts';
import type { Assignment, FromGuest, GuestEnd, Handler, HandlerContext, ToGuest } from '../messages.ts';
import type { HandlerModule } from '../module.ts';
import { thrownError } from '../thrown.ts';
import { LineBatches } from './lineBatches.ts';
import { LoadedModule } from './loadedModule.ts';
import { type CapturedOutput, captureOutput } from './output.ts';
import { ProgressReports } from './progressReports.ts';
import { Requests } from './requests.ts';

/** What leads to the attendant. */
export interface Wire {
  send(message: Exclude<FromGuest, { readonly kind: 'lines' }>): void;
  /** Returns when the attendant has room for more. */
  sendLines(lines: readonly TaskLine[]): void;
  /** For the length of a run. */
  hear(listener: (message: ToGuest) => void): void;
}

export interface Used {
  readonly cpuMs: number | null;
  readonly peakMemoryBytes: number | null;
}

export class Guest {
  readonly #clock: Clock = systemClock;
  readonly #measure: () => Used;
  readonly #output: CapturedOutput;
  #module: LoadedModule | undefined;
  #run: GuestRun | undefined;
  /** What earlier runs have used. */
  #usedBefore: Used;
  /** Something of an earlier run went wrong after its end. */
  #spoiled = false;

  constructor(measure: () => Used) {
    this.#measure = measure;
    this.#usedBefore = measure();
    this.#output = captureOutput((line) => this.#run?.write(line));
  }

  /** stale: the module is another one now, and has to be loaded by somebody who has not loaded it yet. */
  async run({ module, values }: Assignment, wire: Wire): Promise<GuestEnd | 'stale'> {
    if (this.#spoiled || this.#module?.hasChanged() === true) return 'stale';
    const run = new GuestRun(wire, this.#clock);
    this.#run = run;
    try {
      const { result, error, notes, reusable } = await this.#perform(run, module, values);
      return { result, error, notes, reusable: reusable && !this.#spoiled, ...this.#use() };
    } finally {
      this.#output.endLines();
      run.close();
      this.#run = undefined;
    }
  }

  /** Nobody caught it: it ends the run that is at work. */
  fail(error: unknown): void {
    this.#spoiled = true;
    this.#run?.fail(error);
  }

  /** Before the thread or the process ends: what it has said already. */
  flush(): void {
    this.#output.endLines();
    this.#run?.flush();
  }

  /** Since the run before: between two runs a thread does nothing. */
  #use(): Used {
    const before = this.#usedBefore.cpuMs;
    this.#usedBefore = this.#measure();
    const { cpuMs, peakMemoryBytes } = this.#usedBefore;
    return { cpuMs: cpuMs === null || before === null ? null : cpuMs - before, peakMemoryBytes };
  }

  async #perform(run: GuestRun, module: HandlerModule, values: Assignment['values']): Promise<Performed> {
    let handler: Handler;
    try {
      const loading = this.#module === undefined ? LoadedModule.load(module) : Promise.resolve(this.#module);
      const loaded = await run.orEnd(loading);
      if (loaded === 'aborted') return { ...failed, notes: ['its module was still being loaded'] };
      this.#module = loaded;
      handler = loaded.handler(module);
    } catch (error) {
      return { ...failed, error: thrownError(error) };
    }
    const before = heldBack();
    try {
      const answered = await run.orFailure(Promise.resolve(run.context(values)).then(handler));
      // A rejection that nobody handles is told only when this turn is over.
      await run.orFailure(this.#clock.yieldTurn());
      const { result, note } = jsonResult(answered);
      const left = await this.#leftBehind(run, before);
      const notes =
        left.length === 0 ? [] : [`still at work when it answered, and ended with the run: ${left.join(', ')}; await what must be done`];
      return { result, error: null, notes: note === undefined ? notes : [...notes, note], reusable: left.length === 0 };
    } catch (error) {
      return { ...failed, error: thrownError(error), reusable: (await this.#leftBehind(run, before)).length === 0 };
    }
  }

  /** What keeps the loop alive and was not there before. What is only being closed is given a few turns. */
  async #leftBehind(run: GuestRun, before: ReadonlyMap<string, number>): Promise<string[]> {
    for (let turns = 0; ; turns++) {
      const left = [...heldBack()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind]) => kind);
      if (run.awaited > 0) left.push('database.query');
      if (left.length === 0 || turns >= closingTurns) return left;
      await this.#clock.yieldTurn();
    }
  }
}

const closingTurns = 5;

interface Performed {
  readonly result: JsonValue;
  readonly error: GuestEnd['error'];
  readonly notes: readonly string[];
  readonly reusable: boolean;
}

const failed: Performed = { result: null, error: null, notes: [], reusable: false };

/** Timers, sockets, files, .. that are open, by their kind. */
function heldBack(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (kind !== 'CloseReq') counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

class GuestRun {
  readonly #clock: Clock;
  readonly #lines: LineBatches;
  readonly #progress: ProgressReports;
  readonly #requests: Requests;
  readonly #abort = new AbortController();
  readonly #failing: Promise<never>;
  #http: Http | undefined;
  #fail: (error: unknown) => void = () => {};
  #closed = false;

  constructor(wire: Wire, clock: Clock) {
    this.#clock = clock;
    this.#lines = new LineBatches(wire, clock);
    this.#progress = new ProgressReports(wire, clock);
    this.#requests = new Requests(wire);
    this.#failing = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#failing.catch(() => undefined);
    // Many who listen are no leak.
    setMaxListeners(0, this.#abort.signal);
    wire.hear((message) => {
      if (message.kind === 'abort') this.#abort.abort();
      else this.#requests.hear(message);
    });
  }

  /** How many answers of the database are still to come. */
  get awaited(): number {
    return this.#requests.waiting;
  }

  context(values: Assignment['values']): HandlerContext {
    const logger = loggerOf((line) => this.write(line));
    const database = this.#requests.database;
    const http = (): Http => {
      this.#http ??= openHttp({ clock: this.#clock, signal: this.#abort.signal });
      return this.#http;
    };
    return {
      ...values,
      signal: this.#abort.signal,
      progress: (fraction, message) => {
        if (!this.#closed) this.#progress.report(fraction, message ?? null);
      },
      services: {
        logger,
        database,
        get http() {
          return http();
        },
      },
    };
  }

  write(line: TaskLine): void {
    if (!this.#closed) this.#lines.add(line);
  }

  fail(error: unknown): void {
    this.#fail(error);
  }

  orFailure<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failing]);
  }

  async orEnd<T>(work: Promise<T>): Promise<T | 'aborted'> {
    const { signal } = this.#abort;
    let onAbort = (): void => {};
    const aborted = new Promise<'aborted'>((resolve) => {
      onAbort = () => resolve('aborted');
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
    });
    try {
      return await this.orFailure(Promise.race([work, aborted]));
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  flush(): void {
    this.#lines.flush();
    this.#progress.flush();
  }

  close(): void {
    this.flush();
    this.#closed = true;
    this.#lines.close();
    this.#progress.close();
    this.#requests.close();
  }
}
