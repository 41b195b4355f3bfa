import { describe, expect } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';
import { Recovery } from '../../src/engine/recovery.ts';
import { systemClock } from '../../src/scheduler/clock.ts';
import { test } from '../support/database.ts';

const locked = () => new Diagnostic('file_locked', 'another process has it', { hint: 'end that one' });

/** Answers in turn; a failure is thrown. Time passes at once and is written down. */
const recoveryOf = (...answers: readonly (Diagnostic | 'opened')[]) => recoveryWith({ inMemory: false }, answers);
const recoveryWith = ({ inMemory }: { inMemory: boolean }, answers: readonly (Diagnostic | 'opened')[]) => {
  const left = [...answers];
  const seen = { tries: 0, pausesMs: [] as number[], lost: [] as Diagnostic[] };
  const recovery = new Recovery({
    reopen: async () => {
      seen.tries += 1;
      const answer = left.shift() ?? 'opened';
      if (answer !== 'opened') throw answer;
    },
    inMemory,
    clock: {
      ...systemClock,
      sleep: async (ms) => {
        seen.pausesMs.push(ms);
      },
    },
  });
  recovery.onLost((reason) => seen.lost.push(reason));
  return { recovery, seen };
};

describe('opening a database again', () => {
  test('happens once for all who ask meanwhile', async () => {
    const { recovery, seen } = recoveryOf();
    await Promise.all([recovery.recover(), recovery.recover(), recovery.recover()]);
    expect(seen.tries).toBe(1);
    await recovery.recover();
    expect(seen.tries).toBe(2);
  });

  test('is tried three times, later each time, and nobody is alarmed if one succeeds', async () => {
    const { recovery, seen } = recoveryOf(locked(), new Diagnostic('fatal', 'stopped again'), 'opened');
    await recovery.recover();
    expect(seen).toEqual({ tries: 3, pausesMs: [200, 1000], lost: [] });
  });

  test('is given up after three tries: the host hears why, everybody hears fatal, and who asks later tries again', async () => {
    const { recovery, seen } = recoveryOf(locked(), locked(), locked(), 'opened');
    const expected = {
      code: 'fatal',
      message: 'The database has stopped, and its file cannot be opened again: another process has it',
      hint: 'end that one',
    };
    const both = await Promise.allSettled([recovery.recover(), recovery.recover()]);
    for (const settled of both) expect(settled).toMatchObject({ status: 'rejected', reason: expected });
    expect(seen.lost).toMatchObject([expected]);
    expect(seen.tries).toBe(3);
    await recovery.recover();
    expect(seen.tries).toBe(4);
  });

  test('is not tried twice where the data was in memory only', async () => {
    const inMemory = new Diagnostic('fatal', 'The database has stopped', { hint: 'what is in memory only is lost' });
    const { recovery, seen } = recoveryWith({ inMemory: true }, [inMemory]);
    await expect(recovery.recover()).rejects.toBe(inMemory);
    expect(seen).toEqual({ tries: 1, pausesMs: [], lost: [inMemory] });
  });

  test('ends quietly when the database is closed meanwhile', async () => {
    const closed = new Diagnostic('closed', 'The database is closed.');
    const { recovery, seen } = recoveryOf(locked(), closed);
    await expect(recovery.recover()).rejects.toBe(closed);
    expect(seen.lost).toEqual([]);
  });

  test('tells nobody who has stopped listening', async () => {
    const { recovery, seen } = recoveryWith({ inMemory: true }, [new Diagnostic('fatal', 'lost')]);
    const off = recovery.onLost(() => expect.unreachable());
    off();
    await expect(recovery.recover()).rejects.toMatchObject({ message: 'lost' });
    expect(seen.lost).toHaveLength(1);
  });
});

describe('sessions, when the database is opened again', () => {
  test('statements at work or waiting for their turn hear why, and not that they were cancelled or a connection closed', async ({ db }) => {
    const sessions = await Promise.all(Array.from({ length: 12 }, () => db.newSession()));
    const long = 'CREATE TEMP TABLE counted AS SELECT count(*) FROM range(3000000000) t(i) WHERE i * i % 7 = 3';
    const settled = Promise.allSettled(sessions.map((session) => session.execute(long)));
    await expect.poll(() => db.engine.admission.waiting('session')).toBeGreaterThan(0);
    const native = await db.engine.database.connect();
    await expect(native.query('SELECT typeof($1), $1::VARCHAR', [{ value: 'x' }])).rejects.toMatchObject({ code: 'fatal' });
    await db.engine.recover();
    const heard = { code: 'fatal', message: expect.stringContaining('has stopped after an error inside DuckDB') };
    for (const each of await settled) expect(each).toMatchObject({ status: 'rejected', reason: heard });
    expect(await Promise.all(sessions.map(async (session) => (await session.execute('SELECT 1')).toArray()))).toEqual(
      sessions.map(() => [[1]]),
    );
  });
});
