// The rules about the client, one by one, on real databases. Each of these fails on the bare client.

import { spawnSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../../src/core/diagnostic.ts';
import { fileIdentity } from '../../../../src/engine/store/duckdb/file.ts';
import { isOpenForWriting } from '../../../../src/engine/store/duckdb/heldFiles.ts';
import {
  defaultSettings,
  duckdb,
  type NativeConnection,
  type NativeCursor,
  type NativeDatabase,
  type NativeRows,
  openNative,
} from '../../../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../../../src/scheduler/clock.ts';
import { canMount, mountSmallDisk } from '../../../support/smallDisk.ts';

const { BIGINT, BOOLEAN, INTEGER, VARCHAR } = duckdb;
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-native-'));
const opened: NativeDatabase[] = [];
let files = 0;

const newFile = (name = 'file') => {
  files += 1;
  const own = join(folder, String(files));
  mkdirSync(own);
  return join(own, `${name}.duckdb`);
};
const open = async (path: string, options: { readOnly?: boolean; settings?: Record<string, string> } = {}) => {
  const database = await openNative(path, { clock: systemClock, ...options });
  opened.push(database);
  return database;
};
const rowsOf = ({ chunks }: NativeRows) => chunks.flatMap((chunk) => chunk.getRows());
const rows = async (connection: NativeConnection, sql: string, ...parameters: Parameters<NativeConnection['all']>[1][]) =>
  rowsOf(await connection.all(sql, parameters[0]));
const countRows = async (cursor: NativeCursor) => {
  let count = 0;
  for (let chunk = await cursor.next(); chunk !== undefined; chunk = await cursor.next()) count += chunk.rowCount;
  return count;
};
const failure = async (work: Promise<unknown>): Promise<Diagnostic> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Diagnostic)) throw new Error(`expected a Diagnostic, got ${String(error)}`);
  return error;
};
/** Seconds of work for one thread, without a table. */
const slow = 'SELECT count(*) FROM range(3000000000) t(i) WHERE i * i % 7 = 3';

/** For statements that tell when they are at work: `begun()` is true, and whoever waits for it is told. */
function beginnings(database: NativeDatabase): () => Promise<void> {
  let tell = (): void => {};
  database.registerScalar({
    name: 'begun',
    parameterTypes: [],
    returnType: BOOLEAN,
    volatile: true,
    nulls: 'handle',
    call: (input, output) => {
      for (let row = 0; row < input.rowCount; row += 1) output.setItem(row, true);
      tell();
    },
  });
  return () =>
    new Promise((resolve) => {
      tell = resolve;
    });
}

/** The same seconds, once it has told that it is at work. */
const slowOnceBegun = 'SELECT count(*) FROM range(3000000000) t(i) WHERE CASE WHEN i = 0 THEN begun() ELSE i * i % 7 = 3 END';

/** Rows that fill the buffer which DuckDB computes ahead (a megabyte), so that later ones are computed when they are read. */
const wide = 'repeat(i::VARCHAR, 20)';

afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((database) => database.close()));
});

describe('a statement', () => {
  let database: NativeDatabase;
  let connection: NativeConnection;
  beforeEach(async () => {
    database = await open(':memory:', { settings: { threads: '2' } });
    connection = await database.connect();
  });

  test('answers rows, a count of changes, or nothing', async () => {
    const created = await connection.query('CREATE TABLE t(i INTEGER, s VARCHAR)');
    expect([created.statementType, created.returnType, created.columns, await created.next()]).toEqual([
      'CREATE',
      'nothing',
      [],
      undefined,
    ]);
    const inserted = await connection.query("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    expect([inserted.statementType, inserted.returnType, inserted.rowsChanged, await inserted.next()]).toEqual([
      'INSERT',
      'changed',
      2,
      undefined,
    ]);
    const selected = await connection.query('SELECT i, s FROM t ORDER BY i');
    expect([selected.statementType, selected.returnType, selected.rowsChanged]).toEqual(['SELECT', 'rows', 0]);
    expect(selected.columns.map(({ name, type }) => `${name} ${type}`)).toEqual(['i INTEGER', 's VARCHAR']);
    expect((await selected.next())?.getRows()).toEqual([
      [1, 'a'],
      [2, 'b'],
    ]);
    expect(await selected.next()).toBeUndefined();
    expect(await selected.next()).toBeUndefined();
    expect((await connection.query('CHECKPOINT')).returnType).toBe('nothing');
    const returning = await connection.all("INSERT INTO t VALUES (3, 'c') RETURNING i");
    expect(rowsOf(returning)).toEqual([[3]]);
    expect(await connection.run('UPDATE t SET i = i + 1')).toBe(3);
  });

  test('that DuckDB makes several of (PIVOT) is one', async () => {
    await connection.run('CREATE TABLE t AS SELECT i % 3 AS k FROM range(9) r(i)');
    const cursor = await connection.query('PIVOT t ON k USING count(*)');
    expect(cursor.columns.map(({ name }) => name)).toEqual(['0', '1', '2']);
    expect((await cursor.next())?.getRows()).toEqual([[3n, 3n, 3n]]);
  });

  test('that is empty is an error, not an answer', async () => {
    for (const sql of ['', '   ', '-- nothing', ';']) expect((await failure(connection.query(sql))).code).toBe('syntax_error');
  });

  test('is refused where it holds a NUL, at which the client would cut it off', async () => {
    await connection.run('CREATE TABLE t AS FROM range(10) r(i)');
    const error = await failure(connection.query('DELETE FROM t \0 WHERE i = 3'));
    expect(error).toMatchObject({ code: 'invalid_encoding', span: { start: 14, end: 15 } });
    expect(await rows(connection, 'SELECT count(*) FROM t')).toEqual([[10n]]);
  });

  test('takes positional and named parameters', async () => {
    expect(await rows(connection, 'SELECT ? + 1, ?', [{ value: 41, type: INTEGER }, { value: 'x' }])).toEqual([[42, 'x']]);
    expect(await rows(connection, 'SELECT $b || $a || $B', { a: { value: '1' }, b: { value: '2' } })).toEqual([['212']]);
    expect(await rows(connection, 'SELECT $1 || $2 || $1', [{ value: 'x' }, { value: 'y' }])).toEqual([['xyx']]);
    expect(await rows(connection, 'SELECT $x IS NULL', { x: { value: null, type: INTEGER } })).toEqual([[true]]);
  });

  test('names the parameter that is missing or too much, and does not abort the transaction', async () => {
    await connection.run('BEGIN');
    const x = { value: 1, type: INTEGER };
    const cases: [string, Parameters<NativeConnection['query']>[1], string, string][] = [
      ['SELECT $a + $b', { a: x }, 'The parameter $b has no value.', 'Given: $a.'],
      ['SELECT $a', { a: x, c: x }, 'The statement has no parameter $c.', 'Its parameters: $a.'],
      ['SELECT ?, ?', [x], 'The statement has 2 parameters; 1 value was given.', 'Its parameters: $1, $2.'],
      ['SELECT ?', undefined, 'The statement has 1 parameter; 0 values were given.', 'Its parameters: $1.'],
      ['SELECT 1', [x], 'The statement has 0 parameters; 1 value was given.', 'Write ? or $name where a value belongs.'],
    ];
    for (const [sql, parameters, message, hint] of cases) {
      expect(await failure(connection.query(sql, parameters))).toMatchObject({ code: 'undefined_parameter', message, hint });
      expect(connection.transaction).toBe('open');
    }
    expect(await failure(connection.query('SELECT $1, $3', [x]))).toMatchObject({ code: 'undefined_parameter' });
  });

  test('at fault becomes a Diagnostic that points at the place', async () => {
    const error = await failure(connection.query("SELECT 'é', nosuch FROM range(3) r(number)"));
    expect(error).toMatchObject({ code: 'undefined_column', span: { start: 12, end: 18 }, hint: 'Did you mean "number"?' });
  });
});

describe('one statement at a time', () => {
  let database: NativeDatabase;
  let connection: NativeConnection;
  beforeEach(async () => {
    database = await open(':memory:', { settings: { threads: '2' } });
    connection = await database.connect();
    await connection.run('CREATE TABLE many AS SELECT i FROM range(200000) r(i)');
  });

  test('statements sent together run in the order sent', async () => {
    await connection.run('CREATE SEQUENCE s');
    const answers = await Promise.all(Array.from({ length: 20 }, () => rows(connection, "SELECT nextval('s')::INTEGER")));
    expect(answers.map(([row]) => row?.[0])).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  test('a second statement does not cut the rows of the first short', async () => {
    const first = await connection.query('FROM many');
    expect((await first.next())?.rowCount).toBe(2048);
    expect(connection.busy).toBe(true);
    expect(await rows(connection, 'SELECT 42')).toEqual([[42]]);
    expect(await countRows(first)).toBe(200_000 - 2048);
    expect(connection.busy).toBe(false);
  });

  test('a reader that waits for rows is served when a second statement sets them aside', async () => {
    const first = await connection.query('FROM many');
    const reading = countRows(first);
    const [second, third] = await Promise.all([rows(connection, 'SELECT 2'), rows(connection, 'SELECT 3')]);
    expect([second, third, await reading]).toEqual([[[2]], [[3]], 200_000]);
  });

  test('two readers of one cursor get each row once', async () => {
    const cursor = await connection.query('FROM many');
    const counts = await Promise.all([countRows(cursor), countRows(cursor), countRows(cursor)]);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(200_000);
  });

  test('a second statement is refused, with the reason, where too many rows would have to be kept', async () => {
    const first = await connection.query('FROM range(1000000)');
    expect(await failure(connection.query('SELECT 1'))).toMatchObject({ code: 'too_busy' });
    expect(await countRows(first)).toBe(1_000_000);
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
  });

  // The client itself ends such a stream like one that is done.
  test('an error among the later rows is not taken for their end, and its reason is found', async () => {
    const sql = `SELECT 'é', CASE WHEN i = 180000 THEN 'x' ELSE i::VARCHAR END::INTEGER, ${wide} FROM many -- the end`;
    const error = await failure(connection.query(sql).then(countRows));
    expect(error).toMatchObject({ code: 'conversion', message: "Could not convert string 'x' to INT32" });
    expect(sql.slice(error.span?.start, error.span?.end)).toBe('::');
    const withParameter = connection.query(`SELECT CASE WHEN i = $at THEN error('at ' || $at) ELSE i END, ${wide} FROM many;`, {
      at: { value: 180_000, type: INTEGER },
    });
    expect((await failure(withParameter.then(countRows))).message).toBe('at 180000');
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
  });

  test('an error among the later rows of a cursor reaches its reader, not the next statement', async () => {
    const first = await connection.query(`SELECT CASE WHEN i = 180000 THEN error('here') ELSE i END, ${wide} FROM many`);
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
    expect(await failure(countRows(first))).toMatchObject({ code: 'invalid_value', message: 'here' });
  });

  test('an error among the later rows is known in a transaction too, with its reason where all rows are asked for at once', async () => {
    const sql = `SELECT CASE WHEN i = 180000 THEN error('here') ELSE i END, ${wide} FROM many`;
    await connection.run('BEGIN');
    expect(await failure(connection.query(sql).then(countRows))).toMatchObject({ code: 'internal', message: /does not say why/ });
    expect(connection.transaction).toBe('aborted');
    await connection.run('ROLLBACK; BEGIN');
    expect(await failure(connection.query(sql, undefined, { whole: true }))).toMatchObject({ code: 'invalid_value', message: 'here' });
    expect(connection.transaction).toBe('aborted');
  });

  test('looking for the reason of an error does nothing twice', async () => {
    let calls = 0;
    database.registerScalar({
      name: 'note_down',
      parameterTypes: [BIGINT],
      returnType: BIGINT,
      volatile: true,
      nulls: 'propagate',
      call(input, output) {
        calls += input.rowCount;
        for (let row = 0; row < input.rowCount; row += 1) output.setItem(row, 1n);
      },
    });
    await connection.run('SET threads = 1');
    const sql = `SELECT note_down(i), CASE WHEN i = 180000 THEN error('here') ELSE i END, ${wide} FROM many`;
    expect(await failure(connection.query(sql).then(countRows))).toMatchObject({ code: 'internal' });
    expect(calls).toBeLessThanOrEqual(200_000);
  });

  test('a cancelled cursor ends at once, frees the connection and leaves the transaction open', async () => {
    await connection.run('BEGIN; INSERT INTO many VALUES (-1)', { leaves: 'open' });
    const cursor = await connection.query('FROM many');
    await cursor.next();
    await cursor.cancel();
    await cursor.cancel();
    expect(await cursor.next()).toBeUndefined();
    expect([connection.busy, connection.transaction]).toEqual([false, 'open']);
    await connection.run('COMMIT');
    expect(await rows(connection, 'SELECT count(*) FROM many')).toEqual([[200_001n]]);
  });

  test('a cursor can be cancelled while its rows are being computed', async () => {
    // The first rows come at once; after them DuckDB looks through billions for the next.
    const begun = beginnings(database)().then(() => 'begun' as const);
    const late = 'CASE WHEN i = 1000000 THEN NOT begun() ELSE i = 2999999999 END';
    const cursor = await connection.query(`SELECT i, ${wide} FROM range(3000000000) t(i) WHERE i < 50000 OR ${late}`);
    let reading = cursor.next();
    while ((await Promise.race([reading, begun])) !== 'begun') reading = cursor.next();
    await cursor.cancel();
    expect(await reading).toBeUndefined();
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
  });

  test('names of tables are only told while nothing runs', async () => {
    expect(connection.tableNames('SELECT * FROM many, elsewhere.other')).toEqual(['elsewhere.other', 'many']);
    const running = connection.query('SELECT 1');
    expect(() => connection.tableNames('FROM many')).toThrow(/another statement runs/);
    await countRows(await running);
  });
});

describe('cancelling', () => {
  let database: NativeDatabase;
  let connection: NativeConnection;
  beforeEach(async () => {
    database = await open(':memory:', { settings: { threads: '2' } });
    connection = await database.connect();
  });

  test('always ends the statement, also 0 to 5 ms after its start', async () => {
    const codes = new Set<string>();
    for (let round = 0; round < 300; round += 1) {
      const asked = round % 2 === 0 ? connection.all(slow) : connection.all(`${slow} + ?`, [{ value: round, type: INTEGER }]);
      const ended = failure(asked);
      const delay = round % 6;
      if (delay > 0) await systemClock.sleep(delay);
      else if (round % 4 === 0) await systemClock.yieldTurn();
      await connection.interrupt();
      codes.add((await ended).code);
    }
    expect([...codes]).toEqual(['cancelled']);
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
  });

  test('by a signal ends the statement, running or waiting, and no other', async () => {
    const running = new AbortController();
    const waiting = new AbortController();
    const first = failure(connection.all(slow, undefined, { signal: running.signal }));
    const second = failure(connection.all('SELECT 2', undefined, { signal: waiting.signal }));
    const third = rows(connection, 'SELECT 3');
    waiting.abort();
    expect((await second).code).toBe('cancelled');
    running.abort();
    expect((await first).code).toBe('cancelled');
    expect(await third).toEqual([[3]]);
    expect((await failure(connection.all('SELECT 4', undefined, { signal: running.signal }))).code).toBe('cancelled');
  });

  test('aborts the transaction the statement ran in, and says so', async () => {
    const begun = beginnings(database)();
    await connection.run('BEGIN');
    const ended = failure(connection.all(slowOnceBegun));
    await begun;
    await connection.interrupt();
    expect((await ended).code).toBe('cancelled');
    expect(connection.transaction).toBe('aborted');
    await connection.run('ROLLBACK');
    expect(connection.transaction).toBe('none');
  });

  test('an interrupt of an idle connection is nothing', async () => {
    await connection.interrupt();
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
  });
});

describe('closing', () => {
  test('a busy connection answers its statement first, then closes', async () => {
    const database = await open(':memory:', { settings: { threads: '2' } });
    const nextBeginning = beginnings(database);
    for (let round = 0; round < 20; round += 1) {
      const connection = await database.connect();
      const begun = nextBeginning();
      const running = failure(connection.all(slowOnceBegun));
      const waiting = failure(connection.all('SELECT 1'));
      if (round % 2 === 0) await begun;
      await connection.close();
      await connection.close();
      expect((await running).code).toBe('cancelled');
      expect((await waiting).code).toBe('closed');
      expect((await failure(connection.query('SELECT 1'))).code).toBe('closed');
    }
    // Each lost connection would have kept a thread of the pool for ever.
    expect(await rows(await database.connect(), 'SELECT 1')).toEqual([[1]]);
  });

  test('a connection with unread rows tells their reader', async () => {
    const database = await open(':memory:');
    const connection = await database.connect();
    const cursor = await connection.query('FROM range(1000000)');
    await cursor.next();
    await connection.close();
    expect((await failure(countRows(cursor))).code).toBe('closed');
    await cursor.cancel();
  });

  test('a connection rolls its transaction back', async () => {
    const database = await open(':memory:');
    const other = await database.connect();
    const connection = await database.connect();
    await other.run('CREATE TABLE t(i INTEGER)');
    await connection.run('BEGIN; INSERT INTO t VALUES (1)');
    await connection.close();
    expect(await rows(other, 'SELECT count(*) FROM t')).toEqual([[0n]]);
  });

  test.each(['unread', 'given up'])('a connection rolls its transaction back at once, also with rows that are %s', async (how) => {
    const database = await open(':memory:');
    const other = await database.connect();
    const connection = await database.connect();
    await other.run('CREATE TABLE t AS SELECT 1 AS i');
    await connection.run('BEGIN; UPDATE t SET i = 2');
    const cursor = await connection.query(`SELECT ${wide} FROM range(1000000) t(i)`);
    await cursor.next();
    if (how === 'given up') await cursor.cancel();
    await connection.close();
    // It would be a conflict.
    await other.run('UPDATE t SET i = 3');
    expect(await rows(other, 'FROM t')).toEqual([[3]]);
    expect(cursor.columns).toHaveLength(1);
  });

  test('a database closes all that runs on it, twice if asked', async () => {
    const database = await open(newFile());
    const connections = await Promise.all([database.connect(), database.connect()]);
    const running = connections.map((connection) => failure(connection.all(slow)));
    await Promise.all([database.close(), database.close()]);
    expect((await Promise.all(running)).map(({ code }) => code)).toEqual(['cancelled', 'cancelled']);
    expect((await failure(database.connect())).code).toBe('closed');
  });

  test('a database waits for connections that are being made', async () => {
    for (let round = 0; round < 20; round += 1) {
      const database = await openNative(':memory:', { clock: systemClock });
      const connecting = Array.from({ length: 5 }, () => database.connect({ progress: true }));
      await database.close();
      for (const connection of await Promise.all(connecting)) {
        expect((await failure(connection.query('SELECT 1'))).code).toBe('closed');
      }
    }
  });

  test('a file leaves no write-ahead log and no lock behind', async () => {
    const path = newFile();
    const database = await open(path);
    const connection = await database.connect();
    await connection.run('CREATE TABLE t AS FROM range(1000)');
    expect(existsSync(`${path}.wal`)).toBe(true);
    await database.close();
    expect(existsSync(`${path}.wal`)).toBe(false);
    const answer = spawnSync(process.execPath, ['-e', probe, path], { encoding: 'utf8' });
    expect(answer.stdout.trim()).toBe('1000');
  });

  // Linux: /proc tells which descriptors are open.
  test.runIf(process.platform === 'linux')(
    'a file is let go of although rows of it were left, given up, or given up in a transaction',
    async () => {
      const path = newFile();
      const database = await open(path);
      const connections = await Promise.all([database.connect(), database.connect(), database.connect()]);
      const cursors = await Promise.all(
        connections.map(async (connection, at) => {
          if (at === 2) await connection.run('BEGIN');
          const cursor = await connection.query(`SELECT ${wide} FROM range(1000000) t(i)`);
          await cursor.next();
          if (at > 0) await cursor.cancel();
          return cursor;
        }),
      );
      expect(isOpenForWriting(fileIdentity(path) ?? '')).toBe(true);
      await database.close();
      expect(isOpenForWriting(fileIdentity(path) ?? '')).toBe(false);
      expect(cursors).toHaveLength(3);
    },
  );
});

/** What any other DuckDB sees in the file. */
const probe = `
  const { DuckDBInstance } = require('@duckdb/node-api');
  DuckDBInstance.create(process.argv[1]).then(async (instance) => {
    const connection = await instance.connect();
    console.log(String((await connection.runAndReadAll('SELECT count(*) FROM t')).getRows()[0][0]));
  }).catch((error) => console.log(error.message));
`;

describe('the state of the transaction', () => {
  let connection: NativeConnection;
  beforeEach(async () => {
    const database = await open(':memory:');
    connection = await database.connect();
    await connection.run('CREATE TABLE t(i INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)');
  });
  const state = async (...statements: string[]) => {
    for (const sql of statements) await connection.all(sql).catch(() => undefined);
    return connection.transaction;
  };

  test('follows BEGIN, COMMIT and ROLLBACK in every form', async () => {
    for (const begin of [
      'BEGIN',
      'begin transaction',
      'START TRANSACTION',
      '/* x */ Begin -- y\n',
      'BEGIN TRANSACTION READ ONLY',
      'EXPLAIN ANALYZE BEGIN',
    ]) {
      for (const end of [
        'COMMIT',
        'commit transaction',
        'END',
        'End Transaction',
        'ROLLBACK',
        'ABORT',
        'rollback /* x */ transaction',
        'EXPLAIN ANALYZE COMMIT',
      ]) {
        expect([begin, await state(begin), end, await state(end)]).toEqual([begin, 'open', end, 'none']);
      }
    }
  });

  test('is not moved by what fails outside one, nor by EXPLAIN without ANALYZE', async () => {
    expect(await state('COMMIT')).toBe('none');
    expect(await state('ROLLBACK', 'EXPLAIN BEGIN')).toBe('none');
    expect(await state('BEGIN', 'EXPLAIN COMMIT')).toBe('open');
  });

  test('is aborted by constraint, conversion and missing files, and by BEGIN inside it', async () => {
    for (const sql of ['INSERT INTO t VALUES (1)', "SELECT 'x'::INTEGER", "FROM read_csv('/nosuch.csv')", "SELECT error('x')", 'BEGIN']) {
      expect([sql, await state('BEGIN', sql)]).toEqual([sql, 'aborted']);
      expect((await failure(connection.query('SELECT 1'))).code).toBe('aborted_transaction');
      expect(await state('SELEC', 'BEGIN')).toBe('aborted');
      expect(await state('ROLLBACK')).toBe('none');
    }
  });

  test('is not aborted by what does not parse, bind or exist', async () => {
    for (const sql of ['SELEC 1', 'SELECT nosuch', 'FROM nosuch', 'DROP TABLE nosuch', 'SET nosuch = 1', 'CREATE TABLE t(i INTEGER)']) {
      expect([sql, await state('BEGIN', sql)]).toEqual([sql, 'open']);
      await connection.run('ROLLBACK');
    }
  });

  test('COMMIT of an aborted one answers, ends it and stores nothing', async () => {
    await state('BEGIN', 'INSERT INTO t VALUES (2)', 'INSERT INTO t VALUES (1)');
    expect(connection.transaction).toBe('aborted');
    await connection.query('COMMIT');
    expect(connection.transaction).toBe('none');
    expect(await rows(connection, 'SELECT i FROM t')).toEqual([[1]]);
  });

  test('a COMMIT that fails ends it', async () => {
    const database = await open(':memory:');
    const [one, other] = await Promise.all([database.connect(), database.connect()]);
    await one.run('CREATE TABLE t(i INTEGER PRIMARY KEY)');
    await one.run('BEGIN; INSERT INTO t VALUES (1)');
    await other.run('BEGIN; INSERT INTO t VALUES (1)');
    await one.query('COMMIT');
    expect((await failure(other.query('COMMIT'))).code).toBe('constraint');
    expect(other.transaction).toBe('none');
  });

  test('is known after a whole text, told or not, and after one that stopped in the middle', async () => {
    await connection.run('BEGIN; INSERT INTO t VALUES (2)');
    expect(connection.transaction).toBe('open');
    await connection.run('INSERT INTO t VALUES (3); COMMIT', { leaves: 'none' });
    expect(connection.transaction).toBe('none');
    await failure(connection.run('BEGIN; INSERT INTO t VALUES (4); INSERT INTO t VALUES (1); COMMIT', { leaves: 'none' }));
    expect(connection.transaction).toBe('aborted');
    await connection.run('ROLLBACK');
    expect(connection.transaction).toBe('none');
    expect(await rows(connection, 'SELECT i FROM t ORDER BY i')).toEqual([[1], [2], [3]]);
  });
});

describe('appending', () => {
  let database: NativeDatabase;
  let connection: NativeConnection;
  const table = { schema: 'main', table: 't' };
  beforeEach(async () => {
    database = await open(':memory:');
    connection = await database.connect();
    await connection.run('CREATE TABLE t(i BIGINT, s VARCHAR NOT NULL)');
  });

  test('happens only inside a transaction', async () => {
    expect((await failure(connection.append(table, [[1n], ['a']]))).code).toBe('internal');
    await connection.run('BEGIN');
    await failure(connection.query("SELECT 'x'::INTEGER"));
    expect((await failure(connection.append(table, [[1n], ['a']]))).code).toBe('internal');
    await connection.run('ROLLBACK');
    expect(await rows(connection, 'SELECT count(*) FROM t')).toEqual([[0n]]);
  });

  test('is part of the COMMIT, whole, and of the ROLLBACK', async () => {
    const count = 5000;
    const numbers = BigInt64Array.from({ length: count }, (_, index) => BigInt(index));
    const words = Array.from({ length: count }, (_, index) => `s${index}`);
    await connection.run('BEGIN');
    await connection.append(table, [numbers, words]);
    await connection.append(table, [[null], ['last']]);
    const other = await database.connect();
    expect(await rows(other, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await connection.run('COMMIT');
    expect(await rows(other, 'SELECT count(*), sum(i)::BIGINT, max(s), count(i) FROM t')).toEqual([[5001n, 12_497_500n, 's999', 5000n]]);
    await connection.run('BEGIN');
    await connection.append(table, [[1n], ['a']]);
    await connection.run('ROLLBACK');
    expect(await rows(other, 'SELECT count(*) FROM t')).toEqual([[5001n]]);
  });

  test('that breaks a constraint, has the wrong columns or no such table leaves nothing behind', async () => {
    const attempts: [() => Promise<void>, string][] = [
      [
        () =>
          connection.append(table, [
            [1n, 2n],
            ['a', null],
          ]),
        'constraint',
      ],
      [() => connection.append(table, [[1n]]), 'internal'],
      [() => connection.append(table, [[1n, 2n], ['a']]), 'internal'],
      [() => connection.append({ schema: 'main', table: 'nosuch' }, [[1n]]), 'undefined_table'],
    ];
    for (const [attempt, code] of attempts) {
      await connection.run('BEGIN');
      await connection.append(table, [[0n], ['kept?']]);
      expect((await failure(attempt())).code).toBe(code);
      await connection.run('ROLLBACK');
      expect(await rows(connection, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    }
  });
});

describe('functions', () => {
  test('are there for every connection at once, and know who asks', async () => {
    const database = await open(':memory:');
    const early = await database.connect();
    database.registerScalar({
      name: 'who_asks',
      parameterTypes: [],
      returnType: BIGINT,
      volatile: true,
      nulls: 'handle',
      call(input, output, connection) {
        for (let row = 0; row < input.rowCount; row += 1) output.setItem(row, BigInt(connection));
      },
    });
    const late = await database.connect();
    expect(early.id).not.toBe(late.id);
    for (const connection of [early, late]) {
      expect(await rows(connection, 'SELECT DISTINCT who_asks() FROM range(5000)')).toEqual([[BigInt(connection.id)]]);
    }
  });

  test('answer NULL for NULL, also over a column, unless they handle it', async () => {
    const database = await open(':memory:');
    const connection = await database.connect();
    for (const nulls of ['propagate', 'handle'] as const) {
      database.registerScalar({
        name: `shout_${nulls}`,
        parameterTypes: [VARCHAR, VARCHAR],
        returnType: VARCHAR,
        nulls,
        call(input, output) {
          for (let row = 0; row < input.rowCount; row += 1) output.setItem(row, `${input.getRowValues(row).join()}!`);
        },
      });
    }
    const over = (name: string) => rows(connection, `SELECT ${name}(a, b) FROM (VALUES ('x', 'y'), (NULL, 'y'), ('x', NULL)) t(a, b)`);
    expect(await over('shout_propagate')).toEqual([['x,y!'], [null], [null]]);
    expect(await over('shout_handle')).toEqual([['x,y!'], [',y!'], ['x,!']]);
    expect(await rows(connection, "SELECT shout_propagate(NULL, 'y'), shout_handle(NULL, 'y')")).toEqual([[null, ',y!']]);
  });

  test('that throw fail the statement with their words', async () => {
    const database = await open(':memory:');
    const connection = await database.connect();
    database.registerScalar({
      name: 'boom',
      parameterTypes: [],
      returnType: INTEGER,
      volatile: true,
      nulls: 'handle',
      call() {
        throw new Error('not today: é');
      },
    });
    expect((await failure(connection.all('SELECT boom()'))).message).toBe('not today: é');
    expect(await rows(connection, 'SELECT 1')).toEqual([[1]]);
  });
});

describe('opening', () => {
  test('a file twice in one process reaches one instance, by any of its names', async () => {
    const path = newFile();
    const first = await open(path);
    const one = await first.connect();
    await one.run('CREATE TABLE t(i INTEGER)');
    const symbolic = join(folder, 'symbolic.duckdb');
    const hard = join(folder, 'hard.duckdb');
    symlinkSync(path, symbolic);
    linkSync(path, hard);
    for (const name of [path, symbolic, hard]) {
      const again = await open(name);
      expect([again.path, again.shared]).toEqual([first.path, true]);
      const other = await again.connect();
      await other.run('INSERT INTO t VALUES (1)');
      await again.close();
    }
    expect(await rows(one, 'SELECT count(*) FROM t')).toEqual([[3n]]);
    expect(first.shared).toBe(false);
    await first.close();
    const answer = spawnSync(process.execPath, ['-e', probe, path], { encoding: 'utf8' });
    expect(answer.stdout.trim()).toBe('3');
  });

  test('a file ten times at once reaches one instance', async () => {
    const path = newFile();
    const databases = await Promise.all(Array.from({ length: 10 }, () => open(path)));
    await (await databases[0]!.connect()).run('CREATE TABLE t AS SELECT 0 AS i');
    await Promise.all(databases.map(async (database, index) => (await database.connect()).run(`INSERT INTO t VALUES (${index})`)));
    await Promise.all(databases.map((database) => database.close()));
    const again = await open(path);
    expect(await rows(await again.connect(), 'SELECT count(*) FROM t')).toEqual([[11n]]);
  });

  test('a file again while it is being closed waits for the end', async () => {
    const path = newFile();
    const first = await open(path);
    await (await first.connect()).run('CREATE TABLE t AS FROM range(100000)');
    const closing = first.close();
    const second = await open(path);
    await closing;
    expect(await rows(await second.connect(), 'SELECT count(*) FROM t')).toEqual([[100_000n]]);
  });

  test('a new file never shows it half made', async () => {
    const path = newFile();
    await open(path);
    expect(readdirSync(join(path, '..'))).toEqual(['file.duckdb']);
  });

  test('read-only neither writes nor creates, and does not mix with writing', async () => {
    const path = newFile();
    expect((await failure(open(path, { readOnly: true }))).code).toBe('file_not_found');
    const writer = await open(path);
    expect((await failure(open(path, { readOnly: true }))).code).toBe('in_use');
    await writer.close();
    const reader = await open(path, { readOnly: true });
    const connection = await reader.connect();
    expect((await failure(connection.query('CREATE TABLE t(i INTEGER)'))).code).toBe('read_only');
    expect((await failure(open(path))).code).toBe('in_use');
    expect((await failure(open(':memory:', { readOnly: true }))).code).toBe('usage');
  });

  test('a file that another database of this process has attached is refused', async () => {
    const attached = newFile();
    const database = await open(newFile());
    const connection = await database.connect();
    await connection.run(`ATTACH '${attached}' AS other`);
    const error = await failure(open(attached));
    if (process.platform === 'linux') expect(error.code).toBe('in_use');
    await connection.run('DETACH other');
  });

  test('a file that this process has open as a database of its own is not attached to another', async () => {
    const path = newFile();
    const [first, second] = [await open(path), await open(newFile())];
    const hard = join(folder, "it's hard.duckdb");
    linkSync(path, hard);
    const connection = await second.connect();
    for (const name of [path, hard.replace("'", "''")]) {
      expect((await failure(connection.query(`ATTACH IF NOT EXISTS '${name}' AS other (READ_ONLY)`))).code).toBe('in_use');
    }
    if (process.platform === 'linux') expect(first.holdsLock()).toBe(true);
    expect((await failure((await first.connect()).query(`ATTACH '${path}' AS again`))).code).toBe('in_use');
  });

  test('two databases in memory are two', async () => {
    const [one, other] = [await open(':memory:'), await open('')];
    await (await one.connect()).run('CREATE TABLE t(i INTEGER)');
    expect((await failure((await other.connect()).query('FROM t'))).code).toBe('undefined_table');
  });

  test.each(['cron', 'Cron', 'cron.v2', 'cuckoo_ledger'])(
    'a file called %s.duckdb gets another name, and its schema cron is reached',
    async (name) => {
      const path = newFile(name);
      for (const expected of [1n, 2n]) {
        const database = await open(path);
        expect(database.catalogue).toBe(`${name.split('.')[0]}_file`);
        const [one, other] = await Promise.all([database.connect(), database.connect()]);
        await one.run(
          'CREATE SCHEMA IF NOT EXISTS cron; CREATE SCHEMA IF NOT EXISTS cuckoo_ledger; CREATE TABLE IF NOT EXISTS cron.t(i INTEGER)',
        );
        await other.run('INSERT INTO cron.t VALUES (1)');
        expect(await rows(other, 'SELECT count(*) FROM cron.t')).toEqual([[expected]]);
        expect(await rows(other, 'SELECT current_database()')).toEqual([[database.catalogue]]);
        expect(existsSync(`${path}.wal`)).toBe(true);
        await database.close();
        expect(existsSync(`${path}.wal`)).toBe(false);
      }
      const reader = await open(path, { readOnly: true });
      expect((await failure((await reader.connect()).query('INSERT INTO cron.t VALUES (1)'))).code).toBe('read_only');
    },
  );

  test('settings have safe defaults and can be given', async () => {
    const database = await open(':memory:', { settings: { threads: '1' } });
    const connection = await database.connect();
    const settings = new Map(
      (await rows(connection, 'SELECT name, value FROM duckdb_settings()')).map(([name, value]) => [String(name), String(value)]),
    );
    expect(settings.get('autoinstall_known_extensions')).toBe('false');
    expect(settings.get('wal_autocheckpoint')).toBe('61.0 MiB');
    expect(settings.get('threads')).toBe('1');
    expect(Number.parseInt(new Map(Object.entries(defaultSettings())).get('memory_limit') ?? '', 10)).toBeGreaterThan(200);
  });

  test('the lock on the file is seen as long as it is held', async () => {
    const database = await open(newFile());
    expect(database.holdsLock()).toBe(process.platform === 'linux' ? true : undefined);
    expect((await open(':memory:')).holdsLock()).toBeUndefined();
  });

  test('progress is told of a connection that asked for it', async () => {
    const database = await open(':memory:', { settings: { threads: '2' } });
    const connection = await database.connect({ progress: true });
    expect(connection.progress()).toBeUndefined();
    await connection.run('CREATE TABLE t AS FROM range(5000000)');
    const ended = failure(connection.all('SELECT count(*) FROM t a JOIN t b ON a.range % 1000 = b.range % 1000'));
    await expect.poll(() => connection.progress(), { interval: 10, timeout: 10_000 }).toBeGreaterThan(0);
    await connection.interrupt();
    await ended;
  });
});

describe('what one session could do to all', () => {
  test('detaching the main database is refused', async () => {
    const path = newFile('nest');
    const database = await open(path);
    const connection = await database.connect();
    await connection.run("ATTACH ':memory:' AS m; USE m");
    for (const sql of ['DETACH nest', 'detach database "NEST" -- x', 'DETACH DATABASE IF EXISTS nest;']) {
      expect((await failure(connection.query(sql))).code).toBe('forbidden');
    }
  });

  test('a CHECKPOINT after its current database was detached by another session is an error, not the end of the process', async () => {
    const database = await open(newFile());
    const [one, other] = await Promise.all([database.connect(), database.connect()]);
    await one.run("ATTACH ':memory:' AS m; USE m");
    await other.query('DETACH m');
    expect(await failure(one.query('CHECKPOINT'))).toMatchObject({ code: 'undefined_object', hint: 'USE another one first.' });
    await one.run('USE file');
    await one.query('CHECKPOINT');
  });
});

describe('a full disk', () => {
  // Only root may mount a small disk.
  test.skipIf(!canMount)('is an error of its own; after a FATAL checkpoint the file opens again when there is room', async () => {
    const mount = mountSmallDisk(24);
    const path = join(mount, 'full.duckdb');
    const database = await open(path, { settings: { wal_autocheckpoint: '1GB' } });
    const connection = await database.connect();
    await connection.run('CREATE TABLE t(i BIGINT, s VARCHAR)');
    writeFileSync(join(mount, 'ballast'), Buffer.alloc(16_000_000));
    let stored = 0;
    let refused: Diagnostic | undefined;
    while (refused === undefined && stored < 2_000_000) {
      const insert = connection.run(
        `INSERT INTO t SELECT ${stored} + range, hash(range)::VARCHAR || hash(range + ${stored})::VARCHAR FROM range(5000)`,
      );
      refused = await insert.then(
        () => undefined,
        (error: Diagnostic) => error,
      );
      if (refused === undefined) stored += 5000;
    }
    expect(['disk_full', 'io_error', 'fatal']).toContain(refused?.code);
    const checkpoint = await failure(connection.query('CHECKPOINT'));
    expect(checkpoint.code).toBe('fatal');
    expect(database.fatal).toBe(true);
    rmSync(join(mount, 'ballast'));
    await database.close();
    const again = await open(path);
    expect(await rows(await again.connect(), 'SELECT count(*) FROM t')).toEqual([[BigInt(stored)]]);
    await again.close();
  });
});
