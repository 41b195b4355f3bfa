// A pipeline, step by step: each SQL step, and each item of one, commits together with its row, so that a crash, a restart or a
// retry goes on behind what is committed. Steps that do not wait for each other run side by side.

import { formatDuration } from '../../../core/duration.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { nameKey } from '../../../core/name.ts';
import { Progression, pastOf, type StepRun } from '../../../scheduler/pipeline.ts';
import type { Execution } from '../../../scheduler/ports.ts';
import type { Outcome } from '../../../scheduler/run.ts';
import type { PipelineStep } from '../../routine.ts';
import { Connection, Typed } from '../../store/duckdb/connection.ts';
import { literal } from '../../store/duckdb/literal.ts';
import { closedAttemptOf, runSql } from '../../store/duckdb/runSql.ts';
import { stepRunOf, stepSql } from '../../store/duckdb/stepRows.ts';
import { Deadline } from '../deadline.ts';
import type { Ending } from '../ending.ts';
import { failedOutcome, runErrorOf } from '../outcome.ts';
import { bindGiven, type Given } from '../runValues.ts';
import type { Bindings } from '../statements.ts';
import { effectsInside, executeTransaction } from '../transaction.ts';
import { runItems } from './forEach.ts';
import { givenToPipeline, ownOf, type PipelineJob, type PipelineParts } from './job.ts';
import { durablePlace, parametersTable, presentResults } from './results.ts';
import { askCondition } from './sqlStep.ts';
import { Stage } from './stage.ts';
import { decidedBy, endBefore, failedBy, foreignTo, missingBecause, nothingFound, refusedBy, type StepEnd, type Unit } from './stepEnd.ts';
import { cutOff, giveUp, runUnit } from './unit.ts';

export function executeStepwise(parts: PipelineParts, job: PipelineJob, ending: Ending, signal: AbortSignal): Promise<Execution> {
  return new Stepwise(parts, job, ending, signal).execute();
}

const guaranteeReason = 'step by step: each SQL step is exactly once';

class Stepwise {
  readonly #job: PipelineJob;
  readonly #ending: Ending;
  readonly #deadline: Deadline;
  readonly #stage: Stage;
  readonly #progression: Progression;
  /** Of each step at work: how much of it is done. */
  readonly #partly = new Map<string, number>();
  /** Of the last step. */
  #result: JsonValue = null;
  #rowsChanged = 0;
  #resumed = 0;
  /** What has ended the pipeline. */
  #decisive: { readonly step: PipelineStep; readonly end: StepEnd } | undefined;

  constructor(parts: PipelineParts, job: PipelineJob, ending: Ending, signal: AbortSignal) {
    this.#job = job;
    this.#ending = ending;
    this.#progression = new Progression(job.pipeline.steps);
    this.#stage = new Stage(parts, job, ending, (step, part, message) => this.#tell(step, part, message));
    this.#deadline = new Deadline(job.timeoutMs, parts.clock, signal);
    const stop = (): void => {
      const { reason = { kind: 'cancelled', reason: 'cancelled' } as const } = this.#deadline;
      const late = `the pipeline ran longer than its timeout of ${formatDuration(job.timeoutMs ?? 0)}`;
      this.#stage.stop(reason.kind === 'timed_out' ? { kind: 'cancelled', reason: late } : reason);
    };
    this.#deadline.signal.addEventListener('abort', stop, { once: true });
    if (this.#deadline.signal.aborted) stop();
  }

  async execute(): Promise<Execution> {
    try {
      await this.#prepare();
      await this.#carryOut();
      return await this.#close();
    } catch (error) {
      return { outcome: this.#cutShort(error), closed: 'no' };
    } finally {
      this.#deadline.disarm();
      await this.#stage.close();
    }
  }

  // ---- What was before ----

  async #prepare(): Promise<void> {
    const stage = this.#stage;
    const { sql } = stage.parts;
    const { run, pipeline, foreignResults } = this.#job;
    await stage.read(async (reader) => {
      // Of a run that somebody has closed nothing is begun, whatever of it is not done.
      if ((await reader.table(runSql(sql.ledger).openRun(run.runId))).rows.length === 0) return stage.fence();
      const runIds = await this.#attempts(reader);
      const { rows } = await reader.table(stepSql(sql.ledger).ofRuns(runIds));
      stage.past = pastOf(rows.map(stepRunOf), run.runId);
      for (const name of await presentResults(reader, sql.database, stage.firstRunId)) stage.present.add(name);
      stage.bindings = await this.#parameters(reader);
    });
    if (stage.isFenced) return;
    for (const step of pipeline.steps) {
      const end = endBefore(stage.pastOf(step.name, null));
      if (end !== undefined) this.#tellMissing(step, end);
    }
    for (const result of foreignResults) stage.missing.set(nameKey(result.name), foreignTo(result));
  }

  /** Of the same fire, this one among them. The first gives its name to the tables of results. */
  async #attempts(reader: Connection): Promise<string[]> {
    const { run } = this.#job;
    if (run.attempt === 1) return [run.runId];
    const { sql } = this.#stage.parts;
    const { rows } = await reader.table(runSql(sql.ledger).closedAttempts(run));
    const before = rows.map((row) => closedAttemptOf(row).run.runId).filter((runId) => runId !== run.runId);
    this.#stage.firstRunId = before[0] ?? run.runId;
    this.#stage.place = durablePlace(sql.database, this.#stage.firstRunId);
    return [...before, run.runId];
  }

  /** `sql('..')` is asked once for all attempts: a retry after midnight is still about the day of the first. */
  async #parameters(reader: Connection): Promise<Bindings> {
    const { environment, zone } = this.#job;
    const { place, present } = this.#stage;
    const given: Readonly<Record<string, Given>> = givenToPipeline(this.#job);
    const bind = (values: Readonly<Record<string, Given>>): Promise<Bindings> =>
      bindGiven(reader, { own: ownOf(this.#job), given: values, procedure: undefined, environment });
    const asked = Object.entries(given).flatMap(([name, value]) => (!(value instanceof Typed) && value.kind === 'sql' ? [name] : []));
    await reader.send(`SET TimeZone = ${literal(zone)}`, 'none');
    if (asked.length === 0) return bind(given);
    const table = place.table(parametersTable);
    if (present.has(parametersTable)) {
      const { columns, rows } = await reader.table(`FROM ${table}`);
      const kept = asked.flatMap((name, at): [string, Typed][] => {
        const type = columns[at]?.type;
        return type === undefined ? [] : [[name, new Typed({ value: rows[0]?.[at] ?? null, type })]];
      });
      return bind({ ...given, ...Object.fromEntries(kept) });
    }
    const bindings = await bind(given);
    const values = Object.fromEntries(asked.map((name, at) => [`value_${at}`, bindings.get(name.toLowerCase())]));
    await reader.run(`CREATE TABLE ${table} AS SELECT ${asked.map((_, at) => `$value_${at} AS value_${at}`).join(', ')}`, values);
    return bindings;
  }

  /** Why the steps behind this one do not find what it keeps. */
  #tellMissing(step: PipelineStep, end: StepEnd): void {
    const { as } = step;
    const { present, missing } = this.#stage;
    if (as !== undefined && !present.has(nameKey(as)) && !missing.has(nameKey(as))) missing.set(nameKey(as), missingBecause(as, step, end));
  }

  // ---- The graph ----

  async #carryOut(): Promise<void> {
    const { graph } = this.#stage;
    let atWork = 0;
    const failures: unknown[] = [];
    await new Promise<void>((resolve) => {
      const go = (): void => {
        const ready = this.#stage.signal.aborted ? [] : this.#progression.begin();
        for (const step of ready.flatMap((name) => graph.steps.get(name) ?? [])) {
          atWork += 1;
          this.#step(step)
            .then((end) => this.#ended(step, end))
            .catch((error: unknown) => {
              failures.push(error);
              this.#stage.stop({ kind: 'cancelled', reason: 'the pipeline cannot go on' });
            })
            .finally(() => {
              atWork -= 1;
              go();
            });
        }
        if (atWork === 0) resolve();
      };
      go();
    });
    if (failures.length > 0) throw failures[0];
  }

  #ended(step: PipelineStep, end: StepEnd): void {
    if (end.verdict === null) return;
    this.#partly.delete(step.name);
    this.#rowsChanged += end.rowsChanged ?? 0;
    if (step === this.#job.pipeline.steps.at(-1) && end.state === 'succeeded') this.#result = end.result;
    this.#tellMissing(step, end);
    this.#progression.ended(step.name, end.verdict);
    const decides =
      end.verdict === 'abort' ? this.#decisive?.end.verdict !== 'abort' : end.verdict === 'skip' && this.#decisive === undefined;
    if (decides) this.#decisive = { step, end };
    this.#tell(step.name, null, step.name);
  }

  async #step(step: PipelineStep): Promise<StepEnd> {
    const past = this.#stage.pastOf(step.name, null);
    const before = endBefore(past);
    if (before !== undefined) {
      this.#resumed += 1;
      return before;
    }
    this.#tell(step.name, null, step.name);
    if (step.if !== undefined && past.attempts === 0) {
      const refused = await this.#asked(step, step.if);
      if (refused !== undefined) return refused;
    }
    return step.forEach === undefined ? runUnit(this.#stage, step, null) : runItems(this.#stage, step, step.forEach);
  }

  /** undefined: it runs. */
  async #asked(step: PipelineStep, condition: string): Promise<StepEnd | undefined> {
    const stage = this.#stage;
    const unit: Unit = { step, item: null, attempt: 1, startedAt: stage.parts.clock.now() };
    try {
      const value = await stage.onConnection(step, [condition], (connection) =>
        askCondition(connection.until(stage.signal), condition, stage.bindings, this.#job.zone),
      );
      if (value === true) return undefined;
      const end = refusedBy(value);
      await stage.write([stage.rowOf(unit, end)]);
      return end;
    } catch (error) {
      const outcome = failedBy(error, stage.signal);
      if (stage.signal.aborted) return cutOff(stage, unit, outcome);
      const told = runErrorOf(error);
      const message = `in its condition (if): ${told.message}`;
      return giveUp(stage, unit, { ...outcome, reason: message, error: { ...told, message } });
    }
  }

  #tell(step: string, part: number | null, message: string): void {
    if (part !== null) this.#partly.set(step, Math.min(Math.max(part, 0), 1));
    const { endedCount } = this.#progression;
    const within = [...this.#partly.values()].reduce((total, one) => total + one, 0);
    this.#job.progress(Math.min((endedCount + within) / this.#job.pipeline.steps.length, 1), message);
  }

  // ---- The end ----

  async #close(): Promise<Execution> {
    const { isFenced, isLost } = this.#stage;
    const { endedCount, verdict } = this.#progression;
    if (isFenced) return { outcome: this.#cutShort(undefined), closed: 'fenced' };
    if (isLost) return { outcome: this.#cutShort(undefined), closed: 'no' };
    // Whoever says stop when all has been done comes too late.
    if (verdict === 'continue' && endedCount === this.#job.pipeline.steps.length) return this.#succeed();
    const outcome =
      this.#decisive === undefined ? this.#cutShort(undefined) : this.#outcome(decidedBy(this.#decisive.step, this.#decisive.end));
    if (outcome.state !== 'interrupted') await this.#writeNotBegun(outcome);
    return { outcome, closed: 'no' };
  }

  /** What steps have kept goes in the transaction that closes the run. */
  async #succeed(): Promise<Execution> {
    const { parts, place, firstRunId } = this.#stage;
    const { sql, clock, database, admission } = parts;
    const { run, zone, locked } = this.#job;
    const outcome = this.#outcome({ state: 'succeeded', reason: null, error: null });
    const perform = async (own: Connection): Promise<Pick<Outcome, 'result' | 'rowsChanged'>> => {
      for (const name of await presentResults(own, sql.database, firstRunId)) await own.run(`DROP TABLE ${place.table(name)}`);
      return { result: null, rowsChanged: null };
    };
    const ending: Ending = {
      begin: () => this.#ending.begin(),
      commit: (own, _, isGuarded, onSend) => this.#ending.commit(own, outcome, isGuarded, onSend),
      fate: () => this.#ending.fate(),
    };
    const work = { run, zone, timeoutMs: null, ending, effects: async () => effectsInside, perform, locked };
    const connection = new Connection(await database.connect());
    try {
      const closing = await admission.run('ledger', () => executeTransaction(connection, work, clock, new AbortController().signal));
      return { outcome, closed: closing.closed };
    } finally {
      await connection.close();
    }
  }

  /** Ended from outside, or by an error that is no step's. What was rolled back leaves the run open for the next start. */
  #cutShort(error: unknown): Outcome {
    const { isLost, conflicts, leftOutside } = this.#stage;
    const guarantee = leftOutside ? 'at_least_once' : null;
    if (isLost) {
      return { ...this.#outcome({ state: 'interrupted', reason: 'the database stopped while it was running', error: null }), guarantee };
    }
    const { reason: stopped } = this.#deadline;
    const { timeoutMs } = this.#job;
    const outcome = this.#outcome(failedOutcome(error, { stopped, timeoutMs, conflicts, guarantee: 'at_least_once' }));
    return outcome.state === 'interrupted' ? { ...outcome, guarantee } : outcome;
  }

  #outcome({ state, reason, error }: Pick<Outcome, 'state' | 'reason' | 'error'>): Outcome {
    const { steps } = this.#job.pipeline;
    return {
      state,
      reason,
      error,
      result: this.#result,
      rowsChanged: this.#rowsChanged,
      guarantee: 'at_least_once',
      guaranteeReason,
      conflicts: this.#stage.conflicts,
      notes: this.#resumed === 0 ? [] : [`resumed: ${this.#resumed} of ${steps.length} steps were done before`],
    };
  }

  async #writeNotBegun({ reason, state }: Outcome): Promise<void> {
    const stage = this.#stage;
    const why =
      this.#decisive === undefined ? `the run was ended: ${reason ?? state}` : `step ${this.#decisive.step.name} ended the pipeline`;
    const rows = this.#progression.notBegun.flatMap((name): StepRun[] => {
      const step = stage.graph.steps.get(name);
      if (step === undefined || endBefore(stage.pastOf(name, null)) !== undefined) return [];
      const unit: Unit = { step, item: null, attempt: 1, startedAt: stage.parts.clock.now() };
      const end: StepEnd = { ...nothingFound, verdict: null, state: 'skipped', reason: `not begun: ${why}` };
      return [{ ...stage.rowOf(unit, end), startedAt: null }];
    });
    await stage.write(rows);
  }
}
