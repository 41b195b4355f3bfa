// Forgets history, as each schedule's `keep` says, and the ledger's own old rows. It is work for idle time: one look at what is
// old, then small transactions with as long a rest behind each, so that nothing waits for it longer than for one of them.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { Clock } from '../scheduler/clock.ts';
import { ClockTrust, rowsAtOnce } from '../scheduler/retention.ts';
import type { Admission } from './admission.ts';
import { Connection } from './store/duckdb/connection.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import { retentionSql } from './store/duckdb/retentionSql.ts';
import type { Sql } from './store/duckdb/sql.ts';

export interface RetentionParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
}

export interface Swept {
  /** Runs; of the ledger's own rows nobody asks. */
  readonly deleted: number;
  /** Old rows were left: sweep again soon. */
  readonly more: boolean;
}

const mostRunsASweep = 100_000;

export class Retention {
  readonly #parts: RetentionParts;
  readonly #sql: ReturnType<typeof retentionSql>;
  readonly #trust = new ClockTrust();
  /** What definitions looked like when none of them had a `keep`. */
  #keepless: string | undefined;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
    this.#sql = retentionSql(parts.sql.ledger);
  }

  /** One at a time. Aborted, it ends after the transaction that it is in, and has done what it says. */
  async sweep(signal: AbortSignal): Promise<Swept> {
    const { clock, database } = this.#parts;
    const connection = new Connection(await database.connect());
    let deleted = 0;
    try {
      const now = clock.now();
      const [seen] = await this.#admitted(() => connection.all<{ at: number }>(this.#sql.newestInstant));
      if (!this.#trust.believes(now, clock.monotonicMs(), seen?.at ?? now)) return { deleted, more: false };
      const ownLeft = await this.#sweepOwn(connection, now, signal);
      const found = signal.aborted ? 0 : await this.#findOldRuns(connection, now);
      while (deleted < found && !signal.aborted) {
        const to = Math.min(deleted + rowsAtOnce, found);
        if (await this.#deleteRuns(connection, { from: deleted, to }, signal)) deleted = to;
      }
      return { deleted, more: ownLeft || deleted < found || found === mostRunsASweep };
    } catch (error) {
      // A session takes the same rows away: whoever comes second gives way.
      if (error instanceof Diagnostic && error.code === 'conflict') return { deleted, more: true };
      throw error;
    } finally {
      await connection.close();
    }
  }

  /** Answers whether rows are left. */
  async #sweepOwn(connection: Connection, now: Instant, signal: AbortSignal): Promise<boolean> {
    let left = false;
    for (const statement of this.#sql.ownRows) {
      if (signal.aborted) return true;
      const gone = await this.#small(() => connection.run(statement, statement.includes('$now') ? { now } : {}));
      left ||= gone === rowsAtOnce;
    }
    return left;
  }

  /** Writes down which runs go, and answers how many. */
  async #findOldRuns(connection: Connection, now: Instant): Promise<number> {
    return this.#admitted(async () => {
      const [{ stamp } = { stamp: '' }] = await connection.all<{ stamp: string }>(this.#sql.definitionsStamp);
      if (stamp === this.#keepless) return 0;
      await connection.run(this.#sql.findKeeps, { now });
      const [{ keeps } = { keeps: 0 }] = await connection.all<{ keeps: number }>(this.#sql.countKeeps);
      this.#keepless = keeps === 0 ? stamp : undefined;
      if (keeps === 0) return 0;
      await connection.run(this.#sql.findOldRuns, { most: mostRunsASweep });
      const [{ runs } = { runs: 0 }] = await connection.all<{ runs: number }>(this.#sql.countOldRuns);
      return runs;
    });
  }

  /** Their logs and steps first: those may be many, and a run without its log is better than a log without its run. */
  async #deleteRuns(connection: Connection, places: { readonly from: number; readonly to: number }, signal: AbortSignal): Promise<boolean> {
    for (const statement of [this.#sql.deleteLogs, this.#sql.deleteSteps]) {
      let gone = rowsAtOnce;
      while (gone === rowsAtOnce) {
        if (signal.aborted) return false;
        gone = await this.#small(() => connection.run(statement, places));
      }
    }
    if (signal.aborted) return false;
    await this.#small(() =>
      connection.transact(async () => {
        for (const statement of this.#sql.deleteRuns) await connection.run(statement, places);
      }),
    );
    return true;
  }

  /** A transaction, and a rest as long as it took. */
  async #small<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#parts;
    const startedMs = clock.monotonicMs();
    const result = await this.#admitted(work);
    await clock.sleep(clock.monotonicMs() - startedMs);
    return result;
  }

  /** With the runs, not with the ledger: it can wait. */
  #admitted<T>(work: () => Promise<T>): Promise<T> {
    return this.#parts.admission.run('run', work);
  }
}
