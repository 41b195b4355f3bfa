// What every statement answers, ours and DuckDB's alike. Rows are read once, lazily, a chunk at a time, and turned into values in
// one pass; whoever stops reading early lets go of the query. A statement that answers no rows has been carried out before its
// Result exists.

import { Diagnostic } from '../core/diagnostic.ts';
import type { ArrowTable } from './arrow.ts';
import type { NativeCursor } from './store/duckdb/native.ts';
import { objectOf, type SqlType, type Value } from './value.ts';

export interface Column {
  readonly name: string;
  readonly type: SqlType;
}

export interface Warning {
  readonly message: string;
  readonly hint?: string | undefined;
}

export type Row = readonly Value[];

/**
 * What the rows are, for a door that has something better than a table to show to people: objects and what became of them, runs
 * and how they ended, settings and their values, properties of one object, text that is made to be copied, a story: what happened
 * when, in columns `at`, `what` and `detail`, or a log: lines that come while they are read.
 */
export type Form = 'table' | 'outcomes' | 'runs' | 'settings' | 'properties' | 'text' | 'story' | 'log';

/** Up to some thousand rows, a list for each column. */
export interface ColumnChunk {
  readonly rowCount: number;
  readonly columns: readonly (readonly Value[])[];
}

export interface ResultDetails {
  /** What was done: `SELECT`, `INSERT`, `UPSERT SCHEDULE`, .. */
  readonly tag: string;
  readonly columns: readonly Column[];
  /** Rows that the statement wrote; undefined where it is not one that writes. */
  readonly rowsChanged?: number | undefined;
  readonly warnings?: readonly Warning[] | undefined;
  /** Said beside the rows, such as a cadence in words; no reason to worry. */
  readonly notes?: readonly string[] | undefined;
  readonly form?: Form | undefined;
  /** The statement was carried out, and what it ran did not succeed: a script ends here. */
  readonly failure?: Diagnostic | undefined;
  readonly prominent?: readonly string[] | undefined;
}

interface CursorDetails {
  readonly tag: string;
  readonly warnings?: readonly Warning[] | undefined;
  /** The columns that matter most, best first: where not all can be shown, these are. */
  readonly prominent?: readonly string[] | undefined;
  /** Called once, when nothing more is asked of the cursor: rows read to the end, given up, or failed. */
  readonly onClose?: (() => void) | undefined;
}

export interface ChunkSource {
  /** undefined: there are no more. */
  next(): Promise<ColumnChunk | undefined>;
  cancel(): Promise<void>;
}

/** What reads DuckDB's rows loads DuckDB's client; a process whose results come from a daemon does without it. */
type Reading = typeof import('./store/duckdb/values.ts');
let reading: Reading | undefined;

/** Rows of a `fromRows` are handed on in pieces of this size, DuckDB's own. */
const rowsInChunk = 2048;

export class Result implements AsyncIterable<Row>, AsyncDisposable {
  readonly tag: string;
  readonly columns: readonly Column[];
  readonly rowsChanged: number | undefined;
  readonly warnings: readonly Warning[];
  readonly notes: readonly string[];
  readonly form: Form;
  readonly failure: Diagnostic | undefined;
  readonly prominent: readonly string[];
  readonly #source: ChunkSource;
  #state: 'unread' | 'reading' | 'closed' = 'unread';

  private constructor(details: ResultDetails, source: ChunkSource) {
    this.tag = details.tag;
    this.columns = details.columns;
    this.rowsChanged = details.rowsChanged;
    this.warnings = details.warnings ?? [];
    this.notes = details.notes ?? [];
    this.form = details.form ?? 'table';
    this.failure = details.failure;
    this.prominent = details.prominent ?? [];
    this.#source = source;
  }

  /** DuckDB's answer. One without rows is read out here, so that its connection is free at once. */
  static async fromCursor(cursor: NativeCursor, { tag, warnings, prominent, onClose }: CursorDetails): Promise<Result> {
    reading ??= await import('./store/duckdb/values.ts');
    const source = new CursorSource(cursor, { onClose, reading });
    if (cursor.returnType === 'rows') return new Result({ tag, columns: await source.columns(), warnings, prominent }, source);
    await source.drain();
    const rowsChanged = cursor.returnType === 'changed' ? cursor.rowsChanged : undefined;
    return new Result({ tag, columns: [], rowsChanged, warnings }, emptySource);
  }

  /** The answer of a statement of our own. */
  static fromRows({ rows, ...details }: ResultDetails & { readonly rows: readonly Row[] }): Result {
    let at = 0;
    return new Result(details, {
      next: async () => {
        if (at >= rows.length) return undefined;
        const piece = rows.slice(at, at + rowsInChunk);
        at += piece.length;
        return { rowCount: piece.length, columns: details.columns.map((_, column) => piece.map((row) => row[column] ?? null)) };
      },
      cancel: async () => {
        at = rows.length;
      },
    });
  }

  /** Values that come column by column. */
  static fromChunks(details: ResultDetails, source: ChunkSource): Result {
    return new Result(details, source);
  }

  /** Rows that come one after another; `next` answers undefined when there are no more. */
  static fromStream(
    details: ResultDetails,
    { next, cancel }: { next(): Promise<readonly Row[] | undefined>; cancel(): Promise<void> },
  ): Result {
    return new Result(details, {
      next: async () => {
        const rows = await next();
        if (rows === undefined) return undefined;
        return { rowCount: rows.length, columns: details.columns.map((_, column) => rows.map((row) => row[column] ?? null)) };
      },
      cancel,
    });
  }

  /** Values column by column, as they come. Leaving the loop gives up the rest. */
  async *columnChunks(): AsyncGenerator<ColumnChunk, void, undefined> {
    if (this.#state !== 'unread') {
      throw new Diagnostic(
        'closed',
        this.#state === 'reading' ? 'the rows of this result have been read already' : 'this result is closed',
        {
          hint: 'rows are read once: keep them with toArray(), or run the statement again',
        },
      );
    }
    this.#state = 'reading';
    let ended = false;
    try {
      for (let chunk = await this.#source.next(); chunk !== undefined; chunk = await this.#source.next()) yield chunk;
      ended = true;
    } finally {
      if (!ended) await this.#source.cancel();
    }
  }

  async *chunks(): AsyncGenerator<Row[], void, undefined> {
    for await (const { rowCount, columns } of this.columnChunks()) {
      const rows = new Array<Row>(rowCount);
      for (let row = 0; row < rowCount; row++) {
        const values = new Array<Value>(columns.length);
        for (let column = 0; column < columns.length; column++) values[column] = columns[column]?.[row] ?? null;
        rows[row] = values;
      }
      yield rows;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const rows of this.chunks()) yield* rows;
  }

  /** Rows as objects. Of two columns `a` the second is `a:1`, as DuckDB names it. */
  async *objects(): AsyncGenerator<{ readonly [column: string]: Value }, void, undefined> {
    const names = uniqueNames(this.columns.map((column) => column.name));
    const special = names.includes('__proto__');
    for await (const rows of this.chunks()) {
      for (const row of rows) {
        if (special) yield objectOf(names.map((name, at) => [name, row[at] ?? null] as const));
        else {
          const object: { [column: string]: Value } = {};
          for (let at = 0; at < names.length; at++) object[names[at] ?? ''] = row[at] ?? null;
          yield object;
        }
      }
    }
  }

  async toArray(): Promise<Row[]> {
    const all: Row[] = [];
    for await (const rows of this.chunks()) for (const row of rows) all.push(row);
    return all;
  }

  async toObjects(): Promise<{ readonly [column: string]: Value }[]> {
    const all: { readonly [column: string]: Value }[] = [];
    for await (const object of this.objects()) all.push(object);
    return all;
  }

  /** As Arrow: a schema, and record batches as they come. docs/results.md tells how each type travels. */
  async toArrow(): Promise<ArrowTable> {
    const { toArrow } = await import('./arrow.ts');
    return toArrow(this);
  }

  /** Gives up what has not been read. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    await this.#source.cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const emptySource: ChunkSource = { next: async () => undefined, cancel: async () => {} };

class CursorSource implements ChunkSource {
  readonly #cursor: NativeCursor;
  readonly #onClose: CursorDetails['onClose'];
  readonly #reading: Reading;
  #types: readonly SqlType[] = [];
  #open = true;

  constructor(cursor: NativeCursor, { onClose, reading }: { onClose: CursorDetails['onClose']; reading: Reading }) {
    this.#cursor = cursor;
    this.#onClose = onClose;
    this.#reading = reading;
  }

  async columns(): Promise<readonly Column[]> {
    const columns = await this.#settle(async () =>
      this.#cursor.columns.map(({ name, type }) => ({ name, type: this.#reading.sqlType(type) })),
    );
    this.#types = columns.map((column) => column.type);
    return columns;
  }

  async next(): Promise<ColumnChunk | undefined> {
    if (!this.#open) return undefined;
    const chunk = await this.#settle(async () => {
      const native = await this.#cursor.next();
      return native === undefined ? undefined : { rowCount: native.rowCount, columns: this.#reading.readColumns(native, this.#types) };
    });
    if (chunk === undefined) this.#close();
    return chunk;
  }

  /** What is left is a count of rows, which the cursor has told as `rowsChanged`. */
  async drain(): Promise<void> {
    await this.#settle(async () => {
      while ((await this.#cursor.next()) !== undefined);
    });
    this.#close();
  }

  async cancel(): Promise<void> {
    if (!this.#open) return;
    try {
      await this.#cursor.cancel();
    } finally {
      this.#close();
    }
  }

  /** After an error there is nothing more to read: the statement is let go, and the first error is the one to tell. */
  async #settle<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.cancel().catch(() => undefined);
      throw error;
    }
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose?.();
  }
}

/** Names for what cannot hold one twice: the second of two columns `a` is `a:1`. */
export function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let count = 1; taken.has(unique); count++) unique = `${name}:${count}`;
    taken.add(unique);
    return unique;
  });
}
