// pg_cron's functions. A function that runs inside a query cannot query its own connection; so these check their arguments at
// once and put what is asked into the session's queue, which the session carries out when the statement has ended, on the same
// connection and in the same transaction (statements/job.ts). An argument that is wrong therefore fails the statement, and what
// a statement that fails has asked for never happened.
//
// pg_cron's own words are kept where it has some: people search for them.

import { Diagnostic } from '../core/diagnostic.ts';
import { nameKey } from '../core/name.ts';
import { parseCadence } from '../scheduler/cadence/cadence.ts';
import { bindStatements } from './bind/body.ts';
import { duckdb, type NativeDatabase, type NativeScalar } from './store/duckdb/native.ts';

const { BIGINT, BOOLEAN, VARCHAR } = duckdb;

export type JobRequest =
  | {
      readonly kind: 'schedule';
      readonly jobId: number;
      readonly isNew: boolean;
      /** null: pg_cron's unnamed jobs. */
      readonly jobName: string | null;
      readonly schedule: JobSchedule;
      readonly command: string;
      /** Of a new job; a known one keeps what it has, as in pg_cron. */
      readonly active: boolean;
    }
  | { readonly kind: 'unschedule'; readonly jobId: number }
  | JobChange;

export interface JobChange {
  readonly kind: 'alter';
  readonly jobId: number;
  readonly schedule?: JobSchedule;
  readonly command?: string;
  readonly active?: boolean;
}

export interface JobSchedule {
  /** As it was given: what cron.job shows. */
  readonly text: string;
  /** The same in the standard dialect: what the definition says. */
  readonly cadence: string;
}

/** What one statement of a session asks for. */
export class JobQueue {
  readonly requests: JobRequest[] = [];
  /** Why the statement failed, with its code and hint; DuckDB keeps only the message. */
  failure: Diagnostic | undefined;
  readonly #nextScheduleId: () => number;
  readonly #database: string;
  /** Names that this statement has made so far, folded. */
  readonly #made = new Map<string, number>();
  readonly #gone = new Set<number>();

  constructor(options: { readonly nextScheduleId: () => number; readonly database: string }) {
    this.#nextScheduleId = options.nextScheduleId;
    this.#database = options.database;
  }

  schedule(given: {
    readonly isNamed: boolean;
    readonly jobName: string | null;
    readonly schedule: string | null;
    readonly command: string | null;
    readonly database: string | null;
    readonly username: string | null;
    readonly active: boolean | null;
    readonly knownId: number | null;
  }): number {
    const { jobName } = given;
    if (given.isNamed && jobName === null) throw wrong('job_name can not be NULL');
    if (given.schedule === null) throw wrong('schedule can not be NULL');
    if (given.command === null) throw wrong('command can not be NULL');
    if (jobName !== null) checkName(jobName);
    const schedule = jobSchedule(given.schedule);
    checkCommand(given.command);
    this.#checkPlace(given.database, given.username);
    const key = jobName === null ? undefined : nameKey(jobName);
    const made = key === undefined ? undefined : this.#made.get(key);
    const known = given.knownId !== null && this.#gone.has(Math.abs(given.knownId)) ? null : given.knownId;
    if (made === undefined && known !== null && known < 0) {
      throw new Diagnostic('duplicate_object', `schedule ${jobName} was not made by cron.schedule`, {
        hint: `change it with ALTER SCHEDULE ${jobName} SET ( .. ); or give the job another name`,
      });
    }
    const jobId = made ?? known ?? this.#nextScheduleId();
    const isNew = made === undefined && known === null;
    if (key !== undefined) this.#made.set(key, jobId);
    const request = { kind: 'schedule', jobId, isNew, jobName, schedule, command: given.command, active: given.active ?? true } as const;
    // Rows of one statement often name one job: the last one holds.
    const earlier = this.requests.findLastIndex((other) => other.jobId === jobId);
    const before = this.requests[earlier];
    if (before?.kind === 'schedule') this.requests[earlier] = { ...request, isNew: before.isNew, active: before.active };
    else this.requests.push(request);
    return jobId;
  }

  unschedule(given: {
    readonly byId: boolean;
    readonly jobName: string | null;
    readonly jobId: number | null;
    readonly knownId: number | null;
  }): boolean {
    if (given.byId && given.jobId === null) throw wrong('job_id can not be NULL');
    if (!given.byId && given.jobName === null) throw wrong('job_name can not be NULL');
    const made = given.jobName === null ? undefined : this.#made.get(nameKey(given.jobName));
    const known = made ?? given.knownId;
    if (known === null || known < 0 || this.#gone.has(known)) {
      throw notFound(given.byId ? String(given.jobId) : `'${given.jobName}'`);
    }
    this.#gone.add(known);
    for (const [key, id] of this.#made) if (id === known) this.#made.delete(key);
    this.requests.push({ kind: 'unschedule', jobId: known });
    return true;
  }

  alter(given: {
    readonly jobId: number | null;
    readonly schedule: string | null;
    readonly command: string | null;
    readonly database: string | null;
    readonly username: string | null;
    readonly active: boolean | null;
    readonly knownId: number | null;
  }): void {
    const { jobId, schedule, command, database, username, active } = given;
    if (jobId === null) throw wrong('job_id can not be NULL');
    const known = given.knownId ?? [...this.#made.values()].find((id) => id === jobId);
    if (known === undefined || this.#gone.has(known)) {
      throw new Diagnostic('undefined_object', `Job ${jobId} does not exist or you don't own it`, {
        hint: 'SELECT * FROM cron.job; lists them',
      });
    }
    this.#checkPlace(database, username);
    if (schedule === null && command === null && database === null && username === null && active === null) {
      throw wrong('no updates specified', 'You must specify at least one job attribute to change when calling alter_job');
    }
    this.requests.push(jobChange(known, { schedule, command, active }));
  }

  #checkPlace(database: string | null, username: string | null): void {
    if (database !== null && nameKey(database) !== nameKey(this.#database)) {
      throw new Diagnostic('undefined_object', `database "${database}" does not exist`, {
        hint: `jobs run in the file that holds them: leave database out, or write current_database() (${this.#database})`,
      });
    }
    if (username !== null) {
      throw new Diagnostic('unsupported', `role "${username}" does not exist`, { hint: 'DuckDB has no roles: leave username out' });
    }
  }
}

/** A change that was asked for by alter_job or by UPDATE cron.job. */
export function jobChange(
  jobId: number,
  given: { readonly schedule: string | null; readonly command: string | null; readonly active: boolean | null },
): JobChange {
  if (given.command !== null) checkCommand(given.command);
  return {
    kind: 'alter',
    jobId,
    ...(given.schedule === null ? {} : { schedule: jobSchedule(given.schedule) }),
    ...(given.command === null ? {} : { command: given.command }),
    ...(given.active === null ? {} : { active: given.active }),
  };
}

const monthsAndDays = /^(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)$/i;

/** Five fields as Vixie's cron knows them, `$` for the last day, an alias, or '1 second' to '59 seconds': nothing more. */
function jobSchedule(text: string): JobSchedule {
  const trimmed = text.trim();
  const seconds = /^(\d+)\s+seconds?$/i.exec(trimmed);
  if (seconds !== null) {
    const count = Number(seconds[1]);
    if (count < 1 || count > 59) throw invalid(text, 'seconds go from 1 to 59');
    return { text, cadence: parseCadence(`every ${count}s`, { zone: 'UTC' }).text };
  }
  if (/^@(?:reboot|restart)$/i.test(trimmed)) return { text, cadence: '@reboot' };
  if (!trimmed.startsWith('@')) {
    const fields = trimmed.split(/\s+/);
    if (fields.length !== 5) throw invalid(text, 'a cron has five fields: minute hour day month weekday');
    for (const field of fields) {
      const foreign = /[^\w*,/$-]/.exec(field)?.[0] ?? field.match(/[a-z_]+/gi)?.find((word) => !monthsAndDays.test(word));
      if (foreign !== undefined)
        throw invalid(text, `pg_cron knows no '${foreign}' in a field; UPSERT SCHEDULE does: it takes L, W, # and six fields`);
    }
  }
  try {
    return { text, cadence: parseCadence(trimmed, { zone: 'UTC', dialect: 'pg_cron' }).text };
  } catch (error) {
    if (error instanceof Diagnostic) throw invalid(text, error.message, error);
    throw error;
  }
}

function invalid(text: string, why: string, cause?: Diagnostic): Diagnostic {
  const shown = text.length > 200 ? `${text.slice(0, 200)}..` : text;
  return new Diagnostic('invalid_cadence', `invalid schedule: ${shown}`, {
    hint: `${why}. Use cron format (e.g. 5 4 * * *), or interval format '[1-59] seconds'`,
    cause,
  });
}

function checkName(name: string): void {
  if (name === '') throw new Diagnostic('invalid_name', 'job_name is empty', { hint: 'give it at least one character, or leave it out' });
  if (name.length > 255)
    throw new Diagnostic('invalid_name', `job_name has ${name.length} characters`, { hint: 'the longest name has 255' });
}

/** Like any body: it runs as `sql:`. */
function checkCommand(command: string): void {
  try {
    bindStatements(command, undefined, { parameters: [] });
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    throw new Diagnostic(error.code, `command: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function notFound(job: string): Diagnostic {
  return new Diagnostic('undefined_object', `could not find valid entry for job ${job}`, { hint: 'SELECT * FROM cron.job; lists them' });
}

function wrong(message: string, hint?: string): Diagnostic {
  return new Diagnostic('invalid_value', message, { hint });
}

/** The queues that are open, by connection: only a statement that names these functions opens one. */
export class JobQueues {
  readonly #open = new Map<number, JobQueue>();

  /** While `work` runs, calls on the connection fill the queue that it is given. */
  async during<T>(connection: number, queue: JobQueue, work: () => Promise<T>): Promise<T> {
    this.#open.set(connection, queue);
    try {
      return await work();
    } catch (error) {
      throw queue.failure ?? error;
    } finally {
      this.#open.delete(connection);
    }
  }

  register(database: NativeDatabase): void {
    this.#function(
      database,
      'cuckoo_fn_job_schedule',
      [BOOLEAN, VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR, BOOLEAN, BIGINT],
      BIGINT,
      (queue, row) =>
        BigInt(
          queue.schedule({
            isNamed: row.flag(0) === true,
            jobName: row.text(1),
            schedule: row.text(2),
            command: row.text(3),
            database: row.text(4),
            username: row.text(5),
            active: row.flag(6),
            knownId: row.id(7),
          }),
        ),
    );
    this.#function(database, 'cuckoo_fn_job_unschedule', [BOOLEAN, VARCHAR, BIGINT, BIGINT], BOOLEAN, (queue, row) =>
      queue.unschedule({ byId: row.flag(0) === true, jobName: row.text(1), jobId: row.id(2), knownId: row.id(3) }),
    );
    this.#function(
      database,
      'cuckoo_fn_job_alter',
      [BIGINT, VARCHAR, VARCHAR, VARCHAR, VARCHAR, BOOLEAN, BIGINT],
      VARCHAR,
      (queue, row) => {
        queue.alter({
          jobId: row.id(0),
          schedule: row.text(1),
          command: row.text(2),
          database: row.text(3),
          username: row.text(4),
          active: row.flag(5),
          knownId: row.id(6),
        });
        // pg_cron's answer is void, which shows as nothing.
        return '';
      },
    );
  }

  #function(
    database: NativeDatabase,
    name: string,
    parameterTypes: NativeScalar['parameterTypes'],
    returnType: NativeScalar['returnType'],
    answer: (queue: JobQueue, row: ArgumentRow) => bigint | boolean | string,
  ): void {
    database.registerScalar({
      name,
      parameterTypes,
      returnType,
      volatile: true,
      nulls: 'handle',
      call: (input, output, connection) => {
        const queue = this.#open.get(connection);
        if (queue === undefined) {
          throw new Diagnostic('forbidden', 'the functions of cron must stand in the statement itself, in a session', {
            hint: 'write SELECT cron.schedule(..), not a view, a macro or a prepared statement around it',
          });
        }
        const columns = parameterTypes.map((_, column) => input.getColumnVector(column));
        try {
          for (let index = 0; index < input.rowCount; index++) {
            output.setItem(index, answer(queue, new ArgumentRow(columns.map((column) => column.getItem(index)))));
          }
        } catch (error) {
          if (error instanceof Diagnostic) queue.failure ??= error;
          throw error;
        }
      },
    });
  }
}

class ArgumentRow {
  readonly #values: readonly unknown[];

  constructor(values: readonly unknown[]) {
    this.#values = values;
  }

  text(at: number): string | null {
    const value = this.#values[at];
    return typeof value === 'string' ? value : null;
  }

  flag(at: number): boolean | null {
    const value = this.#values[at];
    return typeof value === 'boolean' ? value : null;
  }

  id(at: number): number | null {
    const value = this.#values[at];
    return typeof value === 'bigint' ? Number(value) : null;
  }
}
