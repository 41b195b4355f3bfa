// A Result as Arrow: a schema, and a record batch for each chunk, built straight into Arrow's buffers. Nothing is rounded: where
// Arrow has no such type, the nearest one that holds every value is used, and the field's metadata `duckdb.type` says what it was
// (docs/results.md has the whole table). apache-arrow is large and rarely needed, so it is loaded when first used.

import type { Data, DataType, Field, RecordBatch, Schema, Struct, Vector } from 'apache-arrow';
import { Diagnostic } from '../core/diagnostic.ts';
import type { Column, ColumnChunk, Result } from './result.ts';
import {
  type DateValue,
  type Decimal,
  fieldValues,
  type Geometry,
  type Interval,
  type MapValue,
  type SqlType,
  type Timestamp,
  type TimestampTz,
  type TimeTz,
  type TimeValue,
  typeName,
  type UnionValue,
  type Value,
  type VariantValue,
} from './value.ts';

type Arrow = typeof import('apache-arrow');

export interface ArrowTable {
  readonly schema: Schema;
  /** Read once, as the result is; leaving the loop gives up the query. */
  readonly batches: AsyncIterable<RecordBatch>;
}

export async function toArrow(result: Result): Promise<ArrowTable> {
  const arrow = await import('apache-arrow');
  const table = new TableMapping(arrow, result.columns);
  return {
    schema: table.schema,
    batches: {
      async *[Symbol.asyncIterator]() {
        for await (const chunk of result.columnChunks()) yield table.batch(chunk);
      },
    },
  };
}

/** The bytes of an Arrow IPC stream, or of an IPC file (`.arrow`), which adds a footer for random access. */
export async function* writeIpc(result: Result, format: 'stream' | 'file'): AsyncGenerator<Uint8Array, void, undefined> {
  const arrow = await import('apache-arrow');
  // The writer's own queue is meant to be read while it fills; this one hands over what a batch has become.
  class Collected extends arrow.AsyncByteQueue {
    #pieces: Uint8Array[] = [];

    override write(piece: Uint8Array): void {
      this.#pieces.push(piece);
    }

    take(): Uint8Array {
      const bytes = Buffer.concat(this.#pieces);
      this.#pieces = [];
      return bytes;
    }
  }
  const sink = new Collected();
  const writer = format === 'file' ? new arrow.RecordBatchFileWriter() : new arrow.RecordBatchStreamWriter();
  const { schema, batches } = await toArrow(result);
  writer.reset(sink, schema);
  for await (const batch of batches) {
    writer.write(batch);
    yield sink.take();
  }
  writer.finish();
  yield sink.take();
}

/** How one type travels: its Arrow type, what the field says about it, and how values become buffers. */
interface Mapping {
  readonly type: DataType;
  readonly metadata?: Readonly<Record<string, string>>;
  encode(values: readonly Value[]): Data;
}

class TableMapping {
  readonly schema: Schema;
  readonly #arrow: Arrow;
  readonly #columns: readonly Mapping[];
  readonly #struct: DataType;

  constructor(arrow: Arrow, columns: readonly Column[]) {
    this.#arrow = arrow;
    const mapper = new Mapper(arrow);
    this.#columns = columns.map((column) => mapper.mapping(column.type));
    this.schema = new arrow.Schema(columns.map((column, at) => mapper.field(column.name, column.type, this.#columns[at])));
    this.#struct = new arrow.Struct(this.schema.fields);
  }

  batch({ rowCount, columns }: ColumnChunk): RecordBatch {
    const children = this.#columns.map((mapping, at) => mapping.encode(columns[at] ?? []));
    const data = makeData(this.#arrow, { type: this.#struct, length: rowCount, nullCount: 0, children });
    return new this.#arrow.RecordBatch(this.schema, data as Data<Struct>);
  }
}

class Mapper {
  readonly #arrow: Arrow;
  #dictionaries = 0;

  constructor(arrow: Arrow) {
    this.#arrow = arrow;
  }

  field(name: string, type: SqlType, mapping: Mapping = this.mapping(type), nullable = true): Field {
    return new this.#arrow.Field(
      name,
      mapping.type,
      nullable,
      new Map(Object.entries({ 'duckdb.type': typeName(type), ...mapping.metadata })),
    );
  }

  mapping(type: SqlType): Mapping {
    const arrow = this.#arrow;
    switch (type.kind) {
      case 'BOOLEAN':
        return this.#booleans();
      case 'TINYINT':
        return this.#fixed(new arrow.Int8(), Int8Array, Number);
      case 'SMALLINT':
        return this.#fixed(new arrow.Int16(), Int16Array, Number);
      case 'INTEGER':
        return this.#fixed(new arrow.Int32(), Int32Array, Number);
      case 'UTINYINT':
        return this.#fixed(new arrow.Uint8(), Uint8Array, Number);
      case 'USMALLINT':
        return this.#fixed(new arrow.Uint16(), Uint16Array, Number);
      case 'UINTEGER':
        return this.#fixed(new arrow.Uint32(), Uint32Array, Number);
      case 'FLOAT':
        return this.#fixed(new arrow.Float32(), Float32Array, Number);
      case 'DOUBLE':
        return this.#fixed(new arrow.Float64(), Float64Array, Number);
      case 'BIGINT':
        return this.#fixed(new arrow.Int64(), BigInt64Array, bigint);
      case 'UBIGINT':
        return this.#fixed(new arrow.Uint64(), BigUint64Array, bigint);
      case 'HUGEINT':
      case 'UHUGEINT':
        // 39 digits: one more than Decimal128 has room for.
        return this.#decimals(new arrow.Decimal(0, 39, 256), bigint);
      case 'DECIMAL':
        return this.#decimals(new arrow.Decimal(type.scale, type.width, 128), (value) => (value as Decimal).unscaled);
      case 'BIGNUM':
      case 'BIT':
      case 'VARCHAR':
        return this.#texts();
      case 'JSON':
        return this.#texts({ 'ARROW:extension:name': 'arrow.json', 'ARROW:extension:metadata': '' });
      case 'BLOB':
        return this.#bytes((value) => value as Uint8Array);
      case 'GEOMETRY':
        return this.#bytes((value) => (value as Geometry).wkb, {
          'ARROW:extension:name': 'geoarrow.wkb',
          'ARROW:extension:metadata': '{}',
        });
      case 'UUID':
        return this.#uuids();
      case 'ENUM':
        return this.#enums(type.values);
      case 'DATE':
        return this.#fixed(new arrow.DateDay(), Int32Array, (value) => (value as DateValue).days, infinities(2_147_483_647));
      case 'TIME':
        return this.#fixed(new arrow.TimeMicrosecond(), BigInt64Array, (value) => BigInt((value as TimeValue).micros));
      case 'TIME_NS':
        return this.#fixed(new arrow.TimeNanosecond(), BigInt64Array, (value) => BigInt((value as TimeValue).nanos));
      case 'TIMETZ':
        return this.#timesWithOffset();
      case 'TIMESTAMP':
        return this.#timestamps(new arrow.TimestampMicrosecond(null));
      case 'TIMESTAMP_S':
        return this.#timestamps(new arrow.TimestampSecond(null));
      case 'TIMESTAMP_MS':
        return this.#timestamps(new arrow.TimestampMillisecond(null));
      case 'TIMESTAMP_NS':
        return this.#timestamps(new arrow.TimestampNanosecond(null));
      case 'TIMESTAMPTZ':
        return this.#fixed(
          new arrow.TimestampMicrosecond('UTC'),
          BigInt64Array,
          (value) => (value as TimestampTz).micros,
          infinities(9_223_372_036_854_775_807n),
        );
      case 'INTERVAL':
        return this.#intervals();
      case 'LIST':
        return this.#lists(type.item);
      case 'ARRAY':
        return this.#arrays(type.item, type.length);
      case 'STRUCT':
        return this.#structs(
          // Fields without names are called by their place: two fields of one name are one field to most readers.
          type.fields.map((field, at) => ({ name: field.name === '' ? String(at) : field.name, type: field.type })),
          (value) => fieldValues(value, type.fields),
        );
      case 'MAP':
        return this.#maps(type.key, type.value);
      case 'UNION':
        return this.#unions(type.members);
      case 'VARIANT':
        return this.#structs(
          [
            { name: 'type', type: { kind: 'VARCHAR' } },
            { name: 'value', type: { kind: 'VARCHAR' } },
          ],
          (value) => {
            const variant = value as VariantValue;
            return [typeName(variant.type), variant.value === null ? null : variant.toString()];
          },
        );
      case 'NULL': {
        const nulls = new arrow.Null();
        return { type: nulls, encode: (values) => this.#data({ type: nulls, length: values.length }) };
      }
      default:
        return type satisfies never;
    }
  }

  #data(properties: DataProperties): Data {
    return makeData(this.#arrow, properties);
  }

  #fixed<T extends number | bigint>(
    type: DataType,
    buffer: new (length: number) => { [row: number]: T },
    read: (value: Value) => T,
    metadata: Readonly<Record<string, string>> = {},
  ): Mapping {
    return {
      type,
      metadata,
      encode: (values) => {
        const data = new buffer(values.length);
        for (let row = 0; row < values.length; row++) {
          const value = values[row] ?? null;
          if (value !== null) data[row] = read(value);
        }
        return this.#data({ type, length: values.length, ...validity(values), data });
      },
    };
  }

  #timestamps(type: DataType): Mapping {
    return this.#fixed(type, BigInt64Array, (value) => (value as Timestamp).ticks, infinities(9_223_372_036_854_775_807n));
  }

  #booleans(): Mapping {
    const type = new this.#arrow.Bool();
    return {
      type,
      encode: (values) => {
        const data = new Uint8Array((values.length + 7) >> 3);
        for (let row = 0; row < values.length; row++) if (values[row] === true) setBit(data, row);
        return this.#data({ type, length: values.length, ...validity(values), data });
      },
    };
  }

  /** Whole numbers of 128 or 256 bits, in two's complement, lowest word first. */
  #decimals(type: DataType & { readonly bitWidth: number }, read: (value: Value) => bigint): Mapping {
    const words = type.bitWidth / 64;
    return {
      type,
      encode: (values) => {
        const data = new BigInt64Array(values.length * words);
        for (let row = 0; row < values.length; row++) {
          const value = values[row] ?? null;
          if (value === null) continue;
          let rest = read(value);
          for (let word = 0; word < words; word++) {
            data[row * words + word] = BigInt.asIntN(64, rest);
            rest >>= 64n;
          }
        }
        return this.#data({ type, length: values.length, ...validity(values), data: new Uint32Array(data.buffer) });
      },
    };
  }

  #texts(metadata: Readonly<Record<string, string>> = {}): Mapping {
    const type = new this.#arrow.Utf8();
    return {
      type,
      metadata,
      encode: (values) => {
        const texts = values.map((value) => (value === null ? '' : String(value)));
        const valueOffsets = offsets(texts.length, (row) => Buffer.byteLength(texts[row] ?? ''));
        const data = Buffer.allocUnsafe(valueOffsets[texts.length] ?? 0);
        for (let row = 0; row < texts.length; row++) data.write(texts[row] ?? '', valueOffsets[row] ?? 0);
        return this.#data({ type, length: values.length, ...validity(values), valueOffsets, data });
      },
    };
  }

  #bytes(read: (value: Value) => Uint8Array, metadata: Readonly<Record<string, string>> = {}): Mapping {
    const type = new this.#arrow.Binary();
    return {
      type,
      metadata,
      encode: (values) => {
        const pieces = values.map((value) => (value === null ? emptyBytes : read(value)));
        const valueOffsets = offsets(pieces.length, (row) => pieces[row]?.length ?? 0);
        return this.#data({ type, length: values.length, ...validity(values), valueOffsets, data: Buffer.concat(pieces) });
      },
    };
  }

  #uuids(): Mapping {
    const type = new this.#arrow.FixedSizeBinary(16);
    return {
      type,
      metadata: { 'ARROW:extension:name': 'arrow.uuid', 'ARROW:extension:metadata': '' },
      encode: (values) => {
        const data = Buffer.alloc(values.length * 16);
        for (let row = 0; row < values.length; row++) {
          const value = values[row] ?? null;
          if (value !== null) data.write(String(value).replaceAll('-', ''), row * 16, 'hex');
        }
        return this.#data({ type, length: values.length, ...validity(values), data });
      },
    };
  }

  /** The dictionary is one for the whole table: an IPC file may not replace it. */
  #enums(words: readonly string[]): Mapping {
    const arrow = this.#arrow;
    const [indices, buffer] =
      words.length <= 0x100
        ? ([new arrow.Uint8(), Uint8Array] as const)
        : words.length <= 0x10000
          ? ([new arrow.Uint16(), Uint16Array] as const)
          : ([new arrow.Uint32(), Uint32Array] as const);
    const texts = this.#texts();
    const dictionary: Vector = new arrow.Vector([texts.encode(words)]);
    const type = new arrow.Dictionary(texts.type, indices, this.#dictionaries++, true);
    const places = new Map(words.map((word, at) => [word, at]));
    return {
      type,
      encode: (values) => {
        const data = new buffer(values.length);
        for (let row = 0; row < values.length; row++) data[row] = places.get(values[row] as string) ?? 0;
        return this.#data({ type, length: values.length, ...validity(values), data, dictionary });
      },
    };
  }

  #timesWithOffset(): Mapping {
    const micros = this.mapping({ kind: 'TIME' }).type;
    const [time, offset] = [this.#fixed(micros, BigInt64Array, bigint), this.mapping({ kind: 'INTEGER' })];
    const type = new this.#arrow.Struct([
      new this.#arrow.Field('time', time.type, true),
      new this.#arrow.Field('offset_seconds', offset.type, true),
    ]);
    return {
      type,
      encode: (values) => {
        const times = values as readonly (TimeTz | null)[];
        const children = [
          time.encode(times.map((each) => each?.micros ?? null)),
          offset.encode(times.map((each) => each?.offsetSeconds ?? null)),
        ];
        return this.#data({ type, length: values.length, ...validity(values), children });
      },
    };
  }

  /** Months, days and nanoseconds: 4 + 4 + 8 bytes. */
  #intervals(): Mapping {
    const type = new this.#arrow.IntervalMonthDayNano();
    return {
      type,
      encode: (values) => {
        const data = new Int32Array(values.length * 4);
        const nanos = new BigInt64Array(data.buffer);
        for (let row = 0; row < values.length; row++) {
          const value = (values[row] ?? null) as Interval | null;
          if (value === null) continue;
          data[row * 4] = value.months;
          data[row * 4 + 1] = value.days;
          nanos[row * 2 + 1] = nanosOf(value);
        }
        return this.#data({ type, length: values.length, ...validity(values), data });
      },
    };
  }

  #lists(item: SqlType): Mapping {
    const mapping = this.mapping(item);
    const type = new this.#arrow.List(this.field('item', item, mapping));
    return {
      type,
      encode: (values) => {
        const lists = values as readonly (readonly Value[] | null)[];
        const valueOffsets = offsets(lists.length, (row) => lists[row]?.length ?? 0);
        const child = mapping.encode(lists.flatMap((list) => list ?? []));
        return this.#data({ type, length: values.length, ...validity(values), valueOffsets, child });
      },
    };
  }

  #arrays(item: SqlType, size: number): Mapping {
    const mapping = this.mapping(item);
    const type = new this.#arrow.FixedSizeList(size, this.field('item', item, mapping));
    const absent: readonly Value[] = new Array<Value>(size).fill(null);
    return {
      type,
      encode: (values) => {
        const lists = values as readonly (readonly Value[] | null)[];
        const child = mapping.encode(lists.flatMap((list) => list ?? absent));
        return this.#data({ type, length: values.length, ...validity(values), child });
      },
    };
  }

  #structs(fields: readonly { readonly name: string; readonly type: SqlType }[], read: (value: Value) => readonly Value[]): Mapping {
    const mappings = fields.map((field) => this.mapping(field.type));
    const type = new this.#arrow.Struct(fields.map((field, at) => this.field(field.name, field.type, mappings[at])));
    return {
      type,
      encode: (values) => {
        const rows = values.map((value) => (value === null ? null : read(value)));
        const children = mappings.map((mapping, at) => mapping.encode(rows.map((row) => row?.[at] ?? null)));
        return this.#data({ type, length: values.length, ...validity(values), children });
      },
    };
  }

  #maps(key: SqlType, item: SqlType): Mapping {
    const [keys, items] = [this.mapping(key), this.mapping(item)];
    const entry = new this.#arrow.Struct([this.field('key', key, keys, false), this.field('value', item, items)]);
    const type = new this.#arrow.Map_(new this.#arrow.Field('entries', entry, false), false);
    return {
      type,
      encode: (values) => {
        const maps = values as readonly (MapValue | null)[];
        const valueOffsets = offsets(maps.length, (row) => maps[row]?.size ?? 0);
        const entries = maps.flatMap((map) => map?.entries ?? []);
        const children = [keys.encode(entries.map(([each]) => each)), items.encode(entries.map(([, each]) => each))];
        const child = this.#data({ type: entry, length: entries.length, nullCount: 0, children });
        return this.#data({ type, length: values.length, ...validity(values), valueOffsets, child });
      },
    };
  }

  /** Arrow's unions have no nulls of their own: a last member without values stands for "no union", apart from a null member. */
  #unions(members: readonly { readonly tag: string; readonly type: SqlType }[]): Mapping {
    if (members.length > 127) {
      throw new Diagnostic(
        'unsupported',
        `a union of ${members.length} members cannot be written as Arrow, whose unions have at most 127`,
        {
          hint: 'cast it to VARCHAR',
        },
      );
    }
    const mappings = members.map((member) => this.mapping(member.type));
    const absent = this.mapping({ kind: 'NULL' });
    const type = new this.#arrow.DenseUnion(
      [...members.keys(), members.length],
      [...members.map((member, at) => this.field(member.tag, member.type, mappings[at])), new this.#arrow.Field('', absent.type, true)],
    );
    const places = new Map(members.map((member, at) => [member.tag, at]));
    return {
      type,
      encode: (values) => {
        const typeIds = new Int8Array(values.length);
        const valueOffsets = new Int32Array(values.length);
        const columns: Value[][] = [...members.map(() => []), []];
        for (let row = 0; row < values.length; row++) {
          const union = (values[row] ?? null) as UnionValue | null;
          const place = union === null ? members.length : (places.get(union.tag) ?? members.length);
          const column = columns[place] ?? [];
          typeIds[row] = place;
          valueOffsets[row] = column.length;
          column.push(union === null ? null : union.value);
        }
        const children = [...mappings, absent].map((mapping, at) => mapping.encode(columns[at] ?? []));
        return this.#data({ type, length: values.length, nullCount: 0, typeIds, valueOffsets, children });
      },
    };
  }
}

/** What apache-arrow's makeData takes; its own types know only which of them go with which type. */
interface DataProperties {
  readonly type: DataType;
  readonly length: number;
  readonly nullCount?: number;
  readonly nullBitmap?: Uint8Array;
  readonly data?: unknown;
  readonly valueOffsets?: Int32Array;
  readonly typeIds?: Int8Array;
  readonly child?: Data;
  readonly children?: readonly Data[];
  readonly dictionary?: Vector;
}

function makeData(arrow: Arrow, properties: DataProperties): Data {
  return (arrow.makeData as unknown as (properties: DataProperties) => Data)(properties);
}

const emptyBytes = new Uint8Array(0);

function bigint(value: Value): bigint {
  return BigInt(value as bigint | number);
}

/** DuckDB's infinities travel as the two ends of the range, as in its own Arrow export. */
function infinities(last: number | bigint): Readonly<Record<string, string>> {
  return { 'duckdb.infinity': String(last), 'duckdb.-infinity': String(-last) };
}

function validity(values: readonly Value[]): { readonly nullCount: number; readonly nullBitmap?: Uint8Array } {
  let nullCount = 0;
  for (let row = 0; row < values.length; row++) if (values[row] === null) nullCount++;
  if (nullCount === 0) return { nullCount };
  const nullBitmap = new Uint8Array((values.length + 7) >> 3);
  for (let row = 0; row < values.length; row++) if (values[row] !== null) setBit(nullBitmap, row);
  return { nullCount, nullBitmap };
}

function setBit(bitmap: Uint8Array, at: number): void {
  bitmap[at >> 3] = (bitmap[at >> 3] ?? 0) | (1 << (at & 7));
}

/** Where each of the values begins, and where the last ends; 32 bits each. */
function offsets(count: number, lengthAt: (row: number) => number): Int32Array {
  const found = new Int32Array(count + 1);
  let end = 0;
  for (let row = 0; row < count; row++) {
    end += lengthAt(row);
    found[row + 1] = end;
  }
  if (end > 2_147_483_647) {
    throw new Diagnostic('too_large', `${count} rows hold more than 2 GiB of one column, which an Arrow batch cannot`, {
      hint: 'select less of the column, or write it with COPY .. TO',
    });
  }
  return found;
}

function nanosOf(interval: Interval): bigint {
  const nanos = interval.micros * 1000n;
  if (BigInt.asIntN(64, nanos) === nanos) return nanos;
  throw new Diagnostic('out_of_range', `the interval ${interval} is too long for Arrow, which counts its time in nanoseconds`, {
    hint: 'cast it to VARCHAR',
  });
}
