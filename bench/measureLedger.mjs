// For ledger.ts, in a plain Node on what was built: the ledger alone, without a loop, as the scheduler calls it.

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEngine } from '../dist/engine/engine.js';
import { newRunId } from '../dist/engine/opening.js';
import { DuckLedger } from '../dist/engine/store/duckdb/ledger.js';

const rounds = Number(process.argv[2] ?? 15);
const folder = mkdtempSync(join(tmpdir(), 'cuckoo-ledger-'));
const path = join(folder, 'my.duckdb');
const engine = await openEngine(path, { zone: 'UTC', poolSize: 24, graceMs: 0 });
const ledger = new DuckLedger(engine);
const { signal } = new AbortController();
const session = await engine.session({ actor: 'bench', admin: true });
const bytesOf = (name) => statSync(name, { throwIfNoEntry: false })?.size ?? 0;

let fire = 0;
/** As a tick opens them: of as many schedules as there are runs. */
function newRun(_, index) {
  fire += 1;
  const now = Date.now();
  const runId = newRunId(now);
  return {
    runId,
    scheduleId: index + 1,
    schedule: `job_${index + 1}`,
    exe: 'handler',
    call: 'noop',
    trigger: 'cron',
    scheduledAt: Math.floor(now / 1000) * 1000,
    openedAt: now,
    notBefore: null,
    attempt: 1,
    queue: 'default',
    priority: 'normal',
    params: {},
    scheduleVersion: 1,
    rootRunId: runId,
    parentRunId: null,
    retryOf: null,
    group: null,
    fire,
    alone: false,
  };
}

function closingOf(run) {
  const now = Date.now();
  return {
    run,
    startedAt: now - 2,
    finishedAt: now,
    waitedFor: null,
    state: 'succeeded',
    reason: null,
    final: true,
    outcome: {
      state: 'succeeded',
      reason: null,
      result: null,
      rowsChanged: null,
      error: null,
      guarantee: 'at_least_once',
      guaranteeReason: 'what a handler does cannot be rolled back',
      conflicts: 0,
    },
    counters: { consecutiveFailures: 0, openedFires: run.fire, lastSuccessAt: run.scheduledAt },
  };
}

async function timed(work) {
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return { ms, cpuMs: (user + system) / 1000 };
}

let { seq } = await ledger.newestTick(signal);
const tick = (runs) => {
  seq += 1;
  const now = Date.now();
  const writes = runs.map((run) => ({ kind: 'open', run }));
  return ledger.tick({ seq, watermark: now, partly: null, gap: null, replayUntil: null }, now, writes, signal);
};
const begin = (runs) =>
  ledger.write(
    runs.map(({ runId }) => [{ kind: 'begin', runId, bootId: 'bench', at: Date.now() }]),
    signal,
  );
const close = (runs) =>
  ledger.write(
    runs.map((run) => [{ kind: 'close', closing: closingOf(run) }]),
    signal,
  );
const wal = () => bytesOf(`${path}.wal`);

const figures = {};
const add = (name, figure) => {
  figures[name] ??= [];
  figures[name].push(figure);
};

try {
  let closed = 0;
  let written = true;
  for (let round = -2; round < rounds; round += 1) {
    for (const size of [1, 100, 1000, 10_000]) {
      if (size === 10_000 && round > rounds / 3) continue;
      const runs = Array.from({ length: size }, newRun);
      const before = wal();
      const opening = await timed(() => tick(runs));
      const started = await timed(async () => {
        written &&= (await begin(runs)).every(Boolean);
      });
      const closing = await timed(async () => {
        written &&= (await close(runs)).every(Boolean);
      });
      closed += size;
      if (round < 0) continue;
      add(`a tick that opens ${size}`, opening);
      add(`a durable start of ${size}`, started);
      add(`a closing of ${size}`, closing);
      add(`wal ${size}`, { bytes: (wal() - before) / size });
    }
  }
  // What does not fit into memory is read again.
  const waiting = Array.from({ length: 50_000 }, newRun);
  for (let from = 0; from < waiting.length; from += 10_000) await tick(waiting.slice(from, from + 10_000));
  let read = 0;
  for (let round = 0; round < Math.max(3, rounds / 5); round += 1) {
    add(
      'a reading of 10,000 of 50,000 that wait',
      await timed(async () => {
        read = (await ledger.waiting({ now: Date.now() + 1000, limit: 10_000, perGroup: 50 }, signal)).length;
      }),
    );
  }
  for (let from = 0; from < waiting.length; from += 10_000) await close(waiting.slice(from, from + 10_000));
  closed += waiting.length;
  const [row] = await (
    await session.execute('SELECT (SELECT count(*) FROM cuckoo_ledger.closed), (SELECT count(*) FROM cuckoo_ledger.open_run)')
  ).toArray();
  await session.execute('CHECKPOINT');
  const measured = { figures, written, read, closed, rows: Number(row[0]), open: Number(row[1]), fileBytes: bytesOf(path) / closed };
  console.log(JSON.stringify({ measured }));
} finally {
  await session.close();
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
