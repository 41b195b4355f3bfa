// What a schedule calls: procedures and pipelines, which share one namespace. Plain data, bound once at definition.

import type { DurationMs } from '../core/duration.ts';
import type { Action, ParameterValue, RetryPolicy } from '../scheduler/schedule.ts';

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
  readonly atomic: boolean;
  readonly description?: string;
  readonly timeoutMs?: DurationMs | null;
  readonly onComplete: readonly Action[];
  readonly onFail: readonly Action[];
}

export interface PipelineStep {
  readonly name: string;
  readonly work: StepWork;
  /** Names of steps; the steps run in the order written where nothing is said. */
  readonly after: readonly string[];
  readonly as?: string;
  readonly forEach?: string;
  readonly parallel: number;
  readonly args: Readonly<Record<string, StepArgument>>;
  readonly if?: string;
  readonly message?: string;
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

export type StepArgument = ParameterValue | { readonly kind: 'reference'; readonly path: readonly string[] };

export interface StepReaction {
  readonly kind: 'skip' | 'abort' | 'continue';
  readonly message?: string;
}

/** Values that every run binds, whether or not its schedule names them. */
export const runParameters = ['run_id', 'schedule', 'scheduled_at', 'previous_at', 'attempt', 'last_success_at', 'parent_run_id'] as const;

/** A target's call as one text: a command's list as JSON. */
export function callText(call: string | readonly string[]): string {
  return typeof call === 'string' ? call : JSON.stringify(call);
}
