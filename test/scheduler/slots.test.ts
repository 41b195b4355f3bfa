import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Slots } from '../../src/scheduler/slots.ts';

const none = Number.POSITIVE_INFINITY;

function emptied(slots: Slots): string[] {
  const order: string[] = [];
  while (slots.size > 0) {
    order.push(`${slots.earliestDue}/${slots.earliestId}`);
    slots.disarm(slots.earliestId);
  }
  return order;
}

describe('slots', () => {
  test('know what is due next, and of one instant the lowest id', () => {
    const slots = new Slots();
    expect([slots.size, slots.earliestDue, slots.earliestId]).toEqual([0, none, 0]);
    slots.arm(7, 2000);
    slots.arm(9, 1000);
    slots.arm(3, 1000);
    slots.arm(5, 1000);
    expect([slots.size, slots.earliestDue, slots.earliestId]).toEqual([4, 1000, 3]);
    expect(emptied(slots)).toEqual(['1000/3', '1000/5', '1000/9', '2000/7']);
  });

  test('arming again moves, to earlier and to later', () => {
    const slots = new Slots();
    for (const id of [1, 2, 3]) slots.arm(id, 1000 * id);
    slots.arm(3, 500);
    slots.arm(1, 5000);
    expect([slots.dueAt(1), slots.dueAt(2), slots.dueAt(3), slots.size]).toEqual([5000, 2000, 500, 3]);
    expect(emptied(slots)).toEqual(['500/3', '2000/2', '5000/1']);
  });

  test('what has no instant more is not armed', () => {
    const slots = new Slots();
    slots.arm(1, 1000);
    slots.arm(1, none);
    slots.arm(2, none);
    slots.arm(3, Number.NaN);
    slots.disarm(4);
    slots.disarm(4_000_000);
    expect([slots.size, slots.dueAt(1), slots.dueAt(2), slots.dueAt(3), slots.dueAt(4_000_000)]).toEqual([0, none, none, none, none]);
  });

  test('ids may lie millions apart', () => {
    const slots = new Slots();
    slots.arm(5_000_000, 10);
    slots.arm(1, 20);
    expect(emptied(slots)).toEqual(['10/5000000', '20/1']);
  });

  test('an id that is none is refused, and never lost without a word', () => {
    const slots = new Slots();
    for (const id of [0, -1, 1.5, Number.NaN, 2 ** 40]) expect(() => slots.arm(id, 10)).toThrow('is no id of a schedule');
    expect(slots.size).toBe(0);
  });

  test('the order holds through every mixture of arming, moving and disarming', () => {
    const step = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant(none)));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const slots = new Slots();
        const model = new Map<number, number>();
        for (const [id, due] of steps) {
          slots.arm(id, due);
          if (due === none) model.delete(id);
          else model.set(id, due);
          const order = [...model].sort(([a, dueA], [b, dueB]) => dueA - dueB || a - b);
          expect([slots.size, slots.earliestDue, slots.earliestId]).toEqual([model.size, order[0]?.[1] ?? none, order[0]?.[0] ?? 0]);
          for (const [armed, armedDue] of model) expect(slots.dueAt(armed)).toBe(armedDue);
        }
        const left = [...model].sort(([a, dueA], [b, dueB]) => dueA - dueB || a - b).map(([id, due]) => `${due}/${id}`);
        expect(emptied(slots)).toEqual(left);
      }),
      { numRuns: 60 },
    );
  });

  test('a million are armed, moved and emptied in order', () => {
    const slots = new Slots();
    const count = 1_000_000;
    for (let id = 1; id <= count; id++) slots.arm(id, (id * 7919) % 86_400);
    for (let id = 2; id <= count; id += 2) slots.arm(id, (id * 104_729) % 86_400);
    expect(slots.size).toBe(count);
    let last = 0;
    let seen = 0;
    let sorted = true;
    for (; slots.size > 0; seen++) {
      const key = slots.earliestDue * 2_000_000 + slots.earliestId;
      sorted &&= key > last;
      last = key;
      slots.disarm(slots.earliestId);
    }
    expect([seen, sorted]).toEqual([count, true]);
  });
});
