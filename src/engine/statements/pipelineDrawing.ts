// The graph of a pipeline as a drawing for a terminal, a line for each step, as `git log --graph` draws commits. A line down belongs
// to the step above it, for as long as others wait for that step:
//
//   ○      low
//   ├─●    order      waits for low
//   │ │ ○  clean      waits for nothing
//   ● │ │  count      waits for low
//   ●─┴─┘  verify     waits for count, order and clean

export interface DrawnStep {
  readonly name: string;
  readonly after: readonly string[];
}

/** `steps` in an order in which they can run. What is too wide to be looked at is cut. */
export function drawGraph(steps: readonly DrawnStep[]): string[] {
  const waiting = new Map<string, number>();
  for (const { after } of steps) for (const parent of after) waiting.set(parent, (waiting.get(parent) ?? 0) + 1);
  /** By column: whose line goes down there. */
  const lines: (string | undefined)[] = [];
  return steps.map(({ name, after }) => {
    const from = after.map((parent) => lines.indexOf(parent)).filter((column) => column >= 0);
    const ends = new Set(
      after.filter((parent) => {
        const left = (waiting.get(parent) ?? 0) - 1;
        waiting.set(parent, left);
        return left === 0;
      }),
    );
    const ending = from.filter((column) => ends.has(lines[column] ?? ''));
    const own = ending.length > 0 ? Math.min(...ending) : freeColumn(lines, Math.max(-1, ...from));
    const drawn = draw({ lines, from, ending, own, isFirst: after.length === 0 });
    for (const column of ending) lines[column] = undefined;
    lines[own] = (waiting.get(name) ?? 0) > 0 ? name : undefined;
    return drawn;
  });
}

/** To the right of those that lead to it. */
function freeColumn(lines: readonly (string | undefined)[], behind: number): number {
  for (let column = behind + 1; column < lines.length; column++) if (lines[column] === undefined) return column;
  return Math.max(lines.length, behind + 1);
}

interface DrawnLine {
  readonly lines: readonly (string | undefined)[];
  /** The columns of those that it waits for, and of these the ones for which nobody waits any more. */
  readonly from: readonly number[];
  readonly ending: readonly number[];
  readonly own: number;
  readonly isFirst: boolean;
}

const mostColumns = 20;

function draw({ lines, from, ending, own, isFirst }: DrawnLine): string {
  const left = Math.min(own, ...from);
  const right = Math.max(own, ...from);
  let drawn = '';
  for (let column = 0; column < Math.max(lines.length, own + 1); column++) {
    if (column >= mostColumns) return `${drawn}…`;
    drawn += cell(column);
    drawn += column >= left && column < right ? '─' : ' ';
  }
  return drawn.trimEnd();

  function cell(column: number): string {
    if (column === own) return isFirst ? '○' : '●';
    const isWithin = column > left && column < right;
    if (!from.includes(column)) {
      if (lines[column] === undefined) return isWithin ? '─' : ' ';
      return isWithin ? '┼' : '│';
    }
    const [atLeft, between, atRight] = ending.includes(column) ? '└┴┘' : '├┼┤';
    return (column === left ? atLeft : column === right ? atRight : between) ?? ' ';
  }
}
