// After an error that stopped the database: it is opened again, by whoever meets it first, for all. Several that ask at once wait
// for the same; what passes by itself (another process that has the file for a moment) is tried again; and what does not is told
// to the host, which had better end and let somebody look.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Clock } from '../scheduler/clock.ts';

export interface RecoveryParts {
  /** Does nothing while all is well. */
  reopen(): Promise<void>;
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
        // Closed by its owner; or in memory, and lost with it.
        const hopeless = error instanceof Diagnostic && (error.code === 'closed' || error.code === 'fatal');
        const pauseMs = pausesMs[tries];
        if (!hopeless && pauseMs !== undefined) {
          await this.#parts.clock.sleep(pauseMs);
          continue;
        }
        if (error instanceof Diagnostic && error.code === 'closed') throw error;
        const reason = hopeless ? error : lost(error);
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
