import { describe, expect, test } from 'vitest';
import {
  Bit,
  DateValue,
  Decimal,
  formatValue,
  Interval,
  jsonOf,
  MapValue,
  type SqlType,
  Timestamp,
  TimestampTz,
  TimeValue,
  UnionValue,
  type Value,
  VariantValue,
} from '../../src/engine/value.ts';

const json: SqlType = { kind: 'JSON' };

describe('the JSON form', () => {
  test.each<[Value, SqlType, unknown]>([
    [null, { kind: 'INTEGER' }, null],
    [7, { kind: 'INTEGER' }, 7],
    [9007199254740991n, { kind: 'BIGINT' }, 9007199254740991],
    [9007199254740993n, { kind: 'BIGINT' }, '9007199254740993'],
    [-(2n ** 127n), { kind: 'HUGEINT' }, '-170141183460469231731687303715884105728'],
    [0.1, { kind: 'DOUBLE' }, 0.1],
    [Math.fround(0.1), { kind: 'FLOAT' }, 0.1],
    [-0, { kind: 'DOUBLE' }, '-0.0'],
    [Number.NaN, { kind: 'DOUBLE' }, 'nan'],
    [Number.NEGATIVE_INFINITY, { kind: 'FLOAT' }, '-inf'],
    [Decimal.parse('12.50'), { kind: 'DECIMAL', width: 4, scale: 2 }, 12.5],
    [Decimal.parse('0.1234567890123456789'), { kind: 'DECIMAL', width: 38, scale: 19 }, '0.1234567890123456789'],
    [Decimal.parse('90071992547409931.00'), { kind: 'DECIMAL', width: 38, scale: 2 }, '90071992547409931.00'],
    [Uint8Array.of(0, 65, 92), { kind: 'BLOB' }, '\\x00A\\x5C'],
    [new TimestampTz(1795168800123456n), { kind: 'TIMESTAMPTZ' }, '2026-11-20T10:00:00.123456Z'],
    [new TimestampTz(9223372036854775807n), { kind: 'TIMESTAMPTZ' }, 'infinity'],
    [new TimestampTz(-99999999999000000n), { kind: 'TIMESTAMPTZ' }, '1200-02-15 (BC) 14:13:21+00'],
    [new Timestamp(1n, 'ns'), { kind: 'TIMESTAMP_NS' }, '1970-01-01 00:00:00.000000001'],
    [new Interval(14, 3, 1n), { kind: 'INTERVAL' }, '1 year 2 months 3 days 00:00:00.000001'],
    [new Bit('0101'), { kind: 'BIT' }, '0101'],
    [[1n, null, 2n ** 60n], { kind: 'LIST', item: { kind: 'BIGINT' } }, [1, null, '1152921504606846976']],
    [
      [1, 'x'],
      {
        kind: 'STRUCT',
        fields: [
          { name: '', type: { kind: 'INTEGER' } },
          { name: '', type: { kind: 'VARCHAR' } },
        ],
      },
      [1, 'x'],
    ],
    [{ a: { b: 2n ** 64n } }, structOf({ a: structOf({ b: { kind: 'HUGEINT' } }) }), { a: { b: '18446744073709551616' } }],
    [new MapValue([[1, 'x']]), { kind: 'MAP', key: { kind: 'INTEGER' }, value: { kind: 'VARCHAR' } }, { 1: 'x' }],
    [
      new MapValue([[[1], null]]),
      { kind: 'MAP', key: { kind: 'LIST', item: { kind: 'INTEGER' } }, value: { kind: 'VARCHAR' } },
      [{ key: [1], value: null }],
    ],
    [new UnionValue('n', null), { kind: 'UNION', members: [{ tag: 'n', type: { kind: 'INTEGER' } }] }, { n: null }],
    [new VariantValue({ kind: 'BIGINT' }, 2n ** 60n), { kind: 'VARIANT' }, '1152921504606846976'],
  ])('of %o in a column of %o is %o', (value, type, form) => {
    expect(jsonOf(value, type)).toEqual(form);
  });

  test('of a JSON column is its content, with numbers that a double cannot say as strings', () => {
    expect(jsonOf('{"id": 12345678901234567890, "price": 0.10, "e": [1e2, true, null, "x\\u0041"], "z": -0}', json)).toEqual({
      id: '12345678901234567890',
      price: 0.1,
      e: [100, true, null, 'xA'],
      z: '-0',
    });
    expect(jsonOf('0.12345678901234567890', json)).toBe('0.12345678901234567890');
    expect(jsonOf('  "text"  ', json)).toBe('text');
  });

  test('of JSON that an object cannot hold is its text', () => {
    expect(jsonOf('{"a": 1, "a": 2}', json)).toBe('{"a": 1, "a": 2}');
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(jsonOf(deep, json)).toBe(deep);
    expect(jsonOf('NaN', json)).toBe('NaN');
  });

  test('keeps a field called __proto__', () => {
    const form = jsonOf('{"__proto__": {"a": 1}}', json);
    expect(JSON.stringify(form)).toBe('{"__proto__":{"a":1}}');
    expect(Object.getPrototypeOf(form)).toBe(Object.prototype);
  });
});

describe('a value', () => {
  test('that JSON.stringify meets says everything', () => {
    const row = {
      at: new TimestampTz(1n),
      price: Decimal.parse('0.10'),
      day: new DateValue(0),
      map: new MapValue([['k', 2n ** 60n]]),
      wait: new TimeValue(1),
    };
    expect(JSON.stringify(row)).toBe(
      '{"at":"1970-01-01T00:00:00.000001Z","price":"0.10","day":"1970-01-01","map":[{"key":"k","value":"1152921504606846976"}],"wait":"00:00:00.000000001"}',
    );
  });

  test('that is an instant becomes a Date, rounded down to milliseconds on both sides of 1970', () => {
    expect(new TimestampTz(1999n).epochMs).toBe(1);
    expect(new TimestampTz(-1n).toDate().toISOString()).toBe('1969-12-31T23:59:59.999Z');
    expect(new TimestampTz(9223372036854775807n).epochMs).toBeNaN();
    expect(new Timestamp(-1n, 's').toDate().getTime()).toBe(-1000);
    expect(new Timestamp(-1n, 'ns').toDate().getTime()).toBe(-1);
  });

  test('that is a day knows its parts', () => {
    const day = new DateValue(20777);
    expect([day.year, day.month, day.day, day.toDate().toISOString()]).toEqual([2026, 11, 20, '2026-11-20T00:00:00.000Z']);
    expect(new DateValue(2147483647).isFinite).toBe(false);
  });

  test('that is a decimal is read from its text', () => {
    expect(Decimal.parse(' -.5 ')).toEqual(new Decimal(-5n, 1));
    expect(Decimal.parse('12.').toString()).toBe('12');
    expect(Decimal.parse('1.25').toNumber()).toBe(1.25);
    expect(() => Decimal.parse('1e5')).toThrow("'1e5' is not a decimal");
    expect(() => Decimal.parse('.')).toThrow('not a decimal');
  });

  test('in a zone that does not exist is refused', () => {
    expect(() => formatValue(new TimestampTz(0n), { kind: 'TIMESTAMPTZ' }, { zone: 'Europe/Atlantis' })).toThrow(
      "'Europe/Atlantis' is not a time zone",
    );
  });
});

function structOf(fields: Record<string, SqlType>): SqlType {
  return { kind: 'STRUCT', fields: Object.entries(fields).map(([name, type]) => ({ name, type })) };
}
