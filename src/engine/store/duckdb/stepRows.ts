// The steps of pipelines, as rows: written with their effects or by themselves, and read when a run goes on.

import type { JsonValue } from '../../../core/jsonValue.ts';
import type { StepRun, Verdict } from '../../../scheduler/pipeline.ts';
import type { ClosedState } from '../../../scheduler/run.ts';
import type { Value } from '../../value.ts';
import { among, insertText, numberOf, text, textOf } from './ledgerRows.ts';
import { ledgerSql } from './ledgerSql.ts';

const columns = [
  { name: 'run_id', type: 'UUID', of: (row: StepRun) => row.runId },
  { name: 'step', type: 'VARCHAR', of: (row: StepRun) => row.step },
  { name: 'item', type: 'BIGINT', of: (row: StepRun) => row.item },
  { name: 'kind', type: 'VARCHAR', of: (row: StepRun) => row.kind },
  { name: 'state', type: 'VARCHAR', of: (row: StepRun) => row.state },
  { name: 'reason', type: 'VARCHAR', of: (row: StepRun) => row.reason },
  { name: 'attempt', type: 'BIGINT', of: (row: StepRun) => row.attempt },
  { name: 'started_at', type: 'TIMESTAMPTZ', of: (row: StepRun) => row.startedAt },
  { name: 'finished_at', type: 'TIMESTAMPTZ', of: (row: StepRun) => row.finishedAt },
  { name: 'rows_changed', type: 'BIGINT', of: (row: StepRun) => row.rowsChanged },
  { name: 'result', type: 'JSON', of: (row: StepRun) => json(row.result) },
  { name: 'error_message', type: 'VARCHAR', of: (row: StepRun) => row.errorMessage },
  { name: 'verdict', type: 'VARCHAR', of: (row: StepRun) => row.verdict },
] as const;

export function stepSql(ledger: string) {
  const { whereStillOpen } = ledgerSql(ledger);
  const table = `${ledger}.closed_step`;
  return {
    /** Only while their run is open. */
    insert: (rows: readonly StepRun[], condition = 'true') => insertText(table, columns, rows, `${whereStillOpen} WHERE ${condition}`),
    /** The same of one row, all of whose values are constants: without a join, in half the time. `condition` must be true too. */
    insertOne: (row: StepRun, condition: string) =>
      `${insertText(table, columns, [row])} FROM ${ledger}.open_run WHERE ${among('run_id', [row.runId])} AND stage = 'open' AND ${condition}`,
    ofRuns: (runIds: readonly string[]) => `SELECT ${fields} FROM ${table} WHERE ${among('run_id', runIds)} ORDER BY rowid ASC NULLS LAST`,
    /** Whether this very row is there. */
    find: ({ runId, step, item, attempt }: StepRun) =>
      `SELECT 1 FROM ${table} WHERE ${among('run_id', [runId])} AND step = ${text(step)} AND item IS NOT DISTINCT FROM ${item ?? 'NULL'}
       AND attempt = ${attempt}`,
  };
}

const ms = (name: string): string => `epoch_ms(${name})::DOUBLE`;

const fields = [
  'run_id::VARCHAR',
  'step',
  'item::DOUBLE',
  'kind',
  'state',
  'reason',
  'attempt::DOUBLE',
  ms('started_at'),
  ms('finished_at'),
  'rows_changed::DOUBLE',
  'result::VARCHAR',
  'error_message',
  'verdict',
].join(', ');

export function stepRunOf(row: readonly Value[]): StepRun {
  const [runId, step, item, kind, state, reason, attempt, startedAt, finishedAt, rowsChanged, result, errorMessage, verdict] = row;
  return {
    runId: String(runId),
    step: String(step),
    item: numberOf(item),
    kind: String(kind),
    state: String(state) as ClosedState,
    reason: textOf(reason),
    attempt: Number(attempt),
    startedAt: numberOf(startedAt),
    finishedAt: Number(finishedAt),
    rowsChanged: numberOf(rowsChanged),
    result: result == null ? null : (JSON.parse(String(result)) as JsonValue),
    errorMessage: textOf(errorMessage),
    verdict: textOf(verdict) as Verdict | null,
  };
}

function json(value: JsonValue): string | null {
  return value === null ? null : JSON.stringify(value);
}
