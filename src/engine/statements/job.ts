// pg_cron's statements: calls of its functions, DELETE FROM cron.job_run_details and UPDATE cron.job. DuckDB evaluates what is
// written in them, over the views that people see; the writing is done here, because views cannot be written to.

import { Diagnostic } from '../../core/diagnostic.ts';
import { type Facts, factsOf } from '../../parser/facts.ts';
import { type Token, tokenAt } from '../../parser/lexer.ts';
import { booleanValue, entryOf, nameOf, nowhere, numberValue, objectValue, stringValue, wordValue } from '../../parser/make.ts';
import { decode } from '../../parser/text.ts';
import { type JobChange, JobQueue, type JobQueues, type JobRequest, jobChange } from '../pgcron.ts';
import { Result, type Warning } from '../result.ts';
import type { Connection, Parameters } from '../store/duckdb/connection.ts';
import { pgCronSql } from '../store/duckdb/pgcronRelations.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import type { StatementContext } from './context.ts';
import { alterSchedule, defineSchedule, dropSchedules } from './schedule.ts';

export interface JobStatement {
  readonly kind: 'functions' | 'delete' | 'update';
  readonly text: string;
  /** Where the verb begins and where the table's name ends. */
  readonly verb: number;
  readonly rest: number;
}

/** undefined for what is DuckDB's alone. */
export function jobStatementOf(text: string): JobStatement | undefined {
  if (!/cron/i.test(text)) return undefined;
  const facts = factsOf(text);
  for (const act of facts.acts) {
    if (act.kind !== 'write' || act.target.at(-2)?.toLowerCase() !== 'cron') continue;
    const table = act.target.at(-1)?.toLowerCase();
    const place = { text, verb: act.span.start, rest: act.span.end };
    if (table === 'job_run_details' && act.verb === 'delete') return { kind: 'delete', ...place };
    if (table === 'job' && act.verb === 'update') return { kind: 'update', ...place };
  }
  return callsJobFunction(facts) ? { kind: 'functions', text, verb: 0, rest: 0 } : undefined;
}

const functions = ['schedule', 'unschedule', 'alter_job', 'schedule_in_database'];

function callsJobFunction(facts: Facts): boolean {
  return facts.names.has('cron') && functions.some((name) => facts.functions.has(name));
}

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
  return Result.fromRows({ tag, columns: answer.columns, rows: answer.rows, rowsChanged, warnings });
}

/** In the statement's transaction, all or nothing: an error also ends the transaction that a session has begun. */
async function wholly<T>(context: StatementContext, work: () => Promise<T>): Promise<T> {
  const { connection } = context;
  const began = connection.transaction === 'open';
  try {
    return await context.inTransaction(work);
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
      return request.isNew ? create(request, context) : change({ ...request, kind: 'alter' }, context);
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
  );
  const job = { id: jobId, schedule: schedule.text, sched: schedule.cadence, jobname: jobName, username: context.actor };
  await context.connection.run(sqlOf(context.sql).putJob, job);
  return result.warnings;
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
  );
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

/** Also for bodies, in their run's transaction: pg_cron's own example cleans its history by a job. Answers how many rows went. */
export async function deleteJobRunDetails(
  statement: JobStatement,
  parameters: Parameters | undefined,
  connection: Connection,
  { ledger, cron }: Pick<Sql, 'ledger' | 'cron'>,
): Promise<number> {
  const { before, alias, rest } = partsOf(statement, 'job_run_details');
  const [using, where] = [clause(rest, 'USING'), clause(rest, 'WHERE')];
  const from = `${cron}.cuckoo_job_run AS ${alias}${using === undefined ? '' : `, ${using}`}`;
  const condition = where === undefined ? '' : ` AND (${where}\n)`;
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE cuckoo_deleted_run AS ${before} SELECT DISTINCT ${alias}.run_id FROM ${from} WHERE ${alias}.end_time IS NOT NULL${condition}`,
    parameters,
  );
  const sql = pgCronSql(ledger);
  const [row] = await connection.all<{ deleted: number }>(sql.countDeleted);
  for (const each of sql.deleteDetails) await connection.run(each);
  return row?.deleted ?? 0;
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

// The parts of a statement, by its words.

/** The WITH in front, the name under which the table is known, and what follows. */
function partsOf({ text, verb, rest }: JobStatement, table: string): { before: string; alias: string; rest: string } {
  const before = text.slice(0, verb);
  const first = tokenAt(text, 0);
  const span = { start: verb, end: rest };
  if (first.start < verb && word(text, first) !== 'WITH') {
    throw new Diagnostic('unsupported', `${word(text, first)} of a write to cron.${table} is not supported`, {
      span,
      hint: 'write it alone',
    });
  }
  if (clause(text.slice(rest), 'RETURNING') !== undefined) {
    throw new Diagnostic('unsupported', `RETURNING of cron.${table} is not supported`, { span, hint: 'SELECT the rows first' });
  }
  let token = tokenAt(text, rest);
  if (word(text, token) === 'AS') token = tokenAt(text, token.end);
  const named = (token.kind === 'word' && !clauses.has(word(text, token))) || token.kind === 'quotedName';
  if (!named) return { before, alias: table, rest: text.slice(rest).replace(/;\s*$/, '') };
  return { before, alias: text.slice(token.start, token.end), rest: text.slice(token.end).replace(/;\s*$/, '') };
}

const clauses = new Set(['SET', 'FROM', 'USING', 'WHERE', 'RETURNING']);

/** What stands between a word of the outermost level and the next one. */
function clause(text: string, keyword: string): string | undefined {
  let start: number | undefined;
  let before = '';
  for (const token of outerTokens(text)) {
    const found = word(text, token);
    // `IS DISTINCT FROM` begins no clause.
    if (clauses.has(found) && !(found === 'FROM' && before === 'DISTINCT')) {
      if (start !== undefined) return text.slice(start, token.start);
      if (found === keyword) start = token.end;
    }
    before = found;
  }
  return start === undefined ? undefined : text.slice(start);
}

function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  let from = 0;
  for (const token of outerTokens(text)) {
    if (token.kind !== 'symbol' || text[token.start] !== ',') continue;
    pieces.push(text.slice(from, token.start));
    from = token.end;
  }
  return [...pieces, text.slice(from)];
}

function* outerTokens(text: string): Generator<Token> {
  let depth = 0;
  for (let token = tokenAt(text, 0); token.kind !== 'end'; token = tokenAt(text, token.end)) {
    const symbol = token.kind === 'symbol' ? text.slice(token.start, token.end) : '';
    if (symbol === '(' || symbol === '[' || symbol === '{') depth += 1;
    else if (symbol === ')' || symbol === ']' || symbol === '}') depth -= 1;
    else if (depth === 0) yield token;
  }
}

function word(text: string, token: Token): string {
  return token.kind === 'word' ? text.slice(token.start, token.end).toUpperCase() : '';
}
