// How late fifty schedules are, each every second, while hostile work runs beside them: from their nominal time to their start, and to
// their end. Measured in a plain Node on what was built, with the pool of threads that the shell and the daemon have.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setup as build } from '../test/support/build.ts';

/** `npm run bench -- hostile [seconds of each] [which]` */
export function run(args: readonly string[]): void {
  build();
  const env = { ...process.env, UV_THREADPOOL_SIZE: '24' };
  spawnSync(process.execPath, [fileURLToPath(new URL('./measureHostile.mjs', import.meta.url)), ...args], { stdio: 'inherit', env });
}
