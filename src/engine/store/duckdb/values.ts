// Between the client's values and ours (value.ts), both ways. Out: column by column, with a reader chosen once for each column.
//
// The client's own `getItem` cannot be used where it loses something: STRUCT values come as objects whose keys change places
// (`{'2': .., '1': ..}`) or fall together (`row(1, 2)` keeps the last field only), and text loses a leading byte order mark. So
// nested vectors are read through their parts, some of which the client keeps private: the client is pinned to one exact version.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { isTuple, type SqlType, typeName } from '../../type.ts';
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
  type StructField,
  Timestamp,
  TimestampTz,
  type TimestampUnit,
  TimeTz,
  TimeValue,
  UnionValue,
  type Value,
  VariantValue,
} from '../../value.ts';
import * as native from './native.ts';

/** A chunk's values, a list for each column. */
export function readColumns(chunk: native.NativeChunk, types: readonly SqlType[]): Value[][] {
  const count = chunk.rowCount;
  // The client has no vector for a column of nothing but NULL, which `unnest(.., recursive := true)` makes.
  return types.map((type, at) =>
    type.kind === 'NULL' ? new Array<Value>(count).fill(null) : readVector(chunk.getColumnVector(at), type, count),
  );
}

/** A parameter as the client binds it. */
export function nativeParameter(parameter: Parameter): native.NativeParameter {
  return { value: nativeValue(parameter.value, parameter.type), type: nativeType(parameter.type) };
}

/** The client's type as plain data. */
export function sqlType(type: native.DuckDBType): SqlType {
  switch (type.typeId) {
    case native.DuckDBTypeId.VARCHAR:
      return { kind: type.alias === 'JSON' ? 'JSON' : 'VARCHAR' };
    case native.DuckDBTypeId.DECIMAL:
      return { kind: 'DECIMAL', width: type.width, scale: type.scale };
    case native.DuckDBTypeId.ENUM:
      return { kind: 'ENUM', values: type.values };
    case native.DuckDBTypeId.LIST:
      return { kind: 'LIST', item: sqlType(type.valueType) };
    case native.DuckDBTypeId.ARRAY:
      return { kind: 'ARRAY', item: sqlType(type.valueType), length: type.length };
    case native.DuckDBTypeId.STRUCT:
      return { kind: 'STRUCT', fields: type.entryNames.map((name, at) => ({ name, type: sqlType(part(type.entryTypes, at)) })) };
    case native.DuckDBTypeId.MAP:
      return { kind: 'MAP', key: sqlType(type.keyType), value: sqlType(type.valueType) };
    case native.DuckDBTypeId.UNION:
      return { kind: 'UNION', members: type.memberTags.map((tag, at) => ({ tag, type: sqlType(part(type.memberTypes, at)) })) };
    case native.DuckDBTypeId.TIME_TZ:
      return { kind: 'TIMETZ' };
    case native.DuckDBTypeId.TIMESTAMP_TZ:
      return { kind: 'TIMESTAMPTZ' };
    case native.DuckDBTypeId.SQLNULL:
      return { kind: 'NULL' };
    case native.DuckDBTypeId.BOOLEAN:
    case native.DuckDBTypeId.TINYINT:
    case native.DuckDBTypeId.SMALLINT:
    case native.DuckDBTypeId.INTEGER:
    case native.DuckDBTypeId.BIGINT:
    case native.DuckDBTypeId.HUGEINT:
    case native.DuckDBTypeId.UTINYINT:
    case native.DuckDBTypeId.USMALLINT:
    case native.DuckDBTypeId.UINTEGER:
    case native.DuckDBTypeId.UBIGINT:
    case native.DuckDBTypeId.UHUGEINT:
    case native.DuckDBTypeId.BIGNUM:
    case native.DuckDBTypeId.FLOAT:
    case native.DuckDBTypeId.DOUBLE:
    case native.DuckDBTypeId.BLOB:
    case native.DuckDBTypeId.BIT:
    case native.DuckDBTypeId.UUID:
    case native.DuckDBTypeId.DATE:
    case native.DuckDBTypeId.TIME:
    case native.DuckDBTypeId.TIME_NS:
    case native.DuckDBTypeId.TIMESTAMP:
    case native.DuckDBTypeId.TIMESTAMP_S:
    case native.DuckDBTypeId.TIMESTAMP_MS:
    case native.DuckDBTypeId.TIMESTAMP_NS:
    case native.DuckDBTypeId.INTERVAL:
    case native.DuckDBTypeId.GEOMETRY:
    case native.DuckDBTypeId.VARIANT:
      return { kind: simpleKinds[type.typeId] };
    case native.DuckDBTypeId.ANY:
    case native.DuckDBTypeId.STRING_LITERAL:
    case native.DuckDBTypeId.INTEGER_LITERAL:
      throw new Diagnostic('unsupported', `a column of type ${type} cannot be read`, { hint: 'cast it to another type' });
    default:
      return type satisfies never;
  }
}

const simpleKinds = {
  [native.DuckDBTypeId.BOOLEAN]: 'BOOLEAN',
  [native.DuckDBTypeId.TINYINT]: 'TINYINT',
  [native.DuckDBTypeId.SMALLINT]: 'SMALLINT',
  [native.DuckDBTypeId.INTEGER]: 'INTEGER',
  [native.DuckDBTypeId.BIGINT]: 'BIGINT',
  [native.DuckDBTypeId.HUGEINT]: 'HUGEINT',
  [native.DuckDBTypeId.UTINYINT]: 'UTINYINT',
  [native.DuckDBTypeId.USMALLINT]: 'USMALLINT',
  [native.DuckDBTypeId.UINTEGER]: 'UINTEGER',
  [native.DuckDBTypeId.UBIGINT]: 'UBIGINT',
  [native.DuckDBTypeId.UHUGEINT]: 'UHUGEINT',
  [native.DuckDBTypeId.BIGNUM]: 'BIGNUM',
  [native.DuckDBTypeId.FLOAT]: 'FLOAT',
  [native.DuckDBTypeId.DOUBLE]: 'DOUBLE',
  [native.DuckDBTypeId.BLOB]: 'BLOB',
  [native.DuckDBTypeId.BIT]: 'BIT',
  [native.DuckDBTypeId.UUID]: 'UUID',
  [native.DuckDBTypeId.DATE]: 'DATE',
  [native.DuckDBTypeId.TIME]: 'TIME',
  [native.DuckDBTypeId.TIME_NS]: 'TIME_NS',
  [native.DuckDBTypeId.TIMESTAMP]: 'TIMESTAMP',
  [native.DuckDBTypeId.TIMESTAMP_S]: 'TIMESTAMP_S',
  [native.DuckDBTypeId.TIMESTAMP_MS]: 'TIMESTAMP_MS',
  [native.DuckDBTypeId.TIMESTAMP_NS]: 'TIMESTAMP_NS',
  [native.DuckDBTypeId.INTERVAL]: 'INTERVAL',
  [native.DuckDBTypeId.GEOMETRY]: 'GEOMETRY',
  [native.DuckDBTypeId.VARIANT]: 'VARIANT',
} as const;

function readVector(vector: native.DuckDBVector, type: SqlType, count: number): Value[] {
  if (vector instanceof native.DuckDBVarCharVector) return readText(vector, count);
  if (vector instanceof native.DuckDBListVector && type.kind === 'LIST') return readLists(vector, type.item, count);
  if (vector instanceof native.DuckDBArrayVector && type.kind === 'ARRAY') {
    const { childData, validity } = arrayParts(vector);
    const items = readVector(childData, type.item, count * type.length);
    return Array.from({ length: count }, (_, row) =>
      validity.itemValid(row) ? items.slice(row * type.length, (row + 1) * type.length) : null,
    );
  }
  if (vector instanceof native.DuckDBStructVector && type.kind === 'STRUCT') return readStructs(vector, type.fields, count);
  if (vector instanceof native.DuckDBMapVector && type.kind === 'MAP') {
    const { listVector } = mapParts(vector);
    const entries = listVector.childVector as native.DuckDBStructVector;
    const keys = readVector(entries.entryVectorAt(0), type.key, entries.itemCount);
    const values = readVector(entries.entryVectorAt(1), type.value, entries.itemCount);
    const { validity } = listParts(listVector);
    return Array.from({ length: count }, (_, row) => {
      if (!validity.itemValid(row)) return null;
      const start = listVector.getEntryOffset(row);
      return new MapValue(
        Array.from({ length: listVector.getEntryLength(row) }, (__, at) => [keys[start + at] ?? null, values[start + at] ?? null] as const),
      );
    });
  }
  if (vector instanceof native.DuckDBUnionVector && type.kind === 'UNION') {
    const { structVector } = unionParts(vector);
    const tags = structVector.entryVectorAt(0);
    const members = type.members.map((member, at) => readVector(structVector.entryVectorAt(at + 1), member.type, count));
    return Array.from({ length: count }, (_, row) => {
      const at = structVector.isItemValid(row) ? (tags.getItem(row) as number | null) : null;
      return at === null ? null : new UnionValue(part(type.members, at).tag, members[at]?.[row] ?? null);
    });
  }
  const values = new Array<Value>(count);
  for (let row = 0; row < count; row++) {
    const item = vector.getItem(row) as native.DuckDBValue;
    values[row] = item === null || typeof item !== 'object' ? item : ourValue(item, type);
  }
  return values;
}

/** The client decodes UTF-8 with a decoder that takes a leading byte order mark away. */
function readText(vector: native.DuckDBVarCharVector, count: number): Value[] {
  const { dataView } = textParts(vector);
  const values = new Array<Value>(count);
  for (let row = 0; row < count; row++) {
    const text = vector.getItem(row);
    // Each string is 16 bytes: its length, then its first four bytes, whether it is kept in place or elsewhere.
    const marked =
      text !== null && dataView.getUint32(row * 16, true) >= 3 && (dataView.getUint32(row * 16 + 4, true) & 0xffffff) === 0xbfbbef;
    values[row] = marked ? `\uFEFF${text}` : text;
  }
  return values;
}

/**
 * Texts of one chunk, row by row, for functions: a constant, or a run of one text, is decoded once. Equal 16 bytes are the
 * same text: a short one stands in them whole, a long one by its address, which holds for as long as the chunk.
 */
export function textReader(vector: native.DuckDBVector): (row: number) => string | null {
  const texts = vector as native.DuckDBVarCharVector;
  const { dataView, validity } = textParts(texts);
  let last: string | null = null;
  let lastAt = -1;
  return (row) => {
    if (!validity.itemValid(row)) return null;
    if (lastAt >= 0 && sameSixteen(dataView, row * 16, lastAt)) return last;
    last = texts.getItem(row);
    lastAt = row * 16;
    return last;
  };
}

function sameSixteen(view: DataView, a: number, b: number): boolean {
  return (
    view.getUint32(a) === view.getUint32(b) &&
    view.getUint32(a + 4) === view.getUint32(b + 4) &&
    view.getUint32(a + 8) === view.getUint32(b + 8) &&
    view.getUint32(a + 12) === view.getUint32(b + 12)
  );
}

function readLists(vector: native.DuckDBListVector, item: SqlType, count: number): Value[] {
  const { validity } = listParts(vector);
  const child = vector.childVector;
  const items = readVector(child, item, child.itemCount);
  const values = new Array<Value>(count);
  for (let row = 0; row < count; row++) {
    const start = vector.getEntryOffset(row);
    values[row] = validity.itemValid(row) ? items.slice(start, start + vector.getEntryLength(row)) : null;
  }
  return values;
}

function readStructs(vector: native.DuckDBStructVector, fields: readonly StructField[], count: number): Value[] {
  const columns = fields.map((field, at) => readVector(vector.entryVectorAt(at), field.type, count));
  const tuple = isTuple(fields);
  return Array.from({ length: count }, (_, row) => {
    if (!vector.isItemValid(row)) return null;
    if (tuple) return columns.map((column) => column[row] ?? null);
    return objectOf(fields.map((field, at) => [field.name, columns[at]?.[row] ?? null] as const));
  });
}

/** One of the client's value objects. */
function ourValue(item: object, type: SqlType): Value {
  if (item instanceof native.DuckDBTimestampTZValue) return new TimestampTz(item.micros);
  if (item instanceof native.DuckDBTimestampValue) return new Timestamp(item.micros, 'us');
  if (item instanceof native.DuckDBTimestampSecondsValue) return new Timestamp(item.seconds, 's');
  if (item instanceof native.DuckDBTimestampMillisecondsValue) return new Timestamp(item.millis, 'ms');
  if (item instanceof native.DuckDBTimestampNanosecondsValue) return new Timestamp(item.nanos, 'ns');
  if (item instanceof native.DuckDBDateValue) return new DateValue(item.days);
  if (item instanceof native.DuckDBTimeValue) return new TimeValue(Number(item.micros) * 1000);
  if (item instanceof native.DuckDBTimeNSValue) return new TimeValue(Number(item.nanos));
  if (item instanceof native.DuckDBTimeTZValue) return new TimeTz(Number(item.micros), item.offset);
  if (item instanceof native.DuckDBDecimalValue) return new Decimal(item.value, item.scale);
  if (item instanceof native.DuckDBUUIDValue) return item.toString();
  // The client's bytes are Buffers over a shared pool; ours are bytes of their own.
  if (item instanceof native.DuckDBBlobValue) return new Uint8Array(item.bytes);
  if (item instanceof native.DuckDBIntervalValue) return new Interval(item.months, item.days, item.micros);
  if (item instanceof native.DuckDBBitValue) return new Bit(item.toString());
  if (item instanceof native.DuckDBGeometryValue) return new Geometry(new Uint8Array(item.bytes));
  if (item instanceof native.DuckDBVariantValue) {
    const inner = item.type === undefined ? ({ kind: 'NULL' } as const) : sqlType(item.type);
    return new VariantValue(inner, variantPart(item.value, inner));
  }
  throw new Diagnostic('internal', `no value of type ${typeName(type)} can be read from ${item.constructor.name}`);
}

/** Inside of a VARIANT the client has decoded everything: only lists and structs of plain values are left. */
function variantPart(item: native.DuckDBValue, type: SqlType): Value {
  if (item === null || typeof item !== 'object') return item;
  if (item instanceof native.DuckDBListValue && type.kind === 'LIST') return item.items.map((each) => variantPart(each, type.item));
  if (item instanceof native.DuckDBStructValue && type.kind === 'STRUCT') {
    return objectOf(type.fields.map((field) => [field.name, variantPart(item.entries[field.name] ?? null, field.type)] as const));
  }
  return ourValue(item, type);
}

function nativeType(type: SqlType): native.DuckDBType {
  switch (type.kind) {
    case 'DECIMAL':
      return native.DECIMAL(type.width, type.scale);
    case 'ENUM':
      return native.ENUM(type.values);
    case 'LIST':
      return native.LIST(nativeType(type.item));
    case 'ARRAY':
      return native.ARRAY(nativeType(type.item), type.length);
    case 'STRUCT':
      return native.STRUCT(objectOf(type.fields.map((field) => [field.name, nativeType(field.type)] as const)));
    case 'MAP':
      return native.MAP(nativeType(type.key), nativeType(type.value));
    case 'UNION':
      return native.UNION(objectOf(type.members.map((member) => [member.tag, nativeType(member.type)] as const)));
    default:
      return simpleTypes[type.kind];
  }
}

const simpleTypes = {
  BOOLEAN: native.BOOLEAN,
  TINYINT: native.TINYINT,
  SMALLINT: native.SMALLINT,
  INTEGER: native.INTEGER,
  BIGINT: native.BIGINT,
  HUGEINT: native.HUGEINT,
  UTINYINT: native.UTINYINT,
  USMALLINT: native.USMALLINT,
  UINTEGER: native.UINTEGER,
  UBIGINT: native.UBIGINT,
  UHUGEINT: native.UHUGEINT,
  BIGNUM: native.BIGNUM,
  FLOAT: native.FLOAT,
  DOUBLE: native.DOUBLE,
  VARCHAR: native.VARCHAR,
  JSON: native.VARCHAR,
  BLOB: native.BLOB,
  BIT: native.BIT,
  UUID: native.UUID,
  DATE: native.DATE,
  TIME: native.TIME,
  TIME_NS: native.TIME_NS,
  TIMETZ: native.TIMETZ,
  TIMESTAMP: native.TIMESTAMP,
  TIMESTAMP_S: native.TIMESTAMP_S,
  TIMESTAMP_MS: native.TIMESTAMP_MS,
  TIMESTAMP_NS: native.TIMESTAMP_NS,
  TIMESTAMPTZ: native.TIMESTAMPTZ,
  INTERVAL: native.INTERVAL,
  GEOMETRY: native.GEOMETRY,
  VARIANT: native.VARIANT,
  NULL: native.SQLNULL,
} as const;

function nativeValue(value: Value, type: SqlType): native.DuckDBValue {
  if (value === null) return null;
  if (type.kind === 'UUID') return uuidValue(String(value));
  if (type.kind === 'LIST') return new native.DuckDBListValue((value as readonly Value[]).map((item) => nativeValue(item, type.item)));
  if (type.kind === 'ARRAY') return new native.DuckDBArrayValue((value as readonly Value[]).map((item) => nativeValue(item, type.item)));
  if (type.kind === 'STRUCT') {
    const values = fieldValues(value, type.fields);
    return new native.DuckDBStructValue(
      objectOf(type.fields.map((field, at) => [field.name, nativeValue(values[at] ?? null, field.type)] as const)),
    );
  }
  if (type.kind === 'MAP' && value instanceof MapValue) {
    return new native.DuckDBMapValue(
      value.entries.map(([key, item]) => ({ key: nativeValue(key, type.key), value: nativeValue(item, type.value) })),
    );
  }
  if (type.kind === 'UNION' && value instanceof UnionValue) {
    const member = type.members.find(({ tag }) => tag === value.tag);
    return new native.DuckDBUnionValue(value.tag, nativeValue(value.value, member?.type ?? { kind: 'NULL' }));
  }
  if (typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return new native.DuckDBBlobValue(value);
  if (value instanceof Decimal)
    return new native.DuckDBDecimalValue(value.unscaled, type.kind === 'DECIMAL' ? type.width : 38, value.scale);
  if (value instanceof DateValue) return new native.DuckDBDateValue(value.days);
  if (value instanceof TimeValue) {
    return type.kind === 'TIME_NS' ? new native.DuckDBTimeNSValue(BigInt(value.nanos)) : new native.DuckDBTimeValue(BigInt(value.micros));
  }
  if (value instanceof TimeTz) return native.DuckDBTimeTZValue.fromMicrosAndOffset(BigInt(value.micros), value.offsetSeconds);
  if (value instanceof Timestamp) return nativeTimestamp(value.ticks, value.unit);
  if (value instanceof TimestampTz) return new native.DuckDBTimestampTZValue(value.micros);
  if (value instanceof Interval) return new native.DuckDBIntervalValue(value.months, value.days, value.micros);
  if (value instanceof Bit) return native.DuckDBBitValue.fromString(value.bits);
  throw new Diagnostic('unsupported', `a value of type ${typeName(type)} cannot be bound`, { hint: 'bind its text and cast it in SQL' });
}

function nativeTimestamp(ticks: bigint, unit: TimestampUnit): native.DuckDBValue {
  switch (unit) {
    case 's':
      return new native.DuckDBTimestampSecondsValue(ticks);
    case 'ms':
      return new native.DuckDBTimestampMillisecondsValue(ticks);
    case 'us':
      return new native.DuckDBTimestampValue(ticks);
    case 'ns':
      return new native.DuckDBTimestampNanosecondsValue(ticks);
    default:
      return unit satisfies never;
  }
}

function uuidValue(text: string): native.DuckDBValue {
  return native.DuckDBUUIDValue.fromUint128(BigInt(`0x${text.replaceAll('-', '')}`));
}

function part<T>(parts: readonly T[], at: number): T {
  const found = parts[at];
  if (found === undefined) throw new Diagnostic('internal', `the client answered ${parts.length} parts where part ${at} is needed`);
  return found;
}

// The client's private parts, each with the shape it has in the pinned version.

interface Validity {
  itemValid(row: number): boolean;
}

function textParts(vector: native.DuckDBVarCharVector): { readonly dataView: DataView; readonly validity: Validity } {
  return vector as unknown as { readonly dataView: DataView; readonly validity: Validity };
}

function listParts(vector: native.DuckDBListVector): { readonly validity: Validity } {
  return vector as unknown as { readonly validity: Validity };
}

function arrayParts(vector: native.DuckDBArrayVector): { readonly validity: Validity; readonly childData: native.DuckDBVector } {
  return vector as unknown as { readonly validity: Validity; readonly childData: native.DuckDBVector };
}

function mapParts(vector: native.DuckDBMapVector): { readonly listVector: native.DuckDBListVector } {
  return vector as unknown as { readonly listVector: native.DuckDBListVector };
}

function unionParts(vector: native.DuckDBUnionVector): { readonly structVector: native.DuckDBStructVector } {
  return vector as unknown as { readonly structVector: native.DuckDBStructVector };
}
