// How long is waited for work that was told to end and does not. JavaScript cannot stop a function of its own thread: after that
// the promise is left alone, and the run ends without it.

import type { Clock } from '../../scheduler/clock.ts';

export type Patient<T> = { readonly kind: 'settled'; readonly value: T } | { readonly kind: 'given up' };

/** What `work` comes to, or that it was given up `patienceMs` after the abort. What it throws, at once too, rejects. */
export function patiently<T>(work: () => T | PromiseLike<T>, signal: AbortSignal, clock: Clock, patienceMs: number): Promise<Patient<T>> {
  return new Promise((resolve, reject) => {
    let settle: (() => void) | undefined;
    const onAbort = (): void => {
      const timer = clock.after(patienceMs, () => {
        settle?.();
        resolve({ kind: 'given up' });
      });
      settle = () => timer.cancel();
    };
    const over = (): void => {
      signal.removeEventListener('abort', onAbort);
      settle?.();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    Promise.resolve()
      .then(work)
      .then(
        (value) => {
          over();
          resolve({ kind: 'settled', value });
        },
        (error: unknown) => {
          over();
          reject(error);
        },
      );
  });
}
