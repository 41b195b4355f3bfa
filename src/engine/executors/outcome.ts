// What a run has come to when it did not succeed: one place for SQL, tasks and pipelines, so that a timeout reads alike everywhere.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { Outcome, RunError } from '../../scheduler/run.ts';
import type { Stopped } from './deadline.ts';

export interface FailureContext {
  /** Why it was ended, if it was. */
  readonly stopped: Stopped | undefined;
  readonly timeoutMs: number | null;
  readonly conflicts: number;
  readonly guarantee: Outcome['guarantee'];
  readonly guaranteeReason?: string | null;
}

export function failedOutcome(
  error: unknown,
  { stopped, timeoutMs, conflicts, guarantee, guaranteeReason = null }: FailureContext,
): Outcome {
  const common = { result: null, rowsChanged: null, guarantee, guaranteeReason, conflicts } as const;
  switch (stopped?.kind) {
    case 'timed_out': {
      const message = `it ran longer than its timeout of ${formatDuration(timeoutMs ?? 0)}`;
      return { ...common, state: 'timed_out', reason: message, error: { code: 'timed_out', message, detail: null } };
    }
    case 'cancelled':
      return { ...common, state: 'cancelled', reason: stopped.reason, error: null };
    case 'shutdown':
      return { ...common, state: 'interrupted', reason: 'the scheduler stopped', error: null };
    case undefined: {
      const told = runErrorOf(error);
      return { ...common, state: 'failed', reason: told.message, error: told };
    }
    default:
      return stopped satisfies never;
  }
}

/** What was thrown, as a row keeps it. JavaScript lets anything be thrown. */
export function runErrorOf(error: unknown): RunError {
  if (error instanceof Diagnostic) {
    return { code: error.code, message: error.message, detail: error.hint === undefined ? null : { hint: error.hint } };
  }
  if (error instanceof Error) {
    const detail: Record<string, JsonValue> = { name: error.name, ...(error.stack === undefined ? {} : { stack: error.stack }) };
    return { code: 'run_failed', message: error.message === '' ? error.name : error.message, detail };
  }
  return { code: 'run_failed', message: typeof error === 'string' && error !== '' ? error : `it threw ${String(error)}`, detail: null };
}
