// Which database files this process holds: the opened one, those of other engines, and whatever sessions have attached. Only the
// system knows them all, where it tells (Linux): each file that DuckDB has open for writing carries a lock of this process. It is
// asked through this process's own descriptors; /proc/locks makes the kernel wait for all processors, up to 10 ms. Nothing is
// opened: closing a descriptor of such a file would drop its lock.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { fileIdentity } from './file.ts';

/** Without links. None where the system does not say. */
export function heldFiles(): readonly string[] {
  const files = descriptors().flatMap((descriptor) => (lockOf(descriptor) === undefined ? [] : pathOf(descriptor)));
  return [...new Set(files)];
}

/** DuckDB's lock on one file, asked for again and again: 10 us, where looking through all descriptors takes 400. */
export class HeldLock {
  /** As the system writes it: device and inode. */
  readonly #lock: string;
  /** Showed it last. */
  #descriptor: string;

  /** undefined where it is not to be seen. */
  static on(path: string): HeldLock | undefined {
    const identity = fileIdentity(path);
    if (identity === undefined) return undefined;
    for (const descriptor of descriptors()) {
      if (fileIdentity(`/proc/self/fd/${descriptor}`) !== identity) continue;
      const lock = lockOf(descriptor);
      if (lock !== undefined) return new HeldLock(lock, descriptor);
    }
    return undefined;
  }

  private constructor(lock: string, descriptor: string) {
    this.#lock = lock;
    this.#descriptor = descriptor;
  }

  get isHeld(): boolean {
    if (lockOf(this.#descriptor) === this.#lock) return true;
    // DuckDB may have opened the file anew.
    const descriptor = descriptors().find((other) => lockOf(other) === this.#lock);
    if (descriptor === undefined) return false;
    this.#descriptor = descriptor;
    return true;
  }
}

/** Can this process still write the file of this identity? false where the system does not say. */
export function isOpenForWriting(identity: string): boolean {
  return descriptors().some((descriptor) => mayWrite(descriptor) && fileIdentity(`/proc/self/fd/${descriptor}`) === identity);
}

function descriptors(): readonly string[] {
  try {
    return readdirSync('/proc/self/fd');
  } catch {
    return [];
  }
}

/** The lock that this process has on what the descriptor leads to. */
function lockOf(descriptor: string): string | undefined {
  try {
    return /^lock:\t?.*\bPOSIX\b.* ([\da-f]+:[\da-f]+:\d+) /m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
  } catch {
    // Closed meanwhile.
    return undefined;
  }
}

/** As it was opened: the two last bits of its flags, which are written in octal. */
function mayWrite(descriptor: string): boolean {
  try {
    const flags = /^flags:\t?([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0;
  } catch {
    return false;
  }
}

function pathOf(descriptor: string): string[] {
  try {
    const path = readlinkSync(`/proc/self/fd/${descriptor}`);
    // Not of a file that has been deleted.
    return path.startsWith('/') && statSync(path, { throwIfNoEntry: false }) !== undefined ? [path] : [];
  } catch {
    return [];
  }
}
