// One database file, opened once in a process: DuckDB, the ledger in it, and the sessions on it.

import { randomUUID } from 'node:crypto';
import { Diagnostic } from '../core/diagnostic.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import { Turnstile } from '../core/turnstile.ts';
import { type Clock, systemClock } from '../scheduler/clock.ts';
import { Scheduler } from '../scheduler/loop.ts';
import { openedRun } from '../scheduler/opening.ts';
import type { FinishedRun, OpenRun } from '../scheduler/run.ts';
import { Admission } from './admission.ts';
import { CalendarReading } from './calendarReading.ts';
import { registerFunctions } from './functions.ts';
import { guardValues } from './guard.ts';
import { Housekeeping } from './housekeeping.ts';
import { unknownJob } from './jobs.ts';
import { liveMacros, overrulesMacro, registerLive } from './live.ts';
import { definitionOf, newRunId } from './opening.ts';
import { JobQueues } from './pgcron.ts';
import { Recovery, recoveringLedger } from './recovery.ts';
import { Retention } from './retention.ts';
import { RunLogs } from './runLogs.ts';
import { Session, type SessionOptions } from './session.ts';
import { Catalogue, type StoredSchedule } from './store/duckdb/catalogue.ts';
import { Connection } from './store/duckdb/connection.ts';
import { DuckLedger } from './store/duckdb/ledger.ts';
import { identifier } from './store/duckdb/literal.ts';
import { type NativeConnection, type NativeDatabase, openNative } from './store/duckdb/native.ts';
import { type Overrules, type Sql, sqlFor } from './store/duckdb/sql.ts';
import { StorageWatch } from './store/duckdb/storage.ts';
import { type Migration, migrate } from './store/migrate.ts';
import { TimingCache } from './timingCache.ts';
import { usualTimesReader } from './usualTimes.ts';
import { Worker } from './work.ts';
import { WorkTables } from './workTables.ts';

export interface EngineOptions {
  readonly readOnly?: boolean;
  readonly clock?: Clock;
  /** DuckDB's own settings, over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What wins over the settings in the file for as long as this engine lives. */
  readonly overrules?: Overrules;
  /** What `env('..')` reads. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Called when DuckDB holds the file and before anything is written: answers how to let go, or throws. */
  readonly claim?: (realPath: string) => Promise<{ release(): Promise<void> }>;
  /** The machine's zone, for a file that is made now. */
  readonly zone?: string;
  /** The size of the thread pool, which bounds what runs at once. */
  readonly poolSize?: number;
  /** How long closing waits for runs at work before it interrupts them. */
  readonly graceMs?: number;
  /** For tests of migrations. */
  readonly migrations?: readonly Migration[];
}

const defaultGraceMs = 5_000;

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
  readonly scheduler: Scheduler;
  readonly worker: Worker;
  /** The lines of runs. */
  readonly logs: RunLogs;
  readonly admission: Admission;
  /** Statements that call cadence functions over tables pass one at a time: several at once keep this thread from its timers. */
  readonly cadenceGate = new Turnstile();
  /** Statements that define what somebody else has just defined are tried again here, one after another. */
  readonly losers = new Turnstile();
  /** What sessions ask of pg_cron's functions. */
  readonly jobQueues: JobQueues;
  readonly readOnly: boolean;
  /** A read-only file that no Cuckoo has written has none. */
  readonly hasLedger: boolean;
  /** Opens the file again after an error that stopped DuckDB. */
  readonly recovery: Recovery;
  /** Reads again what days calendars have. */
  readonly calendars: CalendarReading;
  /** The room on the disk. */
  readonly storage: StorageWatch;
  /** What steps of pipelines have kept. */
  readonly workTables: WorkTables;
  readonly #graceMs: number;
  readonly #overrules: Overrules;
  readonly #claim: { release(): Promise<void> } | undefined;
  readonly #zone: { text: string };
  #housekeeping: Housekeeping | undefined;
  #newestScheduleId: number;
  #closing: Promise<void> | undefined;

  static async start(
    database: NativeDatabase,
    claim: { release(): Promise<void> } | undefined,
    clock: Clock,
    options: EngineOptions,
  ): Promise<Engine> {
    const sql = sqlFor(database.catalogue, options.overrules);
    const admission = new Admission({ clock, ...(options.poolSize === undefined ? {} : { poolSize: options.poolSize }) });
    // It is made before the engine, because DuckDB's functions ask it; what it needs of the engine it asks for when it is used.
    let engine: Engine | undefined;
    const recover = async (): Promise<void> => engine?.recover();
    const ledger = recoveringLedger(new DuckLedger({ database, sql, admission, clock }), recover);
    const logs = new RunLogs({ database, sql, admission, clock, recover });
    const worker = new Worker({
      database,
      sql,
      clock,
      admission,
      environment: options.environment ?? {},
      logs,
      recover,
      fate: (id) => ledger.fate(id, new AbortController().signal),
    });
    const scheduler = new Scheduler({
      clock,
      ledger,
      execute: worker.execute,
      random: Math.random,
      newRunId,
      bootId: randomUUID(),
      storage: async () => engine?.storage.look(),
      mostAtOnce: () => admission.mostAtOnce,
      needsThread: (run) => worker.needsThread(run),
      usualTimes: usualTimesReader({ database, sql, admission }),
    });
    const timings = new TimingCache();
    registerLive(database, scheduler, timings, clock);
    const zone = { text: options.zone ?? machineZone() };
    registerFunctions(database, { timings, clock, zone: () => zone.text, isScheduling: () => scheduler.isOn });
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
      const graceMs = options.graceMs ?? defaultGraceMs;
      engine = new Engine({
        database,
        sql,
        clock,
        scheduler,
        worker,
        logs,
        admission,
        jobQueues,
        readOnly,
        hasLedger,
        claim,
        newest,
        zone,
        graceMs,
        overrules: options.overrules ?? new Map(),
      });
      return engine;
    } finally {
      await connection.close();
    }
  }

  private constructor(parts: {
    database: NativeDatabase;
    sql: Sql;
    clock: Clock;
    scheduler: Scheduler;
    worker: Worker;
    logs: RunLogs;
    graceMs: number;
    overrules: Overrules;
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
    this.scheduler = parts.scheduler;
    this.worker = parts.worker;
    this.logs = parts.logs;
    this.#graceMs = parts.graceMs;
    this.#overrules = parts.overrules;
    this.readOnly = parts.readOnly;
    this.hasLedger = parts.hasLedger;
    this.#claim = parts.claim;
    this.#newestScheduleId = parts.newest;
    this.#zone = parts.zone;
    this.admission = parts.admission;
    this.jobQueues = parts.jobQueues;
    this.calendars = new CalendarReading(parts);
    this.storage = new StorageWatch(parts.database, parts.clock);
    this.workTables = new WorkTables(parts);
    this.workTables.watch(parts.scheduler);
    parts.scheduler.events.on('definitions:changed', () => this.worker.forgetSettings());
    // Also after a hold, and after a stop and another start.
    parts.scheduler.events.on('scheduler:started', () => {
      this.#housekeeping ??= this.#keepHouse();
      this.#housekeeping.readCalendars();
    });
    this.recovery = new Recovery({ reopen: () => this.#reopen(), inMemory: parts.database.path === ':memory:', clock: parts.clock });
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
    if (this.hasLedger) await native.run(`${liveMacros}${overrulesMacro(this.#overrules)}`, { leaves: 'none' });
    return native;
  }

  /** Once a call has failed with `fatal`; does nothing while all is well. Throws what cannot be helped. */
  async recover(): Promise<void> {
    if (this.database.fatal) await this.recovery.recover();
  }

  async #reopen(): Promise<void> {
    await this.database.reopen();
    await this.storage.look();
    // A COMMIT that stopped the database may have changed it. If it stops again here, whoever comes next opens it again.
    if (this.hasLedger) await this.rereadZone().catch(() => undefined);
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

  /** RUN SCHEDULE for hosts: `params` replace those of the schedule. Answers when the attempt is closed. */
  async runByHand(name: string, params: Readonly<Record<string, JsonValue>>): Promise<FinishedRun> {
    await this.recover();
    const connection = new Connection(await this.database.connect());
    let stored: StoredSchedule | undefined;
    try {
      stored = await new Catalogue(connection, this.sql).schedule(name);
    } finally {
      await connection.close();
    }
    if (stored === undefined) throw unknownJob(name);
    const run = this.manualRun(stored, { params });
    const finished = this.scheduler.finished(run.runId);
    await this.scheduler.byHand([run]);
    return finished;
  }

  /** A run that somebody asks for now. */
  manualRun(
    stored: StoredSchedule,
    { params = {}, alone = false }: { readonly params?: Readonly<Record<string, JsonValue>>; readonly alone?: boolean } = {},
  ): OpenRun {
    const now = this.clock.now();
    return openedRun(definitionOf(stored), { runId: newRunId(now), trigger: 'manual', scheduledAt: now, openedAt: now, params, alone });
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
    this.#closing ??= this.#end().finally(() => this.#claim?.release());
    await this.#closing;
  }

  #keepHouse(): Housekeeping {
    const { database, sql, clock, admission, scheduler, calendars, workTables } = this;
    return new Housekeeping({
      scheduler,
      clock,
      calendars,
      workTables,
      retention: new Retention({ database, sql, clock, admission }),
      storage: () => this.storage.look(),
      checkpoint: () => this.#checkpoint(),
    });
  }

  async #checkpoint(): Promise<void> {
    const connection = new Connection(await this.database.connect());
    try {
      // By name: a plain CHECKPOINT takes the connection's current database, which may have been detached.
      await this.admission.run('ledger', () => connection.run(`CHECKPOINT ${identifier(this.database.catalogue)}`));
    } finally {
      await connection.close();
    }
  }

  async #end(): Promise<void> {
    await this.scheduler.stop({ graceMs: this.#graceMs });
    await this.logs.close();
    await this.worker.close();
    await this.#housekeeping?.stop();
    await this.workTables.close();
    this.storage.stop();
    await this.database.close();
  }
}

function machineZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}
