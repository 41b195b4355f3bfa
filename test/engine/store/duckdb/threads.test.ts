// Who gets DuckDB's own threads: decided over time on a clock by hand, and seen on a real database.

import { setTimeout as passed } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { type NativeDatabase, openNative } from '../../../../src/engine/store/duckdb/native.ts';
import { Threads } from '../../../../src/engine/store/duckdb/threads.ts';
import { systemClock } from '../../../../src/scheduler/clock.ts';
import { VirtualClock } from '../../../../src/scheduler/simulation/virtualClock.ts';

let database: NativeDatabase | undefined;
afterEach(() => database?.close());

async function fourThreads({ share = 1 } = {}): Promise<{ threads: Threads; clock: VirtualClock; changes: number[] }> {
  const clock = new VirtualClock({ startAt: 0 });
  const changes: number[] = [];
  // One core computes all the time, unless it is said otherwise.
  const cpuMs = (): number => clock.monotonicMs() * share;
  const threads = new Threads({ clock, cpuMs, count: async () => 4, setExternal: async (count) => changes.push(count) });
  return { threads, clock, changes };
}

test('DuckDB has no threads of its own while all statements are small', async () => {
  const { threads, clock, changes } = await fourThreads();
  for (let round = 0; round < 100; round += 1) {
    const ended = threads.begin();
    await clock.advance(3);
    ended();
    await clock.advance(1);
  }
  expect(changes).toEqual([]);
});

test('a statement that has been at work for a moment gets them, and they go when nothing needs them any more', async () => {
  const { threads, clock, changes } = await fourThreads();
  const ended = threads.begin();
  await clock.advance(14);
  expect(changes).toEqual([]);
  await clock.advance(1);
  expect(changes).toEqual([1]);
  await clock.advance(10_000);
  expect(changes).toEqual([1]);
  ended();
  await clock.advance(600);
  expect(changes).toEqual([1, 4]);
  expect(clock.nextTimerMs).toBe(Number.POSITIVE_INFINITY);
});

test('a statement that waits, for the disk or for a busy machine, does not get them', async () => {
  const { threads, clock, changes } = await fourThreads({ share: 0.001 });
  const ended = threads.begin();
  await clock.advance(5_000);
  ended();
  expect(changes).toEqual([]);
});

test('they do not come and go between long statements that follow each other', async () => {
  const { threads, clock, changes } = await fourThreads();
  for (let round = 0; round < 50; round += 1) {
    const ended = threads.begin();
    await clock.advance(40);
    ended();
    await clock.advance(40);
  }
  expect(changes).toEqual([1]);
});

test('a query that goes on has all threads that the database was given, and whoever sets their number sees what DuckDB has', async () => {
  database = await openNative(':memory:', { clock: systemClock, settings: { threads: '3' } });
  const connection = await database.connect();
  const external = async (): Promise<number> => {
    const { chunks } = await connection.all("SELECT current_setting('external_threads')");
    return Number(chunks[0]?.getRows()[0]?.[0]);
  };
  expect(await external()).toBe(3);
  const other = await database.connect();
  const endless = expect(other.all('SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)')).rejects.toThrow();
  while ((await external()) !== 1) await passed(1);
  await other.interrupt();
  await endless;
  while ((await external()) !== 3) await passed(10);
  await connection.query('SET threads = 1');
  expect(await external()).toBe(1);
  await connection.query('SET threads = 4');
  while ((await external()) !== 4) await passed(10);
});
