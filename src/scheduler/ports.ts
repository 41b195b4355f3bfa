// What the scheduler needs of the world, as plain data in both directions. The ledger is the only witness of what happened:
// DuckDB's (engine/store), one in memory (simulation/), later others; one conformance suite holds for all.
//
// Every call takes a signal. Aborted, it must settle soon, with or without its effect: whoever aborted reads back what is true.
// An error proves nothing either: a call that rejects may have had its effect.

import type { Instant } from '../core/instant.ts';
import type { Budget } from './capacity.ts';
import type { Clock } from './clock.ts';
import type { Closing, Counters, OpenRun, Outcome } from './run.ts';
import type { Action, Definition } from './schedule.ts';
import type { ReadUsualTimes } from './usualTimes.ts';

export interface Ports {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly execute: Execute;
  /** In [0, 1). */
  random(): number;
  /** Sorts by time, and never repeats. */
  newRunId(at: Instant): string;
  /** Of this start of the scheduler. */
  readonly bootId: string;
  /** So many runs that need a thread of the database can be at work, whatever `workers` says; Infinity without it. */
  mostAtOnce?(): number;
  /** Whether a run keeps a thread of the database while it is at work; without it all do. */
  needsThread?(run: OpenRun): boolean;
  /** How long runs usually take; without it no run is slow by habit. */
  readonly usualTimes?: ReadUsualTimes;
  /** What is free where the file lies; undefined where nobody can tell. */
  storage(): Promise<Storage | undefined>;
}

export interface Storage {
  readonly freeBytes: number;
  readonly walBytes: number;
}

/** Runs one attempt. It returns and does not throw; after an abort it settles soon. */
export type Execute = (work: Work, signal: AbortSignal) => Promise<Execution>;

export interface Work {
  readonly run: OpenRun;
  readonly startedAt: Instant;
  readonly waitedFor: string | null;
  /** Before this run. */
  readonly counters: Counters;
  /** Asked just before the run's own transaction closes it: the counters its closing row carries, and whether something follows
   * (then the open row is marked instead of removed). */
  closing(): { readonly counters: Counters; readonly marks: boolean };
  /** A durable `started` row: before effects that lie outside the database. */
  begin(): Promise<void>;
  /** How far it is: 0..1, or null where nobody can tell, and what it does now. As often as one likes; what comes after the end is
   * not heard. */
  progress(fraction: number | null, message: string | null): void;
}

export interface Execution {
  readonly outcome: Outcome;
  /** What the run's own transaction did to its open row: no = the caller closes it. fenced: somebody else had closed it. */
  readonly closed: 'no' | 'removed' | 'marked' | 'fenced';
  /** What that transaction has opened: actions of the run's own. */
  readonly opened?: readonly OpenRun[];
}

/** `signal.reason` of an aborted run. */
export type StopReason =
  | { readonly kind: 'cancelled'; readonly reason: string }
  /** The scheduler is leaving: work whose effects are inside the database is rolled back and stays open. */
  | { readonly kind: 'shutdown' };

export interface Ledger {
  /** Everything a scheduler must know to begin, of one moment. */
  load(signal: AbortSignal): Promise<LedgerState>;
  /** What was defined, changed or dropped after `revision`. */
  changes(revision: number, signal: AbortSignal): Promise<Changes>;
  /** The newest. */
  newestTick(signal: AbortSignal): Promise<Tick>;
  /** One transaction: the writes, and the tick that says so. Refused when a tick of that seq is there. */
  tick(tick: Tick, at: Instant, writes: readonly Write[], signal: AbortSignal): Promise<void>;
  /** One transaction of many units. false: the unit's run is no longer open (the fence), so nothing of that unit was written. */
  write(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]>;
  /** After an error of `write`: which units are there. A unit that may be written twice without harm is said not to be. */
  applied(units: readonly Unit[], signal: AbortSignal): Promise<readonly boolean[]>;
  /** Open runs, in turns of their queues, of each the most urgent first. */
  waiting(request: WaitingRequest, signal: AbortSignal): Promise<readonly OpenRun[]>;
  openRunsOf(scheduleId: number, signal: AbortSignal): Promise<readonly OpenRun[]>;
  /** What has become of a run. */
  fate(runId: string, signal: AbortSignal): Promise<Fate>;
  /** Of these instants, those that have a run (a skipped one is none): `scheduleId@scheduledAt`. */
  ran(instants: readonly ScheduledInstant[], signal: AbortSignal): Promise<ReadonlySet<string>>;
}

export interface ScheduledInstant {
  readonly scheduleId: number;
  readonly scheduledAt: Instant;
}

export const instantKey = ({ scheduleId, scheduledAt }: ScheduledInstant): string => `${scheduleId}@${scheduledAt}`;

export type Fate =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'open'; readonly run: OpenRun }
  /** `marked`: what follows is not settled yet. */
  | { readonly kind: 'closed'; readonly closing: ClosedRun; readonly marked: boolean };

/** What settling needs of a run that is closed. */
export type ClosedRun = Pick<Closing, 'run' | 'state' | 'reason' | 'finishedAt' | 'startedAt' | 'final'>;

export interface LedgerState extends Omit<Changes, 'definitions'> {
  /** Made one by one as they are looked at, of which there may be a million. */
  readonly definitions: Iterable<DefinitionChange>;
  readonly tick: Tick;
  /** undefined: never started. */
  readonly lastBoot: { readonly bootId: string; readonly event: BootEvent; readonly at: Instant } | undefined;
  /** By schedule id; those without a closed run are absent. `openedFires` counts open ones too. */
  readonly counters: Iterable<readonly [scheduleId: number, counters: Counters]>;
  /** By schedule id: what is open. */
  readonly inFlight: ReadonlyMap<number, InFlight>;
  /** Whether anything is open at all. */
  readonly openRuns: number;
  /** Open runs whose start was made durable: they died with their process. */
  readonly begun: readonly BegunRun[];
  /** Closed by their own transaction; what follows is not settled yet. */
  readonly marks: readonly ClosedRun[];
  readonly tokens: readonly Token[];
  /** Starts of the last while, for queues with a rate. */
  readonly recentStarts: readonly { readonly queue: string; readonly at: Instant }[];
  readonly alerts: readonly Alert[];
}

export interface BegunRun {
  readonly run: OpenRun;
  readonly startedAt: Instant;
}

export interface Changes {
  readonly revision: number;
  readonly definitions: readonly DefinitionChange[];
  readonly settings: SchedulerSettings;
  readonly queues: readonly QueueDefinition[];
  /** Since when; null: not paused. */
  readonly pausedAt: Instant | null;
}

export type DefinitionChange =
  | { readonly kind: 'defined'; readonly definition: Definition }
  /** It fails alone. */
  | { readonly kind: 'unreadable'; readonly scheduleId: number; readonly name: string; readonly version: number; readonly message: string }
  | { readonly kind: 'dropped'; readonly scheduleId: number };

/** Overlap compares with these. */
export interface InFlight {
  /** Opened by the clock, a parent or an event, retries of such included; neither by hand nor backfill. */
  readonly live: number;
  readonly catchup: number;
}

export interface SchedulerSettings {
  readonly workers: number;
  readonly checkIntervalMs: number;
  readonly lateWithinMs: number;
  readonly maxRetries: number;
  readonly retryDelayMs: number;
  readonly catchup: 'none' | 'latest' | 'all';
  /** For schedules without actions of their own. */
  readonly onFail: readonly Action[];
  /** Of all runs at work that name the resources they need. */
  readonly budget: Budget;
  readonly alerts: AlertThresholds;
}

/** 0: never. */
export interface AlertThresholds {
  readonly failures: number;
  readonly backlog: number;
  /** Running longer than so many times what is usual. */
  readonly slowness: number;
  readonly busyMs: number;
}

export interface QueueDefinition {
  readonly name: string;
  readonly weight: number;
  readonly concurrency: number | null;
  readonly rate: { readonly count: number; readonly perMs: number } | null;
  readonly paused: boolean;
}

/**
 * How far time is handled: everything due up to `watermark`, and of what is due at `partly.due`, the very next, the schedules up
 * to that id. Within a gap each schedule is handled once, at its newest missed instant, reaching back to the gap's start.
 */
export interface Tick {
  readonly seq: number;
  readonly watermark: Instant;
  readonly partly: { readonly due: Instant; readonly throughId: number } | null;
  /** Time in which no scheduler ran: (from, to]. Kept until the watermark has passed it. */
  readonly gap: { readonly from: Instant; readonly to: Instant } | null;
  /** The clock went back: up to here only instants without a run are opened. */
  readonly replayUntil: Instant | null;
}

export interface WaitingRequest {
  /** Retries that wait for a later time are not among them. */
  readonly now: Instant;
  readonly limit: number;
  /** At most so many of one group. */
  readonly perGroup: number;
}

/** All of a unit is written, or nothing. */
export type Unit = readonly Write[];

export type Write =
  | { readonly kind: 'open'; readonly run: OpenRun }
  /** Takes the open row away and writes the closing row. */
  | { readonly kind: 'close'; readonly closing: Closing }
  /** A closing row for what was never opened. */
  | { readonly kind: 'skip'; readonly closing: Closing }
  /** Takes a mark away: what follows is in the same unit. */
  | { readonly kind: 'settle'; readonly runId: string }
  | { readonly kind: 'token'; readonly token: Token }
  | { readonly kind: 'useTokens'; readonly tokenIds: readonly string[] }
  | { readonly kind: 'disable'; readonly scheduleId: number; readonly at: Instant; readonly reason: string }
  /** The durable start of a run. */
  | { readonly kind: 'begin'; readonly runId: string; readonly bootId: string; readonly at: Instant }
  | { readonly kind: 'deadLetter'; readonly runId: string; readonly settled: 'retried' | 'dropped'; readonly at: Instant }
  | { readonly kind: 'log'; readonly line: LogLine }
  | { readonly kind: 'alert'; readonly alert: Alert }
  | { readonly kind: 'boot'; readonly bootId: string; readonly event: BootEvent; readonly at: Instant };

/** handover: it stopped in order, so that another process goes on at once; for whoever does, it was running all the time. */
export type BootEvent = 'start' | 'stop' | 'handover';

export interface LogLine {
  readonly runId: string;
  /** Of a pipeline. */
  readonly step?: string | null;
  readonly loggedAt: Instant;
  readonly stream: 'scheduler' | 'stdout' | 'stderr' | 'log';
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly line: string;
}

/** A parent's close, on its edge to a child. */
export interface Token {
  readonly tokenId: string;
  readonly childId: number;
  readonly parentId: number;
  readonly runId: string;
  readonly rootRunId: string;
  readonly state: Closing['state'];
  readonly scheduledAt: Instant;
}

/** One row for each time a rule was broken; written again when it ends. */
export interface Alert {
  readonly alertId: string;
  readonly rule: 'failures' | 'backlog' | 'slow' | 'busy';
  /** null: of the whole scheduler. */
  readonly schedule: string | null;
  readonly runId: string | null;
  readonly since: Instant;
  readonly endedAt: Instant | null;
  readonly detail: string;
}
