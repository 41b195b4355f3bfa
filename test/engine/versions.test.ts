import { expect, test } from 'vitest';
import { type ScheduleVersion, Versions, versionKey } from '../../src/engine/versions.ts';
import { systemClock } from '../../src/scheduler/clock.ts';
import type { Schedule } from '../../src/scheduler/schedule.ts';

function newVersions(missing: readonly number[] = []) {
  const asked: string[][] = [];
  let fails = false;
  const versions = new Versions(systemClock, async (wanted: readonly ScheduleVersion[]) => {
    asked.push(wanted.map(versionKey));
    if (fails) throw new Error('the file is away');
    const found = wanted.filter(({ scheduleId }) => !missing.includes(scheduleId));
    return new Map(found.map((each) => [versionKey(each), { name: versionKey(each) } as Schedule]));
  });
  return { versions, asked, fail: (now: boolean) => (fails = now) };
}

test('what runs ask for in the same turn is one question, and what was answered is not asked again', async () => {
  const { versions, asked } = newVersions();
  const ids = [1, 2, 3, 2, 1];
  const found = await Promise.all(ids.map((scheduleId) => versions.of({ scheduleId, version: 7 })));
  expect(found.map((schedule) => schedule?.name)).toEqual(['1.7', '2.7', '3.7', '2.7', '1.7']);
  expect(asked).toEqual([['1.7', '2.7', '3.7']]);
  await Promise.all([versions.of({ scheduleId: 3, version: 7 }), versions.of({ scheduleId: 3, version: 8 })]);
  expect(asked).toEqual([['1.7', '2.7', '3.7'], ['3.8']]);
});

test('what is not there, and what could not be read, is asked for anew', async () => {
  const { versions, asked, fail } = newVersions([4]);
  expect(await versions.of({ scheduleId: 4, version: 1 })).toBeUndefined();
  expect(await versions.of({ scheduleId: 4, version: 1 })).toBeUndefined();
  fail(true);
  await expect(versions.of({ scheduleId: 5, version: 1 })).rejects.toThrow('the file is away');
  fail(false);
  expect((await versions.of({ scheduleId: 5, version: 1 }))?.name).toBe('5.1');
  expect(asked).toEqual([['4.1'], ['4.1'], ['5.1'], ['5.1']]);
});
