// See hostile.ts: a line of JSON for each kind of hostile work. What counts is that every fire is there once.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../dist/engine/engine.js';

const [seconds = '15', only] = process.argv.slice(2);
const schedules = 50;
const cores = availableParallelism();
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-hostile-'));

const endless = 'SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)';
const loop = join(folder, 'loop.mjs');
writeFileSync(loop, 'export default async () => { for (;;) {} };\n');

const repeated = (count, definition) => Array.from({ length: count }, (_, at) => definition.replaceAll('#', at));
const works = {
  nothing: [],
  'endless queries, 2 x cores': repeated(2 * cores, `query_# ( sql: '${endless}' )`),
  'a command that floods its output': ["floods ( command: 'yes a line that is written again and again', timeout: none )"],
  'a command that forks 500 children': [
    "forks ( command: 'i=0; while [ $i -lt 500 ]; do sleep 1000 & i=$((i+1)); done; wait', timeout: none, max_retries: 0 )",
  ],
  'handlers that loop in threads, one a core': repeated(cores, `loops_# ( handler: '${loop}', timeout: none )`),
};
works['all of it'] = Object.values(works).flat();

async function measure(name, hostile) {
  const path = join(folder, 'my.duckdb');
  const engine = await openEngine(path, { zone: 'UTC', poolSize: 24, graceMs: 0 });
  const session = await engine.session({ actor: 'bench', admin: true });
  const run = async (text) => (await session.execute(text)).toObjects();
  engine.worker.executors.add('nothing', { execute: async () => null });
  await run('SET cron.workers = 60');
  for (const each of hostile) await run(`UPSERT SCHEDULE ${each}`);
  for (let at = 0; at < schedules; at += 1) {
    const work = at % 2 === 0 ? "sql: 'SELECT 1'" : 'exe: nothing, call: x';
    await run(`UPSERT SCHEDULE every_${at} ( sched: every 1s, ${work}, overlap: allow, max_retries: 0, enabled: false )`);
  }
  await engine.scheduler.start();
  for (const each of hostile) void engine.runByHand(each.slice(0, each.indexOf(' ')), {}).catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const late = { sql: [], function: [] };
  const done = { sql: [], function: [] };
  const failed = [];
  const kind = ({ exe }) => (exe === 'sql' ? 'sql' : 'function');
  engine.scheduler.events.on('run:started', ({ run: each, startedAt }) => {
    if (each.schedule.startsWith('every_')) late[kind(each)].push(startedAt - each.scheduledAt);
  });
  engine.scheduler.events.on('run:finished', (each) => {
    if (!each.schedule.startsWith('every_')) return;
    done[each.schedule.length > 0 && Number(each.schedule.slice(6)) % 2 === 0 ? 'sql' : 'function'].push(Date.now() - each.scheduledAt);
    if (each.state !== 'succeeded') failed.push(each.reason);
  });
  await run('ENABLE SCHEDULE ALL');
  const answers = [];
  const until = performance.now() + Number(seconds) * 1000;
  while (performance.now() < until) {
    const began = performance.now();
    await run('LIST RUNS LIMIT 20');
    answers.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  await run('DISABLE SCHEDULE ALL');
  const open = "FROM cron.runs WHERE schedule LIKE 'every_%' AND state IN ('pending', 'running')";
  while (Number((await run(`SELECT count(*) AS count ${open}`))[0].count) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
  await run('CANCEL RUNS WHERE true');
  const [whole] = await run(`
    SELECT count(*)::INTEGER AS fires, count(DISTINCT (schedule, scheduled_at))::INTEGER AS different,
      (${schedules} * (date_diff('second', min(scheduled_at), max(scheduled_at)) + 1))::INTEGER AS expected,
      count(*) FILTER (state <> 'succeeded')::INTEGER AS failed
    FROM cron.runs WHERE schedule LIKE 'every_%'`);
  const { fires, different, expected, failed: notGood } = whole;
  if (fires !== expected || different !== fires || notGood > 0) throw new Error(`${name}: ${JSON.stringify(whole)} ${failed[0] ?? ''}`);
  const shares = (values) => {
    const sorted = [...values].sort((x, y) => x - y);
    const at = (part) => sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? -1;
    return { p50: at(0.5), p99: at(0.99) };
  };
  const all = [...late.sql, ...late.function];
  const told = { name, runs: all.length, late: shares(all), sql: shares(late.sql), done: shares([...done.sql, ...done.function]) };
  console.log(JSON.stringify({ ...told, list: shares(answers) }));
  await session.close();
  await engine.close();
  rmSync(path, { force: true });
}

try {
  for (const [name, hostile] of Object.entries(works)) if (only === undefined || name.includes(only)) await measure(name, hostile);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
