// The items of a for_each: read a thousand at a time, handed out one by one to as many lanes as run side by side, and counted as
// they end.

import { Turnstile } from '../../../core/turnstile.ts';
import type { Item } from './job.ts';
import { objectIn, type StepEnd } from './stepEnd.ts';

export class Items {
  readonly total: number;
  readonly #read: (from: number) => Promise<readonly Item[]>;
  readonly #turnstile = new Turnstile();
  #waiting: readonly Item[] = [];
  #at = 0;
  #handedOut = 0;

  constructor(total: number, read: (from: number) => Promise<readonly Item[]>) {
    this.total = total;
    this.#read = read;
  }

  /** As many as that, or fewer; none: there are no more. */
  take(most: number): Promise<readonly Item[]> {
    return this.#turnstile.run(async () => {
      if (this.#at === this.#waiting.length) {
        if (this.#handedOut >= this.total) return [];
        this.#waiting = await this.#read(this.#handedOut);
        this.#at = 0;
      }
      const taken = this.#waiting.slice(this.#at, this.#at + most);
      this.#at += taken.length;
      this.#handedOut += taken.length;
      return taken;
    });
  }
}

export class Tally {
  succeeded = 0;
  failed = 0;
  rowsChanged = 0;
  /** The first that ends the pipeline; one that fails it before one that skips it. */
  decisive: { readonly end: StepEnd; readonly index: number } | undefined;
  #firstFailure: { readonly end: StepEnd; readonly index: number } | undefined;

  add(end: StepEnd, index: number): void {
    if (end.verdict === null) return;
    if (end.state === 'succeeded') this.succeeded += 1;
    else this.failed += 1;
    this.rowsChanged += end.rowsChanged ?? 0;
    if (end.state !== 'succeeded') this.#firstFailure ??= { end, index };
    if (end.verdict === 'continue') return;
    if (this.decisive === undefined || (this.decisive.end.verdict === 'skip' && end.verdict === 'abort')) this.decisive = { end, index };
  }

  get ended(): number {
    return this.succeeded + this.failed;
  }

  /** What has become of the step. */
  end(total: number): StepEnd {
    const result = { items: total, succeeded: this.succeeded, failed: this.failed };
    const common = { result, rowsChanged: this.rowsChanged };
    const first = this.decisive ?? this.#firstFailure;
    if (first === undefined) return { ...common, verdict: 'continue', state: 'succeeded', reason: null, error: null };
    const { end, index } = first;
    const message = `item ${index}: ${end.reason ?? end.state}`;
    const error = { code: end.error?.code ?? 'run_failed', message, detail: { item: index, ...objectIn(end.error?.detail ?? null) } };
    if (this.decisive !== undefined) return { ...common, verdict: end.verdict, state: 'failed', reason: message, error };
    const failed = `${this.failed} of ${total} items failed`;
    return { ...common, verdict: 'continue', state: 'failed', reason: `${failed}, the first: ${message}`, error };
  }
}
