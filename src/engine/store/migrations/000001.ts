// The first shape of the file. Base tables live in `cuckoo_ledger` and carry no expressions that call our functions, so that
// any DuckDB reads and writes the file; everything people see is in `cron` (relations.ts), views and macros only.
// Append-only: a released migration never changes.

export const migration000001 = `
CREATE SCHEMA IF NOT EXISTS cuckoo_ledger;

-- What is true of the file itself: its id, when it was made, which shape its relations have.
CREATE TABLE cuckoo_ledger.file (
  key VARCHAR PRIMARY KEY,
  value VARCHAR NOT NULL
);

CREATE TABLE cuckoo_ledger.setting (
  name VARCHAR PRIMARY KEY,
  value VARCHAR NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL
);

-- Definitions. \`definition\` is the canonical statement, the one source of truth; \`bound\` is the value bound from it, read
-- by the scheduler without parsing; the other columns are what people filter by.
CREATE TABLE cuckoo_ledger.schedule (
  schedule_id BIGINT NOT NULL,
  name VARCHAR NOT NULL,
  name_key VARCHAR PRIMARY KEY,
  version BIGINT NOT NULL,
  enabled BOOLEAN NOT NULL,
  effective_from TIMESTAMPTZ NOT NULL,
  sched VARCHAR,
  timezone VARCHAR,
  exe VARCHAR NOT NULL,
  call VARCHAR,
  params JSON NOT NULL,
  config JSON NOT NULL,
  queue VARCHAR NOT NULL,
  priority VARCHAR NOT NULL,
  overlap VARCHAR NOT NULL,
  catchup VARCHAR,
  max_retries BIGINT,
  "after" VARCHAR[] NOT NULL,
  calendar VARCHAR,
  description VARCHAR,
  tags VARCHAR[] NOT NULL,
  owner VARCHAR,
  source VARCHAR,
  bound JSON NOT NULL,
  definition VARCHAR NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

-- Every version that ever was, dropped ones included: the witness of who changed what, and why an id is never reused.
CREATE TABLE cuckoo_ledger.schedule_version (
  schedule_id BIGINT NOT NULL,
  schedule VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  definition VARCHAR,
  changed VARCHAR[] NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  changed_by VARCHAR NOT NULL
);

-- Procedures and pipelines share one namespace, so they share one table.
CREATE TABLE cuckoo_ledger.routine (
  name VARCHAR NOT NULL,
  name_key VARCHAR PRIMARY KEY,
  kind VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  language VARCHAR,
  parameters JSON NOT NULL,
  options JSON NOT NULL,
  body VARCHAR NOT NULL,
  bound JSON NOT NULL,
  definition VARCHAR NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE cuckoo_ledger.calendar (
  name VARCHAR NOT NULL,
  name_key VARCHAR PRIMARY KEY,
  version BIGINT NOT NULL,
  bound JSON NOT NULL,
  definition VARCHAR NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE cuckoo_ledger.queue (
  name VARCHAR NOT NULL,
  name_key VARCHAR PRIMARY KEY,
  weight BIGINT NOT NULL,
  concurrency BIGINT,
  rate_count BIGINT,
  rate_per_ms BIGINT,
  paused BOOLEAN NOT NULL,
  definition VARCHAR NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

-- A row for each name that was ever defined. Whoever defines, drops or uses a name in a definition counts it up, so that two
-- transactions which each see a world without the other cannot both commit.
CREATE TABLE cuckoo_ledger.name_in_use (
  name_key VARCHAR PRIMARY KEY,
  touched BIGINT NOT NULL
);

-- Which tables a definition reads and writes; table_name is NULL where that cannot be known.
CREATE TABLE cuckoo_ledger.lineage (
  object VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  table_name VARCHAR,
  access VARCHAR NOT NULL
);

-- What pg_cron's tables show of a schedule that was made by its functions: the cadence text as it was given, and what it meant
-- then (a schedule that was altered since shows its own). hidden_run: the newest run, deleted from job_run_details; its row stays
-- in history, because it carries the counters.
CREATE TABLE cuckoo_ledger.pg_cron_job (
  schedule_id BIGINT PRIMARY KEY,
  schedule VARCHAR NOT NULL,
  sched VARCHAR NOT NULL,
  jobname VARCHAR,
  username VARCHAR NOT NULL,
  hidden_run UUID
);

-- Time. \`tick\` says how far time is handled; it only grows.
CREATE TABLE cuckoo_ledger.tick (
  seq BIGINT NOT NULL,
  watermark TIMESTAMPTZ NOT NULL,
  ticked_at TIMESTAMPTZ NOT NULL
);

-- A start without its stop is an unclean end.
CREATE TABLE cuckoo_ledger.boot (
  boot_id VARCHAR NOT NULL,
  event VARCHAR NOT NULL,
  occurred_at TIMESTAMPTZ NOT NULL,
  pid BIGINT NOT NULL,
  host VARCHAR NOT NULL
);

-- The open set is small. A run's own transaction takes its row out of it: that is the fence.
CREATE TABLE cuckoo_ledger.open_run (
  run_id UUID NOT NULL,
  schedule_id BIGINT,
  schedule VARCHAR,
  exe VARCHAR NOT NULL,
  call VARCHAR,
  trigger VARCHAR NOT NULL,
  scheduled_at TIMESTAMPTZ NOT NULL,
  opened_at TIMESTAMPTZ NOT NULL,
  not_before TIMESTAMPTZ,
  attempt BIGINT NOT NULL,
  stage VARCHAR NOT NULL,
  queue VARCHAR NOT NULL,
  priority VARCHAR NOT NULL,
  params JSON NOT NULL,
  schedule_version BIGINT,
  root_run_id UUID NOT NULL,
  parent_run_id UUID,
  retry_of UUID,
  node VARCHAR,
  lease_until TIMESTAMPTZ,
  epoch BIGINT
);

-- A durable start, written before work whose effects lie outside the database, and before a run found open after a crash.
CREATE TABLE cuckoo_ledger.started (
  run_id UUID NOT NULL,
  boot_id VARCHAR NOT NULL,
  started_at TIMESTAMPTZ NOT NULL
);

-- History only grows. It carries the counters as they stood when the run closed, so retention never changes them.
CREATE TABLE cuckoo_ledger.closed (
  run_id UUID NOT NULL,
  schedule_id BIGINT,
  schedule VARCHAR,
  exe VARCHAR NOT NULL,
  call VARCHAR,
  trigger VARCHAR NOT NULL,
  scheduled_at TIMESTAMPTZ NOT NULL,
  opened_at TIMESTAMPTZ NOT NULL,
  started_at TIMESTAMPTZ,
  finished_at TIMESTAMPTZ NOT NULL,
  state VARCHAR NOT NULL,
  reason VARCHAR,
  attempt BIGINT NOT NULL,
  final BOOLEAN NOT NULL,
  fires BIGINT,
  first_scheduled_at TIMESTAMPTZ,
  queue VARCHAR NOT NULL,
  priority VARCHAR NOT NULL,
  params JSON NOT NULL,
  result JSON,
  rows_changed BIGINT,
  error_code VARCHAR,
  error_message VARCHAR,
  error_detail JSON,
  guarantee VARCHAR,
  conflicts BIGINT,
  cpu_ms DOUBLE,
  peak_memory BIGINT,
  schedule_version BIGINT,
  root_run_id UUID NOT NULL,
  parent_run_id UUID,
  retry_of UUID,
  node VARCHAR,
  consecutive_failures BIGINT NOT NULL,
  opened_fires BIGINT NOT NULL,
  last_success_at TIMESTAMPTZ
);

CREATE TABLE cuckoo_ledger.closed_step (
  run_id UUID NOT NULL,
  step VARCHAR NOT NULL,
  item BIGINT,
  kind VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  reason VARCHAR,
  attempt BIGINT NOT NULL,
  started_at TIMESTAMPTZ,
  finished_at TIMESTAMPTZ,
  rows_changed BIGINT,
  result JSON,
  error_message VARCHAR
);

CREATE TABLE cuckoo_ledger.run_log (
  run_id UUID NOT NULL,
  step VARCHAR,
  logged_at TIMESTAMPTZ NOT NULL,
  stream VARCHAR NOT NULL,
  level VARCHAR NOT NULL,
  line VARCHAR NOT NULL
);

-- Final failures that were neither retried nor dropped by hand.
CREATE TABLE cuckoo_ledger.dead_letter_settled (
  run_id UUID NOT NULL,
  settled VARCHAR NOT NULL,
  settled_at TIMESTAMPTZ NOT NULL
);

INSERT INTO cuckoo_ledger.queue
SELECT name, name, weight, NULL, NULL, NULL, false, 'UPSERT QUEUE ' || name || ' ( weight: ' || weight || ' );', now(), now()
FROM (VALUES ('critical', 6), ('default', 3), ('low', 1)) AS built_in(name, weight);
`;
