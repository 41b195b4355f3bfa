// A connection that speaks in values: the engine's own small reads and writes go through here, as objects in and out.

import type { Column } from '../../result.ts';
import { type Parameter, toParameter, type Value } from '../../value.ts';
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

  /** One statement without rows; answers how many it changed. */
  async run(sql: string, parameters?: Parameters): Promise<number> {
    return (await this.native.all(sql, nativeParameters(parameters), this.#options)).rowsChanged;
  }

  get #options(): { readonly signal?: AbortSignal } {
    return this.#signal === undefined ? {} : { signal: this.#signal };
  }

  /** `work` inside a transaction of its own, which ends with it: committed, or rolled back by an error. */
  async transact<T>(work: () => Promise<T>): Promise<T> {
    await this.native.run('BEGIN', { leaves: 'open' });
    try {
      const result = await work();
      await this.native.run('COMMIT', { leaves: 'none' });
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
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, bindable(value)]));
}

/** A value that carries its type, where JavaScript's own would not say enough. */
export class Typed {
  readonly parameter: Parameter;

  constructor(parameter: Parameter) {
    this.parameter = parameter;
  }
}

function bindable(value: unknown): NativeParameter {
  return nativeParameter(value instanceof Typed ? value.parameter : toParameter(value));
}
