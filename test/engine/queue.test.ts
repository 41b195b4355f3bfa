import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';

const created = { outcome: 'created', changed: [], warnings: [] };
const unchanged = { outcome: 'unchanged', changed: [], warnings: [] };

describe('queues', () => {
  test('critical, default and low are there from the start, with their weights', async ({ db }) => {
    expect(await db.rows('SELECT name, weight FROM cron.queues ORDER BY weight DESC')).toEqual([
      { name: 'critical', weight: 6n },
      { name: 'default', weight: 3n },
      { name: 'low', weight: 1n },
    ]);
    for (const name of ['critical', 'default', 'low']) {
      const [shown] = await db.rows(`SHOW CREATE QUEUE ${name}`);
      expect(await db.rows(String(shown?.['definition'])), name).toMatchObject([{ name, ...unchanged }]);
    }
  });

  test('UPSERT answers created, unchanged, or updated with the keys that changed', async ({ db }) => {
    const definition = 'UPSERT QUEUE AS fast ( weight: 6, concurrency: 4, rate: 100 per 1m )';
    expect(await db.rows(definition)).toEqual([{ name: 'fast', ...created }]);
    expect(await db.rows(definition)).toEqual([{ name: 'fast', ...unchanged }]);
    expect(await db.rows('UPSERT QUEUE fast ( rate: "100 per 1m", CONCURRENCY: 4, weight: 6, )')).toEqual([{ name: 'fast', ...unchanged }]);
    expect(await db.rows('CREATE OR REPLACE QUEUE fast ( weight: 7, concurrency: 4 )')).toMatchObject([
      { outcome: 'updated', changed: ['weight', 'rate'] },
    ]);
    expect(await db.rows('ALTER QUEUE FAST SET ( weight: null, rate: 5 per second )')).toMatchObject([
      { name: 'fast', outcome: 'updated', changed: ['rate', 'weight'] },
    ]);
    expect(await db.rows('SELECT weight, concurrency FROM cron.queues WHERE name = $1', ['fast'])).toEqual([
      { weight: 3n, concurrency: 4n },
    ]);
    const [row] = await db.rows(`SELECT rate_count, rate_per_ms FROM cuckoo_ledger.queue WHERE name = 'fast'`);
    expect(row).toEqual({ rate_count: 5n, rate_per_ms: 1000n });
  });

  test('SHOW CREATE answers a text that, run again, changes nothing', async ({ db }) => {
    await db.run(`UPSERT QUEUE "Two words" ( weight: 2, rate: '10 per 30 seconds', description: 'it''s slow', tags: [a, 'b c'] )`);
    const [shown] = await db.rows('SHOW CREATE QUEUE "two WORDS"');
    const definition = String(shown?.['definition']);
    expect(await db.rows(definition)).toMatchObject([{ name: 'Two words', ...unchanged }]);
    await db.run('DROP QUEUE "Two words"');
    expect(await db.rows(definition)).toMatchObject([{ name: 'Two words', ...created }]);
    expect(await db.rows('SHOW CREATE QUEUE "Two words"')).toEqual([{ name: 'Two words', definition }]);
  });

  test('CREATE fails where the name exists, unless IF NOT EXISTS', async ({ db }) => {
    expect(await db.mistake('CREATE QUEUE Default ( weight: 9 )')).toMatchObject({ code: 'duplicate_object', at: 'Default' });
    expect(await db.rows('CREATE QUEUE IF NOT EXISTS Default ( weight: 9 )')).toEqual([{ name: 'default', ...unchanged }]);
    expect(await db.rows('SELECT weight FROM cron.queues WHERE name = $1', ['default'])).toEqual([{ weight: 3n }]);
  });

  test('a pause is kept by UPSERT and ALTER, and by a restart', async ({ db }) => {
    await db.run('UPSERT QUEUE slow ( weight: 1 )');
    expect(await db.rows('PAUSE QUEUE SLOW')).toEqual([{ name: 'slow', outcome: 'paused' }]);
    expect(await db.rows('PAUSE QUEUE slow')).toEqual([{ name: 'slow', outcome: 'unchanged' }]);
    await db.run('UPSERT QUEUE slow ( weight: 2 )', 'ALTER QUEUE slow SET ( concurrency: 1 )');
    await db.reopen();
    const paused = `SELECT paused FROM cron.queues WHERE name = 'slow'`;
    expect(await db.rows(paused)).toEqual([{ paused: true }]);
    expect(await db.rows('RESUME QUEUE slow')).toEqual([{ name: 'slow', outcome: 'resumed' }]);
    expect(await db.rows(paused)).toEqual([{ paused: false }]);
    expect(await db.mistake('PAUSE QUEUE slwo')).toMatchObject({
      code: 'undefined_object',
      at: 'slwo',
      hint: expect.stringContaining('did you mean slow?'),
    });
    await db.run('BEGIN');
    expect(await db.mistake('PAUSE QUEUE slow')).toMatchObject({ code: 'in_transaction' });
    await db.run('ROLLBACK');
  });

  test('DROP is refused while a schedule runs in the queue, and always for default; of several it is all or nothing', async ({ db }) => {
    await db.run('UPSERT QUEUE a ()', 'UPSERT QUEUE b ()', `UPSERT SCHEDULE s ( sql: 'SELECT 1', queue: B )`);
    expect(await db.mistake('DROP QUEUE a, b')).toMatchObject({ code: 'in_use', at: 'b', message: 'queue b is used by s' });
    expect(await db.mistake('DROP QUEUE IF EXISTS DEFAULT')).toMatchObject({ code: 'in_use', at: 'DEFAULT' });
    expect(await db.mistake('DROP QUEUE a, nope')).toMatchObject({ code: 'undefined_object', at: 'nope' });
    expect(await db.rows(`LIST QUEUES WHERE name IN ('a', 'b')`)).toHaveLength(2);
    await db.run('DROP SCHEDULE s');
    expect(await db.rows('DROP QUEUE IF EXISTS A, nope, b')).toEqual([
      { name: 'A', outcome: 'dropped' },
      { name: 'nope', outcome: 'absent' },
      { name: 'b', outcome: 'dropped' },
    ]);
  });

  test('definitions take part in the transaction of the session', async ({ db }) => {
    const other = await db.newSession();
    const seenByOther = async () => (await (await other.execute(`LIST QUEUES WHERE name = 'q'`)).toArray()).length;
    await db.run('BEGIN', 'UPSERT QUEUE q ( weight: 1 )', 'UPSERT QUEUE q ( weight: 2 )', 'ALTER QUEUE q SET ( weight: 3 )');
    expect(await db.rows('UPSERT QUEUE q ( weight: 3 )')).toMatchObject([unchanged]);
    expect(await seenByOther()).toBe(0);
    await db.run('ROLLBACK');
    expect(await db.mistake('DESCRIBE QUEUE q')).toMatchObject({ code: 'undefined_object' });
    await db.run('BEGIN', 'UPSERT QUEUE q ()', 'DROP QUEUE q', 'UPSERT QUEUE q ()', 'COMMIT');
    expect(await seenByOther()).toBe(1);
  });

  test('DESCRIBE tells the limits and who uses them', async ({ db }) => {
    await db.run('UPSERT QUEUE web ( weight: 4, rate: 60 per minute )', `UPSERT SCHEDULE crawl ( sql: 'SELECT 1', queue: web )`);
    const properties = Object.fromEntries((await db.rows('DESCRIBE QUEUE WEB')).map((row) => [row['property'], row['value']]));
    expect(properties).toMatchObject({ name: 'web', weight: '4', paused: 'false', rate: '60 per 1m', used_by: 'crawl' });
    expect(properties).not.toHaveProperty('concurrency');
  });

  test('a mistake names its place and the mend', async ({ db }) => {
    const cases: readonly (readonly [definition: string, expected: object])[] = [
      ['weight: 0', { code: 'invalid_value', at: '0' }],
      ['weight: 1001', { code: 'invalid_value', at: '1001', message: "'weight' must be from 1 to 1000, got 1001" }],
      ['weight: 1.5', { code: 'wrong_type', at: '1.5' }],
      ["weight: '3'", { code: 'wrong_type', at: "'3'" }],
      ['concurrency: 0', { code: 'invalid_value', at: '0' }],
      ['concurency: 1', { code: 'unknown_key', at: 'concurency', hint: expect.stringContaining('concurrency') }],
      ['weight: 1, weight: 2', { code: 'duplicate_key' }],
      ['rate: 100', { code: 'wrong_type', at: '100' }],
      ['rate: 100 every 1m', { code: 'invalid_value', at: '100 every 1m', hint: expect.stringContaining('100 per 1m') }],
      ['rate: 100 per 1x', { code: 'invalid_value', at: '1x' }],
      ["rate: 'per ''1m'", { code: 'invalid_value', at: "'per ''1m'" }],
      ["rate: E'5 per\\t1 fortnight'", { code: 'invalid_value', at: '1 fortnight' }],
      ['rate: 0 per 1m', { code: 'invalid_value', hint: expect.stringContaining('PAUSE QUEUE') }],
      ['rate: 5 per 0s', { code: 'invalid_value', at: '5 per 0s' }],
      ['rate: 5 per 1y', { code: 'invalid_value', at: '5 per 1y' }],
    ];
    for (const [definition, expected] of cases) {
      expect({ definition, ...(await db.mistake(`UPSERT QUEUE wrong ( ${definition} )`)) }).toMatchObject({ definition, ...expected });
    }
    expect(await db.mistake('ALTER QUEUE default SET ( rate: 9 a day )')).toMatchObject({ at: '9 a day' });
    expect(await db.rows(`LIST QUEUES LIKE 'wrong'`)).toEqual([]);
  });
});

test('a queue in which runs wait is not dropped: what a pause held back would run', async ({ db }) => {
  await db.run(
    'UPSERT QUEUE held ( weight: 1 )',
    "UPSERT SCHEDULE s ( sched: every 1m, queue: held, sql: 'SELECT 1' )",
    'PAUSE QUEUE held',
  );
  db.clock.set('2026-11-20T12:01:00Z');
  await db.engine.scheduler.tick(db.clock.now());
  await db.run('ALTER SCHEDULE s SET ( queue: default )');
  expect(await db.mistake('DROP QUEUE held')).toMatchObject({ code: 'in_use', message: 'queue held cannot be dropped: 1 run waits in it' });
  await db.run("CANCEL RUNS WHERE queue = 'held'", 'DROP QUEUE held');
});
