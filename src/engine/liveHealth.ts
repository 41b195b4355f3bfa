// What cron.schedule_health asks of this process: the time, how the scheduler fares, what is at work. One answer as JSON for a
// whole query; see store/duckdb/healthRelations.ts.

import type { Instant } from '../core/instant.ts';
import type { Timing } from '../scheduler/cadence/cadence.ts';
import type { Clock } from '../scheduler/clock.ts';
import { nextRun } from './nextRun.ts';
import { duckdb, type NativeDatabase } from './store/duckdb/native.ts';
import type { TimingCache } from './timingCache.ts';

const { BIGINT, VARCHAR } = duckdb;

/** The scheduler, as its health is told; it may change its mind between two questions. */
export interface HealthSource {
  readonly mode: 'off' | 'starting' | 'running' | 'paused' | 'held' | 'stopping';
  readonly lagMs: number;
  /** When something is due next; Infinity: never. */
  readonly nextDue: Instant;
  /** As many as may be at work; null: nobody knows. */
  readonly workers: number | null;
  readonly storageLow: boolean;
  readonly clockBehind: boolean;
  /** A call of the ledger failed, and is tried again. */
  readonly troubled: boolean;
  readonly unreadable: readonly { readonly schedule: string; readonly message: string }[];
  allRunning(): Iterable<{
    readonly run: { readonly runId: string };
    readonly startedAt: Instant;
    readonly progress: { readonly fraction: number | null; readonly message: string | null } | null;
  }>;
}

export interface HealthParts {
  readonly clock: Clock;
  readonly timings: TimingCache;
  readonly source: HealthSource;
}

/** Registers once for each instance; `source` is asked at each question. */
export function registerHealth(database: NativeDatabase, { clock, timings, source }: HealthParts): void {
  database.registerScalar({
    name: 'cuckoo_live_now_us',
    parameterTypes: [],
    returnType: BIGINT,
    volatile: true,
    nulls: 'handle',
    call(input, output) {
      for (let row = 0; row < input.rowCount; row++) output.setItem(row, BigInt(clock.now()) * 1000n);
    },
  });
  database.registerScalar({
    name: 'cuckoo_live_health',
    parameterTypes: [],
    returnType: VARCHAR,
    volatile: true,
    nulls: 'handle',
    call(input, output) {
      const text = healthText(source, database.holdsLock() === false);
      for (let row = 0; row < input.rowCount; row++) output.setItem(row, text);
    },
  });
  const timingParameters = [VARCHAR, VARCHAR, VARCHAR];
  database.registerScalar({
    name: 'cuckoo_live_due_after_us',
    parameterTypes: [...timingParameters, BIGINT, BIGINT],
    returnType: BIGINT,
    volatile: true,
    nulls: 'propagate',
    call(input, output) {
      const [keys, texts, calendars, starts, marks] = [0, 1, 2, 3, 4].map((column) => input.getColumnVector(column));
      for (let row = 0; row < input.rowCount; row++) {
        const [key, text, calendar] = [keys, texts, calendars].map((column) => column?.getItem(row));
        if (typeof key !== 'string' || typeof text !== 'string' || typeof calendar !== 'string') continue;
        const [effectiveFrom, watermark] = [starts, marks].map((column) => Number(column?.getItem(row)) / 1000);
        output.setItem(
          row,
          dueAfter(() => timings.get(key, text, calendar), watermark ?? 0, effectiveFrom ?? 0),
        );
      }
    },
  });
  database.registerScalar({
    name: 'cuckoo_live_unreadable',
    parameterTypes: timingParameters,
    returnType: VARCHAR,
    volatile: true,
    nulls: 'propagate',
    call(input, output) {
      const [keys, texts, calendars] = [0, 1, 2].map((column) => input.getColumnVector(column));
      for (let row = 0; row < input.rowCount; row++) {
        const [key, text, calendar] = [keys, texts, calendars].map((column) => column?.getItem(row));
        if (typeof key !== 'string' || typeof text !== 'string' || typeof calendar !== 'string') continue;
        output.setItem(
          row,
          reasonOf(() => nextRun(timings.get(key, text, calendar), clock.now(), 0)),
        );
      }
    },
  });
}

/** In microseconds; the epoch where the definition cannot be read, which must not hide the health of the others. */
function dueAfter(timing: () => Timing, watermark: Instant, effectiveFrom: Instant): bigint | null {
  try {
    const due = nextRun(timing(), watermark, effectiveFrom);
    return due === undefined ? null : BigInt(due) * 1000n;
  } catch {
    return 0n;
  }
}

function reasonOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What `cuckoo_health` answers. */
export function healthText(source: HealthSource, lockLost: boolean): string {
  const { mode, lagMs, nextDue, storageLow, clockBehind, troubled, unreadable, workers } = source;
  const running = [...source.allRunning()].map(({ run, startedAt, progress }) => ({
    runId: run.runId,
    startedAt,
    progress: progress?.fraction ?? null,
    progressMessage: progress?.message ?? null,
  }));
  const due = Number.isFinite(nextDue) ? nextDue : null;
  return JSON.stringify({ mode, lagMs, nextDue: due, storageLow, clockBehind, troubled, lockLost, unreadable, running, workers });
}

/** Put over the file's own macros in each session. */
export const healthMacros = `
CREATE OR REPLACE TEMP MACRO cuckoo_now() AS make_timestamptz(cuckoo_live_now_us());
CREATE OR REPLACE TEMP MACRO cuckoo_health() AS cuckoo_live_health();
CREATE OR REPLACE TEMP MACRO cuckoo_due_after(cache_key, timing, calendar, effective_from, watermark)
  AS make_timestamptz(cuckoo_live_due_after_us(cache_key, timing, calendar, epoch_us(effective_from), epoch_us(watermark)));
CREATE OR REPLACE TEMP MACRO cuckoo_unreadable(cache_key, timing, calendar) AS cuckoo_live_unreadable(cache_key, timing, calendar);
`;
