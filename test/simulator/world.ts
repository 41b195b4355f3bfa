// What a seed plays: schedules with policies of every kind, queues, how their work behaves, and a script of what people, disks and
// clocks do to them. Plain data, made by chance, so that the whole world of a seed can be printed.

import { type CalendarDays, compile, parseCadence, type Timing } from '../../src/scheduler/cadence/cadence.ts';
import type { QueueDefinition, SchedulerSettings } from '../../src/scheduler/ports.ts';
import type { Action, Definition, Policy, RetryPolicy } from '../../src/scheduler/schedule.ts';
import type { Random } from './random.ts';

const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;

export interface World {
  /** Nothing fails in it and no clock is set: everything must be on time. */
  readonly calm: boolean;
  readonly startAt: number;
  readonly horizonMs: number;
  readonly settings: SchedulerSettings;
  readonly queues: readonly QueueDefinition[];
  readonly definitions: readonly Definition[];
  readonly work: ReadonlyMap<string, WorkProfile>;
  readonly script: readonly ScriptEvent[];
  readonly faults: FaultProfile;
}

/** How the runs of a schedule behave; the numbers are probabilities. */
export interface WorkProfile {
  /** sql closes itself in the transaction of its effects; command has effects outside and begins durably. */
  readonly exe: 'sql' | 'command';
  readonly leastMs: number;
  readonly mostMs: number;
  readonly fails: number;
  /** Runs until it is aborted or timed out. */
  readonly hangs: number;
  readonly throws: number;
  /** Takes the process with it. */
  readonly kills: number;
  /** `when` refuses it. */
  readonly skips: number;
  /** How long its commit may be on its way, also beyond the end of its process. */
  readonly commitMs: number;
}

/** Probabilities at each call of the ledger. */
export interface FaultProfile {
  readonly slow: number;
  readonly before: number;
  readonly after: number;
  readonly hangs: number;
  readonly fatal: number;
  readonly crash: number;
  /** Planning takes real time, so that ticks come in slices. */
  readonly lookMs: number;
}

export const noFaults: FaultProfile = { slow: 0, before: 0, after: 0, hangs: 0, fatal: 0, crash: 0, lookMs: 0 };

export type ScriptEvent = { readonly atMs: number } & (
  | { readonly kind: 'jump'; readonly ms: number }
  | { readonly kind: 'crash'; readonly downMs: number }
  | { readonly kind: 'stop'; readonly graceMs: number; readonly downMs: number }
  | { readonly kind: 'retime' | 'alter' | 'disable' | 'enable' | 'drop' | 'create' | 'recreate' | 'spoil' | 'poison' }
  | { readonly kind: 'pause'; readonly forMs: number }
  | { readonly kind: 'pauseQueue'; readonly forMs: number }
  | { readonly kind: 'alterQueue' | 'alterSettings' }
  | { readonly kind: 'byHand'; readonly count: number }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'trouble'; readonly forMs: number; readonly profile: FaultProfile }
  | { readonly kind: 'fullDisk'; readonly forMs: number }
);

const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'America/Santiago'] as const;

/** The evenings before clocks change, and ordinary days. */
const starts = [
  Date.UTC(2027, 2, 27, 18),
  Date.UTC(2027, 9, 30, 18),
  Date.UTC(2027, 2, 13, 20),
  Date.UTC(2027, 10, 6, 20),
  Date.UTC(2027, 3, 3, 3),
  Date.UTC(2027, 5, 15, 9, 12, 34, 567),
  Date.UTC(2027, 11, 31, 12),
];

const dense = ['every 5s', 'every 10s', '*/30 * * * * *', 'every 45s', '* * * * *', '10,20,25 * * * * *'];
const middling = ['*/5 * * * *', '*/15 9-17 * * 1-5', 'every 7m', '7,37 * * * *', 'every 20m', '0 * * * *', 'every 90m'];
const sparse = [
  '30 2 * * *',
  '30 1 * * *',
  '0 2 * * *',
  '15 */3 * * *',
  '0 0 * * *',
  '0 9 * * 1-5',
  '0 18 L * *',
  'every 7h',
  'every 1d',
  'every 2d',
  'business days at 18:00',
  '45 2 * * *',
  '@daily',
  '@reboot',
];

export const calendars: Readonly<Record<string, CalendarDays>> = {
  week: { weekend: [0, 6], holidays: [] },
  odd: { weekend: [5], holidays: [Date.UTC(2027, 2, 28), Date.UTC(2027, 5, 16), Date.UTC(2027, 9, 31)].map((at) => at / day) },
};

export class WorldMaker {
  readonly #random: Random;
  readonly startAt: number;

  constructor(random: Random) {
    this.#random = random;
    this.startAt = random.pick(starts) + random.pick([0, 0, 1, 500, random.whole(0, 6 * hour)]);
  }

  /** `rough`: more goes wrong in it than anywhere else. */
  make({ fires, rough }: { readonly fires: number; readonly rough: boolean }): World {
    const random = this.#random;
    const calm = random.chance(0.2) && !rough;
    const queues = this.#queues();
    const count = random.weighed([
      [random.whole(1, 3), 4],
      [random.whole(4, 8), 4],
      [random.whole(9, 16), 1],
    ]);
    const speed = random.weighed<'dense' | 'middling' | 'sparse'>([
      ['dense', 3],
      ['middling', 4],
      ['sparse', 3],
    ]);
    const definitions: Definition[] = [];
    for (let index = 0; index < count; index++) {
      const names = definitions.map(({ name }) => name);
      const follows = names.length > 0 && random.chance(0.3);
      const after = follows ? [...new Set(Array.from({ length: random.whole(1, 3) }, () => random.pick(names)))] : [];
      definitions.push(this.definition(index + 1, `s${index + 1}`, { queues, speed, after, effectiveFrom: this.startAt }));
    }
    const horizonMs = Math.max(this.#horizon(definitions, fires), 2 * minute);
    return {
      calm,
      startAt: this.startAt,
      horizonMs,
      settings: this.settings(),
      queues,
      definitions,
      work: new Map(definitions.map((definition) => [definition.name, this.work(definition, { calm, rough })])),
      script: this.#script(horizonMs, calm, rough),
      faults: calm ? noFaults : this.#faults(rough),
    };
  }

  definition(
    scheduleId: number,
    name: string,
    {
      queues,
      speed,
      after,
      effectiveFrom,
    }: { queues: readonly QueueDefinition[]; speed: 'dense' | 'middling' | 'sparse'; after: readonly string[]; effectiveFrom: number },
  ): Definition {
    const random = this.#random;
    return {
      scheduleId,
      name,
      version: 1,
      enabled: !random.chance(0.04),
      effectiveFrom,
      exe: random.chance(0.7) ? 'sql' : 'command',
      call: 'work',
      timing: after.length > 0 ? this.#followerTiming(name) : this.timing(name, speed),
      policy: this.policy(queues, after),
    };
  }

  timing(name: string, speed: 'dense' | 'middling' | 'sparse'): Timing {
    const random = this.#random;
    const zone = random.pick(zones);
    const pool = { dense, middling, sparse }[speed];
    const texts = [random.chance(0.75) ? random.pick(pool) : random.pick([...middling, ...sparse])];
    if (random.chance(0.1)) texts.push(random.pick(pool));
    if (random.chance(0.04)) texts.splice(0, 9, `at '${new Date(this.startAt + random.whole(0, day)).toISOString().slice(0, 19)}'`);
    const cadences = texts.map((text) => parseCadence(text, { zone }));
    const isWords = cadences.some((cadence) => cadence.kind === 'words');
    const calendar = random.chance(isWords ? 0.8 : 0.15) ? random.pick(Object.values(calendars)) : undefined;
    return {
      cadences,
      zone,
      dstGap: random.pick(['default', 'default', 'run', 'skip']),
      dstOverlap: random.pick(['default', 'default', 'first', 'second', 'both']),
      ...(random.chance(0.08) ? { starts: this.startAt + random.whole(-day, day) } : {}),
      ...(random.chance(0.08) ? { ends: this.startAt + random.whole(0, 2 * day) } : {}),
      ...(calendar === undefined ? {} : { calendar }),
      onHoliday:
        calendar === undefined ? 'skip' : random.pick(speed === 'dense' ? ['skip', 'run'] : ['skip', 'skip', 'run', 'next', 'previous']),
      jitterMs: random.chance(0.15) ? random.pick([500, 5 * second, 2 * minute]) : 0,
      jitterKey: name,
    };
  }

  /** A window and a calendar, if any: whoever follows has no clock. */
  #followerTiming(name: string): Timing | undefined {
    const random = this.#random;
    if (random.chance(0.8)) return undefined;
    return {
      cadences: [],
      zone: random.pick(zones),
      dstGap: 'default',
      dstOverlap: 'default',
      ...(random.chance(0.5) ? { ends: this.startAt + random.whole(0, 2 * day) } : {}),
      ...(random.chance(0.7) ? { calendar: random.pick(Object.values(calendars)) } : {}),
      onHoliday: random.pick(['run', 'skip']),
      jitterMs: 0,
      jitterKey: name,
    };
  }

  policy(queues: readonly QueueDefinition[], after: readonly string[]): Policy {
    const random = this.#random;
    const catchup = random.pick([undefined, 'none', 'latest', 'all', 'all'] as const);
    const maxRuns = random.chance(0.1) ? random.whole(1, 15) : undefined;
    const timeoutMs = random.pick([undefined, null, 5 * second, 2 * minute, 5 * minute]);
    return {
      ...(maxRuns === undefined ? {} : { maxRuns }),
      ...(catchup === undefined ? {} : { catchup }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      overlap: random.weighed([
        ['skip', 4],
        ['queue', 3],
        ['allow', 2],
        ['replace', 2],
      ]),
      overlapLimit: random.pick([0, 1, 2, 5, 100]),
      catchupLimit: random.pick([1, 2, 5, 100]),
      catchupWithinMs: random.pick([10 * minute, 3 * hour, day, day]),
      after,
      afterState: random.pick(['success', 'success', 'failure', 'any']),
      queue: random.pick(queues).name,
      priority: random.pick(['critical', 'high', 'normal', 'normal', 'normal', 'low', 'background']),
      retry: this.#retry(),
      disableAfterFailures: random.pick([0, 0, 0, 0, 0, 1, 2, 3]),
      onCrash: random.pick(['retry', 'retry', 'fail']),
      onComplete: this.#actions(0.05),
      onFail: this.#actions(0.1),
      onSkip: this.#actions(0.03),
    };
  }

  #actions(probability: number): readonly Action[] {
    const random = this.#random;
    if (!random.chance(probability)) return [];
    return [
      random.pick<Action>([
        { kind: 'call', procedure: 'tell' },
        { kind: 'emit', name: 'told' },
      ]),
    ];
  }

  #retry(): RetryPolicy {
    const random = this.#random;
    const maxRetries = random.pick([undefined, 0, 0, 1, 2, 5]);
    const delayMs = random.pick([undefined, 0, 100, second, 30 * second, 10 * minute]);
    return {
      ...(maxRetries === undefined ? {} : { maxRetries }),
      ...(delayMs === undefined ? {} : { delayMs }),
      ...(random.chance(0.15) ? { delaysMs: random.pick([[0], [second, minute], [10 * second, 10 * second, hour]]) } : {}),
      backoff: random.pick(['exponential', 'linear', 'fixed']),
      maxDelayMs: random.pick([minute, hour]),
      jitter: random.chance(0.5),
    };
  }

  work(definition: Definition, { calm = false, rough = false } = {}): WorkProfile {
    const random = this.#random;
    const mostMs = random.spread(10, 20 * minute);
    return {
      exe: definition.exe === 'sql' ? 'sql' : 'command',
      leastMs: Math.min(random.pick([0, 1, 100, mostMs]), mostMs),
      mostMs,
      fails: random.pick([0, 0, 0.1, 0.5, 1]),
      hangs: random.pick([0, 0, 0, 0.05]),
      throws: random.pick([0, 0, 0, 0.05]),
      kills: calm ? 0 : random.pick([0, 0, 0, 0, 0.03]),
      skips: random.pick([0, 0, 0, 0.1]),
      commitMs: rough ? 30_000 : random.pick([10, 50, 50, 10_000]),
    };
  }

  #queues(): QueueDefinition[] {
    const random = this.#random;
    const queues: QueueDefinition[] = [
      { name: 'default', weight: 3, concurrency: null, rate: null, paused: false },
      { name: 'low', weight: 1, concurrency: null, rate: null, paused: false },
    ];
    if (random.chance(0.6)) queues.push(this.queue('limited'));
    return queues;
  }

  queue(name: string): QueueDefinition {
    const random = this.#random;
    return {
      name,
      weight: random.whole(1, 6),
      concurrency: random.pick([null, 1, 2, 3]),
      rate: random.chance(0.4) ? { count: random.whole(1, 5), perMs: random.pick([second, 10 * second, minute, 10 * minute]) } : null,
      paused: false,
    };
  }

  settings(): SchedulerSettings {
    const random = this.#random;
    return {
      workers: random.pick([1, 2, 4, 4, 8]),
      checkIntervalMs: random.weighed([
        [second, 0.3],
        [10 * second, 1],
        [30 * second, 6],
      ]),
      lateWithinMs: random.pick([60 * second, 60 * second, 60 * second, 10 * second, 5 * minute]),
      maxRetries: random.pick([0, 1, 3]),
      retryDelayMs: random.pick([second, minute]),
      catchup: random.pick(['none', 'latest', 'latest', 'all']),
      onFail: random.chance(0.1) ? [{ kind: 'call', procedure: 'alarm' }] : [],
      budget: { cpu: null, memoryBytes: null },
      alerts: random.chance(0.2)
        ? { failures: 3, backlog: 5, slowness: 2, busyMs: 30 * second }
        : { failures: 0, backlog: 0, slowness: 0, busyMs: 0 },
    };
  }

  /** So long that about so many fires fall into it. */
  #horizon(definitions: readonly Definition[], fires: number): number {
    const { startAt } = this;
    const longest = this.#random.weighed([
      [hour, 4],
      [4 * hour, 4],
      [12 * hour, 2],
      [day, 1],
      [7 * day, 0.1],
    ]);
    const timings = definitions.flatMap(({ timing, enabled }) => (timing === undefined || !enabled ? [] : [compile(timing)]));
    const next = timings.map((timing) => timing.nextMs(startAt));
    for (let fired = 0; fired < fires; fired++) {
      let earliest = 0;
      for (let index = 1; index < next.length; index++) if ((next[index] ?? 0) < (next[earliest] ?? 0)) earliest = index;
      const due = next[earliest] ?? Number.POSITIVE_INFINITY;
      if (due - startAt >= longest) return longest;
      next[earliest] = timings[earliest]?.nextMs(due) ?? Number.POSITIVE_INFINITY;
    }
    return Math.min(...next) - startAt;
  }

  #faults(rough: boolean): FaultProfile {
    const random = this.#random;
    const level = rough ? 0.02 : random.pick([0, 0.002, 0.01, 0.03]);
    return {
      slow: random.pick([0, 0.1, 0.5]),
      before: level,
      after: level,
      hangs: level / 4,
      fatal: random.pick([0, 0, level / 10]),
      crash: rough ? level / 2 : random.pick([0, 0, level / 3]),
      lookMs: random.pick([0, 0, 0, 1, 12, 26]),
    };
  }

  #script(horizonMs: number, calm: boolean, rough: boolean): ScriptEvent[] {
    const random = this.#random;
    const events: ScriptEvent[] = [];
    const count = random.weighed([
      [0, 1],
      [random.whole(1, 4), 4],
      [random.whole(5, 12), 3],
    ]);
    // Now and then something happens just when something is due.
    const at = (): number => {
      const ms = random.whole(0, horizonMs);
      return random.chance(0.3) ? ms - (ms % minute) + random.pick([0, 1, 5, -1, -5]) : ms;
    };
    if (rough) events.push({ atMs: at() / 2, kind: 'jump', ms: -hour });
    const shortly = (): number => random.spread(second, Math.max(horizonMs / 3, minute));
    for (let index = 0; index < count; index++) {
      const atMs = Math.max(at(), 0);
      events.push({
        atMs,
        ...random.weighed<DistributedOmit<ScriptEvent, 'atMs'>>([
          [{ kind: 'jump', ms: this.#jumpMs() }, calm ? 0 : 3],
          [{ kind: 'crash', downMs: random.chance(0.5) ? random.whole(0, minute) : random.spread(second, 26 * hour) }, calm ? 0 : 5],
          [{ kind: 'stop', graceMs: random.pick([0, second, minute]), downMs: random.spread(1, 26 * hour) }, calm ? 0 : 2],
          [{ kind: 'retime' }, 2],
          [{ kind: 'alter' }, 3],
          [{ kind: 'disable' }, 2],
          [{ kind: 'enable' }, 2],
          [{ kind: 'drop' }, 1],
          [{ kind: 'create' }, 1],
          [{ kind: 'recreate' }, 1],
          [{ kind: 'spoil' }, 0.5],
          [{ kind: 'poison' }, 0.5],
          [{ kind: 'pause', forMs: shortly() }, 1],
          [{ kind: 'pauseQueue', forMs: shortly() }, 1],
          [{ kind: 'alterQueue' }, 1],
          [{ kind: 'alterSettings' }, 1],
          [{ kind: 'byHand', count: random.whole(1, 3) }, 3],
          [{ kind: 'cancel' }, 3],
          [{ kind: 'trouble', forMs: shortly(), profile: this.#trouble() }, calm ? 0 : 2],
          [{ kind: 'fullDisk', forMs: shortly() }, calm ? 0 : 1],
        ]),
      });
    }
    return events.sort((one, other) => one.atMs - other.atMs);
  }

  #jumpMs(): number {
    const random = this.#random;
    const ms = random.weighed([
      [random.whole(1, 5), 2],
      [10 * minute, 3],
      [3 * hour, 3],
      [random.spread(second, day), 3],
      [365 * day, 1],
    ]);
    return random.chance(0.5) ? ms : -ms;
  }

  #trouble(): FaultProfile {
    const random = this.#random;
    const level = random.pick([0.1, 0.3, 1]);
    return random.pick([
      { ...noFaults, before: level },
      { ...noFaults, after: level },
      { ...noFaults, hangs: level },
      { ...noFaults, slow: 1, before: level / 3, after: level / 3, crash: 0.02 },
    ]);
  }
}

type DistributedOmit<T, Key extends PropertyKey> = T extends unknown ? Omit<T, Key> : never;
