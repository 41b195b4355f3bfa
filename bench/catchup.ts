// How long a start takes after 26 hours in which 200 schedules should have fired every second: until all that was missed is decided,
// and that is durable. The clock stands still from the start on, so that nothing else falls due. What is caught up then runs.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../src/engine/engine.ts';
import { type Clock, systemClock } from '../src/scheduler/clock.ts';
import { multiply } from '../test/support/manySchedules.ts';

const budgetMs = 2000;
const hours = 26;
const each = 50;
const policies = ['none', 'latest', 'all', 'all, catchup_within: 10s'];

export async function run(args: readonly string[]): Promise<void> {
  const rounds = Number(args[0] ?? 3);
  for (let round = 1; round <= rounds; round++) {
    const { tookMs, opened, rows } = await restart();
    const within = tookMs <= budgetMs ? 'within' : 'OVER';
    console.log(`${opened} runs opened, ${rows} rows in all: ${tookMs.toFixed(0)} ms, ${within} the budget of ${budgetMs} ms`);
  }
}

async function restart(): Promise<{ tookMs: number; opened: number; rows: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  const path = join(folder, 'my.duckdb');
  let now = Date.parse('2026-11-20T12:00:00Z');
  const clock: Clock = { ...systemClock, now: () => now };
  try {
    const before = await openEngine(path, { clock, zone: 'UTC', poolSize: 16 });
    const session = await before.session({ actor: 'bench', admin: true });
    for (const [index, policy] of policies.entries()) {
      await (await session.execute(`UPSERT SCHEDULE s${index} ( sched: every 1s, sql: 'SELECT 1', catchup: ${policy} )`)).toArray();
      await multiply(before, `s${index}`, each - 1);
    }
    await before.scheduler.start();
    await session.close();
    await before.close();

    now += hours * 3_600_000;
    const engine = await openEngine(path, { clock, zone: 'UTC', poolSize: 16, graceMs: 0 });
    const { scheduler } = engine;
    let opened = 0;
    const began = performance.now();
    await new Promise<void>((resolve) => {
      scheduler.events.on('tick:done', (tick) => {
        opened += tick.opened;
        if (scheduler.nextDue > now) resolve();
      });
      void scheduler.start();
    });
    const tookMs = performance.now() - began;
    const reader = await engine.session({ actor: 'bench', admin: true });
    const [row] = await (await reader.execute('SELECT count(*) FROM cron.runs')).toArray();
    await reader.close();
    await engine.close();
    return { tookMs, opened, rows: Number(row?.[0]) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
