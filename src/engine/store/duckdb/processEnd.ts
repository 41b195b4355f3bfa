// A process that ends (process.exit, an uncaught error) first waits for the threads of its pool, and those for DuckDB: `SELECT
// count(*) FROM range(1e11)` would keep it for minutes. Nothing asynchronous happens any more then, so the statements at work
// are interrupted here and now.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

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
  const script = killScript();
  if (script !== undefined) spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore' }).unref();
}

/** Ends this very process, if it is still there: its number may belong to another by then, which began at another time. */
function killScript(): string | undefined {
  // Elsewhere a process does not tell when it began without a program of its own; there DuckDB is waited for.
  if (process.platform !== 'linux') return undefined;
  const began = beginning(readFileSync('/proc/self/stat', 'utf8'));
  if (began === undefined) return undefined;
  return `sleep ${longestWaitSeconds}
stat=$(cat /proc/${process.pid}/stat 2>/dev/null) || exit 0
set -- \${stat##*) }
[ "\${20}" = "${began}" ] && kill -KILL ${process.pid}`;
}

/** The 22nd field; the second one, a name in brackets, may hold blanks. */
function beginning(stat: string): string | undefined {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
