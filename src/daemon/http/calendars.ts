// Calendars: days on which nothing fires.

import { z } from '@hono/zod-openapi';
import { nowhere } from '../../parser/make.ts';
import { type JsonNode, readJson } from '../watcher/jsonText.ts';
import { namedRoutes } from './named.ts';
import { outcomeOf } from './outcome.ts';
import { Refusal } from './problem.ts';
import { answer, type Desk, definer, route } from './route.ts';
import { anyJson, calendarSchema, carried, outcomeSchema } from './schemas.ts';
import { nameIn, valueIn } from './statements.ts';

const tag = 'calendars';
const calendar = '/api/v1/calendars/{name}';
const byName = z.object({ name: z.string().openapi({ example: 'tokyo' }) });

const texts = z.union([z.string(), z.array(z.string())]);
const bodySchema = z
  .strictObject({
    weekend: texts.optional().openapi({ example: ['sat', 'sun'] }),
    holidays: z
      .array(anyJson)
      .optional()
      .openapi({ description: 'days, or objects { day, .. }', example: ['2027-01-01'] }),
    holidays_from: z.string().nullable().optional().openapi({ description: 'SQL whose first column has the days' }),
    ics: z.string().nullable().optional().openapi({ description: 'a file in iCalendar form' }),
    country: z.string().nullable().optional().openapi({ example: 'JP' }),
    description: z.string().nullable().optional(),
    tags: texts.optional(),
  })
  .openapi('CalendarDefinition');

export function calendarRoutes(desk: Desk): void {
  const { statements } = desk;
  namedRoutes(desk, { noun: 'calendar', schema: calendarSchema, summary: 'One calendar' });
  route(
    desk,
    {
      method: 'put',
      path: calendar,
      operationId: 'putCalendar',
      summary: 'The whole definition of a calendar, new or not',
      tag,
      role: definer(desk),
      params: byName,
      body: { schema: bodySchema, isRequired: true },
      answers: {
        200: { description: 'it is so now', content: putSchema },
        201: { description: 'it is there', content: putSchema },
      },
    },
    async ({ params, bodyText, caller }) => {
      const name = nameIn(params.name);
      const definition = definitionIn(readJson(bodyText));
      const statement = {
        kind: 'define',
        verb: 'upsert',
        noun: 'calendar',
        ifNotExists: false,
        name,
        like: undefined,
        definition,
        span: nowhere,
      } as const;
      try {
        const done = await statements.change(caller, statement);
        const outcome = outcomeOf(done);
        return answer(outcome.outcome === 'created' ? 201 : 200, { ...outcome, changed: done.rows[0]?.['changed'] });
      } catch (error) {
        if (!(error instanceof Refusal) || error.status !== 404) throw error;
        throw new Refusal(error.diagnostic, { sql: error.sql, source: error.source, status: 400 });
      }
    },
  );
  route(
    desk,
    {
      method: 'delete',
      path: calendar,
      operationId: 'deleteCalendar',
      summary: 'Drop a calendar that nothing uses',
      tag,
      role: definer(desk),
      params: byName,
      answers: { 200: { description: 'it is gone', content: outcomeSchema } },
    },
    async ({ params, caller }) => {
      const names = [nameIn(params.name)];
      const done = await statements.change(caller, { kind: 'drop', noun: 'calendar', ifExists: false, names, span: nowhere });
      return answer(200, outcomeOf(done));
    },
  );
}

const putSchema = z
  .object({ ...carried, name: z.string(), outcome: z.enum(['created', 'updated', 'unchanged']), changed: z.array(z.string()) })
  .openapi('CalendarOutcome');

function definitionIn(node: JsonNode) {
  const value = valueIn(node);
  if (value.kind === 'object') return value;
  throw new TypeError('the body was checked to be an object');
}
