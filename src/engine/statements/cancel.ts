// CANCEL RUN 'id' and CANCEL RUNS WHERE ..: what waits is closed at once, what runs is asked to end.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { CancelRunsStatement, RunIdStatement } from '../../parser/ast.ts';
import type { FinishedRun, OpenRun } from '../../scheduler/run.ts';
import type { Result } from '../result.ts';
import { openRunOf } from '../store/duckdb/ledgerRows.ts';
import { runSql } from '../store/duckdb/runSql.ts';
import type { StatementContext } from './context.ts';
import { listQuery } from './list.ts';
import { eachRun, findAttempts } from './runs.ts';

/** What runs may take so long to end before the answer is that it has been asked to. */
const patienceMs = 10_000;

export async function cancelRun(statement: RunIdStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const { named } = await findAttempts(statement.run, context);
  if ('run' in named) {
    const { runId } = named.run;
    throw new Diagnostic('invalid_value', `the run has ended already: ${named.state.replace('_', ' ')}`, {
      span: statement.run.span,
      hint: `EXPLAIN RUN '${runId}'; tells how it went`,
    });
  }
  return cancelled('CANCEL RUN', await cancel([named], context, signal));
}

export async function cancelRuns(statement: CancelRunsStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const runs = await context.engine.admission.run('session', () => openRunsWhere(statement, context));
  return cancelled('CANCEL RUNS', await cancel(runs, context, signal));
}

/** The condition is read as LIST RUNS WHERE .. reads it; runs that have ended are not looked at. */
async function openRunsWhere({ where, span }: CancelRunsStatement, context: StatementContext): Promise<OpenRun[]> {
  const list = { kind: 'list', relation: 'runs', where, span, ambiguous: false } as const;
  const query = listQuery({ ...list, like: undefined, orderBy: undefined, limit: undefined, offset: undefined }, context.sql.cron);
  const before = 'SELECT run_id FROM (';
  let ids: string[];
  try {
    const { rows } = await context.connection.table(`${before}${query.text}) WHERE finished_at IS NULL`);
    ids = rows.map(([id]) => String(id));
  } catch (error) {
    throw error instanceof Diagnostic ? query.place(error.movedBy((index) => index - before.length)) : error;
  }
  if (ids.length === 0) return [];
  return (await context.connection.table(runSql(context.sql.ledger).openRuns(ids))).rows.map(openRunOf);
}

interface Cancelled {
  readonly run: OpenRun;
  readonly outcome: string;
}

async function cancel(runs: readonly OpenRun[], context: StatementContext, signal: AbortSignal): Promise<Cancelled[]> {
  const { scheduler, clock } = context.engine;
  const ends = new Map<string, Promise<FinishedRun>>();
  for (const { runId } of runs) if (scheduler.running(runId) !== undefined) ends.set(runId, scheduler.finished(runId));
  const were = await scheduler.cancelAll(runs, `cancelled by ${context.actor}`);
  const closedBefore = runs.filter((_, index) => were[index] === false).map((run) => run.runId);
  const states = await statesOf(closedBefore, context);
  const patience = new Promise<undefined>((resolve) => {
    const timer = clock.after(ends.size === 0 ? 0 : patienceMs, () => resolve(undefined), { keepsProcessAlive: false });
    const stop = (): void => {
      timer.cancel();
      resolve(undefined);
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    void Promise.all(ends.values()).then(stop);
  });
  return Promise.all(
    runs.map(async (run) => {
      const ended = await Promise.race([ends.get(run.runId), patience]);
      if (ended !== undefined) return { run, outcome: ended.state };
      return { run, outcome: states.get(run.runId) ?? (ends.has(run.runId) ? 'cancelling' : 'cancelled') };
    }),
  );
}

async function statesOf(runIds: readonly string[], context: StatementContext): Promise<Map<string, string>> {
  if (runIds.length === 0) return new Map();
  const { rows } = await context.connection.table(runSql(context.sql.ledger).states(runIds));
  return new Map(rows.map(([id, state]) => [String(id), String(state)]));
}

function cancelled(tag: string, runs: readonly Cancelled[]): Result {
  return eachRun(
    tag,
    runs.map(({ run, outcome }) => [run, outcome]),
    'no open run is like that',
  );
}
