// What must hold of ticks: they follow one another, know all statements, and decide of each schedule what brute force decides.

import type { CompiledTiming } from '../../src/scheduler/cadence/cadence.ts';
import type { Tick, Write } from '../../src/scheduler/ports.ts';
import type { Definition } from '../../src/scheduler/schedule.ts';
import { type Expected, expectedOf, through } from './expectation.ts';
import { type Model, type ScheduleRecord, triggerOf } from './model.ts';
import { shownDecision, shownInstant } from './story.ts';
import { minute } from './world.ts';

export class TickRules {
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  ticked(tick: Tick, writes: readonly Write[]): void {
    const before = this.#model.tick;
    const { now } = { now: this.#tickNow(tick, writes) };
    this.#model.counts.ticks += 1;
    this.#model.note(
      `tick ${tick.seq} through ${shownInstant(tick.watermark)}${tick.partly === null ? '' : ` partly ${shownInstant(tick.partly.due)} #${tick.partly.throughId}`}${tick.gap === null ? '' : ` gap ${shownInstant(tick.gap.from)}..${shownInstant(tick.gap.to)}`}${tick.replayUntil === null ? '' : ` replay until ${shownInstant(tick.replayUntil)}`}`,
    );
    this.#model.check(tick.seq === before.seq + 1, 'ticks follow one another', () => `tick ${tick.seq} after ${before.seq}`);
    const isLate =
      this.#model.isPaused &&
      writes.length > 0 &&
      now > this.#model.pausedAt &&
      this.#model.jumpedMs < this.#model.clock.monotonicMs() - minute;
    this.#model.check(!isLate, 'nothing is opened while the scheduler is paused', () => `tick ${tick.seq} at ${shownInstant(now)}`);
    this.#model.check(this.#model.read === this.#model.statements, 'definitions change at a tick’s boundary', () => {
      const behind = this.#model.statements - this.#model.read;
      return `tick ${tick.seq} knows nothing of ${behind} statements`;
    });
    if (tick.watermark < before.watermark) {
      const ok = writes.length === 0 && tick.replayUntil !== null && tick.replayUntil >= before.watermark;
      this.#model.check(ok, 'the watermark goes back only when the clock is believed', () => `to ${shownInstant(tick.watermark)}`);
      this.#model.bootAt = Math.min(this.#model.bootAt, tick.watermark);
      for (const schedule of this.#model.schedules.values()) schedule.since = Math.min(schedule.since, tick.watermark);
    } else if (this.#model.isPaused && writes.length === 0 && tick.partly === null && tick.gap === null) {
      this.#model.note('paused time is passed over');
    } else {
      for (const schedule of this.#model.schedules.values()) this.#decided(schedule, before, tick, now, writes);
    }
    this.#model.tick = tick;
  }

  /** When the scheduler looked at the clock. */
  #tickNow(tick: Tick, writes: readonly Write[]): number {
    for (const write of writes) {
      if (write.kind === 'open') return write.run.openedAt;
      if (write.kind === 'skip') return write.closing.run.openedAt;
    }
    return tick.watermark;
  }

  /** All that a tick says of one schedule, and nothing else, is what brute force says. */
  #decided(schedule: ScheduleRecord, before: Tick, tick: Tick, now: number, writes: readonly Write[]): void {
    const { scheduleId, known, timing } = schedule;
    const opens: string[] = [];
    const skips: string[] = [];
    for (const write of writes) {
      if (write.kind === 'open' && write.run.scheduleId === scheduleId) opens.push(`${write.run.trigger} ${write.run.scheduledAt}`);
      if (write.kind === 'skip' && write.closing.run.scheduleId === scheduleId) {
        const { closing } = write;
        if (closing.state === 'cancelled') opens.push(`${closing.run.trigger} ${closing.run.scheduledAt}`);
        else {
          const { stretch, run } = closing;
          const fires = stretch?.fires === null ? 'many' : (stretch?.fires ?? 1);
          skips.push(`${(closing.reason ?? '').split(':')[0]} ${run.scheduledAt} ${stretch?.firstScheduledAt ?? run.scheduledAt} ${fires}`);
        }
      }
    }
    if (known === undefined || timing === undefined || !known.enabled) {
      // A tick may be on its way when it disables itself.
      const ok = opens.length + skips.length === 0 || schedule.awaitsNews || this.#model.clock.monotonicMs() - schedule.changedMs < minute;
      this.#model.check(
        ok,
        'what has no clock is not opened by it',
        () => `${known?.name ?? scheduleId}: ${[...opens, ...skips].join(', ')}`,
      );
      return;
    }
    if (this.#model.calm) this.#onTime(known, timing, now, [...opens, ...skips]);
    // Most are not due: one look.
    if (opens.length + skips.length === 0 && before.gap === null && tick.gap === null) {
      const first = timing.nextMs(Math.max(through(before, scheduleId), known.effectiveFrom));
      if (first > Math.max(tick.watermark, tick.partly?.due ?? 0)) return;
    }
    const expected = this.#expected(schedule, known, timing, { before, after: tick, now });
    // Of a time that was gone through twice, what is too much to be counted may begin with instants that have run; and of what a
    // calendar moves, with one that is not the first by its nominal time.
    const isVague = before.replayUntil !== null || known.timing?.onHoliday === 'next' || known.timing?.onHoliday === 'previous';
    const vague = (skip: string): string => (isVague && skip.endsWith('many') ? skip.replace(/ \d+ many$/, ' many') : skip);
    const wanted = [...expected.opens, ...expected.skips.map(vague)].sort();
    const found = [...opens, ...skips.map(vague)].sort();
    if (wanted.join() === found.join()) return;
    const recently = this.#model.clock.monotonicMs() - schedule.flightChangedMs < minute;
    if (expected.overlaps && recently && this.#coverTheSame(expected, { opens, skips })) return;
    const policy = `${known.policy.overlap}, catchup ${known.policy.catchup ?? this.#model.settings.catchup} ${known.policy.catchupLimit}`;
    this.#model.violated(
      'each instant is covered once, as the rules say',
      `${known.name} (${policy}) at ${shownInstant(now)}: wanted [${wanted.map(shownDecision).join('; ')}] found [${found.map(shownDecision).join('; ')}]`,
    );
  }

  /** What was in flight when the scheduler looked may differ by what has ended since. */
  #coverTheSame(
    one: { opens: readonly string[]; skips: readonly string[] },
    other: { opens: readonly string[]; skips: readonly string[] },
  ): boolean {
    const fires = ({ opens, skips }: typeof one): number =>
      opens.length + skips.filter((skip) => skip.startsWith('overlap')).reduce((sum, skip) => sum + Number(skip.split(' ')[3]), 0);
    const rest = ({ skips }: typeof one): string =>
      skips
        .filter((skip) => !skip.startsWith('overlap'))
        .sort()
        .join();
    const caught = ({ opens }: typeof one): string =>
      opens
        .filter((open) => open.startsWith('catchup'))
        .sort()
        .join();
    return fires(one) === fires(other) && rest(one) === rest(other) && caught(one) === caught(other);
  }

  /** Where nothing fails, nothing is missed and nothing is late, whatever poisons or fills the schedules beside it. */
  #onTime({ name, effectiveFrom, timing: plain }: Definition, timing: CompiledTiming, now: number, decisions: readonly string[]): void {
    const onHoliday = plain?.onHoliday;
    if (onHoliday === 'next' || onHoliday === 'previous') return;
    const first = timing.fireAt(timing.nextMs(effectiveFrom));
    const jitterMs = first.due - first.nominal;
    for (const decision of decisions) {
      const [what, nominal] = decision.split(' ');
      const lateMs = now - Number(nominal) - jitterMs;
      const ok = what !== 'catchup' && what !== 'missed' && (what === 'overlap' || what === 'calendar' || lateMs <= 100);
      this.#model.check(
        ok,
        'everything is on time where nothing fails',
        () => `${name}: ${shownDecision(decision)} at ${shownInstant(now)}`,
      );
    }
  }

  #expected(
    schedule: ScheduleRecord,
    { scheduleId, effectiveFrom, policy, timing }: Definition,
    compiled: CompiledTiming,
    moment: { readonly before: Tick; readonly after: Tick; readonly now: number },
  ): Expected {
    return expectedOf({
      ...moment,
      scheduleId,
      timing: compiled,
      trigger: triggerOf(timing),
      effectiveFrom,
      since: schedule.since,
      policy,
      catchup: policy.catchup ?? this.#model.settings.catchup,
      lateWithinMs: this.#model.settings.lateWithinMs,
      bootAt: this.#model.bootAt,
      inFlight: { live: schedule.live, catchup: schedule.catchup },
      firesLeft: policy.maxRuns === undefined ? Number.POSITIVE_INFINITY : policy.maxRuns - schedule.openedFires,
      hasRun: (nominal) => (schedule.runsAt.get(nominal) ?? 0) > 0,
    });
  }

  /** Before a definition changes, the old one has handled all its time. */
  nothingLeft(schedule: ScheduleRecord, through_: number): void {
    const { known, timing } = schedule;
    if (known?.enabled !== true || timing === undefined) return;
    const after: Tick = { ...this.#model.tick, watermark: through_, partly: null, gap: null };
    const { opens, skips } = this.#expected(schedule, known, timing, { before: this.#model.tick, after, now: through_ });
    const left = [...opens, ...skips];
    this.#model.check(
      left.length === 0,
      'definitions change at a tick’s boundary',
      () => `${known.name}: ${left.map(shownDecision).join('; ')}`,
    );
  }

  /** Time is handled up to `through`: whoever is enabled has nothing left to do before. */
  handled(through_: number): void {
    for (const { known, timing, scheduleId, openedFires } of this.#model.schedules.values()) {
      if (known === undefined || timing === undefined || !known.enabled) continue;
      if (known.policy.maxRuns !== undefined && openedFires >= known.policy.maxRuns) continue;
      let due = timing.nextMs(Math.max(through(this.#model.tick, scheduleId), known.effectiveFrom));
      const { replayUntil } = this.#model.tick;
      while (replayUntil !== null && due <= replayUntil) due = timing.nextMs(due);
      const fire = due <= through_ ? timing.fireAt(due) : undefined;
      if (fire === undefined || fire.nominal <= known.effectiveFrom) continue;
      this.#model.violated('each instant is covered once, as the rules say', `${known.name}: nobody has handled ${shownInstant(due)}`);
    }
  }

  /** Before the next statement, which was asked for at `askedAt`, time was handled up to here. */
  boundary(handledThrough: number, askedAt: number): void {
    this.#model.boundaryAt = handledThrough;
    const comparable = this.#model.clock.now() >= askedAt && this.#model.jumpedMs < this.#model.clock.monotonicMs() - minute;
    const ok = handledThrough >= askedAt || !comparable;
    this.#model.check(ok, 'definitions change at a tick’s boundary', () => `handled through ${shownInstant(handledThrough)}`);
  }
}
