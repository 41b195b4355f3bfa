// What the scheduler needs to know after a restart: how far into a slice time is handled, which run belongs to which group and
// fire, marks, tokens, alerts, and what each version of a schedule was.
//
// A table to which columns are added and whose rows are changed in one transaction cannot be committed by DuckDB ("another
// transaction has altered this table"), so the two tables whose rows get new values are made anew under their names. Row ids of
// schedule_version say in which order definitions were committed, so its rows keep their order.

export const migration000002 = `
ALTER TABLE cuckoo_ledger.tick ADD COLUMN partly_due TIMESTAMPTZ;
ALTER TABLE cuckoo_ledger.tick ADD COLUMN partly_through BIGINT;
ALTER TABLE cuckoo_ledger.tick ADD COLUMN gap_from TIMESTAMPTZ;
ALTER TABLE cuckoo_ledger.tick ADD COLUMN gap_to TIMESTAMPTZ;
ALTER TABLE cuckoo_ledger.tick ADD COLUMN replay_until TIMESTAMPTZ;

-- One row, changed by every tick: two that are written at the same moment cannot both commit.
CREATE TABLE cuckoo_ledger.tick_seq (
  seq BIGINT NOT NULL
);
INSERT INTO cuckoo_ledger.tick_seq SELECT coalesce(max(seq), -1) FROM cuckoo_ledger.tick;

ALTER TABLE cuckoo_ledger.closed ADD COLUMN waited_for VARCHAR;

-- stage is 'open', or 'marked': the run has closed itself, and what follows from that is not written yet.
CREATE TABLE cuckoo_ledger.open_run_2 (
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
  epoch BIGINT,
  group_key VARCHAR,
  group_limit BIGINT,
  fire BIGINT,
  alone BOOLEAN NOT NULL
);
INSERT INTO cuckoo_ledger.open_run_2 BY NAME
SELECT r.* EXCLUDE (is_aside, place),
  CASE WHEN r.is_aside OR s.overlap = 'allow' THEN NULL ELSE 'schedule:' || r.schedule_id END AS group_key,
  CASE WHEN r.is_aside OR s.overlap = 'allow' THEN NULL ELSE 1 END AS group_limit,
  -- A retry belongs to a fire that history has counted.
  CASE WHEN NOT r.is_aside AND r.attempt = 1 THEN coalesce(c.opened_fires, 0) + r.place END AS fire,
  false AS alone
FROM (
  SELECT *, schedule_id IS NULL OR trigger IN ('manual', 'backfill', 'api') AS is_aside,
    row_number() OVER (PARTITION BY schedule_id, is_aside, attempt = 1 ORDER BY scheduled_at ASC NULLS LAST, run_id ASC NULLS LAST) AS place
  FROM cuckoo_ledger.open_run
) r
LEFT JOIN cuckoo_ledger.schedule s ON s.schedule_id = r.schedule_id
LEFT JOIN (SELECT schedule_id, max(opened_fires) AS opened_fires FROM cuckoo_ledger.closed GROUP BY schedule_id) c ON c.schedule_id = r.schedule_id;
DROP TABLE cuckoo_ledger.open_run;
ALTER TABLE cuckoo_ledger.open_run_2 RENAME TO open_run;

-- With the bound value of each version, which a run that was opened with it still needs after ALTER. NULL: before these were kept.
CREATE TABLE cuckoo_ledger.schedule_version_2 (
  schedule_id BIGINT NOT NULL,
  schedule VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  definition VARCHAR,
  changed VARCHAR[] NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  changed_by VARCHAR NOT NULL,
  bound JSON
);
INSERT INTO cuckoo_ledger.schedule_version_2 BY NAME
SELECT v.*, s.bound FROM cuckoo_ledger.schedule_version v
LEFT JOIN cuckoo_ledger.schedule s ON s.schedule_id = v.schedule_id AND s.version = v.version
ORDER BY v.rowid ASC NULLS LAST;
DROP TABLE cuckoo_ledger.schedule_version;
ALTER TABLE cuckoo_ledger.schedule_version_2 RENAME TO schedule_version;

-- A parent's close, on its edge to a child, until a decision uses it.
CREATE TABLE cuckoo_ledger.token (
  token_id UUID NOT NULL,
  child_id BIGINT NOT NULL,
  parent_id BIGINT NOT NULL,
  run_id UUID NOT NULL,
  root_run_id UUID NOT NULL,
  state VARCHAR NOT NULL,
  scheduled_at TIMESTAMPTZ NOT NULL
);

-- A row for each time a rule was broken; ended_at is NULL for as long as it is.
CREATE TABLE cuckoo_ledger.alert (
  alert_id VARCHAR NOT NULL,
  rule VARCHAR NOT NULL,
  schedule VARCHAR,
  run_id UUID,
  since TIMESTAMPTZ NOT NULL,
  ended_at TIMESTAMPTZ,
  detail VARCHAR NOT NULL
);
`;
