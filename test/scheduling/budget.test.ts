import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { takesMacro, VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-budget-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('runs that name what they need share cron.cpu and cron.memory; what does not fit waits, says for what, and a change is live', {
  timeout: 60_000,
}, async () => {
  const engine = await VirtualEngine.open(join(folder, 'my.duckdb'), { startAt: '2026-11-20T12:00:00Z' });
  const started: string[] = [];
  engine.engine.scheduler.events.on('run:started', ({ run }) => started.push(run.schedule));
  const explained = async (schedule: string): Promise<string> => {
    const id = await engine.value(`SELECT run_id FROM cron.runs WHERE schedule = '${schedule}' ORDER BY run_id DESC LIMIT 1`);
    return (await engine.rows(`EXPLAIN RUN '${String(id)}'`)).map(({ what, detail }) => `${String(what)} ${String(detail)}`).join('\n');
  };
  try {
    await engine.run(takesMacro, "SET cron.memory = '1GB'", 'SET cron.cpu = 200', 'SET cron.workers = 10');
    const define = (name: string, sched: string, resources: string): Promise<void> =>
      engine.run(`UPSERT SCHEDULE ${name} ( sched: '${sched}', ends: '2026-11-20T12:02:00Z', sql: $$ SELECT takes('30s') $$${resources} )`);
    await define('first', '1 12 * * *', ', resources: { memory: 512MB }');
    await define('second', '1 12 * * *', ', resources: { memory: 768MB, cpu: 50 }, priority: low');
    await define('third', '1 12 * * *', ', resources: { cpu: 180 }');
    await define('fourth', '1 12 * * *', ', resources: { cpu: 60 }, priority: low');
    await define('fifth', '1 12 * * *', ', priority: background');
    await engine.engine.scheduler.start();
    await engine.until('2026-11-20T12:01:10Z');
    expect(started.sort()).toEqual(['fifth', 'first', 'third']);
    expect(await explained('second')).toContain('waits for memory: 512MB of 1GB is taken, it needs 768MB');
    expect(await explained('fourth')).toContain('waits for cpu: 180% of 200% is taken, it needs 60%');

    await engine.run("SET cron.memory = '2GB'", "SET cron.cpu = '300%'");
    await engine.advance('0s');
    expect(started.sort()).toEqual(['fifth', 'first', 'fourth', 'second', 'third']);
    await engine.until('2026-11-20T12:02:00Z');
    const waited = 'SELECT schedule, state, waited_for FROM cuckoo_ledger.closed WHERE waited_for IS NOT NULL ORDER BY schedule';
    expect(await engine.rows(waited)).toEqual([
      { schedule: 'fourth', state: 'succeeded', waited_for: 'cpu: 180% of 200% is taken, it needs 60%' },
      { schedule: 'second', state: 'succeeded', waited_for: 'memory: 512MB of 1GB is taken, it needs 768MB' },
    ]);
  } finally {
    await engine.close();
  }
});
