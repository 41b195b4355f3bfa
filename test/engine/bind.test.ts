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
    ["call: p, params: { n: now('x') }", { code: expect.any(String), hint: expect.stringContaining('env') }],
  ];

  // Refused definitions leave nothing behind, so one database serves them all.
  const db = new TestDatabase();
  beforeAll(async () => {
    await db.open();
    await db.run(
      'UPSERT PROCEDURE p(n INTEGER, d DATE DEFAULT current_date) AS BEGIN SELECT $n; END',
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

  test('what this version cannot carry out yet', async ({ db }) => {
    expect(await warnings(db, "command: ['true']")).toEqual(['this version cannot run a command yet: the definition is kept']);
    await db.run("UPSERT SCHEDULE parent ( sql: 'SELECT 1' )");
    expect(await warnings(db, "after: [parent], sql: 'SELECT 1'")).toEqual([expect.stringContaining("'after'")]);
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
