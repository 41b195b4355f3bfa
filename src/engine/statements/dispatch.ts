// Which function carries out which statement, and what may be said of a statement before: whether it writes, and whether it may
// stand in a transaction. CALL and LIST are the session's own: they need its parameters and answer DuckDB's rows.

import type { CallStatement, ListStatement, PassThroughStatement, Statement } from '../../parser/ast.ts';
import type { Result } from '../result.ts';
import { backfillSchedule } from './backfill.ts';
import { alterCalendar, defineCalendar, describeCalendar, dropCalendars, showCreateCalendar } from './calendar.ts';
import { cancelRun, cancelRuns } from './cancel.ts';
import { answer, type StatementContext, text } from './context.ts';
import { describeRun } from './describeRun.ts';
import { explainRun } from './explainRun.ts';
import { pauseScheduler } from './pauseScheduler.ts';
import { alterPipeline, definePipeline, explainPipeline } from './pipeline.ts';
import { alterQueue, defineQueue, describeQueue, dropQueues, pauseQueue, showCreateQueue } from './queue.ts';
import { dropDeadLetters, retryDeadLetters, retryRun } from './retry.ts';
import { alterProcedure, defineProcedure, describeRoutine, dropRoutines, findRoutine } from './routine.ts';
import { runSchedules } from './run.ts';
import { runPipeline } from './runPipeline.ts';
import {
  alterSchedule,
  defineSchedule,
  describeSchedule,
  dropSchedules,
  enableSchedules,
  explainCron,
  explainSchedule,
  showCreateSchedule,
} from './schedule.ts';
import { backup, resetSetting, setSetting } from './settings.ts';
import { simulateSchedules } from './simulate.ts';
import { tailRun } from './tailRun.ts';

export type OwnStatement = Exclude<Statement, PassThroughStatement | ListStatement | CallStatement>;

/** Carries out a statement of ours. `signal` ends what runs right there. */
export function carryOut(statement: OwnStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  switch (statement.kind) {
    case 'define': {
      const define = { schedule: defineSchedule, pipeline: definePipeline, calendar: defineCalendar, queue: defineQueue };
      return define[statement.noun](statement, context);
    }
    case 'defineProcedure':
      return defineProcedure(statement, context);
    case 'alter': {
      const alter = {
        schedule: alterSchedule,
        procedure: alterProcedure,
        pipeline: alterPipeline,
        calendar: alterCalendar,
        queue: alterQueue,
      };
      return alter[statement.noun](statement, context);
    }
    case 'drop':
      if (statement.noun === 'schedule') return dropSchedules(statement, context);
      if (statement.noun === 'calendar') return dropCalendars(statement, context);
      if (statement.noun === 'queue') return dropQueues(statement, context);
      return dropRoutines(statement, statement.noun, context);
    case 'enable':
      return enableSchedules(statement, context);
    case 'describe':
      if (statement.noun === 'schedule') return describeSchedule(statement, context);
      if (statement.noun === 'calendar') return describeCalendar(statement, context);
      if (statement.noun === 'queue') return describeQueue(statement, context);
      return describeRoutine(statement, statement.noun, context);
    case 'showCreate':
      return showCreate(statement, context);
    case 'explainSchedule':
      return explainSchedule(statement, context);
    case 'explainCron':
      return explainCron(statement, context);
    case 'explainPipeline':
      return explainPipeline(statement, context);
    case 'explainRun':
      return explainRun(statement, context);
    case 'runSchedule':
      return runSchedules(statement, context, signal);
    case 'describeRun':
      return describeRun(statement, context);
    case 'backfill':
      return backfillSchedule(statement, context, signal);
    case 'simulate':
      return simulateSchedules(statement, context, signal);
    case 'cancelRun':
      return cancelRun(statement, context, signal);
    case 'cancelRuns':
      return cancelRuns(statement, context, signal);
    case 'retryRun':
      return retryRun(statement, context, signal);
    case 'retryDeadLetter':
      return retryDeadLetters(statement, context, signal);
    case 'dropDeadLetter':
      return dropDeadLetters(statement, context);
    case 'pauseQueue':
      return pauseQueue(statement, context);
    case 'pauseScheduler':
      return pauseScheduler(statement, context);
    case 'backup':
      return backup(statement, context);
    case 'set':
      return setSetting(statement, context);
    case 'reset':
      return resetSetting(statement, context);
    case 'tailRun':
      return tailRun(statement, context, signal);
    case 'runPipeline':
      return runPipeline(statement, context, signal);
    default:
      return statement satisfies never;
  }
}

async function showCreate(statement: Extract<Statement, { kind: 'showCreate' }>, context: StatementContext): Promise<Result> {
  const { noun, name } = statement;
  const show = {
    schedule: () => showCreateSchedule(name, context),
    calendar: () => showCreateCalendar(name, context),
    queue: () => showCreateQueue(name, context),
    procedure: async () => (await findRoutine(name, 'procedure', context)).definition,
    pipeline: async () => (await findRoutine(name, 'pipeline', context)).definition,
  };
  const definition = await show[noun]();
  // The name as it is kept, whatever case was asked for.
  const shown = context.parse(definition);
  const kept = shown.kind === 'define' || shown.kind === 'defineProcedure' ? shown.name.text : name.text;
  const columns = [text('name'), text('definition')];
  return answer({ tag: 'SHOW CREATE', columns, rows: [[kept, `${definition};`]], form: 'text' });
}

export function writes(statement: Statement): boolean {
  switch (statement.kind) {
    case 'list':
    case 'describe':
    case 'showCreate':
    case 'explainSchedule':
    case 'explainCron':
    case 'explainPipeline':
    case 'explainRun':
    case 'describeRun':
    case 'tailRun':
    case 'simulate':
    case 'backup':
    case 'call':
    case 'passThrough':
      return false;
    default:
      return true;
  }
}

/** What cannot be rolled back does not stand in a transaction block. */
export function standsAlone(statement: Statement): boolean {
  switch (statement.kind) {
    case 'runSchedule':
    case 'runPipeline':
    case 'backfill':
    case 'retryRun':
    case 'retryDeadLetter':
    case 'cancelRun':
    case 'cancelRuns':
    case 'pauseQueue':
    case 'pauseScheduler':
    case 'backup':
      return true;
    case 'enable':
      return statement.verb === 'pause' || statement.verb === 'resume';
    default:
      return false;
  }
}
