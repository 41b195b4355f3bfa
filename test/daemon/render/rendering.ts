// Runs SQL and collects what a mode writes.

import type { Mode } from '../../../src/daemon/render/mode.ts';
import { render } from '../../../src/daemon/render/render.ts';
import { type Form, Result } from '../../../src/engine/result.ts';
import { type NativeConnection, type NativeDatabase, openNative } from '../../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';

interface Look {
  readonly columns?: number;
  readonly color?: boolean;
  readonly zone?: string;
}

export class Rendering {
  readonly #database: NativeDatabase;
  readonly #connection: NativeConnection;

  private constructor(database: NativeDatabase, connection: NativeConnection) {
    this.#database = database;
    this.#connection = connection;
  }

  static async open(): Promise<Rendering> {
    const database = await openNative(':memory:', { clock: systemClock });
    return new Rendering(database, await database.connect());
  }

  async result(sql: string): Promise<Result> {
    const cursor = await this.#connection.query(sql);
    return Result.fromCursor(cursor, { tag: cursor.statementType });
  }

  async pieces(sql: string, mode: Mode, look: Look = {}): Promise<(string | Uint8Array)[]> {
    return piecesOf(await this.result(sql), mode, look);
  }

  async text(sql: string, mode: Mode, look: Look = {}): Promise<string> {
    return (await this.pieces(sql, mode, look)).join('');
  }

  async close(): Promise<void> {
    await this.#connection.close();
    await this.#database.close();
  }
}

/** Texts as a result that says how it wants to be shown. */
export async function textOf(
  rows: readonly Readonly<Record<string, string | null>>[],
  { form, prominent, ...look }: Look & { readonly form?: Form; readonly prominent?: readonly string[] },
  mode: Mode = 'duckbox',
): Promise<string> {
  const columns = Object.keys(rows[0] ?? {}).map((name) => ({ name, type: { kind: 'VARCHAR' } as const }));
  const result = Result.fromRows({ tag: 'LIST', columns, rows: rows.map((row) => Object.values(row)), form, prominent });
  return (await piecesOf(result, mode, look)).join('');
}

async function piecesOf(result: Result, mode: Mode, { zone, ...sink }: Look): Promise<(string | Uint8Array)[]> {
  const pieces: (string | Uint8Array)[] = [];
  const write = async (piece: string | Uint8Array): Promise<void> => {
    pieces.push(piece);
  };
  await render(result, mode, { ...sink, write }, { zone });
  return pieces;
}

/** Lines of a drawing in the source, without the indent that they have there. */
export function drawing(text: string): string {
  const lines = text.split('\n').slice(1, -1);
  const indent = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return lines.map((line) => `${line.slice(indent)}\n`).join('');
}
