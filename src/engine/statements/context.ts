// What a statement may use. Statements are functions of (AST node, context) -> Result; they know no door and no driver.

import type { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { Statement } from '../../parser/ast.ts';
import type { OpenRun } from '../../scheduler/run.ts';
import type { BindContext } from '../bind/schedule.ts';
import type { Engine } from '../engine.ts';
import type { Registry } from '../executors/registry.ts';
import { type Column, type Form, Result, type Warning } from '../result.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import { TimestampTz, type Value } from '../value.ts';

export interface StatementContext {
  /** The session's own connection: what it sees, the statement sees. */
  readonly connection: Connection;
  readonly catalogue: Catalogue;
  readonly sql: Sql;
  /** The main database's name in SQL. */
  readonly database: string;
  /** Read once for each statement. */
  readonly now: Instant;
  /** Who changes definitions, for cron.schedule_versions. */
  readonly actor: string;
  /** Where a definition came from, if not from a person. */
  readonly source: string | null;
  readonly executors: Registry;
  readonly engine: Engine;
  nextScheduleId(): number;
  /** Runs `work` in the session's open transaction, or in one of its own. */
  inTransaction<T>(work: () => Promise<T>): Promise<T>;
  /** The same for what defines: its commit is a boundary for the scheduler, which then reads the definitions again. */
  defining<T>(work: () => Promise<T>): Promise<T>;
  /** The fires of this schedule count from now: from the moment, that is, at which the transaction it stands in becomes true. */
  countsFromNow(scheduleId: number): void;
  /** What waits of this schedule is cancelled when the transaction becomes true: held until then, it would keep the scheduler from it. */
  cancelsWaitingOf(scheduleId: number): void;
  /** The statement waits for these: meanwhile `Session.awaited` has them. Answers how to take them away. */
  awaits(runs: readonly OpenRun[], how?: { readonly isTold: boolean }): () => void;
  parse(text: string): Statement;
}

export async function bindContext(context: StatementContext): Promise<BindContext> {
  const settings = await context.catalogue.settings();
  return { now: context.now, defaultZone: settings.text('timezone'), catalogue: context.catalogue, executors: context.executors };
}

export const text = (name: string): Column => ({ name, type: { kind: 'VARCHAR' } });
export const integer = (name: string): Column => ({ name, type: { kind: 'BIGINT' } });
export const texts = (name: string): Column => ({ name, type: { kind: 'LIST', item: { kind: 'VARCHAR' } } });
export const double = (name: string): Column => ({ name, type: { kind: 'DOUBLE' } });
export const instant = (name: string): Column => ({ name, type: { kind: 'TIMESTAMPTZ' } });

export function timestamp(at: Instant | undefined | null): TimestampTz | null {
  return at === undefined || at === null ? null : TimestampTz.fromEpochMs(at);
}

export interface Answer {
  readonly tag: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
  readonly warnings?: readonly Warning[];
  readonly notes?: readonly string[];
  readonly form?: Form;
  /** The columns that matter most, best first: where not all can be shown, these are. */
  readonly prominent?: readonly string[];
  readonly failure?: Diagnostic | undefined;
}

export function answer(details: Answer): Result {
  return Result.fromRows({ form: isOutcome(details.columns) ? 'outcomes' : 'table', ...details });
}

function isOutcome([first, second]: readonly Column[]): boolean {
  return first?.name === 'name' && second?.name === 'outcome';
}

/** What a statement answers for each object that it touched. */
export function outcome(tag: string, rows: readonly (readonly [name: string, outcome: string])[]): Result {
  return answer({ tag, columns: [text('name'), text('outcome')], rows });
}
