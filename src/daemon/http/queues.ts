// Queues: how many wait, are at work and have ended; and whether anything is taken from them.

import { z } from '@hono/zod-openapi';
import { nowhere } from '../../parser/make.ts';
import { outcomeOf } from './outcome.ts';
import { answer, type Desk, route } from './route.ts';
import { outcomeSchema, queueSchema, queueStatusSchema } from './schemas.ts';
import { nameIn } from './statements.ts';

const tag = 'queues';
const queues = '/api/v1/queues';

export function queueRoutes(desk: Desk): void {
  const { statements } = desk;
  route(
    desk,
    {
      method: 'get',
      path: queues,
      operationId: 'listQueues',
      summary: 'All queues',
      tag,
      role: 'viewer',
      answers: { 200: { description: 'by name', content: z.object({ queues: z.array(queueSchema) }) } },
    },
    async () => answer(200, { queues: await statements.read('LIST QUEUES') }),
  );
  route(
    desk,
    {
      method: 'get',
      path: `${queues}/status`,
      operationId: 'getQueueStatus',
      summary: 'How full the queues are, and how busy the workers',
      tag,
      role: 'viewer',
      answers: { 200: { description: 'at this moment', content: queueStatusSchema } },
    },
    async () => {
      const columns = 'name, paused, pending, active, completed, failed, scheduled';
      const [rows, [workers]] = await Promise.all([
        statements.read(`SELECT ${columns} FROM cron.queues ORDER BY name`),
        statements.read('LIST WORKERS'),
      ]);
      return answer(200, { queues: rows, workers });
    },
  );
  for (const verb of ['pause', 'resume'] as const) {
    route(
      desk,
      {
        method: 'post',
        path: `${queues}/{name}/${verb}`,
        operationId: `${verb}Queue`,
        summary: verb === 'pause' ? 'Take nothing from it any more; what waits stays' : 'Take from it again',
        tag,
        role: 'operator',
        params: z.object({ name: z.string().openapi({ example: 'default' }) }),
        answers: { 200: { description: 'it is so now', content: outcomeSchema } },
      },
      async ({ params, caller }) => {
        const statement = { kind: 'pauseQueue', paused: verb === 'pause', name: nameIn(params.name), span: nowhere } as const;
        return answer(200, outcomeOf(await statements.change(caller, statement)));
      },
    );
  }
}
