import { describe, expect } from 'vitest';
import { type Row, type TestDatabase, test } from '../support/database.ts';

/** A pipeline `p` of these steps, and a schedule of its name that runs it by hand. */
async function define(db: TestDatabase, steps: string, more = '', schedule = 'max_retries: 0'): Promise<void> {
  await db.run(`UPSERT PIPELINE p ( steps: [ ${steps} ]${more} )`, `UPSERT SCHEDULE p ( exe: pipeline, call: p, ${schedule} )`);
}

/** Of the newest run, in the order in which they ended. */
async function stepRows(db: TestDatabase, columns = 'step, item, state, reason'): Promise<Row[]> {
  return db.rows(
    `SELECT ${columns} FROM cron.step_runs WHERE run_id = (SELECT run_id FROM cron.runs ORDER BY opened_at DESC, run_id DESC LIMIT 1)`,
  );
}

async function workTables(db: TestDatabase): Promise<Row[]> {
  return db.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'cuckoo_work'");
}

describe('a pipeline', () => {
  test('runs its steps one after the other, each with its row, and hands on what they find', async ({ db }) => {
    await db.run(
      'CREATE TABLE product (id INTEGER, quantity INTEGER)',
      'INSERT INTO product VALUES (1, 3), (2, 30), (3, 5)',
      'CREATE TABLE ordered (id INTEGER, who VARCHAR)',
    );
    await define(
      db,
      `{ name: low, query: $$ SELECT id, quantity FROM product WHERE quantity < $floor ORDER BY id $$, as: items },
       { name: order, sql: $$ INSERT INTO ordered SELECT id, $run_id FROM items; SELECT count(*) AS n FROM ordered $$ },
       { name: verify, expect: $$ SELECT count(*) = 2 FROM ordered $$ }`,
      ', params: { floor: 10 }',
    );
    const [run] = await db.rows('RUN SCHEDULE p');
    expect(run).toMatchObject({ state: 'succeeded', reason: null, rows_changed: 2n, result: '[{"n":2}]' });
    expect(await db.rows('FROM ordered ORDER BY id')).toMatchObject([{ id: 1, who: run?.['run_id'] }, { id: 3 }]);
    expect(await stepRows(db, 'step, item, kind, state, attempt, rows_changed, result, error_message')).toEqual([
      {
        step: 'low',
        item: null,
        kind: 'query',
        state: 'succeeded',
        attempt: 1n,
        rows_changed: 0n,
        result: '[{"id":1,"quantity":3},{"id":3,"quantity":5}]',
        error_message: null,
      },
      {
        step: 'order',
        item: null,
        kind: 'sql',
        state: 'succeeded',
        attempt: 1n,
        rows_changed: 2n,
        result: '[{"n":2}]',
        error_message: null,
      },
      { step: 'verify', item: null, kind: 'expect', state: 'succeeded', attempt: 1n, rows_changed: 0n, result: null, error_message: null },
    ]);
    expect(await db.rows('SELECT guarantee FROM cron.runs')).toEqual([{ guarantee: 'at_least_once' }]);
    expect(await workTables(db)).toEqual([]);
  });

  test('an expectation that does not hold fails its run with its message and a sample of the rows that offend', async ({ db }) => {
    await define(db, `{ name: verify, expect: 'SELECT i FROM range(12) t(i)', message: 'too many' }, { name: never, sql: 'SELECT 1' }`);
    expect(await db.rows('RUN SCHEDULE p')).toMatchObject([{ state: 'failed', reason: 'step verify: too many: 12 rows offend' }]);
    const [run] = await db.rows('SELECT error_code, error_message, error_detail FROM cron.runs');
    expect(run).toMatchObject({ error_code: 'run_failed', error_message: 'step verify: too many: 12 rows offend' });
    const detail = JSON.parse(String(run?.['error_detail']));
    expect(detail).toMatchObject({ step: 'verify', rows: Array.from({ length: 10 }, (_, i) => ({ i })) });
    expect(await stepRows(db)).toEqual([
      { step: 'verify', item: null, state: 'failed', reason: 'too many: 12 rows offend' },
      { step: 'never', item: null, state: 'skipped', reason: 'not begun: step verify ended the pipeline' },
    ]);
  });
});
