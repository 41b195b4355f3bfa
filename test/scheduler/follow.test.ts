import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Followers, type Joined } from '../../src/scheduler/follow.ts';
import type { Token } from '../../src/scheduler/ports.ts';
import type { ClosedState } from '../../src/scheduler/run.ts';
import type { AfterState } from '../../src/scheduler/schedule.ts';
import { plainDefinition, plainToken } from '../support/plain.ts';

/** A small world of schedules: names in place of ids, small numbers in place of instants. */
class World {
  readonly followers = new Followers();
  readonly #ids = new Map<string, number>();
  #tokens = 0;

  id(name: string): number {
    const id = this.#ids.get(name) ?? this.#ids.size + 1;
    this.#ids.set(name, id);
    return id;
  }

  define(name: string, after: readonly string[] = [], options: { afterState?: AfterState; enabled?: boolean; id?: number } = {}) {
    const { afterState = 'success', enabled = true, id: scheduleId = this.id(name) } = options;
    return this.followers.define(plainDefinition({ scheduleId, name, enabled }, { after, afterState }));
  }

  token(parent: string, child: string, scheduledAt: number, state: ClosedState = 'succeeded'): Token {
    const number = ++this.#tokens;
    return plainToken(`${parent}@${scheduledAt}${state === 'succeeded' ? '' : ` ${state}`}#${number}`, {
      childId: this.id(child),
      parentId: this.id(parent),
      runId: `${parent}@${scheduledAt}`,
      rootRunId: `root of ${parent}@${scheduledAt}`,
      state,
      scheduledAt,
    });
  }

  /** What the loop does when a parent has closed: tokens for its children. */
  close(parent: string, scheduledAt: number, state: ClosedState = 'succeeded'): void {
    for (const childId of this.followers.childrenOf(this.id(parent))) {
      const child = [...this.#ids].find(([, id]) => id === childId)?.[0] ?? '';
      expect(this.followers.add(this.token(parent, child, scheduledAt, state))).toBe(true);
    }
  }

  /** What stands for the child, as a history would show it, used up. */
  history(child: string): unknown[] {
    const rows: unknown[] = [];
    for (const joined of this.taken(child)) {
      const { superseded, decision } = joined;
      if (superseded !== undefined) {
        rows.push({ skipped: superseded.scheduledAt, since: superseded.firstScheduledAt, fires: superseded.fires, why: superseded.reason });
      }
      if (decision?.kind === 'open') rows.push({ opened: decision.scheduledAt, by: decision.parentRunId });
      if (decision?.kind === 'skip') rows.push({ skipped: decision.scheduledAt, by: decision.parentRunId, why: decision.reason });
    }
    return rows;
  }

  taken(child: string): Joined[] {
    const all: Joined[] = [];
    const childId = this.id(child);
    for (let joined = this.followers.joined(childId); joined !== undefined; joined = this.followers.joined(childId)) {
      all.push(joined);
      this.followers.use(joined);
    }
    return all;
  }
}

describe('a schedule that follows one other', () => {
  test('opens for each run of its parent, with that run as its parent and the same nominal time', () => {
    const world = new World();
    world.define('extract');
    world.define('load', ['Extract']);
    world.close('extract', 10);
    expect(world.followers.joined(world.id('load'))).toMatchObject({
      superseded: undefined,
      decision: { kind: 'open', scheduledAt: 10, parentRunId: 'extract@10', rootRunId: 'root of extract@10' },
    });
    world.close('extract', 20);
    world.close('extract', 15);
    expect(world.history('load')).toEqual([
      { opened: 10, by: 'extract@10' },
      { opened: 20, by: 'extract@20' },
      { opened: 15, by: 'extract@15' },
    ]);
    expect(world.followers.joined(world.id('load'))).toBeUndefined();
  });

  const taking: Record<AfterState, readonly ClosedState[]> = {
    success: ['succeeded'],
    failure: ['failed', 'timed_out', 'interrupted'],
    any: ['succeeded', 'failed', 'timed_out', 'interrupted', 'cancelled'],
  };
  const states: readonly ClosedState[] = ['succeeded', 'failed', 'timed_out', 'interrupted', 'cancelled', 'skipped'];
  for (const [afterState, taken] of Object.entries(taking) as [AfterState, readonly ClosedState[]][]) {
    test(`with after_state: ${afterState} opens after ${taken.join(', ')} and is skipped after all else`, () => {
      const world = new World();
      world.define('extract');
      world.define('load', ['extract'], { afterState });
      const opened = states.filter((state) => {
        world.close('extract', 10, state);
        const [joined] = world.taken('load');
        return joined?.decision?.kind === 'open';
      });
      expect([...opened].sort()).toEqual([...taken].sort());
    });
  }

  test('is skipped with the name of the parent, what became of it, and what the edge takes', () => {
    const world = new World();
    world.define('extract');
    world.define('load', ['Extract']);
    world.define('alarm', ['extract'], { afterState: 'failure' });
    world.close('extract', 10, 'failed');
    world.close('extract', 20, 'timed_out');
    world.close('extract', 30, 'skipped');
    world.close('extract', 40);
    expect(world.history('load')).toEqual([
      { skipped: 10, by: 'extract@10', why: 'after: parent Extract failed; the edge takes success' },
      { skipped: 20, by: 'extract@20', why: 'after: parent Extract timed out; the edge takes success' },
      { skipped: 30, by: 'extract@30', why: 'after: parent Extract was skipped; the edge takes success' },
      { opened: 40, by: 'extract@40' },
    ]);
    expect(world.history('alarm').slice(2)).toEqual([
      { skipped: 30, by: 'extract@30', why: 'after: parent extract was skipped; the edge takes failure' },
      { skipped: 40, by: 'extract@40', why: 'after: parent extract succeeded; the edge takes failure' },
    ]);
  });

  test('named twice is one edge', () => {
    const world = new World();
    world.define('extract');
    world.define('load', ['extract', 'EXTRACT']);
    world.close('extract', 10);
    expect(world.history('load')).toEqual([{ opened: 10, by: 'extract@10' }]);
  });
});

describe('a schedule that follows several others', () => {
  const joining = (afterState: AfterState = 'success'): World => {
    const world = new World();
    for (const parent of ['a', 'b', 'c']) world.define(parent);
    world.define('child', ['a', 'b', 'c'], { afterState });
    return world;
  };

  test('waits for the last of them, and its parent is the first named of those with the newest time', () => {
    const world = joining();
    world.close('c', 10);
    world.close('b', 10);
    expect(world.history('child')).toEqual([]);
    world.close('a', 10);
    expect(world.history('child')).toEqual([{ opened: 10, by: 'a@10' }]);
  });

  test('takes the newest nominal time that all have; what is newer waits, what is older is one superseded row', () => {
    const world = joining();
    for (const time of [10, 20, 30, 40]) world.close('a', time);
    for (const time of [20, 30]) world.close('b', time);
    world.close('c', 30);
    expect(world.history('child')).toEqual([
      { skipped: 20, since: 10, fires: 2, why: 'superseded: a and b have run again since' },
      { opened: 30, by: 'a@30' },
    ]);
    world.close('b', 40);
    world.close('c', 40);
    expect(world.history('child')).toEqual([{ opened: 40, by: 'a@40' }]);
  });

  test('takes the newest of each where no time is common, and opens with the latest of them', () => {
    const world = joining();
    world.close('a', 10);
    world.close('a', 11);
    world.close('b', 25);
    world.close('c', 17);
    const [joined] = world.taken('child');
    expect(joined?.decision).toEqual({ kind: 'open', scheduledAt: 25, parentRunId: 'b@25', rootRunId: 'root of b@25' });
    expect(joined?.superseded).toMatchObject({
      scheduledAt: 10,
      firstScheduledAt: 10,
      fires: 1,
      reason: 'superseded: a has run again since',
    });
    expect(joined?.usedTokenIds).toHaveLength(4);
  });

  test('is skipped when one of them is not what the edge takes, with the time of all and the run of that one', () => {
    const world = joining();
    world.close('a', 10);
    world.close('b', 5, 'failed');
    world.close('c', 7, 'cancelled');
    expect(world.history('child')).toEqual([{ skipped: 10, by: 'b@5', why: 'after: parent b failed; the edge takes success' }]);
  });

  test('counts the last close of a nominal time that was run again', () => {
    const world = joining();
    world.close('a', 10, 'failed');
    world.close('a', 10, 'succeeded');
    world.close('b', 10);
    world.close('c', 10);
    const [joined] = world.taken('child');
    expect(joined).toMatchObject({ superseded: undefined, decision: { kind: 'open', scheduledAt: 10 } });
    expect(joined?.usedTokenIds).toHaveLength(4);
  });

  test('sorts late closes into their nominal time', () => {
    const world = joining();
    for (const time of [30, 10, 20]) world.close('a', time);
    world.close('b', 20);
    world.close('c', 20);
    expect(world.history('child')).toEqual([
      { skipped: 10, since: 10, fires: 1, why: 'superseded: a has run again since' },
      { opened: 20, by: 'a@20' },
    ]);
    world.close('b', 30);
    world.close('c', 30);
    expect(world.history('child')).toEqual([{ opened: 30, by: 'a@30' }]);
  });

  test('keeps at most 1,000 tokens where one parent runs and another does not: the older half gives way in one row', () => {
    const world = joining();
    for (let time = 1; time <= 1000; time++) world.close('a', time);
    expect(world.followers.joined(world.id('child'))).toBeUndefined();
    world.close('a', 1001);
    const [joined] = world.taken('child');
    expect(joined?.decision).toBeUndefined();
    expect(joined?.usedTokenIds).toHaveLength(501);
    expect(joined?.superseded).toMatchObject({
      scheduledAt: 501,
      firstScheduledAt: 1,
      fires: 501,
      parentRunId: 'a@501',
      reason: 'superseded: more than 1,000 runs of a waited for b and c',
    });
    world.close('b', 1001);
    world.close('c', 1001);
    expect(world.history('child')).toEqual([
      { skipped: 1000, since: 502, fires: 499, why: 'superseded: a has run again since' },
      { opened: 1001, by: 'a@1001' },
    ]);
  });
});

describe('a decision', () => {
  test('stands, the same one, until it is used; only then comes the next', () => {
    const world = new World();
    world.define('a');
    world.define('b', ['a']);
    world.close('a', 10);
    const first = world.followers.joined(world.id('b'));
    world.close('a', 20);
    expect(world.followers.joined(world.id('b'))).toBe(first);
    expect(world.followers.ready()).toEqual([world.id('b')]);
    world.followers.use(first!);
    world.followers.use(first!);
    expect(world.followers.joined(world.id('b'))).toMatchObject({ decision: { scheduledAt: 20 } });
  });

  test('is the same after a restart at any moment, and no token is used twice or lost', () => {
    const close = fc.record({
      parent: fc.constantFrom('a', 'b', 'c'),
      time: fc.integer({ min: 1, max: 8 }),
      state: fc.constantFrom<ClosedState>('succeeded', 'failed', 'skipped'),
    });
    fc.assert(
      fc.property(
        fc.array(close, { maxLength: 40 }),
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 1, max: 3 }),
        (closes, cut, parents) => {
          const begin = (): World => {
            const world = new World();
            for (const parent of ['a', 'b', 'c']) world.define(parent);
            world.define('child', ['a', 'b', 'c'].slice(0, parents));
            return world;
          };
          const steady = begin();
          const childId = steady.id('child');
          const tokens = closes.map(({ parent, time, state }) => steady.token(parent, 'child', time, state));
          const kept = tokens.filter((token) => steady.followers.add(token));
          const all = steady.taken('child');

          // Some decisions became durable before the end; what they used is gone, and the rest is read again.
          const before = begin();
          const early = tokens.slice(0, cut).filter((token) => before.followers.add(token));
          const durable = before.taken('child').slice(0, cut % 5);
          const usedUp = new Set(durable.flatMap((joined) => joined.usedTokenIds));
          const after = begin();
          for (const token of [...early, ...tokens.slice(cut)]) if (!usedUp.has(token.tokenId)) after.followers.add(token);
          expect([...durable, ...after.taken('child')]).toEqual(all);

          const used = all.flatMap((joined) => joined.usedTokenIds);
          expect(new Set(used).size).toBe(used.length);
          expect([...used, ...steady.followers.drop(childId)].sort()).toEqual(kept.map((token) => token.tokenId).sort());
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('definitions change', () => {
  test('parents may be defined after their children, and names go from one schedule to another', () => {
    const world = new World();
    world.define('load', ['extract']);
    expect(world.followers.childrenOf(world.id('extract'))).toEqual([]);
    world.define('extract');
    expect(world.followers.childrenOf(world.id('extract'))).toEqual([world.id('load')]);
    world.define('renamed', [], { id: world.id('extract') });
    expect(world.followers.childrenOf(world.id('extract'))).toEqual([]);
    world.define('EXTRACT', [], { id: 77 });
    expect(world.followers.childrenOf(77)).toEqual([world.id('load')]);
  });

  test('a disabled child gets no tokens, and those that waited are void', () => {
    const world = new World();
    world.define('a');
    world.define('b');
    world.define('child', ['a', 'b']);
    world.close('a', 10);
    world.define('one', ['a']);
    world.close('a', 20);
    expect(world.define('child', ['a', 'b'], { enabled: false })).toEqual([
      expect.stringMatching(/^a@10#/),
      expect.stringMatching(/^a@20#/),
    ]);
    expect(world.define('one', ['a'], { enabled: false })).toEqual([expect.stringMatching(/^a@20#/)]);
    expect(world.followers.joined(world.id('one'))).toBeUndefined();
    expect(world.followers.childrenOf(world.id('a'))).toEqual([]);
    expect(world.followers.add(world.token('a', 'child', 30))).toBe(false);
    expect(world.define('child', ['a', 'b'])).toEqual([]);
    world.close('b', 40);
    expect(world.history('child')).toEqual([]);
  });

  test('a child without its edge, or gone itself, leaves no token behind', () => {
    const world = new World();
    for (const name of ['a', 'b', 'c']) world.define(name);
    world.define('child', ['a', 'b', 'c']);
    world.close('a', 10);
    world.close('b', 20);
    expect(world.define('child', ['b', 'c'])).toEqual([expect.stringMatching(/^a@10#/)]);
    expect(world.followers.childrenOf(world.id('a'))).toEqual([]);
    expect(world.define('child')).toEqual([expect.stringMatching(/^b@20#/)]);
    world.define('child', ['c']);
    world.close('c', 30);
    expect(world.followers.drop(world.id('child'))).toEqual([expect.stringMatching(/^c@30#/)]);
    expect(world.followers.childrenOf(world.id('c'))).toEqual([]);
    expect(world.followers.add(world.token('c', 'child', 40))).toBe(false);
  });

  test('an edge taken away may be the one that was waited for: the newest opens, what is older is superseded', () => {
    const world = new World();
    world.define('a');
    world.define('b');
    world.define('child', ['a', 'b']);
    for (const time of [10, 20, 30]) world.close('a', time);
    expect(world.followers.ready()).toEqual([]);
    expect(world.define('child', ['a'])).toEqual([]);
    expect(world.followers.ready()).toEqual([world.id('child')]);
    expect(world.history('child')).toEqual([
      { skipped: 20, since: 10, fires: 2, why: 'superseded: a has run again since' },
      { opened: 30, by: 'a@30' },
    ]);
  });

  test('a parent created anew under its name is a new one: tokens of the old one are void, in whatever order both are told', () => {
    for (const dropFirst of [true, false]) {
      const world = new World();
      world.define('a');
      world.define('b');
      world.define('child', ['a', 'b']);
      world.close('a', 10);
      const gone = dropFirst ? world.followers.drop(world.id('a')) : [];
      const displaced = world.define('a', [], { id: 77 });
      if (!dropFirst) expect(world.followers.drop(world.id('a'))).toEqual([]);
      expect([...gone, ...displaced]).toEqual([expect.stringMatching(/^a@10#/)]);
      expect(world.followers.add(world.token('a', 'child', 20))).toBe(false);
      expect(world.followers.childrenOf(77)).toEqual([world.id('child')]);
    }
  });
});

describe('a circle that two sessions have made', () => {
  const circle = (): World => {
    const world = new World();
    world.define('outside');
    world.define('a', ['c', 'outside']);
    world.define('b', ['A']);
    world.define('c', ['b']);
    world.define('beside', ['a']);
    return world;
  };

  test('is named for each who stands in it, and for nobody else', () => {
    const world = circle();
    expect(world.followers.circles()).toEqual([
      { childId: world.id('a'), reason: 'after: a -> c -> b -> a is a circle, in which each waits for the next' },
      { childId: world.id('b'), reason: 'after: b -> a -> c -> b is a circle, in which each waits for the next' },
      { childId: world.id('c'), reason: 'after: c -> b -> a -> c is a circle, in which each waits for the next' },
    ]);
  });

  test('opens nobody round and round: a run by hand of one gives no tokens inside of it', () => {
    const world = circle();
    expect(world.followers.childrenOf(world.id('a'))).toEqual([world.id('beside')]);
    expect(world.followers.childrenOf(world.id('b'))).toEqual([]);
    expect(world.followers.childrenOf(world.id('c'))).toEqual([]);
    expect(world.followers.add(world.token('a', 'b', 10))).toBe(false);
  });

  test('skips whoever is asked from outside, with the circle as the reason', () => {
    const world = circle();
    world.close('outside', 10);
    expect(world.history('a')).toEqual([
      { skipped: 10, by: 'outside@10', why: 'after: a -> c -> b -> a is a circle, in which each waits for the next' },
    ]);
  });

  test('that closes round tokens skips those who waited with them', () => {
    const world = new World();
    world.define('x');
    world.define('y');
    world.define('a', ['x', 'y']);
    world.close('x', 10);
    world.close('x', 20);
    world.define('x', ['a']);
    expect(world.followers.ready()).toEqual([world.id('a')]);
    expect(world.history('a')).toEqual([
      { skipped: 10, since: 10, fires: 1, why: 'after: a -> x -> a is a circle, in which each waits for the next' },
      { skipped: 20, by: 'x@20', why: 'after: a -> x -> a is a circle, in which each waits for the next' },
    ]);
  });

  test('may be as small as a schedule that follows itself, and is none once it is broken', () => {
    const world = new World();
    world.define('a', ['a']);
    expect(world.followers.circles()).toEqual([
      { childId: world.id('a'), reason: 'after: a -> a is a circle, in which each waits for the next' },
    ]);
    expect(world.followers.childrenOf(world.id('a'))).toEqual([]);
    world.define('z');
    world.define('a', ['z']);
    expect(world.followers.circles()).toEqual([]);
    world.close('z', 10);
    expect(world.history('a')).toEqual([{ opened: 10, by: 'z@10' }]);
    const other = circle();
    other.followers.drop(other.id('b'));
    expect(other.followers.circles()).toEqual([]);
    expect(other.followers.childrenOf(other.id('c'))).toEqual([other.id('a')]);
  });

  test('is found whatever was defined, changed and dropped before, and only a circle is', () => {
    const names = ['a', 'b', 'c', 'd', 'e'] as const;
    const change = fc.record({ name: fc.constantFrom(...names), after: fc.option(fc.subarray([...names])), asked: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 25 }), (changes) => {
        const world = new World();
        const graph = new Map<string, readonly string[]>();
        const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
          (graph.get(from) ?? []).some((parent) => {
            if (!graph.has(parent) || seen.has(parent)) return false;
            seen.add(parent);
            return parent === to || reaches(parent, to, seen);
          });
        for (const { name, after, asked } of [...changes, { name: 'a' as const, after: ['b'], asked: true }]) {
          if (after === null) world.followers.drop(world.id(name));
          else world.define(name, after);
          if (after === null) graph.delete(name);
          else graph.set(name, after);
          if (!asked) continue;
          const circles = world.followers.circles().map(({ childId }) => childId);
          expect(circles.sort()).toEqual(
            names
              .filter((one) => reaches(one, one))
              .map((one) => world.id(one))
              .sort(),
          );
          for (const parent of names) {
            const children = names.filter((child) => graph.has(parent) && graph.get(child)?.includes(parent) && !reaches(parent, child));
            expect([...world.followers.childrenOf(world.id(parent))].sort()).toEqual(children.map((child) => world.id(child)).sort());
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('two circles that share no schedule are two, and a chain of 100,000 is none', () => {
    const world = new World();
    world.define('p', ['q']);
    world.define('q', ['p']);
    world.define('r', ['s', 'q']);
    world.define('s', ['r']);
    expect(world.followers.circles().map(({ reason }) => reason.slice(7, 18))).toEqual([
      'p -> q -> p',
      'q -> p -> q',
      'r -> s -> r',
      's -> r -> s',
    ]);
    expect(world.followers.childrenOf(world.id('q'))).toEqual([world.id('r')]);
    const chain = new World();
    chain.define('n0');
    for (let index = 1; index <= 100_000; index++) chain.define(`n${index}`, [`n${index - 1}`]);
    expect(chain.followers.circles()).toEqual([]);
    chain.define('n0', ['n100000']);
    expect(chain.followers.childrenOf(chain.id('n7'))).toEqual([]);
  });
});
