// Drops what the steps of pipelines have kept once no run will read it any more: right after a run has ended, and now and then, for
// what a crash has left behind. A run that failed for good keeps its tables, so that RETRY RUN goes on behind what is done: until
// its dead letter is retried or dropped, and no longer than a week.

import { Turnstile } from '../core/turnstile.ts';
import type { Clock } from '../scheduler/clock.ts';
import type { Scheduler } from '../scheduler/loop.ts';
import { isFailure } from '../scheduler/run.ts';
import type { Admission } from './admission.ts';
import { Connection } from './store/duckdb/connection.ts';
import { identifier } from './store/duckdb/literal.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';

export interface WorkTablesParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly admission: Admission;
  readonly clock: Clock;
}

const keptForMs = 7 * 86_400_000;

export class WorkTables {
  readonly #parts: WorkTablesParts;
  readonly #turnstile = new Turnstile();
  #isClosed = false;

  constructor(parts: WorkTablesParts) {
    this.#parts = parts;
  }

  /** A run that succeeded has dropped them itself; one that failed may be tried again. */
  watch(scheduler: Scheduler): void {
    scheduler.events.on('run:finished', ({ exe, state, final }) => {
      if (exe === 'pipeline' && final && state !== 'succeeded' && !isFailure(state)) void this.sweep();
    });
    scheduler.events.on('scheduler:started', () => void this.sweep());
  }

  /** Answers how many were dropped. What fails is found again the next time. */
  sweep(): Promise<number> {
    return this.#turnstile.run(() => (this.#isClosed ? Promise.resolve(0) : this.#drop())).catch(() => 0);
  }

  /** What is at work ends. Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#turnstile.run(async () => {});
  }

  async #drop(): Promise<number> {
    const { database, sql, admission, clock } = this.#parts;
    const connection = new Connection(await database.connect());
    try {
      return await admission.run('ledger', async () => {
        const [{ present } = { present: false }] = await connection.all<{ present: boolean }>(anyText, { database: sql.database });
        if (!present) return 0;
        const orphans = await connection.all<{ name: string }>(orphansText(sql.ledger), {
          database: sql.database,
          since: clock.now() - keptForMs,
        });
        const place = `${identifier(sql.database)}.cuckoo_work`;
        for (const { name } of orphans) await connection.run(`DROP TABLE IF EXISTS ${place}.${identifier(name)}`);
        return orphans.length;
      });
    } finally {
      await connection.close();
    }
  }
}

const here = "database_name = $database AND schema_name = 'cuckoo_work'";
const anyText = `SELECT count(*) > 0 AS present FROM duckdb_tables() WHERE ${here}`;

/** A table's name begins with the id of the first attempt of its run (results.ts). */
const orphansText = (ledger: string): string => `
  WITH kept AS (
    SELECT table_name AS name, TRY_CAST(split_part(table_name, '_', 1) AS UUID) AS run_id FROM duckdb_tables() WHERE ${here}
  ), first AS (
    SELECT run_id, schedule_id, root_run_id, parent_run_id, scheduled_at FROM ${ledger}.closed WHERE run_id IN (SELECT run_id FROM kept)
  ), wanted AS (
    SELECT run_id FROM ${ledger}.open_run
    UNION ALL
    SELECT f.run_id FROM first f JOIN ${ledger}.open_run r ON ${sameFire}
    UNION ALL
    SELECT f.run_id FROM first f JOIN ${ledger}.closed r ON ${sameFire}
    WHERE r.final AND r.state IN ('failed', 'timed_out', 'interrupted') AND r.finished_at > make_timestamptz(($since * 1000)::BIGINT)
      AND r.run_id NOT IN (SELECT run_id FROM ${ledger}.dead_letter_settled)
  )
  SELECT name FROM kept WHERE run_id IS NOT NULL AND run_id NOT IN (SELECT run_id FROM wanted)`;

const sameFire = `r.exe = 'pipeline' AND r.root_run_id = f.root_run_id AND r.scheduled_at = f.scheduled_at
  AND r.schedule_id IS NOT DISTINCT FROM f.schedule_id AND r.parent_run_id IS NOT DISTINCT FROM f.parent_run_id`;
