// How columns travel where Arrow alone would lose something (engine/arrow.ts says what): they are sent as columns of another type,
// from which the receiver makes the values again. Everything else travels as it is. Both sides derive the same from the types
// that stand in the head.
//
//   ENUM               the number of its word
//   INTERVAL           months, days, microseconds: Arrow counts nanoseconds, which end after 292 years
//   UNION, VARIANT     the member or type with its value, as JSON (typedJson.ts)

import { isTuple } from '../../engine/type.ts';
import { fieldValues, Interval, MapValue, objectOf, type SqlType, type Value } from '../../engine/value.ts';
import { fromTypedJson, toTypedJson } from './typedJson.ts';

export interface Carriage {
  /** As which it travels. */
  readonly type: SqlType;
  load(value: Value): Value;
  unload(value: Value): Value;
}

/** undefined: values of the type travel as they are. */
export function carriageOf(type: SqlType): Carriage | undefined {
  switch (type.kind) {
    case 'ENUM': {
      const places = new Map(type.values.map((word, at) => [word, at]));
      return {
        type: { kind: 'UINTEGER' },
        load: (value) => places.get(value as string) ?? null,
        unload: (value) => type.values[value as number] ?? null,
      };
    }
    case 'INTERVAL':
      return {
        type: {
          kind: 'STRUCT',
          fields: [
            { name: '', type: { kind: 'INTEGER' } },
            { name: '', type: { kind: 'INTEGER' } },
            { name: '', type: { kind: 'BIGINT' } },
          ],
        },
        load: (value) => {
          const { months, days, micros } = value as Interval;
          return [months, days, micros];
        },
        unload: (value) => {
          const [months, days, micros] = value as readonly Value[];
          return new Interval(Number(months), Number(days), micros as bigint);
        },
      };
    case 'UNION':
    case 'VARIANT':
      return {
        type: { kind: 'VARCHAR' },
        load: (value) => JSON.stringify(toTypedJson({ value, type }).value),
        unload: (value) => fromTypedJson({ value: JSON.parse(value as string), type }).value,
      };
    case 'LIST':
    case 'ARRAY': {
      const item = carriageOf(type.item);
      return (
        item && {
          type: { ...type, item: item.type },
          load: (value) => (value as readonly Value[]).map((each) => loaded(each, item)),
          unload: (value) => (value as readonly Value[]).map((each) => unloaded(each, item)),
        }
      );
    }
    case 'STRUCT': {
      const fields = type.fields.map((field) => carriageOf(field.type));
      if (fields.every((field) => field === undefined)) return undefined;
      const carried = type.fields.map((field, at) => ({ name: '', type: fields[at]?.type ?? field.type }));
      return {
        type: { kind: 'STRUCT', fields: carried },
        load: (value) => fieldValues(value, type.fields).map((each, at) => loaded(each, fields[at])),
        unload: (value) => {
          const values = (value as readonly Value[]).map((each, at) => unloaded(each, fields[at]));
          return isTuple(type.fields) ? values : objectOf(type.fields.map((field, at) => [field.name, values[at] ?? null]));
        },
      };
    }
    case 'MAP': {
      const key = carriageOf(type.key);
      const item = carriageOf(type.value);
      if (key === undefined && item === undefined) return undefined;
      return {
        type: { kind: 'MAP', key: key?.type ?? type.key, value: item?.type ?? type.value },
        load: (value) => new MapValue((value as MapValue).entries.map(([one, other]) => [loaded(one, key), loaded(other, item)])),
        unload: (value) => new MapValue((value as MapValue).entries.map(([one, other]) => [unloaded(one, key), unloaded(other, item)])),
      };
    }
    default:
      return undefined;
  }
}

/** A column as it travels. */
export function loadedColumn(values: readonly Value[], carriage: Carriage | undefined): readonly Value[] {
  return carriage === undefined ? values : values.map((value) => loaded(value, carriage));
}

/** A column as it was. */
export function unloadedColumn(values: readonly Value[], carriage: Carriage | undefined): readonly Value[] {
  return carriage === undefined ? values : values.map((value) => unloaded(value, carriage));
}

function loaded(value: Value, carriage: Carriage | undefined): Value {
  return carriage === undefined || value === null ? value : carriage.load(value);
}

function unloaded(value: Value, carriage: Carriage | undefined): Value {
  return carriage === undefined || value === null ? value : carriage.unload(value);
}
