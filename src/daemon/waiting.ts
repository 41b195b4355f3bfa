// What is shown of a statement while nothing of its answer is there: how far the query is, or the runs that it waits for, and of
// several that some have ended.

import type { AwaitedRun } from '../engine/awaitedRun.ts';
import type { Events } from '../scheduler/events.ts';
import type { Progress } from '../scheduler/progress.ts';
import { type FinishedRun, nameOf } from '../scheduler/run.ts';
import type { Shown } from './progress.ts';

export interface WaitingOptions {
  readonly session: {
    /** The runs that the statement at work waits for. */
    readonly awaited: ReadonlyMap<string, AwaitedRun>;
    /** Of a query, where DuckDB can tell. */
    progress(): number | undefined;
  };
  readonly scheduler: {
    readonly isOn: boolean;
    readonly events: Pick<Events, 'on'>;
    running(runId: string): { readonly progress: Progress | null } | undefined;
  };
  /** One of several has ended. */
  readonly tell: (finished: FinishedRun) => void;
}

export class Waiting {
  readonly #options: WaitingOptions;
  readonly #stop: () => void;
  readonly #ended = new Set<string>();
  #most = 0;

  constructor(options: WaitingOptions) {
    this.#options = options;
    const { session, scheduler, tell } = options;
    this.#stop = scheduler.events.on('run:finished', (finished) => {
      const awaited = session.awaited.get(finished.runId);
      if (awaited === undefined) return;
      this.#ended.add(finished.runId);
      if (awaited.isTold) tell(finished);
    });
  }

  /** The runs that were waited for and have ended. */
  get ended(): readonly string[] {
    return [...this.#ended];
  }

  look(): Shown {
    const { session, scheduler } = this.#options;
    const awaited = [...session.awaited.values()].filter(({ run }) => !this.#ended.has(run.runId));
    const [first] = awaited;
    if (first === undefined) {
      const percent = session.progress() ?? -1;
      return { name: '', fraction: percent < 0 ? null : percent / 100, message: null, interrupt: 'Ctrl-C cancels' };
    }
    this.#most = Math.max(this.#most, awaited.length + this.#ended.size);
    const atWork = awaited.filter(({ run }) => scheduler.running(run.runId) !== undefined);
    const progressOf = ({ run }: AwaitedRun): Progress | null => scheduler.running(run.runId)?.progress ?? null;
    const shown = atWork.find((one) => progressOf(one) !== null) ?? atWork[0];
    const name = nameOf((shown ?? first).run);
    const progress = shown === undefined ? { fraction: null, message: 'waits' } : progressOf(shown);
    return {
      name: this.#most > 1 ? `${this.#ended.size} of ${this.#most}  ${name}` : name,
      fraction: progress?.fraction ?? null,
      message: progress?.message ?? null,
      interrupt: scheduler.isOn ? 'Ctrl-C ends the wait' : 'Ctrl-C cancels',
    };
  }

  stop(): void {
    this.#stop();
  }
}
