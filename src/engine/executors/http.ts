// `services.http`: fetch with what a schedule's work needs around it. Each try has a timeout, what may be repeated is repeated with
// a growing pause, an answer of 400 or above is an error, and the end of the run ends the request. It runs where the handler runs,
// in its thread or its process, so that no answer passes through the process that schedules.

import { setMaxListeners } from 'node:events';
import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Http, HttpAnswer, HttpOptions } from './executor.ts';

export interface HttpParts {
  readonly clock: Clock;
  /** Ends every request. */
  readonly signal: AbortSignal;
}

const defaultTimeoutMs = 30_000;
const defaultRetries = 2;
const firstPauseMs = 250;
const longestPauseMs = 30_000;
const mostAnswerBytes = 32 * 1024 * 1024;

/** By RFC 9110: done twice, they leave what they leave when done once. */
const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/** An answer of 400 or above. */
export class HttpRefusal extends Diagnostic {
  readonly answer: HttpAnswer;

  constructor(what: string, answer: HttpAnswer) {
    const said = answer.text.trim().replaceAll(/\s+/g, ' ').slice(0, 200);
    super('run_failed', `${what} answered ${answer.status}`, { hint: said === '' ? undefined : `it said: ${said}` });
    this.answer = answer;
  }
}

export function openHttp(parts: HttpParts): Http {
  // Many requests at once are no leak.
  setMaxListeners(0, parts.signal);
  const request = (url: string, options: HttpOptions = {}): Promise<HttpAnswer> => persistent(parts, url, options);
  return {
    request,
    get: (url, options) => request(url, { ...options, method: 'GET' }),
    post: (url, body, options) => request(url, { ...options, method: 'POST', body }),
  };
}

async function persistent({ clock, signal }: HttpParts, url: string, options: HttpOptions): Promise<HttpAnswer> {
  const method = (options.method ?? 'GET').toUpperCase();
  const what = `${method} ${shownUrl(url)}`;
  const retries = options.retries ?? (repeatable.has(method) ? defaultRetries : 0);
  for (let tries = 0; ; tries++) {
    const tried = await once({ clock, signal }, url, method, what, options);
    if (tried.kind === 'answered' && tried.answer.status < 400) return tried.answer;
    const mayHelp = tried.kind === 'failed' || tried.answer.status >= 500 || tried.answer.status === 429;
    if (!mayHelp || tries >= retries) throw tried.kind === 'failed' ? tried.error : new HttpRefusal(what, tried.answer);
    const asked = tried.kind === 'answered' ? retryAfterMs(tried.answer.headers['retry-after'], clock) : undefined;
    // From half of it to all of it, so that many runs do not come again together.
    const pauseMs = asked ?? firstPauseMs * 2 ** tries * (0.5 + Math.random() / 2);
    await pause(Math.min(pauseMs, longestPauseMs), clock, signal, what);
  }
}

type Tried = { readonly kind: 'answered'; readonly answer: HttpAnswer } | { readonly kind: 'failed'; readonly error: Diagnostic };

async function once({ clock, signal }: HttpParts, url: string, method: string, what: string, options: HttpOptions): Promise<Tried> {
  if (signal.aborted) throw ended(what);
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort();
  signal.addEventListener('abort', onAbort);
  const timer = clock.after(timeoutMs, () => stop.abort());
  try {
    const { body, headers } = sent(options);
    const request = new Request(url, { method, headers, signal: stop.signal, ...(body === undefined ? {} : { body }) });
    const response = await fetch(request);
    return { kind: 'answered', answer: await read(response, what) };
  } catch (error) {
    if (signal.aborted) throw ended(what);
    if (error instanceof Diagnostic) throw error;
    if (stop.signal.aborted) {
      return { kind: 'failed', error: new Diagnostic('timed_out', `${what} did not answer within ${formatDuration(timeoutMs)}`) };
    }
    const reason = reasonOf(error);
    // Wrong from the start: to try it again would change nothing.
    if (!(error instanceof TypeError) || error.cause === undefined || /^(?:invalid|unknown|unsupported)\b/i.test(reason)) {
      throw new Diagnostic('invalid_value', `${what} cannot be sent: ${reason}`, { cause: error });
    }
    return { kind: 'failed', error: new Diagnostic('io_error', `${what} failed: ${reason}`, { cause: error }) };
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

function sent({ body, headers = {} }: HttpOptions): { readonly body?: string | Uint8Array<ArrayBuffer>; readonly headers: Headers } {
  const own = new Headers({ ...headers });
  if (body === undefined) return { headers: own };
  if (typeof body === 'string') return { body, headers: own };
  if (body instanceof Uint8Array) return { body: new Uint8Array(body), headers: own };
  if (!own.has('content-type')) own.set('content-type', 'application/json');
  return { body: JSON.stringify(body), headers: own };
}

async function read(response: Response, what: string): Promise<HttpAnswer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > mostAnswerBytes) {
      throw new Diagnostic('too_large', `${what} answered more than ${mostAnswerBytes / 1024 / 1024} MB`, {
        hint: 'fetch reads what is larger in pieces',
      });
    }
    chunks.push(chunk);
  }
  const text = new TextDecoder().decode(Buffer.concat(chunks));
  return { status: response.status, headers: Object.fromEntries(response.headers), text, json: jsonOf(text) };
}

function jsonOf(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

/** Seconds, or a date. */
function retryAfterMs(header: string | undefined, clock: Clock): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - clock.now();
  return Number.isFinite(ms) ? Math.max(ms, 0) : undefined;
}

function pause(ms: number, clock: Clock, signal: AbortSignal, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(ended(what));
    };
    const timer = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

function ended(what: string): Diagnostic {
  return new Diagnostic('cancelled', `${what} was ended with its run`);
}

/** fetch says `fetch failed` and hides why one floor below. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}

/** A query often holds keys. */
function shownUrl(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/\/\/[^/@]*@/, '//');
}
