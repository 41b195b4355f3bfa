// What a run knows: the values that every run has, and those that its definition gives it. SQL gets them bound under their names,
// work outside of the database as JSON.

import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import type { JsonValue } from '../../core/jsonValue.ts';
import type { Counters, OpenRun } from '../../scheduler/run.ts';
import type { ParameterValue, Schedule } from '../../scheduler/schedule.ts';
import { type Environment, environmentNames, environmentValue, withEnvironment } from '../environment.ts';
import type { Procedure } from '../routine.ts';
import { type Connection, Typed } from '../store/duckdb/connection.ts';
import { literal } from '../store/duckdb/literal.ts';
import { jsonOf, TimestampTz, toParameter, type Value } from '../value.ts';
import { firstValue } from './firstRows.ts';
import { type Bindings, type Expression, evaluate, used } from './statements.ts';

export interface RunValues {
  readonly run: OpenRun;
  readonly schedule: Schedule;
  readonly counters: Counters;
  /** The cadence's fire before this one. */
  readonly previousAt: Instant | null;
  /** The schedule's zone: what `current_date` and a date made of `$scheduled_at` mean in the body. */
  readonly zone: string;
  readonly environment: Environment;
}

/** A value as it is written, or one that is known already: a column of a step's result. */
export type Given = ParameterValue | Typed;

/** The first value of a schedule's `when`, which knows what the run will know; undefined where it answers no row. A question changes nothing. */
export async function readCondition(connection: Connection, condition: string, values: RunValues): Promise<Value | undefined> {
  await connection.send(`SET TimeZone = ${literal(values.zone)}; BEGIN`, 'open');
  try {
    const bindings = await bindRun(connection, values, undefined);
    return await firstValue(connection, condition, used(condition, bindings));
  } finally {
    await connection.rollback();
  }
}

/** The values every run has, then the schedule's parameters, each of its procedure's type. */
export function bindRun(connection: Connection, values: RunValues, procedure: Procedure | undefined): Promise<Bindings> {
  return bindGiven(connection, { own: ownValues(values), given: givenBy(values), procedure, environment: values.environment });
}

/** What a schedule gives, and what WITH puts in its place. */
export function givenBy({ run, schedule }: Pick<RunValues, 'run' | 'schedule'>): Readonly<Record<string, ParameterValue>> {
  const replaced = Object.entries(run.params).map(([name, value]) => [name, { kind: 'literal', value }] as const);
  return { ...schedule.params, ...Object.fromEntries(replaced) };
}

/** The values that every run has. */
export function ownValues({ run, previousAt, counters }: RunValues): Bindings {
  const instant = (at: Instant | null): Typed =>
    new Typed({ value: at === null ? null : TimestampTz.fromEpochMs(at), type: { kind: 'TIMESTAMPTZ' } });
  return new Map<string, Typed>([
    ['run_id', typed(run.runId)],
    ['schedule', typed(run.schedule)],
    ['scheduled_at', instant(run.scheduledAt)],
    ['previous_at', instant(previousAt)],
    ['attempt', typed(run.attempt)],
    ['last_success_at', instant(counters.lastSuccessAt)],
    ['parent_run_id', new Typed({ value: run.parentRunId, type: { kind: 'VARCHAR' } })],
  ]);
}

export interface GivenValues {
  readonly own: Bindings;
  readonly given: Readonly<Record<string, Given>>;
  /** Gives each value its parameter's type, and those that are not given their defaults. */
  readonly procedure: Procedure | undefined;
  readonly environment: Environment;
}

/** `own`, and over them what is given. */
export async function bindGiven(connection: Connection, { own, given, procedure, environment }: GivenValues): Promise<Bindings> {
  const bindings = new Map(own);
  const expressions = new Map<string, Expression>();
  for (const [name, value] of Object.entries(given)) {
    const target = procedure?.parameters.find((known) => known.name.toLowerCase() === name.toLowerCase())?.name ?? name;
    const bind = (bound: Typed, expression = `$${target}`): void => {
      bindings.set(target.toLowerCase(), bound);
      expressions.set(target, { text: expression });
    };
    if (value instanceof Typed) {
      bind(value);
      continue;
    }
    switch (value.kind) {
      case 'literal': {
        const read = withEnvironment(value.value, environment, name);
        const nested = read !== null && typeof read === 'object';
        // A typed parameter takes a nested value from JSON, which casts to every nested type, MAP included.
        if (procedure !== undefined && nested) bind(typed(JSON.stringify(read)), `$${target}::JSON`);
        else bind(naturalValue(read), nested ? `$${target}::JSON` : `$${target}`);
        break;
      }
      case 'env':
        bind(typed(environmentValue(value.name, environment, name)));
        break;
      case 'sql':
        bind(await evaluated(connection, name, value.text, own));
        break;
      default:
        value satisfies never;
    }
  }
  return procedure === undefined ? bindings : evaluate(procedure, expressions, bindings, connection);
}

/** The given values as JSON, for work outside of the database. undefined: DuckDB has to be asked, see `jsonOfBindings`. */
export function jsonOfGiven(
  given: Readonly<Record<string, Given>>,
  procedure: Procedure | undefined,
  environment: Environment,
): Record<string, JsonValue> | undefined {
  if (procedure !== undefined && procedure.parameters.length > 0) return undefined;
  const values: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value instanceof Typed) values[name] = jsonOf(value.parameter.value, value.parameter.type);
    else if (value.kind === 'literal') values[name] = withEnvironment(value.value, environment, name);
    else if (value.kind === 'env') values[name] = environmentValue(value.name, environment, name);
    else return undefined;
  }
  return values;
}

/** Those of `names` as JSON. */
export function jsonOfBindings(bindings: Bindings, names: readonly string[]): Record<string, JsonValue> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const bound = bindings.get(name.toLowerCase())?.parameter;
      return bound === undefined ? [] : [[name, jsonOf(bound.value, bound.type)] as const];
    }),
  );
}

/** What `env('..')` gives to these values: never to be written down. */
export function secretsIn(given: Readonly<Record<string, Given>>, config: JsonValue, environment: Environment): string[] {
  const names = new Set(environmentNames(config));
  for (const value of Object.values(given)) {
    if (value instanceof Typed) continue;
    if (value.kind === 'env') names.add(value.name);
    else if (value.kind === 'literal') for (const name of environmentNames(value.value)) names.add(name);
  }
  return [...names].flatMap((name) => environment[name] ?? []).filter((secret) => secret !== '');
}

/** What `sql('..')` comes to. It may name what every run has: so a follower reads what its parent answered. */
async function evaluated(connection: Connection, name: string, expression: string, own: Bindings): Promise<Typed> {
  try {
    const { columns, rows } = await connection.table(`SELECT (${expression}\n)`, used(expression, own));
    return new Typed({ value: rows[0]?.[0] ?? null, type: columns[0]?.type ?? { kind: 'NULL' } });
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    throw new Diagnostic(error.code, `parameter ${name}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function typed(value: unknown): Typed {
  return new Typed(toParameter(value));
}

/** A list as LIST, an object as STRUCT; what has no such type (an empty object, a list of unlike items) as JSON. */
function naturalValue(value: JsonValue): Typed {
  try {
    return typed(value);
  } catch (error) {
    if (!(error instanceof Diagnostic)) throw error;
    return new Typed({ value: JSON.stringify(value), type: { kind: 'JSON' } });
  }
}
