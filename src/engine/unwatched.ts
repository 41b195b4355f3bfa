// A definition that changes, is disabled or dropped while no scheduler runs: what its clock would have fired since time was last
// handled is told in one skipped row, because afterwards nobody knows any more when the old definition was due.

import type { Instant } from '../core/instant.ts';
import { compile } from '../scheduler/cadence/cadence.ts';
import { missedIn } from '../scheduler/missed.ts';
import { openedRun, refusedClosing, triggerOf } from '../scheduler/opening.ts';
import { type Closing, noCounters } from '../scheduler/run.ts';
import { notABusinessDay } from '../scheduler/stretch.ts';
import { definitionOf, newRunId } from './opening.ts';
import type { StatementContext } from './statements/context.ts';
import type { StoredSchedule } from './store/duckdb/catalogue.ts';
import { countersOf, writeSkipped } from './store/duckdb/fence.ts';

/** Inside the transaction that changes `stored`. */
export async function tellUnwatched(stored: StoredSchedule, context: StatementContext): Promise<void> {
  const { engine, connection, sql, now } = context;
  if (engine.scheduler.isOn || !stored.enabled) return;
  const timing = await context.catalogue.timing(stored.schedule);
  if (timing === undefined) return;
  const [handled] = await connection.all<{ watermark: Instant }>(sql.watermark);
  const [paused] = await connection.all<{ value: string }>(sql.fileValue, { key: 'paused_at' });
  const until = paused === undefined ? now : Math.min(now, new Date(paused.value).getTime());
  const after = handled?.watermark ?? now;
  const compiled = compile(timing);
  const newest = compiled.previousMs(until + 1);
  if (!(newest > Math.max(after, stored.effectiveFrom))) return;
  const time = { newest, after, effectiveFrom: stored.effectiveFrom, limit: 0, oldest: now };
  const { missed, refused } = missedIn(compiled, time, () => false);
  const counters = (await countersOf(connection, sql, stored.scheduleId)) ?? noCounters;
  const closings: Closing[] = [];
  for (const [stretch, reason] of [[refused, notABusinessDay] as const, [missed, 'definition changed'] as const]) {
    if (stretch === undefined) continue;
    const { scheduledAt, firstScheduledAt, fires } = stretch;
    const run = openedRun(definitionOf(stored), { runId: newRunId(now), trigger: triggerOf(timing), scheduledAt, openedAt: now });
    closings.push({ ...refusedClosing(run, 'skipped', reason, now, counters), stretch: { fires, firstScheduledAt } });
  }
  await writeSkipped(connection, sql, closings);
}
