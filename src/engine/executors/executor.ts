// What `exe:` names, as one interface: the built-in kinds that work outside of the database (command, handler) and those that a host
// registers with `db.executor(name, ..)`. SQL and pipelines are no executors, because they close their run in a transaction of
// their own.

import type { JsonObject, JsonValue } from '../../core/jsonValue.ts';
import type { RunError } from '../../scheduler/run.ts';

export interface Executor {
  /** Asked when something that uses it is defined: throws what is wrong with it, and may answer what is worth a warning. */
  validate?(target: TaskTarget): void | readonly string[] | Promise<void> | Promise<readonly string[]>;
  /**
   * Answers the value of the run, or a `TaskEnd` that says more; what it throws fails the run. Once `task.signal` is aborted it must
   * settle soon, with nothing of it left behind.
   */
  execute(task: Task): Promise<unknown>;
}

/** What is known of work when it is defined. */
export interface TaskTarget {
  readonly exe: string;
  /** A command may be a list. */
  readonly call: string | readonly string[];
  readonly params: Readonly<Record<string, unknown>>;
  /** What `env('..')` will give is not known then: the text `env('NAME')` stands there. */
  readonly config: JsonObject;
  readonly isolation: Isolation;
}

export type Isolation = 'none' | 'thread' | 'process';

/** One piece of work and all that it may use: the context of handlers, with what the built-in kinds need beside it. */
export interface Task {
  /** The schedule's name. */
  readonly jobId: string;
  /** The run's id, under both names. */
  readonly executionId: string;
  readonly runId: string;
  readonly exe: string;
  readonly call: string | readonly string[];
  /** Of a pipeline; null else. */
  readonly step: string | null;
  /** Of a for_each, from 0. */
  readonly item: number | null;
  /** With secrets read from the environment: they are never written anywhere. */
  readonly params: Readonly<Record<string, JsonValue>>;
  readonly config: JsonObject;
  /** Nominal. */
  readonly scheduledAt: Date;
  readonly previousAt: Date | null;
  readonly lastSuccessAt: Date | null;
  readonly parentRunId: string | null;
  readonly attempt: number;
  /** The run of the attempt before this one. */
  readonly retryOf?: string | null;
  readonly resources: Resources;
  readonly isolation: Isolation;
  readonly timeoutMs: number | null;
  /** Aborted at the timeout, by CANCEL RUN, and when the scheduler leaves. */
  readonly signal: AbortSignal;
  /** From 0 to 1, and what is being done. */
  progress(fraction: number | null, message?: string | null): void;
  readonly services: Services;
  /** Lines as they come; `services.logger` writes here too. */
  log(line: TaskLine): void;
  /** As many lines as the log keeps: of a flood no more need be made. */
  readonly mostLines?: number;
  /** So many lines came here, and nobody has made them. */
  drop?(count: number): void;
  /** What `env('..')` has given to params and config: never written, wherever it appears. */
  readonly secrets: readonly string[];
}

export interface TaskLine {
  readonly stream: 'stdout' | 'stderr' | 'log';
  readonly level: LogLevel;
  readonly text: string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** `resources: { .. }` of a schedule. */
export interface Resources {
  /** Percent of one core. */
  readonly cpu?: number;
  readonly memoryBytes?: number;
  readonly nice?: number;
  readonly io?: string;
}

/** What `io` may be. */
export const ioClasses = ['idle', 'best_effort', 'realtime'] as const;

export interface Services {
  readonly logger: Logger;
  readonly database: TaskDatabase;
  readonly http: Http;
}

/** `fields` are written behind the message as JSON. */
export type LogCall = (message: string, fields?: Readonly<Record<string, unknown>>) => void;
export type Logger = Readonly<Record<LogLevel, LogCall>>;

export type TaskRow = Readonly<Record<string, JsonValue>>;

export interface TaskDatabase {
  /** One statement, which commits by itself. Values by `$name` or `?`. */
  query(sql: string, values?: readonly unknown[] | Readonly<Record<string, unknown>>): Promise<TaskRow[]>;
  /** One statement in the run's own transaction, which commits together with the run's success, or not at all. */
  readonly transaction: { query(sql: string, values?: readonly unknown[] | Readonly<Record<string, unknown>>): Promise<TaskRow[]> };
}

export interface Http {
  /** Refuses with the status where it is 400 or above. Timeouts and server errors are tried again. */
  request(url: string, options?: HttpOptions): Promise<HttpAnswer>;
  get(url: string, options?: HttpOptions): Promise<HttpAnswer>;
  post(url: string, body: unknown, options?: HttpOptions): Promise<HttpAnswer>;
}

export interface HttpOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text as it is, all else as JSON. */
  readonly body?: unknown;
  /** 30 s without it. */
  readonly timeoutMs?: number;
  /** How often it is tried again; 2 without it, and 0 where the method is not safe to repeat. */
  readonly retries?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** undefined where the body is no JSON. */
  readonly json: JsonValue | undefined;
}

export interface TaskEndDetails {
  readonly result?: unknown;
  /** It failed, and still has something to tell: an exit code, the memory it took. */
  readonly error?: RunError | null;
  readonly rowsChanged?: number | null;
  readonly cpuMs?: number | null;
  readonly peakMemoryBytes?: number | null;
  /** What should be known of how it was run, such as a limit that could not be enforced. */
  readonly notes?: readonly string[];
}

/** How work ended, where its value alone does not say enough. */
export class TaskEnd {
  readonly result: unknown;
  readonly error: RunError | null;
  readonly rowsChanged: number | null;
  readonly cpuMs: number | null;
  readonly peakMemoryBytes: number | null;
  readonly notes: readonly string[];

  constructor({ result = null, error = null, rowsChanged = null, cpuMs = null, peakMemoryBytes = null, notes = [] }: TaskEndDetails) {
    this.result = result;
    this.error = error;
    this.rowsChanged = rowsChanged;
    this.cpuMs = cpuMs;
    this.peakMemoryBytes = peakMemoryBytes;
    this.notes = notes;
  }
}
