import { describe, expect } from 'vitest';
import type { TestDatabase } from '../../support/database.ts';
import { test } from '../../support/database.ts';
import { underneath } from '../../support/underneath.ts';

/** `21 02:00 s runs; note` */
const told = async (db: TestDatabase, text: string): Promise<string[]> =>
  (await db.rows(text)).map((row) => {
    const note = row['note'] === '' ? '' : `; ${String(row['note'])}`;
    return `${String(row['scheduled_at']).slice(8, 16)} ${String(row['schedule'])} ${String(row['outcome'])}${note}`;
  });

describe('SIMULATE SCHEDULES', () => {
  test('tells every fire of [FROM, TO) with what would become of it, and runs nothing', async ({ db }) => {
    await db.run(
      'UPSERT CALENDAR closed ( weekend: [sat, sun], holidays: [{ day: 2026-11-23, name: moving }] )',
      "UPSERT SCHEDULE nightly ( sched: '0 2 * * *', calendar: closed, sql: 'SELECT nope' )",
      "UPSERT SCHEDULE report ( after: nightly, sql: 'SELECT 1', queue: low )",
      "UPSERT SCHEDULE off ( sched: every 1h, sql: 'SELECT 1', enabled: false )",
      "UPSERT SCHEDULE maybe ( sched: '0 3 24 11 *', sql: 'SELECT 1', when: 'SELECT false' )",
    );
    const text = "SIMULATE SCHEDULES FROM '2026-11-20 02:00' TO '2026-11-25'";
    const result = await db.result(text);
    expect(result.columns.map(({ name }) => name)).toEqual([
      'scheduled_at',
      'schedule',
      'outcome',
      'started_at',
      'finished_at',
      'queue',
      'note',
      'assumed',
    ]);
    expect(result.notes).toEqual(['1 disabled schedule is left out', 'conditions are taken to hold (when: of maybe)']);
    await result.close();
    const skip = 'after: parent nightly was skipped; the edge takes success';
    expect(await told(db, text)).toEqual([
      '20 02:00 nightly runs',
      '20 02:00 report runs',
      '21 02:00 nightly skipped; calendar: Saturday',
      `21 02:00 report skipped; ${skip}`,
      '22 02:00 nightly skipped; calendar: Sunday',
      `22 02:00 report skipped; ${skip}`,
      '23 02:00 nightly skipped; calendar: holiday moving',
      `23 02:00 report skipped; ${skip}`,
      '24 02:00 nightly runs',
      '24 02:00 report runs',
      '24 03:00 maybe runs',
    ]);
    expect(await db.rows('LIST RUNS')).toEqual([]);
    expect(await db.rows("SELECT DISTINCT queue FROM cron.schedules WHERE name = 'report'")).toEqual([{ queue: 'low' }]);
  });

  test('runs take the median of their last successes, so that overlap and waiting are seen', async ({ db }) => {
    await db.run("UPSERT SCHEDULE slow ( sched: every 10m, sql: 'SELECT 1' )", 'ALTER QUEUE low SET ( concurrency: 1 )');
    await db.run(
      "UPSERT SCHEDULE a ( sched: '0 * * * *', sql: 'SELECT 1', queue: low )",
      "UPSERT SCHEDULE b ( sched: '0 * * * *', sql: 'SELECT 1', queue: low )",
    );
    await db.run('RUN SCHEDULE slow', 'RUN SCHEDULE a');
    // As if they had taken 15 minutes, and 4.
    await underneath(
      db.engine,
      "UPDATE cuckoo_ledger.closed SET finished_at = started_at + CASE schedule WHEN 'slow' THEN INTERVAL 15 MINUTE ELSE INTERVAL 4 MINUTE END",
    );
    expect(await told(db, "SIMULATE SCHEDULES FROM '2026-11-20 15:00' TO '2026-11-20 15:30'")).toEqual([
      '20 15:00 slow runs',
      '20 15:00 a runs',
      '20 15:00 b runs; waited 4m: queue low: 1 of 1 busy',
      '20 15:10 slow skipped; overlap: the run before it has not finished',
      '20 15:20 slow runs',
    ]);
    const [, , b] = await db.rows("SIMULATE SCHEDULES FROM '2026-11-20 15:00' TO '2026-11-20 15:30'");
    expect([String(b?.['started_at']), String(b?.['finished_at'])]).toEqual(['2026-11-20 15:04:00+00', '2026-11-20 15:04:00+00']);
  });

  test('sees what the session has defined and not committed: what if', async ({ db }) => {
    await db
      .run('BEGIN', "UPSERT SCHEDULE what_if ( sched: '0 2 * * *', sql: 'SELECT 1' )", 'PAUSE SCHEDULE what_if')
      .catch(() => undefined);
    await db.run('ROLLBACK', 'BEGIN', "UPSERT SCHEDULE what_if ( sched: '0 2 * * *', jitter: 1h, sql: 'SELECT 1' )");
    const [row] = await told(db, "SIMULATE SCHEDULES FROM '2026-11-21' TO '2026-11-22'");
    expect(row).toMatch(/^21 02:00 what_if runs; due \d+m[\dms]+ later$/);
    await db.run('ROLLBACK');
    expect(await told(db, "SIMULATE SCHEDULES FROM '2026-11-21' TO '2026-11-22'")).toEqual([]);
  });

  test('reads instants in cron.timezone, and tells what clocks do', async ({ db }) => {
    await db.run("SET cron.timezone = 'Europe/Berlin'", "UPSERT SCHEDULE s ( sched: '30 2 * * *', sql: 'SELECT 1' )");
    expect(await told(db, "SIMULATE SCHEDULES FROM '2027-03-27 02:30' TO '2027-03-29 02:30'")).toEqual([
      '27 01:30 s runs',
      '28 01:30 s runs; clocks go forward: 02:00 becomes 03:00',
    ]);
  });

  test('max_runs counts what has run, a paused queue keeps its runs, a paused scheduler is told of', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE once_more ( sched: '0 * * * *', max_runs: 2, sql: 'SELECT 1' )",
      "UPSERT SCHEDULE kept ( sched: '0 14 * * *', queue: low, sql: 'SELECT 1' )",
    );
    db.clock.set('2026-11-20T13:00:00Z');
    await db.engine.scheduler.tick(db.clock.time);
    await db.run('PAUSE QUEUE low', 'PAUSE SCHEDULER');
    const text = "SIMULATE SCHEDULES FROM '2026-11-20 14:00' TO '2026-11-20 18:00'";
    expect((await db.result(text)).warnings).toMatchObject([{ hint: 'RESUME SCHEDULER;' }]);
    expect(await told(db, text)).toEqual(['20 14:00 once_more runs', '20 14:00 kept waits; queue low is paused']);
  });

  test('refuses more than it can tell, and says how far it would come', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1s, sql: 'SELECT 1', overlap: allow )");
    expect(await db.mistake("SIMULATE SCHEDULES FROM '2026-01-01' TO '2027-06-01'")).toMatchObject({
      code: 'too_large',
      message: 'at most 366 days can be simulated, and these are 516',
      at: "'2027-06-01'",
      hint: "end at '2027-01-02T00:00:00Z' or before",
    });
    await db.run("UPSERT SCHEDULE bad ( sched: '0 0 1 1 *', sql: 'SELECT 1' )");
    await underneath(db.engine, "UPDATE cuckoo_ledger.schedule SET bound = 'null'::JSON WHERE name = 'bad'");
    const result = await db.result("SIMULATE SCHEDULES FROM '2026-11-21' TO '2026-11-21 00:00:01'");
    expect(result.warnings).toMatchObject([{ message: expect.stringMatching(/^bad cannot be read, and is left out: /) }]);
    expect(await result.toArray()).toHaveLength(1);
  });

  test('ends when the session is interrupted', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1s, sql: 'SELECT 1' )");
    let ended = false;
    const mistake = db.mistake("SIMULATE SCHEDULES FROM '2026-01-01' TO '2026-12-01'").finally(() => {
      ended = true;
    });
    while (!ended) {
      await db.session.interrupt();
      await db.clock.yieldTurn();
    }
    expect(await mistake).toMatchObject({ code: 'cancelled' });
  });
});
