// The lines of one run on their way to somebody who follows it. A reader that is slower than its run misses lines, and is told how
// many: the run never waits for it.

import type { Instant } from '../core/instant.ts';
import type { LogLine } from '../scheduler/ports.ts';
import { LineQueue } from './lineQueue.ts';

const mostLines = 5_000;
const mostCost = 4 * 1024 * 1024;

export class LineFeed {
  readonly #onClose: () => void;
  readonly #queue = new LineQueue();
  #missed = 0;
  #hasEnded = false;
  #wake: (() => void) | undefined;
  /** The time of the first of the run's lines that came here. The ledger has all that are older, and may have others of these. */
  from: Instant | undefined;

  /** `unwritten`: of these the ledger may know nothing yet. */
  constructor(unwritten: readonly LogLine[], onClose: () => void) {
    this.#onClose = onClose;
    for (const line of unwritten) this.push(line);
  }

  push(line: LogLine): void {
    if (this.#hasEnded) return;
    this.from ??= line.loggedAt;
    this.add(line);
  }

  /** Beside the run's own. */
  add(line: LogLine): void {
    this.#queue.push(line);
    while (this.#queue.length > 1 && (this.#queue.length > mostLines || this.#queue.cost > mostCost)) {
      this.#queue.shift();
      this.#missed += 1;
    }
    this.#wake?.();
  }

  /** What has come since; undefined: nothing comes any more. */
  async next(): Promise<readonly LogLine[] | undefined> {
    while (this.#queue.length === 0 && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    const lines = this.#queue.clear();
    const [first] = lines;
    if (first === undefined) return undefined;
    const missed = this.#missed;
    this.#missed = 0;
    if (missed === 0) return lines;
    const { runId, loggedAt } = first;
    return [{ runId, step: null, loggedAt, stream: 'scheduler', level: 'warn', line: missedText(missed) }, ...lines];
  }

  /** What is there can still be read. Safe to call twice. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#onClose();
    this.#wake?.();
  }
}

function missedText(count: number): string {
  return `${count} ${count === 1 ? 'line' : 'lines'} not shown: they came too fast; cron.run_logs may have them`;
}
