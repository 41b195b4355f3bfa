// The witness: what was opened, what was closed, how far time is handled. Each method is one statement or a few inside the
// caller's transaction; who begins and commits it decides the caller.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Instant } from '../../../core/instant.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { type ClosedState, type Closing, type Counters, noCounters, type OpenRun, type Trigger } from '../../../scheduler/run.ts';
import type { Priority } from '../../../scheduler/schedule.ts';
import type { Connection } from './connection.ts';
import type { Sql } from './sql.ts';

export interface InFlight {
  readonly live: number;
  readonly uncounted: number;
}

interface OpenRow {
  run_id: string;
  schedule_id: number;
  schedule: string;
  exe: string;
  call: string;
  trigger: Trigger;
  scheduled_at: number;
  opened_at: number;
  not_before: number | null;
  attempt: number;
  queue: string;
  priority: Priority;
  params: string;
  schedule_version: number;
  root_run_id: string;
  parent_run_id: string | null;
  retry_of: string | null;
}

export class Ledger {
  readonly #connection: Connection;
  readonly #sql: Sql;

  constructor(connection: Connection, sql: Sql) {
    this.#connection = connection;
    this.#sql = sql;
  }

  async watermark(): Promise<{ seq: number; watermark: Instant }> {
    const [row] = await this.#connection.all<{ seq: number; watermark: number }>(this.#sql.watermark);
    if (row === undefined) throw new Diagnostic('internal', 'the ledger has no tick');
    return row;
  }

  async tick(seq: number, watermark: Instant, at: Instant): Promise<void> {
    await this.#connection.run(this.#sql.insertTick, { seq, watermark, at });
  }

  async open(run: OpenRun): Promise<void> {
    await this.#connection.run(this.#sql.insertOpenRun, {
      run_id: run.runId,
      schedule_id: run.scheduleId,
      schedule: run.schedule,
      exe: run.exe,
      call: run.call,
      trigger: run.trigger,
      scheduled_at: run.scheduledAt,
      opened_at: run.openedAt,
      not_before: run.notBefore,
      attempt: run.attempt,
      queue: run.queue,
      priority: run.priority,
      params: JSON.stringify(run.params),
      schedule_version: run.scheduleVersion,
      root_run_id: run.rootRunId,
      parent_run_id: run.parentRunId,
      retry_of: run.retryOf,
    });
  }

  /** The open runs that may start now, the most urgent first. */
  async ready(now: Instant): Promise<OpenRun[]> {
    return (await this.#connection.all<OpenRow>(this.#sql.readyRuns, { now })).map(openRun);
  }

  async openRunsOf(scheduleId: number): Promise<OpenRun[]> {
    return (await this.#connection.all<OpenRow>(this.#sql.openRunsOf, { id: scheduleId })).map(openRun);
  }

  /** What is open, for each schedule: `live` is what overlap compares with, `uncounted` are fires that no closed run has counted yet. */
  async inFlight(): Promise<Map<number, InFlight>> {
    const rows = await this.#connection.all<InFlight & { schedule_id: number }>(this.#sql.inFlight);
    return new Map(rows.map(({ schedule_id: scheduleId, live, uncounted }) => [scheduleId, { live, uncounted }]));
  }

  async counters(scheduleId: number): Promise<Counters> {
    const [row] = await this.#connection.all<{ failures: number; fires: number; success_at: number | null }>(this.#sql.counters, {
      id: scheduleId,
    });
    if (row === undefined) return noCounters;
    return { consecutiveFailures: row.failures, openedFires: row.fires, lastSuccessAt: row.success_at };
  }

  /**
   * Takes a run out of the open set and writes its closing row: the fence. `false` when the row was not there, which means
   * that somebody else closed it: the caller rolls back. The closing row is guarded by the transaction id it began with, so
   * that a body which committed by a way we do not know cannot close half a run.
   */
  async close(closing: Closing, transactionId?: number): Promise<boolean> {
    const removed = await this.#connection.run(this.#sql.deleteOpenRun, { run_id: closing.run.runId });
    if (removed !== 1) return false;
    return (await this.#insertClosed(closing, transactionId)) === 1;
  }

  /** A closing row for what was never opened: a refused fire. */
  async skip(closing: Closing): Promise<void> {
    await this.#insertClosed(closing);
  }

  async #insertClosed(closing: Closing, transactionId?: number): Promise<number> {
    const { run, outcome, counters } = closing;
    const values = {
      run_id: run.runId,
      schedule_id: run.scheduleId,
      schedule: run.schedule,
      exe: run.exe,
      call: run.call,
      trigger: run.trigger,
      scheduled_at: run.scheduledAt,
      opened_at: run.openedAt,
      started_at: closing.startedAt,
      finished_at: closing.finishedAt,
      state: closing.state,
      reason: closing.reason,
      attempt: run.attempt,
      final: closing.final,
      fires: closing.stretch?.fires ?? null,
      first_scheduled_at: closing.stretch?.firstScheduledAt ?? null,
      queue: run.queue,
      priority: run.priority,
      params: JSON.stringify(run.params),
      result: json(outcome?.result ?? null),
      rows_changed: outcome?.rowsChanged ?? null,
      error_code: outcome?.error?.code ?? null,
      error_message: outcome?.error?.message ?? null,
      error_detail: json(outcome?.error?.detail ?? null),
      guarantee: outcome?.guarantee ?? null,
      conflicts: outcome?.conflicts ?? null,
      schedule_version: run.scheduleVersion,
      root_run_id: run.rootRunId,
      parent_run_id: run.parentRunId,
      retry_of: run.retryOf,
      consecutive_failures: counters.consecutiveFailures,
      opened_fires: counters.openedFires,
      last_success_at: counters.lastSuccessAt,
    };
    if (transactionId === undefined) return this.#connection.run(this.#sql.insertClosed, values);
    return this.#connection.run(this.#sql.insertClosedFenced, { ...values, transaction_id: transactionId });
  }

  async transactionId(): Promise<number> {
    const [row] = await this.#connection.all<{ id: number }>('SELECT txid_current()::DOUBLE AS id');
    return row?.id ?? -1;
  }

  async closedState(runId: string): Promise<{ state: ClosedState; reason: string | null } | undefined> {
    const [row] = await this.#connection.all<{ state: ClosedState; reason: string | null }>(this.#sql.closedById, { run_id: runId });
    return row;
  }

  /** Closes what waits of a schedule as cancelled. */
  async cancelWaiting(scheduleId: number, reason: string, at: Instant, counters: Counters): Promise<void> {
    for (const run of await this.openRunsOf(scheduleId)) {
      await this.close({
        run,
        startedAt: null,
        finishedAt: at,
        state: 'cancelled',
        reason,
        final: true,
        outcome: null,
        counters,
        waitedFor: null,
      });
    }
  }
}

function openRun(row: OpenRow): OpenRun {
  return {
    runId: row.run_id,
    scheduleId: row.schedule_id,
    schedule: row.schedule,
    exe: row.exe,
    call: row.call,
    trigger: row.trigger,
    scheduledAt: row.scheduled_at,
    openedAt: row.opened_at,
    notBefore: row.not_before,
    attempt: row.attempt,
    queue: row.queue,
    priority: row.priority,
    params: JSON.parse(row.params) as Record<string, JsonValue>,
    scheduleVersion: row.schedule_version,
    rootRunId: row.root_run_id,
    parentRunId: row.parent_run_id,
    retryOf: row.retry_of,
    group: null,
    fire: null,
    alone: false,
  };
}

function json(value: JsonValue): string | null {
  return value === null ? null : JSON.stringify(value);
}
