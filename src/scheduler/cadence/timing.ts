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
import { type Zone, zoneNamed } from './zone.ts';

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
  const compiled = compiledOnce(timing);
  const due = compiled.nextMs(after);
  return due === Number.POSITIVE_INFINITY ? undefined : compiled.fireAt(due);
}

/** The last fire due before `before`, refused ones too. */
export function previous(timing: Timing, before: Instant): Fire | undefined {
  const compiled = compiledOnce(timing);
  const due = compiled.previousMs(before);
  return due === Number.NEGATIVE_INFINITY ? undefined : compiled.fireAt(due);
}

/** Whether a fire, refused or not, is due at this very instant. */
export function matches(timing: Timing, instant: Instant): boolean {
  return compiledOnce(timing).matchesMs(instant);
}

/** Whether the timing's calendar refuses an instant that is not its own cadence's: a child's, opened by its parents. */
export function refusedOn(timing: Timing, instant: Instant): boolean {
  const { calendar, onHoliday, zone } = timing;
  if (calendar === undefined || onHoliday !== 'skip') return false;
  return isFree(calendar, civilDayOf(zoneNamed(zone).civilAt(instant)));
}

const compiledTimings = new WeakMap<Timing, CompiledTiming>();

function compiledOnce(timing: Timing): CompiledTiming {
  let compiled = compiledTimings.get(timing);
  if (compiled === undefined) {
    compiled = compile(timing);
    compiledTimings.set(timing, compiled);
  }
  return compiled;
}

/** Equal plain timings share one value: a million schedules of a thousand cadences hold a thousand evaluators. */
export function compile(timing: Timing): CompiledTiming {
  const base = baseOf(timing);
  const { starts, ends, calendar, onHoliday } = timing;
  const windowed = starts === undefined && ends === undefined ? base : new WindowEvaluator(base, starts, ends);
  const jitterMs = jitterOf(timing);
  if (calendar !== undefined && (onHoliday === 'next' || onHoliday === 'previous')) {
    const moved = new MovedEvaluator(windowed, zoneNamed(timing.zone), calendar, onHoliday === 'next' ? 1 : -1);
    return new ComposedTiming(moved, jitterMs, { moved });
  }
  if (calendar !== undefined && onHoliday === 'skip') {
    return new ComposedTiming(windowed, jitterMs, { refusing: { calendar, zone: zoneNamed(timing.zone) } });
  }
  return windowed === base && jitterMs === 0 ? base : new ComposedTiming(windowed, jitterMs, {});
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
  private readonly moved: MovedEvaluator | undefined;
  private readonly refusing: { readonly calendar: CalendarDays; readonly zone: Zone } | undefined;

  constructor(
    evaluator: Evaluator,
    jitterMs: number,
    by: { readonly moved?: MovedEvaluator; readonly refusing?: { readonly calendar: CalendarDays; readonly zone: Zone } },
  ) {
    this.evaluator = evaluator;
    this.jitterMs = jitterMs;
    this.moved = by.moved;
    this.refusing = by.refusing;
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
    const unjittered = due - this.jitterMs;
    const { moved, refusing } = this;
    if (moved !== undefined) return { nominal: moved.nominalOf(unjittered), due, refused: false };
    const refused = refusing !== undefined && isFree(refusing.calendar, civilDayOf(refusing.zone.civilAt(unjittered)));
    return { nominal: unjittered, due, refused };
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
