// LIST x [LIKE 'p'] [WHERE ..] [ORDER BY ..] [LIMIT ..] [OFFSET ..] is a SELECT over cron.x: the parts of the tail are the
// person's own SQL, run on the person's own connection, and a mistake in one of them points at its place in the LIST statement.

import type { Diagnostic } from '../../core/diagnostic.ts';
import type { ListedRelation, ListStatement, Sql } from '../../parser/ast.ts';
import { tokenAt } from '../../parser/lexer.ts';
import { literal } from '../store/duckdb/literal.ts';

interface Shape {
  /** What LIKE looks at. */
  readonly name: string;
  readonly order: string;
  /** What a person asks for when LIST is all they say: of many columns, those that a narrow terminal should hold. */
  readonly prominent: readonly string[];
}

const byName = (name: string, ...prominent: string[]): Shape => ({ name, order: `${name} ASC NULLS LAST`, prominent });
const shapes: Readonly<Record<ListedRelation, Shape>> = {
  schedules: byName('name', 'name', 'status', 'next_run', 'sched', 'last_state', 'last_run', 'timezone'),
  procedures: byName('name', 'name', 'language', 'parameters', 'version', 'updated_at'),
  pipelines: byName('name', 'name', 'steps', 'parameters', 'version', 'updated_at'),
  calendars: byName('name'),
  queues: byName('name', 'name', 'paused', 'pending', 'active', 'failed', 'completed', 'scheduled', 'weight', 'concurrency'),
  settings: byName('name'),
  sources: byName('path', 'path', 'state', 'schedules', 'error', 'read_at'),
  workers: { name: 'total::VARCHAR', order: 'total ASC NULLS LAST', prominent: [] },
  lineage: { name: 'object', order: 'object ASC NULLS LAST, access ASC NULLS LAST, table_name ASC NULLS LAST', prominent: [] },
  schedule_versions: {
    name: 'schedule',
    order: 'changed_at DESC NULLS LAST, version DESC NULLS LAST',
    prominent: ['schedule', 'version', 'changed', 'changed_at', 'changed_by'],
  },
  schedule_health: byName('schedule'),
  alerts: {
    name: 'schedule',
    order: 'since DESC NULLS LAST, rule ASC NULLS LAST, schedule ASC NULLS LAST',
    prominent: ['rule', 'schedule', 'since', 'ended_at', 'detail'],
  },
  runs: {
    name: 'schedule',
    order: 'opened_at DESC NULLS LAST, run_id DESC NULLS LAST',
    prominent: [
      'run_id',
      'schedule',
      'state',
      'scheduled_at',
      'reason',
      'progress',
      'progress_message',
      'duration_ms',
      'rows_changed',
      'trigger',
    ],
  },
  step_runs: {
    name: 'step',
    order: 'started_at DESC NULLS LAST',
    prominent: ['run_id', 'step', 'item', 'state', 'reason', 'duration_ms', 'rows_changed'],
  },
  run_logs: { name: 'line', order: 'logged_at DESC NULLS LAST', prominent: ['run_id', 'line', 'logged_at', 'step', 'level'] },
  dead_letters: {
    name: 'schedule',
    order: 'finished_at DESC NULLS LAST, run_id DESC NULLS LAST',
    prominent: ['run_id', 'schedule', 'state', 'reason', 'finished_at', 'attempt'],
  },
};

export interface ListQuery {
  readonly text: string;
  readonly prominent: readonly string[];
  /** From a place in `text` to the place in the statement, where a person wrote it. */
  place(error: Diagnostic): Diagnostic;
}

/** `cron` is the schema, quoted and qualified. */
export function listQuery(statement: ListStatement, cron: string): ListQuery {
  const shape = shapes[statement.relation];
  const query = new Query();
  const most = mostOfEachHalf(statement);
  const byId = soughtById(statement);
  if (most === undefined && byId === undefined) {
    query.add(`SELECT * FROM ${cron}.${statement.relation}`);
    addCondition(query, statement, shape, statement.where?.text);
  } else if (most === undefined) {
    const [closed, open] = halves.map((half) => `SELECT * FROM ${cron}.${half}`);
    query.add(`SELECT * EXCLUDE (id) FROM (${closed} UNION ALL ${open}) AS runs`);
    addCondition(query, statement, shape, byId);
  } else {
    const [within, without] = byId === undefined ? ['', ' EXCLUDE (id)'] : [' EXCLUDE (id)', ''];
    for (const [index, half] of halves.entries()) {
      query.add(
        `${index === 0 ? 'SELECT * FROM (' : ' UNION ALL '}(SELECT *${within} FROM (SELECT *${without} FROM ${cron}.${half}) AS runs`,
      );
      addCondition(query, statement, shape, numbered(byId ?? statement.where?.text));
      addOrder(query, statement, shape);
      query.add(` LIMIT ${most})`);
    }
    query.add(') AS runs');
  }
  addOrder(query, statement, shape);
  if (statement.limit !== undefined) query.add(' LIMIT ').addWritten(statement.limit);
  if (statement.offset !== undefined) query.add(' OFFSET ').addWritten(statement.offset);
  return {
    text: query.text,
    prominent: shape.prominent,
    place: (error) => query.place(error) ?? error.at(statement.where?.span ?? statement.span),
  };
}

function addCondition(query: Query, { like, where }: ListStatement, shape: Shape, written = ''): void {
  if (like !== undefined) query.add(` WHERE ${shape.name} ILIKE ${literal(like.text)}`);
  if (where === undefined) return;
  query.add(like === undefined ? ' WHERE (' : ' AND (');
  query.addWritten(where, canonicalStates(written)).add(')');
}

function addOrder(query: Query, { orderBy }: ListStatement, shape: Shape): void {
  query.add(' ORDER BY ');
  if (orderBy === undefined) query.add(shape.order);
  else query.addWritten(orderBy);
}

/** Text of ours, and pieces of it that a person wrote. */
class Query {
  text = '';
  readonly #pieces: { readonly at: number; readonly sql: Sql }[] = [];

  add(text: string): this {
    this.text += text;
    return this;
  }

  addWritten(sql: Sql, changed = sql.text): this {
    if (changed.length === sql.text.length) this.#pieces.push({ at: this.text.length, sql });
    // A line of its own, so that a comment at its end comments out nothing of ours.
    return this.add(`${changed}\n`);
  }

  /** undefined: it is about something, and nobody knows about which piece. */
  place(error: Diagnostic): Diagnostic | undefined {
    const { span } = error;
    if (span === undefined) return error;
    const piece = this.#pieces.find(({ at, sql }) => span.start >= at && span.start <= at + sql.text.length);
    if (piece === undefined) return undefined;
    return error.movedBy((index) => Math.min(index - piece.at + piece.sql.span.start, piece.sql.span.end));
  }
}

/** Of cron.runs. */
const halves = ['cuckoo_closed_run', 'cuckoo_open_run'];

/** An id in full, as it is written out. */
const wholeId = /^'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'$/;

/**
 * `run_id = '..'` compares texts, for which DuckDB writes out the id of every run there is (10 million: 230 ms); as it is stored it
 * is found by the order of history at once. So the condition names the column of the halves that has it, `id`, in as many characters,
 * because errors tell places. undefined: it does not look for an id, or what it names may be somebody else's column.
 */
function soughtById({ relation, where, orderBy }: ListStatement): string | undefined {
  if (relation !== 'runs' || where === undefined || /\b(?:select|from|cron|id)\b/i.test(`${where.text} ${orderBy?.text ?? ''}`))
    return undefined;
  let result = '';
  let from = 0;
  let before = '';
  for (let token = tokenAt(where.text, 0); token.kind !== 'end'; token = tokenAt(where.text, token.end)) {
    const written = where.text.slice(token.start, token.end);
    if (/^run_id$/i.test(written) && stands.test(before) && isSought(where.text, token.end)) {
      result += `${where.text.slice(from, token.start)}id    `;
      from = token.end;
    }
    before = written;
  }
  return from === 0 ? undefined : result + where.text.slice(from);
}

/** Behind and before these a comparison stands by itself. */
const stands = /^(?:and|or|not|\(|)$/i;
const ends = /^(?:and|or|\)|)$/i;

/** Whether what goes on at `at` is `= 'an id'`, and no more. */
function isSought(where: string, at: number): boolean {
  const equals = tokenAt(where, at);
  const sought = tokenAt(where, equals.end);
  const next = tokenAt(where, sought.end);
  const [sign, id, end] = [equals, sought, next].map(({ start, end }) => where.slice(start, end));
  return sign === '=' && sought.kind === 'string' && wholeId.test(id ?? '') && ends.test(end ?? '');
}

/** More than these are sorted whole, which is done once and not twice. */
const mostSorted = 10_000;

/**
 * Of a table with all of history DuckDB finds the first rows of an order without reading the columns of the others; of the union
 * that cron.runs is it does not (10 million runs: 14 ms, not 960). So each half gives its first rows, and these are put in order:
 * wherever it means the same. undefined: it may not.
 */
function mostOfEachHalf({ relation, where, orderBy, limit, offset }: ListStatement): number | undefined {
  if (relation !== 'runs' || limit === undefined) return undefined;
  const most = countOf(limit) + (offset === undefined ? 0 : countOf(offset));
  if (!(most <= mostSorted)) return undefined;
  // `cron.runs.state`: a half has no schema.
  if (/\bcron\W+runs\W*\./i.test(where?.text ?? '')) return undefined;
  // A call may look at other rows, or answer something else each time; a value that is bound would be bound three times.
  return /[($?]|\bcron\b/i.test(orderBy?.text ?? '') ? undefined : most;
}

/** NaN: not a mere number. */
function countOf({ text }: Sql): number {
  return /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
}

/** `?` is the next value wherever it stands; what stands twice says which. */
function numbered(where: string | undefined): string | undefined {
  if (where?.includes('?') !== true) return where;
  let result = '';
  let from = 0;
  let values = 0;
  for (let token = tokenAt(where, 0); token.kind !== 'end'; token = tokenAt(where, token.end)) {
    if (where.slice(token.start, token.end) !== '?') continue;
    values += 1;
    result += `${where.slice(from, token.start)}$${values}`;
    from = token.end;
  }
  return result + where.slice(from);
}

const synonyms: Readonly<Record<string, string>> = { completed: 'succeeded', success: 'succeeded', timeout: 'timed_out' };

/** `state = 'success'` asks for what is stored as `succeeded`; only strings that follow `state` are looked at. */
export function canonicalStates(where: string): string {
  let result = '';
  let from = 0;
  let afterState = false;
  for (let token = tokenAt(where, 0); token.kind !== 'end'; token = tokenAt(where, token.end)) {
    const written = where.slice(token.start, token.end);
    if (token.kind === 'string') {
      const word = synonyms[written.slice(1, -1).toLowerCase()];
      if (afterState && word !== undefined) {
        result += `${where.slice(from, token.start)}'${word}'`;
        from = token.end;
      }
    } else if (token.kind === 'word') {
      const upper = written.toUpperCase();
      afterState = upper === 'STATE' || upper === 'LAST_STATE' || (afterState && (upper === 'IN' || upper === 'NOT'));
    } else if (token.kind !== 'symbol') afterState = false;
  }
  return result + where.slice(from);
}
