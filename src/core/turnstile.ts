// One at a time, first come first served.

export class Turnstile {
  #last: Promise<unknown> = Promise.resolve();

  /** Does `work` when all work before it has ended, well or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
