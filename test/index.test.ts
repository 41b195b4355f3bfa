import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Database, Diagnostic, type HandlerContext, open, type Task, TaskEnd, type TimestampTz } from '../src/index.ts';

let folder: string;
let db: Database;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cuckoo-library-'));
  db = await open(join(folder, 'my.duckdb'), { actor: 'host' });
});

afterEach(async () => {
  await db.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the library', () => {
  test('runs any statement, with parameters by place and by name, and rows as they come', async () => {
    await db.sql('CREATE TABLE t AS SELECT i, i * 2 AS twice FROM range(5000) r(i)');
    const rows = [];
    for await (const [i, twice] of await db.sql('FROM t WHERE i > $1 AND i < $2 ORDER BY i', [10, 13])) rows.push([i, twice]);
    expect(rows).toEqual([
      [11n, 22n],
      [12n, 24n],
    ]);
    expect(await (await db.sql('SELECT $name AS name', { name: "o'clock" })).toObjects()).toEqual([{ name: "o'clock" }]);
    // Leaving the loop early lets go of the query.
    for await (const row of await db.sql('FROM t')) {
      expect(row).toHaveLength(2);
      break;
    }
    expect(await (await db.sql('SELECT count(*) AS n FROM t')).toArray()).toEqual([[5000n]]);
  });

  test('lists, reads, disables, enables and runs jobs, and tells their history', async () => {
    await db.sql('UPSERT PROCEDURE greet(name VARCHAR) AS BEGIN SELECT $name AS greeted; END');
    await db.sql("UPSERT SCHEDULE hello ( sched: '0 2 * * *', tz: 'UTC', call: greet, params: { name: 'world' } )");
    expect(await db.jobs.list()).toMatchObject([
      { name: 'hello', schedule: '0 2 * * *', enabled: true, status: 'scheduled', lastRun: null },
    ]);
    expect((await db.jobs.status('HELLO')).nextRun?.getUTCHours()).toBe(2);
    await db.jobs.disable('hello');
    expect(await db.jobs.status('hello')).toMatchObject({ enabled: false, status: 'disabled', nextRun: null });
    await db.jobs.enable('hello');
    expect(await db.jobs.run('hello', { name: 'you' })).toMatchObject({
      schedule: 'hello',
      state: 'succeeded',
      result: [{ greeted: 'you' }],
    });
    const history = await db.jobs.history('hello');
    expect(history).toMatchObject([{ state: 'succeeded', trigger: 'manual', attempt: 1, result: [{ greeted: 'you' }] }]);
    expect(history[0]?.finishedAt).toBeInstanceOf(Date);
    await expect(db.jobs.status('nobody')).rejects.toMatchObject({ code: 'undefined_object' });
    await expect(db.jobs.run('nobody')).rejects.toBeInstanceOf(Diagnostic);
  });

  test('opens and runs what is due when its host says so', async () => {
    await db.sql('CREATE TABLE beats(nominal TIMESTAMPTZ)');
    await db.sql("UPSERT SCHEDULE beat ( sched: every 1h, sql: 'INSERT INTO beats VALUES ($scheduled_at)' )");
    const { nextRun } = await db.jobs.status('beat');
    const due = nextRun ?? new Date(0);
    expect(await db.tick(new Date(due.getTime() - 1))).toMatchObject({ opened: 0 });
    expect(await db.tick(due)).toMatchObject({ opened: 1, finished: [{ schedule: 'beat', state: 'succeeded' }] });
    const [row] = await (await db.sql('FROM beats')).toArray();
    expect((row![0] as TimestampTz).toDate()).toEqual(due);
  });

  test('refuses options it does not know, and wrong ones, before anything is opened', async () => {
    const refused = (options: object) => open(join(folder, 'other.duckdb'), options).catch((error: unknown) => String(error));
    expect(await refused({ readonly: true })).toContain('readonly');
    expect(await refused({ readOnly: 'yes' })).toContain('options.readOnly');
    expect(await open(undefined as unknown as string).catch((error: unknown) => String(error))).toContain('the path');
  });

  test('what is called wrongly is told so, in the same kind of error as everything', async () => {
    await db.sql("UPSERT SCHEDULE a ( sql: 'SELECT 1' )");
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    // As a program in JavaScript could call it.
    type Untyped = (...values: unknown[]) => Promise<unknown>;
    const { sql, tick } = db as unknown as Record<'sql' | 'tick', Untyped>;
    const jobs = db.jobs as unknown as Record<'status' | 'enable' | 'disable' | 'run' | 'history', Untyped>;
    const session = await db.session();
    const calls: (() => Promise<unknown>)[] = [
      () => sql.call(db, 5),
      () => sql.call(db, null),
      () => sql.call(db, 'SELECT 1', 5),
      () => sql.call(db, 'SELECT 1', null),
      () => (session.execute as Untyped).call(session, undefined),
      () => jobs.status(),
      () => jobs.enable(),
      () => jobs.disable(7),
      () => jobs.run(null),
      () => jobs.run('a', null),
      () => jobs.run('a', ['x']),
      () => jobs.run('a', { x: 1n }),
      () => jobs.run('a', circle),
      () => jobs.history('a', null),
      () => jobs.history('a', { limit: -1 }),
      () => jobs.history('a', { limits: 1 }),
      () => jobs.history('a', { since: 'yesterday' }),
      () => tick.call(db, 'x'),
      () => tick.call(db, null),
      () => tick.call(db, new Date(Number.NaN)),
    ];
    for (const call of calls) {
      const error = await call().catch((reason: unknown) => reason);
      expect([String(call), error]).toEqual([String(call), expect.objectContaining({ code: 'usage', hint: expect.stringMatching(/./) })]);
      expect(error).toBeInstanceOf(Diagnostic);
    }
    await session.close();
  });

  test('takes one statement at a time, and runs none of several', async () => {
    for (const text of ['CREATE TABLE t (i INTEGER); SELECT 2', 'CALL pragma_version(); CREATE TABLE t (i INTEGER)', 'BEGIN; COMMIT']) {
      const error = (await db.sql(text).catch((reason: unknown) => reason)) as Diagnostic;
      expect([error.code, error.hint]).toEqual(['syntax_error', 'give one statement at a time']);
      expect(text.slice(error.span?.start, error.span?.end)).toBe(text.split('; ')[1]);
    }
    expect(await (await db.sql('SHOW TABLES')).toArray()).toEqual([]);
    // What DuckDB itself makes several of, and a `;` that ends nothing.
    await db.sql("CREATE TABLE t AS SELECT 'a' AS k, 1 AS v;");
    expect(await (await db.sql('PIVOT t ON k USING sum(v);')).toArray()).toEqual([[1n]]);
    expect(await (await db.sql("SELECT ';' -- ; ;\n ; /* ; */")).toArray()).toEqual([[';']]);
  });

  test('answers one kind of error, with its place', async () => {
    const text = "UPSERT SCHEDULE a ( sched: '99 * * * *', sql: 'SELECT 1' )";
    const error = await db.sql(text).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Diagnostic);
    const { span, code } = error as Diagnostic;
    expect([code, text.slice(span?.start, span?.end)]).toEqual(['invalid_cadence', '99']);
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ code: 'invalid_cadence', sqlstate: '22023', span });
  });

  test('has sessions of their own, and closes with all of them', async () => {
    await using session = await db.session();
    await session.execute('BEGIN');
    await session.execute("UPSERT SCHEDULE a ( sql: 'SELECT 1' )");
    expect(await db.jobs.list()).toEqual([]);
    await session.execute('COMMIT');
    expect(await db.jobs.list()).toHaveLength(1);
    await db.close();
    await db.close();
    await expect(db.sql('SELECT 1')).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('what a host adds', () => {
  test('is there before the scheduler starts, goes with the database, and is checked', async () => {
    const path = join(folder, 'host.duckdb');
    const finished: unknown[] = [];
    const first = await open(path);
    await first.sql("UPSERT SCHEDULE start ( sched: '@reboot', handler: 'greet', max_retries: 0 )");
    await first.close();
    const options = {
      handlers: { greet: ({ attempt }: HandlerContext) => `hello ${attempt}` },
      executors: { shout: { execute: async ({ call }: Task) => `${call}!` } },
    };
    const host = await open(path, { ...options, scheduler: true });
    const ran = new Promise<void>((resolve) => {
      host.on('run:finished', ({ state, result }) => {
        finished.push([state, result]);
        resolve();
      });
    });
    await ran;
    expect(finished).toEqual([['succeeded', 'hello 1']]);
    await host.sql("UPSERT SCHEDULE loud ( exe: shout, call: 'hey' )");
    expect(await host.jobs.run('loud')).toMatchObject({ state: 'succeeded', result: 'hey!' });
    expect(() => host.handler('greet', () => 1)).toThrow('there is a handler greet already');
    const takeAway = host.handler('other', () => new TaskEnd({ result: 1, notes: ['told'] }));
    takeAway();
    // The same file, opened again, shares the engine: what is registered there is there here.
    await expect(open(path, options)).rejects.toMatchObject({ code: 'duplicate_object' });
    const guest = await open(path);
    expect(await guest.jobs.run('loud')).toMatchObject({ result: 'hey!' });
    await host.close();
    expect(await guest.jobs.run('loud')).toMatchObject({ state: 'failed', reason: expect.stringContaining('there is no executor shout') });
    await guest.close();
    await expect(open(path, { handlers: { 'a b': () => 1 } })).rejects.toMatchObject({ code: 'invalid_name' });
    await expect(open(path, { executors: { shout: 7 } } as never)).rejects.toMatchObject({ code: 'usage' });
  });
});
