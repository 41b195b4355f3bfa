// Work outside of the database gives way to the scheduler, which needs little of a processor, and needs it at once: a program or a module
// that takes all it can get has a third of the weight of whoever keeps the time. Where nothing else is to be done, it has all.

import { readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/** As `nice` counts it, for whoever says nothing else. */
const usualNiceness = 5;

/**
 * For a thread of this process, by the system's number of it: what it has computed until now, in ms. undefined: it cannot be told, as
 * elsewhere than on Linux, where a niceness is the whole process's.
 */
export function computedMs(thread: number): number | undefined {
  if (thread === 0) return undefined;
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
  } catch {
    return undefined;
  }
}

export function letThreadGiveWay(thread: number): void {
  lower(thread, usualNiceness);
}

/** For a process that leads a session of its own. What was asked for is done by `nice`, before the program begins. */
export function letGiveWay(pid: number, asked: number | undefined): void {
  if (asked === undefined) lower(pid, usualNiceness);
  // A kernel that weighs sessions against each other looks at that of the session first.
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(asked ?? usualNiceness));
  } catch {
    // It does not, or was told something else a moment ago.
  }
}

function lower(pid: number, niceness: number): void {
  try {
    setPriority(pid, niceness);
  } catch {
    // It has ended already, or may not.
  }
}
