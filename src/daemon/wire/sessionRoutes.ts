// The daemon's side of a session (protocol.ts): opened by a request whose answer lasts as long as the session does. A client that goes
// is noticed by that answer's breaking off, whatever else it was doing; one that reads slowly is waited for, and holds up nobody else:
// rows are computed as they are read, and of events only so many are kept.

import { randomBytes } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Result } from '../../engine/result.ts';
import type { Session, SessionOptions } from '../../engine/session.ts';
import { VariantValue } from '../../engine/value.ts';
import type { Clock, Timer } from '../../scheduler/clock.ts';
import { toDiagnostic } from '../exit.ts';
import { problemType, Refusal, statusOf } from '../http/problem.ts';
import { cuckooVersion } from '../version.ts';
import { errorFrame, sendResult } from './answer.ts';
import { eventsType, framesType, protocolVersion, type SessionEvent, schedulerEvents, sessionsPath } from './protocol.ts';
import { fromTypedJson, type TypedJson } from './typedJson.ts';

export interface SessionRoutesOptions {
  readonly engine: Pick<Engine, 'session' | 'scheduler' | 'path'>;
  readonly clock: Clock;
  /** Who asks, and what he may; `said` is who he says he is. Throws a Diagnostic where he may not have a session. */
  actor(context: Context, said: string): SessionOptions | Promise<SessionOptions>;
}

export interface SessionDoor {
  /** Paths begin with /api/v1/sessions. */
  readonly routes: Hono;
  /** How many are open. */
  readonly size: number;
  /** Rolls back and closes all of them, telling their clients why. */
  close(reason: string): Promise<void>;
}

const mostSessions = 100;
/** Statements with long literals, and files that are one statement. */
const mostBodyBytes = 256 << 20;

export function sessionRoutes({ engine, clock, actor }: SessionRoutesOptions): SessionDoor {
  const open = new Map<string, OpenSession>();
  const routes = new Hono();
  routes.onError((error) => problem(toDiagnostic(error)));
  const limited = bodyLimit({ maxSize: mostBodyBytes, onError: () => problem(tooLong()) });

  routes.post(sessionsPath, limited, async (context) => {
    const body = await bodyOf(context);
    mustSpeakOurs(body);
    const opening = checked(openingShape, body);
    if (open.size >= mostSessions) throw tooMany();
    const rights = await actor(context, opening.actor);
    const id = randomBytes(16).toString('hex');
    const events = schedulerEvents.filter((name) => opening.events.includes(name));
    const session = new OpenSession(id, await engine.session(rights), { engine, clock, owner: rights.actor });
    open.set(id, session);
    session.onClose = () => open.delete(id);
    return new Response(session.tell(events), { headers: { 'Content-Type': eventsType, 'Cache-Control': 'no-store' } });
  });

  const found = async (context: Context): Promise<OpenSession> => {
    const session = open.get(context.req.param('id') ?? '');
    if (session === undefined || (await actor(context, session.owner)).actor !== session.owner) throw unknown();
    return session;
  };

  routes.post(`${sessionsPath}/:id/execute`, limited, async (context) => {
    const session = await found(context);
    const { statement, sql, params } = checked(requestShape, await bodyOf(context));
    return session.execute(statement, sql, { parameters: parametersOf(params), signal: context.req.raw.signal });
  });

  routes.post(`${sessionsPath}/:id/interrupt`, limited, async (context) => {
    const session = await found(context);
    await session.interrupt(checked(interruptShape, await bodyOf(context)).statement);
    return context.body(null, 204);
  });

  routes.delete(`${sessionsPath}/:id`, async (context) => {
    await (await found(context)).close();
    return context.body(null, 204);
  });

  return {
    routes,
    get size() {
      return open.size;
    },
    close: async (reason) => {
      await Promise.all([...open.values()].map((session) => session.close(reason)));
    },
  };
}

// ---- A session ----

const lookEveryMs = 250;
const againMs = 10;
const aliveEveryMs = 30_000;
/** Kept for a client that reads slowly. */
const mostKept = 1000;

class OpenSession {
  readonly id: string;
  readonly owner: string;
  readonly #session: Session;
  onClose: () => void = () => {};
  readonly #engine: SessionRoutesOptions['engine'];
  readonly #clock: Clock;
  readonly #stop: (() => void)[] = [];
  readonly #kept: SessionEvent[] = [];
  #missed = 0;
  /** Waits for the next event. */
  #waiting: (() => void) | undefined;
  #ended = false;
  #closing: Promise<void> | undefined;
  /** Statements, by their numbers. */
  readonly #atWork = new Map<number, Answer>();
  #newest = 0;
  /** Those up to here were interrupted before they came. */
  #refused = 0;
  #looking: Timer | undefined;
  #percent: number | null = null;
  /** Runs that the statement at work waits for, and the client knows of. */
  readonly #told = new Set<string>();

  constructor(
    id: string,
    session: Session,
    { engine, clock, owner }: { readonly engine: SessionRoutesOptions['engine']; readonly clock: Clock; readonly owner: string },
  ) {
    this.id = id;
    this.#session = session;
    this.owner = owner;
    this.#engine = engine;
    this.#clock = clock;
  }

  /** The stream of events; the session ends with it. */
  tell(events: typeof schedulerEvents): ReadableStream<Uint8Array> {
    const { id } = this;
    this.#push({ event: 'session', id, protocol: protocolVersion, version: cuckooVersion, pid: process.pid, path: this.#engine.path });
    for (const name of events) {
      const off = this.#engine.scheduler.events.on(name, (detail) => {
        // Whoever waits for a run knows that before he hears of its end.
        if (name === 'run:finished' && this.#atWork.size > 0) this.#tellAwaited();
        this.#push({ event: 'scheduler', name, detail });
      });
      this.#stop.push(off);
    }
    this.#stayAlive();
    return streamOf(this.#lines(), () => this.close());
  }

  /** One statement, answered in frames. `signal`: nobody waits for the answer any more. */
  async execute(statement: number, sql: string, { parameters, signal }: ExecuteOptions): Promise<Response> {
    const answer: Answer = { gone: false, interrupted: false, result: undefined };
    const cancel = async (): Promise<void> => {
      answer.gone = true;
      // Rows that nobody reads are given up; a statement that nobody waits for is ended.
      if (answer.result === undefined) await this.interrupt(statement);
      else await answer.result.close();
    };
    const onAbort = (): void => void cancel().catch(() => undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    const pieces = gathered(
      this.#frames(answer, statement, () => this.#session.execute(sql, parameters)),
      this.#clock,
    );
    const headers = { 'Content-Type': framesType, 'Cache-Control': 'no-store' };
    // Most answers are one piece, and go as one: each more would wake the client once more.
    const { value } = await pieces.next();
    if (value === undefined || value.isLast) return new Response(value?.bytes ?? null, { headers });
    return new Response(streamOf(rest(value, pieces), cancel), { headers });
  }

  async interrupt(statement: number): Promise<void> {
    if (statement > this.#newest) this.#refused = statement;
    for (let answer = this.#atWork.get(statement); answer !== undefined; answer = this.#atWork.get(statement)) {
      answer.interrupted = true;
      const hasAnswered = answer.result !== undefined;
      await this.#session.interrupt();
      // One that has not reached DuckDB yet hears nothing of it.
      if (hasAnswered) return;
      await this.#clock.sleep(againMs);
    }
  }

  /** Rolls back what is open. Safe to call twice. */
  close(reason?: string): Promise<void> {
    if (reason !== undefined && !this.#ended) this.#push({ event: 'closing', reason });
    this.#ended = true;
    this.#closing ??= this.#close();
    this.#waiting?.();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    this.#looking?.cancel();
    this.onClose();
    if (this.#session.busy) await this.#session.interrupt();
    await this.#session.close();
  }

  async *#frames(answer: Answer, statement: number, work: () => Promise<Result>): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(statement, answer);
    try {
      if (statement <= this.#refused) throw cancelled();
      answer.result = await work();
      if (answer.gone) return;
      for await (const piece of sendResult(answer.result, () => this.#session.transaction)) {
        // Between two reads nothing is at work that could be interrupted.
        if (answer.interrupted) throw cancelled();
        yield piece;
      }
    } catch (error) {
      yield errorFrame(toDiagnostic(error), this.#session.transaction);
    } finally {
      await answer.result?.close();
      this.#end(statement);
    }
  }

  // ---- Events ----

  async *#lines(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const events = this.#kept.splice(0);
      if (this.#missed > 0) events.push({ event: 'missed', count: this.#missed });
      this.#missed = 0;
      if (events.length > 0) yield Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#waiting = resolve;
        });
      }
    }
  }

  #push(event: SessionEvent): void {
    if (this.#kept.length < mostKept) this.#kept.push(event);
    else this.#missed++;
    this.#waiting?.();
  }

  #stayAlive(): void {
    const timer = this.#clock.after(
      aliveEveryMs,
      () => {
        this.#push({ event: 'alive' });
        this.#stop.splice(this.#stop.indexOf(stop), 1);
        this.#stayAlive();
      },
      { keepsProcessAlive: false },
    );
    const stop = (): void => timer.cancel();
    this.#stop.push(stop);
  }

  /** While a statement is at work somebody may want to know how far it is. */
  #begin(statement: number, answer: Answer): void {
    this.#newest = Math.max(this.#newest, statement);
    this.#atWork.set(statement, answer);
    if (this.#atWork.size === 1) this.#look();
  }

  #end(statement: number): void {
    this.#atWork.delete(statement);
    if (this.#atWork.size > 0) return;
    this.#looking?.cancel();
    this.#percent = null;
    this.#told.clear();
  }

  #tellAwaited(): void {
    const { awaited } = this.#session;
    if (awaited.size === 0 || awaited.size === this.#told.size) return;
    const runs = [...awaited.values()].filter(({ run }) => !this.#told.has(run.runId));
    for (const { run } of runs) this.#told.add(run.runId);
    if (runs.length > 0) this.#push({ event: 'awaits', runs });
  }

  #look(): void {
    this.#looking = this.#clock.after(
      lookEveryMs,
      () => {
        const percent = this.#session.progress() ?? null;
        if (percent !== this.#percent) this.#push({ event: 'progress', percent });
        this.#percent = percent;
        this.#tellAwaited();
        this.#look();
      },
      { keepsProcessAlive: false },
    );
  }
}

interface Answer {
  /** Nobody reads it any more. */
  gone: boolean;
  interrupted: boolean;
  result: Result | undefined;
}

interface ExecuteOptions {
  readonly parameters: Parameters<Session['execute']>[1];
  readonly signal: AbortSignal;
}

interface Gathered {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isLast: boolean;
}

const gatheredBytes = 1 << 16;
/** What comes so soon after the piece before goes with it. */
const soonMs = 2;

/** Pieces that come at once, as one. */
async function* gathered(pieces: AsyncGenerator<Uint8Array, void, undefined>, clock: Clock): AsyncGenerator<Gathered, void, undefined> {
  const late = (): Promise<undefined> => clock.sleep(soonMs).then(() => undefined);
  let next = pieces.next();
  for (let isLast = false; !isLast; ) {
    const batch: Uint8Array[] = [];
    for (let size = 0; size < gatheredBytes; ) {
      const piece = batch.length === 0 ? await next : await Promise.race([next, late()]);
      isLast = piece?.done === true;
      if (piece === undefined || piece.done === true) break;
      batch.push(piece.value);
      size += piece.value.length;
      next = pieces.next();
    }
    yield { bytes: Buffer.concat(batch), isLast };
  }
}

async function* rest(first: Gathered, others: AsyncGenerator<Gathered, void, undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  yield first.bytes;
  for await (const { bytes } of others) yield bytes;
}

/** Asked for the next piece only when the one before has been taken. */
function streamOf(pieces: AsyncGenerator<Uint8Array, void, undefined>, onCancel: () => Promise<void>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await pieces.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await onCancel();
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
}

// ---- Requests ----

const openingShape = z.object({
  protocol: z.literal(protocolVersion),
  version: z.string().max(100),
  pid: z.int(),
  actor: z.string().min(1).max(255),
  events: z.array(z.string()).max(100),
});

const typedJson = z.object({ type: z.looseObject({ kind: z.string() }), value: z.unknown() });
const interruptShape = z.object({ statement: z.int() });
const requestShape = z.object({
  statement: z.int(),
  sql: z.string(),
  params: z.union([z.array(typedJson), z.record(z.string(), typedJson)]).optional(),
});

async function bodyOf(context: Context): Promise<unknown> {
  try {
    return await context.req.json();
  } catch (error) {
    throw new Diagnostic('usage', 'the body of the request is not JSON', { cause: error });
  }
}

function checked<T>(shape: z.ZodType<T>, body: unknown): T {
  const result = shape.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Diagnostic('usage', `the request is not understood: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

/** Before anything else is looked at: another version may mean other things by the same words. */
function mustSpeakOurs(body: unknown): void {
  const { protocol, version } = Object(body) as { readonly protocol?: unknown; readonly version?: unknown };
  if (protocol === protocolVersion) return;
  const client = `protocol ${String(protocol)}${typeof version === 'string' ? ` (cuckoo ${version})` : ''}`;
  throw new Diagnostic('unsupported', `the client speaks ${client}, the daemon protocol ${protocolVersion} (cuckoo ${cuckooVersion})`, {
    hint: 'use the same version of cuckoo on both sides; an older daemon learns the newer one when it is started again',
  });
}

function parametersOf(params: z.infer<typeof requestShape>['params']): Parameters<Session['execute']>[1] {
  // A VARIANT brings its type along, which is how a value is bound as just that.
  const bound = (json: unknown): VariantValue => {
    const { value, type } = fromTypedJson(json as TypedJson);
    return new VariantValue(type, value);
  };
  if (params === undefined) return undefined;
  return Array.isArray(params) ? params.map(bound) : Object.fromEntries(Object.entries(params).map(([name, json]) => [name, bound(json)]));
}

function cancelled(): Diagnostic {
  return new Diagnostic('cancelled', 'The statement was cancelled.');
}

function unknown(): Diagnostic {
  return new Diagnostic('closed', 'there is no such session: it is closed, or was never open', { hint: `POST ${sessionsPath} opens one` });
}

function tooMany(): Diagnostic {
  return new Diagnostic('too_busy', `${mostSessions} sessions are open already`, { hint: 'close one: each open shell is one' });
}

function tooLong(): Diagnostic {
  return new Diagnostic('too_large', `the request has more than ${mostBodyBytes} bytes`, { hint: 'COPY reads a file of any size' });
}

/** As the rest of the API refuses, and with all that the other side needs to have the Diagnostic again. */
function problem(diagnostic: Diagnostic): Response {
  // A session that is not there is none of the things that have stopped.
  const status = diagnostic.code === 'closed' ? 404 : statusOf[diagnostic.code];
  const body = { ...new Refusal(diagnostic, { status }).toProblem(), ...diagnostic.toJSON() };
  const headers = { 'Content-Type': problemType, ...(status === 429 ? { 'Retry-After': '1' } : {}) };
  return new Response(JSON.stringify(body), { status, headers });
}
