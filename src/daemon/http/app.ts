// The HTTP door: what it is made of, and in which order a request passes its checks.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, Hono, MiddlewareHandler } from 'hono';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Clock } from '../../scheduler/clock.ts';
import { type Access, adminName, type Caller } from '../access.ts';
import { sessionsPath } from '../wire/protocol.ts';
import { calendarRoutes } from './calendars.ts';
import { deadLetterRoutes } from './deadLetters.ts';
import { documentRoute } from './document.ts';
import { executionRoutes } from './executions.ts';
import { healthRoutes, versionRoute } from './health.ts';
import { jobRoutes } from './jobs.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { namedRoutes } from './named.ts';
import { mustBeOurs } from './origin.ts';
import { Refusal } from './problem.ts';
import { queueRoutes } from './queues.ts';
import { RateLimit } from './rate.ts';
import { type Desk, mustBeAllowed, mustNotBeTooOften } from './route.ts';
import { pipelineSchema, procedureSchema } from './schemas.ts';
import { sqlRoute } from './sql.ts';
import { Statements } from './statements.ts';
import { streamRoute } from './stream.ts';
import { upcomingRoute } from './upcoming.ts';

export interface AppParts {
  readonly engine: Engine;
  readonly access: Access;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Of the whole daemon, as /readyz tells it. */
  state(): 'ready' | 'starting' | 'draining';
  /** What /metrics answers; without it there is no such page. */
  readonly metrics?: () => Promise<string>;
  /** Each answer, for the metrics: the route as it is written (`/api/v1/jobs/{name}`), never what was asked for. */
  readonly observed?: (answer: ObservedAnswer) => void;
  /** The sessions of shells (wire/), mounted as they are. */
  readonly sessions?: Hono;
  /** The engine can reach nothing outside of the file: operators may define, viewers may SELECT. */
  readonly sandbox?: boolean;
  /** Names under which a request may ask for this machine, besides its addresses: `cuckoo.example.org`. */
  readonly names?: readonly string[];
  readonly limits?: Partial<Limits>;
}

/** As pino has it. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ObservedAnswer {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
}

/** What a request carries besides itself. */
export interface AppEnv {
  Bindings: {
    readonly incoming: IncomingMessage;
    readonly outgoing: ServerResponse;
    /** unix: the socket beside the file, which only its owner can open; it needs no token. */
    readonly door: 'tcp' | 'unix';
  };
  Variables: {
    /** Who asks; known before any route is looked at. */
    caller: Caller;
    /** As it is written: `/api/v1/jobs/{name}`. */
    route: string;
  };
}

export interface App {
  readonly hono: OpenAPIHono<AppEnv>;
  readonly limits: Limits;
  isDraining(): boolean;
  /** Ends the answers that have no end of their own, and lets go of the engine. Safe to call twice. */
  close(): Promise<void>;
}

export function createApp(parts: AppParts): App {
  const limits = { ...defaultLimits, ...parts.limits };
  const app = new OpenAPIHono<AppEnv>();
  const draining = new AbortController();
  const desk: Desk = {
    app,
    parts,
    limits,
    statements: new Statements(parts.engine, limits),
    rate: new RateLimit(limits.rate, parts.clock),
    draining: draining.signal,
    methods: new Map(),
  };
  app.use(observe(parts));
  app.use(checkOrigin(parts));
  healthRoutes(desk);
  app.use(checkToken(parts));
  versionRoute(desk);
  if (parts.sessions !== undefined) {
    app.use(`${sessionsPath}/*`, onlyAdmins);
    app.route('/', parts.sessions);
  }
  sqlRoute(desk);
  jobRoutes(desk);
  executionRoutes(desk);
  queueRoutes(desk);
  deadLetterRoutes(desk);
  calendarRoutes(desk);
  namedRoutes(desk, { noun: 'procedure', schema: procedureSchema, summary: 'One procedure' });
  namedRoutes(desk, { noun: 'pipeline', schema: pipelineSchema, summary: 'One pipeline' });
  upcomingRoute(desk);
  streamRoute(desk);
  documentRoute(desk);
  app.notFound((context) => notFound(desk, context));
  app.onError((error, context) => refused(parts, error, context));
  return {
    hono: app,
    limits,
    isDraining: () => parts.state() === 'draining',
    close: async () => {
      draining.abort();
      await desk.statements.close();
    },
  };
}

// ---- In this order ----

/** Each answer is told once, by the route that it came from: what was asked for may hold anything. */
function observe({ logger, clock, observed }: AppParts): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const began = clock.monotonicMs();
    context.set('route', 'unknown');
    await next();
    const { method } = context.req;
    const route = context.get('route');
    const status = context.res.headers.has(alreadySent) ? context.env.outgoing.statusCode : context.res.status;
    const durationMs = clock.monotonicMs() - began;
    observed?.({ method, route, status, durationMs });
    if (quiet.has(route) && status < 400) return;
    logger.debug({ method, route, status, durationMs: Math.round(durationMs), caller: context.get('caller')?.name }, 'request');
  };
}

const quiet: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);
const alreadySent = 'x-hono-already-sent';

/** A socket beside the file is out of reach for a web page. */
function checkOrigin({ names = [] }: AppParts): MiddlewareHandler<AppEnv> {
  const known = new Set(names.map((name) => name.toLowerCase()));
  return async ({ env: { incoming, door } }, next) => {
    const { host, origin } = incoming.headers;
    const site = incoming.headers['sec-fetch-site'];
    if (door === 'tcp') {
      mustBeOurs({ host, origin, site: String(site ?? 'none'), localAddress: incoming.socket.localAddress }, known);
    }
    await next();
  };
}

function checkToken({ access }: AppParts): MiddlewareHandler<AppEnv> {
  return async (context, next) => {
    const { incoming, door } = context.env;
    const caller = door === 'unix' ? socketCaller : access.check(incoming.headers.authorization);
    if (caller === undefined) throw unknownCaller(incoming.headers.authorization !== undefined);
    context.set('caller', caller);
    await next();
  };
}

const socketCaller: Caller = { name: adminName, role: 'admin' };

function unknownCaller(hasTried: boolean): Refusal {
  const message = hasTried ? 'the token is not known here' : 'a token is needed';
  const hint = "Authorization: Bearer TOKEN; the admin's is in the file 'token' of the state folder of Cuckoo";
  return new Refusal(new Diagnostic('unauthorized', message, { hint }), {
    headers: { 'WWW-Authenticate': 'Bearer realm="cuckoo"' },
  });
}

const onlyAdmins: MiddlewareHandler<AppEnv> = async (context, next) => {
  mustBeAllowed(context.get('caller'), 'admin');
  context.set('route', sessionsPath);
  await next();
};

// ---- What ends elsewhere ----

function notFound(desk: Desk, context: Context<AppEnv>): Response {
  mustNotBeTooOften(desk, context);
  const { path, method } = context.req;
  const [found] = [...desk.methods].filter(([pattern]) => matches(pattern, path));
  if (found === undefined) {
    const hint = 'GET /openapi.json tells what there is';
    return new Refusal(new Diagnostic('undefined_object', 'there is no such page', { hint })).toResponse();
  }
  const allowed = [...found[1]].join(', ');
  const diagnostic = new Diagnostic('unsupported', `${method} is none of the methods of ${found[0]}`, { hint: `it takes ${allowed}` });
  return new Refusal(diagnostic, { status: 405, headers: { Allow: allowed } }).toResponse();
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/');
  return wanted.length === given.length && wanted.every((part, at) => part.startsWith('{') || part === given[at]);
}

function refused({ logger }: AppParts, error: unknown, context: Context<AppEnv>): Response {
  const { refusal, isMistake } = Refusal.of(error);
  if (isMistake) logger.error({ route: context.get('route'), err: error }, 'a request failed by a mistake of ours');
  return refusal.toResponse();
}
