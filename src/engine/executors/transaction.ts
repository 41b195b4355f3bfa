// SQL that commits together with what says that it is done: the closing row of a run, the row of a pipeline's step. A crash leaves
// both or neither. Who writes that row, and how it holds back what somebody else has closed, says the `Ending`.

import { Diagnostic } from '../../core/diagnostic.ts';
import { factsOf } from '../../parser/facts.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Execution } from '../../scheduler/ports.ts';
import type { OpenRun, Outcome } from '../../scheduler/run.ts';
import { callOf } from '../calls.ts';
import type { BodyStatement } from '../routine.ts';
import type { Catalogue } from '../store/duckdb/catalogue.ts';
import type { Connection } from '../store/duckdb/connection.ts';
import { rememberTransaction } from '../store/duckdb/fence.ts';
import { literal } from '../store/duckdb/literal.ts';
import { Deadline } from './deadline.ts';
import type { Ending } from './ending.ts';
import { failedOutcome } from './outcome.ts';

export interface TransactionWork {
  readonly run: OpenRun;
  readonly zone: string;
  readonly timeoutMs: number | null;
  /** Of that, before this. */
  readonly spentMs?: number;
  /** How its own transaction closes it; undefined: rolled back at the end, and nothing is closed. */
  readonly ending: Ending | undefined;
  effects(connection: Connection): Promise<Effects>;
  /** Inside the transaction, on a connection whose statements `signal` ends. */
  perform(connection: Connection, signal: AbortSignal): Promise<Performed>;
  /** Held after two conflicts, so that a long run is not beaten for ever by short ones. */
  locked<T>(work: () => Promise<T>): Promise<T>;
}

export type Performed = Pick<Outcome, 'result' | 'rowsChanged' | 'rowsByStatement' | 'notes'>;

/**
 * Where effects go. `inside`: into this database, in one transaction with the closing row. `outside`: a file is written beside it,
 * which no rollback takes back. `apart`: the statements commit by themselves, because the procedure wants it so or because a
 * transaction of DuckDB writes to one database only.
 */
export interface Effects {
  readonly kind: 'inside' | 'outside' | 'apart';
  /** Why they are not all inside, in words. */
  readonly reason: string | null;
}

export const effectsInside: Effects = { kind: 'inside', reason: null };

/** What an atomic: false of a procedure says. */
export const effectsByItself: Effects = { kind: 'apart', reason: 'atomic: false' };

/** Somebody who holds the same rows for longer than this is waited for no more. */
const conflictPatienceMs = 60_000;
const longestPauseMs = 500;

export async function executeTransaction(
  connection: Connection,
  work: TransactionWork,
  clock: Clock,
  signal: AbortSignal,
): Promise<Execution> {
  const deadline = new Deadline(work.timeoutMs, clock, signal, work.spentMs);
  const since = clock.monotonicMs();
  let conflicts = 0;
  const tryAgain = async (): Promise<Execution> => {
    for (;;) {
      const { effects, ...answer } = await attempt(connection, work, deadline, conflicts);
      const again = answer.outcome.error?.code === 'conflict' && answer.closed === 'no' && effects.kind !== 'apart';
      if (!again || deadline.signal.aborted || clock.monotonicMs() - since > conflictPatienceMs) return answer;
      conflicts += 1;
      // Somebody else wrote the same rows first: the whole attempt is tried again, a little later each time.
      await clock.sleep(Math.min((5 + Math.random() * 20) * 2 ** conflicts, longestPauseMs * (0.5 + Math.random())));
      if (conflicts === 2) return work.locked(tryAgain);
    }
  };
  try {
    return await tryAgain();
  } finally {
    deadline.disarm();
  }
}

async function attempt(
  connection: Connection,
  work: TransactionWork,
  deadline: Deadline,
  conflicts: number,
): Promise<Execution & { readonly effects: Effects }> {
  const { ending, timeoutMs } = work;
  let effects = effectsInside;
  let outcome: Outcome | undefined;
  let sent: 'removed' | 'marked' | undefined;
  try {
    effects = await work.effects(connection);
    if (effects.kind !== 'inside') {
      if (ending === undefined) throw notTakenBack(effects);
      await ending.begin();
    }
    const zone = `SET TimeZone = ${literal(work.zone)}`;
    if (effects.kind === 'apart') await connection.send(zone, 'none');
    else await connection.send(`${zone}; BEGIN; ${rememberTransaction}`, 'open');
    const performed = await work.perform(connection.until(deadline.signal), deadline.signal);
    outcome = { state: 'succeeded', reason: null, ...performed, error: null, ...guaranteeOf(effects), conflicts };
    // From here on an interrupt could hit the COMMIT, and an error from COMMIT proves nothing.
    if (!deadline.hold()) throw new Diagnostic('cancelled', 'stopped before it was committed');
    if (ending === undefined) {
      await connection.rollback();
      return { outcome, closed: 'no', effects };
    }
    if (effects.kind === 'apart') await connection.send('BEGIN', 'open');
    const closed = await ending.commit(connection, outcome, effects.kind !== 'apart', (how) => {
      sent = how;
    });
    if (closed !== 'fenced') return { outcome, closed, effects };
    await connection.rollback();
    const context = { stopped: undefined, timeoutMs, conflicts, ...guaranteeOf(effects) };
    return { outcome: failedOutcome(fenced(work.run), context), closed, effects };
  } catch (error) {
    await connection.rollback();
    if (sent !== undefined && outcome !== undefined && ending !== undefined) {
      const fate = await ending.fate();
      if (fate !== 'open') return { outcome, closed: fate, effects };
    }
    const context = { stopped: deadline.reason, timeoutMs, conflicts, ...guaranteeOf(effects) };
    return { outcome: failedOutcome(error, context), closed: 'no', effects };
  } finally {
    deadline.goOn();
  }
}

function guaranteeOf({ kind, reason }: Effects): Pick<Outcome, 'guarantee' | 'guaranteeReason'> {
  return { guarantee: kind === 'inside' ? 'exactly_once' : 'at_least_once', guaranteeReason: reason };
}

/** What the words of these statements say of their effects. */
export async function effectsOf(texts: readonly string[], connection: Connection, main: string): Promise<Effects> {
  const acts = texts.flatMap((text) => factsOf(text).acts);
  const targets = acts.flatMap((act) => (act.kind === 'write' || act.kind === 'object' ? [act.target] : []));
  if (targets.some((target) => target.length > 1)) {
    const attached = await connection.all<{ name: string }>(
      'SELECT database_name AS name FROM duckdb_databases() WHERE NOT internal AND database_name <> $main',
      { main },
    );
    const names = new Set(attached.map((row) => row.name.toLowerCase()));
    const other = targets.find((target) => target.length > 1 && names.has((target[0] ?? '').toLowerCase()));
    if (other !== undefined) return { kind: 'apart', reason: `writes to ${other.join('.')}, another database` };
  }
  return acts.some((act) => act.kind === 'copyTo') ? { kind: 'outside', reason: 'writes a file: COPY .. TO' } : effectsInside;
}

/** These statements, and those of the procedures that they call. */
export async function withCalled(
  statements: readonly BodyStatement[],
  catalogue: Catalogue,
  seen: Set<string> = new Set(),
): Promise<string[]> {
  const texts = statements.map((statement) => statement.text);
  const called: string[] = [];
  for (const text of texts) {
    const parsed = callOf(text);
    if (parsed === undefined || seen.has(parsed.name.text.toLowerCase())) continue;
    seen.add(parsed.name.text.toLowerCase());
    const stored = await catalogue.routine(parsed.name.text);
    if (stored?.routine.kind !== 'procedure' || stored.routine.body.language !== 'sql') continue;
    called.push(...(await withCalled(stored.routine.body.statements, catalogue, seen)));
  }
  return [...texts, ...called];
}

function notTakenBack({ kind, reason }: Effects): Diagnostic {
  const what = kind === 'outside' ? 'it writes a file' : 'its statements commit by themselves';
  const why = kind === 'apart' && reason !== null ? ` (${reason})` : '';
  return new Diagnostic('unsupported', `a dry run cannot take back what it does: ${what}${why}`, { hint: 'run it without DRY RUN' });
}

function fenced(run: OpenRun): Diagnostic {
  return new Diagnostic('fenced', `run ${run.runId} has been closed by somebody else; what this attempt did was rolled back`);
}
