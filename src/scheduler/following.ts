// Fires that are not the clock's: of schedules that follow others, as soon as their tokens decide, and of those that fire at a
// start. What joins what, follow.ts knows.

import type { Instant } from '../core/instant.ts';
import { refusedOn } from './cadence/cadence.ts';
import type { Calls } from './calls.ts';
import type { Cancelling } from './cancelling.ts';
import type { Clock } from './clock.ts';
import { Followers, type Joined } from './follow.ts';
import { refusedClosing } from './opening.ts';
import { overlapRefusal } from './plan.ts';
import { instantKey, type Ledger, type Token } from './ports.ts';
import type { Replacing } from './replacing.ts';
import { type Armed, firesLeft } from './roster.ts';
import type { Closing } from './run.ts';
import type { Definition } from './schedule.ts';
import type { SchedulerState } from './state.ts';
import { Step } from './step.ts';
import type { Fire, StepMaker } from './stepMaker.ts';

export interface FollowingParts {
  readonly state: SchedulerState;
  readonly clock: Clock;
  readonly calls: Calls;
  readonly ledger: Ledger;
  readonly steps: StepMaker;
  readonly cancelling: Cancelling;
  readonly replacing: Replacing;
  /** It cannot be used. */
  broken(scheduleId: number, message: string): void;
  dispatch(): void;
}

type Origin = Required<Pick<Fire, 'scheduledAt' | 'parentRunId' | 'rootRunId'>>;

export class Following {
  readonly #parts: FollowingParts;
  #followers: Followers;
  /** Children about which something is being decided. */
  readonly #deciding = new Set<number>();

  constructor(parts: FollowingParts) {
    this.#parts = parts;
    this.#followers = this.#newFollowers();
  }

  #newFollowers(): Followers {
    return new Followers(() => this.#parts.state.roster.names());
  }

  /** Before the ledger is read. */
  reset(): void {
    this.#followers = this.#newFollowers();
  }

  define(definition: Definition): void {
    this.#useUp(this.#followers.define(definition));
  }

  drop(scheduleId: number): void {
    this.#useUp(this.#followers.drop(scheduleId));
  }

  childrenOf(scheduleId: number): readonly number[] {
    return this.#followers.childrenOf(scheduleId);
  }

  /** A parent has closed, durably. */
  given(token: Token): void {
    this.add(token);
    this.#follow(token.childId);
  }

  /** As the ledger tells of it. */
  add(token: Token): void {
    // Of a parent or child that cannot be read it waits for the repair.
    const { unreadable } = this.#parts.state;
    const isUnreadable = unreadable.has(token.childId) || unreadable.has(token.parentId);
    if (!this.#followers.add(token) && !isUnreadable) this.#useUp([token.tokenId]);
  }

  followReady(): void {
    for (const childId of this.#followers.ready()) this.#follow(childId);
  }

  /** What fires at a start. */
  async fireReboots(now: Instant): Promise<void> {
    const { state, calls, ledger } = this.#parts;
    const fires = [...state.roster.whose(({ timing }) => timing?.cadences.some((cadence) => cadence.kind === 'reboot') ?? false)]
      .filter(({ definition }) => definition.enabled)
      .map((armed) => ({ armed, scheduleId: armed.definition.scheduleId, scheduledAt: now }));
    // A clock that was set back may read as it did at an earlier start, and an instant has one run.
    const taken = fires.length === 0 ? new Set() : await calls.untilAnswered('ran', (signal) => ledger.ran(fires, signal));
    for (const fire of fires) {
      const scheduledAt = taken.has(instantKey(fire)) ? now + 1 : now;
      const step = new Step();
      this.#firesAlone(step, fire.armed, { trigger: 'cron', scheduledAt, now });
      if (step.writes.length > 0 && (await state.writer.write(step.writes))) step.confirm();
    }
  }

  /** Tokens that nobody waits for any more. Written or not: the next start finds them void again. */
  #useUp(tokenIds: readonly string[]): void {
    if (tokenIds.length > 0) this.#parts.state.writer.write([{ kind: 'useTokens', tokenIds }]).catch(() => undefined);
  }

  /** Opens or refuses a child for as long as its tokens decide something; one decision at a time. */
  #follow(childId: number): void {
    if (this.#deciding.has(childId)) return;
    this.#deciding.add(childId);
    this.#followAll(childId).catch(() => {
      // The scheduler stops; the tokens are durable, and the next start goes on.
    });
  }

  async #followAll(childId: number): Promise<void> {
    const { state, cancelling, dispatch } = this.#parts;
    try {
      for (;;) {
        const joined = this.#followers.joined(childId);
        const armed = state.roster.get(childId);
        if (joined === undefined || armed === undefined || state.unreadable.has(childId)) return;
        const step = await this.#joinedStep(joined, armed);
        if (step === undefined) return;
        await cancelling.onItsWay(step, async () => {
          // false: a run that `replace` met has closed itself in the meantime; decided again.
          if (!(await state.writer.write(step.writes))) return;
          this.#followers.use(joined);
          step.confirm();
        });
        dispatch();
      }
    } finally {
      // In the same turn as the last look: a token that comes after it begins anew.
      this.#deciding.delete(childId);
    }
  }

  /** undefined: it cannot be decided; its tokens wait for the repair. */
  async #joinedStep(joined: Joined, armed: Armed): Promise<Step | undefined> {
    const { clock, steps, replacing } = this.#parts;
    const step = new Step();
    const now = clock.now();
    step.write({ kind: 'useTokens', tokenIds: joined.usedTokenIds });
    const { superseded, decision } = joined;
    const refused = ({ scheduledAt, parentRunId, rootRunId }: Origin, reason: string): Closing => {
      const run = steps.newRun(armed, { trigger: 'after', scheduledAt, now, parentRunId, rootRunId });
      return refusedClosing(run, 'skipped', reason, now, armed.counters);
    };
    if (superseded !== undefined) {
      const stretch = { fires: superseded.fires, firstScheduledAt: superseded.firstScheduledAt };
      // Its followers hear of the fire in whose place these would have been: a token of the past could decide for it.
      steps.refuse(step, armed, { ...refused(superseded, superseded.reason), stretch }, { givesTokens: false });
    }
    if (decision === undefined) return step;
    if (decision.kind === 'skip') {
      steps.refuse(step, armed, refused(decision, decision.reason));
      return step;
    }
    const { scheduledAt, parentRunId, rootRunId } = decision;
    const { overlap } = armed.definition.policy;
    if (overlap === 'replace' && armed.live + armed.catchup > 0) await replacing.replace(step, armed, { now, patiently: true });
    return this.#firesAlone(step, armed, { trigger: 'after', scheduledAt, now, parentRunId, rootRunId }) ? step : undefined;
  }

  /** false: its zone or its calendar cannot be read. It fails alone. */
  #firesAlone(step: Step, armed: Armed, fire: Fire): boolean {
    try {
      this.#fire(step, armed, fire);
      return true;
    } catch (error) {
      this.#parts.broken(armed.definition.scheduleId, error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  /** Its window, `max_runs`, its calendar and overlap decide as they do for the clock's. */
  #fire(step: Step, armed: Armed, fire: Fire): void {
    const { steps } = this.#parts;
    const { definition, counters } = armed;
    const { timing, policy } = definition;
    const { scheduledAt, now } = fire;
    if (timing?.starts !== undefined && scheduledAt < timing.starts) return;
    if (timing?.ends !== undefined && scheduledAt >= timing.ends) return;
    if (firesLeft(definition, counters) <= 0) return;
    const isHoliday = timing !== undefined && refusedOn(timing, scheduledAt);
    const refusal = isHoliday ? 'calendar: not a business day' : overlapRefusal(policy, { live: armed.live, catchup: armed.catchup });
    if (refusal !== undefined) {
      steps.refuse(step, armed, refusedClosing(steps.newRun(armed, fire), 'skipped', refusal, now, counters));
      return;
    }
    const openedFires = counters.openedFires + 1;
    steps.open(step, steps.newRun(armed, { ...fire, fire: openedFires }));
    step.afterwards(() => {
      armed.counters = { ...armed.counters, openedFires: Math.max(openedFires, armed.counters.openedFires) };
    });
  }
}
