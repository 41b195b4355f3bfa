// What a request is refused with: problem+json (RFC 9457) made of the one error of the house. Which status a code has stands here and
// nowhere else. What a client has sent is never answered with a 5xx: those say that something is wrong here.

import { STATUS_CODES } from 'node:http';
import { z } from '@hono/zod-openapi';
import { Diagnostic, type DiagnosticCode, sqlStates } from '../../core/diagnostic.ts';

/** A refusal of the door's own, or an error of which more is known than its code: its status, or the text that it is about. */
export class Refusal extends Error {
  readonly diagnostic: Diagnostic;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The statement that was refused. */
  readonly sql: string | undefined;
  /** Which text the span is a place in. */
  readonly source: 'sql' | 'body' | undefined;

  constructor(
    diagnostic: Diagnostic,
    {
      status = statusOf[diagnostic.code],
      headers = {},
      sql,
      source,
    }: {
      readonly status?: number | undefined;
      readonly headers?: Readonly<Record<string, string>> | undefined;
      readonly sql?: string | undefined;
      readonly source?: 'sql' | 'body' | undefined;
    } = {},
  ) {
    super(diagnostic.message, { cause: diagnostic });
    this.name = 'Refusal';
    this.diagnostic = diagnostic;
    this.status = status;
    this.headers = headers;
    this.sql = sql;
    this.source = source;
  }

  /** Whatever was thrown. `isMistake`: nobody has meant this error, and it belongs into the log. */
  static of(error: unknown): { readonly refusal: Refusal; readonly isMistake: boolean } {
    if (error instanceof Refusal) return { refusal: error, isMistake: false };
    if (error instanceof Diagnostic) return { refusal: new Refusal(error), isMistake: error.code === 'internal' };
    // What it says may hold anything.
    const diagnostic = new Diagnostic('internal', 'something went wrong here', {
      hint: "this is a mistake in cuckoo; the daemon's log has more",
      cause: error,
    });
    return { refusal: new Refusal(diagnostic), isMistake: true };
  }

  toResponse(): Response {
    const headers = { ...this.headers, 'Content-Type': problemType };
    return new Response(JSON.stringify(this.toProblem()), { status: this.status, headers });
  }

  toProblem(): Problem {
    const { diagnostic, status, sql, source } = this;
    return { ...problemOf(diagnostic), status, ...(sql === undefined ? {} : { sql }), ...(source === undefined ? {} : { source }) };
  }
}

export const problemType = 'application/problem+json';

/** Also of a run that was waited for and failed, where no status goes with it. */
export function problemOf(diagnostic: Diagnostic): Problem {
  const { code, sqlstate, message, hint, span, more } = diagnostic;
  return {
    type: `urn:cuckoo:${code}`,
    title: titleOf(code),
    status: statusOf[code],
    detail: message,
    code,
    sqlstate,
    ...(hint === undefined ? {} : { hint }),
    ...(span === undefined ? {} : { span }),
    ...(more.length === 0 ? {} : { more: more.map(problemOf) }),
  };
}

function titleOf(code: DiagnosticCode): string {
  const words = code.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const statusOf: Readonly<Record<DiagnosticCode, number>> = {
  // What was asked for is not so.
  syntax_error: 400,
  unterminated: 400,
  unknown_key: 400,
  duplicate_key: 400,
  missing_key: 400,
  wrong_type: 400,
  invalid_value: 400,
  invalid_cadence: 400,
  never_fires: 400,
  unknown_zone: 400,
  invalid_encoding: 400,
  invalid_name: 400,
  unknown_function: 400,
  undefined_table: 400,
  undefined_column: 400,
  undefined_parameter: 400,
  ambiguous: 400,
  cycle: 400,
  in_transaction: 400,
  no_transaction: 400,
  conversion: 400,
  out_of_range: 400,
  unsupported: 400,
  usage: 400,
  invalid_config: 400,
  unauthorized: 401,
  forbidden: 403,
  read_only: 403,
  undefined_object: 404,
  // What is there is in the way.
  duplicate_object: 409,
  in_use: 409,
  aborted_transaction: 409,
  constraint: 409,
  conflict: 409,
  fenced: 409,
  cancelled: 409,
  file_locked: 409,
  too_large: 413,
  // It was tried, and could not be done.
  run_failed: 422,
  check_failed: 422,
  timed_out: 422,
  out_of_memory: 422,
  file_not_found: 422,
  not_a_database: 422,
  newer_file: 422,
  missing_dependency: 422,
  io_error: 422,
  unreachable: 422,
  too_busy: 429,
  // Here, and not there.
  internal: 500,
  closed: 503,
  fatal: 503,
  disk_full: 507,
};

interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: DiagnosticCode;
  readonly sqlstate: string;
  readonly hint?: string;
  readonly span?: { readonly start: number; readonly end: number };
  readonly more?: readonly Problem[];
  readonly sql?: string;
  readonly source?: 'sql' | 'body';
}

/** For the document. */
export const problemSchema = z
  .object({
    type: z.string().openapi({ description: 'one URN for each code', example: 'urn:cuckoo:undefined_object' }),
    title: z.string().openapi({ example: 'Undefined object' }),
    status: z.int(),
    detail: z.string().openapi({ example: 'schedule nightli does not exist' }),
    code: z.enum(Object.keys(sqlStates) as [DiagnosticCode, ...DiagnosticCode[]]),
    sqlstate: z.string().openapi({ example: '42704' }),
    hint: z.string().optional().openapi({ description: 'what to do next' }),
    span: z.object({ start: z.int(), end: z.int() }).optional().openapi({ description: 'UTF-16 offsets in the text that source names' }),
    source: z
      .enum(['sql', 'body'])
      .optional()
      .openapi({ description: 'the text that span is a place in: the statement, or the request body' }),
    sql: z.string().optional().openapi({ description: 'the statement that was refused' }),
    more: z.array(z.looseObject({})).optional().openapi({ description: 'further mistakes of the same text' }),
  })
  .openapi('Problem');

/** For what never reaches the app, such as half a request. */
export function rawProblem(status: number, diagnostic: Diagnostic, headers: Readonly<Record<string, string>> = {}): string {
  const body = JSON.stringify(new Refusal(diagnostic, { status }).toProblem());
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}
