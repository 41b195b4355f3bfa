// One process lets go of the file so that another goes on: what falls due in between is late, not missed, and nothing begins anew.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { VirtualEngine } from '../support/virtualEngine.ts';

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-handover-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const newPath = (): string => {
  files += 1;
  return join(folder, `${files}.duckdb`);
};

const opened: VirtualEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function start(path: string, time: string): Promise<VirtualEngine> {
  const engine = await VirtualEngine.open(path, { startAt: `2026-11-20T${time}Z` });
  opened.push(engine);
  await engine.engine.scheduler.start();
  return engine;
}

const until = (engine: VirtualEngine, time: string): Promise<void> => engine.until(`2026-11-20T${time}Z`);

async function handOver(engine: VirtualEngine): Promise<void> {
  await engine.engine.scheduler.stop({ graceMs: 0, handsOver: true });
  await engine.close();
}

const told = (engine: VirtualEngine, schedule: string): Promise<unknown[]> =>
  engine.column(`SELECT concat_ws(' ', strftime(scheduled_at AT TIME ZONE 'UTC', '%H:%M:%S'), trigger, state, reason)
    FROM cron.runs WHERE schedule = '${schedule}' ORDER BY scheduled_at`);

const boots = (engine: VirtualEngine): Promise<unknown[]> => engine.column('SELECT event FROM cuckoo_ledger.boot ORDER BY rowid');

const definitions = [
  "UPSERT SCHEDULE s ( sched: every 10s, sql: 'SELECT 1', catchup: none, overlap: allow )",
  "UPSERT SCHEDULE begins ( sched: '@reboot', sql: 'SELECT 1' )",
];

describe('a scheduler that hands over', () => {
  test('leaves what falls due meanwhile to the next, which is merely late', async () => {
    const path = newPath();
    const before = await start(path, '12:00:01');
    await before.run(...definitions);
    await until(before, '12:00:15');
    await handOver(before);
    const after = await start(path, '12:00:45');
    await until(after, '12:00:55');
    const all = ['12:00:10', '12:00:20', '12:00:30', '12:00:40', '12:00:50'].map((at) => `${at} interval succeeded`);
    expect(await told(after, 's')).toEqual(all);
    expect(await boots(after)).toEqual(['start', 'handover', 'start']);
    expect(await told(after, 'begins')).toEqual([]);
  });

  test('counts as one that stopped where nobody takes its place in time', async () => {
    const path = newPath();
    const before = await start(path, '12:00:01');
    await before.run(...definitions);
    await until(before, '12:00:15');
    await handOver(before);
    const after = await start(path, '12:01:16');
    await until(after, '12:01:25');
    expect(await told(after, 's')).toEqual([
      '12:00:10 interval succeeded',
      '12:01:10 interval skipped missed: no scheduler ran; catchup: none',
      '12:01:20 interval succeeded',
    ]);
    expect(await told(after, 'begins')).toEqual(['12:01:16 cron succeeded']);
  });

  test('and gets the file back loses nothing either', async () => {
    const path = newPath();
    const first = await start(path, '12:00:01');
    await first.run(...definitions);
    await until(first, '12:00:15');
    await handOver(first);
    const second = await start(path, '12:00:22');
    await handOver(second);
    const third = await start(path, '12:00:41');
    await until(third, '12:00:55');
    const all = ['12:00:10', '12:00:20', '12:00:30', '12:00:40', '12:00:50'].map((at) => `${at} interval succeeded`);
    expect(await told(third, 's')).toEqual(all);
  });

  test('that was told to stop has stopped: what falls due then is missed', async () => {
    const path = newPath();
    const before = await start(path, '12:00:01');
    await before.run(...definitions);
    await until(before, '12:00:15');
    await before.close();
    const after = await start(path, '12:00:45');
    await until(after, '12:00:55');
    expect(await told(after, 's')).toEqual([
      '12:00:10 interval succeeded',
      '12:00:40 interval skipped missed: no scheduler ran; catchup: none',
      '12:00:50 interval succeeded',
    ]);
    expect(await told(after, 'begins')).toEqual(['12:00:45 cron succeeded']);
  });
});
