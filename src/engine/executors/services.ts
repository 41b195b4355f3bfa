// What a task may use beside its own values: a log, the database, HTTP. All of it ends with the run: what is still asked for then is
// interrupted, and what is asked for later is refused, so that nothing which the work has left behind goes on unseen.

import { setMaxListeners } from 'node:events';
import { Diagnostic } from '../../core/diagnostic.ts';
import { split } from '../../parser/split.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Admission } from '../admission.ts';
import { callOf } from '../calls.ts';
import { guardBody } from '../guard.ts';
import { Catalogue } from '../store/duckdb/catalogue.ts';
import { Connection, nativeParameters, type Parameters, Typed } from '../store/duckdb/connection.ts';
import { rememberTransaction } from '../store/duckdb/fence.ts';
import { literal } from '../store/duckdb/literal.ts';
import type { NativeDatabase } from '../store/duckdb/native.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import { readColumns, sqlType } from '../store/duckdb/values.ts';
import { jsonOf, toParameter } from '../value.ts';
import type { Http, Logger, Services, TaskDatabase, TaskLine, TaskRow } from './executor.ts';
import { openHttp } from './http.ts';
import { loggerOf } from './logger.ts';
import { type Bindings, bindArguments, callProcedure, noRun } from './statements.ts';

export interface ServiceParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly admission: Admission;
  readonly clock: Clock;
  /** The schedule's: what `current_date` means, as in the SQL of a run. */
  readonly zone: string;
  /** Ends what is at work. */
  readonly signal: AbortSignal;
  log(line: TaskLine): void;
}

export interface OpenServices {
  readonly services: Services;
  /** With a transaction that is open, where the task has begun one. Throws where one of its statements failed: nothing of it may be kept. */
  transaction(): Promise<Connection | undefined>;
  /** Safe to call twice. */
  close(): Promise<void>;
}

export function openServices(parts: ServiceParts): OpenServices {
  const own = new TaskServices(parts);
  return { services: own, transaction: () => own.transaction(), close: () => own.close() };
}

/** Rows go to a handler as they are, so that the process that schedules holds them all for a moment. */
const mostRows = 100_000;
const mostCharacters = 64_000_000;

/** Made as little of as is used: a function in this process costs microseconds. */
class TaskServices implements Services {
  readonly logger: Logger;
  readonly #parts: ServiceParts;
  #database: Database | undefined;
  #http: Http | undefined;
  #ending: AbortController | undefined;
  #closed = false;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    this.logger = loggerOf((line) => {
      if (!this.#closed) parts.log(line);
    });
  }

  get database(): TaskDatabase {
    this.#database ??= new Database(this.#parts, this.#untilEnd());
    return this.#database.face;
  }

  get http(): Http {
    this.#http ??= openHttp({ clock: this.#parts.clock, signal: this.#untilEnd() });
    return this.#http;
  }

  async transaction(): Promise<Connection | undefined> {
    return this.#database?.transaction();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ending?.abort();
    await this.#database?.close();
  }

  /** Aborted when the run is told to end, and when it has ended. */
  #untilEnd(): AbortSignal {
    if (this.#ending === undefined) {
      const ending = new AbortController();
      const { signal } = this.#parts;
      if (this.#closed || signal.aborted) ending.abort();
      else signal.addEventListener('abort', () => ending.abort(), { once: true, signal: ending.signal });
      setMaxListeners(0, ending.signal);
      this.#ending = ending;
    }
    return this.#ending.signal;
  }
}

class Database {
  readonly face: TaskDatabase;
  readonly #parts: ServiceParts;
  readonly #signal: AbortSignal;
  readonly #atWork = new Set<Promise<unknown>>();
  /** The run's own transaction, once it was asked for. */
  #own: Promise<Connection> | undefined;
  /** Its statements follow one another. */
  #last: Promise<unknown> = Promise.resolve();
  /** The error of the first statement of it that failed. */
  #spoiled: unknown;
  #isSpoiled = false;

  constructor(parts: ServiceParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.face = {
      query: (sql, values) => this.#counted(() => this.#query(sql, values)),
      transaction: { query: (sql, values) => this.#counted(() => this.#queryInTransaction(sql, values)) },
    };
  }

  async transaction(): Promise<Connection | undefined> {
    if (this.#own === undefined) return undefined;
    await this.#last.catch(() => undefined);
    if (this.#isSpoiled) throw spoiled(this.#spoiled);
    return this.#own;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#atWork);
    const connection = await this.#own?.catch(() => undefined);
    await connection?.rollback();
    await connection?.close();
  }

  #counted<T>(work: () => Promise<T>): Promise<T> {
    const working = work();
    this.#atWork.add(working);
    const done = (): boolean => this.#atWork.delete(working);
    working.then(done, done);
    return working;
  }

  async #query(sql: unknown, values: Parameters | undefined): Promise<TaskRow[]> {
    const text = oneStatement(sql);
    this.#mustGoOn();
    return this.#admitted(async () => {
      const connection = await this.#connect();
      try {
        return await this.#perform(connection, text, values);
      } finally {
        await connection.close();
      }
    });
  }

  async #queryInTransaction(sql: unknown, values: Parameters | undefined): Promise<TaskRow[]> {
    const before = this.#last;
    const answer = (async () => {
      await before.catch(() => undefined);
      if (this.#isSpoiled) throw spoiled(this.#spoiled);
      try {
        const text = oneStatement(sql);
        this.#mustGoOn();
        return await this.#admitted(async () => {
          this.#own ??= this.#begin();
          return this.#perform(await this.#own, text, values);
        });
      } catch (error) {
        this.#isSpoiled = true;
        this.#spoiled = error;
        throw error;
      }
    })();
    this.#last = answer;
    return answer;
  }

  async #perform(connection: Connection, text: string, values: Parameters | undefined): Promise<TaskRow[]> {
    return (await this.#call(connection, text, values)) ?? (await rowsOf(connection, text, values, this.#signal));
  }

  /** CALL of one of our procedures: undefined where the statement is none. */
  async #call(connection: Connection, text: string, values: Parameters | undefined): Promise<TaskRow[] | undefined> {
    const call = callOf(text);
    if (call === undefined) return undefined;
    const { sql } = this.#parts;
    const working = connection.until(this.#signal);
    const catalogue = new Catalogue(working, sql);
    const routine = (await catalogue.routine(call.name.text))?.routine;
    if (routine?.kind !== 'procedure') return undefined;
    const perform = async (): Promise<TaskRow[]> => {
      const bindings = await bindArguments(routine, call.arguments, new Map([...noRun, ...bindingsOf(values)]), working);
      const { columns, rows } = await callProcedure(routine, bindings, { connection: working, catalogue, sql, calls: [] });
      return rows.map((row) => Object.fromEntries(columns.map((column, at) => [column.name, jsonOf(row[at] ?? null, column.type)])));
    };
    return routine.atomic && connection.transaction === 'none' ? connection.transact(perform) : perform();
  }

  #admitted<T>(work: () => Promise<T>): Promise<T> {
    return this.#parts.admission.run('run', work, this.#signal);
  }

  async #connect(): Promise<Connection> {
    const connection = new Connection(await this.#parts.database.connect());
    await connection.send(`SET TimeZone = ${literal(this.#parts.zone)}`, 'none');
    return connection;
  }

  async #begin(): Promise<Connection> {
    const connection = await this.#connect();
    await connection.send(`BEGIN; ${rememberTransaction}`, 'open');
    return connection;
  }

  #mustGoOn(): void {
    if (this.#signal.aborted) throw new Diagnostic('cancelled', 'the run has ended, and with it what it may use');
  }
}

/** The same rules as for the text of a body. */
function oneStatement(sql: unknown): string {
  if (typeof sql !== 'string') throw new Diagnostic('usage', `a statement is a text, not a ${typeof sql}`, { hint: "query('SELECT 1')" });
  const [first, second] = split(sql).statements;
  if (first === undefined) throw new Diagnostic('syntax_error', 'there is no statement in this text');
  if (second !== undefined) {
    throw new Diagnostic('syntax_error', 'a second statement follows', {
      span: { start: second.start, end: second.end },
      hint: 'give one statement at a time; transaction.query makes several one',
    });
  }
  const refused = guardBody(sql);
  if (refused !== undefined) throw refused;
  return sql;
}

async function rowsOf(connection: Connection, sql: string, values: Parameters | undefined, signal: AbortSignal): Promise<TaskRow[]> {
  const cursor = await connection.native.query(sql, nativeParameters(values), { signal });
  const onAbort = (): void => void cursor.cancel();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const columns = cursor.columns.map(({ name, type }) => ({ name, type: sqlType(type) }));
    const types = columns.map((column) => column.type);
    const rows: TaskRow[] = [];
    let characters = 0;
    for (let chunk = await cursor.next(); chunk !== undefined; chunk = await cursor.next()) {
      const read = readColumns(chunk, types);
      for (let row = 0; row < chunk.rowCount; row++) {
        const entries = columns.map(({ name, type }, at) => [name, jsonOf(read[at]?.[row] ?? null, type)] as const);
        for (const [, value] of entries) characters += sizeOf(value);
        rows.push(Object.fromEntries(entries));
      }
      if (rows.length > mostRows || characters > mostCharacters) throw tooLarge(rows.length > mostRows);
    }
    if (signal.aborted) throw new Diagnostic('cancelled', 'The statement was cancelled.');
    return rows;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await cursor.cancel();
  }
}

/** Roughly. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  return value !== null && typeof value === 'object' ? JSON.stringify(value).length : 8;
}

function tooLarge(byRows: boolean): Diagnostic {
  const what = byRows ? `more than ${mostRows} rows` : `more than ${mostCharacters / 1_000_000} MB`;
  return new Diagnostic('too_large', `the statement answers ${what}`, {
    hint: 'let SQL do the work, or read in pieces: WHERE id > $last ORDER BY id LIMIT 10000',
  });
}

function spoiled(error: unknown): Diagnostic {
  const message = error instanceof Error ? error.message : String(error);
  return new Diagnostic(
    error instanceof Diagnostic ? error.code : 'run_failed',
    `a statement of the run's transaction failed: ${message}`,
    {
      hint: 'nothing of that transaction is kept, and the run cannot succeed; what may fail goes through database.query',
      cause: error,
    },
  );
}

function bindingsOf(values: Parameters | undefined): Bindings {
  const entries = Array.isArray(values) ? values.map((value, at) => [String(at + 1), value] as const) : Object.entries(values ?? {});
  return new Map(entries.map(([name, value]) => [name.toLowerCase(), new Typed(toParameter(value))]));
}
