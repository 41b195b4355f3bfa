import { describe, expect } from 'vitest';
import { test } from '../../support/database.ts';
import { findStored } from '../../support/underneath.ts';

const endless = 'SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)';

describe('CANCEL RUN', () => {
  test('closes what waits at once, also where no scheduler runs, and says by whom', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT nope' )", 'RUN SCHEDULE s');
    const [waiting] = await db.rows("LIST RUNS WHERE state = 'pending'");
    const id = String(waiting?.['run_id']);
    expect(await db.rows(`CANCEL RUN '${id}'`)).toEqual([{ run_id: id, schedule: 's', outcome: 'cancelled' }]);
    expect(await db.rows('SELECT state, reason, final, attempt FROM cron.runs ORDER BY attempt DESC')).toMatchObject([
      { state: 'cancelled', reason: 'cancelled by tester', final: true, attempt: 2n },
      { state: 'failed', attempt: 1n },
    ]);
  });

  test('ends what runs, waits until it has, and gives its worker to the next', async ({ db }) => {
    await db.run('SET cron.workers = 1', `UPSERT SCHEDULE slow ( sql: '${endless}' )`, "UPSERT SCHEDULE next ( sql: 'SELECT 1' )");
    const { scheduler } = db.engine;
    await scheduler.start();
    const started = new Promise<string>((resolve) => scheduler.events.on('run:started', ({ run }) => resolve(run.runId)));
    await db.run('RUN SCHEDULE slow, next');
    const id = await started;
    expect(await db.rows(`CANCEL RUN '${id.slice(0, 23)}'`)).toEqual([{ run_id: id, schedule: 'slow', outcome: 'cancelled' }]);
    expect(await db.rows("SELECT state, reason, final FROM cron.runs WHERE schedule = 'slow'")).toEqual([
      { state: 'cancelled', reason: 'cancelled by tester', final: true },
    ]);
    expect(await db.rows('RUN SCHEDULE next AWAIT')).toMatchObject([{ state: 'succeeded' }]);
  });

  test('of a run that has ended tells how', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )");
    const [run] = await db.rows('RUN SCHEDULE s');
    const text = `CANCEL RUN '${String(run?.['run_id'])}'`;
    expect(await db.mistake(text)).toMatchObject({
      code: 'invalid_value',
      message: 'the run has ended already: succeeded',
      at: text.slice(11),
    });
  });

  test('takes as much of an id as is unique, and says what is wrong with others', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1' )", 'RUN SCHEDULE s', 'RUN SCHEDULE s');
    expect(await db.mistake("CANCEL RUN 'my_run'")).toMatchObject({ code: 'invalid_value', at: "'my_run'" });
    expect(await db.mistake("CANCEL RUN '00000000'")).toMatchObject({ code: 'undefined_object', message: 'there is no run 00000000' });
    expect(await db.mistake(`CANCEL RUN '${'0'.repeat(40)}'`)).toMatchObject({ code: 'undefined_object' });
    const [run] = await db.rows('LIST RUNS LIMIT 1');
    const begin = String(run?.['run_id']).slice(0, 8);
    expect(await db.mistake(`CANCEL RUN '${begin}'`)).toMatchObject({
      code: 'ambiguous',
      hint: expect.stringMatching(/^write more of it: [0-9a-f-]{36}, [0-9a-f-]{36}$/),
    });
  });

  test('is heard of by those that follow, and stands in no transaction', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE parent ( sql: 'SELECT nope' )",
      "UPSERT SCHEDULE child ( after: parent, after_state: any, sql: 'SELECT 1' )",
      'RUN SCHEDULE parent',
    );
    const [waiting] = await db.rows("LIST RUNS WHERE state = 'pending'");
    const text = `CANCEL RUN '${String(waiting?.['run_id'])}'`;
    await db.run('BEGIN');
    expect(await db.mistake(text)).toMatchObject({ code: 'in_transaction' });
    const followed = new Promise((resolve) => db.engine.scheduler.events.on('run:opened', (run) => resolve(run)));
    await db.run('ROLLBACK', text);
    expect(await followed).toMatchObject({ schedule: 'child', parentRunId: waiting?.['run_id'] });
  });
});

describe('CANCEL RUNS WHERE', () => {
  test('cancels the open runs for which it holds, and no others', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE a ( sql: 'SELECT nope' )",
      "UPSERT SCHEDULE b ( sql: 'SELECT nope' )",
      "UPSERT SCHEDULE c ( sql: 'SELECT 1' )",
      'RUN SCHEDULE a, b, c',
    );
    const result = await db.result("CANCEL RUNS WHERE state = 'success' OR schedule IN ('a', 'c') -- all of these");
    expect(await result.toObjects()).toMatchObject([{ schedule: 'a', outcome: 'cancelled' }]);
    expect(await db.rows("SELECT schedule FROM cron.runs WHERE state = 'cancelled'")).toEqual([{ schedule: 'a' }]);
    const none = await db.result("CANCEL RUNS WHERE schedule = 'c'");
    expect(none.notes).toEqual(['no open run is like that']);
    expect(await none.toArray()).toEqual([]);
  });

  test('points at a mistake where it was written', async ({ db }) => {
    expect(await db.mistake("CANCEL RUNS WHERE schedule = 'x' AND nope = 1")).toMatchObject({ code: 'undefined_column', at: 'nope' });
    expect(await db.mistake("CANCEL RUNS WHERE state = 'success' AND nope = 1")).toMatchObject({ at: "state = 'success' AND nope = 1" });
  });

  test('takes no condition that is neither true nor false', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sql: 'SELECT nope' )", 'RUN SCHEDULE a');
    for (const [condition, type] of [
      ['1', 'INTEGER'],
      ['schedule', 'VARCHAR'],
      ['attempt + 1 -- all', 'BIGINT'],
    ]) {
      const place = condition?.replace(' -- all', '');
      expect(await db.mistake(`CANCEL RUNS WHERE ${condition}`)).toMatchObject({
        code: 'wrong_type',
        message: `the condition is of type ${type}, and which runs are meant takes true or false`,
        at: place,
      });
    }
    expect(await db.rows("SELECT state FROM cron.runs WHERE state = 'pending'")).toHaveLength(1);
  });

  test('cancels thousands of waiting runs in one go', async ({ db }) => {
    await db.run('PAUSE QUEUE low', "UPSERT SCHEDULE many ( sql: 'SELECT 1', queue: low )");
    const { scheduler } = db.engine;
    await scheduler.start();
    const stored = await findStored(db.engine, 'many');
    await scheduler.byHand(Array.from({ length: 3000 }, () => db.engine.manualRun(stored)));
    expect(await db.rows("CANCEL RUNS WHERE schedule = 'many'")).toHaveLength(3000);
    expect(await db.rows('SELECT count(*) AS open FROM cuckoo_ledger.open_run')).toEqual([{ open: 0n }]);
    expect(await db.rows("SELECT count(*) AS closed FROM cron.runs WHERE reason = 'cancelled by tester'")).toEqual([{ closed: 3000n }]);
  });
});
