import { describe, expect } from 'vitest';
import { Diagnostic } from '../../../../src/core/diagnostic.ts';
import { Catalogue } from '../../../../src/engine/store/duckdb/catalogue.ts';
import { Connection } from '../../../../src/engine/store/duckdb/connection.ts';
import { cancelWaiting, commitClosed, rememberTransaction } from '../../../../src/engine/store/duckdb/fence.ts';
import { DuckLedger } from '../../../../src/engine/store/duckdb/ledger.ts';
import { duckdb } from '../../../../src/engine/store/duckdb/native.ts';
import { versionKey } from '../../../../src/engine/versions.ts';
import type { QueueDefinition } from '../../../../src/scheduler/ports.ts';
import type { Closing } from '../../../../src/scheduler/run.ts';
import { TestDatabase, test } from '../../../support/database.ts';
import { close, closing, describeLedger, open, openRun, signal, start, tickOf, tokenOf } from '../../../support/ledgerConformance.ts';
import { tearBound } from '../../../support/underneath.ts';

function ledgerOf(db: TestDatabase): DuckLedger {
  const { database, sql, admission } = db.engine;
  return new DuckLedger({ database, sql, admission, clock: db.clock });
}

async function connectionOf(db: TestDatabase): Promise<Connection> {
  return new Connection(await db.engine.database.connect());
}

/** In the run's own transaction, beside what it does. */
async function closeAsRun(db: TestDatabase, closing: Closing, marks: boolean): Promise<'removed' | 'marked' | 'fenced'> {
  const connection = await connectionOf(db);
  try {
    await connection.send('BEGIN', 'open');
    const how = await commitClosed(connection, db.engine.sql, closing, { isGuarded: false, marks, onSend: () => {} });
    await connection.rollback();
    return how;
  } finally {
    await connection.close();
  }
}

describeLedger('on DuckDB', async () => {
  const db = new TestDatabase();
  await db.open();
  const setFile = async (at: number | null): Promise<void> => {
    const hand = await connectionOf(db);
    await hand.run("DELETE FROM cuckoo_ledger.file WHERE key = 'paused_at'");
    if (at !== null) await hand.run(db.engine.sql.setFileValue, { key: 'paused_at', value: new Date(at).toISOString() });
    await hand.close();
  };
  return {
    ledger: ledgerOf(db),
    other: ledgerOf(db),
    async define(name) {
      await db.run(`UPSERT SCHEDULE ${name} ( sched: every 1m, sql: 'SELECT 1' )`);
      const [row] = await db.rows('SELECT schedule_id::INTEGER AS id FROM cuckoo_ledger.schedule WHERE name = $name', { name });
      return Number(row?.['id']);
    },
    drop: (name) => db.run(`DROP SCHEDULE ${name}`),
    pause: setFile,
    defineQueue: ({ name, weight, concurrency, rate }: QueueDefinition) => {
      const limits = [
        concurrency === null ? '' : `, concurrency: ${concurrency}`,
        rate === null ? '' : `, rate: ${rate.count} per ${rate.perMs}ms`,
      ];
      return db.run(`UPSERT QUEUE ${name} ( weight: ${weight}${limits.join('')} )`);
    },
    closeInside: (closing, marks) => closeAsRun(db, closing, marks),
    close: () => db.remove(),
  };
});

describe('the ledger on DuckDB, beside others', () => {
  test('passes over a schedule that cannot be read, and says why', async ({ db }) => {
    const define = (name: string, more = ''): string => `UPSERT SCHEDULE ${name} ( sched: '0 2 * * *', sql: 'SELECT 1'${more} )`;
    await db.run("UPSERT CALENDAR closed ( holidays: ['2027-01-01'] )", define('good', ', jitter: 5m'));
    await db.run(
      define('torn'),
      define('headless'),
      define('strange'),
      define('nowhere'),
      define('lost', ', calendar: closed'),
      define('last'),
    );
    const hand = await connectionOf(db);
    const spoil = (name: string, path: string, value: string): Promise<number> =>
      hand.run(`UPDATE cuckoo_ledger.schedule SET bound = json_merge_patch(bound, '{"${path}":${value}}') WHERE name = '${name}'`);
    await tearBound(db.engine, 'torn');
    await spoil('headless', 'overlap', 'null');
    await spoil('strange', 'timing', '{"cadences":[{}]}');
    await spoil('nowhere', 'timing', '{"zone":"Nowhere/Land"}');
    await hand.run("DELETE FROM cuckoo_ledger.calendar WHERE name = 'closed'");
    await hand.close();
    const { definitions } = await ledgerOf(db).load(signal);
    const problems = [...definitions].flatMap((change) => (change.kind === 'unreadable' ? [[change.name, change.message]] : []));
    expect(Object.fromEntries(problems)).toEqual({
      torn: 'its bound value is not JSON',
      headless: "its bound value has no 'overlap'",
      strange: 'its bound value has a cadence of an unknown kind',
      nowhere: expect.stringContaining('Nowhere/Land'),
      lost: 'its calendar closed does not exist',
    });
    const readable = [...definitions].flatMap((change) => (change.kind === 'defined' ? [change.definition.name] : []));
    expect(readable.sort()).toEqual(['good', 'last']);
  });

  test('tells definitions as they were bound, and shares what thousands of them have in common', async ({ db }) => {
    await db.run(
      "UPSERT CALENDAR closed ( weekend: [sun], holidays: ['2027-01-01'] )",
      "UPSERT SCHEDULE One ( sched: '0 2 * * *', sql: 'SELECT 1', calendar: closed, on_holiday: next, max_runs: 7, on_fail: emit('x') )",
      "UPSERT SCHEDULE two ( sched: '0 2 * * *', sql: 'SELECT 2', calendar: closed, on_holiday: next, max_runs: 7, on_fail: emit('x') )",
      "UPSERT SCHEDULE three ( sched: '0 2 * * *', sql: 'SELECT 3', jitter: 10m )",
      "UPSERT SCHEDULE four ( sched: '0 2 * * *', sql: 'SELECT 3', jitter: 10m )",
      "UPSERT SCHEDULE five ( sql: 'SELECT 3', enabled: false, after: [one, two] )",
      "UPSERT SCHEDULE six ( sched: '0 2 * * *', sql: 'SELECT 1', calendar: CLOSED )",
    );
    const { definitions } = await ledgerOf(db).load(signal);
    const found = new Map(
      [...definitions].flatMap((change) => (change.kind === 'defined' ? [[change.definition.name, change.definition]] : [])),
    );
    const one = found.get('One');
    expect(one).toMatchObject({
      version: 1,
      enabled: true,
      effectiveFrom: start,
      exe: 'sql',
      call: 'SELECT 1',
      timing: {
        zone: 'UTC',
        onHoliday: 'next',
        jitterMs: 0,
        calendar: { weekend: [0], holidays: [20_819] },
        cadences: [{ kind: 'cron', text: '0 2 * * *' }],
      },
      policy: { maxRuns: 7, overlap: 'skip', queue: 'default', onFail: [{ kind: 'emit', name: 'x' }] },
    });
    expect(one?.policy).not.toHaveProperty('name');
    expect(one?.timing).not.toHaveProperty('calendarName');
    expect(found.get('two')?.policy).toBe(one?.policy);
    expect(found.get('two')?.timing).toBe(one?.timing);
    expect([found.get('three')?.timing?.jitterKey, found.get('four')?.timing?.jitterKey]).toEqual(['three', 'four']);
    expect(found.get('six')?.timing?.calendar).toEqual(one?.timing?.calendar);
    expect(found.get('five')).toMatchObject({ enabled: false, timing: undefined, policy: { after: ['one', 'two'] } });
  });

  test('tells schedules anew when the days of their calendar have changed, and no others', async ({ db }) => {
    await db.run(
      "UPSERT CALENDAR closed ( holidays: ['2027-01-01'] )",
      "UPSERT SCHEDULE one ( sched: '0 2 * * *', sql: 'SELECT 1', calendar: closed )",
      "UPSERT SCHEDULE two ( sched: '0 2 * * *', sql: 'SELECT 1' )",
    );
    const ledger = ledgerOf(db);
    const { revision } = await ledger.load(signal);
    await db.run("UPSERT CALENDAR closed ( holidays: ['2027-01-01', '2027-01-02'] )");
    const changes = await ledger.changes(revision, signal);
    expect(changes.definitions).toMatchObject([{ definition: { name: 'one', timing: { calendar: { holidays: [20_819, 20_820] } } } }]);
    expect((await ledger.changes(changes.revision, signal)).definitions).toEqual([]);
  });

  test('reads settings as they are, and those that nobody can read as if they were not there', async ({ db }) => {
    await db.run('SET cron.workers = 7', "SET cron.retry_delay = '5s'");
    const hand = await connectionOf(db);
    await hand.run("INSERT OR REPLACE INTO cuckoo_ledger.setting VALUES ('late_within', 'soon', now()), ('max_retries', 'many', now())");
    await hand.close();
    const { settings } = await ledgerOf(db).load(signal);
    expect(settings).toMatchObject({ workers: 7, retryDelayMs: 5000, lateWithinMs: 60_000, maxRetries: 3, catchup: 'latest' });
  });

  test('keeps what a version meant, for the runs that were opened with it', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT 1' )",
      "ALTER SCHEDULE s SET ( sql: 'SELECT 2' )",
      'DISABLE SCHEDULE s',
      'DROP SCHEDULE s',
    );
    const connection = await connectionOf(db);
    const catalogue = new Catalogue(connection, db.engine.sql);
    const calls = [];
    for (const version of [1, 2, 3, 4, 5]) calls.push((await catalogue.scheduleVersion(1, version))?.target.call);
    expect(calls).toEqual(['SELECT 1', 'SELECT 2', 'SELECT 2', undefined, undefined]);
    await connection.close();
  });

  test('tells many versions at once, and of an older file, which kept none, the schedule as it is', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT 1' )",
      "ALTER SCHEDULE s SET ( sql: 'SELECT 2' )",
      "UPSERT SCHEDULE old ( sql: 'SELECT 3' )",
    );
    const connection = await connectionOf(db);
    await connection.run("UPDATE cuckoo_ledger.schedule_version SET bound = NULL WHERE schedule = 'old'");
    const asked = [
      { scheduleId: 1, version: 1 },
      { scheduleId: 1, version: 2 },
      { scheduleId: 1, version: 3 },
      { scheduleId: 2, version: 1 },
      { scheduleId: 3, version: 1 },
    ];
    const found = await new Catalogue(connection, db.engine.sql).scheduleVersions(asked);
    expect(asked.map((version) => found.get(versionKey(version))?.target.call)).toEqual([
      'SELECT 1',
      'SELECT 2',
      undefined,
      'SELECT 3',
      undefined,
    ]);
    await connection.close();
  });

  test('writes what it can while a session that has not committed holds one of the runs', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )");
    const ledger = ledgerOf(db);
    const runs = Array.from({ length: 9 }, (_, index) => openRun({ scheduleId: index === 4 ? 1 : 2 }));
    await ledger.write([runs.map(open)], signal);
    const other = await connectionOf(db);
    await other.send(`BEGIN; DELETE FROM cuckoo_ledger.open_run WHERE run_id = '${runs[4]!.runId}'`, 'open');
    const units = runs.map((run) => [close(run)]);
    await expect(ledger.write(units, signal)).rejects.toMatchObject({ code: 'conflict' });
    expect(await ledger.applied(units, signal)).toEqual(runs.map((_, index) => index !== 4));
    await other.rollback();
    await other.close();
    expect(await ledger.write([[close(runs[4]!)]], signal)).toEqual([true]);
  });

  test('leaves alone what runs when its schedule is dropped, and cancels what waits', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )");
    const ledger = ledgerOf(db);
    const [runs, waits, retries] = [openRun({ fire: 4 }), openRun({ fire: 5 }), openRun({ attempt: 2, notBefore: start + 60_000 })];
    await ledger.write([[open(runs), open(waits), open(retries)]], signal);
    const connection = await connectionOf(db);
    await connection.transact(() =>
      cancelWaiting(connection, db.engine.sql, { scheduleId: 1, reason: 'dropped', at: start + 5, isAtWork: (id) => id === runs.runId }),
    );
    await connection.close();
    expect(await ledger.openRunsOf(1, signal)).toEqual([runs]);
    expect(await db.rows('SELECT state, reason, final FROM cron.runs WHERE finished_at IS NOT NULL')).toEqual(
      [waits, retries].map(() => ({ state: 'cancelled', reason: 'dropped', final: true })),
    );
  });

  test('fences a run whose body has committed by a way that we do not know', async ({ db }) => {
    const ledger = ledgerOf(db);
    const run = openRun();
    await ledger.write([[open(run)]], signal);
    const connection = await connectionOf(db);
    for (const marks of [false, true]) {
      await connection.send(`BEGIN; ${rememberTransaction}`, 'open');
      // Its body has ended the transaction, and what follows stands in another one.
      await connection.send('COMMIT; BEGIN', 'open');
      const committing = { isGuarded: true, marks, onSend: () => expect.unreachable('nothing of it may be committed') };
      expect(await commitClosed(connection, db.engine.sql, closing(run), committing)).toBe('fenced');
      await connection.rollback();
    }
    await connection.close();
    expect(await ledger.fate(run.runId, signal)).toEqual({ kind: 'open', run });
  });

  test('keeps text that SQL would not take: nothing that a run answers keeps it from being closed', async ({ db }) => {
    const ledger = ledgerOf(db);
    const runs = [openRun(), openRun()] as const;
    await ledger.write([runs.map(open)], signal);
    const outcome = {
      result: [{ half: 'a\uD800b', 'k\0ey': '\0', path: 'C:\\ud800' }],
      rowsChanged: null,
      error: { code: 'internal', message: "it's \0 \uDC00", detail: { hint: '\uD83E' } },
      guarantee: null,
      conflicts: 0,
    };
    await ledger.write([[close(runs[0], { state: 'failed', reason: 'NUL \0 and \uD800', outcome })]], signal);
    await ledger.write([[close(runs[1], { state: 'failed', reason: 'x', outcome })], [open(openRun({ call: 'SELECT \0' }))]], signal);
    const rows = await db.rows(
      'SELECT reason, error_message, result, error_detail FROM cron.runs WHERE finished_at IS NOT NULL ORDER BY run_id',
    );
    expect(rows[0]).toMatchObject({ reason: 'NUL \uFFFD and \uFFFD', error_message: "it's \uFFFD \uFFFD" });
    expect(JSON.parse(String(rows[1]?.['result']))).toEqual([{ half: 'a\uFFFDb', 'k\0ey': '\0', path: 'C:\\ud800' }]);
    expect(JSON.parse(String(rows[1]?.['error_detail']))).toEqual({ hint: '\uFFFD' });
  });

  test('settles soon after an abort, with its effect or without, and works on', async ({ db }) => {
    const ledger = ledgerOf(db);
    const controller = new AbortController();
    const many = Array.from({ length: 4000 }, () => [open(openRun())]);
    const writing = ledger.write(many, controller.signal);
    const loading = ledger.load(controller.signal);
    controller.abort(new Diagnostic('timed_out', 'too slow'));
    const [written] = await Promise.allSettled([writing, loading]);
    const { openRuns } = await ledger.load(signal);
    expect([0, 4000]).toContain(openRuns);
    if (written?.status === 'fulfilled') expect(openRuns).toBe(4000);
    expect(await ledger.write([[open(openRun())]], signal)).toEqual([true]);
  });

  test('counts what a schedule has come to by the order of commits, whatever the clock said', async ({ db }) => {
    const ledger = ledgerOf(db);
    const runs = [openRun(), openRun(), openRun(), openRun()] as const;
    await ledger.write([runs.map(open)], signal);
    const counters = (consecutiveFailures: number) => ({ counters: { consecutiveFailures, openedFires: 3, lastSuccessAt: null } });
    const yearAhead = { startedAt: start + 31_536_000_000, finishedAt: start + 31_536_000_000 };
    await ledger.write([[close(runs[0], { ...yearAhead, state: 'failed', ...counters(5) })]], signal);
    await ledger.write([[close(runs[1], { state: 'failed', ...counters(6) })]], signal);
    // Neither what is refused nor what is cancelled says how a run ended.
    await ledger.write(
      [[close(runs[2], { state: 'cancelled', ...counters(1) })], [close(runs[3], { state: 'failed', final: false, ...counters(2) })]],
      signal,
    );
    expect(new Map((await ledger.load(signal)).counters).get(1)).toEqual({ consecutiveFailures: 6, openedFires: 3, lastSuccessAt: null });
  });
});

describe('what people see of runs', () => {
  test('is each run once, also while what follows from it is not written', async ({ db }) => {
    const ledger = ledgerOf(db);
    const [marked, waits, later] = [openRun(), openRun({ queue: 'LOW' }), openRun({ attempt: 2, notBefore: start + 60_000 })];
    await ledger.write([[marked, waits, later].map(open)], signal);
    await closeAsRun(db, closing(marked), true);
    const states = await db.rows('SELECT run_id, state FROM cron.runs ORDER BY run_id');
    expect(states).toEqual([
      { run_id: marked.runId, state: 'succeeded' },
      { run_id: waits.runId, state: 'pending' },
      { run_id: later.runId, state: 'pending' },
    ]);
    expect(
      await db.rows("SELECT name, pending, active, scheduled, completed, failed FROM cron.queues WHERE name <> 'critical' ORDER BY name"),
    ).toEqual([
      { name: 'default', pending: 0n, active: 0n, scheduled: 1n, completed: 1n, failed: 0n },
      { name: 'low', pending: 1n, active: 0n, scheduled: 0n, completed: 0n, failed: 0n },
    ]);
    db.clock.set('2026-11-20T12:02:00Z');
    expect(await db.rows("SELECT pending, scheduled FROM cron.queues WHERE name = 'default'")).toEqual([{ pending: 1n, scheduled: 0n }]);
    expect(await db.rows('FROM cron.workers')).toEqual([{ total: 4n, active: 0n, idle: 4n }]);
  });

  test('can be read by a DuckDB without Cuckoo', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1m, sql: 'SELECT 1', max_runs: 3 )");
    const ledger = ledgerOf(db);
    const [run, waits] = [openRun({ schedule: 's' }), openRun({ schedule: 's', fire: 2 })];
    await ledger.tick(tickOf(1), start, [open(run), open(waits)], signal);
    await ledger.write([[close(run, { state: 'failed', reason: 'boom' }), { kind: 'token', token: tokenOf() }], [skipOf(run)]], signal);
    await db.close();
    const plain = await duckdb.DuckDBInstance.create(db.path, { access_mode: 'READ_ONLY' });
    const connection = await plain.connect();
    const read = async (sql: string) => (await connection.runAndReadAll(sql)).getRowsJson();
    expect(await read('SELECT state, count(*)::INT FROM cron.runs GROUP BY ALL ORDER BY ALL')).toEqual([
      ['failed', 1],
      ['pending', 1],
      ['skipped', 1],
    ]);
    expect(await read('SELECT schedule, state, reason FROM cron.dead_letters')).toEqual([['s', 'failed', 'boom']]);
    expect(await read('SELECT name, status, next_run, last_state, running FROM cron.schedules')).toEqual([
      ['s', null, null, 'failed', null],
    ]);
    expect(await read("SELECT pending::INT, failed::INT FROM cron.queues WHERE name = 'default'")).toEqual([[1, 1]]);
    for (const view of ['workers', 'schedule_versions', 'job_run_details']) await read(`SELECT * FROM cron.${view}`);
    connection.closeSync();
    plain.closeSync();
  });
});

const skipOf = (run: ReturnType<typeof openRun>) =>
  ({
    kind: 'skip',
    closing: closing(openRun({ schedule: run.schedule }), { startedAt: null, state: 'skipped', reason: 'overlap' }),
  }) as const;
