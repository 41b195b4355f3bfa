// All peers in one run: the servers are started, each cell is measured in a process of its own, in rounds (A B C A B C), and the servers are
// stopped again. `node main.mjs [--quick | --full]`; run.sh installs what it needs before. The figures go to ../results/peers.json.

import { execFileSync, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cellsOf, figuresOf, ratiosOf, shown, tablesOf } from './cells.mjs';
import { oneMinute, register, untilMinute } from './pgCron.mjs';
import { Servers, settings } from './servers.mjs';

const words = process.argv.slice(2);
const size = words.includes('--full') ? 'full' : words.includes('--quick') ? 'quick' : 'plain';
/** For who works on one part of this: only cells whose name has this text, and nothing is written. */
const only = words.find((word) => !word.startsWith('--'));
const here = import.meta.dirname;
const folder = process.env['CUCKOO_PEERS_FOLDER'] ?? mkdtempSync(join(tmpdir(), 'cuckoo-peers-'));
const children = new Set();
let stopServers = async () => {};
let stopping = false;
let stopped;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop().then(() => process.exit(130)));

try {
  await main();
} catch (error) {
  if (!stopping) console.error(error);
  process.exitCode = 1;
} finally {
  await stop();
}

async function main() {
  const began = performance.now();
  const loadBefore = loadavg()[0];
  const servers = new Servers(folder);
  stopServers = () => servers.stop();
  const list = await servers.start();
  const cells = cellsOf({ size, servers: list }).filter(({ name }) => only === undefined || name.includes(only));
  const rounds = Math.max(...cells.map((cell) => cell.rounds));
  const minutes = [];
  for (let round = 0; round < rounds; round++) {
    const due = cells.filter((cell) => round < cell.rounds);
    minutes.push(...due.filter((cell) => cell.minute));
    for (const cell of due.filter((each) => !each.minute)) {
      // What needs the boundary of a minute has it when it comes, between the others.
      if (minutes.length > 0 && untilMinute() > 10_000 && untilMinute() < 16_000) await measure(minutes.shift(), round);
      await measure(cell, round);
    }
  }
  for (const cell of minutes) {
    while (untilMinute() < 10_000) await sleep(500);
    await sleep(untilMinute() - 10_000);
    await measure(cell, 'last');
  }

  const ratios = ratiosOf(cells);
  const tables = tablesOf(cells);
  console.log(
    `\n${tables
      .filter(({ blocks }) => blocks.length > 0)
      .map(printed)
      .join('\n')}`,
  );
  for (const { what, value, noise, budget, note } of ratios) {
    const verdict =
      budget === undefined
        ? ''
        : `budget ${budget.atLeast}x: ${value >= budget.atLeast ? 'met' : value + noise >= budget.atLeast ? 'missed, within the noise' : 'missed'}`;
    console.log(
      `${what.padEnd(66)} ${`${shown(value)}x`.padStart(8)} +-${shown(noise)} ${verdict}${note === undefined ? '' : ` (${note})`}`,
    );
  }
  const broken = cells.filter((cell) => cell.results.some(({ incorrect }) => incorrect !== undefined));
  console.log(`\n${cells.length - broken.length} of ${cells.length} cells correct; ${Math.round((performance.now() - began) / 1000)} s`);
  for (const { name, results } of broken) console.log(`incorrect: ${name}: ${results.find(({ incorrect }) => incorrect)?.incorrect}`);
  if (only !== undefined) return;
  const report = {
    benchmark: 'peers',
    at: new Date().toISOString(),
    full: size === 'full',
    quick: size === 'quick',
    seconds: Math.round((performance.now() - began) / 1000),
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memoryGB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      loadBefore: Math.round(loadBefore * 10) / 10,
    },
    versions: versions(),
    durability:
      'durable: Cuckoo as it always is, Redis appendfsync always, PostgreSQL synchronous_commit on; relaxed: Redis appendfsync everysec',
    settings,
    figures: [...ratios, ...figuresOf(cells)],
    incorrect: broken.map(({ name, results }) => ({ name, why: results.find(({ incorrect }) => incorrect !== undefined)?.incorrect })),
    tables,
  };
  mkdirSync(join(here, '../results'), { recursive: true });
  writeFileSync(join(here, '../results/peers.json'), `${JSON.stringify(report, undefined, 2)}\n`);
}

async function measure(cell, round) {
  if (stopping) throw new Error('stopped');
  const began = performance.now();
  const result = await carryOut(cell).catch((error) => ({ incorrect: String(error?.message ?? error).split('\n')[0] }));
  if (stopping) throw new Error('stopped');
  cell.results.push(result);
  const values = Object.entries(result).map(
    ([key, value]) => `${key} ${typeof value === 'number' ? shown(value) : Array.isArray(value) ? value.map(shown).join(' ') : value}`,
  );
  console.log(`${round}  ${cell.name.padEnd(58)} ${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${values.join(', ')}`);
}

async function carryOut({ asked }) {
  if (asked.measure === 'minute') return oneMinute(asked.server, asked);
  if (asked.module === 'pg_cron') return register(asked.server, asked);
  const place = mkdtempSync(join(folder, 'cell-'));
  const whole = { ...asked, folder: place, roots: asked.server === undefined ? [] : [asked.server.pid] };
  try {
    return asked.measure === 'second' ? await killed(whole) : await begin(whole).answer;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Killed a tenth of a second before a fire, and started again at once: how long from the start until a fire that had not been. */
async function killed(asked) {
  const seen = new Map();
  const first = begin(asked);
  await first.until(() => first.fires.length >= 2, 20_000);
  await sleep(1900 - (Date.now() % 1000));
  await first.kill();
  for (const { id } of first.fires) seen.set(id, 1);
  const startedAt = Date.now();
  const again = begin({ ...asked, fresh: asked.module === 'timers' });
  try {
    await again.until(() => again.fires.some(({ id, nominal }) => nominal % 1000 === 0 && !seen.has(id)), 65_000);
    const fire = again.fires.find(({ id, nominal }) => nominal % 1000 === 0 && !seen.has(id));
    await sleep(1500);
    for (const { id } of again.fires) seen.set(id, (seen.get(id) ?? 0) + 1);
    const twice = [...seen].filter(([, times]) => times > 1).length;
    if (twice > 0) return { incorrect: `${twice} fired again after the kill` };
    const nominals = new Set([...first.fires, ...again.fires].map(({ nominal }) => nominal));
    const seconds = (Math.max(...nominals) - Math.min(...nominals)) / 1000 + 1;
    return { ms: fire.at - startedAt, lost: seconds - nominals.size };
  } finally {
    await again.kill();
  }
}

function begin(asked) {
  const env = { ...process.env, UV_THREADPOOL_SIZE: String(asked.threads ?? 4) };
  const child = fork(join(here, 'cell.mjs'), { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  children.add(child);
  const fires = [];
  let said = '';
  let wake = () => {};
  child.stderr.on('data', (text) => {
    said = (said + text).slice(-2000);
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const answer = new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error('no answer after 15 minutes'));
      child.kill('SIGKILL');
    }, 900_000);
    child.on('message', (message) => {
      if (message.fire) fires.push(message.fire);
      if (message.answer) resolve(message.answer);
      if (message.error) reject(new Error(message.error));
      wake();
    });
    child.once('exit', (code) => {
      clearTimeout(late);
      children.delete(child);
      reject(new Error(`ended with ${code}: ${said.split('\n').find((line) => /error/i.test(line)) ?? said.slice(0, 200)}`));
      wake();
    });
  });
  answer.catch(() => {});
  child.send(asked);
  const until = async (holds, withinMs) => {
    const end = Date.now() + withinMs;
    while (!holds()) {
      if (Date.now() > end) throw new Error(`nothing fired within ${withinMs / 1000} s`);
      await Promise.race([new Promise((resolve) => (wake = resolve)), sleep(100), answer]);
    }
  };
  const kill = async () => {
    child.kill('SIGKILL');
    await gone;
  };
  return { answer, fires, until, kill };
}

/** A second signal waits for the same end. */
function stop() {
  stopping = true;
  stopped ??= (async () => {
    for (const child of children) child.kill('SIGKILL');
    await stopServers();
    rmSync(folder, { recursive: true, force: true });
  })();
  return stopped;
}

function printed({ title, note, blocks }) {
  const lines = blocks.flatMap(({ row, durability, best, entries }) => [
    `  ${row}${durability === 'durable' ? '' : ` (${durability})`}: best: ${best}`,
    ...entries.map(({ system, text }) => `    ${system.padEnd(30)} ${text}`),
  ]);
  return [title, ...(note === undefined ? [] : [`  ${note}`]), ...lines, ''].join('\n');
}

function versions() {
  const { dependencies } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
  const own = JSON.parse(readFileSync(join(here, '../../package.json'), 'utf8'));
  const first = (command, words) => {
    try {
      return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
        .trim()
        .split('\n')[0];
    } catch {
      return 'unknown';
    }
  };
  const packaged = (name) => first('dpkg-query', ['--show', name]).split('\t').at(-1);
  const commit = first('git', ['-C', here, 'rev-parse', '--short', 'HEAD']);
  return {
    cuckoo: `${own.version} (${commit})`,
    node: process.version,
    duckdb: own.dependencies['@duckdb/node-api'],
    redis: packaged('redis-server'),
    postgresql: packaged('postgresql-15'),
    pg_cron: packaged('postgresql-15-cron'),
    ...dependencies,
  };
}
