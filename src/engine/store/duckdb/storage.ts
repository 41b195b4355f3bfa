// The room on the disk where the file lies. DuckDB writes its log into the file when that has grown (64 MB), within whatever
// COMMIT comes by, and when there is no room for it the whole instance stops: each further COMMIT would stop it again. So while
// room is short these checkpoints are put off; what does not fit into the log is then an error of its own statement, and no more.
//
// Only names are asked (stat, statfs): closing a descriptor of the file would drop DuckDB's lock.

import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../../../scheduler/clock.ts';
import type { Storage } from '../../../scheduler/ports.ts';
import { neededBytes } from '../../../scheduler/storage.ts';

interface Checkpointed {
  readonly path: string;
  holdCheckpoints(held: boolean): Promise<void>;
}

/** While room is short, and a scheduler does not ask anyway. */
const lookEveryMs = 5_000;

export class StorageWatch {
  readonly #database: Checkpointed;
  readonly #clock: Clock;
  readonly #storageOf: typeof storageOf;
  #timer: Timer | undefined;
  #stopped = false;

  /** `measure` is for tests: disks are not filled at will. */
  constructor(database: Checkpointed, clock: Clock, measure = storageOf) {
    this.#database = database;
    this.#clock = clock;
    this.#storageOf = measure;
  }

  /** What there is now, with checkpoints put off or allowed accordingly. undefined: in memory, or nobody can tell. */
  async look(): Promise<Storage | undefined> {
    const storage = await this.#storageOf(this.#database.path);
    if (storage === undefined || this.#stopped) return storage;
    const low = storage.freeBytes < neededBytes(storage.walBytes);
    // A database that has stopped meanwhile has no checkpoints.
    await this.#database.holdCheckpoints(low).catch(() => undefined);
    this.#timer?.cancel();
    this.#timer = low && !this.#stopped ? this.#clock.after(lookEveryMs, () => void this.look(), { keepsProcessAlive: false }) : undefined;
    return storage;
  }

  /** Safe to call twice. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}

async function storageOf(path: string): Promise<Storage | undefined> {
  if (path === ':memory:') return undefined;
  try {
    const { bavail, bsize } = await statfs(dirname(path));
    return { freeBytes: bavail * bsize, walBytes: await sizeOf(`${path}.wal`) };
  } catch {
    // A folder that is gone, or a system that does not say.
    return undefined;
  }
}

/** Nothing, where there is no file. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
