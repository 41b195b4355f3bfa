import { spawnSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../../src/core/diagnostic.ts';
import {
  catalogueName,
  fileAlias,
  holdsLock,
  inspectFile,
  keepClosed,
  newestStorageVersion,
  resolveDatabasePath,
} from '../../../../src/engine/store/duckdb/file.ts';
import { openNative } from '../../../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../../../src/scheduler/clock.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'cuckoo-file-')));
const path = (name: string) => join(folder, name);
const database = path('good.duckdb');
let header: Buffer;

beforeAll(async () => {
  const opened = await openNative(database, { clock: systemClock });
  await (await opened.connect()).run(
    `ATTACH '${path('latest.duckdb')}' AS latest (STORAGE_VERSION 'latest'); CREATE TABLE latest.t(i INTEGER); DETACH latest`,
  );
  await opened.close();
  header = readFileSync(database);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const refused = (name: string, options = { readOnly: false }): Diagnostic => {
  try {
    inspectFile(path(name), options);
  } catch (error) {
    if (error instanceof Diagnostic) return error;
    throw error;
  }
  throw new Error(`${name} was not refused`);
};
const changed = (name: string, change: (bytes: Buffer) => void) => {
  const bytes = Buffer.from(header);
  change(bytes);
  writeFileSync(path(name), bytes);
};

describe('what kind of file is this', () => {
  test('a database tells its version and who wrote it', () => {
    expect(inspectFile(database, { readOnly: false })).toEqual({
      realPath: database,
      storageVersion: 64,
      writtenBy: expect.stringMatching(/^v1\.5\./),
    });
  });

  test('the newest version that the DuckDB inside writes is one that is accepted, and the limit is not above it', () => {
    expect(inspectFile(path('latest.duckdb'), { readOnly: false }).storageVersion).toBe(newestStorageVersion);
  });

  test('a missing file is none yet; in read-only mode it is an error', () => {
    expect(inspectFile(path('new.duckdb'), { readOnly: false })).toEqual({
      realPath: path('new.duckdb'),
      storageVersion: undefined,
      writtenBy: undefined,
    });
    expect(refused('new.duckdb', { readOnly: true })).toMatchObject({
      code: 'file_not_found',
      message: /does not exist, and nothing is created/,
      hint: /without --readonly/,
    });
  });

  test.each([
    ['empty.duckdb', '', 'not_a_database', /is empty \(0 bytes\)/, /Remove it/],
    ['notes.txt', 'Remember the milk.\nAnd the bread.\n', 'not_a_database', /is a text file/, /Name a DuckDB file/],
    ['rows.csv', 'a,b\n1,2\n', 'not_a_database', /is a CSV file/, /CREATE TABLE t AS FROM '.*rows\.csv'/],
    ['rows.data', 'a;b;c\n1;2;3\n4;5;6\n', 'not_a_database', /is a CSV file/, /CREATE TABLE t AS FROM/],
    ['rows.json', ' [{"a": 1}]', 'not_a_database', /is a JSON file/, /CREATE TABLE t AS FROM/],
    ['rows.parquet', 'PAR1\0\0', 'not_a_database', /is a Parquet file/, /CREATE TABLE t AS FROM/],
    ['old.db', 'SQLite format 3\0 and more', 'not_a_database', /is an SQLite database/, /TYPE sqlite/],
    ['first.sql', 'CREATE TABLE t(i INTEGER);', 'not_a_database', /text file with SQL/, /cuckoo my\.duckdb -f '.*first\.sql'/],
    ['query', '-- all\nSELECT 1', 'not_a_database', /text file with SQL/, /-f/],
    ['picture', '\u0089PNG\r\n\u001a\n\0\0', 'not_a_database', /is not a DuckDB database/, /Name a DuckDB file/],
  ])('%s is refused for what it is', (name, content, code, message, hint) => {
    writeFileSync(path(name), content);
    expect(refused(name)).toMatchObject({ code, message, hint });
  });

  test('a newer file is refused with what wrote it, before DuckDB sees it', async () => {
    changed('newer.duckdb', (bytes) => {
      bytes.writeBigUInt64LE(BigInt(newestStorageVersion + 1), 12);
      bytes.write('v2.0.0\0', 52, 'latin1');
    });
    const expected = {
      code: 'newer_file',
      message: /written by DuckDB v2\.0\.0 in storage version 69; this Cuckoo reads versions up to 68/,
      hint: /newer Cuckoo/,
    };
    expect(refused('newer.duckdb')).toMatchObject(expected);
    await expect(openNative(path('newer.duckdb'), { clock: systemClock })).rejects.toMatchObject(expected);
  });

  test('a file from before 0.10, an encrypted one and one that was cut off are refused, each with what to do', () => {
    changed('older.duckdb', (bytes) => bytes.writeBigUInt64LE(39n, 12));
    expect(refused('older.duckdb')).toMatchObject({ code: 'unsupported', hint: /EXPORT DATABASE/ });
    changed('encrypted.duckdb', (bytes) => bytes.writeBigUInt64LE(1n, 20));
    expect(refused('encrypted.duckdb')).toMatchObject({ code: 'unsupported', hint: /ENCRYPTION_KEY/ });
    writeFileSync(path('cut.duckdb'), header.subarray(0, 1000));
    expect(refused('cut.duckdb')).toMatchObject({ code: 'not_a_database', message: /cut off after 1000 bytes/, hint: /backup/ });
  });

  test('a folder, a pipe, a missing folder and a file in place of one are refused', () => {
    mkdirSync(path('folder'));
    expect(refused('folder')).toMatchObject({ code: 'not_a_database', message: /is a folder/, hint: /cuckoo\.duckdb/ });
    spawnSync('mkfifo', [path('pipe')]);
    expect(refused('pipe')).toMatchObject({ code: 'not_a_database', message: /device, pipe or socket/ });
    expect(refused('nowhere/x.duckdb')).toMatchObject({ code: 'file_not_found', message: /there is no folder/, hint: /mkdir -p/ });
    writeFileSync(path('plain'), 'x');
    expect(refused('plain/x.duckdb')).toMatchObject({ code: 'file_not_found', message: /a file, not a folder/ });
    expect(refused('x'.repeat(300))).toMatchObject({ code: 'file_not_found', message: /longer than/ });
  });

  // The administrator's account may read and write everything, so the process becomes another one: after it has loaded the code,
  // which may lie in a folder that the other one cannot enter.
  const asNobody = (name: string, readOnly = false): string => {
    const file = resolve(import.meta.dirname, '../../../../dist/engine/store/duckdb/file.js');
    const code = `
      import { inspectFile } from ${JSON.stringify(pathToFileURL(file).href)};
      if (process.getuid() === 0) {
        process.setgid(65534);
        process.setuid(65534);
      }
      try { inspectFile(process.argv[1], { readOnly: ${readOnly} }); console.log('opened'); }
      catch (error) { console.log(error.code, error.message, error.hint); }`;
    const answer = spawnSync(process.execPath, ['--input-type=module', '-e', code, path(name)], { encoding: 'utf8' });
    return answer.stdout + answer.stderr;
  };

  test('no permission to read, to write, to write beside it or to create is told apart', () => {
    chmodSync(folder, 0o777);
    const names = ['unreadable', 'unwritable', 'closed/inside'];
    mkdirSync(path('closed'));
    for (const name of names) changed(`${name}.duckdb`, () => {});
    const modes = { 'unreadable.duckdb': 0o000, 'unwritable.duckdb': 0o444, 'closed/inside.duckdb': 0o666, closed: 0o555 };
    for (const [name, mode] of Object.entries(modes)) chmodSync(path(name), mode);
    expect(asNobody('unreadable.duckdb')).toMatch(/^forbidden .* no permission to read it\. Change its permissions/);
    expect(asNobody('unwritable.duckdb')).toMatch(/^forbidden .* no permission to write it\. Open it with --readonly/);
    expect(asNobody('unwritable.duckdb', true)).toBe('opened\n');
    expect(asNobody('closed/inside.duckdb')).toMatch(/^forbidden .* no permission to write in its folder\. Open it with --readonly/);
    expect(asNobody('closed/new.duckdb')).toMatch(/^forbidden .* cannot be created: no permission to write in/);
    chmodSync(path('closed'), 0o000);
    expect(asNobody('closed/inside.duckdb')).toMatch(/^forbidden .* no permission to enter one of its folders/);
    chmodSync(path('closed'), 0o700);
  });

  test('links lead to the file, also where it does not exist yet, and never in a circle', () => {
    symlinkSync(database, path('link.duckdb'));
    expect(inspectFile(path('link.duckdb'), { readOnly: false }).realPath).toBe(database);
    symlinkSync('folder/later.duckdb', path('dangling.duckdb'));
    expect(resolveDatabasePath(path('dangling.duckdb'))).toBe(path('folder/later.duckdb'));
    symlinkSync(path('round.duckdb'), path('round.duckdb'));
    expect(refused('round.duckdb')).toMatchObject({ code: 'file_not_found', message: /leads back to itself/ });
  });
});

describe('a file in use', () => {
  test('is never opened again by this process, by none of its names', () => {
    linkSync(database, path('hard.duckdb'));
    const [end, endAgain] = [keepClosed(database), keepClosed(database)];
    expect(refused('hard.duckdb')).toMatchObject({ code: 'internal', message: /would drop DuckDB's lock/ });
    end();
    end();
    expect(refused('good.duckdb').code).toBe('internal');
    endAgain();
    expect(inspectFile(database, { readOnly: false }).storageVersion).toBe(64);
  });

  // Linux: locks are read from /proc/locks.
  test.skipIf(process.platform !== 'linux')('shows its lock as long as it is held', async () => {
    expect(holdsLock(database)).toBe(false);
    const opened = await openNative(database, { clock: systemClock });
    expect(holdsLock(database)).toBe(true);
    await opened.close();
    expect(holdsLock(database)).toBe(false);
    expect(holdsLock(path('nosuch'))).toBe(false);
  });
});

describe('the name of the catalogue', () => {
  // Compared with what DuckDB itself makes of the name.
  test.each([
    'plain.duckdb',
    'cuckoo.v2.duckdb',
    '.hidden.duckdb',
    'noext',
    'a b.duckdb',
    '日本.duckdb',
    'x?y.duckdb',
    "q'uote.duckdb",
    '..x.db',
  ])('of %s is as DuckDB has it', async (name) => {
    const opened = await openNative(path(`folder/${name}`), { clock: systemClock });
    expect(catalogueName(path(`folder/${name}`))).toBe(opened.catalogue);
    await opened.close();
  });

  test('is replaced where it would make our schemas ambiguous', () => {
    expect(['cron.duckdb', 'CRON.db', 'a/cron.2.duckdb', 'cuckoo_ledger.duckdb', 'cron2.duckdb', 'cuckoo.duckdb'].map(fileAlias)).toEqual([
      'cron_file',
      'CRON_file',
      'cron_file',
      'cuckoo_ledger_file',
      undefined,
      undefined,
    ]);
  });
});
