// What takes runs out of the open set inside a transaction that is somebody else's: a run's own, which closes the run with its
// effects, or a session's, which drops a schedule. Who begins and commits it decides the caller.

import type { Instant } from '../../../core/instant.ts';
import type { StepRun } from '../../../scheduler/pipeline.ts';
import { type Closing, type Counters, noCounters, type OpenRun } from '../../../scheduler/run.ts';
import type { Connection } from './connection.ts';
import { closedColumns, countersOf as countersIn, insertText, markedRunColumns, openRunColumns, openRunOf } from './ledgerRows.ts';
import { ledgerSql } from './ledgerSql.ts';
import type { Sql } from './sql.ts';
import { stepSql } from './stepRows.ts';

/** Sent right behind BEGIN: which transaction the run's own is. */
export const rememberTransaction = 'SET VARIABLE cuckoo_transaction = txid_current()';
const isRemembered = "txid_current() = getvariable('cuckoo_transaction')";

export type HowClosed = 'removed' | 'marked';

export interface Committing {
  /** Its transaction was remembered. */
  readonly isGuarded: boolean;
  /** What COMMIT will have done, told just before it is sent. */
  onSend(how: HowClosed): void;
}

/** A run that ends, and whether something follows: then a mark takes the place of its open row. */
export interface ClosedRun {
  readonly closing: Closing;
  readonly marks: boolean;
}

export function howClosed({ marks }: { readonly marks: boolean }): HowClosed {
  return marks ? 'marked' : 'removed';
}

/** As `commitAllClosed`, for one. */
export async function commitClosed(
  connection: Connection,
  sql: Sql,
  closing: Closing,
  { isGuarded, marks, onSend }: Committing & Pick<ClosedRun, 'marks'>,
): Promise<HowClosed | 'fenced'> {
  const how = howClosed({ marks });
  const answer = await commitAllClosed(connection, sql, [{ closing, marks }], { isGuarded, onSend: () => onSend(how) });
  return answer === 'fenced' ? answer : how;
}

/**
 * Takes the open rows of runs away, or marks them, writes their closing rows, and commits. fenced: one of the rows was not there,
 * because somebody else has closed its run, or the transaction is not the one that the runs began with, because a body has committed by
 * a way we do not know. Nothing has been written then, and the caller rolls back.
 *
 * Two texts, because the second must not be sent where the first took less. COMMIT is reached only when the closing rows stand:
 * of a text DuckDB runs no statement behind one that failed.
 *
 * A mark is a row of its own. DuckDB 1.5.6 lets an UPDATE and a DELETE of one row commit side by side, so that a run whose row was
 * only updated could be closed by CANCEL RUN at the same moment; two DELETEs exclude each other.
 */
export async function commitAllClosed(
  connection: Connection,
  sql: Sql,
  runs: readonly ClosedRun[],
  { isGuarded, onSend }: { readonly isGuarded: boolean; onSend(): void },
): Promise<'closed' | 'fenced'> {
  const own = ledgerSql(sql.ledger);
  const take = own.takeOpen(runs.map(({ closing }) => closing.run.runId));
  const taken = await connection.send(isGuarded ? `${take} AND ${isRemembered}` : take, 'open');
  if (taken !== runs.length) return 'fenced';
  onSend();
  const marked = runs.flatMap(({ closing, marks }) => (marks ? [closing.run] : []));
  const marks = marked.length === 0 ? [] : [insertText(own.openRunTable, markedRunColumns, marked)];
  const closings = runs.map(({ closing }) => closing);
  await connection.send([...marks, insertText(own.closedTable, closedColumns, closings), 'COMMIT'].join('; '), 'none');
  return 'closed';
}

/**
 * Writes the rows of steps of one run and commits with them what they have done. fenced: the run is open no more, or the transaction
 * is not the one that they began with. The run's own row is only looked at: steps that commit side by side must not change it.
 */
export async function commitSteps(
  connection: Connection,
  sql: Sql,
  steps: readonly StepRun[],
  { isGuarded, onSend }: Committing,
): Promise<'removed' | 'fenced'> {
  const [only, second] = steps;
  const condition = isGuarded ? isRemembered : 'true';
  const own = stepSql(sql.ledger);
  const text = only !== undefined && second === undefined ? own.insertOne(only, condition) : own.insert(steps, condition);
  const written = await connection.send(text, 'open');
  if (written !== steps.length) return 'fenced';
  onSend('removed');
  await connection.send('COMMIT', 'none');
  return 'removed';
}

/** Runs that become open with the transaction that is somebody's. */
export async function openRuns(connection: Connection, sql: Sql, runs: readonly OpenRun[]): Promise<void> {
  if (runs.length > 0) await connection.send(insertText(ledgerSql(sql.ledger).openRunTable, openRunColumns, runs), 'open');
}

export interface Cancelling {
  readonly scheduleId: number;
  readonly reason: string;
  readonly at: Instant;
  /** What runs goes on: it closes itself. */
  isAtWork(runId: string): boolean;
}

/** Closes what waits of a schedule as cancelled, retries that wait for their time too. */
export async function cancelWaiting(connection: Connection, sql: Sql, { scheduleId, reason, at, isAtWork }: Cancelling): Promise<void> {
  const own = ledgerSql(sql.ledger);
  const runs = (await connection.table(own.openRunsOf(scheduleId))).rows.map(openRunOf).filter((run) => !isAtWork(run.runId));
  if (runs.length === 0) return;
  const counters = (await countersOf(connection, sql, scheduleId)) ?? noCounters;
  const ended = {
    startedAt: null,
    finishedAt: at,
    state: 'cancelled',
    reason,
    final: true,
    outcome: null,
    counters,
    waitedFor: null,
  } as const;
  await connection.send(own.takeOpen(runs.map((run) => run.runId)), 'open');
  await connection.send(
    insertText(
      own.closedTable,
      closedColumns,
      runs.map((run): Closing => ({ run, ...ended })),
    ),
    'open',
  );
}

/** Closing rows for what was never opened. */
export async function writeSkipped(connection: Connection, sql: Sql, closings: readonly Closing[]): Promise<void> {
  if (closings.length === 0) return;
  await connection.send(insertText(ledgerSql(sql.ledger).closedTable, closedColumns, closings), 'open');
}

/** What a schedule has come to; undefined where no run of it has closed. */
export async function countersOf(connection: Connection, sql: Sql, scheduleId: number): Promise<Counters | undefined> {
  const [known] = (await connection.table(ledgerSql(sql.ledger).countersOf(scheduleId))).rows;
  return known === undefined ? undefined : countersIn(known);
}
