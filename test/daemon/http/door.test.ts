import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request as askTls } from 'node:https';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { listen } from '../../../src/daemon/http/door.ts';
import { defaultLimits } from '../../../src/daemon/http/limits.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { test } from './fixture.ts';
import { eventsOf, heard, Served } from './served.ts';

describe('who comes in', () => {
  test('a missing or wrong token is refused before anything else is looked at', async ({ served }) => {
    const kinds = [
      ['GET', '/api/v1/nothing'],
      ['PATCH', '/version'],
      ['POST', '/version'],
      ['DELETE', '/openapi.json'],
      ['GET', '/version?limit=wrong'],
    ] as const;
    for (const [method, path] of kinds) {
      for (const as of [null, 'wrong', 'cuckoo_'.padEnd(50, 'x')]) {
        const headers = method === 'POST' ? { 'content-type': 'text/plain' } : {};
        const {
          status,
          json,
          headers: told,
        } = await served.ask(path, { method, as, headers, ...(method === 'POST' ? { body: '{' } : {}) });
        expect([status, json.code, told['www-authenticate']], `${method} ${path}`).toEqual([401, 'unauthorized', 'Bearer realm="cuckoo"']);
      }
    }
    expect((await served.ask('/version')).status).toBe(200);
  });

  test('the health pages need no token, and the unix socket none for anything', async ({ served }) => {
    for (const path of ['/healthz', '/readyz']) expect((await served.ask(path, { as: null })).status).toBe(200);
    expect((await served.ask('/version', { door: 'unix' })).json).toMatchObject({ api: 'v1', duckdb: '1.5.6' });
    expect(statSync(served.unixPath).mode & 0o777).toBe(0o600);
  });

  test('a token that is revoked is out with its next request', async ({ served }) => {
    expect((await served.ask('/version', { as: 'viewer' })).status).toBe(200);
    served.access.revoke('the viewer');
    expect((await served.ask('/version', { as: 'viewer' })).status).toBe(401);
  });

  test('who asks too often is told when to come again, and the others do not notice', async () => {
    const served = await new Served().open({ limits: { rate: { perSecond: 0.5, burst: 3 } } });
    try {
      const statuses: number[] = [];
      for (let count = 0; count < 5; count++) statuses.push((await served.ask('/version', { as: 'viewer' })).status);
      expect(statuses).toEqual([200, 200, 200, 429, 429]);
      const { headers, json } = await served.ask('/version', { as: 'viewer' });
      expect(headers['retry-after']).toBe('2');
      expect(json).toMatchObject({ code: 'too_busy', detail: 'the token the viewer asks too often' });
      // Pages that are not there are no way around it.
      expect((await served.ask('/nothing', { as: 'viewer' })).status).toBe(429);
      expect((await served.ask('/version', { as: 'operator' })).status).toBe(200);
      expect((await served.ask('/version', { door: 'unix' })).status).toBe(200);
    } finally {
      await served.close();
    }
  });
});

describe('web pages', () => {
  test('a page from another origin gets nothing, whatever it brings along', async ({ served }) => {
    const pages = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://localhost:3000' },
      { origin: `https://127.0.0.1:${served.port + 1}` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of pages) {
      for (const path of ['/version', '/healthz', '/api/v1/jobs']) {
        for (const method of ['GET', 'POST', 'OPTIONS']) {
          const answer = await served.ask(path, { headers, method });
          expect([answer.status, answer.json.detail], JSON.stringify([headers, path, method])).toEqual([
            403,
            'the request comes from a web page of another origin',
          ]);
          expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
        }
      }
    }
  });

  test('a name that suddenly means this machine gets nothing', async ({ served }) => {
    for (const host of [
      'evil.example',
      `evil.example:${served.port}`,
      '10.1.2.3',
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      'user@localhost',
    ]) {
      const { status } = await served.ask('/healthz', { headers: { host } });
      expect([400, 403], host).toContain(status);
    }
    for (const host of ['localhost', `localhost:${served.port}`, 'cuckoo.localhost', '127.0.0.1', '[::1]:8470', '127.1.2.3']) {
      expect((await served.ask('/version', { headers: { host } })).status, host).toBe(200);
    }
  });

  test('its own page may ask, and a page of a name that was configured', async () => {
    const served = await new Served().open({ names: ['Cuckoo.example.org'] });
    try {
      const own = `127.0.0.1:${served.port}`;
      expect(
        (await served.ask('/version', { headers: { host: own, origin: `http://${own}`, 'sec-fetch-site': 'same-origin' } })).status,
      ).toBe(200);
      const named = { host: 'cuckoo.example.org', origin: 'https://cuckoo.example.org' };
      expect((await served.ask('/version', { headers: named })).status).toBe(200);
    } finally {
      await served.close();
    }
  });

  test('no answer may be shown in a frame, guessed at, or kept', async ({ served }) => {
    for (const path of ['/version', '/nothing', '/healthz']) {
      expect((await served.ask(path)).headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      });
    }
  });
});

describe('what is asked wrongly', () => {
  test('a page that is not there, and a method that it has not', async ({ served }) => {
    expect((await served.ask('/nothing')).json).toEqual({
      type: 'urn:cuckoo:undefined_object',
      title: 'Undefined object',
      status: 404,
      detail: 'there is no such page',
      code: 'undefined_object',
      sqlstate: '42704',
      hint: 'GET /openapi.json tells what there is',
    });
    const { status, headers, json } = await served.ask('/version', { method: 'DELETE' });
    expect([status, headers['allow'], headers['content-type'], json.hint]).toEqual([
      405,
      'GET',
      'application/problem+json',
      'it takes GET',
    ]);
  });

  test('a query that nobody reads is a mistake', async ({ served }) => {
    expect((await served.ask('/version?verbose=1')).json).toMatchObject({
      status: 400,
      code: 'unknown_key',
      detail: 'the query has no "verbose"',
    });
  });

  test('while it starts and drains it is not ready, and says so', async ({ served }) => {
    expect((await served.ask('/readyz')).json).toEqual({ status: 'ready', reasons: [] });
    for (const state of ['starting', 'draining'] as const) {
      served.state = state;
      expect(await served.ask('/readyz')).toMatchObject({ status: 503, json: { status: state, reasons: [`the daemon is ${state}`] } });
      expect((await served.ask('/healthz')).status).toBe(200);
    }
  });
});

describe('bad clients', () => {
  test('half a request is ended in time, and answered', async () => {
    const served = await new Served().open({ limits: { headersWithinMs: 300, requestWithinMs: 300 } });
    try {
      const silent = await served.connect();
      const half = await served.connect();
      half.write('GET /version HTTP/1.1\r\nHost: localhost\r\nAuthoriz');
      const body = await served.connect();
      body.write(
        `POST /version HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${served.tokens.get('admin')}\r\nContent-Length: 10\r\n\r\n12`,
      );
      for (const socket of [half, body]) expect(await heard(socket)).toMatch(/^HTTP\/1\.1 (408|405) /);
      expect(await heard(silent)).toMatch(/^$|^HTTP\/1\.1 408 /);
    } finally {
      await served.close();
    }
  });

  test('what is no request at all is refused, and so are endless headers', async ({ served }) => {
    const noise = await served.connect();
    noise.write('\u0016\u0003\u0001 hello\r\n\r\n');
    expect(await heard(noise)).toMatch(/^HTTP\/1\.1 400 [\s\S]*"detail":"that is no request of HTTP\/1\.1"/);
    const long = await served.connect();
    long.write(`GET /version HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect(await heard(long)).toMatch(/^HTTP\/1\.1 431 [\s\S]*"detail":"the headers are too long"/);
    for (const request of [
      'GET /version HTTP/1.1\r\n\r\n',
      'GET * HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n',
    ]) {
      const socket = await served.connect();
      socket.write(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      expect(await heard(socket), request).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
  });

  test('of 5,000 connections the longest idle ones go, and whoever asks is served', async ({ served }) => {
    const gone: Promise<string>[] = [];
    let last = await served.connect();
    for (let count = 1; count < 5000; count++) {
      gone.push(heard(last));
      last = await served.connect();
      if (count % 1000 === 0) expect((await served.ask('/version')).status).toBe(200);
    }
    const most = defaultLimits.connections;
    expect(new Set(await Promise.all(gone.slice(0, -most)))).toEqual(new Set(['']));
    last.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    expect(await heard(last)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('who is being served stays, whoever else comes', async () => {
    const served = await new Served().open({ limits: { connections: 5 } });
    try {
      const stream = await served.begin('/api/v1/stream?events=storage');
      const sockets = await Promise.all(Array.from({ length: 50 }, () => served.connect()));
      await Promise.all(sockets.slice(0, 40).map((socket) => heard(socket)));
      served.engine.scheduler.events.emit('storage:enough', {});
      for await (const { event } of eventsOf(stream)) {
        expect(event).toBe('storage:enough');
        break;
      }
    } finally {
      await served.close();
    }
  });
});

describe('a connection for which there is no room', () => {
  test('is told so, and when to come again', async () => {
    const served = await new Served().open({ limits: { connections: 2 } });
    try {
      const streams = await Promise.all([served.begin('/api/v1/stream'), served.begin('/api/v1/stream')]);
      const socket = await served.connect();
      socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const answer = await heard(socket);
      expect(answer).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n/);
      expect(answer).toContain('2 connections are being served');
      for (const stream of streams) stream.destroy();
    } finally {
      await served.close();
    }
  });
});

describe('leaving', () => {
  test('what is under way is answered, what has no end is ended, and nobody else is let in', async ({ served }) => {
    await served.run("UPSERT SCHEDULE slow ( sql: 'SELECT sum(a.range * b.range) FROM range(3000) a, range(30000) b' )");
    const stream = await served.begin('/api/v1/stream');
    const started = new Promise((resolve) => served.engine.scheduler.events.on('run:started', resolve));
    const running = served.post('/api/v1/jobs/slow/run?wait=true');
    await started;
    served.state = 'draining';
    expect((await served.ask('/readyz')).headers['connection']).toBe('close');
    await served.app.close();
    const closing = served.doors.close({ graceMs: 20_000 });
    expect(await served.ask('/version').catch((error: NodeJS.ErrnoException) => error.code)).toBe('ECONNREFUSED');
    expect((await running).json.state).toBe('succeeded');
    for await (const _ of stream);
    await closing;
  });

  test('whoever takes too long is cut off', async ({ served }) => {
    const { port } = served;
    const half = await served.connect();
    half.write('POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\n');
    const all = heard(half);
    await served.doors.close({ graceMs: 50 });
    expect(await all).toBe('');
    expect(port).toBeGreaterThan(0);
  });
});

test('with a certificate it speaks TLS, and nothing else', async ({ served }) => {
  const files = { key: join(served.folder, 'key.pem'), cert: join(served.folder, 'cert.pem') };
  const make = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
  ];
  execFileSync('openssl', [...make, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', files.key, '-out', files.cert], {
    stdio: 'ignore',
  });
  const tls = { key: readFileSync(files.key), cert: readFileSync(files.cert) };
  const doors = await listen({ app: served.app, clock: systemClock, tcp: { host: '127.0.0.1', port: 0, tls } });
  try {
    expect(doors.url).toBe(`https://127.0.0.1:${doors.port}`);
    const headers = { authorization: `Bearer ${served.tokens.get('viewer')}` };
    const status = await new Promise((resolve, reject) => {
      const asked = askTls({ host: '127.0.0.1', port: doors.port, path: '/version', ca: tls.cert, headers, agent: false });
      asked.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject);
      asked.end();
    });
    expect(status).toBe(200);
    const plain = connect(doors.port ?? 0, '127.0.0.1');
    plain.on('error', () => undefined);
    plain.write('GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(await heard(plain)).not.toContain('200');
  } finally {
    await doors.close({ graceMs: 0 });
  }
});

describe('places', () => {
  test('a port that is in use is told, with what to do', async ({ served }) => {
    const again = listen({ app: served.app, clock: systemClock, tcp: { host: '127.0.0.1', port: served.port } });
    const error = await again.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Diagnostic);
    expect(error).toMatchObject({
      message: `127.0.0.1:${served.port} is in use by another process`,
      hint: `choose another port (--listen 127.0.0.1:0 picks a free one); ss -ltnp 'sport = :${served.port}' tells who has it`,
    });
  });

  test('a socket that a dead process has left is taken, one that answers or is none stays', async ({ served }) => {
    const path = join(served.folder, 'left');
    const left = createServer();
    await new Promise<void>((resolve) => left.listen(`${path}.first`, resolve));
    // What a SIGKILL leaves: the path, and nobody who listens.
    linkSync(`${path}.first`, path);
    await new Promise((resolve) => left.close(resolve));
    const doors = await listen({ app: served.app, clock: systemClock, unixPath: path });
    const second = await listen({ app: served.app, clock: systemClock, unixPath: path }).catch((thrown: Error) => thrown.message);
    expect(second).toBe(`"${path}" is in use`);
    await doors.close({ graceMs: 0 });
    writeFileSync(path, 'precious');
    chmodSync(path, 0o600);
    const third = await listen({ app: served.app, clock: systemClock, unixPath: path }).catch((thrown: Error) => thrown.message);
    expect(third).toBe(`"${path}" is in use`);
  });
});

test('no token ever appears in the log', async ({ served }) => {
  const secrets = [...served.tokens.values(), 'cuckoo_somebody_elses_token_0123456789'];
  for (const token of secrets) {
    for (const path of ['/version', '/healthz', `/api/v1/jobs/${token}`, `/nothing?token=${token}`, `/${token}`]) {
      await served.ask(path, { as: token });
      await served.ask(path, { as: null, headers: { 'x-token': token, authorization: `Basic ${token}`, cookie: `t=${token}` } });
      await served.post(path, { token }, { as: token });
    }
  }
  const log = served.log.join('');
  expect(log).toContain('"request"');
  for (const token of secrets) expect(log).not.toContain(token.slice(7));
});
