// What every ledger promises the scheduler, whatever it is made of: DuckDB's on a real file, the one in memory, later others.
// Runs, ticks and tokens are written and read through the port alone; definitions come in by whatever way the store has, which
// the bed knows.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runId } from '../../src/core/runId.ts';
import type { Ledger, QueueDefinition, Tick, Token, Unit, Write } from '../../src/scheduler/ports.ts';
import type { Closing, OpenRun } from '../../src/scheduler/run.ts';
import { plainClosing, plainRun, plainTick, plainToken } from './plain.ts';

/** A store made for one test. Time is handled up to `start`. */
export interface LedgerBed {
  readonly ledger: Ledger;
  /** The same store, asked by somebody else. */
  readonly other: Ledger;
  /** Puts an enabled schedule in the place of the one of its name; answers its id. */
  define(name: string): Promise<number>;
  drop(name: string): Promise<void>;
  pause(at: number | null): Promise<void>;
  defineQueue(queue: QueueDefinition): Promise<void>;
  /** What a SQL run's own transaction does, and commits. */
  closeInside(closing: Closing, marks: boolean): Promise<'removed' | 'marked' | 'fenced'>;
  close(): Promise<void>;
}

export const start = Date.parse('2026-11-20T12:00:00Z');
export const signal: AbortSignal = new AbortController().signal;

let made = 0;
/** An id as the scheduler makes them: it sorts by time. */
export function newId(at = start): string {
  made += 1;
  return runId(at, made & 0xfff, new Uint8Array(10).fill(made % 251));
}

export const openRun = (changed: Partial<OpenRun> = {}): OpenRun =>
  plainRun(changed.runId ?? newId(), { scheduledAt: start + 1000, openedAt: start + 1003, ...changed });

export const closing = (run: OpenRun, changed: Partial<Closing> = {}): Closing =>
  plainClosing(run, { startedAt: start + 1010, finishedAt: start + 1020, ...changed });

export const tickOf = (seq: number, changed: Partial<Tick> = {}): Tick => plainTick(seq, start + seq * 1000, changed);

export function tokenOf(changed: Partial<Token> = {}): Token {
  const runId = newId();
  return plainToken(newId(), { runId, rootRunId: runId, scheduledAt: start + 1000, ...changed });
}

export const open = (run: OpenRun): Write => ({ kind: 'open', run });
export const close = (run: OpenRun, replaced: Partial<Closing> = {}): Write => ({ kind: 'close', closing: closing(run, replaced) });
export const skip = (run: OpenRun, replaced: Partial<Closing> = {}): Write => ({
  kind: 'skip',
  closing: closing(run, { startedAt: null, state: 'skipped', reason: 'overlap: the run before it is at work', ...replaced }),
});

const retryOf = (run: OpenRun): OpenRun => openRun({ ...run, runId: newId(), attempt: 2, retryOf: run.runId, notBefore: start + 60_000 });
const idsOf = (runs: readonly OpenRun[]): string[] => runs.map((run) => run.runId);

export function describeLedger(name: string, makeBed: () => Promise<LedgerBed>): void {
  describe(`the ledger ${name}`, () => {
    let bed: LedgerBed;
    let ledger: Ledger;

    beforeEach(async () => {
      bed = await makeBed();
      ledger = bed.ledger;
    });

    afterEach(() => bed.close());

    const opened = async (...runs: readonly OpenRun[]): Promise<void> => {
      expect(
        await ledger.write(
          runs.map((run) => [open(run)]),
          signal,
        ),
      ).toEqual(runs.map(() => true));
    };
    const waiting = async (request: { now?: number; limit?: number; perGroup?: number } = {}): Promise<string[]> =>
      idsOf(await ledger.waiting({ now: start + 2000, limit: 1000, perGroup: 1000, ...request }, signal));
    const load = async () => {
      const state = await ledger.load(signal);
      return { ...state, definitions: [...state.definitions], counters: new Map(state.counters) };
    };

    describe('begins', () => {
      test('with time handled up to the beginning, and nothing else', async () => {
        expect(await load()).toMatchObject({
          tick: tickOf(0),
          lastBoot: undefined,
          counters: new Map(),
          inFlight: new Map(),
          openRuns: 0,
          begun: [],
          marks: [],
          tokens: [],
          recentStarts: [],
          alerts: [],
          pausedAt: null,
        });
      });

      test('after a start or a stop, and says which was the last', async () => {
        const boot = (bootId: string, event: 'start' | 'stop', at: number): Unit => [{ kind: 'boot', bootId, event, at }];
        await ledger.write([boot('first', 'start', start)], signal);
        expect((await load()).lastBoot).toEqual({ bootId: 'first', event: 'start', at: start });
        await ledger.write([boot('first', 'stop', start + 5)], signal);
        // Also when the clock has been set back in between.
        await ledger.write([boot('second', 'start', start - 86_400_000)], signal);
        expect((await load()).lastBoot).toEqual({ bootId: 'second', event: 'start', at: start - 86_400_000 });
      });
    });

    describe('a tick', () => {
      test('is one piece: what it opened, what it refused, and how far time is handled', async () => {
        const id = await bed.define('one');
        const [run, refused] = [openRun({ scheduleId: id, fire: 1 }), openRun({ scheduleId: id })];
        await ledger.tick(tickOf(1), start + 1003, [open(run), skip(refused)], signal);
        expect(await ledger.newestTick(signal)).toEqual(tickOf(1));
        expect(await waiting()).toEqual([run.runId]);
        expect(await ledger.fate(refused.runId, signal)).toMatchObject({ kind: 'closed', closing: { state: 'skipped' } });
      });

      test('keeps how far into a slice it came, the gap it fills, and up to where the past is played again', async () => {
        const tick = tickOf(1, {
          partly: { due: start + 2000, throughId: 41 },
          gap: { from: start - 3_600_000, to: start },
          replayUntil: start + 86_400_000,
        });
        await ledger.tick(tick, start + 1003, [], signal);
        expect(await ledger.newestTick(signal)).toEqual(tick);
        expect((await load()).tick).toEqual(tick);
      });

      test('of a number that is there is refused, with all it would have written', async () => {
        const [first, second] = [openRun(), openRun()];
        await ledger.tick(tickOf(1), start, [open(first)], signal);
        for (const seq of [0, 1]) {
          await expect(ledger.tick(tickOf(seq, { watermark: start + 9000 }), start, [open(second)], signal)).rejects.toThrow(
            'there already',
          );
        }
        expect(await waiting()).toEqual([first.runId]);
        expect(await ledger.newestTick(signal)).toEqual(tickOf(1));
      });

      test('is taken once where two write the same one at the same moment', async () => {
        const runs = [openRun(), openRun()] as const;
        const both = await Promise.allSettled([
          ledger.tick(tickOf(1), start, [open(runs[0])], signal),
          bed.other.tick(tickOf(1), start, [open(runs[1])], signal),
        ]);
        expect(both.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
        expect(await waiting()).toEqual([runs[both[0].status === 'fulfilled' ? 0 : 1]?.runId]);
      });

      test('that closes what is not open is refused as a whole', async () => {
        const run = openRun();
        await expect(ledger.tick(tickOf(1), start, [open(run), close(openRun())], signal)).rejects.toThrow('not open');
        expect(await waiting()).toEqual([]);
        expect(await ledger.newestTick(signal)).toEqual(tickOf(0));
      });

      test('may close what waits, and open what replaces it', async () => {
        const [before, after] = [openRun(), openRun()];
        await opened(before);
        await ledger.tick(tickOf(1), start, [close(before, { state: 'cancelled', reason: 'replaced' }), open(after)], signal);
        expect(await waiting()).toEqual([after.runId]);
      });
    });

    describe('an open run', () => {
      test('comes back as it was written', async () => {
        const parent = newId();
        const run = openRun({
          schedule: 'näme "with\' everything; -- \n\t\\',
          exe: 'procedure',
          call: "SELECT 'it''s' -- $x\n",
          trigger: 'catchup',
          scheduledAt: Date.parse('1999-12-31T23:59:59.999Z'),
          openedAt: start + 0.0,
          attempt: 3,
          queue: 'critical',
          priority: 'background',
          params: { text: 'ünï 🪺 "\'\\', list: [1, null, { deep: true }], 'key with space': -0.5 },
          scheduleVersion: 12,
          rootRunId: parent,
          parentRunId: parent,
          retryOf: newId(),
          group: { key: "backfill:7'", limit: 3 },
          fire: 99,
          alone: true,
        });
        const ofNobody = openRun({ scheduleId: null, trigger: 'event', notBefore: start + 500 });
        await opened(run, ofNobody);
        expect(await ledger.waiting({ now: start + 2000, limit: 10, perGroup: 10 }, signal)).toEqual(
          expect.arrayContaining([run, ofNobody]),
        );
        expect(await ledger.openRunsOf(1, signal)).toEqual([run]);
        expect(await ledger.fate(ofNobody.runId, signal)).toEqual({ kind: 'open', run: ofNobody });
      });

      test('waits by priority, then by the time that it is for, then by its id', async () => {
        const at = (priority: OpenRun['priority'], scheduledAt: number) => openRun({ priority, scheduledAt: start + scheduledAt });
        const runs = [at('low', 1), at('normal', 30), at('normal', 20), at('critical', 50), at('normal', 20)] as const;
        await opened(...runs);
        const order = [runs[3], runs[2], runs[4], runs[1], runs[0]];
        expect(await waiting()).toEqual(idsOf(order));
        expect(await waiting({ limit: 2 })).toEqual(idsOf(order.slice(0, 2)));
      });

      test('rises by its age, and once above all goes by how long it has waited', async () => {
        const hour = 3_600_000;
        const at = (priority: OpenRun['priority'], openedAt: number, scheduledAt = openedAt) =>
          openRun({ priority, openedAt: start + openedAt, scheduledAt: start + scheduledAt });
        const young = [at('critical', hour - 1000), at('normal', hour - 2000)] as const;
        // As urgent as what is critical now, and for an earlier time.
        const risen = at('high', hour - 6 * 60_000);
        // A retry waits for its turn from when it was due.
        const retry = openRun({ attempt: 2, priority: 'background', openedAt: start, notBefore: start + hour - 500 });
        const old = [at('background', 60_000, -hour), at('low', 30_000)] as const;
        await opened(...young, risen, retry, ...old);
        expect(await waiting({ now: start + hour })).toEqual(idsOf([old[1], old[0], risen, young[0], young[1], retry]));
      });

      test('takes turns with those of other queues, so that none of them is hidden; a queue is one however it is written', async () => {
        const of = (queue: string, at: number) => openRun({ queue, scheduledAt: start + at });
        const full = [of('default', 1), of('Default', 2), of('DEFAULT', 3), of('default', 4)] as const;
        const others = [of('low', 5), of('low', 6), of('critical', 7)] as const;
        await opened(...full, ...others);
        const turns = [full[0], others[0], others[2], full[1], others[1], full[2], full[3]];
        expect(await waiting()).toEqual(idsOf(turns));
        expect(await waiting({ limit: 4 })).toEqual(idsOf(turns.slice(0, 4)));
      });

      test('that is to start later does not wait before its time', async () => {
        const run = openRun({ notBefore: start + 60_000, attempt: 2 });
        await opened(run);
        expect(await waiting({ now: start + 59_999 })).toEqual([]);
        expect(await waiting({ now: start + 60_000 })).toEqual([run.runId]);
      });

      test('stands behind the first of its group, so that one group does not hide the others', async () => {
        const member = (key: string, at: number) => openRun({ group: { key, limit: 1 }, scheduledAt: start + at });
        const [a1, a2, a3, b1] = [member('a', 1), member('a', 2), member('a', 3), member('b', 4)];
        const free = openRun({ scheduledAt: start + 5 });
        await opened(a3, a2, a1, b1, free);
        expect(await waiting({ perGroup: 1 })).toEqual(idsOf([a1, b1, free]));
        expect(await waiting({ perGroup: 2 })).toEqual(idsOf([a1, a2, b1, free]));
      });

      test('counts as in flight by its schedule, those by hand aside', async () => {
        await opened(
          openRun(),
          openRun({ attempt: 2, notBefore: start + 60_000 }),
          openRun({ trigger: 'catchup' }),
          openRun({ trigger: 'manual' }),
          openRun({ trigger: 'backfill' }),
          openRun({ scheduleId: 2, trigger: 'after' }),
          openRun({ scheduleId: null, trigger: 'event' }),
        );
        const { inFlight, openRuns } = await load();
        expect(inFlight).toEqual(
          new Map([
            [1, { live: 2, catchup: 1 }],
            [2, { live: 1, catchup: 0 }],
          ]),
        );
        expect(openRuns).toBe(7);
      });

      test('is let go by a boot that has stopped', async () => {
        const [run, killed] = [openRun(), openRun()];
        await opened(run, killed);
        const begin = (of: OpenRun, bootId: string): Unit => [{ kind: 'begin', runId: of.runId, bootId, at: start }];
        await ledger.write([begin(run, 'stopped'), begin(killed, 'killed')], signal);
        await ledger.write([[{ kind: 'boot', bootId: 'stopped', event: 'stop', at: start }]], signal);
        expect((await load()).begun).toEqual([{ run: killed, startedAt: start }]);
        await ledger.write([[{ kind: 'begin', runId: run.runId, bootId: 'killed', at: start + 7000 }]], signal);
        expect((await load()).begun).toEqual([
          { run, startedAt: start + 7000 },
          { run: killed, startedAt: start },
        ]);
      });

      test('whose start was made durable is told to whoever begins after a crash', async () => {
        const [begun, waits] = [openRun(), openRun()];
        await opened(begun, waits);
        const begin = (run: OpenRun): Unit => [{ kind: 'begin', runId: run.runId, bootId: 'boot', at: start }];
        expect(await ledger.write([begin(begun), begin(openRun())], signal)).toEqual([true, false]);
        expect((await load()).begun).toEqual([{ run: begun, startedAt: start }]);
        await ledger.write([[close(begun)]], signal);
        expect((await load()).begun).toEqual([]);
        expect(await ledger.write([begin(begun)], signal)).toEqual([false]);
      });
    });

    describe('a batch', () => {
      test('writes the units whose run is open, and nothing of the others', async () => {
        const [run, gone] = [openRun(), openRun()];
        await opened(run);
        const [retry, other] = [retryOf(run), retryOf(gone)];
        const units = [
          [close(gone, { state: 'failed', final: false }), open(other)],
          [close(run, { state: 'failed', final: false }), open(retry)],
          [open(openRun())],
        ];
        expect(await ledger.write(units, signal)).toEqual([false, true, true]);
        expect(await ledger.fate(other.runId, signal)).toEqual({ kind: 'unknown' });
        expect(await ledger.fate(retry.runId, signal)).toMatchObject({ kind: 'open' });
        expect(await ledger.fate(run.runId, signal)).toMatchObject({
          kind: 'closed',
          marked: false,
          closing: { state: 'failed', final: false },
        });
      });

      test('closes a run once, however often it is asked to', async () => {
        const run = openRun();
        await opened(run);
        const units = [[close(run)], [close(run, { state: 'cancelled' })], [close(run)]];
        expect(await ledger.write(units, signal)).toEqual([true, false, false]);
        expect(await ledger.write(units, signal)).toEqual([false, false, false]);
        expect(await ledger.fate(run.runId, signal)).toMatchObject({ closing: { state: 'succeeded' } });
      });

      test('closes a run once where two close it at the same moment', async () => {
        const runs = Array.from({ length: 20 }, () => openRun());
        await opened(...runs);
        const units = (state: 'succeeded' | 'failed') => runs.map((run): Unit => [close(run, { state }), open(retryOf(run))]);
        const [one, other] = await Promise.all([
          ledger.write(units('succeeded'), signal),
          bed.other.write(units('failed').reverse(), signal),
        ]);
        expect(one?.map((isMine, index) => isMine !== other?.at(-1 - index))).toEqual(runs.map(() => true));
        expect((await load()).openRuns).toBe(20);
      });

      test('may close what it opens', async () => {
        const run = openRun();
        expect(await ledger.write([[open(run)], [close(run)]], signal)).toEqual([true, true]);
        expect(await ledger.fate(run.runId, signal)).toMatchObject({ kind: 'closed' });
        const never = openRun();
        expect(await ledger.write([[close(openRun()), open(never)], [close(never)]], signal)).toEqual([false, false]);
      });

      test('of thousands of units is written whole, and in order', async () => {
        const runs = Array.from({ length: 5000 }, (_, index) =>
          openRun({
            scheduleId: 1 + (index % 7),
            schedule: `schedule ${index % 7}`,
            scheduledAt: start + index,
            fire: index,
            params: index % 3 === 0 ? { index } : {},
          }),
        );
        await opened(...runs);
        expect(await waiting({ limit: 10_000 })).toEqual(idsOf(runs));
        const answers = await ledger.write(
          runs.map((run, index) => [
            close(run, {
              finishedAt: start + 5000 - index,
              outcome: { result: [{ index }], rowsChanged: index, error: null, guarantee: 'at_least_once', conflicts: 0 },
              counters: { consecutiveFailures: index, openedFires: 0, lastSuccessAt: start + index },
            }),
          ]),
          signal,
        );
        expect(answers.every(Boolean)).toBe(true);
        const { counters, openRuns } = await load();
        expect(openRuns).toBe(0);
        // The one that was written last tells, whatever its clock said.
        expect(counters.get(1)).toEqual({ consecutiveFailures: 4998, openedFires: 0, lastSuccessAt: start + 4998 });
      });

      test('of nothing is nothing', async () => {
        expect(await ledger.write([], signal)).toEqual([]);
        expect(await ledger.applied([], signal)).toEqual([]);
        expect(await ledger.ran([], signal)).toEqual(new Set());
      });
    });

    describe('after an error of a batch, what is there is told', () => {
      const applied = async (unit: Unit): Promise<boolean | undefined> => (await ledger.applied([unit], signal))[0];

      test.each<[string, (run: OpenRun) => Unit]>([
        ['the next attempt', (run) => [close(run, { state: 'failed', final: false }), open(retryOf(run))]],
        ['a closing row', (run) => [close(run)]],
        ['a refused fire', () => [skip(openRun())]],
        ['a durable start', (run) => [{ kind: 'begin', runId: run.runId, bootId: 'boot', at: start }]],
        ['a run that has ended since', (run) => [close(run), open(openRun())]],
      ])('by %s', async (_, unitOf) => {
        const run = openRun();
        await opened(run);
        const unit = unitOf(run);
        expect(await applied(unit)).toBe(false);
        await ledger.write([unit], signal);
        expect(await applied(unit)).toBe(true);
        for (const write of unit) if (write.kind === 'open') await ledger.write([[close(write.run)]], signal);
        expect(await applied(unit)).toBe(true);
      });

      test('and somebody else’s close of the same run is not taken for it', async () => {
        const run = openRun();
        await opened(run);
        await ledger.write([[close(run, { state: 'cancelled', reason: 'dropped', finishedAt: start + 7 })]], signal);
        expect(await applied([close(run)])).toBe(false);
        expect(await applied([close(run), open(retryOf(run))])).toBe(false);
      });

      test('by tokens, and by their use', async () => {
        const [token, run] = [tokenOf(), openRun()];
        const give: Unit = [{ kind: 'token', token }];
        const use: Unit = [{ kind: 'useTokens', tokenIds: [token.tokenId] }, open(run)];
        expect(await applied(give)).toBe(false);
        await ledger.write([give], signal);
        expect(await applied(give)).toBe(true);
        expect(await applied(use)).toBe(false);
        await ledger.write([use], signal);
        expect(await applied(use)).toBe(true);
      });
    });

    describe('the fence', () => {
      test('lets a run’s own transaction close it once', async () => {
        const run = openRun();
        await opened(run);
        expect(await bed.closeInside(closing(run), false)).toBe('removed');
        expect(await bed.closeInside(closing(run), false)).toBe('fenced');
        expect(await ledger.write([[close(run)]], signal)).toEqual([false]);
        expect(await ledger.fate(run.runId, signal)).toMatchObject({ kind: 'closed', marked: false });
      });

      test('holds against a run that somebody else has closed', async () => {
        const run = openRun();
        await opened(run);
        await ledger.write([[close(run, { state: 'cancelled', reason: 'cancelled by hand' })]], signal);
        expect(await bed.closeInside(closing(run), true)).toBe('fenced');
        expect(await ledger.fate(run.runId, signal)).toMatchObject({ closing: { state: 'cancelled', reason: 'cancelled by hand' } });
      });

      test('leaves a mark where something follows, until that is written, once', async () => {
        const run = openRun({ alone: true, fire: 3 });
        await opened(run);
        expect(await bed.closeInside(closing(run), true)).toBe('marked');
        expect(await bed.closeInside(closing(run), true)).toBe('fenced');
        expect(await ledger.write([[close(run)]], signal)).toEqual([false]);
        expect(await waiting()).toEqual([]);
        expect(await ledger.openRunsOf(1, signal)).toEqual([]);
        const { marks, openRuns, inFlight } = await load();
        const { state, reason, finishedAt, startedAt, final } = closing(run);
        expect(marks).toMatchObject([{ run, state, reason, finishedAt, startedAt, final }]);
        expect([openRuns, inFlight.size]).toEqual([0, 0]);
        expect(await ledger.fate(run.runId, signal)).toMatchObject({ kind: 'closed', marked: true, closing: { run, state } });
        const unit: Unit = [
          { kind: 'settle', runId: run.runId },
          { kind: 'token', token: tokenOf({ runId: run.runId }) },
        ];
        expect(await ledger.applied([unit], signal)).toEqual([false]);
        expect(await ledger.write([unit, unit.slice(0, 1)], signal)).toEqual([true, false]);
        expect(await ledger.applied([unit], signal)).toEqual([true]);
        expect((await load()).marks).toEqual([]);
        expect(await ledger.fate(run.runId, signal)).toMatchObject({ kind: 'closed', marked: false });
      });

      test('does not settle what is merely open', async () => {
        const run = openRun();
        await opened(run);
        expect(await ledger.write([[{ kind: 'settle', runId: run.runId }, open(openRun())]], signal)).toEqual([false]);
        expect(await waiting()).toEqual([run.runId]);
      });
    });

    describe('tokens', () => {
      test('are kept in the order in which they were given, and used once', async () => {
        const tokens = [
          tokenOf({ scheduledAt: start + 3000 }),
          tokenOf({ state: 'failed' }),
          tokenOf({ childId: 5, parentId: 4 }),
        ] as const;
        await ledger.write([tokens.map((token) => ({ kind: 'token', token }) as const)], signal);
        expect((await load()).tokens).toEqual(tokens);
        const use = (run: OpenRun, ...used: readonly Token[]): Unit => [
          { kind: 'useTokens', tokenIds: used.map((token) => token.tokenId) },
          open(run),
        ];
        const [child, twin] = [openRun(), openRun()];
        expect(await ledger.write([use(child, tokens[0], tokens[1]), use(twin, tokens[1], tokens[2])], signal)).toEqual([true, false]);
        expect((await load()).tokens).toEqual([tokens[2]]);
        expect(await waiting()).toEqual([child.runId]);
      });
    });

    describe('what a schedule has come to', () => {
      const counters = (consecutiveFailures: number, openedFires: number, lastSuccessAt: number | null = null) => ({
        consecutiveFailures,
        openedFires,
        lastSuccessAt,
      });

      test('stands in its newest close; fires and the last success never go back', async () => {
        const runs = [openRun(), openRun(), openRun({ scheduleId: 2 }), openRun({ scheduleId: null })] as const;
        await opened(...runs);
        await ledger.write([[close(runs[0], { counters: counters(0, 7, start) })]], signal);
        await ledger.write(
          [
            [close(runs[1], { state: 'failed', counters: counters(1, 7, start) })],
            [close(runs[2], { counters: counters(0, 1, start + 5) })],
            [close(runs[3], { counters: counters(9, 9) })],
          ],
          signal,
        );
        expect((await load()).counters).toEqual(
          new Map([
            [1, counters(1, 7, start)],
            [2, counters(0, 1, start + 5)],
          ]),
        );
      });

      test('counts the fires that are open too', async () => {
        const run = openRun();
        await opened(run, openRun({ fire: 12 }), openRun({ scheduleId: 3, fire: 1 }));
        await ledger.write([[close(run, { counters: counters(2, 11) })]], signal);
        expect((await load()).counters).toEqual(
          new Map([
            [1, counters(2, 12)],
            [3, counters(0, 1)],
          ]),
        );
      });

      test('knows which instants have had a run; one that was refused had none', async () => {
        const instants = [1000, 2000, 3000, 4000].map((after) => ({ scheduleId: 1, scheduledAt: start + after }));
        const [isOpen, isClosed, refused] = instants.map((instant) => openRun(instant));
        if (isOpen === undefined || isClosed === undefined || refused === undefined) return expect.unreachable();
        await opened(isOpen, isClosed);
        await ledger.write([[close(isClosed, { state: 'failed' })], [skip(refused)]], signal);
        const asked = [...instants, { scheduleId: 2, scheduledAt: start + 1000 }];
        expect(await ledger.ran(asked, signal)).toEqual(new Set([`1@${start + 1000}`, `1@${start + 2000}`]));
        // Whatever is refused later, and for the same instant.
        await ledger.write([[skip(openRun({ scheduledAt: start + 2000 }))]], signal);
        expect(await ledger.ran(asked, signal)).toEqual(new Set([`1@${start + 1000}`, `1@${start + 2000}`]));
      });

      test('does not take a run by hand for one of the clock’s instants', async () => {
        const instants = [1000, 2000, 3000].map((after) => ({ scheduleId: 1, scheduledAt: start + after }));
        const [byHand, byApi, backfill] = (['manual', 'api', 'backfill'] as const).map((trigger, index) =>
          openRun({ ...instants[index], trigger }),
        );
        if (byHand === undefined || byApi === undefined || backfill === undefined) return expect.unreachable();
        await opened(byHand, byApi, backfill);
        expect(await ledger.ran(instants, signal)).toEqual(new Set([`1@${start + 3000}`]));
        await ledger.write([[close(byHand)], [close(byApi)], [close(backfill)]], signal);
        expect(await ledger.ran(instants, signal)).toEqual(new Set([`1@${start + 3000}`]));
      });
    });

    describe('definitions', () => {
      test('are told whole at first, then what has changed since', async () => {
        const one = await bed.define('one');
        const first = await load();
        expect(first.definitions).toMatchObject([{ kind: 'defined', definition: { scheduleId: one, name: 'one', enabled: true } }]);
        expect(await ledger.changes(first.revision, signal)).toMatchObject({ revision: first.revision, definitions: [] });
        const two = await bed.define('two');
        const second = await ledger.changes(first.revision, signal);
        expect(second.definitions).toMatchObject([{ kind: 'defined', definition: { scheduleId: two } }]);
        await bed.drop('one');
        const third = await ledger.changes(second.revision, signal);
        expect(third.definitions).toEqual([{ kind: 'dropped', scheduleId: one }]);
        // Who has missed an answer asks again.
        expect((await ledger.changes(first.revision, signal)).definitions).toHaveLength(2);
        expect((await load()).definitions).toMatchObject([{ definition: { scheduleId: two } }]);
      });

      test('disable themselves once, as a version of their own', async () => {
        const id = await bed.define('one');
        const { revision, definitions } = await load();
        const [before] = definitions;
        const disable: Unit = [{ kind: 'disable', scheduleId: id, at: start + 5, reason: '3 failures in a row' }];
        expect(await ledger.write([disable, disable], signal)).toEqual([true, true]);
        const changes = await ledger.changes(revision, signal);
        if (before?.kind !== 'defined') return expect.unreachable();
        const { definition } = before;
        expect(changes.definitions).toEqual([
          { kind: 'defined', definition: { ...definition, enabled: false, version: definition.version + 1 } },
        ]);
        expect(await ledger.write([disable], signal)).toEqual([true]);
        expect(await ledger.changes(changes.revision, signal)).toMatchObject({ revision: changes.revision, definitions: [] });
      });

      test('come with the queues and the pause as they are now', async () => {
        const { revision, queues } = await load();
        const slow: QueueDefinition = { name: 'slow', weight: 2, concurrency: 3, rate: { count: 5, perMs: 60_000 }, paused: false };
        await bed.defineQueue(slow);
        await bed.pause(start + 5);
        const changes = await ledger.changes(revision, signal);
        expect(changes.pausedAt).toBe(start + 5);
        expect(changes.queues).toHaveLength(queues.length + 1);
        expect(changes.queues).toContainEqual(slow);
        await bed.pause(null);
        expect((await ledger.changes(revision, signal)).pausedAt).toBeNull();
      });
    });

    test('remembers the starts of queues with a rate, for as long as the rate looks back', async () => {
      await bed.defineQueue({ name: 'slow', weight: 1, concurrency: null, rate: { count: 2, perMs: 60_000 }, paused: false });
      const runs = [-70_000, -50_000, -40_000, -30_000].map((ago) => ({ run: openRun({ queue: 'slow' }), at: start + ago }));
      const elsewhere = openRun();
      await opened(...runs.map(({ run }) => run), elsewhere);
      await ledger.write(
        [...runs.map(({ run, at }): Unit => [close(run, { startedAt: at })]), [close(elsewhere, { startedAt: start })]],
        signal,
      );
      const begun = openRun({ queue: 'SLOW' });
      await opened(begun);
      await ledger.write([[{ kind: 'begin', runId: begun.runId, bootId: 'boot', at: start - 20_000 }]], signal);
      const { recentStarts } = await load();
      expect(recentStarts.slice(-2)).toEqual([
        { queue: 'slow', at: start - 30_000 },
        { queue: 'slow', at: start - 20_000 },
      ]);
      expect(recentStarts.filter(({ queue }) => queue !== 'slow')).toEqual([]);
    });

    test('keeps an alert until it has ended', async () => {
      const alert = {
        alertId: newId(),
        rule: 'slow',
        schedule: 'one',
        runId: newId(),
        since: start,
        endedAt: null,
        detail: 'since 5 minutes',
      } as const;
      const whole = { ...alert, alertId: newId(), rule: 'busy', schedule: null, runId: null } as const;
      await ledger.write([[{ kind: 'alert', alert }], [{ kind: 'alert', alert: whole }]], signal);
      expect((await load()).alerts).toEqual([alert, whole]);
      await ledger.write([[{ kind: 'alert', alert: { ...alert, endedAt: start + 5 } }]], signal);
      expect((await load()).alerts).toEqual([whole]);
    });

    test('knows nothing of a run that never was', async () => {
      expect(await ledger.fate(newId(), signal)).toEqual({ kind: 'unknown' });
      expect(await ledger.openRunsOf(77, signal)).toEqual([]);
    });

    test('does nothing for a call that was aborted before it began', async () => {
      const run = openRun();
      const aborted = AbortSignal.abort(new Error('enough'));
      await expect(ledger.tick(tickOf(1), start, [open(run)], aborted)).rejects.toThrow();
      await expect(ledger.write([[open(run)]], aborted)).rejects.toThrow();
      for (const read of [
        () => ledger.load(aborted),
        () => ledger.changes(0, aborted),
        () => ledger.waiting({ now: start, limit: 1, perGroup: 1 }, aborted),
        () => ledger.fate(run.runId, aborted),
      ]) {
        await expect(read()).rejects.toThrow();
      }
      expect(await ledger.newestTick(signal)).toEqual(tickOf(0));
      expect(await waiting()).toEqual([]);
    });
  });
}
