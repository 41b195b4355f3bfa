// When DuckDB breaks: everybody hears the same clear thing, and the file opens again.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, test as base, beforeAll, describe, expect } from 'vitest';
import { type Database, type Diagnostic, open, type Result, type Session } from '../src/index.ts';
import { Bench } from './daemon/bin.ts';

let bench: Bench;
let folder: string;
beforeAll(() => {
  bench = new Bench();
  folder = mkdtempSync(join(tmpdir(), 'cuckoo-fatal-'));
});
afterAll(() => {
  bench.clean();
  rmSync(folder, { recursive: true, force: true });
});

/** A mistake in DuckDB 1.5.6, which stops the whole instance. */
const deadly = 'SELECT typeof($1), $1::VARCHAR';

const message = 'The database has stopped after an error inside DuckDB: Invalid PhysicalType for GetTypeIdSize';
const reopens = 'What was committed is in the file, which the next statement opens again.';
const gone = 'Temporary tables and settings of this session are gone.';
const nothingKept = 'Nothing of the open transaction was kept: write ROLLBACK; and begin again.';

const mistake = async (work: Promise<unknown>) => {
  const { code, message, hint } = (await work.then(
    () => expect.unreachable(),
    (error: unknown) => error,
  )) as Diagnostic;
  return { code, message, hint };
};
const rows = async (session: { execute(text: string): Promise<Result> }, text: string) => (await session.execute(text)).toArray();

const test = base.extend<{ db: Database; session: Session }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the first parameter as a pattern of fixtures.
  db: async ({}, use) => {
    await using db = await open(join(mkdtempSync(join(folder, 'db-')), 'my.duckdb'));
    await db.sql('CREATE TABLE t AS SELECT 1 AS i');
    await use(db);
  },
  session: async ({ db }, use) => {
    await using session = await db.session();
    await use(session);
  },
});

describe('after an error that stops DuckDB', () => {
  test('the statement that met it says so, and the next one finds the file opened again, with what was committed', async ({ db }) => {
    await db.sql("UPSERT SCHEDULE a ( sched: '@daily', sql: 'SELECT 1' )");
    await db.sql('CREATE TEMP TABLE mine AS SELECT 1');
    expect(await mistake(db.sql(deadly, ['x']))).toEqual({ code: 'fatal', message, hint: `${reopens} ${gone}` });
    expect(await (await db.sql('FROM t')).toArray()).toEqual([[1]]);
    expect((await mistake(db.sql('FROM mine'))).code).toBe('undefined_table');
    await db.sql('INSERT INTO t VALUES (2)');
    // The live columns and the functions are there too.
    expect(await (await db.sql("SELECT next_run > now(), cron_is_valid('@daily') FROM cron.schedules")).toArray()).toEqual([[true, true]]);
    expect((await db.tick()).unreadable).toEqual([]);
    await db.close();
    await using again = await open(db.path);
    expect(await (await again.sql('FROM t')).toArray()).toEqual([[1], [2]]);
  });

  test('again and again, each time', async ({ db, session }) => {
    for (const round of [1, 2, 3]) {
      expect((await mistake(db.sql(deadly, ['x']))).code).toBe('fatal');
      await session.execute(`INSERT INTO t VALUES (${round})`);
    }
    expect(await rows(session, 'SELECT count(*) FROM t')).toEqual([[4n]]);
  });

  test('another session goes on, and its next result says that what was its own is gone', async ({ db, session }) => {
    await session.execute('CREATE TEMP TABLE mine AS SELECT 1');
    await mistake(db.sql(deadly, ['x']));
    const notice = { message: 'the database has stopped and was opened again', hint: gone };
    expect((await session.execute('FROM t')).warnings).toEqual([notice]);
    expect((await session.execute('FROM t')).warnings).toEqual([]);
  });

  test('a new session, and open() of the same file, open it again too', async ({ db }) => {
    await mistake(db.sql(deadly, ['x']));
    await using session = await db.session();
    expect(await rows(session, 'FROM t')).toEqual([[1]]);
    await mistake(session.execute(deadly, ['x']));
    await using second = await open(db.path);
    expect(await (await second.sql('FROM t')).toArray()).toEqual([[1]]);
  });

  test('sessions that come at once all go on', async ({ db }) => {
    const sessions = await Promise.all(Array.from({ length: 8 }, () => db.session()));
    await mistake(db.sql(deadly, ['x']));
    const counts = await Promise.all(sessions.map((session, i) => rows(session, `INSERT INTO t VALUES (${i}) RETURNING i`)));
    expect(counts).toEqual(sessions.map((_, i) => [[i]]));
    await Promise.all(sessions.map((session) => session.close()));
  });

  test('a database in memory is lost, and every statement says so', async () => {
    await using db = await open(':memory:');
    const lost = { code: 'fatal', message, hint: 'Close it and open another: what is in memory only is lost.' };
    expect(await mistake(db.sql(deadly, ['x']))).toEqual(lost);
    expect(await mistake(db.sql('SELECT 1'))).toEqual(lost);
    expect(await mistake(db.session())).toEqual(lost);
  });
});

describe('a transaction that was open', () => {
  const begin = async (session: Session) => {
    await session.execute('BEGIN');
    await session.execute('INSERT INTO t VALUES (2)');
  };

  test('and met the error is aborted until it is ended, so that nothing of it runs alone', async ({ session }) => {
    await begin(session);
    expect(await mistake(session.execute(deadly, ['x']))).toEqual({ code: 'fatal', message, hint: `${nothingKept} ${reopens} ${gone}` });
    expect(session.transaction).toBe('aborted');
    expect((await mistake(session.execute('INSERT INTO t VALUES (3)'))).code).toBe('aborted_transaction');
    expect((await mistake(session.execute('LIST SCHEDULES'))).code).toBe('aborted_transaction');
    await session.execute('ROLLBACK');
    expect(session.transaction).toBe('none');
    expect(await rows(session, 'FROM t')).toEqual([[1]]);
  });

  test('in another session hears of it at its next statement', async ({ db, session }) => {
    await begin(session);
    await mistake(db.sql(deadly, ['x']));
    await db.sql('FROM t');
    expect(await mistake(session.execute('INSERT INTO t VALUES (3)'))).toEqual({
      code: 'fatal',
      message,
      hint: `${nothingKept} ${reopens} ${gone}`,
    });
    expect(session.transaction).toBe('aborted');
    expect((await session.execute('COMMIT')).warnings[0]?.message).toBe('rolled back: an error before had aborted the transaction');
    expect(await rows(session, 'FROM t')).toEqual([[1]]);
  });

  test('cannot be committed: COMMIT says that nothing was kept, and ends it', async ({ db, session }) => {
    await begin(session);
    await mistake(db.sql(deadly, ['x']));
    const hint = `Nothing of the transaction was kept: run it again from BEGIN. ${reopens} ${gone}`;
    expect(await mistake(session.execute('COMMIT'))).toEqual({ code: 'fatal', message, hint });
    expect(session.transaction).toBe('none');
    await begin(session);
    await session.execute('COMMIT');
    expect(await rows(session, 'FROM t')).toEqual([[1], [2]]);
  });

  test('can be rolled back, which it is', async ({ db, session }) => {
    await begin(session);
    await mistake(db.sql(deadly, ['x']));
    await session.execute('ROLLBACK');
    expect(session.transaction).toBe('none');
    expect(await rows(session, 'FROM t')).toEqual([[1]]);
  });

  test('with definitions has defined nothing', async ({ db, session }) => {
    await session.execute('BEGIN');
    await session.execute("UPSERT SCHEDULE a ( sched: '@daily', sql: 'SELECT 1' )");
    await mistake(db.sql(deadly, ['x']));
    await session.execute('ROLLBACK');
    expect(await rows(session, 'SELECT name FROM cron.schedules')).toEqual([]);
    await session.execute("CREATE SCHEDULE a ( sched: '@daily', sql: 'SELECT 1' )");
  });
});

describe('the command', () => {
  base('ends with code 1', async () => {
    const script = `PREPARE p AS ${deadly}; EXECUTE p('x'); SELECT 5;\n`;
    const ended = await bench.run(['broken.duckdb'], script);
    expect({ ...ended, stderr: ended.stderr.split('\n')[0] }).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `error[fatal] ${message}`,
    });
    expect(await bench.run(['broken.duckdb', '--format', 'csv', '-c', 'SELECT 5'])).toMatchObject({ code: 0, stdout: '5\n5\n' });
  });
});
