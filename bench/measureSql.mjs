// For sql.ts, in a plain Node on what was built: the same statements by hand and as runs, in turns.

import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../dist/engine/engine.js';
import { Catalogue } from '../dist/engine/store/duckdb/catalogue.js';
import { Connection } from '../dist/engine/store/duckdb/connection.js';

const [rounds, short, many, heavy] = process.argv.slice(2).map(Number);
const { DuckDBInstance } = createRequire(import.meta.url)('@duckdb/node-api');
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-sql-'));

const insert = 'INSERT INTO noted VALUES (1)';
const bodies = {
  heavy: 'SELECT count(DISTINCT hash(i) % 100000) FROM numbers',
  longer: 'SELECT count(DISTINCT hash(i) % 2000000) FROM numbers',
};
const shape = ['CREATE TABLE noted(i INTEGER)', 'CREATE TABLE numbers AS SELECT range AS i FROM range(4000000)'];

const atOnce = 4;
const instance = await DuckDBInstance.create(join(folder, 'bare.duckdb'), { threads: '2' });
const bare = await instance.connect();
const others = await Promise.all(Array.from({ length: atOnce }, () => instance.connect()));
for (const statement of shape) await bare.run(statement);
const engine = await openEngine(join(folder, 'my.duckdb'), { zone: 'UTC', poolSize: 24, graceMs: 0 });
const session = await engine.session({ actor: 'bench', admin: true });
const run = async (text) => (await session.execute(text)).toObjects();
for (const statement of [...shape, 'UPSERT QUEUE work ( weight: 1 )']) await run(statement);

async function schedule(name, body) {
  await run(`UPSERT SCHEDULE ${name} ( sql: '${body}', queue: work, overlap: allow, max_retries: 0 )`);
  const connection = new Connection(await engine.database.connect());
  const stored = await new Catalogue(connection, engine.sql).schedule(name);
  await connection.close();
  return stored;
}

async function cost(count, work) {
  globalThis.gc?.();
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: (count * 1000) / ms, wallMs: ms / count, cpuMs: (user + system) / 1000 / count };
}

async function byHand(count, body, connection = bare) {
  for (let at = 0; at < count; at += 1) {
    await connection.run('BEGIN');
    await connection.run(body);
    await connection.run('COMMIT');
  }
}

async function oneByOne(count, stored) {
  for (let at = 0; at < count; at += 1) {
    const own = engine.manualRun(stored);
    const finished = engine.scheduler.finished(own.runId);
    await engine.scheduler.byHand([own]);
    await finished;
  }
}

/** Waiting already, so that only running them is measured. */
async function waiting(count, stored) {
  await run('PAUSE QUEUE work');
  await engine.scheduler.byHand(Array.from({ length: count }, () => engine.manualRun(stored)));
  return () =>
    new Promise((resolve) => {
      let left = count;
      const off = engine.scheduler.events.on('run:finished', () => {
        left -= 1;
        if (left > 0) return;
        off();
        resolve();
      });
      void run('RESUME QUEUE work');
    });
}

try {
  const small = await schedule('small', insert);
  const large = Object.fromEntries(
    await Promise.all(Object.entries(bodies).map(async ([name, body]) => [name, await schedule(name, body)])),
  );
  await engine.scheduler.start();
  const costs = {};
  const note = (name, each) => {
    costs[name] ??= [];
    costs[name].push(each);
  };
  let expected = 0;
  for (let round = -1; round < rounds; round += 1) {
    const measured = async (name, count, work) => {
      const each = await cost(count, work);
      if (round >= 0) note(name, each);
    };
    await measured('by hand', short, () => byHand(short, insert));
    await run('SET cron.workers = 4');
    await measured('run alone', short, () => oneByOne(short, small));
    expected += short;
    for (const workers of [1, 8, 32, 128]) {
      await run(`SET cron.workers = ${workers}`);
      const count = workers === 1 ? Math.round(many / 4) : many;
      const go = await waiting(count, small);
      await measured(`waiting, ${workers} workers`, count, go);
      expected += count;
    }
    await run('SET cron.workers = 4');
    for (const [name, body] of Object.entries(bodies)) {
      await measured(`${name} by hand`, heavy, () => byHand(heavy, body));
      await measured(`${name} as runs`, heavy, () => oneByOne(heavy, large[name]));
      const many = heavy * atOnce;
      await measured(`${name} by hand, ${atOnce} at once`, many, () => Promise.all(others.map((each) => byHand(heavy, body, each))));
      await measured(`${name} as runs, ${atOnce} at once`, many, await waiting(many, large[name]));
    }
  }
  const [accounts] = await run(`
    SELECT count(*) FILTER (schedule = 'small' AND state = 'succeeded')::DOUBLE AS succeeded,
      count(DISTINCT run_id) FILTER (schedule = 'small')::DOUBLE AS runs, count(*) FILTER (state <> 'succeeded')::DOUBLE AS failed,
      (SELECT count(*)::DOUBLE FROM noted) AS effects, (SELECT count(*)::DOUBLE FROM cuckoo_ledger.open_run) AS open
    FROM cuckoo_ledger.closed`);
  console.log(JSON.stringify({ measured: { costs, accounts: { ...accounts, expected } } }));
} finally {
  await session.close();
  await engine.close();
  for (const connection of [bare, ...others]) connection.closeSync();
  rmSync(folder, { recursive: true, force: true });
}
