// What a passed-through statement costs beside the same statement given to DuckDB alone: the budget is 50 us. Both sides run
// in turns in one process on one file, so that what else the machine does hits both.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { openEngine } from '../src/engine/engine.ts';
import type { parse } from '../src/parser/parse.ts';
import { setup as build } from '../test/support/build.ts';

/** What ships is measured: the build, not the sources through a loader. */
async function built(): Promise<{ openEngine: typeof openEngine; parse: typeof parse }> {
  build();
  const load = (path: string) => import(new URL(`../dist/${path}`, import.meta.url).href);
  return { ...(await load('engine/engine.js')), ...(await load('parser/parse.js')) };
}

const budgetUs = 50;

const statements = {
  'SELECT 1': 'SELECT 1',
  'a query of 300 characters': `SELECT customer, sum(amount) AS total, count(*) FILTER (amount > 100) AS large FROM orders WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-12-31' AND status IN ('paid', 'shipped', 'it''s done') GROUP BY ALL HAVING total > 10 ORDER BY total DESC NULLS LAST LIMIT 20 -- the best customers`,
  'an INSERT of one row': "INSERT INTO orders VALUES ('me', 12.50, DATE '2026-01-02', 'paid')",
};

export async function run(args: readonly string[]): Promise<void> {
  const { openEngine: open, parse: read } = await built();
  const rounds = Number(args[0] ?? 3000);
  const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
  try {
    const create = 'CREATE TABLE orders(customer VARCHAR, amount DECIMAL(10,2), day DATE, status VARCHAR)';
    const bare = await DuckDBInstance.create(join(folder, 'bare.duckdb'));
    const connection = await bare.connect();
    await connection.run(create);
    const engine = await open(join(folder, 'ours.duckdb'));
    const session = await engine.session({ actor: 'bench', admin: true });
    await session.execute(create);
    console.log(`${rounds} rounds, median us                 parse   DuckDB   Cuckoo    added`);
    for (const [name, text] of Object.entries(statements)) {
      const parsed: number[] = [];
      const theirs: number[] = [];
      const ours: number[] = [];
      const sides = [
        async () => {
          const began = performance.now();
          const result = await connection.stream(text);
          while ((await result.fetchChunk())?.rowCount) {}
          theirs.push(performance.now() - began);
        },
        async () => {
          const began = performance.now();
          const answer = await session.execute(text);
          for await (const _ of answer.columnChunks()) {
          }
          ours.push(performance.now() - began);
        },
      ];
      for (let round = 0; round < rounds; round++) {
        const began = performance.now();
        read(text);
        parsed.push(performance.now() - began);
        // Who goes first finds other caches than who goes second.
        for (const side of round % 2 === 0 ? sides : [...sides].reverse()) await side();
      }
      const added = (median(ours) - median(theirs)) * 1000;
      const cells = [median(parsed), median(theirs), median(ours)].map((ms) => (ms * 1000).toFixed(1).padStart(8)).join(' ');
      console.log(
        `${name.padEnd(32)} ${cells} ${added.toFixed(1).padStart(8)} ${added <= budgetUs ? 'within the budget' : `OVER the budget of ${budgetUs}`}`,
      );
    }
    const large = `INSERT INTO orders VALUES ${Array.from({ length: 16_000 }, (_, row) => `('customer ${row}', ${row}.50, DATE '2026-01-02', 'paid')`).join(', ')}`;
    const began = performance.now();
    read(large);
    console.log(`parsing one statement of ${(large.length / 1e6).toFixed(2)} MB: ${(performance.now() - began).toFixed(1)} ms`);
    await session.close();
    await engine.close();
    connection.closeSync();
    bare.closeSync();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
