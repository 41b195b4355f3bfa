import { expect } from 'vitest';
import type { Alert } from '../../src/scheduler/ports.ts';
import { test } from '../support/database.ts';

test('failures in a row raise one alert, which runs the system’s actions once, and ends with a success', async ({ db }) => {
  await db.run(
    'CREATE TABLE told (schedule VARCHAR, state VARCHAR, reason VARCHAR)',
    'CREATE TABLE switch (works BOOLEAN)',
    'INSERT INTO switch VALUES (false)',
    'UPSERT PROCEDURE page_me(reason VARCHAR) AS BEGIN INSERT INTO told VALUES ($schedule, NULL, $reason); END',
    "UPSERT SCHEDULE s ( sql: 'SELECT CASE WHEN works THEN 1 ELSE error(''broken'') END FROM switch', max_retries: 0 )",
  );
  const { scheduler } = db.engine;
  await scheduler.start();
  const raised = new Promise<Alert>((resolve) => scheduler.events.on('alert:raised', resolve));
  for (let count = 0; count < 2; count++) await db.rows('RUN SCHEDULE s AWAIT');
  // From here on the system has actions: the third failure runs them for itself, and the alert once more.
  await db.run("SET cron.on_fail = 'call(page_me)'");
  const paged: Promise<unknown>[] = [];
  const both = new Promise<void>((resolve) => {
    scheduler.events.on('run:finished', (run) => {
      if (run.trigger === 'event' && paged.push(Promise.resolve(run)) === 2) resolve();
    });
  });
  await db.rows('RUN SCHEDULE s AWAIT');
  expect(await raised).toMatchObject({ rule: 'failures', schedule: 's', endedAt: null });
  await both;
  expect(await db.rows('SELECT rule, schedule, ended_at FROM cron.alerts')).toEqual([{ rule: 'failures', schedule: 's', ended_at: null }]);
  const told = await db.rows('SELECT schedule, reason FROM told ORDER BY reason');
  expect(told).toHaveLength(2);
  expect(told[0]).toMatchObject({ schedule: 's', reason: expect.stringMatching(/^failures: 3 runs failed in a row/) });

  const cleared = new Promise<Alert>((resolve) => scheduler.events.on('alert:cleared', resolve));
  await db.run('UPDATE switch SET works = true');
  await db.rows('RUN SCHEDULE s AWAIT');
  expect(await cleared).toMatchObject({ rule: 'failures', schedule: 's' });
  expect(await db.rows('SELECT count(*) AS open FROM cron.alerts WHERE ended_at IS NULL')).toEqual([{ open: 0n }]);
});
