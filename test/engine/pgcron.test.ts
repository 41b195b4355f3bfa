import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { jobStatementOf } from '../../src/engine/jobStatement.ts';
import { type TestDatabase, test } from '../support/database.ts';

/** The one value of a one-row answer. */
async function value(db: TestDatabase, text: string, parameters?: readonly unknown[]): Promise<unknown> {
  const [row] = await db.rows(text, parameters);
  return plain(Object.values(row ?? {})[0]);
}

async function table(db: TestDatabase, text: string): Promise<unknown[]> {
  return (await db.rows(text)).map((row) => Object.values(row).map(plain));
}

function plain(given: unknown): unknown {
  return typeof given === 'bigint' ? Number(given) : given;
}

const jobs = 'SELECT jobid, jobname, schedule, command, active FROM cron.job ORDER BY jobid';

describe("the examples of pg_cron's own page", () => {
  test('schedule, change and unschedule jobs, answering the job ids', async ({ db }) => {
    await db.run('CREATE TABLE events (event_time TIMESTAMPTZ)', 'UPSERT PROCEDURE process_updates() AS BEGIN SELECT 1; END');
    expect(await value(db, "SELECT cron.schedule('30 3 * * 6', $$DELETE FROM events WHERE event_time < now() - interval '1 week'$$)")).toBe(
      1,
    );
    expect(await value(db, "SELECT cron.schedule('nightly-vacuum', '0 10 * * *', 'VACUUM')")).toBe(2);
    expect(await value(db, "SELECT cron.schedule('nightly-vacuum', '0 3 * * *', 'VACUUM')")).toBe(2);
    expect(await value(db, "SELECT cron.schedule('process-updates', '5 seconds', 'CALL process_updates()')")).toBe(3);
    expect(await value(db, "SELECT cron.schedule('process-payroll', '0 12 $ * *', 'CALL process_payroll()')")).toBe(4);
    expect(await table(db, jobs)).toEqual([
      [1, null, '30 3 * * 6', "DELETE FROM events WHERE event_time < now() - interval '1 week'", true],
      [2, 'nightly-vacuum', '0 3 * * *', 'VACUUM', true],
      [3, 'process-updates', '5 seconds', 'CALL process_updates()', true],
      [4, 'process-payroll', '0 12 $ * *', 'CALL process_payroll()', true],
    ]);
    expect(await value(db, "SELECT cron.unschedule('nightly-vacuum' )")).toBe(true);
    expect(await value(db, 'SELECT cron.unschedule(1)')).toBe(true);
    expect(await value(db, "SELECT cron.unschedule(job_name := 'process-updates')")).toBe(true);
    expect(await table(db, jobs)).toEqual([[4, 'process-payroll', '0 12 $ * *', 'CALL process_payroll()', true]]);
    expect(await value(db, "SELECT cron.schedule('again', '@daily', 'SELECT 1')")).toBe(5);
  });

  test('a job is a schedule with the rules of pg_cron, and says so', async ({ db }) => {
    await db.run(
      "SELECT cron.schedule('purge', '0 12 * * *', $$DELETE FROM cron.job_run_details WHERE end_time < now() - interval '7 days'$$)",
    );
    const [shown] = await db.rows('SHOW CREATE SCHEDULE purge');
    for (const rule of ['overlap: queue', 'overlap_limit: 1', 'catchup: none', 'timeout: none', 'max_retries: 0', "sched: '0 12 * * *'"]) {
      expect(shown?.['definition']).toContain(rule);
    }
    expect(await db.rows(String(shown?.['definition']))).toMatchObject([{ outcome: 'unchanged' }]);
    expect(await table(db, 'LIST SCHEDULES')).toHaveLength(1);
  });
});

describe('schedules', () => {
  test('are taken and kept as they were given', async ({ db }) => {
    for (const [given, canonical] of [
      ['* * * * *', '* * * * *'],
      ['*/15 9-17 * * 1-5', '*/15 9-17 * * 1-5'],
      ['0 0 1,15 * MON', '0 0 1,15 * MON'],
      ['0 0 1 jan-mar sun', '0 0 1 JAN-MAR SUN'],
      ['30 3 * * 7', '30 3 * * 7'],
      ['  5 4 * * *  ', '5 4 * * *'],
      // Vixie's cron takes a field that begins with `*` for unrestricted: then both day fields must match.
      ['0 0 */10 * 1', '0 0 */10 * +1'],
      ['0 0 1 * */2', '0 0 1 * +*/2'],
      ['0 11 $ * *', '0 11 L * *'],
      ['1 second', 'every 1s'],
      [' 30 sEcOnDs ', 'every 30s'],
      ['59 seconds', 'every 59s'],
      ['17  seconds ', 'every 17s'],
      ['@hourly', '@hourly'],
      ['@reboot', '@reboot'],
      ['@restart', '@reboot'],
    ] as const) {
      await db.rows('SELECT cron.schedule($1, $2, $3)', ['j', given, 'SELECT 1']);
      expect(await table(db, 'SELECT schedule FROM cron.job')).toEqual([[given]]);
      const [row] = await table(db, 'SELECT sched FROM cron.schedules');
      expect(String(row).toLowerCase()).toBe(canonical.toLowerCase());
    }
  });

  test('that are wrong are refused in the words of pg_cron', async ({ db }) => {
    for (const given of [
      'a'.repeat(1000),
      '* * * *',
      '* * * * * *',
      '0 0 0 1 1 1 2027',
      '5 secondc',
      '50 seconds c',
      '*/0 10 * * *',
      '-1 * * * *',
      '*/-1 10 * * *',
      '*/60 10 * * *',
      '* * * 13 *',
      '* * * 0 *',
      '*/5000000000 10 * * *',
      '-1 seconds',
      '0 seconds',
      '60 seconds',
      '10000000000 seconds',
      '@restar',
      '0 11 $foo * *',
      'every 5m',
      '5m',
      'at 2027-01-01',
      'business days at 18:00',
      '0 0 L * *',
      '0 0 1W * *',
      '0 0 * * 1#1',
      '0 0 ? * 1',
      '0 0 1 * +1',
      '',
    ]) {
      const mistake = await db.mistake(`SELECT cron.schedule('j', '${given}', 'SELECT 1')`);
      expect([given, mistake.code]).toEqual([given, 'invalid_cadence']);
      expect(mistake.message).toContain(`invalid schedule: ${given.slice(0, 200)}`);
      expect(mistake.hint).toContain("Use cron format (e.g. 5 4 * * *), or interval format '[1-59] seconds'");
    }
    expect(await table(db, 'SELECT * FROM cuckoo_ledger.schedule')).toEqual([]);
  });
});

describe('the arguments', () => {
  test('have the names, defaults and overloads of pg_cron', async ({ db }) => {
    expect(await value(db, "SELECT cron.schedule(job_name := 'a', schedule := '@daily', command := 'SELECT 1')")).toBe(1);
    expect(await value(db, "SELECT cron.schedule(command => 'SELECT 2', schedule => '@daily')")).toBe(2);
    expect(await value(db, "SELECT cron.schedule_in_database('b', '@daily', 'SELECT 3', current_database(), active := false)")).toBe(3);
    expect(
      await value(db, "SELECT cron.schedule_in_database(job_name := 'c', schedule := '@daily', command := 'SELECT 4', database := 'MY')"),
    ).toBe(4);
    expect(await value(db, "SELECT * FROM cron.schedule('d', '@daily', 'SELECT 5')")).toBe(5);
    expect(await value(db, "SELECT schedule FROM cron.schedule('@daily', 'SELECT 6')")).toBe(6);
    expect(await value(db, 'SELECT cron.unschedule(job_id := 6)')).toBe(true);
    expect(await table(db, jobs)).toEqual([
      [1, 'a', '@daily', 'SELECT 1', true],
      [2, null, '@daily', 'SELECT 2', true],
      [3, 'b', '@daily', 'SELECT 3', false],
      [4, 'c', '@daily', 'SELECT 4', true],
      [5, 'd', '@daily', 'SELECT 5', true],
    ]);
  });

  test('a column without a name is called after its function, and cadences that surprise are told', async ({ db }) => {
    const made = await db.result("SELECT cron.schedule('j', '0 0 1,15 * MON', 'SELECT 1'), cron.schedule('k', '@daily', 'SELECT 1') AS k");
    expect(made.columns.map((column) => column.name)).toEqual(['schedule', 'k']);
    expect(made.warnings.map((warning) => warning.message).join()).toMatch(/Monday/);
    const gone = await db.result('SELECT my.cron.unschedule(1), "cron".alter_job(2, active := false)');
    expect(gone.columns.map((column) => column.name)).toEqual(['unschedule', 'alter_job']);
  });

  test('that are wrong are told in the words of pg_cron, and nothing happens', async ({ db }) => {
    await db.run("SELECT cron.schedule('present', '@daily', 'SELECT 1')");
    for (const [call, message] of [
      ["cron.schedule(NULL, '@daily', 'SELECT 1')", 'job_name can not be NULL'],
      ["cron.schedule('a', NULL, 'SELECT 1')", 'schedule can not be NULL'],
      ["cron.schedule('a', '@daily', NULL)", 'command can not be NULL'],
      ["cron.schedule(NULL, 'SELECT 1')", 'schedule can not be NULL'],
      ["cron.schedule('@daily', NULL)", 'command can not be NULL'],
      ["cron.schedule('', '@daily', 'SELECT 1')", 'job_name is empty'],
      ["cron.schedule(repeat('x', 256), '@daily', 'SELECT 1')", 'job_name has 256 characters'],
      ["cron.schedule('@daily', '')", 'command: there is no statement in it'],
      ["cron.schedule('@daily', 'COMMIT')", "command: COMMIT would end the run's own transaction"],
      ["cron.schedule('@daily', 'SELECT $1')", 'command: '],
      ["cron.schedule('@daily', 'selec 1')", 'command: syntax error at or near "selec"'],
      ["cron.schedule('@daily', 'SELECT ''open')", 'command: '],
      ["cron.schedule('@daily', $$SELECT cron.schedule('@daily', 'SELECT 1')$$)", 'command: a run cannot call cron.schedule'],
      ["cron.schedule_in_database('a', '@daily', 'SELECT 1', 'elsewhere')", 'database "elsewhere" does not exist'],
      ["cron.schedule_in_database('a', '@daily', 'SELECT 1', 'my', username := 'postgres')", 'role "postgres" does not exist'],
      ["cron.unschedule('no_such_job')", "could not find valid entry for job 'no_such_job'"],
      ['cron.unschedule(42)', 'could not find valid entry for job 42'],
      ['cron.unschedule(NULL::BIGINT)', 'job_id can not be NULL'],
      ['cron.unschedule(NULL::VARCHAR)', 'job_name can not be NULL'],
      ['cron.alter_job(1)', 'no updates specified'],
      ['cron.alter_job(2, active := false)', "Job 2 does not exist or you don't own it"],
      ['cron.alter_job(NULL, active := false)', 'job_id can not be NULL'],
      ["cron.alter_job(job_id := 1, database := 'hopedoesnotexist')", 'database "hopedoesnotexist" does not exist'],
      ["cron.alter_job(1, schedule := '60 seconds')", 'invalid schedule: 60 seconds'],
    ] as const) {
      expect([call, (await db.mistake(`SELECT ${call}`)).message]).toEqual([call, expect.stringContaining(message)]);
    }
    expect(await table(db, jobs)).toEqual([[1, 'present', '@daily', 'SELECT 1', true]]);
  });

  test('alter_job changes what is given and leaves the rest', async ({ db }) => {
    await db.run("SELECT cron.schedule('j', '0 0 */10 * 1', 'SELECT 1')", 'SELECT cron.alter_job(1, active := false)');
    expect(await table(db, jobs)).toEqual([[1, 'j', '0 0 */10 * 1', 'SELECT 1', false]]);
    expect(
      await value(db, "SELECT cron.alter_job(1, schedule := '10 seconds', command := 'SELECT 2', active := true, database := 'my')"),
    ).toBe('');
    expect(await table(db, jobs)).toEqual([[1, 'j', '10 seconds', 'SELECT 2', true]]);
  });

  test('scheduling a name again leaves a disabled job disabled, as pg_cron does, and keeps what was altered', async ({ db }) => {
    await db.run("SELECT cron.schedule('j', '@daily', 'SELECT 1')", 'DISABLE SCHEDULE j', 'ALTER SCHEDULE j SET ( timeout: 1h )');
    expect(await value(db, "SELECT cron.schedule('J', '@hourly', 'SELECT 2')")).toBe(1);
    expect(await table(db, jobs)).toEqual([[1, 'j', '@hourly', 'SELECT 2', false]]);
    expect((await db.rows('SHOW CREATE SCHEDULE j'))[0]?.['definition']).toContain('timeout: 1h');
  });

  test('a schedule that these functions did not make is not theirs', async ({ db }) => {
    await db.run("UPSERT SCHEDULE mine ( sched: '@daily', sql: 'SELECT 1' )");
    expect(await db.mistake("SELECT cron.schedule('Mine', '@daily', 'SELECT 2')")).toMatchObject({ code: 'duplicate_object' });
    expect((await db.mistake("SELECT cron.unschedule('mine')")).message).toBe("could not find valid entry for job 'mine'");
    expect((await db.mistake('SELECT cron.unschedule(1)')).message).toBe('could not find valid entry for job 1');
    expect(await table(db, jobs)).toEqual([]);
  });

  test('the cadence of a job that was altered since shows as it is now', async ({ db }) => {
    await db.run("SELECT cron.schedule('j', '0 11 $ * *', 'SELECT 1')", "ALTER SCHEDULE j SET ( sched: '0 5 * * *' )");
    expect(await table(db, 'SELECT schedule FROM cron.job')).toEqual([['0 5 * * *']]);
  });
});

describe('over rows and in transactions', () => {
  test('each row is a job; one name in two rows is one job', async ({ db }) => {
    await db.run(
      'CREATE TABLE my_jobs (name VARCHAR, schedule VARCHAR, command VARCHAR)',
      "INSERT INTO my_jobs SELECT 'job ' || i, '0 ' || i % 24 || ' * * *', 'SELECT ' || i FROM range(60) t(i)",
      "INSERT INTO my_jobs VALUES ('job 7', '@daily', 'SELECT 7')",
    );
    const answers = await table(db, 'SELECT name, cron.schedule(name, schedule, command) AS id FROM my_jobs');
    expect(answers).toHaveLength(61);
    const ids = await table(db, 'SELECT jobname, jobid FROM cron.job');
    expect(ids).toHaveLength(60);
    const byName = new Map(ids as [string, number][]);
    expect((answers as [string, number][]).filter(([name, id]) => byName.get(name) !== id)).toEqual([]);
    expect(await table(db, "SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname <> 'job 7'")).toHaveLength(59);
    expect(await table(db, 'SELECT jobname FROM cron.job')).toEqual([['job 7']]);
  });

  test('rows beyond the first chunk are jobs too, and of one name the last holds', async ({ db }) => {
    const answers = await table(
      db,
      "SELECT DISTINCT cron.schedule('job ' || i % 3, '0 0 * * ' || i % 7, 'SELECT ' || i) FROM range(5000) t(i) ORDER BY 1",
    );
    expect(answers).toEqual([[1], [2], [3]]);
    expect(await value(db, 'SELECT count(*) FROM cron.job')).toBe(3);
  });

  test('one wrong row undoes the whole statement', async ({ db }) => {
    await db.run('CREATE TABLE made (id BIGINT)');
    const mistake = await db.mistake(
      "INSERT INTO made SELECT cron.schedule('job ' || i, i || ' seconds', 'SELECT 1') FROM range(58, 62) t(i)",
    );
    expect(mistake.message).toBe('invalid schedule: 60 seconds');
    expect(await table(db, 'FROM made')).toEqual([]);
    expect(await table(db, jobs)).toEqual([]);
    await db.run("INSERT INTO made SELECT cron.schedule('job ' || i, i || ' seconds', 'SELECT 1') FROM range(1, 3) t(i)");
    expect(await table(db, 'SELECT count(*) FROM made JOIN cron.job ON id = jobid')).toEqual([[2]]);
  });

  test('take part in the transaction: seen inside, undone by ROLLBACK, unseen by others until COMMIT', async ({ db }) => {
    const other = await db.newSession();
    const seenByOther = async () => (await (await other.execute('FROM cron.job')).toArray()).length;
    await db.run('BEGIN', "SELECT cron.schedule('j', '@daily', 'SELECT 1')");
    expect(await table(db, 'SELECT jobname FROM cron.job')).toEqual([['j']]);
    expect(await value(db, "SELECT cron.schedule('j', '@hourly', 'SELECT 1')")).toBe(1);
    expect(await seenByOther()).toBe(0);
    await db.run('ROLLBACK');
    expect(await table(db, jobs)).toEqual([]);
    await db.run('BEGIN', "SELECT cron.schedule('j', '@daily', 'SELECT 1')", 'COMMIT');
    expect(await seenByOther()).toBe(1);
  });

  test('an error aborts the transaction, as any other does', async ({ db }) => {
    await db.run('BEGIN', "SELECT cron.schedule('a', '@daily', 'SELECT 1')");
    await db.mistake("SELECT cron.schedule('b', '61 seconds', 'SELECT 1')");
    expect((await db.mistake('SELECT 1')).code).toBe('aborted_transaction');
    await db.run('ROLLBACK');
    expect(await table(db, jobs)).toEqual([]);
  });

  test('an error that shows only when it is carried out aborts the transaction too', async ({ db }) => {
    await db.run("SELECT cron.schedule('a', '@daily', 'SELECT 1')", "UPSERT SCHEDULE b ( after: a, sql: 'SELECT 1' )", 'BEGIN');
    expect((await db.mistake("SELECT cron.unschedule('a')")).code).toBe('in_use');
    expect((await db.mistake('SELECT 1')).code).toBe('aborted_transaction');
    await db.run('ROLLBACK');
    expect(await table(db, 'SELECT jobname FROM cron.job')).toEqual([['a']]);
  });

  test('what does not run schedules nothing: EXPLAIN and PREPARE', async ({ db }) => {
    await db.run("EXPLAIN SELECT cron.schedule('j', '@daily', 'SELECT 1')", "PREPARE p AS SELECT cron.schedule('j', '@daily', 'SELECT 1')");
    expect(await table(db, jobs)).toEqual([]);
    expect((await db.mistake('EXECUTE p')).message).toContain('must stand in the statement itself');
  });

  test('sessions that schedule at once get different ids', async ({ db }) => {
    const sessions = await Promise.all([db.newSession(), db.newSession(), db.newSession()]);
    const answers = await Promise.all(
      sessions.map(
        async (session, at) =>
          (await (await session.execute(`SELECT cron.schedule('j${at}', '@daily', 'SELECT ${at}')`)).toArray())[0]?.[0],
      ),
    );
    expect(new Set(answers).size).toBe(3);
    const found = await table(db, 'SELECT jobid, jobname FROM cron.job ORDER BY jobname');
    expect(found).toEqual(answers.map((id, at) => [Number(id), `j${at}`]));
  });
});

describe('cron.job', () => {
  test('has the columns and types of pg_cron', async ({ db }) => {
    expect(
      await table(
        db,
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'cron' AND table_name = 'job' ORDER BY ordinal_position",
      ),
    ).toEqual([
      ['jobid', 'BIGINT'],
      ['schedule', 'VARCHAR'],
      ['command', 'VARCHAR'],
      ['nodename', 'VARCHAR'],
      ['nodeport', 'INTEGER'],
      ['database', 'VARCHAR'],
      ['username', 'VARCHAR'],
      ['active', 'BOOLEAN'],
      ['jobname', 'VARCHAR'],
    ]);
    await db.run("SELECT cron.schedule('j', '@daily', 'SELECT 1')");
    expect(await table(db, 'FROM cron.job')).toEqual([[1, '@daily', 'SELECT 1', 'localhost', 0, 'my', 'tester', true, 'j']]);
  });

  test('UPDATE changes active, schedule and command, by any expression and condition', async ({ db }) => {
    for (const at of [1, 2, 3]) await db.run(`SELECT cron.schedule('j${at}', '@daily', 'SELECT ${at}')`);
    const updated = await db.result("UPDATE cron.job SET active = false WHERE jobname LIKE 'j%' AND jobid <> 2");
    expect([updated.tag, updated.rowsChanged]).toEqual(['UPDATE', 2]);
    expect(await table(db, 'SELECT jobid, active FROM cron.job ORDER BY 1')).toEqual([
      [1, false],
      [2, true],
      [3, false],
    ]);
    await db.run(
      "UPDATE cron.job AS j SET active = NOT j.active, command = j.command || $$ + 1$$, schedule = CASE WHEN jobid = 2 THEN '9 seconds' ELSE schedule END",
    );
    expect(await table(db, jobs)).toEqual([
      [1, 'j1', '@daily', 'SELECT 1 + 1', true],
      [2, 'j2', '9 seconds', 'SELECT 2 + 1', false],
      [3, 'j3', '@daily', 'SELECT 3 + 1', true],
    ]);
    await db.run(
      'CREATE TABLE off (id BIGINT)',
      'INSERT INTO off VALUES (3)',
      'UPDATE cron.job SET active = id IS DISTINCT FROM 3 FROM off WHERE id = jobid',
    );
    expect(await value(db, 'SELECT active FROM cron.job WHERE jobid = 3')).toBe(false);
    await db.rows('UPDATE cron.job SET active = $1 WHERE jobid = $2', [false, 1]);
    expect(await value(db, 'SELECT count(*) FROM cron.job WHERE active')).toBe(0);
    expect((await db.rows('LIST SCHEDULES'))[0]).toMatchObject({ enabled: false });
  });

  test("a table of the same name in another database is that database's", async ({ db }) => {
    await db.run(
      "ATTACH ':memory:' AS far",
      'CREATE SCHEMA far.cron',
      'CREATE TABLE far.cron.job (active BOOLEAN)',
      'INSERT INTO far.cron.job VALUES (true)',
    );
    await db.run(
      "SELECT cron.schedule('j', '@daily', 'SELECT 1')",
      'UPDATE far.cron.job SET active = false',
      'UPDATE my.cron.job SET active = active',
    );
    expect(await table(db, 'SELECT f.active, j.active FROM far.cron.job f, my.cron.job j')).toEqual([[false, true]]);
  });

  test('refuses every other write', async ({ db }) => {
    await db.run("SELECT cron.schedule('j', '@daily', 'SELECT 1')");
    for (const [text, code] of [
      ["UPDATE cron.job SET jobname = 'x'", 'unsupported'],
      ["UPDATE cron.job SET nodename = ''", 'unsupported'],
      ['UPDATE cron.job SET active = NULL', 'constraint'],
      ["UPDATE cron.job SET schedule = '60 seconds'", 'invalid_cadence'],
      ["UPDATE cron.job SET command = 'ROLLBACK'", 'forbidden'],
      ['UPDATE cron.job SET active = false RETURNING jobid', 'unsupported'],
      ['EXPLAIN ANALYZE UPDATE cron.job SET active = false', 'unsupported'],
      ['INSERT INTO cron.job (schedule) VALUES (1)', 'forbidden'],
      ['DELETE FROM cron.job', 'forbidden'],
    ] as const)
      expect([text, (await db.mistake(text)).code]).toEqual([text, code]);
    expect(await table(db, jobs)).toEqual([[1, 'j', '@daily', 'SELECT 1', true]]);
  });
});

describe('cron.job_run_details', () => {
  /** Runs of a job that works and of one that fails, one a minute. */
  async function withRuns(db: TestDatabase, minutes: number): Promise<void> {
    await db.run(
      "SELECT cron.schedule('good', '* * * * *', 'INSERT INTO done VALUES (1)')",
      "SELECT cron.schedule('bad', '* * * * *', 'SELECT * FROM nowhere')",
    );
    await db.run('CREATE TABLE IF NOT EXISTS done (i INTEGER)');
    for (let minute = 1; minute <= minutes; minute++) {
      db.clock.time += 60_000;
      await db.engine.scheduler.tick(db.clock.now());
    }
  }

  test('has the columns of pg_cron, a rising runid, and what came of each run', async ({ db }) => {
    await withRuns(db, 2);
    expect(
      await table(
        db,
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'cron' AND table_name = 'job_run_details' ORDER BY ordinal_position",
      ),
    ).toEqual([
      ['jobid', 'BIGINT'],
      ['runid', 'BIGINT'],
      ['job_pid', 'INTEGER'],
      ['database', 'VARCHAR'],
      ['username', 'VARCHAR'],
      ['command', 'VARCHAR'],
      ['status', 'VARCHAR'],
      ['return_message', 'VARCHAR'],
      ['start_time', 'TIMESTAMP WITH TIME ZONE'],
      ['end_time', 'TIMESTAMP WITH TIME ZONE'],
    ]);
    const details = await table(
      db,
      'SELECT jobid, database, username, command, status, return_message, end_time >= start_time FROM cron.job_run_details ORDER BY jobid, runid',
    );
    const good = [1, 'my', 'tester', 'INSERT INTO done VALUES (1)', 'succeeded', '1 row', true];
    expect(details.slice(0, 2)).toEqual([good, good]);
    expect(details[2]).toMatchObject([2, 'my', 'tester', 'SELECT * FROM nowhere', 'failed', expect.stringContaining('nowhere'), true]);
    expect(await value(db, 'SELECT count(DISTINCT runid) FROM cron.job_run_details')).toBe(4);
    expect(await table(db, 'SELECT max(attempt) FROM cron.runs')).toEqual([[1]]);
  });

  test('rows of a job stay when it is unscheduled', async ({ db }) => {
    await withRuns(db, 1);
    await db.run("SELECT cron.unschedule('good')");
    expect(await value(db, 'SELECT count(*) FROM cron.job_run_details WHERE jobid = 1')).toBe(1);
  });

  test('DELETE takes away what its condition names, and leaves the counters of the schedule', async ({ db }) => {
    await withRuns(db, 3);
    const failures = "SELECT consecutive_failures FROM cron.schedules WHERE name = 'bad'";
    expect(await value(db, failures)).toBe(3);
    const first = await db.result("DELETE FROM cron.job_run_details WHERE end_time <= TIMESTAMPTZ '2026-11-20 12:01:30+00'");
    expect([first.tag, first.rowsChanged]).toEqual(['DELETE', 2]);
    expect(await value(db, 'SELECT count(*) FROM cron.job_run_details')).toBe(4);
    await db.run("DELETE FROM cron.job_run_details AS d USING cron.job AS j WHERE d.jobid = j.jobid AND j.jobname = 'good'");
    expect(await table(db, 'SELECT DISTINCT jobid FROM cron.job_run_details')).toEqual([[2]]);
    expect((await db.result('WITH few AS (SELECT 2 AS id) DELETE FROM cron.job_run_details WHERE jobid IN (FROM few)')).rowsChanged).toBe(
      2,
    );
    expect(await table(db, 'FROM cron.job_run_details')).toEqual([]);
    expect(await value(db, failures)).toBe(3);
    // The row that carried the counters goes with the first deletion after a newer one.
    await withRuns(db, 1);
    expect(await value(db, failures)).toBe(4);
    expect(await value(db, 'SELECT count(*) FROM cron.job_run_details')).toBe(2);
    await db.run('DELETE FROM cron.job_run_details');
    expect(await table(db, 'SELECT count(*) FROM cuckoo_ledger.closed')).toEqual([[2]]);
  });

  test('DELETE takes part in the transaction', async ({ db }) => {
    await withRuns(db, 1);
    await db.run('BEGIN', 'DELETE FROM cron.job_run_details', 'ROLLBACK');
    expect(await value(db, 'SELECT count(*) FROM cron.job_run_details')).toBe(2);
    expect((await db.mistake('DELETE FROM cron.job_run_details WHERE nothing = 1')).code).toBe('undefined_column');
    expect((await db.mistake('DELETE FROM cron.job_run_details RETURNING jobid')).code).toBe('unsupported');
  });

  test("pg_cron's own example: a job that cleans the history", async ({ db }) => {
    await withRuns(db, 2);
    await db.run(
      "SELECT cron.schedule('delete-job-run-details', '0 12 * * *', $$DELETE FROM cron.job_run_details WHERE end_time < now() + interval '7 days'$$)",
    );
    db.clock.set('2026-11-21T12:00:30Z');
    await db.run("UPDATE cron.job SET active = false WHERE jobname <> 'delete-job-run-details'");
    await db.engine.scheduler.tick(db.clock.now());
    expect(
      await table(db, 'SELECT j.jobname, d.status, d.return_message FROM cron.job_run_details d JOIN cron.job j USING (jobid)'),
    ).toEqual([['delete-job-run-details', 'succeeded', '4 rows']]);
  });
});

test('jobs and their history are readable without Cuckoo, and the functions say what is missing', async ({ db }) => {
  await db.run("SELECT cron.schedule('j', '@daily', 'SELECT 1')");
  await db.close();
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(db.path);
  const connection = await instance.connect();
  expect((await connection.runAndReadAll('SELECT jobname, schedule FROM cron.job')).getRows()).toEqual([['j', '@daily']]);
  expect((await connection.runAndReadAll('FROM cron.job_run_details')).getRows()).toEqual([]);
  await expect(connection.run("SELECT cron.schedule('j', '@daily', 'SELECT 1')")).rejects.toThrow('cuckoo_fn_job_schedule');
  connection.closeSync();
  instance.closeSync();
});

test('any text is either one of these statements or not: it never fails', () => {
  const piece = fc.constantFrom(
    'DELETE FROM',
    'UPDATE',
    'cron',
    '.',
    'job',
    'job_run_details',
    'SET',
    'WHERE',
    'SELECT',
    'schedule',
    '(',
    ')',
    "'",
    '$$',
    ',',
    ';',
    '--',
    '/*',
    '"',
    'x',
    ' ',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      jobStatementOf(pieces.join(' '), 'my');
      jobStatementOf(pieces.join(''), 'my');
    }),
    { numRuns: 3000 },
  );
});
