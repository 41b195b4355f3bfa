-- Programs as schedules. In this folder: npx cuckoo < commands.sql

-- A list is a program and its arguments, without a shell. '$day' is one whole argument, whatever it holds.
UPSERT PROCEDURE report(day DATE, rows INTEGER DEFAULT 100) LANGUAGE command AS ['./report.sh', '--day', '$day'];

UPSERT SCHEDULE morning_report (
  sched: '0 6 * * MON-FRI',
  call: report,
  params: { day: sql('$scheduled_at::DATE - 1'), rows: 500 },
  timeout: 2m,
  resources: { memory: 256MB, nice: 10 }
);

-- A text is read by /bin/sh; its parameters are variables of the environment.
UPSERT SCHEDULE archive_report (
  after: morning_report,
  command: 'test -s report.csv && sort "$CUCKOO_PARAM_FILE" | head -n 1 && echo "archived as $CUCKOO_PARAM_FILE.$CUCKOO_RUN_ID"',
  params: { file: 'report.csv' },
  max_retries: 0
);

-- A secret is read when it is used, and stands in no row and no log, also where the command prints it.
UPSERT SCHEDULE upload_report (
  sched: '30 6 * * MON-FRI',
  command: ['curl', '--silent', '--fail', '--config', 'upload.conf', '--form', 'file=@report.csv', 'https://example.org/reports'],
  config: { cwd: '.', env: { UPLOAD_TOKEN: env('UPLOAD_TOKEN') }, grace: 10s }
);

RUN SCHEDULE morning_report ALONE;
RUN SCHEDULE archive_report;

SELECT schedule, state, result->>'last_line' AS last_line FROM cron.runs ORDER BY run_id;
SELECT stream, level, line FROM cron.run_logs ORDER BY logged_at;
