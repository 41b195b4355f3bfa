// A session: one connection, its own transaction, temp tables and settings. `execute` is the one function that every door calls;
// it reads our own words first and passes everything else to DuckDB untouched.

import { Diagnostic } from '../core/diagnostic.ts';
import { Turnstile } from '../core/turnstile.ts';
import type { CallStatement, ListStatement, PassThroughStatement, Statement } from '../parser/ast.ts';
import { tokenAt } from '../parser/lexer.ts';
import { parse } from '../parser/parse.ts';
import { split } from '../parser/split.ts';
import { suggest } from '../parser/suggest.ts';
import type { AwaitedRun } from './awaitedRun.ts';
import type { Engine } from './engine.ts';
import { guard } from './guard.ts';
import { jobStatementOf } from './jobStatement.ts';
import { Result, type Warning } from './result.ts';
import type { StatementContext } from './statements/context.ts';
import { carryOut, standsAlone, writes } from './statements/dispatch.ts';
import { runJobStatement } from './statements/job.ts';
import { listQuery } from './statements/list.ts';
import { call } from './statements/routine.ts';
import { Catalogue } from './store/duckdb/catalogue.ts';
import { Connection, nativeParameters, type Parameters, Typed } from './store/duckdb/connection.ts';
import { cancelWaiting } from './store/duckdb/fence.ts';
import type { NativeConnection, NativeCursor, TransactionState } from './store/duckdb/native.ts';
import { heldUpCode } from './turns.ts';
import { toParameter } from './value.ts';

export interface SessionOptions {
  /** Who changes definitions, for cron.schedule_versions. */
  readonly actor: string;
  /** May change global settings. */
  readonly admin: boolean;
  /** Where definitions come from, if not from a person, and what is written beside them in their transaction. */
  readonly origin?: { readonly source: string | null; beforeCommit(connection: Connection): Promise<void> };
}

export class Session {
  readonly #engine: Engine;
  #connection: Connection;
  #catalogue: Catalogue;
  readonly #options: SessionOptions;
  /** Set by SET cron.timezone, until the transaction it stands in has ended. */
  #changedZone = false;
  /** The open transaction holds definitions. */
  #defined = false;
  /** Schedules whose fires count from its commit. */
  readonly #counting = new Set<number>();
  readonly #dropped = new Set<number>();
  readonly #awaited = new Map<string, AwaitedRun>();
  /** Ends a RUN that executes here. */
  #stop = new AbortController();
  readonly #turnstile = new Turnstile();
  /** The database has stopped, and a statement has said so. */
  #toldLoss = false;
  /** The transaction that was open then has been ended since. */
  #lostTransactionEnded = false;
  /** For the next result. */
  #notice: Warning | undefined;
  #closed = false;

  constructor(engine: Engine, native: NativeConnection, options: SessionOptions) {
    this.#engine = engine;
    this.#connection = new Connection(native);
    this.#catalogue = new Catalogue(this.#connection, engine.sql);
    this.#options = options;
  }

  /** none, open, or aborted: then only ROLLBACK goes on. */
  get transaction(): TransactionState {
    return this.#lostTransactionEnded ? 'none' : this.#connection.transaction;
  }

  /** A statement is at work. */
  get busy(): boolean {
    return this.#connection.native.busy;
  }

  /** Percent of the statement at work, where DuckDB can tell. */
  progress(): number | undefined {
    return this.#connection.native.progress();
  }

  /** The runs that the statement at work waits for, by their ids. */
  get awaited(): ReadonlyMap<string, AwaitedRun> {
    return this.#awaited;
  }

  /** The zone in which DuckDB shows this session's TIMESTAMPTZ. */
  async zone(): Promise<string> {
    if (this.#connection.native.lost !== undefined && this.transaction === 'none') await this.#turnstile.run(() => this.#reconnect());
    if (this.transaction === 'aborted' || this.#connection.native.lost !== undefined) return 'UTC';
    const [row] = await this.#connection.all<{ zone: string }>("SELECT current_setting('TimeZone') AS zone");
    return row?.zone ?? 'UTC';
  }

  /** Runs one statement. Statements of a session follow one another; rows of a result may be read while the next one waits. */
  execute(text: string, parameters?: Parameters): Promise<Result> {
    return this.#turnstile.run(() => this.#execute(text, parameters));
  }

  /** Ends the statement at work, not the session. */
  async interrupt(): Promise<void> {
    this.#stop.abort();
    await this.#connection.native.interrupt();
  }

  /** An open transaction is rolled back. Safe to call twice. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #execute(text: string, parameters: Parameters | undefined): Promise<Result> {
    if (this.#closed) throw new Diagnostic('closed', 'the session is closed');
    mustBeCalledRight(text, parameters);
    const parsed = parse(text);
    if (parsed.diagnostics !== undefined) throw Diagnostic.all(parsed.diagnostics);
    const { statement } = parsed;
    await this.#reconnect(statement);
    const before = this.transaction;
    try {
      return await this.#perform(statement, text, parameters);
    } catch (error) {
      const { lost } = this.#connection.native;
      throw lost === undefined ? error : this.#withLoss(error, lost, statement, before);
    }
  }

  async #perform(statement: Statement, text: string, parameters: Parameters | undefined): Promise<Result> {
    if (statement.kind === 'passThrough') return this.#passThrough(statement, parameters);
    if (this.transaction === 'aborted') {
      throw new Diagnostic('aborted_transaction', 'the transaction is aborted by an error before', {
        span: statement.span,
        hint: 'write ROLLBACK; and begin again',
      });
    }
    const answer = await this.#ours(statement, text, parameters);
    if ((statement.kind === 'set' || statement.kind === 'reset') && statement.name.text.toLowerCase() === 'timezone')
      this.#changedZone = true;
    if (this.transaction !== 'open') this.#forgetDefined();
    else if (writes(statement)) this.#defined = true;
    await this.#heedZone();
    return answer;
  }

  /** The cron_* functions take their default zone from memory: it is read again when a transaction that changed it has ended. */
  async #heedZone(): Promise<void> {
    if (!this.#changedZone || this.transaction !== 'none') return;
    this.#changedZone = false;
    await this.#engine.rereadZone();
  }

  // After the database has stopped: the next statement opens it again, on a connection that knows nothing of the one before.

  /** A transaction that was lost stays aborted until it is ended, as after any error: what stands in it must not run alone. */
  async #reconnect(statement?: Statement): Promise<void> {
    const { lost } = this.#connection.native;
    if (lost === undefined) return;
    const lostTransaction = this.transaction !== 'none';
    const told = this.#toldLoss;
    const native = await this.#engine.sessionConnection();
    await this.#connection.close();
    if (this.#closed) {
      await native.close();
      throw new Diagnostic('closed', 'the session is closed');
    }
    this.#connection = new Connection(native);
    this.#catalogue = new Catalogue(this.#connection, this.#engine.sql);
    this.#toldLoss = false;
    this.#lostTransactionEnded = false;
    this.#changedZone = false;
    this.#forgetDefined();
    if (!told) this.#notice = { message: 'the database has stopped and was opened again', hint: sessionGone };
    if (!lostTransaction || statement === undefined) return;
    const hint = isCommit(statement) ? 'Nothing of the transaction was kept: run it again from BEGIN.' : nothingKept;
    if (!isCommit(statement) || told) await abort(native);
    if (told || isRollback(statement)) return;
    this.#notice = undefined;
    throw new Diagnostic('fatal', lost.message, { span: statement.span, hint: `${hint} ${lost.hint} ${sessionGone}`, cause: lost });
  }

  /** What a statement that meets the end of the database says of its transaction. */
  #withLoss(error: unknown, lost: Diagnostic, statement: Statement, before: TransactionState): unknown {
    // closed: the file was opened again while the statement waited for its turn.
    if (!(error instanceof Diagnostic) || (error.code !== 'fatal' && error.code !== 'closed')) return error;
    if (this.#closed || this.#engine.path === ':memory:') return error;
    this.#toldLoss = true;
    const commits = before === 'open' && isCommit(statement);
    if (commits || isRollback(statement)) this.#lostTransactionEnded = true;
    const kept = commits ? 'Whether this COMMIT took effect is not known: look before you run it again.' : nothingKept;
    const hint = before === 'none' ? lost.hint : `${kept} ${lost.hint}`;
    return new Diagnostic('fatal', lost.message, { span: error.span, hint: `${hint} ${sessionGone}`, cause: error.cause });
  }

  // DuckDB's statements

  async #passThrough(statement: PassThroughStatement, parameters: Parameters | undefined, warnings: Warning[] = []): Promise<Result> {
    const { text } = statement;
    mustBeOne(text);
    this.#mustNotBreakOthers(text);
    const job = statement.mentionsCron && this.#engine.hasLedger ? jobStatementOf(text, this.#engine.sql.database) : undefined;
    if (job !== undefined && this.transaction !== 'aborted') {
      const scope = { context: this.#context(), queues: this.#engine.jobQueues, tag: tagOf(statement) };
      return this.#admit(() => runJobStatement(job, parameters, scope));
    }
    const before = this.transaction;
    const alone = statement.mentionsCron && callsCadences.test(text);
    const query = (): Promise<NativeCursor> => this.#connection.native.query(text, nativeParameters(parameters));
    // What this transaction defined becomes true at a boundary of the scheduler's.
    const commit = async (): Promise<NativeCursor> => {
      await this.#beforeCommit();
      return query();
    };
    const boundary = this.#defined && isCommit(statement) ? (): Promise<NativeCursor> => this.#engine.scheduler.change(commit) : query;
    const cursor = await this.#admitLearning(boundary, alone).catch((error: unknown) => {
      // Two that created one name hear of each other only at COMMIT.
      const both = this.#defined && isCommit(statement) && error instanceof Diagnostic && error.code === 'constraint';
      throw both ? changedMeanwhile(error) : error;
    });
    if (this.transaction === 'none') this.#forgetDefined();
    await this.#heedZone();
    const told = this.#notice === undefined ? [...warnings] : [this.#notice, ...warnings];
    this.#notice = undefined;
    if (before === 'aborted' && !isRollback(statement) && this.transaction === 'none') {
      told.push({
        message: 'rolled back: an error before had aborted the transaction',
        hint: 'nothing of it was kept; run it again from BEGIN',
      });
    }
    return Result.fromCursor(this.#admitted(cursor, { alone }), { tag: tagOf(statement), warnings: told });
  }

  /** One gate stands in front of every native call; rows are computed as they are read, so reading passes it too. */
  #admit<T>(work: () => Promise<T>, alone = false): Promise<T> {
    const admitted = (): Promise<T> => this.#engine.admission.run('session', work);
    return alone ? this.#engine.cadenceGate.run(admitted) : admitted();
  }

  /**
   * What costs most is seen the first time only: cadences that are not parsed yet, zones that are not read. A statement that would
   * have held up the scheduler for it is tried again when the scheduler has had its turns, and comes further.
   */
  async #admitLearning<T>(work: () => Promise<T>, alone: boolean): Promise<T> {
    for (let tries = 1; ; tries++) {
      const before = this.transaction;
      try {
        return await this.#admit(work, alone);
      } catch (error) {
        const isHeldUp = alone && before === 'none' && error instanceof Diagnostic && error.code === heldUpCode;
        if (!isHeldUp || tries >= heldUpTries) throw error;
        await this.#engine.clock.sleep(restMs);
      }
    }
  }

  #admitted(
    cursor: NativeCursor,
    { alone = false, place = (error) => error }: { alone?: boolean; place?: (error: Diagnostic) => Diagnostic } = {},
  ): NativeCursor {
    return {
      columns: cursor.columns,
      statementType: cursor.statementType,
      returnType: cursor.returnType,
      get rowsChanged() {
        return cursor.rowsChanged;
      },
      next: () =>
        this.#admit(() => cursor.next(), alone).catch((error: unknown) => {
          throw error instanceof Diagnostic ? place(error) : error;
        }),
      cancel: () => cursor.cancel(),
    };
  }

  // Our statements

  async #ours(statement: Exclude<Statement, PassThroughStatement>, text: string, parameters: Parameters | undefined): Promise<Result> {
    if (holdsSql.has(statement.kind)) this.#mustNotBreakOthers(text);
    if (statement.kind === 'call') {
      const stored = this.#engine.hasLedger ? await this.#catalogue.routine(statement.name.text) : undefined;
      if (stored === undefined) return this.#callOfDuckDb(statement, text, parameters);
      this.#stop = new AbortController();
      // A body has many statements: an interrupt ends it also between two of them.
      const context = { ...this.#context(), connection: this.#connection.until(this.#stop.signal) };
      return this.#admit(() => call(statement, stored, context, bindingsOf(parameters)));
    }
    if (statement.kind === 'list' && statement.ambiguous && (await this.#isVisible(statement.relation))) {
      return this.#passThrough(foreign(text), parameters);
    }
    this.#mustHaveLedger(statement);
    this.#mustBeAllowed(statement);
    if (statement.kind === 'list') return this.#list(statement, parameters);
    if (Object.keys(parameters ?? {}).length > 0) throw takesNoValues(statement);
    // A RUN passes the gate with its runs, not for as long as they take.
    this.#stop = new AbortController();
    const work = (): Promise<Result> => carryOut(statement, this.#context(), this.#stop.signal);
    return passesWithItsRuns.has(statement.kind) ? work() : this.#admit(() => this.#again(work));
  }

  /** Two sessions that define at the same moment: alone in its transaction, a statement looks again and takes its turn. */
  async #again(work: () => Promise<Result>): Promise<Result> {
    for (let tries = 1; ; tries++) {
      const alone = this.transaction === 'none';
      try {
        // Those that have lost once go one after another, so that they do not beat each other again.
        return await (tries === 1 ? work() : this.#engine.losers.run(work));
      } catch (error) {
        const lost = error instanceof Diagnostic && (error.code === 'conflict' || error.code === 'constraint');
        if (lost && (!alone || tries >= mostTries)) throw changedMeanwhile(error);
        if (!lost) throw error;
        await this.#engine.clock.sleep(Math.random() * Math.min(2 ** tries, longestRestMs));
      }
    }
  }

  /** A name that neither of us knows may be a slip in one of ours, which DuckDB cannot know. */
  async #callOfDuckDb(statement: CallStatement, text: string, parameters: Parameters | undefined): Promise<Result> {
    try {
      return await this.#passThrough(foreign(text), parameters);
    } catch (error) {
      if (!(error instanceof Diagnostic) || error.code !== 'unknown_function' || !this.#engine.hasLedger) throw error;
      if (this.transaction === 'aborted') throw error;
      const near = suggest(statement.name.text, await this.#catalogue.routineNames());
      if (near === undefined) throw error;
      throw new Diagnostic(error.code, error.message, { span: statement.name.span, hint: `Did you mean ${near}?`, cause: error });
    }
  }

  async #list(statement: ListStatement, parameters: Parameters | undefined): Promise<Result> {
    const query = listQuery(statement, this.#engine.sql.cron);
    try {
      const cursor = await this.#admit(() => this.#connection.native.query(query.text, nativeParameters(parameters)));
      return await Result.fromCursor(this.#admitted(cursor, { place: query.place }), { tag: 'LIST', prominent: query.prominent });
    } catch (error) {
      throw error instanceof Diagnostic ? query.place(error) : error;
    }
  }

  /** Whether DuckDB would find a table of this name by itself. */
  async #isVisible(name: string): Promise<boolean> {
    try {
      await this.#connection.all(`SELECT 1 FROM ${name} LIMIT 0`);
      return true;
    } catch {
      return false;
    }
  }

  #mustNotBreakOthers(text: string): void {
    const refused = guard(text, {
      admin: this.#options.admin,
      mainDatabase: this.#engine.database.catalogue,
      filePath: this.#engine.path === ':memory:' ? undefined : this.#engine.path,
    });
    if (refused !== undefined) throw refused;
  }

  #mustHaveLedger(statement: Statement): void {
    if (this.#engine.hasLedger) return;
    throw new Diagnostic('read_only', 'this file has no schedules yet, and it is open read-only', {
      span: statement.span,
      hint: 'open it once without --readonly',
    });
  }

  #mustBeAllowed(statement: Statement): void {
    if (this.#engine.readOnly && writes(statement)) {
      throw new Diagnostic('read_only', 'the file is open read-only', { span: statement.span, hint: 'open it without --readonly' });
    }
    if (this.transaction !== 'none' && standsAlone(statement)) {
      throw new Diagnostic('in_transaction', 'this statement cannot run inside a transaction', {
        span: statement.span,
        hint: 'write COMMIT; or ROLLBACK; first',
      });
    }
  }

  /** At a boundary of the scheduler's, in the transaction that ends there. */
  async #beforeCommit(): Promise<void> {
    if (this.transaction !== 'open') return;
    const { clock, sql, scheduler } = this.#engine;
    const at = clock.now();
    if (this.#counting.size > 0) await this.#catalogue.countFrom(this.#counting, at);
    for (const scheduleId of this.#dropped) {
      const isAtWork = (runId: string): boolean => scheduler.running(runId) !== undefined;
      await cancelWaiting(this.#connection, sql, { scheduleId, reason: 'dropped', at, isAtWork });
    }
    await this.#options.origin?.beforeCommit(this.#connection);
  }

  #forgetDefined(): void {
    this.#defined = false;
    this.#counting.clear();
    this.#dropped.clear();
  }

  #context(): StatementContext {
    const engine = this.#engine;
    // Alone, a statement takes no time between its moment and its commit.
    const isInBlock = this.transaction === 'open';
    return {
      connection: this.#connection,
      catalogue: this.#catalogue,
      sql: engine.sql,
      database: engine.database.catalogue,
      now: engine.clock.now(),
      actor: this.#options.actor,
      source: this.#options.origin?.source ?? null,
      executors: engine.worker.executors,
      engine,
      nextScheduleId: () => engine.nextScheduleId(),
      inTransaction: (work) => (this.transaction === 'none' ? this.#connection.transact(work) : work()),
      defining: (work) =>
        this.transaction === 'none'
          ? this.#connection.transact(work, (commit) => engine.scheduler.change(() => this.#beforeCommit().then(commit)))
          : work(),
      cancelsWaitingOf: (scheduleId) => this.#dropped.add(scheduleId),
      countsFromNow: (scheduleId) => {
        if (isInBlock) this.#counting.add(scheduleId);
      },
      awaits: (runs, { isTold } = { isTold: false }) => {
        const added = runs.filter(({ runId }) => !this.#awaited.has(runId));
        for (const run of added) this.#awaited.set(run.runId, { run, isTold });
        return () => {
          for (const { runId } of added) this.#awaited.delete(runId);
        };
      },
      parse: (text) => {
        const parsed = parse(text);
        if (parsed.statement !== undefined) return parsed.statement;
        throw Diagnostic.all(parsed.diagnostics);
      },
    };
  }
}

/** Their conditions and expressions are a person's own SQL. */
const holdsSql: ReadonlySet<Statement['kind']> = new Set(['call', 'list', 'cancelRuns', 'backfill', 'simulate']);

/** They wait for runs, which pass the gate themselves. */
const passesWithItsRuns: ReadonlySet<Statement['kind']> = new Set([
  'runSchedule',
  'backfill',
  'retryRun',
  'retryDeadLetter',
  'cancelRun',
  'cancelRuns',
  'simulate',
  'tailRun',
]);

const mostTries = 12;
/** Between two tries; a transaction of others takes some milliseconds. */
const longestRestMs = 100;

const heldUpTries = 3;

/** In it a fire that had to wait comes through, on a busy machine too; and `Turns` forgets. */
const restMs = 100;

/** Ours take their values where they are written: what comes beside them would be lost without a word. */
function takesNoValues(statement: Statement): Diagnostic {
  return new Diagnostic('usage', 'values were given, and this statement takes none', {
    span: statement.span,
    hint:
      statement.kind === 'runSchedule' || statement.kind === 'runPipeline'
        ? 'its parameters are written: WITH ( name: value )'
        : 'write them into the statement',
  });
}

function isCommit(statement: Statement): boolean {
  return statement.kind === 'passThrough' && (statement.firstWords[0] === 'COMMIT' || statement.firstWords[0] === 'END');
}

function isRollback(statement: Statement): boolean {
  return statement.kind === 'passThrough' && (statement.firstWords[0] === 'ROLLBACK' || statement.firstWords[0] === 'ABORT');
}

const nothingKept = 'Nothing of the open transaction was kept: write ROLLBACK; and begin again.';
const sessionGone = 'Temporary tables and settings of this session are gone.';

/** Begins a transaction that can only be rolled back. */
async function abort(native: NativeConnection): Promise<void> {
  await native.run('BEGIN', { leaves: 'open' });
  await native.run("SELECT error('lost')").catch(() => undefined);
}

function changedMeanwhile(cause: Diagnostic): Diagnostic {
  return new Diagnostic('conflict', 'another session changed the same definitions at the same moment', {
    hint: 'nothing of this transaction was kept: run it again from BEGIN',
    cause,
  });
}

/** Callers without types. */
function mustBeCalledRight(text: unknown, parameters: unknown): void {
  const hint = "execute('SELECT $1', [value]) or execute('SELECT $name', { name: value })";
  if (typeof text !== 'string') throw new Diagnostic('usage', `a statement is a text, not ${shownKind(text)}`, { hint });
  if (parameters === undefined || (typeof parameters === 'object' && parameters !== null)) return;
  throw new Diagnostic('usage', `parameters are a list or an object, not ${shownKind(parameters)}`, { hint });
}

function shownKind(value: unknown): string {
  return value === null || value === undefined ? String(value) : `a ${typeof value}`;
}

/** DuckDB would run several and answer the last. */
function mustBeOne(text: string): void {
  const end = text.indexOf(';');
  if (end < 0 || tokenAt(text, end + 1).kind === 'end') return;
  const [, second] = split(text).statements;
  if (second === undefined) return;
  throw new Diagnostic('syntax_error', 'a second statement follows', {
    span: { start: second.start, end: second.end },
    hint: 'give one statement at a time',
  });
}

/** What calls back into this thread for every row of a table. */
const callsCadences = /\bcron_(?:next|prev|next_n|matches|describe|is_valid)\b|\bcron"?\s*\.\s*"?(?:upcoming|timeline|schedules)\b/i;

/** A statement that began like ours and is DuckDB's after all. */
function foreign(text: string): PassThroughStatement {
  const firstWords =
    text
      .toUpperCase()
      .match(/[A-Z_]+/g)
      ?.slice(0, 2) ?? [];
  return { kind: 'passThrough', text, firstWords, mentionsCron: true, span: { start: 0, end: text.length } };
}

/** What was done, in DuckDB's own words: `SELECT`, `CREATE TABLE`. */
function tagOf({ firstWords }: PassThroughStatement): string {
  const [first = '', ...more] = firstWords;
  if (first === 'CREATE' || first === 'DROP' || first === 'ALTER') {
    const noun = more.find((word) => !['OR', 'REPLACE', 'TEMP', 'TEMPORARY', 'IF', 'NOT', 'EXISTS', 'PERSISTENT'].includes(word));
    return noun === undefined ? first : `${first} ${noun}`;
  }
  return first === 'WITH' || first === 'FROM' || first === 'VALUES' || first === 'TABLE' || first === '' ? 'SELECT' : first;
}

/** Named parameters of the session, for the arguments of a CALL. */
function bindingsOf(parameters: Parameters | undefined): ReadonlyMap<string, Typed> {
  const entries =
    parameters === undefined
      ? []
      : Array.isArray(parameters)
        ? parameters.map((value, at) => [String(at + 1), value] as const)
        : Object.entries(parameters);
  return new Map(entries.map(([name, value]) => [name.toLowerCase(), value instanceof Typed ? value : new Typed(toParameter(value))]));
}
