// SIMULATE SCHEDULES FROM ts TO ts: what the scheduler would do with the definitions, queues and settings as they are now. The
// scheduler that answers is the real one (scheduler/simulation/forecast.ts); nothing is run, and nothing is written.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import { formatInstant, type Instant } from '../../core/instant.ts';
import type { SimulateStatement } from '../../parser/ast.ts';
import { note } from '../../scheduler/cadence/cadence.ts';
import type { QueueDefinition, SchedulerSettings } from '../../scheduler/ports.ts';
import type { Definition } from '../../scheduler/schedule.ts';
import { type ForecastRow, forecast } from '../../scheduler/simulation/forecast.ts';
import { bindStretch } from '../bind/instant.ts';
import type { Result, Warning } from '../result.ts';
import { readPresent } from '../store/duckdb/ledger.ts';
import { runSql } from '../store/duckdb/runSql.ts';
import type { Value } from '../value.ts';
import { answer, instant, type StatementContext, text, timestamp } from './context.ts';

const mostDays = 366;
const mostRows = 100_000;

export async function simulateSchedules(statement: SimulateStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const { from, to } = await stretchOf(statement, context);
  const world = await context.engine.admission.run('session', () => readWorld(context));
  const { rows, reached } = await forecast({ ...world, from, to, mostRows, clock: context.engine.clock, signal });
  if (signal.aborted) throw new Diagnostic('cancelled', 'The statement was cancelled.', { span: statement.span });
  if (reached < to) {
    throw new Diagnostic('too_large', 'there are more than 100,000 fires and decisions between FROM and TO', {
      span: statement.to.span,
      hint: `100,000 of them reach to '${formatInstant(reached)}'`,
    });
  }
  const definitions = new Map(world.definitions.map((definition) => [definition.scheduleId, definition]));
  return answer({
    tag: 'SIMULATE',
    columns: [
      instant('scheduled_at'),
      text('schedule'),
      text('outcome'),
      instant('started_at'),
      instant('finished_at'),
      text('queue'),
      text('note'),
      text('assumed'),
    ],
    rows: rows.map((row) => [...shown(row, definitions.get(row.scheduleId ?? 0)), assumed(row, world)]),
    prominent: ['scheduled_at', 'schedule', 'outcome', 'note'],
    warnings: world.warnings,
    notes: world.notes,
  });
}

/** Without an offset: in the zone in which schedules are that name none. */
async function stretchOf({ from, to }: SimulateStatement, context: StatementContext): Promise<{ from: Instant; to: Instant }> {
  const zone = (await context.catalogue.settings()).text('timezone');
  const { engine, connection } = context;
  const [first, last] = await engine.admission.run('session', () => bindStretch({ from, to }, zone, connection));
  if (last - first > mostDays * 86_400_000) {
    throw new Diagnostic(
      'too_large',
      `at most ${mostDays} days can be simulated, and these are ${Math.ceil((last - first) / 86_400_000)}`,
      {
        span: to.span,
        hint: `end at '${formatInstant(first + mostDays * 86_400_000)}' or before`,
      },
    );
  }
  return { from: first, to: last };
}

interface World {
  readonly definitions: readonly Definition[];
  readonly settings: SchedulerSettings;
  readonly queues: readonly QueueDefinition[];
  readonly usualMs: ReadonlyMap<number, number>;
  /** Ids of schedules with a `when`. */
  readonly conditional: ReadonlySet<number>;
  readonly warnings: readonly Warning[];
  readonly notes: readonly string[];
}

/** On the session's connection: it sees what the session has defined and not yet committed. */
async function readWorld(context: StatementContext): Promise<World> {
  const { connection } = context;
  const sql = runSql(context.sql.ledger);
  const present = await readPresent(connection, context.sql);
  const numbers = async (query: string) =>
    new Map((await connection.table(query)).rows.map(([id, number]) => [Number(id), Number(number)]));
  const openedFires = await numbers(sql.openedFires);
  const definitions: Definition[] = [];
  const warnings: Warning[] = [];
  let disabled = 0;
  for (const change of present.definitions) {
    if (change.kind === 'unreadable') warnings.push({ message: `${change.name} cannot be read, and is left out: ${change.message}` });
    if (change.kind !== 'defined') continue;
    if (change.definition.enabled) definitions.push(withFiresLeft(change.definition, openedFires));
    else disabled += 1;
  }
  const conditional = (await connection.table(sql.conditional)).rows.map(([name]) => String(name));
  const notes = [
    ...(disabled === 0 ? [] : [disabled === 1 ? '1 disabled schedule is left out' : `${disabled} disabled schedules are left out`]),
    ...(conditional.length === 0 ? [] : [`conditions are taken to hold (when: of ${listed(conditional)})`]),
  ];
  if (present.pausedAt !== null) {
    warnings.push({ message: 'the scheduler is paused: this is what it would do if it were not', hint: 'RESUME SCHEDULER;' });
  }
  return {
    definitions,
    settings: present.settings,
    queues: present.queues,
    usualMs: await numbers(sql.usualTimes),
    conditional: new Set(definitions.filter(({ name }) => conditional.includes(name)).map(({ scheduleId }) => scheduleId)),
    warnings,
    notes,
  };
}

function withFiresLeft(definition: Definition, openedFires: ReadonlyMap<number, number>): Definition {
  const { maxRuns } = definition.policy;
  if (maxRuns === undefined) return definition;
  const left = Math.max(maxRuns - (openedFires.get(definition.scheduleId) ?? 0), 0);
  return { ...definition, policy: { ...definition.policy, maxRuns: left } };
}

function shown(row: ForecastRow, definition: Definition | undefined): Value[] {
  const { scheduledAt, schedule, outcome, startedAt, finishedAt, queue } = row;
  return [timestamp(scheduledAt), schedule, outcome, timestamp(startedAt), timestamp(finishedAt), queue, noteOf(row, definition)];
}

/** What of the future nobody can know, and what was taken for it. */
function assumed({ outcome, scheduleId }: ForecastRow, { usualMs, conditional }: World): string | null {
  if (outcome === 'skipped') return null;
  const usual = usualMs.get(scheduleId ?? 0);
  const takes =
    usual === undefined
      ? 'takes no time: too few have succeeded to tell'
      : `takes its usual ${formatDuration(Math.max(Math.round(usual), 1))}`;
  return `succeeds, and ${takes}${conditional.has(scheduleId ?? 0) ? '; its condition holds' : ''}`;
}

function noteOf(row: ForecastRow, definition: Definition | undefined): string {
  const { trigger, scheduledAt, openedAt, startedAt, outcome, reason, waitedFor, fires } = row;
  const parts: string[] = [];
  const timing = definition?.timing;
  const isOfTheClock = trigger === 'cron' || trigger === 'interval' || trigger === 'once';
  const isFree = reason?.startsWith('calendar:') === true;
  const clockNote =
    timing === undefined || !(isOfTheClock || isFree) ? '' : note(timing, { nominal: scheduledAt, due: openedAt, refused: isFree });
  if (reason !== null) parts.push(isFree && clockNote !== '' ? `calendar:${clockNote.slice(clockNote.lastIndexOf(':') + 1)}` : reason);
  if (fires !== null && fires > 1) parts.push(`stands for ${fires} fires`);
  if (isOfTheClock && outcome !== 'skipped' && openedAt > scheduledAt) parts.push(`due ${formatDuration(openedAt - scheduledAt)} later`);
  if (waitedFor !== null) parts.push(startedAt === null ? waitedFor : `waited ${formatDuration(startedAt - openedAt)}: ${waitedFor}`);
  if (clockNote !== '' && !isFree) parts.push(clockNote);
  return parts.join('; ');
}

function listed(names: readonly string[]): string {
  const shownNames = names.slice(0, 10).join(', ');
  return names.length > 10 ? `${shownNames}, and ${names.length - 10} more` : shownNames;
}
