// Days, clock times and instants as DuckDB writes them. DuckDB counts from 1970-01-01 in the proleptic Gregorian calendar over
// 5.8 million years to either side, far outside of what `Date` can hold, so the arithmetic is on integers. Zones come from
// `Intl`, the same data that DuckDB's ICU has.

import { Diagnostic } from '../core/diagnostic.ts';

export interface CivilDate {
  /** Astronomical: 0 is 1 BC, -43 is 44 BC. */
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** Days since 1970-01-01 to a date, by counting in 400-year eras that begin on 1 March. */
export function civilFromDays(days: number): CivilDate {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

/** `2026-11-20`; years before 1 end in ` (BC)`. */
export function dateText(days: number): string {
  const { year, month, day } = civilFromDays(days);
  const text = `${padded(year > 0 ? year : 1 - year, 4)}-${padded(month, 2)}-${padded(day, 2)}`;
  return year > 0 ? text : `${text} (BC)`;
}

/** `10:00:00.5`: the fraction without its trailing zeros. `perSecond` is how many ticks make a second. */
export function timeText(ticks: number, perSecond: number): string {
  const seconds = Math.floor(ticks / perSecond);
  const fraction = ticks - seconds * perSecond;
  const hours = Math.floor(seconds / 3600);
  const text = `${padded(hours, 2)}:${padded(Math.floor(seconds / 60) % 60, 2)}:${padded(seconds % 60, 2)}`;
  return fraction === 0 ? text : `${text}.${padded(fraction, String(perSecond).length - 1).replace(/0+$/, '')}`;
}

/** `2026-11-20 10:00:00.5` from ticks since 1970; the BC mark stands behind the date. */
export function timestampText(ticks: bigint, perSecond: number): string {
  const perDay = 86_400 * perSecond;
  const number = Number(ticks);
  if (Number.isSafeInteger(number)) {
    const days = Math.floor(number / perDay);
    return `${dateText(days)} ${timeText(number - days * perDay, perSecond)}`;
  }
  const days = floorDivide(ticks, BigInt(perDay));
  return `${dateText(Number(days))} ${timeText(Number(ticks - days * BigInt(perDay)), perSecond)}`;
}

/** `+01`, `+05:45`, and `-00:30:15` where seconds are asked for and there are some. */
export function offsetText(seconds: number, { withSeconds }: { readonly withSeconds: boolean }): string {
  const size = Math.abs(seconds);
  const minutes = Math.floor(size / 60) % 60;
  const rest = withSeconds ? size % 60 : 0;
  const text = `${seconds < 0 ? '-' : '+'}${padded(Math.floor(size / 3600), 2)}`;
  if (rest !== 0) return `${text}:${padded(minutes, 2)}:${padded(rest, 2)}`;
  return minutes === 0 ? text : `${text}:${padded(minutes, 2)}`;
}

/** An instant as its zone's clocks show it: `2026-11-20 11:00:00+01`. */
export function instantText(micros: bigint, zone: string): string {
  const offset = offsetSeconds(zone, Number(floorDivide(micros, 1_000_000n)));
  return timestampText(micros + BigInt(offset) * 1_000_000n, 1_000_000) + offsetText(offset, { withSeconds: false });
}

const secondsPerDay = 86_400;
/** The range of `Date`, a little inside. */
const farthestSecond = 8_640_000_000_000 - 2 * secondsPerDay;
const secondsIn400Years = 146_097 * secondsPerDay;

/** A day of a zone that begins and ends with one offset has it throughout; the others are asked for each instant. */
interface ZoneOffsets {
  readonly format: Intl.DateTimeFormat;
  readonly days: Map<number, number | 'changes'>;
}

const zones = new Map<string, ZoneOffsets>();

/** How far a zone's clocks are ahead of UTC at an instant. */
function offsetSeconds(zone: string, epochSeconds: number): number {
  if (zone === 'UTC') return 0;
  const offsets = zoneOffsets(zone);
  // The calendar repeats after 400 years, weekdays included, and so do a zone's rules.
  let seconds = epochSeconds;
  if (seconds > farthestSecond) seconds -= Math.ceil((seconds - farthestSecond) / secondsIn400Years) * secondsIn400Years;
  if (seconds < -farthestSecond) seconds = -farthestSecond;
  const day = Math.floor(seconds / secondsPerDay);
  let offset = offsets.days.get(day);
  if (offset === undefined) {
    const first = askOffset(offsets.format, day * secondsPerDay);
    offset = first === askOffset(offsets.format, (day + 1) * secondsPerDay) ? first : 'changes';
    if (offsets.days.size >= 20_000) offsets.days.clear();
    offsets.days.set(day, offset);
  }
  return offset === 'changes' ? askOffset(offsets.format, seconds) : offset;
}

function zoneOffsets(zone: string): ZoneOffsets {
  let offsets = zones.get(zone);
  if (offsets === undefined) {
    try {
      offsets = { format: new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' }), days: new Map() };
    } catch (cause) {
      throw unknownZone(zone, cause);
    }
    zones.set(zone, offsets);
  }
  return offsets;
}

function unknownZone(zone: string, cause: unknown): Diagnostic {
  return new Diagnostic('unknown_zone', `'${zone}' is not a time zone`, { hint: "write an IANA name, such as 'Europe/Berlin'", cause });
}

function askOffset(format: Intl.DateTimeFormat, epochSeconds: number): number {
  // `11/20/2026, GMT+01:00`, and `GMT` alone for UTC.
  const match = /GMT(?:([+-])(\d+)(?::(\d+))?(?::(\d+))?)?$/.exec(format.format(epochSeconds * 1000));
  const size = Number(match?.[2] ?? 0) * 3600 + Number(match?.[3] ?? 0) * 60 + Number(match?.[4] ?? 0);
  return match?.[1] === '-' ? -size : size;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

function padded(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
