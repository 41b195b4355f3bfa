// Dead letters: executions that have failed for good and that nobody has dealt with yet.

import { z } from '@hono/zod-openapi';
import type { DeadLetterStatement } from '../../parser/ast.ts';
import { nowhere } from '../../parser/make.ts';
import { runAnswer } from './outcome.ts';
import { Conditions, cursorIn, limitOf, nextCursor, pageOf, placeIn } from './pages.ts';
import { answer, type Desk, route } from './route.ts';
import { carried, executionSchema, runSchema } from './schemas.ts';
import { type Carried, textIn } from './statements.ts';

const tag = 'dead letters';
const letters = '/api/v1/dead-letters';
const byId = z.object({ id: z.string().openapi({ description: 'its run_id' }) });

const eachSchema = z
  .object({
    ...carried,
    runs: z.array(
      z.object({ run_id: z.string(), schedule: z.string().nullable(), outcome: z.string().optional(), state: z.string().optional() }),
    ),
  })
  .openapi('DeadLetterOutcomes');

export function deadLetterRoutes(desk: Desk): void {
  const { statements } = desk;
  route(
    desk,
    {
      method: 'get',
      path: letters,
      operationId: 'listDeadLetters',
      summary: 'What has failed for good, the newest first',
      tag,
      role: 'viewer',
      query: z.strictObject({ job: z.string().optional(), limit: limitOf(50), cursor: cursorIn }),
      answers: {
        200: { description: 'a page of them', content: z.object({ dead_letters: z.array(executionSchema), next_cursor: nextCursor }) },
      },
    },
    async ({ query: { job, limit, cursor } }) => {
      const conditions = new Conditions();
      if (job !== undefined) conditions.add('lower(schedule) = lower($job)', { job });
      const [finished, run] = placeIn(cursor, 2) ?? [];
      if (finished !== undefined && run !== undefined) {
        const earlier = 'finished_at < $finished::TIMESTAMPTZ OR (finished_at = $finished::TIMESTAMPTZ AND run_id < $run)';
        conditions.add(earlier, { finished, run });
      }
      const rows = await statements.read(`LIST DEAD LETTERS${conditions.where} LIMIT ${limit + 1}`, conditions.values);
      const page = pageOf(rows, limit, ['finished_at', 'run_id']);
      return answer(200, { dead_letters: page.rows, next_cursor: page.next_cursor });
    },
  );
  route(
    desk,
    {
      method: 'post',
      path: `${letters}/{id}/retry`,
      operationId: 'retryDeadLetter',
      summary: 'Try it again',
      tag,
      role: 'operator',
      params: byId,
      answers: {
        200: { description: 'it has ended', content: runSchema },
        202: { description: 'it waits for its turn', content: runSchema },
      },
    },
    async ({ params, caller }) => runAnswer(await statements.change(caller, statementOf('retryDeadLetter', params.id))),
  );
  route(
    desk,
    {
      method: 'delete',
      path: `${letters}/{id}`,
      operationId: 'dropDeadLetter',
      summary: 'Forget it; its history stays',
      tag,
      role: 'operator',
      params: byId,
      answers: { 200: { description: 'it is gone', content: eachSchema } },
    },
    async ({ params, caller }) => eachAnswer(await statements.change(caller, statementOf('dropDeadLetter', params.id))),
  );
  route(
    desk,
    {
      method: 'post',
      path: `${letters}/retry`,
      operationId: 'retryAllDeadLetters',
      summary: 'Try all of them again',
      tag,
      role: 'operator',
      answers: { 200: { description: 'what has become of each', content: eachSchema } },
    },
    async ({ caller }) => eachAnswer(await statements.change(caller, statementOf('retryDeadLetter', undefined))),
  );
  route(
    desk,
    {
      method: 'delete',
      path: letters,
      operationId: 'dropAllDeadLetters',
      summary: 'Forget all of them; their history stays',
      tag,
      role: 'operator',
      answers: { 200: { description: 'what has become of each', content: eachSchema } },
    },
    async ({ caller }) => eachAnswer(await statements.change(caller, statementOf('dropDeadLetter', undefined))),
  );
}

function statementOf(kind: DeadLetterStatement['kind'], id: string | undefined): DeadLetterStatement {
  return { kind, run: id === undefined ? undefined : textIn(id), span: nowhere };
}

function eachAnswer({ sql, warnings, rows }: Carried): Response {
  const runs = rows.map(({ run_id, schedule, outcome, state }) => ({ run_id, schedule, outcome, state }));
  return answer(200, { sql, warnings, runs });
}
