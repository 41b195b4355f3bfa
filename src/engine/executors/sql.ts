// A SQL run: its effects and its closing row commit together, so that a crash leaves both or neither. The run's own transaction
// takes its row out of the open set (exactly one row, or it rolls back): that is the fence against doubles and zombies.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { Clock } from '../../scheduler/clock.ts';
import { type Counters, countersAfter, type OpenRun, type Outcome } from '../../scheduler/run.ts';
import type { Schedule } from '../../scheduler/schedule.ts';
import { bodyStatements } from '../bind/body.ts';
import { uniqueNames } from '../result.ts';
import type { Procedure } from '../routine.ts';
import { Catalogue } from '../store/duckdb/catalogue.ts';
import { type Connection, Typed } from '../store/duckdb/connection.ts';
import { Ledger } from '../store/duckdb/ledger.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import { jsonOf, TimestampTz, toParameter } from '../value.ts';
import { type Bindings, callProcedure, evaluate, runStatements, type StatementsResult } from './statements.ts';

export interface SqlRun {
  readonly run: OpenRun;
  readonly schedule: Schedule;
  /** undefined for `exe: sql`. */
  readonly procedure: Procedure | undefined;
  readonly counters: Counters;
  readonly startedAt: Instant;
  /** The cadence's fire before this one. */
  readonly previousAt: Instant | null;
  readonly timeoutMs: number | null;
  readonly resultRows: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Roll back at the end, and close nothing. */
  readonly dryRun: boolean;
}

/** What came of a run, and whether its own transaction has closed it. */
export interface SqlOutcome {
  readonly outcome: Outcome;
  readonly closed: boolean;
}

const mostConflicts = 5;

export async function executeSql(connection: Connection, sql: Sql, job: SqlRun, clock: Clock, signal: AbortSignal): Promise<SqlOutcome> {
  for (let conflicts = 0; ; conflicts++) {
    const answer = await attempt(connection, sql, job, clock, signal, conflicts);
    if (!isConflict(answer) || conflicts >= mostConflicts || signal.aborted) return answer;
    // Somebody else wrote the same rows first: the whole attempt is tried again, a little later each time.
    await clock.sleep((5 + Math.random() * 20) * 2 ** conflicts);
  }
}

function isConflict({ outcome, closed }: SqlOutcome): boolean {
  return !closed && outcome.error?.code === 'conflict';
}

async function attempt(
  connection: Connection,
  sql: Sql,
  job: SqlRun,
  clock: Clock,
  signal: AbortSignal,
  conflicts: number,
): Promise<SqlOutcome> {
  const { run } = job;
  const deadline = new Deadline(connection, job.timeoutMs, clock, signal);
  const ledger = new Ledger(connection, sql);
  try {
    await connection.native.run('BEGIN', { leaves: 'open' });
    const transactionId = await ledger.transactionId();
    const answer = await perform(connection, sql, job);
    const outcome = succeeded(answer, job, conflicts);
    // From here on an interrupt could hit the COMMIT, and an error from COMMIT proves nothing.
    await deadline.disarm();
    if (deadline.reason !== undefined) throw new Diagnostic(deadline.reason, 'stopped before it was committed');
    if (job.dryRun) {
      await connection.rollback();
      return { outcome, closed: true };
    }
    const counters = countersAfter(job.counters, 'succeeded', true, run.scheduledAt);
    const closing = {
      run,
      startedAt: job.startedAt,
      finishedAt: clock.now(),
      state: 'succeeded',
      reason: null,
      final: true,
      outcome,
      counters,
    } as const;
    if (!(await ledger.close(closing, transactionId))) throw fenced(run);
    await connection.native.run('COMMIT', { leaves: 'none' });
    return { outcome, closed: true };
  } catch (error) {
    await deadline.disarm();
    await connection.rollback();
    return { outcome: failed(error, deadline.reason, job, conflicts), closed: false };
  }
}

async function perform(connection: Connection, sql: Sql, job: SqlRun): Promise<StatementsResult> {
  const catalogue = new Catalogue(connection, sql);
  const scope = { connection, catalogue, sql, calls: [] };
  const bindings = await bindRun(connection, job);
  if (job.procedure !== undefined) return callProcedure(job.procedure, bindings, scope);
  const text = String(job.schedule.target.call);
  return runStatements(`schedule ${job.schedule.name}`, text, bodyStatements(text), bindings, scope);
}

/** The values every run has, then the schedule's parameters, each of its procedure's type. */
async function bindRun(connection: Connection, job: SqlRun): Promise<Bindings> {
  const { run, schedule, procedure } = job;
  const instant = (at: Instant | null): Typed =>
    new Typed({ value: at === null ? null : TimestampTz.fromEpochMs(at), type: { kind: 'TIMESTAMPTZ' } });
  const bindings = new Map<string, Typed>([
    ['run_id', typed(run.runId)],
    ['schedule', typed(run.schedule)],
    ['scheduled_at', instant(run.scheduledAt)],
    ['previous_at', instant(job.previousAt)],
    ['attempt', typed(run.attempt)],
    ['last_success_at', instant(job.counters.lastSuccessAt)],
    ['parent_run_id', new Typed({ value: run.parentRunId, type: { kind: 'VARCHAR' } })],
  ]);
  const expressions = new Map<string, string>();
  const names = new Set([...Object.keys(schedule.params), ...Object.keys(run.params)]);
  for (const name of names) {
    const over = run.params[name];
    const parameter = over === undefined ? schedule.params[name] : ({ kind: 'literal', value: over } as const);
    const target = procedure?.parameters.find((known) => known.name.toLowerCase() === name.toLowerCase())?.name ?? name;
    switch (parameter?.kind) {
      case 'literal':
        bindings.set(target.toLowerCase(), literalValue(parameter.value));
        expressions.set(target, `$${target}`);
        break;
      case 'env': {
        const value = job.environment[parameter.name];
        if (value === undefined) {
          throw new Diagnostic('undefined_parameter', `the environment variable ${parameter.name} is not set`, {
            hint: `it is wanted for ${name}`,
          });
        }
        bindings.set(target.toLowerCase(), typed(value));
        expressions.set(target, `$${target}`);
        break;
      }
      case 'sql': {
        const { columns, rows } = await connection.table(`SELECT (${parameter.text}\n)`);
        bindings.set(target.toLowerCase(), new Typed({ value: rows[0]?.[0] ?? null, type: columns[0]?.type ?? { kind: 'NULL' } }));
        expressions.set(target, `$${target}`);
        break;
      }
      case undefined:
        break;
      default:
        parameter satisfies never;
    }
  }
  return procedure === undefined ? bindings : evaluate(procedure, expressions, bindings, connection);
}

function typed(value: unknown): Typed {
  return new Typed(toParameter(value));
}

/** Lists and objects travel as JSON text, which casts to any nested type; the rest as what it is. */
function literalValue(value: JsonValue): Typed {
  if (value !== null && typeof value === 'object') return new Typed({ value: JSON.stringify(value), type: { kind: 'JSON' } });
  return typed(value);
}

/** Ends the statement at work when time is up or somebody says stop, and not a moment after COMMIT was sent. */
class Deadline {
  reason: 'timed_out' | 'cancelled' | undefined;
  #stop: (() => void) | undefined;
  #interrupting: Promise<void> = Promise.resolve();

  constructor(connection: Connection, timeoutMs: number | null, clock: Clock, signal: AbortSignal) {
    const end = (reason: 'timed_out' | 'cancelled'): void => {
      if (this.#stop === undefined) return;
      this.reason ??= reason;
      this.#interrupting = connection.native.interrupt();
    };
    const onAbort = (): void => end('cancelled');
    const timer = timeoutMs === null ? undefined : clock.after(timeoutMs, () => end('timed_out'));
    signal.addEventListener('abort', onAbort);
    this.#stop = () => {
      timer?.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) onAbort();
  }

  /** Safe to call twice. Afterwards `reason` does not change any more. */
  async disarm(): Promise<void> {
    this.#stop?.();
    this.#stop = undefined;
    await this.#interrupting;
  }
}

function succeeded(answer: StatementsResult, job: SqlRun, conflicts: number): Outcome {
  const names = uniqueNames(answer.columns.map((column) => column.name));
  const rows = answer.rows
    .slice(0, job.resultRows)
    .map((row) => Object.fromEntries(answer.columns.map((column, at) => [names[at] ?? column.name, jsonOf(row[at] ?? null, column.type)])));
  return {
    state: 'succeeded',
    reason: null,
    result: rows.length === 0 ? null : rows,
    rowsChanged: answer.rowsChanged.reduce((sum, count) => sum + count, 0),
    error: null,
    guarantee: 'exactly_once',
    conflicts,
  };
}

function failed(error: unknown, stopped: 'timed_out' | 'cancelled' | undefined, job: SqlRun, conflicts: number): Outcome {
  const diagnostic =
    error instanceof Diagnostic
      ? error
      : new Diagnostic('internal', error instanceof Error ? error.message : String(error), { cause: error });
  const common = { result: null, rowsChanged: null, guarantee: 'exactly_once', conflicts } as const;
  if (stopped === 'timed_out') {
    const message = `it ran longer than its timeout of ${job.timeoutMs} ms`;
    return { ...common, state: 'timed_out', reason: message, error: { code: 'timed_out', message, detail: null } };
  }
  if (stopped === 'cancelled') return { ...common, state: 'cancelled', reason: 'cancelled', error: null };
  const detail = diagnostic.hint === undefined ? null : { hint: diagnostic.hint };
  return { ...common, state: 'failed', reason: diagnostic.message, error: { code: diagnostic.code, message: diagnostic.message, detail } };
}

function fenced(run: OpenRun): Diagnostic {
  return new Diagnostic('fenced', `run ${run.runId} has been closed by somebody else; what this attempt did was rolled back`);
}
