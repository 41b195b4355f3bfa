// The definitions in the file, read and written on the connection of whoever asks: a session sees its own uncommitted
// definitions, and nobody else's. Nothing is cached here, so nothing can be stale.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { formatDuration } from '../../../core/duration.ts';
import type { Instant } from '../../../core/instant.ts';
import type { JsonObject, JsonValue } from '../../../core/jsonValue.ts';
import { nameKey } from '../../../core/name.ts';
import { parametersOf } from '../../../parser/facts.ts';
import type { CalendarDays, Timing } from '../../../scheduler/cadence/cadence.ts';
import type { NamedDay } from '../../../scheduler/cadence/calendar.ts';
import type { Schedule } from '../../../scheduler/schedule.ts';
import { parseActions } from '../../actionText.ts';
import { callsOfActions, callsOfRoutine, callsOfSchedule } from '../../calls.ts';
import { withEnvironmentNames } from '../../environment.ts';
import { opensItself } from '../../guard.ts';
import { type LineageEntry, withoutParameters } from '../../lineage.ts';
import { callText, type Routine, shownParameters, shownSteps } from '../../routine.ts';
import { type SettingName, Settings } from '../../settings.ts';
import { type ScheduleVersion, versionKey } from '../../versions.ts';
import type { Connection } from './connection.ts';
import type { Sql } from './sql.ts';

export interface StoredSchedule {
  readonly scheduleId: number;
  readonly name: string;
  readonly version: number;
  readonly enabled: boolean;
  readonly effectiveFrom: Instant;
  readonly schedule: Schedule;
  readonly definition: string;
  readonly source: string | null;
}

export interface StoredRoutine {
  readonly name: string;
  readonly version: number;
  readonly routine: Routine;
  readonly definition: string;
}

export interface StoredCalendar {
  readonly name: string;
  readonly version: number;
  readonly days: CalendarDays;
  readonly sources: HolidaySources;
  readonly definition: string;
}

/** What each source of a calendar answered when it was read last, by the key that names it. */
export type HolidaySources = Readonly<Partial<Record<'holidays_from' | 'ics' | 'country', readonly NamedDay[]>>>;

/** Of a calendar with sources. */
export interface StoredReading {
  readonly name: string;
  /** The last that was good. */
  readonly readAt: Instant;
  /** null: the newest was good. */
  readonly failing: { readonly since: Instant; readonly problem: string } | null;
}

export interface StoredQueue {
  readonly name: string;
  readonly paused: boolean;
  readonly definition: string;
}

/** What is written beside the bound value: the columns that people filter by. */
export interface ScheduleColumns {
  readonly sched: string | null;
  readonly params: JsonObject;
  readonly source: string | null;
}

interface ScheduleRow {
  schedule_id: number;
  name: string;
  version: number;
  enabled: boolean;
  effective_from: number;
  bound: string;
  definition: string;
  source: string | null;
}

interface RoutineRow {
  name: string;
  version: number;
  bound: string;
  definition: string;
}

export class Catalogue {
  readonly #connection: Connection;
  readonly #sql: Sql;

  constructor(connection: Connection, sql: Sql) {
    this.#connection = connection;
    this.#sql = sql;
  }

  async settings(): Promise<Settings> {
    const rows = await this.#connection.all<{ name: string; value: string }>(this.#sql.settings);
    return new Settings(new Map(rows.map((row) => [row.name, row.value])));
  }

  async setSetting(name: SettingName, value: string, at: Instant): Promise<void> {
    // As with definitions: two transactions of which one drops what the other begins to use cannot both commit.
    if (name === 'on_fail') for (const called of callsOfActions(parseActions(value, 'on_fail'))) await this.#touch('routine', called);
    await this.#connection.run(this.#sql.setSetting, { name, value, at });
  }

  async resetSetting(name: SettingName): Promise<void> {
    await this.#connection.run(this.#sql.resetSetting, { name });
  }

  // Schedules

  async newestScheduleId(): Promise<number> {
    const [row] = await this.#connection.all<{ newest: number }>(this.#sql.newestScheduleId);
    return row?.newest ?? 0;
  }

  async schedule(name: string): Promise<StoredSchedule | undefined> {
    const [row] = await this.#connection.all<ScheduleRow>(this.#sql.schedule, { key: nameKey(name) });
    return row === undefined ? undefined : storedSchedule(row);
  }

  async schedules(): Promise<StoredSchedule[]> {
    return (await this.#connection.all<ScheduleRow>(this.#sql.schedules)).map(storedSchedule);
  }

  /** One row that cannot be read does not hide the others. */
  async readableSchedules(): Promise<{ schedules: StoredSchedule[]; unreadable: { schedule: string; message: string }[] }> {
    const schedules: StoredSchedule[] = [];
    const unreadable: { schedule: string; message: string }[] = [];
    for (const row of await this.#connection.all<ScheduleRow>(this.#sql.schedules)) {
      try {
        const stored = storedSchedule(row);
        if (stored.schedule !== undefined) schedules.push(stored);
      } catch (error) {
        unreadable.push({ schedule: row.name, message: error instanceof Error ? error.message : String(error) });
      }
    }
    return { schedules, unreadable };
  }

  scheduleNames(): Promise<string[]> {
    return this.#names(this.#sql.scheduleNames);
  }

  /** Who follows whom: child (folded) -> parents. */
  async followers(): Promise<Map<string, readonly string[]>> {
    const rows = await this.#connection.all<{ name: string; parents: string }>(this.#sql.followers);
    return new Map(rows.map((row) => [nameKey(row.name), JSON.parse(row.parents) as string[]]));
  }

  /** Names of schedules that use a routine as their target, a parent schedule, a calendar or a queue. */
  usersOf(what: 'routine' | 'schedule' | 'calendar' | 'queue', name: string): Promise<string[]> {
    const sql = {
      routine: this.#sql.schedulesOf,
      schedule: this.#sql.schedulesAfter,
      calendar: this.#sql.schedulesOn,
      queue: this.#sql.schedulesIn,
    };
    return this.#names(sql[what], { key: nameKey(name) });
  }

  /** Everything that calls a routine: as a target, in an action, from SQL, as a step. */
  async callersOf(name: string): Promise<string[]> {
    const key = nameKey(name);
    const callers: string[] = [];
    if (callsOfActions((await this.settings()).onFail).some((called) => nameKey(called) === key)) callers.push('the setting cron.on_fail');
    for (const { name: schedule, schedule: value } of (await this.readableSchedules()).schedules) {
      if (callsOfSchedule(value).some((called) => nameKey(called) === key)) callers.push(`schedule ${schedule}`);
    }
    for (const { name: other, routine } of await this.routines()) {
      if (nameKey(other) !== key && callsOfRoutine(routine).some((called) => nameKey(called) === key))
        callers.push(`${routine.kind} ${other}`);
    }
    return callers;
  }

  /**
   * Counts up every name that a schedule uses: a transaction that drops or changes one of them at the same moment then conflicts
   * with this one, where a snapshot would show each of the two a world in which all is well. The built-in queue cannot be
   * dropped, and would make every definition wait for every other.
   */
  async #holdUsed(schedule: Schedule): Promise<void> {
    for (const called of callsOfSchedule(schedule)) await this.#touch('routine', called);
    for (const parent of schedule.after) await this.#touch('schedule', parent);
    if (schedule.timing?.calendarName !== undefined) await this.#touch('calendar', schedule.timing.calendarName);
    if (nameKey(schedule.queue) !== 'default') await this.#touch('queue', schedule.queue);
  }

  async #touch(kind: 'schedule' | 'routine' | 'calendar' | 'queue', name: string): Promise<void> {
    const key = `${kind}:${nameKey(name)}`;
    if ((await this.#connection.run(this.#sql.touch, { key })) === 0) await this.#connection.insert(this.#sql.touchFirst, { key });
  }

  /** Puts a schedule in the place of the one of its name, and remembers the version. */
  async putSchedule(stored: StoredSchedule, columns: ScheduleColumns, changed: readonly string[], at: Instant, by: string): Promise<void> {
    const { schedule } = stored;
    const key = nameKey(stored.name);
    // Of a new name there is nothing to read and nothing to take away; if somebody was quicker, the key of the table says so.
    const isNew = stored.version === 1;
    const [before] = isNew ? [] : await this.#connection.all<{ created_at: number; version: number }>(this.#sql.scheduleCreatedAt, { key });
    // It was read before this transaction began, and somebody was quicker.
    if (before !== undefined && before.version !== stored.version - 1) {
      throw new Diagnostic('conflict', `schedule ${stored.name} was changed at the same moment`);
    }
    await this.#touch('schedule', stored.name);
    await this.#holdUsed(schedule);
    if (!isNew) await this.#connection.run(this.#sql.deleteSchedule, { key });
    await this.#connection.insert(this.#sql.insertSchedule, {
      schedule_id: stored.scheduleId,
      name: stored.name,
      key,
      version: stored.version,
      enabled: stored.enabled,
      effective_from: stored.effectiveFrom,
      sched: columns.sched,
      timezone: schedule.timing?.zone ?? null,
      exe: schedule.target.exe,
      call: callText(schedule.target.call),
      params: JSON.stringify(columns.params),
      config: JSON.stringify(withEnvironmentNames(schedule.config)),
      queue: schedule.queue,
      priority: schedule.priority,
      overlap: schedule.overlap,
      catchup: schedule.catchup ?? null,
      max_retries: schedule.retry.maxRetries ?? null,
      after: JSON.stringify(schedule.after),
      calendar: schedule.timing?.calendarName ?? null,
      description: schedule.description ?? null,
      tags: JSON.stringify(schedule.tags),
      owner: schedule.owner ?? null,
      source: columns.source,
      bound: JSON.stringify(schedule),
      definition: stored.definition,
      created_at: before?.created_at ?? at,
      updated_at: at,
    });
    await this.#version(stored, stored.definition, changed, at, by);
  }

  async enableSchedule(stored: StoredSchedule, enabled: boolean, at: Instant, by: string): Promise<void> {
    const version = stored.version + 1;
    // ENABLE counts from now; DISABLE leaves the past as it was.
    const effectiveFrom = enabled ? at : stored.effectiveFrom;
    await this.#connection.run(this.#sql.enableSchedule, {
      key: nameKey(stored.name),
      enabled,
      version,
      effective_from: effectiveFrom,
      at,
    });
    await this.#version({ ...stored, version }, stored.definition, ['enabled'], at, by);
  }

  /** Of schedules defined in this transaction: it took a while, and their fires count from its commit. */
  async countFrom(scheduleIds: Iterable<number>, at: Instant): Promise<void> {
    await this.#connection.run(this.#sql.countFrom, { ids: JSON.stringify([...scheduleIds]), at });
  }

  async dropSchedule(stored: StoredSchedule, at: Instant, by: string): Promise<void> {
    await this.#touch('schedule', stored.name);
    await this.#connection.run(this.#sql.deleteSchedule, { key: nameKey(stored.name) });
    await this.#version({ ...stored, version: stored.version + 1 }, null, ['dropped'], at, by);
    await this.putLineage(stored.name, 'schedule', []);
  }

  async #version(stored: StoredSchedule, definition: string | null, changed: readonly string[], at: Instant, by: string): Promise<void> {
    await this.#connection.insert(this.#sql.insertScheduleVersion, {
      schedule_id: stored.scheduleId,
      name: stored.name,
      version: stored.version,
      definition,
      changed: JSON.stringify(changed),
      at,
      by,
      bound: definition === null ? null : (JSON.stringify(stored.schedule) ?? null),
    });
  }

  /** As schedules were in these versions, also after ALTER and DROP: those that are in the file, by `versionKey`. */
  async scheduleVersions(versions: readonly ScheduleVersion[]): Promise<Map<string, Schedule>> {
    const [only] = versions;
    if (versions.length === 1 && only !== undefined) {
      const schedule = await this.scheduleVersion(only.scheduleId, only.version);
      return new Map(schedule === undefined ? [] : [[versionKey(only), schedule]]);
    }
    const ids = JSON.stringify(versions.map(({ scheduleId }) => scheduleId));
    const numbers = JSON.stringify(versions.map(({ version }) => version));
    const rows = await this.#connection.all<{ id: number; version: number; bound: string | null }>(this.#sql.scheduleVersions, {
      ids,
      numbers,
    });
    const found = new Map<string, Schedule>();
    for (const { id: scheduleId, version, bound } of rows) {
      // Older files did not keep it: the schedule, as it is, has it.
      const schedule = bound === null ? await this.scheduleVersion(scheduleId, version) : (JSON.parse(bound) as Schedule);
      if (schedule !== undefined) found.set(versionKey({ scheduleId, version }), schedule);
    }
    return found;
  }

  async scheduleVersion(scheduleId: number, version: number): Promise<Schedule | undefined> {
    const [row] = await this.#connection.all<{ bound: string }>(this.#sql.scheduleVersion, { id: scheduleId, version });
    return row === undefined ? undefined : (JSON.parse(row.bound) as Schedule);
  }

  // Procedures and pipelines

  async routine(name: string): Promise<StoredRoutine | undefined> {
    const [row] = await this.#connection.all<RoutineRow>(this.#sql.routine, { key: nameKey(name) });
    return row === undefined ? undefined : storedRoutine(row);
  }

  async routines(): Promise<StoredRoutine[]> {
    return (await this.#connection.all<RoutineRow>(this.#sql.routines)).map(storedRoutine);
  }

  async routineNames(): Promise<string[]> {
    return (await this.routines()).map((stored) => stored.name);
  }

  async putRoutine(stored: StoredRoutine, at: Instant): Promise<void> {
    const { routine } = stored;
    const key = nameKey(stored.name);
    const [before] = await this.#connection.all<{ created_at: number }>(this.#sql.routineCreatedAt, { key });
    await this.#touch('routine', stored.name);
    for (const called of callsOfRoutine(routine)) await this.#touch('routine', called);
    await this.#connection.run(this.#sql.deleteRoutine, { key });
    await this.#connection.run(this.#sql.insertRoutine, {
      name: stored.name,
      key,
      kind: routine.kind,
      version: stored.version,
      ...routineColumns(routine),
      bound: JSON.stringify(routine),
      definition: stored.definition,
      created_at: before?.created_at ?? at,
      updated_at: at,
    });
  }

  async dropRoutine(name: string, kind: Routine['kind']): Promise<void> {
    await this.#touch('routine', name);
    await this.#connection.run(this.#sql.deleteRoutine, { key: nameKey(name) });
    await this.putLineage(name, kind, []);
  }

  /** Whether DuckDB has a function of this name that CALL would otherwise reach. */
  async hidesDuckDb(name: string): Promise<boolean> {
    const rows = await this.#connection.all(
      "SELECT 1 AS found FROM duckdb_functions() WHERE function_type IN ('table', 'pragma', 'table_macro') AND function_name = $key AND internal LIMIT 1",
      { key: nameKey(name) },
    );
    return rows.length > 0;
  }

  /** Whether DuckDB knows a type of this name. The text is one type and nothing else: the parser has seen to it. */
  async typeExists(type: string): Promise<boolean> {
    try {
      await this.#connection.all(`SELECT TRY_CAST(NULL AS ${type})`);
      return true;
    } catch (error) {
      // A type that is not known is a catalog or parse error, which leaves an open transaction as it was.
      if (error instanceof Diagnostic && error.code !== 'fatal' && error.code !== 'closed') return false;
      throw error;
    }
  }

  /** What a query answers, column by column; undefined where that cannot be told yet: a table may be missing. */
  async columnTypes(query: string): Promise<string[] | undefined> {
    const text = withoutParameters(query, []);
    // Binding opens the files that a query names, and whoever closes the open database's file drops the lock on it.
    if (text === undefined || opensItself(text)) return undefined;
    try {
      const columns = await this.#connection.all<{ column_type: string }>(`DESCRIBE ${text}`);
      return columns.map((column) => column.column_type.replace(/^"(.*)"$/, '$1'));
    } catch (error) {
      // What does not bind leaves an open transaction as it was.
      if (error instanceof Diagnostic && error.code !== 'fatal' && error.code !== 'closed') return undefined;
      throw error;
    }
  }

  /** What DuckDB's parser refuses in a statement, at its place. Tables play no part, and an open transaction stays as it is. */
  syntaxError(sql: string): Promise<Diagnostic | undefined> {
    return this.#connection.native.syntaxError(sql);
  }

  /** The same for an expression: in brackets, as it will be evaluated, and told as if it stood alone. */
  async expressionError(expression: string): Promise<Diagnostic | undefined> {
    const inBrackets = await this.syntaxError(`SELECT (${expression}\n)`);
    if (inBrackets === undefined) return undefined;
    const alone = await this.syntaxError(`SELECT ${expression}`);
    const before = alone === undefined ? 'SELECT (' : 'SELECT ';
    return (alone ?? inBrackets).movedBy((index) => Math.min(Math.max(0, index - before.length), expression.length));
  }

  /**
   * Whether a literal can become a value of `type`. TRY, because a failed cast would abort the session's transaction; TRY_CAST
   * would make NULL of an item that does not fit, where the run's own CAST fails.
   */
  async castable(value: JsonValue, type: string): Promise<boolean> {
    const scalar = value === null || typeof value !== 'object';
    const source = scalar ? '$value::VARCHAR' : '$value::JSON';
    const [row] = await this.#connection.all<{ fits: boolean }>(`SELECT TRY(CAST(${source} AS ${type})) IS NOT NULL AS fits`, {
      value: scalar ? String(value) : JSON.stringify(value),
    });
    return row?.fits ?? false;
  }

  /**
   * What is wrong with a parameter's default, as far as that can be told without side effects: with its place in `expression`, or
   * that its value is not of the type. A table that does not exist yet is nobody's mistake: a body may name one too.
   */
  async defaultProblem(expression: string, type: string): Promise<Diagnostic | 'does not fit' | undefined> {
    const tried = (before: string, after: string) => ({ before, sql: `${before}${expression}\n${after}` });
    const unreadable = await this.expressionError(expression);
    if (unreadable !== undefined) return unreadable;
    if (parametersOf(expression).length > 0) return undefined;
    // TRY, because an error would abort the session's transaction. It refuses subqueries and what differs from call to call, and
    // those are bound only.
    const evaluated = tried(`SELECT TRY(CAST((`, `) AS ${type})) IS NULL AND TRY((${expression}\n)) IS NOT NULL AS unfit`);
    try {
      const [row] = await this.#connection.all<{ unfit: boolean }>(evaluated.sql);
      return row?.unfit === true ? 'does not fit' : undefined;
    } catch (error) {
      if (!(error instanceof Diagnostic)) throw error;
      if (!/^TRY can not be used/.test(error.message)) return problemOf(error, evaluated.before);
    }
    const bound = tried(`EXPLAIN SELECT CAST((`, `) AS ${type})`);
    try {
      await this.#connection.all(bound.sql);
      return undefined;
    } catch (error) {
      if (error instanceof Diagnostic) return problemOf(error, bound.before);
      throw error;
    }
  }

  // Calendars

  async calendar(name: string): Promise<StoredCalendar | undefined> {
    const [row] = await this.#connection.all<RoutineRow>(this.#sql.calendar, { key: nameKey(name) });
    if (row === undefined) return undefined;
    const bound = JSON.parse(row.bound) as Pick<StoredCalendar, 'days' | 'sources'>;
    return { name: row.name, version: row.version, days: bound.days, sources: bound.sources, definition: row.definition };
  }

  /** When a schedule fires, with its calendar's days as they are now; undefined without a clock of its own. */
  async timing(schedule: Schedule): Promise<Timing | undefined> {
    if (schedule.timing === undefined) return undefined;
    const { calendarName, ...timing } = schedule.timing;
    const calendar = calendarName === undefined ? undefined : await this.calendar(calendarName);
    return calendar === undefined ? timing : { ...timing, calendar: calendar.days };
  }

  calendarNames(): Promise<string[]> {
    return this.#names(`SELECT name FROM ${this.#sql.ledger}.calendar ORDER BY name_key ASC NULLS LAST`);
  }

  async putCalendar(stored: StoredCalendar, at: Instant): Promise<void> {
    const key = nameKey(stored.name);
    const [before] = await this.#connection.all<{ created_at: number }>(this.#sql.calendarCreatedAt, { key });
    await this.#touch('calendar', stored.name);
    await this.#connection.run(this.#sql.deleteCalendar, { key });
    await this.#connection.run(this.#sql.insertCalendar, {
      name: stored.name,
      key,
      version: stored.version,
      bound: JSON.stringify({ days: stored.days, sources: stored.sources }),
      definition: stored.definition,
      created_at: before?.created_at ?? at,
      updated_at: at,
    });
    if (Object.keys(stored.sources).length > 0) await this.calendarWasRead(stored.name, at);
    else await this.#connection.run(this.#sql.deleteCalendarReading, { key });
  }

  async dropCalendar(name: string): Promise<void> {
    await this.#touch('calendar', name);
    await this.#connection.run(this.#sql.deleteCalendar, { key: nameKey(name) });
    await this.#connection.run(this.#sql.deleteCalendarReading, { key: nameKey(name) });
  }

  /** Of calendars whose days come from somewhere else. */
  async calendarReadings(): Promise<StoredReading[]> {
    const rows = await this.#connection.all<{ name: string; read_at: number; failing_since: number | null; problem: string | null }>(
      this.#sql.calendarReadings,
    );
    return rows.map(({ name, read_at: readAt, failing_since: since, problem }) => {
      return { name, readAt, failing: since === null || problem === null ? null : { since, problem } };
    });
  }

  async calendarReading(name: string): Promise<StoredReading | undefined> {
    return (await this.calendarReadings()).find((reading) => nameKey(reading.name) === nameKey(name));
  }

  async calendarWasRead(name: string, at: Instant): Promise<void> {
    await this.#connection.run(this.#sql.putCalendarReading, { key: nameKey(name), read_at: at, failing_since: null, problem: null });
  }

  /** A problem that is known already is not written again. */
  async calendarWasNotRead(name: string, problem: string, at: Instant): Promise<void> {
    const before = await this.calendarReading(name);
    if (before === undefined || before.failing?.problem === problem) return;
    await this.#connection.run(this.#sql.putCalendarReading, {
      key: nameKey(name),
      read_at: before.readAt,
      failing_since: before.failing?.since ?? at,
      problem,
    });
  }

  // Queues

  async queue(name: string): Promise<StoredQueue | undefined> {
    const [row] = await this.#connection.all<StoredQueue>(this.#sql.queue, { key: nameKey(name) });
    return row;
  }

  queueNames(): Promise<string[]> {
    return this.#names(this.#sql.queueNames);
  }

  async putQueue(
    stored: StoredQueue & { weight: number; concurrency: number | null; rate: { count: number; perMs: number } | null },
    at: Instant,
  ): Promise<void> {
    const key = nameKey(stored.name);
    const [before] = await this.#connection.all<{ created_at: number }>(this.#sql.queueCreatedAt, { key });
    await this.#touch('queue', stored.name);
    await this.#connection.run(this.#sql.deleteQueue, { key });
    await this.#connection.run(this.#sql.insertQueue, {
      name: stored.name,
      key,
      weight: stored.weight,
      concurrency: stored.concurrency,
      rate_count: stored.rate?.count ?? null,
      rate_per_ms: stored.rate?.perMs ?? null,
      paused: stored.paused,
      definition: stored.definition,
      created_at: before?.created_at ?? at,
      updated_at: at,
    });
  }

  async pauseQueue(name: string, paused: boolean, at: Instant): Promise<void> {
    await this.#connection.run(this.#sql.pauseQueue, { key: nameKey(name), paused, at });
  }

  async dropQueue(name: string): Promise<void> {
    await this.#touch('queue', name);
    await this.#connection.run(this.#sql.deleteQueue, { key: nameKey(name) });
  }

  // Lineage

  async putLineage(object: string, kind: 'schedule' | Routine['kind'], entries: readonly LineageEntry[]): Promise<void> {
    await this.#connection.run(this.#sql.deleteLineage, { key: nameKey(object), kind });
    for (const entry of entries) {
      await this.#connection.run(this.#sql.insertLineage, { object, kind, table_name: entry.table, access: entry.access });
    }
  }

  async lineage(object: string, kind: 'schedule' | Routine['kind']): Promise<LineageEntry[]> {
    return this.#connection.all<{ table: string | null; access: 'reads' | 'writes' }>(this.#sql.lineage, { key: nameKey(object), kind });
  }

  /** Schedules that write the table. */
  async writersOf(table: string): Promise<string[]> {
    const rows = await this.#connection.all<{ object: string }>(this.#sql.writersOf, { table_key: nameKey(table) });
    return rows.map((row) => row.object);
  }

  async #names(sql: string, parameters: Readonly<Record<string, string>> = {}): Promise<string[]> {
    const rows = await this.#connection.all<{ name: string }>(sql, parameters);
    return rows.map((row) => row.name);
  }
}

/** Of an error about an expression behind `before`; undefined for what another day may bring. */
function problemOf(error: Diagnostic, before: string): Diagnostic | undefined {
  if (error.code === 'fatal' || error.code === 'closed' || error.code === 'cancelled') throw error;
  return error.code === 'undefined_table' ? undefined : error.movedBy((index) => index - before.length);
}

/** One whose bound value cannot be read can still be dropped, disabled and defined anew; what needs its value says so. */
function storedSchedule(row: ScheduleRow): StoredSchedule {
  const stored = {
    scheduleId: row.schedule_id,
    name: row.name,
    version: row.version,
    enabled: row.enabled,
    effectiveFrom: row.effective_from,
    definition: row.definition,
    source: row.source,
  };
  try {
    return { ...stored, schedule: JSON.parse(row.bound) as Schedule };
  } catch (error) {
    const unreadable = new Diagnostic(
      'internal',
      `schedule ${row.name} cannot be read: ${error instanceof Error ? error.message : error}`,
      {
        hint: `define it again: UPSERT SCHEDULE ${row.name} ( .. ); or drop it`,
        cause: error,
      },
    );
    return Object.defineProperty(stored as StoredSchedule, 'schedule', {
      get: () => {
        throw unreadable;
      },
    });
  }
}

function storedRoutine(row: RoutineRow): StoredRoutine {
  return { name: row.name, version: row.version, routine: JSON.parse(row.bound) as Routine, definition: row.definition };
}

function routineColumns(routine: Routine): { language: string | null; parameters: string; options: string; body: string } {
  const { timeoutMs, description } = routine;
  const options = JSON.stringify({
    atomic: routine.atomic,
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs === null ? 'none' : formatDuration(timeoutMs) }),
    ...(description === undefined ? {} : { description }),
  });
  if (routine.kind === 'pipeline') {
    return {
      language: null,
      parameters: JSON.stringify(shownParameters(routine.params)),
      options,
      body: JSON.stringify(shownSteps(routine.steps)),
    };
  }
  const { body } = routine;
  const text = body.language === 'sql' ? body.text : body.language === 'command' ? JSON.stringify(body.command) : body.path;
  return { language: body.language, parameters: JSON.stringify(routine.parameters), options, body: text };
}
