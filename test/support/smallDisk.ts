// A disk that is soon full: a file system in memory, where this account may mount one. It is mounted when a test begins and gone
// when it ends, so that tests which are left out leave nothing mounted.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

function mount(path: string, mebibytes: number): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path]).status === 0;
}

function remove(path: string): void {
  spawnSync('umount', ['-l', path]);
  rmSync(path, { recursive: true, force: true });
}

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'cuckoo-disk-'));

/** Tried once. */
export const canMount: boolean = (() => {
  const trial = newFolder();
  const mounted = mount(trial, 1);
  remove(trial);
  return mounted;
})();

/** Where it is mounted, for as long as the test runs. */
export function mountSmallDisk(mebibytes: number): string {
  const path = newFolder();
  onTestFinished(() => remove(path));
  if (!mount(path, mebibytes)) throw new Error('a file system in memory could be mounted a moment ago, and not now');
  return path;
}
