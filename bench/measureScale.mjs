// For scale.ts: one process that opens a file of many schedules and starts the scheduler, as a daemon does, and nothing else, so that
// the memory it is measured by is the scheduler's. It is a plain Node on dist. What it does is its first argument, and its answer
// is one line of JSON. The clock is the system's, moved to when what is measured falls due.

import { statSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { openEngine } from '../dist/engine/engine.js';
import { systemClock } from '../dist/scheduler/clock.js';

const [what, path, given] = process.argv.slice(2);
const options = JSON.parse(given);
let movedMs = 0;
const moveTo = (at) => {
  movedMs = Date.parse(at) - systemClock.now();
};
const clock = { ...systemClock, now: () => systemClock.now() + movedMs };
/** Finer than the clock reads. */
const exactly = () => performance.timeOrigin + performance.now() + movedMs;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const megabytes = () => process.memoryUsage.rss() / 1e6;
const cpuMs = (since) => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};
const fileBytes = () => [path, `${path}.wal`].reduce((sum, each) => sum + (statSync(each, { throwIfNoEntry: false })?.size ?? 0), 0);

moveTo(options.at);
const begun = { ms: performance.now(), cpu: process.cpuUsage() };
const engine = await openEngine(path, { clock, zone: 'UTC', poolSize: Number(process.env.UV_THREADPOOL_SIZE), graceMs: 0 });
const { scheduler } = engine;
const late = [];
engine.worker.handlers.add('noop', async ({ scheduledAt }) => {
  late.push(exactly() - scheduledAt.getTime());
  return null;
});

/** What has happened since, until so many runs have ended. */
function watched(expected) {
  const seen = { opened: 0, skipped: 0, ended: 0, ticks: 0, openedAt: 0, endedAt: 0 };
  let told;
  const done = new Promise((resolve) => {
    told = resolve;
  });
  scheduler.events.on('tick:done', ({ opened, skipped }) => {
    seen.opened += opened;
    seen.skipped += skipped;
    seen.ticks += 1;
    seen.openedAt = exactly();
  });
  scheduler.events.on('run:finished', () => {
    seen.ended += 1;
    seen.endedAt = exactly();
    if (seen.ended === expected) told(seen);
  });
  return { seen, done };
}

function isBusy() {
  const { active, queues } = scheduler.counts();
  return active > 0 || [...queues.values()].some(({ pending }) => pending > 0);
}

async function value(sql) {
  const session = await engine.session({ actor: 'bench', admin: true });
  const [row] = await (await session.execute(sql)).toArray();
  await session.close();
  return Number(row?.[0]);
}

const runsSince = (at) => `SELECT count(*) FILTER (state = 'succeeded') FROM cron.runs WHERE scheduled_at >= '${at}'`;
const doubledSince = (at) =>
  `SELECT count(*) - count(DISTINCT schedule || epoch_ms(scheduled_at)) FROM cron.runs WHERE scheduled_at >= '${at}' AND state <> 'skipped'`;

const works = {
  /** Load and arm, memory, idleness, one definition changed. */
  async start() {
    const emptyMB = megabytes();
    await scheduler.start();
    const startMs = performance.now() - begun.ms;
    const startCpuMs = cpuMs(begun.cpu);
    const peakMB = process.resourceUsage().maxRSS / 1000;
    await sleep(options.settleMs);
    const idle = process.cpuUsage();
    await sleep(options.idleMs);
    const idleShare = cpuMs(idle) / options.idleMs;
    const restingMB = megabytes();
    const session = await engine.session({ actor: 'bench', admin: true });
    const changedMs = [];
    const changedCpuMs = [];
    for (let number = 0; number < options.changes; number++) {
      const [since, cpu] = [performance.now(), process.cpuUsage()];
      await (await session.execute(`ALTER SCHEDULE s_1_1 SET ( sched: '${number % 60} 1 2 6 *' )`)).toArray();
      changedMs.push(performance.now() - since);
      changedCpuMs.push(cpuMs(cpu));
    }
    await session.close();
    return { startMs, startCpuMs, emptyMB, peakMB, restingMB, idleShare, armed: scheduler.schedules, changedMs, changedCpuMs };
  },

  /** Many due at one instant, a moment after the start. */
  async instant() {
    await scheduler.start();
    const { seen, done } = watched(options.expected);
    const dueAt = Date.parse(options.due);
    moveTo(new Date(dueAt - 2000).toISOString());
    // The wheel was set to turn by the time before.
    await scheduler.change(async () => {});
    const cpu = process.cpuUsage();
    await done;
    const burstCpuMs = cpuMs(cpu);
    return {
      openedMs: seen.openedAt - dueAt,
      closedMs: seen.endedAt - dueAt,
      cpuMs: burstCpuMs,
      ticks: seen.ticks,
      runs: await value(runsSince(options.due)),
      doubled: await value(doubledSince(options.due)),
    };
  },

  /** Some due every second, for a while. */
  async rate() {
    await scheduler.start();
    const { done } = watched(options.expected);
    const dueAt = Date.parse(options.due);
    moveTo(new Date(dueAt - 2000).toISOString());
    await scheduler.change(async () => {});
    const bytes = fileBytes();
    const cpu = process.cpuUsage();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    await done;
    delay.disable();
    const windowCpuMs = cpuMs(cpu);
    await scheduler.stop({ graceMs: 10_000 });
    const grown = fileBytes() - bytes;
    const until = `SELECT count(*) FILTER (state = 'succeeded') FROM cron.runs WHERE scheduled_at >= '${options.due}'`;
    return {
      late: late.slice(0, options.expected),
      loopDelayMs: delay.percentile(99) / 1e6,
      loopDelayMostMs: delay.max / 1e6,
      cpuMs: windowCpuMs,
      bytesPerRun: grown / (await value(until)),
      doubled: await value(doubledSince(options.due)),
    };
  },

  /** A start after a while in which fires were missed, until all of it is decided and has run. */
  async missed() {
    await scheduler.start();
    // What was missed between the measurements is none of this one's.
    await scheduler.change(async () => {});
    while (isBusy()) await sleep(20);
    await scheduler.stop({ graceMs: 10_000 });
    const dueAt = Date.parse(options.due);
    movedMs = dueAt + options.downMs - systemClock.now();
    // It stands still, so that nothing else falls due.
    const stoodAt = clock.now();
    clock.now = () => stoodAt;
    const { seen, done } = watched(options.expected);
    const [since, cpu] = [performance.now(), process.cpuUsage()];
    const loaded = new Promise((resolve) => scheduler.events.on('scheduler:started', () => resolve(performance.now())));
    const decided = new Promise((resolve) => {
      scheduler.events.on('tick:done', () => {
        if (scheduler.nextDue > stoodAt) resolve(performance.now());
      });
    });
    await scheduler.start();
    const loadedAt = await loaded;
    const decidedAt = await decided;
    if (options.expected > 0) await done;
    const endedAt = performance.now();
    return {
      loadMs: loadedAt - since,
      decidedMs: decidedAt - loadedAt,
      endedMs: endedAt - loadedAt,
      cpuMs: cpuMs(cpu),
      opened: seen.opened,
      skipped: seen.skipped,
      missed: await value(`SELECT coalesce(sum(fires), 0) FROM cron.runs WHERE scheduled_at >= '${options.due}' AND state = 'skipped'`),
    };
  },
};

const answer = await works[what]();
await engine.close();
console.log(JSON.stringify(answer));
