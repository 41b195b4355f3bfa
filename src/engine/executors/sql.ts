// A SQL run: its effects and its closing row commit together, so that a crash leaves both or neither. The run's own transaction
// takes its row out of the open set (exactly one row, or it rolls back): that is the fence against doubles and zombies.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import type { Instant } from '../../core/instant.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import { factsOf } from '../../parser/facts.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Execution } from '../../scheduler/ports.ts';
import type { Counters, OpenRun, Outcome } from '../../scheduler/run.ts';
import type { Schedule } from '../../scheduler/schedule.ts';
import { bodyStatements } from '../bind/body.ts';
import { callOf } from '../calls.ts';
import { type Environment, environmentValue, withEnvironment } from '../environment.ts';
import { uniqueNames } from '../result.ts';
import type { Procedure } from '../routine.ts';
import { Catalogue } from '../store/duckdb/catalogue.ts';
import { type Connection, Typed } from '../store/duckdb/connection.ts';
import { rememberTransaction } from '../store/duckdb/fence.ts';
import { literal } from '../store/duckdb/literal.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import { jsonOf, TimestampTz, toParameter, type Value } from '../value.ts';
import { Deadline, type Stopped } from './deadline.ts';
import { type Bindings, callProcedure, type Expression, evaluate, runStatements, type StatementsResult, used } from './statements.ts';

/** What a run's own values are made of. */
export interface RunValues {
  readonly run: OpenRun;
  readonly schedule: Schedule;
  readonly counters: Counters;
  /** The cadence's fire before this one. */
  readonly previousAt: Instant | null;
  /** The schedule's zone: what `current_date` and a date made of `$scheduled_at` mean in the body. */
  readonly zone: string;
  readonly environment: Environment;
}

export interface SqlRun extends RunValues {
  /** undefined for `exe: sql`. */
  readonly procedure: Procedure | undefined;
  readonly timeoutMs: number | null;
  readonly resultRows: number;
  /** How its own transaction closes it; undefined: rolled back at the end, and nothing is closed. */
  readonly ending: Ending | undefined;
  /** Held after two conflicts, so that a long run is not beaten for ever by short ones. */
  locked<T>(work: () => Promise<T>): Promise<T>;
}

export interface Ending {
  /** A durable start, before effects that lie outside the database. */
  begin(): Promise<void>;
  /**
   * Takes the run out of the open set, or marks it, and commits the transaction that is open. fenced: nothing was sent that could
   * commit. `onSend` is told what COMMIT will have done, just before it is sent.
   */
  commit(
    connection: Connection,
    outcome: Outcome,
    isGuarded: boolean,
    onSend: (how: 'removed' | 'marked') => void,
  ): Promise<'removed' | 'marked' | 'fenced'>;
  /** After a COMMIT that answered an error, which proves nothing: what the ledger says. */
  fate(): Promise<'open' | 'removed' | 'marked'>;
}

/** Somebody who holds the same rows for longer than this is waited for no more. */
const conflictPatienceMs = 60_000;
const longestPauseMs = 500;

export async function executeSql(connection: Connection, sql: Sql, job: SqlRun, clock: Clock, signal: AbortSignal): Promise<Execution> {
  const deadline = new Deadline(job.timeoutMs, clock, signal);
  const since = clock.monotonicMs();
  let conflicts = 0;
  const tryAgain = async (): Promise<Execution> => {
    for (;;) {
      const { effects, ...answer } = await attempt(connection, sql, job, deadline, conflicts);
      const again = answer.outcome.error?.code === 'conflict' && answer.closed === 'no' && effects !== 'apart';
      if (!again || deadline.signal.aborted || clock.monotonicMs() - since > conflictPatienceMs) return answer;
      conflicts += 1;
      // Somebody else wrote the same rows first: the whole attempt is tried again, a little later each time.
      await clock.sleep(Math.min((5 + Math.random() * 20) * 2 ** conflicts, longestPauseMs * (0.5 + Math.random())));
      if (conflicts === 2) return job.locked(tryAgain);
    }
  };
  try {
    return await tryAgain();
  } finally {
    deadline.disarm();
  }
}

async function attempt(
  connection: Connection,
  sql: Sql,
  job: SqlRun,
  deadline: Deadline,
  conflicts: number,
): Promise<Execution & { readonly effects: Effects }> {
  const { ending } = job;
  let guarantee: Guarantee = 'exactly_once';
  let effects: Effects = 'inside';
  let outcome: Outcome | undefined;
  let sent: 'removed' | 'marked' | undefined;
  try {
    effects = await effectsOf(connection, sql, job);
    if (effects !== 'inside') {
      guarantee = 'at_least_once';
      await ending?.begin();
    }
    const zone = `SET TimeZone = ${literal(job.zone)}`;
    if (effects === 'apart') await connection.send(zone, 'none');
    else await connection.send(`${zone}; BEGIN; ${rememberTransaction}`, 'open');
    const answer = await perform(connection.until(deadline.signal), sql, job);
    outcome = succeeded(answer, job, conflicts, guarantee);
    // From here on an interrupt could hit the COMMIT, and an error from COMMIT proves nothing.
    if (!deadline.hold()) throw new Diagnostic('cancelled', 'stopped before it was committed');
    if (ending === undefined) {
      await connection.rollback();
      return { outcome, closed: 'no', effects };
    }
    if (effects === 'apart') await connection.send('BEGIN', 'open');
    const closed = await ending.commit(connection, outcome, effects !== 'apart', (how) => {
      sent = how;
    });
    if (closed !== 'fenced') return { outcome, closed, effects };
    await connection.rollback();
    return { outcome: failed(fenced(job.run), undefined, job, conflicts, guarantee), closed, effects };
  } catch (error) {
    await connection.rollback();
    if (sent !== undefined && outcome !== undefined && ending !== undefined) {
      const fate = await ending.fate();
      if (fate !== 'open') return { outcome, closed: fate, effects };
    }
    return { outcome: failed(error, deadline.reason, job, conflicts, guarantee), closed: 'no', effects };
  } finally {
    deadline.goOn();
  }
}

type Effects = 'inside' | 'outside' | 'apart';
type Guarantee = 'exactly_once' | 'at_least_once';

/**
 * Where a run's effects go. `inside`: into this database, in one transaction with the closing row. `outside`: a file is written
 * beside it, which no rollback takes back. `apart`: the statements commit by themselves, because the procedure wants it so or
 * because a transaction of DuckDB writes to one database only.
 */
async function effectsOf(connection: Connection, sql: Sql, job: SqlRun): Promise<Effects> {
  if (job.procedure?.atomic === false) return 'apart';
  const texts = await textsOf(job, new Catalogue(connection, sql), new Set());
  const acts = texts.flatMap((text) => factsOf(text).acts);
  const targets = acts.flatMap((act) => (act.kind === 'write' || act.kind === 'object' ? [act.target] : []));
  if (targets.some((target) => target.length > 1)) {
    const attached = await connection.all<{ name: string }>(
      'SELECT database_name AS name FROM duckdb_databases() WHERE NOT internal AND database_name <> $main',
      { main: sql.database },
    );
    const names = new Set(attached.map((row) => row.name.toLowerCase()));
    if (targets.some((target) => target.length > 1 && names.has((target[0] ?? '').toLowerCase()))) return 'apart';
  }
  return acts.some((act) => act.kind === 'copyTo') ? 'outside' : 'inside';
}

/** The statements of a run, and of the procedures that it calls. */
async function textsOf(job: Pick<SqlRun, 'procedure' | 'schedule'>, catalogue: Catalogue, seen: Set<string>): Promise<string[]> {
  const { procedure } = job;
  const texts =
    procedure === undefined
      ? bodyStatements(String(job.schedule.target.call)).map((statement) => statement.text)
      : procedure.body.language === 'sql'
        ? procedure.body.statements.map((statement) => statement.text)
        : [];
  const called: string[] = [];
  for (const text of texts) {
    const parsed = callOf(text);
    if (parsed === undefined || seen.has(parsed.name.text.toLowerCase())) continue;
    seen.add(parsed.name.text.toLowerCase());
    const stored = await catalogue.routine(parsed.name.text);
    if (stored?.routine.kind === 'procedure') called.push(...(await textsOf({ ...job, procedure: stored.routine }, catalogue, seen)));
  }
  return [...texts, ...called];
}

async function perform(connection: Connection, sql: Sql, job: SqlRun): Promise<StatementsResult> {
  const catalogue = new Catalogue(connection, sql);
  const scope = { connection, catalogue, sql, calls: [] };
  const bindings = await bindRun(connection, job);
  if (job.procedure !== undefined) return callProcedure(job.procedure, bindings, scope);
  const text = String(job.schedule.target.call);
  return runStatements(`schedule ${job.schedule.name}`, text, bodyStatements(text), bindings, scope);
}

/** The first value of a schedule's `when`, which knows what the run will know; undefined where it answers no row. A question changes nothing. */
export async function readCondition(connection: Connection, condition: string, values: RunValues): Promise<Value | undefined> {
  await connection.send(`SET TimeZone = ${literal(values.zone)}; BEGIN`, 'open');
  try {
    const bindings = await bindRun(connection, { ...values, procedure: undefined });
    return (await connection.table(condition, used(condition, bindings))).rows[0]?.[0];
  } finally {
    await connection.rollback();
  }
}

/** The values every run has, then the schedule's parameters, each of its procedure's type. */
async function bindRun(connection: Connection, job: RunValues & Pick<SqlRun, 'procedure'>): Promise<Bindings> {
  const { run, schedule, procedure } = job;
  const instant = (at: Instant | null): Typed =>
    new Typed({ value: at === null ? null : TimestampTz.fromEpochMs(at), type: { kind: 'TIMESTAMPTZ' } });
  const own: Bindings = new Map<string, Typed>([
    ['run_id', typed(run.runId)],
    ['schedule', typed(run.schedule)],
    ['scheduled_at', instant(run.scheduledAt)],
    ['previous_at', instant(job.previousAt)],
    ['attempt', typed(run.attempt)],
    ['last_success_at', instant(job.counters.lastSuccessAt)],
    ['parent_run_id', new Typed({ value: run.parentRunId, type: { kind: 'VARCHAR' } })],
  ]);
  const bindings = new Map(own);
  const expressions = new Map<string, Expression>();
  const names = new Set([...Object.keys(schedule.params), ...Object.keys(run.params)]);
  for (const name of names) {
    const over = run.params[name];
    const parameter = over === undefined ? schedule.params[name] : ({ kind: 'literal', value: over } as const);
    const target = procedure?.parameters.find((known) => known.name.toLowerCase() === name.toLowerCase())?.name ?? name;
    switch (parameter?.kind) {
      case 'literal': {
        const value = withEnvironment(parameter.value, job.environment, name);
        const nested = value !== null && typeof value === 'object';
        // A typed parameter takes a nested value from JSON, which casts to every nested type, MAP included.
        bindings.set(target.toLowerCase(), procedure !== undefined && nested ? typed(JSON.stringify(value)) : naturalValue(value));
        expressions.set(target, { text: nested ? `$${target}::JSON` : `$${target}` });
        break;
      }
      case 'env':
        bindings.set(target.toLowerCase(), typed(environmentValue(parameter.name, job.environment, name)));
        expressions.set(target, { text: `$${target}` });
        break;
      case 'sql': {
        bindings.set(target.toLowerCase(), await evaluated(connection, name, parameter.text, own));
        expressions.set(target, { text: `$${target}` });
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

/** What `sql('..')` comes to. It may name what every run has: so a follower reads what its parent answered. */
async function evaluated(connection: Connection, name: string, expression: string, own: Bindings): Promise<Typed> {
  try {
    const { columns, rows } = await connection.table(`SELECT (${expression}\n)`, used(expression, own));
    return new Typed({ value: rows[0]?.[0] ?? null, type: columns[0]?.type ?? { kind: 'NULL' } });
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    throw new Diagnostic(error.code, `parameter ${name}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function typed(value: unknown): Typed {
  return new Typed(toParameter(value));
}

/** A list as LIST, an object as STRUCT; what has no such type (an empty object, a list of unlike items) as JSON. */
function naturalValue(value: JsonValue): Typed {
  try {
    return typed(value);
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    return new Typed({ value: JSON.stringify(value), type: { kind: 'JSON' } });
  }
}

function succeeded(answer: StatementsResult, job: SqlRun, conflicts: number, guarantee: Guarantee): Outcome {
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
    guarantee,
    conflicts,
  };
}

function failed(error: unknown, stopped: Stopped | undefined, job: SqlRun, conflicts: number, guarantee: Guarantee): Outcome {
  const diagnostic =
    error instanceof Diagnostic
      ? error
      : new Diagnostic('internal', error instanceof Error ? error.message : String(error), { cause: error });
  const common = { result: null, rowsChanged: null, guarantee, conflicts } as const;
  if (stopped?.kind === 'timed_out') {
    const message = `it ran longer than its timeout of ${formatDuration(job.timeoutMs ?? 0)}`;
    return { ...common, state: 'timed_out', reason: message, error: { code: 'timed_out', message, detail: null } };
  }
  if (stopped?.kind === 'cancelled') return { ...common, state: 'cancelled', reason: stopped.reason, error: null };
  if (stopped?.kind === 'shutdown') return { ...common, state: 'interrupted', reason: 'the scheduler stopped', error: null };
  const detail = diagnostic.hint === undefined ? null : { hint: diagnostic.hint };
  return { ...common, state: 'failed', reason: diagnostic.message, error: { code: diagnostic.code, message: diagnostic.message, detail } };
}

function fenced(run: OpenRun): Diagnostic {
  return new Diagnostic('fenced', `run ${run.runId} has been closed by somebody else; what this attempt did was rolled back`);
}
