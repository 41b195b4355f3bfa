// The real engine, on a real file, on a clock moved by hand: days of the scheduler pass in seconds, and each of their runs is a real
// statement of DuckDB's. The clock moves on only when nothing is at work in the database any more.
//
// DuckDB has no statement that takes its time without using the machine, so `takes('10m')` stands for one: a macro that answers
// its text, and before a run's statement that calls it so much time of the virtual clock passes. It can be stopped in the middle,
// as work can.

import { parseDuration } from '../../src/core/duration.ts';
import { type Engine, type EngineOptions, openEngine } from '../../src/engine/engine.ts';
import type { Session } from '../../src/engine/session.ts';
import type { NativeConnection } from '../../src/engine/store/duckdb/native.ts';
import { systemClock } from '../../src/scheduler/clock.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import type { Row } from './database.ts';

/** Before anything that calls it is defined. */
export const takesMacro = 'CREATE MACRO takes(duration) AS duration';

const longest = 366 * 86_400_000;

export class VirtualEngine {
  readonly engine: Engine;
  readonly clock: VirtualClock;
  readonly session: Session;
  readonly #work: Work;

  static async open(path: string, { startAt, ...options }: { readonly startAt: string } & EngineOptions): Promise<VirtualEngine> {
    const work = new Work();
    const clock = new VirtualClock({ startAt: Date.parse(startAt), settle: () => work.settled() });
    const engine = await openEngine(path, { clock, zone: 'UTC', environment: {}, graceMs: 0, poolSize: 16, ...options });
    work.watch(engine, clock);
    return new VirtualEngine(engine, clock, await engine.session({ actor: 'ada', admin: true }), work);
  }

  private constructor(engine: Engine, clock: VirtualClock, session: Session, work: Work) {
    this.engine = engine;
    this.clock = clock;
    this.session = session;
    this.#work = work;
  }

  async rows(text: string): Promise<Row[]> {
    return (await this.session.execute(text)).toObjects();
  }

  /** The first column of a query. */
  async column(text: string): Promise<unknown[]> {
    return (await (await this.session.execute(text)).toArray()).map(([value]) => value);
  }

  async value(text: string): Promise<unknown> {
    return (await this.column(text))[0];
  }

  /** Several statements, one after the other. */
  async run(...texts: readonly string[]): Promise<void> {
    for (const text of texts) await (await this.session.execute(text)).toArray();
  }

  /** Lets time pass. */
  async advance(duration: string): Promise<void> {
    await this.clock.advance(parseDuration(duration));
  }

  /** Lets time pass up to an instant. */
  async until(time: string): Promise<void> {
    await this.clock.advance(Date.parse(time) - this.clock.now());
  }

  /** Lets time pass for as long as it takes; throws where it would take too long. */
  async passUntil(holds: () => boolean, { within = '1h' }: { readonly within?: string } = {}): Promise<void> {
    if (!(await this.clock.runUntil(holds, { withinMs: parseDuration(within) }))) throw new Error(`did not come to hold within ${within}`);
  }

  /** Does what needs the clock to move on. */
  async passing<T>(work: Promise<T>): Promise<T> {
    let ended = false;
    const watched = this.#work
      .count(() => work)
      .finally(() => {
        ended = true;
      });
    watched.catch(() => undefined);
    this.#work.letGo();
    while (!ended) await this.clock.runUntil(() => ended, { withinMs: longest });
    return watched;
  }

  /** As a process that dies now would leave it: a consistent copy of the file, without the end of anything. */
  async die(path: string): Promise<void> {
    await this.run(`BACKUP TO '${path}'`);
    await this.close();
  }

  async close(): Promise<void> {
    await this.session.close();
    await this.engine.close();
  }
}

/** What is at work in the database, whoever asked for it. */
class Work {
  #atWork = 0;
  #idle: (() => void)[] = [];

  watch(engine: Engine, clock: VirtualClock): void {
    const { database, storage, admission } = engine;
    // It bounds what uses the machine, and here runs only wait: how many wait at once must not depend on the machine's cores.
    for (const limit of ['heavyLimit', 'mostAtOnce']) Object.defineProperty(admission, limit, { value: 1000 });
    const connect = database.connect.bind(database);
    database.connect = async (options) => this.#watched(await this.count(() => connect(options)), clock);
    // The disk does not know of the virtual clock, and is asked every few seconds of it.
    const seen = this.count(() => storage.look());
    storage.look = () => seen;
  }

  /** When nothing goes on any more without time passing. */
  async settled(): Promise<void> {
    await systemClock.yieldTurn();
    while (this.#atWork > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
      await systemClock.yieldTurn();
    }
  }

  async count<T>(call: () => Promise<T>): Promise<T> {
    this.#atWork += 1;
    try {
      return await call();
    } finally {
      this.letGo();
    }
  }

  letGo(): void {
    this.#atWork -= 1;
    if (this.#atWork > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #watched(native: NativeConnection, clock: VirtualClock): NativeConnection {
    const run = native.run.bind(native);
    const query = native.query.bind(native);
    const all = native.all.bind(native);
    const close = native.close.bind(native);
    const takeTime = async (text: string, signal: AbortSignal | undefined): Promise<void> => {
      const takes = /\btakes\('([^']*)'\)/.exec(text)?.[1];
      // A session's own statement is not waited for by anybody who could move the clock.
      if (takes !== undefined && signal !== undefined) await pass(clock, parseDuration(takes), signal);
    };
    native.run = (text, options) => this.count(() => run(text, options));
    native.query = async (text, parameters, options) => {
      await takeTime(text, options?.signal);
      return this.count(() => query(text, parameters, options));
    };
    native.close = () => this.count(close);
    native.all = async (text, parameters, options) => {
      await takeTime(text, options?.signal);
      return this.count(() => all(text, parameters, options));
    };
    return native;
  }
}

function pass(clock: VirtualClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve);
    signal.addEventListener('abort', () => {
      timer.cancel();
      resolve();
    });
    if (signal.aborted) resolve();
  });
}
