// What is accepted with a raised finger, and what is refused because it can never fire.

import type { Diagnostic, Span } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { Timing } from './timing.ts';

export interface Warning {
  readonly code: 'day_or_weekday' | 'dst_gap' | 'already_past';
  readonly message: string;
  readonly hint?: string;
  readonly span?: Span;
}

/** `now` makes "already past" possible to say. */
export function warningsFor(_timing: Timing, _now: Instant): Warning[] {
  return [];
}

/** The window leaves nothing; calendars play no part. A cron that can never match is refused by parseCadence already. */
export function neverFires(_timing: Timing): Diagnostic | undefined {
  return undefined;
}

/** `next`, `previous` and calendar words that find no business day within ten years of `now`. */
export function noBusinessDay(_timing: Timing, _now: Instant): Diagnostic | undefined {
  return undefined;
}
