// The job directory: files that come, change and go become schedules that are created, updated and dropped. What a look at the
// directory finds decides, and notices of the system only say when to look: they are lost when a directory is moved or mounted, and
// some systems send none. What is to be done is planned (plan.ts) from what a transaction sees, and each further transaction of the
// same plan looks first whether that still holds.
//
// The danger is in what is not there. A directory that vanishes drops nothing; a file counts as deleted when it has been missing for
// a while in a directory that stands; a file that does not parse may be half written and is read again.

import { resolve } from 'node:path';
import { Diagnostic } from '../../core/diagnostic.ts';
import type { Instant } from '../../core/instant.ts';
import { nameKey } from '../../core/name.ts';
import type { Engine } from '../../engine/engine.ts';
import { type Catalogued, type JobFileChange, type JobFileRow, JobFiles } from '../../engine/jobFiles.ts';
import type { Session } from '../../engine/session.ts';
import type { Clock, Timer } from '../../scheduler/clock.ts';
import { eachOf, type Look, look, readText, type Stamp } from './folder.ts';
import { inFile, type JobFile, located, madeKey, readJobFile, unreadableFile } from './jobFile.ts';
import { Notices } from './notices.ts';
import { type FileState, keysOf, type Plan, planJobs, type Step, type Unit } from './plan.ts';

export interface JobDirectoryOptions {
  readonly engine: Engine;
  readonly directory: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** As pino has it. */
export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A file, as cron.sources shows it. */
export interface Source {
  readonly path: string;
  readonly kind: string;
  readonly schedules: number;
  readonly state: 'loaded' | 'error' | 'absent';
  readonly error: string | null;
  readonly readAt: Instant;
  /** What was said when its definitions were carried out by this process, such as an instant that is past. */
  readonly warnings: readonly string[];
}

export interface JobDirectory {
  /** Looks at everything again, also at what has not changed; done when what was found is carried out. */
  reload(): Promise<void>;
  close(): Promise<void>;
  sources(): readonly Source[];
}

/** Resolves when what was found is carried out, or after two seconds: ten thousand new files go on behind. */
export async function startJobDirectory(options: JobDirectoryOptions): Promise<JobDirectory> {
  const { engine, clock } = options;
  if (engine.readOnly || !engine.hasLedger) {
    throw new Diagnostic('read_only', 'a job directory needs a database that can be written', { hint: 'open it without --readonly' });
  }
  const jobFiles = new JobFiles(engine);
  const rows = await jobFiles.rows();
  const session = await engine.session({ actor: 'job directory', admin: false, origin: jobFiles });
  const watched = new WatchedDirectory(options, jobFiles, session, resolve(options.directory), rows);
  let patience: Timer | undefined;
  const waited = new Promise<void>((done) => {
    patience = clock.after(startsWithinMs, done);
  });
  // What goes wrong is in the log, and tried again.
  await Promise.race([watched.reload().catch(() => undefined), waited]);
  patience?.cancel();
  return watched;
}

const startsWithinMs = 2000;
/** Several files are often written together. */
const gatherMs = 40;
/** So long nothing may have written a file that may be half written. */
const stableMs = 300;
/** So long a file must be missing: `rm -r` takes the files first, and some editors delete before they write. */
const missingMs = 500;
const mostMissingMs = 10_000;
/** Where no notice comes, changes are found by looking; of many files less often. */
const leastPollMs = 1500;
const pollCostFactor = 100;
const mostPollMs = 60_000;
/** While the directory is gone. */
const goneMs = 500;
/** After an error of the database. */
const retryMs = 2000;
/** What could not be defined is tried again after others have defined something. */
const othersMs = 500;
/** Of one transaction: a new change waits for it (0.4 s; with 500 ms 1.1 s, and no cheaper for each file), and whoever defines the same by hand. */
const mostUnits = 1000;
const mostMs = 150;
const mostConflicts = 5;
/** Of more that cannot be defined, not all are tried whenever something has changed. */
const mostTriedAgain = 200;
/** In one transaction; of more files the log says how many. */
const mostToldFiles = 20;
const readAtOnce = 8;

interface Held {
  stamp: Stamp;
  /** When this stamp was first seen, on the monotonic clock. */
  since: number;
  /** In effect; undefined until it has settled for the first time. */
  file: JobFile | undefined;
  /** Read, and perhaps only half written. */
  unsettled: JobFile | undefined;
  /** It is no job file after all. */
  isForeign: boolean;
  missingSince: number | undefined;
  /** The look that read it: what is new goes first. */
  freshness: number;
}

class WatchedDirectory implements JobDirectory {
  readonly #options: JobDirectoryOptions;
  readonly #jobFiles: JobFiles;
  readonly #session: Session;
  readonly #directory: string;
  readonly #notices: Notices;
  readonly #offDefinitions: () => void;
  readonly #held = new Map<string, Held>();
  #identity: string | undefined;
  #gone: string | undefined;
  /** As they are in the file. */
  readonly #rows: Map<string, JobFileRow>;
  readonly #states = new Map<string, FileState>();
  readonly #warnings = new Map<string, readonly string[]>();
  /** Why the engine has refused what a file says. */
  readonly #failures = new Map<string, string>();
  readonly #conflicts = new Map<string, number>();
  /** Files that are good by themselves, and that what is defined keeps from being carried out. */
  #refused = 0;
  /** Errors that the log has told. */
  readonly #told = new Map<string, string>();
  #toldForeign = 0;
  #hasPlanned = false;
  #looks = 0;
  #pollMs = leastPollMs;

  // What the next turn has to do.
  #changed = new Set<string>();
  #looksAtAll = true;
  #readsAll = true;
  #plans = true;
  /** Also what was refused before, and has not changed. */
  #triesAgain = true;

  #timer: { readonly timer: Timer; readonly at: number } | undefined;
  #working: Promise<void> | undefined;
  #isCommitting = false;
  #waiting: { resolve(): void; reject(error: unknown): void }[] = [];
  #closed = false;

  constructor(options: JobDirectoryOptions, jobFiles: JobFiles, session: Session, directory: string, rows: readonly JobFileRow[]) {
    this.#options = options;
    this.#jobFiles = jobFiles;
    this.#session = session;
    this.#directory = directory;
    this.#rows = new Map(rows.map((row) => [row.path, row]));
    this.#notices = new Notices(directory, {
      onChange: (name) => this.#hear(name),
      onProblem: (message) => {
        const fields = { directory, pollMs: this.#pollMs };
        options.logger.warn(fields, `no notices of changes in ${directory}, which is looked at every now and then instead: ${message}`);
      },
    });
    this.#offDefinitions = options.engine.scheduler.events.on('definitions:changed', () => {
      if (this.#isCommitting || this.#refused === 0) return;
      this.#plans = true;
      this.#triesAgain = true;
      this.#request(this.#refused > mostTriedAgain ? mostPollMs : othersMs);
    });
  }

  reload(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#looksAtAll = true;
    this.#readsAll = true;
    this.#plans = true;
    this.#triesAgain = true;
    const done = new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#request(0);
    return done;
  }

  sources(): readonly Source[] {
    return [...this.#rows.values()]
      .filter((row) => row.directory === this.#directory)
      .map(({ path, kind, state, error, readAt }) => {
        return {
          path,
          kind,
          schedules: this.#states.get(path)?.schedules ?? 0,
          state,
          error,
          readAt,
          warnings: this.#warnings.get(path) ?? [],
        };
      });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#offDefinitions();
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    await this.#notices.close();
    await this.#working;
    await this.#session.close();
    this.#answer();
  }

  // ---- When ----

  #hear(name: string | undefined): void {
    if (name === undefined) this.#looksAtAll = true;
    else this.#changed.add(name);
    this.#request(gatherMs);
  }

  #request(delayMs: number): void {
    if (this.#closed) return;
    const at = this.#options.clock.monotonicMs() + delayMs;
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.timer.cancel();
    this.#timer = { at, timer: this.#options.clock.after(delayMs, () => this.#wake()) };
  }

  #wake(): void {
    this.#timer = undefined;
    // What is at work asks for another turn when it is done.
    if (this.#working !== undefined || this.#closed) return;
    this.#working = this.#turn().finally(() => {
      this.#working = undefined;
    });
  }

  async #turn(): Promise<void> {
    try {
      const waitMs = await this.#once();
      // Something was heard of meanwhile.
      const isBusy = this.#changed.size > 0 || this.#looksAtAll || (this.#plans && waitMs === undefined);
      if (!isBusy && waitMs === undefined) this.#answer();
      this.#request(isBusy ? gatherMs : Math.min(waitMs ?? this.#pollMs, this.#pollMs));
    } catch (error) {
      if (this.#closed) return;
      this.#options.logger.error({ directory: this.#directory, error: messageOf(error) }, `the job directory waits: ${messageOf(error)}`);
      this.#plans = true;
      this.#answer(error);
      this.#request(retryMs);
    }
  }

  #answer(error?: unknown): void {
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  /** Looks, and carries out what has changed. Answers when something that was seen may be believed; undefined: nothing is open. */
  async #once(): Promise<number | undefined> {
    const waitMs = await this.#look();
    if (this.#closed) return undefined;
    if (this.#gone !== undefined) {
      this.#plans = false;
      return undefined;
    }
    // At first every file is waited for: half of them would take names from the other half.
    if (!this.#plans || (waitMs !== undefined && !this.#hasPlanned)) return waitMs;
    this.#plans = false;
    this.#hasPlanned = true;
    if (!(await this.#carryOut())) this.#plans = true;
    return waitMs;
  }

  // ---- What lies there ----

  async #look(): Promise<number | undefined> {
    const { clock } = this.#options;
    const began = clock.monotonicMs();
    const open = [...this.#held].filter(([, held]) => held.unsettled !== undefined || held.missingSince !== undefined);
    const isFull = this.#looksAtAll || (this.#changed.size === 0 && open.length === 0);
    const readsAll = this.#readsAll;
    const changed = this.#changed;
    this.#changed = new Set();
    this.#looksAtAll = false;
    this.#readsAll = false;
    for (const [path] of open) changed.add(lastPart(path));
    const before = isFull ? undefined : new Map([...this.#held].map(([path, { stamp }]) => [path, stamp]));
    const found = await look(this.#directory, { before, changed });
    if (isFull) {
      const tookMs = clock.monotonicMs() - began;
      this.#pollMs = Math.min(Math.max(leastPollMs, tookMs * pollCostFactor), mostPollMs);
    }
    const reason = this.#goneBecause(found);
    if (found.kind === 'gone' || reason !== undefined) {
      await this.#isGone(reason ?? '');
      return undefined;
    }
    await this.#isThere(found);
    this.#looks += 1;
    return this.#compare(found, readsAll);
  }

  #goneBecause(found: Look): string | undefined {
    if (found.kind === 'gone') return `it cannot be looked at: ${found.reason}`;
    if (found.files.size > 0) return undefined;
    // An empty folder in the place of the one that was: what was mounted there is not.
    if (this.#identity !== undefined && this.#identity !== found.identity && this.#held.size > 0)
      return 'another one stands there, and it is empty';
    const knows = [...this.#rows.values()].some((row) => row.directory === this.#directory);
    if (!this.#hasPlanned && knows) return 'it is empty, and was not before';
    return undefined;
  }

  async #isGone(reason: string): Promise<void> {
    this.#pollMs = goneMs;
    await this.#notices.stop();
    if (this.#gone === reason) return;
    const isFirst = this.#gone === undefined;
    this.#gone = reason;
    if (!isFirst) return;
    const kept = [...this.#rows.values()].filter((row) => row.directory === this.#directory);
    const what = kept.length === 0 ? 'nothing is read until it is there' : 'what its files have made stays';
    const error = `the directory is gone (${reason}); what the file has made stays`;
    await this.#write({ ...nothing, rows: kept.map((row) => ({ ...row, state: 'absent', error, readAt: this.#options.clock.now() })) });
    this.#options.logger.error({ directory: this.#directory, files: kept.length }, `job directory ${this.#directory}: ${reason}; ${what}`);
  }

  async #isThere({ identity, isOpenToAll }: Extract<Look, { kind: 'found' }>): Promise<void> {
    if (this.#gone !== undefined) {
      this.#gone = undefined;
      this.#plans = true;
      this.#options.logger.info({ directory: this.#directory }, `job directory ${this.#directory}: it is there again`);
    }
    if (this.#identity !== identity) {
      await this.#notices.stop();
      const fields = { directory: this.#directory };
      if (isOpenToAll)
        this.#options.logger.warn(fields, `everybody may write to ${this.#directory}, and so run commands as this user: chmod o-w`);
    }
    this.#identity = identity;
    // What happens until it listens is found by the look that it asks for.
    this.#notices.start();
  }

  /** Takes over what was found, and reads what has changed. */
  async #compare({ files, closed }: Extract<Look, { kind: 'found' }>, readsAll: boolean): Promise<number | undefined> {
    const now = this.#options.clock.monotonicMs();
    const toRead: string[] = [];
    for (const [path, stamp] of files) {
      const held = this.#held.get(path);
      if (held === undefined) {
        const freshness = this.#looks;
        this.#held.set(path, {
          stamp,
          since: now,
          file: undefined,
          unsettled: undefined,
          isForeign: false,
          missingSince: undefined,
          freshness,
        });
        toRead.push(path);
        continue;
      }
      if (held.missingSince !== undefined) this.#plans = true;
      held.missingSince = undefined;
      if (held.stamp.text !== stamp.text) {
        held.stamp = stamp;
        held.since = now;
        toRead.push(path);
      } else if (readsAll) toRead.push(path);
    }
    let newest = 0;
    for (const [path, held] of this.#held) {
      if (files.has(path) || closed.some((prefix) => path.startsWith(prefix))) continue;
      // What it defines may be in another file now.
      if (held.missingSince === undefined) this.#plans = true;
      held.missingSince ??= now;
      newest = Math.max(newest, held.missingSince);
    }
    // While files go one after the other, the directory may be the next.
    for (const [path, { missingSince }] of this.#held) {
      if (missingSince === undefined || (now - newest < missingMs && now - missingSince < mostMissingMs)) continue;
      this.#held.delete(path);
      this.#plans = true;
    }
    await eachOf(toRead, readAtOnce, (path) => this.#read(path));
    return this.#settle();
  }

  async #read(path: string): Promise<void> {
    const held = this.#held.get(path);
    if (held === undefined || this.#closed) return;
    const read = await readText(this.#directory, path);
    const options = { directory: this.#directory, executors: this.#options.engine.worker.executors.names };
    const file = read.kind === 'problem' ? unreadableFile(path, read.message) : readJobFile(path, read.text, options);
    // It was written to after the look.
    if (read.kind === 'text' && read.stamp !== held.stamp.text) {
      held.stamp = { ...held.stamp, text: read.stamp };
      held.since = this.#options.clock.monotonicMs();
    }
    const wasForeign = held.isForeign;
    held.isForeign = file === undefined;
    held.unsettled = undefined;
    if (file === undefined) {
      if (!wasForeign && held.file !== undefined) this.#plans = true;
      held.file = undefined;
      return;
    }
    const isSame = held.file !== undefined && held.file.hash === file.hash && held.file.problem?.message === file.problem?.message;
    if (isSame) return;
    // A script that ends too early may still be one.
    if (file.kind === 'sql' || file.problem?.isHalf === true) held.unsettled = file;
    else this.#take(held, file);
  }

  #take(held: Held, file: JobFile): void {
    held.file = file;
    held.unsettled = undefined;
    held.freshness = this.#looks;
    this.#plans = true;
    this.#failures.delete(file.path);
  }

  /** What has not changed for long enough is what it says. Answers when the next of the others may be believed. */
  #settle(): number | undefined {
    const now = this.#options.clock.monotonicMs();
    let waitMs: number | undefined;
    const waits = (ms: number): void => {
      waitMs = Math.min(waitMs ?? ms, ms);
    };
    for (const held of this.#held.values()) {
      if (held.missingSince !== undefined) waits(Math.max(gatherMs, held.missingSince + missingMs - now));
      if (held.unsettled === undefined) continue;
      if (now - held.since >= stableMs) this.#take(held, held.unsettled);
      else waits(held.since + stableMs - now);
    }
    return waitMs === undefined ? undefined : Math.max(5, Math.ceil(waitMs));
  }

  // ---- What is done about it ----

  /** False: something new was heard of, and the rest has to wait for it. */
  async #carryOut(): Promise<boolean> {
    const triesAgain = this.#triesAgain || this.#failures.size <= mostTriedAgain;
    this.#triesAgain = false;
    const tried = new Set<string>(triesAgain ? [] : this.#failures.keys());
    if (triesAgain) this.#failures.clear();
    this.#conflicts.clear();
    let most = mostUnits;
    let hasProgress = false;
    let known: Plan | undefined;
    for (;;) {
      const { plan, units, failed, limit } = await this.#transaction(known, tried, most);
      known = plan;
      for (const unit of units) tried.add(unit.path);
      for (const [path, message] of failed) {
        tried.add(path);
        this.#failures.set(path, message);
      }
      hasProgress ||= units.length > 0;
      most = limit ?? mostUnits;
      if (this.#closed) return true;
      if (plan === undefined) continue;
      if (plan.units.some((unit) => !tried.has(unit.path))) {
        if (this.#changed.size > 0 || this.#looksAtAll) return false;
        continue;
      }
      // What could not be defined may have waited for what is there now.
      if (this.#failures.size > 0 && hasProgress && triesAgain) {
        hasProgress = false;
        for (const path of this.#failures.keys()) tried.delete(path);
        this.#failures.clear();
        continue;
      }
      await this.#finish(plan);
      return true;
    }
  }

  /** One transaction, with those units of the plan that are not tried yet. */
  async #transaction(known: Plan | undefined, tried: ReadonlySet<string>, most: number): Promise<Batch> {
    const session = this.#session;
    await session.execute('BEGIN');
    try {
      const plan = known ?? this.#plan(await this.#jobFiles.catalogue(session));
      const freshness = (unit: Unit): number => this.#held.get(unit.path)?.freshness ?? this.#looks;
      const units = plan.units
        .filter((unit) => !tried.has(unit.path))
        .sort((a, b) => freshness(b) - freshness(a))
        .slice(0, most);
      if (units.length === 0 || (known !== undefined && !(await this.#stillHolds(plan, units)))) {
        await this.#rollBack();
        return { plan: units.length === 0 ? plan : undefined, units: [], failed: new Map(), limit: undefined };
      }
      return { plan, ...(await this.#defineAll(units)) };
    } catch (error) {
      await this.#rollBack();
      throw error;
    }
  }

  #plan(catalogue: readonly Catalogued[]): Plan {
    const files = [...this.#held].flatMap(([path, { file, isForeign, missingSince }]) => {
      if (isForeign) return [];
      return [file === undefined || missingSince !== undefined ? ({ path, isLeaving: true } as const) : file];
    });
    return planJobs({ files, catalogue, known: this.#rows, directory: this.#directory });
  }

  /** Whether everything that these units touch is still whose it was when they were planned, as this transaction sees it. */
  async #stillHolds({ sources }: Plan, units: readonly Unit[]): Promise<boolean> {
    const keys = units.flatMap(keysOf);
    const names = keys.map((key) => key.slice(key.indexOf(':') + 1));
    const found = await this.#jobFiles.catalogue(this.#session, names);
    const now = new Map(found.map(({ noun, name, source }) => [madeKey(noun, name), source]));
    return keys.every((key) => now.get(key) === sources.get(key));
  }

  async #defineAll(units: readonly Unit[]): Promise<Omit<Batch, 'plan'>> {
    const done: Done[] = [];
    const failed = new Map<string, string>();
    const ends = this.#options.clock.monotonicMs() + mostMs;
    for (const [index, unit] of units.entries()) {
      if (this.#closed || (index > 0 && this.#options.clock.monotonicMs() > ends)) break;
      try {
        done.push(await this.#define(unit));
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        const { message, isUndone, isConflict } = error;
        const again = isConflict && this.#mayTryAgain(unit);
        if (!again) failed.set(unit.path, message);
        if (isUndone) continue;
        await this.#rollBack();
        // The units before it go first, and then it alone: nothing is lost but time.
        if (done.length > 0) return { units: [], failed: new Map(), limit: done.length };
        return { units: [], failed, limit: again ? 1 : undefined };
      }
    }
    if (done.length === 0) {
      await this.#rollBack();
      return { units: [], failed, limit: undefined };
    }
    const change: JobFileChange = {
      rows: done.flatMap(({ unit }) => this.#rowOf(unit)),
      gone: done.filter(({ unit }) => unit.file === undefined).map(({ unit }) => unit.path),
      made: done.flatMap((part) => part.made),
      dropped: done.flatMap((part) => part.dropped),
    };
    if (!(await this.#commit(change))) {
      if (!done.every(({ unit }) => this.#mayTryAgain(unit))) throw new Diagnostic('conflict', 'others define the same at the same moment');
      return { units: [], failed: new Map(), limit: Math.max(1, Math.floor(done.length / 2)) };
    }
    this.#remember(change);
    this.#tell(done);
    return { units: done.map(({ unit }) => unit), failed, limit: undefined };
  }

  /** False: somebody was quicker, and nothing of it is kept. */
  async #commit(change: JobFileChange): Promise<boolean> {
    this.#jobFiles.source = null;
    this.#jobFiles.next = change;
    this.#isCommitting = true;
    try {
      await this.#session.execute('COMMIT');
      return true;
    } catch (error) {
      await this.#rollBack();
      if (error instanceof Diagnostic && (error.code === 'conflict' || error.code === 'constraint')) return false;
      throw error;
    } finally {
      this.#isCommitting = false;
    }
  }

  #mayTryAgain(unit: Unit): boolean {
    const count = (this.#conflicts.get(unit.path) ?? 0) + 1;
    this.#conflicts.set(unit.path, count);
    return count <= mostConflicts;
  }

  async #rollBack(): Promise<void> {
    this.#jobFiles.source = null;
    this.#jobFiles.next = undefined;
    if (this.#session.transaction !== 'none') await this.#session.execute('ROLLBACK');
  }

  async #define(unit: Unit): Promise<Done> {
    const done: Done = { unit, outcomes: [], warnings: [], made: [], dropped: [] };
    for (const [index, step] of unit.steps.entries()) {
      this.#jobFiles.source = unit.path;
      try {
        const text = step.kind === 'define' ? step.definition.text : step.text;
        const result = await this.#session.execute(text);
        for (const row of await result.toObjects()) done.outcomes.push(`${String(row['name'])} ${String(row['outcome'])}`);
        if (step.kind === 'drop') {
          if (step.noun !== 'schedule') done.dropped.push(...step.names.map((name) => ({ noun: step.noun, nameKey: nameKey(name) })));
          continue;
        }
        const { noun, name } = step.definition;
        for (const { message } of result.warnings) done.warnings.push(`${name}: ${message}`);
        if (noun !== 'schedule') done.made.push({ noun, nameKey: nameKey(name), path: unit.path });
      } catch (error) {
        if (!(error instanceof Diagnostic) || systemic.has(error.code)) throw error;
        const isConflict = error.code === 'conflict' || error.code === 'constraint';
        const message = messageIn(error, step, unit);
        // A statement that was refused has changed nothing; those of the file before it have.
        const isUndone = index === 0 && this.#session.transaction === 'open' && !isConflict;
        throw new Failed(message, isUndone, isConflict);
      }
    }
    return done;
  }

  #rowOf({ path, file }: Unit): JobFileRow[] {
    if (file === undefined) return [];
    return [
      {
        path,
        directory: this.#directory,
        kind: file.kind,
        state: 'loaded',
        error: null,
        hash: file.hash,
        readAt: this.#options.clock.now(),
      },
    ];
  }

  /** The rows of files of which nothing was to be carried out, or nothing could be. */
  async #finish(plan: Plan): Promise<void> {
    this.#states.clear();
    const rows: JobFileRow[] = [];
    for (const state of plan.states) {
      this.#states.set(state.path, state);
      const row = this.#wanted(state);
      if (row !== undefined) rows.push(row);
    }
    // A file whose definitions are still used by others is gone, and has something to tell.
    const stays = plan.gone.filter((path) => this.#failures.has(path));
    for (const path of stays) {
      const before = this.#rows.get(path);
      const error = `the file is gone: ${this.#failures.get(path)}`;
      if (before === undefined || before.error === error) continue;
      rows.push({ ...before, state: 'error', error, readAt: this.#options.clock.now() });
    }
    const gone = plan.gone.filter((path) => !this.#failures.has(path));
    await this.#write({ ...nothing, rows, gone });
    const isGood = (path: string): boolean => this.#held.get(path)?.file?.problem === undefined;
    this.#refused = stays.length + plan.states.filter(({ path }) => this.#rows.get(path)?.state === 'error' && isGood(path)).length;
    this.#tellErrors();
    const { logger } = this.#options;
    if (plan.foreign > 0 && plan.foreign !== this.#toldForeign) {
      const message = `${plan.foreign} definitions come from files of another directory: they stay until they are dropped by hand, or defined here`;
      logger.warn({ definitions: plan.foreign }, message);
    }
    this.#toldForeign = plan.foreign;
  }

  /** Each once, and when it is over. */
  #tellErrors(): void {
    const { logger } = this.#options;
    const told: string[] = [];
    for (const [path, { directory, error, state }] of this.#rows) {
      if (directory !== this.#directory || state !== 'error' || error === null || this.#told.get(path) === error) continue;
      this.#told.set(path, error);
      told.push(path);
    }
    for (const path of told.slice(0, mostToldFiles))
      logger.error({ file: path, error: this.#told.get(path) }, `${path}: ${this.#told.get(path)}`);
    if (told.length > mostToldFiles)
      logger.error({ files: told.length }, `${told.length} job files are in error: LIST SOURCES WHERE state = 'error'`);
    for (const path of this.#told.keys()) {
      const row = this.#rows.get(path);
      if (row?.state === 'error') continue;
      this.#told.delete(path);
      if (row !== undefined) logger.info({ file: path }, `${path}: is good again`);
    }
  }

  /** undefined: it is there already. */
  #wanted({ path, kind, state: planned, error: refused }: FileState): JobFileRow | undefined {
    const before = this.#rows.get(path);
    const error = refused ?? this.#failures.get(path) ?? null;
    const state = planned === 'error' || error !== null ? 'error' : 'loaded';
    const hash = state === 'loaded' ? (this.#held.get(path)?.file?.hash ?? null) : (before?.hash ?? null);
    const row = { path, directory: this.#directory, kind, state, error, hash, readAt: this.#options.clock.now() } as const;
    const isSame =
      before !== undefined && (['directory', 'kind', 'state', 'error', 'hash'] as const).every((key) => before[key] === row[key]);
    return isSame ? undefined : row;
  }

  async #write(change: JobFileChange): Promise<void> {
    if (change.rows.length === 0 && change.gone.length === 0) return;
    await this.#jobFiles.write(change);
    this.#remember(change);
  }

  /** Only what is durable. */
  #remember({ rows, gone }: JobFileChange): void {
    for (const path of gone) {
      this.#rows.delete(path);
      this.#warnings.delete(path);
    }
    for (const row of rows) this.#rows.set(row.path, row);
  }

  #tell(done: readonly Done[]): void {
    const { logger } = this.#options;
    for (const { unit, warnings } of done) this.#warnings.set(unit.path, warnings);
    const warned = done.filter(({ warnings }) => warnings.length > 0);
    for (const { unit, warnings } of warned.slice(0, mostToldFiles)) {
      for (const warning of warnings) logger.warn({ file: unit.path }, `${unit.path}: ${warning}`);
    }
    if (warned.length > mostToldFiles) logger.warn({ files: warned.length }, `${warned.length} job files have warnings`);
    if (done.length > mostToldFiles) {
      logger.info({ files: done.length }, `${done.length} job files carried out`);
      return;
    }
    for (const { unit, outcomes } of done) {
      logger.info({ file: unit.path, outcomes }, `${unit.path}${unit.file === undefined ? ' (deleted)' : ''}: ${outcomes.join(', ')}`);
    }
  }
}

interface Batch {
  /** undefined: it does not hold any more. */
  readonly plan: Plan | undefined;
  /** Carried out, durably. */
  readonly units: readonly Unit[];
  readonly failed: ReadonlyMap<string, string>;
  /** Of the next transaction, where this one had to be rolled back. */
  readonly limit: number | undefined;
}

interface Done {
  readonly unit: Unit;
  readonly outcomes: string[];
  readonly warnings: string[];
  readonly made: JobFileChange['made'][number][];
  readonly dropped: JobFileChange['dropped'][number][];
}

/** A unit that the engine has refused. */
class Failed extends Error {
  /** Nothing of it is in the open transaction. */
  readonly isUndone: boolean;
  readonly isConflict: boolean;

  constructor(message: string, isUndone: boolean, isConflict: boolean) {
    super(message);
    this.isUndone = isUndone;
    this.isConflict = isConflict;
  }
}

const nothing: JobFileChange = { rows: [], gone: [], made: [], dropped: [] };

/** No fault of the file. */
const systemic: ReadonlySet<string> = new Set([
  'closed',
  'fatal',
  'disk_full',
  'io_error',
  'out_of_memory',
  'too_busy',
  'cancelled',
  'read_only',
]);

function messageIn(error: Diagnostic, step: Step, { file }: Unit): string {
  if (step.kind === 'define' && file !== undefined) return located(inFile(error, step.definition, file.text), file.text);
  return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
