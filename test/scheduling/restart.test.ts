// After a night without a scheduler: what each `catchup` leaves of it. How long that takes is measured by `npm run bench -- catchup`.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { multiply } from '../support/manySchedules.ts';
import { VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-restart-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const each = 40;
const policies = {
  none: 'catchup: none',
  latest: 'catchup: latest',
  limit: 'catchup: all, catchup_limit: 3',
  window: 'catchup: all, catchup_within: 4s',
  both: 'catchup: all, catchup_limit: 3, catchup_within: 1s',
};

test('26 hours of 200 schedules that fire every second: each policy runs what it promises, and all the rest is one row for each schedule', {
  timeout: 120_000,
}, async () => {
  const path = join(folder, 'my.duckdb');
  const evening = await VirtualEngine.open(path, { startAt: '2026-11-20T12:00:00Z' });
  for (const [name, policy] of Object.entries(policies)) {
    await evening.run(`UPSERT SCHEDULE ${name} ( sched: every 1s, sql: 'SELECT 1', ${policy} )`);
    await multiply(evening.engine, name, each - 1);
  }
  await evening.engine.scheduler.start();
  await evening.close();

  const day = await VirtualEngine.open(path, { startAt: '2026-11-21T14:00:00Z' });
  try {
    await day.engine.scheduler.start();
    // No time passes: what was missed is opened, and done.
    await day.advance('0s');
    const kinds = await day.rows(`
      SELECT split_part(schedule, '_', 1) AS policy, state, trigger, reason, count(*)::INTEGER AS rows, count(DISTINCT schedule)::INTEGER AS schedules,
        any_value(fires) AS fires,
        strftime(min(coalesce(first_scheduled_at, scheduled_at)) AT TIME ZONE 'UTC', '%d %H:%M:%S') AS first,
        strftime(max(scheduled_at) AT TIME ZONE 'UTC', '%d %H:%M:%S') AS newest
      FROM cron.runs GROUP BY policy, state, trigger, reason ORDER BY policy, state`);
    const skipped = (policy: string, catchup: string, newest: string) => ({
      ...{
        policy,
        state: 'skipped',
        trigger: 'interval',
        reason: `missed: no scheduler ran; catchup: ${catchup}`,
        rows: each,
        schedules: each,
      },
      // More than 10,000 are not counted.
      ...{ fires: null, first: '20 12:00:01', newest: `21 ${newest}` },
    });
    const succeeded = (policy: string, count: number, first: string) => ({
      ...{ policy, state: 'succeeded', trigger: 'catchup', reason: null, rows: count * each, schedules: each, fires: null },
      ...{ first: `21 ${first}`, newest: '21 14:00:00' },
    });
    expect(kinds).toEqual([
      skipped('both', 'all, the newest 3 within 1s', '13:59:58'),
      succeeded('both', 2, '13:59:59'),
      skipped('latest', 'latest', '13:59:59'),
      succeeded('latest', 1, '14:00:00'),
      skipped('limit', 'all, the newest 3 within 1d', '13:59:57'),
      succeeded('limit', 3, '13:59:58'),
      skipped('none', 'none', '14:00:00'),
      skipped('window', 'all, the newest 100 within 4s', '13:59:55'),
      succeeded('window', 5, '13:59:56'),
    ]);
    // One after another, the oldest first.
    const unordered = `SELECT count(*) FROM (
      SELECT scheduled_at < lag(scheduled_at) OVER (PARTITION BY schedule ORDER BY rowid) AS wrong FROM cuckoo_ledger.closed WHERE state = 'succeeded'
    ) WHERE wrong`;
    expect(await day.value(unordered)).toBe(0n);
    // And life goes on with the next second.
    await day.advance('1s');
    const next =
      "SELECT count(*) FROM cron.runs WHERE state = 'succeeded' AND trigger = 'interval' AND scheduled_at = '2026-11-21 14:00:01Z'";
    expect(await day.value(next)).toBe(BigInt(5 * each));
  } finally {
    await day.close();
  }
});
