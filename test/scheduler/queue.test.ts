import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration } from '../../src/core/duration.ts';
import { type Limits, type Needs, noLimits, noNeeds } from '../../src/scheduler/capacity.ts';
import type { QueueDefinition } from '../../src/scheduler/ports.ts';
import { Backlog, rereadMs, risesAfterMs, type Taken } from '../../src/scheduler/queue.ts';
import type { OpenRun } from '../../src/scheduler/run.ts';
import { priorities } from '../../src/scheduler/schedule.ts';
import { plainQueue, plainRun } from '../support/plain.ts';

const noon = Date.UTC(2026, 10, 20, 12);
const second = 1000;
const minute = 60_000;

let made = 0;

function run(values: Partial<OpenRun> = {}): OpenRun {
  made += 1;
  const runId = values.runId ?? `run-${String(made).padStart(9, '0')}`;
  const scheduledAt = values.scheduledAt ?? noon;
  return plainRun(runId, { schedule: 'job', scheduledAt, openedAt: Math.max(scheduledAt, noon), ...values });
}

const queue = (name: string, values: Partial<QueueDefinition> = {}): QueueDefinition => plainQueue(name, { weight: 3, ...values });

const usualQueues = [queue('critical', { weight: 6 }), queue('default'), queue('low', { weight: 1 })];

function backlogOf(
  runs: readonly OpenRun[],
  {
    workers = 1000,
    queues = usualQueues,
    ...options
  }: { workers?: number; queues?: QueueDefinition[]; mostKept?: number; mostPerGroup?: number } = {},
): Backlog {
  const backlog = new Backlog(options);
  backlog.configure(queues, workers);
  for (const each of runs) backlog.add(each);
  return backlog;
}

/** All that may start, in their order. */
function takeAll(backlog: Backlog, now = noon): Taken[] {
  const all: Taken[] = [];
  for (let taken = backlog.take(now); taken !== undefined; taken = backlog.take(now)) all.push(taken);
  return all;
}

const names = (taken: readonly Taken[]): string[] => taken.map(({ run: { schedule } }) => schedule);
const one = (key: string) => ({ key, limit: 1 });

describe('workers', () => {
  test('at most so many runs are at work, also when the number changes while they run', () => {
    const runs = Array.from({ length: 6 }, () => run());
    const backlog = backlogOf(runs, { workers: 2 });
    const taken = takeAll(backlog);
    expect(taken).toHaveLength(2);
    backlog.configure(usualQueues, 3);
    expect(takeAll(backlog)).toHaveLength(1);
    backlog.configure(usualQueues, 1);
    backlog.release(runs[0]!);
    backlog.release(runs[1]!);
    expect(backlog.take(noon)).toBeUndefined();
    backlog.release(runs[2]!);
    expect(takeAll(backlog)).toHaveLength(1);
    expect(backlog.counts()).toMatchObject({ active: 1, workers: 1 });
  });

  test('who only waits for its end to be durable leaves its worker to another, and keeps all else; of such there are as many as workers', () => {
    const runs = Array.from({ length: 8 }, (_, at) => run(at === 1 ? { group: one('same') } : at === 7 ? { group: one('same') } : {}));
    const backlog = backlogOf(runs, { workers: 2, queues: [queue('default', { concurrency: 5 })] });
    const [first, second] = takeAll(backlog);
    backlog.ending(first!.run);
    backlog.ending(first!.run);
    expect(takeAll(backlog)).toHaveLength(1);
    backlog.ending(second!.run);
    const [fourth, ...others] = takeAll(backlog);
    expect(others).toEqual([]);
    expect(backlog.counts()).toMatchObject({ active: 2, workers: 2 });
    // A third that ends has nobody who begins in its place.
    backlog.ending(fourth!.run);
    expect(takeAll(backlog)).toEqual([]);
    backlog.release(first!.run);
    expect(takeAll(backlog)).toHaveLength(1);
    expect(backlog.has(runs[7]!.runId)).toBe(true);
    for (const each of [second!, fourth!]) backlog.release(each.run);
    // Of its group the last is next, and of its queue only five may be at work.
    expect(backlog.counts()).toMatchObject({ active: 2 });
  });

  test('nothing starts before the first configuration', () => {
    const backlog = new Backlog();
    backlog.add(run());
    expect(backlog.take(noon)).toBeUndefined();
  });

  test('a run that was begun without being taken counts, and is not started a second time', () => {
    const begun = run({ group: one('g') });
    const backlog = backlogOf([begun, run({ group: one('g') }), run()], { workers: 2 });
    backlog.begin(begun);
    expect(backlog.has(begun.runId)).toBe(false);
    expect(takeAll(backlog)).toMatchObject([{ run: { group: null } }]);
    expect(backlog.counts().active).toBe(2);
    backlog.release(begun);
    expect(takeAll(backlog)).toMatchObject([{ run: { group: { key: 'g' } } }]);
  });

  test('a run that is added twice, or while it is at work, starts once', () => {
    const twice = run();
    const backlog = backlogOf([twice, twice]);
    expect(takeAll(backlog)).toHaveLength(1);
    backlog.add(twice);
    expect(takeAll(backlog)).toHaveLength(0);
    expect(backlog.counts().queues.get('default')).toEqual({ pending: 0, active: 1, scheduled: 0 });
  });

  test('a run that came back unfinished may be added again after its release', () => {
    const again = run();
    const backlog = backlogOf([again]);
    takeAll(backlog);
    backlog.release(again);
    backlog.release(again);
    backlog.add(again);
    expect(takeAll(backlog)).toMatchObject([{ run: { runId: again.runId } }]);
    expect(backlog.counts().active).toBe(1);
  });
});

describe('what runs share beside the workers', () => {
  const megabyte = 1_000_000;
  /** By the name of the schedule: `threads cpu memory-in-MB`. */
  const needsOf = ({ schedule }: OpenRun): Needs => {
    const [threads = '0', cpu = '0', memory = '0'] = schedule.split(' ');
    return { threads: threads === '1' ? 1 : 0, cpu: Number(cpu), memoryBytes: Number(memory) * megabyte };
  };
  const needing = (schedule: string, values: Partial<OpenRun> = {}): OpenRun => run({ schedule, ...values });
  const limited = (limits: Partial<Limits>, runs: readonly OpenRun[]): Backlog => {
    const backlog = new Backlog({ needsOf });
    backlog.configure(usualQueues, 100, { ...noLimits, ...limits });
    for (const each of runs) backlog.add(each);
    return backlog;
  };
  const budget = { cpu: 200, memoryBytes: 1000 * megabyte };

  test('runs that need a thread of the database are as many as there are threads, and hold up no others', () => {
    const runs = [needing('1'), needing('1'), needing('1'), needing('0'), needing('1'), needing('0')];
    const backlog = limited({ threads: 2 }, runs);
    expect(names(takeAll(backlog))).toEqual(['1', '1', '0', '0']);
    backlog.release(runs[0]!);
    expect(backlog.take(noon)).toMatchObject({ run: { runId: runs[2]!.runId }, waitedFor: 'database threads: 2 of 2 busy' });
    expect(backlog.take(noon)).toBeUndefined();
  });

  test('what fits into the budget starts, what does not waits and says for what', () => {
    const runs = [needing('0 0 512'), needing('0 0 768'), needing('0 150 100'), needing('0 100 0'), needing('0 50 400'), needing('0')];
    const backlog = limited(budget, runs);
    expect(names(takeAll(backlog))).toEqual(['0 0 512', '0 150 100', '0']);
    expect([1, 3, 4].map((at) => backlog.lack(runs[at]!))).toEqual([
      'memory: 612MB of 1GB is taken, it needs 768MB',
      'cpu: 150% of 200% is taken, it needs 100%',
      'memory: 612MB of 1GB is taken, it needs 400MB',
    ]);
    backlog.release(runs[0]!);
    expect(backlog.take(noon)).toMatchObject({ run: { schedule: '0 0 768' }, waitedFor: 'memory: 612MB of 1GB is taken, it needs 768MB' });
    expect(backlog.take(noon)).toBeUndefined();
    backlog.release(runs[2]!);
    expect(backlog.take(noon)).toMatchObject({ run: { schedule: '0 100 0' }, waitedFor: 'cpu: 150% of 200% is taken, it needs 100%' });
  });

  test('what needs more than there is at all runs when nobody else has a part of it, and then nobody else gets one', () => {
    const [small, large, other, later] = [needing('0 0 10'), needing('0 0 5000'), needing('0 300 0'), needing('0 0 1')];
    const backlog = limited(budget, [small, large, other]);
    expect(names(takeAll(backlog))).toEqual(['0 0 10', '0 300 0']);
    backlog.release(small);
    expect(names(takeAll(backlog))).toEqual(['0 0 5000']);
    backlog.add(later);
    expect(backlog.take(noon)).toBeUndefined();
    expect(backlog.lack(later)).toBe('memory: 5GB of 1GB is taken, it needs 1MB');
    backlog.release(large);
    expect(names(takeAll(backlog))).toEqual(['0 0 1']);
  });

  test('a large run is not passed by small ones for ever: once it has risen above all, the next parts are for it', () => {
    const large = needing('0 0 900');
    const first = needing('0 0 200', { scheduledAt: noon - second });
    const backlog = limited(budget, [first, large]);
    expect(names(takeAll(backlog))).toEqual(['0 0 200']);
    const atWork = [first];
    let started = 0;
    let waited: string | null = null;
    for (let now = noon; started === 0 && now < noon + 60 * minute; now += minute) {
      const next = needing('0 0 200', { scheduledAt: now, openedAt: now });
      backlog.add(next);
      // One ends each minute, when the next has come.
      for (const { run: taken, waitedFor } of takeAll(backlog, now)) {
        if (taken === large) {
          started = now;
          waited = waitedFor;
        } else atWork.push(taken);
      }
      const ended = atWork.shift();
      if (ended !== undefined) backlog.release(ended);
      if (backlog.lack(next)?.startsWith('resources') === true)
        expect(backlog.lack(next)).toBe('resources: the next are for 0 0 900, which has waited longest');
    }
    // Of class normal: three rises of five minutes, and the end of those that were at work then.
    expect(started).toBeGreaterThanOrEqual(noon + 3 * risesAfterMs);
    expect(started).toBeLessThanOrEqual(noon + 3 * risesAfterMs + 6 * minute);
    expect(waited).toBe('memory: 200MB of 1GB is taken, it needs 900MB');
    backlog.release(large);
    expect(takeAll(backlog, started).length).toBeGreaterThan(0);
  });

  test('nothing is kept for a run that its queue holds back', () => {
    const held = needing('0 0 900', { queue: 'low', openedAt: noon - 60 * minute, scheduledAt: noon - 60 * minute });
    const backlog = limited(budget, [needing('0 0 500'), held, needing('0 0 100')]);
    backlog.configure([...usualQueues.slice(0, 2), queue('low', { paused: true })], 100, { ...noLimits, ...budget });
    expect(names(takeAll(backlog))).toEqual(['0 0 500', '0 0 100']);
    expect(backlog.take(noon)).toBeUndefined();
  });

  test('limits change while runs are at work', () => {
    const runs = Array.from({ length: 6 }, () => needing('1 0 400'));
    const backlog = limited({ threads: 6, memoryBytes: 1000 * megabyte }, runs);
    expect(takeAll(backlog)).toHaveLength(2);
    backlog.configure(usualQueues, 100, { ...noLimits, memoryBytes: 2000 * megabyte });
    expect(takeAll(backlog)).toHaveLength(3);
    backlog.configure(usualQueues, 100, { ...noLimits, memoryBytes: 100 * megabyte });
    for (const each of runs.slice(0, 4)) backlog.release(each);
    expect(backlog.take(noon)).toBeUndefined();
    backlog.release(runs[4]!);
    expect(takeAll(backlog)).toHaveLength(1);
    backlog.configure(usualQueues, 100);
    expect(backlog.lack(runs[0]!)).toBeUndefined();
  });

  test('what a run needs is looked at again when it is taken', () => {
    const learned = new Set<string>();
    const backlog = new Backlog({ needsOf: ({ schedule }) => ({ ...noNeeds, threads: learned.has(schedule) ? 1 : 0 }) });
    const runs = ['a', 'a', 'a', 'b'].map((schedule) => run({ schedule }));
    backlog.configure(usualQueues, 100, { ...noLimits, threads: 1 });
    for (const each of runs) backlog.add(each);
    expect(backlog.take(noon)?.run).toBe(runs[0]);
    learned.add('a');
    expect(names(takeAll(backlog))).toEqual(['a', 'b']);
    expect(backlog.lack(runs[2]!)).toBe('database threads: 1 of 1 busy');
    backlog.release(runs[1]!);
    expect(names(takeAll(backlog))).toEqual(['a']);
  });

  test('whatever comes and goes, no limit is passed but by one alone, parts are given back, and all start in the end', () => {
    const drawn = fc.record({
      threads: fc.constantFrom(0, 1),
      cpu: fc.constantFrom(0, 0, 10, 0.1, 150, 500),
      memory: fc.constantFrom(0, 0, 1, 300, 999, 4000),
      priority: fc.constantFrom(...priorities),
      queue: fc.constantFrom('critical', 'default', 'low'),
    });
    fc.assert(
      fc.property(fc.array(drawn, { minLength: 1, maxLength: 60 }), fc.array(fc.nat(), { minLength: 60, maxLength: 60 }), (needs, ends) => {
        const runs = needs.map(({ threads, cpu, memory, ...values }) => needing(`${threads} ${cpu} ${memory}`, values));
        const backlog = limited({ ...budget, threads: 2 }, runs);
        let atWork: OpenRun[] = [];
        const started = new Set<string>();
        for (let turn = 0; started.size < runs.length || atWork.length > 0; turn++) {
          if (turn > 10 * runs.length + 10) throw new Error('some never start');
          for (const { run: taken } of takeAll(backlog, noon + turn * minute)) {
            started.add(taken.runId);
            atWork.push(taken);
            const parts = atWork.map(needsOf);
            expect(parts.filter(({ threads }) => threads === 1).length).toBeLessThanOrEqual(2);
            const [own] = parts.slice(-1);
            for (const [key, limit] of [
              ['cpu', 200],
              ['memoryBytes', 1000 * megabyte],
            ] as const) {
              const others = parts.slice(0, -1).filter((each) => each[key] > 0);
              if (own![key] > 0 && others.length > 0)
                expect(parts.reduce((sum, each) => sum + each[key], 0)).toBeLessThanOrEqual(limit + 1e-9);
            }
          }
          const ended = atWork[(ends[turn % ends.length] ?? 0) % Math.max(atWork.length, 1)];
          if (ended !== undefined) backlog.release(ended);
          atWork = atWork.filter((each) => each !== ended);
        }
        expect(runs.every((each) => backlog.lack(each) === undefined)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe('between queues', () => {
  /** How often each queue started while all of them had work. */
  function shares(queues: QueueDefinition[], starts: number): Map<string, number> {
    const backlog = backlogOf([], { workers: 4, queues });
    const counted = new Map<string, number>(queues.map(({ name }) => [name, 0]));
    for (const { name } of queues) for (let each = 0; each < 20; each++) backlog.add(run({ queue: name }));
    for (let start = 0; start < starts; start++) {
      const taken = backlog.take(noon);
      if (taken === undefined) throw new Error('nothing starts');
      const { queue: name } = taken.run;
      counted.set(name, (counted.get(name) ?? 0) + 1);
      backlog.release(taken.run);
      backlog.add(run({ queue: name }));
    }
    return counted;
  }

  test('weights 6, 3 and 1 come to 60, 30 and 10 of 100 starts, within 2 of 10,000', () => {
    const counted = shares(usualQueues, 10_000);
    expect(Math.abs(counted.get('critical')! - 6000)).toBeLessThanOrEqual(2);
    expect(Math.abs(counted.get('default')! - 3000)).toBeLessThanOrEqual(2);
    expect(Math.abs(counted.get('low')! - 1000)).toBeLessThanOrEqual(2);
  });

  test('any weights share as they say, and over any stretch', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 600 }),
        (weights, starts) => {
          const queues = weights.map((weight, index) => queue(`q${index}`, { weight }));
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (const [index, started] of [...shares(queues, starts).values()].entries())
            expect(Math.abs(started - (starts * weights[index]!) / total)).toBeLessThanOrEqual(weights.length);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a queue that was idle saves nothing up', () => {
    const backlog = backlogOf([], { workers: 4 });
    for (let each = 0; each < 1000; each++) backlog.add(run({ queue: 'low' }));
    for (let each = 0; each < 500; each++) backlog.release(backlog.take(noon)!.run);
    for (let each = 0; each < 1000; each++) backlog.add(run({ queue: 'critical' }));
    const starts = Array.from({ length: 70 }, () => {
      const taken = backlog.take(noon)!;
      backlog.release(taken.run);
      return taken.run.queue;
    });
    expect(starts.filter((name) => name === 'critical')).toHaveLength(60);
    expect(starts.slice(0, 14).filter((name) => name === 'critical').length).toBeLessThanOrEqual(13);
  });

  test('nor does one that was paused, at its limit or over its rate', () => {
    for (const held of [{ paused: true }, { concurrency: 1 }, { rate: { count: 1, perMs: minute } }]) {
      const backlog = backlogOf([run({ queue: 'critical' })], { workers: 4, queues: [queue('critical', held), queue('default')] });
      if (!('paused' in held)) backlog.take(noon);
      for (let each = 0; each < 300; each++) {
        backlog.add(run({ queue: 'critical' }));
        backlog.add(run());
      }
      for (let each = 0; each < 100; each++) {
        const taken = backlog.take(noon)!;
        expect(taken.run.queue).toBe('default');
        backlog.release(taken.run);
      }
      backlog.configure([queue('critical'), queue('default')], 4);
      const next = Array.from({ length: 20 }, () => {
        const taken = backlog.take(noon)!;
        backlog.release(taken.run);
        return taken.run.queue;
      });
      expect(next.filter((name) => name === 'critical').length).toBeLessThanOrEqual(11);
    }
  });

  test('of several that come back from idling the heaviest is first', () => {
    const backlog = backlogOf([], { workers: 1, queues: [queue('busy'), queue('light', { weight: 1 }), queue('heavy', { weight: 9 })] });
    const startOf = (...queues: string[]) => {
      for (const name of queues) backlog.add(run({ queue: name }));
      const { run: started } = backlog.take(noon)!;
      backlog.release(started);
      return started.queue;
    };
    // heavy has had a turn later than light, and both have long passed.
    startOf('busy');
    startOf('heavy');
    for (let each = 0; each < 30; each++) startOf('busy');
    expect(startOf('light', 'heavy')).toBe('heavy');
  });

  test('a queue that was dropped, or is not known, has weight 1, no limits, and keeps its runs', () => {
    const backlog = backlogOf([], { queues: [queue('gone', { weight: 9, paused: true }), queue('default', { weight: 1 })] });
    for (let each = 0; each < 100; each++) {
      backlog.add(run({ queue: 'gone' }));
      backlog.add(run());
    }
    expect(takeAll(backlog).every(({ run: { queue: name } }) => name === 'default')).toBe(true);
    backlog.configure([queue('default', { weight: 1 })], 2000);
    for (let each = 0; each < 100; each++) backlog.add(run());
    const first = Array.from({ length: 40 }, () => backlog.take(noon)!.run.queue);
    expect(first.filter((name) => name === 'gone')).toHaveLength(20);
    for (const { run: each } of takeAll(backlog)) if (each.queue === 'gone') backlog.release(each);
    backlog.configure([queue('default')], 2000);
    expect([...backlog.counts().queues.keys()]).toContain('gone');
  });

  test('a queue that is neither defined nor used is forgotten', () => {
    const only = run({ queue: 'once' });
    const backlog = backlogOf([only, ...Array.from({ length: 9 }, () => run())]);
    takeAll(backlog);
    backlog.release(only);
    backlog.configure(usualQueues, 1000);
    expect([...backlog.counts().queues.keys()]).toEqual(['critical', 'default', 'low']);
  });

  test('names of queues are compared without regard to the case of ASCII letters only', () => {
    const backlog = backlogOf([run({ queue: 'LOW' }), run({ queue: 'low' }), run({ queue: 'É' }), run({ queue: 'é' })], {
      queues: [queue('Low', { concurrency: 1 }), queue('é', { paused: true })],
    });
    expect(takeAll(backlog).map((taken) => taken.run.queue)).toEqual(['LOW', 'É']);
    expect([...backlog.counts().queues.keys()]).toEqual(['Low', 'é', 'É']);
  });
});

describe('within a queue', () => {
  test('priority decides, then the nominal time, then the attempt, then the id', () => {
    const at = (priority: OpenRun['priority'], scheduledAt: number, attempt: number, runId: string) =>
      run({ priority, scheduledAt, attempt, runId, schedule: runId, openedAt: noon });
    const inOrder = [
      at('critical', noon - 1, 1, 'a'),
      at('critical', noon, 1, 'b'),
      at('high', noon - 9, 1, 'c'),
      at('normal', noon - 2, 2, 'd'),
      at('normal', noon, 1, 'e'),
      at('normal', noon, 1, 'f'),
      at('normal', noon, 2, 'a2'),
      at('low', noon - 99, 1, 'g'),
      at('background', noon - 999, 1, 'h'),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(inOrder, { minLength: inOrder.length }), (shuffled) => {
        expect(names(takeAll(backlogOf(shuffled)))).toEqual(inOrder.map(({ schedule }) => schedule));
      }),
    );
  });

  test('waiting work rises one class for each five minutes', () => {
    expect(risesAfterMs).toBe(5 * minute);
    const first = (now: number): string => {
      const old = run({ priority: 'low', schedule: 'old', scheduledAt: noon, openedAt: noon });
      const young = run({ priority: 'normal', schedule: 'young', scheduledAt: noon + 1, openedAt: now });
      return names(takeAll(backlogOf([young, old]), now))[0]!;
    };
    expect(first(noon + 5 * minute - 1)).toBe('young');
    expect(first(noon + 5 * minute)).toBe('old');
  });

  test('a retry has waited since it was due, not since its first attempt', () => {
    const retry = run({ priority: 'low', schedule: 'retry', notBefore: noon + 60 * minute, attempt: 2 });
    const backlog = backlogOf([retry]);
    expect(backlog.take(noon + 59 * minute)).toBeUndefined();
    backlog.add(run({ priority: 'normal', schedule: 'other', scheduledAt: noon + minute }));
    expect(names(takeAll(backlog, noon + 62 * minute))[0]).toBe('other');
  });

  test('nothing starves: what has risen past critical goes first, whatever else comes', () => {
    const backlog = backlogOf([run({ priority: 'background', schedule: 'patient' })], { workers: 1 });
    let waitedMs = 0;
    for (; ; waitedMs += second) {
      const now = noon + waitedMs;
      // Always one that is as urgent as can be, and for an older instant.
      backlog.add(run({ priority: 'critical', scheduledAt: noon - minute, openedAt: now }));
      const taken = backlog.take(now)!;
      backlog.release(taken.run);
      if (taken.run.schedule === 'patient') break;
      if (waitedMs > 60 * minute) throw new Error('it starves');
    }
    expect(waitedMs).toBe(5 * risesAfterMs);
  });

  test('a backfill does not keep out what is opened while it goes on: its runs grow older only once it is their turn', () => {
    const past = Array.from({ length: 1000 }, (_, index) =>
      run({ schedule: 'backfill', scheduledAt: noon - (1000 - index) * minute, openedAt: noon, group: { key: 'backfill:1', limit: 2 } }),
    );
    const backlog = backlogOf(past, { workers: 2, mostPerGroup: 1000 });
    backlog.add(run({ schedule: 'live', scheduledAt: noon + second, openedAt: noon + second }));
    let now = noon + second;
    for (;;) {
      const taken = takeAll(backlog, now);
      for (const { run: each } of taken) backlog.release(each);
      if (names(taken).includes('live')) break;
      now += 10 * second;
      if (now > noon + 60 * minute) throw new Error('it starves');
    }
    expect(now - noon).toBeLessThan(2 * risesAfterMs);
  });

  test('a clock that is set back by a year does not stop ageing', () => {
    const year = 365 * 24 * 60 * minute;
    const backlog = backlogOf([run({ priority: 'low', schedule: 'old' })], { workers: 0 });
    backlog.take(noon);
    backlog.take(noon - year);
    backlog.add(run({ priority: 'normal', schedule: 'young', scheduledAt: noon + 1, openedAt: noon - year }));
    backlog.configure(usualQueues, 1);
    const now = noon - year + 2 * risesAfterMs;
    backlog.add(run({ priority: 'high', schedule: 'fresh', scheduledAt: noon + 2, openedAt: now }));
    expect(names([backlog.take(now)!])).toEqual(['young']);
    backlog.configure(usualQueues, 3);
    expect(names(takeAll(backlog, now))).toEqual(['old', 'fresh']);
  });

  test('a run that the caller does not accept stays, and the next is offered', () => {
    const backlog = backlogOf([run({ schedule: 'a' }), run({ schedule: 'b' }), run({ schedule: 'c', queue: 'critical' })], { workers: 2 });
    const asked: string[] = [];
    const taken = backlog.take(noon, ({ schedule }) => {
      asked.push(schedule);
      return schedule === 'b';
    });
    expect(taken).toMatchObject({ run: { schedule: 'b' }, waitedFor: null });
    expect(asked.sort()).toEqual(['a', 'b', 'c']);
    expect(backlog.take(noon, () => false)).toBeUndefined();
    expect(names(takeAll(backlog))).toEqual(['c']);
  });
});

describe('limits of a queue', () => {
  test('at most its concurrency is at work, and others go on meanwhile', () => {
    const runs = Array.from({ length: 4 }, () => run({ queue: 'low' }));
    const backlog = backlogOf([...runs, run()], { queues: [queue('low', { weight: 9, concurrency: 2 }), queue('default')] });
    expect(takeAll(backlog).map((taken) => taken.run.queue)).toEqual(['low', 'default', 'low']);
    backlog.release(runs[0]!);
    expect(takeAll(backlog)).toHaveLength(1);
    backlog.configure([queue('low', { concurrency: 3 })], 1000);
    expect(takeAll(backlog)).toHaveLength(1);
  });

  test('a paused queue starts nothing and keeps its runs', () => {
    const backlog = backlogOf([run({ queue: 'low' }), run()], { queues: [queue('low', { paused: true }), queue('default')] });
    expect(takeAll(backlog)).toMatchObject([{ run: { queue: 'default' } }]);
    expect(backlog.counts().queues.get('low')).toEqual({ pending: 1, active: 0, scheduled: 0 });
    expect(backlog.nextAt(noon)).toBe(Number.POSITIVE_INFINITY);
    backlog.configure([queue('low')], 4);
    expect(takeAll(backlog)).toMatchObject([{ run: { queue: 'low' }, waitedFor: 'queue low is paused' }]);
  });

  test('a rate holds over any window, and the next start comes as soon as one has left it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60, size: 'max' }),
        fc.array(fc.integer({ min: -100, max: 0 }), { maxLength: 8 }),
        (count, perMs, steps, before) => {
          const backlog = new Backlog();
          backlog.recall(before.map((at) => ({ queue: 'Q', at: noon + at })));
          backlog.configure([queue('q', { rate: { count, perMs } })], 1000);
          const starts = before.map((at) => noon + at);
          for (let each = 0; each < 100; each++) backlog.add(run({ queue: 'q' }));
          let now = noon;
          for (const step of steps) {
            now += step;
            for (const _ of takeAll(backlog, now)) starts.push(now);
            const recent = starts.filter((at) => at > now - perMs);
            expect(recent.length).toBeLessThanOrEqual(Math.max(count, before.length));
            if (backlog.counts().queues.get('q')!.pending === 0) break;
            // As many as are allowed have started, and the next may when the oldest that counts leaves the window.
            expect(recent.length).toBeGreaterThanOrEqual(count);
            expect(backlog.nextAt(now)).toBe(recent.sort((a, b) => a - b).at(-count)! + perMs);
          }
        },
      ),
    );
  });

  test('a start leaves the window exactly after its length', () => {
    const backlog = backlogOf([run(), run()], { queues: [queue('default', { rate: { count: 1, perMs: minute } })] });
    expect(takeAll(backlog, noon)).toHaveLength(1);
    expect(backlog.nextAt(noon)).toBe(noon + minute);
    expect(takeAll(backlog, noon + minute - 1)).toHaveLength(0);
    expect(takeAll(backlog, noon + minute)).toMatchObject([{ waitedFor: 'queue default: 1 per 1m started' }]);
  });

  test('starts before this process count, whether they are recalled before or after the queues are known', () => {
    const rated = [queue('default', { rate: { count: 2, perMs: minute } })];
    const starts = [noon - 30 * second, noon - 90 * second].map((at) => ({ queue: 'DEFAULT', at }));
    const early = new Backlog();
    early.recall(starts);
    early.configure(rated, 10);
    const late = new Backlog();
    late.configure(rated, 10);
    late.recall(starts);
    for (const backlog of [early, late]) {
      for (let each = 0; each < 3; each++) backlog.add(run());
      expect(takeAll(backlog)).toHaveLength(1);
      expect(backlog.nextAt(noon)).toBe(noon + 30 * second);
      expect(takeAll(backlog, noon + 30 * second)).toHaveLength(1);
    }
  });

  test('a run that is begun by the recovery counts as a start', () => {
    const backlog = backlogOf([run()], { queues: [queue('default', { rate: { count: 1, perMs: minute } })], workers: 0 });
    backlog.take(noon);
    backlog.begin(run());
    backlog.configure([queue('default', { rate: { count: 1, perMs: minute } })], 9);
    expect(backlog.take(noon)).toBeUndefined();
    expect(backlog.nextAt(noon)).toBe(noon + minute);
  });

  test('a clock that is set back does not stop a queue with a rate until it has caught up', () => {
    const backlog = backlogOf([run(), run()], { queues: [queue('default', { rate: { count: 1, perMs: minute } })] });
    backlog.take(noon);
    expect(backlog.take(noon - 60 * minute)).toBeUndefined();
    expect(backlog.nextAt(noon - 60 * minute)).toBe(noon - 59 * minute);
    expect(takeAll(backlog, noon - 59 * minute)).toHaveLength(1);
  });

  test('a rate changes live: a smaller one counts what has started, a new one begins with none', () => {
    const rated = (count: number) => [queue('default', { rate: { count, perMs: minute } })];
    const backlog = backlogOf(
      Array.from({ length: 20 }, () => run()),
      { queues: rated(5) },
    );
    expect(takeAll(backlog)).toHaveLength(5);
    backlog.configure(rated(2), 1000);
    expect(takeAll(backlog, noon + minute - 1)).toHaveLength(0);
    expect(takeAll(backlog, noon + minute)).toHaveLength(2);
    backlog.configure(rated(3), 1000);
    expect(takeAll(backlog, noon + minute)).toHaveLength(1);
    backlog.configure([queue('default')], 1000);
    expect(takeAll(backlog, noon + minute)).toHaveLength(12);
    backlog.add(run());
    backlog.configure(rated(1), 1000);
    expect(takeAll(backlog, noon + minute)).toHaveLength(1);
  });
});

describe('groups', () => {
  test('of one group at most its limit is at work, in nominal order, whatever the order and the priority they came in', () => {
    const members = Array.from({ length: 6 }, (_, index) =>
      run({
        schedule: `${index}`,
        scheduledAt: noon - 60 + index,
        priority: priorities[(index * 2) % 5]!,
        group: { key: 'backfill:1', limit: 2 },
      }),
    );
    fc.assert(
      fc.property(fc.shuffledSubarray(members, { minLength: 6 }), (shuffled) => {
        const backlog = backlogOf(shuffled);
        const started: string[] = [];
        const atWork: OpenRun[] = [];
        while (started.length < 6) {
          const taken = takeAll(backlog);
          started.push(...names(taken));
          atWork.push(...taken.map((each) => each.run));
          expect(atWork.length).toBeLessThanOrEqual(2);
          backlog.release(atWork.shift()!);
        }
        expect(started).toEqual(['0', '1', '2', '3', '4', '5']);
      }),
    );
  });

  test('caught-up runs go one after another, and live ones behind them', () => {
    const group = one('schedule:7');
    const live = run({ schedule: 'live', scheduledAt: noon, group });
    const caughtUp = [3, 2, 1].map((hours) =>
      run({ schedule: `-${hours}h`, scheduledAt: noon - hours * 60 * minute, trigger: 'catchup', openedAt: noon, group }),
    );
    const backlog = backlogOf([live, ...caughtUp]);
    const order: string[] = [];
    for (let each = 0; each < 4; each++) {
      const taken = takeAll(backlog);
      expect(taken).toHaveLength(1);
      order.push(...names(taken));
      backlog.release(taken[0]!.run);
    }
    expect(order).toEqual(['-3h', '-2h', '-1h', 'live']);
  });

  test('a busy group blocks nobody behind it', () => {
    const busy = Array.from({ length: 500 }, () => run({ priority: 'critical', group: one('busy') }));
    const backlog = backlogOf([...busy, run({ priority: 'background', schedule: 'free' })]);
    expect(names(takeAll(backlog))).toEqual(['job', 'free']);
  });

  test('a retry that waits for its time holds those behind it where one runs at a time', () => {
    const group = one('schedule:1');
    const first = run({ schedule: 'first', group });
    const backlog = backlogOf([first, run({ schedule: 'second', scheduledAt: noon + 1, group })]);
    expect(names(takeAll(backlog))).toEqual(['first']);
    backlog.add(run({ schedule: 'retry', attempt: 2, notBefore: noon + minute, group }));
    backlog.release(first);
    expect(takeAll(backlog, noon + minute - 1)).toEqual([]);
    expect(backlog.nextAt(noon + 1)).toBe(noon + minute);
    expect(takeAll(backlog, noon + minute)).toMatchObject([{ run: { schedule: 'retry' }, waitedFor: null }]);
  });

  test('where several run at a time, the others go on while a retry waits', () => {
    const group = { key: 'backfill:1', limit: 2 };
    const backlog = backlogOf([
      run({ schedule: 'retry', attempt: 2, scheduledAt: noon - 9, notBefore: noon + minute, group }),
      run({ schedule: 'a', scheduledAt: noon - 8, group }),
      run({ schedule: 'b', scheduledAt: noon - 7, group }),
      run({ schedule: 'c', scheduledAt: noon - 6, group }),
    ]);
    const taken = takeAll(backlog);
    expect(names(taken)).toEqual(['a', 'b']);
    backlog.release(taken[0]!.run);
    expect(names(takeAll(backlog, noon + minute))).toEqual(['retry']);
  });

  test('the next goes on when the first is removed', () => {
    const first = run({ group: one('g') });
    const backlog = backlogOf([first, run({ schedule: 'next', scheduledAt: noon + 1, group: one('g') })]);
    expect(backlog.remove(first.runId)).toBe(first);
    expect(names(takeAll(backlog))).toEqual(['next']);
  });

  test('a run is held by its group across queues', () => {
    const first = run({ queue: 'low', schedule: 'first', group: one('g') });
    const backlog = backlogOf([run({ queue: 'critical', schedule: 'second', scheduledAt: noon + 1, group: one('g') }), first], {
      queues: [queue('low', { paused: true }), queue('critical')],
    });
    expect(takeAll(backlog)).toEqual([]);
    backlog.configure([queue('low'), queue('critical')], 4);
    expect(names(takeAll(backlog))).toEqual(['first']);
  });
});

describe('time', () => {
  test('a run does not start before its time, and nextAt tells when it may', () => {
    const backlog = backlogOf([run({ notBefore: noon + 10, schedule: 'soon' }), run({ notBefore: noon + 20, schedule: 'later' })]);
    expect(backlog.nextAt(noon)).toBe(noon + 10);
    expect(takeAll(backlog, noon + 9)).toEqual([]);
    expect(backlog.counts().queues.get('default')).toEqual({ pending: 0, active: 0, scheduled: 2 });
    expect(takeAll(backlog, noon + 10)).toMatchObject([{ run: { schedule: 'soon' }, waitedFor: null }]);
    expect(backlog.nextAt(noon + 10)).toBe(noon + 20);
  });

  test('nextAt lies ahead: what is due already does not wait for time', () => {
    const backlog = backlogOf([run({ notBefore: noon + 10 }), run({ notBefore: noon + 20 }), run()], { workers: 0 });
    expect(backlog.nextAt(noon + 15)).toBe(noon + 20);
    expect(backlog.nextAt(noon + 20)).toBe(Number.POSITIVE_INFINITY);
    // Asking with another time changes nothing.
    expect(backlog.nextAt(noon)).toBe(noon + 10);
  });

  test('with nothing but free runs, nothing is worth waiting for', () => {
    expect(backlogOf([run()]).nextAt(noon)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('what a run waited for', () => {
  test('nothing, where it started at the first take after it became ready', () => {
    expect(takeAll(backlogOf([run(), run()])).map(({ waitedFor }) => waitedFor)).toEqual([null, null]);
  });

  test('workers', () => {
    const runs = Array.from({ length: 6 }, () => run());
    const backlog = backlogOf(runs, { workers: 4 });
    for (const { run: each } of takeAll(backlog)) backlog.release(each);
    backlog.add(run());
    expect(takeAll(backlog).map(({ waitedFor }) => waitedFor)).toEqual(['workers: 4 of 4 busy', 'workers: 4 of 4 busy', null]);
  });

  test('workers too where the caller never asks in vain, because it counts them itself', () => {
    const runs = [run(), run()];
    const backlog = backlogOf(runs, { workers: 1 });
    backlog.release(backlog.take(noon)!.run);
    expect(backlog.take(noon)).toMatchObject({ waitedFor: 'workers: 1 of 1 busy' });
  });

  test('its queue: the concurrency, the rate, a pause', () => {
    const reason = (held: Partial<QueueDefinition>): string | null => {
      const backlog = backlogOf([run({ queue: 'low' }), run({ queue: 'low' })], { queues: [queue('Low', held)] });
      takeAll(backlog);
      backlog.configure([queue('Low')], 10);
      return backlog.take(noon)!.waitedFor;
    };
    expect(reason({ concurrency: 1 })).toBe('queue Low: 1 of 1 busy');
    expect(reason({ rate: { count: 1, perMs: 90 * second } })).toBe('queue Low: 1 per 1m30s started');
    expect(reason({ paused: true })).toBe('queue Low is paused');
  });

  test('whatever the caller says that keeps it', () => {
    const [refused, accepted] = [run({ schedule: 'refused' }), run({ schedule: 'accepted' })];
    const backlog = backlogOf([refused!, accepted!]);
    expect(backlog.take(noon, ({ schedule }) => schedule === 'accepted', 'not yet')).toMatchObject({ waitedFor: null });
    expect(backlog.take(noon, ({ schedule }) => schedule === 'accepted', 'not yet')).toBeUndefined();
    backlog.add(run({ schedule: 'later' }));
    backlog.keepWaiting(noon, 'nobody now');
    expect(takeAll(backlog)).toMatchObject([
      { run: { schedule: 'refused' }, waitedFor: 'not yet' },
      { run: { schedule: 'later' }, waitedFor: 'nobody now' },
    ]);
  });

  test('the run before it', () => {
    const group = one('g');
    const first = run({ group });
    const backlog = backlogOf([first, run({ scheduledAt: noon + 1, group })]);
    takeAll(backlog);
    backlog.release(first);
    expect(takeAll(backlog)).toMatchObject([{ waitedFor: 'the run before it' }]);
  });

  test('the first of several, and the same ever after', () => {
    const [first, second_, third] = [run({ group: one('g') }), run({ group: one('g') }), run()];
    const backlog = backlogOf([first!, second_!], { workers: 1 });
    takeAll(backlog);
    backlog.add(third!);
    backlog.release(first!);
    expect(backlog.take(noon)).toMatchObject({ run: { runId: second_!.runId }, waitedFor: 'the run before it' });
    backlog.configure([queue('default', { paused: true })], 1);
    expect(backlog.take(noon)).toBeUndefined();
    backlog.configure([queue('default')], 5);
    expect(backlog.take(noon)).toMatchObject({ run: { runId: third!.runId }, waitedFor: 'workers: 1 of 1 busy' });
  });

  test('a retry: what kept it after it was due', () => {
    const busy = run();
    const backlog = backlogOf([busy, run({ attempt: 2, notBefore: noon + minute })], { workers: 1 });
    takeAll(backlog);
    takeAll(backlog, noon + minute);
    backlog.release(busy);
    expect(takeAll(backlog, noon + 2 * minute)).toMatchObject([{ waitedFor: 'workers: 1 of 1 busy' }]);
  });
});

describe('removal', () => {
  test('what was closed by hand does not start; what waits nowhere is told so', () => {
    const [first, second_] = [run(), run()];
    const backlog = backlogOf([first!, second_!]);
    expect(backlog.has(first!.runId)).toBe(true);
    expect(backlog.remove(first!.runId)).toBe(first);
    expect(backlog.has(first!.runId)).toBe(false);
    expect(backlog.remove(first!.runId)).toBeUndefined();
    takeAll(backlog);
    expect(backlog.remove(second_!.runId)).toBeUndefined();
    expect(backlog.counts().active).toBe(1);
  });

  test('a dropped schedule loses what waits, retries too, and nothing that runs', () => {
    const runs = [
      run({ scheduleId: 7 }),
      run({ scheduleId: 7, group: one('g') }),
      run({ scheduleId: 7, notBefore: noon + 9 }),
      run({ scheduleId: 8 }),
    ];
    const backlog = backlogOf([...runs, run({ scheduleId: null })]);
    const atWork = backlog.take(noon)!;
    expect(backlog.removeSchedule(7)).toEqual(runs.slice(0, 3).filter((each) => each !== atWork.run));
    expect(backlog.removeSchedule(7)).toEqual([]);
    expect(takeAll(backlog).map((taken) => taken.run.scheduleId)).toEqual([8, null]);
    expect(backlog.counts().active).toBe(3);
  });
});

// A backlog as one would write it without a thought for speed: an array, and the rules. What it does not have is a memory that
// ends.
class NaiveBacklog {
  waiting: { run: OpenRun; asleep: boolean; since: number | undefined; waitedFor: string | null }[] = [];
  atWork: OpenRun[] = [];
  #starts: { queue: string; at: number }[] = [];
  #turns = new Map<string, number>();
  #turn = 0;
  #queues: readonly QueueDefinition[] = [];
  #workers = 0;
  #now = Number.NEGATIVE_INFINITY;

  configure(queues: readonly QueueDefinition[], workers: number): void {
    this.#starts = this.#starts.filter(({ queue: name }) => queues.some((each) => each.name === name && each.rate !== null));
    this.#queues = queues;
    this.#workers = workers;
  }

  add(added: OpenRun): void {
    const asleep = added.notBefore !== null && added.notBefore > this.#now;
    const waiting = { run: added, asleep, since: undefined as number | undefined, waitedFor: null };
    this.waiting.push(waiting);
    if (this.#isFirst(waiting)) waiting.since = Math.max(added.openedAt, added.notBefore ?? 0);
  }

  remove(runId: string): void {
    this.waiting = this.waiting.filter((each) => each.run.runId !== runId);
  }

  begin(begun: OpenRun): void {
    this.remove(begun.runId);
    this.atWork.push(begun);
    if (this.#definition(begun).rate !== null && this.#now > Number.NEGATIVE_INFINITY)
      this.#starts.push({ queue: begun.queue, at: this.#now });
  }

  release({ runId }: OpenRun): void {
    this.atWork = this.atWork.filter((each) => each.runId !== runId);
  }

  take(now: number, accept: (run: OpenRun) => boolean = () => true): Taken | undefined {
    this.#now = now;
    const due = this.waiting.filter(({ asleep, run: { notBefore } }) => asleep && notBefore! <= now);
    due.sort((a, b) => a.run.notBefore! - b.run.notBefore! || inGroup(a.run, b.run));
    for (const waiting of due) {
      waiting.asleep = false;
      if (this.#isFirst(waiting)) waiting.since = Math.max(waiting.run.openedAt, waiting.run.notBefore!);
    }
    for (const waiting of this.waiting)
      if (waiting.since === undefined && this.#isFirst(waiting))
        waiting.since = Math.max(waiting.run.openedAt, waiting.run.notBefore ?? 0, now);
    const free =
      this.atWork.length < this.#workers
        ? this.waiting.filter((each) => this.#isFirst(each) && this.#held(each.run.queue) === null && accept(each.run))
        : [];
    free.sort((a, b) => this.#turnOf(a) - this.#turnOf(b) || this.#byWeight(a, b) || this.#byUrgency(a, b));
    const next = free[0];
    if (next !== undefined) {
      this.#turn = this.#turnOf(next);
      this.#turns.set(next.run.queue, this.#turn + 1 / this.#definition(next.run).weight);
      this.begin(next.run);
    }
    if (next === undefined || this.atWork.length >= this.#workers) {
      const busy = this.atWork.length >= this.#workers ? `workers: ${this.atWork.length} of ${this.#workers} busy` : null;
      for (const waiting of this.waiting)
        if (!waiting.asleep) waiting.waitedFor ??= this.#isFirst(waiting) ? (this.#held(waiting.run.queue) ?? busy) : 'the run before it';
    }
    return next && { run: next.run, waitedFor: next.waitedFor };
  }

  nextAt(now: number): number {
    const times = this.waiting.map(({ run: { notBefore } }) => notBefore ?? now);
    for (const waiting of this.waiting) {
      const { rate, paused } = this.#definition(waiting.run);
      if (rate === null || paused || !this.#isFirst(waiting)) continue;
      const starts = this.#starts.filter(({ queue: name }) => name === waiting.run.queue).map(({ at }) => at);
      if (starts.length >= rate.count) times.push(starts.sort((a, b) => b - a)[rate.count - 1]! + rate.perMs);
    }
    return Math.min(...times.filter((time) => time > now), Number.POSITIVE_INFINITY);
  }

  /** Nothing but a turn is missing. */
  #isFirst({ run: own, asleep }: { run: OpenRun; asleep: boolean }): boolean {
    if (asleep) return false;
    const { group } = own;
    if (group === null) return true;
    const line = this.waiting.filter((each) => each.run.group?.key === group.key && (!each.asleep || group.limit === 1));
    line.sort((a, b) => inGroup(a.run, b.run));
    return line[0]?.run === own && this.atWork.filter((each) => each.group?.key === group.key).length < group.limit;
  }

  #held(name: string): string | null {
    const { paused, concurrency, rate } = this.#definition({ queue: name });
    const active = this.atWork.filter((each) => each.queue === name).length;
    if (paused) return `queue ${name} is paused`;
    if (concurrency !== null && active >= concurrency) return `queue ${name}: ${active} of ${concurrency} busy`;
    const recent = rate === null ? 0 : this.#starts.filter((start) => start.queue === name && start.at > this.#now - rate.perMs).length;
    return rate !== null && recent >= rate.count ? `queue ${name}: ${rate.count} per ${formatDuration(rate.perMs)} started` : null;
  }

  #definition({ queue: name }: { queue: string }): QueueDefinition {
    return this.#queues.find((each) => each.name === name) ?? queue(name, { weight: 1 });
  }

  #turnOf({ run: own }: { run: OpenRun }): number {
    return Math.max(this.#turns.get(own.queue) ?? 0, this.#turn);
  }

  #byWeight({ run: a }: { run: OpenRun }, { run: b }: { run: OpenRun }): number {
    return this.#definition(b).weight - this.#definition(a).weight || (a.queue < b.queue ? -1 : a.queue > b.queue ? 1 : 0);
  }

  #byUrgency(a: { run: OpenRun; since: number | undefined }, b: { run: OpenRun; since: number | undefined }): number {
    const raised = (each: typeof a) =>
      Math.max(-1, priorities.indexOf(each.run.priority) - Math.max(0, Math.floor((this.#now - each.since!) / risesAfterMs)));
    if (raised(a) !== raised(b)) return raised(a) - raised(b);
    return (raised(a) < 0 ? a.since! - b.since! : 0) || inGroup(a.run, b.run);
  }
}

const inGroup = (a: OpenRun, b: OpenRun): number =>
  a.scheduledAt - b.scheduledAt || a.attempt - b.attempt || (a.runId < b.runId ? -1 : a.runId > b.runId ? 1 : 0);

const anyPriority = fc.constantFrom(...priorities);
const anyQueue = fc.constantFrom('critical', 'default', 'low', 'other');

/** Groups 0 to 2 run one at a time, 3 two and 4 three. */
const groupOf = (key: number | null) => (key === null ? null : { key: `group:${key}`, limit: Math.max(1, key - 1) });

const anyRun = fc.record({
  queue: anyQueue,
  priority: anyPriority,
  group: fc.option(fc.nat({ max: 4 }), { freq: 1 }),
  nominalMs: fc.integer({ min: -5, max: 5 }).map((minutes) => minutes * minute),
  attempt: fc.integer({ min: 1, max: 2 }),
  sleepsMs: fc.option(fc.constantFrom(1, 30 * second, minute, 6 * minute), { freq: 3 }),
  scheduleId: fc.nat({ max: 6 }),
});

const anyQueues = fc
  .tuple(
    ...['critical', 'default', 'low'].map((name) =>
      fc.record({
        name: fc.constant(name),
        weight: fc.integer({ min: 1, max: 8 }),
        concurrency: fc.option(fc.integer({ min: 1, max: 3 }), { freq: 1 }),
        rate: fc.option(fc.record({ count: fc.integer({ min: 1, max: 3 }), perMs: fc.constantFrom(second, minute, 7 * minute) }), {
          freq: 1,
        }),
        paused: fc.nat({ max: 5 }).map((drawn) => drawn === 0),
      }),
    ),
  )
  .map((queues) => queues as QueueDefinition[]);

const anyStep = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('add' as const), runs: fc.array(anyRun, { minLength: 1, maxLength: 4 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('take' as const), most: fc.integer({ min: 1, max: 9 }), picky: fc.nat({ max: 3 }) }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('release' as const), index: fc.nat() }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, second, minute, 299_999, 300_000, 11 * minute) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), index: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), scheduleId: fc.nat({ max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('begin' as const), index: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('configure' as const), queues: anyQueues, workers: fc.integer({ min: 0, max: 6 }) }),
  },
);

function runOf(drawn: typeof anyRun extends fc.Arbitrary<infer Drawn> ? Drawn : never, now: number): OpenRun {
  const { nominalMs, sleepsMs, group, ...values } = drawn;
  return run({
    ...values,
    group: groupOf(group),
    scheduledAt: noon + nominalMs,
    openedAt: now,
    notBefore: sleepsMs === null ? null : now + sleepsMs,
  });
}

describe('the rules', () => {
  test('hold as in a plain array that is searched from end to end, over whatever happens', () => {
    fc.assert(
      fc.property(
        anyQueues,
        fc.integer({ min: 1, max: 6 }),
        fc.array(anyStep, { maxLength: 80, size: 'max' }),
        (queues, workers, steps) => {
          const backlog = new Backlog();
          const naive = new NaiveBacklog();
          backlog.configure(queues, workers);
          naive.configure(queues, workers);
          let now = noon;
          for (const step of steps) {
            switch (step.kind) {
              case 'add':
                for (const drawn of step.runs) {
                  const added = runOf(drawn, now);
                  backlog.add(added);
                  naive.add(added);
                }
                break;
              case 'take':
                for (let each = 0; each < step.most; each++) {
                  const accept = step.picky > 0 ? undefined : ({ scheduleId }: OpenRun) => scheduleId !== null && scheduleId % 2 === 0;
                  const expected = naive.take(now, accept);
                  expect(backlog.take(now, accept)).toEqual(expected);
                  if (expected === undefined) break;
                }
                break;
              case 'release': {
                const ended = naive.atWork[step.index % naive.atWork.length];
                if (ended === undefined) break;
                backlog.release(ended);
                naive.release(ended);
                break;
              }
              case 'pass':
                now += step.ms;
                break;
              case 'remove': {
                const removed = naive.waiting[step.index % naive.waiting.length]?.run;
                if (removed === undefined) break;
                expect(backlog.remove(removed.runId)).toBe(removed);
                naive.remove(removed.runId);
                break;
              }
              case 'drop': {
                const dropped = naive.waiting.map((each) => each.run).filter(({ scheduleId }) => scheduleId === step.scheduleId);
                expect(backlog.removeSchedule(step.scheduleId)).toEqual(dropped);
                for (const { runId } of dropped) naive.remove(runId);
                break;
              }
              case 'begin': {
                const begun = naive.waiting[step.index % naive.waiting.length]?.run;
                if (begun === undefined) break;
                backlog.begin(begun);
                naive.begin(begun);
                break;
              }
              case 'configure':
                backlog.configure(step.queues, step.workers);
                naive.configure(step.queues, step.workers);
                break;
              default:
                step satisfies never;
            }
            expect(backlog.nextAt(now)).toBe(naive.nextAt(now));
            const { queues: counts, active } = backlog.counts();
            expect(active).toBe(naive.atWork.length);
            for (const [name, { pending, scheduled }] of counts) {
              const own = naive.waiting.filter((each) => each.run.queue === name);
              expect([pending, scheduled]).toEqual([own.filter((each) => !each.asleep).length, own.filter((each) => each.asleep).length]);
            }
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

/** The table of open runs, and the loop's part in reading it. */
class Table {
  open: OpenRun[] = [];
  atWork: OpenRun[] = [];
  started: OpenRun[] = [];
  refills = 0;
  readonly backlog: Backlog;
  /** Whether queues take turns in its answers, or the most urgent come first whosoever they are. */
  readonly isFair: boolean;

  constructor(backlog: Backlog, isFair = true) {
    this.backlog = backlog;
    this.isFair = isFair;
  }

  add(added: OpenRun): void {
    this.open.push(added);
    this.backlog.add(added);
  }

  close(runId: string): void {
    this.open = this.open.filter((each) => each.runId !== runId);
    this.atWork = this.atWork.filter((each) => each.runId !== runId);
  }

  end(ended: OpenRun): void {
    this.close(ended.runId);
    this.backlog.release(ended);
  }

  /** As the ledger answers: the first of each queue, then the second of each .., of a group the first; at work or not, for it cannot know. */
  waiting(now: number, limit: number, perGroup: number): OpenRun[] {
    const level = ({ priority, openedAt, notBefore }: OpenRun) =>
      Math.max(-1, priorities.indexOf(priority) - Math.floor((now - Math.max(openedAt, notBefore ?? 0)) / risesAfterMs));
    const inGroups = new Map<string, number>();
    const inQueues = new Map<string, number>();
    return this.open
      .filter(({ notBefore }) => notBefore === null || notBefore <= now)
      .sort(inGroup)
      .filter(({ group }) => {
        if (group === null) return true;
        inGroups.set(group.key, (inGroups.get(group.key) ?? 0) + 1);
        return inGroups.get(group.key)! <= perGroup;
      })
      .sort((a, b) => level(a) - level(b) || inGroup(a, b))
      .map((row) => {
        inQueues.set(row.queue, (inQueues.get(row.queue) ?? 0) + 1);
        return { row, turn: inQueues.get(row.queue)! };
      })
      .sort((a, b) => (this.isFair ? a.turn - b.turn : 0))
      .slice(0, limit)
      .map(({ row }) => row);
  }

  refill(now: number): void {
    this.refills += 1;
    const mark = this.backlog.beginRefill();
    const rows = this.waiting(now, mark.limit, mark.perGroup);
    this.backlog.refill(mark, rows, rows.length < mark.limit);
  }

  /** Asks for the table where it is wanted, and starts what may start. */
  run(now: number): OpenRun[] {
    const before = this.started.length;
    for (;;) {
      if (this.backlog.wantsRefill(now)) this.refill(now);
      const taken = this.backlog.take(now);
      if (taken === undefined) break;
      this.started.push(taken.run);
      this.atWork.push(taken.run);
    }
    return this.started.slice(before);
  }
}

describe('a memory that ends', () => {
  test('holds no more than it may, whatever is added', () => {
    for (const [group, sleeps] of [
      [false, false],
      [true, false],
      [true, true],
    ]) {
      const backlog = backlogOf([], { mostKept: 100, mostPerGroup: 10 });
      backlog.take(noon);
      for (let each = 0; each < 5000; each++) {
        backlog.add(
          run({
            scheduledAt: noon - ((each * 7919) % 5000),
            queue: ['critical', 'default', 'low'][each % 3]!,
            group: group ? one(`g${each % 700}`) : null,
            notBefore: sleeps ? noon + 1 + ((each * 31) % 997) : null,
          }),
        );
        const counts = [...backlog.counts().queues.values()];
        expect(counts.reduce((sum, { pending, scheduled }) => sum + pending + scheduled, 0)).toBeLessThanOrEqual(100);
      }
      expect(backlog.spilled).toBe(true);
    }
  });

  test('a critical run is not shut out by any number of low ones, and takes the place of one', () => {
    const backlog = backlogOf([], { mostKept: 100 });
    for (let each = 0; each < 1000; each++) backlog.add(run({ priority: 'low', scheduledAt: noon - minute }));
    const critical = run({ priority: 'critical', scheduledAt: noon });
    backlog.add(critical);
    expect(backlog.has(critical.runId)).toBe(true);
    expect(backlog.take(noon)!.run).toBe(critical);
  });

  test('one queue does not shut out another, whichever was there first', () => {
    const backlog = backlogOf([], { mostKept: 100 });
    for (const name of ['low', 'critical', 'default'])
      for (let each = 0; each < 1000; each++) backlog.add(run({ queue: name, priority: name === 'low' ? 'critical' : 'background' }));
    for (const { pending } of backlog.counts().queues.values()) expect(pending).toBeGreaterThanOrEqual(28);
  });

  test('sleepers do not shut out what is ready, nor the other way about', () => {
    const sleeper = () => run({ notBefore: noon + minute });
    for (const order of [
      [sleeper, run],
      [run, sleeper],
    ]) {
      const backlog = backlogOf([], { mostKept: 100 });
      backlog.take(noon);
      for (const make of order) for (let each = 0; each < 1000; each++) backlog.add(make());
      const { pending, scheduled } = backlog.counts().queues.get('default')!;
      expect(pending).toBeGreaterThanOrEqual(60);
      expect(scheduled).toBeGreaterThanOrEqual(20);
    }
  });

  test('of one group no more are kept than is useful, and the rest comes in its order', () => {
    const table = new Table(backlogOf([], { mostPerGroup: 10, workers: 1 }));
    const expected = Array.from({ length: 200 }, (_, index) => run({ scheduledAt: noon - 1000 + index, group: one('g') }));
    for (const each of expected) table.add(each);
    expect(table.backlog.counts().queues.get('default')!.pending).toBe(10);
    for (let each = 0; each < 200; each++) {
      expect(table.run(noon)).toHaveLength(1);
      // Live ones, which are younger than all that the table holds.
      if (each === 0) {
        const live = run({ scheduledAt: noon + each, group: one('g') });
        expected.push(live);
        table.add(live);
      }
      table.end(table.atWork[0]!);
    }
    while (table.run(noon).length > 0) table.end(table.atWork[0]!);
    expect(table.started).toEqual(expected);
    expect(table.refills).toBeLessThan(40);
  });

  test('is a window: with the table behind it, runs of a queue start in the order they would without an end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 40 }),
        fc.array(fc.record({ queue: anyQueue, priority: anyPriority, nominal: fc.nat({ max: 20 }), takes: fc.nat({ max: 3 }) }), {
          minLength: 50,
          maxLength: 300,
          size: 'max',
        }),
        (mostKept, draws) => {
          const table = new Table(backlogOf([], { mostKept, workers: 1 }));
          let now = noon;
          const startOne = (): boolean => {
            const open = [...table.open];
            let [started] = table.run(now);
            // After a refill that brought little it waits a little, never as long as a class.
            for (; started === undefined && open.length > 0; now += 100) [started] = table.run(now);
            if (started === undefined) return false;
            expect(now - noon).toBeLessThan(risesAfterMs);
            const rivals = open.filter(({ queue: name }) => name === started.queue);
            rivals.sort((a, b) => priorities.indexOf(a.priority) - priorities.indexOf(b.priority) || inGroup(a, b));
            expect(started).toBe(rivals[0]);
            table.end(started);
            return true;
          };
          for (const { takes, nominal, ...values } of draws) {
            table.add(run({ ...values, scheduledAt: noon - nominal }));
            for (let each = 0; each < takes; each++) if (each === 2) startOne();
          }
          while (startOne());
          expect(table.open).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('loses nothing and starts nothing twice, in whatever order the table answers, and keeps the order within groups', () => {
    let refills = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 30 }),
        fc.integer({ min: 1, max: 6 }),
        fc.boolean(),
        fc.array(anyStep, { minLength: 20, maxLength: 150, size: 'max' }),
        (mostKept, mostPerGroup, isFair, steps) => {
          const backlog = new Backlog({ mostKept, mostPerGroup });
          const table = new Table(backlog, isFair);
          let queues: readonly QueueDefinition[] = usualQueues;
          backlog.configure(queues, 3);
          let workers = 3;
          let now = noon;
          let answer: { mark: ReturnType<Backlog['beginRefill']>; rows: OpenRun[]; complete: boolean } | undefined;
          const ever: OpenRun[] = [];
          const gone = new Set<string>();
          const takeOne = (): boolean => {
            const taken = backlog.take(now)?.run;
            if (taken === undefined) return false;
            expect(gone.has(taken.runId)).toBe(false);
            expect(table.started).not.toContain(taken);
            expect(taken.notBefore ?? now).toBeLessThanOrEqual(now);
            const definition = queues.find(({ name }) => name === taken.queue);
            expect(definition?.paused ?? false).toBe(false);
            table.started.push(taken);
            table.atWork.push(taken);
            expect(table.atWork.length).toBeLessThanOrEqual(workers);
            expect(table.atWork.filter(({ queue: name }) => name === taken.queue).length).toBeLessThanOrEqual(
              definition?.concurrency ?? workers,
            );
            const { group } = taken;
            if (group !== null) {
              const members = table.open.filter((each) => each.group?.key === group.key);
              expect(members.filter((each) => table.atWork.includes(each)).length).toBeLessThanOrEqual(group.limit);
              const before = members.filter((each) => inGroup(each, taken) < 0 && !table.atWork.includes(each));
              // A sleeper may have been forgotten, with nothing left that knows of it.
              expect(before.filter((each) => each.notBefore === null && each.priority === taken.priority)).toEqual([]);
            }
            return true;
          };
          const finishRead = (): void => {
            if (answer === undefined) return;
            backlog.refill(answer.mark, answer.rows, answer.complete);
            answer = undefined;
          };
          const read = (): void => {
            finishRead();
            if (!backlog.wantsRefill(now)) return;
            refills += 1;
            const mark = backlog.beginRefill();
            const rows = table.waiting(now, mark.limit, mark.perGroup);
            answer = { mark, rows, complete: rows.length < mark.limit };
          };
          for (const step of steps) {
            read();
            switch (step.kind) {
              case 'add':
                for (const drawn of step.runs) {
                  // One priority for each group: with several, what overflows may lose its order.
                  const added = runOf({ ...drawn, priority: drawn.group === null ? drawn.priority : 'normal' }, now);
                  ever.push(added);
                  table.add(added);
                }
                break;
              case 'take':
                for (let each = 0; each < step.most && takeOne(); each++);
                break;
              case 'release':
                if (table.atWork.length > 0) table.end(table.atWork[step.index % table.atWork.length]!);
                break;
              case 'pass':
                now += step.ms;
                break;
              case 'remove':
              case 'begin': {
                const removed = table.open[step.index % table.open.length];
                if (removed === undefined || table.atWork.includes(removed)) break;
                gone.add(removed.runId);
                table.close(removed.runId);
                backlog.remove(removed.runId);
                break;
              }
              case 'drop': {
                const dropped = table.open.filter((each) => each.scheduleId === step.scheduleId && !table.atWork.includes(each));
                for (const { runId } of dropped) {
                  gone.add(runId);
                  table.close(runId);
                }
                backlog.removeSchedule(step.scheduleId);
                break;
              }
              case 'configure':
                queues = step.queues;
                workers = step.workers;
                backlog.configure(queues, workers);
                break;
              default:
                step satisfies never;
            }
          }
          queues = usualQueues;
          workers = 3;
          backlog.configure(queues, workers);
          for (let turn = 0; table.open.length > 0; turn++) {
            if (turn > 20_000) throw new Error(`${table.open.length} runs never start`);
            read();
            while (takeOne());
            if (table.atWork.length > 0) table.end(table.atWork[0]!);
            else now += second;
          }
          const expected = ever.filter(({ runId }) => !gone.has(runId)).map(({ runId }) => runId);
          expect(table.started.map(({ runId }) => runId).sort()).toEqual(expected.sort());
        },
      ),
      { numRuns: 300 },
    );
    expect(refills).toBeGreaterThan(600);
  });

  test('looks past any number of runs that stand behind a sleeping retry', () => {
    const table = new Table(backlogOf([], { mostKept: 400, mostPerGroup: 20, workers: 4 }));
    table.run(noon);
    for (let each = 0; each < 90; each++) {
      const group = one(`g${each}`);
      table.add(run({ attempt: 2, notBefore: noon + 60 * minute, scheduledAt: noon - 60 * minute, openedAt: noon, group }));
      for (let behind = 1; behind <= 20; behind++) table.add(run({ scheduledAt: noon - (60 - behind) * minute, openedAt: noon, group }));
    }
    for (let each = 0; each < 50; each++) table.add(run({ schedule: 'healthy', group: one(`h${each}`) }));
    let now = noon;
    for (; table.started.length < 50 && now < noon + minute; now += 100) for (const started of table.run(now)) table.end(started);
    expect(table.started.filter(({ schedule }) => schedule === 'healthy')).toHaveLength(50);
    expect(table.refills).toBeLessThan(20);
  });

  test('remembers of what came back from the table why its queue waited', () => {
    const table = new Table(backlogOf([], { mostKept: 20, queues: [queue('default', { paused: true })] }));
    for (let each = 0; each < 100; each++) table.add(run());
    expect(table.backlog.take(noon)).toBeUndefined();
    const reasons = new Set<string | null>();
    for (let each = 0; each < 100; each++) {
      table.backlog.configure(usualQueues, 0);
      if (table.backlog.wantsRefill(noon)) table.refill(noon);
      // All workers are busy now; it is not what came first.
      expect(table.backlog.take(noon)).toBeUndefined();
      table.backlog.configure(usualQueues, 1);
      const taken = table.backlog.take(noon)!;
      reasons.add(taken.waitedFor);
      table.end(taken.run);
    }
    expect([...reasons]).toEqual(['queue default is paused']);
  });

  test('a group whose first ones ran out starts nothing younger before the table was read', () => {
    const table = new Table(backlogOf([], { mostPerGroup: 4, workers: 1 }));
    const expected = Array.from({ length: 10 }, (_, index) => run({ scheduledAt: noon - 100 + index, group: one('g') }));
    for (const each of expected) table.add(each);
    const startAll = (): void => {
      for (let taken = table.backlog.take(noon); taken !== undefined; taken = table.backlog.take(noon)) {
        table.started.push(taken.run);
        table.end(taken.run);
      }
    };
    startAll();
    expect(table.started).toHaveLength(4);
    const live = run({ group: one('g') });
    table.add(live);
    startAll();
    expect(table.started).toHaveLength(4);
    // The same where what is left in the table came while it was being read.
    const mark = table.backlog.beginRefill();
    const rows = table.waiting(noon, mark.limit, 2);
    const later = run({ scheduledAt: noon + 1, group: one('g') });
    table.add(later);
    table.backlog.refill(mark, rows, true);
    startAll();
    expect(table.started).toEqual(expected.slice(0, 6));
    const latest = run({ scheduledAt: noon + 2, group: one('g') });
    table.add(latest);
    startAll();
    expect(table.started).toHaveLength(6);
    for (let now = noon; table.open.length > 0 && now < noon + minute; now += 100) for (const started of table.run(now)) table.end(started);
    expect(table.started).toEqual([...expected, live, later, latest]);
  });

  test('what was spilled of a group while the table was read stays before what comes later', () => {
    for (const before of [3, 4]) {
      const backlog = backlogOf([], { mostPerGroup: 3 });
      const members = Array.from({ length: 6 }, (_, index) => run({ schedule: `${index}`, scheduledAt: noon + index, group: one('g') }));
      for (const each of members.slice(0, before)) backlog.add(each);
      const mark = backlog.beginRefill();
      for (const each of members.slice(before)) backlog.add(each);
      backlog.refill(mark, members.slice(0, 1), true);
      const started: string[] = [];
      const startAll = (): void => {
        for (let taken = backlog.take(noon); taken !== undefined; taken = backlog.take(noon)) {
          started.push(taken.run.schedule);
          backlog.release(taken.run);
        }
      };
      startAll();
      backlog.add(run({ schedule: 'live', scheduledAt: noon + 9, group: one('g') }));
      startAll();
      expect(started).toEqual(['0']);
      expect(backlog.wantsRefill(noon + second)).toBe(true);
    }
  });

  test('of sleepers those are forgotten first that hold nobody', () => {
    const holding = Array.from({ length: 10 }, (_, each) => run({ notBefore: noon + 60 * minute, attempt: 2, group: one(`g${each}`) }));
    const backlog = backlogOf([], { mostKept: 60 });
    backlog.take(noon);
    for (const sleeper of holding) {
      backlog.add(sleeper);
      backlog.add(run({ scheduledAt: noon + 1, group: sleeper.group }));
    }
    for (let each = 0; each < 100; each++) backlog.add(run({ notBefore: noon + minute, group: one(`alone${each}`) }));
    expect(holding.filter(({ runId }) => !backlog.has(runId))).toEqual([]);
  });

  test('more of a group may be at work than are usually read of one', () => {
    const table = new Table(backlogOf([], { mostPerGroup: 20, workers: 30 }));
    for (let each = 0; each < 200; each++) table.add(run({ scheduledAt: noon + each, group: { key: 'backfill:1', limit: 30 } }));
    table.run(noon);
    expect(table.atWork).toHaveLength(30);
  });

  test('a sleeper that was forgotten still holds those behind it, also over a refill', () => {
    const table = new Table(backlogOf([], { mostKept: 40, workers: 100 }));
    table.run(noon);
    const sleepers = Array.from({ length: 20 }, (_, each) =>
      run({ attempt: 2, scheduledAt: noon - 9, notBefore: noon + minute + each * second, group: one(`g${each}`) }),
    );
    const behind = sleepers.map(({ group }) => run({ scheduledAt: noon - 8, group }));
    for (const each of [...sleepers, ...behind, ...Array.from({ length: 20 }, () => run({ notBefore: noon + 9 * second }))])
      table.add(each);
    expect(sleepers.some(({ runId }) => !table.backlog.has(runId))).toBe(true);
    table.refill(noon + second);
    for (let now = noon + second; table.open.length > 0; now += 250) {
      if (now > noon + 3 * minute) throw new Error('something never starts');
      for (const started of table.run(now)) {
        const index = behind.indexOf(started);
        if (index >= 0) expect(table.started).toContain(sleepers[index]);
        table.end(started);
      }
    }
  });
});

describe('reading the table', () => {
  /** 60 runs in the table, at most 20 in memory. */
  function overflowing(): Table {
    const table = new Table(backlogOf([], { mostKept: 20, workers: 100 }));
    for (let each = 0; each < 60; each++) table.add(run({ scheduleId: each, scheduledAt: noon - 100 + each }));
    expect(table.backlog.spilled).toBe(true);
    return table;
  }

  test('is wanted when what may start runs low, and not before', () => {
    const table = overflowing();
    let taken = 0;
    for (; !table.backlog.wantsRefill(noon); taken++) table.end(table.backlog.take(noon)!.run);
    expect(taken).toBeGreaterThan(5);
    expect(table.backlog.counts().queues.get('default')!.pending).toBeGreaterThan(0);
    // Nor does it ever run out.
    for (; table.backlog.spilled; taken++) {
      if (table.backlog.wantsRefill(noon)) table.refill(noon);
      expect(table.backlog.counts().queues.get('default')!.pending).toBeGreaterThan(1);
      table.end(table.backlog.take(noon)!.run);
    }
    expect(table.run(noon)).toHaveLength(60 - taken);
    expect(table.backlog.wantsRefill(noon + 60 * minute)).toBe(false);
  });

  test('does not bring back what was removed, taken, ended, begun or dropped meanwhile', () => {
    const table = overflowing();
    const mark = table.backlog.beginRefill();
    const rows = [...table.open];
    const [atWork, ended, removed, begun, dropped] = table.open;
    expect(table.backlog.take(noon)!.run).toBe(atWork);
    table.backlog.release(table.backlog.take(noon)!.run);
    expect(table.backlog.remove(removed!.runId)).toBe(removed);
    table.backlog.begin(begun!);
    table.backlog.release(begun!);
    table.backlog.removeSchedule(dropped!.scheduleId!);
    // Of those that are not in memory too.
    const outside = rows.filter(({ runId }) => !table.backlog.has(runId)).slice(5);
    table.backlog.remove(outside[0]!.runId);
    table.backlog.removeSchedule(outside[1]!.scheduleId!);
    table.backlog.begin(outside[2]!);
    table.backlog.refill(mark, rows, true);
    const gone = [atWork, ended, removed, begun, dropped, ...outside.slice(0, 3)];
    const started = takeAll(table.backlog).map((taken) => taken.run);
    expect(gone.filter((each) => started.includes(each!))).toEqual([]);
  });

  test('keeps what was added meanwhile, in its place, whether the table showed it or not', () => {
    const table = overflowing();
    const mark = table.backlog.beginRefill();
    const shown = run({ schedule: 'shown', scheduledAt: noon - 102 });
    const unseen = run({ schedule: 'unseen', scheduledAt: noon - 101 });
    table.backlog.add(shown);
    table.backlog.add(unseen);
    table.backlog.refill(mark, [shown, ...table.open.slice(0, 9)], false);
    expect(names(takeAll(table.backlog))).toEqual(['shown', 'unseen', ...Array.from({ length: 9 }, () => 'job')]);
  });

  test('what was spilled meanwhile is still known to be in the table', () => {
    const table = overflowing();
    const mark = table.backlog.beginRefill();
    const rows = [...table.open].slice(0, 9);
    table.add(run({ scheduledAt: noon + minute, schedule: 'late' }));
    table.backlog.refill(mark, rows, true);
    expect(table.backlog.spilled).toBe(true);
    let now = noon;
    for (; table.open.length > 0 && now < noon + minute; now += 100) for (const started of table.run(now)) table.end(started);
    expect(table.started.at(-1)).toMatchObject({ schedule: 'late' });
  });

  test('what the table no longer has is forgotten, but sleepers, which it does not list, stay', () => {
    const backlog = backlogOf([run({ schedule: 'gone' }), run({ schedule: 'stays' }), run({ schedule: 'sleeps', notBefore: noon + 5 })]);
    backlog.take(noon - 1, () => false);
    const mark = backlog.beginRefill();
    expect(backlog.take(noon, ({ schedule }) => schedule === 'stays')).toBeDefined();
    backlog.refill(mark, [], true);
    expect(names(takeAll(backlog, noon + 5))).toEqual(['sleeps']);
  });

  test('a sleeper that the table does list sleeps on', () => {
    const backlog = backlogOf([]);
    backlog.take(noon);
    const rows = [run({ schedule: 'sleeps', notBefore: noon + 5 }), run({ schedule: 'ready' })];
    backlog.refill(backlog.beginRefill(), rows, true);
    expect(names(takeAll(backlog))).toEqual(['ready']);
    expect(backlog.nextAt(noon)).toBe(noon + 5);
    expect(names(takeAll(backlog, noon + 5))).toEqual(['sleeps']);
  });

  test('an answer to a mark that was followed by another is void', () => {
    const backlog = backlogOf([run({ schedule: 'here' })]);
    const [old, young] = [backlog.beginRefill(), backlog.beginRefill()];
    backlog.refill(old, [run({ schedule: 'old' })], true);
    expect(backlog.counts().queues.get('default')!.pending).toBe(1);
    backlog.refill(young, [run({ schedule: 'young' })], true);
    backlog.refill(young, [run({ schedule: 'twice' })], true);
    expect(names(takeAll(backlog))).toEqual(['young']);
  });

  test('a read that never answers costs no memory for ever, and its answer is void when it comes', () => {
    const backlog = backlogOf([], { mostKept: 10 });
    const mark = backlog.beginRefill();
    const never = run();
    for (let each = 0; each < 5000; each++) backlog.remove(`unknown-${each}`);
    backlog.refill(mark, [never], true);
    expect(backlog.take(noon)).toBeUndefined();
  });

  test('a sleeper that was forgotten is read when it is due, a quarter of a second late at most', () => {
    const table = new Table(backlogOf([], { mostKept: 40, workers: 100 }));
    table.run(noon);
    const sleepers = Array.from({ length: 200 }, (_, each) => run({ notBefore: noon + 10 * second + ((each * 7919) % 50_000) }));
    for (const each of sleepers) table.add(each);
    let now = noon;
    while (table.open.length > 0) {
      for (const started of table.run(now)) {
        expect(now).toBeGreaterThanOrEqual(started.notBefore!);
        expect(now - started.notBefore!).toBeLessThan(250);
        table.end(started);
      }
      if (table.open.length > 0) expect(table.backlog.nextAt(now)).toBeGreaterThan(now);
      now = Math.min(table.backlog.nextAt(now), now + minute);
    }
    expect(table.started).toHaveLength(200);
    expect(table.refills).toBeLessThanOrEqual(200);
    expect(now).toBeLessThanOrEqual(noon + 2 * minute);
  });

  test('of a million forgotten sleepers the times are kept more coarsely, and none is lost', () => {
    const backlog = backlogOf([], { mostKept: 8 });
    backlog.take(noon);
    const day = 24 * 60 * minute;
    const last = noon + 30 * day;
    for (let each = 0; each < 100_000; each++) backlog.add(run({ notBefore: noon + 1 + ((each * 25_919_993) % (30 * day)) }));
    let wakes = 0;
    let now = noon;
    for (let next = backlog.nextAt(now); next < Number.POSITIVE_INFINITY; next = backlog.nextAt(now)) {
      now = next;
      wakes += 1;
      takeAll(backlog, now);
    }
    expect(wakes).toBeLessThan(5000);
    expect(now).toBeGreaterThanOrEqual(last - 1);
  });

  test('is repeated after a minute: what waits in the table grows older too', () => {
    const table = overflowing();
    table.backlog.configure(usualQueues, 0);
    expect(table.backlog.wantsRefill(noon)).toBe(false);
    expect(table.backlog.wantsRefill(noon + rereadMs - 1)).toBe(false);
    expect(table.backlog.wantsRefill(noon + rereadMs)).toBe(true);
    table.refill(noon + rereadMs);
    expect(table.backlog.wantsRefill(noon + rereadMs)).toBe(false);
    expect(table.backlog.wantsRefill(noon + 2 * rereadMs)).toBe(true);
    // The clock may be set back by a year.
    expect(table.backlog.wantsRefill(noon - 365 * 24 * 60 * minute)).toBe(true);
  });

  test('nothing that is spilled starves behind a stream of younger work that fits into memory', () => {
    const table = new Table(backlogOf([], { mostKept: 100, workers: 1 }));
    for (let each = 0; each < 100; each++) table.add(run({ priority: 'normal' }));
    const old = run({ priority: 'background', schedule: 'old' });
    table.add(old);
    expect(table.backlog.has(old.runId)).toBe(false);
    let now = noon;
    for (; !table.started.includes(old); now += second) {
      if (now > noon + 40 * minute) throw new Error('it starves');
      table.add(run({ scheduledAt: now, openedAt: now, priority: 'high' }));
      for (const started of table.run(now)) table.end(started);
    }
  });

  test('is not wanted for each run of a queue that has little, while another has a flood', () => {
    const table = new Table(backlogOf([], { mostKept: 100, workers: 1 }));
    for (let each = 0; each < 200; each++) table.add(run({ queue: 'critical' }));
    for (let each = 0; each < 2000; each++) table.add(run({ queue: 'low' }));
    const critical = () => table.open.filter(({ queue: name }) => name === 'critical').length;
    for (; critical() > 0; table.end(table.backlog.take(noon)!.run)) if (table.backlog.wantsRefill(noon)) table.refill(noon);
    table.refills = 0;
    for (let now = noon + second; now <= noon + 60 * second; now += second) {
      table.add(run({ queue: 'critical', scheduledAt: now, openedAt: now }));
      const mark = table.backlog.wantsRefill(now) ? table.backlog.beginRefill() : undefined;
      // One more comes before the table is read, which so shows it.
      table.add(run({ queue: 'critical', scheduledAt: now + 1, openedAt: now }));
      if (mark !== undefined) {
        table.refills += 1;
        table.backlog.refill(mark, table.waiting(now, mark.limit, mark.perGroup), false);
      }
      for (let each = 0; each < 4; each++) table.end(table.backlog.take(now)!.run);
      expect(critical()).toBeLessThanOrEqual(1);
    }
    expect(table.refills).toBeLessThan(15);
  });

  test('a queue that has more in the table is not thought whole where queues do not take turns in the answer', () => {
    const backlog = backlogOf([], { mostKept: 40 });
    const rows = [run({ queue: 'critical', scheduledAt: noon - 9 }), ...Array.from({ length: 9 }, () => run())];
    for (const [answer, isKept] of [
      [rows, true],
      [[...rows].reverse(), false],
    ] as const) {
      backlog.refill(backlog.beginRefill(), answer, false);
      const later = run({ queue: 'critical' });
      backlog.add(later);
      expect(backlog.has(later.runId)).toBe(isKept);
    }
  });

  test('what was spilled while the table was read, and was in the answer, is not thought to be there still', () => {
    const backlog = backlogOf([], { mostKept: 20 });
    backlog.take(noon);
    for (let each = 0; each < 100; each++) backlog.add(run({ queue: 'critical' }));
    takeAll(backlog);
    const mark = backlog.beginRefill();
    const meanwhile = run({ queue: 'critical', scheduledAt: noon + 1 });
    backlog.add(meanwhile);
    expect(backlog.has(meanwhile.runId)).toBe(false);
    backlog.refill(mark, [meanwhile, ...Array.from({ length: 9 }, () => run())], false);
    const later = run({ queue: 'critical', scheduledAt: noon + 2 });
    backlog.add(later);
    expect(backlog.has(later.runId)).toBe(true);
  });

  test('is wanted soon for what a queue gets that has run out, however long nothing came', () => {
    const backlog = backlogOf([], { mostKept: 20 });
    backlog.take(noon);
    for (let each = 0; each < 100; each++) backlog.add(run());
    takeAll(backlog);
    let now = noon;
    for (; now < noon + 59 * second; now += 10)
      if (backlog.wantsRefill(now)) backlog.refill(backlog.beginRefill(), [run({ queue: 'low' })], false);
    expect(backlog.wantsRefill(now)).toBe(false);
    backlog.add(run());
    expect(backlog.wantsRefill(now + 100)).toBe(true);
  });

  test('what had to leave memory stays before what comes later of its group, be that ever so urgent', () => {
    const group = one('g');
    const first = run({ schedule: 'first', group });
    const backlog = backlogOf([first], { mostKept: 40 });
    takeAll(backlog);
    backlog.add(run({ schedule: 'second', priority: 'background', scheduledAt: noon + 1, group }));
    backlog.refill(backlog.beginRefill(), [run(), run()], false);
    backlog.add(run({ schedule: 'third', priority: 'critical', scheduledAt: noon + 2, group }));
    backlog.release(first);
    expect(names(takeAll(backlog))).toEqual(['job', 'job']);
  });

  test('asks for as many rows more as are at work, for those are the first in the table', () => {
    const table = new Table(backlogOf([], { mostKept: 20, workers: 40 }));
    for (let each = 0; each < 100; each++) table.add(run({ scheduledAt: noon + each }));
    table.run(noon);
    for (let now = noon; table.atWork.length < 40 && now < noon + minute; now += 100) table.run(now);
    expect(table.atWork).toHaveLength(40);
  });

  test('is not repeated at once where it brought nothing', () => {
    const backlog = backlogOf([], { mostKept: 20, workers: 100 });
    backlog.take(noon);
    for (let each = 0; each < 100; each++) backlog.add(run());
    takeAll(backlog);
    let reads = 0;
    for (let now = noon; now < noon + minute; now += 10) {
      if (!backlog.wantsRefill(now)) {
        expect(backlog.nextAt(now)).toBeGreaterThan(now);
        continue;
      }
      reads += 1;
      backlog.refill(backlog.beginRefill(), [], false);
    }
    expect(reads).toBeGreaterThan(5);
    expect(reads).toBeLessThan(25);
  });

  test('nor where it brought nothing of a group', () => {
    const backlog = backlogOf([], { mostPerGroup: 2, workers: 1 });
    const members = Array.from({ length: 9 }, (_, index) => run({ scheduledAt: noon + index, group: one('g') }));
    for (const each of members) backlog.add(each);
    backlog.release(backlog.take(noon)!.run);
    backlog.take(noon);
    let reads = 0;
    for (let now = noon; now < noon + 10 * second; now += 10) {
      if (!backlog.wantsRefill(now)) continue;
      reads += 1;
      // The one that is at work, and nothing behind it: somebody else holds a lock on the rest.
      backlog.refill(backlog.beginRefill(), members.slice(1, 2), true);
    }
    expect(reads).toBeGreaterThan(1);
    expect(reads).toBeLessThan(12);
  });

  test('an answer that was full before it came to a queue takes nothing away from it', () => {
    const backlog = backlogOf([run({ queue: 'low', schedule: 'kept' })], { mostKept: 4 });
    backlog.refill(backlog.beginRefill(), [run(), run()], false);
    expect(names(takeAll(backlog))).toContain('kept');
  });
});
