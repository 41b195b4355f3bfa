// How many threads of its own DuckDB has. Each one that waits for work is woken by every small statement and then spins before it sleeps
// again: with 2 threads a commit of two rows took 1.2 to 2.4 ms of CPU, with 4 threads 6.5, and with none beside the caller's 0.3
// (DuckDB 1.5.6). So DuckDB has none of its own until a statement has been at work for a moment; what is at work then is shared out in
// its middle: 547 ms for a query that takes 561 with threads from the beginning, and 1,027 without. `external_threads` says how many of
// `threads` are the callers' own, and plans count them all.

import type { Clock, Timer } from '../../../scheduler/clock.ts';

export interface ThreadsParts {
  readonly clock: Clock;
  /** What this process has used of the processors. */
  cpuMs(): number;
  /** Of all, the callers' own included. */
  count(): Promise<number>;
  /** May wait for what these threads are doing. */
  setExternal(count: number): Promise<unknown>;
}

/** Small statements have ended by then, and nothing was measured for them. */
const patienceMs = 5;

/**
 * What then goes on for so long, while this process computes that long, gains more by company than small ones lose by it. On a busy
 * machine a commit may wait longer than that for the disk or for its turn: company would only make it worse.
 */
const observedMs = 10;
const computedMs = 8;

interface Statement {
  readonly sinceMs: number;
  observed: { readonly ms: number; readonly cpuMs: number } | undefined;
}

/** How long they are kept when nothing is at work that needs them: to let them go and come costs 1 ms of CPU. */
const keptMs = 250;

/** It is opened without threads of its own. */
export class Threads {
  readonly #parts: ThreadsParts;
  /** When they began, oldest first. */
  readonly #atWork = new Set<Statement>();
  #timer: Timer | undefined;
  #isWide = false;
  #lastNeededMs = Number.NEGATIVE_INFINITY;
  #changing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(parts: ThreadsParts) {
    this.#parts = parts;
  }

  /** A statement whose work may be shared out. Answers what tells that it has ended. */
  begin(): () => void {
    const statement: Statement = { sinceMs: this.#parts.clock.monotonicMs(), observed: undefined };
    this.#atWork.add(statement);
    this.#lookIn(patienceMs);
    return () => {
      this.#atWork.delete(statement);
      const now = this.#parts.clock.monotonicMs();
      if (this.#isWide && now - statement.sinceMs >= patienceMs) this.#lastNeededMs = now;
    };
  }

  /** Before somebody sets how many there are: DuckDB refuses fewer than are the callers' own. */
  async widen(): Promise<void> {
    this.#lastNeededMs = this.#parts.clock.monotonicMs();
    if (!this.#isWide) void this.#change(true);
    this.#lookIn(keptMs);
    await this.#changing;
  }

  /** No more changes; waits for the one that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#changing;
  }

  #lookIn(ms: number): void {
    if (this.#isClosed) return;
    this.#timer ??= this.#parts.clock.after(ms, () => this.#look(), { keepsProcessAlive: false });
  }

  #look(): void {
    this.#timer = undefined;
    const now = this.#parts.clock.monotonicMs();
    const [oldest] = this.#atWork;
    if (oldest !== undefined && now - oldest.sinceMs >= patienceMs && this.#computes(oldest, now)) {
      this.#lastNeededMs = now;
      if (!this.#isWide) void this.#change(true);
      this.#lookIn(keptMs);
    } else if (this.#isWide) {
      const leftMs = this.#lastNeededMs + keptMs - now;
      if (leftMs > 0) this.#lookIn(leftMs);
      else void this.#change(false);
    } else if (oldest !== undefined) {
      this.#lookIn(oldest.observed === undefined ? oldest.sinceMs + patienceMs - now : observedMs);
    }
  }

  /** Since it was first looked at, or, as it goes on, since it was last looked at. */
  #computes(statement: Statement, now: number): boolean {
    const cpuMs = this.#parts.cpuMs();
    const { observed } = statement;
    statement.observed = { ms: now, cpuMs };
    return observed !== undefined && now - observed.ms >= observedMs && cpuMs - observed.cpuMs >= computedMs;
  }

  #change(isWide: boolean): Promise<void> {
    this.#isWide = isWide;
    this.#changing = this.#changing.then(async () => {
      // A database that has stopped, or is being closed, needs no threads.
      const count = isWide ? 1 : await this.#parts.count().catch(() => 1);
      if (count > 1 || isWide) await this.#parts.setExternal(count).catch(() => undefined);
    });
    return this.#changing;
  }
}
