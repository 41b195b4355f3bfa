// CANCEL RUN 'id' and CANCEL RUNS WHERE ..: what waits is closed at once, what runs is asked to end.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { CancelRunsStatement, RunIdStatement } from '../../parser/ast.ts';
import type { OpenRun } from '../../scheduler/run.ts';
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
  const cancelling = new Cancelling(context);
  await cancelling.cancel([named]);
  return eachRun('CANCEL RUN', await cancelling.outcomes(signal), noneOpen);
}

export async function cancelRuns(statement: CancelRunsStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const { admission, clock } = context.engine;
  const ids = await admission.run('session', () => openRunsWhere(statement, context));
  const cancelling = new Cancelling(context);
  for (let at = 0; at < ids.length && !signal.aborted; at += closedAtOnce) {
    const sql = runSql(context.sql.ledger).openRuns(ids.slice(at, at + closedAtOnce));
    await cancelling.cancel((await context.connection.table(sql)).rows.map(openRunOf));
    await clock.yieldTurn();
  }
  return eachRun('CANCEL RUNS', await cancelling.outcomes(signal), noneOpen);
}

const noneOpen = 'no open run is like that';

/** In one transaction: more would hold up what is due in the meantime. */
const closedAtOnce = 2000;

/** The condition is read as LIST RUNS WHERE .. reads it; runs that have ended are not looked at. */
async function openRunsWhere({ where, span }: CancelRunsStatement, context: StatementContext): Promise<string[]> {
  const list = { kind: 'list', relation: 'runs', where, span, ambiguous: false } as const;
  const query = listQuery({ ...list, like: undefined, orderBy: undefined, limit: undefined, offset: undefined }, context.sql.cron);
  const before = 'SELECT run_id FROM (';
  const [type] = (await context.catalogue.columnTypes(`SELECT (${where.text}\n) FROM ${context.sql.cron}.runs`)) ?? [];
  // DuckDB would take a number for a yes.
  if (type !== undefined && type !== 'BOOLEAN') {
    throw new Diagnostic('wrong_type', `the condition is of type ${type}, and which runs are meant takes true or false`, {
      span: where.span,
      hint: "compare it with something, as in schedule = 'nightly'",
    });
  }
  try {
    const { rows } = await context.connection.table(`${before}${query.text}) WHERE finished_at IS NULL`);
    return rows.map(([id]) => String(id));
  } catch (error) {
    throw error instanceof Diagnostic ? query.place(error.movedBy((index) => index - before.length)) : error;
  }
}

class Cancelling {
  readonly #context: StatementContext;
  readonly #runs = new Map<string, { readonly run: OpenRun; outcome: string }>();
  /** Of those that were at work. */
  readonly #ends = new Map<string, Promise<void>>();

  constructor(context: StatementContext) {
    this.#context = context;
  }

  async cancel(runs: readonly OpenRun[]): Promise<void> {
    const { engine, actor } = this.#context;
    for (const run of runs) this.#runs.set(run.runId, { run, outcome: 'cancelled' });
    this.#awaitEnds(runs);
    const were = await engine.scheduler.cancelAll(runs, `cancelled by ${actor}`);
    // A worker may have taken one in the meantime.
    this.#awaitEnds(runs);
    const closedBefore = runs.filter((_, index) => were[index] === false).map(({ runId }) => runId);
    if (closedBefore.length > 0) await this.#tellStates(closedBefore);
  }

  /** When all have ended, or somebody has had enough. */
  async outcomes(signal: AbortSignal): Promise<(readonly [run: OpenRun, outcome: string])[]> {
    if (this.#ends.size > 0) await this.#patience(signal);
    return [...this.#runs.values()].map(({ run, outcome }) => [run, outcome]);
  }

  #awaitEnds(runs: readonly OpenRun[]): void {
    const { scheduler } = this.#context.engine;
    for (const { runId } of runs) {
      if (this.#ends.has(runId) || scheduler.running(runId) === undefined) continue;
      this.#tell(runId, 'cancelling');
      this.#ends.set(
        runId,
        scheduler.finished(runId).then(({ state }) => this.#tell(runId, state)),
      );
    }
  }

  async #tellStates(runIds: readonly string[]): Promise<void> {
    const { connection, sql } = this.#context;
    const { rows } = await connection.table(runSql(sql.ledger).states(runIds));
    for (const [id, state] of rows) this.#tell(String(id), String(state));
  }

  #tell(runId: string, outcome: string): void {
    const known = this.#runs.get(runId);
    if (known !== undefined) known.outcome = outcome;
  }

  #patience(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#context.engine.clock.after(patienceMs, resolve);
      const stop = (): void => {
        timer.cancel();
        resolve();
      };
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      void Promise.all(this.#ends.values()).then(stop);
    });
  }
}
