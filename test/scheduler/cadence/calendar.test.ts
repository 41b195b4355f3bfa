import { describe, expect, it } from 'vitest';
import {
  businessDayFrom,
  calendarOf,
  horizonOf,
  isFree,
  parseDay,
  parseWeekday,
  whyFree,
} from '../../../src/scheduler/cadence/calendar.ts';
import { formatDay } from '../../../src/scheduler/cadence/civil.ts';
import { countryHolidays } from '../../../src/scheduler/cadence/country.ts';
import { parseIcs } from '../../../src/scheduler/cadence/ics.ts';

const horizon = { from: parseDay('2026-01-01'), to: parseDay('2028-12-31') };

describe('a calendar', () => {
  const calendar = calendarOf(
    [6, 0, 0],
    [{ day: parseDay('2027-12-25') }, { day: parseDay('2027-01-01'), name: 'New Year' }, { day: parseDay('2027-01-01') }],
  );
  it('holds each day once, in order', () => {
    expect(calendar.weekend).toEqual([0, 6]);
    expect(calendar.holidays.map(formatDay)).toEqual(['2027-01-01', '2027-12-25']);
  });
  it('knows free days and why they are free', () => {
    expect(isFree(calendar, parseDay('2027-01-04'))).toBe(false);
    expect(whyFree(calendar, parseDay('2027-01-04'))).toBeUndefined();
    expect(whyFree(calendar, parseDay('2027-01-01'))).toBe('holiday New Year');
    expect(whyFree(calendar, parseDay('2027-12-25'))).toBe('holiday 2027-12-25');
    expect(whyFree(calendar, parseDay('2027-01-02'))).toBe('Saturday');
  });
  it('finds the next business day, and none where there is none', () => {
    expect(formatDay(businessDayFrom(calendar, parseDay('2027-01-01'), 1))).toBe('2027-01-04');
    expect(formatDay(businessDayFrom(calendar, parseDay('2027-01-03'), -1))).toBe('2026-12-31');
    expect(businessDayFrom(calendarOf([0, 1, 2, 3, 4, 5, 6], []), 0, 1)).toBeNaN();
  });
  it('reads days and weekdays, and refuses what is neither', () => {
    expect([parseWeekday('sat'), parseWeekday('Sunday'), parseWeekday('7')]).toEqual([6, 0, 0]);
    expect(() => parseWeekday('caturday')).toThrow("'caturday' is not a day of the week");
    expect(() => parseDay('2027-02-29')).toThrow("'2027-02-29' is not a day");
  });
  it('spells recurring days out over more than ten years ahead', () => {
    const { from, to } = horizonOf(Date.parse('2026-11-20T00:00:00Z'));
    expect([formatDay(from) < '2025-01-01', formatDay(to) > '2038-01-01']).toEqual([true, true]);
  });
});

describe('an iCalendar text', () => {
  const days = (...events: string[][]) =>
    parseIcs(
      ['BEGIN:VCALENDAR', 'VERSION:2.0', ...events.flatMap((lines) => ['BEGIN:VEVENT', ...lines, 'END:VEVENT']), 'END:VCALENDAR'].join(
        '\r\n',
      ),
      {
        zone: 'Europe/Berlin',
        horizon,
      },
    ).map(({ day, name }) => (name === undefined ? formatDay(day) : `${formatDay(day)} ${name}`));

  it('gives every day of an all-day event; its end is not part of it', () => {
    expect(days(['DTSTART;VALUE=DATE:20270510', 'DTEND;VALUE=DATE:20270513', 'SUMMARY:Inventory\\, all halls'])).toEqual([
      '2027-05-10 Inventory, all halls',
      '2027-05-11 Inventory, all halls',
      '2027-05-12 Inventory, all halls',
    ]);
    expect(days(['DTSTART;VALUE=DATE:20270510', 'DURATION:P2D'])).toEqual(['2027-05-10', '2027-05-11']);
  });
  it('gives the days that a timed event touches, on the calendar’s own clock', () => {
    expect(days(['DTSTART:20270510T220000Z', 'DTEND:20270511T000000Z'])).toEqual(['2027-05-11']);
    expect(days(['DTSTART;TZID=America/New_York:20270510T200000', 'DURATION:PT1H'])).toEqual(['2027-05-11']);
    expect(days(['DTSTART:20270510T220000', 'DTEND:20270512T000000'])).toEqual(['2027-05-10', '2027-05-11']);
  });
  it('joins folded lines', () => {
    expect(days(['DTSTART;VALUE=DATE:20270101', 'SUMMARY:New', '  Year'])).toEqual(['2027-01-01 New Year']);
  });
  it.each([
    ['FREQ=YEARLY', ['2026-05-04', '2027-05-04', '2028-05-04']],
    ['FREQ=YEARLY;INTERVAL=2', ['2026-05-04', '2028-05-04']],
    ['FREQ=YEARLY;COUNT=2', ['2026-05-04', '2027-05-04']],
    ['FREQ=YEARLY;UNTIL=20271231', ['2026-05-04', '2027-05-04']],
    ['FREQ=YEARLY;BYMONTH=5;BYDAY=1MO', ['2026-05-04', '2027-05-03', '2028-05-01']],
    ['FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO', ['2026-05-04', '2026-05-25', '2027-05-31', '2028-05-29']],
    ['FREQ=YEARLY;BYDAY=-1MO', ['2026-05-04', '2026-12-28', '2027-12-27', '2028-12-25']],
    [
      'FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24,25',
      ['2026-05-04', '2026-12-24', '2026-12-25', '2027-12-24', '2027-12-25', '2028-12-24', '2028-12-25'],
    ],
    ['FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2', ['2026-05-04', '2026-05-31', '2026-06-30']],
    ['FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=2', ['2026-05-04', '2026-05-29', '2026-06-30']],
    ['FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;COUNT=4', ['2026-05-04', '2026-05-08', '2026-05-18', '2026-05-22']],
    ['FREQ=DAILY;COUNT=3', ['2026-05-04', '2026-05-05', '2026-05-06']],
  ])('repeats by %s', (rule, expected) => {
    expect(days(['DTSTART;VALUE=DATE:20260504', `RRULE:${rule}`])).toEqual(expected);
  });
  it('leaves out what is excluded, moved or cancelled', () => {
    expect(
      days(
        ['UID:1', 'DTSTART;VALUE=DATE:20260504', 'RRULE:FREQ=YEARLY', 'EXDATE;VALUE=DATE:20270504'],
        ['UID:1', 'RECURRENCE-ID;VALUE=DATE:20280504', 'DTSTART;VALUE=DATE:20280505'],
        ['UID:2', 'DTSTART;VALUE=DATE:20270801', 'STATUS:CANCELLED'],
      ),
    ).toEqual(['2026-05-04', '2028-05-05']);
  });
  it('says what it does not take', () => {
    expect(() => days(['DTSTART;VALUE=DATE:20260504', 'RRULE:FREQ=YEARLY;BYWEEKNO=20'])).toThrow(
      'line 5: the rule part BYWEEKNO=20 is not understood',
    );
    expect(() => days(['DTSTART;VALUE=DATE:20260504', 'RRULE:FREQ=HOURLY'])).toThrow('line 5: the rule part FREQ=HOURLY is not understood');
    expect(() => days(['DTSTART;VALUE=DATE:20260231'])).toThrow("line 4: '20260231' is not a date of DTSTART");
    expect(() => days(['DTSTART;TZID=Mars/Olympus:20260504T000000'])).toThrow("line 4: there is no time zone 'Mars/Olympus'");
    expect(() => days(['SUMMARY:no start'])).toThrow('line 3: the event that begins here has no DTSTART');
    expect(() => parseIcs('day,name\n2027-01-01,New Year', { zone: 'UTC', horizon })).toThrow('this is not an iCalendar text');
  });
});

describe('a country', () => {
  const year = { from: parseDay('2027-01-01'), to: parseDay('2027-12-31') };
  it('has its public holidays', async () => {
    const japan = await countryHolidays('jp', year);
    expect(japan.map(({ day }) => formatDay(day))).toEqual(expect.arrayContaining(['2027-01-01', '2027-02-11', '2027-05-03']));
    expect(japan.map(({ day }) => formatDay(day))).not.toContain('2027-12-25');
  });
  it('has those of its parts', async () => {
    const days = async (code: string) => (await countryHolidays(code, year)).map(({ day }) => formatDay(day));
    expect(await days('DE-BY')).toContain('2027-01-06');
    expect(await days('DE')).not.toContain('2027-01-06');
  });
  it('is refused where there is none, with the code that was meant', async () => {
    await expect(countryHolidays('Japan', year)).rejects.toMatchObject({ code: 'invalid_value', hint: "did you mean 'JP'?" });
    await expect(countryHolidays('DE-XX', year)).rejects.toThrow("has no part 'XX'");
  });
  it('says what to install where the package is absent', async () => {
    const absent = () => Promise.reject(new Error("Cannot find package 'date-holidays'"));
    await expect(countryHolidays('JP', year, absent)).rejects.toMatchObject({
      code: 'missing_dependency',
      hint: expect.stringContaining('npm install date-holidays'),
    });
  });
});
