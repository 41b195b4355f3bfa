import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, describe, expect } from 'vitest';
import { takesMacro, VirtualEngine } from '../../support/virtualEngine.ts';

const test = base.extend<{ world: VirtualEngine }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the first parameter as a pattern of fixtures.
  world: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-explain-'));
    const world = await VirtualEngine.open(join(folder, 'my.duckdb'), { startAt: '2026-11-19T23:00:00Z' });
    try {
      await world.run(takesMacro, 'CREATE TABLE t(i INTEGER)');
      await use(world);
    } finally {
      await world.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
});

const idOf = async (world: VirtualEngine, where: string): Promise<string> =>
  String(await world.value(`SELECT run_id FROM cron.runs WHERE ${where} ORDER BY opened_at, run_id`));

/** `02:00:04.000 started: 4 s after it was due`; ids are left out. */
async function explained(world: VirtualEngine, where: string): Promise<string[]> {
  const rows = await world.rows(`EXPLAIN RUN '${await idOf(world, where)}'`);
  return rows.map(({ at, what, detail }) => {
    const clock = `${String(at).slice(11).replace('+00', '')}`;
    return `${clock} ${String(what)}: ${String(detail).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')}`;
  });
}

describe('EXPLAIN RUN', () => {
  test('tells of a run each step from due to end, what it waited for, its guarantee, and who follows', async ({ world }) => {
    await world.run(
      'ALTER QUEUE low SET ( concurrency: 1 )',
      `UPSERT SCHEDULE first ( sched: '0 2 * * *', queue: low, sql: 'SELECT takes(''4s'')' )`,
      "UPSERT SCHEDULE second ( sched: '0 2 * * *', queue: low, priority: low, sql: 'INSERT INTO t VALUES (1), (2)' )",
      "UPSERT SCHEDULE report ( after: second, sql: 'SELECT 1' )",
    );
    await world.engine.scheduler.start();
    await world.until('2026-11-20T02:01:00Z');
    expect(await explained(world, "schedule = 'second'")).toEqual([
      '02:00:00 due: 02:00:00.000 in UTC; at 02:00 every day',
      '02:00:00 opened: +0 ms, by its clock; queue low; priority low',
      '02:00:00 waited: 4 s for queue low: 1 of 1 busy',
      '02:00:04 started: 4 s after it was due',
      '02:00:04 succeeded: after 0 ms; 2 rows changed',
      '02:00:04 guarantee: exactly once: what it wrote and the row that says so are one transaction',
      '02:00:04 then: report follows: run ID, succeeded',
    ]);
    expect((await explained(world, "schedule = 'report'")).slice(0, 3)).toEqual([
      '02:00:00 due: 02:00:00.000 in UTC: the time of the run that it follows',
      '02:00:04 opened: after second succeeded (run ID)',
      '02:00:04 started: at once',
    ]);
  });

  test('tells all attempts of a fire, whichever is named, in the zone of its schedule', async ({ world }) => {
    await world.run(
      "UPSERT SCHEDULE wobbly ( sched: '0 9 * * *', timezone: 'Asia/Tokyo', sql: 'INSERT INTO later VALUES (1)', max_retries: 1, retry_jitter: false )",
    );
    const { scheduler } = world.engine;
    await scheduler.start();
    await world.until('2026-11-20T00:00:30Z');
    const failure = 'after 0 ms: in schedule wobbly, column 13: Table with name later does not exist!';
    const before = [
      '00:00:00 due: 09:00:00.000 in Asia/Tokyo; at 09:00 every day',
      '00:00:00 opened: +0 ms, by its clock',
      '00:00:00 started: attempt 1',
      `00:00:00 failed: attempt 1, ${failure}`,
      '00:00:00 retry: attempt 2 in 1m, at 09:01:00.000',
    ];
    expect(await explained(world, 'attempt = 1')).toEqual([
      ...before,
      '00:00:30 waits: attempt 2 for the time of its retry, 09:01:00.000, in 30 s',
    ]);
    await world.until('2026-11-20T00:02:00Z');
    await world.run('CREATE TABLE later(i INTEGER)', `RETRY RUN '${await idOf(world, 'attempt = 1')}'`);
    await world.advance('1s');
    const all = [
      ...before,
      '00:01:00 started: attempt 2',
      `00:01:00 failed: attempt 2, ${failure}`,
      '00:02:00 retry: attempt 3, by hand',
      '00:02:00 started: attempt 3',
      '00:02:00 succeeded: attempt 3, after 0 ms; 1 row changed',
      '00:02:00 guarantee: exactly once: what it wrote and the row that says so are one transaction',
      '00:02:00 dead letter: retried by hand',
    ];
    for (const attempt of [1, 2, 3]) expect(await explained(world, `attempt = ${attempt}`)).toEqual(all);
  });

  test('tells why a fire was skipped: the run in its way, the day, the condition, the parent', async ({ world }) => {
    await world.run(
      'UPSERT CALENDAR closed ( weekend: [sat, sun], holidays: [{ day: 2026-11-20, name: Moving }] )',
      "UPSERT SCHEDULE slow ( sched: '*/10 4 * * *', sql: 'SELECT takes(''15m'')' )",
      "UPSERT SCHEDULE office ( sched: '0 9 * * *', calendar: closed, sql: 'SELECT 1' )",
      "UPSERT SCHEDULE picky ( sched: '0 5 * * *', when: 'SELECT count(*) > 100 FROM t', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE mourner ( after: picky, after_state: failure, sql: 'SELECT 1' )",
    );
    await world.engine.scheduler.start();
    await world.until('2026-11-20T04:12:00Z');
    expect(await explained(world, "schedule = 'slow' AND state = 'skipped'")).toEqual([
      '04:10:00 due: 04:10:00.000 in UTC; at 04:00, 04:10, 04:20, 04:30, 04:40 and 04:50 every day',
      '04:10:00 skipped: overlap: the run before it has not finished',
      '04:10:00 because: run ID was in flight: at work since 04:00:00.000, still open',
    ]);
    await world.until('2026-11-20T10:00:00Z');
    expect((await explained(world, "schedule = 'slow' AND state = 'skipped'")).at(-1)).toBe(
      '04:10:00 because: run ID was in flight: at work since 04:00:00.000, succeeded at 04:15:00.000',
    );
    expect(await explained(world, "schedule = 'office'")).toEqual([
      '09:00:00 due: 09:00:00.000 in UTC; at 09:00 every day; only on business days of closed',
      '09:00:00 skipped: calendar: not a business day',
      '09:00:00 because: holiday Moving, in calendar closed',
    ]);
    expect((await explained(world, "schedule = 'picky'")).slice(2)).toEqual([
      '05:00:00 taken: by a worker, which read its condition',
      '05:00:00 skipped: when: the condition was false',
      '05:00:00 because: its condition: SELECT count(*) > 100 FROM t',
      '05:00:00 then: mourner follows: run ID, skipped: after: parent picky was skipped; the edge takes failure',
    ]);
    expect((await explained(world, "schedule = 'mourner'")).at(-1)).toBe('05:00:00 because: picky skipped (run ID)');
  });

  test('tells which gap a missed fire fell into', async ({ world }) => {
    await world.run("UPSERT SCHEDULE hourly ( sched: '0 * * * *', sql: 'SELECT 1' )");
    const { scheduler } = world.engine;
    await scheduler.start();
    await world.until('2026-11-20T00:30:00Z');
    await scheduler.stop({ graceMs: 0 });
    await world.until('2026-11-20T03:30:00Z');
    await scheduler.start();
    await world.advance('1s');
    const gap = 'the scheduler stopped at 2026-11-20 00:30:00 and began again at 2026-11-20 03:30:00';
    expect((await explained(world, "trigger = 'catchup'")).slice(0, 3)).toEqual([
      '03:00:00 due: 03:00:00.000 in UTC; every hour, on the hour',
      `03:30:00 opened: +30m, caught up: ${gap}`,
      '03:30:00 started: 30m after it was due',
    ]);
    expect(await explained(world, "state = 'skipped'")).toEqual([
      '02:00:00 due: 02:00:00.000 in UTC; every hour, on the hour',
      '02:00:00 stretch: one row for 2 fires, from 2026-11-20 01:00:00 on',
      '03:30:00 skipped: missed: no scheduler ran; catchup: latest',
      `03:30:00 because: ${gap}`,
    ]);
  });

  test('tells what an open run waits for now', async ({ world }) => {
    await world.run(
      "UPSERT SCHEDULE s ( sched: every 1h, overlap: queue, queue: low, sql: 'SELECT takes(''90m'')' )",
      "UPSERT SCHEDULE hand ( sql: 'SELECT 1' )",
    );
    const { scheduler } = world.engine;
    await scheduler.start();
    await world.until('2026-11-20T01:10:00Z');
    const now = async (where: string) => (await explained(world, where)).at(-1);
    expect(await now("scheduled_at = '2026-11-20 00:00:00+00'")).toBe('01:10:00 running: for 1h10m');
    expect(await now("scheduled_at = '2026-11-20 01:00:00+00'")).toBe('01:10:00 waits: for run ID, at work since 00:00:00.000');
    await world.run('PAUSE QUEUE default', 'RUN SCHEDULE hand');
    expect(await explained(world, "schedule = 'hand'")).toEqual([
      '01:10:00 asked: for a run by hand, at 01:10:00.000 in UTC',
      '01:10:00 opened: by hand',
      '01:10:00 waits: for RESUME QUEUE default: its queue is paused',
    ]);
    await world.run('RESUME QUEUE default', 'SET cron.workers = 1', 'RUN SCHEDULE hand');
    await world.run("CANCEL RUNS WHERE schedule = 'hand' AND state = 'pending'", 'RUN SCHEDULE hand');
    expect(await now("schedule = 'hand' AND state = 'pending'")).toBe('01:10:00 waits: for a worker: 1 of 1 busy');
    expect(await now("schedule = 'hand' AND state = 'cancelled'")).toBe('01:10:00 cancelled: before it began: cancelled by ada');
    await scheduler.stop({ graceMs: 0 });
    expect(await now("schedule = 'hand' AND state = 'pending'")).toBe('01:10:00 waits: for a scheduler: none runs in this process');
  });

  test('tells what jitter does, and what clocks do', async ({ world }) => {
    await world.run("UPSERT SCHEDULE late ( sched: '30 2 * * *', timezone: 'Europe/Berlin', jitter: 10m, sql: 'SELECT 1' )");
    await world.engine.scheduler.start();
    await world.until('2026-11-20T03:00:00Z');
    const [due, jitter, opened] = await explained(world, "schedule = 'late'");
    expect(due).toBe('01:30:00 due: 02:30:00.000 in Europe/Berlin; at 02:30 every day');
    expect(jitter).toMatch(/^01:3\d:[\d.]+ jitter: starts [\dms]+ later, at 02:3\d:[\d.]+$/);
    expect(opened).toMatch(/opened: \+0 ms, by its clock$/);
  });

  test('tells when a retry was due, and what it waited for beside that', async ({ world }) => {
    await world.run(
      'ALTER QUEUE low SET ( concurrency: 1 )',
      "UPSERT SCHEDULE wobbly ( sched: '0 1 * * *', queue: low, sql: 'SELECT error(''no'')', max_retries: 1, retry_jitter: false )",
      `UPSERT SCHEDULE long ( sched: '30 0 1 * * *', queue: low, sql: 'SELECT takes(''40s'')' )`,
    );
    await world.engine.scheduler.start();
    await world.until('2026-11-20T01:05:00Z');
    expect((await explained(world, "schedule = 'wobbly'")).slice(2, 8)).toEqual([
      '01:00:00 started: attempt 1',
      expect.stringMatching(/^01:00:00 failed: attempt 1, after 0 ms: /),
      '01:00:00 retry: attempt 2 in 1m, at about 01:01:00',
      '01:01:00 waited: 10 s for queue low: 1 of 1 busy',
      '01:01:10 started: attempt 2; 10 s after it was due',
      expect.stringMatching(/^01:01:10 failed: attempt 2, /),
    ]);
  });

  test('tells of a run by hand that it waited, and for a paused queue', async ({ world }) => {
    await world.run("UPSERT SCHEDULE hand ( queue: low, sql: 'SELECT 1' )");
    await world.engine.scheduler.start();
    await world.run('PAUSE QUEUE low', 'RUN SCHEDULE hand');
    await world.advance('20s');
    await world.run('RESUME QUEUE low');
    await world.advance('1s');
    expect((await explained(world, "schedule = 'hand'")).slice(1, 4)).toEqual([
      '23:00:00 opened: by hand; queue low',
      '23:00:00 waited: 20 s: queue low is paused',
      '23:00:20 started: 20 s after it was opened',
    ]);
  });

  test('names each of the runs that a fire follows, and what became of those that it passed over', async ({ world }) => {
    await world.run(
      "UPSERT SCHEDULE often ( sched: '10,20 1 * * *', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE seldom ( sched: '20 1 * * *', sql: 'SELECT takes(''1m'')' )",
      "UPSERT SCHEDULE both ( after: [often, seldom], sql: 'SELECT 1' )",
    );
    await world.engine.scheduler.start();
    await world.until('2026-11-20T02:00:00Z');
    const often = await idOf(world, "schedule = 'often' AND scheduled_at = '2026-11-20 01:20:00+00'");
    const follows = `EXPLAIN RUN '${await idOf(world, "schedule = 'both' AND state = 'succeeded'")}'`;
    const cause = String((await world.rows(follows))[1]?.['detail']);
    expect(cause).toContain(`often succeeded (run ${often})`);
    expect(cause.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')).toBe('after often succeeded (run ID) and seldom succeeded (run ID)');
    expect(await explained(world, "schedule = 'both' AND state = 'skipped'")).toEqual([
      '01:10:00 due: 01:10:00.000 in UTC: the time of the run that it follows',
      '01:21:00 skipped: superseded: often has run again since',
      '01:21:00 because: it would have followed often succeeded (run ID)',
      '01:21:00 because: run ID stands for what came since: often succeeded (run ID)',
    ]);
  });

  test('tells of a run that it was begun anew, and why', async ({ world }) => {
    await world.run("UPSERT SCHEDULE long ( sched: '0 1 * * *', sql: 'SELECT takes(''1h'')' )");
    await world.engine.scheduler.start();
    await world.until('2026-11-20T01:10:00Z');
    const folder = mkdtempSync(join(tmpdir(), 'cuckoo-explain-'));
    let next: VirtualEngine | undefined;
    try {
      const path = join(folder, 'copy.duckdb');
      await world.die(path);
      next = await VirtualEngine.open(path, { startAt: '2026-11-20T01:20:00Z' });
      const { scheduler } = next.engine;
      await scheduler.start();
      await next.until('2026-11-20T01:21:00Z');
      const died = 'after the scheduler that began at 23:00:00.000 on 2026-11-19 had died; alone, in case it was why; 20m after it was due';
      expect((await explained(next, "schedule = 'long'")).slice(2, 4)).toEqual(['01:00:00 waited: 20m', `01:20:00 started: ${died}`]);
      await scheduler.stop({ graceMs: 0 });
      await next.until('2026-11-20T01:40:00Z');
      await scheduler.start();
      await next.until('2026-11-20T03:00:00Z');
      expect((await explained(next, "schedule = 'long'")).slice(2, 6)).toEqual([
        '01:00:00 waited: 20m',
        '01:20:00 started: the scheduler stopped at 01:21:00.000 before it had ended',
        '01:40:00 started: anew; 40m after it was due',
        '02:40:00 succeeded: after 1h; 0 rows changed',
      ]);
    } finally {
      await next?.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('is told of a run that history does not hold', async ({ world }) => {
    await expect(world.rows("EXPLAIN RUN '01234567'")).rejects.toMatchObject({ code: 'undefined_object' });
  });
});
