// Work outside of the database, from its durable start to its outcome: what a command, a handler or a registered executor answers
// or throws becomes a row here. Its effects cannot be rolled back, so that it is at least once; what it wrote by
// `services.database.transaction` commits together with its closing row.

import type { Clock } from '../../scheduler/clock.ts';
import type { Execution } from '../../scheduler/ports.ts';
import type { Outcome } from '../../scheduler/run.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { Deadline } from './deadline.ts';
import type { Ending } from './ending.ts';
import { type Executor, type Task, TaskEnd } from './executor.ts';
import { failedOutcome } from './outcome.ts';
import { jsonResult } from './runResult.ts';
import { Secrets } from './secrets.ts';

/** The task without what only its run gives it. */
export type TaskPlan = Omit<Task, 'signal' | 'services' | 'log' | 'progress'>;

export interface TaskRun {
  readonly executor: Executor;
  readonly timeoutMs: number | null;
  /** Of that, by its condition and its parameters. */
  readonly spentMs?: number;
  readonly ending: Ending;
  /** The task, once it is known what ends it. */
  open(signal: AbortSignal): OpenTask;
}

export interface OpenTask {
  readonly task: Task;
  /** With a transaction that is open, where the task has begun one and all of its statements answered; remembered by its id. */
  transaction(): Promise<Connection | undefined>;
  /** Nothing of it goes on: connections closed, log lines durable. Safe to call twice. */
  close(): Promise<void>;
}

export async function runTask(
  { executor, timeoutMs, spentMs, ending, open }: TaskRun,
  clock: Clock,
  signal: AbortSignal,
): Promise<Execution> {
  const deadline = new Deadline(timeoutMs, clock, signal, spentMs);
  const opened = open(deadline.signal);
  const secrets = new Secrets(opened.task.secrets);
  const guaranteed = atLeastOnce(opened.task);
  const failed = (error: unknown): Execution => {
    const outcome = failedOutcome(error, { stopped: deadline.reason, timeoutMs, conflicts: 0, ...guaranteed });
    return { outcome: secrets.maskedOutcome(outcome), closed: 'no' };
  };
  let sent: 'removed' | 'marked' | undefined;
  let outcome: Outcome | undefined;
  try {
    await ending.begin();
    const answered = deadline.signal.aborted ? undefined : await executor.execute(opened.task);
    outcome = secrets.maskedOutcome(outcomeOf(answered, deadline, timeoutMs, guaranteed));
    const connection = outcome.state === 'succeeded' ? await opened.transaction() : undefined;
    if (connection === undefined) return { outcome, closed: 'no' };
    if (!deadline.hold()) return failed(undefined);
    const closed = await ending.commit(connection, outcome, true, (how) => {
      sent = how;
    });
    return { outcome, closed };
  } catch (error) {
    if (sent !== undefined && outcome !== undefined) {
      const fate = await ending.fate();
      if (fate !== 'open') return { outcome, closed: fate };
    }
    return failed(error);
  } finally {
    await opened.close();
    deadline.disarm();
  }
}

type Guaranteed = Pick<Outcome, 'guarantee' | 'guaranteeReason'>;

function atLeastOnce({ exe }: Task): Guaranteed {
  return { guarantee: 'at_least_once', guaranteeReason: `what a ${exe} does cannot be rolled back` };
}

/** What was told to end has not succeeded, whatever it answered then. */
function outcomeOf(answered: unknown, deadline: Deadline, timeoutMs: number | null, guaranteed: Guaranteed): Outcome {
  const end = answered instanceof TaskEnd ? answered : new TaskEnd({ result: answered });
  const measured = { cpuMs: end.cpuMs, peakMemoryBytes: end.peakMemoryBytes } as const;
  if (end.error !== null || deadline.reason !== undefined) {
    const failed = failedOutcome(undefined, { stopped: deadline.reason, timeoutMs, conflicts: 0, ...guaranteed });
    const own = deadline.reason === undefined && end.error !== null ? { reason: end.error.message, error: end.error } : {};
    return { ...failed, ...own, ...measured, rowsChanged: end.rowsChanged, notes: end.notes, result: jsonResult(end.result).result };
  }
  const { result, note } = jsonResult(end.result);
  return {
    state: 'succeeded',
    reason: null,
    result,
    rowsChanged: end.rowsChanged,
    error: null,
    ...guaranteed,
    conflicts: 0,
    ...measured,
    notes: note === undefined ? end.notes : [...end.notes, note],
  };
}
