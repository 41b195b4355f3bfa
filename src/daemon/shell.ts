// One session and the two streams it writes to. Scripts and the interactive shell are two ways of feeding it pieces; how a piece
// is run, shown, timed, cancelled and blamed is the same for both, and stands here.

import type { Writable } from 'node:stream';
import { Diagnostic } from '../core/diagnostic.ts';
import { Result } from '../engine/result.ts';
import type { Value } from '../engine/value.ts';
import type { Clock } from '../scheduler/clock.ts';
import { type FinishedRun, isFailure } from '../scheduler/run.ts';
import {
  failedRun,
  finishedSentence,
  logLines,
  nextRunOf,
  openRun,
  runIdOf,
  runSentence,
  sentence,
  story,
  timeText,
  warningsOf,
} from './answer.ts';
import { toDiagnostic } from './exit.ts';
import type { FiresSetting } from './fires.ts';
import { type Piece, readPieces } from './input.ts';
import { type Output, OutputClosed, openOutput } from './output.ts';
import { ProgressBar } from './progress.ts';
import { renderDiagnostic } from './render/diagnostic.ts';
import type { Mode } from './render/mode.ts';
import { render } from './render/render.ts';
import type { Sink } from './render/sink.ts';
import { folded, manyLines, oneLine } from './render/terminalText.ts';
import { runCommand } from './repl/commands.ts';
import { readScript, runPieces } from './script.ts';
import type { KnownFile } from './trust.ts';
import { Waiting, type WaitingOptions } from './waiting.ts';
import type { ShellSession } from './wire/protocol.ts';

export type TimerSetting = 'on' | 'off' | 'auto';

/** failed: it was told on standard error, or the user has stopped it; what stands behind is not run. */
export type Outcome = 'done' | 'failed' | 'quit';

/** What it works on: an engine, or what stands for one. */
export interface ShellPlace {
  readonly kind?: 'here' | 'daemon';
  readonly path: string;
  readonly scheduler: WaitingOptions['scheduler'];
}

export interface ShellOptions {
  readonly place: ShellPlace;
  readonly session: ShellSession;
  readonly output: Output;
  /** Standard error. */
  readonly errors: Writable & { readonly columns?: number; readonly isTTY?: boolean };
  readonly clock: Clock;
  readonly mode: Mode;
  /** Colours in results and in errors. */
  readonly color: { readonly output: boolean; readonly errors: boolean };
  readonly interactive: boolean;
  /** Runs that a statement has answered. */
  readonly onRuns?: (runIds: readonly string[]) => void;
}

/** A statement that took at least so long has its time told by itself. */
const longStatementMs = 100;
const deepestRead = 16;

export class Shell {
  mode: Mode;
  timer: TimerSetting;
  fires: FiresSetting = 'on';
  /** What is committed and run here is noted there. */
  known: KnownFile | undefined;
  readonly #options: ShellOptions;
  readonly #standardOutput: Output;
  #output: Output;
  #once: Output | undefined;
  #progress: ProgressBar | undefined;
  /** A piece is being run; and in it a statement. */
  #busy = false;
  #running = false;
  #interrupted = false;
  #zone: string | undefined;
  #shownZone = 'UTC';
  #depth = 0;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.mode = options.mode;
    this.timer = options.interactive ? 'auto' : 'off';
    this.#standardOutput = options.output;
    this.#output = options.output;
  }

  /** The database's file, without links. */
  get path(): string {
    return this.#options.place.path;
  }

  /** Where the file is: open in this process, or in a daemon. */
  get kind(): 'here' | 'daemon' {
    return this.#options.place.kind ?? 'here';
  }

  /** Something is being run, or its answer shown. */
  get busy(): boolean {
    return this.#busy;
  }

  get session(): ShellSession {
    return this.#options.session;
  }

  /** In which instants were shown last. */
  get zone(): string {
    return this.#shownZone;
  }

  /** Runs what was typed or read. `name` is what an error is said to stand in; without one it was typed here. */
  async run(piece: Piece, name?: string): Promise<Outcome> {
    // What a file read by .read holds is part of the piece that reads it.
    const outermost = !this.#busy;
    if (outermost) this.#interrupted = false;
    this.#busy = true;
    const since = this.#options.clock.monotonicMs();
    try {
      if (piece.kind === 'command') return await runCommand(this, piece.text);
      await this.show(piece.text, { script: name !== undefined });
      this.#tellTime(this.#options.clock.monotonicMs() - since);
      // An interrupt that came too late for this statement still keeps those behind it from running.
      return this.#interrupted ? 'failed' : 'done';
    } catch (error) {
      this.#progress?.clear();
      if (error instanceof OutputClosed) throw error;
      const diagnostic = toDiagnostic(error);
      // What the session was set to is gone with the connection.
      if (diagnostic.code === 'fatal' || diagnostic.code === 'unreachable') this.forgetZone();
      this.report(diagnostic, piece, name);
      return 'failed';
    } finally {
      if (outermost) this.#busy = false;
    }
  }

  /** Executes one statement and shows its answer. For a script, a run that did not succeed is a mistake. */
  async show(statement: string, { script = false }: { readonly script?: boolean } = {}): Promise<void> {
    const { place, session, clock, errors, interactive, onRuns } = this.#options;
    const { known } = this;
    if (this.#interrupted) throw cancelled();
    const told = new ToldEnds((finished) => progress.over(() => this.#tellEnd(finished)));
    const waiting = new Waiting({
      session,
      scheduler: place.scheduler,
      tell: (finished) => {
        if (isForPeople(this.mode) && this.#takesOutput.columns !== undefined) told.add(finished);
      },
    });
    const progress = new ProgressBar({ clock, terminal: errors, look: () => waiting.look() });
    this.#progress = progress;
    this.#running = true;
    let result: Result | undefined;
    try {
      const zone = await this.knownZone();
      if (/time_?zone/i.test(statement)) this.#zone = undefined;
      await known?.before(statement);
      const answer = await this.#heeded(await session.execute(statement));
      result = answer;
      // A script looks once, when it is done.
      if (interactive && session.transaction === 'none') known?.noteChanges();
      await told.settled;
      await this.#present(answer, { zone, script, told: told.runIds });
      if (script && answer.failure !== undefined) throw answer.failure;
    } finally {
      waiting.stop();
      await told.settled;
      progress.clear();
      // Nobody needs to hear twice how a run ended.
      if (told.runIds.size > 0 || result?.form === 'log') onRuns?.(waiting.ended);
      await result?.close();
      this.#running = false;
    }
  }

  async #tellEnd(finished: FinishedRun): Promise<void> {
    const output = this.#takesOutput;
    const sink: Sink = { write: (chunk) => output.write(chunk), columns: output.columns };
    await tell(sink, finishedSentence(finished));
    if (isFailure(finished.state) || finished.state === 'cancelled') await sink.write(hintOf(finished.runId));
  }

  /** The rows of a query as texts, for what the shell asks in its own interest. */
  async texts(statement: string): Promise<(string | null)[][]> {
    const result = await this.session.execute(statement);
    return (await result.toArray()).map((row) => row.map((value) => (value === null ? null : String(value))));
  }

  async say(text: string): Promise<void> {
    await this.#takesOutput.write(text);
  }

  /** Cancels what is being run; nothing where nothing is. */
  async interrupt(): Promise<void> {
    if (!this.#busy) return;
    this.#interrupted = true;
    if (this.#running) await this.session.interrupt();
  }

  /** Results go to a file from now on; without one, to standard output again. */
  async redirect(path: string | undefined): Promise<void> {
    const before = this.#output;
    const next = path === undefined ? this.#standardOutput : await openOutput(path, this.path);
    this.#output = next;
    if (before !== this.#standardOutput) await before.end();
  }

  async redirectOnce(path: string): Promise<void> {
    await this.#once?.end();
    this.#once = await openOutput(path, this.path);
  }

  async readFile(path: string): Promise<Outcome> {
    if (this.#depth >= deepestRead) {
      throw new Diagnostic('too_large', `${path} is read ${deepestRead} files deep`, { hint: 'does a file read itself?' });
    }
    const text = await readScript(path, this.path);
    this.#depth++;
    try {
      return await runPieces(this, readPieces(text), path);
    } finally {
      this.#depth--;
    }
  }

  report(diagnostic: Diagnostic, piece?: Piece, name?: string): void {
    const { errors, color } = this.#options;
    errors.write(renderDiagnostic(diagnostic, { piece, name, color: color.errors, columns: errors.columns }));
  }

  warn(text: string): void {
    this.#options.errors.write(`${text}\n`);
  }

  async close(): Promise<void> {
    await this.known?.settled();
    await this.#once?.end();
    if (this.#output === this.#standardOutput) await this.#output.flush();
    else await this.#output.end();
  }

  /** The session is another one. */
  forgetZone(): void {
    this.#zone = undefined;
  }

  /** Asked before a statement, because its rows keep the connection busy; and again only when one may have changed it. */
  async knownZone(): Promise<string> {
    const { session } = this.#options;
    if (session.transaction === 'aborted') return this.#zone ?? 'UTC';
    this.#zone ??= await session.zone();
    this.#shownZone = this.#zone;
    return this.#zone;
  }

  /** What this user has defined and run with a statement; its answer can still be read. */
  async #heeded(answer: Result): Promise<Result> {
    const { known } = this;
    const { session, onRuns } = this.#options;
    const [verb, noun = ''] = answer.tag.toLowerCase().split(' ');
    const isRun = answer.form === 'runs';
    // What stands in a transaction may still be rolled back; what is then committed is seen to be new.
    const isDefinition = verb === 'upsert' && answer.form === 'outcomes' && session.transaction === 'none';
    if ((known === undefined && onRuns === undefined) || (!isRun && !isDefinition)) return answer;
    const rows = await answer.toArray();
    const column = (name: string): number => answer.columns.findIndex((found) => found.name === name);
    if (isRun) {
      const ran = rows.filter((row) => (row[column('run_id')] ?? null) !== null);
      // What only waits yet is told when it has ended.
      onRuns?.(ran.filter((row) => row[column('state')] !== 'pending').map((row) => String(row[column('run_id')])));
      const owner = column('pipeline') < 0 ? 'schedule' : 'pipeline';
      known?.vouch(
        owner,
        ran.map((row) => String(row[column(owner)])),
      );
    } else if (noun === 'schedule' || noun === 'procedure' || noun === 'pipeline' || noun === 'calendar') {
      known?.vouch(
        noun,
        rows.map((row) => String(row[column('name')])),
      );
    }
    const { tag, columns, rowsChanged, warnings, notes, form, failure, prominent } = answer;
    return Result.fromRows({ tag, columns, rowsChanged, warnings, notes, form, failure, prominent, rows });
  }

  async #present(result: Result, { zone, script, told }: Presentation): Promise<void> {
    const { mode } = this;
    const output = this.#takesOutput;
    const write = async (chunk: string | Uint8Array): Promise<void> => {
      // Rows that are here already are written no further either.
      if (this.#interrupted) throw cancelled();
      await output.write(chunk);
    };
    const sink: Sink = {
      write: async (chunk) => {
        // More lines may come, and it may take them some time.
        if (result.form === 'log' && this.#progress !== undefined) return await this.#progress.over(() => write(chunk));
        this.#progress?.clear();
        await write(chunk);
      },
      columns: output.columns,
      color: this.#options.color.output && output === this.#standardOutput,
    };
    try {
      if (isForPeople(mode)) {
        for (const note of result.notes) await tell(sink, note);
        await this.#presentToPeople(result, sink, { zone, script, told });
      } else if (result.columns.length > 0) await render(result, mode, sink, { zone });
      for (const { message, hint } of result.warnings) {
        this.#progress?.clear();
        this.warn(warningText(message, hint, this.#options.errors.columns));
      }
    } finally {
      if (output === this.#once) {
        this.#once = undefined;
        await output.end();
      }
    }
  }

  async #presentToPeople(result: Result, sink: Sink, { zone, script, told }: Presentation): Promise<void> {
    const { form, columns } = result;
    switch (form) {
      case 'outcomes':
        return await this.#tellOutcomes(result, sink);
      case 'runs':
        for (const row of await result.toArray()) {
          if (told.has(runIdOf(columns, row))) continue;
          const failed = failedRun(columns, row);
          // A script ends with an error that says the same.
          if (failed !== undefined && script) continue;
          await tell(sink, runSentence(columns, row));
          if (failed?.runId !== undefined) await sink.write(hintOf(failed.runId));
          const open = openRun(columns, row);
          if (open !== undefined) await sink.write(`   hint: TAIL RUN '${open}'; follows it\n`);
        }
        return;
      case 'settings':
        for (const [name, value] of await result.toArray()) await tell(sink, `${name}: ${value}`);
        return;
      case 'story':
        await sink.write(story(await result.toArray(), { zone, width: sink.columns }));
        return;
      case 'log':
        for await (const rows of result.chunks())
          await sink.write(logLines(rows, { zone, color: sink.color === true, width: sink.columns }));
        return;
      case 'text':
        // It is there to be copied: to a terminal without what would command it, to a file as it is.
        for (const row of await result.toArray()) {
          const text = String(row.at(-1));
          await sink.write(`${sink.columns === undefined ? text : manyLines(text)}\n`);
        }
        return;
      case 'table':
      case 'properties':
        if (columns.length > 0) return await render(result, this.mode, sink, { zone });
        if (this.#options.interactive) await sink.write(`${done(result)}\n`);
        return;
      default:
        form satisfies never;
    }
  }

  async #tellOutcomes(result: Result, sink: Sink): Promise<void> {
    const told = new Set(result.warnings.map((warning) => warning.message));
    const now = this.#options.clock.now();
    for (const row of await result.toArray()) {
      const zone = nextRunOf(result.columns, row) === undefined ? 'UTC' : await this.#zoneOf(row[0]);
      await tell(sink, sentence(result.columns, row, { now, zone }));
      for (const message of warningsOf(result.columns, row)) {
        if (!told.has(message)) await sink.write(`${warningText(message, undefined, sink.columns)}\n`);
      }
    }
  }

  /** A schedule's next run is told in the zone in which it was written, so that 02:00 reads 02:00. */
  async #zoneOf(name: Value | undefined): Promise<string> {
    const quoted = `'${String(name).replaceAll("'", "''")}'`;
    const [row] = await this.texts(`SELECT timezone FROM cron.schedules WHERE name = ${quoted}`);
    return row?.[0] ?? (await this.session.zone());
  }

  get #takesOutput(): Output {
    return this.#once ?? this.#output;
  }

  #tellTime(ms: number): void {
    if (this.timer === 'off' || (this.timer === 'auto' && ms < longStatementMs)) return;
    this.warn(`Time: ${timeText(ms)}`);
  }
}

interface Presentation {
  readonly zone: string;
  readonly script: boolean;
  /** Runs whose ends were told as they came. */
  readonly told: ReadonlySet<string>;
}

/** The ends of runs on their way to the terminal, one after the other. */
class ToldEnds {
  readonly runIds = new Set<string>();
  readonly #tell: (finished: FinishedRun) => Promise<void>;
  settled: Promise<void> = Promise.resolve();

  constructor(tell: (finished: FinishedRun) => Promise<void>) {
    this.#tell = tell;
  }

  add(finished: FinishedRun): void {
    this.runIds.add(finished.runId);
    // What cannot be written now is met by the answer, too.
    this.settled = this.settled.then(() => this.#tell(finished)).catch(() => undefined);
  }
}

function hintOf(runId: string): string {
  return `   hint: EXPLAIN RUN '${runId}'; tells more\n`;
}

function cancelled(): Diagnostic {
  return new Diagnostic('cancelled', 'The statement was cancelled.');
}

/** Modes whose reader is a person: an answer may be a sentence there. */
function isForPeople(mode: Mode): boolean {
  return mode === 'duckbox' || mode === 'box' || mode === 'line';
}

/** What a statement without rows has done: `INSERT: 3 rows`, `CREATE TABLE`. */
function done({ tag, rowsChanged }: Result): string {
  return rowsChanged === undefined ? tag : `${tag}: ${rowsChanged} ${rowsChanged === 1 ? 'row' : 'rows'}`;
}

/** A sentence on lines of its own. */
async function tell(sink: Sink, text: string): Promise<void> {
  await sink.write(`${folded(oneLine(text), { columns: sink.columns, indent: '   ' })}\n`);
}

function warningText(message: string, hint: string | undefined, columns: number | undefined): string {
  const said = folded(`warning: ${oneLine(message)}`, { columns, indent: '   ' });
  return hint === undefined ? said : `${said}\n${folded(`   hint: ${oneLine(hint)}`, { columns, indent: '   ' })}`;
}
