import { expect, test } from 'vitest';
import { suggest } from '../../src/parser/suggest.ts';

const words = ['sched', 'schedule', 'timeout', 'timezone', 'retry', 'retry_delay', 'retry_delays', 'skip', 'x'];

test.each([
  ['sechd', 'sched'],
  ['SCHED', 'sched'],
  ['schedul', 'schedule'],
  ['tiemout', 'timeout'],
  ['time_zone', 'timezone'],
  ['retyr_dealy', 'retry_delay'],
  ['retry_delayss', 'retry_delays'],
  ['skp', 'skip'],
  ['y', 'x'],
])('%s is meant as %s', (word, meant) => {
  expect(suggest(word, words)).toBe(meant);
});

test.each(['', 'foo', 'colour', 'timeoutseconds', 'a'.repeat(1000)])('%j is meant as nothing', (word) => {
  expect(suggest(word, words.slice(0, -1))).toBeUndefined();
});

test('the nearest wins, the first of equals', () => {
  expect(suggest('retry_dela', words)).toBe('retry_delay');
  expect(suggest('ab', ['ax', 'xb'])).toBe('ax');
});
