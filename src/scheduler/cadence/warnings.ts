// What is accepted with a raised finger, and what is refused because it can never fire.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { type Instant, lastInstant } from '../../core/instant.ts';
import type { Cadence } from './cadence.ts';
import { businessDayFrom, weekdayNames } from './calendar.ts';
import { civilDayOf, dayMs, formatDay, formatTimeOfDay } from './civil.ts';
import type { CronCadence } from './cron.ts';
import { datePhrase, weekdayPhrase } from './describe.ts';
import { clockChangesOf, evaluatorOf, patternOf } from './evaluator.ts';
import { compile, type Timing } from './timing.ts';
import { zoneNamed } from './zone.ts';

export interface Warning {
  readonly code: 'day_or_weekday' | 'dst_gap' | 'already_past';
  readonly message: string;
  readonly hint?: string;
  /** In the cadence's canonical text. */
  readonly span?: Span;
}

/** Said once, when a schedule is defined; `now` makes "already past" and the next clock changes possible to say. */
export function warningsFor(timing: Timing, now: Instant): Warning[] {
  const warnings: Warning[] = [];
  for (const cadence of timing.cadences) {
    if (cadence.kind === 'cron' && cadence.dayRule === 'either') warnings.push(dayOrWeekday(cadence));
    const gap = gapWarning(timing, cadence, now);
    if (gap !== undefined) warnings.push(gap);
  }
  const clocked = timing.cadences.some((cadence) => cadence.kind !== 'reboot');
  if (clocked && compile(timing).nextMs(now) === Number.POSITIVE_INFINITY) {
    warnings.push({
      code: 'already_past',
      message: 'every instant of this schedule is already past: it is finished and will not fire',
      hint: 'RUN SCHEDULE runs it by hand',
    });
  }
  return warnings;
}

function dayOrWeekday(cadence: CronCadence): Warning {
  const fields = cadence.text.split(' ');
  const weekday = fields.length === 5 ? 4 : 5;
  const both = fields.map((field, index) => (index === weekday ? `+${field}` : field)).join(' ');
  const start = fields.slice(0, weekday - 2).join(' ').length + 1;
  const span = { start, end: fields.slice(0, weekday + 1).join(' ').length };
  const onlyWeekday = weekdayOnlyOf(cadence);
  // Days 1-7 with one weekday are how people write "the first Monday"; 8-14 the second, and so on.
  const week = [1, 2, 3, 4].find((nth) => cadence.days === weekOfMonth(nth) && cadence.nearestWeekdays === 0);
  const nth = ['', 'first', 'second', 'third', 'fourth'];
  const hint =
    onlyWeekday !== undefined && week !== undefined
      ? `for the ${nth[week]} ${weekdayNames[onlyWeekday]} write \`${both}\` or \`${fields.map((field, index) => (index === weekday ? `${onlyWeekday}#${week}` : index === weekday - 2 ? '*' : field)).join(' ')}\``
      : `for days that are both write \`${both}\``;
  const dates = datePhrase(cadence)
    .replace(/ of the month$/, '')
    .replace(/(\d) to (\d)/g, '$1-$2');
  return { code: 'day_or_weekday', message: `fires ${dates} and ${weekdayPhrase(cadence)}`, hint, span };
}

function weekdayOnlyOf(cadence: CronCadence): number | undefined {
  const { weekdays, nthWeekdays } = cadence;
  return nthWeekdays.length === 0 && weekdays !== 0 && (weekdays & (weekdays - 1)) === 0 ? 31 - Math.clz32(weekdays) : undefined;
}

/** Bits of the days 1-7, 8-14, 15-21, 22-28. */
function weekOfMonth(nth: number): number {
  return 127 << (1 + 7 * (nth - 1));
}

/** How far ahead clock changes are looked at: every rule in force shows itself within two years. */
const gapsAheadMs = 2 * 366 * dayMs;

function gapWarning(timing: Timing, cadence: Cadence, now: Instant): Warning | undefined {
  const zone = zoneNamed(timing.zone);
  const pattern = patternOf(cadence, zone, timing.calendar);
  if (pattern === undefined) return undefined;
  const { gap } = clockChangesOf(cadence, timing);
  const realTime = cadence.kind === 'cron' && cadence.realTime;
  // An instant in the far future is looked at where it stands.
  const start = Math.max(0, timing.starts ?? 0, cadence.kind === 'once' ? cadence.at - dayMs : now);
  const end = Math.min(start + gapsAheadMs, timing.ends ?? lastInstant, lastInstant);
  let at = start;
  while (at < end) {
    zone.seek(at);
    const { until, offset, beyond } = zone;
    if (until >= end) return undefined;
    if (beyond > offset) {
      const [low, high] = [until + offset, until + beyond];
      const reading = pattern.atOrAfter(low);
      const day = civilDayOf(low);
      // What follows real time loses nothing unless all of its day lies in the gap.
      const elsewhere = realTime && (pattern.atOrAfter(day * dayMs) < low || pattern.atOrAfter(high) < (day + 1) * dayMs);
      if (reading < high && !elsewhere) {
        const clock = formatTimeOfDay(reading - civilDayOf(reading) * dayMs);
        const what = `${clock} does not exist in ${zone.name} on ${formatDay(civilDayOf(reading))}, when clocks go forward`;
        if (gap === 'skip') return { code: 'dst_gap', message: `${what}: it does not fire that day`, hint: 'dst_gap: run makes it fire' };
        const shown = reading - offset + beyond;
        return {
          code: 'dst_gap',
          message: `${what}: it fires at ${formatTimeOfDay(shown - civilDayOf(shown) * dayMs)}`,
          hint: 'dst_gap: skip leaves that day out',
        };
      }
    }
    at = until;
  }
  return undefined;
}

/** The window leaves nothing; calendars play no part. A cron that no date matches is refused by parseCadence already. */
export function neverFires(timing: Timing): Diagnostic | undefined {
  const { starts, ends, cadences, zone } = timing;
  if (starts !== undefined && ends !== undefined && ends <= starts) {
    return new Diagnostic('never_fires', 'the schedule ends before it starts', {
      hint: '`starts` is the first instant allowed, `ends` the first that is not',
    });
  }
  if (starts === undefined && ends === undefined) return undefined;
  const rule = { dstGap: timing.dstGap, dstOverlap: timing.dstOverlap };
  for (const cadence of cadences) {
    // A cadence that was possible once and is past is accepted; one that the window cuts off is a mistake.
    if (cadence.kind === 'reboot') return undefined;
    const evaluator = evaluatorOf(cadence, { zone, rule, calendar: undefined });
    if (evaluator.nextMs((starts ?? 0) - 1) < (ends ?? Number.POSITIVE_INFINITY)) return undefined;
    if (evaluator.nextMs(-1) === Number.POSITIVE_INFINITY) return undefined;
  }
  const texts = cadences.map((cadence) => `'${cadence.text}'`).join(', ');
  return new Diagnostic('never_fires', `${texts} can never fire between \`starts\` and \`ends\``, {
    hint: 'widen the window, or leave one of the two out',
  });
}

/** `next`, `previous` and calendar words that find no business day within ten years of `now`. */
export function noBusinessDay(timing: Timing, now: Instant): Diagnostic | undefined {
  const { calendar, cadences, onHoliday } = timing;
  if (calendar === undefined) return undefined;
  const words = cadences.find((cadence) => cadence.kind === 'words' && cadence.day.kind.startsWith('business'));
  const moves = onHoliday === 'next' || onHoliday === 'previous';
  if (words === undefined && !moves) return undefined;
  const today = civilDayOf(zoneNamed(timing.zone).civilAt(now));
  if (!Number.isNaN(businessDayFrom(calendar, today, words === undefined && onHoliday === 'previous' ? -1 : 1))) return undefined;
  return new Diagnostic(
    'never_fires',
    `${words === undefined ? `on_holiday: ${onHoliday}` : `'${words.text}'`} finds no business day within ten years`,
    {
      hint: 'the calendar leaves every day free: look at its `weekend` and its holidays',
    },
  );
}
