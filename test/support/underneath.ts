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

/** A bound value that is no JSON at all: only an appender lets it in. */
export function tearBound(engine: Engine, name: string): Promise<void> {
  return connected(engine, async ({ native }) => {
    const { columns, chunks } = await native.all(`SELECT * FROM cuckoo_ledger.schedule WHERE name = '${name}'`);
    const [chunk] = chunks;
    const values = columns.map((column, index) => [
      column.name === 'bound' ? '{"name":' : (chunk?.getColumnVector(index).getItem(0) ?? null),
    ]);
    await native.run(`BEGIN; DELETE FROM cuckoo_ledger.schedule WHERE name = '${name}'`, { leaves: 'open' });
    // The key's index sees that it is gone only in the transaction after.
    await native.run('COMMIT; BEGIN', { leaves: 'open' });
    await native.append({ schema: 'cuckoo_ledger', table: 'schedule' }, values as never);
    await native.run('COMMIT', { leaves: 'none' });
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
