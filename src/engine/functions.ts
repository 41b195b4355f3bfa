// Cadences as SQL functions, usable over any table: cron_next, cron_prev, cron_next_n, cron_matches, cron_describe,
// cron_is_valid (LANGUAGE section 8), and what cron.upcoming calls.
//
// DuckDB hands rows over in chunks of 2,048, and while one is worked on nothing else runs on this thread: so a row must be cheap.
// Instants travel as whole microseconds (BIGINT), a cadence is parsed once and then found by its text, and a row whose answer
// lies in the window of the row before it is not computed again. The macros around them give the optional arguments.

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
import { BIGINT, BOOLEAN, DuckDBListValue, LIST, type NativeDatabase, type NativeScalar, VARCHAR } from './store/duckdb/native.ts';
import type { TimingCache } from './timingCache.ts';

type Cell = bigint | string | boolean | DuckDBListValue | null;

export function registerFunctions(database: NativeDatabase, timings: TimingCache): void {
  const register = (
    name: string,
    parameterTypes: NativeScalar['parameterTypes'],
    returnType: NativeScalar['returnType'],
    answer: (row: readonly Cell[]) => Cell,
  ): void => {
    database.registerScalar({
      name,
      parameterTypes,
      returnType,
      nulls: 'propagate',
      call(input, output) {
        const columns = parameterTypes.map((_, column) => input.getColumnVector(column));
        const row: Cell[] = new Array(columns.length).fill(null);
        for (let index = 0; index < input.rowCount; index++) {
          let isNull = false;
          for (let column = 0; column < columns.length; column++) {
            const value = columns[column]?.getItem(index) as Cell | undefined;
            row[column] = value ?? null;
            isNull ||= value === null || value === undefined;
          }
          output.setItem(index, isNull ? null : answer(row));
        }
      },
    });
  };

  const cadences = new CadenceCache();
  const nextWindow = new Window();
  const previousWindow = new Window();
  register('cuckoo_fn_next', [VARCHAR, BIGINT, VARCHAR], BIGINT, ([text, after, zone]) =>
    micros(nextWindow.next(cadences.get(String(text), String(zone)), Math.floor(Number(after) / 1000))),
  );
  register('cuckoo_fn_prev', [VARCHAR, BIGINT, VARCHAR], BIGINT, ([text, before, zone]) =>
    micros(previousWindow.previous(cadences.get(String(text), String(zone)), Math.ceil(Number(before) / 1000))),
  );
  register('cuckoo_fn_next_n', [VARCHAR, BIGINT, VARCHAR, BIGINT], LIST(BIGINT), ([text, after, zone, count]) => {
    if (Number(count) > mostFires || Number(count) < 0) {
      throw new Diagnostic('too_large', `cron_next_n answers from 0 to ${mostFires} instants, not ${count}`);
    }
    const timing = cadences.get(String(text), String(zone));
    return new DuckDBListValue(firesBetween(timing, Math.floor(Number(after) / 1000), Number.POSITIVE_INFINITY, Number(count)));
  });
  register('cuckoo_fn_matches', [VARCHAR, BIGINT, VARCHAR], BOOLEAN, ([text, at, zone]) => {
    const instant = Number(at) / 1000;
    return Number.isInteger(instant) && cadences.get(String(text), String(zone)).matchesMs(instant);
  });
  register('cuckoo_fn_describe', [VARCHAR, VARCHAR], VARCHAR, ([text, zone]) => {
    const known = validateZone(String(zone));
    return describe([parseCadence(String(text), { zone: known })], known);
  });
  register('cuckoo_fn_is_valid', [VARCHAR, VARCHAR], BOOLEAN, ([text, zone]) => {
    try {
      parseCadence(String(text), { zone: String(zone) });
      return true;
    } catch (error) {
      if (error instanceof Diagnostic) return false;
      throw error;
    }
  });

  // cron.upcoming: (cache key, timing, calendar or '', from, until) -> nominal instants in [from, until).
  register('cuckoo_fn_fires', [VARCHAR, VARCHAR, VARCHAR, BIGINT, BIGINT], LIST(BIGINT), ([key, timing, calendar, from, until]) => {
    const compiled = compile(timings.get(String(key), String(timing), String(calendar)));
    const end = Math.ceil(Number(until) / 1000);
    const fires = firesBetween(compiled, Math.ceil(Number(from) / 1000) - 1, end, mostFires + 1);
    if (fires.length > mostFires) {
      throw new Diagnostic('too_large', `a schedule fires more than ${mostFires} times in this stretch`, { hint: 'ask for a shorter one' });
    }
    return new DuckDBListValue(fires);
  });
  register('cuckoo_fn_local', [BIGINT, VARCHAR], VARCHAR, ([at, zone]) => formatLocal(Number(at) / 1000, String(zone)));
  register('cuckoo_fn_note', [VARCHAR, VARCHAR, VARCHAR, BIGINT], VARCHAR, ([key, timing, calendar, due]) => {
    const full = timings.get(String(key), String(timing), String(calendar));
    return note(full, compile(full).fireAt(Number(due) / 1000));
  });
  register('cuckoo_fn_nominal', [VARCHAR, VARCHAR, VARCHAR, BIGINT], BIGINT, ([key, timing, calendar, due]) => {
    const full = timings.get(String(key), String(timing), String(calendar));
    return micros(compile(full).fireAt(Number(due) / 1000).nominal);
  });
}

const mostFires = 100_000;

function micros(instant: number): bigint | null {
  return Number.isFinite(instant) ? BigInt(instant) * 1000n : null;
}

/** Due instants after `after` and before `until`, in microseconds. */
function firesBetween(timing: CompiledTiming, after: Instant, until: Instant, most: number): bigint[] {
  const fires: bigint[] = [];
  for (let due = timing.nextMs(after); due < until && fires.length < most; due = timing.nextMs(due)) fires.push(BigInt(due) * 1000n);
  return fires;
}

/** Compiled cadences by zone and text; bounded, because a column may hold a different text in every row. */
class CadenceCache {
  readonly #zones = new Map<string, Map<string, CompiledTiming>>();

  get(text: string, zone: string): CompiledTiming {
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
      cadences: [parseCadence(text, { zone })],
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

/** `zone` is a SQL expression for the default zone. */
export function functionMacros(zone: string): string {
  const us = (instant: string): string => `CASE WHEN isfinite((${instant})::TIMESTAMPTZ) THEN epoch_us((${instant})::TIMESTAMPTZ) END`;
  const next = (which: string, expression: string, at: string, inZone: string): string =>
    `make_timestamptz(cuckoo_fn_${which}((${expression})::VARCHAR, ${us(at)}, (${inZone})::VARCHAR))`;
  const three = (which: string): string => `
CREATE OR REPLACE TEMP MACRO cron_${which}
  (expr) AS ${next(which, 'expr', 'now()', zone)},
  (expr, "after") AS ${next(which, 'expr', '"after"', zone)},
  (expr, "after", "zone") AS ${next(which, 'expr', '"after"', '"zone"')};`;
  return `${three('next')}${three('prev')}
CREATE OR REPLACE TEMP MACRO cron_next_n(expr, "after", "zone", n) AS
  list_transform(cuckoo_fn_next_n(expr::VARCHAR, ${us('"after"')}, "zone"::VARCHAR, n::BIGINT), lambda us: make_timestamptz(us));
CREATE OR REPLACE TEMP MACRO cron_matches(expr, ts, "zone") AS cuckoo_fn_matches(expr::VARCHAR, ${us('ts')}, "zone"::VARCHAR);
CREATE OR REPLACE TEMP MACRO cron_describe
  (expr) AS cuckoo_fn_describe(expr::VARCHAR, ${zone}), (expr, "zone") AS cuckoo_fn_describe(expr::VARCHAR, "zone"::VARCHAR);
CREATE OR REPLACE TEMP MACRO cron_is_valid(expr) AS cuckoo_fn_is_valid(expr::VARCHAR, ${zone});
`;
}
