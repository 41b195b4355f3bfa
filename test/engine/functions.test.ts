import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { test } from '../support/database.ts';

describe('cron_next and its kin', () => {
  test('answer the instants of a cadence, with their optional arguments', async ({ db }) => {
    const value = async (expression: string) => Object.values((await db.rows(`SELECT (${expression})::VARCHAR AS value`))[0] ?? {})[0];
    const after = "TIMESTAMPTZ '2027-03-27 12:00:00+00'";
    expect(await value(`cron_next('30 2 * * *', ${after}, 'Europe/Berlin')`)).toBe('2027-03-28 01:30:00+00');
    expect(await value(`cron_next('30 2 * * *', ${after}, 'UTC')`)).toBe('2027-03-28 02:30:00+00');
    expect(await value(`cron_prev('30 2 * * *', ${after}, 'UTC')`)).toBe('2027-03-27 02:30:00+00');
    expect(await value(`cron_next('every 5m', ${after})`)).toBe('2027-03-27 12:05:00+00');
    expect(await value("cron_next('@daily') = TIMESTAMPTZ '2026-11-21 00:00:00+00'")).toBe('true');
    expect(await value(`cron_next_n('0 0 1 1 *', ${after}, 'UTC', 3)`)).toBe(
      "['2028-01-01 00:00:00+00', '2029-01-01 00:00:00+00', '2030-01-01 00:00:00+00']",
    );
    expect(await value(`cron_matches('0 12 * * *', ${after}, 'UTC')`)).toBe('true');
    expect(await value(`cron_matches('0 12 * * *', ${after} + INTERVAL 1 MICROSECOND, 'UTC')`)).toBe('false');
    expect(await value("cron_describe('30 3 1-7 * 1', 'Europe/Berlin')")).toMatch(/ or .*Europe\/Berlin/);
    expect(await value("cron_is_valid('0 2 * * *') AND NOT cron_is_valid('0 25 * * *') AND NOT cron_is_valid('0 0 31 2 *')")).toBe('true');
    expect(await value(`cron_next('2020-01-01T00:00:00Z', ${after}, 'UTC')`)).toBeNull();
  });

  test('answer NULL for NULL, and for instants that are none', async ({ db }) => {
    const [row] =
      await db.rows(`SELECT cron_next(NULL, now(), 'UTC') AS a, cron_next('@daily', NULL, 'UTC') AS b, cron_next('@daily', now(), NULL) AS c,
      cron_next('@daily', 'infinity'::TIMESTAMPTZ, 'UTC') AS d, cron_next_n('@daily', now(), 'UTC', NULL) AS e, cron_is_valid(NULL) AS f, cron_describe(NULL) AS g`);
    expect(Object.values(row ?? {})).toEqual([null, null, null, null, null, null, null]);
  });

  test('work over columns of any length, with a different cadence in every row', async ({ db }) => {
    const lines: string[] = [];
    for (let index = 0; index < 6000; index++) {
      const minute = index % 60;
      const hour = Math.floor(index / 60) % 24;
      const expr = index % 7 === 3 ? null : `${minute} ${hour} * * *`;
      lines.push(JSON.stringify({ id: index, expr, after: '2026-06-01T00:00:00Z', zone: index % 2 === 0 ? 'UTC' : 'Asia/Tokyo' }));
    }
    const path = join(db.folder, 'cases.jsonl');
    writeFileSync(path, lines.join('\n'));
    const rows = await db.rows(
      `SELECT id::INTEGER AS id, expr, epoch_ms(cron_next(expr, after, zone)) AS next FROM read_json('${path}', columns = {id: 'BIGINT', expr: 'VARCHAR', after: 'TIMESTAMPTZ', zone: 'VARCHAR'}) ORDER BY id`,
    );
    expect(rows).toHaveLength(6000);
    const start = Date.UTC(2026, 5, 1);
    for (const { id, expr, next } of rows) {
      const index = Number(id);
      if (index % 7 === 3) {
        expect([expr, next]).toEqual([null, null]);
        continue;
      }
      const offset = (Math.floor(index / 60) % 24) * 3_600_000 + (index % 60) * 60_000;
      // Tokyo is nine hours ahead, and has no clock changes.
      const nominal = index % 2 === 0 ? start + offset : start + offset - 9 * 3_600_000;
      const wanted = nominal > start ? nominal : nominal + 86_400_000;
      expect(Number(next), `${String(expr)} of row ${index}`).toBe(wanted);
    }
  });

  test('a wrong cadence in a column ends the query with the field and its range', async ({ db }) => {
    expect(await db.mistake("SELECT cron_next(expr, now(), 'UTC') FROM (VALUES ('0 2 * * *'), ('0 99 * * *')) v(expr)")).toMatchObject({
      message: expect.stringContaining('99'),
    });
    expect(await db.mistake("SELECT cron_next('0 2 * * *', now(), 'Nowhere/Land')")).toMatchObject({
      message: expect.stringContaining('Nowhere/Land'),
    });
    expect(await db.mistake("SELECT cron_next_n('* * * * * *', now(), 'UTC', 10000000)")).toMatchObject({
      message: expect.stringContaining('100000'),
    });
    expect(await db.rows('SELECT 1 AS still')).toEqual([{ still: 1 }]);
  });

  test('take what cron.schedules shows of a list', async ({ db }) => {
    await db.run("UPSERT SCHEDULE two ( sched: ['0 2 * * *', every 12h], sql: 'SELECT 1' )");
    const rows = await db.rows(
      "SELECT sched, cron_next(sched, TIMESTAMPTZ '2026-11-20 01:00:00+00', 'UTC')::VARCHAR AS next FROM cron.schedules",
    );
    expect(rows).toEqual([{ sched: '0 2 * * * | every 12h', next: '2026-11-20 02:00:00+00' }]);
  });

  test('can be used in views, defaults and run bodies', async ({ db }) => {
    await db.run(
      'CREATE TABLE plan(expr VARCHAR, next TIMESTAMPTZ)',
      "UPSERT SCHEDULE s ( sql: 'INSERT INTO plan SELECT ''@daily'', cron_next(''@daily'', $scheduled_at, ''UTC'')' )",
    );
    expect(await db.rows('RUN SCHEDULE s')).toMatchObject([{ state: 'succeeded' }]);
    expect(await db.rows('SELECT next::VARCHAR AS next FROM plan')).toEqual([{ next: '2026-11-21 00:00:00+00' }]);
    await db.run("CREATE VIEW nexts AS SELECT cron_next('0 2 * * *', TIMESTAMPTZ '2026-01-01 00:00:00+00', 'UTC')::VARCHAR AS next");
    const other = await db.newSession();
    expect(await (await other.execute('FROM nexts')).toArray()).toEqual([['2026-01-01 02:00:00+00']]);
  });
});

describe('the zone of functions that are given none', () => {
  test('is cron.timezone, and follows it when a change is committed', async ({ db }) => {
    const next = async () =>
      (await db.rows("SELECT cron_next('0 2 * * *', TIMESTAMPTZ '2026-11-20 12:00:00+00')::VARCHAR AS next"))[0]?.['next'];
    expect(await next()).toBe('2026-11-21 02:00:00+00');
    await db.run("SET cron.timezone = 'Asia/Tokyo'");
    expect(await next()).toBe('2026-11-20 17:00:00+00');
    await db.run('BEGIN', "SET cron.timezone = 'Europe/Berlin'", 'ROLLBACK');
    expect(await next()).toBe('2026-11-20 17:00:00+00');
    await db.run('BEGIN', 'RESET cron.timezone', 'COMMIT');
    expect(await next()).toBe('2026-11-21 02:00:00+00');
  });
});

describe('cron.upcoming and cron.timeline', () => {
  test('show the fires of enabled schedules in a stretch, in local time, with notes', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE berlin ( sched: '30 2 * * *', tz: 'Europe/Berlin', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE hourly ( sched: '0 */12 * * *', sql: 'SELECT 1' )",
      "UPSERT SCHEDULE off ( sched: '0 * * * *', sql: 'SELECT 1', enabled: false )",
      "UPSERT SCHEDULE by_hand ( sql: 'SELECT 1' )",
    );
    const rows = await db.rows("SELECT * FROM cron.upcoming(TIMESTAMPTZ '2027-03-28 00:00:00+00', TIMESTAMPTZ '2027-03-29 00:00:00+00')");
    expect(JSON.parse(JSON.stringify(rows))).toEqual([
      { schedule: 'hourly', scheduled_at: '2027-03-28T00:00:00Z', local_time: '2027-03-28 00:00:00 +00:00 UTC', zone: 'UTC', note: '' },
      {
        schedule: 'berlin',
        scheduled_at: '2027-03-28T01:30:00Z',
        local_time: '2027-03-28 03:30:00 +02:00 CEST',
        zone: 'Europe/Berlin',
        note: expect.stringContaining('clocks go forward'),
      },
      { schedule: 'hourly', scheduled_at: '2027-03-28T12:00:00Z', local_time: '2027-03-28 12:00:00 +00:00 UTC', zone: 'UTC', note: '' },
    ]);
  });

  test('take parameters and now(), and refuse a stretch without end', async ({ db }) => {
    await db.run("UPSERT SCHEDULE fast ( sched: every 1s, sql: 'SELECT 1' )");
    expect(
      await db.rows('SELECT count(*)::INTEGER AS n FROM cron.upcoming($1::TIMESTAMPTZ, $2::TIMESTAMPTZ)', [
        '2027-01-01 00:00:00+00',
        '2027-01-01 00:01:00+00',
      ]),
    ).toEqual([{ n: 60 }]);
    expect(await db.rows('SELECT count(*) >= 0 AS answered FROM cron.upcoming(now(), now() + INTERVAL 1 HOUR)')).toEqual([
      { answered: true },
    ]);
    expect(await db.mistake('SELECT * FROM cron.upcoming(now(), now() + INTERVAL 1 YEAR)')).toMatchObject({
      message: expect.stringContaining('more than 100000 times'),
    });
  });

  test('a calendar’s days are seen beforehand', async ({ db }) => {
    await db.run(
      "UPSERT CALENDAR office ( weekend: [sat, sun], holidays: ['2026-12-25'] )",
      "UPSERT SCHEDULE skips ( sched: '0 9 * * *', calendar: office, sql: 'SELECT 1' )",
      "UPSERT SCHEDULE moves ( sched: '0 9 25 * *', calendar: office, on_holiday: next, sql: 'SELECT 1' )",
    );
    const rows = await db.rows(
      "SELECT schedule, scheduled_at::VARCHAR AS at_instant, note FROM cron.upcoming(TIMESTAMPTZ '2026-12-24 00:00:00+00', TIMESTAMPTZ '2026-12-29 00:00:00+00')",
    );
    expect(rows.filter((row) => row['schedule'] === 'skips').map((row) => [row['at_instant'], row['note'] !== ''])).toEqual([
      ['2026-12-24 09:00:00+00', false],
      ['2026-12-25 09:00:00+00', true],
      ['2026-12-26 09:00:00+00', true],
      ['2026-12-27 09:00:00+00', true],
      ['2026-12-28 09:00:00+00', false],
    ]);
    expect(rows.filter((row) => row['schedule'] === 'moves')).toEqual([
      { schedule: 'moves', at_instant: '2026-12-25 09:00:00+00', note: expect.stringContaining('moved') },
    ]);
  });

  test('the timeline joins what was with what will be', async ({ db }) => {
    await db.run("UPSERT SCHEDULE s ( sched: '0 * * * *', sql: 'SELECT 1' )");
    db.clock.set('2026-11-20T13:00:00Z');
    await db.engine.scheduler.tick(db.clock.now());
    const rows = await db.rows(
      "SELECT schedule, state FROM cron.timeline(TIMESTAMPTZ '2026-11-20 12:00:00+00', TIMESTAMPTZ '2026-11-20 13:30:00+00') WHERE state IS NOT NULL",
    );
    expect(rows).toEqual([{ schedule: 's', state: 'succeeded' }]);
  });
});
