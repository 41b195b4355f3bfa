// What the model knows: every run and every schedule as they truly are, and what the present life of the scheduler has been told.
// The rules beside it (ticks, runs, followers, work) look at it and say where a promise is broken.

import { type CompiledTiming, compile, refusedOn } from '../../src/scheduler/cadence/cadence.ts';
import type { BootEvent, QueueDefinition, SchedulerSettings, Tick } from '../../src/scheduler/ports.ts';
import type { Closing, OpenRun } from '../../src/scheduler/run.ts';
import type { Definition, Policy } from '../../src/scheduler/schedule.ts';
import type { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import type { World } from './world.ts';

export interface Violation {
  readonly invariant: string;
  readonly message: string;
  readonly atMs: number;
}

export interface RunRecord {
  readonly run: OpenRun;
  stage: 'open' | 'marked' | 'closed';
  closing: Closing | undefined;
  /** Its effects are there, committed with its closing row. */
  effects: number;
  /** In which life its durable start was written. */
  begunIn: number | undefined;
  /** In which lives it was executed. */
  readonly lives: number[];
  readonly openedMs: number;
  executing: boolean;
  /** Its process died while it ran. */
  diedIn: number | undefined;
  /** The next attempt. */
  next: string | undefined;
  /** A newer run has taken its place (overlap: replace). */
  replacedMs: number;
  startedMs: number;
  /** Asked for by hand where no loop runs: neither queues nor workers hold it. */
  isBeside: boolean;
  /** The first attempt, which stands for all in what is in flight. */
  readonly first: RunRecord | undefined;
  /** In flight as far as the scheduler of this life can know. */
  counted: boolean;
}

export interface ScheduleRecord {
  readonly scheduleId: number;
  /** As the ledger has it; undefined: dropped or unreadable. */
  definition: Definition | undefined;
  isDropped: boolean;
  /** As this life has read it. */
  known: Definition | undefined;
  /** Known to this life before its row could no longer be read. */
  settledBy: Definition | undefined;
  timing: CompiledTiming | undefined;
  readonly runsAt: Map<number, number>;
  readonly successes: Set<number>;
  openedFires: number;
  live: number;
  catchup: number;
  flightChangedMs: number;
  executing: number;
  streak: number;
  /** Runs of it ran beside each other: who closed first is a matter of taste. */
  tainted: boolean;
  changedMs: number;
  /** It has disabled itself, and its scheduler does not know yet that this is written. */
  awaitsNews: boolean;
  /** Up to here an older definition has handled it. */
  since: number;
}

export interface ModelOptions {
  readonly world: World;
  readonly clock: () => VirtualClock;
  /** Every step as a readable line. */
  readonly trace: boolean;
}

export class Model {
  readonly violations: Violation[] = [];
  readonly lines: string[] = [];
  readonly counts = { opened: 0, closed: 0, skipped: 0, ticks: 0, starts: 0, lives: 0, deaths: 0, tokens: 0, retries: 0 };
  readonly runs = new Map<string, RunRecord>();
  readonly open = new Set<RunRecord>();
  readonly schedules = new Map<number, ScheduleRecord>();
  readonly executing = new Set<RunRecord>();
  /** Open when a process died. */
  readonly suspects = new Set<RunRecord>();
  aloneUntilMs = Number.NEGATIVE_INFINITY;
  tick: Tick;
  bootAt = Number.NEGATIVE_INFINITY;
  lastBoot: BootEvent | undefined;
  queues: ReadonlyMap<string, QueueDefinition> = new Map();
  settings: SchedulerSettings;
  configuredMs = Number.NEGATIVE_INFINITY;
  jumpedMs = Number.NEGATIVE_INFINITY;
  life = 0;
  boundaryAt: number | undefined;
  isPaused = false;
  /** Not begun yet, in this process. */
  isHeld = false;
  pausedAt = Number.POSITIVE_INFINITY;
  /** Statements that have become true, and how many of them this life has read. */
  statements = 0;
  read = 0;
  readonly calm: boolean;
  readonly #clock: () => VirtualClock;
  readonly #trace: boolean;

  constructor({ world, clock, trace }: ModelOptions) {
    this.#clock = clock;
    this.#trace = trace;
    this.calm = world.calm;
    this.settings = world.settings;
    this.tick = { seq: 0, watermark: world.startAt, partly: null, gap: null, replayUntil: null };
  }

  get clock(): VirtualClock {
    return this.#clock();
  }

  get isTraced(): boolean {
    return this.#trace;
  }

  /** As the ledger has them. */
  get definitions(): readonly Definition[] {
    return [...this.schedules.values()].flatMap(({ definition }) => definition ?? []);
  }

  note(text: string): void {
    if (this.#trace) this.lines.push(`${this.#when()}  ${text}`);
  }

  #when(): string {
    const ms = this.clock.monotonicMs();
    const wall = new Date(this.clock.now()).toISOString().replace('T', ' ').replace('Z', '');
    return `${(ms / 1000).toFixed(3).padStart(11)}s ${wall}`;
  }

  violated(invariant: string, message: string): void {
    this.violations.push({ invariant, message, atMs: this.clock.monotonicMs() });
    this.note(`VIOLATED ${invariant}: ${message}`);
  }

  check(holds: boolean, invariant: string, message: () => string): void {
    if (!holds) this.violated(invariant, message());
  }

  /** Another run of its schedule has begun, and its end is not durable. */
  isBesideOthers({ runId, scheduleId }: OpenRun): boolean {
    for (const { run, lives } of this.open) if (run.scheduleId === scheduleId && run.runId !== runId && lives.length > 0) return true;
    return false;
  }

  schedule(scheduleId: number): ScheduleRecord {
    let schedule = this.schedules.get(scheduleId);
    if (schedule === undefined) {
      schedule = {
        scheduleId,
        definition: undefined,
        isDropped: false,
        known: undefined,
        settledBy: undefined,
        timing: undefined,
        runsAt: new Map(),
        successes: new Set(),
        openedFires: 0,
        live: 0,
        catchup: 0,
        flightChangedMs: Number.NEGATIVE_INFINITY,
        executing: 0,
        streak: 0,
        tainted: false,
        changedMs: Number.NEGATIVE_INFINITY,
        awaitsNews: false,
        since: Number.NEGATIVE_INFINITY,
      };
      this.schedules.set(scheduleId, schedule);
    }
    return schedule;
  }
}

export function isAside({ trigger }: OpenRun): boolean {
  return trigger === 'manual' || trigger === 'backfill' || trigger === 'api';
}

export function isClocked({ trigger }: OpenRun): boolean {
  return trigger === 'cron' || trigger === 'interval' || trigger === 'once' || trigger === 'catchup';
}

/** Its own times cannot be told: it waits for the repair. */
export function isPoisoned({ timing }: Definition): boolean {
  try {
    if (timing !== undefined) refusedOn(timing, 0);
    if (timing !== undefined) compile(timing);
    return false;
  } catch {
    return true;
  }
}

export const isSuperseding = ({ reason }: Closing): boolean => (reason ?? '').startsWith('superseded');

export function takes(afterState: Policy['afterState'], state: Closing['state']): boolean {
  switch (afterState) {
    case 'success':
      return state === 'succeeded';
    case 'failure':
      return state === 'failed' || state === 'timed_out' || state === 'interrupted';
    case 'any':
      return state !== 'skipped';
    default:
      return afterState satisfies never;
  }
}

export function triggerOf(timing: Definition['timing']): string {
  const kind = timing?.cadences.find((cadence) => cadence.kind !== 'reboot')?.kind;
  return kind === 'interval' || kind === 'once' ? kind : 'cron';
}
