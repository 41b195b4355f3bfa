// Time zones: names, offsets and the instants at which offsets change, found once through Intl and kept as sorted numbers.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';

/** The zone's own spelling ('europe/berlin' -> 'Europe/Berlin'); throws unknown_zone with "did you mean". */
export function validateZone(name: string): string {
  throw new Diagnostic('unknown_zone', name);
}

/** `2027-03-28 03:30:00 +02:00 CEST`; the abbreviation only where the zone has one. */
export function formatLocal(_instant: Instant, _zone: string): string {
  return '';
}
