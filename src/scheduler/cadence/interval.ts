// Anchored intervals: fires at anchor + k*n, so they never drift. Whole days and weeks are calendar days in the zone.

import type { Instant } from '../../core/instant.ts';

/** The anchor as written: an instant, or a reading of the zone's clock in civil milliseconds (as if it were UTC). */
export type Moment = { readonly instant: Instant } | { readonly civilMs: number };

export interface IntervalCadence {
  readonly kind: 'interval';
  readonly version: 1;
  readonly text: string;
  /** Length of one step; for whole days a multiple of 86,400,000 that is walked on the calendar. */
  readonly everyMs: number;
  readonly calendarDays: boolean;
  /** Absent: 2001-01-01 00:00 in the zone, and in both directions. Given by `from`: nothing fires before it. */
  readonly anchor?: Moment;
}
