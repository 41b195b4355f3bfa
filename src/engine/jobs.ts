// Schedules as a host program sees them: the handful of calls that need no SQL.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import type { FinishedRun } from '../scheduler/run.ts';
import type { Engine } from './engine.ts';
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
    mustBeName(name, 'status');
    const [row] = await this.#rows(`SELECT * FROM ${this.#engine.sql.cron}.schedules WHERE lower(name) = lower($name)`, { name });
    if (row === undefined) throw unknownJob(name);
    return job(row);
  }

  async enable(name: string): Promise<void> {
    mustBeName(name, 'enable');
    await this.#rows(`ENABLE SCHEDULE ${identifier(name)}`);
  }

  async disable(name: string): Promise<void> {
    mustBeName(name, 'disable');
    await this.#rows(`DISABLE SCHEDULE ${identifier(name)}`);
  }

  /** Runs it here and now, and answers when it has finished. */
  async run(name: string, params: Readonly<Record<string, JsonValue>> = {}): Promise<FinishedRun> {
    mustBeName(name, 'run');
    mustBeJson(params);
    return this.#engine.runByHand(name, params);
  }

  /** The newest runs, skipped ones too. */
  async history(name: string, options: { readonly limit?: number; readonly since?: Instant | Date } = {}): Promise<JobRun[]> {
    mustBeName(name, 'history');
    const { limit, since } = historyOptions(options);
    await this.status(name);
    const rows = await this.#rows(
      `SELECT * FROM ${this.#engine.sql.cron}.runs WHERE lower(schedule) = lower($name) AND scheduled_at >= $since
       ORDER BY opened_at DESC NULLS LAST, run_id DESC NULLS LAST LIMIT $limit`,
      { name, since, limit },
    );
    return rows.map(jobRun);
  }

  async #rows(text: string, parameters?: Readonly<Record<string, unknown>>): Promise<Row[]> {
    return (await this.#session.execute(text, parameters)).toObjects();
  }
}

// Callers without types.

function mustBeName(name: unknown, method: string): void {
  if (typeof name === 'string') return;
  throw new Diagnostic('usage', `jobs.${method}(): the name of a schedule is a text, not ${kindOf(name)}`, {
    hint: `jobs.${method}('name'); jobs.list() has the names`,
  });
}

function mustBeJson(params: unknown): void {
  const isObject = typeof params === 'object' && params !== null && !Array.isArray(params);
  const [name] = isObject ? (Object.entries(params).find(([, value]) => !isJson(value)) ?? []) : [];
  if (isObject && name === undefined) return;
  const what = name === undefined ? `params are an object, not ${kindOf(params)}` : `the value of ${name} is none that JSON has`;
  throw new Diagnostic('usage', `jobs.run(): ${what}`, { hint: "jobs.run('name', { day: '2027-01-01', keep: 30 })" });
}

const deepestParameter = 100;

function isJson(value: unknown, depth = 0): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  // What holds itself has no end.
  if (typeof value !== 'object' || depth > deepestParameter) return false;
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null;
  return isPlain && Object.values(value).every((item) => isJson(item, depth + 1));
}

function historyOptions(options: unknown): { readonly limit: number; readonly since: Date } {
  const fail = (what: string): never => {
    throw new Diagnostic('usage', `jobs.history(): ${what}`, { hint: "jobs.history('name', { limit: 20, since: new Date(0) })" });
  };
  if (typeof options !== 'object' || options === null) return fail(`options are an object, not ${kindOf(options)}`);
  const { limit = 20, since = 0, ...unknown } = options as { readonly limit?: unknown; readonly since?: unknown };
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) return fail(`there is no option ${extra}`);
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 0) return fail('limit is a whole number, 0 or more');
  const from = since instanceof Date || typeof since === 'number' ? new Date(since) : new Date(Number.NaN);
  return Number.isNaN(from.getTime()) ? fail('since is a Date or milliseconds since 1970') : { limit, since: from };
}

function kindOf(value: unknown): string {
  return value === null || value === undefined ? String(value) : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
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
