// BACKFILL SCHEDULE name FROM ts TO ts: runs for the instants of the past, in their order. Where a scheduler runs it has them all at
// once; where none does, each is opened when its turn comes, so that what is stopped leaves nothing behind.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatInstant, type Instant } from '../../core/instant.ts';
import type { BackfillStatement } from '../../parser/ast.ts';
import { instantsIn } from '../../scheduler/backfill.ts';
import { openedRun } from '../../scheduler/opening.ts';
import type { FinishedRun, OpenRun, RunGroup } from '../../scheduler/run.ts';
import { bindStretch } from '../bind/instant.ts';
import { definitionOf, newRunId } from '../opening.ts';
import type { Result, Warning } from '../result.ts';
import type { StoredSchedule } from '../store/duckdb/catalogue.ts';
import { runSql } from '../store/duckdb/runSql.ts';
import { answer, instant, type StatementContext, text, timestamp } from './context.ts';
import { failureOf, runToEnd } from './run.ts';
import { findSchedule } from './schedule.ts';

const mostInstants = 100_000;
const mostParallel = 1000;

interface Row {
  readonly scheduledAt: Instant;
  readonly runId: string | null;
  readonly outcome: string;
}

export async function backfillSchedule(statement: BackfillStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const stored = await findSchedule(statement.name, context);
  const { instants, warnings } = await instantsOf(statement, stored, context);
  const told = (rows: readonly Row[], notes: readonly string[] = [], failure?: Diagnostic): Result =>
    answer({
      tag: 'BACKFILL',
      columns: [instant('scheduled_at'), text('run_id'), text('outcome')],
      rows: rows.map(({ scheduledAt, runId, outcome }) => [timestamp(scheduledAt), runId, outcome]),
      warnings,
      notes,
      form: rows.length === 0 ? 'outcomes' : 'table',
      failure,
    });
  if (instants.length === 0) return told([], [statement.onlyMissing ? 'nothing is missing' : 'no fire of its clock lies there']);
  if (statement.dryRun) {
    return told(instants.map((scheduledAt) => ({ scheduledAt, runId: null, outcome: 'would open' })));
  }
  const group = { key: `backfill:${newRunId(context.now)}`, limit: limitOf(statement) };
  if (!context.engine.scheduler.isOn) return backfillHere(statement, { stored, instants, group }, context, signal, told);
  const rows: Row[] = [];
  for (let at = 0; at < instants.length && !signal.aborted; at += openedAtOnce) {
    const runs = instants.slice(at, at + openedAtOnce).map((scheduledAt) => newRun(stored, scheduledAt, group, context));
    await context.engine.scheduler.byHand(runs);
    for (const { scheduledAt, runId } of runs) rows.push({ scheduledAt, runId, outcome: 'opened' });
    await context.engine.clock.yieldTurn();
  }
  return told(rows, [], rows.length < instants.length ? stopped(statement, rows.length, instants.length) : undefined);
}

/** In one transaction: more would hold up what is due in the meantime. */
const openedAtOnce = 5000;

async function instantsOf(
  { name, from, to, onlyMissing }: BackfillStatement,
  stored: StoredSchedule,
  context: StatementContext,
): Promise<{ instants: Instant[]; warnings: Warning[] }> {
  const timing = await context.catalogue.timing(stored.schedule);
  if (timing === undefined || timing.cadences.every((cadence) => cadence.kind === 'reboot')) {
    throw new Diagnostic('invalid_value', `${stored.name} has no clock: there are no instants of the past to run it for`, {
      span: name.span,
      hint: `RUN SCHEDULE ${stored.name}; runs it now`,
    });
  }
  const warnings: Warning[] = [];
  const { now, engine, connection } = context;
  const [first, last] = await engine.admission.run('session', () => bindStretch({ from, to }, timing.zone, connection));
  if (last > now)
    warnings.push({ message: 'TO is after now, and what is still to come is left out', hint: 'the schedule’s own clock runs it' });
  const end = Math.min(last, now);
  const instants = await instantsIn(timing, { from: first, to: end, most: mostInstants + 1 }, engine.clock);
  const beyond = instants[mostInstants];
  if (beyond !== undefined) {
    throw new Diagnostic('too_large', 'more than 100,000 fires lie between FROM and TO', {
      span: to.span,
      hint: `do it in pieces: TO '${formatInstant(beyond)}' is the first 100,000`,
    });
  }
  if (!onlyMissing) return { instants, warnings };
  const { rows } = await engine.admission.run('session', () =>
    connection.table(runSql(context.sql.ledger).doneInstants(stored.scheduleId, first, end)),
  );
  const done = new Set(rows.map(([at]) => Number(at)));
  return { instants: instants.filter((scheduledAt) => !done.has(scheduledAt)), warnings };
}

function limitOf({ parallel }: BackfillStatement): number {
  if (parallel === undefined) return 1;
  if (Number.isInteger(parallel.value) && parallel.value >= 1 && parallel.value <= mostParallel) return parallel.value;
  throw new Diagnostic('invalid_value', `PARALLEL takes a whole number from 1 to ${mostParallel}`, { span: parallel.span });
}

function newRun(stored: StoredSchedule, scheduledAt: Instant, group: RunGroup, { now }: StatementContext): OpenRun {
  return openedRun(definitionOf(stored), { runId: newRunId(now), trigger: 'backfill', scheduledAt, openedAt: now, group });
}

/** As many side by side as are allowed; a stop ends those, and begins no other. */
async function backfillHere(
  statement: BackfillStatement,
  { stored, instants, group }: { readonly stored: StoredSchedule; readonly instants: readonly Instant[]; readonly group: RunGroup },
  context: StatementContext,
  signal: AbortSignal,
  told: (rows: readonly Row[], notes?: readonly string[], failure?: Diagnostic) => Result,
): Promise<Result> {
  const ended = new Map<Instant, FinishedRun>();
  const left = instants.values();
  const lane = async (): Promise<void> => {
    for (const scheduledAt of left) {
      if (signal.aborted) return;
      const run = newRun(stored, scheduledAt, group, { ...context, now: context.engine.clock.now() });
      const [end] = await runToEnd([run], context, signal, { cancels: true });
      if (end !== undefined) ended.set(scheduledAt, end);
    }
  };
  await Promise.all(Array.from({ length: Math.min(group.limit, instants.length) }, lane));
  const rows = instants.flatMap((scheduledAt) => {
    const end = ended.get(scheduledAt);
    return end === undefined ? [] : [{ scheduledAt, runId: end.runId, outcome: end.state }];
  });
  return told(rows, [], failureIn([...ended.values()], instants.length, statement));
}

function failureIn(ended: readonly FinishedRun[], planned: number, { name }: BackfillStatement): Diagnostic | undefined {
  const failures = ended.filter(({ state }) => state !== 'succeeded' && state !== 'skipped');
  const [first] = failures;
  if (ended.length < planned) return stopped({ name }, ended.length, planned);
  if (first === undefined) return undefined;
  const reason = first.reason === null ? first.state : `${first.state}; ${first.reason}`;
  return new Diagnostic('run_failed', `${failures.length} of ${planned} runs did not succeed; the first: ${reason}`, {
    span: name.span,
    hint: failureOf(first, name.span)?.hint,
  });
}

function stopped({ name }: Pick<BackfillStatement, 'name'>, done: number, planned: number): Diagnostic {
  return new Diagnostic('cancelled', `stopped after ${done} of ${planned} runs`, {
    span: name.span,
    hint: 'the same with ONLY MISSING runs the rest',
  });
}
