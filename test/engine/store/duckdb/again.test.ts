// Statements that come again, and what must not be kept of them.

import { expect } from 'vitest';
import { test } from '../../../support/database.ts';

test('an INSERT that comes again is prepared once, and puts other values into a table that was made anew', async ({ db }) => {
  const native = await db.engine.sessionConnection();
  try {
    const insert = (a: number) => native.all('INSERT INTO t SELECT $a AS a', { a: { value: a } }, { again: true });
    await native.run('CREATE TEMP TABLE t (a INTEGER)');
    for (const a of [1, 2]) await insert(a);
    await native.run('DROP TABLE t; CREATE TEMP TABLE t (b VARCHAR)');
    for (const a of [3, 4]) await insert(a);
    const { chunks } = await native.all('SELECT b FROM t ORDER BY b');
    expect(chunks.flatMap((chunk) => chunk.getColumnValues(0))).toEqual(['3', '4']);
    await native.run('DROP TABLE t');
    await expect(insert(5)).rejects.toMatchObject({ code: 'undefined_table' });
    // More than are kept.
    await native.run('CREATE TEMP TABLE t (b VARCHAR)');
    for (let at = 0; at < 40; at++) await native.all(`INSERT INTO t SELECT ${at}`, undefined, { again: true });
    await insert(6);
    expect((await native.all('SELECT b FROM t')).chunks[0]?.rowCount).toBe(41);
  } finally {
    await native.close();
  }
});

test('what reads a table is planned anew each time: DuckDB plans by the rows that there are', async ({ db }) => {
  const native = await db.engine.sessionConnection();
  try {
    const count = async () => {
      const { chunks } = await native.all("SELECT count(*)::INTEGER FROM t WHERE s = 'failed'", undefined, { again: true });
      return chunks[0]?.getColumnValues(0);
    };
    await native.run("CREATE TEMP TABLE t AS SELECT 'succeeded' AS s");
    expect(await count()).toEqual([0]);
    await native.run("INSERT INTO t VALUES ('failed')");
    expect(await count()).toEqual([1]);
  } finally {
    await native.close();
  }
});
