// Instants are whole milliseconds since 1970-01-01T00:00:00Z, in a plain number: exact far past the year 9999,
// comparable, and able to live by the million in typed arrays.

export type Instant = number;

/** 9999-12-31T23:59:59.999Z: nothing fires after it. */
export const lastInstant: Instant = 253_402_300_799_999;

/** `2026-11-20T02:00:00Z`, with milliseconds only where there are some. */
export function formatInstant(instant: Instant): string {
  return new Date(instant).toISOString().replace('.000Z', 'Z');
}
