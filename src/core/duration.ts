// One definition of a length of time for the whole house: falling units `y w d h m s ms`, each once, fixed lengths
// (1d = 24 h, 1y = 365 d), or interval text ('30 seconds'). A duration is a whole number of milliseconds.

import { Diagnostic } from './diagnostic.ts';

export type DurationMs = number;

const units: readonly (readonly [unit: string, ms: number])[] = [
  ['y', 365 * 86_400_000],
  ['w', 7 * 86_400_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

const words: Readonly<Record<string, number>> = {
  millisecond: 1,
  second: 1000,
  sec: 1000,
  minute: 60_000,
  min: 60_000,
  hour: 3_600_000,
  hr: 3_600_000,
  day: 86_400_000,
  week: 7 * 86_400_000,
  year: 365 * 86_400_000,
};

/** `1h30m` or `30 seconds`. Throws a Diagnostic whose span lies in `text`. */
export function parseDuration(text: string): DurationMs {
  const trimmed = text.trim();
  const ms = /^\d+(?:y|w|d|h|ms|m|s)/i.test(trimmed) ? parseUnits(trimmed, text) : parseWords(trimmed, text);
  if (!Number.isSafeInteger(ms)) throw wrong(text, `'${trimmed}' is too long`, 'the longest duration is 285,000 years');
  return ms;
}

/** The canonical form: `90m` prints as `1h30m`, so that equal durations print alike. */
export function formatDuration(ms: DurationMs): string {
  if (ms === 0) return '0s';
  let rest = ms;
  let text = '';
  for (const [unit, size] of units) {
    // Weeks and years print as days: `7d` says the same and is never read as a calendar unit.
    if (unit === 'y' || unit === 'w') continue;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

/** What somebody means who writes `5min` (5m) or `1.5h` (1h30m), as a hint. */
export function likelyDuration(text: string): string | undefined {
  const [, digits = '', word = ''] = /^(\d{1,9}(?:\.\d{1,3})?)([a-z]+)$/i.exec(text) ?? [];
  const unit = unitOfWord(word);
  if (unit === undefined) return undefined;
  const ms = Math.round(Number(digits) * unit[1]);
  if (!digits.includes('.')) return `did you mean ${digits}${unit[0]}?`;
  return ms > 0 ? `a duration has no fraction: write ${formatDuration(ms)}` : undefined;
}

function unitOfWord(word: string): (typeof units)[number] | undefined {
  const folded = word.toLowerCase();
  const singular = folded.length > 2 ? folded.replace(/s$/, '') : folded;
  const ms = Object.hasOwn(words, singular) ? words[singular] : undefined;
  return units.find(([unit, size]) => unit === folded || size === ms);
}

function parseUnits(trimmed: string, text: string): DurationMs {
  let total = 0;
  let at = 0;
  let last = -1;
  const piece = /(\d+)(y|w|d|h|ms|m|s)/iy;
  while (at < trimmed.length) {
    piece.lastIndex = at;
    const match = piece.exec(trimmed);
    if (match === null) {
      throw wrong(
        text,
        `'${trimmed}' is not a duration`,
        likelyDuration(trimmed) ?? 'write falling units without spaces, such as 30s, 1h30m, 2d',
      );
    }
    const [whole, digits, unit] = match as unknown as [string, string, string];
    const index = units.findIndex(([name]) => name === unit.toLowerCase());
    if (index <= last) {
      throw wrong(text, `'${trimmed}' names its units out of order`, 'units fall, each once: y w d h m s ms, as in 1h30m');
    }
    last = index;
    total += Number(digits) * (units[index]?.[1] ?? 0);
    at += whole.length;
  }
  return total;
}

function parseWords(trimmed: string, text: string): DurationMs {
  const piece = /\s*(?:(\d+)\s+([a-z]+)|(\d+):(\d\d)(?::(\d\d))?)\s*,?/iy;
  let total = 0;
  let at = 0;
  while (at < trimmed.length) {
    piece.lastIndex = at;
    const match = piece.exec(trimmed);
    if (match === null) {
      const hint = /^\d+$/.test(trimmed)
        ? `give it a unit: ${trimmed}s`
        : (likelyDuration(trimmed) ?? "write 30s, 1h30m, 2d, or interval text such as '30 seconds'");
      throw wrong(text, `'${trimmed}' is not a duration`, hint);
    }
    if (match[1] !== undefined) {
      const word = (match[2] ?? '').toLowerCase();
      const name = Object.hasOwn(words, word) ? word : word.replace(/s$/, '');
      const size = Object.hasOwn(words, name) ? words[name] : undefined;
      if (size === undefined) {
        const hint = word.startsWith('month')
          ? 'months differ in length; write days, such as 30d'
          : 'units: milliseconds, seconds, minutes, hours, days, weeks, years';
        throw wrong(text, `'${match[2]}' is not a unit of time`, hint);
      }
      total += Number(match[1]) * size;
    } else {
      total += Number(match[3]) * 3_600_000 + Number(match[4]) * 60_000 + Number(match[5] ?? 0) * 1000;
    }
    at = piece.lastIndex;
  }
  if (trimmed === '') throw wrong(text, 'a duration is empty', 'write 30s, 1h30m, 2d');
  return total;
}

function wrong(text: string, message: string, hint: string): Diagnostic {
  return new Diagnostic('invalid_value', message, { span: { start: 0, end: text.length }, hint });
}
