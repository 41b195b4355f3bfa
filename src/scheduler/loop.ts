// The scheduler: its life, what others see of it and ask it for, and the wheel that it turns. It wakes at the earliest due instant
// (or after 30 s at most), reads the clock once, opens what is due in one transaction and lets free workers take what waits. How
// each of that is done, its parts know; they are put together in the constructor:
//
//   ticks      how far time is handled            dispatch, refill         who takes what waits
//   following  after others                       attempts, closer, ends   open -> execute -> close -> settle
//   alarm      when a rule is broken              cancelling, replacing    what others than its own end close
//
// Two rules hold everywhere. State in memory changes only after a confirmed commit, so that the ledger can always be read again
// instead. And what fails, fails alone: a schedule, a run, a listener, a call of the ledger.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import { Turnstile } from '../core/turnstile.ts';
import { Alarm } from './alarm.ts';
import { Attempts } from './attempts.ts';
import { Calls } from './calls.ts';
import { Cancelling } from './cancelling.ts';
import type { Timer } from './clock.ts';
import { Closer } from './closer.ts';
import { Definitions } from './definitions.ts';
import { Dispatcher } from './dispatch.ts';
import { Ends } from './ends.ts';
import { Events } from './events.ts';
import { Following } from './following.ts';
import { refusedClosing } from './opening.ts';
import type { LedgerState, Ports, Write } from './ports.ts';
import type { Backlog } from './queue.ts';
import { Refill } from './refill.ts';
import { Replacing } from './replacing.ts';
import type { Closing, Counters, FinishedRun, OpenRun } from './run.ts';
import { type Mode, type Running, SchedulerState, type Unreadable } from './state.ts';
import { Step } from './step.ts';
import { StepMaker } from './stepMaker.ts';
import { StorageWatch } from './storage.ts';
import { Suspects } from './suspects.ts';
import { Ticks } from './ticks.ts';
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

export interface KnownSchedule {
  readonly name: string;
  /** When it is due next; Infinity: never by itself. */
  readonly nextDue: Instant;
  readonly counters: Counters;
}

/** A million schedules on a busy machine. */
const loadMs = 600_000;

export class Scheduler {
  readonly events = new Events();
  readonly #ports: Ports;
  readonly #calls: Calls;
  readonly #state: SchedulerState;
  readonly #storage: StorageWatch;
  readonly #steps: StepMaker;
  readonly #alarm: Alarm;
  readonly #ends: Ends;
  readonly #cancelling: Cancelling;
  readonly #replacing: Replacing;
  readonly #following: Following;
  readonly #refill: Refill;
  readonly #dispatcher: Dispatcher;
  readonly #closer: Closer;
  readonly #definitions: Definitions;
  readonly #ticks: Ticks;
  readonly #turnstile = new Turnstile();
  #loaded: Promise<void> | undefined;
  #starting: Promise<void> = Promise.resolve();
  #starts = 0;
  #timer: Timer | undefined;
  /** Ends the wait of a stop. */
  #hurry: (() => void) | undefined;
  #cycling = false;
  #again = false;

  /** What its parts need of each other; where two need each other, the one that comes later is reached through a function. */
  constructor(ports: Ports) {
    const { events } = this;
    const { clock, ledger, usualTimes } = ports;
    const turnstile = this.#turnstile;
    const calls = new Calls(clock, events);
    const state = new SchedulerState(ports.bootId, new Writer(ledger, calls));
    const storage = new StorageWatch(ports, events);
    const newRunId = (at: Instant): string => ports.newRunId(at);
    const mostAtOnce = (): number => ports.mostAtOnce?.() ?? Number.POSITIVE_INFINITY;
    const childrenOf = (scheduleId: number): readonly number[] => following.childrenOf(scheduleId);
    const enqueue = (run: OpenRun): void => dispatcher.enqueue(run);
    const dispatch = (): void => dispatcher.dispatch();
    const broken = (scheduleId: number, message: string): void => definitions.broken(scheduleId, message);
    const wake = (): void => this.#wake();

    const steps = new StepMaker({
      roster: state.roster,
      events,
      newRunId,
      childrenOf,
      opened: enqueue,
      given: (token) => following.given(token),
      ended: (closing) => ends.tell(closing),
    });
    const alarm = new Alarm({ state, calls, clock, events, steps, usualTimes, newRunId, counts: () => dispatcher.counts(), dispatch });
    const ends = new Ends({ state, calls, ledger, events, alarm });
    const removeWaiting = (run: OpenRun): boolean => dispatcher.remove(run);
    const cancelling = new Cancelling({ state, calls, clock, ledger, steps, ends, removeWaiting, dispatch });
    const cancel = (runId: string, reason: string): Promise<boolean> => this.cancel(runId, reason);
    const replacing = new Replacing({ state, calls, clock, ledger, steps, cancelling, cancel });
    const following = new Following({ state, clock, calls, ledger, steps, cancelling, replacing, broken, dispatch });
    const refill = new Refill({ state, calls, clock, ledger, cancelDropped: (run) => cancelling.cancelDropped(run) });
    const dispatcher = new Dispatcher({
      state,
      clock,
      storage,
      cancelling,
      refill,
      mostAtOnce,
      needsThread: (run) => ports.needsThread?.(run) ?? true,
      begin: (run, waitedFor, options) => attempts.begin(run, waitedFor, options),
    });
    const closer = new Closer({
      state,
      calls,
      ports,
      events,
      steps,
      cancelling,
      ends,
      childrenOf,
      enqueue,
      disabled: (armed) => {
        definitions.disabled(armed);
        if (state.isOn) wake();
      },
    });
    const attempts = new Attempts({ state, ports, events, closer, cancelling, dispatcher, wake });
    const definitions = new Definitions({ state, calls, ledger, events, following, dispatcher, alarm, ends });
    const ticks = new Ticks({
      state,
      calls,
      clock,
      ledger,
      events,
      turnstile,
      storage,
      steps,
      cancelling,
      replacing,
      dispatcher,
      broken,
    });

    this.#ports = ports;
    this.#calls = calls;
    this.#state = state;
    this.#storage = storage;
    this.#steps = steps;
    this.#alarm = alarm;
    this.#ends = ends;
    this.#cancelling = cancelling;
    this.#replacing = replacing;
    this.#following = following;
    this.#refill = refill;
    this.#dispatcher = dispatcher;
    this.#closer = closer;
    this.#definitions = definitions;
    this.#ticks = ticks;
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
    return this.#state.running.get(runId);
  }

  allRunning(): IterableIterator<Running> {
    return this.#state.running.values();
  }

  /** How late the loop itself was when it last had something due. */
  get lagMs(): number {
    return this.#ticks.lagMs;
  }

  get watermark(): Instant {
    return this.#state.tick.watermark;
  }

  get storageLow(): boolean {
    return this.#storage.isLow;
  }

  get clockBehind(): boolean {
    return this.#ticks.isBehind;
  }

  get troubled(): boolean {
    return this.#calls.troubled;
  }

  get unreadable(): readonly Unreadable[] {
    return [...this.#state.unreadable.values()];
  }

  /** As many as may be at work; null where it has not read the ledger. */
  get workers(): number | null {
    return this.#state.settings?.workers ?? null;
  }

  /** When something is due next; Infinity: never. */
  get nextDue(): Instant {
    return this.#state.roster.earliestDue;
  }

  get schedules(): number {
    return this.#state.roster.size;
  }

  /** The schedules as the loop holds them, the oldest first. Made one by one: whoever looks at a few pays for a few. */
  *known(): Generator<KnownSchedule> {
    const { roster } = this.#state;
    for (const { definition, counters } of roster.all()) {
      const { scheduleId, name } = definition;
      yield { name, nextDue: roster.slots.dueAt(scheduleId), counters };
    }
  }

  counts(): ReturnType<Backlog['counts']> {
    return this.#dispatcher.counts();
  }

  /** What is not there for a run that waits for its turn, in words. */
  lack(run: OpenRun): string | undefined {
    return this.#dispatcher.lack(run);
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
   * the wait of the first. `handsOver`: another process goes on at once, and what falls due in between is late there, not missed. */
  async stop({ graceMs, handsOver = false }: { readonly graceMs: number; readonly handsOver?: boolean }): Promise<void> {
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
    if (this.#state.running.size > 0 && graceMs > 0) {
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
    for (const atWork of this.#state.running.values()) atWork.abort({ kind: 'shutdown' });
    await this.#quiet();
    // A tick or a change on its way is let through.
    await this.#turnstile.run(async () => {});
    if (wasOn) {
      const event = handsOver ? 'handover' : 'stop';
      const stopped: Write = { kind: 'boot', bootId: this.#state.bootId, event, at: this.#ports.clock.now() };
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
    while (this.#state.running.size > 0) await Promise.all([...this.#state.running.values()].map((atWork) => atWork.ended));
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
    this.#following.reset();
    this.#dispatcher.reset();
    this.#ticks.read(state.tick);
    this.#definitions.read(state);
    for (const token of state.tokens) this.#following.add(token);
    this.#dispatcher.recall(state.recentStarts);
    this.#alarm.begin(state.alerts);
    return state;
  }

  async #begin(state: LedgerState): Promise<void> {
    const { clock } = this.#ports;
    const now = clock.now();
    const goesOn = continues(state, now);
    // Whoever has handed over was there until now.
    this.#state.bootAt = goesOn ? Math.min(now, state.tick.watermark) : now;
    // A scheduler may stop and start again: what its first start had begun was let go of, what the next begins is not.
    this.#starts += 1;
    const bootId = this.#starts === 1 ? this.#ports.bootId : `${this.#ports.bootId}.${this.#starts}`;
    this.#state.bootId = bootId;
    this.#ticks.begin();
    this.#storage.begin();
    const unclean = state.lastBoot?.event === 'start';
    this.#state.suspects = unclean && state.openRuns > 0 ? new Suspects(now) : undefined;
    await this.#state.writer.write([{ kind: 'boot', bootId, event: 'start', at: now }]);
    for (const mark of state.marks) await this.#closer.settleMark(mark);
    for (const begun of state.begun) await this.#closer.closeInterrupted(begun);
    await this.#replacing.closeReplaced();
    // Before anything may start: what was open at a crash must be known as such.
    this.#refill.expectSleepers(state.openRuns > 0);
    if (state.openRuns > 0) await this.#dispatcher.refill();
    this.#state.mode = this.#state.pausedAt === null ? 'running' : 'paused';
    if (this.#state.mode === 'running' && !goesOn) await this.#following.fireReboots(now);
    this.events.emit('scheduler:started', { schedules: this.#state.roster.size });
    if (this.#state.mode === 'paused') this.events.emit('scheduler:paused', { held: false });
    this.#following.followReady();
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
      if (this.#definitions.isStale) await this.#turnstile.run(() => this.#reread());
      const now = this.#ports.clock.now();
      if (this.#state.mode === 'running' && !this.#storage.isLow && (await this.#ticks.heedClock(now))) {
        if (this.#ticks.look(now)) await this.#turnstile.run(() => this.#handleDue());
      }
      await this.#alarm.heed();
    } catch (error) {
      // Told already by the call that failed; tried again soon.
      failed = true;
      if (!(error instanceof Diagnostic)) this.events.emit('ledger:trouble', { during: 'tick', message: String(error) });
    }
    this.#dispatcher.dispatch();
    if (this.#state.mode !== 'running' && this.#state.mode !== 'paused') return;
    const now = this.#ports.clock.now();
    const due =
      this.#state.mode === 'running' && !this.#storage.isLow && !this.#ticks.isBehind
        ? this.#state.roster.earliestDue
        : Number.POSITIVE_INFINITY;
    const nextAt = Math.min(due, this.#dispatcher.nextAt(now));
    const waitMs = failed ? 1000 : Math.min(Math.max(nextAt - now, 0), this.#state.known.checkIntervalMs);
    this.#timer = this.#ports.clock.after(Math.min(waitMs, this.#storage.againMs), () => this.#wake(), { keepsProcessAlive: true });
  }

  async #handleDue(): Promise<void> {
    // A change may have come in between, a pause too.
    if (this.#definitions.isStale) await this.#reread();
    if (this.#state.mode === 'running') await this.#ticks.handle(this.#ports.clock.now());
  }

  async #reread(): Promise<void> {
    const wasPaused = this.#state.pausedAt !== null;
    await this.#definitions.reread();
    const isPaused = this.#state.pausedAt !== null;
    if (this.#state.mode === 'running' && isPaused) {
      this.#state.mode = 'paused';
      this.events.emit('scheduler:paused', { held: false });
    } else if (this.#state.mode === 'paused' && !isPaused) {
      this.#state.mode = 'running';
      if (wasPaused) this.events.emit('scheduler:resumed', {});
    }
  }

  #wakeLater(): void {
    if (this.#state.mode === 'running' || this.#state.mode === 'paused')
      this.#ports.clock.after(1000, () => this.#wake(), { keepsProcessAlive: false });
  }

  // ---- What others ask for ----

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
        if (this.#definitions.isStale) await this.#reread();
        return this.#state.pausedAt === null ? this.#ticks.handle(now) : undefined;
      });
      if (report === undefined)
        return { watermark: this.#state.tick.watermark, opened: 0, skipped: 0, finished, unreadable: this.unreadable };
      this.#state.hostNow = now;
      if (workers !== undefined) this.#dispatcher.configure(workers);
      await this.#dispatcher.refill();
      for (;;) {
        this.#dispatcher.dispatch();
        if (this.#state.running.size === 0) break;
        await Promise.race([...this.#state.running.values()].map((atWork) => atWork.ended));
        await this.#state.writer.drain();
      }
      return { watermark: this.#state.tick.watermark, ...report, finished, unreadable: this.unreadable };
    } finally {
      this.#state.hostNow = undefined;
      if (workers !== undefined) this.#dispatcher.configure();
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
      if (this.#definitions.isStale) await this.#reread();
      await this.#ticks.handleAll();
      try {
        return await commit();
      } finally {
        // Also after an error, which proves nothing.
        this.#definitions.expectChange();
        await this.#reread().catch(() => this.#wakeLater());
        this.events.emit('definitions:changed', {});
        this.#following.followReady();
        if (this.#state.mode === 'running' || this.#state.mode === 'paused') this.#wake();
      }
    });
  }

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
      if (this.#state.running.has(inPlaceOf.runId)) throw changedMeanwhile();
      const now = this.#ports.clock.now();
      const closing: Closing = {
        ...refusedClosing(inPlaceOf, 'cancelled', 'retried by hand', now, this.#state.roster.countersOf(inPlaceOf)),
        final: false,
      };
      this.#cancelling.close(step, closing, { givesTokens: false });
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
    this.#dispatcher.dispatch();
  }

  /** When an attempt is closed. Ask before it is opened. */
  finished(runId: string): Promise<FinishedRun> {
    return this.#ends.of(runId);
  }

  /** false: it is not open any more. What runs is asked to end, and closes soon. */
  async cancel(runId: string, reason: string): Promise<boolean> {
    await this.ready();
    return this.#cancelling.cancel(runId, reason);
  }

  /** Many at once, as the ledger told of them a moment ago. */
  async cancelAll(runs: readonly OpenRun[], reason: string): Promise<boolean[]> {
    await this.ready();
    return Promise.all(runs.map((run) => this.#cancelling.cancelOpen(run, reason)));
  }
}

/** Whether the one before has handed over to this one, just now. */
function continues({ lastBoot, settings }: LedgerState, now: Instant): boolean {
  return lastBoot?.event === 'handover' && lastBoot.at <= now && now - lastBoot.at <= settings.lateWithinMs;
}

function changedMeanwhile(): Diagnostic {
  return new Diagnostic('conflict', 'somebody else has changed these runs at the same moment', { hint: 'look again: LIST RUNS' });
}
