// What a handler costs beside its own work: the executor alone, without a ledger. Measured in a plain Node on what was built, because
// every thread and every process inherits the loader that reads TypeScript here, and would pay for it.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setup as build } from '../test/support/build.ts';

export function run(args: readonly string[]): void {
  build();
  spawnSync(process.execPath, [fileURLToPath(new URL('./measureHandlers.mjs', import.meta.url)), ...args], { stdio: 'inherit' });
}
