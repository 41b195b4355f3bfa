// The sockets that the app is served on. What a client can do to a server before it has said anything useful, half a request, thousands
// of connections, a body that never ends, an answer that it does not read, is bounded here: each costs the others nothing.

import { chmodSync, linkSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import { type AddressInfo, connect, isIPv6, type Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { App, AppEnv } from './app.ts';
import { asksFirst } from './body.ts';
import type { Limits } from './limits.ts';
import { Refusal, rawProblem } from './problem.ts';

export interface ListenOptions {
  readonly app: App;
  readonly clock: Clock;
  /** Port 0 picks a free one. Without it only the socket is opened. */
  readonly tcp?: { readonly host: string; readonly port: number; readonly tls?: { readonly cert: Buffer; readonly key: Buffer } };
  /** A socket of its own, for its owner only; the one beside the file is served by `requestListener`. */
  readonly unixPath?: string;
}

export interface Doors {
  /** `http://127.0.0.1:8470`; undefined without TCP. */
  readonly url: string | undefined;
  readonly port: number | undefined;
  /** Lets nobody in any more, ends what is idle, waits for the rest as long as that may take. Safe to call twice. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

export async function listen({ app, clock, tcp, unixPath }: ListenOptions): Promise<Doors> {
  const open: Door[] = [];
  try {
    if (unixPath !== undefined) {
      const door = new Door(createServer(optionsOf(app.limits)), app, 'unix');
      await listenUnix(door.server, unixPath);
      open.push(door);
    }
    let url: string | undefined;
    let port: number | undefined;
    if (tcp !== undefined) {
      const options = optionsOf(app.limits);
      const server =
        tcp.tls === undefined
          ? createServer(options)
          : createTlsServer({ ...options, ...tcp.tls, minVersion: 'TLSv1.2', handshakeTimeout: app.limits.headersWithinMs });
      const door = new Door(server, app, 'tcp');
      await listenTcp(server, tcp);
      open.push(door);
      port = (server.address() as AddressInfo).port;
      url = `${tcp.tls === undefined ? 'http' : 'https'}://${isIPv6(tcp.host) ? `[${tcp.host}]` : tcp.host}:${port}`;
    }
    let closing: Promise<void> | undefined;
    return {
      url,
      port,
      close: ({ graceMs }) => {
        closing ??= Promise.all(open.map((door) => door.close(graceMs, clock))).then(() => {
          if (unixPath !== undefined) rmSync(unixPath, { force: true });
        });
        return closing;
      },
    };
  } catch (error) {
    await Promise.all(open.map((door) => door.close(0, clock)));
    throw error;
  }
}

/** For a server of somebody else's: the socket beside the file, whose owner may do everything. */
export function requestListener(app: App, door: AppEnv['Bindings']['door']): (request: IncomingMessage, response: ServerResponse) => void {
  const { limits } = app;
  const handle = getRequestListener((request, { incoming, outgoing }) => app.hono.fetch(request, { incoming, outgoing, door }), {
    // They are everybody's in this process, handlers included.
    overrideGlobalObjects: false,
    // What is asked for is no address, or the Host no name: it does not become a request.
    errorHandler: () => new Refusal(new Diagnostic('invalid_value', 'the address of the request, or its Host, is none')).toResponse(),
  });
  return (incoming, outgoing) => {
    for (const [name, value] of Object.entries(always)) outgoing.setHeader(name, value);
    if (app.isDraining()) outgoing.setHeader('Connection', 'close');
    // All is handed over, and now has to be read.
    outgoing.once('prefinish', () => outgoing.socket?.setTimeout(limits.stallMs));
    void handle(incoming as never, outgoing as never);
  };
}

/** No answer is for a page to show, to keep, or to guess a type of. */
const always: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

function optionsOf({ headerBytes, headersWithinMs, requestWithinMs, keepAliveMs }: Limits): ServerOptions {
  return {
    maxHeaderSize: headerBytes,
    headersTimeout: headersWithinMs,
    requestTimeout: requestWithinMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: Math.min(1000, headersWithinMs),
    noDelay: true,
  };
}

class Door {
  readonly server: Server;
  readonly #limits: Limits;
  /** The longest idle first. */
  readonly #idle = new Set<Socket>();
  readonly #sockets = new Set<Socket>();
  /** Those for whom there is no place: they are told so, and whatever they ask is not looked at. */
  readonly #refused = new WeakSet<Socket>();

  constructor(server: Server, app: App, door: AppEnv['Bindings']['door']) {
    this.server = server;
    this.#limits = app.limits;
    const listener = requestListener(app, door);
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      const { socket } = request;
      if (this.#refused.has(socket)) return;
      this.#idle.delete(socket);
      response.once('close', () => {
        if (!socket.destroyed) this.#idle.add(socket);
      });
      listener(request, response);
    };
    server.on('request', serve);
    // Whoever asks first whether his body is wanted is told so when it is read.
    server.on('checkContinue', (request, response) => {
      asksFirst(request);
      serve(request, response);
    });
    const isTls = server instanceof TlsServer;
    server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => this.#welcome(socket));
    // Those who have not shaken hands yet are seen by nobody else.
    if (isTls) server.maxConnections = 2 * this.#limits.connections;
    server.on('clientError', refuseRaw);
  }

  /** When there are too many, the one goes that has asked for nothing the longest; when all are being served, the new one. */
  #welcome(socket: Socket): void {
    this.#sockets.add(socket);
    this.#idle.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#idle.delete(socket);
    });
    if (this.#sockets.size <= this.#limits.connections) return;
    const [longest] = this.#idle;
    if (longest !== socket) longest?.destroy();
    else this.#refuse(socket);
  }

  #refuse(socket: Socket): void {
    this.#refused.add(socket);
    const hint = `${this.#limits.connections} connections are being served: ask again in a second`;
    const refusal = new Diagnostic('too_busy', 'there is no room for one more connection', { hint });
    socket.on('error', () => socket.destroy());
    socket.end(rawProblem(503, refusal, { 'Retry-After': '1' }), () => socket.destroy());
  }

  async close(graceMs: number, clock: Clock): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    this.server.closeIdleConnections();
    const timer = clock.after(graceMs, () => {
      for (const socket of this.#sockets) socket.destroy();
    });
    await closed;
    timer.cancel();
  }
}

/** What never became a request. */
function refuseRaw(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = rawReasons[error.code ?? ''] ?? [400, 'that is no request of HTTP/1.1'];
  socket.end(rawProblem(status, new Diagnostic('invalid_value', message)), () => socket.destroy());
}

const rawReasons: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not come in time'],
};

// ---- Places ----

async function listenTcp(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  try {
    await started(server, () => server.listen({ host, port }));
  } catch (error) {
    throw cannotListen(error, `${isIPv6(host) ? `[${host}]` : host}:${port}`, port);
  }
}

function cannotListen(error: unknown, place: string, port: number): Diagnostic {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new Diagnostic('io_error', `${place} is in use by another process`, {
        hint: `choose another port (--listen 127.0.0.1:0 picks a free one); ss -ltnp 'sport = :${port}' tells who has it`,
        cause: error,
      });
    case 'EACCES':
      return new Diagnostic('io_error', `this user may not listen on ${place}`, { hint: 'ports below 1024 are for root', cause: error });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new Diagnostic('io_error', `${place} is no address of this machine`, { hint: '--listen 127.0.0.1:8470', cause: error });
    default:
      return new Diagnostic('io_error', `cannot listen on ${place}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
  }
}

/** Bound to a name of its own and then put in its place: nobody else can open it in between, and one that a dead process has left goes. */
async function listenUnix(server: Server, path: string): Promise<void> {
  const draft = `${path}.${process.pid}`;
  try {
    rmSync(draft, { force: true });
    await started(server, () => server.listen(draft));
    chmodSync(draft, 0o600);
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there === undefined) {
      linkSync(draft, path);
      rmSync(draft);
    } else if (there.isSocket() && !(await answers(path))) renameSync(draft, path);
    else throw Object.assign(new Error('it is there already'), { code: 'EADDRINUSE' });
  } catch (error) {
    server.close();
    rmSync(draft, { force: true });
    const isUsed = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
    const message = error instanceof Error ? error.message : String(error);
    throw new Diagnostic('io_error', isUsed ? `"${path}" is in use` : `cannot make the socket "${path}": ${message}`, {
      hint: isUsed ? 'another daemon answers there, or it is no socket: choose another path' : 'its folder must be there, and writable',
      cause: error,
    });
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const tell = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => tell(true)).once('error', () => tell(false));
  });
}

function started(server: Server, begin: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    begin();
  });
}
