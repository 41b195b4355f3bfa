// Plays one seed: a world, a scheduler in it, everything that happens to both, and at the end a long calm time in which all that
// is open must come to its end.

import { openedRun } from '../../src/scheduler/opening.ts';
import type { QueueDefinition } from '../../src/scheduler/ports.ts';
import type { OpenRun } from '../../src/scheduler/run.ts';
import type { Definition } from '../../src/scheduler/schedule.ts';
import { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import { Faults } from './faults.ts';
import { Journal } from './journal.ts';
import type { Violation } from './model.ts';
import { Life, type Plant } from './process.ts';
import { Random } from './random.ts';
import { MemoryStore, type Statement, type Store } from './store.ts';
import { day, hour, minute, type ScriptEvent, type WorkProfile, type World, WorldMaker } from './world.ts';

export interface PlayOptions {
  readonly seed: number;
  /** About so many instants fall into a play. */
  readonly fires?: number;
  /** More goes wrong than elsewhere: what is broken shows sooner. */
  readonly rough?: boolean;
  readonly trace?: boolean;
  readonly plant?: Plant;
  /** In memory without it. */
  readonly openStore?: (journal: Journal, clock: () => VirtualClock) => Store & Partial<Opened>;
}

export interface Played {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly lines: readonly string[];
  readonly counts: Journal['counts'];
  readonly virtualMs: number;
}

/** What a store on disk needs besides. */
export interface Opened {
  open(): Promise<void>;
  settle(): Promise<void>;
  close(): Promise<void>;
  wrongEffects(): Promise<readonly string[]>;
}

/** More turns than this in one virtual second is a scheduler that spins. */
const mostTurnsASecond = 200_000;

export async function play(options: PlayOptions): Promise<Played> {
  const random = new Random(options.seed);
  const maker = new WorldMaker(random.stream('world'));
  const world = maker.make({ fires: options.fires ?? 120, rough: options.rough ?? false });
  const journal: Journal = new Journal({ world, clock: () => clock, trace: options.trace ?? false });
  const store: Store & Partial<Opened> = options.openStore?.(journal, () => clock) ?? new MemoryStore(world, journal);
  const clock = new VirtualClock({ startAt: world.startAt, ...(store.settle === undefined ? {} : { settle: store.settle }) });
  await store.open?.();
  const player = new Player({ random: random.stream('player'), maker, world, clock, journal, store, plant: options.plant ?? {} });
  try {
    await player.play();
  } catch (error) {
    journal.violations.push({ invariant: 'nothing throws', message: String((error as Error).stack ?? error), atMs: clock.monotonicMs() });
  }
  for (const runId of (await store.wrongEffects?.()) ?? []) {
    journal.violations.push({ invariant: 'effects are there exactly once', message: runId, atMs: clock.monotonicMs() });
  }
  await store.close?.();
  return {
    seed: options.seed,
    violations: journal.violations,
    lines: journal.lines,
    counts: journal.counts,
    virtualMs: clock.monotonicMs(),
  };
}

interface PlayerParts {
  readonly random: Random;
  readonly maker: WorldMaker;
  readonly world: World;
  readonly clock: VirtualClock;
  readonly journal: Journal;
  readonly store: Store;
  readonly plant: Plant;
}

class Player {
  readonly #parts: PlayerParts;
  readonly #faults: Faults;
  readonly #work: Map<string, WorkProfile>;
  readonly #waiters = new Map<string, { done: boolean; readonly life: Life }>();
  #life: Life | undefined;
  #lives = 0;
  #stopping = false;
  #downMs = 0;
  #isDiskFullUntilMs = Number.NEGATIVE_INFINITY;
  #nextRun = 0;
  #nextSchedule: number;
  #queues: readonly QueueDefinition[];
  #turns = 0;
  #turnsSinceMs = 0;

  constructor(parts: PlayerParts) {
    this.#parts = parts;
    this.#faults = new Faults(parts.random.stream('faults'), parts.world.faults);
    this.#work = new Map(parts.world.work);
    this.#queues = parts.world.queues;
    this.#nextSchedule = parts.world.definitions.length + 1;
  }

  async play(): Promise<void> {
    const { world, store } = this.#parts;
    for (const queue of world.queues) await store.execute({ kind: 'queue', queue });
    await store.execute({ kind: 'set', settings: world.settings });
    for (const definition of world.definitions) await store.execute({ kind: 'define', definition });
    this.#begin();
    for (const event of world.script) {
      if (!(await this.#until(event.atMs))) return;
      this.#do(event);
    }
    if (!(await this.#until(world.horizonMs))) return;
    await this.#calm();
  }

  /** false: a promise is broken, and what follows would only confuse. */
  async #until(ms: number, holds: () => boolean = () => false): Promise<boolean> {
    const { clock, journal } = this.#parts;
    await clock.runUntil(() => this.#isBroken() || holds(), { withinMs: ms - clock.monotonicMs() });
    return journal.violations.length === 0;
  }

  #isBroken(): boolean {
    const { clock, journal } = this.#parts;
    const ms = clock.monotonicMs();
    this.#turns += 1;
    if (ms - this.#turnsSinceMs > 1000) {
      this.#turns = 0;
      this.#turnsSinceMs = ms;
    } else if (this.#turns > mostTurnsASecond) {
      this.#turns = 0;
      journal.violations.push({ invariant: 'it does not spin', message: `${mostTurnsASecond} turns in a second`, atMs: ms });
    }
    return journal.violations.length > 0;
  }

  // ---- Processes ----

  #begin(): void {
    const { clock, journal, store, random, plant } = this.#parts;
    if (this.#life?.isAlive === true) return;
    this.#lives += 1;
    this.#stopping = false;
    const chance = random.stream(`life ${this.#lives}`);
    this.#downMs = chance.chance(0.6) ? chance.spread(1, 2 * minute) : chance.spread(minute, 10 * hour);
    journal.lifeBegins(this.#lives);
    const life = new Life(this.#lives, {
      clock,
      store,
      faults: this.#faults,
      journal,
      random: chance,
      work: (run) => this.#profileOf(run),
      storage: () => ({ freeBytes: clock.monotonicMs() < this.#isDiskFullUntilMs ? 0 : 1e12, walBytes: 0 }),
      newRunId: () => {
        return this.#newRunId('r');
      },
      plant,
      died: () => {
        clock.after(this.#downMs, () => this.#begin());
      },
    });
    this.#life = life;
    const held = chance.chance(0.04) && !this.#parts.world.calm;
    const failed = (error: unknown): void => {
      if (life.isAlive && !this.#stopping) this.#violated('a start ends well', String(error));
    };
    life.scheduler.start({ held }).catch(failed);
    if (held) clock.after(chance.spread(1000, 10 * minute), () => void life.scheduler.release().catch(failed));
  }

  #violated(invariant: string, message: string): void {
    const { clock, journal } = this.#parts;
    journal.note(`VIOLATED ${invariant}: ${message}`);
    journal.violations.push({ invariant, message, atMs: clock.monotonicMs() });
  }

  #stop(graceMs: number, downMs: number): void {
    const { clock, journal } = this.#parts;
    const life = this.#life;
    if (life?.isAlive !== true || this.#stopping) return;
    this.#stopping = true;
    journal.note(`stop within ${graceMs} ms`);
    life.scheduler.stop({ graceMs }).then(
      () => {
        if (!life.isAlive) return;
        this.#downMs = downMs;
        journal.note('it has stopped');
        const left = [...life.scheduler.allRunning()].length;
        if (left > 0) this.#violated('a stop leaves nothing running', `${left} runs`);
        if (this.#parts.random.chance(0.4)) {
          // The same scheduler starts again.
          journal.work.stopped();
          clock.after(downMs, () => this.#startAgain(life));
          return;
        }
        life.leave();
        clock.after(downMs, () => this.#begin());
      },
      (error: unknown) => {
        if (life.isAlive) this.#violated('a stop ends well', String(error));
      },
    );
  }

  #startAgain(life: Life): void {
    if (!life.isAlive) return;
    this.#stopping = false;
    this.#parts.journal.startsAgain();
    life.scheduler.start().catch((error: unknown) => {
      if (life.isAlive && !this.#stopping) this.#violated('a start ends well', String(error));
    });
  }

  #newRunId(kind: 'r' | 'h'): string {
    this.#nextRun += 1;
    return this.#parts.store.runId?.(this.#nextRun) ?? `${kind}${String(this.#nextRun).padStart(6, '0')}`;
  }

  #profileOf(run: OpenRun): WorkProfile {
    const known = run.scheduleId === null ? undefined : this.#work.get(run.schedule);
    const exe = run.exe === 'sql' ? 'sql' : 'command';
    if (known !== undefined) return { ...known, exe };
    return { exe, leastMs: 1, mostMs: 100, fails: 0.2, hangs: 0, throws: 0, kills: 0, skips: 0, commitMs: 10 };
  }

  // ---- What happens ----

  #do(event: ScriptEvent): void {
    const { clock, journal, random } = this.#parts;
    switch (event.kind) {
      case 'jump':
        journal.jumped(event.ms);
        clock.jump(event.ms);
        return;
      case 'crash':
        this.#downMs = event.downMs;
        this.#life?.die();
        return;
      case 'stop':
        this.#stop(event.graceMs, event.downMs);
        return;
      case 'pause': {
        this.#state(() => ({ kind: 'pause', at: clock.now() }));
        clock.after(event.forMs, () => this.#state(() => ({ kind: 'pause', at: null })));
        return;
      }
      case 'pauseQueue': {
        const { name } = random.pick(this.#queues);
        this.#alterQueue(name, { paused: true });
        clock.after(event.forMs, () => this.#alterQueue(name, { paused: false }));
        return;
      }
      case 'alterQueue': {
        const { name } = random.pick(this.#queues);
        const { weight, concurrency, rate } = this.#parts.maker.queue(name);
        this.#alterQueue(name, { weight, concurrency, rate });
        return;
      }
      case 'alterSettings':
        this.#state(() => ({ kind: 'set', settings: this.#parts.maker.settings() }));
        return;
      case 'trouble':
        journal.note(`trouble for ${event.forMs / 1000} s: ${JSON.stringify(event.profile)}`);
        this.#faults.trouble(event.profile, clock.monotonicMs() + event.forMs);
        return;
      case 'fullDisk':
        journal.note(`the disk is full for ${event.forMs / 1000} s`);
        this.#isDiskFullUntilMs = clock.monotonicMs() + event.forMs;
        return;
      case 'byHand':
        this.#byHand(event.count);
        return;
      case 'cancel':
        this.#cancel();
        return;
      case 'retime':
      case 'alter':
      case 'disable':
      case 'enable':
      case 'drop':
      case 'create':
      case 'recreate':
      case 'spoil':
      case 'poison':
        this.#redefine(event.kind);
        return;
      default:
        event satisfies never;
    }
  }

  #alterQueue(name: string, change: Partial<QueueDefinition>): void {
    this.#state(() => {
      this.#queues = this.#queues.map((queue) => (queue.name === name ? { ...queue, ...change } : queue));
      return { kind: 'queue', queue: this.#queues.find((queue) => queue.name === name) ?? this.#parts.maker.queue(name) };
    });
  }

  #redefine(kind: 'retime' | 'alter' | 'disable' | 'enable' | 'drop' | 'create' | 'recreate' | 'spoil' | 'poison'): void {
    const { clock, journal, maker, random } = this.#parts;
    const at = clock.now();
    if (kind === 'create') {
      this.#create(`s${this.#nextSchedule}`, at);
      return;
    }
    const { definitions } = journal;
    if (definitions.length === 0) return;
    const { scheduleId } = random.pick(definitions);
    // As it is when the statement becomes true: it disables itself in between.
    const current = (): Definition | undefined => journal.definitions.find((definition) => definition.scheduleId === scheduleId);
    const alter = (change: (definition: Definition) => Definition): void =>
      this.#state(() => {
        const definition = current();
        return definition === undefined
          ? undefined
          : { kind: 'define', definition: { ...change(definition), version: definition.version + 1 } };
      });
    switch (kind) {
      case 'retime':
        alter((definition) => {
          if (definition.timing === undefined || definition.timing.cadences.length === 0) return definition;
          return { ...definition, effectiveFrom: at, timing: maker.timing(definition.name, random.pick(['dense', 'middling', 'sparse'])) };
        });
        return;
      case 'alter':
        alter((definition) => ({ ...definition, policy: maker.policy(this.#queues, definition.policy.after) }));
        return;
      case 'disable':
        alter((definition) => ({ ...definition, enabled: false }));
        return;
      case 'enable':
        alter((definition) => (definition.enabled ? definition : { ...definition, enabled: true, effectiveFrom: at }));
        return;
      case 'drop':
      case 'recreate': {
        const name = current()?.name;
        const follows = definitions.some((definition) => definition.policy.after.includes(name ?? ''));
        // Refused for what others follow; its name may come again.
        if (follows || name === undefined) return;
        this.#state(() => {
          const life = this.#life;
          const runs = journal.openRuns.filter((run) => run.scheduleId === scheduleId && life?.scheduler.running(run.runId) === undefined);
          return current() === undefined ? undefined : { kind: 'drop', scheduleId, runs, at: clock.now() };
        });
        if (kind === 'recreate') this.#create(name, at);
        return;
      }
      case 'spoil':
        this.#state(() => {
          const definition = current();
          if (definition === undefined) return undefined;
          const { name, version } = definition;
          return { kind: 'spoil', unreadable: { kind: 'unreadable', scheduleId, name, version, message: 'planted: the row is spoiled' } };
        });
        return;
      case 'poison':
        alter((definition) => {
          if (definition.timing === undefined) return definition;
          const zone = random.chance(0.5) ? 'Nowhere/Land' : definition.timing.zone;
          const cadences = zone === 'Nowhere/Land' ? definition.timing.cadences : [{ kind: 'cron', version: 1, text: 'garbage' } as never];
          return { ...definition, timing: { ...definition.timing, zone, cadences } };
        });
        return;
      default:
        kind satisfies never;
    }
  }

  #create(name: string, at: number): void {
    const { maker, random } = this.#parts;
    const scheduleId = this.#nextSchedule;
    this.#nextSchedule += 1;
    const definition = maker.definition(scheduleId, name, {
      queues: this.#queues,
      speed: random.pick(['middling', 'sparse']),
      after: [],
      effectiveFrom: at,
    });
    this.#work.set(name, maker.work(definition, { calm: this.#parts.world.calm }));
    this.#state(() => {
      const taken = this.#parts.journal.definitions.some((other) => other.name === name);
      return taken ? undefined : { kind: 'define', definition };
    });
  }

  /** A statement becomes true at a tick's boundary where a scheduler runs. */
  #state(statement: () => Statement | undefined): void {
    const { store, clock, journal, random } = this.#parts;
    const life = this.#life;
    const execute = async (): Promise<void> => {
      const stated = statement();
      if (stated !== undefined) await store.execute(stated);
    };
    if (life?.isAlive !== true) {
      void execute();
      return;
    }
    const askedAt = clock.now();
    const commit = async (): Promise<void> => {
      const { scheduler } = life;
      const handles = scheduler.mode === 'running' && !scheduler.storageLow && !scheduler.clockBehind;
      if (handles || scheduler.mode === 'paused') journal.ticks.boundary(scheduler.watermark, askedAt);
      const profile = this.#faults.at(clock.monotonicMs());
      if (!life.isAlive) return new Promise(() => {});
      if (random.chance(profile.slow)) await life.clock.sleep(random.spread(1, 500));
      if (random.chance(profile.before)) throw new Error('planted: the statement fails before its effect');
      await execute();
      if (random.chance(profile.crash)) {
        journal.note('the process dies after a statement');
        life.die();
        return new Promise(() => {});
      }
      if (random.chance(profile.after)) throw new Error('planted: the statement fails after its effect');
    };
    life.scheduler.change(commit).catch((error: unknown) => journal.note(`a change failed: ${String(error)}`));
  }

  #byHand(count: number): void {
    const { clock, journal, random } = this.#parts;
    const life = this.#life;
    const { definitions } = journal;
    if (life?.isAlive !== true || this.#stopping || definitions.length === 0) return;
    const definition = random.pick(definitions);
    const now = clock.now();
    const isBackfill = random.chance(0.3);
    const group = isBackfill ? { key: `backfill:${this.#nextRun}`, limit: random.whole(1, 2) } : null;
    const runs = Array.from({ length: count }, (_, index) => {
      return openedRun(definition, {
        runId: this.#newRunId('h'),
        trigger: isBackfill ? 'backfill' : 'manual',
        scheduledAt: isBackfill ? now - day - index * hour : now,
        openedAt: now,
        alone: random.chance(0.2),
        group,
      });
    });
    journal.runs.asked(runs);
    for (const run of runs) {
      const waiter = { done: false, life };
      this.#waiters.set(run.runId, waiter);
      void life.scheduler.finished(run.runId).then(() => {
        waiter.done = true;
      });
    }
    life.scheduler.byHand(runs).catch((error: unknown) => {
      journal.note(`by hand: ${String(error)}`);
      for (const run of runs) this.#waiters.delete(run.runId);
    });
  }

  #cancel(): void {
    const { journal, random } = this.#parts;
    const runs = journal.openRuns;
    const life = this.#life;
    if (life?.isAlive !== true || runs.length === 0) return;
    const { runId } = random.pick(runs);
    journal.note(`cancel ${runId}`);
    life.scheduler.cancel(runId, 'by hand').catch((error: unknown) => journal.note(`cancel: ${String(error)}`));
  }

  // ---- The end ----

  async #calm(): Promise<void> {
    const { clock, journal } = this.#parts;
    const in_ = (ms: number): number => clock.monotonicMs() + ms;
    journal.note('calm: nothing goes wrong any more');
    this.#faults.end();
    this.#isDiskFullUntilMs = Number.NEGATIVE_INFINITY;
    const isOn = (): boolean => this.#life?.isAlive === true && !this.#stopping && this.#life.scheduler.mode !== 'starting';
    if (!(await this.#until(in_(30 * hour), isOn))) return;
    if (!isOn()) return this.#violated('a process comes back', `mode ${this.#life?.scheduler.mode}`);
    const life = this.#life as Life;
    await life.scheduler.release();
    this.#state(() => ({ kind: 'pause', at: null }));
    this.#state(() => ({ kind: 'set', settings: { checkIntervalMs: 30_000 } }));
    for (const { name } of this.#queues) this.#alterQueue(name, { paused: false, rate: null });
    // A clock that stands behind is believed after ten minutes.
    if (!(await this.#until(in_(11 * minute)))) return;
    const { mode, clockBehind, storageLow, troubled } = life.scheduler;
    if (mode !== 'running' || clockBehind || storageLow || troubled) {
      const why = [mode, clockBehind ? 'the clock is behind' : '', storageLow ? 'no room' : '', troubled ? 'trouble' : ''].join(' ');
      return this.#violated('it runs when nothing hinders it', why);
    }
    journal.ticks.handled(clock.now() - 1);
    for (const definition of journal.definitions) {
      const { scheduleId } = definition;
      if (definition.timing === undefined || definition.timing.cadences.length === 0) continue;
      this.#state(() => {
        const current = journal.definitions.find((other) => other.scheduleId === scheduleId);
        return current === undefined
          ? undefined
          : { kind: 'define', definition: { ...current, version: current.version + 1, enabled: false } };
      });
    }
    journal.note('calm: no clock fires any more');
    const isQuiet = (): boolean => journal.openRuns.length === 0 && journal.executing.length === 0;
    for (let round = 0; round < 60 && !isQuiet(); round++) {
      if (!(await this.#until(in_(30 * minute), isQuiet))) return;
      for (const { runId } of journal.executing) void life.scheduler.cancel(runId, 'it hangs').catch(() => {});
    }
    if (!(await this.#until(in_(minute)))) return;
    journal.finally();
    if (!life.isAlive) return this.#violated('nothing goes wrong any more', 'and yet the process has died');
    this.#isEmpty(life);
    let ended = false;
    void life.scheduler.stop({ graceMs: 0 }).then(() => {
      ended = true;
    });
    if (!(await this.#until(in_(minute), () => ended))) return;
    if (!ended) this.#violated('a stop ends well', 'it has not ended');
  }

  /** What the scheduler holds in memory follows what is open. */
  #isEmpty({ scheduler }: Life): void {
    const counts = scheduler.counts();
    const busy = [...scheduler.allRunning()].map(({ run }) => run.runId).join();
    if (counts.active > 0) this.#violated('memory follows what is open', `${counts.active} workers are busy with nothing: ${busy}`);
    for (const [name, { pending, active, scheduled }] of counts.queues) {
      if (pending + active + scheduled > 0)
        this.#violated('memory follows what is open', `queue ${name}: ${pending} pending, ${active} active, ${scheduled} scheduled`);
    }
    for (const [runId, { done, life }] of this.#waiters) {
      if (!done && life.isAlive) this.#violated('whoever waits for a run hears of its end', runId);
    }
  }
}
