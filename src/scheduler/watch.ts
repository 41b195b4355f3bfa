// Keeps an eye on the rules of alerts.ts: gathers what they are asked about, and remembers which alerts are open. When to look, and
// what follows, alarm.ts says.

import type { Instant } from '../core/instant.ts';
import { type AlertChange, alertsOf, type FailureStreak } from './alerts.ts';
import type { Clock } from './clock.ts';
import type { Alert, AlertThresholds } from './ports.ts';
import type { Closing, OpenRun } from './run.ts';
import { type ReadUsualTimes, UsualTimes } from './usualTimes.ts';

/** At work. */
export interface Watched {
  readonly run: OpenRun;
  readonly startedAt: Instant;
}

export interface Sight {
  readonly now: Instant;
  readonly thresholds: AlertThresholds;
  readonly running: Iterable<Watched>;
  timeoutMsOf(running: Watched): number | null;
  /** What would start if there were a worker. */
  readonly waiting: number;
  readonly isBusy: boolean;
  newId(): string;
}

export class AlertWatch {
  readonly #usual: UsualTimes;
  /** Schedules whose newest runs failed, by id. */
  readonly #failing = new Map<number, FailureStreak>();
  #open: readonly Alert[] = [];
  #busySince: Instant | null = null;

  constructor(read: ReadUsualTimes | undefined, clock: Clock) {
    this.#usual = new UsualTimes(read ?? (async () => new Map()), clock);
  }

  /** After a start: what the ledger knows of. */
  begin(alerts: readonly Alert[]): void {
    this.#open = alerts;
    this.#failing.clear();
    this.#busySince = null;
  }

  failed(scheduleId: number, streak: FailureStreak): void {
    this.#failing.set(scheduleId, streak);
  }

  dropped(scheduleId: number): void {
    this.#failing.delete(scheduleId);
  }

  /** Whether somebody should look at once. */
  closed({ run, final, state, reason, counters }: Closing, thresholds: AlertThresholds): boolean {
    const { scheduleId, schedule, runId } = run;
    if (!final || scheduleId === null || state === 'skipped') return false;
    const before = this.#failing.get(scheduleId)?.consecutiveFailures ?? 0;
    const failures = counters.consecutiveFailures;
    if (failures === 0) this.#failing.delete(scheduleId);
    else this.#failing.set(scheduleId, { schedule, consecutiveFailures: failures, runId, message: reason });
    const most = thresholds.failures;
    return most > 0 && failures !== before && Math.max(failures, before) >= most;
  }

  look({ now, thresholds, running, timeoutMsOf, waiting, isBusy, newId }: Sight): AlertChange {
    this.#busySince = isBusy && waiting > 0 ? (this.#busySince ?? now) : null;
    const atWork = [...running].map((one) => ({
      runId: one.run.runId,
      schedule: one.run.schedule,
      startedAt: one.startedAt,
      usualMs: this.#usual.of(one.run.scheduleId, now - one.startedAt),
      timeoutMs: timeoutMsOf(one),
    }));
    const facts = { failing: [...this.#failing.values()], isComplete: true, running: atWork, waiting, busySince: this.#busySince };
    return alertsOf(facts, thresholds, this.#open, now, newId);
  }

  /** What was asked for and is not known yet. */
  refresh(signal: AbortSignal): Promise<void> {
    return this.#usual.refresh(signal);
  }

  /** After its commit. */
  told(alert: Alert): void {
    const others = this.#open.filter((other) => other.alertId !== alert.alertId);
    this.#open = alert.endedAt === null ? [...others, alert] : others;
  }
}
