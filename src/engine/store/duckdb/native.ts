// The only importer of the DuckDB client, and the one place that knows its traps (each rule is a test of its
// own in test/engine/store/duckdb/native.test.ts):
//   - one instance for each file in a process: two lose committed rows;
//   - one statement at a time on a connection: a second one cuts the rows of the first short, without an error;
//   - an interrupt that comes before the statement has begun is lost: it is repeated until the statement has answered;
//   - closing a connection that is busy leaves its promise open for ever and its thread lost: interrupt, await, close;
//   - an appender outside a transaction commits, and waits for the disk, on the JavaScript thread: only inside one;
//   - BEGIN inside a transaction, and most errors, abort it, and COMMIT then answers OK and rolls back: the state is tracked;
//   - text is cut at a NUL, which may turn a DELETE .. WHERE into a DELETE: refused;
//   - a checkpoint that fails stops the instance for ever; the file can be opened again once everything of it is closed;
//   - a plan that is kept goes by the rows that there were: a filter which none of them passed stays empty when others have come,
//     so that a prepared SELECT answers wrongly; only what reads no table is kept;
//   - rows that were not read to their end keep the instance, its file and its transaction open until they are garbage.
// Nothing here knows values or statements: it takes the client's values and hands out the client's chunks (values.ts converts).

import { randomUUID } from 'node:crypto';
import { linkSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type {
  DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBMaterializedResult,
  DuckDBPreparedStatement,
  DuckDBResult,
  DuckDBScalarFunction,
  DuckDBType,
  DuckDBValue,
  DuckDBVector,
} from '@duckdb/node-api';
import { Diagnostic } from '../../../core/diagnostic.ts';
import { type Clock, systemClock } from '../../../scheduler/clock.ts';
import { duckdbDiagnostic, toldToDuckdb } from '../../duckdbError.ts';
import { catalogueName, fileAlias, fileIdentity, holdsLock, inspectFile, isKeptClosed, keepClosed, resolveDatabasePath } from './file.ts';
import { collectGarbage } from './garbage.ts';
import { HeldLock, isOpenForWriting } from './heldFiles.ts';
import { interruptAtEnd } from './processEnd.ts';
import { Threads } from './threads.ts';

/**
 * The client's classes, functions and constants. Required, not imported: to learn which names an import may ask for, Node would
 * read each of its hundred CommonJS files a second time, some 80 ms of every start.
 */
export const duckdb: typeof import('@duckdb/node-api') = createRequire(import.meta.url)('@duckdb/node-api');
export type * as DuckDB from '@duckdb/node-api';

export interface NativeOptions {
  readonly clock: Clock;
  readonly readOnly?: boolean;
  /** DuckDB's settings, over the defaults of `defaultSettings`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Sees each statement of `query` and `all` before DuckDB does, and throws where it must not be run. */
  readonly inspect?: Inspect;
}

export type Inspect = (statement: NativeStatement) => Promise<void> | undefined;

/** A statement on its way to DuckDB. */
export interface NativeStatement {
  readonly text: string;
  readonly parameters: NativeParameters | undefined;
  /** A small query before it, on the same connection: the texts in its first row, also those in lists. */
  texts(sql: string, parameters: Readonly<Record<string, NativeParameter>>): Promise<readonly string[]>;
}

/**
 * Opens a file, or `:memory:`. A file that is open in this process already is shared: both handles reach one instance, which
 * ends with the last of them.
 */
export async function openNative(path: string, options: NativeOptions): Promise<NativeDatabase> {
  const readOnly = options.readOnly ?? false;
  if (path === '' || path === ':memory:') {
    if (readOnly)
      throw new Diagnostic('usage', 'A database in memory cannot be read-only: it would be empty for ever.', { hint: 'Name a file.' });
    return oneAfterAnother(async () => new NativeDatabase(await Instance.inMemory(options), options));
  }
  const realPath = resolveDatabasePath(path);
  const stopped = Instance.of(realPath);
  if (stopped?.failure !== undefined) await stopped.replace(options.clock);
  return await oneAfterAnother(async () => {
    const shared = Instance.of(realPath);
    if (shared !== undefined) {
      shared.mustAllow(readOnly);
      return new NativeDatabase(shared, options);
    }
    return new NativeDatabase(await Instance.ofFile(realPath, { readOnly, settings: options.settings }), options);
  });
}

/** Opening and closing happen one at a time in a process, so that no file is ever seen half open. */
let door: Promise<unknown> = Promise.resolve();

function oneAfterAnother<T>(work: () => Promise<T>): Promise<T> {
  const result = door.then(work, work);
  door = result.catch(() => undefined);
  return result;
}

/**
 * DuckDB would take 80 % of the memory, which together with our own heap ends in an out-of-memory kill; and it would fetch
 * extensions from the network without being asked.
 */
export function defaultSettings(): Record<string, string> {
  const constrained = process.constrainedMemory();
  const total = constrained > 0 && constrained < totalmem() ? constrained : totalmem();
  const mebibyte = 1024 * 1024;
  const limit = Math.max(Math.min(total * 0.6, total - 1024 * mebibyte), Math.min(total * 0.5, 256 * mebibyte));
  return {
    memory_limit: `${Math.floor(limit / mebibyte)}MiB`,
    threads: String(availableParallelism()),
    wal_autocheckpoint: '64MB',
    autoinstall_known_extensions: 'false',
    errors_as_json: 'true',
  };
}

/** See threads.ts: all threads are the callers', until one is needed. */
function settingsOf(own: Record<string, string> | undefined): Record<string, string> {
  const settings: Record<string, string> = { ...defaultSettings(), ...own };
  return { ...settings, external_threads: settings['threads'] ?? '1' };
}

/** Rows as the client hands them out, up to 2,048 at a time; values.ts turns them into values. */
export type NativeChunk = DuckDBDataChunk;

export interface NativeColumn {
  readonly name: string;
  readonly type: DuckDBType;
}

/** Already converted by values.ts. Without a type the client derives one from the value. */
export interface NativeParameter {
  readonly value: DuckDBValue;
  readonly type?: DuckDBType;
}

export type NativeParameters = readonly NativeParameter[] | Readonly<Record<string, NativeParameter>>;

/** The answer of one statement, read as fast as the reader asks. */
export interface NativeCursor {
  readonly columns: readonly NativeColumn[];
  /** DuckDB's word: SELECT, INSERT, CREATE, TRANSACTION, .. */
  readonly statementType: string;
  readonly returnType: 'rows' | 'changed' | 'nothing';
  /** 0 unless returnType is `changed`. */
  readonly rowsChanged: number;
  next(): Promise<NativeChunk | undefined>;
  /** Ends the statement; rows not read yet are dropped. Safe to call twice, and after the end. */
  cancel(): Promise<void>;
}

export interface NativeQueryOptions {
  readonly signal?: AbortSignal;
  /**
   * Computes all rows before it answers, in DuckDB's memory. Where rows are computed as they are read, DuckDB does not tell the
   * reason of an error among the later ones; here it does.
   */
  readonly whole?: boolean;
  /** An INSERT of values that comes again and again: what DuckDB has prepared of it is kept with the connection, half of the time it takes. */
  readonly again?: boolean;
}

/** The answer of a statement, read to its end. */
export interface NativeRows {
  readonly columns: readonly NativeColumn[];
  readonly chunks: readonly NativeChunk[];
  readonly rowsChanged: number;
}

/** aborted: only ROLLBACK goes on, and COMMIT means ROLLBACK. */
export type TransactionState = 'none' | 'open' | 'aborted';

export interface NativeScalar {
  readonly name: string;
  readonly parameterTypes: readonly DuckDBType[];
  readonly returnType: DuckDBType;
  /** Called again for each row and never folded into a constant. */
  readonly volatile?: boolean;
  /** propagate: a NULL argument makes NULL, whatever `call` set (it does see such rows). */
  readonly nulls: 'propagate' | 'handle';
  /** Sets one item of `output` for each row; what it throws becomes the statement's error. `connection` is the id of who asks. */
  call(input: NativeChunk, output: DuckDBVector, connection: number): void;
}

/** A handle, as the instance below it sees it. */
interface Holder {
  /** The instance has failed. */
  hear(): void;
  /** Ends what is at work, and all connections. */
  letGo(): Promise<void>;
  follow(next: Instance): void;
}

type Settings = Readonly<Record<string, string>>;

interface InstanceParts {
  readonly path: string;
  readonly readOnly: boolean;
  readonly catalogue: string;
  readonly client: DuckDBInstance;
  readonly root: DuckDBConnection;
  readonly greeting?: string;
  /** As they were given, over the defaults. */
  readonly settings: Settings | undefined;
}

/** What this process has open of one file (or of one memory): never twice. */
class Instance {
  static readonly #open = new Map<string, Instance>();

  /** Also found by another name of the same file (a hard link). */
  static of(realPath: string): Instance | undefined {
    const byName = Instance.#open.get(realPath);
    if (byName !== undefined) return byName;
    const identity = fileIdentity(realPath);
    if (identity === undefined) return undefined;
    return [...Instance.#open.values()].find((instance) => fileIdentity(instance.path) === identity);
  }

  static async inMemory({ settings }: { readonly settings?: Settings }): Promise<Instance> {
    const client = await duckdb.DuckDBInstance.create(':memory:', settingsOf(settings)).catch(raise);
    return new Instance({ path: ':memory:', catalogue: 'memory', readOnly: false, client, root: await client.connect(), settings });
  }

  static async ofFile(
    realPath: string,
    { readOnly, settings }: { readonly readOnly: boolean; readonly settings: Settings | undefined },
  ): Promise<Instance> {
    if (holdsLock(realPath) === true) {
      throw new Diagnostic('in_use', `"${realPath}" is attached to another database that is open in this process.`, {
        hint: 'DETACH it there first: a file opened twice in one process loses rows.',
      });
    }
    const file = inspectFile(realPath, { readOnly });
    const all = settingsOf(settings);
    if (file.storageVersion === undefined) await createWhole(realPath, all);
    const alias = fileAlias(realPath);
    const opened = alias === undefined ? await openUnderOwnName(realPath, readOnly, all) : await openUnder(alias, realPath, readOnly, all);
    const instance = new Instance({ path: realPath, readOnly, settings, ...opened });
    Instance.#open.set(realPath, instance);
    return instance;
  }

  readonly path: string;
  readonly readOnly: boolean;
  /** The name of the main database in SQL. */
  readonly catalogue: string;
  readonly client: DuckDBInstance;
  /** Keeps functions registered, sets what holds for all connections, and checkpoints at the end; runs nothing else. */
  readonly root: DuckDBConnection;
  readonly holders = new Set<Holder>();
  readonly threads: Threads;
  /** By the id of the connection: how often it called a volatile function, which may have done something. */
  readonly volatileCalls = new Map<number, number>();
  /** Sent on every new connection: `USE` where the file is attached under an alias. */
  readonly greeting: string | undefined;
  /** Why nothing works any more: the same words for every statement that comes after. */
  failure: Diagnostic | undefined;
  /** Rows were given up that only the garbage collector can give back. */
  leftRows = false;
  readonly #settings: Settings | undefined;
  readonly #scalars = new Map<string, NativeScalar>();
  /** Of the file that was opened, whatever stands under its name later. */
  readonly #identity: string | undefined;
  readonly #letGo: () => void;
  /** Where the system does not show the lock at the beginning it never will. */
  readonly #lock: HeldLock | undefined;
  /** When the lock was looked at, in monotonic time. */
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #lostLock = false;
  #holdsCheckpoints = false;
  #shutting: Promise<void> | undefined;
  #replacing: Promise<void> | undefined;

  private constructor(parts: InstanceParts) {
    this.path = parts.path;
    this.readOnly = parts.readOnly;
    this.catalogue = parts.catalogue;
    this.client = parts.client;
    this.root = parts.root;
    this.greeting = parts.greeting;
    this.#settings = parts.settings;
    this.#identity = this.inFile ? fileIdentity(parts.path) : undefined;
    this.#letGo = this.inFile ? keepClosed(parts.path) : () => {};
    this.#lock = this.inFile ? HeldLock.on(parts.path) : undefined;
    this.threads = new Threads({
      // Threads are real whatever clock their statements live by.
      clock: systemClock,
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      },
      count: async () => Number((await this.root.runAndReadAll("SELECT current_setting('threads')")).getRows()[0]?.[0]),
      setExternal: (count) => this.root.run(`SET external_threads = ${count}`),
    });
  }

  get inFile(): boolean {
    return this.path !== ':memory:';
  }

  /** Visible in every connection at once; a name and its parameters are registered once. */
  register(scalar: NativeScalar): void {
    const signature = `${scalar.name.toLowerCase()}(${scalar.parameterTypes.join()})`;
    if (this.#scalars.has(signature)) return;
    this.root.registerScalarFunction(scalarFunction(scalar, this.volatileCalls));
    this.#scalars.set(signature, scalar);
  }

  /** The first reason stays. */
  fail(failure: Diagnostic): Diagnostic {
    if (this.failure !== undefined) return this.failure;
    this.failure = failure;
    for (const holder of this.holders) holder.hear();
    return failure;
  }

  stoppedBy(error: Diagnostic): Diagnostic {
    const hint = this.inFile ? opensAgain : 'Close it and open another: what is in memory only is lost.';
    return this.fail(new Diagnostic('fatal', `The database has stopped after an error inside DuckDB: ${originalOf(error)}`, { hint }));
  }

  mustAllow(readOnly: boolean): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.readOnly === readOnly) return;
    throw new Diagnostic('in_use', `"${this.path}" is open in this process ${this.readOnly ? 'read-only' : 'for writing'} already.`, {
      hint: 'Open it the same way, or close the other first.',
    });
  }

  holdsLock(): boolean | undefined {
    return this.#lock?.isHeld;
  }

  /**
   * Whoever closes a descriptor of the file in this process, be it a view that reads it or the host's own copyFile, has dropped
   * the lock: another process may write from then on, and what both write destroys the file.
   */
  mustHoldLock({ nowMs, atOnce }: { readonly nowMs: number; readonly atOnce: boolean }): void {
    if (this.#lock === undefined || this.failure !== undefined || (!atOnce && nowMs - this.#lookedAtMs < lookEveryMs)) return;
    this.#lookedAtMs = nowMs;
    if (this.#lock.isHeld) return;
    this.#lostLock = true;
    const message = `lock_lost: "${this.path}" was read as a file in this process, which has dropped DuckDB's lock on it. Another process may write it now, so nothing more is written here.`;
    throw this.fail(new Diagnostic('fatal', message, { hint: `${opensAgain} Find what read it: a view, a macro, or the program itself.` }));
  }

  async holdCheckpoints(held: boolean): Promise<void> {
    if (this.#holdsCheckpoints === held || this.failure !== undefined || !this.inFile || this.readOnly) return;
    this.#holdsCheckpoints = held;
    const { wal_autocheckpoint: usual } = { ...defaultSettings(), ...this.#settings };
    await this.root.run(`SET wal_autocheckpoint = ${quotedText(held ? neverBytes : (usual ?? '64MB'))}`).catch(raise);
  }

  /** Ends it, with the last who held it. */
  async close(clock: Clock): Promise<void> {
    try {
      await this.#shut(clock);
    } finally {
      if (Instance.#open.get(this.path) === this) Instance.#open.delete(this.path);
    }
  }

  /** Closes everything of it, and opens another in its place, which all who hold it follow. */
  replace(clock: Clock): Promise<void> {
    this.#replacing ??= this.#replace(clock).finally(() => {
      this.#replacing = undefined;
    });
    return this.#replacing;
  }

  async #replace(clock: Clock): Promise<void> {
    if (!this.inFile) throw this.failure;
    const ended = Promise.all([...this.holders].map((holder) => holder.letGo()));
    if (!(await settlesWithin(endsWithinMs, ended, clock))) {
      throw new Diagnostic('too_busy', `"${this.path}" cannot be opened again yet: a statement at work does not end.`, {
        hint: 'It waits for something outside the database, a pipe or another computer; end the process if it waits for ever.',
      });
    }
    await oneAfterAnother(async () => {
      // Closed by all meanwhile.
      if (this.holders.size === 0) return;
      await this.#shut(clock);
      this.#mustBeLetGo();
      const next = await Instance.ofFile(this.path, { readOnly: this.readOnly, settings: this.#settings });
      for (const scalar of this.#scalars.values()) next.register(scalar);
      for (const holder of this.holders) holder.follow(next);
      this.holders.clear();
      await next.holdCheckpoints(this.#holdsCheckpoints);
    });
  }

  /** A second instance beside one that lives on loses rows; and what has another file's name is another database. */
  #mustBeLetGo(): void {
    if (fileIdentity(this.path) !== this.#identity) {
      throw new Diagnostic('file_not_found', `"${this.path}" is not the file any more that was open: it was moved, removed or replaced.`, {
        hint: 'Put it back, with its .wal beside it; or close this database and open the file that is there.',
      });
    }
    if (this.readOnly || this.#identity === undefined || !isOpenForWriting(this.#identity)) return;
    throw new Diagnostic('in_use', `"${this.path}" is still open for writing in this process, so it cannot be opened again.`, {
      hint: 'DETACH it where it is attached, and close it where the program itself has opened it.',
    });
  }

  /** Closes the file. Safe to call twice. */
  #shut(clock: Clock): Promise<void> {
    this.#shutting ??= this.#shutNow(clock);
    return this.#shutting;
  }

  async #shutNow(clock: Clock): Promise<void> {
    try {
      await this.threads.close();
      // closeSync would do it on the JavaScript thread. Where it fails (a full disk) the write-ahead log has everything.
      if (this.inFile && !this.readOnly && this.failure === undefined)
        await this.root.run(`CHECKPOINT ${quotedName(this.catalogue)}`).catch(() => undefined);
      // The log stays beside the file, for whoever opens it next; the file itself may be somebody else's by now.
      if (this.#lostLock) await this.root.run('PRAGMA disable_checkpoint_on_shutdown').catch(() => undefined);
      this.root.closeSync();
      this.client.closeSync();
    } finally {
      this.#letGo();
    }
    if (!this.leftRows || !this.inFile) return;
    const isOpen = (): boolean => this.#identity === undefined || process.platform !== 'linux' || isOpenForWriting(this.#identity);
    for (let round = 0; round < garbageRounds && isOpen(); round += 1) await collectGarbage(clock);
  }
}

const opensAgain = 'What was committed is in the file, which the next statement opens again.';

/** More than any disk has. */
const neverBytes = '1000TB';

/** How long statements may take to end when the file is to be opened again. */
const endsWithinMs = 10_000;

/** What a collection finds may hold something that only the next one finds. */
const garbageRounds = 3;

function settlesWithin(ms: number, work: Promise<unknown>, clock: Clock): Promise<boolean> {
  return new Promise((answer, refuse) => {
    const timer = clock.after(ms, () => answer(false));
    work.then(() => answer(true), refuse).finally(() => timer.cancel());
  });
}

interface Opened {
  readonly client: DuckDBInstance;
  readonly root: DuckDBConnection;
  readonly catalogue: string;
  readonly greeting?: string;
}

async function openUnderOwnName(realPath: string, readOnly: boolean, settings: Record<string, string>): Promise<Opened> {
  const client = await duckdb.DuckDBInstance.create(realPath, readOnly ? { ...settings, access_mode: 'READ_ONLY' } : settings).catch(raise);
  const root = await client.connect();
  // DuckDB changes names such as `temp` to `temp_db`.
  const answer = await root.runAndReadAll('SELECT current_database()');
  return { client, root, catalogue: String(answer.getRows()[0]?.[0] ?? catalogueName(realPath)) };
}

/** The client can name its main database in no other way than by the file, so the main one is in memory and the file attached. */
async function openUnder(alias: string, realPath: string, readOnly: boolean, settings: Record<string, string>): Promise<Opened> {
  const client = await duckdb.DuckDBInstance.create(':memory:', { temp_directory: `${realPath}.tmp`, ...settings }).catch(raise);
  const root = await client.connect();
  const greeting = `USE ${quotedName(alias)}`;
  try {
    await root.run(`ATTACH ${quotedText(realPath)} AS ${quotedName(alias)} (TYPE duckdb${readOnly ? ', READ_ONLY' : ''})`);
    await root.run(greeting);
  } catch (error) {
    root.closeSync();
    client.closeSync();
    throw duckdbDiagnostic(error);
  }
  return { client, root, catalogue: alias, greeting };
}

/**
 * Makes a new database under a name of its own and links it into place, whole. DuckDB itself creates an empty file, locks it and
 * then writes the header: whoever looks in between sees a file that is no database.
 */
async function createWhole(realPath: string, settings: Record<string, string>): Promise<void> {
  const draft = join(dirname(realPath), `.${basename(realPath).slice(0, 100)}.${randomUUID()}.new`);
  const remove = () => {
    for (const path of [draft, `${draft}.wal`]) rmSync(path, { force: true });
  };
  try {
    const client = await duckdb.DuckDBInstance.create(draft, settings).catch(raise);
    client.closeSync();
    linkSync(draft, realPath);
  } catch (error) {
    // Somebody else was first: theirs is as good. A file system without links: DuckDB creates the file when it opens it.
    const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
    if (code === undefined || error instanceof Diagnostic) throw duckdbDiagnostic(error);
  } finally {
    remove();
  }
}

function raise(error: unknown): never {
  throw duckdbDiagnostic(error);
}

function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function quotedText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** One holder's handle on a database. Closing it closes the connections made through it. */
export class NativeDatabase {
  #instance: Instance;
  readonly #clock: Clock;
  readonly #inspect: Inspect | undefined;
  readonly #connections = new Set<NativeConnection>();
  readonly #connecting = new Set<Promise<unknown>>();
  readonly #watchers = new Set<() => void>();
  readonly #holder: Holder = {
    hear: () => {
      for (const watcher of [...this.#watchers]) watcher();
    },
    letGo: () => this.#endConnections(),
    follow: (next) => {
      this.#instance = next;
      next.holders.add(this.#holder);
    },
  };
  #closing: Promise<void> | undefined;

  constructor(instance: Instance, { clock, inspect }: NativeOptions) {
    this.#instance = instance;
    this.#clock = clock;
    this.#inspect = inspect;
    instance.holders.add(this.#holder);
  }

  /** Without links; `:memory:` for a database in memory. */
  get path(): string {
    return this.#instance.path;
  }

  /** The name of the main database in SQL, not quoted. */
  get catalogue(): string {
    return this.#instance.catalogue;
  }

  get readOnly(): boolean {
    return this.#instance.readOnly;
  }

  /** Another holder in this process has the same file open. */
  get shared(): boolean {
    return this.#instance.holders.size > 1;
  }

  /** DuckDB has stopped: nothing works until `reopen`. */
  get fatal(): boolean {
    return this.#instance.failure !== undefined;
  }

  /** Called each time it becomes so. Answers the function that ends it. */
  onFatal(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /**
   * Opens the file again after a fatal error or the loss of its lock, for every handle of it in this process. What is at work
   * ends; connections made before answer `closed` from then on; functions are registered again, and nothing else is kept that
   * was not committed. Does nothing while all is well. A database in memory is lost: then this throws why.
   */
  async reopen(): Promise<void> {
    if (this.#closing !== undefined) throw new Diagnostic('closed', 'The database is closed.');
    const instance = this.#instance;
    if (instance.failure === undefined && instance.holdsLock() !== false) return;
    try {
      instance.mustHoldLock({ nowMs: this.#clock.monotonicMs(), atOnce: true });
    } catch {
      // It has failed by this.
    }
    await instance.replace(this.#clock);
  }

  /** While the disk is nearly full: no automatic checkpoints, which would stop DuckDB for want of room. The log grows instead. */
  async holdCheckpoints(held: boolean): Promise<void> {
    if (this.#closing === undefined) await this.#instance.holdCheckpoints(held);
  }

  /** Is DuckDB's lock on the file still ours? undefined where the system does not say. */
  holdsLock(): boolean | undefined {
    return this.#instance.holdsLock();
  }

  connect(options: { readonly progress?: boolean } = {}): Promise<NativeConnection> {
    const connection = this.#connect(options);
    // Closing waits for it: the client does not bear a connection that comes after the end of its instance.
    const settled: Promise<void> = connection
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        this.#connecting.delete(settled);
      });
    this.#connecting.add(settled);
    return connection;
  }

  async #connect(options: { readonly progress?: boolean }): Promise<NativeConnection> {
    if (this.#closing !== undefined) throw new Diagnostic('closed', 'The database is closed.');
    const instance = this.#instance;
    if (instance.failure !== undefined) throw instance.failure;
    try {
      const client = await instance.client.connect();
      const settings = options.progress === true ? 'SET enable_progress_bar = true; SET enable_progress_bar_print = false' : undefined;
      const greeting = [instance.greeting, settings].filter((text) => text !== undefined).join('; ');
      if (greeting !== '') await client.run(greeting);
      const connection = new NativeConnection(client, {
        clock: this.#clock,
        inspect: this.#inspect,
        path: instance.path,
        catalogue: instance.catalogue,
        volatileCalls: (id) => instance.volatileCalls.get(id) ?? 0,
        threads: instance.threads,
        failure: () => instance.failure,
        failed: (error) => instance.stoppedBy(error),
        mustHoldLock: (atOnce) => instance.mustHoldLock({ nowMs: this.#clock.monotonicMs(), atOnce }),
        leftRows: () => {
          instance.leftRows = true;
        },
        closed: () => {
          instance.volatileCalls.delete(connection.id);
          this.#connections.delete(connection);
        },
      });
      this.#connections.add(connection);
      return connection;
    } catch (error) {
      const diagnostic = duckdbDiagnostic(error);
      throw diagnostic.code === 'fatal' ? instance.stoppedBy(diagnostic) : diagnostic;
    }
  }

  /** Visible in every connection at once, also after `reopen`; a name and its parameters are registered once. */
  registerScalar(scalar: NativeScalar): void {
    this.#instance.register(scalar);
  }

  close(): Promise<void> {
    this.#closing ??= oneAfterAnother(async () => {
      await this.#endConnections();
      const { holders } = this.#instance;
      holders.delete(this.#holder);
      if (holders.size === 0) await this.#instance.close(this.#clock);
    });
    return this.#closing;
  }

  async #endConnections(): Promise<void> {
    await Promise.all(this.#connecting);
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }
}

function scalarFunction(scalar: NativeScalar, volatileCalls: Map<number, number>): DuckDBScalarFunction {
  return duckdb.DuckDBScalarFunction.create({
    name: scalar.name,
    parameterTypes: scalar.parameterTypes,
    returnType: scalar.returnType,
    volatile: scalar.volatile ?? false,
    specialHandling: scalar.nulls === 'handle',
    bindFunction: (info) => info.setBindData({ connection: Number(info.clientContext.connectionId) }),
    mainFunction: (info, input, output) => {
      try {
        const { connection } = info.bindData as { readonly connection: number };
        if (scalar.volatile === true) volatileCalls.set(connection, (volatileCalls.get(connection) ?? 0) + 1);
        scalar.call(input, output, connection);
        if (scalar.nulls === 'propagate') propagateNulls(input, output);
        output.flush();
      } catch (error) {
        info.setError(toldToDuckdb(error));
      }
    },
  });
}

/** DuckDB answers NULL by itself only where an argument is the constant NULL; over a column it calls us and keeps what we set. */
function propagateNulls(input: DuckDBDataChunk, output: DuckDBVector): void {
  const { rowCount } = input;
  for (let column = 0; column < input.columnCount; column += 1) {
    const vector = input.getColumnVector(column);
    // Reading every item only to see whether it is NULL took a microsecond a row. The client keeps the mask to itself.
    const mask = (vector as unknown as { readonly validity?: { itemValid(row: number): boolean } }).validity;
    for (let row = 0; row < rowCount; row += 1) {
      const isNull = mask === undefined ? vector.getItem(row) === null : !mask.itemValid(row);
      if (isNull) output.setItem(row, null);
    }
  }
}

/** How often an interrupt is repeated: one that arrives before DuckDB has begun the statement is forgotten by it. */
const interruptEveryMs = 10;

/** How long a lock that was seen is believed in, after statements that open no files themselves. */
const lookEveryMs = 20;

/** Statements that open files themselves. Through a view any may; then the lock is missed a moment later. */
const mayOpenFiles = /read_|_scan|scan_|parquet_|sniff_|st_read|\bcopy\b|\binstall\b|\bquery\b|\.(?:csv|tsv|parquet|json|duckdb|db)\b/i;

/** DuckDB's threads are counted by us, see threads.ts; who changes their number finds it as DuckDB has it. */
const setsThreads = /^\s*(?:set|reset|pragma)\b[^;]*threads/i;

/** As many rows as a chunk of DuckDB holds. */
const chunkRows = 2048;

/** Of each connection, those that come again: the ones that came last. */
const mostPrepared = 16;

/** What reads a table is planned anew each time, see the top. */
const readsTable = /\bfrom\b/i;

/** How many chunks are kept when a statement comes while rows of the one before are unread. */
const bufferedChunks = 128;

/** One turn on the connection: a statement, from its text to its answer or to its next rows. */
interface Operation {
  cancelled: boolean;
  /** The client is at work on what the caller asked for; otherwise an interrupt would hit somebody else's rows. */
  interruptible: boolean;
  /** So that after an error DuckDB must be asked where the transaction stands. */
  mayEndTransaction: boolean;
  /** The last rows of a stream were read: then it has closed what it had opened. */
  mayHaveRead: boolean;
  over: boolean;
}

interface Waiting {
  readonly operation: Operation;
  admit(): void;
  refuse(reason: Diagnostic): void;
}

interface ConnectionParts {
  readonly clock: Clock;
  readonly inspect: Inspect | undefined;
  readonly path: string;
  /** The name of the main database. */
  readonly catalogue: string;
  /** How often a connection has called a volatile function of ours. */
  volatileCalls(connection: number): number;
  readonly threads: Threads;
  /** Why the instance is dead. */
  failure(): Diagnostic | undefined;
  failed(error: Diagnostic): Diagnostic;
  /** Throws when DuckDB's lock on the file is gone; mostly it was looked at a moment ago. */
  mustHoldLock(atOnce: boolean): void;
  /** Rows were given up that keep the instance open until they are garbage. */
  leftRows(): void;
  closed(): void;
}

/** One connection: a session's or a run's transaction, settings and temporary tables. */
export class NativeConnection {
  readonly id: number;
  readonly #client: DuckDBConnection;
  readonly #parts: ConnectionParts;
  readonly #waiting: Waiting[] = [];
  #operation: Operation | undefined;
  /** Streams: DuckDB computes its rows as they are read, so any other statement would cut it short. */
  #open: StreamCursor | undefined;
  #fetching: { readonly cursor: StreamCursor; readonly operation: Operation } | undefined;
  #transaction: TransactionState = 'none';
  #closing: Promise<void> | undefined;
  /** Those that come again, the one that came last at the end. */
  readonly #prepared = new Map<string, DuckDBPreparedStatement>();

  constructor(client: DuckDBConnection, parts: ConnectionParts) {
    this.#client = client;
    this.#parts = parts;
    this.id = Number(client.clientContext.connectionId);
  }

  /** As DuckDB has it when the last statement had answered, however BEGIN or COMMIT were spelled. */
  get transaction(): TransactionState {
    return this.#transaction;
  }

  get inTransaction(): boolean {
    return this.#transaction !== 'none';
  }

  /** Why it is of no use any more: the database has stopped since it was made. Another one reaches what has been opened again. */
  get lost(): Diagnostic | undefined {
    return this.#parts.failure();
  }

  /** A statement is at work, or its rows are not all read. */
  get busy(): boolean {
    return this.#operation !== undefined || this.#open !== undefined;
  }

  /** Percent of the statement at work, if the connection was made with `progress` and DuckDB can tell. */
  progress(): number | undefined {
    if (this.#operation === undefined || this.#closing !== undefined) return undefined;
    const { percentage } = this.#client.progress;
    return percentage < 0 ? undefined : percentage;
  }

  /**
   * Runs ONE statement. (What DuckDB itself makes several of, such as PIVOT or IMPORT DATABASE, counts as one.) It waits for its
   * turn; if rows of the statement before are still unread they are kept aside for their reader first. The signal cancels it
   * until it has answered; from then on `cancel` of the cursor does.
   */
  query(sql: string, parameters?: NativeParameters, options: NativeQueryOptions = {}): Promise<NativeCursor> {
    return this.#turn(sql, options.signal, async (operation) => {
      const { threads } = this.#parts;
      if (setsThreads.test(sql)) await threads.widen();
      const cursor = await this.#query(sql, parameters, operation, options).finally(threads.begin());
      if (cursor.streaming) {
        this.#open = cursor;
        // Its rows are computed as they are read.
        cursor.onEnd(threads.begin());
      }
      return cursor;
    });
  }

  /** The same, read to its end: for the small answers that the engine asks for itself. */
  all(sql: string, parameters?: NativeParameters, { signal, again = false }: NativeQueryOptions = {}): Promise<NativeRows> {
    return this.#turn(sql, signal, async (operation) => {
      const cursor = await this.#query(sql, parameters, operation, { whole: true, again }).finally(this.#parts.threads.begin());
      const chunks: NativeChunk[] = [];
      for (let chunk = await cursor.next(); chunk !== undefined; chunk = await cursor.next()) chunks.push(chunk);
      return { columns: cursor.columns, chunks, rowsChanged: cursor.rowsChanged };
    });
  }

  /**
   * Runs a whole text in one call and drops its rows; answers how many rows its last statement changed. `leaves` says in which
   * state the text leaves the transaction when it succeeds; without it DuckDB is asked, which costs two small statements more,
   * where the text could have begun or ended one. After an error in a text with BEGIN, ROLLBACK is due.
   */
  run(sql: string, options: { readonly leaves?: 'none' | 'open'; readonly signal?: AbortSignal } = {}): Promise<number> {
    return this.#turn(sql, options.signal, async (operation) => {
      await this.#setAside(operation);
      operation.mayEndTransaction = mayEndTransaction.test(sql);
      // Texts that say how they leave the transaction are our own, and small.
      const { threads } = this.#parts;
      const ended = options.leaves === undefined ? threads.begin() : undefined;
      if (setsThreads.test(sql)) await threads.widen();
      try {
        const result = await this.#answer(operation, () => this.#client.run(sql)).finally(ended);
        if (options.leaves !== undefined) this.#transaction = options.leaves;
        else if (operation.mayEndTransaction) this.#transaction = await this.#askTransaction();
        return result.returnType === duckdb.ResultReturnType.CHANGED_ROWS ? result.rowsChanged : 0;
      } catch (error) {
        throw await this.#failure(error, sql, operation);
      }
    });
  }

  /**
   * What DuckDB's parser refuses in a text; undefined if it can be read. Nothing is bound or run, and an open transaction stays
   * as it is: but for PRAGMA and IMPORT DATABASE, which DuckDB looks up while it reads them, and which are not asked about.
   */
  syntaxError(sql: string): Promise<Diagnostic | undefined> {
    return this.#turn(sql, undefined, async (operation) => {
      if (looksUpWhileItReads.test(sql)) return undefined;
      await this.#setAside(operation);
      try {
        await this.#answer(operation, () => this.#client.extractStatements(sql));
        return undefined;
      } catch (error) {
        const diagnostic = duckdbDiagnostic(error, sql);
        return diagnostic.code === 'syntax_error' || diagnostic.code === 'unterminated' ? diagnostic : undefined;
      }
    });
  }

  /** Puts rows into a table without SQL, column by column. Only inside a transaction; they are there before this answers. */
  append(table: NativeTable, columns: readonly ArrayLike<DuckDBValue>[]): Promise<void> {
    return this.#turn('', undefined, async (operation) => {
      await this.#setAside(operation);
      if (this.#transaction !== 'open') {
        throw new Diagnostic('internal', `Rows were to be appended to ${table.schema}.${table.table} outside a transaction.`);
      }
      try {
        await appendColumns(this.#client, table, columns);
      } catch (error) {
        throw await this.#failure(error, undefined, operation);
      }
    });
  }

  /** The tables that a query reads, as it names them. Only while nothing runs: the client would block this thread until it ended. */
  tableNames(sql: string): readonly string[] {
    this.#mustBeOpen();
    if (this.busy) throw new Diagnostic('internal', 'The names of a query were asked for while another statement runs on the connection.');
    mustHoldNoNul(sql);
    try {
      return this.#client.getTableNames(sql, true);
    } catch (error) {
      throw duckdbDiagnostic(error, sql);
    }
  }

  /**
   * Ends the statement at work, and waits until it has answered (it may still succeed). Statements that wait are left alone, and
   * so is a cursor whose rows nobody is fetching: its own `cancel` ends it.
   */
  async interrupt(): Promise<void> {
    const operation = this.#operation;
    if (operation !== undefined) await this.#cancel(operation);
  }

  /** Ends everything; an open transaction is rolled back. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Made only for those who hear it: with its stack it costs more than the rest of an end in which all is done.
    const reason = (): Diagnostic => this.lost ?? new Diagnostic('closed', 'The connection was closed.');
    for (const waiting of this.#waiting.splice(0)) waiting.refuse(reason());
    await this.interrupt();
    const cursor = this.#open;
    this.#open = undefined;
    cursor?.end(reason());
    if (cursor !== undefined) await this.#release(cursor);
    // closeSync does it too, but not while rows that were given up are still in somebody's hands.
    if (this.#transaction !== 'none') await this.#client.run('ROLLBACK').catch(() => undefined);
    for (const statement of this.#prepared.values()) statement.destroySync();
    this.#prepared.clear();
    this.#client.closeSync();
    this.#transaction = this.lost !== undefined && this.#transaction !== 'none' ? 'aborted' : 'none';
    this.#parts.closed();
  }

  /** The operation stands from the call on, without a gap: an interrupt or a close that comes at once must find it. */
  async #turn<T>(sql: string, signal: AbortSignal | undefined, work: (operation: Operation) => Promise<T>): Promise<T> {
    mustHoldNoNul(sql);
    this.#mustBeOpen();
    if (signal?.aborted === true) throw cancelled();
    const operation: Operation = { cancelled: false, interruptible: false, mayEndTransaction: false, mayHaveRead: false, over: false };
    if (this.#operation === undefined) this.#operation = operation;
    else await this.#wait(operation, signal);
    const abort = () => void this.#cancel(operation);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.#mustLive();
      return await work(operation).finally(() => this.#mustHoldLock(operation.mayHaveRead || mayOpenFiles.test(sql)));
    } catch (error) {
      // Ended because the file is to be opened again, not because anybody wanted this statement to end.
      throw error instanceof Diagnostic && error.code === 'cancelled' ? (this.lost ?? error) : error;
    } finally {
      operation.over = true;
      signal?.removeEventListener('abort', abort);
      const next = this.#waiting.shift();
      this.#operation = next?.operation;
      next?.admit();
    }
  }

  async #wait(operation: Operation, signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(cancelled());
      };
      const waiting: Waiting = {
        operation,
        admit: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
        refuse: (reason) => {
          signal?.removeEventListener('abort', abort);
          reject(reason);
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.push(waiting);
    });
  }

  /** DuckDB would say so itself, each time in other words. */
  #mustLive(): void {
    const failure = this.#parts.failure();
    if (failure === undefined) return;
    if (this.#transaction === 'open') this.#transaction = 'aborted';
    throw failure;
  }

  #mustHoldLock(atOnce: boolean): void {
    try {
      this.#parts.mustHoldLock(atOnce);
    } catch (error) {
      if (this.#transaction === 'open') this.#transaction = 'aborted';
      throw error;
    }
  }

  #mustBeOpen(): void {
    if (this.#closing === undefined) return;
    if (this.lost === undefined) throw new Diagnostic('closed', 'The connection is closed.');
    throw new Diagnostic('closed', `The connection ended with the error that stopped the database: ${this.lost.message}`, {
      hint: 'Make another one: what was committed is in the file.',
    });
  }

  async #cancel(operation: Operation): Promise<void> {
    operation.cancelled = true;
    while (!operation.over) {
      if (operation.interruptible || this.#closing !== undefined) this.#client.interrupt();
      await this.#parts.clock.sleep(interruptEveryMs);
    }
  }

  /** One call of the client. Between two of them there is nothing to interrupt, so the wish is looked at here. */
  async #answer<T>(operation: Operation, call: () => Promise<T>): Promise<T> {
    if (operation.cancelled) throw cancelled();
    operation.interruptible = true;
    const ended = interruptAtEnd(this.#client);
    try {
      return await call();
    } finally {
      ended();
      operation.interruptible = false;
    }
  }

  async #query(
    sql: string,
    parameters: NativeParameters | undefined,
    operation: Operation,
    options: Pick<NativeQueryOptions, 'whole' | 'again'>,
  ): Promise<StreamCursor> {
    await this.#setAside(operation);
    const volatileCalls = this.#volatileCalls();
    const atOnce = parameters === undefined && answersAtOnce.test(sql);
    try {
      await this.#parts.inspect?.({ text: sql, parameters, texts: (text, values) => this.#texts(text, values, operation) });
      if (/checkpoint/i.test(sql)) await this.#mustHaveCurrentDatabase();
      const result = atOnce ? await this.#runAtOnce(sql, operation) : await this.#execute(sql, parameters, operation, options);
      const { statementType } = result;
      const cursor = new StreamCursor(this, result, { sql, parameters, volatileCalls });
      if (statementType === duckdb.StatementType.TRANSACTION) {
        // BEGIN fails inside a transaction, COMMIT and ROLLBACK outside: what succeeds always changes the state.
        this.#transaction = this.#transaction === 'none' ? 'open' : 'none';
      } else if (statementType === duckdb.StatementType.EXPLAIN && /analy[sz]e/i.test(sql)) {
        // EXPLAIN ANALYZE COMMIT commits. Its rows are few and must not be cut off by the question.
        while (!cursor.ended) await cursor.read();
        this.#transaction = await this.#askTransaction();
      }
      return cursor;
    } catch (error) {
      throw await this.#failure(error, sql, operation);
    }
  }

  async #texts(sql: string, parameters: NativeParameters, operation: Operation): Promise<readonly string[]> {
    try {
      const statement = await this.#answer(operation, () => this.#client.prepare(sql));
      try {
        bind(statement, parameters);
        const answer = await this.#answer(operation, () => statement.runAndReadAll());
        const texts: string[] = [];
        // Every text wherever it is nested.
        JSON.stringify(answer.getRowsJson()[0] ?? [], (_, value: unknown) => (typeof value === 'string' ? texts.push(value) : value));
        return texts;
      } finally {
        statement.destroySync();
      }
    } catch (error) {
      throw duckdbDiagnostic(error);
    }
  }

  /** One call of the client instead of two: a quarter of the time of a small statement. */
  #runAtOnce(sql: string, operation: Operation): Promise<DuckDBResult> {
    operation.mayEndTransaction = mayEndTransaction.test(sql);
    return this.#answer(operation, () => this.#client.run(sql));
  }

  async #execute(
    sql: string,
    parameters: NativeParameters | undefined,
    operation: Operation,
    { whole = false, again = false }: Pick<NativeQueryOptions, 'whole' | 'again'>,
  ): Promise<DuckDBResult> {
    const prepared = again ? this.#prepared.get(sql) : undefined;
    const statement = prepared ?? (await this.#prepare(sql, operation)) ?? (await this.#prepareLast(sql, operation));
    this.#prepared.delete(sql);
    let isGood = false;
    try {
      const { statementType } = statement;
      if (statementType === duckdb.StatementType.TRANSACTION || statementType === duckdb.StatementType.EXPLAIN)
        operation.mayEndTransaction = true;
      if (statementType === duckdb.StatementType.DETACH) this.#mustNotDetachMain(sql);
      if (statementType === duckdb.StatementType.ATTACH) this.#mustNotAttachOpen(sql);
      bind(statement, parameters);
      const result = await this.#answer(operation, () => (whole ? statement.run() : statement.stream()));
      isGood = statementType === duckdb.StatementType.INSERT && !readsTable.test(sql);
      return result;
    } finally {
      if (again && isGood) this.#keep(sql, statement);
      else statement.destroySync();
    }
  }

  /** DuckDB itself plans it anew where the catalogue has changed meanwhile. */
  #keep(sql: string, statement: DuckDBPreparedStatement): void {
    this.#prepared.set(sql, statement);
    if (this.#prepared.size <= mostPrepared) return;
    const [[oldest, least] = []] = this.#prepared;
    if (oldest !== undefined) this.#prepared.delete(oldest);
    least?.destroySync();
  }

  /** undefined: DuckDB makes several statements of this one. */
  async #prepare(sql: string, operation: Operation): Promise<DuckDBPreparedStatement | undefined> {
    try {
      return await this.#answer(operation, () => this.#client.prepare(sql));
    } catch (error) {
      const message = error instanceof Error ? error.message : '';
      if (message.includes('Cannot prepare multiple statements')) return undefined;
      throw message.includes('No statement to prepare') ? noStatement(error) : error;
    }
  }

  async #prepareLast(sql: string, operation: Operation): Promise<DuckDBPreparedStatement> {
    operation.mayEndTransaction = true;
    const statements = await this.#answer(operation, () => this.#client.extractStatements(sql));
    for (let index = 0; index < statements.count - 1; index += 1) {
      const statement = await this.#answer(operation, () => statements.prepare(index));
      try {
        await this.#answer(operation, () => statement.run());
        if (statement.statementType === duckdb.StatementType.TRANSACTION) this.#transaction = await this.#askTransaction();
      } finally {
        statement.destroySync();
      }
    }
    return await this.#answer(operation, () => statements.prepare(statements.count - 1));
  }

  /** Rows that a reader has not taken yet would be lost with the next statement. */
  async #setAside(operation: Operation): Promise<void> {
    const cursor = this.#open;
    if (cursor === undefined) return;
    while (!cursor.ended && cursor.kept < bufferedChunks && !operation.cancelled) await this.#read(cursor, operation);
    if (cursor.ended) {
      this.#open = undefined;
      if (cursor.givenUp) this.#forget(cursor);
      return;
    }
    if (operation.cancelled) throw cancelled();
    throw new Diagnostic(
      'too_busy',
      `The rows of the statement before are still being read, and more than ${(bufferedChunks * chunkRows).toLocaleString('en-US')} are left.`,
      { hint: 'Read them to the end or cancel that statement first; or use another session.' },
    );
  }

  /** For the cursor that is open: its next rows, in its turn. */
  fetch(cursor: StreamCursor): Promise<void> {
    return this.#turn('', undefined, async (operation) => {
      if (!cursor.isAwaited) return;
      this.#fetching = { cursor, operation };
      operation.interruptible = true;
      const ended = interruptAtEnd(this.#client);
      await this.#read(cursor, operation).finally(ended);
      this.#fetching = undefined;
      operation.mayHaveRead = cursor.ended && mayOpenFiles.test(cursor.sql);
      // One that is being given up is dropped in a turn of its own.
      if (cursor.ended && !cursor.givenUp && this.#open === cursor) this.#open = undefined;
    });
  }

  /** One chunk more for the cursor; what goes wrong is told to its reader. */
  async #read(cursor: StreamCursor, operation: Operation): Promise<void> {
    try {
      await cursor.read();
    } catch (error) {
      const cancelledItself = operation.cancelled && operation.interruptible;
      operation.interruptible = false;
      const reason = cancelledItself ? cancelled() : error instanceof UnknownReason ? await this.#findReason(cursor, operation) : error;
      cursor.end(await this.#failure(reason, cursor.sql, operation));
    }
  }

  /**
   * DuckDB keeps the error of a stream to itself: the client sees that there was one and no more. Outside a transaction the
   * statement is run again, without its rows, to hear the reason; not if that could do anything twice.
   */
  async #findReason(cursor: StreamCursor, operation: Operation): Promise<Diagnostic> {
    const unknown = new Diagnostic('internal', 'The statement failed while its rows were being read, and DuckDB does not say why.', {
      hint: 'The rows so far are not all. Run it as CREATE TEMP TABLE .. AS .. to see the reason.',
    });
    const doesMore = /nextval/i.test(cursor.sql) || cursor.volatileCalls !== this.#volatileCalls();
    if (cursor.statementType !== 'SELECT' || this.#transaction !== 'none' || doesMore) return unknown;
    const before = 'SELECT bit_xor(hash(each_row)) FROM (';
    const again = `${before}${cursor.sql.replace(/;\s*$/, '')}\n) each_row`;
    let statement: DuckDBPreparedStatement | undefined;
    try {
      statement = await this.#client.prepare(again);
      bind(statement, cursor.parameters);
      const prepared = statement;
      await this.#answer(operation, () => prepared.run());
      return unknown;
    } catch (error) {
      return duckdbDiagnostic(error, again).movedBy((offset) => Math.max(offset - before.length, 0));
    } finally {
      statement?.destroySync();
    }
  }

  /**
   * Makes DuckDB forget a cursor that has been ended. An interrupt would abort the user's transaction, so inside one it is used
   * only while rows are being fetched; else any other statement makes DuckDB drop the stream, and preparing one is enough. (What
   * the client has of it stays, until it is garbage.)
   */
  async drop(cursor: StreamCursor): Promise<void> {
    if (this.#closing !== undefined || this.#open !== cursor) return;
    if (this.#fetching?.cursor === cursor) await this.#cancel(this.#fetching.operation);
    await this.#turn('', undefined, async () => {
      if (this.#open !== cursor) return;
      this.#open = undefined;
      if (this.#transaction === 'none') return await this.#release(cursor);
      const statement = await this.#client.prepare('SELECT 1').catch(() => undefined);
      statement?.destroySync();
      this.#forget(cursor);
    });
  }

  #forget(cursor: StreamCursor): void {
    cursor.forget();
    this.#parts.leftRows();
  }

  /** Gives the rows of a cursor that has ended back to DuckDB: those it has computed ahead are read, the rest is interrupted. */
  async #release(cursor: StreamCursor): Promise<void> {
    const operation: Operation = { cancelled: true, interruptible: true, mayEndTransaction: false, mayHaveRead: false, over: false };
    void this.#cancel(operation);
    await cursor.readAway();
    operation.over = true;
  }

  /** Makes the Diagnostic, and finds out what the error has done to the transaction: DuckDB is asked, no list of errors is kept. */
  async #failure(error: unknown, sql: string | undefined, { mayEndTransaction }: Operation): Promise<Diagnostic> {
    const diagnostic = duckdbDiagnostic(error, sql);
    if (diagnostic.code === 'fatal' || (diagnostic.code === 'internal' && (await this.#isDead()))) {
      if (this.#transaction === 'open') this.#transaction = 'aborted';
      const { message, hint } = this.#parts.failed(diagnostic);
      // DuckDB's own error has a trace of its machine code in it.
      return new Diagnostic('fatal', message, { span: diagnostic.span, hint });
    } else if (mayEndTransaction) {
      this.#transaction = await this.#askTransaction();
    } else if (this.#transaction === 'open' && (await this.#isAborted())) {
      this.#transaction = 'aborted';
    }
    return diagnostic;
  }

  /** Inside a transaction the id stays the same; outside each statement has its own. */
  async #askTransaction(): Promise<TransactionState> {
    if (await this.#isAborted()) return 'aborted';
    const first = await this.#transactionId();
    const second = await this.#transactionId();
    return first === second ? 'open' : 'none';
  }

  #volatileCalls(): number {
    return this.#parts.volatileCalls(this.id);
  }

  async #isAborted(): Promise<boolean> {
    return await this.#client.run('SELECT 1').then(
      () => false,
      () => true,
    );
  }

  /** An internal error of DuckDB's takes the whole instance with it. */
  async #isDead(): Promise<boolean> {
    return await this.#client.run('SELECT 1').then(
      () => false,
      (error: unknown) => duckdbDiagnostic(error).code === 'fatal',
    );
  }

  async #transactionId(): Promise<bigint | undefined> {
    try {
      const answer = await this.#client.runAndReadAll('SELECT system.main.txid_current()');
      const id = answer.getRows()[0]?.[0];
      return typeof id === 'bigint' ? id : undefined;
    } catch {
      return undefined;
    }
  }

  /** Every other connection would fail from then on, and what is stored since the last checkpoint could not be written. */
  #mustNotDetachMain(sql: string): void {
    const names = [...sql.matchAll(/"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*/gu)].map(([name]) =>
      name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name,
    );
    if (!names.some((name) => name.toLowerCase() === this.#parts.catalogue.toLowerCase())) return;
    throw new Diagnostic('forbidden', `The main database ${this.#parts.catalogue} cannot be detached: everybody here uses it.`, {
      hint: 'Leave it attached; USE another one where another should be the default.',
    });
  }

  /** A file that another database of this process has open: DuckDB does not see it, and DETACH would drop the other's lock. */
  #mustNotAttachOpen(sql: string): void {
    for (const [, text = ''] of sql.matchAll(/'((?:[^']|'')*)'/g)) {
      const path = text.replaceAll("''", "'");
      if (!isKeptClosed(path) || fileIdentity(path) === fileIdentity(this.#parts.path)) continue;
      throw new Diagnostic('in_use', `"${path}" is open in this process as a database of its own, so it cannot be attached.`, {
        hint: 'Send the statements to that database, or close it first.',
      });
    }
  }

  /** CHECKPOINT without a name ends the whole process if somebody has detached this connection's current database. */
  async #mustHaveCurrentDatabase(): Promise<void> {
    try {
      await this.#client.run('SELECT current_database()');
    } catch (error) {
      throw noCurrentDatabase(error);
    }
  }
}

export interface NativeTable {
  readonly schema: string;
  readonly table: string;
  readonly catalogue?: string;
}

async function appendColumns(
  connection: DuckDBConnection,
  { table, schema, catalogue }: NativeTable,
  columns: readonly ArrayLike<DuckDBValue>[],
): Promise<void> {
  const appender = await connection.createAppender(table, schema, catalogue);
  try {
    const rowCount = columns[0]?.length ?? 0;
    const { columnCount } = appender;
    if (columns.length !== columnCount || columns.some((column) => column.length !== rowCount)) {
      throw new Diagnostic(
        'internal',
        `${schema}.${table} has ${columnCount} columns; ${columns.length} were given, the first with ${rowCount} rows.`,
      );
    }
    const types = Array.from({ length: columnCount }, (_, index) => appender.columnType(index));
    for (let start = 0; start < rowCount; start += chunkRows) {
      const chunk = duckdb.DuckDBDataChunk.create(types, Math.min(chunkRows, rowCount - start));
      columns.forEach((column, index) => {
        const vector = chunk.getColumnVector(index);
        for (let row = 0; row < chunk.rowCount; row += 1) vector.setItem(row, column[start + row] ?? null);
        vector.flush();
      });
      appender.appendDataChunk(chunk);
    }
  } catch (error) {
    appender.clear();
    appender.closeSync();
    throw error;
  }
  // What is not flushed is not part of the COMMIT, and would be committed by itself later. Inside a transaction this is memory only.
  appender.closeSync();
}

/**
 * Statements that answer with a count or nothing, without parameters, and surely one. (Rows that they RETURN are all computed before
 * they answer.) Whatever is not recognized takes the longer way.
 */
const answersAtOnce =
  /^\s*(?:insert|update|delete|merge|truncate|create|alter|drop|begin|start|commit|end|rollback|abort|set|reset|comment)\b[^;?$]*;?\s*$/i;

/** Behind comments too. */
const looksUpWhileItReads = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*(?:PRAGMA|IMPORT)\b/i;
/** Words without which a text can neither begin nor end a transaction. */
const mayEndTransaction = /\b(?:begin|start|commit|end|rollback|abort|import|analy[sz]e)\b/i;

function noCurrentDatabase(error: unknown): Diagnostic {
  return new Diagnostic('undefined_object', "The session's current database has been detached.", {
    hint: 'USE another one first.',
    cause: error,
  });
}

function noStatement(error: unknown): Diagnostic {
  return new Diagnostic('syntax_error', 'There is no statement in this text.', { cause: error });
}

/** What stopped the database, where the error only tells that it has been stopped. */
function originalOf({ message, cause }: Diagnostic): string {
  const original = /Original error: \\?"((?:[^"\\]|\\[^"])*)/.exec(cause instanceof Error ? cause.message : '')?.[1];
  return original ?? message;
}

function cancelled(): Diagnostic {
  return new Diagnostic('cancelled', 'The statement was cancelled.');
}

function mustHoldNoNul(sql: string): void {
  const start = sql.indexOf('\0');
  if (start < 0) return;
  throw new Diagnostic('invalid_encoding', 'A statement cannot hold the character NUL (U+0000).', {
    span: { start, end: start + 1 },
    hint: 'Remove it, or write chr(0) in SQL.',
  });
}

/** DuckDB has ended a stream because of an error, and does not tell which. */
class UnknownReason extends Error {}

interface CursorParts {
  readonly sql: string;
  readonly parameters: NativeParameters | undefined;
  /** How many there were before the statement. */
  readonly volatileCalls: number;
}

/** The answer of one statement: what was set aside first, then what DuckDB still has. */
class StreamCursor implements NativeCursor {
  readonly sql: string;
  readonly parameters: NativeParameters | undefined;
  readonly volatileCalls: number;
  readonly statementType: string;
  readonly returnType: 'rows' | 'changed' | 'nothing';
  readonly rowsChanged: number;
  /** Its rows are computed as they are read, so another statement would cut them short. */
  readonly streaming: boolean;
  readonly #connection: NativeConnection;
  /** Until it is forgotten. */
  #result: DuckDBResult | undefined;
  readonly #aside: NativeChunk[] = [];
  readonly #readers: { give(chunk: NativeChunk | undefined): void; refuse(error: Diagnostic): void }[] = [];
  #columns: readonly NativeColumn[] | undefined;
  #computedRead = 0;
  #ended: boolean;
  #givenUp = false;
  #failure: Diagnostic | undefined;
  #tellEnd: () => void = () => {};

  constructor(connection: NativeConnection, result: DuckDBResult, { sql, parameters, volatileCalls }: CursorParts) {
    this.#connection = connection;
    this.#result = result;
    this.sql = sql;
    this.parameters = parameters;
    this.volatileCalls = volatileCalls;
    this.statementType = duckdb.StatementType[result.statementType] ?? 'INVALID';
    this.returnType = returnTypeOf(result);
    this.rowsChanged = this.returnType === 'changed' ? result.rowsChanged : 0;
    this.#ended = this.returnType !== 'rows';
    this.streaming = !this.#ended && result.isStreaming;
  }

  get columns(): readonly NativeColumn[] {
    const result = this.returnType === 'rows' ? this.#result : undefined;
    this.#columns ??= Array.from({ length: result?.columnCount ?? 0 }, (_, index) => ({
      name: result?.columnName(index) ?? '',
      type: result?.columnType(index) ?? duckdb.ANY,
    }));
    return this.#columns;
  }

  async next(): Promise<NativeChunk | undefined> {
    const chunk = this.#aside.shift();
    if (chunk !== undefined) return chunk;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#ended) return undefined;
    if (!this.streaming) return await this.#fetch();
    // Whoever comes first serves this reader: its own turn, or a statement that sets the rows aside.
    return await new Promise((give, refuse) => {
      this.#readers.push({ give, refuse });
      this.#connection.fetch(this).catch((error) => this.end(duckdbDiagnostic(error)));
    });
  }

  async cancel(): Promise<void> {
    this.#aside.length = 0;
    this.#givenUp ||= !this.#ended;
    this.end(undefined);
    // One that was read to its end has let go already; to interrupt its last turn would only wait for nothing.
    if (this.streaming && this.#givenUp) await this.#connection.drop(this);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Called once, when it has ended. */
  onEnd(tell: () => void): void {
    this.#tellEnd = tell;
  }

  /** Ended by whoever had it, before DuckDB was at its end. */
  get givenUp(): boolean {
    return this.#givenUp;
  }

  get isAwaited(): boolean {
    return this.#readers.length > 0;
  }

  /** How many chunks wait for a reader. */
  get kept(): number {
    return this.#aside.length;
  }

  /** Within a turn of the connection: one chunk more, to the reader that waits or aside. */
  async read(): Promise<void> {
    const chunk = await this.#fetch();
    if (this.#ended) return;
    if (chunk === undefined) return this.end(undefined);
    const reader = this.#readers.shift();
    if (reader === undefined) this.#aside.push(chunk);
    else reader.give(chunk);
  }

  /** Reads what is left, for nobody, to its end or to an error: only so does DuckDB let go of it. */
  async readAway(): Promise<void> {
    const result = this.#result;
    this.forget();
    try {
      for (let chunk = await result?.fetchChunk(); (chunk?.rowCount ?? 0) > 0; ) chunk = await result?.fetchChunk();
    } catch {
      // The interrupt.
    }
  }

  /** From here on only the garbage collector stands between DuckDB and its rows. */
  forget(): void {
    // What a reader may still ask.
    this.#columns = this.columns;
    this.#result = undefined;
  }

  async #fetch(): Promise<NativeChunk | undefined> {
    if (this.#result === undefined) return undefined;
    if (this.#result instanceof duckdb.DuckDBMaterializedResult) return this.#nextComputed(this.#result);
    const chunk = await this.#result.fetchChunk();
    if (chunk !== null && chunk.rowCount > 0) return chunk;
    // The client ends a stream that has failed like one that is done; only the result knows.
    if (this.streaming && this.#result.returnType === duckdb.ResultReturnType.INVALID) throw new UnknownReason();
    return undefined;
  }

  /** Rows that are there already need no thread. */
  #nextComputed(result: DuckDBMaterializedResult): NativeChunk | undefined {
    if (this.#computedRead >= result.chunkCount) return undefined;
    this.#computedRead += 1;
    return result.getChunk(this.#computedRead - 1);
  }

  /** Nothing more will come; readers that wait hear why. */
  end(failure: Diagnostic | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#tellEnd();
    for (const reader of this.#readers.splice(0)) {
      if (failure === undefined) reader.give(undefined);
      else reader.refuse(failure);
    }
  }
}

function returnTypeOf(result: DuckDBResult): 'rows' | 'changed' | 'nothing' {
  switch (result.returnType) {
    case duckdb.ResultReturnType.QUERY_RESULT:
      // CHECKPOINT answers no row of one column called Success.
      return !result.isStreaming &&
        result.columnCount === 1 &&
        result.columnName(0) === 'Success' &&
        result.statementType === duckdb.StatementType.CALL
        ? 'nothing'
        : 'rows';
    case duckdb.ResultReturnType.CHANGED_ROWS:
      return 'changed';
    case duckdb.ResultReturnType.NOTHING:
    case duckdb.ResultReturnType.INVALID:
      return 'nothing';
  }
}

/** Each parameter of the statement gets exactly one value; DuckDB itself would abort the transaction over a missing one. */
function bind(statement: DuckDBPreparedStatement, parameters: NativeParameters | undefined): void {
  const count = statement.parameterCount;
  if (count === 0 && parameters === undefined) return;
  const given = parameters ?? [];
  if (isList(given)) {
    if (given.length !== count) throw wrongCount(statement, given.length);
    given.forEach((parameter, index) => {
      bindOne(statement, index + 1, `$${index + 1}`, parameter);
    });
    return;
  }
  const byName = new Map(Object.entries(given).map(([name, parameter]) => [name.toLowerCase(), { name, parameter }]));
  const wanted = Array.from({ length: count }, (_, index) => statement.parameterName(index + 1));
  wanted.forEach((name, index) => {
    const entry = byName.get(name.toLowerCase());
    if (entry === undefined) {
      throw new Diagnostic('undefined_parameter', `The parameter $${name} has no value.`, {
        hint: `Given: ${listed(Object.keys(given))}.`,
      });
    }
    byName.delete(name.toLowerCase());
    bindOne(statement, index + 1, `$${name}`, entry.parameter);
  });
  const [extra] = byName.values();
  if (extra !== undefined) {
    throw new Diagnostic('undefined_parameter', `The statement has no parameter $${extra.name}.`, {
      hint: `Its parameters: ${listed(wanted)}.`,
    });
  }
}

function isList(parameters: NativeParameters): parameters is readonly NativeParameter[] {
  return Array.isArray(parameters);
}

function wrongCount(statement: DuckDBPreparedStatement, given: number): Diagnostic {
  const count = statement.parameterCount;
  const plural = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;
  const names = Array.from({ length: count }, (_, index) => nameOf(statement, index + 1));
  return new Diagnostic(
    'undefined_parameter',
    `The statement has ${plural(count, 'parameter')}; ${plural(given, 'value')} ${given === 1 ? 'was' : 'were'} given.`,
    {
      hint: count === 0 ? 'Write ? or $name where a value belongs.' : `Its parameters: ${listed(names)}.`,
    },
  );
}

/** `$1, $3` counts two parameters, but the client cannot name the second. */
function nameOf(statement: DuckDBPreparedStatement, index: number): string {
  try {
    return statement.parameterName(index);
  } catch {
    return String(index);
  }
}

function bindOne(statement: DuckDBPreparedStatement, index: number, name: string, { value, type }: NativeParameter): void {
  try {
    if (value === null) statement.bindNull(index);
    else statement.bindValue(index, value, type);
  } catch (error) {
    throw cannotBind(name, error);
  }
}

function cannotBind(name: string, error: unknown): Diagnostic {
  const reason = error instanceof Error ? error.message : String(error);
  return new Diagnostic('wrong_type', `The value of the parameter ${name} cannot be given to DuckDB: ${reason}`, { cause: error });
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `$${name}`).join(', ');
}
