// Locks in this process on tables that runs write. DuckDB lets the first writer of a row win and refuses the others, so a long
// run can be beaten for ever by short ones; after two conflicts a run takes these locks, and so do those that it meets again.

import { Turnstile } from '../core/turnstile.ts';

export class TableLocks {
  readonly #locks = new Map<string, { turnstile: Turnstile; users: number }>();

  /** Does `work` while nobody else holds one of `tables`. Taken in the order of names, so that two never wait for each other. */
  hold<T>(tables: readonly string[], work: () => Promise<T>): Promise<T> {
    const names = [...new Set(tables.map((table) => table.toLowerCase()))].sort();
    return this.#holdFrom(names, 0, work);
  }

  async #holdFrom<T>(names: readonly string[], index: number, work: () => Promise<T>): Promise<T> {
    const name = names[index];
    if (name === undefined) return work();
    const lock = this.#locks.get(name) ?? { turnstile: new Turnstile(), users: 0 };
    this.#locks.set(name, lock);
    lock.users += 1;
    try {
      return await lock.turnstile.run(() => this.#holdFrom(names, index + 1, work));
    } finally {
      lock.users -= 1;
      if (lock.users === 0) this.#locks.delete(name);
    }
  }
}
