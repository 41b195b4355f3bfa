import { describe, expect, test } from 'vitest';
import { instantsIn as instantsOf, type Period } from '../../src/scheduler/backfill.ts';
import { parseCadence, previous, type Timing } from '../../src/scheduler/cadence/cadence.ts';
import { calendarOf, parseDay } from '../../src/scheduler/cadence/calendar.ts';
import { systemClock } from '../../src/scheduler/clock.ts';

const zone = 'Europe/Berlin';
const timingOf = (sched: string, changed: Partial<Timing> = {}): Timing => ({
  cadences: [parseCadence(sched, { zone })],
  zone,
  dstGap: 'default',
  dstOverlap: 'default',
  onHoliday: 'run',
  jitterMs: 0,
  jitterKey: 'a',
  ...changed,
});
const instantsIn = (timing: Timing, stretch: Period) => instantsOf(timing, stretch, systemClock);
const at = (text: string): number => new Date(text).getTime();
const told = (instants: readonly number[]): string[] => instants.map((instant) => new Date(instant).toISOString().slice(0, 16));
const stretch = (from: string, to: string, most = 1000) => ({ from: at(from), to: at(to), most });

describe('the instants of a stretch of the past', () => {
  test('are those of the schedule’s clock from the first to before the end, oldest first', async () => {
    // Berlin's clocks went back on 25 October.
    expect(told(await instantsIn(timingOf('0 2 * * *'), stretch('2026-10-24T00:00Z', '2026-10-26T01:00Z')))).toEqual([
      '2026-10-24T00:00',
      '2026-10-25T00:00',
    ]);
    expect((await instantsIn(timingOf('0 2 * * *'), stretch('2026-10-26T01:00Z', '2026-10-26T01:00:00.001Z'))).length).toBe(1);
  });

  test('know no jitter, and keep to the window', async () => {
    const timing = timingOf('0 2 * * *', { jitterMs: 36e5, starts: at('2026-10-24T12:00Z') });
    expect(told(await instantsIn(timing, stretch('2026-10-24T00:00Z', '2026-10-26T00:00Z')))).toEqual(['2026-10-25T00:00']);
  });

  test('are looked for as many as are wanted', async () => {
    expect((await instantsIn(timingOf('every 1s'), stretch('2020-01-01T00:00Z', '2026-01-01T00:00Z', 50))).length).toBe(50);
  });

  test('are left out where a calendar refuses them', async () => {
    const calendar = calendarOf([6, 0], [{ day: parseDay('2026-11-19') }]);
    const timing = timingOf('0 12 * * *', { calendar, onHoliday: 'skip' });
    expect(told(await instantsIn(timing, stretch('2026-11-18T00:00Z', '2026-11-24T00:00Z'))).map((text) => text.slice(8, 10))).toEqual([
      '18',
      '20',
      '23',
    ]);
  });

  test('are what the clock would have fired where a calendar moves them, whatever the stretch cuts through', async () => {
    const holidays = Array.from({ length: 30 }, (_, day) => ({ day: parseDay('2026-08-01') + day }));
    const calendar = calendarOf([6, 0], holidays);
    for (const onHoliday of ['next', 'previous'] as const) {
      for (const sched of ['0 12 * * *', '0 9,18 * * 0,3,6', '30 8 1,15 * *']) {
        const timing = timingOf(sched, { calendar, onHoliday });
        const fired: number[] = [];
        for (let fire = previous(timing, at('2026-12-01T00:00Z')); fire !== undefined && fire.due > at('2026-05-01T00:00Z'); ) {
          fired.unshift(fire.nominal);
          fire = previous(timing, fire.due);
        }
        for (let day = at('2026-07-01T00:00Z'); day < at('2026-10-01T00:00Z'); day += 7 * 3_600_000 + 86_400_000) {
          const [from, to] = [day, day + 2.3 * 86_400_000];
          const expected = fired.filter((nominal) => nominal >= from && nominal < to).sort((one, other) => one - other);
          expect(told(await instantsIn(timing, { from, to, most: 1000 }))).toEqual(told(expected));
        }
      }
    }
  });

  test('of what never fires again there are none', async () => {
    const calendar = calendarOf([6, 0], []);
    const timing = timingOf("at '2026-07-04 12:00'", { calendar, onHoliday: 'next' });
    expect(told(await instantsIn(timing, stretch('2026-07-04T00:00Z', '2026-07-05T00:00Z')))).toEqual(['2026-07-04T10:00']);
    expect(await instantsIn(timing, stretch('2026-07-05T00:00Z', '2026-07-08T00:00Z'))).toEqual([]);
  });
});
