import * as arrow from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeIpc } from '../../src/engine/arrow.ts';
import { Result } from '../../src/engine/result.ts';
import { type NativeConnection, type NativeDatabase, openNative } from '../../src/engine/store/duckdb/native.ts';
import {
  Bit,
  DateValue,
  Decimal,
  Geometry,
  Interval,
  MapValue,
  type SqlType,
  Timestamp,
  TimestampTz,
  TimeTz,
  TimeValue,
  typeName,
  UnionValue,
  type Value,
  type VariantValue,
} from '../../src/engine/value.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

let database: NativeDatabase;
let connection: NativeConnection;

beforeAll(async () => {
  database = await openNative(':memory:', { clock: systemClock });
  connection = await database.connect();
  await connection.run("SET timezone = 'UTC'");
});

afterAll(async () => {
  await connection.close();
  await database.close();
});

async function query(sql: string): Promise<Result> {
  const cursor = await connection.query(sql);
  return Result.fromCursor(cursor, { tag: cursor.statementType });
}

async function ipc(sql: string, format: 'stream' | 'file'): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeIpc(await query(sql), format)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Written as Arrow, read by apache-arrow's own reader: names, types and every value are what the result said. */
async function expectReadsBackEqual(sql: string, format: 'stream' | 'file' = 'file'): Promise<arrow.Table> {
  const result = await query(sql);
  const rows = await result.toArray();
  const table = arrow.tableFromIPC(await ipc(sql, format));
  expect(table.schema.fields.map((field) => [field.name, field.metadata.get('duckdb.type')])).toEqual(
    result.columns.map((column) => [column.name, typeName(column.type)]),
  );
  expect(table.numRows).toBe(rows.length);
  for (const [at, column] of result.columns.entries()) {
    const values = (table.getChildAt(at)?.data ?? []).flatMap((data) =>
      Array.from({ length: data.length }, (_, row) => decoded(data, row, column.type)),
    );
    expect(values, `${column.name} ${typeName(column.type)}`).toEqual(rows.map((row) => plain(row[at] as Value)));
  }
  return table;
}

/** docs/results.md, read backwards: from Arrow's buffers to values. */
function decoded(data: arrow.Data, row: number, type: SqlType): Value {
  if (type.kind === 'UNION') {
    const place = (data.typeIds as Int8Array)[row]!;
    const member = type.members[place];
    if (member === undefined) return null;
    return new UnionValue(member.tag, decoded(data.children[place]!, (data.valueOffsets as Int32Array)[row]!, member.type));
  }
  if (type.kind === 'NULL' || !data.getValid(row)) return null;
  const get = (): never => new arrow.Vector([data]).get(row) as never;
  const at = data.offset + row;
  const child = (place: number): arrow.Data => data.children[place]!;
  const from = data.valueOffsets === undefined ? 0 : Number((data.valueOffsets as Int32Array)[row]);
  const to = data.valueOffsets === undefined ? 0 : Number((data.valueOffsets as Int32Array)[row + 1]);
  switch (type.kind) {
    case 'BOOLEAN':
      return ((data.values[at >> 3] >> (at & 7)) & 1) === 1;
    case 'HUGEINT':
    case 'UHUGEINT':
      return wideInteger(data, row);
    case 'DECIMAL':
      expect([(data.type as arrow.Decimal).precision, (data.type as arrow.Decimal).scale]).toEqual([type.width, type.scale]);
      return new Decimal(wideInteger(data, row), type.scale);
    case 'BIGNUM':
      return BigInt(get());
    case 'BIT':
      return new Bit(get());
    case 'GEOMETRY':
      return new Geometry(Uint8Array.from(get()));
    case 'BLOB':
      return Uint8Array.from(get());
    case 'UUID':
      return Buffer.from(get() as Uint8Array)
        .toString('hex')
        .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    case 'DATE':
      return new DateValue(data.values[row]);
    case 'TIME':
      return new TimeValue(Number(data.values[row]) * 1000);
    case 'TIME_NS':
      return new TimeValue(Number(data.values[row]));
    case 'TIMETZ':
      return new TimeTz(Number(child(0).values[row]), child(1).values[row]);
    case 'TIMESTAMP':
      return new Timestamp(data.values[row], 'us');
    case 'TIMESTAMP_S':
      return new Timestamp(data.values[row], 's');
    case 'TIMESTAMP_MS':
      return new Timestamp(data.values[row], 'ms');
    case 'TIMESTAMP_NS':
      return new Timestamp(data.values[row], 'ns');
    case 'TIMESTAMPTZ':
      expect((data.type as arrow.TimestampMicrosecond).timezone).toBe('UTC');
      return new TimestampTz(data.values[row]);
    case 'INTERVAL': {
      const words = Int32Array.from(get() as Int32Array);
      return new Interval(words[0]!, words[1]!, new BigInt64Array(words.buffer)[1]! / 1000n);
    }
    case 'LIST':
      return Array.from({ length: to - from }, (_, each) => decoded(child(0), from + each, type.item));
    case 'ARRAY':
      return Array.from({ length: type.length }, (_, each) => decoded(child(0), row * type.length + each, type.item));
    case 'STRUCT': {
      const values = type.fields.map((field, place) => decoded(child(place), row, field.type));
      return type.fields.every((field) => field.name === '')
        ? values
        : Object.fromEntries(type.fields.map((field, place) => [field.name, values[place]!]));
    }
    case 'MAP': {
      const [keys, items] = child(0).children as [arrow.Data, arrow.Data];
      return new MapValue(
        Array.from(
          { length: to - from },
          (_, each) => [decoded(keys, from + each, type.key), decoded(items, from + each, type.value)] as const,
        ),
      );
    }
    case 'VARIANT':
      return [decoded(child(0), row, { kind: 'VARCHAR' }), decoded(child(1), row, { kind: 'VARCHAR' })];
    default:
      return get();
  }
}

function wideInteger(data: arrow.Data, row: number): bigint {
  const words: Uint32Array = data.values.subarray(row * data.stride, (row + 1) * data.stride);
  const unsigned = words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
  return BigInt.asIntN(words.length * 32, unsigned);
}

/** A VARIANT travels as the name of its type and its text. */
function plain(value: Value): Value {
  const variant = value as VariantValue | null;
  if (variant !== null && typeof variant === 'object' && variant.constructor.name === 'VariantValue')
    return [typeName(variant.type), variant.toString()];
  return value;
}

const oddities = `SELECT s.* FROM (SELECT unnest([
  {'hugeint': '-170141183460469231731687303715884105728'::HUGEINT, 'uhugeint': '340282366920938463463374607431768211455'::UHUGEINT,
   'bignum': '-123456789012345678901234567890123456789012345678901234567890'::BIGNUM, 'huge_decimal': '-99999999999999999999999999999.999999999'::DECIMAL(38, 9),
   'small_decimal': 0.5::DECIMAL(1, 1), 'float': '-0.0'::FLOAT, 'double': 'nan'::DOUBLE, 'date': 'infinity'::DATE, 'timestamp': '-infinity'::TIMESTAMP,
   'timestamp_s': 'infinity'::TIMESTAMP_S, 'timestamp_ms': '-infinity'::TIMESTAMP_MS, 'timestamp_ns': '2262-04-11 23:47:16.854775806'::TIMESTAMP_NS,
   'timestamptz': 'infinity'::TIMESTAMPTZ, 'time': '24:00:00'::TIME, 'time_ns': '23:59:59.999999999'::TIME_NS, 'timetz': '10:00:00.000001-15:59:59'::TIMETZ,
   'interval': INTERVAL '-14 months 3 days -00:00:00.000001', 'uuid': 'ffffffff-ffff-ffff-ffff-ffffffffffff'::UUID, 'blob': '\\x00\\xFF'::BLOB, 'bit': '00101'::BIT,
   'enum': 'b'::ENUM ('a', 'b', 'ü'), 'json': '{"n": 12345678901234567890}'::JSON, 'text': 'a' || chr(0) || '🦆', 'list': [1, NULL, 3], 'array': [1.5, NULL]::DOUBLE[2],
   'struct': {'a': NULL, 'b': ['x', NULL]}, 'map': MAP {[1]: 'x', [NULL]: NULL}, 'union': union_value(s := 'x')::UNION(n INTEGER, s VARCHAR),
   'enums': ['ü', NULL]::ENUM ('a', 'b', 'ü')[], 'unions': [NULL, union_value(n := NULL::INTEGER)::UNION(n INTEGER, s VARCHAR)], 'deep': [[{'m': MAP {'k': [DATE '2020-01-01']}}], NULL, []],
   'geometry': 'POINT Z (1 2 3)'::GEOMETRY, 'variant': {'a': 1.50::DECIMAL(4, 2)}::VARIANT, 'boolean': true, 'empty': ''},
  NULL]) AS s)`;

describe('an Arrow file', () => {
  test('of every type that DuckDB has, smallest, largest and null, reads back equal', async () => {
    // The 70,000 words of large_enum take most of the time, and medium_enum has two bytes an index as well.
    await expectReadsBackEqual('SELECT * EXCLUDE (large_enum) FROM test_all_types()');
  });

  test('of infinities, limits, nulls in nulls and every other oddity reads back equal', async () => {
    const table = await expectReadsBackEqual(oddities);
    expect(table.numRows).toBe(2);
  });

  test('of enums whose indices need one, two and four bytes reads back equal', async () => {
    const words = (count: number): string => Array.from({ length: count }, (_, at) => `'w${at}'`).join(', ');
    const table = await expectReadsBackEqual(
      `SELECT 'w1'::ENUM (${words(256)}) AS one, 'w256'::ENUM (${words(257)}) AS two, 'w65536'::ENUM (${words(65_537)}) AS four`,
    );
    expect(table.schema.fields.map((field) => (field.type as arrow.Dictionary).indices.bitWidth)).toEqual([8, 16, 32]);
  });

  test('of many rows is written in many batches, with nulls and one dictionary throughout', async () => {
    const table = await expectReadsBackEqual(
      `SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE i::VARCHAR END AS text, CASE WHEN i % 5 = 0 THEN NULL ELSE 'b' END::ENUM ('a', 'b') AS word,
        CASE WHEN i % 7 = 0 THEN NULL ELSE [i, NULL] END AS list, i % 2 = 0 AS even FROM range(20000) t(i)`,
    );
    expect(table.batches.length).toBeGreaterThan(5);
  });

  test('of no rows has its columns', async () => {
    const table = await expectReadsBackEqual("SELECT 1 AS n, 'a'::ENUM ('a') AS e, [{'x': now()}] AS l WHERE false");
    expect(table.numCols).toBe(3);
  });

  test('keeps columns of one name apart', async () => {
    const table = await expectReadsBackEqual('SELECT 1 AS a, 2 AS a');
    expect(table.getChildAt(1)?.get(0)).toBe(2);
  });

  test('gives a reader numbers, words, dates and lists as it expects them', async () => {
    const table = arrow.tableFromIPC(
      await ipc(
        `SELECT 7 AS n, 'w'::ENUM ('v', 'w') AS word, TIMESTAMPTZ '2026-11-20 10:00:00.5+00' AS at, DATE '2026-11-20' AS day, [1, 2] AS list, {'a': 'x'} AS struct,
          union_value(s := 'u') AS u, MAP {'k': 1} AS map`,
        'file',
      ),
    );
    const { n, word, at, day, list, struct, u, map } = table.get(0)!.toJSON();
    expect([n, word, new Date(at).toISOString(), new Date(day).toISOString()]).toEqual([
      7,
      'w',
      '2026-11-20T10:00:00.500Z',
      '2026-11-20T00:00:00.000Z',
    ]);
    expect([[...list], struct.toJSON(), u, map.toJSON()]).toEqual([[1, 2], { a: 'x' }, 'u', { k: 1 }]);
  });

  test('marks what other readers know by a name of its own', async () => {
    const table = arrow.tableFromIPC(await ipc(`SELECT uuid() AS u, '{}'::JSON AS j, 'infinity'::DATE AS d`, 'file'));
    expect(table.schema.fields.map((field) => field.metadata.get('ARROW:extension:name') ?? field.metadata.get('duckdb.infinity'))).toEqual(
      ['arrow.uuid', 'arrow.json', '2147483647'],
    );
  });

  test('of an interval that nanoseconds cannot count is refused, not cut', async () => {
    await expect(ipc('SELECT to_microseconds(9223372036854775807) AS i', 'file')).rejects.toThrow(
      '2562047788:00:54.775807 is too long for Arrow',
    );
  });
});

describe('an Arrow stream', () => {
  test('reads back equal, with rows and without', async () => {
    await expectReadsBackEqual(oddities, 'stream');
    await expectReadsBackEqual("SELECT 1 AS n, 'a'::ENUM ('a') AS e WHERE false", 'stream');
  });

  test('is written as the rows come: an endless query can be left', async () => {
    const pieces: Uint8Array[] = [];
    for await (const piece of writeIpc(await query('SELECT i FROM range(100000000000) t(i)'), 'stream')) {
      pieces.push(piece);
      if (pieces.length === 5) break;
    }
    const reader = await arrow.RecordBatchReader.from(Buffer.concat(pieces));
    expect(reader.next().value?.numRows).toBe(2048);
    expect(await (await query('SELECT 1')).toArray()).toEqual([[1]]);
  });
});

test('a result becomes Arrow batches, one for each chunk', async () => {
  const { schema, batches } = await (await query('SELECT i FROM range(5000) t(i)')).toArrow();
  expect(schema.fields[0]?.type.toString()).toBe('Int64');
  let sum = 0n;
  for await (const batch of batches) for (const value of batch.getChildAt(0)!) sum += value;
  expect(sum).toBe(12_497_500n);
});

test('our own answers, with numbers for BIGINT, become Arrow too', async () => {
  const result = Result.fromRows({ tag: 'LIST', columns: [{ name: 'runs', type: { kind: 'BIGINT' } }], rows: [[5], [null], [6n]] });
  const { batches } = await result.toArrow();
  const values: unknown[] = [];
  for await (const batch of batches) values.push(...batch.getChildAt(0)!);
  expect(values).toEqual([5n, null, 6n]);
});
