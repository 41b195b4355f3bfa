import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { noCounters } from '../../src/scheduler/run.ts';
import { test } from '../support/database.ts';

describe('RUN SCHEDULE where no scheduler runs', () => {
  test('executes right there, answers the outcome, and leaves a run in history', async ({ db }) => {
    await db.run(
      'CREATE TABLE t(i INTEGER)',
      'UPSERT PROCEDURE p(n INTEGER) AS BEGIN INSERT INTO t SELECT * FROM range($n); SELECT sum(i)::INTEGER AS total FROM t; END',
    );
    await db.run('UPSERT SCHEDULE s ( sched: @daily, call: p, params: { n: 4 } )');
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([
      { schedule: 's', state: 'succeeded', reason: null, rows_changed: 4n, result: '[{"total":6}]' },
    ]);
    expect(await db.rows('RUN SCHEDULE s WITH ( n: 2 ) AWAIT')).toMatchObject([{ state: 'succeeded', rows_changed: 2n }]);
    const [run] = await db.rows('LIST RUNS LIMIT 1');
    expect(run).toMatchObject({
      schedule: 's',
      trigger: 'manual',
      state: 'succeeded',
      final: true,
      attempt: 1n,
      guarantee: 'exactly_once',
      params: '{"n":2}',
    });
    expect(await db.rows(`DESCRIBE RUN '${String(run?.['run_id'])}'`)).toContainEqual({ property: 'state', value: 'succeeded' });
  });

  test('tells a script of the runs that did not succeed, each at its name; a skipped one is no failure', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE good ( sql: 'SELECT 1' )",
      "UPSERT SCHEDULE bad ( sql: 'SELECT nope', max_retries: 0 )",
      "UPSERT SCHEDULE slow ( sql: 'SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)', timeout: 1ms, max_retries: 0 )",
      "UPSERT SCHEDULE idle ( sql: 'SELECT 1', when: 'SELECT false' )",
    );
    expect((await db.result('RUN SCHEDULE good, idle')).failure).toBeUndefined();
    const text = 'RUN SCHEDULE good, bad, idle, slow';
    const { failure } = await db.result(text);
    expect(failure).toMatchObject({ code: 'run_failed', message: expect.stringMatching(/^bad: failed; in schedule bad.*nope/) });
    expect(failure?.hint).toMatch(/^EXPLAIN RUN '[0-9a-f-]{36}'; tells more$/);
    expect(failure?.more).toMatchObject([{ code: 'run_failed', message: expect.stringMatching(/^slow: timed out; /) }]);
    expect([failure, ...(failure?.more ?? [])].map((one) => text.slice(one?.span?.start, one?.span?.end))).toEqual(['bad', 'slow']);
    expect((await db.result('RUN SCHEDULE bad DRY RUN')).failure?.hint).toBeUndefined();
  });

  test('a dry run executes, reports, rolls back and leaves no run', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER)', "UPSERT SCHEDULE s ( sql: 'INSERT INTO t VALUES (1)' )");
    expect(await db.rows('RUN SCHEDULE s DRY RUN')).toMatchObject([{ run_id: null, state: 'succeeded', rows_changed: 1n }]);
    expect(await db.rows('FROM t')).toEqual([]);
    expect(await db.rows('LIST RUNS')).toEqual([]);
  });

  test('a disabled schedule may be run by hand; parameters it does not have are refused', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT $x AS x', params: { x: 1 }, enabled: false )");
    expect(await db.rows("RUN SCHEDULE s WITH ( x: 'two' )")).toMatchObject([{ state: 'succeeded', result: '[{"x":"two"}]' }]);
    expect(await db.mistake('RUN SCHEDULE s WITH ( y: 1 )')).toMatchObject({
      code: 'undefined_parameter',
      at: 'y',
      hint: expect.stringContaining('its parameters: x'),
    });
    expect(await db.mistake('RUN SCHEDULE s, nobody')).toMatchObject({ code: 'undefined_object', at: 'nobody' });
    expect(await db.rows('LIST RUNS')).toHaveLength(1);
  });

  test('binds what every run has, and secrets by their name', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE s ( sched: '0 2 * * *', sql: 'SELECT $schedule AS schedule, $attempt::INTEGER AS attempt, $scheduled_at AS at_instant, $previous_at AS before, $key = ''hidden'' AS knows, $day AS day', params: { key: env('SECRET'), day: sql('DATE ''2026-01-01'' - 1') } )",
    );
    const [run] = await db.rows('RUN SCHEDULE s');
    expect(JSON.parse(String(run?.['result']))).toEqual([
      { schedule: 's', attempt: 1, at_instant: '2026-11-20T12:00:00Z', before: '2026-11-20T02:00:00Z', knows: true, day: '2025-12-31' },
    ]);
  });
});

describe('a SQL run', () => {
  test('that fails leaves nothing but its failed run and the next attempt, which waits', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER)', "UPSERT SCHEDULE s ( sql: 'INSERT INTO t VALUES (1); SELECT 1/nope', retry_jitter: false )");
    const [run] = await db.rows('RUN SCHEDULE s');
    expect(run).toMatchObject({ state: 'failed', reason: expect.stringMatching(/statement 2.*nope.*; retry in 1m$/s) });
    expect(await db.rows('FROM t')).toEqual([]);
    expect(await db.rows('SELECT state, attempt, final, error_code FROM cron.runs ORDER BY attempt')).toEqual([
      { state: 'failed', attempt: 1n, final: false, error_code: 'undefined_column' },
      { state: 'pending', attempt: 2n, final: false, error_code: null },
    ]);
    expect(await db.rows('SELECT status, retry_count FROM cron.schedules')).toEqual([{ status: 'retry_pending', retry_count: 1n }]);
  });

  test('is fenced: closed by somebody else, its effects are rolled back and nothing is closed twice', async ({ db }) => {
    await db.run(
      'CREATE TABLE t(i INTEGER)',
      "UPSERT SCHEDULE s ( sched: every 1m, queue: low, sql: 'INSERT INTO t VALUES (1)' )",
      'PAUSE QUEUE low',
    );
    db.clock.set('2026-11-20T12:01:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    const signal = new AbortController().signal;
    const { run_id: runId } = (await db.rows('SELECT run_id FROM cron.runs'))[0] as { run_id: string };
    const fate = await db.engine.worker.fate(runId);
    if (fate.kind !== 'open') return expect.unreachable('it waits in a paused queue');
    const work = {
      run: fate.run,
      startedAt: db.clock.now(),
      waitedFor: null,
      counters: noCounters,
      closing: () => ({ counters: noCounters, marks: false }),
      begin: async () => {},
      progress: () => {},
    };
    const attempts = await Promise.all([db.engine.worker.execute(work, signal), db.engine.worker.execute(work, signal)]);
    expect(attempts.map((attempt) => attempt.closed).sort()).toEqual(['fenced', 'removed']);
    expect(attempts.find((attempt) => attempt.closed === 'fenced')?.outcome).toMatchObject({ state: 'failed', error: { code: 'fenced' } });
    expect(await db.rows('FROM t')).toHaveLength(1);
    expect(await db.rows('SELECT state FROM cron.runs')).toEqual([{ state: 'succeeded' }]);
  });

  test('says at least once where its effects reach outside of one transaction', async ({ db }) => {
    const file = join(db.folder, 'out.csv');
    await db.run('CREATE TABLE t(i INTEGER)', `ATTACH '${db.folder}/other.duckdb' AS other`, 'CREATE TABLE other.o(i INTEGER)');
    await db.run(
      'UPSERT PROCEDURE writes() AS BEGIN INSERT INTO t VALUES (1); END',
      'UPSERT PROCEDURE piecewise() ( atomic: false ) AS BEGIN INSERT INTO t VALUES (2); SELECT nope; END',
      `UPSERT PROCEDURE exports() AS BEGIN COPY t TO '${file}'; END`,
      'UPSERT PROCEDURE indirectly() AS BEGIN CALL exports(); END',
      'UPSERT PROCEDURE elsewhere() AS BEGIN INSERT INTO other.o VALUES (3); END',
    );
    const guarantee = async (procedure: string) => {
      await db.run(`UPSERT SCHEDULE s ( call: ${procedure}, max_retries: 0 )`);
      const [run] = await db.rows('RUN SCHEDULE s');
      const [row] = await db.rows('LIST RUNS LIMIT 1');
      return [run?.['state'], row?.['guarantee']];
    };
    expect(await guarantee('writes')).toEqual(['succeeded', 'exactly_once']);
    expect(await guarantee('exports')).toEqual(['succeeded', 'at_least_once']);
    expect(await guarantee('indirectly')).toEqual(['succeeded', 'at_least_once']);
    expect(await guarantee('elsewhere')).toEqual(['succeeded', 'at_least_once']);
    expect(await db.rows('FROM other.o')).toEqual([{ i: 3 }]);
    // Each statement commits by itself: what was done before the mistake stays.
    expect(await guarantee('piecewise')).toEqual(['failed', 'at_least_once']);
    expect(await db.rows('FROM t ORDER BY i')).toEqual([{ i: 1 }, { i: 2 }]);
  });

  test('runs in the zone of its schedule', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE s ( sched: @daily, tz: 'Pacific/Auckland', sql: 'SELECT current_setting(''TimeZone'') AS zone, $scheduled_at::DATE::VARCHAR AS day' )",
    );
    const [run] = await db.rows('RUN SCHEDULE s');
    expect(JSON.parse(String(run?.['result']))).toEqual([{ zone: 'Pacific/Auckland', day: '2026-11-21' }]);
  });

  test('ends at its timeout, and nothing of it stays', async ({ db }) => {
    await db.run(
      'CREATE TABLE t(i BIGINT)',
      "UPSERT SCHEDULE s ( sql: 'INSERT INTO t SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)', timeout: 50ms, max_retries: 0 )",
    );
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'timed_out' }]);
    expect(await db.rows('FROM t')).toEqual([]);
    expect(await db.rows("LIST DEAD LETTERS WHERE state = 'timeout'")).toHaveLength(1);
  });

  test('ends at its timeout between two statements too, however short each is', async ({ db }) => {
    const many = Array.from({ length: 3000 }, (_, index) => `INSERT INTO t VALUES (${index})`).join('; ');
    await db.run('CREATE TABLE t(i BIGINT)', `UPSERT SCHEDULE s ( sql: '${many}', timeout: 20ms, max_retries: 0 )`);
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'timed_out' }]);
    expect(await db.rows('FROM t')).toEqual([]);
  });

  test('ends when its session says so', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)' )");
    const running = db.rows('RUN SCHEDULE s');
    const watcher = await db.newSession();
    for (;;) {
      const [row] = await (await watcher.execute('SELECT running::INTEGER AS running, status FROM cron.schedules')).toObjects();
      // The two are asked one after the other, and it may begin in between.
      if (row?.['running'] === 1 && row['status'] === 'running') break;
    }
    await db.session.interrupt();
    expect(await running).toMatchObject([{ state: 'cancelled' }]);
    expect(await db.rows('LIST RUNS')).toMatchObject([{ state: 'cancelled', final: true }]);
  });

  test('has its values in its condition too, in the zone of its schedule', async ({ db }) => {
    const define = (least: number) =>
      `UPSERT SCHEDULE s ( sql: 'SELECT 1', sched: @daily, tz: 'Asia/Tokyo', params: { least: ${least}, of: [1, 2] },
         when: 'SELECT len($of) >= $least AND $schedule = ''s'' AND current_setting(''TimeZone'') = ''Asia/Tokyo'' AND $scheduled_at IS NOT NULL' )`;
    await db.run(define(2));
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows('RUN SCHEDULE s WITH ( least: 3 )')).toMatchObject([{ state: 'skipped' }]);
  });

  test('is not waited for in vain: where no scheduler runs, a queue that is paused or has had its rate does not hold it', async ({
    db,
  }) => {
    await db.run(
      'UPSERT QUEUE slow ( rate: 1 per 1h )',
      "UPSERT SCHEDULE s ( queue: slow, sql: 'SELECT 1' )",
      "UPSERT SCHEDULE t ( queue: low, sql: 'SELECT 1' )",
      'PAUSE QUEUE low',
    );
    const runs = await db.rows('RUN SCHEDULE s, s, t');
    expect(runs.map((run) => run['state'])).toEqual(['succeeded', 'succeeded', 'succeeded']);
  });

  test('asks its condition, which changes nothing', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER)', 'INSERT INTO t VALUES (1)');
    expect(await db.mistake("UPSERT SCHEDULE s ( when: 'DELETE FROM t RETURNING true', sql: 'SELECT 1' )")).toMatchObject({
      code: 'invalid_value',
    });
    await db.run("UPSERT SCHEDULE s ( when: 'SELECT count(*) = 1 FROM t', sql: 'SELECT 1' )");
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows('FROM t')).toHaveLength(1);
  });

  test('skips when its condition does not hold, and fails when the condition does', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT 1', when: 'SELECT count(*) > 0 FROM range(0)' )");
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'skipped', reason: 'when: the condition was false' }]);
    await db.run("ALTER SCHEDULE s SET ( when: 'SELECT nope', max_retries: 0 )");
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'failed' }]);
  });

  test('disables its schedule after so many failures in a row', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1m, sql: 'SELECT nope', max_retries: 0, disable_after_failures: 2 )");
    for (const minute of ['12:01', '12:02', '12:03']) {
      db.clock.set(`2026-11-20T${minute}:00Z`);
      await db.engine.scheduler.tick(db.clock.now());
    }
    expect(await db.rows('SELECT enabled, status, consecutive_failures FROM cron.schedules')).toEqual([
      { enabled: false, status: 'disabled', consecutive_failures: 2n },
    ]);
    expect(await db.rows('LIST RUNS')).toHaveLength(2);
  });
});

describe('tick', () => {
  test('opens and runs what is due, once, and says how far time is handled', async ({ db }) => {
    await db.run(
      'CREATE TABLE beats(nominal TIMESTAMPTZ)',
      "UPSERT SCHEDULE s ( sched: every 1m, sql: 'INSERT INTO beats VALUES ($scheduled_at)' )",
    );
    db.clock.set('2026-11-20T12:01:10Z');
    const first = await db.engine.scheduler.tick(db.clock.now());
    expect(first).toMatchObject({ opened: 1, skipped: 0, finished: [{ schedule: 's', state: 'succeeded' }] });
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 0, finished: [] });
    db.clock.set('2026-11-20T12:02:00Z');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 1 });
    expect(JSON.parse(JSON.stringify(await db.rows('FROM beats')))).toEqual([
      { nominal: '2026-11-20T12:01:00Z' },
      { nominal: '2026-11-20T12:02:00Z' },
    ]);
  });

  test('does not fire twice when the clock goes back, or when two ticks come at once', async ({ db }) => {
    await db.run(
      'CREATE TABLE beats(nominal TIMESTAMPTZ)',
      "UPSERT SCHEDULE s ( sched: every 1m, sql: 'INSERT INTO beats VALUES ($scheduled_at)' )",
    );
    db.clock.set('2026-11-20T12:01:00Z');
    await Promise.all([db.engine.scheduler.tick(db.clock.now()), db.engine.scheduler.tick(db.clock.now())]);
    db.clock.set('2026-11-20T11:00:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    db.clock.set('2026-11-20T12:01:30Z');
    await db.engine.scheduler.tick(db.clock.now());
    expect(await db.rows('SELECT count(*)::INTEGER AS n FROM beats')).toEqual([{ n: 1 }]);
  });

  test('after a restart catches up the newest missed fire, and writes the rest as one skipped row', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: '0 * * * *', sql: 'SELECT 1' )");
    db.clock.set('2026-11-20T18:30:00Z');
    await db.reopen();
    await db.engine.scheduler.tick(db.clock.now());
    const runs = await db.rows(
      'SELECT state, trigger, scheduled_at, fires, first_scheduled_at, reason FROM cron.runs ORDER BY scheduled_at',
    );
    expect(JSON.parse(JSON.stringify(runs, (_, value) => (typeof value === 'bigint' ? Number(value) : value)))).toEqual([
      {
        state: 'skipped',
        trigger: 'cron',
        scheduled_at: '2026-11-20T17:00:00Z',
        fires: 5,
        first_scheduled_at: '2026-11-20T13:00:00Z',
        reason: 'missed: no scheduler ran; catchup: latest',
      },
      { state: 'succeeded', trigger: 'catchup', scheduled_at: '2026-11-20T18:00:00Z', fires: null, first_scheduled_at: null, reason: null },
    ]);
  });

  test('runs a retry when its time has come, and counts it as the same fire', async ({ db }) => {
    await db.run('CREATE TABLE fails(left_over INTEGER)', 'INSERT INTO fails VALUES (1)');
    await db.run(
      "UPSERT SCHEDULE s ( sched: '0 13 * * *', sql: 'SELECT CASE WHEN $attempt < 2 THEN error(''not yet'') ELSE 1 END', retry_jitter: false, max_runs: 2 )",
    );
    db.clock.set('2026-11-20T13:00:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    db.clock.set('2026-11-20T13:00:59Z');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ finished: [] });
    db.clock.set('2026-11-20T13:01:00Z');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 0, finished: [{ state: 'succeeded' }] });
    expect(await db.rows('SELECT state, attempt, trigger, final, retry_of IS NOT NULL AS retried FROM cron.runs ORDER BY attempt')).toEqual(
      [
        { state: 'failed', attempt: 1n, trigger: 'cron', final: false, retried: false },
        { state: 'succeeded', attempt: 2n, trigger: 'cron', final: true, retried: true },
      ],
    );
    db.clock.set('2026-11-21T13:00:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    expect(await db.rows('SELECT status FROM cron.schedules')).toMatchObject([{ status: 'retry_pending' }]);
    db.clock.set('2026-11-21T13:05:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    expect(await db.rows('SELECT status, next_run FROM cron.schedules')).toEqual([{ status: 'finished', next_run: null }]);
  });

  test('does nothing for disabled schedules, and enabling counts from then', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1m, sql: 'SELECT 1' )", 'DISABLE SCHEDULE s');
    db.clock.set('2026-11-20T13:00:30Z');
    await db.run('ENABLE SCHEDULE s');
    await db.engine.scheduler.tick(db.clock.now());
    expect(await db.rows('LIST RUNS')).toEqual([]);
    db.clock.set('2026-11-20T13:01:00Z');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 1 });
  });

  test('leaves the runs of a paused queue where they are', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1m, queue: low, sql: 'SELECT 1' )", 'PAUSE QUEUE low');
    db.clock.set('2026-11-20T12:01:00Z');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 1, finished: [] });
    await db.run('RESUME QUEUE low');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({ opened: 0, finished: [{ state: 'succeeded' }] });
  });

  test('a dropped schedule’s waiting runs are cancelled', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: every 1m, queue: low, sql: 'SELECT 1' )", 'PAUSE QUEUE low');
    db.clock.set('2026-11-20T12:01:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    await db.run('DROP SCHEDULE s');
    expect(await db.rows('SELECT state, reason FROM cron.runs')).toEqual([{ state: 'cancelled', reason: 'dropped' }]);
  });

  test('one schedule that cannot be read does not stop the others', async ({ db }) => {
    await db.run("UPSERT SCHEDULE bad ( sched: every 1m, sql: 'SELECT 1' )", "UPSERT SCHEDULE good ( sched: every 1m, sql: 'SELECT 1' )");
    const hand = await db.engine.database.connect();
    await hand.run(
      `UPDATE cuckoo_ledger.schedule SET bound = '{"name":"bad","timing":{"zone":"Nowhere/Land","cadences":[{}]}}' WHERE name = 'bad'`,
    );
    await hand.close();
    db.clock.set('2026-11-20T12:01:00Z');
    expect(await db.engine.scheduler.tick(db.clock.now())).toMatchObject({
      finished: [{ schedule: 'good', state: 'succeeded' }],
      unreadable: [{ schedule: 'bad' }],
    });
  });
});
