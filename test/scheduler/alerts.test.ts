import { describe, expect, test } from 'vitest';
import { type AlertChange, type AlertFacts, alertsOf, type RunAtWork } from '../../src/scheduler/alerts.ts';
import type { Alert, AlertThresholds } from '../../src/scheduler/ports.ts';

const thresholds: AlertThresholds = { failures: 3, backlog: 1000, slowness: 2, busyMs: 300_000 };
const quiet: AlertFacts = { failing: [], isComplete: false, running: [], waiting: 0, busySince: null };
const noon = Date.parse('2026-11-20T12:00:00Z');

/** Alerts as the loop keeps them: what is raised is open until it is cleared. */
class Watch {
  open: readonly Alert[] = [];
  thresholds = thresholds;
  #ids = 0;

  see(facts: Partial<AlertFacts>, now = noon): AlertChange {
    const change = alertsOf({ ...quiet, ...facts }, this.thresholds, this.open, now, () => `alert-${++this.#ids}`);
    const ended = new Set(change.clear.map(({ alertId }) => alertId));
    this.open = [...this.open.filter(({ alertId }) => !ended.has(alertId)), ...change.raise];
    return change;
  }

  fails(failures: number, schedule = 'load'): AlertChange {
    return this.see({ failing: [{ schedule, consecutiveFailures: failures, runId: 'run', message: 'no such table' }] });
  }
}

const nothing: AlertChange = { raise: [], clear: [] };

describe('failures', () => {
  test('are told at the third in a row, once, and end with a success', () => {
    const watch = new Watch();
    expect(watch.fails(2)).toEqual(nothing);
    expect(watch.fails(3).raise).toEqual([
      {
        alertId: 'alert-1',
        rule: 'failures',
        schedule: 'load',
        runId: 'run',
        since: noon,
        endedAt: null,
        detail: '3 runs failed in a row; the last: no such table',
      },
    ]);
    expect(watch.fails(4)).toEqual(nothing);
    expect(watch.fails(0).clear).toMatchObject([{ alertId: 'alert-1', endedAt: noon }]);
    expect(watch.fails(3).raise).toMatchObject([{ alertId: 'alert-2' }]);
  });

  test('of one schedule are nothing to another, and silence changes nothing', () => {
    const watch = new Watch();
    watch.fails(3, 'load');
    expect(watch.fails(3, 'sync').raise).toMatchObject([{ schedule: 'sync' }]);
    expect(watch.see({})).toEqual(nothing);
    expect(watch.open).toHaveLength(2);
  });

  test('of a schedule that is gone end where all streaks are told', () => {
    const watch = new Watch();
    watch.fails(3, 'load');
    watch.fails(3, 'dropped');
    const { clear } = watch.see({ failing: [{ schedule: 'load', consecutiveFailures: 3 }], isComplete: true });
    expect(clear.map(({ schedule }) => schedule)).toEqual(['dropped']);
  });

  test('of one schedule that closed twice count as they stand at last', () => {
    const watch = new Watch();
    const { raise } = watch.see({
      failing: [
        { schedule: 'load', consecutiveFailures: 3 },
        { schedule: 'load', consecutiveFailures: 0 },
      ],
    });
    expect(raise).toEqual([]);
  });
});

describe('a slow run', () => {
  const run: RunAtWork = { runId: 'r1', schedule: 'load', startedAt: noon, timeoutMs: null, usualMs: 20_000 };

  test('is one at work for more than twice what is usual, until it ends', () => {
    const watch = new Watch();
    expect(watch.see({ running: [run] }, noon + 39_999)).toEqual(nothing);
    expect(watch.see({ running: [run] }, noon + 41_000).raise).toMatchObject([
      { rule: 'slow', schedule: 'load', runId: 'r1', since: noon + 40_000, detail: 'at work for longer than 2 times its usual 20s' },
    ]);
    expect(watch.see({ running: [run] }, noon + 50_000)).toEqual(nothing);
    expect(watch.see({ running: [] }, noon + 60_000).clear).toMatchObject([{ runId: 'r1', endedAt: noon + 60_000 }]);
  });

  test('is none under ten seconds, whatever is usual', () => {
    const watch = new Watch();
    const short = { ...run, usualMs: 5 };
    expect(watch.see({ running: [short] }, noon + 9999)).toEqual(nothing);
    expect(watch.see({ running: [short] }, noon + 10_000).raise).toMatchObject([
      { detail: 'at work for longer than 2 times its usual 5ms' },
    ]);
  });

  test('is none where nobody knows what is usual and no timeout is set', () => {
    expect(new Watch().see({ running: [{ ...run, usualMs: null }] }, noon + 86_400_000)).toEqual(nothing);
  });

  test('is one that outlives its timeout, if that is less than twice what is usual', () => {
    const watch = new Watch();
    const bounded = { ...run, timeoutMs: 30_000 };
    expect(watch.see({ running: [bounded] }, noon + 31_000)).toEqual(nothing);
    expect(watch.see({ running: [bounded] }, noon + 35_000).raise).toMatchObject([
      { detail: 'at work for longer than its timeout of 30s', since: noon + 35_000 },
    ]);
    expect(new Watch().see({ running: [{ ...bounded, timeoutMs: 600_000 }] }, noon + 40_000).raise).toMatchObject([
      { detail: 'at work for longer than 2 times its usual 20s' },
    ]);
  });
});

describe('a backlog', () => {
  test('is more than the threshold, and ends when half of it is left', () => {
    const watch = new Watch();
    expect(watch.see({ waiting: 1000 })).toEqual(nothing);
    expect(watch.see({ waiting: 1001 }).raise).toMatchObject([
      { rule: 'backlog', schedule: null, detail: '1001 runs wait, more than 1000' },
    ]);
    for (const waiting of [999, 5000, 501]) expect(watch.see({ waiting })).toEqual(nothing);
    expect(watch.see({ waiting: 500 }).clear).toMatchObject([{ rule: 'backlog' }]);
  });
});

describe('busy workers', () => {
  test('are told after five minutes without an idle one, and end with the first', () => {
    const watch = new Watch();
    expect(watch.see({ busySince: noon, waiting: 7 }, noon + 299_999)).toEqual(nothing);
    expect(watch.see({ busySince: noon, waiting: 7 }, noon + 300_000).raise).toMatchObject([
      { rule: 'busy', since: noon, detail: 'no worker has been idle for 5m, and 7 runs wait' },
    ]);
    expect(watch.see({ busySince: noon, waiting: 1 }, noon + 400_000)).toEqual(nothing);
    expect(watch.see({ busySince: null }, noon + 500_000).clear).toMatchObject([{ rule: 'busy' }]);
  });
});

test('a rule that is switched off raises nothing, and what it had raised ends', () => {
  const watch = new Watch();
  const broken: Partial<AlertFacts> = {
    failing: [{ schedule: 'load', consecutiveFailures: 9 }],
    running: [{ runId: 'r1', schedule: 'load', startedAt: noon - 3_600_000, timeoutMs: 1000, usualMs: 1000 }],
    waiting: 5000,
    busySince: noon - 3_600_000,
  };
  expect(watch.see(broken).raise.map(({ rule }) => rule)).toEqual(['failures', 'slow', 'backlog', 'busy']);
  watch.thresholds = { failures: 0, backlog: 0, slowness: 0, busyMs: 0 };
  expect(watch.see({ ...broken, failing: [] }).clear.map(({ rule }) => rule)).toEqual(['failures', 'slow', 'backlog', 'busy']);
  expect(watch.see(broken)).toEqual(nothing);
});

test('costs what is new, not what is open: ten thousand failing schedules hold no close up', () => {
  const open: Alert[] = Array.from({ length: 10_000 }, (_, at) => ({
    alertId: String(at),
    rule: 'failures',
    schedule: `s${at}`,
    runId: null,
    since: noon,
    endedAt: null,
    detail: '',
  }));
  // Counted instead of timed: the list is walked when it is new, and not again.
  let reads = 0;
  const counted = new Proxy(open, {
    get(target, key, receiver) {
      reads += 1;
      return Reflect.get(target, key, receiver);
    },
  });
  const look = (): AlertChange => alertsOf(quiet, thresholds, counted, noon, () => 'new');
  look();
  const first = reads;
  for (let time = 0; time < 100; time++) look();
  expect(first).toBeGreaterThan(10_000);
  expect(reads).toBe(first);
});
