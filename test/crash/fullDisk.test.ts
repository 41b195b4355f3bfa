// A disk that becomes full in the middle of load, for real: a small file system, filled, where one may be mounted; and anywhere a
// limit on the size of files, which DuckDB meets in the same way but the scheduler cannot see coming.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { canMount, mountSmallDisk } from '../support/smallDisk.ts';
import { damageOf, Host, schedules } from './host.ts';

const mebibyte = 1024 * 1024;

const folder = mkdtempSync(join(tmpdir(), 'cuckoo-disk-'));
const canLimit = spawnSync('prlimit', ['--version']).status === 0;
const hosts: Host[] = [];
afterEach(() => {
  for (const { process: host } of hosts.splice(0)) if (host.exitCode === null) host.kill('SIGKILL');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const start = async (path: string): Promise<Host> => {
  const host = new Host(path);
  hosts.push(host);
  await host.define();
  await host.beats(schedules);
  return host;
};

/** A checkpoint without room ends DuckDB's instance: whoever asked hears it, and everybody else goes on. */
const stopDuckDb = async (host: Host) => {
  expect(await host.send('CHECKPOINT')).toMatchObject({ code: 'fatal' });
  expect(await host.value('SELECT 42')).toBe(42);
};

describe('a disk that becomes full in the middle of load', { timeout: 60_000 }, () => {
  // Only root may mount a small disk.
  test.skipIf(!canMount)(
    'nothing is opened until there is room, which is told; then everything is made up for, and nothing is lost or done twice',
    async () => {
      const mount = mountSmallDisk(160);
      const path = join(mount, 'my.duckdb');
      const host = await start(path);
      const filler = join(mount, 'filler');
      expect(() => writeFileSync(filler, Buffer.alloc(160 * mebibyte))).toThrow('ENOSPC');
      const { detail } = await host.happens('storage:low');
      expect(detail).toMatchObject({ neededBytes: 64 * mebibyte });
      expect(Number(detail?.['freeBytes'])).toBeLessThan(mebibyte);
      await stopDuckDb(host);
      expect(await host.value("SELECT detail FROM cron.schedule_health WHERE detail LIKE '%disk%'")).toContain('the disk is full');
      const behindMs = 'SELECT epoch_ms(now()) - epoch_ms(max_by(watermark, seq)) FROM cuckoo_ledger.tick';
      await expect.poll(() => host.value(behindMs), { timeout: 15_000, interval: 200 }).toBeGreaterThan(2500);
      expect(host.events.filter(({ event }) => event === 'opened without room')).toEqual([]);
      rmSync(filler);
      await host.happens('storage:enough');
      await expect.poll(() => host.value(behindMs), { timeout: 15_000, interval: 200 }).toBeLessThan(2000);
      await host.beats(schedules);
      await host.end();
      expect(await damageOf(path)).toEqual([]);
    },
  );

  // Linux: prlimit limits how large a file may become.
  test.skipIf(!canLimit)(
    'where nobody can tell beforehand, what does not fit is tried again, and nothing is lost or done twice',
    async () => {
      const path = join(folder, 'limited.duckdb');
      const host = await start(path);
      const limit = (bytes: number | 'unlimited') =>
        execFileSync('prlimit', ['--pid', String(host.process.pid), `--fsize=${bytes}:unlimited`]);
      limit(statSync(`${path}.wal`).size);
      await host.happens('ledger:trouble');
      await stopDuckDb(host);
      limit('unlimited');
      await host.happens('ledger:recovered');
      await host.beats(2 * schedules);
      await host.end();
      expect(await damageOf(path)).toEqual([]);
    },
  );
});
