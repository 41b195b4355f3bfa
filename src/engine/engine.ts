// One database file, opened once in a process: DuckDB, the ledger in it, and the sessions on it.

import { randomUUID } from 'node:crypto';
import { Diagnostic } from '../core/diagnostic.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import { Turnstile } from '../core/turnstile.ts';
import { type Clock, systemClock } from '../scheduler/clock.ts';
import type { FinishedRun } from '../scheduler/run.ts';
import { Admission } from './admission.ts';
import { registerFunctions } from './functions.ts';
import { guardValues } from './guard.ts';
import { unknownJob } from './jobs.ts';
import { liveMacros, registerLive } from './live.ts';
import { JobQueues } from './pgcron.ts';
import { Recovery } from './recovery.ts';
import { Runner } from './runner.ts';
import { Session, type SessionOptions } from './session.ts';
import { Catalogue } from './store/duckdb/catalogue.ts';
import { Connection } from './store/duckdb/connection.ts';
import { type NativeConnection, type NativeDatabase, openNative } from './store/duckdb/native.ts';
import { type Sql, sqlFor } from './store/duckdb/sql.ts';
import { StorageWatch } from './store/duckdb/storage.ts';
import { type Migration, migrate } from './store/migrate.ts';
import { TimingCache } from './timingCache.ts';

export interface EngineOptions {
  readonly readOnly?: boolean;
  readonly clock?: Clock;
  /** DuckDB's own settings, over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What `env('..')` reads. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Called when DuckDB holds the file and before anything is written: answers how to let go, or throws. */
  readonly claim?: (realPath: string) => Promise<{ release(): Promise<void> }>;
  /** The machine's zone, for a file that is made now. */
  readonly zone?: string;
  /** The size of the thread pool, which bounds what runs at once. */
  readonly poolSize?: number;
  /** For tests of migrations. */
  readonly migrations?: readonly Migration[];
}

/** Engines by real path: a second `open` of a file in this process shares the first one's. */
const open = new Map<string, { engine: Engine; holders: number }>();
const door = new Turnstile();

export function openEngine(path: string, options: EngineOptions = {}): Promise<Engine> {
  return door.run(() => openOne(path, options));
}

async function openOne(path: string, options: EngineOptions): Promise<Engine> {
  const clock = options.clock ?? systemClock;
  const database: NativeDatabase = await openNative(path, {
    clock,
    inspect: (statement) => guardValues(statement, database),
    ...(options.readOnly === undefined ? {} : { readOnly: options.readOnly }),
    ...(options.settings === undefined ? {} : { settings: options.settings }),
  });
  const shared = open.get(database.path);
  if (shared !== undefined && database.path !== ':memory:') {
    await database.close();
    shared.holders += 1;
    return shared.engine;
  }
  let claim: { release(): Promise<void> } | undefined;
  try {
    if (database.path !== ':memory:' && options.readOnly !== true) claim = await options.claim?.(database.path);
    const engine = await Engine.start(database, claim, clock, options);
    if (database.path !== ':memory:') open.set(database.path, { engine, holders: 1 });
    return engine;
  } catch (error) {
    await claim?.release();
    await database.close();
    throw error;
  }
}

export class Engine {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly runner: Runner;
  readonly admission: Admission;
  /** Statements that call cadence functions over tables pass one at a time: several at once keep this thread from its timers. */
  readonly cadenceGate = new Turnstile();
  /** What sessions ask of pg_cron's functions. */
  readonly jobQueues: JobQueues;
  readonly readOnly: boolean;
  /** Names of task types registered beside the built-in ones. */
  readonly executors: ReadonlySet<string> = new Set();
  /** A read-only file that no Cuckoo has written has none. */
  readonly hasLedger: boolean;
  /** Opens the file again after an error that stopped DuckDB. */
  readonly recovery: Recovery;
  /** The room on the disk. */
  readonly storage: StorageWatch;
  readonly #claim: { release(): Promise<void> } | undefined;
  readonly #zone: { text: string };
  #newestScheduleId: number;
  #closing: Promise<void> | undefined;

  static async start(
    database: NativeDatabase,
    claim: { release(): Promise<void> } | undefined,
    clock: Clock,
    options: EngineOptions,
  ): Promise<Engine> {
    const sql = sqlFor(database.catalogue);
    const admission = new Admission(options.poolSize === undefined ? {} : { poolSize: options.poolSize });
    const runner = new Runner({ database, sql, clock, admission, environment: options.environment ?? {} });
    const timings = new TimingCache();
    registerLive(database, runner, timings, clock);
    const zone = { text: options.zone ?? machineZone() };
    registerFunctions(database, { timings, clock, zone: () => zone.text });
    const jobQueues = new JobQueues();
    jobQueues.register(database);
    const connection = new Connection(await database.connect());
    try {
      const readOnly = options.readOnly ?? false;
      const hasLedger = await migrate(connection, {
        sql,
        database: database.catalogue,
        path: database.path,
        readOnly,
        clock,
        zone: zone.text,
        fileId: randomUUID(),
        ...(options.migrations === undefined ? {} : { migrations: options.migrations }),
      });
      const catalogue = new Catalogue(connection, sql);
      const newest = hasLedger ? await catalogue.newestScheduleId() : 0;
      if (hasLedger) zone.text = (await catalogue.settings()).text('timezone');
      return new Engine({ database, sql, clock, runner, admission, jobQueues, readOnly, hasLedger, claim, newest, zone });
    } finally {
      await connection.close();
    }
  }

  private constructor(parts: {
    database: NativeDatabase;
    sql: Sql;
    clock: Clock;
    runner: Runner;
    readOnly: boolean;
    hasLedger: boolean;
    claim: { release(): Promise<void> } | undefined;
    newest: number;
    zone: { text: string };
    admission: Admission;
    jobQueues: JobQueues;
  }) {
    this.database = parts.database;
    this.sql = parts.sql;
    this.clock = parts.clock;
    this.runner = parts.runner;
    this.readOnly = parts.readOnly;
    this.hasLedger = parts.hasLedger;
    this.#claim = parts.claim;
    this.#newestScheduleId = parts.newest;
    this.#zone = parts.zone;
    this.admission = parts.admission;
    this.jobQueues = parts.jobQueues;
    this.storage = new StorageWatch(parts.database, parts.clock);
    this.recovery = new Recovery({ reopen: () => this.#reopen(), clock: parts.clock });
  }

  /** What whoever opened it should know. */
  get warnings(): readonly string[] {
    return this.admission.warning === undefined ? [] : [this.admission.warning];
  }

  get path(): string {
    return this.database.path;
  }

  async session(options: SessionOptions): Promise<Session> {
    if (this.#closing !== undefined) throw new Diagnostic('closed', 'the database is closed');
    return new Session(this, await this.sessionConnection(), options);
  }

  /** With the live columns put over the file's own macros, which answer NULL; in a database that is opened again if it has stopped. */
  async sessionConnection(): Promise<NativeConnection> {
    await this.recover();
    const native = await this.database.connect({ progress: true });
    if (this.hasLedger) await native.run(liveMacros, { leaves: 'none' });
    return native;
  }

  /** Once a call has failed with `fatal`; does nothing while all is well. Throws what cannot be helped. */
  async recover(): Promise<void> {
    if (this.database.fatal) await this.recovery.recover();
  }

  async #reopen(): Promise<void> {
    await this.database.reopen();
    await this.storage.look();
    // A COMMIT that stopped the database may have changed it.
    if (this.hasLedger) await this.rereadZone();
  }

  /** After a commit that may have changed `cron.timezone`: what the cron_* functions take where no zone is given. */
  async rereadZone(): Promise<void> {
    const connection = new Connection(await this.database.connect());
    try {
      this.#zone.text = (await new Catalogue(connection, this.sql).settings()).text('timezone');
    } finally {
      await connection.close();
    }
  }

  /** RUN SCHEDULE for hosts: `params` replace those of the schedule. */
  async runByHand(name: string, params: Readonly<Record<string, JsonValue>>): Promise<FinishedRun> {
    await this.recover();
    const connection = new Connection(await this.database.connect());
    try {
      const stored = await new Catalogue(connection, this.sql).schedule(name);
      if (stored === undefined) throw unknownJob(name);
      return await this.runner.runNow(stored, { params, dryRun: false, signal: new AbortController().signal });
    } finally {
      await connection.close();
    }
  }

  /** Never reused: every version of every schedule stays in the file. */
  nextScheduleId(): number {
    this.#newestScheduleId += 1;
    return this.#newestScheduleId;
  }

  /** Ends with the last who opened it. */
  async close(): Promise<void> {
    const shared = open.get(this.path);
    if (shared?.engine === this) {
      shared.holders -= 1;
      if (shared.holders > 0) return;
      open.delete(this.path);
    }
    this.storage.stop();
    this.#closing ??= this.database.close().finally(() => this.#claim?.release());
    await this.#closing;
  }
}

function machineZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}
