import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes and real DuckDB files on two cores: a generous limit that only a hang reaches.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The pool's size must be known before the first native call, as in bin/cuckoo.cjs.
    env: { UV_THREADPOOL_SIZE: '16' },
    globalSetup: ['test/support/build.ts'],
    pool: 'forks',
    maxWorkers: 2,
    coverage: { include: ['src/**'] },
  },
});
