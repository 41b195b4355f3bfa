// Executions: runs, as other schedulers call them, the newest first. An id sorts by time, so that one is found among millions by the
// moment that it names.

import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { JsonObject } from '../../core/jsonValue.ts';
import { nowhere } from '../../parser/make.ts';
import { followLog } from './log.ts';
import { preferred } from './media.ts';
import { runAnswer } from './outcome.ts';
import { Conditions, cursorIn, instantIn, limitOf, nextCursor, pageOf, placeIn } from './pages.ts';
import { Refusal } from './problem.ts';
import { answer, type Desk, type RouteRequest, route } from './route.ts';
import { carried, executionSchema, logLineSchema, runSchema, states, stepSchema } from './schemas.ts';
import { type Statements, textIn } from './statements.ts';

const tag = 'executions';
const executions = '/api/v1/executions';
const execution = `${executions}/{id}`;
const byId = z.object({
  id: z.string().openapi({ description: 'a run_id, or as much of it as is unique', example: '01a1f9be-22d2-7001-90fa-730e9b2993fe' }),
});

export function executionRoutes(desk: Desk): void {
  reading(desk);
  changing(desk);
}

// ---- Lists ----

/** What else they are called. */
const synonyms: Readonly<Record<string, (typeof states)[number]>> = { completed: 'succeeded', success: 'succeeded', timeout: 'timed_out' };

const stateWords = [...states, ...Object.keys(synonyms)];

const statusIn = z
  .string()
  .refine((text) => text.split(',').every((word) => stateWords.includes(word.trim().toLowerCase())), {
    error: `one of ${stateWords.join(', ')}, or several with commas`,
  })
  .transform((text) => text.split(',').map((word) => synonyms[word.trim().toLowerCase()] ?? word.trim().toLowerCase()))
  .openapi({ type: 'string', description: `${stateWords.join(', ')}, or several with commas`, example: 'failed,timeout' });

export const executionsQuery = z.strictObject({
  job: z.string().optional(),
  status: statusIn.optional(),
  since: instantIn.optional().openapi({ description: 'by the time that they are for, which is not before it' }),
  until: instantIn.optional().openapi({ description: 'and before this' }),
  limit: limitOf(50),
  cursor: cursorIn,
});

export const executionsSchema = z.object({ executions: z.array(executionSchema), next_cursor: nextCursor }).openapi('Executions');

interface Filter {
  readonly job?: string | undefined;
  readonly status?: readonly string[] | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export async function listExecutions(
  statements: Statements,
  { job, status, since, until, limit, cursor }: Filter,
): Promise<{ executions: readonly JsonObject[]; next_cursor: string | null }> {
  const conditions = new Conditions();
  if (job !== undefined) conditions.add('lower(schedule) = lower($job)', { job });
  if (status !== undefined) conditions.add(`state IN (${status.map((word) => `'${word}'`).join(', ')})`);
  if (since !== undefined) conditions.add('scheduled_at >= $since::TIMESTAMPTZ', { since });
  if (until !== undefined) conditions.add('scheduled_at < $until::TIMESTAMPTZ', { until });
  const [opened, run] = placeIn(cursor, 2) ?? [];
  if (opened !== undefined && run !== undefined) {
    conditions.add('opened_at < $opened::TIMESTAMPTZ OR (opened_at = $opened::TIMESTAMPTZ AND run_id < $run)', { opened, run });
  }
  const rows = await statements.read(`LIST RUNS${conditions.where} LIMIT ${limit + 1}`, conditions.values);
  const page = pageOf(rows, limit, ['opened_at', 'run_id']);
  return { executions: page.rows, next_cursor: page.next_cursor };
}

function reading(desk: Desk): void {
  const { statements } = desk;
  route(
    desk,
    {
      method: 'get',
      path: executions,
      operationId: 'listExecutions',
      summary: 'What has become of all fires, the newest first',
      tag,
      role: 'viewer',
      query: executionsQuery,
      answers: { 200: { description: 'a page of them', content: executionsSchema } },
    },
    async ({ query }) => answer(200, await listExecutions(statements, query)),
  );
  route(
    desk,
    {
      method: 'get',
      path: execution,
      operationId: 'getExecution',
      summary: 'One execution',
      tag,
      role: 'viewer',
      params: byId,
      answers: { 200: { description: 'as cron.runs has it', content: executionSchema } },
    },
    async (request) => answer(200, await findExecution(statements, request)),
  );
  route(
    desk,
    {
      method: 'get',
      path: `${execution}/steps`,
      operationId: 'listSteps',
      summary: 'The steps of a pipeline, and each item of a for_each',
      tag,
      role: 'viewer',
      params: byId,
      query: z.strictObject({ limit: limitOf(500), cursor: cursorIn }),
      answers: { 200: { description: 'a page of them', content: z.object({ steps: z.array(stepSchema), next_cursor: nextCursor }) } },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const { run_id: run, opened_at: opened } = await findExecution(statements, request);
      const [passed = '0'] = placeIn(cursor, 1) ?? [];
      // Steps of an open run may still come: those that are there keep their places.
      const offset = /^\d{1,9}$/.test(passed) ? Number(passed) : 0;
      const rows = await statements.read(
        `LIST STEP_RUNS WHERE run_id = $run AND (started_at >= $opened::TIMESTAMPTZ OR started_at IS NULL) ORDER BY coalesce(started_at, finished_at) NULLS LAST, step, item LIMIT ${limit + 1} OFFSET ${offset}`,
        { run: String(run), opened: String(opened) },
      );
      const next = rows.length > limit ? Buffer.from(JSON.stringify([String(offset + limit)])).toString('base64url') : null;
      return answer(200, { steps: rows.slice(0, limit), next_cursor: next });
    },
  );
  route(
    desk,
    {
      method: 'get',
      path: `${execution}/logs`,
      operationId: 'listLogs',
      summary: 'Its lines; with Accept: text/event-stream those that come, too, until it has ended',
      tag,
      role: 'viewer',
      params: byId,
      query: z.strictObject({ limit: limitOf(500, 2000), cursor: cursorIn, step: z.string().optional() }),
      answers: {
        200: {
          description: 'a page of them, or all of them as events `line`, and `end` with the execution',
          content: {
            'application/json': z.object({ lines: z.array(logLineSchema), next_cursor: nextCursor }),
            'text/event-stream': z.string(),
          },
        },
      },
    },
    async (request) => {
      const found = await findExecution(statements, request);
      const { accept } = request.context.env.incoming.headers;
      if (preferred(accept, ['application/json', 'text/event-stream']) === 'text/event-stream')
        return followLog(desk, request, String(found['run_id']));
      return answer(200, await logPage(statements, found, request.query));
    },
  );
}

async function logPage(
  statements: Statements,
  { run_id: run, opened_at: opened }: JsonObject,
  { limit, cursor, step }: { readonly limit: number; readonly cursor?: string | undefined; readonly step?: string | undefined },
) {
  const conditions = new Conditions().add('run_id = $run', { run: String(run) });
  conditions.add('logged_at >= $opened::TIMESTAMPTZ', { opened: String(opened) });
  if (step !== undefined) conditions.add('step = $step', { step });
  const [after] = placeIn(cursor, 1) ?? [];
  if (after !== undefined) conditions.add('logged_at > $after::TIMESTAMPTZ', { after });
  const rows = await statements.read(`LIST RUN_LOGS${conditions.where} ORDER BY logged_at LIMIT ${limit + 1}`, conditions.values);
  const page = pageOf(rows, limit, ['logged_at']);
  return { lines: page.rows, next_cursor: page.next_cursor };
}

// ---- One ----

/** The clocks of an id and of its row are one; a moment more costs nothing. */
const aroundMs = 2000;

export async function findExecution(
  statements: Statements,
  { params: { id }, caller }: Pick<RouteRequest<{ readonly id: string }, unknown, unknown>, 'params' | 'caller'>,
): Promise<JsonObject> {
  const digits = id.toLowerCase().replaceAll('-', '');
  if (!/^[0-9a-f]{8,32}$/.test(digits)) throw unknownRun(id);
  const whole = digits.length === 32 ? await readExecution(statements, digits) : undefined;
  if (whole !== undefined) return whole;
  // The engine knows what is unique.
  const described = await statements.change(caller, { kind: 'describeRun', run: textIn(digits), span: nowhere });
  const named = described.rows.find(({ property }) => property === 'run_id')?.['value'];
  const found = await readExecution(statements, String(named).replaceAll('-', ''));
  if (found === undefined) throw unknownRun(id);
  return found;
}

async function readExecution(statements: Statements, digits: string): Promise<JsonObject | undefined> {
  const run = digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const at = Number.parseInt(digits.slice(0, 12), 16);
  const lastDate = 253_402_300_799_000;
  if (at > lastDate) return undefined;
  const [found] = await statements.read(
    'LIST RUNS WHERE opened_at >= $from::TIMESTAMPTZ AND opened_at <= $to::TIMESTAMPTZ AND run_id = $run LIMIT 1',
    { run, from: new Date(at - aroundMs).toISOString(), to: new Date(at + aroundMs).toISOString() },
  );
  return found;
}

function unknownRun(id: string): Diagnostic {
  return new Diagnostic('undefined_object', `there is no execution ${id}`, { hint: `GET ${executions} has those there are` });
}

// ---- Changing ----

const cancelledSchema = z
  .object({
    ...carried,
    run_id: z.string(),
    schedule: z.string().nullable(),
    outcome: z.string().openapi({ description: 'cancelled; cancelling where it takes longer to end; or how it ended first' }),
  })
  .openapi('Cancelled');

function changing(desk: Desk): void {
  const { statements } = desk;
  for (const [method, path, operationId] of [
    ['post', `${execution}/cancel`, 'cancelExecution'],
    ['delete', execution, 'deleteExecution'],
  ] as const) {
    route(
      desk,
      {
        method,
        path,
        operationId,
        summary: 'End it: what waits is closed, what is at work is asked to end',
        tag,
        role: 'operator',
        params: byId,
        answers: { 200: { description: 'what has become of it', content: cancelledSchema } },
      },
      async (request) => {
        const { run_id: run } = await findExecution(statements, request);
        try {
          const statement = { kind: 'cancelRun', run: textIn(String(run)), span: nowhere } as const;
          const { sql, warnings, rows } = await statements.await(request.caller, statement, request.gone);
          return answer(200, { sql, warnings, ...rows[0] });
        } catch (error) {
          // The id is a good one: it has ended already.
          if (error instanceof Refusal && error.diagnostic.code === 'invalid_value') {
            throw new Refusal(error.diagnostic, { sql: error.sql, source: error.source, status: 409 });
          }
          throw error;
        }
      },
    );
  }
  route(
    desk,
    {
      method: 'post',
      path: `${execution}/retry`,
      operationId: 'retryExecution',
      summary: 'The next attempt of the same fire',
      tag,
      role: 'operator',
      params: byId,
      answers: {
        200: { description: 'it has ended', content: runSchema },
        202: { description: 'it waits for its turn', content: runSchema },
      },
    },
    async (request) => {
      const { run_id: run } = await findExecution(statements, request);
      const statement = { kind: 'retryRun', run: textIn(String(run)), span: nowhere } as const;
      try {
        return runAnswer(await statements.change(request.caller, statement));
      } catch (error) {
        if (error instanceof Refusal && error.diagnostic.code === 'invalid_value') {
          throw new Refusal(error.diagnostic, { sql: error.sql, source: error.source, status: 409 });
        }
        throw error;
      }
    },
  );
}
