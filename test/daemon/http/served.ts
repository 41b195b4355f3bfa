// The HTTP door as a daemon opens it: a real engine whose scheduler runs, real sockets on the loopback, a log that is kept.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Access, type Role } from '../../../src/daemon/access.ts';
import { type App, type AppParts, createApp } from '../../../src/daemon/http/app.ts';
import { type Doors, listen } from '../../../src/daemon/http/door.ts';
import { type Engine, type EngineOptions, openEngine } from '../../../src/engine/engine.ts';
import { systemClock } from '../../../src/scheduler/clock.ts';
import { Conformity, type OpenApi } from './conformity.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a test reads of it, it states itself.
  readonly json: any;
}

export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** A role, or a token; null: none. */
  readonly as?: Role | string | null;
  readonly door?: 'tcp' | 'unix';
}

/** Of the first door: the document is everywhere the same. */
let conformity: Conformity | undefined;

export class Served {
  readonly folder = mkdtempSync(join(tmpdir(), 'cuckoo-http-'));
  readonly log: string[] = [];
  state: 'ready' | 'starting' | 'draining' = 'ready';
  engine!: Engine;
  access!: Access;
  app!: App;
  doors!: Doors;
  readonly tokens = new Map<string, string>();
  readonly #sockets = new Set<Socket>();
  /** Those that are open, each with what it executes. */
  readonly sessions = new Map<object, string>();
  #lookers: (() => void)[] = [];

  async open(parts: Partial<AppParts> = {}, options: EngineOptions = {}): Promise<this> {
    this.engine = await openEngine(join(this.folder, 'my.duckdb'), {
      zone: 'UTC',
      environment: { SECRET: 'hidden' },
      poolSize: 16,
      graceMs: 100,
      ...options,
    });
    await this.engine.scheduler.start();
    this.#watchSessions();
    this.access = Access.open({ folder: join(this.folder, 'state'), clock: systemClock });
    this.tokens.set('admin', readFileSync(this.access.tokenPath, 'utf8').trim());
    for (const role of ['viewer', 'operator'] as const) this.tokens.set(role, this.access.create({ name: `the ${role}`, role }));
    const logger = pino({ level: 'debug' }, { write: (line: string) => void this.log.push(line) });
    this.app = createApp({ engine: this.engine, access: this.access, logger, clock: systemClock, state: () => this.state, ...parts });
    this.doors = await listen({ app: this.app, clock: systemClock, tcp: { host: '127.0.0.1', port: 0 }, unixPath: this.unixPath });
    conformity ??= new Conformity((await this.ask('/openapi.json', { door: 'unix' })).json);
    return this;
  }

  #watchSessions(): void {
    const { engine } = this;
    const open = engine.session.bind(engine);
    const tell = (): void => {
      for (const look of this.#lookers.splice(0)) look();
    };
    engine.session = async (options) => {
      const session = await open(options);
      this.sessions.set(session, '');
      const [execute, close] = [session.execute.bind(session), session.close.bind(session)];
      session.execute = (text, parameters) => {
        this.sessions.set(session, text);
        tell();
        return execute(text, parameters);
      };
      session.close = async () => {
        await close();
        this.sessions.delete(session);
        tell();
      };
      return session;
    };
  }

  /** Answers when a session executes such a statement, or when none does any more. */
  async executing(matches: RegExp, wanted = true): Promise<void> {
    while ([...this.sessions.values()].some((text) => matches.test(text)) !== wanted) {
      await new Promise<void>((resolve) => this.#lookers.push(resolve));
    }
  }

  get unixPath(): string {
    return join(this.folder, 'door');
  }

  get port(): number {
    return this.doors.port ?? 0;
  }

  request(path: string, { method = 'GET', headers = {}, body, as = 'admin', door = 'tcp' }: Asking = {}): ClientRequest {
    const token = as === null || door === 'unix' ? undefined : (this.tokens.get(as) ?? as);
    const content = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const own = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(content === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
      ...headers,
    };
    const asked = request({
      ...(door === 'unix' ? { socketPath: this.unixPath } : { host: '127.0.0.1', port: this.port }),
      path,
      method,
      agent: false,
      headers: Object.fromEntries(Object.entries(own).filter(([, value]) => value !== '')),
    });
    asked.end(content);
    return asked;
  }

  /** The answer as it begins; its body comes by itself. */
  begin(path: string, asking: Asking = {}): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      this.request(path, asking).on('response', resolve).on('error', reject);
    });
  }

  get document(): OpenApi {
    if (conformity === undefined) throw new Error('no door is open');
    return conformity.document;
  }

  async ask(path: string, asking: Asking = {}): Promise<Answer> {
    const response = await this.begin(path, asking);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const type = response.headers['content-type']?.split(';')[0] ?? '';
    const isJson = type.includes('json') && !type.includes('ndjson');
    const status = response.statusCode ?? 0;
    const json = isJson && text !== '' ? JSON.parse(text) : undefined;
    // Whatever a test looks at: each answer is one that the document knows.
    const mistake = asking.method === 'HEAD' ? undefined : conformity?.mistake(asking.method ?? 'GET', path, { status, type, json });
    if (mistake !== undefined) throw new Error(mistake);
    return { status, headers: response.headers, text, json };
  }

  post(path: string, body?: unknown, asking: Asking = {}): Promise<Answer> {
    return this.ask(path, { method: 'POST', body, ...asking });
  }

  put(path: string, body?: unknown, asking: Asking = {}): Promise<Answer> {
    return this.ask(path, { method: 'PUT', body, ...asking });
  }

  /** A connection to write anything to. */
  connect(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1');
      this.#sockets.add(socket);
      socket.once('connect', () => resolve(socket)).once('error', reject);
      socket.on('error', () => undefined);
    });
  }

  /** All statements, one after the other, in a session of their own. */
  async run(...statements: readonly string[]): Promise<void> {
    const session = await this.engine.session({ actor: 'tester', admin: true });
    for (const statement of statements) await (await session.execute(statement)).toArray();
    await session.close();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.app?.close();
    await this.doors?.close({ graceMs: 0 });
    await this.engine?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a socket hears until it is closed. */
export async function heard(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of socket) chunks.push(chunk as Buffer);
  } catch {
    // It was reset.
  }
  return Buffer.concat(chunks).toString('latin1');
}

/** Server-sent events, as they come. */
export async function* eventsOf(
  response: IncomingMessage,
  // biome-ignore lint/suspicious/noExplicitAny: what a test reads of it, it states itself.
): AsyncGenerator<{ id: string | undefined; event: string; data: any }> {
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]));
      const event = fields.get('event');
      if (event !== undefined) yield { id: fields.get('id'), event, data: JSON.parse(fields.get('data') ?? 'null') };
    }
  }
}
