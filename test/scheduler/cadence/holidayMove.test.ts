// Moved fires around clock changes: each of them, in order, by the definitions; and how little is asked for one. Work is
// counted in questions, to the cadence and to the clock, because a count is the same on every machine.

import { describe, expect, it } from 'vitest';
import { type Fire, next, parseCadence, previous, type Timing } from '../../../src/scheduler/cadence/cadence.ts';
import { type CalendarDays, calendarOf, parseDay } from '../../../src/scheduler/cadence/calendar.ts';
import { dayMs } from '../../../src/scheduler/cadence/civil.ts';
import { type Evaluator, evaluatorOf } from '../../../src/scheduler/cadence/evaluator.ts';
import { MovedEvaluator } from '../../../src/scheduler/cadence/holidayMove.ts';
import { Zone } from '../../../src/scheduler/cadence/zone.ts';
import { timingOf } from './agreement.ts';
import { type OracleFire, type OracleTiming, oracleBetween } from './oracle.ts';

/** A clock change, and the free days around it. */
interface Change {
  readonly what: string;
  readonly zone: string;
  readonly at: string;
  readonly weekend: readonly number[];
  readonly holidays: readonly string[];
}

const changes: readonly Change[] = [
  { what: 'a repeated hour', zone: 'Europe/Berlin', at: '2027-10-31T01:00:00Z', weekend: [0, 6], holidays: ['2027-11-01'] },
  { what: 'a repeated hour of a business day', zone: 'Europe/Berlin', at: '2027-10-31T01:00:00Z', weekend: [6, 1], holidays: [] },
  { what: 'a gap', zone: 'Europe/Berlin', at: '2027-03-28T01:00:00Z', weekend: [0, 6], holidays: ['2027-03-26', '2027-03-29'] },
  { what: 'a gap of a business day', zone: 'Europe/Berlin', at: '2027-03-28T01:00:00Z', weekend: [5, 6, 1], holidays: [] },
  { what: 'half an hour', zone: 'Australia/Lord_Howe', at: '2027-04-03T15:00:00Z', weekend: [6], holidays: ['2027-04-05'] },
  { what: 'a gap that begins midnight', zone: 'America/Sao_Paulo', at: '2017-10-15T03:00:00Z', weekend: [6], holidays: ['2017-10-16'] },
  { what: 'a gap before midnight', zone: 'America/Godthab', at: '2027-03-28T01:00:00Z', weekend: [5, 1], holidays: [] },
  // 00:01 becomes 23:01 of the day before.
  { what: 'a midnight that comes again', zone: 'America/St_Johns', at: '2006-10-29T02:31:00Z', weekend: [6, 1], holidays: [] },
  { what: 'such a midnight before a holiday', zone: 'America/St_Johns', at: '2006-10-29T02:31:00Z', weekend: [0], holidays: [] },
  { what: 'such a midnight of business days', zone: 'America/St_Johns', at: '2006-10-29T02:31:00Z', weekend: [5, 1], holidays: [] },
  { what: 'a midnight amid three hours', zone: 'Antarctica/Casey', at: '2010-03-04T15:00:00Z', weekend: [4], holidays: [] },
  { what: 'a day that never was', zone: 'Pacific/Apia', at: '2011-12-30T10:00:00Z', weekend: [4, 6], holidays: [] },
];

/** All day as clocks show it, gaps and repetitions included; fires that nearly meet; and those of a single day. */
function cadencesAround(middle: number): Pick<OracleTiming, 'expressions' | 'dstGap' | 'dstOverlap'>[] {
  const dates = [-1, 0, 1].map((days) => new Date(middle + days * dayMs).getUTCDate());
  return [
    { expressions: ['*/5 * * * *'], dstGap: 'run', dstOverlap: 'both' },
    { expressions: ['*/5 * * * *'], dstGap: 'default', dstOverlap: 'second' },
    { expressions: ['17,47 22,23 * * *', '3,33 0,1,2 * * *'], dstGap: 'default', dstOverlap: 'default' },
    ...dates.map((date) => ({ expressions: [`*/10 * ${date} * *`], dstGap: 'run', dstOverlap: 'both' }) as const),
  ];
}

describe('every fire is found, once and in order, where clocks change', () => {
  for (const onHoliday of ['next', 'previous'] as const)
    it.each(changes)(`on_holiday: ${onHoliday}, over $what in $zone`, { timeout: 30_000 }, ({ zone, at: change, weekend, holidays }) => {
      const middle = Date.parse(change);
      const from = middle - 10 * dayMs;
      const to = middle + 10 * dayMs;
      const asked = Array.from({ length: 400 }, (_, index) => middle + (index - 200) * 754_321);
      // Windows that end where clocks change leave of that day what only a search over the change can find.
      for (const [before, after] of [
        [3 * dayMs, 3 * dayMs],
        [60_000, 3 * dayMs],
        [3 * dayMs, 60_000],
      ] as const)
        for (const cadence of cadencesAround(middle)) {
          const given = { ...cadence, zone, onHoliday, calendar: { weekend, holidays }, starts: middle - before, ends: middle + after };
          const expected = oracleBetween(given, from, to);
          const dues = expected.map((fire) => fire.due);
          const timing = timingOf(given);
          expect(walked(timing, next, from)).toEqual(expected);
          expect(walked(timing, previous, to)).toEqual(expected.toReversed());
          expect(asked.map((at) => next(timing, at)?.due)).toEqual(asked.map((at) => dues.find((due) => due > at)));
          expect(asked.map((at) => previous(timing, at)?.due)).toEqual(asked.map((at) => dues.findLast((due) => due < at)));
        }
    });
});

function walked(timing: Timing, step: (timing: Timing, at: number) => Fire | undefined, from: number): OracleFire[] {
  const fires: OracleFire[] = [];
  for (let fire = step(timing, from); fire !== undefined; fire = step(timing, fire.due)) fires.push({ ...fire });
  return fires;
}

/** The busiest step of those asked around a change. */
interface Work {
  readonly cadence: number;
  readonly clock: number;
}

describe('a step asks a few questions, however many fires there are', () => {
  for (const onHoliday of ['next', 'previous'] as const)
    it.each(changes)(`on_holiday: ${onHoliday}, over $what in $zone`, ({ zone, at, weekend, holidays }) => {
      const calendar = calendarOf(
        weekend,
        holidays.map((day) => ({ day: parseDay(day) })),
      );
      for (const text of ['* * * * * *', '* * * * *', '0 0 * * *']) {
        const { cadence, clock } = busiestStep(text, { zone, calendar, onHoliday, middle: Date.parse(at) });
        // At most four days come due on one here, and a clock change cuts a day in two or three: 8 and 33 were seen.
        expect(cadence).toBeLessThanOrEqual(10);
        expect(clock).toBeLessThanOrEqual(50);
      }
    });
});

function busiestStep(
  text: string,
  options: { zone: string; calendar: CalendarDays; onHoliday: 'next' | 'previous'; middle: number },
): Work {
  const { calendar, onHoliday, middle } = options;
  const zone = new CountedZone(options.zone);
  const rule = { dstGap: 'run', dstOverlap: 'both' } as const;
  const inner = new CountedEvaluator(evaluatorOf(parseCadence(text, { zone: options.zone }), { zone: options.zone, rule, calendar }));
  const moved = new MovedEvaluator(inner, zone, calendar, onHoliday === 'next' ? 1 : -1);
  let cadence = 0;
  let clock = 0;
  const count = (step: () => unknown) => {
    inner.questions = 0;
    zone.questions = 0;
    step();
    cadence = Math.max(cadence, inner.questions);
    clock = Math.max(clock, zone.questions);
  };
  for (let at = middle - 4 * dayMs; at < middle + 4 * dayMs; at += 599_000) {
    count(() => moved.nextMs(at));
    count(() => moved.previousMs(at));
    count(() => moved.matchesMs(at));
    const due = moved.nextMs(at);
    count(() => moved.nominalOf(due));
  }
  return { cadence, clock };
}

class CountedEvaluator implements Evaluator {
  questions = 0;
  private readonly inner: Evaluator;

  constructor(inner: Evaluator) {
    this.inner = inner;
  }

  nextMs(after: number): number {
    this.questions++;
    return this.inner.nextMs(after);
  }

  previousMs(before: number): number {
    this.questions++;
    return this.inner.previousMs(before);
  }

  matchesMs(instant: number): boolean {
    this.questions++;
    return this.inner.matchesMs(instant);
  }
}

class CountedZone extends Zone {
  questions = 0;

  override seek(instant: number): void {
    this.questions++;
    super.seek(instant);
  }
}
