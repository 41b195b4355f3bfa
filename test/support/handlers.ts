// Modules of handlers in the folder of a test's database, and what has become of their runs.

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Row, TestDatabase } from './database.ts';

/** `body` is the inside of the handler; answers the path as a schedule names it. */
export function writeHandler(db: TestDatabase, name: string, body: string): string {
  return writeModule(db, name, `export default async (context) => {\n${body}\n};\n`);
}

export function writeModule(db: TestDatabase, name: string, text: string): string {
  const path = join(db.folder, 'jobs', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return `./jobs/${name}`;
}

/** Defines a schedule that calls the handler, runs it here and now, and answers its row of cron.runs. */
export async function runHandler(db: TestDatabase, call: string, keys = ''): Promise<Row> {
  await db.run(`UPSERT SCHEDULE h ( handler: '${call}', max_retries: 0 ${keys === '' ? '' : `, ${keys}`} )`);
  return runAgain(db, 'h');
}

export async function runAgain(db: TestDatabase, schedule: string): Promise<Row> {
  const [answer] = await db.rows(`RUN SCHEDULE ${schedule}`);
  const [run] = await db.rows('SELECT * FROM cron.runs WHERE run_id = $id', { id: answer?.['run_id'] });
  if (run === undefined) throw new Error('the run has no row');
  return run;
}

/** The lines of a run, in their order. */
export async function linesOf(db: TestDatabase, run: Row): Promise<string[]> {
  const rows = await db.rows('SELECT stream, level, line FROM cron.run_logs WHERE run_id = $id', { id: run['run_id'] });
  return rows.map(({ stream, level, line }) => `${stream} ${level}: ${line}`);
}

/** The threads of this process. */
export function threadCount(): number {
  return readdirSync('/proc/self/task').length;
}
