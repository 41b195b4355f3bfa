// What probes and monitors ask. /healthz and /readyz need no token, say nothing but whether, and are answered without the engine.

import { z } from '@hono/zod-openapi';
import { cuckooVersion, duckdbVersion } from '../version.ts';
import { protocolVersion } from '../wire/protocol.ts';
import { answer, type Desk, refusedSpec, route } from './route.ts';

/** Longer than a busy machine takes, and shorter than anybody waits. */
const mostLagMs = 5_000;

const healthSchema = z.object({ status: z.literal('ok') }).openapi('Health');
const readinessSchema = z
  .object({
    status: z.enum(['ready', 'starting', 'draining', 'troubled']),
    reasons: z.array(z.string()).openapi({ description: 'why it is not ready' }),
  })
  .openapi('Readiness');

export function healthRoutes(desk: Desk): void {
  open(desk, {
    path: '/healthz',
    operationId: 'health',
    summary: 'Whether the process lives',
    answers: { 200: { description: 'it does', content: healthSchema } },
    handle: () => answer(200, { status: 'ok' }),
  });
  open(desk, {
    path: '/readyz',
    operationId: 'readiness',
    summary: 'Whether it takes requests and runs what is due',
    answers: {
      200: { description: 'it does', content: readinessSchema },
      503: { description: 'it does not, for the moment', content: readinessSchema },
    },
    handle: () => {
      const { status, reasons } = readiness(desk);
      return answer(status === 'ready' ? 200 : 503, { status, reasons });
    },
  });
}

function readiness({ parts }: Desk): z.infer<typeof readinessSchema> {
  const { scheduler } = parts.engine;
  const state = parts.state();
  if (state !== 'ready') return { status: state, reasons: [`the daemon is ${state}`] };
  const reasons = [
    ...(scheduler.troubled ? ['the ledger cannot be written'] : []),
    ...(scheduler.storageLow ? ['the disk is nearly full: nothing is opened'] : []),
    ...(scheduler.lagMs > mostLagMs ? [`the scheduler was ${Math.round(scheduler.lagMs / 1000)} s late`] : []),
  ];
  return { status: reasons.length === 0 ? 'ready' : 'troubled', reasons };
}

/** Like any other in the document; on its way there are no checks but those of the origin. */
function open(
  { app, methods }: Desk,
  page: {
    readonly path: string;
    readonly operationId: string;
    readonly summary: string;
    readonly answers: Readonly<Record<number, { readonly description: string; readonly content: z.ZodType }>>;
    readonly handle: () => Response;
  },
): void {
  const { path, operationId, summary, answers, handle } = page;
  methods.set(path, new Set(['GET']));
  const responses = Object.fromEntries(
    Object.entries(answers).map(([status, { description, content }]) => [
      status,
      { description, content: { 'application/json': { schema: content } } },
    ]),
  );
  app.openAPIRegistry.registerPath({
    method: 'get',
    path,
    operationId,
    summary,
    tags: ['health'],
    security: [],
    responses: { ...responses, default: refusedSpec },
  });
  app.get(path, (context) => {
    context.set('route', path);
    return handle();
  });
}

const versionSchema = z
  .object({
    version: z.string().openapi({ example: '0.1.0' }),
    duckdb: z.string().openapi({ example: '1.5.6' }),
    api: z.literal('v1'),
    protocol: z.int().openapi({ description: 'of the sessions that shells open' }),
    node: z.string(),
  })
  .openapi('Version');

export function versionRoute(desk: Desk): void {
  const { parts } = desk;
  route(
    desk,
    {
      method: 'get',
      path: '/version',
      operationId: 'version',
      summary: 'What runs here',
      tag: 'health',
      role: 'viewer',
      answers: { 200: { description: 'versions', content: versionSchema } },
    },
    async () =>
      answer(200, { version: cuckooVersion, duckdb: duckdbVersion, api: 'v1', protocol: protocolVersion, node: process.versions.node }),
  );
  const { metrics } = parts;
  if (metrics === undefined) return;
  route(
    desk,
    {
      method: 'get',
      path: '/metrics',
      operationId: 'metrics',
      summary: 'Measurements for Prometheus',
      tag: 'health',
      role: 'viewer',
      answers: { 200: { description: 'its text format', content: { 'text/plain': z.string() } } },
    },
    async () => new Response(await metrics(), { headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' } }),
  );
}
