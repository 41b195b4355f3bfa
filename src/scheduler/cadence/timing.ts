// When a schedule fires: its cadences, its zone, its window, its calendar, its jitter, composed into one evaluator.
//
// A fire has a nominal instant, which is its identity, and a due instant: the nominal one after the calendar's move and the
// jitter. `next` and `previous` walk in the order of due instants; with neither move nor jitter both are the same.

import type { Instant } from '../../core/instant.ts';
import type { Cadence } from './cadence.ts';
import { type CalendarDays, isFree } from './calendar.ts';
import { civilDayOf } from './civil.ts';
import { type Evaluator, evaluatorOf, UnionEvaluator, WindowEvaluator } from './evaluator.ts';
import { MovedEvaluator } from './holidayMove.ts';
import { zoneNamed } from './zone.ts';

export interface Timing {
  /** Fires at the union; each instant once. */
  readonly cadences: readonly Cadence[];
  readonly zone: string;
  readonly dstGap: 'default' | 'run' | 'skip';
  readonly dstOverlap: 'default' | 'first' | 'second' | 'both';
  /** The window [starts, ends) of nominal instants. */
  readonly starts?: Instant;
  readonly ends?: Instant;
  readonly calendar?: CalendarDays;
  readonly onHoliday: 'run' | 'skip' | 'next' | 'previous';
  readonly jitterMs: number;
  /** What the stable hash of the jitter is taken of: the schedule's name. */
  readonly jitterKey: string;
}

export interface Fire {
  /** Its identity, `scheduled_at`. */
  readonly nominal: Instant;
  /** When it is to run: the nominal instant after the calendar's move and the jitter. */
  readonly due: Instant;
  /** The calendar refuses it (`on_holiday: skip`): a skipped row. */
  readonly refused: boolean;
}

/** The hot path: no allocation but for `fireAt`. Instants are due instants. */
export interface CompiledTiming {
  /** The first due instant after `after`; Infinity: none. */
  nextMs(after: Instant): number;
  /** The last due instant before `before`; -Infinity: none. */
  previousMs(before: Instant): number;
  matchesMs(due: Instant): boolean;
  /** What is due at an instant that `nextMs` or `previousMs` answered. */
  fireAt(due: Instant): Fire;
}

/** The first fire due after `after`, refused ones too. */
export function next(timing: Timing, after: Instant): Fire | undefined {
  const compiled = compile(timing);
  const due = compiled.nextMs(after);
  return due === Number.POSITIVE_INFINITY ? undefined : compiled.fireAt(due);
}

/** The last fire due before `before`, refused ones too. */
export function previous(timing: Timing, before: Instant): Fire | undefined {
  const compiled = compile(timing);
  const due = compiled.previousMs(before);
  return due === Number.NEGATIVE_INFINITY ? undefined : compiled.fireAt(due);
}

/** Whether a fire, refused or not, is due at this very instant. */
export function matches(timing: Timing, instant: Instant): boolean {
  return compile(timing).matchesMs(instant);
}

const compiledTimings = new WeakMap<Timing, CompiledTiming>();

/** Equal plain timings share one value: a million schedules of a thousand cadences hold a thousand evaluators. */
export function compile(timing: Timing): CompiledTiming {
  const known = compiledTimings.get(timing);
  if (known !== undefined) return known;
  const compiled = composed(timing);
  compiledTimings.set(timing, compiled);
  return compiled;
}

function composed(timing: Timing): CompiledTiming {
  const base = baseOf(timing);
  const windowed = timing.starts === undefined && timing.ends === undefined ? base : new WindowEvaluator(base, timing.starts, timing.ends);
  const jitterMs = jitterOf(timing);
  const moves = timing.onHoliday === 'next' || timing.onHoliday === 'previous';
  if (timing.calendar !== undefined && moves) {
    const moved = new MovedEvaluator(windowed, zoneNamed(timing.zone), timing.calendar, timing.onHoliday === 'next' ? 1 : -1);
    return new ComposedTiming(moved, jitterMs, timing, moved);
  }
  if (
    windowed === base &&
    base instanceof PlainTiming &&
    jitterMs === 0 &&
    !(timing.calendar !== undefined && timing.onHoliday === 'skip')
  ) {
    return base;
  }
  return new ComposedTiming(windowed, jitterMs, timing, undefined);
}

/** Cadences alone: nominal and due are one, and nobody refuses. Shared between the timings that have them. */
class PlainTiming implements CompiledTiming {
  private readonly evaluator: Evaluator;

  constructor(evaluator: Evaluator) {
    this.evaluator = evaluator;
  }

  nextMs(after: Instant): number {
    return this.evaluator.nextMs(after);
  }

  previousMs(before: Instant): number {
    return this.evaluator.previousMs(before);
  }

  matchesMs(due: Instant): boolean {
    return this.evaluator.matchesMs(due);
  }

  fireAt(due: Instant): Fire {
    return { nominal: due, due, refused: false };
  }
}

class ComposedTiming implements CompiledTiming {
  private readonly evaluator: Evaluator;
  private readonly jitterMs: number;
  private readonly timing: Timing;
  private readonly moved: MovedEvaluator | undefined;

  constructor(evaluator: Evaluator, jitterMs: number, timing: Timing, moved: MovedEvaluator | undefined) {
    this.evaluator = evaluator;
    this.jitterMs = jitterMs;
    this.timing = timing;
    this.moved = moved;
  }

  nextMs(after: Instant): number {
    return this.evaluator.nextMs(after - this.jitterMs) + this.jitterMs;
  }

  previousMs(before: Instant): number {
    return this.evaluator.previousMs(before - this.jitterMs) + this.jitterMs;
  }

  matchesMs(due: Instant): boolean {
    return this.evaluator.matchesMs(due - this.jitterMs);
  }

  fireAt(due: Instant): Fire {
    const moved = due - this.jitterMs;
    if (this.moved !== undefined) return { nominal: this.moved.nominalOf(moved), due, refused: false };
    const { calendar, onHoliday, zone } = this.timing;
    const refused = calendar !== undefined && onHoliday === 'skip' && isFree(calendar, civilDayOf(zoneNamed(zone).civilAt(moved)));
    return { nominal: moved, due, refused };
  }
}

/** Bounded: beyond this many distinct cadences an old one is compiled again, which takes microseconds. */
const sharedLimit = 65_536;
const shared = new Map<string, PlainTiming>();

function baseOf(timing: Timing): PlainTiming {
  const { cadences, zone, dstGap, dstOverlap, calendar } = timing;
  // Calendar words read the calendar, and calendars change: what holds one is not shared.
  const sharable = calendar === undefined || !cadences.some((cadence) => cadence.kind === 'words');
  const key = `${zone} ${dstGap} ${dstOverlap} ${cadences.map((cadence) => cadence.text).join('\n')}`;
  const known = sharable ? shared.get(key) : undefined;
  if (known !== undefined) return known;
  const parts = cadences.map((cadence) => evaluatorOf(cadence, { zone, rule: { dstGap, dstOverlap }, calendar }));
  const [only] = parts;
  const base = new PlainTiming(parts.length === 1 && only !== undefined ? only : new UnionEvaluator(parts));
  if (sharable) {
    if (shared.size >= sharedLimit)
      for (const oldest of shared.keys()) {
        shared.delete(oldest);
        break;
      }
    shared.set(key, base);
  }
  return base;
}

/** The same for a name on every machine and in every version: FNV-1a over its UTF-16 units, spread over [0, jitter). */
function jitterOf(timing: Timing): number {
  if (timing.jitterMs === 0) return 0;
  let hash = 0x811c9dc5;
  for (let index = 0; index < timing.jitterKey.length; index++) {
    hash = Math.imul(hash ^ timing.jitterKey.charCodeAt(index), 0x01000193);
  }
  // Names that differ in the last letter differ in the low bits only; this folds them into the high ones.
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return Math.floor(((hash >>> 0) / 2 ** 32) * timing.jitterMs);
}
