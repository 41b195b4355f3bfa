import { describe, expect } from 'vitest';
import { runId } from '../../src/core/runId.ts';
import { Retention, type Swept } from '../../src/engine/retention.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';
import { DuckLedger } from '../../src/engine/store/duckdb/ledger.ts';
import { keptAs } from '../../src/scheduler/retention.ts';
import { type ClosedState, closedStates } from '../../src/scheduler/run.ts';
import { test as base, type Row, type TestDatabase } from '../support/database.ts';

const now = Date.parse('2026-11-20T12:00:00Z');
const day = 86_400_000;

interface PastRun {
  readonly schedule: string;
  readonly ageDays: number;
  readonly state?: ClosedState;
  readonly final?: boolean;
  readonly failures?: number;
  readonly fires?: number;
  readonly successAt?: number | null;
  /** An action's run belongs to no schedule's history. */
  readonly isAction?: boolean;
}

/** A file with a past, and what forgets it. */
class History {
  readonly #db: TestDatabase;
  readonly ledger: Connection;
  readonly retention: Retention;
  /** What the machine has lived through, which the sweeper compares with the clock. */
  elapsedMs = 0;
  #runs = 0;

  static async of(db: TestDatabase): Promise<History> {
    return new History(db, new Connection(await db.engine.database.connect()));
  }

  private constructor(db: TestDatabase, ledger: Connection) {
    this.#db = db;
    this.ledger = ledger;
    const { database, sql, admission } = db.engine;
    const clock = { ...db.clock, now: () => db.clock.time, monotonicMs: () => this.elapsedMs, sleep: async () => {} };
    this.retention = new Retention({ database, sql, admission, clock });
  }

  /** Written as the ledger would have; answers its id. */
  async add(run: PastRun): Promise<string> {
    const finishedAt = now - run.ageDays * day;
    this.#runs += 1;
    const id = runId(finishedAt, this.#runs & 0xfff, new Uint8Array(10).fill(this.#runs % 251));
    await this.ledger.run(
      `INSERT INTO cuckoo_ledger.closed BY NAME
       SELECT $id::UUID AS run_id, CASE WHEN NOT $action THEN (SELECT schedule_id FROM cuckoo_ledger.schedule WHERE name = $schedule) END AS schedule_id,
         $schedule AS schedule, 'sql' AS exe, 'SELECT 1' AS call, 'cron' AS trigger, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS scheduled_at,
         epoch_ms($at::BIGINT)::TIMESTAMPTZ AS opened_at, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS started_at, epoch_ms($at::BIGINT)::TIMESTAMPTZ AS finished_at,
         $state AS state, 1 AS attempt, $final AS final, 'default' AS queue, 'normal' AS priority, '{}' AS params, 1 AS schedule_version,
         $id::UUID AS root_run_id, $failures::BIGINT AS consecutive_failures, $fires::BIGINT AS opened_fires, epoch_ms($success::BIGINT)::TIMESTAMPTZ AS last_success_at`,
      {
        id,
        action: run.isAction ?? false,
        schedule: run.schedule,
        at: finishedAt,
        state: run.state ?? 'succeeded',
        final: run.final ?? true,
        failures: run.failures ?? 0,
        fires: run.fires ?? 0,
        success: run.successAt ?? null,
      },
    );
    return id;
  }

  sweep(): Promise<Swept> {
    return this.retention.sweep(new AbortController().signal);
  }

  /** Until nothing is left to forget. */
  async sweepAll(): Promise<number> {
    let deleted = 0;
    for (;;) {
      const swept = await this.sweep();
      deleted += swept.deleted;
      if (!swept.more) return deleted;
    }
  }

  rows(sql: string): Promise<Row[]> {
    return this.ledger.all(sql);
  }

  /** `a 3d succeeded`, the oldest first. */
  async left(): Promise<string[]> {
    const rows = await this.rows(
      `SELECT schedule || ' ' || round((${now} - epoch_ms(finished_at)) / ${day}.0)::INT || 'd ' || state AS run FROM cuckoo_ledger.closed ORDER BY finished_at, run`,
    );
    return rows.map(({ run }) => String(run));
  }

  define(name: string, keys: string): Promise<void> {
    return this.#db.run(`UPSERT SCHEDULE ${name} ( sql: 'SELECT 1', ${keys} )`);
  }
}

const test = base.extend<{ history: History }>({
  history: async ({ db }, use) => {
    const history = await History.of(db);
    await use(history);
    await history.ledger.close();
  },
});

describe('keep', () => {
  test('forgets each kind of run after its own time', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 30d, failed: 1y, skipped: 7d }');
    for (const ageDays of [400, 40, 8, 1]) {
      for (const state of ['succeeded', 'failed', 'skipped'] as const) await history.add({ schedule: 'a', ageDays, state });
    }
    expect(await history.sweep()).toEqual({ deleted: 6, more: false });
    expect(await history.left()).toEqual([
      'a 40d failed',
      'a 8d failed',
      'a 8d succeeded',
      'a 1d failed',
      'a 1d skipped',
      'a 1d succeeded',
    ]);
    expect(await history.sweep()).toEqual({ deleted: 0, more: false });
  });

  test('failed stands for all that was opened and came to nothing', async ({ history }) => {
    expect(closedStates.filter((state) => keptAs[state] === 'failed')).toEqual(['failed', 'timed_out', 'cancelled', 'interrupted']);
    await history.define('a', 'keep: { failed: 10d }');
    for (const state of closedStates) await history.add({ schedule: 'a', ageDays: 20, state });
    await history.add({ schedule: 'a', ageDays: 0 });
    await history.sweep();
    expect(await history.left()).toEqual(['a 20d skipped', 'a 20d succeeded', 'a 0d succeeded']);
  });

  test('says nothing of other schedules: without it history is for ever', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 1d }');
    await history.define('b', "description: 'keep: { succeeded: 1d }'");
    for (const schedule of ['a', 'b']) for (const ageDays of [400, 0]) await history.add({ schedule, ageDays });
    expect(await history.sweepAll()).toBe(1);
    expect(await history.left()).toEqual(['b 400d succeeded', 'a 0d succeeded', 'b 0d succeeded']);
  });

  test('of a definition that cannot be read keeps its own history, and nobody else’s', async ({ history }) => {
    for (const name of ['a', 'b']) await history.define(name, 'keep: { succeeded: 30d }');
    await history.ledger.run(`UPDATE cuckoo_ledger.schedule SET bound = '{"keep":{"succeeded":"soon"}}' WHERE name = 'a'`);
    for (const schedule of ['a', 'b']) for (const ageDays of [400, 0]) await history.add({ schedule, ageDays });
    expect(await history.sweepAll()).toBe(1);
    expect(await history.left()).toEqual(['a 400d succeeded', 'a 0d succeeded', 'b 0d succeeded']);
  });

  test('that comes later is seen by the next sweep', async ({ history, db }) => {
    await history.define('a', 'max_retries: 1');
    for (const ageDays of [400, 0]) await history.add({ schedule: 'a', ageDays });
    expect(await history.sweepAll()).toBe(0);
    await db.run('ALTER SCHEDULE a SET ( keep: { succeeded: 30d } )');
    expect(await history.sweepAll()).toBe(1);
  });

  test('holds for the runs of its actions, too', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 30d }');
    await history.add({ schedule: 'a', ageDays: 40, isAction: true });
    await history.add({ schedule: 'a', ageDays: 0 });
    await history.add({ schedule: 'a', ageDays: 20, isAction: true });
    await history.sweep();
    expect(await history.left()).toEqual(['a 20d succeeded', 'a 0d succeeded']);
  });

  test('of a schedule that was dropped still holds, and nothing of it has to stay', async ({ history, db }) => {
    await history.define('a', 'keep: { succeeded: 30d }');
    await history.define('b', 'max_retries: 1');
    await db.run('ALTER SCHEDULE a SET ( keep: { succeeded: 60d } )');
    for (const schedule of ['a', 'b']) {
      for (const ageDays of [90, 70, 40]) await history.add({ schedule, ageDays });
      await history.add({ schedule, ageDays: 80, isAction: true });
    }
    await db.run('DROP SCHEDULE a, b');
    expect(await history.sweepAll()).toBe(3);
    expect(await history.left()).toEqual(['b 90d succeeded', 'b 80d succeeded', 'b 70d succeeded', 'a 40d succeeded', 'b 40d succeeded']);
    // A new one of that name keeps the runs of its actions as it says itself.
    await history.define('a', 'max_retries: 1');
    await history.add({ schedule: 'a', ageDays: 80, isAction: true });
    expect(await history.sweepAll()).toBe(0);
  });

  test('takes the log, the steps and the settled dead letter of a run with it, and nobody else’s', async ({ history }) => {
    await history.define('a', 'keep: { failed: 30d }');
    const ids = [];
    for (const ageDays of [50, 40, 0]) ids.push(await history.add({ schedule: 'a', ageDays, state: 'failed' }));
    for (const id of ids) {
      await history.ledger.run(
        `INSERT INTO cuckoo_ledger.run_log SELECT '${id}', NULL, now(), 'stdout', 'info', range::VARCHAR FROM range(${id === ids[0] ? 25_000 : 3})`,
      );
      await history.ledger.run(`INSERT INTO cuckoo_ledger.dead_letter_settled VALUES ('${id}', 'dropped', now())`);
      await history.ledger.run(
        `INSERT INTO cuckoo_ledger.closed_step BY NAME SELECT '${id}' AS run_id, 's' AS step, 'sql' AS kind, 'failed' AS state, 1 AS attempt`,
      );
    }
    expect(await history.sweepAll()).toBe(2);
    for (const [table, rows] of [
      ['run_log', 3],
      ['dead_letter_settled', 1],
      ['closed_step', 1],
    ] as const) {
      expect(await history.rows(`SELECT run_id::VARCHAR AS id, count(*)::INT AS rows FROM cuckoo_ledger.${table} GROUP BY 1`)).toEqual([
        { id: ids[2], rows },
      ]);
    }
  });
});

describe('what a schedule has come to', () => {
  test('is the same before and after, whichever run carried it', async ({ history, db }) => {
    const shown = 'SELECT name, last_run, last_state, consecutive_failures FROM cron.schedules ORDER BY name';
    const { database, sql, admission, clock } = db.engine;
    const ledger = new DuckLedger({ database, sql, admission, clock });
    const counters = async () => new Map((await ledger.load(new AbortController().signal)).counters);
    // Each schedule has another past, made of the digits of its number: long ago, in any order of what carries what.
    await history.define('s0', 'keep: { succeeded: 1d, failed: 1d, skipped: 1d }');
    await history.ledger.run(`INSERT INTO cuckoo_ledger.schedule
      SELECT s.* REPLACE (range + s.schedule_id AS schedule_id, 's' || range AS name, 's' || range AS name_key) FROM cuckoo_ledger.schedule s, range(1, 40)`);
    for (let number = 0; number < 40; number++) {
      const schedule = `s${number}`;
      for (let at = 0; at < 6; at++) {
        const digit = (number * 7 + at * 13 + ((number * at) % 11)) % 10;
        await history.add({
          schedule,
          // The order of commits is not always that of time: a clock may have been ahead for a while.
          ageDays: 300 - (number % 2 === 0 ? at : (at * 5 + number) % 6) * 10,
          state: (['succeeded', 'failed', 'skipped', 'cancelled', 'timed_out'] as const)[digit % 5] ?? 'failed',
          final: digit % 3 !== 0,
          failures: digit % 4,
          fires: (number * 5 + at * 7) % 20,
          successAt: digit % 2 === 0 ? null : now - digit * day,
        });
      }
    }
    const before = { shown: await history.rows(shown), counters: await counters() };
    expect(await history.sweepAll()).toBeGreaterThan(60);
    await history.ledger.run('CHECKPOINT');
    expect({ shown: await history.rows(shown), counters: await counters() }).toEqual(before);
    expect(new Set(before.shown.map(({ last_state: state }) => state)).size).toBeGreaterThan(3);
    expect(before.counters.size).toBe(40);
  });

  test('leaves the newest run and the newest that was for good, however old', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 1d, failed: 1d, skipped: 1d }');
    await history.add({ schedule: 'a', ageDays: 500 });
    await history.add({ schedule: 'a', ageDays: 400 });
    await history.add({ schedule: 'a', ageDays: 300, state: 'failed', final: false });
    await history.add({ schedule: 'a', ageDays: 200, state: 'skipped' });
    await history.add({ schedule: 'a', ageDays: 100, state: 'skipped' });
    await history.sweepAll();
    expect(await history.left()).toEqual(['a 400d succeeded', 'a 300d failed', 'a 100d skipped']);
  });

  test('a backfill of ten thousand runs, all with the same counters, is forgotten all the same', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 1d }');
    await history.ledger.run(`
      INSERT INTO cuckoo_ledger.closed BY NAME
      SELECT gen_random_uuid() AS run_id, (SELECT schedule_id FROM cuckoo_ledger.schedule) AS schedule_id, 'a' AS schedule, 'sql' AS exe, 'backfill' AS trigger,
        t AS scheduled_at, t AS opened_at, t AS started_at, t AS finished_at, 'succeeded' AS state, 1 AS attempt, true AS final, 'default' AS queue,
        'normal' AS priority, '{}' AS params, uuid() AS root_run_id, 0 AS consecutive_failures, 7 AS opened_fires, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS last_success_at
      FROM (SELECT TIMESTAMPTZ '2026-02-01 00:00:00+00' + to_milliseconds(range) AS t FROM range(25_000))`);
    expect(await history.sweepAll()).toBeGreaterThan(24_990);
  });
});

describe('what somebody still reads stays', () => {
  test('a mark, the parent of a run that waits, and what a token tells of', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 1d }');
    const ids = [];
    for (const ageDays of [40, 30, 20, 10, 0]) ids.push(await history.add({ schedule: 'a', ageDays }));
    await history.ledger.run("INSERT INTO cuckoo_ledger.token SELECT uuid(), 2, 1, $run::UUID, $run::UUID, 'succeeded', now()", {
      run: ids[2],
    });
    for (const [run, parent, stage] of [
      [ids[0], null, 'marked'],
      [runId(now, 1, new Uint8Array(10)), ids[1], 'open'],
    ] as const) {
      await history.ledger.run(
        `INSERT INTO cuckoo_ledger.open_run BY NAME SELECT $run::UUID AS run_id, 'b' AS schedule, 'sql' AS exe, 'after' AS trigger, now() AS scheduled_at,
          now() AS opened_at, 1 AS attempt, $stage AS stage, 'default' AS queue, 'normal' AS priority, '{}' AS params, false AS alone, $run::UUID AS root_run_id, $parent::UUID AS parent_run_id`,
        { run, parent, stage },
      );
    }
    expect(await history.sweepAll()).toBe(1);
    expect(await history.left()).toEqual(['a 40d succeeded', 'a 30d succeeded', 'a 20d succeeded', 'a 0d succeeded']);
  });

  test('the last day, whatever keep says: a clock that is set back asks what has run', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 1h }');
    for (const ageDays of [1.1, 0.9, 0]) await history.add({ schedule: 'a', ageDays });
    expect(await history.sweepAll()).toBe(1);
  });

  test('what the rate of a queue still counts', async ({ history, db }) => {
    await history.define('a', 'keep: { succeeded: 1d }');
    for (const ageDays of [8, 6, 0]) await history.add({ schedule: 'a', ageDays });
    await db.run('UPSERT QUEUE weekly ( rate: 100 per 7d )');
    expect(await history.sweepAll()).toBe(1);
    await db.run('DROP QUEUE weekly');
    expect(await history.sweepAll()).toBe(1);
  });

  test('pg_cron’s hidden run goes with its row, and the table of jobs knows', async ({ history, db }) => {
    await db.run("SELECT cron.schedule('a', '0 3 * * *', 'SELECT 1')", 'ALTER SCHEDULE a SET ( keep: { succeeded: 1d } )');
    await history.add({ schedule: 'a', ageDays: 30 });
    await history.add({ schedule: 'a', ageDays: 20 });
    await db.run('DELETE FROM cron.job_run_details');
    expect(await history.rows('SELECT count(hidden_run)::INT AS hidden FROM cuckoo_ledger.pg_cron_job')).toEqual([{ hidden: 1 }]);
    // It carries the counters, so it stays until another does.
    expect(await history.sweepAll()).toBe(0);
    await history.add({ schedule: 'a', ageDays: 10, fires: 3, successAt: now });
    expect(await history.sweepAll()).toBe(1);
    expect(await history.rows('SELECT count(hidden_run)::INT AS hidden FROM cuckoo_ledger.pg_cron_job')).toEqual([{ hidden: 0 }]);
    expect(await history.rows('SELECT count(*)::INT AS runs FROM cron.job_run_details')).toEqual([{ runs: 1 }]);
  });
});

describe('the ledger’s own rows', () => {
  test('ticks go when they are neither of the last thousand nor of the last day', async ({ history }) => {
    await history.ledger.run('DELETE FROM cuckoo_ledger.tick');
    await history.ledger.run(`
      INSERT INTO cuckoo_ledger.tick BY NAME
      SELECT range AS seq, epoch_ms((${now} - (3000 - range) * 60_000)::BIGINT)::TIMESTAMPTZ AS watermark, watermark AS ticked_at FROM range(1, 3001)`);
    await history.sweep();
    // The last day has 1,440 minutes, its first one included.
    expect(await history.rows('SELECT min(seq)::INT AS oldest, max(seq)::INT AS newest FROM cuckoo_ledger.tick')).toEqual([
      { oldest: 1560, newest: 3000 },
    ]);
  });

  test('of quiet times a thousand ticks stay, however old', async ({ history }) => {
    await history.ledger.run('DELETE FROM cuckoo_ledger.tick');
    await history.ledger.run(`
      INSERT INTO cuckoo_ledger.tick BY NAME
      SELECT range AS seq, epoch_ms((${now} - (3000 - range) * 3_600_000)::BIGINT)::TIMESTAMPTZ AS watermark, watermark AS ticked_at FROM range(1, 3001)`);
    await history.sweep();
    expect(await history.rows('SELECT count(*)::INT AS ticks, max(seq)::INT AS newest FROM cuckoo_ledger.tick')).toEqual([
      { ticks: 1000, newest: 3000 },
    ]);
  });

  test('boots, ended alerts and starts of closed runs go in their time', async ({ history }) => {
    const open = runId(now, 1, new Uint8Array(10));
    const gone = runId(now, 2, new Uint8Array(10));
    await history.ledger.run(`
      INSERT INTO cuckoo_ledger.boot BY NAME
      SELECT range::VARCHAR AS boot_id, 'start' AS event, epoch_ms((${now} - range * 1000)::BIGINT)::TIMESTAMPTZ AS occurred_at, 1 AS pid, 'h' AS host
      FROM range(149, -1, -1)`);
    for (const [id, endedDays] of [
      ['old', 91],
      ['ended', 89],
      ['open', null],
    ] as const) {
      await history.ledger.run(
        `INSERT INTO cuckoo_ledger.alert BY NAME SELECT $id AS alert_id, 'backlog' AS rule, epoch_ms(${now - 100 * day})::TIMESTAMPTZ AS since,
          epoch_ms($ended::BIGINT)::TIMESTAMPTZ AS ended_at, '' AS detail`,
        { id, ended: endedDays === null ? null : now - endedDays * day },
      );
    }
    await history.ledger.run(
      `INSERT INTO cuckoo_ledger.open_run BY NAME SELECT $run::UUID AS run_id, 'b' AS schedule, 'sql' AS exe, 'cron' AS trigger, now() AS scheduled_at,
        now() AS opened_at, 1 AS attempt, 'open' AS stage, 'default' AS queue, 'normal' AS priority, '{}' AS params, false AS alone, $run::UUID AS root_run_id`,
      { run: open },
    );
    for (const [run, hours] of [
      [open, 48],
      [gone, 48],
      [gone, 1],
    ] as const) {
      await history.ledger.run("INSERT INTO cuckoo_ledger.started SELECT $run::UUID, '140', epoch_ms($at::BIGINT)::TIMESTAMPTZ", {
        run,
        at: now - hours * 3_600_000,
      });
    }
    await history.sweep();
    // What a run that is open began under is still asked for.
    expect(await history.rows('SELECT boot_id AS boot FROM cuckoo_ledger.boot WHERE boot_id::INT > 97 ORDER BY boot_id::INT')).toEqual([
      { boot: '98' },
      { boot: '99' },
      { boot: '140' },
    ]);
    expect(await history.rows('SELECT alert_id AS id FROM cuckoo_ledger.alert ORDER BY 1')).toEqual([{ id: 'ended' }, { id: 'open' }]);
    expect(await history.rows('SELECT run_id::VARCHAR AS run FROM cuckoo_ledger.started ORDER BY started_at')).toEqual([
      { run: open },
      { run: gone },
    ]);
  });
});

describe('a sweep', () => {
  test('that is aborted has done what it says, and the next one goes on', async ({ history }) => {
    await history.define('a', 'keep: { succeeded: 1d }');
    await history.ledger.run(`
      INSERT INTO cuckoo_ledger.closed BY NAME
      SELECT gen_random_uuid() AS run_id, (SELECT schedule_id FROM cuckoo_ledger.schedule) AS schedule_id, 'a' AS schedule, 'sql' AS exe, 'cron' AS trigger,
        t AS scheduled_at, t AS opened_at, t AS finished_at, 'succeeded' AS state, 1 AS attempt, true AS final, 'default' AS queue,
        'normal' AS priority, '{}' AS params, uuid() AS root_run_id, 0 AS consecutive_failures, range AS opened_fires
      FROM (SELECT range, TIMESTAMPTZ '2026-02-01 00:00:00+00' + to_milliseconds(range) AS t FROM range(35_000))`);
    const rows = async (): Promise<number> => Number((await history.rows('SELECT count(*)::INT AS n FROM cuckoo_ledger.closed'))[0]?.['n']);
    // Aborted as soon as the first rows are gone.
    const controller = new AbortController();
    const watching = (async () => {
      while ((await rows()) === 35_000);
      controller.abort();
    })();
    const swept = await history.retention.sweep(controller.signal);
    await watching;
    expect(swept.more).toBe(true);
    expect(swept.deleted).toBeGreaterThan(0);
    expect(await rows()).toBe(35_000 - swept.deleted);
    await history.sweepAll();
    expect(await rows()).toBe(1);
  });

  test('forgets nothing for an hour after the clock has jumped ahead', async ({ history, db }) => {
    await history.define('a', 'keep: { succeeded: 30d }');
    for (const ageDays of [1, 0]) await history.add({ schedule: 'a', ageDays });
    await history.sweep();
    db.clock.set('2027-11-20T12:00:00Z');
    history.elapsedMs += 600_000;
    expect(await history.sweepAll()).toBe(0);
    history.elapsedMs += 3_599_000;
    db.clock.time += 3_599_000;
    expect(await history.sweepAll()).toBe(0);
    // Set right in time: nothing was lost.
    db.clock.set('2026-11-20T13:10:00Z');
    history.elapsedMs += 7_200_000;
    expect(await history.sweepAll()).toBe(0);
    expect(await history.left()).toHaveLength(2);
    // Or it was right, and an hour later it is believed.
    db.clock.set('2027-11-20T13:10:00Z');
    await history.sweep();
    history.elapsedMs += 3_600_000;
    db.clock.time += 3_600_000;
    expect(await history.sweepAll()).toBe(1);
  });

  test('after a long stop waits an hour, since a wrong clock looks the same', async ({ history, db }) => {
    await history.define('a', 'keep: { succeeded: 30d }');
    for (const ageDays of [1, 0]) await history.add({ schedule: 'a', ageDays });
    db.clock.set('2027-03-01T12:00:00Z');
    expect(await history.sweepAll()).toBe(0);
    history.elapsedMs += 3_600_000;
    db.clock.time += 3_600_000;
    expect(await history.sweepAll()).toBe(1);
  });
});
