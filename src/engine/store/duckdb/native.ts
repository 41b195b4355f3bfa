// The only importer of the DuckDB client. Everything else asks through what is exported here, so that the client's traps
// (DESIGN section 3) are known in one place.

import type { DuckDBDataChunk, DuckDBType, DuckDBValue } from '@duckdb/node-api';

/** Rows as the client hands them out, up to 2,048 at a time; values.ts turns them into values. */
export type NativeChunk = DuckDBDataChunk;

export interface NativeColumn {
  readonly name: string;
  readonly type: DuckDBType;
}

/** Already converted by values.ts. Without a type the client derives one from the value. */
export interface NativeParameter {
  readonly value: DuckDBValue;
  readonly type?: DuckDBType;
}

export type NativeParameters = readonly NativeParameter[] | Readonly<Record<string, NativeParameter>>;

/** The answer of one statement. Read to the end or cancelled: its connection takes no other statement before. */
export interface NativeCursor {
  readonly columns: readonly NativeColumn[];
  /** DuckDB's word: SELECT, INSERT, CREATE, TRANSACTION, .. */
  readonly statementType: string;
  readonly returnType: 'rows' | 'changed' | 'nothing';
  /** 0 unless returnType is `changed`. */
  readonly rowsChanged: number;
  next(): Promise<NativeChunk | undefined>;
  cancel(): Promise<void>;
}

// What values.ts needs of the client.
export type { DuckDBType, DuckDBValue } from '@duckdb/node-api';
export {
  ANY,
  ARRAY,
  BIGINT,
  BIGNUM,
  BIT,
  BLOB,
  BOOLEAN,
  DATE,
  DECIMAL,
  DOUBLE,
  DuckDBAnyType,
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBArrayVector,
  DuckDBBigIntType,
  DuckDBBigIntVector,
  DuckDBBigNumType,
  DuckDBBigNumVector,
  DuckDBBitType,
  DuckDBBitValue,
  DuckDBBitVector,
  DuckDBBlobType,
  DuckDBBlobValue,
  DuckDBBlobVector,
  DuckDBBooleanType,
  DuckDBBooleanVector,
  DuckDBDataChunk,
  DuckDBDateType,
  DuckDBDateValue,
  DuckDBDateVector,
  DuckDBDecimal16Vector,
  DuckDBDecimal32Vector,
  DuckDBDecimal64Vector,
  DuckDBDecimal128Vector,
  DuckDBDecimalType,
  DuckDBDecimalValue,
  DuckDBDoubleType,
  DuckDBDoubleVector,
  DuckDBEnum8Vector,
  DuckDBEnum16Vector,
  DuckDBEnum32Vector,
  DuckDBEnumType,
  DuckDBFloatType,
  DuckDBFloatVector,
  DuckDBGeometryType,
  DuckDBGeometryValue,
  DuckDBGeometryVector,
  DuckDBHugeIntType,
  DuckDBHugeIntVector,
  DuckDBIntegerLiteralType,
  DuckDBIntegerType,
  DuckDBIntegerVector,
  DuckDBIntervalType,
  DuckDBIntervalValue,
  DuckDBIntervalVector,
  DuckDBListType,
  DuckDBListValue,
  DuckDBListVector,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBMapVector,
  DuckDBSmallIntType,
  DuckDBSmallIntVector,
  DuckDBSQLNullType,
  DuckDBStringLiteralType,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBStructVector,
  DuckDBTimeNSType,
  DuckDBTimeNSValue,
  DuckDBTimeNSVector,
  DuckDBTimestampMillisecondsType,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampMillisecondsVector,
  DuckDBTimestampNanosecondsType,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampNanosecondsVector,
  DuckDBTimestampSecondsType,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampSecondsVector,
  DuckDBTimestampType,
  DuckDBTimestampTZType,
  DuckDBTimestampTZValue,
  DuckDBTimestampTZVector,
  DuckDBTimestampValue,
  DuckDBTimestampVector,
  DuckDBTimeType,
  DuckDBTimeTZType,
  DuckDBTimeTZValue,
  DuckDBTimeTZVector,
  DuckDBTimeValue,
  DuckDBTimeVector,
  DuckDBTinyIntType,
  DuckDBTinyIntVector,
  DuckDBTypeId,
  DuckDBUBigIntType,
  DuckDBUBigIntVector,
  DuckDBUHugeIntType,
  DuckDBUHugeIntVector,
  DuckDBUIntegerType,
  DuckDBUIntegerVector,
  DuckDBUnionType,
  DuckDBUnionValue,
  DuckDBUnionVector,
  DuckDBUSmallIntType,
  DuckDBUSmallIntVector,
  DuckDBUTinyIntType,
  DuckDBUTinyIntVector,
  DuckDBUUIDType,
  DuckDBUUIDValue,
  DuckDBUUIDVector,
  DuckDBVarCharType,
  DuckDBVarCharVector,
  DuckDBVariantType,
  DuckDBVariantValue,
  DuckDBVariantVector,
  DuckDBVector,
  ENUM,
  FLOAT,
  GEOMETRY,
  HUGEINT,
  INTEGER,
  INTERVAL,
  LIST,
  MAP,
  SMALLINT,
  SQLNULL,
  STRUCT,
  TIME,
  TIME_NS,
  TIMESTAMP,
  TIMESTAMP_MS,
  TIMESTAMP_NS,
  TIMESTAMP_S,
  TIMESTAMPTZ,
  TIMETZ,
  TINYINT,
  UBIGINT,
  UHUGEINT,
  UINTEGER,
  UNION,
  USMALLINT,
  UTINYINT,
  UUID,
  VARCHAR,
  VARIANT,
} from '@duckdb/node-api';
