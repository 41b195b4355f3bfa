// What is due comes first. While runs begin late, and it is this process that keeps the processors busy, whoever asks over HTTP waits a
// little before a statement of his begins: for as long as that lasts, and no longer than he was told. A backlog behind commands that take
// their time elsewhere is no reason to wait: letting one go first would change nothing.

import { availableParallelism } from 'node:os';
import type { Clock } from '../../scheduler/clock.ts';
import type { Scheduler } from '../../scheduler/loop.ts';

export interface CourtesyParts {
  readonly events: Pick<Scheduler['events'], 'on'>;
  readonly clock: Clock;
  /** What this process has used of the processors, and how many there are. */
  readonly usedMs?: () => number;
  readonly cores?: number;
}

/** Of the loop, or of a run behind its fire. */
const lateMs = 20;
/** What was late longer ago is over. */
const recentMs = 500;
/** Of all processors. */
const busyShare = 0.4;
const measureMs = 100;
const restMs = 20;

export class Courtesy {
  readonly #clock: Clock;
  readonly #usedMs: () => number;
  readonly #cores: number;
  readonly #stop: readonly (() => void)[];
  #lateUntilMs = Number.NEGATIVE_INFINITY;
  #measured: { readonly atMs: number; readonly usedMs: number };
  #isBusy = false;

  constructor({ events, clock, usedMs = processorMs, cores = availableParallelism() }: CourtesyParts) {
    this.#clock = clock;
    this.#usedMs = usedMs;
    this.#cores = cores;
    this.#measured = { atMs: clock.monotonicMs(), usedMs: usedMs() };
    this.#stop = [
      events.on('tick:done', ({ lagMs }) => this.#heed(lagMs)),
      events.on('run:started', ({ run, startedAt }) => this.#heed(startedAt - run.openedAt)),
    ];
  }

  async giveWay(mostMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + mostMs;
    for (;;) {
      const nowMs = this.#clock.monotonicMs();
      if (nowMs >= untilMs || nowMs >= this.#lateUntilMs || !this.#looksBusy(nowMs)) return;
      await this.#clock.sleep(restMs);
    }
  }

  close(): void {
    for (const stop of this.#stop) stop();
  }

  #heed(lagMs: number): void {
    if (lagMs > lateMs) this.#lateUntilMs = this.#clock.monotonicMs() + recentMs;
  }

  #looksBusy(nowMs: number): boolean {
    const { atMs, usedMs } = this.#measured;
    const passedMs = nowMs - atMs;
    if (passedMs < measureMs) return this.#isBusy;
    const nowUsedMs = this.#usedMs();
    this.#isBusy = nowUsedMs - usedMs > passedMs * this.#cores * busyShare;
    this.#measured = { atMs: nowMs, usedMs: nowUsedMs };
    return this.#isBusy;
  }
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
