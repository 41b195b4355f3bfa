// The whole way of a run, from the instant at which it is due to its row in the history: ten thousand at one instant, how late a few
// are beside queries, and how fast a queue of no-op functions is worked off. Measured in a plain Node on what was built, with the
// pool of threads that the command has (measureLoop.mjs).

import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { measuredInPlainNode } from './plainNode.ts';
import { type Asked, type Figure, holds, median } from './report.ts';
import { dueAtOnce, makeFile, times } from './scaleFile.ts';

interface Accounts {
  readonly closed: number;
  readonly runs: number;
  readonly failed: number;
  readonly open: number;
  readonly called: number;
  readonly twice: number;
}

interface Due {
  readonly ticks: readonly { readonly opened: number; readonly ms: number }[];
  readonly closedMs: number;
  readonly cpuUs: number;
  readonly delayMs: number;
  readonly accounts: Accounts;
}

interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

interface Late {
  readonly fires: number;
  readonly expected: number;
  readonly twice: number;
  readonly delayMs: number;
  readonly all: Quantiles;
  readonly sql: Quantiles;
  readonly handler: Quantiles;
}

interface Burn {
  readonly runs: number;
  readonly figures: readonly {
    readonly perSecond: number;
    readonly cpuUs: number;
    readonly thisThreadUs: number;
    readonly commits: number;
    readonly delayMs: number;
  }[];
  readonly accounts: Accounts;
}

const script = 'measureLoop.mjs';

export async function run({ full }: Asked): Promise<Figure[]> {
  return [...(await due(full ? 9 : 3)), ...(await late(full ? 120 : 15)), ...(await burns(full))];
}

/** Each time in a new process and a new file: nothing is known of any of the schedules. */
async function due(rounds: number): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-loop-'));
  const all: Due[] = [];
  try {
    const made = join(folder, 'made.duckdb');
    await makeFile(made, 300);
    for (let round = 0; round < rounds; round++) {
      const path = join(folder, `round_${round}.duckdb`);
      copyFileSync(made, path);
      const args = ['due', String(dueAtOnce), path, times.instant, times.made];
      const measured = await measuredInPlainNode<Due>(script, args, ['--expose-gc']);
      accountsHold(measured.accounts, dueAtOnce);
      all.push(measured);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const group = '10,000 handlers due in one instant';
  const of = (pick: (each: Due) => number): ReturnType<typeof median> => median(all.map(pick));
  return [
    { group, what: 'transactions that opened them', unit: '', ...of(({ ticks }) => ticks.length), budget: { atMost: 1 } },
    { group, what: 'opened, durably', unit: 'ms', ...of(({ ticks }) => ticks.at(-1)?.ms ?? Number.NaN), budget: { atMost: 100 } },
    { group, what: 'all closed, durably', unit: 'ms', ...of(({ closedMs }) => closedMs), budget: { atMost: 1000 } },
    { group, what: 'CPU of each run, opening included', unit: 'us', ...of(({ cpuUs }) => cpuUs) },
    { group, what: 'longest delay of the event loop', unit: 'ms', ...of(({ delayMs }) => delayMs) },
  ];
}

async function late(seconds: number): Promise<Figure[]> {
  // With the runs themselves no more than twice the cores, most of the time.
  const queries = availableParallelism();
  const { fires, expected, twice, delayMs, ...of } = await measuredInPlainNode<Late>(script, ['late', String(seconds), String(queries)]);
  holds('fires', fires, expected);
  holds('fires that came twice', twice, 0);
  const group = `from nominal time to start, beside ${queries} queries`;
  return [
    { group, what: 'SQL and handlers, p50', unit: 'ms', value: of.all.p50, budget: { atMost: 2 } },
    { group, what: 'SQL and handlers, p99', unit: 'ms', value: of.all.p99, budget: { atMost: 10 } },
    { group, what: 'handlers alone, p99', unit: 'ms', value: of.handler.p99 },
    { group, what: 'SQL alone, p99', unit: 'ms', value: of.sql.p99 },
    { group, what: 'delay of the event loop, p99', unit: 'ms', value: delayMs },
  ];
}

async function burns(full: boolean): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const workers of [1, 8, 32, 64, 256]) {
    const count = Math.min(workers * (full ? 1000 : 125), full ? 40_000 : 8000);
    const args = ['burn', String(workers), String(count), full ? '7' : '3'];
    const { runs, figures: rounds, accounts } = await measuredInPlainNode<Burn>(script, args, ['--expose-gc']);
    accountsHold(accounts, runs);
    const group = `no-op functions worked off, ${workers} worker${workers === 1 ? '' : 's'}`;
    const of = (pick: (each: Burn['figures'][number]) => number): ReturnType<typeof median> => median(rounds.map(pick));
    figures.push(
      { group, what: `runs a second, ${workers} at once`, unit: 'runs/s', ...of((each) => each.perSecond) },
      { group, what: `CPU of each run, ${workers} at once`, unit: 'us', ...of((each) => each.cpuUs) },
      { group, what: `of that, on the thread that schedules, ${workers} at once`, unit: 'us', ...of((each) => each.thisThreadUs) },
      { group, what: `commits (and syncs) for 1,000 runs, ${workers} at once`, unit: '', ...of((each) => each.commits) },
      { group, what: `delay of the event loop, p99, ${workers} at once`, unit: 'ms', ...of((each) => each.delayMs) },
    );
  }
  return figures;
}

function accountsHold({ closed, runs, failed, open, called, twice }: Accounts, expected: number): void {
  holds('closed runs', closed, expected);
  holds('different ones', runs, expected);
  holds('runs that failed', failed, 0);
  holds('runs that are open', open, 0);
  holds('runs that were called', called, expected);
  holds('runs that were called twice', twice, 0);
}
