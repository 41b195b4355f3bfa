// RUN PIPELINE: a run that belongs to no schedule. It is tried once; what a schedule would say of it (queue, retries, followers) it
// does not have.

import type { JsonValue } from '../../core/jsonValue.ts';
import type { RunPipelineStatement } from '../../parser/ast.ts';
import type { FinishedRun, OpenRun } from '../../scheduler/run.ts';
import { bindReplaced } from '../bind/arguments.ts';
import { newRunId } from '../opening.ts';
import type { Result } from '../result.ts';
import { answer, type StatementContext, text } from './context.ts';
import { findRoutine } from './routine.ts';
import { endedRow, failureOf, pendingRow, runColumns, runToEnd } from './run.ts';

export async function runPipeline(statement: RunPipelineStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const { name, routine } = await findRoutine(statement.name, 'pipeline', context);
  const legal = routine.kind === 'pipeline' ? Object.keys(routine.params) : [];
  const run = openPipeline(name, bindReplaced(statement.with, legal, `pipeline ${name}`), context);
  const { scheduler, worker } = context.engine;
  if (statement.dryRun) return told(await worker.rehearse(run, signal), statement);
  if (!scheduler.isOn || statement.await) {
    const [finished] = await runToEnd([run], context, signal, { cancels: !scheduler.isOn });
    if (finished !== undefined) return told(finished, statement);
  } else await scheduler.byHand([run]);
  return answer({ tag, columns, rows: [named(pendingRow(run), name)], form: 'runs' });
}

const tag = 'RUN PIPELINE';
/** Where a schedule's run names its schedule. */
const columns = runColumns.map((column) => (column.name === 'schedule' ? text('pipeline') : column));

function openPipeline(name: string, params: Readonly<Record<string, JsonValue>>, { now }: StatementContext): OpenRun {
  const runId = newRunId(now);
  return {
    runId,
    scheduleId: null,
    schedule: '',
    exe: 'pipeline',
    call: name,
    trigger: 'manual',
    scheduledAt: now,
    openedAt: now,
    notBefore: null,
    attempt: 1,
    queue: 'default',
    priority: 'normal',
    params,
    scheduleVersion: 0,
    rootRunId: runId,
    parentRunId: null,
    retryOf: null,
    group: null,
    fire: null,
    alone: false,
  };
}

function told(finished: FinishedRun, { name, dryRun }: RunPipelineStatement): Result {
  const row = named(endedRow(finished), finished.call);
  const failure = failureOf(finished, name.span, dryRun);
  return answer({ tag, columns, rows: [dryRun ? [null, ...row.slice(1)] : row], form: 'runs', failure });
}

function named<Cell>([runId, , ...rest]: readonly Cell[], name: string): (Cell | string)[] {
  return [runId ?? '', name, ...rest];
}
