import { describe, expect, test } from 'vitest';
import { Courtesy, type CourtesyParts } from '../../../src/daemon/http/courtesy.ts';
import { Events } from '../../../src/scheduler/events.ts';
import { VirtualClock } from '../../../src/scheduler/simulation/virtualClock.ts';

function made(share: number) {
  const clock = new VirtualClock({ startAt: 0 });
  const events = new Events();
  const parts: CourtesyParts = { events, clock, usedMs: () => clock.monotonicMs() * 2 * share, cores: 2 };
  const courtesy = new Courtesy(parts);
  const waited = async (mostMs: number): Promise<number> => {
    const before = clock.monotonicMs();
    let isOver = false;
    const way = courtesy.giveWay(mostMs).then(() => {
      isOver = true;
    });
    await clock.runUntil(() => isOver, { withinMs: 60_000 });
    await way;
    return clock.monotonicMs() - before;
  };
  const late = (lagMs: number) => events.emit('tick:done', { tick: {} as never, opened: 1, skipped: 0, lagMs });
  return { clock, courtesy, waited, late };
}

describe('whoever asks', () => {
  test('waits while runs begin late in a process that is busy, and no longer than he was told', async () => {
    const { clock, waited, late } = made(0.8);
    await clock.advance(150);
    late(100);
    expect(await waited(200)).toBeGreaterThanOrEqual(200);
    expect(await waited(10_000)).toBeLessThan(500);
    expect(await waited(10_000)).toBeLessThan(10);
  });

  test('waits for nothing while the scheduler keeps its time, or has it taken by others', async () => {
    const inTime = made(0.8);
    await inTime.clock.advance(150);
    inTime.late(3);
    expect(await inTime.waited(200)).toBeLessThan(10);
    const idle = made(0.1);
    await idle.clock.advance(150);
    idle.late(5000);
    expect(await idle.waited(200)).toBeLessThan(10);
  });
});
