// One gate in front of every native call. libuv has one pool of threads for DuckDB, files and DNS alike, and a query keeps its
// thread until it ends: with every thread taken by sessions a tick waited 4.8 s. So two threads belong to the ledger alone, and
// two limits hold for heavy statements, those of sessions and runs together:
//   - as many as twice the cores may be new. More at once are no faster, and short ones end sooner where fewer share a core;
//   - one that has been at work for a moment is not counted among those any more, or a few that never end would stop all
//     others. What is left of the pool then bounds them all.
// Neither sessions nor runs can shut the other out: one statement of each always passes.

import { availableParallelism } from 'node:os';
import { Diagnostic } from '../core/diagnostic.ts';
import { type Clock, systemClock, type Timer } from '../scheduler/clock.ts';

/** Who asks: the scheduler's own small statements, somebody's session, or a run. */
export type AdmissionClass = 'ledger' | 'session' | 'run';

/** Safe to call twice. */
export type Release = () => void;

export interface AdmissionOptions {
  /** Threads of the pool; Node has 4 unless UV_THREADPOOL_SIZE said otherwise before it started. */
  readonly poolSize?: number;
  readonly cores?: number;
  readonly clock?: Clock;
}

interface Waiting {
  readonly number: number;
  admit(): void;
}

interface Place {
  readonly sinceMs: number;
}

const nodeDefaultPoolSize = 4;

/** Left to files, DNS and connecting, where the pool has room for it. */
const spareThreads = 4;

/**
 * How long a heavy statement counts as new: the longest that the next one waits for it while the pool has room. Short ones end
 * within it. On a machine that is busy with other things they do not, and then the gate itself would hold them up: beside endless
 * queries, with twenty-five short runs a second, they were 6 s late at 150 ms, and 1 s at 10.
 */
export const newForMs = 20;

export class Admission {
  /** New ones, of sessions and runs together. */
  readonly heavyLimit: number;
  /** Of sessions and runs together, however long they have been at work. */
  readonly mostAtOnce: number;
  readonly ledgerLimit: number;
  /** What to say to whoever opened the database, when the pool allows less than the cores would. */
  readonly warning: string | undefined;
  readonly #clock: Clock;
  readonly #active: Record<AdmissionClass, number> = { ledger: 0, session: 0, run: 0 };
  readonly #waiting: Record<AdmissionClass, Waiting[]> = { ledger: [], session: [], run: [] };
  /** The oldest first. */
  readonly #new = new Set<Place>();
  #timer: Timer | undefined;
  #newestNumber = 0;

  constructor({ poolSize = nodeDefaultPoolSize, cores = availableParallelism(), clock = systemClock }: AdmissionOptions = {}) {
    this.#clock = clock;
    const wanted = 2 * cores;
    this.ledgerLimit = poolSize > 2 ? 2 : 1;
    const spare = Math.min(spareThreads, Math.max(poolSize - nodeDefaultPoolSize, 0));
    // One more than the limit may run: the single one of a class that the other would shut out.
    const room = poolSize - this.ledgerLimit - spare - 1;
    this.mostAtOnce = Math.max(room, 1);
    this.heavyLimit = Math.min(wanted, this.mostAtOnce);
    if (this.heavyLimit < wanted) {
      const statements = this.heavyLimit === 1 ? '1 heavy statement runs' : `${this.heavyLimit} heavy statements run`;
      const enough = wanted + 1 + 2 + spareThreads;
      this.warning = `The pool has ${poolSize} thread${poolSize === 1 ? '' : 's'}, so ${statements} at once instead of ${wanted}: start Node with UV_THREADPOOL_SIZE=${enough}.`;
    }
  }

  /** Nobody but the ledger is at work. */
  get isQuiet(): boolean {
    return this.#active.session === 0 && this.#active.run === 0;
  }

  /** Waits for its turn, first come first served within its class; does the work; lets the next one in. */
  async run<T>(who: AdmissionClass, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.enter(who, signal);
    try {
      return await work();
    } finally {
      release();
    }
  }

  async enter(who: AdmissionClass, signal?: AbortSignal): Promise<Release> {
    if (signal?.aborted === true) throw cancelled();
    if (this.#waiting[who].length === 0 && this.#hasRoom(who)) return this.#admit(who);
    return new Promise<Release>((resolve, reject) => {
      const queue = this.#waiting[who];
      const abort = () => {
        queue.splice(queue.indexOf(waiting), 1);
        reject(cancelled());
      };
      this.#newestNumber += 1;
      const waiting: Waiting = {
        number: this.#newestNumber,
        admit: () => {
          signal?.removeEventListener('abort', abort);
          // Counted here and not when the caller goes on, or a third could slip in between.
          resolve(this.#admit(who));
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      queue.push(waiting);
      this.#waitForAge();
    });
  }

  active(who: AdmissionClass): number {
    return this.#active[who];
  }

  waiting(who: AdmissionClass): number {
    return this.#waiting[who].length;
  }

  #hasRoom(who: AdmissionClass): boolean {
    const { ledger, session, run } = this.#active;
    switch (who) {
      case 'ledger':
        return ledger < this.ledgerLimit;
      case 'session':
        return session === 0 || this.#hasHeavyRoom(session + run);
      case 'run':
        return run === 0 || this.#hasHeavyRoom(session + run);
      default:
        return who satisfies never;
    }
  }

  #hasHeavyRoom(active: number): boolean {
    if (active < this.heavyLimit) return true;
    if (active >= this.mostAtOnce) return false;
    const oldestMs = this.#clock.monotonicMs() - newForMs;
    for (const place of this.#new) {
      if (place.sinceMs > oldestMs) break;
      this.#new.delete(place);
    }
    return this.#new.size < this.heavyLimit;
  }

  #admit(who: AdmissionClass): Release {
    this.#active[who] += 1;
    const place: Place = { sinceMs: this.#clock.monotonicMs() };
    if (who !== 'ledger') this.#new.add(place);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#active[who] -= 1;
      this.#new.delete(place);
      this.#letIn();
    };
  }

  /** Of the heads of the queues that have room, the one that has waited longest; again until none has. */
  #letIn(): void {
    for (;;) {
      let oldest: { readonly head: Waiting; readonly queue: Waiting[] } | undefined;
      for (const who of ['ledger', 'session', 'run'] as const) {
        const queue = this.#waiting[who];
        const [head] = queue;
        if (head === undefined || !this.#hasRoom(who)) continue;
        if (oldest === undefined || head.number < oldest.head.number) oldest = { head, queue };
      }
      if (oldest === undefined) break;
      oldest.queue.shift();
      oldest.head.admit();
    }
    this.#waitForAge();
  }

  /** While somebody waits, and there is a thread for him: until the oldest of the new ones is new no more. */
  #waitForAge(): void {
    if (this.#timer !== undefined) return;
    const { session, run } = this.#active;
    if (this.#waiting.session.length + this.#waiting.run.length === 0 || session + run >= this.mostAtOnce) return;
    const [oldest] = this.#new;
    if (oldest === undefined) return;
    const inMs = oldest.sinceMs + newForMs - this.#clock.monotonicMs();
    this.#timer = this.#clock.after(
      Math.max(inMs, 1),
      () => {
        this.#timer = undefined;
        this.#letIn();
      },
      { keepsProcessAlive: false },
    );
  }
}

function cancelled(): Diagnostic {
  return new Diagnostic('cancelled', 'The statement was cancelled while it waited for its turn.');
}
