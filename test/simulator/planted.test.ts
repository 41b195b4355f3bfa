// The simulator is only worth something if it sees what is wrong: mistakes made on purpose, each found within some seeds.

import { describe, expect, test } from 'vitest';
import { plants } from './plants.ts';
import { play } from './play.ts';

/** Twice as many as the shyest of them needs. */
const enough = 80;

describe('the simulator finds it', () => {
  test.each(Object.entries(plants))('when %s', { timeout: 120_000 }, async (_name, plant) => {
    const found = await firstBroken(plant);
    expect(found, `nothing was seen in ${enough} seeds`).toBeDefined();
  });
});

async function firstBroken(plant: (typeof plants)[string]): Promise<string | undefined> {
  for (let seed = 1; seed <= enough; seed++) {
    const { violations } = await play({ seed, rough: true, plant: plant() });
    const [first] = violations;
    if (first !== undefined) return `seed ${seed}: ${first.invariant}: ${first.message}`;
  }
  return undefined;
}

test('without a mistake nothing is found in the same seeds', { timeout: 120_000 }, async () => {
  for (let seed = 1; seed <= enough; seed++) {
    const { violations } = await play({ seed, rough: true });
    expect(violations, `seed ${seed}`).toEqual([]);
  }
});
