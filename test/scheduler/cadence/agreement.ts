// One case, asked of the code and of the oracle: where they differ, what to print.

import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { type CalendarDays, matches, next, parseCadence, previous, type Timing } from '../../../src/scheduler/cadence/cadence.ts';
import { calendarOf, parseDay } from '../../../src/scheduler/cadence/calendar.ts';
import { type OracleFire, type OracleTiming, oracleMatches, oracleNext, oraclePrevious } from './oracle.ts';
import type { Case } from './randomCases.ts';

export interface Agreement {
  /** A text that no date matches (31 February) is no case: it is refused before it could fire. */
  readonly compared: boolean;
  readonly difference?: string;
}

/** Forty years: how far the oracle looks. */
const horizonMs = 15_000 * 86_400_000;

export function compare(given: Case): Agreement {
  let timing: Timing;
  try {
    timing = timingOf(given);
  } catch (error) {
    if (error instanceof Diagnostic && error.code === 'never_fires') return { compared: false };
    return { compared: true, difference: `${show(given)}: ${String(error)}` };
  }
  const { start } = given;
  const found = next(timing, start);
  const expected = oracleNext(given, start);
  if (!same(found, expected) && !(expected === undefined && found !== undefined && found.due > start + horizonMs)) {
    return { compared: true, difference: `${show(given)}: next is ${text(found)}, by the oracle ${text(expected)}` };
  }
  const earlier = previous(timing, start);
  const expectedEarlier = oraclePrevious(given, start);
  if (!same(earlier, expectedEarlier) && !(expectedEarlier === undefined && earlier !== undefined && earlier.due < start - horizonMs)) {
    return { compared: true, difference: `${show(given)}: previous is ${text(earlier)}, by the oracle ${text(expectedEarlier)}` };
  }
  // The found instants, their neighbours an hour and a minute away, and the start itself.
  for (const at of [found?.due, earlier?.due, start, Math.floor(start / 60_000) * 60_000].flatMap((instant) =>
    instant === undefined ? [] : [instant, instant - 3_600_000, instant + 3_600_000],
  )) {
    if (at < 0 || at > 253_402_300_799_999) continue;
    if (matches(timing, at) !== oracleMatches(given, at)) {
      return { compared: true, difference: `${show(given)}: matches(${new Date(at).toISOString()}) is ${matches(timing, at)}` };
    }
  }
  return { compared: true };
}

export function timingOf(given: OracleTiming): Timing {
  const { zone, dstGap, dstOverlap, starts, ends, onHoliday } = given;
  const calendar: CalendarDays | undefined =
    given.calendar === undefined
      ? undefined
      : calendarOf(
          given.calendar.weekend,
          given.calendar.holidays.map((day) => ({ day: parseDay(day) })),
        );
  return {
    cadences: given.expressions.map((expression) => parseCadence(expression, { zone })),
    zone,
    dstGap,
    dstOverlap,
    ...(starts === undefined ? {} : { starts }),
    ...(ends === undefined ? {} : { ends }),
    ...(calendar === undefined ? {} : { calendar }),
    onHoliday,
    jitterMs: 0,
    jitterKey: '',
  };
}

function same(found: OracleFire | undefined, expected: OracleFire | undefined): boolean {
  if (found === undefined || expected === undefined) return found === expected;
  return found.due === expected.due && found.nominal === expected.nominal && found.refused === expected.refused;
}

function text(fire: OracleFire | undefined): string {
  if (fire === undefined) return 'none';
  const nominal = fire.nominal === fire.due ? '' : ` (nominal ${new Date(fire.nominal).toISOString()})`;
  return `${new Date(fire.due).toISOString()}${nominal}${fire.refused ? ' refused' : ''}`;
}

function show(given: Case): string {
  const { start, seed, ...timing } = given;
  return `seed ${seed}: ${JSON.stringify(timing)} from ${new Date(start).toISOString()}`;
}
