// The HTTP door: what it is made of, and in which order a request passes its checks.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Hono } from 'hono';
import type { Engine } from '../../engine/engine.ts';
import type { Clock } from '../../scheduler/clock.ts';
import type { Access, Caller } from '../access.ts';

export interface AppParts {
  readonly engine: Engine;
  readonly access: Access;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Of the whole daemon, as /readyz tells it. */
  state(): 'ready' | 'starting' | 'draining';
  /** What /metrics answers; without it there is no such page. */
  readonly metrics?: () => Promise<string>;
  /** Each answer, for the metrics: the route as it is written (`/api/v1/jobs/{name}`), never what was asked for. */
  readonly observed?: (answer: ObservedAnswer) => void;
  /** The sessions of shells (wire/), mounted as they are. */
  readonly sessions?: Hono<AppEnv>;
  /** The engine can reach nothing outside of the file: operators may define, viewers may SELECT. */
  readonly sandbox?: boolean;
  /** Names under which a request may ask for this machine, besides its addresses: `cuckoo.example.org`. */
  readonly names?: readonly string[];
}

/** As pino has it. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ObservedAnswer {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
}

/** What a request carries besides itself. */
export interface AppEnv {
  Bindings: {
    readonly incoming: IncomingMessage;
    readonly outgoing: ServerResponse;
    /** unix: the socket beside the file, which only its owner can open; it needs no token. */
    readonly door: 'tcp' | 'unix';
  };
  Variables: {
    /** Who asks; known before any route is looked at. */
    caller: Caller;
  };
}
