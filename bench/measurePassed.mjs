// For coldStart.ts: what a passed-through statement costs beside the same statement given to DuckDB alone. Both sides run in turns in one
// process on files of the same kind, so that what else the machine does hits both.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { openEngine } from '../dist/engine/engine.js';

const rounds = Number(process.argv[2] ?? 3000);
/** The median of each is one figure; how far those are apart is the noise. */
const parts = 9;

const statements = {
  'SELECT 1': { text: 'SELECT 1', rows: 1 },
  'a query of 300 characters': {
    text: `SELECT customer, sum(amount) AS total, count(*) FILTER (amount > 100) AS large FROM orders WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-12-31' AND status IN ('paid', 'shipped', 'it''s done') GROUP BY ALL HAVING total > 10 ORDER BY total DESC NULLS LAST LIMIT 20 -- the best customers`,
    rows: 0,
  },
  'an INSERT of one row': { text: "INSERT INTO orders VALUES ('me', 1.50, DATE '2027-01-02', 'paid')", rows: 1 },
};

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
const create = 'CREATE TABLE orders(customer VARCHAR, amount DECIMAL(10,2), day DATE, status VARCHAR)';
const bare = await DuckDBInstance.create(join(folder, 'bare.duckdb'));
const connection = await bare.connect();
await connection.run(create);
const engine = await openEngine(join(folder, 'ours.duckdb'));
const session = await engine.session({ actor: 'bench', admin: true });
await session.execute(create);

const median = (values) => values.sort((left, right) => left - right)[values.length >> 1];

/** Read to the end, as everybody does. */
const sides = {
  async theirs(text) {
    const result = await connection.stream(text);
    let rows = 0;
    for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk())
      rows += chunk.rowCount;
    return rows;
  },
  async ours(text) {
    const answer = await session.execute(text);
    let rows = 0;
    for await (const chunk of answer.columnChunks()) rows += chunk.rowCount ?? chunk[0]?.length ?? 0;
    return rows === 0 ? (answer.rowsChanged ?? 0) : rows;
  },
};

try {
  const measured = [];
  for (const [name, { text, rows: each }] of Object.entries(statements)) {
    const addedUs = [];
    const bareUs = [];
    let rows = 0;
    let asked = 0;
    for (let part = -1; part < parts; part += 1) {
      const times = { theirs: [], ours: [] };
      for (let round = 0; round < rounds / parts; round += 1) {
        // Who goes first finds other caches than who goes second.
        const order = round % 2 === 0 ? ['theirs', 'ours'] : ['ours', 'theirs'];
        for (const side of order) {
          const began = performance.now();
          const answered = await sides[side](text);
          times[side].push((performance.now() - began) * 1000);
          if (side === 'ours') rows += answered;
        }
        asked += 1;
      }
      if (part < 0) continue;
      const theirs = median(times.theirs);
      bareUs.push(theirs);
      addedUs.push(median(times.ours) - theirs);
    }
    measured.push({ name, rows, expected: asked * each, bareUs: median(bareUs), addedUs });
  }
  console.log(JSON.stringify({ measured }));
} finally {
  await session.close();
  await engine.close();
  connection.closeSync();
  bare.closeSync();
  rmSync(folder, { recursive: true, force: true });
}
