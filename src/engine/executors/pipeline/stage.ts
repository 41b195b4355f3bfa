// What all steps of a run share while they run side by side: the results that are there, what was done before, what ends them all,
// the connections they work on and the rows they leave.

import { setMaxListeners } from 'node:events';
import { Diagnostic } from '../../../core/diagnostic.ts';
import { nameKey } from '../../../core/name.ts';
import { Turnstile } from '../../../core/turnstile.ts';
import { noPast, type Past, pastKey, type StepRun } from '../../../scheduler/pipeline.ts';
import type { StopReason } from '../../../scheduler/ports.ts';
import { callOf } from '../../calls.ts';
import type { PipelineStep, Procedure } from '../../routine.ts';
import { Catalogue } from '../../store/duckdb/catalogue.ts';
import { Connection, type Typed } from '../../store/duckdb/connection.ts';
import { stepSql } from '../../store/duckdb/stepRows.ts';
import type { Ending } from '../ending.ts';
import type { Bindings } from '../statements.ts';
import { withCalled } from '../transaction.ts';
import { firstIn, Graph, type Item, type PipelineJob, type PipelineParts, Procedures } from './job.ts';
import { durablePlace, type KnownResult, namedIn, type Place, type Target, viewsText } from './results.ts';
import type { SqlBody } from './sqlStep.ts';
import { rowOf, type StepEnd, type Unit } from './stepEnd.ts';

export class Stage {
  readonly parts: PipelineParts;
  readonly job: PipelineJob;
  readonly graph: Graph;
  readonly procedures = new Procedures();
  /** Its name stands in those of the tables of results. */
  firstRunId: string;
  place: Place;
  past: ReadonlyMap<string, Past> = new Map();
  /** What statements may name: what every run has, and the pipeline's parameters. */
  bindings: Bindings = new Map();
  /** Results that are there, by their folded names. */
  readonly present = new Set<string>();
  /** And of those that are not: why. */
  readonly missing = new Map<string, string>();
  conflicts = 0;
  /** Work outside of the database was cut off. */
  leftOutside = false;
  /** Somebody else has closed the run. */
  isFenced = false;
  /** The database has stopped. */
  isLost = false;
  readonly #ending: Ending;
  readonly #ends = new AbortController();
  readonly #turnstile = new Turnstile();
  #reader: Promise<Connection> | undefined;
  #begun: Promise<void> | undefined;
  readonly #texts = new Map<string, Promise<readonly string[]>>();
  readonly #tell: (step: string, part: number | null, message: string) => void;

  constructor(parts: PipelineParts, job: PipelineJob, ending: Ending, tell: Stage['tell']) {
    this.parts = parts;
    this.job = job;
    this.graph = new Graph(job);
    this.firstRunId = job.run.runId;
    this.place = durablePlace(parts.sql.database, job.run.runId);
    this.#ending = ending;
    this.#tell = tell;
    // A thousand items may be at work at once.
    setMaxListeners(0, this.#ends.signal);
  }

  // ---- How it ends ----

  /** Ends all that is at work; nothing more begins. */
  get signal(): AbortSignal {
    return this.#ends.signal;
  }

  stop(reason: StopReason): void {
    this.#ends.abort(reason);
  }

  fence(): void {
    this.isFenced = true;
    this.stop({ kind: 'cancelled', reason: 'the run was closed by somebody else' });
  }

  /** The durable start of the run, before the first of its effects that lie outside of the database. */
  begin(): Promise<void> {
    this.#begun ??= this.#ending.begin();
    return this.#begun;
  }

  async close(): Promise<void> {
    const reader = await this.#reader?.catch(() => undefined);
    await reader?.close();
  }

  // ---- What is known ----

  pastOf(step: string, item: number | null): Past {
    return this.past.get(pastKey(step, item)) ?? noPast;
  }

  resultNamed(name: string): KnownResult {
    const result = this.graph.result(name);
    const why = this.missing.get(nameKey(name));
    if (result === undefined || why !== undefined) throw new Diagnostic('undefined_object', why ?? `there is no result ${name}`);
    return result;
  }

  firstOf(connection: Connection, name: string, path: readonly string[]): Promise<Typed> {
    return firstIn(connection, this.resultNamed(name), path, this.place);
  }

  /** Where a step keeps what it finds. */
  targetOf({ as, forEach }: PipelineStep, item: Item | null): Target | undefined {
    if (as === undefined) return undefined;
    const isThere = forEach !== undefined && this.present.has(nameKey(as));
    return { table: this.place.table(as), item: item?.index ?? null, isThere };
  }

  /** `part`: how much of the step is done, from 0 to 1; null where nobody can tell. */
  tell(step: string, part: number | null, message: string): void {
    this.#tell(step, part, message);
  }

  /** undefined: it calls none, or none that is there. */
  async procedureOf(step: PipelineStep): Promise<Procedure | undefined> {
    if (step.work.kind !== 'call') return undefined;
    return this.read((reader) => this.procedures.of(step, reader, this.parts.sql));
  }

  /** The SQL of a step, and of the procedures that it calls: looked up once for all of its items. */
  textsOf({ name }: PipelineStep, { statements }: SqlBody): Promise<readonly string[]> {
    const known = this.#texts.get(name);
    if (known !== undefined) return known;
    const calls = statements.some(({ text }) => callOf(text) !== undefined);
    const texts = calls
      ? this.read((reader) => withCalled(statements, new Catalogue(reader, this.parts.sql)))
      : Promise.resolve(statements.map(({ text }) => text));
    this.#texts.set(name, texts);
    return texts;
  }

  // ---- Connections ----

  /** On the connection that only reads: one question at a time. */
  async read<T>(work: (reader: Connection) => Promise<T>): Promise<T> {
    this.#reader ??= this.parts.database.connect().then((native) => new Connection(native));
    const reader = await this.#reader;
    try {
      return await this.parts.admission.run('run', () => this.#turnstile.run(() => work(reader.until(this.signal))), this.signal);
    } finally {
      this.isLost ||= reader.native.lost !== undefined;
    }
  }

  /** On a connection of the step's own, which knows the results before it by their names: those that `texts` may name. */
  onConnection<T>(step: PipelineStep, texts: readonly string[], work: (connection: Connection) => Promise<T>): Promise<T> {
    const named = namedIn(texts, this.graph.visibleTo(step));
    const use = async (): Promise<T> => {
      const connection = new Connection(await this.parts.database.connect());
      try {
        const views = viewsText(named, this.place, this.missing);
        if (views !== '') await connection.send(views, 'none');
        return await work(connection);
      } finally {
        this.isLost ||= connection.native.lost !== undefined;
        await connection.close();
      }
    };
    return this.parts.admission.run('run', use, this.signal);
  }

  // ---- Rows ----

  rowOf(unit: Unit, end: StepEnd, kind?: string): StepRun {
    const { job, parts } = this;
    return rowOf(unit, end, { runId: job.run.runId, finishedAt: parts.clock.now(), ...(kind === undefined ? {} : { kind }) });
  }

  /** Rows that belong to no transaction of a step. */
  async write(rows: readonly StepRun[]): Promise<void> {
    if (rows.length === 0 || this.isFenced) return;
    const { database, sql, admission } = this.parts;
    const connection = new Connection(await database.connect());
    try {
      const written = await admission.run('ledger', () => connection.send(stepSql(sql.ledger).insert(rows), 'none'));
      if (written !== rows.length) this.fence();
    } finally {
      this.isLost ||= connection.native.lost !== undefined;
      await connection.close();
    }
  }

  /** Whether this very row is there. */
  isWritten(row: StepRun): Promise<boolean> {
    return this.read(async (reader) => (await reader.table(stepSql(this.parts.sql.ledger).find(row))).rows.length > 0);
  }
}
