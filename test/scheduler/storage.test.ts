import { describe, expect, test } from 'vitest';
import { neededBytes } from '../../src/scheduler/storage.ts';

const mebibyte = 1024 * 1024;

describe('the room that is needed', () => {
  test('is 64 MB for a log that is small or not there', () => {
    expect([0, mebibyte, 32 * mebibyte].map(neededBytes)).toEqual([64 * mebibyte, 64 * mebibyte, 64 * mebibyte]);
  });

  test('is twice the log when that is more', () => {
    expect([32 * mebibyte + 1, 500 * mebibyte].map(neededBytes)).toEqual([64 * mebibyte + 2, 1000 * mebibyte]);
  });
});
