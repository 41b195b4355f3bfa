// Many runs that write the same row, beside a transaction that holds it for long: DuckDB lets the first writer win and refuses the
// others, so every run meets conflicts, and none may fail by them.

import { rmSync } from 'node:fs';
import { openEngine } from '../../src/engine/engine.ts';
import type { Session } from '../../src/engine/session.ts';
import { multiply } from '../support/manySchedules.ts';

export interface ConflictReport {
  readonly runs: number;
  /** By state. */
  readonly states: Readonly<Record<string, number>>;
  /** What the row has come to by runs. */
  readonly sum: number;
  /** Seconds between the first and the last fire of a schedule that have no run. */
  readonly missing: number;
  /** Runs that met a conflict, and how many all of them met. */
  readonly beaten: number;
  readonly conflicts: number;
  /** From the last fire to the end of the last run. */
  readonly behindMs: number;
}

const schedules = 50;
const byHand = 1_000_000;

/** `heldMs` of `forMs` one transaction holds the row. */
export async function conflicts(
  path: string,
  { forMs, heldMs }: { readonly forMs: number; readonly heldMs: number },
): Promise<ConflictReport> {
  const engine = await openEngine(path, { zone: 'UTC', poolSize: 16 });
  const session = await engine.session({ actor: 'ada', admin: true });
  const { scheduler, clock } = engine;
  try {
    const run = async (text: string, on: Session = session) => (await on.execute(text)).toObjects();
    await run('CREATE TABLE counter (id INTEGER, n BIGINT)');
    await run('INSERT INTO counter VALUES (1, 0)');
    await run('SET cron.workers = 8');
    await run(
      `UPSERT SCHEDULE adds ( sched: every 1s, overlap: queue, overlap_limit: 1000, sql: 'UPDATE counter SET n = n + 1 WHERE id = 1' )`,
    );
    await multiply(engine, 'adds', schedules - 1);

    let open = 0;
    let look = (): void => undefined;
    scheduler.events.on('run:opened', () => {
      open += 1;
    });
    scheduler.events.on('run:finished', () => {
      open -= 1;
      look();
    });
    const passed = (at: number): Promise<void> =>
      new Promise((resolve) => {
        const off = scheduler.events.on('tick:done', ({ tick }) => {
          if (tick.watermark < at) return;
          off();
          resolve();
        });
      });

    const began = clock.now();
    await scheduler.start();
    await passed(began + 1000);
    const holder = await engine.session({ actor: 'bob', admin: true });
    await hold(holder, (text) => run(text, holder));
    await passed(clock.now() + heldMs);
    await run('COMMIT', holder);
    await holder.close();
    if (clock.now() < began + forMs) await passed(began + forMs);
    await run('DISABLE SCHEDULE ALL');
    const last = clock.now();
    await new Promise<void>((resolve) => {
      look = () => {
        if (open === 0) resolve();
      };
      look();
    });
    const behindMs = clock.now() - last;

    const [report] = await run(`
      SELECT count(*)::INTEGER AS runs, count(*) FILTER (conflicts > 0)::INTEGER AS beaten, sum(conflicts)::INTEGER AS conflicts,
        (SELECT (n - ${byHand})::INTEGER FROM counter) AS sum,
        (SELECT sum(seconds - runs)::INTEGER FROM (
          SELECT date_diff('second', min(scheduled_at), max(scheduled_at)) + 1 AS seconds, count(DISTINCT scheduled_at) AS runs FROM cron.runs GROUP BY schedule
        )) AS missing
      FROM cron.runs`);
    const states = await run('SELECT state, count(*)::INTEGER AS runs FROM cron.runs GROUP BY state');
    return {
      ...(report as unknown as Omit<ConflictReport, 'states' | 'behindMs'>),
      states: Object.fromEntries(states.map(({ state, runs }) => [String(state), Number(runs)])),
      behindMs,
    };
  } finally {
    await session.close();
    await engine.close();
    rmSync(path, { force: true });
  }
}

/** Against fifty others its own first write may need some tries. */
async function hold(session: Session, run: (text: string) => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await run('BEGIN');
      await run(`UPDATE counter SET n = n + ${byHand} WHERE id = 1`);
      return;
    } catch (error) {
      if (session.transaction === 'none') throw error;
      await run('ROLLBACK');
    }
  }
}
