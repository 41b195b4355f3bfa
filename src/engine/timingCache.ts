// Timings by (schedule, version, calendar's version): the JSON of a definition is read once, not once for each row.

import { Diagnostic } from '../core/diagnostic.ts';
import type { CalendarDays, Timing } from '../scheduler/cadence/cadence.ts';
import type { ScheduleTiming } from '../scheduler/schedule.ts';

export class TimingCache {
  readonly #timings = new Map<string, Timing>();

  /** `calendar` is JSON, or empty. */
  get(key: string, timing: string, calendar: string): Timing {
    const known = this.#timings.get(key);
    if (known !== undefined) return known;
    if (this.#timings.size >= 100_000) this.#timings.clear();
    const { calendarName, ...parsed } = JSON.parse(timing) as ScheduleTiming;
    if (calendarName !== undefined && calendar === '') throw new Diagnostic('undefined_object', `calendar ${calendarName} does not exist`);
    const full = calendar === '' ? parsed : { ...parsed, calendar: JSON.parse(calendar) as CalendarDays };
    this.#timings.set(key, full);
    return full;
  }
}
