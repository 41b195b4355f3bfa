// DELETE FROM cron.job_run_details: the table is a view over the history of runs. DuckDB decides over that view which rows are
// meant; their runs are then taken out of the ledger, in the transaction that is open. Sessions ask for it, and so do bodies:
// pg_cron's own example cleans its history by a job.

import { clause, type JobStatement, partsOf } from './jobStatement.ts';
import type { Connection, Parameters } from './store/duckdb/connection.ts';
import { pgCronSql } from './store/duckdb/pgcronRelations.ts';
import type { Sql } from './store/duckdb/sql.ts';

/** Answers how many rows went. */
export async function deleteJobRunDetails(
  statement: JobStatement,
  parameters: Parameters | undefined,
  connection: Connection,
  { ledger, cron }: Pick<Sql, 'ledger' | 'cron'>,
): Promise<number> {
  const { before, alias, rest } = partsOf(statement, 'job_run_details');
  const [using, where] = [clause(rest, 'USING'), clause(rest, 'WHERE')];
  const from = `${cron}.cuckoo_job_run AS ${alias}${using === undefined ? '' : `, ${using}`}`;
  const condition = where === undefined ? '' : ` AND (${where}\n)`;
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE cuckoo_deleted_run AS ${before} SELECT DISTINCT ${alias}.run_id FROM ${from} WHERE ${alias}.end_time IS NOT NULL${condition}`,
    parameters,
  );
  const sql = pgCronSql(ledger);
  const [row] = await connection.all<{ deleted: number }>(sql.countDeleted);
  for (const each of sql.deleteDetails) await connection.run(each);
  return row?.deleted ?? 0;
}
