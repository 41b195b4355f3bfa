import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { type TestDatabase, test } from '../support/database.ts';
import { define, failed, stepRows, workTables } from '../support/pipelines.ts';

const items = (count: number): string => `{ name: find, query: 'SELECT i AS id FROM range(${count}) t(i)', as: items }`;

async function results(db: TestDatabase): Promise<unknown[]> {
  return (await stepRows(db, 'result')).map(({ result }) => (result === null ? null : JSON.parse(String(result))));
}

describe('for_each', () => {
  test('does one thing to every item, with a row for each and one for the step', async ({ db }) => {
    await db.run(
      'CREATE TABLE done (id BIGINT, amount INTEGER)',
      'UPSERT PROCEDURE reorder(id BIGINT, amount INTEGER) AS BEGIN INSERT INTO done VALUES ($id, $amount); END',
    );
    await define(
      db,
      `${items(5)}, { name: order, for_each: ITEMS, parallel: 3, call: reorder, args: { id: ITEM.ID, amount: 50 } }, { name: last, sql: 'SELECT 1' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', rows_changed: 5n }]);
    expect(await db.rows('FROM done ORDER BY id')).toEqual([0n, 1n, 2n, 3n, 4n].map((id) => ({ id, amount: 50 })));
    const rows = await stepRows(db, 'step, item, kind, state, rows_changed');
    const own = rows.filter((row) => row['step'] === 'order');
    expect(own.map((row) => row['item']).sort()).toEqual([0n, 1n, 2n, 3n, 4n, null]);
    expect(own.at(-1)).toEqual({ step: 'order', item: null, kind: 'for_each', state: 'succeeded', rows_changed: 5n });
    expect((await results(db)).at(-2)).toEqual({ items: 5, succeeded: 5, failed: 0 });
    expect(rows.at(-1)).toMatchObject({ step: 'last' });
  });

  test('works with SQL, commands and expectations, and keeps the rows of all items in their order', async ({ db }) => {
    await define(
      db,
      `${items(4)},
       { name: sq, for_each: items, parallel: 4, query: 'SELECT $id AS id, $id * 10 AS tenfold FROM range(2)', args: { id: item.id }, as: squares },
       { name: check, for_each: squares, expect: 'SELECT $t = $i * 10', args: { t: item.tenfold, i: item.id } },
       { name: say, for_each: items, parallel: 2, command: ['echo', '$id'], args: { id: item.id } },
       { name: end, sql: 'SELECT list(tenfold) AS l, count(*) AS n FROM squares' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ reason: null, result: '[{"l":[0,0,10,10,20,20,30,30],"n":8}]' }]);
    expect(await db.rows('SELECT DISTINCT step, line FROM cron.run_logs ORDER BY line')).toEqual(
      ['0', '1', '2', '3'].map((line) => ({ step: 'say', line })),
    );
    expect(await workTables(db)).toEqual([]);
  });

  test('over nothing does nothing, and on_empty says what that means', async ({ db }) => {
    await db.run(
      'UPSERT PROCEDURE note(reason VARCHAR DEFAULT NULL, step VARCHAR DEFAULT NULL) AS BEGIN CREATE TABLE noted AS SELECT $reason AS reason, $step AS step; END',
    );
    const step = (onEmpty: string): string =>
      `{ name: a, for_each: items, query: 'SELECT $id AS id', args: { id: item.id }, as: none${onEmpty} }, { name: b, sql: 'SELECT count(*) AS n, any_value(typeof(id)) AS t FROM none' }`;
    await define(db, `${items(0)}, ${step('')}`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', reason: null, result: '[{"n":0,"t":null}]' }]);
    expect(await stepRows(db)).toContainEqual({ step: 'a', item: null, state: 'succeeded', reason: 'no rows in items' });
    await define(db, `${items(0)}, ${step(", on_empty: [skip('nothing low'), call('note')]")}`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'skipped', reason: 'nothing low' }]);
    expect(await db.rows('FROM noted')).toEqual([{ reason: 'nothing low', step: 'a' }]);
    expect(await stepRows(db, 'step, state')).toEqual([
      { step: 'find', state: 'succeeded' },
      { step: 'a', state: 'succeeded' },
      { step: 'a.on_empty', state: 'succeeded' },
      { step: 'b', state: 'skipped' },
    ]);
    await define(db, `${items(0)}, ${step(', on_empty: abort')}`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed('step a: no rows in items'));
  });

  test('a failing item ends the step after those beside it; with continue the others are done', async ({ db }) => {
    await db.run('CREATE TABLE done (id BIGINT)');
    const step = (more: string): string =>
      `${items(6)}, { name: a, for_each: items, sql: 'INSERT INTO done SELECT CASE WHEN $id = 2 THEN error(''no two'') ELSE $id END', args: { id: item.id }${more} }, { name: b, sql: 'SELECT 1' }`;
    await define(db, step(''));
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(expect.stringMatching(/^step a: item 2: .*no two/)));
    expect(await db.rows('FROM done')).toEqual([{ id: 0n }, { id: 1n }]);
    expect(await db.rows('SELECT error_detail FROM cron.runs')).toMatchObject([{ error_detail: expect.stringContaining('"item":2') }]);
    await define(db, step(', on_fail: continue'));
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows('SELECT count(*) AS n FROM done')).toEqual([{ n: 7n }]);
    expect(await stepRows(db)).toContainEqual({
      step: 'a',
      item: null,
      state: 'failed',
      reason: expect.stringMatching(/^1 of 6 items failed, the first: item 2: .*no two/),
    });
  });

  test('an item names columns that are there', async ({ db }) => {
    await define(db, `${items(2)}, { name: a, for_each: items, sql: 'SELECT $x', args: { x: item.idd } }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed('step a: result items has no column idd'));
  });
});

describe('if', () => {
  test('a step whose condition does not hold is skipped with its reason, and the steps behind it go on', async ({ db }) => {
    await define(
      db,
      `{ name: a, query: 'SELECT 1 AS n', as: one }, { name: yes, sql: 'SELECT 1', if: 'SELECT n = $n FROM one' },
       { name: no, sql: 'SELECT 1', if: 'SELECT n > $n FROM one' }, { name: unknown, sql: 'SELECT 1', if: 'SELECT NULL' },
       { name: none, sql: 'SELECT 1', if: 'SELECT true WHERE false' }, { name: last, sql: 'SELECT 1' }`,
      ', params: { n: 1 }',
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded' }]);
    expect((await stepRows(db, 'step, state, reason')).slice(1)).toEqual([
      { step: 'yes', state: 'succeeded', reason: null },
      { step: 'no', state: 'skipped', reason: 'if: the condition was false' },
      { step: 'unknown', state: 'skipped', reason: 'if: the condition was NULL' },
      { step: 'none', state: 'skipped', reason: 'if: the condition was without a row' },
      { step: 'last', state: 'succeeded', reason: null },
    ]);
  });

  test('a condition that cannot be asked fails its step', async ({ db }) => {
    await define(db, `{ name: a, sql: 'SELECT 1', if: 'SELECT nope' }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(expect.stringMatching(/^step a: in its condition \(if\): .*nope/)));
  });
});

describe('what follows a step', () => {
  test('nothing found: skip, abort or continue, each with its message', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    const step = (onEmpty: string): string =>
      `{ name: a, sql: 'INSERT INTO t VALUES (1); SELECT 1 WHERE false', on_empty: ${onEmpty} }, { name: b, sql: 'SELECT 1' }`;
    const run = async (onEmpty: string) => {
      await define(db, step(onEmpty));
      const [{ state, reason } = {}] = await db.rows('RUN PIPELINE p');
      const [{ n } = {}] = await db.rows('SELECT count(*) AS n FROM t');
      const [first] = await stepRows(db, 'state, reason');
      await db.run('DELETE FROM t');
      return [state, reason, n, first?.['state'], first?.['reason']];
    };
    expect(await run('skip')).toEqual(['skipped', 'no rows', 1n, 'succeeded', 'no rows']);
    expect(await run("skip('no data')")).toEqual(['skipped', 'no data', 1n, 'succeeded', 'no data']);
    // A step that fails leaves nothing.
    expect(await run("abort('no data')")).toEqual(['failed', 'step a: no data', 0n, 'failed', 'no data']);
    expect(await run("continue('no data')")).toEqual(['succeeded', null, 1n, 'succeeded', 'no data']);
    expect(await run('continue')).toEqual(['succeeded', null, 1n, 'succeeded', null]);
  });

  test('a failure: skip, abort or continue, each with its message', async ({ db }) => {
    const run = async (onFail: string) => {
      await define(db, `{ name: a, sql: 'SELECT error(''boom'')', on_fail: ${onFail} }, { name: b, sql: 'SELECT 1' }`);
      const [{ state, reason } = {}] = await db.rows('RUN PIPELINE p');
      return [state, reason, ...(await stepRows(db, 'state')).map((row) => row['state'])];
    };
    expect(await run('abort')).toEqual(['failed', expect.stringMatching(/^step a: .*boom/), 'failed', 'skipped']);
    expect(await run("abort('it broke')")).toEqual(['failed', expect.stringMatching(/^step a: it broke: .*boom/), 'failed', 'skipped']);
    expect(await run("skip('it broke')")).toEqual(['skipped', expect.stringMatching(/^it broke: .*boom/), 'failed', 'skipped']);
    expect(await run('continue')).toEqual(['succeeded', null, 'failed', 'succeeded']);
  });

  test('its actions run at the moment, with what happened; what nothing delivers is a line of the log', async ({ db }) => {
    await db.run(
      'CREATE TABLE told (step VARCHAR, state VARCHAR, reason VARCHAR)',
      'UPSERT PROCEDURE tell(step VARCHAR, state VARCHAR, reason VARCHAR) AS BEGIN INSERT INTO told VALUES ($step, $state, $reason); END',
      "UPSERT PROCEDURE broken() AS BEGIN SELECT error('broken too'); END",
    );
    await define(
      db,
      `{ name: a, sql: 'SELECT error(''boom'')', on_fail: [continue, call('tell'), call('broken'), emit('broke'), notify('ops')] }, { name: b, sql: 'SELECT count(*) AS n FROM told' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', result: '[{"n":1}]' }]);
    expect(await db.rows('FROM told')).toEqual([{ step: 'a', state: 'failed', reason: expect.stringContaining('boom') }]);
    expect(await stepRows(db, 'step, kind, state')).toEqual([
      { step: 'a', kind: 'sql', state: 'failed' },
      { step: 'a.on_fail', kind: 'call', state: 'succeeded' },
      { step: 'a.on_fail', kind: 'call', state: 'failed' },
      { step: 'b', kind: 'sql', state: 'succeeded' },
    ]);
    expect(await db.rows('SELECT step, line FROM cron.run_logs ORDER BY logged_at')).toEqual([
      { step: 'a', line: 'not delivered: event broke; there is no event bus yet' },
      { step: 'a', line: 'not delivered: a message to ops; there is no channel yet' },
    ]);
  });

  test('a result that was not made is told by its step, and no table of that name is taken for it', async ({ db }) => {
    await db.run('CREATE TABLE x AS SELECT 1 AS id');
    const behind = [
      "sql: 'SELECT id FROM x'",
      "sql: 'SELECT count(*) FROM x'",
      "for_each: x, sql: 'SELECT 1'",
      "sql: 'SELECT $id', args: { id: x.id }",
      'call: reads',
      "sql: 'SELECT 1', if: 'SELECT count(*) > 0 FROM x'",
    ];
    await db.run('UPSERT PROCEDURE reads() AS BEGIN SELECT count(*) FROM x; END');
    for (const after of behind) {
      await define(db, `{ name: low, query: 'SELECT error(''boom'') AS id', as: x, on_fail: continue }, { name: b, ${after} }`);
      const [run] = await db.rows('RUN PIPELINE p');
      expect(run, after).toMatchObject({
        state: 'failed',
        reason: expect.stringContaining('there is no result x, because step low failed'),
      });
    }
    await define(db, `{ name: low, query: 'SELECT 1 AS id', as: x, if: 'SELECT false' }, { name: b, sql: 'FROM x' }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(
      failed(expect.stringContaining('there is no result x, because step low was skipped')),
    );
  });
});

describe('a step', () => {
  test('is tried again, with a row for each attempt', async ({ db }) => {
    const file = join(db.folder, 'tries');
    await define(db, `{ name: a, command: $$ echo x >> ${file}; test $(wc -l < ${file}) -ge 2 $$, retry: 1 times }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded' }]);
    expect(await stepRows(db, 'attempt, state, reason')).toEqual([
      { attempt: 1n, state: 'failed', reason: expect.stringMatching(/; retry in (1s|9\d\dms|1s\d+ms)$/) },
      { attempt: 2n, state: 'succeeded', reason: null },
    ]);
    await define(db, `{ name: a, sql: 'SELECT error(''boom'')', retry: 1 times }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'failed' }]);
    expect(await stepRows(db, 'attempt, state')).toEqual([
      { attempt: 1n, state: 'failed' },
      { attempt: 2n, state: 'failed' },
    ]);
  });

  test('ends at its timeout, and so do its items, each by itself', async ({ db }) => {
    const endless = 'SELECT sum(a.i * b.i) FROM range(100000000) a(i), range(100000000) b(i)';
    await define(
      db,
      `{ name: a, sql: '${endless}', timeout: 50ms, on_fail: continue }, { name: b, command: 'sleep 100', timeout: 50ms, on_fail: continue },
       ${items(2).replace('}', ', after: [b] }')}, { name: c, for_each: items, sql: '${endless}', timeout: 50ms, on_fail: continue }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded' }]);
    const reason = 'it ran longer than its timeout of 50ms';
    expect((await stepRows(db)).filter((row) => row['step'] !== 'find')).toEqual([
      { step: 'a', item: null, state: 'timed_out', reason },
      { step: 'b', item: null, state: 'timed_out', reason },
      { step: 'c', item: 0n, state: 'timed_out', reason },
      { step: 'c', item: 1n, state: 'timed_out', reason },
      { step: 'c', item: null, state: 'failed', reason: `2 of 2 items failed, the first: item 0: ${reason}` },
    ]);
  });

  test('retries a conflict with somebody who writes the same rows', async ({ db }) => {
    await db.run('CREATE TABLE t AS SELECT 0 AS n');
    await define(db, `${items(12)}, { name: a, for_each: items, parallel: 6, sql: 'UPDATE t SET n = n + 1' }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', reason: null }]);
    expect(await db.rows('FROM t')).toEqual([{ n: 12 }]);
  });

  test('may have any name', async ({ db }) => {
    const name = `it''s "a" \\ <b>; -- $x`;
    await define(db, `{ name: '${name}', query: 'SELECT 1 AS n', as: one }, { name: b, sql: 'SELECT n FROM one', after: ['${name}'] }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', result: '[{"n":1}]' }]);
    expect((await stepRows(db, 'step'))[0]).toEqual({ step: name.replace("''", "'") });
  });

  test('runs alone where a schedule names it, without the results of the others', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    await define(
      db,
      `{ name: find, query: 'SELECT 1 AS id', as: found }, { name: clean, sql: 'INSERT INTO t VALUES ($n)' },
       { name: use, sql: 'SELECT * FROM found' }, { name: each, for_each: found, sql: 'SELECT 1' }`,
      ', params: { n: 7 }',
    );
    for (const step of ['clean', 'use', 'each']) await db.run(`UPSERT SCHEDULE ${step} ( exe: 'p.${step}', max_retries: 0 )`);
    expect(await db.rows('RUN SCHEDULE clean')).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows('FROM t')).toEqual([{ i: 7 }]);
    expect(await stepRows(db, 'step, state')).toEqual([{ step: 'clean', state: 'succeeded' }]);
    const reason = expect.stringContaining('result found is what step find keeps, and this step runs alone');
    expect(await db.rows('RUN SCHEDULE use')).toMatchObject([{ state: 'failed', reason }]);
    expect(await db.rows('RUN SCHEDULE each')).toMatchObject([{ state: 'failed', reason }]);
  });
});

describe('a run that is ended', () => {
  /** The run, once its step `slow` is at work. */
  async function begun(db: TestDatabase, steps: string): Promise<{ runId: string; file: string }> {
    const file = join(db.folder, 'begun');
    await define(db, steps.replaceAll('$FILE', file));
    await db.run('UPSERT SCHEDULE p ( exe: pipeline, call: p, max_retries: 0 )');
    await db.engine.scheduler.start();
    const [run] = await db.rows('RUN SCHEDULE p');
    await expect.poll(() => existsSync(file), { timeout: 10_000, interval: 20 }).toBe(true);
    return { runId: String(run?.['run_id']), file };
  }
  const steps = `{ name: a, sql: 'SELECT 1' }, { name: cmd, command: 'echo begun > $FILE; sleep 100', after: [a] },
    { name: query, sql: 'SELECT sum(a.i * b.i) FROM range(100000000) a(i), range(100000000) b(i)', after: [a] },
    { name: find, query: 'SELECT 1 AS id FROM range(3)', as: items, after: [a] },
    { name: each, for_each: items, parallel: 2, command: 'sleep 100' }, { name: never, sql: 'SELECT 1' }`;

  test('ends its steps, whose rows say so, and nothing is begun after', async ({ db }) => {
    const { runId } = await begun(db, steps);
    await expect.poll(() => stepRows(db, 'step').then((rows) => rows.length), { timeout: 10_000, interval: 20 }).toBe(2);
    const ended = db.engine.scheduler.finished(runId);
    await db.run(`CANCEL RUN '${runId}'`);
    expect(await ended).toMatchObject({ state: 'cancelled', reason: 'cancelled by tester' });
    const rows = await stepRows(db, 'step, item, state, reason');
    const reason = 'cancelled by tester';
    expect(rows.slice(0, 2).map((row) => row['step'])).toEqual(['a', 'find']);
    expect(rows.slice(2)).toEqual(
      expect.arrayContaining([
        { step: 'cmd', item: null, state: 'cancelled', reason },
        { step: 'query', item: null, state: 'cancelled', reason },
        { step: 'each', item: 0n, state: 'cancelled', reason },
        { step: 'each', item: null, state: 'cancelled', reason },
        { step: 'never', item: null, state: 'skipped', reason: `not begun: the run was ended: ${reason}` },
      ]),
    );
    await expect.poll(() => workTables(db), { timeout: 10_000, interval: 20 }).toEqual([]);
  });

  test('by its own timeout ends them the same way; the schedule’s stands over the pipeline’s', async ({ db }) => {
    await define(db, steps.replaceAll('$FILE', '/dev/null'), ', timeout: 3s');
    await db.run('UPSERT SCHEDULE p ( exe: pipeline, call: p, max_retries: 0 )', 'UPSERT SCHEDULE q LIKE p ( timeout: 2s )');
    for (const [schedule, timeout] of [
      ['p', '3s'],
      ['q', '2s'],
    ]) {
      const reason = `it ran longer than its timeout of ${timeout}`;
      expect(await db.rows(`RUN SCHEDULE ${schedule}`)).toMatchObject([{ state: 'timed_out', reason }]);
      const rows = await stepRows(db, 'step, state, reason');
      const cancelled = { state: 'cancelled', reason: `the pipeline ran longer than its timeout of ${timeout}` };
      expect(rows).toContainEqual({ step: 'cmd', ...cancelled });
      expect(rows).toContainEqual({ step: 'query', ...cancelled });
    }
  });

  test('tells how far it is', async ({ db }) => {
    const told: string[] = [];
    db.engine.scheduler.events.on('run:progress', ({ fraction, message }) => told.push(`${Math.round((fraction ?? 0) * 100)} ${message}`));
    await define(db, `${items(4)}, { name: order, for_each: items, sql: 'SELECT 1' }`);
    await db.run('RUN PIPELINE p');
    expect(told[0]).toBe('0 find');
    expect(told.at(-1)).toBe('100 order');
  });
});
