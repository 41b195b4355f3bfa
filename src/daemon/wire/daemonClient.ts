// Requests to a daemon: HTTP/1.1 on the socket beside its file, or on its port with a token. Connections are kept for the next
// request, and no longer than the daemon keeps them.

import { Agent, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { Diagnostic } from '../../core/diagnostic.ts';
import { readDiagnostic } from './failure.ts';

export type DaemonAddress = { readonly socketPath: string } | { readonly url: string; readonly token: string };

/** Node's servers hang up after 5 s without a request. */
const keptMs = 4000;

export class DaemonClient {
  readonly #address: DaemonAddress;
  readonly #agent: Agent;
  readonly #request: typeof requestHttp;

  static async to(address: DaemonAddress): Promise<DaemonClient> {
    const options = { keepAlive: true, timeout: keptMs };
    if (!('url' in address) || !address.url.startsWith('https:')) return new DaemonClient(address, new Agent(options), requestHttp);
    const https = await import('node:https');
    return new DaemonClient(address, new https.Agent(options), https.request);
  }

  private constructor(address: DaemonAddress, agent: Agent, request: typeof requestHttp) {
    this.#address = address;
    this.#agent = agent;
    this.#request = request;
  }

  /** The answer's beginning; throws the Diagnostic of one that is a refusal. */
  async send(method: string, path: string, content?: object): Promise<IncomingMessage> {
    const body = content === undefined ? undefined : Buffer.from(JSON.stringify(content));
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = this.#request(this.#options(method, path, body), resolve);
      request.on('error', reject);
      request.end(body);
    });
    if ((response.statusCode ?? 0) < 300) return response;
    throw await refusalOf(response);
  }

  /** The same, read to its end. */
  async ask(method: string, path: string, content?: object): Promise<void> {
    for await (const _ of await this.send(method, path, content));
  }

  /** Cuts off all that is going on. */
  close(): void {
    this.#agent.destroy();
  }

  #options(method: string, path: string, body: Buffer | undefined): RequestOptions {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length };
    const common = { agent: this.#agent, method };
    if ('socketPath' in this.#address) return { ...common, socketPath: this.#address.socketPath, path, headers };
    const { protocol, hostname, port, pathname } = new URL(this.#address.url);
    return {
      ...common,
      protocol,
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port,
      path: `${pathname.replace(/\/$/, '')}${path}`,
      headers: { ...headers, Authorization: `Bearer ${this.#address.token}` },
    };
  }
}

const longestRefusal = 1 << 20;

async function refusalOf(response: IncomingMessage): Promise<Diagnostic> {
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > longestRefusal) break;
  }
  try {
    const problem = JSON.parse(text) as Parameters<typeof readDiagnostic>[0];
    if (typeof problem.message === 'string') return readDiagnostic(problem);
  } catch {
    // It is not one of ours.
  }
  if (response.statusCode === 503) return new NotYet();
  const said = text.trim().slice(0, 200);
  return new Diagnostic('unreachable', `the daemon answers with status ${response.statusCode}${said === '' ? '' : `: ${said}`}`);
}

/** A daemon says 503 and nothing else as long as it has nothing to say it with. */
export class NotYet extends Diagnostic {
  constructor() {
    super('unreachable', 'the daemon is starting', { hint: 'try again in a moment' });
  }
}
