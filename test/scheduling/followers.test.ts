// Followers of followers on the real engine. What tokens decide is a test of its own (test/scheduler/follow.test.ts).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { takesMacro, VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-followers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a run that waited too long for another is superseded once: who follows both is not decided by it', async () => {
  const engine = await VirtualEngine.open(join(folder, 'my.duckdb'), { startAt: '2026-11-20T12:00:00Z' });
  try {
    // `seldom` ends behind `often`, whichever of the two a worker takes first.
    await engine.run(
      takesMacro,
      "UPSERT SCHEDULE often ( sched: '10,20 12 * * *', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE seldom ( sched: '20 12 * * *', sql: 'SELECT takes(''1m'')' )",
      "UPSERT SCHEDULE of_both ( after: [often, seldom], sql: 'SELECT 1' )",
      "UPSERT SCHEDULE of_all ( after: [of_both, seldom], after_state: any, sql: 'SELECT 1' )",
    );
    await engine.engine.scheduler.start();
    await engine.until('2026-11-20T12:30:00Z');
    const rows = `SELECT schedule || ' ' || strftime(scheduled_at AT TIME ZONE 'UTC', '%H:%M') || ' ' || state || coalesce(': ' || reason, '')
      FROM cron.runs WHERE schedule LIKE 'of\\_%' ESCAPE '\\' ORDER BY schedule, scheduled_at`;
    expect(await engine.column(rows)).toEqual([
      'of_all 12:20 succeeded',
      'of_both 12:10 skipped: superseded: often has run again since',
      'of_both 12:20 succeeded',
    ]);
  } finally {
    await engine.close();
  }
});
