// A SQL run: its effects and its closing row commit together. The run's own transaction takes its row out of the open set (exactly
// one row, or it rolls back): that is the fence against doubles and zombies.

import type { Clock } from '../../scheduler/clock.ts';
import type { Execution } from '../../scheduler/ports.ts';
import { bodyStatements } from '../bind/body.ts';
import type { BodyStatement, Procedure } from '../routine.ts';
import { Catalogue } from '../store/duckdb/catalogue.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import type { RunEnding } from './ending.ts';
import { keepsOf, rowsResult } from './runResult.ts';
import { bindRun, type RunValues } from './runValues.ts';
import { callProcedure, runStatements, type StatementsResult } from './statements.ts';
import { type Effects, effectsByItself, effectsOf, executeTransaction, type Performed, withCalled } from './transaction.ts';

export interface SqlRun extends RunValues {
  /** undefined for `exe: sql`. */
  readonly procedure: Procedure | undefined;
  readonly timeoutMs: number | null;
  /** Of that, by its condition. */
  readonly spentMs: number;
  readonly resultRows: number;
  /** undefined: rolled back at the end, and nothing is closed. */
  readonly ending: RunEnding | undefined;
  /** Told how long its statements took. */
  took?(ms: number): void;
  /** Held after two conflicts. */
  locked<T>(work: () => Promise<T>): Promise<T>;
}

export function executeSql(connection: Connection, sql: Sql, job: SqlRun, clock: Clock, signal: AbortSignal): Promise<Execution> {
  const work = {
    run: job.run,
    zone: job.zone,
    timeoutMs: job.timeoutMs,
    spentMs: job.spentMs,
    ending: job.ending,
    locked: job.locked,
    effects: async (own: Connection): Promise<Effects> => {
      if (job.procedure?.atomic === false) return effectsByItself;
      return effectsOf(await withCalled(statementsOf(job), new Catalogue(own, sql)), own, sql.database);
    },
    perform: async (own: Connection): Promise<Performed> => {
      const since = clock.monotonicMs();
      const performed = await performSql(own, sql, job);
      job.took?.(clock.monotonicMs() - since);
      return performed;
    },
  };
  return executeTransaction(connection, work, clock, signal);
}

function statementsOf({ procedure, schedule }: SqlRun): readonly BodyStatement[] {
  if (procedure === undefined) return bodyStatements(String(schedule.target.call));
  return procedure.body.language === 'sql' ? procedure.body.statements : [];
}

/** Inside the transaction that is open on the connection. */
export async function performSql(connection: Connection, sql: Sql, job: SqlRun): Promise<Performed> {
  const answer = await carryOut(connection, sql, job);
  const { result, note } = rowsResult(answer, job.resultRows);
  return {
    result,
    rowsChanged: answer.rowsChanged.reduce((sum, count) => sum + count, 0),
    rowsByStatement: answer.rowsChanged,
    notes: note === undefined ? [] : [note],
  };
}

async function carryOut(connection: Connection, sql: Sql, job: SqlRun): Promise<StatementsResult> {
  const catalogue = new Catalogue(connection, sql);
  const scope = { connection, catalogue, sql, calls: [], keeps: keepsOf(job.resultRows) };
  const bindings = await bindRun(connection, job, job.procedure);
  if (job.procedure !== undefined) return callProcedure(job.procedure, bindings, scope);
  const text = String(job.schedule.target.call);
  return runStatements(`schedule ${job.schedule.name}`, text, bodyStatements(text), bindings, scope);
}
