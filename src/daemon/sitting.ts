// Somebody sits at a shell, and what he sits at may change: a daemon asks for the file, and the shell goes on as its client; a daemon
// ends, and the next statement finds another one or opens the file itself. To the shell it is one session all the time, which
// says what was lost where something was. Everything that moves does so in the turn of a statement, so that none is in its way.

import { Diagnostic } from '../core/diagnostic.ts';
import { Turnstile } from '../core/turnstile.ts';
import type { Result } from '../engine/result.ts';
import type { Clock } from '../scheduler/clock.ts';
import { Events } from '../scheduler/events.ts';
import { toDiagnostic } from './exit.ts';
import { lostWith, reasonToStay } from './handover.ts';
import type { HandoverAnswer } from './lock.ts';
import { daemonOf, type Place } from './place.ts';
import type { WaitingOptions } from './waiting.ts';
import { type ShellSession, schedulerEvents, type TransactionState } from './wire/protocol.ts';
import type { RemoteSession } from './wire/remoteSession.ts';

export interface SittingOptions {
  readonly clock: Clock;
  /** The file, wherever it is now. */
  readonly open: () => Promise<Place>;
  /** What goes with the place has to begin: where the file is here, its scheduler. */
  readonly arrived: (place: Place, how: 'moved' | 'stayed') => Promise<void>;
  /** The file is let go of: what went with it ends, and leaves what falls due to whoever comes next. */
  readonly leaving: () => Promise<void>;
  /** A statement is being run, or its rows shown. */
  readonly isBusy: () => boolean;
  /** A line for whoever sits here. */
  readonly say: (line: string) => void;
}

/** So long a daemon that has asked for the file is waited for. */
const comesWithinMs = 10_000;
const againMs = 50;

export class Sitting implements ShellSession {
  readonly #options: SittingOptions;
  readonly #turnstile = new Turnstile();
  readonly #events = new Events();
  readonly scheduler: WaitingOptions['scheduler'];
  #place: Place;
  #session: ShellSession;
  #leave: (() => void)[] = [];
  /** There is no session any more; the next statement opens one. */
  #lost: { readonly transaction: TransactionState } | undefined;
  #closed = false;

  constructor(place: Place, session: ShellSession, options: SittingOptions) {
    this.#options = options;
    this.#place = place;
    this.#session = session;
    const placeOf = (): Place => this.#place;
    this.scheduler = {
      events: this.#events,
      get isOn() {
        return placeOf().scheduler.isOn;
      },
      running: (runId) => placeOf().scheduler.running(runId),
    };
    this.#arrive(place, session);
  }

  // ---- What the shell sees ----

  get kind(): Place['kind'] {
    return this.#place.kind;
  }

  get place(): Place {
    return this.#place;
  }

  get path(): string {
    return this.#place.path;
  }

  /** A transaction that was lost stays aborted until it is ended: what stands in it must not run alone. */
  get transaction(): TransactionState {
    if (this.#lost === undefined) return this.#session.transaction;
    return this.#lost.transaction === 'none' ? 'none' : 'aborted';
  }

  get busy(): boolean {
    return this.#lost === undefined && this.#session.busy;
  }

  get awaited(): ShellSession['awaited'] {
    return this.#session.awaited;
  }

  progress(): number | undefined {
    return this.#lost === undefined ? this.#session.progress() : undefined;
  }

  zone(): Promise<string> {
    return this.#turnstile.run(async () => {
      await this.#return();
      return this.#session.zone();
    });
  }

  execute(text: string, parameters?: Parameters<ShellSession['execute']>[1]): Promise<Result> {
    return this.#turnstile.run(async () => {
      await this.#return();
      return this.#session.execute(text, parameters);
    });
  }

  async interrupt(): Promise<void> {
    if (this.#lost === undefined) await this.#session.interrupt();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const leave of this.#leave.splice(0)) leave();
    await this.#session.close();
    await this.#place.close();
  }

  // ---- A daemon that is gone ----

  #arrive(place: Place, session: ShellSession): void {
    for (const leave of this.#leave.splice(0)) leave();
    this.#place = place;
    this.#session = session;
    this.#lost = undefined;
    for (const name of schedulerEvents) {
      this.#leave.push(place.scheduler.events.on(name, (detail) => this.#events.emit(name, detail as never)));
    }
    if (place.kind === 'daemon') this.#leave.push((session as RemoteSession).onLost((reason) => this.#lose(reason)));
  }

  #lose(reason: Diagnostic): void {
    this.#lost = { transaction: this.#session.transaction };
    // A statement at work says it itself.
    if (this.#options.isBusy()) return;
    const { say } = this.#options;
    say(`${reason.message}: the next statement looks for the file anew`);
    if (this.transaction !== 'none') say('the open transaction was rolled back');
  }

  /** After a loss: a session where the file is now. */
  async #return(): Promise<void> {
    const lost = this.#lost;
    if (lost === undefined) return;
    if (this.#closed) throw new Diagnostic('closed', 'the session is closed');
    await this.#session.close();
    await this.#place.close();
    const place = await this.#options.open();
    try {
      const session = await place.session();
      if (lost.transaction !== 'none') await abort(session);
      this.#arrive(place, session);
    } catch (error) {
      await place.close();
      throw error;
    }
    this.#options.say(hereOrThere(place));
    this.#options.say('temporary tables and settings of the session before are gone');
    await this.#options.arrived(place, 'moved');
  }

  // ---- A daemon that comes ----

  /** Answers when the file is free, or why it is not; statements that come meanwhile wait. */
  handOver({ pid }: { readonly pid: number | undefined }): Promise<HandoverAnswer> {
    if (this.#options.isBusy()) return Promise.resolve({ refused: 'a statement is at work' });
    return new Promise((answer) => {
      this.#turnstile
        .run(async () => {
          const left = await this.#letGo();
          answer(left === undefined ? { refused: 'the shell is leaving' } : 'refused' in left ? left : 'released');
          if (left !== undefined && 'lost' in left) await this.#follow(pid, left.lost);
        })
        .catch((error: unknown) => {
          // It is closed, or half so: the next statement opens it again.
          this.#lost ??= { transaction: 'none' };
          answer({ refused: toDiagnostic(error).message });
        });
    });
  }

  async #letGo(): Promise<{ readonly refused: string } | { readonly lost: readonly string[] } | undefined> {
    const [place, session] = [this.#place, this.#session];
    if (this.#closed) return undefined;
    if (place.kind !== 'here' || place.path === ':memory:') return { refused: 'it does not hold the file' };
    if (this.#options.isBusy()) return { refused: 'a statement is at work' };
    const reason = await reasonToStay(place.engine, session);
    if (reason !== undefined) return { refused: reason };
    const lost = await lostWith(place.engine, session);
    try {
      await this.#options.leaving();
      // What another process reads first is short.
      await session.execute('CHECKPOINT');
    } catch (error) {
      await this.#options.arrived(place, 'stayed');
      return { refused: `it cannot let go: ${toDiagnostic(error).message}` };
    }
    await session.close();
    await place.close();
    return { lost };
  }

  /** The daemon has the file in a moment. If it does not, it is this shell's again. */
  async #follow(pid: number | undefined, lost: readonly string[]): Promise<void> {
    const { clock, say, arrived } = this.#options;
    const { path } = this.#place;
    this.#lost = { transaction: 'none' };
    const since = clock.monotonicMs();
    let place: Place | undefined;
    while (place === undefined && clock.monotonicMs() - since < comesWithinMs && !this.#closed) {
      place = await daemonOf(path, { clock }).catch(() => undefined);
      if (place === undefined) await clock.sleep(againMs);
    }
    if (this.#closed) return;
    try {
      const isDaemon = place !== undefined;
      place ??= await this.#options.open();
      this.#arrive(place, await place.session());
      const daemon = `the daemon${pid === undefined ? '' : ` (process ${pid})`}`;
      say(isDaemon ? `${daemon} has the file now; this shell is its client` : `${daemon} did not come: ${hereOrThere(place)}`);
      if (lost.length > 0) say(`gone with the session: ${lost.join(', ')}`);
      await arrived(place, 'moved');
    } catch (error) {
      await place?.close();
      say(`the file is not to be had, and the next statement tries again: ${toDiagnostic(error).message}`);
    }
  }
}

function hereOrThere(place: Place): string {
  if (place.kind === 'here') return 'the file is open in this shell';
  return `connected to the daemon${place.daemon.pid === undefined ? '' : ` (process ${place.daemon.pid})`}`;
}

/** Begins a transaction that can only be rolled back. */
async function abort(session: ShellSession): Promise<void> {
  await session.execute('BEGIN');
  await session.execute("SELECT error('lost')").then(
    (result) => result.toArray(),
    () => undefined,
  );
}
