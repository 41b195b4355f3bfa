import { describe, expect } from 'vitest';
import { test } from '../../support/database.ts';

const dailyBackup = `UPSERT SCHEDULE AS daily_backup (
  sched: "0 2 * * *",     -- Daily at 2 AM
  exe: "procedure",       -- Execute procedure
  call: "backup_procedure" -- Procedure name
)`;
const heartbeat = "UPSERT SCHEDULE heartbeat ( sched: every 5s, sql: 'INSERT INTO beats SELECT now()' )";

describe('the statements of the language page', () => {
  test('run as they stand once the procedure exists; before, the error names the missing statement', async ({ db }) => {
    expect(await db.mistake(dailyBackup)).toEqual({
      code: 'undefined_object',
      message: 'procedure backup_procedure does not exist',
      hint: 'create it first: UPSERT PROCEDURE AS backup_procedure() AS BEGIN .. END;',
      at: '"backup_procedure"',
    });
    await db.run('CREATE TABLE beats(beat TIMESTAMPTZ)', 'UPSERT PROCEDURE AS backup_procedure() AS BEGIN SELECT 1; END');
    const [backup] = await db.rows(dailyBackup);
    expect(JSON.parse(JSON.stringify(backup))).toEqual({
      name: 'daily_backup',
      outcome: 'created',
      changed: [],
      next_run: '2026-11-21T02:00:00Z',
      in_words: 'at 02:00 every day (UTC)',
      warnings: [],
    });
    const [beat] = await db.rows(heartbeat);
    expect(beat).toMatchObject({ name: 'heartbeat', outcome: 'created', in_words: 'every 5 seconds (UTC)' });
  });
});

describe('UPSERT', () => {
  test('answers created, then unchanged however the same is spelled, then updated with the changed keys', async ({ db }) => {
    const upsert = async (text: string) => (await db.rows(text))[0];
    expect(await upsert("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1', timeout: 90m )")).toMatchObject({ outcome: 'created' });
    expect(
      await upsert('upsert schedule as A ( SQL: $$SELECT 1$$, timeout: \'90 minutes\', cron: "0 2 * * *", )'.replace(' A ', ' a ')),
    ).toMatchObject({
      outcome: 'unchanged',
      changed: [],
    });
    expect(await upsert("UPSERT SCHEDULE a ( sched: '0 3 * * *', sql: 'SELECT 1', description: 'x' )")).toMatchObject({
      outcome: 'updated',
      changed: ['sched', 'description', 'timeout'],
    });
  });

  test('keeps `enabled` where the definition leaves it out, and resets every other key', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1', priority: high, enabled: false )");
    await db.run("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' )");
    const [row] = await db.rows("SELECT enabled, priority FROM cron.schedules WHERE name = 'a'");
    expect(row).toEqual({ enabled: false, priority: 'normal' });
  });

  test('moves what counts as missed only when a timing key changed', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' )");
    const from = async () => (await db.rows('SELECT effective_from FROM cuckoo_ledger.schedule'))[0]?.['effective_from']?.toString();
    const first = await from();
    db.clock.set('2026-11-20T13:00:00Z');
    await db.run("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 2' )");
    expect(await from()).toBe(first);
    await db.run("UPSERT SCHEDULE a ( sched: '0 3 * * *', sql: 'SELECT 2' )");
    expect(await from()).toBe('2026-11-20 13:00:00+00');
    db.clock.set('2026-11-20T14:00:00Z');
    await db.run('DISABLE SCHEDULE a', 'ENABLE SCHEDULE a');
    expect(await from()).toBe('2026-11-20 14:00:00+00');
  });

  test('keeps every version, with who changed what', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' )",
      "ALTER SCHEDULE a SET ( sched: '0 3 * * *' )",
      'DROP SCHEDULE a',
    );
    const versions = await db.rows(
      'SELECT version, changed, changed_by, definition IS NULL AS gone FROM cron.schedule_versions ORDER BY version',
    );
    expect(versions).toEqual([
      { version: 1n, changed: ['created'], changed_by: 'tester', gone: false },
      { version: 2n, changed: ['sched'], changed_by: 'tester', gone: false },
      { version: 3n, changed: ['dropped'], changed_by: 'tester', gone: true },
    ]);
  });

  test('never gives the number of a dropped schedule to another, not after a restart either', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )", "UPSERT SCHEDULE b ( sql: 'SELECT 1' )", 'DROP SCHEDULE b');
    await db.reopen();
    await db.run("UPSERT SCHEDULE b ( sql: 'SELECT 1' )");
    const ids = await db.rows('SELECT DISTINCT schedule_id::INTEGER AS id FROM cuckoo_ledger.schedule_version ORDER BY 1');
    expect(ids).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
  });

  test('LIKE takes another definition and lays its own keys over it', async ({ db }) => {
    await db.run(
      "UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1', priority: high, tags: [x, y] )",
      "UPSERT SCHEDULE b LIKE a ( command: ['true'], tags: [z] )",
    );
    const [row] = await db.rows("SELECT sched, exe, call, priority, tags FROM cron.schedules WHERE name = 'b'");
    expect(row).toEqual({ sched: '0 2 * * *', exe: 'command', call: '["true"]', priority: 'high', tags: ['z'] });
    expect(await db.mistake('UPSERT SCHEDULE c LIKE nobody ( queue: low )')).toMatchObject({ code: 'undefined_object', at: 'nobody' });
  });
});

describe('CREATE and ALTER', () => {
  test('CREATE refuses a name that exists; IF NOT EXISTS leaves it as it is; OR REPLACE is UPSERT', async ({ db }) => {
    await db.run("CREATE SCHEDULE a ( sql: 'SELECT 1' )");
    expect(await db.mistake("CREATE SCHEDULE A ( sql: 'SELECT 2' )")).toMatchObject({ code: 'duplicate_object', at: 'A' });
    expect((await db.rows("CREATE SCHEDULE IF NOT EXISTS a ( sql: 'SELECT 2' )"))[0]).toMatchObject({ outcome: 'unchanged' });
    expect((await db.rows("CREATE OR REPLACE SCHEDULE a ( sql: 'SELECT 2' )"))[0]).toMatchObject({ outcome: 'updated', changed: ['sql'] });
  });

  test('ALTER replaces whole keys, and null resets one', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1', tags: [x, y], timeout: 5s )");
    expect((await db.rows('ALTER SCHEDULE a SET ( tags: [z], timeout: null )'))[0]).toMatchObject({
      outcome: 'updated',
      changed: ['tags', 'timeout'],
    });
    expect((await db.rows('SELECT tags FROM cron.schedules'))[0]).toEqual({ tags: ['z'] });
    await db.run('DISABLE SCHEDULE a');
    expect((await db.rows('ALTER SCHEDULE a SET ( enabled: null )'))[0]).toMatchObject({ outcome: 'updated', changed: ['enabled'] });
    expect((await db.rows("ALTER SCHEDULE a SET ( command: ['true'] )"))[0]).toMatchObject({ changed: ['command', 'sql'] });
    expect(await db.mistake('ALTER SCHEDULE b SET ( tags: [z] )')).toMatchObject({
      code: 'undefined_object',
      hint: 'did you mean a? LIST SCHEDULES shows what there is',
    });
  });
});

describe('names', () => {
  test('are kept as written and compared without case; quotes take any text', async ({ db }) => {
    await db.run(`UPSERT SCHEDULE "Nightly load; it's ""fine""" ( sql: 'SELECT 1' )`, "UPSERT SCHEDULE Mixed ( sql: 'SELECT 1' )");
    expect(await db.rows('SELECT name FROM cron.schedules ORDER BY name')).toEqual([
      { name: 'Mixed' },
      { name: `Nightly load; it's "fine"` },
    ]);
    await db.run('disable schedule MIXED', `DROP SCHEDULE "nightly LOAD; it's ""fine"""`);
    expect(await db.rows('SELECT name, enabled FROM cron.schedules')).toEqual([{ name: 'Mixed', enabled: false }]);
  });

  test('SHOW CREATE answers text that, run again, changes nothing; in a new file it makes the same', async ({ db }) => {
    const definitions = [
      "UPSERT SCHEDULE plain ( sched: every 5m, sql: 'SELECT 1' )",
      `UPSERT SCHEDULE "quo""ted" ( sched: ['0 2 * * *', every 1h from '2027-01-01 00:15'], command: ['sh', '-c', 'echo "it''s"'], tz: 'Europe/Berlin', retry_delays: [1m, 5m, 30m], enabled: false, config: { cwd: '.', env: { A: 'x' } }, keep: { succeeded: 30d } )`,
      "UPSERT SCHEDULE once ( run_at: 2027-09-20T02:00:00Z, handler: './jobs/a.js', params: { day: sql('current_date'), key: env('SECRET') }, on_fail: [notify('ops')] )",
    ];
    for (const definition of definitions) await db.run(definition);
    for (const { name } of await db.rows('SELECT name FROM cron.schedules')) {
      const quoted = `"${String(name).replaceAll('"', '""')}"`;
      const [shown] = await db.rows(`SHOW CREATE SCHEDULE ${quoted}`);
      expect((await db.rows(String(shown?.['definition'])))[0]).toMatchObject({ name, outcome: 'unchanged' });
      const before = await db.rows(`SELECT * EXCLUDE (created_at, updated_at, version) FROM cron.schedules WHERE name = $1`, [name]);
      await db.run(`DROP SCHEDULE ${quoted}`, String(shown?.['definition']));
      expect(await db.rows(`SELECT * EXCLUDE (created_at, updated_at, version) FROM cron.schedules WHERE name = $1`, [name])).toEqual(
        before,
      );
    }
  });

  test('a secret is stored by its name, never by its value', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( command: ['curl'], params: { url: env('SECRET') } )");
    const everything = JSON.stringify(await db.rows('SELECT COLUMNS(*)::VARCHAR FROM cuckoo_ledger.schedule'));
    expect(everything).toContain('SECRET');
    expect(everything).not.toContain('hidden');
  });
});

describe('DROP, ENABLE, DISABLE', () => {
  test('DROP of several is all or nothing; IF EXISTS says what was absent', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )", "UPSERT SCHEDULE b ( sql: 'SELECT 1' )");
    expect(await db.mistake('DROP SCHEDULE a, nobody, b')).toMatchObject({ code: 'undefined_object', at: 'nobody' });
    expect(await db.rows('LIST SCHEDULES')).toHaveLength(2);
    expect(await db.rows('DROP SCHEDULE IF EXISTS a, nobody, b')).toEqual([
      { name: 'a', outcome: 'dropped' },
      { name: 'nobody', outcome: 'absent' },
      { name: 'b', outcome: 'dropped' },
    ]);
    expect(await db.rows('LIST SCHEDULES')).toEqual([]);
  });

  test('what others follow cannot be dropped without them', async ({ db }) => {
    await db.run("UPSERT SCHEDULE parent ( sql: 'SELECT 1' )", "UPSERT SCHEDULE child ( after: [parent], sql: 'SELECT 1' )");
    expect(await db.mistake('DROP SCHEDULE parent')).toMatchObject({
      code: 'in_use',
      message: 'schedule parent is used by child',
      at: 'parent',
    });
    expect(await db.rows('DROP SCHEDULE parent, child')).toHaveLength(2);
  });

  test('ENABLE and DISABLE take several names or ALL, and say what did not change', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )", "UPSERT SCHEDULE b ( sql: 'SELECT 1', enabled: false )");
    expect(await db.rows('DISABLE SCHEDULE a, b')).toEqual([
      { name: 'a', outcome: 'disabled' },
      { name: 'b', outcome: 'unchanged' },
    ]);
    expect(await db.rows('RESUME SCHEDULE ALL')).toEqual([
      { name: 'a', outcome: 'enabled' },
      { name: 'b', outcome: 'enabled' },
    ]);
  });
});

describe('LIST', () => {
  test('names the columns that matter most, all of which there are', async ({ db }) => {
    const relations = [
      'SCHEDULES',
      'PROCEDURES',
      'PIPELINES',
      'QUEUES',
      'SOURCES',
      'RUNS',
      'DEAD LETTERS',
      'SCHEDULE_VERSIONS',
      'STEP_RUNS',
      'RUN_LOGS',
    ];
    for (const relation of relations) {
      const { columns, prominent } = await db.result(`LIST ${relation}`);
      expect(prominent.length, relation).toBeGreaterThan(2);
      expect(columns.map((column) => column.name)).toEqual(expect.arrayContaining([...prominent]));
    }
    expect((await db.result('SHOW SCHEDULES')).prominent.slice(0, 3)).toEqual(['name', 'status', 'next_run']);
    expect((await db.result('SELECT * FROM cron.schedules')).prominent).toEqual([]);
  });

  test('is a SELECT with its tail, and LIKE looks at the name without case', async ({ db }) => {
    for (const name of ['nightly_a', 'nightly_b', 'hourly'])
      await db.run(`UPSERT SCHEDULE ${name} ( sched: '0 2 * * *', sql: 'SELECT 1' )`);
    const names = async (list: string) => (await db.rows(list)).map((row) => row['name']);
    expect(await names('LIST SCHEDULES')).toEqual(['hourly', 'nightly_a', 'nightly_b']);
    expect(await names("LIST SCHEDULES LIKE 'NIGHT%' ORDER BY name DESC")).toEqual(['nightly_b', 'nightly_a']);
    expect(await names('LIST SCHEDULES WHERE enabled -- a comment\n LIMIT 1 OFFSET 1')).toEqual(['nightly_a']);
    expect(await names("SHOW SCHEDULES LIKE '%ly'")).toEqual(['hourly']);
  });

  test('points at the mistake in its tail', async ({ db }) => {
    expect(await db.mistake("LIST SCHEDULES LIKE 'x' WHERE enabled AND nam = 1 LIMIT 2")).toMatchObject({
      code: 'undefined_column',
      at: 'nam',
    });
    expect(await db.mistake('LIST SCHEDULES ORDER BY nxt_run')).toMatchObject({ code: 'undefined_column', at: 'nxt_run' });
  });

  test("SHOW SCHEDULES is DuckDB's where a table of that name is visible", async ({ db }) => {
    await db.run('CREATE TABLE schedules(mine INTEGER)');
    expect(await db.rows('SHOW SCHEDULES')).toMatchObject([{ column_name: 'mine' }]);
  });

  test('state takes the words of other systems too', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )", 'RUN SCHEDULE a');
    for (const word of ['succeeded', 'success', 'completed']) expect(await db.rows(`LIST RUNS WHERE state = '${word}'`)).toHaveLength(1);
    expect(await db.rows("LIST RUNS WHERE state NOT IN ('success', 'timeout')")).toHaveLength(0);
    expect(await db.rows("LIST RUNS WHERE schedule = 'success'")).toHaveLength(0);
  });
});

describe('a definition takes part in the session’s transaction', () => {
  test('after BEGIN, UPSERT, ROLLBACK nothing happened; others hear only after commit', async ({ db }) => {
    const other = await db.newSession();
    const seen = async () => (await (await other.execute('LIST SCHEDULES')).toArray()).length;
    await db.run('BEGIN', "UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' )");
    expect(await db.rows('SELECT name, status FROM cron.schedules')).toEqual([{ name: 'a', status: 'scheduled' }]);
    expect(await seen()).toBe(0);
    await db.run('ROLLBACK');
    expect(await db.rows('LIST SCHEDULES')).toEqual([]);
    await db.run('BEGIN', "UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1' )", 'COMMIT');
    expect(await seen()).toBe(1);
  });

  test('a refused definition leaves the transaction as it was', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER)', 'BEGIN', 'INSERT INTO t VALUES (1)');
    await db.mistake("UPSERT SCHEDULE a ( sched: '99 2 * * *', sql: 'SELECT 1' )");
    await db.mistake('UPSERT SCHEDULE a ( call: nobody )');
    await db.run("UPSERT SCHEDULE a ( sched: '9 2 * * *', sql: 'SELECT 1' )", 'COMMIT');
    expect(await db.rows('SELECT count(*)::INTEGER AS n FROM t')).toEqual([{ n: 1 }]);
    expect(await db.rows('LIST SCHEDULES')).toHaveLength(1);
  });

  test('in an aborted transaction every statement says so, and COMMIT says that it rolled back', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER PRIMARY KEY)', 'BEGIN', 'INSERT INTO t VALUES (1)');
    expect(await db.mistake('INSERT INTO t VALUES (1)')).toMatchObject({ code: 'constraint' });
    expect(db.session.transaction).toBe('aborted');
    expect(await db.mistake("UPSERT SCHEDULE a ( sql: 'SELECT 1' )")).toMatchObject({
      code: 'aborted_transaction',
      hint: 'write ROLLBACK; and begin again',
    });
    const result = await db.result('COMMIT');
    expect(result.warnings).toMatchObject([{ message: 'rolled back: an error before had aborted the transaction' }]);
    expect(await db.rows('SELECT count(*)::INTEGER AS n FROM t')).toEqual([{ n: 0 }]);
  });

  test('sessions that define one name at the same moment take turns', async ({ db }) => {
    const sessions = await Promise.all([1, 2, 3, 4].map(() => db.newSession()));
    const upsert = async (index: number) => {
      const result = await sessions[index]!.execute(`UPSERT SCHEDULE a ( sql: 'SELECT ${index}', description: 'by ${index}' )`);
      return (await result.toObjects())[0]?.['outcome'];
    };
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.all([0, 1, 2, 3].map(upsert));
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(round === 0 ? 1 : 0);
    }
    expect(await db.rows('LIST SCHEDULES')).toHaveLength(1);
    const versions = await db.rows('SELECT count(*) = count(DISTINCT version) AS each_once FROM cron.schedule_versions');
    expect(versions).toEqual([{ each_once: true }]);
  });

  test('two transactions that would leave a schedule without what it uses, or a cycle, cannot both commit', async ({ db }) => {
    const other = await db.newSession();
    const both = async (mine: string, theirs: string) => {
      await db.run('BEGIN');
      await other.execute('BEGIN');
      const outcomes: string[] = [];
      for (const [session, text] of [
        [db.session, mine],
        [other, theirs],
      ] as const) {
        const outcome = await session
          .execute(text)
          .then(() => session.execute('COMMIT'))
          .then(
            () => 'kept',
            (error) => error.code,
          );
        outcomes.push(outcome);
        if (session.transaction !== 'none') await session.execute('ROLLBACK');
      }
      return outcomes;
    };
    // The other's snapshot is taken before mine commits.
    const atOnce = async (mine: string, theirs: string) => {
      await db.run('BEGIN', mine);
      await other.execute('BEGIN');
      const theirsOutcome = await other.execute(theirs).then(
        () => 'kept',
        (error) => error.code,
      );
      await db.run('COMMIT');
      const committed =
        other.transaction === 'open'
          ? await other.execute('COMMIT').then(
              () => theirsOutcome,
              (error) => error.code,
            )
          : theirsOutcome;
      if (other.transaction !== 'none') await other.execute('ROLLBACK');
      return committed;
    };
    await db.run('UPSERT PROCEDURE p() AS BEGIN SELECT 1; END', 'UPSERT QUEUE q ( weight: 2 )');
    expect(await atOnce('DROP PROCEDURE p', 'UPSERT SCHEDULE uses ( call: p )')).toBe('conflict');
    expect(await atOnce('DROP QUEUE q', "UPSERT SCHEDULE uses ( queue: q, sql: 'SELECT 1' )")).toBe('conflict');
    await db.run("UPSERT SCHEDULE c1 ( sql: 'SELECT 1' )", "UPSERT SCHEDULE c2 ( sql: 'SELECT 1' )");
    expect(await atOnce("UPSERT SCHEDULE c1 ( sql: 'SELECT 1', after: c2 )", "UPSERT SCHEDULE c2 ( sql: 'SELECT 1', after: c1 )")).toBe(
      'conflict',
    );
    expect(await both("UPSERT SCHEDULE x ( sql: 'SELECT 1' )", "UPSERT SCHEDULE y ( sql: 'SELECT 1' )")).toEqual(['kept', 'kept']);
    expect(await atOnce("UPSERT SCHEDULE new ( sql: 'SELECT 1' )", "UPSERT SCHEDULE new ( sql: 'SELECT 2' )")).toBe('conflict');
  });

  test('what cannot be rolled back is refused in a transaction block', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sql: 'SELECT 1' )", 'BEGIN');
    for (const statement of ['RUN SCHEDULE a', `BACKUP TO '${db.folder}/b.duckdb'`, 'PAUSE QUEUE low', 'PAUSE SCHEDULE a']) {
      expect(await db.mistake(statement)).toMatchObject({ code: 'in_transaction', hint: 'write COMMIT; or ROLLBACK; first' });
    }
  });
});

describe('jitter', () => {
  test('is told by EXPLAIN, and no fire lies before its definition', async ({ db }) => {
    const [row] = await db.rows("UPSERT SCHEDULE j ( sched: every 1h, jitter: 59m, sql: 'SELECT 1' )");
    const [first] = await db.rows('EXPLAIN SCHEDULE j NEXT 1');
    expect(first?.['scheduled_at']?.toString()).toBe('2026-11-20 13:00:00+00');
    expect(first?.['note']).toMatch(/^starts at 13:\d\d:\d\d \(jitter\)$/);
    expect(row?.['next_run']?.toString().slice(0, 13)).toBe('2026-11-20 13');
    const [upcoming] = await db.rows(
      "SELECT scheduled_at FROM cron.upcoming(TIMESTAMPTZ '2026-11-20 12:00:00+00', TIMESTAMPTZ '2026-11-20 14:00:00+00')",
    );
    expect(upcoming?.['scheduled_at']?.toString()).toBe('2026-11-20 13:00:00+00');
  });
});

describe('EXPLAIN', () => {
  test('shows the next fires in local time and UTC, with notes about clock changes', async ({ db }) => {
    db.clock.set('2027-03-26T12:00:00Z');
    await db.run("UPSERT SCHEDULE a ( sched: '30 2 * * *', tz: 'Europe/Berlin', sql: 'SELECT 1' )");
    const result = await db.result('EXPLAIN SCHEDULE a NEXT 3');
    expect(result.notes[0]).toBe('at 02:30 every day (Europe/Berlin)');
    expect(JSON.parse(JSON.stringify(await result.toObjects()))).toEqual([
      { scheduled_at: '2027-03-27T01:30:00Z', local_time: '2027-03-27 02:30:00 +01:00 CET', utc: '2027-03-27T01:30:00Z', note: '' },
      {
        scheduled_at: '2027-03-28T01:30:00Z',
        local_time: '2027-03-28 03:30:00 +02:00 CEST',
        utc: '2027-03-28T01:30:00Z',
        note: expect.stringContaining('clocks go forward'),
      },
      { scheduled_at: '2027-03-29T00:30:00Z', local_time: '2027-03-29 02:30:00 +02:00 CEST', utc: '2027-03-29T00:30:00Z', note: '' },
    ]);
  });

  test('EXPLAIN CRON needs no schedule, and points into a wrong expression', async ({ db }) => {
    const result = await db.result("EXPLAIN CRON '0 9 * * 1-5' IN 'Asia/Tokyo' NEXT 2");
    expect(await result.toArray()).toHaveLength(2);
    expect(await db.mistake("EXPLAIN CRON '0 25 * * *' IN 'Asia/Tokyo'")).toMatchObject({ code: 'invalid_cadence', at: '25' });
    expect(await db.mistake("EXPLAIN CRON '0 9 * * *' IN 'Asia/Tokio'")).toMatchObject({
      code: 'unknown_zone',
      hint: expect.stringContaining('Asia/Tokyo'),
    });
  });

  test('DESCRIBE shows what is set, one property a row', async ({ db }) => {
    await db.run("UPSERT SCHEDULE a ( sched: '0 2 * * *', sql: 'SELECT 1', tags: [x, y] )");
    const properties = Object.fromEntries((await db.rows('DESCRIBE SCHEDULE a')).map((row) => [row['property'], row['value']]));
    expect(properties).toMatchObject({
      name: 'a',
      sched: '0 2 * * *',
      tags: 'x, y',
      in_words: 'at 02:00 every day (UTC)',
      status: 'scheduled',
    });
  });
});
