// GET /upcoming: what fires next, of all jobs, in the order of time.

import { z } from '@hono/zod-openapi';
import { Diagnostic } from '../../core/diagnostic.ts';
import { Conditions, instantIn, limitOf } from './pages.ts';
import { Refusal } from './problem.ts';
import { answer, type Desk, route } from './route.ts';
import { fireSchema } from './schemas.ts';

const dayMs = 86_400_000;
/** Every fire of every job in it is computed. */
const longestMs = 31 * dayMs;

export function upcomingRoute(desk: Desk): void {
  const { statements, parts } = desk;
  route(
    desk,
    {
      method: 'get',
      path: '/api/v1/upcoming',
      operationId: 'listUpcoming',
      summary: 'What fires next, of all jobs',
      tag: 'upcoming',
      role: 'viewer',
      query: z.strictObject({
        since: instantIn.optional().openapi({ description: 'now, where it is left out' }),
        until: instantIn.optional().openapi({ description: 'a day later, where it is left out; 31 days later at most' }),
        job: z.string().optional(),
        limit: limitOf(100, 1000),
      }),
      answers: { 200: { description: 'in the order of time', content: z.object({ upcoming: z.array(fireSchema) }) } },
    },
    async ({ query: { since, until, job, limit } }) => {
      const from = since === undefined ? parts.clock.now() : Date.parse(since);
      const to = until === undefined ? from + dayMs : Date.parse(until);
      if (to - from > longestMs) {
        throw new Refusal(new Diagnostic('out_of_range', 'the query: more than 31 days are too many', { hint: 'ask for fewer at once' }));
      }
      const conditions = new Conditions();
      if (job !== undefined) conditions.add('lower(schedule) = lower($job)', { job });
      const rows = await statements.read(
        `SELECT * FROM cron.upcoming($from, $to)${conditions.where} ORDER BY scheduled_at, schedule LIMIT ${limit}`,
        { ...conditions.values, from: new Date(from).toISOString(), to: new Date(to).toISOString() },
      );
      return answer(200, { upcoming: rows });
    },
  );
}
