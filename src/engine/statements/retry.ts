// RETRY RUN, RETRY DEAD LETTER and DROP DEAD LETTER. A retry by hand is the next attempt of the same fire: same root, trigger, time
// and parameters. It takes the schedule as it is now, and not as it was when the run was opened: mostly the definition was to blame,
// and has been mended.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import { formatInstant } from '../../core/instant.ts';
import type { DeadLetterStatement, RunIdStatement, StringValue } from '../../parser/ast.ts';
import { openedRun } from '../../scheduler/opening.ts';
import type { Write } from '../../scheduler/ports.ts';
import { type FinishedRun, isFailure, type OpenRun } from '../../scheduler/run.ts';
import { definitionOf, newRunId } from '../opening.ts';
import type { Result, Warning } from '../result.ts';
import type { StoredSchedule } from '../store/duckdb/catalogue.ts';
import { type ClosedAttempt, closedAttemptOf, isPipelineByName, runSql } from '../store/duckdb/runSql.ts';
import { answer, type StatementContext } from './context.ts';
import { endedRow, failureOf, pendingRow, runColumns, runToEnd } from './run.ts';
import { type Attempts, attemptsOf, eachRun, findAttempts } from './runs.ts';

interface Retry {
  readonly run: OpenRun;
  /** Waits for its retry's time, which is not waited for any more. */
  readonly inPlaceOf: OpenRun | undefined;
  readonly also: readonly Write[];
  readonly span: Span | undefined;
}

export async function retryRun(statement: RunIdStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const attempts = await findAttempts(statement.run, context);
  return carryOut('RETRY RUN', [await retryOf(attempts, statement.run.span, context)], context, signal);
}

export async function retryDeadLetters(statement: DeadLetterStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const tag = 'RETRY DEAD LETTER';
  if (statement.run !== undefined) {
    const { attempts } = await findLetter(statement.run, context);
    return carryOut(tag, [await retryOf(attempts, statement.run.span, context)], context, signal);
  }
  const retries: Retry[] = [];
  const warnings: Warning[] = [];
  for (const { run } of await context.engine.admission.run('session', () => deadLetters(context))) {
    const attempts = await attemptsOf(run.runId, context);
    if (attempts === undefined) continue;
    try {
      retries.push(await retryOf(attempts, undefined, context));
    } catch (error) {
      if (!(error instanceof Diagnostic)) throw error;
      warnings.push({ message: `${run.schedule}, ${run.runId}: ${error.message}`, hint: `DROP DEAD LETTER '${run.runId}'; forgets it` });
    }
  }
  return carryOut(tag, retries, context, signal, warnings);
}

/** Plain rows, in the session's own transaction. */
export async function dropDeadLetters(statement: DeadLetterStatement, context: StatementContext): Promise<Result> {
  const letters = statement.run === undefined ? await deadLetters(context) : [(await findLetter(statement.run, context)).letter];
  const ids = letters.map(({ run }) => run.runId);
  if (ids.length > 0) {
    const sql = runSql(context.sql.ledger).settleLetters(ids, 'dropped', context.now);
    await context.inTransaction(() => context.connection.run(sql));
  }
  return eachRun(
    'DROP DEAD LETTER',
    letters.map(({ run }) => [run, 'dropped']),
    noLetters,
  );
}

const noLetters = 'there are no dead letters';

async function deadLetters(context: StatementContext): Promise<ClosedAttempt[]> {
  return (await context.connection.table(runSql(context.sql.ledger).deadLetters)).rows.map(closedAttemptOf);
}

async function findLetter(written: StringValue, context: StatementContext): Promise<{ letter: ClosedAttempt; attempts: Attempts }> {
  const attempts = await findAttempts(written, context);
  const { named } = attempts;
  const state = 'run' in named ? named.state : 'open';
  if ('run' in named && named.final && isFailure(named.state)) {
    if ((await unsettled([named], context)).length > 0) return { letter: named, attempts };
    throw noLetter('it was retried or dropped already', 'RETRY RUN tries it again');
  }
  if ('run' in named && isFailure(named.state)) throw noLetter('another attempt followed it', 'EXPLAIN RUN tells how it went on');
  throw noLetter(`it is ${state.replace('_', ' ')}`, 'dead letters are runs that failed for good: LIST DEAD LETTERS');

  function noLetter(why: string, hint: string): Diagnostic {
    return new Diagnostic('undefined_object', `the run is no dead letter: ${why}`, { span: written.span, hint });
  }
}

async function unsettled(failed: readonly ClosedAttempt[], context: StatementContext): Promise<string[]> {
  const ids = failed.map(({ run }) => run.runId);
  if (ids.length === 0) return [];
  const { rows } = await context.connection.table(runSql(context.sql.ledger).settledLetters(ids));
  const settled = new Set(rows.map(([id]) => String(id)));
  return ids.filter((id) => !settled.has(id));
}

/** The next attempt, or why there cannot be one. */
async function retryOf(attempts: Attempts, span: Span | undefined, context: StatementContext): Promise<Retry> {
  const { named, closed, open, newest } = attempts;
  const { schedule, scheduledAt } = newest;
  const refused = (message: string, hint: string): Diagnostic => new Diagnostic('invalid_value', message, { span, hint });
  const last = closed.at(-1);
  if (last === undefined) throw refused('the run has not ended yet', 'what waits or runs cannot be retried; CANCEL RUN ends it');
  if (open !== undefined && context.engine.scheduler.running(open.runId) !== undefined) {
    throw refused(`attempt ${open.attempt} of it is at work`, `CANCEL RUN '${open.runId}'; ends it`);
  }
  const byName = isPipelineByName(newest);
  const again = byName
    ? `RUN PIPELINE ${newest.call}; runs it again`
    : `RUN SCHEDULE ${schedule}; runs it again, BACKFILL SCHEDULE ${schedule} FROM .. TO ..; for the time of then`;
  const succeeded = closed.find(({ state }) => state === 'succeeded');
  if (succeeded !== undefined) {
    throw refused(
      succeeded === named || closed.length === 1 ? 'the run succeeded' : `its attempt ${succeeded.run.attempt} succeeded`,
      again,
    );
  }
  if (closed.every(({ state }) => state === 'skipped')) {
    const [from, to] = [scheduledAt, scheduledAt + 1].map(formatInstant);
    throw refused(
      `the run was skipped: ${last.reason ?? ''}`,
      byName ? again : `BACKFILL SCHEDULE ${schedule} FROM '${from}' TO '${to}' ONLY MISSING; runs what was skipped`,
    );
  }
  const settled = await settledBy(closed, context);
  if (byName) return { run: nextOf(attempts, last, newest, context), inPlaceOf: open, also: settled, span };
  if (newest.scheduleId === null) throw refused('the run was an action of another run', `CALL ${newest.call}(..); does it again`);
  const stored = await context.catalogue.schedule(schedule);
  if (stored?.scheduleId !== newest.scheduleId) {
    throw refused(
      `schedule ${schedule} was dropped`,
      stored === undefined ? 'create it again, and run that' : `the present ${schedule} is a new one: RUN SCHEDULE ${schedule}; runs it`,
    );
  }
  return { run: nextAttempt(attempts, last, stored, context), inPlaceOf: open, also: settled, span };
}

/** Their dead letters are dealt with. */
async function settledBy(closed: readonly ClosedAttempt[], context: StatementContext): Promise<Write[]> {
  const failed = closed.filter(({ state, final }) => final && isFailure(state));
  return (await unsettled(failed, context)).map((runId) => ({ kind: 'deadLetter', runId, settled: 'retried', at: context.now }));
}

function nextAttempt(attempts: Attempts, last: ClosedAttempt, stored: StoredSchedule, context: StatementContext): OpenRun {
  const { newest, open } = attempts;
  const { trigger, scheduledAt, params, parentRunId, rootRunId, fire, alone } = newest;
  const opening = {
    trigger,
    scheduledAt,
    params,
    parentRunId,
    rootRunId,
    fire,
    alone,
    ...(open === undefined ? {} : { group: open.group }),
  };
  const run = openedRun(definitionOf(stored), { ...opening, runId: newRunId(context.now), openedAt: context.now });
  return nextOf(attempts, last, run, context);
}

function nextOf({ named, newest }: Attempts, last: ClosedAttempt, run: OpenRun, { now }: StatementContext): OpenRun {
  const retryOf = 'run' in named ? named.run.runId : last.run.runId;
  return { ...run, runId: newRunId(now), openedAt: now, notBefore: null, attempt: newest.attempt + 1, retryOf };
}

/** By the scheduler; where none runs, right here, one after the other. */
async function carryOut(
  tag: string,
  retries: readonly Retry[],
  context: StatementContext,
  signal: AbortSignal,
  warnings: readonly Warning[] = [],
): Promise<Result> {
  const told = {
    tag,
    columns: runColumns,
    form: 'runs',
    warnings,
    notes: retries.length + warnings.length === 0 ? [noLetters] : [],
  } as const;
  const { scheduler } = context.engine;
  if (scheduler.isOn) {
    await Promise.all(retries.map(({ run, inPlaceOf, also }) => scheduler.byHand([run], { inPlaceOf, also })));
    return answer({ ...told, rows: retries.map(({ run }) => pendingRow(run)) });
  }
  const ended: FinishedRun[] = [];
  const failures: Diagnostic[] = [];
  for (const { run, inPlaceOf, also, span } of retries) {
    if (signal.aborted) break;
    for (const end of await runToEnd([run], context, signal, { cancels: true, inPlaceOf, also })) {
      ended.push(end);
      const failure = failureOf(end, span);
      if (failure !== undefined) failures.push(failure);
    }
  }
  const [first, ...more] = failures;
  return answer({ ...told, rows: ended.map(endedRow), failure: first === undefined ? undefined : Diagnostic.all([first, ...more]) });
}
