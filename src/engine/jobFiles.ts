// What the catalogue knows of job files: which definitions come from which file, and how each file fares. The definitions are made by
// a session like any other; that a file has made them is written in the same transaction, so that no crash leaves a definition which
// nobody would ever drop, or one that its file may not change.

import type { Instant } from '../core/instant.ts';
import type { DefineStatement, Noun } from '../parser/ast.ts';
import type { Engine } from './engine.ts';
import type { Session } from './session.ts';
import { canonical, definitionText } from './statements/definition.ts';
import { Connection } from './store/duckdb/connection.ts';
import { isKeptClosed } from './store/duckdb/file.ts';
import type { Sql } from './store/duckdb/sql.ts';

/** A definition that is there. */
export interface Catalogued {
  readonly noun: Noun;
  readonly name: string;
  /** The file that made it; null: somebody by hand. */
  readonly source: string | null;
  readonly definition: string;
  readonly enabled: boolean;
  /** It is as its file made it; always true of a schedule, whose definition says it. */
  readonly isAsMade: boolean;
}

/** A row of cron.sources, as far as it is stored. */
export interface JobFileRow {
  readonly path: string;
  readonly directory: string;
  readonly kind: string;
  /** loaded: its definitions are what it says. error: they are what it said before. absent: it cannot be looked at. */
  readonly state: 'loaded' | 'error' | 'absent';
  readonly error: string | null;
  readonly hash: string | null;
  readonly readAt: Instant;
}

export interface JobFileChange {
  readonly rows: readonly JobFileRow[];
  readonly gone: readonly string[];
  /** Made or dropped beside schedules; path: the file that has made it. */
  readonly made: readonly MadeObject[];
  readonly dropped: readonly Omit<MadeObject, 'path'>[];
}

interface MadeObject {
  readonly noun: Noun;
  readonly nameKey: string;
  readonly path: string;
}

/** Given to the session that defines for files: `source` says for which one it does so now. */
export class JobFiles {
  /** The file whose statements are carried out. */
  source: string | null = null;
  /** Written before the next COMMIT, and then forgotten. */
  next: JobFileChange | undefined;
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The definitions as the session sees them: all, or those of these names. */
  async catalogue(session: Session, nameKeys?: readonly string[]): Promise<Catalogued[]> {
    const sql = catalogueSql(this.#engine.sql);
    const answer =
      nameKeys === undefined
        ? await session.execute(sql)
        : await session.execute(`${sql} WHERE name_key IN (SELECT unnest($keys::JSON::VARCHAR[]))`, { keys: JSON.stringify(nameKeys) });
    const rows = await answer.toArray();
    return rows.map(([noun, name, source, definition, enabled, isAsMade]) => ({
      noun: String(noun) as Noun,
      name: String(name),
      source: source === null || source === undefined ? null : String(source),
      definition: String(definition),
      enabled: enabled === true,
      isAsMade: isAsMade === true,
    }));
  }

  async rows(): Promise<JobFileRow[]> {
    const connection = new Connection(await this.#engine.database.connect());
    try {
      return await connection.all<{ [Key in keyof JobFileRow]: JobFileRow[Key] }>(
        `SELECT path, directory, kind, state, error, hash, epoch_ms(read_at)::DOUBLE AS "readAt" FROM ${this.#engine.sql.ledger}.job_file`,
      );
    } finally {
      await connection.close();
    }
  }

  /** What changes no definition, in a transaction of its own. */
  async write(change: JobFileChange): Promise<void> {
    await this.#engine.recover();
    const connection = new Connection(await this.#engine.database.connect());
    try {
      await this.#engine.admission.run('session', () => connection.transact(() => writeChange(connection, this.#engine.sql, change)));
    } finally {
      await connection.close();
    }
  }

  /** For the session, in the transaction that ends. */
  async beforeCommit(connection: Connection): Promise<void> {
    const change = this.next;
    this.next = undefined;
    if (change !== undefined) await writeChange(connection, this.#engine.sql, change);
  }
}

/** A schedule as the catalogue keeps it: what was defined before and says the same has this very text. */
export function keptText(statement: DefineStatement): string {
  return definitionText(statement.noun, statement.name, canonical(statement.definition, ['enabled']));
}

/** Closing a descriptor of the open database would drop DuckDB's lock on it: such a file is not read. */
export function isOpenDatabase(path: string): boolean {
  return isKeptClosed(path);
}

function catalogueSql({ ledger }: Sql): string {
  const object = (noun: string, table: string): string => `
    SELECT ${noun} AS noun, t.name, t.name_key, o.path AS source, t.definition, true AS enabled, o.updated_at IS NOT DISTINCT FROM t.updated_at AS as_made
    FROM ${ledger}.${table} t LEFT JOIN ${ledger}.job_file_object o
      ON o.noun = ${noun} AND o.name_key = t.name_key AND o.created_at = t.created_at`;
  return `SELECT noun, name, source, definition, enabled, as_made FROM (
    SELECT 'schedule' AS noun, name, name_key, source, definition, enabled, true AS as_made FROM ${ledger}.schedule
    UNION ALL ${object('t.kind', 'routine')}
    UNION ALL ${object("'calendar'", 'calendar')}
    UNION ALL ${object("'queue'", 'queue')}
  )`;
}

/** In a few statements, however many files there are. */
async function writeChange(connection: Connection, { ledger }: Sql, { rows, gone, made, dropped }: JobFileChange): Promise<void> {
  if (rows.length > 0 || gone.length > 0) {
    const paths = JSON.stringify([...gone, ...rows.map((row) => row.path)]);
    await connection.run(`DELETE FROM ${ledger}.job_file WHERE path IN (SELECT unnest($paths::JSON::VARCHAR[]))`, { paths });
  }
  if (rows.length > 0) {
    const form =
      '[{"path":"VARCHAR","directory":"VARCHAR","kind":"VARCHAR","state":"VARCHAR","error":"VARCHAR","hash":"VARCHAR","readAt":"DOUBLE"}]';
    await connection.run(
      `INSERT INTO ${ledger}.job_file BY NAME
       SELECT path, directory, kind, state, error, hash, make_timestamptz(("readAt" * 1000)::BIGINT) AS read_at
       FROM (SELECT unnest(from_json($rows::JSON, '${form}'), recursive := true))`,
      { rows: JSON.stringify(rows) },
    );
  }
  for (const [noun, table] of objectTables) {
    const mine = made.filter((object) => object.noun === noun);
    await forget(connection, ledger, noun, [...mine, ...dropped.filter((object) => object.noun === noun)]);
    await remember(connection, ledger, noun, table, mine);
  }
}

const objectTables: readonly (readonly [Noun, string])[] = [
  ['procedure', 'routine'],
  ['pipeline', 'routine'],
  ['calendar', 'calendar'],
  ['queue', 'queue'],
];

async function forget(connection: Connection, ledger: string, noun: Noun, objects: JobFileChange['dropped']): Promise<void> {
  if (objects.length === 0) return;
  const keys = JSON.stringify(objects.map((object) => object.nameKey));
  const sql = `DELETE FROM ${ledger}.job_file_object WHERE noun = $noun AND name_key IN (SELECT unnest($keys::JSON::VARCHAR[]))`;
  await connection.run(sql, { noun, keys });
}

async function remember(connection: Connection, ledger: string, noun: Noun, table: string, made: JobFileChange['made']): Promise<void> {
  if (made.length === 0) return;
  const objects = JSON.stringify(made.map(({ nameKey, path }) => ({ nameKey, path })));
  const sql = `
    INSERT INTO ${ledger}.job_file_object BY NAME SELECT $noun AS noun, t.name_key, g.path, t.created_at, t.updated_at
    FROM (SELECT unnest(from_json($objects::JSON, '[{"nameKey":"VARCHAR","path":"VARCHAR"}]'), recursive := true)) g
    JOIN ${ledger}.${table} t ON t.name_key = g."nameKey"`;
  await connection.run(sql, { noun, objects });
}
