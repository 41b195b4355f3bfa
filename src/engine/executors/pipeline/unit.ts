// One step, or one item of it: tried until it succeeds, is given up, or is ended with its run. Its SQL commits together with its
// row; work outside of the database is written down behind it.

import { Diagnostic } from '../../../core/diagnostic.ts';
import { formatDuration } from '../../../core/duration.ts';
import type { JsonValue } from '../../../core/jsonValue.ts';
import { nameKey } from '../../../core/name.ts';
import { undelivered } from '../../../scheduler/opening.ts';
import { type StepRun, stepRetryAt } from '../../../scheduler/pipeline.ts';
import type { Execution } from '../../../scheduler/ports.ts';
import type { Outcome } from '../../../scheduler/run.ts';
import type { Action } from '../../../scheduler/schedule.ts';
import type { PipelineStep, Procedure, StepReaction } from '../../routine.ts';
import { Connection } from '../../store/duckdb/connection.ts';
import { commitSteps } from '../../store/duckdb/fence.ts';
import type { Ending } from '../ending.ts';
import { bindGiven, type Given, secretsIn } from '../runValues.ts';
import { runTask } from '../task.ts';
import { planTask } from '../taskPlan.ts';
import { executeTransaction } from '../transaction.ts';
import { answeredRows } from './answeredRows.ts';
import { configOf, givenToPipeline, givenToStep, type Item } from './job.ts';
import { keepRows } from './results.ts';
import { effectsOfBody, performBody, type SqlBody, sqlBodyOf } from './sqlStep.ts';
import type { Stage } from './stage.ts';
import { endBefore, endOf, failedBy, nothingFound, type StepEnd, Try, type Unit } from './stepEnd.ts';

export async function runUnit(stage: Stage, step: PipelineStep, item: Item | null): Promise<StepEnd> {
  const { clock } = stage.parts;
  const past = stage.pastOf(step.name, item?.index ?? null);
  const before = endBefore(past);
  if (before !== undefined) return before;
  let { failures } = past;
  for (let attempt = past.attempts + 1; ; attempt++) {
    const unit: Unit = { step, item, attempt, startedAt: clock.now() };
    const tried = await tryOnce(stage, unit);
    if (tried.kind === 'ended') return tried.end;
    const { outcome } = tried;
    if (stage.signal.aborted) return cutOff(stage, unit, outcome);
    failures += 1;
    const again = tried.failsEmpty ? undefined : stepRetryAt(step.retry, failures, clock.now(), Math.random());
    if (again === undefined) return giveUp(stage, unit, outcome, tried.failsEmpty ? 'on_empty' : 'on_fail');
    const delayMs = again - clock.now();
    const reason = `${outcome.reason ?? outcome.state}; retry in ${formatDuration(Math.max(1, Math.round(delayMs)))}`;
    await stage.write([stage.rowOf(unit, { ...endOf(outcome, null), reason })]);
    await pause(stage, delayMs);
    if (stage.signal.aborted) return endOf(failedBy(undefined, stage.signal), null);
  }
}

/** It has failed for good. */
export async function giveUp(stage: Stage, unit: Unit, outcome: Outcome, key: 'on_empty' | 'on_fail' = 'on_fail'): Promise<StepEnd> {
  const { onEmpty, onFail } = unit.step;
  const { kind, message, actions } = key === 'on_empty' ? onEmpty : onFail;
  const why = outcome.reason ?? outcome.state;
  const reason = message === undefined || key === 'on_empty' ? why : `${message}: ${why}`;
  const end: StepEnd = { ...endOf(outcome, kind), reason };
  await stage.write([stage.rowOf(unit, end)]);
  await act(stage, unit, key, actions, end);
  return end;
}

/** Ended with its run. What lay in the database is rolled back, as if it had not begun. */
export async function cutOff(stage: Stage, unit: Unit, outcome: Outcome): Promise<StepEnd> {
  const isOutside = outcome.guarantee === 'at_least_once';
  stage.leftOutside ||= isOutside;
  const end = endOf(outcome, null);
  const leavesRow = !stage.isFenced && !stage.isLost && (outcome.state !== 'interrupted' || isOutside);
  if (leavesRow) await stage.write([stage.rowOf(unit, end)]);
  return end;
}

async function pause({ signal, parts }: Stage, ms: number): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const wake = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = parts.clock.after(ms, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}

// ---- One try ----

type Tried =
  | { readonly kind: 'ended'; readonly end: StepEnd }
  | { readonly kind: 'failed'; readonly outcome: Outcome; readonly failsEmpty: boolean };

async function tryOnce(stage: Stage, unit: Unit): Promise<Tried> {
  const { step } = unit;
  const { work } = step;
  try {
    if (work.kind === 'emit') return await emit(stage, unit, work.event);
    const procedure = await stage.procedureOf(step);
    const body = sqlBodyOf(step, procedure);
    if (body !== undefined) return await trySql(stage, unit, body);
    return await tryTask(stage, unit, procedure);
  } catch (error) {
    return { kind: 'failed', outcome: failedBy(error, stage.signal), failsEmpty: false };
  }
}

async function emit(stage: Stage, unit: Unit, event: string): Promise<Tried> {
  const line = undelivered({ kind: 'emit', name: event });
  stage.job.log.write({ step: unit.step.name, stream: 'scheduler', level: 'warn', line });
  const end: StepEnd = { ...nothingFound, verdict: 'continue', state: 'succeeded', reason: 'not delivered' };
  await stage.write([stage.rowOf(unit, end)]);
  return { kind: 'ended', end };
}

async function trySql(stage: Stage, unit: Unit, body: SqlBody): Promise<Tried> {
  const { step, item } = unit;
  const { sql, clock } = stage.parts;
  const { run, zone, resultRows, environment, locked } = stage.job;
  const try_ = new Try(step);
  const perform = async (own: Connection) => {
    const given = await givenToStep(step, item, (result, path) => stage.firstOf(own, result, path));
    const bindings = await bindGiven(own, { own: stage.bindings, given, procedure: body.procedure, environment });
    const target = stage.targetOf(step, item);
    const found = await try_.watch(() => performBody(step, body, bindings, target, { connection: own, sql, resultRows }));
    try_.found(found);
    return { result: found.result, rowsChanged: found.rowsChanged, notes: found.notes };
  };
  const work = {
    run,
    zone,
    locked,
    timeoutMs: step.timeoutMs !== undefined ? step.timeoutMs : (body.procedure?.timeoutMs ?? null),
    ending: endingOf(stage, unit, try_, async () => {}),
    effects: (own: Connection) => effectsOfBody(body, own, sql),
    perform,
  };
  const texts = await stage.textsOf(step, body);
  const execution = await stage.onConnection(step, texts, (connection) => executeTransaction(connection, work, clock, stage.signal));
  return triedBy(stage, unit, try_, execution);
}

async function tryTask(stage: Stage, unit: Unit, procedure: Procedure | undefined): Promise<Tried> {
  const { step, item, attempt } = unit;
  const { job } = stage;
  const { exe, call } = taskOf(step, procedure);
  const executor = job.executors.find(exe);
  if (executor === undefined) throw new Diagnostic('undefined_object', `there is no executor ${exe} in this process`);
  const timeoutMs = step.timeoutMs !== undefined ? step.timeoutMs : (procedure?.timeoutMs ?? job.taskTimeoutMs);
  const plan = await stage.read(async (reader) => {
    const args = await givenToStep(step, item, (result, path) => stage.firstOf(reader, result, path));
    const secrets = secretsIn(givenToPipeline(job), {}, job.environment);
    const common = { exe, call, procedure, step: step.name, item: item?.index ?? null, attempt, timeoutMs, secrets };
    const given = procedure === undefined ? { ...parametersOf(stage), ...args } : args;
    return planTask(job, { ...common, given, own: stage.bindings, config: configOf(job, step) }, (work) => work(reader));
  });
  const try_ = new Try(step);
  const keep = async (own: Connection, outcome: Outcome): Promise<void> => {
    const { columns, rows } = answeredRows(outcome);
    try_.found({ rows: rows.length, result: outcome.result, rowsChanged: outcome.rowsChanged ?? 0, notes: outcome.notes ?? [] });
    const target = stage.targetOf(step, item);
    if (target !== undefined) await keepRows(own, columns, rows, target);
  };
  const ending = endingOf(stage, unit, try_, keep);
  const progress = (fraction: number | null, message: string | null): void =>
    stage.tell(step.name, step.forEach === undefined ? fraction : null, message === null ? step.name : `${step.name}: ${message}`);
  const open = (until: AbortSignal) => job.openTask(plan, until, progress);
  const execution = await runTask({ executor, timeoutMs, ending, open }, stage.parts.clock, stage.signal);
  if (execution.closed !== 'no' || execution.outcome.state !== 'succeeded') return triedBy(stage, unit, try_, execution);
  // What it has done is done, and is written down whatever is said meanwhile.
  return triedBy(stage, unit, try_, await closeTask(stage, ending, execution.outcome));
}

/** The pipeline's own, as they were found when the run began. */
function parametersOf({ job, bindings }: Stage): Record<string, Given> {
  return Object.fromEntries(
    Object.keys(job.pipeline.params).flatMap((name) => {
      const value = bindings.get(name.toLowerCase());
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function taskOf({ work }: PipelineStep, procedure: Procedure | undefined): { exe: string; call: string | readonly string[] } {
  if (work.kind === 'command') return { exe: 'command', call: work.command };
  if (work.kind === 'handler') return { exe: 'handler', call: work.path };
  if (procedure?.body.language === 'command') return { exe: 'command', call: procedure.body.command };
  if (procedure?.body.language === 'javascript') return { exe: 'handler', call: procedure.body.path };
  const name = work.kind === 'call' ? work.routine : '';
  throw new Diagnostic('undefined_object', `procedure ${name} does not exist`, { hint: `create it: UPSERT PROCEDURE AS ${name} ..` });
}

async function closeTask({ parts }: Stage, ending: Ending, outcome: Outcome): Promise<Execution> {
  const connection = new Connection(await parts.database.connect());
  try {
    return await parts.admission.run('ledger', async () => {
      await connection.send('BEGIN', 'open');
      return { outcome, closed: await ending.commit(connection, outcome, false, () => {}) };
    });
  } catch (error) {
    await connection.rollback();
    const failed = failedBy(error, new AbortController().signal);
    return { outcome: { ...failed, guarantee: 'at_least_once' }, closed: 'no' };
  } finally {
    await connection.close();
  }
}

/** How the transaction of a step closes it: with its row. */
function endingOf(stage: Stage, unit: Unit, try_: Try, keep: (own: Connection, outcome: Outcome) => Promise<void>): Ending {
  let row: StepRun | undefined;
  return {
    begin: () => stage.begin(),
    commit: async (own, outcome, isGuarded, onSend) => {
      await keep(own, outcome);
      row = stage.rowOf(unit, try_.succeeded(outcome));
      return commitSteps(own, stage.parts.sql, [row], { isGuarded, onSend });
    },
    fate: async () => (row !== undefined && (await stage.isWritten(row)) ? 'removed' : 'open'),
  };
}

async function triedBy(stage: Stage, unit: Unit, try_: Try, { outcome, closed }: Execution): Promise<Tried> {
  const { step } = unit;
  stage.conflicts += outcome.conflicts;
  if (closed === 'fenced') stage.fence();
  if (closed === 'fenced' || closed === 'no') {
    return { kind: 'failed', outcome: explained(stage, step, try_.failed(outcome)), failsEmpty: try_.failsEmpty };
  }
  if (step.as !== undefined) stage.present.add(nameKey(step.as));
  const end = try_.succeeded(outcome);
  if (try_.isEmpty) await act(stage, unit, 'on_empty', step.onEmpty.actions, end);
  return { kind: 'ended', end };
}

/** Of a step that names a result which is not there, this is mostly the reason. */
function explained(stage: Stage, step: PipelineStep, outcome: Outcome): Outcome {
  const { error } = outcome;
  if (error === null || stage.missing.size === 0 || !('statements' in step.work)) return outcome;
  const text = nameKey(step.work.text);
  const names = stage.graph.visibleTo(step).map(({ name }) => nameKey(name));
  const [why] = names.flatMap((name) => (text.includes(name) ? (stage.missing.get(name) ?? []) : []));
  if (why === undefined || error.message.includes(why)) return outcome;
  const message = `${why}: ${error.message}`;
  return { ...outcome, reason: message, error: { ...error, message } };
}

// ---- What follows ----

/** Actions of a step, at the moment. One that fails has failed alone: its row tells it. */
export async function act(
  stage: Stage,
  { step, item }: Unit,
  key: 'on_empty' | 'on_fail',
  actions: readonly Action[],
  end: StepEnd,
): Promise<void> {
  for (const action of actions) {
    switch (action.kind) {
      case 'call':
        await runUnit(stage, await calledStep(step, key, action.procedure, end, (called) => procedureOf(stage, called)), item);
        break;
      case 'emit':
      case 'notify':
        stage.job.log.write({ step: step.name, stream: 'scheduler', level: 'warn', line: undelivered(action) });
        break;
      default:
        action satisfies never;
    }
  }
}

const goesOn: StepReaction = { kind: 'continue', actions: [] };

function procedureOf(stage: Stage, step: PipelineStep): Promise<Procedure | undefined> {
  // Where it cannot be looked up the step itself will say so.
  return stage.procedureOf(step).catch(() => undefined);
}

/** An action as a step of its own, which is told what happened where its procedure asks for it. */
export async function calledStep(
  step: PipelineStep,
  key: 'on_empty' | 'on_fail',
  routine: string,
  end: StepEnd,
  lookUp: (called: PipelineStep) => Promise<Procedure | undefined>,
): Promise<PipelineStep> {
  const told: Readonly<Record<string, JsonValue>> = { state: end.state, reason: end.reason, step: step.name };
  const called: PipelineStep = {
    name: `${step.name}.${key}`,
    work: { kind: 'call', routine },
    after: [],
    parallel: 1,
    args: {},
    config: step.config,
    retry: { maxRetries: 0, backoff: 'fixed', maxDelayMs: 0, jitter: false },
    onEmpty: goesOn,
    onFail: goesOn,
  };
  const args = ((await lookUp(called))?.parameters ?? []).flatMap(({ name }) => {
    const value = told[nameKey(name)];
    return value === undefined ? [] : [[name, { kind: 'literal', value }] as const];
  });
  return { ...called, args: Object.fromEntries(args) };
}
