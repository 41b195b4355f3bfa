// The schedules as the loop holds them: each definition with its evaluator, what it has come to, and what of it is open. One
// that cannot be read is told once and left out; it fails alone.

import type { Instant } from '../core/instant.ts';
import { type CompiledTiming, compile } from './cadence/cadence.ts';
import { isAside, triggerOf } from './opening.ts';
import { type Planned, positionAfter } from './plan.ts';
import type { DefinitionChange, InFlight, SchedulerSettings, Tick } from './ports.ts';
import { type Counters, noCounters, type OpenRun, type Trigger } from './run.ts';
import type { Definition } from './schedule.ts';
import { Slots } from './slots.ts';

export interface Armed {
  definition: Definition;
  /** Its fires; undefined without a clock of its own. */
  timing: CompiledTiming | undefined;
  trigger: Trigger;
  counters: Counters;
  /** Opened by the clock, a parent or an event and not closed for good. */
  live: number;
  catchup: number;
}

const never: CompiledTiming = {
  nextMs: () => Number.POSITIVE_INFINITY,
  previousMs: () => Number.NEGATIVE_INFINITY,
  matchesMs: () => false,
  fireAt: (due) => ({ nominal: due, due, refused: false }),
};

export class Roster {
  readonly slots = new Slots();
  readonly #armed = new Map<number, Armed>();

  get size(): number {
    return this.#armed.size;
  }

  clear(): void {
    for (const scheduleId of this.#armed.keys()) this.slots.disarm(scheduleId);
    this.#armed.clear();
  }

  get(scheduleId: number | null): Armed | undefined {
    return scheduleId === null ? undefined : this.#armed.get(scheduleId);
  }

  /** What the schedule of a run has come to. */
  countersOf({ scheduleId }: OpenRun): Counters {
    return this.get(scheduleId)?.counters ?? noCounters;
  }

  all(): IterableIterator<Armed> {
    return this.#armed.values();
  }

  /** Answers why it cannot be used, where it cannot. */
  apply(change: DefinitionChange, tick: Tick): string | undefined {
    switch (change.kind) {
      case 'dropped':
        this.#armed.delete(change.scheduleId);
        this.slots.disarm(change.scheduleId);
        return undefined;
      case 'unreadable': {
        // What it was before still tells how its open runs are settled; its clock is gone, whoever arms all anew.
        const before = this.#armed.get(change.scheduleId);
        if (before !== undefined) before.timing = undefined;
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
    const { scheduleId } = definition;
    const before = this.#armed.get(scheduleId);
    let timing: CompiledTiming | undefined;
    let problem: string | undefined;
    try {
      timing = definition.timing === undefined ? undefined : compile(definition.timing);
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    this.#armed.set(scheduleId, {
      definition,
      timing,
      trigger: triggerOf(definition.timing),
      counters: before?.counters ?? noCounters,
      live: before?.live ?? 0,
      catchup: before?.catchup ?? 0,
    });
    return this.#arm(scheduleId, tick) ?? problem;
  }

  /** Each at its first instant after what is handled. */
  rearm(scheduleIds: Iterable<number>, tick: Tick): void {
    for (const scheduleId of scheduleIds) this.#arm(scheduleId, tick);
  }

  rearmAll(tick: Tick): void {
    this.rearm(this.#armed.keys(), tick);
  }

  #arm(scheduleId: number, tick: Tick): string | undefined {
    const armed = this.#armed.get(scheduleId);
    if (armed?.timing === undefined || !armed.definition.enabled) {
      this.slots.disarm(scheduleId);
      return undefined;
    }
    try {
      this.slots.arm(scheduleId, positionAfter(armed.timing, tick, scheduleId, armed.definition.effectiveFrom));
      return undefined;
    } catch (error) {
      this.slots.disarm(scheduleId);
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** What planning knows of a schedule. */
  planned(scheduleId: number, settings: SchedulerSettings): Planned {
    const armed = this.#armed.get(scheduleId);
    if (armed === undefined) throw new Error(`schedule ${scheduleId} is not here`);
    const { definition, counters } = armed;
    return {
      timing: armed.timing ?? never,
      trigger: armed.trigger,
      effectiveFrom: definition.effectiveFrom,
      policy: definition.policy,
      catchup: definition.policy.catchup ?? settings.catchup,
      inFlight: { live: armed.live, catchup: armed.catchup },
      firesLeft: firesLeft(armed.definition, counters),
    };
  }

  /** How a run counts while it is open. */
  count(run: OpenRun, by: 1 | -1): void {
    const armed = this.get(run.scheduleId);
    if (armed === undefined || isAside(run.trigger)) return;
    if (run.trigger === 'catchup') armed.catchup += by;
    else armed.live += by;
  }

  countOpen(scheduleId: number, inFlight: InFlight): void {
    const armed = this.#armed.get(scheduleId);
    if (armed === undefined) return;
    armed.live = inFlight.live;
    armed.catchup = inFlight.catchup;
  }

  /** When something is due next; Infinity: never. */
  get earliestDue(): Instant {
    return this.slots.earliestDue;
  }
}

export function firesLeft(definition: Definition, counters: Counters): number {
  const { maxRuns } = definition.policy;
  return maxRuns === undefined ? Number.POSITIVE_INFINITY : maxRuns - counters.openedFires;
}
