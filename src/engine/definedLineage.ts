// Lineage of definitions: which tables a schedule or a procedure reads and writes, written beside it when it is defined, and
// the warning that follows from it.

import type { Instant } from '../core/instant.ts';
import { next, type Timing } from '../scheduler/cadence/cadence.ts';
import type { Schedule } from '../scheduler/schedule.ts';
import { bodyStatements } from './bind/body.ts';
import type { BoundSchedule } from './bind/schedule.ts';
import { callOf } from './calls.ts';
import { type LineageEntry, type LineageParameter, lineageOf, merged } from './lineage.ts';
import type { Warning } from './result.ts';
import { type BodyStatement, type Procedure, runParameters } from './routine.ts';
import type { StatementContext } from './statements/context.ts';

export function lineageOfProcedure(procedure: Procedure, context: StatementContext): Promise<LineageEntry[]> {
  return lineageOfBody(procedure, context, [procedure.name]);
}

export async function lineageOfSchedule(schedule: Schedule, context: StatementContext): Promise<LineageEntry[]> {
  const { target } = schedule;
  if (target.exe === 'sql') {
    const parameters = Object.keys(schedule.params).map((name) => ({ name }));
    return lineageOfStatements(bodyStatements(String(target.call)), parameters, context, []);
  }
  if (target.exe !== 'procedure' && target.exe !== 'pipeline') return [];
  const stored = await context.catalogue.routine(String(target.call).split('.')[0] ?? '');
  if (stored === undefined) return [];
  return stored.routine.kind === 'procedure'
    ? lineageOfProcedure(stored.routine, context)
    : context.catalogue.lineage(stored.name, 'pipeline');
}

async function lineageOfBody(procedure: Procedure, context: StatementContext, calls: readonly string[]): Promise<LineageEntry[]> {
  if (procedure.body.language !== 'sql') return [];
  const parameters = procedure.parameters.map(({ name, type }): LineageParameter => ({ name, type }));
  return lineageOfStatements(procedure.body.statements, parameters, context, calls);
}

/** A CALL reads and writes what its procedure does, as that stands now. `calls`: whose bodies we are in. */
async function lineageOfStatements(
  statements: readonly BodyStatement[],
  parameters: readonly LineageParameter[],
  context: StatementContext,
  calls: readonly string[],
): Promise<LineageEntry[]> {
  const own: string[] = [];
  const entries: LineageEntry[] = [];
  for (const { text } of statements) {
    const name = callOf(text)?.name.text;
    const called = name === undefined ? undefined : (await context.catalogue.routine(name))?.routine;
    if (called?.kind !== 'procedure') own.push(text);
    else if (!calls.includes(called.name)) entries.push(...(await lineageOfBody(called, context, [...calls, called.name])));
  }
  return merged([...entries, ...(await lineageOf(own, context.connection, [...parameters, ...runValues]))]);
}

const runValues: readonly LineageParameter[] = runParameters.map((name) => ({
  name,
  type: name.endsWith('_at') ? 'TIMESTAMPTZ' : name === 'attempt' ? 'BIGINT' : 'VARCHAR',
}));

/**
 * Other enabled schedules that write one of the same tables at one of the same instants. A few are named, and few are looked at:
 * of two hundred that write one table, each would else be compared with all before it.
 */
export async function sharedWriters(bound: BoundSchedule, lineage: readonly LineageEntry[], context: StatementContext): Promise<Warning[]> {
  const { timing } = bound;
  if (timing === undefined) return [];
  const warnings: Warning[] = [];
  const written = new Set(lineage.flatMap(({ access, table }) => (access === 'writes' && table !== null ? [table] : [])));
  for (const table of written) {
    const writers = (await context.catalogue.writersOf(table)).filter((name) => name.toLowerCase() !== bound.schedule.name.toLowerCase());
    const found: string[] = [];
    let looked = 0;
    for (const name of writers) {
      if (found.length >= mostNamed || looked >= mostLooked) break;
      looked += 1;
      if (await meets(name, timing, context)) found.push(name);
    }
    if (found.length === 0) continue;
    const others = looked < writers.length;
    const names = others ? `${found.join(', ')} and others` : found.join(', ');
    warnings.push({
      message: `${names} ${found.length > 1 || others ? 'write' : 'writes'} ${table} too, at the same instants`,
      hint: 'move one of them, or let one follow the other: after: ..',
    });
  }
  return warnings;
}

const mostNamed = 3;
const mostLooked = 10;

async function meets(name: string, timing: Timing, context: StatementContext): Promise<boolean> {
  const other = await context.catalogue.schedule(name);
  if (other === undefined || !other.enabled) return false;
  const theirs = await context.catalogue.timing(other.schedule);
  return theirs !== undefined && sharedInstant(timing, theirs, context.now) !== undefined;
}

/** Looks at the next thousand steps of both. */
function sharedInstant(a: Timing, b: Timing, now: Instant): Instant | undefined {
  let left = next(a, now);
  let right = next(b, now);
  for (let step = 0; step < 1000 && left !== undefined && right !== undefined; step++) {
    if (left.due === right.due) return left.due;
    if (left.due < right.due) left = next(a, right.due - 1);
    else right = next(b, left.due - 1);
  }
  return undefined;
}
