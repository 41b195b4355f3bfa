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
import { type DuckDB, duckdb, type NativeChunk, type NativeParameter } from './native.ts';

/** A chunk's values, a list for each column; `count`: of its first rows only. */
export function readColumns(chunk: NativeChunk, types: readonly SqlType[], count: number = chunk.rowCount): Value[][] {
  // The client has no vector for a column of nothing but NULL, which `unnest(.., recursive := true)` makes.
  return types.map((type, at) =>
    type.kind === 'NULL' ? new Array<Value>(count).fill(null) : readVector(chunk.getColumnVector(at), type, count),
  );
}

/** A parameter as the client binds it. */
export function nativeParameter(parameter: Parameter): NativeParameter {
  return { value: nativeValue(parameter.value, parameter.type), type: nativeType(parameter.type) };
}

/** The client's type as plain data. */
export function sqlType(type: DuckDB.DuckDBType): SqlType {
  switch (type.typeId) {
    case duckdb.DuckDBTypeId.VARCHAR:
      return { kind: type.alias === 'JSON' ? 'JSON' : 'VARCHAR' };
    case duckdb.DuckDBTypeId.DECIMAL:
      return { kind: 'DECIMAL', width: type.width, scale: type.scale };
    case duckdb.DuckDBTypeId.ENUM:
      return { kind: 'ENUM', values: type.values };
    case duckdb.DuckDBTypeId.LIST:
      return { kind: 'LIST', item: sqlType(type.valueType) };
    case duckdb.DuckDBTypeId.ARRAY:
      return { kind: 'ARRAY', item: sqlType(type.valueType), length: type.length };
    case duckdb.DuckDBTypeId.STRUCT:
      return { kind: 'STRUCT', fields: type.entryNames.map((name, at) => ({ name, type: sqlType(part(type.entryTypes, at)) })) };
    case duckdb.DuckDBTypeId.MAP:
      return { kind: 'MAP', key: sqlType(type.keyType), value: sqlType(type.valueType) };
    case duckdb.DuckDBTypeId.UNION:
      return { kind: 'UNION', members: type.memberTags.map((tag, at) => ({ tag, type: sqlType(part(type.memberTypes, at)) })) };
    case duckdb.DuckDBTypeId.TIME_TZ:
      return { kind: 'TIMETZ' };
    case duckdb.DuckDBTypeId.TIMESTAMP_TZ:
      return { kind: 'TIMESTAMPTZ' };
    case duckdb.DuckDBTypeId.SQLNULL:
      return { kind: 'NULL' };
    case duckdb.DuckDBTypeId.BOOLEAN:
    case duckdb.DuckDBTypeId.TINYINT:
    case duckdb.DuckDBTypeId.SMALLINT:
    case duckdb.DuckDBTypeId.INTEGER:
    case duckdb.DuckDBTypeId.BIGINT:
    case duckdb.DuckDBTypeId.HUGEINT:
    case duckdb.DuckDBTypeId.UTINYINT:
    case duckdb.DuckDBTypeId.USMALLINT:
    case duckdb.DuckDBTypeId.UINTEGER:
    case duckdb.DuckDBTypeId.UBIGINT:
    case duckdb.DuckDBTypeId.UHUGEINT:
    case duckdb.DuckDBTypeId.BIGNUM:
    case duckdb.DuckDBTypeId.FLOAT:
    case duckdb.DuckDBTypeId.DOUBLE:
    case duckdb.DuckDBTypeId.BLOB:
    case duckdb.DuckDBTypeId.BIT:
    case duckdb.DuckDBTypeId.UUID:
    case duckdb.DuckDBTypeId.DATE:
    case duckdb.DuckDBTypeId.TIME:
    case duckdb.DuckDBTypeId.TIME_NS:
    case duckdb.DuckDBTypeId.TIMESTAMP:
    case duckdb.DuckDBTypeId.TIMESTAMP_S:
    case duckdb.DuckDBTypeId.TIMESTAMP_MS:
    case duckdb.DuckDBTypeId.TIMESTAMP_NS:
    case duckdb.DuckDBTypeId.INTERVAL:
    case duckdb.DuckDBTypeId.GEOMETRY:
    case duckdb.DuckDBTypeId.VARIANT:
      return { kind: simpleKinds[type.typeId] };
    case duckdb.DuckDBTypeId.ANY:
    case duckdb.DuckDBTypeId.STRING_LITERAL:
    case duckdb.DuckDBTypeId.INTEGER_LITERAL:
      throw new Diagnostic('unsupported', `a column of type ${type} cannot be read`, { hint: 'cast it to another type' });
    default:
      return type satisfies never;
  }
}

const simpleKinds = {
  [duckdb.DuckDBTypeId.BOOLEAN]: 'BOOLEAN',
  [duckdb.DuckDBTypeId.TINYINT]: 'TINYINT',
  [duckdb.DuckDBTypeId.SMALLINT]: 'SMALLINT',
  [duckdb.DuckDBTypeId.INTEGER]: 'INTEGER',
  [duckdb.DuckDBTypeId.BIGINT]: 'BIGINT',
  [duckdb.DuckDBTypeId.HUGEINT]: 'HUGEINT',
  [duckdb.DuckDBTypeId.UTINYINT]: 'UTINYINT',
  [duckdb.DuckDBTypeId.USMALLINT]: 'USMALLINT',
  [duckdb.DuckDBTypeId.UINTEGER]: 'UINTEGER',
  [duckdb.DuckDBTypeId.UBIGINT]: 'UBIGINT',
  [duckdb.DuckDBTypeId.UHUGEINT]: 'UHUGEINT',
  [duckdb.DuckDBTypeId.BIGNUM]: 'BIGNUM',
  [duckdb.DuckDBTypeId.FLOAT]: 'FLOAT',
  [duckdb.DuckDBTypeId.DOUBLE]: 'DOUBLE',
  [duckdb.DuckDBTypeId.BLOB]: 'BLOB',
  [duckdb.DuckDBTypeId.BIT]: 'BIT',
  [duckdb.DuckDBTypeId.UUID]: 'UUID',
  [duckdb.DuckDBTypeId.DATE]: 'DATE',
  [duckdb.DuckDBTypeId.TIME]: 'TIME',
  [duckdb.DuckDBTypeId.TIME_NS]: 'TIME_NS',
  [duckdb.DuckDBTypeId.TIMESTAMP]: 'TIMESTAMP',
  [duckdb.DuckDBTypeId.TIMESTAMP_S]: 'TIMESTAMP_S',
  [duckdb.DuckDBTypeId.TIMESTAMP_MS]: 'TIMESTAMP_MS',
  [duckdb.DuckDBTypeId.TIMESTAMP_NS]: 'TIMESTAMP_NS',
  [duckdb.DuckDBTypeId.INTERVAL]: 'INTERVAL',
  [duckdb.DuckDBTypeId.GEOMETRY]: 'GEOMETRY',
  [duckdb.DuckDBTypeId.VARIANT]: 'VARIANT',
} as const;

function readVector(vector: DuckDB.DuckDBVector, type: SqlType, count: number): Value[] {
  if (vector instanceof duckdb.DuckDBVarCharVector) return readText(vector, count);
  if (vector instanceof duckdb.DuckDBListVector && type.kind === 'LIST') return readLists(vector, type.item, count);
  if (vector instanceof duckdb.DuckDBArrayVector && type.kind === 'ARRAY') {
    const { childData, validity } = arrayParts(vector);
    const items = readVector(childData, type.item, count * type.length);
    return Array.from({ length: count }, (_, row) =>
      validity.itemValid(row) ? items.slice(row * type.length, (row + 1) * type.length) : null,
    );
  }
  if (vector instanceof duckdb.DuckDBStructVector && type.kind === 'STRUCT') return readStructs(vector, type.fields, count);
  if (vector instanceof duckdb.DuckDBMapVector && type.kind === 'MAP') {
    const { listVector } = mapParts(vector);
    const entries = listVector.childVector as DuckDB.DuckDBStructVector;
    const used = itemsOf(listVector, count);
    const keys = readVector(entries.entryVectorAt(0), type.key, used);
    const values = readVector(entries.entryVectorAt(1), type.value, used);
    const { validity } = listParts(listVector);
    return Array.from({ length: count }, (_, row) => {
      if (!validity.itemValid(row)) return null;
      const start = listVector.getEntryOffset(row);
      return new MapValue(
        Array.from({ length: listVector.getEntryLength(row) }, (__, at) => [keys[start + at] ?? null, values[start + at] ?? null] as const),
      );
    });
  }
  if (vector instanceof duckdb.DuckDBUnionVector && type.kind === 'UNION') {
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
    const item = vector.getItem(row) as DuckDB.DuckDBValue;
    values[row] = item === null || typeof item !== 'object' ? item : ourValue(item, type);
  }
  return values;
}

/** The client decodes UTF-8 with a decoder that takes a leading byte order mark away. */
function readText(vector: DuckDB.DuckDBVarCharVector, count: number): Value[] {
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
export function textReader(vector: DuckDB.DuckDBVector): (row: number) => string | null {
  const texts = vector as DuckDB.DuckDBVarCharVector;
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

function readLists(vector: DuckDB.DuckDBListVector, item: SqlType, count: number): Value[] {
  const { validity } = listParts(vector);
  const items = readVector(vector.childVector, item, itemsOf(vector, count));
  const values = new Array<Value>(count);
  for (let row = 0; row < count; row++) {
    const start = vector.getEntryOffset(row);
    values[row] = validity.itemValid(row) ? items.slice(start, start + vector.getEntryLength(row)) : null;
  }
  return values;
}

/** Up to where the items of the first `count` lists reach: those behind may be millions, of rows that nobody wants. */
function itemsOf(vector: DuckDB.DuckDBListVector, count: number): number {
  const { validity } = listParts(vector);
  let end = 0;
  for (let row = 0; row < count; row++)
    if (validity.itemValid(row)) end = Math.max(end, vector.getEntryOffset(row) + vector.getEntryLength(row));
  return end;
}

function readStructs(vector: DuckDB.DuckDBStructVector, fields: readonly StructField[], count: number): Value[] {
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
  if (item instanceof duckdb.DuckDBTimestampTZValue) return new TimestampTz(item.micros);
  if (item instanceof duckdb.DuckDBTimestampValue) return new Timestamp(item.micros, 'us');
  if (item instanceof duckdb.DuckDBTimestampSecondsValue) return new Timestamp(item.seconds, 's');
  if (item instanceof duckdb.DuckDBTimestampMillisecondsValue) return new Timestamp(item.millis, 'ms');
  if (item instanceof duckdb.DuckDBTimestampNanosecondsValue) return new Timestamp(item.nanos, 'ns');
  if (item instanceof duckdb.DuckDBDateValue) return new DateValue(item.days);
  if (item instanceof duckdb.DuckDBTimeValue) return new TimeValue(Number(item.micros) * 1000);
  if (item instanceof duckdb.DuckDBTimeNSValue) return new TimeValue(Number(item.nanos));
  if (item instanceof duckdb.DuckDBTimeTZValue) return new TimeTz(Number(item.micros), item.offset);
  if (item instanceof duckdb.DuckDBDecimalValue) return new Decimal(item.value, item.scale);
  if (item instanceof duckdb.DuckDBUUIDValue) return item.toString();
  // The client's bytes are Buffers over a shared pool; ours are bytes of their own.
  if (item instanceof duckdb.DuckDBBlobValue) return new Uint8Array(item.bytes);
  if (item instanceof duckdb.DuckDBIntervalValue) return new Interval(item.months, item.days, item.micros);
  if (item instanceof duckdb.DuckDBBitValue) return new Bit(item.toString());
  if (item instanceof duckdb.DuckDBGeometryValue) return new Geometry(new Uint8Array(item.bytes));
  if (item instanceof duckdb.DuckDBVariantValue) {
    const inner = item.type === undefined ? ({ kind: 'NULL' } as const) : sqlType(item.type);
    return new VariantValue(inner, variantPart(item.value, inner));
  }
  throw new Diagnostic('internal', `no value of type ${typeName(type)} can be read from ${item.constructor.name}`);
}

/** Inside of a VARIANT the client has decoded everything: only lists and structs of plain values are left. */
function variantPart(item: DuckDB.DuckDBValue, type: SqlType): Value {
  if (item === null || typeof item !== 'object') return item;
  if (item instanceof duckdb.DuckDBListValue && type.kind === 'LIST') return item.items.map((each) => variantPart(each, type.item));
  if (item instanceof duckdb.DuckDBStructValue && type.kind === 'STRUCT') {
    return objectOf(type.fields.map((field) => [field.name, variantPart(item.entries[field.name] ?? null, field.type)] as const));
  }
  return ourValue(item, type);
}

function nativeType(type: SqlType): DuckDB.DuckDBType {
  switch (type.kind) {
    case 'DECIMAL':
      return duckdb.DECIMAL(type.width, type.scale);
    case 'ENUM':
      return duckdb.ENUM(type.values);
    case 'LIST':
      return duckdb.LIST(nativeType(type.item));
    case 'ARRAY':
      return duckdb.ARRAY(nativeType(type.item), type.length);
    case 'STRUCT':
      return duckdb.STRUCT(objectOf(type.fields.map((field) => [field.name, nativeType(field.type)] as const)));
    case 'MAP':
      return duckdb.MAP(nativeType(type.key), nativeType(type.value));
    case 'UNION':
      return duckdb.UNION(objectOf(type.members.map((member) => [member.tag, nativeType(member.type)] as const)));
    default:
      return simpleTypes[type.kind];
  }
}

const simpleTypes = {
  BOOLEAN: duckdb.BOOLEAN,
  TINYINT: duckdb.TINYINT,
  SMALLINT: duckdb.SMALLINT,
  INTEGER: duckdb.INTEGER,
  BIGINT: duckdb.BIGINT,
  HUGEINT: duckdb.HUGEINT,
  UTINYINT: duckdb.UTINYINT,
  USMALLINT: duckdb.USMALLINT,
  UINTEGER: duckdb.UINTEGER,
  UBIGINT: duckdb.UBIGINT,
  UHUGEINT: duckdb.UHUGEINT,
  BIGNUM: duckdb.BIGNUM,
  FLOAT: duckdb.FLOAT,
  DOUBLE: duckdb.DOUBLE,
  VARCHAR: duckdb.VARCHAR,
  JSON: duckdb.VARCHAR,
  BLOB: duckdb.BLOB,
  BIT: duckdb.BIT,
  UUID: duckdb.UUID,
  DATE: duckdb.DATE,
  TIME: duckdb.TIME,
  TIME_NS: duckdb.TIME_NS,
  TIMETZ: duckdb.TIMETZ,
  TIMESTAMP: duckdb.TIMESTAMP,
  TIMESTAMP_S: duckdb.TIMESTAMP_S,
  TIMESTAMP_MS: duckdb.TIMESTAMP_MS,
  TIMESTAMP_NS: duckdb.TIMESTAMP_NS,
  TIMESTAMPTZ: duckdb.TIMESTAMPTZ,
  INTERVAL: duckdb.INTERVAL,
  GEOMETRY: duckdb.GEOMETRY,
  VARIANT: duckdb.VARIANT,
  NULL: duckdb.SQLNULL,
} as const;

function nativeValue(value: Value, type: SqlType): DuckDB.DuckDBValue {
  if (value === null) return null;
  if (type.kind === 'UUID') return uuidValue(String(value));
  if (type.kind === 'LIST') return new duckdb.DuckDBListValue((value as readonly Value[]).map((item) => nativeValue(item, type.item)));
  if (type.kind === 'ARRAY') return new duckdb.DuckDBArrayValue((value as readonly Value[]).map((item) => nativeValue(item, type.item)));
  if (type.kind === 'STRUCT') {
    const values = fieldValues(value, type.fields);
    return new duckdb.DuckDBStructValue(
      objectOf(type.fields.map((field, at) => [field.name, nativeValue(values[at] ?? null, field.type)] as const)),
    );
  }
  if (type.kind === 'MAP' && value instanceof MapValue) {
    return new duckdb.DuckDBMapValue(
      value.entries.map(([key, item]) => ({ key: nativeValue(key, type.key), value: nativeValue(item, type.value) })),
    );
  }
  if (type.kind === 'UNION' && value instanceof UnionValue) {
    const member = type.members.find(({ tag }) => tag === value.tag);
    return new duckdb.DuckDBUnionValue(value.tag, nativeValue(value.value, member?.type ?? { kind: 'NULL' }));
  }
  if (typeof value === 'string') mustBeWhole(value);
  if (typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return new duckdb.DuckDBBlobValue(value);
  if (value instanceof Decimal)
    return new duckdb.DuckDBDecimalValue(value.unscaled, type.kind === 'DECIMAL' ? type.width : 38, value.scale);
  if (value instanceof DateValue) return new duckdb.DuckDBDateValue(value.days);
  if (value instanceof TimeValue) {
    return type.kind === 'TIME_NS' ? new duckdb.DuckDBTimeNSValue(BigInt(value.nanos)) : new duckdb.DuckDBTimeValue(BigInt(value.micros));
  }
  if (value instanceof TimeTz) return duckdb.DuckDBTimeTZValue.fromMicrosAndOffset(BigInt(value.micros), value.offsetSeconds);
  if (value instanceof Timestamp) return nativeTimestamp(value.ticks, value.unit);
  if (value instanceof TimestampTz) return new duckdb.DuckDBTimestampTZValue(value.micros);
  if (value instanceof Interval) return new duckdb.DuckDBIntervalValue(value.months, value.days, value.micros);
  if (value instanceof Bit) return duckdb.DuckDBBitValue.fromString(value.bits);
  throw new Diagnostic('unsupported', `a value of type ${typeName(type)} cannot be bound`, { hint: 'bind its text and cast it in SQL' });
}

/** The client would put U+FFFD in its place, without a word. */
function mustBeWhole(text: string): void {
  const at = text.search(/\p{Surrogate}/u);
  if (at < 0) return;
  const half = text.charCodeAt(at).toString(16).toUpperCase();
  throw new Diagnostic('invalid_encoding', `a text holds half of a surrogate pair (U+${half} at ${at}), which UTF-8 cannot hold`, {
    hint: 'it was cut in the middle of a character',
  });
}

function nativeTimestamp(ticks: bigint, unit: TimestampUnit): DuckDB.DuckDBValue {
  switch (unit) {
    case 's':
      return new duckdb.DuckDBTimestampSecondsValue(ticks);
    case 'ms':
      return new duckdb.DuckDBTimestampMillisecondsValue(ticks);
    case 'us':
      return new duckdb.DuckDBTimestampValue(ticks);
    case 'ns':
      return new duckdb.DuckDBTimestampNanosecondsValue(ticks);
    default:
      return unit satisfies never;
  }
}

function uuidValue(text: string): DuckDB.DuckDBValue {
  return duckdb.DuckDBUUIDValue.fromUint128(BigInt(`0x${text.replaceAll('-', '')}`));
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

function textParts(vector: DuckDB.DuckDBVarCharVector): { readonly dataView: DataView; readonly validity: Validity } {
  return vector as unknown as { readonly dataView: DataView; readonly validity: Validity };
}

function listParts(vector: DuckDB.DuckDBListVector): { readonly validity: Validity } {
  return vector as unknown as { readonly validity: Validity };
}

function arrayParts(vector: DuckDB.DuckDBArrayVector): { readonly validity: Validity; readonly childData: DuckDB.DuckDBVector } {
  return vector as unknown as { readonly validity: Validity; readonly childData: DuckDB.DuckDBVector };
}

function mapParts(vector: DuckDB.DuckDBMapVector): { readonly listVector: DuckDB.DuckDBListVector } {
  return vector as unknown as { readonly listVector: DuckDB.DuckDBListVector };
}

function unionParts(vector: DuckDB.DuckDBUnionVector): { readonly structVector: DuckDB.DuckDBStructVector } {
  return vector as unknown as { readonly structVector: DuckDB.DuckDBStructVector };
}
