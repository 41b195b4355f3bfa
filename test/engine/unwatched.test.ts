import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';

const skipped = `SELECT schedule, reason, scheduled_at::VARCHAR AS newest, first_scheduled_at::VARCHAR AS first, fires FROM cron.runs WHERE state = 'skipped' ORDER BY schedule`;

describe('a change made while no scheduler runs', () => {
  test('tells in one row what the old definition would have fired', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 10m, sql: 'SELECT 1' )");
    db.clock.set('2026-11-20T12:35:00Z');
    await db.run("UPSERT SCHEDULE s ( sched: '@daily', sql: 'SELECT 1' )");
    expect(await db.rows(skipped)).toEqual([
      { schedule: 's', reason: 'definition changed', newest: '2026-11-20 12:30:00+00', first: '2026-11-20 12:10:00+00', fires: 3n },
    ]);
  });

  test('does so for a schedule that is disabled or dropped, and only for time that nobody has handled', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sched: every 10m, sql: 'SELECT 1' )", 'UPSERT SCHEDULE b LIKE a ()', 'UPSERT SCHEDULE c LIKE a ()');
    db.clock.set('2026-11-20T12:15:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    db.clock.set('2026-11-20T12:25:00Z');
    await db.run('DISABLE SCHEDULE a', 'DROP SCHEDULE b', "ALTER SCHEDULE c SET ( description: 'when it fires is the same' )");
    db.clock.set('2026-11-20T12:45:00Z');
    // Disabled time leaves no row.
    await db.run('ENABLE SCHEDULE a');
    const row = { reason: 'definition changed', newest: '2026-11-20 12:20:00+00', first: '2026-11-20 12:20:00+00', fires: 1n };
    expect((await db.rows(skipped)).filter((run) => run['reason'] === 'definition changed')).toEqual([
      { schedule: 'a', ...row },
      { schedule: 'b', ...row },
    ]);
  });

  test('leaves paused time alone', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 10m, sql: 'SELECT 1' )", 'PAUSE SCHEDULER');
    db.clock.set('2026-11-20T12:35:00Z');
    await db.run('DROP SCHEDULE s');
    expect(await db.rows(skipped)).toEqual([]);
  });
});

describe('PAUSE SCHEDULER', () => {
  test('is durable, and paused time is neither missed nor a row', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 10m, sql: 'SELECT 1' )");
    expect(await db.rows('PAUSE SCHEDULER')).toEqual([{ name: 'scheduler', outcome: 'paused' }]);
    expect(await db.rows('PAUSE SCHEDULER')).toEqual([{ name: 'scheduler', outcome: 'unchanged' }]);
    db.clock.set('2026-11-20T12:35:00Z');
    await db.reopen();
    await db.engine.scheduler.start();
    expect(db.engine.scheduler.mode).toBe('paused');
    expect(await db.rows('RESUME SCHEDULER')).toEqual([{ name: 'scheduler', outcome: 'resumed' }]);
    expect(db.engine.scheduler.mode).toBe('running');
    db.clock.set('2026-11-20T12:40:00Z');
    const finished = new Promise((resolve) => db.engine.scheduler.events.on('run:finished', resolve));
    await db.run("UPSERT SCHEDULE wakes ( sql: 'SELECT 1' )");
    await finished;
    expect(await db.rows('SELECT state, scheduled_at::VARCHAR AS at FROM cron.runs')).toEqual([
      { state: 'succeeded', at: '2026-11-20 12:40:00+00' },
    ]);
  });
});

test('a pause that begins and ends where no scheduler runs is neither missed nor a row, and a host that ticks heeds it', async ({ db }) => {
  await db.run("UPSERT SCHEDULE s ( sched: every 10m, sql: 'SELECT 1' )", 'PAUSE SCHEDULER');
  db.clock.set('2026-11-20T12:35:00Z');
  expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 0, skipped: 0, finished: [] });
  await db.reopen();
  await db.run('RESUME SCHEDULER');
  await db.reopen();
  await db.engine.scheduler.start();
  await db.run("UPSERT SCHEDULE wakes ( sql: 'SELECT 1' )");
  expect(await db.rows('FROM cron.runs')).toEqual([]);
});

test('what a long transaction defines counts from its commit', async ({ db }) => {
  await db.engine.scheduler.start();
  await db.run('BEGIN', "UPSERT SCHEDULE s ( sched: every 10m, sql: 'SELECT 1' )");
  db.clock.set('2026-11-20T12:35:00Z');
  await db.run('COMMIT');
  expect(await db.rows('SELECT effective_from::VARCHAR AS counts FROM cuckoo_ledger.schedule')).toEqual([
    { counts: '2026-11-20 12:35:00+00' },
  ]);
  await db.run('BEGIN', "ALTER SCHEDULE s SET ( description: 'when it fires is the same' )");
  db.clock.set('2026-11-20T12:36:00Z');
  await db.run('COMMIT');
  expect(await db.rows('SELECT effective_from::VARCHAR AS counts FROM cuckoo_ledger.schedule')).toEqual([
    { counts: '2026-11-20 12:35:00+00' },
  ]);
});
