import { describe, expect } from 'vitest';
import { TaskEnd } from '../../src/engine/executors/executor.ts';
import { type TestDatabase, test } from '../support/database.ts';

type Page = Readonly<Record<string, string>>;

async function page(db: TestDatabase, runId: unknown): Promise<Page> {
  const rows = await db.rows(`DESCRIBE RUN '${String(runId)}'`);
  return Object.fromEntries(rows.map(({ property, value }) => [String(property), String(value)]));
}

async function ids(db: TestDatabase): Promise<string[]> {
  return (await db.rows('SELECT run_id FROM cron.runs ORDER BY opened_at, attempt')).map((row) => String(row['run_id']));
}

describe('DESCRIBE RUN', () => {
  test('says how it ended and why, what was tried before and comes next, what it was given, and what it said', async ({ db }) => {
    db.engine.worker.executors.add('talks', {
      async execute(task) {
        for (let line = 1; line <= 25; line++) task.log({ stream: 'stdout', level: 'info', text: `line ${line}` });
        db.clock.set('2026-11-20T12:00:01.500Z');
        return new TaskEnd({
          error: { code: 'run_failed', message: 'exit code 3', detail: { hint: 'look at the last lines', exitCode: 3 } },
          cpuMs: 1234,
          peakMemoryBytes: 34_500_000,
          notes: ['memory could not be limited', 'nor could cpu'],
        });
      },
    });
    await db.run(
      `UPSERT SCHEDULE s ( exe: talks, call: x, max_retries: 3, retry_delay: 1h, retry_jitter: false,
        params: { day: '2026-11-20', key: env('SECRET'), n: sql('1 + 1'), deep: { secret: env('SECRET') } } )`,
      'RUN SCHEDULE s WITH ( day: today )',
    );
    const [first, second] = await ids(db);
    const told = await page(db, first);
    expect(told).toEqual({
      run_id: first,
      schedule: 's',
      exe: 'talks',
      call: 'x',
      state: 'failed',
      reason: 'exit code 3; retry in 1h',
      error: 'run_failed',
      hint: 'look at the last lines',
      detail: '{"exitCode":3}',
      attempt: '1 of 4, not the last',
      attempts: `1  ${first}  this one\n2  ${second}  waits for 2026-11-20 13:00:01.5+00`,
      trigger: 'manual',
      scheduled_at: '2026-11-20 12:00:00+00',
      opened_at: '2026-11-20 12:00:00+00',
      started_at: '2026-11-20 12:00:00+00',
      finished_at: '2026-11-20 12:00:01.5+00',
      waited: '0 ms',
      duration: '1.5 s',
      queue: 'default',
      priority: 'normal',
      params: `{"day":"today","key":"env('SECRET')","n":"sql('1 + 1')","deep":{"secret":"env('SECRET')"}}`,
      guarantee: expect.stringMatching(/^at least once/),
      cpu: '1.23 s',
      peak_memory: '34.5 MB',
      notes: 'memory could not be limited\nnor could cpu',
      schedule_version: '1',
      log: Array.from({ length: 20 }, (_, at) => `12:00:00.000  stdout  line ${at + 6}`).join('\n'),
    });
    // What no run has is not there; in the order in which one reads.
    expect(Object.keys(told).slice(0, 6)).toEqual(['run_id', 'schedule', 'exe', 'call', 'state', 'reason']);
    expect(await page(db, second)).toMatchObject({
      state: 'pending, for 1h more',
      attempt: '2 of 4',
      attempts: `1  ${first}  failed at 2026-11-20 12:00:01.5+00: exit code 3; retry in 1h\n2  ${second}  this one`,
      retry_of: first,
      root_run_id: first,
    });
  });

  test('of a run at work says for how long, how far it is, and what it says now', async ({ db }) => {
    let end: () => void = () => {};
    db.engine.worker.executors.add('works', {
      execute: (task) =>
        new Promise((resolve) => {
          task.log({ stream: 'log', level: 'warn', text: 'slow today' });
          task.progress(0.7, 'page 7 of 10');
          end = () => resolve(null);
        }),
    });
    await db.run('UPSERT SCHEDULE s ( exe: works, call: x )');
    await db.engine.scheduler.start();
    const progress = new Promise((resolve) => db.engine.scheduler.events.on('run:progress', resolve));
    const [run] = await db.rows('RUN SCHEDULE s');
    await progress;
    db.clock.set('2026-11-20T12:00:04Z');
    const told = await page(db, run?.['run_id']);
    expect(told).toMatchObject({ state: 'running for 4 s', progress: '70 %: page 7 of 10', log: '12:00:00.000  warn    slow today' });
    expect(told).not.toHaveProperty('duration');
    end();
  });

  test('of SQL says what each statement changed, what came of it, and where its error is', async ({ db }) => {
    await db.run(
      'CREATE TABLE t (x INTEGER)',
      'UPSERT PROCEDURE fill(n INTEGER) AS BEGIN INSERT INTO t SELECT range FROM range($n); DELETE FROM t WHERE x > 1; SELECT count(*) AS left_over FROM t; END',
      'UPSERT SCHEDULE good ( call: fill, params: { n: 5 } )',
      "UPSERT SCHEDULE bad ( sql: 'SELECT * FROM nowhere', max_retries: 0 )",
      'RUN SCHEDULE good, bad',
    );
    const [good, bad] = await ids(db);
    expect(await page(db, good)).toMatchObject({
      state: 'succeeded',
      result: '[{"left_over":2}]',
      rows_by_statement: '5, 3, 0',
      rows_changed: '8',
      guarantee: expect.stringMatching(/^exactly once/),
      params: '{"n":5}',
      attempt: '1 of 4',
    });
    const told = await page(db, bad);
    expect(told).toMatchObject({ state: 'failed', error: 'undefined_table', attempt: '1 of 1' });
    expect(told['reason']).toContain('nowhere');
    expect(told).not.toHaveProperty('message');
    expect(told).not.toHaveProperty('params');
  });

  test('of a pipeline has a line for each step, and counts the items of a for_each', async ({ db }) => {
    await db.run(
      'CREATE TABLE done (x INTEGER)',
      `UPSERT PIPELINE p ( steps: [
        { name: low, query: 'SELECT range AS n FROM range(5)', as: items },
        { name: order, for_each: items, sql: 'INSERT INTO done SELECT CASE WHEN $n > 2 THEN error(''no '' || $n) ELSE $n END', args: { n: item.n }, on_fail: continue },
        { name: verify, expect: 'SELECT count(*) = 5 FROM done', message: 'some are missing' }
      ] )`,
      'UPSERT SCHEDULE s ( exe: pipeline, call: p, max_retries: 0 )',
      'RUN SCHEDULE s',
    );
    const [run] = await ids(db);
    const steps = (await page(db, run))['steps']?.split('\n') ?? [];
    expect(steps.map((line) => line.replaceAll(/ {2,}/g, ' | '))).toEqual([
      'low | succeeded | 0 ms',
      'order | 3 items succeeded | 3 rows',
      expect.stringMatching(/^order \| 2 items failed \| .*no 3.*; .*no 4/),
      expect.stringMatching(/^order \| /),
      expect.stringMatching(/^verify \| failed \| 0 ms \| some are missing/),
    ]);
  });

  test('of an action says whose it is, and of a stretch of refused fires how many they were', async ({ db }) => {
    await db.run('UPSERT PROCEDURE tell() AS BEGIN SELECT 1; END', "UPSERT SCHEDULE s ( sql: 'SELECT 1', on_complete: call('tell') )");
    const told = new Promise<string>((resolve) => {
      db.engine.scheduler.events.on('run:finished', ({ runId, scheduleId }) => {
        if (scheduleId === null) resolve(runId);
      });
    });
    await db.engine.scheduler.start();
    await db.run('RUN SCHEDULE s AWAIT');
    const action = await page(db, await told);
    expect(action).toMatchObject({ schedule: 's -> tell', exe: 'procedure', call: 'tell', attempt: '1' });
    expect(action).not.toHaveProperty('schedule_version');
  });
});
