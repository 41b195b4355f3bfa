import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { strangersIn } from '../../src/daemon/host.ts';
import { KnownFile, Trust } from '../../src/daemon/trust.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';
import { type TestDatabase, test } from '../support/database.ts';

const hash = (digit: string): string => digit.repeat(64);

describe('the list of what this user has run', () => {
  const inFolder = (db: TestDatabase): string => join(db.folder, 'state', 'cuckoo', 'trust');

  test('is kept for this user alone', ({ db }) => {
    const path = inFolder(db);
    const trust = new Trust(path);
    expect(trust.has(hash('a'))).toBe(false);
    expect(existsSync(path)).toBe(false);
    trust.add([hash('a'), hash('b'), hash('a')]);
    trust.add([hash('b')]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(db.folder, 'state', 'cuckoo')).mode & 0o777).toBe(0o700);
    const again = new Trust(path);
    expect([again.has(hash('a')), again.has(hash('b')), again.has(hash('c'))]).toEqual([true, true, false]);
    expect(again.problem).toBeUndefined();
  });

  test('takes what several shells write at once', ({ db }) => {
    const path = inFolder(db);
    const [one, other] = [new Trust(path), new Trust(path)];
    expect([one.has(hash('a')), other.has(hash('a'))]).toEqual([false, false]);
    one.add([hash('a')]);
    other.add([hash('b')]);
    one.add([hash('c')]);
    const later = new Trust(path);
    expect([hash('a'), hash('b'), hash('c')].map((known) => later.has(known))).toEqual([true, true, true]);
  });

  test('is believed in nothing where it cannot be read, which is told, and begins anew', ({ db }) => {
    const path = inFolder(db);
    mkdirSync(join(db.folder, 'state', 'cuckoo'), { recursive: true });
    writeFileSync(path, `{ "trusted": ["${hash('a')}"]\nsha256:${hash('b')}\n`, { mode: 0o600 });
    const trust = new Trust(path);
    expect(trust.has(hash('b'))).toBe(false);
    expect(trust.problem).toContain('not a list of what you have run');
    trust.add([hash('c')]);
    expect(readFileSync(path, 'utf8')).toBe(`sha256:${hash('c')}\n`);
  });

  test('loses no more than its line to a crash', ({ db }) => {
    const path = inFolder(db);
    new Trust(path).add([hash('a')]);
    writeFileSync(path, `${readFileSync(path, 'utf8')}sha256:0123\n\nsha256:${hash('b')}\n`);
    const trust = new Trust(path);
    expect([trust.has(hash('a')), trust.has(hash('b')), trust.problem]).toEqual([true, true, undefined]);
  });

  test('is believed in nothing, and not written, where others may write it', ({ db }) => {
    const path = inFolder(db);
    new Trust(path).add([hash('a')]);
    chmodSync(path, 0o666);
    const trust = new Trust(path);
    expect(trust.has(hash('a'))).toBe(false);
    expect(trust.problem).toContain('others may write it');
    trust.add([hash('b')]);
    expect(readFileSync(path, 'utf8')).toBe(`sha256:${hash('a')}\n`);
  });

  test('is not kept where the user has said so, by a link to /dev/null, or where there is no place for it', ({ db }) => {
    const link = join(db.folder, 'trust');
    symlinkSync('/dev/null', link);
    const nowhere = new Trust(link);
    nowhere.add([hash('a')]);
    expect([nowhere.has(hash('a')), nowhere.problem]).toEqual([true, undefined]);
    expect(new Trust(link).has(hash('a'))).toBe(false);
    const homeless = new Trust(undefined);
    homeless.add([hash('a')]);
    expect([homeless.has(hash('a')), homeless.problem]).toEqual([true, 'there is no home folder']);
    const inFile = new Trust(join(db.path, 'trust'));
    inFile.add([hash('a')]);
    expect(inFile.problem).toMatch(/EEXIST|ENOTDIR/);
  });

  test('keeps the newest, and no more than its bound', ({ db }) => {
    const path = inFolder(db);
    const many = Array.from({ length: 30_010 }, (_, at) => at.toString(16).padStart(64, '0'));
    new Trust(path).add(many);
    const trust = new Trust(path);
    expect([trust.has(many[0]!), trust.has(many.at(-1)!)]).toEqual([false, true]);
    expect(statSync(path).size).toBe(20_000 * 72);
    expect(new Trust(path).has(many.at(-20_000)!)).toBe(true);
  });
});

/** One shell of the user whose state folder is the database's own. */
class User {
  readonly #db: TestDatabase;
  readonly file: KnownFile;

  constructor(db: TestDatabase, name = 'ada') {
    this.#db = db;
    this.file = new KnownFile(db.engine, new Trust(join(db.folder, name, 'trust')));
  }

  async run(...statements: string[]): Promise<void> {
    for (const statement of statements) {
      await this.file.before(statement);
      await this.#db.run(statement);
      if (this.#db.session.transaction === 'none') this.file.noteChanges();
    }
    await this.file.settled();
  }

  async strangers(): Promise<string | undefined> {
    return strangersIn(await this.file.look());
  }
}

const nightly = "UPSERT SCHEDULE nightly ( sched: '0 2 * * *', exe: procedure, call: purge )";
const purge = 'UPSERT PROCEDURE purge(keep INTEGER DEFAULT 7) AS BEGIN SELECT $keep; END';

async function tamper(db: TestDatabase, ...statements: string[]): Promise<void> {
  const connection = new Connection(await db.engine.database.connect());
  for (const statement of statements) await connection.run(statement);
  await connection.close();
}

describe('a file', () => {
  test('is known to who defined what is in it, and to nobody else', async ({ db }) => {
    const ada = new User(db);
    await ada.run(purge, nightly, "UPSERT CALENDAR tokyo ( weekend: [sat, sun], holidays: ['2027-01-01'] )");
    expect(await new User(db).strangers()).toBeUndefined();
    expect(await new User(db, 'bob').strangers()).toBe(
      'this file has 1 schedule, 1 procedure and 1 calendar that you have not run before: nightly, purge, tokyo',
    );
  });

  test('without schedules can run nothing by itself', async ({ db }) => {
    await new User(db).run(purge);
    expect(await new User(db, 'bob').strangers()).toBeUndefined();
  });

  test('has its other definitions looked at with suspicion still, when one is added', async ({ db }) => {
    await new User(db).run(purge, nightly);
    const bob = new User(db, 'bob');
    await bob.run("UPSERT SCHEDULE mine ( sched: '@daily', sql: 'SELECT 1' )");
    expect(await new User(db, 'bob').strangers()).toContain('1 schedule and 1 procedure that you have not run before: nightly, purge');
    bob.file.vouchForAll();
    await bob.file.settled();
    expect(await new User(db, 'bob').strangers()).toBeUndefined();
  });

  test('counts what was committed, not what was rolled back, and what pg_cron’s functions define too', async ({ db }) => {
    const ada = new User(db);
    await ada.run('BEGIN', purge, nightly, 'COMMIT', "SELECT cron.schedule('beat', '* * * * *', 'SELECT 1')");
    await ada.run('BEGIN', "ALTER SCHEDULE nightly SET ( call: 'SELECT 2', exe: sql )", 'ROLLBACK');
    expect(await new User(db).strangers()).toBeUndefined();
    await db.run("ALTER SCHEDULE nightly SET ( call: 'SELECT 2', exe: sql )");
    expect(await new User(db).strangers()).toBe('this file has 1 schedule that you have not run before: nightly');
  });

  test('is known to who ran or defined again what was there already, and only of that', async ({ db }) => {
    await new User(db).run(purge, nightly, "UPSERT SCHEDULE other ( sql: 'SELECT 1' )");
    const bob = new User(db, 'bob');
    bob.file.vouch('schedule', ['Nightly']);
    await bob.file.settled();
    expect(await new User(db, 'bob').strangers()).toContain('1 schedule and 1 procedure that you have not run before: other, purge');
    bob.file.vouch('procedure', ['purge']);
    await bob.file.settled();
    expect(await new User(db, 'bob').strangers()).toContain('1 schedule that you have not run before: other');
  });

  test('notes what is committed while it is looking already', async ({ db }) => {
    const ada = new User(db);
    await ada.file.before(purge);
    await db.run(purge);
    ada.file.noteChanges();
    for (const statement of ['BEGIN', nightly]) {
      await ada.file.before(statement);
      await db.run(statement);
    }
    await db.run('COMMIT');
    await ada.file.settled();
    expect(await new User(db).strangers()).toBeUndefined();
  });

  test('is the same whether a schedule is enabled, and whatever the zone of the file is', async ({ db }) => {
    const ada = new User(db);
    await ada.run(purge, nightly);
    await db.run('DISABLE SCHEDULE nightly', "SET cron.timezone = 'Asia/Tokyo'", 'ENABLE SCHEDULE nightly');
    expect(await new User(db).strangers()).toBeUndefined();
  });

  test('is not made known by DISABLE and ENABLE, or by a change of zone', async ({ db }) => {
    await new User(db).run(purge, nightly);
    await new User(db, 'bob').run('DISABLE SCHEDULE nightly', "SET cron.timezone = 'Asia/Tokyo'", 'ENABLE SCHEDULE nightly');
    expect(await new User(db, 'bob').strangers()).toContain('nightly, purge');
  });

  test('is strange again when somebody changed what a schedule does: its procedure, or a waiting run', async ({ db }) => {
    const ada = new User(db);
    await ada.run(purge, nightly);
    await db.run("UPSERT PROCEDURE purge(keep INTEGER DEFAULT 7) AS BEGIN COPY (SELECT 1) TO 'stolen.csv'; END");
    expect(await new User(db).strangers()).toBe('this file has 1 procedure that you have not run before: purge');
    await ada.run(purge);
    expect(await new User(db).strangers()).toBeUndefined();
    const open = (call: string, schedule: string): string => `
      INSERT INTO cuckoo_ledger.open_run BY NAME
      SELECT uuid() AS run_id, ${schedule} AS schedule_id, 'nightly' AS schedule, 'procedure' AS exe, '${call}' AS call, 'cron' AS trigger,
        now() AS scheduled_at, now() AS opened_at, 1 AS attempt, 'open' AS stage, 'default' AS queue, 'normal' AS priority,
        '{}' AS params, (SELECT version FROM cuckoo_ledger.schedule) AS schedule_version, uuid() AS root_run_id, false AS alone`;
    await tamper(db, open('purge', '(SELECT schedule_id FROM cuckoo_ledger.schedule)'));
    expect(await new User(db).strangers()).toBeUndefined();
    await tamper(db, open('DELETE FROM everything', 'NULL'));
    expect(await new User(db).strangers()).toBe('this file has 1 waiting run that you have not run before: nightly');
  });

  test.each([
    ['the bound value', "UPDATE cuckoo_ledger.schedule SET bound = replace(bound::VARCHAR, 'purge', 'other')::JSON"],
    ['a column', "UPDATE cuckoo_ledger.schedule SET call = 'other'"],
    ['the version that runs keep', "UPDATE cuckoo_ledger.schedule_version SET definition = replace(definition, 'purge', 'other')"],
    [
      'a second row of that version',
      "INSERT INTO cuckoo_ledger.schedule_version BY NAME SELECT * REPLACE ('x' AS definition) FROM cuckoo_ledger.schedule_version",
    ],
  ])('is strange where only %s was changed, under the back of its text', async (_, statement) => {
    const { TestDatabase: Database } = await import('../support/database.ts');
    const db = new Database();
    try {
      await db.open();
      await new User(db).run(purge, nightly);
      await tamper(db, statement);
      expect(await new User(db).strangers()).toBe('this file has 1 schedule that you have not run before: nightly');
    } finally {
      await db.remove();
    }
  });

  test('cannot speak for itself: by macros that hide DuckDB’s functions, by computed columns, by views', async ({ db }) => {
    const ada = new User(db);
    await ada.run(purge, nightly);
    await tamper(
      db,
      "CREATE MACRO main.sha256(x) AS 'same'",
      'CREATE MACRO main.duckdb_tables() AS TABLE SELECT NULL AS table_name LIMIT 0',
      "UPDATE cuckoo_ledger.routine SET bound = '{}'",
    );
    expect(await new User(db).strangers()).toContain('1 procedure');
    await tamper(
      db,
      'ALTER TABLE cuckoo_ledger.routine RENAME TO hidden',
      'CREATE VIEW cuckoo_ledger.routine AS SELECT * FROM cuckoo_ledger.hidden LIMIT 0',
    );
    await expect(new User(db).strangers()).rejects.toThrow('cuckoo_ledger.routine is not a plain table');
    await tamper(
      db,
      'DROP VIEW cuckoo_ledger.routine',
      'CREATE TABLE cuckoo_ledger.routine (kind VARCHAR, name VARCHAR GENERATED ALWAYS AS (kind))',
    );
    await expect(new User(db).strangers()).rejects.toThrow('not a plain table');
  });
});

describe('what a shell says of strangers', () => {
  test('names five, and counts the others', async ({ db }) => {
    const names = Array.from({ length: 8 }, (_, at) => `job_${at}`);
    await db.run(...names.map((name) => `UPSERT SCHEDULE ${name} ( sched: '@daily', sql: 'SELECT 1' )`));
    expect(await new User(db).strangers()).toBe(
      'this file has 8 schedules that you have not run before: job_0, job_1, job_2, job_3, job_4 and 3 more',
    );
  });

  test('lets no control characters of a name reach the terminal', async ({ db }) => {
    await db.run(`UPSERT SCHEDULE "a\x1b[2Jb" ( sched: '@daily', sql: 'SELECT 1' )`);
    expect(await new User(db).strangers()).toContain('a\\u001b[2Jb');
  });
});
