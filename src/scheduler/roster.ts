// The schedules as the loop holds them: each definition with its evaluator, what it has come to, and what of it is open. One
// that cannot be read is told once and left out; it fails alone.
//
// A million of them live here, so a schedule is no object but a row of columns, in the order in which they came; what thousands
// have in common, their policy and their evaluator, is there once (`Kind`). As objects (a definition, what it has come to, a place
// in a map) a million took 350 MB of this thread's memory and seconds of its collector's time; as columns they take 130 MB. Whoever
// asks for one gets a view of it (`Armed`), made for as long as he looks.

import type { Instant } from '../core/instant.ts';
import { type CompiledTiming, compile, type Timing } from './cadence/cadence.ts';
import { isAside, triggerOf } from './opening.ts';
import { type Planned, positionAfter } from './plan.ts';
import type { DefinitionChange, InFlight, SchedulerSettings, Tick } from './ports.ts';
import { type Counters, noCounters, type OpenRun, type Trigger } from './run.ts';
import type { Definition, Policy } from './schedule.ts';
import { largestId, Slots } from './slots.ts';

/** What thousands of schedules have in common. */
interface Kind {
  readonly policy: Policy;
  readonly timing: Timing | undefined;
  /** Its fires; undefined without a clock of its own. */
  readonly compiled: CompiledTiming | undefined;
  readonly trigger: Trigger;
  /** Why its fires cannot be told. */
  readonly problem: string | undefined;
}

/** One schedule, as it was defined when it was asked for; what it has come to is as it is now. */
export class Armed {
  readonly #rows: Rows;
  #definition: Definition;
  #counters: Counters;

  constructor(rows: Rows, row: number) {
    this.#rows = rows;
    this.#definition = rows.definition(row);
    this.#counters = rows.counters(row);
  }

  get definition(): Definition {
    return this.#definition;
  }

  disable(): void {
    const row = this.#row;
    this.#definition = { ...this.#definition, enabled: false };
    if (row >= 0) this.#rows.enabled[row] = 0;
  }

  get counters(): Counters {
    const row = this.#row;
    return row < 0 ? this.#counters : this.#rows.counters(row);
  }

  set counters(counters: Counters) {
    this.#counters = counters;
    const row = this.#row;
    if (row >= 0) this.#rows.setCounters(row, counters);
  }

  get trigger(): Trigger {
    return triggerOf(this.#definition.timing);
  }

  /** Opened by the clock, a parent or an event and not closed for good. */
  get live(): number {
    return this.#rows.live[this.#row] ?? 0;
  }

  get catchup(): number {
    return this.#rows.catchup[this.#row] ?? 0;
  }

  /** -1: dropped since. */
  get #row(): number {
    return this.#rows.of(this.#definition.scheduleId);
  }
}

const never: CompiledTiming = {
  nextMs: () => Number.POSITIVE_INFINITY,
  previousMs: () => Number.NEGATIVE_INFINITY,
  matchesMs: () => false,
  fireAt: (due) => ({ nominal: due, due, refused: false }),
};

export class Roster {
  readonly slots = new Slots();
  readonly #rows = new Rows();
  readonly #kinds = new Kinds();

  get size(): number {
    return this.#rows.size;
  }

  clear(): void {
    this.slots.clear();
    this.#rows.clear();
  }

  get(scheduleId: number | null): Armed | undefined {
    const row = scheduleId === null ? -1 : this.#rows.of(scheduleId);
    return row < 0 ? undefined : new Armed(this.#rows, row);
  }

  /** What the schedule of a run has come to. */
  countersOf({ scheduleId }: OpenRun): Counters {
    const row = scheduleId === null ? -1 : this.#rows.of(scheduleId);
    return row < 0 ? noCounters : this.#rows.counters(row);
  }

  setCounters(scheduleId: number, counters: Counters): void {
    const row = this.#rows.of(scheduleId);
    if (row >= 0) this.#rows.setCounters(row, counters);
  }

  /** The oldest first. Made one by one, so that whoever looks at a few pays for a few. */
  *all(): Generator<Armed> {
    for (const row of this.#rows.present()) yield new Armed(this.#rows, row);
  }

  /** Those of the kinds that are asked for, which is asked once for each kind. */
  *whose(isAskedFor: (kind: Pick<Kind, 'policy' | 'timing'>) => boolean): Generator<Armed> {
    const asked = new Map<Kind, boolean>();
    for (const row of this.#rows.present()) {
      const kind = this.#rows.kindAt(row);
      let answer = asked.get(kind);
      if (answer === undefined) {
        answer = isAskedFor(kind);
        asked.set(kind, answer);
      }
      if (answer) yield new Armed(this.#rows, row);
    }
  }

  /** Those whose last runs have failed. */
  *failing(): Generator<Armed> {
    for (const row of this.#rows.present()) if ((this.#rows.failures[row] ?? 0) > 0) yield new Armed(this.#rows, row);
  }

  named(name: string): Armed | undefined {
    for (const row of this.#rows.present()) if (this.#rows.names[row] === name) return new Armed(this.#rows, row);
    return undefined;
  }

  /** Of all, the oldest first. */
  *names(): Generator<readonly [number, string]> {
    for (const row of this.#rows.present()) yield [this.#rows.ids[row] ?? 0, this.#rows.names[row] ?? ''];
  }

  /** Answers why it cannot be used, where it cannot. */
  apply(change: DefinitionChange, tick: Tick): string | undefined {
    switch (change.kind) {
      case 'dropped':
        this.#rows.drop(change.scheduleId);
        this.slots.disarm(change.scheduleId);
        return undefined;
      case 'unreadable': {
        // What it was before still tells how its open runs are settled; its clock is gone, whoever arms all anew.
        const row = this.#rows.of(change.scheduleId);
        if (row >= 0) this.#rows.kinds[row] = { ...this.#rows.kindAt(row), compiled: undefined };
        this.slots.disarm(change.scheduleId);
        return change.message;
      }
      case 'defined':
        return this.#define(change.definition, tick);
      default:
        return change satisfies never;
    }
  }

  #define(definition: Definition, tick: Tick): string | undefined {
    if (!isId(definition.scheduleId)) return `${definition.scheduleId} is no id of a schedule`;
    const kind = this.#kinds.of(definition.policy, definition.timing);
    return this.#arm(this.#rows.put(definition, kind), tick) ?? kind.problem;
  }

  /** Each at its first instant after what is handled. */
  rearm(scheduleIds: Iterable<number>, tick: Tick): void {
    for (const scheduleId of scheduleIds) {
      const row = this.#rows.of(scheduleId);
      if (row < 0) this.slots.disarm(scheduleId);
      else this.#arm(row, tick);
    }
  }

  rearmAll(tick: Tick): void {
    for (const row of this.#rows.present()) this.#arm(row, tick);
  }

  #arm(row: number, tick: Tick): string | undefined {
    const scheduleId = this.#rows.ids[row] ?? 0;
    const { compiled } = this.#rows.kindAt(row);
    if (compiled === undefined || this.#rows.enabled[row] !== 1) {
      this.slots.disarm(scheduleId);
      return undefined;
    }
    try {
      this.slots.arm(scheduleId, positionAfter(compiled, tick, scheduleId, this.#rows.effectiveFrom[row] ?? 0));
      return undefined;
    } catch (error) {
      this.slots.disarm(scheduleId);
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** What planning knows of a schedule. */
  planned(scheduleId: number, settings: SchedulerSettings): Planned {
    const rows = this.#rows;
    const row = rows.of(scheduleId);
    if (row < 0) throw new Error(`schedule ${scheduleId} is not here`);
    const kind = rows.kindAt(row);
    return {
      timing: kind.compiled ?? never,
      trigger: kind.trigger,
      effectiveFrom: rows.effectiveFrom[row] ?? 0,
      policy: kind.policy,
      catchup: kind.policy.catchup ?? settings.catchup,
      inFlight: { live: rows.live[row] ?? 0, catchup: rows.catchup[row] ?? 0 },
      firesLeft: firesLeft(kind, { openedFires: rows.fires[row] ?? 0 }),
    };
  }

  /** How a run counts while it is open. */
  count(run: OpenRun, by: 1 | -1): void {
    const row = run.scheduleId === null ? -1 : this.#rows.of(run.scheduleId);
    if (row < 0 || isAside(run.trigger)) return;
    const counted = run.trigger === 'catchup' ? this.#rows.catchup : this.#rows.live;
    counted[row] = (counted[row] ?? 0) + by;
  }

  countOpen(scheduleId: number, inFlight: InFlight): void {
    const row = this.#rows.of(scheduleId);
    if (row < 0) return;
    this.#rows.live[row] = inFlight.live;
    this.#rows.catchup[row] = inFlight.catchup;
  }

  /** When something is due next; Infinity: never. */
  get earliestDue(): Instant {
    return this.slots.earliestDue;
  }
}

export function firesLeft({ policy }: Pick<Definition, 'policy'>, { openedFires }: Pick<Counters, 'openedFires'>): number {
  return policy.maxRuns === undefined ? Number.POSITIVE_INFINITY : policy.maxRuns - openedFires;
}

/** Kinds, made once for the policy and the timing that a reader of definitions shares between schedules. */
class Kinds {
  readonly #known = new WeakMap<Policy, Map<Timing | undefined, Kind>>();

  of(policy: Policy, timing: Timing | undefined): Kind {
    // With jitter each has a timing of its own.
    if (timing !== undefined && timing.jitterMs > 0) return kindOf(policy, timing);
    const kinds = this.#known.get(policy) ?? new Map<Timing | undefined, Kind>();
    const kind = kinds.get(timing) ?? kindOf(policy, timing);
    this.#known.set(policy, kinds.set(timing, kind));
    return kind;
  }
}

function kindOf(policy: Policy, timing: Timing | undefined): Kind {
  const trigger = triggerOf(timing);
  try {
    return { policy, timing, trigger, compiled: timing === undefined ? undefined : compile(timing), problem: undefined };
  } catch (error) {
    return { policy, timing, trigger, compiled: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** The columns. A row that is dropped stays empty until there are more of them than of the others. */
class Rows {
  /** By id, one more than its row; 0: it has none. */
  #places = new Int32Array(16);
  #length = 0;
  #dropped = 0;
  /** 0: dropped. */
  ids = new Int32Array(16);
  readonly kinds: Kind[] = [];
  readonly names: string[] = [];
  readonly #exes: string[] = [];
  readonly #calls: string[] = [];
  #versions = new Float64Array(16);
  enabled = new Uint8Array(16);
  effectiveFrom = new Float64Array(16);
  failures = new Float64Array(16);
  fires = new Float64Array(16);
  /** NaN: never. */
  #successes = new Float64Array(16);
  live = new Int32Array(16);
  catchup = new Int32Array(16);

  get size(): number {
    return this.#length - this.#dropped;
  }

  /** -1: none. */
  of(scheduleId: number): number {
    return (this.#places[scheduleId] ?? 0) - 1;
  }

  *present(): Generator<number> {
    for (let row = 0; row < this.#length; row++) if (this.ids[row] !== 0) yield row;
  }

  /** What a schedule has come to stays when it is defined anew. */
  put(definition: Definition, kind: Kind): number {
    const { scheduleId, name, version, enabled, effectiveFrom, exe, call } = definition;
    let row = this.of(scheduleId);
    if (row < 0) {
      row = this.#length;
      if (row === this.ids.length) this.#makeRoom(row + (row >> 1));
      if (scheduleId >= this.#places.length) {
        this.#places = resized(this.#places, new Int32Array(Math.min(Math.max(this.#places.length * 2, scheduleId + 1), largestId + 1)));
      }
      this.#length += 1;
      this.#places[scheduleId] = row + 1;
      this.ids[row] = scheduleId;
      this.setCounters(row, noCounters);
      this.live[row] = 0;
      this.catchup[row] = 0;
    }
    this.kinds[row] = kind;
    this.names[row] = name;
    this.#exes[row] = exe;
    this.#calls[row] = call;
    this.#versions[row] = version;
    this.enabled[row] = enabled ? 1 : 0;
    this.effectiveFrom[row] = effectiveFrom;
    return row;
  }

  drop(scheduleId: number): void {
    const row = this.of(scheduleId);
    if (row < 0) return;
    this.#places[scheduleId] = 0;
    this.ids[row] = 0;
    this.#dropped += 1;
    if (this.#dropped > 1000 && this.#dropped > this.size) this.#closeUp();
  }

  clear(): void {
    for (const column of [this.kinds, this.names, this.#exes, this.#calls]) column.length = 0;
    this.#places.fill(0);
    this.#length = 0;
    this.#dropped = 0;
  }

  definition(row: number): Definition {
    const { policy, timing } = this.kindAt(row);
    return {
      scheduleId: this.ids[row] ?? 0,
      name: this.names[row] ?? '',
      version: this.#versions[row] ?? 0,
      enabled: this.enabled[row] === 1,
      effectiveFrom: this.effectiveFrom[row] ?? 0,
      exe: this.#exes[row] ?? '',
      call: this.#calls[row] ?? '',
      timing,
      policy,
    };
  }

  kindAt(row: number): Kind {
    return this.kinds[row] as Kind;
  }

  counters(row: number): Counters {
    const at = this.#successes[row] ?? Number.NaN;
    return {
      consecutiveFailures: this.failures[row] ?? 0,
      openedFires: this.fires[row] ?? 0,
      lastSuccessAt: Number.isNaN(at) ? null : at,
    };
  }

  setCounters(row: number, { consecutiveFailures, openedFires, lastSuccessAt }: Counters): void {
    this.failures[row] = consecutiveFailures;
    this.fires[row] = openedFires;
    this.#successes[row] = lastSuccessAt ?? Number.NaN;
  }

  #makeRoom(length: number): void {
    this.ids = resized(this.ids, new Int32Array(length));
    this.#versions = resized(this.#versions, new Float64Array(length));
    this.enabled = resized(this.enabled, new Uint8Array(length));
    this.effectiveFrom = resized(this.effectiveFrom, new Float64Array(length));
    this.failures = resized(this.failures, new Float64Array(length));
    this.fires = resized(this.fires, new Float64Array(length));
    this.#successes = resized(this.#successes, new Float64Array(length));
    this.live = resized(this.live, new Int32Array(length));
    this.catchup = resized(this.catchup, new Int32Array(length));
  }

  /** Without the rows that are empty, in the same order. */
  #closeUp(): void {
    let to = 0;
    for (const row of this.present()) {
      if (to !== row) {
        for (const column of [this.kinds, this.names, this.#exes, this.#calls] as unknown[][]) column[to] = column[row];
        for (const column of [this.#versions, this.enabled, this.effectiveFrom, this.failures, this.fires, this.#successes]) {
          column[to] = column[row] ?? 0;
        }
        for (const column of [this.ids, this.live, this.catchup]) column[to] = column[row] ?? 0;
        this.#places[this.ids[to] ?? 0] = to + 1;
      }
      to += 1;
    }
    for (const column of [this.kinds, this.names, this.#exes, this.#calls]) column.length = to;
    this.#length = to;
    this.#dropped = 0;
  }
}

function resized<Column extends { set(from: Column): void }>(from: Column, to: Column): Column {
  to.set(from);
  return to;
}

function isId(scheduleId: number): boolean {
  return Number.isInteger(scheduleId) && scheduleId >= 1 && scheduleId <= largestId;
}
