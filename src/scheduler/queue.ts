// Which waiting run starts next. Pure and synchronous: the loop says what is open and what has ended, and asks.
//
// Three questions are kept apart, so that each stays cheap with tens of thousands of runs waiting:
//   - may it start at all? Only what may is in its queue's heaps. A run whose time has not come sleeps, and of a group only the
//     first stands in a heap, so that a busy group costs nothing and blocks nobody. Runs that need the same of the machine
//     (capacity.ts) stand in one heap, a lane: where there is not enough for the first of it, there is for none.
//   - which queue is next? Stride scheduling: each start moves a queue's turn on by 1 / weight, the smallest turn is next. A queue
//     that comes back from idling begins at the present turn: it has saved nothing up.
//   - which run of the queue? One number, its rank: the class (priority, raised by age) above, the nominal time below.
//
// The table is the truth, memory a window on its beginning. What does not fit is forgotten here ("spilled") and read again by a
// refill. So that a window is all it is, a run that comes after a forgotten one is forgotten too: of its queue (the horizon), of
// its group (`spilledFrom`).

import { formatDuration } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import { nameKey } from '../core/name.ts';
import { Capacity, hasPart, type Limits, type Needs, noLimits, noNeeds } from './capacity.ts';
import type { QueueDefinition } from './ports.ts';
import type { OpenRun } from './run.ts';
import type { Priority } from './schedule.ts';

/**
 * Waiting work rises one class for each such while. What has risen through `critical` goes before everything that has not,
 * the longest wait first: whatever comes, nothing waits for ever. The wait is for a turn: it counts from when the run was opened
 * or its retry was due, and behind others of its group from when they let it through. (A backfill of a year would otherwise
 * outgrow, run by run, all that is opened while it goes on.)
 */
export const risesAfterMs = 5 * 60_000;

/** While the table holds more than memory, it is looked at anew at least so often: what waits there grows older too. */
export const rereadMs = 60_000;

const shortestPauseMs = 100;
const longestPauseMs = 5000;

/** What is refused during a refill is known one by one up to so many. */
const mostRefusedKnown = 1000;

export interface Taken {
  readonly run: OpenRun;
  /** Why it did not start at once, in words; null where it did. */
  readonly waitedFor: string | null;
}

/** What to ask the ledger for; `complete` is then an answer of fewer rows than `limit`. */
export interface RefillMark {
  readonly limit: number;
  readonly perGroup: number;
}

export interface QueueCounts {
  /** Waiting for a turn. */
  readonly pending: number;
  readonly active: number;
  /** Waiting for a time. */
  readonly scheduled: number;
}

/** Schedules name few different needs. */
const mostKnownNeeds = 10_000;

type Accept = (run: OpenRun) => boolean;

interface BacklogOptions {
  readonly mostKept?: number;
  readonly mostPerGroup?: number;
  /** What a run takes of what is limited. */
  readonly needsOf?: (run: OpenRun) => Needs;
}

export class Backlog {
  readonly #mostKept: number;
  readonly #mostPerGroup: number;
  readonly #needsOf: (run: OpenRun) => Needs;
  readonly #capacity = new Capacity();
  /** Equal ones are one. */
  readonly #knownNeeds = new Map<string, Needs>();
  /** It has waited longest for its part, and nobody takes a part before it. */
  #reserved: Waiting | undefined;
  #workers = 0;
  #configured = false;
  /** The latest that was told. */
  #now: Instant = Number.NEGATIVE_INFINITY;
  #latestStart: Instant = Number.NEGATIVE_INFINITY;
  /** Of the queue that started last. */
  #turn = 0;
  readonly #queues = new Map<string, Queue>();
  readonly #queuesAsWritten = new Map<string, Queue>();
  readonly #groups = new Map<string, Group>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #bySchedule = new Map<number, Waiting>();
  readonly #atWork = new Map<string, AtWork>();
  /** Of those at work, how many only wait for their end to be durable. */
  #ending = 0;
  readonly #sleeping = new Heap(wakesSooner, place.sleeping);
  readonly #rising = new Heap(risesSooner, place.rising);
  /** Ready, and not yet asked why they wait. */
  #unasked: Waiting[] = [];
  /** Let through by their group; the next take says when. */
  #letThrough: Waiting[] = [];
  #arrivals = 0;

  #spilled = false;
  /** A group has less in memory than it will soon need. */
  #groupRunsLow = false;
  readonly #wakes = new Wakes();
  #perGroup: number;
  /** By a take, or whether a refill is wanted. */
  #askedAt: Instant = Number.NEGATIVE_INFINITY;
  #refilledAt: Instant | undefined;
  /** After a refill that did not help with groups, before the next. */
  #groupPauseMs = 0;
  #mark: Mark | undefined;

  constructor({ mostKept = 20_000, mostPerGroup = 100, needsOf = () => noNeeds }: BacklogOptions = {}) {
    this.#mostKept = mostKept;
    this.#mostPerGroup = mostPerGroup;
    this.#needsOf = needsOf;
    this.#perGroup = this.#usualPerGroup;
  }

  // ---- What may start ----

  /** At any time. A queue that is not named, because it was dropped, has weight 1 and no limits. */
  configure(definitions: readonly QueueDefinition[], workers: number, limits: Limits = noLimits): void {
    this.#workers = workers;
    this.#capacity.limits = limits;
    this.#configured = true;
    this.#queuesAsWritten.clear();
    for (const queue of this.#queues.values()) queue.definition = undefined;
    for (const definition of definitions) {
      const queue = this.#queueOf(definition.name);
      queue.definition = definition;
      queue.name = definition.name;
    }
    for (const [key, queue] of this.#queues) {
      trimStarts(queue);
      const isIdle = queue.pending + queue.scheduled + queue.active === 0 && queue.turn <= this.#turn;
      if (queue.definition === undefined && isIdle) this.#queues.delete(key);
    }
    this.#queuesAsWritten.clear();
  }

  /** Starts before this process. Starts are known for as long as a queue has a rate: a new rate begins with none. */
  recall(starts: readonly { readonly queue: string; readonly at: Instant }[]): void {
    const recalled = new Set<Queue>();
    for (const { queue: name, at } of starts) {
      const queue = this.#queueOf(name);
      queue.starts.push(at);
      this.#latestStart = Math.max(this.#latestStart, at);
      recalled.add(queue);
    }
    for (const queue of recalled) {
      queue.starts.sort((one, other) => one - other);
      if (this.#configured) trimStarts(queue);
    }
  }

  /** What `recall` needs, for whoever begins anew. */
  get starts(): { readonly queue: string; readonly at: Instant }[] {
    return [...this.#queues.values()].flatMap(({ name, starts }) => starts.map((at) => ({ queue: name, at })));
  }

  /**
   * The next run, which counts as at work from now on; undefined: nothing may start now. `refusal`: in words, why runs are not
   * accepted.
   */
  take(now: Instant, accept?: Accept, refusal?: string): Taken | undefined {
    this.#observe(now);
    this.#wake(now);
    this.#age(now);
    const next = this.#busy < this.#workers ? this.#nextThatFits(now, accept) : undefined;
    if (next === undefined) {
      this.#askWhy(now, this.#whyBusy ?? refusal);
      return undefined;
    }
    const { run, queue, group } = next;
    this.#turn = Math.max(queue.turn, this.#turn);
    queue.turn = this.#turn + 1 / weightOf(queue);
    this.#forget(next);
    this.#start(run, queue, group, now);
    if (this.#whyBusy !== undefined) this.#askWhy(now, this.#whyBusy);
    return { run, waitedFor: next.waitedFor };
  }

  /** Nobody is let in now, and why, in words. */
  keepWaiting(now: Instant, refusal: string): void {
    this.#observe(now);
    this.#wake(now);
    this.#askWhy(now, refusal);
  }

  /** It counts as at work without having been taken. */
  begin(run: OpenRun): void {
    if (this.#atWork.has(run.runId)) return;
    const waiting = this.#waiting.get(run.runId);
    if (waiting !== undefined) this.#forget(waiting);
    this.#start(run, this.#queueOf(run.queue), waiting?.group ?? this.#groupOf(run), this.#now);
  }

  /**
   * Its work is over, and its end on its way to the disk: its worker may take another, and all else that it holds, it keeps. As many
   * ends as there are workers may be on their way, so that what is begun never runs away from what is written.
   */
  ending(run: OpenRun): void {
    const atWork = this.#atWork.get(run.runId);
    if (atWork === undefined || atWork.isEnding) return;
    atWork.isEnding = true;
    this.#ending += 1;
  }

  /** It ended, and its closing is durable. What must go before the others of its group, its retry, is added before this. */
  release(run: OpenRun): void {
    const atWork = this.#atWork.get(run.runId);
    if (atWork === undefined) return;
    this.#atWork.delete(run.runId);
    if (atWork.isEnding) this.#ending -= 1;
    this.#remember(run.runId);
    this.#capacity.giveBack(atWork.needs);
    atWork.queue.active -= 1;
    if (atWork.group === undefined) return;
    atWork.group.active -= 1;
    this.#settle(atWork.group);
  }

  /** When something may become startable by time alone; later than `now`. */
  nextAt(now: Instant): Instant {
    let next = this.#sleeping.first?.run.notBefore ?? Number.POSITIVE_INFINITY;
    if (next <= now) {
      // Due, and nobody has asked for them yet: time is not what they wait for.
      next = Number.POSITIVE_INFINITY;
      for (const { run } of this.#sleeping.items) if (run.notBefore !== null && run.notBefore > now) next = Math.min(next, run.notBefore);
    }
    for (const queue of this.#queues.values()) {
      if (queue.ready.size === 0 || isPaused(queue)) continue;
      const opensAt = rateOpensAt(queue);
      if (opensAt > now) next = Math.min(next, opensAt);
    }
    next = Math.min(next, this.#wakes.after(now));
    if (!this.#spilled || this.#refilledAt === undefined) return next;
    for (const pauseMs of this.#pausesMs()) if (this.#refilledAt + pauseMs > now) next = Math.min(next, this.#refilledAt + pauseMs);
    return next;
  }

  /** What a run needs may have changed since it stood in its lane. */
  #nextThatFits(now: Instant, accept: Accept | undefined): Waiting | undefined {
    for (;;) {
      const next = this.#next(now, accept);
      if (next === undefined) return undefined;
      const needs = this.#readNeeds(next.run);
      if (needs === next.needs) return next;
      this.#withdraw(next);
      next.needs = needs;
      this.#offer(next);
    }
  }

  #next(now: Instant, accept: Accept | undefined): Waiting | undefined {
    this.#reserve(now, accept);
    let best: Waiting | undefined;
    let bestTurn = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues.values()) {
      if (!mayStart(queue, now)) continue;
      const turn = Math.max(queue.turn, this.#turn);
      if (best !== undefined && (turn > bestTurn || (turn === bestTurn && !goesFirst(queue, best.queue)))) continue;
      const first = this.#firstOf(queue, accept);
      if (first === undefined) continue;
      best = first;
      bestTurn = turn;
    }
    return best;
  }

  #firstOf({ ready }: Queue, accept: Accept | undefined): Waiting | undefined {
    let best: Waiting | undefined;
    for (const lane of ready.lanes) {
      const first = firstAccepted(lane, accept);
      if (first === undefined || (best !== undefined && byRank(best, first) < 0) || this.#lack(first) !== undefined) continue;
      best = first;
    }
    return best;
  }

  /** Small parts come free all the time, a large one would wait for ever: what has risen above all classes has the next for itself. */
  #reserve(now: Instant, accept: Accept | undefined): void {
    this.#reserved = undefined;
    const { cpu, memoryBytes } = this.#capacity.limits;
    if (cpu === null && memoryBytes === null) return;
    for (const queue of this.#queues.values()) {
      if (!mayStart(queue, now)) continue;
      for (const lane of queue.ready.lanes) {
        const first = firstAccepted(lane, accept);
        if (first === undefined || first.rank >= classSize || !hasPart(first.needs)) continue;
        if (this.#reserved !== undefined && byRank(this.#reserved, first) < 0) continue;
        if (this.#capacity.lack({ ...first.needs, threads: 0 }) !== undefined) this.#reserved = first;
      }
    }
  }

  /** What it waits for beside its turn. */
  #lack(waiting: Waiting): string | undefined {
    const { needs } = waiting;
    const reserved = this.#reserved;
    if (reserved !== undefined && reserved !== waiting && hasPart(needs) && byRank(reserved, waiting) < 0) {
      return `resources: the next are for ${reserved.run.schedule}, which has waited longest`;
    }
    return this.#capacity.lack(needs);
  }

  /** What is not there for a run that waits for its turn, in words. */
  lack(run: OpenRun): string | undefined {
    const waiting = this.#waiting.get(run.runId);
    return waiting === undefined ? this.#capacity.lack(this.#needsOf(run)) : this.#lack(waiting);
  }

  #readNeeds(run: OpenRun): Needs {
    const needs = this.#needsOf(run);
    const key = `${needs.threads} ${needs.cpu} ${needs.memoryBytes}`;
    const known = this.#knownNeeds.get(key);
    if (known !== undefined) return known;
    if (this.#knownNeeds.size >= mostKnownNeeds) this.#knownNeeds.clear();
    this.#knownNeeds.set(key, needs);
    return needs;
  }

  #start(run: OpenRun, queue: Queue, group: Group | undefined, now: Instant): void {
    const needs = this.#needsOf(run);
    this.#atWork.set(run.runId, { queue, group, needs, isEnding: false });
    this.#capacity.take(needs);
    queue.active += 1;
    if (queue.definition?.rate != null && now > Number.NEGATIVE_INFINITY) {
      queue.starts.push(now);
      this.#latestStart = Math.max(this.#latestStart, now);
      if (queue.starts.length > 2 * queue.definition.rate.count + 16) trimStarts(queue);
    }
    if (group === undefined) return;
    group.active += 1;
    this.#settle(group);
  }

  // ---- What waits ----

  /** An open run that is durable in the table; it is kept, or only remembered as spilled. `now`: the clock may have been set back. */
  add(run: OpenRun, now: Instant = this.#now): void {
    if (now < this.#now) this.#observe(now);
    if (this.#waiting.has(run.runId) || this.#atWork.has(run.runId)) return;
    const waiting = this.#newWaiting(run);
    if (!this.#fits(waiting)) {
      this.#settle(waiting.group);
      return;
    }
    this.#keep(waiting);
    this.#settle(waiting.group);
    if (waiting.group !== undefined && waiting.group.offered !== waiting) waiting.since = Number.POSITIVE_INFINITY;
    if (this.#waiting.size > this.#mostKept) this.#makeRoom();
  }

  /** It was closed by hand or replaced; undefined where it does not wait in memory. */
  remove(runId: string): OpenRun | undefined {
    this.#remember(runId);
    const waiting = this.#waiting.get(runId);
    if (waiting === undefined) return undefined;
    this.#forget(waiting);
    this.#settle(waiting.group);
    return waiting.run;
  }

  /** The schedule was dropped. */
  removeSchedule(scheduleId: number): OpenRun[] {
    this.#mark?.droppedSchedules.add(scheduleId);
    const runs: OpenRun[] = [];
    for (let waiting = this.#bySchedule.get(scheduleId); waiting !== undefined; waiting = this.#bySchedule.get(scheduleId)) {
      this.#forget(waiting);
      this.#settle(waiting.group);
      runs.push(waiting.run);
    }
    return runs.reverse();
  }

  /** Whether it waits in memory. */
  has(runId: string): boolean {
    return this.#waiting.has(runId);
  }

  /** Of what is in memory. */
  counts(): { queues: Map<string, QueueCounts>; active: number; workers: number } {
    const queues = new Map<string, QueueCounts>();
    for (const { name, pending, active, scheduled } of this.#queues.values()) queues.set(name, { pending, active, scheduled });
    return { queues, active: this.#busy, workers: this.#workers };
  }

  #newWaiting(run: OpenRun): Waiting {
    return {
      run,
      queue: this.#queueOf(run.queue),
      group: this.#groupOf(run),
      priority: classOf[run.priority],
      since: waitsSince(run),
      rank: 0,
      risesAt: Number.POSITIVE_INFINITY,
      asleep: run.notBefore !== null && run.notBefore > this.#now,
      needs: this.#readNeeds(run),
      waits: false,
      waitedFor: null,
      arrival: 0,
      places: [-1, -1, -1, -1],
      nextOfSchedule: undefined,
      previousOfSchedule: undefined,
    };
  }

  #keep(waiting: Waiting): void {
    const { run, queue, group } = waiting;
    waiting.waits = true;
    this.#arrivals += 1;
    waiting.arrival = this.#arrivals;
    this.#waiting.set(run.runId, waiting);
    if (run.scheduleId !== null) {
      const first = this.#bySchedule.get(run.scheduleId);
      waiting.nextOfSchedule = first;
      if (first !== undefined) first.previousOfSchedule = waiting;
      this.#bySchedule.set(run.scheduleId, waiting);
    }
    if (group !== undefined) group.members += 1;
    if (waiting.asleep) {
      queue.scheduled += 1;
      this.#sleeping.push(waiting);
      // Where one runs at a time, the others stand behind a retry that sleeps.
      if (group !== undefined && run.group?.limit === 1) group.line.push(waiting);
      return;
    }
    queue.pending += 1;
    if (this.#unasked.length > 2 * this.#mostKept) this.#unasked = this.#unasked.filter((each) => each.waits);
    this.#unasked.push(waiting);
    if (group === undefined) this.#offer(waiting);
    else group.line.push(waiting);
  }

  /** Whoever calls this settles the group. */
  #forget(waiting: Waiting): void {
    const { run, queue, group } = waiting;
    waiting.waits = false;
    this.#waiting.delete(run.runId);
    if (run.scheduleId !== null) {
      const { nextOfSchedule: next, previousOfSchedule: previous } = waiting;
      if (next !== undefined) next.previousOfSchedule = previous;
      if (previous !== undefined) previous.nextOfSchedule = next;
      else if (next !== undefined) this.#bySchedule.set(run.scheduleId, next);
      else this.#bySchedule.delete(run.scheduleId);
      waiting.nextOfSchedule = undefined;
      waiting.previousOfSchedule = undefined;
    }
    if (waiting.asleep) {
      queue.scheduled -= 1;
      this.#sleeping.remove(waiting);
    } else {
      queue.pending -= 1;
      this.#withdraw(waiting);
    }
    if (group === undefined) return;
    group.members -= 1;
    group.line.remove(waiting);
    if (group.offered === waiting) group.offered = undefined;
  }

  #wake(now: Instant): void {
    for (let first = this.#sleeping.first; first !== undefined; first = this.#sleeping.first) {
      const { run, queue, group } = first;
      if ((run.notBefore ?? now) > now) return;
      this.#sleeping.remove(first);
      first.asleep = false;
      first.since = Math.max(run.openedAt, run.notBefore ?? run.openedAt);
      queue.scheduled -= 1;
      queue.pending += 1;
      this.#unasked.push(first);
      if (group === undefined) {
        this.#offer(first);
        continue;
      }
      if (!group.line.holds(first)) group.line.push(first);
      this.#settle(group);
      if (group.offered !== first) first.since = Number.POSITIVE_INFINITY;
    }
  }

  /** Asked once of each run, when a take has left it waiting: the first thing that kept it. */
  #askWhy(now: Instant, ofAll: string | undefined): void {
    if (this.#unasked.length === 0) return;
    const reasons = new Map<Queue, string | null>();
    for (const queue of this.#queues.values()) reasons.set(queue, holdsBack(queue, now) ?? ofAll ?? null);
    const unanswered: Waiting[] = [];
    for (const waiting of this.#unasked) {
      if (!waiting.waits || waiting.waitedFor !== null) continue;
      const { queue, group } = waiting;
      const isFirst = group === undefined || group.offered === waiting;
      const ofQueue = isFirst ? (reasons.get(queue) ?? null) : 'the run before it';
      waiting.waitedFor = ofQueue ?? this.#lack(waiting) ?? null;
      if (ofQueue !== null) queue.waitedFor = ofQueue;
      // Whom only the caller refused is asked again.
      if (waiting.waitedFor === null) unanswered.push(waiting);
    }
    this.#unasked = unanswered;
  }

  /** Workers that are. */
  get #busy(): number {
    return this.#atWork.size - Math.min(this.#ending, this.#workers);
  }

  get #whyBusy(): string | undefined {
    return this.#busy >= this.#workers ? `workers: ${this.#busy} of ${this.#workers} busy` : undefined;
  }

  // ---- Turns within a queue ----

  #offer(waiting: Waiting): void {
    if (waiting.since === Number.POSITIVE_INFINITY) this.#letThrough.push(waiting);
    rankAt(waiting, this.#now);
    waiting.queue.ready.push(waiting);
    if (waiting.risesAt < Number.POSITIVE_INFINITY) this.#rising.push(waiting);
  }

  #withdraw(waiting: Waiting): void {
    waiting.queue.ready.remove(waiting);
    this.#rising.remove(waiting);
  }

  #rank(waiting: Waiting, now: Instant): void {
    rankAt(waiting, now);
    waiting.queue.ready.reorder(waiting);
    if (waiting.risesAt === Number.POSITIVE_INFINITY) this.#rising.remove(waiting);
    else if (this.#rising.holds(waiting)) this.#rising.reorder(waiting);
    else this.#rising.push(waiting);
  }

  #age(now: Instant): void {
    for (const waiting of this.#letThrough) {
      if (waiting.since < Number.POSITIVE_INFINITY) continue;
      if (!waiting.queue.ready.holds(waiting)) continue;
      waiting.since = Math.max(waiting.run.openedAt, waiting.run.notBefore ?? now, now);
      this.#rank(waiting, now);
    }
    this.#letThrough = [];
    for (let first = this.#rising.first; first !== undefined && first.risesAt <= now; first = this.#rising.first) this.#rank(first, now);
  }

  #observe(now: Instant): void {
    if (now < this.#now - risesAfterMs) {
      // The clock was set back: what counts from a time that is to come again would not grow older until then.
      for (const waiting of this.#waiting.values()) {
        if (waiting.since <= now || waiting.since === Number.POSITIVE_INFINITY) continue;
        waiting.since = now;
        if (waiting.queue.ready.holds(waiting)) this.#rank(waiting, now);
      }
    }
    if (now < this.#latestStart) {
      // Likewise, starts that are to come would stop their queue until then.
      for (const { starts } of this.#queues.values())
        for (let index = starts.length - 1; index >= 0 && (starts[index] ?? now) > now; index--) starts[index] = now;
      this.#latestStart = now;
    }
    this.#now = now;
    this.#askedAt = now;
  }

  // ---- Groups ----

  #groupOf({ group }: OpenRun): Group | undefined {
    if (group === null) return undefined;
    const known = this.#groups.get(group.key);
    if (known !== undefined) return known;
    const line = new Heap(inGroupOrder, place.line);
    const added: Group = {
      key: group.key,
      line,
      members: 0,
      active: 0,
      offered: undefined,
      spilledFrom: undefined,
      isCapped: false,
      low: 0,
    };
    this.#groups.set(group.key, added);
    return added;
  }

  /** After each change of a group: its first is offered if it may start, and nobody else. */
  #settle(group: Group | undefined): void {
    if (group === undefined) return;
    const { line, spilledFrom } = group;
    if (group.isCapped && line.size <= group.low) this.#groupRunsLow = true;
    if (group.members === 0 && group.active === 0 && !group.isCapped) {
      this.#groups.delete(group.key);
      return;
    }
    const first = line.first;
    const mayStart =
      first !== undefined &&
      !first.asleep &&
      group.active < (first.run.group?.limit ?? 1) &&
      (spilledFrom === undefined || groupOrder(first.run, spilledFrom) <= 0);
    const offered = mayStart ? first : undefined;
    if (offered === group.offered) return;
    if (group.offered !== undefined) this.#withdraw(group.offered);
    group.offered = offered;
    if (offered !== undefined) this.#offer(offered);
  }

  // ---- The window on the table ----

  /** The table has open runs that memory does not. */
  get spilled(): boolean {
    return this.#spilled;
  }

  /** The table has more, and memory runs low, or a sleeper that was forgotten is due. */
  wantsRefill(now: Instant): boolean {
    if (!this.#spilled) return false;
    this.#askedAt = now;
    this.#refilledAt ??= now;
    const sinceMs = now - this.#refilledAt;
    if (this.#wakes.earliest <= now || Math.abs(sinceMs) >= rereadMs) return true;
    return this.#pausesMs().some((pauseMs) => sinceMs < 0 || sinceMs >= pauseMs);
  }

  /** From here on it is remembered what comes and goes, until the refill. A mark that is older is void, and so is its refill. */
  beginRefill(): RefillMark {
    // The table's first rows are, before all, those at work.
    let ofOneGroup = 0;
    for (const { group } of this.#atWork.values()) ofOneGroup = Math.max(ofOneGroup, group?.active ?? 0);
    this.#mark = {
      limit: Math.max(1, Math.floor(this.#mostKept / 2)) + this.#atWork.size,
      perGroup: this.#perGroup + ofOneGroup,
      arrivals: this.#arrivals,
      asOf: this.#askedAt,
      ended: new Set(),
      droppedSchedules: new Set(),
      refused: new Map(),
      spilledFrom: new Map(),
      capped: new Set(),
    };
    return this.#mark;
  }

  /**
   * Replaces what waits by the table's first rows, of each group its first, and what was added since the mark. Sleepers stay,
   * listed or not. Nothing comes back that was removed, or taken and ended, since; `complete`: the table has no others.
   *
   * Queues should take turns in the rows (the first of each, the second of each ..): then none is shut out, and it is seen which
   * of them have no others.
   */
  refill(mark: RefillMark, rows: readonly OpenRun[], complete: boolean): void {
    const since = this.#mark;
    if (since === undefined || mark !== since) return;
    this.#mark = undefined;
    const answer = this.#read(rows, since, complete);
    this.#forgetUnlisted(answer, since);
    const added = this.#keepListed(rows, answer, since);
    this.#wakes.dropThrough(since.asOf);
    this.#groupRunsLow = false;
    for (const group of this.#groups.values()) {
      // A sleeper is in no answer, and holds those behind it all the same.
      if (group.spilledFrom !== undefined && (group.spilledFrom.notBefore ?? since.asOf) > since.asOf)
        setBound(answer.bounds, group.key, group.spilledFrom);
      group.spilledFrom = answer.bounds.get(group.key);
      group.isCapped = since.capped.has(group.key);
      group.low = group.line.size >> 2;
      this.#settle(group);
    }
    for (const waiting of added)
      if (waiting.group !== undefined && waiting.group.offered !== waiting) waiting.since = Number.POSITIVE_INFINITY;
    let hasMore = !complete || answer.bounds.size > 0 || this.#wakes.earliest < Number.POSITIVE_INFINITY;
    for (const [queue, part] of answer.queues) {
      if (part.isWhole) queue.isCut = false;
      else if (part.news > 0 || part.forgotten !== undefined) queue.isCut = true;
      queue.horizon = queue.isCut ? moreUrgent(part.last ?? queue.horizon, part.forgotten, this.#now) : undefined;
      const refused = since.refused.get(queue);
      if (
        refused !== undefined &&
        (refused.runIds.length > mostRefusedKnown || !refused.runIds.every((runId) => this.#isKnown(runId, since)))
      ) {
        queue.isCut = true;
        queue.horizon = moreUrgent(queue.horizon, refused.first, this.#now);
      }
      queue.low = queue.ready.size >> 2;
      hasMore ||= queue.isCut;
    }
    this.#spilled = hasMore;
    if (this.#waiting.size > this.#mostKept) this.#makeRoom();
    this.#refilledAt = this.#askedAt > Number.NEGATIVE_INFINITY ? this.#askedAt : undefined;
    for (const queue of this.#queues.values()) queue.pauseMs = isShort(queue) ? longerPause(queue.pauseMs) : 0;
    this.#groupPauseMs = this.#groupRunsLow ? longerPause(this.#groupPauseMs) : 0;
    this.#choosePerGroup(rows.length, mark.limit);
  }

  /** What the answer says of each queue, and up to where of each group. */
  #read(rows: readonly OpenRun[], since: Mark, complete: boolean): Answer {
    const queues = new Map<Queue, PartOfQueue>();
    const partOf = (queue: Queue): PartOfQueue => {
      const known = queues.get(queue);
      if (known !== undefined) return known;
      const part: PartOfQueue = { isWhole: complete, rows: 0, news: 0, last: undefined, forgotten: undefined };
      queues.set(queue, part);
      return part;
    };
    for (const queue of this.#queues.values()) partOf(queue);
    const listed = new Set<string>();
    const groups = new Map<string, { rows: number; last: OpenRun }>();
    let mostRows = 0;
    let takeTurns = true;
    for (const row of rows) {
      listed.add(row.runId);
      const part = partOf(this.#queueOf(row.queue));
      part.rows += 1;
      if (part.rows < mostRows) takeTurns = false;
      mostRows = Math.max(mostRows, part.rows);
      if (row.group === null) continue;
      const group = groups.get(row.group.key);
      if (group === undefined) groups.set(row.group.key, { rows: 1, last: row });
      else {
        group.rows += 1;
        if (groupOrder(row, group.last) > 0) group.last = row;
      }
    }
    // An answer without any of a queue may have been full before it came to it.
    if (takeTurns) for (const part of queues.values()) part.isWhole ||= part.rows > 0 && part.rows < mostRows - 1;
    const bounds = new Map(since.spilledFrom);
    const fullGroup = Math.min(since.perGroup, this.#usualPerGroup);
    for (const [key, group] of groups) {
      if (group.rows < fullGroup) continue;
      since.capped.add(key);
      setBound(bounds, key, group.last);
    }
    return { complete, queues, listed, bounds };
  }

  #forgetUnlisted({ complete, queues, listed, bounds }: Answer, since: Mark): void {
    for (const waiting of this.#waiting.values()) {
      const { run, queue, group } = waiting;
      if (waiting.arrival > since.arrivals || run.notBefore !== null || listed.has(run.runId)) continue;
      const part = queues.get(queue);
      if (part === undefined || (part.rows === 0 && !part.isWhole)) continue;
      this.#forget(waiting);
      if (complete) continue;
      if (!part.isWhole) part.forgotten = moreUrgent(part.forgotten, waiting, this.#now);
      if (group !== undefined) setBound(bounds, group.key, run);
    }
  }

  /** Answers those that are new. */
  #keepListed(rows: readonly OpenRun[], { queues }: Answer, since: Mark): Waiting[] {
    const added: Waiting[] = [];
    for (const row of rows) {
      const waiting = this.#waiting.get(row.runId) ?? this.#newWaiting(row);
      const part = queues.get(waiting.queue);
      if (part === undefined) continue;
      part.last = lessUrgent(part.last, waiting, this.#now);
      if (waiting.waits || this.#isKnown(row.runId, since)) continue;
      if (row.scheduleId !== null && since.droppedSchedules.has(row.scheduleId)) continue;
      part.news += 1;
      waiting.waitedFor = waiting.queue.waitedFor;
      this.#keep(waiting);
      added.push(waiting);
    }
    return added;
  }

  /** It waits in memory, is at work, or has ended since. */
  #isKnown(runId: string, since: Mark): boolean {
    return this.#waiting.has(runId) || this.#atWork.has(runId) || since.ended.has(runId);
  }

  /** How deep to look into each group the next time. */
  #choosePerGroup(rows: number, limit: number): void {
    let ready = 0;
    for (const queue of this.#queues.values()) ready += queue.ready.size;
    if (rows >= limit && ready < rows >> 4 && this.#perGroup > 1) {
      // Memory is full of runs that stand behind others: fewer of each group, and more groups, soon.
      this.#perGroup = Math.max(1, this.#perGroup >> 2);
      this.#groupRunsLow = true;
      this.#groupPauseMs = shortestPauseMs;
    } else if (rows < limit >> 1) this.#perGroup = Math.min(limit, this.#perGroup * 2);
    else if (this.#perGroup > this.#usualPerGroup) this.#perGroup = this.#usualPerGroup;
  }

  get #usualPerGroup(): number {
    return Math.max(1, Math.ceil(this.#mostPerGroup / 2));
  }

  /** Of all that memory has too little of: how long to wait after the last refill. */
  #pausesMs(): number[] {
    const pauses = this.#groupRunsLow ? [this.#groupPauseMs] : [];
    for (const queue of this.#queues.values()) if (isShort(queue)) pauses.push(queue.pauseMs);
    return pauses;
  }

  #remember(endedRunId: string): void {
    const mark = this.#mark;
    if (mark === undefined) return;
    mark.ended.add(endedRunId);
    // Whoever began that refill never came back, or far too late.
    if (mark.ended.size > 4 * this.#mostKept + 1000) this.#mark = undefined;
  }

  /** No: it would stand behind what only the table holds. */
  #fits(waiting: Waiting): boolean {
    const { run, queue, group } = waiting;
    if (group !== undefined && (!waiting.asleep || run.group?.limit === 1)) {
      if (group.spilledFrom !== undefined && groupOrder(run, group.spilledFrom) > 0) {
        if (group.isCapped) this.#mark?.capped.add(group.key);
        this.#spill(waiting);
        return false;
      }
      if (group.line.size >= this.#mostPerGroup) {
        let last = waiting;
        for (const member of group.line.items) if (groupOrder(member.run, last.run) > 0) last = member;
        if (!group.isCapped) group.low = group.line.size >> 2;
        group.isCapped = true;
        this.#mark?.capped.add(group.key);
        if (last !== waiting) this.#forget(last);
        this.#spill(last);
        if (last === waiting) return false;
      }
    }
    if (waiting.asleep || queue.horizon === undefined || urgency(waiting, queue.horizon, this.#now) < 0) return true;
    this.#spill(waiting);
    this.#cut(queue, waiting);
    return false;
  }

  #spill({ run, group, asleep }: Waiting): void {
    this.#spilled = true;
    if (asleep && run.notBefore !== null) this.#wakes.add(run.notBefore);
    if (group === undefined || (asleep && run.group?.limit !== 1)) return;
    if (group.spilledFrom === undefined || groupOrder(run, group.spilledFrom) < 0) group.spilledFrom = run;
    const since = this.#mark?.spilledFrom.get(group.key);
    // Noted for groups that stay in memory; of the others the horizon knows.
    if (group.members > 0 || group.isCapped)
      if (since === undefined || groupOrder(run, since) < 0) this.#mark?.spilledFrom.set(group.key, run);
  }

  #cut(queue: Queue, spilled: Waiting): void {
    queue.isCut = true;
    queue.horizon = moreUrgent(queue.horizon, spilled, this.#now);
    // There is news in the table now.
    queue.pauseMs = Math.min(queue.pauseMs, shortestPauseMs);
    const refused = this.#mark?.refused.get(queue);
    if (refused === undefined) {
      this.#mark?.refused.set(queue, { first: spilled, runIds: [spilled.run.runId] });
      return;
    }
    refused.first = moreUrgent(refused.first, spilled, this.#now) ?? spilled;
    if (refused.runIds.length <= mostRefusedKnown) refused.runIds.push(spilled.run.runId);
  }

  /** An eighth at a time, so that the sorting is shared by many. */
  #makeRoom(): void {
    while (this.#waiting.size > this.#mostKept) {
      if (this.#sleeping.size > this.#mostKept / 4) this.#pushOutSleepers();
      else this.#pushOutLeastUrgent();
    }
  }

  /** The longest sleepers; those last who have others behind them. */
  #pushOutSleepers(): void {
    const sleepers = [...this.#sleeping.items];
    const isAlone = ({ group }: Waiting): boolean => group === undefined || group.line.size <= 1;
    sleepers.sort(
      (one, other) => Number(isAlone(other)) - Number(isAlone(one)) || (other.run.notBefore ?? 0) - (one.run.notBefore ?? 0) || 0,
    );
    for (const waiting of sleepers.slice(0, Math.ceil(sleepers.length / 8))) this.#pushOut(waiting);
  }

  /** Of the queue that has most, so that none shuts out another. */
  #pushOutLeastUrgent(): void {
    let largest: Queue | undefined;
    for (const queue of this.#queues.values()) if (largest === undefined || queue.pending > largest.pending) largest = queue;
    if (largest === undefined) return;
    const members: Waiting[] = [];
    for (const waiting of this.#waiting.values()) {
      if (waiting.queue !== largest || waiting.asleep) continue;
      if (!largest.ready.holds(waiting)) rankAt(waiting, this.#now);
      members.push(waiting);
    }
    members.sort((one, other) => -byRank(one, other));
    for (const waiting of members.slice(0, Math.ceil(members.length / 8))) {
      this.#pushOut(waiting);
      this.#cut(largest, waiting);
    }
    largest.low = largest.ready.size >> 2;
  }

  #pushOut(waiting: Waiting): void {
    this.#forget(waiting);
    this.#spill(waiting);
    this.#settle(waiting.group);
  }

  #queueOf(name: string): Queue {
    const written = this.#queuesAsWritten.get(name);
    if (written !== undefined) return written;
    const key = nameKey(name);
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = {
        name,
        key,
        definition: undefined,
        turn: 0,
        pending: 0,
        scheduled: 0,
        active: 0,
        starts: [],
        ready: new Ready(),
        waitedFor: null,
        isCut: false,
        horizon: undefined,
        low: 0,
        pauseMs: 0,
      };
      this.#queues.set(key, queue);
    }
    if (this.#queuesAsWritten.size > 1000) this.#queuesAsWritten.clear();
    this.#queuesAsWritten.set(name, queue);
    return queue;
  }
}

interface AtWork {
  readonly queue: Queue;
  readonly group: Group | undefined;
  readonly needs: Needs;
  isEnding: boolean;
}

interface Waiting {
  readonly run: OpenRun;
  readonly queue: Queue;
  readonly group: Group | undefined;
  /** 0 is critical. */
  readonly priority: number;
  /** When its wait for a turn began; Infinity: it stands behind others of its group, or nobody has said yet. */
  since: Instant;
  /** The smallest is next in its queue. */
  rank: number;
  risesAt: Instant;
  /** Its notBefore is to come. */
  asleep: boolean;
  needs: Needs;
  /** In memory, and not at work. */
  waits: boolean;
  waitedFor: string | null;
  arrival: number;
  /** Where it stands in the heaps, -1 where it does not. */
  readonly places: [line: number, ready: number, rising: number, sleeping: number];
  nextOfSchedule: Waiting | undefined;
  previousOfSchedule: Waiting | undefined;
}

const place = { line: 0, ready: 1, rising: 2, sleeping: 3 } as const;

interface Group {
  readonly key: string;
  /** Those that may start in their turn, and, where one runs at a time, sleepers. */
  readonly line: Heap;
  /** All that wait in memory. */
  members: number;
  active: number;
  /** The one that stands in its queue's heap. */
  offered: Waiting | undefined;
  /** What comes after it is in the table only. */
  spilledFrom: OpenRun | undefined;
  /** The table has more because the group has many, not because memory is full: no horizon stands for them. */
  isCapped: boolean;
  /** At so few it is time to read on. */
  low: number;
}

interface Queue {
  /** As its definition writes it. */
  name: string;
  readonly key: string;
  definition: QueueDefinition | undefined;
  turn: number;
  pending: number;
  scheduled: number;
  active: number;
  /** The last starts, as many as the rate allows. */
  starts: Instant[];
  readonly ready: Ready;
  /** What last kept one of its runs: those that come from the table were kept by no less. */
  waitedFor: string | null;
  /** The table has more of it than memory. */
  isCut: boolean;
  /** The most urgent that is in the table only. */
  horizon: Waiting | undefined;
  /** At so few that are ready it is time to read on. */
  low: number;
  /** After a refill that did not help, before the next. */
  pauseMs: number;
}

interface Answer {
  readonly complete: boolean;
  readonly queues: Map<Queue, PartOfQueue>;
  readonly listed: ReadonlySet<string>;
  /** By group, from where on the table has more than memory. */
  readonly bounds: Map<string, OpenRun>;
}

interface PartOfQueue {
  /** The table has no others of this queue, but of groups. */
  isWhole: boolean;
  rows: number;
  news: number;
  last: Waiting | undefined;
  /** The most urgent that had to leave memory. */
  forgotten: Waiting | undefined;
}

interface Mark extends RefillMark {
  readonly arrivals: number;
  readonly asOf: Instant;
  readonly ended: Set<string>;
  readonly droppedSchedules: Set<number>;
  readonly refused: Map<Queue, { first: Waiting; readonly runIds: string[] }>;
  readonly spilledFrom: Map<string, OpenRun>;
  readonly capped: Set<string>;
}

const classOf: Readonly<Record<Priority, number>> = { critical: 0, high: 1, normal: 2, low: 3, background: 4 };

/** Instants end in the year 9999, below 2^48: seven classes of them are exact in a number. */
export const classSize = 2 ** 48;

/** The smaller, the more urgent, of a run whose turn is waited for since then. */
export function rankOf(run: OpenRun, since: Instant, now: Instant): number {
  const raised = classOf[run.priority] - risesOf(since, now);
  return raised < 0 ? since : (raised + 1) * classSize + run.scheduledAt;
}

const risesOf = (since: Instant, now: Instant): number => Math.max(0, Math.floor((now - since) / risesAfterMs));

/** From when on its turn is waited for. */
export const waitsSince = (run: OpenRun): Instant => Math.max(run.openedAt, run.notBefore ?? run.openedAt);

function rankAt(waiting: Waiting, now: Instant): void {
  const { run, priority, since } = waiting;
  const rises = risesOf(since, now);
  const raised = priority - rises;
  waiting.rank = rankOf(run, since, now);
  waiting.risesAt = raised < 0 || since === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : since + (rises + 1) * risesAfterMs;
}

function byRank(one: Waiting, other: Waiting): number {
  return one.rank - other.rank || groupOrder(one.run, other.run);
}

/** Nominal order. Run ids sort by time. */
export function groupOrder(one: OpenRun, other: OpenRun): number {
  if (one.scheduledAt !== other.scheduledAt) return one.scheduledAt - other.scheduledAt;
  if (one.attempt !== other.attempt) return one.attempt - other.attempt;
  return one.runId < other.runId ? -1 : one.runId > other.runId ? 1 : 0;
}

const inGroupOrder = (one: Waiting, other: Waiting): number => groupOrder(one.run, other.run);
const risesSooner = (one: Waiting, other: Waiting): number => one.risesAt - other.risesAt;
const wakesSooner = (one: Waiting, other: Waiting): number =>
  (one.run.notBefore ?? 0) - (other.run.notBefore ?? 0) || groupOrder(one.run, other.run);

/** Like byRank, for runs that stand in no heap. */
function urgency(one: Waiting, other: Waiting, now: Instant): number {
  for (const each of [one, other]) if (!each.queue.ready.holds(each)) rankAt(each, now);
  return byRank(one, other);
}

function setBound(bounds: Map<string, OpenRun>, key: string, run: OpenRun): void {
  const known = bounds.get(key);
  if (known === undefined || groupOrder(run, known) < 0) bounds.set(key, run);
}

function moreUrgent(one: Waiting | undefined, other: Waiting | undefined, now: Instant): Waiting | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return urgency(one, other, now) <= 0 ? one : other;
}

function lessUrgent(one: Waiting | undefined, other: Waiting, now: Instant): Waiting {
  return one === undefined || urgency(one, other, now) < 0 ? other : one;
}

function firstAccepted(lane: Heap, accept: Accept | undefined): Waiting | undefined {
  if (accept === undefined) return lane.first;
  let best: Waiting | undefined;
  for (const waiting of lane.items) {
    if (best !== undefined && byRank(best, waiting) < 0) continue;
    if (!accept(waiting.run)) continue;
    best = waiting;
    if (waiting === lane.first) break;
  }
  return best;
}

const weightOf = ({ definition }: Queue): number => definition?.weight ?? 1;
const isPaused = ({ definition }: Queue): boolean => definition?.paused === true;
const isFull = ({ definition, active }: Queue): boolean => definition?.concurrency != null && active >= definition.concurrency;
const longerPause = (pauseMs: number): number => Math.min(longestPauseMs, Math.max(shortestPauseMs, 2 * pauseMs));
const mayStart = (queue: Queue, now: Instant): boolean =>
  queue.ready.size > 0 && !isPaused(queue) && !isFull(queue) && rateOpensAt(queue) <= now;
const isShort = ({ isCut, ready, low }: Queue): boolean => isCut && ready.size <= low;

/** Of two whose turn it is. */
function goesFirst(one: Queue, other: Queue): boolean {
  const heavier = weightOf(one) - weightOf(other);
  return heavier > 0 || (heavier === 0 && one.key < other.key);
}

/** Why none of its runs may start, in words. */
function holdsBack(queue: Queue, now: Instant): string | null {
  const { name, active, definition } = queue;
  if (definition?.paused === true) return `queue ${name} is paused`;
  if (isFull(queue)) return `queue ${name}: ${active} of ${definition?.concurrency} busy`;
  if (definition?.rate == null || rateOpensAt(queue) <= now) return null;
  return `queue ${name}: ${definition.rate.count} per ${formatDuration(definition.rate.perMs)} started`;
}

/** When its rate allows the next start: any window of `perMs`, its end not included, holds `count` at most. */
function rateOpensAt({ definition, starts }: Queue): Instant {
  const rate = definition?.rate;
  if (rate == null) return Number.NEGATIVE_INFINITY;
  const first = starts[starts.length - rate.count];
  return first === undefined ? Number.NEGATIVE_INFINITY : first + rate.perMs;
}

function trimStarts(queue: Queue): void {
  const count = queue.definition?.rate?.count ?? 0;
  if (queue.starts.length > count) queue.starts = queue.starts.slice(queue.starts.length - count);
}

/** A binary heap whose members know their places, so that any of them can leave. */
class Heap {
  readonly items: Waiting[] = [];
  readonly #compare: (one: Waiting, other: Waiting) => number;
  readonly #place: 0 | 1 | 2 | 3;

  constructor(compare: (one: Waiting, other: Waiting) => number, ownPlace: 0 | 1 | 2 | 3) {
    this.#compare = compare;
    this.#place = ownPlace;
  }

  get size(): number {
    return this.items.length;
  }

  get first(): Waiting | undefined {
    return this.items[0];
  }

  holds(waiting: Waiting): boolean {
    return waiting.places[this.#place] >= 0;
  }

  push(waiting: Waiting): void {
    this.items.push(waiting);
    this.#rise(waiting, this.items.length - 1);
  }

  remove(waiting: Waiting): void {
    const at = waiting.places[this.#place];
    if (at < 0) return;
    waiting.places[this.#place] = -1;
    const last = this.items.pop();
    if (last === undefined || last === waiting) return;
    this.#rise(last, this.#sink(last, at));
  }

  /** Its order has changed. */
  reorder(waiting: Waiting): void {
    const at = waiting.places[this.#place];
    if (at >= 0) this.#rise(waiting, this.#sink(waiting, at));
  }

  #rise(waiting: Waiting, from: number): void {
    const { items } = this;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = items[above];
      if (parent === undefined || this.#compare(parent, waiting) <= 0) break;
      items[at] = parent;
      parent.places[this.#place] = at;
      at = above;
    }
    items[at] = waiting;
    waiting.places[this.#place] = at;
  }

  #sink(waiting: Waiting, from: number): number {
    const { items } = this;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      let child = items[below];
      if (child === undefined) break;
      const right = items[below + 1];
      if (right !== undefined && this.#compare(right, child) < 0) {
        child = right;
        below += 1;
      }
      if (this.#compare(waiting, child) <= 0) break;
      items[at] = child;
      child.places[this.#place] = at;
      at = below;
    }
    return at;
  }
}

/** What of a queue may start, in lanes: those of one lane need the same. */
class Ready {
  size = 0;
  readonly #lanes = new Map<Needs, Heap>();

  get lanes(): Iterable<Heap> {
    return this.#lanes.values();
  }

  holds(waiting: Waiting): boolean {
    return waiting.places[place.ready] >= 0;
  }

  push(waiting: Waiting): void {
    let lane = this.#lanes.get(waiting.needs);
    if (lane === undefined) {
      lane = new Heap(byRank, place.ready);
      this.#lanes.set(waiting.needs, lane);
    }
    lane.push(waiting);
    this.size += 1;
  }

  remove(waiting: Waiting): void {
    const lane = this.holds(waiting) ? this.#lanes.get(waiting.needs) : undefined;
    if (lane === undefined) return;
    lane.remove(waiting);
    this.size -= 1;
    if (lane.size === 0) this.#lanes.delete(waiting.needs);
  }

  /** Its order has changed. */
  reorder(waiting: Waiting): void {
    this.#lanes.get(waiting.needs)?.reorder(waiting);
  }
}

const mostWakes = 4096;

/** When sleepers that were forgotten are due: instants rounded up, the more coarsely the more they are. */
class Wakes {
  #gridMs = 250;
  #instants = new Set<Instant>();
  earliest: Instant = Number.POSITIVE_INFINITY;

  add(at: Instant): void {
    const instant = Math.ceil(at / this.#gridMs) * this.#gridMs;
    this.#instants.add(instant);
    this.earliest = Math.min(this.earliest, instant);
    if (this.#instants.size <= mostWakes) return;
    this.#gridMs *= 2;
    this.#rebuild([...this.#instants].map((each) => Math.ceil(each / this.#gridMs) * this.#gridMs));
  }

  /** The first that is later. */
  after(now: Instant): Instant {
    if (this.earliest > now) return this.earliest;
    let next = Number.POSITIVE_INFINITY;
    for (const instant of this.#instants) if (instant > now && instant < next) next = instant;
    return next;
  }

  dropThrough(asOf: Instant): void {
    if (this.earliest <= asOf) this.#rebuild([...this.#instants].filter((instant) => instant > asOf));
    if (this.#instants.size === 0) this.#gridMs = 250;
  }

  #rebuild(instants: readonly Instant[]): void {
    this.#instants = new Set(instants);
    this.earliest = instants.reduce((first, instant) => Math.min(first, instant), Number.POSITIVE_INFINITY);
  }
}
