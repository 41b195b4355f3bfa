// A small world set by hand, for a story that a seed has told: one ledger in memory, a clock by hand, work that does as it is told,
// and calls of the ledger that fail or wait as the story wants.

import { Scheduler } from '../../src/scheduler/loop.ts';
import type { Execution, Ledger, SchedulerSettings, Work } from '../../src/scheduler/ports.ts';
import type { Closing, Outcome } from '../../src/scheduler/run.ts';
import type { Definition, Policy } from '../../src/scheduler/schedule.ts';
import { MemoryLedger } from '../../src/scheduler/simulation/memoryLedger.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import { plainDefinition, plainQueue, plainSettings, plainTiming } from '../support/plain.ts';

export const at = (time: string): number => Date.parse(`2027-06-15T${time}Z`);

export const succeeded: Outcome = {
  state: 'succeeded',
  reason: null,
  result: null,
  rowsChanged: null,
  error: null,
  guarantee: 'exactly_once',
  conflicts: 0,
};

export const failed: Outcome = { ...succeeded, state: 'failed', reason: 'it went wrong' };

const policy: Partial<Policy> = {
  overlap: 'allow',
  catchup: 'latest',
  retry: { maxRetries: 0, delayMs: 60_000, backoff: 'fixed', maxDelayMs: 3_600_000, jitter: false },
};

export const settings: SchedulerSettings = { ...plainSettings, maxRetries: 0 };

export class Stage {
  readonly clock: VirtualClock;
  readonly ledger: MemoryLedger;
  /** What a run does; at once and well without it. A number: it succeeds after so many milliseconds. */
  work: (work: Work, signal: AbortSignal) => Promise<Outcome> = () => Promise.resolve(succeeded);
  /** Before a call of the ledger has its effect; what it throws is the call's error. */
  before: (call: keyof Ledger) => Promise<void> = () => Promise.resolve();
  /** After it had its effect. */
  after: (call: keyof Ledger) => Promise<void> = () => Promise.resolve();
  readonly started: string[] = [];
  #ids = 0;
  #scheduleIds = 0;
  #boots = 0;
  #dead = new Set<number>();

  constructor(startAt: number) {
    this.clock = new VirtualClock({ startAt });
    this.ledger = new MemoryLedger({
      settings,
      queues: [plainQueue('default')],
      watermark: startAt,
    });
  }

  define(name: string, sched: string | undefined, changed: Partial<Policy> = {}): Definition {
    this.#scheduleIds += 1;
    const timing = sched === undefined ? undefined : plainTiming(sched, name);
    const definition = plainDefinition(
      { scheduleId: this.#scheduleIds, name, effectiveFrom: this.clock.now(), timing },
      { ...policy, ...changed },
    );
    this.ledger.define(definition);
    return definition;
  }

  /** A new process; the one before it, if it has not stopped, is dead from now on. */
  scheduler(): Scheduler {
    for (let boot = 1; boot <= this.#boots; boot++) this.#dead.add(boot);
    this.#boots += 1;
    const boot = this.#boots;
    const isDead = (): boolean => this.#dead.has(boot);
    const ledger = new Proxy<Ledger>(this.ledger, {
      get: (target, name: keyof Ledger) => {
        return async (...given: never[]) => {
          await this.before(name);
          if (isDead()) return new Promise(() => {});
          const answer = await (target[name] as (...given: never[]) => Promise<unknown>).apply(target, given);
          await this.after(name);
          return isDead() ? new Promise(() => {}) : answer;
        };
      },
    });
    const { clock } = this;
    return new Scheduler({
      clock: {
        now: () => clock.now(),
        monotonicMs: () => clock.monotonicMs(),
        after: (ms, callback) =>
          clock.after(ms, () => {
            if (!isDead()) callback();
          }),
        sleep: (ms) => clock.sleep(ms),
        yieldTurn: () => clock.yieldTurn(),
      },
      ledger,
      execute: async (work, signal): Promise<Execution> => {
        this.started.push(this.#shown(work));
        const outcome = await this.work(work, signal);
        if (isDead()) return new Promise(() => {});
        if (outcome.state !== 'succeeded') return { outcome, closed: 'no' };
        const { counters, marks } = work.closing();
        const { run, startedAt, waitedFor } = work;
        const closing: Closing = {
          run,
          startedAt,
          finishedAt: clock.now(),
          state: 'succeeded',
          reason: null,
          final: true,
          outcome,
          counters,
          waitedFor,
        };
        return { outcome, closed: this.ledger.closeInside(closing, { marks }) };
      },
      random: () => 0.5,
      newRunId: () => {
        this.#ids += 1;
        return `r${String(this.#ids).padStart(4, '0')}`;
      },
      bootId: `boot${boot}`,
      storage: () => Promise.resolve(undefined),
    });
  }

  /** A new process, which begins while time goes on. */
  async restart({ forMs }: { readonly forMs: number }): Promise<void> {
    const started = this.scheduler().start();
    await this.clock.advance(forMs);
    await started;
  }

  #shown({ run }: Work): string {
    const time = new Date(run.scheduledAt).toISOString().slice(11, 19);
    return `${run.schedule} ${time}${run.attempt > 1 ? ` attempt ${run.attempt}` : ''}`;
  }

  /** `name time state`, in the order in which they were closed. */
  get history(): string[] {
    return [...this.ledger.closedRuns].map(
      ({ run, state }) => `${run.schedule} ${new Date(run.scheduledAt).toISOString().slice(11, 19)} ${state}`,
    );
  }
}
