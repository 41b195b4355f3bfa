// The processes of this machine, as /proc shows them. A number alone does not name a process, because it is given again: with the
// time of its start it does.

import { readdirSync, readFileSync } from 'node:fs';
import type { Clock } from '../../../scheduler/clock.ts';

export interface ProcessEntry {
  readonly pid: number;
  /** Ticks since the machine started. */
  readonly startedTicks: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** It has ended, and its parent has not asked yet. */
  readonly isGone: boolean;
  /** Its own, and that of its children that have ended and been asked for. */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** In the environment of every command, and so of all that it starts. */
export const markVariable = 'CUCKOO_MARK';

/** Linux answers /proc in ticks of a hundredth of a second on every architecture that Node knows. */
const tickMs = 10;

export class ProcessTable {
  readonly #clock: Clock;
  readonly #pageBytes = pageBytes();
  #entries: ReadonlyMap<number, ProcessEntry> = new Map();
  #readAtMs = Number.NEGATIVE_INFINITY;
  /** Of processes that were looked at once. What carries no mark gets none later, and what has lost it by an exec keeps it here. */
  #marks = new Map<number, { readonly startedTicks: number; readonly mark: string }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.monotonicMs();
  }

  /** All that live, as it was then or later: many ask in the same moment. */
  read(sinceMs: number): ReadonlyMap<number, ProcessEntry> {
    const now = this.nowMs;
    if (this.#readAtMs >= sinceMs) return this.#entries;
    const entries = new Map<number, ProcessEntry>();
    for (const name of readdirSync('/proc')) {
      const first = name.charCodeAt(0);
      if (first < 48 || first > 57) continue;
      const entry = this.entry(Number(name));
      if (entry !== undefined) entries.set(entry.pid, entry);
    }
    this.#entries = entries;
    this.#readAtMs = now;
    for (const pid of this.#marks.keys()) if (!entries.has(pid)) this.#marks.delete(pid);
    return entries;
  }

  entry(pid: number): ProcessEntry | undefined {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    } catch {
      return undefined;
    }
    // The second field, a name in brackets, may hold blanks and brackets.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const number = (field: number): number => Number(fields[field - 3]);
    const state = fields[0];
    return {
      pid,
      startedTicks: number(22),
      parent: number(4),
      group: number(5),
      session: number(6),
      isGone: state === 'Z' || state === 'X',
      cpuMs: (number(14) + number(15) + number(16) + number(17)) * tickMs,
      residentBytes: number(24) * this.#pageBytes,
    };
  }

  /** The mark in its environment; '' where there is none, or where it cannot be read. */
  markOf({ pid, startedTicks }: Pick<ProcessEntry, 'pid' | 'startedTicks'>): string {
    const known = this.#marks.get(pid);
    if (known !== undefined && known.startedTicks === startedTicks) return known.mark;
    const mark = readMark(pid);
    this.#marks.set(pid, { startedTicks, mark });
    return mark;
  }

  /** The most memory that it has ever had. */
  peakBytesOf(pid: number): number {
    try {
      const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
      return Number(kilobytes ?? 0) * 1024;
    } catch {
      return 0;
    }
  }
}

const needle = Buffer.from(`${markVariable}=`);

function readMark(pid: number): string {
  let environment: Buffer;
  try {
    environment = readFileSync(`/proc/${pid}/environ`);
  } catch {
    return '';
  }
  for (let at = environment.indexOf(needle); at !== -1; at = environment.indexOf(needle, at + 1)) {
    if (at > 0 && environment[at - 1] !== 0) continue;
    const end = environment.indexOf(0, at);
    return environment.toString('latin1', at + needle.length, end === -1 ? environment.length : end);
  }
  return '';
}

function pageBytes(): number {
  // Of a process whose size is known in both measures: this one.
  try {
    const pages = Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[0]);
    const kilobytes = Number(/^VmSize:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]);
    const bytes = (kilobytes * 1024) / pages;
    return [4096, 16_384, 65_536].reduce((best, size) => (Math.abs(size - bytes) < Math.abs(best - bytes) ? size : best));
  } catch {
    return 4096;
  }
}

/** Whether there is a /proc to read. */
export function canReadProcesses(): boolean {
  try {
    return readFileSync('/proc/self/stat', 'latin1').startsWith(`${process.pid} `);
  } catch {
    return false;
  }
}
