// A task with all that only its run can give it: what ends it, its log, what it may use.

import type { RunLog } from '../runLogs.ts';
import type { NativeDatabase } from '../store/duckdb/native.ts';
import type { Task, TaskLine } from './executor.ts';
import { openServices } from './services.ts';
import type { OpenTask, TaskPlan } from './task.ts';

export interface OpenTaskParts {
  readonly database: NativeDatabase;
  readonly log: RunLog;
  readonly signal: AbortSignal;
  progress(fraction: number | null, message: string | null): void;
}

export function openTask(plan: TaskPlan, parts: OpenTaskParts): OpenTask {
  const log = ({ stream, level, text }: TaskLine): void => {
    parts.log.write({ step: plan.step, stream, level, line: masked(text, plan.secrets) });
  };
  const { services, transaction, close } = openServices({ database: parts.database, signal: parts.signal, log });
  const task: Task = {
    ...plan,
    signal: parts.signal,
    services,
    log,
    progress: (fraction, message = null) => parts.progress(fraction, message),
  };
  return { task, transaction, close };
}

/** A secret has no place in a log, even where the work itself prints it. */
export function masked(text: string, secrets: readonly string[]): string {
  return secrets.reduce((line, secret) => line.replaceAll(secret, '***'), text);
}
