// Runs SQL and collects what a mode writes.

import type { Mode } from '../../../src/daemon/render/mode.ts';
import { render } from '../../../src/daemon/render/render.ts';
import { Result } from '../../../src/engine/result.ts';
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

  async pieces(sql: string, mode: Mode, { zone, ...sink }: Look = {}): Promise<(string | Uint8Array)[]> {
    const pieces: (string | Uint8Array)[] = [];
    const write = async (piece: string | Uint8Array): Promise<void> => {
      pieces.push(piece);
    };
    await render(await this.result(sql), mode, { ...sink, write }, { zone });
    return pieces;
  }

  async text(sql: string, mode: Mode, look: Look = {}): Promise<string> {
    return (await this.pieces(sql, mode, look)).join('');
  }

  async close(): Promise<void> {
    await this.#connection.close();
    await this.#database.close();
  }
}

/** Lines of a drawing in the source, without the indent that they have there. */
export function drawing(text: string): string {
  const lines = text.split('\n').slice(1, -1);
  const indent = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return lines.map((line) => `${line.slice(indent)}\n`).join('');
}
