// Outcomes that the scheduler itself states: what an executor did not answer, and what of an answer can be kept.

import { Diagnostic } from '../core/diagnostic.ts';
import type { FinishedRun, Outcome } from './run.ts';

export const succeededOutcome: Outcome = {
  state: 'succeeded',
  reason: null,
  result: null,
  rowsChanged: null,
  error: null,
  guarantee: null,
  conflicts: 0,
};

export function failedOutcome(error: unknown): Outcome {
  const code = error instanceof Diagnostic ? error.code : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  return { ...succeededOutcome, state: 'failed', reason: message, error: { code, message, detail: null } };
}

/** Nothing is left that could be left out. */
export function isBare(outcome: Outcome): boolean {
  return outcome.result === null && (outcome.error?.detail ?? null) === null && outcome.reason?.includes('could not be kept') === true;
}

export function withoutDetails(outcome: Outcome, cause: unknown): Outcome {
  const clean = (text: string): string => text.replaceAll('\0', '\uFFFD').slice(0, 10_000);
  const { error } = outcome;
  const why = `what it answered could not be kept: ${cause instanceof Error ? cause.message : String(cause)}`;
  return {
    ...outcome,
    reason: clean(outcome.reason === null ? why : `${outcome.reason}; ${why}`),
    result: null,
    error: error === null ? null : { code: error.code, message: clean(error.message), detail: null },
  };
}

/** What whoever waits for a run hears when the scheduler leaves first. */
export function leftOpen(runId: string): FinishedRun {
  const reason = 'the scheduler stopped; the run stays open for the next start';
  return {
    runId,
    scheduleId: null,
    schedule: '',
    exe: '',
    call: '',
    trigger: 'manual',
    scheduledAt: 0,
    attempt: 1,
    state: 'interrupted',
    reason,
    final: false,
    result: null,
    rowsChanged: null,
    durationMs: null,
  };
}
