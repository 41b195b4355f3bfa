import { configDefaults, defineConfig } from 'vitest/config';

/** Minutes of real processes that are started and killed, and thousands of simulated days: not for every `npm test`. */
export const proofs = [
  'test/crash/**/*.test.ts',
  'test/daemon/{daemon,sharing}.test.ts',
  'test/daemon/watcher/jobDirectory.test.ts',
  'test/leaks/**/*.test.ts',
  'test/scheduler/cadence/oracle.test.ts',
  'test/scheduling/{conflicts,cancelProof}.test.ts',
  'test/simulator/{planted,firstSeeds,furtherSeeds,duckdb}.test.ts',
];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...proofs],
    // Processes and real DuckDB files on two cores: a generous limit that only a hang reaches.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The pool's size must be known before the first native call, as in bin/cuckoo.cjs.
    env: { UV_THREADPOOL_SIZE: '16' },
    globalSetup: ['test/support/build.ts'],
    pool: 'forks',
    // One more than cores: files wait for disks, timers and processes. 293 s with three, 390 with two.
    maxWorkers: 3,
    coverage: { include: ['src/**'] },
  },
});
