// After an error that stopped the database: it is opened again, by whoever meets it first, for all. Several that ask at once wait
// for the same; what passes by itself (another process that has the file for a moment) is tried again; and what does not is told
// to the host, which had better end and let somebody look.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Clock } from '../scheduler/clock.ts';
import type { Ledger } from '../scheduler/ports.ts';

export interface RecoveryParts {
  /** Does nothing while all is well. */
  reopen(): Promise<void>;
  /** Then there is nothing to be opened. */
  readonly inMemory: boolean;
  readonly clock: Clock;
}

/** Before each further try. */
const pausesMs = [200, 1000];

export class Recovery {
  readonly #parts: RecoveryParts;
  readonly #watchers = new Set<(reason: Diagnostic) => void>();
  #recovering: Promise<void> | undefined;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /** Called each time that all tries have failed. Answers the function that ends it. */
  onLost(watcher: (reason: Diagnostic) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Throws what cannot be helped: `closed`, or `fatal` with the reason. A later call tries again. */
  recover(): Promise<void> {
    this.#recovering ??= this.#recover().finally(() => {
      this.#recovering = undefined;
    });
    return this.#recovering;
  }

  async #recover(): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      try {
        return await this.#parts.reopen();
      } catch (error) {
        // By its owner, meanwhile.
        if (error instanceof Diagnostic && error.code === 'closed') throw error;
        const pauseMs = this.#parts.inMemory ? undefined : pausesMs[tries];
        if (pauseMs !== undefined) {
          await this.#parts.clock.sleep(pauseMs);
          continue;
        }
        const reason = this.#parts.inMemory && error instanceof Diagnostic ? error : lost(error);
        for (const watcher of [...this.#watchers]) watcher(reason);
        throw reason;
      }
    }
  }
}

function lost(error: unknown): Diagnostic {
  const { message } = error instanceof Error ? error : { message: String(error) };
  return new Diagnostic('fatal', `The database has stopped, and its file cannot be opened again: ${message}`, {
    hint: error instanceof Diagnostic ? error.hint : undefined,
    cause: error,
  });
}

/** The same ledger, which opens the database again where a call finds it stopped: the caller's next try has one that works. */
export function recoveringLedger(ledger: Ledger, recover: () => Promise<void>): Ledger {
  const guarded = async <T>(call: () => Promise<T>): Promise<T> => {
    await recover();
    try {
      return await call();
    } catch (error) {
      if (error instanceof Diagnostic && error.code === 'fatal') await recover();
      throw error;
    }
  };
  return {
    load: (signal) => guarded(() => ledger.load(signal)),
    changes: (revision, signal) => guarded(() => ledger.changes(revision, signal)),
    newestTick: (signal) => guarded(() => ledger.newestTick(signal)),
    tick: (tick, at, writes, signal) => guarded(() => ledger.tick(tick, at, writes, signal)),
    write: (units, signal) => guarded(() => ledger.write(units, signal)),
    applied: (units, signal) => guarded(() => ledger.applied(units, signal)),
    waiting: (request, signal) => guarded(() => ledger.waiting(request, signal)),
    openRunsOf: (scheduleId, signal) => guarded(() => ledger.openRunsOf(scheduleId, signal)),
    fate: (runId, signal) => guarded(() => ledger.fate(runId, signal)),
    ran: (instants, signal) => guarded(() => ledger.ran(instants, signal)),
  };
}
