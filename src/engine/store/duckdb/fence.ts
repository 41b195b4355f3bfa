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

export interface Committing {
  /** Its transaction was remembered. */
  readonly isGuarded: boolean;
  /** Something follows: a mark takes the place of the open row. */
  readonly marks: boolean;
  /** What COMMIT will have done, told just before it is sent. */
  onSend(how: 'removed' | 'marked'): void;
}

/**
 * Takes the run's open row away, or marks it, writes its closing row, and commits. fenced: the row was not there, because somebody
 * else has closed the run, or the transaction is not the one that the run began with, because its body has committed by a way we
 * do not know. Nothing has been written then, and the caller rolls back.
 *
 * Two texts, because the second must not be sent where the first took nothing. COMMIT is reached only when the closing row stands:
 * of a text DuckDB runs no statement behind one that failed.
 *
 * A mark is a row of its own. DuckDB 1.5.6 lets an UPDATE and a DELETE of one row commit side by side, so that a run whose row was
 * only updated could be closed by CANCEL RUN at the same moment; two DELETEs exclude each other.
 */
export async function commitClosed(
  connection: Connection,
  sql: Sql,
  closing: Closing,
  { isGuarded, marks, onSend }: Committing,
): Promise<'removed' | 'marked' | 'fenced'> {
  const own = ledgerSql(sql.ledger);
  const { runId } = closing.run;
  const how = marks ? 'marked' : 'removed';
  const take = own.takeOpen([runId]);
  const taken = await connection.send(isGuarded ? `${take} AND ${isRemembered}` : take, 'open');
  if (taken !== 1) return 'fenced';
  onSend(how);
  const mark = marks ? [insertText(own.openRunTable, markedRunColumns, [closing.run])] : [];
  await connection.send([...mark, insertText(own.closedTable, closedColumns, [closing]), 'COMMIT'].join('; '), 'none');
  return how;
}

/**
 * Writes the rows of steps of one run and commits with them what they have done. fenced: the run is open no more, or the transaction
 * is not the one that they began with. The run's own row is only looked at: steps that commit side by side must not change it.
 */
export async function commitSteps(
  connection: Connection,
  sql: Sql,
  steps: readonly StepRun[],
  { isGuarded, onSend }: Pick<Committing, 'isGuarded' | 'onSend'>,
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
