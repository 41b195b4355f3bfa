// Short SQL runs that wait at the same moment share one transaction: one COMMIT, one look at the open set and one INSERT of closing rows
// for all of them. What a run shows to the outside is the same as alone: its effects and its row commit together or not at all, and what
// fails, fails alone. So on anything that is not plain success the transaction is rolled back and each of them runs alone.
//
// Who may share: statements that read and write tables of this database, and were quick the last time. Nobody waits for company: what
// comes alone runs alone, and while a shared transaction is at work, those that come meanwhile are the next one.

import { factsOf } from '../../parser/facts.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Execution } from '../../scheduler/ports.ts';
import type { Outcome } from '../../scheduler/run.ts';
import type { Admission } from '../admission.ts';
import { bodyStatements } from '../bind/body.ts';
import { Connection } from '../store/duckdb/connection.ts';
import { type ClosedRun, commitAllClosed, howClosed, rememberTransaction } from '../store/duckdb/fence.ts';
import { literal } from '../store/duckdb/literal.ts';
import type { NativeDatabase } from '../store/duckdb/native.ts';
import type { Sql } from '../store/duckdb/sql.ts';
import { Deadline } from './deadline.ts';
import type { RunEnding } from './ending.ts';
import { performSql, type SqlRun } from './sql.ts';
import type { Performed } from './transaction.ts';

export interface TogetherParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly admission: Admission;
}

/** What took no longer the last time is short. */
const shortMs = 10;

/** What they should take in all, by the last time; and when it is given up, because one of them takes longer than it should. */
const mostExpectedMs = 100;
const givenUpAfterMs = 500;
const mostTogether = 100;

/** A time limit that could end a run while it waits for the others is its own. */
const leastTimeoutMs = 10_000;

/** As many as a busy file has. */
const mostKnown = 5_000;

interface Member {
  readonly job: SqlRun & { readonly ending: RunEnding };
  readonly signal: AbortSignal;
  readonly expectedMs: number;
  /** undefined: it runs alone. */
  answer(execution: Execution | undefined): void;
}

export class Together {
  readonly #parts: TogetherParts;
  /** By schedule and version, what its statements took the last time. Not there: not known, or it shall run alone. */
  readonly #lastMs = new Map<string, number>();
  /** By zone, because a transaction has one. */
  readonly #waiting = new Map<string, Member[]>();

  constructor(parts: TogetherParts) {
    this.#parts = parts;
  }

  /** `alone` carries it out by itself, and tells by `job.took` how long its statements took. */
  async run(job: SqlRun, signal: AbortSignal, alone: (job: SqlRun) => Promise<Execution>): Promise<Execution> {
    const { ending } = job;
    const key = keyOf(job);
    const expectedMs = this.#lastMs.get(key);
    if (ending !== undefined && expectedMs !== undefined && !signal.aborted) {
      const execution = await this.#join({ ...job, ending }, expectedMs, signal);
      if (execution !== undefined) return execution;
    }
    let tookMs: number | undefined;
    const execution = await alone({ ...job, took: (ms) => (tookMs = ms) });
    const isShort = execution.outcome.state === 'succeeded' && tookMs !== undefined && tookMs <= shortMs;
    // What fails or is slow would only be in the others' way.
    this.#lastMs.delete(key);
    if (isShort && mayShare(job)) this.#lastMs.set(key, tookMs ?? 0);
    for (const oldest of this.#lastMs.keys()) {
      if (this.#lastMs.size <= mostKnown) break;
      this.#lastMs.delete(oldest);
    }
    return execution;
  }

  #join(job: Member['job'], expectedMs: number, signal: AbortSignal): Promise<Execution | undefined> {
    return new Promise((answer) => {
      const member: Member = { job, expectedMs, signal, answer };
      const waiting = this.#waiting.get(job.zone);
      if (waiting !== undefined) {
        waiting.push(member);
        return;
      }
      this.#waiting.set(job.zone, [member]);
      void this.#carryOut(job.zone);
    });
  }

  /** One transaction after the other, until nobody waits. */
  async #carryOut(zone: string): Promise<void> {
    const { clock, admission } = this.#parts;
    const waiting = this.#waiting.get(zone) ?? [];
    try {
      for (;;) {
        // All who begin in the same moment are there one turn later.
        for (let seen = 0; waiting.length > seen; ) {
          seen = waiting.length;
          await clock.yieldTurn();
        }
        const members = take(waiting);
        if (members.length === 0) return;
        if (members.length === 1) members[0]?.answer(undefined);
        else {
          const executions = await admission.run('run', () => this.#execute(members)).catch(() => []);
          for (const [at, member] of members.entries()) member.answer(executions[at]);
        }
      }
    } finally {
      this.#waiting.delete(zone);
      for (const member of waiting) member.answer(undefined);
    }
  }

  /** undefined: it has not happened, and the run shall be carried out alone. */
  async #execute(members: readonly Member[]): Promise<readonly (Execution | undefined)[]> {
    const { database, sql, clock } = this.#parts;
    const connection = new Connection(await database.connect());
    const deadline = new Deadline(givenUpAfterMs, clock, AbortSignal.any(members.map(({ signal }) => signal)));
    let ended: readonly { readonly outcome: Outcome; readonly closed: ClosedRun }[] = [];
    let wasSent = false;
    try {
      const zone = members[0]?.job.zone ?? 'UTC';
      await connection.send(`SET TimeZone = ${literal(zone)}; BEGIN; ${rememberTransaction}`, 'open');
      const own = connection.until(deadline.signal);
      const outcomes: Outcome[] = [];
      for (const { job } of members) outcomes.push(succeeded(await performSql(own, sql, job)));
      // From here on an interrupt could hit the COMMIT.
      if (deadline.hold()) {
        ended = members.flatMap(({ job }, at) => {
          const outcome = outcomes[at];
          return outcome === undefined ? [] : [{ outcome, closed: job.ending.closing(outcome) }];
        });
        const onSend = (): void => {
          wasSent = true;
        };
        const runs = ended.map(({ closed }) => closed);
        if ((await commitAllClosed(connection, sql, runs, { isGuarded: true, onSend })) === 'closed') {
          return ended.map(({ outcome, closed }) => ({ outcome, closed: howClosed(closed) }));
        }
      }
      await connection.rollback();
      return [];
    } catch {
      await connection.rollback();
      if (!wasSent) return [];
      // An error of COMMIT proves nothing.
      return await Promise.all(
        members.map(async ({ job }, at) => {
          const fate = await job.ending.fate();
          const outcome = ended[at]?.outcome;
          return fate === 'open' || outcome === undefined ? undefined : { outcome, closed: fate };
        }),
      );
    } finally {
      deadline.disarm();
      await connection.close();
    }
  }
}

function succeeded(performed: Performed): Outcome {
  const guaranteed = { guarantee: 'exactly_once', guaranteeReason: null } as const;
  return { state: 'succeeded', reason: null, ...performed, error: null, ...guaranteed, conflicts: 0 };
}

/** The first of those that wait, as many as should not take long; who has been stopped meanwhile finds out alone. */
function take(waiting: Member[]): Member[] {
  const members: Member[] = [];
  let expectedMs = 0;
  while (waiting.length > 0 && members.length < mostTogether && expectedMs < mostExpectedMs) {
    const [next] = waiting.splice(0, 1);
    if (next === undefined) break;
    if (next.signal.aborted) {
      next.answer(undefined);
      continue;
    }
    members.push(next);
    expectedMs += next.expectedMs;
  }
  return members;
}

function keyOf({ run }: SqlRun): string {
  return `${run.scheduleId}.${run.scheduleVersion}`;
}

/** How the statements begin that may share. */
const readsOrWrites = /^\s*(?:\(|(?:select|with|from|values|insert|update|delete|merge)\b)/i;

/** What looks at the transaction itself, or at what only our own statements write. */
const apart = ['txid_current', 'getvariable', 'cron', 'cuckoo_ledger'];

/**
 * By its words: it reads, and writes rows of tables here. What makes objects, changes settings, writes files or calls procedures could be
 * seen by the others, or see them.
 */
function mayShare({ run, procedure, timeoutMs, schedule }: SqlRun): boolean {
  if (run.scheduleId === null || procedure !== undefined || (timeoutMs !== null && timeoutMs < leastTimeoutMs)) return false;
  if (Object.values(schedule.params).some((value) => value.kind === 'sql')) return false;
  const text = String(schedule.target.call);
  if (!bodyStatements(text).every((statement) => readsOrWrites.test(statement.text))) return false;
  const { acts, files, names } = factsOf(text);
  const inHere = acts.every((act) => act.kind === 'write' && act.verb !== 'copy' && act.target.length === 1);
  return inHere && files.length === 0 && !apart.some((name) => names.has(name));
}
