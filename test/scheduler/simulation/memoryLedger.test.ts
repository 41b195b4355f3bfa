import { describe, expect, test } from 'vitest';
import type { SchedulerSettings, Token } from '../../../src/scheduler/ports.ts';
import { type Closing, noCounters, type OpenRun } from '../../../src/scheduler/run.ts';
import { MemoryLedger } from '../../../src/scheduler/simulation/memoryLedger.ts';

const settings: SchedulerSettings = {
  workers: 4,
  checkIntervalMs: 30_000,
  lateWithinMs: 60_000,
  maxRetries: 3,
  retryDelayMs: 60_000,
  catchup: 'latest',
  onFail: [],
  alerts: { failures: 0, backlog: 0, slowness: 0, busyMs: 0 },
};
const signal = new AbortController().signal;
const newLedger = () =>
  new MemoryLedger({
    settings,
    watermark: 1000,
    queues: [{ name: 'limited', weight: 1, concurrency: null, rate: { count: 2, perMs: 60_000 }, paused: false }],
  });

const openRun = (runId: string, replaced: Partial<OpenRun> = {}): OpenRun => ({
  runId,
  scheduleId: 1,
  schedule: 'one',
  exe: 'sql',
  call: 'SELECT 1',
  trigger: 'cron',
  scheduledAt: 2000,
  openedAt: 2000,
  notBefore: null,
  attempt: 1,
  queue: 'default',
  priority: 'normal',
  params: {},
  scheduleVersion: 1,
  rootRunId: runId,
  parentRunId: null,
  retryOf: null,
  group: null,
  fire: null,
  alone: false,
  ...replaced,
});

const closing = (run: OpenRun, replaced: Partial<Closing> = {}): Closing => ({
  run,
  startedAt: 2100,
  finishedAt: 2200,
  state: 'succeeded',
  reason: null,
  final: true,
  outcome: null,
  counters: noCounters,
  waitedFor: null,
  ...replaced,
});

const token = (tokenId: string): Token => ({
  tokenId,
  childId: 2,
  parentId: 1,
  runId: 'a',
  rootRunId: 'a',
  state: 'succeeded',
  scheduledAt: 2000,
});

const tickOf = (seq: number, watermark: number) => ({ seq, watermark, partly: null, gap: null, replayUntil: null });

describe('the ledger in memory', () => {
  test('takes a tick with all it opened, or nothing of it', async () => {
    const ledger = newLedger();
    await ledger.tick(tickOf(1, 2000), 2000, [{ kind: 'open', run: openRun('a') }], signal);
    await expect(ledger.tick(tickOf(1, 3000), 3000, [{ kind: 'open', run: openRun('b') }], signal)).rejects.toThrow('is there already');
    const double = [
      { kind: 'open', run: openRun('c') },
      { kind: 'open', run: openRun('a') },
    ] as const;
    await expect(ledger.tick(tickOf(2, 3000), 3000, double, signal)).rejects.toThrow('is there already');
    const unfenced = [
      { kind: 'open', run: openRun('d') },
      { kind: 'close', closing: closing(openRun('nobody')) },
    ] as const;
    await expect(ledger.tick(tickOf(2, 3000), 3000, unfenced, signal)).rejects.toThrow('closes what is not open');
    expect(ledger.openRuns.map((run) => run.runId)).toEqual(['a']);
    expect((await ledger.newestTick(signal)).watermark).toBe(2000);
  });

  test('does nothing once the signal is aborted', async () => {
    const ledger = newLedger();
    await expect(ledger.tick(tickOf(1, 2000), 2000, [], AbortSignal.abort())).rejects.toThrow();
    expect((await ledger.newestTick(signal)).seq).toBe(0);
  });

  test('writes the units whose run is open and says false to the others, of which nothing is written', async () => {
    const ledger = newLedger();
    const run = openRun('a');
    await ledger.write([[{ kind: 'open', run }]], signal);
    const close = [{ kind: 'close', closing: closing(run) }] as const;
    const again = [
      { kind: 'close', closing: closing(run) },
      { kind: 'open', run: openRun('b') },
    ] as const;
    expect(await ledger.write([close, again], signal)).toEqual([true, false]);
    expect(ledger.openRuns).toEqual([]);
    expect([...ledger.closedRuns]).toHaveLength(1);
  });

  test('tells after an error which units are there, and which were somebody else’s', async () => {
    const ledger = newLedger();
    const run = openRun('a');
    const unit = [
      { kind: 'close', closing: closing(run, { state: 'failed', final: false }) },
      { kind: 'open', run: openRun('a2', { attempt: 2, retryOf: 'a', notBefore: 5000 }) },
    ] as const;
    const other = [{ kind: 'close', closing: closing(run, { state: 'cancelled', finishedAt: 2300 }) }] as const;
    await ledger.write([[{ kind: 'open', run }]], signal);
    expect(await ledger.applied([unit], signal)).toEqual([false]);
    await ledger.write([unit], signal);
    expect(await ledger.applied([unit, other], signal)).toEqual([true, false]);
  });

  test('a run’s own transaction is fenced once the run is closed', async () => {
    const ledger = newLedger();
    const [a, b] = [openRun('a'), openRun('b')];
    await ledger.write([[{ kind: 'open', run: a }], [{ kind: 'open', run: b }]], signal);
    expect(ledger.closeInside(closing(a), { marks: false })).toBe('removed');
    expect(ledger.closeInside(closing(a), { marks: false })).toBe('fenced');
    expect(ledger.closeInside(closing(b), { marks: true })).toBe('marked');
    expect(ledger.closeInside(closing(b), { marks: true })).toBe('fenced');
    expect(await ledger.write([[{ kind: 'close', closing: closing(b) }]], signal)).toEqual([false]);
  });

  test('a mark waits until what follows is written with its removal, once', async () => {
    const ledger = newLedger();
    const run = openRun('a');
    await ledger.write([[{ kind: 'open', run }]], signal);
    ledger.closeInside(closing(run), { marks: true });
    expect((await ledger.load(signal)).marks.map((mark) => mark.run.runId)).toEqual(['a']);
    expect(await ledger.fate('a', signal)).toMatchObject({ kind: 'closed', marked: true });
    const unit = [
      { kind: 'settle', runId: 'a' },
      { kind: 'token', token: token('t') },
    ] as const;
    expect(await ledger.applied([unit], signal)).toEqual([false]);
    expect(await ledger.write([unit, unit], signal)).toEqual([true, false]);
    expect(await ledger.applied([unit], signal)).toEqual([true]);
    const state = await ledger.load(signal);
    expect(state.marks).toEqual([]);
    expect(state.tokens.map((there) => there.tokenId)).toEqual(['t']);
    expect(await ledger.fate('a', signal)).toMatchObject({ kind: 'closed', marked: false });
  });

  test('tokens are used once', async () => {
    const ledger = newLedger();
    await ledger.write([[{ kind: 'token', token: token('t') }]], signal);
    const use = (runId: string) =>
      [
        { kind: 'useTokens', tokenIds: ['t'] },
        { kind: 'open', run: openRun(runId, { scheduleId: 2 }) },
      ] as const;
    expect(await ledger.write([use('a'), use('b')], signal)).toEqual([true, false]);
    expect(ledger.openRuns.map((run) => run.runId)).toEqual(['a']);
    expect(await ledger.applied([use('a'), use('b')], signal)).toEqual([true, false]);
  });

  test('tells what changed after a revision', async () => {
    const ledger = newLedger();
    const { revision } = await ledger.load(signal);
    ledger.drop(7);
    ledger.pause(5000);
    const changes = await ledger.changes(revision, signal);
    expect(changes.definitions).toEqual([{ kind: 'dropped', scheduleId: 7 }]);
    expect(changes.pausedAt).toBe(5000);
    expect((await ledger.changes(changes.revision, signal)).definitions).toEqual([]);
  });

  test('remembers what was opened, started and begun, over a restart', async () => {
    const ledger = newLedger();
    const runs = [
      openRun('a', { fire: 1 }),
      openRun('b', { fire: 2, trigger: 'catchup', scheduledAt: 3000 }),
      openRun('c', { trigger: 'manual', scheduledAt: 4000 }),
      openRun('d', { fire: 3, scheduledAt: 5000, queue: 'limited' }),
    ];
    await ledger.write(
      runs.map((run) => [{ kind: 'open', run }]),
      signal,
    );
    await ledger.write([[{ kind: 'begin', runId: 'd', bootId: 'boot', at: 5000 }]], signal);
    const state = await ledger.load(signal);
    expect(state.inFlight.get(1)).toEqual({ live: 2, catchup: 1 });
    expect(state.counters.get(1)?.openedFires).toBe(3);
    expect(state.begun.map(({ run, startedAt }) => [run.runId, startedAt])).toEqual([['d', 5000]]);
    expect(state.recentStarts).toEqual([{ queue: 'limited', at: 5000 }]);
    expect(
      await ledger.ran(
        [
          { scheduleId: 1, scheduledAt: 2000 },
          { scheduleId: 1, scheduledAt: 2001 },
        ],
        signal,
      ),
    ).toEqual(new Set(['1@2000']));
  });

  test('a boot that has stopped in order has let go of what it had begun', async () => {
    const ledger = newLedger();
    await ledger.write([[{ kind: 'open', run: openRun('a') }], [{ kind: 'begin', runId: 'a', bootId: 'first', at: 5000 }]], signal);
    await ledger.write([[{ kind: 'boot', bootId: 'first', event: 'stop', at: 6000 }]], signal);
    expect((await ledger.load(signal)).begun).toEqual([]);
    await ledger.write([[{ kind: 'begin', runId: 'a', bootId: 'second', at: 7000 }]], signal);
    expect((await ledger.load(signal)).begun.map(({ run, startedAt }) => [run.runId, startedAt])).toEqual([['a', 7000]]);
  });

  test('hands out what waits by urgency, a few of a group, and no retry before its time', async () => {
    const ledger = newLedger();
    const group = { key: 'schedule:1', limit: 1 };
    const runs = [
      openRun('low', { priority: 'low' }),
      openRun('second', { scheduledAt: 3000, group }),
      openRun('first', { scheduledAt: 2500, group }),
      openRun('third', { scheduledAt: 3500, group }),
      openRun('retry', { notBefore: 9000 }),
      openRun('high', { priority: 'high', scheduledAt: 4000 }),
    ];
    await ledger.write(
      runs.map((run) => [{ kind: 'open', run }]),
      signal,
    );
    const waiting = await ledger.waiting({ now: 8999, limit: 10, perGroup: 2 }, signal);
    expect(waiting.map((run) => run.runId)).toEqual(['high', 'first', 'second', 'low']);
    expect((await ledger.waiting({ now: 9000, limit: 1, perGroup: 2 }, signal)).map((run) => run.runId)).toEqual(['high']);
  });
});
