// A process that ends (process.exit, an uncaught error) first waits for the threads of its pool, and those for DuckDB: `SELECT
// count(*) FROM range(1e11)` would keep it for minutes. Nothing asynchronous happens any more then, so the statements at work
// are interrupted here and now.

import { spawn } from 'node:child_process';

interface Interruptible {
  interrupt(): void;
}

const atWork = new Set<Interruptible>();
let watching = false;

/** From now on until the function that it answers is called, the end of the process interrupts the connection. */
export function interruptAtEnd(connection: Interruptible): () => void {
  if (!watching) process.on('exit', endStatements);
  watching = true;
  atWork.add(connection);
  return () => atWork.delete(connection);
}

const rounds = 20;
const betweenRoundsMs = 5;
const longestWaitSeconds = 2;

function endStatements(): void {
  if (atWork.size === 0) return;
  const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  // Statements that wait for a thread begin when one before them ends, and an interrupt that came earlier is forgotten by them.
  for (let round = 0; round < rounds; round += 1) {
    for (const connection of atWork) connection.interrupt();
    Atomics.wait(pause, 0, 0, betweenRoundsMs);
  }
  // A thread of DuckDB that has called a function of ours (cron_next, the live columns) waits for its answer, which this thread
  // cannot give any more, and the process for it: for ever. It is ended from outside; DuckDB bears that.
  if (process.platform === 'win32') return;
  spawn('/bin/sh', ['-c', `sleep ${longestWaitSeconds}; kill -KILL ${process.pid}`], { detached: true, stdio: 'ignore' }).unref();
}
