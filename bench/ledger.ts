// What the ledger's units cost, each by itself: a tick that opens runs, their durable starts, their closings, a reading of what
// does not fit into memory, and what a run leaves on the disk. Each is one transaction, and one sync of the disk; how many of them
// the scheduler needs for a thousand runs is a figure of the loop. In a plain Node on what was built (measureLedger.mjs).

import { measuredInPlainNode } from './plainNode.ts';
import { type Asked, type Figure, holds, median } from './report.ts';

interface Measured {
  readonly figures: Readonly<Record<string, readonly { readonly ms?: number; readonly cpuMs?: number; readonly bytes?: number }[]>>;
  readonly written: boolean;
  readonly read: number;
  readonly closed: number;
  readonly rows: number;
  readonly open: number;
  readonly fileBytes: number;
}

export async function run({ full }: Asked): Promise<Figure[]> {
  const measured = await measuredInPlainNode<Measured>('measureLedger.mjs', [full ? '90' : '15']);
  holds('units that were written', measured.written, true);
  holds('runs that were read again', measured.read, 10_000);
  holds('closing rows', measured.rows, measured.closed);
  holds('open rows', measured.open, 0);
  const figures = Object.entries(measured.figures).flatMap(([name, values]): Figure[] => {
    if (name.startsWith('wal ')) {
      const what = `opened, started and closed by ${Number(name.slice(4)).toLocaleString('en-US')}`;
      return [
        { group: 'on the disk', what: `write-ahead log of a run, ${what}`, unit: 'bytes', ...median(values.map(({ bytes = 0 }) => bytes)) },
      ];
    }
    return [
      { group: 'transactions', what: `${name}: wall`, unit: 'ms', ...median(values.map(({ ms = 0 }) => ms)) },
      { group: 'transactions', what: `${name}: CPU`, unit: 'ms', ...median(values.map(({ cpuMs = 0 }) => cpuMs)) },
    ];
  });
  return [...figures, { group: 'on the disk', what: 'the file, of each run, checkpointed', unit: 'bytes', value: measured.fileBytes }];
}
