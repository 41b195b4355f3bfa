-- A script beside the JSON files: whatever SQL defines. What is taken out of it is dropped.
CREATE PROCEDURE measure() AS
BEGIN
  CREATE TABLE IF NOT EXISTS growth (measured_at TIMESTAMPTZ, schedules BIGINT, runs BIGINT);
  INSERT INTO growth SELECT $scheduled_at, (SELECT count(*) FROM cron.schedules), (SELECT count(*) FROM cron.runs);
END;

UPSERT SCHEDULE measure_growth (
  sched: @hourly,
  call: measure,
  description: 'How many schedules and runs there are',
  keep: { succeeded: 30d }
);
