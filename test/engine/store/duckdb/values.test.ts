import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nativeParameter, readColumns, sqlType } from '../../../../src/engine/store/duckdb/values.ts';
import {
  Bit,
  DateValue,
  Decimal,
  formatValue,
  Interval,
  MapValue,
  type Parameter,
  type SqlType,
  Timestamp,
  TimestampTz,
  TimeTz,
  TimeValue,
  toParameter,
  typeName,
  UnionValue,
  type Value,
  VariantValue,
} from '../../../../src/engine/value.ts';

let instance: DuckDBInstance;
let connection: DuckDBConnection;

beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  connection = await instance.connect();
  await connection.run("SET timezone = 'UTC'");
});

afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

interface Answer {
  readonly names: string[];
  readonly types: SqlType[];
  readonly rows: Value[][];
}

async function read(sql: string): Promise<Answer> {
  const result = await connection.stream(sql);
  const types = result.columnTypes().map(sqlType);
  const rows: Value[][] = [];
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return { names: result.columnNames(), types, rows };
    const columns = readColumns(chunk, types);
    for (let row = 0; row < chunk.rowCount; row++) rows.push(columns.map((column) => column[row] as Value));
  }
}

async function readOne(expression: string): Promise<Value> {
  return (await read(`SELECT ${expression}`)).rows[0]?.[0] as Value;
}

/** Our text beside DuckDB's own, for each column and row. */
async function compareTexts(from: string, zone = 'UTC'): Promise<void> {
  const ours = await read(`SELECT * FROM (${from})`);
  const theirs = await connection.runAndReadAll(`SELECT COLUMNS(*)::VARCHAR FROM (${from})`);
  expect(ours.rows.length).toBeGreaterThan(0);
  expect(ours.rows.map((row) => row.map((value, at) => (value === null ? null : formatValue(value, ours.types[at]!, { zone }))))).toEqual(
    theirs.getRows(),
  );
}

describe('text', () => {
  test('is what DuckDB prints for its own table of all types, smallest, largest and null', async () => {
    // DuckDB's ICU rounds the last TIMESTAMPTZ to another millisecond (.776806 for .775806): instants have a test of their own.
    await compareTexts('SELECT * EXCLUDE (timestamp_tz) FROM test_all_types()');
  });

  test.each([
    "'nan'::DOUBLE, '-inf'::DOUBLE, '-0.0'::DOUBLE, 1e15, 1e16, 123456.789e3, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, 0.1 + 0.2",
    "0.1::FLOAT, 16777216::FLOAT, 123456789::FLOAT, 1e20::FLOAT, '-0.0'::FLOAT, 'inf'::FLOAT, 1e-7::FLOAT, 3.4028235e38::FLOAT, 1.17e-45::FLOAT",
    "0.5::DECIMAL(1,1), -0.05::DECIMAL(3,2), 5::DECIMAL(3,0), 0::DECIMAL(38,38), -0.5::DECIMAL(38,38), '99999999999999999999999999999999999.999'::DECIMAL(38,3)",
    "INTERVAL '-14 months', INTERVAL '-25:00:01.5', INTERVAL '1 month -1 day', to_microseconds(9223372036854775807), INTERVAL '1 year 1 day'",
    "TIME '23:59:59.12345', '10:00:00.123456789'::TIME_NS, '24:00:00'::TIME, '10:00:00-00:30:15'::TIMETZ, '10:00:00.5+05:30'::TIMETZ",
    "'0001-01-01 (BC)'::DATE, '0044-03-15 (BC)'::DATE, '12345-01-01'::DATE, 'infinity'::DATE, '-infinity'::DATE, '1600-02-29'::DATE, '1900-03-01'::DATE",
    "'infinity'::TIMESTAMP_NS, '-infinity'::TIMESTAMP_S, 'infinity'::TIMESTAMP_MS, '-infinity'::TIMESTAMP, 'infinity'::TIMESTAMPTZ, '-infinity'::TIMESTAMPTZ",
    "'1969-12-31 23:59:59.999999999'::TIMESTAMP_NS, '1969-12-31 23:59:59.999'::TIMESTAMP_MS, '0044-03-15 (BC) 10:00:00.000001'::TIMESTAMP",
    "'\\x00\\xFFa\\x5C\\x27\\x22\\x7F '::BLOB, ''::BLOB, '0'::BIT, '0101010101010101'::BIT, uuid '00000000-0000-0000-0000-000000000001'",
    "['NULL', 'null', 'nul', '', ' ', ' a', 'a ', 'a b', chr(9), 'a' || chr(10) || 'b', 'true', 'é', 'a''b\\c', 'a\\b', 'a\"b']",
    "['(', ')', ',', ':', '=', '[', ']', '{', '}', ';', '.', '-', '/', '@', '<', '>', '|', '&', '`', '~', '#', '$', '%', '^', '*', '+', '?', '!', '_']",
    "{'a b': 1, 'c''d': 'x, y', 'e\\f': [''], 'g': {'h': NULL}, '2': 1, '1': 2}, row(1, 'x, y', NULL), row('')",
    "MAP {1: [1, 2], 2: NULL}, MAP {[1]: {'a': 1}}, MAP {'': '', 'null': 'a=b'}, MAP {{'k': 1}: 'v'}",
    "[union_value(x := 'a,b')], union_value(x := NULL::INTEGER), [union_value(x := ['a,b'])], union_value(x := '')",
    "['{\"a\": 1}'::JSON, 'null'::JSON, '\"x\"'::JSON], ['\\x00\\x41,'::BLOB, '\\x5c'::BLOB], ['1010'::BIT], [''::ENUM ('a', 'b c', ''), 'b c']",
    "['2020-01-01 10:00:00'::TIMESTAMP], [TIME '10:00'], [INTERVAL 1 DAY, INTERVAL 1 SECOND], [1.50::DECIMAL(4, 2)], [DATE '2020-01-01', 'infinity']",
    "{'a': 'x, y', 'b': ['a,b']}::VARIANT, 'x, y'::VARIANT, ['a', '']::VARIANT, [1::VARIANT, 'a b,'::VARIANT, [1, 2]::VARIANT], '{\"a\": [1, 2.5, \"x\", null, true]}'::JSON::VARIANT",
    "'POINT ZM (1 2 3 4.5)'::GEOMETRY, 'MULTIPOINT M (1 2 3)'::GEOMETRY, 'GEOMETRYCOLLECTION Z (POINT Z (1 2 3), POLYGON Z EMPTY)'::GEOMETRY, 'POINT (1e20 0.000001)'::GEOMETRY",
  ])('is DuckDB’s: %s', async (expressions) => {
    await compareTexts(`SELECT ${expressions}`);
  });

  test('of an instant is DuckDB’s in any zone and century', async () => {
    const instants = [
      '2026-07-01 00:00:00.5',
      '2026-10-25 00:59:59',
      '2026-10-25 01:00:00',
      '1900-01-01 00:00:00',
      '1800-01-01 00:00:00',
      '1500-06-01 00:00:00',
      '12020-07-01 00:00:00',
      '200020-07-01 00:00:00',
    ];
    for (const zone of ['Europe/Berlin', 'Asia/Kathmandu', 'America/New_York', 'Africa/Monrovia', 'Australia/Lord_Howe', 'Etc/GMT-14']) {
      await connection.run(`SET timezone = '${zone}'`);
      await compareTexts(`SELECT unnest([${instants.map((text) => `'${text}+00'::TIMESTAMPTZ`).join(', ')}]) AS t`, zone);
    }
    await connection.run("SET timezone = 'UTC'");
  });

  const limit = 2n ** 63n - 1n;
  const ticks = fc.oneof(fc.bigInt({ min: -(2n ** 55n), max: 2n ** 55n }), fc.constantFrom(limit, -limit, 0n, -1n));
  test.each<[string, SqlType, fc.Arbitrary<Value>]>([
    ['doubles', { kind: 'DOUBLE' }, fc.double()],
    [
      'decimals',
      { kind: 'DECIMAL', width: 38, scale: 7 },
      fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n }).map((digits) => new Decimal(digits, 7)),
    ],
    ['days', { kind: 'DATE' }, fc.integer({ min: -2_147_483_000, max: 2_147_483_647 }).map((days) => new DateValue(days))],
    ['timestamps', { kind: 'TIMESTAMP' }, ticks.map((micros) => new Timestamp(micros, 'us'))],
    [
      'timestamps in seconds',
      { kind: 'TIMESTAMP_S' },
      fc.bigInt({ min: -(2n ** 43n), max: 2n ** 43n }).map((seconds) => new Timestamp(seconds, 's')),
    ],
    ['timestamps in nanoseconds', { kind: 'TIMESTAMP_NS' }, ticks.map((nanos) => new Timestamp(nanos, 'ns'))],
    ['instants', { kind: 'TIMESTAMPTZ' }, ticks.map((micros) => new TimestampTz(micros))],
    ['times', { kind: 'TIME_NS' }, fc.integer({ min: 0, max: 86_400_000_000_000 }).map((nanos) => new TimeValue(nanos))],
    [
      'times with an offset',
      { kind: 'TIMETZ' },
      fc
        .tuple(fc.integer({ min: 0, max: 86_400_000_000 }), fc.integer({ min: -57_599, max: 57_599 }))
        // DuckDB prints an offset of 10 seconds as `+00:10`, which is 10 minutes: there it is better not followed.
        .filter(([, offset]) => Math.floor(Math.abs(offset) / 60) % 60 !== 0 || offset % 60 === 0)
        .map(([micros, offset]) => new TimeTz(micros, offset)),
    ],
    [
      'intervals',
      { kind: 'INTERVAL' },
      fc.tuple(fc.integer(), fc.integer(), ticks).map(([months, days, micros]) => new Interval(months, days, micros)),
    ],
    ['bytes', { kind: 'BLOB' }, fc.uint8Array({ maxLength: 40 }).map((bytes) => Uint8Array.from(bytes))],
    ['bits', { kind: 'BIT' }, fc.stringMatching(/^[01]{1,80}$/).map((bits) => new Bit(bits))],
    ['texts', { kind: 'VARCHAR' }, fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...`'"\\,:=()[]{} \tnul`) }))],
  ])('of any %s, alone and in a list, is DuckDB’s, and the value comes back as it was bound', async (_, type, values) => {
    const sample = fc.sample(values, 1000);
    const list: Parameter = { value: sample, type: { kind: 'LIST', item: type } };
    const { value, type: nativeType } = nativeParameter(list);
    const bound = nativeType === undefined ? undefined : [nativeType];
    const result = await connection.stream('SELECT x, x::VARCHAR, [x]::VARCHAR FROM (SELECT unnest($1) AS x)', [value], bound);
    const types = result.columnTypes().map(sqlType);
    expect(types[0]).toEqual(type);
    let at = 0;
    for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
      const [back = [], text = [], nested = []] = readColumns(chunk, types);
      for (const [row, item] of back.entries()) {
        expect(item).toEqual(sample[at++]);
        expect(formatValue(item, type)).toBe(text[row]);
        expect(formatValue([item], { kind: 'LIST', item: type })).toBe(nested[row]);
      }
    }
    expect(at).toBe(1000);
  });

  test('of any floats has no more digits than DuckDB’s, most often the same, and says the same float', async () => {
    const sample = fc.sample(fc.float(), 2000);
    const { value, type } = nativeParameter({ value: sample, type: { kind: 'LIST', item: { kind: 'FLOAT' } } });
    const result = await connection.runAndReadAll('SELECT unnest($1)::VARCHAR', [value], type === undefined ? undefined : [type]);
    let longer = 0;
    for (const [at, [text]] of (result.getRows() as [string][]).entries()) {
      const ours = formatValue(sample[at]!, { kind: 'FLOAT' });
      if (ours === text) continue;
      // Where DuckDB's search for the shortest digits gives up, it prints those of the double.
      expect(text).toBe(formatValue(sample[at]!, { kind: 'DOUBLE' }));
      expect(ours.length).toBeLessThanOrEqual(text.length);
      expect(Math.fround(Number(ours))).toBe(sample[at]);
      longer++;
    }
    expect(longer).toBeLessThan(100);
  });

  test('of an offset of less than a minute says so', () => {
    expect(String(new TimeTz(0, 10))).toBe('00:00:00+00:00:10');
  });

  test('of a type is what typeof says', async () => {
    const expressions = [
      `{'a': 1, 'B': 2, 'a b': 3, 'select': 4, 'name': 5, '1x': 6, 'é': 7, 'a"b': 8, 'date': 9}`,
      'row(1, row(2, NULL::VARCHAR))',
      `union_value("a B" := 1)`,
      "MAP {1: {'x': 2.5}}",
      "'a'::ENUM ('a', 'b''c')",
      "['{}'::JSON]",
      '[[1, 2], [3, 4]]::INTEGER[2][]',
      'now()',
      "'10:00'::TIMETZ",
      '1::VARIANT',
      '1::BIGNUM',
    ];
    const { types } = await read(`SELECT ${expressions.join(', ')}`);
    const theirs = await connection.runAndReadAll(`SELECT ${expressions.map((each) => `typeof(${each})`).join(', ')}`);
    expect(types.map(typeName)).toEqual(theirs.getRows()[0]);
  });
});

describe('values', () => {
  test('are JavaScript’s own where these are exact', async () => {
    const { rows } = await read(
      "SELECT 1::TINYINT, 4294967295::UINTEGER, 9223372036854775807, 1.5::DOUBLE, true, 'text', 'a'::ENUM ('a'), [1, NULL], {'a': {'b': 'c'}}, NULL",
    );
    expect(rows).toEqual([[1, 4294967295, 9223372036854775807n, 1.5, true, 'text', 'a', [1, null], { a: { b: 'c' } }, null]]);
  });

  test('keep every digit', async () => {
    const { rows } = await read(
      `SELECT '-170141183460469231731687303715884105728'::HUGEINT, 340282366920938463463374607431768211455::UHUGEINT,
        '-99999999999999999999999999999999999999'::DECIMAL(38, 0), '2262-04-11 23:47:16.854775806'::TIMESTAMP_NS,
        '2026-11-20 10:00:00.123456+00'::TIMESTAMPTZ, '-12345678901234567890123456789012345678901234567890'::BIGNUM`,
    );
    expect(rows).toEqual([
      [
        -(2n ** 127n),
        2n ** 128n - 1n,
        new Decimal(-(10n ** 38n - 1n), 0),
        new Timestamp(9223372036854775806n, 'ns'),
        new TimestampTz(1795168800123456n),
        -12345678901234567890123456789012345678901234567890n,
      ],
    ]);
  });

  test('keep the sign of zero, NaN and the infinities', async () => {
    const { rows } = await read("SELECT '-0.0'::DOUBLE, 'nan'::DOUBLE, '-inf'::FLOAT");
    expect(rows[0]?.map((value) => Object.is(value, -0) || Number.isNaN(value) || value === Number.NEGATIVE_INFINITY)).toEqual([
      true,
      true,
      true,
    ]);
  });

  test('keep a byte order mark at the start of a text, short or long, nested or not', async () => {
    const mark = '\uFEFF';
    const { rows } = await read(
      `SELECT chr(65279) || 'a', chr(65279) || repeat('long', 10), [chr(65279), 'a' || chr(65279)], chr(65279) || chr(65279)`,
    );
    expect(rows).toEqual([[`${mark}a`, `${mark}${'long'.repeat(10)}`, [mark, `a${mark}`], mark + mark]]);
  });

  test('are null in a column of type NULL', async () => {
    expect((await read("SELECT unnest([{'a': NULL}], recursive := true)")).rows).toEqual([[null]]);
  });

  test('keep NUL characters', async () => {
    expect(await readOne("'a' || chr(0) || 'b'")).toBe('a\0b');
  });

  test('keep the order and the number of a struct’s fields', async () => {
    expect(await readOne('row(1, 2, NULL)')).toEqual([1, 2, null]);
    const value = await readOne("{'__proto__': 1, 'x': 2}");
    expect(Object.entries(value as object)).toEqual([
      ['__proto__', 1],
      ['x', 2],
    ]);
  });

  test('keep map keys of any type', async () => {
    expect(await readOne("MAP {[1]: 'a', [2]: NULL}")).toEqual(
      new MapValue([
        [[1], 'a'],
        [[2], null],
      ]),
    );
  });

  test('tell which member of a union they are, and a null member from no value', async () => {
    expect(
      await readOne(
        "[union_value(n := NULL::INTEGER)::UNION(n INTEGER, s VARCHAR), union_value(s := 'x')::UNION(n INTEGER, s VARCHAR), NULL]",
      ),
    ).toEqual([new UnionValue('n', null), new UnionValue('s', 'x'), null]);
  });

  test('tell a null VARIANT from a VARIANT that holds nulls', async () => {
    const { rows } = await read("SELECT unnest([NULL::VARIANT, {'a': NULL}::VARIANT, 1.50::DECIMAL(4, 2)::VARIANT])");
    expect(rows).toEqual([
      [null],
      [new VariantValue({ kind: 'STRUCT', fields: [{ name: 'a', type: { kind: 'NULL' } }] }, { a: null })],
      [new VariantValue({ kind: 'DECIMAL', width: 4, scale: 2 }, new Decimal(150n, 2))],
    ]);
  });

  test('are right in nested vectors of several thousand rows with nulls at every level', async () => {
    const sql = `SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE [CASE WHEN i % 5 = 0 THEN NULL ELSE {'n': i, 'l': CASE WHEN i % 3 = 0 THEN NULL ELSE [i, NULL] END} END] END AS nested,
      (CASE WHEN i % 4 = 0 THEN NULL ELSE [i, NULL, i + 1] END)::BIGINT[3] AS fixed, CASE WHEN i % 6 = 0 THEN NULL ELSE MAP {i: [i]} END AS mapped FROM range(5000) t(i)`;
    const { rows } = await read(sql);
    expect(rows.length).toBe(5000);
    for (const [at, [i, nested, fixed, mapped]] of rows.entries()) {
      const n = BigInt(at);
      expect(i).toBe(n);
      const struct = at % 5 === 0 ? null : { n, l: at % 3 === 0 ? null : [n, null] };
      expect(nested).toEqual(at % 7 === 0 ? null : [struct]);
      expect(fixed).toEqual(at % 4 === 0 ? null : [n, null, n + 1n]);
      expect(mapped).toEqual(at % 6 === 0 ? null : new MapValue([[n, [n]]]));
    }
  });

  test('of a blob belong to the reader', async () => {
    const blob = (await readOne("'\\x00\\xFF'::BLOB")) as Uint8Array;
    expect(Object.getPrototypeOf(blob)).toBe(Uint8Array.prototype);
    expect([...blob]).toEqual([0, 255]);
  });
});

describe('parameters', () => {
  /** `typeof($1)` beside `$1::VARCHAR` kills the database in 1.5.6, so the parameter gets a name first. Binds, and answers what DuckDB made of it: its type and its text. */
  async function bound(input: unknown): Promise<unknown[]> {
    const { value, type } = nativeParameter(toParameter(input));
    const result = await connection.runAndReadAll(
      'SELECT typeof(x), x::VARCHAR FROM (SELECT $1 AS x)',
      [value],
      type === undefined ? undefined : [type],
    );
    return result.getRows()[0] as unknown[];
  }

  test.each<[unknown, string, string | null]>([
    [null, '"NULL"', null],
    [true, 'BOOLEAN', 'true'],
    [7, 'INTEGER', '7'],
    [-(2 ** 40), 'BIGINT', '-1099511627776'],
    [2 ** 60, 'DOUBLE', '1.152921504606847e+18'],
    [0.1, 'DOUBLE', '0.1'],
    [-0, 'DOUBLE', '-0.0'],
    [Number.NaN, 'DOUBLE', 'nan'],
    [7n, 'BIGINT', '7'],
    [2n ** 64n, 'HUGEINT', '18446744073709551616'],
    [2n ** 128n - 1n, 'UHUGEINT', '340282366920938463463374607431768211455'],
    [2n ** 128n, 'BIGNUM', '340282366920938463463374607431768211456'],
    ['it’s', 'VARCHAR', 'it’s'],
    ['', 'VARCHAR', ''],
    [new Date('2026-11-20T10:00:00.5Z'), 'TIMESTAMP WITH TIME ZONE', '2026-11-20 10:00:00.5+00'],
    [Uint8Array.of(0, 65), 'BLOB', '\\x00A'],
    [[1, null, 3], 'INTEGER[]', '[1, NULL, 3]'],
    [[1, 2.5], 'DOUBLE[]', '[1.0, 2.5]'],
    [[1, 2n ** 40n], 'BIGINT[]', '[1, 1099511627776]'],
    [[1, 2n ** 70n], 'HUGEINT[]', '[1, 1180591620717411303424]'],
    [[['a'], []], 'VARCHAR[][]', '[[a], []]'],
    [{ a: 1, b: { c: 'x' } }, 'STRUCT(a INTEGER, b STRUCT(c VARCHAR))', "{'a': 1, 'b': {'c': x}}"],
    [[{ a: 1 }, { b: 'x' }], 'STRUCT(a INTEGER, b VARCHAR)[]', "[{'a': 1, 'b': NULL}, {'a': NULL, 'b': x}]"],
    [new Map([['a', 1]]), 'MAP(VARCHAR, INTEGER)', '{a=1}'],
    [new MapValue([[[1], 'x']]), 'MAP(INTEGER[], VARCHAR)', '{[1]=x}'],
    [new UnionValue('n', 5), 'UNION(n INTEGER)', '5'],
    [Decimal.parse('-0.05'), 'DECIMAL(2,2)', '-.05'],
    [new Decimal(10n ** 38n - 1n, 10), 'DECIMAL(38,10)', '9999999999999999999999999999.9999999999'],
    [[Decimal.parse('1.5'), Decimal.parse('100')], 'DECIMAL(4,1)[]', '[1.5, 100.0]'],
    [new DateValue(-719529), 'DATE', '0002-12-31 (BC)'],
    [new TimeValue(1_000), 'TIME', '00:00:00.000001'],
    [new TimeValue(1), 'TIME_NS', '00:00:00.000000001'],
    [new TimeTz(0, -5400), 'TIME WITH TIME ZONE', '00:00:00-01:30'],
    [new Timestamp(1n, 'ns'), 'TIMESTAMP_NS', '1970-01-01 00:00:00.000000001'],
    [new Timestamp(1n, 's'), 'TIMESTAMP_S', '1970-01-01 00:00:01'],
    [new Timestamp(1n, 'ms'), 'TIMESTAMP_MS', '1970-01-01 00:00:00.001'],
    [new Timestamp(1n, 'us'), 'TIMESTAMP', '1970-01-01 00:00:00.000001'],
    [new TimestampTz(9223372036854775807n), 'TIMESTAMP WITH TIME ZONE', 'infinity'],
    [new Interval(1, 2, 3n), 'INTERVAL', '1 month 2 days 00:00:00.000003'],
    [new Bit('00101'), 'BIT', '00101'],
  ])('%o is bound as %s', async (input, type, text) => {
    expect(await bound(input)).toEqual([type, text]);
  });

  test('an empty list is accepted wherever a list is', async () => {
    const { value, type } = nativeParameter(toParameter([]));
    const result = await connection.runAndReadAll(
      'SELECT [1, 2] || $1::INTEGER[], len($1)',
      [value],
      type === undefined ? undefined : [type],
    );
    expect(String(result.getRows()[0])).toBe('[1, 2],0');
  });

  test.each<[unknown, RegExp]>([
    [undefined, /parameter is undefined/],
    [() => 1, /is a function/],
    [Symbol('x'), /is a symbol/],
    [{ a: [1, undefined] }, /'a\.1' is undefined/],
    [[1, 'a'], /INTEGER and VARCHAR/],
    [{}, /without fields/],
    [new Date('no'), /invalid Date/],
    [new Set([1]), /is a Set/],
    [[2n ** 60n + 1n, 0.5], /cannot hold it exactly/],
    [new Decimal(10n ** 38n, 0), /39 digits/],
  ])('%o is refused with its place and what to do', (input, message) => {
    expect(() => toParameter(input)).toThrow(message);
  });
});
