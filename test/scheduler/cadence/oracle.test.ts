// The proof of the day: 20,000 random cases, each asked of the code and of a brute-force reading of the definitions. The
// seeds are the same every time, so that a failure is the code's; `npm run test:time` walks on to others.

import { describe, expect, it } from 'vitest';
import { compare } from './agreement.ts';
import { randomCase } from './randomCases.ts';
import { provenZones } from './zones.ts';

/** Every block has its zones to itself, so that two workers do not build the same tables. */
const blocks = 4;

describe('next, previous and matches', () => {
  for (let block = 0; block < blocks; block++) {
    it(`agree with the definitions in 5,000 random cases, block ${block + 1} of ${blocks}`, { timeout: 120_000 }, () => {
      const zones = provenZones.filter((_zone, index) => index % blocks === block);
      const differences: string[] = [];
      let compared = 0;
      for (let seed = block * 100_000; compared < 5000; seed++) {
        const agreement = compare(randomCase(seed, { zones }));
        if (agreement.compared) compared++;
        if (agreement.difference !== undefined) differences.push(agreement.difference);
      }
      expect(differences).toEqual([]);
    });
  }
});
