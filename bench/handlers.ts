// What a handler costs beside its own work: the executor alone, without a ledger. Measured in a plain Node on what was built
// (measureHandlers.mjs), because every thread and every process inherits the loader that reads TypeScript here, and would pay for it.

import { measuredInPlainNode } from './plainNode.ts';
import { type Asked, type Figure, holds, median } from './report.ts';

interface Way {
  readonly name: string;
  readonly runs: number;
  readonly answered: number;
  readonly us: readonly number[];
  readonly cpuUs: readonly number[];
}

export async function run({ full }: Asked): Promise<Figure[]> {
  const ways = await measuredInPlainNode<Way[]>('measureHandlers.mjs', [full ? '5' : '1']);
  return ways.flatMap(({ name, runs, answered, us, cpuUs }): Figure[] => {
    holds(`answers of ${name}`, answered, runs);
    return [
      { what: `${name}: each run`, unit: 'us', ...median(us) },
      { what: `${name}: CPU of this process`, unit: 'us', ...median(cpuUs) },
    ];
  });
}
