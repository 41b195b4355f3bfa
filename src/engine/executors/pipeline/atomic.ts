// A pipeline in one transaction (`atomic: true`), and the dry run of any: its steps one after another on one connection, what they
// keep in temporary tables. All of it commits with the rows of its steps and the closing row of its run, or nothing does; then the
// rows are written by themselves, so that it is told how far it came.

import { Diagnostic } from '../../../core/diagnostic.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { nameKey } from '../../../core/name.ts';
import { undelivered } from '../../../scheduler/opening.ts';
import { Progression, type StepRun } from '../../../scheduler/pipeline.ts';
import type { Execution } from '../../../scheduler/ports.ts';
import type { Outcome } from '../../../scheduler/run.ts';
import type { PipelineStep } from '../../routine.ts';
import { Connection } from '../../store/duckdb/connection.ts';
import { identifier } from '../../store/duckdb/literal.ts';
import { stepSql } from '../../store/duckdb/stepRows.ts';
import { Deadline } from '../deadline.ts';
import type { Ending } from '../ending.ts';
import { firstValue } from '../firstRows.ts';
import { failedOutcome } from '../outcome.ts';
import { bindGiven } from '../runValues.ts';
import { type Bindings, used } from '../statements.ts';
import { type Effects, effectsInside, executeTransaction, type Performed } from '../transaction.ts';
import { Items, Tally } from './items.ts';
import {
  firstIn,
  Graph,
  givenToPipeline,
  givenToStep,
  type Item,
  itemPaths,
  ownOf,
  type PipelineJob,
  type PipelineParts,
  Procedures,
  pathKey,
} from './job.ts';
import { countIn, type KnownResult, temporaryPlace as place, readPortion, viewsText } from './results.ts';
import { effectsOfBody, performBody, type SqlBody, sqlBodyOf } from './sqlStep.ts';
import { Stage } from './stage.ts';
import { decidedBy, endOf, foreignTo, missingBecause, nothingFound, refusedBy, rowOf, type StepEnd, Try, type Unit } from './stepEnd.ts';
import { act, calledStep } from './unit.ts';

export function executeAtomic(parts: PipelineParts, job: PipelineJob, signal: AbortSignal): Promise<Execution> {
  return new Atomic(parts, job).execute(signal);
}

const itemsAtOnce = 1000;

/** A step has ended the pipeline, and all that was done is rolled back. */
class EndedBy extends Error {
  readonly step: PipelineStep;
  readonly end: StepEnd;

  constructor(step: PipelineStep, end: StepEnd) {
    super(end.reason ?? end.state);
    this.step = step;
    this.end = end;
  }
}

/** Of one try: a conflict begins all of it anew. */
interface Scene {
  /** Ended when the time is up. */
  readonly connection: Connection;
  readonly signal: AbortSignal;
  readonly bindings: Bindings;
  readonly progression: Progression;
  readonly rows: StepRun[];
  readonly present: Set<string>;
  readonly missing: Map<string, string>;
}

class Atomic {
  readonly #parts: PipelineParts;
  readonly #job: PipelineJob;
  readonly #graph: Graph;
  readonly #procedures = new Procedures();
  /** Of the newest try. */
  #rows: readonly StepRun[] = [];
  #atWork: string | undefined;
  /** What has ended it is that a step found nothing. */
  #wasEmpty = false;
  #endedBy: EndedBy | undefined;

  constructor(parts: PipelineParts, job: PipelineJob) {
    this.#parts = parts;
    this.#job = job;
    this.#graph = new Graph(job);
  }

  async execute(signal: AbortSignal): Promise<Execution> {
    const { database, admission, clock } = this.#parts;
    const { run, zone, timeoutMs, locked } = this.#job;
    const work = {
      run,
      zone,
      timeoutMs,
      locked,
      ending: this.#ending(),
      effects: (own: Connection) => this.#effects(own),
      perform: (own: Connection, until: AbortSignal) => this.#perform(own, until),
    };
    const connection = new Connection(await database.connect());
    try {
      const execution = await admission.run('run', () => executeTransaction(connection, work, clock, signal), signal);
      if (execution.closed !== 'no' || execution.outcome.state === 'succeeded') return execution;
      const isLost = connection.native.lost !== undefined;
      const outcome = isLost
        ? { ...execution.outcome, state: 'interrupted' as const, reason: databaseStopped }
        : this.#told(execution.outcome);
      if (this.#job.ending === undefined || outcome.state === 'interrupted') return { outcome, closed: 'no' };
      await this.#writeUndone(outcome);
      if (this.#endedBy !== undefined) await this.#act(this.#endedBy, this.#job.ending);
      return { outcome, closed: 'no' };
    } finally {
      await connection.close();
    }
  }

  /** Actions of the step that has ended it, behind the rollback. */
  async #act({ step, end }: EndedBy, ending: Ending): Promise<void> {
    const stage = new Stage(this.#parts, this.#job, ending, () => {});
    stage.bindings = ownOf(this.#job);
    const key = this.#wasEmpty ? 'on_empty' : 'on_fail';
    try {
      await act(stage, this.#unit(step, null), key, this.#wasEmpty ? step.onEmpty.actions : step.onFail.actions, end);
    } finally {
      await stage.close();
    }
  }

  #ending(): Ending | undefined {
    const { ending } = this.#job;
    if (ending === undefined) return undefined;
    const { sql } = this.#parts;
    return {
      begin: () => ending.begin(),
      fate: () => ending.fate(),
      commit: async (own, outcome, isGuarded, onSend) => {
        const rows = this.#rows;
        const written = await own.send(stepSql(sql.ledger).insert(rows), 'open');
        return written === rows.length ? ending.commit(own, outcome, isGuarded, onSend) : 'fenced';
      },
    };
  }

  /** A procedure that would commit by itself runs inside the transaction here, as it does where a body calls it. */
  async #effects(own: Connection): Promise<Effects> {
    for (const step of this.#job.pipeline.steps) {
      const body = await this.#bodyOf(step, own);
      const effects = await effectsOfBody({ ...body, procedure: undefined }, own, this.#parts.sql);
      if (effects.kind === 'outside') return effects;
    }
    return effectsInside;
  }

  async #bodyOf(step: PipelineStep, own: Connection): Promise<SqlBody> {
    const procedure = await this.#procedures.of(step, own, this.#parts.sql);
    const body = sqlBodyOf(step, procedure);
    if (body !== undefined) return body;
    const { work } = step;
    const name = work.kind === 'call' ? work.routine : work.kind;
    if (work.kind === 'call' && procedure === undefined) throw new Diagnostic('undefined_object', `procedure ${name} does not exist`);
    const what = work.kind === 'call' ? `calls ${name}, a ${procedure?.body.language} procedure` : `is of kind ${name}`;
    const isDry = this.#job.ending === undefined;
    throw new Diagnostic(
      'unsupported',
      `step ${step.name} ${what}: ${isDry ? 'a dry run cannot take it back' : 'no transaction takes it back'}`,
      {
        hint: isDry ? 'run the pipeline without DRY RUN' : 'take atomic out of the pipeline',
      },
    );
  }

  // ---- In the transaction ----

  async #perform(connection: Connection, signal: AbortSignal): Promise<Performed> {
    const { pipeline, environment, foreignResults, progress } = this.#job;
    const given = givenToPipeline(this.#job);
    const scene: Scene = {
      connection,
      signal,
      bindings: await bindGiven(connection, { own: ownOf(this.#job), given, procedure: undefined, environment }),
      progression: new Progression(pipeline.steps),
      rows: [],
      present: new Set(),
      missing: new Map(foreignResults.map((result) => [nameKey(result.name), foreignTo(result)])),
    };
    this.#rows = scene.rows;
    this.#endedBy = undefined;
    let result: JsonValue = null;
    let rowsChanged = 0;
    let ready: readonly string[] = [];
    for (;;) {
      ready = [...ready, ...scene.progression.begin()];
      const step = pipeline.steps.find(({ name }) => ready.includes(name));
      if (step === undefined) break;
      ready = ready.filter((name) => name !== step.name);
      progress(scene.progression.endedCount / pipeline.steps.length, step.name);
      this.#atWork = step.name;
      const end = await this.#step(step, scene);
      if (end.verdict !== 'continue') {
        this.#endedBy = new EndedBy(step, end);
        throw this.#endedBy;
      }
      rowsChanged += end.rowsChanged ?? 0;
      if (step === pipeline.steps.at(-1)) result = end.result;
      if (step.as !== undefined && !scene.present.has(nameKey(step.as))) {
        scene.missing.set(nameKey(step.as), scene.missing.get(nameKey(step.as)) ?? missingBecause(step.as, step, end));
      }
      scene.progression.ended(step.name, 'continue');
    }
    return { result, rowsChanged };
  }

  async #step(step: PipelineStep, scene: Scene): Promise<StepEnd> {
    const { connection, bindings, missing } = scene;
    const visible = this.#graph.visibleTo(step);
    const hidden = this.#graph.all
      .filter((result) => !visible.includes(result))
      .map(({ name }) => `DROP VIEW IF EXISTS temp.main.${identifier(name)}`);
    const text = [...hidden, viewsText(visible, place, missing)].filter((part) => part !== '').join('; ');
    if (text !== '') await connection.send(text, 'open');
    const unit = this.#unit(step, null);
    try {
      const value = step.if === undefined ? true : await firstValue(connection, step.if, used(step.if, bindings));
      if (value !== true) return this.#ended(scene, unit, refusedBy(value));
    } catch (error) {
      return this.#failed(scene, unit, error, 'in its condition (if): ');
    }
    if (step.forEach === undefined) return this.#one(step, null, scene);
    try {
      return await this.#items(step, step.forEach, scene);
    } catch (error) {
      return this.#failed(scene, unit, error);
    }
  }

  /** A conflict begins all of it anew, and who is told to stop has not failed: those are not the step's. */
  #failed(scene: Scene, unit: Unit, error: unknown, place = ''): StepEnd {
    if (scene.signal.aborted || (error instanceof Diagnostic && error.code === 'conflict')) throw error;
    const outcome = failedOutcome(error, { stopped: undefined, timeoutMs: null, conflicts: 0, guarantee: null });
    return this.#ended(scene, unit, { ...endOf(outcome, 'abort'), reason: `${place}${outcome.reason}` });
  }

  async #one(step: PipelineStep, item: Item | null, scene: Scene): Promise<StepEnd> {
    const { clock, sql } = this.#parts;
    const { environment, resultRows } = this.#job;
    const { present } = scene;
    const unit = this.#unit(step, item);
    const try_ = new Try(step);
    const body = await this.#bodyOf(step, scene.connection);
    const timeoutMs = step.timeoutMs !== undefined ? step.timeoutMs : (body.procedure?.timeoutMs ?? null);
    const deadline = new Deadline(timeoutMs, clock, scene.signal);
    const connection = scene.connection.until(deadline.signal);
    try {
      const given = await givenToStep(step, item, (name, path) => firstIn(connection, this.#resultNamed(name, scene), path, place));
      const bindings = await bindGiven(connection, { own: scene.bindings, given, procedure: body.procedure, environment });
      const { as } = step;
      const isThere = item !== null && as !== undefined && present.has(nameKey(as));
      const target = as === undefined ? undefined : { table: place.table(as), item: item?.index ?? null, isThere };
      const found = await try_.watch(() => performBody(step, body, bindings, target, { connection, sql, resultRows }));
      try_.found(found);
      if (as !== undefined) present.add(nameKey(as));
      const { result, rowsChanged, notes } = found;
      const outcome: Outcome = { state: 'succeeded', reason: null, result, rowsChanged, notes, error: null, guarantee: null, conflicts: 0 };
      const end = this.#ended(scene, unit, try_.succeeded(outcome));
      if (try_.isEmpty) await this.#actOnEmpty(step, end, scene);
      return end;
    } catch (error) {
      this.#wasEmpty = try_.failsEmpty;
      const isConflict = error instanceof Diagnostic && error.code === 'conflict';
      if (isConflict || (scene.signal.aborted && deadline.reason?.kind !== 'timed_out')) throw error;
      const failure = failedOutcome(error, { stopped: deadline.reason, timeoutMs, conflicts: 0, guarantee: null });
      const outcome = try_.failed(failure);
      const { message } = step.onFail;
      const reason = message === undefined || try_.failsEmpty ? outcome.reason : `${message}: ${outcome.reason}`;
      return this.#ended(scene, unit, { ...endOf(outcome, 'abort'), reason });
    } finally {
      deadline.disarm();
    }
  }

  async #items(step: PipelineStep, forEach: string, scene: Scene): Promise<StepEnd> {
    const { connection } = scene;
    const unit = this.#unit(step, null);
    const result = this.#resultNamed(forEach, scene);
    const paths = itemPaths(step);
    const total = await countIn(place.table(result.name), connection);
    const tally = new Tally();
    const items = new Items(total, async (from) => {
      const { rows } = await readPortion(connection, result, paths, { place, from, most: itemsAtOnce });
      return rows.map((values, at) => ({
        index: from + at,
        values: new Map(values.map((value, of) => [pathKey(paths[of] ?? []), value])),
      }));
    });
    for (let [item] = await items.take(1); item !== undefined && tally.decisive === undefined; [item] = await items.take(1)) {
      tally.add(await this.#one(step, item, scene), item.index);
    }
    const end = tally.end(total);
    if (total > 0) return this.#ended(scene, unit, end, 'for_each');
    if (step.as !== undefined)
      scene.missing.set(nameKey(step.as), `result ${step.as} has no columns, because step ${step.name} had no items`);
    const { kind, message } = step.onEmpty;
    const reason = message ?? `no rows in ${result.name}`;
    const empty: StepEnd = { ...end, verdict: kind, state: kind === 'abort' ? 'failed' : 'succeeded', reason };
    this.#ended(scene, unit, empty, 'for_each');
    await this.#actOnEmpty(step, empty, scene);
    return empty;
  }

  /** Where all goes on, inside of the transaction; else behind its rollback. */
  async #actOnEmpty(step: PipelineStep, end: StepEnd, scene: Scene): Promise<void> {
    this.#wasEmpty = end.verdict !== 'continue';
    if (this.#wasEmpty) return;
    for (const action of step.onEmpty.actions) {
      if (action.kind !== 'call') {
        this.#job.log.write({ step: step.name, stream: 'scheduler', level: 'warn', line: undelivered(action) });
        continue;
      }
      const lookUp = (called: PipelineStep) => this.#procedures.of(called, scene.connection, this.#parts.sql);
      const called = await calledStep(step, 'on_empty', action.procedure, end, lookUp);
      const { verdict, reason } = await this.#one(called, null, scene);
      // An error has undone everything, whatever the step says.
      if (verdict !== 'continue') throw new Diagnostic('run_failed', `its action ${action.procedure} failed: ${reason}`);
    }
  }

  #resultNamed(name: string, { missing }: Scene): KnownResult {
    const result = this.#graph.result(name);
    const why = missing.get(nameKey(name));
    if (result === undefined || why !== undefined) throw new Diagnostic('undefined_object', why ?? `there is no result ${name}`);
    return result;
  }

  #unit(step: PipelineStep, item: Item | null): Unit {
    return { step, item, attempt: 1, startedAt: this.#parts.clock.now() };
  }

  #ended({ rows }: Scene, unit: Unit, end: StepEnd, kind?: string): StepEnd {
    rows.push(this.#rowOf(unit, end, kind));
    return end;
  }

  #rowOf(unit: Unit, end: StepEnd, kind?: string): StepRun {
    const at = { runId: this.#job.run.runId, finishedAt: this.#parts.clock.now() };
    return rowOf(unit, end, kind === undefined ? at : { ...at, kind });
  }

  // ---- When it has come to nothing ----

  #told(outcome: Outcome): Outcome {
    if (outcome.state !== 'failed' || this.#endedBy === undefined) return outcome;
    return { ...outcome, ...decidedBy(this.#endedBy.step, this.#endedBy.end) };
  }

  /** Nothing of it stays but these rows, which say so. */
  async #writeUndone({ reason, state }: Outcome): Promise<void> {
    const { sql, database, admission } = this.#parts;
    const rows = this.#rows;
    const ended = this.#endedBy;
    const why = ended === undefined ? `the run was ended: ${reason ?? state}` : `step ${ended.step.name} ended the pipeline`;
    const undone = { state: 'cancelled', reason: `rolled back: ${why}`, rowsChanged: null, result: null, verdict: null } as const;
    const begun = rows.map((row): StepRun => {
      const hasEnded = row.step === ended?.step.name && row.item === null;
      return row.state !== 'succeeded' || hasEnded ? { ...row, rowsChanged: null, verdict: null } : { ...row, ...undone };
    });
    const written = new Set(rows.filter((row) => row.item === null).map((row) => row.step));
    const others = this.#job.pipeline.steps
      .filter(({ name }) => !written.has(name))
      .map((step): StepRun => {
        const isAtWork = step.name === this.#atWork;
        const end = isAtWork
          ? ({ ...nothingFound, verdict: null, state: 'cancelled', reason: reason ?? state } as const)
          : ({ ...nothingFound, verdict: null, state: 'skipped', reason: `not begun: ${why}` } as const);
        const row = this.#rowOf(this.#unit(step, null), end);
        return isAtWork ? row : { ...row, startedAt: null };
      });
    const connection = new Connection(await database.connect());
    try {
      await admission.run('ledger', () => connection.send(stepSql(sql.ledger).insert([...begun, ...others]), 'none'));
    } finally {
      await connection.close();
    }
  }
}

const databaseStopped = 'the database stopped while it was running';
