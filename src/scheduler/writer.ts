// Everything that is written beside ticks goes through here: as many units as arrive while one commit is on its way go into the
// next. A caller hears of its unit when the batch is durable. After an error the ledger is asked what is there, because an error
// proves nothing, and only the rest is sent again.

import { Diagnostic, type DiagnosticCode } from '../core/diagnostic.ts';
import type { Calls } from './calls.ts';
import type { Ledger, Unit } from './ports.ts';

interface Pending {
  readonly unit: Unit;
  resolve(written: boolean): void;
  reject(error: unknown): void;
  conflicts: number;
}

/** More at once would make the next commit wait. */
const largestBatch = 20_000;

/** A unit that fails alone, so often, for a reason that lies in itself, is given back to whoever sent it. */
const mostTries = 3;

export class Writer {
  readonly #ledger: Ledger;
  readonly #calls: Calls;
  #queue: Pending[] = [];
  #flushing: Promise<void> | undefined;
  readonly #postponed = new Set<Promise<void>>();
  #stopped = false;

  constructor(ledger: Ledger, calls: Calls) {
    this.#ledger = ledger;
    this.#calls = calls;
  }

  /** What waits to become durable. */
  get pending(): number {
    return this.#queue.length;
  }

  /** Durable when it resolves. false: the fence; nothing of the unit was written. */
  write(unit: Unit): Promise<boolean> {
    if (this.#stopped) return Promise.reject(new Diagnostic('closed', 'the scheduler has stopped'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ unit, resolve, reject, conflicts: 0 });
      this.#flushing ??= this.#flush();
    });
  }

  /** When all that was given so far is durable, or was given up. */
  async drain(): Promise<void> {
    for (;;) {
      const [postponed] = this.#postponed;
      const busy = this.#flushing ?? postponed;
      if (busy === undefined) return;
      await busy;
    }
  }

  /** What is not durable yet is not written any more. Safe to call twice. */
  stop(): void {
    this.#stopped = true;
    this.#refuseAll();
  }

  async #flush(): Promise<void> {
    try {
      do {
        // One turn later: whom the batch before has set free sends what comes next, and all of it goes together. A commit costs the
        // same for one unit as for many: without this, one of 16 runs that had ended together was sent alone and the others after
        // it, which made half of the runs a second. With nothing to send too: who calls takes what it gets for under way.
        await this.#calls.yieldTurn();
        await this.#send(this.#queue.splice(0, largestBatch));
      } while (this.#queue.length > 0);
    } finally {
      // In the same turn as the last look at the queue: what comes after it begins anew, instead of waiting for nobody.
      this.#flushing = undefined;
    }
  }

  async #send(batch: readonly Pending[]): Promise<void> {
    let left = batch;
    for (let tries = 1; left.length > 0; tries++) {
      if (this.#stopped) {
        for (const pending of left) pending.reject(new Diagnostic('closed', 'the scheduler has stopped'));
        return;
      }
      const sent = left;
      const units = sent.map((pending) => pending.unit);
      try {
        const written = await this.#calls.once('write', (signal) => this.#ledger.write(units, signal));
        for (const [index, pending] of sent.entries()) pending.resolve(written[index] ?? false);
        return;
      } catch (error) {
        const there = await this.#whatIsThere(units);
        if (there === undefined) continue;
        left = sent.filter((pending, index) => {
          if (there[index] === true) pending.resolve(true);
          return there[index] !== true;
        });
        if (error instanceof Diagnostic && error.code === 'conflict') {
          this.#postpone(left);
          return;
        }
        if (!liesInTheUnit(error)) {
          await this.#calls.pause(tries);
          continue;
        }
        const [only] = left;
        if (left.length === 1 && only !== undefined) {
          if (tries < mostTries) continue;
          only.reject(error);
          return;
        }
        // One of them is to blame: the others shall not wait for it.
        const middle = left.length >> 1;
        await this.#send(left.slice(0, middle));
        await this.#send(left.slice(middle));
        return;
      }
    }
  }

  /** Somebody's open transaction holds the same rows, perhaps for long: the others go on. */
  #postpone(batch: readonly Pending[]): void {
    for (const pending of batch) pending.conflicts += 1;
    const again = this.#calls.pause(Math.max(...batch.map((pending) => pending.conflicts))).then(() => {
      this.#postponed.delete(again);
      this.#queue.push(...batch);
      this.#flushing ??= this.#flush();
    });
    this.#postponed.add(again);
  }

  /** Asked until it answers: to send again what is there already would write it twice. undefined: the scheduler stopped. */
  async #whatIsThere(units: readonly Unit[]): Promise<readonly boolean[] | undefined> {
    for (let tries = 1; !this.#stopped; tries++) {
      try {
        return await this.#calls.once('applied', (signal) => this.#ledger.applied(units, signal));
      } catch {
        await this.#calls.pause(tries);
      }
    }
    return undefined;
  }

  #refuseAll(): void {
    const waiting = this.#queue;
    this.#queue = [];
    for (const pending of waiting) pending.reject(new Diagnostic('closed', 'the scheduler has stopped'));
  }
}

const ownFaults: ReadonlySet<DiagnosticCode> = new Set([
  'constraint',
  'conversion',
  'invalid_encoding',
  'invalid_value',
  'out_of_range',
  'too_large',
  'wrong_type',
]);

function liesInTheUnit(error: unknown): boolean {
  return error instanceof Diagnostic && ownFaults.has(error.code);
}
