// One cell of one table: one system, in a process of its own, forked by main.mjs, which says what is measured. What comes back is a list
// of values, or why the system was found incorrect: then there is no rate.

import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds } from './servers.mjs';

const measures = { burn, late, register, second };

process.once('message', (asked) => {
  run(asked).then(
    (answer) => end({ answer }),
    (error) => end({ error: String(error?.stack ?? error) }),
  );
});

async function run(asked) {
  const { open } = await import(`./systems/${asked.module}.mjs`);
  const system = await open(asked);
  try {
    return await measures[asked.measure](system, asked);
  } finally {
    await Promise.race([system.close(), sleep(5000)]);
  }
}

function end(message) {
  process.send(message, () => process.exit(0));
}

/** Pre-inserted jobs, worked off by one process: durable completions in a second from the first start of a handler to the last. */
async function burn(system, { concurrency, seconds, probe, roots, most = 100_000 }) {
  await burnDown(system, { count: probe, concurrency, roots });
  const first = await burnDown(system, { count: probe, concurrency, roots });
  if (first.incorrect !== undefined || seconds === 0) return first;
  const count = Math.max(probe, Math.min(most, Math.round(first.rate * seconds)));
  return burnDown(system, { count, concurrency, roots });
}

async function burnDown(system, { count, concurrency, roots }) {
  const bytesBefore = await system.bytes?.();
  const keptBefore = (await system.kept()) ?? 0;
  await system.enqueue(count, concurrency);
  const seen = new Map();
  let firstAt = 0;
  const started = (id) => {
    if (firstAt === 0) firstAt = performance.now();
    seen.set(id, (seen.get(id) ?? 0) + 1);
  };
  const cpuBefore = cpuAtBegin(roots);
  await system.work({ concurrency, started });
  let endedAt = 0;
  for (const deadline = performance.now() + 60_000; ; ) {
    // Asking a database costs it something, so it is asked only when all have begun.
    if (seen.size >= count && (await system.completed()) >= count) {
      endedAt = performance.now();
      break;
    }
    if (performance.now() > deadline)
      return { incorrect: `${seen.size} of ${count} began, ${await system.completed()} are complete after 60 s` };
    await sleep(1);
  }
  const cpu = cpuAtEnd(roots) - cpuBefore;
  await sleep(20);
  const kept = await system.kept();
  await system.rest();
  const bytes = await system.bytes?.();
  const incorrect =
    wrong(seen, count) ?? (kept !== undefined && kept - keptBefore !== count ? `${kept - keptBefore} of ${count} are kept` : undefined);
  await system.clear();
  if (incorrect !== undefined) return { incorrect };
  const bytesEach = kept === undefined || bytes === undefined ? undefined : (bytes - bytesBefore) / count;
  return { count, rate: (count / (endedAt - firstAt)) * 1000, cpuUs: (cpu / count) * 1e6, bytesEach };
}

/** So many due in one instant: how long after it each handler begins. */
async function late(system, { count, concurrency, roots }) {
  const delays = [];
  const seen = new Map();
  let instant = 0;
  await system.work({
    concurrency,
    started: (id) => {
      delays.push(performance.timeOrigin + performance.now() - instant);
      seen.set(id, (seen.get(id) ?? 0) + 1);
    },
  });
  const neededMs = 1.3 * ((await system.laterMs?.(count)) ?? 0);
  instant = Math.ceil((Date.now() + neededMs) / 1000 + 2) * 1000;
  await system.later(count, instant);
  const registeredAt = Date.now();
  if (registeredAt > instant - 200) return { incorrect: `registering took until ${registeredAt - instant} ms after the instant` };
  await sleep(instant - Date.now() - 100);
  const cpuBefore = cpuAtBegin(roots);
  for (const deadline = instant + 60_000; seen.size < count && Date.now() < deadline; ) await sleep(10);
  const cpu = cpuAtEnd(roots) - cpuBefore;
  // Whoever fires twice does it soon.
  await sleep(1100);
  const incorrect = wrong(seen, count);
  if (incorrect !== undefined) return { incorrect };
  const sorted = Float64Array.from(delays).sort();
  const early = sorted[0] < -1 ? `the first began ${(-sorted[0]).toFixed(0)} ms early` : undefined;
  if (early !== undefined) return { incorrect: early };
  const at = (share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  return { p50: at(0.5), p99: at(0.99), most: at(1), cpuUs: (cpu / count) * 1e6 };
}

/** So many schedules, none of them due soon: what registering costs, and then what doing nothing costs, in percent of one core. */
async function register(system, { count, together, idleSeconds, roots, pattern }) {
  const cpuBefore = cpuAtBegin(roots);
  const began = performance.now();
  await system.register(count, { together, pattern });
  const took = performance.now() - began;
  const cpu = cpuAtEnd(roots) - cpuBefore;
  const registered = await system.registered();
  if (registered !== count) return { incorrect: `${registered} of ${count} are registered` };
  const answer = { rate: (count / took) * 1000, cpuUs: (cpu / count) * 1e6, count, rssMB: process.memoryUsage.rss() / 2 ** 20 };
  if (!idleSeconds) return answer;
  await system.work({ concurrency: 1, started: () => {} });
  await sleep(2000);
  const idle = [];
  for (let at = 0; at < 4; at++) {
    const before = cpuAtBegin(roots);
    const from = performance.now();
    await sleep((idleSeconds / 4) * 1000);
    idle.push(((cpuAtEnd(roots) - before) / (performance.now() - from)) * 1e5);
  }
  return { ...answer, idle };
}

/** Fires each second until it is killed, and tells of each at once; `fresh` says that it makes the schedule. */
async function second(system, { fresh, concurrency }) {
  await system.work({ concurrency, started: (id, nominal) => process.send({ fire: { id: String(id), nominal, at: Date.now() } }) });
  if (fresh) await system.everySecond();
  process.send({ ready: true });
  await sleep(70_000);
  return {};
}

/** The server's, by reading /proc, and this process's: what reading costs is kept out of the stretch between begin and end. */
function cpuAtBegin(roots) {
  const server = serverCpu(roots);
  return ownCpu() + server;
}

function cpuAtEnd(roots) {
  const own = ownCpu();
  return own + serverCpu(roots);
}

function serverCpu(roots) {
  return roots.length === 0 ? 0 : cpuSeconds(roots);
}

function ownCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function wrong(seen, count) {
  const twice = [...seen.values()].filter((times) => times > 1).length;
  if (seen.size === count && twice === 0) return undefined;
  return `${seen.size} of ${count} fired, ${twice} of them more than once`;
}
