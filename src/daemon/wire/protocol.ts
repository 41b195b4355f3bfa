// What a shell and a daemon say to each other, in one place: HTTP/1.1 on the socket beside the file, or on a port.
//
//   GET    /holder                           who holds the file; every process that does answers it
//   POST   /handover                         asks a shell to let go of the file
//   POST   /api/v1/sessions                  opens a session. Its answer is a stream of events, one JSON object a line, which lasts as
//                                            long as the session does: when it breaks off, the session is rolled back and closed
//   POST   /api/v1/sessions/{id}/execute     one statement; its answer comes in frames (frames.ts)
//   POST   /api/v1/sessions/{id}/interrupt   ends the statement at work, not the session
//   DELETE /api/v1/sessions/{id}             closes it; answers when that is done
//
// Whoever opens a session names the version he was built with, and another one is refused before anything else is looked at.

import type { Diagnostic } from '../../core/diagnostic.ts';
import type { AwaitedRun } from '../../engine/awaitedRun.ts';
import type { Column, Form, Warning } from '../../engine/result.ts';
import type { Session } from '../../engine/session.ts';
import type { SchedulerEvent } from '../../scheduler/events.ts';
import type { TypedJson } from './typedJson.ts';

export const protocolVersion = 1;

export const sessionsPath = '/api/v1/sessions';
export const framesType = 'application/vnd.cuckoo.frames';
export const eventsType = 'application/x-ndjson';

/** What a shell needs of a session, wherever it is. */
export type ShellSession = Pick<Session, 'execute' | 'interrupt' | 'close' | 'transaction' | 'busy' | 'progress' | 'zone' | 'awaited'>;

export type TransactionState = ShellSession['transaction'];

/** The body of `POST /api/v1/sessions`. */
export interface Opening {
  readonly protocol: number;
  /** Cuckoo's version. */
  readonly version: string;
  readonly pid: number;
  /** The account's name, for cron.schedule_versions; a door that knows better does not believe it. */
  readonly actor: string;
  /** What of the scheduler's doings is told as well. */
  readonly events: readonly SchedulerEvent[];
}

export const schedulerEvents = Object.keys({
  'scheduler:started': true,
  'scheduler:paused': true,
  'scheduler:resumed': true,
  'scheduler:stopped': true,
  'tick:done': true,
  'run:opened': true,
  'run:started': true,
  'run:progress': true,
  'run:finished': true,
  'definitions:changed': true,
  'schedule:unreadable': true,
  'schedule:disabled': true,
  'clock:behind': true,
  'clock:believed': true,
  'ledger:trouble': true,
  'ledger:recovered': true,
  'storage:low': true,
  'storage:enough': true,
  'alert:raised': true,
  'alert:cleared': true,
} satisfies Record<SchedulerEvent, true>) as SchedulerEvent[];

/** A line of the stream that answers it. */
export type SessionEvent =
  | {
      readonly event: 'session';
      readonly id: string;
      readonly protocol: number;
      readonly version: string;
      readonly pid: number;
      /** Without links. */
      readonly path: string;
    }
  /** Percent of the statement at work; null where DuckDB cannot tell. */
  | { readonly event: 'progress'; readonly percent: number | null }
  /** Runs that the statement at work waits for, besides those told before. */
  | { readonly event: 'awaits'; readonly runs: readonly AwaitedRun[] }
  | { readonly event: 'scheduler'; readonly name: SchedulerEvent; readonly detail: unknown }
  /** So many events were not told, because the client read too slowly. */
  | { readonly event: 'missed'; readonly count: number }
  /** Nothing has happened; a connection that has died unnoticed is found out. */
  | { readonly event: 'alive' }
  /** The last: why the daemon closes the session. */
  | { readonly event: 'closing'; readonly reason: string };

/** The body of `execute`. */
export interface StatementRequest {
  /** Rises by one with each of a session. */
  readonly statement: number;
  readonly sql: string;
  readonly params?: readonly TypedJson[] | Readonly<Record<string, TypedJson>>;
}

/** The body of `interrupt`: this statement, and no later one. One that has not come yet is not begun when it does. */
export interface InterruptRequest {
  readonly statement: number;
}

/** The first frame of an answer. */
export interface Head {
  readonly tag: string;
  readonly columns: readonly Column[];
  readonly form: Form;
  readonly rowsChanged?: number | undefined;
  readonly warnings: readonly Warning[];
  readonly notes: readonly string[];
  readonly prominent: readonly string[];
  readonly failure?: ReturnType<Diagnostic['toJSON']> | undefined;
  /** The session's, as the statement left it. */
  readonly transaction: TransactionState;
}

/** The payload of a frame of kind `error`, and of `end` without the error. */
export interface Ending {
  readonly error?: ReturnType<Diagnostic['toJSON']>;
  readonly transaction: TransactionState;
}
