import { expect, describe as group, it } from 'vitest';
import {
  describe,
  neverFires,
  next,
  noBusinessDay,
  note,
  parseCadence,
  type Timing,
  warningsFor,
} from '../../../src/scheduler/cadence/cadence.ts';
import { calendarOf, parseDay } from '../../../src/scheduler/cadence/calendar.ts';

const zone = 'Europe/Berlin';
const now = Date.parse('2026-11-20T00:00:00Z');

function timing(text: string, options: Partial<Timing> = {}): Timing {
  const where = options.zone ?? zone;
  return {
    cadences: [parseCadence(text, { zone: where })],
    zone: where,
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'run',
    jitterMs: 0,
    jitterKey: '',
    ...options,
  };
}

group('in words', () => {
  it.each([
    ['0 2 * * *', 'at 02:00 every day'],
    ['30 3 1-7 * 1', 'at 03:30 on days 1 to 7 of the month or on every Monday'],
    ['30 3 1-7 * +MON', 'at 03:30 on each Monday that falls on days 1 to 7 of the month'],
    ['30 3 1-7 * +MON-WED', 'at 03:30 on each day from Monday to Wednesday that falls on days 1 to 7 of the month'],
    ['*/15 9-17 * * 1-5', 'every 15 minutes between 09:00 and 17:59 from Monday to Friday'],
    ['* * * * *', 'every minute'],
    ['*/10 * * * * *', 'every 10 seconds'],
    ['*/7 * * * *', 'at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour'],
    ['0 18 L * *', 'at 18:00 on the last day of the month'],
    ['0 9 * JAN,JUL MON-FRI', 'at 09:00 from Monday to Friday in January and July'],
    ['0 0 15W,LW * *', 'at 00:00 on the weekday nearest to day 15 and the last weekday (Monday to Friday) of the month'],
    ['0 0 * * FRIL', 'at 00:00 on the last Friday of the month'],
    ['0 12 * * 1#1,1#3', 'at 12:00 on the first Monday of the month and the third Monday of the month'],
    ['0 0 0 1 1 * 2030-2040/5', 'at 00:00 on day 1 of the month in January, in 2030 to 2040 in steps of 5'],
    ['0 0 0 * * * */4', 'at 00:00 every day in years divisible by 4'],
    ['@hourly', 'every hour, on the hour'],
    ['7 */3 * * *', 'every 3 hours, at minute 7'],
    ['@weekly', 'at 00:00 on every Sunday'],
    ['30 * * * * *', 'at second 30 of every minute'],
    ['0 8,12,18 * * 1,3,5', 'at 08:00, 12:00 and 18:00 on every Monday, Wednesday and Friday'],
    ['0 0 */2 * MON', 'at 00:00 every 2 days from day 1 of the month or on every Monday'],
    ['@reboot', 'at each start of the scheduler'],
    ['every 30m', 'every 30 minutes'],
    ['every 1d', 'every day at 00:00'],
    ['every 2w', 'every 2 weeks at 00:00, on Mondays'],
    ['every 1h30m', 'every 1 hour and 30 minutes'],
    ["every 1h from '2027-01-01 00:15'", 'every hour, counted from 2027-01-01 00:15'],
    ["at '2027-09-20 02:00'", 'once, at 2027-09-20 02:00'],
    ['2027-09-20T02:00:00Z', 'once, at 2027-09-20 04:00:00 +02:00 CEST'],
    ['business days at 18:00', 'at 18:00 on every business day'],
    ['quarter end at 23:00', 'at 23:00 on the last day of the quarter'],
    ['last business day of month at 17:30', 'at 17:30 on the last business day of the month'],
    ['first monday of month at 03:30', 'at 03:30 on the first Monday of the month'],
  ])('%s is "%s"', (text, words) => {
    expect(describe([parseCadence(text, { zone })], zone)).toBe(`${words} (Europe/Berlin)`);
  });

  it('joins a list', () => {
    const list = ['0 2 * * *', 'month end at 23:00'].map((text) => parseCadence(text, { zone }));
    expect(describe(list, zone)).toBe('at 02:00 every day; and at 23:00 on the last day of the month (Europe/Berlin)');
  });
});

group('the note of a fire', () => {
  const noteOf = (given: Timing, after: string) => {
    const fire = next(given, Date.parse(after));
    return fire === undefined ? 'none' : note(given, fire);
  };
  it('says when clocks change under it', () => {
    expect(noteOf(timing('30 2 * * *'), '2027-03-27T12:00:00Z')).toBe('clocks go forward: 02:00 becomes 03:00');
    expect(noteOf(timing('30 2 * * *'), '2027-10-30T12:00:00Z')).toBe('clocks go back: the first 02:30');
    expect(noteOf(timing('*/30 * * * *'), '2027-10-31T00:45:00Z')).toBe('clocks go back: the second 02:00');
    expect(noteOf(timing('30 2 * * *'), '2027-06-01T12:00:00Z')).toBe('');
  });
  it('says what the calendar did', () => {
    const calendar = calendarOf([0, 6], [{ day: parseDay('2027-01-01'), name: 'Neujahr' }]);
    expect(noteOf(timing('0 9 1 1 *', { calendar, onHoliday: 'next' }), '2026-12-30T00:00:00Z')).toBe('moved from holiday Neujahr');
    expect(noteOf(timing('0 9 * * 6', { calendar, onHoliday: 'previous' }), '2027-01-06T00:00:00Z')).toBe('moved from Saturday');
    expect(noteOf(timing('0 9 * * *', { calendar, onHoliday: 'skip' }), '2027-01-01T00:00:00Z')).toBe('skipped: holiday Neujahr');
    expect(noteOf(timing('0 9 * * *', { calendar, onHoliday: 'run' }), '2027-01-01T00:00:00Z')).toBe('');
  });
});

group('warnings', () => {
  it('says "or" where both day fields are restricted, and how to say the first Monday', () => {
    expect(warningsFor(timing('30 3 1-7 * 1'), now)).toEqual([
      {
        code: 'day_or_weekday',
        message: 'fires on days 1-7 and on every Monday',
        hint: 'for the first Monday write `30 3 1-7 * +1` or `30 3 * * 1#1`',
        span: { start: 5, end: 12 },
      },
    ]);
    expect(warningsFor(timing('0 0 3 8-14 * TUE'), now)[0]?.hint).toBe(
      'for the second Tuesday write `0 0 3 8-14 * +TUE` or `0 0 3 * * 2#2`',
    );
    expect(warningsFor(timing('0 0 13 * FRI'), now)[0]?.hint).toBe('for days that are both write `0 0 13 * +FRI`');
    expect(warningsFor(timing('30 3 1-7 * +1'), now)).toEqual([]);
  });
  it('names the day on which a time does not exist', () => {
    expect(warningsFor(timing('30 2 * * *'), now)).toEqual([
      {
        code: 'dst_gap',
        message: '02:30 does not exist in Europe/Berlin on 2027-03-28, when clocks go forward: it fires at 03:30',
        hint: 'dst_gap: skip leaves that day out',
      },
    ]);
    expect(warningsFor(timing('30 2 * * *', { dstGap: 'skip' }), now)[0]?.message).toContain('it does not fire that day');
    expect(warningsFor(timing('*/15 2 * * *'), now)[0]?.message).toContain('it does not fire that day');
    expect(warningsFor(timing('15 2 * * *', { zone: 'Australia/Lord_Howe' }), now)[0]?.message).toContain('it fires at 02:45');
    expect(warningsFor(timing("at '2035-03-25 02:30'"), now)[0]?.code).toBe('dst_gap');
  });
  it('does not warn of what loses nothing', () => {
    for (const text of ['*/15 * * * *', '0 4 * * *', 'every 1h', '30 2 15 * *', '2027-03-28T02:30:00Z'])
      expect(warningsFor(timing(text), now)).toEqual([]);
    expect(warningsFor(timing('30 2 * * *', { zone: 'UTC' }), now)).toEqual([]);
    expect(warningsFor(timing('30 2 * * *', { ends: Date.parse('2027-03-01') }), now)).toEqual([]);
  });
  it('says what is already past', () => {
    expect(warningsFor(timing("at '2020-01-01 00:00'"), now).map((warning) => warning.code)).toEqual(['already_past']);
    expect(warningsFor(timing('0 0 0 1 1 * 2020-2025'), now).map((warning) => warning.code)).toEqual(['already_past']);
    expect(warningsFor(timing('0 0 * * *', { ends: now - 1 }), now).map((warning) => warning.code)).toEqual(['already_past']);
    expect(warningsFor(timing('@reboot'), now)).toEqual([]);
  });
});

group('never', () => {
  it('a window that no fire lies in', () => {
    const [starts, ends] = [Date.parse('2027-02-01'), Date.parse('2027-03-01')];
    expect(neverFires(timing('0 0 5 1 *', { starts, ends }))?.code).toBe('never_fires');
    expect(neverFires(timing('0 0 5 2 *', { starts, ends }))).toBeUndefined();
    expect(neverFires(timing('0 0 5 2 *', { starts: ends, ends: starts }))?.message).toBe('the schedule ends before it starts');
    expect(neverFires(timing("at '2026-01-01 00:00'", { starts }))?.code).toBe('never_fires');
    expect(neverFires(timing('0 0 5 1 *'))).toBeUndefined();
  });
  it('a calendar without a business day', () => {
    const all = calendarOf([0, 1, 2, 3, 4, 5, 6], []);
    expect(noBusinessDay(timing('0 9 * * *', { calendar: all, onHoliday: 'next' }), now)?.message).toBe(
      'on_holiday: next finds no business day within ten years',
    );
    expect(noBusinessDay(timing('business days at 18:00', { calendar: all, onHoliday: 'skip' }), now)?.message).toContain(
      'business days at 18:00',
    );
    expect(noBusinessDay(timing('0 9 * * *', { calendar: all, onHoliday: 'skip' }), now)).toBeUndefined();
    expect(noBusinessDay(timing('0 9 * * *', { calendar: calendarOf([0, 6], []), onHoliday: 'previous' }), now)).toBeUndefined();
  });
});
