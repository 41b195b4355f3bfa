// When DuckDB breaks: everybody hears the same clear thing, and the file opens again.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Diagnostic, open } from '../src/index.ts';
import { Bench } from './daemon/bin.ts';

let bench: Bench;
let folder: string;
beforeAll(() => {
  bench = new Bench();
  folder = mkdtempSync(join(tmpdir(), 'cuckoo-fatal-'));
});
afterAll(() => {
  bench.clean();
  rmSync(folder, { recursive: true, force: true });
});

/** A mistake in DuckDB 1.5.6, which stops the whole instance. */
const deadly = 'SELECT typeof($1), $1::VARCHAR';

const said = {
  code: 'fatal',
  message: 'The database has stopped after an error inside DuckDB: Invalid PhysicalType for GetTypeIdSize',
  hint: 'Close it and open it again: everything that was committed is in the file.',
};

describe('after an error that stops DuckDB', () => {
  test('every statement of every session says so, and after close() the file opens again with what was committed', async () => {
    const path = join(folder, 'my.duckdb');
    const db = await open(path);
    await db.sql('CREATE TABLE t AS SELECT 1 AS i');
    const session = await db.session();
    await session.execute('BEGIN');
    await session.execute('INSERT INTO t VALUES (2)');
    const mistake = async (work: Promise<unknown>) => {
      const { code, message, hint } = (await work.then(
        () => expect.unreachable(),
        (error: unknown) => error,
      )) as Diagnostic;
      return { code, message, hint };
    };
    expect(await mistake(db.sql(deadly, ['x']))).toEqual(said);
    for (const text of ['SELECT 1', 'ROLLBACK', 'LIST SCHEDULES', "UPSERT SCHEDULE a ( sched: '@daily', sql: 'SELECT 1' )"]) {
      expect(await mistake(db.sql(text))).toEqual(said);
    }
    expect(await mistake(session.execute('COMMIT'))).toEqual(said);
    expect(session.transaction).toBe('aborted');
    expect(await mistake(db.tick())).toEqual(said);
    expect(await mistake(db.session())).toEqual(said);
    expect(JSON.stringify(await db.sql('SELECT 1').catch((error: unknown) => error))).not.toContain('stack');
    expect((await mistake(open(path))).code).toBe('fatal');
    await db.close();
    await using again = await open(path);
    expect(await (await again.sql('FROM t')).toArray()).toEqual([[1]]);
  });

  test('the command ends with code 1', async () => {
    const script = `PREPARE p AS ${deadly}; EXECUTE p('x'); SELECT 5;\n`;
    const ended = await bench.run(['broken.duckdb'], script);
    expect({ ...ended, stderr: ended.stderr.split('\n')[0] }).toEqual({
      code: 1,
      signal: null,
      stdout: '',
      stderr: `error[fatal] ${said.message}`,
    });
    expect(await bench.run(['broken.duckdb', '--format', 'csv', '-c', 'SELECT 5'])).toMatchObject({ code: 0, stdout: '5\n5\n' });
  });
});
