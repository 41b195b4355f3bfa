// The same plays on a real file: the ledger on DuckDB, definitions in its tables, and runs that add a row to a table in the very
// transaction that closes them. Time stands still while the database is at work, and its calls go one after the other, so that a
// seed is the same play here each time too.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Turnstile } from '../../src/core/turnstile.ts';
import { type Engine, openEngine } from '../../src/engine/engine.ts';
import type { Session } from '../../src/engine/session.ts';
import type { SettingName } from '../../src/engine/settings.ts';
import { Catalogue, type StoredSchedule } from '../../src/engine/store/duckdb/catalogue.ts';
import { Connection } from '../../src/engine/store/duckdb/connection.ts';
import { cancelWaiting, commitClosed } from '../../src/engine/store/duckdb/fence.ts';
import { DuckLedger } from '../../src/engine/store/duckdb/ledger.ts';
import { systemClock } from '../../src/scheduler/clock.ts';
import type { Ledger, QueueDefinition, SchedulerSettings } from '../../src/scheduler/ports.ts';
import type { Closing } from '../../src/scheduler/run.ts';
import type { Definition, Schedule } from '../../src/scheduler/schedule.ts';
import type { VirtualClock } from '../../src/scheduler/simulation/virtualClock.ts';
import type { Journal } from './journal.ts';
import type { Statement, Store } from './store.ts';
import { calendars } from './world.ts';

export class DuckStore implements Store {
  readonly ledger: Ledger;
  readonly #folder = mkdtempSync(join(tmpdir(), 'cuckoo-simulator-'));
  readonly #turnstile = new Turnstile();
  readonly #journal: Journal;
  readonly #clock: () => VirtualClock;
  #engine!: Engine;
  #session!: Session;
  #duck!: DuckLedger;
  #atWork = 0;

  constructor(journal: Journal, clock: () => VirtualClock) {
    this.#journal = journal;
    this.#clock = clock;
    const one = <T>(call: (ledger: DuckLedger) => Promise<T>): Promise<T> => this.#one(() => call(this.#duck));
    this.ledger = {
      load: (signal) => one((ledger) => ledger.load(signal)),
      changes: (revision, signal) => one((ledger) => ledger.changes(revision, signal)),
      newestTick: (signal) => one((ledger) => ledger.newestTick(signal)),
      tick: (tick, at, writes, signal) =>
        one(async (ledger) => {
          await ledger.tick(tick, at, writes, signal);
          journal.committed(writes, tick);
        }),
      write: (units, signal) =>
        one(async (ledger) => {
          const written = await ledger.write(units, signal);
          for (const [index, unit] of units.entries()) if (written[index] === true) journal.committed(unit, undefined);
          return written;
        }),
      applied: (units, signal) => one((ledger) => ledger.applied(units, signal)),
      waiting: (request, signal) => one((ledger) => ledger.waiting(request, signal)),
      openRunsOf: (scheduleId, signal) => one((ledger) => ledger.openRunsOf(scheduleId, signal)),
      fate: (runId, signal) => one((ledger) => ledger.fate(runId, signal)),
      ran: (instants, signal) => one((ledger) => ledger.ran(instants, signal)),
    };
  }

  runId(number: number): string {
    return `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`;
  }

  async open(): Promise<void> {
    const clock = { ...systemClock, now: () => this.#clock().now() };
    this.#engine = await openEngine(join(this.#folder, 'my.duckdb'), { clock, zone: 'UTC', environment: {} });
    this.#session = await this.#engine.session({ actor: 'simulator', admin: true });
    const { database, sql, admission } = this.#engine;
    this.#duck = new DuckLedger({ database, sql, admission, clock });
    await this.#run('CREATE TABLE effect (run_id VARCHAR)');
    for (const [name, { weekend, holidays }] of Object.entries(calendars)) {
      const free = weekend.map((weekday) => ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][weekday]);
      const days = holidays.map((day) => `'${new Date(day * 86_400_000).toISOString().slice(0, 10)}'`);
      await this.#run(`UPSERT CALENDAR ${name} ( weekend: [${free.join(', ')}], holidays: [${days.join(', ')}] )`);
    }
    this.#journal.startsAt(await this.#duck.newestTick(new AbortController().signal));
  }

  /** For the virtual clock: nothing goes on any more, in the database either. */
  readonly settle = async (): Promise<void> => {
    do {
      await systemClock.yieldTurn();
    } while (this.#atWork > 0);
  };

  async close(): Promise<void> {
    await this.#session.close();
    await this.#engine.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Of each run how often its effects are there, against how often it says so. */
  async wrongEffects(): Promise<readonly string[]> {
    const result = await this.#session.execute(`
      SELECT coalesce(e.run_id, c.run_id::VARCHAR) AS run_id FROM (SELECT run_id, count(*) AS times FROM effect GROUP BY ALL) e
      FULL JOIN (SELECT run_id FROM cuckoo_ledger.closed WHERE state = 'succeeded' AND exe = 'sql') c ON c.run_id::VARCHAR = e.run_id
      WHERE e.times IS DISTINCT FROM 1 OR c.run_id IS NULL`);
    return (await result.toObjects()).map((row) => String(row['run_id']));
  }

  execute(statement: Statement): Promise<void> {
    return this.#one(async () => {
      await this.#execute(statement);
      this.#journal.stated(statement);
      if (statement.kind !== 'drop') return;
      for (const run of statement.runs) this.#journal.runs.droppedWith(run);
    });
  }

  async #execute(statement: Statement): Promise<void> {
    switch (statement.kind) {
      case 'define':
        return this.#define(statement.definition);
      case 'drop':
        return this.#inTransaction(async (connection, catalogue) => {
          const stored = (await catalogue.readableSchedules()).schedules.find(({ scheduleId }) => scheduleId === statement.scheduleId);
          if (stored === undefined) throw new Error(`schedule ${statement.scheduleId} is not there`);
          await catalogue.dropSchedule(stored, statement.at, 'simulator');
          const going = new Set(statement.runs.map((run) => run.runId));
          const { scheduleId, at } = statement;
          await cancelWaiting(connection, this.#engine.sql, {
            scheduleId,
            reason: 'dropped',
            at,
            isAtWork: (runId) => !going.has(runId),
          });
        });
      case 'spoil':
        return this.#inTransaction(async (connection) => {
          await connection.run('UPDATE cuckoo_ledger.schedule SET bound = $bound WHERE schedule_id = $id', {
            bound: '{}',
            id: statement.unreadable.scheduleId,
          });
        });
      case 'queue':
        return this.#queue(statement.queue);
      case 'set':
        return this.#set(statement.settings);
      case 'pause':
        return this.#inTransaction(async (connection) => {
          await connection.run("DELETE FROM cuckoo_ledger.file WHERE key = 'paused_at'");
          if (statement.at === null) return;
          await connection.run(this.#engine.sql.setFileValue, { key: 'paused_at', value: new Date(statement.at).toISOString() });
        });
      default:
        statement satisfies never;
    }
  }

  #define(definition: Definition): Promise<void> {
    const { scheduleId, name, version, enabled, effectiveFrom } = definition;
    const schedule = scheduleOf(definition);
    const stored: StoredSchedule = { scheduleId, name, version, enabled, effectiveFrom, schedule, definition: name, source: null };
    return this.#inTransaction((_connection, catalogue) =>
      catalogue.putSchedule(stored, { sched: null, params: {}, source: null }, [], this.#clock().now(), 'simulator'),
    );
  }

  async #queue({ name, weight, concurrency, rate, paused }: QueueDefinition): Promise<void> {
    const limits = [
      concurrency === null ? '' : `, concurrency: ${concurrency}`,
      rate === null ? '' : `, rate: ${rate.count} per ${rate.perMs}ms`,
    ];
    await this.#run(`UPSERT QUEUE "${name}" ( weight: ${weight}${limits.join('')} )`, `${paused ? 'PAUSE' : 'RESUME'} QUEUE "${name}"`);
  }

  #set(settings: Partial<SchedulerSettings>): Promise<void> {
    const { workers, checkIntervalMs, lateWithinMs, maxRetries, retryDelayMs, catchup } = settings;
    const values: [SettingName, string | number | undefined][] = [
      ['workers', workers],
      ['check_interval', checkIntervalMs === undefined ? undefined : `${checkIntervalMs}ms`],
      ['late_within', lateWithinMs === undefined ? undefined : `${lateWithinMs}ms`],
      ['max_retries', maxRetries],
      ['retry_delay', retryDelayMs === undefined ? undefined : `${retryDelayMs}ms`],
      ['catchup', catchup],
    ];
    return this.#inTransaction(async (_connection, catalogue) => {
      for (const [name, value] of values) if (value !== undefined) await catalogue.setSetting(name, String(value), this.#clock().now());
    });
  }

  closeInside(closing: Closing, marks: boolean): Promise<'removed' | 'marked' | 'fenced'> {
    return this.#one(async () => {
      const connection = await this.#connection();
      try {
        await connection.send('BEGIN', 'open');
        await connection.run('INSERT INTO effect VALUES ($run_id)', { run_id: closing.run.runId });
        const how = await commitClosed(connection, this.#engine.sql, closing, { isGuarded: false, marks, onSend: () => {} });
        await connection.rollback();
        this.#journal.runs.closedInside(closing, how);
        return how;
      } finally {
        await connection.close();
      }
    });
  }

  async #run(...texts: readonly string[]): Promise<void> {
    for (const text of texts) await (await this.#session.execute(text)).toArray();
  }

  async #inTransaction(work: (connection: Connection, catalogue: Catalogue) => Promise<void>): Promise<void> {
    const connection = await this.#connection();
    try {
      await connection.transact(() => work(connection, new Catalogue(connection, this.#engine.sql)));
    } finally {
      await connection.close();
    }
  }

  async #connection(): Promise<Connection> {
    return new Connection(await this.#engine.database.connect());
  }

  /** One call at a time: what becomes true first is asked for first. */
  async #one<T>(work: () => Promise<T>): Promise<T> {
    this.#atWork += 1;
    try {
      return await this.#turnstile.run(work);
    } finally {
      this.#atWork -= 1;
    }
  }
}

function scheduleOf({ name, exe, call, timing, policy }: Definition): Schedule {
  const { calendar, ...rest } = timing ?? { calendar: undefined };
  const calendarName = Object.entries(calendars).find(([, days]) => JSON.stringify(days) === JSON.stringify(calendar))?.[0];
  return {
    name,
    target: { exe, call },
    params: {},
    config: {},
    ...(timing === undefined ? {} : { timing: { ...(rest as typeof timing), ...(calendarName === undefined ? {} : { calendarName }) } }),
    tags: [],
    ...policy,
    isolation: 'thread',
    keep: {},
  };
}
