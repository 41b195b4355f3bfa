// A calendar is a plain value: which weekdays are free, and which civil days besides. Reading files and running queries
// is the engine's; here stands what those days mean.

/** Days since 1970-01-01, as the zone's calendar counts them. */
export type CivilDay = number;

export interface CalendarDays {
  /** 0 (Sunday) .. 6. */
  readonly weekend: readonly number[];
  /** Sorted, each once. */
  readonly holidays: readonly CivilDay[];
  /** What a holiday is called, where the source says so. */
  readonly names?: Readonly<Record<CivilDay, string>>;
}
