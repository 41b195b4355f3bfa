// What is known of work outside of the database before it begins: of a run that is one such piece of work, and of a pipeline's step.

import type { JsonObject, JsonValue } from '../../core/jsonValue.ts';
import { withEnvironment } from '../environment.ts';
import type { Procedure } from '../routine.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { resourcesOf } from './resources.ts';
import { bindGiven, type Given, jsonOfBindings, jsonOfGiven, type RunValues, secretsIn } from './runValues.ts';
import type { Bindings } from './statements.ts';
import type { TaskPlan } from './task.ts';

export interface PlannedTask {
  /** The executor's name. */
  readonly exe: string;
  readonly call: string | readonly string[];
  readonly procedure: Procedure | undefined;
  readonly step: string | null;
  readonly item: number | null;
  readonly attempt: number;
  readonly given: Readonly<Record<string, Given>>;
  /** What `sql('..')` and a procedure's parameters may name. */
  readonly own: Bindings;
  readonly config: JsonObject;
  readonly timeoutMs: number | null;
  /** Beside those that `given` and `config` hold. */
  readonly secrets?: readonly string[];
}

/** Asks DuckDB, where it has to compute a value. */
export type Compute = <T>(work: (connection: Connection) => Promise<T>) => Promise<T>;

export async function planTask(values: RunValues, task: PlannedTask, compute: Compute): Promise<TaskPlan> {
  const { run, schedule, environment } = values;
  const { given, own, procedure, config } = task;
  const params: Record<string, JsonValue> =
    jsonOfGiven(given, procedure, environment) ??
    jsonOfBindings(
      await compute((connection) => bindGiven(connection, { own, given, procedure, environment })),
      procedure?.parameters.map((parameter) => parameter.name) ?? Object.keys(given),
    );
  const instant = (at: number | null): Date | null => (at === null ? null : new Date(at));
  return {
    jobId: run.schedule === '' ? run.call : run.schedule,
    executionId: run.runId,
    runId: run.runId,
    exe: task.exe,
    call: task.call,
    step: task.step,
    item: task.item,
    params,
    config: withEnvironment(config, environment, 'config') as JsonObject,
    scheduledAt: new Date(run.scheduledAt),
    previousAt: instant(values.previousAt),
    lastSuccessAt: instant(values.counters.lastSuccessAt),
    parentRunId: run.parentRunId,
    attempt: task.attempt,
    retryOf: run.retryOf,
    resources: resourcesOf(schedule.resources),
    isolation: schedule.isolation,
    timeoutMs: task.timeoutMs,
    secrets: [...new Set([...secretsIn(given, config, environment), ...(task.secrets ?? [])])],
  };
}
