import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { test } from '../../support/database.ts';
import { linesOf, runAgain, runHandler, threadCount, writeHandler } from '../../support/handlers.ts';

const keys = 'isolation: process';

async function ends(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')) await systemClock.yieldTurn();
}

describe('a handler in a process of its own', () => {
  test('that allocates without end ends its own run, whether it takes objects or buffers', async ({ db }) => {
    const path = writeHandler(
      db,
      'allocates.mjs',
      `const kept = [];
       for (let n = 0; ; n++) {
         if (context.params.what === 'buffers') kept.push(Buffer.alloc(8_000_000, n));
         else kept.push(new Array(100_000).fill(n));
         if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
       }`,
    );
    for (const what of ['buffers', 'objects']) {
      const run = await runHandler(db, path, `${keys}, resources: { memory: 120MB }, params: { what: ${what} }, timeout: 1m`);
      expect(run, what).toMatchObject({
        state: 'failed',
        error_code: 'out_of_memory',
        error_message: expect.stringMatching(/^it took more memory than its limit of 1\d\d MB/),
      });
      expect(Number(run['peak_memory']), what).toBeGreaterThan(50_000_000);
    }
    expect(await runHandler(db, writeHandler(db, 'small.mjs', 'return 1;'), `${keys}, resources: { memory: 120MB }`)).toMatchObject({
      state: 'succeeded',
    });
  });

  test('that crashes ends its own run, and says how', async ({ db }) => {
    const path = writeHandler(
      db,
      'crashes.mjs',
      "console.error('last words');\nif (context.params.how === 'abort') process.abort();\nprocess.kill(process.pid, context.params.how);\nfor (;;) {}",
    );
    for (const [how, signal] of [
      ['abort', 'SIGABRT'],
      ['SIGSEGV', 'SIGSEGV'],
      ['SIGKILL', 'SIGKILL'],
    ]) {
      const run = await runHandler(db, path, `${keys}, params: { how: ${how} }`);
      expect(run, how).toMatchObject({ state: 'failed', error_message: `its process was ended by ${signal} before it answered` });
      expect(JSON.parse(String(run['error_detail']))).toMatchObject({ signal, lastLines: expect.arrayContaining(['last words']) });
    }
  });

  test('tells what it used, and what could not be limited', async ({ db }) => {
    const path = writeHandler(
      db,
      'uses.mjs',
      'const until = process.cpuUsage().user + 100_000;\nwhile (process.cpuUsage().user < until) {}\nreturn process.pid;',
    );
    const run = await runHandler(db, path, `${keys}, resources: { memory: 300MB, nice: 1 }`);
    expect(run).toMatchObject({ state: 'succeeded' });
    expect(run['cpu_ms']).toBeGreaterThan(100);
    expect(Number(run['peak_memory'])).toBeGreaterThan(20_000_000);
    expect(run['result']).not.toBe(String(process.pid));
    const inThread = await runHandler(db, path, 'resources: { memory: 300MB, cpu: 50, nice: 5 }');
    expect(inThread['notes']).toEqual([
      'memory: in a thread the limit holds for what JavaScript allocates, not for buffers; isolation: process limits both',
      'cpu, nice: a thread cannot be limited so; isolation: process can',
    ]);
  });

  test('takes the processes that it has started with it', async ({ db }) => {
    const path = writeHandler(
      db,
      'starts.mjs',
      `const { spawn } = await import('node:child_process');
       const child = spawn('sleep', ['1000'], { stdio: 'inherit' });
       console.log('child ' + child.pid);
       if (context.params.loops) for (;;) {}
       return child.pid;`,
    );
    const answered = await runHandler(db, path, `${keys}, params: { loops: false }`);
    expect(answered).toMatchObject({ state: 'succeeded' });
    await ends(Number(answered['result']));
    const looping = await runHandler(db, path, `${keys}, params: { loops: true }, timeout: 500ms`);
    expect(looping).toMatchObject({ state: 'timed_out' });
    const [line] = await linesOf(db, looping);
    await ends(Number(line?.split(' ').at(-1)));
  });

  test('prints what native code and its own children print', async ({ db }) => {
    const path = writeHandler(
      db,
      'native.mjs',
      `const { execFileSync } = await import('node:child_process');
       const { writeSync } = await import('node:fs');
       writeSync(1, 'by descriptor\\n'); writeSync(2, 'as an error\\n');
       execFileSync('echo', ['from a child'], { stdio: 'inherit' });`,
    );
    const lines = await linesOf(db, await runHandler(db, path, keys));
    expect(lines.sort()).toEqual(['stderr warn: as an error', 'stdout info: by descriptor', 'stdout info: from a child']);
  });

  test('leaves nothing when the database is closed in the middle of it', async ({ db }) => {
    const path = writeHandler(
      db,
      'stays.mjs',
      'context.progress(null, String(process.pid));\nawait new Promise((resolve) => setTimeout(resolve, 100));\nfor (;;) {}',
    );
    await db.close();
    await db.open({ graceMs: 0 });
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}', ${keys}, on_crash: fail )`);
    const begun = new Promise<number>((resolve) => {
      db.engine.scheduler.events.on('run:progress', ({ message }) => resolve(Number(message)));
    });
    const running = runAgain(db, 'h').catch(() => 'closed');
    const pid = await begun;
    await db.close();
    expect(existsSync(join('/proc', String(pid)))).toBe(false);
    await running;
  });
});

test('a handler in a process of its own ends with a scheduler that is killed, also in the middle of a loop', async ({ db }) => {
  const path = writeHandler(
    db,
    'outlives.mjs',
    'context.progress(null, String(process.pid));\nawait new Promise((resolve) => setTimeout(resolve, 100));\nfor (;;) {}',
  );
  const host = `
    import { open } from '${join(process.cwd(), 'dist/index.js')}';
    const db = await open('${join(db.folder, 'host.duckdb')}');
    db.on('run:progress', ({ message }) => process.stdout.write(message + '\\n'));
    await db.sql("UPSERT SCHEDULE h ( handler: '${path}', isolation: process )");
    await db.jobs.run('h');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', host], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [text] = (await once(child.stdout, 'data')) as [Buffer];
  const pid = Number(String(text).trim());
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  child.kill('SIGKILL');
  await ends(pid);
});

describe('a handler in a thread', () => {
  test('that takes more memory than it may, or too little to begin with, ends its own run', async ({ db }) => {
    const path = writeHandler(
      db,
      'grows.mjs',
      'const kept = [];\nfor (let n = 0; ; n++) { kept.push(new Array(10_000).fill({ n })); if (n % 50 === 0) await null; }',
    );
    expect(await runHandler(db, path, 'resources: { memory: 64MB }, timeout: 1m')).toMatchObject({
      state: 'failed',
      error_code: 'out_of_memory',
      error_message: expect.stringMatching(/^its thread took more memory than its limit of 6\d MB$/),
    });
    const small = writeHandler(db, 'small.mjs', 'return 1;');
    const tiny = await runHandler(db, small, 'resources: { memory: 1MB }, timeout: 1m');
    expect(['succeeded', 'failed']).toContain(tiny['state']);
    if (tiny['state'] === 'failed') expect(tiny['error_code']).toBe('out_of_memory');
    expect(await runHandler(db, small, 'resources: { memory: 64MB }')).toMatchObject({ state: 'succeeded' });
  });

  test('that waits inside of a call which nobody can interrupt is left behind at its timeout, which a note says', async ({ db }) => {
    const path = writeHandler(
      db,
      'stuck.mjs',
      "const { execFileSync } = await import('node:child_process');\nexecFileSync('sleep', [context.params.seconds]);",
    );
    await db.run(`UPSERT SCHEDULE h ( handler: '${path}', params: { seconds: '0' }, timeout: 500ms, max_retries: 0 )`);
    await runAgain(db, 'h');
    const run = await runAgain(db, "h WITH ( seconds: '4' )");
    expect(run).toMatchObject({ state: 'timed_out' });
    expect(run['notes']).toEqual([
      'it did not end within 1 s after it was told to, and its thread was ended',
      'its thread is inside of a call that cannot be interrupted, and ends when that returns',
    ]);
    const before = threadCount();
    while (threadCount() >= before) await systemClock.yieldTurn();
  });
});
