// A stored schedule, for tests that open runs of it themselves.

import type { Engine } from '../../src/engine/engine.ts';
import { Catalogue, type StoredSchedule } from '../../src/engine/store/duckdb/catalogue.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';

export async function findStored(engine: Engine, name: string): Promise<StoredSchedule> {
  const connection = new Connection(await engine.database.connect());
  try {
    const stored = await new Catalogue(connection, engine.sql).schedule(name);
    if (stored === undefined) throw new Error(`no schedule ${name}`);
    return stored;
  } finally {
    await connection.close();
  }
}
