import { expect, test } from 'vitest';
import { systemClock } from '../../src/scheduler/clock.ts';
import { UsualTimes } from '../../src/scheduler/usualTimes.ts';

const { signal } = new AbortController();

/** History that counts how often it is asked. */
function history(medians: Readonly<Record<number, number>>) {
  const asked: (readonly number[])[] = [];
  const clock = { ...systemClock, elapsedMs: 0, monotonicMs: () => clock.elapsedMs };
  const usual = new UsualTimes(async (ids) => {
    asked.push(ids);
    return new Map(ids.flatMap((id) => (medians[id] === undefined ? [] : [[id, medians[id]] as const])));
  }, clock);
  return { asked, clock, usual };
}

test('where all runs are short, history is never asked', async () => {
  const { asked, usual } = history({ 1: 3 });
  expect(usual.of(1, 4999)).toBeNull();
  expect(usual.of(null, 60_000)).toBeNull();
  await usual.refresh(signal);
  expect(asked).toEqual([]);
});

test('a long run asks once, and what is known is known for ten minutes', async () => {
  const { asked, clock, usual } = history({ 1: 8000 });
  expect(usual.of(1, 6000)).toBeNull();
  expect(usual.of(2, 6000)).toBeNull();
  await usual.refresh(signal);
  expect(asked).toEqual([[1, 2]]);
  expect(usual.of(1, 7000)).toBe(8000);
  // Of 2 it is known that nothing is known.
  expect(usual.of(2, 7000)).toBeNull();
  await usual.refresh(signal);
  expect(asked).toHaveLength(1);
  clock.elapsedMs = 600_001;
  expect(usual.of(1, 8000)).toBe(8000);
  await usual.refresh(signal);
  expect(asked).toEqual([[1, 2], [1]]);
});

test('what could not be read is asked for again', async () => {
  let fails = true;
  const usual = new UsualTimes(async () => {
    if (fails) throw new Error('busy');
    return new Map([[1, 8000]]);
  }, systemClock);
  usual.of(1, 6000);
  await expect(usual.refresh(signal)).rejects.toThrow('busy');
  fails = false;
  usual.of(1, 6000);
  await usual.refresh(signal);
  expect(usual.of(1, 6000)).toBe(8000);
});
