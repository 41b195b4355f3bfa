// Schedules as the scheduler holds them, read for a million at once: what decides is the same for thousands of them, so each shape
// of it is read once. DuckDB tells by a hash which schedules have one shape; the bound value of one of them then stands for all.
// A row that cannot be read is told, and keeps nobody else from being read.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { type CalendarDays, type Timing, validateZone } from '../../../scheduler/cadence/cadence.ts';
import type { DefinitionChange } from '../../../scheduler/ports.ts';
import { type Policy, priorities, type Schedule } from '../../../scheduler/schedule.ts';
import type { Value } from '../../value.ts';
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
 * bits: among a million shapes the odds that two fall together are one in forty million. DuckDB's own `hash` takes a third of the time
 * and is of no use here: of a thousand timings that differ in two places, by the same digits, it gave 65 the number of another.
 */
const rows = (ledger: string, where: string): string => `
  SELECT schedule_id::DOUBLE, name, version::DOUBLE, enabled, epoch_ms(effective_from)::DOUBLE, exe, call,
    CASE WHEN parts IS NOT NULL THEN md5_number_lower(
      coalesce(replace(parts[1]::VARCHAR, '"jitterKey":' || to_json(lower(name))::VARCHAR, ''), '') || parts[2:]::VARCHAR
    ) END,
    CASE WHEN NOT contains(parts[1]::VARCHAR, '"jitterMs":0,') THEN parts[1]->>'$.jitterKey' END
  FROM (
    SELECT schedule_id, name, version, enabled, effective_from, exe, call, TRY(json_extract(bound, [${paths}])) AS parts
    FROM ${ledger}.schedule s ${where}
  )`;

/** Of a portion. */
const rowsAtOnce = 250_000;

interface Reading {
  /** Chooses among the rows of schedule, called `s`. */
  readonly which?: string;
  /** Reads in portions, and calls this after each: what was read of the table is not needed any more. */
  letGo?(): Promise<void>;
}

export async function readDefinitions(
  connection: Connection,
  ledger: string,
  calendars: Calendars,
  { which, letGo }: Reading = {},
): Promise<Iterable<DefinitionChange>> {
  const columns = new Columns();
  const read = (where: string): Promise<void> =>
    connection.eachChunk(rows(ledger, where), (chunk, rowCount) => columns.add(chunk, rowCount));
  // Rows that this connection has not committed have numbers of their own, far behind all others.
  if (letGo === undefined) await read(which ?? '');
  else {
    const [newest] = (await connection.table(`SELECT max(rowid)::DOUBLE FROM ${ledger}.schedule`)).rows;
    for (let from = 0; from <= Number(newest?.[0] ?? -1); from += rowsAtOnce) {
      await read(`WHERE s.rowid >= ${from} AND s.rowid < ${from + rowsAtOnce}`);
      await letGo();
    }
  }
  return new StoredDefinitions(columns, await readShapes(connection, ledger, calendars, columns.samples));
}

/**
 * Those that have changed: too few to share anything worth a second statement, and a third of what it takes to ask for hashes.
 * `which` chooses among the rows of schedule, called `s`.
 */
export async function readFewDefinitions(
  connection: Connection,
  ledger: string,
  calendars: Calendars,
  which: string,
): Promise<DefinitionChange[]> {
  const { rows: found } = await connection.table(`
    SELECT schedule_id::DOUBLE, name, version::DOUBLE, enabled, epoch_ms(effective_from)::DOUBLE, exe, call, bound::VARCHAR
    FROM ${ledger}.schedule s ${which}`);
  const policies = new Map<string, Policy>();
  return found.map(([id, nameValue, versionValue, enabled, effectiveFrom, exe, call, bound]): DefinitionChange => {
    const known = { scheduleId: Number(id), name: String(nameValue), version: Number(versionValue) };
    const shape = readShape(String(bound), calendars, policies);
    if ('problem' in shape) return { kind: 'unreadable', ...known, message: shape.problem };
    const others = { enabled: enabled === true, effectiveFrom: Number(effectiveFrom), exe: String(exe), call: String(call ?? '') };
    return { kind: 'defined', definition: { ...known, ...others, ...shape } };
  });
}

/** Rows as they were read: as objects a million of them would be made, held all at once, and thrown away. */
class Columns {
  readonly ids: number[] = [];
  readonly names: string[] = [];
  readonly versions: number[] = [];
  readonly enabled: boolean[] = [];
  readonly effectiveFrom: number[] = [];
  readonly exes: string[] = [];
  readonly calls: string[] = [];
  /** Which shape they have; -1: none that can be read. */
  readonly shapes: number[] = [];
  /** By row, where it matters. */
  readonly jitterKeys = new Map<number, string>();
  /** Of each shape, the id of one schedule that has it. */
  readonly samples: number[] = [];
  readonly #shapes = new Map<bigint, number>();
  readonly #texts = new Texts();

  add([ids, names, versions, enabled, effectiveFrom, exes, calls, shapes, keys]: readonly Value[][], rowCount: number): void {
    for (let row = 0; row < rowCount; row++) {
      const key = keys?.[row];
      if (typeof key === 'string') this.jitterKeys.set(this.ids.length, key);
      this.shapes.push(this.#shape(shapes?.[row], Number(ids?.[row])));
      this.ids.push(Number(ids?.[row]));
      this.names.push(String(names?.[row]));
      this.versions.push(Number(versions?.[row]));
      this.enabled.push(enabled?.[row] === true);
      this.effectiveFrom.push(Number(effectiveFrom?.[row]));
      this.exes.push(this.#texts.shared(String(exes?.[row])));
      this.calls.push(this.#texts.shared(String(calls?.[row] ?? '')));
    }
  }

  #shape(hash: Value | undefined, scheduleId: number): number {
    if (typeof hash !== 'bigint') return -1;
    let shape = this.#shapes.get(hash);
    if (shape === undefined) {
      shape = this.samples.push(scheduleId) - 1;
      this.#shapes.set(hash, shape);
    }
    return shape;
  }
}

class StoredDefinitions implements Iterable<DefinitionChange> {
  readonly #columns: Columns;
  readonly #shapes: readonly (Shape | undefined)[];

  constructor(columns: Columns, shapes: readonly (Shape | undefined)[]) {
    this.#columns = columns;
    this.#shapes = shapes;
  }

  *[Symbol.iterator](): Generator<DefinitionChange> {
    for (let row = 0; row < this.#columns.ids.length; row++) yield this.#change(row);
  }

  #change(row: number): DefinitionChange {
    const columns = this.#columns;
    const scheduleId = columns.ids[row] ?? 0;
    const name = columns.names[row] ?? '';
    const version = columns.versions[row] ?? 0;
    const place = columns.shapes[row] ?? -1;
    const shape = place < 0 ? { problem: 'its bound value is not JSON' } : (this.#shapes[place] ?? { problem: 'its bound value is gone' });
    if ('problem' in shape) return { kind: 'unreadable', scheduleId, name, version, message: shape.problem };
    const { policy, timing } = shape;
    const jitterKey = columns.jitterKeys.get(row);
    return {
      kind: 'defined',
      definition: {
        scheduleId,
        name,
        version,
        enabled: columns.enabled[row] === true,
        effectiveFrom: columns.effectiveFrom[row] ?? 0,
        exe: columns.exes[row] ?? '',
        call: columns.calls[row] ?? '',
        timing: timing === undefined || jitterKey === undefined || timing.jitterKey === jitterKey ? timing : { ...timing, jitterKey },
        policy,
      },
    };
  }
}

/** Where the shapes are many, their texts are read in portions. */
const shapesAtOnce = 2000;

/** In the order of `samples`; undefined: gone. */
async function readShapes(
  connection: Connection,
  ledger: string,
  calendars: Calendars,
  samples: readonly number[],
): Promise<(Shape | undefined)[]> {
  const shapes = new Map<number, Shape>();
  const policies = new Map<string, Policy>();
  for (let from = 0; from < samples.length; from += shapesAtOnce) {
    const ids = samples.slice(from, from + shapesAtOnce).join(', ');
    const { rows: found } = await connection.table(
      `SELECT schedule_id::DOUBLE, bound::VARCHAR FROM ${ledger}.schedule WHERE schedule_id IN (${ids})`,
    );
    for (const [id, bound] of found) shapes.set(Number(id), readShape(String(bound), calendars, policies));
  }
  return samples.map((id) => shapes.get(id));
}

function readShape(bound: string, calendars: Calendars, policies: Map<string, Policy>): Shape {
  let value: JsonValue;
  try {
    value = JSON.parse(bound) as JsonValue;
  } catch {
    return { problem: 'its bound value is not JSON' };
  }
  try {
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
