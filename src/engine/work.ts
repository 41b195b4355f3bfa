// What a run does: from an open run to an outcome. The definition is that of the version with which the run was opened; its
// target is looked up now. Executors return and do not throw past this line.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import { compile } from '../scheduler/cadence/cadence.ts';
import type { Clock } from '../scheduler/clock.ts';
import { openedRun } from '../scheduler/opening.ts';
import type { Execution, Fate, Work } from '../scheduler/ports.ts';
import { type Closing, type Counters, type FinishedRun, noCounters, type OpenRun, type Outcome } from '../scheduler/run.ts';
import type { Schedule } from '../scheduler/schedule.ts';
import type { Admission } from './admission.ts';
import { stopReason } from './executors/deadline.ts';
import { type Ending, executeSql, type RunValues, readCondition } from './executors/sql.ts';
import { callText, type Procedure } from './routine.ts';
import type { Settings } from './settings.ts';
import { Catalogue, type StoredSchedule } from './store/duckdb/catalogue.ts';
import { Connection } from './store/duckdb/connection.ts';
import { commitClosed } from './store/duckdb/fence.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';
import { TableLocks } from './tableLocks.ts';

export interface WorkerParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Opens the database again where it has stopped. */
  recover(): Promise<void>;
  fate(runId: string): Promise<Fate>;
}

/** Versions never change, so one that was read once is read for good; as many are kept as a busy file has schedules. */
const mostVersions = 5_000;

export class Worker {
  readonly #parts: WorkerParts;
  readonly #locks = new TableLocks();
  readonly #versions = new Map<string, Schedule>();
  #settings: Settings | undefined;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
  }

  /** The scheduler's `Execute`. */
  readonly execute = (work: Work, signal: AbortSignal): Promise<Execution> => {
    const { run, startedAt, waitedFor } = work;
    const commit: Ending['commit'] = async (connection, outcome, isGuarded, onSend) => {
      const { counters, marks } = work.closing();
      const closing: Closing = {
        run,
        startedAt,
        finishedAt: this.#parts.clock.now(),
        state: 'succeeded',
        reason: null,
        final: true,
        outcome,
        counters,
        waitedFor,
      };
      return commitClosed(connection, this.#parts.sql, closing, { isGuarded, marks, onSend });
    };
    const fate = async (): Promise<'open' | 'removed' | 'marked'> => {
      const found = await this.fate(run.runId);
      if (found.kind !== 'closed') return 'open';
      return found.marked ? 'marked' : 'removed';
    };
    return this.#attempt(run, work.counters, { begin: work.begin, commit, fate }, signal);
  };

  /** Settings may have changed. */
  forgetSettings(): void {
    this.#settings = undefined;
  }

  /** What has become of a run. */
  fate(runId: string): Promise<Fate> {
    return this.#parts.fate(runId);
  }

  /** RUN .. DRY RUN: executes, answers what came of it, and leaves nothing behind. */
  async dryRun(stored: StoredSchedule, params: Readonly<Record<string, JsonValue>>, signal: AbortSignal): Promise<FinishedRun> {
    const now = this.#parts.clock.now();
    const { scheduleId, name, version, schedule } = stored;
    const { exe, call } = schedule.target;
    const definition = { ...stored, exe, call: callText(call), timing: undefined, policy: schedule };
    const run = openedRun(
      { ...definition, scheduleId, name, version },
      { runId: dryRunId, trigger: 'manual', scheduledAt: now, openedAt: now, params },
    );
    const { outcome } = await this.#attempt(run, noCounters, undefined, signal);
    return {
      runId: run.runId,
      schedule: name,
      trigger: 'manual',
      scheduledAt: now,
      attempt: 1,
      state: outcome.state,
      reason: outcome.reason,
      final: true,
      result: outcome.result,
      rowsChanged: outcome.rowsChanged,
      durationMs: this.#parts.clock.now() - now,
    };
  }

  async #attempt(run: OpenRun, counters: Counters, ending: Ending | undefined, signal: AbortSignal): Promise<Execution> {
    let connection: Connection | undefined;
    try {
      await this.#parts.recover();
      connection = new Connection(await this.#parts.database.connect());
      const execution = await this.#perform(connection, run, counters, ending, signal);
      // Not its fault: `on_crash` says what follows.
      const { lost } = connection.native;
      return lost !== undefined && execution.closed === 'no' ? { outcome: databaseStopped, closed: 'no' } : execution;
    } catch (error) {
      if (connection?.native.lost !== undefined) return { outcome: databaseStopped, closed: 'no' };
      return { outcome: signal.aborted ? stopped(signal) : failure(error), closed: 'no' };
    } finally {
      await connection?.close();
    }
  }

  async #perform(
    connection: Connection,
    run: OpenRun,
    counters: Counters,
    ending: Ending | undefined,
    signal: AbortSignal,
  ): Promise<Execution> {
    const { sql, clock, admission, environment } = this.#parts;
    const catalogue = new Catalogue(connection, sql);
    this.#settings ??= await catalogue.settings();
    const settings = this.#settings;
    const schedule = await this.#scheduleOf(run, catalogue);
    const timing = await catalogue.timing(schedule);
    const previousMs = timing === undefined ? Number.NEGATIVE_INFINITY : compile(timing).previousMs(run.scheduledAt);
    const values: RunValues = {
      run,
      schedule,
      counters,
      previousAt: Number.isFinite(previousMs) ? (previousMs as Instant) : null,
      zone: timing?.zone ?? settings.text('timezone'),
      environment,
    };
    if (schedule.when !== undefined) {
      const value = await admission
        .run('run', () => readCondition(connection.until(signal), String(schedule.when), values), signal)
        .catch((error: unknown) => {
          throw error instanceof Diagnostic && error.code !== 'cancelled' ? inCondition(error) : error;
        });
      if (value !== true) {
        const reason = `when: the condition was ${value === undefined ? 'without a row' : String(value)}`;
        return { outcome: { ...nothing, state: 'skipped', reason }, closed: 'no' };
      }
    }
    const procedure = await procedureOf(schedule, catalogue);
    const timeoutMs = schedule.timeoutMs !== undefined ? schedule.timeoutMs : (procedure?.timeoutMs ?? null);
    const written = async (): Promise<string[]> => {
      const entries = await this.#withConnection(async (other) => {
        const reader = new Catalogue(other, sql);
        return [
          ...(await reader.lineage(run.schedule, 'schedule')),
          ...(procedure === undefined ? [] : await reader.lineage(procedure.name, 'procedure')),
        ];
      });
      // What is not known to be elsewhere may be anywhere.
      return entries.filter((entry) => entry.access === 'writes').map((entry) => entry.table ?? '*');
    };
    const job = {
      ...values,
      procedure,
      timeoutMs,
      resultRows: settings.number('result_rows'),
      ending,
      locked: async <T>(work: () => Promise<T>): Promise<T> => this.#locks.hold(await written(), work),
    };
    return admission.run('run', () => executeSql(connection, sql, job, clock, signal), signal);
  }

  /** After ALTER, an opened run keeps its version. */
  async #scheduleOf(run: OpenRun, catalogue: Catalogue): Promise<Schedule> {
    if (run.scheduleId === null) return actionOf(run);
    const key = `${run.scheduleId}.${run.scheduleVersion}`;
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const schedule = await catalogue.scheduleVersion(run.scheduleId, run.scheduleVersion);
    if (schedule === undefined) {
      throw new Diagnostic('undefined_object', `version ${run.scheduleVersion} of schedule ${run.schedule} is not in the file any more`);
    }
    if (this.#versions.size >= mostVersions)
      for (const oldest of this.#versions.keys()) {
        this.#versions.delete(oldest);
        break;
      }
    this.#versions.set(key, schedule);
    return schedule;
  }

  async #withConnection<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = new Connection(await this.#parts.database.connect());
    try {
      return await work(connection);
    } finally {
      await connection.close();
    }
  }
}

function inCondition(error: Diagnostic): Diagnostic {
  return new Diagnostic(error.code, `in its condition (when): ${error.message}`, { hint: error.hint, cause: error });
}

const dryRunId = '00000000-0000-7000-8000-000000000000';

/** The SQL procedure that a schedule calls; undefined where its target is SQL itself. */
async function procedureOf(schedule: Schedule, catalogue: Catalogue): Promise<Procedure | undefined> {
  const { exe, call } = schedule.target;
  if (exe === 'sql') return undefined;
  const isRoutine = exe === 'procedure' || exe === 'pipeline';
  const routine = isRoutine ? (await catalogue.routine(String(call)))?.routine : undefined;
  if (isRoutine && routine === undefined) {
    throw new Diagnostic('undefined_object', `${exe} ${call} does not exist`, {
      hint: `create it: UPSERT ${exe.toUpperCase()} AS ${call} ..`,
    });
  }
  if (routine?.kind === 'procedure' && routine.body.language === 'sql') return routine;
  const what = routine?.kind === 'procedure' ? `a procedure in ${routine.body.language}` : `exe: ${exe}`;
  throw new Diagnostic('unsupported', `this version runs SQL and procedures in SQL; ${what} cannot be run yet`);
}

/** What an action calls, as a schedule of its own; what it is told stands in the run's own parameters. */
function actionOf(run: OpenRun): Schedule {
  return {
    name: run.schedule,
    target: { exe: run.exe, call: run.call },
    params: {},
    config: {},
    tags: [],
    overlap: 'allow',
    overlapLimit: 0,
    catchupLimit: 0,
    catchupWithinMs: 0,
    after: [],
    afterState: 'any',
    queue: run.queue,
    priority: run.priority,
    retry: { maxRetries: 0, backoff: 'fixed', maxDelayMs: 0, jitter: false },
    disableAfterFailures: 0,
    onCrash: 'fail',
    isolation: 'thread',
    onComplete: [],
    onFail: [],
    onSkip: [],
    keep: {},
  };
}

const nothing: Outcome = { state: 'failed', reason: null, result: null, rowsChanged: null, error: null, guarantee: null, conflicts: 0 };

const databaseStopped: Outcome = { ...nothing, state: 'interrupted', reason: 'the database stopped while it was running' };

function stopped(signal: AbortSignal): Outcome {
  const why = stopReason(signal);
  if (why.kind === 'cancelled') return { ...nothing, state: 'cancelled', reason: why.reason };
  return { ...nothing, state: 'interrupted', reason: 'the scheduler stopped' };
}

function failure(error: unknown): Outcome {
  if (!(error instanceof Diagnostic)) {
    const message = error instanceof Error ? error.message : String(error);
    return { ...nothing, reason: message, error: { code: 'internal', message, detail: null } };
  }
  const detail = error.hint === undefined ? null : { hint: error.hint };
  return { ...nothing, reason: error.message, error: { code: error.code, message: error.message, detail } };
}
