// Who holds a file. DuckDB's own lock decides; whoever has it binds a socket beside the file, so that others can ask who that is,
// and talk to it: it speaks HTTP (`curl --unix-socket jobs.duckdb.cuckoo http://cuckoo/holder`). The socket also guards where DuckDB's
// lock does not: the system drops that one when anything in the holder's process closes another descriptor of the file. So whoever
// got the lock and still finds a socket that answers goes away at once. A file with a process id in it could not do this: ids mean
// nothing across containers that share a folder, and two that replace a stale one take each other's place. A socket that nobody
// listens on is stale for certain.
//
// Asking costs a start nothing where nobody answers, and HTTP itself is loaded with the first that comes.

import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { Diagnostic } from '../core/diagnostic.ts';
import { type Clock, systemClock } from '../scheduler/clock.ts';
import { cuckooVersion } from './version.ts';
import { protocolVersion } from './wire/protocol.ts';

/** What `GET /holder` answers. */
export interface Holder {
  /** Of wire/protocol.ts. */
  readonly protocol: number;
  readonly pid: number;
  readonly kind: 'shell' | 'daemon' | 'library';
  /** When it took the file, in ISO form. */
  readonly since: string;
  /** Cuckoo's. */
  readonly version: string;
  /** Where a daemon listens besides. */
  readonly url?: string;
}

export interface Claim {
  /** Told to whoever asks from now on. */
  announce(more: { readonly url: string }): void;
  /** Nobody finds the socket any more; whoever has asked for the file is still answered. Safe to call twice. */
  release(): Promise<void>;
}

/** `passes`: it will end by itself, soon. */
export type HandoverAnswer = 'released' | { readonly refused: string; readonly passes?: boolean };

export interface ClaimOptions {
  readonly kind?: Holder['kind'];
  readonly clock?: Clock;
  /** Somebody asks for the file. Without it he is told that this process does not hand over. */
  readonly onHandover?: (by: { readonly pid: number | undefined }) => Promise<HandoverAnswer>;
  /** All other requests. Without it there is nothing else to be had here. */
  readonly onRequest?: (request: IncomingMessage, response: ServerResponse) => void;
}

/** A socket's path may have about 104 bytes, by the system; a longer one is cut off silently by some. */
const longestSocketPath = 100;

/** How long one waits for a holder that has accepted the connection to say who it is. */
const answerWithinMs = 1000;

const longestAnswer = 10_000;

/** Its headers have come by then. */
const headersWithinMs = 10_000;
/** And all of it: a shell may send a statement with a file in it. */
const requestWithinMs = 60_000;
const keepAliveMs = 15_000;
const mostConnections = 1024;

/**
 * To be called when DuckDB holds the file and before anything is written. Fails with `file_locked` if another process still
 * answers for the file: then DuckDB's lock has been lost there, and the caller closes at once.
 */
export async function claimFile(realPath: string, options: ClaimOptions = {}): Promise<Claim> {
  const clock = options.clock ?? systemClock;
  const holder: Holder = {
    protocol: protocolVersion,
    pid: process.pid,
    kind: options.kind ?? 'shell',
    since: new Date(clock.now()).toISOString(),
    version: cuckooVersion,
  };
  const addresses = addressesOf(realPath);
  for (const address of addresses) mustBeSilent(realPath, await ask(address, clock));
  let refused: unknown;
  for (const address of addresses) {
    try {
      return await bind(realPath, address, { holder, clock, options });
    } catch (error) {
      if (error instanceof Diagnostic) throw error;
      refused = error;
    }
  }
  throw new Diagnostic('io_error', `No socket can be made for "${realPath}", neither beside it nor in ${ownFolder()}: ${String(refused)}`, {
    hint: 'Cuckoo needs one to tell other processes that the file is in use: make one of the two folders writable.',
    cause: refused,
  });
}

/** Who answers for the file, if anybody does. Of a holder that has let us in and is busy nothing else is known. */
export async function whoHolds(realPath: string, clock: Clock = systemClock): Promise<(Partial<Holder> & Answered) | undefined> {
  for (const address of addressesOf(realPath)) {
    const holder = await ask(address, clock);
    if (holder !== undefined) return { ...holder, address };
  }
  return undefined;
}

interface Answered {
  /** The path of the socket. */
  readonly address: string;
}

/** The error of the second process, with what the first one says about itself. */
export function heldBy(realPath: string, holder: Partial<Holder>): Diagnostic {
  const who = holder.kind === undefined ? 'another process' : `a Cuckoo ${holder.kind}`;
  const pid = holder.pid === undefined ? '' : ` (process ${holder.pid})`;
  const since = holder.since === undefined ? '' : ` since ${holder.since}`;
  return new Diagnostic('file_locked', `"${realPath}" is held by ${who}${pid}${since}.`, {
    hint: 'One process writes a file at a time: send the statements to it, or end it.',
  });
}

function mustBeSilent(realPath: string, holder: Partial<Holder> | undefined): void {
  if (holder !== undefined) throw heldBy(realPath, holder);
}

/** Beside the file; and, where that is too long or the file system has no sockets, in a folder of this user's own. */
function addressesOf(realPath: string): string[] {
  const beside = `${realPath}.cuckoo`;
  const own = join(ownFolder(), `${createHash('sha256').update(realPath).digest('hex').slice(0, 32)}.sock`);
  return Buffer.byteLength(beside) > longestSocketPath ? [own] : [beside, own];
}

function ownFolder(): string {
  return join(tmpdir(), `cuckoo-${userInfo().uid}`);
}

/** Others could otherwise put a socket of theirs in our place. */
function makeOwnFolder(): void {
  const folder = ownFolder();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stats = lstatSync(folder);
  if (!stats.isDirectory() || stats.uid !== userInfo().uid) {
    throw new Diagnostic('forbidden', `"${folder}" belongs to somebody else.`, {
      hint: 'Remove it, or set TMPDIR to a folder of your own.',
    });
  }
  chmodSync(folder, 0o700);
}

interface Binding {
  readonly holder: Holder;
  readonly clock: Clock;
  readonly options: ClaimOptions;
}

async function bind(realPath: string, address: string, { holder, clock, options }: Binding): Promise<Claim> {
  const folder = dirname(address);
  if (folder === ownFolder()) makeOwnFolder();
  const there = lstatSync(address, { throwIfNoEntry: false });
  if (there !== undefined && !there.isSocket()) throw new Error(`"${address}" is not ours, so it stays`);
  const door = new Door(holder, options);
  const server = createServer({ pauseOnConnect: true }, (socket) => door.open(socket));
  // The system removes the path that a socket was bound to when it is closed, whoever's it is by then: so it is bound to a name
  // that nobody else uses, and then put in its place.
  const draft = join(folder, `.${randomBytes(4).toString('hex')}`);
  await listen(server, draft);
  try {
    chmodSync(draft, 0o600);
    await putInPlace(draft, address, (holderOfAddress) => mustBeSilent(realPath, holderOfAddress), clock);
  } catch (error) {
    server.close();
    throw error;
  }
  // Whoever can open it is this account; it is bounded all the same, against programs that run wild.
  server.maxConnections = mostConnections;
  // A socket alone keeps no process alive.
  server.unref();
  const identity = identityOf(address);
  let released: Promise<void> | undefined;
  return {
    announce: (more) => door.announce(more),
    release() {
      released ??= new Promise((resolve) => {
        if (identityOf(address) === identity) rmSync(address, { force: true });
        server.close();
        door.close();
        resolve();
      });
      return released;
    },
  };
}

/** Who comes in through the socket, and what is said there. */
class Door {
  readonly #options: ClaimOptions;
  #holder: Holder;
  #http: Promise<HttpServer> | undefined;
  readonly #sockets = new Set<Socket>();
  /** Of those who wait for the file: their answer comes when it has been let go of. */
  readonly #waiting = new Set<Socket>();

  constructor(holder: Holder, options: ClaimOptions) {
    this.#holder = holder;
    this.#options = options;
  }

  announce(more: Partial<Holder>): void {
    this.#holder = { ...this.#holder, ...more };
  }

  open(socket: Socket): void {
    this.#sockets.add(socket);
    // Whoever only wanted to know whether we live may be gone before the answer.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    this.#http ??= this.#speak();
    this.#http.then(
      (http) => {
        http.emit('connection', socket);
        socket.resume();
      },
      () => socket.destroy(),
    );
  }

  close(): void {
    for (const socket of this.#sockets) if (!this.#waiting.has(socket)) socket.destroy();
    void this.#http?.then((http) => http.close());
  }

  async #speak(): Promise<HttpServer> {
    const { createServer: createHttpServer } = await import('node:http');
    const options = {
      headersTimeout: headersWithinMs,
      requestTimeout: requestWithinMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: headersWithinMs / 10,
      maxHeaderSize: 16 << 10,
    };
    const http = createHttpServer(options, (request, response) => this.#answer(request, response));
    // It is handed its sockets and listens to none itself; what it does when it begins to listen is to watch over half requests.
    http.emit('listening');
    return http;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { onHandover, onRequest } = this.#options;
    const path = request.url?.split('?')[0];
    if (path === '/holder' && (request.method === 'GET' || request.method === 'HEAD')) tell(response, 200, this.#holder);
    else if (path === '/handover' && request.method === 'POST' && onHandover !== undefined) {
      this.#handOver(request, response, onHandover).catch(() => response.destroy());
    } else if (onRequest !== undefined) onRequest(request, response);
    else tell(response, 404, { title: `this is a Cuckoo ${this.#holder.kind}, which answers GET /holder and nothing else`, status: 404 });
  }

  async #handOver(request: IncomingMessage, response: ServerResponse, onHandover: NonNullable<ClaimOptions['onHandover']>): Promise<void> {
    const { socket } = request;
    this.#waiting.add(socket);
    response.on('close', () => {
      this.#waiting.delete(socket);
      socket.destroy();
    });
    let answer: HandoverAnswer;
    try {
      const pid: unknown = Object(JSON.parse(await bodyOf(request)))['pid'];
      answer = await onHandover({ pid: typeof pid === 'number' ? pid : undefined });
    } catch (error) {
      answer = { refused: error instanceof Error ? error.message : String(error) };
    }
    // Nothing else comes over this connection: the socket is gone by now.
    response.setHeader('Connection', 'close');
    tell(response, answer === 'released' ? 200 : 409, answer === 'released' ? { released: true } : answer);
  }
}

function tell(response: ServerResponse, status: number, content: object): void {
  const body = `${JSON.stringify(content)}\n`;
  // Its length is said, so that whoever asks has the object as it is and not in chunks.
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > longestAnswer) throw new Error('that is too long');
  }
  return text;
}

/**
 * A link is made only where nothing is, so of two that come at once one finds the other. A stale socket is removed first: taken
 * aside, and put back if it is not the one that was silent a moment ago (it is then another's new one; the two calls in between
 * take microseconds, and DuckDB's lock stands in front of all this).
 */
async function putInPlace(
  draft: string,
  address: string,
  judge: (holder: Partial<Holder> | undefined) => void,
  clock: Clock,
): Promise<void> {
  while (!linkTo(draft, address)) {
    const found = identityOf(address);
    judge(await ask(address, clock));
    if (found === undefined || found !== identityOf(address)) continue;
    const aside = `${draft}.old`;
    if (!moved(address, aside)) continue;
    if (identityOf(aside) !== found) linkTo(aside, address);
    rmSync(aside, { force: true });
  }
  rmSync(draft, { force: true });
}

/** false: somebody else has removed it already. */
function moved(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** false: something is there already. */
function linkTo(draft: string, address: string): boolean {
  try {
    linkSync(draft, address);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') return false;
    // A file system without links; what lies there did not answer a moment ago.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw error;
    renameSync(draft, address);
  }
  return true;
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/**
 * undefined: nobody is there. Whoever lets us in and says nothing in time is alive all the same; whoever hangs up without a word
 * has just ended.
 */
function ask(address: string, clock: Clock): Promise<Partial<Holder> | undefined> {
  return new Promise((resolve) => {
    let text = '';
    let accepted = false;
    const socket = connect(address);
    const answer = (isAlive: boolean) => {
      timer.cancel();
      socket.destroy();
      resolve(isAlive ? readHolder(text) : undefined);
    };
    const timer = clock.after(answerWithinMs, () => answer(accepted));
    socket.on('connect', () => {
      accepted = true;
      socket.write('GET /holder HTTP/1.1\r\nHost: cuckoo\r\nConnection: close\r\n\r\n');
    });
    socket.on('data', (data) => {
      text += data.toString('utf8');
      if (text.endsWith('}\n') || text.length > longestAnswer) answer(true);
    });
    socket.on('error', () => answer(text !== ''));
    socket.on('close', () => answer(text !== ''));
  });
}

/** It is short, and comes as a whole. */
function readHolder(text: string): Partial<Holder> {
  try {
    const fields: unknown = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
    return typeof fields === 'object' && fields !== null ? fields : {};
  } catch {
    return {};
  }
}

function identityOf(address: string): string | undefined {
  const stats = lstatSync(address, { throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}`;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
