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

/** Why a budget is missed, from profiles, what was tried, and what the next step would be. */
const explained: Readonly<Record<string, string>> = {
  sql: `**Why a run alone costs more than its budget.** It is two transactions: one opens it, one carries it out and closes it. DuckDB 1.5.6 takes 0.3 to 1 ms of CPU for each small statement, of which there are seven, and about
0.3 ms for each table that a commit has written. The profile (\`perf\`) is flat: malloc and free 12 %, no function above 5 %. Tried: prepared statements (1.2 ms instead of 1.15 for the closing row: carrying it out costs, not planning),
an appender (1.2 ms), fewer columns (0.02 ms each). The largest step was to let DuckDB's own threads go while nothing needs them: a commit of two rows took 1.2 to 2.4 ms of CPU with one thread that waits for work, 0.3 without. Where runs wait, they
share transactions and are below the budget. Next: a narrow row for each close, moved into the history in batches.

**Why a query of 30 ms is slower as a run.** Two commits, and company only after 15 ms: threads that come earlier would make every small statement slower. One of 150 ms loses 2 %.`,
  loop: `**Why a fire is later than 2 ms.** A run is durable before it begins. A tick is one transaction of four statements: 2 to 3 ms of DuckDB's CPU, up to 1 ms of the timer, 0.4 ms to the start; beside queries on both cores each of these waits for its turn.
Without company for the queries (see sql) the median is 5.3 ms instead of 6.3. Next: to open what falls due a few milliseconds ahead, which needs a rule for definitions that change in between; fewer statements in a tick.

**Why 10,000 in one instant take longer.** Of the opening, planning takes 28 ms, deciding which may start 69, the INSERT 56; the rest is JavaScript of a cold process and its garbage. Then 170 to 260 us of CPU for each run, of which DuckDB has 30
(batches of a thousand) and the objects of a run, its signal and its log the rest. Tried: starts in a transaction lane of their own, an appender for closings, literal lists instead of constants, larger young generations: none was better.`,
  history: `**Why \`SELECT .. FROM cron.runs WHERE run_id = ..\` takes longer.** The view shows ids as text, and DuckDB 1.5.6 does not turn a comparison with a cast UUID around (it does for dates and times), so it writes out every id, 46 ns each. \`LIST RUNS WHERE
run_id = ..\` and \`DESCRIBE RUN\` compare ids as they are stored. Next: a change in DuckDB; a second, textual column would nearly double the history.`,
  daemon: `**Why fires are later than 50 ms beside 500 clients.** Both cores are taken: 500 handlers a second in threads and their ledger need 0.6 to 0.8 of a core, and each read 5 to 40 ms of CPU, because the lists aggregate the history of the schedules they show.
Whoever would wait for more than half a second is told so (429); lists are let in one at a time. Next: a row for each schedule with its newest close, so that lists need no history.`,
  jobDirectory: `**Why the others are later than 50 ms meanwhile.** They are fifty SQL schedules of one instant on four workers, late by 0.1 s before any file is there; defining takes all of one core, which the fires, their SQL and their ends share. Transactions of 150 ms instead of 500 let one more file in sooner (1.1 s before), and changed nothing for the others. Next: a rest between them while runs are late.`,
  scale: `**Why a changed definition takes longer than 10 ms.** UPSERT reads and writes twelve small statements (12 to 14 ms of CPU), then time is handled up to the change, committed, and what has changed is read back. It does not grow with the number of schedules.
With 10,000 due at once the default of 32 workers decides: 313 commits; see loop for a thousand workers.`,
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

${tables.join('\n')}${missed(figures) && explained[benchmark] !== undefined ? `\n${explained[benchmark]}\n` : ''}`;
}

function missed(figures: readonly Figure[]): boolean {
  return figures.some((figure) => (verdict(figure) ?? 'met') !== 'met');
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
**Why no-op runs are not 3 times BullMQ's and 10 times graphile-worker's.** Each run of Cuckoo is opened, started and closed durably, and leaves a row of 40 columns; at 1,000 workers that is 156 us of CPU, of which DuckDB has about 30 and JavaScript the rest; 3 times
BullMQ would be 22. With few workers each commit carries few runs, and one commit with its statements takes 3 to 5 ms of DuckDB's CPU whatever its size: so \`cron.workers\` decides. What has helped: the writer waits one turn for all who end together; a worker begins
the next run while the end of the one before becomes durable; versions are read together: at 32 workers from 390 to 2,000 runs a second. Next: fewer statements for each commit, and lighter objects for each run. SQL runs share transactions; peers that batch (graphile-worker, pg-boss) keep no history, or less of it.

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
