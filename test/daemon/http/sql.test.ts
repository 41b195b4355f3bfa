import { tableFromIPC } from 'apache-arrow';
import { describe, expect } from 'vitest';
import { test } from './fixture.ts';
import { Served } from './served.ts';

const sql = '/api/v1/sql';

describe('forms', () => {
  test('JSON: columns with their types, rows as objects, what was changed', async ({ served }) => {
    const { status, headers, json } = await served.post(sql, {
      sql: 'SELECT $name AS name, 12345678901234567890::UHUGEINT AS big, 1.10::DECIMAL(4,2) AS price, NULL AS nothing, 1 AS a, 2 AS a',
      params: { name: "it's" },
    });
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('application/json');
    expect(json).toEqual({
      columns: [
        { name: 'name', type: 'VARCHAR' },
        { name: 'big', type: 'UHUGEINT' },
        { name: 'price', type: 'DECIMAL(4,2)' },
        { name: 'nothing', type: 'INTEGER' },
        { name: 'a', type: 'INTEGER' },
        { name: 'a:1', type: 'INTEGER' },
      ],
      rows: [{ name: "it's", big: '12345678901234567890', price: 1.1, nothing: null, a: 1, 'a:1': 2 }],
      rows_changed: null,
      warnings: [],
      notes: [],
      failure: null,
    });
    await served.post(sql, { sql: 'CREATE TABLE t (a INTEGER, b VARCHAR[])' });
    const inserted = await served.post(sql, { sql: 'INSERT INTO t VALUES ($1, $2), (2, [])', params: [1, ['x', 'y']] });
    expect(inserted.json).toMatchObject({ rows: [], rows_changed: 2 });
    expect((await served.post(sql, { sql: 'FROM t ORDER BY a LIMIT ?', params: [1] })).json.rows).toEqual([{ a: 1, b: ['x', 'y'] }]);
  });

  test('JSON lines and Arrow say the same', async ({ served }) => {
    const query = { sql: 'SELECT range AS n, range::VARCHAR AS t FROM range(5000)' };
    const lines = await served.post(sql, query, { headers: { accept: 'application/x-ndjson' } });
    expect(lines.headers['content-type']).toBe('application/x-ndjson');
    const rows = lines.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([rows.length, rows[0], rows[4999]]).toEqual([5000, { n: 0, t: '0' }, { n: 4999, t: '4999' }]);
    const response = await served.begin(sql, { method: 'POST', body: query, headers: { accept: 'application/vnd.apache.arrow.stream' } });
    expect(response.headers['content-type']).toBe('application/vnd.apache.arrow.stream');
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const table = tableFromIPC(Buffer.concat(chunks));
    expect([table.numRows, table.get(4999)?.toJSON()]).toEqual([5000, { n: 4999n, t: '4999' }]);
    expect((await served.post(sql, query)).json.rows.length).toBe(5000);
  });

  test('the form is chosen by weight; one that there is not is refused', async ({ served }) => {
    const form = async (accept: string) => {
      const { status, headers } = await served.post(sql, { sql: 'SELECT 1' }, { headers: { accept } });
      return status === 200 ? headers['content-type'] : status;
    };
    expect(await form('*/*')).toBe('application/json');
    expect(await form('text/html, application/x-ndjson;q=0.9, */*;q=0.1')).toBe('application/x-ndjson');
    expect(await form('application/json;q=0, application/*')).toBe('application/x-ndjson');
    expect(await form('text/html')).toBe(406);
  });

  test('our own statements too, with their warnings', async ({ served }) => {
    const { json } = await served.post(sql, {
      sql: "UPSERT SCHEDULE a ( sched: '30 2 1-7 * MON', timezone: 'Europe/Berlin', sql: 'SELECT 1' )",
    });
    expect(json.rows).toMatchObject([{ name: 'a', outcome: 'created' }]);
    expect(json.warnings.length).toBeGreaterThan(0);
    const run = await served.post(sql, { sql: 'RUN SCHEDULE a AWAIT' });
    expect(run.json).toMatchObject({ rows: [{ schedule: 'a', state: 'succeeded' }], failure: null });
    await served.post(sql, { sql: "UPSERT SCHEDULE bad ( sql: 'SELECT error(''no'')', max_retries: 0 )" });
    const failed = await served.post(sql, { sql: 'RUN SCHEDULE bad AWAIT' });
    expect(failed).toMatchObject({ status: 200, json: { rows: [{ state: 'failed' }], failure: { code: 'run_failed', status: 422 } } });
  });
});

describe('mistakes', () => {
  test('a mistake is a problem with its place, and never ours', async ({ served }) => {
    const text = 'SELECT 1 + x FROM range(3)';
    const { status, json, headers } = await served.post(sql, { sql: text });
    expect([status, headers['content-type'], json.code, json.source]).toEqual([400, 'application/problem+json', 'undefined_column', 'sql']);
    expect(text.slice(json.span.start, json.span.end)).toBe('x');
    const statuses = [
      ['SELEC 1', 400],
      ['', 400],
      ['SELECT 1; SELECT 2', 400],
      ['FROM nowhere', 400],
      ["SELECT 'x'::INTEGER", 400],
      ['DROP SCHEDULE nobody', 400],
      ['CREATE TABLE "my"."cuckoo_ledger"."x" (i INTEGER)', 403],
      ["UPSERT SCHEDULE a ( sched: '0 0 31 2 *', sql: 'SELECT 1' )", 400],
      ["FROM read_csv('/nowhere/at/all.csv')", 422],
      ['SELECT $a', 400],
      ['\0', 400],
      ['\ud800', 400],
    ] as const;
    for (const [statement, expected] of statuses) {
      const refused = await served.post(sql, { sql: statement });
      expect([refused.status, refused.json.status], `${statement}: ${refused.text}`).toEqual([expected, expected]);
    }
  });

  test('a body that is none is refused, each in its words', async ({ served }) => {
    const bodies: [string, Record<string, string>, number, string][] = [
      ['sql=SELECT+1', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported'],
      ['{"sql":"SELECT 1"}', { 'content-type': 'text/plain' }, 415, 'unsupported'],
      ['{"sql":"SELECT 1"}', { 'content-type': '' }, 415, 'unsupported'],
      ['{"sql":"SELECT 1"}', { 'content-encoding': 'gzip' }, 415, 'unsupported'],
      ['{"sql":"SELECT 1"', {}, 400, 'unterminated'],
      ['', {}, 400, 'unterminated'],
      ['[]', {}, 400, 'wrong_type'],
      ['{"sql":1}', {}, 400, 'wrong_type'],
      ['{"sql":"SELECT 1","parameters":[1]}', {}, 400, 'unknown_key'],
      [`{"sql":"SELECT 1","params":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, {}, 400, 'too_large'],
    ];
    for (const [body, headers, status, code] of bodies) {
      const answer = await served.post(sql, body, { headers });
      expect([answer.status, answer.json.code], `${body.slice(0, 60)} ${answer.text.slice(0, 200)}`).toEqual([status, code]);
    }
    const utf8 = await served.post(sql, Buffer.from([0x22, 0xff, 0x22]));
    expect([utf8.status, utf8.json.code]).toEqual([400, 'invalid_encoding']);
  });

  test('a transaction that is begun ends with the request, and nothing of a session is left for the next', async ({ served }) => {
    expect((await served.post(sql, { sql: 'BEGIN' })).json.warnings).toEqual([
      { message: 'rolled back: a transaction does not outlive its request', hint: 'a session for several statements: cuckoo FILE' },
    ]);
    await served.post(sql, { sql: 'CREATE TEMP TABLE mine AS SELECT 1' });
    await served.post(sql, { sql: "SET TimeZone = 'Asia/Tokyo'" });
    expect((await served.post(sql, { sql: 'FROM mine' })).status).toBe(400);
    expect((await served.post(sql, { sql: "SELECT current_setting('TimeZone') AS zone" })).json.rows[0].zone).not.toBe('Asia/Tokyo');
  });
});

describe('large things', () => {
  test('a statement that its client no longer waits for is ended', async ({ served }) => {
    const heavy = 'SELECT sum(a.range * b.range) FROM range(10000000) a, range(1000000) b';
    const asked = served.request(sql, { method: 'POST', body: { sql: heavy } });
    const gone = new Promise((resolve) => asked.once('error', resolve));
    await served.executing(/sum\(a/);
    asked.destroy();
    await gone;
    await served.executing(/sum\(a/, false);
  });

  test('rows come no faster than they are read, and none is computed for a client that has gone', async ({ served }) => {
    const body = { sql: "SELECT range AS n, repeat('x', 1000) AS filler FROM range(100000000)" };
    const response = await served.begin(sql, { method: 'POST', body, headers: { accept: 'application/x-ndjson' } });
    const before = process.memoryUsage().rss;
    let bytes = 0;
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length;
      if (bytes > 20_000_000) break;
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(400_000_000);
    response.destroy();
    await served.executing(/filler/, false);
  });

  test('a client that stalls is cut off', async () => {
    const served = await new Served().open({ limits: { stallMs: 300 } });
    try {
      const body = { sql: "SELECT repeat('x', 1000) AS filler FROM range(100000000)" };
      const response = await served.begin(sql, { method: 'POST', body });
      response.pause();
      await served.executing(/filler/, false);
      await expect(
        (async () => {
          for await (const _ of response);
        })(),
      ).rejects.toThrow('aborted');
    } finally {
      await served.close();
    }
  });

  test('rows that end by a mistake break off, and say why', async ({ served }) => {
    const body = { sql: "SELECT CASE WHEN range = 500000 THEN error('too far') ELSE range END AS n FROM range(1000000)" };
    for (const accept of ['application/json', 'application/x-ndjson', 'application/vnd.apache.arrow.stream']) {
      const response = await served.begin(sql, { method: 'POST', body, headers: { accept } });
      expect(response.statusCode).toBe(200);
      let text = '';
      const read = async () => {
        for await (const chunk of response) text = (text + String(chunk)).slice(-5000);
      };
      await expect(read(), accept).rejects.toThrow('aborted');
      if (accept.includes('json')) expect(text).toMatch(/"error":\{"type":"urn:cuckoo:\w+",.*too far/);
    }
  });

  test('a body of two gigabytes is refused without being read', async ({ served }) => {
    const socket = await served.connect();
    const head = `POST ${sql} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${served.tokens.get('admin')}\r\nContent-Type: application/json\r\n`;
    socket.write(`${head}Content-Length: 2147483648\r\n\r\n{"sql":"`);
    const text = await firstOf(socket);
    expect(text).toMatch(/^HTTP\/1\.1 413 [\s\S]*"detail":"the body has more than 16 MB"/);
    const asking = await served.connect();
    asking.write(`${head}Content-Length: 2147483648\r\nExpect: 100-continue\r\n\r\n`);
    expect(await firstOf(asking)).toMatch(/^HTTP\/1\.1 413 /);
    // Chunked, it is read as far as it may be long.
    const endless = await served.connect();
    endless.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    const chunk = `100000\r\n${'x'.repeat(1 << 20)}\r\n`;
    for (let count = 0; count < 40 && !endless.destroyed; count++) endless.write(chunk);
    expect(await firstOf(endless)).toMatch(/^HTTP\/1\.1 413 /);
    expect((await served.post(sql, { sql: 'SELECT 1' })).status).toBe(200);
  });

  test('whoever asks whether his body is wanted is told so', async ({ served }) => {
    const socket = await served.connect();
    const body = '{"sql":"SELECT 42 AS answer"}';
    socket.write(
      `POST ${sql} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${served.tokens.get('admin')}\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    expect(await firstOf(socket)).toMatch(/^HTTP\/1\.1 100 Continue/);
    socket.write(body);
    expect(await firstOf(socket)).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('who may', () => {
  test('SQL text takes an admin', async ({ served }) => {
    for (const as of ['viewer', 'operator'] as const) {
      const { status, json } = await served.post(sql, { sql: 'SELECT 1' }, { as });
      expect([status, json.detail]).toEqual([
        403,
        `the token the ${as} is a ${as === 'operator' ? 'operator' : 'viewer'}'s, and this takes an admin's`,
      ]);
      // A form, a wrong body: none of it is looked at.
      expect((await served.post(sql, '{', { as, headers: { 'content-type': 'text/plain' } })).status).toBe(403);
    }
  });

  test('in a sandbox viewers may ask, operators define, and nobody else writes', async () => {
    const served = await new Served().open({ sandbox: true });
    try {
      await served.run('CREATE TABLE t AS SELECT 42 AS a', 'UPSERT PROCEDURE p() AS BEGIN INSERT INTO t VALUES (1); END');
      const upsert = "UPSERT SCHEDULE s ( sched: '@daily', sql: 'SELECT 1' )";
      const tries: [string, number, number][] = [
        ['FROM t', 200, 200],
        ['WITH x AS (SELECT a FROM t) SELECT * FROM x', 200, 200],
        ['LIST SCHEDULES', 200, 200],
        ["EXPLAIN CRON '0 2 * * *'", 200, 200],
        [upsert, 403, 200],
        ['RUN SCHEDULE s AWAIT', 403, 200],
        ['CALL p()', 403, 200],
        ['INSERT INTO t VALUES (1)', 403, 403],
        ['WITH x AS (SELECT 1) INSERT INTO t FROM x', 403, 403],
        ['EXPLAIN ANALYZE INSERT INTO t VALUES (1)', 403, 403],
        ["SELECT cron.schedule('x', '0 1 * * *', 'SELECT 1')", 403, 403],
        ['COMMIT', 403, 403],
        ['DROP TABLE t', 403, 403],
        ['CREATE TEMP TABLE x AS SELECT 1', 403, 403],
        ["ATTACH ':memory:' AS other", 403, 403],
        ['SET threads = 1', 403, 403],
        ['SET cron.workers = 1', 403, 403],
        ['PAUSE SCHEDULER', 403, 403],
        ['CHECKPOINT', 403, 403],
        ["COPY t TO '/tmp/x'", 403, 403],
        ['DROP SCHEDULE s', 403, 200],
      ];
      for (const [statement, viewer, operator] of tries) {
        const statuses = [];
        for (const as of ['viewer', 'operator'] as const) statuses.push((await served.post(sql, { sql: statement }, { as })).status);
        expect(statuses, statement).toEqual([viewer, operator]);
      }
      // The run and the call of the operator have written; nobody else has.
      expect((await served.post(sql, { sql: 'SELECT count(*) AS n FROM t' }, { as: 'viewer' })).json.rows).toEqual([{ n: 2 }]);
    } finally {
      await served.close();
    }
  });
});

async function firstOf(socket: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve) => socket.once('data', (data) => resolve(String(data))).once('close', () => resolve('')));
}
