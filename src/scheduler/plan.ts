// What to do about the time that has passed: pure decisions, one slice of it at a time. A slice becomes one transaction, so it
// ends after so many rows or so much planning, and its tick then says exactly how far it came, in the order (due, schedule id).
//
// An instant is a fire of its schedule when its nominal time and its due time both lie after `effectiveFrom`. Fires due in time
// that no scheduler was running for, or that nobody handled within `lateWithinMs`, are missed. They lie in the gap, and there
// each schedule comes up once, at the due time of its newest missed fire: `catchup` decides looking backward from it, so that
// the cost follows the limit and never the number of instants. After the gap every due instant comes up for itself.
//
// Nothing is remembered between two slices but the tick and the slots, and the slots can be made again from the tick.

import { Diagnostic } from '../core/diagnostic.ts';
import { formatDuration } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import type { CompiledTiming, Fire } from './cadence/cadence.ts';
import { type Missed, type MissedTime, missedIn, missedTheSame, previousBefore } from './missed.ts';
import type { InFlight, Tick } from './ports.ts';
import type { Trigger } from './run.ts';
import type { Catchup, Policy } from './schedule.ts';
import type { Slots } from './slots.ts';
import { extended, type GrowingStretch, notABusinessDay, type Stretch } from './stretch.ts';

/** Decides one slice, and moves the slots of the schedules that it touches. */
export function planTick(slots: Slots, moment: Moment, lookup: Lookup): Plan {
  return new Slice(slots, moment, lookup).plan();
}

export interface Moment {
  /** How far time is handled. */
  readonly tick: Tick;
  readonly now: Instant;
  /** Since when this scheduler runs; what was due by then and is not handled was missed. Later than `now`: the clock went back. */
  readonly bootAt: Instant;
  readonly lateWithinMs: number;
  /** Whether so much time has gone into this slice that it should end. */
  enough(): boolean;
  /**
   * The clock went back (`tick.replayUntil`): whether this instant has a run already, and so is passed over without a row.
   * undefined: nobody knows. Then it is not opened: the slice ends before it, and in a gap it counts as missed.
   */
  readonly ran?: (scheduleId: number, scheduledAt: Instant) => boolean | undefined;
  /** Rows of a slice, 20,000 unless told. One schedule's gap is never cut: alone it may have more. */
  readonly mostRows?: number;
}

/** What decisions need of an armed schedule. It may throw: that schedule is disarmed and reported, and the others go on. */
export type Lookup = (scheduleId: number) => Planned;

export interface Planned {
  readonly timing: CompiledTiming;
  readonly trigger: Trigger;
  readonly effectiveFrom: Instant;
  readonly policy: Pick<Policy, 'overlap' | 'overlapLimit' | 'catchupLimit' | 'catchupWithinMs'>;
  /** The policy's, or else the setting. */
  readonly catchup: Catchup;
  readonly inFlight: InFlight;
  /** Fires that `max_runs` still allows; Infinity without it. */
  readonly firesLeft: number;
}

export interface Plan {
  /** In the order (due, schedule id). Of a gap: first what is refused, then what is caught up, oldest first. */
  readonly decisions: readonly { readonly scheduleId: number; readonly decision: Decision }[];
  /** What is true once the decisions are written. The same as before where time stands still. */
  readonly tick: Tick;
  /** Nothing more is due: another slice would find nothing. */
  readonly done: boolean;
  /** Whose slots moved: back to `positionAfter` with them if the decisions could not be written. */
  readonly touched: readonly number[];
  readonly broken: readonly Broken[];
}

/** A schedule that cannot be planned. It is disarmed, and fails alone. */
export interface Broken {
  readonly scheduleId: number;
  readonly message: string;
}

export type Decision =
  | {
      readonly kind: 'open';
      readonly scheduledAt: Instant;
      readonly trigger: Trigger;
      /** Takes the place of what is in flight. */
      readonly replaces?: true;
    }
  /** Refused: in a slice, or in a gap, one for each schedule and reason. */
  | Stretch;

/** The first due instant of a schedule that a tick leaves to do; Infinity: none. */
export function positionAfter(
  timing: CompiledTiming,
  tick: Tick,
  scheduleId: number,
  effectiveFrom: Instant = Number.NEGATIVE_INFINITY,
): number {
  return nextAfter(timing, Math.max(handledThrough(tick, scheduleId), effectiveFrom));
}

function handledThrough({ watermark, partly }: Tick, scheduleId: number): Instant {
  return partly !== null && scheduleId <= partly.throughId ? partly.due : watermark;
}

const defaultMostRows = 20_000;
/** Decisions, or looks at an instant; one takes about a microsecond, and asking whether it is enough a good part of that. */
const workBetweenLooks = 64;

interface Gap {
  readonly from: Instant;
  readonly to: Instant;
}

/** A schedule as this slice leaves it. */
interface Course {
  readonly planned: Planned;
  live: number;
  catchup: number;
  firesLeft: number;
  refusedByCalendar: GrowingStretch | undefined;
  refusedByOverlap: GrowingStretch | undefined;
}

class Slice {
  readonly #slots: Slots;
  readonly #moment: Moment;
  readonly #lookup: Lookup;
  readonly #decisions: { scheduleId: number; decision: Decision }[] = [];
  readonly #courses = new Map<number, Course>();
  readonly #broken: Broken[] = [];
  readonly #missedBefore = new Map<CompiledTiming, { readonly time: MissedTime; readonly missed: Missed }>();
  readonly #mostRows: number;
  #gap: Gap | undefined;
  #work = 0;
  #lastDue = Number.NEGATIVE_INFINITY;
  #lastId = 0;

  constructor(slots: Slots, moment: Moment, lookup: Lookup) {
    this.#slots = slots;
    this.#moment = moment;
    this.#lookup = lookup;
    this.#mostRows = moment.mostRows ?? defaultMostRows;
    const { watermark, partly, gap } = moment.tick;
    // An unfinished gap is finished first, with its own limits, whoever began it.
    this.#gap = gap !== null && gap.from <= watermark && watermark < gap.to ? gap : this.#gapAfter(watermark, partly?.due);
  }

  plan(): Plan {
    const { tick, now } = this.#moment;
    if (now <= tick.watermark) return { decisions: [], tick, done: true, touched: [], broken: [] };
    while (this.#slots.earliestDue <= now && !this.#isFull()) if (!this.#handleEarliest()) break;
    return {
      decisions: this.#decisions,
      tick: this.#newTick(),
      done: this.#slots.earliestDue > now,
      touched: [...new Set([...this.#courses.keys(), ...this.#broken.map(({ scheduleId }) => scheduleId)])],
      broken: this.#broken,
    };
  }

  #isFull(): boolean {
    if (this.#decisions.length >= this.#mostRows) return true;
    if (this.#work < workBetweenLooks) return false;
    this.#work = 0;
    return this.#moment.enough();
  }

  /** false: this slice ends before it. */
  #handleEarliest(): boolean {
    const scheduleId = this.#slots.earliestId;
    const due = this.#slots.earliestDue;
    this.#work += 1;
    while (this.#gap !== undefined && due > this.#gap.to) this.#gap = this.#gapAfter(this.#gap.to, undefined);
    try {
      // In all of this, what can throw comes before what changes.
      const course = this.#courseOf(scheduleId);
      const handled = handledThrough(this.#moment.tick, scheduleId);
      if (due <= handled) {
        // Armed at what is done already: whoever did it, nothing is done twice.
        this.#slots.arm(scheduleId, nextAfter(course.planned.timing, handled));
        return true;
      }
      const newest = this.#gap === undefined ? due : previousBefore(course.planned.timing, this.#gap.to + 1);
      if (newest > due) {
        this.#slots.arm(scheduleId, newest);
        return true;
      }
      const isDecided =
        this.#gap === undefined ? this.#decideLive(scheduleId, due, course) : this.#decideGap(scheduleId, due, course, this.#gap);
      if (!isDecided) return false;
    } catch (error) {
      this.#slots.disarm(scheduleId);
      this.#broken.push({ scheduleId, message: messageOf(error) });
    }
    this.#lastDue = due;
    this.#lastId = scheduleId;
    return true;
  }

  #courseOf(scheduleId: number): Course {
    const known = this.#courses.get(scheduleId);
    if (known !== undefined) return known;
    const planned = this.#lookup(scheduleId);
    const { inFlight, firesLeft } = planned;
    const course: Course = {
      planned,
      live: inFlight.live,
      catchup: inFlight.catchup,
      firesLeft,
      refusedByCalendar: undefined,
      refusedByOverlap: undefined,
    };
    this.#courses.set(scheduleId, course);
    return course;
  }

  /** One due instant: window and `max_runs`, calendar, overlap. false: nobody knows whether it has a run. */
  #decideLive(scheduleId: number, due: Instant, course: Course): boolean {
    const { timing, effectiveFrom, trigger, policy } = course.planned;
    const next = nextAfter(timing, Math.max(due, effectiveFrom));
    const fire = due > effectiveFrom && course.firesLeft > 0 ? timing.fireAt(due) : undefined;
    if (fire !== undefined && fire.nominal > effectiveFrom) {
      const ran = this.#ran(scheduleId, fire);
      if (ran === undefined) return false;
      if (!ran) {
        const refusal = fire.refused ? notABusinessDay : overlapRefusal(policy, course);
        if (refusal !== undefined) this.#refuse(scheduleId, course, refusal, fire);
        else this.#open(scheduleId, course, fire.nominal, trigger);
      }
    }
    this.#slots.arm(scheduleId, next);
    return true;
  }

  #open(scheduleId: number, course: Course, scheduledAt: Instant, trigger: Trigger): void {
    const replaces = course.planned.policy.overlap === 'replace' && trigger !== 'catchup' && course.live + course.catchup > 0;
    const open = { kind: 'open', scheduledAt, trigger } as const;
    this.#decisions.push({ scheduleId, decision: replaces ? { ...open, replaces } : open });
    if (trigger === 'catchup') course.catchup += 1;
    else course.live += 1;
    course.firesLeft -= 1;
  }

  #refuse(scheduleId: number, course: Course, reason: string, { refused, nominal }: Fire): void {
    const begun = refused ? course.refusedByCalendar : course.refusedByOverlap;
    const stretch = extended(begun, reason, nominal);
    if (begun !== undefined) return;
    if (refused) course.refusedByCalendar = stretch;
    else course.refusedByOverlap = stretch;
    this.#decisions.push({ scheduleId, decision: stretch });
  }

  /** All that one schedule missed in the gap. false: its rows do not fit into this slice any more. */
  #decideGap(scheduleId: number, newest: Instant, course: Course, gap: Gap): boolean {
    const { timing, effectiveFrom } = course.planned;
    const next = nextAfter(timing, Math.max(gap.to, effectiveFrom));
    if (course.firesLeft > 0) {
      const { caughtUp, missed, refused } = this.#missed(scheduleId, newest, course.planned, gap);
      const told = missed === undefined ? undefined : { ...missed, reason: `${missed.reason}; ${takenOf(course.planned)}` };
      // Past `max_runs` an instant is no fire, and leaves no row.
      const opened = caughtUp.toReversed().slice(0, course.firesLeft);
      const stretches = [refused, told].filter((stretch) => stretch !== undefined);
      const rows = this.#decisions.length + stretches.length + opened.length;
      if (this.#decisions.length > 0 && rows > this.#mostRows) return false;
      for (const decision of stretches) this.#decisions.push({ scheduleId, decision });
      for (const scheduledAt of opened) this.#open(scheduleId, course, scheduledAt, 'catchup');
      this.#work += opened.length;
    }
    this.#slots.arm(scheduleId, next);
    return true;
  }

  /** Schedules of one timing share an evaluator, and mostly what they missed. */
  #missed(scheduleId: number, newest: Instant, planned: Planned, gap: Gap): Missed {
    const { timing, effectiveFrom, catchup, policy } = planned;
    const { now, tick } = this.#moment;
    const time: MissedTime = {
      newest,
      after: Math.max(gap.from, effectiveFrom),
      effectiveFrom,
      limit: limitOf(catchup, policy.catchupLimit),
      oldest: catchup === 'all' ? now - policy.catchupWithinMs : Number.NEGATIVE_INFINITY,
    };
    const known = tick.replayUntil === null ? this.#missedBefore.get(timing) : undefined;
    if (known !== undefined && missedTheSame(time, known.time, known.missed)) return known.missed;
    const missed = missedIn(timing, time, (fire) => this.#ran(scheduleId, fire));
    this.#work += missed.looks;
    this.#missedBefore.set(timing, { time, missed });
    return missed;
  }

  #ran(scheduleId: number, { nominal, due }: Fire): boolean | undefined {
    const { ran, tick } = this.#moment;
    if (ran === undefined || tick.replayUntil === null || Math.min(nominal, due) > tick.replayUntil) return false;
    return ran(scheduleId, nominal);
  }

  /** What was missed after `from`. An instant that a slice stopped inside is a gap of its own: some have handled it. */
  #gapAfter(from: Instant, stoppedAt: Instant | undefined): Gap | undefined {
    const { now, bootAt, lateWithinMs } = this.#moment;
    const missedThrough = Math.min(now, Math.max(bootAt <= now ? bootAt : from, now - lateWithinMs - 1));
    return missedThrough > from ? { from, to: Math.min(missedThrough, stoppedAt ?? missedThrough) } : undefined;
  }

  #newTick(): Tick {
    const { tick, now } = this.#moment;
    const due = this.#slots.earliestDue;
    const watermark = due > now ? now : Math.max(tick.watermark, due - 1);
    const inside = this.#lastDue > watermark ? { due: this.#lastDue, throughId: this.#lastId } : tick.partly;
    return {
      seq: tick.seq + 1,
      watermark,
      partly: inside !== null && inside.due > watermark ? inside : null,
      gap: this.#gap !== undefined && watermark < this.#gap.to ? this.#gap : null,
      replayUntil: tick.replayUntil !== null && watermark < tick.replayUntil ? tick.replayUntil : null,
    };
  }
}

/** Why a fire of the clock or of a parent is not opened beside what is in flight. */
export function overlapRefusal(policy: Pick<Policy, 'overlap' | 'overlapLimit'>, inFlight: InFlight): string | undefined {
  switch (policy.overlap) {
    case 'skip':
      return inFlight.live + inFlight.catchup > 0 ? 'overlap: the run before it has not finished' : undefined;
    case 'queue':
      // One runs, `overlapLimit` wait.
      return inFlight.live > policy.overlapLimit
        ? `overlap: ${policy.overlapLimit} ${policy.overlapLimit === 1 ? 'run waits' : 'runs wait'} already`
        : undefined;
    case 'allow':
    case 'replace':
      return undefined;
    default:
      return policy.overlap satisfies never;
  }
}

function limitOf(catchup: Catchup, catchupLimit: number): number {
  switch (catchup) {
    case 'none':
      return 0;
    case 'latest':
      return 1;
    case 'all':
      return catchupLimit;
    default:
      return catchup satisfies never;
  }
}

/** Why these and not others, for whoever reads the row. */
function takenOf({ catchup, policy: { catchupLimit, catchupWithinMs } }: Pick<Planned, 'catchup' | 'policy'>): string {
  return catchup === 'all' ? `catchup: all, the newest ${catchupLimit} within ${formatDuration(catchupWithinMs)}` : `catchup: ${catchup}`;
}

/** A timing that does not move on would hold up all others. */
function nextAfter(timing: CompiledTiming, after: Instant): number {
  const next = timing.nextMs(after);
  if (!(next > after)) throw new Diagnostic('out_of_range', `the timing answers ${next} for what is due after ${after}`);
  return next;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
