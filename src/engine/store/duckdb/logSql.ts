// What is asked of the lines of one run. They are found by the id and the time, in the order of which the table lies, so that DuckDB
// passes over the lines of other days.

import type { Instant } from '../../../core/instant.ts';
import type { LogLine } from '../../../scheduler/ports.ts';
import { TimestampTz, type Value } from '../../value.ts';
import { among, instantText, text } from './ledgerRows.ts';

export interface LogPage {
  readonly runId: string;
  readonly openedAt: Instant;
  /** Those behind it. */
  readonly after?: TimestampTz | undefined;
  readonly limit: number;
}

/** As its row has it. */
export interface WrittenLine {
  readonly at: TimestampTz;
  readonly step: string | null;
  readonly stream: string;
  readonly level: string;
  readonly line: string;
}

const fields = 'logged_at, step, stream, level, line';

export function logSql(ledger: string) {
  const table = `${ledger}.run_log`;
  const exactly = ({ micros }: TimestampTz): string => `make_timestamptz(${micros})`;
  return {
    table,
    page: ({ runId, openedAt, after, limit }: LogPage): string => {
      const behind = after === undefined ? `logged_at >= ${instantText(openedAt)}` : `logged_at > ${exactly(after)}`;
      return `SELECT ${fields} FROM ${table} WHERE ${among('run_id', [runId])} AND ${behind} ORDER BY logged_at ASC NULLS LAST LIMIT ${limit}`;
    },
    /** The newest first. */
    last: ({ runId, openedAt, limit }: LogPage): string => `
      SELECT ${fields} FROM ${table} WHERE ${among('run_id', [runId])} AND logged_at >= ${instantText(openedAt)}
      ORDER BY logged_at DESC NULLS LAST LIMIT ${limit}`,
    /** What the scheduler itself said of it. */
    ofScheduler: ({ runId, openedAt }: Pick<LogPage, 'runId' | 'openedAt'>): string => `
      SELECT ${fields} FROM ${table} WHERE ${among('run_id', [runId])} AND logged_at >= ${instantText(openedAt)} AND stream = 'scheduler'
      ORDER BY logged_at ASC NULLS LAST`,
    /** A row where this line is there. */
    find: ({ runId, loggedAt, line }: LogLine): string =>
      `SELECT 1 FROM ${table} WHERE ${among('run_id', [runId])} AND logged_at = ${exactly(lineTime(loggedAt))} AND line = ${text(line)} LIMIT 1`,
  };
}

export function writtenLineOf(row: readonly Value[]): WrittenLine {
  const [at, step, stream, level, line] = row;
  return {
    at: at instanceof TimestampTz ? at : new TimestampTz(0n),
    step: step == null ? null : String(step),
    stream: String(stream),
    level: String(level),
    line: String(line),
  };
}

/** Lines of a run may be a microsecond apart. */
export function lineTime(at: Instant): TimestampTz {
  return new TimestampTz(BigInt(Math.round(at * 1000)));
}
