// Control groups, by which the kernel itself knows all processes of a command, whatever they do, and limits and counts what they
// take. They lie in the group of this process, or, where it has been put into a leaf of its own, beside it: that is how a system
// hands a part of the tree over. Whether one can be made is found out by making one.

import { spawn } from 'node:child_process';
import { type Dirent, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Resources } from '../executor.ts';

/** One for each kind of tree: version 1 has one for every controller, version 2 one for all. */
interface Tree {
  readonly version: 1 | 2;
  /** Where groups are made. */
  readonly folder: string;
  readonly controllers: ReadonlySet<Controller>;
}

type Controller = 'memory' | 'cpu' | 'cpuacct';

export class ControlGroups {
  readonly #trees: readonly Tree[];
  readonly #left = new Set<string>();
  #made = 0;

  /** undefined: none can be made here. */
  static async find(): Promise<ControlGroups | undefined> {
    const trees = findTrees();
    if (trees.length === 0) return undefined;
    const groups = new ControlGroups(trees);
    groups.#removeOrphans();
    try {
      const group = groups.make({});
      try {
        return (await canEnter(group)) ? groups : undefined;
      } finally {
        group.close();
      }
    } catch {
      return undefined;
    }
  }

  private constructor(trees: readonly Tree[]) {
    this.#trees = trees;
  }

  limits(controller: 'memory' | 'cpu'): boolean {
    return this.#trees.some((tree) => tree.controllers.has(controller));
  }

  /** Throws what the system says. */
  make(resources: Resources): ControlGroup {
    this.#removeLeft();
    this.#made += 1;
    const name = `${prefix}${process.pid}-${this.#made}`;
    const parts: Part[] = [];
    const group = new ControlGroup(parts, (folder) => this.#left.add(folder));
    try {
      for (const tree of this.#trees) {
        // The tree for shares of the processor is needed only to limit it.
        if (tree.version === 1 && tree.controllers.has('cpu') && tree.controllers.size === 1 && resources.cpu === undefined) continue;
        const folder = join(tree.folder, name);
        mkdirSync(folder);
        parts.push({ ...tree, folder });
      }
      if (resources.memoryBytes !== undefined) group.limitMemory(resources.memoryBytes);
      if (resources.cpu !== undefined) group.limitCpu(resources.cpu);
      return group;
    } catch (error) {
      group.close();
      throw error;
    }
  }

  /** Those that could not be removed, because a process was still on its way out. */
  #removeLeft(): void {
    for (const folder of this.#left) if (removeFolder(folder)) this.#left.delete(folder);
  }

  /** Of processes that died. Those with members stay: their run is ended when it is tried again. */
  #removeOrphans(): void {
    for (const { folder } of this.#trees) {
      for (const name of namesIn(folder)) {
        const pid = Number(new RegExp(`^${prefix}(\\d+)-\\d+$`).exec(name)?.[1]);
        if (pid > 0 && !isAlive(pid)) removeFolder(join(folder, name));
      }
    }
  }
}

const prefix = 'cuckoo-';
const cpuPeriodMicroseconds = 100_000;
/** The kernel takes no less. */
const leastQuotaMicroseconds = 1_000;

type Part = Tree;

/** The group of one command: a folder in each tree. */
export class ControlGroup {
  readonly #parts: readonly Part[];
  readonly #onLeft: (folder: string) => void;

  constructor(parts: readonly Part[], onLeft: (folder: string) => void) {
    this.#parts = parts;
    this.#onLeft = onLeft;
  }

  /** Whoever writes 0 into all of them belongs to the group, with all that it starts. */
  get doors(): readonly string[] {
    return this.#parts.map(({ folder }) => join(folder, 'cgroup.procs'));
  }

  /** Memory and processor time alike. */
  get measuresAll(): boolean {
    return this.#parts.some((part) => part.controllers.has('memory')) && this.cpuMs !== null;
  }

  limitMemory(bytes: number): void {
    for (const { version, folder, controllers } of this.#parts) {
      if (!controllers.has('memory')) continue;
      if (version === 2) {
        writeFileSync(join(folder, 'memory.max'), String(bytes));
        // Without these the limit would push to the disk what it should end, and end one process of many.
        tryWrite(join(folder, 'memory.swap.max'), '0');
        tryWrite(join(folder, 'memory.oom.group'), '1');
      } else {
        writeFileSync(join(folder, 'memory.limit_in_bytes'), String(bytes));
        tryWrite(join(folder, 'memory.memsw.limit_in_bytes'), String(bytes));
      }
    }
  }

  /** In percent of one core. */
  limitCpu(percent: number): void {
    const quota = Math.max(Math.round((percent / 100) * cpuPeriodMicroseconds), leastQuotaMicroseconds);
    for (const { version, folder, controllers } of this.#parts) {
      if (!controllers.has('cpu')) continue;
      if (version === 2) writeFileSync(join(folder, 'cpu.max'), `${quota} ${cpuPeriodMicroseconds}`);
      else {
        writeFileSync(join(folder, 'cpu.cfs_period_us'), String(cpuPeriodMicroseconds));
        writeFileSync(join(folder, 'cpu.cfs_quota_us'), String(quota));
      }
    }
  }

  members(): readonly number[] {
    const [part] = this.#parts;
    return part === undefined ? [] : membersIn(part.folder);
  }

  kill(): void {
    const [part] = this.#parts.filter(({ version }) => version === 2);
    if (part !== undefined && tryWrite(join(part.folder, 'cgroup.kill'), '1')) return;
    for (const pid of this.members()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  get cpuMs(): number | null {
    for (const { version, folder } of this.#parts) {
      const text = version === 2 ? read(join(folder, 'cpu.stat')) : read(join(folder, 'cpuacct.usage'));
      const microseconds = version === 2 ? /^usage_usec (\d+)$/m.exec(text ?? '')?.[1] : undefined;
      if (microseconds !== undefined) return Number(microseconds) / 1000;
      if (version === 1 && text !== undefined) return Number(text) / 1e6;
    }
    return null;
  }

  get peakMemoryBytes(): number | null {
    for (const { version, folder } of this.#parts) {
      const text = read(join(folder, version === 2 ? 'memory.peak' : 'memory.max_usage_in_bytes'));
      if (text !== undefined) return Number(text);
    }
    return null;
  }

  /** How many the kernel has ended, because the group's memory was used up. */
  get killedForMemory(): number {
    for (const { version, folder } of this.#parts) {
      const text = read(join(folder, version === 2 ? 'memory.events' : 'memory.oom_control'));
      const count = /^oom_kill (\d+)$/m.exec(text ?? '')?.[1];
      if (count !== undefined) return Number(count);
    }
    return 0;
  }

  /** Once nobody is in it any more. */
  close(): void {
    for (const { folder } of this.#parts) if (!removeFolder(folder)) this.#onLeft(folder);
  }
}

// What this process may write

function findTrees(): Tree[] {
  const own = ownGroups();
  const trees: Tree[] = [];
  for (const { version, controllers, folder } of mounts()) {
    if (version === 2) {
      const path = own.get('');
      const tree = path === undefined ? undefined : unifiedTree(folder(path));
      if (tree !== undefined) trees.push(tree);
      continue;
    }
    const wanted = (['memory', 'cpu', 'cpuacct'] as const).filter((name) => controllers.includes(name));
    const [first] = wanted;
    const path = first === undefined ? undefined : own.get(first);
    if (path !== undefined && canMake(folder(path))) trees.push({ version, folder: folder(path), controllers: new Set(wanted) });
  }
  // The one that ends its members at once first: who belongs is read there.
  return trees.sort((left, right) => right.version - left.version);
}

/** By controller; '' is the tree of version 2. */
function ownGroups(): ReadonlyMap<string, string> {
  const lines = (read('/proc/self/cgroup') ?? '').split('\n').filter((line) => line !== '');
  return new Map(
    lines.flatMap((line) => {
      const [, names = '', ...path] = line.split(':');
      return names.split(',').map((name) => [name, path.join(':')] as const);
    }),
  );
}

interface Mount {
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
  /** Where a group of that path is. */
  folder(path: string): string;
}

function mounts(): Mount[] {
  return (read('/proc/self/mountinfo') ?? '').split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '/', point = ''] = before.split(' ').map(unescaped);
    const [type, , options = ''] = after.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    // A container sees a part of the tree, and calls its own group by its name in the whole.
    const folder = (path: string): string => join(point, path.startsWith(root) ? path.slice(root.length) : path);
    return [{ version: type === 'cgroup2' ? (2 as const) : (1 as const), controllers: options.split(','), folder }];
  });
}

/** Blanks stand in it as \040. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** A group with members cannot hand controllers down, so the one above may be the better one; a slice is not ours. */
function unifiedTree(own: string): Tree | undefined {
  const above = dirname(own);
  const candidates = basename(above).endsWith('.slice') || !namesIn(above).includes('cgroup.procs') ? [own] : [own, above];
  const found = candidates.flatMap((folder) => {
    for (const controller of ['memory', 'cpu']) tryWrite(join(folder, 'cgroup.subtree_control'), `+${controller}`);
    if (!canMake(folder)) return [];
    const handed = (read(join(folder, 'cgroup.subtree_control')) ?? '').trim().split(' ');
    const controllers = (['memory', 'cpu'] as const).filter((name) => handed.includes(name));
    return [{ version: 2 as const, folder, controllers: new Set<Controller>(controllers) }];
  });
  return found.sort((left, right) => right.controllers.size - left.controllers.size)[0];
}

function canMake(folder: string): boolean {
  const trial = join(folder, `${prefix}${process.pid}-0`);
  try {
    mkdirSync(trial);
  } catch {
    return false;
  }
  return removeFolder(trial);
}

/** Whether a process that is started here can put itself into it. */
function canEnter(group: ControlGroup): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', entering(group)], { stdio: 'ignore' });
    child.on('error', () => resolve(false));
    child.on('exit', (code) => resolve(code === 0));
  });
}

/** What a shell does to become a member. Fails where it cannot. */
export function entering(group: ControlGroup): string {
  return group.doors.map((door) => `echo 0 > ${quoted(door)}`).join(' && ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function tryWrite(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch {
    return false;
  }
}

function entriesIn(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function namesIn(folder: string): readonly string[] {
  return entriesIn(folder).map(({ name }) => name);
}

/** With the groups that a member has made in it; they are empty too. true: it is not there any more. */
function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
  }
  try {
    for (const entry of entriesIn(folder)) if (entry.isDirectory()) removeFolder(join(folder, entry.name));
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

/** With those of the groups that members have made in it. */
function membersIn(folder: string): number[] {
  const own = (read(join(folder, 'cgroup.procs')) ?? '').split('\n').filter((line) => line !== '');
  const inner = entriesIn(folder).flatMap((entry) => (entry.isDirectory() ? membersIn(join(folder, entry.name)) : []));
  return [...own.map(Number), ...inner];
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
