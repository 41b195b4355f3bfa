// A session whose statements come again and again keeps what DuckDB has prepared of them.

import { expect } from 'vitest';
import { test } from '../support/database.ts';

test('what is prepared once sees new rows, other values, and a table that was made anew', async ({ db }) => {
  const session = await db.engine.session({ actor: 'http', admin: false, again: true });
  try {
    const ask = async (sql: string, parameters = {}) => (await session.execute(sql, parameters)).toObjects();
    const schedules = (name: string) => ask('LIST SCHEDULES WHERE lower(name) = lower($name)', { name });
    const rows = () => ask('SELECT * FROM t ORDER BY ALL');
    await db.run('CREATE TABLE t (a INTEGER)', 'INSERT INTO t VALUES (1)');
    expect(await rows()).toEqual([{ a: 1 }]);
    expect(await schedules('one')).toEqual([]);
    await db.run('INSERT INTO t VALUES (2)', "UPSERT SCHEDULE one ( sched: @daily, sql: 'SELECT 1' )");
    expect(await rows()).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await schedules('ONE')).toMatchObject([{ name: 'one' }]);
    expect(await schedules('two')).toEqual([]);
    await db.run('DROP TABLE t', "CREATE TABLE t AS SELECT 'x' AS b, 3 AS c");
    expect(await rows()).toEqual([{ b: 'x', c: 3 }]);
    await db.run('DROP TABLE t');
    await expect(rows()).rejects.toMatchObject({ code: 'undefined_table' });
    // More than are kept.
    for (let at = 0; at < 40; at++) expect(await ask(`SELECT ${at} AS n`)).toEqual([{ n: at }]);
    expect(await schedules('one')).toMatchObject([{ name: 'one' }]);
  } finally {
    await session.close();
  }
});
