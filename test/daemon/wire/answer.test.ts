// Rows that travel come out as they went in, whatever their types; and an answer that is not whole is an error, never fewer rows.

import { describe, expect } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { errorFrame, receiveResult, sendResult } from '../../../src/daemon/wire/answer.ts';
import type { TransactionState } from '../../../src/daemon/wire/protocol.ts';
import { Result } from '../../../src/engine/result.ts';
import { Interval, type SqlType, Timestamp, TimestampTz, UnionValue, type Value, VariantValue } from '../../../src/engine/value.ts';
import { test } from '../../support/database.ts';

async function bytesOf(result: Result, transaction: TransactionState = 'none'): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of sendResult(result, () => transaction)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

class Reception {
  readonly transactions: TransactionState[] = [];
  abandoned = 0;

  onTransaction(state: TransactionState): void {
    this.transactions.push(state);
  }

  broken(error: unknown): Diagnostic {
    return new Diagnostic('unreachable', 'broken', { cause: error });
  }

  abandon(): void {
    this.abandoned++;
  }
}

const receive = (bytes: Uint8Array, size = bytes.length, reception = new Reception()) => receiveResult(inPieces(bytes, size), reception);

/** Sends the rows of a statement, and expects them on the other side. */
async function expectTravels(run: () => Promise<Result>, sizes = [1 << 30, 997]): Promise<void> {
  const before = await run();
  const rows = await before.toArray();
  expect(rows.length).toBeGreaterThan(0);
  const bytes = await bytesOf(await run());
  for (const size of sizes) {
    const after = await receive(bytes, size);
    expect(after.columns).toEqual(before.columns);
    expect(await after.toArray()).toStrictEqual(rows);
  }
}

const typed = (type: SqlType, values: readonly Value[]) => async () =>
  Result.fromRows({ tag: 'SELECT', columns: [{ name: 'x', type }], rows: values.map((value) => [value]) });

describe('rows that travel', () => {
  test('are the same for every type of DuckDB, with its least, its greatest and no value', async ({ db }) => {
    await expectTravels(() => db.result('SELECT * FROM test_all_types()'));
  });

  test('are the same one byte at a time', async ({ db }) => {
    await expectTravels(() => db.result('SELECT * EXCLUDE (large_enum, medium_enum) FROM test_all_types()'), [1]);
  });

  test('are the same where values lie inside of others', async ({ db }) => {
    await db.run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')");
    const values = ["'ok'::mood", "INTERVAL '1 month 2 days 03:04:05'", 'union_value(n := 1)::UNION(n INTEGER, s VARCHAR)', "'x'::VARIANT"];
    for (const value of values) {
      await expectTravels(() =>
        db.result(`
          SELECT ${value} AS itself, [${value}, NULL] AS list, [[${value}], [], NULL] AS lists, array_value(${value}, NULL) AS "array",
            {'a': ${value}, 'b': NULL, '__proto__': [${value}]} AS struct, row(${value}, 2) AS tuple,
            MAP {'k': ${value}, 'l': NULL} AS map, [{'m': MAP {1: [${value}]}}] AS deep
          UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        `),
      );
    }
    await expectTravels(() => db.result("SELECT MAP {'sad'::mood: {'since': INTERVAL '1 day'}} AS x"));
    await expectTravels(() => db.result("SELECT [NULL, {'a': 1, 'b': ['x', NULL]}]::VARIANT AS x, [1, 2.5, NULL]::VARIANT[] AS y"));
  });

  test('are the same where Arrow would have lost something', async () => {
    await expectTravels(typed({ kind: 'INTERVAL' }, [new Interval(-1, 400, 9_223_372_036_854_775_807n), null]));
    await expectTravels(typed({ kind: 'TIMESTAMPTZ' }, [new TimestampTz(9_223_372_036_854_775_807n)]));
    await expectTravels(typed({ kind: 'TIMESTAMP_S' }, [new Timestamp(-9_223_372_036_854_775_807n, 's')]));
    await expectTravels(typed({ kind: 'DOUBLE' }, [-0, Number.NaN, Number.POSITIVE_INFINITY, 5e-324]));
    await expectTravels(
      typed({ kind: 'VARIANT' }, [new VariantValue({ kind: 'DOUBLE' }, -0), new VariantValue({ kind: 'NULL' }, null), null]),
    );
    const members = Array.from({ length: 200 }, (_, at) => ({ tag: `m${at}`, type: { kind: 'INTEGER' } as const }));
    await expectTravels(typed({ kind: 'UNION', members }, [new UnionValue('m199', 7), new UnionValue('m0', null), null]));
    await expectTravels(typed({ kind: 'VARCHAR' }, ['\ufeffwith a mark in front', '', '\0', '🦆']));
  });

  test('are the same over many batches, and where one value fills several frames', async ({ db }) => {
    await expectTravels(
      () => db.result("SELECT i, CASE WHEN i % 7 > 0 THEN 'text ' || i END AS t, [i] AS l FROM range(20000) r(i)"),
      [64_000],
    );
    await expectTravels(() => db.result("SELECT repeat('é🦆', 1000000) AS x UNION ALL SELECT NULL UNION ALL SELECT 'short'"), [64_000]);
  });

  test('may be none, of columns that are told all the same', async ({ db }) => {
    const after = await receive(await bytesOf(await db.result('SELECT 1 AS one, [2] AS two WHERE false')));
    expect(after.columns.map(({ name }) => name)).toEqual(['one', 'two']);
    expect(await after.toArray()).toEqual([]);
  });

  test('carry what stands beside them', async ({ db }) => {
    const rows = [['a', 1]];
    const details = {
      tag: 'RUN',
      columns: [
        { name: 's', type: { kind: 'VARCHAR' } as const },
        { name: 'n', type: { kind: 'INTEGER' } as const },
      ],
      rowsChanged: 3,
      warnings: [{ message: 'careful', hint: 'with this' }, { message: 'and that' }],
      notes: ['a note'],
      form: 'runs' as const,
      prominent: ['n'],
      failure: new Diagnostic('run_failed', 'it failed', { span: { start: 2, end: 5 }, hint: 'look', cause: new Error('inside') }),
    };
    const reception = new Reception();
    const after = await receive(await bytesOf(Result.fromRows({ ...details, rows }), 'open'), 10, reception);
    expect(await after.toArray()).toEqual(rows);
    expect(after).toMatchObject({
      tag: 'RUN',
      rowsChanged: 3,
      warnings: details.warnings,
      notes: details.notes,
      form: 'runs',
      prominent: ['n'],
    });
    expect(after.failure?.toJSON()).toEqual(details.failure.toJSON());
    expect(reception.transactions).toEqual(['open', 'open']);
    const none = await receive(await bytesOf(await db.result('CREATE TABLE t AS SELECT 1')));
    expect([none.columns, none.tag, await none.toArray()]).toEqual([[], 'CREATE TABLE', []]);
  });
});

describe('an answer', () => {
  test('that breaks off anywhere is an error', async ({ db }) => {
    const bytes = await bytesOf(await db.result('SELECT i, i::VARCHAR FROM range(3000) r(i)'));
    for (const length of [0, 3, 5, 100, 1000, bytes.length - 40, bytes.length - 1]) {
      const whole = async () => (await receive(bytes.subarray(0, length), 500)).toArray();
      await expect(whole(), `after ${length} of ${bytes.length} bytes`).rejects.toThrow('broken');
    }
    expect(await (await receive(bytes, 500)).toArray()).toHaveLength(3000);
  });

  test('may be an error from the start, or behind rows', async ({ db }) => {
    const told = new Diagnostic('out_of_range', 'too far', { span: { start: 7, end: 9 }, hint: 'go back', cause: new Error('within') });
    const reception = new Reception();
    const alone = await receive(errorFrame(told, 'aborted'), 4, reception).catch((reason: unknown) => reason);
    expect((alone as Diagnostic).toJSON()).toEqual(told.toJSON());
    expect(reception.transactions).toEqual(['aborted']);
    const bytes = await bytesOf(await db.result('SELECT * FROM range(5000)'));
    const rows = bytes.subarray(0, bytes.length - 50);
    const later = await receive(Buffer.concat([rows.subarray(0, lastFrame(rows)), errorFrame(told, 'none')]));
    await expect(later.toArray()).rejects.toMatchObject({ code: 'out_of_range', span: told.span });
  });

  test('that is garbled is refused before it is believed', async () => {
    const long = Buffer.alloc(5);
    long.writeUInt32BE(0xffff_ffff, 0);
    await expect(receive(long)).rejects.toMatchObject({ cause: { message: 'the answer holds a frame of 4294967295 bytes' } });
    await expect(receive(Buffer.from([0, 0, 0, 0, 9]))).rejects.toMatchObject({
      cause: { message: 'the answer holds a frame of the unknown kind 9' },
    });
    await expect(receive(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))).rejects.toThrow('broken');
  });

  test('that nobody reads to its end is let go of', async ({ db }) => {
    const reception = new Reception();
    const after = await receive(await bytesOf(await db.result('SELECT * FROM range(50000)')), 1000, reception);
    for await (const [first] of after) {
      expect(first).toBe(0n);
      break;
    }
    expect(reception.abandoned).toBeGreaterThan(0);
  });
});

/** Where the last whole frame ends. */
function lastFrame(bytes: Buffer): number {
  let at = 0;
  while (at + 5 <= bytes.length && at + 5 + bytes.readUInt32BE(at) <= bytes.length) at += 5 + bytes.readUInt32BE(at);
  return at;
}
