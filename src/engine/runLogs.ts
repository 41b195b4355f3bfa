// The lines of runs, live in `cron.run_logs`: written in batches a few times a second, all of a run's before its closing row. Of a
// run that says too much the first lines and the last are kept, and between them stands how many were dropped.

import type { Clock, Timer } from '../scheduler/clock.ts';
import type { LogLine } from '../scheduler/ports.ts';
import type { Admission } from './admission.ts';
import { Connection } from './store/duckdb/connection.ts';
import { insertText, logColumns } from './store/duckdb/ledgerRows.ts';
import { ledgerSql } from './store/duckdb/ledgerSql.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';

export interface RunLog {
  write(line: Pick<LogLine, 'step' | 'stream' | 'level' | 'line'>): void;
  /** All lines are durable, or cannot be. Safe to call twice. */
  end(): Promise<void>;
}

export interface RunLogsParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly admission: Admission;
  readonly clock: Clock;
}

const writeEveryMs = 200;
/** Of `log_lines`, so many are the last ones. */
const lastShare = 0.1;

export class RunLogs {
  readonly #parts: RunLogsParts;
  #waiting: LogLine[] = [];
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(parts: RunLogsParts) {
    this.#parts = parts;
  }

  begin(runId: string, mostLines: number): RunLog {
    const mostLast = Math.ceil(mostLines * lastShare);
    const mostFirst = mostLines - mostLast;
    let first = 0;
    let dropped = 0;
    let last: LogLine[] = [];
    return {
      write: (line) => {
        const full = { runId, loggedAt: this.#parts.clock.now(), ...line };
        if (first < mostFirst) {
          first += 1;
          this.#add(full);
          return;
        }
        last.push(full);
        if (last.length <= mostLast * 2) return;
        dropped += last.length - mostLast;
        last = last.slice(last.length - mostLast);
      },
      end: async () => {
        dropped += Math.max(last.length - mostLast, 0);
        const kept = mostLast === 0 ? [] : last.slice(-mostLast);
        if (dropped > 0) {
          const loggedAt = kept[0]?.loggedAt ?? this.#parts.clock.now();
          this.#add({ runId, step: null, loggedAt, stream: 'scheduler', level: 'warn', line: `${dropped} lines dropped` });
        }
        for (const line of kept) this.#add(line);
        last = [];
        dropped = 0;
        if (first > 0 || kept.length > 0) await this.#flush();
      },
    };
  }

  #add(line: LogLine): void {
    this.#waiting.push(line);
    this.#timer ??= this.#parts.clock.after(writeEveryMs, () => void this.#flush());
  }

  #flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const lines = this.#waiting;
    if (lines.length === 0) return;
    this.#waiting = [];
    const { database, sql, admission } = this.#parts;
    const connection = new Connection(await database.connect());
    try {
      await admission.run('ledger', () => connection.run(insertText(ledgerSql(sql.ledger).logTable, logColumns, lines)));
    } catch {
      // A run whose lines cannot be kept goes on.
    } finally {
      await connection.close();
    }
  }
}
