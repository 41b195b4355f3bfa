CREATE OR REPLACE TABLE sessions AS
  SELECT range AS id, current_date - range::INTEGER AS expires_on FROM range(10);

UPSERT PROCEDURE purge(keep INTEGER DEFAULT 7) AS
BEGIN
  DELETE FROM sessions WHERE expires_on < current_date - $keep;
END;

UPSERT SCHEDULE nightly_purge (
  sched: '0 4 * * *',
  timezone: 'Europe/Berlin',
  call: purge,
  params: { keep: 3 }
);

RUN SCHEDULE nightly_purge;
SELECT schedule, trigger, state, rows_changed, guarantee FROM cron.runs ORDER BY opened_at DESC LIMIT 1;
