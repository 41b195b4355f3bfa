// One definition of an amount of bytes for the whole house: `512MB` counts in thousands, `1GiB` in 1,024s.

import { Diagnostic } from './diagnostic.ts';

/** By the unit's word, in small letters. */
export const sizeUnits: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

export const sizesAreWritten = 'sizes are written 512MB, 1GiB; units: B KB MB GB TB, KiB MiB GiB TiB';

/** `1.5GB`. Throws a Diagnostic without a place. */
export function parseSize(text: string): number {
  const [, number = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(text) ?? [];
  const bytes = Math.round(Number(number) * (sizeUnits[unit.toLowerCase()] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) throw new Diagnostic('syntax_error', `'${text}' is not a size`, { hint: sizesAreWritten });
  return bytes;
}

const names = ['TiB', 'TB', 'GiB', 'GB', 'MiB', 'MB', 'KiB', 'KB'];

/** In the largest unit of which it is a whole number, else with one digit behind the point. */
export function formatSize(bytes: number): string {
  const whole = names.filter((name) => bytes >= unitOf(name) && bytes % unitOf(name) === 0);
  const exact = whole.sort((one, other) => unitOf(other) - unitOf(one))[0];
  if (exact !== undefined) return `${bytes / unitOf(exact)}${exact}`;
  const near = ['TB', 'GB', 'MB', 'KB'].find((name) => bytes >= unitOf(name));
  return near === undefined ? `${bytes}B` : `${(bytes / unitOf(near)).toFixed(1)}${near}`;
}

const unitOf = (name: string): number => sizeUnits[name.toLowerCase()] ?? 1;
