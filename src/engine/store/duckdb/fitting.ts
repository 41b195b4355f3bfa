// How large values are before they are read: a text of 100 MB, or a list of ten million items, lies in DuckDB's memory, and only
// what somebody asks for becomes JavaScript's. The client keeps the parts that are read here private; it is pinned to one version.

import type { Column } from '../../result.ts';
import { type DuckDB, duckdb, type NativeChunk } from './native.ts';

/** How many of a chunk's first rows, `most` at most, take no more than so many characters as JSON, and what is then left of these. */
export function fittingRows(
  chunk: NativeChunk,
  columns: readonly Column[],
  characters: number,
  most: number,
): { readonly rows: number; readonly left: number } {
  const vectors = columns.map(({ type }, at) => (type.kind === 'NULL' ? undefined : chunk.getColumnVector(at)));
  const keys = sizeOfKeys(columns.map(({ name }) => name));
  let left = characters;
  for (let row = 0; row < most; row += 1) {
    let size = keys;
    for (const vector of vectors) {
      size += vector === undefined ? 0 : leastSize(vector, row, left - size);
      if (size > left) return { rows: row, left };
    }
    left -= size;
  }
  return { rows: most, left };
}

/** At least so many characters, counted no further than to more than `enough`. */
function leastSize(vector: DuckDB.DuckDBVector, row: number, enough: number): number {
  if (vector instanceof duckdb.DuckDBListVector) {
    const { validity } = vector as unknown as { readonly validity: Validity };
    if (!validity.itemValid(row)) return 0;
    return sizeOfItems([vector.childVector], vector.getEntryOffset(row), vector.getEntryLength(row), enough);
  }
  if (vector instanceof duckdb.DuckDBMapVector) {
    const { listVector } = vector as unknown as { readonly listVector: DuckDB.DuckDBListVector };
    return leastSize(listVector, row, enough);
  }
  if (vector instanceof duckdb.DuckDBArrayVector) {
    const { validity, childData, arrayType } = vector as unknown as {
      readonly validity: Validity;
      readonly childData: DuckDB.DuckDBVector;
      readonly arrayType: DuckDB.DuckDBArrayType;
    };
    if (!validity.itemValid(row)) return 0;
    return sizeOfItems([childData], row * arrayType.length, arrayType.length, enough);
  }
  if (vector instanceof duckdb.DuckDBStructVector) {
    if (!vector.isItemValid(row)) return 0;
    return sizeOfKeys(vector.type.entryNames) + sizeOfItems(entriesOf(vector), row, 1, enough);
  }
  if (vector instanceof duckdb.DuckDBUnionVector) {
    const { structVector } = vector as unknown as { readonly structVector: DuckDB.DuckDBStructVector };
    return structVector.isItemValid(row) ? sizeOfItems(entriesOf(structVector).slice(1), row, 1, enough) : 0;
  }
  if (vector instanceof duckdb.DuckDBVariantVector) {
    const { structVec } = vector as unknown as { readonly structVec: DuckDB.DuckDBStructVector };
    return structVec.isItemValid(row) ? leastSize(structVec.entryVectorAt(3), row, enough) : 0;
  }
  const { dataView, validity } = vector as unknown as { readonly dataView?: DataView; readonly validity?: Validity };
  if (validity?.itemValid(row) === false) return 0;
  const isText = vector instanceof duckdb.DuckDBVarCharVector;
  const isBytes =
    vector instanceof duckdb.DuckDBBlobVector ||
    vector instanceof duckdb.DuckDBBitVector ||
    vector instanceof duckdb.DuckDBGeometryVector ||
    vector instanceof duckdb.DuckDBBigNumVector;
  if (dataView === undefined || !(isText || isBytes)) return isLongText(vector) ? 12 : 1;
  // Each is 16 bytes: its length first. A character takes three bytes of UTF-8 at most, or four together with the next.
  const bytes = dataView.getUint32(row * 16, true);
  return isText ? 2 + Math.ceil(bytes / 3) : bytes;
}

/** Values that JSON has as texts, of ten characters and more. */
function isLongText(vector: DuckDB.DuckDBVector): boolean {
  return (
    vector instanceof duckdb.DuckDBDateVector ||
    vector instanceof duckdb.DuckDBTimestampVector ||
    vector instanceof duckdb.DuckDBTimestampTZVector ||
    vector instanceof duckdb.DuckDBUUIDVector
  );
}

/** Of an object: each has quotes, a colon and a comma. */
function sizeOfKeys(names: readonly string[]): number {
  return names.reduce((size, name) => size + name.length + 4, 1);
}

function sizeOfItems(vectors: readonly DuckDB.DuckDBVector[], from: number, count: number, enough: number): number {
  // A comma each.
  let size = Math.max(count - 1, 0);
  for (let item = from; item < from + count; item += 1) {
    for (const vector of vectors) {
      if (size > enough) return size;
      size += leastSize(vector, item, enough - size);
    }
  }
  return size;
}

function entriesOf(vector: DuckDB.DuckDBStructVector): DuckDB.DuckDBVector[] {
  const { entryVectors } = vector as unknown as { readonly entryVectors: readonly DuckDB.DuckDBVector[] };
  return [...entryVectors];
}

interface Validity {
  itemValid(row: number): boolean;
}
