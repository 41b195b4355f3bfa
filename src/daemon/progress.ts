// A bar for queries that take longer than a moment, on standard error so that results stay clean. It is wiped before anything
// else is written: whoever writes calls clear() first.

import type { Writable } from 'node:stream';
import type { Clock, Timer } from '../scheduler/clock.ts';

interface ProgressOptions {
  readonly clock: Clock;
  /** A terminal, or nothing is shown. */
  readonly terminal: Writable & { readonly columns?: number; readonly isTTY?: boolean };
  /** Percent done, or -1 where nobody knows. */
  readonly percent: () => number;
}

const patienceMs = 1000;
const refreshMs = 100;

export class ProgressBar {
  readonly #options: ProgressOptions;
  readonly #since: number;
  #timer: Timer | undefined;
  #shown = false;
  /** DuckDB's figure may fall when a new pipeline begins; a bar that goes back only worries. */
  #percent = -1;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#since = options.clock.monotonicMs();
    if (options.terminal.isTTY === true) this.#wait(patienceMs);
  }

  /** Wipes the bar and shows it no more. Safe to call twice. */
  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#shown) this.#options.terminal.write('\r\x1b[K\x1b[?25h');
    this.#shown = false;
  }

  #wait(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => this.#show(), { keepsProcessAlive: false });
  }

  #show(): void {
    const { clock, terminal, percent } = this.#options;
    this.#percent = Math.max(this.#percent, percent());
    const seconds = Math.floor((clock.monotonicMs() - this.#since) / 1000);
    const line = progressLine({ percent: this.#percent, seconds, columns: terminal.columns ?? 80 });
    terminal.write(`${this.#shown ? '' : '\x1b[?25l'}\r${line}\x1b[K`);
    this.#shown = true;
    this.#wait(refreshMs);
  }
}

export function progressLine({ percent, seconds, columns }: { percent: number; seconds: number; columns: number }): string {
  const elapsed = `${seconds} s`;
  if (percent < 0) return `${elapsed}   Ctrl-C cancels`.slice(0, columns - 1);
  const end = ` ${String(Math.floor(percent)).padStart(3)} %  ${elapsed}   Ctrl-C cancels`;
  const width = Math.min(40, columns - end.length - 3);
  if (width < 5) return end.trim().slice(0, columns - 1);
  const full = Math.min(Math.floor((percent / 100) * width), width);
  return `[${'='.repeat(full)}${' '.repeat(width - full)}]${end}`;
}
