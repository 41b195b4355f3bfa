// One instant: `2027-09-20T02:00:00Z`, or a reading of the zone's clock: `at '2027-09-20 02:00'`.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatInstant, type Instant } from '../../core/instant.ts';
import { civilDayOf, dayMs, dayNumber, formatDay, formatTimeOfDay, monthLength } from './civil.ts';
import type { Zone } from './zone.ts';

/** As written: an instant, or a reading of the zone's clock in civil milliseconds (as if it stood in UTC). */
export type Moment = { readonly instant: Instant } | { readonly civilMs: number };

export interface OnceCadence {
  readonly kind: 'once';
  readonly version: 1;
  readonly text: string;
  readonly at: Instant;
  /** Written without an offset: what the zone's clock reads then, so that `dst_gap` and `dst_overlap` can decide. */
  readonly civilMs?: number;
}

/** Throws a Diagnostic whose span lies in `text`. */
export function parseOnce(text: string, zone: Zone): OnceCadence {
  const lead = /^\s*(?:at\b\s*)?/i.exec(text)?.[0].length ?? 0;
  const moment = parseMoment(text, lead, text.length);
  const canonical = `at '${momentText(moment)}'`;
  if ('instant' in moment) return { kind: 'once', version: 1, text: canonical, at: moment.instant };
  return { kind: 'once', version: 1, text: canonical, at: zone.instantOf(moment.civilMs), civilMs: moment.civilMs };
}

export function momentText(moment: Moment): string {
  if ('instant' in moment) return formatInstant(moment.instant);
  const day = civilDayOf(moment.civilMs);
  return `${formatDay(day)} ${formatTimeOfDay(moment.civilMs - day * dayMs)}`;
}

const instantForm = /^(\d{4})-(\d\d?)-(\d\d?)(?:[T ]+(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(?:(Z|UTC)|([+-])(\d\d):?(\d\d)?)?$/i;

/** `'2027-09-20 02:00'`, quoted or not, with or without an offset, in text.slice(start, end). */
export function parseMoment(text: string, start: number, end: number): Moment {
  const raw = text.slice(start, end);
  const quoted = /^\s*(['"])(.*)\1\s*$/s.exec(raw);
  const written = (quoted?.[2] ?? raw).trim();
  const span = { start, end: Math.max(start + raw.trimEnd().length, Math.min(start + 1, text.length)) };
  const wrong = (message: string, hint: string) => new Diagnostic('invalid_cadence', message, { span, hint });

  const match = instantForm.exec(written);
  if (match === null) {
    throw wrong(`'${written}' is not an instant`, "write at '2027-09-20 02:00' (in the schedule's zone) or 2027-09-20T02:00:00Z");
  }
  const [year, month, date, hour, minute, second] = [1, 2, 3, 4, 5, 6].map((group) => Number(match[group] ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (year < 1970) throw wrong(`the year ${match[1]} is too early`, 'instants exist from 1970 to 9999');
  if (month < 1 || month > 12) throw wrong(`month ${month} is outside 1-12`, 'write year-month-day');
  if (date < 1 || date > monthLength(year, month)) {
    throw wrong(`${formatDay(dayNumber(year, month, 1)).slice(0, 7)} has no day ${date}`, `its days are 1-${monthLength(year, month)}`);
  }
  if (hour > 23) throw wrong(`hour ${hour} is outside 0-23`, hour === 24 ? 'midnight is 00:00 of the next day' : 'write 00:00 to 23:59');
  if (minute > 59) throw wrong(`minute ${minute} is outside 0-59`, 'write 00:00 to 23:59');
  if (second > 59) throw wrong(`second ${second} is outside 0-59`, 'write seconds as 00 to 59');
  const ms = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const civilMs = dayNumber(year, month, date) * dayMs + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms;
  if (match[8] !== undefined) return { instant: civilMs };
  if (match[9] !== undefined) {
    const [hours, minutes] = [Number(match[10]), Number(match[11] ?? 0)];
    if (hours > 18 || minutes > 59)
      throw wrong(`${match[9]}${match[10]}:${match[11] ?? '00'} is not an offset from UTC`, 'offsets lie between -18:00 and +18:00');
    const offset = (hours * 60 + minutes) * 60_000;
    const instant = match[9] === '-' ? civilMs + offset : civilMs - offset;
    if (instant < 0) throw wrong(`'${written}' is before 1970`, 'instants exist from 1970 to 9999');
    return { instant };
  }
  return { civilMs };
}
