// A cron expression, compiled: every field is a bit mask or a short list of numbers, so that a stored schedule is loaded
// without parsing and evaluated without allocation.

/** Bits 0..29 and 30..59 of a minute or second field; thirty bits stay small integers in every engine. */
export type SixtyBits = readonly [low: number, high: number];

/** Years `from`, `from + step`, .. up to `to`. */
export type YearSpan = readonly [from: number, to: number, step: number];

export interface CronCadence {
  readonly kind: 'cron';
  readonly version: 1;
  /** Canonical text in the standard dialect: parsing it gives this value again. */
  readonly text: string;
  readonly seconds: SixtyBits;
  readonly minutes: SixtyBits;
  /** Bits 0..23. */
  readonly hours: number;
  /** Bits 1..31; bit 0 is `L`, the last day of the month. */
  readonly days: number;
  /** `nW`, the weekday nearest to day n, in bits 1..31; bit 0 is `LW`. */
  readonly nearestWeekdays: number;
  /** Bits 1..12. */
  readonly months: number;
  /** Bits 0 (Sunday) .. 6. */
  readonly weekdays: number;
  /** `1#2`, `MON#L`: [weekday, which], `which` 1..5 or 0 for the last. */
  readonly nthWeekdays: readonly (readonly [weekday: number, which: number])[];
  /** Absent: every year. */
  readonly years?: readonly YearSpan[];
  /** Which of the two day fields decide: `either` and `both` only where both are restricted. */
  readonly dayRule: 'every' | 'day' | 'weekday' | 'either' | 'both';
  /** The minute or hour field begins with `*`: it follows real time through clock changes (docs/time.md). */
  readonly realTime: boolean;
}
