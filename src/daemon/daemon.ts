// The daemon: one process that owns a file, runs what falls due, and serves. Its life:
//
//   take the file -> open the doors -> start the scheduler -> .. -> drain -> close the doors -> let go of the file
//
// The socket beside the file is there as soon as the file is taken, so that nobody takes it for abandoned; until all stands it says that
// the daemon is starting.

import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Diagnostic } from '../core/diagnostic.ts';
import { type Engine, type EngineOptions, openEngine } from '../engine/engine.ts';
import type { Executor } from '../engine/executors/executor.ts';
import type { Clock } from '../scheduler/clock.ts';
import { Access, adminName } from './access.ts';
import type { DaemonConfig } from './daemonConfig.ts';
import { type App, createApp } from './http/app.ts';
import { type Doors, listen, requestListener } from './http/door.ts';
import { type Claim, claimFile } from './lock.ts';
import { type Log, logScheduler } from './log.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { type JobDirectory, startJobDirectory } from './watcher/jobDirectory.ts';
import { type SessionDoor, sessionRoutes } from './wire/sessionRoutes.ts';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly log: Log;
  readonly clock: Clock;
  /** What `env('..')` reads. */
  readonly environment: EngineOptions['environment'];
  readonly poolSize: number;
  /** Where tokens are kept. */
  readonly stateFolder: string | undefined;
  /** It has stopped by itself: its file is gone for good. */
  readonly onEnd?: () => void;
}

type State = 'starting' | 'ready' | 'draining';

export class Daemon {
  /** Why it has stopped by itself. */
  problem: Diagnostic | undefined;
  readonly #options: DaemonOptions;
  #config: DaemonConfig;
  #state: State = 'starting';
  #listener: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  #claim: Claim | undefined;
  #engine: Engine | undefined;
  #sessions: SessionDoor | undefined;
  #app: App | undefined;
  #doors: Doors | undefined;
  #jobs: JobDirectory | undefined;
  #stopLog: (() => void) | undefined;
  #metrics: Metrics | undefined;
  #stopping: Promise<void> | undefined;

  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    try {
      await daemon.#start();
      return daemon;
    } catch (error) {
      await daemon.stop({ graceMs: 0 });
      throw error;
    }
  }

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** Where it listens besides the socket; undefined: nowhere. */
  get url(): string | undefined {
    return this.#doors?.url;
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Diagnostic('closed', 'the daemon has no file');
    return this.#engine;
  }

  async #start(): Promise<void> {
    const { log, clock, stateFolder } = this.#options;
    const config = this.#config;
    if (stateFolder === undefined) {
      throw new Diagnostic('invalid_config', 'there is no folder for tokens: neither XDG_STATE_HOME nor HOME is set', {
        hint: 'set XDG_STATE_HOME to a folder of your own',
      });
    }
    const access = Access.open({ folder: stateFolder, clock, onProblem: (problem) => log.error({ hint: problem.hint }, problem.message) });
    const engine = await this.#open();
    this.#engine = engine;
    for (const warning of engine.warnings) log.warn({}, warning);
    if (config.sandbox) closeSandbox(engine);
    this.#stopLog = logScheduler(engine.scheduler.events, log);
    const metrics = createMetrics({ engine, clock });
    this.#metrics = metrics;
    engine.recovery.onLost((reason) => {
      log.error({ hint: reason.hint }, `the file cannot be opened again: ${reason.message}`);
      // Whoever looks after this process starts it anew.
      this.problem = reason;
      void this.stop({ graceMs: 0 }).then(this.#options.onEnd);
    });
    this.#sessions = sessionRoutes({
      engine,
      clock,
      actor: (_, said) => ({ actor: said === '' ? adminName : said, admin: !config.sandbox }),
    });
    this.#app = createApp({
      engine,
      access,
      logger: log,
      clock,
      state: () => this.#state,
      sessions: this.#sessions.routes,
      metrics: metrics.text,
      observed: metrics.observed,
      sandbox: config.sandbox,
      names: config.hostNames,
    });
    this.#listener = requestListener(this.#app, 'unix');
    const { listen: tcp, tlsCert, tlsKey } = config;
    const tls =
      tlsCert === undefined || tlsKey === undefined
        ? {}
        : { tls: { cert: readPem(tlsCert, '--tls-cert'), key: readPem(tlsKey, '--tls-key') } };
    this.#doors = await listen({ app: this.#app, clock, ...(tcp === undefined ? {} : { tcp: { ...tcp, ...tls } }) });
    if (this.url !== undefined) this.#claim?.announce({ url: this.url });
    await engine.scheduler.start();
    if (config.jobsDir !== undefined) this.#jobs = await startJobDirectory({ engine, directory: config.jobsDir, logger: log, clock });
    this.#state = 'ready';
    const { schedules, mode } = engine.scheduler;
    const fields = { pid: process.pid, file: engine.path, url: this.url, schedules, tokenFile: access.tokenPath };
    log.info(
      fields,
      `cuckoo serves ${engine.path}${this.url === undefined ? '' : ` at ${this.url}`}, ${schedules} schedule${schedules === 1 ? '' : 's'}; the admin's token is in ${access.tokenPath}`,
    );
    if (mode === 'paused') log.warn({}, 'the scheduler is paused: RESUME SCHEDULER lets it go on');
  }

  /** Of a shell that holds the file it asks for it. */
  async #open(): Promise<Engine> {
    const { clock, environment, poolSize } = this.#options;
    const config = this.#config;
    const claim = async (realPath: string): Promise<Claim> => {
      this.#claim = await claimFile(realPath, { kind: 'daemon', clock, onRequest: (request, response) => this.#answer(request, response) });
      return this.#claim;
    };
    const options: EngineOptions = {
      clock,
      poolSize,
      claim,
      overrules: config.settings,
      graceMs: config.drainTimeoutMs,
      // What env('..') reads could be written where others read it.
      ...(environment === undefined || config.sandbox ? {} : { environment }),
      ...(config.sandbox ? { settings: sandboxSettings } : {}),
    };
    const passesUntilMs = clock.monotonicMs() + passingMs;
    for (let tries = 0; ; ) {
      try {
        return await openEngine(config.file, options);
      } catch (error) {
        if (!(error instanceof Diagnostic) || error.code !== 'file_locked') throw error;
        const answer = await this.#askForFile(error, { isFirst: tries === 0, isLast: clock.monotonicMs() > passesUntilMs });
        tries += 1;
        if (answer !== 'passing' && tries > mostTries) throw error;
        if (answer !== 'released') await clock.sleep(againAfterMs);
      }
    }
  }

  /** What was answered; also after `released` somebody else may still be first. */
  async #askForFile(
    locked: Diagnostic,
    { isFirst, isLast }: { readonly isFirst: boolean; readonly isLast: boolean },
  ): Promise<'released' | 'nobody' | 'passing'> {
    const { clock, log } = this.#options;
    const { file } = this.#config;
    const { askToHandOver } = await import('./handover.ts');
    if (isFirst) log.info({ file }, 'another process holds the file: it is asked to hand over');
    const answer = await askToHandOver(file, { clock, pid: process.pid });
    if (typeof answer === 'string') return answer;
    if (answer.passes === true && !isLast) return 'passing';
    throw new Diagnostic('file_locked', `${locked.message} It does not hand over: ${answer.refused}`, { hint: locked.hint, cause: locked });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (this.#listener !== undefined) {
      this.#listener(request, response);
      return;
    }
    response.writeHead(503, { 'Content-Type': 'application/problem+json', 'Retry-After': '1' });
    response.end(
      JSON.stringify({
        type: 'about:blank',
        title: 'the daemon is starting',
        status: 503,
        detail: 'ask again in a second',
        code: 'too_busy',
      }),
    );
  }

  /** SIGHUP: what can be changed while it runs is changed; the rest is named, and counts from the next start. */
  async reload(config: DaemonConfig): Promise<void> {
    const { log } = this.#options;
    const before = this.#config;
    log.level = config.logLevel;
    const later = laterKeys.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(config[key]));
    if (JSON.stringify([...before.settings]) !== JSON.stringify([...config.settings])) later.push('settings');
    if (later.length > 0) log.warn({ keys: later }, `changed, and counts from the next start: ${later.join(', ')}`);
    this.#config = { ...before, logLevel: config.logLevel, drainTimeoutMs: config.drainTimeoutMs };
    await this.#jobs?.reload();
    log.info({}, 'the configuration was read again');
  }

  /** Opens nothing more, waits for what is at work, and lets go of everything. A second call without grace ends the wait of the first. */
  stop({ graceMs = this.#config.drainTimeoutMs }: { readonly graceMs?: number } = {}): Promise<void> {
    if (this.#stopping !== undefined) {
      if (graceMs <= 0) void this.#engine?.scheduler.stop({ graceMs: 0 });
      return this.#stopping;
    }
    this.#stopping = this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    const { log } = this.#options;
    this.#state = 'draining';
    const scheduler = this.#engine?.scheduler;
    const atWork = scheduler === undefined ? 0 : [...scheduler.allRunning()].length;
    if (atWork > 0)
      log.info({ runs: atWork }, `draining: ${atWork} run${atWork === 1 ? '' : 's'} at work, waiting ${timeOf(graceMs)} at most`);
    await this.#jobs?.close();
    await scheduler?.stop({ graceMs });
    await this.#sessions?.close('the daemon has stopped');
    await this.#app?.close();
    await this.#doors?.close({ graceMs: Math.min(graceMs, doorsGraceMs) });
    this.#stopLog?.();
    await this.#metrics?.close();
    await this.#engine?.close();
    if (this.#engine !== undefined) log.info({}, 'stopped');
  }
}

/** A script may take the file between two of them. */
const mostTries = 5;
/** So long a script or a command may still hold it. */
const passingMs = 10_000;
const againAfterMs = 200;
/** Answers on their way to clients that still read. */
const doorsGraceMs = 2_000;

const laterKeys: (keyof DaemonConfig)[] = [
  'file',
  'listen',
  'logFormat',
  'jobsDir',
  'sandbox',
  'tlsCert',
  'tlsKey',
  'behindProxy',
  'hostNames',
];

const sandboxSettings = {
  enable_external_access: 'false',
  autoinstall_known_extensions: 'false',
  autoload_known_extensions: 'false',
} as const;

/** What reaches beyond the file. */
function closeSandbox(engine: Engine): void {
  for (const kind of ['command', 'handler'] as const) {
    const refuse = (): never => {
      throw new Diagnostic('forbidden', `this daemon runs no ${kind}s: it was started with --sandbox`, {
        hint: 'SQL, procedures and pipelines of SQL run',
      });
    };
    const executor: Executor = { validate: refuse, execute: async () => refuse() };
    engine.worker.executors.addBuiltIn(kind, executor);
  }
}

function readPem(path: string, flag: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Diagnostic('invalid_config', `${flag}: ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function timeOf(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${Math.round(ms / 1000)} s`;
}
