// The clean model beside the real scheduler: it hears of every transaction at the moment at which it has become true, of every run
// that begins and ends, of every statement, and says at once where a promise is broken. It holds no opinion on how the scheduler
// works, only on what must be true; what a tick has to decide is in expectation.ts.

import { type CompiledTiming, compile, refusedOn } from '../../src/scheduler/cadence/cadence.ts';
import type { Scheduler } from '../../src/scheduler/loop.ts';
import { refusedClosing } from '../../src/scheduler/opening.ts';
import type { Changes, LedgerState, QueueDefinition, SchedulerSettings, Tick, Token, Work, Write } from '../../src/scheduler/ports.ts';
import { type Closing, noCounters, type OpenRun } from '../../src/scheduler/run.ts';
import type { Definition, Policy } from '../../src/scheduler/schedule.ts';
import type { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import { type Expected, expectedOf, through } from './expectation.ts';
import type { Statement } from './store.ts';
import { minute, type World } from './world.ts';

export interface Violation {
  readonly invariant: string;
  readonly message: string;
  readonly atMs: number;
}

interface RunRecord {
  readonly run: OpenRun;
  stage: 'open' | 'marked' | 'closed';
  closing: Closing | undefined;
  /** Its effects are there, committed with its closing row. */
  effects: number;
  /** In which life its durable start was written. */
  begunIn: number | undefined;
  /** In which lives it was executed. */
  readonly lives: number[];
  readonly openedMs: number;
  executing: boolean;
  /** Its process died while it ran. */
  diedIn: number | undefined;
  /** The next attempt. */
  next: string | undefined;
  /** A newer run has taken its place (overlap: replace). */
  replacedMs: number;
  startedMs: number;
  /** The first attempt, which stands for all in what is in flight. */
  readonly first: RunRecord | undefined;
  /** In flight as far as the scheduler of this life can know. */
  counted: boolean;
}

interface ScheduleRecord {
  readonly scheduleId: number;
  /** As the ledger has it; undefined: dropped or unreadable. */
  definition: Definition | undefined;
  isDropped: boolean;
  /** As this life has read it. */
  known: Definition | undefined;
  /** Known to this life before its row could no longer be read. */
  settledBy: Definition | undefined;
  timing: CompiledTiming | undefined;
  readonly runsAt: Map<number, number>;
  readonly successes: Set<number>;
  openedFires: number;
  live: number;
  catchup: number;
  flightChangedMs: number;
  executing: number;
  streak: number;
  /** Runs of it ran beside each other: who closed first is a matter of taste. */
  tainted: boolean;
  changedMs: number;
  /** Up to here an older definition has handled it. */
  since: number;
}

/** So long a call of a slow ledger may take. */
const graceMs = 500;

export interface JournalOptions {
  readonly world: World;
  readonly clock: () => VirtualClock;
  /** Every step as a readable line. */
  readonly trace: boolean;
}

export class Journal {
  readonly violations: Violation[] = [];
  readonly lines: string[] = [];
  readonly counts = { opened: 0, closed: 0, skipped: 0, ticks: 0, starts: 0, lives: 0, deaths: 0, tokens: 0, retries: 0, missed: 0 };
  readonly #clockNow: () => VirtualClock;
  readonly #trace: boolean;
  readonly #runs = new Map<string, RunRecord>();
  readonly #open = new Set<RunRecord>();
  readonly #schedules = new Map<number, ScheduleRecord>();
  readonly #executing = new Set<RunRecord>();
  readonly #tokens = new Map<string, Token>();
  readonly #usedTokens = new Set<string>();
  readonly #tokenOf = new Set<string>();
  readonly #asked = new Set<string>();
  readonly #starts = new Map<string, { readonly atMs: number; readonly record: RunRecord }[]>();
  readonly #suspects = new Set<RunRecord>();
  #aloneUntilMs = Number.NEGATIVE_INFINITY;
  #tick: Tick;
  #bootAt = Number.NEGATIVE_INFINITY;
  #lastBoot: 'start' | 'stop' | undefined;
  #queues: ReadonlyMap<string, QueueDefinition> = new Map();
  #settings: SchedulerSettings;
  #configuredMs = Number.NEGATIVE_INFINITY;
  #jumpedMs = Number.NEGATIVE_INFINITY;
  #life = 0;
  #boundaryAt: number | undefined;
  #isPaused = false;
  #pausedAt = Number.POSITIVE_INFINITY;
  /** Statements that have become true, and how many of them this life has read. */
  #statements = 0;
  #read = 0;

  constructor({ world, clock, trace }: JournalOptions) {
    this.#clockNow = clock;
    this.#trace = trace;
    this.#settings = world.settings;
    this.#tick = { seq: 0, watermark: world.startAt, partly: null, gap: null, replayUntil: null };
  }

  get #clock(): VirtualClock {
    return this.#clockNow();
  }

  // ---- What others ask ----

  get openRuns(): readonly OpenRun[] {
    return [...this.#open].map(({ run }) => run);
  }

  get executing(): readonly OpenRun[] {
    return [...this.#executing].map(({ run }) => run);
  }

  policyOf(scheduleId: number | null): Policy | undefined {
    return scheduleId === null ? undefined : this.#schedules.get(scheduleId)?.known?.policy;
  }

  /** As the ledger has them. */
  get definitions(): readonly Definition[] {
    return [...this.#schedules.values()].flatMap(({ definition }) => definition ?? []);
  }

  get tick(): Tick {
    return this.#tick;
  }

  note(text: string): void {
    if (this.#trace) this.lines.push(`${this.#when()}  ${text}`);
  }

  #when(): string {
    const ms = this.#clock.monotonicMs();
    const wall = new Date(this.#clock.now()).toISOString().replace('T', ' ').replace('Z', '');
    return `${(ms / 1000).toFixed(3).padStart(11)}s ${wall}`;
  }

  #violated(invariant: string, message: string): void {
    this.violations.push({ invariant, message, atMs: this.#clock.monotonicMs() });
    this.note(`VIOLATED ${invariant}: ${message}`);
  }

  #check(holds: boolean, invariant: string, message: () => string): void {
    if (!holds) this.#violated(invariant, message());
  }

  #schedule(scheduleId: number): ScheduleRecord {
    let schedule = this.#schedules.get(scheduleId);
    if (schedule === undefined) {
      schedule = {
        scheduleId,
        definition: undefined,
        isDropped: false,
        known: undefined,
        settledBy: undefined,
        timing: undefined,
        runsAt: new Map(),
        successes: new Set(),
        openedFires: 0,
        live: 0,
        catchup: 0,
        flightChangedMs: Number.NEGATIVE_INFINITY,
        executing: 0,
        streak: 0,
        tainted: false,
        changedMs: Number.NEGATIVE_INFINITY,
        since: Number.NEGATIVE_INFINITY,
      };
      this.#schedules.set(scheduleId, schedule);
    }
    return schedule;
  }

  // ---- What happens to the world ----

  jumped(ms: number): void {
    this.note(`the clock is set ${ms > 0 ? 'forward' : 'back'} by ${Math.abs(ms) / 1000} s`);
    this.#jumpedMs = this.#clock.monotonicMs();
  }

  /** How far time is handled in a store that was there before. */
  startsAt(tick: Tick): void {
    this.#tick = tick;
  }

  /** It waited, and ended with its schedule. */
  droppedWith(run: OpenRun): void {
    const record = this.#runs.get(run.runId);
    if (record?.stage === 'open') this.#closed(refusedClosing(run, 'cancelled', 'dropped', this.#clock.now(), noCounters), []);
  }

  /** Before the next statement, which was asked for at `askedAt`, time was handled up to here. */
  boundary(handledThrough: number, askedAt: number): void {
    this.#boundaryAt = handledThrough;
    const comparable = this.#clock.now() >= askedAt && this.#jumpedMs < this.#clock.monotonicMs() - minute;
    const ok = handledThrough >= askedAt || !comparable;
    this.#check(ok, 'definitions change at a tick’s boundary', () => `handled through ${shownInstant(handledThrough)}`);
  }

  /** A statement has become true. */
  stated(statement: Statement): void {
    this.#statements += 1;
    const boundaryAt = this.#boundaryAt;
    this.#boundaryAt = undefined;
    this.note(`statement: ${shownStatement(statement)}`);
    if (statement.kind === 'pause') {
      this.#isPaused = statement.at !== null;
      this.#pausedAt = statement.at ?? Number.POSITIVE_INFINITY;
      // Paused time is neither missed nor a row.
      if (statement.at === null && boundaryAt !== undefined)
        for (const schedule of this.#schedules.values()) schedule.since = Math.max(schedule.since, boundaryAt);
    }
    if (statement.kind === 'define') {
      const schedule = this.#schedule(statement.definition.scheduleId);
      schedule.definition = statement.definition;
      schedule.changedMs = this.#clock.monotonicMs();
      if (boundaryAt !== undefined) {
        if (!this.#isPaused) this.#nothingLeft(schedule, boundaryAt);
        schedule.since = boundaryAt;
      }
    } else if (statement.kind === 'drop' || statement.kind === 'spoil') {
      const schedule = this.#schedule(statement.kind === 'drop' ? statement.scheduleId : statement.unreadable.scheduleId);
      schedule.definition = undefined;
      schedule.isDropped = statement.kind === 'drop';
      schedule.changedMs = this.#clock.monotonicMs();
    }
  }

  /** The scheduler has asked for these. */
  asked(runs: readonly OpenRun[]): void {
    for (const run of runs) this.#asked.add(run.runId);
  }

  lifeBegins(number: number): void {
    this.#life = Math.floor(number);
    this.counts.lives += 1;
    this.#read = -1;
    this.note(`life ${number} begins`);
  }

  died(): void {
    this.counts.deaths += 1;
    this.note('the process is dead');
    for (const record of this.#open) {
      // Until its end is durable it is at work, for whoever looks at the ledger.
      if (record.begunIn === this.#life || record.lives.at(-1) === this.#life) record.diedIn = this.#life;
    }
    for (const record of this.#executing) {
      record.executing = false;
      if (record.run.scheduleId !== null) this.#schedule(record.run.scheduleId).executing -= 1;
      // A start that left nothing durable is unknown to whoever comes next.
      if (record.begunIn === undefined) this.#forgetStart(record);
    }
    this.#executing.clear();
  }

  /** The scheduler has stopped; its process stays. */
  stopped(): void {
    for (const { run } of this.#executing) this.#violated('a stop leaves nothing running', run.runId);
  }

  startsAgain(): void {
    this.note('it starts again');
    this.#life += 0.001;
  }

  /** It has stopped, in order. */
  left(): void {
    this.note('the process has ended');
    for (const { run } of this.#executing) this.#violated('a stop leaves nothing running', run.runId);
    this.#executing.clear();
  }

  #forgetStart(record: RunRecord): void {
    const starts = this.#starts.get(record.run.queue) ?? [];
    const at = starts.findIndex((start) => start.record === record);
    if (at >= 0) starts.splice(at, 1);
  }

  /** What the scheduler has read, just before it acts on it. */
  read(changes: Changes): void {
    this.#read = this.#statements;
    this.#settings = changes.settings;
    this.#queues = new Map(changes.queues.map((queue) => [queue.name, queue]));
    this.#configuredMs = this.#clock.monotonicMs();
    const isLoad = 'tick' in changes;
    if (isLoad) this.#loaded(changes as LedgerState);
    for (const change of changes.definitions) {
      const schedule = this.#schedule(change.kind === 'defined' ? change.definition.scheduleId : change.scheduleId);
      if (change.kind === 'unreadable') schedule.settledBy = schedule.known ?? schedule.settledBy;
      if (change.kind === 'dropped') schedule.settledBy = undefined;
      schedule.known = change.kind === 'defined' ? change.definition : undefined;
      schedule.timing = undefined;
      try {
        if (schedule.known?.timing !== undefined) {
          const timing = compile(schedule.known.timing);
          timing.nextMs(this.#clock.now());
          schedule.timing = timing;
        }
      } catch {
        // Poisoned: it fires never, and disturbs nobody.
      }
    }
  }

  #loaded(state: LedgerState): void {
    this.note(`the ledger is read: ${state.openRuns} open, ${state.marks.length} marks, ${state.tokens.length} tokens`);
    for (const schedule of this.#schedules.values()) {
      schedule.live = 0;
      schedule.catchup = 0;
      schedule.known = undefined;
      schedule.settledBy = undefined;
      schedule.timing = undefined;
    }
    for (const record of this.#runs.values()) record.counted = false;
    for (const record of this.#open) if (record.stage === 'open') this.#count(record, 1);
    this.#suspects.clear();
    this.#aloneUntilMs = Number.NEGATIVE_INFINITY;
    if (this.#lastBoot === 'start') for (const record of this.#open) if (record.stage === 'open') this.#suspects.add(record);
  }

  #count(attempt: RunRecord, by: 1 | -1): void {
    const record = attempt.first ?? attempt;
    const { run } = record;
    if (run.scheduleId === null || isAside(run) || record.counted === by > 0) return;
    record.counted = by > 0;
    const schedule = this.#schedule(run.scheduleId);
    if (run.trigger === 'catchup') schedule.catchup += by;
    else schedule.live += by;
    schedule.flightChangedMs = this.#clock.monotonicMs();
  }

  watch(scheduler: Scheduler, isAlive: () => boolean): void {
    scheduler.events.on('run:opened', (run) => {
      const record = this.#runs.get(run.runId);
      if (isAlive() && record !== undefined && record.closing === undefined) this.#count(record, 1);
    });
    scheduler.events.on('run:started', ({ run }) => {
      const record = this.#runs.get(run.runId);
      if (isAlive() && record !== undefined && this.#suspects.has(record)) this.#aloneUntilMs = this.#clock.monotonicMs() + 5000;
    });
    scheduler.events.on('run:finished', ({ runId, final }) => {
      const record = this.#runs.get(runId);
      if (isAlive() && record !== undefined && final) this.#count(record, -1);
    });
    if (!this.#trace) return;
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
        if (isAlive()) this.note(`event ${name} ${JSON.stringify(detail)}`);
      });
    }
  }

  // ---- What becomes true in the ledger ----

  committed(writes: readonly Write[], tick: Tick | undefined): void {
    try {
      this.#committed(writes, tick);
    } catch (error) {
      this.#violated('the model itself is sound', String((error as Error).stack));
    }
  }

  #committed(writes: readonly Write[], tick: Tick | undefined): void {
    if (tick !== undefined) this.#ticked(tick, writes);
    for (const write of writes) {
      switch (write.kind) {
        case 'open':
          this.#opened(write.run, writes, tick !== undefined);
          break;
        case 'close':
          this.#closed(write.closing, writes);
          break;
        case 'skip':
          this.#skipped(write.closing, writes);
          break;
        case 'settle':
          this.#settled(write.runId, writes);
          break;
        case 'token':
          this.#given(write.token, writes);
          break;
        case 'useTokens':
          this.#used(write.tokenIds, writes);
          break;
        case 'disable':
          this.#disabled(write.scheduleId, write.reason, writes);
          break;
        case 'begin': {
          const record = this.#runs.get(write.runId);
          const isDead = record?.begunIn !== undefined && record.begunIn === record.diedIn;
          this.#check(!isDead, 'what began durably is not begun again', () => `${write.runId} began in life ${record?.begunIn}`);
          if (record !== undefined) record.begunIn = this.#life;
          this.note(`begun ${write.runId}`);
          break;
        }
        case 'boot':
          this.#lastBoot = write.event;
          if (write.event === 'start') this.#bootAt = write.at;
          this.note(`boot ${write.event}`);
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

  #ticked(tick: Tick, writes: readonly Write[]): void {
    const before = this.#tick;
    const { now } = { now: this.#tickNow(tick, writes) };
    this.counts.ticks += 1;
    this.note(
      `tick ${tick.seq} through ${shownInstant(tick.watermark)}${tick.partly === null ? '' : ` partly ${shownInstant(tick.partly.due)} #${tick.partly.throughId}`}${tick.gap === null ? '' : ` gap ${shownInstant(tick.gap.from)}..${shownInstant(tick.gap.to)}`}${tick.replayUntil === null ? '' : ` replay until ${shownInstant(tick.replayUntil)}`}`,
    );
    this.#check(tick.seq === before.seq + 1, 'ticks follow one another', () => `tick ${tick.seq} after ${before.seq}`);
    const isLate = this.#isPaused && writes.length > 0 && now > this.#pausedAt && this.#jumpedMs < this.#clock.monotonicMs() - minute;
    this.#check(!isLate, 'nothing is opened while the scheduler is paused', () => `tick ${tick.seq} at ${shownInstant(now)}`);
    this.#check(this.#read === this.#statements, 'definitions change at a tick’s boundary', () => {
      const behind = this.#statements - this.#read;
      return `tick ${tick.seq} knows nothing of ${behind} statements`;
    });
    if (tick.watermark < before.watermark) {
      const ok = writes.length === 0 && tick.replayUntil !== null && tick.replayUntil >= before.watermark;
      this.#check(ok, 'the watermark goes back only when the clock is believed', () => `to ${shownInstant(tick.watermark)}`);
      this.#bootAt = Math.min(this.#bootAt, tick.watermark);
      for (const schedule of this.#schedules.values()) schedule.since = Math.min(schedule.since, tick.watermark);
    } else if (this.#isPaused && writes.length === 0 && tick.partly === null && tick.gap === null) {
      this.note('paused time is passed over');
    } else {
      for (const schedule of this.#schedules.values()) this.#decided(schedule, before, tick, now, writes);
    }
    this.#tick = tick;
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
      const ok = opens.length + skips.length === 0 || this.#clock.monotonicMs() - schedule.changedMs < minute;
      this.#check(ok, 'what has no clock is not opened by it', () => `${known?.name ?? scheduleId}: ${[...opens, ...skips].join(', ')}`);
      return;
    }
    // Most are not due: one look.
    if (opens.length + skips.length === 0 && before.gap === null && tick.gap === null) {
      const first = timing.nextMs(Math.max(through(before, scheduleId), known.effectiveFrom));
      if (first > Math.max(tick.watermark, tick.partly?.due ?? 0)) return;
    }
    const expected = this.#expected(schedule, known, timing, { before, after: tick, now });
    // Of a time that was gone through twice, what is too much to be counted may begin with instants that have run.
    const vague = (skip: string): string =>
      before.replayUntil !== null && skip.endsWith('many') ? skip.replace(/ \d+ many$/, ' many') : skip;
    const wanted = [...expected.opens, ...expected.skips.map(vague)].sort();
    const found = [...opens, ...skips.map(vague)].sort();
    if (wanted.join() === found.join()) return;
    const recently = this.#clock.monotonicMs() - schedule.flightChangedMs < minute;
    if (expected.overlaps && recently && this.#coverTheSame(expected, { opens, skips })) return;
    const policy = `${known.policy.overlap}, catchup ${known.policy.catchup ?? this.#settings.catchup} ${known.policy.catchupLimit}`;
    this.#violated(
      'each instant is covered once, as the rules say',
      `${known.name} (${policy}) at ${shownInstant(now)}: wanted [${wanted.map(shownDecision).join('; ')}] found [${found.map(shownDecision).join('; ')}]`,
    );
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
      catchup: policy.catchup ?? this.#settings.catchup,
      lateWithinMs: this.#settings.lateWithinMs,
      bootAt: this.#bootAt,
      inFlight: { live: schedule.live, catchup: schedule.catchup },
      firesLeft: policy.maxRuns === undefined ? Number.POSITIVE_INFINITY : policy.maxRuns - schedule.openedFires,
      hasRun: (nominal) => (schedule.runsAt.get(nominal) ?? 0) > 0,
    });
  }

  /** Before a definition changes, the old one has handled all its time. */
  #nothingLeft(schedule: ScheduleRecord, through_: number): void {
    const { known, timing } = schedule;
    if (known?.enabled !== true || timing === undefined) return;
    const after: Tick = { ...this.#tick, watermark: through_, partly: null, gap: null };
    const { opens, skips } = this.#expected(schedule, known, timing, { before: this.#tick, after, now: through_ });
    const left = [...opens, ...skips];
    this.#check(left.length === 0, 'definitions change at a tick’s boundary', () => `${known.name}: ${left.map(shownDecision).join('; ')}`);
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

  #opened(run: OpenRun, writes: readonly Write[], inTick: boolean): void {
    this.counts.opened += 1;
    this.note(
      `open ${run.runId} ${run.schedule} ${run.trigger} ${shownInstant(run.scheduledAt)} attempt ${run.attempt}${run.notBefore === null ? '' : ` not before ${shownInstant(run.notBefore)}`}`,
    );
    this.#check(!this.#runs.has(run.runId), 'a run is opened once', () => run.runId);
    const previous = run.retryOf === null ? undefined : this.#runs.get(run.retryOf);
    const record: RunRecord = {
      run,
      first: previous?.first ?? previous,
      stage: 'open',
      closing: undefined,
      effects: 0,
      begunIn: undefined,
      lives: [],
      openedMs: this.#clock.monotonicMs(),
      executing: false,
      diedIn: undefined,
      next: undefined,
      replacedMs: Number.NaN,
      startedMs: Number.NaN,
      counted: false,
    };
    this.#runs.set(run.runId, record);
    this.#open.add(record);
    if (run.attempt > 1) {
      this.#retried(record, writes);
      return;
    }
    if (run.scheduleId === null) return;
    const schedule = this.#schedule(run.scheduleId);
    schedule.runsAt.set(run.scheduledAt, (schedule.runsAt.get(run.scheduledAt) ?? 0) + 1);
    if (isAside(run)) {
      this.#check(this.#asked.has(run.runId), 'runs by hand are asked for', () => run.runId);
      return;
    }
    // What is opened and replaced in one tick has a number, and no open row.
    const { known } = schedule;
    this.#check(
      run.fire !== null && run.fire > schedule.openedFires,
      'fires are counted',
      () => `${run.schedule}: ${run.fire} after ${schedule.openedFires}`,
    );
    schedule.openedFires = Math.max(schedule.openedFires, run.fire ?? 0);
    const maxRuns = known?.policy.maxRuns ?? Number.POSITIVE_INFINITY;
    this.#check(
      schedule.openedFires <= maxRuns,
      'max_runs is never exceeded',
      () => `${run.schedule}: ${schedule.openedFires} of ${maxRuns}`,
    );
    if (isClocked(run)) {
      const isReboot = !inTick && known?.timing?.cadences.some((cadence) => cadence.kind === 'reboot') === true;
      this.#check(inTick || isReboot, 'the clock’s runs are opened by ticks', () => `${run.schedule} ${shownInstant(run.scheduledAt)}`);
      const twice = (schedule.runsAt.get(run.scheduledAt) ?? 0) > 1 && this.#clockRunsAt(run) > 1;
      this.#check(!twice, 'no instant of the clock has two runs', () => `${run.schedule} ${shownInstant(run.scheduledAt)}`);
      if (inTick) this.#overlapAtOpening(schedule, run, writes);
    }
    if (run.trigger === 'after') {
      const ok = writes.some((write) => write.kind === 'useTokens');
      this.#check(ok, 'a follower is opened by tokens', () => `${run.schedule} ${run.runId}`);
      this.#overlapAtOpening(schedule, run, writes);
    }
  }

  #clockRunsAt({ scheduleId, scheduledAt }: OpenRun): number {
    let count = 0;
    for (const { run } of this.#runs.values()) {
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
    for (const record of this.#open) {
      const { run, stage } = record;
      if (run.scheduleId !== opened.scheduleId || run.runId === opened.runId || isAside(run) || stage !== 'open' || closes.has(run.runId))
        continue;
      if (overlap === 'replace') (record.first ?? record).replacedMs = this.#clock.monotonicMs();
      else if (run.trigger === 'catchup') catchup += 1;
      else live += 1;
    }
    const ok = overlap === 'queue' ? live <= known.policy.overlapLimit : live + catchup === 0;
    this.#check(
      ok,
      'overlap holds at every instant',
      () => `${opened.schedule} (${overlap}): ${live} live, ${catchup} catch-up runs are in flight`,
    );
  }

  #retried(record: RunRecord, writes: readonly Write[]): void {
    const { run } = record;
    this.counts.retries += 1;
    const previous = run.retryOf === null ? undefined : this.#runs.get(run.retryOf);
    if (previous === undefined) {
      this.#violated('attempts are numbered without holes', `${run.runId} is attempt ${run.attempt} of nothing`);
      return;
    }
    const inOrder =
      previous.run.attempt + 1 === run.attempt && previous.run.rootRunId === run.rootRunId && previous.run.scheduledAt === run.scheduledAt;
    this.#check(
      inOrder,
      'attempts are numbered without holes',
      () => `${run.runId} is attempt ${run.attempt} after ${previous.run.attempt}`,
    );
    this.#check(previous.next === undefined, 'an attempt has one next', () => `${previous.run.runId}: ${previous.next} and ${run.runId}`);
    previous.next = run.runId;
    const closing = writes.find((write) => write.kind === 'close' && write.closing.run.runId === run.retryOf);
    if (closing?.kind !== 'close') {
      this.#violated('at most one attempt is open', `${run.runId} is opened beside ${run.retryOf}`);
      return;
    }
    this.#check(!closing.closing.final, 'what is final is not tried again', () => run.runId);
    if (run.scheduleId !== null && this.#clock.monotonicMs() - this.#schedule(run.scheduleId).changedMs < minute) return;
    const policy = this.#policyOf(run);
    if (policy === undefined || run.notBefore === null) {
      this.#violated('retries at the right time', `${run.runId} waits for nothing`);
      return;
    }
    const delay = this.#retryDelay(policy, run.attempt - 1);
    const waits = run.notBefore - closing.closing.finishedAt;
    const [least, most] = policy.retry.jitter ? [0.9 * delay, 1.1 * delay] : [delay, delay];
    const ok = waits >= least - 1 && waits <= most + 1;
    this.#check(ok, 'retries at the right time', () => `${run.runId} waits ${waits} ms, not ${least} to ${most}`);
  }

  /** What was read last still tells how its open runs are settled. */
  #policyOf({ scheduleId }: OpenRun): Policy | undefined {
    if (scheduleId === null) return undefined;
    const { known, settledBy } = this.#schedule(scheduleId);
    return (known ?? settledBy)?.policy;
  }

  #retryDelay({ retry }: Policy, failed: number): number {
    if (retry.delaysMs !== undefined) return retry.delaysMs[Math.min(failed, retry.delaysMs.length) - 1] ?? Number.NaN;
    const delay = retry.delayMs ?? this.#settings.retryDelayMs;
    const grown = { exponential: delay * 2 ** (failed - 1), linear: delay * failed, fixed: delay }[retry.backoff];
    return Math.min(grown, retry.maxDelayMs);
  }

  #closed(closing: Closing, writes: readonly Write[]): void {
    const { run, state, reason, final } = closing;
    this.counts.closed += 1;
    this.note(`close ${run.runId} ${run.schedule} ${state}${final ? '' : ' (not final)'}${reason === null ? '' : `: ${reason}`}`);
    const record = this.#runs.get(run.runId);
    if (record === undefined || record.stage !== 'open') {
      this.#violated('no state leaves the state machine', `${run.runId} is closed as ${state}, and was ${record?.stage ?? 'never open'}`);
      return;
    }
    record.stage = 'closed';
    record.closing = closing;
    this.#open.delete(record);
    this.#suspects.delete(record);
    this.#check(
      !(state === 'succeeded' && run.exe === 'sql'),
      'effects and closing row commit together',
      () => `${run.runId} succeeded without its effects`,
    );
    const died = state !== 'interrupted' || !(reason ?? '').startsWith('process died') || record.diedIn !== undefined;
    this.#check(died, 'interrupted is what was interrupted', () => `${run.runId} was not running when its process ended`);
    this.#finished(closing, writes, () => this.#giveExpected(closing, writes));
    const opensNext = writes.some((write) => write.kind === 'open' && write.run.retryOf === run.runId);
    this.#check(
      opensNext !== final,
      'a retry is not lost',
      () => `${run.runId} is ${final ? '' : 'not '}final and has ${opensNext ? 'a' : 'no'} next attempt`,
    );
    const expectsNext = this.#isTriedAgain(closing);
    const recently = run.scheduleId !== null && this.#clock.monotonicMs() - this.#schedule(run.scheduleId).changedMs < minute;
    this.#check(expectsNext === undefined || expectsNext === !final || recently, 'attempts are as many as the policy says', () => {
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
    return run.attempt <= (policy.retry.maxRetries ?? this.#settings.maxRetries);
  }

  closedInside(closing: Closing, result: 'removed' | 'marked' | 'fenced'): void {
    const { run } = closing;
    const record = this.#runs.get(run.runId);
    this.note(`${run.runId} ${run.schedule} commits inside: ${result}`);
    if (result === 'fenced') {
      this.#check(record === undefined || record.stage !== 'open', 'the fence holds back only what is closed', () => run.runId);
      return;
    }
    if (record === undefined || record.stage !== 'open') {
      this.#violated('no state leaves the state machine', `${run.runId} commits inside, and was ${record?.stage ?? 'never open'}`);
      return;
    }
    this.counts.closed += 1;
    const { replacedMs } = record.first ?? record;
    this.#check(
      !(record.startedMs > replacedMs + graceMs),
      'what is replaced does not go on',
      () => `${run.runId} of ${run.schedule} succeeds`,
    );
    record.stage = result === 'marked' ? 'marked' : 'closed';
    record.closing = closing;
    record.effects += 1;
    this.#suspects.delete(record);
    if (result === 'removed') this.#open.delete(record);
    this.#finished(closing, [], () => {
      if (result === 'removed') this.#giveExpected(closing, []);
    });
    if (run.scheduleId === null || !isClocked(run)) return;
    const { successes } = this.#schedule(run.scheduleId);
    this.#check(
      !successes.has(run.scheduledAt),
      'no instant of the clock runs twice',
      () => `${run.schedule} ${shownInstant(run.scheduledAt)}`,
    );
    successes.add(run.scheduledAt);
  }

  /** Its effects are there, although it was closed already. */
  unfenced(run: OpenRun): 'removed' {
    const record = this.#runs.get(run.runId);
    if (record !== undefined) record.effects += 1;
    return 'removed';
  }

  #settled(runId: string, writes: readonly Write[]): void {
    const record = this.#runs.get(runId);
    this.note(`settle ${runId}`);
    if (record?.stage !== 'marked' || record.closing === undefined) {
      this.#violated('a mark is settled once', `${runId} is ${record?.stage ?? 'unknown'}`);
      return;
    }
    record.stage = 'closed';
    this.#open.delete(record);
    this.#giveExpected(record.closing, writes);
  }

  #skipped(closing: Closing, writes: readonly Write[]): void {
    const { run, state, reason, stretch } = closing;
    this.counts.skipped += 1;
    this.note(
      `skip ${run.runId} ${run.schedule} ${run.trigger} ${shownInstant(run.scheduledAt)} ${state}: ${reason}${stretch === undefined ? '' : ` (${stretch.fires} since ${shownInstant(stretch.firstScheduledAt)})`}`,
    );
    this.#check(!this.#runs.has(run.runId), 'a run is opened once', () => run.runId);
    const ok = state === 'skipped' || (state === 'cancelled' && reason === 'replaced');
    this.#check(ok, 'no state leaves the state machine', () => `${run.runId} was never open and is ${state}`);
    this.#giveExpected(closing, writes);
  }

  /** Streaks, and the end of too long ones. */
  #finished(closing: Closing, writes: readonly Write[], then: () => void): void {
    const { run, state, final } = closing;
    if (run.scheduleId !== null) {
      const schedule = this.#schedule(run.scheduleId);
      if (state === 'skipped') schedule.runsAt.set(run.scheduledAt, Math.max((schedule.runsAt.get(run.scheduledAt) ?? 0) - 1, 0));
      if (final && run.trigger !== 'backfill') {
        const before = schedule.streak;
        if (state === 'succeeded') schedule.streak = 0;
        else if (state === 'failed' || state === 'timed_out' || state === 'interrupted') schedule.streak += 1;
        if (state === 'succeeded' && schedule.executing <= 1) schedule.tainted = false;
        const limit = schedule.known?.policy.disableAfterFailures ?? 0;
        const reached = limit > 0 && schedule.streak > before && schedule.streak % limit === 0 && schedule.known?.enabled === true;
        const disables = writes.some((write) => write.kind === 'disable' && write.scheduleId === run.scheduleId);
        const clear =
          !schedule.tainted && schedule.known?.policy.overlap !== 'allow' && this.#clock.monotonicMs() - schedule.changedMs > minute;
        this.#check(!clear || reached === disables, 'disable_after_failures', () => {
          return `${run.schedule}: ${schedule.streak} failures in a row of ${limit}, ${disables ? 'disabled' : 'not disabled'}`;
        });
      }
    }
    then();
  }

  #disabled(scheduleId: number, reason: string, writes: readonly Write[]): void {
    const schedule = this.#schedule(scheduleId);
    this.note(`disabled ${schedule.definition?.name}: ${reason}`);
    const closes = writes.some((write) => write.kind === 'close' && write.closing.run.scheduleId === scheduleId && write.closing.final);
    this.#check(closes, 'disable_after_failures', () => `${schedule.definition?.name} is disabled without a failure`);
    if (schedule.definition !== undefined) schedule.definition = { ...schedule.definition, enabled: false };
    if (schedule.known !== undefined) schedule.known = { ...schedule.known, enabled: false };
    schedule.changedMs = this.#clock.monotonicMs();
  }

  // ---- Followers ----

  /** A final close puts a token on the edge to each follower. */
  #giveExpected({ run, final, reason }: Closing, writes: readonly Write[]): void {
    if (run.scheduleId === null) return;
    const given = new Set(
      writes.flatMap((write) => (write.kind === 'token' && write.token.runId === run.runId ? [write.token.childId] : [])),
    );
    // What was superseded is of the past: a newer run of the same parents decides for whoever follows.
    const gives = final && run.trigger !== 'backfill' && !run.alone && reason?.startsWith('superseded') !== true;
    for (const child of this.#schedules.values()) {
      const follows =
        child.known?.enabled === true &&
        child.known.policy.after.includes(run.schedule) &&
        this.#schedule(run.scheduleId).known?.name === run.schedule;
      const recently = this.#clock.monotonicMs() - Math.max(child.changedMs, this.#schedule(run.scheduleId).changedMs) < minute;
      const isSpoiled = [child, this.#schedule(run.scheduleId)].some((one) => one.known === undefined && !one.isDropped);
      if (recently || isSpoiled || (follows && gives) === given.has(child.scheduleId) || this.#isInCircle(child)) continue;
      this.#violated(
        'each final close gives its followers one token',
        `${run.schedule} ${run.runId} ${given.has(child.scheduleId) ? 'gives one to' : 'gives none to'} ${child.known?.name}`,
      );
    }
  }

  #isInCircle(start: ScheduleRecord): boolean {
    const parentsOf = (record: ScheduleRecord): ScheduleRecord[] =>
      [...this.#schedules.values()].filter((other) => other.known !== undefined && record.known?.policy.after.includes(other.known.name));
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

  #given(token: Token, writes: readonly Write[]): void {
    this.counts.tokens += 1;
    this.note(`token ${token.tokenId} of ${token.runId} (${token.state}) to #${token.childId}`);
    const closing = writes.some(
      (write) =>
        (write.kind === 'settle' && write.runId === token.runId) ||
        ((write.kind === 'close' || write.kind === 'skip') && write.closing.run.runId === token.runId),
    );
    this.#check(closing, 'a token is given with the close that it tells of', () => token.tokenId);
    const key = `${token.childId} ${token.runId}`;
    this.#check(
      !this.#tokenOf.has(key),
      'each final close gives its followers one token',
      () => `${token.runId} gives two to #${token.childId}`,
    );
    this.#tokenOf.add(key);
    this.#tokens.set(token.tokenId, token);
  }

  #used(tokenIds: readonly string[], writes: readonly Write[]): void {
    const tokens: Token[] = [];
    for (const tokenId of tokenIds) {
      const token = this.#tokens.get(tokenId);
      if (token === undefined || this.#usedTokens.has(tokenId)) this.#violated('a token is used once', tokenId);
      else tokens.push(token);
      this.#usedTokens.add(tokenId);
      this.#tokens.delete(tokenId);
    }
    this.note(`uses tokens of ${tokens.map((token) => `${token.runId}@${shownInstant(token.scheduledAt)}`).join(', ')}`);
    const [first] = tokens;
    if (first === undefined) return;
    const child = this.#schedule(first.childId);
    const decided = writes.filter(
      (write) =>
        (write.kind === 'open' && write.run.trigger === 'after') ||
        (write.kind === 'skip' && write.closing.run.trigger === 'after' && !isSuperseding(write.closing)),
    );
    if (decided.length > 1) this.#violated('tokens decide one thing', `${child.known?.name}: ${decided.length} rows`);
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
    const recently = this.#clock.monotonicMs() - child.changedMs < minute;
    const gone = tokens.every((token) => this.#schedule(token.parentId).definition === undefined);
    const ok = outside || spent || edges < policy.after.length || recently || gone;
    this.#check(ok, 'a follower opens for exactly the right tokens', () => `${known.name} uses ${tokens.length} tokens and leaves no row`);
  }

  #joined(child: Definition, tokens: readonly Token[], decision: Write, writes: readonly Write[]): void {
    const edges = new Map<number, Token[]>();
    for (const token of tokens) edges.set(token.parentId, [...(edges.get(token.parentId) ?? []), token]);
    const recently = this.#clock.monotonicMs() - this.#schedule(child.scheduleId).changedMs < minute;
    if (recently) return;
    const complete = edges.size === new Set(child.policy.after).size;
    this.#check(
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
    this.#check(
      later.length === 0,
      'a follower opens for exactly the right tokens',
      () => `${child.name} uses up newer tokens than it opens for`,
    );
    const refused = taken.some((token) => !takes(child.policy.afterState, token.state));
    const row = decision.kind === 'open' ? decision.run : decision.kind === 'skip' ? decision.closing.run : undefined;
    const reason = decision.kind === 'skip' ? (decision.closing.reason ?? '') : '';
    this.#check(row?.scheduledAt === scheduledAt, 'a follower opens for exactly the right tokens', () => {
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
    this.#check(
      right,
      'a follower opens for exactly the right tokens',
      () =>
        `${child.name} ${opens ? 'opens' : `is skipped (${reason})`}, after ${taken.map((token) => token.state).join(', ')} (${child.policy.afterState})`,
    );
    const older = tokens.filter((token) => taken.every((used) => used.parentId !== token.parentId || token.scheduledAt < used.scheduledAt));
    const superseding = writes.some((write) => write.kind === 'skip' && isSuperseding(write.closing));
    this.#check(
      superseding === older.length > 0,
      'tokens older than those used are one skipped row',
      () => `${child.name}: ${older.length} older`,
    );
  }

  // ---- Work ----

  started({ run }: Work): void {
    this.counts.starts += 1;
    this.note(`start ${run.runId} ${run.schedule}`);
    const record = this.#runs.get(run.runId);
    const nowMs = this.#clock.monotonicMs();
    if (record === undefined) {
      this.#violated('what runs is open', `${run.runId} was never opened`);
      return;
    }
    this.#check(!record.executing, 'a run runs once at a time', () => run.runId);
    const elsewhere = record.begunIn !== undefined && record.begunIn === record.diedIn;
    this.#check(!elsewhere, 'what began durably is not begun again', () => `${run.runId} began in life ${record.begunIn}`);
    // A clock that was set in between says nothing of how long it has waited.
    const leftMs = run.notBefore === null ? 0 : run.notBefore - this.#clock.now();
    const waitedMs = nowMs - record.openedMs;
    const early = leftMs > 0 && waitedMs < (run.notBefore ?? 0) - run.openedAt - 1;
    this.#check(!early, 'retries at the right time', () => `${run.runId} starts ${leftMs} ms early`);
    const isDropped = run.scheduleId !== null && this.#schedule(run.scheduleId).isDropped && this.#read === this.#statements;
    this.#check(!isDropped, 'what was dropped does not begin any more', () => `${run.runId} of ${run.schedule}`);
    const others = [...this.#executing];
    const settled = nowMs > this.#configuredMs;
    this.#check(
      others.length < this.#settings.workers || !settled,
      'workers hold at every instant',
      () => `${others.length + 1} of ${this.#settings.workers}`,
    );
    const queue = this.#queues.get(run.queue);
    const inQueue = others.filter((other) => other.run.queue === run.queue).length;
    this.#check(
      inQueue < (queue?.concurrency ?? Number.POSITIVE_INFINITY) || !settled,
      'a queue’s concurrency holds at every instant',
      () => `${run.queue}: ${inQueue + 1} of ${queue?.concurrency}`,
    );
    this.#check(queue?.paused !== true || !settled, 'a paused queue keeps its runs', () => `${run.queue}: ${run.runId}`);
    const { group } = run;
    const inGroup = group === null ? 0 : others.filter((other) => other.run.group?.key === group.key).length;
    this.#check(group === null || inGroup < group.limit, 'of a group only so many run at once', () => `${group?.key}: ${inGroup + 1}`);
    this.#rate(record, queue, nowMs);
    if (this.#suspects.has(record)) {
      const ok = others.every((other) => !this.#suspects.has(other)) && record.begunIn === this.#life;
      this.#check(ok, 'what was open at a crash runs one at a time, after a durable start', () => `${run.runId} beside ${others.length}`);
    } else {
      const alone = nowMs < this.#aloneUntilMs && others.some((other) => this.#suspects.has(other) && other !== record);
      this.#check(!alone, 'what was open at a crash runs alone, after a durable start', () => `${run.runId} starts beside it`);
    }
    record.lives.push(this.#life);
    record.executing = true;
    record.startedMs = nowMs;
    this.#executing.add(record);
    if (run.scheduleId === null) return;
    const schedule = this.#schedule(run.scheduleId);
    schedule.executing += 1;
    if (schedule.executing > 1) schedule.tainted = true;
  }

  #rate(record: RunRecord, queue: QueueDefinition | undefined, nowMs: number): void {
    const starts = this.#starts.get(record.run.queue) ?? [];
    this.#starts.set(record.run.queue, starts);
    // What begins durably first was taken before: nobody sees when.
    if (record.begunIn === this.#life) return;
    starts.push({ atMs: nowMs, record });
    const rate = queue?.rate ?? null;
    if (rate === null) return;
    const recent = starts.filter((start) => start.atMs > nowMs - rate.perMs + 1);
    const comparable = nowMs - this.#jumpedMs > rate.perMs && nowMs - this.#configuredMs > rate.perMs;
    this.#check(
      recent.length <= rate.count || !comparable,
      'a queue’s rate holds at every instant',
      () => `${record.run.queue}: ${recent.length} in ${rate.perMs} ms, of ${rate.count}`,
    );
  }

  /** Its durable start has been answered: now its effects outside begin. */
  begun(run: OpenRun): void {
    const record = this.#runs.get(run.runId);
    this.#check(record?.begunIn !== undefined || record?.stage !== 'open', 'effects outside begin after a durable start', () => run.runId);
  }

  ended(run: OpenRun): void {
    const record = this.#runs.get(run.runId);
    if (record === undefined || !record.executing) return;
    record.executing = false;
    this.#executing.delete(record);
    if (run.scheduleId !== null) this.#schedule(run.scheduleId).executing -= 1;
    this.note(`end ${run.runId} ${run.schedule}`);
  }

  // ---- At the end ----

  /** Nothing fails any more, time went on, and everybody had his turn. */
  finally(): void {
    for (const { run, stage } of this.#open) {
      this.#violated(
        stage === 'marked' ? 'every mark is settled' : 'nothing stays open',
        `${run.runId} ${run.schedule} (${run.trigger}, attempt ${run.attempt}) is ${stage}`,
      );
    }
    for (const { run, effects, closing } of this.#runs.values()) {
      const ok = run.exe !== 'sql' || effects === (closing?.state === 'succeeded' ? 1 : 0);
      this.#check(
        ok,
        'effects are there exactly once',
        () => `${run.runId} is ${closing?.state}, and its effects are there ${effects} times`,
      );
    }
    this.#leftTokens();
  }

  #leftTokens(): void {
    const waiting = new Map<number, Set<number>>();
    for (const { childId, parentId, tokenId } of this.#tokens.values()) {
      const child = this.#schedule(childId);
      const parent = this.#schedule(parentId);
      const isUnreadable = [child, parent].some(({ definition, isDropped }) => definition === undefined && !isDropped);
      const belongs = isUnreadable || (parent.definition !== undefined && child.definition?.policy.after.includes(parent.definition.name));
      this.#check(belongs === true, 'every token is used, superseded or waiting', () => `${tokenId} to #${childId} belongs to no edge`);
      waiting.set(childId, (waiting.get(childId) ?? new Set()).add(parentId));
    }
    for (const [childId, parents] of waiting) {
      const { definition } = this.#schedule(childId);
      if (definition === undefined || isPoisoned(definition)) continue;
      // Of a parent that cannot be read it waits for the repair.
      const names = new Set(this.definitions.map(({ name }) => name));
      const ok = parents.size < new Set(definition.policy.after).size || definition.policy.after.some((name) => !names.has(name));
      this.#check(ok, 'every token is used, superseded or waiting', () => `${definition.name} has one of every parent, and does not open`);
    }
  }

  /** Time is handled up to `through`: whoever is enabled has nothing left to do before. */
  handled(through_: number): void {
    for (const { known, timing, scheduleId, openedFires } of this.#schedules.values()) {
      if (known === undefined || timing === undefined || !known.enabled) continue;
      if (known.policy.maxRuns !== undefined && openedFires >= known.policy.maxRuns) continue;
      let due = timing.nextMs(Math.max(through(this.#tick, scheduleId), known.effectiveFrom));
      const { replayUntil } = this.#tick;
      while (replayUntil !== null && due <= replayUntil) due = timing.nextMs(due);
      const fire = due <= through_ ? timing.fireAt(due) : undefined;
      if (fire === undefined || fire.nominal <= known.effectiveFrom) continue;
      this.#violated('each instant is covered once, as the rules say', `${known.name}: nobody has handled ${shownInstant(due)}`);
    }
  }
}

function isAside({ trigger }: OpenRun): boolean {
  return trigger === 'manual' || trigger === 'backfill' || trigger === 'api';
}

function isClocked({ trigger }: OpenRun): boolean {
  return trigger === 'cron' || trigger === 'interval' || trigger === 'once' || trigger === 'catchup';
}

/** Its own times cannot be told: it waits for the repair. */
function isPoisoned({ timing }: Definition): boolean {
  try {
    if (timing !== undefined) refusedOn(timing, 0);
    if (timing !== undefined) compile(timing);
    return false;
  } catch {
    return true;
  }
}

const isSuperseding = ({ reason }: Closing): boolean => (reason ?? '').startsWith('superseded');

function takes(afterState: Policy['afterState'], state: Closing['state']): boolean {
  switch (afterState) {
    case 'success':
      return state === 'succeeded';
    case 'failure':
      return state === 'failed' || state === 'timed_out' || state === 'interrupted';
    case 'any':
      return state !== 'skipped';
    default:
      return afterState satisfies never;
  }
}

function triggerOf(timing: Definition['timing']): string {
  const kind = timing?.cadences.find((cadence) => cadence.kind !== 'reboot')?.kind;
  return kind === 'interval' || kind === 'once' ? kind : 'cron';
}

const shownInstant = (instant: number): string =>
  Math.abs(instant) < 8.64e15 ? new Date(instant).toISOString().replace('T', ' ').replace('.000Z', '').replace('Z', '') : String(instant);

function shownDecision(decision: string): string {
  return decision.replace(/\d{12,}/g, (instant) => shownInstant(Number(instant)));
}

function shownStatement(statement: Statement): string {
  switch (statement.kind) {
    case 'define': {
      const { name, version, enabled, effectiveFrom, timing, policy } = statement.definition;
      const sched = timing === undefined ? 'no clock' : `${timing.cadences.map((cadence) => cadence.text).join(' | ')} in ${timing.zone}`;
      return `${name} version ${version}${enabled ? '' : ' disabled'} from ${shownInstant(effectiveFrom)}: ${sched}; ${JSON.stringify({ ...policy, timing: timing === undefined ? undefined : { ...timing, cadences: undefined } })}`;
    }
    case 'drop':
      return `drop #${statement.scheduleId}`;
    case 'spoil':
      return `the row of ${statement.unreadable.name} is spoiled`;
    case 'queue':
      return `queue ${JSON.stringify(statement.queue)}`;
    case 'set':
      return `set ${JSON.stringify(statement.settings)}`;
    case 'pause':
      return statement.at === null ? 'resume scheduler' : 'pause scheduler';
    default:
      return statement satisfies never;
  }
}
