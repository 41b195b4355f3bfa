import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import type { Http, TaskDatabase } from '../../../src/engine/executors/executor.ts';
import { Requests } from '../../../src/engine/executors/handler/guest/requests.ts';
import type { Handler, HandlerContext } from '../../../src/engine/executors/handler/messages.ts';
import { openHttp } from '../../../src/engine/executors/http.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { type TestDatabase, test as withDatabase } from '../../support/database.ts';
import { linesOf, runAgain, runHandler, writeHandler } from '../../support/handlers.ts';

/** A run of a function of this process. */
async function runFunction(db: TestDatabase, handler: Handler, keys = ''): Promise<Awaited<ReturnType<typeof runAgain>>> {
  const takeAway = db.engine.worker.handlers.add('f', handler);
  try {
    return await runHandler(db, 'f', keys);
  } finally {
    takeAway();
  }
}

async function mistakeOf(work: Promise<unknown>): Promise<Pick<Diagnostic, 'code' | 'message' | 'hint'>> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof Diagnostic ? error : expect.unreachable(`was no mistake: ${String(error)}`);
}

describe('services.database', () => {
  withDatabase('answers rows as JSON, and takes values by name and by place', async ({ db }) => {
    const run = await runFunction(
      db,
      async ({ services: { database } }) => [
        await database.query(
          "SELECT 1 AS one, 'two' AS two, DATE '2026-01-02' AS day, [1, 2] AS list, {'a': 1} AS object, 12.50::DECIMAL(5,2) AS price",
        ),
        await database.query('SELECT $a + $b AS sum', { a: 1, b: 2 }),
        await database.query('SELECT ? AS day, ? AS bytes', [new Date(0), new Uint8Array([1, 2])]),
        await database.query('CREATE TABLE made AS SELECT 1 AS i'),
        await database.query('INSERT INTO made VALUES (2), (3) RETURNING i'),
        await database.query(
          "SELECT current_timestamp < now() + INTERVAL 1 DAY AS sane, strftime(TIMESTAMPTZ '2026-07-01 12:00:00+00', '%H') AS hour",
        ),
      ],
      "timezone: 'Europe/Berlin', run_at: '2026-12-01 00:00'",
    );
    expect(run).toMatchObject({ state: 'succeeded' });
    expect(JSON.parse(String(run['result']))).toEqual([
      [{ one: 1, two: 'two', day: '2026-01-02', list: [1, 2], object: { a: 1 }, price: 12.5 }],
      [{ sum: 3 }],
      [{ day: '1970-01-01T00:00:00Z', bytes: expect.anything() }],
      [],
      [{ i: 2 }, { i: 3 }],
      [{ sane: true, hour: '14' }],
    ]);
  });

  withDatabase('is guarded like the text of a body', async ({ db }) => {
    const refused: (readonly [string, RegExp])[] = [
      ['COMMIT', /would end the run's own transaction/],
      ['BEGIN', /would end the run's own transaction/],
      ["ATTACH ':memory:' AS other", /cannot ATTACH a database/],
      ['USE memory', /changes what the names of a run mean/],
      ['SET GLOBAL threads = 1', /changes it for every session/],
      ['DELETE FROM cron.runs', /changed by statements only/],
      ["UPSERT SCHEDULE x ( sql: 'SELECT 1' )", /cannot define, list or run schedules/],
      ['SELECT 1; SELECT 2', /a second statement follows/],
      ['', /no statement/],
      [`FROM read_blob('${db.path}')`, /open database/],
    ];
    const run = await runFunction(db, async ({ services: { database } }) => {
      for (const [sql, message] of refused) {
        expect((await mistakeOf(database.query(sql))).message, sql).toMatch(message);
      }
      // What is known only when the statement runs.
      const bound = await mistakeOf(database.query('FROM read_blob($path)', { path: db.path }));
      expect(bound.message).toMatch(/is an open database/);
      expect((await mistakeOf(database.query(7 as unknown as string))).message).toMatch(/a statement is a text/);
      expect((await mistakeOf(database.query('SELECT $x', { y: 1 }))).code).toBe('undefined_parameter');
      return 'guarded';
    });
    expect(run).toMatchObject({ state: 'succeeded', result: '"guarded"' });
  });

  withDatabase('CALL runs a procedure, with values in its arguments', async ({ db }) => {
    await db.run(
      'CREATE TABLE t(i INTEGER)',
      'UPSERT PROCEDURE add_it(i INTEGER) AS BEGIN INSERT INTO t VALUES ($i); SELECT count(*)::INTEGER AS n, $i * 2 AS twice FROM t; END',
    );
    const run = await runFunction(db, async ({ services: { database } }) => [
      await database.query('CALL add_it(i => $i)', { i: 4 }),
      await database.transaction.query('CALL add_it(?)', [5]),
    ]);
    expect(JSON.parse(String(run['result']))).toEqual([[{ n: 1, twice: 8 }], [{ n: 2, twice: 10 }]]);
    expect(await db.rows('FROM t')).toEqual([{ i: 4 }, { i: 5 }]);
  });

  withDatabase('refuses answers that this process should not hold', async ({ db }) => {
    const run = await runFunction(db, async ({ services: { database } }) => {
      const rows = await mistakeOf(database.query('FROM range(100_001 + 2048)'));
      const long = await mistakeOf(database.query("SELECT repeat('x', 50_000) AS x FROM range(5000)"));
      return [rows.code, rows.message, long.code, (await database.query('SELECT count(*)::INTEGER AS n FROM range(10_000_000)'))[0]?.['n']];
    });
    expect(run['result']).toBe('["too_large","the statement answers more than 100000 rows","too_large",10000000]');
  });

  withDatabase('ends with its run: a query at work at the timeout, and whatever is asked later', async ({ db }) => {
    let kept: TaskDatabase | undefined;
    let late: Promise<unknown> | undefined;
    const endless = 'SELECT sum(a.i * b.i) FROM range(1_000_000) a(i), range(1_000_000) b(i)';
    const slow = await runFunction(
      db,
      async ({ services: { database } }) => {
        kept = database;
        await database.query(endless);
      },
      'timeout: 300ms',
    );
    expect(slow).toMatchObject({ state: 'timed_out' });
    expect((await mistakeOf(kept!.query('SELECT 1'))).message).toBe('the run has ended, and with it what it may use');
    const forgot = await runFunction(db, ({ services: { database } }) => {
      late = mistakeOf(database.query(endless));
      return 'answered';
    });
    expect(forgot).toMatchObject({ state: 'succeeded', result: '"answered"' });
    expect(await late).toMatchObject({ code: 'cancelled' });
  });
});

describe('services.database.transaction', () => {
  const insert = 'INSERT INTO t VALUES ($i)';

  withDatabase('commits together with the closing row of a run that succeeded', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER PRIMARY KEY)');
    const other = await db.newSession();
    const run = await runFunction(db, async ({ services: { database } }) => {
      await database.transaction.query(insert, { i: 1 });
      const seenInside = await database.transaction.query('SELECT count(*)::INTEGER AS n FROM t');
      const seenOutside = await (await other.execute('SELECT count(*)::INTEGER AS n FROM t')).toObjects();
      // Without waiting for it: the commit does.
      void database.transaction.query(insert, { i: 2 });
      return [seenInside, seenOutside];
    });
    expect(run).toMatchObject({ state: 'succeeded', result: '[[{"n":1}],[{"n":0}]]' });
    expect(await db.rows('FROM t ORDER BY i')).toEqual([{ i: 1 }, { i: 2 }]);
  });

  withDatabase('is rolled back where the run fails, times out or is cancelled', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER PRIMARY KEY)');
    const failing = await runFunction(db, async ({ services: { database } }) => {
      await database.transaction.query(insert, { i: 1 });
      throw new Error('on purpose');
    });
    expect(failing).toMatchObject({ state: 'failed', error_message: 'on purpose' });
    const slow = await runFunction(
      db,
      async ({ services: { database }, signal }) => {
        await database.transaction.query(insert, { i: 2 });
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return 'in vain';
      },
      'timeout: 200ms',
    );
    expect(slow).toMatchObject({ state: 'timed_out' });
    expect(await db.rows('FROM t')).toEqual([]);
  });

  withDatabase('that a statement has spoiled keeps its run from succeeding, also where the handler has caught it', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER PRIMARY KEY)');
    for (const wrong of ['INSERT INTO t VALUES (1)', 'SELECT nope FROM t', 'COMMIT']) {
      const run = await runFunction(db, async ({ services: { database } }) => {
        await database.transaction.query(insert, { i: 1 });
        await database.transaction.query(wrong).catch(() => 'never mind');
        const after = await mistakeOf(database.transaction.query(insert, { i: 2 }));
        expect(after.message).toMatch(/^a statement of the run's transaction failed: /);
        return 'done';
      });
      expect(run, wrong).toMatchObject({
        state: 'failed',
        error_message: expect.stringMatching(/^a statement of the run's transaction failed: /),
      });
    }
    expect(await db.rows('FROM t')).toEqual([]);
  });

  withDatabase('holds over the boundary of a thread and of a process', async ({ db }) => {
    await db.run('CREATE TABLE t(i INTEGER PRIMARY KEY)');
    const path = writeHandler(
      db,
      'transact.mjs',
      `const { database } = context.services;
       await database.transaction.query('INSERT INTO t VALUES (?)', [context.params.i]);
       if (context.params.spoils) await database.transaction.query('INSERT INTO t VALUES (?)', [context.params.i]).catch(() => {});
       if (context.params.throws) throw new Error('on purpose');`,
    );
    for (const isolation of ['thread', 'process']) {
      await db.run('DELETE FROM t');
      const run = (i: number, more: string) => runHandler(db, path, `isolation: ${isolation}, params: { i: ${i}, ${more} }`);
      expect(await run(1, '')).toMatchObject({ state: 'succeeded' });
      expect(await run(2, 'throws: true')).toMatchObject({ state: 'failed', error_message: 'on purpose' });
      expect(await run(3, 'spoils: true')).toMatchObject({ state: 'failed', error_code: 'constraint' });
      expect(await db.rows('FROM t')).toEqual([{ i: 1 }]);
    }
  });

  withDatabase("an error of the database carries its code and the handler's own stack into a thread", async ({ db }) => {
    const path = writeHandler(
      db,
      'asks.mjs',
      `const { database } = context.services;
       const refused = await database.query('SELEC 1').catch((error) => [error.code, error.constructor.name, error instanceof Error]);
       const clone = await database.query('SELECT $f', { f: () => 1 }).catch((error) => error.message);
       console.log(JSON.stringify([refused, clone.slice(0, 42)]));
       await database.query('SELECT nothing_there');`,
    );
    const run = await runHandler(db, path);
    expect(run).toMatchObject({ state: 'failed', error_code: 'undefined_column' });
    expect(String(run['error_detail'])).toContain('asks.mjs:6');
    expect(await linesOf(db, run)).toEqual([
      'stdout info: [["syntax_error","Diagnostic",true],"the values of the statement cannot be sent"]',
    ]);
  });
});

test('a loop that asks without ever waiting is refused before it fills the memory of who answers', async () => {
  const sent: number[] = [];
  const requests = new Requests({ send: ({ id }) => sent.push(id) });
  const first = requests.database.query('SELECT 1');
  for (let asked = 1; asked < 1_000; asked++) void requests.database.query('SELECT 1');
  expect((await mistakeOf(requests.database.query('SELECT 1'))).code).toBe('too_busy');
  expect(sent).toHaveLength(1_000);
  requests.hear({ kind: 'rows', id: sent[0] ?? 0, rows: [{ one: 1 }] });
  expect(await first).toEqual([{ one: 1 }]);
  void requests.database.query('SELECT 1');
  expect(sent).toHaveLength(1_001);
});

describe('progress', () => {
  withDatabase('is heard while the run goes on, the newest of many', async ({ db }) => {
    const heard: unknown[] = [];
    db.engine.scheduler.events.on('run:progress', ({ fraction, message }) => heard.push([fraction, message]));
    const path = writeHandler(
      db,
      'tells.mjs',
      "for (let n = 0; n <= 100_000; n++) context.progress(n / 100_000, 'step ' + n);\ncontext.progress(NaN, null);\ncontext.progress(1);",
    );
    expect(await runHandler(db, path)).toMatchObject({ state: 'succeeded' });
    expect(heard[0]).toEqual([0, 'step 0']);
    expect(heard.at(-1)).toEqual([1, null]);
    expect(heard.length).toBeLessThan(100);
  });
});

/** A server on loopback that answers by the path of the request, and remembers what came. */
async function withServer(
  answer: (request: IncomingMessage & { readonly body: string }, response: ServerResponse, times: number) => void,
  work: (url: string, http: Http, seen: readonly string[], stop: AbortController) => Promise<void>,
): Promise<void> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${body}`.trim());
      answer(Object.assign(request, { body }), response, seen.filter((each) => each === seen.at(-1)).length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = new AbortController();
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await work(url, openHttp({ clock: systemClock, signal: stop.signal }), seen, stop);
  } finally {
    stop.abort();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('services.http', () => {
  withDatabase('sends bodies, headers and JSON, and answers all of it', async () => {
    await withServer(
      (request, response) => {
        response.setHeader('x-own', 'yes').setHeader('content-type', 'application/json');
        response.end(
          JSON.stringify({
            method: request.method,
            type: request.headers['content-type'] ?? null,
            key: request.headers['x-key'] ?? null,
            body: request.body,
          }),
        );
      },
      async (url, http) => {
        expect(await http.get(`${url}/a`, { headers: { 'x-key': 'k' } })).toMatchObject({
          status: 200,
          headers: { 'x-own': 'yes' },
          json: { method: 'GET', key: 'k', body: '' },
        });
        expect((await http.post(url, { a: 1 })).json).toEqual({ method: 'POST', type: 'application/json', key: null, body: '{"a":1}' });
        expect((await http.post(url, 'plain', { headers: { 'content-type': 'text/csv' } })).json).toMatchObject({
          type: 'text/csv',
          body: 'plain',
        });
        expect((await http.request(url, { method: 'put', body: new Uint8Array([65, 66]) })).json).toMatchObject({
          method: 'PUT',
          body: 'AB',
        });
        expect((await http.request(url)).text).toContain('"method":"GET"');
      },
    );
  });

  withDatabase('tries again what may be repeated, and refuses with the status what may not', async () => {
    await withServer(
      (request, response, times) => {
        if (request.url === '/gone') response.writeHead(404).end('no such thing');
        else if (request.url === '/drops' && times < 3) request.socket.destroy();
        else if (request.url === '/busy' && times < 2) response.writeHead(429, { 'retry-after': '0' }).end();
        else if (request.url?.startsWith('/down')) response.writeHead(503, { 'retry-after': '0' }).end('down');
        else response.end('fine');
      },
      async (url, http, seen) => {
        const count = (path: string): number => seen.filter((each) => each.endsWith(path)).length;
        expect((await http.get(`${url}/drops`)).text).toBe('fine');
        expect((await http.get(`${url}/busy`)).text).toBe('fine');
        expect(await mistakeOf(http.get(`${url}/down?key=secret`))).toMatchObject({
          message: `GET ${url}/down answered 503`,
          hint: 'it said: down',
          answer: { status: 503 },
        });
        expect(count('/down?key=secret')).toBe(3);
        expect(await mistakeOf(http.get(`${url}/gone`))).toMatchObject({ code: 'run_failed', hint: 'it said: no such thing' });
        expect(count('/gone')).toBe(1);
        expect(await mistakeOf(http.post(`${url}/down`, ''))).toMatchObject({ message: `POST ${url}/down answered 503` });
        expect(seen.filter((each) => each === 'POST /down')).toHaveLength(1);
        await mistakeOf(http.post(`${url}/down`, '', { retries: 1 }));
        expect(seen.filter((each) => each === 'POST /down')).toHaveLength(3);
      },
    );
  });

  withDatabase('gives up what does not answer in time, and what its run no longer wants', async () => {
    await withServer(
      () => {},
      async (url, http, seen, stop) => {
        expect(await mistakeOf(http.get(url, { timeoutMs: 50, retries: 0 }))).toMatchObject({
          code: 'timed_out',
          message: expect.stringMatching(/did not answer within 50ms$/),
        });
        const waiting = mistakeOf(http.get(url));
        while (seen.length < 2) await systemClock.yieldTurn();
        stop.abort();
        expect(await waiting).toMatchObject({ code: 'cancelled' });
        expect(await mistakeOf(http.get(url))).toMatchObject({ code: 'cancelled' });
      },
    );
  });

  withDatabase('says what cannot be sent, or reaches nobody', async () => {
    const http = openHttp({ clock: systemClock, signal: new AbortController().signal });
    expect(await mistakeOf(http.get('nowhere'))).toMatchObject({
      code: 'invalid_value',
      message: expect.stringContaining('GET nowhere cannot be sent'),
    });
    expect(await mistakeOf(http.get('ftp://127.0.0.1/'))).toMatchObject({ code: 'invalid_value' });
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(await mistakeOf(http.post('http://127.0.0.1:9/', cycle))).toMatchObject({ code: 'invalid_value' });
    expect(await mistakeOf(http.get('http://127.0.0.1:9/', { retries: 0 }))).toMatchObject({ code: 'io_error' });
  });

  withDatabase('works inside of a thread, and its sockets keep no thread from the next run', async ({ db }) => {
    await withServer(
      (_, response) => response.end('{"n":7}'),
      async (url) => {
        const path = writeHandler(
          db,
          'fetches.mjs',
          'globalThis.calls = (globalThis.calls ?? 0) + 1;\nreturn [(await context.services.http.get(context.config.url)).json.n, globalThis.calls];',
        );
        expect((await runHandler(db, path, `config: { url: '${url}' }`))['result']).toBe('[7,1]');
        const again = await runAgain(db, 'h');
        expect(again['notes']).toBeNull();
        expect(again['result']).toBe('[7,2]');
      },
    );
  });
});

describe('a function of this process', () => {
  withDatabase('is found by its name, whatever its case, and gets what a module gets', async ({ db }) => {
    let seen: HandlerContext | undefined;
    const run = await runFunction(
      db,
      (context) => {
        seen = context;
        context.services.logger.info('here', { pid: process.pid });
        (context.params as { list: number[] }).list.push(1);
        return context.params;
      },
      'params: { list: [0] }, isolation: none',
    );
    expect(run).toMatchObject({ state: 'succeeded', result: '{"list":[0,1]}', guarantee: 'at_least_once' });
    expect(await linesOf(db, run)).toEqual([`log info: here {"pid":${process.pid}}`]);
    expect(Object.keys(seen ?? {})).toEqual(expect.arrayContaining(['jobId', 'params', 'signal', 'services', 'progress']));
    expect(Object.keys(seen ?? {})).not.toEqual(expect.arrayContaining(['secrets']));
    seen?.services.logger.info('too late');
    expect(await linesOf(db, run)).toHaveLength(1);
    db.engine.worker.handlers.add('Again', ({ params }) => params);
    expect((await runHandler(db, 'aGAIN', 'params: { list: [0] }'))['result']).toBe('{"list":[0]}');
  });

  withDatabase('ends as one clear row, whatever it throws or answers', async ({ db }) => {
    const throwing =
      (value: unknown): Handler =>
      () => {
        throw value;
      };
    expect(await runFunction(db, throwing('at once'))).toMatchObject({ state: 'failed', error_message: 'at once' });
    expect(await runFunction(db, async () => Promise.reject(undefined))).toMatchObject({
      state: 'failed',
      error_message: 'it threw undefined',
    });
    const frozen = await runFunction(db, throwing(Object.freeze(new RangeError('frozen', { cause: 'x' }))));
    expect(JSON.parse(String(frozen['error_detail']))).toMatchObject({
      name: 'RangeError',
      cause: "'x'",
      stack: expect.stringContaining('services.test.ts'),
    });
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(await runFunction(db, () => cycle)).toMatchObject({ state: 'failed', error_code: 'wrong_type' });
    expect(await runFunction(db, () => Symbol('x'))).toMatchObject({ state: 'failed', error_code: 'wrong_type' });
    expect(await runFunction(db, () => new Map([[1, 2n]]))).toMatchObject({ result: '{"1":2}' });
  });

  withDatabase('that never settles is given up at its timeout, which a note says', async ({ db }) => {
    const run = await runFunction(db, () => new Promise(() => {}), 'timeout: 100ms');
    expect(run).toMatchObject({ state: 'timed_out' });
    expect(run['notes']).toEqual([
      'it did not settle within 1 s after it was told to end, and was given up: what it still does goes on unseen',
    ]);
  });

  withDatabase('is named by a plain word, once, and has no process of its own', async ({ db }) => {
    const { handlers } = db.engine.worker;
    const takeAway = handlers.add('sync', () => 1);
    expect(() => handlers.add('Sync', () => 2)).toThrow('there is a handler Sync already');
    expect(() => handlers.add('./sync.js', () => 2)).toThrow("a handler cannot be called './sync.js'");
    expect(() => handlers.add('other', 7 as unknown as Handler)).toThrow('handler(): a name, and a function');
    expect(await db.mistake("UPSERT SCHEDULE s ( handler: 'sync', isolation: process )")).toMatchObject({
      code: 'invalid_value',
      at: "'sync'",
    });
    takeAway();
    takeAway();
    const run = await runHandler(db, 'synk');
    expect(run).toMatchObject({ state: 'failed', error_message: 'no handler synk is registered in this process' });
    handlers.add('sync', () => 3);
    expect(String((await runHandler(db, 'synk'))['error_detail'])).toContain('did you mean sync?');
    expect(await runHandler(db, './jobs/x.js', 'isolation: none')).toMatchObject({
      error_message: 'no handler ./jobs/x.js is registered in this process',
    });
  });
});
