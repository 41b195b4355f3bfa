// Mistakes made on purpose, from outside: a ledger that drops or doubles something, work that does not heed the fence, a clock that
// lies. Each is a bug that a scheduler could have; the simulator must see it.

import type { Ledger, LedgerState, Ports, Unit, Write } from '../../src/scheduler/ports.ts';
import type { Plant } from './process.ts';

type Planted = { readonly [Name in keyof Ledger]?: (ledger: Ledger) => Ledger[Name] };

function planted(changed: Planted): Plant {
  return {
    ports: (ports) => {
      const { ledger } = ports;
      return {
        ...ports,
        ledger: {
          load: changed.load?.(ledger) ?? ((signal) => ledger.load(signal)),
          changes: changed.changes?.(ledger) ?? ((revision, signal) => ledger.changes(revision, signal)),
          newestTick: changed.newestTick?.(ledger) ?? ((signal) => ledger.newestTick(signal)),
          tick: changed.tick?.(ledger) ?? ((tick, at, writes, signal) => ledger.tick(tick, at, writes, signal)),
          write: changed.write?.(ledger) ?? ((units, signal) => ledger.write(units, signal)),
          applied: changed.applied?.(ledger) ?? ((units, signal) => ledger.applied(units, signal)),
          waiting: changed.waiting?.(ledger) ?? ((request, signal) => ledger.waiting(request, signal)),
          openRunsOf: changed.openRunsOf?.(ledger) ?? ((scheduleId, signal) => ledger.openRunsOf(scheduleId, signal)),
          fate: changed.fate?.(ledger) ?? ((runId, signal) => ledger.fate(runId, signal)),
          ran: changed.ran?.(ledger) ?? ((instants, signal) => ledger.ran(instants, signal)),
        },
      };
    },
  };
}

const loaded = (change: (state: LedgerState) => Partial<LedgerState>): Plant =>
  planted({
    load: (ledger) => async (signal) => {
      const state = await ledger.load(signal);
      return { ...state, ...change(state) };
    },
  });

/** Of each unit only what passes; what is left empty is said to be written. */
const writing = (passes: (write: Write) => boolean): Plant =>
  planted({
    write: (ledger) => async (units, signal) => {
      const kept = units.map((unit) => unit.filter(passes));
      const written = await ledger.write(
        kept.filter((unit) => unit.length > 0),
        signal,
      );
      const answers = [...written];
      return kept.map((unit) => (unit.length > 0 ? (answers.shift() ?? false) : true));
    },
  });

const ported = (ports: (ports: Ports) => Ports): Plant => ({ ports });

/** Now and then, the same in every play. */
function everyNth(nth: number): () => boolean {
  let count = 0;
  return () => {
    count += 1;
    return count % nth === 0;
  };
}

export const plants: Readonly<Record<string, () => Plant>> = {
  'the watermark runs ahead of what is handled': () =>
    planted({
      tick: (ledger) => (tick, at, writes, signal) => ledger.tick({ ...tick, watermark: tick.watermark + 45_000 }, at, writes, signal),
    }),

  'the watermark is lost at a restart': () =>
    loaded((state) => ({ tick: { ...state.tick, watermark: state.tick.watermark - 120_000, partly: null, gap: null } })),

  'a tick opens twice': () => {
    const now = everyNth(5);
    return planted({
      tick: (ledger) => (tick, at, writes, signal) => {
        const [first] = writes.filter((write) => write.kind === 'open');
        const doubled =
          first !== undefined && now()
            ? [...writes, { kind: 'open', run: { ...first.run, runId: `${first.run.runId}x` } } as const]
            : writes;
        return ledger.tick(tick, at, doubled, signal);
      },
    });
  },

  'a tick that failed is believed': () =>
    planted({ tick: (ledger) => (tick, at, writes, signal) => ledger.tick(tick, at, writes, signal).catch(() => undefined) }),

  'a write that failed is believed': () =>
    planted({ write: (ledger) => (units, signal) => ledger.write(units, signal).catch(() => units.map(() => true)) }),

  'a write that had its effect is sent again': () => planted({ applied: () => (units) => Promise.resolve(units.map(() => false)) }),

  'the fence is missing': () => ({ unfenced: true }),

  'marks are forgotten at a restart': () => loaded(() => ({ marks: [] })),

  'tokens are forgotten at a restart': () => loaded(() => ({ tokens: [] })),

  'a token is not written': () => writing((write) => write.kind !== 'token'),

  'a retry is not written': () => writing((write) => write.kind !== 'open' || write.run.attempt === 1),

  'what was open is forgotten by overlap at a restart': () => loaded(() => ({ inFlight: new Map() })),

  'what was open is forgotten by the queue at a restart': () => loaded(() => ({ openRuns: 0 })),

  'what had begun durably is forgotten at a restart': () => loaded(() => ({ begun: [] })),

  'an unclean end is not seen': () => loaded(() => ({ lastBoot: undefined })),

  'the count of fires is forgotten at a restart': () => loaded(() => ({ counters: new Map() })),

  'a durable start is not written': () => writing((write) => write.kind !== 'begin'),

  'a failure does not disable': () => writing((write) => write.kind !== 'disable'),

  'what has run is forgotten when the clock goes back': () => planted({ ran: () => () => Promise.resolve(new Set()) }),

  'a drop is not read': () =>
    planted({
      changes: (ledger) => async (revision, signal) => {
        const changes = await ledger.changes(revision, signal);
        return { ...changes, definitions: changes.definitions.filter((change) => change.kind !== 'dropped') };
      },
    }),

  'groups are forgotten at a restart': () =>
    planted({
      waiting: (ledger) => async (request, signal) => (await ledger.waiting(request, signal)).map((run) => ({ ...run, group: null })),
    }),

  'a run that was closed is closed again': () =>
    planted({ write: (ledger) => (units, signal) => ledger.write(units.flatMap(twice), signal).then(everySecond) }),

  'the clock shows a second less': () =>
    ported((ports) => ({ ...ports, clock: { ...bound(ports.clock), now: () => ports.clock.now() - 1000 } })),

  'the monotonic clock stands still': () => ported((ports) => ({ ...ports, clock: { ...bound(ports.clock), monotonicMs: () => 0 } })),
};

const twice = (unit: Unit): Unit[] => [unit, unit];
const everySecond = (written: readonly boolean[]): boolean[] => written.filter((_, index) => index % 2 === 1);

function bound(clock: Ports['clock']): Ports['clock'] {
  return {
    now: () => clock.now(),
    monotonicMs: () => clock.monotonicMs(),
    after: (ms, callback, options) => clock.after(ms, callback, options),
    sleep: (ms) => clock.sleep(ms),
    yieldTurn: () => clock.yieldTurn(),
  };
}
