// A daemon's door for each test, which goes away with it.

import { test as base } from 'vitest';
import { Served } from './served.ts';

export const test = base.extend<{ served: Served }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the first parameter as a pattern of fixtures.
  served: async ({}, use) => {
    const served = new Served();
    try {
      await use(await served.open());
    } finally {
      await served.close();
    }
  },
});
