import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { type Row, type TestDatabase, test } from '../../support/database.ts';

/** Runs `sql` as a schedule does; answers its row. */
async function runOf(db: TestDatabase, sql: string, more = ''): Promise<Row> {
  await db.run(`UPSERT SCHEDULE s ( sql: $cuckoo$ ${sql} $cuckoo$, max_retries: 0${more} )`);
  await db.rows('RUN SCHEDULE s');
  const [run] = await db.rows('LIST RUNS LIMIT 1');
  return run ?? {};
}

describe('the guarantee of a SQL run', () => {
  test('is told with its reason where it is no better than at least once', async ({ db }) => {
    const file = join(db.folder, 'out.csv');
    await db.run('CREATE TABLE t(i INTEGER)', `ATTACH '${db.folder}/other.duckdb' AS other`, 'CREATE TABLE other.o(i INTEGER)');
    await db.run(
      'UPSERT PROCEDURE writes() AS BEGIN INSERT INTO t VALUES (1); END',
      'UPSERT PROCEDURE piecewise() ( atomic: false ) AS BEGIN INSERT INTO t VALUES (2); SELECT nope; END',
      `UPSERT PROCEDURE exports() AS BEGIN COPY t TO '${file}'; END`,
      'UPSERT PROCEDURE indirectly() AS BEGIN CALL exports(); END',
      'UPSERT PROCEDURE elsewhere() AS BEGIN INSERT INTO other.main.o VALUES (3); END',
      "UPSERT PROCEDURE outside() LANGUAGE command AS ['true']",
    );
    const guarantee = async (procedure: string) => {
      await db.run(`UPSERT SCHEDULE s ( call: ${procedure}, max_retries: 0 )`);
      await db.rows('RUN SCHEDULE s');
      const [row] = await db.rows('SELECT state, guarantee, guarantee_reason AS reason FROM cron.runs ORDER BY run_id DESC LIMIT 1');
      return [row?.['state'], row?.['guarantee'], row?.['reason']];
    };
    expect(await guarantee('writes')).toEqual(['succeeded', 'exactly_once', null]);
    for (const procedure of ['exports', 'indirectly'])
      expect(await guarantee(procedure)).toEqual(['succeeded', 'at_least_once', 'writes a file: COPY .. TO']);
    expect(await guarantee('elsewhere')).toEqual(['succeeded', 'at_least_once', 'writes to other.main.o, another database']);
    expect(await guarantee('piecewise')).toEqual(['failed', 'at_least_once', 'atomic: false']);
    expect(await guarantee('outside')).toEqual(['succeeded', 'at_least_once', 'what a command does cannot be rolled back']);
  });

  test('comes with the rows that each statement changed; a called procedure counts as one', async ({ db }) => {
    await db.run(
      'CREATE TABLE t(i INTEGER)',
      'UPSERT PROCEDURE inner_one() AS BEGIN INSERT INTO t SELECT * FROM range(5); DELETE FROM t WHERE i < 2; END',
    );
    await runOf(db, 'INSERT INTO t VALUES (7); CALL inner_one(); SELECT 1; UPDATE t SET i = i + 1');
    expect(await db.rows('SELECT rows_changed, rows_by_statement FROM cron.runs')).toEqual([
      { rows_changed: 12n, rows_by_statement: [1n, 7n, 0n, 4n] },
    ]);
  });
});
