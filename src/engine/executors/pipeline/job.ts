// A run of a pipeline, as both ways of carrying one out know it: step by step, and in one transaction.

import type { JsonObject } from '../../../core/jsonValue.ts';
import { nameKey } from '../../../core/name.ts';
import type { Clock } from '../../../scheduler/clock.ts';
import type { ParameterValue } from '../../../scheduler/schedule.ts';
import type { Admission } from '../../admission.ts';
import type { Pipeline, PipelineStep, Procedure } from '../../routine.ts';
import type { RunLog } from '../../runLogs.ts';
import { Catalogue } from '../../store/duckdb/catalogue.ts';
import { type Connection, Typed } from '../../store/duckdb/connection.ts';
import type { NativeDatabase } from '../../store/duckdb/native.ts';
import type { Sql } from '../../store/duckdb/sql.ts';
import type { Ending } from '../ending.ts';
import type { Registry } from '../registry.ts';
import { type Given, givenBy, ownValues, type RunValues } from '../runValues.ts';
import type { Bindings } from '../statements.ts';
import type { OpenTask, TaskPlan } from '../task.ts';
import { type KnownResult, type Place, readPortion, resultsOf } from './results.ts';

export interface PipelineParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
}

export interface PipelineJob extends RunValues {
  readonly pipeline: Pipeline;
  /** Of a pipeline of which one step runs alone: what the others would have kept. */
  readonly foreignResults: readonly KnownResult[];
  readonly timeoutMs: number | null;
  /** Of commands and handlers that name none. */
  readonly taskTimeoutMs: number | null;
  readonly resultRows: number;
  /** undefined: a dry run. */
  readonly ending: Ending | undefined;
  readonly executors: Registry;
  readonly log: RunLog;
  progress(fraction: number | null, message: string | null): void;
  openTask(plan: TaskPlan, signal: AbortSignal, progress: PipelineJob['progress']): OpenTask;
  /** Held after two conflicts. */
  locked<T>(work: () => Promise<T>): Promise<T>;
}

/** The defaults of the pipeline, over them the schedule's parameters, and over those what WITH replaces. */
export function givenToPipeline(job: PipelineJob): Record<string, ParameterValue> {
  const over = new Map(Object.entries(givenBy(job)).map(([name, value]) => [nameKey(name), value]));
  return Object.fromEntries(Object.entries(job.pipeline.params).map(([name, value]) => [name, over.get(nameKey(name)) ?? value]));
}

/** What every run has; a pipeline that was run by its name has no schedule. */
export function ownOf(job: PipelineJob): Bindings {
  const own = ownValues(job);
  return job.run.schedule === '' ? new Map([...own, ['schedule', new Typed({ value: null, type: { kind: 'VARCHAR' } })]]) : own;
}

/** One of a for_each: the values that the step's arguments name, by `pathKey`. */
export interface Item {
  readonly index: number;
  readonly values: ReadonlyMap<string, Typed>;
}

export const pathKey = (path: readonly string[]): string => JSON.stringify(path.map(nameKey));

/** The columns of an item that a step's arguments name, without the word `item`. */
export function itemPaths({ args }: PipelineStep): (readonly string[])[] {
  const paths = new Map<string, readonly string[]>();
  for (const argument of Object.values(args)) {
    if (argument.kind !== 'reference' || nameKey(argument.path[0] ?? '') !== 'item') continue;
    const path = argument.path.slice(1);
    paths.set(pathKey(path), path);
  }
  return [...paths.values()];
}

/** A step's arguments, with the values of what they refer to. */
export async function givenToStep(
  { args }: PipelineStep,
  item: Item | null,
  firstOf: (result: string, path: readonly string[]) => Promise<Typed>,
): Promise<Record<string, Given>> {
  const given: Record<string, Given> = {};
  for (const [name, argument] of Object.entries(args)) {
    if (argument.kind !== 'reference') {
      given[name] = argument;
      continue;
    }
    const [head = '', ...path] = argument.path;
    given[name] = nameKey(head) === 'item' ? (item?.values.get(pathKey(path)) ?? noValue) : await firstOf(head, path);
  }
  return given;
}

const noValue = new Typed({ value: null, type: { kind: 'NULL' } });

/** What the first row of a result holds; NULL where it is empty. */
export async function firstIn(connection: Connection, result: KnownResult, path: readonly string[], place: Place): Promise<Typed> {
  const { rows } = await readPortion(connection, result, [path], { place, from: 0, most: 1 });
  return rows[0]?.[0] ?? noValue;
}

/** The graph as its steps need it. */
export class Graph {
  readonly steps: ReadonlyMap<string, PipelineStep>;
  readonly #results: ReadonlyMap<string, KnownResult>;
  readonly #visible = new Map<string, readonly KnownResult[]>();

  constructor({ pipeline, foreignResults }: Pick<PipelineJob, 'pipeline' | 'foreignResults'>) {
    this.steps = new Map(pipeline.steps.map((step) => [step.name, step]));
    const results = [...resultsOf(pipeline.steps), ...foreignResults];
    this.#results = new Map(results.map((result) => [nameKey(result.name), result]));
    for (const step of pipeline.steps) {
      const before = this.#ancestors(step);
      const foreign = new Set(foreignResults);
      this.#visible.set(
        step.name,
        results.filter((result) => before.has(result.step) || foreign.has(result)),
      );
    }
  }

  get all(): readonly KnownResult[] {
    return [...this.#results.values()];
  }

  result(name: string): KnownResult | undefined {
    return this.#results.get(nameKey(name));
  }

  /** What steps before this one keep. */
  visibleTo(step: PipelineStep): readonly KnownResult[] {
    return this.#visible.get(step.name) ?? [];
  }

  #ancestors(step: PipelineStep): ReadonlySet<string> {
    const found = new Set<string>();
    const waiting = [...step.after];
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      if (found.has(name)) continue;
      found.add(name);
      waiting.push(...(this.steps.get(name)?.after ?? []));
    }
    return found;
  }
}

/** The procedures that steps call, each looked up once for a run. */
export class Procedures {
  readonly #known = new Map<string, Procedure | undefined>();

  async of({ work }: PipelineStep, connection: Connection, sql: Sql): Promise<Procedure | undefined> {
    if (work.kind !== 'call') return undefined;
    const key = nameKey(work.routine);
    if (!this.#known.has(key)) {
      const routine = (await new Catalogue(connection, sql).routine(work.routine))?.routine;
      this.#known.set(key, routine?.kind === 'procedure' ? routine : undefined);
    }
    return this.#known.get(key);
  }
}

/** What handlers of a step are configured with: the schedule's over the pipeline's, and the step's over both. */
export function configOf({ pipeline, schedule }: PipelineJob, step: PipelineStep): JsonObject {
  return { ...pipeline.config, ...schedule.config, ...step.config };
}
