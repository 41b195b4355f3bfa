// A session in another process: what the shell does with it is what it does with one of its own. Statements are sent one by one,
// rows come as they are read, and a stream of events says how far they are and what the scheduler does meanwhile. When that
// stream breaks off the session is lost, and says so to whoever asks it for anything.

import type { IncomingMessage } from 'node:http';
import { userInfo } from 'node:os';
import { Diagnostic } from '../../core/diagnostic.ts';
import { Turnstile } from '../../core/turnstile.ts';
import type { AwaitedRun } from '../../engine/awaitedRun.ts';
import type { Result } from '../../engine/result.ts';
import { toParameter } from '../../engine/value.ts';
import { type Clock, systemClock } from '../../scheduler/clock.ts';
import { cuckooVersion } from '../version.ts';
import { receiveResult } from './answer.ts';
import { type DaemonAddress, DaemonClient, NotYet } from './daemonClient.ts';
import {
  type InterruptRequest,
  type Opening,
  protocolVersion,
  type SessionEvent,
  type ShellSession,
  type StatementRequest,
  schedulerEvents,
  sessionsPath,
  type TransactionState,
} from './protocol.ts';
import type { RemoteScheduler } from './remoteScheduler.ts';
import { toTypedJson } from './typedJson.ts';

export interface RemoteSessionOptions {
  readonly actor?: string;
  /** Is told what the daemon's scheduler does; without it nothing of that is sent. */
  readonly scheduler?: RemoteScheduler;
  readonly clock?: Clock;
}

type Parameters = readonly unknown[] | Readonly<Record<string, unknown>>;
type Welcome = Extract<SessionEvent, { event: 'session' }>;

export class RemoteSession implements ShellSession {
  readonly #client: DaemonClient;
  readonly #stream: IncomingMessage;
  readonly #welcome: Welcome;
  readonly #scheduler: RemoteScheduler | undefined;
  readonly #turnstile = new Turnstile();
  readonly #watchers = new Set<(reason: Diagnostic) => void>();
  #transaction: TransactionState = 'none';
  #statements = 0;
  #atWork = 0;
  #percent: number | undefined;
  readonly #awaited = new Map<string, AwaitedRun>();
  #goodbye: string | undefined;
  #lost: Diagnostic | undefined;
  #closing: Promise<void> | undefined;

  static async open(
    address: DaemonAddress,
    { actor = userInfo().username, scheduler, clock = systemClock }: RemoteSessionOptions = {},
  ): Promise<RemoteSession> {
    const client = await DaemonClient.to(address);
    try {
      const events = scheduler === undefined ? [] : schedulerEvents;
      const opening: Opening = { protocol: protocolVersion, version: cuckooVersion, pid: process.pid, actor, events };
      const stream = await begun(client, opening, clock);
      const lines = linesOf(stream);
      const { value: welcome } = await lines.next();
      if (welcome?.event !== 'session') throw new Error('it does not begin with a session');
      const session = new RemoteSession({ client, stream, welcome, scheduler });
      // It ends with the session, and never fails.
      void session.#listen(lines);
      return session;
    } catch (error) {
      client.close();
      if (error instanceof Diagnostic) throw error;
      throw new Diagnostic('unreachable', `no session with the daemon: ${error instanceof Error ? error.message : String(error)}`, {
        hint: 'is it running? cuckoo status tells',
        cause: error,
      });
    }
  }

  private constructor({
    client,
    stream,
    welcome,
    scheduler,
  }: {
    client: DaemonClient;
    stream: IncomingMessage;
    welcome: Welcome;
    scheduler: RemoteScheduler | undefined;
  }) {
    this.#client = client;
    this.#stream = stream;
    this.#welcome = welcome;
    this.#scheduler = scheduler;
  }

  /** The daemon's. */
  get pid(): number {
    return this.#welcome.pid;
  }

  /** The daemon's file, without links. */
  get path(): string {
    return this.#welcome.path;
  }

  get transaction(): TransactionState {
    return this.#transaction;
  }

  /** The runs that the statement at work waits for. */
  get awaited(): ReadonlyMap<string, AwaitedRun> {
    return this.#awaited;
  }

  get busy(): boolean {
    return this.#atWork > 0;
  }

  /** Why there is no session any more, other than because it was closed here. */
  get lost(): Diagnostic | undefined {
    return this.#lost;
  }

  progress(): number | undefined {
    return this.busy ? this.#percent : undefined;
  }

  async zone(): Promise<string> {
    if (this.#transaction === 'aborted' || this.#lost !== undefined) return 'UTC';
    const [row] = await (await this.execute("SELECT current_setting('TimeZone')")).toArray();
    return row === undefined ? 'UTC' : String(row[0]);
  }

  /** Statements of a session follow one another; rows of a result may be read while the next one waits. */
  execute(text: string, parameters?: Parameters): Promise<Result> {
    return this.#turnstile.run(() => this.#execute(text, parameters));
  }

  async interrupt(): Promise<void> {
    if (this.#lost !== undefined || this.#closing !== undefined || !this.busy) return;
    const body: InterruptRequest = { statement: this.#statements };
    await this.#client.ask('POST', `${this.#path}/interrupt`, body).catch(() => {
      // What is gone is at an end too.
    });
  }

  /** Called once, when the session is lost. Answers the function that ends it. */
  onLost(watcher: (reason: Diagnostic) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Resolves when an open transaction has been rolled back. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#lost === undefined) await this.#client.ask('DELETE', this.#path).catch(() => undefined);
    this.#stream.destroy();
    this.#client.close();
  }

  async #execute(text: string, parameters: Parameters | undefined): Promise<Result> {
    if (this.#closing !== undefined) throw new Diagnostic('closed', 'the session is closed');
    if (this.#lost !== undefined) throw this.#lost;
    if (typeof text !== 'string') throw new Diagnostic('usage', 'a statement is a text');
    const params = parameters === undefined ? undefined : sent(parameters);
    this.#statements++;
    const body: StatementRequest = { statement: this.#statements, sql: text, ...(params === undefined ? {} : { params }) };
    this.#atWork++;
    this.#percent = undefined;
    let response: IncomingMessage | undefined;
    let ended = false;
    const end = (): void => {
      if (!ended) this.#atWork--;
      ended = true;
      if (this.#atWork === 0) this.#awaited.clear();
    };
    try {
      response = await this.#client.send('POST', `${this.#path}/execute`, body);
      response.on('close', end);
      const answer = response;
      return await receiveResult(answer, {
        onTransaction: (state) => {
          this.#transaction = state;
        },
        broken: (error) => this.#broken(error),
        abandon: () => answer.destroy(),
      });
    } catch (error) {
      response?.destroy();
      end();
      throw error instanceof Diagnostic ? error : this.#broken(error);
    }
  }

  get #path(): string {
    return `${sessionsPath}/${this.#welcome.id}`;
  }

  async #listen(lines: AsyncGenerator<SessionEvent>): Promise<void> {
    try {
      for await (const event of lines) this.#heed(event);
    } catch {
      // However it ends, it has ended.
    }
    if (this.#closing !== undefined) return;
    const why = this.#goodbye ?? `the daemon (process ${this.pid}) is gone`;
    this.#lost = new Diagnostic('unreachable', why, { hint: sessionGone });
    this.#client.close();
    for (const watcher of [...this.#watchers]) watcher(this.#lost);
  }

  #heed(event: SessionEvent): void {
    switch (event.event) {
      case 'progress':
        this.#percent = event.percent ?? undefined;
        return;
      case 'scheduler':
        this.#scheduler?.told(event.name, event.detail);
        return;
      case 'missed':
        this.#scheduler?.missed();
        return;
      case 'awaits':
        for (const awaited of event.runs) if (this.busy) this.#awaited.set(awaited.run.runId, awaited);
        return;
      case 'closing':
        this.#goodbye = event.reason;
        return;
      default:
        // A newer daemon of the same protocol may tell more.
        return;
    }
  }

  /** The connection broke in the middle of a statement. */
  #broken(error: unknown): Diagnostic {
    const hint = 'Whether the statement took effect is not known: look before you run it again.';
    const why = this.#lost?.message ?? this.#goodbye ?? `the connection to the daemon (process ${this.pid}) broke`;
    return new Diagnostic('unreachable', why, { hint: `${hint} ${sessionGone}`, cause: error });
  }
}

/** So long a daemon that is starting is waited for. */
const startsWithinMs = 10_000;
const againMs = 100;

async function begun(client: DaemonClient, opening: Opening, clock: Clock): Promise<IncomingMessage> {
  const since = clock.monotonicMs();
  for (;;) {
    try {
      return await client.send('POST', sessionsPath, opening);
    } catch (error) {
      if (!(error instanceof NotYet) || clock.monotonicMs() - since > startsWithinMs) throw error;
      await clock.sleep(againMs);
    }
  }
}

const sessionGone = 'Temporary tables and settings of this session are gone.';

function sent(parameters: Parameters): NonNullable<StatementRequest['params']> {
  const json = (value: unknown) => toTypedJson(toParameter(value));
  if (Array.isArray(parameters)) return parameters.map(json);
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, json(value)]));
}

const longestLine = 1 << 26;

async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<SessionEvent, void, undefined> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      yield JSON.parse(text.slice(0, end)) as SessionEvent;
      text = text.slice(end + 1);
    }
    if (text.length > longestLine) throw new Error('a line without end');
  }
}
