// A step that does one thing to many items: in lanes side by side, with a row for each item and one for the step itself, which
// closes it.

import { nameKey } from '../../../core/name.ts';
import { noPast } from '../../../scheduler/pipeline.ts';
import type { PipelineStep } from '../../routine.ts';
import { Typed } from '../../store/duckdb/connection.ts';
import { bindGiven } from '../runValues.ts';
import { used } from '../statements.ts';
import { Batch } from './batch.ts';
import { Items, Tally } from './items.ts';
import { givenToStep, type Item, itemPaths, pathKey } from './job.ts';
import { countIn, type KnownResult, keepingText, readPortion } from './results.ts';
import { sqlBodyOf } from './sqlStep.ts';
import type { Stage } from './stage.ts';
import { failedBy, type StepEnd, type Unit } from './stepEnd.ts';
import { act, cutOff, giveUp, runUnit } from './unit.ts';

const itemsAtOnce = 1000;
/** The kind of the row that closes the step. */
const kind = 'for_each';

export async function runItems(stage: Stage, step: PipelineStep, forEach: string): Promise<StepEnd> {
  const unit: Unit = { step, item: null, attempt: stage.pastOf(step.name, null).attempts + 1, startedAt: stage.parts.clock.now() };
  const paths = itemPaths(step);
  let items: Items;
  try {
    const result = stage.resultNamed(forEach);
    const total = await stage.read((reader) => countIn(stage.place.table(result.name), reader));
    if (total === 0) return await noItems(stage, unit, result, paths);
    items = new Items(total, (from) => portion(stage, result, paths, from));
    const tally = await runAll(stage, step, items);
    const isCutOff = tally.decisive === undefined && tally.ended < total;
    const end = tally.end(total);
    if (!isCutOff) {
      await stage.write([stage.rowOf(unit, end, kind)]);
      return end;
    }
    const { state, reason } = failedBy(undefined, stage.signal);
    const cut = { ...end, verdict: null, state, reason, error: null };
    if (state !== 'interrupted') await stage.write([stage.rowOf(unit, cut, kind)]);
    return cut;
  } catch (error) {
    const outcome = failedBy(error, stage.signal);
    return stage.signal.aborted ? cutOff(stage, unit, outcome) : giveUp(stage, unit, outcome);
  }
}

async function runAll(stage: Stage, step: PipelineStep, items: Items): Promise<Tally> {
  const tally = new Tally();
  const tell = (): void => stage.tell(step.name, tally.ended / items.total, `${step.name}: ${tally.ended} of ${items.total}`);
  const mayGoOn = (): boolean => tally.decisive === undefined && !stage.signal.aborted;
  const batch = await Batch.of(stage, step);
  const some = async (most: number): Promise<boolean> => {
    const taken = await items.take(most);
    const isNew = taken.every((item) => stage.pastOf(step.name, item.index) === noPast);
    const together = batch !== undefined && isNew && taken.length > 1 ? await batch.run(taken) : undefined;
    for (const [at, item] of taken.entries()) {
      if (!mayGoOn()) break;
      const sinceMs = stage.parts.clock.monotonicMs();
      const end = together?.[at] ?? (await runUnit(stage, step, item));
      if (together === undefined && end.state === 'succeeded') batch?.tookAlone(stage.parts.clock.monotonicMs() - sinceMs);
      tally.add(end, item.index);
      tell();
    }
    return taken.length > 0;
  };
  tell();
  const makesTable = (): boolean => step.as !== undefined && !stage.present.has(nameKey(step.as));
  // The first that succeeds makes the table into which the others put their rows.
  while (makesTable() && mayGoOn() && (await some(1)));
  const lane = async (): Promise<void> => {
    while (mayGoOn() && (await some(batch?.size ?? 1)));
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(step.parallel, items.total) }, lane));
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
  return tally;
}

async function portion(stage: Stage, result: KnownResult, paths: readonly (readonly string[])[], from: number): Promise<Item[]> {
  const { rows } = await stage.read((reader) => readPortion(reader, result, paths, { place: stage.place, from, most: itemsAtOnce }));
  return rows.map((values, at) => ({
    index: from + at,
    values: new Map(paths.map((path, place) => [pathKey(path), values[place] ?? nullValue])),
  }));
}

const nullValue = new Typed({ value: null, type: { kind: 'NULL' } });

/** There is nothing to do. What it would keep has its columns all the same, where its SQL tells them. */
async function noItems(stage: Stage, unit: Unit, result: KnownResult, paths: readonly (readonly string[])[]): Promise<StepEnd> {
  const { step } = unit;
  const { kind: verdict, message, actions } = step.onEmpty;
  if (step.as !== undefined && !(await makeEmpty(stage, step, step.as, result, paths))) {
    stage.missing.set(nameKey(step.as), `result ${step.as} has no columns, because step ${step.name} had no items`);
  }
  const reason = message ?? `no rows in ${result.name}`;
  const fails = verdict === 'abort';
  const end: StepEnd = {
    verdict,
    state: fails ? 'failed' : 'succeeded',
    reason,
    error: fails ? { code: 'run_failed', message: reason, detail: null } : null,
    result: { items: 0, succeeded: 0, failed: 0 },
    rowsChanged: 0,
  };
  await stage.write([stage.rowOf(unit, end, kind)]);
  await act(stage, unit, 'on_empty', actions, end);
  return end;
}

async function makeEmpty(
  stage: Stage,
  step: PipelineStep,
  as: string,
  result: KnownResult,
  paths: readonly (readonly string[])[],
): Promise<boolean> {
  const body = sqlBodyOf(step, await stage.procedureOf(step));
  const [only, second] = body?.statements ?? [];
  const table = stage.place.table(as);
  const keeping = only === undefined || second !== undefined ? undefined : keepingText(only.text, { table, item: 0, isThere: false });
  if (body === undefined || keeping === undefined) return false;
  await stage.onConnection(step, await stage.textsOf(step, body), async (connection) => {
    const { types } = await readPortion(connection, result, paths, { place: stage.place, from: 0, most: 0 });
    const values = new Map(paths.map((path, at) => [pathKey(path), new Typed({ value: null, type: types[at] ?? { kind: 'NULL' } })]));
    const given = await givenToStep(step, { index: 0, values }, (name, path) => stage.firstOf(connection, name, path));
    const { environment } = stage.job;
    const bindings = await bindGiven(connection, { own: stage.bindings, given, procedure: body.procedure, environment });
    await connection.run(`${keeping.text} LIMIT 0`, used(keeping.text, bindings));
  });
  stage.present.add(nameKey(as));
  return true;
}
