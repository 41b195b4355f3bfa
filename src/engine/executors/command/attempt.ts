// One command, from its start to the end of the last process that belongs to it: prepare -> start -> watch -> end -> report.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Clock, Timer } from '../../../scheduler/clock.ts';
import { letGiveWay } from '../niceness.ts';
import { Secrets } from '../secrets.ts';
import { checkFolder, defaultPath, resolveProgram } from './executable.ts';
import { ControlledFamily, endFamily, type Family, type FamilyEnd, GroupFamily, TreeFamily, type Usage } from './family.ts';
import type { Limit, Limits } from './limits.ts';
import type { CommandOrder, CommandReport, Enforcement, Environment, OutputLine } from './messages.ts';
import { Output } from './output.ts';
import { closePipe, type Pipes, reading } from './pipes.ts';
import { markVariable, type ProcessTable } from './processTable.ts';

export interface AttemptParts {
  readonly clock: Clock;
  /** Being found out. */
  readonly limits: Promise<Limits>;
  readonly table: ProcessTable;
  readonly pipes: Pipes;
  /** What every command inherits. */
  readonly environment: Environment;
  ship(dropped: number, lines: readonly OutputLine[]): void;
}

/** Of what a command writes, between two looks; more waits in its pipe, and the command with it. */
const mostBytesALook = 2 * 1024 * 1024;
/** A stream that somebody who cannot be found still holds open is read for so long. */
const longestDrainMs = 1_000;
/** What ends right after the command, such as the `tee` that reads the last of it, has so long to do so. */
const patienceMs = 250;

export class Attempt {
  readonly #order: CommandOrder;
  readonly #parts: AttemptParts;
  readonly #output: Output;
  #running: Running | undefined;
  #cpuMs: number | null = null;
  #peakBytes: number | null = null;
  #exceeded: CommandReport['memoryExceeded'] = null;
  #isToldToEnd = false;
  #bytesSinceLook = 0;
  #ending: Promise<FamilyEnd> | undefined;
  #giveUp: (() => void) | undefined;
  /** It cannot be ended, and nobody waits for it any more. */
  readonly #stuck = new Promise<[null, null]>((resolve) => {
    this.#giveUp = () => resolve([null, null]);
  });

  constructor(order: CommandOrder, parts: AttemptParts) {
    this.#order = order;
    this.#parts = parts;
    this.#output = new Output({ mostLines: order.mostLines, secrets: new Secrets(order.secrets), ship: parts.ship });
  }

  /** Never throws. */
  async run(): Promise<CommandReport> {
    const notes: string[] = [];
    let limit: Limit | undefined;
    try {
      const limits = await this.#parts.limits;
      notes.push(...(await sweep(this.#order.sweeps, this.#order.graceMs, { ...this.#parts, limits })));
      limit = await limits.prepare(this.#order.resources);
      notes.push(...limit.notes);
      if (this.#isToldToEnd) return this.#report({ notes });
      const running = await this.#start(limit, limits.enforcement);
      const [exitCode, signal] = await Promise.race([running.exited, this.#stuck]);
      running.isOver = true;
      for (const stream of running.streams) stream.resume();
      const end = await this.#endRest(running);
      notes.push(...this.#told(end, running));
      if (await drained(running.streams, this.#parts.clock)) notes.push('something that could not be found still holds its output open');
      this.#measure(limit);
      return this.#report({ notes, exitCode, signal });
    } catch (error) {
      return this.#report({ notes, refusal: refusalOf(error, this.#order) });
    } finally {
      this.#running = undefined;
      limit?.group?.close();
    }
  }

  /** Now: SIGTERM, and SIGKILL after the grace. Safe to call twice. */
  end(): void {
    this.#isToldToEnd = true;
    if (this.#running !== undefined) this.#ending ??= this.#endFamily(this.#running, this.#order.graceMs);
  }

  /** Tells what it has written. */
  look(nowMs: number): void {
    this.#output.look(nowMs);
    this.#bytesSinceLook = 0;
    for (const stream of this.#running?.streams ?? []) if (stream.isPaused()) stream.resume();
  }

  /** Measures what it takes now, and ends it where that is too much. */
  sample(): void {
    const usage = this.#running?.family.usage();
    if (this.#running === undefined || usage === undefined) return;
    this.#take(usage);
    const allowed = this.#running.limit.watchedBytes;
    if (allowed === undefined || usage.memoryBytes <= allowed || this.#exceeded !== null) return;
    this.#exceeded = { allowedBytes: allowed, takenBytes: usage.memoryBytes };
    this.#ending = this.#endFamily(this.#running, 0);
  }

  async #endFamily({ family }: Running, graceMs: number, patienceMs = 0): Promise<FamilyEnd> {
    const end = await endFamily(family, { clock: this.#parts.clock, graceMs, patienceMs });
    if (end.left.length > 0) this.#giveUp?.();
    return end;
  }

  async #start(limit: Limit, enforcement: Enforcement): Promise<Running> {
    const { call, folder, variables, mark } = this.#order;
    const environment = environmentOf(this.#parts.environment, variables, { folder, mark });
    checkFolder(folder);
    const [written = '', ...rest] = typeof call === 'string' ? ['/bin/sh', '-c', call] : call;
    const program = resolveProgram(written, folder, environment['PATH'] ?? defaultPath);
    const pipes = [await this.#parts.pipes.take(), await this.#parts.pipes.take()];
    const options = {
      cwd: folder,
      env: environment,
      // A session of its own: its process group has the number of its process.
      detached: true,
      stdio: ['ignore', pipes[0]?.write ?? 'pipe', pipes[1]?.write ?? 'pipe'] as StdioOptions,
    };
    let child: ChildProcess;
    try {
      child =
        limit.script === undefined
          ? spawn(program, rest, { ...options, argv0: written })
          : spawn('/bin/sh', ['-c', limit.script, 'sh', program, ...rest], options);
    } catch (error) {
      for (const pipe of pipes) if (pipe !== undefined) closePipe(pipe);
      throw error;
    }
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    for (const pipe of pipes) if (pipe !== undefined) closeSync(pipe.write);
    const streams = pipes.flatMap((pipe, at) => (pipe === undefined ? ((at === 0 ? child.stdout : child.stderr) ?? []) : reading(pipe)));
    for (const [at, stream] of streams.entries()) {
      stream.on('data', (chunk: Buffer) => {
        this.#output.push(at === 0 ? 'stdout' : 'stderr', chunk);
        this.#bytesSinceLook += chunk.length;
        // A flood would take one core to be written and another to be read.
        if (this.#bytesSinceLook > mostBytesALook && this.#running?.isOver === false) stream.pause();
      });
      // What cannot be read is not told.
      stream.on('error', () => undefined);
    }
    if (child.pid === undefined) {
      for (const stream of streams) stream.destroy();
      await exited;
      throw new Diagnostic('internal', 'the command did not start');
    }
    letGiveWay(child.pid, this.#order.resources.nice);
    this.#running = { streams, exited, limit, family: this.#familyOf(child, limit, enforcement), isOver: false };
    if (this.#isToldToEnd) this.end();
    return this.#running;
  }

  #familyOf(child: ChildProcess, { group }: Limit, enforcement: Enforcement): Family {
    const leader = child.pid ?? 0;
    if (enforcement === 'group') return new GroupFamily(leader);
    const seen = new TreeFamily(this.#parts.table, { leader, marks: [this.#order.mark] });
    if (group === undefined) return seen;
    return new ControlledFamily(group, seen, () => (child.exitCode === null && child.signalCode === null ? leader : undefined));
  }

  /** What the command has left behind is ended too. */
  async #endRest(running: Running): Promise<FamilyEnd> {
    this.#ending ??= this.#endFamily(running, this.#order.graceMs, patienceMs);
    return this.#ending;
  }

  #told({ told, killed, left }: FamilyEnd, { family }: Running): string[] {
    const notes: string[] = [];
    if (left.length > 0) notes.push(`cannot be ended: ${processes(left.length)} (${left.join(', ')})`);
    if (this.#exceeded !== null) return notes;
    const counted = family instanceof GroupFamily ? 'its process group was' : `${processes(told)} ${told === 1 ? 'was' : 'were'}`;
    if (!this.#isToldToEnd && told > 0) notes.push(`${counted} still running when it ended, and ${told === 1 ? 'was' : 'were'} ended`);
    if (killed > 0) notes.push(`SIGKILL: ${processes(killed)} did not end within ${this.#order.graceMs / 1000} s after SIGTERM`);
    return notes;
  }

  #take({ cpuMs, memoryBytes, peakBytes }: Usage): void {
    this.#cpuMs = Math.max(this.#cpuMs ?? 0, cpuMs);
    this.#peakBytes = Math.max(this.#peakBytes ?? 0, memoryBytes, peakBytes);
  }

  /** What the kernel has counted goes before what was seen. */
  #measure({ group }: Limit): void {
    const allowedBytes = this.#order.resources.memoryBytes;
    if (group === undefined) return;
    this.#cpuMs = group.cpuMs ?? this.#cpuMs;
    this.#peakBytes = group.peakMemoryBytes ?? this.#peakBytes;
    if (allowedBytes === undefined || group.killedForMemory === 0) return;
    this.#exceeded = { allowedBytes, takenBytes: null };
  }

  #report(parts: Partial<CommandReport> & { readonly notes: readonly string[] }): CommandReport {
    const { lastLine, lastErrorLines } = this.#output.end();
    return {
      refusal: null,
      exitCode: null,
      signal: null,
      cpuMs: this.#cpuMs,
      peakMemoryBytes: this.#peakBytes,
      memoryExceeded: this.#exceeded,
      lastLine,
      lastErrorLines,
      ...parts,
    };
  }
}

interface Running {
  readonly streams: readonly Readable[];
  readonly exited: Promise<[number | null, NodeJS.Signals | null]>;
  readonly limit: Limit;
  readonly family: Family;
  /** The command itself has ended; what it has written is read to its end. */
  isOver: boolean;
}

/** Ends what carries a mark that begins with one of these: left by a process that died before it could. */
export async function sweep(
  marks: readonly string[],
  graceMs: number,
  { table, limits, clock }: { readonly table: ProcessTable; readonly limits: Limits; readonly clock: Clock },
): Promise<string[]> {
  if (marks.length === 0 || limits.enforcement === 'group') return [];
  const { told, left } = await endFamily(new TreeFamily(table, { marks }), { graceMs, clock });
  const notes = told === 0 ? [] : [`${processes(told)} of the attempt before ${told === 1 ? 'was' : 'were'} still running, and ended`];
  return left.length === 0 ? notes : [...notes, `cannot be ended: ${processes(left.length)} (${left.join(', ')})`];
}

/** Set over what every command inherits. */
function environmentOf(
  inherited: Environment,
  variables: CommandOrder['variables'],
  { folder, mark }: { readonly folder: string; readonly mark: string },
): Record<string, string> {
  const environment: Record<string, string> = { ...inherited, PWD: folder };
  for (const [name, value] of Object.entries(variables)) {
    if (value === null) delete environment[name];
    else environment[name] = value;
  }
  // A Cuckoo inside of a command: its commands belong to both.
  const outer = environment[markVariable];
  environment[markVariable] = outer === undefined || outer === '' ? mark : `${outer} ${mark}`;
  return environment;
}

/** All has been read; true: it was given up. */
async function drained(streams: readonly Readable[], clock: Clock): Promise<boolean> {
  const open = streams.filter((stream) => !stream.closed);
  if (open.length === 0) return false;
  const closed = Promise.all(open.map((stream) => new Promise((resolve) => stream.once('close', resolve)))).then(() => false);
  let timer: Timer | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = clock.after(longestDrainMs, () => resolve(true));
  });
  const isLate = await Promise.race([closed, late]);
  timer?.cancel();
  for (const stream of open) stream.destroy();
  return isLate;
}

function refusalOf(error: unknown, { call }: CommandOrder): CommandReport['refusal'] {
  if (error instanceof Diagnostic) return { code: error.code, message: error.message, hint: error.hint ?? null };
  const { code } = error as NodeJS.ErrnoException;
  const name = typeof call === 'string' ? '/bin/sh' : (call[0] ?? '');
  if (code === 'E2BIG') {
    return {
      code: 'too_large',
      message: 'its arguments and its environment are more than a process can be given',
      hint: 'write large values into a file or a table, and give its name',
    };
  }
  if (code === 'EAGAIN' || code === 'ENOMEM' || code === 'EMFILE') {
    return { code: 'too_busy', message: `the system can start no process now (${code})`, hint: null };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: code === undefined ? 'internal' : 'run_failed', message: `${name} cannot be started: ${message}`, hint: null };
}

function processes(count: number): string {
  return `${count} ${count === 1 ? 'process' : 'processes'}`;
}
