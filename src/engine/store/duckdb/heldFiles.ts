// Which database files this process holds: the opened one, those of other engines, and whatever sessions have attached. Only the
// system knows them all, where it tells (Linux): each file that DuckDB has open for writing carries a lock of this process.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** Without links. None where the system does not say. Nothing is opened: closing a descriptor would drop the locks. */
export function heldFiles(): readonly string[] {
  try {
    const locked = new Set(
      [...readFileSync('/proc/locks', 'utf8').matchAll(/^\d+: POSIX +\S+ +\S+ +(\d+) [\da-f]+:[\da-f]+:(\d+) /gm)]
        .filter(([, pid]) => pid === String(process.pid))
        .map(([, , inode]) => inode),
    );
    if (locked.size === 0) return [];
    const files = readdirSync('/proc/self/fd').flatMap((descriptor) => lockedFile(`/proc/self/fd/${descriptor}`, locked));
    return [...new Set(files)];
  } catch {
    return [];
  }
}

function lockedFile(descriptor: string, locked: ReadonlySet<string | undefined>): string[] {
  try {
    const path = readlinkSync(descriptor);
    return path.startsWith('/') && locked.has(String(statSync(path, { bigint: true }).ino)) ? [path] : [];
  } catch {
    // Closed meanwhile, or deleted.
    return [];
  }
}
