import { describe, expect } from 'vitest';
import { Settings } from '../../../src/engine/settings.ts';
import { test } from '../../support/database.ts';

describe('SET cron.x', () => {
  test('keeps what it is given until RESET, or DEFAULT, which is the same', async ({ db }) => {
    expect(await db.rows("SET cron.workers = '8'")).toEqual([{ name: 'workers', value: '8' }]);
    expect(await db.rows('SET cron.workers TO DEFAULT')).toEqual([{ name: 'workers', value: '4' }]);
    expect(await db.rows("SELECT value FROM cron.settings WHERE name = 'workers'")).toEqual([{ value: '4' }]);
  });

  test('the budget of all runs is percent of a core and a size, and none by default', async ({ db }) => {
    expect(await db.rows("SELECT name, value FROM cron.settings WHERE name IN ('cpu', 'memory') ORDER BY name")).toEqual([
      { name: 'cpu', value: 'none' },
      { name: 'memory', value: 'none' },
    ]);
    expect(await db.rows('SET cron.cpu = 150')).toEqual([{ name: 'cpu', value: '150' }]);
    expect(await db.rows("SET cron.cpu = '200%'")).toEqual([{ name: 'cpu', value: '200' }]);
    expect(await db.rows('SET cron.memory = 1.5GB')).toEqual([{ name: 'memory', value: '1.5GB' }]);
    expect(await db.rows("SET cron.memory = '512 MiB'")).toEqual([{ name: 'memory', value: '512 MiB' }]);
    expect(await db.rows('SET cron.memory = none')).toEqual([{ name: 'memory', value: 'none' }]);
    for (const wrong of ['-1', "'lots'", "''", '0.5', '2GB'])
      expect(await db.mistake(`SET cron.cpu = ${wrong}`), wrong).toMatchObject({ code: 'invalid_value', at: wrong });
    for (const wrong of ['512', "'lots'", '10KB', "'-1GB'"])
      expect(await db.mistake(`SET cron.memory = ${wrong}`), wrong).toMatchObject({ code: 'invalid_value', at: wrong });
  });

  test('a timeout may be none, as everywhere', async ({ db }) => {
    expect(await db.rows('SET cron.timeout = none')).toEqual([{ name: 'timeout', value: 'none' }]);
    expect(await db.mistake('SET cron.timeout = 0s')).toMatchObject({ at: '0s', hint: 'from 1ms to 366d, or none' });
    expect(await db.mistake('SET cron.retry_delay = none')).toMatchObject({ code: 'invalid_value', at: 'none' });
  });

  test('the thresholds of alerts are numbers and times, and 0 or none is never', async ({ db }) => {
    expect(await db.rows('SET cron.alert_failures = 5')).toEqual([{ name: 'alert_failures', value: '5' }]);
    expect(await db.rows('SET cron.alert_slowness = 1.5')).toEqual([{ name: 'alert_slowness', value: '1.5' }]);
    expect(await db.rows('SET cron.alert_busy = 10m')).toEqual([{ name: 'alert_busy', value: '10m' }]);
    expect(await db.rows('SET cron.alert_backlog = 0')).toEqual([{ name: 'alert_backlog', value: 'none' }]);
    expect(await db.rows('SET cron.alert_busy = 0')).toEqual([{ name: 'alert_busy', value: 'none' }]);
    expect(await db.mistake('SET cron.alert_failures = 2.5')).toMatchObject({
      at: '2.5',
      hint: 'a whole number from 1 to 1000000000; 0 or none: never',
    });
    expect(await db.mistake('SET cron.alert_slowness = 1')).toMatchObject({ code: 'invalid_value', at: '1' });
    expect(await db.mistake('SET cron.alert_busy = 5')).toMatchObject({ at: '5', hint: 'give it a unit: 5s' });
    const { alerts } = new Settings(
      new Map([
        ['alert_backlog', 'none'],
        ['alert_busy', '10m'],
      ]),
    );
    expect(alerts).toEqual({ failures: 3, backlog: 0, slowness: 2, busyMs: 600_000 });
  });

  test('on_fail takes actions as a definition does, in quotes or not, and none', async ({ db }) => {
    await db.run("UPSERT PROCEDURE page_me() AS BEGIN SELECT 'paged'; END");
    expect(await db.rows('SET cron.on_fail = call(page_me)')).toEqual([{ name: 'on_fail', value: "call('page_me')" }]);
    expect(await db.rows("SET cron.on_fail = 'call(page_me)'")).toEqual([{ name: 'on_fail', value: "call('page_me')" }]);
    const both = await db.result("SET cron.on_fail = [emit('it''s broken'), call(page_me)]");
    expect(await both.toObjects()).toEqual([{ name: 'on_fail', value: "[emit('it''s broken'), call('page_me')]" }]);
    expect(both.warnings).toMatchObject([{ message: "cron.on_fail: emit('it's broken') is stored, but nothing delivers it yet" }]);
    expect(new Settings(new Map([['on_fail', "[emit('it''s broken'), call('page_me')]"]])).onFail).toEqual([
      { kind: 'emit', name: "it's broken" },
      { kind: 'call', procedure: 'page_me' },
    ]);
    expect(await db.rows('SET cron.on_fail = none')).toEqual([{ name: 'on_fail', value: 'none' }]);
    expect(new Settings(new Map()).onFail).toEqual([]);
  });

  test('on_fail names a procedure that exists, and keeps it from being dropped', async ({ db }) => {
    expect(await db.mistake('SET cron.on_fail = call(nobody)')).toMatchObject({ code: 'undefined_object', at: 'call(nobody)' });
    expect(await db.mistake("SET cron.on_fail = 'page_me'")).toMatchObject({ code: 'invalid_value', at: 'page_me' });
    await db.run("UPSERT PROCEDURE page_me() AS BEGIN SELECT 'paged'; END", 'SET cron.on_fail = call(page_me)');
    expect(await db.mistake('DROP PROCEDURE page_me')).toMatchObject({ message: expect.stringContaining('the setting cron.on_fail') });
    await db.run('RESET cron.on_fail', 'DROP PROCEDURE page_me');
  });
});
