import { expect } from 'vitest';
import { Connection } from '../../../../src/engine/store/duckdb/connection.ts';
import { readDefinitions } from '../../../../src/engine/store/duckdb/definitions.ts';
import { test } from '../../../support/database.ts';

test('schedules whose cadences differ by a digit only keep each its own', async ({ db }) => {
  await db.run("UPSERT SCHEDULE one ( sched: every 1s from '2001-01-01T00:00:00.007Z', sql: 'SELECT 1' )");
  await db.run("UPSERT SCHEDULE by_hand ( sql: 'SELECT 1' )");
  const connection = new Connection(await db.engine.sessionConnection());
  try {
    await connection.run(`CREATE TEMP TABLE schedule AS SELECT * FROM cuckoo_ledger.schedule WHERE name = 'by_hand' UNION ALL
      SELECT s.* REPLACE (i + 1000 AS schedule_id, 'at ' || i AS name,
        replace(replace(bound::VARCHAR, '.007Z', '.' || lpad(i::VARCHAR, 3, '0') || 'Z'), '978307200007', (978307200000 + i)::VARCHAR)::JSON AS bound)
      FROM cuckoo_ledger.schedule s, range(1000) r(i) WHERE name = 'one'`);
    const definitions = [...(await readDefinitions(connection, 'temp', new Map()))].flatMap((change) =>
      change.kind === 'defined' ? [change.definition] : [],
    );
    expect(definitions).toHaveLength(1001);
    const wrong = definitions.filter(({ name, timing }) => {
      const [cadence] = timing?.cadences ?? [];
      const anchor = cadence?.kind === 'interval' ? cadence.anchor : undefined;
      return name === 'by_hand' ? timing !== undefined : JSON.stringify(anchor) !== `{"instant":${978307200000 + Number(name.slice(3))}}`;
    });
    expect(wrong).toEqual([]);
  } finally {
    await connection.close();
  }
});
