import { afterAll, beforeAll, describe, expect } from 'vitest';
import { TestDatabase, test } from '../support/database.ts';

describe('what is checked when a schedule is defined', () => {
  const cases: readonly (readonly [definition: string, expected: object])[] = [
    ["sched: '0 2 * * *'", { code: 'missing_key', message: 'the schedule has nothing to do' }],
    ["sql: 'SELECT 1', command: ['x']", { code: 'invalid_value', message: "'sql' and 'command' exclude each other", at: 'command' }],
    ['exe: procedure', { code: 'missing_key', at: 'exe', hint: 'add call: name_of_the_procedure' }],
    ["exe: procedur, call: 'x'", { code: 'invalid_value', at: 'procedur', hint: expect.stringContaining('did you mean procedure?') }],
    ["sched: '60 2 * * *', sql: 'SELECT 1'", { code: 'invalid_cadence', at: '60', hint: expect.stringContaining('0') }],
    ["sched: E'0 2 * *\\t88', sql: 'SELECT 1'", { code: 'invalid_cadence', at: '88' }],
    ["sched: every 30x, sql: 'SELECT 1'", { code: 'invalid_cadence' }],
    ["sched: '0 0 31 2 *', sql: 'SELECT 1'", { code: 'never_fires' }],
    ["sched: '0 2 * * *', tz: 'Europe/Berln', sql: 'SELECT 1'", { code: 'unknown_zone', hint: expect.stringContaining('Europe/Berlin') }],
    [
      "sched: '0 2 * * *', calendar: nope, sql: 'SELECT 1'",
      { code: 'undefined_object', at: 'nope', hint: expect.stringContaining('UPSERT CALENDAR AS nope') },
    ],
    ["sched: '0 2 * * *', on_holiday: next, sql: 'SELECT 1'", { code: 'missing_key', at: 'on_holiday' }],
    [
      "sched: '0 2 * * *', queue: crtical, sql: 'SELECT 1'",
      { code: 'undefined_object', at: 'crtical', hint: expect.stringContaining('did you mean critical?') },
    ],
    ["sched: '0 2 * * *', run_at: 2027-01-01T00:00:00Z, sql: 'SELECT 1'", { code: 'invalid_value', at: 'run_at' }],
    ["run_at: 'every 5m', sql: 'SELECT 1'", { code: 'invalid_cadence' }],
    ["after: [nobody], sql: 'SELECT 1'", { code: 'undefined_object', at: 'nobody' }],
    ["after: [s], sched: '0 2 * * *', sql: 'SELECT 1'", { code: 'invalid_value', message: "'after' and 'sched' exclude each other" }],
    ["starts: 2027-01-02T00:00:00Z, ends: 2027-01-01T00:00:00Z, sched: '0 2 * * *', sql: 'SELECT 1'", { code: 'invalid_value' }],
    ["sql: 'SELECT $x'", { code: 'undefined_parameter', at: '$x' }],
    ["sql: 'SELECT 1; COMMIT'", { code: 'forbidden', at: 'COMMIT' }],
    ["sql: 'SELECT ''unterminated'", { code: 'unterminated' }],
    ["sql: ''", { code: 'invalid_value' }],
    ["sql: 'SELECT 1', when: 'SELECT 1; SELECT 2'", { code: 'invalid_value', at: 'SELECT 2' }],
    [
      "sql: 'SELECT 1', when: 'INSERT INTO t VALUES (1)'",
      {
        code: 'invalid_value',
        at: 'INSERT INTO t',
        message: "'when' asks a question, and INSERT is none",
        hint: expect.stringContaining('SELECT'),
      },
    ],
    ["sql: 'SELECT 1', when: 'WITH x AS (SELECT 1) DELETE FROM t'", { message: "'when' asks a question, and DELETE is none" }],
    ["sql: 'SELECT 1', when: 'CALL p(1)'", { message: "'when' asks a question, and CALL is none" }],
    ["sql: 'SELECT 1', timeout: 60", { hint: expect.stringContaining('60s') }],
    ["sql: 'SELECT 1', timeout: 2 hours", {}],
    ["sql: 'SELECT 1', overlap: skipp", { hint: expect.stringContaining('skip') }],
    ["sql: 'SELECT 1', retry: lots", { code: 'wrong_type', message: expect.stringContaining('3 times') }],
    ["sql: 'SELECT 1', on_fail: [explode('x')]", {}],
    ["sql: 'SELECT 1', on_fail: call('nobody')", { code: 'undefined_object' }],
    ["sql: 'SELECT 1', sched: 0 2 * * *", { hint: expect.stringContaining("'0 2 * * *'") }],
    ["sql: 'SELECT 1', sechd: '0 2 * * *'", { code: 'unknown_key', at: 'sechd', hint: expect.stringContaining('sched') }],
    ["sql: 'SELECT 1', sql: 'SELECT 2'", { code: 'duplicate_key' }],
    ['call: p, sched: @daily, params: { m: 1 }', { code: 'undefined_parameter', at: 'm', hint: expect.stringContaining('n, d') }],
    ['call: p, sched: @daily', { code: 'missing_key', hint: 'add params: { n: .. }' }],
    ["call: p, sched: @daily, params: { n: 'x' }", { code: 'wrong_type', at: "'x'" }],
    ['exe: pipeline, call: p', { code: 'undefined_object', message: 'p is a procedure, not a pipeline' }],
    // Numbers and nested values
    ["sql: 'SELECT $x', params: { x: 1e400 }", { code: 'out_of_range', at: '1e400' }],
    ["sql: 'SELECT $x', params: { x: [1, [1e400]] }", { code: 'out_of_range', at: '1e400' }],
    ["handler: './h.js', config: { x: -1e400 }", { code: 'out_of_range', at: '-1e400' }],
    ["sql: 'SELECT $x', params: { x: [1, 'a'] }", { code: 'wrong_type', at: "[1, 'a']", message: expect.stringContaining('parameter x') }],
    ["sql: 'SELECT $x', params: { x: {} }", { code: 'wrong_type', at: '{}' }],
    ["call: nested, params: { h: { k: 'x' } }", { code: 'wrong_type', at: "{ k: 'x' }" }],
    ["handler: './h.js', config: { x: sql('1') }", { code: 'wrong_type', at: "sql('1')" }],
    ["handler: './h.js', config: { '$env': 'X' }", { code: 'invalid_name', at: "'$env'", hint: expect.stringContaining("env('NAME')") }],
    // Syntax, at its place in the statement
    ["sql: 'selec 1'", { code: 'syntax_error', at: 'selec', hint: expect.stringContaining('SELECT') }],
    ["sql: 'SELECT 1; SELECT ''it''''s'' FORM t'", { code: 'syntax_error', at: 't' }],
    ["sql: 'SELECT 1', when: 'SELECT 1 WHERE AND'", { code: 'syntax_error', at: 'AND' }],
    ["sql: 'SELECT $x', params: { x: sql('a b c') }", { code: 'syntax_error', at: 'c' }],
    // What every run has
    [
      "sql: 'SELECT $attempt', params: { Attempt: 3 }",
      { code: 'invalid_name', at: 'Attempt', hint: expect.stringContaining('run_id, schedule') },
    ],
    // What says nothing
    ["sql: 'SELECT 1', sched: []", { code: 'invalid_value', at: '[]', hint: expect.stringContaining('by hand') }],
    ["sql: 'SELECT 1', retry_delays: []", { code: 'invalid_value', at: '[]', hint: expect.stringContaining('[1m, 5m, 30m]') }],
    ["sql: 'SELECT 1', timeout: 0s", { code: 'invalid_value', at: '0s', hint: 'timeout: none sets no limit' }],
    // Instants
    [
      "sql: 'SELECT 1', sched: @daily, starts: 'tomorrow'",
      { code: 'invalid_value', at: "'tomorrow'", hint: expect.stringContaining('2027-09-20T02') },
    ],
    ["sql: 'SELECT 1', run_at: 'tomorrow'", { code: 'invalid_value', message: "'run_at' takes an instant, and 'tomorrow' is none" }],
    ["sql: 'SELECT 1', sched: @daily, ends: '2027-02-30'", { code: 'invalid_cadence', message: '2027-02 has no day 30' }],
    ["call: p, params: { n: now('x') }", { code: expect.any(String), hint: expect.stringContaining('env') }],
  ];

  // Refused definitions leave nothing behind, so one database serves them all.
  const db = new TestDatabase();
  beforeAll(async () => {
    await db.open();
    await db.run(
      'UPSERT PROCEDURE p(n INTEGER, d DATE DEFAULT current_date) AS BEGIN SELECT $n; END',
      'UPSERT PROCEDURE nested(h MAP(VARCHAR, INTEGER)) AS BEGIN SELECT $h; END',
      "UPSERT SCHEDULE s ( sql: 'SELECT 1' )",
    );
  });
  afterAll(() => db.remove());

  for (const [definition, expected] of cases) {
    test(`( ${definition} )`, async () => {
      expect(await db.mistake(`UPSERT SCHEDULE wrong ( ${definition} )`)).toMatchObject(expected);
      expect(await db.rows("LIST SCHEDULES LIKE 'wrong'")).toEqual([]);
    });
  }

  test('a cycle of followers is refused, with the cycle printed', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE a ( sql: 'SELECT 1' )",
      "UPSERT SCHEDULE b ( after: a, sql: 'SELECT 1' )",
      "UPSERT SCHEDULE c ( after: [b], sql: 'SELECT 1' )",
    );
    expect(await db.mistake("UPSERT SCHEDULE a ( after: [c], sql: 'SELECT 1' )")).toMatchObject({
      code: 'cycle',
      message: "'after' makes a cycle: a -> c -> b -> a",
    });
    expect(await db.mistake("UPSERT SCHEDULE a ( after: [a], sql: 'SELECT 1' )")).toMatchObject({
      code: 'cycle',
      message: "'after' makes a cycle: a -> a",
    });
  });

  test('a cycle is seen in any case of its names, among several parents, and by ALTER and CREATE too', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE first ( sql: 'SELECT 1' )",
      "UPSERT SCHEDULE aside ( sql: 'SELECT 1' )",
      "UPSERT SCHEDULE Second ( after: [aside, FIRST], sql: 'SELECT 1' )",
      'UPSERT SCHEDULE "Ä" ( after: second, sql: \'SELECT 1\' )',
    );
    const cycle = 'first -> Ä -> second -> first';
    expect(await db.mistake('ALTER SCHEDULE first SET ( after: [ASIDE, "Ä"] )')).toMatchObject({
      code: 'cycle',
      message: `'after' makes a cycle: ${cycle}`,
      at: 'ASIDE',
    });
    expect(await db.mistake('CREATE OR REPLACE SCHEDULE first ( sql: \'SELECT 1\', after: "Ä" )')).toMatchObject({ code: 'cycle' });
    expect(await db.mistake("CREATE SCHEDULE alone ( sql: 'SELECT 1', after: ALONE )")).toMatchObject({
      code: 'cycle',
      message: "'after' makes a cycle: alone -> alone",
    });
    expect(await db.mistake('ALTER SCHEDULE aside SET ( after: Aside )')).toMatchObject({ code: 'cycle' });
    // Two ways to one parent are none.
    await db.run('ALTER SCHEDULE "Ä" SET ( after: [second, first, aside] )');
    expect(await db.rows("SELECT after FROM cron.schedules WHERE name = 'first'")).toEqual([{ after: [] }]);
  });
});

describe('what is checked when a procedure is defined', () => {
  const cases: readonly (readonly [head: string, expected: object])[] = [
    [
      "(n INTEGER DEFAULT 'abc') AS BEGIN SELECT 1; END",
      { code: 'wrong_type', at: "'abc'", message: "the default of n is no INTEGER: 'abc'" },
    ],
    ['(n TINYINT DEFAULT 300) AS BEGIN SELECT 1; END', { code: 'wrong_type', at: '300' }],
    ['(n INTEGER DEFAULT (SELECT nosuch)) AS BEGIN SELECT 1; END', { code: 'undefined_column', at: 'nosuch' }],
    ['(n INTEGER DEFAULT nosuch(1)) AS BEGIN SELECT 1; END', { code: 'unknown_function', at: 'nosuch' }],
    ['(n INTEGER DEFAULT 1 2) AS BEGIN SELECT 1; END', { code: 'syntax_error', at: '2' }],
    [
      '(n INTEGER DEFAULT $x) AS BEGIN SELECT 1; END',
      { code: 'undefined_parameter', at: '$x', hint: expect.stringContaining('$scheduled_at') },
    ],
    ['(run_id INTEGER) AS BEGIN SELECT 1; END', { code: 'invalid_name', at: 'run_id' }],
    ['() (timeout: 0s) AS BEGIN SELECT 1; END', { code: 'invalid_value', at: '0s' }],
    ['() AS BEGIN SELECT 1; selec 2; END', { code: 'syntax_error', at: 'selec' }],
    ['() AS BEGIN SELECT 1; CALL both(1, 2 3); END', { code: 'syntax_error', at: '3' }],
  ];
  const db = new TestDatabase();
  beforeAll(() => db.open());
  afterAll(() => db.remove());

  for (const [head, expected] of cases) {
    test(head, async () => {
      // A mistake leaves an open transaction as it is.
      await db.run('BEGIN');
      expect(await db.mistake(`UPSERT PROCEDURE wrong${head}`)).toMatchObject(expected);
      expect(await db.rows("LIST PROCEDURES LIKE 'wrong'")).toEqual([]);
      await db.run('COMMIT');
    });
  }

  test('defaults that only a call can know are accepted', async () => {
    await db.run(
      'UPSERT PROCEDURE right(a UUID DEFAULT uuid(), b DOUBLE DEFAULT random(), c INTEGER DEFAULT NULL, d DATE DEFAULT $scheduled_at, e INTEGER DEFAULT (SELECT count(*) FROM later)) AS BEGIN SELECT $a; END',
    );
    await db.run('CREATE TABLE later(i INTEGER)', 'CALL right()', "UPSERT SCHEDULE s ( sql: 'SELECT uuid()' )");
  });
});

describe('what a definition gives arrives in SQL as what it is', () => {
  const db = new TestDatabase();
  beforeAll(() => db.open());
  afterAll(() => db.remove());
  const result = async (): Promise<unknown> => JSON.parse(String((await db.rows('RUN SCHEDULE s'))[0]?.['result']));

  test('lists and objects in plain SQL', async () => {
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT typeof($l) AS l, $l[2] AS second, typeof($o) AS o, $o.k AS k', params: { l: [1, 2], o: { k: 1.5, t: 'x' } } )",
    );
    expect(await result()).toEqual([{ l: 'INTEGER[]', second: 2, o: 'STRUCT(k DOUBLE, t VARCHAR)', k: 1.5 }]);
  });

  test('nested values for the parameters of a procedure, MAP included', async () => {
    await db.run(
      "UPSERT PROCEDURE p(h MAP(VARCHAR, INTEGER), j JSON, l INTEGER[], s STRUCT(a INTEGER)) AS BEGIN SELECT $h['k'] AS k, $j->'a' AS j, $l[1] AS l, $s.a AS a; END",
      'UPSERT SCHEDULE s ( call: p, params: { h: { k: 1 }, j: { a: [2] }, l: [3], s: { a: 4 } } )',
    );
    expect(await result()).toEqual([{ k: 1, j: [2], l: 3, a: 4 }]);
  });

  test("sql('..') is evaluated when the run starts, and may name what every run has", async () => {
    await db.run(
      'UPSERT PROCEDURE told(total INTEGER, day DATE, who VARCHAR) AS BEGIN SELECT $total AS total, $day AS day, $who AS who; END',
      `UPSERT SCHEDULE s ( call: told, params: {
         total: sql('SELECT (result->>''$[0].total'')::INTEGER FROM cron.runs WHERE run_id = $parent_run_id'),
         day: sql('$Scheduled_at - INTERVAL 1 DAY'), who: sql('$schedule || $attempt') } )`,
    );
    expect(await result()).toEqual([{ total: null, day: '2026-11-19', who: 's1' }]);
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT $n AS n', params: { n: sql('SELECT count(*) FROM cron.runs WHERE run_id = $run_id') } )",
    );
    expect(await result()).toEqual([{ n: 1 }]);
    expect(await db.mistake("UPSERT SCHEDULE s ( sql: 'SELECT $n', params: { m: 1, n: sql('$m + 1') } )")).toMatchObject({
      code: 'undefined_parameter',
      at: '$m',
      hint: expect.stringContaining('$parent_run_id'),
    });
  });

  test("an error in sql('..') names the parameter", async () => {
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT $n', max_retries: 0, params: { n: sql('SELECT nope FROM cron.runs') } )");
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'failed', reason: expect.stringMatching(/^parameter n: .*nope/) }]);
  });

  test("env('..') inside of objects is stored by its name and read by the run", async () => {
    await db.run(
      "UPSERT SCHEDULE s ( sql: 'SELECT $o.list[1] AS secret', params: { o: { list: [env('SECRET')] } }, config: { url: env('URL') } )",
    );
    expect(await result()).toEqual([{ secret: 'hidden' }]);
    const [stored] = await db.rows('SELECT params, config, definition FROM cron.schedules');
    expect(stored).toMatchObject({ config: '{"url":"env(\'URL\')"}', params: '{"o":{"list":["env(\'SECRET\')"]}}' });
    expect(stored?.['definition']).not.toContain('hidden');
    await db.run("UPSERT SCHEDULE s ( sql: 'SELECT $o', params: { o: [env('NOBODY')] } )");
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([
      { state: 'failed', reason: expect.stringContaining('variable NOBODY is not set') },
    ]);
  });
});

describe('warnings, never silence', () => {
  const warnings = async (db: TestDatabase, definition: string) => (await db.rows(`UPSERT SCHEDULE w ( ${definition} )`))[0]?.['warnings'];

  test('day of month with day of week', async ({ db }) => {
    expect(await warnings(db, "sched: '30 3 1-7 * 1', sql: 'SELECT 1'")).toEqual([expect.stringContaining('every Monday')]);
    expect(await warnings(db, "sched: '30 3 1-7 * +1', sql: 'SELECT 1'")).toEqual([]);
  });

  test('a time inside a gap of the zone', async ({ db }) => {
    expect(await warnings(db, "sched: '30 2 * * *', tz: 'Europe/Berlin', sql: 'SELECT 1'")).toEqual([expect.stringContaining('02:30')]);
    expect(await warnings(db, "sched: '30 3 * * *', tz: 'Europe/Berlin', sql: 'SELECT 1'")).toEqual([]);
  });

  test('an instant already past is accepted, and its status is finished', async ({ db }) => {
    expect(await warnings(db, "run_at: 2020-01-01T00:00:00Z, sql: 'SELECT 1'")).toEqual([expect.stringContaining('past')]);
    expect(await db.rows('SELECT status, next_run FROM cron.schedules')).toEqual([{ status: 'finished', next_run: null }]);
  });

  test('another enabled schedule that writes the same table at the same instants', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER)', "UPSERT SCHEDULE first ( sched: '0 * * * *', sql: 'INSERT INTO t VALUES (1)' )");
    expect(await warnings(db, "sched: '0 2 * * *', sql: 'DELETE FROM t'")).toEqual(['first writes t too, at the same instants']);
    expect(await warnings(db, "sched: '30 2 * * *', sql: 'DELETE FROM t'")).toEqual([]);
    expect(await warnings(db, "sched: '0 2 * * *', sql: 'SELECT * FROM t'")).toEqual([]);
    await db.run('DISABLE SCHEDULE first');
    expect(await warnings(db, "sched: '0 2 * * *', sql: 'DELETE FROM t'")).toEqual([]);
  });

  test('keys that have no effect on what is defined', async ({ db }) => {
    expect(
      await warnings(
        db,
        "sql: 'SELECT 1', resources: { cpu: 50 }, config: { a: 1 }, isolation: thread, after_state: any, jitter: 1s, catchup: all, overlap_limit: 3",
      ),
    ).toEqual([
      "'resources' has no effect on SQL, which runs inside of the database",
      "'config' has no effect on SQL",
      "'isolation' has no effect on SQL",
      "'after_state' has no effect without 'after'",
      "'jitter' has no effect without 'sched'",
      "'catchup' has no effect without 'sched'",
      "'overlap_limit' has no effect without 'overlap: queue'",
    ]);
    expect(
      await warnings(db, "sql: 'SELECT 1', sched: @daily, catchup: latest, catchup_limit: 3, retry_delays: [1m], retry_delay: 1s"),
    ).toEqual([
      "'catchup_limit' has no effect without 'catchup: all'",
      "'retry_delay' has no effect beside 'retry_delays', which names each delay",
    ]);
    expect(
      await warnings(db, "sql: 'SELECT 1', sched: @daily, catchup: all, catchup_limit: 3, overlap: queue, overlap_limit: 3, jitter: 1s"),
    ).toEqual([]);
  });

  test('a condition that does not answer true or false', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER)');
    const when = (text: string, params = '') => warnings(db, `sql: 'SELECT 1', when: $$ ${text} $$${params}`);
    const answers = (type: string) => [`'when' answers ${type}, and a fire runs only where it is true`];
    expect(await when('SELECT count(*) FROM t')).toEqual(answers('a BIGINT'));
    expect(await when('FROM t')).toEqual(answers('an INTEGER'));
    expect(await when("SELECT 'yes', true")).toEqual(answers('a VARCHAR'));
    expect(await when('WITH u AS (SELECT i FROM t WHERE i > $attempt) SELECT count(*) > 0, 5 FROM u')).toEqual([]);
    // Nobody knows yet.
    expect(await when('SELECT $flag', ', params: { flag: true }')).toEqual([]);
    expect(await when('SELECT count(*) FROM later')).toEqual([]);
  });

  test('jitter that puts fires out of their turns, and a number of retries that is given twice', async ({ db }) => {
    const outOfTurn = (jitter: string, between: string) => [
      `'jitter' (${jitter}) is longer than the time between two fires (${between}): a fire may start after the next is due`,
    ];
    expect(await warnings(db, "sql: 'SELECT 1', sched: every 5m, jitter: 10m")).toEqual(outOfTurn('10m', '5m'));
    expect(await warnings(db, "sql: 'SELECT 1', sched: '0 9,10 * * *', jitter: 2h")).toEqual(outOfTurn('2h', '1h'));
    expect(await warnings(db, "sql: 'SELECT 1', sched: every 5m, jitter: 5m")).toEqual([]);
    expect(await warnings(db, "sql: 'SELECT 1', run_at: 2027-01-01T00:00:00Z, jitter: 5m")).toEqual([]);
    expect(await warnings(db, "sql: 'SELECT 1', retry: 3 times, max_retries: 5")).toEqual([
      "'retry' has no effect on how often it is tried beside 'max_retries'",
    ]);
  });

  test('a long list of cadences says each thing once, and not more than a person reads', async ({ db }) => {
    const list = Array.from({ length: 200 }, (_, at) => `'${at % 60} 2 ${1 + (at % 20)} * 1'`).join(', ');
    const [row] = await db.rows(`UPSERT SCHEDULE w ( sql: 'SELECT 1', sched: [${list}] )`);
    expect(row?.['warnings']).toHaveLength(11);
    expect(row?.['warnings']).toContain('and 10 more warnings about its cadences');
    expect(row?.['in_words']).toMatch(/^(?:.*; and ){10}50 more$/);
    const [same] = await db.rows("UPSERT SCHEDULE w ( sql: 'SELECT 1', sched: ['0 2 * * *', '0  2 * * *', '00 02 * * *'] )");
    expect(same?.['in_words']).toBe('at 02:00 every day (UTC)');
  });

  test('a changed case of the name is a change', async ({ db }) => {
    await db.run("UPSERT SCHEDULE mixed ( sql: 'SELECT 1' )");
    expect(await db.rows("UPSERT SCHEDULE Mixed ( sql: 'SELECT 1' )")).toMatchObject([{ outcome: 'updated', changed: ['name'] }]);
  });

  test('events and notifications that nothing delivers yet', async ({ db }) => {
    expect(await warnings(db, "sql: 'SELECT 1', on_fail: [emit('a.b'), notify('ops')]")).toHaveLength(2);
  });
});

describe('lineage', () => {
  test('names the tables that a schedule and its procedure read and write', async ({ db }) => {
    await db.run(
      'CREATE TABLE orders(id INTEGER)',
      'CREATE TABLE totals(n BIGINT)',
      'UPSERT PROCEDURE sum_up() AS BEGIN DELETE FROM totals; INSERT INTO totals SELECT count(*) FROM orders; END',
      'UPSERT SCHEDULE nightly ( sched: @daily, call: sum_up )',
    );
    expect(await db.rows("SELECT table_name, access FROM cron.lineage WHERE object = 'nightly' ORDER BY ALL")).toEqual([
      { table_name: 'orders', access: 'reads' },
      { table_name: 'totals', access: 'writes' },
    ]);
    // A procedure that changes takes the lineage of its schedules with it.
    await db.run('UPSERT PROCEDURE sum_up() AS BEGIN DELETE FROM totals; END');
    expect(await db.rows("SELECT table_name, access FROM cron.lineage WHERE object = 'nightly'")).toEqual([
      { table_name: 'totals', access: 'writes' },
    ]);
    await db.run('DROP SCHEDULE nightly');
    expect(await db.rows("SELECT * FROM cron.lineage WHERE object = 'nightly'")).toEqual([]);
  });
});
