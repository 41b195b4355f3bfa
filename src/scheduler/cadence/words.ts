// Calendar words: `business days at 18:00`, `month end at 23:00`, `last business day of month at 17:30`. They read the
// schedule's calendar; without one, Saturday and Sunday are free and nothing else is.

import { Diagnostic } from '../../core/diagnostic.ts';
import { weekdayNames } from './calendar.ts';
import { formatTimeOfDay } from './civil.ts';

export type WordsDay =
  | { readonly kind: 'business days' }
  /** `which`: counted from the start of the period, 1..5; 0 is the last. */
  | { readonly kind: 'day'; readonly which: number }
  | { readonly kind: 'business day'; readonly which: number }
  | { readonly kind: 'weekday'; readonly weekday: number; readonly which: number };

export interface WordsCadence {
  readonly kind: 'words';
  readonly version: 1;
  readonly text: string;
  readonly day: WordsDay;
  readonly period: 'month' | 'quarter' | 'year';
  readonly secondOfDay: number;
}

const ordinals: Readonly<Record<string, number>> = { last: 0, first: 1, second: 2, third: 3, fourth: 4, fifth: 5 };

const hint =
  'calendar words: business days at 18:00; month end at 23:00; quarter end at 23:00; last business day of month at 17:30; first monday of month at 03:30';

export function looksLikeWords(trimmed: string): boolean {
  return /^(?:business|month|quarter|year|last|first|second|third|fourth|fifth)\b/i.test(trimmed);
}

/** Throws a Diagnostic whose span lies in `text`. */
export function parseWords(text: string): WordsCadence {
  const words = [...text.matchAll(/\S+/g)].map((match) => ({
    word: match[0].toLowerCase(),
    start: match.index,
    end: match.index + match[0].length,
  }));
  let at = 0;
  const wrong = (message: string, next = hint) => {
    const token = words[Math.min(at, words.length - 1)];
    return new Diagnostic('invalid_cadence', message, {
      span: token === undefined ? { start: 0, end: text.length } : { start: token.start, end: token.end },
      hint: next,
    });
  };
  const take = (): string => {
    const token = words[at];
    if (token === undefined) throw wrong(`'${text.trim()}' ends too early`);
    at++;
    return token.word;
  };
  const expect = (...allowed: string[]): string => {
    const word = take();
    if (allowed.includes(word)) return word;
    at--;
    throw wrong(`'${word}' stands where ${allowed.map((one) => `'${one}'`).join(' or ')} belongs`);
  };

  const head = take();
  let day: WordsDay;
  let period: WordsCadence['period'] = 'month';
  let canonical: string;
  if (head === 'business') {
    expect('days');
    day = { kind: 'business days' };
    canonical = 'business days';
  } else if (head === 'month' || head === 'quarter' || head === 'year') {
    const edge = expect('end', 'start');
    day = { kind: 'day', which: edge === 'end' ? 0 : 1 };
    period = head;
    canonical = `${head} ${edge}`;
  } else {
    const which = ordinals[head] ?? 0;
    const noun = take();
    const weekday = weekdayNames.findIndex((name) => name.toLowerCase() === noun || name.slice(0, 3).toLowerCase() === noun);
    if (noun === 'business') {
      expect('day');
      day = { kind: 'business day', which };
      canonical = `${head} business day`;
    } else if (noun === 'day') {
      day = { kind: 'day', which };
      canonical = `${head} day`;
    } else if (weekday >= 0) {
      day = { kind: 'weekday', weekday, which };
      canonical = `${head} ${weekdayNames[weekday]?.toLowerCase()}`;
    } else {
      at--;
      throw wrong(`'${noun}' stands where 'business day', 'day' or a day of the week belongs`);
    }
    expect('of');
    period = expect('month', 'quarter', 'year') as WordsCadence['period'];
    canonical += ` of ${period}`;
  }

  if (words[at] === undefined) throw wrong(`'${text.trim()}' has no time of the day`, `write ${canonical} at 18:00`);
  expect('at');
  const clock = take().replace(/^(['"])(.*)\1$/, '$2');
  const match = /^(\d\d?):(\d\d)(?::(\d\d))?$/.exec(clock);
  at--;
  if (match === null) throw wrong(`'${clock}' is not a time of the day`, 'write 18:00 or 18:00:30');
  const [hours, minutes, seconds] = [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
  if (hours > 23 || minutes > 59 || seconds > 59) throw wrong(`'${clock}' is outside 00:00-23:59:59`, 'write 18:00 or 18:00:30');
  at++;
  if (words[at] !== undefined) throw wrong(`'${words[at]?.word}' follows the time of the day`, 'several times make a list of cadences');
  const secondOfDay = hours * 3600 + minutes * 60 + seconds;
  return { kind: 'words', version: 1, text: `${canonical} at ${formatTimeOfDay(secondOfDay * 1000)}`, day, period, secondOfDay };
}
