// What has to be asked for: a few small queries in a session of their own, and the sizes of files. Each is asked by itself and has its
// own time; one that does not answer hides none of the others. None of them calls a function of ours for each row: a next run computed
// in SQL takes 80 us of this very thread, and 1000 of them would make the scheduler late. What the scheduler knows, it is asked directly.

import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Engine } from '../../engine/engine.ts';
import type { Row } from '../../engine/result.ts';
import type { Session } from '../../engine/session.ts';
import type { Clock } from '../../scheduler/clock.ts';

export interface Readings {
  readonly jobs: { readonly enabled: number; readonly disabled: number } | undefined;
  readonly memory: { readonly usedBytes: number; readonly spilledBytes: number } | undefined;
  /** By rule. */
  readonly alerts: ReadonlyMap<string, number> | undefined;
  /** By state. */
  readonly sources: ReadonlyMap<string, number> | undefined;
  /** Nothing is known of a database in memory, and nothing is wrong with that. */
  readonly disk: { readonly fileBytes: number; readonly walBytes: number; readonly freeBytes: number } | 'none' | undefined;
}

/** All of them together stay within the ten seconds that Prometheus waits. */
const mostMs = 1_500;

export class Reader {
  readonly #engine: Engine;
  readonly #clock: Clock;
  #session: Promise<Session> | undefined;
  /** Until definitions change: the view reads all of history along with them. */
  #jobs: Readings['jobs'];
  /** Counts their changes. */
  #definitions = 0;
  #isClosed = false;

  constructor(engine: Engine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  /** undefined where a part could not be read. */
  async read(): Promise<Readings> {
    const disk = this.#part(() => this.#disk());
    // One after the other: they share a session.
    const jobs = this.#jobs ?? (await this.#part(() => this.#countJobs()));
    const memory = await this.#part(async () => {
      const [row = []] = await this.#rows('SELECT sum(memory_usage_bytes), sum(temporary_storage_bytes) FROM duckdb_memory()');
      return { usedBytes: Number(row[0]), spilledBytes: Number(row[1]) };
    });
    const alerts = await this.#part(() => this.#counts('SELECT rule, count(*) FROM cron.alerts WHERE ended_at IS NULL GROUP BY rule'));
    const sources = await this.#part(() => this.#counts('SELECT state, count(*) FROM cron.sources GROUP BY state'));
    return { jobs, memory, alerts, sources, disk: await disk };
  }

  /** Definitions have changed. */
  forgetJobs(): void {
    this.#jobs = undefined;
    this.#definitions += 1;
  }

  /** Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#leave();
  }

  async #part<T>(read: () => Promise<T>): Promise<T | undefined> {
    if (this.#isClosed) return undefined;
    let isLate = false;
    let giveUp: () => void = () => undefined;
    const late = new Promise<undefined>((resolve) => {
      giveUp = () => {
        isLate = true;
        resolve(undefined);
      };
    });
    const timer = this.#clock.after(mostMs, () => giveUp(), { keepsProcessAlive: false });
    try {
      return await Promise.race([read().catch(() => undefined), late]);
    } finally {
      timer.cancel();
      if (isLate) void this.#leave();
    }
  }

  async #countJobs(): Promise<NonNullable<Readings['jobs']>> {
    const before = this.#definitions;
    const [row = []] = await this.#rows('SELECT count(*) FILTER (enabled), count(*) FILTER (NOT enabled) FROM cron.schedules');
    const jobs = { enabled: Number(row[0]), disabled: Number(row[1]) };
    // What has changed meanwhile may not be in it.
    if (before === this.#definitions) this.#jobs = jobs;
    return jobs;
  }

  async #counts(query: string): Promise<ReadonlyMap<string, number>> {
    return new Map((await this.#rows(query)).map(([key, count]) => [String(key), Number(count)]));
  }

  async #rows(query: string): Promise<readonly Row[]> {
    this.#session ??= this.#engine.session({ actor: 'metrics', admin: false });
    const asked = this.#session;
    try {
      const session = await asked;
      return await (await session.execute(query)).toArray();
    } catch (error) {
      await this.#leave(asked);
      throw error;
    }
  }

  /** The next who asks opens another. */
  async #leave(asked = this.#session): Promise<void> {
    if (asked === undefined) return;
    if (this.#session === asked) this.#session = undefined;
    try {
      const session = await asked;
      await session.interrupt();
      await session.close();
    } catch {
      // It never was, or is gone already.
    }
  }

  async #disk(): Promise<Exclude<Readings['disk'], undefined>> {
    const { path } = this.#engine;
    if (path === ':memory:') return 'none';
    const [file, wal, disk] = await Promise.all([stat(path), sizeOf(`${path}.wal`), statfs(dirname(path))]);
    return { fileBytes: file.size, walBytes: wal, freeBytes: disk.bavail * disk.bsize };
  }
}

/** After a checkpoint there is none. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
