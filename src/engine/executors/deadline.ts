// Ends the work of a run when its time is up or somebody says stop, and not between its last statement and the answer of COMMIT.

import type { Clock } from '../../scheduler/clock.ts';
import type { StopReason } from '../../scheduler/ports.ts';

export type Stopped = { readonly kind: 'timed_out' } | StopReason;

export class Deadline {
  reason: Stopped | undefined;
  readonly #controller = new AbortController();
  #held = false;
  #disarm: (() => void) | undefined;

  /** `spentMs`: of its time, before this. */
  constructor(timeoutMs: number | null, clock: Clock, signal: AbortSignal, spentMs = 0) {
    const end = (reason: Stopped): void => {
      this.reason ??= reason;
      if (!this.#held) this.#controller.abort();
    };
    const onAbort = (): void => end(stopReason(signal));
    const timer = timeoutMs === null ? undefined : clock.after(Math.max(timeoutMs - spentMs, 0), () => end({ kind: 'timed_out' }));
    signal.addEventListener('abort', onAbort);
    this.#disarm = () => {
      timer?.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** No interrupt from now on. false: it has been stopped already. */
  hold(): boolean {
    this.#held = true;
    return this.reason === undefined;
  }

  /** What came in between counts now: for an attempt that is tried again. */
  goOn(): void {
    this.#held = false;
    if (this.reason !== undefined) this.#controller.abort();
  }

  /** Safe to call twice. */
  disarm(): void {
    this.#disarm?.();
    this.#disarm = undefined;
  }
}

/** Why a signal was aborted. */
export function stopReason(signal: AbortSignal): StopReason {
  const reason = signal.reason as Partial<StopReason> | undefined;
  if (reason?.kind === 'shutdown') return { kind: 'shutdown' };
  return reason?.kind === 'cancelled'
    ? { kind: 'cancelled', reason: reason.reason ?? 'cancelled' }
    : { kind: 'cancelled', reason: 'cancelled' };
}
