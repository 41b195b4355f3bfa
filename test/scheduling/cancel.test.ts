import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { endRuns } from './cancels.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-cancel-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// A thousand each are a proof of their own (cancelProof.test.ts).
test.each([
  ['before a worker takes them', 'open', 'cancelled'],
  ['0 to 5 ms after their start', 'start', 'cancelled'],
  ['around their commit', 'commit', 'succeeded'],
  ['by their timeout', 'timeout', 'timed_out'],
] as const)('sixty runs that are ended %s leave rows that tell the truth', { timeout: 120_000 }, async (_, moment, state) => {
  const { runs, states, ...wrong } = await endRuns(join(folder, `${moment}.duckdb`), { runs: 60, moment });
  expect(wrong).toEqual({ lies: [], closedTwice: 0, toldTwice: 0, leftOpen: 0 });
  expect(runs).toBeGreaterThanOrEqual(60);
  expect(states[state]).toBeGreaterThan(10);
});
