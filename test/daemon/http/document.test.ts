import fc from 'fast-check';
import { expect } from 'vitest';
import type { Operation, Schema } from './conformity.ts';
import { test } from './fixture.ts';

test('the document is one of OpenAPI 3.1: names stand once, what is referred to is there, every part of a path is described', async ({
  served,
}) => {
  const { document } = served;
  expect(document.openapi).toBe('3.1.0');
  const ids: string[] = [];
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      ids.push(operation.operationId);
      const written = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const described = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(
        described.map(({ name }) => name),
        path,
      ).toEqual(written);
      expect(described.every(({ required }) => required)).toBe(true);
      expect(Object.keys(operation.responses).length, `${method} ${path}`).toBeGreaterThan(0);
      if (method === 'get') expect(operation.requestBody).toBeUndefined();
    }
  }
  expect(new Set(ids).size).toBe(ids.length);
  for (const [, name = ''] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    expect(Object.keys(document.components.schemas)).toContain(name);
  }
  // Every page of the issue is there.
  const asked = `GET /healthz GET /readyz GET /version GET /openapi.json POST /api/v1/sql GET /api/v1/jobs POST /api/v1/jobs
    GET /api/v1/jobs/{name} PUT /api/v1/jobs/{name} DELETE /api/v1/jobs/{name} POST /api/v1/jobs/{name}/run POST /api/v1/jobs/{name}/execute
    PUT /api/v1/jobs/{name}/schedule GET /api/v1/jobs/{name}/executions GET /api/v1/jobs/{name}/upcoming GET /api/v1/executions
    GET /api/v1/executions/{id} GET /api/v1/executions/{id}/steps GET /api/v1/executions/{id}/logs POST /api/v1/executions/{id}/cancel
    POST /api/v1/executions/{id}/retry DELETE /api/v1/executions/{id} GET /api/v1/queues/status POST /api/v1/queues/{name}/pause
    POST /api/v1/queues/{name}/resume GET /api/v1/dead-letters GET /api/v1/calendars GET /api/v1/pipelines GET /api/v1/procedures
    GET /api/v1/upcoming GET /api/v1/stream`.split(/\s+(?=GET|PUT|POST|DELETE)/);
  const switches = ['enable', 'disable', 'pause', 'resume'].flatMap((verb) => [
    `POST /api/v1/jobs/{name}/${verb}`,
    `PUT /api/v1/jobs/{name}/${verb}`,
  ]);
  const there = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(there).toEqual(expect.arrayContaining([...asked, ...switches]));
});

// ---- Random and hostile requests ----

/** Names of things that are there, and texts that somebody hopes to get through. */
const hostile = [
  'a',
  'A',
  'default',
  'tidy',
  '',
  ' ',
  '"',
  "'",
  "'; DROP SCHEDULE a; --",
  'a"b; DROP',
  '../../etc/passwd',
  '%00',
  '\0',
  '\ud800',
  '%',
  '$name',
  '$$',
  '?',
  '🐦',
  'x'.repeat(5000),
  '__proto__',
  'constructor',
  '1e999',
  '-1',
  '9223372036854775808',
  'NaN',
  'null',
  'true',
  '2026-11-20T02:00:00Z',
  '2026-99-99',
  '0 2 * * *',
  '@daily',
  '60 60 * * *',
  'every 1s',
  'failed,timeout',
  'WyJhIl0',
  'WyIyMDI2IiwieCJd',
  '01a1f9be-22d2-7001-90fa-730e9b2993fe',
  '01a1f9be',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
];

const statements = [
  'SELECT 1',
  'SELECT $1',
  'FROM cron.runs',
  'LIST RUNS',
  'BEGIN',
  'COMMIT',
  "SELECT error('x')",
  'SELECT * FROM nowhere',
  'DROP SCHEMA cron CASCADE',
  'DELETE FROM cron.runs',
  'DETACH my',
  'SET memory_limit = 1',
  "UPSERT SCHEDULE b ( sql: 'SELECT 1' )",
  "ATTACH '/nowhere/x.duckdb'",
  'PRAGMA nonsense',
  "SELECT cron.schedule('c', '* * * * *', 'SELECT 1')",
  'CALL pragma_version()',
  'EXPLAIN ANALYZE SELECT 1',
  'RUN SCHEDULE a AWAIT',
  "SELECT repeat('x', 100000) FROM range(100)",
  'SELECT {a: [1, NULL], b: MAP {1: 2}, c: INTERVAL 1 DAY, d: 1.5::DECIMAL(3,1)}',
  "SELECT '\\xFF'::BLOB, 'infinity'::TIMESTAMPTZ, 'nan'::DOUBLE, '1 day'::INTERVAL, uuid(), true::BIT",
];

const text = fc.oneof(fc.constantFrom(...hostile), fc.string(), fc.string({ unit: 'binary' }));
const anything = fc.oneof({ weight: 3, arbitrary: text }, { weight: 2, arbitrary: fc.jsonValue() });
/** What runs outside of the database is not left to chance. */
const harmless = fc.constantFrom<unknown>('true', ['true'], ['false'], 'exit 3', [], 7, null, { a: 1 });

function valueFor(name: string, schema: Schema, schemas: Readonly<Record<string, Schema>>): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return valueFor(name, schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}, schemas);
  if (name === 'command' || name === 'handler' || name === 'exe') return harmless;
  if (name === 'sql') return fc.oneof(fc.constantFrom(...statements), text);
  const right = rightFor(name, schema, schemas);
  return fc.oneof({ weight: 15, arbitrary: right }, { weight: 1, arbitrary: anything });
}

function rightFor(name: string, schema: Schema, schemas: Readonly<Record<string, Schema>>): fc.Arbitrary<unknown> {
  const types = [schema.type ?? []].flat();
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((option) => rightFor(name, option, schemas)));
  if (types.includes('object') && schema.properties !== undefined) {
    const fields = Object.fromEntries(Object.entries(schema.properties).map(([key, field]) => [key, valueFor(key, field, schemas)]));
    return fc.record(fields, { requiredKeys: [...(schema.required ?? [])] });
  }
  if (types.includes('object')) return fc.dictionary(text, anything, { maxKeys: 3 });
  if (types.includes('array'))
    return fc.array(schema.items === undefined ? anything : valueFor(name, schema.items, schemas), { maxLength: 3 });
  if (types.includes('integer')) return fc.integer({ min: schema.minimum ?? -10, max: schema.maximum ?? 1000 });
  if (types.includes('boolean')) return fc.boolean();
  if (schema.format === 'date-time')
    return fc.oneof(
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      text,
    );
  if (name === 'cursor')
    return fc.oneof({ weight: 2, arbitrary: fc.constant('WyIyMDI2LTExLTIwVDAyOjAwOjAwWiIsIngiXQ') }, { weight: 1, arbitrary: text });
  if (types.includes('string')) return text;
  return anything;
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  readonly as: 'viewer' | 'operator' | 'admin' | null;
  readonly headers: Readonly<Record<string, string>>;
}

function requestsOf(
  runId: string,
  path: string,
  method: string,
  operation: Operation,
  schemas: Readonly<Record<string, Schema>>,
): fc.Arbitrary<Request> {
  const parameters = operation.parameters ?? [];
  const parts = parameters.filter((parameter) => parameter.in === 'path');
  const queries = parameters.filter((parameter) => parameter.in === 'query');
  const schema = operation.requestBody?.content['application/json']?.schema;
  const body =
    schema === undefined
      ? fc.oneof({ weight: 10, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constantFrom('{}', 'x') })
      : fc.oneof(
          { weight: 8, arbitrary: valueFor('body', schema, schemas).map((value) => JSON.stringify(value)) },
          { weight: 1, arbitrary: text },
          { weight: 1, arbitrary: fc.constant(undefined) },
        );
  return fc.record({
    method: fc.constant(method.toUpperCase()),
    path: fc
      .record({
        names: fc.tuple(
          ...parts.map(() =>
            fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'default', 'c', 'tidy', runId) }, { weight: 2, arbitrary: text }),
          ),
        ),
        query: fc.record(Object.fromEntries(queries.map(({ name, schema: of }) => [name, valueFor(name, of, schemas)])), {
          requiredKeys: [],
        }),
        more: fc.oneof({ weight: 15, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: text }),
      })
      .map(({ names, query, more }) => {
        const filled = parts.reduce((whole, { name }, at) => whole.replace(`{${name}}`, encoded(names[at] ?? '')), path);
        const pairs = Object.entries(query).map(
          ([name, value]) => `${name}=${encoded(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))}`,
        );
        const all = more === undefined ? pairs : [...pairs, encoded(more)];
        return all.length === 0 ? filled : `${filled}?${all.join('&')}`;
      }),
    body,
    as: fc.oneof(
      { weight: 20, arbitrary: fc.constant('admin' as const) },
      { weight: 3, arbitrary: fc.constantFrom('operator', 'viewer', null) },
    ),
    headers: fc.oneof(
      { weight: 3, arbitrary: fc.constant({}) },
      {
        weight: 1,
        arbitrary: fc.record(
          {
            accept: fc.constantFrom(
              '*/*',
              'application/json',
              'application/x-ndjson',
              'application/vnd.apache.arrow.stream',
              'text/html',
              ';;,q=x',
            ),
            'content-type': fc.constantFrom(
              'application/json',
              'application/json; charset=utf-8',
              'text/plain',
              'application/x-www-form-urlencoded',
              '',
            ),
            'last-event-id': fc.constantFrom('1-1', 'x', '2026-11-20T02:00:00Z'),
          },
          { requiredKeys: [] },
        ),
      },
    ),
  });
}

/** As a client would, but for what has no UTF-8. */
function encoded(part: string): string {
  return encodeURIComponent(part.replaceAll(/\p{Surrogate}/gu, '%ED%A0%80')).replaceAll('%25ED%25A0%2580', '%ED%A0%80');
}

test('no request that the document allows, and none that it does not, is answered by a mistake of ours or by what the document does not know', async ({
  served,
}) => {
  await served.run(
    "UPSERT SCHEDULE a ( sql: 'SELECT 1' )",
    'UPSERT PROCEDURE tidy() AS BEGIN SELECT 1; END',
    'UPSERT CALENDAR c ( weekend: [sun] )',
  );
  const runId: string = (await served.post('/api/v1/jobs/a/run?wait=true')).json.run_id;
  const { paths, components } = served.document;
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      arbitrary: requestsOf(runId, path, method, operation, components.schemas),
    })),
  );
  // Its answer has no end.
  const requests = all.filter(({ path }) => path !== '/api/v1/stream').map(({ arbitrary }) => arbitrary);
  const counts = new Map<number, number>();
  let isPaused = false;
  await fc.assert(
    fc.asyncProperty(fc.oneof(...requests), async ({ method, path, body, as, headers }) => {
      // Whoever waits for a run of a queue that is paused waits until somebody resumes it.
      if (isPaused && path.includes('wait=true')) return;
      // Breaks off, where what a statement ends by a mistake has been begun.
      const { status } = await served.ask(path, { method, as, headers, body }).catch((error: NodeJS.ErrnoException) => {
        if (error.message === 'aborted') return { status: 200 };
        throw error;
      });
      counts.set(status, (counts.get(status) ?? 0) + 1);
      isPaused ||= status === 200 && path.includes('/pause');
      expect(status).toBeLessThan(500);
    }),
    { numRuns: Number(process.env['HTTP_REQUESTS'] ?? 500) },
  );
  // It is not the door that has refused them all.
  expect(counts.get(200) ?? 0).toBeGreaterThan(60);
  expect(served.log.filter((line) => line.includes('a mistake of ours'))).toEqual([]);
  expect((await served.ask('/api/v1/jobs/a')).status).toBeLessThan(500);
}, 120_000);
