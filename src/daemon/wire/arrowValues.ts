// The way back of engine/arrow.ts: a column of a record batch as values, read straight out of Arrow's buffers. The type is that of
// the head, and says more than Arrow's. What Arrow would round or lose does not come this way (carriage.ts).

import type { Data } from 'apache-arrow';
import { isTuple } from '../../engine/type.ts';
import {
  Bit,
  DateValue,
  Decimal,
  Geometry,
  MapValue,
  objectOf,
  type SqlType,
  Timestamp,
  TimestampTz,
  TimeTz,
  TimeValue,
  type Value,
} from '../../engine/value.ts';
import { timestampUnits } from './typedJson.ts';

export function readArrow(data: Data, type: SqlType): Value[] {
  const bytes = data.values as unknown;
  switch (type.kind) {
    case 'NULL':
      return new Array<Value>(data.length).fill(null);
    case 'BOOLEAN':
      return eachValid(data, (row) => isSet(bytes as Uint8Array, row));
    case 'TINYINT':
    case 'SMALLINT':
    case 'INTEGER':
    case 'UTINYINT':
    case 'USMALLINT':
    case 'UINTEGER':
    case 'FLOAT':
    case 'DOUBLE':
      return eachValid(data, (row) => numberAt(bytes, row));
    case 'BIGINT':
    case 'UBIGINT':
      return eachValid(data, (row) => bigintAt(bytes, row));
    case 'HUGEINT':
    case 'UHUGEINT':
      return eachValid(data, wholeNumbers(data, 4));
    case 'DECIMAL': {
      const unscaled = wholeNumbers(data, 2);
      return eachValid(data, (row) => new Decimal(unscaled(row), type.scale));
    }
    case 'VARCHAR':
    case 'JSON':
      return eachValid(data, texts(data));
    case 'BIGNUM': {
      const digits = texts(data);
      return eachValid(data, (row) => BigInt(digits(row)));
    }
    case 'BIT': {
      const bits = texts(data);
      return eachValid(data, (row) => new Bit(bits(row)));
    }
    case 'BLOB':
      return eachValid(data, pieces(data));
    case 'GEOMETRY': {
      const wkb = pieces(data);
      return eachValid(data, (row) => new Geometry(wkb(row)));
    }
    case 'UUID': {
      const buffer = asBuffer(bytes as Uint8Array);
      return eachValid(data, (row) => {
        const digits = buffer.toString('hex', row * 16, row * 16 + 16);
        return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${digits.slice(20)}`;
      });
    }
    case 'DATE':
      return eachValid(data, (row) => new DateValue(numberAt(bytes, row)));
    case 'TIME':
      return eachValid(data, (row) => new TimeValue(Number(bigintAt(bytes, row)) * 1000));
    case 'TIME_NS':
      return eachValid(data, (row) => new TimeValue(Number(bigintAt(bytes, row))));
    case 'TIMETZ': {
      const [time, offset] = data.children;
      return eachValid(data, (row) => new TimeTz(Number(bigintAt(time?.values, row)), numberAt(offset?.values, row)));
    }
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS':
    case 'TIMESTAMP_NS': {
      const unit = timestampUnits[type.kind];
      return eachValid(data, (row) => new Timestamp(bigintAt(bytes, row), unit));
    }
    case 'TIMESTAMPTZ':
      return eachValid(data, (row) => new TimestampTz(bigintAt(bytes, row)));
    case 'LIST': {
      const items = childValues(data, 0, type.item);
      return eachValid(data, (row) => items.slice(offsetAt(data, row), offsetAt(data, row + 1)));
    }
    case 'ARRAY': {
      const items = childValues(data, 0, type.item);
      return eachValid(data, (row) => items.slice(row * type.length, (row + 1) * type.length));
    }
    case 'STRUCT': {
      const fields = type.fields.map((field, at) => childValues(data, at, field.type));
      if (isTuple(type.fields)) return eachValid(data, (row) => fields.map((field) => field[row] ?? null));
      const names = type.fields.map((field) => field.name);
      return eachValid(data, (row) => objectOf(names.map((name, at) => [name, fields[at]?.[row] ?? null])));
    }
    case 'MAP': {
      const [entries] = data.children;
      const keys = entries === undefined ? [] : childValues(entries, 0, type.key);
      const values = entries === undefined ? [] : childValues(entries, 1, type.value);
      return eachValid(data, (row) => {
        const pairs: [Value, Value][] = [];
        for (let at = offsetAt(data, row); at < offsetAt(data, row + 1); at++) pairs.push([keys[at] ?? null, values[at] ?? null]);
        return new MapValue(pairs);
      });
    }
    case 'ENUM':
    case 'INTERVAL':
    case 'UNION':
    case 'VARIANT':
      throw new Error(`a ${type.kind} does not travel as such`);
    default:
      return type satisfies never;
  }
}

function eachValid(data: Data, read: (row: number) => Value): Value[] {
  const values = new Array<Value>(data.length);
  const { nullBitmap } = data;
  const hasNulls = data.nullCount > 0 && nullBitmap.length > 0;
  for (let row = 0; row < data.length; row++) values[row] = hasNulls && !isSet(nullBitmap, row) ? null : read(row);
  return values;
}

function childValues(data: Data, at: number, type: SqlType): Value[] {
  const child = data.children[at];
  return child === undefined ? [] : readArrow(child, type);
}

function isSet(bitmap: Uint8Array, at: number): boolean {
  return ((bitmap[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

function numberAt(buffer: unknown, row: number): number {
  return (buffer as Float64Array)[row] ?? 0;
}

function bigintAt(buffer: unknown, row: number): bigint {
  return (buffer as BigInt64Array)[row] ?? 0n;
}

function offsetAt(data: Data, row: number): number {
  return (data.valueOffsets as Int32Array)[row] ?? 0;
}

/** Of so many words of 64 bits, in two's complement, the lowest first. */
function wholeNumbers(data: Data, words: number): (row: number) => bigint {
  const { buffer, byteOffset, byteLength } = data.values as Uint32Array;
  const view = new DataView(buffer, byteOffset, byteLength);
  return (row) => {
    let number = view.getBigInt64((row * words + words - 1) * 8, true);
    for (let word = words - 2; word >= 0; word--) number = (number << 64n) | view.getBigUint64((row * words + word) * 8, true);
    return number;
  };
}

function texts(data: Data): (row: number) => string {
  const buffer = asBuffer(data.values as Uint8Array);
  return (row) => buffer.toString('utf8', offsetAt(data, row), offsetAt(data, row + 1));
}

/** Copied: a BLOB that is kept must not keep its batch. */
function pieces(data: Data): (row: number) => Uint8Array {
  const bytes = data.values as Uint8Array;
  return (row) => bytes.slice(offsetAt(data, row), offsetAt(data, row + 1));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
