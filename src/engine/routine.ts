// What a schedule calls: procedures and pipelines, which share one namespace. Plain data, bound once at definition.

import { type DurationMs, formatDuration } from '../core/duration.ts';
import type { JsonObject, JsonValue } from '../core/jsonValue.ts';
import type { Action, ParameterValue, RetryPolicy } from '../scheduler/schedule.ts';
import { withEnvironmentNames } from './environment.ts';

export type Routine = Procedure | Pipeline;

export interface Procedure {
  readonly kind: 'procedure';
  readonly name: string;
  readonly parameters: readonly ProcedureParameter[];
  readonly atomic: boolean;
  readonly timeoutMs?: DurationMs | null;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly body: ProcedureBody;
}

export interface ProcedureParameter {
  readonly name: string;
  readonly type: string;
  /** A SQL expression, evaluated at each call. */
  readonly default?: string;
}

export type ProcedureBody =
  | { readonly language: 'sql'; readonly text: string; readonly statements: readonly BodyStatement[] }
  /** A list runs without a shell, a string by `/bin/sh -c`. */
  | { readonly language: 'command'; readonly command: string | readonly string[] }
  | { readonly language: 'javascript'; readonly path: string };

export interface BodyStatement {
  readonly text: string;
  /** Where it begins in the body's text. */
  readonly start: number;
}

export interface Pipeline {
  readonly kind: 'pipeline';
  readonly name: string;
  readonly params: Readonly<Record<string, ParameterValue>>;
  readonly steps: readonly PipelineStep[];
  /** One after another, on one connection, in one transaction. */
  readonly atomic: boolean;
  /** Handed to handlers. */
  readonly config: JsonObject;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly owner?: string;
  readonly timeoutMs?: DurationMs | null;
  readonly onComplete: readonly Action[];
  readonly onFail: readonly Action[];
  readonly onSkip: readonly Action[];
}

export interface PipelineStep {
  readonly name: string;
  readonly work: StepWork;
  /** Names of the steps it waits for, as they are written there; none: it starts at once. */
  readonly after: readonly string[];
  /** The name under which later steps find its rows. */
  readonly as?: string;
  /** The result, by its name, of whose rows each is an item. */
  readonly forEach?: string;
  /** How many items at once. */
  readonly parallel: number;
  readonly args: Readonly<Record<string, StepArgument>>;
  readonly config: JsonObject;
  readonly if?: string;
  /** What a failed `expect` says. */
  readonly message?: string;
  readonly description?: string;
  readonly timeoutMs?: DurationMs | null;
  readonly retry: RetryPolicy;
  readonly onEmpty: StepReaction;
  readonly onFail: StepReaction;
}

export type StepWork =
  | { readonly kind: 'query' | 'sql' | 'expect'; readonly text: string; readonly statements: readonly BodyStatement[] }
  | { readonly kind: 'call'; readonly routine: string }
  | { readonly kind: 'command'; readonly command: string | readonly string[] }
  | { readonly kind: 'handler'; readonly path: string }
  | { readonly kind: 'emit'; readonly event: string };

export type StepArgument =
  | ParameterValue
  /** `item.column`, or the first row of an earlier result: `low.quantity`. */
  | { readonly kind: 'reference'; readonly path: readonly string[] };

/** `skip` ends the pipeline as skipped, `abort` as failed, `continue` goes on with the next steps. */
export interface StepReaction {
  readonly kind: 'skip' | 'abort' | 'continue';
  readonly message?: string;
  readonly actions: readonly Action[];
}

/** Values that every run binds, whether or not its schedule names them. */
export const runParameters = ['run_id', 'schedule', 'scheduled_at', 'previous_at', 'attempt', 'last_success_at', 'parent_run_id'] as const;

/** A target's call as one text: a command's list as JSON. */
export function callText(call: string | readonly string[]): string {
  return typeof call === 'string' ? call : JSON.stringify(call);
}

/** Parameters as people see them: secrets by their name, expressions by their text. */
export function shownParameters(params: Readonly<Record<string, StepArgument>>): JsonObject {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, shownArgument(value)]));
}

function shownArgument(value: StepArgument): JsonValue {
  switch (value.kind) {
    case 'literal':
      return withEnvironmentNames(value.value);
    case 'env':
      return `env('${value.name}')`;
    case 'sql':
      return `sql('${value.text}')`;
    case 'reference':
      return value.path.join('.');
    default:
      return value satisfies never;
  }
}

/** The steps of a pipeline as people see them. */
export function shownSteps(steps: readonly PipelineStep[]): JsonObject[] {
  return steps.map((step) => ({
    name: step.name,
    ...(step.forEach === undefined ? {} : { for_each: step.forEach, parallel: step.parallel }),
    [step.work.kind]: shownWork(step.work),
    ...(Object.keys(step.args).length === 0 ? {} : { args: shownParameters(step.args) }),
    after: step.after,
    ...(step.as === undefined ? {} : { as: step.as }),
    ...(step.if === undefined ? {} : { if: step.if }),
    ...(step.message === undefined ? {} : { message: step.message }),
    ...(step.timeoutMs === undefined ? {} : { timeout: step.timeoutMs === null ? 'none' : formatDuration(step.timeoutMs) }),
    ...(step.retry.maxRetries === undefined || step.retry.maxRetries === 0 ? {} : { max_retries: step.retry.maxRetries }),
    on_empty: shownReaction(step.onEmpty),
    on_fail: shownReaction(step.onFail),
  }));
}

function shownReaction({ kind, message }: StepReaction): string {
  return message === undefined ? kind : `${kind}: ${message}`;
}

function shownWork(work: StepWork): JsonValue {
  switch (work.kind) {
    case 'query':
    case 'sql':
    case 'expect':
      return work.text;
    case 'call':
      return work.routine;
    case 'command':
      return work.command;
    case 'handler':
      return work.path;
    case 'emit':
      return work.event;
    default:
      return work satisfies never;
  }
}
