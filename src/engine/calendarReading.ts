// Days that come from a query, a file or a country are read again every day, while a scheduler runs. Other days are a new version
// of the calendar, which becomes true at a boundary of the scheduler's, as if somebody had defined it; the same days write nothing
// but when they were read. What cannot be read leaves the calendar as it is, says so in cron.schedule_health, and is tried again
// in every round until it can.
//
// The query runs as a run would: guarded as when it was defined, behind the gate with the runs, and with a time limit.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import { Turnstile } from '../core/turnstile.ts';
import { parse } from '../parser/parse.ts';
import type { Clock } from '../scheduler/clock.ts';
import type { Scheduler } from '../scheduler/loop.ts';
import type { Admission } from './admission.ts';
import { type BoundCalendar, bindCalendar, changedSources } from './bind/calendar.ts';
import { Deadline } from './executors/deadline.ts';
import { checkUsers } from './statements/calendar.ts';
import { storedDefinition } from './statements/definition.ts';
import { Catalogue, type StoredCalendar } from './store/duckdb/catalogue.ts';
import { Connection } from './store/duckdb/connection.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';

export interface CalendarReadingParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly scheduler: Pick<Scheduler, 'isOn' | 'change'>;
}

/** Names, in the order in which they were read. */
export interface CalendarRound {
  readonly unchanged: readonly string[];
  readonly changed: readonly string[];
  readonly failed: readonly string[];
}

const dayMs = 86_400_000;
const timeLimitMs = 60_000;

export class CalendarReading {
  readonly #parts: CalendarReadingParts;
  readonly #turnstile = new Turnstile();

  constructor(parts: CalendarReadingParts) {
    this.#parts = parts;
  }

  /** Reads what has not been read for a day. One that fails fails alone; rounds follow one another. */
  round(signal: AbortSignal): Promise<CalendarRound> {
    return this.#turnstile.run(() => this.#round(signal));
  }

  async #round(signal: AbortSignal): Promise<CalendarRound> {
    const { database, sql, clock, scheduler, admission } = this.#parts;
    const round = { unchanged: [] as string[], changed: [] as string[], failed: [] as string[] };
    if (!scheduler.isOn) return round;
    const connection = new Connection(await database.connect());
    try {
      const catalogue = new Catalogue(connection, sql);
      const now = clock.now();
      const readings = await admission.run('run', () => catalogue.calendarReadings(), signal);
      for (const { name, readAt } of readings) {
        // Or the clock was ahead.
        const isOld = readAt <= now - dayMs || readAt > now;
        if (!isOld || signal.aborted || !scheduler.isOn) continue;
        const outcome = await admission.run('run', () => this.#read(name, connection, catalogue, signal), signal);
        if (outcome !== undefined) round[outcome].push(name);
      }
      return round;
    } finally {
      await connection.close();
    }
  }

  /** undefined: somebody else has changed it meanwhile, or the process is ending; another round will see. */
  async #read(name: string, connection: Connection, catalogue: Catalogue, signal: AbortSignal): Promise<keyof CalendarRound | undefined> {
    const { clock } = this.#parts;
    const now = clock.now();
    const deadline = new Deadline(timeLimitMs, clock, signal);
    try {
      const stored = await catalogue.calendar(name);
      if (stored === undefined) return undefined;
      const bound = await this.#bind(stored, connection.until(deadline.signal), catalogue, now);
      deadline.disarm();
      if (changedSources(stored.sources, bound.sources).length > 0) return await this.#replace(stored, bound, connection, catalogue, now);
      await catalogue.calendarWasRead(name, now);
      return 'unchanged';
    } catch (error) {
      if (signal.aborted || (error instanceof Diagnostic && passing.has(error.code))) return undefined;
      const problem = deadline.reason === undefined ? messageOf(error) : `reading it took longer than ${timeLimitMs / 1000} s`;
      await catalogue.calendarWasNotRead(name, problem, now);
      return 'failed';
    } finally {
      deadline.disarm();
    }
  }

  async #bind(stored: StoredCalendar, connection: Connection, catalogue: Catalogue, now: Instant): Promise<BoundCalendar> {
    const definition = storedDefinition(stored.definition, {
      parse: (text) => {
        const parsed = parse(text);
        if (parsed.statement !== undefined) return parsed.statement;
        throw Diagnostic.all(parsed.diagnostics);
      },
    });
    const defaultZone = (await catalogue.settings()).text('timezone');
    const bound = await bindCalendar(definition, { now, defaultZone, connection });
    await checkUsers({ name: stored.name, days: bound.days, now, catalogue });
    return bound;
  }

  async #replace(
    stored: StoredCalendar,
    { days, sources }: BoundCalendar,
    connection: Connection,
    catalogue: Catalogue,
    now: Instant,
  ): Promise<'changed'> {
    await connection.transact(
      async () => {
        const present = await catalogue.calendar(stored.name);
        if (present?.version !== stored.version) throw new Diagnostic('conflict', `calendar ${stored.name} was defined anew meanwhile`);
        await catalogue.putCalendar({ ...stored, version: stored.version + 1, days, sources }, now);
      },
      (commit) => this.#parts.scheduler.change(commit),
    );
    return 'changed';
  }
}

/** No fault of the calendar's. */
const passing: ReadonlySet<string> = new Set(['conflict', 'constraint', 'fatal', 'closed']);

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
