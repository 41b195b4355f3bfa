// Reading cadences: what is understood, what is refused, and where an error points.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { type Cadence, next, parseCadence, type Timing } from '../../../src/scheduler/cadence/cadence.ts';

const zone = 'Europe/Berlin';
const read = (text: string, dialect?: 'pg_cron'): Cadence => parseCadence(text, { zone, ...(dialect === undefined ? {} : { dialect }) });

function mistake(text: string): { code: string; message: string; at: string; hint: string } {
  try {
    const cadence = read(text);
    throw new Error(`'${text}' was understood: ${JSON.stringify(cadence)}`);
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    const { code, message, span, hint = '' } = error;
    return { code, message, at: span === undefined ? '' : text.slice(span.start, span.end), hint };
  }
}

describe('what cron-parser lacks is understood', () => {
  it.each([
    '0 0 15W * *',
    '0 0 LW * *',
    '0 0 L,15W * *',
    '30 3 1-7 * +MON',
    '0 0 * * MON#L',
    '0 0 * * 5#L',
    '0 0 * * 1#1,3#2',
    '0 0 * * FRIL',
    '0 0 $ * *',
    '0 0 0 1 1 * 2030',
    '0 0 0 1 1 * */4',
    '0 0 0 1 1 * 2030-2040/5,2050',
    '@midnight',
    '@DAILY',
    '@Hourly',
    '1,1 * * * *',
    '1-5,3 * * * *',
    '*,5 * * * *',
    '0 0 * * 0,7',
    '0 0 31 1,2 *',
  ])('%s', (text) => {
    expect(read(text).kind).toBe('cron');
  });
});

describe('what cron-parser wrongly accepts is refused', () => {
  it.each([
    ['0 2 * *', "'0 2 * *' has 4 fields", '0 2 * *'],
    ['0 2', "'0 2' has 2 fields", '0 2'],
    ['* * * * * * * *', "'* * * * * * * *' has 8 fields", '*'],
    ['*/60 * * * *', 'step 60 is outside 1-59 for the minute', '60'],
    ['0 */24 * * *', 'step 24 is outside 1-23 for the hour', '24'],
    ['0 0 */32 * *', 'step 32 is outside 1-31 for the day of month', '32'],
    ['0 0 * */13 *', 'step 13 is outside 1-12 for the month', '13'],
    ['0 0 * * */8', 'step 8 is outside 1-7 for the weekday', '8'],
    ['*/0 * * * *', 'step 0 is outside 1-59 for the minute', '0'],
    ['0 0 * * *#1', "'*#1' is not a weekday", '*#1'],
    ['H 2 * * *', "'H' is not a minute", 'H'],
    ['H/15 2 * * *', "'H' is not a minute", 'H'],
    ['0 0 * * MON5', "'MON5' is not a weekday", 'MON5'],
    ['0 0 * JAN1 *', "'JAN1' is not a month", 'JAN1'],
    ['0 0 * JANFEB *', "'JANFEB' is not a month", 'JANFEB'],
  ])('%s', (text, message, at) => {
    expect(mistake(text)).toMatchObject({ code: 'invalid_cadence', message, at });
  });
});

describe('an error points at the piece, says the legal range and the likely intent', () => {
  it.each([
    ['60 * * * *', '60', 'minute 60 is outside 0-59', 'the full hour is 0'],
    ['0 24 * * *', '24', 'hour 24 is outside 0-23', 'midnight is hour 0'],
    ['0 30 * * *', '30', 'hour 30 is outside 0-23', 'legal: 0-23; the minute stands first, then the hour'],
    ['0 0 0 * *', '0', 'day of month 0 is outside 1-31', 'days count from 1; the last day is L'],
    ['0 0 1 13 *', '13', 'month 13 is outside 1-12', 'legal: 1-12 or JAN-DEC'],
    ['0 0 * * 8', '8', 'weekday 8 is outside 0-7', 'legal: 0-7 (0 and 7 are Sunday) or SUN-SAT, 1#1, FRIL'],
    ['0 0 * * MONDAY', 'MONDAY', "'MONDAY' is not a weekday", 'did you mean MON?'],
    ['0 0 * * FRI-MON', 'FRI-MON', 'the range FRI-MON runs backwards', 'ranges rise; write FRI-7,0-MON'],
    ['0 0 * * SAT-SUN', 'SAT-SUN', 'the range SAT-SUN runs backwards', 'Sunday at the end is 7: SAT-7'],
    ['30-10 * * * *', '30-10', 'the range 30-10 runs backwards', 'ranges rise; write 30-59,0-10'],
    ['0 0 * * 1#6', '6', "'#6' is outside #1-#5", 'legal: 1#1 to 1#5, or 1#L for the last'],
    ['0 0 * * L', 'L', "a weekday 'L' alone is unclear", 'write 6 for Saturday, or FRIL for the last Friday of the month'],
    ['0 0 1-15W * *', '1-15W', "'1-15W' is not a day of month", 'W belongs to one day, as in 15W or LW; it takes no range and no step'],
    ['0 0 32W * *', '32', 'day of month 32 is outside 1-31', 'legal: 1-31, L (last day), LW, 15W'],
    ['0 0 * * +', '+', "a '+' stands alone", 'write the weekday behind it: 1-7 * +MON'],
    ['0 2,,3 * * *', '2,,3', "the list '2,,3' has an empty place", 'remove the extra comma'],
    ['0 0 0 1 1 * 10000', '10000', 'year 10000 is outside 1-9999', 'legal: 1-9999'],
    ['every 5', '5', "'5' has no unit", 'write every 5s, every 5m or every 5h'],
    ['every 500ms', '500ms', "'500ms' is shorter than a second", 'intervals last from 1s to 366d'],
    ['every 367d', '367d', "'367d' is longer than 366 days", 'intervals last from 1s to 366d'],
    [
      'every 3 months',
      '3 months',
      'months differ in length',
      "write a cron, such as '0 0 1 * *', or calendar words, such as month end at 23:00",
    ],
    [
      "every 1h from 'noon'",
      "'noon'",
      "'noon' is not an instant",
      "write at '2027-09-20 02:00' (in the schedule's zone) or 2027-09-20T02:00:00Z",
    ],
    ['30s', '30s', "'30s' is a duration", 'did you mean `every 30s`?'],
    ['@every 5m', '@every 5m', "'@every 5m' is not an alias", 'did you mean `every 5m`?'],
    ["at '2027-02-30 00:00'", "'2027-02-30 00:00'", '2027-02 has no day 30', 'its days are 1-28'],
    ["at '2027-01-01 24:00'", "'2027-01-01 24:00'", 'hour 24 is outside 0-23', 'midnight is 00:00 of the next day'],
    ["at '1969-12-31 00:00'", "'1969-12-31 00:00'", 'the year 1969 is too early', 'instants exist from 1970 to 9999'],
    ['month end', 'end', "'month end' has no time of the day", 'write month end at 18:00'],
    ['month end at 25:00', '25:00', "'25:00' is outside 00:00-23:59:59", 'write 18:00 or 18:00:30'],
  ])('%s', (text, at, message, hint) => {
    expect(mistake(text)).toEqual({ code: 'invalid_cadence', message, at, hint });
  });

  it('keeps the place when spaces stand before the text', () => {
    expect(mistake('   0  25   * * *').at).toBe('25');
    expect(mistake('  every   5 parsecs').at).toBe('5 parsecs');
  });

  it('refuses what is longer than any cadence, at once', () => {
    expect(mistake(`${'1,'.repeat(500_000)}1 * * * *`).message).toBe('the cadence has 1000009 characters');
  });

  it('shows every form where nothing is recognised', () => {
    expect(mistake('nightly').hint).toContain('every 30m');
    expect(mistake('').message).toBe('the cadence is empty');
  });
});

describe('what can never fire is refused, and what is only past is not', () => {
  it.each(['0 0 31 2 *', '0 0 30,31 2 *', '0 0 31 4,6,9,11 *', '0 0 31W 2 *', '0 0 0 29 2 * 2023', '0 0 30 2 +MON'])(
    '%s never fires',
    (text) => {
      expect(mistake(text).code).toBe('never_fires');
    },
  );

  it('points at the date that does not exist', () => {
    expect(mistake('0 0 31 2 *').at).toBe('31 2 *');
  });

  it.each(['0 0 31 2 MON', '0 0 29 2 *', '0 0 0 1 1 * 1999', '0 0 0 1 1 * 1', "at '1999-01-01 00:00'"])('%s is accepted', (text) => {
    expect(read(text)).toBeDefined();
  });
});

describe('the canonical text', () => {
  it.each([
    ['  0   9 * jan-mar Mon ', '0 9 * JAN-MAR MON'],
    ['0 0 $ * *', '0 0 L * *'],
    ['@MIDNIGHT', '@midnight'],
    ['every 90 minutes', 'every 1h30m'],
    ['every 24 hours', 'every 24h'],
    ['every 7 days', 'every 1w'],
    ['every minute', 'every 1m'],
    ['30 seconds', 'every 30s'],
    ["every 1h from '2027-01-01 00:15'", "every 1h from '2027-01-01 00:15'"],
    ['2027-09-20T02:00:00Z', "at '2027-09-20T02:00:00Z'"],
    ['at "2027-09-20 02:00"', "at '2027-09-20 02:00'"],
    ["at '2027-09-20 02:00+02:00'", "at '2027-09-20T00:00:00Z'"],
    ['Last Business Day of Month at 17:30', 'last business day of month at 17:30'],
    ['quarter end at 23:00:30', 'quarter end at 23:00:30'],
  ])('of %s is %s, and says the same', (text, canonical) => {
    const cadence = read(text);
    expect(cadence.text).toBe(canonical);
    expect(read(canonical)).toEqual(cadence);
  });

  it('survives JSON, so that a stored cadence needs no parsing', () => {
    for (const text of ['*/15 9-17 L,15W * 1#1', '0 0 0 1 1 * */4', 'every 1d', "at '2027-09-20 02:00'", 'month end at 23:00', '@reboot']) {
      expect(JSON.parse(JSON.stringify(read(text)))).toEqual(read(text));
    }
  });
});

describe('pg_cron', () => {
  it.each([
    ['0 0 */2 * MON', '0 0 */2 * +MON'],
    ['0 0 1 * */2', '0 0 1 * +*/2'],
    ['0 0 * * MON', '0 0 * * MON'],
    ['0 0 1-7 * MON', '0 0 1-7 * MON'],
    ['0 0 $ * *', '0 0 L * *'],
    ['30 seconds', 'every 30s'],
  ])('%s is stored as %s', (text, stored) => {
    expect(read(text, 'pg_cron').text).toBe(stored);
    expect({ ...read(stored) }).toEqual({ ...read(text, 'pg_cron') });
  });
});

describe('the zone', () => {
  it('decides what an instant without an offset is, and is left alone by one that has an offset', () => {
    const at = (text: string, where: string) => {
      const cadence = parseCadence(text, { zone: where });
      return cadence.kind === 'once' ? new Date(cadence.at).toISOString() : cadence.kind;
    };
    expect(at("at '2027-09-20 02:00'", 'Europe/Berlin')).toBe('2027-09-20T00:00:00.000Z');
    expect(at("at '2027-09-20 02:00'", 'America/New_York')).toBe('2027-09-20T06:00:00.000Z');
    expect(at('2027-09-20T02:00:00Z', 'America/New_York')).toBe('2027-09-20T02:00:00.000Z');
    expect(at("at '2027-09-20 02:00:00.250-03:30'", 'UTC')).toBe('2027-09-20T05:30:00.250Z');
  });

  it('is refused where it does not exist', () => {
    expect(() => parseCadence("at '2027-09-20 02:00'", { zone: 'Mars/Olympus' })).toThrow("there is no time zone 'Mars/Olympus'");
  });
});

it('@reboot knows no instant', () => {
  const timing: Timing = {
    cadences: [read('@Reboot')],
    zone,
    dstGap: 'default',
    dstOverlap: 'default',
    onHoliday: 'run',
    jitterMs: 0,
    jitterKey: '',
  };
  expect(next(timing, 0)).toBeUndefined();
});

it('answers a text it has seen with the very same value', () => {
  expect(read('7 7 7 7 *')).toBe(read('7 7 7 7 *'));
});

describe('whatever is written', () => {
  const scraps = [
    '*',
    '?',
    '/',
    '-',
    ',',
    '#',
    '+',
    'L',
    'W',
    'LW',
    '15W',
    '1#1',
    'MON',
    'jan',
    '0',
    '5',
    '59',
    '60',
    '2027',
    ' ',
    ' ',
    ' ',
    '  ',
    '@',
    'every',
    'at',
    'from',
    "'",
    '"',
    ':',
    '30m',
    'd',
    'month',
    'end',
    'business',
    'days',
    'first',
    'of',
    '18:00',
    '2027-01-01',
    'T',
    'Z',
    '+02:00',
    '$',
    'é',
    '\u0000',
    '💥',
  ];
  const texts = fc.oneof(
    fc.array(fc.constantFrom(...scraps), { maxLength: 16 }).map((parts) => parts.join('')),
    fc.string({ maxLength: 40 }),
    fc
      .array(fc.constantFrom('*', '0', '5', '*/7', '1-5', 'L', '15W', '1#2', 'MON', '+1', '?'), { minLength: 4, maxLength: 8 })
      .map((fields) => fields.join(' ')),
  );
  it('is a cadence or a Diagnostic that points into the text', () => {
    fc.assert(
      fc.property(texts, (text) => {
        try {
          read(text);
        } catch (error) {
          if (!(error instanceof Diagnostic)) throw error;
          const { span } = error;
          expect(span).toBeDefined();
          expect(span && span.start >= 0 && span.start <= span.end && span.end <= text.length).toBe(true);
          expect(error.hint).toBeTruthy();
        }
      }),
      { numRuns: 20_000, seed: 7 },
    );
  });
  it('that is a cadence is the same cadence in its canonical text', () => {
    fc.assert(
      fc.property(texts, (text) => {
        let cadence: Cadence;
        try {
          cadence = read(text);
        } catch {
          return;
        }
        expect(read(cadence.text)).toEqual(cadence);
      }),
      { numRuns: 20_000, seed: 8 },
    );
  });
});
