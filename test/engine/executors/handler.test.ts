import { describe, expect } from 'vitest';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { moduleOf } from '../../../src/engine/executors/handler/module.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { linesOf, runAgain, runHandler, threadCount, writeHandler, writeModule } from '../../support/handlers.ts';

const both = ['thread', 'process'] as const;

describe.each(both)('a module in a %s', (isolation) => {
  const keys = `isolation: ${isolation}`;

  test('gets its context, and what it answers is the value of its run', async ({ db }) => {
    const path = writeHandler(
      db,
      'context.mjs',
      `const { services, signal, progress, ...values } = context;
       return { values, services: Object.keys(services).sort(), aborted: signal.aborted, progress: typeof progress };`,
    );
    const run = await runHandler(
      db,
      path,
      `${keys}, params: { n: 4, list: [1, 'two'], key: env('SECRET') }, config: { deep: { url: 'http://x' } }, timeout: 1m`,
    );
    expect(run).toMatchObject({ state: 'succeeded', guarantee: 'at_least_once', error_code: null });
    const { values, ...rest } = JSON.parse(String(run['result'])) as { values: Record<string, unknown> };
    expect(rest).toEqual({ services: ['database', 'http', 'logger'], aborted: false, progress: 'function' });
    expect(values).toMatchObject({
      jobId: 'h',
      executionId: run['run_id'],
      runId: run['run_id'],
      step: null,
      item: null,
      params: { n: 4, list: [1, 'two'] },
      config: { deep: { url: 'http://x' } },
      scheduledAt: '2026-11-20T12:00:00.000Z',
      previousAt: null,
      lastSuccessAt: null,
      parentRunId: null,
      attempt: 1,
      timeoutMs: 60_000,
    });
    expect(Object.keys(values)).not.toEqual(expect.arrayContaining(['secrets']));
  });

  test('is ended when its loop does not end by its timeout, and the next run goes on', async ({ db }) => {
    const path = writeHandler(db, 'loop.mjs', 'if (context.params.loops) for (;;) {}\nreturn 1;');
    expect(await runHandler(db, path, `${keys}, timeout: 300ms, params: { loops: true }`)).toMatchObject({
      state: 'timed_out',
      error_code: 'timed_out',
      reason: 'it ran longer than its timeout of 300ms',
    });
    expect(await runHandler(db, path, `${keys}, params: { loops: false }`)).toMatchObject({ state: 'succeeded', result: '1' });
  });

  test('that never settles is ended at its timeout; one that heeds the signal ends by itself', async ({ db }) => {
    const never = writeHandler(db, 'never.mjs', 'await new Promise(() => {});');
    expect(await runHandler(db, never, `${keys}, timeout: 200ms`)).toMatchObject({ state: 'timed_out' });
    const heeds = writeHandler(
      db,
      'heeds.mjs',
      `context.progress(0);
       await new Promise((resolve) => { const timer = setInterval(() => {}, 1000); context.signal.addEventListener('abort', () => { clearInterval(timer); resolve(); }); });
       context.services.logger.info('told to end');`,
    );
    db.engine.scheduler.events.on('run:progress', ({ run }) => void db.engine.scheduler.cancel(run.runId, 'enough'));
    const run = await runHandler(db, heeds, keys);
    expect(run).toMatchObject({ state: 'cancelled', reason: 'enough' });
    expect(await linesOf(db, run)).toContain('log info: told to end');
  });

  test('ends as one clear row, whatever it throws', async ({ db }) => {
    const thrown = [
      ["throw 'plain text'", 'plain text', null],
      ['throw undefined', 'it threw undefined', null],
      ["throw ''", "it threw ''", null],
      ['throw 42n', 'it threw 42n', null],
      ["throw Object.freeze(new TypeError('frozen'))", 'frozen', { name: 'TypeError', stack: expect.stringContaining('thrown.mjs:7') }],
      [
        "throw new Error('outer', { cause: new RangeError('inner', { cause: 'root' }) })",
        'outer',
        { cause: { message: 'inner', name: 'RangeError', stack: expect.stringContaining('thrown.mjs'), cause: "'root'" } },
      ],
      ["throw Object.assign(new Error(''), { code: 'E_X', status: 7 })", 'Error', { code: 'E_X', status: 7 }],
      ["throw new AggregateError([new Error('one'), 2], 'many')", 'many', { errors: [{ message: 'one' }, '2'] }],
      ["throw { get message() { throw new Error('evil'); } }", expect.stringContaining('it threw {'), expect.anything()],
      ['throw new Proxy({}, { get() { throw 1; }, getPrototypeOf() { throw 1; } })', expect.stringContaining('it threw'), null],
    ] as const;
    const cases = thrown.map(([statement]) => `() => { ${statement}; },`).join('\n');
    const path = writeHandler(db, 'thrown.mjs', `const cases = [\n${cases}\n];\nreturn cases[context.params.at]();`);
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}', max_retries: 0, params: { at: 0 }, ${keys} )`);
    for (const [at, [statement, message, detail]] of thrown.entries()) {
      const run = await runAgain(db, `h WITH ( at: ${at} )`);
      expect(run, statement).toMatchObject({ state: 'failed', error_code: 'run_failed', error_message: message });
      const told = run['error_detail'] === null ? null : JSON.parse(String(run['error_detail']));
      if (detail === null || typeof detail !== 'object') expect(told, statement).toEqual(detail);
      else expect(told, statement).toMatchObject(detail);
      expect(String(run['error_detail'])).not.toContain('tinypool');
    }
  });

  test('ends as one clear row, whatever it answers', async ({ db }) => {
    const answers = [
      ['return undefined', { state: 'succeeded', result: null }],
      ['return { n: 12n, large: 2n ** 70n }', { state: 'succeeded', result: '{"n":12,"large":"1180591620717411303424"}' }],
      ["return new Date('2026-01-02T03:04:05Z')", { state: 'succeeded', result: '"2026-01-02T03:04:05.000Z"' }],
      ["return { map: new Map([['a', 1]]), set: new Set([1, 2]) }", { state: 'succeeded', result: '{"map":{"a":1},"set":[1,2]}' }],
      [
        'const cycle = {}; cycle.self = cycle; return cycle',
        { state: 'failed', error_code: 'wrong_type', error_message: /no JSON: .*circular/s },
      ],
      ['return () => 1', { state: 'failed', error_code: 'wrong_type', error_message: /no JSON: a function/ }],
      [
        "return 'x'.repeat(100_000_000)",
        { state: 'succeeded', result: null, notes: ['result: 100000002 characters were answered, and at most 1000000 are kept: none'] },
      ],
    ] as const;
    const cases = answers.map(([statement]) => `() => { ${statement}; },`).join('\n');
    const path = writeHandler(db, 'answers.mjs', `const cases = [\n${cases}\n];\nreturn cases[context.params.at]();`);
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}', max_retries: 0, params: { at: 0 }, ${keys} )`);
    for (const [at, [statement, expected]] of answers.entries()) {
      const run = await runAgain(db, `h WITH ( at: ${at} )`);
      for (const [column, value] of Object.entries(expected)) {
        if (value instanceof RegExp) expect(run[column], statement).toMatch(value);
        else expect(run[column], statement).toEqual(value);
      }
    }
  });

  test('that cannot be loaded says why, and where', async ({ db }) => {
    const mistakes = [
      ['export default () => {\n  foo(;\n};', { error_message: "Unexpected token ';'" }, /broken\.mjs:2\b[\s\S]*foo\(;/],
      ['export const other = () => 1;', { error_code: 'undefined_object', error_message: /no default export that is a function/ }, /other/],
      ['export default 42;', { error_code: 'undefined_object' }, /export default async function/],
      ["import './nothing.mjs';\nexport default () => 1;", { error_message: /Cannot find module .*nothing\.mjs/ }, /ERR_MODULE_NOT_FOUND/],
      ["throw new Error('while it was loaded');", { error_message: 'while it was loaded' }, /broken\.mjs:1/],
    ] as const;
    for (const [text, expected, detail] of mistakes) {
      const run = await runHandler(db, writeModule(db, 'broken.mjs', text), keys);
      expect(run['state'], text).toBe('failed');
      for (const [column, value] of Object.entries(expected))
        expect(run[column], text).toEqual(value instanceof RegExp ? expect.stringMatching(value) : value);
      expect(String(run['error_detail']), text).toMatch(detail);
    }
    expect(await runHandler(db, './jobs/absent.mjs', keys)).toMatchObject({
      state: 'failed',
      error_code: 'file_not_found',
      error_message: `the handler ./jobs/absent.mjs does not exist: there is no file ${db.folder}/jobs/absent.mjs`,
    });
    const hangs = writeModule(db, 'hangs.mjs', 'setInterval(() => {}, 1000);\nawait new Promise(() => {});\nexport default () => 1;');
    const run = await runHandler(db, hangs, `${keys}, timeout: 300ms`);
    expect(run).toMatchObject({ state: 'timed_out' });
    expect(run['notes']).toEqual(['its module was still being loaded']);
  });

  test('keeps what it does to its parameters to itself', async ({ db }) => {
    const path = writeHandler(
      db,
      'mutates.mjs',
      'const before = context.params.list.length; context.params.list.push(1); context.params = 7; return before;',
    );
    for (let time = 0; time < 3; time++)
      expect(await runHandler(db, path, `${keys}, params: { list: [1, 2] }`)).toMatchObject({ state: 'succeeded', result: '2' });
  });

  test('prints into the log of its own run', async ({ db }) => {
    const path = writeHandler(
      db,
      'prints.mjs',
      `console.log('hello %s', 'you', { a: 1 });
       console.debug('small'); console.warn('careful'); console.error(new Error('bad').message);
       process.stdout.write('two\\nlines'); process.stderr.write(Buffer.from('bytes\\n'));
       const { logger } = context.services;
       logger.debug('d'); logger.info('i', { rows: 3, big: 12n }); logger.warn('w'); logger.error('e', { error: new Error('inside') });
       const cycle = {}; cycle.self = cycle; logger.info('cycle', cycle); logger.info(Symbol('odd'));
       logger.info('escape \\u001b[31m and \\u0000');`,
    );
    const run = await runHandler(db, path, keys);
    expect(run['state']).toBe('succeeded');
    const lines = await linesOf(db, run);
    expect(lines).toEqual([
      'stdout info: hello you { a: 1 }',
      'stdout debug: small',
      'stderr warn: careful',
      'stderr error: bad',
      'stdout info: two',
      'stderr warn: bytes',
      'log debug: d',
      'log info: i {"rows":3,"big":"12"}',
      'log warn: w',
      expect.stringMatching(/^log error: e \{"error":\{"name":"Error","message":"inside"/),
      expect.stringContaining('log info: cycle <ref *1> { self: [Circular *1] }'),
      'log info: Symbol(odd)',
      'log info: escape \\x1b[31m and \\x00',
      'stdout info: lines',
    ]);
  });

  test('that floods its log waits for those who write it, and keeps the first and the last lines', async ({ db }) => {
    await db.run('SET cron.log_lines = 100');
    const path = writeHandler(db, 'flood.mjs', "for (let n = 0; n < 300_000; n++) console.log('line ' + n);\nreturn 'done';");
    const before = process.memoryUsage().rss;
    const run = await runHandler(db, path, keys);
    expect(run).toMatchObject({ state: 'succeeded', result: '"done"' });
    const lines = await linesOf(db, run);
    expect(lines[0]).toBe('stdout info: line 0');
    expect(lines.at(-1)).toBe('stdout info: line 299999');
    expect(lines.join()).toContain('299900 lines dropped');
    expect(process.memoryUsage().rss - before).toBeLessThan(200_000_000);
  });

  test('that rejects where nobody waits fails its run, and no other', async ({ db }) => {
    const path = writeHandler(
      db,
      'rejects.mjs',
      "Promise.reject(new Error('nobody waits'));\nawait new Promise((resolve) => setTimeout(resolve, 5));\nreturn 1;",
    );
    const run = await runHandler(db, path, keys);
    expect(run).toMatchObject({ state: 'failed', error_message: 'nobody waits' });
    expect(String(run['error_detail'])).toContain('rejects.mjs:2');
    const late = writeHandler(db, 'late.mjs', "Promise.reject(new Error('at the very end'));\nreturn 1;");
    expect(await runHandler(db, late, keys)).toMatchObject({ state: 'failed', error_message: 'at the very end' });
    const timer = writeHandler(
      db,
      'timer.mjs',
      "setTimeout(() => { throw new Error('from a timer'); }, 1);\nawait new Promise((resolve) => setTimeout(resolve, 50));",
    );
    expect(await runHandler(db, timer, keys)).toMatchObject({ state: 'failed', error_message: 'from a timer' });
  });

  test('that calls process.exit ends its run, and nothing else', async ({ db }) => {
    const path = writeHandler(
      db,
      'exits.mjs',
      "console.log('before');\nif (context.params.code !== null) process.exit(context.params.code);\nreturn 1;",
    );
    for (const code of [0, 3]) {
      const run = await runHandler(db, path, `${keys}, params: { code: ${code} }`);
      expect(run).toMatchObject({
        state: 'failed',
        error_code: 'run_failed',
        error_message: expect.stringMatching(new RegExp(`exit.*${code}.*before it answered`)),
      });
      expect(await linesOf(db, run)).toContain('stdout info: before');
    }
    expect(await runHandler(db, path, `${keys}, params: { code: null }`)).toMatchObject({ state: 'succeeded' });
  });

  test('that leaves something at work says so, and it ends with the run', async ({ db }) => {
    const path = writeHandler(db, 'leaves.mjs', 'setInterval(() => {}, 10);\nreturn 1;');
    const run = await runHandler(db, path, keys);
    expect(run).toMatchObject({ state: 'succeeded', result: '1' });
    expect(run['notes']).toEqual(['still at work when it answered, and ended with the run: Timeout; await what must be done']);
  });

  test('is cancelled by CANCEL RUN, also in an endless loop', async ({ db }) => {
    const path = writeHandler(db, 'endless.mjs', "console.log('begun');\nfor (;;) {}");
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}', ${keys} )`);
    const other = await db.newSession();
    const running = db.rows('RUN SCHEDULE h');
    const started = new Promise<string>((resolve) => {
      db.engine.scheduler.events.on('run:started', ({ run }) => resolve(run.runId));
    });
    const id = await started;
    await (await other.execute(`CANCEL RUN '${id}'`)).toArray();
    expect(await running).toMatchObject([{ state: 'cancelled' }]);
  });
});

test('a secret stands in no row and no log, wherever a handler puts it', async ({ db }) => {
  const heard: unknown[] = [];
  db.engine.scheduler.events.on('run:progress', ({ message }) => heard.push(message));
  const path = writeHandler(
    db,
    'leaks.mjs',
    `const { key } = context.config;
     console.log('console ' + key); context.services.logger.info('logger', { key }); context.progress(0, 'progress ' + key);
     if (context.params.throws) throw new Error('thrown ' + key, { cause: key });
     return { answered: key, knows: key === 'hid' + 'den' };`,
  );
  const run = await runHandler(db, path, "params: { throws: false }, config: { key: env('SECRET') }");
  expect(run).toMatchObject({ state: 'succeeded', result: '{"answered":"***","knows":true}' });
  expect(await linesOf(db, run)).toEqual(['stdout info: console ***', 'log info: logger {"key":"***"}']);
  const thrown = await runAgain(db, 'h WITH ( throws: true )');
  expect(thrown).toMatchObject({ state: 'failed', error_message: 'thrown ***', reason: expect.stringContaining('thrown ***') });
  expect(String(thrown['error_detail'])).not.toContain('hidden');
  expect(heard).toEqual(['progress ***', 'progress ***']);
});

describe('which module is called', () => {
  test('is read from the folder of the database, whatever is in its name', () => {
    const named = (call: string): string[] => {
      const { path, exportName } = moduleOf(call, '/data');
      return [path, exportName];
    };
    expect(named('./jobs/a.js')).toEqual(['/data/jobs/a.js', 'default']);
    expect(named('jobs/a b%20?.mjs#go')).toEqual(['/data/jobs/a b%20?.mjs', 'go']);
    expect(named('../c#1.js')).toEqual(['/c#1.js', 'default']);
    expect(named('/elsewhere/c#1.js#go')).toEqual(['/elsewhere/c#1.js', 'go']);
    for (const call of ['a.js#', '#go', 'a.sql', 'a', 'a.js\0']) expect(() => moduleOf(call, '/data'), call).toThrow(Diagnostic);
  });

  test('may have any name that a file may have', async ({ db }) => {
    expect(await runHandler(db, writeHandler(db, 'odd # ? %41 ü.mjs', 'return 1;'))).toMatchObject({ state: 'succeeded', result: '1' });
  });

  test('an export behind #, CommonJS, and a procedure in javascript with typed parameters', async ({ db }) => {
    const named = writeModule(
      db,
      'named.mjs',
      "export const nightly = ({ params }) => ['nightly', params];\nexport default () => 'default';",
    );
    expect(await runHandler(db, `${named}#nightly`, 'params: { a: 1 }')).toMatchObject({ result: '["nightly",{"a":1}]' });
    expect(await runHandler(db, named)).toMatchObject({ result: '"default"' });
    expect(await runHandler(db, `${named}#absent`)).toMatchObject({
      error_message: expect.stringContaining('no function that is exported as absent'),
    });
    expect(await runHandler(db, writeModule(db, 'common.cjs', "module.exports = async () => 'common';"))).toMatchObject({
      result: '"common"',
    });
    expect(await runHandler(db, `${writeModule(db, 'many.cjs', "exports.go = () => 'gone';")}#go`)).toMatchObject({ result: '"gone"' });
    const compiled = "Object.defineProperty(exports, '__esModule', { value: true }); exports.default = () => 'compiled';";
    expect(await runHandler(db, writeModule(db, 'compiled.cjs', compiled))).toMatchObject({ result: '"compiled"' });
    writeHandler(db, 'typed.mjs', 'return context.params;');
    await db.run(
      "UPSERT PROCEDURE typed(day DATE, n INTEGER DEFAULT 7, list DECIMAL(5,2)[] DEFAULT [1.5]) LANGUAGE javascript AS './jobs/typed.mjs'",
      "UPSERT SCHEDULE p ( call: typed, params: { day: '2026-02-03' } )",
    );
    expect((await runAgain(db, 'p'))['result']).toBe('{"day":"2026-02-03","n":7,"list":[1.5]}');
  });

  test('TypeScript where this Node reads it, and what is needed where not', async ({ db }) => {
    const run = await runHandler(
      db,
      writeModule(db, 'typed.ts', 'export default (context: { readonly attempt: number }): number => context.attempt;'),
    );
    if (run['state'] === 'succeeded') expect(run['result']).toBe('1');
    else expect(run).toMatchObject({ error_code: 'unsupported', error_detail: expect.stringContaining('node --import tsx') });
  });

  test('a definition is warned of a module that is not there, and refused what can be none', async ({ db }) => {
    const [warned] = await db.rows("UPSERT SCHEDULE w ( handler: './jobs/later.mjs' )");
    expect(warned?.['warnings']).toEqual([`the handler ./jobs/later.mjs does not exist: there is no file ${db.folder}/jobs/later.mjs`]);
    writeHandler(db, 'later.mjs', 'return 1;');
    expect((await db.rows("UPSERT SCHEDULE w ( handler: './jobs/later.mjs' )"))[0]?.['warnings']).toEqual([]);
    expect(await db.mistake("UPSERT SCHEDULE w ( handler: './jobs/later.mjs#' )")).toMatchObject({
      code: 'invalid_value',
      at: "'./jobs/later.mjs#'",
    });
    expect(await db.mistake("UPSERT SCHEDULE w ( handler: './jobs/later.sql' )")).toMatchObject({
      code: 'invalid_value',
      at: "'./jobs/later.sql'",
    });
    const [unknown] = await db.rows("UPSERT SCHEDULE w ( handler: 'sync_orders' )");
    expect(unknown?.['warnings']).toEqual(['no handler sync_orders is registered in this process']);
    expect(await runAgain(db, 'w')).toMatchObject({ state: 'failed', error_code: 'undefined_object' });
  });
});

describe('a module that has changed', () => {
  const versions = (db: TestDatabase, version: number): string => {
    writeModule(db, 'part.mjs', `export const part = ${version};`);
    return writeModule(db, 'whole.mjs', "import { part } from './part.mjs';\nlet calls = 0;\nexport default () => [part, ++calls];");
  };

  test('is loaded afresh, with what it imports; one that has not keeps its thread', async ({ db }) => {
    const path = versions(db, 1);
    expect(await runHandler(db, path)).toMatchObject({ result: '[1,1]' });
    expect(await runHandler(db, path)).toMatchObject({ result: '[1,2]' });
    writeModule(db, 'part.mjs', 'export const part = 2;');
    expect(await runHandler(db, path)).toMatchObject({ result: '[2,1]' });
    writeModule(db, 'whole.mjs', "export default () => 'new';");
    expect(await runHandler(db, path)).toMatchObject({ result: '"new"' });
    writeModule(db, 'whole.mjs', 'export default (;');
    expect(await runHandler(db, path)).toMatchObject({ state: 'failed', error_message: "Unexpected token ';'" });
    writeModule(db, 'whole.mjs', "export default () => 'mended';");
    expect(await runHandler(db, path)).toMatchObject({ result: '"mended"' });
  });

  test('leaves no thread behind, however often it changes', async ({ db }) => {
    const path = writeHandler(db, 'changes.mjs', 'return 0;');
    await runHandler(db, path);
    const before = threadCount();
    for (let version = 1; version <= 30; version++) {
      writeHandler(db, 'changes.mjs', `return ${version};`);
      expect(await runAgain(db, 'h')).toMatchObject({ error_message: null, result: String(version) });
    }
    for (let tries = 0; threadCount() > before && tries < 100; tries++) await systemClock.yieldTurn();
    expect(threadCount()).toBeLessThanOrEqual(before + 1);
  });
});
