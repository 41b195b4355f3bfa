// For memory.ts, in a plain Node on what was built, with --expose-gc.

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../dist/engine/engine.js';
import { Catalogue } from '../dist/engine/store/duckdb/catalogue.js';
import { Connection } from '../dist/engine/store/duckdb/connection.js';

const total = Number(process.argv[2] ?? 150_000);
const marks = 20;
/** So many wait at once. */
const batch = 2500;
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-memory-'));
const path = join(folder, 'my.duckdb');
const engine = await openEngine(path, { zone: 'UTC', poolSize: 24, graceMs: 0 });
const session = await engine.session({ actor: 'bench', admin: true });
const run = async (text) => (await session.execute(text)).toObjects();
let called = 0;
engine.worker.handlers.add('noop', async () => {
  called += 1;
  return null;
});
await run('SET cron.workers = 256');
await run("UPSERT SCHEDULE job ( handler: 'noop', overlap: allow )");
await engine.scheduler.start();
const connection = new Connection(await engine.database.connect());
const stored = await new Catalogue(connection, engine.sql).schedule('job');

let finished = 0;
let told = () => {};
engine.scheduler.events.on('run:finished', () => {
  finished += 1;
  told();
});

async function mark() {
  // What a run has left to be collected is collected.
  for (let time = 0; time < 3; time += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    globalThis.gc();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  const [row] = (await connection.table('SELECT sum(memory_usage_bytes)::DOUBLE FROM duckdb_memory()')).rows;
  return { runs: finished, rss, heap: heapUsed, external, database: Number(row[0]) };
}

try {
  const measured = [];
  for (let opened = 0; opened < total; opened += batch) {
    const count = Math.min(batch, total - opened);
    const done = new Promise((resolve) => {
      told = () => {
        if (finished >= opened + count) resolve();
      };
    });
    await engine.scheduler.byHand(Array.from({ length: count }, () => engine.manualRun(stored)));
    await done;
    if (Math.floor((finished * marks) / total) > measured.length) {
      measured.push(await mark());
      if (measured.length % 5 === 0) console.log(`${finished} runs, ${(measured.at(-1).rss / 1e6).toFixed(0)} MB`);
    }
  }
  const [row] = (
    await connection.table(
      'SELECT (SELECT count(*) FROM cuckoo_ledger.closed)::DOUBLE, (SELECT count(*) FROM cuckoo_ledger.open_run)::DOUBLE',
    )
  ).rows;
  await run('CHECKPOINT');
  const answer = { marks: measured, called, closed: row[0], open: row[1], fileBytes: statSync(path).size / finished };
  console.log(JSON.stringify({ measured: answer }));
} finally {
  await connection.close();
  await session.close();
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
