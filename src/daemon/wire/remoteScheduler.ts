// The scheduler of a daemon, as a shell sees it: what it does is told, and how far the runs are of which one has heard.

import { Events, type SchedulerEvent, type SchedulerEvents } from '../../scheduler/events.ts';
import type { Progress } from '../../scheduler/progress.ts';

export class RemoteScheduler {
  readonly events = new Events();
  /** Whoever waits for a run can leave it to the daemon. */
  readonly isOn = true;
  readonly #running = new Map<string, { readonly progress: Progress | null }>();

  constructor() {
    this.events.on('run:started', ({ run }) => this.#running.set(run.runId, { progress: null }));
    this.events.on('run:progress', ({ run, fraction, message }) => this.#running.set(run.runId, { progress: { fraction, message } }));
    this.events.on('run:finished', ({ runId }) => this.#running.delete(runId));
  }

  running(runId: string): { readonly progress: Progress | null } | undefined {
    return this.#running.get(runId);
  }

  /** By the daemon. */
  told(name: SchedulerEvent, detail: unknown): void {
    this.events.emit(name, detail as SchedulerEvents[typeof name] as never);
  }

  /** Ends may be among what was not heard. */
  missed(): void {
    this.#running.clear();
  }
}
