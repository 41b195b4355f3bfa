// What the parts of a scheduler know together; what one alone knows, it keeps to itself. It is memory: true only since a commit
// that said so, and the ledger can be read again at any time instead. Who changes what stands beside it; all others only look.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { QueueDefinition, SchedulerSettings, StopReason, Tick } from './ports.ts';
import type { Progress } from './progress.ts';
import { Roster } from './roster.ts';
import type { OpenRun } from './run.ts';
import type { Suspects } from './suspects.ts';
import type { Writer } from './writer.ts';

/**
 * off: no ticks of its own; runs what is asked for by hand and what a host's `tick` opens. held: not begun, in this process only.
 * paused: by PAUSE SCHEDULER, durably.
 */
export type Mode = 'off' | 'starting' | 'running' | 'paused' | 'held' | 'stopping';

/** What is at work in this process. */
export interface Running {
  readonly run: OpenRun;
  readonly startedAt: Instant;
  /** What its executor has told last; null: nothing yet. */
  readonly progress: Progress | null;
}

export interface AtWork extends Running {
  abort(reason: StopReason): void;
  readonly ended: Promise<void>;
}

export interface Unreadable {
  readonly schedule: string;
  readonly message: string;
}

export class SchedulerState {
  // The scheduler's life: loop.ts.

  mode: Mode = 'off';
  bootId: string;
  /** Of the loop that runs; a host's own ticks have none. A clock that went back takes it along: ticks.ts. */
  bootAt: Instant | undefined;
  /** A host's tick is at work: everything may start, at its time. */
  hostNow: Instant | undefined;
  /** After an unclean end: what was open then runs alone, one at a time. Gone when none is left: dispatch.ts. */
  suspects: Suspects | undefined;
  writer: Writer;

  // What is defined: definitions.ts.

  settings: SchedulerSettings | undefined;
  queues: readonly QueueDefinition[] = [];
  pausedAt: Instant | null = null;
  /** What runs have made of a schedule, counters and all, is changed by the steps that say so. */
  readonly roster = new Roster();
  readonly unreadable = new Map<number, Unreadable>();
  /** Since the ledger was read. */
  readonly dropped = new Set<number>();

  // What is at work, by run id: attempts.ts.

  readonly running = new Map<string, AtWork>();

  // How far time is handled: ticks.ts.

  tick: Tick = { seq: 0, watermark: 0, partly: null, gap: null, replayUntil: null };

  // Asked for by hand, here: they run also where the loop does not. loop.ts adds them, whoever ends them takes them away.

  readonly byHand = new Set<string>();

  constructor(bootId: string, writer: Writer) {
    this.bootId = bootId;
    this.writer = writer;
  }

  /** It opens by itself, or would if it were not paused. */
  get isOn(): boolean {
    return this.mode === 'running' || this.mode === 'paused' || this.mode === 'starting';
  }

  /** The settings, once the ledger has been read. */
  get known(): SchedulerSettings {
    if (this.settings === undefined) throw new Diagnostic('internal', 'the scheduler has not read its ledger');
    return this.settings;
  }
}
