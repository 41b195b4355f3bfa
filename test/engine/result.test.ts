import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { Result } from '../../src/engine/result.ts';
import { type NativeConnection, type NativeCursor, type NativeDatabase, openNative } from '../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

let database: NativeDatabase;
let connection: NativeConnection;
let closed: number;

beforeAll(async () => {
  database = await openNative(':memory:', { clock: systemClock });
  connection = await database.connect();
});

afterAll(async () => {
  await connection.close();
  await database.close();
});

async function query(sql: string): Promise<Result> {
  closed = 0;
  const cursor = await connection.query(sql);
  return Result.fromCursor(cursor, { tag: cursor.statementType, onClose: () => closed++ });
}

describe('rows', () => {
  test('come with the columns’ names and types', async () => {
    const result = await query("SELECT 1 AS n, ['x'] AS l, '{}'::JSON AS j");
    expect(result.tag).toBe('SELECT');
    expect(result.columns).toEqual([
      { name: 'n', type: { kind: 'INTEGER' } },
      { name: 'l', type: { kind: 'LIST', item: { kind: 'VARCHAR' } } },
      { name: 'j', type: { kind: 'JSON' } },
    ]);
    expect(await result.toArray()).toEqual([[1, ['x'], '{}']]);
    expect(closed).toBe(1);
  });

  test('are read a chunk at a time, all of them and in order', async () => {
    const result = await query('SELECT i FROM range(10000) t(i) ORDER BY i');
    const sizes: number[] = [];
    let next = 0n;
    for await (const rows of result.chunks()) {
      sizes.push(rows.length);
      for (const [value] of rows) expect(value).toBe(next++);
    }
    expect(next).toBe(10_000n);
    expect(sizes.length).toBeGreaterThan(1);
  });

  test('are computed only as far as they are read', async () => {
    const result = await query('SELECT i FROM range(100000000000) t(i)');
    let seen = 0;
    for await (const row of result) {
      expect(row).toHaveLength(1);
      if (++seen === 3000) break;
    }
    expect(closed).toBe(1);
    expect(await (await query('SELECT 1')).toArray()).toEqual([[1]]);
  });

  test('become objects, in which no column hides another', async () => {
    const result = await query(`SELECT 1 AS a, 2 AS a, 3 AS "a:1", 4 AS "__proto__", 5 AS a`);
    const [row] = await result.toObjects();
    expect(Object.entries(row as object)).toEqual([
      ['a', 1],
      ['a:1', 2],
      ['a:1:1', 3],
      ['__proto__', 4],
      ['a:2', 5],
    ]);
  });

  test('are read once: the second time is an error that says what to do', async () => {
    const result = await query('SELECT 1');
    await result.toArray();
    const error = await result.toArray().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Diagnostic);
    expect(error).toMatchObject({
      code: 'closed',
      message: 'the rows of this result have been read already',
      hint: expect.stringContaining('toArray()'),
    });
  });

  test('that nobody wants are given up by close, twice as well as once', async () => {
    const result = await query('SELECT i FROM range(100000000000) t(i)');
    await result.close();
    await result.close();
    expect(closed).toBe(1);
    await expect(result.toArray()).rejects.toThrow('this result is closed');
  });

  test('that DuckDB stops computing halfway are not taken for all of them', async () => {
    const result = await query("SELECT CASE WHEN i = 400000 THEN error('no more') ELSE i END FROM range(1000000) t(i)");
    await expect(result.toArray()).rejects.toThrow(Diagnostic);
    expect(closed).toBe(1);
    expect(await (await query('SELECT 1')).toArray()).toEqual([[1]]);
  });

  test('that cannot be read end the reading with the error, and let the statement go', async () => {
    let cancelled = 0;
    const cursor: NativeCursor = {
      columns: [],
      statementType: 'SELECT',
      returnType: 'rows',
      rowsChanged: 0,
      next: () => Promise.reject(new Diagnostic('conversion', 'no more')),
      cancel: async () => {
        cancelled++;
      },
    };
    const result = await Result.fromCursor(cursor, { tag: 'SELECT', onClose: () => closed++ });
    closed = 0;
    await expect(result.toArray()).rejects.toThrow('no more');
    expect([cancelled, closed]).toEqual([1, 1]);
  });
});

describe('a statement without rows', () => {
  test('has been carried out, and tells how many rows it changed', async () => {
    const created = await query('CREATE TABLE numbers (n INTEGER)');
    expect([created.rowsChanged, created.columns]).toEqual([undefined, []]);
    const inserted = await query('INSERT INTO numbers SELECT range FROM range(3)');
    expect([inserted.tag, inserted.rowsChanged, inserted.columns]).toEqual(['INSERT', 3, []]);
    expect(closed).toBe(1);
    expect(await inserted.toArray()).toEqual([]);
  });

  test('but with RETURNING has rows', async () => {
    const result = await query('INSERT INTO numbers VALUES (7) RETURNING n * 2 AS twice');
    expect(await result.toObjects()).toEqual([{ twice: 14 }]);
  });
});

describe('our own answers', () => {
  const columns = [
    { name: 'name', type: { kind: 'VARCHAR' } },
    { name: 'outcome', type: { kind: 'VARCHAR' } },
  ] as const;

  test('are results like any other', async () => {
    const result = Result.fromRows({
      tag: 'UPSERT SCHEDULE',
      columns,
      rows: [['nightly', 'created']],
      warnings: [{ message: 'mind the gap' }],
    });
    expect(result.warnings).toEqual([{ message: 'mind the gap' }]);
    expect(await result.toObjects()).toEqual([{ name: 'nightly', outcome: 'created' }]);
  });

  test('come in chunks too', async () => {
    const rows = Array.from({ length: 5000 }, (_, at) => [String(at), null]);
    const result = Result.fromRows({ tag: 'LIST', columns, rows });
    const sizes: number[] = [];
    for await (const chunk of result.columnChunks()) sizes.push(chunk.rowCount);
    expect(sizes).toEqual([2048, 2048, 904]);
  });
});
