// What one client can ask of the daemon at most, so that the others keep being served and runs keep their time. Whoever starts the
// door may change any of it.

import { availableParallelism } from 'node:os';
import type { Rate } from './rate.ts';

export interface Limits {
  /** Connections at once; beyond them the longest idle one goes. */
  readonly connections: number;
  readonly headerBytes: number;
  /** A request's headers are there by then. */
  readonly headersWithinMs: number;
  /** And all of it by then. */
  readonly requestWithinMs: number;
  readonly keepAliveMs: number;
  /** A client that reads nothing for so long is cut off. */
  readonly stallMs: number;
  readonly bodyBytes: number;
  /** Of POST /sql. */
  readonly sqlBodyBytes: number;
  /** Of each token. */
  readonly rate: Rate;
  /** Statements that only read, of all clients together; the others wait in a line. */
  readonly readsAtOnce: number;
  /** The same for those that change something. */
  readonly changesAtOnce: number;
}

const cores = availableParallelism();

export const defaultLimits: Limits = {
  connections: 1024,
  headerBytes: 16 << 10,
  headersWithinMs: 10_000,
  requestWithinMs: 60_000,
  keepAliveMs: 15_000,
  stallMs: 30_000,
  bodyBytes: 1 << 20,
  sqlBodyBytes: 16 << 20,
  rate: { perSecond: 500, burst: 1000 },
  // One core stays with what is due: more at once are hardly faster.
  readsAtOnce: Math.max(1, cores - 1),
  changesAtOnce: Math.max(2, cores),
};
