// The scheduler of an interactive shell: it begins with the shell, says so under the greeting, is held where the file is a stranger's,
// and is stopped before the shell leaves.

import type { Defined } from '../engine/defined.ts';
import type { Engine } from '../engine/engine.ts';
import type { Clock } from '../scheduler/clock.ts';
import type { Events } from '../scheduler/events.ts';
import { fromNow } from './answer.ts';
import { oneLine, truncated } from './render/terminalText.ts';
import type { Acquaintance, KnownFile } from './trust.ts';

/** What a shell needs of a scheduler. */
export interface HostedScheduler {
  readonly events: Pick<Events, 'on'>;
  readonly mode: 'off' | 'starting' | 'running' | 'paused' | 'held' | 'stopping';
  readonly schedules: number;
  /** What is at work. */
  allRunning(): Iterable<unknown>;
  start(options: { readonly held: boolean }): Promise<void>;
  stop(options: { readonly graceMs: number; readonly handsOver?: boolean }): Promise<void>;
}

export interface HostOptions {
  readonly engine: Engine;
  readonly scheduler: HostedScheduler;
  readonly known: KnownFile;
  readonly clock: Clock;
  /** A line of its own, for what is told before the first prompt and after the last. */
  readonly write: (line: string) => void;
  /** The same while the shell is in use. */
  readonly say: (line: string) => void;
}

/** Reading the ledger takes milliseconds, or, of a million schedules, many seconds: so long the first prompt waits for it. */
const patienceMs = 1500;
/** So long the shell waits for runs when it is left. */
const graceMs = 5000;
const shownNames = 5;
const longestName = 48;
/** With more schedules, finding the next of them would take longer than it is worth. */
const mostSearched = 2_000;

export class Host {
  readonly #options: HostOptions;
  readonly #stop: () => void;
  #wasHeld = false;
  #hurried = false;

  constructor(options: HostOptions) {
    this.#options = options;
    // A hold that ends begins what the start of the shell had put off.
    this.#stop = options.scheduler.events.on('scheduler:started', () => {
      if (!this.#wasHeld) return;
      this.#wasHeld = false;
      options.known.vouchForAll();
      void this.#state().then(options.say);
    });
  }

  /** Resolves when the shell may go on; what takes longer is told when it is there. */
  async begin(): Promise<void> {
    const { clock, say, write } = this.#options;
    let waits = true;
    const begun = this.#begin().then((line) => {
      if (waits) write(line);
      else say(line);
    });
    let impatient: (() => void) | undefined;
    const tooLong = new Promise<void>((resolve) => {
      impatient = resolve;
    });
    const timer = clock.after(patienceMs, () => {
      waits = false;
      write('the scheduler is starting');
      impatient?.();
    });
    begun.catch((error: unknown) => {
      // As long as the shell waits for it, it hears of it below.
      if (!waits) say(`the scheduler could not start: ${error instanceof Error ? error.message : String(error)}`);
    });
    try {
      await Promise.race([begun, tooLong]);
    } finally {
      timer.cancel();
    }
  }

  /** Waits for runs, for a while, and stops. */
  async end(): Promise<void> {
    const { scheduler, write } = this.#options;
    this.#wasHeld = false;
    this.#stop();
    const unfinished = [...scheduler.allRunning()].length;
    let finished = 0;
    const ignore = scheduler.events.on('run:finished', () => {
      finished++;
    });
    if (unfinished > 0) write(`waiting for ${counted(unfinished, 'run')} (Ctrl-C leaves at once)`);
    await scheduler.stop({ graceMs: this.#hurried ? 0 : graceMs });
    ignore();
    const left = unfinished - finished;
    if (left > 0) write(`${counted(left, 'run')} did not end: rolled back, and begun anew when a scheduler runs again`);
  }

  /** Another process goes on with the file at once. */
  async handOver(): Promise<void> {
    this.#wasHeld = false;
    this.#stop();
    await this.#options.scheduler.stop({ graceMs, handsOver: true });
  }

  /** Waits no longer. Answers whether it did so before. */
  hurry(): boolean {
    if (this.#hurried) return true;
    this.#hurried = true;
    // The terminal has written ^C.
    this.#options.write('');
    this.#options.scheduler.stop({ graceMs: 0 }).catch(() => {
      // The stop that goes on has said so.
    });
    return false;
  }

  async #begin(): Promise<string> {
    const { scheduler } = this.#options;
    const reason = await this.#reasonToHold();
    this.#wasHeld = reason !== undefined;
    await scheduler.start({ held: this.#wasHeld });
    return reason === undefined ? this.#state() : `${reason}; nothing runs until RESUME SCHEDULER;`;
  }

  async #reasonToHold(): Promise<string | undefined> {
    const { engine, known } = this.#options;
    if (engine.path === ':memory:') return undefined;
    try {
      return strangersIn(await known.look());
    } catch (error) {
      return `it cannot be told whether you have run this file before: ${error instanceof Error ? oneLine(error.message) : String(error)}`;
    }
  }

  /** `scheduler running in this shell (12 schedules, next: daily_backup in 3h 12m)` */
  async #state(): Promise<string> {
    const { scheduler } = this.#options;
    const count = scheduler.schedules === 0 ? 'no schedules yet' : counted(scheduler.schedules, 'schedule');
    if (scheduler.mode === 'paused') return `scheduler paused, RESUME SCHEDULER; lets it go on (${count})`;
    const next = scheduler.schedules === 0 || scheduler.schedules > mostSearched ? undefined : await this.#next();
    return `scheduler running in this shell (${count}${next === undefined ? '' : `, next: ${next}`})`;
  }

  async #next(): Promise<string | undefined> {
    const { engine, clock } = this.#options;
    const session = await engine.session({ actor: 'cuckoo', admin: true });
    try {
      const result = await session.execute(
        'SELECT name, epoch_ms(next_run)::DOUBLE FROM cron.schedules WHERE next_run IS NOT NULL ORDER BY next_run, name LIMIT 1',
      );
      const [row] = await result.toArray();
      return row === undefined ? undefined : `${named(String(row[0]))} ${fromNow(Number(row[1]) - clock.now())}`;
    } catch {
      // It is a courtesy.
      return undefined;
    } finally {
      await session.close();
    }
  }
}

/** `this file has 3 schedules that you have not run before: a, b, c` */
export function strangersIn(file: Acquaintance | undefined): string | undefined {
  if (file === undefined) return 'this file has more definitions than are remembered';
  const { all, strangers } = file;
  // Where nothing fires and nothing waits, nothing can run by itself.
  if (strangers.length === 0 || !all.some(({ kind }) => kind === 'schedule' || kind === 'run')) return undefined;
  const counts = kinds.flatMap(([kind, noun]) => {
    const count = strangers.filter((stranger) => stranger.kind === kind).length;
    return count === 0 ? [] : [counted(count, noun)];
  });
  const names = kinds.flatMap(([kind]) => strangers.filter((stranger) => stranger.kind === kind).map(({ name }) => named(name)));
  const shown = names.slice(0, shownNames).join(', ');
  const more = names.length > shownNames ? ` and ${names.length - shownNames} more` : '';
  return `this file has ${listed(counts)} that you have not run before: ${shown}${more}`;
}

const kinds: readonly (readonly [kind: Defined['kind'], noun: string])[] = [
  ['schedule', 'schedule'],
  ['run', 'waiting run'],
  ['procedure', 'procedure'],
  ['pipeline', 'pipeline'],
  ['calendar', 'calendar'],
];

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function named(name: string): string {
  return truncated(oneLine(name), longestName);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
