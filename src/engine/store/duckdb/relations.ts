// The relations of schema `cron`: what people query (docs/relations.md). Views and macros only, so that a direct INSERT,
// UPDATE or DELETE fails by itself; schema-qualified and never catalog-qualified, so that they survive a copy and a rename.
//
// Live columns call macros named cron.cuckoo_*. The file's own macros answer NULL, so any DuckDB can read the views; each
// Cuckoo session puts TEMP macros of the same names over them, which call the functions of live.ts. A view finds an
// unqualified macro in TEMP first and in its own schema second (measured with 1.5.6); a table macro does not, which is why
// cron.upcoming reads a view that does the calling.
//
// Names and types are the product's API: a change here is a line in the changelog.

import { settingDefaults } from '../../settings.ts';
import { alertRelations, healthFallbacks, healthRelations } from './healthRelations.ts';
import { literal } from './literal.ts';
import { pgCronRelations } from './pgcronRelations.ts';

/** Fallbacks: what a DuckDB without Cuckoo answers. */
const fallbacks = `
CREATE OR REPLACE MACRO cron.cuckoo_live() AS false;
CREATE OR REPLACE MACRO cron.cuckoo_overruled() AS NULL::VARCHAR;
CREATE OR REPLACE MACRO cron.cuckoo_next_run(cache_key, timing, calendar, effective_from) AS NULL::TIMESTAMPTZ;
CREATE OR REPLACE MACRO cron.cuckoo_run_state(run_id) AS NULL::VARCHAR;
CREATE OR REPLACE MACRO cron.cuckoo_run_started_at(run_id) AS NULL::TIMESTAMPTZ;
`;

const elapsedMs = (from: string, to: string): string => `(epoch_us(${to}) - epoch_us(${from})) / 1000.0`;

/** Columns that an open and a closed run have alike, in the order of cron.runs. */
const runColumns = (run: 'open' | 'closed'): string => {
  const closed = (column: string, type: string): string => (run === 'closed' ? `r.${column}` : `NULL::${type} AS ${column}`);
  const startedAt = run === 'closed' ? 'r.started_at' : 'w.started_at';
  return `
  r.run_id AS id, r.run_id::VARCHAR AS run_id, r.schedule, r.exe, r.call, r.trigger, r.scheduled_at, r.opened_at,
  ${startedAt} AS started_at, ${closed('finished_at', 'TIMESTAMPTZ')},
  ${run === 'closed' ? 'r.state' : "CASE WHEN w.run_id IS NULL THEN 'pending' ELSE 'running' END AS state"}, ${closed('reason', 'VARCHAR')},
  r.attempt, ${run === 'closed' ? 'r.final' : 'false AS final'}, ${closed('fires', 'BIGINT')}, ${closed('first_scheduled_at', 'TIMESTAMPTZ')},
  r.queue, r.priority, r.params, ${closed('result', 'JSON')}, ${closed('rows_changed', 'BIGINT')},
  ${closed('error_code', 'VARCHAR')}, ${closed('error_message', 'VARCHAR')}, ${closed('error_detail', 'JSON')},
  ${closed('guarantee', 'VARCHAR')}, ${closed('conflicts', 'BIGINT')},
  ${elapsedMs('r.scheduled_at', startedAt)} AS lag_ms,
  ${elapsedMs('r.opened_at', startedAt)} AS wait_ms,
  ${run === 'closed' ? elapsedMs('r.started_at', 'r.finished_at') : 'NULL::DOUBLE'} AS duration_ms,
  ${closed('cpu_ms', 'DOUBLE')}, ${closed('peak_memory', 'BIGINT')}, r.schedule_version,
  r.root_run_id::VARCHAR AS root_run_id, r.parent_run_id::VARCHAR AS parent_run_id, r.retry_of::VARCHAR AS retry_of, r.node,
  ${closed('guarantee_reason', 'VARCHAR')}, ${run === 'closed' ? 'r.rows_by_statement::BIGINT[]' : 'NULL::BIGINT[]'} AS rows_by_statement,
  ${run === 'closed' ? 'r.notes::VARCHAR[]' : 'NULL::VARCHAR[]'} AS notes,
  ${run === 'closed' ? 'NULL::DOUBLE' : 'w.progress'} AS progress, ${run === 'closed' ? 'NULL::VARCHAR' : 'w.progress_message'} AS progress_message`;
};

const views = `
-- What is at work in this process: asked of it once for a query, not for each open run, of which there may be a million.
CREATE OR REPLACE VIEW cron.cuckoo_running AS
SELECT "runId"::UUID AS run_id, make_timestamptz(("startedAt" * 1000)::BIGINT) AS started_at,
  progress, "progressMessage" AS progress_message
FROM (
  SELECT unnest(
    from_json(health->'$.running', '[{"runId":"VARCHAR","startedAt":"DOUBLE","progress":"DOUBLE","progressMessage":"VARCHAR"}]'),
    recursive := true
  )
  FROM (SELECT cuckoo_health()::JSON AS health)
);

-- With the id as it is stored, by which a run is found at once: as text each row's would have to be written out first. In two halves,
-- because DuckDB finds the newest rows of one table without reading the others, and of a union it does not.
CREATE OR REPLACE VIEW cron.cuckoo_closed_run AS
SELECT ${runColumns('closed')} FROM cuckoo_ledger.closed r;

-- A run that is marked has closed itself already.
CREATE OR REPLACE VIEW cron.cuckoo_open_run AS
SELECT ${runColumns('open')}
FROM cuckoo_ledger.open_run r LEFT JOIN cron.cuckoo_running w ON w.run_id = r.run_id WHERE r.stage = 'open';

CREATE OR REPLACE VIEW cron.runs AS
SELECT * EXCLUDE (id) FROM cron.cuckoo_closed_run UNION ALL SELECT * EXCLUDE (id) FROM cron.cuckoo_open_run;

-- Which rows they are is asked first, of three columns; of a single condition DuckDB reads all columns wherever somebody has failed
-- (10 million runs, of which one in a hundred failed: 1.2 s of processor time, so 0.4).
CREATE OR REPLACE VIEW cron.dead_letters AS
SELECT * EXCLUDE (id) FROM (
  SELECT ${runColumns('closed')} FROM cuckoo_ledger.closed r WHERE r.rowid IN (
    SELECT c.rowid FROM cuckoo_ledger.closed c
    WHERE c.final AND c.state IN ('failed', 'timed_out', 'interrupted')
      AND NOT EXISTS (SELECT 1 FROM cuckoo_ledger.dead_letter_settled d WHERE d.run_id = c.run_id)
  )
);

CREATE OR REPLACE VIEW cron.schedules AS
SELECT
  s.name, s.sched, s.timezone, s.exe, s.call, s.params, s.config, s.enabled,
  CASE
    WHEN NOT cuckoo_live() THEN NULL
    WHEN NOT s.enabled THEN 'disabled'
    WHEN s.running > 0 THEN 'running'
    WHEN s.retries > 0 THEN 'retry_pending'
    WHEN s.last_state IN ('failed', 'timed_out', 'interrupted') THEN 'failed_permanently'
    WHEN s.sched IS NOT NULL AND s.next_run IS NULL THEN 'finished'
    ELSE 'scheduled'
  END AS status,
  s.next_run, s.last_run, s.last_state,
  CASE WHEN cuckoo_live() THEN s.running END AS running,
  CASE WHEN cuckoo_live() THEN s.retry_count END AS retry_count,
  coalesce(s.max_retries, (SELECT value::BIGINT FROM cron.settings WHERE name = 'max_retries')) AS max_retries,
  coalesce(s.consecutive_failures, 0) AS consecutive_failures,
  s.queue, s.priority, s.overlap,
  coalesce(s.catchup, (SELECT value FROM cron.settings WHERE name = 'catchup')) AS catchup,
  s."after", s.calendar, s.description, s.tags, s.owner, s.source, s.version, s.created_at, s.updated_at, s.definition
FROM (
  SELECT s.*, h.last_run, h.last_state, h.consecutive_failures,
    coalesce(o.running, 0) AS running, coalesce(o.retries, 0) AS retries, coalesce(o.retry_count, 0) AS retry_count,
    CASE WHEN s.enabled AND s.sched IS NOT NULL
        AND coalesce(coalesce(greatest(h.opened_fires, o.opened_fires), 0) < TRY_CAST(TRY(s.bound->>'$.maxRuns') AS BIGINT), true)
      THEN cuckoo_next_run(
        s.schedule_id || '.' || s.version || '.' || coalesce(c.version, 0), TRY(s.bound->>'$.timing'), TRY(c.bound->>'$.days'), s.effective_from
      ) END AS next_run
  FROM cuckoo_ledger.schedule s
  LEFT JOIN cuckoo_ledger.calendar c ON c.name_key = lower(s.calendar)
  -- The newest by the order of commits: a clock may have been ahead for a while.
  LEFT JOIN (
    SELECT schedule_id,
      max(opened_fires) AS opened_fires,
      arg_max(coalesce(started_at, scheduled_at), rowid) FILTER (state <> 'skipped') AS last_run,
      arg_max(state, rowid) FILTER (state <> 'skipped' AND final) AS last_state,
      coalesce(
        arg_max(consecutive_failures, rowid) FILTER (final AND state NOT IN ('skipped', 'cancelled')), arg_max(consecutive_failures, rowid)
      ) AS consecutive_failures
    FROM cuckoo_ledger.closed GROUP BY schedule_id
  ) h ON h.schedule_id = s.schedule_id
  LEFT JOIN (
    SELECT r.schedule_id, max(r.fire) AS opened_fires,
      count(w.run_id) AS running, count(*) FILTER (r.attempt > 1) AS retries, max(r.attempt) - 1 AS retry_count
    FROM cuckoo_ledger.open_run r LEFT JOIN cron.cuckoo_running w ON w.run_id = r.run_id
    WHERE r.stage = 'open' GROUP BY r.schedule_id
  ) o ON o.schedule_id = s.schedule_id
) s;

CREATE OR REPLACE VIEW cron.step_runs AS
SELECT run_id::VARCHAR AS run_id, step, item, kind, state, reason, attempt, started_at, finished_at,
  ${elapsedMs('started_at', 'finished_at')} AS duration_ms, rows_changed, result, error_message
FROM cuckoo_ledger.closed_step;

CREATE OR REPLACE VIEW cron.run_logs AS
SELECT run_id::VARCHAR AS run_id, step, logged_at, stream, level, line FROM cuckoo_ledger.run_log;

CREATE OR REPLACE VIEW cron.procedures AS
SELECT name, language, parameters, options, body, version, created_at, updated_at, definition
FROM cuckoo_ledger.routine WHERE kind = 'procedure';

CREATE OR REPLACE VIEW cron.pipelines AS
SELECT name, language, parameters, options, body::JSON AS steps, version, created_at, updated_at, definition
FROM cuckoo_ledger.routine WHERE kind = 'pipeline';

CREATE OR REPLACE VIEW cron.calendars AS
SELECT name, definition FROM cuckoo_ledger.calendar;

CREATE OR REPLACE VIEW cron.queues AS
SELECT q.name, q.definition, q.weight, q.concurrency, q.paused,
  coalesce(o.pending, 0)::BIGINT AS pending, coalesce(o.active, 0)::BIGINT AS active,
  coalesce(c.completed, 0)::BIGINT AS completed, coalesce(c.failed, 0)::BIGINT AS failed, coalesce(o.scheduled, 0)::BIGINT AS scheduled
FROM cuckoo_ledger.queue q
LEFT JOIN (
  SELECT lower(queue) AS name_key, sum(pending) AS pending, sum(active) AS active, sum(scheduled) AS scheduled FROM (
    SELECT r.queue, count(*) FILTER (w.run_id IS NULL AND NOT coalesce(r.not_before > n.now, false)) AS pending,
      count(w.run_id) AS active, count(*) FILTER (w.run_id IS NULL AND r.not_before > n.now) AS scheduled
    FROM cuckoo_ledger.open_run r LEFT JOIN cron.cuckoo_running w ON w.run_id = r.run_id CROSS JOIN (SELECT cuckoo_now() AS now) n
    WHERE r.stage = 'open' GROUP BY r.queue
  ) GROUP BY 1
) o ON o.name_key = q.name_key
LEFT JOIN (
  SELECT lower(queue) AS name_key, sum(completed) AS completed, sum(failed) AS failed FROM (
    SELECT queue, count(*) FILTER (state = 'succeeded') AS completed,
      count(*) FILTER (final AND state IN ('failed', 'timed_out', 'interrupted')) AS failed
    FROM cuckoo_ledger.closed GROUP BY queue
  ) GROUP BY 1
) c ON c.name_key = q.name_key;

CREATE OR REPLACE VIEW cron.workers AS
SELECT total, active, greatest(total - active, 0) AS idle FROM (
  SELECT coalesce((cuckoo_health()::JSON->'$.workers')::BIGINT, (SELECT value::BIGINT FROM cron.settings WHERE name = 'workers')) AS total, (SELECT count(*) FROM cron.cuckoo_running) AS active
);

-- How many schedules a file has is counted where they are: one that was dropped by hand is gone from here, too.
CREATE OR REPLACE VIEW cron.sources AS
SELECT f.path, f.kind, coalesce(s.schedules, 0)::BIGINT AS schedules, f.state, f.error, f.read_at
FROM cuckoo_ledger.job_file f
LEFT JOIN (SELECT source, count(*) AS schedules FROM cuckoo_ledger.schedule WHERE source IS NOT NULL GROUP BY source) s ON s.source = f.path;

CREATE OR REPLACE VIEW cron.schedule_versions AS
SELECT schedule, version, definition, changed, changed_at, changed_by FROM cuckoo_ledger.schedule_version;

CREATE OR REPLACE VIEW cron.lineage AS
SELECT object, kind, table_name, access FROM cuckoo_ledger.lineage;
`;

const settings = `
CREATE OR REPLACE VIEW cron.settings AS
SELECT name, coalesce(overruled->>'$.value', own, default_value) AS value, default_value AS "default",
  coalesce(overruled->>'$.origin', CASE WHEN own IS NULL THEN 'default' ELSE 'file' END) AS origin
FROM (
  SELECT d.name, d.default_value, s.value AS own, json_extract(cuckoo_overruled()::JSON, '$.' || d.name) AS overruled
  FROM (VALUES ${Object.entries(settingDefaults)
    .map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
    .join(', ')}) AS d(name, default_value)
  LEFT JOIN cuckoo_ledger.setting s ON s.name = d.name
);
`;

// Table macros cannot reach a session's TEMP macros, so these call our functions directly: they work where Cuckoo is.
const tables = `
CREATE OR REPLACE MACRO cron.upcoming(since, until) AS TABLE
SELECT schedule, cuckoo_fn_nominal(cache_key, timing, calendar, due) AS scheduled_at,
  cuckoo_fn_local(due, zone) AS local_time, zone, cuckoo_fn_note(cache_key, timing, calendar, due) AS note
FROM (
  SELECT schedule, zone, cache_key, timing, calendar, unnest(cuckoo_fn_fires(
    cache_key, timing, calendar, greatest(since::TIMESTAMPTZ, effective_from + INTERVAL 1 MICROSECOND), until::TIMESTAMPTZ
  )) AS due, effective_from
  FROM (
    SELECT s.name AS schedule, s.timezone AS zone, TRY(s.bound->>'$.timing') AS timing, coalesce(TRY(c.bound->>'$.days'), '') AS calendar,
      s.schedule_id || '.' || s.version || '.' || coalesce(c.version, 0) AS cache_key, s.effective_from
    FROM cuckoo_ledger.schedule s LEFT JOIN cuckoo_ledger.calendar c ON c.name_key = lower(s.calendar)
    WHERE s.enabled AND s.sched IS NOT NULL
  )
)
WHERE cuckoo_fn_nominal(cache_key, timing, calendar, due) > effective_from
ORDER BY due ASC NULLS LAST, schedule ASC NULLS LAST;

CREATE OR REPLACE MACRO cron.timeline(since, until) AS TABLE
SELECT * FROM (
  SELECT r.schedule, r.scheduled_at, cuckoo_fn_local(r.scheduled_at, coalesce(s.timezone, 'UTC')) AS local_time,
    coalesce(s.timezone, 'UTC') AS zone, coalesce(r.reason, '') AS note, r.state, r.run_id, r.duration_ms
  FROM cron.runs r LEFT JOIN cuckoo_ledger.schedule s ON s.name = r.schedule
  WHERE r.scheduled_at >= since::TIMESTAMPTZ AND r.scheduled_at < until::TIMESTAMPTZ
  UNION ALL
  SELECT schedule, scheduled_at, local_time, zone, note, NULL, NULL, NULL
  FROM cron.upcoming(greatest(since::TIMESTAMPTZ, now()), until::TIMESTAMPTZ)
)
ORDER BY scheduled_at ASC NULLS LAST, schedule ASC NULLS LAST;
`;

/** In this order: a view needs what it names. */
export const relations = `CREATE SCHEMA IF NOT EXISTS cron;\n${fallbacks}\n${healthFallbacks}\n${settings}\n${views}\n${healthRelations}\n${alertRelations}\n${tables}\n${pgCronRelations}`;
