// What it takes to open a run of a stored schedule: the definition as the scheduler knows it, and an id.

import { randomFillSync } from 'node:crypto';
import type { Instant } from '../core/instant.ts';
import { runId } from '../core/runId.ts';
import type { Definition } from '../scheduler/schedule.ts';
import { callText } from './routine.ts';
import type { StoredSchedule } from './store/duckdb/catalogue.ts';

/** What the scheduler's decisions need of a stored schedule; its calendar's days are not among it. */
export function definitionOf({ scheduleId, name, version, enabled, effectiveFrom, schedule }: StoredSchedule): Definition {
  const { exe, call } = schedule.target;
  return { scheduleId, name, version, enabled, effectiveFrom, exe, call: callText(call), timing: schedule.timing, policy: schedule };
}

let sequence = 0;

/** Asked for by the piece: 10 bytes at a time took longer than all else of an id, and 10,000 schedules may be due at one instant. */
const random = Buffer.alloc(4000);
let used = random.length;

/** In the order of time, and of being made within one millisecond. */
export function newRunId(at: Instant): string {
  sequence = (sequence + 1) & 0xfff;
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  used += 10;
  return runId(at, sequence, random.subarray(used - 10, used));
}
