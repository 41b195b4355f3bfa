// What a benchmark answers: figures, each with its unit, how much it varied from round to round, and, where DESIGN or an issue names one,
// its budget. This file alone judges, prints and keeps them, so that all benchmarks mean the same by `met`.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';

export type Budget = { readonly atMost: number } | { readonly atLeast: number };

export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Half the distance between the quartiles of the rounds, in the same unit: a budget missed by less is not a failure. */
  readonly noise?: number;
  readonly budget?: Budget;
  /** Figures of one table of the document stand under one heading. */
  readonly group?: string;
  /** What a reader must know beside the figure; for a missed budget, why and by what it would be met. */
  readonly note?: string;
}

export interface Asked {
  /** The long windows. */
  readonly full: boolean;
  readonly args: readonly string[];
}

export type Benchmark = (asked: Asked) => Figure[] | Promise<Figure[]>;

export interface Report {
  readonly benchmark: string;
  readonly at: string;
  readonly full: boolean;
  readonly seconds: number;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly memoryGB: number;
    readonly kernel: string;
    readonly loadBefore: number;
  };
  readonly versions: Readonly<Record<string, string>>;
  readonly durability: string;
  readonly figures: readonly Figure[];
}

export type Verdict = 'met' | 'missed' | 'missed, within the noise';

export const resultsFolder = join(import.meta.dirname, 'results');

/** The median of all rounds, and how far they were apart. */
export function median(values: readonly number[]): { readonly value: number; readonly noise: number } {
  return { value: quantile(values, 0.5), noise: (quantile(values, 0.75) - quantile(values, 0.25)) / 2 };
}

/** The smallest value that at least this share of all values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** A rate of something that did not happen as often as it should is worth nothing: said before any figure. */
export function holds(what: string, actual: unknown, expected: unknown): void {
  if (!Object.is(actual, expected)) throw new Error(`${what}: ${String(actual)} instead of ${String(expected)}`);
}

export function verdict({ value, noise = 0, budget }: Figure): Verdict | null {
  if (budget === undefined) return null;
  const over = 'atMost' in budget ? value - budget.atMost : budget.atLeast - value;
  if (over <= 0) return 'met';
  return over <= noise ? 'missed, within the noise' : 'missed';
}

export async function measure(name: string, benchmark: Benchmark, asked: Asked): Promise<Report> {
  const loadBefore = loadavg()[0] ?? 0;
  const began = performance.now();
  const figures = await benchmark(asked);
  const odd = figures.find(({ value }) => !Number.isFinite(value));
  if (odd !== undefined) throw new Error(`${name}: ${odd.what} is ${odd.value}`);
  return {
    benchmark: name,
    at: new Date().toISOString(),
    full: asked.full,
    seconds: Math.round((performance.now() - began) / 1000),
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memoryGB: Math.round(totalmem() / 2 ** 30),
      kernel: release().split('-')[0] ?? '',
      loadBefore: Math.round(loadBefore * 10) / 10,
    },
    versions: versions(),
    durability: 'every commit is in the write-ahead log, synced (DuckDB, default settings)',
    figures,
  };
}

export function keep(report: Report): void {
  mkdirSync(resultsFolder, { recursive: true });
  writeFileSync(join(resultsFolder, `${report.benchmark}.json`), `${JSON.stringify(report, undefined, 2)}\n`);
}

export function printed({ benchmark, figures, seconds, machine }: Report): string {
  const lines = figures.map((figure) => {
    const { what, value, unit, noise, budget, note } = figure;
    const budgeted = budget === undefined ? '' : `${'atMost' in budget ? 'at most' : 'at least'} ${shown(Object.values(budget)[0])}`;
    const spread = noise === undefined ? '' : `+-${shown(noise)}`;
    const cells = [
      what.padEnd(64),
      shown(value).padStart(10),
      spread.padStart(9),
      unit.padEnd(8),
      budgeted.padEnd(18),
      verdict(figure) ?? '',
    ];
    return `${cells.join(' ').trimEnd()}${note === undefined ? '' : `  (${note})`}`;
  });
  return [`${benchmark} (${seconds} s, load before ${machine.loadBefore})`, ...lines, ''].join('\n');
}

export function shown(value = Number.NaN): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function versions(): Record<string, string> {
  const own = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string;
    dependencies: Record<string, string>;
  };
  let commit = 'unknown';
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  } catch {
    // A copy without its history is measured all the same.
  }
  return { cuckoo: `${own.version} (${commit})`, node: process.version, duckdb: own.dependencies['@duckdb/node-api'] ?? 'unknown' };
}
