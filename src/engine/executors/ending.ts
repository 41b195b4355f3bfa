// How a run that closes itself ends: in the transaction of its own effects.

import type { Outcome } from '../../scheduler/run.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import type { ClosedRun } from '../store/duckdb/fence.ts';

export interface Ending {
  /** A durable start, before effects that lie outside the database. */
  begin(): Promise<void>;
  /**
   * Takes the run out of the open set, or marks it, and commits the transaction that is open. fenced: nothing was sent that could
   * commit. `onSend` is told what COMMIT will have done, just before it is sent.
   */
  commit(
    connection: Connection,
    outcome: Outcome,
    isGuarded: boolean,
    onSend: (how: 'removed' | 'marked') => void,
  ): Promise<'removed' | 'marked' | 'fenced'>;
  /** After a COMMIT that answered an error, which proves nothing: what the ledger says. */
  fate(): Promise<'open' | 'removed' | 'marked'>;
}

/** Of a whole run. */
export interface RunEnding extends Ending {
  /** What `commit` writes, for whoever commits several runs at once. */
  closing(outcome: Outcome): ClosedRun;
}
