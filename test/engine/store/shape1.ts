// The relations of a file of shape 1, as the first version wrote them: those that stand on tables which later migrations change.
// Kept as they were, because files that have them are kept too.

export const shape1Relations = `
CREATE SCHEMA IF NOT EXISTS cron;

CREATE OR REPLACE MACRO cron.cuckoo_live() AS false;

CREATE OR REPLACE MACRO cron.cuckoo_next_run(cache_key, timing, calendar, effective_from) AS NULL::TIMESTAMPTZ;

CREATE OR REPLACE MACRO cron.cuckoo_run_state(run_id) AS NULL::VARCHAR;

CREATE OR REPLACE MACRO cron.cuckoo_run_started_at(run_id) AS NULL::TIMESTAMPTZ;

CREATE OR REPLACE VIEW cron.settings AS
SELECT d.name, coalesce(s.value, d.default_value) AS value, d.default_value AS "default",
  CASE WHEN s.value IS NULL THEN 'default' ELSE 'file' END AS origin
FROM (VALUES ('timezone', 'UTC'), ('workers', '4'), ('check_interval', '30s'), ('late_within', '60s'), ('max_retries', '3'), ('retry_delay', '60s'), ('timeout', '5m'), ('catchup', 'latest'), ('log_lines', '10000'), ('result_rows', '100')) AS d(name, default_value)
LEFT JOIN cuckoo_ledger.setting s ON s.name = d.name;

CREATE OR REPLACE VIEW cron.runs AS
SELECT
  r.run_id::VARCHAR AS run_id, r.schedule, r.exe, r.call, r.trigger, r.scheduled_at, r.opened_at,
  r.started_at AS started_at, r.finished_at,
  r.state, r.reason,
  r.attempt, r.final, r.fires, r.first_scheduled_at,
  r.queue, r.priority, r.params, r.result, r.rows_changed,
  r.error_code, r.error_message, r.error_detail,
  r.guarantee, r.conflicts,
  (epoch_us(r.started_at) - epoch_us(r.scheduled_at)) / 1000.0 AS lag_ms,
  (epoch_us(r.started_at) - epoch_us(r.opened_at)) / 1000.0 AS wait_ms,
  (epoch_us(r.finished_at) - epoch_us(r.started_at)) / 1000.0 AS duration_ms,
  r.cpu_ms, r.peak_memory, r.schedule_version,
  r.root_run_id::VARCHAR AS root_run_id, r.parent_run_id::VARCHAR AS parent_run_id, r.retry_of::VARCHAR AS retry_of, r.node FROM cuckoo_ledger.closed r
UNION ALL
SELECT
  r.run_id::VARCHAR AS run_id, r.schedule, r.exe, r.call, r.trigger, r.scheduled_at, r.opened_at,
  cuckoo_run_started_at(r.run_id::VARCHAR) AS started_at, NULL::TIMESTAMPTZ AS finished_at,
  coalesce(cuckoo_run_state(r.run_id::VARCHAR), 'pending') AS state, NULL::VARCHAR AS reason,
  r.attempt, false AS final, NULL::BIGINT AS fires, NULL::TIMESTAMPTZ AS first_scheduled_at,
  r.queue, r.priority, r.params, NULL::JSON AS result, NULL::BIGINT AS rows_changed,
  NULL::VARCHAR AS error_code, NULL::VARCHAR AS error_message, NULL::JSON AS error_detail,
  NULL::VARCHAR AS guarantee, NULL::BIGINT AS conflicts,
  (epoch_us(cuckoo_run_started_at(r.run_id::VARCHAR)) - epoch_us(r.scheduled_at)) / 1000.0 AS lag_ms,
  (epoch_us(cuckoo_run_started_at(r.run_id::VARCHAR)) - epoch_us(r.opened_at)) / 1000.0 AS wait_ms,
  NULL::DOUBLE AS duration_ms,
  NULL::DOUBLE AS cpu_ms, NULL::BIGINT AS peak_memory, r.schedule_version,
  r.root_run_id::VARCHAR AS root_run_id, r.parent_run_id::VARCHAR AS parent_run_id, r.retry_of::VARCHAR AS retry_of, r.node FROM cuckoo_ledger.open_run r;

CREATE OR REPLACE VIEW cron.dead_letters AS
SELECT * FROM cron.runs
WHERE final AND state IN ('failed', 'timed_out', 'interrupted')
  AND run_id NOT IN (SELECT run_id::VARCHAR FROM cuckoo_ledger.dead_letter_settled);

CREATE OR REPLACE VIEW cron.schedules AS
SELECT
  s.name, s.sched, s.timezone, s.exe, s.call, s.params, s.config, s.enabled,
  CASE
    WHEN NOT cuckoo_live() THEN NULL
    WHEN NOT s.enabled THEN 'disabled'
    WHEN coalesce(o.running, 0) > 0 THEN 'running'
    WHEN coalesce(o.retries, 0) > 0 THEN 'retry_pending'
    WHEN h.last_state IN ('failed', 'timed_out', 'interrupted') THEN 'failed_permanently'
    WHEN s.sched IS NOT NULL AND t.next_run IS NULL THEN 'finished'
    ELSE 'scheduled'
  END AS status,
  t.next_run,
  h.last_run, h.last_state,
  CASE WHEN cuckoo_live() THEN coalesce(o.running, 0) END AS running,
  CASE WHEN cuckoo_live() THEN coalesce(o.retry_count, 0) END AS retry_count,
  coalesce(s.max_retries, (SELECT value::BIGINT FROM cron.settings WHERE name = 'max_retries')) AS max_retries,
  coalesce(h.consecutive_failures, 0) AS consecutive_failures,
  s.queue, s.priority, s.overlap,
  coalesce(s.catchup, (SELECT value FROM cron.settings WHERE name = 'catchup')) AS catchup,
  s."after", s.calendar, s.description, s.tags, s.owner, s.source, s.version, s.created_at, s.updated_at, s.definition
FROM cuckoo_ledger.schedule s
LEFT JOIN (
  SELECT schedule_id,
    max(opened_fires) AS opened_fires,
    arg_max(coalesce(started_at, scheduled_at), finished_at) FILTER (state <> 'skipped') AS last_run,
    arg_max(state, finished_at) FILTER (state <> 'skipped' AND final) AS last_state,
    arg_max(consecutive_failures, finished_at) FILTER (final) AS consecutive_failures
  FROM cuckoo_ledger.closed GROUP BY schedule_id
) h ON h.schedule_id = s.schedule_id
LEFT JOIN (
  SELECT schedule_id,
    count(*) FILTER (cuckoo_run_state(run_id::VARCHAR) = 'running') AS running,
    count(*) FILTER (attempt > 1) AS retries,
    max(attempt) - 1 AS retry_count
  FROM cuckoo_ledger.open_run GROUP BY schedule_id
) o ON o.schedule_id = s.schedule_id
LEFT JOIN (
  SELECT s.schedule_id,
    CASE WHEN s.enabled THEN cuckoo_next_run(
      s.schedule_id || '.' || s.version || '.' || coalesce(c.version, 0), s.bound->>'$.timing', c.bound->>'$.days', s.effective_from
    ) END AS next_run
  FROM cuckoo_ledger.schedule s
  LEFT JOIN cuckoo_ledger.calendar c ON c.name_key = lower(s.calendar)
  LEFT JOIN (SELECT schedule_id, max(opened_fires) AS opened_fires FROM cuckoo_ledger.closed GROUP BY schedule_id) n ON n.schedule_id = s.schedule_id
  WHERE s.sched IS NOT NULL
    AND ((s.bound->>'$.maxRuns') IS NULL OR coalesce(n.opened_fires, 0) < (s.bound->>'$.maxRuns')::BIGINT)
) t ON t.schedule_id = s.schedule_id;

CREATE OR REPLACE VIEW cron.queues AS
SELECT q.name, q.definition, q.weight, q.concurrency, q.paused,
  coalesce(o.pending, 0) AS pending, coalesce(o.active, 0) AS active,
  coalesce(c.completed, 0) AS completed, coalesce(c.failed, 0) AS failed, coalesce(o.scheduled, 0) AS scheduled
FROM cuckoo_ledger.queue q
LEFT JOIN (
  SELECT lower(queue) AS name_key,
    count(*) FILTER (not_before IS NULL AND cuckoo_run_state(run_id::VARCHAR) IS DISTINCT FROM 'running') AS pending,
    count(*) FILTER (cuckoo_run_state(run_id::VARCHAR) = 'running') AS active,
    count(*) FILTER (not_before IS NOT NULL AND cuckoo_run_state(run_id::VARCHAR) IS DISTINCT FROM 'running') AS scheduled
  FROM cuckoo_ledger.open_run GROUP BY ALL
) o ON o.name_key = q.name_key
LEFT JOIN (
  SELECT lower(queue) AS name_key,
    count(*) FILTER (state = 'succeeded') AS completed,
    count(*) FILTER (final AND state IN ('failed', 'timed_out', 'interrupted')) AS failed
  FROM cuckoo_ledger.closed GROUP BY ALL
) c ON c.name_key = q.name_key;

CREATE OR REPLACE VIEW cron.schedule_versions AS
SELECT schedule, version, definition, changed, changed_at, changed_by FROM cuckoo_ledger.schedule_version;
`;
