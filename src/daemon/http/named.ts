// What is looked up by its name and no more than that: calendars, procedures, pipelines. All are lists by name, and each is one row.

import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import { nameKey } from '../../core/name.ts';
import { Conditions, cursorIn, limitOf, nextCursor, pageOf, placeIn } from './pages.ts';
import { answer, type Desk, route } from './route.ts';

export interface Named {
  readonly noun: 'calendar' | 'procedure' | 'pipeline';
  readonly schema: z.ZodType;
  readonly summary: string;
}

export function namedRoutes(desk: Desk, { noun, schema, summary }: Named): void {
  const { statements } = desk;
  const plural = `${noun}s`;
  const path = `/api/v1/${plural}`;
  const title = noun.charAt(0).toUpperCase() + noun.slice(1);
  route(
    desk,
    {
      method: 'get',
      path,
      operationId: `list${title}s`,
      summary: `All ${plural}, by name`,
      tag: plural,
      role: 'viewer',
      query: z.strictObject({ limit: limitOf(100), cursor: cursorIn }),
      answers: { 200: { description: 'a page of them', content: z.object({ [plural]: z.array(schema), next_cursor: nextCursor }) } },
    },
    async ({ query: { limit, cursor } }) => {
      const conditions = new Conditions();
      const [after] = placeIn(cursor, 1) ?? [];
      if (after !== undefined) conditions.add('name > $after', { after });
      const rows = await statements.read(
        `LIST ${plural.toUpperCase()}${conditions.where} ORDER BY name LIMIT ${limit + 1}`,
        conditions.values,
      );
      const page = pageOf(rows, limit, ['name']);
      return answer(200, { [plural]: page.rows, next_cursor: page.next_cursor });
    },
  );
  route(
    desk,
    {
      method: 'get',
      path: `${path}/{name}`,
      operationId: `get${title}`,
      summary,
      tag: plural,
      role: 'viewer',
      params: z.object({ name: z.string() }),
      answers: { 200: { description: `as cron.${plural} has it`, content: schema } },
    },
    async ({ params: { name } }) => {
      const rows = await statements.read(`LIST ${plural.toUpperCase()} WHERE lower(name) = lower($name)`, { name });
      const found = rows.find((row) => nameKey(String(row['name'])) === nameKey(name));
      if (found === undefined) {
        throw new Diagnostic('undefined_object', `${noun} ${name} does not exist`, { hint: `GET ${path} has those there are` });
      }
      return answer(200, found);
    },
  );
}
