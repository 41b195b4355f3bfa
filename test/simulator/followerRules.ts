// What must hold of followers: each final close gives its followers one token, and tokens open exactly what they should.

import { refusedOn } from '../../src/scheduler/cadence/cadence.ts';
import type { Token, Write } from '../../src/scheduler/ports.ts';
import type { Closing } from '../../src/scheduler/run.ts';
import type { Definition } from '../../src/scheduler/schedule.ts';
import { isPoisoned, isSuperseding, type Model, type ScheduleRecord, takes } from './model.ts';
import { shownInstant } from './story.ts';
import { minute } from './world.ts';

export class FollowerRules {
  readonly #model: Model;
  readonly #tokens = new Map<string, Token>();
  readonly #usedTokens = new Set<string>();
  readonly #tokenOf = new Set<string>();

  constructor(model: Model) {
    this.#model = model;
  }

  /** A final close puts a token on the edge to each follower. */
  giveExpected({ run, final, reason }: Closing, writes: readonly Write[]): void {
    if (run.scheduleId === null) return;
    const given = new Set(
      writes.flatMap((write) => (write.kind === 'token' && write.token.runId === run.runId ? [write.token.childId] : [])),
    );
    // What was superseded is of the past: a newer run of the same parents decides for whoever follows.
    const gives = final && run.trigger !== 'backfill' && !run.alone && reason?.startsWith('superseded') !== true;
    for (const child of this.#model.schedules.values()) {
      const follows =
        child.known?.enabled === true &&
        child.known.policy.after.includes(run.schedule) &&
        this.#model.schedule(run.scheduleId).known?.name === run.schedule;
      const recently = this.#model.clock.monotonicMs() - Math.max(child.changedMs, this.#model.schedule(run.scheduleId).changedMs) < minute;
      const isSpoiled = [child, this.#model.schedule(run.scheduleId)].some((one) => one.known === undefined && !one.isDropped);
      if (recently || isSpoiled || (follows && gives) === given.has(child.scheduleId) || this.#isInCircle(child)) continue;
      this.#model.violated(
        'each final close gives its followers one token',
        `${run.schedule} ${run.runId} ${given.has(child.scheduleId) ? 'gives one to' : 'gives none to'} ${child.known?.name}`,
      );
    }
  }

  #isInCircle(start: ScheduleRecord): boolean {
    const parentsOf = (record: ScheduleRecord): ScheduleRecord[] =>
      [...this.#model.schedules.values()].filter(
        (other) => other.known !== undefined && record.known?.policy.after.includes(other.known.name),
      );
    const seen = new Set<ScheduleRecord>();
    const queue = parentsOf(start);
    for (const record of queue) {
      if (record === start) return true;
      if (seen.has(record)) continue;
      seen.add(record);
      queue.push(...parentsOf(record));
    }
    return false;
  }

  given(token: Token, writes: readonly Write[]): void {
    this.#model.counts.tokens += 1;
    this.#model.note(`token ${token.tokenId} of ${token.runId} (${token.state}) to #${token.childId}`);
    const closing = writes.some(
      (write) =>
        (write.kind === 'settle' && write.runId === token.runId) ||
        ((write.kind === 'close' || write.kind === 'skip') && write.closing.run.runId === token.runId),
    );
    this.#model.check(closing, 'a token is given with the close that it tells of', () => token.tokenId);
    const key = `${token.childId} ${token.runId}`;
    this.#model.check(
      !this.#tokenOf.has(key),
      'each final close gives its followers one token',
      () => `${token.runId} gives two to #${token.childId}`,
    );
    this.#tokenOf.add(key);
    this.#tokens.set(token.tokenId, token);
  }

  used(tokenIds: readonly string[], writes: readonly Write[]): void {
    const tokens: Token[] = [];
    for (const tokenId of tokenIds) {
      const token = this.#tokens.get(tokenId);
      if (token === undefined || this.#usedTokens.has(tokenId)) this.#model.violated('a token is used once', tokenId);
      else tokens.push(token);
      this.#usedTokens.add(tokenId);
      this.#tokens.delete(tokenId);
    }
    this.#model.note(`uses tokens of ${tokens.map((token) => `${token.runId}@${shownInstant(token.scheduledAt)}`).join(', ')}`);
    const [first] = tokens;
    if (first === undefined) return;
    const child = this.#model.schedule(first.childId);
    const decided = writes.filter(
      (write) =>
        (write.kind === 'open' && write.run.trigger === 'after') ||
        (write.kind === 'skip' && write.closing.run.trigger === 'after' && !isSuperseding(write.closing)),
    );
    if (decided.length > 1) this.#model.violated('tokens decide one thing', `${child.known?.name}: ${decided.length} rows`);
    const { known } = child;
    if (known === undefined || this.#isInCircle(child)) return;
    const [decision] = decided;
    if (decision === undefined) this.#usedWithoutRow(child, tokens);
    else this.#joined(known, tokens, decision, writes);
  }

  /** Void ones, or the child's window or `max_runs` is over. */
  #usedWithoutRow(child: ScheduleRecord, tokens: readonly Token[]): void {
    const { known } = child;
    if (known === undefined || !known.enabled) return;
    const { timing, policy } = known;
    const newest = Math.max(...tokens.map((token) => token.scheduledAt));
    const outside = (timing?.starts !== undefined && newest < timing.starts) || (timing?.ends !== undefined && newest >= timing.ends);
    const spent = policy.maxRuns !== undefined && child.openedFires >= policy.maxRuns;
    const edges = new Set(tokens.map((token) => token.parentId)).size;
    const recently = this.#model.clock.monotonicMs() - child.changedMs < minute;
    const gone = tokens.every((token) => this.#model.schedule(token.parentId).definition === undefined);
    const ok = outside || spent || edges < policy.after.length || recently || gone;
    this.#model.check(
      ok,
      'a follower opens for exactly the right tokens',
      () => `${known.name} uses ${tokens.length} tokens and leaves no row`,
    );
  }

  #joined(child: Definition, tokens: readonly Token[], decision: Write, writes: readonly Write[]): void {
    const edges = new Map<number, Token[]>();
    for (const token of tokens) edges.set(token.parentId, [...(edges.get(token.parentId) ?? []), token]);
    const recently = this.#model.clock.monotonicMs() - this.#model.schedule(child.scheduleId).changedMs < minute;
    if (recently) return;
    const complete = edges.size === new Set(child.policy.after).size;
    this.#model.check(
      complete,
      'a follower opens for exactly the right tokens',
      () => `${child.name} has tokens of ${edges.size} of ${child.policy.after.length} parents`,
    );
    const times = [...edges.values()].map((of) => new Set(of.map((token) => token.scheduledAt)));
    const common = [...(times[0] ?? [])].filter((time) => times.every((of) => of.has(time)));
    const together = common.length > 0 ? Math.max(...common) : undefined;
    const taken = [...edges.values()].map((of) => {
      const candidates = together === undefined ? of : of.filter((token) => token.scheduledAt === together);
      return candidates.reduce((newest, token) => (token.scheduledAt >= newest.scheduledAt ? token : newest));
    });
    const scheduledAt = Math.max(...taken.map((token) => token.scheduledAt));
    const later = tokens.filter((token) => taken.every((used) => used.parentId !== token.parentId || token.scheduledAt > used.scheduledAt));
    this.#model.check(
      later.length === 0,
      'a follower opens for exactly the right tokens',
      () => `${child.name} uses up newer tokens than it opens for`,
    );
    const refused = taken.some((token) => !takes(child.policy.afterState, token.state));
    const row = decision.kind === 'open' ? decision.run : decision.kind === 'skip' ? decision.closing.run : undefined;
    const reason = decision.kind === 'skip' ? (decision.closing.reason ?? '') : '';
    this.#model.check(row?.scheduledAt === scheduledAt, 'a follower opens for exactly the right tokens', () => {
      return `${child.name} stands for ${shownInstant(row?.scheduledAt ?? 0)}, not ${shownInstant(scheduledAt)}`;
    });
    const { timing } = child;
    const isFree = timing !== undefined && refusedOn(timing, scheduledAt);
    const opens = decision.kind === 'open';
    const right = opens
      ? !refused && !isFree
      : refused
        ? reason.startsWith('after')
        : reason.startsWith('calendar')
          ? isFree
          : reason.startsWith('overlap');
    this.#model.check(
      right,
      'a follower opens for exactly the right tokens',
      () =>
        `${child.name} ${opens ? 'opens' : `is skipped (${reason})`}, after ${taken.map((token) => token.state).join(', ')} (${child.policy.afterState})`,
    );
    const older = tokens.filter((token) => taken.every((used) => used.parentId !== token.parentId || token.scheduledAt < used.scheduledAt));
    const superseding = writes.some((write) => write.kind === 'skip' && isSuperseding(write.closing));
    this.#model.check(
      superseding === older.length > 0,
      'tokens older than those used are one skipped row',
      () => `${child.name}: ${older.length} older`,
    );
  }

  leftTokens(): void {
    const waiting = new Map<number, Set<number>>();
    for (const { childId, parentId, tokenId } of this.#tokens.values()) {
      const child = this.#model.schedule(childId);
      const parent = this.#model.schedule(parentId);
      const isUnreadable = [child, parent].some(({ definition, isDropped }) => definition === undefined && !isDropped);
      const belongs = isUnreadable || (parent.definition !== undefined && child.definition?.policy.after.includes(parent.definition.name));
      this.#model.check(
        belongs === true,
        'every token is used, superseded or waiting',
        () => `${tokenId} to #${childId} belongs to no edge`,
      );
      waiting.set(childId, (waiting.get(childId) ?? new Set()).add(parentId));
    }
    for (const [childId, parents] of waiting) {
      const { definition } = this.#model.schedule(childId);
      if (definition === undefined || isPoisoned(definition)) continue;
      // Of a parent that cannot be read it waits for the repair.
      const names = new Set(this.#model.definitions.map(({ name }) => name));
      const ok = parents.size < new Set(definition.policy.after).size || definition.policy.after.some((name) => !names.has(name));
      this.#model.check(
        ok,
        'every token is used, superseded or waiting',
        () => `${definition.name} has one of every parent, and does not open`,
      );
    }
  }
}
