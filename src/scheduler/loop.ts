// The loop: it wakes at the earliest due instant (or after 30 s at most), reads the clock once, opens what is due in one
// transaction, lets free workers take what waits, and settles what has ended. A run's life is four steps:
//
//   open -> execute -> close -> settle
//
// Two rules hold everywhere. State in memory changes only after a confirmed commit, so that the ledger can always be read again
// instead. And what fails, fails alone: a schedule, a run, a listener, a call of the ledger.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import { Turnstile } from '../core/turnstile.ts';
import { Alarm } from './alarm.ts';
import { refusedOn } from './cadence/cadence.ts';
import { Calls } from './calls.ts';
import type { Timer } from './clock.ts';
import { Ends } from './ends.ts';
import { Events } from './events.ts';
import { Followers, type Joined } from './follow.ts';
import { inThisTime, isAside, nextAttempt, refusedClosing } from './opening.ts';
import { failedOutcome, isBare, succeededOutcome, withoutDetails } from './outcome.ts';
import { type Moment, overlapRefusal, type Plan, planTick } from './plan.ts';
import {
  type Changes,
  type ClosedRun,
  type Execution,
  instantKey,
  type LedgerState,
  type Ports,
  type ScheduledInstant,
  type SchedulerSettings,
  type StopReason,
  type Tick,
  type Token,
  type Write,
} from './ports.ts';
import { type Progress, ProgressOf } from './progress.ts';
import { Backlog, rereadMs } from './queue.ts';
import { type Armed, firesLeft } from './roster.ts';
import { type Closing, type Counters, type FinishedRun, isFailure, noCounters, type OpenRun, type Outcome, type Trigger } from './run.ts';
import { settle } from './settle.ts';
import { type Mode, SchedulerState, type Unreadable } from './state.ts';
import { Step } from './step.ts';
import { StepMaker } from './stepMaker.ts';
import { StorageWatch } from './storage.ts';
import { aloneMs, Suspects, whileAlone } from './suspects.ts';
import { Writer } from './writer.ts';

export type { Mode } from './state.ts';

export interface TickReport {
  /** Up to where time is handled now. */
  readonly watermark: Instant;
  readonly opened: number;
  readonly skipped: number;
  readonly finished: readonly FinishedRun[];
  /** Schedules that could not be read or planned; they delay nobody else. */
  readonly unreadable: readonly Unreadable[];
}

/** What is at work in this process. */
export interface Running {
  readonly run: OpenRun;
  readonly startedAt: Instant;
  /** What its executor has told last; null: nothing yet. */
  readonly progress: Progress | null;
}

interface AtWork extends Running {
  readonly controller: AbortController;
  readonly ended: Promise<void>;
}

/** The heart of a tick: planning may take so long before what is decided is written. */
const planningMs = 25;
/** A clock behind the watermark is believed after so long. */
const believedAfterMs = 600_000;
/** A million schedules on a busy machine. */
const loadMs = 600_000;
/** With more than this on its way to the disk, no more is begun. */
const mostUnwritten = 20_000;
const mostRemembered = 10_000;

export class Scheduler {
  readonly events = new Events();
  readonly #ports: Ports;
  readonly #calls: Calls;
  readonly #state: SchedulerState;
  readonly #storage: StorageWatch;
  readonly #steps: StepMaker;
  readonly #alarm: Alarm;
  readonly #ends: Ends;
  readonly #turnstile = new Turnstile();
  readonly #running = new Map<string, AtWork>();
  readonly #following = new Set<number>();
  /** By schedule: failures on their way to be closed. */
  readonly #failing = new Map<number, Promise<void>>();
  /** Closed by others than their own work, which memory learns of later: what opened them waits for its answer, or a worker has them. */
  readonly #closedBeside = new Set<string>();
  /** The same, on its way. */
  readonly #closingBeside = new Set<string>();
  /** Fenced, and open all the same. */
  readonly #stillOpen = new Set<string>();
  #backlog = new Backlog();
  #followers = new Followers();
  #loaded: Promise<void> | undefined;
  #starting: Promise<void> = Promise.resolve();
  /** As the ledger says; time in which nothing was due is written with what comes after it. */
  #writtenThrough: Instant = 0;
  #revision = 0;
  #stale = false;
  #starts = 0;
  #timer: Timer | undefined;
  /** Ends the wait of a stop. */
  #hurry: (() => void) | undefined;
  #cycling = false;
  #again = false;
  #refilling: Promise<void> | undefined;
  /** Retries that wait in the table for their time may be none of memory's. */
  #hasUnknownSleepers = false;
  #refilledMs = Number.NEGATIVE_INFINITY;
  #lagMs = 0;
  #behindSinceMs: number | undefined;

  constructor(ports: Ports) {
    const { clock, ledger, usualTimes } = ports;
    const { events } = this;
    const newRunId = (at: Instant): string => ports.newRunId(at);
    const dispatch = (): void => this.#dispatch();
    const calls = new Calls(clock, events);
    const state = new SchedulerState(ports.bootId, new Writer(ledger, calls));
    const steps = new StepMaker({
      roster: state.roster,
      events,
      newRunId,
      childrenOf: (scheduleId) => this.#followers.childrenOf(scheduleId),
      opened: (run) => this.#enqueue(run),
      given: (token) => {
        this.#addToken(token);
        this.#follow(token.childId);
      },
      ended: (closing) => ends.tell(closing),
    });
    const running = (): Iterable<Running> => this.#running.values();
    const alarm = new Alarm({ state, calls, clock, events, steps, usualTimes, newRunId, running, counts: () => this.counts(), dispatch });
    const ends = new Ends({ state, calls, ledger, events, alarm, isAtWork: (runId) => this.#running.has(runId) });
    this.#ports = ports;
    this.#calls = calls;
    this.#state = state;
    this.#steps = steps;
    this.#alarm = alarm;
    this.#ends = ends;
    this.#storage = new StorageWatch(ports, events);
  }

  // ---- What others see ----

  get mode(): Mode {
    return this.#state.mode;
  }

  /** It opens by itself, or would if it were not paused. */
  get isOn(): boolean {
    return this.#state.isOn;
  }

  running(runId: string): Running | undefined {
    return this.#running.get(runId);
  }

  allRunning(): IterableIterator<Running> {
    return this.#running.values();
  }

  /** How late the loop itself was when it last had something due. */
  get lagMs(): number {
    return this.#lagMs;
  }

  get watermark(): Instant {
    return this.#state.tick.watermark;
  }

  get storageLow(): boolean {
    return this.#storage.isLow;
  }

  get clockBehind(): boolean {
    return this.#behindSinceMs !== undefined;
  }

  get troubled(): boolean {
    return this.#calls.troubled;
  }

  get unreadable(): readonly Unreadable[] {
    return [...this.#state.unreadable.values()];
  }

  /** As many as may be at work; null where it has not read the ledger. */
  get workers(): number | null {
    return this.#state.settings === undefined ? null : this.#workers(this.#state.settings);
  }

  /** When something is due next; Infinity: never. */
  get nextDue(): Instant {
    return this.#state.roster.earliestDue;
  }

  get schedules(): number {
    return this.#state.roster.size;
  }

  counts(): ReturnType<Backlog['counts']> {
    return this.#backlog.counts();
  }

  // ---- Its life ----

  /** Reads the ledger, makes good what an unclean end left, and begins. `held`: begins when it is released. */
  start({ held = false }: { readonly held?: boolean } = {}): Promise<void> {
    if (this.#state.mode !== 'off') return this.#starting;
    this.#state.mode = 'starting';
    this.#calls.resume();
    this.#starting = this.#startUp(held).catch((error: unknown) => {
      this.#state.mode = 'off';
      this.#loaded = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #startUp(held: boolean): Promise<void> {
    // What was loaded for work by hand may be old by now.
    if (this.#loaded !== undefined) await this.#quiet();
    const state = await this.#load();
    if (!held) return this.#begin(state);
    this.#state.mode = 'held';
    this.events.emit('scheduler:paused', { held: true });
  }

  /** Ends a hold. */
  async release(): Promise<void> {
    if (this.#state.mode !== 'held') return;
    this.#state.mode = 'off';
    await this.start();
  }

  /** Opens nothing more, waits for what is at work, interrupts what takes longer. Safe to call twice; without grace, the second call ends
   * the wait of the first. */
  async stop({ graceMs }: { readonly graceMs: number }): Promise<void> {
    if (this.#state.mode === 'stopping') {
      if (graceMs <= 0) this.#hurry?.();
      return this.#quiet();
    }
    if (this.#state.mode === 'starting') {
      this.#calls.stop();
      await this.#starting.catch(() => {
        // It ends because it was told to.
      });
    }
    const wasOn = this.isOn;
    this.#state.mode = 'stopping';
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#running.size > 0 && graceMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#ports.clock.after(graceMs, resolve);
        this.#hurry = () => {
          timer.cancel();
          resolve();
        };
        void this.#quiet().then(this.#hurry);
      });
      this.#hurry = undefined;
    }
    for (const { controller } of this.#running.values()) controller.abort({ kind: 'shutdown' } satisfies StopReason);
    await this.#quiet();
    // A tick or a change on its way is let through.
    await this.#turnstile.run(async () => {});
    if (wasOn) {
      const stopped: Write = { kind: 'boot', bootId: this.#state.bootId, event: 'stop', at: this.#ports.clock.now() };
      await this.#calls
        .once('stop', (signal) => this.#ports.ledger.write([[stopped]], signal))
        .catch(() => {
          // Without the row the next start takes it for an unclean end, which costs caution and nothing else.
        });
    }
    this.#calls.stop();
    this.#state.writer.stop();
    this.#ends.leave();
    this.#state.mode = 'off';
    this.#loaded = undefined;
    this.#state.bootAt = undefined;
    this.#state.suspects = undefined;
    this.#state.byHand.clear();
    this.#state.writer = new Writer(this.#ports.ledger, this.#calls);
    this.events.emit('scheduler:stopped', {});
  }

  async #quiet(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running.values()].map((atWork) => atWork.ended));
    await this.#state.writer.drain();
  }

  /** Reads the ledger, once for each start; what runs by hand needs it too. */
  async ready(): Promise<void> {
    if (this.#loaded === undefined) await this.#load();
    else await this.#loaded;
  }

  #load(): Promise<LedgerState> {
    const loading = this.#turnstile.run(() => this.#read());
    this.#loaded = loading.then(
      () => undefined,
      (error: unknown) => {
        this.#loaded = undefined;
        throw error;
      },
    );
    // Whoever loads hears of the error himself.
    this.#loaded.catch(() => undefined);
    return loading;
  }

  async #read(): Promise<LedgerState> {
    const state = await this.#calls.untilAnswered('load', (signal) => this.#ports.ledger.load(signal), loadMs);
    this.#state.roster.clear();
    this.#followers = new Followers();
    this.#backlog = new Backlog();
    this.#state.unreadable.clear();
    this.#state.dropped.clear();
    this.#state.tick = state.tick;
    this.#writtenThrough = state.tick.watermark;
    this.#adopt(state);
    for (const [scheduleId, counters] of state.counters) {
      const armed = this.#state.roster.get(scheduleId);
      if (armed !== undefined) armed.counters = counters;
    }
    for (const [scheduleId, inFlight] of state.inFlight) this.#state.roster.countOpen(scheduleId, inFlight);
    for (const token of state.tokens) this.#addToken(token);
    this.#backlog.recall(state.recentStarts);
    this.#alarm.begin(state.alerts);
    this.#stale = false;
    return state;
  }

  /** What was defined, changed or dropped. */
  #adopt(changes: Changes): void {
    this.#revision = changes.revision;
    this.#state.settings = changes.settings;
    this.#state.queues = changes.queues;
    this.#backlog.configure(changes.queues, this.#workers(changes.settings));
    const was = this.#state.pausedAt;
    this.#state.pausedAt = changes.pausedAt;
    for (const change of changes.definitions) {
      const scheduleId = change.kind === 'defined' ? change.definition.scheduleId : change.scheduleId;
      const problem = this.#state.roster.apply(change, this.#state.tick);
      if (change.kind === 'dropped') {
        for (const run of this.#backlog.removeSchedule(scheduleId)) this.#state.byHand.delete(run.runId);
        this.#state.dropped.add(scheduleId);
        this.#ends.lookForDropped();
        this.#alarm.dropped(scheduleId);
        this.#forget(this.#followers.drop(scheduleId));
      }
      if (change.kind === 'defined') this.#forget(this.#followers.define(change.definition));
      if (problem === undefined) this.#state.unreadable.delete(scheduleId);
      else {
        const schedule = change.kind === 'defined' ? change.definition.name : change.kind === 'unreadable' ? change.name : '';
        this.#state.unreadable.set(scheduleId, { schedule, message: problem });
        this.events.emit('schedule:unreadable', { schedule, message: problem });
      }
    }
    if (this.#state.mode === 'running' && changes.pausedAt !== null) {
      this.#state.mode = 'paused';
      this.events.emit('scheduler:paused', { held: false });
    } else if (this.#state.mode === 'paused' && changes.pausedAt === null) {
      this.#state.mode = 'running';
      if (was !== null) this.events.emit('scheduler:resumed', {});
    }
  }

  #followReady(): void {
    for (const childId of this.#followers.ready()) this.#follow(childId);
  }

  /** Tokens that nobody waits for any more. Written or not: the next start finds them void again. */
  #forget(tokenIds: readonly string[]): void {
    if (tokenIds.length > 0) this.#state.writer.write([{ kind: 'useTokens', tokenIds }]).catch(() => undefined);
  }

  async #begin(state: LedgerState): Promise<void> {
    const { clock } = this.#ports;
    const now = clock.now();
    this.#state.bootAt = now;
    // A scheduler may stop and start again: what its first start had begun was let go of, what the next begins is not.
    this.#starts += 1;
    const bootId = this.#starts === 1 ? this.#ports.bootId : `${this.#ports.bootId}.${this.#starts}`;
    this.#state.bootId = bootId;
    this.#behindSinceMs = undefined;
    this.#storage.begin();
    const unclean = state.lastBoot?.event === 'start';
    this.#state.suspects = unclean && state.openRuns > 0 ? new Suspects(now) : undefined;
    await this.#state.writer.write([{ kind: 'boot', bootId, event: 'start', at: now }]);
    for (const mark of state.marks) await this.#settleMark(mark);
    for (const run of state.begun) await this.#closeInterrupted(run);
    for (const armed of this.#state.roster.all()) {
      if (armed.definition.policy.overlap === 'replace' && armed.live + armed.catchup > 1) await this.#closeReplaced(armed);
    }
    // Before anything may start: what was open at a crash must be known as such.
    this.#hasUnknownSleepers = state.openRuns > 0;
    if (state.openRuns > 0) await this.#refill();
    this.#state.mode = this.#state.pausedAt === null ? 'running' : 'paused';
    if (this.#state.mode === 'running') await this.#openReboots(now);
    this.events.emit('scheduler:started', { schedules: this.#state.roster.size });
    if (this.#state.mode === 'paused') this.events.emit('scheduler:paused', { held: false });
    this.#followReady();
    this.#wake();
  }

  // ---- The wheel ----

  /** Now, or when the wheel comes round. */
  #wake(): void {
    if (this.#cycling) {
      this.#again = true;
      return;
    }
    this.#cycling = true;
    void this.#cycle().finally(() => {
      this.#cycling = false;
      if (this.#again) {
        this.#again = false;
        this.#wake();
      }
    });
  }

  async #cycle(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    let failed = false;
    try {
      if (this.#state.mode === 'running' || this.#state.mode === 'paused') await this.#storage.heed();
      if (this.#stale) await this.#turnstile.run(() => this.#reread());
      const now = this.#ports.clock.now();
      if (this.#state.mode === 'running' && !this.#storage.isLow && (await this.#heedClock(now))) {
        if (this.#state.roster.earliestDue <= now) {
          this.#lagMs = Math.max(now - this.#state.roster.earliestDue, 0);
          await this.#turnstile.run(async () => {
            // A change may have come in between, a pause too.
            if (this.#stale) await this.#reread();
            if (this.#state.mode === 'running') await this.#tickAll(this.#ports.clock.now());
          });
        } else this.#lagMs = 0;
      }
      await this.#alarm.heed();
    } catch (error) {
      // Told already by the call that failed; tried again soon.
      failed = true;
      if (!(error instanceof Diagnostic)) this.events.emit('ledger:trouble', { during: 'tick', message: String(error) });
    }
    this.#dispatch();
    if (this.#state.mode !== 'running' && this.#state.mode !== 'paused') return;
    const now = this.#ports.clock.now();
    const due =
      this.#state.mode === 'running' && !this.#storage.isLow && this.#behindSinceMs === undefined
        ? this.#state.roster.earliestDue
        : Number.POSITIVE_INFINITY;
    const nextAt = Math.min(due, this.#backlog.nextAt(now));
    const waitMs = failed ? 1000 : Math.min(Math.max(nextAt - now, 0), this.#state.known.checkIntervalMs);
    this.#timer = this.#ports.clock.after(Math.min(waitMs, this.#storage.againMs), () => this.#wake(), { keepsProcessAlive: true });
  }

  /** Whether the clock may be used: one that stands behind what is handled is believed after ten minutes only. */
  async #heedClock(now: Instant): Promise<boolean> {
    const { watermark } = this.#state.tick;
    if (now >= watermark) {
      if (this.#behindSinceMs !== undefined) {
        this.#behindSinceMs = undefined;
        this.events.emit('clock:believed', { now, watermark });
      }
      return true;
    }
    const monotonicMs = this.#ports.clock.monotonicMs();
    if (this.#behindSinceMs === undefined) {
      this.#behindSinceMs = monotonicMs;
      this.events.emit('clock:behind', { now, watermark });
    }
    if (monotonicMs - this.#behindSinceMs < believedAfterMs) return false;
    await this.#turnstile.run(async () => {
      const tick: Tick = {
        seq: this.#state.tick.seq + 1,
        watermark: now,
        partly: null,
        gap: null,
        replayUntil: Math.max(watermark, this.#state.tick.replayUntil ?? watermark),
      };
      await this.#commitTick(tick, now, []);
    });
    this.#state.bootAt = Math.min(this.#state.bootAt ?? now, now);
    this.#state.suspects?.clockWentBack(now);
    this.#behindSinceMs = undefined;
    // What waits for an instant of the wrong time would wait for ever.
    await this.#refilling;
    const { starts } = this.#backlog;
    this.#backlog = new Backlog();
    this.#backlog.recall(starts);
    this.#backlog.configure(this.#state.queues, this.#workers(this.#state.known));
    for (const { run } of this.#running.values()) this.#backlog.begin(run);
    this.#hasUnknownSleepers = true;
    await this.#refill();
    this.#state.roster.rearmAll(this.#state.tick);
    this.events.emit('clock:believed', { now, watermark });
    return true;
  }

  /** No more than can really run: what a worker has taken and cannot begin looks like work, and its time runs out. */
  #workers({ workers }: SchedulerSettings): number {
    return Math.min(workers, this.#ports.mostAtOnce?.() ?? workers);
  }

  // ---- Ticks ----

  /** For hosts that keep their own clock: opens what is due up to `now`, runs all that is ready, answers when it has been done. */
  async tick(now: Instant, workers?: number): Promise<TickReport> {
    if (this.#state.mode !== 'off')
      throw new Diagnostic('in_use', 'the scheduler runs here, and ticks by itself', { hint: 'open it without scheduler: true' });
    await this.ready();
    const finished: FinishedRun[] = [];
    const begun = new Set<string>();
    const offs = [
      this.events.on('run:started', ({ run }) => begun.add(run.runId)),
      this.events.on('run:finished', (run) => {
        if (begun.has(run.runId)) finished.push(run);
      }),
    ];
    try {
      const report = await this.#turnstile.run(async () => {
        if (this.#stale) await this.#reread();
        return this.#state.pausedAt === null ? this.#tickAll(now) : undefined;
      });
      if (report === undefined)
        return { watermark: this.#state.tick.watermark, opened: 0, skipped: 0, finished, unreadable: this.unreadable };
      this.#state.hostNow = now;
      if (workers !== undefined) this.#backlog.configure(this.#state.queues, workers);
      await this.#refill();
      for (;;) {
        this.#dispatch();
        if (this.#running.size === 0) break;
        await Promise.race([...this.#running.values()].map((atWork) => atWork.ended));
        await this.#state.writer.drain();
      }
      return { watermark: this.#state.tick.watermark, ...report, finished, unreadable: this.unreadable };
    } finally {
      this.#state.hostNow = undefined;
      if (workers !== undefined) this.#backlog.configure(this.#state.queues, this.#workers(this.#state.known));
      for (const off of offs) off();
    }
  }

  /**
   * Definitions change at a tick's boundary: time is handled with the old ones up to now, then `commit` makes the new ones true,
   * then they are read from the database, never from a list of what is believed to have changed.
   */
  change<T>(commit: () => Promise<T>): Promise<T> {
    return this.#turnstile.run(async () => {
      if (this.#loaded === undefined) return commit().finally(() => this.events.emit('definitions:changed', {}));
      // What could not be read after the change before this one.
      if (this.#stale) await this.#reread();
      await this.#handleAll();
      try {
        return await commit();
      } finally {
        // Also after an error, which proves nothing.
        this.#stale = true;
        await this.#reread().catch(() => this.#wakeLater());
        this.events.emit('definitions:changed', {});
        this.#followReady();
        if (this.#state.mode === 'running' || this.#state.mode === 'paused') this.#wake();
      }
    });
  }

  /** Everything up to now, durably: after a crash nobody asks the new definitions about the time of the old ones. */
  async #handleAll(): Promise<void> {
    const now = this.#ports.clock.now();
    // Where no scheduler runs too: whoever starts next must not take paused time for missed.
    if (this.#state.pausedAt !== null && (this.#state.mode === 'paused' || this.#state.mode === 'off'))
      return this.#skipPause(this.#state.pausedAt);
    if (this.#state.mode !== 'running' || this.#storage.isLow) return;
    // A clock that stands behind handles nothing; what was handled before is written all the same.
    if (this.#behindSinceMs === undefined) await this.#tickAll(now);
    if (this.#state.tick.watermark > this.#writtenThrough)
      await this.#commitTick({ ...this.#state.tick, seq: this.#state.tick.seq + 1 }, now, []);
  }

  async #reread(): Promise<void> {
    const changes = await this.#calls.once('changes', (signal) => this.#ports.ledger.changes(this.#revision, signal));
    this.#stale = false;
    this.#adopt(changes);
  }

  #wakeLater(): void {
    if (this.#state.mode === 'running' || this.#state.mode === 'paused')
      this.#ports.clock.after(1000, () => this.#wake(), { keepsProcessAlive: false });
  }

  /** Paused time is neither missed nor a row; what was missed before the pause is. */
  async #skipPause(pausedAt: Instant): Promise<void> {
    const now = this.#ports.clock.now();
    if (pausedAt > this.#state.tick.watermark) await this.#tickAll(Math.min(pausedAt, now));
    const tick: Tick = {
      ...this.#state.tick,
      seq: this.#state.tick.seq + 1,
      watermark: Math.max(now, this.#state.tick.watermark),
      partly: null,
      gap: null,
    };
    await this.#commitTick(tick, now, []);
    this.#state.roster.rearmAll(this.#state.tick);
  }

  /** In slices, each of which is one transaction. */
  async #tickAll(now: Instant): Promise<{ opened: number; skipped: number }> {
    const total = { opened: 0, skipped: 0 };
    for (;;) {
      const plan = await this.#plan(now);
      for (const { scheduleId, message } of plan.broken) this.#tellBroken(scheduleId, message);
      if (plan.decisions.length === 0) {
        // Time in which nothing was due needs no row: read again from the old watermark, it holds nothing either.
        this.#state.tick = { ...plan.tick, seq: this.#state.tick.seq };
        if (plan.done) return total;
        await this.#ports.clock.yieldTurn();
        continue;
      }
      let step: Step;
      try {
        const decided = await this.#decided(plan, now);
        await this.#onItsWay(decided, async () => {
          await this.#commitTick(plan.tick, now, decided.writes);
          decided.confirm();
        });
        step = decided;
      } catch (error) {
        // Planning has moved the slots; nothing of it is written.
        this.#state.roster.rearm(plan.touched, this.#state.tick);
        throw error;
      }
      total.opened += step.opened;
      total.skipped += step.skipped;
      this.events.emit('tick:done', { tick: this.#state.tick, opened: step.opened, skipped: step.skipped, lagMs: this.#lagMs });
      if (this.#state.mode === 'running') this.#dispatch();
      if (plan.done) return total;
      await this.#ports.clock.yieldTurn();
    }
  }

  async #plan(now: Instant): Promise<Plan> {
    const { clock } = this.#ports;
    const settings = this.#state.known;
    const plan = (ran: Moment['ran']): Plan => {
      const since = clock.monotonicMs();
      return planTick(
        this.#state.roster.slots,
        {
          now,
          tick: this.#state.tick,
          lateWithinMs: settings.lateWithinMs,
          bootAt: this.#state.bootAt ?? Number.NEGATIVE_INFINITY,
          enough: () => clock.monotonicMs() - since > planningMs,
          ...(ran === undefined ? {} : { ran }),
        },
        (scheduleId) => this.#state.roster.planned(scheduleId, settings),
      );
    };
    if (this.#state.tick.replayUntil === null) return plan(undefined);
    // The clock went back: what has a run already is passed over. A first look tells which instants to ask for.
    const asked: ScheduledInstant[] = [];
    const first = plan((scheduleId, scheduledAt) => {
      asked.push({ scheduleId, scheduledAt });
      return false;
    });
    this.#state.roster.rearm(first.touched, this.#state.tick);
    const ran = asked.length === 0 ? new Set<string>() : await this.#calls.once('ran', (signal) => this.#ports.ledger.ran(asked, signal));
    const known = new Set(asked.map(instantKey));
    return plan((scheduleId, scheduledAt) => {
      const key = instantKey({ scheduleId, scheduledAt });
      return known.has(key) ? ran.has(key) : undefined;
    });
  }

  /** The ledger is the only witness: after an error it is asked how far it came. */
  async #commitTick(tick: Tick, now: Instant, writes: readonly Write[]): Promise<void> {
    const { ledger } = this.#ports;
    try {
      await this.#calls.once('tick', (signal) => ledger.tick(tick, now, writes, signal));
    } catch (error) {
      const newest = await this.#calls.untilAnswered('newest tick', (signal) => ledger.newestTick(signal));
      if (newest.seq < tick.seq) throw error;
    }
    this.#state.tick = tick;
    this.#writtenThrough = tick.watermark;
  }

  #tellBroken(scheduleId: number, message: string): void {
    const schedule = this.#state.roster.get(scheduleId)?.definition.name ?? String(scheduleId);
    this.#state.unreadable.set(scheduleId, { schedule, message });
    this.events.emit('schedule:unreadable', { schedule, message });
  }

  /** What a slice writes, and what is true in memory when it is written. */
  async #decided(plan: Plan, now: Instant): Promise<Step> {
    const step = new Step();
    const opening = new Map<number, { counters: Counters; runs: OpenRun[] }>();
    for (const { scheduleId, decision } of plan.decisions) {
      const armed = this.#state.roster.get(scheduleId);
      if (armed === undefined) continue;
      const soFar = opening.get(scheduleId) ?? { counters: armed.counters, runs: [] };
      opening.set(scheduleId, soFar);
      if (decision.kind === 'skip') {
        const { scheduledAt, firstScheduledAt, fires } = decision;
        const run = this.#steps.newRun(armed, { trigger: armed.trigger, scheduledAt, now });
        const stretch = { fires, firstScheduledAt };
        this.#steps.refuse(step, armed, { ...refusedClosing(run, 'skipped', decision.reason, now, soFar.counters), stretch });
        continue;
      }
      if (decision.replaces === true) await this.#replace(step, armed, soFar.runs, now);
      soFar.counters = { ...soFar.counters, openedFires: soFar.counters.openedFires + 1 };
      const { trigger, scheduledAt } = decision;
      soFar.runs.push(this.#steps.newRun(armed, { trigger, scheduledAt, now, fire: soFar.counters.openedFires }));
    }
    for (const [scheduleId, { counters, runs }] of opening) {
      const armed = this.#state.roster.get(scheduleId);
      for (const run of runs) this.#steps.open(step, run);
      step.afterwards(() => {
        if (armed !== undefined)
          armed.counters = { ...armed.counters, openedFires: Math.max(counters.openedFires, armed.counters.openedFires) };
      });
    }
    return step;
  }

  /** A step that closes runs beside their own work: one of them may end in the meantime, and must not be counted twice. */
  async #onItsWay<T>(step: Step, writeAndConfirm: () => Promise<T>): Promise<T> {
    for (const runId of step.closing) this.#closingBeside.add(runId);
    try {
      return await writeAndConfirm();
    } finally {
      for (const runId of step.closing) this.#closingBeside.delete(runId);
    }
  }

  /** In memory, after its closing row is durable, of a run that was open and is not closed by its own end: cancelled, replaced. */
  #endedBeside(closing: Closing): void {
    const { run } = closing;
    this.#state.roster.count(run, -1);
    const atWork = this.#running.get(run.runId);
    if (atWork !== undefined) {
      // A worker took it in the meantime: the fence holds back what it does.
      this.#closedBeside.add(run.runId);
      atWork.controller.abort({ kind: 'cancelled', reason: closing.reason ?? 'cancelled' } satisfies StopReason);
    } else if (this.#backlog.remove(run.runId) === undefined) {
      // Memory does not have it, or not yet: what opened it may still wait for its answer.
      this.#closedBeside.add(run.runId);
      if (this.#closedBeside.size > mostRemembered)
        for (const oldest of this.#closedBeside) {
          this.#closedBeside.delete(oldest);
          break;
        }
    }
    this.#ends.tell(closing);
  }

  /** overlap: replace. What waits is closed at once; what runs is asked to end, and the new run waits until it has. */
  async #replace(step: Step, armed: Armed, opening: OpenRun[], now: Instant, { patiently = false } = {}): Promise<void> {
    const { scheduleId } = armed.definition;
    for (const run of opening.splice(0)) this.#steps.refuse(step, armed, refusedClosing(run, 'cancelled', 'replaced', now, armed.counters));
    const ask = (signal: AbortSignal): Promise<readonly OpenRun[]> => this.#ports.ledger.openRunsOf(scheduleId, signal);
    // A tick is planned anew when the ledger does not answer; whoever follows has nobody who would.
    const open = patiently ? await this.#calls.untilAnswered('open runs', ask) : await this.#calls.once('open runs', ask);
    for (const run of open) {
      if (isAside(run.trigger)) continue;
      if (this.#running.has(run.runId)) {
        step.afterwards(() => this.#endReplaced(run));
        continue;
      }
      if (step.closes(run.runId)) continue;
      const closing = refusedClosing(run, 'cancelled', 'replaced', now, armed.counters);
      step.close(closing);
      this.#steps.giveTokens(step, closing);
      step.afterwards(() => this.#endedBeside(closing));
    }
  }

  /** It may have failed by itself in this very moment: then the next attempt, which would run beside the new one, ends too. */
  #endReplaced(run: OpenRun): void {
    const atWork = this.#running.get(run.runId);
    atWork?.controller.abort({ kind: 'cancelled', reason: 'replaced' } satisfies StopReason);
    const end = async (): Promise<void> => {
      await atWork?.ended;
      const scheduleId = run.scheduleId ?? 0;
      const open = await this.#calls.untilAnswered('open runs', (signal) => this.#ports.ledger.openRunsOf(scheduleId, signal));
      for (const next of open) {
        if (next.rootRunId === run.rootRunId && next.attempt > run.attempt) await this.cancel(next.runId, 'replaced');
      }
    };
    end().catch(() => {
      // The scheduler stops; what is open then runs after the next start.
    });
  }

  /** At a start: what was asked to end, and died with its process before it did. */
  async #closeReplaced({ definition, counters }: Armed): Promise<void> {
    const { scheduleId } = definition;
    const open = await this.#calls.untilAnswered('open runs', (signal) => this.#ports.ledger.openRunsOf(scheduleId, signal));
    const inFlight = open.filter((run) => !isAside(run.trigger));
    const newest = Math.max(...inFlight.map((run) => (run.trigger === 'catchup' ? 0 : (run.fire ?? 0))));
    for (const run of inFlight) {
      if (run.fire === null || run.fire >= newest) continue;
      const closing = refusedClosing(run, 'cancelled', 'replaced', this.#ports.clock.now(), counters);
      const step = new Step();
      step.close(closing);
      this.#steps.giveTokens(step, closing);
      step.afterwards(() => this.#endedBeside(closing));
      if (await this.#state.writer.write(step.writes)) step.confirm();
    }
  }

  // ---- After others, at a start ----

  #openReboots(now: Instant): Promise<void> {
    const reboots = [...this.#state.roster.all()].filter(
      ({ definition }) => definition.enabled && (definition.timing?.cadences.some((cadence) => cadence.kind === 'reboot') ?? false),
    );
    return this.#writeSteps(
      reboots.map((armed) => () => {
        const step = new Step();
        this.#firesAlone(step, armed, { trigger: 'cron', scheduledAt: now, now });
        return Promise.resolve(step);
      }),
    );
  }

  async #writeSteps(steps: readonly (() => Promise<Step>)[]): Promise<void> {
    for (const make of steps) {
      const step = await make();
      if (step.writes.length === 0) continue;
      if (await this.#state.writer.write(step.writes)) step.confirm();
    }
  }

  /** false: its zone or its calendar cannot be read. It fails alone. */
  #firesAlone(step: Step, armed: Armed, fire: ForeignFire): boolean {
    try {
      this.#fire(step, armed, fire);
      return true;
    } catch (error) {
      this.#tellBroken(armed.definition.scheduleId, error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  /** A fire that is not the clock's: its window, `max_runs`, its calendar and overlap decide as they do for the clock's. */
  #fire(step: Step, armed: Armed, fire: ForeignFire): void {
    const { definition, counters } = armed;
    const { timing, policy } = definition;
    const { scheduledAt, now } = fire;
    if (timing?.starts !== undefined && scheduledAt < timing.starts) return;
    if (timing?.ends !== undefined && scheduledAt >= timing.ends) return;
    if (firesLeft(definition, counters) <= 0) return;
    const refused = (reason: string): Closing => refusedClosing(this.#steps.newRun(armed, fire), 'skipped', reason, now, counters);
    if (timing !== undefined && refusedOn(timing, scheduledAt)) {
      this.#steps.refuse(step, armed, refused('calendar: not a business day'));
      return;
    }
    const refusal = overlapRefusal(policy, { live: armed.live, catchup: armed.catchup });
    if (refusal !== undefined) {
      this.#steps.refuse(step, armed, refused(refusal));
      return;
    }
    const openedFires = counters.openedFires + 1;
    this.#steps.open(step, this.#steps.newRun(armed, { ...fire, fire: openedFires }));
    step.afterwards(() => {
      armed.counters = { ...armed.counters, openedFires: Math.max(openedFires, armed.counters.openedFires) };
    });
  }

  #addToken(token: Token): void {
    // Of a parent or child that cannot be read it waits for the repair.
    const isUnreadable = this.#state.unreadable.has(token.childId) || this.#state.unreadable.has(token.parentId);
    if (!this.#followers.add(token) && !isUnreadable) this.#forget([token.tokenId]);
  }

  /** Opens or refuses a child for as long as its tokens decide something; one decision at a time. */
  #follow(childId: number): void {
    if (this.#following.has(childId)) return;
    this.#following.add(childId);
    this.#followAll(childId).catch(() => {
      // The scheduler stops; the tokens are durable, and the next start goes on.
    });
  }

  async #followAll(childId: number): Promise<void> {
    try {
      for (;;) {
        const joined = this.#followers.joined(childId);
        const armed = this.#state.roster.get(childId);
        if (joined === undefined || armed === undefined || this.#state.unreadable.has(childId)) return;
        const step = await this.#joinedStep(joined, armed);
        if (step === undefined) return;
        await this.#onItsWay(step, async () => {
          // false: a run that `replace` met has closed itself in the meantime; decided again.
          if (!(await this.#state.writer.write(step.writes))) return;
          this.#followers.use(joined);
          step.confirm();
        });
        this.#dispatch();
      }
    } finally {
      // In the same turn as the last look: a token that comes after it begins anew.
      this.#following.delete(childId);
    }
  }

  /** undefined: it cannot be decided; its tokens wait for the repair. */
  async #joinedStep(joined: Joined, armed: Armed): Promise<Step | undefined> {
    const step = new Step();
    const now = this.#ports.clock.now();
    step.write({ kind: 'useTokens', tokenIds: joined.usedTokenIds });
    const { superseded, decision } = joined;
    if (superseded !== undefined) {
      const { scheduledAt, parentRunId, rootRunId } = superseded;
      const run = this.#steps.newRun(armed, { trigger: 'after', scheduledAt, now, parentRunId, rootRunId });
      const stretch = { fires: superseded.fires, firstScheduledAt: superseded.firstScheduledAt };
      // Its followers hear of the fire in whose place these would have been: a token of the past could decide for it.
      this.#steps.refuse(
        step,
        armed,
        { ...refusedClosing(run, 'skipped', superseded.reason, now, armed.counters), stretch },
        { givesTokens: false },
      );
    }
    if (decision === undefined) return step;
    const { scheduledAt, parentRunId, rootRunId } = decision;
    if (decision.kind === 'skip') {
      const run = this.#steps.newRun(armed, { trigger: 'after', scheduledAt, now, parentRunId, rootRunId });
      this.#steps.refuse(step, armed, refusedClosing(run, 'skipped', decision.reason, now, armed.counters));
      return step;
    }
    const { overlap } = armed.definition.policy;
    if (overlap === 'replace' && armed.live + armed.catchup > 0) await this.#replace(step, armed, [], now, { patiently: true });
    return this.#firesAlone(step, armed, { trigger: 'after', scheduledAt, now, parentRunId, rootRunId }) ? step : undefined;
  }

  // ---- By hand ----

  /**
   * Opens runs that were asked for and lets them start, also where the loop does not run. Durable when it resolves. `inPlaceOf`: an
   * attempt that waits for its retry, whose fire goes on with these.
   */
  async byHand(
    runs: readonly OpenRun[],
    { also = [], inPlaceOf }: { readonly also?: readonly Write[]; readonly inPlaceOf?: OpenRun | undefined } = {},
  ): Promise<void> {
    await this.ready();
    const step = new Step();
    if (inPlaceOf !== undefined) {
      if (this.#running.has(inPlaceOf.runId)) throw changedMeanwhile();
      const now = this.#ports.clock.now();
      const closing: Closing = {
        ...refusedClosing(inPlaceOf, 'cancelled', 'retried by hand', now, this.#countersOf(inPlaceOf)),
        final: false,
      };
      step.close(closing);
      step.afterwards(() => this.#endedBeside(closing));
    }
    for (const write of also) step.write(write);
    for (const run of runs) {
      this.#state.byHand.add(run.runId);
      this.#steps.open(step, run);
    }
    try {
      if (!(await this.#state.writer.write(step.writes))) throw changedMeanwhile();
    } catch (error) {
      for (const run of runs) this.#state.byHand.delete(run.runId);
      throw error;
    }
    step.confirm();
    this.#dispatch();
  }

  /** When an attempt is closed. Ask before it is opened. */
  finished(runId: string): Promise<FinishedRun> {
    return this.#ends.of(runId);
  }

  /** false: it is not open any more. What runs is asked to end, and closes soon. */
  async cancel(runId: string, reason: string): Promise<boolean> {
    await this.ready();
    if (this.#interrupt(runId, reason)) return true;
    const fate = await this.#calls.once('fate', (signal) => this.#ports.ledger.fate(runId, signal));
    return fate.kind === 'open' && this.#cancelOpen(fate.run, reason);
  }

  /** Many at once, as the ledger told of them a moment ago. */
  async cancelAll(runs: readonly OpenRun[], reason: string): Promise<boolean[]> {
    await this.ready();
    return Promise.all(runs.map((run) => this.#cancelOpen(run, reason)));
  }

  #interrupt(runId: string, reason: string): boolean {
    const atWork = this.#running.get(runId);
    atWork?.controller.abort({ kind: 'cancelled', reason } satisfies StopReason);
    return atWork !== undefined;
  }

  async #cancelOpen(run: OpenRun, reason: string): Promise<boolean> {
    // A worker may have taken it while the ledger answered.
    if (this.#interrupt(run.runId, reason)) return true;
    const closing = refusedClosing(run, 'cancelled', reason, this.#ports.clock.now(), this.#countersOf(run));
    const step = new Step();
    step.close(closing);
    this.#steps.giveTokens(step, closing);
    step.afterwards(() => this.#endedBeside(closing));
    return this.#onItsWay(step, async () => {
      if (!(await this.#state.writer.write(step.writes))) return false;
      step.confirm();
      this.#dispatch();
      return true;
    });
  }

  // ---- Work ----

  #enqueue(run: OpenRun): void {
    if (this.#state.mode === 'off' && this.#state.hostNow === undefined && !this.#state.byHand.has(run.runId)) return;
    if (this.#running.has(run.runId) || this.#closedBeside.delete(run.runId)) return;
    // Opened while its schedule was dropped: the drop did not see it.
    if (run.scheduleId !== null && this.#state.dropped.has(run.scheduleId)) {
      this.#cancelDropped(run);
      return;
    }
    // Where no loop runs, who asks for a run gets it right there: nobody would come back when a queue's limits allow it.
    // What was asked for side by side, so many at once, comes one after another also there.
    if ((this.#state.mode === 'off' || this.#state.mode === 'held') && this.#state.byHand.has(run.runId) && run.group === null) {
      this.#backlog.begin(run);
      this.#begun(run, null, false);
      return;
    }
    this.#backlog.add(run, this.#state.hostNow ?? this.#ports.clock.now());
  }

  #cancelDropped(run: OpenRun): void {
    this.#cancelOpen(run, 'dropped').catch(() => {
      // The next start finds it.
    });
  }

  /** Free workers take what may start. */
  #dispatch(): void {
    if (this.#state.mode === 'stopping' || this.#state.mode === 'starting' || this.#storage.isLow) return;
    const now = this.#state.hostNow ?? this.#ports.clock.now();
    const all = this.#state.mode === 'running' || this.#state.hostNow !== undefined;
    const accept = all ? undefined : (run: OpenRun): boolean => this.#state.byHand.has(run.runId);
    while (this.#state.writer.pending < mostUnwritten) {
      if (this.#state.suspects !== undefined && all) {
        if (!this.#dispatchBeside(this.#state.suspects, now)) break;
        continue;
      }
      const taken = this.#backlog.take(now, accept);
      if (taken === undefined) break;
      this.#begun(taken.run, taken.waitedFor, false);
    }
    const looksForSleepers = this.#hasUnknownSleepers && this.#ports.clock.monotonicMs() - this.#refilledMs > rereadMs;
    // Of those asked for by hand more may be in the table than memory took, in a pause too.
    const wants = all || this.#state.byHand.size > this.#running.size;
    if (wants && (looksForSleepers || this.#backlog.wantsRefill(now)))
      this.#refill().then(
        () => this.#dispatch(),
        () => {
          // The scheduler stops.
        },
      );
  }

  /** While there are suspects. false: nothing may start now. */
  #dispatchBeside(suspects: Suspects, now: Instant): boolean {
    if (suspects.isAlone(this.#ports.clock.monotonicMs())) {
      this.#backlog.keepWaiting(now, whileAlone);
      return false;
    }
    if (suspects.oneIsAtWork) {
      const other = this.#backlog.take(now, (run) => !suspects.has(run), whileAlone);
      if (other !== undefined) this.#begun(other.run, other.waitedFor, false);
      return other !== undefined;
    }
    const suspect = suspects.none ? undefined : this.#backlog.take(now, (run) => suspects.has(run));
    if (suspect !== undefined) {
      suspects.began(suspect.run);
      this.#begun(suspect.run, suspect.waitedFor, true);
      return true;
    }
    const taken = this.#backlog.take(now);
    if (taken !== undefined) this.#begun(taken.run, taken.waitedFor, false);
    else if (suspects.none && !this.#backlog.spilled) this.#state.suspects = undefined;
    return taken !== undefined;
  }

  #begun(run: OpenRun, waitedFor: string | null, durably: boolean): AtWork {
    const controller = new AbortController();
    const startedAt = this.#ports.clock.now();
    const progress = new ProgressOf(this.#ports.clock, (told) => this.events.emit('run:progress', { run, ...told }));
    const ended = Promise.resolve().then(() => this.#live(run, startedAt, waitedFor, durably, progress, controller.signal));
    const atWork: AtWork = {
      run,
      startedAt,
      get progress() {
        return progress.newest;
      },
      controller,
      ended,
    };
    this.#running.set(run.runId, atWork);
    return atWork;
  }

  /** open -> execute -> close -> settle */
  async #live(
    run: OpenRun,
    startedAt: Instant,
    waitedFor: string | null,
    durably: boolean,
    progress: ProgressOf,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const begin = async (): Promise<void> => {
        const isOpen = await this.#state.writer.write([{ kind: 'begin', runId: run.runId, bootId: this.#state.bootId, at: startedAt }]);
        // Nothing of it may happen outside any more.
        if (!isOpen) throw new Diagnostic('fenced', `run ${run.runId} was closed before it began`);
      };
      if (durably) {
        await begin();
        this.#state.suspects?.startIsDurable(this.#ports.clock.monotonicMs());
        this.#ports.clock.after(aloneMs, () => this.#dispatch(), { keepsProcessAlive: false });
      }
      this.events.emit('run:started', { run, startedAt });
      const execution = await this.#execute(run, startedAt, waitedFor, begin, progress, signal);
      progress.end();
      await this.#closed(run, startedAt, waitedFor, execution);
    } catch (error) {
      if (error instanceof Diagnostic && error.code === 'fenced') await this.#findClosed(run).catch(() => undefined);
      // The scheduler stops, or the closing row itself cannot be written: the run stays open, and the next start finds it.
      else if (this.#state.mode !== 'stopping') this.events.emit('ledger:trouble', { during: `run ${run.runId}`, message: String(error) });
    } finally {
      this.#running.delete(run.runId);
      this.#state.byHand.delete(run.runId);
      this.#backlog.release(run);
      this.#closedBeside.delete(run.runId);
      if (this.#stillOpen.delete(run.runId)) this.#enqueue(run);
      this.#state.suspects?.ended(run);
      this.#dispatch();
      if (this.#backlog.nextAt(this.#ports.clock.now()) < Number.POSITIVE_INFINITY && this.isOn) this.#wake();
    }
  }

  async #execute(
    run: OpenRun,
    startedAt: Instant,
    waitedFor: string | null,
    begin: () => Promise<void>,
    progress: ProgressOf,
    signal: AbortSignal,
  ): Promise<Execution> {
    const counters = this.#countersOf(run);
    const closing = (): { counters: Counters; marks: boolean } => {
      const settled = this.#settled(run, succeededOutcome, this.#ports.clock.now(), false);
      const followed = settled.givesToken && run.scheduleId !== null && this.#followers.childrenOf(run.scheduleId).length > 0;
      return { counters: settled.counters, marks: followed || settled.actions.length > 0 };
    };
    try {
      const tell = (fraction: number | null, message: string | null): void => progress.told(fraction, message);
      return await this.#ports.execute({ run, startedAt, waitedFor, counters, closing, begin, progress: tell }, signal);
    } catch (error) {
      // Executors return and do not throw; one that does has failed, and its run with it.
      return { outcome: failedOutcome(error), closed: 'no' };
    }
  }

  #countersOf(run: OpenRun): Counters {
    return this.#state.roster.get(run.scheduleId)?.counters ?? noCounters;
  }

  #settled(run: OpenRun, outcome: Outcome, finishedAt: Instant, crashed: boolean): ReturnType<typeof settle> {
    return settle({
      run,
      outcome,
      definition: this.#state.roster.get(run.scheduleId)?.definition,
      settings: this.#state.known,
      counters: this.#countersOf(run),
      finishedAt,
      random: this.#ports.random(),
      crashed,
    });
  }

  async #closed(run: OpenRun, startedAt: Instant, waitedFor: string | null, { outcome, closed }: Execution): Promise<void> {
    const finishedAt = this.#ports.clock.now();
    switch (closed) {
      case 'removed':
      case 'marked': {
        const closing = this.#closingOf(run, {
          startedAt,
          finishedAt,
          waitedFor,
          outcome,
          settled: this.#settled(run, outcome, finishedAt, false),
        });
        this.#done(closing);
        if (closed === 'marked') await this.#settleMark(closing);
        return;
      }
      case 'fenced':
        return this.#findClosed(run);
      case 'no': {
        // Rolled back, and nothing of it lies outside: it stays open, as if it had not begun.
        const untouched = outcome.state === 'interrupted' && outcome.guarantee !== 'at_least_once';
        if (untouched && this.#state.mode === 'stopping') return;
        return this.#closeBy(run, startedAt, waitedFor, outcome, finishedAt, false);
      }
      default:
        return closed satisfies never;
    }
  }

  #closingOf(
    run: OpenRun,
    end: {
      startedAt: Instant | null;
      finishedAt: Instant;
      waitedFor: string | null;
      outcome: Outcome;
      settled: ReturnType<typeof settle>;
    },
  ): Closing {
    const { settled, outcome, ...rest } = end;
    return { run, ...rest, state: outcome.state, reason: settled.reason, final: settled.final, outcome, counters: settled.counters };
  }

  /** One unit: the closing row, and all that follows from it. */
  #closeBy(
    run: OpenRun,
    startedAt: Instant | null,
    waitedFor: string | null,
    outcome: Outcome,
    finishedAt: Instant,
    crashed: boolean,
  ): Promise<void> {
    const close = (): Promise<void> => this.#closeNow(run, startedAt, waitedFor, outcome, finishedAt, crashed);
    const { scheduleId } = run;
    if (scheduleId === null || !isFailure(outcome.state)) return close();
    // Failures of one schedule that end together are counted one after another, each knowing of the one before it.
    const closing = (this.#failing.get(scheduleId) ?? Promise.resolve()).then(close, close).finally(() => {
      if (this.#failing.get(scheduleId) === closing) this.#failing.delete(scheduleId);
    });
    this.#failing.set(scheduleId, closing);
    return closing;
  }

  async #closeNow(
    run: OpenRun,
    startedAt: Instant | null,
    waitedFor: string | null,
    outcome: Outcome,
    finishedAt: Instant,
    crashed: boolean,
  ): Promise<void> {
    const settled = this.#settled(run, outcome, finishedAt, crashed);
    const closing = this.#closingOf(run, { startedAt, finishedAt, waitedFor, outcome, settled });
    const step = new Step();
    step.close(closing);
    if (settled.retryAt !== undefined) {
      const next = nextAttempt(run, { runId: this.#ports.newRunId(finishedAt), openedAt: finishedAt, notBefore: settled.retryAt });
      step.write({ kind: 'open', run: next });
      step.afterwards(() => {
        // Alone again: what has killed the process once may do so once more.
        if (crashed) this.#state.suspects?.add(run);
        this.#enqueue(next);
      });
    }
    if (settled.givesToken) this.#steps.giveTokens(step, closing);
    this.#steps.act(step, settled.actions, closing);
    if (settled.disable !== undefined) this.#disable(step, run, settled.disable, finishedAt);
    let written: boolean;
    try {
      written = await this.#state.writer.write(step.writes);
    } catch (error) {
      if (isBare(outcome)) throw error;
      // What it answered cannot be kept: better a run without its result than one that never ends.
      return this.#closeNow(run, startedAt, waitedFor, withoutDetails(outcome, error), finishedAt, crashed);
    }
    if (!written) return this.#findClosed(run);
    this.#done(closing);
    step.confirm();
  }

  /** Somebody else closed it: what the ledger says is what happened. */
  async #findClosed(run: OpenRun): Promise<void> {
    // Whoever closed it here has said so, or will when it is known to be written.
    if (this.#closedBeside.has(run.runId) || this.#closingBeside.has(run.runId)) return;
    const fate = await this.#calls.untilAnswered('fate', (signal) => this.#ports.ledger.fate(run.runId, signal));
    if (fate.kind === 'closed') {
      const { closing, marked } = fate;
      this.#done({ ...closing, outcome: null, counters: this.#countersOf(run), waitedFor: null });
      if (marked) await this.#settleMark(closing);
      return;
    }
    if (fate.kind === 'open') {
      // It is open after all: what fenced it rolled back itself.
      this.#stillOpen.add(run.runId);
      return;
    }
    this.#state.roster.count(run, -1);
  }

  /** In memory, after the closing row is durable. */
  #done(closing: Closing): void {
    const { run } = closing;
    const armed = this.#state.roster.get(run.scheduleId);
    if (closing.final) this.#state.roster.count(run, -1);
    if (armed !== undefined) {
      const { consecutiveFailures, lastSuccessAt } = closing.counters;
      armed.counters = { ...armed.counters, consecutiveFailures, lastSuccessAt };
    }
    this.#ends.tell(closing);
  }

  /** What follows a run that closed itself; the mark says that it has not been done. */
  async #settleMark(closed: ClosedRun): Promise<void> {
    const { run } = closed;
    const outcome: Outcome = { ...succeededOutcome, state: closed.state, reason: closed.reason };
    const settled = this.#settled(run, outcome, closed.finishedAt, false);
    const step = new Step();
    step.write({ kind: 'settle', runId: run.runId });
    if (settled.givesToken) this.#steps.giveTokens(step, closed);
    this.#steps.act(step, settled.actions, closed);
    if (await this.#state.writer.write(step.writes)) step.confirm();
  }

  /** An open run whose process died while it ran. */
  #closeInterrupted(run: OpenRun): Promise<void> {
    const now = this.#ports.clock.now();
    const reason = 'process died while running';
    const error = { code: 'interrupted', message: reason, detail: null };
    const outcome: Outcome = { ...succeededOutcome, state: 'interrupted', reason, error, guarantee: null };
    return this.#closeBy(run, null, null, outcome, now, true);
  }

  #disable(step: Step, run: OpenRun, reason: string, at: Instant): void {
    const armed = this.#state.roster.get(run.scheduleId);
    if (armed === undefined || !armed.definition.enabled) return;
    step.write({ kind: 'disable', scheduleId: armed.definition.scheduleId, at, reason });
    step.afterwards(() => {
      this.events.emit('schedule:disabled', { schedule: run.schedule, reason });
      armed.definition = { ...armed.definition, enabled: false };
      this.#forget(this.#followers.define(armed.definition));
      this.#state.roster.slots.disarm(armed.definition.scheduleId);
      this.#stale = true;
      if (this.isOn) this.#wake();
    });
  }

  // ---- The backlog in the table ----

  #refill(): Promise<void> {
    this.#refilling ??= this.#readBacklog().finally(() => {
      this.#refilling = undefined;
    });
    return this.#refilling;
  }

  async #readBacklog(): Promise<void> {
    const backlog = this.#backlog;
    const mark = backlog.beginRefill();
    const now = this.#state.hostNow ?? this.#ports.clock.now();
    const { limit, perGroup } = mark;
    const ask = (asOf: Instant): Promise<readonly OpenRun[]> =>
      this.#calls.untilAnswered('waiting', (signal) => this.#ports.ledger.waiting({ now: asOf, limit, perGroup }, signal));
    let rows = await ask(now);
    const isComplete = rows.length < limit;
    if (isComplete && this.#hasUnknownSleepers) {
      // Those that may start come first: so many sleepers could stand before them that nothing would be done.
      const all = await ask(Number.MAX_SAFE_INTEGER);
      this.#hasUnknownSleepers = all.length >= limit;
      const known = new Set(rows.map((run) => run.runId));
      rows = [...rows, ...all.filter((run) => !known.has(run.runId))];
    }
    this.#refilledMs = this.#ports.clock.monotonicMs();
    for (const run of rows) this.#state.suspects?.look(run, now);
    // Right after a load: of a schedule that is not there any more.
    const isDropped = ({ scheduleId }: OpenRun): boolean =>
      this.#state.mode === 'starting' &&
      scheduleId !== null &&
      this.#state.roster.get(scheduleId) === undefined &&
      !this.#state.unreadable.has(scheduleId);
    for (const run of rows) if (isDropped(run)) this.#cancelDropped(run);
    backlog.refill(
      mark,
      rows.filter((run) => !isDropped(run)).map((run) => inThisTime(run, now)),
      isComplete,
    );
  }
}

/** Of a start, or after others. */
interface ForeignFire {
  readonly trigger: Trigger;
  readonly scheduledAt: Instant;
  readonly now: Instant;
  readonly parentRunId?: string;
  readonly rootRunId?: string;
}

function changedMeanwhile(): Diagnostic {
  return new Diagnostic('conflict', 'somebody else has changed these runs at the same moment', { hint: 'look again: LIST RUNS' });
}
