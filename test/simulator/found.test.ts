// What seeds have found, told as stories: each was a bug once.

import { describe, expect, test } from 'vitest';
import { openedRun, refusedClosing } from '../../src/scheduler/opening.ts';
import { noCounters } from '../../src/scheduler/run.ts';
import { at, failed, Stage, succeeded } from './stage.ts';

describe('what the simulator has found', () => {
  test('an instant is not lost when the ledger fails while a tick is put together', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('long', 'every 10s', { overlap: 'replace' });
    stage.define('other', 'every 10s');
    stage.work = async (_work, signal) => {
      await Promise.race([stage.clock.sleep(15_000), new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      return succeeded;
    };
    await stage.scheduler().start();
    let failures = 0;
    stage.before = (call) => {
      if (call !== 'openRunsOf' || failures > 0) return Promise.resolve();
      failures += 1;
      return Promise.reject(new Error('planted'));
    };
    await stage.clock.advance(25_000);
    expect(failures).toBe(1);
    expect(stage.started.filter((run) => run.startsWith('other'))).toEqual(['other 12:00:10', 'other 12:00:20']);
  });

  test('what kills a process begins durably after a restart, also while the ledger is slow', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('parent', 'every 10s', { retry: { maxRetries: 0, backoff: 'fixed', maxDelayMs: 0, jitter: false }, onCrash: 'fail' });
    stage.define('child', undefined, { after: ['parent'], afterState: 'failure' });
    stage.define('killer', 'every 10s', { onCrash: 'fail' });
    // The parent began durably and the killer did not when the process died.
    stage.work = async ({ run, begin }) => {
      if (run.schedule === 'parent') await begin();
      return new Promise(() => {});
    };
    await stage.scheduler().start();
    await stage.clock.advance(15_000);
    stage.before = async (call) => {
      if (call === 'waiting') await stage.clock.sleep(500);
    };
    let begun = false;
    stage.work = async ({ run }) => {
      if (run.schedule === 'killer')
        begun = (await stage.ledger.load(new AbortController().signal)).begun.some((dead) => dead.run.runId === run.runId);
      return succeeded;
    };
    await stage.restart({ forMs: 2000 });
    expect(stage.started).toContain('killer 12:00:10');
    expect(begun).toBe(true);
  });

  test('a retry that waits for its time is not forgotten over a restart', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('once', "at '2027-06-15 12:00:10'", {
      retry: { maxRetries: 1, delayMs: 600_000, backoff: 'fixed', maxDelayMs: 3_600_000, jitter: false },
    });
    stage.work = () => Promise.resolve(failed);
    await stage.scheduler().start();
    await stage.clock.advance(20_000);
    stage.work = () => Promise.resolve(succeeded);
    await stage.restart({ forMs: 700_000 });
    expect(stage.history).toEqual(['once 12:00:10 failed', 'once 12:00:10 succeeded']);
  });

  test('a run that is cancelled while its opening waits for its answer does not begin, and counts once', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('often', 'every 10s', { overlap: 'skip' });
    stage.after = async (call) => {
      if (call === 'tick') await stage.clock.sleep(500);
    };
    const scheduler = stage.scheduler();
    await scheduler.start();
    await stage.clock.advance(10_100);
    const [opened] = stage.ledger.openRuns;
    expect(await scheduler.cancel(opened!.runId, 'by hand')).toBe(true);
    // Whoever runs from now on is still there when the next is due.
    stage.work = async () => {
      await stage.clock.sleep(15_000);
      return succeeded;
    };
    await stage.clock.advance(39_000);
    expect(stage.started).toEqual(['often 12:00:20', 'often 12:00:40']);
    expect(stage.history).toEqual(['often 12:00:10 cancelled', 'often 12:00:30 skipped', 'often 12:00:20 succeeded']);
  });

  test('what fails just when it is replaced is not tried again beside its successor', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('fresh', 'every 10s', {
      overlap: 'replace',
      retry: { maxRetries: 1, delayMs: 5000, backoff: 'fixed', maxDelayMs: 5000, jitter: false },
    });
    // It fails while the tick that replaces it is on its way.
    stage.work = async ({ run }) => {
      await stage.clock.sleep(run.scheduledAt === at('12:00:10') ? 10_100 : 60_000);
      return run.scheduledAt === at('12:00:10') ? failed : succeeded;
    };
    stage.before = async (call) => {
      if (call === 'tick') await stage.clock.sleep(200);
    };
    await stage.scheduler().start();
    await stage.clock.advance(28_000);
    expect(stage.started).toEqual(['fresh 12:00:10', 'fresh 12:00:20']);
    expect(stage.history).toEqual(['fresh 12:00:10 failed', 'fresh 12:00:10 cancelled']);
  });

  test('what was dropped is not opened again when the ledger could not be read after the drop', async () => {
    const stage = new Stage(at('12:00:00'));
    const dropped = stage.define('dropped', 'every 10s');
    const scheduler = stage.scheduler();
    await scheduler.start();
    await stage.clock.advance(11_000);
    let fails = true;
    stage.before = (call) => (call === 'changes' && fails ? Promise.reject(new Error('planted')) : Promise.resolve());
    await scheduler.change(() => Promise.resolve(stage.ledger.drop(dropped.scheduleId)));
    await stage.clock.advance(0);
    stage.clock.jump(9500);
    fails = false;
    const opened: string[] = [];
    scheduler.events.on('run:opened', ({ schedule }) => opened.push(schedule));
    await scheduler.change(() => Promise.resolve());
    expect(opened).toEqual([]);
  });

  test('paused time is not made up for, whatever fails when the scheduler resumes', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('often', 'every 10s', { catchup: 'all' });
    const scheduler = stage.scheduler();
    await scheduler.start();
    await stage.clock.advance(11_000);
    await scheduler.change(() => Promise.resolve(stage.ledger.pause(stage.clock.now())));
    await stage.clock.advance(600_000);
    let failures = 0;
    stage.before = (call) => {
      if (call !== 'changes' || failures > 0) return Promise.resolve();
      failures += 1;
      return Promise.reject(new Error('planted'));
    };
    await scheduler.change(() => Promise.resolve(stage.ledger.pause(null)));
    await stage.clock.advance(12_000);
    expect(failures).toBe(1);
    expect(stage.history).toEqual(['often 12:00:10 succeeded', 'often 12:10:20 succeeded']);
  });

  test('the new definition is not asked about the time of the old one after a crash', async () => {
    const stage = new Stage(at('12:00:00'));
    const spent = stage.define('spent', 'every 10s', { maxRuns: 1 });
    const scheduler = stage.scheduler();
    await scheduler.start();
    await stage.clock.advance(55_000);
    const { maxRuns: _maxRuns, ...endless } = spent.policy;
    await scheduler.change(() => Promise.resolve(stage.ledger.define({ ...spent, version: 2, policy: endless })));
    await stage.restart({ forMs: 6000 });
    expect(stage.history).toEqual(['spent 12:00:10 succeeded', 'spent 12:01:00 succeeded']);
  });

  test('a clock that goes back a year does not stop the others beside a long run that was open at a crash', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('long', "at '2027-06-15 12:00:10'");
    stage.work = () => new Promise(() => {});
    await stage.scheduler().start();
    await stage.clock.advance(11_000);
    const restarted = stage.scheduler();
    void restarted.start();
    await stage.clock.advance(100);
    stage.clock.jump(-365 * 86_400_000);
    stage.define('other', 'every 10s');
    await restarted.change(() => Promise.resolve());
    await stage.clock.advance(660_000);
    expect(stage.started.filter((run) => run.startsWith('other')).length).toBeGreaterThan(0);
  });

  test('failures that end together are counted one by one', async () => {
    const stage = new Stage(at('12:00:00'));
    const parallel = stage.define('parallel', 'every 10s', { disableAfterFailures: 4 });
    // Four that run side by side fail in the same moment.
    stage.work = async ({ run }) => {
      await stage.clock.sleep(at('12:00:45') - run.scheduledAt);
      return failed;
    };
    await stage.scheduler().start();
    stage.before = async (call) => {
      if (call === 'write') await stage.clock.sleep(100);
    };
    await stage.clock.advance(49_000);
    expect(stage.history.filter((run) => run.endsWith('failed'))).toHaveLength(4);
    expect(stage.ledger.definition(parallel.scheduleId)?.enabled).toBe(false);
  });

  test('what was replaced when the process died does not run again beside its successor', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('fresh', 'every 10s', { overlap: 'replace' });
    // It does not heed that it is asked to end.
    stage.work = () => new Promise(() => {});
    await stage.scheduler().start();
    await stage.clock.advance(21_000);
    stage.work = () => Promise.resolve(succeeded);
    await stage.restart({ forMs: 5000 });
    expect(stage.history).toEqual(['fresh 12:00:10 cancelled', 'fresh 12:00:20 succeeded']);
  });

  test('a scheduler that stopped and started again in one process is charged with what kills it', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('killer', "at '2027-06-15 12:00:10'", { onCrash: 'fail' });
    const scheduler = stage.scheduler();
    await scheduler.start();
    await scheduler.stop({ graceMs: 0 });
    await scheduler.start();
    stage.work = async ({ begin }) => {
      await begin();
      return new Promise(() => {});
    };
    await stage.clock.advance(11_000);
    await stage.restart({ forMs: 1000 });
    expect(stage.started).toEqual(['killer 12:00:10']);
    expect(stage.history).toEqual(['killer 12:00:10 interrupted']);
  });

  test('nothing is opened by a tick that waited while the scheduler was paused', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('often', 'every 10s');
    const scheduler = stage.scheduler();
    await scheduler.start();
    await stage.clock.advance(9990);
    // The statement is on its way when the instant comes.
    const paused = scheduler.change(async () => {
      await stage.clock.sleep(100);
      stage.ledger.pause(at('12:00:09'));
    });
    await stage.clock.advance(60_000);
    await paused;
    expect(stage.started).toEqual([]);
    expect(stage.ledger.openRuns).toEqual([]);
  });

  test('a retry waits for its time also when the clock was set back a moment ago', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('once', "at '2027-06-15 12:00:10'", {
      retry: { maxRetries: 1, delayMs: 60_000, backoff: 'fixed', maxDelayMs: 60_000, jitter: false },
    });
    stage.work = async () => {
      await stage.clock.sleep(1000);
      stage.clock.jump(-300_000);
      return failed;
    };
    await stage.scheduler().start();
    await stage.clock.advance(50_000);
    expect(stage.started).toEqual(['once 12:00:10']);
  });

  test('a queue’s rate holds when a clock that was set back is believed', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.ledger.defineQueue({ name: 'default', weight: 1, concurrency: null, rate: { count: 1, perMs: 1_800_000 }, paused: false });
    stage.define('often', 'every 10s');
    await stage.scheduler().start();
    await stage.clock.advance(60_000);
    stage.clock.jump(-3_600_000);
    await stage.clock.advance(1_000_000);
    expect(stage.started).toEqual(['often 12:00:10']);
  });

  test('whoever waits for a run hears that it was dropped', async () => {
    const stage = new Stage(at('12:00:00'));
    const definition = stage.define('dropped', undefined);
    const scheduler = stage.scheduler();
    await scheduler.start();
    stage.ledger.defineQueue({ name: 'default', weight: 1, concurrency: null, rate: null, paused: true });
    await scheduler.change(() => Promise.resolve());
    const run = openedRun(definition, { runId: 'h1', trigger: 'manual', scheduledAt: at('12:00:00'), openedAt: at('12:00:00') });
    const finished = scheduler.finished('h1');
    await scheduler.byHand([run]);
    await scheduler.change(async () => {
      stage.ledger.drop(definition.scheduleId);
      const closing = refusedClosing(run, 'cancelled', 'dropped', at('12:00:00'), noCounters);
      await stage.ledger.write([[{ kind: 'close', closing }]], new AbortController().signal);
    });
    expect(await finished).toMatchObject({ runId: 'h1', state: 'cancelled', reason: 'dropped' });
  });

  test('a run that ends while the tick that replaces it waits for its answer is counted once', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('fresh', 'every 10s', { overlap: 'replace' });
    stage.define('busy', "at '2027-06-15 12:00:05'");
    stage.ledger.set({ workers: 1 });
    stage.work = async ({ run }) => {
      if (run.schedule === 'busy') await stage.clock.sleep(14_800);
      return { ...succeeded, state: 'skipped', reason: 'when' };
    };
    stage.after = async (call) => {
      if (call === 'tick') await stage.clock.sleep(300);
    };
    await stage.scheduler().start();
    // The worker is free while the tick of 12:00:20 has replaced 12:00:10 and does not know it yet.
    await stage.clock.advance(21_000);
    stage.work = async (_work, signal) => {
      await Promise.race([stage.clock.sleep(60_000), new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      return { ...succeeded, state: 'cancelled', reason: 'replaced' };
    };
    await stage.clock.advance(20_000);
    expect(stage.history.filter((run) => run.startsWith('fresh'))).toEqual([
      'fresh 12:00:10 cancelled',
      'fresh 12:00:20 skipped',
      'fresh 12:00:30 cancelled',
    ]);
  });

  test('a schedule whose zone does not exist does not keep the scheduler from starting', async () => {
    const stage = new Stage(at('12:00:00'));
    const poisoned = stage.define('poisoned', '@reboot');
    const timing = { ...poisoned.timing!, zone: 'Nowhere/Land', calendar: { weekend: [0], holidays: [] } };
    stage.ledger.define({ ...poisoned, version: 2, timing });
    stage.define('other', 'every 10s');
    const scheduler = stage.scheduler();
    await scheduler.start();
    await stage.clock.advance(11_000);
    expect(scheduler.unreadable.map(({ schedule }) => schedule)).toEqual(['poisoned']);
    expect(stage.started).toEqual(['other 12:00:10']);
  });

  test('a follower that replaces opens also when the ledger fails while it is decided', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('parent', 'every 10s');
    stage.define('child', undefined, { after: ['parent'], overlap: 'replace' });
    stage.work = async ({ run }, signal) => {
      if (run.schedule === 'child')
        await Promise.race([stage.clock.sleep(60_000), new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      return signal.aborted ? { ...succeeded, state: 'cancelled', reason: 'replaced' } : succeeded;
    };
    await stage.scheduler().start();
    let failures = 0;
    stage.before = (call) => {
      if (call !== 'openRunsOf' || failures > 0) return Promise.resolve();
      failures += 1;
      return Promise.reject(new Error('planted'));
    };
    await stage.clock.advance(25_000);
    expect(failures).toBe(1);
    expect(stage.started).toEqual(['parent 12:00:10', 'child 12:00:10', 'parent 12:00:20', 'child 12:00:20']);
  });

  test('everything is on time with the shortest check_interval too', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.ledger.set({ checkIntervalMs: 1000 });
    stage.define('often', 'every 5s');
    stage.clock.jump(300);
    const opened: number[] = [];
    const scheduler = stage.scheduler();
    scheduler.events.on('run:opened', ({ scheduledAt, openedAt }) => opened.push(openedAt - scheduledAt));
    await scheduler.start();
    await stage.clock.advance(11_000);
    expect(opened).toEqual([0, 0]);
  });

  test('a backfill runs so many at once as it says also where no loop runs', async () => {
    const stage = new Stage(at('12:00:00'));
    const definition = stage.define('slow', undefined);
    let atWork = 0;
    let most = 0;
    stage.work = async () => {
      atWork += 1;
      most = Math.max(most, atWork);
      await stage.clock.sleep(1000);
      atWork -= 1;
      return succeeded;
    };
    const group = { key: 'backfill:1', limit: 2 };
    const runs = [1, 2, 3, 4, 5].map((day) =>
      openedRun(definition, {
        runId: `h${day}`,
        trigger: 'backfill',
        scheduledAt: at('12:00:00') - day * 86_400_000,
        openedAt: at('12:00:00'),
        group,
      }),
    );
    await stage.scheduler().byHand(runs);
    await stage.clock.advance(5000);
    expect(stage.history).toHaveLength(5);
    expect(most).toBe(2);
  });

  test('a clock that reads as it did at an earlier start gives no instant a second run', async () => {
    const stage = new Stage(at('12:00:00'));
    stage.define('first', '@reboot');
    const scheduler = stage.scheduler();
    const opened: number[] = [];
    scheduler.events.on('run:opened', ({ scheduledAt }) => opened.push(scheduledAt - at('12:00:00')));
    await scheduler.start();
    await stage.clock.advance(1000);
    await scheduler.stop({ graceMs: 0 });
    stage.clock.jump(-1000 - (stage.clock.now() - at('12:00:01')));
    expect(stage.clock.now()).toBe(at('12:00:00'));
    await scheduler.start();
    await stage.clock.advance(1000);
    expect(opened).toEqual([0, 1]);
  });
});
