// Instants of one schedule that were refused for one reason are one row: a stretch, told by its newest, its first and their
// number, and not counted for ever.

import type { Instant } from '../core/instant.ts';

export interface Stretch {
  readonly kind: 'skip';
  readonly reason: string;
  /** The newest of the stretch. */
  readonly scheduledAt: Instant;
  readonly firstScheduledAt: Instant;
  /** How many, null above 10,000. */
  readonly fires: number | null;
}

/** A stretch longer than this is not counted. */
export const mostCounted = 10_000;

/** A stretch that may still grow. */
export type GrowingStretch = { -readonly [Key in keyof Stretch]: Stretch[Key] };

/** The same stretch with one instant more, or a new one. */
export function extended(stretch: GrowingStretch | undefined, reason: string, nominal: Instant): GrowingStretch {
  if (stretch === undefined) return { kind: 'skip', reason, scheduledAt: nominal, firstScheduledAt: nominal, fires: 1 };
  if (nominal > stretch.scheduledAt) stretch.scheduledAt = nominal;
  if (nominal < stretch.firstScheduledAt) stretch.firstScheduledAt = nominal;
  if (stretch.fires !== null) stretch.fires = stretch.fires < mostCounted ? stretch.fires + 1 : null;
  return stretch;
}

export const notABusinessDay = 'calendar: not a business day';
