// The lines of runs, live in `cron.run_logs`: one writer for all runs, which writes in batches a few times a second, and all lines of
// a run before its closing row.
//
// Nothing here may grow without end, however much a run says and however slow the ledger is. Of a run that says too much the
// first lines are written as they come; of what follows the last are held in memory and written when it ends, and between them
// stands how many were dropped. Where lines wait for the ledger longer than memory allows, a run goes over to that early. A
// batch that cannot be written is tried again for as long as it may help; a run that ends waits for its lines a while, and closes
// without them then, because no run fails for its log.
//
// Lines of one run stand in the order of their time: two of the same moment are a microsecond apart.

import { Diagnostic, type DiagnosticCode } from '../core/diagnostic.ts';
import type { Instant } from '../core/instant.ts';
import type { Clock, Timer } from '../scheduler/clock.ts';
import type { LogLine } from '../scheduler/ports.ts';
import type { Admission } from './admission.ts';
import { LineFeed } from './lineFeed.ts';
import { costOf, LineQueue } from './lineQueue.ts';
import { Connection } from './store/duckdb/connection.ts';
import { insertText, logColumns } from './store/duckdb/ledgerRows.ts';
import { logSql } from './store/duckdb/logSql.ts';
import type { NativeDatabase } from './store/duckdb/native.ts';
import type { Sql } from './store/duckdb/sql.ts';

export interface RunLog {
  /** As many as it keeps. */
  readonly mostLines: number;
  write(line: Pick<LogLine, 'step' | 'stream' | 'level' | 'line'>): void;
  /** So many lines came here and are not told: of a flood. Costs nothing. */
  drop(count: number): void;
  /** What came so far is durable, or cannot be: what commits now may say that it is done. */
  flush(): Promise<void>;
  /** All lines are durable, or cannot be. Safe to call twice. */
  end(): Promise<void>;
}

export interface RunLogsParts {
  readonly database: NativeDatabase;
  readonly sql: Sql;
  readonly admission: Admission;
  readonly clock: Clock;
  /** Opens the database again where it has stopped. */
  readonly recover?: () => Promise<void>;
}

const writeEveryMs = 200;
/** Of `log_lines`, and of `mostOfARun`, so much is for the last ones. */
const lastShare = 0.1;
/** Of one line, in characters. */
const mostOfALine = 64 * 1024;
/** Of one run. */
const mostOfARun = 16 * 1024 * 1024;
/** Of all runs, on their way to the ledger; and as many in all that are held for the end of their runs. */
const mostWaiting = 32 * 1024 * 1024;
const batchLines = 2_000;
const batchCost = 1024 * 1024;
/** A run that ends waits so long for a ledger that takes no lines. */
const patienceMs = 10_000;
const longestPauseMs = 5_000;
/** A batch is given up after so many tries, where the reason is none that passes. */
const mostTries = 3;

export class RunLogs {
  readonly #parts: RunLogsParts;
  readonly #runs = new Map<string, LinesOfRun>();
  readonly #feeds = new Map<string, Set<LineFeed>>();
  readonly #waiting = new LineQueue();
  /** Of what all runs hold for their ends. */
  readonly #held = { cost: 0 };
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Begins when what is being written has been; all who ask meanwhile wait for the same. */
  #next: Promise<void> | undefined;
  #failures = 0;
  /** What failed may be there all the same: it is tried again as it was. */
  #unsure: readonly LogLine[] | undefined;
  #isClosed = false;

  constructor(parts: RunLogsParts) {
    this.#parts = parts;
  }

  /** Of `mostLines` of 0 none is kept. Several may write for one run, whose log it is until the last of them has ended. */
  begin(runId: string, mostLines: number): RunLog {
    const run = this.#runs.get(runId) ?? new LinesOfRun(runId, mostLines, this.#held);
    this.#runs.set(runId, run);
    run.writers += 1;
    let ending: Promise<void> | undefined;
    return {
      mostLines,
      write: (line) => {
        if (ending === undefined) this.#take(run, run.lineOf(line, this.#parts.clock.now()));
      },
      drop: (count) => {
        if (ending === undefined) this.#drop(run, count);
      },
      flush: () => this.#flushRun(run),
      end: () => {
        ending ??= this.#end(run);
        return ending;
      },
    };
  }

  /** The run's lines from now on, and before them those of which the ledger may know nothing yet. End it. */
  follow(runId: string): LineFeed {
    const feeds = this.#feeds.get(runId) ?? new Set();
    const feed: LineFeed = new LineFeed(this.unwritten(runId), () => {
      feeds.delete(feed);
      if (feeds.size === 0) this.#feeds.delete(runId);
    });
    this.#feeds.set(runId, feeds.add(feed));
    if (this.#isClosed) feed.end();
    return feed;
  }

  /** Lines of which the ledger may know nothing yet. */
  unwritten(runId: string): readonly LogLine[] {
    const waiting = this.#waiting.all().filter((line) => line.runId === runId);
    return [...waiting, ...(this.#runs.get(runId)?.held(this.#parts.clock.now()) ?? [])];
  }

  /** Writes what can be written; whoever follows hears no more. Safe to call twice. */
  async close(): Promise<void> {
    await this.#flush();
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const feeds of [...this.#feeds.values()]) for (const feed of [...feeds]) feed.end();
  }

  #take(run: LinesOfRun, line: LogLine): void {
    for (const feed of this.#feeds.get(line.runId) ?? []) feed.push(line);
    if (run.keepsNone) return;
    if (this.#waiting.cost < mostWaiting && run.isOfTheFirst(line)) this.#add(line);
    else run.hold(line);
  }

  #drop(run: LinesOfRun, count: number): void {
    if (count <= 0) return;
    const mark = run.mark(count, this.#parts.clock.now());
    for (const feed of this.#feeds.get(run.runId) ?? []) feed.add(mark);
    run.drop(count);
  }

  #add(line: LogLine): void {
    this.#waiting.push(line);
    // After a failure there is another timer.
    if (this.#failures === 0) this.#timer ??= this.#parts.clock.after(writeEveryMs, () => void this.#flush());
  }

  async #flushRun(run: LinesOfRun): Promise<void> {
    const { clock } = this.#parts;
    // Once, or what is kept would grow with each time.
    if (!run.hasFlushed) for (const line of run.takeHeld(clock.now())) this.#add(line);
    run.hasFlushed = true;
    await this.#written(clock.monotonicMs());
  }

  async #end(run: LinesOfRun): Promise<void> {
    const sinceMs = this.#parts.clock.monotonicMs();
    run.writers -= 1;
    if (run.writers === 0) for (const line of run.takeHeld(this.#parts.clock.now())) this.#add(line);
    await this.#written(sinceMs);
    if (run.writers > 0) return;
    // Lines that no try could write.
    const lost = run.takeHeld(this.#parts.clock.now());
    for (const line of lost) this.#add(line);
    if (lost.length > 0) await this.#written(sinceMs);
    if (this.#runs.get(run.runId) === run && run.writers === 0) this.#runs.delete(run.runId);
  }

  /** All that has come so far is durable, is given up, or takes too long. */
  async #written(sinceMs: number): Promise<void> {
    const { clock } = this.#parts;
    const { came } = this.#waiting;
    while (this.#waiting.gone < came) {
      await this.#flush();
      if (this.#waiting.gone >= came || this.#isClosed || clock.monotonicMs() - sinceMs >= patienceMs) return;
      await clock.sleep(writeEveryMs);
    }
  }

  // ---- The writer ----

  #flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined;
      this.#writing = this.#writeAll();
      return this.#writing;
    });
    return this.#next;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isClosed) {
      const batch = this.#unsure ?? this.#waiting.first(batchLines, batchCost);
      try {
        await this.#write(batch, this.#unsure !== undefined);
      } catch (error) {
        this.#failures += 1;
        this.#unsure = batch;
        if (!passes(error) && this.#failures >= mostTries) {
          this.#giveUp(batch);
          continue;
        }
        const pauseMs = Math.min(writeEveryMs * 2 ** this.#failures, longestPauseMs);
        this.#timer ??= this.#parts.clock.after(pauseMs, () => void this.#flush(), { keepsProcessAlive: false });
        return;
      }
      this.#failures = 0;
      this.#unsure = undefined;
      for (const _ of batch) this.#waiting.shift();
    }
  }

  /** One statement: all of it, or nothing. An error proves nothing, so that a second try asks first whether it is there. */
  async #write(batch: readonly LogLine[], isAgain: boolean): Promise<void> {
    const { database, sql, admission, recover } = this.#parts;
    const [first] = batch;
    if (first === undefined) return;
    const log = logSql(sql.ledger);
    await recover?.();
    const connection = new Connection(await database.connect());
    try {
      await admission.run('ledger', async () => {
        if (isAgain && (await connection.table(log.find(first))).rows.length > 0) return;
        await connection.run(insertText(log.table, logColumns, batch));
      });
    } finally {
      await connection.close();
    }
  }

  /** Of these stays how many they were. */
  #giveUp(batch: readonly LogLine[]): void {
    this.#failures = 0;
    this.#unsure = undefined;
    for (const { runId } of batch) {
      this.#waiting.shift();
      this.#runs.get(runId)?.lose();
    }
  }
}

/** Whether a later try may have more luck. */
function passes(error: unknown): boolean {
  return error instanceof Diagnostic && passing.has(error.code);
}

const passing: ReadonlySet<DiagnosticCode> = new Set([
  'fatal',
  'disk_full',
  'io_error',
  'out_of_memory',
  'conflict',
  'timed_out',
  'too_busy',
  'file_locked',
]);

/** What one run has said so far. */
class LinesOfRun {
  readonly runId: string;
  /** As many as write for it. */
  writers = 0;
  /** The last lines so far have been written before its end. */
  hasFlushed = false;
  readonly #mostFirst: number;
  readonly #mostLast: number;
  /** Of all runs. */
  readonly #allHeld: { cost: number };
  /** The newest line's time, in microseconds. */
  #newest = 0;
  #first = 0;
  #firstCost = 0;
  /** From now on only the last ones count. */
  #isFull = false;
  #dropped = 0;
  readonly #last = new LineQueue();

  constructor(runId: string, mostLines: number, allHeld: { cost: number }) {
    this.runId = runId;
    this.#mostLast = Math.ceil(mostLines * lastShare);
    this.#mostFirst = mostLines - this.#mostLast;
    this.#allHeld = allHeld;
  }

  get keepsNone(): boolean {
    return this.#mostLast === 0;
  }

  lineOf({ step, stream, level, line }: Pick<LogLine, 'step' | 'stream' | 'level' | 'line'>, now: Instant): LogLine {
    this.#newest = Math.max(Math.round(now * 1000), this.#newest + 1);
    return { runId: this.runId, step: step ?? null, loggedAt: this.#newest / 1000, stream, level, line: cut(line) };
  }

  /** Whether it is to be written as it comes. */
  isOfTheFirst(line: LogLine): boolean {
    const cost = this.#firstCost + costOf(line);
    if (this.#isFull || this.#first >= this.#mostFirst || cost > mostOfARun * (1 - lastShare)) return false;
    this.#first += 1;
    this.#firstCost = cost;
    return true;
  }

  hold(line: LogLine): void {
    this.#isFull = true;
    this.#last.push(line);
    this.#allHeld.cost += costOf(line);
    const isTooMuch = (): boolean =>
      this.#last.length > this.#mostLast ||
      this.#last.cost > mostOfARun * lastShare ||
      (this.#allHeld.cost > mostWaiting && this.#last.length > 1);
    while (isTooMuch()) {
      const oldest = this.#last.shift();
      if (oldest === undefined) return;
      this.#allHeld.cost -= costOf(oldest);
      this.#dropped += 1;
    }
  }

  /** What was held before is not among the last any more. */
  drop(count: number): void {
    if (this.keepsNone) return;
    this.#isFull = true;
    this.#dropped += count + this.#clear().length;
    // Room for the line that will say so.
    this.#newest += 1;
  }

  /** A line that was to be written cannot be. */
  lose(): void {
    this.#dropped += 1;
  }

  /** What the end of the run will have to write, as it is now. */
  held(now: Instant): readonly LogLine[] {
    const lines = this.#last.all();
    if (this.#dropped === 0) return lines;
    const [first] = lines;
    const mark = this.mark(this.#dropped, now);
    // Right before the first of the last.
    return first === undefined ? [mark] : [{ ...mark, loggedAt: (Math.round(first.loggedAt * 1000) - 1) / 1000 }, ...lines];
  }

  mark(count: number, now: Instant): LogLine {
    return this.lineOf({ step: null, stream: 'scheduler', level: 'warn', line: `${count} ${count === 1 ? 'line' : 'lines'} dropped` }, now);
  }

  takeHeld(now: Instant): readonly LogLine[] {
    const lines = this.held(now);
    this.#clear();
    this.#dropped = 0;
    return lines;
  }

  #clear(): LogLine[] {
    this.#allHeld.cost -= this.#last.cost;
    return this.#last.clear();
  }
}

function cut(line: string): string {
  return line.length <= mostOfALine ? line : `${line.slice(0, mostOfALine)}… (${line.length - mostOfALine} more characters)`;
}
