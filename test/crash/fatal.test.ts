// DuckDB's instance ends again and again while schedules run, by an error that has nothing to do with them.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { damageOf, Host, schedules } from './host.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-stops-'));
const path = join(folder, 'my.duckdb');
const host = new Host(path);
afterAll(() => {
  if (host.process.exitCode === null) host.process.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

test('DuckDB that stops in the middle of load is opened again each time: nothing is lost and nothing done twice', {
  timeout: 60_000,
}, async () => {
  await host.define();
  for (let strike = 0; strike < 4; strike += 1) {
    await host.beats(Math.floor(schedules * Math.random()));
    // A mistake in DuckDB 1.5.6.
    await host.send('PREPARE deadly AS SELECT typeof($1), $1::VARCHAR');
    expect(await host.send("EXECUTE deadly('x')")).toMatchObject({ code: 'fatal' });
  }
  await host.beats(schedules);
  await host.end();
  expect(await damageOf(path)).toEqual([]);
});
