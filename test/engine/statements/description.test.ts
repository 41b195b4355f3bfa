import { describe, expect } from 'vitest';
import { type TestDatabase, test } from '../../support/database.ts';

async function described(db: TestDatabase, statement: string): Promise<Record<string, unknown>> {
  return Object.fromEntries((await db.rows(statement)).map(({ property, value }) => [property, value]));
}

describe('DESCRIBE', () => {
  test('leaves out what is not there: no NULL, no empty list, no empty object, no definition', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1', tags: [a, b] )", "UPSERT SCHEDULE p ( sql: 'SELECT $n', params: { n: 1 } )");
    const properties = await described(db, 'DESCRIBE SCHEDULE s');
    expect(properties).toMatchObject({ name: 's', tags: 'a, b', enabled: 'true' });
    for (const absent of ['params', 'config', 'after', 'sched', 'owner', 'definition']) expect(properties).not.toHaveProperty(absent);
    expect(await described(db, 'DESCRIBE SCHEDULE p')).toMatchObject({ params: '{"n":1}' });
  });

  test.for([
    ['UPSERT SCHEDULE x ( sched: @daily, sql: $$SELECT 1$$ )', 'DESCRIBE SCHEDULE x', 'created_at'],
    ['UPSERT PROCEDURE x() AS BEGIN SELECT 1; END', 'DESCRIBE PROCEDURE x', 'updated_at'],
    ["UPSERT PIPELINE x ( steps: [{ name: a, sql: 'SELECT 1' }] )", 'DESCRIBE PIPELINE x', 'created_at'],
  ] as const)("tells times in the session's zone: %j", async ([define, statement, property], { db }) => {
    await db.run(define);
    expect(await described(db, statement)).toMatchObject({ [property]: '2026-11-20 12:00:00+00' });
    await db.run("SET TimeZone = 'Asia/Kathmandu'");
    expect(await described(db, statement)).toMatchObject({ [property]: '2026-11-20 17:45:00+05:45' });
  });

  test("tells a run's times in the session's zone, found by an id that a narrow table has cut", async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )", 'RUN SCHEDULE s', "SET TimeZone = 'Asia/Tokyo'");
    const [run] = await db.rows('SELECT run_id FROM cron.runs');
    const cut = `${String(run?.['run_id']).slice(0, 19)}…`;
    expect(await described(db, `DESCRIBE RUN '${cut}'`)).toMatchObject({
      run_id: run?.['run_id'],
      scheduled_at: '2026-11-20 21:00:00+09',
      state: 'succeeded',
    });
  });
});

test('an answer says what its rows are; a query never does, whatever its columns are called', async ({ db }) => {
  const form = async (statement: string) => (await db.result(statement)).form;
  expect(await form("UPSERT SCHEDULE s ( sql: 'SELECT 1' )")).toBe('outcomes');
  expect(await form('UPSERT PROCEDURE p() AS BEGIN SELECT 1; END')).toBe('outcomes');
  expect(await form('DISABLE SCHEDULE s')).toBe('outcomes');
  expect(await form('RUN SCHEDULE s')).toBe('runs');
  expect(await form("SET cron.workers = '2'")).toBe('settings');
  expect(await form('RESET cron.workers')).toBe('settings');
  expect(await form('SHOW CREATE SCHEDULE s')).toBe('text');
  expect(await form('DESCRIBE PROCEDURE p')).toBe('properties');
  expect(await form('LIST SCHEDULES')).toBe('table');
  expect(await form('DROP SCHEDULE s')).toBe('outcomes');
  for (const query of ["SELECT 'a' AS name, 'dropped' AS outcome", 'SELECT 1 AS name, 2 AS value']) expect(await form(query)).toBe('table');
});
