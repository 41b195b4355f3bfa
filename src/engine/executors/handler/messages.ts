// What a handler's side (the guest: a thread or a process) and the engine's side (the attendant) say to each other: plain data, which
// structured clone takes through a port and through a pipe. For each run the attendant sends one assignment, and the guest one end.

import type { JsonValue } from '../../../core/jsonValue.ts';
import type { RunError } from '../../../scheduler/run.ts';
import type { Task, TaskLine, TaskRow } from '../executor.ts';
import type { HandlerModule } from './module.ts';

/** The context of LANGUAGE section 5: what a handler gets of its task. */
export type HandlerContext = Pick<
  Task,
  | 'jobId'
  | 'executionId'
  | 'runId'
  | 'step'
  | 'item'
  | 'params'
  | 'config'
  | 'scheduledAt'
  | 'previousAt'
  | 'lastSuccessAt'
  | 'parentRunId'
  | 'attempt'
  | 'timeoutMs'
  | 'signal'
  | 'progress'
  | 'services'
>;

export type Handler = (context: HandlerContext) => unknown;

export interface Assignment {
  readonly module: HandlerModule;
  readonly values: ContextValues;
}

/** What of the context is data. */
export type ContextValues = Omit<HandlerContext, 'signal' | 'progress' | 'services'>;

export function valuesOf(task: Task): ContextValues {
  const { jobId, executionId, runId, step, item, params, config, scheduledAt, previousAt, lastSuccessAt, parentRunId, attempt, timeoutMs } =
    task;
  return {
    jobId,
    executionId,
    runId,
    step,
    item,
    params,
    config,
    scheduledAt,
    previousAt,
    lastSuccessAt,
    parentRunId,
    attempt,
    timeoutMs,
  };
}

export type FromGuest =
  | { readonly kind: 'lines'; readonly lines: readonly TaskLine[] }
  | { readonly kind: 'progress'; readonly fraction: number | null; readonly message: string | null }
  | { readonly kind: 'query'; readonly id: number; readonly query: Query }
  /** The module has changed since this guest loaded it: nothing was run. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'end'; readonly end: GuestEnd };

export interface Query {
  readonly sql: string;
  readonly values: readonly unknown[] | Readonly<Record<string, unknown>> | undefined;
  readonly inTransaction: boolean;
}

export interface GuestEnd {
  readonly result: JsonValue;
  readonly error: RunError | null;
  readonly notes: readonly string[];
  readonly cpuMs: number | null;
  readonly peakMemoryBytes: number | null;
  /** Another run may follow in the same thread. */
  readonly reusable: boolean;
}

export type ToGuest =
  | { readonly kind: 'abort' }
  | { readonly kind: 'rows'; readonly id: number; readonly rows: readonly TaskRow[] }
  | { readonly kind: 'refused'; readonly id: number; readonly error: Refusal };

/** A Diagnostic that crosses. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}
