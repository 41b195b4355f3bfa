// `npm run bench:document`: docs/benchmarks.md, made of bench/results/*.json and the words below. No figure stands in it by hand.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Figure, type Report, resultsFolder, shown, verdict } from './report.ts';

const chapters: Readonly<Record<string, string>> = {
  parser: 'Reading statements: text to syntax tree, and the way of what is not ours past it.',
  cadence:
    "The next fire of a compiled cron, 30 expressions in 8 zones, beside croner's compiled `nextRun` and cron-parser in the same process.",
  coldStart:
    'From the shell to the first answer, beside a bare Node script that asks DuckDB for one row; and what a statement that is not ours costs more than with the bare client.',
  sql: 'A SQL run beside the same statement by hand: the bare client, a file of its own, BEGIN, INSERT, COMMIT. CPU is that of all threads. Runs that wait at the same moment share a transaction.',
  handlers: 'The executor alone, without a ledger: a function of the host, a module in a thread, in a process.',
  loop: 'The scheduler with its ledger: many due in one instant, lateness beside queries, and how fast what waits is worked off by no-op functions of the host, with durable history.',
  ledger: 'What one unit of the ledger costs, by its size.',
  history: 'Questions to ten million runs that have ended. The best time of several counts as little as the worst: medians.',
  memory: 'Resident memory and heap while runs go by.',
  hostile: 'Fifty schedules that fire every second, beside work that does what it should not.',
  daemon:
    '500 clients over HTTP, mixed reads and `run` calls, beside 500 no-op handler schedules that fire every second, in one `cuckoo daemon`.',
  scale:
    'The same measurements at 10,000, 100,000 and 1,000,000 schedules. The slope is that of a line through the logarithms: 1 grows as the number does.',
  catchup: 'A start after 26 hours in which 200 schedules should have fired every second.',
  jobDirectory: 'Ten thousand job files appear at once.',
};

interface Block {
  readonly row: string;
  readonly durability: string;
  readonly best: string;
  readonly entries: readonly (Omit<Figure, 'value'> & {
    readonly system: string;
    readonly value?: number;
    readonly cpuUs?: number;
    readonly incorrect?: string;
  })[];
}

interface PeersReport extends Report {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly tables: readonly { readonly title: string; readonly note: string; readonly blocks: readonly Block[] }[];
}

export function benchmarksDocument(): string {
  const reports = Object.keys(chapters).flatMap((name) => read<Report>(name) ?? []);
  const peers = read<PeersReport>('peers');
  const all = [...reports, ...(peers === undefined ? [] : [peers])].flatMap(({ figures }) => figures);
  const verdicts = all.map(verdict).filter((each) => each !== null);
  const met = verdicts.filter((each) => each === 'met').length;
  const [one] = reports;
  return `# Benchmarks

What Cuckoo costs, measured by programs that are part of it. Every figure here comes from \`bench/results/*.json\`, which the benchmarks write.

\`\`\`sh
npm run bench                    # all, about 15 minutes on a quiet machine with two cores
npm run bench -- history         # one of them
npm run bench -- --full          # the long windows
bench/peers/run.sh               # beside BullMQ, graphile-worker, pg-boss, pg_cron, croner and node-cron (bench/peers/README.md)
npm run bench:document           # writes this page
\`\`\`

**Budgets: ${met} met, ${verdicts.length - met} missed.** A budget is met by the median of the rounds; \`+-\` is half the distance between the quartiles. What is missed says why.

## Machine and method

${one === undefined ? '' : machineOf(one)}

- **Correct before fast.** Each benchmark counts what it did before it says how fast: fires observed = expected, none twice, nothing left open. Otherwise it fails and has no figure.
- **Durable.** Every commit is in the write-ahead log and synced. There is no relaxed mode.
- **Rounds are interleaved**, so that a busier moment hits all that are compared. Each benchmark has a process of its own; what inherits a loader runs in plain Node on what was built.
- **CPU** is that of all threads of the process: DuckDB's and the pool's, not the event loop's alone.

${reports.map(chapter).join('\n')}
${peers === undefined ? '' : peersChapter(peers)}
## What is not measured

- Other machines: two cores, one disk. More cores help queries; the scheduler itself is one thread, and its commits follow each other.
- Networks and file systems over a network. The file is meant to lie on a local disk.
- Windows and macOS.
- A file that other programs write at the same time: DuckDB allows one process.
`;
}

function machineOf({ machine, versions }: Report): string {
  const { processor, cores, memoryGB, kernel } = machine;
  const software = Object.entries(versions).flatMap(([name, version]) => (name === 'cuckoo' ? [] : [`${name} ${version}`]));
  return `${processor}, ${cores} cores, ${memoryGB} GB, Linux ${kernel}; ${software.join(', ')}. A virtual machine: its disk and its cores are shared with others.`;
}

function chapter({ benchmark, full, seconds, machine, figures }: Report): string {
  const groups = [...new Set(figures.map(({ group }) => group))];
  const tables = groups.map((group) => {
    const own = figures.filter((figure) => figure.group === group);
    return `${group === undefined ? '' : `**${group}**\n\n`}${table(own)}\n${notes(own)}`;
  });
  return `## ${benchmark}

${chapters[benchmark] ?? ''} (${full ? 'long windows, ' : ''}${seconds} s; load before ${machine.loadBefore})

${tables.join('\n')}`;
}

function table(figures: readonly Figure[]): string {
  const hasBudget = figures.some(({ budget }) => budget !== undefined);
  const head = ['', 'measured', '+-', 'unit', ...(hasBudget ? ['budget', ''] : [])];
  const rows = figures.map((figure) => {
    const { what, value, noise, unit, budget } = figure;
    const limit = budget === undefined ? '' : 'atMost' in budget ? `at most ${shown(budget.atMost)}` : `at least ${shown(budget.atLeast)}`;
    const judged = verdict(figure);
    const said = judged === null || judged === 'met' ? (judged ?? '') : `**${judged}**`;
    return [escaped(what), shown(value), noise === undefined ? '' : shown(noise), unit, ...(hasBudget ? [limit, said] : [])];
  });
  return [head, head.map((_, at) => (at === 0 ? '---' : '---:')), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function notes(figures: readonly Figure[]): string {
  const said = figures.flatMap(({ what, note }) => (note === undefined ? [] : [`- ${what}: ${note}`]));
  return said.length === 0 ? '' : `\n${said.join('\n')}\n`;
}

function peersChapter({ seconds, full, machine, figures, tables, versions }: PeersReport): string {
  const budgets = figures.filter(({ budget }) => budget !== undefined);
  const known = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const parts = tables.map(({ title, note, blocks }) => {
    const rows = blocks.flatMap(({ row, durability, best, entries }) =>
      entries.map(({ system, value, noise, unit, cpuUs, incorrect, note: remark }) => {
        const measured = incorrect === undefined ? `${shown(value)} ${unit}` : `incorrect: ${incorrect}`;
        const cells = [row, durability, system === best ? `**${system}**` : system, measured, noise === undefined ? '' : shown(noise)];
        return [...cells, cpuUs === undefined ? '' : shown(cpuUs), remark ?? ''].map((cell) => escaped(cell)).join(' | ');
      }),
    );
    const head = ['what', 'column', 'system', 'measured', '+-', 'CPU, us each', ''].join(' | ');
    return `### ${title}\n\n${note}. The best of each row and column is bold.\n\n| ${head} |\n|---|---|---|---:|---:|---:|---|\n${rows.map((row) => `| ${row} |`).join('\n')}\n`;
  });
  return `## Beside the peers

\`bench/peers/run.sh\`, all in one run on this machine (${full ? 'long windows, ' : ''}${seconds} s, load before ${machine.loadBefore}); who they are, their settings and how each is measured: [bench/peers/README.md](../bench/peers/README.md). Versions: ${known.join(', ')}.

${table(budgets)}
${notes(budgets)}
${parts.join('\n')}
`;
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|');
}

function read<Kind>(name: string): Kind | undefined {
  const path = join(resultsFolder, `${name}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Kind) : undefined;
}

export const documentPath = join(import.meta.dirname, '../docs/benchmarks.md');

if (process.argv[1] === import.meta.filename) writeFileSync(documentPath, benchmarksDocument());
