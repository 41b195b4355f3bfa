// A run of a pipeline: step by step, or all of it in one transaction; and what its own definition calls at its end. Actions of a
// success become open in the transaction that closes the run, those of any other end with the row that the scheduler writes.

import { calledRun, undelivered } from '../../../scheduler/opening.ts';
import type { Execution } from '../../../scheduler/ports.ts';
import { type ClosedState, isFailure, type OpenRun } from '../../../scheduler/run.ts';
import type { Action } from '../../../scheduler/schedule.ts';
import { newRunId } from '../../opening.ts';
import type { Pipeline } from '../../routine.ts';
import { openRuns } from '../../store/duckdb/fence.ts';
import type { Ending } from '../ending.ts';
import { executeAtomic } from './atomic.ts';
import type { PipelineJob, PipelineParts } from './job.ts';
import { executeStepwise } from './stepwise.ts';

export async function executePipeline(parts: PipelineParts, job: PipelineJob, signal: AbortSignal): Promise<Execution> {
  const { ending, pipeline } = job;
  if (ending === undefined) return executeAtomic(parts, job, signal);
  let opened: readonly OpenRun[] = [];
  const withActions: Ending = {
    begin: () => ending.begin(),
    fate: () => ending.fate(),
    commit: async (connection, outcome, isGuarded, onSend) => {
      opened = called(parts, job);
      await openRuns(connection, parts.sql, opened);
      return ending.commit(connection, outcome, isGuarded, onSend);
    },
  };
  const own = { ...job, ending: withActions };
  const execution = await (pipeline.atomic ? executeAtomic(parts, own, signal) : executeStepwise(parts, own, withActions, signal));
  const { outcome, closed } = execution;
  if (closed === 'fenced') return execution;
  if (closed === 'no') return { ...execution, outcome: { ...outcome, actions: actionsAt(outcome.state, pipeline) } };
  for (const action of pipeline.onComplete) {
    if (action.kind !== 'call') job.log.write({ step: null, stream: 'scheduler', level: 'warn', line: undelivered(action) });
  }
  return { ...execution, opened };
}

function called({ clock }: PipelineParts, { run, pipeline }: PipelineJob): OpenRun[] {
  const openedAt = clock.now();
  return pipeline.onComplete.flatMap((action) => {
    if (action.kind !== 'call') return [];
    return [calledRun(run, action.procedure, { runId: newRunId(openedAt), openedAt, state: 'succeeded', reason: null })];
  });
}

function actionsAt(state: ClosedState, { onComplete, onFail, onSkip }: Pipeline): readonly Action[] {
  if (isFailure(state)) return onFail;
  return state === 'skipped' ? onSkip : state === 'succeeded' ? onComplete : [];
}
