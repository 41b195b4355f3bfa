// What lies in the job directory, without knowing what it means: names, stamps that change when a file does, and texts. Only
// asynchronous calls, few at a time: a network mount that hangs must not hold up the scheduler, and DuckDB shares the thread pool.

import { constants, type Dirent } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isOpenDatabase } from '../../engine/jobFiles.ts';

export type Look =
  | {
      readonly kind: 'found';
      /** Another one stands for another directory under the same name. */
      readonly identity: string;
      /** Everybody may write to it. */
      readonly isOpenToAll: boolean;
      readonly files: ReadonlyMap<string, Stamp>;
      /** Folders that could not be looked into, as beginnings of paths. */
      readonly closed: readonly string[];
    }
  | { readonly kind: 'gone'; readonly reason: string };

export interface Stamp {
  /** Equal while the file has not changed. */
  readonly text: string;
  /** It is not the entry itself that changes. */
  readonly isLink: boolean;
}

export interface LookOptions {
  /** From the look before; what is not in `changed` is believed to be as it was. */
  readonly before?: ReadonlyMap<string, Stamp> | undefined;
  /** Last parts of paths that something was heard of. */
  readonly changed?: ReadonlySet<string>;
}

const deepest = 16;
const atOnce = 8;

export async function look(directory: string, { before, changed }: LookOptions = {}): Promise<Look> {
  const files = new Map<string, Stamp>();
  const closed: string[] = [];
  const seen = new Set<string>();
  let identity: string;
  let isOpenToAll: boolean;
  try {
    const root = await stat(directory, { bigint: true });
    if (!root.isDirectory()) return { kind: 'gone', reason: 'it is not a directory' };
    identity = `${root.dev}:${root.ino}`;
    isOpenToAll = (root.mode & 0o002n) !== 0n;
    seen.add(identity);
  } catch (error) {
    return { kind: 'gone', reason: reasonOf(error) };
  }
  const folders: { readonly prefix: string; readonly depth: number }[] = [{ prefix: '', depth: 0 }];
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    const { prefix, depth } = folder;
    let entries: Dirent[];
    try {
      entries = await readdir(join(directory, prefix), { withFileTypes: true });
    } catch (error) {
      if (depth === 0) return { kind: 'gone', reason: reasonOf(error) };
      if (!isAbsent(error)) closed.push(prefix);
      continue;
    }
    await eachOf(entries, atOnce, async (entry) => {
      const path = prefix + entry.name;
      const isLink = entry.isSymbolicLink();
      const isJob = isJobFileName(entry.name);
      if (entry.isDirectory() || isLink) {
        if (!isFolderName(entry.name)) return;
        if (!isLink && depth >= deepest) return;
      } else if (!isJob || !entry.isFile()) return;
      const known = before?.get(path);
      if (known !== undefined && !known.isLink && !isLink && entry.isFile() && changed?.has(entry.name) !== true) {
        files.set(path, known);
        return;
      }
      try {
        const found = await stat(join(directory, path), { bigint: true });
        if (found.isDirectory()) {
          const key = `${found.dev}:${found.ino}`;
          if (seen.has(key) || depth >= deepest) return;
          seen.add(key);
          folders.push({ prefix: `${path}/`, depth: depth + 1 });
        } else if (isJob && found.isFile()) {
          files.set(path, { text: `${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`, isLink });
        }
      } catch (error) {
        // A file that has just gone is gone; a link that leads nowhere stands there.
        if (isJob && (isLink || !isAbsent(error))) files.set(path, { text: reasonOf(error), isLink });
      }
    });
  }
  return { kind: 'found', identity, isOpenToAll, files, closed };
}

/** Names of editors' and tools' own files are passed over, and so is what every module has beside its jobs. */
export function isJobFileName(name: string): boolean {
  if (!/\.(?:json|sql)$/i.test(name) || /^[.#~]/.test(name)) return false;
  return !/^(?:package-lock|npm-shrinkwrap|[tj]sconfig)(?:\..*)?\.json$/i.test(name);
}

function isFolderName(name: string): boolean {
  return !name.startsWith('.') && name !== 'node_modules';
}

export type FileText =
  | { readonly kind: 'text'; readonly text: string; readonly stamp: string }
  | { readonly kind: 'problem'; readonly message: string };

/** 1 MB: more is no definition, and the thread that schedules would read it. */
const mostBytes = 1_048_576;

export async function readText(directory: string, path: string): Promise<FileText> {
  const full = join(directory, path);
  if (isOpenDatabase(full)) return { kind: 'problem', message: 'this is the open database itself' };
  try {
    // Without waiting: a pipe in the place of a file would never answer.
    const file = await open(full, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const before = await file.stat({ bigint: true });
      if (!before.isFile()) return { kind: 'problem', message: 'this is not a plain file' };
      if (before.size > BigInt(mostBytes)) {
        return { kind: 'problem', message: `the file has ${before.size} bytes; a job file has 1 MB at most (split it into several)` };
      }
      const bytes = Buffer.allocUnsafe(Number(before.size) + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
        length += bytesRead;
        if (bytesRead === 0 || length === bytes.length) break;
      }
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length));
      return { kind: 'text', text, stamp: `${before.ino}:${before.size}:${before.mtimeNs}:${before.ctimeNs}` };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof TypeError) return { kind: 'problem', message: 'the file is not UTF-8 text (save it as UTF-8)' };
    return { kind: 'problem', message: `the file cannot be read: ${reasonOf(error)}` };
  }
}

/** `work` on each, some at a time. */
export async function eachOf<Item>(items: readonly Item[], most: number, work: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, one));
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is none',
  ENOTDIR: 'it is not a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ELOOP: 'its links lead in a circle',
};

function reasonOf(error: unknown): string {
  return reasons[codeOf(error) ?? ''] ?? (error instanceof Error ? error.message : String(error));
}
