// Every statement that reads or writes the ledger, by name. Fully qualified, because a session may `USE` another database and
// must still reach this one; instants travel as epoch milliseconds, lists and objects as JSON text, so that no DuckDB type
// crosses the store.

import { identifier, literal } from './literal.ts';

export type Sql = ReturnType<typeof sqlFor>;

/** `$at` as a TIMESTAMPTZ. */
const instant = (parameter: string): string => `make_timestamptz((${parameter} * 1000)::BIGINT)`;
const list = (parameter: string): string => `${parameter}::JSON::VARCHAR[]`;

/** What wins over the settings in the file, in this process. */
export type Overrules = ReadonlyMap<string, { readonly value: string; readonly origin: string }>;

export function sqlFor(database: string, overrules: Overrules = new Map()) {
  const overruled = [...overrules].map(([name, { value }]) => ` UNION ALL SELECT ${literal(name)}, ${literal(value)}`).join('');
  const ledger = `${identifier(database)}.cuckoo_ledger`;
  const cron = `${identifier(database)}.cron`;
  const schedule = `
    schedule_id::DOUBLE AS schedule_id, name, version::DOUBLE AS version, enabled, epoch_ms(effective_from)::DOUBLE AS effective_from,
    bound::VARCHAR AS bound, definition, source`;
  const routine = `name, kind, version::DOUBLE AS version, language, bound::VARCHAR AS bound, definition`;
  return {
    database,
    ledger,
    cron,

    // Two statements and not one with ON CONFLICT, which took 3 ms, three times as long as both.
    touch: `UPDATE ${ledger}.name_in_use SET touched = touched + 1 WHERE name_key = $key`,
    touchFirst: `INSERT INTO ${ledger}.name_in_use VALUES ($key, 0)`,

    fileValues: `SELECT key, value FROM ${ledger}.file`,
    watermark: `SELECT epoch_ms(watermark)::DOUBLE AS watermark FROM ${ledger}.tick ORDER BY seq DESC NULLS LAST LIMIT 1`,
    fileValue: `SELECT value FROM ${ledger}.file WHERE key = $key`,
    forgetFileValue: `DELETE FROM ${ledger}.file WHERE key = $key`,
    setFileValue: `INSERT OR REPLACE INTO ${ledger}.file VALUES ($key, $value)`,

    // The last of a name counts.
    settings: `SELECT name, value FROM ${ledger}.setting${overruled}`,
    setSetting: `INSERT OR REPLACE INTO ${ledger}.setting VALUES ($name, $value, ${instant('$at')})`,
    resetSetting: `DELETE FROM ${ledger}.setting WHERE name = $name`,

    newestScheduleId: `SELECT coalesce(max(schedule_id), 0)::DOUBLE AS newest FROM ${ledger}.schedule_version`,
    schedule: `SELECT ${schedule} FROM ${ledger}.schedule WHERE name_key = $key`,
    schedules: `SELECT ${schedule} FROM ${ledger}.schedule ORDER BY name_key ASC NULLS LAST`,
    scheduleNames: `SELECT name FROM ${ledger}.schedule ORDER BY name_key ASC NULLS LAST`,
    schedulesOf: `SELECT name FROM ${ledger}.schedule WHERE exe IN ('procedure', 'pipeline') AND lower(split_part(call, '.', 1)) = $key ORDER BY name_key ASC NULLS LAST`,
    schedulesAfter: `SELECT name FROM ${ledger}.schedule WHERE list_contains(list_transform("after", lambda x: lower(x)), $key) ORDER BY name_key ASC NULLS LAST`,
    schedulesOn: `SELECT name FROM ${ledger}.schedule WHERE lower(calendar) = $key ORDER BY name_key ASC NULLS LAST`,
    schedulesIn: `SELECT name FROM ${ledger}.schedule WHERE lower(queue) = $key ORDER BY name_key ASC NULLS LAST`,
    followers: `SELECT name, to_json("after")::VARCHAR AS parents FROM ${ledger}.schedule WHERE len("after") > 0`,
    insertSchedule: `
      INSERT INTO ${ledger}.schedule BY NAME SELECT
        $schedule_id::BIGINT AS schedule_id, $name AS name, $key AS name_key, $version::BIGINT AS version, $enabled AS enabled,
        ${instant('$effective_from')} AS effective_from, $sched AS sched, $timezone AS timezone, $exe AS exe, $call AS call,
        $params::JSON AS params, $config::JSON AS config, $queue AS queue, $priority AS priority, $overlap AS overlap, $catchup AS catchup,
        $max_retries::BIGINT AS max_retries, ${list('$after')} AS "after", $calendar AS calendar, $description AS description,
        ${list('$tags')} AS tags, $owner AS owner, $source AS source, $bound::JSON AS bound, $definition AS definition,
        ${instant('$created_at')} AS created_at, ${instant('$updated_at')} AS updated_at`,
    scheduleCreatedAt: `SELECT epoch_ms(created_at)::DOUBLE AS created_at, version::DOUBLE AS version FROM ${ledger}.schedule WHERE name_key = $key`,
    deleteSchedule: `DELETE FROM ${ledger}.schedule WHERE name_key = $key`,
    enableSchedule: `UPDATE ${ledger}.schedule SET enabled = $enabled, version = $version::BIGINT, effective_from = ${instant('$effective_from')}, updated_at = ${instant('$at')} WHERE name_key = $key`,
    countFrom: `UPDATE ${ledger}.schedule SET effective_from = ${instant('$at')} WHERE schedule_id IN (SELECT unnest($ids::JSON::BIGINT[]))`,
    insertScheduleVersion: `
      INSERT INTO ${ledger}.schedule_version BY NAME SELECT
        $schedule_id::BIGINT AS schedule_id, $name AS schedule, $version::BIGINT AS version, $definition AS definition,
        ${list('$changed')} AS changed, ${instant('$at')} AS changed_at, $by AS changed_by, $bound::JSON AS bound`,
    // A version from before its bound value was kept is read as the schedule is now.
    scheduleVersion: `
      SELECT coalesce(v.bound, s.bound)::VARCHAR AS bound
      FROM ${ledger}.schedule_version v LEFT JOIN ${ledger}.schedule s ON s.schedule_id = v.schedule_id
      WHERE v.schedule_id = $id AND v.version = $version AND coalesce(v.bound, s.bound) IS NOT NULL LIMIT 1`,
    // Which rows they are is asked first, of two narrow columns: in one step DuckDB reads the bound values of all versions there are
    // (32 among a million: 430 ms of processor time and a gigabyte, so 2).
    scheduleVersions: `
      SELECT schedule_id::DOUBLE AS id, version::DOUBLE AS version, bound::VARCHAR AS bound
      FROM ${ledger}.schedule_version WHERE rowid IN (
        SELECT v.rowid FROM ${ledger}.schedule_version v
        SEMI JOIN (SELECT unnest($ids::JSON::BIGINT[]) AS schedule_id, unnest($numbers::JSON::BIGINT[]) AS version) AS asked
          ON asked.schedule_id = v.schedule_id AND asked.version = v.version
      )`,

    routine: `SELECT ${routine} FROM ${ledger}.routine WHERE name_key = $key`,
    routines: `SELECT ${routine} FROM ${ledger}.routine ORDER BY name_key ASC NULLS LAST`,
    routineCreatedAt: `SELECT epoch_ms(created_at)::DOUBLE AS created_at FROM ${ledger}.routine WHERE name_key = $key`,
    deleteRoutine: `DELETE FROM ${ledger}.routine WHERE name_key = $key`,
    insertRoutine: `
      INSERT INTO ${ledger}.routine BY NAME SELECT
        $name AS name, $key AS name_key, $kind AS kind, $version::BIGINT AS version, $language AS language,
        $parameters::JSON AS parameters, $options::JSON AS options, $body AS body, $bound::JSON AS bound, $definition AS definition,
        ${instant('$created_at')} AS created_at, ${instant('$updated_at')} AS updated_at`,

    calendar: `SELECT name, version::DOUBLE AS version, bound::VARCHAR AS bound, definition FROM ${ledger}.calendar WHERE name_key = $key`,
    calendarCreatedAt: `SELECT epoch_ms(created_at)::DOUBLE AS created_at FROM ${ledger}.calendar WHERE name_key = $key`,
    deleteCalendar: `DELETE FROM ${ledger}.calendar WHERE name_key = $key`,
    insertCalendar: `
      INSERT INTO ${ledger}.calendar BY NAME SELECT
        $name AS name, $key AS name_key, $version::BIGINT AS version, $bound::JSON AS bound, $definition AS definition,
        ${instant('$created_at')} AS created_at, ${instant('$updated_at')} AS updated_at`,
    calendarReadings: `
      SELECT c.name, epoch_ms(coalesce(r.read_at, c.updated_at))::DOUBLE AS read_at, epoch_ms(r.failing_since)::DOUBLE AS failing_since, r.problem
      FROM ${ledger}.calendar c LEFT JOIN ${ledger}.calendar_reading r ON r.name_key = c.name_key
      WHERE coalesce(TRY(c.bound->>'$.sources'), '{}') <> '{}' ORDER BY c.name_key ASC NULLS LAST`,
    putCalendarReading: `INSERT OR REPLACE INTO ${ledger}.calendar_reading VALUES ($key, ${instant('$read_at')}, ${instant('$failing_since')}, $problem)`,
    deleteCalendarReading: `DELETE FROM ${ledger}.calendar_reading WHERE name_key = $key`,

    queue: `SELECT name, paused, definition FROM ${ledger}.queue WHERE name_key = $key`,
    queueNames: `SELECT name FROM ${ledger}.queue ORDER BY name_key ASC NULLS LAST`,
    openRunsIn: `SELECT count(*)::DOUBLE AS count FROM ${ledger}.open_run WHERE stage = 'open' AND lower(queue) = $key`,
    deleteQueue: `DELETE FROM ${ledger}.queue WHERE name_key = $key`,
    pauseQueue: `UPDATE ${ledger}.queue SET paused = $paused, updated_at = ${instant('$at')} WHERE name_key = $key`,
    insertQueue: `
      INSERT INTO ${ledger}.queue BY NAME SELECT
        $name AS name, $key AS name_key, $weight::BIGINT AS weight, $concurrency::BIGINT AS concurrency, $rate_count::BIGINT AS rate_count,
        $rate_per_ms::BIGINT AS rate_per_ms, $paused AS paused, $definition AS definition,
        ${instant('$created_at')} AS created_at, ${instant('$updated_at')} AS updated_at`,
    queueCreatedAt: `SELECT epoch_ms(created_at)::DOUBLE AS created_at FROM ${ledger}.queue WHERE name_key = $key`,

    deleteLineage: `DELETE FROM ${ledger}.lineage WHERE lower(object) = $key AND kind = $kind`,
    lineage: `SELECT table_name AS "table", access FROM ${ledger}.lineage WHERE lower(object) = $key AND kind = $kind ORDER BY ALL`,
    insertLineage: `INSERT INTO ${ledger}.lineage VALUES ($object, $kind, $table_name, $access)`,
    writersOf: `SELECT DISTINCT object FROM ${ledger}.lineage WHERE kind = 'schedule' AND access = 'writes' AND lower(table_name) = $table_key ORDER BY 1 ASC NULLS LAST`,
  };
}
