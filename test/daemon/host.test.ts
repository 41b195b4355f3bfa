// The scheduler of a shell, played: what the shell does with it. That a real one runs there is test/daemon/shell.test.ts's affair.

import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { Host, type HostedScheduler } from '../../src/daemon/host.ts';
import { KnownFile, Trust } from '../../src/daemon/trust.ts';
import { Events } from '../../src/scheduler/events.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import { type TestDatabase, test } from '../support/database.ts';

class Played implements HostedScheduler {
  readonly events = new Events();
  mode: HostedScheduler['mode'] = 'off';
  schedules = 0;
  atWork: string[] = [];
  starts: boolean[] = [];
  graces: number[] = [];
  /** What start() waits for. */
  loading: Promise<void> = Promise.resolve();
  #ended: () => void = () => {};

  allRunning(): Iterable<string> {
    return this.atWork;
  }

  async start({ held }: { held: boolean }): Promise<void> {
    this.starts.push(held);
    await this.loading;
    this.mode = held ? 'held' : 'running';
    if (!held) this.events.emit('scheduler:started', { schedules: this.schedules });
  }

  async release(): Promise<void> {
    this.mode = 'running';
    this.events.emit('scheduler:started', { schedules: this.schedules });
  }

  async stop({ graceMs }: { graceMs: number }): Promise<void> {
    this.graces.push(graceMs);
    if (graceMs === 0) this.#ended();
    else if (this.atWork.length > 0) {
      await new Promise<void>((resolve) => {
        this.#ended = resolve;
      });
    }
    this.mode = 'off';
  }

  finish(runId: string): void {
    this.atWork = this.atWork.filter((one) => one !== runId);
    this.events.emit('run:finished', {
      runId,
      schedule: 'x',
      scheduleId: 1,
      exe: 'sql',
      call: 'SELECT 1',
      trigger: 'cron',
      scheduledAt: 0,
      attempt: 1,
      state: 'succeeded',
      reason: null,
      final: true,
      result: null,
      rowsChanged: null,
      durationMs: 1,
    });
    if (this.atWork.length === 0) this.#ended();
  }
}

class Stage {
  readonly scheduler = new Played();
  readonly clock: VirtualClock;
  readonly known: KnownFile;
  readonly host: Host;
  readonly written: string[] = [];
  readonly said: string[] = [];
  #heard: () => void = () => {};

  constructor(db: TestDatabase, user = 'ada') {
    this.clock = new VirtualClock({ startAt: db.clock.now() });
    this.known = new KnownFile(db.engine, new Trust(join(db.folder, user, 'trust')));
    this.host = new Host({
      engine: db.engine,
      scheduler: this.scheduler,
      known: this.known,
      clock: this.clock,
      write: (line) => this.written.push(line),
      say: (line) => {
        this.said.push(line);
        this.#heard();
      },
    });
  }

  async hears(): Promise<void> {
    if (this.said.length > 0) return;
    await new Promise<void>((resolve) => {
      this.#heard = resolve;
    });
  }
}

const daily = "UPSERT SCHEDULE daily_backup ( sched: '12 15 * * *', sql: 'SELECT 1' )";

describe('a shell that begins', () => {
  test('says that its scheduler runs, and what is next', async ({ db }) => {
    const empty = new Stage(db);
    await empty.host.begin();
    expect(empty.written).toEqual(['scheduler running in this shell (no schedules yet)']);
    await db.run(daily, "UPSERT SCHEDULE weekly ( sched: '@weekly', sql: 'SELECT 1' )");
    const stage = new Stage(db);
    stage.known.vouchForAll();
    await stage.known.settled();
    stage.scheduler.schedules = 2;
    await stage.host.begin();
    expect(stage.scheduler.starts).toEqual([false]);
    expect(stage.written).toEqual(['scheduler running in this shell (2 schedules, next: daily_backup in 3h 12m)']);
  });

  test('says so too where the scheduler is paused', async ({ db }) => {
    const stage = new Stage(db);
    stage.scheduler.schedules = 1;
    stage.scheduler.start = async () => {
      stage.scheduler.mode = 'paused';
    };
    await stage.host.begin();
    expect(stage.written).toEqual(['scheduler paused, RESUME SCHEDULER; lets it go on (1 schedule)']);
  });

  test('holds the schedules of a stranger until RESUME SCHEDULER, and knows them from then on', async ({ db }) => {
    await db.run(daily);
    const stage = new Stage(db);
    stage.scheduler.schedules = 1;
    await stage.host.begin();
    expect(stage.scheduler.starts).toEqual([true]);
    expect(stage.written).toEqual([
      'this file has 1 schedule that you have not run before: daily_backup; nothing runs until RESUME SCHEDULER;',
    ]);
    await stage.scheduler.release();
    await stage.hears();
    expect(stage.said).toEqual(['scheduler running in this shell (1 schedule, next: daily_backup in 3h 12m)']);
    await stage.known.settled();
    const again = new Stage(db);
    await again.host.begin();
    expect(again.scheduler.starts).toEqual([false]);
    const bob = new Stage(db, 'bob');
    await bob.host.begin();
    expect(bob.scheduler.starts).toEqual([true]);
  });

  test('does not wait long for a scheduler that has much to read: it says so, and is told when it is there', async ({ db }) => {
    const stage = new Stage(db);
    let load = (): void => {};
    stage.scheduler.loading = new Promise((resolve) => {
      load = resolve;
    });
    const begun = stage.host.begin();
    expect(await stage.clock.runUntil(() => stage.written.length > 0, { withinMs: 60_000 })).toBe(true);
    await begun;
    expect(stage.written).toEqual(['the scheduler is starting']);
    load();
    await stage.hears();
    expect(stage.said).toEqual(['scheduler running in this shell (no schedules yet)']);
  });

  test('goes on where its scheduler cannot start', async ({ db }) => {
    const stage = new Stage(db);
    stage.scheduler.start = async () => {
      throw new Error('no ledger');
    };
    await expect(stage.host.begin()).rejects.toThrow('no ledger');
  });
});

describe('a shell that is left', () => {
  test('waits for what is at work, and says so', async ({ db }) => {
    const stage = new Stage(db);
    await stage.host.begin();
    stage.scheduler.atWork = ['a', 'b'];
    const ended = stage.host.end();
    expect(stage.written.slice(1)).toEqual(['waiting for 2 runs (Ctrl-C leaves at once)']);
    stage.scheduler.finish('a');
    stage.scheduler.finish('b');
    await ended;
    expect(stage.written).toHaveLength(2);
    expect(stage.scheduler.graces).toEqual([5000]);
  });

  test('has nothing to say where nothing is at work', async ({ db }) => {
    const stage = new Stage(db);
    await stage.host.begin();
    await stage.host.end();
    expect(stage.written).toHaveLength(1);
  });

  test('waits no longer after Ctrl-C, says what has not ended, and ends at once after the next', async ({ db }) => {
    const stage = new Stage(db);
    await stage.host.begin();
    stage.scheduler.atWork = ['a'];
    const ended = stage.host.end();
    expect(stage.host.hurry()).toBe(false);
    await ended;
    expect(stage.scheduler.graces).toEqual([5000, 0]);
    expect(stage.written.slice(1)).toEqual([
      'waiting for 1 run (Ctrl-C leaves at once)',
      '',
      '1 run did not end: rolled back, and begun anew when a scheduler runs again',
    ]);
    expect(stage.host.hurry()).toBe(true);
  });
});
