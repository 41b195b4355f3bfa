import { expect } from 'vitest';
import { test } from '../support/database.ts';

test('what the process was started with wins over the settings in the file, which stay as they are', async ({ db }) => {
  await db.run('SET cron.workers = 7', "SET cron.late_within = '2m'");
  await db.reopen({ overrules: new Map([['workers', { value: '2', origin: '--workers' }]]) });
  const settings = "SELECT name, value, origin FROM cron.settings WHERE name IN ('workers', 'late_within', 'catchup') ORDER BY name";
  expect(await db.rows(settings)).toEqual([
    { name: 'catchup', value: 'latest', origin: 'default' },
    { name: 'late_within', value: '2m', origin: 'file' },
    { name: 'workers', value: '2', origin: '--workers' },
  ]);
  await db.engine.scheduler.start();
  expect(db.engine.scheduler.workers).toBe(2);
  await db.reopen({});
  expect(await db.rows("SELECT value FROM cron.settings WHERE name = 'workers'")).toEqual([{ value: '7' }]);
});
