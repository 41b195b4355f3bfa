// Whether memory is flat over many runs: how much more the process holds for each 100,000 of them, once it is warm. What DuckDB keeps of
// the file that it has written is told apart: it may be any size up to its own limit, and gives way when something else needs it. A plain
// Node on what was built (measureMemory.mjs); what is garbage is collected before each look.

import { measuredInPlainNode } from './plainNode.ts';
import { type Asked, type Figure, holds } from './report.ts';

interface Mark {
  readonly runs: number;
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly database: number;
}

interface Measured {
  readonly marks: readonly Mark[];
  readonly called: number;
  readonly closed: number;
  readonly open: number;
  readonly fileBytes: number;
}

export async function run({ full }: Asked): Promise<Figure[]> {
  const total = full ? 1_000_000 : 100_000;
  const { marks, called, closed, open, fileBytes } = await measuredInPlainNode<Measured>(
    'measureMemory.mjs',
    [String(total)],
    ['--expose-gc'],
  );
  holds('runs that were called', called, total);
  holds('closing rows', closed, total);
  holds('open rows', open, 0);
  // The first quarter is the warm-up: code is compiled, pools and caches get their size.
  const warm = marks.slice(Math.floor(marks.length / 4));
  const grows = (of: (mark: Mark) => number): { readonly value: number; readonly noise: number } =>
    slope(warm.map((mark) => [mark.runs / 100_000, of(mark) / 1e6]));
  const [last] = marks.slice(-1);
  const megabytes = (of: (mark: Mark) => number): number => (last === undefined ? Number.NaN : of(last) / 1e6);
  return [
    { group: 'growth for each 100,000 runs', what: 'heap of JavaScript', unit: 'MB', ...grows(({ heap }) => heap), budget: { atMost: 1 } },
    {
      group: 'growth for each 100,000 runs',
      what: 'the process without what DuckDB keeps of its file',
      unit: 'MB',
      ...grows(({ rss, database }) => rss - database),
      budget: { atMost: 1 },
    },
    { group: 'growth for each 100,000 runs', what: 'what DuckDB keeps of its file', unit: 'MB', ...grows(({ database }) => database) },
    { group: 'at the end', what: 'resident memory', unit: 'MB', value: megabytes(({ rss }) => rss) },
    { group: 'at the end', what: 'heap of JavaScript', unit: 'MB', value: megabytes(({ heap }) => heap) },
    { group: 'at the end', what: 'what DuckDB keeps of its file', unit: 'MB', value: megabytes(({ database }) => database) },
    { group: 'at the end', what: 'the file, of each run', unit: 'bytes', value: fileBytes },
  ];
}

/** Of the straight line that is nearest to all points, with its standard error. */
function slope(points: readonly (readonly [number, number])[]): { readonly value: number; readonly noise: number } {
  const mean = (of: (point: readonly [number, number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [meanX, meanY] = [mean(([x]) => x), mean(([, y]) => y)];
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const value = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - value * (x - meanX)) ** 2, 0);
  return { value, noise: Math.sqrt(rest / Math.max(points.length - 2, 1) / spread) };
}
