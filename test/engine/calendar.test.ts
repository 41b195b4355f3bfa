import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect } from 'vitest';
import { holdsLock } from '../../src/engine/store/duckdb/file.ts';
import { type TestDatabase, test } from '../support/database.ts';

const created = { outcome: 'created', changed: [], warnings: [] };
const unchanged = { outcome: 'unchanged', changed: [], warnings: [] };

async function described(db: TestDatabase, name: string): Promise<Record<string, unknown>> {
  return Object.fromEntries((await db.rows(`DESCRIBE CALENDAR ${name}`)).map((row) => [row['property'], row['value']]));
}

/** The first local times at which a schedule fires. */
async function fires(db: TestDatabase, schedule: string, count: number): Promise<unknown[]> {
  return (await db.rows(`EXPLAIN SCHEDULE ${schedule} NEXT ${count}`)).map((row) => row['local_time']);
}

function ics(...events: readonly string[]): string {
  return [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    ...events.flatMap((event) => ['BEGIN:VEVENT', ...event.split(' | '), 'END:VEVENT']),
    'END:VCALENDAR',
    '',
  ].join('\r\n');
}

describe('a calendar', () => {
  test('UPSERT answers created, unchanged, or updated with the keys that changed', async ({ db }) => {
    const definition = `UPSERT CALENDAR AS work ( weekend: [fri, Saturday], holidays: ['2027-01-01', 2027-12-25, { day: '2027-12-31', name: 'Silvester' }] )`;
    expect(await db.rows(definition)).toEqual([{ name: 'work', ...created }]);
    expect(await db.rows(definition)).toEqual([{ name: 'work', ...unchanged }]);
    expect(await described(db, 'WORK')).toMatchObject({
      weekend: 'Friday, Saturday',
      holidays: '3',
      next_holidays: '2027-01-01, 2027-12-25, 2027-12-31 Silvester',
      version: '1',
      used_by: 'no schedule',
    });
    expect(await db.rows(`UPSERT CALENDAR work ( weekend: [fri, Saturday], description: 'ours' )`)).toMatchObject([
      { outcome: 'updated', changed: ['description', 'holidays'] },
    ]);
    expect(await db.rows('ALTER CALENDAR Work SET ( weekend: null, description: null )')).toMatchObject([
      { name: 'work', outcome: 'updated', changed: ['weekend', 'description'] },
    ]);
    expect(await described(db, 'work')).toMatchObject({ weekend: 'Saturday, Sunday', holidays: '0', version: '3' });
  });

  test('leaves Saturday and Sunday free unless it says otherwise, and no day with weekend: []', async ({ db }) => {
    await db.run('UPSERT CALENDAR plain ()', 'UPSERT CALENDAR restless ( weekend: [] )');
    expect(await described(db, 'plain')).toMatchObject({ weekend: 'Saturday, Sunday' });
    expect(await described(db, 'restless')).toMatchObject({ weekend: 'no day' });
    expect(await db.rows('UPSERT CALENDAR idle ( weekend: [mon, tue, wed, thu, fri, sat, sun] )')).toMatchObject([
      { outcome: 'created', warnings: [expect.stringContaining('every day of the week is free')] },
    ]);
  });

  test('SHOW CREATE answers a text that, run again, changes nothing', async ({ db }) => {
    await db.run(
      'CREATE TABLE closed (day DATE, name VARCHAR)',
      `UPSERT CALENDAR "Our days" ( weekend: [sun], holidays: [{ day: 2027-05-01, name: "May's day" }, '2027-05-02'],
         holidays_from: $$ SELECT day, name FROM closed WHERE name <> 'no' $$, country: "DE-BY", tags: [a], description: 'd' )`,
    );
    const [shown] = await db.rows('SHOW CREATE CALENDAR "our DAYS"');
    const definition = String(shown?.['definition']);
    expect(await db.rows(definition)).toMatchObject([{ name: 'Our days', outcome: 'unchanged' }]);
    await db.run('DROP CALENDAR "Our days"');
    expect(await db.rows(definition)).toMatchObject([{ name: 'Our days', outcome: 'created' }]);
    expect(await db.rows('SHOW CREATE CALENDAR "Our days"')).toEqual([{ name: 'Our days', definition }]);
  });

  test('CREATE fails where the name exists, unless IF NOT EXISTS', async ({ db }) => {
    await db.run('CREATE CALENDAR c ()');
    expect(await db.mistake('CREATE CALENDAR C ( weekend: [] )')).toMatchObject({ code: 'duplicate_object', at: 'C' });
    expect(await db.rows('CREATE CALENDAR IF NOT EXISTS C ( weekend: [] )')).toEqual([{ name: 'c', ...unchanged }]);
  });

  test('definitions take part in the transaction of the session', async ({ db }) => {
    await db.run('CREATE TABLE d (day DATE)', 'BEGIN', `INSERT INTO d VALUES ('2027-02-02')`);
    await db.run(`UPSERT CALENDAR c ( holidays_from: 'SELECT day FROM d' )`, `UPSERT CALENDAR c ( holidays_from: 'FROM d' )`);
    expect(await described(db, 'c')).toMatchObject({ holidays: '1', next_holidays: '2027-02-02', version: '2' });
    const other = await db.newSession();
    expect(await db.mistake('DESCRIBE CALENDAR c', other)).toMatchObject({ code: 'undefined_object' });
    await db.run('ROLLBACK');
    expect(await db.mistake('DESCRIBE CALENDAR c')).toMatchObject({ code: 'undefined_object', hint: 'there are no calendars yet' });
    await db.run('BEGIN', 'UPSERT CALENDAR c ()', 'DROP CALENDAR c', 'UPSERT CALENDAR c ( weekend: [sun] )', 'COMMIT');
    expect(await (await other.execute('LIST CALENDARS')).toObjects()).toMatchObject([
      { name: 'c', definition: expect.stringContaining('[sun]') },
    ]);
  });

  test('DROP is refused while a schedule uses it; of several it is all or nothing', async ({ db }) => {
    await db.run('UPSERT CALENDAR a ()', 'UPSERT CALENDAR b ()', `UPSERT SCHEDULE s ( sched: @daily, sql: 'SELECT 1', calendar: B )`);
    expect(await db.mistake('DROP CALENDAR a, b')).toMatchObject({ code: 'in_use', at: 'b', message: 'calendar b is used by s' });
    expect(await db.rows('LIST CALENDARS')).toHaveLength(2);
    expect(await db.mistake('DROP CALENDAR a, bb')).toMatchObject({ code: 'undefined_object', at: 'bb' });
    expect(await db.rows('DROP CALENDAR IF EXISTS A, bb')).toEqual([
      { name: 'A', outcome: 'dropped' },
      { name: 'bb', outcome: 'absent' },
    ]);
    expect(await described(db, 'b')).toMatchObject({ used_by: 's' });
  });
});

describe('the schedules on a calendar', () => {
  test('follow it when it changes, without being defined again', async ({ db }) => {
    await db.run(
      'UPSERT CALENDAR c ( weekend: [] )',
      `UPSERT SCHEDULE s ( sched: '0 9 * * *', sql: 'SELECT 1', calendar: c, on_holiday: next )`,
    );
    const nextRun = `SELECT strftime(next_run, '%Y-%m-%d %H:%M') AS next_run FROM cron.schedules`;
    expect(await db.rows(nextRun)).toEqual([{ next_run: '2026-11-21 09:00' }]);
    await db.run(`UPSERT CALENDAR c ( holidays: ['2026-11-23'] )`);
    expect(await db.rows(nextRun)).toEqual([{ next_run: '2026-11-24 09:00' }]);
    expect((await fires(db, 's', 2)).map(String)).toEqual([
      expect.stringContaining('2026-11-24 09:00'),
      expect.stringContaining('2026-11-25 09:00'),
    ]);
  });

  test('refuse a change that would leave them without a business day, and the calendar stays', async ({ db }) => {
    await db.run(
      'UPSERT CALENDAR c ()',
      `UPSERT SCHEDULE moved ( sched: @daily, sql: 'SELECT 1', calendar: c, on_holiday: previous )`,
      `UPSERT SCHEDULE skipping ( sched: @daily, sql: 'SELECT 1', calendar: c )`,
    );
    const all = 'weekend: [mon, tue, wed, thu, fri, sat, sun]';
    expect(await db.mistake(`UPSERT CALENDAR c ( ${all} )`)).toMatchObject({
      code: 'never_fires',
      message: expect.stringContaining('schedule moved'),
      at: 'c',
    });
    expect(await described(db, 'c')).toMatchObject({ weekend: 'Saturday, Sunday', version: '1' });
    await db.run('DROP SCHEDULE moved', `UPSERT SCHEDULE words ( sched: business days at 18:00, sql: 'SELECT 1', calendar: c )`);
    expect(await db.mistake(`ALTER CALENDAR c SET ( ${all} )`)).toMatchObject({ message: expect.stringContaining('schedule words') });
    await db.run('DROP SCHEDULE words');
    expect(await db.rows(`ALTER CALENDAR c SET ( ${all} )`)).toMatchObject([{ outcome: 'updated', changed: ['weekend'] }]);
  });
});

describe('holidays_from', () => {
  test('is read when the calendar is defined, and again when it is applied again', async ({ db }) => {
    await db.run(`CREATE TABLE closed AS SELECT DATE '2027-03-03' AS day, 'Doll''s day' AS name`);
    const definition = `UPSERT CALENDAR c ( holidays_from: 'SELECT day, name FROM closed ORDER BY random()' )`;
    expect(await db.rows(definition)).toEqual([{ name: 'c', ...created }]);
    expect(await described(db, 'c')).toMatchObject({ next_holidays: "2027-03-03 Doll's day" });
    await db.run(`INSERT INTO closed VALUES ('2027-04-04', NULL), ('2027-04-04', 'again')`);
    expect(await described(db, 'c')).toMatchObject({ holidays: '1' });
    expect(await db.rows(definition)).toEqual([{ name: 'c', outcome: 'updated', changed: ['holidays_from'], warnings: [] }]);
    expect(await db.rows(definition)).toEqual([{ name: 'c', ...unchanged }]);
    expect(await described(db, 'c')).toMatchObject({
      holidays: '2',
      next_holidays: "2027-03-03 Doll's day, 2027-04-04 again",
      version: '2',
    });
    await db.run(`UPDATE closed SET name = 'Easter' WHERE name IS NULL OR name = 'again'`);
    expect(await db.rows(definition)).toMatchObject([{ outcome: 'updated', changed: ['holidays_from'] }]);
  });

  test('says what it leaves out', async ({ db }) => {
    await db.run('CREATE TABLE closed (day DATE)');
    expect(await db.rows(`UPSERT CALENDAR c ( holidays_from: 'SELECT day FROM closed' )`)).toMatchObject([
      { warnings: ['holidays_from: the query answers no day'] },
    ]);
    await db.run(`INSERT INTO closed VALUES (NULL), ('infinity'), ('2027-01-01'), ('44-03-15 (BC)')`);
    expect(await db.rows(`UPSERT CALENDAR c ( holidays_from: 'SELECT day FROM closed;' )`)).toMatchObject([
      { warnings: ['holidays_from: 3 rows hold no day and are left out'] },
    ]);
    expect(await described(db, 'c')).toMatchObject({ holidays: '1' });
  });

  test('is one query that answers days, and nothing else', async ({ db }) => {
    await db.run(`CREATE TABLE closed AS SELECT DATE '2027-03-03' AS day, 'x' AS name, 1 AS n, TIMESTAMP '2027-03-03' AS t`);
    const cases: readonly (readonly [query: string, expected: object])[] = [
      ['SELECT dy FROM closed', { code: 'undefined_column', at: 'dy', hint: expect.stringContaining('day') }],
      ['SELECT day FROM clsed', { code: 'undefined_table', at: 'clsed' }],
      [
        'SELECT name FROM closed',
        { code: 'wrong_type', message: expect.stringContaining('VARCHAR'), hint: expect.stringContaining('::DATE') },
      ],
      ['SELECT t FROM closed', { code: 'wrong_type', message: expect.stringContaining('TIMESTAMP') }],
      ['SELECT day, n FROM closed', { code: 'wrong_type', message: expect.stringContaining('INTEGER') }],
      ['SELECT day, name, n FROM closed', { code: 'wrong_type', message: expect.stringContaining('3 columns') }],
      ['SELECT day FROM closed; SELECT 1', { code: 'invalid_value', at: 'SELECT 1' }],
      ['SELECT day FROM closed WHERE day > $scheduled_at', { code: 'undefined_parameter', at: '$scheduled_at' }],
      ['DELETE FROM closed', { code: 'forbidden', at: 'DELETE FROM closed' }],
      ['DROP TABLE closed', { code: 'forbidden' }],
      ['COMMIT', { code: 'forbidden', at: 'COMMIT' }],
      ['DROP SCHEDULE s', { code: 'forbidden' }],
      ['', { code: 'invalid_value' }],
      [`SELECT ''`, { code: 'unterminated' }],
      ['SELECT day FROM', { code: 'syntax_error' }],
      ['selec day FROM closed', { code: 'syntax_error', at: 'selec' }],
      ["SELECT DATE ''2000-01-01'' + i::INTEGER FROM range(20001) AS r(i)", { code: 'too_large' }],
    ];
    for (const [query, expected] of cases) {
      expect({ query, ...(await db.mistake(`UPSERT CALENDAR wrong ( holidays_from: '${query}' )`)) }).toMatchObject({ query, ...expected });
    }
    expect(await db.rows('LIST CALENDARS')).toEqual([]);
    expect(await db.rows('FROM closed')).toHaveLength(1);
  });

  test('a failing query keeps the old days', async ({ db }) => {
    const definition = `UPSERT CALENDAR c ( holidays_from: 'FROM closed' )`;
    await db.run(`CREATE TABLE closed AS SELECT DATE '2027-03-03' AS day`, definition, 'ALTER TABLE closed RENAME TO gone');
    expect(await db.mistake(definition)).toMatchObject({ code: 'undefined_table', at: 'closed' });
    expect(await db.mistake('ALTER CALENDAR c SET ( weekend: [sun] )')).toMatchObject({ code: 'undefined_table', at: 'c' });
    expect(await described(db, 'c')).toMatchObject({ next_holidays: '2027-03-03', weekend: 'Saturday, Sunday', version: '1' });
  });
});

describe('ics', () => {
  test('reads the days of a file, from where the process stands, and again when it is applied again', async ({ db }) => {
    const file = join(db.folder, 'closures.ics');
    writeFileSync(file, ics('DTSTART;VALUE=DATE:20270104 | DTEND;VALUE=DATE:20270106 | SUMMARY:Stock taking'));
    const definition = `UPSERT CALENDAR c ( ics: '${relative(process.cwd(), file)}' )`;
    expect(await db.rows(definition)).toEqual([{ name: 'c', ...created }]);
    expect(await described(db, 'c')).toMatchObject({ next_holidays: '2027-01-04 Stock taking, 2027-01-05 Stock taking' });
    expect(await db.rows(definition)).toEqual([{ name: 'c', ...unchanged }]);
    writeFileSync(file, ics('DTSTART;VALUE=DATE:20270208 | SUMMARY:Moving | RRULE:FREQ=YEARLY'));
    expect(await db.rows(definition)).toMatchObject([{ outcome: 'updated', changed: ['ics'] }]);
    expect(await described(db, 'c')).toMatchObject({ next_holidays: expect.stringContaining('2027-02-08 Moving, 2028-02-08 Moving') });
    // Years come and go by themselves; within one nothing changes.
    db.clock.set('2026-12-31T23:00:00Z');
    expect(await db.rows(definition)).toMatchObject([unchanged]);
    writeFileSync(file, ics());
    expect(await db.rows(definition)).toMatchObject([{ outcome: 'updated', warnings: [expect.stringContaining('no event')] }]);
  });

  test('a file that is no calendar is refused at its key, and an open database is not even read', async ({ db }) => {
    const text = join(db.folder, 'notes.ics');
    writeFileSync(text, 'remember the milk');
    const cut = join(db.folder, 'cut.ics');
    writeFileSync(cut, 'BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20271345\nEND:VEVENT\nEND:VCALENDAR\n');
    const large = join(db.folder, 'large.ics');
    writeFileSync(large, ' '.repeat(10_000_001));
    mkdirSync(join(db.folder, 'folder.ics'));
    const cases: readonly (readonly [path: string, expected: object])[] = [
      [join(db.folder, 'none.ics'), { code: 'file_not_found' }],
      ['none.ics', { code: 'file_not_found', hint: expect.stringContaining(process.cwd()) }],
      [join(text, 'deeper.ics'), { code: 'file_not_found' }],
      [join(db.folder, 'folder.ics'), { code: 'file_not_found', message: expect.stringContaining('folder') }],
      [text, { code: 'invalid_value', message: expect.stringContaining('notes.ics: ') }],
      [cut, { code: 'invalid_value', message: expect.stringContaining('line 3') }],
      [large, { code: 'too_large' }],
      [db.path, { code: 'forbidden', message: expect.stringContaining('open database') }],
      ['/dev/null', { code: 'file_not_found' }],
    ];
    for (const [path, expected] of cases) {
      const mistake = await db.mistake(`UPSERT CALENDAR wrong ( ics: '${path}' )`);
      expect({ path, ...mistake }).toMatchObject({ path, at: `'${path}'`, ...expected });
    }
    expect(holdsLock(db.path)).not.toBe(false);
  });
});

describe('country', () => {
  test('reads public holidays, also of a part of it, with their names', async ({ db }) => {
    expect(await db.rows(`UPSERT CALENDAR tokyo ( country: 'JP', holidays: ['2026-12-30'] )`)).toEqual([{ name: 'tokyo', ...created }]);
    expect(await described(db, 'tokyo')).toMatchObject({
      country: 'JP',
      next_holidays: expect.stringMatching(/^2026-11-23 .+, 2026-12-30, 2027-01-01 /),
    });
    await db.run(`UPSERT CALENDAR munich ( country: 'de-by' )`, `UPSERT CALENDAR berlin ( country: 'DE-BE' )`);
    const holidays = async (name: string) => Number((await described(db, name))['holidays']);
    expect(await holidays('munich')).toBeGreaterThan(await holidays('berlin'));
    // What is stored reaches some years ahead: applied again a year later it has one more.
    db.clock.set('2027-06-01T00:00:00Z');
    expect(await db.rows(`UPSERT CALENDAR berlin ( country: 'DE-BE' )`)).toMatchObject([{ outcome: 'updated', changed: ['country'] }]);
    expect(await db.rows(`UPSERT CALENDAR berlin ( country: 'DE-BE' )`)).toMatchObject([unchanged]);
  });

  test('an unknown one is refused with what may be meant', async ({ db }) => {
    expect(await db.mistake(`UPSERT CALENDAR c ( country: germany )`)).toMatchObject({
      code: 'invalid_value',
      at: 'germany',
      hint: "did you mean 'DE'?",
    });
    expect(await db.mistake(`UPSERT CALENDAR c ( country: 'DE-XX' )`)).toMatchObject({
      code: 'invalid_value',
      at: 'DE-XX',
      hint: expect.stringContaining('BY'),
    });
  });
});

test('a mistake in a calendar names its place and the mend', async ({ db }) => {
  const cases: readonly (readonly [definition: string, expected: object])[] = [
    ['weekend: [satt]', { code: 'invalid_value', at: 'satt', hint: expect.stringContaining('did you mean sat?') }],
    ['weekend: sat', { code: 'wrong_type', at: 'sat' }],
    [`holidays: ['2027-02-30']`, { code: 'invalid_value', at: '2027-02-30' }],
    [`holidays: ['1.1.2027']`, { code: 'invalid_value', at: '1.1.2027', hint: expect.stringContaining('2027-01-01') }],
    ['holidays: [2027-02-03T10:00:00Z]', { code: 'wrong_type', at: '2027-02-03T10:00:00Z', hint: "write '2027-02-03'" }],
    [`holidays: [{ name: 'x' }]`, { code: 'missing_key', at: `{ name: 'x' }` }],
    [`holidays: [{ day: '2027-01-01', nam: 'x' }]`, { code: 'unknown_key', at: 'nam' }],
    [`holiday: ['2027-01-01']`, { code: 'unknown_key', at: 'holiday', hint: "did you mean 'holidays'?" }],
    [`ics: ''`, { code: 'invalid_value', at: `''`, message: "'ics' is empty" }],
    [`country: ' '`, { code: 'invalid_value', at: `' '`, message: "'country' is empty" }],
    ['holidays: [xmas]', { code: 'wrong_type', at: 'xmas' }],
  ];
  for (const [definition, expected] of cases) {
    expect({ definition, ...(await db.mistake(`UPSERT CALENDAR wrong ( ${definition} )`)) }).toMatchObject({ definition, ...expected });
  }
  expect(await db.rows(`UPSERT CALENDAR twice ( holidays: ['2027-01-01', 2027-1-1] )`)).toMatchObject([
    { outcome: 'created', warnings: ["2027-01-01 stands in 'holidays' twice"] },
  ]);
});
