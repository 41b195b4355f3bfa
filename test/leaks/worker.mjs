// A real process that runs many short runs of every kind, and says from time to time what it holds. Started with --expose-gc and a
// temporary folder of its own; in a plain Node on what was built, as a daemon is.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEngine } from '../../dist/engine/engine.js';

const [path, count, ...kinds] = process.argv.slice(2);
const folder = dirname(path);

const empty = held();
const engine = await openEngine(path, { zone: 'UTC', poolSize: 24, graceMs: 5000 });
const session = await engine.session({ actor: 'worker', admin: true });
const run = async (text) => (await session.execute(text)).toObjects();

mkdirSync(join(folder, 'jobs'));
writeFileSync(
  join(folder, 'jobs', 'small.mjs'),
  "export default async ({ services }) => { services.logger.info('here'); return (await services.database.query('SELECT 1 AS one'))[0].one; };\n",
);
engine.worker.handlers.add('inside', async ({ services }) => (await services.database.query('SELECT 1 AS one'))[0].one);
await run('CREATE TABLE hits(run_id VARCHAR)');
await run('UPSERT PROCEDURE puts(n INTEGER) AS BEGIN INSERT INTO hits VALUES ($run_id); SELECT * FROM range($n) t(i); END');
await run(`UPSERT PIPELINE small ( steps: [
  { name: find, sql: 'SELECT i FROM range(3) t(i)', as: found },
  { name: each, for_each: found, sql: 'SELECT $i', args: { i: item.i } },
  { name: sure, expect: 'SELECT count(*) = 3 FROM found' },
] )`);
await run(
  `UPSERT PIPELINE whole ( atomic: true, steps: [ { name: find, sql: 'SELECT 1 AS i', as: found }, { name: put, sql: 'SELECT * FROM found' } ] )`,
);

/** What a run of each kind is, and how often it comes among the others. */
const works = {
  sql: [6, "sql: 'INSERT INTO hits VALUES ($run_id)'"],
  called: [3, 'call: puts, params: { n: 200 }'],
  fails: [1, "sql: 'SELECT 1/0 FROM hits WHERE error($run_id) IS NULL'"],
  command: [2, "command: ['true']"],
  shell: [1, "command: 'echo out; echo err >&2; sleep 100 & exit 0'"],
  thread: [2, "handler: './jobs/small.mjs'"],
  process: [0.1, "handler: './jobs/small.mjs', isolation: process"],
  function: [2, "handler: 'inside'"],
  pipeline: [1.5, 'exe: pipeline, call: small'],
  atomic: [1, 'exe: pipeline, call: whole'],
};
const wanted = Object.entries(works).filter(([kind]) => kinds.length === 0 || kinds.includes(kind));
for (const [kind, [, work]] of wanted) await run(`UPSERT SCHEDULE ${kind}_ ( ${work}, max_retries: 0, keep: { succeeded: 1h } )`);
await run('SET cron.workers = 6');
await engine.scheduler.start();

const each = wanted.reduce((sum, [, [share]]) => sum + share, 0);
const states = {};
/** So many runs, of all kinds mixed. */
async function runs(number) {
  const shares = wanted.flatMap(([kind, [share]]) => Array(Math.max(1, Math.round((number * share) / each))).fill(kind));
  // Mixed, and in the same way each time.
  const mixed = shares.map((kind, at) => ({ kind, place: (at * 0.618034) % 1 })).sort((one, other) => one.place - other.place);
  const left = mixed.map(({ kind }) => kind);
  const lane = async () => {
    for (let kind = left.pop(); kind !== undefined; kind = left.pop()) {
      const { state } = await engine.runByHand(`${kind}_`, {});
      states[`${kind} ${state}`] = (states[`${kind} ${state}`] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 6 }, lane));
}

function held() {
  globalThis.gc?.();
  const { rss } = process.memoryUsage();
  return {
    rssMb: Math.round(rss / 1e6),
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    children: readdirSync('/proc/self/task').flatMap((task) => childrenOf(task)).length,
    temporary: readdirSync(tmpdir(), { recursive: true }).length,
  };
}

function childrenOf(task) {
  try {
    return readFileSync(`/proc/self/task/${task}/children`, 'utf8')
      .split(' ')
      .filter((pid) => pid.trim() !== '');
  } catch {
    return [];
  }
}

async function tell(what) {
  // What ends, ends in its own time: a kept thread, a log that is being written, garbage.
  await sleep(1500);
  globalThis.gc?.();
  await sleep(500);
  const [{ tables }] = await run("SELECT count(*)::INTEGER AS tables FROM duckdb_tables() WHERE schema_name = 'cuckoo_work'");
  const [{ open }] = await run(`SELECT count(*)::INTEGER AS open FROM ${engine.sql.ledger}.open_run`);
  process.stdout.write(`${JSON.stringify({ what, ...held(), tables, open })}\n`);
}

const total = Number(count);
await runs(Math.ceil(total / 10));
await tell('warm');
for (const part of [1, 2, 3]) {
  await runs(Math.ceil((total * 0.9) / 3));
  await tell(`part ${part}`);
}
process.stdout.write(`${JSON.stringify({ what: 'states', states })}\n`);
await session.close();
await engine.close();
await sleep(500);
process.stdout.write(`${JSON.stringify({ what: 'closed', ...held() })}\n`);
process.stdout.write(`${JSON.stringify({ what: 'empty', ...empty })}\n`);
