// RUN SCHEDULE where no scheduler runs in the owning process: executes right there, one after the other, and answers what came of it.

import { Diagnostic, type Span } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { RunScheduleStatement } from '../../parser/ast.ts';
import type { Scheduler } from '../../scheduler/loop.ts';
import { type FinishedRun, nameOf, type OpenRun } from '../../scheduler/run.ts';
import { bindReplaced } from '../bind/arguments.ts';
import type { Result } from '../result.ts';
import type { StoredSchedule } from '../store/duckdb/catalogue.ts';
import type { Value } from '../value.ts';
import { answer, double, integer, type StatementContext, text } from './context.ts';
import { findSchedule } from './schedule.ts';

export async function runSchedules(statement: RunScheduleStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const found: StoredSchedule[] = [];
  for (const name of statement.names) found.push(await findSchedule(name, context));
  const given: Record<string, JsonValue>[] = [];
  for (const stored of found) given.push(await bindWith(statement, stored, context));
  const { scheduler, worker } = context.engine;
  if (statement.dryRun) {
    const finished: FinishedRun[] = [];
    for (const [index, stored] of found.entries()) finished.push(await worker.dryRun(stored, given[index] ?? {}, signal));
    return told(finished, statement);
  }
  const runs = found.map((stored, index) => context.engine.manualRun(stored, { params: given[index] ?? {}, alone: statement.alone }));
  if (scheduler.isOn && !statement.await) {
    await scheduler.byHand(runs);
    return answer({ tag: 'RUN SCHEDULE', columns: runColumns, rows: runs.map(pendingRow), form: 'runs' });
  }
  const endWait = context.awaits(runs, { isTold: runs.length > 1 });
  try {
    if (scheduler.isOn) return told(await runToEnd(runs, context, signal, { cancels: false }), statement);
    // No scheduler runs here: right here, one after the other.
    const finished: FinishedRun[] = [];
    for (const run of runs) finished.push(...(await runToEnd([run], context, signal, { cancels: true })));
    return told(finished, statement);
  } finally {
    endWait();
  }
}

export const runColumns = [
  text('run_id'),
  text('schedule'),
  text('state'),
  text('reason'),
  double('duration_ms'),
  integer('rows_changed'),
  { name: 'result', type: { kind: 'JSON' } },
] as const;

/** Opens runs and waits for them. An interrupt ends the wait, and, where nobody else would finish them, the runs. */
export async function runToEnd(
  runs: readonly OpenRun[],
  context: StatementContext,
  signal: AbortSignal,
  how: { readonly cancels: boolean } & Parameters<Scheduler['byHand']>[1],
): Promise<FinishedRun[]> {
  const endWait = context.awaits(runs);
  try {
    return await awaitEnds(runs, context.engine.scheduler, signal, how);
  } finally {
    endWait();
  }
}

async function awaitEnds(
  runs: readonly OpenRun[],
  scheduler: Scheduler,
  signal: AbortSignal,
  { cancels, ...opening }: Parameters<typeof runToEnd>[3],
): Promise<FinishedRun[]> {
  const ends = runs.map((run) => scheduler.finished(run.runId));
  await scheduler.byHand(runs, opening);
  const all = Promise.all(ends);
  if (cancels) {
    const cancel = (): void => {
      for (const run of runs) void scheduler.cancel(run.runId, 'cancelled').catch(() => undefined);
    };
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    return all.finally(() => signal.removeEventListener('abort', cancel));
  }
  const stopped = new Promise<never>((_, reject) => {
    const refuse = (): void =>
      reject(
        new Diagnostic('cancelled', runs.length === 1 ? 'the run goes on' : 'the runs go on', {
          hint:
            runs.length === 1
              ? `TAIL RUN '${runs[0]?.runId}'; follows it, CANCEL RUN ends it`
              : 'LIST RUNS shows them; TAIL RUN follows one, CANCEL RUN ends it',
        }),
      );
    signal.addEventListener('abort', refuse, { once: true });
    if (signal.aborted) refuse();
  });
  return Promise.race([all, stopped]);
}

export function pendingRow(run: OpenRun): Value[] {
  return [run.runId, nameOf(run), 'pending', null, null, null, null];
}

export function endedRow(run: FinishedRun): Value[] {
  const { runId, state, reason, durationMs, rowsChanged, result } = run;
  const changed = rowsChanged === null ? null : BigInt(rowsChanged);
  return [runId, nameOf(run), state, reason, durationMs, changed, result === null ? null : JSON.stringify(result)];
}

function told(finished: readonly FinishedRun[], statement: RunScheduleStatement): Result {
  const failures = finished.flatMap((run, index) => failureOf(run, statement.names[index]?.span, statement.dryRun) ?? []);
  const [first, ...more] = failures;
  return answer({
    tag: 'RUN SCHEDULE',
    columns: runColumns,
    rows: finished.map((run) => (statement.dryRun ? [null, ...endedRow(run).slice(1)] : endedRow(run))),
    form: 'runs',
    failure: first === undefined ? undefined : Diagnostic.all([first, ...more]),
  });
}

/** That a run was skipped is no failure: it was asked whether it should run, and answered. */
export function failureOf(run: FinishedRun, span: Span | undefined, dryRun = false): Diagnostic | undefined {
  const { state, reason, runId } = run;
  if (state === 'succeeded' || state === 'skipped') return undefined;
  return new Diagnostic('run_failed', `${nameOf(run)}: ${state.replace('_', ' ')}${reason === null ? '' : `; ${reason}`}`, {
    span,
    hint: dryRun ? undefined : `EXPLAIN RUN '${runId}'; tells more`,
  });
}

async function bindWith(
  statement: RunScheduleStatement,
  stored: StoredSchedule,
  context: StatementContext,
): Promise<Record<string, JsonValue>> {
  const { schedule } = stored;
  if (statement.with === undefined) return {};
  const routine = (await context.catalogue.routine(String(schedule.target.call)))?.routine;
  const legal =
    routine?.kind === 'procedure'
      ? routine.parameters.map((parameter) => parameter.name)
      : Object.keys(routine?.kind === 'pipeline' ? routine.params : schedule.params);
  return bindReplaced(statement.with, legal, `schedule ${stored.name}`);
}
