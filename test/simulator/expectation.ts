// What a tick has to decide for one schedule, by brute force over its instants: the definition to which the planner is held.
// Written from the language reference and from the contract of Tick, and nothing here is shared with the planner but the cadences.

import type { CompiledTiming, Fire } from '../../src/scheduler/cadence/cadence.ts';
import type { InFlight, Tick } from '../../src/scheduler/ports.ts';
import type { Catchup, Policy } from '../../src/scheduler/schedule.ts';

export interface Situation {
  readonly scheduleId: number;
  readonly timing: CompiledTiming;
  readonly trigger: string;
  readonly effectiveFrom: number;
  /** Up to here an older definition has handled it. */
  readonly since: number;
  readonly policy: Policy;
  readonly catchup: Catchup;
  readonly lateWithinMs: number;
  /** How far time was handled, and how far it is now. */
  readonly before: Tick;
  readonly after: Tick;
  readonly now: number;
  readonly bootAt: number;
  readonly inFlight: InFlight;
  readonly firesLeft: number;
  readonly hasRun: (nominal: number) => boolean;
}

export interface Expected {
  /** `trigger nominal`, in any order. */
  readonly opens: readonly string[];
  /** `reason nominal first fires`, in any order. */
  readonly skips: readonly string[];
  /** Overlap had a say: what is expected hangs on what was in flight when the scheduler looked. */
  readonly overlaps: boolean;
}

interface Stretch {
  first: number;
  newest: number;
  fires: number;
}

const mostCounted = 10_000;
/** So many instants are looked at one by one, before and after. */
const patience = 300_000;

export function expectedOf(situation: Situation): Expected {
  const { before, after, scheduleId, timing, policy, effectiveFrom } = situation;
  const opens: string[] = [];
  const skips: string[] = [];
  let { live, catchup } = situation.inFlight;
  let left = situation.firesLeft;
  let overlaps = false;
  const was = Math.max(through(before, scheduleId), situation.since);
  const is = through(after, scheduleId);

  const gaps = gapsOf(situation);
  for (const gap of gaps) {
    const newest = timing.previousMs(gap.to + 1);
    if (newest <= gap.from || newest <= was || newest > is || left <= 0) continue;
    const missed = missedIn(situation, gap.from, newest);
    if (missed.calendar !== undefined) skips.push(shown('calendar', missed.calendar));
    if (missed.missed !== undefined) skips.push(shown('missed', missed.missed));
    for (const nominal of missed.chosen.slice(0, left)) {
      opens.push(`catchup ${nominal}`);
      catchup += 1;
      left -= 1;
    }
  }

  const liveFrom = gaps.at(-1)?.to ?? before.watermark;
  let calendar: Stretch | undefined;
  let overlap: Stretch | undefined;
  for (let due = timing.nextMs(Math.max(was, liveFrom, effectiveFrom)); due <= Math.min(is, situation.now); due = timing.nextMs(due)) {
    const fire = timing.fireAt(due);
    if (fire.nominal <= effectiveFrom || left <= 0 || isPassedOver(situation, fire)) continue;
    if (fire.refused) {
      calendar = extended(calendar, fire.nominal);
      continue;
    }
    if (policy.overlap !== 'allow') overlaps = true;
    const busy = policy.overlap === 'skip' ? live + catchup > 0 : policy.overlap === 'queue' ? live > policy.overlapLimit : false;
    if (busy) {
      overlap = extended(overlap, fire.nominal);
      continue;
    }
    opens.push(`${situation.trigger} ${fire.nominal}`);
    live += 1;
    left -= 1;
  }
  if (calendar !== undefined) skips.push(shown('calendar', calendar));
  if (overlap !== undefined) skips.push(shown('overlap', overlap));
  return { opens, skips, overlaps };
}

/** Up to which due instant a tick has handled a schedule. */
export function through({ watermark, partly }: Tick, scheduleId: number): number {
  return partly !== null && scheduleId <= partly.throughId ? partly.due : watermark;
}

/** Time that was missed, in pieces in each of which a schedule is handled once. */
function gapsOf({ before, now, bootAt, lateWithinMs }: Situation): { from: number; to: number }[] {
  const gaps: { from: number; to: number }[] = [];
  let at = before.watermark;
  if (before.gap !== null && before.gap.from <= at && at < before.gap.to) {
    gaps.push(before.gap);
    at = before.gap.to;
  } else if (before.partly !== null) {
    // Some schedules are past this instant and some are not: it ends a piece.
    const to = Math.min(missedThrough(at), before.partly.due);
    if (to > at) {
      gaps.push({ from: at, to });
      at = to;
    }
  }
  const to = missedThrough(at);
  if (to > at) gaps.push({ from: at, to });
  return gaps;

  function missedThrough(from: number): number {
    const running = bootAt <= now ? Math.max(bootAt, from) : from;
    return Math.min(now, Math.max(running, now - lateWithinMs - 1));
  }
}

/** The clock went back over this instant, and it has a run. */
function isPassedOver({ before, hasRun }: Situation, fire: Fire): boolean {
  return before.replayUntil !== null && Math.min(fire.nominal, fire.due) <= before.replayUntil && hasRun(fire.nominal);
}

function missedIn(
  situation: Situation,
  from: number,
  newest: number,
): { chosen: number[]; missed: Stretch | undefined; calendar: Stretch | undefined } {
  const { timing, effectiveFrom, since, policy, catchup, now } = situation;
  const limit = catchup === 'none' ? 0 : catchup === 'latest' ? 1 : policy.catchupLimit;
  const oldest = catchup === 'all' ? now - policy.catchupWithinMs : Number.NEGATIVE_INFINITY;
  const counts = (fire: Fire): boolean =>
    fire.nominal > effectiveFrom && fire.due > Math.max(effectiveFrom, since) && !isPassedOver(situation, fire);

  let all: Fire[] = [];
  const start = timing.nextMs(Math.max(from, effectiveFrom));
  let due = start;
  for (; due <= newest && all.length < patience; due = timing.nextMs(due)) all.push(timing.fireAt(due));
  const reached = due > newest;
  if (!reached) {
    // Too many to look at all: the newest ones from behind, and that is enough to know where stretches end.
    const behind: Fire[] = [];
    for (let back = newest; back >= due && behind.length < patience; back = timing.previousMs(back)) behind.push(timing.fireAt(back));
    all = all.concat(behind.reverse());
  }
  const fires = all.filter(counts);
  const chosen = new Set(
    fires
      .filter((fire) => !fire.refused && fire.nominal >= oldest)
      .slice(-limit || fires.length)
      .map((fire) => fire.nominal),
  );
  let missed: Stretch | undefined;
  let calendar: Stretch | undefined;
  for (const fire of fires) {
    if (fire.refused) calendar = extended(calendar, fire.nominal);
    else if (!chosen.has(fire.nominal)) missed = extended(missed, fire.nominal);
  }
  return { chosen: [...chosen], missed, calendar };
}

function extended(stretch: Stretch | undefined, nominal: number): Stretch {
  if (stretch === undefined) return { first: nominal, newest: nominal, fires: 1 };
  stretch.first = Math.min(stretch.first, nominal);
  stretch.newest = Math.max(stretch.newest, nominal);
  stretch.fires += 1;
  return stretch;
}

const shown = (reason: string, { first, newest, fires }: Stretch): string =>
  `${reason} ${newest} ${first} ${fires > mostCounted ? 'many' : fires}`;
