// What a run does: from an open run to an outcome. The definition is that of the version with which the run was opened; its
// target is looked up now. Executors return and do not throw past this line.

import { dirname } from 'node:path';
import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import { nameKey } from '../core/name.ts';
import { compile } from '../scheduler/cadence/cadence.ts';
import type { Clock } from '../scheduler/clock.ts';
import { openedRun } from '../scheduler/opening.ts';
import type { Execution, Fate, Work } from '../scheduler/ports.ts';
import { type Counters, type FinishedRun, noCounters, type OpenRun, type Outcome } from '../scheduler/run.ts';
import type { Schedule } from '../scheduler/schedule.ts';
import type { Admission } from './admission.ts';
import { CommandExecutor } from './executors/command/command.ts';
import { Deadline, stopReason } from './executors/deadline.ts';
import type { RunEnding } from './executors/ending.ts';
import { Handlers } from './executors/handler/handlers.ts';
import { type OpenTaskParts, openTask } from './executors/openTask.ts';
import { failedOutcome } from './executors/outcome.ts';
import { onlyStep } from './executors/pipeline/alone.ts';
import { executePipeline } from './executors/pipeline/pipeline.ts';
import { Registry } from './executors/registry.ts';
import { givenBy, ownValues, type RunValues, readCondition } from './executors/runValues.ts';
import { executeSql } from './executors/sql.ts';
import { type OpenTask, runTask, type TaskPlan } from './executors/task.ts';
import { type Compute, planTask } from './executors/taskPlan.ts';
import { Together } from './executors/together.ts';
import { callText, type Pipeline, type Procedure } from './routine.ts';
import type { RunLogs } from './runLogs.ts';
import type { Settings } from './settings.ts';
import { Catalogue, type StoredSchedule } from './store/duckdb/catalogue.ts';
import { Connection } from './store/duckdb/connection.ts';
import { commitClosed } from './store/duckdb/fence.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';
import { TableLocks } from './tableLocks.ts';
import { Versions } from './versions.ts';

export interface WorkerParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logs: RunLogs;
  /** Opens the database again where it has stopped. */
  recover(): Promise<void>;
  fate(runId: string): Promise<Fate>;
}

/** As many as a busy file has. */
const mostSqlProcedures = 5_000;

export class Worker {
  /** What `exe:` may name beside SQL and pipelines. */
  readonly executors: Registry;
  readonly handlers: Handlers;
  readonly commands: CommandExecutor;
  readonly #parts: WorkerParts;
  readonly #together: Together;
  readonly #locks = new TableLocks();
  /** Runs of pipelines at work. */
  readonly #pipelines = new TableLocks();
  readonly #versions: Versions;
  /** Folded names, as they were found when they last ran: whether a procedure is SQL does not stand in a run. */
  readonly #sqlProcedures = new Set<string>();
  #settings: Promise<Settings> | undefined;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#together = new Together(parts);
    const { clock, database, environment } = parts;
    this.#versions = new Versions(clock, (versions) =>
      this.#withConnection((connection) => new Catalogue(connection, this.#parts.sql).scheduleVersions(versions)),
    );
    this.executors = new Registry(clock);
    const folder = database.path === ':memory:' ? process.cwd() : dirname(database.path);
    this.handlers = new Handlers({ clock, folder, path: environment['PATH'] });
    this.executors.addBuiltIn('handler', this.handlers);
    this.commands = new CommandExecutor({ environment, file: database.path });
    this.executors.addBuiltIn('command', this.commands);
  }

  /** Once nothing runs any more: threads and processes that were kept. */
  async close(): Promise<void> {
    await Promise.all([this.handlers.close(), this.commands.close()]);
  }

  /** The scheduler's `Execute`. */
  readonly execute = (work: Work, signal: AbortSignal): Promise<Execution> => {
    const { run, startedAt, waitedFor } = work;
    const closing: RunEnding['closing'] = (outcome) => {
      const { counters, marks } = work.closing();
      const finishedAt = this.#parts.clock.now();
      return {
        closing: { run, startedAt, finishedAt, state: 'succeeded', reason: null, final: true, outcome, counters, waitedFor },
        marks,
      };
    };
    const commit: RunEnding['commit'] = (connection, outcome, isGuarded, onSend) => {
      const { closing: row, marks } = closing(outcome);
      return commitClosed(connection, this.#parts.sql, row, { isGuarded, marks, onSend });
    };
    const fate = async (): Promise<'open' | 'removed' | 'marked'> => {
      const found = await this.fate(run.runId);
      if (found.kind !== 'closed') return 'open';
      return found.marked ? 'marked' : 'removed';
    };
    return this.#attempt(run, work, { begin: work.begin, closing, commit, fate }, signal);
  };

  /** Settings may have changed. */
  forgetSettings(): void {
    this.#settings = undefined;
  }

  /**
   * Whether a run keeps a thread of the database while it is at work. Steps of pipelines ask for theirs one by one; a procedure
   * that is not known yet passes for one that needs none, and waits for its turn in the gate.
   */
  needsThread({ exe, call }: OpenRun): boolean {
    return exe === 'sql' || (exe === 'procedure' && this.#sqlProcedures.has(nameKey(call)));
  }

  /** What has become of a run. */
  fate(runId: string): Promise<Fate> {
    return this.#parts.fate(runId);
  }

  /** RUN .. DRY RUN: executes, answers what came of it, and leaves nothing behind. */
  dryRun({ schedule, ...stored }: StoredSchedule, params: Readonly<Record<string, JsonValue>>, signal: AbortSignal): Promise<FinishedRun> {
    const { exe, call } = schedule.target;
    const now = this.#parts.clock.now();
    const definition = { ...stored, exe, call: callText(call), timing: undefined, policy: schedule };
    return this.rehearse(openedRun(definition, { runId: dryRunId, trigger: 'manual', scheduledAt: now, openedAt: now, params }), signal);
  }

  /** The same for a run that is not opened. */
  async rehearse(run: OpenRun, signal: AbortSignal): Promise<FinishedRun> {
    const { runId, scheduleId, schedule, exe, call, trigger, scheduledAt } = run;
    const startedAt = this.#parts.clock.now();
    const { outcome } = await this.#attempt(run, { counters: noCounters }, undefined, signal);
    const { state, reason, result, rowsChanged } = outcome;
    const durationMs = this.#parts.clock.now() - startedAt;
    return {
      runId,
      scheduleId,
      schedule,
      exe,
      call,
      trigger,
      scheduledAt,
      attempt: 1,
      state,
      reason,
      final: true,
      result,
      rowsChanged,
      durationMs,
    };
  }

  async #attempt(
    run: OpenRun,
    { counters, progress = () => {} }: { readonly counters: Counters; readonly progress?: Work['progress'] },
    ending: RunEnding | undefined,
    signal: AbortSignal,
  ): Promise<Execution> {
    const connection = new LateConnection(this.#parts.database);
    try {
      await this.#parts.recover();
      const execution = await this.#perform({ connection, run, counters, progress, ending, signal, spent: { ms: 0 } });
      // Not its fault: `on_crash` says what follows.
      return connection.isLost && execution.closed === 'no' ? { outcome: databaseStopped, closed: 'no' } : execution;
    } catch (error) {
      if (connection.isLost) return { outcome: databaseStopped, closed: 'no' };
      if (error instanceof EndedBefore) return { outcome: error.outcome, closed: 'no' };
      return { outcome: signal.aborted ? stopped(signal) : failure(error), closed: 'no' };
    } finally {
      await connection.close();
    }
  }

  async #perform(attempt: Attempt): Promise<Execution> {
    const { run } = attempt;
    const settings = await this.#settingsBy(attempt.connection);
    const schedule = await this.#scheduleOf(run, attempt.connection);
    const values = await this.#valuesOf(attempt, schedule, settings);
    const { when } = schedule;
    if (when !== undefined) {
      const timeoutMs = limitOf(schedule, settings);
      const value = await this.#before(attempt, timeoutMs, (connection) => readCondition(connection, when, values)).catch(
        (error: unknown) => {
          throw error instanceof Diagnostic && error.code !== 'cancelled' ? inCondition(error) : error;
        },
      );
      if (value !== true) {
        const reason = `when: the condition was ${value === undefined ? 'without a row' : String(value)}`;
        return { outcome: { ...nothing, state: 'skipped', reason }, closed: 'no' };
      }
    }
    const target = await this.#targetOf(schedule, attempt.connection);
    switch (target.kind) {
      case 'sql':
        return this.#runSql(attempt, values, target.procedure, settings);
      case 'task':
        return this.#runTask(attempt, values, target, settings);
      case 'pipeline':
        return this.#runPipeline(attempt, values, target, settings);
      default:
        return target satisfies never;
    }
  }

  /**
   * What a run asks the database before its work: in its turn, and within the time that it has, of which the wait for its turn is
   * no part.
   */
  async #before<T>(
    { connection, signal, spent }: Attempt,
    timeoutMs: number | null,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const { admission, clock } = this.#parts;
    const own = await connection.get();
    const asked = async (): Promise<T> => {
      const since = clock.monotonicMs();
      const deadline = new Deadline(timeoutMs, clock, signal, spent.ms);
      try {
        return await work(own.until(deadline.signal));
      } catch (error) {
        const { reason: stoppedBy } = deadline;
        if (stoppedBy?.kind !== 'timed_out') throw error;
        throw new EndedBefore(failedOutcome(error, { stopped: stoppedBy, timeoutMs, conflicts: 0, guarantee: null }));
      } finally {
        deadline.disarm();
        spent.ms += clock.monotonicMs() - since;
      }
    };
    return admission.run('run', asked, signal);
  }

  async #runSql(
    { connection, run, ending, signal, spent }: Attempt,
    values: RunValues,
    procedure: Procedure | undefined,
    settings: Settings,
  ): Promise<Execution> {
    const { sql, clock, admission } = this.#parts;
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
      timeoutMs: values.schedule.timeoutMs !== undefined ? values.schedule.timeoutMs : (procedure?.timeoutMs ?? null),
      spentMs: spent.ms,
      resultRows: settings.number('result_rows'),
      ending,
      locked: async <T>(work: () => Promise<T>): Promise<T> => this.#locks.hold(await written(), work),
    };
    return this.#together.run(job, signal, async (alone) => {
      // It may have stopped under those who shared a transaction.
      await this.#parts.recover();
      const own = await connection.get();
      return admission.run('run', () => executeSql(own, sql, alone, clock, signal), signal);
    });
  }

  async #runTask(
    attempt: Attempt,
    values: RunValues,
    target: Extract<WorkTarget, { kind: 'task' }>,
    settings: Settings,
  ): Promise<Execution> {
    const { run, ending, progress, signal, spent } = attempt;
    const { schedule } = values;
    if (ending === undefined) {
      throw new Diagnostic('unsupported', `a dry run cannot take back what a ${target.exe} does`, { hint: 'RUN SCHEDULE without DRY RUN' });
    }
    const { clock, logs } = this.#parts;
    const executor = this.executors.find(target.exe);
    if (executor === undefined) {
      throw new Diagnostic('undefined_object', `there is no executor ${target.exe} in this process`, {
        hint: `register it before the scheduler starts: db.executor('${target.exe}', { execute })`,
      });
    }
    const { procedure, exe, call } = target;
    const timeoutMs = schedule.timeoutMs !== undefined ? schedule.timeoutMs : (procedure?.timeoutMs ?? settings.taskTimeoutMs);
    const given = givenBy(values);
    const task = { exe, call, procedure, step: null, item: null, attempt: run.attempt, config: schedule.config, timeoutMs };
    const compute: Compute = (work) => this.#before(attempt, timeoutMs, work);
    const plan = await planTask(values, { ...task, given, own: ownValues(values) }, compute);
    const log = logs.begin(run.runId, settings.number('log_lines'));
    const open = (until: AbortSignal): OpenTask => this.#open(plan, { values, log, progress, signal: until });
    try {
      return await runTask({ executor, timeoutMs, spentMs: spent.ms, ending, open }, clock, signal);
    } finally {
      await log.end();
    }
  }

  async #runPipeline(
    { run, ending, progress, signal }: Attempt,
    values: RunValues,
    { pipeline, step }: Extract<WorkTarget, { kind: 'pipeline' }>,
    settings: Settings,
  ): Promise<Execution> {
    const { database, sql, clock, admission, logs } = this.#parts;
    const { schedule } = values;
    const log = logs.begin(run.runId, settings.number('log_lines'));
    const job = {
      ...values,
      ...(step === null ? { pipeline, foreignResults: [] } : onlyStep(pipeline, step)),
      timeoutMs: schedule.timeoutMs !== undefined ? schedule.timeoutMs : (pipeline.timeoutMs ?? null),
      taskTimeoutMs: settings.taskTimeoutMs,
      resultRows: settings.number('result_rows'),
      ending,
      executors: this.executors,
      log,
      progress,
      openTask: (plan: TaskPlan, until: AbortSignal, told: Work['progress']) =>
        this.#open(plan, { values, log, progress: told, signal: until }),
      locked: <T>(work: () => Promise<T>): Promise<T> => this.#lockedFor(pipeline.name, 'pipeline', work),
    };
    try {
      // A run that is begun twice, whatever the reason, does no step beside itself.
      return await this.#pipelines.hold([run.runId], () => executePipeline({ database, sql, clock, admission }, job, signal));
    } finally {
      await log.end();
    }
  }

  #open(plan: TaskPlan, parts: Pick<OpenTaskParts, 'log' | 'progress' | 'signal'> & { readonly values: RunValues }): OpenTask {
    const { database, sql, admission, clock } = this.#parts;
    const { values, ...own } = parts;
    return openTask(plan, { database, sql, admission, clock, zone: values.zone, ...own });
  }

  /** While nobody else here writes what this is known to write; what is not known to be elsewhere may be anywhere. */
  async #lockedFor<T>(name: string, kind: 'pipeline', work: () => Promise<T>): Promise<T> {
    const entries = await this.#withConnection((other) => new Catalogue(other, this.#parts.sql).lineage(name, kind));
    return this.#locks.hold(
      entries.filter((entry) => entry.access === 'writes').map((entry) => entry.table ?? '*'),
      work,
    );
  }

  /** Asked once for all who begin at the same moment. */
  #settingsBy(connection: LateConnection): Promise<Settings> {
    this.#settings ??= this.#readSettings(connection).catch((error: unknown) => {
      this.#settings = undefined;
      throw error;
    });
    return this.#settings;
  }

  async #readSettings(connection: LateConnection): Promise<Settings> {
    return new Catalogue(await connection.get(), this.#parts.sql).settings();
  }

  async #valuesOf({ connection, run, counters }: Attempt, schedule: Schedule, settings: Settings): Promise<RunValues> {
    // Only calendars stand elsewhere.
    const timing =
      schedule.timing?.calendarName === undefined
        ? schedule.timing
        : await new Catalogue(await connection.get(), this.#parts.sql).timing(schedule);
    const previousMs = timing === undefined ? Number.NEGATIVE_INFINITY : compile(timing).previousMs(run.scheduledAt);
    return {
      run,
      schedule,
      counters,
      previousAt: Number.isFinite(previousMs) ? (previousMs as Instant) : null,
      zone: timing?.zone ?? settings.text('timezone'),
      environment: this.#parts.environment,
    };
  }

  /** Looked up now: a procedure may have changed since the run was opened. */
  async #targetOf({ target: { exe, call } }: Schedule, connection: LateConnection): Promise<WorkTarget> {
    if (exe === 'sql') return { kind: 'sql', procedure: undefined };
    if (exe !== 'procedure' && exe !== 'pipeline') return { kind: 'task', exe, call, procedure: undefined };
    const catalogue = new Catalogue(await connection.get(), this.#parts.sql);
    const name = String(call);
    const dot = name.indexOf('.');
    const whole = await catalogue.routine(name);
    const stored = whole ?? (dot > 0 ? await catalogue.routine(name.slice(0, dot)) : undefined);
    if (stored === undefined) {
      throw new Diagnostic('undefined_object', `${exe} ${name} does not exist`, {
        hint: `create it: UPSERT ${exe.toUpperCase()} AS ${name} ..`,
      });
    }
    const { routine } = stored;
    if (routine.kind === 'pipeline') return { kind: 'pipeline', pipeline: routine, step: whole === undefined ? name.slice(dot + 1) : null };
    const { body } = routine;
    this.#learn(name, body.language === 'sql');
    switch (body.language) {
      case 'sql':
        return { kind: 'sql', procedure: routine };
      case 'command':
        return { kind: 'task', exe: 'command', call: body.command, procedure: routine };
      case 'javascript':
        return { kind: 'task', exe: 'handler', call: body.path, procedure: routine };
      default:
        return body satisfies never;
    }
  }

  #learn(procedure: string, isSql: boolean): void {
    const key = nameKey(procedure);
    if (!isSql) this.#sqlProcedures.delete(key);
    else if (this.#sqlProcedures.size < mostSqlProcedures) this.#sqlProcedures.add(key);
  }

  /** After ALTER, an opened run keeps its version. Asked once for all who begin at the same moment. */
  async #scheduleOf(run: OpenRun, connection: LateConnection): Promise<Schedule> {
    const { scheduleId, scheduleVersion: version } = run;
    if (scheduleId === null) return actionOf(run);
    // A question that failed is asked again by each for itself: then it is seen whether the database has stopped.
    const schedule = await this.#versions
      .of({ scheduleId, version })
      .catch(async () => new Catalogue(await connection.get(), this.#parts.sql).scheduleVersion(scheduleId, version));
    if (schedule !== undefined) return schedule;
    throw new Diagnostic('undefined_object', `version ${run.scheduleVersion} of schedule ${run.schedule} is not in the file any more`);
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

/** It has ended before its work began. */
class EndedBefore extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super(outcome.reason ?? outcome.state);
    this.outcome = outcome;
  }
}

/** What holds where its target says nothing: that is looked up behind its condition. */
function limitOf({ timeoutMs, target: { exe } }: Schedule, settings: Settings): number | null {
  if (timeoutMs !== undefined) return timeoutMs;
  return ['sql', 'procedure', 'pipeline'].includes(exe) ? null : settings.taskTimeoutMs;
}

function inCondition(error: Diagnostic): Diagnostic {
  return new Diagnostic(error.code, `in its condition (when): ${error.message}`, { hint: error.hint, cause: error });
}

const dryRunId = '00000000-0000-7000-8000-000000000000';

/** What a run carries out. */
type WorkTarget =
  | { readonly kind: 'sql'; readonly procedure: Procedure | undefined }
  | { readonly kind: 'pipeline'; readonly pipeline: Pipeline; readonly step: string | null }
  | {
      readonly kind: 'task';
      /** The executor's name. */
      readonly exe: string;
      readonly call: string | readonly string[];
      readonly procedure: Procedure | undefined;
    };

interface Attempt {
  readonly connection: LateConnection;
  readonly run: OpenRun;
  readonly counters: Counters;
  readonly progress: Work['progress'];
  /** undefined: a dry run. */
  readonly ending: RunEnding | undefined;
  readonly signal: AbortSignal;
  /** Of its time, before its work. */
  readonly spent: { ms: number };
}

/** Made when it is needed: a handler in this process needs none. */
class LateConnection {
  readonly #database: NativeDatabase;
  #connection: Promise<Connection> | undefined;
  #made: Connection | undefined;

  constructor(database: NativeDatabase) {
    this.#database = database;
  }

  get(): Promise<Connection> {
    this.#connection ??= this.#database.connect().then((native) => {
      this.#made = new Connection(native);
      return this.#made;
    });
    return this.#connection;
  }

  /** The database has stopped under it. */
  get isLost(): boolean {
    return this.#made?.native.lost !== undefined;
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.close();
  }
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
