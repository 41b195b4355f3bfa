// What can go wrong with a call of a ledger: it is slow, it fails before its effect or after it, it hangs until it is aborted, the
// database is gone until it is opened again, the process dies in the middle. Wrapped around any ledger, in memory or DuckDB's.

import { Diagnostic } from '../../src/core/diagnostic.ts';
import type { Clock } from '../../src/scheduler/clock.ts';
import type { Changes, Fate, Ledger, LedgerState, ScheduledInstant, Tick, Unit, WaitingRequest, Write } from '../../src/scheduler/ports.ts';
import type { OpenRun } from '../../src/scheduler/run.ts';
import type { Random } from './random.ts';
import { type FaultProfile, minute, noFaults } from './world.ts';

export interface FaultyWorld {
  readonly clock: Clock;
  readonly isAlive: () => boolean;
  /** The process dies at this very moment. */
  die(): void;
  note(text: string): void;
  /** What the scheduler has read of definitions, just before it hears of it. */
  read(changes: Changes | LedgerState): void;
}

/** When what goes wrong. Lives longer than a process. */
export class Faults {
  readonly #random: Random;
  #profile: FaultProfile;
  #trouble: { readonly profile: FaultProfile; readonly untilMs: number } = { profile: noFaults, untilMs: 0 };
  #brokenUntilMs = Number.NEGATIVE_INFINITY;
  #over = false;

  constructor(random: Random, profile: FaultProfile) {
    this.#random = random;
    this.#profile = profile;
  }

  /** Nothing goes wrong any more. */
  end(): void {
    this.#over = true;
    this.#profile = noFaults;
  }

  get isOver(): boolean {
    return this.#over;
  }

  trouble(profile: FaultProfile, untilMs: number): void {
    this.#trouble = { profile, untilMs };
  }

  at(monotonicMs: number): FaultProfile {
    return !this.#over && monotonicMs < this.#trouble.untilMs ? this.#trouble.profile : this.#profile;
  }

  isBroken(monotonicMs: number): boolean {
    return !this.#over && monotonicMs < this.#brokenUntilMs;
  }

  break(untilMs: number): void {
    this.#brokenUntilMs = untilMs;
  }

  get random(): Random {
    return this.#random;
  }
}

const never = <T>(): Promise<T> => new Promise<T>(() => {});

export class FaultyLedger implements Ledger {
  readonly #ledger: Ledger;
  readonly #faults: Faults;
  readonly #world: FaultyWorld;

  constructor(ledger: Ledger, faults: Faults, world: FaultyWorld) {
    this.#ledger = ledger;
    this.#faults = faults;
    this.#world = world;
  }

  async load(signal: AbortSignal): Promise<LedgerState> {
    const state = await this.#call('load', signal, (inner) => this.#ledger.load(inner));
    this.#world.read(state);
    return state;
  }

  async changes(revision: number, signal: AbortSignal): Promise<Changes> {
    const changes = await this.#call('changes', signal, (inner) => this.#ledger.changes(revision, inner));
    this.#world.read(changes);
    return changes;
  }

  newestTick(signal: AbortSignal): Promise<Tick> {
    return this.#call('newestTick', signal, (inner) => this.#ledger.newestTick(inner));
  }

  tick(tick: Tick, at: number, writes: readonly Write[], signal: AbortSignal): Promise<void> {
    return this.#call('tick', signal, (inner) => this.#ledger.tick(tick, at, writes, inner));
  }

  write(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]> {
    return this.#call('write', signal, (inner) => this.#ledger.write(units, inner));
  }

  applied(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]> {
    return this.#call('applied', signal, (inner) => this.#ledger.applied(units, inner));
  }

  waiting(request: WaitingRequest, signal: AbortSignal): Promise<readonly OpenRun[]> {
    return this.#call('waiting', signal, (inner) => this.#ledger.waiting(request, inner));
  }

  openRunsOf(scheduleId: number, signal: AbortSignal): Promise<readonly OpenRun[]> {
    return this.#call('openRunsOf', signal, (inner) => this.#ledger.openRunsOf(scheduleId, inner));
  }

  fate(runId: string, signal: AbortSignal): Promise<Fate> {
    return this.#call('fate', signal, (inner) => this.#ledger.fate(runId, inner));
  }

  ran(instants: readonly ScheduledInstant[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    return this.#call('ran', signal, (inner) => this.#ledger.ran(instants, inner));
  }

  async #call<T>(what: string, signal: AbortSignal, effect: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const world = this.#world;
    const { clock } = world;
    if (!world.isAlive()) return never();
    signal.throwIfAborted();
    const faults = this.#faults;
    const { random } = faults;
    // Asked anew each time: it may have become calm while the call was on its way.
    const has = (fault: keyof FaultProfile): boolean => random.chance(faults.at(clock.monotonicMs())[fault]);
    if (faults.isBroken(clock.monotonicMs())) throw new Diagnostic('fatal', `the database is gone (${what})`);
    if (has('slow')) await clock.sleep(random.spread(1, 200));
    if (has('crash')) {
      world.note(`the process dies before ${what}`);
      world.die();
      return never();
    }
    if (has('before')) {
      world.note(`${what} fails before its effect`);
      throw failure(random, what);
    }
    if (has('fatal')) {
      const takesEffect = random.chance(0.5);
      world.note(`${what} is the last call of this database for a while, ${takesEffect ? 'with' : 'without'} its effect`);
      faults.break(clock.monotonicMs() + random.spread(100, 10 * minute));
      if (takesEffect) await effect(neverAborted);
      throw new Diagnostic('fatal', `the database is gone (${what})`);
    }
    if (has('hangs')) return this.#hang(what, signal, effect);
    const answer = await effect(signal);
    if (!world.isAlive()) return never();
    if (has('crash')) {
      world.note(`the process dies after ${what}`);
      world.die();
      return never();
    }
    if (has('after')) {
      world.note(`${what} fails after its effect`);
      throw failure(random, what);
    }
    if (has('slow')) await clock.sleep(random.spread(1, 200));
    return world.isAlive() ? answer : never();
  }

  /** Until it is aborted; then it settles soon, with or without its effect. */
  async #hang<T>(what: string, signal: AbortSignal, effect: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const world = this.#world;
    const has = this.#faults.random.pick(['at once', 'at the end', 'never', 'and answers'] as const);
    world.note(`${what} hangs; its effect comes ${has}`);
    if (has === 'at once') await effect(neverAborted);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    if (!world.isAlive()) return never();
    if (has === 'and answers') return effect(neverAborted);
    if (has === 'at the end') await effect(neverAborted);
    throw signal.reason;
  }
}

const neverAborted = new AbortController().signal;

function failure(random: Random, what: string): Error {
  return random.pick([
    new Diagnostic('io_error', `planted: ${what}`),
    new Diagnostic('conflict', `planted: ${what}`),
    new Error(`planted: ${what}`),
  ]);
}
