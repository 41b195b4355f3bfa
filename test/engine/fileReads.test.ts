import { copyFileSync, linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { fileReadsOf } from '../../src/engine/fileReads.ts';
import { test as base, type TestDatabase } from '../support/database.ts';

/** Beside the open file: other names of it, and files that are none of ours. */
const test = base.extend<{ folder: string }>({
  folder: async ({ db }, use) => {
    linkSync(db.path, join(db.folder, 'hard.csv'));
    symlinkSync(db.path, join(db.folder, 'soft.json'));
    mkdirSync(join(db.folder, 'days'));
    const today = new Date().toISOString().slice(0, 10);
    for (const name of ['plain.csv', `day_${today}.csv`]) writeFileSync(join(db.folder, name), 'a,b\n1,2\n');
    await db.run('CREATE TABLE t AS SELECT 1 AS i', `SET VARIABLE f = '${db.path}'`, `SET VARIABLE dir = '${db.folder}'`);
    await use(db.folder);
  },
});

async function refusal(db: TestDatabase, text: string, parameters?: readonly unknown[] | Readonly<Record<string, unknown>>) {
  try {
    await (await db.session.execute(text, parameters)).toArray();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('the open file is not read, whatever its path is made of', () => {
  type Case = readonly [name: string, text: string, parameters?: readonly unknown[] | Readonly<Record<string, unknown>>];
  const cases = (folder: string): readonly Case[] => [
    ['an expression', `SELECT size FROM read_blob('${folder}/my.' || 'duckdb')`],
    ['a variable', `SELECT size FROM read_blob(getvariable('f'))`],
    ['a named parameter', 'SELECT size FROM read_blob($f)', { f: `${folder}/my.duckdb` }],
    ['a named parameter in another case', 'SELECT size FROM read_blob($F)', { f: `${folder}/my.duckdb` }],
    ['a parameter by place', 'SELECT $1, size FROM read_blob($2)', [1, `${folder}/my.duckdb`]],
    ['the second ?', 'SELECT ?, size FROM read_blob(?)', [1, `${folder}/my.duckdb`]],
    ['a parameter in an expression', "SELECT size FROM read_blob($1 || '/my.duckdb')", [folder]],
    ['a list', `SELECT size FROM read_blob(['${folder}/plain.csv', $f])`, { f: `${folder}/my.duckdb` }],
    ['a list as parameter', 'SELECT size FROM read_text($f)', { f: [`${folder}/plain.csv`, `${folder}/hard.csv`] }],
    ['a list comprehension', `SELECT size FROM read_blob(['${folder}/' || x for x in ['my.duckdb']])`],
    ['a pattern', `SELECT size FROM read_blob('${folder}/m' || '*')`],
    ['a pattern that a link matches', `FROM read_csv('${folder}/h*.csv')`],
    ['a pattern for a table', `FROM '${folder}/*.json'`],
    ['a name cut off by NUL', `SELECT size FROM read_blob('${folder}/my.duckdb' || chr(0) || '.csv')`],
    ['a hard link', "FROM read_csv($1 || '/hard.csv')", [folder]],
    ['a symbolic link', "FROM read_json(getvariable('dir') || '/soft.json')"],
    ['parquet', "FROM parquet_metadata(getvariable('f'))"],
    ['sniff_csv', "FROM sniff_csv(getvariable('f'))"],
    ['what changes each time', `SELECT size FROM read_blob(CASE WHEN random() < 2 THEN '${folder}/my.duckdb' END)`],
    ['a query as text', `FROM query('SELECT size FROM read_blob(''${folder}/my.duckdb'')')`],
    ['a query as parameter', 'FROM query($q)', { q: `SELECT size FROM read_blob('${folder}/my.' || 'duckdb')` }],
    ['a query in a query', 'FROM query($q)', { q: `FROM query('SELECT size FROM read_blob(''${folder}/my.duckdb'')')` }],
    ['a table by name', 'FROM query_table($q)', { q: `${folder}/hard.csv` }],
    ['tables by name', `FROM query_table(['t', '${folder}/hard.csv'])`],
    ['a serialized query', `FROM json_execute_serialized_sql(json_serialize_sql('FROM ''${folder}/hard.csv'''))`],
    ['a plan', `SELECT json_serialize_plan('FROM ''${folder}/hard.csv''')`],
    ['COPY FROM a parameter', 'COPY t FROM $f', { f: `${folder}/hard.csv` }],
    ['COPY TO an expression', "COPY t TO (getvariable('f'))"],
    ['INSTALL', `INSTALL '${folder}/my.duckdb'`],
    ['the second table', `FROM t, '${folder}/hard.csv'`],
    ['the second table, after a comment', `FROM t AS x, /* 'no' */ '${folder}/hard.csv'`],
    ['a table after a condition', `SELECT * FROM t JOIN t u ON t.i = u.i, '${folder}/hard.csv'`],
    ['a table in brackets', `SELECT * FROM t, (SELECT 1), (FROM '${folder}/hard.csv') x`],
    ['tables in brackets', `SELECT * FROM (t CROSS JOIN '${folder}/hard.csv')`],
    ['POSITIONAL JOIN', `SELECT * FROM t POSITIONAL JOIN '${folder}/hard.csv'`],
    ['FROM after BY NAME', `INSERT INTO t BY NAME FROM '${folder}/hard.csv'`],
    ['SHOW', `SHOW '${folder}/hard.csv'`],
    ['MERGE', `MERGE INTO t USING '${folder}/hard.csv' ON false WHEN NOT MATCHED THEN INSERT VALUES (9)`],
    ['all that parquet says', `FROM parquet_full_metadata('${folder}/hard.csv')`],
    ['a cast of a constant', `FROM read_csv('${folder}/hard.csv'::VARCHAR)`],
    ['a comment before the bracket', `FROM read_csv /* it */ ('${folder}/hard' || '.csv')`],
    ['a schema before the function', `FROM system.main.read_csv('${folder}/hard' || '.csv')`],
    ['PREPARE', 'PREPARE p AS SELECT size FROM read_blob($1)'],
    ['a macro', 'CREATE TEMP MACRO r(f) AS TABLE SELECT size FROM read_blob(f)'],
    ['a macro of any name before', "CREATE MACRO r(f) AS (SELECT size FROM read_blob('/tmp/' || f))"],
    ['a view', "CREATE VIEW v AS SELECT size FROM read_blob(getvariable('f'))"],
    ['a view of a constant', `CREATE VIEW v AS SELECT size FROM read_blob('${folder}/my.' || 'duckdb')`],
  ];

  test('and says what to do', async ({ db, folder }) => {
    for (const [name, text, parameters] of cases(folder)) {
      const refused = await refusal(db, text, parameters);
      expect([name, refused]).toEqual([name, expect.objectContaining({ code: 'forbidden', hint: expect.stringMatching(/./) })]);
      expect([name, db.engine.database.holdsLock()]).not.toEqual([name, false]);
    }
    const mistake = await db.mistake("SELECT size FROM read_blob(getvariable('f'))");
    expect(mistake).toEqual({
      code: 'forbidden',
      message: `'${db.path}' is an open database, which must not be read as a file`,
      hint: "query its tables, or make a copy with BACKUP TO 'copy.duckdb'; and read that",
      at: "getvariable('f')",
    });
  });

  test('also in what runs by itself', async ({ db, folder }) => {
    const path = `${folder}/my.duckdb`;
    await db.run(
      `UPSERT SCHEDULE bad ( sched: '@daily', sql: 'SELECT size FROM read_blob($f)', params: { f: '${path}' } )`,
      `UPSERT SCHEDULE worse ( sched: '@daily', sql: 'SELECT 1', when: $$SELECT count(*) > 0 FROM read_blob('${folder}/my.' || 'duckdb')$$ )`,
      'UPSERT PROCEDURE sized(f VARCHAR) AS BEGIN SELECT size FROM read_blob($f); END',
    );
    const states = await db.rows('RUN SCHEDULE bad, worse');
    expect(states.map((row) => [row['schedule'], row['state'], row['error_code'] ?? 'forbidden'])).toEqual([
      ['bad', 'failed', 'forbidden'],
      ['worse', 'failed', 'forbidden'],
    ]);
    expect((await db.mistake(`CALL sized('${path}')`)).message).toContain('is an open database');
    expect((await db.mistake(`CALL sized('${folder}/my.' || 'duckdb')`)).code).toBe('forbidden');
    expect(db.engine.database.holdsLock()).not.toBe(false);
  });
});

describe('other files are read as ever', () => {
  test('by expressions, parameters, macros and views', async ({ db, folder }) => {
    const one = [{ a: 1n, b: 2n }];
    expect(await db.rows(`FROM read_csv('${folder}/day_' || current_date || '.csv')`)).toEqual(one);
    expect(await db.rows('FROM read_csv($f)', { f: `${folder}/plain.csv` })).toEqual(one);
    expect(await db.rows('FROM read_csv(?, header := true)', [`${folder}/plain.csv`])).toEqual(one);
    expect(await db.rows('SELECT $1 AS a, b FROM read_csv($2)', [1, `${folder}/plain.csv`])).toEqual([{ a: 1, b: 2n }]);
    expect(await db.rows(`FROM '${folder}/plain.csv', t`)).toEqual([{ ...one[0], i: 1 }]);
    await db.run(
      "CREATE MACRO day(d) AS TABLE FROM read_csv(getvariable('dir') || '/' || d || '.csv')",
      'CREATE MACRO counted(name) AS TABLE SELECT count(*) AS n FROM query_table(name)',
      `CREATE VIEW today AS FROM read_csv('${folder}/day_' || current_date || '.csv')`,
    );
    expect(await db.rows("FROM day('plain')")).toEqual(one);
    expect(await db.rows("FROM counted('t')")).toEqual([{ n: 1n }]);
    expect(await db.rows('FROM today')).toEqual(one);
    expect(await db.rows("FROM query('SELECT i FROM t')")).toEqual([{ i: 1 }]);
    await db.run("COPY t TO (getvariable('dir') || '/out.csv')");
    expect(await db.rows(`FROM '${folder}/out.csv'`)).toEqual([{ i: 1n }]);
  });

  test('and a text that is the path stays a text', async ({ db, folder }) => {
    expect(folder).toBe(db.folder);
    await db.run('CREATE TABLE notes (a VARCHAR, b VARCHAR)', `INSERT INTO notes VALUES ('x', '${db.path}')`);
    expect(await db.rows(`SELECT a FROM notes WHERE b IN ('y', '${db.path}') GROUP BY a, '${db.path}'`)).toEqual([{ a: 'x' }]);
    expect(await db.rows(`SELECT 'x', '${db.path}' AS p FROM t`)).toMatchObject([{ p: db.path }]);
  });

  test("a path that cannot be computed is the statement's own mistake", async ({ db }) => {
    expect(await db.mistake('FROM t, read_csv(t.i)')).toMatchObject({ code: 'forbidden' });
    expect(await db.mistake('FROM read_csv($f)')).toMatchObject({ code: 'undefined_parameter' });
  });
});

// Linux: /proc/locks shows that it is lost.
describe.runIf(process.platform === 'linux')('when the lock is lost all the same', () => {
  test('by a view that came with the file, nothing more is written until the file is opened again, with its lock', async ({
    db,
    folder,
  }) => {
    await db.run('CHECKPOINT', 'INSERT INTO t VALUES (2)');
    const lost = { code: 'fatal', message: expect.stringContaining('lock_lost'), hint: expect.stringContaining('Find what read it') };
    const other = await db.newSession();
    await other.execute('BEGIN');
    await other.execute('INSERT INTO t VALUES (3)');
    // What no statement of ours would have let in.
    const native = await db.engine.database.connect();
    await native.run(`CREATE TEMP VIEW v AS SELECT size FROM read_blob('${folder}/hard.csv')`);
    await native.all('SELECT * FROM v').catch(() => undefined);
    await expect.poll(() => native.all('SELECT 1').catch((error: unknown) => error)).toMatchObject(lost);
    await expect(other.execute('COMMIT')).rejects.toMatchObject(lost);
    await db.run('INSERT INTO t VALUES (4)');
    expect(db.engine.database.fatal).toBe(false);
    expect(await db.rows('FROM t')).toEqual([{ i: 1 }, { i: 2 }, { i: 4 }]);
    expect(db.engine.database.holdsLock()).toBe(true);
  });

  test('by the host program itself, a statement soon after tells', async ({ db }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    copyFileSync(db.path, join(db.folder, 'copy.duckdb'));
    const said = () => db.rows('SELECT count(*) FROM t').catch((error: unknown) => String(error));
    await expect.poll(said, { timeout: 10_000 }).toContain('lock_lost');
  });

  test('a file that is renamed while it is open is still held', async ({ db }) => {
    renameSync(db.path, join(db.folder, 'renamed.duckdb'));
    await db.run('CREATE TABLE t AS SELECT 1 AS i');
    expect(await db.rows('FROM t')).toEqual([{ i: 1 }]);
  });
});

describe('what a statement reads', () => {
  base('a parameter keeps its place among all of the text', () => {
    const [read] = fileReadsOf('SELECT ?, $$?$$, ? FROM read_csv(? || ?)').computed;
    expect(read?.expression).toBe('$value_3 || $value_4');
    expect([...(read?.parameters ?? [])]).toEqual([
      ['value_3', 3],
      ['value_4', 4],
    ]);
  });
});
