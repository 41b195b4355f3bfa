import { describe, expect } from 'vitest';
import { runId } from '../../src/core/runId.ts';
import { liveMacros } from '../../src/engine/live.ts';
import { type HealthSource, healthText } from '../../src/engine/liveHealth.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';
import { literal } from '../../src/engine/store/duckdb/literal.ts';
import { usualTimesReader } from '../../src/engine/usualTimes.ts';
import { test as base, type TestDatabase } from '../support/database.ts';

const now = Date.parse('2026-11-20T12:00:00Z');
const minute = 60_000;

/** A scheduler, as its health is told. */
class Told implements HealthSource {
  mode: HealthSource['mode'] = 'running';
  workers: number | null = 4;
  lagMs = 0;
  nextDue = Number.POSITIVE_INFINITY;
  storageLow = false;
  clockBehind = false;
  troubled = false;
  lockLost = false;
  unreadable: { schedule: string; message: string }[] = [];
  readonly running: { run: { runId: string }; startedAt: number; progress: null }[] = [];

  allRunning(): Iterable<{ run: { runId: string }; startedAt: number; progress: null }> {
    return this.running;
  }
}

interface Past {
  readonly schedule: string;
  readonly at: number;
  readonly state?: string;
  readonly final?: boolean;
  readonly failures?: number;
  readonly lagMs?: number;
  readonly durationMs?: number;
  readonly trigger?: string;
  readonly fires?: number;
  readonly message?: string;
}

class Health {
  readonly source = new Told();
  readonly #db: TestDatabase;
  readonly #connection: Connection;
  #runs = 0;

  static async of(db: TestDatabase): Promise<Health> {
    const connection = new Connection(await db.engine.database.connect());
    await connection.native.run(liveMacros, { leaves: 'none' });
    return new Health(db, connection);
  }

  private constructor(db: TestDatabase, connection: Connection) {
    this.#db = db;
    this.#connection = connection;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  define(name: string, keys: string): Promise<void> {
    return this.#db.run(`UPSERT SCHEDULE ${name} ( sql: 'SELECT 1', ${keys} )`);
  }

  #id(at: number): string {
    this.#runs += 1;
    return runId(at, this.#runs & 0xfff, new Uint8Array(10));
  }

  async closed(run: Past): Promise<void> {
    const started = run.at + (run.lagMs ?? 0);
    await this.#connection.run(
      `INSERT INTO cuckoo_ledger.closed BY NAME
       SELECT $id::UUID AS run_id, (SELECT schedule_id FROM cuckoo_ledger.schedule WHERE name = $schedule) AS schedule_id, $schedule AS schedule, 'sql' AS exe,
         $trigger AS trigger, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS scheduled_at, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS opened_at,
         epoch_ms($started::BIGINT)::TIMESTAMPTZ AS started_at, epoch_ms($finished::BIGINT)::TIMESTAMPTZ AS finished_at, $state AS state,
         1 AS attempt, $final AS final, 'default' AS queue, 'normal' AS priority, '{}' AS params, $id::UUID AS root_run_id,
         $message AS error_message, $failures::BIGINT AS consecutive_failures, $fires::BIGINT AS opened_fires`,
      {
        id: this.#id(run.at),
        schedule: run.schedule,
        at: run.at,
        started,
        finished: started + (run.durationMs ?? 5),
        trigger: run.trigger ?? 'cron',
        state: run.state ?? 'succeeded',
        final: run.final ?? true,
        failures: run.failures ?? 0,
        fires: run.fires ?? 1,
        message: run.message ?? null,
      },
    );
  }

  async opened(
    schedule: string,
    run: {
      readonly at: number;
      readonly queue?: string;
      readonly trigger?: string;
      readonly notBefore?: number;
      readonly startedAt?: number;
      readonly exe?: string;
    },
  ): Promise<void> {
    const id = this.#id(run.at);
    await this.#connection.run(
      `INSERT INTO cuckoo_ledger.open_run BY NAME
       SELECT $id::UUID AS run_id, (SELECT schedule_id FROM cuckoo_ledger.schedule WHERE name = $schedule) AS schedule_id, $schedule AS schedule,
         $exe AS exe, 'p' AS call, $trigger AS trigger, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS scheduled_at, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS opened_at,
         epoch_ms($before::BIGINT)::TIMESTAMPTZ AS not_before, 1 AS attempt, 'open' AS stage, $queue AS queue, 'normal' AS priority, '{}' AS params, false AS alone, $id::UUID AS root_run_id`,
      {
        id,
        schedule,
        at: run.at,
        exe: run.exe ?? 'sql',
        trigger: run.trigger ?? 'cron',
        before: run.notBefore ?? null,
        queue: run.queue ?? 'default',
      },
    );
    if (run.startedAt !== undefined) this.source.running.push({ run: { runId: id }, startedAt: run.startedAt, progress: null });
  }

  /** `schedule condition 11:59:00 detail` */
  async rows(): Promise<string[]> {
    const told = literal(healthText(this.source, this.source.lockLost));
    await this.#connection.native.run(`CREATE OR REPLACE TEMP MACRO cuckoo_health() AS ${told}`, { leaves: 'none' });
    const rows = await this.#connection.all<{ row: string }>(
      `SELECT coalesce(schedule, '-') || ' ' || condition || ' ' || strftime(since AT TIME ZONE 'UTC', '%H:%M:%S') || ' ' || detail AS row FROM cron.schedule_health ORDER BY 1`,
    );
    return rows.map(({ row }) => row);
  }

  usual(ids: readonly number[]): Promise<ReadonlyMap<number, number>> {
    return usualTimesReader(this.#db.engine)(ids, new AbortController().signal);
  }

  /** As any DuckDB sees it. */
  async plainRows(): Promise<string[]> {
    const plain = new Connection(await this.#db.engine.database.connect());
    try {
      const rows = await plain.all<{ row: string }>(
        "SELECT coalesce(schedule, '-') || ' ' || condition || ' ' || detail AS row FROM cron.schedule_health ORDER BY 1",
      );
      return rows.map(({ row }) => row);
    } finally {
      await plain.close();
    }
  }
}

const test = base.extend<{ health: Health }>({
  health: async ({ db }, use) => {
    const health = await Health.of(db);
    await use(health);
    await health.close();
  },
});

test('where all is well there is nothing to tell', async ({ health }) => {
  await health.define('a', "sched: '*/5 * * * *'");
  await health.closed({ schedule: 'a', at: now - 5 * minute });
  await health.opened('a', { at: now - 1000 });
  expect(await health.rows()).toEqual([]);
});

describe('failing', () => {
  test('tells how many, since when, and what the last one said', async ({ health }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    await health.closed({ schedule: 'a', at: now - 20 * minute });
    for (const failures of [1, 2, 3]) {
      await health.closed({
        schedule: 'a',
        at: now - (4 - failures) * 5 * minute,
        state: 'failed',
        failures,
        message: `no table t${failures}`,
      });
    }
    expect(await health.rows()).toEqual(['a failing 11:45:00 3 runs failed in a row; the last: no table t3']);
  });

  test('ends with the first success, and neither a retried attempt nor a refused fire changes it', async ({ health }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    await health.closed({ schedule: 'a', at: now - 30 * minute, state: 'timed_out', failures: 1, message: 'too long' });
    await health.closed({ schedule: 'a', at: now - 20 * minute, state: 'skipped', failures: 1 });
    await health.closed({ schedule: 'a', at: now - 10 * minute, state: 'failed', failures: 1, final: false, message: 'retried' });
    expect(await health.rows()).toEqual(['a failing 11:30:00 1 run failed: too long']);
    await health.closed({ schedule: 'a', at: now - 5 * minute });
    expect(await health.rows()).toEqual([]);
  });

  test('is told to a plain DuckDB, too', async ({ health }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    await health.closed({ schedule: 'a', at: now, state: 'failed', failures: 1, message: 'no' });
    expect(await health.plainRows()).toEqual(['a failing 1 run failed: no']);
  });
});

describe('late', () => {
  const late = { at: now - 5 * minute };

  test('is a run that has not started within late_within, with what it waits for', async ({ health, db }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    await health.opened('a', { at: now - minute });
    expect(await health.rows()).toEqual([]);
    await health.opened('a', late);
    await health.opened('a', { at: now - 3 * minute });
    expect(await health.rows()).toEqual(['a late 11:55:00 2 runs wait: nothing keeps it, as far as is known']);
    // In another queue too: a schedule has one row for each condition, with the oldest reason.
    await health.opened('a', { at: now - 4 * minute, queue: 'low' });
    expect(await health.rows()).toEqual(['a late 11:55:00 3 runs wait: nothing keeps it, as far as is known']);
    await db.run("SET cron.late_within = '10m'");
    expect(await health.rows()).toEqual([]);
  });

  test('says which of the things that can keep a run keeps it', async ({ health, db }) => {
    await db.run(
      'UPSERT QUEUE narrow ( concurrency: 1 )',
      'UPSERT QUEUE slow ( rate: 100 per 1m )',
      'UPSERT QUEUE held ( weight: 1 )',
      'PAUSE QUEUE held',
    );
    for (const name of ['a', 'own', 'narrow', 'slow', 'held']) await health.define(name, "sched: '*/5 * * * *'");
    for (const name of ['a', 'own']) await health.opened(name, late);
    for (const queue of ['narrow', 'slow', 'held']) await health.opened(queue, { ...late, queue });
    await health.opened('own', { at: now - 10 * minute, startedAt: now - 5000 });
    await health.opened('other', { at: now, queue: 'narrow', startedAt: now });
    expect(await health.rows()).toEqual([
      'a late 11:55:00 a run waits: nothing keeps it, as far as is known',
      'held late 11:55:00 a run waits: queue held is paused',
      'narrow late 11:55:00 a run waits: queue narrow: 1 of 1 at work',
      'own late 11:55:00 a run waits: the run before it is at work',
      'slow late 11:55:00 a run waits: queue slow lets in 100 per 00:01:00',
    ]);
    await db.run('SET cron.workers = 2');
    expect((await health.rows())[0]).toBe('a late 11:55:00 a run waits: workers: 2 of 2 busy');
    health.source.mode = 'paused';
    expect((await health.rows())[0]).toBe('a late 11:55:00 a run waits: the scheduler is paused');
    health.source.mode = 'held';
    expect((await health.rows())[0]).toBe('a late 11:55:00 a run waits: the scheduler waits for RESUME SCHEDULER');
    health.source.mode = 'off';
    expect(await health.rows()).toContain('a late 11:55:00 a run waits: no scheduler runs here');
  });

  test('is neither a retry before its time nor what a backfill keeps for later', async ({ health }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    await health.opened('a', { ...late, notBefore: now + minute });
    await health.opened('a', { ...late, trigger: 'backfill' });
    expect(await health.rows()).toEqual([]);
    await health.opened('a', { at: now - 60 * minute, notBefore: now - 2 * minute });
    expect(await health.rows()).toEqual(['a late 11:58:00 a run waits: nothing keeps it, as far as is known']);
  });

  test('is a fire that the scheduler has not come to', async ({ health, db }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    await health.define('b', "sched: '0 * * * *'");
    db.clock.set('2026-11-20T12:10:00Z');
    // Its own word that nothing is due is taken: no definition is looked at.
    health.source.nextDue = db.clock.time;
    expect(await health.rows()).toEqual([]);
    health.source.nextDue = now + 5 * minute;
    expect(await health.rows()).toEqual(['a late 12:05:00 the scheduler has not come to its fire']);
  });
});

describe('absent', () => {
  test('is a schedule whose fires nobody handles, because no scheduler runs', async ({ health, db }) => {
    health.source.mode = 'off';
    await health.define('a', "sched: '*/5 * * * *'");
    await health.define('b', "sched: '0 4 * * *'");
    await health.define('off', "sched: '* * * * *', enabled: false");
    await health.define('by_hand', 'max_retries: 1');
    await health.define('done', "sched: '* * * * *', max_runs: 3");
    await health.closed({ schedule: 'done', at: now, fires: 3 });
    db.clock.set('2026-11-20T12:06:00Z');
    expect(await health.rows()).toEqual([]);
    db.clock.set('2026-11-20T12:06:01Z');
    expect(await health.rows()).toEqual(['a absent 12:05:00 its fire is not handled: no scheduler runs here']);
    health.source.mode = 'held';
    expect(await health.rows()).toEqual(['a absent 12:05:00 its fire is not handled: the scheduler waits for RESUME SCHEDULER']);
    // Time in which it was paused on purpose is no trouble.
    health.source.mode = 'paused';
    expect(await health.rows()).toEqual([]);
  });

  test('is a schedule whose definition cannot be read, and it hides nobody else', async ({ health, db }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    for (const name of ['b', 'c']) await health.define(name, "sched: '*/5 * * * *'");
    health.source.unreadable.push({ schedule: 'b', message: 'no such zone' });
    expect(await health.rows()).toEqual(['b absent 12:00:00 its definition cannot be read: no such zone']);
    // Without a scheduler it is found out by looking.
    health.source.unreadable = [];
    health.source.mode = 'off';
    const direct = new Connection(await db.engine.database.connect());
    await direct.run(`UPDATE cuckoo_ledger.schedule SET bound = replace(bound::VARCHAR, '"UTC"', '"Mars/Olympus"') WHERE name = 'b'`);
    await direct.run("UPDATE cuckoo_ledger.schedule SET bound = '[7]' WHERE name = 'c'");
    await direct.close();
    db.clock.set('2026-11-20T12:06:01Z');
    expect(await health.rows()).toEqual([
      'a absent 12:05:00 its fire is not handled: no scheduler runs here',
      expect.stringMatching(/^b absent 12:00:00 its definition cannot be read: .*Mars\/Olympus/),
      expect.stringMatching(/^c absent 12:00:00 its definition cannot be read: /),
    ]);
  });
});

test('a session tells it by its own clock, and LIST by its name', async ({ db }) => {
  await db.run("UPSERT SCHEDULE a ( sql: 'SELECT 1', sched: '*/5 * * * *' )");
  expect(await db.rows('LIST SCHEDULE_HEALTH')).toEqual([]);
  db.clock.set('2026-11-20T12:30:00Z');
  expect(await db.rows("SELECT schedule, condition, detail FROM cron.schedule_health WHERE condition = 'absent'")).toEqual([
    { schedule: 'a', condition: 'absent', detail: 'its fire is not handled: no scheduler runs here' },
  ]);
  expect(await db.rows('LIST SCHEDULE_HEALTH')).toHaveLength(1);
});

test('LIST ALERTS tells the newest first', async ({ db }) => {
  const connection = new Connection(await db.engine.database.connect());
  await connection.run(`INSERT INTO cuckoo_ledger.alert VALUES
    ('1', 'failures', 'a', uuid(), TIMESTAMPTZ '2026-11-20 10:00:00+00', TIMESTAMPTZ '2026-11-20 11:00:00+00', '3 runs failed in a row'),
    ('2', 'busy', NULL, NULL, TIMESTAMPTZ '2026-11-20 11:30:00+00', NULL, 'no worker has been idle for 5m, and 2 runs wait')`);
  await connection.close();
  expect(await db.rows('LIST ALERTS WHERE ended_at IS NULL')).toMatchObject([{ rule: 'busy', schedule: null, run_id: null }]);
  expect((await db.rows('LIST ALERTS')).map(({ rule }) => rule)).toEqual(['busy', 'failures']);
  expect((await db.rows("LIST ALERTS LIKE 'A'")).map(({ rule }) => rule)).toEqual(['failures']);
});

describe('stuck', () => {
  test('is a run that outlives its timeout by half a minute', async ({ health }) => {
    await health.define('a', "sched: '*/5 * * * *', timeout: 5m");
    await health.opened('a', { at: now - 6 * minute, startedAt: now - 5 * minute - 30_000 });
    expect(await health.rows()).toEqual([]);
    await health.define('b', "sched: '*/5 * * * *', timeout: 90s");
    await health.opened('b', { at: now - 6 * minute, startedAt: now - 2 * minute - 1 });
    expect(await health.rows()).toEqual(['b stuck 11:57:59 at work for longer than its timeout of 00:01:30']);
  });

  test('takes the timeout of its procedure, and of commands the setting', async ({ health, db }) => {
    await db.run('UPSERT PROCEDURE p() ( timeout: 1m ) AS BEGIN SELECT 1; END');
    await db.run(
      'UPSERT SCHEDULE a ( call: p )',
      "UPSERT SCHEDULE b ( command: ['true'] )",
      "UPSERT SCHEDULE c ( command: ['true'], timeout: none )",
    );
    await health.opened('a', { at: now - 6 * minute, startedAt: now - 2 * minute, exe: 'procedure' });
    for (const name of ['b', 'c']) await health.opened(name, { at: now - 6 * minute, startedAt: now - 6 * minute, exe: 'command' });
    expect(await health.rows()).toEqual([
      'a stuck 11:58:00 at work for longer than its timeout of 00:01:00',
      'b stuck 11:54:00 at work for longer than its timeout of 00:05:00',
    ]);
  });

  test('is a run without a timeout that takes ten times as long as usual, and ten minutes', async ({ health }) => {
    for (const name of ['short', 'long', 'new']) await health.define(name, "sched: '0 * * * *'");
    for (let run = 1; run <= 6; run++) {
      await health.closed({ schedule: 'short', at: now - run * 60 * minute, durationMs: 1000 });
      await health.closed({ schedule: 'long', at: now - run * 60 * minute, durationMs: 3 * minute });
      if (run < 5) await health.closed({ schedule: 'new', at: now - run * 60 * minute, durationMs: 1000 });
    }
    for (const schedule of ['short', 'long', 'new']) await health.opened(schedule, { at: now - 20 * minute, startedAt: now - 20 * minute });
    expect(await health.rows()).toEqual(['short stuck 11:40:00 at work for 00:20:00; usually 00:00:01']);
  });
});

describe('drifting', () => {
  const past = async (health: Health, schedule: string, lagsMs: readonly number[]): Promise<void> => {
    for (const [at, lagMs] of lagsMs.entries()) await health.closed({ schedule, at: now - (lagsMs.length - at) * 5 * minute, lagMs });
  };

  test('is a schedule whose last ten runs started later and later', async ({ health }) => {
    for (const name of ['drifts', 'steady', 'better', 'young', 'little']) await health.define(name, "sched: '*/5 * * * *'");
    await past(health, 'drifts', [0, 20_000, 22_000, 25_000, 28_000, 31_000, 35_000, 38_000, 41_000, 44_000, 50_000]);
    await past(
      health,
      'steady',
      Array.from({ length: 10 }, () => 40_000),
    );
    await past(
      health,
      'better',
      [90, 80, 70, 60, 50, 45, 40, 35, 33, 31].map((seconds) => seconds * 1000),
    );
    await past(health, 'young', [20_000, 40_000, 60_000, 80_000]);
    await past(
      health,
      'little',
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((seconds) => seconds * 1000),
    );
    expect(await health.rows()).toEqual([
      'drifts drifting 11:10:00 its last 10 runs started later and later: 00:00:25, then 00:00:41 after their time',
    ]);
  });

  test('looks at fires of the clock alone', async ({ health }) => {
    await health.define('a', "sched: '*/5 * * * *'");
    for (let run = 1; run <= 10; run++) {
      await health.closed({ schedule: 'a', at: now - (11 - run) * 5 * minute, lagMs: run * 10 * minute, trigger: 'catchup' });
    }
    expect(await health.rows()).toEqual([]);
  });
});

test('what ails the scheduler itself has a row without a schedule', async ({ health }) => {
  health.source.lagMs = 999;
  expect(await health.rows()).toEqual([]);
  health.source.lagMs = 2500;
  health.source.storageLow = true;
  health.source.clockBehind = true;
  health.source.troubled = true;
  health.source.lockLost = true;
  expect(await health.rows()).toEqual([
    '- late 11:59:57 the scheduler is 2.5 s behind its time',
    '- late 12:00:00 lock_lost: another process may write the file, so nothing more is written here',
    '- late 12:00:00 the clock is behind what is handled already: it is believed after 10 minutes',
    '- late 12:00:00 the disk is full: nothing is opened until there is room',
    '- late 12:00:00 the ledger does not answer; it is tried again',
  ]);
});

describe('the usual time of a schedule', () => {
  test('is the median of its last twenty successes, where there are five', async ({ health }) => {
    for (const name of ['a', 'b', 'c']) await health.define(name, "sched: '*/5 * * * *'");
    for (let run = 1; run <= 30; run++) {
      // The ten oldest took for ever; failures are no measure.
      await health.closed({ schedule: 'a', at: now - run * 5 * minute, durationMs: run > 20 ? 1_000_000 : run * 100 });
      await health.closed({ schedule: 'a', at: now - run * 5 * minute + 1000, durationMs: 5, state: 'failed', failures: 0 });
      if (run <= 4) await health.closed({ schedule: 'b', at: now - run * 5 * minute, durationMs: 100 });
    }
    expect(await health.usual([1, 2, 3])).toEqual(new Map([[1, 1050]]));
    expect(await health.usual([])).toEqual(new Map());
  });
});
