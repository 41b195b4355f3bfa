// For handlers.ts: a function of this process, a module in a thread that is there, in a thread that has to be made, and in a process
// of its own.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Handlers } from '../dist/engine/executors/handler/handlers.js';
import { systemClock } from '../dist/scheduler/clock.js';

const factor = Number(process.argv[2] ?? 1);
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-bench-'));
const handlers = new Handlers({ clock: systemClock, folder });
const quiet = () => {};

function task(call, isolation = 'thread') {
  return {
    jobId: 'job',
    executionId: 'run',
    runId: 'run',
    exe: 'handler',
    call,
    step: null,
    item: null,
    params: {},
    config: {},
    scheduledAt: new Date(0),
    previousAt: null,
    lastSuccessAt: null,
    parentRunId: null,
    attempt: 1,
    resources: {},
    isolation,
    timeoutMs: null,
    signal: new AbortController().signal,
    progress: quiet,
    log: quiet,
    services: {},
    secrets: [],
  };
}

function module(name) {
  writeFileSync(join(folder, name), `export default async () => ${JSON.stringify(name)};\n`);
  return `./${name}`;
}

handlers.add('noop', async () => null);
const kept = module('kept.mjs');
const ways = [
  { name: 'function of this process', rounds: 100_000, together: 1, next: () => task('noop') },
  { name: 'thread that is there', rounds: 5_000, together: 1, next: () => task(kept) },
  { name: 'thread that is there, 8 at once', rounds: 5_000, together: 8, next: () => task(kept) },
  { name: 'thread that has to be made', rounds: 100, together: 1, next: () => task(module('changes.mjs')) },
  { name: 'process', rounds: 40, together: 1, next: () => task(kept, 'process') },
];

const parts = 7;

try {
  const measured = ways.map(({ name }) => ({ name, runs: 0, answered: 0, us: [], cpuUs: [] }));
  for (const { next } of ways) for (let index = 0; index < 20; index += 1) await handlers.execute(next());
  // In turns, so that what else the machine does hits all of them.
  for (let part = 0; part < parts; part += 1) {
    for (const [at, { rounds, together, next }] of ways.entries()) {
      const figures = measured[at];
      const count = Math.max(Math.round((rounds * factor) / parts / together), 1) * together;
      const began = performance.now();
      const cpu = process.cpuUsage();
      for (let index = 0; index < count; index += together) {
        const answers = await Promise.all(Array.from({ length: together }, () => handlers.execute(next())));
        figures.answered += answers.length;
      }
      const { user, system } = process.cpuUsage(cpu);
      figures.runs += count;
      figures.us.push(((performance.now() - began) * 1000) / count);
      figures.cpuUs.push((user + system) / count);
    }
  }
  console.log(JSON.stringify({ measured }));
} finally {
  await handlers.close();
  rmSync(folder, { recursive: true, force: true });
}
