import { describe, expect, test as plain } from 'vitest';
import { Turns } from '../../src/engine/turns.ts';
import { type Clock, systemClock } from '../../src/scheduler/clock.ts';
import type { FinishedRun } from '../../src/scheduler/run.ts';
import { type TestDatabase, test } from '../support/database.ts';

/** An event loop that turns when the test says so. */
class Loop {
  nowMs = 1000;
  needed = true;
  #waiting: (() => void)[] = [];
  readonly turns: Turns;

  constructor() {
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => this.nowMs,
      yieldTurn: () => new Promise((resolve) => this.#waiting.push(resolve)),
    };
    this.turns = new Turns({ clock, isNeeded: () => this.needed });
  }

  /** A chunk that takes so long; the mistake it ends with. */
  chunk(ms: number, rows = 2048): string | undefined {
    try {
      this.turns.enter();
      for (let row = 0; row < rows; row++) {
        this.nowMs += ms / rows;
        this.turns.step();
      }
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async turn(restMs = 0): Promise<void> {
    for (const resolve of this.#waiting.splice(0)) resolve();
    await systemClock.yieldTurn();
    this.nowMs += restMs;
  }
}

const refused = 'computing cadences would hold up the scheduler of this process for more than 250 ms';

describe('what DuckDB has this thread compute beside a scheduler', () => {
  plain('may take 250 ms before the event loop turns, and not more, in many chunks or in one', async () => {
    const many = new Loop();
    for (let chunk = 0; chunk < 10; chunk++) expect(many.chunk(24)).toBeUndefined();
    expect(many.chunk(24)).toBe(refused);
    const startedMs = many.nowMs;
    // What comes of the other threads ends at once.
    expect(many.chunk(24)).toBe(refused);
    expect(many.nowMs).toBe(startedMs);
    const one = new Loop();
    expect(one.chunk(60_000)).toBe(refused);
    expect(one.nowMs - 1000).toBeLessThan(250 + 2 * 64 * (60_000 / 2048));
  });

  plain('may go on for as long as it likes where the loop turns behind each chunk', async () => {
    const loop = new Loop();
    for (let chunk = 0; chunk < 10_000; chunk++) {
      expect(loop.chunk(20)).toBeUndefined();
      await loop.turn(0.05);
    }
  });

  plain('is ended where ten turns together take longer, as many as a fire needs', async () => {
    const loop = new Loop();
    let chunks = 0;
    while (loop.chunk(40) === undefined) {
      chunks += 1;
      await loop.turn();
    }
    expect(chunks).toBe(6);
    await loop.turn(10);
    // Ten milliseconds in which the loop was free, and the fires have passed.
    expect(loop.chunk(40)).toBeUndefined();
  });

  plain('is nobody’s business without a scheduler', () => {
    const loop = new Loop();
    loop.needed = false;
    expect(loop.chunk(60_000)).toBeUndefined();
  });
});

const rows = (count: number): string => `
  SELECT (i % 60) || ' 2 * * *' AS expr, TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_seconds(i * 977 % 10000000) AS after, ['UTC', 'Europe/Berlin', 'Asia/Tokyo'][1 + i % 3] AS zone
  FROM range(${count}) r(i)`;

/** A scheduler that fires every second beside what the test asks. */
async function besideScheduler(db: TestDatabase, ask: () => Promise<void>): Promise<FinishedRun[]> {
  const { scheduler } = db.engine;
  await db.run("UPSERT SCHEDULE each_second ( sched: every 1s, sql: 'SELECT 1' )");
  const finished: FinishedRun[] = [];
  const lateness: number[] = [];
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const stop = scheduler.events.on('run:finished', (run) => {
        finished.push(run);
        lateness.push(systemClock.now() - run.scheduledAt);
        if (finished.length < count) return;
        stop();
        resolve();
      });
    });
  const first = until(1);
  await scheduler.start();
  await first;
  const next = until(finished.length + 2);
  await ask();
  await next;
  // An idle machine shows 20 to 300; without the rule it is 5,000 to 180,000.
  expect(Math.max(...lateness.slice(1))).toBeLessThan(1000);
  return finished;
}

describe('beside a scheduler', () => {
  test('thousands of rows are answered', async ({ db }) => {
    await db.reopen({ clock: systemClock });
    await db.run(`COPY (${rows(6000)}) TO '${db.folder}/cases.jsonl' (FORMAT json)`);
    const runs = await besideScheduler(db, async () => {
      const answer = await db.rows(`SELECT cron_next(expr, after::TIMESTAMPTZ, zone) AS next FROM read_json('${db.folder}/cases.jsonl')`);
      expect(answer).toHaveLength(6000);
    });
    expect(runs.every((run) => run.state === 'succeeded')).toBe(true);
  });

  test('a table too large is answered or ends with what to do, and the fires stay on time', async ({ db }) => {
    await db.reopen({ clock: systemClock });
    await db.run(`CREATE TABLE cases AS ${rows(1_000_000)}`);
    await besideScheduler(db, async () => {
      try {
        await db.rows('SELECT max(cron_next(expr, after, zone)) FROM cases');
      } catch (error) {
        expect(error).toMatchObject({ code: 'too_busy', message: refused, hint: expect.stringContaining('fewer rows') });
      }
    });
  });

  test('one row that holds millions of fires ends too, from a view and in a run', async ({ db }) => {
    await db.reopen({ clock: systemClock });
    await db.run(
      `CREATE TABLE cases AS ${rows(10_000)}`,
      'CREATE VIEW fires AS SELECT sum(len(cron_next_n(expr, after, zone, 100000))) AS fires FROM cases',
      "UPSERT SCHEDULE greedy ( sql: 'SELECT * FROM fires', max_retries: 0 )",
    );
    const runs = await besideScheduler(db, async () => {
      expect(await db.mistake('FROM fires')).toMatchObject({ message: refused });
      await db.run('RUN SCHEDULE greedy');
    });
    expect(runs.filter((run) => run.schedule === 'greedy')).toMatchObject([{ state: 'failed', reason: expect.stringContaining(refused) }]);
    await db.engine.scheduler.stop({ graceMs: 0 });
    expect(await db.rows("SELECT len(cron_next_n('* * * * *', now(), 'UTC', 100000))::INTEGER AS fires")).toEqual([{ fires: 100_000 }]);
  });
});
