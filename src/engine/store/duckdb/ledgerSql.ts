// The statements of the ledger, by name. What varies stands in them as literals (ledgerRows.ts), so that several travel in one text.
// Fully qualified and with ASC NULLS LAST, because settings may change what names and orders mean.

import type { Instant } from '../../../core/instant.ts';
import type { ScheduledInstant, Tick, WaitingRequest } from '../../../scheduler/ports.ts';
import { classSize, risesAfterMs } from '../../../scheduler/queue.ts';
import { priorities } from '../../../scheduler/schedule.ts';
import { alertFields, among, closedRunFields, endFields, instantText, openRunFields, text, tokenFields } from './ledgerRows.ts';

export type LedgerSql = ReturnType<typeof ledgerSql>;

/** What DuckDB says where a tick's number is taken. */
export const tickIsThere = 'this tick is there already';

/** Runs that overlap and `max_runs` leave out of account. */
const asideTriggers = "('manual', 'backfill', 'api')";

const ascii = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
/** As names are compared. */
const folded = (name: string): string => `translate(${name}, '${ascii}', '${ascii.toLowerCase()}')`;

const milliseconds = (name: string): string => `epoch_ms(${name})::DOUBLE`;

export function ledgerSql(ledger: string) {
  const ids = (values: readonly number[]): string =>
    values.length <= 100 ? `(${values.join(', ')})` : `(SELECT unnest(from_json('[${values.join(',')}]', '["BIGINT"]')))`;
  const counters = (which: string): string => `
    SELECT schedule_id::DOUBLE,
      coalesce(
        arg_max(consecutive_failures, rowid) FILTER (final AND state NOT IN ('skipped', 'cancelled')),
        arg_max(consecutive_failures, rowid)
      )::DOUBLE,
      max(opened_fires)::DOUBLE, ${milliseconds('max(last_success_at)')}
    FROM ${ledger}.closed WHERE ${which} GROUP BY schedule_id`;
  return {
    // Definitions

    /**
     * What stands around them, each row with a first word that says what it is: five statements would take twice as long. Rows of
     * schedule_version are never deleted, and get their row ids in the order of their commits.
     */
    around: (settings: string) => `
      SELECT 'version' AS what, coalesce(max(rowid), -1)::VARCHAR AS a, NULL AS b, NULL AS c, NULL AS d, NULL AS e, NULL AS f
      FROM ${ledger}.schedule_version
      UNION ALL SELECT 'calendar', name_key, version || ' ' || epoch_us(updated_at), bound::VARCHAR, NULL, NULL, NULL FROM ${ledger}.calendar
      UNION ALL SELECT 'setting', name, value, NULL, NULL, NULL, NULL FROM (${settings})
      UNION ALL SELECT 'queue', name, weight::VARCHAR, concurrency::VARCHAR, rate_count::VARCHAR, rate_per_ms::VARCHAR, paused::VARCHAR FROM ${ledger}.queue
      UNION ALL SELECT 'paused', value, NULL, NULL, NULL, NULL, NULL FROM ${ledger}.file WHERE key = 'paused_at'`,
    changedSchedules: (afterRow: number, calendars: readonly string[]) =>
      `SELECT DISTINCT schedule_id::DOUBLE FROM ${ledger}.schedule_version WHERE rowid > ${afterRow}` +
      (calendars.length === 0
        ? ''
        : ` UNION SELECT schedule_id::DOUBLE FROM ${ledger}.schedule WHERE ${folded('calendar')} IN (${calendars.map(text).join(', ')})`),
    queues: `SELECT name, weight::DOUBLE, concurrency::DOUBLE, rate_count::DOUBLE, rate_per_ms::DOUBLE, paused FROM ${ledger}.queue ORDER BY name_key ASC NULLS LAST`,
    ofSchedules: (scheduleIds: readonly number[]) => `WHERE s.schedule_id IN ${ids(scheduleIds)}`,

    /** What DuckDB may take, and what it has taken for the blocks of tables and for everything else. */
    memory: `
      SELECT current_setting('memory_limit'), coalesce(sum(memory_usage_bytes) FILTER (tag = 'BASE_TABLE'), 0)::DOUBLE,
        coalesce(sum(memory_usage_bytes) FILTER (tag <> 'BASE_TABLE'), 0)::DOUBLE
      FROM duckdb_memory()`,

    // Ticks

    newestTick: `
      SELECT seq::DOUBLE, ${milliseconds('watermark')}, ${milliseconds('partly_due')}, partly_through::DOUBLE,
        ${milliseconds('gap_from')}, ${milliseconds('gap_to')}, ${milliseconds('replay_until')}
      FROM ${ledger}.tick WHERE seq = (SELECT seq FROM ${ledger}.tick_seq) LIMIT 1`,
    /** The one row that every tick changes: of two at the same moment the second conflicts, and one that comes late is refused. */
    takeTick: (seq: number) => `UPDATE ${ledger}.tick_seq SET seq = CASE WHEN seq < ${seq} THEN ${seq} ELSE error('${tickIsThere}') END`,
    insertTick: ({ seq, watermark, partly, gap, replayUntil }: Tick, at: Instant) =>
      `INSERT INTO ${ledger}.tick (seq, watermark, ticked_at, partly_due, partly_through, gap_from, gap_to, replay_until) VALUES (${[
        seq,
        instantText(watermark),
        instantText(at),
        instantText(partly?.due ?? null),
        partly?.throughId ?? 'NULL',
        instantText(gap?.from ?? null),
        instantText(gap?.to ?? null),
        instantText(replayUntil),
      ].join(', ')})`,

    // What schedules have come to

    /**
     * Of the newest closing row that says how a run ended: by the order of commits, because a clock may have been ahead for a
     * while. Where such rows are gone, the newest row of any kind carries the same counters.
     */
    counters: counters('schedule_id IS NOT NULL'),
    countersOf: (scheduleId: number) => counters(`schedule_id = ${scheduleId}`),
    inFlight: `
      SELECT schedule_id::DOUBLE, count(*) FILTER (trigger <> 'catchup')::DOUBLE, count(*) FILTER (trigger = 'catchup')::DOUBLE
      FROM ${ledger}.open_run
      WHERE stage = 'open' AND schedule_id IS NOT NULL AND trigger NOT IN ${asideTriggers} GROUP BY schedule_id`,
    openFires: `SELECT schedule_id::DOUBLE, max(fire)::DOUBLE FROM ${ledger}.open_run WHERE fire IS NOT NULL AND schedule_id IS NOT NULL GROUP BY schedule_id`,
    countOpen: `SELECT count(*)::DOUBLE FROM ${ledger}.open_run WHERE stage = 'open'`,
    /** A boot that has stopped has let go of its runs: those are merely open again. */
    begun: `
      SELECT ${openRunFields}, ${milliseconds('b.started_at')} FROM ${ledger}.open_run r JOIN (
        SELECT run_id, max(started_at) AS started_at FROM ${ledger}.started
        WHERE boot_id NOT IN (SELECT boot_id FROM ${ledger}.boot WHERE event <> 'start')
          AND run_id IN (SELECT run_id FROM ${ledger}.open_run WHERE stage = 'open')
        GROUP BY run_id
      ) b ON b.run_id = r.run_id
      WHERE r.stage = 'open' ORDER BY r.scheduled_at ASC NULLS LAST, r.run_id ASC NULLS LAST`,
    marks: `
      SELECT ${openRunFields}, ${endFields('c')} FROM ${ledger}.open_run r JOIN ${ledger}.closed c ON c.run_id = r.run_id
      WHERE r.stage = 'marked' ORDER BY c.rowid ASC NULLS LAST`,
    tokens: `SELECT ${tokenFields} FROM ${ledger}.token ORDER BY rowid ASC NULLS LAST`,
    alerts: `SELECT ${alertFields} FROM ${ledger}.alert WHERE ended_at IS NULL ORDER BY rowid ASC NULLS LAST`,
    lastBoot: `SELECT boot_id, event, ${milliseconds('occurred_at')} FROM ${ledger}.boot ORDER BY rowid DESC NULLS LAST LIMIT 1`,
    /** Of queues with a rate: as many as may matter, no longer ago than that. */
    recentStarts: (now: Instant, longestMs: number) => `
      WITH starts AS (
        SELECT ${folded('queue')} AS queue_key, started_at FROM ${ledger}.closed
        WHERE started_at > ${instantText(now - longestMs)} AND started_at <= ${instantText(now)}
        UNION ALL
        SELECT ${folded('r.queue')}, b.started_at FROM ${ledger}.started b JOIN ${ledger}.open_run r ON r.run_id = b.run_id
        WHERE b.started_at > ${instantText(now - longestMs)} AND b.started_at <= ${instantText(now)}
      )
      SELECT q.name, ${milliseconds('s.started_at')} AS started_ms FROM starts s JOIN ${ledger}.queue q ON q.name_key = s.queue_key
      WHERE q.rate_count IS NOT NULL AND s.started_at > ${instantText(now)} - to_milliseconds(q.rate_per_ms)
      QUALIFY row_number() OVER (PARTITION BY q.name ORDER BY s.started_at DESC NULLS LAST) <= q.rate_count
      ORDER BY started_ms ASC NULLS LAST`,

    // Open runs

    /**
     * Urgency as in scheduler/queue.ts: classes, raised by age, above the nominal time; what has risen above all goes by how long
     * it waits. Queues take turns: a paused one with a million runs must not hide the others, and where a queue has no turn any
     * more, it has no other runs.
     */
    waiting: ({ now, limit, perGroup }: WaitingRequest) => `
      WITH ready AS (
        SELECT rowid AS place, queue, group_key, run_id, attempt, epoch_ms(scheduled_at) AS scheduled_ms,
          epoch_ms(greatest(opened_at, coalesce(not_before, opened_at))) AS since_ms,
          list_position([${priorities.map((priority) => `'${priority}'`).join(', ')}], priority) - 1
            - greatest((${now} - since_ms) // ${risesAfterMs}, 0) AS class,
          CASE WHEN class < 0 THEN since_ms ELSE (class + 1) * ${classSize} + scheduled_ms END AS urgency
        FROM ${ledger}.open_run WHERE stage = 'open' AND (not_before IS NULL OR not_before <= ${instantText(now)})
      ), possible AS (
        SELECT * FROM ready WHERE group_key IS NULL
        UNION ALL
        SELECT * FROM ready WHERE group_key IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY group_key ORDER BY ${inGroup}) <= ${perGroup}
      ), shared AS (
        SELECT place, urgency, scheduled_ms, attempt, run_id,
          row_number() OVER (PARTITION BY ${folded('queue')} ORDER BY urgency ASC NULLS LAST, ${inGroup}) AS turn
        FROM possible ORDER BY turn ASC NULLS LAST, urgency ASC NULLS LAST, ${inGroup} LIMIT ${limit}
      )
      SELECT ${openRunFields} FROM ${ledger}.open_run r JOIN shared w ON w.place = r.rowid
      ORDER BY w.turn ASC NULLS LAST, w.urgency ASC NULLS LAST, w.scheduled_ms ASC NULLS LAST, w.attempt ASC NULLS LAST, w.run_id ASC NULLS LAST`,
    openRunsOf: (scheduleId: number) => `
      SELECT ${openRunFields} FROM ${ledger}.open_run r WHERE r.schedule_id = ${scheduleId} AND r.stage = 'open'
      ORDER BY r.scheduled_at ASC NULLS LAST, r.run_id ASC NULLS LAST`,
    openRun: (runId: string) => `SELECT ${openRunFields}, r.stage FROM ${ledger}.open_run r WHERE ${among('r.run_id', [runId])}`,
    closedRun: (runId: string) =>
      `SELECT ${closedRunFields}, ${endFields('r')} FROM ${ledger}.closed r WHERE ${among('r.run_id', [runId])} LIMIT 1`,
    stages: (runIds: readonly string[]) => `SELECT run_id::VARCHAR, stage FROM ${ledger}.open_run WHERE ${among('run_id', runIds)}`,
    ends: (runIds: readonly string[]) =>
      `SELECT run_id::VARCHAR, state, ${milliseconds('finished_at')} FROM ${ledger}.closed WHERE ${among('run_id', runIds)}`,
    started: (runIds: readonly string[]) => `SELECT run_id::VARCHAR, boot_id FROM ${ledger}.started WHERE ${among('run_id', runIds)}`,
    heldTokens: (tokenIds: readonly string[]) => `SELECT token_id::VARCHAR FROM ${ledger}.token WHERE ${among('token_id', tokenIds)}`,
    settledLetters: (runIds: readonly string[]) =>
      `SELECT run_id::VARCHAR FROM ${ledger}.dead_letter_settled WHERE ${among('run_id', runIds)}`,
    boots: `SELECT boot_id, event FROM ${ledger}.boot`,
    /** A run by hand is for the moment at which it was asked for, which is no instant of the clock's. */
    ran: (instants: readonly ScheduledInstant[]) => `
      WITH asked AS (
        SELECT unnest(from_json('[${instants.map((each) => each.scheduleId).join(',')}]', '["BIGINT"]')) AS schedule_id,
          make_timestamptz(unnest(from_json('[${instants.map((each) => Math.round(each.scheduledAt)).join(',')}]', '["BIGINT"]')) * 1000) AS scheduled_at
      )
      SELECT DISTINCT schedule_id::DOUBLE, ${milliseconds('scheduled_at')} FROM (
        SELECT schedule_id, scheduled_at FROM ${ledger}.open_run WHERE trigger NOT IN ('manual', 'api')
        UNION ALL
        SELECT schedule_id, scheduled_at FROM ${ledger}.closed WHERE trigger NOT IN ('manual', 'api') AND state <> 'skipped'
          AND scheduled_at >= ${instantText(least(instants))} AND scheduled_at <= ${instantText(most(instants))}
      ) SEMI JOIN asked USING (schedule_id, scheduled_at)`,

    // Writes

    openRunTable: `${ledger}.open_run`,
    closedTable: `${ledger}.closed`,
    tokenTable: `${ledger}.token`,
    startedTable: `${ledger}.started`,
    alertTable: `${ledger}.alert`,
    logTable: `${ledger}.run_log`,
    /** The fence: who takes a row away, and nobody else, has closed the run. */
    takeOpen: (runIds: readonly string[]) => `DELETE FROM ${ledger}.open_run WHERE ${among('run_id', runIds)} AND stage = 'open'`,
    takeMarked: (runIds: readonly string[]) => `DELETE FROM ${ledger}.open_run WHERE ${among('run_id', runIds)} AND stage = 'marked'`,
    useTokens: (tokenIds: readonly string[]) => `DELETE FROM ${ledger}.token WHERE ${among('token_id', tokenIds)}`,
    whereStillOpen: `SEMI JOIN ${ledger}.open_run AS r ON r.run_id = rows.run_id AND r.stage = 'open'`,
    /** Once, whatever it is that was written before; a row whose bound value cannot be read is disabled like any other. */
    disable: (scheduleId: number, at: Instant) => `
      INSERT INTO ${ledger}.schedule_version BY NAME
      SELECT schedule_id, name AS schedule, version + 1 AS version, definition, ['enabled'] AS changed, ${instantText(at)} AS changed_at,
        'cuckoo' AS changed_by, bound
      FROM ${ledger}.schedule WHERE schedule_id = ${scheduleId} AND enabled;
      UPDATE ${ledger}.schedule SET enabled = false, version = version + 1, updated_at = ${instantText(at)}
      WHERE schedule_id = ${scheduleId} AND enabled`,
    settleLetter: (runId: string, settled: string, at: Instant) =>
      `INSERT INTO ${ledger}.dead_letter_settled VALUES (${text(runId)}, ${text(settled)}, ${instantText(at)})`,
    forgetAlert: (alertId: string) => `DELETE FROM ${ledger}.alert WHERE alert_id = ${text(alertId)}`,
    boot: (boot: { bootId: string; event: string; at: Instant; pid: number; host: string }) =>
      `INSERT INTO ${ledger}.boot VALUES (${text(boot.bootId)}, ${text(boot.event)}, ${instantText(boot.at)}, ${boot.pid}, ${text(boot.host)})`,
  };
}

const inGroup = 'scheduled_ms ASC NULLS LAST, attempt ASC NULLS LAST, run_id ASC NULLS LAST';

const least = (instants: readonly ScheduledInstant[]): Instant =>
  instants.reduce((found, { scheduledAt }) => Math.min(found, scheduledAt), Number.POSITIVE_INFINITY);
const most = (instants: readonly ScheduledInstant[]): Instant =>
  instants.reduce((found, { scheduledAt }) => Math.max(found, scheduledAt), Number.NEGATIVE_INFINITY);
