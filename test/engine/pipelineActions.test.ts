import { describe, expect } from 'vitest';
import { type TestDatabase, test } from '../support/database.ts';
import { define, stepRows } from '../support/pipelines.ts';

/** Procedures that write down what they are told. */
async function prepare(db: TestDatabase): Promise<void> {
  await db.run('CREATE TABLE told (who VARCHAR, state VARCHAR, reason VARCHAR)');
  for (const who of ['done', 'broke', 'idle']) {
    await db.run(
      `UPSERT PROCEDURE ${who}(state VARCHAR DEFAULT NULL, reason VARCHAR DEFAULT NULL) AS BEGIN INSERT INTO told VALUES ('${who}', $state, $reason); END`,
    );
  }
}
const told = async (db: TestDatabase) => (await db.rows('FROM told')).map((row) => Object.values(row));
const actions = ", on_complete: [call('done'), emit('all done')], on_fail: call('broke'), on_skip: call('idle')";
const quiet = (db: TestDatabase) =>
  expect.poll(() => db.rows('SELECT count(*) AS n FROM cuckoo_ledger.open_run'), { timeout: 10_000, interval: 20 }).toEqual([{ n: 0n }]);

describe('what a pipeline calls at its end', () => {
  for (const atomic of ['', ', atomic: true']) {
    test(`becomes a run of its own, which is told how it ended${atomic === '' ? '' : ', where it is atomic too'}`, async ({ db }) => {
      await prepare(db);
      await db.engine.scheduler.start();
      await define(db, "{ name: a, sql: 'SELECT 1' }", `${atomic}${actions}`);
      const [run] = await db.rows('RUN PIPELINE p AWAIT');
      await quiet(db);
      expect(await told(db)).toEqual([['done', 'succeeded', null]]);
      expect(await db.rows('SELECT exe, call, trigger, state FROM cron.runs WHERE parent_run_id IS NOT NULL')).toEqual([
        { exe: 'procedure', call: 'done', trigger: 'event', state: 'succeeded' },
      ]);
      expect(await db.rows(`SELECT line FROM cron.run_logs WHERE run_id = '${run?.['run_id']}'`)).toEqual([
        { line: 'not delivered: event all done; there is no event bus yet' },
      ]);
      await define(db, "{ name: a, query: 'SELECT 1 WHERE false', on_empty: skip('nothing') }", `${atomic}${actions}`);
      await db.run('RUN PIPELINE p AWAIT');
      await quiet(db);
      await define(db, "{ name: a, sql: 'SELECT error(''boom'')' }", `${atomic}${actions}`);
      await db.run('RUN PIPELINE p AWAIT');
      await quiet(db);
      expect((await told(db)).slice(1)).toEqual([
        ['idle', 'skipped', 'nothing'],
        ['broke', 'failed', expect.stringMatching(/^step a: .*boom/)],
      ]);
    });
  }

  test('waits for the last attempt, stands beside what its schedule calls, and does not follow a step alone', async ({ db }) => {
    await prepare(db);
    await define(db, "{ name: a, sql: 'SELECT error(''boom'')' }", actions);
    await db.run(
      "UPSERT SCHEDULE s ( exe: pipeline, call: p, max_retries: 1, retry_delay: 10s, retry_jitter: false, on_fail: call('idle') )",
      "UPSERT SCHEDULE alone ( exe: 'p.a', max_retries: 0 )",
      'RUN SCHEDULE alone',
      'RUN SCHEDULE s',
    );
    db.clock.set('2026-11-20T12:00:05Z');
    await db.engine.scheduler.tick(db.clock.now());
    expect(await told(db)).toEqual([]);
    db.clock.set('2026-11-20T12:00:11Z');
    await db.engine.scheduler.tick(db.clock.now());
    expect((await told(db)).map(([who]) => who).sort()).toEqual(['broke', 'idle']);
  });

  test('also where it is a step of an atomic one, behind the rollback', async ({ db }) => {
    await prepare(db);
    const step = (more: string): string =>
      `{ name: a, sql: 'INSERT INTO told VALUES (''a'', NULL, $run_id); SELECT 1 WHERE false', ${more} }`;
    await define(db, step("on_empty: [continue('nothing'), call('done'), emit('e')]"), ', atomic: true');
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded' }]);
    expect((await told(db)).map(([who]) => who)).toEqual(['a', 'done']);
    await define(db, step("on_empty: [skip('nothing'), call('idle')]"), ', atomic: true');
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'skipped', reason: 'nothing' }]);
    await define(db, `${step('on_fail: abort')}, { name: b, sql: 'SELECT 1/nope', on_fail: [abort, call('broke')] }`, ', atomic: true');
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'failed' }]);
    expect((await told(db)).slice(2)).toEqual([
      ['idle', 'succeeded', 'nothing'],
      ['broke', 'failed', expect.stringContaining('nope')],
    ]);
    expect(await stepRows(db, 'step, state')).toEqual([
      { step: 'a', state: 'cancelled' },
      { step: 'b', state: 'failed' },
      { step: 'b.on_fail', state: 'succeeded' },
    ]);
  });
});
