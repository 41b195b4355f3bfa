// A cadence in words that a person can check, and what is remarkable about one fire.

import type { Cadence } from './cadence.ts';
import type { Fire, Timing } from './timing.ts';

/** "at 02:00 every day (Europe/Berlin)". */
export function describe(cadences: readonly Cadence[], zone: string): string {
  return `${cadences.map((cadence) => cadence.text).join('; ')} (${zone})`;
}

/** "clocks go forward", "moved from holiday ..": empty where there is nothing to say. */
export function note(_timing: Timing, _fire: Fire): string {
  return '';
}
