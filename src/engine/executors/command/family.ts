// All processes of one command: the one that was started, what it started, and what that started, also where they have gone away
// into sessions of their own. Who belongs to it is known by its control group, or by looking at every process of the machine, or,
// where neither can be had, by the process group alone.

import type { Clock } from '../../../scheduler/clock.ts';
import type { ControlGroup } from './controlGroup.ts';
import type { ProcessEntry, ProcessTable } from './processTable.ts';

export interface Family {
  /** Those that live now. */
  members(): readonly number[];
  signal(pid: number, signal: NodeJS.Signals): void;
  /** At once, all of them. */
  kill(): void;
  /** What they take now; undefined where nobody can tell. */
  usage(): Usage | undefined;
}

export interface Usage {
  readonly cpuMs: number;
  /** Of all together. */
  readonly memoryBytes: number;
  /** The most that was seen of one of them. */
  readonly peakBytes: number;
}

/** Those that pass by within so many milliseconds are looked at together. */
const sameMomentMs = 5;
/** The peak of each is read of a family that is not larger. */
const mostPeaks = 8;

/** By parents, process group, session, and the mark in the environment. Whoever was seen once stays a member. */
export class TreeFamily implements Family {
  readonly #table: ProcessTable;
  readonly #leader: number;
  readonly #marks: readonly string[];
  readonly #known = new Map<number, number>();

  /** Without a leader: whoever carries a mark that begins with one of these. */
  constructor(table: ProcessTable, { leader = 0, marks }: { readonly leader?: number; readonly marks: readonly string[] }) {
    this.#table = table;
    this.#leader = leader;
    this.#marks = marks;
  }

  members(): readonly number[] {
    const now = this.#table.nowMs;
    const seen = this.#entries(now - sameMomentMs);
    // That there is nobody left must be seen now.
    return (seen.length > 0 ? seen : this.#entries(now)).map(({ pid }) => pid);
  }

  signal(pid: number, signal: NodeJS.Signals): void {
    // Its number may belong to another by now.
    if (this.#table.entry(pid)?.startedTicks === this.#known.get(pid)) send(pid, signal);
  }

  kill(): void {
    for (const { pid } of this.#entries(this.#table.nowMs)) this.signal(pid, 'SIGKILL');
  }

  usage(): Usage | undefined {
    const entries = this.#entries(this.#table.nowMs - sameMomentMs);
    if (entries.length === 0) return undefined;
    const peaks = entries.length <= mostPeaks ? entries.map(({ pid }) => this.#table.peakBytesOf(pid)) : [0];
    return {
      cpuMs: sum(entries.map(({ cpuMs }) => cpuMs)),
      memoryBytes: sum(entries.map(({ residentBytes }) => residentBytes)),
      peakBytes: Math.max(...peaks),
    };
  }

  #entries(sinceMs: number): readonly ProcessEntry[] {
    const all = this.#table.read(sinceMs);
    const members = new Map<number, ProcessEntry>();
    const children = new Map<number, ProcessEntry[]>();
    const found: ProcessEntry[] = [];
    const add = (entry: ProcessEntry): void => {
      if (members.has(entry.pid) || entry.pid === process.pid) return;
      members.set(entry.pid, entry);
      found.push(entry);
    };
    for (const entry of all.values()) {
      const siblings = children.get(entry.parent);
      if (siblings === undefined) children.set(entry.parent, [entry]);
      else siblings.push(entry);
      if (this.#isMember(entry)) add(entry);
    }
    for (let next = found.pop(); next !== undefined; next = found.pop()) for (const child of children.get(next.pid) ?? []) add(child);
    this.#known.clear();
    for (const { pid, startedTicks } of members.values()) this.#known.set(pid, startedTicks);
    return [...members.values()].filter(({ isGone }) => !isGone);
  }

  #isMember(entry: ProcessEntry): boolean {
    if (this.#known.get(entry.pid) === entry.startedTicks) return true;
    if (this.#leader !== 0 && (entry.pid === this.#leader || entry.group === this.#leader || entry.session === this.#leader)) return true;
    const carried = this.#table.markOf(entry);
    return carried !== '' && carried.split(' ').some((mark) => this.#marks.some((own) => mark.startsWith(own)));
  }
}

/** By the kernel's own book: nobody leaves a control group by accident. */
export class ControlledFamily implements Family {
  readonly #group: ControlGroup;
  readonly #seen: Family;
  readonly #leader: () => number | undefined;

  /**
   * `seen` says what the group does not: how much memory is taken. The leader, while it lives, enters the group by itself: told to
   * end in its first moment, it is not in it yet.
   */
  constructor(group: ControlGroup, seen: Family, leader: () => number | undefined = () => undefined) {
    this.#group = group;
    this.#seen = seen;
    this.#leader = leader;
  }

  members(): readonly number[] {
    const leader = this.#leader();
    const members = this.#group.members();
    return leader === undefined || members.includes(leader) ? members : [leader, ...members];
  }

  signal(pid: number, signal: NodeJS.Signals): void {
    send(pid, signal);
  }

  kill(): void {
    this.#group.kill();
    const leader = this.#leader();
    if (leader !== undefined) send(leader, 'SIGKILL');
  }

  usage(): Usage | undefined {
    return this.#group.measuresAll ? undefined : this.#seen.usage();
  }
}

/** Where there is no /proc: nothing is seen, and whoever leaves the process group is not found. */
export class GroupFamily implements Family {
  readonly #leader: number;

  constructor(leader: number) {
    this.#leader = leader;
  }

  members(): readonly number[] {
    // 0 asks whether there is anybody.
    return send(-this.#leader, 0) ? [-this.#leader] : [];
  }

  signal(pid: number, signal: NodeJS.Signals): void {
    send(pid, signal);
  }

  kill(): void {
    send(-this.#leader, 'SIGKILL');
  }

  usage(): Usage | undefined {
    return undefined;
  }
}

export interface FamilyEnd {
  /** How many were told. */
  readonly told: number;
  /** Those that did not end by themselves. */
  readonly killed: number;
  /** Those that cannot be ended. */
  readonly left: readonly number[];
}

/** A kernel that is busy with a disk that does not answer lets nobody end; they are waited for so long. */
const longestKillMs = 5_000;

export interface FamilyEnding {
  readonly graceMs: number;
  /** Before anybody is told: who is about to end ends by itself. */
  readonly patienceMs?: number;
  readonly clock: Clock;
}

/** SIGTERM to all, and, to whoever is left when the grace is over, SIGKILL, until none is left. */
export async function endFamily(family: Family, { graceMs, patienceMs = 0, clock }: FamilyEnding): Promise<FamilyEnd> {
  const told = new Set<number>();
  const killed = new Set<number>();
  const since = clock.monotonicMs() + patienceMs;
  let pauseMs = 2;
  for (let members = family.members(); members.length > 0; members = family.members()) {
    const passedMs = clock.monotonicMs() - since;
    if (passedMs >= graceMs + longestKillMs) return { told: told.size, killed: killed.size, left: members };
    for (const pid of passedMs < 0 ? [] : members) {
      if (passedMs >= graceMs) killed.add(pid);
      if (told.has(pid)) continue;
      told.add(pid);
      if (passedMs >= graceMs) continue;
      family.signal(pid, 'SIGTERM');
      // What is stopped hears nothing.
      family.signal(pid, 'SIGCONT');
    }
    if (passedMs >= graceMs) {
      family.kill();
      pauseMs = 2;
    }
    await clock.sleep(passedMs >= graceMs ? pauseMs : Math.min(pauseMs, graceMs - passedMs));
    pauseMs = Math.min(pauseMs * 1.5, 50);
  }
  return { told: told.size, killed: killed.size, left: [] };
}

/** false: there is nobody of that number, or nobody who may be told. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
