// What a scheduler would do between two instants: the real one, on a clock and a ledger of its own, with runs that take their
// usual time and succeed. Nothing is run, and nothing of it reaches a database.
//
// Each timer of the virtual clock costs the process one turn of its event loop, and a run takes at least one timer: so a year
// may be played beside a scheduler that has to be on time. Slices of planning end by real time for the same reason.

import type { Instant } from '../../core/instant.ts';
import type { Clock } from '../clock.ts';
import { Scheduler } from '../loop.ts';
import { succeededOutcome } from '../outcome.ts';
import type { Execution, QueueDefinition, SchedulerSettings, StopReason, Work, Write } from '../ports.ts';
import type { Closing, OpenRun, Outcome, Trigger } from '../run.ts';
import type { Definition } from '../schedule.ts';
import { MemoryLedger } from './memoryLedger.ts';
import { VirtualClock } from './virtualClock.ts';

export interface ForecastInput {
  readonly definitions: readonly Definition[];
  readonly settings: SchedulerSettings;
  readonly queues: readonly QueueDefinition[];
  /** How long runs of a schedule take, by its id; where nobody knows, no time at all. */
  readonly usualMs: ReadonlyMap<number, number>;
  /** Due instants in [from, to). */
  readonly from: Instant;
  readonly to: Instant;
  readonly mostRows: number;
  /** Of the process, not of the simulated world. */
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Forecast {
  /** In the order of their nominal time, and of one instant in the order in which they were decided. */
  readonly rows: readonly ForecastRow[];
  /** Up to where it came: `to`, unless there were too many rows or it was stopped. */
  readonly reached: Instant;
}

export interface ForecastRow {
  readonly scheduleId: number | null;
  readonly schedule: string;
  readonly trigger: Trigger;
  readonly scheduledAt: Instant;
  readonly openedAt: Instant;
  readonly queue: string;
  /** waits: open at the end, and not begun. */
  outcome: 'runs' | 'waits' | 'skipped' | 'cancelled';
  startedAt: Instant | null;
  /** Of what is at work at the end, when it will be done. */
  finishedAt: Instant | null;
  reason: string | null;
  waitedFor: string | null;
  /** Of a row that stands for several fires. */
  readonly fires: number | null;
}

export async function forecast(input: ForecastInput): Promise<Forecast> {
  const { from, to, mostRows, signal } = input;
  const world = new World(input);
  await world.scheduler.start();
  await world.clock.runUntil(() => world.rows.size > mostRows || signal.aborted, { withinMs: to - from });
  const ended = world.rows.size > mostRows || signal.aborted;
  const reached = ended ? world.clock.now() : to;
  const rows = [...world.rows.values()].map((row) => ({ ...row }));
  const paused = new Set(input.queues.filter((queue) => queue.paused).map((queue) => queue.name.toLowerCase()));
  for (const row of rows)
    if (row.outcome === 'waits' && paused.has(row.queue.toLowerCase())) row.waitedFor = `queue ${row.queue} is paused`;
  await world.scheduler.stop({ graceMs: 0 });
  return { rows: rows.sort((one, other) => one.scheduledAt - other.scheduledAt), reached };
}

class World {
  readonly clock: VirtualClock;
  readonly scheduler: Scheduler;
  /** By run id, in the order of their opening. */
  readonly rows = new Map<string, ForecastRow>();
  readonly #usualMs: ReadonlyMap<number, number>;
  #ids = 0;

  constructor({ definitions, settings, queues, usualMs, from, clock }: ForecastInput) {
    // The last millisecond that is handled already, so that what is due at `from` comes up.
    const startAt = from - 1;
    const virtual = new VirtualClock({ startAt });
    this.clock = virtual;
    this.#usualMs = usualMs;
    const ledger = new MemoryLedger({
      settings: { ...settings, ...asItGoes },
      queues,
      watermark: startAt,
      onCommit: (writes) => {
        for (const write of writes) this.#note(write);
      },
    });
    for (const definition of definitions) ledger.define(played(definition));
    this.scheduler = new Scheduler({
      clock: {
        now: () => virtual.now(),
        after: (ms, callback) => virtual.after(ms, callback),
        sleep: (ms) => virtual.sleep(ms),
        yieldTurn: () => virtual.yieldTurn(),
        monotonicMs: () => clock.monotonicMs(),
      },
      ledger,
      execute: (work, signal) => this.#execute(work, signal),
      random: () => 0.5,
      newRunId: () => this.#newRunId(),
      bootId: 'simulation',
      storage: () => Promise.resolve(undefined),
    });
  }

  #newRunId(): string {
    this.#ids += 1;
    return String(this.#ids).padStart(12, '0');
  }

  #execute({ run, startedAt, waitedFor }: Work, signal: AbortSignal): Promise<Execution> {
    const usualMs = this.#usualMs.get(run.scheduleId ?? 0) ?? 0;
    const row = this.rows.get(run.runId);
    const waited = startedAt > run.openedAt ? waitedFor : null;
    if (row !== undefined) Object.assign(row, { outcome: 'runs', startedAt, finishedAt: startedAt + usualMs, waitedFor: waited });
    return new Promise((resolve) => {
      const timer = this.clock.after(usualMs, () => resolve({ outcome: succeededOutcome, closed: 'no' }));
      signal.addEventListener('abort', () => {
        timer.cancel();
        const why = signal.reason as StopReason;
        const outcome: Outcome =
          why.kind === 'cancelled'
            ? { ...succeededOutcome, state: 'cancelled', reason: why.reason }
            : { ...succeededOutcome, state: 'interrupted' };
        resolve({ outcome, closed: 'no' });
      });
    });
  }

  #note(write: Write): void {
    if (write.kind === 'open') this.rows.set(write.run.runId, { ...rowOf(write.run), outcome: 'waits' });
    if (write.kind === 'skip') {
      const { run, reason, stretch } = write.closing;
      this.rows.set(run.runId, { ...rowOf(run), outcome: outcomeOf(write.closing), reason, fires: stretch?.fires ?? null });
    }
    if (write.kind === 'close') {
      const { run, finishedAt, startedAt, reason } = write.closing;
      const row = this.rows.get(run.runId);
      if (row !== undefined) Object.assign(row, { outcome: outcomeOf(write.closing), startedAt, finishedAt, reason });
    }
  }
}

/** Nobody is told, and only what is due wakes the loop. */
const asItGoes: Partial<SchedulerSettings> = {
  checkIntervalMs: 86_400_000,
  onFail: [],
  alerts: { failures: 0, backlog: 0, slowness: 0, busyMs: 0 },
};

/** As if it had been there all along; what a start of the scheduler or an end of a run would call is left out. */
function played(definition: Definition): Definition {
  const { timing, policy } = definition;
  const cadences = timing?.cadences.filter((cadence) => cadence.kind !== 'reboot') ?? [];
  return {
    ...definition,
    effectiveFrom: 0,
    timing: timing === undefined ? undefined : { ...timing, cadences },
    policy: { ...policy, onComplete: [], onFail: [], onSkip: [] },
  };
}

function rowOf({ scheduleId, schedule, trigger, scheduledAt, openedAt, queue }: OpenRun): Omit<ForecastRow, 'outcome'> {
  const nothingYet = { startedAt: null, finishedAt: null, reason: null, waitedFor: null, fires: null };
  return { scheduleId, schedule, trigger, scheduledAt, openedAt, queue, ...nothingYet };
}

function outcomeOf({ state }: Closing): ForecastRow['outcome'] {
  if (state === 'succeeded') return 'runs';
  return state === 'skipped' ? 'skipped' : 'cancelled';
}
