// Lines in the order in which they came, of which somebody takes the first away: in no time, however many there are.

import type { LogLine } from '../scheduler/ports.ts';

/** What a line costs beside its text. */
const lineCost = 100;

export function costOf({ line }: LogLine): number {
  return line.length + lineCost;
}

export class LineQueue {
  #lines: LogLine[] = [];
  #at = 0;
  /** Of all lines that are in it, about. */
  cost = 0;
  /** So many have ever come, and gone. */
  came = 0;
  gone = 0;

  get length(): number {
    return this.#lines.length - this.#at;
  }

  push(line: LogLine): void {
    this.#lines.push(line);
    this.came += 1;
    this.cost += costOf(line);
  }

  all(): LogLine[] {
    return this.#lines.slice(this.#at);
  }

  /** From the front, at least one where there is one. */
  first(mostLines: number, mostCost: number): LogLine[] {
    const lines: LogLine[] = [];
    let cost = 0;
    for (let at = this.#at; at < this.#lines.length && lines.length < mostLines; at++) {
      const line = this.#lines[at];
      if (line === undefined) break;
      cost += costOf(line);
      if (lines.length > 0 && cost > mostCost) break;
      lines.push(line);
    }
    return lines;
  }

  shift(): LogLine | undefined {
    const line = this.#lines[this.#at];
    if (line === undefined) return undefined;
    this.#at += 1;
    this.gone += 1;
    this.cost -= costOf(line);
    if (this.#at >= 1000 && this.#at * 2 >= this.#lines.length) {
      this.#lines = this.#lines.slice(this.#at);
      this.#at = 0;
    }
    return line;
  }

  /** Answers what was in it. */
  clear(): LogLine[] {
    const lines = this.all();
    this.#lines = [];
    this.#at = 0;
    this.gone += lines.length;
    this.cost = 0;
    return lines;
  }
}
