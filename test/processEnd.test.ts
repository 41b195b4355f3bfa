// A process ends when it is told to, whatever its statements are at.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Bench, type Ended, Running } from './daemon/bin.ts';

let bench: Bench;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench.clean());

const library = join(import.meta.dirname, '../dist/index.js');

/** A program that begins `count` statements and, once all are at work, does what `end` says. */
async function program({ sql, count, end }: { readonly sql: string; readonly count: number; readonly end: string }): Promise<Ended> {
  const file = bench.write(
    'program.mjs',
    `import { open } from ${JSON.stringify(library)};
     const db = await open(':memory:');
     const sessions = await Promise.all(Array.from({ length: ${count} }, () => db.session()));
     for (const session of sessions) session.execute(${JSON.stringify(sql)}).then((result) => result.toArray()).catch(() => {});
     setTimeout(() => { ${end} }, 300);`,
  );
  const child = spawn(process.execPath, [file], { cwd: bench.folder });
  const limit = setTimeout(() => child.kill('SIGABRT'), 8000);
  return await new Running(child).ended.finally(() => clearTimeout(limit));
}

const endless = 'SELECT count(*) FROM range(100000000000)';

describe('with statements at work the process ends at once', () => {
  test.each([1, 12])('by process.exit, %i of them', async (count) => {
    expect(await program({ sql: endless, count, end: 'process.exit(3)' })).toMatchObject({ code: 3, signal: null });
  });

  test('by an error that nobody caught', async () => {
    const ended = await program({ sql: endless, count: 1, end: "throw new Error('not caught')" });
    expect(ended).toMatchObject({ code: 1, signal: null, stderr: expect.stringContaining('not caught') });
  });

  test('while rows are read that nobody keeps', async () => {
    expect(await program({ sql: 'FROM range(10000000000)', count: 2, end: 'process.exit(3)' })).toMatchObject({ code: 3, signal: null });
  });

  test('while DuckDB waits for a function of ours: it does not wait for ever', async () => {
    const sql = "SELECT count(cron_next('0 2 * * *', now() + INTERVAL (i) SECOND)) FROM range(1000000000) r(i)";
    const { code, signal } = await program({ sql, count: 4, end: 'process.exit(3)' });
    // Ended from outside where a thread was caught in the middle of a call; but not by the limit of this test.
    expect([3, 'SIGKILL']).toContain(code ?? signal);
  });

  test('in the shell, by the second Ctrl-C', async () => {
    const running = bench.start(['-c', "SELECT 'begun'", '-c', endless]);
    await running.says('begun');
    running.child.kill('SIGINT');
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
  });
});
