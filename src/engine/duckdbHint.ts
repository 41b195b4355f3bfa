// What to do next, for each class of DuckDB's errors. DuckDB says what is wrong; what it adds below is kept where it helps and
// left out where it is noise (it proposes `product` for `nosuch`, and shows all thirty forms of `+`). Where its message says
// what is legal, or nobody can know what was meant, there is no hint. Pure: it sees the error and the text of the statement.

import type { DiagnosticCode, Span } from '../core/diagnostic.ts';
import { suggest } from '../parser/suggest.ts';
import { counting, syntaxHint } from './syntaxHint.ts';

export interface Mistake {
  readonly code: DiagnosticCode;
  /** DuckDB's first line, and what it says below. */
  readonly message: string;
  readonly below: string;
  /** What is missing, or there already. */
  readonly name: string | undefined;
  readonly sql: string | undefined;
  readonly span: Span | undefined;
}

export function hintFor(mistake: Mistake): string | undefined {
  const always = alwaysSaid[mistake.code];
  if (always !== undefined) return always;
  const names = candidates(mistake);
  if (names !== undefined) {
    // What a query reads is short, and all that can be meant.
    const fitting = mistake.message.startsWith('Referenced table') ? names : near(mistake.name, names);
    return betterThanCandidates(mistake) ?? didYouMean(fitting) ?? nextStep(mistake);
  }
  return mistake.below === '' ? nextStep(mistake) : (betterThanBelow(mistake) ?? shortened(mistake.below));
}

const alwaysSaid: Partial<Record<DiagnosticCode, string>> = {
  aborted_transaction: 'Type ROLLBACK, then begin again. (COMMIT would roll back as well.)',
  fatal: 'The database must be closed and opened again. What was committed before is safe.',
};

// ---- What DuckDB proposes ----

function candidates({ below, name }: Mistake): readonly string[] | undefined {
  const said = /^(?:Did you mean:?|Candidate (?:bindings|tables|table columns|options|extensions|time zones)[: ]*)\s*(".*)$/s.exec(
    below,
  )?.[1];
  if (said === undefined) return undefined;
  const names = [...said.matchAll(/"([^"]+)"/g)].map(([, candidate = '']) => candidate.replace(/^(?:main|memory)\./, ''));
  // DuckDB compares with its own catalogue too; "did you mean pg_sequences?" helps nobody who did not write `pg_`.
  return names.filter((candidate) => !isInternal(candidate) || (name !== undefined && isInternal(name)));
}

function isInternal(name: string): boolean {
  return /^(?:pg_|sqlite_|duckdb_)/.test(name);
}

/** Few slips away, or one holds the other (`user` and `user_name`). */
function near(name: string | undefined, names: readonly string[]): readonly string[] {
  if (name === undefined) return names;
  const wanted = name.toLowerCase();
  return names.filter((candidate) => {
    const known = candidate.toLowerCase().replace(/^.*\./, '');
    return (
      suggest(wanted, [known]) !== undefined ||
      (Math.min(known.length, wanted.length) > 3 && (known.includes(wanted) || wanted.includes(known)))
    );
  });
}

function didYouMean(names: readonly string[]): string | undefined {
  const quoted = names.map((name) => `"${name}"`);
  const last = quoted.pop();
  if (last === undefined) return undefined;
  return quoted.length === 0 ? `Did you mean ${last}?` : `Did you mean ${quoted.join(', ')} or ${last}?`;
}

const windowFunctions = 'row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value'.split(' ');

function betterThanCandidates({ code, name }: Mistake): string | undefined {
  if (name?.startsWith('`')) return 'Names are quoted with ": "name".';
  if (code !== 'unknown_function' || name === undefined) return undefined;
  const window = suggest(name, windowFunctions);
  if (window === name.toLowerCase()) return `It looks at other rows: ${window}(..) OVER (ORDER BY ..).`;
  if (window !== undefined && name.length > 4) return `Did you mean "${window}"?`;
  const here = elsewhere.get(name.toLowerCase());
  return here === undefined ? undefined : `In DuckDB it is ${here}.`;
}

/** What other databases call it. */
const elsewhere: ReadonlyMap<string, string> = new Map([
  ['charindex', 'strpos(text, part)'],
  ['convert', 'CAST(value AS type)'],
  ['getdate', 'now()'],
  ['isnull', 'coalesce(value, other)'],
  ['nvl', 'coalesce(value, other)'],
  ['sysdate', 'now()'],
  ['to_char', 'strftime(instant, format)'],
  ['to_date', 'strptime(text, format)::DATE'],
]);

const mostLines = 8;

function shortened(below: string): string {
  if (below.startsWith('Candidate Entries: ')) return below.replace('Candidate Entries:', 'It has');
  const lines = below.split('\n');
  if (!/^Candidate functions/.test(below) || lines.length <= mostLines) return below;
  return [...lines.slice(0, mostLines - 1), `.. and ${lines.length - mostLines + 1} more`].join('\n');
}

// ---- What we propose ----

function nextStep(mistake: Mistake): string | undefined {
  const { code, message, name = 'name', sql, span } = mistake;
  switch (code) {
    case 'unterminated':
    case 'syntax_error':
      if (sql !== undefined && span !== undefined && /^(?:syntax error|unterminated) /.test(message)) return syntaxHint(message, sql, span);
      if (/^column .* must appear in the GROUP BY/.test(message)) return groupHint(mistake);
      return firstOf(grammar, message);
    case 'undefined_table':
      if (/^SHOW\s/i.test(sql?.trimStart() ?? '')) {
        const shown = suggest(name, shownByName);
        if (shown !== undefined) return `Did you mean SHOW ${shown}?`;
      }
      if (message.includes('because schema')) return 'FROM duckdb_schemas() lists the schemas.';
      return 'SHOW ALL TABLES lists what there is.';
    case 'undefined_column':
      return columnHint(mistake);
    case 'unknown_function':
      return functionHint(mistake);
    case 'undefined_object':
      return objectHint(mistake);
    case 'unknown_zone':
      return "A zone is called like 'Europe/Berlin'; FROM pg_timezone_names() lists them.";
    case 'duplicate_object':
      return duplicateHint(mistake);
    case 'ambiguous': {
      const choices = /\(use: (.+)\)$/.exec(message)?.[1]?.replaceAll('"', '');
      return choices === undefined ? 'Give each of them a name of its own, with AS.' : `Write ${choices}.`;
    }
    case 'in_use': {
      const table = /main key table of the table "([^"]+)"/.exec(message)?.[1];
      if (table !== undefined) return `Drop ${table} first, which refers to it.`;
      return message.startsWith('Unique file handle') ? 'Use it under that name, or DETACH it first.' : undefined;
    }
    case 'undefined_parameter':
      return message.includes('excess') ? 'Leave out what the statement does not name.' : 'Give a value for each: EXECUTE name(1, 2).';
    case 'wrong_type':
    case 'conversion':
      return firstOf(conversions, message);
    case 'out_of_range':
      return firstOf(ranges, message);
    case 'constraint':
      if (/duplicate/i.test(message) && !/^\s*(?:INSERT|COPY|MERGE)\b/i.test(sql ?? ''))
        return 'GROUP BY the key HAVING count(*) > 1 finds what is there twice.';
      return firstOf(constraints, message);
    case 'no_transaction':
      return 'BEGIN starts a transaction; outside of one, each statement is stored by itself.';
    case 'in_transaction':
      return 'End the one that is open with COMMIT or ROLLBACK.';
    case 'conflict':
      return 'Another transaction has changed the same rows since this one began: ROLLBACK, then do it again.';
    case 'out_of_memory':
      return 'Work on fewer rows at once, or SET memory_limit to more.';
    case 'disk_full':
      return 'Make room on the disk, then do it again. What was committed before is safe.';
    case 'file_not_found':
      return fileHint(mistake);
    case 'forbidden':
      if (message.includes('disabled')) return 'A setting of this database forbids it; FROM duckdb_settings() shows them.';
      return 'Whoever runs Cuckoo needs the right to read it, and to write it where it is written.';
    case 'not_a_database':
      return "Data files are read with FROM 'path', as in FROM 'data.csv'.";
    case 'newer_file':
      return 'Upgrade Cuckoo: npm install cuckoo-sql@latest';
    case 'read_only':
      return 'Open it for writing: without --readonly, and ATTACH without READ_ONLY.';
    case 'missing_dependency':
      return 'FROM duckdb_extensions() lists the extensions.';
    case 'io_error':
      return message.startsWith('Failed to download')
        ? 'It may not exist, or the network is out of reach; FROM duckdb_extensions() lists the known ones.'
        : undefined;
    case 'unsupported':
      return message.includes('ALTER TABLE') ? remake : undefined;
    case 'invalid_value':
      return firstOf(values, message);
    default:
      return undefined;
  }
}

const shownByName = ['SCHEDULES', 'PROCEDURES', 'PIPELINES', 'CALENDARS', 'QUEUES', 'RUNS', 'TABLES', 'DATABASES', 'SCHEMAS'];

type Rule = readonly [said: RegExp, hint: string];

function firstOf(rules: readonly Rule[], message: string): string | undefined {
  for (const [said, hint] of rules) {
    const match = said.exec(message);
    if (match !== null) return hint.replace('$1', () => match[1] ?? '');
  }
  return undefined;
}

const remake = 'Make it anew: CREATE TABLE other AS SELECT .. FROM name; then DROP TABLE name; ALTER TABLE other RENAME TO name;';

/** What DuckDB's grammar takes and its binder does not. */
const grammar: readonly Rule[] = [
  [/^syntax error/, 'A word is missing, misspelled or too many.'],
  [/^SELECT clause without selection list|^\* expression without FROM/, 'Say what to read: SELECT * FROM name.'],
  [/^table (\S+) has (?:\d+) columns? but/, 'Give a value for each, or name the columns: INSERT INTO $1 (column, ..) VALUES (..).'],
  [/^VALUES lists must all be the same length/, 'Give every row as many values.'],
  [/^Set operations can only apply/, 'Give every SELECT as many columns.'],
  [/^Subquery returns \d+ columns/, 'Select one column in it.'],
  [/^WHERE clause cannot contain aggregates/, 'Conditions on aggregates stand in HAVING.'],
  [/^aggregate function calls cannot be nested/, 'Compute the inner one in a subquery first.'],
  [/^WHERE clause cannot contain window|cannot contain window functions/, 'Conditions on window functions stand in QUALIFY.'],
  [/^Can only (?:update|delete from) base table/, 'A view has no rows of its own: change the tables that it reads.'],
  [/^Cannot change the type of a column/, remake],
  [/^errhint NOT IMPLEMENTED/, 'LIMIT 5, 10 is written LIMIT 10 OFFSET 5.'],
  [/conflict target are not referenced by a UNIQUE/, 'ON CONFLICT names columns that are together a PRIMARY KEY or UNIQUE.'],
  [
    /no UNIQUE\/PRIMARY KEY constraints that refer to this table/,
    'Without a PRIMARY KEY or UNIQUE no row is ever double: leave OR .. out.',
  ],
];

const values: readonly Rule[] = [
  [/^Malformed JSON in file/, 'ignore_errors = true leaves out what is no JSON.'],
  [/^Malformed JSON/, 'json_valid(text) tells which texts are JSON.'],
  [/^No magic bytes/, "It is no Parquet file; FROM 'path' reads CSV and JSON by the name's ending."],
];

const conversions: readonly Rule[] = [
  [
    /^(?:invalid date field format|date field value out of range)/i,
    "A date is written '2026-12-31'; strptime(text, '%d.%m.%Y') reads other forms.",
  ],
  [
    /^(?:invalid timestamp field format|timestamp field value out of range)/i,
    "A timestamp is written '2026-12-31 23:59:59'; strptime(text, format) reads other forms.",
  ],
  [/^(?:invalid time field format|time field value out of range)/i, "A time is written '23:59:59'."],
  [/^Malformed JSON/, 'json_valid(text) tells which texts are JSON.'],
  [/to INTERVAL$/, "An interval is written '1 day 2 hours'."],
  [/to BOOL$/, 'A boolean is written true or false; try_cast(.. AS BOOLEAN) makes NULL of everything else.'],
  [/out of range for the destination type|is out of range!$/, 'Take a larger type; try_cast(.. AS type) makes NULL of what does not fit.'],
  [/^Unimplemented type for cast/, 'No cast leads from the one to the other: go by way of VARCHAR, or name what you want by a function.'],
  [/^Could not convert|^Casting value|^Expected/, 'try_cast(.. AS type) makes NULL of what cannot be converted.'],
  [/^Cannot (?:compare|mix|combine|cast)/, 'Cast one side to the type of the other: ..::type.'],
];

const ranges: readonly Rule[] = [
  [/^Overflow/, 'Cast to a larger type first: ::HUGEINT, or ::DOUBLE where it need not be exact.'],
  [/square root of a negative|logarithm of/, 'Leave such values out: CASE WHEN x > 0 THEN .. END makes NULL of them.'],
  [/divi/i, 'nullif(divisor, 0) makes NULL of it.'],
];

const constraints: readonly Rule[] = [
  [/duplicate key/i, 'INSERT OR REPLACE takes the new row, INSERT OR IGNORE keeps the old one.'],
  [/^NOT NULL constraint failed: (?:\S+\.)?(\S+)/, 'Give $1 a value, or a DEFAULT.'],
  [/^CHECK constraint/, 'The condition must hold for every row; nothing of this statement is stored.'],
  [/does not exist in the referenced table/, 'Insert the row that it refers to first.'],
  [/still referenced by a foreign key/, 'Delete the rows that refer to it first.'],
];

function groupHint(mistake: Mistake): string {
  const name = /^column "?([^" ]+)/.exec(mistake.message)?.[1] ?? 'column';
  const alias = nearAlias({ ...mistake, name });
  return alias === undefined || alias === name ? `Add it to GROUP BY, or write any_value(${name}).` : `Did you mean "${alias}"?`;
}

function columnHint(mistake: Mistake): string {
  const { message, sql, span } = mistake;
  const written = sql === undefined || span === undefined ? '' : sql.slice(span.start, span.end);
  if (written.startsWith('"')) return `Text stands in single quotes: '${written.slice(1, -1).replaceAll("'", "''")}'.`;
  if (message.includes('FROM clause is missing'))
    return `A column needs a FROM, and text stands in single quotes${written === '' ? '' : `: '${written}'`}.`;
  const alias = nearAlias(mistake);
  if (alias !== undefined) return `Did you mean "${alias}"?`;
  const table = onlyTableOf(sql) ?? /^Table "([^"]+)" does not have a column with name/.exec(message)?.[1];
  if (table !== undefined) return `DESCRIBE ${table} lists its columns.`;
  return didYouMean(candidates(mistake) ?? []) ?? 'DESCRIBE name lists the columns of a table.';
}

/** DuckDB proposes columns of tables, and not what the query itself calls something. */
function nearAlias({ name = '', sql = '' }: Mistake): string | undefined {
  return suggest(
    name,
    [...sql.matchAll(/\bAS\s+(\w+)/gi)].map(([, alias = '']) => alias),
  );
}

/** The one table that a query reads or an UPDATE changes; a function is none. */
function onlyTableOf(sql = ''): string | undefined {
  const read = [...sql.matchAll(/\b(?:FROM|JOIN|UPDATE)\s+((?:"[^"]+"|[\w.])+)\s*(\(?)/gi)];
  const [first, second] = read;
  return first === undefined || second !== undefined || first[2] !== '' ? undefined : first[1];
}

function functionHint({ message, sql }: Mistake): string {
  if (/^CALL\b/i.test(sql?.trimStart() ?? '')) return 'LIST PROCEDURES lists the procedures of this file.';
  if (message.startsWith('Pragma'))
    return "FROM duckdb_settings() lists the settings; FROM duckdb_functions() WHERE function_type = 'pragma' the pragmas.";
  if (message.startsWith('Copy')) return 'Formats are csv, parquet and json; an extension may bring others.';
  return 'FROM duckdb_functions() lists the functions; a procedure is called with CALL.';
}

const lists: readonly Rule[] = [
  [/^(?:Catalog|Database|Failed to detach)/, "SHOW DATABASES lists them; ATTACH 'path' AS name adds one."],
  [/^SET schema/, "SHOW DATABASES and FROM duckdb_schemas() list them; ATTACH 'path' AS name adds a database."],
  [/^Type/, 'FROM duckdb_types() lists the types.'],
  [/^Schema/, 'FROM duckdb_schemas() lists the schemas.'],
  [/^Index/, 'FROM duckdb_indexes() lists the indexes.'],
  [/^Sequence/, 'FROM duckdb_sequences() lists the sequences.'],
  [/^unrecognized configuration parameter/, "FROM duckdb_settings() lists DuckDB's, LIST SETTINGS ours."],
  [/ is not an? table$/, 'A view has no rows of its own: change the tables that it reads.'],
  [/^Prepared statement/, 'PREPARE name AS .. makes one, in each session.'],
];

function objectHint({ message, name = '' }: Mistake): string | undefined {
  if (/^(?:big|small)?serial$/i.test(name)) return counting;
  const [, object, kind, verb] = /^Existing object (\S+) is of type (\w+), trying to (\w+)/.exec(message) ?? [];
  if (object === undefined || kind === undefined) return firstOf(lists, message);
  return verb === 'drop'
    ? `DROP ${kind.toUpperCase()} ${object} drops it.`
    : `First DROP ${kind.toUpperCase()} ${object}, or choose another name.`;
}

function fileHint({ message, name = '' }: Mistake): string {
  if (message.startsWith('Cannot open file')) return 'Its folder must exist. A relative path begins where Cuckoo was started.';
  const folder = `FROM glob('${name.replace(/[^/\\]*$/, '').replaceAll("'", "''")}*') lists what is there.`;
  return /^(?:[/\\]|\w:)/.test(name) ? folder : `A relative path begins where Cuckoo was started; ${folder}`;
}

function duplicateHint({ message, sql, name = 'name' }: Mistake): string {
  if (message.startsWith('Column')) return 'Columns of one table have different names; ADD COLUMN IF NOT EXISTS leaves it as it is.';
  const there = /^(\w+)/.exec(message)?.[1]?.toUpperCase() ?? '';
  const wanted = /^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\s+|UNIQUE\s+|PERSISTENT\s+)?(\w+)/i
    .exec(sql ?? '')?.[1]
    ?.toUpperCase();
  if (wanted === undefined) return 'Choose another name.';
  const kind = wanted === 'FUNCTION' ? 'MACRO' : wanted;
  if (kind !== there) return `First DROP ${there} ${name}, or choose another name.`;
  const keep = `CREATE ${wanted} IF NOT EXISTS leaves it as it is`;
  return kind === 'INDEX' ? `${keep}.` : `CREATE OR REPLACE ${wanted} replaces it, ${keep}.`;
}

function betterThanBelow({ code, message, below }: Mistake): string | undefined {
  if (code === 'wrong_type' || code === 'unknown_function') {
    const given = /["']\+\(([^)]*)\)/.exec(message)?.[1];
    if (given !== undefined && /VARCHAR|STRING_LITERAL/.test(given))
      return 'Texts are joined with ||; to compute with one, cast it: ..::INTEGER.';
  }
  const extension = code === 'missing_dependency' ? /INSTALL (\w+)/.exec(below)?.[1] : undefined;
  return extension === undefined ? undefined : `INSTALL ${extension}; fetches it from the network, LOAD ${extension}; loads it.`;
}
