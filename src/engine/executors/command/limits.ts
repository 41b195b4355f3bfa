// How a command is limited: what the shell that becomes the command does before it does so, and what has to be watched afterwards.
// What cannot be enforced here is said in words, never dropped.

import { spawn } from 'node:child_process';
import type { ioClasses, Resources } from '../executor.ts';
import { type ControlGroup, ControlGroups, entering } from './controlGroup.ts';
import { findProgram } from './executable.ts';
import type { Enforcement } from './messages.ts';
import { canReadProcesses } from './processTable.ts';

export interface Limit {
  /** Lines of a shell that end in `exec .. "$@"`; undefined: the command is started as it is. */
  readonly script: string | undefined;
  readonly group: ControlGroup | undefined;
  /** Ended when its processes together take more. */
  readonly watchedBytes: number | undefined;
  readonly notes: readonly string[];
}

/** As `ionice` knows them. */
const ioClassNumbers: Readonly<Record<string, number>> = { idle: 3, best_effort: 2, realtime: 1 } satisfies Record<
  (typeof ioClasses)[number],
  number
>;

/** A brake for what takes everything between two looks: generous, because a program may set aside more than it takes. */
const brakeFactor = 2;
const brakeExtraBytes = 256 * 1024 * 1024;

export class Limits {
  readonly enforcement: Enforcement;
  readonly #groups: ControlGroups | undefined;
  readonly #path: string;
  /** By a trial that was made once. */
  readonly #trials = new Map<string, Promise<string | undefined>>();

  /** `wanted` bounds what is tried. */
  static async find(wanted: Enforcement, path: string): Promise<Limits> {
    const groups = wanted === 'cgroup' ? await ControlGroups.find() : undefined;
    const watched = wanted !== 'group' && canReadProcesses() ? 'tree' : 'group';
    return new Limits(groups === undefined ? watched : 'cgroup', groups, path);
  }

  private constructor(enforcement: Enforcement, groups: ControlGroups | undefined, path: string) {
    this.enforcement = enforcement;
    this.#groups = groups;
    this.#path = path;
  }

  async prepare(resources: Resources): Promise<Limit> {
    const notes: string[] = [];
    const lines: string[] = [];
    const words: string[] = [];
    const { cpu, memoryBytes, nice, io } = resources;
    const priority = await this.#priority(nice, io);
    words.push(...priority.words);
    notes.push(...priority.notes);

    const group = this.#makeGroup(resources, notes);
    if (group !== undefined)
      lines.push(`{ ${entering(group)}; } 2>/dev/null || { echo 'its control group cannot be entered' >&2; exit 125; }`);
    const groupLimits = (controller: 'memory' | 'cpu'): boolean => group !== undefined && this.#groups?.limits(controller) === true;
    if (cpu !== undefined && !groupLimits('cpu')) {
      notes.push(`cpu: ${cpu} is not enforced: no control group for it can be made here`);
    }
    const watchedBytes = memoryBytes === undefined || groupLimits('memory') ? undefined : memoryBytes;
    if (watchedBytes !== undefined && this.enforcement === 'group') {
      notes.push('memory is not enforced: processes cannot be watched on this system');
    } else if (watchedBytes !== undefined) {
      const kilobytes = Math.ceil((watchedBytes * brakeFactor + brakeExtraBytes) / 1024);
      lines.push(`ulimit -d ${kilobytes} 2>/dev/null`);
    }
    const script = lines.length + words.length === 0 ? undefined : [...lines, ['exec', ...words, '"$@"'].join(' ')].join('\n');
    return { script, group, watchedBytes, notes };
  }

  #makeGroup(resources: Resources, notes: string[]): ControlGroup | undefined {
    try {
      return this.#groups?.make(resources);
    } catch (error) {
      notes.push(`no control group could be made: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  async #priority(nice: number | undefined, io: string | undefined): Promise<{ readonly words: string[]; readonly notes: string[] }> {
    const words: string[] = [];
    const notes: string[] = [];
    const take = async (name: string, wanted: string, options: string[]): Promise<void> => {
      const program = findProgram(name, '/', this.#path);
      const refused = program === undefined ? `there is no ${name} here` : await this.#refusal([program, ...options]);
      if (refused === undefined && program !== undefined) words.push(program, ...options);
      else notes.push(`${wanted} is not enforced: ${refused}`);
    };
    if (nice !== undefined && nice !== 0) await take('nice', `nice: ${nice}`, ['-n', String(nice)]);
    const ioClass = io === undefined ? undefined : ioClassNumbers[io.toLowerCase()];
    if (ioClass !== undefined) await take('ionice', `io: ${io}`, ['-c', String(ioClass)]);
    return { words, notes };
  }

  /** What the program says when it is tried on nothing: both tell it on standard error, and `nice` goes on all the same. */
  #refusal(words: readonly string[]): Promise<string | undefined> {
    const key = words.join(' ');
    const known = this.#trials.get(key) ?? tryOut(words);
    this.#trials.set(key, known);
    return known;
  }
}

function tryOut([program = '', ...options]: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, [...options, '/bin/sh', '-c', ':'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, 200);
    });
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => resolve(code === 0 && said === '' ? undefined : said.trim() || `it ended with ${code}`));
  });
}
