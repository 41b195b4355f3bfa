// Every type that DuckDB can answer with, as plain data, so that no room above the store needs the client's classes.
// JSON is a VARCHAR with a name of its own; it is kept apart because it is shown and sent differently.

export type SqlType =
  | { readonly kind: SimpleKind }
  | { readonly kind: 'DECIMAL'; readonly width: number; readonly scale: number }
  | { readonly kind: 'ENUM'; readonly values: readonly string[] }
  | { readonly kind: 'LIST'; readonly item: SqlType }
  | { readonly kind: 'ARRAY'; readonly item: SqlType; readonly length: number }
  /** Fields without names (`row(1, 2)`) have the name ''. */
  | { readonly kind: 'STRUCT'; readonly fields: readonly StructField[] }
  | { readonly kind: 'MAP'; readonly key: SqlType; readonly value: SqlType }
  | { readonly kind: 'UNION'; readonly members: readonly UnionMember[] };

export type SimpleKind =
  | 'BOOLEAN'
  | 'TINYINT'
  | 'SMALLINT'
  | 'INTEGER'
  | 'BIGINT'
  | 'HUGEINT'
  | 'UTINYINT'
  | 'USMALLINT'
  | 'UINTEGER'
  | 'UBIGINT'
  | 'UHUGEINT'
  | 'BIGNUM'
  | 'FLOAT'
  | 'DOUBLE'
  | 'VARCHAR'
  | 'JSON'
  | 'BLOB'
  | 'BIT'
  | 'UUID'
  | 'DATE'
  | 'TIME'
  | 'TIME_NS'
  | 'TIMETZ'
  | 'TIMESTAMP'
  | 'TIMESTAMP_S'
  | 'TIMESTAMP_MS'
  | 'TIMESTAMP_NS'
  | 'TIMESTAMPTZ'
  | 'INTERVAL'
  | 'GEOMETRY'
  | 'VARIANT'
  | 'NULL';

export interface StructField {
  readonly name: string;
  readonly type: SqlType;
}

export interface UnionMember {
  readonly tag: string;
  readonly type: SqlType;
}

/** The type as DuckDB's `typeof` writes it; it reads back in a cast. */
export function typeName(type: SqlType): string {
  switch (type.kind) {
    case 'DECIMAL':
      return `DECIMAL(${type.width},${type.scale})`;
    case 'ENUM':
      return `ENUM(${type.values.map((value) => `'${value.replaceAll("'", "''")}'`).join(', ')})`;
    case 'LIST':
      return `${typeName(type.item)}[]`;
    case 'ARRAY':
      return `${typeName(type.item)}[${type.length}]`;
    case 'STRUCT':
      return `STRUCT(${type.fields.map((field) => (field.name === '' ? '' : `${identifier(field.name)} `) + typeName(field.type)).join(', ')})`;
    case 'MAP':
      return `MAP(${typeName(type.key)}, ${typeName(type.value)})`;
    case 'UNION':
      return `UNION(${type.members.map((member) => `${identifier(member.tag)} ${typeName(member.type)}`).join(', ')})`;
    case 'TIMETZ':
      return 'TIME WITH TIME ZONE';
    case 'TIMESTAMPTZ':
      return 'TIMESTAMP WITH TIME ZONE';
    case 'NULL':
      return '"NULL"';
    default:
      return type.kind;
  }
}

/** Types whose values are numbers: they stand to the right in a table. */
export function isNumeric(type: SqlType): boolean {
  return numericKinds.has(type.kind);
}

/** A struct made by `row(..)`, whose fields are told apart by place alone. */
export function isTuple(fields: readonly StructField[]): boolean {
  return fields.every((field) => field.name === '');
}

export function sameType(left: SqlType, right: SqlType): boolean {
  return left === right || (left.kind === right.kind && typeName(left) === typeName(right));
}

const numericKinds: ReadonlySet<SqlType['kind']> = new Set([
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'BIGINT',
  'HUGEINT',
  'UTINYINT',
  'USMALLINT',
  'UINTEGER',
  'UBIGINT',
  'UHUGEINT',
  'BIGNUM',
  'FLOAT',
  'DOUBLE',
  'DECIMAL',
]);

function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/i.test(name) && !keywords.has(name.toLowerCase()) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** `FROM duckdb_keywords()`, 1.5.6: DuckDB puts any of them in quotes where it is a name. */
const keywords: ReadonlySet<string> = new Set(
  `
abort absolute access action add admin after aggregate all also alter always analyse analyze and anti any array as asc asof
assertion assignment asymmetric at attach attribute authorization backward before begin between bigint binary bit boolean both by
cache call called cascade cascaded case cast catalog centuries century chain char character characteristics check checkpoint class
close cluster coalesce collate collation column columns comment comments commit committed compression concurrently configuration
conflict connection constraint constraints content continue conversion copy cost create cross csv cube current cursor cycle data
database day days deallocate dec decade decades decimal declare default defaults deferrable deferred definer delete delimiter
delimiters depends desc describe detach dictionary disable discard distinct do document domain double drop each else enable
encoding encrypted end enum error escape event except exclude excluding exclusive execute exists explain export export_state
extension extensions external extract false family fetch filter first float following for force foreign forward freeze from full
function functions generated glob global grant granted group grouping grouping_id groups handler having header hold hour hours
identity if ignore ilike immediate immutable implicit import in include including increment index indexes inherit inherits
initially inline inner inout input insensitive insert install instead int integer intersect interval into invoker is isnull
isolation join json key label lambda language large last lateral leading leakproof left level like limit listen load local
location lock locked logged macro map mapping match matched materialized maxvalue merge method microsecond microseconds millennia
millennium millisecond milliseconds minute minutes minvalue mode month months move name names national natural nchar new next no
none not nothing notify notnull nowait null nullif nulls numeric object of off offset oids old on only operator option options or
order ordinality others out outer over overlaps overlay overriding owned owner parallel parser partial partition partitioned
passing password percent persistent pivot pivot_longer pivot_wider placing plans policy position positional pragma preceding
precision prepare prepared preserve primary prior privileges procedural procedure program publication qualify quarter quarters
quote range read real reassign recheck recursive ref references referencing refresh reindex relative release rename repeatable
replace replica reset respect restart restrict returning returns revoke right role rollback rollup row rows rule sample savepoint
schema schemas scope scroll search second seconds secret security select semi sequence sequences serializable server session set
setof sets share show similar simple skip smallint snapshot some sorted source sql stable standalone start statement statistics
stdin stdout storage stored strict strip struct subscription substring summarize symmetric sysid system table tables tablesample
tablespace target temp template temporary text then ties time timestamp to trailing transaction transform treat trigger trim true
truncate trusted try_cast type types unbounded uncommitted unencrypted union unique unknown unlisten unlogged unpack unpivot until
update use user using vacuum valid validate validator value values varchar variable variadic varying verbose version view views
virtual volatile week weeks when where whitespace window with within without work wrapper write xml xmlattributes xmlconcat
xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable year years yes zone
`
    .trim()
    .split(/\s+/),
);
