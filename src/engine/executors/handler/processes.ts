// Handlers in a process of their own, one for each run: what they allocate, crash or exit is theirs alone. It costs what starting
// Node costs, some 60 ms, so it is for work that is not trusted with the memory of the process that schedules.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { Diagnostic } from '../../../core/diagnostic.ts';
import type { Clock, Timer } from '../../../scheduler/clock.ts';
import type { RunError } from '../../../scheduler/run.ts';
import type { ControlGroup } from '../command/controlGroup.ts';
import { defaultPath, findProgram } from '../command/executable.ts';
import { endFamily, type Family, GroupFamily } from '../command/family.ts';
import { type Limit, Limits } from '../command/limits.ts';
import { ProcessTable } from '../command/processTable.ts';
import { type Task, TaskEnd, type TaskLine } from '../executor.ts';
import { letGiveWay } from '../niceness.ts';
import { attend, type GuestAnswer } from './attendant.ts';
import { entryOf } from './entry.ts';
import { LineReader } from './lineReader.ts';
import { type Assignment, type FromGuest, type ToGuest, valuesOf } from './messages.ts';
import { exists, type HandlerModule, notThere } from './module.ts';

/** What a handler may take to end by itself once it was told to. */
const graceMs = 1_000;
/** How long its pipes are read after its end: somebody else may hold them. */
const drainMs = 1_000;
const lookEveryMs = 50;
/** What it said last, for the row of one that died. */
const mostLastLines = 20;

/** Control groups are numbered by process: one book for all databases that are open in this one. */
let limits: Promise<Limits> | undefined;
let leash: Promise<readonly string[]> | undefined;

const alive = new Set<number>();

/** They are not to outlive this process; where it dies without a word, the kernel does this, and the end of their channel. */
function endAll(): void {
  for (const pid of alive) killGroup(pid);
}

export class Processes {
  readonly #clock: Clock;
  readonly #table: ProcessTable;
  readonly #path: string;
  readonly #running = new Set<Promise<unknown>>();

  constructor({ clock, path = defaultPath }: { readonly clock: Clock; readonly path?: string | undefined }) {
    this.#clock = clock;
    this.#table = new ProcessTable(clock);
    this.#path = path;
  }

  async run(task: Task, module: HandlerModule): Promise<TaskEnd> {
    if (!exists(module)) throw notThere(module);
    limits ??= Limits.find('cgroup', this.#path);
    leash ??= findLeash(this.#path);
    const words = await leash;
    const limit = await (await limits).prepare(task.resources);
    const run = new ProcessRun(task, module, { clock: this.#clock, table: this.#table, limit, leash: words });
    const ended = run.run();
    this.#running.add(ended);
    try {
      return await ended;
    } finally {
      this.#running.delete(ended);
      limit.group?.close();
    }
  }

  /** When all have ended. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}

interface ProcessParts {
  readonly clock: Clock;
  readonly table: ProcessTable;
  readonly limit: Limit;
  /** What a program is started with so that it ends with this process. */
  readonly leash: readonly string[];
}

class ProcessRun {
  readonly #task: Task;
  readonly #module: HandlerModule;
  readonly #parts: ProcessParts;
  readonly #lastLines: string[] = [];
  #answer: GuestAnswer | undefined;
  #takenBytes: number | undefined;
  #cpuMs: number | null = null;
  #peakBytes: number | null = null;
  #isKilled = false;

  constructor(task: Task, module: HandlerModule, parts: ProcessParts) {
    this.#task = task;
    this.#module = module;
    this.#parts = parts;
  }

  async run(): Promise<TaskEnd> {
    const { clock, limit } = this.#parts;
    const task = this.#task;
    const child = this.#start();
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    if (child.pid === undefined) {
      const error = await exited.then(() => new Error('it did not start')).catch((cause: unknown) => cause);
      throw new Diagnostic('too_busy', `no process can be started now: ${error instanceof Error ? error.message : String(error)}`);
    }
    const leader = child.pid;
    hold(leader);
    const family = familyOf(leader, limit.group);
    let timer: Timer | undefined;
    const onAbort = (): void => {
      send(child, { kind: 'abort' });
      timer = clock.after(graceMs, () => {
        this.#isKilled = true;
        family.kill();
      });
    };
    const looking = this.#look(leader, family);
    try {
      const read = this.#read(child);
      const hear = attend(task, (message) => send(child, message));
      child.on('message', (message: FromGuest) => {
        this.#answer ??= hear(message);
        // It ends by itself at once, unless something of the handler keeps it.
        if (this.#answer !== undefined) timer ??= clock.after(graceMs, () => family.kill());
      });
      const assignment: Assignment = { module: this.#module, values: valuesOf(task) };
      send(child, assignment);
      task.signal.addEventListener('abort', onAbort, { once: true });
      if (task.signal.aborted) onAbort();
      const [code, signal] = await exited;
      await endFamily(family, { graceMs: 0, clock });
      await this.#drained(read, child);
      return this.#end(code, signal);
    } finally {
      task.signal.removeEventListener('abort', onAbort);
      timer?.cancel();
      looking.cancel();
      release(leader);
    }
  }

  #start(): ChildProcess {
    const { leash, limit } = this.#parts;
    const { script } = limit;
    const { memoryBytes } = this.#task.resources;
    const heap = memoryBytes === undefined ? [] : [`--max-old-space-size=${Math.max(Math.floor(memoryBytes / 1024 / 1024), 16)}`];
    const words = [...leash, process.execPath, ...inherited(process.execArgv), ...heap, entryOf('process')];
    const [program = '', ...rest] = script === undefined ? words : ['/bin/sh', '-c', script, 'sh', ...words];
    const child = spawn(program, rest, {
      // A process group of its own, so that what it starts ends with it.
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
    });
    if (child.pid !== undefined) letGiveWay(child.pid, this.#task.resources.nice);
    return child;
  }

  /** Lines come by a pipe of their own; what native code prints, or a process that the handler starts, by the usual two. */
  #read(child: ChildProcess): Promise<unknown> {
    const [, stdout, stderr, , lines] = child.stdio as unknown as readonly Readable[];
    const streams: Promise<unknown>[] = [];
    const closed = (stream: Readable): void => {
      stream.on('error', () => undefined);
      streams.push(once(stream, 'close'));
    };
    for (const [name, stream] of [
      ['stdout', stdout],
      ['stderr', stderr],
    ] as const) {
      if (stream === undefined) continue;
      const reader = new LineReader((text) => this.#write({ stream: name, level: name === 'stdout' ? 'info' : 'warn', text }));
      stream.on('data', (chunk: Buffer) => reader.bytes(chunk));
      stream.on('end', () => reader.end());
      closed(stream);
    }
    if (lines !== undefined) {
      let rest = '';
      lines.setEncoding('utf8').on('data', (text: string) => {
        const batches = (rest + text).split('\n');
        rest = batches.pop() ?? '';
        for (const batch of batches) for (const line of linesOf(batch)) this.#write(line);
      });
      closed(lines);
    }
    return Promise.all(streams);
  }

  #write(line: TaskLine): void {
    this.#task.log(line);
    this.#lastLines.push(line.text);
    if (this.#lastLines.length > mostLastLines) this.#lastLines.shift();
  }

  async #drained(read: Promise<unknown>, child: ChildProcess): Promise<void> {
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = this.#parts.clock.after(drainMs, resolve);
    });
    await Promise.race([read, late]);
    timer?.cancel();
    for (const stream of child.stdio) stream?.destroy();
  }

  /** Measures it as long as it lives, and ends it where it takes too much. */
  #look(leader: number, family: Family): Timer {
    const { clock, table, limit } = this.#parts;
    let next: Timer;
    const look = (): void => {
      const entry = table.entry(leader);
      if (entry === undefined) return;
      this.#cpuMs = Math.max(this.#cpuMs ?? 0, entry.cpuMs);
      this.#peakBytes = Math.max(this.#peakBytes ?? 0, entry.residentBytes, table.peakBytesOf(leader));
      if (limit.watchedBytes !== undefined && entry.residentBytes > limit.watchedBytes) {
        this.#takenBytes = entry.residentBytes;
        family.kill();
        return;
      }
      next = clock.after(lookEveryMs, look);
    };
    next = clock.after(lookEveryMs, look);
    return { cancel: () => next.cancel() };
  }

  #end(code: number | null, signal: NodeJS.Signals | null): TaskEnd {
    const { limit } = this.#parts;
    const notes = [...limit.notes];
    const cpuMs = limit.group?.cpuMs ?? this.#cpuMs;
    const peakMemoryBytes = Math.max(limit.group?.peakMemoryBytes ?? 0, this.#peakBytes ?? 0) || null;
    if (this.#answer?.kind === 'end') {
      const { end } = this.#answer;
      return new TaskEnd({
        ...end,
        cpuMs: limit.group?.cpuMs ?? end.cpuMs,
        peakMemoryBytes: Math.max(end.peakMemoryBytes ?? 0, peakMemoryBytes ?? 0) || null,
        notes: [...end.notes, ...notes],
      });
    }
    if (this.#isKilled) notes.push(`SIGKILL: it did not end within ${graceMs / 1000} s after it was told to`);
    return new TaskEnd({ error: this.#isKilled ? null : this.#died(code, signal), cpuMs, peakMemoryBytes, notes });
  }

  #died(code: number | null, signal: NodeJS.Signals | null): RunError {
    const detail = { exitCode: code, signal, lastLines: [...this.#lastLines] };
    const { group } = this.#parts.limit;
    const { memoryBytes } = this.#task.resources;
    const heap = this.#lastLines.some((line) => line.includes('heap out of memory'));
    if (this.#takenBytes !== undefined || (group?.killedForMemory ?? 0) > 0 || heap) {
      const allowed = memoryBytes === undefined ? 'Node allows it' : `its limit of ${megabytes(memoryBytes)}`;
      const taken = this.#takenBytes === undefined ? '' : `: ${megabytes(this.#takenBytes)}`;
      return { code: 'out_of_memory', message: `it took more memory than ${allowed}${taken}`, detail };
    }
    const how = signal === null ? `its process ended with exit code ${code}` : `its process was ended by ${signal}`;
    return { code: 'run_failed', message: `${how} before it answered`, detail };
  }
}

/** A loop that never ends does not hear that its channel has closed; the kernel can be asked to end it. */
function findLeash(path: string): Promise<readonly string[]> {
  const program = findProgram('setpriv', '/', path);
  if (program === undefined) return Promise.resolve([]);
  const words = [program, '--pdeathsig', 'KILL'];
  return new Promise((resolve) => {
    const trial = spawn(program, [...words.slice(1), process.execPath, '--version'], { stdio: 'ignore' });
    trial.on('error', () => resolve([]));
    trial.on('exit', (code) => resolve(code === 0 ? words : []));
  });
}

/** Its process group, and with a control group also those that have left it. */
function familyOf(leader: number, controlled: ControlGroup | undefined): Family {
  const group = new GroupFamily(leader);
  if (controlled === undefined) return group;
  return {
    members: () => [...group.members(), ...controlled.members()],
    signal: (pid, signal) => group.signal(pid, signal),
    kill: () => {
      group.kill();
      controlled.kill();
    },
    usage: () => undefined,
  };
}

function linesOf(text: string): readonly TaskLine[] {
  try {
    return JSON.parse(text) as readonly TaskLine[];
  } catch {
    // The process died in the middle of it.
    return [];
  }
}

/** Loaders and the like are inherited; what is about this process alone is not. */
function inherited(options: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < options.length; at++) {
    const option = options[at] ?? '';
    if (/^(?:-e|-p|-pe|--eval|--print|--input-type)$/.test(option)) at += 1;
    else if (!/^--(?:inspect|eval|print|input-type|watch|test|max-old-space-size)/.test(option)) kept.push(option);
  }
  return kept;
}

function send(child: ChildProcess, message: ToGuest | Assignment): void {
  // It may be gone: its exit says so.
  if (child.connected) child.send(message, () => undefined);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`;
}

function hold(pid: number): void {
  if (alive.size === 0) process.on('exit', endAll);
  alive.add(pid);
}

function release(pid: number): void {
  alive.delete(pid);
  if (alive.size === 0) process.off('exit', endAll);
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
