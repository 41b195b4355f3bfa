// One route: what it is called, who may use it, what it takes and what it answers, said once. Of it are made the page of the document
// and the way of a request to its handler: role, rate, values, body, and only then the work.

import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Diagnostic } from '../../core/diagnostic.ts';
import { suggest } from '../../parser/suggest.ts';
import { allows, type Caller, type Role } from '../access.ts';
import { readJson } from '../watcher/jsonText.ts';
import type { AppEnv, AppParts } from './app.ts';
import { hasBody, mustNotBeForm, readJsonText } from './body.ts';
import type { Limits } from './limits.ts';
import { goneSignal } from './pour.ts';
import { problemSchema, problemType, Refusal } from './problem.ts';
import type { RateLimit } from './rate.ts';
import type { Statements } from './statements.ts';

type Method = 'get' | 'post' | 'put' | 'delete';

/** What a route is made of; without a schema there is nothing of that kind. */
export interface RouteSpec<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType> {
  readonly method: Method;
  /** `/api/v1/jobs/{name}` */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  readonly role: Role;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: { readonly schema: Body; readonly isRequired: boolean; readonly mostBytes?: number };
  readonly answers: Readonly<Record<number, AnswerSpec>>;
}

export interface AnswerSpec {
  readonly description: string;
  /** By media type; a bare schema is one of JSON. */
  readonly content?: Readonly<Record<string, z.ZodType>> | z.ZodType;
}

export interface RouteRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  /** undefined where none came and none is required. */
  readonly body: Body;
  /** As it came, for those who read it more exactly; empty where there is none. */
  readonly bodyText: string;
  readonly caller: Caller;
  readonly context: Context<AppEnv>;
  /** Aborted when the client goes. */
  readonly gone: AbortSignal;
}

/** What all routes share. */
export interface Desk {
  readonly app: OpenAPIHono<AppEnv>;
  readonly parts: AppParts;
  readonly limits: Limits;
  readonly statements: Statements;
  readonly rate: RateLimit;
  /** Aborted when the daemon drains: answers without an end come to one. */
  readonly draining: AbortSignal;
  /** Methods by path, for 405. */
  readonly methods: Map<string, Set<string>>;
}

type Handler<Params, Query, Body> = (request: RouteRequest<Params, Query, Body>) => Promise<Response>;

export function route<
  Params extends z.ZodType = z.ZodUndefined,
  Query extends z.ZodType = z.ZodUndefined,
  Body extends z.ZodType = z.ZodUndefined,
>(desk: Desk, spec: RouteSpec<Params, Query, Body>, handler: Handler<z.output<Params>, z.output<Query>, z.output<Body>>): void {
  const { app, limits, methods } = desk;
  describe(desk, spec);
  const method = spec.method.toUpperCase();
  methods.set(spec.path, (methods.get(spec.path) ?? new Set()).add(method));
  app.on(method, spec.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (context) => {
    context.set('route', spec.path);
    const { incoming, outgoing } = context.env;
    const caller = context.get('caller');
    mustBeAllowed(caller, spec.role);
    mustNotBeTooOften(desk, context);
    const params = checked(spec.params, context.req.param(), 'the path');
    const query = checked(spec.query ?? noQuery, context.req.query(), 'the query');
    const mostBytes = spec.body?.mostBytes ?? limits.bodyBytes;
    mustNotBeForm(incoming);
    const wanted = spec.body !== undefined && (spec.body.isRequired || hasBody(incoming));
    const bodyText = wanted ? await readJsonText({ incoming, outgoing, mostBytes }) : '';
    const body = wanted ? checked(spec.body?.schema, jsonIn(bodyText), 'the body') : undefined;
    return handler({
      params,
      query: query as z.output<Query>,
      body: body as z.output<Body>,
      bodyText,
      caller,
      context,
      gone: goneSignal(context),
    });
  });
}

/** Nobody sends what is not read. */
const noQuery = z.strictObject({});

export function answer(status: number, content: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(content), { status, headers: { 'Content-Type': 'application/json', ...headers } });
}

/** A definition reaches as far as SQL text does. */
export function definer({ parts }: Desk): Role {
  return parts.sandbox === true ? 'operator' : 'admin';
}

export function mustBeAllowed(caller: Caller, needed: Role): void {
  if (allows(caller.role, needed)) return;
  throw new Refusal(
    new Diagnostic(
      'forbidden',
      `the token ${caller.name} is a ${caller.role}'s, and this takes ${needed === 'viewer' ? 'a' : 'an'} ${needed}'s`,
      {
        hint: 'cuckoo token create --role makes others',
      },
    ),
  );
}

/** Whoever comes by the socket beside the file can do everything anyway. */
export function mustNotBeTooOften({ rate }: Pick<Desk, 'rate'>, context: Context<AppEnv>): void {
  if (context.env.door === 'unix') return;
  const { name } = context.get('caller');
  const seconds = rate.take(name);
  if (seconds === undefined) return;
  throw new Refusal(new Diagnostic('too_busy', `the token ${name} asks too often`, { hint: `ask again in ${seconds} s` }), {
    headers: { 'Retry-After': String(seconds) },
  });
}

// ---- What comes in ----

function jsonIn(text: string): unknown {
  mustBeShallow(text);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // Our own reader knows the place.
    try {
      readJson(text);
    } catch (better) {
      if (better instanceof Diagnostic) throw inBody(better);
    }
    throw new Refusal(new Diagnostic('syntax_error', 'the body is not JSON', { cause: error }));
  }
}

/** As deep as definitions may be; far from where recursion ends, ours and that of others. */
const deepest = 64;

function mustBeShallow(text: string): void {
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"?|[[\]{}]/gs)) {
    if (token === '[' || token === '{') depth += 1;
    else if (token === ']' || token === '}') depth -= 1;
    if (depth > deepest) throw new Refusal(new Diagnostic('too_large', `values are nested more than ${deepest} deep`), { status: 400 });
  }
}

/** A mistake in the text of a body, which our reader takes for a file. */
export function inBody(error: Diagnostic, { sql, status = 400 }: { readonly sql?: string; readonly status?: number } = {}): Refusal {
  const { code, message, span, hint, cause, more } = error;
  const inOurWords = new Diagnostic(code, message.replace(/^the file\b/, 'the body'), { span, hint, cause, more });
  return new Refusal(inOurWords, { status, source: 'body', sql });
}

function checked<Schema extends z.ZodType>(schema: Schema | undefined, given: unknown, where: string): z.output<Schema> {
  if (schema === undefined) return undefined as z.output<Schema>;
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [first, ...more] = result.error.issues.map((issue) => mistakeOf(issue, schema, where));
  throw new Refusal(Diagnostic.all([first ?? new Diagnostic('invalid_value', `${where} is refused`), ...more]), { status: 400 });
}

function mistakeOf(issue: z.core.$ZodIssue, schema: z.ZodType, where: string): Diagnostic {
  const place = issue.path.length === 0 ? where : `${where}: ${issue.path.map(String).join('.')}`;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const legal = schema instanceof z.ZodObject && issue.path.length === 0 ? Object.keys(schema.shape) : [];
    const near = suggest(key, legal);
    const takes = legal.length === 0 ? 'it takes none' : `it takes ${legal.join(', ')}`;
    return new Diagnostic('unknown_key', `${place} has no ${JSON.stringify(key)}`, {
      hint: near === undefined ? takes : `did you mean ${JSON.stringify(near)}?`,
    });
  }
  return new Diagnostic(issue.code === 'invalid_type' ? 'wrong_type' : 'invalid_value', `${place}: ${issue.message}`);
}

// ---- The document ----

function describe<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  { app }: Desk,
  { method, path, operationId, summary, description, tag, role, params, query, body, answers }: RouteSpec<Params, Query, Body>,
): void {
  const responses: Record<string, object> = {};
  for (const [status, { description: what, content }] of Object.entries(answers)) {
    responses[status] = { description: what, ...(content === undefined ? {} : { content: contentOf(content) }) };
  }
  responses['default'] = refusedSpec;
  app.openAPIRegistry.registerPath({
    method,
    path,
    operationId,
    summary,
    tags: [tag],
    description: [description, `Takes the role ${role}.`].filter((text) => text !== undefined).join('\n\n'),
    request: {
      ...(params === undefined ? {} : { params: params as z.ZodType as z.ZodObject }),
      ...(query === undefined ? {} : { query: query as z.ZodType as z.ZodObject }),
      ...(body === undefined ? {} : { body: { required: body.isRequired, content: { 'application/json': { schema: body.schema } } } }),
    },
    responses: responses as never,
  });
}

/** Of every page. */
export const refusedSpec = { description: 'refused', content: { [problemType]: { schema: problemSchema } } };

function contentOf(content: NonNullable<AnswerSpec['content']>): object {
  if (content instanceof z.ZodType) return { 'application/json': { schema: content } };
  return Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]));
}
