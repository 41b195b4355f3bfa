import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../../src/scheduler/simulation/virtualClock.ts';

const startAt = Date.UTC(2026, 10, 20, 12);

describe('the virtual clock', () => {
  test('fires timers in the order of their times, each at its own time', async () => {
    const clock = new VirtualClock({ startAt });
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name} ${clock.now() - startAt}`);
    clock.after(30, note('c'));
    clock.after(10, note('a'));
    clock.after(10, note('b'));
    clock.after(31, note('too late'));
    await clock.advance(30);
    expect(fired).toEqual(['a 10', 'b 10', 'c 30']);
    expect(clock.now() - startAt).toBe(30);
  });

  test('fires hundreds of timers in order, whatever the order they were set and cancelled in', async () => {
    const clock = new VirtualClock({ startAt });
    const fired: number[] = [];
    let state = 1;
    const timers = Array.from({ length: 500 }, () => {
      state = (state * 48271) % 2147483647;
      const ms = state % 97;
      return { ms, timer: clock.after(ms, () => fired.push(ms)) };
    });
    for (const [index, { timer }] of timers.entries()) if (index % 3 === 0) timer.cancel();
    await clock.advance(100);
    expect(fired).toEqual(timers.flatMap(({ ms }, index) => (index % 3 === 0 ? [] : [ms])).sort((one, other) => one - other));
  });

  test('lets all promises settle before the next timer, however long their chain', async () => {
    const clock = new VirtualClock({ startAt });
    const order: string[] = [];
    const chain = async (): Promise<void> => {
      for (let step = 0; step < 5000; step++) await null;
      for (let turn = 0; turn < 3; turn++) await clock.yieldTurn();
      order.push('chain');
    };
    clock.after(1, () => void chain());
    clock.after(2, () => order.push('timer'));
    await clock.advance(2);
    expect(order).toEqual(['chain', 'timer']);
  });

  test('fires a timer that a timer sets, in the same time', async () => {
    const clock = new VirtualClock({ startAt });
    let woken = Number.NaN;
    const sleep = async (): Promise<void> => {
      await clock.sleep(5);
      woken = clock.now() - startAt;
    };
    clock.after(5, () => void sleep());
    await clock.advance(10);
    expect(woken).toBe(10);
  });

  test('a jump moves the wall’s time both ways and no timer', async () => {
    const clock = new VirtualClock({ startAt });
    let firedAt = Number.NaN;
    clock.after(1000, () => {
      firedAt = clock.monotonicMs();
    });
    clock.jump(3_600_000);
    expect(clock.now() - startAt).toBe(3_600_000);
    clock.jump(-7_200_000);
    await clock.advance(999);
    expect(firedAt).toBeNaN();
    await clock.advance(1);
    expect(firedAt).toBe(1000);
    expect(clock.now() - startAt).toBe(1000 - 3_600_000);
  });

  test('a cancelled timer does not fire, and cancelling twice or afterwards does no harm', async () => {
    const clock = new VirtualClock({ startAt });
    let fired = 0;
    const count = () => {
      fired += 1;
    };
    const cancelled = clock.after(1, count);
    const kept = clock.after(1, count);
    cancelled.cancel();
    cancelled.cancel();
    expect(clock.nextTimerMs).toBe(1);
    await clock.advance(1);
    kept.cancel();
    expect(fired).toBe(1);
    expect(clock.nextTimerMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('runs until something holds, and says when it did not come to hold', async () => {
    const clock = new VirtualClock({ startAt });
    let ticks = 0;
    const tick = () => {
      ticks += 1;
      clock.after(10, tick);
    };
    clock.after(10, tick);
    expect(await clock.runUntil(() => ticks === 3, { withinMs: 1000 })).toBe(true);
    expect(clock.monotonicMs()).toBe(30);
    expect(await clock.runUntil(() => ticks === 1000, { withinMs: 100 })).toBe(false);
    expect(clock.monotonicMs()).toBe(130);
  });
});
