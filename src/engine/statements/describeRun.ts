// DESCRIBE RUN 'id': one attempt, as somebody reads it who was woken by it: how it stands, why, what was tried before and what comes
// next, what it was given and what it left, its steps, and the last of what it said. Why it began when it did is EXPLAIN RUN's.

import type { JsonValue } from '../../core/jsonValue.ts';
import type { RunIdStatement } from '../../parser/ast.ts';
import { nameOf, type OpenRun } from '../../scheduler/run.ts';
import type { Schedule } from '../../scheduler/schedule.ts';
import type { Result } from '../result.ts';
import { shownParameters } from '../routine.ts';
import { among } from '../store/duckdb/ledgerRows.ts';
import { lineTime, logSql, type WrittenLine, writtenLineOf } from '../store/duckdb/logSql.ts';
import type { ClosedAttempt } from '../store/duckdb/runSql.ts';
import { TimestampTz, type Value } from '../value.ts';
import type { StatementContext } from './context.ts';
import { description, type Property, zoneOf } from './description.ts';
import { elapsed } from './elapsed.ts';
import { type Attempts, findAttempts, shownRun } from './runs.ts';

export async function describeRun(statement: RunIdStatement, context: StatementContext): Promise<Result> {
  const attempts = await findAttempts(statement.run, context);
  const row = await shownRun(attempts, context);
  const page = new Page({ row, attempts, zone: await zoneOf(context) }, context);
  return description(await page.properties());
}

const shownLines = 20;
const longestLine = 500;
const longestResult = 2_000;
/** Of a for_each many may fail, and mostly for the same reason. */
const shownItems = 3;

interface PageParts {
  /** As cron.runs has it. */
  readonly row: Readonly<Record<string, Value>>;
  readonly attempts: Attempts;
  /** Of the session. */
  readonly zone: string;
}

class Page {
  readonly #row: Readonly<Record<string, Value>>;
  readonly #attempts: Attempts;
  readonly #zone: string;
  readonly #run: OpenRun;
  readonly #closed: ClosedAttempt | undefined;
  readonly #context: StatementContext;
  #schedule: Promise<Schedule | undefined> | undefined;

  constructor({ row, attempts, zone }: PageParts, context: StatementContext) {
    const { named } = attempts;
    this.#row = row;
    this.#attempts = attempts;
    this.#zone = zone;
    this.#closed = 'run' in named ? named : undefined;
    this.#run = 'run' in named ? named.run : named;
    this.#context = context;
  }

  async properties(): Promise<Property[]> {
    const [params, steps, log] = [await this.#params(), await this.#steps(), await this.#log()];
    const properties: Property[] = [
      ['run_id', this.#run.runId],
      ['schedule', this.#run.scheduleId === null && this.#run.schedule === '' ? '' : nameOf(this.#run)],
      ['exe', this.#text('exe')],
      ['call', this.#text('call')],
      ['state', this.#state()],
      ['progress', this.#progress()],
      ['reason', this.#text('reason')],
      ...this.#error(),
      ['attempt', await this.#attempt()],
      ['attempts', this.#others()],
      ['trigger', this.#text('trigger')],
      ...(['first_scheduled_at', 'scheduled_at', 'opened_at', 'started_at', 'finished_at'] as const).map(
        (name): Property => [name, this.#text(name)],
      ),
      ['fires', this.#text('fires')],
      ['waited', this.#waited()],
      ['duration', this.#ms('duration_ms')],
      ['queue', this.#text('queue')],
      ['priority', this.#text('priority')],
      ['params', params],
      ['result', cut(this.#text('result'), longestResult)],
      ['rows_changed', this.#text('rows_changed')],
      ['rows_by_statement', this.#text('rows_by_statement')],
      ['guarantee', this.#guarantee()],
      ['conflicts', this.#row['conflicts'] === 0n ? '' : this.#text('conflicts')],
      ['cpu', this.#ms('cpu_ms')],
      ['peak_memory', this.#row['peak_memory'] == null ? '' : size(Number(this.#row['peak_memory']))],
      ['notes', this.#list('notes').join('\n')],
      ['schedule_version', this.#run.scheduleId === null ? '' : this.#text('schedule_version')],
      ['parent_run_id', this.#text('parent_run_id')],
      ['retry_of', this.#text('retry_of')],
      ['root_run_id', this.#run.rootRunId === this.#run.runId ? '' : this.#run.rootRunId],
      ['node', this.#text('node')],
      ['steps', steps],
      ['log', log],
    ];
    return properties.filter(([, value]) => value !== '');
  }

  /** As it was when the run was opened. */
  #definition(): Promise<Schedule | undefined> {
    const { scheduleId, scheduleVersion } = this.#run;
    this.#schedule ??=
      scheduleId === null ? Promise.resolve(undefined) : this.#context.catalogue.scheduleVersion(scheduleId, scheduleVersion);
    return this.#schedule;
  }

  #state(): string {
    const state = this.#text('state');
    const { engine, now } = this.#context;
    const atWork = engine.scheduler.running(this.#run.runId);
    if (atWork !== undefined) return `${state} for ${elapsed(now - atWork.startedAt)}`;
    const { notBefore } = this.#run;
    if (this.#closed === undefined && notBefore !== null && notBefore > now) return `${state}, for ${elapsed(notBefore - now)} more`;
    return state;
  }

  #progress(): string {
    const { progress, progress_message: message } = this.#row;
    const percent = progress == null ? '' : `${Math.floor(Number(progress) * 100)} %`;
    return [percent, message == null ? '' : String(message)].filter((part) => part !== '').join(': ');
  }

  #error(): Property[] {
    const [message, reason] = [this.#text('error_message'), this.#text('reason')];
    const detail = this.#row['error_detail'] == null ? {} : (JSON.parse(String(this.#row['error_detail'])) as JsonValue);
    const { hint, ...more } = (typeof detail === 'object' && detail !== null && !Array.isArray(detail) ? detail : { detail }) as Record<
      string,
      JsonValue
    >;
    return [
      ['error', this.#text('error_code')],
      ['message', reason.startsWith(message) ? '' : message],
      ['hint', typeof hint === 'string' ? hint : ''],
      ['detail', Object.keys(more).length === 0 ? '' : cut(JSON.stringify(more), longestResult)],
    ];
  }

  /** `2 of 4` */
  async #attempt(): Promise<string> {
    const { attempt } = this.#run;
    const schedule = await this.#definition();
    const most =
      schedule === undefined ? 0 : 1 + (schedule.retry.maxRetries ?? (await this.#context.catalogue.settings()).number('max_retries'));
    const which = attempt > most ? String(attempt) : `${attempt} of ${most}`;
    return this.#closed?.final === false ? `${which}, not the last` : which;
  }

  /** A line for each attempt of the same fire, where there are several. */
  #others(): string {
    const { closed, open } = this.#attempts;
    const all: (ClosedAttempt | OpenRun)[] = open === undefined ? [...closed] : [...closed, open];
    if (all.length < 2) return '';
    return all
      .map((attempt) => {
        const run = 'run' in attempt ? attempt.run : attempt;
        const which = `${run.attempt}  ${run.runId}`;
        if (run.runId === this.#run.runId) return `${which}  this one`;
        if ('run' in attempt)
          return `${which}  ${attempt.state.replace('_', ' ')} at ${this.#at(attempt.finishedAt)}${because(attempt.reason)}`;
        if (this.#context.engine.scheduler.running(run.runId) !== undefined) return `${which}  running`;
        return `${which}  waits${run.notBefore === null ? '' : ` for ${this.#at(run.notBefore)}`}`;
      })
      .join('\n');
  }

  #waited(): string {
    const waited = this.#ms('wait_ms');
    const forWhat = this.#closed?.waitedFor ?? null;
    return waited === '' || forWhat === null ? waited : `${waited} for ${forWhat}`;
  }

  #guarantee(): string {
    const why = this.#text('guarantee_reason');
    const guarantee = this.#text('guarantee').replaceAll('_', ' ');
    return why === '' || guarantee === '' ? guarantee : `${guarantee}: ${why}`;
  }

  /** What it was given: of secrets, where they come from. */
  async #params(): Promise<string> {
    const schedule = await this.#definition();
    const replaced = Object.entries(this.#run.params).map(([name, value]) => [name, { kind: 'literal', value }] as const);
    const given = shownParameters({ ...schedule?.params, ...Object.fromEntries(replaced) });
    return Object.keys(given).length === 0 ? '' : JSON.stringify(given);
  }

  /** A line for each step, those that earlier attempts have done too; of a for_each how many items ended how. */
  async #steps(): Promise<string> {
    if (this.#run.exe !== 'pipeline') return '';
    const ids = this.#attempts.closed.filter(({ run }) => run.attempt <= this.#run.attempt).map(({ run }) => run);
    const runs = new Map([...ids, this.#run].map((run) => [run.runId, run]));
    const rows = await this.#context.connection.all(
      `SELECT run_id::VARCHAR AS run_id, step, item IS NOT NULL AS is_item, state, kind, count(*)::DOUBLE AS tries, min(rowid) AS place,
        sum(epoch_us(finished_at) - epoch_us(started_at)) / 1000 AS duration_ms, sum(rows_changed)::VARCHAR AS rows_changed,
        (list(coalesce(error_message, reason) ORDER BY item))[1:${shownItems}] AS reasons
      FROM ${this.#context.sql.ledger}.closed_step WHERE ${among('run_id', [...runs.keys()])} GROUP BY ALL ORDER BY place ASC NULLS LAST`,
    );
    const table = rows.map(({ run_id: runId, step, is_item: isItem, state, tries, duration_ms: ms, rows_changed: changed, reasons }) => {
      const told = [...new Set(Array.isArray(reasons) ? reasons.filter((reason) => reason !== null).map(String) : [])];
      const attempt = runs.get(String(runId))?.attempt ?? 0;
      const count = Number(tries) === 1 ? '' : isItem === true ? `${Number(tries)} items ` : `${Number(tries)} times `;
      const more = [
        changed === null || changed === '0' ? '' : `${changed} ${changed === '1' ? 'row' : 'rows'}`,
        attempt === this.#run.attempt ? '' : `in attempt ${attempt}`,
        told.join('; '),
      ];
      const what = `${count}${String(state).replace('_', ' ')}`;
      return [
        String(step),
        what,
        ms === null || Number(tries) > 1 ? '' : elapsed(Number(ms)),
        more.filter((part) => part !== '').join('; '),
      ];
    });
    return aligned(table);
  }

  /** Those too that the ledger does not have yet. */
  async #log(): Promise<string> {
    const { connection, sql, engine } = this.#context;
    const { runId, openedAt } = this.#run;
    const { rows } = await connection.table(logSql(sql.ledger).last({ runId, openedAt, limit: shownLines }));
    const unwritten = engine.logs.unwritten(runId).map(({ loggedAt, step = null, ...line }) => ({ ...line, step, at: lineTime(loggedAt) }));
    const [first] = unwritten;
    const written = rows
      .reverse()
      .map(writtenLineOf)
      .filter(({ at }) => first === undefined || at.micros < first.at.micros);
    return [...written, ...unwritten]
      .slice(-shownLines)
      .map((line) => this.#line(line))
      .join('\n');
  }

  #line({ at, step, stream, level, line }: WrittenLine): string {
    const [, clock = ''] = at.toStringIn(this.#zone).split(' ');
    const [seconds = '', fraction = ''] = clock.replace(/[+-][\d:]+$/, '').split('.');
    const who = stream === 'log' ? level : stream;
    return `${seconds}.${fraction.slice(0, 3).padEnd(3, '0')}  ${step === null ? '' : `${step}  `}${who.padEnd(6)}  ${cut(line, longestLine)}`;
  }

  #text(name: string): string {
    const value = this.#row[name] ?? null;
    if (value === null) return '';
    if (value instanceof TimestampTz) return value.toStringIn(this.#zone);
    return Array.isArray(value) ? value.map(String).join(', ') : String(value);
  }

  #list(name: string): string[] {
    const value = this.#row[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  #ms(name: string): string {
    const value = this.#row[name] ?? null;
    return value === null ? '' : elapsed(Number(value));
  }

  #at(ms: number): string {
    return TimestampTz.fromEpochMs(ms).toStringIn(this.#zone);
  }
}

function because(reason: string | null): string {
  return reason === null ? '' : `: ${cut(reason, longestLine)}`;
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length - most} more characters)`;
}

/** Columns of text under one another; the last one is as long as it is. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, at) => Math.max(most[at] ?? 0, cell.length)), []);
  return rows
    .map((row) =>
      row
        .map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `34.5 MB` */
function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 100 ? 1 : 0)} ${units[unit]}`;
}
