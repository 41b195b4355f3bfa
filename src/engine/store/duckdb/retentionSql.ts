// The statements by which old history goes. What may go is written into temporary tables first, which is one look at history for
// a whole sweep; then it is taken away in small transactions, by id, because row ids move with a checkpoint.
//
// What a schedule has come to stands in its closed runs, so of each schedule those stay that carry it: the newest of each kind in
// the order of commits, by which ledgerSql.ts reads the counters and cron.schedules what it shows; the newest in that of time, by
// which pg_cron's details go; and the newest that have the highest count of fires and the last success. (Maxima take a fifth of the
// time of picking rows by arg_max: 100 ms instead of 500 for a million rows of ten thousand schedules.)

import { kept, keptAs, rowsAtOnce } from '../../../scheduler/retention.ts';
import { closedStates } from '../../../scheduler/run.ts';

const instant = (parameter: string): string => `make_timestamptz((${parameter} * 1000)::BIGINT)`;

const words = ['succeeded', 'failed', 'skipped'] as const;

const statesOf = (word: (typeof words)[number]): string =>
  closedStates
    .filter((state) => keptAs[state] === word)
    .map((state) => `'${state}'`)
    .join(', ');

export function retentionSql(ledger: string) {
  // Whatever `keep` says: a clock that is set back looks for what has run already, and a queue's rate counts what has started.
  const leastKept = `greatest(${kept.runMs}, (SELECT coalesce(max(rate_per_ms), 0) FROM ${ledger}.queue))`;
  const before = (word: (typeof words)[number]): string => {
    // One definition that cannot be read keeps its own history, and nobody else's.
    const forMs = `TRY((s.bound->>'$.keep.${word}')::BIGINT)`;
    return `CASE WHEN ${forMs} IS NOT NULL THEN ${instant('$now')} - to_milliseconds(greatest(${forMs}, ${leastKept})) END AS ${word}`;
  };
  const cutoff = `CASE ${words.map((word) => `WHEN c.state IN (${statesOf(word)}) THEN k.${word}`).join(' ')} END`;
  const batch = 'SELECT run_id FROM temp.main.cuckoo_old_run WHERE place >= $from AND place < $to';
  /** Rows of any number go in bites of their own. */
  const bite = (table: string, condition: string): string =>
    `DELETE FROM ${ledger}.${table} WHERE rowid IN (SELECT rowid FROM ${ledger}.${table} WHERE ${condition} LIMIT ${rowsAtOnce})`;
  return {
    /** The same as long as no definition has changed. */
    definitionsStamp: `SELECT count(*) || ' ' || coalesce(max(updated_at), 'epoch') || ' ' || coalesce(sum(version), 0) AS stamp FROM ${ledger}.schedule`,
    newestInstant: `SELECT coalesce(epoch_ms(max(ticked_at)), 0)::DOUBLE AS at FROM ${ledger}.tick`,

    // A dropped schedule's history goes by its last version. The text is looked at before the JSON is: of a million schedules most
    // keep everything.
    findKeeps: `
      CREATE OR REPLACE TEMP TABLE cuckoo_keep AS
      SELECT s.schedule_id, s.name, s.dropped, ${words.map(before).join(', ')}
      FROM (
        SELECT schedule_id, name, bound, false AS dropped FROM ${ledger}.schedule
        UNION ALL
        SELECT schedule_id, arg_max(schedule, version), arg_max(bound, version), true FROM ${ledger}.schedule_version
        WHERE bound IS NOT NULL AND schedule_id NOT IN (SELECT schedule_id FROM ${ledger}.schedule) GROUP BY schedule_id
      ) s WHERE contains(s.bound::VARCHAR, '"keep":{"')`,
    countKeeps: 'SELECT count(*)::DOUBLE AS keeps FROM temp.main.cuckoo_keep',

    // A run without a schedule is an action of the one whose name it bears. What a mark, a token or an open run still reads stays.
    findOldRuns: `
      CREATE OR REPLACE TEMP TABLE cuckoo_old_run AS
      WITH reached AS (
        SELECT schedule_id, max(finished_at) AS latest, max(rowid) AS newest, max(rowid) FILTER (final) AS newest_final,
          max(rowid) FILTER (state <> 'skipped') AS newest_begun, max(rowid) FILTER (final AND state <> 'skipped') AS newest_end,
          max(rowid) FILTER (final AND state NOT IN ('skipped', 'cancelled')) AS newest_counted,
          nullif(max(opened_fires), 0) AS fires, max(last_success_at) AS success
        FROM ${ledger}.closed WHERE schedule_id IN (SELECT schedule_id FROM temp.main.cuckoo_keep) GROUP BY schedule_id
      ), carried AS (
        SELECT c.schedule_id, max(c.finished_at) FILTER (c.opened_fires = r.fires) AS fires_at,
          max(c.finished_at) FILTER (c.last_success_at = r.success) AS success_at
        FROM ${ledger}.closed c JOIN reached r ON r.schedule_id = c.schedule_id GROUP BY c.schedule_id
      ), newest_of_name AS (
        SELECT * FROM temp.main.cuckoo_keep k
        WHERE NOT dropped OR NOT EXISTS (SELECT 1 FROM ${ledger}.schedule s WHERE s.name = k.name)
        QUALIFY row_number() OVER (PARTITION BY name ORDER BY schedule_id DESC NULLS LAST) = 1
      ), old AS (
        SELECT c.run_id, c.finished_at
        FROM ${ledger}.closed c JOIN temp.main.cuckoo_keep k ON k.schedule_id = c.schedule_id
          JOIN reached r ON r.schedule_id = c.schedule_id JOIN carried n ON n.schedule_id = c.schedule_id
        WHERE c.finished_at < ${cutoff}
          AND (k.dropped OR (
            c.finished_at IS DISTINCT FROM r.latest AND c.rowid IS DISTINCT FROM r.newest AND c.rowid IS DISTINCT FROM r.newest_final
            AND c.rowid IS DISTINCT FROM r.newest_begun AND c.rowid IS DISTINCT FROM r.newest_end
            AND c.rowid IS DISTINCT FROM r.newest_counted
            AND c.finished_at IS DISTINCT FROM n.fires_at AND c.finished_at IS DISTINCT FROM n.success_at
          ))
        UNION ALL
        SELECT c.run_id, c.finished_at FROM ${ledger}.closed c JOIN newest_of_name k ON k.name = c.schedule
        WHERE c.schedule_id IS NULL AND c.finished_at < ${cutoff}
      ), held AS (
        SELECT run_id FROM ${ledger}.open_run UNION ALL SELECT parent_run_id FROM ${ledger}.open_run WHERE parent_run_id IS NOT NULL
        UNION ALL SELECT run_id FROM ${ledger}.token
      )
      SELECT run_id, row_number() OVER () - 1 AS place FROM (
        SELECT o.run_id FROM old o ANTI JOIN held h ON h.run_id = o.run_id
        ORDER BY o.finished_at ASC NULLS LAST LIMIT $most::BIGINT
      )`,
    countOldRuns: 'SELECT count(*)::DOUBLE AS runs FROM temp.main.cuckoo_old_run',

    deleteLogs: bite('run_log', `run_id IN (${batch})`),
    deleteSteps: bite('closed_step', `run_id IN (${batch})`),
    deleteRuns: [
      `DELETE FROM ${ledger}.dead_letter_settled WHERE run_id IN (${batch})`,
      `UPDATE ${ledger}.pg_cron_job SET hidden_run = NULL WHERE hidden_run IN (${batch})`,
      `DELETE FROM ${ledger}.closed WHERE run_id IN (${batch})`,
    ],

    ownRows: [
      bite('tick', `ticked_at < ${instant(`($now - ${kept.tickMs})`)} AND seq <= (SELECT max(seq) - ${kept.ticks} FROM ${ledger}.tick)`),
      // That a boot has stopped is asked of the runs that it had begun, for as long as they are open.
      bite(
        'boot',
        `rowid < (SELECT min(newest) FROM (SELECT rowid AS newest FROM ${ledger}.boot ORDER BY newest DESC NULLS LAST LIMIT ${kept.boots}))
          AND boot_id NOT IN (SELECT boot_id FROM ${ledger}.started)`,
      ),
      bite('alert', `ended_at < ${instant(`($now - ${kept.alertMs})`)}`),
      bite('started', `started_at < ${instant(`($now - ${kept.startedMs})`)} AND run_id NOT IN (SELECT run_id FROM ${ledger}.open_run)`),
    ],
  };
}
