// What a syntax error probably means. DuckDB names the first word that it could not place; what is wrong is often that word, or
// the one before it that it took for an alias (`SELECT * FORM t`), or a bracket far in front of it. So this looks at the words
// around the place and at what is still open there, and says one thing: the likeliest.

import type { Span } from '../core/diagnostic.ts';
import { type Token, tokenAt } from '../parser/lexer.ts';
import { suggest } from '../parser/suggest.ts';

export function syntaxHint(message: string, sql: string, span: Span): string {
  const closing = closingOf(message, sql.slice(span.start));
  if (closing !== undefined) return closing;
  const before = tokensBefore(sql, span.start);
  const token = tokenAt(sql, span.start);
  const place = { sql, before, token, word: wordOf(sql, token), previous: wordOf(sql, before.at(-1)) };
  return (
    quote(place) ??
    bracket(place) ??
    firstWord(place) ??
    missingWord(place) ??
    foreign[place.word] ??
    misspelled(place) ??
    reservedName(place) ??
    (token.kind === 'end' && before.length > 0
      ? `The statement stops after ${text(sql, before.at(-1))}: something must follow.`
      : 'Up to here it can be read: a word is missing, misspelled or too many.')
  );
}

interface Place {
  readonly sql: string;
  /** What stands in front of it in its statement. */
  readonly before: readonly Token[];
  readonly token: Token;
  /** The word at the place and the one before it, in capitals; empty where none is. */
  readonly word: string;
  readonly previous: string;
}

function closingOf(message: string, rest: string): string | undefined {
  const what = /^unterminated (\/\* comment|[a-z]+(?:-quoted)?)(?: (string|identifier|literal))?/.exec(message);
  if (what === null) return undefined;
  if (what[1] === '/* comment') return 'Close the comment with */.';
  if (what[1] === 'dollar-quoted') return `Close the text with ${/^\$\w*\$/.exec(rest)?.[0] ?? 'the dollar tag that it begins with'}.`;
  return what[2] === 'identifier' ? 'Close the name with ".' : "Close the quote with '; inside of it, a quote is written twice: ''.";
}

// ---- Quotes and brackets ----

/** One that is missing turns inside and outside around: the text that seems to begin last has no end. */
function quote({ sql, token }: Place): string | undefined {
  for (let each = token; each.kind !== 'end'; each = tokenAt(sql, each.end)) {
    if (each.unterminated) return `A quote is missing or too many: the last ${sql[each.start]} is not closed.`;
  }
  return undefined;
}

const closers: ReadonlyMap<string, string> = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
]);

function bracket({ sql, before, token }: Place): string | undefined {
  const open: string[] = [];
  for (const each of before) {
    const sign = text(sql, each);
    const closer = closers.get(sign);
    if (closer !== undefined) open.push(closer);
    else if (sign === open.at(-1)) open.pop();
  }
  const sign = text(sql, token);
  if (token.kind === 'end' && open.length > 0) return `Not closed yet; missing at the end: ${open.reverse().join(' ')}`;
  if (![...closers.values()].includes(sign)) return undefined;
  if (open.length === 0) return `Nothing is open that this ${sign} could close.`;
  return open.at(-1) === sign ? `Something is missing before this ${sign}.` : `First, what was opened last is closed with ${open.at(-1)}.`;
}

// ---- Words ----

const ourVerbs = words('UPSERT LIST RUN BACKFILL SIMULATE CANCEL RETRY TAIL ENABLE DISABLE PAUSE RESUME BACKUP');
const verbs = words(`SELECT FROM WITH VALUES INSERT UPDATE DELETE MERGE TRUNCATE CREATE ALTER DROP COMMENT COPY ATTACH DETACH USE
  SET RESET SHOW DESCRIBE SUMMARIZE EXPLAIN ANALYZE VACUUM CHECKPOINT BEGIN START COMMIT END ROLLBACK ABORT CALL EXECUTE PREPARE
  DEALLOCATE PRAGMA INSTALL LOAD PIVOT UNPIVOT EXPORT IMPORT`);
const kinds = words('SCHEDULE PROCEDURE PIPELINE CALENDAR QUEUE TABLE VIEW SCHEMA INDEX SEQUENCE TYPE MACRO FUNCTION SECRET TEMPORARY');
const clauses = words(`SELECT DISTINCT FROM WHERE GROUP HAVING ORDER DESC LIMIT OFFSET UNION INTERSECT EXCEPT WINDOW SAMPLE JOIN
  INNER LEFT RIGHT FULL CROSS NATURAL USING VALUES RETURNING CONFLICT DEFAULT PRIMARY REFERENCES UNIQUE CHECK COLUMN CASE WHEN THEN
  ELSE BETWEEN LIKE ILIKE EXISTS OVER PARTITION FILTER WITHIN NULLS FIRST LAST REPLACE EXCLUDE TABLE INTERVAL CAST`);

/** After these comes a name, so what stands there is no misspelled keyword. */
const beforeNames = new Set(
  words('FROM JOIN INTO UPDATE TABLE VIEW SCHEMA INDEX SEQUENCE TYPE MACRO FUNCTION COLUMN AS ON EXISTS RENAME TO . , ('),
);

/** DuckDB's reserved words (duckdb_keywords() names them; a test compares). */
export const reserved: ReadonlySet<string> = new Set(
  words(`ALL ANALYSE ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC BOTH CASE CAST CHECK COLLATE COLUMN CONSTRAINT CREATE DEFAULT DEFERRABLE
  DESC DESCRIBE DISTINCT DO ELSE END EXCEPT FALSE FETCH FOR FOREIGN FROM GROUP HAVING IN INITIALLY INTERSECT INTO LAMBDA LATERAL
  LEADING LIMIT NOT NULL OFFSET ON ONLY OR ORDER PIVOT PIVOT_LONGER PIVOT_WIDER PLACING PRIMARY QUALIFY REFERENCES RETURNING SELECT
  SHOW SOME SUMMARIZE SYMMETRIC TABLE THEN TO TRAILING TRUE UNION UNIQUE UNPIVOT USING VARIADIC WHEN WHERE WINDOW WITH`),
);

function firstWord({ sql, before, token, word, previous }: Place): string | undefined {
  const first = before.length === 0;
  if (!first && previous !== 'EXPLAIN' && previous !== 'ANALYZE') return undefined;
  if (foreign[word] !== undefined) return undefined;
  const known = first ? [...ourVerbs, ...verbs] : verbs;
  const near = glued(text(sql, token), known) ?? suggest(word, known);
  if (near !== undefined && near !== word) return `Did you mean ${near}?`;
  return 'A statement begins with a word such as SELECT, INSERT, CREATE, UPSERT, LIST or RUN.';
}

function misspelled({ sql, before, token, previous }: Place): string | undefined {
  if (/^(?:CREATE|ALTER|DROP|REPLACE|SHOW)$/.test(previous)) {
    const word = wordOf(sql, token);
    const near = suggest(word, kinds);
    return near === undefined || near === word ? undefined : `Did you mean ${previous} ${near}?`;
  }
  if (wordOf(sql, token) === 'BY') {
    const near = suggest(previous, ['ORDER', 'GROUP', 'PARTITION']);
    if (near !== undefined) return `Did you mean ${near} BY?`;
  }
  const [verb, noun] = before.map((each) => wordOf(sql, each));
  if (noun !== undefined && /^(?:DESCRIBE|DESC|EXPLAIN)$/.test(verb ?? '')) {
    const near = suggest(noun, ['SCHEDULE', 'PROCEDURE', 'PIPELINE', 'CALENDAR', 'QUEUE', 'RUN', 'CRON']);
    if (near !== undefined && near !== noun) return `Did you mean ${verb} ${near}?`;
  }
  const around = [token, before.at(-1), before.at(-2)];
  for (const [at, each] of around.entries()) {
    const word = wordOf(sql, each);
    if (word.length < 3 || clauses.includes(word) || verbs.includes(word) || (at > 0 && beforeNames.has(wordOf(sql, before.at(-at - 1)))))
      continue;
    const near = glued(text(sql, each), clauses) ?? suggest(word, clauses);
    // A slip in the first letter is rare but for two swapped ones, and `orders` is a table's name.
    if (near === undefined || word === `${near}S`) continue;
    if (near[0] !== word[0] && !near.startsWith(`${word[1]}${word[0]}`)) continue;
    return at === 0 ? `Did you mean ${near}?` : `Did you mean ${near} instead of ${text(sql, each)}?`;
  }
  return undefined;
}

/** `WHEREday`, `GROUPBY`: the word and what it was meant to stand apart from. */
function glued(written: string, known: readonly string[]): string | undefined {
  const word = written.toUpperCase();
  const front = known.find((each) => each.length > 3 && word.startsWith(each) && word.length > each.length + 1);
  return front === undefined ? undefined : `${front} ${written.slice(front.length)}`;
}

const pairs: Readonly<Record<string, string>> = {
  INSERT: 'INTO',
  MERGE: 'INTO',
  DELETE: 'FROM',
  GROUP: 'BY',
  ORDER: 'BY',
  PARTITION: 'BY',
};

function missingWord({ sql, before, token, previous }: Place): string | undefined {
  if (previous === 'TOP') return 'The first rows are taken with LIMIT, at the end of the statement.';
  const second = pairs[previous];
  if (second !== undefined) return `Write ${previous} ${second}.`;
  const said = before.map((each) => wordOf(sql, each));
  if (said[0] === 'CALL' && said.length === 2 && token.kind === 'end') return `A call has brackets: CALL ${text(sql, before[1])}()`;
  if (said[0] === 'UPDATE' && !said.includes('SET')) return 'The new values follow SET: UPDATE name SET column = value.';
  if (
    token.kind === 'end' &&
    said.includes('JOIN') &&
    !/\b(?:ON|USING|CROSS|NATURAL|POSITIONAL)\b/.test(said.slice(said.lastIndexOf('JOIN') - 1).join(' '))
  )
    return 'Say what joins the tables: ON condition, or USING (column).';
  return undefined;
}

function reservedName({ sql, token, word, previous }: Place): string | undefined {
  if (!reserved.has(word) || !(beforeNames.has(previous) || previous === 'SELECT')) return undefined;
  const written = text(sql, token);
  return `Before ${written} something is missing; if ${written} is a name, write "${written}".`;
}

export const counting = "DuckDB counts with a sequence: CREATE SEQUENCE ids; then id INTEGER DEFAULT nextval('ids').";

/** What other databases have and DuckDB has not. */
const foreign: Readonly<Record<string, string>> = {
  AUTO_INCREMENT: counting,
  AUTOINCREMENT: counting,
  EXTENSION: 'INSTALL name; fetches an extension from the network, LOAD name; loads it.',
  SAVEPOINT: 'DuckDB has no savepoints: a transaction is undone as a whole, by ROLLBACK.',
  RELEASE: 'DuckDB has no savepoints: a transaction is undone as a whole, by ROLLBACK.',
  GRANT: 'DuckDB has no users: who may open the file may do everything with it.',
  REVOKE: 'DuckDB has no users: who may open the file may do everything with it.',
  USER: 'DuckDB has no users: who may open the file may do everything with it.',
  ROLE: 'DuckDB has no roles: who may open the file may do everything with it.',
  TRIGGER: 'DuckDB has no triggers; a SCHEDULE runs by the clock, or after another one.',
  ISOLATION: 'DuckDB has one isolation level: each transaction sees the snapshot that it began with.',
  LOCK: 'DuckDB has no locks to take: of two transactions that change one row, the second fails with a conflict.',
  RETURNS: 'DuckDB takes CREATE MACRO name(a) AS expression; a body of statements is UPSERT PROCEDURE.',
};

// ---- Reading ----

function tokensBefore(sql: string, end: number): Token[] {
  let tokens: Token[] = [];
  for (let token = tokenAt(sql, 0); token.kind !== 'end' && token.start < end; token = tokenAt(sql, token.end)) {
    if (text(sql, token) === ';') tokens = [];
    else tokens.push(token);
  }
  return tokens;
}

function text(sql: string, token: Token | undefined): string {
  return token === undefined ? '' : sql.slice(token.start, token.end);
}

function wordOf(sql: string, token: Token | undefined): string {
  return token?.kind === 'word' || token?.kind === 'symbol' ? text(sql, token).toUpperCase() : '';
}

function words(list: string): string[] {
  return list.split(/\s+/);
}
