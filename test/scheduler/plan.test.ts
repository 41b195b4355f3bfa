import { describe, expect, test } from 'vitest';
import { compile, parseCadence } from '../../src/scheduler/cadence/cadence.ts';
import { type Decision, type PlanInput, plan } from '../../src/scheduler/plan.ts';

const at = (text: string): number => new Date(`2026-11-20T${text}Z`).getTime();

function decide(cadence: string, input: Partial<PlanInput>): string[] {
  const timing = compile({
    cadences: [parseCadence(cadence, { zone: 'UTC' })],
    zone: 'UTC',
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'skip',
    jitterMs: 0,
    jitterKey: '',
  });
  const decisions = plan({
    timing,
    trigger: 'cron',
    effectiveFrom: 0,
    watermark: at('12:00:00'),
    now: at('12:00:01'),
    lateWithinMs: 60_000,
    catchup: 'latest',
    catchupLimit: 100,
    catchupWithinMs: 86_400_000,
    overlap: 'skip',
    overlapLimit: 100,
    inFlight: 0,
    firesLeft: Number.POSITIVE_INFINITY,
    ...input,
  });
  return decisions.map(show);
}

function show(decision: Decision): string {
  const time = (instant: number): string => new Date(instant).toISOString().slice(11, 19);
  if (decision.kind === 'open') return `open ${time(decision.scheduledAt)} ${decision.trigger}`;
  return `skip ${decision.fires ?? 'many'} ${time(decision.firstScheduledAt)}-${time(decision.scheduledAt)} ${decision.reason}`;
}

describe('what is due', () => {
  test('lies after the watermark and not after now', () => {
    expect(decide('* * * * *', { now: at('12:00:59') })).toEqual([]);
    expect(decide('* * * * *', { now: at('12:01:00') })).toEqual(['open 12:01:00 cron']);
    expect(decide('* * * * *', { watermark: at('12:01:00'), now: at('12:01:59') })).toEqual([]);
  });

  test('lies after the definition’s beginning', () => {
    expect(decide('* * * * *', { effectiveFrom: at('12:01:00'), now: at('12:01:30') })).toEqual([]);
    expect(decide('* * * * *', { effectiveFrom: at('12:00:59'), now: at('12:01:30') })).toEqual(['open 12:01:00 cron']);
  });

  test('is late within late_within, and runs under its own trigger', () => {
    expect(decide('* * * * *', { now: at('12:02:00') })).toEqual([
      'open 12:01:00 cron',
      'skip 1 12:02:00-12:02:00 overlap: the run before it has not finished',
    ]);
  });
});

describe('what was missed', () => {
  const gap = { watermark: at('09:00:00'), now: at('12:00:30') };
  test('latest opens the newest, and the rest is one row', () => {
    expect(decide('0 * * * *', { ...gap, lateWithinMs: 10_000 })).toEqual([
      'open 12:00:00 catchup',
      'skip 2 10:00:00-11:00:00 missed: no scheduler ran',
    ]);
  });

  test('none opens nothing, and everything is one row', () => {
    expect(decide('0 * * * *', { ...gap, lateWithinMs: 10_000, catchup: 'none' })).toEqual([
      'skip 3 10:00:00-12:00:00 missed: no scheduler ran',
    ]);
  });

  test('all opens those within its limit and its window, in nominal order', () => {
    expect(decide('0 * * * *', { ...gap, lateWithinMs: 10_000, catchup: 'all', catchupLimit: 2 })).toEqual([
      'open 11:00:00 catchup',
      'open 12:00:00 catchup',
      'skip 1 10:00:00-10:00:00 missed: no scheduler ran',
    ]);
    expect(decide('0 * * * *', { ...gap, lateWithinMs: 10_000, catchup: 'all', catchupWithinMs: 3_600_000 * 1.5 })).toEqual([
      'open 11:00:00 catchup',
      'open 12:00:00 catchup',
      'skip 1 10:00:00-10:00:00 missed: no scheduler ran',
    ]);
  });

  test('a live fire stands behind the caught up one', () => {
    expect(decide('0 * * * *', gap)).toEqual([
      'open 11:00:00 catchup',
      'open 12:00:00 cron',
      'skip 1 10:00:00-10:00:00 missed: no scheduler ran',
    ]);
  });

  test('a year of seconds is one row, counted as many, and found at once', () => {
    const began = performance.now();
    const decisions = decide('* * * * * *', {
      watermark: at('12:00:00') - 365 * 86_400_000,
      now: at('12:00:00'),
      lateWithinMs: 1000,
      overlap: 'allow',
    });
    expect(decisions).toEqual([
      'open 11:59:58 catchup',
      'open 11:59:59 cron',
      'open 12:00:00 cron',
      'skip many 12:00:01-11:59:57 missed: no scheduler ran',
    ]);
    // Generous: a walk through 31 million instants would take many seconds.
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

describe('overlap', () => {
  test('skip refuses while one is in flight; allow never does', () => {
    const due = { now: at('12:01:00'), inFlight: 1 };
    expect(decide('* * * * *', due)).toEqual(['skip 1 12:01:00-12:01:00 overlap: the run before it has not finished']);
    expect(decide('* * * * *', { ...due, overlap: 'allow' })).toEqual(['open 12:01:00 cron']);
  });

  test('queue lets as many wait as its limit says', () => {
    const due = { now: at('12:01:00'), overlap: 'queue', overlapLimit: 2 } as const;
    expect(decide('* * * * *', { ...due, inFlight: 2 })).toEqual(['open 12:01:00 cron']);
    expect(decide('* * * * *', { ...due, inFlight: 3 })).toEqual(['skip 1 12:01:00-12:01:00 overlap: 2 runs wait already']);
  });
});

test('max_runs ends the fires without a row', () => {
  expect(decide('* * * * * *', { now: at('12:00:03'), overlap: 'allow', firesLeft: 2 })).toEqual([
    'open 12:00:01 cron',
    'open 12:00:02 cron',
  ]);
});
