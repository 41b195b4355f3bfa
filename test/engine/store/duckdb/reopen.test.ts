// After an error that stops DuckDB the file is opened again in the same process: whole, once, and for everybody who holds it.

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../../src/core/diagnostic.ts';
import { fileIdentity } from '../../../../src/engine/store/duckdb/file.ts';
import { isOpenForWriting } from '../../../../src/engine/store/duckdb/heldFiles.ts';
import { duckdb, type NativeConnection, type NativeDatabase, openNative } from '../../../../src/engine/store/duckdb/native.ts';
import { type Clock, systemClock } from '../../../../src/scheduler/clock.ts';
import { canMount, mountSmallDisk } from '../../../support/smallDisk.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-reopen-'));
const opened: NativeDatabase[] = [];
let files = 0;

const newFile = () => {
  files += 1;
  return join(folder, `file${files}.duckdb`);
};
const open = async (path: string, options: { readOnly?: boolean; settings?: Record<string, string>; clock?: Clock } = {}) => {
  const database = await openNative(path, { clock: systemClock, ...options });
  opened.push(database);
  return database;
};
const rows = async (connection: NativeConnection, sql: string) => (await connection.all(sql)).chunks.flatMap((chunk) => chunk.getRows());
const failure = async (work: Promise<unknown>): Promise<Diagnostic> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Diagnostic)) throw new Error(`expected a Diagnostic, got ${String(error)}`);
  return error;
};

/** A mistake in DuckDB 1.5.6, which ends the whole instance. */
const stop = async (database: NativeDatabase) => {
  const deadly = (await database.connect()).query('SELECT typeof($1), $1::VARCHAR', [{ value: 'x' }]);
  expect((await failure(deadly)).code).toBe('fatal');
};

/** Rows that fill the buffer which DuckDB computes ahead, so that later ones are computed when they are read. */
const wide = 'SELECT repeat(i::VARCHAR, 20) FROM range(1000000) t(i)';

afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((database) => database.close()));
});

describe('a database that has stopped', () => {
  test('is opened again for every handle of it, with what was committed and nothing else', async () => {
    const path = newFile();
    const [database, second] = [await open(path), await open(path)];
    const heard: string[] = [];
    database.onFatal(() => heard.push('first'));
    second.onFatal(() => heard.push('second'));
    const [one, other] = [await database.connect(), await second.connect()];
    await one.run('CREATE TABLE t(i INTEGER); INSERT INTO t VALUES (1)');
    await other.run('BEGIN; INSERT INTO t VALUES (2)');
    for (const round of [1, 2]) {
      await stop(database);
      expect([database.fatal, second.fatal]).toEqual([true, true]);
      expect(heard).toHaveLength(2 * round);
      expect((await failure(one.query('FROM t'))).code).toBe(round === 1 ? 'fatal' : 'closed');
      await second.reopen();
      expect([database.fatal, second.fatal]).toEqual([false, false]);
      for (const handle of [database, second]) expect(await rows(await handle.connect(), 'FROM t')).toEqual([[1]]);
    }
    await (await database.connect()).run('INSERT INTO t VALUES (3)');
    await Promise.all([database.close(), second.close()]);
    expect(existsSync(`${path}.wal`)).toBe(false);
    expect(await rows(await (await open(path)).connect(), 'FROM t')).toEqual([[1], [3]]);
  });

  test('is opened once when many ask at the same time, and while all is well nothing happens', async () => {
    const database = await open(newFile());
    const connection = await database.connect();
    await connection.run('CREATE TEMP TABLE mine AS SELECT 1');
    await database.reopen();
    expect(await rows(connection, 'FROM mine')).toEqual([[1]]);
    await stop(database);
    await Promise.all(Array.from({ length: 10 }, () => database.reopen()));
    const after = await database.connect();
    await after.run('CREATE TEMP TABLE mine AS SELECT 2');
    await database.reopen();
    expect(await rows(after, 'FROM mine')).toEqual([[2]]);
  });

  test('is opened by whoever opens the file anew', async () => {
    const path = newFile();
    const database = await open(path);
    await stop(database);
    const [second, third] = await Promise.all([open(path), open(path)]);
    await (await second.connect()).run('CREATE TABLE t AS SELECT 1 AS i');
    expect(await rows(await database.connect(), 'FROM t')).toEqual([[1]]);
    expect(await rows(await third.connect(), 'FROM t')).toEqual([[1]]);
  });

  test('has its settings and its functions, and under an alias its name', async () => {
    for (const path of [newFile(), join(folder, 'cron.duckdb')]) {
      const database = await open(path, { settings: { threads: '1' } });
      const { catalogue } = database;
      database.registerScalar({
        name: 'tripled',
        parameterTypes: [duckdb.INTEGER],
        returnType: duckdb.INTEGER,
        nulls: 'propagate',
        call(input, output) {
          for (let row = 0; row < input.rowCount; row += 1) output.setItem(row, Number(input.getColumnVector(0).getItem(row)) * 3);
        },
      });
      await stop(database);
      await database.reopen();
      const connection = await database.connect();
      expect(await rows(connection, "SELECT tripled(7::INTEGER), current_setting('threads'), current_database()")).toEqual([
        [21, 1n, catalogue],
      ]);
    }
  });

  test('that was read-only is read-only again', async () => {
    const path = newFile();
    await (await open(path)).close();
    const database = await open(path, { readOnly: true });
    await stop(database);
    await database.reopen();
    expect((await failure((await database.connect()).query('CREATE TABLE t(i INTEGER)'))).code).toBe('read_only');
  });

  test('in memory is lost, and says so', async () => {
    const database = await open(':memory:');
    await stop(database);
    expect(await failure(database.reopen())).toMatchObject({
      code: 'fatal',
      hint: expect.stringContaining('what is in memory only is lost'),
    });
    expect((await failure(database.connect())).code).toBe('fatal');
  });

  test('and is closed meanwhile stays closed', async () => {
    const database = await open(newFile());
    await stop(database);
    const [reopened] = await Promise.allSettled([database.reopen(), database.close()]);
    expect(reopened.status).toBe('fulfilled');
    expect((await failure(database.reopen())).code).toBe('closed');
    expect((await failure(database.connect())).code).toBe('closed');
  });
});

describe('what was at work when a database stopped', () => {
  test('hears fatal and not that somebody cancelled it, and later ones that the connection is gone', async () => {
    const database = await open(newFile());
    const [busy, idle] = await Promise.all([database.connect(), database.connect()]);
    const long = failure(busy.all('SELECT count(*) FROM range(3000000000) t(i) WHERE i * i % 7 = 3'));
    const waiting = failure(busy.all('SELECT 1'));
    const cursor = await idle.query(wide);
    await cursor.next();
    await stop(database);
    await database.reopen();
    expect([await long, await waiting].map(({ code }) => code)).toEqual(['fatal', 'fatal']);
    expect(
      await failure(
        (async () => {
          while ((await cursor.next()) !== undefined);
        })(),
      ),
    ).toMatchObject({ code: 'fatal' });
    const gone = await failure(idle.query('SELECT 1'));
    expect(gone.code).toBe('closed');
    expect(gone.message).toMatch(/^The connection ended with the error that stopped the database: .*GetTypeIdSize/);
    expect(gone.hint).toBe('Make another one: what was committed is in the file.');
    expect(idle.lost?.code).toBe('fatal');
  });

  test('knows that its transaction is gone', async () => {
    const database = await open(newFile());
    const [inside, outside] = await Promise.all([database.connect(), database.connect()]);
    await inside.run('BEGIN');
    await stop(database);
    await database.reopen();
    expect([inside.transaction, outside.transaction]).toEqual(['aborted', 'none']);
  });

  // A second instance beside one that lives on loses rows. Linux: /proc tells which descriptors are open.
  test.runIf(process.platform === 'linux')(
    'does not keep the file open, neither unread rows nor rows given up in a transaction',
    async () => {
      const path = newFile();
      const database = await open(path);
      const cursors = await Promise.all(
        [true, false].map(async (givenUp) => {
          const connection = await database.connect();
          if (givenUp) await connection.run('BEGIN');
          const cursor = await connection.query(wide);
          await cursor.next();
          if (givenUp) await cursor.cancel();
          return cursor;
        }),
      );
      await stop(database);
      await database.reopen();
      expect(cursors).toHaveLength(2);
      await database.close();
      expect(isOpenForWriting(fileIdentity(path) ?? '')).toBe(false);
    },
  );

  // Opening a pipe that nobody writes to cannot be interrupted. Linux, as above.
  test.runIf(process.platform === 'linux')('and does not end keeps the file closed until it does', async () => {
    const pipe = join(folder, 'pipe.csv');
    spawnSync('mkfifo', [pipe]);
    const impatient = { ...systemClock, after: (ms: number, callback: () => void) => systemClock.after(Math.min(ms, 50), callback) };
    const database = await open(newFile(), { clock: impatient });
    const reading = failure((await database.connect()).all(`FROM read_csv('${pipe}')`));
    await stop(database);
    expect(await failure(database.reopen())).toMatchObject({ code: 'too_busy', message: expect.stringContaining('does not end') });
    expect(database.fatal).toBe(true);
    writeFileSync(pipe, 'a\n1\n');
    await reading;
    await expect.poll(() => database.reopen().then(() => 'opened', String)).toBe('opened');
    expect(await rows(await database.connect(), 'SELECT 1')).toEqual([[1]]);
  });
});

// Linux: /proc/locks shows that it was lost.
describe.runIf(process.platform === 'linux')('a database whose lock was lost', () => {
  /** What another process would do: `true` if DuckDB lets it write. */
  const mayWrite = (path: string): boolean =>
    spawnSync(
      process.execPath,
      ['-e', "require('@duckdb/node-api').DuckDBInstance.create(process.argv[1]).then(() => process.exit(7), () => process.exit(0))", path],
      { cwd: import.meta.dirname },
    ).status === 7;

  test('is opened again, locked, with what was committed', async () => {
    const path = newFile();
    const database = await open(path);
    const connection = await database.connect();
    await connection.run('CREATE TABLE t AS SELECT 1 AS i; CHECKPOINT; INSERT INTO t VALUES (2)');
    copyFileSync(path, `${path}.copy`);
    expect(database.holdsLock()).toBe(false);
    await database.reopen();
    expect(database.holdsLock()).toBe(true);
    expect((await failure(connection.query('SELECT 1'))).message).toContain('lock_lost');
    expect(mayWrite(path)).toBe(false);
    expect(await rows(await database.connect(), 'FROM t')).toEqual([[1], [2]]);
  });

  test('is not opened while another process has it, and then with what that one wrote', async () => {
    const path = newFile();
    const database = await open(path);
    await (await database.connect()).run('CREATE TABLE t AS SELECT 1 AS i; CHECKPOINT');
    copyFileSync(path, `${path}.copy`);
    const script = `require('@duckdb/node-api').DuckDBInstance.create(process.argv[1]).then(async (instance) => {
      const connection = await instance.connect();
      await connection.run('INSERT INTO t VALUES (2)');
      process.stdout.write('written');
      process.stdin.on('data', () => { connection.closeSync(); instance.closeSync(); process.exit(); });
    })`;
    const other = spawn(process.execPath, ['-e', script, path], { cwd: import.meta.dirname });
    const ended = new Promise((resolve) => other.on('close', resolve));
    await new Promise((resolve) => other.stdout.once('data', resolve));
    const refused = await failure(database.reopen());
    expect(refused.code).toBe('file_locked');
    expect((await failure(database.reopen())).code).toBe('file_locked');
    expect((await failure(database.connect())).message).toContain('lock_lost');
    other.stdin.end('end');
    await ended;
    await database.reopen();
    expect(await rows(await database.connect(), 'FROM t')).toEqual([[1], [2]]);
  });
});

describe('a file that is not there any more', () => {
  test('is neither made anew nor taken for another, and is opened when it is back', async () => {
    const path = newFile();
    const database = await open(path);
    await (await database.connect()).run('CREATE TABLE t AS SELECT 1 AS i');
    await stop(database);
    renameSync(path, `${path}.away`);
    const gone = { code: 'file_not_found', message: expect.stringContaining('moved, removed or replaced') };
    expect(await failure(database.reopen())).toMatchObject(gone);
    expect(existsSync(path)).toBe(false);
    copyFileSync(`${path}.away`, path);
    expect(await failure(database.reopen())).toMatchObject(gone);
    rmSync(path);
    renameSync(`${path}.away`, path);
    await database.reopen();
    expect(await rows(await database.connect(), 'FROM t')).toEqual([[1]]);
  });

  // Linux: /proc tells of descriptors that can write.
  test.runIf(process.platform === 'linux')('is not opened beside a descriptor that can write it', async () => {
    const path = newFile();
    const database = await open(path);
    await stop(database);
    const descriptor = openSync(path, 'r+');
    expect((await failure(database.reopen())).code).toBe('in_use');
    closeSync(descriptor);
    await database.reopen();
  });
});

describe('a full disk', () => {
  // Only root may mount a small disk.
  test.skipIf(!canMount)(
    'a file is opened again although there is no room yet, and a commit that said it was durable is there',
    async () => {
      const mount = mountSmallDisk(24);
      const path = join(mount, 'full.duckdb');
      const database = await open(path, { settings: { wal_autocheckpoint: '4MB' } });
      const connection = await database.connect();
      await connection.run('CREATE TABLE t(i BIGINT, s VARCHAR)');
      writeFileSync(join(mount, 'ballast'), Buffer.alloc(16_000_000));
      const sure = new Set<number>();
      const fill = async (batch: number, on: NativeConnection) => {
        await on.run(`INSERT INTO t SELECT ${batch}, hash(range + ${batch * 7})::VARCHAR || hash(range)::VARCHAR FROM range(5000)`);
        sure.add(batch);
      };
      let refused: Diagnostic | undefined;
      for (let batch = 0; refused === undefined && batch < 400; batch += 1)
        refused = await failure(fill(batch, connection)).catch(() => undefined);
      expect(refused?.code).toBe('fatal');
      await database.reopen();
      const stored = async () =>
        new Map((await rows(await database.connect(), 'SELECT i, count(*) FROM t GROUP BY i')).map(([i, n]) => [i, n]));
      const there = await stored();
      for (const batch of sure) expect(there.get(BigInt(batch))).toBe(5000n);
      expect([...there.values()].every((count) => count === 5000n)).toBe(true);
      // Without room every further checkpoint would be fatal too; held, what fits into the log is stored, and what does not is refused.
      await database.holdCheckpoints(true);
      const after = await database.connect();
      await after.run("INSERT INTO t VALUES (-1, 'small')");
      const big = failure(after.run('INSERT INTO t SELECT -2, hash(range)::VARCHAR || hash(range + 1)::VARCHAR FROM range(200000)'));
      expect((await big).code).toBe('disk_full');
      await after.run("INSERT INTO t VALUES (-1, 'small')");
      expect(database.fatal).toBe(false);
      rmSync(join(mount, 'ballast'));
      await database.holdCheckpoints(false);
      await after.run("INSERT INTO t VALUES (-1, 'small')");
      const end = await stored();
      expect([end.get(-1n), end.get(-2n)]).toEqual([3n, undefined]);
      expect(existsSync(`${path}.wal`)).toBe(false);
      await database.close();
    },
  );
});
