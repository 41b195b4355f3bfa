import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { openEngine } from '../../src/engine/engine.ts';
import { released } from '../../src/engine/store/migrate.ts';
import { TestDatabase, test } from '../support/database.ts';

/** What opening answers when it must fail. */
async function refusal(
  path: string,
  options: Parameters<typeof openEngine>[1] = {},
): Promise<{ code: string; message: string; hint: string | undefined }> {
  try {
    const engine = await openEngine(path, options);
    await engine.close();
  } catch (error) {
    if (error instanceof Diagnostic) return { code: error.code, message: error.message, hint: error.hint };
    throw error;
  }
  return expect.unreachable(`${path} was opened`);
}

describe('a file', () => {
  test('keeps definitions, settings and history over a restart', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'SELECT 42 AS answer' )",
      'RUN SCHEDULE s',
      "SET cron.workers = '7'",
      'CHECKPOINT',
    );
    await db.reopen();
    expect(await db.rows('SELECT schedule, result FROM cron.runs')).toEqual([{ schedule: 's', result: '[{"answer":42}]' }]);
    expect(await db.rows("SELECT value, origin FROM cron.settings WHERE name = 'workers'")).toEqual([{ value: '7', origin: 'file' }]);
    expect((await db.rows("UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'SELECT 42 AS answer' )"))[0]).toMatchObject({
      outcome: 'unchanged',
    });
  });

  test('that no Cuckoo holds is read by a plain DuckDB: definitions, history, and NULL for what is live', async ({ db }) => {
    await db.run('UPSERT PROCEDURE p() AS BEGIN SELECT 1; END', "UPSERT SCHEDULE s ( sched: '0 2 * * *', call: p )", 'RUN SCHEDULE s');
    await db.run("UPSERT SCHEDULE fails ( sql: 'SELECT nope' )", 'RUN SCHEDULE fails');
    await db.close();
    const script = `
      import { DuckDBInstance } from '@duckdb/node-api';
      const connection = await (await DuckDBInstance.create(${JSON.stringify(db.path)})).connect();
      const read = async (sql) => (await connection.runAndReadAll(sql)).getRowObjectsJson();
      const names = (await read("SELECT view_name FROM duckdb_views() WHERE schema_name = 'cron' AND NOT internal ORDER BY 1")).map((row) => row.view_name);
      for (const name of names) await read('SELECT * FROM cron.' + name);
      console.log(JSON.stringify({
        names,
        schedules: await read('SELECT name, sched, next_run, status FROM cron.schedules ORDER BY name'),
        runs: await read('SELECT schedule, state, attempt FROM cron.runs ORDER BY schedule DESC, attempt'),
        procedures: await read('SELECT name, body FROM cron.procedures'),
      }));`;
    const answer = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }));
    expect(answer.names).toEqual(
      expect.arrayContaining(['calendars', 'dead_letters', 'lineage', 'procedures', 'queues', 'runs', 'schedules', 'settings']),
    );
    expect(answer.schedules).toEqual([
      { name: 'fails', sched: null, next_run: null, status: null },
      { name: 's', sched: '0 2 * * *', next_run: null, status: null },
    ]);
    expect(answer.runs).toEqual([
      { schedule: 's', state: 'succeeded', attempt: '1' },
      { schedule: 'fails', state: 'failed', attempt: '1' },
      { schedule: 'fails', state: 'pending', attempt: '2' },
    ]);
    expect(answer.procedures).toEqual([{ name: 'p', body: 'SELECT 1;' }]);
  });

  test('opened twice in one process is one database', async ({ db }) => {
    const second = await openEngine(db.path, { clock: db.clock });
    expect(second).toBe(db.engine);
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )");
    const session = await second.session({ actor: 'second', admin: true });
    expect(await (await session.execute('LIST SCHEDULES')).toArray()).toHaveLength(1);
    await session.close();
    await second.close();
    expect(await db.rows('LIST SCHEDULES')).toHaveLength(1);
  });

  test('opened read-only lists and explains, and changes nothing', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'SELECT 1' )");
    await db.reopen({ readOnly: true });
    expect(await db.rows('SELECT name, status FROM cron.schedules')).toEqual([{ name: 's', status: 'scheduled' }]);
    expect(await db.rows('EXPLAIN SCHEDULE s NEXT 2')).toHaveLength(2);
    expect(await db.rows("SELECT cron_next('0 2 * * *', TIMESTAMPTZ '2026-01-01 00:00:00+00', 'UTC')::VARCHAR AS next")).toHaveLength(1);
    for (const statement of ['DROP SCHEDULE s', 'RUN SCHEDULE s', 'SET cron.workers = 2', "UPSERT SCHEDULE t ( sql: 'SELECT 1' )"]) {
      expect(await db.mistake(statement)).toMatchObject({ code: 'read_only', hint: 'open it without --readonly' });
    }
    expect(await db.mistake('CREATE TABLE t(i INTEGER)')).toMatchObject({ code: 'read_only' });
  });

  test('without schedules, opened read-only, says so', async ({ db }) => {
    await db.close();
    const bare = join(db.folder, 'bare.duckdb');
    execFileSync(process.execPath, [
      '--input-type=module',
      '-e',
      `import { DuckDBInstance } from '@duckdb/node-api'; const c = await (await DuckDBInstance.create(${JSON.stringify(bare)})).connect(); await c.run('CREATE TABLE t AS SELECT 1 AS i');`,
    ]);
    const engine = await openEngine(bare, { readOnly: true });
    const session = await engine.session({ actor: 'x', admin: true });
    expect(await (await session.execute('FROM t')).toArray()).toEqual([[1]]);
    await expect(session.execute('LIST SCHEDULES')).rejects.toMatchObject({ code: 'read_only', hint: 'open it once without --readonly' });
    await session.close();
    await engine.close();
  });

  test('called cron.duckdb is attached under another name, and everything works', async ({ db }) => {
    await db.close();
    const path = join(db.folder, 'cron.duckdb');
    const engine = await openEngine(path, { clock: db.clock });
    const session = await engine.session({ actor: 'x', admin: true });
    const run = async (text: string) => (await session.execute(text)).toObjects();
    await run('CREATE TABLE t(i INTEGER)');
    await run("UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'INSERT INTO t VALUES (1)' )");
    expect(await run('RUN SCHEDULE s')).toMatchObject([{ state: 'succeeded', reason: null }]);
    expect(await run('SELECT name, status, last_state FROM cron.schedules')).toEqual([
      { name: 's', status: 'scheduled', last_state: 'succeeded' },
    ]);
    expect(await run('FROM t')).toEqual([{ i: 1 }]);
    await session.close();
    await engine.close();
  });

  test('in memory has schedules too', async () => {
    const engine = await openEngine(':memory:', {});
    const session = await engine.session({ actor: 'x', admin: true });
    await session.execute("UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'SELECT 1' )");
    expect(await (await session.execute('RUN SCHEDULE s')).toObjects()).toMatchObject([{ state: 'succeeded' }]);
    await session.close();
    await engine.close();
  });
});

describe('migrations', () => {
  test('a file from a newer Cuckoo is refused with what to do', async ({ db }) => {
    await db.rows('SELECT 1');
    const hand = await db.engine.database.connect();
    await hand.run("UPDATE cuckoo_ledger.file SET value = '99' WHERE key = 'shape'");
    await hand.close();
    await db.close();
    expect(await refusal(db.path)).toMatchObject({ code: 'newer_file', hint: 'upgrade: npm install cuckoo-sql@latest' });
  });

  test('an older file is copied first and then brought up to date, with everything in it', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )");
    await db.reopen({
      migrations: [...released, 'CREATE TABLE cuckoo_ledger.later(i INTEGER); INSERT INTO cuckoo_ledger.later VALUES (2);'],
    });
    expect(await db.rows('LIST SCHEDULES')).toHaveLength(1);
    expect(await db.rows('FROM cuckoo_ledger.later')).toEqual([{ i: 2 }]);
    await db.close();
    const copy = `${db.path}.backup-${released.length}`;
    expect(existsSync(copy)).toBe(true);
    const old = await openEngine(copy, {});
    const session = await old.session({ actor: 'x', admin: true });
    expect(await (await session.execute('LIST SCHEDULES')).toArray()).toHaveLength(1);
    await session.close();
    await old.close();
  });

  test('a migration that fails changes nothing', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )");
    await db.close();
    await expect(
      openEngine(db.path, {
        migrations: [...released, 'CREATE TABLE cuckoo_ledger.later(i INTEGER); SELECT nope;'],
      }),
    ).rejects.toMatchObject({ code: 'undefined_column' });
    await db.open();
    expect(await db.rows('LIST SCHEDULES')).toHaveLength(1);
    expect(await db.mistake('FROM cuckoo_ledger.later')).toMatchObject({ code: 'undefined_table' });
  });

  test('somebody’s own schema called cron is not touched', async ({ db }) => {
    await db.close();
    const path = join(db.folder, 'theirs.duckdb');
    execFileSync(process.execPath, [
      '--input-type=module',
      '-e',
      `import { DuckDBInstance } from '@duckdb/node-api'; const c = await (await DuckDBInstance.create(${JSON.stringify(path)})).connect(); await c.run('CREATE SCHEMA cron; CREATE TABLE cron.jobs AS SELECT 1 AS i');`,
    ]);
    expect(await refusal(path)).toMatchObject({ code: 'duplicate_object', hint: expect.stringContaining('rename') });
  });
});

describe('what is not a DuckDB file', () => {
  test('is refused by what it is, before DuckDB sees it', async ({ db }) => {
    await db.close();
    const make = (name: string, content: string | Buffer): string => {
      writeFileSync(join(db.folder, name), content);
      return join(db.folder, name);
    };
    mkdirSync(join(db.folder, 'folder'));
    expect(await refusal(join(db.folder, 'folder'))).toMatchObject({ code: 'not_a_database' });
    expect(await refusal(make('a.txt', 'hello, this is a text\n'.repeat(10)))).toMatchObject({ code: 'not_a_database' });
    expect(await refusal(make('a.csv', 'id,name\n1,x\n2,y\n'))).toMatchObject({ code: 'not_a_database' });
    expect(await refusal(make('a.sqlite', Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(4096)])))).toMatchObject({
      code: 'not_a_database',
      message: expect.stringContaining('SQLite'),
    });
    expect(await refusal(join(db.folder, 'nowhere', 'a.duckdb'))).toMatchObject({ code: 'file_not_found' });
    expect(readdirSync(db.folder).sort()).toEqual(['a.csv', 'a.sqlite', 'a.txt', 'folder', 'my.duckdb']);
  });

  test('a file without permission says which', async ({ db }) => {
    await db.close();
    chmodSync(db.folder, 0o755);
    chmodSync(db.path, 0o444);
    // The superuser may read and write everything, so a process looks that has become somebody else.
    const script = `
      import { openEngine } from ${JSON.stringify(pathToFileURL(join(process.cwd(), 'dist/engine/engine.js')).href)};
      if (process.getuid() === 0) {
        process.setgid(65534);
        process.setuid(65534);
      }
      await openEngine(${JSON.stringify(db.path)}).catch((error) => console.log(JSON.stringify({ code: error.code, message: error.message })));`;
    const answer = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(JSON.parse(answer)).toMatchObject({ code: 'forbidden', message: expect.stringContaining('my.duckdb') });
  });
});

describe('BACKUP TO', () => {
  test('makes a copy that Cuckoo and DuckDB open, while everything runs', async ({ db }) => {
    await db.run(
      'CREATE TABLE t AS SELECT * FROM range(1000) r(i)',
      "UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'SELECT 1' )",
      'RUN SCHEDULE s',
    );
    const copy = join(db.folder, 'copy.duckdb');
    expect(await db.rows(`BACKUP TO '${copy}'`)).toEqual([{ path: copy }]);
    expect(await db.mistake(`BACKUP TO '${copy}'`)).toMatchObject({ code: 'duplicate_object', at: `'${copy}'` });
    expect(await db.mistake(`BACKUP TO '${db.folder}/no/such/copy.duckdb'`)).toMatchObject({ code: 'file_not_found' });
    const other = await openEngine(copy, { clock: db.clock });
    const session = await other.session({ actor: 'x', admin: true });
    const rows = async (text: string) => (await session.execute(text)).toObjects();
    expect(await rows('SELECT count(*)::INTEGER AS n FROM t')).toEqual([{ n: 1000 }]);
    expect(await rows('SELECT name, status, last_state FROM cron.schedules')).toEqual([
      { name: 's', status: 'scheduled', last_state: 'succeeded' },
    ]);
    expect(await rows('RUN SCHEDULE s')).toMatchObject([{ state: 'succeeded' }]);
    await session.close();
    await other.close();
    expect(await db.rows('LIST RUNS')).toHaveLength(1);
    expect(readdirSync(db.folder).filter((name) => name.includes('unfinished'))).toEqual([]);
  });
});

describe('settings', () => {
  test('are checked, kept in the file, and go back to their defaults', async ({ db }) => {
    await db.run("SET cron.late_within = '90 seconds'", 'SET cron.catchup = none');
    expect(await db.rows("SELECT name, value FROM cron.settings WHERE origin = 'file' ORDER BY name")).toEqual([
      { name: 'catchup', value: 'none' },
      { name: 'late_within', value: '90 seconds' },
      { name: 'timezone', value: 'UTC' },
    ]);
    await db.run('RESET cron.catchup');
    expect(await db.rows("SELECT value, origin FROM cron.settings WHERE name = 'catchup'")).toEqual([
      { value: 'latest', origin: 'default' },
    ]);
    expect(await db.mistake('SET cron.wrkers = 4')).toMatchObject({
      code: 'invalid_value',
      at: 'wrkers',
      hint: expect.stringContaining('cron.workers'),
    });
    expect(await db.mistake('SET cron.workers = 0')).toMatchObject({ code: 'invalid_value', at: '0' });
    expect(await db.mistake('SET cron.check_interval = 2m')).toMatchObject({ code: 'invalid_value', hint: 'from 1s to 30s' });
  });

  test('a new zone moves the schedules that name none, and says how many', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE b ( sched: '0 2 * * *', tz: 'Asia/Tokyo', sql: 'SELECT 1' )",
    );
    const result = await db.result("SET cron.timezone = 'Europe/Berlin'");
    expect(result.warnings).toEqual([{ message: '1 schedule without a timezone now follows Europe/Berlin: a' }]);
    expect(await db.rows('SELECT name, timezone FROM cron.schedules ORDER BY name')).toEqual([
      { name: 'a', timezone: 'Europe/Berlin' },
      { name: 'b', timezone: 'Asia/Tokyo' },
    ]);
  });
});

describe('sessions', () => {
  test('have temp tables, settings and transactions of their own', async ({ db }) => {
    const other = await db.newSession();
    await db.run('CREATE TEMP TABLE mine(i INTEGER)', "SET TimeZone = 'Asia/Tokyo'", 'BEGIN');
    expect(await db.mistake('FROM mine', other)).toMatchObject({ code: 'undefined_table' });
    expect(await other.zone()).not.toBe('Asia/Tokyo');
    expect(await db.session.zone()).toBe('Asia/Tokyo');
    expect(other.transaction).toBe('none');
  });

  test('what DuckDB receives is byte for byte what was written', async ({ db }) => {
    const odd = 'SELECT   \'it\'\'s\',\n\t$$a;b$$ /* c /* nested */ */ AS "q;""x" -- end';
    const [row] = await db.rows(`${odd}`);
    expect(row).toEqual({ "'it''s'": "it's", 'q;"x': 'a;b' });
    await db.run("SET VARIABLE told = 'x'", odd);
    const wide = 'SELECT \'äöü 𝄞 \u2028\' AS "ß"';
    expect(await db.rows(wide)).toEqual([{ ß: 'äöü 𝄞 \u2028' }]);
  });

  test('a closed session says so', async ({ db }) => {
    const other = await db.newSession();
    await other.close();
    await other.close();
    expect(await db.mistake('SELECT 1', other)).toMatchObject({ code: 'closed' });
  });
});

test('a test database leaves nothing behind', async () => {
  const db = new TestDatabase();
  await db.open();
  await db.remove();
  expect(existsSync(db.folder)).toBe(false);
});
