// When a schedule runs next.

import type { Instant } from '../core/instant.ts';
import { next, type Timing } from '../scheduler/cadence/cadence.ts';

/**
 * When it runs next: the first fire due after `now` that the calendar does not refuse. A definition has no fires before it
 * began, also none that jitter or a calendar would put off until after that.
 */
export function nextRun(timing: Timing, now: Instant, effectiveFrom: Instant): Instant | undefined {
  let at = Math.max(now, effectiveFrom);
  // A calendar may refuse many in a row; ten years of days is more than any that was accepted at definition.
  for (let looked = 0; looked < 4000; looked++) {
    const fire = next(timing, at);
    if (fire === undefined) return undefined;
    if (!fire.refused && fire.nominal > effectiveFrom) return fire.due;
    at = fire.due;
  }
  return undefined;
}
