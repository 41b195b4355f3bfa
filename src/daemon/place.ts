// Where a file is: open in this process, or held by a daemon, whose client this process is then. Whoever asks a place for a session gets
// one that does the same either way. The socket beside the file is asked first, so that a client of a daemon loads no DuckDB; where
// nobody answers the file is opened, and DuckDB's own lock decides between two that come at once.

import { realpathSync } from 'node:fs';
import { userInfo } from 'node:os';
import { Diagnostic } from '../core/diagnostic.ts';
import type { Engine, EngineOptions } from '../engine/engine.ts';
import { type Clock, systemClock } from '../scheduler/clock.ts';
import { type ClaimOptions, claimFile, type Holder, whoHolds } from './lock.ts';
import { cuckooVersion } from './version.ts';
import type { WaitingOptions } from './waiting.ts';
import { protocolVersion, type ShellSession } from './wire/protocol.ts';
import type { RemoteSession } from './wire/remoteSession.ts';

export type Place = Here | There;

interface Anywhere {
  /** Without links; `:memory:` for a database in memory. */
  readonly path: string;
  /** That of this process, or the daemon's: what it does, and the runs at work. */
  readonly scheduler: WaitingOptions['scheduler'];
  session(): Promise<ShellSession>;
  /** Safe to call twice. */
  close(): Promise<void>;
}

export interface Here extends Anywhere {
  readonly kind: 'here';
  readonly engine: Engine;
}

export interface There extends Anywhere {
  readonly kind: 'daemon';
  readonly daemon: Partial<Holder>;
  session(): Promise<RemoteSession>;
}

export interface PlaceOptions extends Pick<EngineOptions, 'readOnly' | 'settings' | 'environment' | 'poolSize'> {
  readonly clock?: Clock;
  /** Who changes definitions, for cron.schedule_versions. */
  readonly actor?: string;
  /** Of this process, where it holds the file. */
  readonly kind?: Holder['kind'];
  readonly onHandover?: ClaimOptions['onHandover'];
}

/** A process that has the lock and no socket yet has one in a moment; one that never has is no Cuckoo. */
const againAfterMs = [50, 200, 500];

export async function openPlace(file: string, options: PlaceOptions = {}): Promise<Place> {
  const { clock = systemClock } = options;
  for (let tries = 0; ; tries++) {
    const held = heldPath(file);
    const holder = held === undefined ? undefined : await whoHolds(held, clock);
    if (held !== undefined && holder?.kind === 'daemon') return there(held, holder, options);
    try {
      return await here(file, options);
    } catch (error) {
      const pauseMs = againAfterMs[tries];
      const isSettled = holder?.kind !== undefined || pauseMs === undefined;
      if (!(error instanceof Diagnostic) || error.code !== 'file_locked' || isSettled) throw error;
      await clock.sleep(pauseMs);
    }
  }
}

/** The daemon that holds a file, if one does. */
export async function daemonOf(path: string, options: PlaceOptions = {}): Promise<There | undefined> {
  const holder = await whoHolds(path, options.clock);
  return holder?.kind === 'daemon' ? there(path, holder, options) : undefined;
}

async function here(file: string, { clock, actor, kind, onHandover, ...options }: PlaceOptions): Promise<Here> {
  const { openEngine } = await import('../engine/engine.ts');
  const claiming: ClaimOptions = {
    ...(clock === undefined ? {} : { clock }),
    ...(kind === undefined ? {} : { kind }),
    ...(onHandover === undefined ? {} : { onHandover }),
  };
  const engine = await openEngine(file, {
    ...options,
    ...(clock === undefined ? {} : { clock }),
    claim: (realPath) => claimFile(realPath, claiming),
  });
  return {
    kind: 'here',
    path: engine.path,
    engine,
    scheduler: engine.scheduler,
    // Whoever may start a shell on the file may do with it what DuckDB's own shell would let them do.
    session: () => engine.session({ actor: actor ?? userInfo().username, admin: true }),
    close: () => engine.close(),
  };
}

async function there(path: string, holder: Partial<Holder> & { readonly address: string }, options: PlaceOptions): Promise<There> {
  const { clock = systemClock, actor, readOnly } = options;
  const { address, ...daemon } = holder;
  mustSpeakOurs(daemon);
  if (readOnly === true) throw cannotReadOnly(path, daemon);
  const [{ RemoteSession }, { RemoteScheduler }] = await Promise.all([
    import('./wire/remoteSession.ts'),
    import('./wire/remoteScheduler.ts'),
  ]);
  const scheduler = new RemoteScheduler();
  const sessions: RemoteSession[] = [];
  return {
    kind: 'daemon',
    path,
    daemon,
    scheduler,
    session: async () => {
      const told = sessions.length === 0 ? { scheduler } : {};
      const session = await RemoteSession.open({ socketPath: address }, { clock, ...told, ...(actor === undefined ? {} : { actor }) });
      sessions.push(session);
      return session;
    },
    close: async () => {
      await Promise.all(sessions.map((session) => session.close()));
    },
  };
}

/** The path by which a holder of the file is found; a file that does not exist has none. */
function heldPath(file: string): string | undefined {
  if (file === ':memory:') return undefined;
  try {
    return realpathSync(file);
  } catch {
    // What is wrong with it is told by whoever opens it.
    return undefined;
  }
}

function mustSpeakOurs({ protocol, version, pid }: Partial<Holder>): void {
  if (protocol === protocolVersion) return;
  const daemon = `the daemon (process ${pid ?? 'unknown'}) speaks protocol ${protocol ?? 'unknown'} (cuckoo ${version ?? 'unknown'})`;
  throw new Diagnostic('unsupported', `${daemon}, and this cuckoo protocol ${protocolVersion} (cuckoo ${cuckooVersion})`, {
    hint: 'use the same version of cuckoo on both sides; an older daemon learns the newer one when it is started again',
  });
}

function cannotReadOnly(path: string, { pid }: Partial<Holder>): Diagnostic {
  return new Diagnostic('file_locked', `"${path}" is held by a Cuckoo daemon (process ${pid ?? 'unknown'}), which writes it.`, {
    hint: 'Leave --readonly out: a SELECT through the daemon changes nothing.',
  });
}
