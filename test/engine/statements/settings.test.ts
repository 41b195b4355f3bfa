import { describe, expect } from 'vitest';
import { test } from '../../support/database.ts';

describe('SET cron.x', () => {
  test('keeps what it is given until RESET, or DEFAULT, which is the same', async ({ db }) => {
    expect(await db.rows("SET cron.workers = '8'")).toEqual([{ name: 'workers', value: '8' }]);
    expect(await db.rows('SET cron.workers TO DEFAULT')).toEqual([{ name: 'workers', value: '4' }]);
    expect(await db.rows("SELECT value FROM cron.settings WHERE name = 'workers'")).toEqual([{ value: '4' }]);
  });

  test('a timeout may be none, as everywhere', async ({ db }) => {
    expect(await db.rows('SET cron.timeout = none')).toEqual([{ name: 'timeout', value: 'none' }]);
    expect(await db.mistake('SET cron.timeout = 0s')).toMatchObject({ at: '0s', hint: 'from 1ms to 366d, or none' });
    expect(await db.mistake('SET cron.retry_delay = none')).toMatchObject({ code: 'invalid_value', at: 'none' });
  });
});
