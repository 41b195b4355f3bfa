// Each seed is days of schedules with everything that goes wrong; what must hold is in journal.ts. The seeds are in two files, so
// that two cores share them.

import { describe, test } from 'vitest';
import { keepsPromises } from './promises.ts';

describe('every promise is kept', () => {
  for (let first = 1; first < 1001; first += 100) {
    test(`in seeds ${first} to ${first + 99}`, { timeout: 120_000 }, () => keepsPromises({ first, seeds: 100 }));
  }
});
