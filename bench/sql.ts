// What a SQL run costs beside the same statement by hand: BEGIN, an INSERT of one row, COMMIT, by the bare client on a file of its own.
// Alone, one after the other; as many that wait, which share transactions; and queries that take longer than all that.

import { measuredInPlainNode } from './plainNode.ts';
import { type Benchmark, type Figure, holds, median } from './report.ts';

interface Cost {
  readonly perSecond: number;
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Measured {
  readonly costs: Readonly<Record<string, readonly Cost[]>>;
  readonly accounts: Readonly<Record<'succeeded' | 'runs' | 'failed' | 'effects' | 'open' | 'expected', number>>;
}

const addedBudgetMs = 1.6;

export const run: Benchmark = async ({ full, args }) => {
  const [rounds = full ? 9 : 5, short = full ? 500 : 150, many = full ? 5_000 : 1_500, heavy = full ? 40 : 12] = args.map(Number);
  const { costs, accounts } = await measuredInPlainNode<Measured>('measureSql.mjs', [rounds, short, many, heavy].map(String), [
    '--expose-gc',
  ]);
  const { expected } = accounts;
  holds('runs that succeeded', accounts.succeeded, expected);
  holds('different runs', accounts.runs, expected);
  holds('effects', accounts.effects, expected);
  holds('runs that failed', accounts.failed, 0);
  holds('runs left open', accounts.open, 0);

  const of = (name: string, take: (cost: Cost) => number): number[] => (costs[name] ?? []).map(take);
  const hand = of('by hand', ({ cpuMs }) => cpuMs);
  /** Of the same round, because a busier machine hits both. */
  const added = (name: string): number[] => of(name, ({ cpuMs }) => cpuMs).map((cpuMs, round) => cpuMs - (hand[round] ?? Number.NaN));
  const ratio = (name: string, how: string): number[] => {
    const own = of(`${name} as runs${how}`, ({ wallMs }) => wallMs);
    return of(`${name} by hand${how}`, ({ wallMs }) => wallMs).map((wallMs, round) => wallMs / (own[round] ?? Number.NaN));
  };
  const waiting = Object.keys(costs).filter((name) => name.startsWith('waiting'));
  const budget = { atMost: addedBudgetMs };
  const figures: Figure[] = [
    { group: 'One INSERT', what: 'by hand, BEGIN and COMMIT', unit: 'ms CPU', ...median(hand) },
    { group: 'One INSERT', what: 'a run alone: added, opening included', unit: 'ms CPU', budget, ...median(added('run alone')) },
    ...waiting.map((name): Figure => ({ group: 'One INSERT', what: `${name}: added`, unit: 'ms CPU', budget, ...median(added(name)) })),
    ...waiting.map((name): Figure => ({ group: 'Rate', what: name, unit: 'runs/s', ...median(of(name, ({ perSecond }) => perSecond)) })),
    ...(['heavy', 'longer'] as const).flatMap((name): Figure[] => {
      const ms = median(of(`${name} by hand`, ({ wallMs }) => wallMs)).value;
      const what = `a query of ${ms.toFixed(0)} ms: by hand / as a run`;
      return [
        { group: 'Queries', what: `${what}, one after the other`, unit: 'times', ...median(ratio(name, '')) },
        {
          group: 'Queries',
          what: `${what}, four at once`,
          unit: 'times',
          budget: { atLeast: 0.95 },
          ...median(ratio(name, ', 4 at once')),
        },
      ];
    }),
  ];
  return figures;
};
