// A real DuckDB file for each test, in a folder of its own that goes away with it. Time is set by the test; timers are real.

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, expect } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { type Engine, type EngineOptions, openEngine } from '../../src/engine/engine.ts';
import type { Result } from '../../src/engine/result.ts';
import type { Session } from '../../src/engine/session.ts';
import type { Value } from '../../src/engine/value.ts';
import { type Clock, systemClock } from '../../src/scheduler/clock.ts';

/** A clock whose `now` the test sets; it stands still until then. */
export class SetClock implements Clock {
  time: number;

  constructor(time: string | number) {
    this.time = new Date(time).getTime();
  }

  set(time: string): void {
    this.time = new Date(time).getTime();
  }

  now(): number {
    return this.time;
  }

  monotonicMs = systemClock.monotonicMs;
  after = systemClock.after;
  sleep = systemClock.sleep;
  yieldTurn = systemClock.yieldTurn;
}

export type Row = Readonly<Record<string, Value>>;

const beginning = '2026-11-20T12:00:00Z';

/** A file as it is when it is new: made once by each process of tests, because that takes 80 ms of CPU, and copied. */
let pattern: Promise<string> | undefined;

async function newFile(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-test-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'my.duckdb');
  await (await openEngine(path, { clock: new SetClock(beginning), zone: 'UTC' })).close();
  return path;
}

export class TestDatabase {
  readonly folder: string;
  readonly path: string;
  readonly clock = new SetClock(beginning);
  readonly #sessions: Session[] = [];
  engine!: Engine;
  session!: Session;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'cuckoo-test-'));
    this.path = join(this.folder, 'my.duckdb');
  }

  async open(options: EngineOptions = {}): Promise<void> {
    const isUsual = options.zone === undefined && options.clock === undefined && this.clock.now() === Date.parse(beginning);
    if (isUsual && !existsSync(this.path)) {
      pattern ??= newFile();
      copyFileSync(await pattern, this.path);
    }
    this.engine = await openEngine(this.path, {
      clock: this.clock,
      zone: 'UTC',
      environment: { SECRET: 'hidden' },
      poolSize: 16,
      ...options,
    });
    this.session = await this.newSession();
  }

  async newSession(): Promise<Session> {
    const session = await this.engine.session({ actor: 'tester', admin: true });
    this.#sessions.push(session);
    return session;
  }

  /** The rows of one statement, in the test's own session. */
  async rows(text: string, parameters?: readonly unknown[] | Readonly<Record<string, unknown>>): Promise<Row[]> {
    return (await this.session.execute(text, parameters)).toObjects();
  }

  /** Several statements, one after the other, given one by one. */
  async run(...texts: readonly string[]): Promise<void> {
    for (const text of texts) await (await this.session.execute(text)).toArray();
  }

  result(text: string): Promise<Result> {
    return this.session.execute(text);
  }

  /** The Diagnostic of a statement that must fail, as lines a person would read. */
  async mistake(
    text: string,
    session = this.session,
  ): Promise<{ code: string; message: string; hint: string | undefined; at: string | undefined }> {
    try {
      await (await session.execute(text)).toArray();
    } catch (error) {
      if (!(error instanceof Diagnostic)) throw error;
      const { code, message, hint, span } = error;
      return { code, message, hint, at: span === undefined ? undefined : text.slice(span.start, span.end) };
    }
    return expect.unreachable(`was carried out: ${text}`);
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.splice(0)) await session.close();
    await this.engine?.close();
  }

  /** As after a new start of the process. */
  async reopen(options: EngineOptions = {}): Promise<void> {
    await this.close();
    await this.open(options);
  }

  async remove(): Promise<void> {
    await this.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const test = base.extend<{ db: TestDatabase }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the first parameter as a pattern of fixtures.
  db: async ({}, use) => {
    const db = new TestDatabase();
    try {
      await db.open();
      await use(db);
    } finally {
      await db.remove();
    }
  },
});
