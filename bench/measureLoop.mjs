// For loop.ts, in a plain Node on what was built. Three parts, each in a process of its own: `due` (many schedules at one instant),
// `late` (from nominal time to start, beside queries), `burn` (how fast what waits is run).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { openEngine } from '../dist/engine/engine.js';
import { Catalogue } from '../dist/engine/store/duckdb/catalogue.js';
import { Connection } from '../dist/engine/store/duckdb/connection.js';
import { DuckLedger } from '../dist/engine/store/duckdb/ledger.js';
import { systemClock } from '../dist/scheduler/clock.js';

const [part, ...args] = process.argv.slice(2).map((each) => (/^\d+$/.test(each) ? Number(each) : each));
let movedMs = 0;
const clock = { ...systemClock, now: () => systemClock.now() + movedMs };
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-loop-'));
if (part === 'due') movedMs = Date.parse(args[3]) - Date.now();
const engine = await openEngine(part === 'due' ? args[1] : join(folder, 'my.duckdb'), { clock, zone: 'UTC', poolSize: 24, graceMs: 0 });
const session = await engine.session({ actor: 'bench', admin: true });
const run = async (text) => (await session.execute(text)).toObjects();
const { events } = engine.scheduler;
const fires = new Map();
engine.worker.handlers.add('noop', async ({ runId }) => {
  fires.set(runId, (fires.get(runId) ?? 0) + 1);
  return null;
});

/** Every fire has one row and one call, and nothing is left open. */
async function accounts() {
  const [row] = await run(`
    SELECT count(*)::DOUBLE AS closed, count(DISTINCT run_id)::DOUBLE AS runs, count(*) FILTER (state <> 'succeeded')::DOUBLE AS failed,
      (SELECT count(*)::DOUBLE FROM cuckoo_ledger.open_run) AS open FROM cuckoo_ledger.closed`);
  return { ...row, called: fires.size, twice: [...fires.values()].filter((count) => count !== 1).length };
}

function whenFinished(count) {
  let left = count;
  return new Promise((resolve) => {
    const off = events.on('run:finished', () => {
      left -= 1;
      if (left > 0) return;
      off();
      resolve();
    });
  });
}

const cpuUs = (since) => {
  const { user, system } = process.cpuUsage(since);
  return user + system;
};

const quantile = (values, share) => values.sort((a, b) => a - b)[Math.max(0, Math.ceil(values.length * share) - 1)];

/** In a file of scaleFile.ts, by a clock that is moved to a moment before the instant. */
async function due(count, _path, instant) {
  await run('SET cron.workers = 1000');
  await engine.scheduler.start();
  const ticks = [];
  events.on('tick:done', ({ opened }) => {
    if (opened > 0) ticks.push({ opened, ms: clock.now() - at });
  });
  const finished = whenFinished(count);
  const at = Date.parse(instant);
  movedMs = at - 2000 - Date.now();
  // The wheel was set to turn by the time before.
  await engine.scheduler.change(async () => {});
  await new Promise((resolve) => setTimeout(resolve, 1000));
  globalThis.gc?.();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  await finished;
  const closedMs = clock.now() - at;
  const usedUs = cpuUs(cpu);
  delay.disable();
  return { ticks, closedMs, cpuUs: usedUs / count, delayMs: delay.max / 1e6, accounts: await accounts() };
}

async function late(seconds, queries) {
  await run('SET cron.workers = 16');
  await run('CREATE TABLE numbers AS SELECT range AS i FROM range(2000000)');
  // As precise as the clock by which instants are told, and finer than its milliseconds.
  let origin = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 20_000; look += 1) origin = Math.min(origin, Date.now() + 1 - performance.now());
  const lateness = { sql: [], handler: [] };
  const nominal = new Map();
  let measuring = false;
  events.on('run:started', ({ run: { exe, scheduledAt, schedule } }) => {
    if (!measuring) return;
    lateness[exe].push(origin + performance.now() - scheduledAt);
    const key = `${schedule} ${scheduledAt}`;
    nominal.set(key, (nominal.get(key) ?? 0) + 1);
  });
  const each = 4;
  for (let index = 0; index < each; index += 1) {
    await run(`UPSERT SCHEDULE handler_${index} ( sched: every 1s, handler: 'noop', overlap: allow )`);
    await run(`UPSERT SCHEDULE sql_${index} ( sched: every 1s, sql: 'SELECT 1', overlap: allow )`);
  }
  await engine.scheduler.start();
  let stop = false;
  const asked = Array.from({ length: queries }, async () => {
    const own = await engine.session({ actor: 'reader', admin: false });
    let count = 0;
    while (!stop) {
      await (await own.execute('SELECT sum(hash(i)) FROM numbers')).toArray();
      count += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await own.close();
    return count;
  });
  await new Promise((resolve) => setTimeout(resolve, 3000 - (Date.now() % 1000) + 500));
  measuring = true;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  measuring = false;
  delay.disable();
  stop = true;
  const answered = (await Promise.all(asked)).reduce((sum, count) => sum + count, 0);
  const all = [...lateness.sql, ...lateness.handler];
  return {
    fires: all.length,
    expected: 2 * each * seconds,
    twice: [...nominal.values()].filter((count) => count > 1).length,
    answered,
    delayMs: delay.percentile(99) / 1e6,
    ...Object.fromEntries(
      Object.entries({ all, ...lateness }).map(([name, values]) => [name, { p50: quantile(values, 0.5), p99: quantile(values, 0.99) }]),
    ),
  };
}

async function burn(workers, count, rounds) {
  const calls = { write: 0, tick: 0 };
  for (const name of Object.keys(calls)) {
    const method = DuckLedger.prototype[name];
    DuckLedger.prototype[name] = function counted(...given) {
      calls[name] += 1;
      return method.apply(this, given);
    };
  }
  await run(`SET cron.workers = ${workers}`);
  await run('UPSERT QUEUE work ( weight: 1 )');
  await run("UPSERT SCHEDULE job ( handler: 'noop', queue: work, overlap: allow )");
  await engine.scheduler.start();
  const connection = new Connection(await engine.database.connect());
  const stored = await new Catalogue(connection, engine.sql).schedule('job');
  await connection.close();
  const figures = [];
  let total = 0;
  for (let round = -1; round < rounds; round += 1) {
    const runs = round < 0 ? Math.min(count, 500) : count;
    await run('PAUSE QUEUE work');
    await engine.scheduler.byHand(Array.from({ length: runs }, () => engine.manualRun(stored)));
    total += runs;
    const finished = whenFinished(runs);
    globalThis.gc?.();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const before = calls.write;
    const elu = performance.eventLoopUtilization();
    const cpu = process.cpuUsage();
    const began = performance.now();
    await run('RESUME QUEUE work');
    await finished;
    const ms = performance.now() - began;
    delay.disable();
    if (round < 0) continue;
    figures.push({
      perSecond: (runs * 1000) / ms,
      cpuUs: cpuUs(cpu) / runs,
      thisThreadUs: (performance.eventLoopUtilization(elu).active * 1000) / runs,
      commits: ((calls.write - before) * 1000) / runs,
      delayMs: delay.percentile(99) / 1e6,
    });
  }
  return { runs: total, figures, accounts: await accounts() };
}

try {
  const measured = await { due, late, burn }[part](...args);
  console.log(JSON.stringify({ measured }));
} finally {
  await session.close();
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
