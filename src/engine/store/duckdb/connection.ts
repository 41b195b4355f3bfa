// A connection that speaks in values: the engine's own small reads and writes go through here, as objects in and out.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Column } from '../../result.ts';
import { type Parameter, toParameter, type Value } from '../../value.ts';
import { fittingRows } from './fitting.ts';
import type { NativeConnection, NativeParameter, NativeParameters, TransactionState } from './native.ts';
import { nativeParameter, readColumns, sqlType } from './values.ts';

/** By name or by place; JavaScript's own values and ours. */
export type Parameters = readonly unknown[] | Readonly<Record<string, unknown>>;

export class Connection {
  readonly native: NativeConnection;
  /** Ends the statement at work, and lets no other begin. */
  readonly #signal: AbortSignal | undefined;

  constructor(native: NativeConnection, signal?: AbortSignal) {
    this.native = native;
    this.#signal = signal;
  }

  /** The same connection, for work that can be stopped. */
  until(signal: AbortSignal): Connection {
    return new Connection(this.native, signal);
  }

  get transaction(): TransactionState {
    return this.native.transaction;
  }

  /** The rows as objects. */
  async all<Row extends object = Record<string, Value>>(sql: string, parameters?: Parameters): Promise<Row[]> {
    const { columns, rows } = await this.table(sql, parameters);
    return rows.map((row) => Object.fromEntries(columns.map((column, at) => [column.name, row[at] ?? null])) as Row);
  }

  async table(sql: string, parameters?: Parameters): Promise<{ columns: Column[]; rows: Value[][]; rowsChanged: number }> {
    const answer = await this.native.all(sql, nativeParameters(parameters), this.#options);
    const columns = answer.columns.map(({ name, type }) => ({ name, type: sqlType(type) }));
    const types = columns.map((column) => column.type);
    const rows = answer.chunks.flatMap((chunk) => {
      const values = readColumns(chunk, types);
      return Array.from({ length: chunk.rowCount }, (_, row) => values.map((column) => column[row] ?? null));
    });
    return { columns, rows, rowsChanged: answer.rowsChanged };
  }

  /**
   * Its first rows, and nothing read of the others, for answers that may be of any size. `isCut`: a row that was asked for is
   * left out, because it would not fit into so many characters.
   */
  async first(
    sql: string,
    parameters: Parameters | undefined,
    { rows: mostRows, characters }: { readonly rows: number; readonly characters: number },
  ): Promise<{ columns: Column[]; rows: Value[][]; rowsChanged: number; isCut: boolean }> {
    const cursor = await this.native.query(sql, nativeParameters(parameters), { ...this.#options, whole: true });
    try {
      const columns = cursor.columns.map(({ name, type }) => ({ name, type: sqlType(type) }));
      const types = columns.map((column) => column.type);
      const rows: Value[][] = [];
      let left = characters;
      let isCut = false;
      while (rows.length < mostRows && !isCut) {
        const chunk = await cursor.next();
        if (chunk === undefined) break;
        const wanted = Math.min(chunk.rowCount, mostRows - rows.length);
        const fitting = fittingRows(chunk, columns, left, wanted);
        isCut = fitting.rows < wanted;
        ({ left } = fitting);
        const values = readColumns(chunk, types, fitting.rows);
        for (let row = 0; row < fitting.rows; row += 1) rows.push(values.map((column) => column[row] ?? null));
      }
      return { columns, rows, rowsChanged: cursor.rowsChanged, isCut };
    } finally {
      await cursor.cancel();
    }
  }

  /** For answers too large to be held at once: `read` gets the columns of some rows at a time, and others have their turn in between. */
  async eachChunk(sql: string, read: (columns: Value[][], rowCount: number) => void): Promise<void> {
    const cursor = await this.native.query(sql, undefined, this.#options);
    const types = cursor.columns.map((column) => sqlType(column.type));
    try {
      for (let chunk = await cursor.next(); chunk !== undefined; chunk = await cursor.next()) {
        if (this.#signal?.aborted === true) throw new Diagnostic('cancelled', 'The statement was cancelled.');
        read(readColumns(chunk, types), chunk.rowCount);
      }
    } finally {
      await cursor.cancel();
    }
  }

  /** One statement without rows; answers how many it changed. */
  async run(sql: string, parameters?: Parameters): Promise<number> {
    return (await this.native.all(sql, nativeParameters(parameters), this.#options)).rowsChanged;
  }

  /** Of values, by a statement that comes again and again. */
  async insert(sql: string, parameters: Parameters): Promise<void> {
    await this.native.all(sql, nativeParameters(parameters), { ...this.#options, again: true });
  }

  /** A text of several statements, in one call; answers how many rows the last one changed. `leaves`: in which state it ends. */
  send(text: string, leaves: 'none' | 'open'): Promise<number> {
    return this.native.run(text, { leaves, ...this.#options });
  }

  get #options(): { readonly signal?: AbortSignal } {
    return this.#signal === undefined ? {} : { signal: this.#signal };
  }

  /** `work` inside a transaction of its own, which ends with it: committed, or rolled back by an error. */
  async transact<T>(work: () => Promise<T>, ending: (commit: () => Promise<void>) => Promise<void> = (commit) => commit()): Promise<T> {
    await this.native.run('BEGIN', { leaves: 'open' });
    try {
      const result = await work();
      await ending(async () => {
        await this.native.run('COMMIT', { leaves: 'none' });
      });
      return result;
    } catch (error) {
      await this.rollback();
      throw error;
    }
  }

  /** Safe in any state. */
  async rollback(): Promise<void> {
    if (this.native.transaction === 'none') return;
    await this.native.run('ROLLBACK', { leaves: 'none' }).catch(() => {
      // An instance that is gone has nothing left to roll back.
    });
  }

  close(): Promise<void> {
    return this.native.close();
  }
}

export function nativeParameters(parameters: Parameters | undefined): NativeParameters | undefined {
  if (parameters === undefined) return undefined;
  if (Array.isArray(parameters)) return parameters.map(bindable);
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, bindableAs(name, value)]));
}

/** A value that carries its type, where JavaScript's own would not say enough. */
export class Typed {
  readonly parameter: Parameter;

  constructor(parameter: Parameter) {
    this.parameter = parameter;
  }
}

function bindableAs(name: string, value: unknown): NativeParameter {
  try {
    return bindable(value);
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    throw new Diagnostic(error.code, `$${name}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function bindable(value: unknown): NativeParameter {
  return nativeParameter(value instanceof Typed ? value.parameter : toParameter(value));
}
