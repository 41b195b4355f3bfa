// How long until the first answer: the built command beside a bare script that asks DuckDB for one row. Processes run in turns,
// so that what else the machine does hits all of them; CPU time is shown too, because it hardly minds a busy machine. And what a
// statement that is passed through costs then, beside the same given to the bare client (measurePassed.mjs).

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measuredInPlainNode } from './plainNode.ts';
import { type Asked, type Figure, holds, median } from './report.ts';

// Required, not imported, which is how a bare script is fastest.
const bare = `const { DuckDBInstance } = require('@duckdb/node-api');
(async () => {
  const instance = await DuckDBInstance.create(process.argv[1]);
  const connection = await instance.connect();
  console.log((await connection.runAndReadAll('SELECT 1')).getRows());
  connection.closeSync();
  instance.closeSync();
})();`;

const schedules = `
UPSERT SCHEDULE nightly ( sched: '30 2 * * *', timezone: 'Europe/Berlin', sql: 'SELECT 1' );
UPSERT SCHEDULE often ( sched: every 5m, sql: 'SELECT 1' );
UPSERT SCHEDULE monthly ( sched: last business day of month at 17:30, sql: 'SELECT 1' );`;

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Passed {
  readonly name: string;
  readonly rows: number;
  readonly expected: number;
  readonly bareUs: number;
  readonly addedUs: readonly number[];
}

export async function run({ full }: Asked): Promise<Figure[]> {
  return [...starts(full ? 40 : 12), ...(await passedThrough(full ? 20_000 : 3000))];
}

function starts(rounds: number): Figure[] {
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  try {
    const witness = join(folder, 'witness.cjs');
    writeFileSync(
      witness,
      "process.on('exit', () => { const { user, system } = process.cpuUsage(); console.error('cpu', user + system); });",
    );
    const start = (...command: string[]): Cost => {
      const began = performance.now();
      const { status, stderr } = spawnSync(process.execPath, ['--require', witness, ...command], { encoding: 'utf8' });
      const wallMs = performance.now() - began;
      const cpu = /^cpu (\d+)$/m.exec(stderr)?.[1];
      if (status !== 0 || cpu === undefined) throw new Error(`${command.join(' ')} ended with ${status}: ${stderr}`);
      return { wallMs, cpuMs: Number(cpu) / 1000 };
    };
    const ours = join(folder, 'ours.duckdb');
    const cuckoo = (sql: string) => () => start('bin/cuckoo.cjs', ours, '-c', sql);
    const ways = {
      'bare script, SELECT 1': () => start('--eval', bare, join(folder, 'bare.duckdb')),
      "cuckoo -c 'SELECT 1'": cuckoo('SELECT 1'),
      "cuckoo -c 'LIST SCHEDULES'": cuckoo('LIST SCHEDULES'),
    };
    cuckoo(schedules)();
    const costs = Object.entries(ways).map(([name, measure]) => ({ name, measure, costs: [] as Cost[] }));
    // The first round warms the disk's cache.
    for (let round = 0; round <= rounds; round++) {
      for (const { measure, costs: own } of costs) {
        const cost = measure();
        if (round > 0) own.push(cost);
      }
    }
    const [bareCosts = []] = costs.map(({ costs: own }) => own);
    const wall = median(bareCosts.map(({ wallMs }) => wallMs));
    return [
      { group: 'first answer', what: 'bare script, SELECT 1: wall', unit: 'ms', ...wall },
      ...costs.slice(1).flatMap(({ name, costs: own }): Figure[] => {
        // Of one round with each other, so that noise that lasts for a while is on both sides.
        const added = (of: (cost: Cost) => number): number[] => own.map((cost, at) => of(cost) - of(bareCosts[at] ?? cost));
        const budget = name.includes('LIST') ? { budget: { atMost: 250 } } : {};
        return [
          {
            group: 'first answer',
            what: `${name}: wall over the bare script`,
            unit: 'ms',
            ...median(added((cost) => cost.wallMs)),
            ...budget,
          },
          { group: 'first answer', what: `${name}: CPU over the bare script`, unit: 'ms', ...median(added((cost) => cost.cpuMs)) },
        ];
      }),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function passedThrough(rounds: number): Promise<Figure[]> {
  const group = 'a statement that is passed through';
  const all = await measuredInPlainNode<Passed[]>('measurePassed.mjs', [String(rounds)]);
  return all.flatMap(({ name, rows, expected, bareUs, addedUs }): Figure[] => {
    holds(`rows of ${name}`, rows, expected);
    return [
      { group, what: `${name}: the bare client`, unit: 'us', value: bareUs },
      { group, what: `${name}: added`, unit: 'us', ...median(addedUs), budget: { atMost: 50 } },
    ];
  });
}
