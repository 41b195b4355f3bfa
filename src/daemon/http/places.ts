// So many at once, the others in a line that has an end.

import { Diagnostic } from '../../core/diagnostic.ts';
import { Refusal } from './problem.ts';

export class Places {
  readonly #most: number;
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor({ most, mostWaiting }: { readonly most: number; readonly mostWaiting: number }) {
    this.#most = most;
    this.#mostWaiting = mostWaiting;
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#most) this.#taken += 1;
    else await this.#wait();
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Whoever waits longest has this place.
      if (next === undefined) this.#taken -= 1;
      else next();
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= this.#mostWaiting) {
      throw new Refusal(new Diagnostic('too_busy', 'too much is asked at once', { hint: 'ask again in a second' }), {
        headers: { 'Retry-After': '1' },
      });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
