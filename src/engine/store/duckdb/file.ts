// What kind of file is this? Asked once, before DuckDB opens it, and never again by this process: DuckDB guards the file with a
// POSIX lock, and the system drops all of a process's locks on a file when the process closes ANY descriptor of it.
// (A second writer's 5,000 rows were silently lost that way.) So whoever opens DuckDB files tells `keepClosed` which ones are
// in use, and everything here refuses to read those.

import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { Diagnostic } from '../../../core/diagnostic.ts';

export interface DatabaseFile {
  /** Without links, so that one file has one name. */
  readonly realPath: string;
  /** undefined: there is no file yet. */
  readonly storageVersion: number | undefined;
  /** `v1.5.6`, as the file says. */
  readonly writtenBy: string | undefined;
}

/** Storage versions that the DuckDB inside reads: 64 is 0.10 and 1.0, 68 is 1.5. */
const oldestStorageVersion = 64;
export const newestStorageVersion = 68;

const inUse = new Map<string, number>();

/** From here on this process does not open the file itself. Answers the function that ends it. */
export function keepClosed(realPath: string): () => void {
  const key = identity(statSync(realPath, { bigint: true }));
  inUse.set(key, (inUse.get(key) ?? 0) + 1);
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    const count = (inUse.get(key) ?? 1) - 1;
    if (count === 0) inUse.delete(key);
    else inUse.set(key, count);
  };
}

/** Is the file behind this path, by whichever name, one that this process has open in DuckDB? */
export function isKeptClosed(path: string): boolean {
  const key = fileIdentity(path);
  return key !== undefined && inUse.has(key);
}

/** Two names of one file (hard links) have one identity. */
export function fileIdentity(path: string): string | undefined {
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? undefined : identity(stats);
  } catch {
    // Not even a possible path, or one that cannot be reached.
    return undefined;
  }
}

function identity(stats: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${stats.dev}:${stats.ino}`;
}

/** The file that DuckDB would open, also where it does not exist yet or is reached through a dangling link. */
export function resolveDatabasePath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw unreachable(absolute, error);
  }
  const link = lstatSync(absolute, { throwIfNoEntry: false });
  if (link?.isSymbolicLink() === true) return resolveDatabasePath(resolve(dirname(absolute), readlinkSync(absolute)));
  const parent = dirname(absolute);
  if (statSync(parent, { throwIfNoEntry: false }) === undefined) throw missingFolder(absolute, parent);
  return join(realpathSync(parent), basename(absolute));
}

function unreachable(path: string, error: unknown): Diagnostic {
  switch (errorCode(error)) {
    case 'ENOTDIR':
      return new Diagnostic('file_not_found', `${shown(path)} cannot exist: a part of its path is a file, not a folder.`, {
        hint: 'Name a file inside a folder.',
        cause: error,
      });
    case 'EACCES':
      return new Diagnostic('forbidden', `${shown(path)} cannot be reached: no permission to enter one of its folders.`, {
        hint: 'Change the permissions of the folder, or name a file elsewhere.',
        cause: error,
      });
    case 'ELOOP':
      return new Diagnostic('file_not_found', `${shown(path)} is a link that leads back to itself.`, {
        hint: 'Name the file itself.',
        cause: error,
      });
    case 'ENAMETOOLONG':
      return new Diagnostic('file_not_found', 'The name of the file is longer than the system allows.', {
        hint: 'Name a shorter path.',
        cause: error,
      });
    default:
      return new Diagnostic('io_error', `${shown(path)} cannot be reached: ${String(error)}`, { cause: error });
  }
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

/** Refuses, with the reason, whatever DuckDB could not open or would misunderstand. */
export function inspectFile(path: string, options: { readonly readOnly: boolean }): DatabaseFile {
  const realPath = resolveDatabasePath(path);
  const stats = statSync(realPath, { throwIfNoEntry: false });
  if (stats === undefined) {
    mustBeCreatable(realPath, options);
    return { realPath, storageVersion: undefined, writtenBy: undefined };
  }
  mustBeUsable(realPath, stats, options);
  const header = readHeader(realPath);
  if (header.length === 0) {
    throw new Diagnostic('not_a_database', `${shown(realPath)} is empty (0 bytes), so it is not a database.`, {
      hint: 'Remove it, and a database will be made in its place; or name another file.',
    });
  }
  if (header.toString('latin1', 8, 12) !== 'DUCK') throw notADatabase(realPath, header);
  return readVersion(realPath, header);
}

function mustBeCreatable(realPath: string, { readOnly }: { readonly readOnly: boolean }): void {
  if (readOnly) {
    throw new Diagnostic('file_not_found', `${shown(realPath)} does not exist, and nothing is created in read-only mode.`, {
      hint: 'Check the path, or open it without --readonly to create it.',
    });
  }
  const parent = dirname(realPath);
  if (!may(parent, constants.W_OK | constants.X_OK)) {
    throw new Diagnostic('forbidden', `${shown(realPath)} cannot be created: no permission to write in ${shown(parent)}.`, {
      hint: 'Change the permissions of the folder, or name a file elsewhere.',
    });
  }
}

function mustBeUsable(realPath: string, stats: Stats, { readOnly }: { readonly readOnly: boolean }): void {
  if (stats.isDirectory()) {
    throw new Diagnostic('not_a_database', `${shown(realPath)} is a folder, not a database.`, {
      hint: `Name a file in it, such as ${shown(join(realPath, 'cuckoo.duckdb'))}.`,
    });
  }
  if (!stats.isFile()) {
    throw new Diagnostic('not_a_database', `${shown(realPath)} is a device, pipe or socket, not a database.`, { hint: 'Name a file.' });
  }
  if (!may(realPath, constants.R_OK)) {
    throw new Diagnostic('forbidden', `${shown(realPath)} cannot be opened: no permission to read it.`, {
      hint: 'Change its permissions, or run as its owner.',
    });
  }
  if (readOnly) return;
  const hint = 'Open it with --readonly, or change the permissions of the file and of its folder (the write-ahead log is made beside it).';
  if (!may(realPath, constants.W_OK)) {
    throw new Diagnostic('forbidden', `${shown(realPath)} cannot be opened for writing: no permission to write it.`, { hint });
  }
  if (!may(dirname(realPath), constants.W_OK | constants.X_OK)) {
    throw new Diagnostic('forbidden', `${shown(realPath)} cannot be opened for writing: no permission to write in its folder.`, { hint });
  }
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function missingFolder(path: string, parent: string): Diagnostic {
  return new Diagnostic('file_not_found', `${shown(path)} cannot be created: there is no folder ${shown(parent)}.`, {
    hint: `Create it first: mkdir -p '${parent}'`,
  });
}

/** Enough for DuckDB's header and for the first lines of a text. */
const headerBytes = 4096;

function readHeader(realPath: string): Buffer {
  if (isKeptClosed(realPath)) {
    throw new Diagnostic('internal', `${shown(realPath)} is open in this process; reading it as a file would drop DuckDB's lock on it.`);
  }
  const buffer = Buffer.alloc(headerBytes);
  const descriptor = openSync(realPath, 'r');
  try {
    return buffer.subarray(0, readSync(descriptor, buffer, 0, headerBytes, 0));
  } finally {
    closeSync(descriptor);
  }
}

// DuckDB's first block: checksum (8 bytes), magic (4), storage version (8), flags (32), then who wrote it (32).
const versionOffset = 12;
const flagsOffset = 20;
const writerOffset = 52;
const encryptedFlag = 1n;

function readVersion(realPath: string, header: Buffer): DatabaseFile {
  if (header.length < headerBytes) {
    throw new Diagnostic('not_a_database', `${shown(realPath)} is a DuckDB file that was cut off after ${header.length} bytes.`, {
      hint: 'Restore it from a backup.',
    });
  }
  const storageVersion = Number(header.readBigUInt64LE(versionOffset));
  const writer = /^v?\d[\w.-]*/.exec(header.toString('latin1', writerOffset, writerOffset + 32))?.[0];
  const by = writer === undefined ? '' : ` by DuckDB ${writer}`;
  if (storageVersion > newestStorageVersion) {
    throw new Diagnostic(
      'newer_file',
      `${shown(realPath)} was written${by} in storage version ${storageVersion}; this Cuckoo reads versions up to ${newestStorageVersion} (DuckDB 1.5). DuckDB 2.0 and later write newer files.`,
      {
        hint: "Open it with a newer Cuckoo; or, in the DuckDB that wrote it, copy it: ATTACH 'copy.duckdb' (STORAGE_VERSION 'v1.5.0'); COPY FROM DATABASE ..",
      },
    );
  }
  if (storageVersion < oldestStorageVersion) {
    throw new Diagnostic(
      'unsupported',
      `${shown(realPath)} was written${by} in storage version ${storageVersion}, before DuckDB 0.10; versions from ${oldestStorageVersion} on are read.`,
      { hint: 'EXPORT DATABASE with the DuckDB that wrote it, and IMPORT DATABASE here.' },
    );
  }
  if ((header.readBigUInt64LE(flagsOffset) & encryptedFlag) !== 0n) {
    throw new Diagnostic('unsupported', `${shown(realPath)} is encrypted; Cuckoo opens no encrypted files.`, {
      hint: "From another database: ATTACH 'file' AS x (ENCRYPTION_KEY '..').",
    });
  }
  return { realPath, storageVersion, writtenBy: writer };
}

function notADatabase(realPath: string, header: Buffer): Diagnostic {
  const name = shown(realPath);
  const load = `Open a database (cuckoo my.duckdb) and load it there: CREATE TABLE t AS FROM '${realPath}'`;
  switch (guess(realPath, header)) {
    case 'sqlite':
      return new Diagnostic('not_a_database', `${name} is an SQLite database, not a DuckDB one.`, {
        hint: `Open a DuckDB file and, with the extension sqlite installed: ATTACH '${realPath}' AS old (TYPE sqlite)`,
      });
    case 'parquet':
      return new Diagnostic('not_a_database', `${name} is a Parquet file, not a database.`, { hint: load });
    case 'json':
      return new Diagnostic('not_a_database', `${name} is a JSON file, not a database.`, { hint: load });
    case 'csv':
      return new Diagnostic('not_a_database', `${name} is a CSV file, not a database.`, { hint: load });
    case 'sql':
      return new Diagnostic('not_a_database', `${name} is a text file with SQL, not a database.`, {
        hint: `Run it in a database: cuckoo my.duckdb -f '${realPath}'`,
      });
    case 'text':
      return new Diagnostic('not_a_database', `${name} is a text file, not a database.`, {
        hint: 'Name a DuckDB file, or one that does not exist yet.',
      });
    case 'unknown':
      return new Diagnostic('not_a_database', `${name} is not a DuckDB database.`, {
        hint: 'Name a DuckDB file, or one that does not exist yet.',
      });
  }
}

function guess(realPath: string, header: Buffer): 'sqlite' | 'parquet' | 'json' | 'csv' | 'sql' | 'text' | 'unknown' {
  if (header.toString('latin1', 0, 16) === 'SQLite format 3\0') return 'sqlite';
  if (header.toString('latin1', 0, 4) === 'PAR1') return 'parquet';
  if (header.includes(0)) return 'unknown';
  const text = header.toString('utf8').replace(/^\ufeff/, '');
  const extension = extname(realPath).toLowerCase();
  if (extension === '.sql') return 'sql';
  if (/^\s*[[{]/.test(text)) return 'json';
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  const [first = ''] = lines;
  const separated = [',', ';', '\t'].some((sign) => first.includes(sign) && lines.slice(0, 3).every((line) => line.includes(sign)));
  if (extension === '.csv' || extension === '.tsv' || separated) return 'csv';
  return /^\s*(--|(create|select|insert|upsert|attach|begin|with|set|copy)\b)/i.test(text) ? 'sql' : 'text';
}

/** Names that our schemas have: a catalogue of the same name would make every `cron.x` ambiguous. */
const ourSchemas = new Set(['cron', 'cuckoo_ledger']);

/** The name that the file's catalogue must get instead of its own, if its own is not possible. */
export function fileAlias(path: string): string | undefined {
  const own = catalogueName(path);
  return ourSchemas.has(own.toLowerCase()) ? `${own}_file` : undefined;
}

/** As DuckDB derives it: the base name up to a `?`, and of that the first part that stands before a dot. */
export function catalogueName(path: string): string {
  const [name = ''] = basename(path).split('?');
  return name.split('.').find((part) => part !== '') ?? name;
}

/**
 * Does this process hold a lock on the file? undefined where the system does not say (anything but Linux). Asked of this process's
 * own descriptors, which opens nothing: /proc/locks knows it too, but makes the kernel wait for all processors, 10 ms and more.
 */
export function holdsLock(realPath: string): boolean | undefined {
  const file = fileIdentity(realPath);
  if (file === undefined) return false;
  try {
    return readdirSync('/proc/self/fd').some(
      (descriptor) => fileIdentity(`/proc/self/fd/${descriptor}`) === file && isLocked(`/proc/self/fdinfo/${descriptor}`),
    );
  } catch {
    return undefined;
  }
}

function isLocked(descriptorInfo: string): boolean {
  try {
    return /^lock:.*\bPOSIX\b/m.test(readFileSync(descriptorInfo, 'utf8'));
  } catch {
    // Closed between the two questions.
    return false;
  }
}

function shown(path: string): string {
  return `"${path}"`;
}
