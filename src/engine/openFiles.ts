// Which open database a path means, whatever it is called there: by a link, a second name, a pattern, or with its write-ahead
// log. Only names and inodes are looked at: who opened the file to look, and closed it, would drop DuckDB's lock on it.

import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { heldFiles } from './store/duckdb/heldFiles.ts';

/** Asked of the system when first needed, and for one statement only: any session may attach another. */
export class OpenFiles {
  readonly #main: string | undefined;
  #all: readonly string[] | undefined;

  constructor(main: string | undefined) {
    this.#main = main === ':memory:' ? undefined : main;
  }

  get all(): readonly string[] {
    this.#all ??= [...new Set([...(this.#main === undefined ? [] : [this.#main]), ...heldFiles()])];
    return this.#all;
  }

  /** The open file that a path, or a pattern, names; also by its write-ahead log. */
  named(path: string): string | undefined {
    return openFile(path, this);
  }

  /** Whether one of them lies in the folder. */
  liesIn(folder: string): boolean {
    return this.all.some((held) => held.startsWith(`${resolve(folder)}${sep}`));
  }

  /** Whether one of them, or its write-ahead log, could be called so at the end. */
  mayEndWith(ending: string): boolean {
    const extension = /\.[a-z0-9]+$/i.exec(ending)?.[0];
    return extension === undefined || this.all.some((held) => held.endsWith(extension) || extension === '.wal');
  }
}

function openFile(path: string, open: OpenFiles): string | undefined {
  // The system reads a path up to a NUL.
  const [text = ''] = path.split('\0');
  const given = text
    .replace(/^(?:duckdb|sqlite):(?!\/\/)/, '')
    .replace(/^file:(?:\/\/(?:localhost)?(?=\/))?/, '')
    .replace(/^~(?=\/)/, homedir());
  // Most names in the place of a table are no files at all.
  const found = stat(given);
  if (found === undefined && !looksLikeFile.test(given)) return undefined;
  const files = open.all.flatMap((file) => [file, `${file}.wal`]);
  if (/[*?[]/.test(given)) return files.find((file) => globMatches(resolve(given), resolve(file))) ?? linkedIn(resolve(given), files);
  if (found === undefined) {
    // A relative path that leads nowhere from here may be found through file_search_path.
    return files.find((file) => resolve(file) === resolve(given) || (!isAbsolute(given) && basename(file) === basename(given)));
  }
  return files.find((file) => {
    const held = stat(file);
    return held !== undefined && held.ino === found.ino && held.dev === found.dev;
  });
}

/** A path, a pattern, or a name with an extension. */
const looksLikeFile = /[/\\*?[]|\.[a-z0-9]+$/i;

/** Two names of one path, links followed. */
export function samePath(one: string, other: string): boolean {
  return realPath(one) === realPath(other);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

function stat(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** The open file that another name in the pattern's folder leads to; patterns over folders are taken by name only. */
function linkedIn(pattern: string, files: readonly string[]): string | undefined {
  const folder = dirname(pattern);
  if (/[*?[]/.test(folder)) return undefined;
  const name = globExpression(basename(pattern));
  const held = files.map((file) => ({ file, stats: stat(file) }));
  for (const entry of namesIn(folder)) {
    const found = name.test(entry) ? stat(join(folder, entry)) : undefined;
    const same = held.find(({ stats }) => found !== undefined && stats?.ino === found.ino && stats.dev === found.dev);
    if (same !== undefined) return same.file;
  }
  return undefined;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** DuckDB's patterns: `*` and `?` within a name, `**` over folders, `[..]`. A folder may be reached by another name. */
function globMatches(pattern: string, file: string): boolean {
  const first = pattern.search(/[*?[]/);
  const fixed = dirname(`${pattern.slice(0, first)}x`);
  const rest = pattern.slice(fixed === sep ? 1 : fixed.length + 1);
  const open = stat(fixed);
  if (open === undefined) return false;
  // The folder above the file that is the pattern's fixed part.
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const here = stat(folder);
    if (here !== undefined && here.ino === open.ino && here.dev === open.dev) {
      if (globExpression(rest).test(file.slice(folder === sep ? 1 : folder.length + 1))) return true;
    }
    if (folder === dirname(folder)) return false;
  }
}

function globExpression(pattern: string): RegExp {
  const source = pattern.replace(/\*\*\/?|\*|\?|\[[^\]]*\]|[^*?[]+|\[/g, (piece) => {
    if (piece.startsWith('**')) return '.*';
    if (piece === '*') return '[^/]*';
    if (piece === '?') return '[^/]';
    if (piece.length > 1 && piece.startsWith('['))
      return `[${piece
        .slice(1, -1)
        .replace(/^!/, '^')
        .replace(/[\\\]]/g, '\\$&')}]`;
    return piece.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  });
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    // A class that DuckDB may read differently: better refused than sorry.
    return /^/;
  }
}
