// Cadences as SQL functions, usable over any table: cron_next, cron_prev, cron_next_n, cron_matches, cron_describe,
// cron_is_valid (docs/time.md), and what cron.upcoming calls. They are functions of the whole instance, so views and run
// bodies know them too.
//
// DuckDB hands rows over in chunks of 2,048, and while one is worked on nothing else runs on this thread: so a row must be cheap.
// A cadence is parsed once and then found by its text, a run of equal texts is decoded once, and a row whose answer lies in the
// window of the row before it is not computed again.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import {
  type CompiledTiming,
  compile,
  describe,
  formatLocal,
  note,
  parseCadence,
  type Timing,
  validateZone,
} from '../scheduler/cadence/cadence.ts';
import type { Clock } from '../scheduler/clock.ts';
import { type DuckDB, duckdb, type NativeDatabase, type NativeScalar } from './store/duckdb/native.ts';
import { textReader } from './store/duckdb/values.ts';
import type { TimingCache } from './timingCache.ts';
import { Turns } from './turns.ts';

const { BIGINT, BOOLEAN, DuckDBListValue, DuckDBTimestampTZValue, LIST, TIMESTAMPTZ, VARCHAR } = duckdb;

type Cell = DuckDB.DuckDBValue;
type Kind = 'text' | 'number' | 'instant';

/** One argument of the row at hand; an instant in milliseconds, with its microseconds behind the point. */
type Reader<Of extends Kind> = Of extends 'text' ? () => string : () => number;

export interface FunctionParts {
  readonly timings: TimingCache;
  readonly clock: Clock;
  /** `cron.timezone`, as it is now. */
  zone(): string;
  /** A scheduler in this process waits for the thread that these functions are computed on. */
  isScheduling(): boolean;
}

export function registerFunctions(database: NativeDatabase, { timings, clock, zone: defaultZone, isScheduling }: FunctionParts): void {
  const turns = new Turns({ clock, isNeeded: isScheduling });
  /** Due instants after `after` and before `until`. */
  const firesBetween = (timing: CompiledTiming, after: Instant, until: Instant, most: number): Instant[] => {
    const fires: Instant[] = [];
    for (let due = timing.nextMs(after); due < until && fires.length < most; due = timing.nextMs(due)) {
      turns.step();
      fires.push(due);
    }
    return fires;
  };
  const register = <const Kinds extends readonly Kind[]>(
    name: string,
    kinds: Kinds,
    returnType: NativeScalar['returnType'],
    compute: (...readers: { [At in keyof Kinds]: Reader<Kinds[At]> }) => Cell,
    options: { readonly volatile?: boolean } = {},
  ): void => {
    // The compiler cannot see that each reader answers what its kind says.
    const answer = compute as unknown as (...readers: readonly (() => string | number | null | undefined)[]) => Cell;
    database.registerScalar({
      name,
      parameterTypes: kinds.map((kind) => parameterTypes[kind]),
      returnType,
      nulls: 'propagate',
      ...options,
      call(input, output) {
        turns.enter();
        const cells: (string | number | null)[] = new Array(kinds.length).fill(null);
        const readers = kinds.map((_, at) => () => cells[at]);
        const columns = kinds.map((kind, at) => readersOf[kind](input.getColumnVector(at)));
        for (let row = 0; row < input.rowCount; row++) {
          turns.step();
          let isNull = false;
          for (let at = 0; at < columns.length; at++) {
            const cell = columns[at]?.(row) ?? null;
            cells[at] = cell;
            isNull ||= cell === null;
          }
          output.setItem(row, isNull ? null : answer(...readers));
        }
      },
    });
  };

  const cadences = new CadenceCache();
  const nextWindow = new Window();
  const previousWindow = new Window();
  const nextOf = (text: string, after: number, zone: string): Cell =>
    timestamp(nextWindow.next(cadences.get(text, zone), Math.floor(after)));
  const previousOf = (text: string, before: number, zone: string): Cell =>
    timestamp(previousWindow.previous(cadences.get(text, zone), Math.ceil(before)));
  for (const [name, compute] of [['cron_next', nextOf] as const, ['cron_prev', previousOf] as const]) {
    register(name, ['text'], TIMESTAMPTZ, (text) => compute(text(), clock.now(), defaultZone()), { volatile: true });
    register(name, ['text', 'instant'], TIMESTAMPTZ, (text, at) => compute(text(), at(), defaultZone()), { volatile: true });
    register(name, ['text', 'instant', 'text'], TIMESTAMPTZ, (text, at, zone) => compute(text(), at(), zone()));
  }
  register('cron_next_n', ['text', 'instant', 'text', 'number'], LIST(TIMESTAMPTZ), (text, after, zone, count) => {
    if (count() > mostFires || count() < 0) {
      throw new Diagnostic('too_large', `cron_next_n answers from 0 to ${mostFires} instants, not ${count()}`);
    }
    const fires = firesBetween(cadences.get(text(), zone()), Math.floor(after()), Number.POSITIVE_INFINITY, count());
    return new DuckDBListValue(fires.map(timestamp));
  });
  register('cron_matches', ['text', 'instant', 'text'], BOOLEAN, (text, at, zone) => {
    return Number.isInteger(at()) && cadences.get(text(), zone()).matchesMs(at());
  });
  const describeIn = (text: string, zone: string): string => {
    const known = validateZone(zone);
    return describe([parseCadence(text, { zone: known })], known);
  };
  register('cron_describe', ['text'], VARCHAR, (text) => describeIn(text(), defaultZone()), { volatile: true });
  register('cron_describe', ['text', 'text'], VARCHAR, (text, zone) => describeIn(text(), zone()));
  register('cron_is_valid', ['text'], BOOLEAN, (text) => {
    try {
      parseCadence(text(), { zone: defaultZone() });
      return true;
    } catch (error) {
      if (error instanceof Diagnostic) return false;
      throw error;
    }
  });

  // cron.upcoming: (cache key, timing, calendar or '', from, until) -> due instants in [from, until).
  register('cuckoo_fn_fires', ['text', 'text', 'text', 'instant', 'instant'], LIST(TIMESTAMPTZ), (key, timing, calendar, from, until) => {
    let fires: Instant[];
    try {
      const compiled = compile(timings.get(key(), timing(), calendar()));
      fires = firesBetween(compiled, Math.ceil(from()) - 1, Math.ceil(until()), mostFires + 1);
    } catch {
      // It cannot be read, which cron.schedule_health tells, and must not hide the others.
      fires = [];
    }
    if (fires.length > mostFires) {
      throw new Diagnostic('too_large', `a schedule fires more than ${mostFires} times in this stretch`, { hint: 'ask for a shorter one' });
    }
    return new DuckDBListValue(fires.map(timestamp));
  });
  register('cuckoo_fn_local', ['instant', 'text'], VARCHAR, (at, zone) => formatLocal(Math.floor(at()), zone()));
  register('cuckoo_fn_note', ['text', 'text', 'text', 'instant'], VARCHAR, (key, timing, calendar, due) => {
    const full = timings.get(key(), timing(), calendar());
    return note(full, compile(full).fireAt(due()));
  });
  register('cuckoo_fn_nominal', ['text', 'text', 'text', 'instant'], TIMESTAMPTZ, (key, timing, calendar, due) => {
    const full = timings.get(key(), timing(), calendar());
    return timestamp(compile(full).fireAt(due()).nominal);
  });
}

const mostFires = 100_000;

const parameterTypes = { text: VARCHAR, number: BIGINT, instant: TIMESTAMPTZ } as const;

const readersOf: Readonly<Record<Kind, (vector: DuckDB.DuckDBVector) => (row: number) => string | number | null>> = {
  text: textReader,
  number: (vector) => (row) => {
    const item = vector.getItem(row);
    return typeof item === 'bigint' ? Number(item) : null;
  },
  // The infinities are no instants: NULL.
  instant: (vector) => (row) => {
    const item = vector.getItem(row);
    if (!(item instanceof DuckDBTimestampTZValue)) return null;
    const { micros } = item;
    return micros > farthest || micros < -farthest ? null : Number(micros) / 1000;
  },
};

/** Beyond it, microseconds do not fit a double. */
const farthest = BigInt(Number.MAX_SAFE_INTEGER);

function timestamp(instant: number): DuckDB.DuckDBTimestampTZValue | null {
  return Number.isFinite(instant) ? new DuckDBTimestampTZValue(BigInt(instant) * 1000n) : null;
}

/** Compiled cadences by zone and text; bounded, because a column may hold a different text in every row. */
class CadenceCache {
  readonly #zones = new Map<string, Map<string, CompiledTiming>>();
  #lastText = '';
  #lastZone = '';
  #last: CompiledTiming | undefined;

  get(text: string, zone: string): CompiledTiming {
    if (this.#last !== undefined && text === this.#lastText && zone === this.#lastZone) return this.#last;
    this.#last = this.#find(text, zone);
    this.#lastText = text;
    this.#lastZone = zone;
    return this.#last;
  }

  #find(text: string, zone: string): CompiledTiming {
    let texts = this.#zones.get(zone);
    if (texts === undefined) {
      validateZone(zone);
      texts = new Map();
      this.#zones.set(zone, texts);
    }
    const known = texts.get(text);
    if (known !== undefined) return known;
    if (texts.size >= 10_000) texts.clear();
    const timing: Timing = {
      // A list of cadences, as cron.schedules shows it: `@daily | every 5m` fires at the union.
      cadences: text.split(' | ').map((part) => parseCadence(part, { zone })),
      zone: validateZone(zone),
      dstGap: 'default',
      dstOverlap: 'default',
      onHoliday: 'run',
      jitterMs: 0,
      jitterKey: '',
    };
    const compiled = compile(timing);
    texts.set(text, compiled);
    return compiled;
  }
}

/** The last answer holds for every instant between the one asked and the answer itself: sorted columns cost almost nothing. */
class Window {
  #timing: CompiledTiming | undefined;
  #from = 0;
  #to = 0;

  next(timing: CompiledTiming, after: Instant): number {
    if (timing === this.#timing && after >= this.#from && after < this.#to) return this.#to;
    this.#timing = timing;
    this.#from = after;
    this.#to = timing.nextMs(after);
    return this.#to;
  }

  previous(timing: CompiledTiming, before: Instant): number {
    if (timing === this.#timing && before > this.#from && before <= this.#to) return this.#from;
    this.#timing = timing;
    this.#to = before;
    this.#from = timing.previousMs(before);
    return this.#from;
  }
}
