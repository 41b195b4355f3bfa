// Schedules as the scheduler holds them, read for a million at once: what decides is the same for thousands of them, so each shape
// of it is read once. DuckDB tells by a hash which schedules have one shape; the bound value of one of them then stands for all.
// A row that cannot be read is told, and keeps nobody else from being read.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { type CalendarDays, type Timing, validateZone } from '../../../scheduler/cadence/cadence.ts';
import type { DefinitionChange } from '../../../scheduler/ports.ts';
import { type Definition, type Policy, priorities, type Schedule } from '../../../scheduler/schedule.ts';
import type { Connection } from './connection.ts';

/** By folded name; undefined days: its row cannot be read. */
export type Calendars = ReadonlyMap<string, CalendarDays | undefined>;

/** What thousands of schedules have in common, or why they cannot be read. */
type Shape = { readonly policy: Policy; readonly timing: Timing | undefined } | { readonly problem: string };

/** What a decision may depend on. */
const deciding = [
  'maxRuns',
  'overlap',
  'overlapLimit',
  'catchup',
  'catchupLimit',
  'catchupWithinMs',
  'after',
  'afterState',
  'queue',
  'priority',
  'retry',
  'disableAfterFailures',
  'onCrash',
  'onComplete',
  'onFail',
  'onSkip',
  'timeoutMs',
  'resources',
] as const satisfies readonly (keyof Policy)[];

const paths = ['timing', ...deciding].map((key) => `'$.${key}'`).join(', ');

/**
 * The key of jitter is the schedule's own name, so it is no part of a shape; where it matters it is read for each. The hash has 64
 * bits: among a million shapes the odds that two fall together are one in forty million.
 */
const rows = (ledger: string, where: string): string => `
  SELECT schedule_id::DOUBLE, name, version::DOUBLE, enabled, epoch_ms(effective_from)::DOUBLE, exe, call,
    CASE WHEN parts IS NOT NULL THEN hash(replace(parts[1]::VARCHAR, '"jitterKey":' || to_json(lower(name))::VARCHAR, ''), parts[2:]) END,
    CASE WHEN NOT contains(parts[1]::VARCHAR, '"jitterMs":0,') THEN parts[1]->>'$.jitterKey' END
  FROM (
    SELECT schedule_id, name, version, enabled, effective_from, exe, call, TRY(json_extract(bound, [${paths}])) AS parts
    FROM ${ledger}.schedule s ${where}
  )`;

/** Filled in when its shape is known. */
type Draft = { -readonly [Key in keyof Definition]: Definition[Key] };

/** Of one shape: where its schedules stand among the changes. */
interface Alike {
  readonly sampleId: number;
  readonly places: number[];
}

/** `where` chooses among the rows of schedule, called `s`. */
export async function readDefinitions(
  connection: Connection,
  ledger: string,
  calendars: Calendars,
  where = '',
): Promise<DefinitionChange[]> {
  const changes: DefinitionChange[] = [];
  const alike = new Map<bigint, Alike>();
  const jitterKeys = new Map<number, string>();
  const texts = new Texts();
  await connection.eachChunk(rows(ledger, where), (columns, rowCount) => {
    const [ids, names, versions, enabled, effectiveFrom, exes, calls, shapes, keys] = columns;
    for (let row = 0; row < rowCount; row++) {
      const scheduleId = Number(ids?.[row]);
      const name = String(names?.[row]);
      const version = Number(versions?.[row]);
      const shape = shapes?.[row];
      if (typeof shape !== 'bigint') {
        changes.push({ kind: 'unreadable', scheduleId, name, version, message: 'its bound value is not JSON' });
        continue;
      }
      const key = keys?.[row];
      if (typeof key === 'string') jitterKeys.set(changes.length, key);
      const known = alike.get(shape);
      if (known === undefined) alike.set(shape, { sampleId: scheduleId, places: [changes.length] });
      else known.places.push(changes.length);
      const definition: Draft = {
        scheduleId,
        name,
        version,
        enabled: enabled?.[row] === true,
        effectiveFrom: Number(effectiveFrom?.[row]),
        exe: texts.shared(String(exes?.[row])),
        call: texts.shared(String(calls?.[row] ?? '')),
        timing: undefined,
        policy: unknownPolicy,
      };
      changes.push({ kind: 'defined', definition });
    }
  });
  const shapes = await readShapes(connection, ledger, calendars, alike);
  for (const [key, { places }] of alike) {
    const shape = shapes.get(key) ?? { problem: 'its bound value is gone' };
    for (const place of places) {
      const change = changes[place];
      if (change?.kind === 'defined') changes[place] = finish(change, shape, jitterKeys.get(place));
    }
  }
  return changes;
}

function finish(change: Extract<DefinitionChange, { kind: 'defined' }>, shape: Shape, jitterKey: string | undefined): DefinitionChange {
  const definition: Draft = change.definition;
  if ('problem' in shape) {
    const { scheduleId, name, version } = definition;
    return { kind: 'unreadable', scheduleId, name, version, message: shape.problem };
  }
  const { policy, timing } = shape;
  definition.policy = policy;
  definition.timing = timing === undefined || jitterKey === undefined || timing.jitterKey === jitterKey ? timing : { ...timing, jitterKey };
  return change;
}

/** Where the shapes are many, their texts are read in portions. */
const shapesAtOnce = 2000;

async function readShapes(
  connection: Connection,
  ledger: string,
  calendars: Calendars,
  alike: ReadonlyMap<bigint, Alike>,
): Promise<Map<bigint, Shape>> {
  const shapeOf = new Map([...alike].map(([shape, { sampleId }]) => [sampleId, shape]));
  const shapes = new Map<bigint, Shape>();
  const policies = new Map<string, Policy>();
  const samples = [...shapeOf.keys()];
  for (let from = 0; from < samples.length; from += shapesAtOnce) {
    const ids = samples.slice(from, from + shapesAtOnce).join(', ');
    const { rows: found } = await connection.table(
      `SELECT schedule_id::DOUBLE, bound::VARCHAR FROM ${ledger}.schedule WHERE schedule_id IN (${ids})`,
    );
    for (const [id, bound] of found) {
      const key = shapeOf.get(Number(id));
      if (key !== undefined) shapes.set(key, readShape(String(bound), calendars, policies));
    }
  }
  return shapes;
}

function readShape(bound: string, calendars: Calendars, policies: Map<string, Policy>): Shape {
  try {
    const value = JSON.parse(bound) as JsonValue;
    if (!isObject(value)) throw new Diagnostic('internal', 'its bound value is not an object');
    const read = policyOf(value);
    const key = JSON.stringify(read);
    const policy = policies.get(key) ?? read;
    policies.set(key, policy);
    return { policy, timing: timingOf(value['timing'], calendars) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

type Check = (value: JsonValue) => boolean;

const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number';
const isList: Check = (value) => Array.isArray(value);
const isOneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && words.includes(value);

/** Of fields that are always there; nothing after this doubts them. */
const required: Readonly<Partial<Record<(typeof deciding)[number], Check>>> = {
  overlap: isOneOf('skip', 'queue', 'allow', 'replace'),
  overlapLimit: isNumber,
  catchupLimit: isNumber,
  catchupWithinMs: isNumber,
  after: (value) => Array.isArray(value) && value.every(isText),
  afterState: isOneOf('success', 'failure', 'any'),
  queue: isText,
  priority: isOneOf(...priorities),
  retry: (value) =>
    isObject(value) && isOneOf('exponential', 'linear', 'fixed')(value['backoff'] ?? null) && isNumber(value['maxDelayMs'] ?? null),
  disableAfterFailures: isNumber,
  onCrash: isOneOf('retry', 'fail'),
  onComplete: isList,
  onFail: isList,
  onSkip: isList,
};

/** And of those that may be missing. */
const optional: typeof required = {
  maxRuns: isNumber,
  catchup: isOneOf('none', 'latest', 'all'),
  timeoutMs: (value) => value === null || isNumber(value),
  resources: isObject,
};

function policyOf(bound: Readonly<Record<string, JsonValue>>): Policy {
  for (const field of Object.keys(required))
    if (bound[field] === undefined) throw new Diagnostic('internal', `its bound value has no '${field}'`);
  for (const [field, isRight] of Object.entries({ ...required, ...optional })) {
    const value = bound[field];
    if (value !== undefined && !isRight(value))
      throw new Diagnostic('internal', `its bound value has a wrong '${field}': ${JSON.stringify(value)}`);
  }
  return Object.fromEntries(
    deciding.filter((field) => bound[field] !== undefined).map((field) => [field, bound[field]]),
  ) as unknown as Policy;
}

const cadenceKinds: ReadonlySet<JsonValue | undefined> = new Set(['cron', 'interval', 'once', 'words', 'reboot']);

function timingOf(bound: JsonValue | undefined, calendars: Calendars): Timing | undefined {
  if (bound === undefined) return undefined;
  if (!isObject(bound)) throw new Diagnostic('internal', "its bound value has a wrong 'timing'");
  const { cadences, zone, jitterMs } = bound;
  if (!Array.isArray(cadences) || cadences.some((cadence: JsonValue) => !isObject(cadence) || !cadenceKinds.has(cadence['kind']))) {
    throw new Diagnostic('internal', 'its bound value has a cadence of an unknown kind');
  }
  if (typeof zone !== 'string' || typeof jitterMs !== 'number') throw new Diagnostic('internal', "its bound value has a wrong 'timing'");
  // Zones come and go with the data that a system has of them.
  validateZone(zone);
  const { calendarName, ...timing } = bound as unknown as NonNullable<Schedule['timing']>;
  if (calendarName === undefined) return timing;
  const key = calendarName.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const calendar = calendars.get(key);
  if (calendar !== undefined) return { ...timing, calendar };
  throw new Diagnostic('internal', `its calendar ${calendarName} ${calendars.has(key) ? 'cannot be read' : 'does not exist'}`);
}

/** Stands in a draft until its shape is known, and in nothing that leaves this file. */
const unknownPolicy = {} as Policy;

/** Equal texts are kept once, as far as a bounded memory knows them. */
class Texts {
  readonly #known = new Map<string, string>();

  shared(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size < 10_000) this.#known.set(text, text);
    return text;
  }
}

function isObject(value: JsonValue): value is Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
