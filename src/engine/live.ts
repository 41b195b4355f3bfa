// The live half of schema `cron`: what cannot be a column, because it changes with the clock or lives in this process. The
// file's own macros of these names answer NULL; each session puts TEMP macros over them that call what is registered here.

import type { Clock } from '../scheduler/clock.ts';
import type { Scheduler } from '../scheduler/loop.ts';
import { healthMacros, registerHealth } from './liveHealth.ts';
import { nextRun } from './nextRun.ts';
import { literal } from './store/duckdb/literal.ts';
import { duckdb, type NativeDatabase } from './store/duckdb/native.ts';
import type { Overrules } from './store/duckdb/sql.ts';
import type { TimingCache } from './timingCache.ts';

const { BIGINT, VARCHAR } = duckdb;

export function registerLive(database: NativeDatabase, scheduler: Scheduler, timings: TimingCache, clock: Clock): void {
  registerHealth(database, { clock, timings, source: scheduler });
  database.registerScalar({
    name: 'cuckoo_live_next_run_us',
    parameterTypes: [VARCHAR, VARCHAR, VARCHAR, BIGINT],
    returnType: BIGINT,
    volatile: true,
    nulls: 'propagate',
    call(input, output) {
      const now = clock.now();
      const [keys, texts, calendars, starts] = [0, 1, 2, 3].map((column) => input.getColumnVector(column));
      for (let row = 0; row < input.rowCount; row++) {
        const [key, text, calendar] = [keys, texts, calendars].map((column) => column?.getItem(row));
        if (typeof key !== 'string' || typeof text !== 'string' || typeof calendar !== 'string') continue;
        try {
          const at = nextRun(timings.get(key, text, calendar), now, Number(starts?.getItem(row)) / 1000);
          output.setItem(row, at === undefined ? null : BigInt(at) * 1000n);
        } catch {
          // It cannot be read, which cron.schedule_health tells, and must not hide the others.
          output.setItem(row, null);
        }
      }
    },
  });
  database.registerScalar({
    name: 'cuckoo_live_run_state',
    parameterTypes: [VARCHAR],
    returnType: VARCHAR,
    volatile: true,
    nulls: 'handle',
    call(input, output) {
      const ids = input.getColumnVector(0);
      for (let row = 0; row < input.rowCount; row++)
        output.setItem(row, scheduler.running(String(ids.getItem(row))) === undefined ? null : 'running');
    },
  });
  database.registerScalar({
    name: 'cuckoo_live_run_started_ms',
    parameterTypes: [VARCHAR],
    returnType: BIGINT,
    volatile: true,
    nulls: 'handle',
    call(input, output) {
      const ids = input.getColumnVector(0);
      for (let row = 0; row < input.rowCount; row++) {
        const started = scheduler.running(String(ids.getItem(row)))?.startedAt;
        output.setItem(row, started === undefined ? null : BigInt(started));
      }
    },
  });
}

/** Put over the file's own macros in each session. */
export const liveMacros = `
CREATE OR REPLACE TEMP MACRO cuckoo_live() AS true;
CREATE OR REPLACE TEMP MACRO cuckoo_next_run(cache_key, timing, calendar, effective_from)
  AS make_timestamptz(cuckoo_live_next_run_us(cache_key, timing, coalesce(calendar, ''), epoch_us(effective_from)));
CREATE OR REPLACE TEMP MACRO cuckoo_run_state(run_id) AS cuckoo_live_run_state(run_id);
CREATE OR REPLACE TEMP MACRO cuckoo_run_started_at(run_id) AS make_timestamptz(cuckoo_live_run_started_ms(run_id) * 1000);
${healthMacros}`;

/** What wins over the settings in the file: cron.settings tells it with who said so. */
export function overrulesMacro(overrules: Overrules): string {
  if (overrules.size === 0) return '';
  return `CREATE OR REPLACE TEMP MACRO cuckoo_overruled() AS ${literal(JSON.stringify(Object.fromEntries(overrules)))};`;
}
