import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GuardContext, guard, guardBody } from '../../src/engine/guard.ts';
import { test } from '../support/database.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-guard-'));
const file = join(folder, 'nest.duckdb');
let instance: DuckDBInstance;
/** The session that misbehaves, and one that must not notice. */
let session: DuckDBConnection;
let other: DuckDBConnection;
let untouched: string;

const context: GuardContext = { admin: false, mainDatabase: 'nest', filePath: file };

beforeAll(async () => {
  instance = await DuckDBInstance.create(file);
  session = await instance.connect();
  other = await instance.connect();
  await session.run(`
    CREATE SCHEMA cuckoo_ledger;
    CREATE TABLE cuckoo_ledger.closed (i INTEGER);
    CREATE TABLE cuckoo_ledger.schedule (i INTEGER);
    INSERT INTO cuckoo_ledger.closed VALUES (1), (2);
    CREATE SCHEMA cron;
    CREATE VIEW cron.runs AS SELECT * FROM cuckoo_ledger.closed;
    CREATE MACRO cron_next(x) AS 42;
    CREATE TABLE t (i INTEGER, v VARCHAR);
    INSERT INTO t VALUES (1, 'one');
    ATTACH ':memory:' AS elsewhere;
    CREATE SCHEMA elsewhere.cron;
    CREATE TABLE elsewhere.cron.runs (i INTEGER);
    CHECKPOINT;
  `);
  linkSync(file, join(folder, 'hard.csv'));
  symlinkSync(file, join(folder, 'soft.csv'));
  symlinkSync(folder, join(folder, 'round'));
  writeFileSync(join(folder, 'plain.csv'), 'i,v\n2,two\n');
  mkdirSync(join(folder, 'trap'));
  writeFileSync(join(folder, 'trap', 'schema.sql'), "CREATE TABLE fine (i INTEGER);\nSET default_order = 'DESC';\n");
  writeFileSync(join(folder, 'trap', 'load.sql'), '');
  untouched = await whatOthersSee();
});

afterAll(() => {
  session.closeSync();
  other.closeSync();
  instance.closeSync();
  rmSync(folder, { recursive: true });
});

/** All that one session must never change for another. */
async function whatOthersSee(): Promise<string> {
  const runs = await other.runAndReadAll('SELECT list(i ORDER BY i) FROM cron.runs');
  const schedules = await other.runAndReadAll('SELECT count(*) FROM cuckoo_ledger.schedule');
  const macro = await other.runAndReadAll('SELECT cron_next(1)');
  const objects = await other.runAndReadAll(
    "SELECT list(sql ORDER BY sql) FROM (SELECT sql FROM duckdb_tables() UNION ALL SELECT sql FROM duckdb_views() WHERE NOT internal UNION ALL SELECT sql FROM duckdb_indexes()) WHERE sql LIKE '%cron%' OR sql LIKE '%cuckoo%'",
  );
  const settings = await other.runAndReadAll("SELECT list(name || '=' || value ORDER BY name) FROM duckdb_settings()");
  const databases = await other.runAndReadAll(
    "SELECT list(database_name ORDER BY ALL) FROM duckdb_databases() WHERE database_name IN ('nest', 'cron', 'cuckoo_ledger', 'CRON')",
  );
  return (
    JSON.stringify(
      [runs, schedules, macro, objects, settings, databases].map((reader) => reader.getRowsJS()),
      (_, value) => (typeof value === 'bigint' ? Number(value) : value),
    ) + locks()
  );
}

function locks(): string {
  try {
    const mark = `:${statSync(file).ino} `;
    return String(
      readFileSync('/proc/locks', 'utf8')
        .split('\n')
        .filter((line) => line.includes(mark)).length,
    );
  } catch {
    return 'unknown here';
  }
}

/** As a session does: what the guard lets through reaches DuckDB. */
async function execute(text: string, as: GuardContext = context): Promise<'refused' | 'done' | 'failed'> {
  if (guard(text, as) !== undefined) return 'refused';
  try {
    await session.runAndReadAll(text);
    return 'done';
  } catch {
    await session.run('ROLLBACK').catch(() => undefined);
    return 'failed';
  }
}

const path = (name: string): string => join(folder, name);

/** Each breaks another session when DuckDB gets it. */
const hostile = [
  'DETACH nest',
  'DETACH DATABASE IF EXISTS "Nest"',
  "ATTACH OR REPLACE ':memory:' AS nest",
  "/* once */ ATTACH /* more */ OR REPLACE DATABASE ':memory:' AS NEST",
  'ALTER DATABASE nest SET ALIAS TO yours',
  'ALTER DATABASE elsewhere SET ALIAS TO cron',
  "ATTACH ':memory:' AS cron",
  'ATTACH \':memory:\' AS "CRON"',
  "ATTACH IF NOT EXISTS ':memory:' AS cuckoo_ledger",
  `ATTACH '${path('cron.duckdb')}'`,
  `ATTACH '${path('Cron.v2.db')}' (READ_ONLY)`,
  `ATTACH '${path('hard.csv')}' AS twin`,
  `ATTACH 'duckdb:${path('hard.csv')}' AS twin`,
  `ATTACH 'duckdb:${path('cron.db')}'`,
  'USE cron',
  'USE nest.cuckoo_ledger',
  "SET schema = 'cron'",
  "SET search_path = 'main,cuckoo_ledger'",
  'CREATE SCHEMA cron',
  'CREATE SCHEMA IF NOT EXISTS nest."Cuckoo_Ledger"',
  'DROP SCHEMA cron CASCADE',
  'DROP SCHEMA IF EXISTS nest.cuckoo_ledger CASCADE',
  'CREATE TABLE cron.mine (i INTEGER)',
  'CREATE OR REPLACE VIEW cron.runs AS SELECT 1 AS i',
  'CREATE MACRO cron.runs_of(x) AS x',
  "CREATE TYPE cron.mood AS ENUM ('good')",
  'CREATE SEQUENCE cuckoo_ledger.numbers',
  'CREATE INDEX by_i ON cuckoo_ledger.closed (i)',
  'DROP VIEW cron.runs',
  'DROP TABLE IF EXISTS nest.cuckoo_ledger.closed CASCADE',
  'ALTER TABLE cuckoo_ledger.schedule ADD COLUMN j INTEGER',
  'ALTER TABLE "cuckoo_ledger"."schedule" RENAME TO gone',
  "COMMENT ON TABLE cuckoo_ledger.closed IS 'mine now'",
  "COMMENT ON COLUMN cuckoo_ledger.closed.i IS 'mine now'",
  'CREATE OR REPLACE MACRO cron_next(x) AS 1',
  'CREATE TEMP MACRO cuckoo_live() AS true',
  'CREATE FUNCTION Cron_Next(x, y) AS 1',
  'DROP MACRO cron_next',
  'INSERT INTO cuckoo_ledger.closed VALUES (3)',
  'insert into NEST."CUCKOO_LEDGER".closed values (3)',
  'INSERT INTO cron.runs VALUES (3)',
  'WITH x AS (SELECT 3) INSERT INTO cuckoo_ledger.closed SELECT * FROM x',
  'PREPARE p AS INSERT INTO cuckoo_ledger.closed VALUES (3)',
  'EXPLAIN ANALYZE INSERT INTO cuckoo_ledger.closed VALUES (3)',
  'EXPLAIN (ANALYZE) DELETE FROM cuckoo_ledger.closed',
  'UPDATE cuckoo_ledger.closed SET i = 0',
  'WITH x AS (SELECT 1 AS i) UPDATE cuckoo_ledger.closed SET i = 7 FROM x',
  'DELETE FROM cuckoo_ledger.closed USING t WHERE t.i = closed.i',
  'TRUNCATE cuckoo_ledger.closed',
  'TRUNCATE ONLY cuckoo_ledger.closed',
  'UPDATE ONLY cuckoo_ledger.closed SET i = 0',
  'TRUNCATE TABLE nest.cuckoo_ledger.closed',
  'MERGE INTO cuckoo_ledger.closed USING t ON false WHEN NOT MATCHED THEN INSERT VALUES (9)',
  `COPY cuckoo_ledger.closed FROM '${path('plain.csv')}'`,
  "SET default_order = 'DESC'",
  'SET threads = 1',
  'set "memory_limit" = \'100MB\'',
  'SET GLOBAL default_null_order = nulls_first',
  "SET GLOBAL TimeZone = 'Asia/Tokyo'",
  'RESET threads',
  'PRAGMA threads=1',
  'EXPLAIN ANALYZE SET threads = 1',
  'SET enable_external_access = false',
  "SET disabled_filesystems = 'LocalFileSystem'",
  'SET lock_configuration = true',
  'PRAGMA disable_checkpoint_on_shutdown',
  'CALL enable_logging()',
  'FROM disable_logging()',
  'CALL enable_peg_parser()',
  `SELECT size FROM read_blob('${file}')`,
  `SELECT size FROM read_blob(['${path('plain.csv')}', '${file}'])`,
  `SELECT size FROM read_blob('file://${file}')`,
  `FROM "read_text"('${path('soft.csv')}')`,
  `FROM read_csv('${path('hard.csv')}')`,
  `FROM sniff_csv('${path('round/nest.duckdb')}')`,
  `SELECT size FROM read_blob('${path('*')}')`,
  `SELECT size FROM read_blob('${path('nest.d??kdb')}')`,
  `SELECT size FROM read_blob('${join(tmpdir(), '**', 'nest.duckdb')}')`,
  `SELECT size FROM read_blob('${path('round/[m-o]est.*')}')`,
  `COPY t FROM '${file}'`,
  `COPY t TO '${file}'`,
  `COPY (SELECT 1) TO '${file}.wal'`,
  `COPY t TO '${folder}' (FORMAT csv, PARTITION_BY (i), OVERWRITE)`,
  `FROM '${path('hard.csv')}'`,
  `SELECT * FROM t JOIN '${path('soft.csv')}' ON true`,
  `SUMMARIZE '${path('soft.csv')}'`,
  `PIVOT '${path('soft.csv')}' ON v`,
  `DELETE FROM t USING '${path('hard.csv')}'`,
  `IMPORT DATABASE '${path('trap')}'`,
];

describe('what would break another session does not reach DuckDB', () => {
  it.each(hostile)('%s', async (text) => {
    const refused = guard(text, context);
    expect(refused?.code).toBe('forbidden');
    expect(refused?.hint).toBeTruthy();
    expect(guardBody(text)?.code).toBe('forbidden');
    expect(await execute(text)).toBe('refused');
    expect(await whatOthersSee()).toBe(untouched);
  });
});

/** All of it runs, in this order. */
const ordinary = [
  'SELECT 1',
  "SELECT 'SET threads = 1', 'DETACH nest', '*'",
  '-- DETACH nest\nSELECT 2',
  'CREATE TABLE cron (schedule VARCHAR, cuckoo_ledger INTEGER)',
  "INSERT INTO cron VALUES ('0 2 * * *', 1)",
  'SELECT cron.schedule, cuckoo_ledger FROM cron',
  'UPDATE cron SET cuckoo_ledger = 2',
  'DELETE FROM cron',
  'DROP TABLE cron',
  'SELECT * FROM cron.runs',
  'SELECT count(*) FROM cuckoo_ledger.closed',
  'CREATE TABLE copied AS SELECT * FROM cuckoo_ledger.closed',
  'INSERT INTO copied SELECT i FROM cron.runs',
  'DELETE FROM copied USING cron.runs r WHERE r.i = copied.i',
  'CREATE VIEW recent AS SELECT * FROM cron.runs',
  'CREATE SCHEMA cronicle',
  'CREATE TABLE cronicle.runs (i INTEGER)',
  'INSERT INTO cronicle.runs VALUES (1)',
  'DROP SCHEMA cronicle CASCADE',
  'INSERT INTO elsewhere.cron.runs VALUES (1)',
  'CREATE TABLE elsewhere.cron.mine (i INTEGER)',
  'CREATE MACRO next_cron(x) AS x + 1',
  'CREATE TEMP MACRO cuckoos(x) AS x + 1',
  'SELECT next_cron(1), cron_next(2)',
  "ATTACH ':memory:' AS mine",
  `ATTACH '${path('cronicle.duckdb')}'`,
  'CREATE TABLE cronicle.main.t (i INTEGER)',
  'USE mine',
  'CREATE TABLE inside (i INTEGER)',
  'SELECT * FROM nest.t',
  'USE nest',
  "SET schema = 'main'",
  "SET search_path = 'main'",
  'DETACH mine',
  'DETACH DATABASE cronicle',
  "SET TimeZone = 'Europe/Berlin'",
  "SET SESSION TimeZone = 'UTC'",
  'RESET TimeZone',
  "SET TIME ZONE 'UTC'",
  'SET errors_as_json = true',
  'SET integer_division = true',
  'RESET integer_division',
  'SET VARIABLE threads = 3',
  "SELECT getvariable('threads')",
  'PRAGMA enable_progress_bar',
  'PRAGMA disable_progress_bar',
  'PRAGMA disable_profiling',
  "PRAGMA table_info('t')",
  'CALL pragma_version()',
  'BEGIN',
  'INSERT INTO t VALUES (3, $$three$$)',
  'ROLLBACK',
  `COPY t TO '${path('out.csv')}'`,
  `COPY t FROM '${path('plain.csv')}'`,
  `FROM read_csv('${path('plain.csv')}')`,
  `SELECT count(*) FROM read_text('${path('p*.csv')}')`,
  `FROM '${path('out.csv')}'`,
  `FROM glob('${path('*')}')`,
  `CREATE TABLE notes AS SELECT '${file}' AS read_blob`,
  `SELECT * FROM notes WHERE read_blob = '${file}'`,
  `EXPORT DATABASE '${path('export')}'`,
  'EXPLAIN SELECT * FROM t',
  'EXPLAIN ANALYZE SELECT * FROM t',
  'PREPARE q AS SELECT $1::INTEGER',
  'EXECUTE q(1)',
  'DEALLOCATE q',
  'CHECKPOINT',
  'VACUUM',
  'CREATE INDEX by_v ON t (v)',
  "COMMENT ON TABLE t IS 'set threads'",
  'ALTER TABLE t ADD COLUMN "end" INTEGER',
  'SELECT CASE WHEN i = 1 THEN 1 END FROM t',
  'MERGE INTO t USING copied USING (i) WHEN MATCHED THEN DELETE',
  'DROP TABLE copied',
];

describe('what a session may do', () => {
  it.each(ordinary)('%s', async (text) => {
    expect(guard(text, context)).toBeUndefined();
    await session.runAndReadAll(text);
  });

  it('an admin also changes what all share, but never what stops the database', async () => {
    const admin = { ...context, admin: true };
    for (const text of [
      'SET threads = 2',
      'RESET threads',
      "SET GLOBAL TimeZone = 'UTC'",
      'PRAGMA enable_object_cache',
      'CALL disable_logging()',
    ]) {
      expect(await execute(text, admin)).toBe('done');
    }
    for (const text of [
      'SET lock_configuration = true',
      "SET disabled_filesystems = 'LocalFileSystem'",
      'DETACH nest',
      'DELETE FROM cuckoo_ledger.closed',
    ]) {
      expect(await execute(text, admin)).toBe('refused');
    }
  });

  it.each(['PRAGMA enable_profiling', "SET enable_profiling = 'json'", 'pragma enable_profile', 'CALL enable_profiling()'])(
    "nobody profiles Cuckoo's own statements: %s",
    (text) => {
      expect(guard(text, { ...context, admin: true })).toMatchObject({
        code: 'forbidden',
        hint: expect.stringContaining('EXPLAIN ANALYZE'),
      });
      expect(guardBody(text)?.code).toBe('forbidden');
    },
  );

  it('attached files are open databases too, and may be attached again by the statement that says so', async () => {
    await session.run(`ATTACH '${path('second.duckdb')}' AS second`);
    await session.run('CREATE TABLE second.t (i INTEGER)');
    expect(guard(`FROM read_blob('${path('second.duckdb')}')`, context)?.code).toBe('forbidden');
    expect(await execute(`ATTACH IF NOT EXISTS '${path('second.duckdb')}' AS second`)).toBe('done');
    await session.run('DETACH second');
    expect(guard(`SELECT size FROM read_blob('${path('second.duckdb')}')`, context)).toBeUndefined();
  });

  it('a database in memory is no file', () => {
    expect(guard("FROM read_blob('*')", { admin: false, mainDatabase: 'memory', filePath: undefined })).toBeUndefined();
  });
});

describe('writes to our relations name the statement to use', () => {
  it.each([
    ["DELETE FROM cron.runs WHERE state = 'failed'", 'keep:'],
    ['INSERT INTO cron.runs DEFAULT VALUES', 'RUN SCHEDULE'],
    ["UPDATE cron.schedules SET enabled = false WHERE name = 'x'", 'ALTER SCHEDULE'],
    ["INSERT INTO cron.schedules VALUES ('x')", 'UPSERT SCHEDULE'],
    ['DELETE FROM cron.schedules', 'DROP SCHEDULE'],
    ['DELETE FROM cuckoo_ledger.schedule', 'DROP SCHEDULE'],
    ['TRUNCATE nest.cron.queues', 'DROP QUEUE'],
    ["UPDATE cron.settings SET value = '1'", 'SET cron.name'],
    ['DELETE FROM cron.settings', 'RESET cron.name'],
    ['DELETE FROM cron.dead_letters', 'DROP DEAD LETTER'],
    ['DELETE FROM cron.job', 'cron.unschedule'],
    ['INSERT INTO cron.job (schedule, command) VALUES (1, 2)', 'cron.schedule('],
    ['UPDATE cron.job_run_details SET status = 1', 'DELETE FROM cron.job_run_details'],
    ['DELETE FROM cron.workers', 'LIST'],
  ])('%s', (text, hint) => {
    const refused = guard(text, context);
    expect(refused?.code).toBe('forbidden');
    expect(refused?.hint).toContain(hint);
    expect(text.slice(refused?.span?.start, refused?.span?.end)).toMatch(/cron|cuckoo/);
  });

  it('pg_cron: its two writes are carried out elsewhere', () => {
    expect(guard("DELETE FROM cron.job_run_details WHERE end_time < now() - INTERVAL '7 days'", context)).toBeUndefined();
    expect(guard("UPDATE cron.job SET active = false WHERE jobname = 'x'", context)).toBeUndefined();
  });
});

describe('a body holds no more than a run may do', () => {
  it.each([
    'BEGIN',
    'START TRANSACTION',
    'COMMIT',
    'END',
    'ROLLBACK',
    'ABORT',
    'EXPLAIN ANALYZE COMMIT',
    "ATTACH ':memory:' AS other_one",
    'DETACH other_one',
    'USE elsewhere',
    "SET schema = 'main'",
    "SET search_path = 'main'",
    'SET threads = 1',
    "UPSERT SCHEDULE x ( sched: '@daily', sql: 'SELECT 1' )",
    'RUN SCHEDULE x',
    'LIST SCHEDULES',
    'DROP SCHEDULE x',
    "SET cron.timezone = 'UTC'",
    'ALTER SCHEDULE x SET ( enabled: false )',
    "SELECT cron.schedule('x', '@daily', 'SELECT 1')",
    'SELECT cron.unschedule(jobid) FROM cron.job',
    'UPDATE cron.job SET active = false',
    `IMPORT DATABASE '${path('export')}'`,
  ])('refused: %s', (text) => {
    const refused = guardBody(text);
    expect(refused?.code).toBe('forbidden');
    expect(refused?.hint).toBeTruthy();
  });

  it.each([
    'SELECT CASE WHEN 1 = 1 THEN 2 END',
    'INSERT INTO t SELECT 1, $run_id',
    'CALL purge(30)',
    "SET TimeZone = 'UTC'",
    'SET VARIABLE x = 1',
    'CREATE TEMP TABLE stage AS SELECT * FROM cron.runs',
    "DELETE FROM cron.job_run_details WHERE end_time < now() - INTERVAL '7 days'",
    'UPDATE t SET v = $$COMMIT$$',
    "COPY t TO 'out.csv'",
    'CHECKPOINT',
  ])('allowed: %s', (text) => {
    expect(guardBody(text)).toBeUndefined();
  });

  it('a mistake in one of our statements is that mistake', () => {
    expect(guardBody('UPSERT SCHEDULE')?.code).toBe('syntax_error');
  });
});

describe('wherever SQL stands in a statement of ours', () => {
  test('the open file is not read, and DuckDB keeps its lock', async ({ db }) => {
    await db.run('UPSERT PROCEDURE take(size BIGINT) AS BEGIN SELECT $size; END');
    const reads = `(SELECT max(size) FROM read_blob('${db.path}'))`;
    for (const text of [
      `SELECT ${reads}`,
      `CALL take(${reads})`,
      `LIST SCHEDULES WHERE version = ${reads}`,
      `UPSERT PROCEDURE bad() AS BEGIN SELECT ${reads}; END`,
      `UPSERT PROCEDURE bad(size BIGINT DEFAULT ${reads}) AS BEGIN SELECT $size; END`,
      `UPSERT SCHEDULE bad ( sched: '@daily', sql: $$SELECT ${reads}$$ )`,
      `UPSERT SCHEDULE bad ( sched: '@daily', sql: 'SELECT 1', when: $$SELECT ${reads} > 0$$ )`,
      `SELECT cron.schedule('bad', '@daily', $$SELECT ${reads}$$)`,
    ]) {
      const mistake = await db.mistake(text);
      expect([mistake.code, mistake.hint]).toEqual(['forbidden', expect.stringContaining('BACKUP TO')]);
      if (!text.includes('cron.schedule')) expect(mistake.at).toBe(`'${db.path}'`);
    }
    expect(db.engine.database.holdsLock()).not.toBe(false);
    expect(await db.rows('SELECT name FROM cron.schedules')).toEqual([]);
  });
});

it('any text is either refused or not: the guard never fails', () => {
  const words = hostile.flatMap((text) => text.split(/(\W)/)).filter((piece) => piece !== '');
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words), { maxLength: 25 }), (pieces) => {
      guard(pieces.join(''), context);
      guardBody(pieces.join(' '));
    }),
    { numRuns: 3000 },
  );
});
