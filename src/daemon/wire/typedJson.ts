// A value and its type as JSON, without loss: parameters travel so, and what Arrow has no place for (carriage.ts). The type decides
// how its values are written, so that they need no marks of their own.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import { isTuple } from '../../engine/type.ts';
import {
  Bit,
  DateValue,
  Decimal,
  fieldValues,
  Geometry,
  Interval,
  MapValue,
  objectOf,
  type Parameter,
  type SqlType,
  Timestamp,
  TimestampTz,
  TimeTz,
  TimeValue,
  UnionValue,
  type Value,
  VariantValue,
} from '../../engine/value.ts';

export const timestampUnits = { TIMESTAMP_S: 's', TIMESTAMP_MS: 'ms', TIMESTAMP: 'us', TIMESTAMP_NS: 'ns' } as const;

export interface TypedJson {
  readonly type: SqlType;
  readonly value: JsonValue;
}

export function toTypedJson({ value, type }: Parameter): TypedJson {
  return { type, value: written(value, type) };
}

export function fromTypedJson({ value, type }: TypedJson): Parameter {
  return { value: read(value, type), type };
}

function written(value: Value, type: SqlType): JsonValue {
  if (value === null) return null;
  switch (type.kind) {
    case 'FLOAT':
    case 'DOUBLE': {
      const number = value as number;
      return Number.isFinite(number) && !Object.is(number, -0) ? number : Object.is(number, -0) ? '-0' : String(number);
    }
    case 'BIGINT':
    case 'HUGEINT':
    case 'UBIGINT':
    case 'UHUGEINT':
    case 'BIGNUM':
    case 'BIT':
      return String(value);
    case 'DECIMAL':
      return String((value as Decimal).unscaled);
    case 'BLOB':
      return Buffer.from(value as Uint8Array).toString('base64');
    case 'GEOMETRY':
      return Buffer.from((value as Geometry).wkb).toString('base64');
    case 'DATE':
      return (value as DateValue).days;
    case 'TIME':
    case 'TIME_NS':
      return (value as TimeValue).nanos;
    case 'TIMETZ': {
      const { micros, offsetSeconds } = value as TimeTz;
      return [micros, offsetSeconds];
    }
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS':
    case 'TIMESTAMP_NS':
      return String((value as Timestamp).ticks);
    case 'TIMESTAMPTZ':
      return String((value as TimestampTz).micros);
    case 'INTERVAL': {
      const { months, days, micros } = value as Interval;
      return [months, days, String(micros)];
    }
    case 'LIST':
    case 'ARRAY':
      return (value as readonly Value[]).map((item) => written(item, type.item));
    case 'STRUCT':
      return fieldValues(value, type.fields).map((item, at) => written(item, type.fields[at]?.type ?? { kind: 'NULL' }));
    case 'MAP':
      return (value as MapValue).entries.map(([key, item]) => [written(key, type.key), written(item, type.value)]);
    case 'UNION': {
      const { tag, value: member } = value as UnionValue;
      return [tag, written(member, type.members.find((each) => each.tag === tag)?.type ?? { kind: 'NULL' })];
    }
    case 'VARIANT': {
      const variant = value as VariantValue;
      return { type: variant.type as unknown as JsonValue, value: written(variant.value, variant.type) };
    }
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INTEGER':
    case 'UTINYINT':
    case 'USMALLINT':
    case 'UINTEGER':
    case 'VARCHAR':
    case 'JSON':
    case 'UUID':
    case 'ENUM':
      return value as boolean | number | string;
    case 'NULL':
      return null;
    default:
      return type satisfies never;
  }
}

function read(json: JsonValue, type: SqlType): Value {
  if (json === null) return null;
  try {
    return readAs(json, type);
  } catch (error) {
    if (error instanceof Diagnostic) throw error;
    throw new Diagnostic('wrong_type', `${JSON.stringify(json).slice(0, 100)} is no ${type.kind}`, { cause: error });
  }
}

function readAs(json: JsonValue, type: SqlType): Value {
  switch (type.kind) {
    case 'FLOAT':
    case 'DOUBLE':
      return Number(json);
    case 'BIGINT':
    case 'HUGEINT':
    case 'UBIGINT':
    case 'UHUGEINT':
    case 'BIGNUM':
      return BigInt(json as string);
    case 'BIT':
      return new Bit(String(json));
    case 'DECIMAL':
      return new Decimal(BigInt(json as string), type.scale);
    case 'BLOB':
      return bytesOf(json);
    case 'GEOMETRY':
      return new Geometry(bytesOf(json));
    case 'DATE':
      return new DateValue(Number(json));
    case 'TIME':
    case 'TIME_NS':
      return new TimeValue(Number(json));
    case 'TIMETZ': {
      const [micros, offsetSeconds] = listOf(json);
      return new TimeTz(Number(micros), Number(offsetSeconds));
    }
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS':
    case 'TIMESTAMP_NS':
      return new Timestamp(BigInt(json as string), timestampUnits[type.kind]);
    case 'TIMESTAMPTZ':
      return new TimestampTz(BigInt(json as string));
    case 'INTERVAL': {
      const [months, days, micros] = listOf(json);
      return new Interval(Number(months), Number(days), BigInt(micros as string));
    }
    case 'LIST':
    case 'ARRAY':
      return listOf(json).map((item) => read(item, type.item));
    case 'STRUCT': {
      const items = listOf(json);
      const values = type.fields.map((field, at) => [field.name, read(items[at] ?? null, field.type)] as const);
      return isTuple(type.fields) ? values.map(([, value]) => value) : objectOf(values);
    }
    case 'MAP':
      return new MapValue(
        listOf(json).map((entry) => {
          const [key = null, item = null] = listOf(entry);
          return [read(key, type.key), read(item, type.value)] as const;
        }),
      );
    case 'UNION': {
      const [tag, member = null] = listOf(json);
      const found = type.members.find((each) => each.tag === tag);
      return new UnionValue(String(tag), read(member, found?.type ?? { kind: 'NULL' }));
    }
    case 'VARIANT': {
      const variant = json as unknown as TypedJson;
      return new VariantValue(variant.type, read(variant.value, variant.type));
    }
    case 'BOOLEAN':
      return Boolean(json);
    case 'TINYINT':
    case 'SMALLINT':
    case 'INTEGER':
    case 'UTINYINT':
    case 'USMALLINT':
    case 'UINTEGER':
      return Number(json);
    case 'VARCHAR':
    case 'JSON':
    case 'UUID':
    case 'ENUM':
      return String(json);
    case 'NULL':
      return null;
    default:
      return type satisfies never;
  }
}

function bytesOf(json: JsonValue): Uint8Array {
  // A buffer of its own: Node's small ones share theirs.
  return new Uint8Array(Buffer.from(String(json), 'base64'));
}

function listOf(json: JsonValue): readonly JsonValue[] {
  if (!Array.isArray(json)) throw new Error('not a list');
  return json;
}
