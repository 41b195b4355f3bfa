// Raises alerts and clears them: looks at the interval, and at once when a schedule has failed often enough. What is seen is told
// after its commit; a broken rule also runs actions, once.

import type { Instant } from '../core/instant.ts';
import type { Calls } from './calls.ts';
import type { Clock } from './clock.ts';
import type { Events } from './events.ts';
import { openedRun } from './opening.ts';
import type { Alert } from './ports.ts';
import type { Backlog } from './queue.ts';
import type { Closing } from './run.ts';
import type { Definition } from './schedule.ts';
import type { SchedulerState } from './state.ts';
import { Step } from './step.ts';
import type { StepMaker } from './stepMaker.ts';
import type { ReadUsualTimes } from './usualTimes.ts';
import { AlertWatch } from './watch.ts';

export interface AlarmParts {
  readonly state: SchedulerState;
  readonly calls: Calls;
  readonly clock: Clock;
  readonly events: Events;
  readonly steps: StepMaker;
  readonly usualTimes: ReadUsualTimes | undefined;
  newRunId(at: Instant): string;
  counts(): ReturnType<Backlog['counts']>;
  /** Actions wait for a worker. */
  dispatch(): void;
}

export class Alarm {
  readonly #parts: AlarmParts;
  readonly #watch: AlertWatch;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #looking = false;

  constructor(parts: AlarmParts) {
    this.#parts = parts;
    this.#watch = new AlertWatch(parts.usualTimes, parts.clock);
  }

  /** After the ledger was read, and each schedule has its counters: what is open already. */
  begin(alerts: readonly Alert[]): void {
    this.#watch.begin(alerts);
    for (const { definition, counters } of this.#parts.state.roster.failing()) {
      this.#watch.failed(definition.scheduleId, { schedule: definition.name, consecutiveFailures: counters.consecutiveFailures });
    }
  }

  dropped(scheduleId: number): void {
    this.#watch.dropped(scheduleId);
  }

  closed(closing: Closing): void {
    const { settings } = this.#parts.state;
    if (settings !== undefined && this.#watch.closed(closing, settings.alerts)) this.#look().catch(() => undefined);
  }

  /** At the interval. */
  async heed(): Promise<void> {
    const { state, clock } = this.#parts;
    if (state.mode === 'running' && clock.monotonicMs() - this.#lookedMs >= state.known.checkIntervalMs) await this.#look();
  }

  async #look(): Promise<void> {
    const { state, calls, clock, newRunId, counts } = this.#parts;
    if (state.mode !== 'running' || this.#looking) return;
    this.#looking = true;
    try {
      this.#lookedMs = clock.monotonicMs();
      const now = clock.now();
      const counted = counts();
      const paused = new Set(state.queues.filter((queue) => queue.paused).map((queue) => queue.name));
      let waiting = 0;
      for (const [name, queue] of counted.queues) if (!paused.has(name)) waiting += queue.pending;
      const { raise, clear } = this.#watch.look({
        now,
        thresholds: state.known.alerts,
        running: state.running.values(),
        timeoutMsOf: ({ run }) => state.roster.get(run.scheduleId)?.definition.policy.timeoutMs ?? null,
        waiting,
        isBusy: counted.active >= counted.workers,
        newId: () => newRunId(now),
      });
      for (const alert of [...raise, ...clear]) await this.#tell(alert, now);
      await calls.once('usual times', (signal) => this.#watch.refresh(signal));
    } finally {
      this.#looking = false;
    }
  }

  /** A broken rule runs the actions of its schedule, or the system's. */
  async #tell(alert: Alert, now: Instant): Promise<void> {
    const { state, events, steps, dispatch } = this.#parts;
    const step = new Step();
    step.write({ kind: 'alert', alert });
    if (alert.endedAt === null) {
      const own = alert.schedule === null ? undefined : state.roster.named(alert.schedule)?.definition;
      const actions = own === undefined || own.policy.onFail.length === 0 ? state.known.onFail : own.policy.onFail;
      const run = openedRun(own ?? wholeScheduler, {
        runId: alert.runId ?? alert.alertId,
        trigger: 'event',
        scheduledAt: now,
        openedAt: now,
      });
      steps.act(step, actions, { run, finishedAt: now, state: 'failed', reason: `${alert.rule}: ${alert.detail}` });
    }
    if (!(await state.writer.write(step.writes))) return;
    step.confirm();
    dispatch();
    this.#watch.told(alert);
    events.emit(alert.endedAt === null ? 'alert:raised' : 'alert:cleared', alert);
  }
}

/** Whom alerts of no schedule are told for. */
const wholeScheduler: Definition = {
  scheduleId: 0,
  name: 'scheduler',
  version: 0,
  enabled: true,
  effectiveFrom: 0,
  exe: 'procedure',
  call: '',
  timing: undefined,
  policy: {
    overlap: 'allow',
    overlapLimit: 0,
    catchupLimit: 0,
    catchupWithinMs: 0,
    after: [],
    afterState: 'any',
    queue: 'default',
    priority: 'high',
    retry: { backoff: 'fixed', maxDelayMs: 0, jitter: false },
    disableAfterFailures: 0,
    onCrash: 'fail',
    onComplete: [],
    onFail: [],
    onSkip: [],
  },
};
