// When a schedule fires: its cadences, its zone and what its options do to them.
//
// A fire has a nominal instant, which is its identity, and a due instant: the nominal one after the calendar's move and
// the jitter. `next` and `previous` walk in the order of due instants; with neither move nor jitter both are the same.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { Cadence } from './cadence.ts';
import type { CalendarDays } from './calendar.ts';

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
  /** When it is to run. */
  readonly due: Instant;
  /** The calendar refuses it (`on_holiday: skip`): a skipped row. */
  readonly refused: boolean;
}

/** The hot path: no allocation. Instants are due instants; NaN means none. */
export interface CompiledTiming {
  /** The first due instant after `after`. */
  nextMs(after: Instant): number;
  /** The last due instant before `before`. */
  previousMs(before: Instant): number;
  matchesMs(due: Instant): boolean;
  /** What is due at an instant that `nextMs` or `previousMs` answered. */
  fireAt(due: Instant): Fire;
}

/** Equal timings share what they can: a million schedules of a thousand cadences hold a thousand evaluators. */
export function compile(timing: Timing): CompiledTiming {
  throw new Diagnostic('unsupported', timing.zone);
}

/** The first fire due after `after`, refused ones too. */
export function next(timing: Timing, after: Instant): Fire | undefined {
  const compiled = compile(timing);
  const due = compiled.nextMs(after);
  return Number.isNaN(due) ? undefined : compiled.fireAt(due);
}

/** The last fire due before `before`, refused ones too. */
export function previous(timing: Timing, before: Instant): Fire | undefined {
  const compiled = compile(timing);
  const due = compiled.previousMs(before);
  return Number.isNaN(due) ? undefined : compiled.fireAt(due);
}

/** Whether a fire, refused or not, is due at this very instant. */
export function matches(timing: Timing, instant: Instant): boolean {
  return compile(timing).matchesMs(instant);
}
