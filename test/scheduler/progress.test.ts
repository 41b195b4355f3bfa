import { expect, test } from 'vitest';
import { at, Stage, succeeded } from '../simulator/stage.ts';

test('others hear how far a run is: of the first at once, then every 100 ms, and of the newest before it ends', async () => {
  const stage = new Stage(at('12:00:00'));
  stage.define('load', "at '2027-06-15 12:00:10'");
  const { clock } = stage;
  stage.work = async ({ progress }) => {
    await clock.sleep(1000);
    progress(-1, 'begins');
    progress(0.25, 'a quarter');
    await clock.sleep(40);
    progress(Number.NaN, 'nobody knows');
    await clock.sleep(60);
    progress(0.5, null);
    await clock.sleep(150);
    progress(null, '😀'.repeat(600));
    await clock.sleep(100);
    progress(7, 'done');
    void clock.sleep(5).then(() => progress(0, 'after the end'));
    return succeeded;
  };
  const scheduler = stage.scheduler();
  const heard: unknown[] = [];
  const sinceStart = (): number => clock.now() - at('12:00:11');
  scheduler.events.on('run:progress', ({ run, fraction, message }) => heard.push([sinceStart(), run.schedule, fraction, message]));
  scheduler.events.on('run:finished', ({ state }) => heard.push([sinceStart(), state]));
  await scheduler.start();

  await clock.advance(10_500);
  const [running] = scheduler.allRunning();
  expect(running?.progress).toBeNull();
  await clock.advance(520);
  expect(running?.progress).toEqual({ fraction: 0.25, message: 'a quarter' });
  await clock.advance(1000);
  expect(heard).toEqual([
    [0, 'load', 0, 'begins'],
    [100, 'load', null, 'nobody knows'],
    [200, 'load', 0.5, null],
    [300, 'load', null, '😀'.repeat(500)],
    [350, 'load', 1, 'done'],
    [350, 'succeeded'],
  ]);
});
