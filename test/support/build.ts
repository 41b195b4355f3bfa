// Tests start the real command, so dist must be the tree that is tested. Types are checked by their own step of `npm run check`;
// here a mistake in them is shown and does not keep the other tests from running.
import { spawnSync } from 'node:child_process';

export function setup(): void {
  spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
}
