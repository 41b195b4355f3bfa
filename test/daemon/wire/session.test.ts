// A session over HTTP does what one in the same process does: the same statements, the same errors at the same places, the same
// transactions. What goes wrong between the two harms nobody else.

import { connect, type Socket } from 'node:net';
import { describe, expect } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { RemoteScheduler } from '../../../src/daemon/wire/remoteScheduler.ts';
import { RemoteSession } from '../../../src/daemon/wire/remoteSession.ts';
import { Decimal, Interval, MapValue, TimestampTz } from '../../../src/engine/value.ts';
import type { FinishedRun } from '../../../src/scheduler/run.ts';
import { type Door, test } from './door.ts';

const rowsOf = async (session: RemoteSession, sql: string, parameters?: readonly unknown[] | Record<string, unknown>) =>
  (await session.execute(sql, parameters)).toArray();

const mistakeOf = async (work: Promise<unknown>): Promise<Diagnostic> => {
  const error = await work.catch((reason: unknown) => reason);
  if (error instanceof Diagnostic) return error;
  throw new Error(`expected a Diagnostic, got ${String(error)}`);
};

/** Waits for what another connection brings about. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
};

describe('a remote session', () => {
  test('runs statements of DuckDB and of Cuckoo, under the name of whoever opened it', async ({ db, door }) => {
    const session = await door.session({ actor: 'ada' });
    expect(session.path).toBe(db.engine.path);
    expect(await rowsOf(session, 'SELECT 42 AS answer, [1, NULL] AS list')).toEqual([[42, [1, null]]]);
    const made = await session.execute('CREATE TABLE t AS SELECT i FROM range(10) r(i)');
    expect([made.tag, made.columns, made.rowsChanged]).toEqual(['CREATE TABLE', [], undefined]);
    expect((await session.execute('DELETE FROM t WHERE i < 3')).rowsChanged).toBe(3);
    const defined = await session.execute("UPSERT SCHEDULE nightly ( sched: '0 2 * * *', sql: 'SELECT 1' )");
    expect(defined).toMatchObject({ tag: 'UPSERT SCHEDULE', form: 'outcomes' });
    expect((await defined.toObjects())[0]).toMatchObject({ name: 'nightly', outcome: 'created' });
    expect(await db.rows('SELECT changed_by FROM cron.schedule_versions')).toEqual([{ changed_by: 'ada' }]);
    expect((await session.execute('LIST SCHEDULES')).prominent.length).toBeGreaterThan(0);
  });

  test('goes over a port just as well, with a token', async ({ door }) => {
    const address = await door.listen();
    const session = await door.session({}, address);
    expect(await rowsOf(session, 'SELECT count(*) FROM range(100000)')).toEqual([[100_000n]]);
    expect(await mistakeOf(door.session({}, { ...address, token: 'wrong' } as typeof address))).toMatchObject({ code: 'forbidden' });
  });

  test('takes parameters by place and by name, each as what it is', async ({ door }) => {
    const session = await door.session();
    const values = [7, 2n ** 70n, 'text', null, true, -0, new Uint8Array([0, 255]), new Date(0), [1, 2], { a: 1 }];
    const [row] = await rowsOf(session, 'SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10', values);
    expect(row).toStrictEqual([7, 2n ** 70n, 'text', null, true, -0, new Uint8Array([0, 255]), new TimestampTz(0n), [1, 2], { a: 1 }]);
    const named = { d: new Decimal(1250n, 2), i: new Interval(1, 2, 3n), m: new MapValue([['k', 1]]) };
    expect((await rowsOf(session, 'SELECT $d, $i, $m', named))[0]).toStrictEqual(Object.values(named));
    expect(await mistakeOf(rowsOf(session, 'SELECT $1', [undefined]))).toMatchObject({ code: 'wrong_type' });
  });

  test('tells a mistake with its place, its hint and its cause', async ({ db, door }) => {
    const session = await door.session();
    for (const sql of [
      "UPSERT SCHEDULE x ( shed: '@daily' )",
      'SELECT nothing FROM range(3)',
      'SELEC 1',
      "UPSERT SCHEDULE x ( sched: '61 * * * *', sql: 'SELECT 1', colour: 3 )",
      "SELECT 'é🦆', x + ",
    ]) {
      const here = await mistakeOf(db.session.execute(sql));
      const there = await mistakeOf(session.execute(sql));
      expect(there.toJSON()).toEqual(here.toJSON());
      expect(there.more).toHaveLength(here.more.length);
    }
  });

  test('keeps its own transaction and says how it stands', async ({ db, door }) => {
    const [session, other] = [await door.session(), await door.session()];
    await session.execute('CREATE TABLE t (i INTEGER PRIMARY KEY)');
    await session.execute('BEGIN');
    await session.execute('INSERT INTO t VALUES (1)');
    expect(session.transaction).toBe('open');
    expect(other.transaction).toBe('none');
    expect(await rowsOf(other, 'SELECT count(*) FROM t')).toEqual([[0n]]);
    await mistakeOf(session.execute('INSERT INTO t VALUES (1)'));
    expect(session.transaction).toBe('aborted');
    expect(await mistakeOf(session.execute('LIST SCHEDULES'))).toMatchObject({ code: 'aborted_transaction' });
    await session.execute('ROLLBACK');
    expect(session.transaction).toBe('none');
    expect(await db.rows('SELECT count(*) AS n FROM t')).toEqual([{ n: 0n }]);
  });

  test('keeps its own settings, and knows its zone', async ({ door }) => {
    const [session, other] = [await door.session(), await door.session()];
    await session.execute("SET TimeZone = 'Asia/Tokyo'");
    expect([await session.zone(), await other.zone()]).toEqual(['Asia/Tokyo', expect.not.stringMatching('Tokyo')]);
    await session.execute('CREATE TEMP TABLE mine AS SELECT 1');
    expect(await mistakeOf(other.execute('FROM mine'))).toMatchObject({ code: 'undefined_table' });
  });

  test('carries out statements in the order in which they were given', async ({ door }) => {
    const session = await door.session();
    await session.execute('CREATE TABLE t (i INTEGER)');
    await Promise.all(Array.from({ length: 20 }, (_, i) => session.execute(`INSERT INTO t VALUES (${i})`)));
    expect(await rowsOf(session, 'SELECT list(i ORDER BY rowid) FROM t')).toEqual([[Array.from({ length: 20 }, (_, i) => i)]]);
  });

  test('hands rows on as they are read, and computes no more', async ({ db, door }) => {
    const session = await door.session();
    let told = 0;
    const result = await session.execute('SELECT * FROM range(1000000000000)');
    for await (const rows of result.chunks()) {
      told += rows.length;
      if (told > 10_000) break;
    }
    // The connection is free for the next one.
    expect(await rowsOf(session, 'SELECT 1')).toEqual([[1]]);
    expect(await db.rows('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('tells lines as they come', async ({ db, door }) => {
    await db.run("UPSERT SCHEDULE quick ( sql: 'SELECT 1' )");
    const session = await door.session();
    const [run] = await (await session.execute('RUN SCHEDULE quick AWAIT')).toObjects();
    const log = await session.execute(`TAIL RUN '${run?.['run_id']}'`);
    expect(log.form).toBe('log');
    expect((await log.toArray()).at(-1)?.at(-1)).toMatch(/succeeded/);
  });

  test('ends a statement that is interrupted, and nothing else', async ({ door }) => {
    const session = await door.session();
    const long = mistakeOf(session.execute('SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3'));
    await until(() => session.busy);
    await session.interrupt();
    expect(await long).toMatchObject({ code: 'cancelled' });
    expect(session.transaction).toBe('none');
    await session.interrupt();
    expect(await rowsOf(session, 'SELECT 1')).toEqual([[1]]);
    const rows = await session.execute('SELECT * FROM range(1000000000000)');
    const reading = mistakeOf(rows.toArray());
    await session.interrupt();
    expect(await reading).toMatchObject({ code: 'cancelled' });
  });

  test('tells how far a statement is', async ({ door }) => {
    const session = await door.session();
    expect(session.progress()).toBeUndefined();
    await session.execute('CREATE TABLE t AS FROM range(5000000)');
    const long = mistakeOf(session.execute('SELECT count(*) FROM t a JOIN t b ON a.range % 1000 = b.range % 1000'));
    await until(() => (session.progress() ?? 0) > 0);
    await session.interrupt();
    await long;
  });

  test('tells what the scheduler does, to those who asked', async ({ db, door }) => {
    await db.run("UPSERT SCHEDULE quick ( sql: 'SELECT 1' )");
    const scheduler = new RemoteScheduler();
    const heard: FinishedRun[] = [];
    scheduler.events.on('run:finished', (run) => heard.push(run));
    const session = await door.session({ scheduler });
    await rowsOf(session, 'RUN SCHEDULE quick AWAIT');
    await until(() => heard.length > 0);
    expect(heard).toMatchObject([{ schedule: 'quick', state: 'succeeded', final: true }]);
  });

  test('knows which runs its statement waits for, and that they are at work', async ({ db, door }) => {
    const endless = 'SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3';
    await db.run(`UPSERT SCHEDULE slow ( sql: '${endless}' )`);
    const scheduler = new RemoteScheduler();
    const session = await door.session({ scheduler });
    const waits = session.execute('RUN SCHEDULE slow AWAIT');
    await until(() => session.awaited.size > 0);
    const [{ run } = expect.unreachable()] = session.awaited.values();
    expect(run.schedule).toBe('slow');
    await until(() => scheduler.running(run.runId) !== undefined);
    await session.interrupt();
    await waits.catch(() => undefined);
    expect(session.awaited.size).toBe(0);
    await until(() => scheduler.running(run.runId) === undefined);
  });

  test('that is closed is rolled back, and cannot be used any more', async ({ db, door }) => {
    const session = await door.session();
    await session.execute('CREATE TABLE t (i INTEGER)');
    await session.execute('BEGIN');
    await session.execute('INSERT INTO t VALUES (1)');
    await Promise.all([session.close(), session.close()]);
    expect(door.sessions.size).toBe(0);
    await db.run('INSERT INTO t VALUES (2)');
    expect(await mistakeOf(session.execute('SELECT 1'))).toMatchObject({ code: 'closed' });
  });
});

describe('what goes wrong in between', () => {
  test('a daemon that leaves says why, and so does the session from then on', async ({ door }) => {
    const session = await door.session();
    const told = new Promise((resolve) => session.onLost(resolve));
    await door.sessions.close('the daemon stops');
    expect(await told).toMatchObject({ code: 'unreachable', message: 'the daemon stops' });
    expect(await mistakeOf(session.execute('SELECT 1'))).toMatchObject({ code: 'unreachable', message: 'the daemon stops' });
    await session.interrupt();
    await session.close();
  });

  test('a daemon that is killed in the middle of a statement leaves it open whether that took effect', async ({ door }) => {
    const session = await door.session();
    const long = mistakeOf(session.execute('SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3'));
    await until(() => session.busy);
    door.cut();
    expect(await long).toMatchObject({
      code: 'unreachable',
      hint: expect.stringMatching(/^Whether the statement took effect is not known/),
    });
    await until(() => session.lost !== undefined);
    expect(session.lost?.message).toBe(`the daemon (process ${process.pid}) is gone`);
    await until(() => door.sessions.size === 0);
  });

  test('a client that goes has its statement ended and its transaction rolled back', async ({ db, door }) => {
    await db.run('CREATE TABLE t (i INTEGER)');
    const socket = await opened(door);
    const { id } = JSON.parse(socket.lines[0] ?? '') as { id: string };
    const run = async (statement: number, sql: string) => {
      const body = JSON.stringify({ statement, sql });
      const other = connect(door.socketPath).on('error', () => {});
      other.write(`POST /api/v1/sessions/${id}/execute HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      return other;
    };
    for (const [at, sql] of ['BEGIN', 'INSERT INTO t VALUES (1)'].entries()) {
      await new Promise((resolve) => run(at + 1, sql).then((other) => other.once('data', resolve)));
    }
    await run(3, 'SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 3');
    socket.destroy();
    await until(() => door.sessions.size === 0);
    await db.run('INSERT INTO t VALUES (2)');
    expect(await db.rows('FROM t')).toEqual([{ i: 2 }]);
  });

  test('a client that breaks off at any byte of a request or an answer takes nobody along', async ({ door }) => {
    const session = await door.session();
    const { id } = JSON.parse((await opened(door)).lines[0] ?? '') as { id: string };
    const body = JSON.stringify({ statement: 1, sql: 'SELECT * FROM range(100000)' });
    const whole = `POST /api/v1/sessions/${id}/execute HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    for (let at = 1; at <= whole.length; at += 17) {
      const other = connect(door.socketPath).on('error', () => {});
      await new Promise((resolve) => other.write(whole.slice(0, at), resolve));
      other.destroy();
    }
    for (const most of [1, 100, 1000, 50_000]) {
      const other = connect(door.socketPath).on('error', () => {});
      other.write(
        whole
          .replace('"statement":1', `"statement":${most + 1}`)
          .replace(/Length: \d+/, `Length: ${body.length - 1 + String(most + 1).length}`),
      );
      let read = 0;
      await new Promise<void>((resolve) => {
        other.on('data', (data) => {
          read += data.length;
          if (read >= most) resolve();
        });
        other.on('close', () => resolve());
      });
      other.destroy();
    }
    expect(await rowsOf(session, 'SELECT 1')).toEqual([[1]]);
  });

  test('a client that does not read its rows is waited for, and holds up nobody', async ({ door }) => {
    const session = await door.session();
    const slow = await door.session();
    const rows = await slow.execute("SELECT repeat('x', 1000) FROM range(100000)");
    for (let i = 0; i < 20; i++) expect(await rowsOf(session, `SELECT ${i}`)).toEqual([[i]]);
    let count = 0;
    for await (const chunk of rows.chunks()) count += chunk.length;
    expect(count).toBe(100_000);
  });

  test('a client that does not read its events misses some, and is told how many', async ({ db, door }) => {
    const { socket } = await opened(door, ['definitions:changed']);
    socket.pause();
    for (let i = 0; i < 200_000; i++) db.engine.scheduler.events.emit('definitions:changed', {});
    socket.resume();
    let text = '';
    await new Promise<void>((resolve) => {
      socket.on('data', (data) => {
        text += String(data);
        if (text.includes('"missed"')) resolve();
      });
    });
    const missed = Number(/"missed","count":(\d+)/.exec(text)?.[1]);
    expect(missed).toBeGreaterThan(100_000);
  });

  test('two that speak different versions hear of both', async ({ door }) => {
    const said = await raw(door, 'POST', '/api/v1/sessions', { protocol: 2, version: '9.9.9', what: 'ever' });
    expect(said).toMatch(/^HTTP\/1.1 400 .*application\/problem\+json.*"code":"unsupported"/s);
    expect(said).toMatch(/the client speaks protocol 2 \(cuckoo 9\.9\.9\), the daemon protocol 1 \(cuckoo \d+\.\d+\.\d+\)/);
  });

  test('what is no request of ours is refused, and says what was wrong', async ({ door }) => {
    const session = '/api/v1/sessions/0123';
    expect(await raw(door, 'POST', '/api/v1/sessions', 'not JSON')).toMatch(/400.*is not JSON/s);
    expect(await raw(door, 'POST', '/api/v1/sessions', { protocol: 1 })).toMatch(/400.*the request is not understood: version/s);
    expect(await raw(door, 'POST', `${session}/execute`, { statement: 1, sql: 'SELECT 1' })).toMatch(/404.*there is no such session/s);
    expect(await raw(door, 'POST', `${session}/interrupt`, { statement: 1 })).toMatch(/404/);
    expect(await raw(door, 'DELETE', session)).toMatch(/404/);
  });

  test('more than a hundred sessions are refused, until one is closed', async ({ door }) => {
    const sessions = await Promise.all(Array.from({ length: 100 }, () => door.session()));
    expect(await mistakeOf(door.session())).toMatchObject({ code: 'too_busy' });
    await sessions[0]?.close();
    expect(await rowsOf(await door.session(), 'SELECT 1')).toEqual([[1]]);
  });

  test('where nobody listens there is no session, and a word about it', async ({ db }) => {
    expect(await mistakeOf(RemoteSession.open({ socketPath: `${db.path}.none` }))).toMatchObject({
      code: 'unreachable',
      message: expect.stringMatching(/ENOENT/),
    });
  });
});

/** A session whose stream is read by hand. */
async function opened(door: Door, events: readonly string[] = []): Promise<{ socket: Socket; lines: string[]; destroy(): void }> {
  const socket = connect(door.socketPath).on('error', () => {});
  const body = JSON.stringify({ protocol: 1, version: '0', pid: 1, actor: 'by hand', events });
  socket.write(`POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  let text = '';
  await new Promise<void>((resolve) => {
    socket.on('data', function listen(data) {
      text += String(data);
      if (!text.includes('"path"')) return;
      socket.off('data', listen);
      resolve();
    });
  });
  return { socket, lines: text.split('\n').filter((line) => line.startsWith('{')), destroy: () => socket.destroy() };
}

function raw(door: Door, method: string, path: string, content?: unknown): Promise<string> {
  const body = typeof content === 'string' ? content : content === undefined ? '' : JSON.stringify(content);
  const socket = connect(door.socketPath);
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (data) => {
      text += String(data);
    });
    socket.on('close', () => resolve(text));
  });
}
