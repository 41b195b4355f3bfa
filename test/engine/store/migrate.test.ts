import { existsSync, rmSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { runId } from '../../../src/core/runId.ts';
import { Catalogue } from '../../../src/engine/store/duckdb/catalogue.ts';
import { Connection } from '../../../src/engine/store/duckdb/connection.ts';
import { DuckLedger } from '../../../src/engine/store/duckdb/ledger.ts';
import { openNative } from '../../../src/engine/store/duckdb/native.ts';
import { migration000001 } from '../../../src/engine/store/migrations/000001.ts';
import type { Schedule } from '../../../src/scheduler/schedule.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { plainPolicy } from '../../support/plain.ts';
import { shape1Relations } from './shape1.ts';

const start = Date.parse('2026-11-20T12:00:00Z');
const signal = new AbortController().signal;
const idAt = (at: number, sequence: number): string => runId(at, sequence, new Uint8Array(10).fill(7));

const bound = (name: string, replaced: Partial<Schedule> = {}): string =>
  JSON.stringify({
    name,
    target: { exe: 'sql', call: 'SELECT 2' },
    params: {},
    config: {},
    tags: [],
    isolation: 'thread',
    keep: {},
    ...plainPolicy,
    ...replaced,
  } satisfies Schedule);

const open = {
  failed: idAt(start - 2000, 1),
  retry: idAt(start - 1000, 2),
  allowed: idAt(start - 900, 3),
  byHand: idAt(start - 800, 4),
  next: idAt(start - 700, 5),
};

/** A file with a past, as the first version left it. */
async function makeOldFile(db: TestDatabase): Promise<void> {
  const database = await openNative(db.path, { clock: db.clock });
  const native = await database.connect();
  const at = (ms: number): string => `make_timestamptz(${ms}000)`;
  const schedule = (id: number, name: string, version: number, overlap: string): string =>
    `INSERT INTO cuckoo_ledger.schedule BY NAME SELECT ${id} AS schedule_id, '${name}' AS name, '${name}' AS name_key, ${version} AS version, true AS enabled,
      ${at(start - 86_400_000)} AS effective_from, 'sql' AS exe, 'SELECT 2' AS call, '{}' AS params, '{}' AS config, 'default' AS queue,
      'normal' AS priority, '${overlap}' AS overlap, []::VARCHAR[] AS "after", []::VARCHAR[] AS tags,
      '${bound(name, { overlap: overlap as Schedule['overlap'] })}' AS bound, 'UPSERT SCHEDULE ${name} ( sql: ''SELECT 2'' );' AS definition,
      ${at(start)} AS created_at, ${at(start)} AS updated_at`;
  const version = (id: number, name: string, number: number): string =>
    `INSERT INTO cuckoo_ledger.schedule_version VALUES (${id}, '${name}', ${number}, 'UPSERT SCHEDULE ${name} ( sql: ''SELECT 2'' );', ['sql'], ${at(start)}, 'somebody')`;
  const run = (table: string, id: string, scheduleId: number, trigger: string, attempt: number, more: string): string =>
    `INSERT INTO cuckoo_ledger.${table} BY NAME SELECT '${id}'::UUID AS run_id, ${scheduleId} AS schedule_id, 'one' AS schedule, 'sql' AS exe, 'SELECT 2' AS call,
      '${trigger}' AS trigger, ${at(start - 5000)} AS scheduled_at, ${at(start - 5000)} AS opened_at, ${attempt} AS attempt, 'default' AS queue,
      'normal' AS priority, '{"n":1}' AS params, 1 AS schedule_version, '${open.failed}'::UUID AS root_run_id, ${more}`;
  await native.run(
    [
      migration000001,
      shape1Relations,
      `INSERT INTO cuckoo_ledger.file VALUES ('shape', '1'), ('relations', 'of old'), ('file_id', 'x'), ('created_at', '2026-11-01T00:00:00.000Z')`,
      `INSERT INTO cuckoo_ledger.setting VALUES ('timezone', 'Europe/Berlin', ${at(start)})`,
      `INSERT INTO cuckoo_ledger.tick VALUES (0, ${at(start - 9000)}, ${at(start - 9000)}), (41, ${at(start - 3000)}, ${at(start - 3000)})`,
      schedule(1, 'one', 2, 'skip'),
      schedule(2, 'two', 1, 'allow'),
      version(1, 'one', 1),
      version(2, 'two', 1),
      version(1, 'one', 2),
      run(
        'closed',
        open.failed,
        1,
        'cron',
        1,
        `${at(start)} AS finished_at, 'failed' AS state, 'boom' AS reason, false AS final, 0 AS consecutive_failures, 6 AS opened_fires`,
      ),
      run('open_run', open.retry, 1, 'cron', 2, `'open' AS stage, ${at(start + 60_000)} AS not_before, '${open.failed}'::UUID AS retry_of`),
      run('open_run', open.next, 1, 'interval', 1, `'open' AS stage`),
      run('open_run', open.allowed, 2, 'cron', 1, `'open' AS stage`),
      run('open_run', open.byHand, 1, 'manual', 1, `'open' AS stage`),
    ].join(';\n'),
    { leaves: 'none' },
  );
  await native.close();
  await database.close();
}

/** In the place of the file that the test began with. */
async function openOldFile(db: TestDatabase): Promise<void> {
  await db.close();
  for (const path of [db.path, `${db.path}.wal`]) rmSync(path, { force: true });
  await makeOldFile(db);
  await db.open();
}

describe('a file of the first shape', () => {
  test('is copied, brought up to date, and goes on where it was', async ({ db }) => {
    await openOldFile(db);
    expect(existsSync(`${db.path}.backup-1`)).toBe(true);
    expect(await db.rows('SELECT schedule, state, reason, attempt, params FROM cron.runs ORDER BY run_id')).toMatchObject([
      { schedule: 'one', state: 'failed', reason: 'boom', attempt: 1n, params: '{"n":1}' },
      { state: 'pending', attempt: 2n },
      { state: 'pending' },
      { state: 'pending' },
      { state: 'pending' },
    ]);
    const { database, sql, admission } = db.engine;
    const ledger = new DuckLedger({ database, sql, admission, clock: db.clock });
    const { tick, definitions, openRuns, ...state } = await ledger.load(signal);
    const counters = new Map(state.counters);
    expect(tick).toEqual({ seq: 41, watermark: start - 3000, partly: null, gap: null, replayUntil: null });
    expect([...definitions].map((change) => change.kind)).toEqual(['defined', 'defined']);
    expect(openRuns).toBe(4);
    // Fires that were opened and not counted by a close are counted now.
    expect([counters.get(1)?.openedFires, counters.get(2)?.openedFires]).toEqual([7, 1]);
    const runs = new Map((await ledger.waiting({ now: start + 90_000, limit: 10, perGroup: 10 }, signal)).map((run) => [run.runId, run]));
    const group = { key: 'schedule:1', limit: 1 };
    expect(runs.get(open.retry)).toMatchObject({
      group,
      fire: null,
      alone: false,
      attempt: 2,
      retryOf: open.failed,
      notBefore: start + 60_000,
    });
    expect(runs.get(open.next)).toMatchObject({ group, fire: 7 });
    expect(runs.get(open.allowed)).toMatchObject({ group: null, fire: 1 });
    expect(runs.get(open.byHand)).toMatchObject({ group: null, fire: null, trigger: 'manual' });
    await ledger.tick({ ...tick, seq: 42 }, start, [], signal);
    await expect(ledger.tick({ ...tick, seq: 42 }, start, [], signal)).rejects.toThrow('there already');
  });

  test('keeps its versions in their order, and reads those from before as the schedule is now', async ({ db }) => {
    await openOldFile(db);
    expect(await db.rows('SELECT schedule, version, changed_by FROM cuckoo_ledger.schedule_version ORDER BY rowid')).toEqual([
      { schedule: 'one', version: 1n, changed_by: 'somebody' },
      { schedule: 'two', version: 1n, changed_by: 'somebody' },
      { schedule: 'one', version: 2n, changed_by: 'somebody' },
    ]);
    await db.run("ALTER SCHEDULE one SET ( sql: 'SELECT 3' )");
    const connection = new Connection(await db.engine.database.connect());
    const catalogue = new Catalogue(connection, db.engine.sql);
    const calls = [];
    for (const version of [1, 2, 3]) calls.push((await catalogue.scheduleVersion(1, version))?.target.call);
    expect(calls).toEqual(['SELECT 3', 'SELECT 2', 'SELECT 3']);
    await connection.close();
  });
});
