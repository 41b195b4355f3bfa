// What lasts: retries, failures and pauses over restarts and crashes, and runs over changes of their definitions. On the real engine,
// each restart on the same file, each crash on a copy of it as the dying process would have left it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { takesMacro, VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-life-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newPath = (): string => {
  files += 1;
  return join(folder, `${files}.duckdb`);
};

const opened: VirtualEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function start(path: string, time: string): Promise<VirtualEngine> {
  const engine = await VirtualEngine.open(path, { startAt: `2026-11-20T${time}Z` });
  opened.push(engine);
  await engine.engine.scheduler.start();
  return engine;
}

const until = (engine: VirtualEngine, time: string): Promise<void> => engine.until(`2026-11-20T${time}Z`);

/** `state attempt started: reason` of each run, in the order in which they were opened. */
async function told(engine: VirtualEngine, schedule: string): Promise<unknown[]> {
  return engine.column(`SELECT concat_ws(' ', strftime(scheduled_at AT TIME ZONE 'UTC', '%H:%M'), state, attempt,
      coalesce('at ' || strftime(started_at AT TIME ZONE 'UTC', '%H:%M:%S'), 'not begun')) || coalesce(': ' || reason, '')
    FROM cron.runs WHERE schedule = '${schedule}' ORDER BY run_id`);
}

const failing = `sql: $$ SELECT error('no answer') $$`;

describe('a retry that waits', () => {
  test('comes at its time after a restart, and at once where its time has passed meanwhile', async () => {
    const path = newPath();
    const before = await start(path, '12:00:00');
    await before.run(`UPSERT SCHEDULE s ( run_at: '2026-11-20 12:01', retry_delays: [10m, 10m], retry_jitter: false, ${failing} )`);
    await until(before, '12:05:00');
    await before.close();
    const after = await start(path, '12:08:00');
    await until(after, '12:15:00');
    await after.close();
    const late = await start(path, '12:30:00');
    await until(late, '12:31:00');
    expect(await told(late, 's')).toEqual([
      '12:01 failed 1 at 12:01:00: in schedule s: no answer; retry in 10m',
      '12:01 failed 2 at 12:11:00: in schedule s: no answer; retry in 10m',
      '12:01 failed 3 at 12:30:00: in schedule s: no answer',
    ]);
    expect(await late.column('SELECT schedule FROM cron.dead_letters')).toEqual(['s']);
  });
});

describe('a process that dies while a run is at work', () => {
  test('costs the run an attempt, and the attempts end', async () => {
    let path = newPath();
    let engine = await start(path, '12:00:00');
    await engine.run(
      takesMacro,
      "UPSERT PROCEDURE deadly() ( atomic: false ) AS BEGIN SELECT takes('1h'); END",
      "UPSERT SCHEDULE s ( run_at: '2026-11-20 12:01', call: deadly, max_retries: 2, retry_delay: 1m, retry_backoff: fixed, retry_jitter: false )",
    );
    for (const minute of ['02', '04', '06']) {
      await until(engine, `12:${minute}:30`);
      path = newPath();
      await engine.die(path);
      engine = await start(path, `12:${minute}:40`);
    }
    await until(engine, '12:20:00');
    expect(await told(engine, 's')).toEqual([
      '12:01 interrupted 1 at 12:01:00: process died while running; retry in 1m',
      '12:01 interrupted 2 at 12:03:40: process died while running; retry in 1m',
      '12:01 interrupted 3 at 12:05:40: process died while running',
    ]);
    expect(await engine.column('SELECT schedule FROM cron.dead_letters')).toEqual(['s']);
  });

  test('with on_crash: fail ends it at once; one whose effects are inside the database merely begins again', async () => {
    const engine = await start(newPath(), '12:00:00');
    await engine.run(
      takesMacro,
      'CREATE TABLE done (run_id VARCHAR)',
      "UPSERT PROCEDURE letters() ( atomic: false ) AS BEGIN SELECT takes('1h'); END",
      "UPSERT SCHEDULE outside ( run_at: '2026-11-20 12:01', call: letters, on_crash: fail )",
      "UPSERT SCHEDULE inside ( run_at: '2026-11-20 12:01', sql: $$ INSERT INTO done SELECT $run_id; SELECT takes('1m') $$, on_crash: fail )",
    );
    await until(engine, '12:01:30');
    const path = newPath();
    await engine.die(path);
    const after = await start(path, '12:10:00');
    await until(after, '12:15:00');
    expect(await told(after, 'outside')).toEqual(['12:01 interrupted 1 at 12:01:00: process died while running']);
    expect(await told(after, 'inside')).toEqual(['12:01 succeeded 1 at 12:10:00']);
    expect(await after.value('SELECT count(*) FROM done')).toBe(1n);
  });
});

describe('disable_after_failures', () => {
  test('counts over a restart, disables durably, and is told by the last failure and in the versions', async () => {
    const path = newPath();
    const before = await start(path, '12:00:00');
    await before.run(`UPSERT SCHEDULE s ( sched: every 1m, max_retries: 0, disable_after_failures: 3, ${failing} )`);
    await until(before, '12:02:30');
    await before.close();
    const after = await start(path, '12:02:40');
    await until(after, '12:10:00');
    const all = [
      '12:01 failed 1 at 12:01:00: in schedule s: no answer',
      '12:02 failed 1 at 12:02:00: in schedule s: no answer',
      '12:03 failed 1 at 12:03:00: in schedule s: no answer; the schedule is disabled after 3 failures in a row',
    ];
    expect(await told(after, 's')).toEqual(all);
    expect(await after.rows('SELECT enabled, status, next_run, consecutive_failures::INTEGER AS failures FROM cron.schedules')).toEqual([
      { enabled: false, status: 'disabled', next_run: null, failures: 3 },
    ]);
    expect(await after.column("SELECT changed_by FROM cron.schedule_versions WHERE changed = ['enabled']")).toEqual(['cuckoo']);
    await after.close();
    const again = await start(path, '12:20:00');
    await until(again, '12:25:00');
    expect(await told(again, 's')).toEqual(all);
  });

  test('begins anew after a success', async () => {
    const engine = await start(newPath(), '12:00:00');
    await engine.run(`UPSERT SCHEDULE s ( sched: every 1m, max_retries: 0, disable_after_failures: 2,
      sql: $$ SELECT CASE WHEN minute($scheduled_at) % 2 = 1 THEN error('odd') END $$ )`);
    await until(engine, '12:06:30');
    expect(await engine.column("SELECT state FROM cron.runs WHERE schedule = 's' ORDER BY run_id")).toEqual(
      Array.from({ length: 3 }, () => ['failed', 'succeeded']).flat(),
    );
  });
});

describe('a run that is opened', () => {
  test('keeps the version of its schedule after ALTER, a retry of it too', async () => {
    const engine = await start(newPath(), '12:00:00');
    await engine.run(
      'UPSERT QUEUE q ( weight: 1 )',
      'PAUSE QUEUE q',
      "UPSERT SCHEDULE s ( sched: every 5m, queue: q, overlap: queue, sql: 'SELECT 1 AS version' )",
      `UPSERT SCHEDULE r ( run_at: '2026-11-20 12:05', retry_delay: 5m, retry_jitter: false, sql: $$ SELECT CASE WHEN $attempt = 1 THEN error('no answer') ELSE 1 END AS version $$ )`,
    );
    await until(engine, '12:06:00');
    await engine.run("ALTER SCHEDULE s SET ( sql: 'SELECT 2 AS version' )", "ALTER SCHEDULE r SET ( sql: 'SELECT 2 AS version' )");
    await until(engine, '12:11:00');
    await engine.run('RESUME QUEUE q');
    await engine.advance('1s');
    const versions = (schedule: string) =>
      engine.rows(`SELECT schedule_version::INTEGER AS opened_with, (result->>'$[0].version')::INTEGER AS ran
        FROM cron.runs WHERE schedule = '${schedule}' AND state = 'succeeded' ORDER BY run_id`);
    expect(await versions('s')).toEqual([
      { opened_with: 1, ran: 1 },
      { opened_with: 2, ran: 2 },
    ]);
    expect(await versions('r')).toEqual([{ opened_with: 1, ran: 1 }]);
  });

  test('is cancelled by DROP where it waits, and runs to its end where it runs; another schedule of the name is a new one', async () => {
    const engine = await start(newPath(), '12:00:00');
    await engine.run(
      takesMacro,
      "UPSERT SCHEDULE s ( sched: every 1m, overlap: queue, max_runs: 3, sql: $$ SELECT takes('10m') $$ )",
      `UPSERT SCHEDULE r ( run_at: '2026-11-20 12:01', retry_delay: 1h, retry_jitter: false, ${failing} )`,
      "UPSERT SCHEDULE follows ( after: s, sql: 'SELECT 1' )",
    );
    await until(engine, '12:05:00');
    await engine.run('DROP SCHEDULE follows, s, r');
    await engine.run("UPSERT SCHEDULE s ( sched: every 10m, max_runs: 1, sql: 'SELECT 2' )");
    await until(engine, '13:30:00');
    expect(await told(engine, 's')).toEqual([
      '12:01 succeeded 1 at 12:01:00',
      '12:02 cancelled 1 not begun: dropped',
      '12:03 cancelled 1 not begun: dropped',
      '12:10 succeeded 1 at 12:10:00',
    ]);
    expect(await told(engine, 'r')).toEqual([
      '12:01 failed 1 at 12:01:00: in schedule r: no answer; retry in 1h',
      '12:01 cancelled 2 not begun: dropped',
    ]);
    expect(await told(engine, 'follows')).toEqual([]);
    expect(await engine.value('SELECT count(*) FROM cuckoo_ledger.open_run')).toBe(0n);
  });
});

describe('PAUSE SCHEDULER', () => {
  test('lasts over a restart; its time leaves no row, what was open goes on when it is resumed, and schedules keep their own flag', async () => {
    const path = newPath();
    const before = await start(path, '12:00:00');
    await before.run(
      takesMacro,
      "UPSERT SCHEDULE s ( sched: every 1m, catchup: all, sql: 'SELECT 1' )",
      "UPSERT SCHEDULE off ( sched: every 1m, enabled: false, sql: 'SELECT 1' )",
      `UPSERT SCHEDULE r ( run_at: '2026-11-20 12:01', max_retries: 1, retry_delay: 5m, retry_jitter: false, ${failing} )`,
      "UPSERT SCHEDULE long ( run_at: '2026-11-20 12:02', sql: $$ SELECT takes('2m') $$ )",
    );
    await until(before, '12:02:30');
    await before.run('PAUSE SCHEDULER');
    // What runs goes on.
    await until(before, '12:05:00');
    expect(await told(before, 'long')).toEqual(['12:02 succeeded 1 at 12:02:00']);
    await before.close();
    const after = await start(path, '12:20:00');
    expect(after.engine.scheduler.mode).toBe('paused');
    await until(after, '12:30:30');
    await after.run('RESUME SCHEDULER');
    await until(after, '12:32:30');
    expect(await told(after, 's')).toEqual([
      '12:01 succeeded 1 at 12:01:00',
      '12:02 succeeded 1 at 12:02:00',
      '12:31 succeeded 1 at 12:31:00',
      '12:32 succeeded 1 at 12:32:00',
    ]);
    expect(await told(after, 'r')).toEqual([
      '12:01 failed 1 at 12:01:00: in schedule r: no answer; retry in 5m',
      '12:01 failed 2 at 12:30:30: in schedule r: no answer',
    ]);
    expect(await told(after, 'off')).toEqual([]);
    expect(await after.rows('SELECT name, enabled FROM cron.schedules ORDER BY name')).toEqual([
      { name: 'long', enabled: true },
      { name: 'off', enabled: false },
      { name: 'r', enabled: true },
      { name: 's', enabled: true },
    ]);
  });
});
