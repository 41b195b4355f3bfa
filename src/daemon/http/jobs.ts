// Jobs: schedules, as other schedulers call them. Each change is a statement, and what reads is the relation cron.schedules.

import { dirname } from 'node:path';
import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import { nameKey } from '../../core/name.ts';
import type { Engine } from '../../engine/engine.ts';
import { unknownJob } from '../../engine/jobs.ts';
import type { DefineStatement } from '../../parser/ast.ts';
import { entryOf, nowhere, nullValue, numberValue, objectValue } from '../../parser/make.ts';
import { type Job, readJob } from '../watcher/job.ts';
import { inFile } from '../watcher/jobFile.ts';
import { type JsonEntry, type JsonObjectNode, readJson } from '../watcher/jsonText.ts';
import { executionsQuery, executionsSchema, listExecutions } from './executions.ts';
import { type Outcome, outcomeOf, runAnswer } from './outcome.ts';
import { Conditions, cursorIn, flagIn, limitOf, nextCursor, pageOf, placeIn } from './pages.ts';
import { Refusal } from './problem.ts';
import { answer, type Desk, definer, inBody, type RouteRequest, route } from './route.ts';
import { anyJson, carried, definitionOutcomeSchema, jobSchema, jobStatuses, outcomeSchema, runSchema } from './schemas.ts';
import { nameIn, type Statements, textIn, textOf, valueIn } from './statements.ts';

const tag = 'jobs';
const jobs = '/api/v1/jobs';
const job = `${jobs}/{name}`;
const byName = z.object({ name: z.string().openapi({ example: 'nightly' }) });

export function jobRoutes(desk: Desk): void {
  reading(desk);
  defining(desk);
  switching(desk);
  running(desk);
}

// ---- Reading ----

const listQuery = z.strictObject({
  limit: limitOf(100),
  cursor: cursorIn,
  status: z.enum(jobStatuses).optional(),
  enabled: flagIn.optional(),
  queue: z.string().optional(),
  tag: z.string().optional(),
  name: z.string().optional().openapi({ description: 'a pattern of LIKE, without regard to case', example: 'load%' }),
});

function reading(desk: Desk): void {
  const { statements } = desk;
  route(
    desk,
    {
      method: 'get',
      path: jobs,
      operationId: 'listJobs',
      summary: 'All jobs, by name',
      tag,
      role: 'viewer',
      query: listQuery,
      answers: { 200: { description: 'a page of them', content: z.object({ jobs: z.array(jobSchema), next_cursor: nextCursor }) } },
    },
    async ({ query }) => {
      const { limit, cursor, status, enabled, queue, tag: label, name } = query;
      const conditions = new Conditions();
      const [after] = placeIn(cursor, 1) ?? [];
      if (after !== undefined) conditions.add('name > $after', { after });
      if (status !== undefined) conditions.add('status = $status', { status });
      if (enabled !== undefined) conditions.add('enabled = $enabled', { enabled });
      if (queue !== undefined) conditions.add('lower(queue) = lower($queue)', { queue });
      if (label !== undefined) conditions.add('list_contains(tags, $tag)', { tag: label });
      if (name !== undefined) conditions.add('name ILIKE $name', { name });
      const rows = await statements.read(`LIST SCHEDULES${conditions.where} ORDER BY name LIMIT ${limit + 1}`, conditions.values);
      const page = pageOf(rows, limit, ['name']);
      return answer(200, { jobs: page.rows, next_cursor: page.next_cursor });
    },
  );
  route(
    desk,
    {
      method: 'get',
      path: job,
      operationId: 'getJob',
      summary: 'One job',
      tag,
      role: 'viewer',
      params: byName,
      answers: { 200: { description: 'as cron.schedules has it', content: jobSchema } },
    },
    async ({ params }) => answer(200, await findJob(statements, params.name)),
  );
  route(
    desk,
    {
      method: 'get',
      path: `${job}/executions`,
      operationId: 'listJobExecutions',
      summary: 'What has become of its fires, the newest first',
      tag,
      role: 'viewer',
      params: byName,
      query: executionsQuery.omit({ job: true }),
      answers: { 200: { description: 'a page of them', content: executionsSchema } },
    },
    async ({ params, query }) => {
      const page = await listExecutions(statements, { ...query, job: params.name });
      // A job that is gone has its history; one that never was has nothing.
      if (page.executions.length === 0 && query.cursor === undefined) await findJob(statements, params.name);
      return answer(200, page);
    },
  );
  route(
    desk,
    {
      method: 'get',
      path: `${job}/upcoming`,
      operationId: 'listJobFires',
      summary: 'When it fires next',
      tag,
      role: 'viewer',
      params: byName,
      query: z.strictObject({ limit: limitOf(10, 1000) }),
      answers: { 200: { description: 'its next fires', content: firesSchema } },
    },
    async ({ params, query, caller }) => {
      const name = nameIn(params.name);
      const next = numberValue(query.limit);
      const { rows, notes, warnings } = await statements.change(caller, { kind: 'explainSchedule', name, next, span: nowhere });
      const fires = rows.map(({ scheduled_at, local_time, note }) => ({ scheduled_at, local_time, note }));
      return answer(200, { schedule: params.name, in_words: notes[0] ?? '', fires, warnings });
    },
  );
}

const firesSchema = z
  .object({
    schedule: z.string(),
    in_words: z.string().openapi({ example: 'at 02:00 every day (UTC)' }),
    fires: z.array(z.object({ scheduled_at: z.string().openapi({ format: 'date-time' }), local_time: z.string(), note: z.string() })),
    warnings: carried.warnings,
  })
  .openapi('JobFires');

async function findJob(statements: Statements, name: string) {
  const rows = await statements.read('LIST SCHEDULES WHERE lower(name) = lower($name)', { name });
  // DuckDB folds more letters than names do.
  const found = rows.find((row) => nameKey(String(row['name'])) === nameKey(name));
  if (found === undefined) throw unknownJob(name);
  return found;
}

// ---- Defining ----

const taskSchema = z.looseObject({
  type: z.string().openapi({
    description: 'execute_command, sql, procedure, pipeline, handler, or a registered one',
    example: 'execute_command',
  }),
  command: anyJson.optional(),
});

const anything = anyJson.optional();
const bodySchema = z
  .looseObject({
    name: z.string().optional().openapi({ description: 'or job_id, or id', example: 'nightly' }),
    schedule: anyJson
      .optional()
      .openapi({ description: 'or sched, or cron_expression: a cadence, or a list of them', example: '0 2 * * *' }),
    run_at: z.string().optional().openapi({ description: 'an instant: runs once' }),
    timezone: z.string().nullable().optional().openapi({ example: 'Europe/Berlin' }),
    task: taskSchema.optional().openapi({ description: 'or one of sql, command, handler, or exe with call' }),
    sql: anything,
    command: anything,
    handler: anything,
    exe: anything,
    call: anything,
    params: anything,
    config: anything,
    enabled: z.boolean().nullable().optional(),
    description: z.string().nullable().optional(),
  })
  .openapi('JobDefinition', {
    description: 'and every other key of UPSERT SCHEDULE, such as timeout, max_retries, overlap, catchup, after, queue',
  });

function defining(desk: Desk): void {
  const { statements } = desk;
  route(
    desk,
    {
      method: 'post',
      path: jobs,
      operationId: 'createJob',
      summary: 'A new job',
      tag,
      role: definer(desk),
      body: { schema: bodySchema, isRequired: true },
      answers: { 201: { description: 'it is there', content: definitionOutcomeSchema } },
    },
    async (request) => {
      const content = await define(desk, request, 'create', undefined);
      return answer(201, content, { Location: `${jobs}/${encodeURIComponent(content.name)}` });
    },
  );
  route(
    desk,
    {
      method: 'put',
      path: job,
      operationId: 'putJob',
      summary: 'The whole definition of a job, new or not',
      tag,
      role: definer(desk),
      params: byName,
      body: { schema: bodySchema, isRequired: true },
      answers: {
        200: { description: 'it is so now', content: definitionOutcomeSchema },
        201: { description: 'it is there', content: definitionOutcomeSchema },
      },
    },
    async (request) => {
      const content = await define(desk, request, 'upsert', request.params.name);
      return answer(content.outcome === 'created' ? 201 : 200, content);
    },
  );
  route(
    desk,
    {
      method: 'put',
      path: `${job}/schedule`,
      operationId: 'putJobSchedule',
      summary: 'When it fires from now on',
      tag,
      role: definer(desk),
      params: byName,
      body: {
        schema: z.strictObject({
          cron_expression: z.string().openapi({ description: 'any cadence', example: '0 3 * * MON-FRI' }),
          timezone: z.string().nullable().optional().openapi({ description: 'null: that of the file' }),
        }),
        isRequired: true,
      },
      answers: { 200: { description: 'it is so now', content: definitionOutcomeSchema } },
    },
    async ({ params, body, caller }) => {
      const { cron_expression: expression, timezone } = body;
      const zone = timezone === undefined ? [] : [entryOf('timezone', timezone === null ? nullValue() : textIn(timezone))];
      const changes = objectValue([entryOf('sched', textIn(expression)), ...zone]);
      const done = await statements.change(caller, { kind: 'alter', noun: 'schedule', name: nameIn(params.name), changes, span: nowhere });
      return answer(200, outcomeOf(done));
    },
  );
  route(
    desk,
    {
      method: 'delete',
      path: job,
      operationId: 'deleteJob',
      summary: 'Drop a job; its history stays',
      tag,
      role: definer(desk),
      params: byName,
      answers: { 200: { description: 'it is gone', content: outcomeSchema } },
    },
    async ({ params, caller }) => {
      const names = [nameIn(params.name)];
      const done = await statements.change(caller, { kind: 'drop', noun: 'schedule', ifExists: false, names, span: nowhere });
      return answer(200, outcomeOf(done));
    },
  );
}

async function define(
  { statements, parts }: Desk,
  { bodyText, caller }: Pick<RouteRequest<unknown, unknown, unknown>, 'bodyText' | 'caller'>,
  verb: DefineStatement['verb'],
  name: string | undefined,
): Promise<Outcome> {
  const read = readDefinition(bodyText, name, parts.engine);
  const statement = { ...read.statement, verb };
  const sql = textOf(statement);
  try {
    return outcomeOf(await statements.change(caller, statement));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    // What a definition names and is not there is not the page that was asked for.
    const status = error.diagnostic.code === 'undefined_object' ? 400 : error.status;
    if (error.diagnostic.span === undefined) throw new Refusal(error.diagnostic, { status, sql });
    const origin = { kind: 'job', job: read } as const;
    throw inBody(inFile(error.diagnostic, { text: sql, origin, span: read.name.span }, bodyText), { sql, status });
  }
}

function readDefinition(bodyText: string, name: string | undefined, engine: Engine): Job {
  // A handler's path starts at the folder of the database file, whoever defines it.
  const folder = engine.path === ':memory:' ? process.cwd() : dirname(engine.path);
  try {
    const node = readJson(bodyText);
    const named = node.kind === 'object' ? withName(node, name) : node;
    return readJob(named, { folder, executors: engine.worker.executors.names, inManifest: false });
  } catch (error) {
    throw error instanceof Diagnostic ? inBody(error) : error;
  }
}

/** What the path says need not be said again, and must not be said otherwise. */
function withName(node: JsonObjectNode, name: string | undefined): JsonObjectNode {
  const entries = node.entries.map((entry) => (entry.key.text === 'cron_expression' ? renamed(entry, 'sched') : entry));
  if (name === undefined) return { ...node, entries };
  const said = entries.find(({ key }) => key.text === 'name' || key.text === 'job_id' || key.text === 'id');
  if (said === undefined) {
    const value = { kind: 'string', text: name, span: nowhere } as const;
    return { ...node, entries: [{ key: { ...value, text: 'name' }, value }, ...entries] };
  }
  if (said.value.kind === 'string' && nameKey(said.value.text) !== nameKey(name)) {
    throw new Diagnostic('invalid_value', `the path names ${name}, and the body ${said.value.text}`, {
      span: said.value.span,
      hint: 'leave it out of the body',
    });
  }
  return { ...node, entries };
}

function renamed(entry: JsonEntry, text: string): JsonEntry {
  return { ...entry, key: { ...entry.key, text } };
}

// ---- Switching ----

const verbs = { enable: true, disable: false, pause: false, resume: true } as const;

function switching(desk: Desk): void {
  const { statements } = desk;
  for (const verb of ['enable', 'disable', 'pause', 'resume'] as const) {
    for (const method of ['post', 'put'] as const) {
      route(
        desk,
        {
          method,
          path: `${job}/${verb}`,
          operationId: method === 'post' ? `${verb}Job` : `${verb}JobByPut`,
          summary: verbs[verb] ? 'Let it fire, from now on' : 'Let it fire no more; what is opened goes on',
          tag,
          role: 'operator',
          params: byName,
          answers: { 200: { description: 'it is so now', content: outcomeSchema } },
        },
        async ({ params, caller }) => {
          const names = [nameIn(params.name)];
          const done = await statements.change(caller, { kind: 'enable', verb, enabled: verbs[verb], names, all: false, span: nowhere });
          return answer(200, outcomeOf(done));
        },
      );
    }
  }
}

// ---- Running ----

const runBody = z.strictObject({
  input: z.record(z.string(), anyJson).optional().openapi({ description: 'parameters in the place of those of the job' }),
});

function running(desk: Desk): void {
  const { statements } = desk;
  for (const verb of ['run', 'execute'] as const) {
    route(
      desk,
      {
        method: 'post',
        path: `${job}/${verb}`,
        operationId: verb === 'run' ? 'runJob' : 'executeJob',
        summary: 'Run it now, besides its schedule',
        tag,
        role: 'operator',
        params: byName,
        query: z.strictObject({ wait: flagIn.optional().openapi({ description: 'answer when it has ended' }) }),
        body: { schema: runBody, isRequired: false },
        answers: {
          200: { description: 'it has ended', content: runSchema },
          202: { description: 'it waits for its turn', content: runSchema },
        },
      },
      async ({ params, query, bodyText, caller, gone }) => {
        const input = inputIn(bodyText);
        const waits = query.wait === true;
        const statement = {
          kind: 'runSchedule',
          names: [nameIn(params.name)],
          with: input,
          await: waits,
          alone: false,
          dryRun: false,
          span: nowhere,
        } as const;
        return runAnswer(waits ? await statements.await(caller, statement, gone) : await statements.change(caller, statement));
      },
    );
  }
}

function inputIn(bodyText: string) {
  if (bodyText === '') return undefined;
  const node = readJson(bodyText);
  const input = node.kind === 'object' ? node.entries.find(({ key }) => key.text === 'input')?.value : undefined;
  const value = input === undefined ? undefined : valueIn(input);
  return value?.kind === 'object' && value.entries.length > 0 ? value : undefined;
}
