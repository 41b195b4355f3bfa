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
    prominent: ['run_id', 'schedule', 'state', 'scheduled_at', 'reason', 'duration_ms', 'rows_changed', 'trigger'],
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
  const pieces: { readonly at: number; readonly sql: Sql }[] = [];
  let text = `SELECT * FROM ${cron}.${statement.relation}`;
  const add = (before: string, sql: Sql, after: string, written = sql.text): void => {
    text += before;
    if (written === sql.text) pieces.push({ at: text.length, sql });
    // A line of its own, so that a comment at its end comments out nothing of ours.
    text += `${written}\n${after}`;
  };
  let condition = ' WHERE ';
  if (statement.like !== undefined) {
    text += `${condition}${shape.name} ILIKE ${literal(statement.like.text)}`;
    condition = ' AND ';
  }
  if (statement.where !== undefined) add(`${condition}(`, statement.where, ')', canonicalStates(statement.where.text));
  if (statement.orderBy === undefined) text += ` ORDER BY ${shape.order}`;
  else add(' ORDER BY ', statement.orderBy, '');
  if (statement.limit !== undefined) add(' LIMIT ', statement.limit, '');
  if (statement.offset !== undefined) add(' OFFSET ', statement.offset, '');
  return {
    text,
    prominent: shape.prominent,
    place: (error) => {
      const { span } = error;
      if (span === undefined) return error;
      const piece = pieces.find(({ at, sql }) => span.start >= at && span.start <= at + sql.text.length);
      if (piece === undefined) return error.at(statement.where?.span ?? statement.span);
      return error.movedBy((index) => Math.min(index - piece.at + piece.sql.span.start, piece.sql.span.end));
    },
  };
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
