// How far time is handled. A tick is handled in slices: each is planned (plan.ts), put into a step, and written in one transaction
// together with how far time is handled then. Whether the clock may be believed at all is asked before.

import type { Instant } from '../core/instant.ts';
import type { Turnstile } from '../core/turnstile.ts';
import type { Calls } from './calls.ts';
import type { Cancelling } from './cancelling.ts';
import type { Clock } from './clock.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Events } from './events.ts';
import { refusedClosing } from './opening.ts';
import { type Moment, type Plan, planTick } from './plan.ts';
import { instantKey, type Ledger, type ScheduledInstant, type Tick, type Write } from './ports.ts';
import type { Replacing } from './replacing.ts';
import type { Counters, OpenRun } from './run.ts';
import type { SchedulerState } from './state.ts';
import { Step } from './step.ts';
import type { StepMaker } from './stepMaker.ts';
import type { StorageWatch } from './storage.ts';

export interface TicksParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly events: Events;
  /** Held by whoever calls, but to heed the clock and to look. */
  readonly turnstile: Turnstile;
  readonly storage: StorageWatch;
  readonly steps: StepMaker;
  readonly cancelling: Cancelling;
  readonly replacing: Replacing;
  readonly dispatcher: Dispatcher;
  /** It cannot be planned. */
  broken(scheduleId: number, message: string): void;
}

/**
 * The heart of a tick: planning may take so long before what is decided is written. 10,000 schedules due at one instant take 28 ms
 * when nothing of it was compiled before, and are opened together.
 */
const planningMs = 50;
/** A clock behind the watermark is believed after so long. */
const believedAfterMs = 600_000;

export class Ticks {
  readonly #parts: TicksParts;
  /** As the ledger says; time in which nothing was due is written with what comes after it. */
  #writtenThrough: Instant = 0;
  #behindSinceMs: number | undefined;
  #lagMs = 0;

  constructor(parts: TicksParts) {
    this.#parts = parts;
  }

  /** How late the loop itself was when it last had something due. */
  get lagMs(): number {
    return this.#lagMs;
  }

  /** The clock stands behind what is handled already. */
  get isBehind(): boolean {
    return this.#behindSinceMs !== undefined;
  }

  /** As the ledger tells of it. */
  read(tick: Tick): void {
    this.#parts.state.tick = tick;
    this.#writtenThrough = tick.watermark;
  }

  /** A start knows of no clock that stood behind. */
  begin(): void {
    this.#behindSinceMs = undefined;
  }

  /** Whether something is due. */
  look(now: Instant): boolean {
    const { earliestDue } = this.#parts.state.roster;
    this.#lagMs = Math.max(now - earliestDue, 0);
    return earliestDue <= now;
  }

  /** All that is due, in slices. */
  async handle(now: Instant): Promise<{ opened: number; skipped: number }> {
    const { state, clock, events, cancelling, dispatcher, broken } = this.#parts;
    const total = { opened: 0, skipped: 0 };
    for (;;) {
      const plan = await this.#plan(now);
      for (const { scheduleId, message } of plan.broken) broken(scheduleId, message);
      if (plan.decisions.length === 0) {
        // Time in which nothing was due needs no row: read again from the old watermark, it holds nothing either.
        state.tick = { ...plan.tick, seq: state.tick.seq };
        if (plan.done) return total;
        await clock.yieldTurn();
        continue;
      }
      let step: Step;
      try {
        const decided = await this.#decided(plan, now);
        await cancelling.onItsWay(decided, async () => {
          await this.#commit(plan.tick, now, decided.writes);
          decided.confirm();
        });
        step = decided;
      } catch (error) {
        // Planning has moved the slots; nothing of it is written.
        state.roster.rearm(plan.touched, state.tick);
        throw error;
      }
      total.opened += step.opened;
      total.skipped += step.skipped;
      events.emit('tick:done', { tick: state.tick, opened: step.opened, skipped: step.skipped, lagMs: this.#lagMs });
      if (state.mode === 'running') dispatcher.dispatch();
      if (plan.done) return total;
      await clock.yieldTurn();
    }
  }

  /** Everything up to now, durably: after a crash nobody asks new definitions about the time of the old ones. */
  async handleAll(): Promise<void> {
    const { state, clock, storage } = this.#parts;
    const now = clock.now();
    // Where no scheduler runs too: whoever starts next must not take paused time for missed.
    if (state.pausedAt !== null && (state.mode === 'paused' || state.mode === 'off')) return this.#skipPause(state.pausedAt);
    if (state.mode !== 'running' || storage.isLow) return;
    // A clock that stands behind handles nothing; what was handled before is written all the same.
    if (!this.isBehind) await this.handle(now);
    if (state.tick.watermark > this.#writtenThrough) await this.#commit({ ...state.tick, seq: state.tick.seq + 1 }, now, []);
  }

  /** Paused time is neither missed nor a row; what was missed before the pause is. */
  async #skipPause(pausedAt: Instant): Promise<void> {
    const { state, clock } = this.#parts;
    const now = clock.now();
    if (pausedAt > state.tick.watermark) await this.handle(Math.min(pausedAt, now));
    const { tick } = state;
    await this.#commit({ ...tick, seq: tick.seq + 1, watermark: Math.max(now, tick.watermark), partly: null, gap: null }, now, []);
    state.roster.rearmAll(state.tick);
  }

  /** Whether the clock may be used: one that stands behind what is handled is believed after ten minutes only. */
  async heedClock(now: Instant): Promise<boolean> {
    const { state, clock, events, turnstile, dispatcher } = this.#parts;
    const { watermark } = state.tick;
    if (now >= watermark) {
      const wasBehind = this.isBehind;
      this.#behindSinceMs = undefined;
      if (wasBehind) events.emit('clock:believed', { now, watermark });
      return true;
    }
    const monotonicMs = clock.monotonicMs();
    if (this.#behindSinceMs === undefined) {
      this.#behindSinceMs = monotonicMs;
      events.emit('clock:behind', { now, watermark });
    }
    if (monotonicMs - this.#behindSinceMs < believedAfterMs) return false;
    await turnstile.run(() => {
      const { seq, replayUntil } = state.tick;
      const back = { watermark: now, partly: null, gap: null, replayUntil: Math.max(watermark, replayUntil ?? watermark) };
      return this.#commit({ seq: seq + 1, ...back }, now, []);
    });
    state.bootAt = Math.min(state.bootAt ?? now, now);
    state.suspects?.clockWentBack(now);
    this.#behindSinceMs = undefined;
    await dispatcher.readAnew();
    state.roster.rearmAll(state.tick);
    events.emit('clock:believed', { now, watermark });
    return true;
  }

  async #plan(now: Instant): Promise<Plan> {
    const { state, calls, clock, ledger } = this.#parts;
    const settings = state.known;
    const plan = (ran: Moment['ran']): Plan => {
      const since = clock.monotonicMs();
      return planTick(
        state.roster.slots,
        {
          now,
          tick: state.tick,
          lateWithinMs: settings.lateWithinMs,
          bootAt: state.bootAt ?? Number.NEGATIVE_INFINITY,
          enough: () => clock.monotonicMs() - since > planningMs,
          ...(ran === undefined ? {} : { ran }),
        },
        (scheduleId) => state.roster.planned(scheduleId, settings),
      );
    };
    if (state.tick.replayUntil === null) return plan(undefined);
    // The clock went back: what has a run already is passed over. A first look tells which instants to ask for.
    const asked: ScheduledInstant[] = [];
    const first = plan((scheduleId, scheduledAt) => {
      asked.push({ scheduleId, scheduledAt });
      return false;
    });
    state.roster.rearm(first.touched, state.tick);
    const ran = asked.length === 0 ? new Set<string>() : await calls.once('ran', (signal) => ledger.ran(asked, signal));
    const known = new Set(asked.map(instantKey));
    return plan((scheduleId, scheduledAt) => {
      const key = instantKey({ scheduleId, scheduledAt });
      return known.has(key) ? ran.has(key) : undefined;
    });
  }

  /** What a slice writes, and what is true in memory when it is written. */
  async #decided(plan: Plan, now: Instant): Promise<Step> {
    const { state, steps, replacing } = this.#parts;
    const step = new Step();
    const opening = new Map<number, { counters: Counters; runs: OpenRun[] }>();
    for (const { scheduleId, decision } of plan.decisions) {
      const armed = state.roster.get(scheduleId);
      if (armed === undefined) continue;
      const soFar = opening.get(scheduleId) ?? { counters: armed.counters, runs: [] };
      opening.set(scheduleId, soFar);
      if (decision.kind === 'skip') {
        const { scheduledAt, firstScheduledAt, fires } = decision;
        const run = steps.newRun(armed, { trigger: armed.trigger, scheduledAt, now });
        const stretch = { fires, firstScheduledAt };
        steps.refuse(step, armed, { ...refusedClosing(run, 'skipped', decision.reason, now, soFar.counters), stretch });
        continue;
      }
      if (decision.replaces === true) await replacing.replace(step, armed, { opening: soFar.runs, now });
      soFar.counters = { ...soFar.counters, openedFires: soFar.counters.openedFires + 1 };
      const { trigger, scheduledAt } = decision;
      soFar.runs.push(steps.newRun(armed, { trigger, scheduledAt, now, fire: soFar.counters.openedFires }));
    }
    for (const [scheduleId, { counters, runs }] of opening) {
      const armed = state.roster.get(scheduleId);
      for (const run of runs) steps.open(step, run);
      step.afterwards(() => {
        if (armed !== undefined)
          armed.counters = { ...armed.counters, openedFires: Math.max(counters.openedFires, armed.counters.openedFires) };
      });
    }
    return step;
  }

  /** The ledger is the only witness: after an error it is asked how far it came. */
  async #commit(tick: Tick, now: Instant, writes: readonly Write[]): Promise<void> {
    const { state, calls, ledger } = this.#parts;
    try {
      await calls.once('tick', (signal) => ledger.tick(tick, now, writes, signal));
    } catch (error) {
      const newest = await calls.untilAnswered('newest tick', (signal) => ledger.newestTick(signal));
      if (newest.seq < tick.seq) throw error;
    }
    state.tick = tick;
    this.#writtenThrough = tick.watermark;
  }
}
