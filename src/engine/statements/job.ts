// pg_cron's statements: calls of its functions, DELETE FROM cron.job_run_details and UPDATE cron.job. DuckDB evaluates what is
// written in them, over the views that people see; the writing is done here, because views cannot be written to.

import { Diagnostic } from '../../core/diagnostic.ts';
import { tokenAt } from '../../parser/lexer.ts';
import { booleanValue, entryOf, nameOf, nowhere, numberValue, objectValue, stringValue, wordValue } from '../../parser/make.ts';
import { decode } from '../../parser/text.ts';
import { deleteJobRunDetails } from '../jobHistory.ts';
import { clause, type JobStatement, partsOf, piecesOf } from '../jobStatement.ts';
import { type JobChange, JobQueue, type JobQueues, type JobRequest, jobChange } from '../pgcron.ts';
import { Result, type Warning } from '../result.ts';
import type { Parameters } from '../store/duckdb/connection.ts';
import { pgCronSql } from '../store/duckdb/pgcronRelations.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import type { StatementContext } from './context.ts';
import { alterSchedule, defineSchedule, dropSchedules } from './schedule.ts';

export interface JobScope {
  readonly context: StatementContext;
  readonly queues: JobQueues;
  /** What the answer is called: DuckDB's word for the statement. */
  readonly tag: string;
}

export function runJobStatement(statement: JobStatement, parameters: Parameters | undefined, scope: JobScope): Promise<Result> {
  switch (statement.kind) {
    case 'functions':
      return callFunctions(statement, parameters, scope);
    case 'delete':
      return deleteDetails(statement, parameters, scope.context);
    case 'update':
      return updateJobs(statement, parameters, scope.context);
    default:
      return statement.kind satisfies never;
  }
}

async function callFunctions(
  { text }: JobStatement,
  parameters: Parameters | undefined,
  { context, queues, tag }: JobScope,
): Promise<Result> {
  const { connection, database } = context;
  const queue = new JobQueue({ nextScheduleId: () => context.nextScheduleId(), database });
  const warnings: Warning[] = [];
  const answer = await wholly(context, async () => {
    const read = await queues.during(connection.native.id, queue, () => connection.table(text, parameters));
    for (const request of queue.requests) warnings.push(...(await carryOut(request, context)));
    return read;
  });
  const rowsChanged = /^(?:INSERT|UPDATE|DELETE|MERGE)/.test(tag) ? answer.rowsChanged : undefined;
  const columns = answer.columns.map((column) => ({ ...column, name: column.name.replace(unnamedCall, '$1') }));
  return Result.fromRows({ tag, columns, rows: answer.rows, rowsChanged, warnings });
}

/** A call without AS is called after its function, as in PostgreSQL; DuckDB would repeat the whole call. */
const unnamedCall = /^(?:[^.(]+\.)?cron\.(schedule|unschedule|alter_job|schedule_in_database)\(.*\)$/s;

/** In the statement's transaction, all or nothing: an error also ends the transaction that a session has begun. */
async function wholly<T>(context: StatementContext, work: () => Promise<T>): Promise<T> {
  const { connection } = context;
  const began = connection.transaction === 'open';
  try {
    return await context.defining(work);
  } catch (error) {
    if (began && connection.transaction === 'open') {
      await connection.run("SELECT error('the statement before failed')").catch(() => undefined);
    }
    throw error;
  }
}

async function carryOut(request: JobRequest, context: StatementContext): Promise<readonly Warning[]> {
  switch (request.kind) {
    case 'schedule':
      if (request.isNew) return create(request, context);
      return change({ kind: 'alter', jobId: request.jobId, schedule: request.schedule, command: request.command }, context);
    case 'unschedule': {
      const name = await nameOfJob(request.jobId, context);
      await dropSchedules({ kind: 'drop', noun: 'schedule', ifExists: false, names: [nameOf(name)], span: nowhere }, context);
      return [];
    }
    case 'alter':
      return change(request, context);
    default:
      return request satisfies never;
  }
}

/** pg_cron's rules: one runs and one waits, nothing is retried, made up for, or ended because it takes long. */
const rules = [
  entryOf('overlap', wordValue('queue')),
  entryOf('overlap_limit', numberValue(1)),
  entryOf('catchup', wordValue('none')),
  entryOf('timeout', wordValue('none')),
  entryOf('max_retries', numberValue(0)),
];

async function create(request: Extract<JobRequest, { kind: 'schedule' }>, context: StatementContext): Promise<readonly Warning[]> {
  const { jobId, jobName, schedule, command, active } = request;
  const name = jobName ?? (await freeName(jobId, context));
  const entries = [
    entryOf('sched', stringValue(schedule.cadence)),
    entryOf('sql', stringValue(command, 'dollar')),
    ...rules,
    ...(active ? [] : [entryOf('enabled', booleanValue(false))]),
  ];
  const result = await defineSchedule(
    {
      kind: 'define',
      verb: 'create',
      noun: 'schedule',
      ifNotExists: false,
      name: nameOf(name),
      like: undefined,
      definition: objectValue(entries),
      span: nowhere,
    },
    { ...context, nextScheduleId: () => jobId },
  ).catch(withoutPlace);
  const job = { id: jobId, schedule: schedule.text, sched: schedule.cadence, jobname: jobName, username: context.actor };
  await context.connection.run(sqlOf(context.sql).putJob, job);
  return result.warnings;
}

/** The definition is made here: a place in it is nowhere in what somebody wrote. */
function withoutPlace(error: unknown): never {
  if (!(error instanceof Diagnostic)) throw error;
  const about = error.code === 'syntax_error' || error.code === 'unterminated' ? 'command: ' : '';
  throw new Diagnostic(error.code, `${about}${error.message}`, { hint: error.hint, cause: error });
}

/** An unnamed job has no name in cron.job, but a schedule has one. */
async function freeName(jobId: number, context: StatementContext): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const name = attempt === 1 ? `job_${jobId}` : `job_${jobId}_${attempt}`;
    if ((await context.catalogue.schedule(name)) === undefined) return name;
  }
}

async function change({ jobId, schedule, command, active }: JobChange, context: StatementContext): Promise<readonly Warning[]> {
  const name = await nameOfJob(jobId, context);
  const entries = [
    ...(schedule === undefined ? [] : [entryOf('sched', stringValue(schedule.cadence))]),
    ...(command === undefined ? [] : [entryOf('sql', stringValue(command, 'dollar'))]),
    ...(active === undefined ? [] : [entryOf('enabled', booleanValue(active))]),
  ];
  if (entries.length === 0) return [];
  const result = await alterSchedule(
    { kind: 'alter', noun: 'schedule', name: nameOf(name), changes: objectValue(entries), span: nowhere },
    context,
  ).catch(withoutPlace);
  if (schedule !== undefined) {
    await context.connection.run(sqlOf(context.sql).changeSchedule, { id: jobId, schedule: schedule.text, sched: schedule.cadence });
  }
  return result.warnings;
}

async function nameOfJob(jobId: number, context: StatementContext): Promise<string> {
  const [row] = await context.connection.all<{ name: string }>(sqlOf(context.sql).nameOfJob, { id: jobId });
  if (row === undefined) throw new Diagnostic('undefined_object', `could not find valid entry for job ${jobId}`);
  return row.name;
}

function sqlOf(sql: Sql): ReturnType<typeof pgCronSql> {
  return pgCronSql(sql.ledger);
}

// DELETE FROM cron.job_run_details

async function deleteDetails(statement: JobStatement, parameters: Parameters | undefined, context: StatementContext): Promise<Result> {
  const deleted = await wholly(context, () => deleteJobRunDetails(statement, parameters, context.connection, context.sql));
  return Result.fromRows({ tag: 'DELETE', columns: [], rows: [], rowsChanged: deleted });
}

// UPDATE cron.job

interface ChangedJob {
  readonly jobid: number;
  readonly schedule?: string | null;
  readonly command?: string | null;
  readonly active?: boolean | null;
}

const changeable: Readonly<Record<string, string>> = { active: 'BOOLEAN', schedule: 'VARCHAR', command: 'VARCHAR' };

async function updateJobs(statement: JobStatement, parameters: Parameters | undefined, context: StatementContext): Promise<Result> {
  const { before, alias, rest } = partsOf(statement, 'job');
  const assignments = assignmentsOf(clause(rest, 'SET') ?? '', statement);
  const [from, where] = [clause(rest, 'FROM'), clause(rest, 'WHERE')];
  const columns = assignments.map(({ column, expression }) => `CAST((${expression}\n) AS ${changeable[column]}) AS ${column}`);
  const warnings: Warning[] = [];
  const updated = await wholly(context, async () => {
    const jobs = await context.connection.all<ChangedJob>(
      `${before} SELECT ${alias}.jobid::DOUBLE AS jobid, ${columns.join(', ')} FROM ${context.sql.cron}.job AS ${alias}${from === undefined ? '' : `, ${from}`}${where === undefined ? '' : ` WHERE ${where}`}`,
      parameters,
    );
    const seen = new Map(jobs.map((job) => [job.jobid, job]));
    for (const job of seen.values()) {
      for (const { column } of assignments) {
        if (job[column as keyof ChangedJob] === null) throw new Diagnostic('constraint', `${column} of job ${job.jobid} can not be NULL`);
      }
      const asked = jobChange(job.jobid, { schedule: job.schedule ?? null, command: job.command ?? null, active: job.active ?? null });
      warnings.push(...(await change(asked, context)));
    }
    return seen.size;
  });
  return Result.fromRows({ tag: 'UPDATE', columns: [], rows: [], rowsChanged: updated, warnings });
}

interface Assignment {
  readonly column: string;
  readonly expression: string;
}

function assignmentsOf(text: string, statement: JobStatement): Assignment[] {
  const assignments: Assignment[] = [];
  for (const piece of piecesOf(text)) {
    const name = tokenAt(piece, 0);
    const equals = tokenAt(piece, name.end);
    const column = decode(piece, name).text.toLowerCase();
    if (piece.slice(equals.start, equals.end) !== '=' || changeable[column] === undefined) {
      throw new Diagnostic('unsupported', `cron.job.${column} cannot be changed`, {
        span: { start: statement.verb, end: statement.rest },
        hint: 'UPDATE cron.job SET active = .., schedule = .., command = .. WHERE ..',
      });
    }
    assignments.push({ column, expression: piece.slice(equals.end) });
  }
  return assignments;
}
