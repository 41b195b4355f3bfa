// Queues and workers of the running scheduler, as statements see and change them. How fairly weights share over ten thousand runs
// is a test of the backlog's own (test/scheduler/queue.test.ts).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { takesMacro, VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-workers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('three busy queues of weight 6, 3 and 1 share the workers so; counts are right while they run, and cron.workers changes live', {
  timeout: 120_000,
}, async () => {
  const path = join(folder, 'my.duckdb');
  const before = await VirtualEngine.open(path, { startAt: '2026-11-20T12:00:00Z' });
  await before.run(takesMacro, 'SET cron.workers = 5');
  for (const queue of ['critical', 'default', 'low']) {
    await before.run(`UPSERT SCHEDULE for_${queue} (
      sched: every 1s, ends: '2026-11-20T12:10:00Z', catchup: all, catchup_limit: 190, overlap: allow, queue: ${queue}, sql: $$ SELECT takes('10s') $$
    )`);
  }
  await before.engine.scheduler.start();
  await before.close();

  const engine = await VirtualEngine.open(path, { startAt: '2026-11-20T12:20:00Z' });
  const { scheduler } = engine.engine;
  const started: string[] = [];
  scheduler.events.on('run:started', ({ run }) => started.push(run.queue));
  const workers = () => engine.rows('SELECT total::INTEGER AS total, active::INTEGER AS active, idle::INTEGER AS idle FROM cron.workers');
  try {
    await scheduler.start();
    await engine.advance('5s');
    expect(await workers()).toEqual([{ total: 5, active: 5, idle: 0 }]);
    const queues =
      'SELECT name, pending::INTEGER AS pending, active::INTEGER AS active, completed::INTEGER AS completed FROM cron.queues ORDER BY name';
    await engine.advance('10s');
    const counted = await engine.rows(queues);
    const shown = Object.fromEntries(counted.map(({ name, ...counts }) => [name, counts]));
    const active = (queue: string): number => started.slice(5).filter((name) => name === queue).length;
    const completed = (queue: string): number => started.slice(0, 5).filter((name) => name === queue).length;
    for (const queue of ['critical', 'default', 'low']) {
      const counts = { active: active(queue), completed: completed(queue), pending: 190 - active(queue) - completed(queue) };
      expect(shown[queue], queue).toEqual(counts);
    }

    // Fewer workers: who is at work ends in peace, and nobody takes his place.
    await engine.run('SET cron.workers = 2');
    expect(await workers()).toEqual([{ total: 2, active: 5, idle: 0 }]);
    await engine.advance('10s');
    expect(await workers()).toEqual([{ total: 2, active: 2, idle: 0 }]);
    // More of them take what waits at once.
    await engine.run('SET cron.workers = 12');
    await engine.advance('0s');
    expect(await workers()).toEqual([{ total: 12, active: 12, idle: 0 }]);

    await engine.passUntil(() => started.length >= 300);
    const share = (queue: string): number => (100 * started.slice(0, 300).filter((name) => name === queue).length) / 300;
    for (const [queue, percent] of Object.entries({ critical: 60, default: 30, low: 10 })) {
      expect(Math.abs(share(queue) - percent), `${queue}: ${share(queue)} %`).toBeLessThanOrEqual(2);
    }
  } finally {
    await engine.close();
  }
});
