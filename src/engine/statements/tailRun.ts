// TAIL RUN 'id': the lines of one attempt, those that are there and then those that come, until it has ended. Lines come from this
// process, in which alone a run can be at work; whether it has ended, the ledger says. While nothing comes nothing is asked: it is
// listened, and only now and then looked whether an end has been missed.

import { Diagnostic } from '../../core/diagnostic.ts';
import { formatDuration } from '../../core/duration.ts';
import type { Instant } from '../../core/instant.ts';
import type { RunIdStatement } from '../../parser/ast.ts';
import type { LogLine } from '../../scheduler/ports.ts';
import type { OpenRun } from '../../scheduler/run.ts';
import type { LineFeed } from '../lineFeed.ts';
import { Result, type Row } from '../result.ts';
import { Connection } from '../store/duckdb/connection.ts';
import { lineTime, logSql, type WrittenLine, writtenLineOf } from '../store/duckdb/logSql.ts';
import { closedAttemptOf, runSql } from '../store/duckdb/runSql.ts';
import type { TimestampTz, Value } from '../value.ts';
import { instant, type StatementContext, text } from './context.ts';
import { elapsed } from './elapsed.ts';
import { findAttempts } from './runs.ts';

export async function tailRun(statement: RunIdStatement, context: StatementContext, signal: AbortSignal): Promise<Result> {
  const { named } = await context.engine.admission.run('session', () => findAttempts(statement.run, context));
  const tail = new Tail('run' in named ? named.run : named, context, signal);
  const columns = [instant('logged_at'), text('step'), text('stream'), text('level'), text('line')];
  return Result.fromStream({ tag: 'TAIL', columns, form: 'log' }, { next: () => tail.next(), cancel: async () => tail.end() });
}

/** A missed end is found so late. It also keeps a process alive that does nothing but wait. */
const lookEveryMs = 10_000;
const linesAtOnce = 2_000;

class Tail {
  readonly #run: OpenRun;
  readonly #context: StatementContext;
  readonly #signal: AbortSignal;
  readonly #rows: AsyncGenerator<Row[], void, undefined>;
  #feed: LineFeed | undefined;
  #isGivenUp = false;
  readonly #stop: (() => void)[] = [];

  constructor(run: OpenRun, context: StatementContext, signal: AbortSignal) {
    this.#run = run;
    this.#context = context;
    this.#signal = signal;
    this.#rows = this.#tell();
  }

  async next(): Promise<Row[] | undefined> {
    const { value } = await this.#rows.next();
    return value ?? undefined;
  }

  /** Nobody reads any more. Safe to call twice. */
  end(): void {
    this.#isGivenUp = true;
    for (const stop of this.#stop.splice(0)) stop();
    this.#feed?.end();
  }

  async *#tell(): AsyncGenerator<Row[], void, undefined> {
    try {
      const feed = this.#listen();
      const seen = new Seen();
      for await (const lines of this.#written(feed)) yield lines.map((line) => seen.row(line));
      const waits = await this.#waits();
      if (waits !== undefined) yield [seen.row(waits)];
      for (let lines = await feed.next(); lines !== undefined; lines = await feed.next()) {
        yield lines.map((line) => seen.row(writtenOf(line)));
        this.#mustGoOn();
      }
      this.#mustGoOn();
      if (!this.#isGivenUp) yield await this.#ending(seen);
    } finally {
      this.end();
    }
  }

  /** What ends the feed: the run's end, a stop of this process, or whoever reads. */
  #listen(): LineFeed {
    const { engine } = this.#context;
    const { clock, scheduler } = engine;
    const { runId } = this.#run;
    this.#mustGoOn();
    const feed = engine.logs.follow(runId);
    this.#feed = feed;
    this.#stop.push(this.#context.awaits([this.#run]));
    const stop = (): void => feed.end();
    this.#signal.addEventListener('abort', stop);
    const look = (): void => {
      engine.worker.fate(runId).then(
        ({ kind }) => {
          if (kind !== 'open') feed.end();
        },
        () => {
          // It is looked again.
        },
      );
    };
    const again = (): void => {
      timer = clock.after(lookEveryMs, again);
      look();
    };
    let timer = clock.after(lookEveryMs, again);
    this.#stop.push(
      () => this.#signal.removeEventListener('abort', stop),
      () => timer.cancel(),
      scheduler.events.on('run:finished', (finished) => {
        if (finished.runId === runId) feed.end();
      }),
      scheduler.events.on('run:started', ({ run, startedAt }) => {
        if (run.runId === runId) feed.add(this.#said('started', startedAt));
      }),
      // The drop of a schedule closes what waits.
      scheduler.events.on('definitions:changed', look),
      scheduler.events.on('scheduler:stopped', stop),
    );
    look();
    return feed;
  }

  /** What the ledger has and the feed does not. */
  async *#written(feed: LineFeed): AsyncGenerator<WrittenLine[], void, undefined> {
    let after: TimestampTz | undefined;
    for (;;) {
      const page = await this.#read((sql) => logSql(sql).page({ ...this.#run, after, limit: linesAtOnce }));
      this.#mustGoOn();
      const until = feed.from === undefined ? undefined : lineTime(feed.from).micros;
      const lines = page.map(writtenLineOf).filter(({ at }) => until === undefined || at.micros < until);
      if (lines.length > 0) yield lines;
      if (lines.length < linesAtOnce) return;
      after = lines.at(-1)?.at;
    }
  }

  /** Why there is nothing yet. */
  async #waits(): Promise<WrittenLine | undefined> {
    const { engine, now } = this.#context;
    const { scheduler } = engine;
    const { runId, notBefore } = this.#run;
    if (scheduler.running(runId) !== undefined || (await engine.worker.fate(runId)).kind !== 'open') return undefined;
    const forWhat =
      notBefore !== null && notBefore > now
        ? `for the time of its retry, in ${formatDuration(Math.ceil((notBefore - now) / 1000) * 1000)}`
        : scheduler.isOn
          ? `for its turn; EXPLAIN RUN '${runId}'; tells more`
          : 'for a scheduler: none runs in this process';
    return writtenOf(this.#said(`waits ${forWhat}`, engine.clock.now()));
  }

  /** What the scheduler said beside the run, how the run ended, and whether another attempt follows. */
  async #ending(seen: Seen): Promise<Row[]> {
    const { runId } = this.#run;
    const lines = (await this.#read((sql) => logSql(sql).ofScheduler(this.#run))).map(writtenLineOf);
    const rows = lines.filter((line) => !seen.has(line) && !isMark(line)).map((line) => seen.row(line));
    const [closedRow] = await this.#read((sql) => runSql(sql).closedRun(runId));
    if (closedRow === undefined) return [...rows, seen.row(writtenOf(this.#said('the run is open: nothing goes on here any more')))];
    const { state, reason, startedAt, finishedAt } = closedAttemptOf(closedRow);
    const took = startedAt === null ? '' : ` ${state === 'succeeded' ? 'in' : 'after'} ${elapsed(finishedAt - startedAt)}`;
    const because = reason === null ? '' : `: ${reason}`;
    const [next] = await this.#read((sql) => runSql(sql).retriesOf(runId));
    const further = next === undefined ? '' : `; the next attempt: TAIL RUN '${String(next[0])}';`;
    const isGood = state === 'succeeded' || state === 'skipped';
    const ended = this.#said(`${state.replace('_', ' ')}${took}${because}${further}`, finishedAt, isGood ? 'info' : 'error');
    return [...rows, seen.row(writtenOf(ended))];
  }

  /** On a connection of its own, which is nobody's when the answer is there: the session may do other things meanwhile. */
  async #read(query: (ledger: string) => string): Promise<Value[][]> {
    const { engine, sql } = this.#context;
    await engine.recover();
    return engine.admission.run('session', async () => {
      const connection = new Connection(await engine.database.connect());
      try {
        return (await connection.until(this.#signal).table(query(sql.ledger))).rows;
      } finally {
        await connection.close();
      }
    });
  }

  #said(line: string, at: Instant = this.#context.engine.clock.now(), level: LogLine['level'] = 'info'): LogLine {
    return { runId: this.#run.runId, step: null, loggedAt: at, stream: 'scheduler', level, line };
  }

  #mustGoOn(): void {
    if (!this.#signal.aborted) return;
    throw new Diagnostic('cancelled', 'no longer followed: the run goes on', { hint: `CANCEL RUN '${this.#run.runId}'; ends it` });
  }
}

/** What the reader has: rows in the order of their time, which those of two clocks and of the scheduler may not be by themselves. */
class Seen {
  readonly #ofScheduler = new Set<string>();
  #newest: TimestampTz | undefined;

  row(line: WrittenLine): Row {
    if (line.stream === 'scheduler') this.#ofScheduler.add(keyOf(line));
    if (this.#newest === undefined || line.at.micros > this.#newest.micros) this.#newest = line.at;
    return [this.#newest, line.step, line.stream, line.level, line.line];
  }

  has(line: WrittenLine): boolean {
    return this.#ofScheduler.has(keyOf(line));
  }
}

function keyOf({ at, line }: WrittenLine): string {
  return `${at.micros} ${line}`;
}

/** Who has seen all lines misses none. */
function isMark({ line }: WrittenLine): boolean {
  return /^\d+ lines? dropped$/.test(line);
}

function writtenOf({ loggedAt, step = null, stream, level, line }: LogLine): WrittenLine {
  return { at: lineTime(loggedAt), step, stream, level, line };
}
