// What pg_cron's users know, in schema `cron`: the functions schedule, unschedule, alter_job and schedule_in_database, and the
// tables job and job_run_details with pg_cron's columns and types.
//
// The functions are macros, which gives them pg_cron's argument names, defaults and overloads, over functions of this process
// (engine/pgcron.ts). Those cannot query the connection that called them; so the macro looks up, in the calling transaction,
// which job is meant, and passes it along. Each exists a second time as a table macro, for `SELECT * FROM cron.schedule(..)`.

interface Overload {
  readonly parameters: string;
  readonly call: string;
}

/** The id of the schedule of this name; negative if it was not made by these functions. Folded as DuckDB folds names. */
const idOfName = (name: string): string => `(
    SELECT CASE WHEN j.schedule_id IS NULL THEN -s.schedule_id ELSE s.schedule_id END
    FROM cuckoo_ledger.schedule s LEFT JOIN cuckoo_ledger.pg_cron_job j ON j.schedule_id = s.schedule_id
    WHERE s.name_key = translate(${name}::VARCHAR, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz'))`;

const knownId = (id: string): string => `(
    SELECT j.schedule_id FROM cuckoo_ledger.pg_cron_job j JOIN cuckoo_ledger.schedule s ON s.schedule_id = j.schedule_id
    WHERE j.schedule_id = ${id}::BIGINT)`;

/** unschedule takes a name or an id. Macros with typed parameters, which would tell them apart, need a newer file format. */
const byId = "(job_id IS NOT NULL OR typeof(job_name) LIKE '%INT%')";
const givenId = 'coalesce(job_id, TRY_CAST(job_name::VARCHAR AS BIGINT))';

function functionOf(name: string, overloads: readonly Overload[]): string {
  const scalars = overloads.map(({ parameters, call }) => `(${parameters}) AS ${call}`);
  const tables = overloads.map(({ parameters, call }) => `(${parameters}) AS TABLE (SELECT ${call} AS ${name})`);
  return `
CREATE OR REPLACE MACRO cron.${name} ${scalars.join(',\n  ')};
CREATE OR REPLACE MACRO cron.${name} ${tables.join(',\n  ')};
`;
}

const functions = [
  functionOf('schedule', [
    {
      parameters: 'schedule, command',
      call: 'cuckoo_fn_job_schedule(false, NULL, schedule::VARCHAR, command::VARCHAR, NULL, NULL, true, NULL)',
    },
    {
      parameters: 'job_name, schedule, command',
      call: `cuckoo_fn_job_schedule(true, job_name::VARCHAR, schedule::VARCHAR, command::VARCHAR, NULL, NULL, true, ${idOfName('job_name')})`,
    },
  ]),
  functionOf('schedule_in_database', [
    {
      parameters: 'job_name, schedule, command, database, username := NULL, active := true',
      call: `cuckoo_fn_job_schedule(true, job_name::VARCHAR, schedule::VARCHAR, command::VARCHAR, database::VARCHAR, username::VARCHAR, active::BOOLEAN, ${idOfName('job_name')})`,
    },
  ]),
  // One parameter for the name or the number: a file of the default storage version knows no typed macro parameters.
  functionOf('unschedule', [
    {
      parameters: 'job_name := NULL, job_id := NULL',
      call: `cuckoo_fn_job_unschedule(${byId}, job_name::VARCHAR, ${givenId}, CASE WHEN ${byId} THEN ${knownId(givenId)} ELSE ${idOfName('job_name')} END)`,
    },
  ]),
  functionOf('alter_job', [
    {
      parameters: 'job_id, schedule := NULL, command := NULL, database := NULL, username := NULL, active := NULL',
      call: `cuckoo_fn_job_alter(job_id::BIGINT, schedule::VARCHAR, command::VARCHAR, database::VARCHAR, username::VARCHAR, active::BOOLEAN, ${knownId('job_id')})`,
    },
  ]),
].join('');

/** The first 60 bits of a run's id, which are its millisecond and a counter: an integer that rises with time, as runid does. */
const runIdOf = (id: string): string =>
  `('0x' || substr(${id}::VARCHAR, 1, 8) || substr(${id}::VARCHAR, 10, 4) || substr(${id}::VARCHAR, 16, 3))::BIGINT`;

const views = `
CREATE OR REPLACE VIEW cron.job AS
SELECT s.schedule_id AS jobid,
  CASE WHEN s.sched IS NOT DISTINCT FROM j.sched THEN j.schedule ELSE s.sched END AS schedule,
  s.call AS command, 'localhost' AS nodename, 0::INTEGER AS nodeport, current_database() AS database, j.username,
  s.enabled AS active, j.jobname
FROM cuckoo_ledger.pg_cron_job j JOIN cuckoo_ledger.schedule s ON s.schedule_id = j.schedule_id;

-- With the run's own id, by which rows are deleted.
CREATE OR REPLACE VIEW cron.cuckoo_job_run AS
SELECT r.schedule_id AS jobid, ${runIdOf('r.run_id')} AS runid, NULL::INTEGER AS job_pid, current_database() AS database, j.username,
  r.call AS command, CASE r.state WHEN 'succeeded' THEN 'succeeded' ELSE 'failed' END AS status,
  CASE WHEN r.state <> 'succeeded' THEN coalesce(r.error_message, r.reason, r.state)
    WHEN r.rows_changed = 1 THEN '1 row' ELSE coalesce(r.rows_changed, 0) || ' rows' END AS return_message,
  r.started_at AS start_time, r.finished_at AS end_time, r.run_id
FROM cuckoo_ledger.closed r JOIN cuckoo_ledger.pg_cron_job j ON j.schedule_id = r.schedule_id
WHERE r.state <> 'skipped' AND r.run_id IS DISTINCT FROM j.hidden_run
UNION ALL
SELECT r.schedule_id, ${runIdOf('r.run_id')}, NULL, current_database(), j.username, r.call, 'running', NULL,
  cuckoo_run_started_at(r.run_id::VARCHAR), NULL, r.run_id
FROM cuckoo_ledger.open_run r JOIN cuckoo_ledger.pg_cron_job j ON j.schedule_id = r.schedule_id
WHERE r.stage = 'open' AND cuckoo_run_state(r.run_id::VARCHAR) = 'running';

CREATE OR REPLACE VIEW cron.job_run_details AS
SELECT jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time FROM cron.cuckoo_job_run;
`;

export const pgCronRelations = `${functions}${views}`;

/** The statements by which jobs are written, and their history deleted; `deleted` is a temporary table of run ids. */
export function pgCronSql(ledger: string) {
  const newest = `SELECT arg_max(run_id, (finished_at, run_id)) AS run_id FROM ${ledger}.closed WHERE schedule_id IS NOT NULL GROUP BY schedule_id`;
  return {
    nameOfJob: `SELECT s.name FROM ${ledger}.schedule s WHERE s.schedule_id = $id`,
    putJob: `INSERT OR REPLACE INTO ${ledger}.pg_cron_job BY NAME
      SELECT $id::BIGINT AS schedule_id, $schedule AS schedule, $sched AS sched, $jobname AS jobname, $username AS username, NULL::UUID AS hidden_run`,
    changeSchedule: `UPDATE ${ledger}.pg_cron_job SET schedule = $schedule, sched = $sched WHERE schedule_id = $id::BIGINT`,
    countDeleted: 'SELECT count(*)::DOUBLE AS deleted FROM temp.main.cuckoo_deleted_run',
    // What a schedule counts stands in its newest row: that row is hidden, and goes when a newer one has come.
    deleteDetails: [
      `DELETE FROM ${ledger}.closed WHERE run_id IN (SELECT hidden_run FROM ${ledger}.pg_cron_job WHERE hidden_run IS NOT NULL) AND run_id NOT IN (${newest})`,
      `UPDATE ${ledger}.pg_cron_job AS j SET hidden_run = c.run_id FROM ${ledger}.closed c
        WHERE c.schedule_id = j.schedule_id AND c.run_id IN (SELECT run_id FROM temp.main.cuckoo_deleted_run) AND c.run_id IN (${newest})`,
      ...['run_log', 'closed_step', 'dead_letter_settled'].map(
        (table) => `DELETE FROM ${ledger}.${table} WHERE run_id IN (SELECT run_id FROM temp.main.cuckoo_deleted_run)`,
      ),
      `DELETE FROM ${ledger}.closed WHERE run_id IN (SELECT run_id FROM temp.main.cuckoo_deleted_run) AND run_id NOT IN (${newest})`,
      'DROP TABLE temp.main.cuckoo_deleted_run',
    ],
  };
}
