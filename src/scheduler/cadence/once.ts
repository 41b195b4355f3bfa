// One instant: `2027-09-20T02:00:00Z`, or a reading of the zone's clock: `at '2027-09-20 02:00'`.

import type { Moment } from './interval.ts';

export interface OnceCadence {
  readonly kind: 'once';
  readonly version: 1;
  readonly text: string;
  readonly moment: Moment;
}
