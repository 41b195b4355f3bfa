// The seeds once more, smaller, on real files: what the ledger in memory keeps, DuckDB's keeps too.

import { describe, expect, test } from 'vitest';
import { DuckStore } from './duckStore.ts';
import { play } from './play.ts';

/** Some hundred steps each; calm ones, and those in which calls fail, hang and lose their answer, and processes die. */
const seeds = [1, 3, 6, 8, 11, 12];
const roughSeeds = [2, 5, 7, 12];

describe('on DuckDB every promise is kept', () => {
  test.each([...seeds.map((seed) => ({ seed, rough: false })), ...roughSeeds.map((seed) => ({ seed, rough: true }))])(
    'in seed $seed, rough: $rough',
    { timeout: 120_000 },
    async ({ seed, rough }) => {
      const { violations } = await play({ seed, rough, fires: 25, openStore: (journal, clock) => new DuckStore(journal, clock) });
      expect(violations, `npm run simulate -- --duckdb --fires 25 --seed ${seed}${rough ? ' --rough' : ''}`).toEqual([]);
    },
  );
});
