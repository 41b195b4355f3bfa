// Anchored intervals: fires at anchor + k*n, so they never drift. Whole days and weeks are calendar days in the zone.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration, parseDuration } from '../../core/duration.ts';
import { dayMs } from './civil.ts';
import { type Moment, momentText, parseMoment } from './once.ts';

export interface IntervalCadence {
  readonly kind: 'interval';
  readonly version: 1;
  readonly text: string;
  /** Length of one step; where it counts calendar days, a multiple of 86,400,000 that is walked on the calendar. */
  readonly everyMs: number;
  readonly calendarDays: boolean;
  /** Absent: 2001-01-01 00:00 in the zone, in both directions. Given by `from`: nothing fires before it. */
  readonly anchor?: Moment;
}

const shortestMs = 1000;
const longestMs = 366 * dayMs;

/** `every 30m`, `every 5 minutes from '2027-01-01 00:15'`, `30 seconds`. Throws a Diagnostic whose span lies in `text`. */
export function parseInterval(text: string): IntervalCadence {
  const bare = !/^\s*every\b/i.test(text);
  const start = bare ? text.length - text.trimStart().length : (/^\s*every\b\s*/i.exec(text)?.[0].length ?? 0);
  const from = /\bfrom\b\s*/i.exec(text.slice(start));
  const end = from === null ? text.trimEnd().length : start + text.slice(start, start + from.index).trimEnd().length;
  const written = text.slice(start, end);
  const span = { start: Math.min(start, Math.max(0, end - 1)), end };
  const wrong = (message: string, hint: string) => new Diagnostic('invalid_cadence', message, { span, hint });

  if (bare && /^\d+\s*(?:y|w|d|h|m|s|ms)$/i.test(written)) throw wrong(`'${written}' is a duration`, `did you mean \`every ${written}\`?`);
  if (written === '') throw wrong('`every` needs a length of time', 'write every 30m, every 5 minutes, every 1d');
  if (/^\d+$/.test(written)) throw wrong(`'${written}' has no unit`, `write every ${written}s, every ${written}m or every ${written}h`);
  if (/\bmonths?\b/i.test(written)) {
    throw wrong('months differ in length', "write a cron, such as '0 0 1 * *', or calendar words, such as month end at 23:00");
  }
  if (/\bat\b/i.test(written)) {
    throw wrong(
      `'${text.trim()}' mixes an interval with a time of the day`,
      "write a cron, such as '0 18 * * *', or every 1d from '2027-01-01 18:00'",
    );
  }
  if (/\b(?:sun|mon|tues|wednes|thurs|fri|satur)days?\b/i.test(written)) {
    throw wrong(`'${written}' is not a length of time`, "write a cron, such as '0 9 * * MON'");
  }
  const everyMs = lengthOf(written, start);
  if (everyMs < shortestMs) throw wrong(`'${written}' is shorter than a second`, 'intervals last from 1s to 366d');
  if (everyMs > longestMs) throw wrong(`'${written}' is longer than 366 days`, 'intervals last from 1s to 366d');

  const calendarDays = /^(?:\d+\s*(?:[ywd]|years?|weeks?|days?)[\s,]*)+$|^(?:day|week|year)$/i.test(written);
  const anchor = from === null ? undefined : parseMoment(text, start + from.index + from[0].length, text.length);
  const base = `every ${lengthText(everyMs, calendarDays)}`;
  if (anchor === undefined) return { kind: 'interval', version: 1, text: base, everyMs, calendarDays };
  return { kind: 'interval', version: 1, text: `${base} from '${momentText(anchor)}'`, everyMs, calendarDays, anchor };
}

function lengthOf(written: string, start: number): number {
  // `every minute` is one minute.
  const length = /^[a-z]+$/i.test(written) ? `1 ${written}` : written;
  const shift = start - (length.length - written.length);
  try {
    return parseDuration(length);
  } catch (error) {
    throw error instanceof Diagnostic ? asCadence(error, start, shift, length) : error;
  }
}

/** The mistake in a length of time, told as one in a cadence and at its place. */
function asCadence(error: Diagnostic, start: number, shift: number, length: string): Diagnostic {
  const hint = error.hint ?? 'write every 30m, every 5 minutes, every 1d';
  return new Diagnostic('invalid_cadence', error.message, {
    span: { start: Math.max(start, (error.span?.start ?? 0) + shift), end: (error.span?.end ?? length.length) + shift },
    hint: hint.replace(/\b(\d+[smhd]|\d+ (?:seconds|minutes|hours|days))\b/, 'every $1'),
    cause: error,
  });
}

/** Days only where days are meant: `every 24h` and `every 1d` differ when clocks change. */
function lengthText(ms: number, calendarDays: boolean): string {
  if (calendarDays) return ms % (7 * dayMs) === 0 ? `${ms / (7 * dayMs)}w` : `${ms / dayMs}d`;
  const hours = Math.floor(ms / 3_600_000);
  const rest = ms % 3_600_000;
  return `${hours > 0 ? `${hours}h` : ''}${rest > 0 ? formatDuration(rest) : ''}`;
}
