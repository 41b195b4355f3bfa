// Timings by (schedule, version, calendar's version): the JSON of a definition is read once, not once for each row.

import type { CalendarDays, Timing } from '../scheduler/cadence/cadence.ts';

export class TimingCache {
  readonly #timings = new Map<string, Timing>();

  /** `calendar` is JSON, or empty. */
  get(key: string, timing: string, calendar: string): Timing {
    const known = this.#timings.get(key);
    if (known !== undefined) return known;
    if (this.#timings.size >= 100_000) this.#timings.clear();
    const parsed = JSON.parse(timing) as Timing;
    const full = calendar === '' ? parsed : { ...parsed, calendar: JSON.parse(calendar) as CalendarDays };
    this.#timings.set(key, full);
    return full;
  }
}
