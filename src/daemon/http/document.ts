// GET /openapi.json: what the routes say of themselves, made once.

import { z } from '@hono/zod-openapi';
import { cuckooVersion } from '../version.ts';
import { type Desk, route } from './route.ts';

export function documentRoute(desk: Desk): void {
  let text: string | undefined;
  route(
    desk,
    {
      method: 'get',
      path: '/openapi.json',
      operationId: 'document',
      summary: 'This document',
      tag: 'health',
      role: 'viewer',
      answers: { 200: { description: 'OpenAPI 3.1', content: z.looseObject({ openapi: z.string() }) } },
    },
    async () => {
      text ??= JSON.stringify(documentOf(desk));
      return new Response(text, { headers: { 'Content-Type': 'application/json' } });
    },
  );
}

function documentOf({ app }: Desk): object {
  app.openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: "The admin's token stands in the file `token` of the state folder; `cuckoo token create --role` makes others.",
  });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Cuckoo',
      version: cuckooVersion,
      description:
        'A scheduler inside DuckDB. Every changing request is a statement of SQL, and says in its answer which; docs/http.md has examples.',
      license: { name: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
  });
}
