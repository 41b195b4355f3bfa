// Which rules are broken, and which hold again. Pure, and cheap enough for every batch of closed runs: what it is given is news
// (streaks that changed, runs at work, two numbers), and what is open already is looked up, not searched.
//
// An alert is raised once for each time that its rule is broken, and cleared once: whoever writes it, tells it and runs its
// actions needs no memory of his own.

import { formatDuration } from '../core/duration.ts';
import type { Instant } from '../core/instant.ts';
import type { Alert, AlertThresholds } from './ports.ts';

export interface AlertFacts {
  readonly failing: readonly FailureStreak[];
  /** Whether `failing` are all schedules that have failed, so that who is not among them is well; else it is news of some of them. */
  readonly isComplete: boolean;
  readonly running: readonly RunAtWork[];
  /** Runs that would start if there were a worker: neither retries whose time has not come, nor what a paused queue keeps. */
  readonly waiting: number;
  /** Since when no worker has been idle while something waited; null: one is, or nothing waits. */
  readonly busySince: Instant | null;
}

export interface FailureStreak {
  readonly schedule: string;
  /** Failed for good, one after another; 0 also where the schedule was dropped. */
  readonly consecutiveFailures: number;
  /** The newest of them, where it is at hand, and what it said. */
  readonly runId?: string | null;
  readonly message?: string | null;
}

export interface RunAtWork {
  readonly runId: string;
  readonly schedule: string;
  readonly startedAt: Instant;
  readonly timeoutMs: number | null;
  /** null: too few have succeeded to tell (usualTimes.ts). */
  readonly usualMs: number | null;
}

export interface AlertChange {
  readonly raise: readonly Alert[];
  /** The same alerts with their end. */
  readonly clear: readonly Alert[];
}

/** Whatever is usual: what has been at work for less is not slow. */
export const leastSlowMs = 10_000;

/** A run that is ended at its timeout takes a while to go. */
const timeoutGraceMs = 5000;

const noChange: AlertChange = { raise: [], clear: [] };

/**
 * `open` is what has been raised and not cleared: the same list until it changes and a new one then, for it is indexed once. The
 * answer is not part of it: the caller adds and removes when the ledger has it, and asks again only then.
 */
export function alertsOf(
  facts: AlertFacts,
  thresholds: AlertThresholds,
  open: readonly Alert[],
  now: Instant,
  newId: () => string,
): AlertChange {
  const index = indexOf(open);
  const raise: Alert[] = [];
  const clear: Alert[] = [];
  const begin = (alert: Omit<Alert, 'alertId' | 'endedAt'>): void => {
    raise.push({ alertId: newId(), endedAt: null, ...alert });
  };
  const end = (alert: Alert | undefined): void => {
    if (alert !== undefined) clear.push({ ...alert, endedAt: now });
  };

  const newest = new Map(facts.failing.map((streak) => [streak.schedule, streak]));
  for (const { schedule, consecutiveFailures: failures, runId = null, message = null } of newest.values()) {
    const known = index.failures.get(schedule);
    const isBroken = thresholds.failures > 0 && failures >= thresholds.failures;
    if (!isBroken) end(known);
    else if (known === undefined) {
      const runs = failures === 1 ? '1 run failed' : `${failures} runs failed in a row`;
      begin({ rule: 'failures', schedule, runId, since: now, detail: message === null ? runs : `${runs}; the last: ${message}` });
    }
  }
  if (facts.isComplete || thresholds.failures === 0) {
    for (const [schedule, alert] of index.failures) if (!newest.has(schedule)) end(alert);
  }

  const slow = new Set<string>();
  for (const run of facts.running) {
    const limit = thresholds.slowness > 0 ? slowLimit(run, thresholds.slowness) : undefined;
    if (limit === undefined || now < run.startedAt + limit.ms) continue;
    slow.add(run.runId);
    if (index.slow.has(run.runId)) continue;
    begin({ rule: 'slow', schedule: run.schedule, runId: run.runId, since: run.startedAt + limit.ms, detail: limit.detail });
  }
  for (const [runId, alert] of index.slow) if (!slow.has(runId)) end(alert);

  // It ends when half of it is left: a backlog that wavers around the threshold is one alert, not a hundred.
  const most = thresholds.backlog;
  if (most === 0 || facts.waiting <= most / 2) end(index.backlog);
  else if (facts.waiting > most && index.backlog === undefined) {
    begin({ rule: 'backlog', schedule: null, runId: null, since: now, detail: `${facts.waiting} runs wait, more than ${most}` });
  }

  const { busySince } = facts;
  if (thresholds.busyMs === 0 || busySince === null) end(index.busy);
  else if (now - busySince >= thresholds.busyMs && index.busy === undefined) {
    const detail = `no worker has been idle for ${formatDuration(thresholds.busyMs)}, and ${facts.waiting} ${facts.waiting === 1 ? 'run waits' : 'runs wait'}`;
    begin({ rule: 'busy', schedule: null, runId: null, since: busySince, detail });
  }
  return raise.length + clear.length === 0 ? noChange : { raise, clear };
}

/** What it may take; the stricter of the two, undefined where neither is known. */
function slowLimit(run: RunAtWork, times: number): { readonly ms: number; readonly detail: string } | undefined {
  const { timeoutMs, usualMs } = run;
  const overTimeout =
    timeoutMs === null
      ? undefined
      : { ms: timeoutMs + timeoutGraceMs, detail: `at work for longer than its timeout of ${formatDuration(timeoutMs)}` };
  if (usualMs === null) return overTimeout;
  const overUsual = {
    ms: Math.max(usualMs * times, leastSlowMs),
    detail: `at work for longer than ${times} times its usual ${formatDuration(usualMs < 1000 ? Math.round(usualMs) : Math.round(usualMs / 1000) * 1000)}`,
  };
  return overTimeout !== undefined && overTimeout.ms < overUsual.ms ? overTimeout : overUsual;
}

interface Index {
  readonly failures: ReadonlyMap<string, Alert>;
  readonly slow: ReadonlyMap<string, Alert>;
  readonly backlog: Alert | undefined;
  readonly busy: Alert | undefined;
}

const indexes = new WeakMap<readonly Alert[], Index>();

function indexOf(open: readonly Alert[]): Index {
  const known = indexes.get(open);
  if (known !== undefined) return known;
  const keyed = (rule: Alert['rule'], key: 'schedule' | 'runId'): ReadonlyMap<string, Alert> =>
    new Map(open.flatMap((alert) => (alert.rule === rule ? [[alert[key] ?? '', alert] as const] : [])));
  const index: Index = {
    failures: keyed('failures', 'schedule'),
    slow: keyed('slow', 'runId'),
    backlog: open.find(({ rule }) => rule === 'backlog'),
    busy: open.find(({ rule }) => rule === 'busy'),
  };
  indexes.set(open, index);
  return index;
}
