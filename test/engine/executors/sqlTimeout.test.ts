// How long a run may take, and CANCEL RUN: they hold from its first statement on, its condition and its parameters among them.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { type TestDatabase, test } from '../../support/database.ts';
import { takesMacro, VirtualEngine } from '../../support/virtualEngine.ts';

const endless = 'SELECT sum(a.i * b.i) > 0 FROM range(10000000) a(i), range(10000000) b(i)';

async function outcomeOf(db: TestDatabase): Promise<unknown> {
  const [run] = await db.rows('SELECT state, reason, guarantee FROM cron.runs ORDER BY run_id DESC LIMIT 1');
  return run;
}

const ways: readonly (readonly [what: string, definition: string])[] = [
  ['in its condition', `sql: 'SELECT 1', when: '${endless}'`],
  ['in the condition of a command', `command: ['true'], when: '${endless}'`],
  ['in a parameter', `sql: 'SELECT $a', params: { a: sql('(${endless})') }`],
  ['in a parameter of a command', `command: ['true'], params: { a: sql('(${endless})') }`],
  ['in a default of a procedure', 'call: defaults'],
  ['in a procedure that it calls', 'call: outer_one'],
];

describe.each(ways)('an endless query %s', (_, definition) => {
  test('is ended by the timeout of its run', async ({ db }) => {
    await prepare(db);
    await db.run(`UPSERT SCHEDULE s ( ${definition}, max_retries: 0, timeout: 150ms )`);
    await db.rows('RUN SCHEDULE s');
    expect(await outcomeOf(db)).toMatchObject({ state: 'timed_out', reason: 'it ran longer than its timeout of 150ms' });
  });

  test('is ended by CANCEL RUN', async ({ db }) => {
    await prepare(db);
    await db.run(`UPSERT SCHEDULE s ( ${definition}, max_retries: 0, timeout: none )`);
    const started = new Promise<string>((resolve) => {
      db.engine.scheduler.events.on('run:started', ({ run }) => resolve(run.runId));
    });
    const running = db.engine.runByHand('s', {});
    const session = await db.newSession();
    const id = await started;
    expect(await (await session.execute(`CANCEL RUN '${id}'`)).toObjects()).toMatchObject([{ run_id: id, outcome: 'cancelled' }]);
    expect(await running).toMatchObject({ state: 'cancelled', reason: 'cancelled by tester' });
  });
});

async function prepare(db: TestDatabase): Promise<void> {
  await db.run(
    `UPSERT PROCEDURE defaults(a BOOLEAN DEFAULT (${endless})) AS BEGIN SELECT $a; END`,
    `UPSERT PROCEDURE inner_one() AS BEGIN ${endless}; END`,
    'UPSERT PROCEDURE outer_one() AS BEGIN SELECT 1; CALL inner_one(); END',
  );
}

test('the time that a condition and parameters take is part of what a run may take', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-timeout-'));
  const engine = await VirtualEngine.open(join(folder, 'my.duckdb'), { startAt: '2026-11-20T12:00:00Z' });
  try {
    await engine.run(takesMacro);
    engine.engine.worker.executors.add('wait', {
      execute: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)),
    });
    const when = "when: $$ SELECT takes('10s') IS NOT NULL $$, max_retries: 0, timeout: 15s";
    await engine.run(`UPSERT SCHEDULE s ( sql: $$ SELECT takes('10s') $$, ${when} )`);
    await engine.run(`UPSERT SCHEDULE t ( exe: wait, call: x, params: { a: sql($$ takes('3s') $$) }, ${when} )`);
    await engine.engine.scheduler.start();
    const began = engine.clock.now();
    const ends: Record<string, number> = {};
    engine.engine.scheduler.events.on('run:finished', (run) => {
      ends[run.schedule] = engine.clock.now() - began;
    });
    const runs = await engine.passing(Promise.all(['s', 't'].map((name) => engine.engine.runByHand(name, {}))));
    const timedOut = { state: 'timed_out', reason: 'it ran longer than its timeout of 15s' };
    expect(runs).toMatchObject([timedOut, timedOut]);
    expect(ends).toEqual({ s: 15_000, t: 15_000 });
  } finally {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
