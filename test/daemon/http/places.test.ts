import { expect, test } from 'vitest';
import { Places } from '../../../src/daemon/http/places.ts';
import { Refusal } from '../../../src/daemon/http/problem.ts';
import { VirtualClock } from '../../../src/scheduler/simulation/virtualClock.ts';

const tookMs = 100;

test('a line is as long as what is waited for, and whoever is sent away comes again the later the more are', async () => {
  const clock = new VirtualClock({ startAt: 0 });
  const places = new Places({ most: 1, clock, longestWaitMs: 500 });
  let served = 0;
  const waits: number[] = [];
  const refused: number[] = [];
  const come = async (): Promise<void> => {
    const cameMs = clock.monotonicMs();
    try {
      await places.use(async () => {
        waits.push(clock.monotonicMs() - cameMs);
        await clock.sleep(tookMs);
        served += 1;
      });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      expect(error.status).toBe(429);
      refused.push(Number(error.headers['Retry-After']));
    }
  };
  // How long they take is learned from the first ones.
  for (let at = 0; at < 20; at++) {
    void come();
    await clock.advance(tookMs);
  }
  const crowd: Promise<void>[] = [];
  for (let at = 0; at < 600; at++) {
    crowd.push(come());
    await clock.advance(5);
  }
  await clock.advance(5000);
  await Promise.all(crowd);
  expect(served + refused.length).toBe(620);
  expect(served).toBeGreaterThanOrEqual(50);
  expect(Math.max(...waits)).toBeLessThanOrEqual(700);
  expect(refused[0]).toBe(1);
  expect(refused.at(-1)).toBe(10);
});

test('where nobody may wait, whoever finds no place is sent away', async () => {
  const clock = new VirtualClock({ startAt: 0 });
  const places = new Places({ most: 1, clock, longestWaitMs: 0 });
  const first = places.use(() => clock.sleep(tookMs));
  await expect(places.use(async () => 1)).rejects.toBeInstanceOf(Refusal);
  await clock.advance(tookMs);
  await first;
  expect(await places.use(async () => 2)).toBe(2);
});
