// A run that the statement at work waits for, as others see it meanwhile.

import type { OpenRun } from '../scheduler/run.ts';

export interface AwaitedRun {
  readonly run: OpenRun;
  /** Its end is to be told at once, because others are waited for too. */
  readonly isTold: boolean;
}
