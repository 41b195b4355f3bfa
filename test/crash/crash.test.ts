import { expect, test } from 'vitest';
import { crashRounds } from './rounds.ts';

test('a process killed at any moment loses nothing and does nothing twice', { timeout: 240_000 }, async () => {
  const { runs, damage, killer } = await crashRounds({ rounds: 25, schedules: 200, random: Math.random });
  expect(Object.entries(damage).filter(([, count]) => count !== 0)).toEqual([]);
  expect(runs).toBeGreaterThan(1000);
  // The run that kills its process dies with it at most as often as it may be retried, and then it is given up.
  expect(killer).toEqual(['interrupted 1', 'interrupted 2', 'interrupted 3']);
});

test('what a pipeline has committed is done once, step by step or as a whole, and nothing that it kept is left', {
  timeout: 240_000,
}, async () => {
  const { damage } = await crashRounds({ rounds: 15, schedules: 4, pipelines: true, random: Math.random });
  expect(Object.entries(damage).filter(([, count]) => count !== 0)).toEqual([]);
});
