// Time zones: names, offsets and the instants at which offsets change, found once through Intl and kept as sorted numbers.
//
// Intl answers about a microsecond a question, a binary search over the kept changes some nanoseconds, and the segment that
// answered last is kept at hand, because one question about a zone is mostly followed by another about the same week.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import { civilDayOf, dayMs, formatDay, two } from './civil.ts';

/**
 * A zone's clock. `seek` places it on the segment of constant offset that holds an instant; the fields then describe that
 * segment until the next `seek`. They are fields, and not a returned object, because the hot path allocates nothing.
 */
export class Zone {
  readonly name: string;
  /** The segment [from, until). */
  from = 0;
  until = 0;
  /** What the local clock is ahead of UTC in the segment, in the one before, and in the one after. */
  offset = 0;
  before = 0;
  beyond = 0;

  private readonly instants: number[] = [0];
  private readonly offsets: number[];
  private readonly offsetText: (instant: Instant) => string;
  /** Changes are known before this instant. */
  private coveredTo = 0;

  constructor(name: string) {
    this.name = name;
    const format = new Intl.DateTimeFormat('en-US', { timeZone: name, hour: 'numeric', timeZoneName: 'longOffset' });
    this.offsetText = (instant) => {
      const text = format.format(instant);
      return text.slice(text.lastIndexOf('GMT') + 3);
    };
    this.offsets = [offsetFrom(this.offsetText(0))];
    if (format.resolvedOptions().timeZone === 'UTC') this.coveredTo = Number.POSITIVE_INFINITY;
  }

  seek(instant: Instant): void {
    if (instant >= this.from && instant < this.until) return;
    let shift = 0;
    if (instant >= cycleStart) shift = Math.floor((instant - cycleStart) / cycleMs) * cycleMs;
    const at = instant - shift;
    while (at >= this.coveredTo) this.cover();

    const { instants, offsets } = this;
    let low = 0;
    let high = instants.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((instants[middle] ?? 0) <= at) low = middle;
      else high = middle;
    }
    const offset = offsets[low] ?? 0;
    this.offset = offset;
    this.from = low === 0 ? Number.NEGATIVE_INFINITY : (instants[low] ?? 0) + shift;
    this.before = low === 0 ? offset : (offsets[low - 1] ?? 0);
    if (shift > 0 && this.from < cycleStart + shift) {
      // Before the cycle stands history, which does not repeat: the segment is cut where the cycle begins.
      this.from = cycleStart + shift;
      this.before = offset;
    }
    if (low + 1 < instants.length) {
      this.until = (instants[low + 1] ?? 0) + shift;
      this.beyond = offsets[low + 1] ?? 0;
    } else {
      // The end of what is known, not a change: the same offset goes on.
      this.until = this.coveredTo + shift;
      this.beyond = offset;
    }
  }

  /** What the zone's clocks show at an instant. */
  civilAt(instant: Instant): number {
    this.seek(instant);
    return instant + this.offset;
  }

  /** The instant at which clocks show a reading: the first of two; one that does not exist is read with the offset before the gap. */
  instantOf(civilMs: number): Instant {
    // Two days before the reading, in UTC, lies before it in every zone.
    this.seek(civilMs - 2 * dayMs);
    while (civilMs >= this.until + this.offset) this.seek(this.until);
    return civilMs < this.from + this.offset ? civilMs - this.before : civilMs - this.offset;
  }

  /** The instant at which a civil day begins; one that does not exist begins where the next one does. */
  startOf(day: number): Instant {
    return this.instantOf(day * dayMs);
  }

  private cover(): void {
    const start = this.coveredTo;
    const end = start === 0 ? firstCover : Math.min(start + 20 * 366 * dayMs, cycleStart + cycleMs);
    let known = this.offsetText(start);
    for (let low = start; low < end; low += probeMs) {
      const high = Math.min(low + probeMs, end);
      const text = this.offsetText(high);
      if (text === known) continue;
      this.instants.push(this.changeBetween(low, high, known));
      this.offsets.push(offsetFrom(text));
      known = text;
    }
    this.coveredTo = end;
  }

  /** Bisects to the second; all but a handful of changes fall on a quarter of an hour, so that grid comes first. */
  private changeBetween(low: number, high: number, known: string): number {
    let first = low;
    let last = high;
    const quarter = 900_000;
    for (let unit = quarter; ; unit = 1000) {
      while (last - first > unit) {
        const middle = first + Math.ceil((last - first) / 2 / unit) * unit;
        if (middle >= last) break;
        if (this.offsetText(middle) === known) first = middle;
        else last = middle;
      }
      if (unit === 1000 || this.offsetText(last - 1000) === known) return last;
    }
  }
}

/** The shortest time between two changes since 1970 is seven days (parts of Brazil, October 2000). */
const probeMs = 5 * dayMs;

/** What nearly every question is about. */
const firstCover = 26_298 * dayMs;

/**
 * After the last change that somebody decreed, rules repeat every year, by weekdays; the calendar repeats itself, weekdays
 * included, every 400 years. So the changes of one such stretch stand for all that follow. 15 June 2100 is past the last
 * decree (Morocco, 2087), and no zone's rule touches that day.
 */
const cycleStart = 47_647 * dayMs;
const cycleMs = 146_097 * dayMs;

function offsetFrom(text: string): number {
  if (text === '') return 0;
  const [hours = '0', minutes = '0', seconds = '0'] = text.slice(1).split(':');
  const ms = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
  return text.startsWith('-') ? -ms : ms;
}

const zones = new Map<string, Zone>();

/** One Zone for each name; throws unknown_zone. */
export function zoneNamed(name: string): Zone {
  let zone = zones.get(name);
  if (zone === undefined) {
    const canonical = validateZone(name);
    zone = zones.get(canonical) ?? new Zone(canonical);
    zones.set(canonical, zone);
    // Other spellings are remembered too; there are only so many ways to write an existing zone's name in capitals.
    if (zones.size < 10_000) zones.set(name, zone);
  }
  return zone;
}

/** The zone's own spelling ('europe/berlin' -> 'Europe/Berlin'); throws unknown_zone with "did you mean". */
export function validateZone(name: string): string {
  const seen = zones.get(name);
  if (seen !== undefined) return seen.name;
  const trimmed = name.trim();
  const meant = ambiguous[trimmed.toUpperCase()];
  const known = meant === undefined && !/^SystemV\//i.test(trimmed) ? resolvedZone(trimmed) : undefined;
  if (known === undefined) throw unknownZone(name, meant);
  if (known.toLowerCase() === trimmed.toLowerCase()) return known;
  // Another name of the same zone (Asia/Kolkata resolves to Asia/Calcutta): the name given is the one kept.
  if (!trimmed.includes('/') && trimmed.length <= 4) return trimmed.toUpperCase();
  if (trimmed !== trimmed.toLowerCase() && trimmed !== trimmed.toUpperCase()) return trimmed;
  return trimmed
    .toLowerCase()
    .replace(/(^|[/_-])(?!of_|es_|au_)([a-z])/g, (_whole, edge: string, letter: string) => edge + letter.toUpperCase())
    .replace(/^[A-Z][a-z]\//, (country) => country.toUpperCase());
}

function resolvedZone(name: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** Abbreviations that name several zones, or only half of a year; some of them Intl takes for a zone that nobody means. */
const ambiguous: Readonly<Record<string, string>> = {
  ACT: 'Australia/Darwin',
  AET: 'Australia/Sydney',
  AGT: 'America/Argentina/Buenos_Aires',
  ART: 'Africa/Cairo',
  AST: 'America/Halifax',
  BET: 'America/Sao_Paulo',
  BST: 'Europe/London',
  CAT: 'Africa/Harare',
  CDT: 'America/Chicago',
  CEST: 'Europe/Berlin',
  CNT: 'America/St_Johns',
  CST: 'America/Chicago',
  CTT: 'Asia/Shanghai',
  EAT: 'Africa/Nairobi',
  ECT: 'Europe/Paris',
  EDT: 'America/New_York',
  IET: 'America/Indiana/Indianapolis',
  IST: 'Asia/Kolkata',
  JST: 'Asia/Tokyo',
  KST: 'Asia/Seoul',
  MDT: 'America/Denver',
  MIT: 'Pacific/Apia',
  MSK: 'Europe/Moscow',
  NET: 'Asia/Yerevan',
  NST: 'Pacific/Auckland',
  PDT: 'America/Los_Angeles',
  PLT: 'Asia/Karachi',
  PNT: 'America/Phoenix',
  PRT: 'America/Puerto_Rico',
  PST: 'America/Los_Angeles',
  SST: 'Pacific/Guadalcanal',
  VST: 'Asia/Ho_Chi_Minh',
};

function unknownZone(name: string, meant: string | undefined): Diagnostic {
  const guess = meant ?? nearestZone(name.trim());
  const isOffset = /^(?:UTC|GMT)?\s*[+-]\d/i.test(name.trim());
  const next = isOffset
    ? "an offset is not a zone: write a place, such as Europe/Berlin, or 'UTC'"
    : 'zones are IANA names, such as Europe/Berlin, America/New_York or UTC';
  return new Diagnostic('unknown_zone', `there is no time zone '${name}'`, {
    span: { start: 0, end: name.length },
    hint: guess === undefined || isOffset ? next : `did you mean '${guess}'?`,
  });
}

function nearestZone(name: string): string | undefined {
  const wanted = name.toLowerCase().replace(/[\s-]+/g, '_');
  if (wanted === '') return undefined;
  const city = wanted.slice(wanted.lastIndexOf('/') + 1);
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of [...Intl.supportedValuesOf('timeZone'), 'UTC']) {
    const lower = candidate.toLowerCase();
    const whole = editDistance(wanted, lower);
    // The city alone says enough ('Berlin'), but a short word is near to many.
    const place = editDistance(city, lower.slice(lower.lastIndexOf('/') + 1));
    const distance = place <= city.length / 5 ? Math.min(whole, place + 0.5) : whole;
    if (distance <= Math.max(1, wanted.length / 5) && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const following = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      following.push(Math.min(replaced, (row[j] ?? 0) + 1, (following[j - 1] ?? 0) + 1));
    }
    row = following;
  }
  return row[right.length] ?? 0;
}

/** `2027-03-28 03:30:00 +02:00 CEST`; the abbreviation only where the zone has one. */
export function formatLocal(instant: Instant, zoneName: string): string {
  const zone = zoneNamed(zoneName);
  const civil = zone.civilAt(instant);
  const ms = civil - civilDayOf(civil) * dayMs;
  const seconds = Math.floor(ms / 1000);
  const fraction = ms % 1000 === 0 ? '' : `.${String(ms % 1000).padStart(3, '0')}`;
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${fraction}`;
  const short = abbreviation(instant, zone.name);
  return `${formatDay(civilDayOf(civil))} ${clock} ${formatOffset(zone.offset)}${short === undefined ? '' : ` ${short}`}`;
}

/** `+05:30`; seconds only where a zone had some (Liberia, until 1972). */
function formatOffset(offset: number): string {
  const seconds = Math.abs(offset) / 1000;
  const rest = seconds % 60 === 0 ? '' : `:${two(seconds % 60)}`;
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}${rest}`;
}

/** English-speaking locales each know the abbreviations of their part of the world. */
const abbreviators = new Map<string, Intl.DateTimeFormat[]>();

function abbreviation(instant: Instant, zone: string): string | undefined {
  let formats = abbreviators.get(zone);
  if (formats === undefined) {
    formats = ['en-GB', 'en-US', 'en-AU', 'en-IN', 'en-ZA'].map(
      (locale) => new Intl.DateTimeFormat(locale, { timeZone: zone, hour: 'numeric', timeZoneName: 'short' }),
    );
    abbreviators.set(zone, formats);
  }
  for (const format of formats) {
    const name = format.formatToParts(instant).find((part) => part.type === 'timeZoneName')?.value;
    if (name !== undefined && !/\d/.test(name)) return name;
  }
  return undefined;
}
