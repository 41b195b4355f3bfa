// A task with all that only its run can give it: what ends it, its log, what it may use.

import type { RunLog } from '../runLogs.ts';
import type { Task, TaskLine } from './executor.ts';
import { Secrets } from './secrets.ts';
import { openServices, type ServiceParts } from './services.ts';
import type { OpenTask, TaskPlan } from './task.ts';

export interface OpenTaskParts extends Omit<ServiceParts, 'log'> {
  readonly log: RunLog;
  progress(fraction: number | null, message: string | null): void;
}

export function openTask(plan: TaskPlan, parts: OpenTaskParts): OpenTask {
  const secrets = new Secrets(plan.secrets);
  const log = ({ stream, level, text }: TaskLine): void => {
    parts.log.write({ step: plan.step, stream, level, line: secrets.masked(text) });
  };
  const { services, transaction, close } = openServices({ ...parts, log });
  const task: Task = {
    ...plan,
    signal: parts.signal,
    services,
    log,
    mostLines: parts.log.mostLines,
    drop: (count) => parts.log.drop(count),
    progress: (fraction, message = null) => parts.progress(fraction, message === null ? null : secrets.masked(message)),
  };
  return {
    task,
    transaction: async () => {
      const connection = await transaction();
      // It is about to commit together with the row that closes the run.
      if (connection !== undefined) await parts.log.flush();
      return connection;
    },
    close,
  };
}
