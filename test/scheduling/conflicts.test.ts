import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { conflicts } from './conflicts.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-conflicts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// The whole minute of it is `npm run test:conflicts`.
test('fifty schedules that update one row every second all succeed, beside a transaction that holds it for ten seconds', {
  timeout: 120_000,
}, async () => {
  const report = await conflicts(join(folder, 'my.duckdb'), { forMs: 12_000, heldMs: 10_000 });
  expect(report.runs).toBeGreaterThanOrEqual(550);
  expect(report.states).toEqual({ succeeded: report.runs });
  expect(report.sum).toBe(report.runs);
  expect(report.missing).toBe(0);
  expect(report.beaten).toBeGreaterThan(0);
  expect(report.conflicts).toBeGreaterThanOrEqual(report.beaten);
});
