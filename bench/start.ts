// How long until the first answer: the built command beside a bare script that asks DuckDB for one row. Processes run in turns,
// so that what else the machine does hits all of them; CPU time is shown too, because it hardly minds a busy machine.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setup as build } from '../test/support/build.ts';

const budgetMs = 250;

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

export function run(args: readonly string[]): void {
  const rounds = Number(args[0] ?? 15);
  build();
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
    const starts = {
      'bare script, SELECT 1': () => start('--eval', bare, join(folder, 'bare.duckdb')),
      "cuckoo -c 'SELECT 1'": cuckoo('SELECT 1'),
      "cuckoo -c 'LIST SCHEDULES'": cuckoo('LIST SCHEDULES'),
    };
    cuckoo(schedules)();
    const costs = Object.entries(starts).map(([name, measure]) => ({ name, measure, costs: [] as Cost[] }));
    // The first round warms the disk's cache.
    for (let round = 0; round <= rounds; round++) {
      for (const { measure, costs: own } of costs) {
        const cost = measure();
        if (round > 0) own.push(cost);
      }
    }
    console.log(`${rounds} rounds, median ms              wall   added      CPU   added`);
    const medians = costs.map(({ name, costs: own }) => ({
      name,
      wallMs: median(own.map((cost) => cost.wallMs)),
      cpuMs: median(own.map((cost) => cost.cpuMs)),
    }));
    const [base, , list] = medians;
    if (base === undefined || list === undefined) return;
    for (const { name, wallMs, cpuMs } of medians) {
      const cells = [wallMs, wallMs - base.wallMs, cpuMs, cpuMs - base.cpuMs].map((ms) => ms.toFixed(0).padStart(7)).join(' ');
      console.log(`${name.padEnd(28)} ${cells}`);
    }
    const within = list.wallMs - base.wallMs <= budgetMs;
    console.log(`LIST SCHEDULES within ${budgetMs} ms of the bare script: ${within ? 'yes' : 'NO'}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
