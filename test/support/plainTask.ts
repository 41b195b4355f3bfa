// A task as its run would give it, for tests of executors without a database.

import type { Task } from '../../src/engine/executors/executor.ts';

export function plainTask(details: Partial<Task> & Pick<Task, 'call'>): Task {
  const refuse = async (): Promise<never> => {
    throw new Error('there is no database');
  };
  const quiet = (): void => {};
  return {
    jobId: 'job',
    executionId: 'run',
    runId: 'run',
    exe: 'handler',
    step: null,
    item: null,
    params: {},
    config: {},
    scheduledAt: new Date(0),
    previousAt: null,
    lastSuccessAt: null,
    parentRunId: null,
    attempt: 1,
    resources: {},
    isolation: 'thread',
    timeoutMs: null,
    signal: new AbortController().signal,
    progress: quiet,
    log: quiet,
    services: {
      logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      database: { query: refuse, transaction: { query: refuse } },
      http: { request: refuse, get: refuse, post: refuse },
    },
    secrets: [],
    ...details,
  };
}
