#!/usr/bin/env node
'use strict';
// CommonJS on purpose. libuv reads UV_THREADPOOL_SIZE when its pool is first used; an ES module's static imports
// run before its first line, so setting it there comes too late and four running queries would stop everything else.
process.env.UV_THREADPOOL_SIZE ??= '24';
// From Node 22 on, what was compiled once is kept for the next start.
require('node:module').enableCompileCache?.();
import('../dist/daemon/main.js').then(
  (main) => main.main(process.argv),
  (error) => {
    process.stderr.write(`cuckoo: cannot start: ${error?.message}\nhint: run \`npm run build\` in a source tree\n`);
    process.exitCode = 1;
  },
);
