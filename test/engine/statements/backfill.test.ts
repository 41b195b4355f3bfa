import { describe, expect } from 'vitest';
import type { TestDatabase } from '../../support/database.ts';
import { test } from '../../support/database.ts';

const daily = "UPSERT SCHEDULE s ( sched: '0 2 * * *', timezone: 'Europe/Berlin', sql: 'INSERT INTO t VALUES ($scheduled_at)' )";
const table = 'CREATE TABLE t(instant TIMESTAMPTZ)';

/** `11-18 01:00 succeeded` */
const told = async (db: TestDatabase, text: string): Promise<string[]> =>
  (await db.rows(text)).map(({ scheduled_at, outcome }) => `${String(scheduled_at).slice(5, 16)} ${String(outcome)}`);

describe('BACKFILL SCHEDULE where no scheduler runs', () => {
  test('runs each instant of [FROM, TO) in the zone of the schedule, oldest first, and tells how each ended', async ({ db }) => {
    await db.run(table, daily);
    const rows = await db.rows("BACKFILL SCHEDULE s FROM '2026-11-17 02:00' TO '2026-11-20 02:00'");
    expect(rows.map(({ scheduled_at, outcome }) => `${String(scheduled_at)} ${String(outcome)}`)).toEqual([
      '2026-11-17 01:00:00+00 succeeded',
      '2026-11-18 01:00:00+00 succeeded',
      '2026-11-19 01:00:00+00 succeeded',
    ]);
    expect((await db.rows('SELECT instant FROM t')).map((row) => String(row['instant']))).toEqual(
      rows.map(({ scheduled_at }) => String(scheduled_at)),
    );
    expect(await db.rows('SELECT DISTINCT trigger, state, queue FROM cron.runs')).toEqual([
      { trigger: 'backfill', state: 'succeeded', queue: 'default' },
    ]);
    expect((await db.rows('LIST RUNS ORDER BY run_id')).map(({ run_id }) => run_id)).toEqual(rows.map(({ run_id }) => run_id));
  });

  test('takes expressions for its ends; what has no offset is in the zone of the schedule', async ({ db }) => {
    await db.run(daily);
    const dryRun = (from: string, to: string) => told(db, `BACKFILL SCHEDULE s FROM ${from} TO ${to} DRY RUN`);
    const days = ['11-17 01:00 would open', '11-18 01:00 would open'];
    expect(await dryRun("TIMESTAMPTZ '2026-11-19 01:00:00+00' - INTERVAL 2 DAYS", "DATE '2026-11-19'")).toEqual(days);
    expect(await dryRun("TIMESTAMP '2026-11-17 02:00'", "'2026-11-18 02:00'::TIMESTAMP + INTERVAL 1 MINUTE")).toEqual(days);
    expect(await dryRun("('2026-11-' || 17)", "(SELECT max(d) FROM (VALUES (DATE '2026-11-19')) AS v(d))")).toEqual(days);
    expect(await db.mistake("BACKFILL SCHEDULE s FROM now() - 'x' TO '2026-11-19'")).toMatchObject({ at: expect.stringContaining('-') });
    expect(await db.mistake("BACKFILL SCHEDULE s FROM nosuch() TO '2026-11-19'")).toMatchObject({ code: 'unknown_function', at: 'nosuch' });
    expect(await db.mistake('BACKFILL SCHEDULE s FROM (1 + 1) TO now()')).toMatchObject({
      code: 'wrong_type',
      message: "'FROM' takes an instant, and this is '2'",
      at: '(1 + 1)',
    });
    expect(await db.mistake("SIMULATE SCHEDULES FROM DATE '2027-01-02' TO DATE '2027-01-01'")).toMatchObject({
      message: 'TO is before FROM',
    });
    expect(await db.mistake(`SIMULATE SCHEDULES FROM (SELECT count(*) FROM read_blob('${db.path}')) TO now()`)).toMatchObject({
      code: 'forbidden',
    });
  });

  test('ONLY MISSING leaves out what has succeeded or is still open, and what failed is made up for', async ({ db }) => {
    await db.run(table, daily, "BACKFILL SCHEDULE s FROM '2026-11-18' TO '2026-11-19'", "ALTER SCHEDULE s SET ( sql: 'SELECT nope' )");
    const failed = await db.result("BACKFILL SCHEDULE s FROM '2026-11-16' TO '2026-11-17'");
    expect(failed.failure).toMatchObject({
      code: 'run_failed',
      message: expect.stringMatching(/^1 of 1 runs did not succeed; the first: failed; /),
      hint: expect.stringMatching(/^EXPLAIN RUN /),
    });
    await db.run(daily);
    const missing = "BACKFILL SCHEDULE s FROM '2026-11-15' TO '2026-11-20' ONLY MISSING";
    // The retry of the 16th waits.
    expect(await told(db, `${missing} DRY RUN`)).toEqual(['11-15 01:00 would open', '11-17 01:00 would open', '11-19 01:00 would open']);
    await db.run("CANCEL RUNS WHERE schedule = 's'");
    expect(await told(db, missing)).toEqual([
      '11-15 01:00 succeeded',
      '11-16 01:00 succeeded',
      '11-17 01:00 succeeded',
      '11-19 01:00 succeeded',
    ]);
    const none = await db.result(missing);
    expect(none.notes).toEqual(['nothing is missing']);
    expect(await none.toArray()).toEqual([]);
  });

  test('a dry run opens nothing; without a hit nothing is said to be wrong', async ({ db }) => {
    await db.run(table, daily);
    expect(await db.rows("BACKFILL SCHEDULE s FROM '2026-11-18' TO '2026-11-19' DRY RUN")).toMatchObject([
      { run_id: null, outcome: 'would open' },
    ]);
    expect((await db.result("BACKFILL SCHEDULE s FROM '2026-11-18 03:00' TO '2026-11-18 04:00'")).notes).toEqual([
      'no fire of its clock lies there',
    ]);
    expect(await db.rows('LIST RUNS')).toEqual([]);
  });

  test('is cut at now, with a warning', async ({ db }) => {
    await db.run(table, "UPSERT SCHEDULE s ( sched: every 1h, sql: 'INSERT INTO t VALUES ($scheduled_at)' )");
    const result = await db.result("BACKFILL SCHEDULE s FROM '2026-11-20 10:30' TO '2026-11-21' DRY RUN");
    expect(result.warnings).toMatchObject([{ message: 'TO is after now, and what is still to come is left out' }]);
    expect((await result.toObjects()).map(({ scheduled_at }) => String(scheduled_at).slice(11, 16))).toEqual(['11:00']);
  });

  test('leaves max_runs and followers alone', async ({ db }) => {
    await db.run(
      table,
      "UPSERT SCHEDULE s ( sched: '0 2 * * *', max_runs: 1, sql: 'INSERT INTO t VALUES ($scheduled_at)' )",
      "UPSERT SCHEDULE child ( after: s, sql: 'SELECT 1' )",
    );
    expect(await told(db, "BACKFILL SCHEDULE s FROM '2026-11-18' TO '2026-11-20' PARALLEL 2")).toHaveLength(2);
    expect(await db.rows("LIST RUNS LIKE 'child'")).toEqual([]);
    const [schedule] = await db.rows("SELECT status, next_run FROM cron.schedules WHERE name = 's'");
    expect(String(schedule?.['next_run'])).toBe('2026-11-21 02:00:00+00');
  });

  test('that is stopped ends what runs and begins nothing more', async ({ db }) => {
    const endless = 'SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)';
    await db.run(`UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: '${endless}' )`);
    const begun = new Promise((resolve) => db.engine.scheduler.events.on('run:started', resolve));
    const backfill = db.result("BACKFILL SCHEDULE s FROM '2026-11-01' TO '2026-11-20'");
    await begun;
    await db.session.interrupt();
    const result = await backfill;
    expect(result.failure).toMatchObject({ code: 'cancelled', message: 'stopped after 1 of 19 runs' });
    expect(await result.toObjects()).toMatchObject([{ outcome: 'cancelled' }]);
    expect(await db.rows('FROM cuckoo_ledger.open_run')).toEqual([]);
  });
});

describe('BACKFILL SCHEDULE beside a scheduler', () => {
  test('opens all in one unit, and lets as many as PARALLEL says run at once', async ({ db }) => {
    await db.run('SET cron.workers = 8', table, "UPSERT SCHEDULE s ( sched: every 1h, sql: 'INSERT INTO t VALUES ($scheduled_at)' )");
    const { scheduler } = db.engine;
    await scheduler.start();
    let atWork = 0;
    let most = 0;
    let left = 240;
    const order: number[] = [];
    scheduler.events.on('run:started', ({ run }) => {
      atWork += 1;
      most = Math.max(most, atWork);
      order.push(run.scheduledAt);
    });
    const all = new Promise<void>((resolve) => {
      scheduler.events.on('run:finished', () => {
        atWork -= 1;
        left -= 1;
        if (left === 0) resolve();
      });
    });
    const rows = await db.rows("BACKFILL SCHEDULE s FROM '2026-11-10' TO '2026-11-20' PARALLEL 3");
    expect(rows).toHaveLength(240);
    expect(new Set(rows.map(({ outcome }) => outcome))).toEqual(new Set(['opened']));
    await all;
    expect(most).toBe(3);
    expect(order).toEqual(order.toSorted((one, other) => one - other));
    expect(await db.rows('SELECT count(*) AS runs, count(DISTINCT instant) AS instants FROM t')).toEqual([{ runs: 240n, instants: 240n }]);
  });
});

describe('BACKFILL SCHEDULE refuses', () => {
  test('a schedule without a clock', async ({ db }) => {
    await db.run("UPSERT SCHEDULE hand ( sql: 'SELECT 1' )", "UPSERT SCHEDULE boot ( sched: @reboot, sql: 'SELECT 1' )");
    for (const name of ['hand', 'boot']) {
      expect(await db.mistake(`BACKFILL SCHEDULE ${name} FROM '2026-11-18' TO '2026-11-19'`)).toMatchObject({
        code: 'invalid_value',
        at: name,
        hint: `RUN SCHEDULE ${name}; runs it now`,
      });
    }
  });

  test('more than 100,000 fires, and says where the first 100,000 end', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1s, sql: 'SELECT 1' )");
    expect(await db.mistake("BACKFILL SCHEDULE s FROM '2026-01-01' TO '2026-11-19'")).toMatchObject({
      code: 'too_large',
      at: "'2026-11-19'",
      hint: "do it in pieces: TO '2026-01-02T03:46:40Z' is the first 100,000",
    });
  });

  test('instants in the wrong order, too much at once, unknown names, a transaction', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1h, sql: 'SELECT 1' )");
    expect(await db.mistake("BACKFILL SCHEDULE s FROM '2026-11-18T03:00:00+02:00' TO '2026-11-18T00:00:00Z'")).toMatchObject({
      message: 'TO is before FROM',
      at: "'2026-11-18T00:00:00Z'",
    });
    expect(await db.mistake("BACKFILL SCHEDULE s FROM '2026-11-18' TO '2026-11-19' PARALLEL 5000")).toMatchObject({ at: '5000' });
    expect(await db.mistake("BACKFILL SCHEDULE t FROM '2026-11-18' TO '2026-11-19'")).toMatchObject({ code: 'undefined_object', at: 't' });
    await db.run('BEGIN');
    expect(await db.mistake("BACKFILL SCHEDULE s FROM '2026-11-18' TO '2026-11-19'")).toMatchObject({ code: 'in_transaction' });
    await db.run('ROLLBACK');
  });
});
