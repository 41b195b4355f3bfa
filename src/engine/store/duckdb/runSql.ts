// What statements ask of single runs. A run is found by its id, and ids are in the order of time: DuckDB passes over all of history
// that cannot hold it, but only where the id is compared as it is kept, and not as text.

import type { Instant } from '../../../core/instant.ts';
import { nameKey } from '../../../core/name.ts';
import type { ClosedRun } from '../../../scheduler/ports.ts';
import type { OpenRun } from '../../../scheduler/run.ts';
import type { Value } from '../../value.ts';
import { among, closedRunFields, closedRunOf, endFields, instantText, numberOf, openRunFields, text, textOf } from './ledgerRows.ts';
import { usualTimesSql } from './usualTimesSql.ts';

/** A closed run, with what explains it. */
export interface ClosedAttempt extends ClosedRun {
  readonly waitedFor: string | null;
  readonly guarantee: string | null;
  readonly conflicts: number;
  readonly fires: number | null;
  readonly firstScheduledAt: Instant | null;
  readonly rowsChanged: number | null;
}

const ms = (name: string): string => `epoch_ms(${name})::DOUBLE`;

const attemptFields = [
  closedRunFields,
  endFields('r'),
  'r.waited_for',
  'r.guarantee',
  'r.conflicts::DOUBLE',
  'r.fires::DOUBLE',
  ms('r.first_scheduled_at'),
  'r.rows_changed::DOUBLE',
].join(', ');

export function closedAttemptOf(row: readonly Value[]): ClosedAttempt {
  const [waitedFor, guarantee, conflicts, fires, firstScheduledAt, rowsChanged] = row.slice(-6);
  return {
    ...closedRunOf(row),
    waitedFor: textOf(waitedFor),
    guarantee: textOf(guarantee),
    conflicts: Number(conflicts ?? 0),
    fires: numberOf(fires),
    firstScheduledAt: numberOf(firstScheduledAt),
    rowsChanged: numberOf(rowsChanged),
  };
}

/** RUN PIPELINE: of no schedule, and no action. */
export function isPipelineByName({ scheduleId, exe, parentRunId }: OpenRun): boolean {
  return scheduleId === null && exe === 'pipeline' && parentRunId === null;
}

/** All attempts of one fire. Runs that follow it have its root too. */
const sameFire = (run: OpenRun): string => {
  const { runId, scheduleId, rootRunId, scheduledAt, parentRunId } = run;
  if (isPipelineByName(run)) return `${among('r.root_run_id', [rootRunId])} AND r.schedule_id IS NULL AND r.exe = 'pipeline'`;
  // Of an action there is one attempt.
  if (scheduleId === null) return among('r.run_id', [runId]);
  const parent = parentRunId === null ? 'r.parent_run_id IS NULL' : among('r.parent_run_id', [parentRunId]);
  return `${among('r.root_run_id', [rootRunId])} AND r.schedule_id = ${scheduleId} AND r.scheduled_at = ${instantText(scheduledAt)} AND ${parent}`;
};

export function runSql(ledger: string) {
  return {
    /** `first` and `last` are whole ids. A run that has closed itself, and whose followers are not settled, is in both tables. */
    idsBetween: (first: string, last: string) => {
      const from = (table: string): string =>
        `SELECT run_id::VARCHAR FROM ${ledger}.${table} WHERE run_id BETWEEN ${text(first)}::UUID AND ${text(last)}::UUID`;
      return `${from('closed')} UNION ${from('open_run')} LIMIT 3`;
    },
    openRun: (runId: string) =>
      `SELECT ${openRunFields} FROM ${ledger}.open_run r WHERE ${among('r.run_id', [runId])} AND r.stage = 'open'`,
    openRuns: (runIds: readonly string[]) =>
      `SELECT ${openRunFields} FROM ${ledger}.open_run r WHERE ${among('r.run_id', runIds)} AND r.stage = 'open'`,
    closedRun: (runId: string) => `SELECT ${attemptFields} FROM ${ledger}.closed r WHERE ${among('r.run_id', [runId])}`,
    states: (runIds: readonly string[]) => `SELECT run_id::VARCHAR, state FROM ${ledger}.closed WHERE ${among('run_id', runIds)}`,
    closedAttempts: (run: OpenRun) =>
      `SELECT ${attemptFields} FROM ${ledger}.closed r WHERE ${sameFire(run)} ORDER BY r.attempt ASC NULLS LAST, r.finished_at ASC NULLS LAST`,
    openAttempts: (run: OpenRun) =>
      `SELECT ${openRunFields} FROM ${ledger}.open_run r WHERE ${sameFire(run)} AND r.stage = 'open' ORDER BY r.attempt ASC NULLS LAST`,

    /** The attempts that were opened because of this one. */
    retriesOf: (runId: string) => `
      SELECT run_id::VARCHAR, epoch_ms(opened_at) AS opened_ms FROM ${ledger}.open_run WHERE ${among('retry_of', [runId])} AND stage = 'open'
      UNION ALL
      SELECT run_id::VARCHAR, epoch_ms(opened_at) FROM ${ledger}.closed WHERE ${among('retry_of', [runId])}
      ORDER BY opened_ms DESC NULLS LAST`,

    // What explains a run

    /** In flight beside it when it was decided; a wait for a retry included. */
    inFlightWith: ({ runId, scheduleId, openedAt }: OpenRun) => {
      const those = `r.schedule_id = ${scheduleId ?? 'NULL'} AND r.trigger NOT IN ('manual', 'backfill', 'api') AND r.opened_at <= ${instantText(openedAt)}
        AND NOT ${among('r.run_id', [runId])}`;
      return `
        SELECT r.run_id::VARCHAR, ${ms('r.opened_at')} AS opened_ms, ${ms('r.started_at')}, ${ms('r.finished_at')}, r.state FROM ${ledger}.closed r
        WHERE ${those} AND r.finished_at >= ${instantText(openedAt)} AND r.state <> 'skipped'
        UNION ALL
        SELECT r.run_id::VARCHAR, ${ms('r.opened_at')}, NULL, NULL, 'open' FROM ${ledger}.open_run r WHERE ${those} AND r.stage = 'open'
        ORDER BY opened_ms ASC NULLS LAST LIMIT 5`;
    },
    /** Starts and stops of the scheduler up to then, the newest first. */
    boots: (through: Instant) =>
      `SELECT event, ${ms('occurred_at')}, boot_id FROM ${ledger}.boot WHERE occurred_at <= ${instantText(through)} ORDER BY rowid DESC NULLS LAST LIMIT 100`,
    /** Runs that came of these: those of followers, and of actions. */
    cameOf: (rootRunId: string, runIds: readonly string[]) => {
      const those = `${among('root_run_id', [rootRunId])} AND ${among('parent_run_id', runIds)}`;
      const fields = `run_id::VARCHAR, schedule, call, schedule_id IS NULL, ${ms('opened_at')} AS opened_ms`;
      return `
        SELECT ${fields}, state, reason FROM ${ledger}.closed WHERE ${those} AND attempt = 1
        UNION ALL
        SELECT ${fields}, 'pending', NULL FROM ${ledger}.open_run WHERE ${those} AND attempt = 1 AND stage = 'open'
        ORDER BY opened_ms ASC NULLS LAST`;
    },
    /** Each durable start of a run: by more than one scheduler, if one was gone before the run had ended. */
    starts: (runId: string) =>
      `SELECT boot_id, ${ms('started_at')} AS started_ms FROM ${ledger}.started WHERE ${among('run_id', [runId])} ORDER BY started_ms ASC NULLS LAST`,
    /** Of a schedule's ends up to a moment, the newest for that time, or else the newest. */
    lastEnd: (name: string, { scheduledAt, openedAt }: OpenRun) => `
      SELECT ${attemptFields} FROM ${ledger}.closed r
      WHERE lower(r.schedule) = ${text(nameKey(name))} AND r.final AND r.trigger <> 'backfill' AND r.finished_at <= ${instantText(openedAt)}
      ORDER BY r.scheduled_at = ${instantText(scheduledAt)} DESC NULLS LAST, r.scheduled_at DESC NULLS LAST, r.rowid DESC NULLS LAST LIMIT 1`,
    /** What was decided of its followers' fires in the moment in which this one was refused. */
    decidedWith: ({ runId, scheduleId, openedAt }: OpenRun) => {
      const those = `schedule_id = ${scheduleId ?? 'NULL'} AND trigger = 'after' AND opened_at = ${instantText(openedAt)} AND NOT ${among('run_id', [runId])}`;
      return `
        SELECT run_id::VARCHAR, parent_run_id::VARCHAR FROM ${ledger}.closed WHERE ${those}
        UNION ALL
        SELECT run_id::VARCHAR, parent_run_id::VARCHAR FROM ${ledger}.open_run WHERE ${those} AND stage = 'open' LIMIT 1`;
    },
    settled: (runIds: readonly string[]) =>
      `SELECT settled, ${ms('settled_at')} FROM ${ledger}.dead_letter_settled WHERE ${among('run_id', runIds)}`,
    usualTime: (scheduleId: number) => usualTimesSql({ ledger, which: `schedule_id = ${scheduleId}`, fewest: 1 }),

    // What a schedule has come to

    /** Instants for which there is nothing to make up: they succeeded, or are still open. */
    doneInstants: (scheduleId: number, from: Instant, to: Instant) => {
      const those = `schedule_id = ${scheduleId} AND scheduled_at >= ${instantText(from)} AND scheduled_at < ${instantText(to)}`;
      return `
        SELECT DISTINCT ${ms('scheduled_at')} FROM (
          SELECT scheduled_at FROM ${ledger}.closed WHERE ${those} AND state = 'succeeded'
          UNION ALL
          SELECT scheduled_at FROM ${ledger}.open_run WHERE ${those}
        )`;
    },
    usualTimes: usualTimesSql({ ledger, which: 'schedule_id IS NOT NULL', fewest: 1 }),
    /** Of schedules that run so many times and not more. */
    openedFires: `
      SELECT schedule_id::DOUBLE, max(fires)::DOUBLE FROM (
        SELECT schedule_id, opened_fires AS fires FROM ${ledger}.closed
        UNION ALL
        SELECT schedule_id, fire FROM ${ledger}.open_run
      ) WHERE schedule_id IN (SELECT schedule_id FROM ${ledger}.schedule WHERE json_exists(bound, '$.maxRuns')) GROUP BY schedule_id`,
    conditional: `SELECT name FROM ${ledger}.schedule WHERE enabled AND json_exists(bound, '$.when') ORDER BY name_key ASC NULLS LAST`,

    // Dead letters

    settledLetters: (runIds: readonly string[]) =>
      `SELECT run_id::VARCHAR FROM ${ledger}.dead_letter_settled WHERE ${among('run_id', runIds)}`,
    deadLetters: `
      SELECT ${attemptFields} FROM ${ledger}.closed r
      WHERE r.final AND r.state IN ('failed', 'timed_out', 'interrupted') AND r.run_id NOT IN (SELECT run_id FROM ${ledger}.dead_letter_settled)
      ORDER BY r.finished_at ASC NULLS LAST, r.run_id ASC NULLS LAST`,
    /** Once, whoever else says so at the same moment. */
    settleLetters: (runIds: readonly string[], settled: 'retried' | 'dropped', at: Instant) => `
      INSERT INTO ${ledger}.dead_letter_settled (run_id, settled, settled_at)
      SELECT r.run_id, ${text(settled)}, ${instantText(at)} FROM ${ledger}.closed r
      WHERE ${among('r.run_id', runIds)} AND r.run_id NOT IN (SELECT run_id FROM ${ledger}.dead_letter_settled)`,
  };
}
