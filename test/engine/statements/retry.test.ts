import { describe, expect } from 'vitest';
import { test } from '../../support/database.ts';

/** Fails until the table is there. */
const broken = (more = ''): string => `UPSERT SCHEDULE s ( sql: 'INSERT INTO t VALUES ($attempt)', retry_jitter: false${more} )`;
const mend = 'CREATE TABLE t(attempt INTEGER)';
const history = 'SELECT attempt, state, reason, final FROM cron.runs ORDER BY attempt, opened_at';

describe('RETRY RUN', () => {
  test('opens the next attempt of the same fire, with its parameters and the schedule as it is now', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT nope', params: { x: 1 }, max_retries: 0 )", 'RUN SCHEDULE s WITH ( x: 2 )');
    const [failed] = await db.rows('LIST RUNS');
    await db.run("ALTER SCHEDULE s SET ( sql: 'SELECT $x AS x' )");
    db.clock.set('2026-11-20T13:00:00Z');
    expect(await db.rows(`RETRY RUN '${String(failed?.['run_id'])}'`)).toMatchObject([
      { schedule: 's', state: 'succeeded', result: '[{"x":2}]' },
    ]);
    const [retry] = await db.rows("LIST RUNS WHERE state = 'succeeded'");
    const { run_id, root_run_id, trigger, scheduled_at, params } = failed ?? {};
    expect(retry).toMatchObject({ retry_of: run_id, root_run_id, trigger, scheduled_at, params, attempt: 2n, schedule_version: 2n });
    expect(await db.rows('LIST DEAD LETTERS')).toEqual([]);
  });

  test('of a run whose retry waits for its time takes the place of that retry', async ({ db }) => {
    await db.run(broken(), 'RUN SCHEDULE s');
    const [first] = await db.rows("LIST RUNS WHERE state = 'failed'");
    await db.run(mend);
    expect(await db.rows(`RETRY RUN '${String(first?.['run_id'])}'`)).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows(history)).toMatchObject([
      { attempt: 1n, state: 'failed', final: false },
      { attempt: 2n, state: 'cancelled', reason: 'retried by hand', final: false },
      { attempt: 3n, state: 'succeeded', final: true },
    ]);
    expect(await db.rows('FROM t')).toEqual([{ attempt: 3 }]);
  });

  test('may name the waiting retry itself', async ({ db }) => {
    await db.run(broken(), 'RUN SCHEDULE s', mend);
    const [waiting] = await db.rows("LIST RUNS WHERE state = 'pending'");
    expect(await db.rows(`RETRY RUN '${String(waiting?.['run_id'])}'`)).toMatchObject([{ state: 'succeeded' }]);
    const [retry] = await db.rows("LIST RUNS WHERE state = 'succeeded'");
    const [first] = await db.rows("LIST RUNS WHERE state = 'failed'");
    expect(retry).toMatchObject({ attempt: 3n, retry_of: first?.['run_id'] });
  });

  test('is left to the scheduler where one runs, and overlap goes on to hold', async ({ db }) => {
    await db.run('CREATE TABLE gate(open BOOLEAN)', broken(", sched: '0 12 * * *'"));
    const { scheduler } = db.engine;
    db.clock.set('2026-11-21T11:59:59.990Z');
    await scheduler.start();
    const failed = new Promise<string>((resolve) => scheduler.events.on('run:finished', (run) => resolve(run.runId)));
    db.clock.set('2026-11-21T12:00:00Z');
    const id = await failed;
    await db.run(mend);
    const ended = new Promise((resolve) => scheduler.events.on('run:finished', (run) => run.attempt === 3 && resolve(run.state)));
    const result = await db.result(`RETRY RUN '${id}'`);
    expect(await result.toObjects()).toMatchObject([{ schedule: 's', state: 'pending' }]);
    expect(await ended).toBe('succeeded');
    db.clock.set('2026-11-22T12:00:00Z');
    const next = new Promise((resolve) => scheduler.events.on('run:finished', (run) => run.attempt === 1 && resolve(run.state)));
    await db.run("UPSERT SCHEDULE other ( sql: 'SELECT 1' )");
    expect(await next).toBe('succeeded');
  });

  test('that fails again is told, and tried no more than max_retries allows', async ({ db }) => {
    await db.run(broken(', max_retries: 1, retry_delay: 10s'), 'RUN SCHEDULE s');
    db.clock.set('2026-11-20T12:01:00Z');
    await db.engine.scheduler.tick(db.clock.time);
    const [last] = await db.rows('LIST DEAD LETTERS');
    expect(last).toMatchObject({ attempt: 2n });
    const text = `RETRY RUN '${String(last?.['run_id'])}'`;
    const result = await db.result(text);
    expect(result.failure).toMatchObject({ code: 'run_failed' });
    expect(text.slice(result.failure?.span?.start, result.failure?.span?.end)).toBe(text.slice(10));
    expect(await db.rows(history)).toMatchObject([{}, {}, { attempt: 3n, state: 'failed', final: true }]);
    expect(await db.rows('SELECT attempt FROM cron.dead_letters')).toEqual([{ attempt: 3n }]);
  });

  test('refuses what succeeded, was skipped, has not ended or has no schedule any more, each with the statement to use', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE good ( sql: 'SELECT 1' )",
      "UPSERT SCHEDULE idle ( sql: 'SELECT 1', when: 'SELECT false' )",
      "UPSERT SCHEDULE gone ( sql: 'SELECT nope', max_retries: 0 )",
      'RUN SCHEDULE good, idle, gone',
      'DROP SCHEDULE gone',
    );
    const retry = async (schedule: string) => {
      const [run] = await db.rows(`LIST RUNS WHERE schedule = '${schedule}' ORDER BY attempt`);
      return db.mistake(`RETRY RUN '${String(run?.['run_id'])}'`);
    };
    expect(await retry('good')).toMatchObject({ message: 'the run succeeded', hint: expect.stringContaining('RUN SCHEDULE good;') });
    expect(await retry('idle')).toMatchObject({
      message: 'the run was skipped: when: the condition was false',
      hint: "BACKFILL SCHEDULE idle FROM '2026-11-20T12:00:00Z' TO '2026-11-20T12:00:00.001Z' ONLY MISSING; runs what was skipped",
    });
    expect(await retry('gone')).toMatchObject({ message: 'schedule gone was dropped', hint: 'create it again, and run that' });
    await db.run("UPSERT SCHEDULE gone ( sql: 'SELECT 1' )");
    expect(await retry('gone')).toMatchObject({ hint: 'the present gone is a new one: RUN SCHEDULE gone; runs it' });
    await db.run(broken(), 'RUN SCHEDULE s', mend);
    const [first] = await db.rows("LIST RUNS WHERE schedule = 's' AND state = 'failed'");
    const again = `RETRY RUN '${String(first?.['run_id'])}'`;
    await db.run(again);
    expect(await db.mistake(again)).toMatchObject({ message: 'its attempt 3 succeeded', at: again.slice(10) });
  });
});

describe('dead letters', () => {
  const two = [
    "UPSERT SCHEDULE a ( sql: 'SELECT nope', max_retries: 0 )",
    "UPSERT SCHEDULE b ( sql: 'SELECT nope', max_retries: 0 )",
    'RUN SCHEDULE a, b',
  ];

  test('are retried by id, and settled by it', async ({ db }) => {
    await db.run(...two, "UPSERT SCHEDULE a ( sql: 'SELECT 1' )");
    const [letter] = await db.rows("LIST DEAD LETTERS LIKE 'a'");
    const text = `RETRY DEAD LETTER '${String(letter?.['run_id'])}'`;
    expect(await db.rows(text)).toMatchObject([{ schedule: 'a', state: 'succeeded' }]);
    expect(await db.rows('SELECT schedule FROM cron.dead_letters')).toEqual([{ schedule: 'b' }]);
    expect(await db.mistake(text)).toMatchObject({
      code: 'undefined_object',
      message: 'the run is no dead letter: it was retried or dropped already',
      at: text.slice(18),
    });
    const [good] = await db.rows("LIST RUNS WHERE state = 'succeeded'");
    expect(await db.mistake(`DROP DEAD LETTER '${String(good?.['run_id'])}'`)).toMatchObject({
      message: 'the run is no dead letter: it is succeeded',
    });
  });

  test('are retried all together; those whose schedule is gone stay, and are told of', async ({ db }) => {
    await db.run(...two, 'DROP SCHEDULE b', "UPSERT SCHEDULE a ( sql: 'SELECT 1' )");
    const result = await db.result('RETRY DEAD LETTERS ALL');
    expect(result.warnings).toMatchObject([{ message: expect.stringMatching(/^b, .*: schedule b was dropped$/) }]);
    expect(await result.toObjects()).toMatchObject([{ schedule: 'a', state: 'succeeded' }]);
    expect(await db.rows('SELECT schedule FROM cron.dead_letters')).toEqual([{ schedule: 'b' }]);
  });

  test('are retried by the scheduler where one runs', async ({ db }) => {
    await db.run(...two, "UPSERT SCHEDULE a ( sql: 'SELECT 1' )", "UPSERT SCHEDULE b ( sql: 'SELECT 1' )");
    const { scheduler } = db.engine;
    await scheduler.start();
    let left = 2;
    const all = new Promise<void>((resolve) => {
      scheduler.events.on('run:finished', () => {
        left -= 1;
        if (left === 0) resolve();
      });
    });
    expect(await db.rows('RETRY DEAD LETTER ALL')).toMatchObject([{ state: 'pending' }, { state: 'pending' }]);
    await all;
    expect(await db.rows("SELECT count(*) AS good FROM cron.runs WHERE state = 'succeeded'")).toEqual([{ good: 2n }]);
    expect(await db.rows('FROM cron.dead_letters')).toEqual([]);
  });

  test('are dropped by id and all, in the transaction of the session', async ({ db }) => {
    await db.run(...two);
    const [letter] = await db.rows("LIST DEAD LETTERS LIKE 'a'");
    const id = String(letter?.['run_id']);
    await db.run('BEGIN', `DROP DEAD LETTER '${id}'`);
    expect(await db.rows('SELECT schedule FROM cron.dead_letters')).toEqual([{ schedule: 'b' }]);
    await db.run('ROLLBACK');
    expect(await db.rows('FROM cron.dead_letters')).toHaveLength(2);
    expect(await db.rows(`DROP DEAD LETTER '${id}'`)).toEqual([{ run_id: id, schedule: 'a', outcome: 'dropped' }]);
    expect(await db.rows('DROP DEAD LETTERS ALL')).toMatchObject([{ schedule: 'b', outcome: 'dropped' }]);
    // History keeps what was.
    expect(await db.rows("LIST RUNS WHERE state = 'failed'")).toHaveLength(2);
  });

  test('where there are none, nothing is said to be wrong', async ({ db }) => {
    for (const text of ['DROP DEAD LETTER ALL', 'RETRY DEAD LETTER ALL']) {
      const result = await db.result(text);
      expect(result.notes).toEqual(['there are no dead letters']);
      expect(await result.toArray()).toEqual([]);
    }
  });
});
