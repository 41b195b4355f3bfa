import { expect, test } from 'vitest';
import { formatSize, parseSize } from '../../src/core/size.ts';

test.each([
  ['512MB', 512_000_000],
  ['1GiB', 2 ** 30],
  ['1.5gb', 1_500_000_000],
  [' 10 KB ', 10_000],
  ['7b', 7],
  ['2TiB', 2 ** 41],
])('%s is %i bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['', '512', 'MB', '1 XB', '-1MB', '1e3MB', '99999999999TB'])('%j is no size', (text) => {
  expect(() => parseSize(text)).toThrow(/is not a size/);
});

test.each([
  [0, '0B'],
  [999, '999B'],
  [512_000_000, '512MB'],
  [2 ** 30, '1GiB'],
  [1_500_000_000, '1500MB'],
  [1_234_567, '1.2MB'],
  [12_345_678_901, '12.3GB'],
  [3 * 2 ** 20, '3MiB'],
])('%i bytes are written %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
