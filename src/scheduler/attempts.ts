// A run at work, from the worker that takes it to its end:
//
//   begin -> execute -> close -> settle
//
// The last two are the closer's. Whatever happens, the worker is free again afterwards.

import { Diagnostic } from '../core/diagnostic.ts';
import type { Cancelling } from './cancelling.ts';
import type { Attempt, Closer } from './closer.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Events } from './events.ts';
import { failedOutcome } from './outcome.ts';
import type { Execution, Ports, StopReason } from './ports.ts';
import { ProgressOf } from './progress.ts';
import type { OpenRun } from './run.ts';
import type { SchedulerState } from './state.ts';
import { aloneMs } from './suspects.ts';

export interface AttemptsParts {
  readonly state: SchedulerState;
  readonly ports: Pick<Ports, 'clock' | 'execute'>;
  readonly events: Events;
  readonly closer: Closer;
  readonly cancelling: Cancelling;
  readonly dispatcher: Dispatcher;
  /** Something waits for its time, which the wheel does not know of. */
  wake(): void;
}

/** An attempt while it is at work. */
interface Work extends Attempt {
  readonly progress: ProgressOf;
  readonly signal: AbortSignal;
}

export class Attempts {
  readonly #parts: AttemptsParts;

  constructor(parts: AttemptsParts) {
    this.#parts = parts;
  }

  /** `durably`: its start is written before anything of it happens. */
  begin(run: OpenRun, waitedFor: string | null, { durably }: { readonly durably: boolean } = { durably: false }): void {
    const { state, ports, events } = this.#parts;
    const controller = new AbortController();
    const startedAt = ports.clock.now();
    const progress = new ProgressOf(ports.clock, (told) => events.emit('run:progress', { run, ...told }));
    const work: Work = { run, startedAt, waitedFor, progress, signal: controller.signal };
    const ended = Promise.resolve().then(() => this.#live(work, durably));
    state.running.set(run.runId, {
      run,
      startedAt,
      get progress() {
        return progress.newest;
      },
      abort: (reason: StopReason) => controller.abort(reason),
      ended,
    });
  }

  async #live(work: Work, durably: boolean): Promise<void> {
    const { state, events, closer, dispatcher } = this.#parts;
    const { run, startedAt, progress } = work;
    try {
      if (durably) await this.#beginAlone(work);
      events.emit('run:started', { run, startedAt });
      const execution = await this.#execute(work);
      progress.end();
      if (execution.closed === 'no') dispatcher.ending(run);
      await closer.close(work, execution);
    } catch (error) {
      if (error instanceof Diagnostic && error.code === 'fenced') await closer.findClosed(run).catch(() => undefined);
      // The scheduler stops, or the closing row itself cannot be written: the run stays open, and the next start finds it.
      else if (state.mode !== 'stopping') events.emit('ledger:trouble', { during: `run ${run.runId}`, message: String(error) });
    } finally {
      this.#ended(run);
    }
  }

  /** A suspect: its start is durable before it may do harm, and others begin a while later. */
  async #beginAlone(work: Work): Promise<void> {
    const { state, ports, dispatcher } = this.#parts;
    await this.#beginDurably(work);
    state.suspects?.startIsDurable(ports.clock.monotonicMs());
    ports.clock.after(aloneMs, () => dispatcher.dispatch(), { keepsProcessAlive: false });
  }

  async #beginDurably({ run, startedAt }: Work): Promise<void> {
    const { state } = this.#parts;
    const isOpen = await state.writer.write([{ kind: 'begin', runId: run.runId, bootId: state.bootId, at: startedAt }]);
    // Nothing of it may happen outside any more.
    if (!isOpen) throw new Diagnostic('fenced', `run ${run.runId} was closed before it began`);
  }

  async #execute(work: Work): Promise<Execution> {
    const { state, ports, closer } = this.#parts;
    const { run, startedAt, waitedFor, progress, signal } = work;
    const asked = {
      run,
      startedAt,
      waitedFor,
      counters: state.roster.countersOf(run),
      closing: () => closer.ifSucceeded(run),
      begin: () => this.#beginDurably(work),
      progress: (fraction: number | null, message: string | null) => progress.told(fraction, message),
    };
    try {
      return await ports.execute(asked, signal);
    } catch (error) {
      // Executors return and do not throw; one that does has failed, and its run with it.
      return { outcome: failedOutcome(error), closed: 'no' };
    }
  }

  #ended(run: OpenRun): void {
    const { state, ports, closer, cancelling, dispatcher, wake } = this.#parts;
    state.running.delete(run.runId);
    state.byHand.delete(run.runId);
    dispatcher.release(run);
    cancelling.forget(run.runId);
    if (closer.leftOpen(run.runId)) dispatcher.enqueue(run);
    state.suspects?.ended(run);
    dispatcher.dispatch();
    if (dispatcher.nextAt(ports.clock.now()) < Number.POSITIVE_INFINITY && state.isOn) wake();
  }
}
