// The file's shape. Migrations are numbered and append-only; a file from a newer Cuckoo is refused, an older one is copied
// before it is changed. Relations (views, macros) carry no data and are made anew whenever their text has changed.

import { createHash } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Connection } from './duckdb/connection.ts';
import { ledgerSql } from './duckdb/ledgerSql.ts';
import { identifier, literal } from './duckdb/literal.ts';
import { relations } from './duckdb/relations.ts';
import type { Sql } from './duckdb/sql.ts';
import { migration000001 } from './migrations/000001.ts';
import { migration000002 } from './migrations/000002.ts';
import { migration000003 } from './migrations/000003.ts';
import { migration000004 } from './migrations/000004.ts';
import { migration000005 } from './migrations/000005.ts';
import { migration000006 } from './migrations/000006.ts';

export type Migration = string;

/** In the order in which they are carried out. */
export const released: readonly Migration[] = [
  migration000001,
  migration000002,
  migration000003,
  migration000004,
  migration000005,
  migration000006,
];

export interface MigrateOptions {
  readonly sql: Sql;
  readonly database: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly clock: Clock;
  readonly zone: string;
  readonly fileId: string;
  readonly migrations?: readonly Migration[];
}

/** Whether the file has a ledger afterwards: a read-only file that has none stays without. */
export async function migrate(connection: Connection, options: MigrateOptions): Promise<boolean> {
  const migrations = options.migrations ?? released;
  const { version, relations: present } = await stateOf(connection, options);
  if (version > migrations.length) {
    throw new Diagnostic(
      'newer_file',
      `${options.path} was written by a newer Cuckoo (shape ${version}; this one knows ${migrations.length})`,
      {
        hint: 'upgrade: npm install cuckoo-sql@latest',
      },
    );
  }
  const wanted = createHash('sha256').update(relations).digest('hex').slice(0, 16);
  if (options.readOnly) {
    if (version !== 0 && version < migrations.length) {
      throw new Diagnostic('read_only', `${options.path} was written by an older Cuckoo and is open read-only`, {
        hint: 'open it once without --readonly: it is copied first and then brought up to date',
      });
    }
    return version > 0;
  }
  if (version === migrations.length && present === wanted) return true;
  if (version > 0 && version < migrations.length && options.path !== ':memory:') await backUp(connection, options, version);
  await connection.native.run(`USE ${identifier(options.database)}`);
  await connection.transact(async () => {
    for (const [index, migration] of migrations.entries()) {
      if (index < version) continue;
      await connection.native.run(migration, { leaves: 'open' });
    }
    await connection.native.run(relations, { leaves: 'open' });
    const set = (key: string, value: string): Promise<number> => connection.run(options.sql.setFileValue, { key, value });
    await set('shape', String(migrations.length));
    await set('relations', wanted);
    if (version > 0) return;
    const now = options.clock.now();
    const ticks = ledgerSql(options.sql.ledger);
    await set('file_id', options.fileId);
    await set('created_at', new Date(now).toISOString());
    await connection.run(options.sql.setSetting, { name: 'timezone', value: options.zone, at: now });
    // Time is handled up to now: what was before the file is not missed.
    const first = { seq: 0, watermark: now, partly: null, gap: null, replayUntil: null };
    await connection.send(`${ticks.takeTick(first.seq)}; ${ticks.insertTick(first, now)}`, 'open');
  });
  return true;
}

/** The number of the last migration and the hash of the relations' text; 0 in a file that has no ledger yet. */
async function stateOf(connection: Connection, options: MigrateOptions): Promise<{ version: number; relations: string | undefined }> {
  const tables = await connection.all(
    "SELECT 1 AS found FROM duckdb_tables() WHERE database_name = $database AND schema_name = 'cuckoo_ledger' AND table_name = 'file'",
    { database: options.database },
  );
  if (tables.length === 0) {
    await refuseForeignSchema(connection, options);
    return { version: 0, relations: undefined };
  }
  const rows = await connection.all<{ key: string; value: string }>(options.sql.fileValues);
  const values = new Map(rows.map(({ key, value }) => [key, value]));
  return { version: Number(values.get('shape')), relations: values.get('relations') };
}

/** A schema called `cron` that is not ours is somebody's data: nothing of it is replaced. */
async function refuseForeignSchema(connection: Connection, options: MigrateOptions): Promise<void> {
  const [found] = await connection.all<{ name: string }>(
    `SELECT schema_name || '.' || name AS name FROM (
       SELECT database_name, schema_name, table_name AS name FROM duckdb_tables()
       UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal
     ) WHERE database_name = $database AND schema_name IN ('cron', 'cuckoo_ledger') LIMIT 1`,
    { database: options.database },
  );
  if (found === undefined) return;
  throw new Diagnostic('duplicate_object', `${options.path} has a schema of its own where Cuckoo keeps its relations: ${found.name}`, {
    hint: 'rename that schema: Cuckoo needs the names cron and cuckoo_ledger for itself',
  });
}

async function backUp(connection: Connection, options: MigrateOptions, version: number): Promise<void> {
  const path = `${options.path}.backup-${version}`;
  if (existsSync(path)) return;
  const unfinished = `${path}.unfinished`;
  rmSync(unfinished, { force: true });
  await connection.native.run(`ATTACH ${literal(unfinished)} AS cuckoo_backup`);
  await connection.native.run(`COPY FROM DATABASE ${identifier(options.database)} TO cuckoo_backup`);
  await connection.native.run('DETACH cuckoo_backup');
  renameSync(unfinished, path);
}
