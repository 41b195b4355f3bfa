// RUN SCHEDULE where no scheduler runs in the owning process: executes right there, one after the other, and answers what came of it.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { RunIdStatement, RunScheduleStatement } from '../../parser/ast.ts';
import { suggest } from '../../parser/suggest.ts';
import type { FinishedRun, OpenRun } from '../../scheduler/run.ts';
import { bindParameter } from '../bind/arguments.ts';
import type { Result } from '../result.ts';
import type { StoredSchedule } from '../store/duckdb/catalogue.ts';
import type { Value } from '../value.ts';
import { answer, double, integer, type StatementContext, text } from './context.ts';
import { description, propertiesOf } from './description.ts';
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
  if (!scheduler.isOn) {
    // No scheduler runs here: right here, one after the other.
    const finished: FinishedRun[] = [];
    for (const run of runs) finished.push(...(await runToEnd([run], context, signal, { cancels: true })));
    return told(finished, statement);
  }
  if (statement.await) return told(await runToEnd(runs, context, signal, { cancels: false }), statement);
  await scheduler.byHand(runs);
  return answer({ tag: 'RUN SCHEDULE', columns: runColumns, rows: runs.map(pendingRow), form: 'runs' });
}

const runColumns = [
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
  { engine: { scheduler } }: StatementContext,
  signal: AbortSignal,
  { cancels }: { readonly cancels: boolean },
): Promise<FinishedRun[]> {
  const ends = runs.map((run) => scheduler.finished(run.runId));
  await scheduler.byHand(runs);
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
          hint: `CANCEL RUN '${runs[0]?.runId}'; ends one`,
        }),
      );
    signal.addEventListener('abort', refuse, { once: true });
    if (signal.aborted) refuse();
  });
  return Promise.race([all, stopped]);
}

function pendingRow(run: OpenRun): Value[] {
  return [run.runId, run.schedule, 'pending', null, null, null, null];
}

function told(finished: readonly FinishedRun[], statement: RunScheduleStatement): Result {
  const failures = finished.flatMap((run, index) =>
    run.state === 'succeeded' || run.state === 'skipped' ? [] : [failed(run, statement, index)],
  );
  const [first, ...more] = failures;
  return answer({
    tag: 'RUN SCHEDULE',
    columns: runColumns,
    rows: finished.map((run) => [
      statement.dryRun ? null : run.runId,
      run.schedule,
      run.state,
      run.reason,
      run.durationMs,
      run.rowsChanged === null ? null : BigInt(run.rowsChanged),
      run.result === null ? null : JSON.stringify(run.result),
    ]),
    form: 'runs',
    failure: first === undefined ? undefined : Diagnostic.all([first, ...more]),
  });
}

/** That a run was skipped is no failure: it was asked whether it should run, and answered. */
function failed({ schedule, state, reason, runId }: FinishedRun, statement: RunScheduleStatement, index: number): Diagnostic {
  return new Diagnostic('run_failed', `${schedule}: ${state.replace('_', ' ')}${reason === null ? '' : `; ${reason}`}`, {
    span: statement.names[index]?.span,
    hint: statement.dryRun ? undefined : `DESCRIBE RUN '${runId}'; tells more`,
  });
}

/** WITH replaces the parameters it names, and only such as there are. */
async function bindWith(
  statement: RunScheduleStatement,
  stored: StoredSchedule,
  context: StatementContext,
): Promise<Record<string, JsonValue>> {
  const { schedule } = stored;
  const entries = statement.with?.entries ?? [];
  if (entries.length === 0) return {};
  const routine = (await context.catalogue.routine(String(schedule.target.call)))?.routine;
  const legal =
    routine?.kind === 'procedure'
      ? routine.parameters.map((parameter) => parameter.name)
      : Object.keys(routine?.kind === 'pipeline' ? routine.params : schedule.params);
  const values: Record<string, JsonValue> = {};
  for (const entry of entries) {
    const name = legal.find((known) => known.toLowerCase() === entry.key.text.toLowerCase());
    if (name === undefined) {
      const near = suggest(entry.key.text, legal);
      throw new Diagnostic('undefined_parameter', `schedule ${stored.name} has no parameter ${entry.key.text}`, {
        span: entry.key.span,
        hint: `${near === undefined ? '' : `did you mean ${near}? `}${legal.length === 0 ? 'it takes none' : `its parameters: ${legal.join(', ')}`}`,
      });
    }
    const value = bindParameter(name, entry.value);
    if (value.kind !== 'literal') {
      throw new Diagnostic('invalid_value', `WITH takes values, and ${entry.key.text} is a call`, { span: entry.value.span });
    }
    values[name] = value.value;
  }
  return values;
}

/** DESCRIBE RUN 'id': a unique prefix of 8 characters is enough. */
export async function describeRun(statement: RunIdStatement, context: StatementContext): Promise<Result> {
  // A narrow table shows `01a1f87e-3749-7004-…`.
  const prefix = statement.run.text.toLowerCase().replace(/…$/, '');
  if (prefix.length < 8 || !/^[0-9a-f-]+$/.test(prefix)) {
    throw new Diagnostic('invalid_value', `'${statement.run.text}' is not the id of a run`, {
      span: statement.run.span,
      hint: 'at least the first 8 characters of a run_id; LIST RUNS shows them',
    });
  }
  const rows = await context.connection.all(`SELECT * FROM ${context.sql.cron}.runs WHERE starts_with(run_id, $prefix) LIMIT 3`, {
    prefix,
  });
  const [row] = rows;
  if (row === undefined) {
    throw new Diagnostic('undefined_object', `there is no run ${statement.run.text}`, {
      span: statement.run.span,
      hint: 'LIST RUNS shows what there is',
    });
  }
  if (rows.length > 1) {
    const ids = rows.map((other) => String(other['run_id'])).join(', ');
    throw new Diagnostic('ambiguous', `more than one run begins with ${statement.run.text}`, {
      span: statement.run.span,
      hint: `write more of it: ${ids}`,
    });
  }
  return description(await propertiesOf(row, context));
}
