// Each seed is days of schedules with everything that goes wrong; what must hold is in journal.ts. The seeds are in two files, so
// that two cores share them.

import { describe, expect, test } from 'vitest';
import { play } from './play.ts';
import { keepsPromises } from './promises.ts';

describe('every promise is kept', () => {
  for (let first = 1001; first < 2001; first += 100) {
    test(`in seeds ${first} to ${first + 99}`, { timeout: 120_000 }, () => keepsPromises({ first, seeds: 100 }));
  }
});

test('a seed is the same play each time', async () => {
  for (const seed of [3, 7, 11]) {
    const [one, other] = [await play({ seed, trace: true }), await play({ seed, trace: true })];
    expect(one.lines.length).toBeGreaterThan(10);
    expect(other.lines).toEqual(one.lines);
  }
});
