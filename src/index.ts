// The library: `import { open } from 'cuckoo-sql'`. Nothing else is public.

import { userInfo } from 'node:os';
import { z } from 'zod';
import { Diagnostic } from './core/diagnostic.ts';
import type { Instant } from './core/instant.ts';
import type { JsonValue } from './core/jsonValue.ts';
import { readConfig } from './daemon/config.ts';
import { claimFile } from './daemon/lock.ts';
import { type Engine, openEngine } from './engine/engine.ts';
import type { Executor } from './engine/executors/executor.ts';
import type { Handler } from './engine/executors/handler/messages.ts';
import { Jobs } from './engine/jobs.ts';
import type { Result } from './engine/result.ts';
import type { Session } from './engine/session.ts';
import type { SchedulerEvent, SchedulerEvents } from './scheduler/events.ts';
import type { Mode, TickReport } from './scheduler/loop.ts';

export { Diagnostic, type Span } from './core/diagnostic.ts';
export {
  type Executor,
  type Http,
  type HttpAnswer,
  type HttpOptions,
  type Isolation,
  type Logger,
  type LogLevel,
  type Resources,
  type Services,
  type Task,
  type TaskDatabase,
  TaskEnd,
  type TaskEndDetails,
  type TaskLine,
  type TaskRow,
  type TaskTarget,
} from './engine/executors/executor.ts';
export type { Handler, HandlerContext } from './engine/executors/handler/messages.ts';
export { HttpRefusal } from './engine/executors/http.ts';
export type { Job, JobRun, Jobs } from './engine/jobs.ts';
export type { Column, Result, Row, Warning } from './engine/result.ts';
export type { Session } from './engine/session.ts';
export {
  Bit,
  DateValue,
  Decimal,
  Geometry,
  Interval,
  MapValue,
  type SqlType,
  Timestamp,
  TimestampTz,
  TimeTz,
  TimeValue,
  UnionValue,
  type Value,
  VariantValue,
} from './engine/value.ts';
export type { SchedulerEvent, SchedulerEvents } from './scheduler/events.ts';
export type { Mode, TickReport } from './scheduler/loop.ts';
export type { FinishedRun } from './scheduler/run.ts';
export type { Instant, JsonValue };

export interface OpenOptions {
  /** Changes nothing, and lets other processes read the file too. */
  readonly readOnly?: boolean;
  /** Who changes definitions, for cron.schedule_versions; the account's name without it. */
  readonly actor?: string;
  /** Opens and runs what is due, in this process, until the database is closed. */
  readonly scheduler?: boolean;
  /** DuckDB's own settings, such as `{ memory_limit: '2GB' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** As by `handler(name, fn)`, and there before the scheduler starts. */
  readonly handlers?: Readonly<Record<string, Handler>>;
  /** As by `executor(name, ..)`, and there before the scheduler starts. */
  readonly executors?: Readonly<Record<string, Executor>>;
}

/** Callers without types hear of a wrong option before anything is opened. */
const optionsShape = z.strictObject({
  readOnly: z.boolean().optional(),
  actor: z.string().min(1).max(255).optional(),
  scheduler: z.boolean().optional(),
  settings: z.record(z.string(), z.string()).optional(),
  handlers: z.record(z.string(), z.unknown()).optional(),
  executors: z.record(z.string(), z.unknown()).optional(),
});

function checked(path: unknown, options: unknown): void {
  const result = z.tuple([z.string(), optionsShape]).safeParse([path, options]);
  if (result.success) return;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path[0] === 0 ? 'the path' : ['options', ...issue.path.slice(1)].join('.');
  throw new Diagnostic('usage', `open(): ${place}: ${issue?.message ?? 'not understood'}`, {
    hint: "open(path: string, { scheduler?: boolean, readOnly?: boolean, actor?: string, settings?: { name: 'value' }, handlers?: { name: fn }, executors?: { name: { execute } } })",
  });
}

/** Opens a DuckDB file, or `:memory:`; a file that does not exist is made. */
export async function open(path: string, options: OpenOptions = {}): Promise<Database> {
  checked(path, options);
  const { environment, poolSize } = readConfig();
  const { actor = userInfo().username, scheduler = false, handlers = {}, executors = {}, ...engineOptions } = options;
  if (scheduler && options.readOnly === true) {
    throw new Diagnostic('read_only', 'open(): a scheduler writes what it does, so the file cannot be read-only', {
      hint: 'leave one of scheduler and readOnly out',
    });
  }
  const engine = await openEngine(path, {
    ...engineOptions,
    environment,
    poolSize,
    claim: (realPath) => claimFile(realPath, { kind: 'library' }),
  });
  let database: Database | undefined;
  try {
    database = new Database(engine, await engine.session({ actor, admin: true }), actor);
    for (const [name, handler] of Object.entries(handlers)) database.handler(name, handler);
    for (const [name, executor] of Object.entries(executors)) database.executor(name, executor);
    if (scheduler) await engine.scheduler.start();
    return database;
  } catch (error) {
    await (database ?? engine).close();
    throw error;
  }
}

class Database implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #session: Session;
  readonly #actor: string;
  readonly jobs: Jobs;
  /** What it has registered goes with it, also where another holds the same file open. */
  readonly #registered = new Set<() => void>();
  #closing: Promise<void> | undefined;

  constructor(engine: Engine, session: Session, actor: string) {
    this.#engine = engine;
    this.#session = session;
    this.#actor = actor;
    this.jobs = new Jobs(engine, session);
  }

  /** The file, without links; `:memory:` for a database in memory. */
  get path(): string {
    return this.#engine.path;
  }

  /** What the user of this database should know about how it was opened. */
  get warnings(): readonly string[] {
    return this.#engine.warnings;
  }

  /** One statement, Cuckoo's or DuckDB's, in the database's own session. Rows come as they are read. */
  sql(text: string, parameters?: readonly unknown[] | Readonly<Record<string, unknown>>): Promise<Result> {
    return this.#session.execute(text, parameters);
  }

  /** A session of its own: its transaction, its temp tables and its settings are nobody else's. */
  session(): Promise<Session> {
    return this.#engine.session({ actor: this.#actor, admin: true });
  }

  /**
   * Opens what is due up to `now` and runs all that is ready: for hosts that keep their own clock. Answers when it has been
   * done. What fell due while nobody called follows each schedule's `catchup`.
   */
  async tick(now: Instant | Date = this.#engine.clock.now()): Promise<TickReport> {
    const at = z.union([z.date(), z.number()]).safeParse(now);
    if (!at.success) {
      throw new Diagnostic('usage', 'tick(): now is a Date or milliseconds since 1970', { hint: 'tick() takes the present' });
    }
    if (this.#engine.readOnly) throw new Diagnostic('read_only', 'the file is open read-only', { hint: 'open it without readOnly' });
    return this.#engine.scheduler.tick(now instanceof Date ? now.getTime() : now);
  }

  /** What the scheduler tells as it happens, such as `run:finished`. Answers how to stop listening. */
  on<Name extends SchedulerEvent>(name: Name, listener: (detail: SchedulerEvents[Name]) => void): () => void {
    return this.#engine.scheduler.events.on(name, listener);
  }

  /**
   * `handler: 'name'` in a schedule calls this function, in this process: it is trusted, and costs microseconds. Answers how to take
   * it away.
   */
  handler(name: string, handler: Handler): () => void {
    return this.#own(this.#engine.worker.handlers.add(name, handler));
  }

  /** `exe: name, call: '..'` in a schedule is carried out by this. Answers how to take it away. */
  executor(name: string, executor: Executor): () => void {
    return this.#own(this.#engine.worker.executors.add(name, executor));
  }

  /** off, running, or paused by PAUSE SCHEDULER. */
  get schedulerMode(): Mode {
    return this.#engine.scheduler.mode;
  }

  /** Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#session
      .close()
      .then(() => this.#engine.close())
      .finally(() => {
        for (const takeAway of this.#registered) takeAway();
      });
    return this.#closing;
  }

  #own(takeAway: () => void): () => void {
    this.#registered.add(takeAway);
    return () => {
      this.#registered.delete(takeAway);
      takeAway();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export type { Database };
