// Free workers take what waits. Which run is next, the backlog knows (queue.ts); here is who may take one at all: nobody while the
// disk is full, only what was asked for by hand where no loop runs, and one suspect at a time after an unclean end.

import type { Instant } from '../core/instant.ts';
import type { Cancelling } from './cancelling.ts';
import type { Needs } from './capacity.ts';
import type { Clock } from './clock.ts';
import type { LedgerState } from './ports.ts';
import { Backlog } from './queue.ts';
import type { Refill } from './refill.ts';
import type { OpenRun } from './run.ts';
import type { SchedulerState } from './state.ts';
import type { StorageWatch } from './storage.ts';
import { type Suspects, whileAlone } from './suspects.ts';

export interface DispatcherParts {
  readonly state: SchedulerState;
  readonly clock: Clock;
  readonly storage: StorageWatch;
  readonly cancelling: Cancelling;
  readonly refill: Refill;
  /** So many runs that need a thread of the database can be at work. */
  mostAtOnce(): number;
  needsThread(run: OpenRun): boolean;
  /** A worker takes it. `durably`: its start is written before anything of it happens. */
  begin(run: OpenRun, waitedFor: string | null, options?: { readonly durably: boolean }): void;
}

/** With more than this on its way to the disk, no more is begun. */
const mostUnwritten = 20_000;

export class Dispatcher {
  readonly #parts: DispatcherParts;
  #backlog: Backlog;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
    this.#backlog = this.#newBacklog();
  }

  /** Free workers take what may start. */
  dispatch(): void {
    const { state, clock, storage, refill } = this.#parts;
    if (state.mode === 'stopping' || state.mode === 'starting' || storage.isLow) return;
    const now = state.hostNow ?? clock.now();
    const all = state.mode === 'running' || state.hostNow !== undefined;
    const accept = all ? undefined : (run: OpenRun): boolean => state.byHand.has(run.runId);
    while (state.writer.pending < mostUnwritten) {
      const began = state.suspects !== undefined && all ? this.#beginBeside(state.suspects, now) : this.#beginNext(now, accept);
      if (!began) break;
    }
    // Of those asked for by hand more may be in the table than memory took, in a pause too.
    const wants = all || state.byHand.size > state.running.size;
    if (wants && (refill.looksForSleepers || this.#backlog.wantsRefill(now)))
      this.refill().then(
        () => this.dispatch(),
        () => {
          // The scheduler stops.
        },
      );
  }

  #beginNext(now: Instant, accept?: (run: OpenRun) => boolean, refusal?: string): boolean {
    const taken = this.#backlog.take(now, accept, refusal);
    if (taken !== undefined) this.#parts.begin(taken.run, taken.waitedFor);
    return taken !== undefined;
  }

  /** While there are suspects. false: nothing may start now. */
  #beginBeside(suspects: Suspects, now: Instant): boolean {
    const { state, clock, begin } = this.#parts;
    if (suspects.isAlone(clock.monotonicMs())) {
      this.#backlog.keepWaiting(now, whileAlone);
      return false;
    }
    if (suspects.oneIsAtWork) return this.#beginNext(now, (run) => !suspects.has(run), whileAlone);
    const suspect = suspects.none ? undefined : this.#backlog.take(now, (run) => suspects.has(run));
    if (suspect !== undefined) {
      suspects.began(suspect.run);
      begin(suspect.run, suspect.waitedFor, { durably: true });
      return true;
    }
    const began = this.#beginNext(now);
    if (!began && suspects.none && !this.#backlog.spilled) state.suspects = undefined;
    return began;
  }

  /** It is open, durably. */
  enqueue(run: OpenRun): void {
    const { state, clock, cancelling, begin } = this.#parts;
    const isByHand = state.byHand.has(run.runId);
    if (state.mode === 'off' && state.hostNow === undefined && !isByHand) return;
    if (state.running.has(run.runId) || cancelling.forget(run.runId)) return;
    // Opened while its schedule was dropped: the drop did not see it.
    if (run.scheduleId !== null && state.dropped.has(run.scheduleId)) {
      cancelling.cancelDropped(run);
      return;
    }
    // Where no loop runs, who asks for a run gets it right there: nobody would come back when a queue's limits allow it.
    // What was asked for side by side, so many at once, comes one after another also there.
    if ((state.mode === 'off' || state.mode === 'held') && isByHand && run.group === null) {
      this.#backlog.begin(run);
      begin(run, null);
      return;
    }
    this.#backlog.add(run, state.hostNow ?? clock.now());
  }

  /** Its work is over: somebody else may begin while its end becomes durable. */
  ending(run: OpenRun): void {
    this.#backlog.ending(run);
    this.dispatch();
  }

  /** A worker is free again. */
  release(run: OpenRun): void {
    this.#backlog.release(run);
  }

  /** false: it is not among what waits in memory. */
  remove(run: OpenRun): boolean {
    return this.#backlog.remove(run.runId) !== undefined;
  }

  /** Of a schedule that is gone. */
  removeSchedule(scheduleId: number): void {
    for (const run of this.#backlog.removeSchedule(scheduleId)) this.#parts.state.byHand.delete(run.runId);
  }

  refill(): Promise<void> {
    return this.#parts.refill.read(this.#backlog);
  }

  /** When something that waits may start; Infinity: not before something else happens. */
  nextAt(now: Instant): Instant {
    return this.#backlog.nextAt(now);
  }

  counts(): ReturnType<Backlog['counts']> {
    return this.#backlog.counts();
  }

  /** What is not there for a run that waits, in words: a thread of the database, memory, processor. */
  lack(run: OpenRun): string | undefined {
    return this.#backlog.lack(run);
  }

  /**
   * After queues or settings have changed. No more runs are begun than can really run: what a worker has taken and cannot begin
   * looks like work, and its time runs out.
   */
  configure(workers = this.#parts.state.known.workers): void {
    const { state, mostAtOnce } = this.#parts;
    this.#backlog.configure(state.queues, workers, { ...state.known.budget, threads: mostAtOnce() });
  }

  /** Before the ledger is read. */
  reset(): void {
    this.#backlog = this.#newBacklog();
  }

  #newBacklog(): Backlog {
    const { state, needsThread } = this.#parts;
    const needsOf = (run: OpenRun): Needs => {
      const { cpu, memory } = state.roster.get(run.scheduleId)?.definition.policy.resources ?? {};
      return {
        threads: needsThread(run) ? 1 : 0,
        cpu: typeof cpu === 'number' ? cpu : 0,
        memoryBytes: typeof memory === 'number' ? memory : 0,
      };
    };
    return new Backlog({ needsOf });
  }

  recall(starts: LedgerState['recentStarts']): void {
    this.#backlog.recall(starts);
  }

  /** The clock went back: what waits for an instant of the wrong time would wait for ever. */
  async readAnew(): Promise<void> {
    const { state, refill } = this.#parts;
    await refill.rest();
    const { starts } = this.#backlog;
    this.reset();
    this.recall(starts);
    this.configure();
    for (const { run } of state.running.values()) this.#backlog.begin(run);
    refill.expectSleepers(true);
    await this.refill();
  }
}
