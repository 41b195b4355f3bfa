// A SQL run: its effects and its closing row commit together, so that a crash leaves both or neither. The run's own transaction
// takes its row out of the open set (exactly one row, or it rolls back): that is the fence against doubles and zombies.

import { Diagnostic } from '../../core/diagnostic.ts';
import { factsOf } from '../../parser/facts.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Execution } from '../../scheduler/ports.ts';
import type { OpenRun, Outcome } from '../../scheduler/run.ts';
import { bodyStatements } from '../bind/body.ts';
import { callOf } from '../calls.ts';
import type { Procedure } from '../routine.ts';
import { Catalogue } from '../store/duckdb/catalogue.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { rememberTransaction } from '../store/duckdb/fence.ts';
import { literal } from '../store/duckdb/literal.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import { Deadline } from './deadline.ts';
import type { Ending } from './ending.ts';
import { failedOutcome } from './outcome.ts';
import { rowsResult } from './runResult.ts';
import { bindRun, type RunValues } from './runValues.ts';
import { callProcedure, runStatements, type StatementsResult } from './statements.ts';

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
    return {
      outcome: failedOutcome(fenced(job.run), { stopped: undefined, timeoutMs: job.timeoutMs, conflicts, guarantee }),
      closed,
      effects,
    };
  } catch (error) {
    await connection.rollback();
    if (sent !== undefined && outcome !== undefined && ending !== undefined) {
      const fate = await ending.fate();
      if (fate !== 'open') return { outcome, closed: fate, effects };
    }
    return {
      outcome: failedOutcome(error, { stopped: deadline.reason, timeoutMs: job.timeoutMs, conflicts, guarantee }),
      closed: 'no',
      effects,
    };
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
  const bindings = await bindRun(connection, job, job.procedure);
  if (job.procedure !== undefined) return callProcedure(job.procedure, bindings, scope);
  const text = String(job.schedule.target.call);
  return runStatements(`schedule ${job.schedule.name}`, text, bodyStatements(text), bindings, scope);
}

function succeeded(answer: StatementsResult, job: SqlRun, conflicts: number, guarantee: Guarantee): Outcome {
  const { result, note } = rowsResult(answer.columns, answer.rows, job.resultRows);
  return {
    state: 'succeeded',
    reason: null,
    result,
    rowsChanged: answer.rowsChanged.reduce((sum, count) => sum + count, 0),
    rowsByStatement: answer.rowsChanged,
    error: null,
    guarantee,
    conflicts,
    notes: note === undefined ? [] : [note],
  };
}

function fenced(run: OpenRun): Diagnostic {
  return new Diagnostic('fenced', `run ${run.runId} has been closed by somebody else; what this attempt did was rolled back`);
}
