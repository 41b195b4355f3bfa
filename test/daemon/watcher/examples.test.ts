// examples/jobs.d and a module as others write it, from the files to the rows of their runs.

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { test, type Watched } from './watched.ts';

const root = join(import.meta.dirname, '../../..');

async function tick(watched: Watched, time: string): Promise<void> {
  watched.database.clock.set(time);
  await watched.database.engine.scheduler.tick(watched.database.clock.now());
}

async function runs(watched: Watched): Promise<string[]> {
  const rows = await watched.database.rows(
    "SELECT schedule || ' ' || state || ' ' || strftime(scheduled_at AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S') AS run FROM cron.runs ORDER BY scheduled_at, schedule",
  );
  return rows.map(({ run }) => String(run));
}

test('examples/jobs.d: a daily, a one-time and a frequent job, and a script', async ({ watched }) => {
  cpSync(join(root, 'examples/jobs.d'), watched.directory, { recursive: true });
  await watched.start();
  expect(watched.messages('error')).toEqual([]);
  expect(watched.messages('warn')).toEqual([]);
  expect(await watched.schedules()).toEqual([
    'daily-report from daily-report.json',
    'frequent-task from frequent-task.json',
    'measure_growth from maintenance.sql',
    'onetime-cleanup from onetime-cleanup.json',
  ]);
  for (const time of ['2026-11-20T12:05:00Z', '2026-11-21T00:57:00Z', '2026-11-21T01:00:00Z']) await tick(watched, time);
  const first = [
    'frequent-task succeeded 2026-11-20 12:05:00',
    'daily-report succeeded 2026-11-21 01:00:00',
    'frequent-task succeeded 2026-11-21 01:00:00',
    'measure_growth succeeded 2026-11-21 01:00:00',
  ];
  expect(await runs(watched)).toEqual(expect.arrayContaining(first));
  const lines = await watched.database.rows('SELECT DISTINCT line FROM cron.run_logs ORDER BY line');
  expect(lines).toEqual([{ line: 'report of 2026-11-21T01:00:00.000Z' }, { line: 'still here' }]);
  expect(await watched.database.rows('SELECT schedules FROM growth')).toEqual([{ schedules: 4n }, { schedules: 4n }]);
  await tick(watched, '2027-09-20T02:00:00Z');
  expect(await runs(watched)).toContain('onetime-cleanup succeeded 2027-09-20 02:00:00');
  expect(await watched.database.rows("SELECT status FROM cron.schedules WHERE name = 'onetime-cleanup'")).toEqual([{ status: 'finished' }]);
});

test("a module's manifest: its handler is found beside it, and gets its config", async ({ watched }) => {
  watched.write('my-module/module.json', {
    name: 'my-module',
    version: '1.0.0',
    jobs: [
      { name: 'Data Sync Job', handler: 'jobs/sync.js', schedule: '0 * * * *', timeout: 600000, retries: 3, config: { region: 'eu' } },
    ],
  });
  watched.write('my-module/jobs/sync.js', 'module.exports = async (context) => ({ job: context.jobId, region: context.config.region });');
  await watched.start();
  expect(watched.messages('error')).toEqual([]);
  await tick(watched, '2026-11-20T13:00:00Z');
  expect(await watched.database.rows("SELECT state, result::VARCHAR AS result FROM cron.runs WHERE schedule = 'Data Sync Job'")).toEqual([
    { state: 'succeeded', result: '{"job":"Data Sync Job","region":"eu"}' },
  ]);
});
