import { expect, test } from 'vitest';
import { type Held, leaks } from './leaks.ts';

// `npm run test:leaks` shows the numbers.
test('ten thousand runs of every kind leave no process, thread, descriptor, temporary file or work table behind, and memory flat', {
  timeout: 1_800_000,
}, async () => {
  const { states, warm, parts, empty, closed, leftFiles } = await leaks({ runs: 10_000 });
  expect(Object.values(states).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(9_900);
  for (const kind of Object.keys(states)) expect(kind).toMatch(/^(?:fails failed|(?!fails)\w+ succeeded)$/);
  // Threads of handlers are kept for a while, one more or less, each with four descriptors.
  const [first, ...later] = parts;
  const most = (of: (held: Held) => number): number => Math.max(of(warm), first === undefined ? 0 : of(first));
  for (const part of later) {
    expect(part.descriptors).toBeLessThanOrEqual(most((held) => held.descriptors) + 4);
    expect(part.threads).toBeLessThanOrEqual(most((held) => held.threads) + 1);
    expect(part.children).toBeLessThanOrEqual(most((held) => held.children));
  }
  for (const part of [warm, ...parts]) expect(part).toMatchObject({ temporary: 0, tables: 0, open: 0 });
  // The heap breathes, and DuckDB keeps what it has read; what leaks grows with each part.
  expect((parts[2]?.rssMb ?? 0) - (first?.rssMb ?? 0)).toBeLessThan(60);
  expect(closed).toMatchObject({ children: 0, temporary: 0 });
  expect(closed.descriptors).toBeLessThanOrEqual(empty.descriptors + 1);
  expect(closed.threads).toBeLessThanOrEqual(empty.threads);
  expect(leftFiles).toEqual([]);
});
