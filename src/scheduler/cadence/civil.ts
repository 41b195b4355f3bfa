// The calendar as integers: days since 1970-01-01, and milliseconds of a wall clock counted as if it stood in UTC. All of
// it is exact for the years 1 to 9999 and a little beyond, allocates nothing, and knows no zone.

export const dayMs = 86_400_000;

/** Year, month and day in one small integer, so that the hot path can answer three numbers without an object. */
export function packedDate(day: number): number {
  // Days are counted from 0000-03-01, so that the leap day ends a year and months have a regular length.
  const shifted = day + 719_468;
  const era = (shifted / 146_097) | 0;
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = ((dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36_524) | 0) - ((dayOfEra / 146_096) | 0)) / 365) | 0;
  const dayOfYear = dayOfEra - (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const monthFromMarch = ((5 * dayOfYear + 2) / 153) | 0;
  const date = dayOfYear - (((153 * monthFromMarch + 2) / 5) | 0) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return year * 512 + month * 32 + date;
}

export const yearOf = (packed: number): number => packed >> 9;
export const monthOf = (packed: number): number => (packed >> 5) & 15;
export const dateOf = (packed: number): number => packed & 31;

export function dayNumber(year: number, month: number, date: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = (((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) | 0) + date - 1;
  return era * 146_097 + yearOfEra * 365 + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0) + dayOfYear - 719_468;
}

/** 0 is Sunday; 1970-01-01 was a Thursday. */
export function weekdayOf(day: number): number {
  return (((day + 4) % 7) + 7) % 7;
}

export function monthLength(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** The civil day a wall clock shows. */
export function civilDayOf(civilMs: number): number {
  return Math.floor(civilMs / dayMs);
}

/** `2027-03-28`. */
export function formatDay(day: number): string {
  const packed = packedDate(day);
  return `${String(yearOf(packed)).padStart(4, '0')}-${two(monthOf(packed))}-${two(dateOf(packed))}`;
}

/** `02:00`, with seconds (and milliseconds) only where there are some. */
export function formatTimeOfDay(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const short = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}`;
  const rest = ms % 1000;
  if (rest !== 0) return `${short}:${two(seconds % 60)}.${String(rest).padStart(3, '0')}`;
  return seconds % 60 === 0 ? short : `${short}:${two(seconds % 60)}`;
}

export function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
