import { describe, expect, test } from 'vitest';
import { Diagnostic } from '../../src/core/diagnostic.ts';

const first = new Diagnostic('unknown_key', 'no key a', { span: { start: 3, end: 4 }, hint: 'b' });
const second = new Diagnostic('wrong_type', 'not a number', { span: { start: 9, end: 12 } });

describe('all mistakes of a text', () => {
  test('are the first, which carries the others', () => {
    const both = Diagnostic.all([first, second]);
    expect(both).toMatchObject({ code: 'unknown_key', message: 'no key a', span: first.span, hint: 'b' });
    expect(both.more).toEqual([second]);
    expect(both.toJSON()).toEqual({ ...first.toJSON(), more: [second.toJSON()] });
  });

  test('move together', () => {
    const moved = Diagnostic.all([first, second]).movedBy((offset) => offset + 100);
    expect([moved, ...moved.more].map(({ span }) => span)).toEqual([
      { start: 103, end: 104 },
      { start: 109, end: 112 },
    ]);
  });

  test('are one alone where one is told at another place, or there is only one', () => {
    expect(Diagnostic.all([first, second]).at({ start: 0, end: 1 }).more).toEqual([]);
    expect(Diagnostic.all([first])).toBe(first);
    expect(first.toJSON()).not.toHaveProperty('more');
  });
});
