// The door of the clean model beside the real scheduler: it hears of every transaction at the moment at which it has become true, of
// every run that begins and ends, of every statement, and hands each to the rules that hold for it. It has no opinion on how the
// scheduler works, only on what must be true.

import { compile } from '../../src/scheduler/cadence/cadence.ts';
import type { Scheduler } from '../../src/scheduler/loop.ts';
import type { Changes, LedgerState, Tick, Write } from '../../src/scheduler/ports.ts';
import type { OpenRun } from '../../src/scheduler/run.ts';
import type { Definition, Policy } from '../../src/scheduler/schedule.ts';
import { FollowerRules } from './followerRules.ts';
import { isAside, Model, type ModelOptions, type RunRecord } from './model.ts';
import { RunRules } from './runRules.ts';
import type { Statement } from './store.ts';
import { shownStatement } from './story.ts';
import { TickRules } from './tickRules.ts';
import { WorkRules } from './workRules.ts';

export class Journal {
  readonly #model: Model;
  readonly ticks: TickRules;
  readonly runs: RunRules;
  readonly work: WorkRules;
  readonly #followers: FollowerRules;

  constructor(options: ModelOptions) {
    this.#model = new Model(options);
    this.ticks = new TickRules(this.#model);
    this.#followers = new FollowerRules(this.#model);
    this.runs = new RunRules(this.#model, this.#followers);
    this.work = new WorkRules(this.#model);
  }

  get violations(): Model['violations'] {
    return this.#model.violations;
  }

  get lines(): readonly string[] {
    return this.#model.lines;
  }

  get counts(): Model['counts'] {
    return this.#model.counts;
  }

  note(text: string): void {
    this.#model.note(text);
  }

  get openRuns(): readonly OpenRun[] {
    return [...this.#model.open].map(({ run }) => run);
  }

  get executing(): readonly OpenRun[] {
    return [...this.#model.executing].map(({ run }) => run);
  }

  policyOf(scheduleId: number | null): Policy | undefined {
    return scheduleId === null ? undefined : this.#model.schedules.get(scheduleId)?.known?.policy;
  }

  /** As the ledger has them. */
  get definitions(): readonly Definition[] {
    return this.#model.definitions;
  }

  jumped(ms: number): void {
    this.#model.note(`the clock is set ${ms > 0 ? 'forward' : 'back'} by ${Math.abs(ms) / 1000} s`);
    this.#model.jumpedMs = this.#model.clock.monotonicMs();
  }

  /** How far time is handled in a store that was there before. */
  startsAt(tick: Tick): void {
    this.#model.tick = tick;
  }

  /** A statement has become true. */
  stated(statement: Statement): void {
    this.#model.statements += 1;
    const boundaryAt = this.#model.boundaryAt;
    this.#model.boundaryAt = undefined;
    this.#model.note(`statement: ${shownStatement(statement)}`);
    if (statement.kind === 'pause') {
      this.#model.isPaused = statement.at !== null;
      this.#model.pausedAt = statement.at ?? Number.POSITIVE_INFINITY;
      // Paused time is neither missed nor a row.
      if (statement.at === null && boundaryAt !== undefined)
        for (const schedule of this.#model.schedules.values()) schedule.since = Math.max(schedule.since, boundaryAt);
    }
    if (statement.kind === 'define') {
      const schedule = this.#model.schedule(statement.definition.scheduleId);
      schedule.definition = statement.definition;
      schedule.changedMs = this.#model.clock.monotonicMs();
      if (boundaryAt !== undefined) {
        if (!this.#model.isPaused) this.ticks.nothingLeft(schedule, boundaryAt);
        schedule.since = boundaryAt;
      }
    } else if (statement.kind === 'drop' || statement.kind === 'spoil') {
      const schedule = this.#model.schedule(statement.kind === 'drop' ? statement.scheduleId : statement.unreadable.scheduleId);
      schedule.definition = undefined;
      schedule.isDropped = statement.kind === 'drop';
      schedule.changedMs = this.#model.clock.monotonicMs();
    }
  }

  lifeBegins(number: number): void {
    this.#model.life = Math.floor(number);
    this.#model.counts.lives += 1;
    this.#model.read = -1;
    this.#model.isHeld = false;
    this.#model.note(`life ${number} begins`);
  }

  startsAgain(): void {
    this.#model.note('it starts again');
    this.#model.life += 0.001;
  }

  /** What the scheduler has read, just before it acts on it. */
  read(changes: Changes | LedgerState): void {
    this.#model.read = this.#model.statements;
    this.#model.settings = changes.settings;
    this.#model.queues = new Map(changes.queues.map((queue) => [queue.name, queue]));
    this.#model.configuredMs = this.#model.clock.monotonicMs();
    if ('tick' in changes) this.#loaded(changes);
    for (const change of changes.definitions) {
      const schedule = this.#model.schedule(change.kind === 'defined' ? change.definition.scheduleId : change.scheduleId);
      schedule.awaitsNews = false;
      if (change.kind === 'unreadable') schedule.settledBy = schedule.known ?? schedule.settledBy;
      if (change.kind === 'dropped') schedule.settledBy = undefined;
      schedule.known = change.kind === 'defined' ? change.definition : undefined;
      schedule.timing = undefined;
      try {
        if (schedule.known?.timing !== undefined) {
          const timing = compile(schedule.known.timing);
          timing.nextMs(this.#model.clock.now());
          schedule.timing = timing;
        }
      } catch {
        // Poisoned: it fires never, and disturbs nobody.
      }
    }
  }

  #loaded(state: LedgerState): void {
    this.#model.note(`the ledger is read: ${state.openRuns} open, ${state.marks.length} marks, ${state.tokens.length} tokens`);
    for (const schedule of this.#model.schedules.values()) {
      schedule.live = 0;
      schedule.catchup = 0;
      schedule.known = undefined;
      schedule.settledBy = undefined;
      schedule.timing = undefined;
    }
    for (const record of this.#model.runs.values()) record.counted = false;
    for (const record of this.#model.open) if (record.stage === 'open') this.#count(record, 1);
    this.#model.suspects.clear();
    this.#model.aloneUntilMs = Number.NEGATIVE_INFINITY;
    if (this.#model.lastBoot === 'start')
      for (const record of this.#model.open) if (record.stage === 'open') this.#model.suspects.add(record);
  }

  #count(attempt: RunRecord, by: 1 | -1): void {
    const record = attempt.first ?? attempt;
    const { run } = record;
    if (run.scheduleId === null || isAside(run) || record.counted === by > 0) return;
    record.counted = by > 0;
    const schedule = this.#model.schedule(run.scheduleId);
    if (run.trigger === 'catchup') schedule.catchup += by;
    else schedule.live += by;
    schedule.flightChangedMs = this.#model.clock.monotonicMs();
  }

  watch(scheduler: Scheduler, isAlive: () => boolean): void {
    scheduler.events.on('run:opened', (run) => {
      const record = this.#model.runs.get(run.runId);
      if (isAlive() && record !== undefined && record.closing === undefined) this.#count(record, 1);
    });
    scheduler.events.on('run:started', ({ run }) => {
      const record = this.#model.runs.get(run.runId);
      if (isAlive() && record !== undefined && this.#model.suspects.has(record))
        this.#model.aloneUntilMs = this.#model.clock.monotonicMs() + 5000;
    });
    scheduler.events.on('run:finished', ({ runId, final }) => {
      const record = this.#model.runs.get(runId);
      if (isAlive() && record !== undefined && final) this.#count(record, -1);
    });
    scheduler.events.on('schedule:disabled', ({ schedule }) => {
      for (const record of this.#model.schedules.values()) if (record.known?.name === schedule && isAlive()) record.awaitsNews = false;
    });
    scheduler.events.on('scheduler:paused', ({ held }) => {
      if (isAlive() && held) this.#model.isHeld = true;
    });
    scheduler.events.on('scheduler:started', () => {
      if (isAlive()) this.#model.isHeld = false;
    });
    if (!this.#model.isTraced) return;
    for (const name of [
      'scheduler:started',
      'scheduler:paused',
      'scheduler:resumed',
      'scheduler:stopped',
      'schedule:unreadable',
      'schedule:disabled',
      'clock:behind',
      'clock:believed',
      'ledger:trouble',
      'ledger:recovered',
      'storage:low',
      'storage:enough',
    ] as const) {
      scheduler.events.on(name, (detail) => {
        if (isAlive()) this.#model.note(`event ${name} ${JSON.stringify(detail)}`);
      });
    }
  }

  committed(writes: readonly Write[], tick: Tick | undefined): void {
    try {
      this.#committed(writes, tick);
    } catch (error) {
      this.#model.violated('the model itself is sound', String((error as Error).stack));
    }
  }

  #committed(writes: readonly Write[], tick: Tick | undefined): void {
    if (tick !== undefined) this.ticks.ticked(tick, writes);
    for (const write of writes) {
      switch (write.kind) {
        case 'open':
          this.runs.opened(write.run, writes, tick !== undefined);
          break;
        case 'close':
          this.runs.closed(write.closing, writes);
          break;
        case 'skip':
          this.runs.skipped(write.closing, writes);
          break;
        case 'settle':
          this.runs.settled(write.runId, writes);
          break;
        case 'token':
          this.#followers.given(write.token, writes);
          break;
        case 'useTokens':
          this.#followers.used(write.tokenIds, writes);
          break;
        case 'disable':
          this.runs.disabled(write.scheduleId, write.reason, writes);
          break;
        case 'begin': {
          const record = this.#model.runs.get(write.runId);
          const isDead = record?.begunIn !== undefined && record.begunIn === record.diedIn;
          this.#model.check(!isDead, 'what began durably is not begun again', () => `${write.runId} began in life ${record?.begunIn}`);
          if (record !== undefined) record.begunIn = this.#model.life;
          this.#model.note(`begun ${write.runId}`);
          break;
        }
        case 'boot':
          this.#model.lastBoot = write.event;
          if (write.event === 'start') this.#model.bootAt = write.at;
          this.#model.note(`boot ${write.event}`);
          break;
        case 'deadLetter':
        case 'log':
        case 'alert':
          break;
        default:
          write satisfies never;
      }
    }
  }

  /** Nothing fails any more, time went on, and everybody had his turn. */
  finally(): void {
    for (const { run, stage } of this.#model.open) {
      this.#model.violated(
        stage === 'marked' ? 'every mark is settled' : 'nothing stays open',
        `${run.runId} ${run.schedule} (${run.trigger}, attempt ${run.attempt}) is ${stage}`,
      );
    }
    for (const { run, effects, closing } of this.#model.runs.values()) {
      const ok = run.exe !== 'sql' || effects === (closing?.state === 'succeeded' ? 1 : 0);
      this.#model.check(
        ok,
        'effects are there exactly once',
        () => `${run.runId} is ${closing?.state}, and its effects are there ${effects} times`,
      );
    }
    this.#followers.leftTokens();
  }
}
