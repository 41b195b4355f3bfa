// What must hold of work: how many run at once, how often they start, who runs alone, and that a durable start comes first.

import type { QueueDefinition, Work } from '../../src/scheduler/ports.ts';
import type { OpenRun } from '../../src/scheduler/run.ts';
import { isAside, type Model, type RunRecord } from './model.ts';

/** Where looking at the clock takes time, the scheduler's runs ahead by so much. */
const lookingMs = 1000;

export class WorkRules {
  readonly #model: Model;
  readonly #starts = new Map<string, { readonly atMs: number; readonly record: RunRecord }[]>();

  constructor(model: Model) {
    this.#model = model;
  }

  started({ run }: Work): void {
    this.#model.counts.starts += 1;
    this.#model.note(`start ${run.runId} ${run.schedule}`);
    const record = this.#model.runs.get(run.runId);
    const nowMs = this.#model.clock.monotonicMs();
    if (record === undefined) {
      this.#model.violated('what runs is open', `${run.runId} was never opened`);
      return;
    }
    this.#model.check(!record.executing, 'a run runs once at a time', () => run.runId);
    const elsewhere = record.begunIn !== undefined && record.begunIn === record.diedIn;
    this.#model.check(!elsewhere, 'what began durably is not begun again', () => `${run.runId} began in life ${record.begunIn}`);
    // A clock that was set in between says nothing of how long it has waited.
    const leftMs = run.notBefore === null ? 0 : run.notBefore - this.#model.clock.now();
    const waitedMs = nowMs - record.openedMs;
    const early = leftMs > 0 && waitedMs < (run.notBefore ?? 0) - run.openedAt - 1;
    this.#model.check(!early, 'retries at the right time', () => `${run.runId} starts ${leftMs} ms early`);
    const isDropped =
      run.scheduleId !== null && this.#model.schedule(run.scheduleId).isDropped && this.#model.read === this.#model.statements;
    this.#model.check(!isDropped, 'what was dropped does not begin any more', () => `${run.runId} of ${run.schedule}`);
    record.isBeside = this.#model.isHeld && isAside(run) && run.group === null;
    const others = [...this.#model.executing];
    const inTurn = others.filter((other) => !other.isBeside);
    const settled = !record.isBeside && nowMs > this.#model.configuredMs;
    this.#model.check(
      inTurn.length < this.#model.settings.workers || !settled,
      'workers hold at every instant',
      () => `${inTurn.length + 1} of ${this.#model.settings.workers}`,
    );
    const queue = this.#model.queues.get(run.queue);
    const inQueue = inTurn.filter((other) => other.run.queue === run.queue).length;
    this.#model.check(
      inQueue < (queue?.concurrency ?? Number.POSITIVE_INFINITY) || !settled,
      'a queue’s concurrency holds at every instant',
      () => `${run.queue}: ${inQueue + 1} of ${queue?.concurrency}`,
    );
    this.#model.check(queue?.paused !== true || !settled, 'a paused queue keeps its runs', () => `${run.queue}: ${run.runId}`);
    const { group } = run;
    const inGroup = group === null ? 0 : others.filter((other) => other.run.group?.key === group.key).length;
    this.#model.check(
      group === null || inGroup < group.limit,
      'of a group only so many run at once',
      () => `${group?.key}: ${inGroup + 1}`,
    );
    this.#rate(record, queue, nowMs);
    if (this.#model.suspects.has(record)) {
      const ok = others.every((other) => !this.#model.suspects.has(other)) && record.begunIn === this.#model.life;
      this.#model.check(
        ok,
        'what was open at a crash runs one at a time, after a durable start',
        () => `${run.runId} beside ${others.length}`,
      );
    } else {
      const alone =
        nowMs < this.#model.aloneUntilMs - lookingMs && others.some((other) => this.#model.suspects.has(other) && other !== record);
      this.#model.check(!alone, 'what was open at a crash runs alone, after a durable start', () => `${run.runId} starts beside it`);
    }
    record.lives.push(this.#model.life);
    record.executing = true;
    record.startedMs = nowMs;
    this.#model.executing.add(record);
    if (run.scheduleId === null) return;
    const schedule = this.#model.schedule(run.scheduleId);
    schedule.executing += 1;
    if (this.#model.isBesideOthers(run)) schedule.tainted = true;
  }

  #rate(record: RunRecord, queue: QueueDefinition | undefined, nowMs: number): void {
    const starts = this.#starts.get(record.run.queue) ?? [];
    this.#starts.set(record.run.queue, starts);
    // What begins durably first was taken before: nobody sees when.
    if (record.begunIn === this.#model.life || record.isBeside) return;
    starts.push({ atMs: nowMs, record });
    const rate = queue?.rate ?? null;
    if (rate === null) return;
    const recent = starts.filter((start) => start.atMs > nowMs - rate.perMs + 1);
    const comparable = nowMs - this.#model.jumpedMs > rate.perMs && nowMs - this.#model.configuredMs > rate.perMs;
    this.#model.check(
      recent.length <= rate.count || !comparable,
      'a queue’s rate holds at every instant',
      () => `${record.run.queue}: ${recent.length} in ${rate.perMs} ms, of ${rate.count}`,
    );
  }

  /** Its durable start has been answered: now its effects outside begin. */
  begun(run: OpenRun): void {
    const record = this.#model.runs.get(run.runId);
    this.#model.check(
      record?.begunIn !== undefined || record?.stage !== 'open',
      'effects outside begin after a durable start',
      () => run.runId,
    );
  }

  ended(run: OpenRun): void {
    const record = this.#model.runs.get(run.runId);
    if (record === undefined || !record.executing) return;
    record.executing = false;
    this.#model.executing.delete(record);
    if (run.scheduleId !== null) this.#model.schedule(run.scheduleId).executing -= 1;
    this.#model.note(`end ${run.runId} ${run.schedule}`);
  }

  died(): void {
    this.#model.counts.deaths += 1;
    this.#model.note('the process is dead');
    // Who stopped in order before has let go of everything.
    for (const record of this.#model.lastBoot === 'stop' ? [] : this.#model.open) {
      // Until its end is durable it is at work, for whoever looks at the ledger.
      if (record.begunIn === this.#model.life || record.lives.at(-1) === this.#model.life) record.diedIn = this.#model.life;
    }
    for (const record of this.#model.executing) {
      record.executing = false;
      if (record.run.scheduleId !== null) this.#model.schedule(record.run.scheduleId).executing -= 1;
      // A start that left nothing durable is unknown to whoever comes next.
      if (record.begunIn === undefined) this.#forgetStart(record);
    }
    this.#model.executing.clear();
  }

  /** The scheduler has stopped; its process stays. */
  stopped(): void {
    for (const { run } of this.#model.executing) this.#model.violated('a stop leaves nothing running', run.runId);
  }

  /** It has stopped, in order. */
  left(): void {
    this.#model.note('the process has ended');
    for (const { run } of this.#model.executing) this.#model.violated('a stop leaves nothing running', run.runId);
    this.#model.executing.clear();
  }

  #forgetStart(record: RunRecord): void {
    const starts = this.#starts.get(record.run.queue) ?? [];
    const at = starts.findIndex((start) => start.record === record);
    if (at >= 0) starts.splice(at, 1);
  }
}
