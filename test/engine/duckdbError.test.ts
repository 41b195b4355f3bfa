// DuckDB's errors, from DuckDB itself: what it says changes with its versions, and with it this test fails.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { duckdbDiagnostic } from '../../src/engine/duckdbError.ts';
import { type NativeConnection, type NativeDatabase, openNative } from '../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

let database: NativeDatabase;
let connection: NativeConnection;
beforeAll(async () => {
  database = await openNative(':memory:', { clock: systemClock });
  connection = await database.connect();
  await connection.run(
    'CREATE TABLE product(id INTEGER PRIMARY KEY, quantity INTEGER CHECK (quantity >= 0)); INSERT INTO product VALUES (1, 1)',
  );
  await connection.run('CREATE TABLE part(id INTEGER REFERENCES product(id)); CREATE TABLE "größe"(é INTEGER)');
});
afterAll(() => database.close());

const errorOf = async (sql: string, on = connection): Promise<Diagnostic> => {
  const error = await on.all(sql).catch((reason: unknown) => reason);
  if (!(error instanceof Diagnostic)) throw new Error(`${sql} answered ${String(error)}`);
  return error;
};

describe('codes', () => {
  test.each([
    ['SELEC 1', 'syntax_error'],
    ["SELECT 'abc", 'syntax_error'],
    ['SELECT nosuch FROM product', 'undefined_column'],
    ['SELECT p.nosuch FROM product p', 'undefined_column'],
    ['UPDATE product SET nosuch = 1', 'undefined_column'],
    ['INSERT INTO product(nosuch) VALUES (1)', 'undefined_column'],
    ['ALTER TABLE product DROP COLUMN nosuch', 'undefined_column'],
    ['FROM nosuch', 'undefined_table'],
    ['DROP TABLE nosuch', 'undefined_table'],
    ['SELECT a.b FROM product', 'undefined_table'],
    ['SELECT nosuch(1)', 'unknown_function'],
    ['SELECT lower(1, 2, 3)', 'unknown_function'],
    ['FROM nosuch()', 'unknown_function'],
    ['CALL nosuch()', 'unknown_function'],
    ['PRAGMA nosuch', 'unknown_function'],
    ['SELECT 1::nosuch', 'undefined_object'],
    ['DROP SCHEMA nosuch', 'undefined_object'],
    ["SELECT nextval('nosuch')", 'undefined_object'],
    ['SET nosuch = 1', 'undefined_object'],
    ['USE nosuch', 'undefined_object'],
    ['CREATE TABLE product(i INTEGER)', 'duplicate_object'],
    ['CREATE SCHEMA main', 'duplicate_object'],
    ['SELECT id FROM product a, product b', 'ambiguous'],
    ['DROP TABLE product', 'in_use'],
    ["SELECT 'x'::INTEGER", 'conversion'],
    ['SELECT 9223372036854775807 + 1', 'out_of_range'],
    ['INSERT INTO product VALUES (1, 1)', 'constraint'],
    ['INSERT INTO product VALUES (2, -1)', 'constraint'],
    ['INSERT INTO product VALUES (NULL, 1)', 'constraint'],
    ['INSERT INTO product VALUES (1, 2, 3)', 'syntax_error'],
    ["SELECT error('mine')", 'invalid_value'],
    ['COMMIT', 'no_transaction'],
    ["FROM read_csv('/nosuch.csv')", 'file_not_found'],
    ["ATTACH '/nosuch/x.db'", 'file_not_found'],
    ["COPY product TO '/nosuch/x.csv'", 'file_not_found'],
    ['LOAD spatial', 'missing_dependency'],
    ["SELECT st_area('x')", 'missing_dependency'],
    ["SELECT now() AT TIME ZONE 'Mars'", 'unsupported'],
  ] as const)('%s: %s', async (sql, code) => {
    const error = await errorOf(sql);
    expect([error.code, error.message]).toEqual([code, expect.not.stringMatching(/exception_type|^\w+ Error:|\n/)]);
  });

  test('BEGIN in a transaction, a statement in an aborted one, a conflict', async () => {
    const other = await database.connect();
    await connection.run('BEGIN');
    expect((await errorOf('BEGIN')).code).toBe('in_transaction');
    expect(await errorOf('SELECT 1')).toMatchObject({ code: 'aborted_transaction', sqlstate: '25P02', hint: /ROLLBACK/ });
    await connection.run('ROLLBACK; BEGIN; UPDATE product SET quantity = 2');
    await other.run('BEGIN');
    expect(await errorOf('UPDATE product SET quantity = 3', other)).toMatchObject({ code: 'conflict', sqlstate: '40001' });
    await connection.run('ROLLBACK');
    await other.close();
  });

  test('memory that runs out keeps what DuckDB advises as the hint', async () => {
    const small = await openNative(':memory:', {
      clock: systemClock,
      settings: { memory_limit: '60MB', threads: '1', temp_directory: '' },
    });
    const error = await errorOf(
      'CREATE TABLE t AS SELECT hash(i)::VARCHAR || hash(i + 1)::VARCHAR FROM range(20000000) r(i)',
      await small.connect(),
    );
    expect(error).toMatchObject({ code: 'out_of_memory', sqlstate: '53200', hint: /Possible solutions/ });
    await small.close();
  });
});

describe('places', () => {
  test.each([
    ['SELECT 1, nosuch', 'nosuch'],
    ["SELECT 'é日本😀', nosuch", 'nosuch'],
    ['SELECT 1 FROM "größe" WHERE nosuch = 1', 'nosuch'],
    ["SELECT '😀é' FROM (selec 1)", '1'],
    ["SELECT 'é😀' ; SELEC 2", 'SELEC'],
    ['SELECT\u00a01,\u3000nosuch', 'nosuch'],
    ["SELECT '\u00a0', nosuch", 'nosuch'],
    ['SELECT\u00a01 x y', 'y'],
    ["/* é */ SELECT lenght('é')", 'lenght'],
    ["SELECT 'é'::INTEGER", '::'],
    ["SELECT 'abc", "'abc"],
    ['SELECT "é', '"é'],
    ["SELECT 'é' +", ''],
  ])('%s points at %s', async (sql, expected) => {
    const { span } = await errorOf(sql);
    expect(span).toBeDefined();
    expect(sql.slice(span?.start, span?.end)).toBe(expected);
  });

  test('the end of the text is a place too', async () => {
    const sql = "SELECT 'é' +";
    expect((await errorOf(sql)).span).toEqual({ start: sql.length, end: sql.length });
  });
});

describe('hints', () => {
  test.each([
    ["SELECT lenght('x')", 'Did you mean "length"?'],
    ['SELECT quantiti FROM product', 'Did you mean "quantity"?'],
    ['SELECT amount FROM (SELECT 1 AS amounts, 2 AS amounted)', 'Did you mean "amounts" or "amounted"?'],
    ['FROM prodct', 'Did you mean "product"?'],
    ['UPDATE product SET idd = 1', 'Did you mean "id"?'],
    // DuckDB would propose a table of its own catalogue.
    ['FROM my_sequences', undefined],
    ['SELECT lower(1, 2)', expect.stringContaining('lower(VARCHAR) -> VARCHAR')],
  ])('%s: %s', async (sql, hint) => {
    expect((await errorOf(sql)).hint).toEqual(hint);
  });
});

describe('other forms', () => {
  test('without errors_as_json the code and the words are the same', async () => {
    const plain = await openNative(':memory:', { clock: systemClock, settings: { errors_as_json: 'false' } });
    const other = await plain.connect();
    expect(await errorOf('SELECT nosuch FROM range(3) r(number)', other)).toMatchObject({
      code: 'undefined_column',
      hint: 'Did you mean "number"?',
    });
    expect(await errorOf('SELEC', other)).toMatchObject({ code: 'syntax_error', message: 'syntax error at or near "SELEC"' });
    await plain.close();
  });

  test('a lock held elsewhere names the process', () => {
    const text =
      'IO Error: Could not set lock on file "/x/y.duckdb": Conflicting lock is held in /usr/bin/python3.12 (PID 4711) by user ann. See also https://..';
    expect(duckdbDiagnostic(new Error(text))).toMatchObject({
      code: 'file_locked',
      message: '"/x/y.duckdb" is held by process 4711 (/usr/bin/python3.12).',
    });
    expect(duckdbDiagnostic(new Error('IO Error: Could not set lock on file "/y": Conflicting lock is held'))).toMatchObject({
      message: '"/y" is held by another process.',
    });
  });

  test.each([
    ['TransactionContext Error: Failed to commit: Could not write file "/x.wal": No space left on device', 'disk_full'],
    ['{"exception_type":"IO","exception_message":"Could not write","errno":"28"}', 'disk_full'],
    ['FATAL Error: Failed: database has been invalidated because of a previous fatal error.', 'fatal'],
    ['{"exception_type":"INTERRUPT","exception_message":"Interrupted!"}', 'cancelled'],
    ['{"exception_type": broken', 'internal'],
    ['something else', 'internal'],
  ])('%s: %s', (text, code) => {
    expect(duckdbDiagnostic(new Error(text)).code).toBe(code);
  });

  test('a Diagnostic stays what it is, and what is no error becomes one', () => {
    const diagnostic = new Diagnostic('closed', 'x');
    expect(duckdbDiagnostic(diagnostic)).toBe(diagnostic);
    expect(duckdbDiagnostic('text')).toMatchObject({ code: 'internal', message: 'text' });
  });
});
