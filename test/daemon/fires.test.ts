import { afterEach, describe, expect, it } from 'vitest';
import { Fires, type FiresSetting } from '../../src/daemon/fires.ts';
import type { Notice } from '../../src/daemon/notice.ts';
import { Events } from '../../src/scheduler/events.ts';
import type { FinishedRun } from '../../src/scheduler/run.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';

class Desk {
  readonly events = new Events();
  readonly clock = new VirtualClock({ startAt: Date.parse('2026-11-20T01:00:00Z') });
  readonly fires: Fires;
  setting: FiresSetting = 'on';
  ready = true;
  columns: number | undefined;
  lines: string[] = [];
  told: Notice[] = [];
  #runs = 0;

  constructor({ color = false, zone = 'Europe/Berlin' }: { color?: boolean; zone?: string } = {}) {
    this.fires = new Fires({
      events: this.events,
      clock: this.clock,
      setting: () => this.setting,
      zone: () => zone,
      color,
      ready: () => this.ready,
      tell: (notices) => {
        this.told.push(...notices);
        this.lines.push(...notices.map((notice) => notice.line(notice.count, this.columns)));
      },
    });
  }

  run(schedule: string, more: Partial<FinishedRun> = {}): string {
    const runId = `run-${++this.#runs}`;
    this.events.emit('run:finished', {
      runId,
      scheduleId: 1,
      schedule,
      exe: 'sql',
      call: 'SELECT 1',
      trigger: 'cron',
      scheduledAt: this.clock.now(),
      attempt: 1,
      state: 'succeeded',
      reason: null,
      final: true,
      result: null,
      rowsChanged: null,
      durationMs: 1200,
      ...more,
    });
    return runId;
  }

  /** What was told since this was asked last. */
  take(): string[] {
    return this.lines.splice(0);
  }
}

const failed = { state: 'failed', reason: 'no such table; retry in 60s', final: false, durationMs: 12 } as const;

let desk: Desk;
afterEach(() => desk.fires.close());

describe('the line of a run', () => {
  it('says when, which, how it ended, how long it took, and why', () => {
    desk = new Desk();
    desk.run('daily_backup', { rowsChanged: 3 });
    desk.run('load', failed);
    desk.run('load', { attempt: 2, rowsChanged: 1, durationMs: 0 });
    desk.run('sync', { state: 'skipped', reason: 'the run before is still at work', durationMs: null });
    desk.run('report', { state: 'timed_out', reason: 'longer than 5m', durationMs: 300_000 });
    expect(desk.take()).toEqual([
      '02:00:00 daily_backup succeeded in 1.20 s (3 rows)',
      '02:00:00 load failed after 12 ms: no such table; retry in 60s',
      '02:00:00 load succeeded in 1 ms (1 row), attempt 2',
      '02:00:00 sync skipped: the run before is still at work',
      '02:00:00 report timed out after 5m 00s: longer than 5m',
    ]);
  });

  it('says for which instant, where that is not the present', () => {
    desk = new Desk();
    desk.run('daily_backup', { trigger: 'catchup', scheduledAt: Date.parse('2026-11-18T01:00:00Z') });
    desk.run('hourly', { trigger: 'catchup', scheduledAt: Date.parse('2026-11-20T00:00:00Z') });
    expect(desk.take()).toEqual([
      '02:00:00 daily_backup succeeded in 1.20 s, due Wed 18 Nov 02:00 CET',
      '02:00:00 hourly succeeded in 1.20 s, due 01:00:00',
    ]);
  });

  it('names what an action calls behind the schedule that calls it, and a pipeline run by hand by itself', () => {
    desk = new Desk();
    desk.run('load', { scheduleId: null, exe: 'procedure', call: 'tell' });
    desk.run('', { scheduleId: null, exe: 'pipeline', call: 'restock', ...failed, final: true, reason: 'no' });
    expect(desk.take()).toEqual(['02:00:00 load -> tell succeeded in 1.20 s', '02:00:00 restock failed after 12 ms: no']);
  });

  it('does not name the schedule twice', () => {
    desk = new Desk();
    desk.run('load', { ...failed, reason: 'in schedule load, column 13: no such table; retry in 60s' });
    desk.run('load', { ...failed, reason: 'in procedure load, column 13: no such table' });
    expect(desk.take()).toEqual([
      '02:00:00 load failed after 12 ms: no such table; retry in 60s',
      '02:00:00 load failed after 12 ms: in procedure load, column 13: no such table',
    ]);
  });

  it('keeps control characters of names and reasons away from the terminal', () => {
    desk = new Desk();
    desk.run('a\x1b[2Jb\u202e', { state: 'failed', reason: 'one\ntwo\x07\r' });
    expect(desk.take()).toEqual(['02:00:00 a\\u001b[2Jb\\u202e failed after 1.20 s: one\\ntwo\\u0007\\r']);
  });

  it('has one row of the terminal: the reason gives way, and not the next attempt', () => {
    desk = new Desk();
    desk.columns = 60;
    desk.run('load', { ...failed, reason: `Table with name ${'x'.repeat(100)} does not exist; retry in 60s` });
    desk.columns = 24;
    desk.run('東京の仕事東京の仕事東京の仕事', { rowsChanged: 3 });
    expect(desk.take()).toEqual(['02:00:00 load failed after 12 ms: Table with …; retry in 60s', '02:00:00 東京の仕事東京…']);
  });

  it('stands for several: the last of them, and how many', () => {
    desk = new Desk();
    desk.columns = 30;
    desk.run('heartbeat');
    expect(desk.told[0]?.line(14, 60)).toBe('02:00:00 heartbeat succeeded in 1.20 s  ×14');
    expect(desk.told[0]?.line(14, 30)).toBe('02:00:00 heartbeat succe…  ×14');
  });

  it('has its colours where there are any', () => {
    desk = new Desk({ color: true });
    desk.run('a', { durationMs: 5 });
    desk.run('b', { state: 'failed', reason: 'no', durationMs: 5 });
    expect(desk.take()).toEqual([
      '\x1b[2m02:00:00 \x1b[0ma \x1b[32msucceeded\x1b[0m in 5 ms',
      '\x1b[2m02:00:00 \x1b[0mb \x1b[31mfailed\x1b[0m after 5 ms: no',
    ]);
  });

  it('is told in UTC where the zone of the session is one that nobody else knows', () => {
    desk = new Desk({ zone: 'Mars/Olympus' });
    desk.run('a');
    desk.run('b', { trigger: 'catchup', scheduledAt: Date.parse('2026-11-19T01:00:00Z') });
    expect(desk.take()).toEqual(['01:00:00 a succeeded in 1.20 s', '01:00:00 b succeeded in 1.20 s, due Thu 19 Nov 01:00 UTC']);
  });
});

describe('many runs at once', () => {
  it('are five lines and a count, which names what failed', async () => {
    desk = new Desk();
    for (let at = 0; at < 42; at++) desk.run(`job${at}`, at === 20 || at === 30 ? failed : {});
    expect(desk.take()).toHaveLength(5);
    await desk.clock.advance(1000);
    expect(desk.take()).toEqual(['.. and 37 more runs (35 succeeded, 2 failed: job20, job30); .fires failures tells only failures']);
  });

  it('that go on are counted over longer and longer times, and short ones again when it is quiet', async () => {
    desk = new Desk();
    const lines: number[] = [];
    for (let second = 0; second < 60; second++) {
      for (let at = 0; at < 200; at++) desk.run(`job${at}`);
      await desk.clock.advance(1000);
      lines.push(desk.take().length);
    }
    expect(lines.slice(0, 8)).toEqual([6, 5, 1, 5, 0, 0, 1, 5]);
    expect(lines.slice(30).reduce((sum, count) => sum + count)).toBeLessThan(25);
    await desk.clock.advance(20_000);
    desk.take();
    desk.run('one');
    await desk.clock.advance(1000);
    for (let at = 0; at < 7; at++) desk.run(`job${at}`);
    await desk.clock.advance(1000);
    expect(desk.take().at(-1)).toBe('.. and 2 more runs (2 succeeded)');
  });

  it('one too many is a line like the others', async () => {
    desk = new Desk();
    for (let at = 0; at < 6; at++) desk.run(`job${at}`);
    await desk.clock.advance(1000);
    expect(desk.take().at(-1)).toBe('02:00:00 job5 succeeded in 1.20 s');
  });
});

describe('what happens while a statement runs', () => {
  it('is told at the next prompt, once for each schedule and end', async () => {
    desk = new Desk();
    desk.ready = false;
    for (let second = 0; second < 3; second++) {
      desk.run('heartbeat');
      if (second === 1) desk.run('load', failed);
      await desk.clock.advance(1000);
    }
    expect(desk.take()).toEqual([]);
    desk.ready = true;
    desk.fires.flush();
    expect(desk.take()).toEqual([
      '02:00:01 load failed after 12 ms: no such table; retry in 60s',
      '02:00:02 heartbeat succeeded in 1.20 s  ×3',
    ]);
    desk.fires.flush();
    expect(desk.take()).toEqual([]);
  });

  it('is bounded, and shows failures first', async () => {
    desk = new Desk();
    desk.ready = false;
    desk.run('broken', failed);
    for (let second = 0; second < 20; second++) for (let at = 0; at < 100; at++) desk.run(`job${at}`);
    desk.ready = true;
    desk.fires.flush();
    const lines = desk.take();
    expect(lines).toHaveLength(6);
    expect(lines[0]).toContain('broken failed');
    expect(lines[5]).toMatch(/^\.\. and 19\d\d more runs \(19\d\d succeeded\)/);
  });

  it('is not told again where the statement has told it: RUN SCHEDULE', () => {
    desk = new Desk();
    desk.ready = false;
    const before = desk.run('by_hand');
    desk.run('heartbeat');
    desk.fires.answered([before, 'run-3']);
    desk.run('by_hand');
    desk.ready = true;
    desk.fires.flush();
    expect(desk.take()).toEqual(['02:00:00 heartbeat succeeded in 1.20 s']);
  });

  it('is told although the prompt came back within a second of lines', async () => {
    desk = new Desk();
    desk.run('first');
    desk.ready = false;
    desk.run('second');
    desk.ready = true;
    await desk.clock.advance(1000);
    expect(desk.take()).toEqual(['02:00:00 first succeeded in 1.20 s', '02:00:00 second succeeded in 1.20 s']);
  });
});

describe('.fires', () => {
  it('failures: only those', () => {
    desk = new Desk();
    desk.setting = 'failures';
    desk.run('good');
    desk.run('late', { state: 'skipped', reason: 'missed' });
    desk.run('bad', failed);
    expect(desk.take()).toEqual(['02:00:00 bad failed after 12 ms: no such table; retry in 60s']);
  });

  it('off: no runs, and still what concerns the scheduler as a whole', () => {
    desk = new Desk();
    desk.setting = 'off';
    desk.run('bad', failed);
    desk.events.emit('schedule:disabled', { schedule: 'bad', reason: '5 failures in a row' });
    expect(desk.take()).toEqual(['02:00:00 bad has disabled itself: 5 failures in a row']);
  });
});

describe('what should be known besides', () => {
  it('is one line each, and what goes on is told once, until it is over', () => {
    desk = new Desk();
    const { events } = desk;
    const [now, watermark] = [desk.clock.now(), desk.clock.now() + 7_500_000];
    for (let time = 0; time < 3; time++) {
      events.emit('clock:behind', { now, watermark });
      events.emit('storage:low', { freeBytes: 12_345_678, neededBytes: 67_108_864 });
      events.emit('ledger:trouble', { during: 'tick', message: 'IO Error:\nno' });
      events.emit('schedule:unreadable', { schedule: 'odd', message: 'no zone Mars/Olympus' });
    }
    expect(desk.take()).toEqual([
      '02:00:00 the clock stands 2h5m behind what has been handled: nothing is opened until it is right, or has been so for 10 minutes',
      '02:00:00 the disk is nearly full (12 MB free, 67 MB needed): nothing is opened until there is room',
      '02:00:00 the scheduler has trouble with the file (tick) and tries again: IO Error:\\nno',
      '02:00:00 odd cannot be read and does not run: no zone Mars/Olympus',
    ]);
    events.emit('ledger:recovered', {});
    events.emit('ledger:recovered', {});
    events.emit('storage:enough', {});
    events.emit('clock:believed', { now, watermark });
    events.emit('storage:low', { freeBytes: 1_230_000_000, neededBytes: 5e9 });
    expect(desk.take()).toEqual([
      '02:00:00 the scheduler can use the file again',
      '02:00:00 the disk has room again: the scheduler goes on',
      '02:00:00 the clock is believed: the scheduler goes on',
      '02:00:00 the disk is nearly full (1.2 GB free, 5.0 GB needed): nothing is opened until there is room',
    ]);
  });

  it('waits for the prompt, with its own time; and nobody is told what they have just typed', async () => {
    desk = new Desk();
    desk.ready = false;
    desk.events.emit('scheduler:paused', { held: false });
    desk.events.emit('schedule:disabled', { schedule: 'a', reason: '1 failure' });
    await desk.clock.advance(60_000);
    desk.ready = true;
    desk.fires.flush();
    expect(desk.take()).toEqual(['02:00:00 a has disabled itself: 1 failure']);
    desk.events.emit('scheduler:paused', { held: true });
    desk.events.emit('scheduler:paused', { held: false });
    desk.events.emit('scheduler:resumed', {});
    expect(desk.take()).toEqual([
      '02:01:00 the scheduler is paused: nothing is opened until RESUME SCHEDULER;',
      '02:01:00 the scheduler goes on',
    ]);
  });
});
