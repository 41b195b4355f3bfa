// One life of a process: a scheduler with a clock, a ledger and work of its own, all of which end with it at once. A crash is that
// nothing of it goes on: timers do not fire, calls are never answered, work leaves no trace. Only the ledger stays.

import type { Clock, Timer } from '../../src/scheduler/clock.ts';
import { Scheduler } from '../../src/scheduler/loop.ts';
import type { Execution, Ports, StopReason, Storage, Work } from '../../src/scheduler/ports.ts';
import type { Closing, OpenRun, Outcome } from '../../src/scheduler/run.ts';
import type { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import { type Faults, FaultyLedger } from './faults.ts';
import type { Journal } from './journal.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';
import { minute, type WorkProfile } from './world.ts';

export interface LifeParts {
  readonly clock: VirtualClock;
  readonly store: Store;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly random: Random;
  readonly work: (run: OpenRun) => WorkProfile;
  readonly storage: () => Storage | undefined;
  readonly newRunId: (at: number) => string;
  readonly plant: Plant;
  readonly died: () => void;
}

/** Where a test breaks something on purpose. */
export interface Plant {
  readonly ports?: (ports: Ports) => Ports;
  /** What a run has done stays, also where the run was closed by somebody else. */
  readonly unfenced?: boolean;
}

export class Life {
  readonly scheduler: Scheduler;
  readonly bootId: string;
  readonly clock: LifeClock;
  readonly #parts: LifeParts;
  readonly #number: number;
  #alive = true;

  constructor(number: number, parts: LifeParts) {
    this.#parts = parts;
    this.#number = number;
    this.bootId = `boot${number}`;
    this.clock = new LifeClock(parts.clock, parts.faults);
    const { journal, faults } = parts;
    const ledger = new FaultyLedger(parts.store.ledger, faults, {
      clock: this.clock,
      isAlive: () => this.#alive,
      die: () => this.die(),
      note: (text) => journal.note(text),
      read: (changes) => {
        if (this.#alive) journal.read(changes);
      },
    });
    const ports: Ports = {
      clock: this.clock,
      ledger,
      execute: (work, signal) => this.#execute(work, signal),
      random: () => parts.random.next(),
      newRunId: parts.newRunId,
      bootId: this.bootId,
      storage: () => Promise.resolve(parts.storage()),
    };
    this.scheduler = new Scheduler(parts.plant.ports?.(ports) ?? ports);
    journal.watch(this.scheduler, () => this.#alive);
  }

  get isAlive(): boolean {
    return this.#alive;
  }

  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.clock.end();
    this.#parts.journal.work.died();
    this.#parts.died();
  }

  /** A process that has stopped ends in order. */
  leave(): void {
    this.#alive = false;
    this.clock.end();
    this.#parts.journal.work.left();
  }

  /** Plays the work of a run. */
  async #execute(work: Work, signal: AbortSignal): Promise<Execution> {
    const { journal, random } = this.#parts;
    const { run } = work;
    if (!this.#alive) return never();
    const profile = this.#parts.work(run);
    const chance = random.stream(`${run.runId} ${this.#number}`);
    journal.work.started(work);
    try {
      const execution = await this.#attempt(work, profile, chance, signal);
      return this.#alive ? execution : await never();
    } finally {
      if (this.#alive) journal.work.ended(run);
    }
  }

  async #attempt(work: Work, profile: WorkProfile, chance: Random, signal: AbortSignal): Promise<Execution> {
    const { journal, store, faults } = this.#parts;
    const { run, startedAt } = work;
    if (chance.chance(profile.skips)) return { outcome: outcome('skipped', 'when: the condition was false', profile), closed: 'no' };
    if (profile.exe === 'command') {
      await work.begin();
      if (!this.#alive) return never();
      journal.work.begun(run);
    }
    if (chance.chance(profile.throws)) throw new Error('the executor threw');
    const timeoutMs = journal.policyOf(run.scheduleId)?.timeoutMs ?? Number.POSITIVE_INFINITY;
    const hangs = chance.chance(profile.hangs) && !faults.isOver;
    const kills = chance.chance(profile.kills);
    const mostMs = faults.isOver ? Math.min(profile.mostMs, 1000) : profile.mostMs;
    const wantedMs = hangs
      ? Number.POSITIVE_INFINITY
      : chance.spread(Math.max(Math.min(profile.leastMs, mostMs), 1), Math.max(mostMs, 1)) - 1;
    const aborted = await this.#wait(Math.min(wantedMs, timeoutMs), signal);
    if (!this.#alive) return never();
    if (kills && !faults.isOver) {
      journal.note(`${run.runId} takes the process with it`);
      this.die();
      return never();
    }
    if (aborted !== undefined) {
      // Whoever is asked to end does so soon, not at once.
      if (chance.chance(0.5)) await this.clock.sleep(chance.spread(1, 3000));
      return { outcome: abortedOutcome(aborted, profile), closed: 'no' };
    }
    if (timeoutMs < wantedMs) return { outcome: outcome('timed_out', `timeout after ${timeoutMs} ms`, profile), closed: 'no' };
    if (chance.chance(profile.fails) && !faults.isOver) return { outcome: outcome('failed', 'it went wrong', profile), closed: 'no' };
    const succeeded = outcome('succeeded', null, profile);
    if (profile.exe === 'command') return { outcome: succeeded, closed: 'no' };
    const { counters, marks } = work.closing();
    const closing: Closing = {
      run,
      startedAt,
      finishedAt: this.clock.now(),
      state: 'succeeded',
      reason: null,
      final: true,
      outcome: succeeded,
      counters,
      waitedFor: work.waitedFor,
    };
    // Once it is sent, a commit may become true after its process is gone.
    if (chance.chance(0.3)) await this.#parts.clock.sleep(chance.spread(Math.max(profile.commitMs / 100, 1), profile.commitMs));
    if (!this.#alive) {
      if (faults.isOver || chance.chance(0.5)) return never();
      await this.#parts.clock.sleep(chance.spread(1, 10 * minute));
    }
    if (this.#alive && chance.chance(faults.at(this.clock.monotonicMs()).crash)) {
      journal.note(`the process dies before ${run.runId} commits`);
      this.die();
      return never();
    }
    const fenced = await store.closeInside(closing, marks);
    const closed = fenced === 'fenced' && this.#parts.plant.unfenced === true ? journal.runs.unfenced(run) : fenced;
    if (!this.#alive) return never();
    if (chance.chance(faults.at(this.clock.monotonicMs()).crash)) {
      journal.note(`the process dies after ${run.runId} has committed`);
      this.die();
      return never();
    }
    if (chance.chance(0.3)) await this.clock.sleep(chance.spread(1, 50));
    return { outcome: succeeded, closed };
  }

  /** Answers why it was aborted; undefined: the time has passed. */
  #wait(ms: number, signal: AbortSignal): Promise<StopReason | undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) {
        resolve(signal.reason as StopReason);
        return;
      }
      const timer = Number.isFinite(ms) ? this.clock.after(ms, () => resolve(undefined)) : undefined;
      signal.addEventListener(
        'abort',
        () => {
          timer?.cancel();
          resolve(signal.reason as StopReason);
        },
        { once: true },
      );
    });
  }
}

const never = <T>(): Promise<T> => new Promise<T>(() => {});

function outcome(state: Outcome['state'], reason: string | null, profile: WorkProfile): Outcome {
  return {
    state,
    reason,
    result: null,
    rowsChanged: state === 'succeeded' ? 1 : null,
    error: state === 'failed' ? { code: 'run_failed', message: reason ?? '', detail: null } : null,
    guarantee: profile.exe === 'sql' ? 'exactly_once' : 'at_least_once',
    conflicts: 0,
  };
}

function abortedOutcome(reason: StopReason, profile: WorkProfile): Outcome {
  switch (reason.kind) {
    case 'cancelled':
      return outcome('cancelled', reason.reason, profile);
    case 'shutdown':
      return outcome('interrupted', 'the scheduler stops', profile);
    default:
      return reason satisfies never;
  }
}

/** The clock of a process: its timers end with it, and each look at it may cost time. */
export class LifeClock implements Clock {
  readonly #clock: VirtualClock;
  readonly #faults: Faults;
  readonly #timers = new Set<Timer>();
  #ended = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #baseMs = Number.NEGATIVE_INFINITY;

  constructor(clock: VirtualClock, faults: Faults) {
    this.#clock = clock;
    this.#faults = faults;
  }

  end(): void {
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  now(): number {
    return this.#clock.now();
  }

  monotonicMs(): number {
    const baseMs = this.#clock.monotonicMs();
    const { lookMs } = this.#faults.at(baseMs);
    this.#lookedMs = baseMs > this.#baseMs ? Math.max(baseMs, this.#lookedMs) : this.#lookedMs + lookMs;
    this.#baseMs = baseMs;
    return this.#lookedMs;
  }

  after(ms: number, callback: () => void): Timer {
    if (this.#ended) return { cancel() {} };
    const timer = this.#clock.after(ms, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
    return {
      cancel: () => {
        this.#timers.delete(timer);
        timer.cancel();
      },
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  yieldTurn(): Promise<void> {
    return this.#ended ? never() : this.#clock.yieldTurn();
  }
}
