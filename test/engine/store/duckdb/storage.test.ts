import { existsSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, describe, expect } from 'vitest';
import { Diagnostic } from '../../../../src/core/diagnostic.ts';
import { type Engine, openEngine } from '../../../../src/engine/engine.ts';
import type { Session } from '../../../../src/engine/session.ts';
import { StorageWatch } from '../../../../src/engine/store/duckdb/storage.ts';
import { systemClock } from '../../../../src/scheduler/clock.ts';
import { test } from '../../../support/database.ts';
import { canMount, mountSmallDisk } from '../../../support/smallDisk.ts';

const mebibyte = 1024 * 1024;

describe('the room on the disk', () => {
  test('is told with the size of the log, and asking keeps the lock', async ({ db }) => {
    await db.run('CREATE TABLE t AS FROM range(1000)');
    const { bavail, bsize } = statfsSync(db.folder);
    const storage = await db.engine.storage.look();
    expect(storage?.walBytes).toBe(statSync(`${db.path}.wal`).size);
    expect(storage?.walBytes).toBeGreaterThan(0);
    expect(Math.abs((storage?.freeBytes ?? 0) - bavail * bsize)).toBeLessThan(1024 * mebibyte);
    expect(db.engine.database.holdsLock()).not.toBe(false);
    await db.run('CHECKPOINT');
    expect((await db.engine.storage.look())?.walBytes).toBe(0);
  });

  base('is nobody’s business in memory, and unknown where the folder is gone', async () => {
    const looked = (path: string) => new StorageWatch({ path, holdCheckpoints: async () => {} }, systemClock).look();
    expect(await looked(':memory:')).toBeUndefined();
    expect(await looked(join(tmpdir(), 'cuckoo-no-such-folder', 'my.duckdb'))).toBeUndefined();
  });
});

const full = base.extend<{ engine: Engine; session: Session }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the first parameter as a pattern of fixtures.
  engine: async ({}, use) => {
    const engine = await openEngine(join(mountSmallDisk(40), 'full.duckdb'), { settings: { wal_autocheckpoint: '2MB' } });
    await use(engine);
    await engine.close();
  },
  session: async ({ engine }, use) => {
    const session = await engine.session({ actor: 'tester', admin: true });
    await session.execute('CREATE TABLE t (batch BIGINT, text VARCHAR)');
    await use(session);
    await session.close();
  },
});

const counts = async (session: Session) =>
  new Map(
    (await (await session.execute('SELECT batch, count(*) FROM t GROUP BY batch')).toArray()).map(([batch, n]) => [
      Number(batch),
      Number(n),
    ]),
  );
const batchOf = (batch: number) =>
  `INSERT INTO t SELECT ${batch}, hash(range + ${batch * 7})::VARCHAR || hash(range)::VARCHAR FROM range(5000)`;
const ballastOf = (engine: Engine) => join(engine.path, '..', 'ballast');

/** Batches, each in a transaction of its own, until one fails: how it failed, and those that were committed before. */
const fill = async (session: Session) => {
  for (let batch = 0; batch < 400; batch += 1) {
    await session.execute('BEGIN');
    try {
      await session.execute(batchOf(batch));
      await session.execute('COMMIT');
    } catch (error) {
      if (error instanceof Diagnostic) return { batch, failure: error };
      throw error;
    }
  }
  return expect.unreachable('the disk took everything');
};

// Only root may mount a small disk.
describe.skipIf(!canMount)('a disk that is full', () => {
  full(
    'at COMMIT: whether it took effect is not known; what was committed before is there whole, and what was not is not',
    async ({ engine, session }) => {
      writeFileSync(ballastOf(engine), Buffer.alloc(30 * mebibyte));
      const { batch, failure } = await fill(session);
      expect(failure.code).toBe('fatal');
      expect(failure.hint).toBe(
        'Whether this COMMIT took effect is not known: look before you run it again. What was committed is in the file, which the next statement opens again. Temporary tables and settings of this session are gone.',
      );
      expect(session.transaction).toBe('none');
      const there = await counts(session);
      for (let before = 0; before < batch; before += 1) expect([before, there.get(before)]).toEqual([before, 5000]);
      expect([undefined, 5000]).toContain(there.get(batch));
      expect([...there.keys()].every((found) => found <= batch)).toBe(true);
    },
  );

  full('stops the database once; from then on what has no room fails alone, until there is room', async ({ engine, session }) => {
    writeFileSync(ballastOf(engine), Buffer.alloc(30 * mebibyte));
    let fatals = 0;
    engine.database.onFatal(() => {
      fatals += 1;
    });
    await fill(session);
    expect(fatals).toBe(1);
    const refused = await fill(session);
    expect([refused.failure.code, session.transaction]).toEqual(['disk_full', 'none']);
    await session.execute("INSERT INTO t VALUES (-1, 'small')");
    expect(fatals).toBe(1);
    rmSync(ballastOf(engine));
    // 40 MB are less than the 64 that are wanted, so checkpoints stay put off; a person may still ask for one.
    for (let batch = 0; batch < 20; batch += 1) await session.execute(batchOf(1000 + batch));
    expect((await engine.storage.look())?.walBytes).toBeGreaterThan(3 * mebibyte);
    await session.execute('CHECKPOINT');
    expect(existsSync(`${engine.path}.wal`)).toBe(false);
    const there = await counts(session);
    expect([there.get(-1), there.get(1019)]).toEqual([1, 5000]);
    expect(fatals).toBe(1);
  });
});

describe('checkpoints', () => {
  const watchOf = (free: { bytes: number }) => {
    const held: boolean[] = [];
    const due: (() => void)[] = [];
    const clock = {
      ...systemClock,
      after: (_ms: number, callback: () => void) => {
        due.push(callback);
        return { cancel: () => due.splice(0) };
      },
    };
    const database = {
      path: '/',
      holdCheckpoints: async (hold: boolean) => {
        held.push(hold);
      },
    };
    return { held, due, watch: new StorageWatch(database, clock, async () => ({ freeBytes: free.bytes, walBytes: 40 * mebibyte })) };
  };

  base('are put off while there is less room than twice the log, and come back by themselves', async () => {
    const free = { bytes: 79 * mebibyte };
    const { held, due, watch } = watchOf(free);
    await watch.look();
    expect([held, due.length]).toEqual([[true], 1]);
    free.bytes = 80 * mebibyte;
    due.shift()?.();
    await expect.poll(() => held).toEqual([true, false]);
    expect(due).toEqual([]);
  });

  base('are nobody’s any more when the watch has stopped', async () => {
    const { held, due, watch } = watchOf({ bytes: 0 });
    await watch.look();
    watch.stop();
    watch.stop();
    await watch.look();
    expect([held, due]).toEqual([[true], []]);
  });
});
