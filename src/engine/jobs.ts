// Schedules as a host program sees them: the handful of calls that need no SQL.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import type { Engine } from './engine.ts';
import type { FinishedRun } from './runner.ts';
import type { Session } from './session.ts';
import { identifier } from './store/duckdb/literal.ts';
import { TimestampTz, type Value } from './value.ts';

export interface Job {
  readonly name: string;
  readonly schedule: string | null;
  readonly timezone: string | null;
  readonly enabled: boolean;
  readonly status: string;
  readonly nextRun: Date | null;
  readonly lastRun: Date | null;
  readonly lastState: string | null;
  readonly consecutiveFailures: number;
}

export interface JobRun {
  readonly runId: string;
  readonly state: string;
  readonly reason: string | null;
  readonly trigger: string;
  readonly scheduledAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly attempt: number;
  readonly result: JsonValue;
}

type Row = Readonly<Record<string, Value>>;

export class Jobs {
  readonly #engine: Engine;
  readonly #session: Session;

  constructor(engine: Engine, session: Session) {
    this.#engine = engine;
    this.#session = session;
  }

  async list(): Promise<Job[]> {
    return (await this.#rows('LIST SCHEDULES')).map(job);
  }

  async status(name: string): Promise<Job> {
    const [row] = await this.#rows(`SELECT * FROM ${this.#engine.sql.cron}.schedules WHERE lower(name) = lower($name)`, { name });
    if (row === undefined) throw unknownJob(name);
    return job(row);
  }

  async enable(name: string): Promise<void> {
    await this.#rows(`ENABLE SCHEDULE ${identifier(name)}`);
  }

  async disable(name: string): Promise<void> {
    await this.#rows(`DISABLE SCHEDULE ${identifier(name)}`);
  }

  /** Runs it here and now, and answers when it has finished. */
  async run(name: string, params: Readonly<Record<string, JsonValue>> = {}): Promise<FinishedRun> {
    return this.#engine.runByHand(name, params);
  }

  /** The newest runs, skipped ones too. */
  async history(name: string, options: { readonly limit?: number; readonly since?: Instant | Date } = {}): Promise<JobRun[]> {
    await this.status(name);
    const since = options.since instanceof Date ? options.since : new Date(options.since ?? 0);
    const rows = await this.#rows(
      `SELECT * FROM ${this.#engine.sql.cron}.runs WHERE lower(schedule) = lower($name) AND scheduled_at >= $since
       ORDER BY opened_at DESC NULLS LAST, run_id DESC NULLS LAST LIMIT $limit`,
      { name, since, limit: options.limit ?? 20 },
    );
    return rows.map(jobRun);
  }

  async #rows(text: string, parameters?: Readonly<Record<string, unknown>>): Promise<Row[]> {
    return (await this.#session.execute(text, parameters)).toObjects();
  }
}

export function unknownJob(name: string): Diagnostic {
  return new Diagnostic('undefined_object', `schedule ${name} does not exist`, { hint: 'LIST SCHEDULES shows what there is' });
}

function job(row: Row): Job {
  return {
    name: String(row['name']),
    schedule: textOrNull(row['sched']),
    timezone: textOrNull(row['timezone']),
    enabled: row['enabled'] === true,
    status: String(row['status']),
    nextRun: dateOrNull(row['next_run']),
    lastRun: dateOrNull(row['last_run']),
    lastState: textOrNull(row['last_state']),
    consecutiveFailures: Number(row['consecutive_failures']),
  };
}

function jobRun(row: Row): JobRun {
  const result = row['result'];
  return {
    runId: String(row['run_id']),
    state: String(row['state']),
    reason: textOrNull(row['reason']),
    trigger: String(row['trigger']),
    scheduledAt: dateOrNull(row['scheduled_at']) ?? new Date(Number.NaN),
    startedAt: dateOrNull(row['started_at']),
    finishedAt: dateOrNull(row['finished_at']),
    attempt: Number(row['attempt']),
    result: typeof result === 'string' ? (JSON.parse(result) as JsonValue) : null,
  };
}

function textOrNull(value: Value | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}

function dateOrNull(value: Value | undefined): Date | null {
  return value instanceof TimestampTz ? value.toDate() : null;
}
