// A machine whose clock was a year ahead for a while. Time that was handled stays handled: nothing is done twice, and nothing waits
// for an instant of the wrong year.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-clock-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const yearMs = 365 * 86_400_000;

test('a clock that was a year ahead is told of at once when it is right again, and believed after ten minutes; nothing runs twice', {
  timeout: 120_000,
}, async () => {
  const engine = await VirtualEngine.open(join(folder, 'my.duckdb'), { startAt: '2026-11-20T12:00:30Z' });
  const { scheduler } = engine.engine;
  const told: string[] = [];
  const tell = (what: string) => () => told.push(`${new Date(engine.clock.now()).toISOString().slice(0, 19)} ${what}`);
  scheduler.events.on('clock:behind', tell('behind'));
  scheduler.events.on('clock:believed', tell('believed'));
  const openings: string[] = [];
  scheduler.events.on('run:opened', ({ schedule, scheduledAt }) => openings.push(`${schedule} ${new Date(scheduledAt).toISOString()}`));
  try {
    await engine.run(
      'CREATE TABLE beats (schedule VARCHAR, beat TIMESTAMPTZ)',
      "UPSERT SCHEDULE beat ( sched: every 1m, sql: 'INSERT INTO beats SELECT $schedule, $scheduled_at' )",
      "UPSERT SCHEDULE all_of_them ( sched: every 1m, catchup: all, overlap: queue, sql: 'INSERT INTO beats SELECT $schedule, $scheduled_at' )",
      `UPSERT SCHEDULE flaky ( run_at: '2027-11-20 12:03', retry_delay: 5m, retry_jitter: false,
        sql: $$ SELECT CASE WHEN $attempt < 2 THEN error('no answer') END $$ )`,
    );
    await scheduler.start();
    await engine.until('2026-11-20T12:02:10Z');
    engine.clock.jump(yearMs);
    await engine.until('2027-11-20T12:05:10Z');
    expect(await engine.column("SELECT state FROM cron.runs WHERE schedule = 'flaky' ORDER BY attempt")).toEqual(['failed', 'pending']);

    // It is 12:05:10 of the right year.
    engine.clock.jump(-yearMs);
    await engine.advance('30s');
    expect(told).toEqual(['2026-11-20T12:05:30 behind']);
    const health = 'SELECT schedule, condition, detail FROM cron.schedule_health WHERE schedule IS NULL';
    expect(await engine.rows(health)).toEqual([
      { schedule: null, condition: 'late', detail: 'the clock is behind what is handled already: it is believed after 10 minutes' },
    ]);
    openings.length = 0;
    await engine.until('2026-11-20T12:15:29Z');
    expect(openings).toEqual([]);
    await engine.until('2026-11-20T12:16:00Z');
    expect(told.slice(1)).toEqual(['2026-11-20T12:15:30 believed']);
    expect(openings.sort()).toEqual(['all_of_them 2026-11-20T12:16:00.000Z', 'beat 2026-11-20T12:16:00.000Z']);
    expect(await engine.rows(health)).toEqual([]);

    // What waited for 12:08 of the wrong year waits its five minutes now.
    await engine.until('2026-11-20T12:20:40Z');
    const flaky = "SELECT state, started_at::VARCHAR AS started FROM cron.runs WHERE schedule = 'flaky' ORDER BY attempt";
    expect(await engine.rows(flaky)).toMatchObject([
      { state: 'failed', started: expect.stringContaining('2027-11-20 12:03:00') },
      { state: 'succeeded', started: expect.stringContaining('2026-11-20 12:20:30') },
    ]);

    // The year passes, and comes to the minutes that were done too early.
    engine.clock.jump(yearMs);
    await engine.advance('30s');
    const doubled = 'SELECT schedule, beat, count(*) FROM beats GROUP BY ALL HAVING count(*) > 1';
    expect(await engine.rows(doubled)).toEqual([]);
    const done = `SELECT strftime(beat AT TIME ZONE 'UTC', '%H:%M') FROM beats WHERE schedule = 'all_of_them' AND beat BETWEEN '2027-11-20 11:30:00Z' AND '2027-11-20 12:21:00Z'
      ORDER BY beat`;
    const minutes = Array.from(
      { length: 52 },
      (_, index) => `${11 + Math.floor((30 + index) / 60)}:${String((30 + index) % 60).padStart(2, '0')}`,
    );
    expect(await engine.column(done)).toEqual(minutes);
    expect(await engine.value('SELECT count(*) FROM cuckoo_ledger.open_run')).toBe(0n);
  } finally {
    await engine.close();
  }
});
