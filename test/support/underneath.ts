// What tests reach by a connection of their own, which no session guards.

import type { Engine } from '../../src/engine/engine.ts';
import { Catalogue, type StoredSchedule } from '../../src/engine/store/duckdb/catalogue.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';

/** As somebody who writes into the file by hand. */
export function underneath(engine: Engine, sql: string): Promise<number> {
  return connected(engine, (connection) => connection.run(sql));
}

export function findStored(engine: Engine, name: string): Promise<StoredSchedule> {
  return connected(engine, async (connection) => {
    const stored = await new Catalogue(connection, engine.sql).schedule(name);
    if (stored === undefined) throw new Error(`no schedule ${name}`);
    return stored;
  });
}

async function connected<T>(engine: Engine, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = new Connection(await engine.database.connect());
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}
