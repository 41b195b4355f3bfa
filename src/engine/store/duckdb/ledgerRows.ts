// The ledger's rows: plain data on its way into a table, and back.
//
// Rows travel as SQL text, column by column. A column that is the same in all rows is one literal, any other is one JSON list that
// DuckDB takes apart. Measured with 10,000 closing rows: 60 ms, most of it on DuckDB's own thread and none of it in one piece;
// appenders took 80 ms, 60 of them on this thread, and 1.4 ms for a single row, which is 0.8 ms as a literal. VALUES with
// 10,000 rows would take a second.

import type { Instant } from '../../../core/instant.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import type { Alert, ClosedRun, LogLine, Token } from '../../../scheduler/ports.ts';
import type { ClosedState, Closing, Counters, OpenRun, Trigger } from '../../../scheduler/run.ts';
import type { Priority } from '../../../scheduler/schedule.ts';
import type { Value } from '../../value.ts';
import { literal } from './literal.ts';

type Cell = string | number | boolean | null;
/** An instant travels in whole milliseconds, and as `MICROSECONDS` in those. */
type CellType = 'VARCHAR' | 'UUID' | 'JSON' | 'BIGINT' | 'DOUBLE' | 'BOOLEAN' | 'TIMESTAMPTZ' | 'MICROSECONDS';

interface Column<Row> {
  readonly name: string;
  readonly type: CellType;
  of(row: Row): Cell;
}

const column = <Row>(name: string, type: CellType, of: (row: Row) => Cell): Column<Row> => ({ name, type, of });

/** What an open and a closed run have alike. */
const runColumns: readonly Column<OpenRun>[] = [
  column('run_id', 'UUID', (run) => run.runId),
  column('schedule_id', 'BIGINT', (run) => run.scheduleId),
  // A pipeline may run without a schedule.
  column('schedule', 'VARCHAR', (run) => (run.schedule === '' ? null : run.schedule)),
  column('exe', 'VARCHAR', (run) => run.exe),
  column('call', 'VARCHAR', (run) => run.call),
  column('trigger', 'VARCHAR', (run) => run.trigger),
  column('scheduled_at', 'TIMESTAMPTZ', (run) => run.scheduledAt),
  column('opened_at', 'TIMESTAMPTZ', (run) => run.openedAt),
  column('attempt', 'BIGINT', (run) => run.attempt),
  column('queue', 'VARCHAR', (run) => run.queue),
  column('priority', 'VARCHAR', (run) => run.priority),
  column('params', 'JSON', (run) => json(run.params)),
  column('schedule_version', 'BIGINT', (run) => run.scheduleVersion),
  column('root_run_id', 'UUID', (run) => run.rootRunId),
  column('parent_run_id', 'UUID', (run) => run.parentRunId),
  column('retry_of', 'UUID', (run) => run.retryOf),
];

export const openRunColumns: readonly Column<OpenRun>[] = [
  ...runColumns,
  column('not_before', 'TIMESTAMPTZ', (run) => run.notBefore),
  column('stage', 'VARCHAR', () => 'open'),
  column('group_key', 'VARCHAR', (run) => run.group?.key ?? null),
  column('group_limit', 'BIGINT', (run) => run.group?.limit ?? null),
  column('fire', 'BIGINT', (run) => run.fire),
  column('alone', 'BOOLEAN', (run) => run.alone),
];

/** Closed by its own transaction, and what follows is not settled yet. */
export const markedRunColumns: readonly Column<OpenRun>[] = openRunColumns.map((each) =>
  each.name === 'stage' ? column('stage', 'VARCHAR', () => 'marked') : each,
);

export const closedColumns: readonly Column<Closing>[] = [
  ...runColumns.map(({ name, type, of }) => column<Closing>(name, type, (closing) => of(closing.run))),
  column('started_at', 'TIMESTAMPTZ', (closing) => closing.startedAt),
  column('finished_at', 'TIMESTAMPTZ', (closing) => closing.finishedAt),
  column('state', 'VARCHAR', (closing) => closing.state),
  column('reason', 'VARCHAR', (closing) => closing.reason),
  column('final', 'BOOLEAN', (closing) => closing.final),
  column('fires', 'BIGINT', (closing) => closing.stretch?.fires ?? null),
  column('first_scheduled_at', 'TIMESTAMPTZ', (closing) => closing.stretch?.firstScheduledAt ?? null),
  column('result', 'JSON', ({ outcome }) => json(outcome?.result ?? null)),
  column('rows_changed', 'BIGINT', ({ outcome }) => outcome?.rowsChanged ?? null),
  column('error_code', 'VARCHAR', ({ outcome }) => outcome?.error?.code ?? null),
  column('error_message', 'VARCHAR', ({ outcome }) => outcome?.error?.message ?? null),
  column('error_detail', 'JSON', ({ outcome }) => json(outcome?.error?.detail ?? null)),
  column('guarantee', 'VARCHAR', ({ outcome }) => outcome?.guarantee ?? null),
  column('guarantee_reason', 'VARCHAR', ({ outcome }) => outcome?.guaranteeReason ?? null),
  column('conflicts', 'BIGINT', ({ outcome }) => outcome?.conflicts ?? null),
  column('rows_by_statement', 'JSON', ({ outcome }) => json(outcome?.rowsByStatement ?? null)),
  column('cpu_ms', 'DOUBLE', ({ outcome }) => outcome?.cpuMs ?? null),
  column('peak_memory', 'BIGINT', ({ outcome }) => outcome?.peakMemoryBytes ?? null),
  column('notes', 'JSON', ({ outcome }) => json((outcome?.notes ?? []).length === 0 ? null : (outcome?.notes ?? []))),
  column('waited_for', 'VARCHAR', (closing) => closing.waitedFor),
  column('consecutive_failures', 'BIGINT', ({ counters }) => counters.consecutiveFailures),
  column('opened_fires', 'BIGINT', ({ counters }) => counters.openedFires),
  column('last_success_at', 'TIMESTAMPTZ', ({ counters }) => counters.lastSuccessAt),
];

export const tokenColumns: readonly Column<Token>[] = [
  column('token_id', 'UUID', (token) => token.tokenId),
  column('child_id', 'BIGINT', (token) => token.childId),
  column('parent_id', 'BIGINT', (token) => token.parentId),
  column('run_id', 'UUID', (token) => token.runId),
  column('root_run_id', 'UUID', (token) => token.rootRunId),
  column('state', 'VARCHAR', (token) => token.state),
  column('scheduled_at', 'TIMESTAMPTZ', (token) => token.scheduledAt),
];

export const logColumns: readonly Column<LogLine>[] = [
  column('run_id', 'UUID', (line) => line.runId),
  column('step', 'VARCHAR', (line) => line.step ?? null),
  column('logged_at', 'MICROSECONDS', (line) => Math.round(line.loggedAt * 1000)),
  column('stream', 'VARCHAR', (line) => line.stream),
  column('level', 'VARCHAR', (line) => line.level),
  column('line', 'VARCHAR', (line) => line.line),
];

export const alertColumns: readonly Column<Alert>[] = [
  column('alert_id', 'VARCHAR', (alert) => alert.alertId),
  column('rule', 'VARCHAR', (alert) => alert.rule),
  column('schedule', 'VARCHAR', (alert) => alert.schedule),
  column('run_id', 'UUID', (alert) => alert.runId),
  column('since', 'TIMESTAMPTZ', (alert) => alert.since),
  column('ended_at', 'TIMESTAMPTZ', (alert) => alert.endedAt),
  column('detail', 'VARCHAR', (alert) => alert.detail),
];

export interface Beginning {
  readonly runId: string;
  readonly bootId: string;
  readonly at: Instant;
}

export const startedColumns: readonly Column<Beginning>[] = [
  column('run_id', 'UUID', (beginning) => beginning.runId),
  column('boot_id', 'VARCHAR', (beginning) => beginning.bootId),
  column('started_at', 'TIMESTAMPTZ', (beginning) => beginning.at),
];

/** At least one row. `only` is a condition on `rows`, for rows that shall be written only where something is true. */
export function insertText<Row>(table: string, columns: readonly Column<Row>[], rows: readonly Row[], only = ''): string {
  const names: string[] = [];
  const outer: string[] = [];
  const lists: string[] = [];
  for (const { name, type, of } of columns) {
    const cells = rows.map(of);
    const [first = null] = cells;
    const isConstant = cells.every((cell) => cell === first);
    // A column that is left out is NULL, and costs nothing.
    if (isConstant && first === null) continue;
    names.push(name);
    if (isConstant) {
      outer.push(`${cellText(first, type)} AS ${name}`);
      continue;
    }
    lists.push(listText(cells, type, name));
    if (type === 'TIMESTAMPTZ') outer.push(`make_timestamptz(${name} * 1000) AS ${name}`);
    else outer.push(type === 'MICROSECONDS' ? `make_timestamptz(${name}) AS ${name}` : name);
  }
  const from = lists.length === 0 ? (rows.length === 1 ? '' : ` FROM range(${rows.length})`) : ` FROM (SELECT ${lists.join(', ')})`;
  const all = `SELECT ${outer.join(', ')}${from}`;
  return `INSERT INTO ${table} (${names.join(', ')}) ${only === '' ? all : `SELECT rows.* FROM (${all}) AS rows ${only}`}`;
}

/** `name IN (these)`, at any length: a list of 10,000 literals takes 60 ms to read, this 8. */
export function among(name: string, ids: readonly string[]): string {
  const [only] = ids;
  if (ids.length === 1 && only !== undefined) return `${name} = ${text(only)}::UUID`;
  return `${name} IN (SELECT unnest(from_json(${text(JSON.stringify(ids))}, '["UUID"]')))`;
}

/** As TIMESTAMPTZ. */
export function instantText(at: Instant | null): string {
  // In microseconds, which are more than a number holds exactly.
  return at === null ? 'NULL' : `make_timestamptz(${Math.round(at)}000)`;
}

/** A NUL, which ends a statement, and half a surrogate pair, which is no Unicode. */
const refused = /[\0\p{Cs}]/gu;

export function text(value: string): string {
  return literal(plain(value));
}

function cellText(cell: Cell, type: CellType): string {
  if (cell === null) return 'NULL';
  if (type === 'TIMESTAMPTZ') return instantText(Number(cell));
  if (type === 'MICROSECONDS') return `make_timestamptz(${cell})`;
  if (typeof cell !== 'string') return String(cell);
  return type === 'UUID' ? `${text(cell)}::UUID` : text(cell);
}

function listText(cells: readonly Cell[], type: CellType, name: string): string {
  const isText = type === 'VARCHAR' || type === 'JSON';
  const items = isText ? cells.map((cell) => (cell === null ? null : plain(String(cell)))) : cells;
  const itemType = isText ? 'VARCHAR' : type === 'TIMESTAMPTZ' || type === 'MICROSECONDS' ? 'BIGINT' : type;
  return `unnest(from_json(${literal(JSON.stringify(items))}, '["${itemType}"]')) AS ${name}`;
}

function plain(value: string): string {
  return value.replace(refused, '\uFFFD');
}

/** Half a surrogate pair, which JavaScript's strings may hold, is escaped by JSON.stringify and refused by DuckDB. */
const halfPairs = /\\\\|\\ud[89a-f][0-9a-f]{2}/g;

function json(value: JsonValue): string | null {
  if (value === null) return null;
  const written = JSON.stringify(value);
  return written.includes('\\ud') ? written.replace(halfPairs, (found) => (found === '\\\\' ? found : '\\ufffd')) : written;
}

// And back. Instants as numbers, so that no type of DuckDB's leaves this folder.

const ms = (name: string): string => `epoch_ms(${name})::DOUBLE`;

/** In the order of `openRunOf`. */
export const openRunFields = [
  'r.run_id::VARCHAR',
  'r.schedule_id::DOUBLE',
  'r.schedule',
  'r.exe',
  'r.call',
  'r.trigger',
  ms('r.scheduled_at'),
  ms('r.opened_at'),
  'r.attempt::DOUBLE',
  'r.queue',
  'r.priority',
  'r.params::VARCHAR',
  'r.schedule_version::DOUBLE',
  'r.root_run_id::VARCHAR',
  'r.parent_run_id::VARCHAR',
  'r.retry_of::VARCHAR',
  ms('r.not_before'),
  'r.group_key',
  'r.group_limit::DOUBLE',
  'r.fire::DOUBLE',
  'r.alone',
].join(', ');

/** The same of a closed run, which needs no place in a queue any more. */
export const closedRunFields = openRunFields
  .replace(ms('r.not_before'), 'NULL')
  .replace('r.group_key, r.group_limit::DOUBLE, r.fire::DOUBLE, r.alone', 'NULL, NULL, NULL, false');

export function openRunOf(row: readonly Value[]): OpenRun {
  const [runId, scheduleId, schedule, exe, call, trigger, scheduledAt, openedAt, attempt, queue, priority, ...more] = row;
  const [params, scheduleVersion, rootRunId, parentRunId, retryOf, notBefore, groupKey, groupLimit, fire, alone] = more;
  return {
    runId: String(runId),
    scheduleId: numberOf(scheduleId),
    schedule: textOf(schedule) ?? '',
    exe: String(exe),
    call: textOf(call) ?? '',
    trigger: String(trigger) as Trigger,
    scheduledAt: Number(scheduledAt),
    openedAt: Number(openedAt),
    notBefore: numberOf(notBefore),
    attempt: Number(attempt),
    queue: String(queue),
    priority: String(priority) as Priority,
    params: JSON.parse(String(params)) as Record<string, JsonValue>,
    scheduleVersion: Number(scheduleVersion),
    rootRunId: String(rootRunId),
    parentRunId: textOf(parentRunId),
    retryOf: textOf(retryOf),
    group: groupKey == null ? null : { key: String(groupKey), limit: Number(groupLimit ?? 1) },
    fire: numberOf(fire),
    alone: alone === true,
  };
}

/** Of a closed run, behind the fields that it has from when it was open. */
export const endFields = (closed: string): string =>
  `${closed}.state, ${closed}.reason, ${ms(`${closed}.finished_at`)}, ${ms(`${closed}.started_at`)}, ${closed}.final`;

const runFieldCount = 21;

export function closedRunOf(row: readonly Value[]): ClosedRun {
  const [state, reason, finishedAt, startedAt, final] = row.slice(runFieldCount);
  return {
    run: openRunOf(row),
    state: String(state) as ClosedState,
    reason: textOf(reason),
    finishedAt: Number(finishedAt),
    startedAt: numberOf(startedAt),
    final: final === true,
  };
}

/** Behind the schedule's id. */
export function countersOf([, failures, fires, successAt]: readonly (Value | undefined)[]): Counters {
  return { consecutiveFailures: Number(failures ?? 0), openedFires: Number(fires ?? 0), lastSuccessAt: numberOf(successAt) };
}

export function tokenOf(row: readonly Value[]): Token {
  const [tokenId, childId, parentId, runId, rootRunId, state, scheduledAt] = row;
  return {
    tokenId: String(tokenId),
    childId: Number(childId),
    parentId: Number(parentId),
    runId: String(runId),
    rootRunId: String(rootRunId),
    state: String(state) as ClosedState,
    scheduledAt: Number(scheduledAt),
  };
}

export const tokenFields = `token_id::VARCHAR, child_id::DOUBLE, parent_id::DOUBLE, run_id::VARCHAR, root_run_id::VARCHAR, state, ${ms('scheduled_at')}`;

export function alertOf(row: readonly Value[]): Alert {
  const [alertId, rule, schedule, runId, since, endedAt, detail] = row;
  return {
    alertId: String(alertId),
    rule: String(rule) as Alert['rule'],
    schedule: textOf(schedule),
    runId: textOf(runId),
    since: Number(since),
    endedAt: numberOf(endedAt),
    detail: String(detail),
  };
}

export const alertFields = `alert_id, rule, schedule, run_id::VARCHAR, ${ms('since')}, ${ms('ended_at')}, detail`;

export const numberOf = (value: Value | undefined): number | null => (value == null ? null : Number(value));
export const textOf = (value: Value | undefined): string | null => (value == null ? null : String(value));
