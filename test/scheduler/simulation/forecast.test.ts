import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/scheduler/clock.ts';
import type { SchedulerSettings } from '../../../src/scheduler/ports.ts';
import type { Definition, Policy } from '../../../src/scheduler/schedule.ts';
import { type ForecastInput, forecast } from '../../../src/scheduler/simulation/forecast.ts';
import { plainDefinition, plainQueue, plainSettings, plainTiming } from '../../support/plain.ts';

const at = (text: string): number => new Date(`2026-11-20T${text}Z`).getTime();
const minuteMs = 60_000;

const settings: SchedulerSettings = { ...plainSettings, alerts: { failures: 3, backlog: 10, slowness: 2, busyMs: 60_000 } };

let ids = 0;
const schedule = (name: string, sched: string | undefined, changed: Partial<Policy> = {}): Definition => {
  ids += 1;
  const timing = sched === undefined ? undefined : plainTiming(sched, name);
  const policy: Partial<Policy> = { onComplete: [{ kind: 'call', procedure: 'tell' }], ...changed };
  return plainDefinition({ scheduleId: ids, name, effectiveFrom: at('11:00:00'), timing }, policy);
};

const played = (definitions: readonly Definition[], input: Partial<ForecastInput> = {}) =>
  forecast({
    definitions,
    settings,
    queues: [plainQueue('default')],
    usualMs: new Map(),
    from: at('10:00:00'),
    to: at('10:30:00'),
    mostRows: 1000,
    clock: systemClock,
    signal: new AbortController().signal,
    ...input,
  });

/** `10:00 a runs 10:00:00-10:00:05; reason` */
const told = async (definitions: readonly Definition[], input: Partial<ForecastInput> = {}): Promise<string[]> =>
  (await played(definitions, input)).rows.map((row) => {
    const clock = (instant: number | null): string => (instant === null ? '' : new Date(instant).toISOString().slice(11, 19));
    const times = row.startedAt === null ? '' : ` ${clock(row.startedAt)}-${clock(row.finishedAt)}`;
    const why = [row.reason, row.waitedFor].filter((part) => part !== null).join('; ');
    return `${clock(row.scheduledAt).slice(0, 5)} ${row.schedule} ${row.outcome}${times}${why === '' ? '' : ` | ${why}`}`;
  });

describe('a forecast', () => {
  test('holds every fire of [from, to) in order, also of definitions that are younger, each with its usual time', async () => {
    const [ten, quarter] = [schedule('ten', '*/10 * * * *'), schedule('quarter', 'every 15m')];
    expect(await told([ten, quarter], { usualMs: new Map([[ten.scheduleId, 5000]]) })).toEqual([
      '10:00 ten runs 10:00:00-10:00:05',
      '10:00 quarter runs 10:00:00-10:00:00',
      '10:10 ten runs 10:10:00-10:10:05',
      '10:15 quarter runs 10:15:00-10:15:00',
      '10:20 ten runs 10:20:00-10:20:05',
    ]);
  });

  test('tells what overlap refuses, and when what is at work at the end will be done', async () => {
    const slow = schedule('slow', '*/10 * * * *');
    expect(await told([slow], { usualMs: new Map([[slow.scheduleId, 15 * minuteMs]]) })).toEqual([
      '10:00 slow runs 10:00:00-10:15:00',
      '10:10 slow skipped | overlap: the run before it has not finished',
      '10:20 slow runs 10:20:00-10:35:00',
    ]);
  });

  test('queue and replace wait and take the place as they will', async () => {
    const queued = schedule('queued', '*/10 * * * *', { overlap: 'queue' });
    const replaced = schedule('replaced', '*/10 * * * *', { overlap: 'replace' });
    const usualMs = new Map([queued, replaced].map(({ scheduleId }) => [scheduleId, 12 * minuteMs]));
    expect(await told([queued], { usualMs })).toEqual([
      '10:00 queued runs 10:00:00-10:12:00',
      '10:10 queued runs 10:12:00-10:24:00 | the run before it',
      '10:20 queued runs 10:24:00-10:36:00 | the run before it',
    ]);
    expect(await told([replaced], { usualMs })).toEqual([
      '10:00 replaced cancelled 10:00:00-10:10:00 | replaced',
      '10:10 replaced cancelled 10:10:00-10:20:00 | replaced',
      '10:20 replaced runs 10:20:00-10:32:00',
    ]);
  });

  test('a busy queue lets runs wait, and a paused one keeps them to the end', async () => {
    const [one, two, kept] = [
      schedule('one', '0 * * * *', { queue: 'narrow' }),
      schedule('two', '0 * * * *', { queue: 'narrow' }),
      schedule('kept', '0 * * * *', { queue: 'shut' }),
    ];
    const queues = [plainQueue('narrow', { concurrency: 1 }), plainQueue('shut', { paused: true })];
    const usualMs = new Map([[one.scheduleId, 4 * minuteMs]]);
    expect(await told([one, two, kept], { queues, usualMs })).toEqual([
      '10:00 one runs 10:00:00-10:04:00',
      '10:00 two runs 10:04:00-10:04:00 | queue narrow: 1 of 1 busy',
      '10:00 kept waits | queue shut is paused',
    ]);
  });

  test('followers run after their parents, and actions do not', async () => {
    const parent = schedule('parent', '0 * * * *');
    const child = schedule('child', undefined, { after: ['parent'] });
    const mourner = schedule('mourner', undefined, { after: ['parent'], afterState: 'failure' });
    expect(await told([parent, child, mourner], { usualMs: new Map([[parent.scheduleId, minuteMs]]) })).toEqual([
      '10:00 parent runs 10:00:00-10:01:00',
      '10:00 child runs 10:01:00-10:01:00',
      '10:00 mourner skipped | after: parent parent succeeded; the edge takes failure',
    ]);
  });

  test('max_runs ends it, and a start of the scheduler is none', async () => {
    const twice = schedule('twice', '*/10 * * * *', { maxRuns: 2 });
    expect(await told([twice, schedule('boot', '@reboot')])).toEqual([
      '10:00 twice runs 10:00:00-10:00:00',
      '10:10 twice runs 10:10:00-10:10:00',
    ]);
  });

  test('ends early where there are too many rows, and says how far it came', async () => {
    const { rows, reached } = await played([schedule('each', 'every 1s')], { mostRows: 100 });
    expect(rows.length).toBeGreaterThan(100);
    expect(reached).toBe(at('10:01:40'));
  });

  test('ends soon when it is stopped', async () => {
    const controller = new AbortController();
    setImmediate(() => controller.abort());
    const { reached } = await played([schedule('each', 'every 1s')], { to: at('23:00:00'), mostRows: 1e9, signal: controller.signal });
    expect(reached).toBeLessThan(at('23:00:00'));
  });

  test('a year of an idle schedule takes no time, and thousands of runs leave the process its turns', async () => {
    const yearly = schedule('yearly', '0 0 1 1 *');
    const { rows } = await played([yearly], { to: at('10:00:00') + 366 * 86_400_000 });
    expect(rows.length).toBe(1);

    let turns = 0;
    let ended = false;
    const count = (): void => {
      turns += 1;
      if (!ended) setImmediate(count);
    };
    setImmediate(count);
    const many = Array.from({ length: 500 }, (_, index) => schedule(`many${index}`, 'every 2m'));
    const result = await played(many, { mostRows: 100_000 });
    ended = true;
    expect(result.rows.length).toBe(7500);
    expect(turns).toBeGreaterThan(1000);
  });
});
