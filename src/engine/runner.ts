// From decisions to history: opens what is due, runs what is ready, closes what has run. `tick` is what a host with its own
// clock calls; RUN SCHEDULE runs one schedule right there. Rules are in scheduler/ (plan, retry, run); here they are carried out.

import { randomBytes } from 'node:crypto';
import { Diagnostic } from '../core/diagnostic.ts';
import { formatDuration } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import type { JsonValue } from '../core/jsonValue.ts';
import { runId } from '../core/runId.ts';
import { Turnstile } from '../core/turnstile.ts';
import { compile, type Timing } from '../scheduler/cadence/cadence.ts';
import type { Clock } from '../scheduler/clock.ts';
import { type Decision, plan } from '../scheduler/plan.ts';
import { retryAt } from '../scheduler/retry.ts';
import {
  type ClosedState,
  type Closing,
  type Counters,
  countersAfter,
  type FinishedRun,
  isFailure,
  type OpenRun,
  type Outcome,
  type Trigger,
} from '../scheduler/run.ts';
import type { Schedule } from '../scheduler/schedule.ts';
import type { Admission } from './admission.ts';
import { executeSql, type RunValues, readCondition } from './executors/sql.ts';
import { callText } from './routine.ts';
import type { Settings } from './settings.ts';
import { Catalogue, type StoredSchedule } from './store/duckdb/catalogue.ts';
import { Connection } from './store/duckdb/connection.ts';
import { type InFlight, Ledger } from './store/duckdb/ledger.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';

export interface RunnerParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface TickReport {
  /** Up to where time is handled now. */
  readonly watermark: Instant;
  readonly opened: number;
  readonly skipped: number;
  readonly finished: readonly FinishedRun[];
  /** Schedules that could not be read or planned; they delay nobody else. */
  readonly unreadable: readonly { readonly schedule: string; readonly message: string }[];
}

export interface RunOptions {
  readonly params: Readonly<Record<string, JsonValue>>;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

interface Moment {
  readonly watermark: Instant;
  readonly now: Instant;
  readonly settings: Settings;
  readonly counters: Counters;
  readonly open: InFlight;
}

interface Decided {
  readonly counters: Counters;
  readonly decisions: readonly (readonly [run: OpenRun, decision: Decision])[];
}

/** What is at work in this process, for the live columns of cron.runs. */
interface RunningRun {
  readonly startedAt: Instant;
  readonly controller: AbortController;
}

export class Runner {
  readonly #parts: RunnerParts;
  readonly #running = new Map<string, RunningRun>();
  #sequence = 0;
  readonly #turnstile = new Turnstile();

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  running(id: string): RunningRun | undefined {
    return this.#running.get(id);
  }

  /** Opens what is due up to `now` and runs all that is ready. Ticks follow one another. */
  tick(now: Instant, workers?: number): Promise<TickReport> {
    return this.#turnstile.run(() => this.#tick(now, workers));
  }

  async #tick(now: Instant, workers: number | undefined): Promise<TickReport> {
    const opened = await this.#withLedger((connection) => this.#openDue(connection, now));
    const finished = await this.#runReady(now, workers);
    return { ...opened, finished };
  }

  /** One transaction: open rows, skipped rows, and the watermark that says so. */
  async #openDue(connection: Connection, now: Instant): Promise<Omit<TickReport, 'finished'>> {
    const catalogue = new Catalogue(connection, this.#parts.sql);
    const ledger = new Ledger(connection, this.#parts.sql);
    return connection.transact(async () => {
      const { seq, watermark } = await ledger.watermark();
      // A clock that went back handles nothing twice.
      if (now <= watermark) return { watermark, opened: 0, skipped: 0, unreadable: [] };
      const settings = await catalogue.settings();
      const inFlight = await ledger.inFlight();
      const { schedules, unreadable } = await catalogue.readableSchedules();
      let opened = 0;
      let skipped = 0;
      for (const stored of schedules) {
        if (!stored.enabled) continue;
        let decided: Decided;
        try {
          const timing = await catalogue.timing(stored.schedule);
          // Most schedules are not due: one look at each, and nothing is asked of history.
          if (timing === undefined || compile(timing).nextMs(watermark) > now) continue;
          const counters = await ledger.counters(stored.scheduleId);
          const open = inFlight.get(stored.scheduleId) ?? { live: 0, uncounted: 0 };
          decided = this.#decide(stored, timing, { watermark, now, settings, counters, open });
        } catch (error) {
          if (!(error instanceof Error) || connection.transaction !== 'open') throw error;
          unreadable.push({ schedule: stored.name, message: error.message });
          continue;
        }
        const { counters } = decided;
        for (const [run, decision] of decided.decisions) {
          if (decision.kind === 'open') await ledger.open(run);
          else await ledger.skip({ ...closed(run, 'skipped', decision.reason, now, counters), stretch: decision });
          if (decision.kind === 'open') opened += 1;
          else skipped += 1;
        }
      }
      await ledger.tick(seq + 1, now, this.#parts.clock.now());
      return { watermark: now, opened, skipped, unreadable };
    });
  }

  /** What to open and what to skip of one schedule. */
  #decide(stored: StoredSchedule, timing: Timing, moment: Moment): Decided {
    const { schedule } = stored;
    const { watermark, now, settings, counters, open } = moment;
    const trigger = triggerOf(timing);
    const decisions = plan({
      timing: compile(timing),
      trigger,
      effectiveFrom: stored.effectiveFrom,
      watermark,
      now,
      lateWithinMs: settings.durationMs('late_within'),
      catchup: schedule.catchup ?? (settings.text('catchup') as 'none' | 'latest' | 'all'),
      catchupLimit: schedule.catchupLimit,
      catchupWithinMs: schedule.catchupWithinMs,
      overlap: schedule.overlap,
      overlapLimit: schedule.overlapLimit,
      inFlight: open.live,
      firesLeft: schedule.maxRuns === undefined ? Number.POSITIVE_INFINITY : schedule.maxRuns - counters.openedFires - open.uncounted,
    });
    return {
      counters,
      decisions: decisions.map((decision) => [
        this.#newRun(stored, decision.kind === 'open' ? decision.trigger : trigger, decision.scheduledAt, now),
        decision,
      ]),
    };
  }

  /** Runs everything that may start, at most `workers` at once, and one after another where a schedule does not allow overlap. */
  async #runReady(now: Instant, workers: number | undefined): Promise<FinishedRun[]> {
    const finished: FinishedRun[] = [];
    const tried = new Set<string>();
    const busy = new Set<number>();
    const atWork = new Set<Promise<void>>();
    const most = workers ?? (await this.#settings()).number('workers');
    for (;;) {
      const ready = await this.#withLedger((connection) => new Ledger(connection, this.#parts.sql).ready(now));
      for (const run of ready) {
        if (atWork.size >= most) break;
        if (tried.has(run.runId) || busy.has(run.scheduleId ?? -1)) continue;
        tried.add(run.runId);
        const stored = await this.#withLedger((connection) => new Catalogue(connection, this.#parts.sql).schedule(run.schedule));
        const alone = stored?.schedule.overlap !== 'allow';
        if (alone) busy.add(run.scheduleId ?? -1);
        const work = this.#execute(run, stored, { params: run.params, dryRun: false, signal: new AbortController().signal })
          .then((done) => {
            finished.push(done);
          })
          .finally(() => {
            busy.delete(run.scheduleId ?? -1);
            atWork.delete(work);
          });
        atWork.add(work);
      }
      if (atWork.size === 0) return finished;
      await Promise.race(atWork);
    }
  }

  /** One run by hand, here and now. */
  async runNow(stored: StoredSchedule, options: RunOptions): Promise<FinishedRun> {
    const now = this.#parts.clock.now();
    const run: OpenRun = { ...this.#newRun(stored, 'manual', now, now), params: options.params };
    if (!options.dryRun) {
      await this.#withLedger((connection) => connection.transact(() => new Ledger(connection, this.#parts.sql).open(run)));
    }
    return this.#execute(run, stored, options);
  }

  /** open -> execute -> close -> settle */
  async #execute(run: OpenRun, stored: StoredSchedule | undefined, options: RunOptions): Promise<FinishedRun> {
    return this.#withConnection(async (connection) => {
      const { clock, sql } = this.#parts;
      const ledger = new Ledger(connection, sql);
      const catalogue = new Catalogue(connection, sql);
      const counters = await ledger.counters(run.scheduleId ?? -1);
      if (stored === undefined || stored.scheduleId !== run.scheduleId) {
        return this.#close(connection, closed(run, 'cancelled', 'dropped', clock.now(), counters));
      }
      const counted = countsFire(run) ? { ...counters, openedFires: counters.openedFires + 1 } : counters;
      const refusal = await this.#whenRefusal(run, stored.schedule, counted, connection);
      if (refusal?.kind === 'skip' && !options.dryRun) {
        return this.#close(connection, closed(run, 'skipped', refusal.reason, clock.now(), counted));
      }
      const startedAt = clock.now();
      const controller = new AbortController();
      const signal = AbortSignal.any([controller.signal, options.signal]);
      this.#running.set(run.runId, { startedAt, controller });
      try {
        const settings = await catalogue.settings();
        const { outcome, closed: isClosed } =
          refusal?.kind === 'error'
            ? { outcome: refusal.outcome, closed: false }
            : await this.#perform(connection, run, stored, counted, startedAt, settings, options, signal);
        if (isClosed || options.dryRun) return finishedRun(run, outcome.state, outcome.reason, outcome, clock.now() - startedAt);
        return await this.#settle(connection, run, stored, startedAt, outcome, counted, settings);
      } finally {
        this.#running.delete(run.runId);
      }
    });
  }

  async #whenRefusal(run: OpenRun, schedule: Schedule, counters: Counters, connection: Connection): Promise<WhenRefusal | undefined> {
    if (schedule.when === undefined) return undefined;
    try {
      const values = await this.#valuesOf(run, schedule, counters, connection);
      const value = await readCondition(connection, schedule.when, values);
      return value === true
        ? undefined
        : { kind: 'skip', reason: `when: the condition was ${value === undefined ? 'without a row' : String(value)}` };
    } catch (error) {
      return {
        kind: 'error',
        outcome: failure(error instanceof Diagnostic ? error : new Diagnostic('internal', String(error), { cause: error })),
      };
    }
  }

  async #valuesOf(run: OpenRun, schedule: Schedule, counters: Counters, connection: Connection): Promise<RunValues> {
    const catalogue = new Catalogue(connection, this.#parts.sql);
    const timing = await catalogue.timing(schedule);
    const previousMs = timing === undefined ? Number.NEGATIVE_INFINITY : compile(timing).previousMs(run.scheduledAt);
    return {
      run,
      schedule,
      counters,
      previousAt: Number.isFinite(previousMs) ? previousMs : null,
      zone: timing?.zone ?? (await catalogue.settings()).text('timezone'),
      environment: this.#parts.environment,
    };
  }

  async #perform(
    connection: Connection,
    run: OpenRun,
    stored: StoredSchedule,
    counters: Counters,
    startedAt: Instant,
    settings: Settings,
    options: RunOptions,
    signal: AbortSignal,
  ): Promise<{ outcome: Outcome; closed: boolean }> {
    const { clock, sql } = this.#parts;
    const { schedule } = stored;
    const catalogue = new Catalogue(connection, sql);
    const isRoutine = schedule.target.exe === 'procedure' || schedule.target.exe === 'pipeline';
    const routine = isRoutine ? (await catalogue.routine(String(schedule.target.call)))?.routine : undefined;
    if (isRoutine && routine === undefined) {
      return {
        outcome: failure(new Diagnostic('undefined_object', `${schedule.target.exe} ${schedule.target.call} does not exist`)),
        closed: false,
      };
    }
    const isSql = schedule.target.exe === 'sql' || (routine?.kind === 'procedure' && routine.body.language === 'sql');
    if (!isSql) {
      const what = routine?.kind === 'procedure' ? `a procedure in ${routine.body.language}` : `exe: ${schedule.target.exe}`;
      return {
        outcome: failure(new Diagnostic('unsupported', `this version runs SQL and procedures in SQL; ${what} cannot be run yet`)),
        closed: false,
      };
    }
    const procedure = routine?.kind === 'procedure' ? routine : undefined;
    const timeoutMs = schedule.timeoutMs !== undefined ? schedule.timeoutMs : (procedure?.timeoutMs ?? null);
    const job = {
      ...(await this.#valuesOf(run, schedule, counters, connection)),
      procedure,
      timeoutMs,
      resultRows: settings.number('result_rows'),
      locked: <T>(work: () => Promise<T>): Promise<T> => work(),
      ending: options.dryRun
        ? undefined
        : {
            begin: async () => {},
            close: async (inside: Connection, outcome: Outcome, transactionId: number | undefined) => {
              const closing: Closing = {
                run,
                startedAt,
                finishedAt: clock.now(),
                state: 'succeeded',
                reason: null,
                final: true,
                outcome,
                counters: countersAfter(counters, 'succeeded', true, run.scheduledAt),
                waitedFor: null,
              };
              return (await new Ledger(inside, sql).close(closing, transactionId)) ? ('removed' as const) : ('fenced' as const);
            },
            fate: async () => 'open' as const,
          },
    };
    const { outcome, closed } = await this.#parts.admission.run('run', () => executeSql(connection, sql, job, clock, signal));
    return { outcome, closed: closed === 'removed' };
  }

  /** What follows from an attempt that its own transaction did not close: the closing row, and the next attempt beside it. */
  async #settle(
    connection: Connection,
    run: OpenRun,
    stored: StoredSchedule,
    startedAt: Instant,
    outcome: Outcome,
    counters: Counters,
    settings: Settings,
  ): Promise<FinishedRun> {
    const { clock, sql } = this.#parts;
    const finishedAt = clock.now();
    const defaults = { maxRetries: settings.number('max_retries'), delayMs: settings.durationMs('retry_delay') };
    const again = isFailure(outcome.state) ? retryAt(stored.schedule.retry, defaults, run.attempt, finishedAt, Math.random()) : undefined;
    const after = countersAfter(counters, outcome.state, again === undefined, run.scheduledAt);
    const reason =
      again === undefined
        ? outcome.reason
        : `${outcome.reason}; retry in ${formatDuration(Math.max(1000, Math.round((again - finishedAt) / 1000) * 1000))}`;
    const closing: Closing = {
      run,
      startedAt,
      finishedAt,
      state: outcome.state,
      reason,
      final: again === undefined,
      outcome,
      counters: after,
      waitedFor: null,
    };
    const ledger = new Ledger(connection, sql);
    const next: OpenRun | undefined =
      again === undefined
        ? undefined
        : { ...run, runId: this.#runId(finishedAt), openedAt: finishedAt, notBefore: again, attempt: run.attempt + 1, retryOf: run.runId };
    const limit = stored.schedule.disableAfterFailures;
    return this.#close(connection, closing, async () => {
      if (next !== undefined) await ledger.open(next);
      if (limit > 0 && after.consecutiveFailures >= limit) {
        const catalogue = new Catalogue(connection, sql);
        const current = await catalogue.schedule(stored.name);
        if (current?.enabled === true) await catalogue.enableSchedule(current, false, finishedAt, `${limit} failures in a row`);
      }
    });
  }

  async #close(connection: Connection, closing: Closing, also: () => Promise<void> = async () => {}): Promise<FinishedRun> {
    const ledger = new Ledger(connection, this.#parts.sql);
    const { run } = closing;
    const won = await connection.transact(async () => {
      if (!(await ledger.close(closing))) return false;
      await also();
      return true;
    });
    const durationMs = closing.startedAt === null ? null : closing.finishedAt - closing.startedAt;
    if (won) return finishedRun(run, closing.state, closing.reason, closing.outcome, durationMs);
    // The ledger is the only witness: the row was gone, so somebody closed it, perhaps our own COMMIT that seemed to fail.
    const state = await ledger.closedState(run.runId);
    if (state === undefined) throw new Diagnostic('internal', `run ${run.runId} is neither open nor closed`);
    return finishedRun(run, state.state, state.reason, null, durationMs);
  }

  #newRun(stored: StoredSchedule, trigger: Trigger, scheduledAt: Instant, now: Instant): OpenRun {
    const id = this.#runId(now);
    return {
      runId: id,
      scheduleId: stored.scheduleId,
      schedule: stored.name,
      exe: stored.schedule.target.exe,
      call: callText(stored.schedule.target.call),
      trigger,
      scheduledAt,
      openedAt: now,
      notBefore: null,
      attempt: 1,
      queue: stored.schedule.queue,
      priority: stored.schedule.priority,
      params: {},
      scheduleVersion: stored.version,
      rootRunId: id,
      parentRunId: null,
      retryOf: null,
      group: null,
      fire: null,
      alone: false,
    };
  }

  #runId(at: Instant): string {
    this.#sequence = (this.#sequence + 1) & 0xfff;
    return runId(at, this.#sequence, randomBytes(10));
  }

  #settings(): Promise<Settings> {
    return this.#withLedger((connection) => new Catalogue(connection, this.#parts.sql).settings());
  }

  /** The scheduler's own small statements: threads are kept for them whatever else runs. */
  #withLedger<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#parts.admission.run('ledger', () => this.#withConnection(work));
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

function triggerOf(timing: Timing): Trigger {
  const kind = timing.cadences[0]?.kind;
  if (kind === 'interval') return 'interval';
  return kind === 'once' ? 'once' : 'cron';
}

/** Only first attempts of the clock's own fires count for `max_runs`. */
function countsFire(run: OpenRun): boolean {
  return run.attempt === 1 && run.trigger !== 'manual' && run.trigger !== 'backfill';
}

type WhenRefusal = { readonly kind: 'skip'; readonly reason: string } | { readonly kind: 'error'; readonly outcome: Outcome };

function failure(diagnostic: Diagnostic): Outcome {
  return {
    state: 'failed',
    reason: diagnostic.message,
    result: null,
    rowsChanged: null,
    error: { code: diagnostic.code, message: diagnostic.message, detail: diagnostic.hint === undefined ? null : { hint: diagnostic.hint } },
    guarantee: null,
    conflicts: 0,
  };
}

function closed(run: OpenRun, state: ClosedState, reason: string, at: Instant, counters: Counters): Closing {
  return { run, startedAt: null, finishedAt: at, state, reason, final: true, outcome: null, counters, waitedFor: null };
}

function finishedRun(
  run: OpenRun,
  state: ClosedState,
  reason: string | null,
  outcome: Closing['outcome'],
  durationMs: number | null,
): FinishedRun {
  return {
    runId: run.runId,
    schedule: run.schedule,
    trigger: run.trigger,
    scheduledAt: run.scheduledAt,
    attempt: run.attempt,
    state,
    reason,
    final: true,
    result: outcome?.result ?? null,
    rowsChanged: outcome?.rowsChanged ?? null,
    durationMs,
  };
}
