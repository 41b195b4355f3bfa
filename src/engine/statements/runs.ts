// Single runs, as statements name them: by an id, or as much of it as is unique.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { StringValue } from '../../parser/ast.ts';
import type { OpenRun } from '../../scheduler/run.ts';
import type { Result } from '../result.ts';
import { among, openRunOf } from '../store/duckdb/ledgerRows.ts';
import { type ClosedAttempt, closedAttemptOf, runSql } from '../store/duckdb/runSql.ts';
import type { Value } from '../value.ts';
import { answer, type StatementContext, text } from './context.ts';

/** As cron.runs shows it. Asked of its halves, which have the id as it is stored, by which DuckDB finds a run at once. */
export async function shownRun({ named }: Attempts, context: StatementContext): Promise<Readonly<Record<string, Value>>> {
  const { runId } = 'run' in named ? named.run : named;
  const half = (name: string): string => `SELECT * EXCLUDE (id) FROM ${context.sql.cron}.${name} WHERE ${among('id', [runId])}`;
  const [row] = await context.connection.all(
    `${half('cuckoo_closed_run')} UNION ALL ${half('cuckoo_open_run')} ORDER BY finished_at ASC NULLS LAST LIMIT 1`,
  );
  if (row === undefined) throw new Diagnostic('undefined_object', `there is no run ${runId} any more`, { hint: noRunHint });
  return row;
}

/** All attempts of one fire, in their order. */
export interface Attempts {
  /** The one that was named. */
  readonly named: OpenRun | ClosedAttempt;
  readonly closed: readonly ClosedAttempt[];
  /** Closed or not, it stands for the fire. */
  readonly newest: OpenRun;
  /** Waits for its turn or its retry, or is at work. */
  readonly open: OpenRun | undefined;
}

export async function findAttempts(written: StringValue, context: StatementContext): Promise<Attempts> {
  const runId = await findId(written, context);
  const attempts = await attemptsOf(runId, context);
  if (attempts === undefined) throw noRun(written);
  return attempts;
}

export async function attemptsOf(runId: string, context: StatementContext): Promise<Attempts | undefined> {
  const sql = runSql(context.sql.ledger);
  const rows = async (text: string): Promise<Value[][]> => (await context.connection.table(text)).rows;
  const [openRow] = await rows(sql.openRun(runId));
  const [closedRow] = openRow === undefined ? await rows(sql.closedRun(runId)) : [];
  const named = openRow !== undefined ? openRunOf(openRow) : closedRow !== undefined ? closedAttemptOf(closedRow) : undefined;
  if (named === undefined) return undefined;
  const run = 'run' in named ? named.run : named;
  const closed = (await rows(sql.closedAttempts(run))).map(closedAttemptOf);
  const [open] = (await rows(sql.openAttempts(run))).map(openRunOf);
  return { named, closed, newest: open ?? closed.at(-1)?.run ?? run, open };
}

/** A narrow table shows `01a1f87e-3749-7004-…`. */
async function findId(written: StringValue, context: StatementContext): Promise<string> {
  const digits = written.text.trim().toLowerCase().replace(/…$/, '').replaceAll('-', '');
  if (digits.length < leastDigits || !/^[0-9a-f]+$/.test(digits)) {
    throw new Diagnostic('invalid_value', `'${written.text}' is not the id of a run`, {
      span: written.span,
      hint: 'at least the first 8 characters of a run_id; LIST RUNS shows them',
    });
  }
  if (digits.length > idDigits) throw noRun(written);
  if (digits.length === idDigits) return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const { rows } = await context.connection.table(
    runSql(context.sql.ledger).idsBetween(digits.padEnd(idDigits, '0'), digits.padEnd(idDigits, 'f')),
  );
  const [first] = rows;
  if (first === undefined) throw noRun(written);
  if (rows.length > 1) {
    const ids = rows.map(([id]) => String(id)).sort();
    throw new Diagnostic('ambiguous', `more than one run begins with ${written.text}`, {
      span: written.span,
      hint: `write more of it: ${ids.join(', ')}`,
    });
  }
  return String(first[0]);
}

const leastDigits = 8;
const idDigits = 32;

const noRunHint = 'LIST RUNS shows what there is';

function noRun(written: StringValue): Diagnostic {
  return new Diagnostic('undefined_object', `there is no run ${written.text}`, {
    span: written.span,
    hint: noRunHint,
  });
}

/** What became of each run that a statement touched; where there is none, only that. */
export function eachRun(tag: string, runs: readonly (readonly [run: OpenRun, outcome: string])[], none: string): Result {
  const columns = [text('run_id'), text('schedule'), text('outcome')];
  if (runs.length === 0) return answer({ tag, columns, rows: [], notes: [none], form: 'outcomes' });
  return answer({ tag, columns, rows: runs.map(([run, outcome]) => [run.runId, run.schedule, outcome]) });
}
