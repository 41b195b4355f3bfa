import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { CalendarReading, type CalendarRound } from '../../src/engine/calendarReading.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';
import { type Clock, systemClock } from '../../src/scheduler/clock.ts';
import { type TestDatabase, test } from '../support/database.ts';

const nothing = { unchanged: [], changed: [], failed: [] };

function round(db: TestDatabase): Promise<CalendarRound> {
  return db.engine.calendars.round(new AbortController().signal);
}

/** The start's own round is over, too. */
async function start(db: TestDatabase): Promise<void> {
  await db.engine.scheduler.start();
  await round(db);
}

/** Friday 2026-11-20 12:00 UTC. It runs every day at nine, on business days. */
async function office(db: TestDatabase): Promise<void> {
  await db.run(
    'CREATE TABLE closed (day DATE, name VARCHAR)',
    "UPSERT CALENDAR office ( holidays_from: 'SELECT day, name FROM closed' )",
    "UPSERT SCHEDULE report ( sched: '0 9 * * *', calendar: office, on_holiday: next, sql: 'SELECT 1' )",
  );
  await start(db);
}

const nextDue = (db: TestDatabase): string => new Date(db.engine.scheduler.nextDue).toISOString();

async function version(db: TestDatabase, name = 'office'): Promise<unknown> {
  return (await db.rows(`DESCRIBE CALENDAR ${name}`)).find((row) => row['property'] === 'version')?.['value'];
}

async function health(db: TestDatabase): Promise<unknown[]> {
  return db.rows(
    "SELECT schedule, condition, epoch_ms(since)::DOUBLE AS since, detail FROM cron.schedule_health WHERE condition = 'failing' ORDER BY detail",
  );
}

describe('a calendar whose days come from somewhere else, while a scheduler runs', () => {
  test('is read again after a day, and a day added to its table moves a fire', async ({ db }) => {
    await office(db);
    expect(nextDue(db)).toBe('2026-11-23T09:00:00.000Z');
    await db.run("INSERT INTO closed VALUES ('2026-11-23', 'moving')");
    db.clock.set('2026-11-21T11:59:59Z');
    expect(await round(db)).toEqual(nothing);
    expect(nextDue(db)).toBe('2026-11-23T09:00:00.000Z');
    db.clock.set('2026-11-21T12:00:00Z');
    expect(await round(db)).toEqual({ ...nothing, changed: ['office'] });
    expect(nextDue(db)).toBe('2026-11-24T09:00:00.000Z');
    expect(await version(db)).toBe('2');
    // Read now: not again before tomorrow.
    expect(await round(db)).toEqual(nothing);
    const seen =
      "SELECT strftime(scheduled_at, '%d') AS day FROM cron.upcoming(TIMESTAMPTZ '2026-11-22 00:00:00+00', TIMESTAMPTZ '2026-11-25 00:00:00+00')";
    expect(await db.rows(seen)).toEqual([{ day: '24' }]);
  });

  test('with the same days stays the same calendar, and knows when it was read', async ({ db }) => {
    await db.run('UPSERT CALENDAR plain ( holidays: [2026-12-25] )');
    await office(db);
    const connection = new Connection(await db.engine.database.connect());
    const rows = () =>
      connection.all('SELECT c.*, r.read_at FROM cuckoo_ledger.calendar c JOIN cuckoo_ledger.calendar_reading r USING (name_key)');
    const [before] = await rows();
    let changes = 0;
    db.engine.scheduler.events.on('definitions:changed', () => {
      changes += 1;
    });
    db.clock.set('2026-11-22T06:00:00Z');
    expect(await round(db)).toEqual({ ...nothing, unchanged: ['office'] });
    expect(await rows()).toEqual([{ ...before, read_at: expect.anything() }]);
    expect(String((await rows())[0]?.['read_at'])).toContain('2026-11-22 06:00:00');
    expect(changes).toBe(0);
    await connection.close();
  });

  test('that cannot be read keeps its days and is failing, until it can', async ({ db }) => {
    await office(db);
    await db.run(
      "INSERT INTO closed VALUES ('2026-11-23', 'moving')",
      "UPSERT CALENDAR office ( holidays_from: 'SELECT day, name FROM closed' )",
    );
    await db.run('UPSERT CALENDAR idle ( holidays_from: $$ SELECT day FROM closed $$ )', 'ALTER TABLE closed RENAME TO gone');
    db.clock.set('2026-11-22T06:00:00Z');
    expect(await round(db)).toEqual({ ...nothing, failed: ['idle', 'office'] });
    expect(nextDue(db)).toBe('2026-11-24T09:00:00.000Z');
    const found = (name: string, users: string) => ({
      schedule: null,
      condition: 'failing',
      since: Date.parse('2026-11-22T06:00:00Z'),
      detail: expect.stringMatching(`^calendar ${name} keeps the days of 2026-11-20, because it cannot be read \\(${users}\\): .*closed`),
    });
    expect(await health(db)).toEqual([found('idle', 'no schedule uses it'), found('office', 'used by report')]);
    // Tried in every round, and told since when.
    db.clock.set('2026-11-22T06:10:00Z');
    expect(await round(db)).toEqual({ ...nothing, failed: ['idle', 'office'] });
    expect(await health(db)).toEqual([found('idle', 'no schedule uses it'), found('office', 'used by report')]);
    expect(await db.rows('DESCRIBE CALENDAR office')).toContainEqual({ property: 'failing', value: expect.stringContaining('closed') });
    await db.run('ALTER TABLE gone RENAME TO closed');
    // Applying it again reads it too.
    await db.run("UPSERT CALENDAR office ( holidays_from: 'SELECT day, name FROM closed' )");
    expect(await health(db)).toHaveLength(1);
    expect(await round(db)).toEqual({ ...nothing, unchanged: ['idle'] });
    expect(await health(db)).toEqual([]);
    expect(await version(db)).toBe('2');
  });

  test('from a file that is missing keeps its days; what would leave a schedule without a business day is no calendar', async ({ db }) => {
    const path = join(db.folder, 'closures.ics');
    const ics = (day: string) => `BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:${day}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n`;
    writeFileSync(path, ics('20261123'));
    await office(db);
    await db.run(`UPSERT CALENDAR files ( ics: '${path}' )`);
    rmSync(path);
    await db.run("INSERT INTO closed SELECT '2026-11-01'::DATE + i::INTEGER, NULL FROM range(5000) r(i)");
    db.clock.set('2026-11-22T06:00:00Z');
    expect(await round(db)).toEqual({ ...nothing, failed: ['files', 'office'] });
    expect(await health(db)).toMatchObject([
      { detail: expect.stringMatching(/^calendar files .*closures\.ics/) },
      { detail: expect.stringMatching(/^calendar office .* would stop schedule report/) },
    ]);
    writeFileSync(path, ics('20261124'));
    await db.run('DELETE FROM closed');
    expect(await round(db)).toEqual({ ...nothing, changed: ['files'], unchanged: ['office'] });
    expect(await health(db)).toEqual([]);
  });

  test('is read at a start, when it was not for a day, and not sooner; what fails goes on failing', async ({ db }) => {
    await office(db);
    db.clock.set('2026-11-21T18:00:00Z');
    await round(db);
    await db.run("INSERT INTO closed VALUES ('2026-11-23', NULL)");
    db.clock.set('2026-11-22T17:59:00Z');
    await db.reopen();
    await start(db);
    expect(nextDue(db)).toBe('2026-11-23T09:00:00.000Z');
    db.clock.set('2026-11-22T18:00:00Z');
    await db.reopen();
    const read = new Promise<void>((resolve) => db.engine.scheduler.events.on('definitions:changed', () => resolve()));
    await db.engine.scheduler.start();
    await read;
    expect(nextDue(db)).toBe('2026-11-24T09:00:00.000Z');
    await db.run('DROP TABLE closed');
    db.clock.set('2026-11-23T18:00:00Z');
    expect(await round(db)).toEqual({ ...nothing, failed: ['office'] });
    await db.reopen();
    expect(await health(db)).toMatchObject([{ since: Date.parse('2026-11-23T18:00:00Z') }]);
    // Where no scheduler runs nothing is read.
    expect(await round(db)).toEqual(nothing);
    await db.run('DROP SCHEDULE report', 'DROP CALENDAR office');
    expect(await health(db)).toEqual([]);
  });

  test('reads what others see: a query over a temporary table of its author fails visibly', async ({ db }) => {
    await db.run("CREATE TEMP TABLE mine AS SELECT DATE '2026-12-24' AS day", "UPSERT CALENDAR office ( holidays_from: 'FROM mine' )");
    await start(db);
    db.clock.set('2026-11-22T06:00:00Z');
    expect(await round(db)).toEqual({ ...nothing, failed: ['office'] });
    expect(await health(db)).toMatchObject([{ detail: expect.stringContaining('mine') }]);
  });

  test('whose query does not end is stopped at its time limit', async ({ db }) => {
    await db.run(
      'CREATE TABLE n (i BIGINT)',
      "UPSERT CALENDAR endless ( holidays_from: $$ SELECT DATE '2027-01-01' AS day FROM n a, n b WHERE a.i + b.i < 0 $$ )",
      'INSERT INTO n SELECT unnest(range(3000000))',
    );
    await start(db);
    db.clock.set('2026-11-22T06:00:00Z');
    const { database, sql, admission, scheduler } = db.engine;
    const clock: Clock = { ...systemClock, now: () => db.clock.time, after: (ms, callback) => systemClock.after(ms / 1000, callback) };
    const reading = new CalendarReading({ database, sql, admission, scheduler, clock });
    expect(await reading.round(new AbortController().signal)).toEqual({ ...nothing, failed: ['endless'] });
    expect(await health(db)).toMatchObject([{ detail: expect.stringContaining('reading it took longer than 60 s') }]);
  });
});
