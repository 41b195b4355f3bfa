// RUN SCHEDULE where no scheduler runs in the owning process: executes right there, one after the other, and answers what came of it.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { RunIdStatement, RunScheduleStatement } from '../../parser/ast.ts';
import { suggest } from '../../parser/suggest.ts';
import type { FinishedRun } from '../../scheduler/run.ts';
import { bindParameter } from '../bind/arguments.ts';
import type { Result } from '../result.ts';
import type { StoredSchedule } from '../store/duckdb/catalogue.ts';
import { answer, double, integer, type StatementContext, text } from './context.ts';
import { description, propertiesOf } from './description.ts';
import { findSchedule } from './schedule.ts';

export async function runSchedules(statement: RunScheduleStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const found: StoredSchedule[] = [];
  for (const name of statement.names) found.push(await findSchedule(name, context));
  const given: Record<string, JsonValue>[] = [];
  for (const stored of found) given.push(await bindWith(statement, stored, context));
  const rows = [];
  const failures: Diagnostic[] = [];
  for (const [index, stored] of found.entries()) {
    const finished = await context.runner.runNow(stored, { params: given[index] ?? {}, dryRun: statement.dryRun, signal });
    rows.push([
      statement.dryRun ? null : finished.runId,
      finished.schedule,
      finished.state,
      finished.reason,
      finished.durationMs,
      finished.rowsChanged === null ? null : BigInt(finished.rowsChanged),
      finished.result === null ? null : JSON.stringify(finished.result),
    ]);
    if (finished.state !== 'succeeded' && finished.state !== 'skipped') failures.push(failed(finished, statement, index));
  }
  const [first, ...more] = failures;
  return answer({
    tag: 'RUN SCHEDULE',
    columns: [
      text('run_id'),
      text('schedule'),
      text('state'),
      text('reason'),
      double('duration_ms'),
      integer('rows_changed'),
      { name: 'result', type: { kind: 'JSON' } },
    ],
    rows,
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
