// Real processes on real files.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { type Claim, claimFile, heldBy, whoHolds } from '../../src/daemon/lock.ts';
import { cuckooVersion } from '../../src/daemon/version.ts';
import { openNative } from '../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'cuckoo-lock-')));
const claims: Claim[] = [];
const children: ChildProcessWithoutNullStreams[] = [];
let files = 0;

const newFile = () => {
  files += 1;
  return join(folder, `${files}.duckdb`);
};
const claim = async (...parameters: Parameters<typeof claimFile>) => {
  const claimed = await claimFile(...parameters);
  claims.push(claimed);
  return claimed;
};
const failure = async (work: Promise<unknown>): Promise<Diagnostic> => {
  const error = await work.catch((reason: unknown) => reason);
  if (!(error instanceof Diagnostic)) throw new Error(`expected a Diagnostic, got ${String(error)}`);
  return error;
};

const over = (socketPath: string, method: string, path: string, body = '') =>
  new Promise<{ status: number | undefined; type: string | undefined; body: string }>((ended, failed) => {
    const asked = request({ socketPath, method, path }, async (response) => {
      let text = '';
      for await (const chunk of response) text += String(chunk);
      ended({ status: response.statusCode, type: response.headers['content-type'], body: text });
    });
    asked.on('error', failed).end(body);
  });

afterEach(async () => {
  await Promise.all(claims.splice(0).map((claimed) => claimed.release()));
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Opens the file as the shell does, writes a row, says how it went, and stays until its input ends. */
const source = resolve(import.meta.dirname, '../../src');
const script = join(folder, 'holder.mts');
writeFileSync(
  script,
  `
  import { openNative } from '${source}/engine/store/duckdb/native.ts';
  import { claimFile } from '${source}/daemon/lock.ts';
  import { systemClock } from '${source}/scheduler/clock.ts';
  const path = process.argv[2];
  try {
    const database = await openNative(path, { clock: systemClock });
    const claimed = await claimFile(database.path, { kind: 'daemon' });
    const connection = await database.connect();
    await connection.run('CREATE TABLE IF NOT EXISTS t(pid INTEGER); INSERT INTO t VALUES (' + process.pid + ')');
    console.log('holds');
    process.stdin.resume();
    await new Promise((ended) => process.stdin.on('end', ended));
    await claimed.release();
    await database.close();
  } catch (error) {
    console.log(error.code + ' ' + error.message);
    process.exitCode = 4;
  }
  `,
);

interface Process {
  readonly pid: number;
  readonly said: string;
  end(): Promise<number | null>;
  kill(): Promise<number | null>;
}

async function start(path: string): Promise<Process> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, path], { cwd: resolve(source, '..') });
  children.push(child);
  const exit = new Promise<number | null>((ended) => child.on('exit', (code) => ended(code)));
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += String(data);
  });
  const said = await new Promise<string>((ended) => {
    createInterface(child.stdout).once('line', ended);
    void exit.then((code) => ended(`ended with ${code}: ${errors}`));
  });
  return {
    pid: child.pid ?? 0,
    said,
    end() {
      child.stdin.end();
      return exit;
    },
    kill() {
      child.kill('SIGKILL');
      return exit;
    },
  };
}

describe('processes on one file', () => {
  test('the second hears who holds it; after SIGKILL of the first the next start simply works', async () => {
    const path = newFile();
    const first = await start(path);
    expect(first.said).toBe('holds');
    const second = await start(path);
    expect(second.said).toMatch(new RegExp(`^file_locked ".*" is held by process ${first.pid} \\(.*node.*\\)\\.$`));
    expect(await second.end()).toBe(4);
    expect(await whoHolds(path)).toEqual({
      protocol: 1,
      pid: first.pid,
      kind: 'daemon',
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      version: cuckooVersion,
      address: `${path}.cuckoo`,
    });

    await first.kill();
    expect(existsSync(`${path}.cuckoo`)).toBe(true);
    expect(await whoHolds(path)).toBeUndefined();
    const third = await start(path);
    expect(third.said).toBe('holds');
    expect(await third.end()).toBe(0);
    expect(readdirSync(folder).filter((name) => name.startsWith('1.'))).toEqual(['1.duckdb']);

    const database = await openNative(path, { clock: systemClock });
    const { chunks } = await (await database.connect()).all('SELECT pid FROM t ORDER BY rowid');
    expect(chunks.flatMap((chunk) => chunk.getRows())).toEqual([[first.pid], [third.pid]]);
    await database.close();
  });

  test('of ten that start at once on a new file one wins, and the file is whole', { timeout: 60_000 }, async () => {
    const path = newFile();
    const processes = await Promise.all(Array.from({ length: 10 }, () => start(path)));
    const winners = processes.filter(({ said }) => said === 'holds');
    const others = processes.filter(({ said }) => said !== 'holds');
    expect(winners).toHaveLength(1);
    expect(others.map(({ said }) => said)).toEqual(Array.from({ length: 9 }, () => expect.stringMatching(/^file_locked .*process \d+/)));
    await Promise.all(processes.map((each) => each.end()));
    const database = await openNative(path, { clock: systemClock });
    const { chunks } = await (await database.connect()).all('SELECT pid FROM t');
    expect(chunks.flatMap((chunk) => chunk.getRows())).toEqual([[winners[0]?.pid]]);
    await database.close();
  });

  // Linux: closing any descriptor of the file drops DuckDB's lock, and /proc/locks shows that it is gone. The socket still answers.
  test.skipIf(process.platform !== 'linux')('whoever gets in because the lock was lost goes away at once', async () => {
    const path = newFile();
    const database = await openNative(path, { clock: systemClock });
    await claim(database.path, { kind: 'library' });
    expect(database.holdsLock()).toBe(true);
    readFileSync(path);
    expect(database.holdsLock()).toBe(false);
    const second = await start(path);
    expect(second.said).toMatch(new RegExp(`^file_locked ".*" is held by a Cuckoo library \\(process ${process.pid}\\) since`));
    await database.close();
  });
});

describe('a claim', () => {
  test('answers everybody with who holds the file, and ends twice if asked', async () => {
    const path = newFile();
    const claimed = await claim(path, { kind: 'shell' });
    expect(await Promise.all(Array.from({ length: 20 }, () => whoHolds(path).then((holder) => holder?.pid)))).toEqual(
      Array.from({ length: 20 }, () => process.pid),
    );
    expect(statSync(`${path}.cuckoo`).mode & 0o777).toBe(0o600);
    await Promise.all([claimed.release(), claimed.release()]);
    expect(existsSync(`${path}.cuckoo`)).toBe(false);
    expect(await whoHolds(path)).toBeUndefined();
  });

  test('speaks HTTP: says who holds the file, and what it has learnt since', async () => {
    const path = newFile();
    const claimed = await claim(path, { kind: 'library' });
    const asked = await over(`${path}.cuckoo`, 'GET', '/holder');
    expect(asked).toMatchObject({ status: 200, type: 'application/json' });
    expect(JSON.parse(asked.body)).toMatchObject({ protocol: 1, pid: process.pid, kind: 'library', version: cuckooVersion });
    claimed.announce({ url: 'http://127.0.0.1:8470' });
    expect(JSON.parse((await over(`${path}.cuckoo`, 'GET', '/holder')).body)).toMatchObject({ url: 'http://127.0.0.1:8470' });
    for (const [method, where] of [
      ['GET', '/'],
      ['POST', '/holder'],
      ['POST', '/handover'],
      ['POST', '/api/v1/sessions'],
    ] as const) {
      expect(await over(`${path}.cuckoo`, method, where), `${method} ${where}`).toMatchObject({ status: 404 });
    }
  });

  test('hands every other request on', async () => {
    const path = newFile();
    await claim(path, { kind: 'daemon', onRequest: ({ method, url }, response) => response.end(`${method} ${url}`) });
    expect(await over(`${path}.cuckoo`, 'PUT', '/api/v1/jobs?limit=1')).toMatchObject({ status: 200, body: 'PUT /api/v1/jobs?limit=1' });
    expect((await whoHolds(path))?.pid).toBe(process.pid);
  });

  test('answers whoever asked for the file when it has been let go of', async () => {
    const path = newFile();
    const asked: unknown[] = [];
    const claimed: Claim = await claim(path, {
      onHandover: async (by) => {
        asked.push(by);
        if (asked.length === 1) return { refused: 'not now' };
        await claimed.release();
        return 'released';
      },
    });
    expect(await over(`${path}.cuckoo`, 'POST', '/handover', '{"pid":7}')).toMatchObject({ status: 409, body: '{"refused":"not now"}\n' });
    expect(await over(`${path}.cuckoo`, 'POST', '/handover', 'not JSON')).toMatchObject({ status: 409 });
    expect(await over(`${path}.cuckoo`, 'POST', '/handover', '{"pid":8}')).toMatchObject({ status: 200, body: '{"released":true}\n' });
    expect(asked).toEqual([{ pid: 7 }, { pid: 8 }]);
    expect(await whoHolds(path)).toBeUndefined();
  });

  test('is not troubled by those who say half, say nothing, or hang up', async () => {
    const path = newFile();
    const claimed = await claim(path, { kind: 'daemon' });
    const others = Array.from({ length: 50 }, (_, at) => {
      const socket = connect(`${path}.cuckoo`).on('error', () => {});
      socket.write('GET /holder HTTP/1.1\r\nHost: cuckoo\r\n\r\n'.slice(0, at));
      if (at % 5 === 0) socket.destroy();
      return socket;
    });
    expect((await whoHolds(path))?.pid).toBe(process.pid);
    const gone = Promise.all(others.map((socket) => socket.destroyed || new Promise((closed) => socket.resume().on('close', closed))));
    await claimed.release();
    await gone;
  });

  test('of a file that somebody answers for is refused, and leaves theirs alone', async () => {
    const path = newFile();
    await claim(path, { kind: 'daemon' });
    const attempts = await Promise.all(Array.from({ length: 10 }, () => failure(claimFile(path))));
    expect(new Set(attempts.map(({ code }) => code))).toEqual(new Set(['file_locked']));
    expect((await whoHolds(path))?.pid).toBe(process.pid);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('of ten at once over a stale socket succeeds once', async () => {
    const path = newFile();
    const holder = await start(path);
    expect(holder.said).toBe('holds');
    await holder.kill();
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => claim(path)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await whoHolds(path))?.pid).toBe(process.pid);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('counts a holder that lets others in but does not answer as alive', async () => {
    const path = newFile();
    const server = createServer(() => {});
    await new Promise<void>((listening) => server.listen(`${path}.cuckoo`, listening));
    expect(await failure(claimFile(path))).toMatchObject({ code: 'file_locked', message: `"${path}" is held by another process.` });
    server.close();
  });

  test('with a long path is found in a folder of the user alone', async () => {
    const deep = join(folder, 'deep'.repeat(30));
    mkdirSync(deep);
    const path = join(deep, 'file.duckdb');
    const claimed = await claim(path);
    expect(readdirSync(deep)).toEqual([]);
    expect((await whoHolds(path))?.pid).toBe(process.pid);
    expect((await failure(claimFile(path))).code).toBe('file_locked');
    await claimed.release();
    expect(await whoHolds(path)).toBeUndefined();
  });

  test('does not remove a file of the user that has the name of the socket', async () => {
    const path = newFile();
    writeFileSync(`${path}.cuckoo`, 'mine');
    await claim(path);
    expect(readFileSync(`${path}.cuckoo`, 'utf8')).toBe('mine');
    expect((await whoHolds(path))?.pid).toBe(process.pid);
  });

  test('is described in words, with what is known', () => {
    expect(heldBy('/a', { pid: 7, kind: 'shell', since: '2027-01-01T00:00:00.000Z' }).message).toBe(
      '"/a" is held by a Cuckoo shell (process 7) since 2027-01-01T00:00:00.000Z.',
    );
  });
});
