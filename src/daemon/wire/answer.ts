// The two ends of an answer: a Result as frames, and frames as a Result. Rows go as Arrow, a record batch for each chunk, and no
// faster than they are read.

import { Diagnostic } from '../../core/diagnostic.ts';
import { writeIpc } from '../../engine/arrow.ts';
import { type Column, type ColumnChunk, Result } from '../../engine/result.ts';
import type { Value } from '../../engine/value.ts';
import { readArrow } from './arrowValues.ts';
import { type Carriage, carriageOf, loadedColumn, unloadedColumn } from './carriage.ts';
import { readDiagnostic } from './failure.ts';
import { type Frame, jsonFrame, readFrames, rowFrames } from './frames.ts';
import type { Ending, Head, TransactionState } from './protocol.ts';

// ---- Sending ----

/** Throws what the rows throw: the caller ends the answer with `errorFrame`. */
export async function* sendResult(result: Result, transaction: () => TransactionState): AsyncGenerator<Uint8Array, void, undefined> {
  const { tag, columns, form, rowsChanged, warnings, notes, prominent, failure } = result;
  const head: Head = {
    tag,
    columns,
    form,
    rowsChanged,
    warnings,
    notes,
    prominent,
    failure: failure?.toJSON(),
    transaction: transaction(),
  };
  yield jsonFrame('head', head);
  if (columns.length > 0) for await (const bytes of writeIpc(loaded(result), 'stream')) yield* rowFrames(bytes);
  yield jsonFrame('end', { transaction: transaction() } satisfies Ending);
}

export function errorFrame(error: Diagnostic, transaction: TransactionState): Uint8Array {
  return jsonFrame('error', { error: error.toJSON(), transaction } satisfies Ending);
}

function loaded(result: Result): Result {
  const carriages = carriagesOf(result.columns);
  if (carriages.every((carriage) => carriage === undefined)) return result;
  const columns = result.columns.map(({ name, type }, at) => ({ name, type: carriages[at]?.type ?? type }));
  const chunks = result.columnChunks();
  return Result.fromChunks(
    { tag: result.tag, columns },
    {
      next: async () => {
        const { value, done } = await chunks.next();
        if (done === true) return undefined;
        return { rowCount: value.rowCount, columns: value.columns.map((values, at) => loadedColumn(values, carriages[at])) };
      },
      cancel: () => result.close(),
    },
  );
}

function carriagesOf(columns: readonly Column[]): (Carriage | undefined)[] {
  return columns.map((column) => carriageOf(column.type));
}

// ---- Receiving ----

interface Receiver {
  /** The session's transaction, as often as the answer tells of it. */
  onTransaction(state: TransactionState): void;
  /** What broke the answer off, in better words. */
  broken(error: unknown): Diagnostic;
  /** Reads no more of it. Safe to call twice, and after its end. */
  abandon(): void;
}

/** Resolves when the statement has answered; one without rows has been carried out by then. */
export async function receiveResult(bytes: AsyncIterable<Uint8Array>, receiver: Receiver): Promise<Result> {
  const frames = new Frames(readFrames(bytes), receiver);
  const first = await frames.next();
  if (first?.kind !== 'head') throw receiver.broken(new Error('it has no head'));
  const { transaction, failure, ...head } = JSON.parse(text(first)) as Head;
  receiver.onTransaction(transaction);
  const details = { ...head, failure: failure === undefined ? undefined : readDiagnostic(failure) };
  if (head.columns.length > 0) return Result.fromChunks(details, arrivingChunks(head.columns, frames, receiver));
  while ((await frames.next()) !== undefined);
  return Result.fromRows({ ...details, rows: [] });
}

function arrivingChunks(columns: readonly Column[], frames: Frames, receiver: Receiver) {
  const carriages = carriagesOf(columns);
  let chunks: AsyncGenerator<ColumnChunk> | undefined;
  let abandoned = false;
  async function* read(): AsyncGenerator<ColumnChunk> {
    const { RecordBatchReader } = await import('apache-arrow');
    for await (const { data } of await RecordBatchReader.from(frames.rows())) {
      yield {
        rowCount: data.length,
        columns: columns.map(({ type }, at): readonly Value[] => {
          const [carriage, column] = [carriages[at], data.children[at]];
          return column === undefined ? [] : unloadedColumn(readArrow(column, carriage?.type ?? type), carriage);
        }),
      };
    }
    // The stream may have said all before the frame that says how it ended.
    for await (const _ of frames.rows());
  }
  return {
    next: async (): Promise<ColumnChunk | undefined> => {
      if (abandoned) return undefined;
      chunks ??= read();
      try {
        const { value, done } = await chunks.next();
        return done === true ? undefined : value;
      } catch (error) {
        if (abandoned) return undefined;
        receiver.abandon();
        throw error instanceof Diagnostic ? error : receiver.broken(error);
      }
    },
    cancel: async (): Promise<void> => {
      abandoned = true;
      receiver.abandon();
    },
  };
}

/** An answer's frames, of which the last is heeded here: an error is thrown. */
class Frames {
  readonly #frames: AsyncGenerator<Frame, void, undefined>;
  readonly #receiver: Receiver;
  #ended = false;

  constructor(frames: AsyncGenerator<Frame, void, undefined>, receiver: Receiver) {
    this.#frames = frames;
    this.#receiver = receiver;
  }

  /** undefined behind the last. */
  async next(): Promise<Frame | undefined> {
    if (this.#ended) return undefined;
    const frame = await this.#read();
    if (frame.kind === 'head' || frame.kind === 'rows') return frame;
    this.#ended = true;
    const { transaction, error } = JSON.parse(text(frame)) as Ending;
    this.#receiver.onTransaction(transaction);
    if (error !== undefined) throw readDiagnostic(error);
    return undefined;
  }

  async *rows(): AsyncGenerator<Uint8Array> {
    for (let frame = await this.next(); frame !== undefined; frame = await this.next()) yield frame.payload;
  }

  async #read(): Promise<Frame> {
    try {
      const { value } = await this.#frames.next();
      if (value !== undefined) return value;
    } catch (error) {
      this.#ended = true;
      throw this.#receiver.broken(error);
    }
    throw this.#receiver.broken(new Error('its end is missing'));
  }
}

function text({ payload }: Frame): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8');
}
