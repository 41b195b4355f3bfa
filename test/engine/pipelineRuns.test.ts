import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';
import { define, failed, stepRows, workTables } from '../support/pipelines.ts';

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
    const [run] = await db.rows('RUN PIPELINE p');
    expect(run).toMatchObject({ pipeline: 'p', state: 'succeeded', reason: null, rows_changed: 2n, result: null });
    expect(await db.rows('FROM ordered ORDER BY id')).toEqual([
      { id: 1, who: run?.['run_id'] },
      { id: 3, who: run?.['run_id'] },
    ]);
    const common = { item: null, state: 'succeeded', attempt: 1n, error_message: null };
    expect(await stepRows(db, 'step, item, kind, state, attempt, rows_changed, result, error_message')).toEqual([
      { ...common, step: 'low', kind: 'query', rows_changed: 0n, result: '[{"id":1,"quantity":3},{"id":3,"quantity":5}]' },
      { ...common, step: 'order', kind: 'sql', rows_changed: 2n, result: '[{"n":2}]' },
      { ...common, step: 'verify', kind: 'expect', rows_changed: 0n, result: null },
    ]);
    expect(await db.rows('SELECT schedule, exe, call, guarantee FROM cron.runs')).toEqual([
      { schedule: null, exe: 'pipeline', call: 'p', guarantee: 'at_least_once' },
    ]);
    expect(await workTables(db)).toEqual([]);
  });

  test('is run by a schedule, whose parameters stand over its own, and under those of WITH', async ({ db }) => {
    await define(db, `{ name: a, sql: 'SELECT $a AS a, $b AS b, $c AS c, $schedule AS s' }`, ', params: { a: 1, b: 1, c: 1 }');
    await db.run('UPSERT SCHEDULE s ( exe: pipeline, call: p, params: { B: 2, c: 2 } )');
    expect(await db.rows('RUN SCHEDULE s WITH ( C: 3 )')).toMatchObject([{ result: '[{"a":1,"b":2,"c":3,"s":"s"}]' }]);
    expect(await db.rows('RUN PIPELINE P WITH ( b: 5 )')).toMatchObject([{ pipeline: 'p', result: '[{"a":1,"b":5,"c":1,"s":null}]' }]);
    expect(await db.mistake('RUN PIPELINE p WITH ( d: 1 )')).toMatchObject({
      code: 'undefined_parameter',
      at: 'd',
      message: 'pipeline p has no parameter d',
    });
    await db.run('BEGIN');
    expect(await db.mistake('RUN PIPELINE p')).toMatchObject({ code: 'in_transaction' });
  });

  test('steps that do not wait for each other run side by side', async ({ db }) => {
    // Each waits until the others have begun too.
    const file = join(db.folder, 'begun');
    const wait = `sh -c 'echo x >> ${file}; while [ $(wc -l < ${file}) -lt 3 ]; do sleep 0.02; done'`;
    const steps = ['a', 'b', 'c'].map((name) => `{ name: ${name}, command: $$ ${wait} $$, after: [], timeout: 20s }`);
    await define(db, `${steps.join(', ')}, { name: last, sql: 'SELECT 1', after: [a, b, c] }`);
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded' }]);
    const rows = await stepRows(db);
    expect(
      rows
        .map((row) => row['step'])
        .slice(0, 3)
        .sort(),
    ).toEqual(['a', 'b', 'c']);
    expect(rows[3]).toMatchObject({ step: 'last' });
  });

  test('binds in each step what every run has, its parameters and secrets', async ({ db }) => {
    await define(
      db,
      `{ name: a, sql: 'SELECT $attempt::INTEGER AS attempt, $key = ''hidden'' AS knows, $day AS day, $n + $x AS n', args: { x: 5, n: sql('$attempt * 40') } }`,
      ", params: { key: env('SECRET'), day: sql('DATE ''2026-01-01'' - 1'), n: 0 }",
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ result: '[{"attempt":1,"knows":true,"day":"2025-12-31","n":45}]' }]);
    expect(await workTables(db)).toEqual([]);
  });
});

describe('every kind of step', () => {
  test('an expectation that does not hold fails its run with its message and a sample of the rows that offend', async ({ db }) => {
    await define(db, `{ name: verify, expect: 'SELECT i FROM range(12) t(i)', message: 'too many' }, { name: never, sql: 'SELECT 1' }`);
    const reason = 'step verify: too many: 12 rows offend';
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(reason));
    const [run] = await db.rows('SELECT error_code, error_message, error_detail FROM cron.runs');
    expect(run).toMatchObject({ error_code: 'run_failed', error_message: reason });
    const sample = { rows: Array.from({ length: 10 }, (_, i) => ({ i })) };
    expect(JSON.parse(String(run?.['error_detail']))).toEqual({ step: 'verify', ...sample });
    expect(await stepRows(db)).toEqual([
      { step: 'verify', item: null, state: 'failed', reason: 'too many: 12 rows offend' },
      { step: 'never', item: null, state: 'skipped', reason: 'not begun: step verify ended the pipeline' },
    ]);
    expect(JSON.parse(String((await stepRows(db, 'result'))[0]?.['result']))).toEqual(sample);
  });

  test('an expectation is one boolean that is true, or no rows', async ({ db }) => {
    const expected = async (text: string): Promise<unknown> => {
      await define(db, `{ name: v, expect: $$ ${text} $$ }`);
      return (await db.rows('RUN PIPELINE p'))[0]?.['reason'];
    };
    expect(await expected('SELECT true')).toBeNull();
    expect(await expected('SELECT 1 WHERE false')).toBeNull();
    expect(await expected('SELECT false')).toBe('step v: the expectation does not hold: it was false');
    expect(await expected('SELECT NULL::BOOLEAN')).toBe('step v: the expectation does not hold: it was NULL');
    expect(await expected('SELECT 1')).toBe('step v: the expectation does not hold: 1 row offends');
    expect(await expected('SELECT true UNION ALL SELECT true')).toBe('step v: the expectation does not hold: 2 rows offend');
    expect(await expected('SELECT nope')).toMatch(/^step v: in step v, column \d+: .*nope/);
  });

  test('a procedure is called with arguments of its types, also one that commits by itself', async ({ db }) => {
    await db.run(
      'CREATE TABLE t (day DATE, n INTEGER, step VARCHAR)',
      'UPSERT PROCEDURE add(day DATE, n INTEGER DEFAULT 7) AS BEGIN INSERT INTO t VALUES ($day, $n, $run_id); SELECT * EXCLUDE step FROM t; END',
      'UPSERT PROCEDURE apart(n INTEGER) ( atomic: false ) AS BEGIN INSERT INTO t VALUES (NULL, $n, NULL); SELECT 1/nope; END',
    );
    await define(
      db,
      `{ name: a, call: add, args: { DAY: '2026-02-03' }, as: kept }, { name: b, sql: 'SELECT typeof(day) AS d, n FROM kept' },
       { name: c, call: apart, args: { n: kept.n } }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(expect.stringContaining('step c: in procedure apart, statement 2')));
    expect(await stepRows(db, 'step, state, result')).toMatchObject([
      { step: 'a', state: 'succeeded', result: '[{"day":"2026-02-03","n":7}]' },
      { step: 'b', result: '[{"d":"DATE","n":7}]' },
      { step: 'c', state: 'failed' },
    ]);
    expect(await db.rows('SELECT n FROM t')).toEqual([{ n: 7 }, { n: 7 }]);
  });

  test('commands and handlers are given parameters and arguments, and their lines bear the name of their step', async ({ db }) => {
    mkdirSync(join(db.folder, 'jobs'));
    writeFileSync(
      join(db.folder, 'jobs', 'double.mjs'),
      `export default async ({ params, step, item, config, services, progress }) => {
         services.logger.info('doubling ' + params.n);
         progress(0.5, 'half');
         await services.database.transaction.query('INSERT INTO doubled VALUES ($n)', { n: params.n * config.by });
         return [{ n: params.n, doubled: params.n * config.by, when: null }, { n: -1, doubled: 0.5 }];
       }`,
    );
    await db.run('CREATE TABLE doubled (n INTEGER)', "UPSERT PROCEDURE hello(name VARCHAR) LANGUAGE command AS ['echo', 'hello', '$name']");
    await define(
      db,
      `{ name: handle, handler: 'jobs/double.mjs', args: { n: 21 }, config: { by: 2 }, as: answer },
       { name: read, sql: 'SELECT n, doubled, typeof(doubled) AS t FROM answer' },
       { name: say, command: ['echo', '$word', '$n'], args: { n: answer.n } },
       { name: greet, call: hello, args: { name: 'ada' } },
       { name: tell, emit: 'done' }`,
      ", params: { word: 'it''s' }, config: { by: 1 }",
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', reason: null }]);
    expect(await db.rows('FROM doubled')).toEqual([{ n: 42 }]);
    expect(await stepRows(db, 'step, kind, state, reason, result')).toMatchObject([
      { step: 'handle', kind: 'handler', state: 'succeeded' },
      { step: 'read', result: '[{"n":21,"doubled":42,"t":"DOUBLE"},{"n":-1,"doubled":0.5,"t":"DOUBLE"}]' },
      { step: 'say', kind: 'command' },
      { step: 'greet', kind: 'call' },
      { step: 'tell', kind: 'emit', state: 'succeeded', reason: 'not delivered' },
    ]);
    expect(await db.rows('SELECT step, stream, line FROM cron.run_logs ORDER BY logged_at')).toEqual([
      { step: 'handle', stream: 'log', line: 'doubling 21' },
      { step: 'say', stream: 'stdout', line: "it's 21" },
      { step: 'greet', stream: 'stdout', line: 'hello ada' },
      { step: 'tell', stream: 'scheduler', line: 'not delivered: event done; there is no event bus yet' },
    ]);
  });

  test('a step of several statements is one transaction: what fails leaves nothing of it, and what is before it stays', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    await define(
      db,
      `{ name: a, sql: 'INSERT INTO t VALUES (1)' }, { name: b, action: 'INSERT INTO t VALUES (2); INSERT INTO t SELECT 1/nope' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject(failed(expect.stringMatching(/^step b: in step b, statement 2.*nope/)));
    expect(await db.rows('FROM t')).toEqual([{ i: 1 }]);
    expect(await stepRows(db, 'step, state, error_message')).toMatchObject([
      { step: 'a', state: 'succeeded', error_message: null },
      { step: 'b', state: 'failed', error_message: expect.stringContaining('nope') },
    ]);
  });
});

describe('what a step keeps', () => {
  test('wins over a table of the user, keeps its types and its columns where it is empty', async ({ db }) => {
    await db.run("CREATE TABLE items AS SELECT 'mine' AS name");
    await define(
      db,
      `{ name: find, query: $$ SELECT 1::UTINYINT AS i, 1.50::DECIMAL(9, 2) AS d, {'a': [DATE '2026-01-01']} AS s, 'x'::ENUM('x', 'y') AS e, UUID '00000000-0000-0000-0000-000000000001' AS u, INTERVAL 3 DAYS AS v $$, as: items },
       { name: none, query: 'SELECT 1::SMALLINT AS n, [1.5] AS l WHERE false', as: empty },
       { name: typed, sql: $$ SELECT typeof(COLUMNS(*)) FROM items $$ },
       { name: args, sql: $$ SELECT typeof($i) AS i, typeof($d) AS d, typeof($s) AS s, typeof($a) AS a, typeof($u) AS u, typeof($v) AS v, $n IS NULL AS n $$,
         args: { i: items.i, d: items.d, s: items.s, a: items.s.a, u: items.u, v: items.v, n: empty.n } },
       { name: bare, sql: $$ SELECT count(*) AS n, (SELECT string_agg(column_name || ' ' || column_type, ', ') FROM (DESCRIBE empty)) AS c FROM empty $$ },
       { name: mine, sql: 'SELECT name FROM my.main.items' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', reason: null }]);
    const results = (await stepRows(db, 'result')).map((row) => JSON.parse(String(row['result'])));
    expect(results[2]).toEqual([
      { i: 'UTINYINT', d: 'DECIMAL(9,2)', s: 'STRUCT(a DATE[])', e: "ENUM('x', 'y')", u: 'UUID', v: 'INTERVAL' },
    ]);
    expect(results[3]).toEqual([
      { i: 'UTINYINT', d: 'DECIMAL(9,2)', s: 'STRUCT(a DATE[])', a: 'DATE[]', u: 'UUID', v: 'INTERVAL', n: true },
    ]);
    expect(results[4]).toEqual([{ n: 0, c: 'n SMALLINT, l DECIMAL(2,1)[]' }]);
    expect(results[5]).toEqual([{ name: 'mine' }]);
  });

  test('is seen by the procedures that later steps call, and not by steps that do not wait for it', async ({ db }) => {
    await db.run("CREATE TABLE items AS SELECT 'mine' AS name", 'UPSERT PROCEDURE look() AS BEGIN SELECT name FROM items; END');
    await define(
      db,
      `{ name: find, query: $$ SELECT 'found' AS name $$, as: items }, { name: called, call: look }, { name: inner, sql: 'CALL look()' },
       { name: beside, sql: 'SELECT name FROM items', after: [] }`,
    );
    await db.run('RUN PIPELINE p');
    const results = Object.fromEntries((await stepRows(db, 'step, result')).map((row) => [row['step'], row['result']]));
    expect(results).toEqual({
      find: '[{"name":"found"}]',
      called: '[{"name":"found"}]',
      inner: '[{"name":"found"}]',
      beside: '[{"name":"mine"}]',
    });
  });

  test('may be the rows of anything that answers some', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)', 'UPSERT PROCEDURE two() AS BEGIN SELECT 1 AS a, 2 AS a; END');
    await define(
      db,
      `{ name: a, sql: 'INSERT INTO t VALUES (1), (2) RETURNING i, i * 2 AS twice', as: ra },
       { name: b, query: 'DESCRIBE t', as: rb },
       { name: c, query: 'WITH x AS (SELECT 3 AS n) SELECT * FROM x -- end', as: rc },
       { name: d, sql: 'CREATE TABLE u AS SELECT 4 AS n; FROM u', as: rd },
       { name: e, sql: 'CALL two()', as: re },
       { name: all, sql: 'SELECT (SELECT sum(twice) FROM ra) AS a, (SELECT column_name FROM rb) AS b, (SELECT n FROM rc) AS c, (SELECT n FROM rd) AS d, (SELECT count(*) FROM re) AS e' }`,
    );
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ reason: null, result: '[{"a":6,"b":"i","c":3,"d":4,"e":1}]' }]);
  });

  test('stays in the database, however large it is', async ({ db }) => {
    await define(
      db,
      `{ name: many, query: 'SELECT i, i % 7 AS k FROM range(10000000) t(i)', as: rows },
       { name: count, sql: 'SELECT count(*) AS n, sum(k) AS k FROM rows' }`,
    );
    const before = process.memoryUsage().heapUsed;
    expect(await db.rows('RUN PIPELINE p')).toMatchObject([{ state: 'succeeded', result: '[{"n":10000000,"k":29999994}]' }]);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100_000_000);
    expect(await workTables(db)).toEqual([]);
  });
});
