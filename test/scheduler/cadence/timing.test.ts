// Composed timings: lists, windows, calendars, jitter; and that next, previous and matches tell one story.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compile, type Fire, matches, next, parseCadence, previous, type Timing } from '../../../src/scheduler/cadence/cadence.ts';
import { calendarOf, parseDay } from '../../../src/scheduler/cadence/calendar.ts';
import { timingOf } from './agreement.ts';
import { randomCase } from './randomCases.ts';
import { provenZones } from './zones.ts';

const at = (text: string) => Date.parse(text.replace(' ', 'T').concat('Z'));
const shown = (instant: number) => new Date(instant).toISOString().slice(0, 16).replace('T', ' ');

function timing(texts: string | readonly string[], options: Partial<Timing> = {}): Timing {
  const zone = options.zone ?? 'UTC';
  return {
    cadences: [texts].flat().map((text) => parseCadence(text, { zone })),
    zone,
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'run',
    jitterMs: 0,
    jitterKey: 'nightly',
    ...options,
  };
}

function fires(given: Timing, after: string, count: number): Fire[] {
  const found: Fire[] = [];
  let from = at(after);
  while (found.length < count) {
    const fire = next(given, from);
    if (fire === undefined) break;
    found.push(fire);
    from = fire.due;
  }
  return found;
}

const dues = (given: Timing, after: string, count: number) => fires(given, after, count).map((fire) => shown(fire.due));

describe('next, previous and matches agree with one another', () => {
  it('in any zone, for any form and option', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const given = randomCase(seed, { zones: provenZones });
        let value: Timing;
        try {
          value = timingOf(given);
        } catch {
          return; // 31 February and its like.
        }
        const first = next(value, given.start);
        if (first === undefined) return;
        expect(first.due).toBeGreaterThan(given.start);
        expect(matches(value, first.due)).toBe(true);
        // What comes before the found one is not after the start, and it is the found one that comes after it.
        const before = previous(value, first.due);
        if (before !== undefined) {
          expect(before.due).toBeLessThanOrEqual(given.start);
          expect(next(value, before.due)).toEqual(first);
        }
        expect(previous(value, first.due + 1)).toEqual(first);
        expect(next(value, first.due - 1)).toEqual(first);
        const middle = Math.floor((given.start + first.due) / 2);
        if (middle > given.start && middle < first.due) expect(matches(value, middle)).toBe(false);
      }),
      { numRuns: 3000, seed: 20_261_120 },
    );
  });

  it('wherever between two fires one asks', () => {
    const given = timing('30 2 * * *', { zone: 'Europe/Berlin' });
    const [first, second] = fires(given, '2027-03-27 00:00', 2) as [Fire, Fire];
    for (let instant = first.due; instant < second.due; instant += 1_234_567) expect(next(given, instant)).toEqual(second);
    for (let instant = second.due; instant > first.due; instant -= 1_234_567) expect(previous(given, instant)).toEqual(first);
  });
});

describe('a list of cadences', () => {
  it('fires at the union, each instant once', () => {
    expect(dues(timing(['0 */6 * * *', '0 */4 * * *']), '2027-01-01 00:00', 5)).toEqual([
      '2027-01-01 04:00',
      '2027-01-01 06:00',
      '2027-01-01 08:00',
      '2027-01-01 12:00',
      '2027-01-01 16:00',
    ]);
  });
});

describe('a window', () => {
  const given = timing('0 0 * * *', { starts: at('2027-02-01 00:00'), ends: at('2027-02-03 00:00') });
  it('begins with its first instant and ends before its last', () => {
    expect(dues(given, '2026-01-01 00:00', 9)).toEqual(['2027-02-01 00:00', '2027-02-02 00:00']);
    expect(previous(given, at('2030-01-01 00:00'))?.due).toBe(at('2027-02-02 00:00'));
    expect(previous(given, at('2027-02-01 00:00'))).toBeUndefined();
  });
  it('is of nominal instants: what a calendar moves may leave it', () => {
    const moved = timing('0 9 * * *', {
      ...given,
      cadences: [parseCadence('0 9 * * 6', { zone: 'UTC' })],
      ends: at('2027-02-07 00:00'),
      calendar: calendarOf([0, 6], []),
      onHoliday: 'next',
    });
    expect(fires(moved, '2026-01-01 00:00', 9).map((fire) => [shown(fire.nominal), shown(fire.due)])).toEqual([
      ['2027-02-06 09:00', '2027-02-08 09:00'],
    ]);
  });
});

describe('on_holiday', () => {
  // Good Friday and Easter Monday 2027 around a weekend.
  const easter = calendarOf(
    [0, 6],
    ['2027-03-26', '2027-03-29'].map((day) => ({ day: parseDay(day) })),
  );
  const daily = (onHoliday: Timing['onHoliday']) => timing('0 9 * * *', { calendar: easter, onHoliday });

  it('run: leaves everything as it is', () => {
    expect(dues(daily('run'), '2027-03-25 00:00', 3)).toEqual(['2027-03-25 09:00', '2027-03-26 09:00', '2027-03-27 09:00']);
  });
  it('skip: fires are refused, so that each can be a row', () => {
    expect(fires(daily('skip'), '2027-03-25 00:00', 6).map((fire) => fire.refused)).toEqual([false, true, true, true, true, false]);
  });
  it('next: four free days and the Tuesday are one fire, and it is the Tuesday', () => {
    expect(fires(daily('next'), '2027-03-25 00:00', 3).map((fire) => [shown(fire.nominal), shown(fire.due)])).toEqual([
      ['2027-03-25 09:00', '2027-03-25 09:00'],
      ['2027-03-30 09:00', '2027-03-30 09:00'],
      ['2027-03-31 09:00', '2027-03-31 09:00'],
    ]);
  });
  it('previous: the Thursday is one fire', () => {
    expect(dues(daily('previous'), '2027-03-25 00:00', 2)).toEqual(['2027-03-25 09:00', '2027-03-30 09:00']);
  });
  it('next: of several that move together, the nearest gives its name', () => {
    const weekend = timing('0 9 * * 6,0', { calendar: easter, onHoliday: 'next' });
    expect(fires(weekend, '2027-03-25 00:00', 2).map((fire) => [shown(fire.nominal), shown(fire.due)])).toEqual([
      ['2027-03-28 09:00', '2027-03-30 09:00'],
      ['2027-04-04 09:00', '2027-04-05 09:00'],
    ]);
  });
  it('previous: of several that move together, the nearest gives its name', () => {
    const weekend = timing('0 9 * * 6,0', { calendar: easter, onHoliday: 'previous' });
    expect(fires(weekend, '2027-03-25 00:00', 2).map((fire) => [shown(fire.nominal), shown(fire.due)])).toEqual([
      ['2027-03-27 09:00', '2027-03-25 09:00'],
      ['2027-04-03 09:00', '2027-04-02 09:00'],
    ]);
  });
  it('keeps the time of the clock over a clock change', () => {
    const sunday = timing('30 2 * * 0', { zone: 'Europe/Berlin', calendar: calendarOf([0], []), onHoliday: 'next' });
    expect(fires(sunday, '2027-10-30 00:00', 1).map((fire) => [shown(fire.nominal), shown(fire.due)])).toEqual([
      ['2027-10-31 00:30', '2027-11-01 01:30'],
    ]);
  });
  it('finds a fire that a gap before midnight carried into the next day', () => {
    // Nuuk, 27 March 2027: 23:00 becomes 00:00, so that Friday's 23:30, moved to the Saturday, comes due on Sunday at 00:30.
    const nuuk = (texts: string | string[]) => timing(texts, { zone: 'America/Godthab', calendar: calendarOf([5], []), onHoliday: 'next' });
    expect(dues(nuuk('30 23 * * 5'), '2027-03-28 01:10', 1)).toEqual(['2027-03-28 01:30']);
    expect(dues(nuuk(['30 23 * * 5', '15 0 * * 0']), '2027-03-27 20:00', 2)).toEqual(['2027-03-28 01:15', '2027-03-28 01:30']);
    expect(shown(previous(nuuk(['30 23 * * 5', '45 0 * * 0']), at('2027-03-28 01:40'))?.due ?? 0)).toBe('2027-03-28 01:30');
  });
  it('fires nothing where no day is free for business', () => {
    expect(
      next(timing('0 9 * * *', { calendar: calendarOf([0, 1, 2, 3, 4, 5, 6], []), onHoliday: 'next' }), at('2027-01-01 00:00')),
    ).toBeUndefined();
  });
});

describe('calendar words', () => {
  const tokyo = calendarOf(
    [0, 6],
    ['2027-01-01', '2027-01-29', '2027-03-31'].map((day) => ({ day: parseDay(day) })),
  );
  it('read the holidays', () => {
    expect(dues(timing('business days at 18:00', { calendar: tokyo }), '2026-12-31 20:00', 2)).toEqual([
      '2027-01-04 18:00',
      '2027-01-05 18:00',
    ]);
    expect(dues(timing('last business day of month at 17:30', { calendar: tokyo }), '2027-01-01 00:00', 3)).toEqual([
      '2027-01-28 17:30',
      '2027-02-26 17:30',
      '2027-03-30 17:30',
    ]);
    expect(dues(timing('third business day of month at 06:00', { calendar: tokyo }), '2027-01-01 00:00', 1)).toEqual(['2027-01-06 06:00']);
  });
  it('read the weekend', () => {
    expect(dues(timing('business days at 08:00', { calendar: calendarOf([5, 6], []) }), '2027-01-01 00:00', 2)).toEqual([
      '2027-01-03 08:00',
      '2027-01-04 08:00',
    ]);
  });
});

describe('jitter', () => {
  const spread = (name: string, minutes: number) => timing('0 2 * * *', { jitterMs: minutes * 60_000, jitterKey: name });
  it('moves what is due, never what is nominal, and always by the same', () => {
    const [first, second] = fires(spread('nightly', 10), '2027-01-01 12:00', 2) as [Fire, Fire];
    expect(shown(first.nominal)).toBe('2027-01-02 02:00');
    expect(first.due - first.nominal).toBe(second.due - second.nominal);
    expect(first.due - first.nominal).toBeGreaterThan(0);
    expect(first.due - first.nominal).toBeLessThan(600_000);
    expect(matches(spread('nightly', 10), first.due)).toBe(true);
    expect(matches(spread('nightly', 10), first.nominal)).toBe(false);
  });
  it('is the same on every machine', () => {
    const [fire] = fires(spread('nightly', 10), '2027-01-01 12:00', 1) as [Fire];
    expect(fire.due - fire.nominal).toBe(nightlyOffsetMs);
  });
  it('spreads names that differ in one letter evenly over its width', () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let index = 0; index < 10_000; index++) {
      const fire = next(spread(`job_${index}`, 60), at('2027-01-01 12:00'));
      const tenth = Math.floor(((fire?.due ?? 0) - (fire?.nominal ?? 0)) / 360_000);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});

/** What the hash makes of 'nightly' in ten minutes: a change of it would move every jittered schedule there is. */
const nightlyOffsetMs = 371_202;

describe('compiled timings', () => {
  it('are shared between schedules that have the same cadence', () => {
    expect(compile(timing('*/5 * * * *'))).toBe(compile(timing('*/5 * * * *', { jitterKey: 'another' })));
    expect(compile(timing('*/5 * * * *'))).not.toBe(compile(timing('*/5 * * * *', { zone: 'Europe/Berlin' })));
    expect(compile(timing('*/5 * * * *'))).not.toBe(compile(timing('*/5 * * * *', { dstOverlap: 'first' })));
  });
  it('answer infinities where there is nothing', () => {
    const once = compile(timing("at '2027-01-01 00:00'"));
    expect(once.nextMs(at('2027-01-01 00:00'))).toBe(Number.POSITIVE_INFINITY);
    expect(once.previousMs(at('2027-01-01 00:00'))).toBe(Number.NEGATIVE_INFINITY);
  });
  it('fire nothing before 1970 and nothing after 9999', () => {
    for (const text of ['* * * * *', 'every 30m', 'every 1d', 'month end at 23:00']) {
      for (const zone of ['UTC', 'Pacific/Apia', 'Europe/Berlin']) {
        const given = compile(timing(text, { zone }));
        expect(given.nextMs(-1e15)).toBeGreaterThanOrEqual(0);
        expect(given.previousMs(0)).toBe(Number.NEGATIVE_INFINITY);
        expect(given.previousMs(1e15)).toBeLessThanOrEqual(253_402_300_799_999);
        expect(given.nextMs(253_402_300_799_999)).toBe(Number.POSITIVE_INFINITY);
      }
    }
  });
});
