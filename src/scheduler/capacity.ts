// What runs share beside the workers: the threads of the database, and a budget of processor and memory for all that names what it
// needs (`resources: { cpu: 50, memory: 512MB }`). Each takes its part while it is at work. Who needs more than there is at all
// runs when nobody else has a part of that: so nothing waits for what can never be.

import { formatSize } from '../core/size.ts';

/** Of all at work together. null: as much as they like. */
export interface Budget {
  /** Percent of one core. */
  readonly cpu: number | null;
  readonly memoryBytes: number | null;
}

export interface Limits extends Budget {
  /** So many may need a thread of the database. */
  readonly threads: number;
}

export const noLimits: Limits = { threads: Number.POSITIVE_INFINITY, cpu: null, memoryBytes: null };

/** What one run takes. */
export interface Needs {
  readonly threads: 0 | 1;
  readonly cpu: number;
  readonly memoryBytes: number;
}

export const noNeeds: Needs = { threads: 0, cpu: 0, memoryBytes: 0 };

/** It has a part in the budget. */
export const hasPart = ({ cpu, memoryBytes }: Needs): boolean => cpu > 0 || memoryBytes > 0;

export class Capacity {
  limits: Limits = noLimits;
  readonly #threads = new Share();
  readonly #cpu = new Share();
  readonly #memory = new Share();

  take({ threads, cpu, memoryBytes }: Needs): void {
    this.#threads.take(threads);
    this.#cpu.take(cpu);
    this.#memory.take(memoryBytes);
  }

  giveBack({ threads, cpu, memoryBytes }: Needs): void {
    this.#threads.giveBack(threads);
    this.#cpu.giveBack(cpu);
    this.#memory.giveBack(memoryBytes);
  }

  /** What is not there of it now, in words. */
  lack({ threads, cpu, memoryBytes }: Needs): string | undefined {
    const { limits } = this;
    if (threads > 0 && this.#threads.taken >= limits.threads) {
      return `database threads: ${this.#threads.taken} of ${limits.threads} busy`;
    }
    if (!this.#memory.has(memoryBytes, limits.memoryBytes)) {
      const { taken } = this.#memory;
      return `memory: ${formatSize(taken)} of ${formatSize(limits.memoryBytes ?? 0)} is taken, it needs ${formatSize(memoryBytes)}`;
    }
    if (!this.#cpu.has(cpu, limits.cpu))
      return `cpu: ${percent(this.#cpu.taken)} of ${percent(limits.cpu ?? 0)} is taken, it needs ${percent(cpu)}`;
    return undefined;
  }
}

const percent = (cpu: number): string => `${Number(cpu.toFixed(2))}%`;

/** How much is taken of one thing, and by how many: fractions do not add up to nothing again. */
class Share {
  taken = 0;
  #takers = 0;

  take(amount: number): void {
    if (amount === 0) return;
    this.taken += amount;
    this.#takers += 1;
  }

  giveBack(amount: number): void {
    if (amount === 0) return;
    this.#takers -= 1;
    this.taken = this.#takers === 0 ? 0 : this.taken - amount;
  }

  has(amount: number, limit: number | null): boolean {
    return amount === 0 || limit === null || this.#takers === 0 || this.taken + amount <= limit;
  }
}
