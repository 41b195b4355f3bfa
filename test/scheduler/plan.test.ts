import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CompiledTiming, compile, parseCadence, type Timing } from '../../src/scheduler/cadence/cadence.ts';
import { type Decision, type Moment, overlapRefusal, type Plan, type Planned, planTick, positionAfter } from '../../src/scheduler/plan.ts';
import type { Tick } from '../../src/scheduler/ports.ts';
import { Slots } from '../../src/scheduler/slots.ts';

/** Of 2026-11-20, a Friday. */
const at = (text: string): number => Date.parse(text.includes('T') ? `${text}Z` : `2026-11-20T${text}Z`);
const secondMs = 1000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const plainWeek = { weekend: [0, 6], holidays: [] };

function timing(cadences: string | readonly string[], options: Partial<Timing> = {}): CompiledTiming {
  const zone = options.zone ?? 'UTC';
  return compile({
    cadences: [cadences].flat().map((cadence) => parseCadence(cadence, { zone })),
    zone,
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'skip',
    jitterMs: 0,
    jitterKey: 'name',
    ...options,
  });
}

type Options = Partial<Omit<Planned, 'policy' | 'timing'>> & Partial<Planned['policy']>;

function planned(cadences: string | readonly string[] | CompiledTiming, options: Options = {}): Planned {
  const { overlap = 'skip', overlapLimit = 100, catchupLimit = 100, catchupWithinMs = dayMs, ...rest } = options;
  return {
    timing: typeof cadences === 'string' || Array.isArray(cadences) ? timing(cadences) : (cadences as CompiledTiming),
    trigger: 'cron',
    effectiveFrom: 0,
    catchup: 'latest',
    inFlight: { live: 0, catchup: 0 },
    firesLeft: Number.POSITIVE_INFINITY,
    ...rest,
    policy: { overlap, overlapLimit, catchupLimit, catchupWithinMs },
  };
}

const tickAt = (watermark: number, more: Partial<Tick> = {}): Tick => ({
  seq: 1,
  watermark,
  partly: null,
  gap: null,
  replayUntil: null,
  ...more,
});

/** A scheduler around the planner, as small as can be: what a slice decides is true as soon as it is planned. */
class World {
  readonly schedules: Map<number, Planned>;
  readonly decided: { scheduleId: number; decision: Decision }[] = [];
  readonly slots = new Slots();
  tick: Tick;

  constructor(watermark: number | Tick, schedules: readonly (Planned | undefined)[]) {
    this.tick = typeof watermark === 'number' ? tickAt(watermark) : watermark;
    this.schedules = new Map(schedules.flatMap((schedule, index) => (schedule === undefined ? [] : [[index + 1, schedule]])));
    this.restart();
  }

  /** Whatever was in memory is gone; the tick's row is there. */
  restart(): void {
    for (const [id, { timing }] of this.schedules) this.slots.arm(id, positionAfter(timing, this.tick, id));
  }

  slice(now: number, moment: Partial<Moment> = {}): Plan {
    const always = { tick: this.tick, now, bootAt: 0, lateWithinMs: minuteMs, enough: () => false };
    const plan = planTick(this.slots, { ...always, ...moment }, (id) => {
      const schedule = this.schedules.get(id);
      if (schedule === undefined) throw new Error(`no schedule ${id}`);
      return schedule;
    });
    this.tick = plan.tick;
    for (const { scheduleId, decision } of plan.decisions) {
      this.decided.push({ scheduleId, decision });
      const schedule = this.schedules.get(scheduleId)!;
      if (decision.kind === 'skip') continue;
      const { live, catchup } = schedule.inFlight;
      const inFlight = decision.trigger === 'catchup' ? { live, catchup: catchup + 1 } : { live: live + 1, catchup };
      this.schedules.set(scheduleId, { ...schedule, inFlight, firesLeft: schedule.firesLeft - 1 });
    }
    return plan;
  }

  /** Slice after slice; false: stopped before the end. */
  run(now: number, moment: Partial<Moment> & { slices?: number } = {}): boolean {
    const { slices = Number.POSITIVE_INFINITY, ...rest } = moment;
    for (let slice = 0; slice < slices; slice++) if (this.slice(now, rest).done) return true;
    return false;
  }

  shown(scheduleId?: number): string[] {
    return this.decided.filter((one) => scheduleId === undefined || one.scheduleId === scheduleId).map(({ decision }) => show(decision));
  }
}

const clockOf = (instant: number): string => {
  const text = new Date(instant).toISOString();
  return text.startsWith('2026-11-20') ? text.slice(11, 19) : text.slice(5, 19);
};

function show(decision: Decision): string {
  if (decision.kind === 'open') {
    return `open ${clockOf(decision.scheduledAt)} ${decision.trigger}${decision.replaces === true ? ' replaces' : ''}`;
  }
  return `skip ${decision.fires ?? 'many'} ${clockOf(decision.firstScheduledAt)}-${clockOf(decision.scheduledAt)} ${shortReason(decision.reason)}`;
}

/** Without what `catchup` took, which has a test of its own. */
const shortReason = (reason: string): string => reason.replace(/; catchup: .*/, '');

function decide(schedule: Planned, from: string, to: string, moment: Partial<Moment> = {}): string[] {
  const world = new World(at(from), [schedule]);
  expect(world.run(at(to), moment)).toBe(true);
  return world.shown();
}

describe('what is due', () => {
  const minutely = planned('* * * * *');

  test('lies after the watermark and not after now', () => {
    expect(decide(minutely, '12:00:00', '12:00:59')).toEqual([]);
    expect(decide(minutely, '12:00:00', '12:01:00')).toEqual(['open 12:01:00 cron']);
    expect(decide(minutely, '12:01:00', '12:01:59')).toEqual([]);
  });

  test('lies after the definition’s beginning', () => {
    const from = (effectiveFrom: string) => planned('* * * * *', { effectiveFrom: at(effectiveFrom) });
    expect(decide(from('12:01:00'), '12:00:00', '12:01:30')).toEqual([]);
    expect(decide(from('12:00:59'), '12:00:00', '12:01:30')).toEqual(['open 12:01:00 cron']);
    expect(decide(from('12:05:00'), '12:00:00', '12:06:00', { bootAt: at('12:06:00') })).toEqual(['open 12:06:00 catchup']);
  });

  test('has a nominal time after the definition’s beginning too: jitter does not make an old instant new', () => {
    const jittered = timing('* * * * *', { jitterMs: 50 * secondMs });
    const due = jittered.nextMs(at('12:00:00'));
    expect(due).toBeGreaterThan(at('12:00:00') + 5 * secondMs);
    const schedule = planned(jittered, { effectiveFrom: at('12:00:02') });
    expect(decide(schedule, '12:00:00', '12:00:55')).toEqual([]);
    expect(decide(schedule, '12:00:00', '12:01:55')).toEqual(['open 12:01:00 cron']);
  });

  test('lies in the window', () => {
    const windowed = timing('* * * * *', { starts: at('12:02:00'), ends: at('12:04:00') });
    expect(decide(planned(windowed, { overlap: 'allow' }), '12:00:00', '12:09:00', { lateWithinMs: hourMs })).toEqual([
      'open 12:02:00 cron',
      'open 12:03:00 cron',
    ]);
  });

  test('comes in the order of due instants, and of one instant by id', () => {
    const each = (cadence: string) => planned(cadence, { overlap: 'allow' });
    const world = new World(at('12:00:00'), [each('*/2 * * * * *'), each('*/3 * * * * *'), each('*/2 * * * * *')]);
    world.run(at('12:00:06'));
    expect(world.decided.map(({ scheduleId, decision }) => `${clockOf(decision.scheduledAt).slice(-2)}/${scheduleId}`)).toEqual([
      ...['02/1', '02/3', '03/2', '04/1', '04/3', '06/1', '06/2', '06/3'],
    ]);
  });

  test('nothing due moves the watermark to now, and decides nothing', () => {
    const world = new World(at('12:00:00'), [minutely]);
    const plan = world.slice(at('12:00:30'));
    expect(plan).toMatchObject({ decisions: [], touched: [], done: true, tick: { seq: 2, watermark: at('12:00:30') } });
  });

  test('is nothing while the clock stands at the watermark or behind it', () => {
    const world = new World(at('12:00:00'), [minutely]);
    const before = world.tick;
    for (const now of ['12:00:00', '11:00:00']) {
      const plan = world.slice(at(now));
      expect(plan.tick).toBe(before);
      expect(plan).toMatchObject({ decisions: [], touched: [], done: true });
    }
    world.run(at('12:01:00'));
    expect(world.shown()).toEqual(['open 12:01:00 cron']);
  });
});

describe('late or missed', () => {
  const minutely = planned('* * * * *', { catchup: 'none' });

  test('within late_within it is late and runs under its own trigger; a millisecond more and it is missed', () => {
    expect(decide(minutely, '12:00:00', '12:01:59.999')).toEqual(['open 12:01:00 cron']);
    expect(decide(minutely, '12:00:30', '12:02:00')[0]).toBe('open 12:01:00 cron');
    expect(decide(minutely, '12:00:30', '12:02:00.001')).toEqual([
      'skip 1 12:01:00-12:01:00 missed: no scheduler ran',
      'open 12:02:00 cron',
    ]);
  });

  test('what was due before the scheduler started is missed, however short ago', () => {
    const moment = { bootAt: at('12:01:01') };
    expect(decide(minutely, '12:00:30', '12:01:02', moment)).toEqual(['skip 1 12:01:00-12:01:00 missed: no scheduler ran']);
    expect(decide(minutely, '12:00:30', '12:02:00', moment)).toEqual([
      'skip 1 12:01:00-12:01:00 missed: no scheduler ran',
      'open 12:02:00 cron',
    ]);
  });

  test('a start that lies in the future of a corrected clock makes nothing missed', () => {
    expect(decide(minutely, '12:00:30', '12:01:00', { bootAt: at('15:00:00') })).toEqual(['open 12:01:00 cron']);
  });
});

describe('what was missed', () => {
  const down = (schedule: Planned, to = '12:00:30') => decide(schedule, '09:00:00', to, { bootAt: at(to) });

  test('latest opens the newest, and the rest is one row', () => {
    expect(down(planned('0 * * * *'))).toEqual(['skip 2 10:00:00-11:00:00 missed: no scheduler ran', 'open 12:00:00 catchup']);
  });

  test('the row of what was missed says what catchup took of it', () => {
    const reasons = (schedule: Planned): (string | undefined)[] => {
      const world = new World(at('09:30:00'), [schedule]);
      world.run(at('12:30:00'), { bootAt: at('12:30:00') });
      return world.decided.map(({ decision }) => (decision.kind === 'skip' ? decision.reason : undefined)).slice(0, 1);
    };
    expect(reasons(planned('0 * * * *', { catchup: 'none' }))).toEqual(['missed: no scheduler ran; catchup: none']);
    expect(reasons(planned('0 * * * *', { catchup: 'latest' }))).toEqual(['missed: no scheduler ran; catchup: latest']);
    const all = planned('0 * * * *', { catchup: 'all', catchupLimit: 2, catchupWithinMs: 90 * minuteMs });
    expect(reasons(all)).toEqual(['missed: no scheduler ran; catchup: all, the newest 2 within 1h30m']);
  });

  test('none opens nothing, and everything is one row', () => {
    expect(down(planned('0 * * * *', { catchup: 'none' }))).toEqual(['skip 3 10:00:00-12:00:00 missed: no scheduler ran']);
  });

  test('all opens the newest within its limit and its window, oldest first', () => {
    const two = ['skip 1 10:00:00-10:00:00 missed: no scheduler ran', 'open 11:00:00 catchup', 'open 12:00:00 catchup'];
    expect(down(planned('0 * * * *', { catchup: 'all', catchupLimit: 2 }))).toEqual(two);
    expect(down(planned('0 * * * *', { catchup: 'all', catchupWithinMs: 1.5 * hourMs }))).toEqual(two);
    expect(down(planned('0 * * * *', { catchup: 'all' }))).toEqual([
      'open 10:00:00 catchup',
      'open 11:00:00 catchup',
      'open 12:00:00 catchup',
    ]);
  });

  test('latest opens the newest however old', () => {
    const world = new World(at('2026-01-01T00:00:00'), [planned('0 0 2 1 *', { catchupWithinMs: hourMs })]);
    world.run(at('12:00:00'), { bootAt: at('12:00:00') });
    expect(world.shown()).toEqual(['open 01-02T00:00:00 catchup']);
  });

  test('the calendar’s refusals are a row of their own, and the newest is sought behind them', () => {
    const weekdays = timing('0 9 * * *', { calendar: plainWeek });
    const world = new World(at('2026-11-18T12:00:00'), [planned(weekdays)]);
    world.run(at('2026-11-22T12:00:00'), { bootAt: at('2026-11-22T12:00:00') });
    expect(world.shown()).toEqual([
      'skip 2 11-21T09:00:00-11-22T09:00:00 calendar: not a business day',
      'skip 1 11-19T09:00:00-11-19T09:00:00 missed: no scheduler ran',
      'open 09:00:00 catchup',
    ]);
  });

  test('a live fire stands behind the caught up one, as overlap says', () => {
    const gap = (overlap: 'allow' | 'skip') =>
      decide(planned('0 * * * *', { overlap }), '09:00:00', '12:00:30', { bootAt: at('11:30:00') });
    expect(gap('allow').slice(1)).toEqual(['open 11:00:00 catchup', 'open 12:00:00 cron']);
    expect(gap('skip').slice(1)).toEqual(['open 11:00:00 catchup', 'skip 1 12:00:00-12:00:00 overlap: the run before it has not finished']);
  });

  test('runs in flight do not keep a missed fire from being caught up', () => {
    const busy = { live: 1, catchup: 2 };
    expect(down(planned('0 * * * *', { inFlight: busy })).at(-1)).toBe('open 12:00:00 catchup');
    expect(down(planned('0 * * * *', { inFlight: busy, overlap: 'replace' })).at(-1)).toBe('open 12:00:00 catchup');
  });

  test('the gap reaches back no further than the definition', () => {
    const since = (effectiveFrom: string) => planned('0 * * * *', { catchup: 'none', effectiveFrom: at(effectiveFrom) });
    expect(down(since('10:00:00'))).toEqual(['skip 2 11:00:00-12:00:00 missed: no scheduler ran']);
    expect(down(since('12:00:00'))).toEqual([]);
  });

  test('a fire that the calendar moved to before the definition began is none', () => {
    // Saturday's 09:00 is due on Friday at 09:00, where nothing else is.
    const moved = timing('0 9 * * 6', { calendar: plainWeek, onHoliday: 'previous' });
    expect(moved.fireAt(moved.nextMs(at('08:00:00'))).nominal).toBe(at('2026-11-21T09:00:00'));
    const since = (effectiveFrom: string) => planned(moved, { effectiveFrom: at(effectiveFrom) });
    expect(down(since('08:59:59'))).toEqual([]);
    const early = new World(at('08:00:00'), [since('08:30:00'), since('09:30:00')]);
    early.run(at('12:00:00'), { bootAt: at('12:00:00') });
    expect([early.shown(1), early.shown(2)]).toEqual([['open 11-21T09:00:00 catchup'], []]);
    const awake = new World(at('08:00:00'), [since('08:30:00'), since('09:30:00')]);
    awake.run(at('12:00:00'), { lateWithinMs: dayMs });
    expect([awake.shown(1), awake.shown(2)]).toEqual([['open 11-21T09:00:00 cron'], []]);
  });

  test('ten thousand are counted, one more is many', () => {
    const missed = (seconds: number) => {
      const world = new World(at('12:00:00') - seconds * secondMs, [planned('* * * * * *', { catchup: 'none' })]);
      world.run(at('12:00:00'), { bootAt: at('12:00:00') });
      return world.decided.map(({ decision }) => (decision.kind === 'skip' ? decision.fires : 'open'));
    };
    expect(missed(10_000)).toEqual([10_000]);
    expect(missed(10_001)).toEqual([null]);
  });
});

/** How often a timing was asked. */
function counted(inner: CompiledTiming): { timing: CompiledTiming; asked: () => number } {
  let asked = 0;
  const counting = <Answer>(answer: Answer): Answer => {
    asked += 1;
    return answer;
  };
  return {
    asked: () => asked,
    timing: {
      nextMs: (after) => counting(inner.nextMs(after)),
      previousMs: (before) => counting(inner.previousMs(before)),
      matchesMs: (due) => counting(inner.matchesMs(due)),
      fireAt: (due) => counting(inner.fireAt(due)),
    },
  };
}

describe('a long time', () => {
  function missedSince(from: string, inner: CompiledTiming, options: Options, to = '2026-11-20T12:00:00') {
    const { timing, asked } = counted(inner);
    const world = new World(at(from), [planned(timing, options)]);
    world.run(at(to), { bootAt: at(to) });
    return { shown: world.shown(), asked: asked() };
  }

  test('a year of seconds is one row beside what is caught up, found without walking through it', () => {
    const { shown, asked } = missedSince('2025-11-20T12:00:00', timing('* * * * * *'), { catchup: 'all', catchupLimit: 3 });
    expect(shown).toEqual([
      `skip many ${clockOf(at('2025-11-20T12:00:01'))}-11:59:57 missed: no scheduler ran`,
      ...['58', '59'].map((second) => `open 11:59:${second} catchup`),
      'open 12:00:00 catchup',
    ]);
    expect(asked).toBeLessThan(25_000);
  });

  test('two days of free seconds do not hide the newest business second, and both rows tell where they begin', () => {
    const weekdays = timing('* * * * * *', { calendar: plainWeek });
    const { shown, asked } = missedSince('2026-11-12T00:00:00', weekdays, {}, '2026-11-23T00:00:00');
    expect(shown).toEqual([
      'skip many 11-14T00:00:00-11-22T23:59:59 calendar: not a business day',
      'skip many 11-12T00:00:01-23:59:59 missed: no scheduler ran',
      'open 11-23T00:00:00 catchup',
    ]);
    expect(asked).toBeLessThan(50_000);
    const sunday = missedSince('2026-11-12T00:00:00', weekdays, {}, '2026-11-22T12:00:00');
    expect(sunday.shown.slice(1)).toEqual(['skip many 11-12T00:00:01-23:59:58 missed: no scheduler ran', 'open 23:59:59 catchup']);
    expect(sunday.asked).toBeLessThan(50_000);
  });

  test('a single free day is not leapt over', () => {
    const tuesday = timing('* * * * * *', { calendar: { weekend: [], holidays: [at('2026-11-17T00:00:00') / dayMs] } });
    expect(missedSince('2026-11-16T00:00:00', tuesday, { catchup: 'none' }, '2026-11-19T09:00:00').shown).toEqual([
      'skip many 11-17T00:00:00-11-17T23:59:59 calendar: not a business day',
      'skip many 11-16T00:00:01-11-19T09:00:00 missed: no scheduler ran',
    ]);
  });

  test('a stretch that is counted no more says nothing of the other, which is counted to the end', () => {
    // Every second on free days, each hour on business days.
    const uneven = timing(['* * * * * 0,6', '0 0 * * * *'], { calendar: plainWeek });
    const { shown } = missedSince('2026-11-12T12:30:00', uneven, { catchup: 'none' }, '2026-11-23T12:30:00');
    const businessHours = 11 + 24 + 5 * 24 + 13;
    expect(shown).toEqual([
      'skip many 11-14T00:00:00-11-22T23:59:59 calendar: not a business day',
      `skip ${businessHours} 11-12T13:00:00-11-23T12:00:00 missed: no scheduler ran`,
    ]);
  });

  test('jitter of hours does not make a long stretch begin before its definition', () => {
    const jittered = timing('* * * * * *', { jitterMs: 10 * hourMs });
    const { shown, asked } = missedSince('2026-11-10T00:00:00', jittered, { catchup: 'none', effectiveFrom: at('2026-11-12T00:00:00') });
    expect(shown).toHaveLength(1);
    expect(shown[0]).toContain('skip many 11-12T00:00:01-');
    expect(asked).toBeLessThan(50_000);
  });

  test('schedules of one timing look once', () => {
    const { timing: secondly, asked } = counted(timing('* * * * * *'));
    const world = new World(
      at('10:00:00'),
      Array.from({ length: 50 }, (_, index) => planned(secondly, { effectiveFrom: at('09:00:00') + index })),
    );
    world.run(at('12:00:00'), { bootAt: at('12:00:00') });
    expect(new Set(world.shown())).toEqual(new Set(['skip 7199 10:00:01-11:59:59 missed: no scheduler ran', 'open 12:00:00 catchup']));
    expect(asked()).toBeLessThan(2 * 7200 + 50 * 10);
  });

  test('schedules of one timing, one of which began later, do not share what they missed', () => {
    const jittered = timing('* * * * *', { jitterMs: 50 * secondMs });
    const began = (from: string) => planned(jittered, { catchup: 'none', effectiveFrom: at(from) });
    for (const order of [
      ['10:00:02', '09:00:00'],
      ['09:00:00', '10:00:02'],
    ]) {
      const world = new World(at('10:00:02'), order.map(began));
      world.run(at('10:02:55'), { bootAt: at('10:02:55') });
      const expected = order.map((from) => `skip ${from === '09:00:00' ? '3 10:00:00' : '2 10:01:00'}-10:02:00 missed: no scheduler ran`);
      expect(world.shown()).toEqual(expected);
    }
  });

  test('two hundred schedules of every second, 26 hours down, leave a bounded number of rows', () => {
    const limits = { none: 1, latest: 2, all: 101 } as const;
    for (const [catchup, rows] of Object.entries(limits)) {
      const schedule = planned('* * * * * *', { catchup: catchup as keyof typeof limits });
      const world = new World(at('12:00:00') - 26 * hourMs, new Array(200).fill(schedule));
      world.run(at('12:00:00'), { bootAt: at('12:00:00') });
      expect(world.decided).toHaveLength(200 * rows);
      expect(world.tick).toMatchObject({ watermark: at('12:00:00'), partly: null, gap: null });
    }
  });
});

describe('a slice', () => {
  const secondly = planned('* * * * * *', { overlap: 'allow' });
  const ten = new Array(10).fill(secondly);

  test('has at most so many rows, and its tick says exactly how far it came', () => {
    const world = new World(at('12:00:00'), ten);
    const plan = world.slice(at('12:00:03'), { mostRows: 13 });
    expect(plan.done).toBe(false);
    expect(plan.decisions).toHaveLength(13);
    expect(plan.tick).toMatchObject({
      watermark: at('12:00:02') - 1,
      partly: { due: at('12:00:02'), throughId: 3 },
    });
    const next = world.slice(at('12:00:03'), { mostRows: 13 });
    expect(next.decisions[0]).toMatchObject({ scheduleId: 4, decision: { scheduledAt: at('12:00:02') } });
    expect(next.tick.partly).toEqual({ due: at('12:00:03'), throughId: 6 });
    expect(world.slice(at('12:00:03')).tick).toMatchObject({ watermark: at('12:00:03'), partly: null });
  });

  test('of an instant that takes many slices is never told as wholly handled', () => {
    const world = new World(at('12:00:00'), ten);
    const told: string[] = [];
    for (let more = true; more; ) {
      const { tick, done } = world.slice(at('12:00:01'), { mostRows: 3 });
      told.push(`${clockOf(tick.watermark)} ${tick.partly?.throughId ?? ''}`.trim());
      more = !done;
    }
    expect(told).toEqual(['12:00:00 3', '12:00:00 6', '12:00:00 9', '12:00:01']);
  });

  test('ends when it has taken long enough, but never before it has done something', () => {
    const world = new World(at('12:00:00'), new Array(1000).fill(secondly));
    let slices = 0;
    for (; !world.slice(at('12:00:01'), { enough: () => true }).done; slices++) expect(slices).toBeLessThan(100);
    expect(slices).toBeGreaterThan(5);
    expect(world.decided).toHaveLength(1000);
  });

  test('goes on after a restart from the tick alone', () => {
    const world = new World(at('12:00:00'), ten);
    while (!world.run(at('12:00:03'), { mostRows: 7, slices: 1 })) world.restart();
    expect(world.decided.map(({ scheduleId, decision }) => `${decision.scheduledAt}/${scheduleId}`)).toEqual(
      [1, 2, 3].flatMap((second) => ten.map((_, index) => `${at('12:00:00') + second * secondMs}/${index + 1}`)),
    );
  });

  test('that could not be written is planned again the same', () => {
    const world = new World(at('12:00:00'), ten);
    const before = world.tick;
    const moment = { tick: before, now: at('12:00:02'), bootAt: 0, lateWithinMs: minuteMs, enough: () => false, mostRows: 14 };
    const lookup = () => secondly;
    const first = planTick(world.slots, moment, lookup);
    expect(first.touched).toHaveLength(10);
    for (const id of first.touched) world.slots.arm(id, positionAfter(secondly.timing, before, id));
    expect(planTick(world.slots, moment, lookup)).toEqual(first);
  });

  test('leaves alone what is armed at an instant that is handled already', () => {
    const world = new World(tickAt(at('12:00:05'), { partly: { due: at('12:00:06'), throughId: 2 } }), [secondly, secondly, secondly]);
    world.slots.arm(1, at('12:00:03'));
    world.slots.arm(2, at('12:00:06'));
    world.run(at('12:00:06'));
    expect(world.decided).toEqual([{ scheduleId: 3, decision: { kind: 'open', scheduledAt: at('12:00:06'), trigger: 'cron' } }]);
  });

  test('a clock that went back into an instant that is half handled does not forget the half', () => {
    const half = { due: at('12:00:02'), throughId: 4 };
    const world = new World(tickAt(at('12:00:00'), { partly: half }), ten);
    for (const [id, { timing }] of world.schedules) world.slots.arm(id, timing.nextMs(at('12:00:01')));
    expect(world.slice(at('12:00:01')).tick).toMatchObject({ watermark: at('12:00:01'), partly: half });
  });
});

describe('a gap', () => {
  const hourly = planned('0 * * * *');
  const four = [hourly, planned('30 * * * *'), hourly, planned('0 10 * * *')];

  test('is fixed with its first slice and stays in the tick until the watermark has passed it', () => {
    const world = new World(at('09:00:00'), four);
    const first = world.slice(at('12:10:00'), { bootAt: at('12:10:00'), mostRows: 1 });
    const gap = { from: at('09:00:00'), to: at('12:10:00') };
    expect(first.decisions).toMatchObject([{ scheduleId: 4, decision: { kind: 'open', scheduledAt: at('10:00:00') } }]);
    expect(first.tick).toMatchObject({ watermark: at('11:30:00') - 1, gap });
    const second = world.slice(at('12:11:00'), { bootAt: at('12:10:00'), mostRows: 1 });
    expect(second.tick).toMatchObject({ watermark: at('12:00:00') - 1, gap });
    expect(world.slice(at('12:11:00'), { bootAt: at('12:10:00'), mostRows: 2 }).tick).toMatchObject({
      partly: { due: at('12:00:00'), throughId: 1 },
      gap,
    });
    expect(world.slice(at('12:11:00'), { bootAt: at('12:10:00') }).tick).toMatchObject({ watermark: at('12:11:00'), gap: null });
    expect(world.shown(3)).toEqual(['skip 2 10:00:00-11:00:00 missed: no scheduler ran', 'open 12:00:00 catchup']);
  });

  test('in whose middle the scheduler died again is finished first, with its own limits, and the time since is another gap', () => {
    const world = new World(at('09:00:00'), four);
    while (world.tick.partly?.throughId !== 1) world.run(at('12:10:00'), { bootAt: at('12:10:00'), mostRows: 2, slices: 1 });
    world.restart();
    world.run(at('15:00:30'), { bootAt: at('15:00:30') });
    const again = ['skip 2 13:00:00-14:00:00 missed: no scheduler ran', 'open 15:00:00 catchup'];
    expect(world.shown(1)).toEqual(['skip 2 10:00:00-11:00:00 missed: no scheduler ran', 'open 12:00:00 catchup', ...again]);
    expect(world.shown(3)).toEqual(world.shown(1));
    expect(world.shown(4)).toEqual(['open 10:00:00 catchup']);
  });

  test('is also what was missed while this scheduler slept', () => {
    const world = new World(at('09:00:00'), [planned('*/20 * * * *', { overlap: 'allow' })]);
    world.run(at('10:20:00'), { bootAt: at('08:00:00') });
    expect(world.shown()).toEqual(['skip 2 09:20:00-09:40:00 missed: no scheduler ran', 'open 10:00:00 catchup', 'open 10:20:00 cron']);
  });

  test('after an instant that was half handled lets nobody handle it twice', () => {
    const world = new World(at('12:00:00'), new Array(4).fill(planned('0 * * * *', { overlap: 'allow' })));
    world.run(at('13:00:00'), { mostRows: 2, slices: 1 });
    world.restart();
    world.run(at('15:30:00'), { bootAt: at('15:30:00') });
    const since = ['skip 1 14:00:00-14:00:00 missed: no scheduler ran', 'open 15:00:00 catchup'];
    expect(world.shown(2)).toEqual(['open 13:00:00 cron', ...since]);
    expect(world.shown(3)).toEqual(['open 13:00:00 catchup', ...since]);
  });

  test('of one schedule is never cut, and waits for a slice of its own when it does not fit', () => {
    const all = planned('* * * * *', { catchup: 'all' });
    const world = new World(at('11:00:00'), [all, all, all]);
    const rows = () => world.slice(at('12:00:00'), { bootAt: at('12:00:00'), mostRows: 130 }).decisions.length;
    expect([rows(), rows()]).toEqual([120, 60]);
    const small = new World(at('11:00:00'), [all, all]);
    expect(small.slice(at('12:00:00'), { bootAt: at('12:00:00'), mostRows: 10 }).decisions).toHaveLength(60);
  });

  test('is left for later where the clock has gone back into it', () => {
    const world = new World(tickAt(at('10:30:00'), { gap: { from: at('09:00:00'), to: at('12:10:00') } }), [hourly]);
    expect(world.slice(at('11:30:00')).tick).toMatchObject({ watermark: at('11:30:00'), gap: { to: at('12:10:00') } });
    expect(world.shown()).toEqual([]);
    world.run(at('12:10:00'));
    expect(world.shown()).toEqual(['skip 2 10:00:00-11:00:00 missed: no scheduler ran', 'open 12:00:00 catchup']);
  });
});

describe('overlap', () => {
  const minute = (options: Options) => decide(planned('* * * * *', options), '12:00:00', '12:01:00');
  const busy = 'skip 1 12:01:00-12:01:00 overlap: the run before it has not finished';

  test('skip refuses while anything is in flight, caught up or not', () => {
    expect(minute({})).toEqual(['open 12:01:00 cron']);
    expect(minute({ inFlight: { live: 1, catchup: 0 } })).toEqual([busy]);
    expect(minute({ inFlight: { live: 0, catchup: 1 } })).toEqual([busy]);
  });

  test('queue lets as many wait as its limit says, caught up ones not counted', () => {
    const queue = { overlap: 'queue', overlapLimit: 2 } as const;
    expect(minute({ ...queue, inFlight: { live: 2, catchup: 50 } })).toEqual(['open 12:01:00 cron']);
    expect(minute({ ...queue, inFlight: { live: 3, catchup: 0 } })).toEqual(['skip 1 12:01:00-12:01:00 overlap: 2 runs wait already']);
  });

  test('allow never refuses', () => {
    expect(minute({ overlap: 'allow', inFlight: { live: 9, catchup: 9 } })).toEqual(['open 12:01:00 cron']);
  });

  test('replace opens, and says so where something is in flight', () => {
    expect(minute({ overlap: 'replace' })).toEqual(['open 12:01:00 cron']);
    expect(minute({ overlap: 'replace', inFlight: { live: 1, catchup: 0 } })).toEqual(['open 12:01:00 cron replaces']);
    expect(minute({ overlap: 'replace', inFlight: { live: 0, catchup: 1 } })).toEqual(['open 12:01:00 cron replaces']);
  });

  test('sees what the same slice has opened, and its refusals are one row', () => {
    expect(decide(planned('*/10 * * * * *'), '12:00:00', '12:00:59')).toEqual([
      'open 12:00:10 cron',
      'skip 4 12:00:20-12:00:50 overlap: the run before it has not finished',
    ]);
    expect(decide(planned('*/10 * * * * *', { overlap: 'queue', overlapLimit: 1 }), '12:00:00', '12:00:59')).toEqual([
      'open 12:00:10 cron',
      'open 12:00:20 cron',
      'skip 3 12:00:30-12:00:50 overlap: 1 run waits already',
    ]);
    expect(decide(planned('*/20 * * * * *', { overlap: 'replace' }), '12:00:00', '12:00:59')).toEqual([
      'open 12:00:20 cron',
      'open 12:00:40 cron replaces',
    ]);
  });

  test('is asked in the same words for a follower', () => {
    expect(overlapRefusal({ overlap: 'skip', overlapLimit: 1 }, { live: 1, catchup: 0 })).toBe(
      'overlap: the run before it has not finished',
    );
    expect(overlapRefusal({ overlap: 'allow', overlapLimit: 1 }, { live: 1, catchup: 0 })).toBeUndefined();
  });
});

test('the calendar refuses before overlap does, and what it refuses in one slice is one row', () => {
  const weekdays = planned(timing('*/20 * * * * *', { calendar: plainWeek }), { inFlight: { live: 1, catchup: 0 } });
  expect(decide(weekdays, '2026-11-20T23:59:30', '2026-11-21T00:00:25')).toEqual([
    'skip 1 23:59:40-23:59:40 overlap: the run before it has not finished',
    'skip 2 11-21T00:00:00-11-21T00:00:20 calendar: not a business day',
  ]);
});

describe('max_runs', () => {
  test('ends the fires without a row', () => {
    const two = planned('* * * * * *', { overlap: 'allow', firesLeft: 2 });
    expect(decide(two, '12:00:00', '12:00:09')).toEqual(['open 12:00:01 cron', 'open 12:00:02 cron']);
  });

  test('comes before everything: an instant past it is refused by nothing', () => {
    const past = { firesLeft: 0, inFlight: { live: 1, catchup: 0 } };
    expect(decide(planned('* * * * * *', past), '12:00:00', '12:00:09')).toEqual([]);
    expect(decide(planned('* * * * *', past), '09:00:00', '12:00:00', { bootAt: at('12:00:00') })).toEqual([]);
    const free = planned(timing('* * * * * *', { calendar: plainWeek }), past);
    expect(decide(free, '2026-11-21T12:00:00', '2026-11-21T12:00:09')).toEqual([]);
  });

  test('counts what is caught up, oldest first', () => {
    const all = planned('0 * * * *', { catchup: 'all', catchupLimit: 2, firesLeft: 1, overlap: 'allow' });
    expect(decide(all, '08:30:00', '12:00:30', { bootAt: at('11:30:00') })).toEqual([
      'skip 1 09:00:00-09:00:00 missed: no scheduler ran',
      'open 10:00:00 catchup',
    ]);
  });
});

describe('a clock that went back', () => {
  const replay = tickAt(at('12:00:00'), { replayUntil: at('12:00:05') });
  const allow = planned('* * * * * *', { overlap: 'allow' });

  test('does not fire what has a run already, and leaves no row for it', () => {
    const world = new World(replay, [allow]);
    const asked: string[] = [];
    world.run(at('12:00:08'), {
      ran: (id, scheduledAt) => {
        asked.push(`${id} ${clockOf(scheduledAt)}`);
        return scheduledAt !== at('12:00:03');
      },
    });
    expect(world.shown()).toEqual(['03', '06', '07', '08'].map((second) => `open 12:00:${second} cron`));
    expect(asked).toEqual(['01', '02', '03', '04', '05'].map((second) => `1 12:00:${second}`));
    expect(world.tick.replayUntil).toBeNull();
  });

  test('is remembered in the tick until the time is passed', () => {
    const world = new World(replay, [allow]);
    expect(world.slice(at('12:00:04'), { ran: () => true }).tick.replayUntil).toBe(at('12:00:05'));
    expect(world.slice(at('12:00:05'), { ran: () => true }).tick.replayUntil).toBeNull();
  });

  test('catches up only what has no run', () => {
    const world = new World(tickAt(at('09:00:00'), { replayUntil: at('15:00:00') }), [planned('0 * * * *', { catchup: 'all' })]);
    const ran = (_: number, scheduledAt: number) => scheduledAt === at('11:00:00') || scheduledAt === at('13:00:00');
    world.run(at('13:30:00'), { bootAt: at('13:30:00'), ran });
    expect(world.shown()).toEqual(['open 10:00:00 catchup', 'open 12:00:00 catchup']);
  });

  test('where nobody knows whether there is a run, the slice ends before it', () => {
    const world = new World(replay, [allow]);
    const ran = (_: number, scheduledAt: number) => (scheduledAt < at('12:00:04') ? scheduledAt === at('12:00:02') : undefined);
    const plan = world.slice(at('12:00:08'), { ran });
    expect(plan.done).toBe(false);
    expect(plan.tick).toMatchObject({ watermark: at('12:00:04') - 1, partly: null, replayUntil: at('12:00:05') });
    expect(world.shown()).toEqual(['open 12:00:01 cron', 'open 12:00:03 cron']);
    world.run(at('12:00:08'), { ran: () => false });
    expect(world.shown().slice(2)).toEqual(['04', '05', '06', '07', '08'].map((second) => `open 12:00:${second} cron`));
  });

  test('a gap behind which nobody knows is told of, and never opened', () => {
    const world = new World(tickAt(at('09:00:00'), { replayUntil: at('15:00:00') }), [planned('0 * * * *', { catchup: 'all' })]);
    const ran = (_: number, scheduledAt: number) => (scheduledAt > at('12:00:00') ? false : undefined);
    world.run(at('13:30:00'), { bootAt: at('13:30:00'), ran });
    expect(world.shown()).toEqual(['skip many 10:00:00-12:00:00 missed: no scheduler ran', 'open 13:00:00 catchup']);
  });

  test('over a day in which every second ran asks no more than is bounded, and opens nothing', () => {
    const world = new World(tickAt(at('00:00:00'), { replayUntil: at('23:00:00') }), [planned('* * * * * *', { catchup: 'all' })]);
    let asked = 0;
    world.run(at('12:00:00'), {
      bootAt: at('12:00:00'),
      ran: () => {
        asked += 1;
        return true;
      },
    });
    expect(asked).toBeLessThan(10_010);
    expect(world.decided.filter(({ decision }) => decision.kind === 'open')).toEqual([]);
  });
});

describe('a schedule that cannot be planned', () => {
  const good = planned('* * * * *');
  const broken = (part: Partial<CompiledTiming>): CompiledTiming => ({ ...counted(timing('* * * * *')).timing, ...part });
  const fails = (): never => {
    throw new RangeError('the zone is gone');
  };

  test('is disarmed and reported, and the others go on', () => {
    const world = new World(at('12:00:00'), [good, good, planned(broken({ fireAt: fails })), good]);
    world.schedules.delete(2);
    const plan = world.slice(at('12:01:00'));
    expect(plan.broken).toEqual([
      { scheduleId: 2, message: 'no schedule 2' },
      { scheduleId: 3, message: 'the zone is gone' },
    ]);
    expect(plan.decisions.map(({ scheduleId }) => scheduleId)).toEqual([1, 4]);
    expect(plan.done).toBe(true);
    expect([...plan.touched].sort()).toEqual([1, 2, 3, 4]);
    expect([world.slots.dueAt(2), world.slots.dueAt(3)]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    expect(world.slice(at('12:02:00')).broken).toEqual([]);
  });

  test('in a gap fails alone too, and leaves no half of its decisions', () => {
    let looks = 0;
    const world = new World(at('09:00:00'), [
      planned(broken({ fireAt: (due) => (looks++ > 5 ? fails() : timing('* * * * *').fireAt(due)) })),
      good,
    ]);
    const plan = world.slice(at('12:00:00'), { bootAt: at('12:00:00') });
    expect(plan.broken).toEqual([{ scheduleId: 1, message: 'the zone is gone' }]);
    expect(new Set(plan.decisions.map(({ scheduleId }) => scheduleId))).toEqual(new Set([2]));
  });

  test('whose timing does not move on holds nobody up', () => {
    const stuck = broken({ nextMs: (after) => Math.max(after, at('12:01:00')) });
    const world = new World(at('12:00:00'), [planned(stuck), good]);
    const plan = world.slice(at('12:01:30'));
    expect(plan.broken[0]?.message).toContain('the timing answers');
    expect(plan.decisions.map(({ scheduleId }) => scheduleId)).toEqual([2]);
    const turning = broken({ previousMs: (before) => before });
    const gap = new World(at('09:00:00'), [planned(turning), good]);
    expect(gap.slice(at('12:00:00'), { bootAt: at('12:00:00') }).broken).toHaveLength(1);
  });
});

test('positionAfter is the first instant that a tick leaves to do', () => {
  const secondly = timing('* * * * * *');
  const tick = tickAt(at('12:00:00'), { partly: { due: at('12:00:03'), throughId: 7 } });
  expect(positionAfter(secondly, tick, 7)).toBe(at('12:00:04'));
  expect(positionAfter(secondly, tick, 8)).toBe(at('12:00:01'));
  expect(positionAfter(secondly, tick, 8, at('12:30:00'))).toBe(at('12:30:01'));
  expect(positionAfter(timing(`at '2026-11-20 11:00'`), tick, 8)).toBe(Number.POSITIVE_INFINITY);
});

test('ten thousand schedules due in one instant are one slice', () => {
  const world = new World(at('12:00:00'), new Array(10_000).fill(planned('* * * * *')));
  const plan = world.slice(at('12:01:00'));
  expect(plan.done).toBe(true);
  expect(plan.decisions).toHaveLength(10_000);
});

// By brute force: all instants of a schedule, walked one by one.

interface Case {
  readonly cadences: readonly string[];
  readonly timing: Partial<Timing>;
  readonly options: Options;
}

const start = at('2026-11-19T00:00:00');

const sparse = ['0 * * * *', '*/7 * * * *', '30 2 * * *', '0 9 * * 1-5', 'every 45m', '*/10 8-17 * * *', 'every 1d', '0 0 21,22 * *'];
const dense = ['*/20 * * * * *', 'every 90s', '* * * * *', '5,6,7 * 6 * * *'];

const calendars = fc.constantFrom<Partial<Timing>>(
  {},
  {},
  { calendar: plainWeek, onHoliday: 'skip' },
  { calendar: { weekend: [0], holidays: [Math.floor(at('00:00:00') / dayMs)] }, onHoliday: 'skip' },
  { calendar: plainWeek, onHoliday: 'next' },
  { calendar: plainWeek, onHoliday: 'previous' },
);

const cases: fc.Arbitrary<Case> = fc
  .record({
    calendar: calendars,
    cadences: fc.array(fc.constantFrom(...sparse, ...dense), { minLength: 1, maxLength: 2 }),
    zone: fc.constantFrom('UTC', 'Asia/Kolkata', 'America/New_York'),
    jitterMs: fc.constantFrom(0, 0, 40 * secondMs, 3 * hourMs),
    starts: fc.option(fc.integer({ min: -24, max: 40 }), { freq: 5 }),
    ends: fc.option(fc.integer({ min: 10, max: 90 }), { freq: 5 }),
    options: fc.record({
      effectiveFrom: fc.oneof(
        fc.constant(0),
        fc.integer({ min: -2 * 60, max: 40 * 60 }).map((minutes) => start + minutes * minuteMs),
      ),
      catchup: fc.constantFrom('none', 'latest', 'all'),
      catchupLimit: fc.integer({ min: 1, max: 30 }),
      catchupWithinMs: fc.integer({ min: 1, max: 40 }).map((hours) => hours * hourMs),
      overlap: fc.constantFrom('skip', 'queue', 'allow', 'replace'),
      overlapLimit: fc.integer({ min: 1, max: 5 }),
    }),
  })
  .map(({ calendar, cadences, zone, jitterMs, starts, ends, options }) => ({
    cadences,
    options: options as Options,
    timing: {
      ...calendar,
      zone,
      jitterMs,
      ...(starts === null ? {} : { starts: start + starts * hourMs }),
      ...(ends === null ? {} : { ends: start + ends * hourMs }),
    },
  }));

interface Instants {
  readonly nominal: number;
  readonly due: number;
  readonly refused: boolean;
}

function instantsOf(schedule: Planned, until: number): Instants[] {
  const instants: Instants[] = [];
  for (let due = schedule.timing.nextMs(start); due <= until; due = schedule.timing.nextMs(due)) {
    const fire = schedule.timing.fireAt(due);
    if (fire.nominal > schedule.effectiveFrom && due > schedule.effectiveFrom) instants.push(fire);
  }
  return instants;
}

const scheduleOf = ({ cadences, timing: rest, options }: Case, more: Options = {}): Planned =>
  planned(timing(cadences, rest), { ...options, ...more });

/** One start after (start, bootAt] without a scheduler, and one tick: what the language says, instant by instant. */
function byTheBook(schedule: Planned, moment: { bootAt: number; now: number; lateWithinMs: number }): string[] {
  const { policy, catchup } = schedule;
  const missedThrough = Math.max(moment.bootAt, moment.now - moment.lateWithinMs - 1);
  const instants = instantsOf(schedule, moment.now);
  const shown: string[] = [];
  const row = (refused: readonly Instants[], reason: string): void => {
    if (refused.length === 0) return;
    const nominals = refused.map(({ nominal }) => nominal).sort((a, b) => a - b);
    shown.push(`skip ${refused.length > 10_000 ? 'many' : refused.length} ${clockOf(nominals[0]!)}-${clockOf(nominals.at(-1)!)} ${reason}`);
  };
  let { firesLeft } = schedule;
  let { live, catchup: caughtUp } = schedule.inFlight;

  const gone = instants.filter(({ due }) => due <= missedThrough);
  if (firesLeft > 0) {
    const candidates = gone.filter(({ refused }) => !refused).reverse();
    const within = candidates.filter(({ nominal }) => catchup !== 'all' || nominal >= moment.now - policy.catchupWithinMs);
    const chosen = within.slice(0, catchup === 'none' ? 0 : catchup === 'latest' ? 1 : policy.catchupLimit);
    row(
      gone.filter(({ refused }) => refused),
      'calendar: not a business day',
    );
    row(
      candidates.filter((instant) => !chosen.includes(instant)),
      'missed: no scheduler ran',
    );
    for (const { nominal } of chosen.reverse()) {
      if (firesLeft-- <= 0) break;
      caughtUp += 1;
      shown.push(`open ${clockOf(nominal)} catchup`);
    }
  }
  const free: Instants[] = [];
  const busy: Instants[] = [];
  for (const instant of instants.filter(({ due }) => due > missedThrough)) {
    if (firesLeft <= 0) break;
    if (instant.refused) free.push(instant);
    else if (policy.overlap === 'skip' ? live + caughtUp > 0 : policy.overlap === 'queue' && live > policy.overlapLimit) busy.push(instant);
    else {
      shown.push(`open ${clockOf(instant.nominal)} cron${policy.overlap === 'replace' && live + caughtUp > 0 ? ' replaces' : ''}`);
      live += 1;
      firesLeft -= 1;
    }
  }
  row(free, 'calendar: not a business day');
  const waiting = policy.overlapLimit === 1 ? '1 run waits' : `${policy.overlapLimit} runs wait`;
  row(busy, policy.overlap === 'skip' ? 'overlap: the run before it has not finished' : `overlap: ${waiting} already`);
  return shown.sort();
}

describe('by brute force', () => {
  test('after any gap, each instant is decided as the language says', () => {
    const moments = fc.record({
      downMinutes: fc.integer({ min: 0, max: 60 * 60 }),
      upSeconds: fc.integer({ min: 0, max: 2 * 3600 }),
      lateWithinMs: fc.constantFrom(0, secondMs, minuteMs, hourMs),
      firesLeft: fc.oneof(
        { weight: 3, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 6 }) },
      ),
      live: fc.integer({ min: 0, max: 1 }),
    });
    fc.assert(
      fc.property(
        fc.array(cases, { minLength: 1, maxLength: 4 }),
        moments,
        (all, { downMinutes, upSeconds, lateWithinMs, firesLeft, live }) => {
          const bootAt = start + downMinutes * minuteMs;
          const moment = { bootAt, now: bootAt + upSeconds * secondMs, lateWithinMs };
          const schedules = all.map((one) => scheduleOf(one, { firesLeft, inFlight: { live, catchup: 0 } }));
          const world = new World(start, schedules);
          world.run(moment.now, moment);
          for (const [index, schedule] of schedules.entries()) {
            expect(world.shown(index + 1).sort()).toEqual(byTheBook(schedule, moment));
          }
        },
      ),
      { numRuns: 250 },
    );
  });

  /** A scheduler starts, ticks, and dies in the middle of its slices or at leisure; then again. */
  const lives = fc.array(
    fc.record({
      downMinutes: fc.integer({ min: 0, max: 20 * 60 }),
      ticksSeconds: fc.array(fc.oneof(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 3 * 3600 })), {
        minLength: 1,
        maxLength: 4,
      }),
      diesAfterSlices: fc.option(fc.integer({ min: 1, max: 12 }), { freq: 2 }),
    }),
    { minLength: 1, maxLength: 4 },
  );

  function lived(
    all: readonly Case[],
    life: typeof lives extends fc.Arbitrary<infer Life> ? Life : never,
    options: { mostRows: number; restarts: boolean },
  ): World {
    const world = new World(
      start,
      all.map((one) => scheduleOf(one)),
    );
    let now = start;
    for (const { downMinutes, ticksSeconds, diesAfterSlices } of life) {
      now += downMinutes * minuteMs;
      const bootAt = now;
      world.restart();
      let slices = options.restarts ? (diesAfterSlices ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
      for (const seconds of ticksSeconds) {
        for (let done = false; !done && slices > 0; slices--) {
          done = world.slice(now, { bootAt, mostRows: options.mostRows }).done;
          // In slices that are done again from their row alone nothing may change.
          if (options.restarts) world.restart();
        }
        now += seconds * secondMs;
      }
    }
    world.restart();
    world.run(now + 1, { bootAt: now + 1, mostRows: options.mostRows });
    return world;
  }

  test('through any restarts, in the middle of a gap or of an instant, each instant is covered exactly once', () => {
    fc.assert(
      fc.property(fc.array(cases, { minLength: 1, maxLength: 4 }), lives, fc.integer({ min: 1, max: 6 }), (all, life, mostRows) => {
        const world = lived(all, life, { mostRows, restarts: true });
        expect(world.tick).toMatchObject({ partly: null, gap: null });
        for (const [id, schedule] of world.schedules) {
          const instants = instantsOf(schedule, world.tick.watermark);
          const mine = world.decided.filter(({ scheduleId }) => scheduleId === id).map(({ decision }) => decision);
          const opened = mine.flatMap((decision) => (decision.kind === 'open' ? [decision.scheduledAt] : []));
          expect(new Set(opened).size).toBe(opened.length);
          const known = new Map(instants.map((instant) => [instant.nominal, instant]));
          for (const nominal of opened) expect(known.get(nominal)?.refused).toBe(false);
          const isOpened = new Set(opened);
          const isMoved = all[id - 1]?.timing.onHoliday === 'next' || all[id - 1]?.timing.onHoliday === 'previous';
          let covered = opened.length;
          for (const decision of mine) {
            if (decision.kind === 'open') continue;
            covered += decision.fires!;
            const { firstScheduledAt, scheduledAt, reason } = decision;
            expect(known.has(firstScheduledAt) && known.has(scheduledAt)).toBe(true);
            // Instants that were moved need not lie together.
            if (isMoved) continue;
            const inside = instants.filter(
              ({ nominal, refused }) =>
                nominal >= firstScheduledAt &&
                nominal <= scheduledAt &&
                refused === reason.startsWith('calendar') &&
                !isOpened.has(nominal),
            );
            expect(inside).toHaveLength(decision.fires!);
          }
          expect(covered).toBe(instants.length);
        }
      }),
      { numRuns: 250 },
    );
  });

  test('the size of slices changes nothing but where rows are cut', () => {
    const told = (world: World): Map<string, number[]> => {
      const rows = new Map<string, number[]>();
      for (const { scheduleId, decision } of world.decided) {
        if (decision.kind === 'open') {
          rows.set(`${scheduleId} ${show(decision)}`, [1]);
          continue;
        }
        // Missed rows are whole; others may be cut by a slice's end.
        const key = `${scheduleId} ${decision.reason} ${decision.reason.startsWith('missed') ? decision.scheduledAt : ''}`;
        const [fires = 0, first = decision.firstScheduledAt, newest = 0] = rows.get(key) ?? [];
        rows.set(key, [fires + decision.fires!, Math.min(first, decision.firstScheduledAt), Math.max(newest, decision.scheduledAt)]);
      }
      return new Map([...rows].sort(([a], [b]) => (a < b ? -1 : 1)));
    };
    fc.assert(
      fc.property(fc.array(cases, { minLength: 1, maxLength: 4 }), lives, fc.integer({ min: 1, max: 6 }), (all, life, mostRows) => {
        const whole = lived(all, life, { mostRows: 1_000_000, restarts: false });
        const sliced = lived(all, life, { mostRows, restarts: false });
        expect(told(sliced)).toEqual(told(whole));
        expect({ ...sliced.tick, seq: 0 }).toEqual({ ...whole.tick, seq: 0 });
      }),
      { numRuns: 150 },
    );
  });
});
