// What this user has committed or run, so that opening a downloaded file executes nothing. `Trust` is a list of hashes in the
// user's state folder; `KnownFile` is one open file, seen through it.
//
// The list is a file of lines that is only ever appended to: several shells may write it at once, and a line that a crash has cut
// off is no line. Only a list grown long is rewritten, on loading. What cannot be read as such a list is believed in nothing.

import { createHash, randomUUID } from 'node:crypto';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, rmSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import type { Instant } from '../core/instant.ts';
import { type Defined, definedIn } from '../engine/defined.ts';
import type { Engine } from '../engine/engine.ts';

/** The newest are kept. */
const mostHashes = 20_000;
const lineBytes = 'sha256:'.length + 64 + 1;

export class Trust {
  #path: string | undefined;
  #problem: string | undefined;
  /** Read when it is asked for: most scripts never do. */
  #hashes: Set<string> | undefined;
  /** Something else stands where the list should be: it is replaced when there is something to write. */
  #isBroken = false;

  /** Without a path nothing is known, and nothing kept. */
  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** Why nothing is believed or kept, where that is so. */
  get problem(): string | undefined {
    this.#known();
    return this.#problem;
  }

  has(hash: string): boolean {
    return this.#known().has(hash);
  }

  add(hashes: readonly string[]): void {
    const known = this.#known();
    const fresh = [...new Set(hashes)].filter((hash) => !known.has(hash));
    if (fresh.length === 0) return;
    for (const hash of fresh) known.add(hash);
    const path = this.#path;
    if (path === undefined) return;
    this.#attempt(path, () => {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      if (this.#isBroken) replace(path, known);
      else appendFileSync(path, lines(fresh), { mode: 0o600 });
      this.#isBroken = false;
    });
  }

  #known(): Set<string> {
    if (this.#hashes !== undefined) return this.#hashes;
    const hashes = new Set<string>();
    this.#hashes = hashes;
    const path = this.#path;
    if (path === undefined) this.#problem = 'there is no home folder';
    else this.#attempt(path, () => this.#load(path, hashes));
    return hashes;
  }

  #load(path: string, known: Set<string>): void {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return;
    if (!stats.isFile()) {
      // Whoever links it to /dev/null has said that nothing is to be kept.
      this.#path = undefined;
      return;
    }
    if (!isMine(stats)) {
      this.#path = undefined;
      throw new Error('others may write it; chmod 600 makes it yours again, after a look at it');
    }
    chmodSync(path, 0o600);
    const [first = '', ...more] = stats.size > mostHashes * lineBytes * 4 ? ['too long'] : readFileSync(path, 'utf8').split('\n');
    if (first !== '' && !/^\w+:\w+$/.test(first)) {
      this.#isBroken = true;
      throw new Error('it is not a list of what you have run');
    }
    const hashes = [first, ...more].flatMap((line) => /^sha256:([0-9a-f]{64})$/.exec(line)?.[1] ?? []);
    for (const hash of hashes.slice(-mostHashes)) known.add(hash);
    if (hashes.length > mostHashes * 1.5) replace(path, known);
  }

  #attempt(path: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#problem = `${path}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** In one step: whoever reads sees the old list or the new one. */
function replace(path: string, hashes: Iterable<string>): void {
  const fresh = `${path}.${randomUUID()}`;
  try {
    writeFileSync(fresh, lines(hashes), { mode: 0o600 });
    renameSync(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function lines(hashes: Iterable<string>): string {
  return [...hashes].map((hash) => `sha256:${hash}\n`).join('');
}

/** Who may write the list may run anything here. */
function isMine(stats: Stats): boolean {
  const { uid } = userInfo();
  return uid === -1 || (stats.uid === uid && (stats.mode & 0o022) === 0);
}

function hashOf({ kind, text }: Defined): string {
  return createHash('sha256').update(`${kind}\n${text}`).digest('hex');
}

/** What may change a definition, and much that does not: looking once too often costs a millisecond. */
const defining = /\b(?:upsert|create|alter|cron)\b/i;

export interface Acquaintance {
  readonly all: readonly Defined[];
  /** What this user has neither committed nor run. */
  readonly strangers: readonly Defined[];
}

export class KnownFile {
  readonly #engine: Engine;
  readonly #trust: Trust;
  /** The hashes of what was there before this user changed anything, and of what has been seen since. */
  #seen: Set<string> | undefined;
  #changed = false;
  #vouched = new Map<string, { readonly kind: Defined['kind']; readonly name: string }>();
  /** What is changed from here on is changed in this process. */
  readonly #since: Instant;
  #noting: Promise<void> = Promise.resolve();
  #looksSoon = false;

  constructor(engine: Engine, trust: Trust) {
    this.#engine = engine;
    this.#trust = trust;
    this.#since = engine.clock.now();
  }

  /** Why nothing can be known or kept, where that is so. */
  get problem(): string | undefined {
    return this.#trust.problem;
  }

  /** undefined: the file holds more than is ever remembered. */
  async look(): Promise<Acquaintance | undefined> {
    const defined = await definedIn(this.#engine, { most: mostHashes });
    this.#seen ??= new Set(defined?.map(hashOf));
    if (defined === undefined) return undefined;
    return { all: defined, strangers: defined.filter((one) => !this.#trust.has(hashOf(one))) };
  }

  /** Before a statement: what is there now is not this user's doing. */
  async before(statement: string): Promise<void> {
    if (!defining.test(statement)) return;
    this.#changed = true;
    // Where it cannot be read nothing is noted, and asked about next time.
    if (this.#seen === undefined) await this.look().catch(() => undefined);
  }

  /** This user has defined or run them as they are. */
  vouch(kind: Defined['kind'], names: readonly string[]): void {
    for (const name of names) this.#vouched.set(keyOf(kind, name), { kind, name });
  }

  /** This user lets all of it run. */
  vouchForAll(): void {
    this.#note(async () => (await definedIn(this.#engine, { most: mostHashes })) ?? []);
  }

  /** What has come since is this user's doing. Noted in the background; `settled` waits for it. */
  noteChanges(): void {
    if ((!this.#changed && this.#vouched.size === 0) || this.#looksSoon) return;
    this.#changed = false;
    this.#looksSoon = true;
    this.#note(async () => {
      this.#looksSoon = false;
      const vouched = this.#vouched;
      this.#vouched = new Map();
      const names = [...vouched.values()].map(({ name }) => name);
      const defined = (await definedIn(this.#engine, { most: mostHashes, only: { since: this.#since, names } })) ?? [];
      const fresh = defined.filter((one) => this.#seen?.has(hashOf(one)) === false);
      for (const one of fresh) this.#seen?.add(hashOf(one));
      return [...fresh, ...defined.filter(({ kind, name }) => vouched.has(keyOf(kind, name)))];
    });
  }

  async settled(): Promise<void> {
    this.noteChanges();
    await this.#noting;
  }

  #note(find: () => Promise<readonly Defined[]>): void {
    this.#noting = this.#noting.then(async () => {
      try {
        this.#trust.add((await find()).map(hashOf));
      } catch {
        // What is not noted is asked about next time.
      }
    });
  }
}

function keyOf(kind: Defined['kind'], name: string): string {
  return `${kind} ${name.toLowerCase()}`;
}
