// One gate in front of every native call. libuv has one pool of threads for DuckDB, files and DNS alike, and a query keeps its
// thread until it ends: with every thread taken by sessions a tick waited 4.8 s. So two threads belong to the ledger alone, and
// of heavy statements (sessions and runs together) twice as many as there are cores are let in. Neither of these two can shut
// the other out: one statement of each always passes.

import { availableParallelism } from 'node:os';
import { Diagnostic } from '../core/diagnostic.ts';

/** Who asks: the scheduler's own small statements, somebody's session, or a run. */
export type AdmissionClass = 'ledger' | 'session' | 'run';

/** Safe to call twice. */
export type Release = () => void;

export interface AdmissionOptions {
  /** Threads of the pool; Node has 4 unless UV_THREADPOOL_SIZE said otherwise before it started. */
  readonly poolSize?: number;
  readonly cores?: number;
}

interface Waiting {
  readonly number: number;
  admit(): void;
}

const nodeDefaultPoolSize = 4;

/** Left to files, DNS and connecting, where the pool has room for it. */
const spareThreads = 4;

export class Admission {
  /** Of sessions and runs together. */
  readonly heavyLimit: number;
  readonly ledgerLimit: number;
  /** What to say to whoever opened the database, when the pool allows less than the cores would. */
  readonly warning: string | undefined;
  readonly #active: Record<AdmissionClass, number> = { ledger: 0, session: 0, run: 0 };
  readonly #waiting: Record<AdmissionClass, Waiting[]> = { ledger: [], session: [], run: [] };
  #newestNumber = 0;

  constructor(options: AdmissionOptions = {}) {
    const poolSize = options.poolSize ?? nodeDefaultPoolSize;
    const wanted = 2 * (options.cores ?? availableParallelism());
    this.ledgerLimit = poolSize > 2 ? 2 : 1;
    const spare = Math.min(spareThreads, Math.max(poolSize - nodeDefaultPoolSize, 0));
    // One more than the limit may run: the single one of a class that the other would shut out.
    const room = poolSize - this.ledgerLimit - spare - 1;
    this.heavyLimit = Math.max(Math.min(wanted, room), 1);
    if (this.heavyLimit < wanted) {
      const statements = this.heavyLimit === 1 ? '1 heavy statement runs' : `${this.heavyLimit} heavy statements run`;
      const enough = wanted + 1 + 2 + spareThreads;
      this.warning = `The pool has ${poolSize} thread${poolSize === 1 ? '' : 's'}, so ${statements} at once instead of ${wanted}: start Node with UV_THREADPOOL_SIZE=${enough}.`;
    }
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
    await new Promise<void>((resolve, reject) => {
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
          this.#active[who] += 1;
          resolve();
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      queue.push(waiting);
    });
    return this.#release(who);
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
        return session === 0 || session + run < this.heavyLimit;
      case 'run':
        return run === 0 || session + run < this.heavyLimit;
      default:
        return who satisfies never;
    }
  }

  #admit(who: AdmissionClass): Release {
    this.#active[who] += 1;
    return this.#release(who);
  }

  #release(who: AdmissionClass): Release {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#active[who] -= 1;
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
      if (oldest === undefined) return;
      oldest.queue.shift();
      oldest.head.admit();
    }
  }
}

function cancelled(): Diagnostic {
  return new Diagnostic('cancelled', 'The statement was cancelled while it waited for its turn.');
}
