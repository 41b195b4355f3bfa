// What a file would run if it were let, for whoever decides whether it may: a shell that opens a file of unknown origin.
//
// Everything is read from the ledger's own tables, and in nothing but columns. A file may hold a view or a computed column in
// place of a table's, and macros that are called like DuckDB's functions, which win over them (measured with 1.5.6: `sha256`,
// `count`, `duckdb_tables`): whatever SQL computes in such a file says what the file wants it to say. Hence no function in the
// queries below, and no `cron` relation.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import { nameKey } from '../core/name.ts';
import type { Engine } from './engine.ts';
import { Connection } from './store/duckdb/connection.ts';
import { literal } from './store/duckdb/literal.ts';
import type { Value } from './value.ts';

export interface Defined {
  /** run: one that waits in the file, and whose work is not just that of a schedule in it. */
  readonly kind: 'schedule' | 'procedure' | 'pipeline' | 'calendar' | 'run';
  readonly name: string;
  /** All that its work depends on. When it runs is no part of that. */
  readonly text: string;
}

export interface DefinedOptions {
  readonly most: number;
  /** Nothing but what was changed since, and what is called so; and no runs. Without it, all. */
  readonly only?: { readonly since: Instant; readonly names: readonly string[] };
}

/** undefined: there is more than `most`. Fails where the ledger's tables are not what they should be. */
export async function definedIn(engine: Engine, options: DefinedOptions): Promise<readonly Defined[] | undefined> {
  const connection = new Connection(await engine.database.connect());
  try {
    return await connection.transact(() => read(connection, engine, options));
  } finally {
    await connection.close();
  }
}

type Row = Readonly<Record<string, Value>>;

const ledgerTables = ['schedule', 'schedule_version', 'routine', 'calendar', 'open_run', 'setting'];

async function read(connection: Connection, engine: Engine, { most, only }: DefinedOptions): Promise<readonly Defined[] | undefined> {
  const { ledger } = engine.sql;
  await mustBePlain(connection, engine);
  const called = (only?.names ?? []).map((name) => literal(nameKey(name))).join(', ');
  const chosen =
    only === undefined
      ? 'true'
      : `updated_at >= TIMESTAMPTZ ${literal(new Date(only.since).toISOString())}${called === '' ? '' : ` OR name_key IN (${called})`}`;
  // One more than is wanted tells that there is more.
  const rows = (sql: string): Promise<Row[]> => connection.all<Row>(`${sql} LIMIT ${most + 1}`);
  const schedules = await rows(
    `SELECT schedule_id::VARCHAR AS id, version::VARCHAR AS version, name, exe, call, params::VARCHAR AS params, config::VARCHAR AS config,
       bound::VARCHAR AS bound, definition FROM ${ledger}.schedule WHERE ${chosen}`,
  );
  const routines = await rows(
    `SELECT name, kind, language, body, bound::VARCHAR AS bound, definition FROM ${ledger}.routine WHERE ${chosen}`,
  );
  const calendars = await rows(`SELECT name, definition FROM ${ledger}.calendar WHERE ${chosen}`);
  const runs =
    only !== undefined
      ? []
      : await rows(
          `SELECT schedule_id::VARCHAR AS id, schedule_version::VARCHAR AS version, schedule, exe, call, params::VARCHAR AS params
           FROM ${ledger}.open_run r WHERE (params::VARCHAR = '{}' AND EXISTS (
             SELECT 1 FROM ${ledger}.schedule s
             WHERE s.schedule_id = r.schedule_id AND s.version = r.schedule_version AND s.exe = r.exe AND s.call IS NOT DISTINCT FROM r.call
           )) IS NOT TRUE`,
        );
  if ([schedules, routines, calendars, runs].some((found) => found.length > most)) return undefined;
  const versions = await connection.all<Row>(
    `SELECT v.* REPLACE (v.schedule_id::VARCHAR AS schedule_id, v.version::VARCHAR AS version) FROM ${ledger}.schedule_version v
     SEMI JOIN (
       SELECT schedule_id, version FROM ${ledger}.schedule WHERE ${chosen}
       ${only === undefined ? `UNION ALL SELECT schedule_id, schedule_version FROM ${ledger}.open_run` : ''}
     ) used ON used.schedule_id = v.schedule_id AND used.version = v.version`,
  );
  const workOf = new Map<string, string[]>();
  for (const row of versions) {
    const key = `${row['schedule_id']}.${row['version']}`;
    workOf.set(key, [...(workOf.get(key) ?? []), JSON.stringify([row['definition'], withoutTiming(row['bound'])])]);
  }
  // What the version with which a run was opened says. Of two rows of one version both count.
  const workOfVersion = (row: Row): string => JSON.stringify([...(workOf.get(`${row['id']}.${row['version']}`) ?? [])].sort());
  const present = new Map(schedules.map((row) => [row['id'], row]));
  return [
    ...schedules.map((row): Defined => {
      const { exe, call, params, config, bound, definition } = row;
      return {
        kind: 'schedule',
        name: String(row['name']),
        text: JSON.stringify([exe, call, params, config, withoutTiming(bound), definition, workOfVersion(row)]),
      };
    }),
    ...routines.map((row): Defined => {
      const { language, body, bound, definition } = row;
      const kind = row['kind'] === 'pipeline' ? 'pipeline' : 'procedure';
      return { kind, name: String(row['name']), text: JSON.stringify([row['kind'], language, body, bound, definition]) };
    }),
    ...calendars.map((row): Defined => ({ kind: 'calendar', name: String(row['name']), text: String(row['definition']) })),
    ...runs.flatMap((row): Defined[] => {
      const { exe, call, params } = row;
      const schedule = present.get(row['id'] ?? null);
      // ENABLE makes another version of the same work.
      const sameWork = schedule !== undefined && workOfVersion(schedule) === workOfVersion(row);
      if (sameWork && schedule['exe'] === exe && schedule['call'] === call && params === '{}') return [];
      return [{ kind: 'run', name: String(row['schedule'] ?? call), text: JSON.stringify([exe, call, params, workOfVersion(row)]) }];
    }),
  ];
}

/** The zone of a setting and the days of a calendar change timing without anybody's having changed the work. */
function withoutTiming(bound: Value | undefined): string {
  const text = String(bound);
  try {
    const { timing: _, ...work } = JSON.parse(text) as { readonly timing?: unknown };
    return JSON.stringify(work);
  } catch {
    return text;
  }
}

async function mustBePlain(connection: Connection, engine: Engine): Promise<void> {
  const tables = await connection.all<{ name: string; sql: string }>(
    `SELECT table_name AS name, sql FROM system.main.duckdb_tables() WHERE database_name = $database AND schema_name = 'cuckoo_ledger'`,
    { database: engine.database.catalogue },
  );
  for (const wanted of ledgerTables) {
    const found = tables.find(({ name }) => name === wanted);
    if (found === undefined || /\bGENERATED\b/i.test(found.sql)) {
      throw new Diagnostic('forbidden', `cuckoo_ledger.${wanted} is not a plain table: no Cuckoo has made it so`);
    }
  }
}
