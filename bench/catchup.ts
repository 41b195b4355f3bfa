// How long a start takes after 26 hours in which 200 schedules should have fired every second: until all that was missed is decided,
// and that is durable. The clock stands still from the start on, so that nothing else falls due. What is caught up then runs.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../src/engine/engine.ts';
import { type Clock, systemClock } from '../src/scheduler/clock.ts';
import { multiply } from '../test/support/manySchedules.ts';
import { type Benchmark, holds, median } from './report.ts';

const hours = 26;
const each = 50;
/** How many of its fires a schedule opens by each. */
const policies = { none: 0, latest: 1, all: 100, 'all, catchup_within: 10s': 11 };

export const run: Benchmark = async ({ full }) => {
  const tookMs: number[] = [];
  for (let round = 0; round < (full ? 7 : 3); round++) tookMs.push(await restart());
  const missed = (hours * 3600 * each * Object.keys(policies).length).toLocaleString('en-US');
  return [
    { what: `a start after ${missed} missed fires, until they are decided`, ...median(tookMs), unit: 'ms', budget: { atMost: 2000 } },
  ];
};

async function restart(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  const path = join(folder, 'my.duckdb');
  let now = Date.parse('2026-11-20T12:00:00Z');
  const clock: Clock = { ...systemClock, now: () => now };
  try {
    const before = await openEngine(path, { clock, zone: 'UTC', poolSize: 16 });
    const session = await before.session({ actor: 'bench', admin: true });
    for (const [index, policy] of Object.keys(policies).entries()) {
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
    const [row] = await (await reader.execute("SELECT count(*) FROM cron.runs WHERE state = 'skipped'")).toArray();
    await reader.close();
    await engine.close();
    holds('fires caught up', opened, each * Object.values(policies).reduce((sum, fires) => sum + fires, 0));
    holds('rows of what was refused', Number(row?.[0]), each * Object.keys(policies).length);
    return tookMs;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
