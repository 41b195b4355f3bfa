// cron.schedule_health: what is not as it should be, one row for each schedule and condition (docs/relations.md says when each
// holds). What only the process knows (the time, whether a scheduler runs, what is at work) comes from one macro, cuckoo_health,
// as JSON: asked once for each query, not for each row. The file's own answers NULL, and a plain DuckDB then shows what the
// tables alone can tell.
//
// A look at it may not cost what a tick must not wait for: history is read in whole columns (a million rows: a few milliseconds
// each), and next fires are computed only where no scheduler runs that knows them, or where it says that something is due.

import { usualTimesSql } from './usualTimesSql.ts';

export const healthFallbacks = `
CREATE OR REPLACE MACRO cron.cuckoo_now() AS now();
CREATE OR REPLACE MACRO cron.cuckoo_health() AS NULL::VARCHAR;
-- Answers the epoch for a definition that cannot be read.
CREATE OR REPLACE MACRO cron.cuckoo_due_after(cache_key, timing, calendar, effective_from, watermark) AS NULL::TIMESTAMPTZ;
CREATE OR REPLACE MACRO cron.cuckoo_unreadable(cache_key, timing, calendar) AS NULL::VARCHAR;
`;

/** DuckDB reads our durations as intervals; none, and what it cannot read, is NULL. */
const msOf = (text: string): string => `(epoch(TRY_CAST(${text} AS INTERVAL)) * 1000)`;
const setting = (name: string): string => `(SELECT value FROM cron.settings WHERE name = '${name}')`;
const ms = (number: string): string => `to_milliseconds((${number})::BIGINT)`;
/** 90500 -> 00:01:30 */
const told = (number: string): string => `${ms(`(${number}) // 1000 * 1000`)}::VARCHAR`;

const failed = "('failed', 'timed_out', 'interrupted')";
const ofTheClock = "('cron', 'interval', 'once')";

/** Beyond its timeout a run is ended, which takes its time. */
const stuckGraceMs = 30_000;
const stuckTimes = 10;
const leastStuckMs = 600_000;
/** The loop itself, behind its own time. */
const leastLagMs = 1000;

export const healthRelations = `
CREATE OR REPLACE VIEW cron.schedule_health AS
WITH moment AS MATERIALIZED (
  SELECT now, health,
    CASE WHEN coalesce(health->>'$.mode', 'off') <> 'off' THEN health->>'$.mode'
      WHEN EXISTS (SELECT 1 FROM cuckoo_ledger.file WHERE key = 'paused_at') THEN 'paused' ELSE 'off' END AS mode,
    (SELECT max_by(watermark, seq) FROM cuckoo_ledger.tick) AS watermark,
    coalesce(${msOf(setting('late_within'))}, 60000) AS late_ms,
    ${setting('workers')}::BIGINT AS workers
  FROM (SELECT cuckoo_now() AS now, cuckoo_health()::JSON AS health)
), running AS MATERIALIZED (
  SELECT r.run_id, o.schedule_id, o.schedule, o.queue, o.exe, o.call, r.started_at
  FROM (
    SELECT "runId"::UUID AS run_id, make_timestamptz(("startedAt" * 1000)::BIGINT) AS started_at FROM (
      SELECT unnest(from_json(health->'$.running', '[{"runId":"VARCHAR","startedAt":"DOUBLE"}]'), recursive := true) FROM moment
    )
  ) r JOIN cuckoo_ledger.open_run o ON o.run_id = r.run_id

-- failing: the newest run that ended for good, in the order of commits, says how many there are (as in ledgerSql.ts). Most
-- schedules are seen to be well by two maxima.
), failing AS MATERIALIZED (
  SELECT schedule_id FROM (
    SELECT schedule_id, max(rowid) AS newest, max(rowid) FILTER (consecutive_failures > 0) AS failed
    FROM cuckoo_ledger.closed WHERE final AND state NOT IN ('skipped', 'cancelled') GROUP BY schedule_id
  ) WHERE failed = newest
), failures AS (
  SELECT schedule_id, arg_max(consecutive_failures, rowid) AS failures, max(finished_at) AS last_at,
    arg_max(finished_at, rowid) FILTER (consecutive_failures = 1) AS first_at, arg_max(coalesce(error_message, reason, state), rowid) AS message
  FROM cuckoo_ledger.closed
  WHERE final AND consecutive_failures > 0 AND state IN ${failed} AND trigger <> 'backfill' AND schedule_id IN (SELECT schedule_id FROM failing)
  GROUP BY schedule_id

-- drifting: the last ten fires, the newest first, of those schedules that were far behind at all.
), behind AS MATERIALIZED (
  SELECT c.schedule_id FROM cuckoo_ledger.closed c, moment m
  WHERE c.started_at > c.scheduled_at + ${ms('m.late_ms / 2')}
  GROUP BY c.schedule_id HAVING count(*) >= 5
), fires AS (
  SELECT schedule_id, max_by(lag_ms, finished_at, 10) AS lags, max_by(scheduled_at, finished_at, 10) AS instants FROM (
    SELECT schedule_id, finished_at, scheduled_at, epoch_ms(started_at) - epoch_ms(scheduled_at) AS lag_ms
    FROM cuckoo_ledger.closed
    WHERE schedule_id IN (SELECT schedule_id FROM behind) AND started_at IS NOT NULL AND attempt = 1 AND trigger IN ${ofTheClock}
  ) GROUP BY schedule_id

-- late: what is open, should have started and has not.
), waiting AS MATERIALIZED (
  SELECT o.schedule_id, o.schedule, o.queue, count(*) AS runs, min(greatest(o.opened_at, coalesce(o.not_before, o.opened_at))) AS since
  FROM cuckoo_ledger.open_run o, moment m
  WHERE o.stage = 'open' AND o.trigger <> 'backfill' AND o.run_id NOT IN (SELECT run_id FROM running)
    AND greatest(o.opened_at, coalesce(o.not_before, o.opened_at)) < m.now - ${ms('m.late_ms')}
  GROUP BY ALL
), kept AS (
  SELECT w.schedule, w.since, w.runs, CASE
      WHEN m.mode = 'paused' THEN 'the scheduler is paused'
      WHEN m.mode = 'held' THEN 'the scheduler waits for RESUME SCHEDULER'
      WHEN m.mode NOT IN ('running', 'starting') THEN 'no scheduler runs here'
      WHEN q.paused THEN 'queue ' || w.queue || ' is paused'
      WHEN s.overlap <> 'allow' AND own.runs > 0 THEN 'the run before it is at work'
      WHEN queued.runs >= q.concurrency THEN 'queue ' || w.queue || ': ' || queued.runs || ' of ' || q.concurrency || ' at work'
      WHEN (SELECT count(*) FROM running) >= m.workers THEN 'workers: ' || (SELECT count(*) FROM running) || ' of ' || m.workers || ' busy'
      WHEN q.rate_count IS NOT NULL THEN 'queue ' || w.queue || ' lets in ' || q.rate_count || ' per ' || ${told('q.rate_per_ms')}
      ELSE 'nothing keeps it, as far as is known'
    END AS cause
  FROM waiting w CROSS JOIN moment m
  LEFT JOIN cuckoo_ledger.schedule s ON s.schedule_id = w.schedule_id
  LEFT JOIN cuckoo_ledger.queue q ON q.name_key = lower(w.queue)
  LEFT JOIN (SELECT schedule_id, count(*) AS runs FROM running GROUP BY schedule_id) own ON own.schedule_id = w.schedule_id
  LEFT JOIN (SELECT lower(queue) AS name_key, count(*) AS runs FROM running GROUP BY 1) queued ON queued.name_key = q.name_key
), late AS (
  SELECT schedule, min(since) AS since,
    CASE WHEN sum(runs) = 1 THEN 'a run waits: ' ELSE sum(runs) || ' runs wait: ' END || arg_min(cause, since) AS detail
  FROM kept GROUP BY schedule

-- late or absent: fires that nobody has handled. Computed only where something can be due.
), unhandled AS MATERIALIZED (
  SELECT schedule_id, name, due, CASE WHEN due = 'epoch' THEN cuckoo_unreadable(cache_key, timing, calendar) END AS message,
    TRY_CAST(TRY(bound->>'$.maxRuns') AS BIGINT) AS max_runs
  FROM (
    SELECT *, cuckoo_due_after(cache_key, timing, calendar, effective_from, watermark) AS due FROM (
      SELECT s.schedule_id, s.name, s.bound, coalesce(TRY(s.bound->>'$.timing'), '') AS timing, coalesce(c.bound->>'$.days', '') AS calendar, s.effective_from,
        m.watermark, s.schedule_id || '.' || s.version || '.' || coalesce(c.version, 0) AS cache_key, m.now - ${ms('m.late_ms')} AS late_at
      FROM cuckoo_ledger.schedule s CROSS JOIN moment m
      LEFT JOIN cuckoo_ledger.calendar c ON c.name_key = lower(s.calendar)
      WHERE s.enabled AND s.sched IS NOT NULL
        AND CASE WHEN m.mode IN ('running', 'starting')
          THEN (m.health->>'$.nextDue')::DOUBLE < epoch_ms(m.now) - m.late_ms ELSE m.mode <> 'paused' END
    )
  )
  WHERE due < late_at
), exhausted AS (
  SELECT u.schedule_id FROM unhandled u JOIN cuckoo_ledger.closed c ON c.schedule_id = u.schedule_id
  WHERE u.max_runs IS NOT NULL GROUP BY u.schedule_id, u.max_runs HAVING max(c.opened_fires) >= u.max_runs

-- stuck: at work for longer than it may, or than can be meant.
), bounded AS (
  SELECT r.schedule, r.schedule_id, r.started_at, CASE
      WHEN TRY(json_exists(s.bound, '$.timeoutMs')) THEN TRY_CAST(s.bound->>'$.timeoutMs' AS DOUBLE)
      WHEN TRY(json_exists(p.bound, '$.timeoutMs')) THEN TRY_CAST(p.bound->>'$.timeoutMs' AS DOUBLE)
      WHEN r.exe IN ('sql', 'pipeline') OR (r.exe = 'procedure' AND coalesce(p.language, 'sql') = 'sql') THEN NULL
      ELSE ${msOf(setting('timeout'))}
    END AS timeout_ms
  FROM running r
  LEFT JOIN cuckoo_ledger.schedule s ON s.schedule_id = r.schedule_id
  LEFT JOIN cuckoo_ledger.routine p ON p.name_key = lower(r.call) AND r.exe IN ('procedure', 'pipeline')
), long AS MATERIALIZED (
  SELECT b.*, epoch_ms(m.now) - epoch_ms(b.started_at) AS at_work_ms FROM bounded b, moment m
  WHERE b.timeout_ms IS NULL AND b.started_at < m.now - ${ms(String(leastStuckMs))}
), usual AS (${usualTimesSql({ ledger: 'cuckoo_ledger', which: 'schedule_id IN (SELECT schedule_id FROM long)' })}
)
SELECT schedule, condition, min(since) AS since, arg_min(detail, since) AS detail FROM (
  SELECT s.name AS schedule, 'failing' AS condition, coalesce(f.first_at, f.last_at) AS since,
    CASE WHEN f.failures = 1 THEN '1 run failed: ' ELSE f.failures || ' runs failed in a row; the last: ' END || f.message AS detail
  FROM failures f JOIN cuckoo_ledger.schedule s ON s.schedule_id = f.schedule_id
  UNION ALL
  SELECT schedule, 'late', since, detail FROM late
  UNION ALL
  SELECT u.name, CASE WHEN u.message IS NULL AND m.mode IN ('running', 'starting') THEN 'late' ELSE 'absent' END,
    CASE WHEN u.message IS NULL THEN u.due ELSE s.updated_at END,
    CASE WHEN u.message IS NOT NULL THEN 'its definition cannot be read: ' || u.message
      WHEN m.mode IN ('running', 'starting') THEN 'the scheduler has not come to its fire'
      WHEN m.mode = 'held' THEN 'its fire is not handled: the scheduler waits for RESUME SCHEDULER'
      ELSE 'its fire is not handled: no scheduler runs here' END
  FROM unhandled u JOIN cuckoo_ledger.schedule s ON s.schedule_id = u.schedule_id CROSS JOIN moment m
  WHERE u.schedule_id NOT IN (SELECT schedule_id FROM exhausted)
  UNION ALL
  SELECT s.name, 'absent', s.updated_at, 'its definition cannot be read: ' || u.message
  FROM (SELECT unnest(from_json(health->'$.unreadable', '[{"schedule":"VARCHAR","message":"VARCHAR"}]'), recursive := true) FROM moment) u
  JOIN cuckoo_ledger.schedule s ON s.name = u.schedule
  WHERE s.schedule_id NOT IN (SELECT schedule_id FROM unhandled WHERE message IS NOT NULL)
  UNION ALL
  SELECT b.schedule, 'stuck', b.started_at, 'at work for longer than its timeout of ' || ${told('b.timeout_ms')}
  FROM bounded b, moment m WHERE b.started_at < m.now - ${ms(`b.timeout_ms + ${stuckGraceMs}`)}
  UNION ALL
  SELECT l.schedule, 'stuck', l.started_at, 'at work for ' || ${told('l.at_work_ms')} || '; usually ' || ${told('u.usual_ms')}
  FROM long l JOIN usual u ON u.schedule_id = l.schedule_id WHERE l.at_work_ms > u.usual_ms * ${stuckTimes}
  UNION ALL
  SELECT s.name, 'drifting', list_min(f.instants), 'its last 10 runs started later and later: ' || ${told('list_median(f.lags[6:10])')}
    || ', then ' || ${told('list_median(f.lags[1:5])')} || ' after their time'
  FROM fires f JOIN cuckoo_ledger.schedule s ON s.schedule_id = f.schedule_id AND s.enabled CROSS JOIN moment m
  WHERE len(f.lags) = 10 AND list_median(f.lags) > m.late_ms / 2 AND list_median(f.lags[1:5]) > list_median(f.lags[6:10])
) GROUP BY schedule, condition
UNION ALL
-- A calendar fails as a schedule does: its newest reading did. One row for it, however many schedules it has.
SELECT NULL, 'failing', r.failing_since, 'calendar ' || c.name || ' keeps the days of ' || strftime(r.read_at, '%Y-%m-%d') || ', because it cannot be read ('
    || CASE coalesce(u.schedules, 0) WHEN 0 THEN 'no schedule uses it' WHEN 1 THEN 'used by ' || u.schedule
      ELSE 'used by ' || u.schedule || ' and ' || (u.schedules - 1) || ' more' END || '): ' || r.problem
FROM cuckoo_ledger.calendar_reading r JOIN cuckoo_ledger.calendar c ON c.name_key = r.name_key
LEFT JOIN (
  SELECT lower(calendar) AS name_key, count(*) AS schedules, min(name) AS schedule FROM cuckoo_ledger.schedule
  WHERE lower(calendar) IN (SELECT name_key FROM cuckoo_ledger.calendar_reading WHERE problem IS NOT NULL) GROUP BY 1
) u ON u.name_key = r.name_key
WHERE r.problem IS NOT NULL
UNION ALL
SELECT NULL, 'late', CASE WHEN trouble.kind = 'lagMs' THEN m.now - ${ms('trouble.number')} ELSE least(m.watermark, m.now) END, trouble.detail
FROM moment m CROSS JOIN LATERAL (
  SELECT kind, number, detail FROM (VALUES
    ('lagMs', (m.health->>'$.lagMs')::DOUBLE, 'the scheduler is ' || round((m.health->>'$.lagMs')::DOUBLE / 1000, 1) || ' s behind its time'),
    ('storageLow', (m.health->>'$.storageLow')::BOOLEAN::DOUBLE, 'the disk is full: nothing is opened until there is room'),
    ('lockLost', (m.health->>'$.lockLost')::BOOLEAN::DOUBLE, 'lock_lost: another process may write the file, so nothing more is written here'),
    ('clockBehind', (m.health->>'$.clockBehind')::BOOLEAN::DOUBLE, 'the clock is behind what is handled already: it is believed after 10 minutes'),
    ('troubled', (m.health->>'$.troubled')::BOOLEAN::DOUBLE, 'the ledger does not answer; it is tried again')
  ) AS signs(kind, number, detail)
  WHERE CASE WHEN kind = 'lagMs' THEN number >= ${leastLagMs} ELSE number = 1 END
) trouble;
`;

/** Rules that are broken, and that were (scheduler/alerts.ts). */
export const alertRelations = `
CREATE OR REPLACE VIEW cron.alerts AS
SELECT rule, schedule, run_id::VARCHAR AS run_id, since, ended_at, detail FROM cuckoo_ledger.alert;
`;
