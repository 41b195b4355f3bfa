// The whole of cancel.test.ts: 1,000 runs before a worker takes them, 1,000 in the first 5 ms of their lives, 1,000 around their commit.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { endRuns } from './cancels.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-cancel-proof-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ['open', 1000],
  ['start', 1000],
  ['commit', 1000],
  ['timeout', 500],
] as const)(
  'moment %s: of %i runs each is closed once, and succeeded exactly where its effect is there',
  {
    timeout: 600_000,
  },
  async (moment, count) => {
    const { runs, states, ...wrong } = await endRuns(join(folder, `${moment}.duckdb`), { runs: count, moment });
    expect(wrong).toEqual({ lies: [], closedTwice: 0, toldTwice: 0, leftOpen: 0 });
    expect(runs).toBeGreaterThanOrEqual(count);
    // Both ends are met, or nothing is proved.
    expect(states['succeeded']).toBeGreaterThan(0);
    expect(states[moment === 'timeout' ? 'timed_out' : 'cancelled']).toBeGreaterThan(0);
  },
);
