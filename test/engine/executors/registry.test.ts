import { describe, expect } from 'vitest';
import { z } from 'zod';
import { Diagnostic } from '../../../src/core/diagnostic.ts';
import { type Executor, type Task, TaskEnd, type TaskTarget } from '../../../src/engine/executors/executor.ts';
import { Registry } from '../../../src/engine/executors/registry.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { linesOf, runAgain } from '../../support/handlers.ts';
import { plainTask } from '../../support/plainTask.ts';

const noop: Executor = { execute: async () => null };

async function runOf(db: TestDatabase, execute: Executor['execute'], keys = ''): Promise<Awaited<ReturnType<typeof runAgain>>> {
  const takeAway = db.engine.worker.executors.add('fetches', { execute });
  try {
    await db.run(`UPSERT SCHEDULE e ( exe: fetches, call: 'http://x', max_retries: 0 ${keys} )`);
    return await runAgain(db, 'e');
  } finally {
    takeAway();
  }
}

describe('an executor of a host', () => {
  test('carries out what schedules call, with all that the built-in kinds get', async ({ db }) => {
    let seen: Task | undefined;
    await db.run('CREATE TABLE t(i INTEGER)');
    const run = await runOf(
      db,
      async (task) => {
        seen = task;
        task.services.logger.info('called', { call: task.call });
        task.progress(0.5, 'half');
        await task.services.database.transaction.query('INSERT INTO t VALUES (1)');
        return { fine: true };
      },
      ', params: { a: 1 }, config: { b: [2] }, resources: { cpu: 50, memory: 1MB }, timeout: 1m',
    );
    expect(run).toMatchObject({
      exe: 'fetches',
      call: 'http://x',
      state: 'succeeded',
      result: '{"fine":true}',
      guarantee: 'at_least_once',
    });
    expect(seen).toMatchObject({
      jobId: 'e',
      exe: 'fetches',
      call: 'http://x',
      params: { a: 1 },
      config: { b: [2] },
      resources: { cpu: 50, memoryBytes: 1_000_000 },
      timeoutMs: 60_000,
      step: null,
    });
    expect(await linesOf(db, run)).toEqual(['log info: called {"call":"http://x"}']);
    expect(await db.rows('FROM t')).toEqual([{ i: 1 }]);
  });

  test('may tell more by a TaskEnd: a result and an error, what was measured, notes', async ({ db }) => {
    const end = { result: [1], rowsChanged: 7, cpuMs: 12.5, peakMemoryBytes: 4096, notes: ['as well as it could'] };
    expect(await runOf(db, async () => new TaskEnd(end))).toMatchObject({
      state: 'succeeded',
      result: '[1]',
      rows_changed: 7n,
      cpu_ms: 12.5,
      peak_memory: 4096n,
      notes: ['as well as it could'],
    });
    const error = { code: 'run_failed', message: 'answered 500', detail: { status: 500 } };
    expect(await runOf(db, async () => new TaskEnd({ ...end, error }))).toMatchObject({
      state: 'failed',
      error_message: 'answered 500',
      error_detail: '{"status":500}',
      result: '[1]',
      cpu_ms: 12.5,
    });
  });

  test('that throws at once, or answers what is none, ends its run alone', async ({ db }) => {
    const throws = (): never => {
      throw new Error('at once');
    };
    expect(await runOf(db, throws)).toMatchObject({ state: 'failed', error_message: 'at once' });
    expect(await runOf(db, async () => Promise.reject(new Diagnostic('too_busy', 'not now')))).toMatchObject({
      state: 'failed',
      error_code: 'too_busy',
    });
    expect(await runOf(db, (() => 7) as unknown as Executor['execute'])).toMatchObject({ state: 'succeeded', result: '7' });
    expect(await runOf(db, async () => () => 1)).toMatchObject({ state: 'failed', error_code: 'wrong_type' });
  });

  test('that does not end when it is told to is given up after 5 s, which a note says', async () => {
    // A hundred times as fast.
    const clock = { ...systemClock, after: (ms: number, callback: () => void) => systemClock.after(ms / 100, callback) };
    const registry = new Registry(clock);
    registry.add('fetches', { execute: () => new Promise(() => {}) });
    const told = new AbortController();
    const began = clock.monotonicMs();
    const ending = registry.find('fetches')?.execute(plainTask({ exe: 'fetches', call: 'x', signal: told.signal }));
    told.abort();
    expect(await ending).toMatchObject({
      error: null,
      notes: ['the executor fetches did not end within 5 s and was given up: what it still does goes on unseen'],
    });
    expect(clock.monotonicMs() - began).toBeGreaterThan(45);
  });

  test('has a plain word as its name, and each name once; the built-in words are taken', ({ db }) => {
    const { executors } = db.engine.worker;
    const takeAway = executors.add('http_request', noop);
    expect(() => executors.add('HTTP_Request', noop)).toThrow('there is an executor HTTP_Request already');
    for (const name of ['sql', 'handler', 'Command', 'pipeline', 'procedure', 'a b', '', '1st']) {
      expect(() => executors.add(name, noop), name).toThrow(`an executor cannot be called '${name}'`);
    }
    expect(() => executors.add('other', {} as Executor)).toThrow('executor(): a name, and what it does');
    takeAway();
    executors.add('http_request', noop);
    takeAway();
    expect(executors.names).toEqual(['http_request']);
  });
});

describe('a definition that uses an executor', () => {
  const define = (keys: string): string => `UPSERT SCHEDULE d ( exe: http_request, ${keys} )`;

  test('is shown to it, and carries its warnings', async ({ db }) => {
    let seen: TaskTarget | undefined;
    db.engine.worker.executors.add('http_request', {
      ...noop,
      validate: (target) => {
        seen = target;
        return ['http without s'];
      },
    });
    const [row] = await db.rows(
      define(
        "call: 'http://x', params: { a: 1, key: env('SECRET'), day: sql('current_date') }, config: { token: env('SECRET') }, isolation: process",
      ),
    );
    expect(row?.['warnings']).toContain('http without s');
    expect(seen).toEqual({
      exe: 'http_request',
      call: 'http://x',
      params: { a: 1, key: "env('SECRET')", day: 'sql(..)' },
      config: { token: "env('SECRET')" },
      isolation: 'process',
    });
  });

  test('is refused with what it says, at the place that it is about', async ({ db }) => {
    const { executors } = db.engine.worker;
    const refuse = (error: unknown): void => {
      for (const name of executors.names) takeAway.get(name)?.();
      takeAway.set(
        'http_request',
        executors.add('http_request', {
          ...noop,
          validate: () => {
            throw error;
          },
        }),
      );
    };
    const takeAway = new Map<string, () => void>();
    const text = define("call: 'http://x', config: { url: 'nope', deep: { n: 1 } }, params: { id: 7 }");

    refuse(new Error('that is no address'));
    expect(await db.mistake(text)).toMatchObject({ code: 'invalid_value', message: 'http_request: that is no address', at: "'http://x'" });
    refuse('a plain text');
    expect(await db.mistake(text)).toMatchObject({ code: 'invalid_value', message: 'http_request: a plain text', at: "'http://x'" });
    refuse(new Diagnostic('forbidden', 'not that host', { hint: 'another' }));
    expect(await db.mistake(text)).toMatchObject({ code: 'forbidden', message: 'not that host', hint: 'another', at: "'http://x'" });
    refuse(new Diagnostic('syntax_error', 'no scheme', { span: { start: 0, end: 4 } }));
    expect(await db.mistake(text)).toMatchObject({ code: 'syntax_error', at: 'http' });
    refuse(Object.assign(new Error('too small'), { path: ['config', 'deep', 'n'] }));
    expect(await db.mistake(text)).toMatchObject({ message: 'http_request: config.deep.n: too small', at: '1' });
    refuse(Object.assign(new Error('unknown id'), { path: ['params', 'id', 'absent'] }));
    expect(await db.mistake(text)).toMatchObject({ at: '7' });
    refuse(z.object({ url: z.url() }).safeParse({ url: 'nope' }).error);
    expect(await db.mistake(text)).toMatchObject({ message: expect.stringMatching(/^http_request: config\.url: /), at: "'nope'" });
    refuse(Promise.reject(new Error('unused')).catch(() => undefined));
    expect(await db.mistake(text)).toMatchObject({ code: 'invalid_value' });
    expect(await db.rows('FROM cron.schedules')).toEqual([]);
  });

  test('names the registered ones where the word is unknown; without the executor its runs say what is missing', async ({ db }) => {
    const takeAway = db.engine.worker.executors.add('http_request', noop);
    expect(await db.mistake("UPSERT SCHEDULE d ( exe: http_reqest, call: 'x' )")).toMatchObject({
      code: 'invalid_value',
      hint: expect.stringContaining('did you mean http_request?'),
    });
    await db.run(define("call: 'http://x', max_retries: 0"));
    takeAway();
    expect(await runAgain(db, 'd')).toMatchObject({ state: 'failed', error_message: 'there is no executor http_request in this process' });
  });
});
