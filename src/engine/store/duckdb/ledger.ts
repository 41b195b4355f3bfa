// The ledger on DuckDB: what was opened, what was closed, how far time is handled, and what a scheduler must know to begin.
//
// A transaction is a few texts of several statements. Statements that take rows away must take as many as they were asked to: that
// is the fence. It is tried as if all were there, which is how it almost always is; where a row is missing the transaction is
// rolled back, looks at what there is, and writes the units that can be written.

import { hostname } from 'node:os';
import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Instant } from '../../../core/instant.ts';
import { nameKey } from '../../../core/name.ts';
import type { CalendarDays } from '../../../scheduler/cadence/cadence.ts';
import type { Clock } from '../../../scheduler/clock.ts';
import {
  type Alert,
  type BootEvent,
  type Changes,
  type ClosedRun,
  type Fate,
  type InFlight,
  instantKey,
  type Ledger,
  type LedgerState,
  type LogLine,
  type QueueDefinition,
  type ScheduledInstant,
  type SchedulerSettings,
  type Tick,
  type Token,
  type Unit,
  type WaitingRequest,
  type Write,
} from '../../../scheduler/ports.ts';
import { type Closing, type Counters, noCounters, type OpenRun } from '../../../scheduler/run.ts';
import type { Admission } from '../../admission.ts';
import { Settings } from '../../settings.ts';
import type { Value } from '../../value.ts';
import { Connection } from './connection.ts';
import { type Calendars, readDefinitions, readFewDefinitions } from './definitions.ts';
import {
  alertColumns,
  alertOf,
  type Beginning,
  closedColumns,
  closedRunOf,
  insertText,
  logColumns,
  numberOf,
  openRunColumns,
  openRunOf,
  startedColumns,
  tokenColumns,
  tokenOf,
} from './ledgerRows.ts';
import { type LedgerSql, ledgerSql, tickIsThere } from './ledgerSql.ts';
import type { NativeDatabase } from './native.ts';
import type { Sql } from './sql.ts';

export interface DuckLedgerParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly admission: Admission;
  readonly clock: Clock;
}

/** A word that a newer Cuckoo may write is taken for an unclean end, which costs caution and nothing else. */
function bootEventOf(value: Value | undefined): BootEvent {
  return value === 'stop' || value === 'handover' ? value : 'start';
}

/** Kept open between calls: as many as the ledger has threads. */
const mostIdle = 2;

/** After an abort, for DuckDB to notice. Where it does not, because the disk hangs, nobody waits for it any longer. */
const patienceMs = 1000;

/** More than these have enough in common to be read by their shapes. */
const fewDefinitions = 100;

/** Of what was read of tables, this much may stay. */
const keptBytes = 2 ** 25;

/** Somebody else was at the same rows: mostly for a moment. */
const mostTries = 4;

/** Rows in one text: more would keep this thread for longer than a few milliseconds. */
const rowsAtOnce = 2000;

export class DuckLedger implements Ledger {
  readonly #parts: DuckLedgerParts;
  readonly #sql: LedgerSql;
  readonly #idle: Connection[] = [];
  /** What definitions were when a revision was told, of the newest few. */
  readonly #told = new Map<number, Told>();
  #revision = 0;

  constructor(parts: DuckLedgerParts) {
    this.#parts = parts;
    this.#sql = ledgerSql(parts.sql.ledger);
  }

  // ---- Reading ----

  /**
   * What is read for a million schedules stays in DuckDB's memory (250 MB) for whoever reads it again, and nobody does. It leaves
   * when there is less room, so for a moment there is less; not where somebody is at work who might miss it. By whoever has the
   * ledger's turn, on another connection: an error must not end his transaction.
   */
  #letGo(signal: AbortSignal): Promise<void> {
    const { database, admission } = this.#parts;
    if (database.path === ':memory:' || !admission.isQuiet) return Promise.resolve();
    return this.#withConnection(signal, async (connection) => {
      const [row] = (await connection.table(this.#sql.memory)).rows;
      const [limit, tableBytes, otherBytes] = row ?? [];
      if (Number(tableBytes) < 2 * keptBytes || !admission.isQuiet) return;
      await connection.send(`SET memory_limit = '${Number(otherBytes) + keptBytes}B'; SET memory_limit = '${limit}'`, 'none');
    }).catch(() => {
      // Where DuckDB cannot let go of so much, it refuses the first, and all is as it was.
    });
  }

  load(signal: AbortSignal): Promise<LedgerState> {
    return this.#snapshot(signal, async (connection) => {
      const sql = this.#sql;
      const now = this.#parts.clock.now();
      const common = await this.#changesAfter(undefined, connection, () => this.#letGo(signal));
      const rows = async (text: string): Promise<Value[][]> => (await connection.table(text)).rows;
      const longestMs = Math.max(0, ...common.queues.map((queue) => queue.rate?.perMs ?? 0));
      const [boot] = await rows(sql.lastBoot);
      const [open] = await rows(sql.countOpen);
      return {
        ...common,
        tick: await this.#newestTick(connection),
        lastBoot: boot === undefined ? undefined : { bootId: String(boot[0]), event: bootEventOf(boot[1]), at: Number(boot[2]) },
        counters: await this.#counters(connection),
        inFlight: new Map<number, InFlight>(
          (await rows(sql.inFlight)).map(([id, live, catchup]) => [Number(id), { live: Number(live), catchup: Number(catchup) }]),
        ),
        openRuns: Number(open?.[0] ?? 0),
        begun: (await rows(sql.begun)).map((row) => ({ run: openRunOf(row), startedAt: Number(row.at(-1)) })),
        marks: (await rows(sql.marks)).map(closedRunOf),
        tokens: (await rows(sql.tokens)).map(tokenOf),
        recentStarts:
          longestMs === 0
            ? []
            : (await rows(sql.recentStarts(now, longestMs))).map(([queue, at]) => ({ queue: String(queue), at: Number(at) })),
        alerts: (await rows(sql.alerts)).map(alertOf),
      };
    });
  }

  changes(revision: number, signal: AbortSignal): Promise<Changes> {
    return this.#snapshot(signal, async (connection) => {
      const { definitions, ...others } = await this.#changesAfter(this.#told.get(revision), connection);
      return { ...others, definitions: [...definitions] };
    });
  }

  newestTick(signal: AbortSignal): Promise<Tick> {
    return this.#call(signal, (connection) => this.#newestTick(connection));
  }

  waiting(request: WaitingRequest, signal: AbortSignal): Promise<readonly OpenRun[]> {
    return this.#call(signal, async (connection) => (await connection.table(this.#sql.waiting(request))).rows.map(openRunOf));
  }

  openRunsOf(scheduleId: number, signal: AbortSignal): Promise<readonly OpenRun[]> {
    return this.#call(signal, async (connection) => (await connection.table(this.#sql.openRunsOf(scheduleId))).rows.map(openRunOf));
  }

  fate(runId: string, signal: AbortSignal): Promise<Fate> {
    return this.#snapshot(signal, async (connection): Promise<Fate> => {
      const [open] = (await connection.table(this.#sql.openRun(runId))).rows;
      if (open?.at(-1) === 'open') return { kind: 'open', run: openRunOf(open) };
      const [closed] = (await connection.table(this.#sql.closedRun(runId))).rows;
      if (closed === undefined) return { kind: 'unknown' };
      const closing: ClosedRun = closedRunOf(closed);
      return open === undefined
        ? { kind: 'closed', closing, marked: false }
        : { kind: 'closed', closing: { ...closing, run: openRunOf(open) }, marked: true };
    });
  }

  ran(instants: readonly ScheduledInstant[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    if (instants.length === 0) return Promise.resolve(new Set());
    return this.#call(signal, async (connection) => {
      const { rows } = await connection.table(this.#sql.ran(instants));
      return new Set(
        rows.map(([scheduleId, scheduledAt]) => instantKey({ scheduleId: Number(scheduleId), scheduledAt: Number(scheduledAt) })),
      );
    });
  }

  // ---- Writing ----

  tick(tick: Tick, at: Instant, writes: readonly Write[], signal: AbortSignal): Promise<void> {
    const batch = new Batch([writes]);
    return this.#call(signal, (connection) =>
      this.#again(connection, async () => {
        const first = [`BEGIN; ${this.#sql.takeTick(tick.seq)}`, this.#sql.insertTick(tick, at)];
        try {
          if (await this.#commit(connection, first, batch)) return;
        } catch (error) {
          if (error instanceof Diagnostic && error.message.includes(tickIsThere)) {
            throw new Diagnostic('constraint', `tick ${tick.seq} is there already`, { cause: error });
          }
          throw error;
        }
        throw new Diagnostic('constraint', `tick ${tick.seq} closes what is not open`);
      }),
    );
  }

  write(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]> {
    if (units.length === 0) return Promise.resolve([]);
    return this.#call(signal, (connection) => this.#writeAll(connection, units));
  }

  applied(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]> {
    return this.#snapshot(signal, async (connection) => {
      const witnesses = units.map(witnessOf);
      const seen = await this.#look(connection, witnesses);
      return witnesses.map((witness) => witness !== undefined && seen(witness));
    });
  }

  /**
   * A transaction of somebody's that has not ended may hold a row that one unit needs. The others do not wait for it: they are
   * committed without it, and only then is the conflict told.
   */
  async #writeAll(connection: Connection, units: readonly Unit[]): Promise<readonly boolean[]> {
    try {
      return await this.#again(connection, () => this.#writeOnce(connection, units));
    } catch (error) {
      if (!isConflict(error) || units.length === 1) throw error;
      await connection.rollback();
      const middle = units.length >> 1;
      const answers: (readonly boolean[])[] = [];
      let conflict: unknown;
      for (const half of [units.slice(0, middle), units.slice(middle)]) {
        try {
          answers.push(await this.#writeAll(connection, half));
        } catch (halfError) {
          if (!isConflict(halfError)) throw halfError;
          await connection.rollback();
          conflict = halfError;
        }
      }
      if (conflict !== undefined) throw conflict;
      return answers.flat();
    }
  }

  async #writeOnce(connection: Connection, units: readonly Unit[]): Promise<readonly boolean[]> {
    if (await this.#commit(connection, ['BEGIN'], new Batch(units))) return units.map(() => true);
    await connection.send('BEGIN', 'open');
    const accepted = await this.#accepted(connection, units);
    const possible = units.filter((_, index) => accepted[index] === true);
    if (!(await this.#commit(connection, [], new Batch(possible)))) {
      throw new Diagnostic('internal', 'rows of the ledger were there and could not be taken in one transaction');
    }
    return accepted;
  }

  /** Which units can be written, one after the other. */
  async #accepted(connection: Connection, units: readonly Unit[]): Promise<boolean[]> {
    const batch = new Batch(units);
    const runIds = [...batch.taken, ...batch.settled, ...batch.begins.map((beginning) => beginning.runId)];
    const stages = new Map<string, string>();
    if (runIds.length > 0)
      for (const [id, stage] of (await connection.table(this.#sql.stages(runIds))).rows) stages.set(String(id), String(stage));
    const held = new Set<string>();
    if (batch.usedTokens.length > 0)
      for (const [id] of (await connection.table(this.#sql.heldTokens(batch.usedTokens))).rows) held.add(String(id));
    return units.map((unit) => {
      const own = new Batch([unit]);
      const isPossible =
        isDistinct(own.taken) &&
        own.taken.every((id) => stages.get(id) === 'open') &&
        own.settled.every((id) => stages.get(id) === 'marked') &&
        own.begins.every(({ runId }) => stages.get(runId) === 'open') &&
        own.usedTokens.every((id) => held.has(id));
      if (!isPossible) return false;
      for (const id of [...own.taken, ...own.settled]) stages.delete(id);
      for (const id of own.usedTokens) held.delete(id);
      for (const run of own.opens) stages.set(run.runId, 'open');
      for (const token of own.tokens) held.add(token.tokenId);
      return true;
    });
  }

  /** false: a row was not there, and all is rolled back. */
  async #commit(connection: Connection, first: readonly string[], batch: Batch): Promise<boolean> {
    let waiting = [...first];
    for (const step of this.#steps(batch)) {
      waiting.push(step.text);
      if (step.takes === undefined && !step.isLarge) continue;
      const changed = await connection.send(waiting.join('; '), 'open');
      waiting = [];
      if (step.takes === undefined || step.takes === changed) continue;
      await connection.rollback();
      return false;
    }
    await connection.send([...waiting, 'COMMIT'].join('; '), 'none');
    return true;
  }

  /** What is opened or given in a batch may be closed or used in it, so it comes first. */
  *#steps(batch: Batch): Iterable<Step> {
    const sql = this.#sql;
    yield* portions(batch.opens, (rows) => insertText(sql.openRunTable, openRunColumns, rows));
    yield* portions(batch.tokens, (rows) => insertText(sql.tokenTable, tokenColumns, rows));
    for (const part of parts(batch.begins)) {
      yield { text: insertText(sql.startedTable, startedColumns, part, sql.whereStillOpen), takes: part.length };
    }
    if (batch.taken.length > 0) yield { text: sql.takeOpen(batch.taken), takes: batch.taken.length };
    if (batch.settled.length > 0) yield { text: sql.takeMarked(batch.settled), takes: batch.settled.length };
    if (batch.usedTokens.length > 0) yield { text: sql.useTokens(batch.usedTokens), takes: batch.usedTokens.length };
    yield* portions(batch.closed, (rows) => insertText(sql.closedTable, closedColumns, rows));
    yield* portions(batch.logs, (rows) => insertText(sql.logTable, logColumns, rows));
    for (const { scheduleId, at } of batch.disables) yield { text: sql.disable(scheduleId, at) };
    for (const { runId, settled, at } of batch.letters) yield { text: sql.settleLetter(runId, settled, at) };
    for (const alert of batch.alerts.values()) {
      yield { text: `${sql.forgetAlert(alert.alertId)}; ${insertText(sql.alertTable, alertColumns, [alert])}` };
    }
    for (const { bootId, event, at } of batch.boots) yield { text: sql.boot({ bootId, event, at, pid: process.pid, host: hostname() }) };
  }

  // ---- What is there ----

  async #newestTick(connection: Connection): Promise<Tick> {
    const [row] = (await connection.table(this.#sql.newestTick)).rows;
    if (row === undefined) throw new Diagnostic('internal', 'the ledger has no tick');
    const [seq, watermark, partlyDue, partlyThrough, gapFrom, gapTo, replayUntil] = row;
    return {
      seq: Number(seq),
      watermark: Number(watermark),
      partly: partlyDue == null ? null : { due: Number(partlyDue), throughId: Number(partlyThrough) },
      gap: gapFrom == null ? null : { from: Number(gapFrom), to: Number(gapTo) },
      replayUntil: numberOf(replayUntil),
    };
  }

  async #counters(connection: Connection): Promise<StoredCounters> {
    const counters = new StoredCounters();
    await connection.eachChunk(this.#sql.counters, (columns, rowCount) => counters.add(columns, rowCount));
    for (const [id, fire] of (await connection.table(this.#sql.openFires)).rows) counters.opened(Number(id), Number(fire));
    return counters;
  }

  /** `before` undefined: everything. */
  async #changesAfter(
    before: Told | undefined,
    connection: Connection,
    letGo?: () => Promise<void>,
  ): Promise<Pick<LedgerState, keyof Changes>> {
    const { sql } = this.#parts;
    const { versionRow, stamps, calendars, ...others } = await readAround(connection, sql);
    const definitions =
      before === undefined
        ? await readDefinitions(connection, sql.ledger, calendars, { ...(letGo !== undefined && { letGo }) })
        : await this.#changed(before, { versionRow, stamps }, calendars, connection);
    return { ...others, revision: this.#tell({ versionRow, stamps }, before), definitions };
  }

  async #changed(before: Told, now: Omit<Told, 'revision'>, calendars: Calendars, connection: Connection): Promise<Changes['definitions']> {
    const { ledger } = this.#parts.sql;
    const changed = [...new Set([...before.stamps.keys(), ...now.stamps.keys()])].filter(
      (name) => before.stamps.get(name) !== now.stamps.get(name),
    );
    if (before.versionRow === now.versionRow && changed.length === 0) return [];
    const ids = (await connection.table(this.#sql.changedSchedules(before.versionRow, changed))).rows.map(([id]) => Number(id));
    if (ids.length === 0) return [];
    const which = this.#sql.ofSchedules(ids);
    const found =
      ids.length > fewDefinitions
        ? [...(await readDefinitions(connection, ledger, calendars, { which }))]
        : await readFewDefinitions(connection, ledger, calendars, which);
    const present = new Set(found.map((change) => (change.kind === 'defined' ? change.definition.scheduleId : change.scheduleId)));
    const gone = ids.filter((id) => !present.has(id));
    return [...found, ...gone.map((scheduleId) => ({ kind: 'dropped' as const, scheduleId }))];
  }

  /** The same revision as before where nothing has changed. */
  #tell(now: Omit<Told, 'revision'>, before: Told | undefined): number {
    const isSame =
      before !== undefined &&
      before.versionRow === now.versionRow &&
      before.stamps.size === now.stamps.size &&
      [...now.stamps].every(([name, stamp]) => before.stamps.get(name) === stamp);
    if (isSame) return before.revision;
    this.#revision += 1;
    const revision = this.#revision;
    this.#told.set(revision, { revision, ...now });
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= toldRevisions) break;
      this.#told.delete(oldest);
    }
    return revision;
  }

  /** Reads what tells the units, and answers how to ask. */
  async #look(connection: Connection, witnesses: readonly (Witness | undefined)[]): Promise<(witness: Witness) => boolean> {
    const sql = this.#sql;
    const of = (...kinds: readonly Witness['kind'][]): string[] =>
      witnesses.flatMap((witness) => (witness !== undefined && kinds.includes(witness.kind) ? witness.ids : []));
    const read = async (ids: readonly string[], statement: (ids: readonly string[]) => string): Promise<Value[][]> =>
      ids.length === 0 ? [] : (await connection.table(statement(ids))).rows;
    const open = new Set((await read(of('opened', 'settled'), sql.stages)).map(([id]) => String(id)));
    const ends = new Map(
      (await read(of('opened', 'closed'), sql.ends)).map(([id, state, at]) => [String(id), `${String(state)} ${Number(at)}`]),
    );
    const started = new Set((await read(of('begun'), sql.started)).map(([id, bootId]) => `${String(id)} ${String(bootId)}`));
    const tokens = new Set((await read(of('given', 'used'), sql.heldTokens)).map(([id]) => String(id)));
    const letters = new Set((await read(of('letter'), sql.settledLetters)).map(([id]) => String(id)));
    const boots = new Set((await read(of('boot'), () => sql.boots)).map(([id, event]) => `${String(id)} ${String(event)}`));
    return (witness) => {
      switch (witness.kind) {
        case 'opened':
          return witness.ids.every((id) => open.has(id) || ends.has(id));
        case 'closed':
          return witness.ids.every((id) => ends.get(id) === witness.detail);
        case 'settled':
          return witness.ids.every((id) => !open.has(id));
        case 'begun':
          return witness.ids.every((id) => started.has(`${id} ${witness.detail}`));
        case 'given':
          return witness.ids.every((id) => tokens.has(id));
        case 'used':
          return witness.ids.every((id) => !tokens.has(id));
        case 'letter':
          return witness.ids.every((id) => letters.has(id));
        case 'boot':
          return witness.ids.every((id) => boots.has(`${id} ${witness.detail}`));
        default:
          return witness.kind satisfies never;
      }
    };
  }

  // ---- Connections ----

  /** All that `work` reads is of one moment. */
  #snapshot<T>(signal: AbortSignal, work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#call(signal, async (connection) => {
      await connection.send('BEGIN', 'open');
      const result = await work(connection);
      await connection.send('ROLLBACK', 'none');
      return result;
    });
  }

  async #call<T>(signal: AbortSignal, work: (connection: Connection) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const called = this.#parts.admission.run('ledger', () => this.#withConnection(signal, work), signal);
    return settledSoon(called, signal, this.#parts.clock);
  }

  async #withConnection<T>(signal: AbortSignal, work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = this.#idle.pop() ?? new Connection(await this.#parts.database.connect());
    try {
      const result = await work(connection.until(signal));
      if (this.#idle.length < mostIdle) this.#idle.push(connection);
      else await connection.close();
      return result;
    } catch (error) {
      // Whatever it is in the middle of ends with it.
      await connection.close();
      throw error;
    }
  }

  /** With a fresh look at what is there, when somebody else was at the same rows. */
  async #again<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (!isConflict(error) || tries === mostTries) throw error;
        await connection.rollback();
        await this.#parts.clock.sleep(2 ** tries);
      }
    }
  }
}

/** What schedules have come to, by id: a million of them, so they are objects only for whoever looks at one. */
class StoredCounters implements Iterable<readonly [number, Counters]> {
  readonly #ids: number[] = [];
  readonly #failures: number[] = [];
  readonly #fires: number[] = [];
  /** NaN: never. */
  readonly #successes: number[] = [];
  readonly #opened = new Map<number, number>();

  add([ids, failures, fires, successes]: readonly Value[][], rowCount: number): void {
    for (let row = 0; row < rowCount; row++) {
      this.#ids.push(Number(ids?.[row]));
      this.#failures.push(Number(failures?.[row] ?? 0));
      this.#fires.push(Number(fires?.[row] ?? 0));
      this.#successes.push(Number(successes?.[row] ?? Number.NaN));
    }
  }

  /** The newest fire that is open. */
  opened(scheduleId: number, fire: number): void {
    this.#opened.set(scheduleId, fire);
  }

  *[Symbol.iterator](): Generator<readonly [number, Counters]> {
    const withoutEnd = new Map(this.#opened);
    for (const [row, id] of this.#ids.entries()) {
      withoutEnd.delete(id);
      const lastSuccessAt = this.#successes[row] ?? Number.NaN;
      yield [
        id,
        {
          consecutiveFailures: this.#failures[row] ?? 0,
          openedFires: Math.max(this.#fires[row] ?? 0, this.#opened.get(id) ?? 0),
          lastSuccessAt: Number.isNaN(lastSuccessAt) ? null : lastSuccessAt,
        },
      ];
    }
    for (const [id, fire] of withoutEnd) yield [id, { ...noCounters, openedFires: fire }];
  }
}

/** What definitions were when a revision was told. */
interface Told {
  readonly revision: number;
  readonly versionRow: number;
  /** Of calendars, whose days change without their schedules. */
  readonly stamps: ReadonlyMap<string, string>;
}

const toldRevisions = 16;

interface Step {
  readonly text: string;
  /** How many rows it must take. */
  readonly takes?: number;
  /** Others have their turn behind it. */
  readonly isLarge?: boolean;
}

function* parts<Row>(rows: readonly Row[]): Iterable<readonly Row[]> {
  for (let from = 0; from < rows.length; from += rowsAtOnce)
    yield from === 0 && rows.length <= rowsAtOnce ? rows : rows.slice(from, from + rowsAtOnce);
}

function* portions<Row>(rows: readonly Row[], insert: (rows: readonly Row[]) => string): Iterable<Step> {
  for (const part of parts(rows)) yield { text: insert(part), isLarge: part.length > 200 };
}

/** What units write, gathered by table. Closing rows keep their order, because the newest tells what a schedule has come to. */
class Batch {
  readonly opens: OpenRun[] = [];
  readonly closed: Closing[] = [];
  /** Runs whose open row must be there. */
  readonly taken: string[] = [];
  readonly settled: string[] = [];
  readonly tokens: Token[] = [];
  readonly usedTokens: string[] = [];
  readonly begins: Beginning[] = [];
  readonly logs: LogLine[] = [];
  readonly disables: Extract<Write, { kind: 'disable' }>[] = [];
  readonly letters: Extract<Write, { kind: 'deadLetter' }>[] = [];
  readonly alerts = new Map<string, Alert>();
  readonly boots: Extract<Write, { kind: 'boot' }>[] = [];

  constructor(units: readonly Unit[]) {
    for (const unit of units) for (const write of unit) this.#add(write);
  }

  #add(write: Write): void {
    switch (write.kind) {
      case 'open':
        this.opens.push(write.run);
        return;
      case 'close':
        this.taken.push(write.closing.run.runId);
        this.closed.push(write.closing);
        return;
      case 'skip':
        this.closed.push(write.closing);
        return;
      case 'settle':
        this.settled.push(write.runId);
        return;
      case 'token':
        this.tokens.push(write.token);
        return;
      case 'useTokens':
        this.usedTokens.push(...write.tokenIds);
        return;
      case 'begin':
        this.begins.push(write);
        return;
      case 'log':
        this.logs.push(write.line);
        return;
      case 'disable':
        this.disables.push(write);
        return;
      case 'deadLetter':
        this.letters.push(write);
        return;
      case 'alert':
        this.alerts.set(write.alert.alertId, write.alert);
        return;
      case 'boot':
        this.boots.push(write);
        return;
      default:
        write satisfies never;
    }
  }
}

/** What tells a unit from all others: rows that nobody else could have brought or taken. */
interface Witness {
  readonly kind: 'opened' | 'closed' | 'settled' | 'begun' | 'given' | 'used' | 'letter' | 'boot';
  readonly ids: readonly string[];
  readonly detail?: string;
}

/** The surest first: a unit is there as a whole or not at all. undefined: written twice, it is what it was. */
function witnessOf(unit: Unit): Witness | undefined {
  let best: { readonly witness: Witness; readonly rank: number } | undefined;
  for (const write of unit) {
    const witness = witnessOfWrite(write);
    if (witness === undefined) continue;
    const rank = surest.indexOf(witness.kind);
    if (best === undefined || rank < best.rank) best = { witness, rank };
  }
  return best?.witness;
}

const surest: readonly Witness['kind'][] = ['opened', 'closed', 'settled', 'begun', 'letter', 'boot', 'given', 'used'];

function witnessOfWrite(write: Write): Witness | undefined {
  switch (write.kind) {
    case 'open':
      return { kind: 'opened', ids: [write.run.runId] };
    case 'close':
    case 'skip': {
      const { run, state, finishedAt } = write.closing;
      return { kind: 'closed', ids: [run.runId], detail: `${state} ${finishedAt}` };
    }
    case 'settle':
      return { kind: 'settled', ids: [write.runId] };
    case 'begin':
      return { kind: 'begun', ids: [write.runId], detail: write.bootId };
    case 'deadLetter':
      return { kind: 'letter', ids: [write.runId] };
    case 'boot':
      return { kind: 'boot', ids: [write.bootId], detail: write.event };
    case 'token':
      return { kind: 'given', ids: [write.token.tokenId] };
    case 'useTokens':
      return { kind: 'used', ids: write.tokenIds };
    case 'disable':
    case 'log':
    case 'alert':
      return undefined;
    default:
      return write satisfies never;
  }
}

/** What a scheduler would have to know, as this connection sees it: with what it has not committed. */
export async function readPresent(
  connection: Connection,
  sql: Sql,
): Promise<Pick<LedgerState, 'definitions' | 'settings' | 'queues' | 'pausedAt'>> {
  const { calendars, settings, queues, pausedAt } = await readAround(connection, sql);
  return { definitions: await readDefinitions(connection, sql.ledger, calendars), settings, queues, pausedAt };
}

/** What stands around definitions. */
interface Around extends Pick<Changes, 'settings' | 'queues' | 'pausedAt'> {
  /** Of the newest version of a schedule. */
  readonly versionRow: number;
  readonly calendars: Calendars;
  /** Of calendars, by their names: another one where its days may be others. */
  readonly stamps: ReadonlyMap<string, string>;
}

async function readAround(connection: Connection, sql: Sql): Promise<Around> {
  const { rows } = await connection.table(ledgerSql(sql.ledger).around(sql.settings));
  const of = (what: string): Value[][] => rows.filter((row) => row[0] === what).map((row) => row.slice(1));
  const calendars = of('calendar');
  const [version] = of('version');
  const [paused] = of('paused');
  return {
    versionRow: Number(version?.[0] ?? -1),
    calendars: new Map(calendars.map(([name, , bound]) => [String(name), calendarDays(String(bound))])),
    stamps: new Map(calendars.map(([name, stamp]) => [String(name), String(stamp)])),
    settings: schedulerSettings(new Settings(new Map(of('setting').map(([name, value]) => [String(name), String(value)])))),
    queues: of('queue')
      .map(queueOf)
      .sort((one, other) => (nameKey(one.name) < nameKey(other.name) ? -1 : 1)),
    pausedAt: pausedAtOf(paused),
  };
}

/** A time that cannot be read is a pause all the same. */
function pausedAtOf(row: readonly Value[] | undefined): Instant | null {
  if (row === undefined) return null;
  const pausedAt = new Date(String(row[0])).getTime();
  return Number.isNaN(pausedAt) ? 0 : pausedAt;
}

function calendarDays(bound: string): CalendarDays | undefined {
  try {
    const { days } = JSON.parse(bound) as { days?: CalendarDays };
    return Array.isArray(days?.weekend) && Array.isArray(days.holidays) ? days : undefined;
  } catch {
    return undefined;
  }
}

function queueOf([name, weight, concurrency, rateCount, ratePerMs, paused]: readonly Value[]): QueueDefinition {
  return {
    name: String(name),
    weight: Number(weight),
    concurrency: numberOf(concurrency),
    rate: rateCount == null || ratePerMs == null ? null : { count: Number(rateCount), perMs: Number(ratePerMs) },
    paused: paused === 'true',
  };
}

/** A value that somebody wrote into the file by hand and that cannot be read is as good as none. */
function schedulerSettings(settings: Settings): SchedulerSettings {
  const defaults = new Settings(new Map());
  const read = <T>(of: (from: Settings) => T): T => {
    try {
      const value = of(settings);
      return Number.isNaN(value) ? of(defaults) : value;
    } catch {
      return of(defaults);
    }
  };
  const catchup = settings.text('catchup');
  return {
    workers: read((from) => from.number('workers')),
    checkIntervalMs: read((from) => from.durationMs('check_interval')),
    lateWithinMs: read((from) => from.durationMs('late_within')),
    maxRetries: read((from) => from.number('max_retries')),
    retryDelayMs: read((from) => from.durationMs('retry_delay')),
    catchup: catchup === 'none' || catchup === 'all' ? catchup : 'latest',
    onFail: read((from) => from.onFail),
    budget: { cpu: read((from) => from.budgetCpu), memoryBytes: read((from) => from.budgetMemoryBytes) },
    alerts: read((from) => from.alerts),
  };
}

function isConflict(error: unknown): boolean {
  return error instanceof Diagnostic && error.code === 'conflict';
}

function isDistinct(ids: readonly string[]): boolean {
  return new Set(ids).size === ids.length;
}

/** An aborted call is not waited for longer than DuckDB needs to notice. */
function settledSoon<T>(called: Promise<T>, signal: AbortSignal, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: { cancel(): void } | undefined;
    const giveUp = (): void => {
      timer = clock.after(patienceMs, () => reject(signal.reason), { keepsProcessAlive: false });
    };
    signal.addEventListener('abort', giveUp, { once: true });
    const end = (): void => {
      signal.removeEventListener('abort', giveUp);
      timer?.cancel();
    };
    called.then(
      (value) => {
        end();
        resolve(value);
      },
      (error) => {
        end();
        reject(error);
      },
    );
  });
}
