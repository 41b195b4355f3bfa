// Pipelines as tests define and look at them.

import type { Row, TestDatabase } from './database.ts';

/** A pipeline `p` of these steps. */
export async function define(db: TestDatabase, steps: string, more = ''): Promise<void> {
  await db.run(`UPSERT PIPELINE p ( steps: [ ${steps} ]${more} )`);
}

const newest = "SELECT run_id FROM cron.runs WHERE exe = 'pipeline' ORDER BY opened_at DESC, attempt DESC, run_id DESC LIMIT 1";

/** Of the newest run, in the order in which they ended. */
export function stepRows(db: TestDatabase, columns = 'step, item, state, reason'): Promise<Row[]> {
  return db.rows(`SELECT ${columns} FROM cron.step_runs WHERE run_id = (${newest})`);
}

/** What steps have kept and nobody has dropped. */
export function workTables(db: TestDatabase): Promise<Row[]> {
  return db.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'cuckoo_work'");
}

export const failed = (reason: unknown): object[] => [{ pipeline: 'p', state: 'failed', reason }];
