// Small items of a for_each share a transaction: each has its row, all of them commit together, and where one fails they are rolled
// back and done one by one. A transaction costs more than most items do in it: an insert took 6 ms of CPU by itself, on a busy
// machine, and 0.6 ms so.

import { factsOf } from '../../../parser/facts.ts';
import type { StepRun } from '../../../scheduler/pipeline.ts';
import type { PipelineStep } from '../../routine.ts';
import type { Connection } from '../../store/duckdb/connection.ts';
import { commitSteps } from '../../store/duckdb/fence.ts';
import type { Ending } from '../ending.ts';
import { bindGiven } from '../runValues.ts';
import { executeTransaction } from '../transaction.ts';
import { givenToStep, type Item } from './job.ts';
import { effectsOfBody, performBody, type SqlBody, sqlBodyOf } from './sqlStep.ts';
import type { Stage } from './stage.ts';
import { endOf, type StepEnd, Try } from './stepEnd.ts';

/** For so long what is done may wait for the commit of others. */
const longMs = 100;
/** What is done in less, twice as many can be next time. */
const shortMs = 25;
const mostItems = 100;

export class Batch {
  readonly #stage: Stage;
  readonly #step: PipelineStep;
  readonly #body: SqlBody;
  readonly #texts: readonly string[];
  /** How many are tried together next: as many as take a moment. */
  size = 1;

  /** One was done by itself, its transaction included. */
  tookAlone(ms: number): void {
    if (ms < longMs) this.size = Math.max(this.size, 2);
  }

  /** undefined: each item of this step needs a transaction, or a time limit, of its own. */
  static async of(stage: Stage, step: PipelineStep): Promise<Batch | undefined> {
    const body = sqlBodyOf(step, await stage.procedureOf(step));
    if (body === undefined || body.procedure?.atomic === false) return undefined;
    if ((step.timeoutMs ?? body.procedure?.timeoutMs ?? null) !== null) return undefined;
    const texts = await stage.textsOf(step, body);
    // What changes the connection itself would be seen by the items behind it.
    const acts = texts.flatMap((text) => factsOf(text).acts);
    return acts.every((act) => act.kind === 'write' && act.target.length === 1) ? new Batch(stage, step, body, texts) : undefined;
  }

  private constructor(stage: Stage, step: PipelineStep, body: SqlBody, texts: readonly string[]) {
    this.#stage = stage;
    this.#step = step;
    this.#body = body;
    this.#texts = texts;
  }

  /** undefined: nothing of it is done, and each has to be done by itself. */
  async run(items: readonly Item[]): Promise<readonly StepEnd[] | undefined> {
    const stage = this.#stage;
    const { clock, sql } = stage.parts;
    const { run, zone, locked } = stage.job;
    let tookMs = 0;
    let done: readonly { readonly end: StepEnd; readonly row: StepRun }[] = [];
    const ending: Ending = {
      begin: () => stage.begin(),
      commit: (own, _, isGuarded, onSend) =>
        commitSteps(
          own,
          sql,
          done.map(({ row }) => row),
          { isGuarded, onSend },
        ),
      fate: async () => (done[0] !== undefined && (await stage.isWritten(done[0].row)) ? 'removed' : 'open'),
    };
    const work = {
      run,
      zone,
      locked,
      timeoutMs: null,
      ending,
      effects: (own: Connection) => effectsOfBody(this.#body, own, sql),
      perform: async (own: Connection) => {
        const sinceMs = clock.monotonicMs();
        const ends = [];
        for (const item of items) ends.push(await this.#one(item, own));
        done = ends;
        tookMs = clock.monotonicMs() - sinceMs;
        return { result: null, rowsChanged: null };
      },
    };
    const { outcome, closed } = await stage.onConnection(this.#step, this.#texts, (connection) =>
      executeTransaction(connection, work, clock, stage.signal),
    );
    stage.conflicts += outcome.conflicts;
    if (closed === 'fenced') stage.fence();
    const hasCommitted = closed === 'removed';
    if (!hasCommitted) this.size = 1;
    else if (tookMs < shortMs) this.size = Math.min(this.size * 2, mostItems);
    else if (tookMs > longMs) this.size = Math.max(this.size >> 1, 1);
    return hasCommitted ? done.map(({ end }) => end) : undefined;
  }

  async #one(item: Item, own: Connection): Promise<{ end: StepEnd; row: StepRun }> {
    const stage = this.#stage;
    const step = this.#step;
    const { sql, clock } = stage.parts;
    const { environment, resultRows } = stage.job;
    const startedAt = clock.now();
    const try_ = new Try(step);
    const given = await givenToStep(step, item, (result, path) => stage.firstOf(own, result, path));
    const bindings = await bindGiven(own, { own: stage.bindings, given, procedure: this.#body.procedure, environment });
    const found = await performBody(step, this.#body, bindings, stage.targetOf(step, item), { connection: own, sql, resultRows });
    try_.found(found);
    const { result, rowsChanged } = found;
    const end = endOf({ state: 'succeeded', reason: null, result, rowsChanged, error: null, guarantee: null, conflicts: 0 }, 'continue');
    return { end, row: stage.rowOf({ step, item, attempt: 1, startedAt }, end) };
  }
}
