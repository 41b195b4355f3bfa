// What must hold of a run's life: opened once, closed once, tried again as its policy says, counted, its effects there exactly once.

import { refusedClosing } from '../../src/scheduler/opening.ts';
import type { Write } from '../../src/scheduler/ports.ts';
import { type Closing, noCounters, type OpenRun } from '../../src/scheduler/run.ts';
import type { Policy } from '../../src/scheduler/schedule.ts';
import type { FollowerRules } from './followerRules.ts';
import { isAside, isClocked, type Model, type RunRecord, type ScheduleRecord } from './model.ts';
import { shownInstant } from './story.ts';
import { minute } from './world.ts';

/** So long a call of a slow ledger may take. */
const graceMs = 500;

export class RunRules {
  readonly #model: Model;
  readonly #followers: FollowerRules;
  readonly #asked = new Set<string>();

  constructor(model: Model, followers: FollowerRules) {
    this.#model = model;
    this.#followers = followers;
  }

  opened(run: OpenRun, writes: readonly Write[], inTick: boolean): void {
    this.#model.counts.opened += 1;
    this.#model.note(
      `open ${run.runId} ${run.schedule} ${run.trigger} ${shownInstant(run.scheduledAt)} attempt ${run.attempt}${run.notBefore === null ? '' : ` not before ${shownInstant(run.notBefore)}`}`,
    );
    this.#model.check(!this.#model.runs.has(run.runId), 'a run is opened once', () => run.runId);
    const previous = run.retryOf === null ? undefined : this.#model.runs.get(run.retryOf);
    const record: RunRecord = {
      run,
      first: previous?.first ?? previous,
      stage: 'open',
      closing: undefined,
      effects: 0,
      begunIn: undefined,
      lives: [],
      openedMs: this.#model.clock.monotonicMs(),
      executing: false,
      diedIn: undefined,
      next: undefined,
      replacedMs: Number.NaN,
      startedMs: Number.NaN,
      isBeside: false,
      counted: false,
    };
    this.#model.runs.set(run.runId, record);
    this.#model.open.add(record);
    if (run.attempt > 1) {
      this.#retried(record, writes);
      return;
    }
    if (run.scheduleId === null) return;
    const schedule = this.#model.schedule(run.scheduleId);
    this.#countAt(schedule, run, 1);
    if (isAside(run)) {
      this.#model.check(this.#asked.has(run.runId), 'runs by hand are asked for', () => run.runId);
      return;
    }
    // What is opened and replaced in one tick has a number, and no open row.
    const { known } = schedule;
    this.#model.check(
      run.fire !== null && run.fire > schedule.openedFires,
      'fires are counted',
      () => `${run.schedule}: ${run.fire} after ${schedule.openedFires}`,
    );
    schedule.openedFires = Math.max(schedule.openedFires, run.fire ?? 0);
    const maxRuns = known?.policy.maxRuns ?? Number.POSITIVE_INFINITY;
    this.#model.check(
      schedule.openedFires <= maxRuns,
      'max_runs is never exceeded',
      () => `${run.schedule}: ${schedule.openedFires} of ${maxRuns}`,
    );
    if (isClocked(run)) {
      const isReboot = !inTick && known?.timing?.cadences.some((cadence) => cadence.kind === 'reboot') === true;
      this.#model.check(
        inTick || isReboot,
        'the clock’s runs are opened by ticks',
        () => `${run.schedule} ${shownInstant(run.scheduledAt)}`,
      );
      const twice = (schedule.runsAt.get(run.scheduledAt) ?? 0) > 1 && this.#clockRunsAt(run) > 1;
      this.#model.check(!twice, 'no instant of the clock has two runs', () => `${run.schedule} ${shownInstant(run.scheduledAt)}`);
      if (inTick) this.#overlapAtOpening(schedule, run, writes);
    }
    if (run.trigger === 'after') {
      const ok = writes.some((write) => write.kind === 'useTokens');
      this.#model.check(ok, 'a follower is opened by tokens', () => `${run.schedule} ${run.runId}`);
      this.#overlapAtOpening(schedule, run, writes);
    }
  }

  #clockRunsAt({ scheduleId, scheduledAt }: OpenRun): number {
    let count = 0;
    for (const { run } of this.#model.runs.values()) {
      if (run.scheduleId === scheduleId && run.scheduledAt === scheduledAt && run.attempt === 1 && isClocked(run)) count += 1;
    }
    return count;
  }

  /** In the ledger itself, at this very instant. */
  #overlapAtOpening({ known }: ScheduleRecord, opened: OpenRun, writes: readonly Write[]): void {
    const overlap = known?.policy.overlap;
    if (known === undefined || overlap === 'allow' || overlap === undefined || opened.trigger === 'catchup') return;
    const closes = new Set(writes.flatMap((write) => (write.kind === 'close' ? [write.closing.run.runId] : [])));
    let live = 0;
    let catchup = 0;
    for (const record of this.#model.open) {
      const { run, stage } = record;
      if (run.scheduleId !== opened.scheduleId || run.runId === opened.runId || isAside(run) || stage !== 'open' || closes.has(run.runId))
        continue;
      if (overlap === 'replace') (record.first ?? record).replacedMs = this.#model.clock.monotonicMs();
      else if (run.trigger === 'catchup') catchup += 1;
      else live += 1;
    }
    const ok = overlap === 'queue' ? live <= known.policy.overlapLimit : live + catchup === 0;
    this.#model.check(
      ok,
      'overlap holds at every instant',
      () => `${opened.schedule} (${overlap}): ${live} live, ${catchup} catch-up runs are in flight`,
    );
  }

  #retried(record: RunRecord, writes: readonly Write[]): void {
    const { run } = record;
    this.#model.counts.retries += 1;
    const previous = run.retryOf === null ? undefined : this.#model.runs.get(run.retryOf);
    if (previous === undefined) {
      this.#model.violated('attempts are numbered without holes', `${run.runId} is attempt ${run.attempt} of nothing`);
      return;
    }
    const inOrder =
      previous.run.attempt + 1 === run.attempt && previous.run.rootRunId === run.rootRunId && previous.run.scheduledAt === run.scheduledAt;
    this.#model.check(
      inOrder,
      'attempts are numbered without holes',
      () => `${run.runId} is attempt ${run.attempt} after ${previous.run.attempt}`,
    );
    this.#model.check(
      previous.next === undefined,
      'an attempt has one next',
      () => `${previous.run.runId}: ${previous.next} and ${run.runId}`,
    );
    previous.next = run.runId;
    const closing = writes.find((write) => write.kind === 'close' && write.closing.run.runId === run.retryOf);
    if (closing?.kind !== 'close') {
      this.#model.violated('at most one attempt is open', `${run.runId} is opened beside ${run.retryOf}`);
      return;
    }
    this.#model.check(!closing.closing.final, 'what is final is not tried again', () => run.runId);
    if (run.scheduleId !== null && this.#model.clock.monotonicMs() - this.#model.schedule(run.scheduleId).changedMs < minute) return;
    if (this.#model.clock.monotonicMs() - this.#model.configuredMs < minute) return;
    const policy = this.#policyOf(run);
    if (policy === undefined || run.notBefore === null) {
      this.#model.violated('retries at the right time', `${run.runId} waits for nothing`);
      return;
    }
    const delay = this.#retryDelay(policy, run.attempt - 1);
    const waits = run.notBefore - closing.closing.finishedAt;
    const [least, most] = policy.retry.jitter ? [0.9 * delay, 1.1 * delay] : [delay, delay];
    const ok = waits >= least - 1 && waits <= most + 1;
    this.#model.check(ok, 'retries at the right time', () => `${run.runId} waits ${waits} ms, not ${least} to ${most}`);
  }

  /** What was read last still tells how its open runs are settled. */
  #policyOf({ scheduleId }: OpenRun): Policy | undefined {
    if (scheduleId === null) return undefined;
    const { known, settledBy } = this.#model.schedule(scheduleId);
    return (known ?? settledBy)?.policy;
  }

  #retryDelay({ retry }: Policy, failed: number): number {
    if (retry.delaysMs !== undefined) return retry.delaysMs[Math.min(failed, retry.delaysMs.length) - 1] ?? Number.NaN;
    const delay = retry.delayMs ?? this.#model.settings.retryDelayMs;
    const grown = { exponential: delay * 2 ** (failed - 1), linear: delay * failed, fixed: delay }[retry.backoff];
    return Math.min(grown, retry.maxDelayMs);
  }

  closed(closing: Closing, writes: readonly Write[]): void {
    const { run, state, reason, final } = closing;
    this.#model.counts.closed += 1;
    this.#model.note(`close ${run.runId} ${run.schedule} ${state}${final ? '' : ' (not final)'}${reason === null ? '' : `: ${reason}`}`);
    const record = this.#model.runs.get(run.runId);
    if (record === undefined || record.stage !== 'open') {
      this.#model.violated(
        'no state leaves the state machine',
        `${run.runId} is closed as ${state}, and was ${record?.stage ?? 'never open'}`,
      );
      return;
    }
    record.stage = 'closed';
    record.closing = closing;
    this.#model.open.delete(record);
    this.#model.suspects.delete(record);
    this.#model.check(
      !(state === 'succeeded' && run.exe === 'sql'),
      'effects and closing row commit together',
      () => `${run.runId} succeeded without its effects`,
    );
    const died = state !== 'interrupted' || !(reason ?? '').startsWith('process died') || record.diedIn !== undefined;
    this.#model.check(died, 'interrupted is what was interrupted', () => `${run.runId} was not running when its process ended`);
    this.#finished(closing, writes, () => this.#followers.giveExpected(closing, writes));
    const opensNext = writes.some((write) => write.kind === 'open' && write.run.retryOf === run.runId);
    this.#model.check(
      opensNext !== final,
      'a retry is not lost',
      () => `${run.runId} is ${final ? '' : 'not '}final and has ${opensNext ? 'a' : 'no'} next attempt`,
    );
    const expectsNext = this.#isTriedAgain(closing);
    const recently = run.scheduleId !== null && this.#model.clock.monotonicMs() - this.#model.schedule(run.scheduleId).changedMs < minute;
    this.#model.check(expectsNext === undefined || expectsNext === !final || recently, 'attempts are as many as the policy says', () => {
      return `${run.runId} attempt ${run.attempt} ${state} is ${final ? '' : 'not '}final`;
    });
  }

  /** undefined: hard to say. */
  #isTriedAgain({ run, state }: Closing): boolean | undefined {
    if (run.scheduleId === null) return false;
    const policy = this.#policyOf(run);
    if (policy === undefined) return false;
    if (state !== 'failed' && state !== 'timed_out' && state !== 'interrupted') return false;
    if (state === 'interrupted' && policy.onCrash === 'fail') return false;
    return run.attempt <= (policy.retry.maxRetries ?? this.#model.settings.maxRetries);
  }

  closedInside(closing: Closing, result: 'removed' | 'marked' | 'fenced'): void {
    const { run } = closing;
    const record = this.#model.runs.get(run.runId);
    this.#model.note(`${run.runId} ${run.schedule} commits inside: ${result}`);
    if (result === 'fenced') {
      this.#model.check(record === undefined || record.stage !== 'open', 'the fence holds back only what is closed', () => run.runId);
      return;
    }
    if (record === undefined || record.stage !== 'open') {
      this.#model.violated('no state leaves the state machine', `${run.runId} commits inside, and was ${record?.stage ?? 'never open'}`);
      return;
    }
    this.#model.counts.closed += 1;
    const { replacedMs } = record.first ?? record;
    this.#model.check(
      !(record.startedMs > replacedMs + graceMs),
      'what is replaced does not go on',
      () => `${run.runId} of ${run.schedule} succeeds`,
    );
    record.stage = result === 'marked' ? 'marked' : 'closed';
    record.closing = closing;
    record.effects += 1;
    this.#model.suspects.delete(record);
    if (result === 'removed') this.#model.open.delete(record);
    this.#finished(closing, [], () => {
      if (result === 'removed') this.#followers.giveExpected(closing, []);
    });
    if (run.scheduleId === null || !isClocked(run)) return;
    const { successes } = this.#model.schedule(run.scheduleId);
    this.#model.check(
      !successes.has(run.scheduledAt),
      'no instant of the clock runs twice',
      () => `${run.schedule} ${shownInstant(run.scheduledAt)}`,
    );
    successes.add(run.scheduledAt);
  }

  /** Its effects are there, although it was closed already. */
  unfenced(run: OpenRun): 'removed' {
    const record = this.#model.runs.get(run.runId);
    if (record !== undefined) record.effects += 1;
    return 'removed';
  }

  settled(runId: string, writes: readonly Write[]): void {
    const record = this.#model.runs.get(runId);
    this.#model.note(`settle ${runId}`);
    if (record?.stage !== 'marked' || record.closing === undefined) {
      this.#model.violated('a mark is settled once', `${runId} is ${record?.stage ?? 'unknown'}`);
      return;
    }
    record.stage = 'closed';
    this.#model.open.delete(record);
    this.#followers.giveExpected(record.closing, writes);
  }

  skipped(closing: Closing, writes: readonly Write[]): void {
    const { run, state, reason, stretch } = closing;
    this.#model.counts.skipped += 1;
    this.#model.note(
      `skip ${run.runId} ${run.schedule} ${run.trigger} ${shownInstant(run.scheduledAt)} ${state}: ${reason}${stretch === undefined ? '' : ` (${stretch.fires} since ${shownInstant(stretch.firstScheduledAt)})`}`,
    );
    this.#model.check(!this.#model.runs.has(run.runId), 'a run is opened once', () => run.runId);
    const ok = state === 'skipped' || (state === 'cancelled' && reason === 'replaced');
    this.#model.check(ok, 'no state leaves the state machine', () => `${run.runId} was never open and is ${state}`);
    this.#followers.giveExpected(closing, writes);
  }

  /** A run by hand is for the moment at which it was asked for, which is no instant of the clock's. */
  #countAt({ runsAt }: ScheduleRecord, { scheduledAt, trigger }: OpenRun, runs: 1 | -1): void {
    if (trigger !== 'manual' && trigger !== 'api') runsAt.set(scheduledAt, (runsAt.get(scheduledAt) ?? 0) + runs);
  }

  /** Streaks, and the end of too long ones. */
  #finished(closing: Closing, writes: readonly Write[], then: () => void): void {
    const { run, state, final } = closing;
    if (run.scheduleId !== null) {
      const schedule = this.#model.schedule(run.scheduleId);
      // What was refused was no run; a retry that is refused comes after one.
      if (state === 'skipped' && run.attempt === 1) this.#countAt(schedule, run, -1);
      if (final && run.trigger !== 'backfill') {
        const before = schedule.streak;
        if (state === 'succeeded') schedule.streak = 0;
        else if (state === 'failed' || state === 'timed_out' || state === 'interrupted') schedule.streak += 1;
        if (state === 'succeeded' && !this.#model.isBesideOthers(run)) schedule.tainted = false;
        const settling = schedule.known ?? schedule.settledBy;
        const limit = settling?.policy.disableAfterFailures ?? 0;
        const reached = limit > 0 && schedule.streak > before && schedule.streak % limit === 0 && settling?.enabled === true;
        const disables = writes.some((write) => write.kind === 'disable' && write.scheduleId === run.scheduleId);
        const clear =
          !schedule.tainted && settling?.policy.overlap !== 'allow' && this.#model.clock.monotonicMs() - schedule.changedMs > minute;
        this.#model.check(!clear || reached === disables, 'disable_after_failures', () => {
          return `${run.schedule}: ${schedule.streak} failures in a row of ${limit}, ${disables ? 'disabled' : 'not disabled'}`;
        });
      }
    }
    then();
  }

  disabled(scheduleId: number, reason: string, writes: readonly Write[]): void {
    const schedule = this.#model.schedule(scheduleId);
    this.#model.note(`disabled ${schedule.definition?.name}: ${reason}`);
    const closes = writes.some((write) => write.kind === 'close' && write.closing.run.scheduleId === scheduleId && write.closing.final);
    this.#model.check(closes, 'disable_after_failures', () => `${schedule.definition?.name} is disabled without a failure`);
    if (schedule.definition !== undefined) schedule.definition = { ...schedule.definition, enabled: false };
    if (schedule.known !== undefined) schedule.known = { ...schedule.known, enabled: false };
    if (schedule.settledBy !== undefined) schedule.settledBy = { ...schedule.settledBy, enabled: false };
    schedule.changedMs = this.#model.clock.monotonicMs();
    schedule.awaitsNews = true;
  }

  /** The scheduler has asked for these. */
  asked(runs: readonly OpenRun[]): void {
    for (const run of runs) this.#asked.add(run.runId);
  }

  /** It waited, and ended with its schedule. */
  droppedWith(run: OpenRun): void {
    const record = this.#model.runs.get(run.runId);
    if (record?.stage === 'open') this.closed(refusedClosing(run, 'cancelled', 'dropped', this.#model.clock.now(), noCounters), []);
  }
}
