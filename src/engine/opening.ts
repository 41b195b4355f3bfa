// What it takes to open a run of a stored schedule: the definition as the scheduler knows it, and an id.

import { randomBytes } from 'node:crypto';
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

/** In the order of time, and of being made within one millisecond. */
export function newRunId(at: Instant): string {
  sequence = (sequence + 1) & 0xfff;
  return runId(at, sequence, randomBytes(10));
}
