import { expect } from 'vitest';
import { Connection } from '../../../../src/engine/store/duckdb/connection.ts';
import { commitClosed } from '../../../../src/engine/store/duckdb/fence.ts';
import { DuckLedger } from '../../../../src/engine/store/duckdb/ledger.ts';
import { ledgerSql } from '../../../../src/engine/store/duckdb/ledgerSql.ts';
import { test } from '../../../support/database.ts';
import { closing, open, openRun, signal } from '../../../support/ledgerConformance.ts';

// DuckDB lets an UPDATE and a DELETE of one row commit side by side: a mark must not be an UPDATE.
test.for([
  ['takes itself out', false],
  ['marks itself', true],
] as const)('a run that %s is closed by nobody else, also where he has not seen that yet', async ([, marks], { db }) => {
  const { database, sql, admission } = db.engine;
  const ledger = new DuckLedger({ database, sql, admission, clock: db.clock });
  const run = openRun();
  await ledger.write([[open(run)]], signal);
  const [own, other] = [new Connection(await database.connect()), new Connection(await database.connect())];
  try {
    await other.send('BEGIN', 'open');
    expect(await other.table(ledgerSql(sql.ledger).stages([run.runId]))).toMatchObject({ rows: [[run.runId, 'open']] });
    await own.send('BEGIN', 'open');
    await commitClosed(own, sql, closing(run), { isGuarded: false, marks, onSend: () => {} });
    await expect(other.send(ledgerSql(sql.ledger).takeOpen([run.runId]), 'open')).rejects.toMatchObject({ code: 'conflict' });
    expect(await ledger.fate(run.runId, signal)).toMatchObject({ kind: 'closed', marked: marks });
  } finally {
    await own.close();
    await other.close();
  }
});
