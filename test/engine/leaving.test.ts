// The file that a session works in is the one whose schedules it sees.

import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { openEngine } from '../../src/engine/engine.ts';
import { test } from '../support/database.ts';

const away = [
  'USE other',
  'USE "Other"',
  "USE 'other'",
  'USE other.s',
  '/* there */ USE other;',
  "SET schema = 'other.s'",
  'SET schema = other',
  "SET search_path = 'main,other.s'",
  "SET SESSION search_path TO 'other'",
  `SET search_path = '"other".s'`,
  "PRAGMA search_path = 'other'",
  "SET search_path = 'o' || 'ther'",
  "SET schema = lower('OTHER')",
];

describe('the database is not left for another', () => {
  test('by USE, schema or search_path; what is cron stays what it was', async ({ db }) => {
    await db.run("UPSERT SCHEDULE mine ( sched: '@daily', sql: 'SELECT 1' )", "ATTACH ':memory:' AS other", 'CREATE SCHEMA other.s');
    for (const text of away) {
      expect([text, await db.mistake(text)]).toEqual([
        text,
        expect.objectContaining({ code: 'forbidden', hint: expect.stringMatching(/./) }),
      ]);
      expect(await db.rows('SELECT name FROM cron.schedules')).toEqual([{ name: 'mine' }]);
    }
    expect(await db.mistake('USE other')).toEqual({
      code: 'forbidden',
      message: "from other, cron.schedules would not be this file's any more",
      hint: 'its tables are reached by their full names: other.main.t; a schema of my may be used',
      at: 'USE other',
    });
  });

  test('a schema of its own may be used, and left again', async ({ db }) => {
    await db.run('CREATE SCHEMA work', 'CREATE TABLE work.t AS SELECT 1 AS i', "ATTACH ':memory:' AS other");
    for (const [there, back] of [
      ['USE work', 'USE my'],
      ['USE my.work', 'USE main'],
      ["SET schema = 'work'", 'RESET schema'],
      ["SET search_path = 'work,main'", 'RESET search_path'],
    ] as const) {
      await db.run(there);
      expect(await db.rows('FROM t')).toEqual([{ i: 1 }]);
      expect(await db.rows('SELECT count(*) AS n FROM cron.schedules')).toEqual([{ n: 0n }]);
      await db.run(back);
      expect((await db.mistake('FROM t')).code).toBe('undefined_table');
    }
  });

  test('a file called cron.duckdb is not left by RESET', async ({ db }) => {
    const engine = await openEngine(join(db.folder, 'cron.duckdb'), { clock: db.clock });
    const session = await engine.session({ actor: 'tester', admin: true });
    expect(await db.mistake('RESET search_path', session)).toMatchObject({ code: 'forbidden', hint: 'USE cron_file;' });
    await session.execute('USE cron_file');
    await session.close();
    await engine.close();
  });
});
