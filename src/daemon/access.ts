// Who may come in, and what he may do there: tokens in two files of the user's state folder, which nobody else may read.
//
//   token         the admin's, made at first start; its only content, so that commands find it by themselves
//   access.json   all others, as hashes
//
// A token is 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess that a slow hash would make dear, and every
// request pays for it. What is presented is hashed before it is compared, and compared with every token there is: how long that
// takes tells nothing.
//
// The files are looked at with each request, so a token that is created or revoked elsewhere counts from then on.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { Diagnostic } from '../core/diagnostic.ts';
import type { Clock } from '../scheduler/clock.ts';

/** Each may what those before it may. */
export const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

export interface Caller {
  readonly name: string;
  readonly role: Role;
}

/** Without the token itself, which nobody has but its owner. */
export interface KnownToken extends Caller {
  /** In ISO form. */
  readonly createdAt: string;
}

export interface AccessOptions {
  /** `$XDG_STATE_HOME/cuckoo`. */
  readonly folder: string;
  readonly clock: Clock;
  /** A file that was good has become unusable: whoever stands in it stays out until it is good again. Told once. */
  readonly onProblem?: (problem: Diagnostic) => void;
}

/** The caller of the admin token, and of the unix socket. */
export const adminName = 'admin';

export function allows(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

export class Access {
  readonly #clock: Clock;
  readonly #onProblem: (problem: Diagnostic) => void;
  readonly #admin: WatchedFile<Buffer>;
  readonly #others: WatchedFile<readonly Entry[]>;
  readonly #folder: string;

  /** Makes the admin token where there is none. Throws where a file cannot be trusted, with what to do about it. */
  static open(options: AccessOptions): Access {
    const access = new Access(options);
    access.#admin.mustRead();
    access.#others.mustRead();
    return access;
  }

  private constructor({ folder, clock, onProblem }: AccessOptions) {
    this.#clock = clock;
    this.#folder = folder;
    this.#onProblem = onProblem ?? (() => undefined);
    this.#admin = new WatchedFile(join(folder, 'token'), { read: (text, path) => hashOf(tokenIn(text, path)), make: makeToken });
    this.#others = new WatchedFile(join(folder, 'access.json'), { read: entriesIn, make: () => [] });
  }

  /** Where the admin's stands. */
  get tokenPath(): string {
    return this.#admin.path;
  }

  /** Of an Authorization header; undefined: nobody we know. */
  check(header: string | undefined): Caller | undefined {
    const [, token] = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? '') ?? [];
    const presented = hashOf(token ?? '');
    const admin = this.#read(this.#admin);
    let found: Caller | undefined;
    for (const { name, role, sha256 } of this.#read(this.#others) ?? []) {
      if (timingSafeEqual(presented, sha256)) found = { name, role };
    }
    if (admin !== undefined && timingSafeEqual(presented, admin)) found = { name: adminName, role: 'admin' };
    return token === undefined ? undefined : found;
  }

  /** Answers the token, which is not kept and cannot be told again. */
  create({ name, role }: Caller): string {
    const entries = this.#others.mustRead();
    if (!/^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u.test(name)) {
      throw new Diagnostic('invalid_name', `${JSON.stringify(name)} cannot be the name of a token`, {
        hint: 'letters, digits, blanks and . _ @ -, 64 at most, a letter or digit first',
      });
    }
    if (name === adminName || entries.some((entry) => entry.name === name)) {
      throw new Diagnostic('duplicate_object', `there is a token ${name} already`, { hint: 'revoke it first, or choose another name' });
    }
    const token = newToken();
    const createdAt = new Date(this.#clock.now()).toISOString();
    this.#write([...entries, { name, role, sha256: hashOf(token), createdAt }]);
    return token;
  }

  list(): readonly KnownToken[] {
    return this.#others.mustRead().map(({ name, role, createdAt }) => ({ name, role, createdAt }));
  }

  revoke(name: string): void {
    const entries = this.#others.mustRead();
    if (name === adminName) {
      throw new Diagnostic('forbidden', "the admin's token is not revoked", {
        hint: `delete ${this.tokenPath}: the next start makes a new one`,
      });
    }
    const left = entries.filter((entry) => entry.name !== name);
    if (left.length === entries.length) {
      const names = entries.map((entry) => entry.name).join(', ');
      throw new Diagnostic('undefined_object', `there is no token ${name}`, {
        hint: names === '' ? 'there is none' : `there are ${names}`,
      });
    }
    this.#write(left);
  }

  #read<Content>(file: WatchedFile<Content>): Content | undefined {
    try {
      return file.mustRead();
    } catch (error) {
      if (file.isNewProblem) this.#onProblem(error instanceof Diagnostic ? error : unreadable(file.path, error));
      return undefined;
    }
  }

  /** In one step: whoever reads sees the old list or the new one. */
  #write(entries: readonly Entry[]): void {
    const tokens = entries.map(({ name, role, sha256, createdAt }) => ({
      name,
      role,
      sha256: sha256.toString('hex'),
      created_at: createdAt,
    }));
    makeFolder(this.#folder);
    const fresh = `${this.#others.path}.${randomBytes(4).toString('hex')}`;
    try {
      writeFileSync(fresh, `${JSON.stringify({ version: 1, tokens }, undefined, 2)}\n`, { mode: 0o600, flag: 'wx' });
      renameSync(fresh, this.#others.path);
    } finally {
      rmSync(fresh, { force: true });
    }
  }
}

// ---- Tokens ----

/** The word in front lets people, and those who search for secrets by accident, see what it is. */
function newToken(): string {
  return `cuckoo_${randomBytes(32).toString('base64url')}`;
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function tokenIn(text: string, path: string): string {
  const token = text.replace(/\r?\n$/, '');
  if (/^[\x21-\x7e]{32,512}$/.test(token)) return token;
  throw new Diagnostic('invalid_value', `"${path}" does not hold a token`, {
    hint: 'it holds one line of 32 characters or more; delete it, and the next start makes a new one',
  });
}

/** Of two that come first at the same moment, both use the one that is there. */
function makeToken(path: string): Buffer {
  const fresh = `${path}.${randomBytes(4).toString('hex')}`;
  writeFileSync(fresh, `${newToken()}\n`, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(fresh, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A file system without links.
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP') renameSync(fresh, path);
    else if (code !== 'EEXIST') throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  return hashOf(tokenIn(readFileSync(path, 'utf8'), path));
}

// ---- The list of the others ----

interface Entry extends KnownToken {
  readonly sha256: Buffer;
}

const listSchema = z.strictObject({
  version: z.literal(1),
  tokens: z.array(
    z.strictObject({
      name: z.string(),
      role: z.enum(roles),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      created_at: z.string(),
    }),
  ),
});

function entriesIn(text: string, path: string): readonly Entry[] {
  try {
    const { tokens } = listSchema.parse(JSON.parse(text));
    return tokens.map(({ name, role, sha256, created_at }) => ({
      name,
      role,
      sha256: Buffer.from(sha256, 'hex'),
      createdAt: created_at,
    }));
  } catch (error) {
    throw new Diagnostic('invalid_value', `"${path}" is not a list of tokens`, {
      hint: 'nobody who stands in it comes in; delete it, and create the tokens anew',
      cause: error,
    });
  }
}

// ---- Files ----

/** Read again when it has changed. */
class WatchedFile<Content> {
  readonly path: string;
  readonly #read: (text: string, path: string) => Content;
  readonly #make: (path: string) => Content;
  #stamp: string | undefined;
  #content: { readonly value: Content } | { readonly problem: unknown } | undefined;
  #isTold = false;

  constructor(path: string, { read, make }: { read: (text: string, path: string) => Content; make: (path: string) => Content }) {
    this.path = path;
    this.#read = read;
    this.#make = make;
  }

  mustRead(): Content {
    const stats = statSync(this.path, { throwIfNoEntry: false });
    if (this.#content === undefined || stampOf(stats) !== this.#stamp) {
      this.#isTold = false;
      this.#content = this.#look(stats);
      // Of one that was made just now, too.
      this.#stamp = stampOf(stats ?? statSync(this.path, { throwIfNoEntry: false }));
    }
    if ('problem' in this.#content) throw this.#content.problem;
    return this.#content.value;
  }

  /** True once for each. */
  get isNewProblem(): boolean {
    const isNew = !this.#isTold;
    this.#isTold = true;
    return isNew;
  }

  #look(stats: Stats | undefined): { readonly value: Content } | { readonly problem: unknown } {
    try {
      if (stats === undefined) {
        makeFolder(join(this.path, '..'));
        return { value: this.#make(this.path) };
      }
      mustBePrivate(this.path, stats);
      return { value: this.#read(readFileSync(this.path, 'utf8'), this.path) };
    } catch (error) {
      return { problem: error instanceof Diagnostic ? error : unreadable(this.path, error) };
    }
  }
}

function stampOf(stats: Stats | undefined): string {
  return stats === undefined ? 'absent' : `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}`;
}

/** Whoever can read it can do everything here. */
function mustBePrivate(path: string, stats: Stats): void {
  const { uid } = userInfo();
  // A system without owners and modes.
  if (uid === -1) return;
  if (stats.uid !== uid) {
    throw new Diagnostic('forbidden', `"${path}" belongs to another user`, { hint: 'delete it, and the next start makes a new one' });
  }
  const others = stats.mode & 0o077;
  if (others === 0) return;
  throw new Diagnostic('forbidden', `"${path}" is open to other users of this machine (mode ${(stats.mode & 0o777).toString(8)})`, {
    hint: `chmod 600 '${path}'; if somebody may have read it, delete it instead, and the next start makes a new one`,
  });
}

function makeFolder(folder: string): void {
  if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(folder, 0o700);
}

function unreadable(path: string, error: unknown): Diagnostic {
  return new Diagnostic('io_error', `"${path}": ${error instanceof Error ? error.message : String(error)}`, {
    hint: 'Cuckoo keeps its access tokens there',
    cause: error,
  });
}
